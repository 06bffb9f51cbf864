//! What a calibration is fitted on when a test has nothing but epochs.

use razvilka_calibration::{CalibrationInput, EegInput, Epochs, Provenance};
use razvilka_dsp::eeg::EegSpec;

/// A session of EEG alone: no prior, no gaze, nothing rejected, nothing known of the recording.
pub(crate) fn eeg_alone(labels: Vec<String>, path: EegSpec, epochs: Epochs) -> CalibrationInput {
    CalibrationInput {
        eeg: Some(EegInput {
            labels,
            path,
            epochs,
            prior: None,
            rejected: 0,
            signal: None,
        }),
        gaze: razvilka_calibration::GazeInput::default(),
        provenance: Provenance {
            created_utc: String::new(),
            software: "test".into(),
            sources: Vec::new(),
        },
    }
}
