//! Faults that are asked for appear as asked, and nowhere else.

use razvilka::sim::{SettingsError, SimSettings};

use crate::script::{Script, record};

fn with(faults: &[&str]) -> Result<SimSettings, SettingsError> {
    Ok(SimSettings {
        faults: faults
            .iter()
            .map(|fault| fault.parse())
            .collect::<Result<_, _>>()?,
        ..SimSettings::default()
    })
}

#[test]
fn railed_flat_and_nan_channels_leave_the_others_untouched() {
    let healthy = record(&SimSettings::default(), &Script::default(), 10.0);
    let settings = with(&["railed=P3", "flat=Oz", "nan=Cz@2+0.5"]).unwrap();
    let faulty = record(&settings, &Script::default(), 10.0);
    for label in &settings.channels {
        let (sound, sick) = (
            healthy.channel(&settings, label),
            faulty.channel(&settings, label),
        );
        match label.as_str() {
            "P3" => assert!(sick.iter().all(|uv| *uv == 187_500.0)),
            "Oz" => assert!(sick.iter().all(|uv| *uv == 0.0)),
            "Cz" => {
                for ((t, a), b) in faulty.eeg_s.iter().zip(sound).zip(sick) {
                    let broken = (2.0..2.5).contains(t);
                    assert!(if broken { b.is_nan() } else { a == b }, "{t}");
                }
            }
            _ => assert_eq!(sound, sick),
        }
    }
}

#[test]
fn a_gap_stops_the_amplifier_alone() {
    let settings = with(&["gap@3+1.5"]).unwrap();
    let recording = record(&settings, &Script::default(), 10.0);
    assert_eq!(recording.eeg_s.len(), 2500 - 375);
    assert!(!recording.eeg_s.iter().any(|t| (3.0..4.5).contains(t)));
    assert_eq!(recording.gaze_s.len(), 2500);
}
