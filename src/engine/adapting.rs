//! Learning from confirmed choices: which epochs, in which order, and what the ledger says of it.
//!
//! Pure, and the same live and in replay: the same epochs and the same confirmed choices move the scorer to the same bits. A choice is
//! confirmed when the person has chosen on from it; one that was taken back before teaches nothing. Its flashes are those that
//! the gate was given: the chosen item's are targets, the rest are not.

use std::collections::{BTreeMap, VecDeque};

use razvilka_calibration::{
    Adaptive, CalibrationError, ConfirmedEpoch, EegCalibration, EpochInfo, Epochs, Learnt, refit,
    worth_taking,
};
use razvilka_dsp::mask::ChannelMask;
use razvilka_dsp::score::ScoreDensity;
use serde::{Deserialize, Serialize};

use crate::config::AdaptationSection;
use crate::fork::ForkId;
use crate::pipeline::features::HeardEpoch;

/// Epochs of forks that are not confirmed yet, in forks' worth of the most that one may give.
const HEARD_FORKS: usize = 8;
/// Confirmed choices that can wait for the next opening.
const WAITING_MAX: usize = 8;

/// A fork that the person answered with a branch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// The question.
    pub fork: ForkId,
    /// The item chosen.
    pub chosen: u32,
    /// Numbers of the flashes that the gate was given.
    pub flashes: Vec<u32>,
}

/// What one confirmed choice taught.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lesson {
    /// The choice, with the flashes whose epochs were there.
    #[serde(flatten)]
    pub answered: Answered,
    /// Flashes whose epochs were not: a channel was bad, or the ring was full.
    pub missed: usize,
    /// Epochs that went in.
    pub used: usize,
    /// Epochs that were refused.
    pub refused: usize,
    /// Whether the scorer moved.
    pub taken: bool,
}

/// What came of a fit anew.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Refitted {
    /// Confirmed choices that went in, counted from the first of the session.
    pub choices: u64,
    /// Epochs that went in, those of the calibration included.
    pub epochs: usize,
    /// Log loss of the scorers that ran, on the epochs of confirmed choices, before each was learnt from; nats.
    pub loss_before: f64,
    /// Log loss of the fit anew on the same epochs, held out.
    pub loss_after: f64,
    /// Whether it took over: its loss is not higher.
    pub taken: bool,
    /// Why there is none.
    pub failed: Option<String>,
}

/// One step, as its event tells it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Adaptation {
    /// The fork at whose opening it was.
    pub fork: ForkId,
    /// The channels that the new scorer does without.
    pub bad_channels: ChannelMask,
    /// Whether the EEG thread was given a new scorer.
    pub exchanged: bool,
    /// What was learnt, in this order.
    pub lessons: Vec<Lesson>,
    /// A fit anew that was ready.
    pub refit: Option<Refitted>,
    /// Whether a fit anew was begun after all that.
    pub refit_begun: bool,
    /// How far the weights have turned since the last fit: 1 minus the correlation of the scores.
    pub change: f64,
    /// Whether the adaptation stands still, its bound reached.
    pub stands: bool,
    /// How far scores lie above what the latest fit said, in scales of its non-targets' density.
    #[serde(default)]
    pub score_shift: f64,
    /// How many times as wide as the latest fit said the scores spread.
    #[serde(default)]
    pub score_stretch: f64,
    /// Over every bit of the discriminant and its densities.
    pub digest: String,
}

impl Adaptation {
    /// Whether the scorer has moved.
    #[must_use]
    pub fn moved(&self) -> bool {
        self.lessons.iter().any(|lesson| lesson.taken)
            || self.refit.as_ref().is_some_and(|refit| refit.taken)
    }

