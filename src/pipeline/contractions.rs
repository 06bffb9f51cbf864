//! Contractions of jaw or brow on the EEG stream, while a fork is up: what the gate is told of them.
//!
//! Nothing here knows of tiles or looks. Which option a contraction is about is for the gate to say, from what gaze tells it
//! (docs/adr/0011).

use razvilka_dsp::DspError;
use razvilka_dsp::contraction::{ContractionDetector, ContractionModel};
use razvilka_dsp::stamps::StampVerdict;
use razvilka_dsp::units::LslTime;

use super::decision::Made;
use super::eeg::EegLine;
use crate::fork::ForkId;
use crate::gate::{Contraction, Lease, Told};

/// A fork that goes up, and from when on contractions are about it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Asked {
    /// The fork.
    pub fork: ForkId,
    /// Epoch of the streams.
    pub lease: Lease,
    /// When its tiles go up, on the EEG stream's clock, seconds.
    pub from_s: f64,
    /// To be added to the EEG stream's stamps to give our clock, frozen for the fork.
    pub offset_s: f64,
}

impl Asked {
    /// A fork whose tiles appear at this time of our clock.
    #[must_use]
    pub fn at(fork: ForkId, lease: Lease, appears: LslTime, offset_s: f64) -> Self {
        Self {
            fork,
            lease,
            from_s: appears.get() - offset_s,
            offset_s,
        }
    }
}

/// A contraction while a fork is up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ContractionWord {
    /// The fork.
    pub fork: ForkId,
    /// Epoch of the streams.
    pub lease: Lease,
    /// Number of the word within the fork.
    pub number: u64,
    /// Its beginning, on the EEG stream's clock, seconds.
    pub onset_s: f64,
    /// Stamp of the sample with which it was over.
    pub at_s: f64,
    /// To be added to these to give our clock.
    pub offset_s: f64,
    /// Index of that sample.
    pub sample: u64,
    /// How strong it was.
    pub score: f64,
    /// Evidence that it was meant, nats.
    pub llr_nats: f64,
}

/// What finds and judges contractions.
#[derive(Debug, Clone)]
pub(super) struct Contractions {
    detector: ContractionDetector,
    model: ContractionModel,
    /// Microvolts in one of each value of the stream.
    scale: Vec<f64>,
    row: Vec<f32>,
    up: Option<Asked>,
    /// The fork that will go up at its stamp.
    next: Option<Asked>,
    number: u64,
    samples: u64,
    late: u64,
    found: Option<ContractionWord>,
}

impl Contractions {
    fn restart(&mut self) {
        self.detector.interrupt();
        (self.up, self.next, self.found) = (None, None, None);
    }

    fn sample(&mut self, verdict: Option<StampVerdict>, sample: &[f32]) {
        let index = self.samples;
        self.samples += 1;
        let stamp_s = match verdict {
            Some(StampVerdict::InOrder { time_s } | StampVerdict::Gap { time_s, .. }) => time_s,
            Some(StampVerdict::ClockJump { time_s, .. }) => {
                self.detector.interrupt();
                time_s
            }
            Some(StampVerdict::Drop(_)) | None => {
                self.found = None;
                return;
            }
        };
        if self.next.is_some_and(|asked| stamp_s >= asked.from_s) {
            self.up = self.next.take();
            self.number = 0;
        }
        let values = self.row.iter_mut().zip(sample).zip(&self.scale);
        for ((to, value), scale) in values {
            *to = (f64::from(*value) * scale) as f32;
        }
        // The shape was checked when it was built: no sample of another one comes here.
        let ended = self.detector.push(stamp_s, &self.row).ok().flatten();
        self.found = ended.zip(self.up).and_then(|(ended, asked)| {
            // One that began before the tiles went up was not about them.
            if ended.onset_s < asked.from_s {
                return None;
            }
            Some(ContractionWord {
                fork: asked.fork,
                lease: asked.lease,
                number: self.number,
                onset_s: ended.onset_s,
                at_s: ended.at_s,
                offset_s: asked.offset_s,
                sample: index,
                score: ended.score,
                llr_nats: self.model.llr(ended.score)?,
            })
        });
        self.number += u64::from(self.found.is_some());
    }
}

impl EegLine {
    /// Listens for contractions as `model` tells them, in the channels that `detector` looks at; it takes every channel of the stream, in
    /// microvolts, of which `scale` says how many are in one of each value.
    ///
    /// # Errors
    /// [`DspError`] for a number out of range.
    pub fn listen_for_contractions(
        &mut self,
        detector: ContractionDetector,
        model: ContractionModel,
        scale: Vec<f64>,
    ) -> Result<(), DspError> {
        model.check()?;
        self.contractions = Some(Contractions {
            detector,
            model,
            row: vec![0.0; scale.len()],
            scale,
            up: None,
            next: None,
            number: 0,
            samples: 0,
            late: 0,
            found: None,
        });
        Ok(())
    }

    /// A fork goes up at its stamp, in place of the one that is up. One whose stamp has passed goes up with the next sample and is counted
    /// as late.
    pub fn put_up(&mut self, asked: Asked, newest_s: Option<f64>) {
        if let Some(contractions) = &mut self.contractions {
            contractions.late += u64::from(newest_s.is_some_and(|newest| newest >= asked.from_s));
            contractions.next = Some(asked);
        }
    }

    /// Forks that came after the sample with their stamp: a replay may then differ.
    #[must_use]
    pub fn late_forks(&self) -> u64 {
        self.contractions.as_ref().map_or(0, |c| c.late)
    }

    /// The contraction that was over with the latest sample.
    pub fn take_contraction(&mut self) -> Option<ContractionWord> {
        self.contractions.as_mut()?.found.take()
    }

    /// Takes a sample whose stamp was judged; `None` when it could not be.
    pub(super) fn contract(&mut self, verdict: Option<StampVerdict>, sample: &[f32]) {
        if let Some(contractions) = &mut self.contractions {
            contractions.sample(verdict, sample);
        }
    }

    pub(super) fn relax(&mut self) {
        if let Some(contractions) = &mut self.contractions {
            contractions.restart();
        }
    }
}

/// What the gate is told of a contraction, and what it was made from; the same live and in replay. `None` when a stamp is no time.
#[must_use]
pub fn contraction_told(word: &ContractionWord) -> Option<(Told, Made)> {
    let at = |stamp_s: f64| LslTime::new(stamp_s + word.offset_s).ok();
    let contraction = Contraction {
        fork: word.fork,
        lease: word.lease,
        seq: word.number,
        onset: at(word.onset_s)?,
        at: at(word.at_s)?,
        llr_nats: word.llr_nats,
    };
    let made = Made::Contraction {
        sample: word.sample,
        score: word.score,
    };
    Some((Told::Contraction(contraction), made))
}
