//! A prior kept in a file: what is read is what was written, and nothing else is read.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod common;

use std::path::Path;

use common::Noise;
use razvilka_calibration::{
    CalibrationError, EpochInfo, Epochs, Montage, Overwrite, Prior, PriorFile, Provenance,
    SourceFile,
};
use razvilka_dsp::eeg::EegSpec;
use razvilka_dsp::units::Hertz;

const CHANNELS: usize = 4;

fn path() -> EegSpec {
    EegSpec::p300(Hertz::new(250.0).unwrap(), CHANNELS)
}

/// Noise with a bump after targets.
fn person(seed: u64) -> Epochs {
    let bins = path().epoch_shape().unwrap().bins();
    let mut noise = Noise(seed);
    let mut epochs = Epochs::new(CHANNELS, bins).unwrap();
    for index in 0..120 {
        let target = index % 5 == 2;
        let values: Vec<f64> = (0..CHANNELS * bins)
            .map(|k| {
                20.0 * (noise.uniform() - 0.5)
                    + if target && k % bins > bins / 2 {
                        4.0
                    } else {
                        0.0
                    }
            })
            .collect();
        let info = EpochInfo {
            onset_s: 0.2 * f64::from(index),
            target,
            run: 0,
        };
        epochs.push(info, &values).unwrap();
    }
    epochs
}

fn made() -> PriorFile {
    PriorFile {
        provenance: Provenance {
            created_utc: "2026-01-01T00:00:00Z".into(),
            software: "test".into(),
            sources: vec![SourceFile {
                name: "a.xdf".into(),
                sha256: "ab".repeat(32),
            }],
        },
        montage: Montage {
            labels: ["Fz", "Cz", "Pz", "Oz"].map(str::to_owned).to_vec(),
            rate_hz: 250.0,
        },
        path: path(),
        prior: Prior::of_people(&[person(1), person(2), person(3)], &[0, 1, 2]).unwrap(),
    }
}

fn load(folder: &Path, bytes: &[u8]) -> CalibrationError {
    let file = folder.join("foreign.prior");
    std::fs::write(&file, bytes).unwrap();
    PriorFile::load(&file).unwrap_err()
}

#[test]
fn a_prior_is_read_as_it_was_written_and_does_not_replace_another() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("people.prior");
    let made = made();
    made.save(&file, Overwrite::Refuse).unwrap();
    assert_eq!(PriorFile::load(&file).unwrap(), made);
    assert!(matches!(
        made.save(&file, Overwrite::Refuse),
        Err(CalibrationError::Exists { .. })
    ));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn a_file_that_was_changed_cut_or_is_something_else_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("people.prior");
    made().save(&file, Overwrite::Refuse).unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    let edited = text.replacen("\"people\":3", "\"people\":2", 1);
    assert_ne!(edited, text);
    assert!(matches!(
        load(folder.path(), edited.as_bytes()),
        CalibrationError::Checksum { what: "prior", .. }
    ));
    for length in [0, 1, 100, text.len() / 2, text.len() - 3] {
        assert!(
            matches!(
                load(folder.path(), &text.as_bytes()[..length]),
                CalibrationError::Foreign { what: "prior", .. }
            ),
            "{length}"
        );
    }
    for bytes in [
        &b"XDF:"[..],
        b"[]",
        b"{\"kind\":\"razvilka-calibration-profile\",\"format\":2}",
        b"\xff\xfe",
    ] {
        assert!(matches!(
            load(folder.path(), bytes),
            CalibrationError::Foreign { .. }
        ));
    }
    assert!(matches!(
        load(
            folder.path(),
            text.replacen("\"format\":1", "\"format\":9", 1).as_bytes()
        ),
        CalibrationError::Newer {
            found: 9,
            supported: 1,
            ..
        }
    ));
    assert!(matches!(
        PriorFile::load(&folder.path().join("none")),
        Err(CalibrationError::Unreadable { .. })
    ));
}

#[test]
fn statistics_that_do_not_fit_one_another_are_refused_before_they_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("people.prior");
    let spoilt: [fn(&mut PriorFile); 6] = [
        |p| p.prior.time.difference.truncate(3),
        |p| p.prior.base_rate = 1.5,
        |p| p.prior.prototype[0] = f64::NAN,
        |p| p.montage.labels.truncate(2),
        |p| p.prior.people = 0,
        |p| p.prior.outlook.as_mut().unwrap().targets.truncate(5),
    ];
    for spoil in spoilt {
        let mut prior = made();
        spoil(&mut prior);
        assert!(prior.save(&file, Overwrite::Replace).is_err());
        assert!(!file.exists());
    }
}

#[test]
fn no_epoch_of_anybody_is_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("people.prior");
    made().save(&file, Overwrite::Refuse).unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    for seed in 1..=3 {
        for value in person(seed).row(0) {
            assert!(!text.contains(&value.to_string()), "{value}");
        }
    }
}