    /// What was learnt, for people.
    #[must_use]
    pub fn in_words(&self) -> String {
        let mut said = Vec::new();
        for lesson in &self.lessons {
            let Lesson {
                answered,
                missed,
                used,
                refused,
                taken,
            } = lesson;
            let left_out = match missed + refused {
                0 => String::new(),
                some => format!(", {some} left out"),
            };
            let moved = if *taken { "" } else { ", nothing moved" };
            let fork = answered.fork.0;
            said.push(format!("{used} flashes of fork {fork}{left_out}{moved}"));
        }
        if let Some(refit) = &self.refit {
            let Refitted {
                epochs,
                loss_before,
                loss_after,
                ..
            } = refit;
            said.push(match (&refit.failed, refit.taken) {
                (Some(why), _) => format!("a fit anew came to nothing: {why}"),
                (None, true) => format!(
                    "a fit anew on {epochs} epochs took over (log loss {loss_before:.3} before, {loss_after:.3} after)"
                ),
                (None, false) => format!(
                    "a fit anew on {epochs} epochs was not taken (log loss {loss_before:.3} before, {loss_after:.3} after)"
                ),
            });
        }
        let stands = if self.stands {
            ", and stand still: the bound is reached"
        } else {
            ""
        };
        let Self {
            change,
            score_shift: shift,
            score_stretch: stretch,
            ..
        } = self;
        said.push(format!(
            "weights turned by {change:.3}{stands}; scores moved by {shift:+.2} scales and spread {stretch:.2} times as wide"
        ));
        said.join("; ")
    }
}

/// A fit anew, to be done off everybody's way.
pub struct RefitJob {
    calibration: EegCalibration,
    epochs: Epochs,
    own: usize,
    before: Vec<f64>,
    choices: u64,
}

/// What a fit anew gave.
pub struct RefitDone {
    result: Result<(EegCalibration, f64, f64), CalibrationError>,
    choices: u64,
    epochs: usize,
}

impl RefitJob {
    /// Fits; takes seconds.
    #[must_use]
    pub fn run(self) -> RefitDone {
        let labels: Vec<bool> = self.epochs.labels().into_iter().skip(self.own).collect();
        let result = refit(&self.calibration, &self.epochs).and_then(|anew| {
            let after = anew.llrs.get(self.own..).unwrap_or_default();
            let (old, new) = worth_taking(&self.before, after, &labels)?;
            Ok((anew.calibration, old, new))
        });
        RefitDone {
            result,
            choices: self.choices,
            epochs: self.epochs.len(),
        }
    }
}

/// The epochs of one confirmed choice, kept for a fit anew.
struct Kept {
    /// Which confirmed choice of the session, from 1.
    choice: u64,
    epochs: Vec<(EpochInfo, Vec<f32>)>,
    /// What the scorer that ran said of each, before it learnt from them.
    llrs: Vec<f64>,
}

/// Everything that learning needs.
pub struct Adapting {
    settings: AdaptationSection,
    fitted: EegCalibration,
    adaptive: Adaptive,
    /// Epochs of forks that are not confirmed yet.
    heard: BTreeMap<(ForkId, u32), HeardEpoch>,
    latest: Option<Answered>,
    waiting: VecDeque<Answered>,
    /// Epochs of the calibration, where they are at hand; without them nothing is fitted anew.
    own: Option<Epochs>,
    kept: VecDeque<Kept>,
    choices: u64,
    refit_from: u64,
    refitting: bool,
}

impl Adapting {
    /// Begins where the calibration ended. `own` are its epochs, where they are at hand.
    ///
    /// # Errors
    /// [`CalibrationError::OutOfRange`] for settings that the plan refuses, too.
    pub fn new(
        calibration: &EegCalibration,
        settings: &AdaptationSection,
        own: Option<Epochs>,
    ) -> Result<Self, CalibrationError> {
        Ok(Self {
            settings: settings.clone(),
            fitted: calibration.clone(),
            adaptive: Adaptive::new(calibration.clone(), settings.rule())?,
            heard: BTreeMap::new(),
            latest: None,
            waiting: VecDeque::new(),
            own: own.filter(|_| settings.refit_every_forks > 0),
            kept: VecDeque::new(),
            choices: 0,
            refit_from: 0,
            refitting: false,
        })
    }

