//! Signals on cue: what is kept of them, and what is said.

use std::io::Write;

use razvilka_calibration::{
    DeliberateBlink, DeliberateContraction, fit_deliberate_blink, fit_deliberate_contraction,
};

use super::say;
use crate::cli::exit::Failure;
use crate::cli::recorded::Recorded;

/// The deliberate blink, from the last recording in which it was asked for; where it cannot be told the rest goes on without it.
pub(super) fn deliberate_blink(
    recordings: &[Recorded],
    talk: &mut impl Write,
) -> Result<Option<DeliberateBlink>, Failure> {
    let mut trials = None;
    for recorded in recordings {
        trials = recorded.blink_trials()?.or(trials);
    }
    let Some(trials) = trials else {
        return Ok(None);
    };
    match fit_deliberate_blink(&trials) {
        Ok(blink) => {
            let (per_min, up_to) = blink.false_alarms_per_min();
            say(
                talk,
                format_args!(
                    "deliberate blink: {} of {} told, {} of {} spontaneous ones taken for it in {:.0} s ({per_min:.1} per minute, up to \
                     {up_to:.1}), reliability {:.2}, held out",
                    blink.hits,
                    blink.cues,
                    blink.false_alarms,
                    blink.spontaneous,
                    blink.rest_s,
                    blink.reliability
                ),
            );
            Ok(Some(blink))
        }
        Err(error) => {
            say(
                talk,
                format_args!(
                    "deliberate blink: not used. {error}. Calibrate for longer, or with more blink.cues"
                ),
            );
            Ok(None)
        }
    }
}

/// The contraction of jaw or brow, from the last recording in which it was asked for; where it cannot be told the rest goes on without it.
/// The notch is at mains of `mains_hz`, 0 for none.
pub(super) fn deliberate_contraction(
    recordings: &[Recorded],
    mains_hz: f64,
    talk: &mut impl Write,
) -> Result<Option<DeliberateContraction>, Failure> {
    let mut trials = None;
    for recorded in recordings {
        trials = recorded.contraction_trials(mains_hz)?.or(trials);
    }
    let Some(trials) = trials else {
        return Ok(None);
    };
    match fit_deliberate_contraction(&trials) {
        Ok(fit) => {
            let (per_min, up_to) = fit.false_alarms_per_min();
            say(
                talk,
                format_args!(
                    "contraction ({}): {} of {} told, {} of {} unasked ones taken for it in {:.0} s ({per_min:.1} per minute, up to \
                     {up_to:.1}), reliability {:.2}, held out",
                    fit.channels.join(", "),
                    fit.hits,
                    fit.cues,
                    fit.false_alarms,
                    fit.spontaneous,
                    fit.rest_s,
                    fit.reliability
                ),
            );
            Ok(Some(fit))
        }
        Err(error) => {
            say(
                talk,
                format_args!(
                    "contraction: not used. {error}. Calibrate for longer, or with more contraction.cues"
                ),
            );
            Ok(None)
        }
    }
}
