//! Recordings that cannot be used, and recordings in another unit.

use std::path::Path;

use razvilka::recording::xdf::Writer;
use razvilka::recording::{RecordedStream, Recording};

use super::made::{self, Folder, calibrate, score};
use super::{dirty, judged};

/// Writes a recording again: its EEG, if any, with this rate, and its markers after `change`.
fn rewritten(from: &str, to: &str, rate_hz: Option<f64>, change: impl Fn(&str) -> String) {
    let recording = Recording::open(Path::new(from)).unwrap();
    let mut writer = Writer::create(Path::new(to)).unwrap();
    for stream in &recording.streams {
        if stream.spec.kind != "EEG" {
            let id = writer.add_stream(&stream.spec).unwrap();
            let (at, texts): (Vec<f64>, Vec<String>) =
                stream.markers().map(|(t, text)| (t, change(text))).unzip();
            writer.texts(id, &at, &texts).unwrap();
        } else if let Some(rate_hz) = rate_hz {
            let mut spec = stream.spec.clone();
            (spec.rate_hz, spec.xml) = (rate_hz, String::new());
            let id = writer.add_stream(&spec).unwrap();
            let rows = (0..stream.len()).flat_map(|i| stream.numbers(i).unwrap());
            let data: Vec<f32> = rows.map(|x| *x as f32).collect();
            writer.floats(id, &stream.stamps, &data).unwrap();
        }
    }
    writer.finish().unwrap();
}

#[test]
fn what_cannot_be_fitted_or_scored_says_why_and_what_would_be_enough() {
    let folder = Folder::new();
    let plain = folder.recording("plain.xdf", made::PLAIN);
    let few = folder.recording(
        "few.xdf",
        made::Made {
            flashes: 12,
            ..made::PLAIN
        },
    );
    let files = ["one.xdf", "markers.xdf", "dead.xdf", "rate.xdf"].map(|name| folder.path(name));
    let [one, markers, dead, rate] = &files;
    let same = |text: &str| text.to_owned();
    rewritten(&plain, one, Some(250.0), |text| {
        text.replace("\"target\": 1", "\"target\": 0")
    });
    rewritten(&plain, markers, None, same);
    rewritten(&plain, rate, Some(256.0), same);
    dirty(Path::new(&plain), dead, |eeg| {
        eeg.rows.iter_mut().for_each(|row| row.fill(-187_500.02));
    });
    for (file, words) in [
        (
            &few,
            vec!["the session has 2 targets", "10 of both are needed"],
        ),
        (one, vec!["none has \"target\":1", "10 of both are needed"]),
        (markers, vec!["there is no EEG stream with samples"]),
        (
            dead,
            vec!["0 of 4 channels are good", "2 are needed", "Fz, Cz, Pz, Oz"],
        ),
    ] {
        let out = folder.path("refused");
        let failure = calibrate(&["--xdf", file, "--out", &out]).unwrap_err();
        println!("{failure}");
        for word in words {
            assert!(failure.message.contains(word), "{word}: {failure}");
        }
        assert_eq!(
            std::fs::read_dir(&out).unwrap().count(),
            0,
            "something was written"
        );
    }
    let out = folder.path("out");
    calibrate(&["--xdf", &plain, "--out", &out]).unwrap();
    let profile = format!("{out}/profile.json");
    let failure = score(&["p300", "--calibration", &profile, "--xdf", rate]).unwrap_err();
    println!("{failure}");
    assert!(
        failure.message.contains("250") && failure.message.contains("256"),
        "{failure}"
    );
}

/// A recording whose numbers are volts, said or not.
#[test]
fn volts_are_taken_as_such_where_they_are_declared_and_the_person_is_warned_where_they_are_not() {
    let folder = Folder::new();
    let plain = folder.recording("plain.xdf", made::PLAIN);
    let mut scores = Vec::new();
    let recording = Recording::open(Path::new(&plain)).unwrap();
    for (unit, factor, words) in [
        ("", 1.0, None),
        ("microvolts", 1.0, None),
        ("volts", 1e-6, Some("the EEG is in volts; taken as such")),
        (
            "",
            1e-6,
            Some("warning: the EEG declares no unit, but its numbers can only be volts"),
        ),
        (
            "uV",
            1e-6,
            Some("warning: the EEG declares uV, but its numbers can only be volts"),
        ),
    ] {
        let file = folder.path("unit.xdf");
        let _ = std::fs::remove_file(&file);
        let mut writer = Writer::create(Path::new(&file)).unwrap();
        let is_eeg = |s: &&RecordedStream| s.spec.kind == "EEG";
        let eeg = recording.streams.iter().find(is_eeg).unwrap();
        let marks = recording.streams.iter().find(|s| !is_eeg(s)).unwrap();
        let mut spec = eeg.spec.clone();
        spec.units = vec![unit.to_owned(); spec.labels.len()];
        spec.xml = String::new();
        let a = writer.add_stream(&spec).unwrap();
        let b = writer.add_stream(&marks.spec).unwrap();
        let data: Vec<f32> = (0..eeg.len())
            .flat_map(|i| {
                eeg.numbers(i)
                    .unwrap()
                    .iter()
                    .map(move |x| (x * factor) as f32)
            })
            .collect();
        writer.floats(a, &eeg.stamps, &data).unwrap();
        let (at, texts): (Vec<f64>, Vec<String>) = marks
            .markers()
            .map(|(t, text)| (t, text.to_owned()))
            .unzip();
        writer.texts(b, &at, &texts).unwrap();
        writer.finish().unwrap();
        let (value, scored, talk, _) = judged(&folder, &format!("{unit}{factor}"), &file, &file);
        match words {
            Some(words) => assert!(talk.contains(words), "{talk}"),
            None => assert!(!talk.contains("the EEG "), "{talk}"),
        }
        scores.push((value, scored));
    }
    for (value, scored) in &scores {
        assert!((value - scores[0].0).abs() < 0.002, "{scores:?}");
        assert_eq!(*scored, scores[0].1);
    }
}