    /// The calibration as it is now.
    #[must_use]
    pub fn calibration(&self) -> &EegCalibration {
        self.adaptive.calibration()
    }

    /// The densities of the scorer and of the LDA alone as they were fitted, whatever scores have done since.
    #[must_use]
    pub fn fitted_densities(&self) -> [ScoreDensity; 2] {
        self.adaptive.fitted_densities()
    }

    /// An epoch came in.
    pub fn hear(&mut self, epoch: HeardEpoch) {
        self.heard
            .insert((epoch.id.fork(), epoch.id.number()), epoch);
    }

    /// Lets go of the oldest epochs beyond what the forks that are not confirmed yet may give.
    pub fn forget_the_oldest(&mut self) {
        let most = HEARD_FORKS * self.settings.epochs_per_fork_max as usize;
        while self.heard.len() > most {
            self.heard.pop_first();
        }
    }

    /// The person chose a branch: the choice before it is confirmed.
    pub fn answered(&mut self, answered: Answered) {
        if let Some(before) = self.latest.replace(answered)
            && !before.flashes.is_empty()
        {
            while self.waiting.len() >= WAITING_MAX {
                self.waiting.pop_front();
            }
            self.waiting.push_back(before);
        }
    }

    /// The latest choice was taken back, or may have been: it teaches nothing.
    pub fn taken_back(&mut self) {
        self.latest = None;
    }

    /// Choices that were confirmed since the last time this was asked, as far as their epochs are there.
    pub fn confirmed(&mut self) -> Vec<Answered> {
        self.waiting.drain(..).collect()
    }

    /// Learns from confirmed choices, in their order, and then takes over a fit anew that is ready, if it is not worse. What was
    /// confirmed after that had begun is learnt once more.
    ///
    /// The step says everything but [`Adaptation::exchanged`] and [`Adaptation::refit_begun`]; `None` when there was nothing to
    /// learn from.
    pub fn step(
        &mut self,
        fork: ForkId,
        bad_channels: ChannelMask,
        confirmed: &[Answered],
        done: Option<RefitDone>,
    ) -> Option<Adaptation> {
        let lessons: Vec<Lesson> = confirmed
            .iter()
            .map(|answered| self.learn(answered))
            .collect();
        let refit = done.map(|done| self.take_over(done));
        if lessons.is_empty() && refit.is_none() {
            return None;
        }
        let (change, stands) = (self.adaptive.change(), self.adaptive.stands());
        Some(Adaptation {
            fork,
            bad_channels,
            exchanged: false,
            lessons,
            refit,
            refit_begun: false,
            change,
            stands,
            score_shift: self.adaptive.drift().shift(),
            score_stretch: self.adaptive.drift().stretch(),
            digest: self.adaptive.digest(),
        })
    }

    fn learn(&mut self, answered: &Answered) -> Lesson {
        let mut found = Vec::with_capacity(answered.flashes.len());
        for number in &answered.flashes {
            found.extend(self.heard.remove(&(answered.fork, *number)));
        }
        // What is left of forks before this one will not be confirmed any more.
        self.heard = self.heard.split_off(&(answered.fork, 0));
        let target = |epoch: &HeardEpoch| u32::from(epoch.id.item()) == answered.chosen;
        let epochs: Vec<ConfirmedEpoch<'_>> = found
            .iter()
            .map(|epoch| ConfirmedEpoch {
                target: target(epoch),
                features: &epoch.features,
            })
            .collect();
        self.choices += 1;
        if let Some(own) = &self.own {
            let first_run = own.info().iter().map(|info| info.run + 1).max();
            let run = first_run.unwrap_or(0) + self.choices as u32;
            let infos = found.iter().map(|epoch| EpochInfo {
                onset_s: epoch.onset_s,
                target: target(epoch),
                run,
            });
            let llrs = llrs_of(self.adaptive.calibration(), &epochs);
            let kept = Kept {
                choice: self.choices,
                epochs: infos
                    .zip(found.iter().map(|epoch| epoch.features.clone()))
                    .collect(),
                llrs,
            };
            self.keep(kept);
        }
        let unmoved = Learnt {
            used: 0,
            refused: epochs.len(),
            change: 0.0,
            taken: false,
        };
        let learnt = self.adaptive.learn(&epochs).unwrap_or(unmoved);
        Lesson {
            answered: Answered {
                flashes: found.iter().map(|epoch| epoch.id.number()).collect(),
                ..answered.clone()
            },
            missed: answered.flashes.len() - found.len(),
            used: learnt.used,
            refused: learnt.refused,
            taken: learnt.taken,
        }
    }

