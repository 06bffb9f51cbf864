//! Contractions of jaw or brow on cue, in recordings of EEG beside the gaze that a profile needs.

use std::path::Path;

use razvilka::recording::xdf::Writer;
use razvilka::source::Format;
use razvilka_calibration::Profile;

use super::made::*;

const CUES: usize = 16;
const EVERY_S: f64 = 6.0;

/// Noise of 3 uV; 0.7 s after each cue half a second of `uv` in every channel, each its own.
fn write(path: &Path, labels: [&str; CHANNELS], unit_uv: f64, uv: f64) {
    let mut noise = Noise(9);
    let cues: Vec<f64> = (0..CUES).map(|n| 510.0 + EVERY_S * n as f64).collect();
    let end_s = 510.0 + EVERY_S * (CUES + 4) as f64;
    let samples = ((end_s - 500.0) * RATE_HZ) as usize;
    let stamps: Vec<f64> = (0..samples).map(|i| 500.0 + i as f64 / RATE_HZ).collect();
    let mut data = Vec::with_capacity(samples * CHANNELS);
    for stamp in &stamps {
        let is_made = |cue_s: &f64| (0.7..1.2).contains(&(stamp - cue_s));
        let loud = if cues.iter().any(is_made) { uv } else { 0.0 };
        for _ in 0..CHANNELS {
            let value_uv = 500.0 + 3.0 * noise.gauss() + loud * noise.gauss();
            data.push((value_uv / unit_uv) as f32);
        }
    }
    let mut writer = Writer::create(path).unwrap();
    let mut eeg_spec = spec("amp", "EEG", RATE_HZ, Format::Float32, &labels);
    if unit_uv > 1.0 {
        eeg_spec.units = vec!["volts".into(); CHANNELS];
    }
    let eeg = writer.add_stream(&eeg_spec).unwrap();
    let marks = writer
        .add_stream(&spec("marks", "Markers", 0.0, Format::String, &["marker"]))
        .unwrap();
    writer.floats(eeg, &stamps, &data).unwrap();
    let texts = vec![r#"{"event":"signal","contraction":"jaw"}"#.to_owned(); CUES];
    writer.texts(marks, &cues, &texts).unwrap();
    write_gaze(&mut writer, marks, end_s);
    writer.finish().unwrap();
}

const OVER_MUSCLES: [&str; CHANNELS] = ["Fp1", "Pz", "T7", "T8"];

#[test]
fn contractions_on_cue_are_learnt_with_the_channels_that_see_them_whatever_the_unit() {
    let folder = Folder::new();
    let mut told = Vec::new();
    for (name, unit_uv) in [("uv", 1.0), ("volts", 1e6)] {
        let file = folder.path(&format!("{name}.xdf"));
        write(Path::new(&file), OVER_MUSCLES, unit_uv, 25.0);
        let out = folder.path(name);
        let (profile, talk) = calibrate(&["--xdf", &file, "--out", &out]).unwrap();
        let fit = profile.contraction.clone().unwrap();
        assert_eq!(fit.channels, ["T7", "T8"]);
        assert_eq!((fit.cues, fit.hits, fit.false_alarms), (CUES, CUES, 0));
        assert!(
            talk.contains("contraction (T7, T8): 16 of 16 told"),
            "{talk}"
        );
        assert_eq!(profile.blink, None);
        let kept = Profile::load(&Path::new(&out).join("profile.json")).unwrap();
        assert_eq!(kept.contraction, profile.contraction);
        told.push(fit.spontaneous);
    }
    assert_eq!(told[0], told[1]);
}

#[test]
fn contractions_that_were_not_made_are_not_used_and_without_a_channel_the_recording_is_refused() {
    let folder = Folder::new();
    let file = folder.path("none.xdf");
    write(Path::new(&file), OVER_MUSCLES, 1.0, 0.0);
    let (profile, talk) = calibrate(&["--xdf", &file, "--out", &folder.path("none")]).unwrap();
    if let Some(fit) = profile.contraction {
        assert!(fit.hits < CUES / 2, "{talk}");
    } else {
        assert!(talk.contains("contraction: not used."), "{talk}");
    }
    let file = folder.path("behind.xdf");
    write(Path::new(&file), ["Cz", "Pz", "O1", "O2"], 1.0, 25.0);
    let refused = calibrate(&["--xdf", &file, "--out", &folder.path("behind")]).unwrap_err();
    assert!(refused.message.contains("Label one EMG"), "{refused:?}");
}
