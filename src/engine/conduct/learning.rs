//! Learning from confirmed choices while the session runs: steps and fits anew are made on threads of their own, and taken over
//! at the opening of a fork.

use crossbeam::channel::{Receiver, TryRecvError, bounded};
use razvilka_calibration::{EegCalibration, Epochs, Profile};
use razvilka_dsp::mask::ChannelMask;
use razvilka_dsp::score::ScoreDensity;

use super::Conductor;
use super::inputs::Inputs;
use crate::config::Plan;
use crate::engine::EngineError;
use crate::engine::adapting::{Adaptation, Adapting, Answered, RefitDone, RefitJob};
use crate::engine::lines::LineError;
use crate::engine::question::Question;
use crate::fork::ForkId;
use crate::marker::OptionKind;
use crate::pipeline::features::HeardEpoch;
use crate::rt;
use crate::session::EventKind;

/// What learning needs beside the streams.
pub(super) struct Learning {
    held: Held,
    /// The calibration as of the latest step that was taken over.
    now: EegCalibration,
    /// Its densities as they were fitted.
    fitted: [ScoreDensity; 2],
    /// What came while a step was under way, in order.
    later: Vec<Later>,
    refit: Option<Receiver<RefitDone>>,
}

/// Who has what learns. A step solves for the weights, which for a large cap takes a second: a thread of its own does it
/// while the text goes on, and the next opening takes over what is ready.
enum Held {
    Here(Box<Adapting>),
    Away(Receiver<(Box<Adapting>, Option<Adaptation>)>),
    /// The thread could not be started, or panicked: nothing is learnt any more.
    Gone,
}

/// What learning is told.
enum Later {
    Epoch(HeardEpoch),
    Answered(Answered),
    TakenBack,
}

impl Learning {
    /// Nothing where there is nothing to learn from, or nothing shall be learnt.
    pub(super) fn begin(
        plan: &Plan,
        profile: &Profile,
        epochs: Option<Epochs>,
        inputs: &Inputs,
    ) -> Result<Option<Self>, EngineError> {
        let (Some(calibration), Some(_), true) = (&profile.eeg, &inputs.eeg, plan.adaptation.on)
        else {
            return Ok(None);
        };
        let adapting = Adapting::new(calibration, &plan.adaptation, epochs);
        Ok(Some(Self {
            held: Held::Here(Box::new(adapting.map_err(LineError::from)?)),
            now: calibration.clone(),
            fitted: [calibration.density, calibration.lda_density],
            later: Vec::new(),
            refit: None,
        }))
    }

    fn tell(&mut self, what: Later) {
        match (&mut self.held, what) {
            (Held::Here(adapting), Later::Epoch(epoch)) => {
                adapting.hear(epoch);
                adapting.forget_the_oldest();
            }
            (Held::Here(adapting), Later::Answered(answered)) => adapting.answered(answered),
            (Held::Here(adapting), Later::TakenBack) => adapting.taken_back(),
            (Held::Away(_), what) => self.later.push(what),
            (Held::Gone, _) => {}
        }
    }

    /// A fit anew that is ready.
    fn refitted(&mut self) -> Option<RefitDone> {
        match self.refit.as_ref()?.try_recv() {
            Ok(done) => {
                self.refit = None;
                Some(done)
            }
            Err(TryRecvError::Empty) => None,
            // It panicked: nothing is fitted anew any more, as none counts as ended.
            Err(TryRecvError::Disconnected) => {
                self.refit = None;
                None
            }
        }
    }

    /// Begins a step if there is something to learn from, or a fit anew to be judged.
    fn begin_step(&mut self) {
        let Held::Here(adapting) = &mut self.held else {
            return;
        };
        let confirmed = adapting.confirmed();
        let done = self.refitted();
        if confirmed.is_empty() && done.is_none() {
            return;
        }
        let Held::Here(mut adapting) = std::mem::replace(&mut self.held, Held::Gone) else {
            return;
        };
        let (tell, back) = bounded(1);
        let work = move || {
            // Fork and channels are those of the opening that takes it over.
            let step = adapting.step(ForkId(0), ChannelMask::NONE, &confirmed, done);
            let _ = tell.send((adapting, step));
        };
        let begun = std::thread::Builder::new()
            .name("lesson".into())
            .spawn(work);
        if begun.is_ok() {
            self.held = Held::Away(back);
        }
    }