    fn keep(&mut self, kept: Kept) {
        self.kept.push_back(kept);
        let most = self.settings.refit_epochs_max as usize;
        let mut held: usize = self.kept.iter().map(|kept| kept.epochs.len()).sum();
        while held > most
            && let Some(oldest) = self.kept.pop_front()
        {
            held -= oldest.epochs.len();
        }
    }

    fn take_over(&mut self, done: RefitDone) -> Refitted {
        self.refitting = false;
        let mut said = Refitted {
            choices: done.choices,
            epochs: done.epochs,
            loss_before: 0.0,
            loss_after: 0.0,
            taken: false,
            failed: None,
        };
        let (calibration, before, after) = match done.result {
            Ok(fitted) => fitted,
            Err(error) => {
                said.failed = Some(error.to_string());
                return said;
            }
        };
        (said.loss_before, said.loss_after) = (before, after);
        if after > before {
            return said;
        }
        match Adaptive::new(calibration, self.settings.rule()) {
            Ok(adaptive) => self.adaptive = adaptive,
            Err(error) => {
                said.failed = Some(error.to_string());
                return said;
            }
        }
        said.taken = true;
        for kept in self.kept.iter().filter(|kept| kept.choice > done.choices) {
            let epochs: Vec<ConfirmedEpoch<'_>> = kept
                .epochs
                .iter()
                .map(|(info, features)| ConfirmedEpoch {
                    target: info.target,
                    features,
                })
                .collect();
            // A step that cannot be taken leaves the scorer as it is.
            let _ = self.adaptive.learn(&epochs);
        }
        said
    }

    /// A fit anew, when it is due and none is under way.
    pub fn refit_due(&mut self) -> Option<RefitJob> {
        let own = self.own.as_ref()?;
        let every = u64::from(self.settings.refit_every_forks);
        if self.refitting || self.choices < self.refit_from + every {
            return None;
        }
        let mut epochs = own.clone();
        let mut before = Vec::new();
        for kept in &self.kept {
            for ((info, features), llr) in kept.epochs.iter().zip(&kept.llrs) {
                let features: Vec<f64> = features.iter().map(|x| f64::from(*x)).collect();
                // Finite and of the path's own shape, or the epoch would not have been clean.
                if epochs.push(*info, &features).is_ok() {
                    before.push(*llr);
                }
            }
        }
        self.refitting = true;
        self.refit_from = self.choices;
        Some(RefitJob {
            calibration: self.fitted.clone(),
            own: own.len(),
            epochs,
            before,
            choices: self.choices,
        })
    }
}

/// What this calibration says of epochs that it has not learnt from, nats.
fn llrs_of(calibration: &EegCalibration, epochs: &[ConfirmedEpoch<'_>]) -> Vec<f64> {
    let Ok(mut scorer) = calibration.scorer() else {
        return vec![0.0; epochs.len()];
    };
    let mut llr = |epoch: &ConfirmedEpoch<'_>| -> Option<f64> {
        let features: Vec<f64> = epoch.features.iter().map(|x| f64::from(*x)).collect();
        let score = scorer.score(&features).ok()?;
        calibration.density.llr(score)
    };
    epochs
        .iter()
        .map(|epoch| llr(epoch).unwrap_or(0.0))
        .collect()
}
