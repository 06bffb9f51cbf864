//! Whether a person's flashes are enough to fit on; if not, what is missing of the whole session, and what would be enough.

use razvilka_calibration::Epochs;
use razvilka_dsp::eeg::EegSpec;
use razvilka_dsp::epoch::Rejection;

use super::material::{WithFlashes, file_name};
use super::prior::CLASS_MIN;
use crate::cli::exit::{Exit, Failure};
use crate::cli::flashes::out_of_reach;
use crate::cli::recorded::Passed;

/// What a session that makes a good scorer has.
const GOOD: &str = "60 targets among 360 flashes, about a minute, make a good one";

/// What was found of a session.
pub(super) struct Found {
    /// Flashes with `"target":1` and with `"target":0`.
    labelled: (usize, usize),
    /// Those of them that can be fitted on.
    usable: (usize, usize),
    /// Epochs that are whole, whatever their signal.
    whole: usize,
    /// Flashes, labelled or not.
    flashes: usize,
    /// Length of an epoch, seconds.
    epoch_s: f64,
    /// Why flashes are out of reach of the EEG, per recording in which all are.
    out_of_reach: Vec<String>,
    recordings: usize,
    rejected: Vec<(Rejection, usize)>,
}

fn refused(what: String) -> Failure {
    Failure::said(Exit::Source, what)
}

impl Found {
    pub(super) fn of(
        spec: &EegSpec,
        recordings: &[WithFlashes<'_>],
        passed: &[Passed],
        epochs: &Epochs,
    ) -> Result<Self, Failure> {
        let all = || recordings.iter().flat_map(|(_, flashes)| flashes);
        let count = |target| all().filter(|flash| flash.target == Some(target)).count();
        let mut out = Vec::new();
        for (recorded, flashes) in recordings {
            if let Some(why) = out_of_reach(recorded.eeg()?, flashes) {
                out.push(format!("{}: {why}", file_name(recorded.path())));
            }
        }
        let mut rejected: Vec<(Rejection, usize)> = Vec::new();
        for (why, n) in passed.iter().flat_map(Passed::rejected) {
            match rejected.iter_mut().find(|(known, _)| *known == why) {
                Some((_, sum)) => *sum += n,
                None => rejected.push((why, n)),
            }
        }
        Ok(Self {
            labelled: (count(true), count(false)),
            usable: (epochs.targets(), epochs.len() - epochs.targets()),
            whole: passed.iter().map(|p| p.epochs.len()).sum(),
            flashes: all().count(),
            epoch_s: spec.epoch.start.get() + spec.epoch.length.get(),
            out_of_reach: out,
            recordings: recordings.len(),
            rejected,
        })
    }

    /// Refuses a session none of whose flashes has a whole epoch.
    pub(super) fn refuse_none_whole(&self) -> Result<(), Failure> {
        if self.whole > 0 {
            return Ok(());
        }
        match self.out_of_reach.first() {
            Some(why) if self.out_of_reach.len() == self.recordings => Err(refused(why.clone())),
            _ => Err(refused(format!(
                "none of the {} flashes is followed by {} s of EEG, the length of an epoch. Go on recording after the last flash, or \
                 make epochs shorter with --epoch-s",
                self.flashes, self.epoch_s
            ))),
        }
    }

    /// Refuses a session with too few targets or non-targets, which only a prior could make up for.
    pub(super) fn refuse_too_few(&self) -> Result<(), Failure> {
        let (targets, others) = self.labelled;
        let (usable_targets, usable_others) = self.usable;
        if usable_targets.min(usable_others) >= CLASS_MIN {
            return Ok(());
        }
        if targets == 0 || others == 0 {
            let (there, missing) = if targets == 0 { (0, 1) } else { (1, 0) };
            return Err(refused(format!(
                "all {} labelled flashes have \"target\":{there}, none has \"target\":{missing}: what targets differ from must be there, \
                 too. {CLASS_MIN} of both are needed; {GOOD}. Check what the paradigm sends",
                targets.max(others)
            )));
        }
        let mut why = if (targets, others) == self.usable {
            String::new()
        } else {
            format!(", of which {usable_targets} and {usable_others} can be used")
        };
        if targets.min(others) >= CLASS_MIN && !self.rejected.is_empty() {
            let reasons: Vec<String> = self
                .rejected
                .iter()
                .map(|(why, n)| format!("{} {n}", why.words()))
                .collect();
            why = format!("{why} (epochs in doubt: {})", reasons.join(", "));
        }
        for out in &self.out_of_reach {
            why = format!("{why}; {out}");
        }
        Err(refused(format!(
            "the session has {targets} targets and {others} non-targets{why}. {CLASS_MIN} of both are needed; {GOOD}. Record more, or \
             let a prior from other people help: --prior-from"
        )))
    }
}