    /// A step that is done.
    fn come_back(&mut self) -> Option<Adaptation> {
        let Held::Away(back) = &self.held else {
            return None;
        };
        match back.try_recv() {
            Ok((adapting, step)) => {
                self.now = adapting.calibration().clone();
                self.fitted = adapting.fitted_densities();
                self.held = Held::Here(adapting);
                for what in std::mem::take(&mut self.later) {
                    self.tell(what);
                }
                step
            }
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => {
                self.held = Held::Gone;
                None
            }
        }
    }

    /// Begins a fit anew if one is due. Nobody waits for it: at the end of the session it ends with the program.
    fn begin_refit(&mut self) -> bool {
        let Held::Here(adapting) = &mut self.held else {
            return false;
        };
        let Some(job) = adapting.refit_due() else {
            return false;
        };
        let (tell, done) = bounded(1);
        let work = move |job: RefitJob| {
            rt::yield_to_everybody();
            let _ = tell.send(job.run());
        };
        let begun = std::thread::Builder::new()
            .name("refit".into())
            .spawn(move || work(job))
            .is_ok();
        self.refit = begun.then_some(done);
        begun
    }
}

impl Conductor<'_> {
    /// The calibration as it is now.
    pub(super) fn calibration(&self) -> Option<&EegCalibration> {
        match &self.learning {
            Some(learning) => Some(&learning.now),
            None => self.profile.eeg.as_ref(),
        }
    }

    /// The densities of this calibration as they were fitted.
    pub(super) fn fitted_densities(&self, calibration: &EegCalibration) -> [ScoreDensity; 2] {
        match &self.learning {
            Some(learning) => learning.fitted,
            None => [calibration.density, calibration.lda_density],
        }
    }

    /// Takes what the EEG thread has copied.
    pub(super) fn hear_epochs(&mut self) {
        let (Some(learning), Some(eeg)) = (&mut self.learning, &mut self.inputs.eeg) else {
            return;
        };
        if let Some(features) = &mut eeg.features {
            while let Some(epoch) = features.take() {
                learning.tell(Later::Epoch(epoch));
            }
        }
    }

    /// The person chose a branch: the choice before it stands.
    pub(super) fn answered_with(&mut self, question: &Question, item: Option<usize>) {
        self.hear_epochs();
        let Some(learning) = &mut self.learning else {
            return;
        };
        let chosen = item.filter(|item| {
            question.committed_option() == Some(*item)
                && question.kinds.get(*item) == Some(&OptionKind::Branch)
        });
        if let Some(chosen) = chosen.and_then(|item| u32::try_from(item).ok()) {
            learning.tell(Later::Answered(Answered {
                fork: question.id,
                chosen,
                flashes: question.flashes_heard(),
            }));
            learning.begin_step();
        }
    }

    /// A choice was taken back, or the text went on from elsewhere.
    pub(super) fn unlearn(&mut self) {
        if let Some(learning) = &mut self.learning {
            learning.tell(Later::TakenBack);
        }
        if let Some(drift) = &mut self.drift {
            drift.taken_back();
        }
    }

    /// Before a fork opens: what was learnt from confirmed choices is taken over, a fit anew among it, and bad channels are left out of
    /// what comes of it. One new scorer at most goes to the EEG thread.
    pub(super) fn renew_scorer(&mut self, fork: ForkId) {
        self.hear_epochs();
        let learnt = self.learn(fork);
        let moved = learnt.as_ref().is_some_and(Adaptation::moved);
        let Some(bad) = self.bad_now() else {
            return;
        };
        let exchanged = self.swap_scorer(fork, bad, moved);
        let Some(mut learnt) = learnt else { return };
        learnt.bad_channels = bad;
        learnt.exchanged = exchanged && moved;
        if let Some(learning) = &mut self.learning {
            learnt.refit_begun = learning.begin_refit();
            learning.begin_step();
        }
        let detail = serde_json::to_string(&learnt).unwrap_or_default();
        self.event(EventKind::Adaptation, detail);
    }

    fn learn(&mut self, fork: ForkId) -> Option<Adaptation> {
        let (learning, eeg) = (self.learning.as_mut()?, self.inputs.eeg.as_ref()?);
        if eeg.is_busy() {
            // It waits for the next fork: the EEG thread holds two scorers, no more.
            return None;
        }
        let mut step = learning.come_back()?;
        step.fork = fork;
        Some(step)
    }
}
