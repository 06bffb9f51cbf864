//! Bad channels: the EEG thread is given a scorer that does without them, at the opening of a fork or, when a channel goes bad
//! within one, from a flash on that is still to come.
//!
//! Within a fork the flash is named by the stamp of its onset, [`AHEAD`] after now, and the scorer is sent before anything is
//! written, as a disk or a terminal may be slow. So which scorer a flash gets is a matter of its stamp alone, live and in replay.

use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, TryRecvError, bounded};
use razvilka_calibration::{CalibrationError, EegCalibration};
use razvilka_dsp::mask::ChannelMask;
use razvilka_dsp::score::{EpochScorer, ScoreDensity};
use ringbuf::traits::Producer;

use super::Conductor;
use crate::fork::ForkId;
use crate::pipeline::eeg::NewScorer;
use crate::rt;
use crate::session::EventKind;

/// How far ahead the flash lies from which on a scorer takes over within a fork: longer than the EEG thread can need to hear
/// of it while its stream is not silent.
const AHEAD: Duration = Duration::from_millis(250);

/// A scorer, its densities now, and those of the fit, against which the state of the person is told.
type Restricted = Result<(EpochScorer, ScoreDensity, ScoreDensity), CalibrationError>;

/// A scorer for the channels that are good now, on its way within a fork: for a large cap solving takes a second, which nobody
/// shall wait for.
pub(super) struct Masking {
    fork: ForkId,
    bad: ChannelMask,
    solved: Receiver<Restricted>,
}

impl Masking {
    fn begin(
        calibration: &EegCalibration,
        fitted: [ScoreDensity; 2],
        fork: ForkId,
        bad: ChannelMask,
    ) -> Option<Self> {
        let (tell, solved) = bounded(1);
        let (calibration, kept) = (calibration.clone(), kept(calibration, bad));
        let begun = std::thread::Builder::new()
            .name("mask".into())
            .spawn(move || {
                // Nobody listens any more when the session has ended.
                let _ = tell.send(calibration.restrict_beside(&kept, fitted));
            });
        begun.is_ok().then_some(Self { fork, bad, solved })
    }
}

fn kept(calibration: &EegCalibration, bad: ChannelMask) -> Vec<bool> {
    (0..calibration.path.channels)
        .map(|channel| !bad.contains(channel))
        .collect()
}

impl Conductor<'_> {
    /// At the opening of a fork: gives the EEG thread the scorer of the present calibration without these channels, when either
    /// has changed. Whether it was given.
    pub(super) fn swap_scorer(&mut self, fork: ForkId, bad: ChannelMask, moved: bool) -> bool {
        self.masking = None;
        let Some(eeg) = &mut self.inputs.eeg else {
            return false;
        };
        if eeg.is_busy() {
            // The EEG thread holds two scorers, no more; within the fork the channels are looked at again.
            return false;
        }
        let again = std::mem::take(&mut eeg.again);
        let changed = again || bad != eeg.bad;
        if !(changed || moved) {
            return false;
        }
        let Some(calibration) = self.calibration() else {
            return false;
        };
        let restricted = calibration
            .restrict_beside(&kept(calibration, bad), self.fitted_densities(calibration));
        self.give_scorer(fork, bad, restricted, changed, None)
    }

    /// Within a fork: when other channels are bad than the scorer in use does without, another takes over from a flash on
    /// that is still to come.
    pub(super) fn mask_meanwhile(&mut self) {
        let open = self.question.as_ref().map(|question| question.id);
        let (Some(fork), Some(eeg), Some(bad)) = (open, &self.inputs.eeg, self.bad_now()) else {
            self.masking = None;
            return;
        };
        let busy = eeg.is_busy();
        let wanted = bad != eeg.bad && !eeg.watch.is_poor() && !busy;
        match self.masking.take() {
            Some(masking) if masking.fork == fork && masking.bad == bad && wanted => {
                match masking.solved.try_recv() {
                    Ok(restricted) => {
                        let offset_s = self.inputs.eeg_clock().map_or(0.0, |clock| clock.offset_s);
                        let from_s = rt::lsl_now().get() + AHEAD.as_secs_f64() - offset_s;
                        self.give_scorer(fork, bad, restricted, true, Some(from_s));
                    }
                    Err(TryRecvError::Empty) => self.masking = Some(masking),
                    Err(TryRecvError::Disconnected) => {
                        // It panicked, and would again: the scorer stays while these channels are bad.
                        if let Some(eeg) = &mut self.inputs.eeg {
                            eeg.bad = bad;
                        }
                        let words = "the scorer without the bad channels could not be solved";
                        self.event(EventKind::Fault, words.to_owned());
                        self.note(words);
                    }
                }
            }
            _ if wanted => {
                self.masking = self.calibration().and_then(|calibration| {
                    let fitted = self.fitted_densities(calibration);
                    Masking::begin(calibration, fitted, fork, bad)
                });
            }
            _ => {}
        }
    }

    /// The channels that are bad, of those that the calibration uses; `None` without EEG.
    pub(super) fn bad_now(&self) -> Option<ChannelMask> {
        let used = self.calibration()?.channels_used();
        let eeg = self.inputs.eeg.as_ref()?;
        Some(eeg.watch.bad().intersection(&used))
    }

    /// Says what is bad, and gives the EEG thread the scorer that does without. Whether it was given.
    fn give_scorer(
        &mut self,
        fork: ForkId,
        bad: ChannelMask,
        restricted: Restricted,
        changed: bool,
        from_s: Option<f64>,
    ) -> bool {
        let labels = self.calibration().map_or(&[][..], |known| &known.labels);
        let names: Vec<_> = bad
            .iter()
            .filter_map(|channel| labels.get(channel).map(String::as_str))
            .collect();
        let words = if names.is_empty() {
            "all channels are good again".to_owned()
        } else {
            format!("bad channels: {}", names.join(", "))
        };
        let Some(eeg) = &mut self.inputs.eeg else {
            return false;
        };
        eeg.bad = bad;
        match restricted {
            Ok((scorer, density, fitted)) => {
                eeg.fitted = fitted;
                eeg.swapped_at = Some(match from_s {
                    Some(_) => Instant::now() + AHEAD,
                    None => Instant::now(),
                });
                eeg.within = from_s.is_some();
                eeg.mixed_in = from_s.map(|_| fork);
                // Eight may be under way; a full ring means that the thread has ended, which the heartbeat shows.
                let _ = eeg.scorers.try_push(NewScorer {
                    scorer,
                    density,
                    from_s,
                });
                if changed {
                    let mut detail = serde_json::json!({ "bad_channels": bad, "fork": fork });
                    if let Some(from_s) = from_s {
                        detail["from_s"] = from_s.into();
                    }
                    self.event(EventKind::Exchange, detail.to_string());
                    self.note(&words);
                }
                true
            }
            Err(error) => {
                // The scorer stays; epochs that need the bad channels are rejected one by one.
                if changed {
                    let words = format!("{words}; no scorer can do without them: {error}");
                    self.event(EventKind::Fault, words.clone());
                    self.note(&words);
                }
                false
            }
        }
    }
}
