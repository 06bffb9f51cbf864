//! The pupil, where the person was told what to want.

use std::io::Write;

use razvilka_calibration::{GazeCalibration, PupilCalibration, PupilTrials, fit_pupil};

use super::say;
use crate::cli::exit::Failure;
use crate::cli::recorded::Recorded;

/// What a calibrated pupil tells, in words.
pub(in crate::cli) fn pupil_in_words(pupil: &PupilCalibration) -> String {
    format!(
        "pupil: AUC {:.2} ({:.2} to {:.2}) of {} options that were to be wanted against {} others, {} and {} of them supported, \
         reliability {:.2}, held out",
        pupil.auc.value,
        pupil.auc.ci_low,
        pupil.auc.ci_high,
        pupil.wanted,
        pupil.others,
        pupil.supported,
        pupil.false_support,
        pupil.reliability
    )
}

/// The pupil from every recording in which the person was told what to want; where it tells nothing the rest goes on without it.
pub(super) fn calibrate(
    recordings: &[Recorded],
    gaze: Option<&GazeCalibration>,
    talk: &mut impl Write,
) -> Result<Option<PupilCalibration>, Failure> {
    let maps = gaze.and_then(GazeCalibration::maps);
    let mut trials = PupilTrials::default();
    for recorded in recordings {
        if let Some(more) = recorded.pupil_trials(maps)? {
            trials.cues += more.cues;
            trials.looks.extend(more.looks);
            trials.moves.extend(more.moves);
        }
    }
    if trials.cues == 0 {
        return Ok(None);
    }
    match fit_pupil(&trials) {
        Ok(pupil) => {
            say(talk, format_args!("{}", pupil_in_words(&pupil)));
            Ok(Some(pupil))
        }
        Err(error) => {
            say(
                talk,
                format_args!(
                    "pupil: not used. {error}. The session goes on without it; more pupil.cues may help, and steady light does"
                ),
            );
            Ok(None)
        }
    }
}
