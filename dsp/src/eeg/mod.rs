//! The EEG path: from a stamped sample to the score of a flash. The same code runs live, in replay and offline.
//!
//! ```text
//! stamp ─> StampGuard ─┐
//! sample ─> hold NaN ──┴─> fill short gaps ─> band-pass, notch ─> blinks ─> reference ─> history ─> epochs ─> score
//!                 └──────────────> ChannelQuality <──────┘
//! ```
//!
//! Flashes and samples travel separately. A flash may be announced before its samples came (it waits), or after (its
//! epoch is made up from the history): the result is the same to the bit. So it is for any chunking, because samples are taken one
//! by one.

mod history;
mod spec;

pub use spec::{BandSpec, EegSpec, EpochSpec, NotchSpec, Reference};

use serde::{Deserialize, Serialize};

use self::history::History;
use crate::blink::{BLINK_UV, BlinkRegression};
use crate::car::CommonAverage;
use crate::epoch::{
    EpochBank, EpochShape, EpochStatus, FinishedEpoch, Rejection, SampleNote, ScorerRefused,
};
use crate::error::{DspError, shape};
use crate::mask::ChannelMask;
use crate::quality::ChannelQuality;
use crate::queue::FixedQueue;
use crate::score::EpochScorer;
use crate::sos::Sos;
use crate::sosfilt::SosFilter;
use crate::stamps::{GapAction, StampCounts, StampGuard, StampVerdict};
use crate::units::SampleIndex;

/// Flashes that can wait for their samples.
pub const PENDING_MAX: usize = 256;
/// Results that can wait to be taken.
pub const RESULTS_MAX: usize = 1024;

/// Two peaks of a reference this close are of one blink, seconds.
pub const BLINK_APART_S: f64 = 0.3;

/// The result for one flash.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ScoredFlash {
    /// As given to [`EegPath::flash`].
    pub id: u64,
    /// The flash's own stamp, on the samples' clock, seconds.
    pub onset_s: f64,
    /// The sample of the flash.
    pub onset_sample: SampleIndex,
    /// The last sample of its epoch.
    pub last_sample: SampleIndex,
    /// Stamp of that last sample, seconds: from here the latency of the score counts.
    pub last_s: f64,
    /// Linear score, `None` without a scorer or when the epoch ended early. Not to be used unless `status` is clean.
    pub score: Option<f64>,
    /// Whether it can be used.
    pub status: EpochStatus,
    /// Which of the path's two places held its scorer: [`EegPath::next_place`]. 0 without a score.
    #[serde(default)]
    pub scorer: usize,
}

/// Why a flash was not taken.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FlashError {
    /// The stamp is no time.
    #[error(
        "the stamp of flash {id} is not finite. The marker must be left out, a time is never guessed"
    )]
    NotFinite {
        /// The flash.
        id: u64,
    },
    /// Its first samples are no longer there.
    #[error(
        "flash {id} was announced {late_s:.3} s after its sample. Announce flashes sooner, or lengthen the history"
    )]
    TooLate {
        /// The flash.
        id: u64,
        /// How late, at least, seconds.
        late_s: f64,
    },
    /// Too many flashes wait for their samples.
    #[error(
        "flash {id} was refused: {waiting} flashes wait for samples already. Has the EEG stopped, or is its clock behind?"
    )]
    TooMany {
        /// The flash.
        id: u64,
        /// How many are waiting.
        waiting: usize,
    },
    /// Too many epochs are open.
    #[error(
        "flash {id} was refused: all {open} epochs are open. Raise `open_max` or flash more slowly"
    )]
    BankFull {
        /// The flash.
        id: u64,
        /// How many are open.
        open: usize,
    },
}

/// What the path has seen so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EegCounts {
    /// By the stamp guard.
    pub stamps: StampCounts,
    /// Samples made up by interpolation.
    pub interpolated: u64,
    /// Values replaced because they were not finite.
    pub held_values: u64,
    /// Blinks taken out: times at which the reference went beyond [`BLINK_UV`], those within [`BLINK_APART_S`] as one.
    #[serde(default)]
    pub blinks: u64,
    /// Flashes dropped when their samples came, because no epoch was free.
    pub flashes_without_epoch: u64,
    /// Results lost because nobody took them.
    pub results_lost: u64,
}

#[derive(Debug, Clone, Copy)]
struct Pending {
    id: u64,
    onset_s: f64,
}

/// The composition. [`EegPath::prepare`] allocates; nothing else does.
#[derive(Debug, Clone)]
pub struct EegPath {
    spec: EegSpec,
    guard: StampGuard,
    quality: ChannelQuality,
    filter: SosFilter,
    blinks: Option<BlinkRegression>,
    reference: Option<CommonAverage>,
    history: History,
    bank: EpochBank,
    pending: FixedQueue<Pending>,
    results: FixedQueue<ScoredFlash>,
    raw: Vec<f64>,
    previous: Vec<f64>,
    between: Vec<f64>,
    filtered: Vec<f64>,
    next_index: u64,
    last_s: Option<f64>,
    since_start: u64,
    settle_samples: u64,
    start_samples: usize,
    blink_samples: u64,
    /// Samples until the next peak is another blink.
    blinking: u64,
    counts: EegCounts,
}

impl EegPath {
    /// Builds every stage.
    ///
    /// # Errors
    /// [`DspError`] for a setting out of range or a filter that cannot be built at this rate.
    pub fn prepare(spec: EegSpec) -> Result<Self, DspError> {
        spec.check()?;
        let (rate, n) = (spec.rate, spec.channels);
        let epoch = spec.epoch_shape()?;
        let start_samples = (spec.epoch.start.get() * rate.get()).round() as usize;
        let history_samples = (spec.history.get() * rate.get()).ceil() as usize + 1;
        let reference = match spec.reference {
            Reference::AsRecorded => None,
            Reference::CommonAverage => Some(CommonAverage::new(n)?),
        };
        Ok(Self {
            spec,
            guard: StampGuard::new(rate, spec.stamps),
            quality: ChannelQuality::new(spec.quality_of_filtered(), rate, n)?,
            filter: SosFilter::new(&spec.sections()?, n)?,
            blinks: None,
            reference,
            history: History::new(history_samples, n),
            bank: EpochBank::new(epoch, spec.epoch.peak_to_peak, spec.epoch.open_max)?,
            pending: FixedQueue::new(PENDING_MAX)?,
            results: FixedQueue::new(RESULTS_MAX)?,
            raw: vec![0.0; n],
            previous: vec![0.0; n],
            between: vec![0.0; n],
            filtered: vec![0.0; n],
            next_index: 0,
            last_s: None,
            since_start: 0,
            settle_samples: (spec.settle.get() * rate.get()).round() as u64,
            start_samples,
            blink_samples: (BLINK_APART_S * rate.get()).round() as u64,
            blinking: 0,
            counts: EegCounts::default(),
        })
    }

    /// What it was built for.
    #[must_use]
    pub fn spec(&self) -> &EegSpec {
        &self.spec
    }

    /// Shape of the epochs' features.
    #[must_use]
    pub fn epoch_shape(&self) -> EpochShape {
        self.bank.shape()
    }

    /// The filter cascade, e.g. for its group delay.
    #[must_use]
    pub fn sections(&self) -> &[Sos] {
        self.filter.sections()
    }

    /// Counts since `prepare` or `reset`.
    #[must_use]
    pub fn counts(&self) -> EegCounts {
        EegCounts {
            stamps: self.guard.counts(),
            results_lost: self.results.refused(),
            ..self.counts
        }
    }

    /// The channels' state now.
    #[must_use]
    pub fn quality(&self) -> &ChannelQuality {
        &self.quality
    }

    /// The newest sample after filters and reference, microvolts; zeros before the first.
    #[must_use]
    pub fn filtered(&self) -> &[f64] {
        &self.filtered
    }

    /// Whether the filters have settled since their last start.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.since_start >= self.settle_samples
    }

    /// Samples so far, made-up ones included: the index of the next one.
    #[must_use]
    pub fn next_sample(&self) -> SampleIndex {
        SampleIndex(self.next_index)
    }

    /// Flashes that wait for samples or have an open epoch.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.pending.len() + self.bank.open_count()
    }

    /// Takes a scorer for flashes whose epoch opens from now on; those already open keep theirs. Returns the one that
    /// was pushed out, to be dropped off the real-time thread.
    ///
    /// # Errors
    /// [`ScorerRefused`], with the scorer, when it was fitted to another shape, or while epochs of the scorer before the current one are open.
    #[expect(
        clippy::result_large_err,
        reason = "a refused scorer goes back without an allocation"
    )]
    pub fn set_scorer(
        &mut self,
        scorer: EpochScorer,
    ) -> Result<Option<EpochScorer>, ScorerRefused> {
        self.bank.set_scorer(scorer)
    }

    /// As [`Self::set_scorer`], for flashes with an onset at or after `from_s`, on the samples' clock, alone: see
    /// [`EpochBank::set_scorer_from`].
    ///
    /// # Errors
    /// As [`Self::set_scorer`].
    #[expect(
        clippy::result_large_err,
        reason = "a refused scorer goes back without an allocation"
    )]
    pub fn set_scorer_from(
        &mut self,
        from_s: f64,
        scorer: EpochScorer,
    ) -> Result<Option<EpochScorer>, ScorerRefused> {
        self.bank.set_scorer_from(from_s, scorer)
    }

    /// The place, 0 or 1, that the next scorer will have.
    #[must_use]
    pub fn next_place(&self) -> usize {
        self.bank.next_place()
    }

    /// Channels whose faults reject an epoch while no scorer is set; all at first.
    pub fn set_used(&mut self, used: ChannelMask) {
        self.bank.set_used(used);
    }

    /// Counts only these channels towards the minimum montage; all at first. It stays through a reset. To be set before the
    /// first sample, to the channels that the calibration uses: a good channel that no scorer looks at is no evidence.
    pub fn set_montage(&mut self, channels: ChannelMask) {
        self.quality.set_counted(channels);
    }

    /// Takes blinks out by regression from now on, or no more; skipped while its reference is bad. To be set before the
    /// first sample. It stays through a reset.
    ///
    /// # Errors
    /// [`DspError::Shape`] when it was fitted to another number of channels; nothing has changed then.
    pub fn set_blinks(&mut self, blinks: Option<BlinkRegression>) -> Result<(), DspError> {
        if let Some(blinks) = &blinks {
            shape("blink weights", blinks.weights().len(), self.spec.channels)?;
        }
        self.blinks = blinks;
        Ok(())
    }

    /// Channels that enter the common average, from the next sample on. A change shows as a step in every channel, so
    /// it belongs between forks. Without a common average it does nothing.
    pub fn set_reference_channels(&mut self, good: &ChannelMask) {
        if let Some(car) = &mut self.reference {
            car.set_good(good);
        }
    }

    /// As new, but keeps scorers and masks.
    pub fn reset(&mut self) {
        self.restart();
        self.guard.reset();
        self.quality.reset();
        self.next_index = 0;
        self.counts = EegCounts::default();
    }

    /// The source begins anew: nothing of what came before reaches across, open epochs and waiting flashes end without a
    /// result, filters and channel quality settle again. Counts and the index of samples go on; scorers and masks stay.
    pub fn restart(&mut self) {
        self.guard.restart();
        self.quality.restart();
        self.filter.reset();
        self.history.clear(false);
        self.bank.reset();
        self.pending.reset();
        self.results.reset();
        self.filtered.fill(0.0);
        self.previous.fill(0.0);
        self.last_s = None;
        self.since_start = 0;
        self.blinking = 0;
    }

    /// The oldest result that was not taken yet.
    pub fn pop(&mut self) -> Option<ScoredFlash> {
        self.results.pop()
    }

    /// Takes one sample, microvolts, with its stamp on the source's clock.
    ///
    /// # Errors
    /// [`DspError::Shape`] unless `sample` holds one value per channel; nothing has happened then.
    pub fn push(&mut self, stamp_s: f64, sample: &[f32]) -> Result<StampVerdict, DspError> {
        self.push_with(stamp_s, sample, |_| {})
    }

    /// As [`Self::push`], and shows every epoch that ends, with its features, to `on_epoch`. The results are queued as well.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn push_with(
        &mut self,
        stamp_s: f64,
        sample: &[f32],
        mut on_epoch: impl FnMut(&FinishedEpoch<'_>),
    ) -> Result<StampVerdict, DspError> {
        shape("sample", sample.len(), self.spec.channels)?;
        let verdict = self.guard.push(stamp_s);
        let (time_s, break_before) = match verdict {
            StampVerdict::Drop(_) => return Ok(verdict),
            StampVerdict::InOrder { time_s } => {
                (time_s, self.last_s.is_none().then_some(Rejection::Restart))
            }
            StampVerdict::Gap { time_s, action, .. } => (
                time_s,
                match action {
                    GapAction::Interpolate => None,
                    GapAction::Reject => Some(Rejection::Gap),
                    GapAction::Restart => Some(Rejection::Restart),
                },
            ),
            StampVerdict::ClockJump { time_s, .. } => (time_s, Some(Rejection::ClockJump)),
        };
        let held = sample.iter().filter(|x| !x.is_finite()).count();
        self.counts.held_values += held as u64;
        // Moved out for the borrow checker; a Vec of zero length is no allocation.
        let mut raw = std::mem::take(&mut self.raw);
        let sanitised = self.quality.sanitise(sample, &mut raw);
        let advanced = sanitised.and_then(|()| {
            let anew = *self.quality.restarts();
            if let StampVerdict::Gap {
                missing,
                action: GapAction::Interpolate,
                ..
            } = verdict
            {
                self.fill(&raw, time_s, missing, &mut on_epoch)?;
            }
            if !anew.is_empty() {
                for (channel, x) in raw.iter().enumerate() {
                    if anew.contains(channel) {
                        self.filter.start_channel_at(channel, *x);
                    }
                }
            }
            self.advance(&raw, time_s, break_before, &mut on_epoch)
        });
        self.raw = raw;
        advanced.map(|()| verdict)
    }

    /// Takes whole samples, `[samples][channels]`; the same as one [`Self::push`] after the other.
    ///
    /// # Errors
    /// [`DspError::Shape`] unless there is one value per stamp and channel; nothing has happened then.
    pub fn push_block(&mut self, stamps_s: &[f64], samples: &[f32]) -> Result<(), DspError> {
        let n = self.spec.channels;
        shape("block of samples", samples.len(), stamps_s.len() * n)?;
        for (stamp_s, sample) in stamps_s.iter().zip(samples.chunks_exact(n)) {
            self.push(*stamp_s, sample)?;
        }
        Ok(())
    }

    /// Announces a flash at `onset_s`, on the samples' clock. Its sample is the first one with a stamp of at least `onset_s` minus half
    /// a period. Results come through [`Self::pop`], at once if all samples are there.
    ///
    /// # Errors
    /// [`FlashError`]; the flash then has no result.
    pub fn flash(&mut self, id: u64, onset_s: f64) -> Result<(), FlashError> {
        self.flash_with(id, onset_s, |_| {})
    }

    /// As [`Self::flash`], and shows the epoch to `on_epoch` if it ends at once.
    ///
    /// # Errors
    /// As [`Self::flash`].
    pub fn flash_with(
        &mut self,
        id: u64,
        onset_s: f64,
        mut on_epoch: impl FnMut(&FinishedEpoch<'_>),
    ) -> Result<(), FlashError> {
        if !onset_s.is_finite() {
            return Err(FlashError::NotFinite { id });
        }
        let half_s = 0.5 / self.spec.rate.get();
        if self.last_s.is_none_or(|last_s| last_s < onset_s - half_s) {
            let waiting = self.pending.len();
            return self
                .pending
                .push(Pending { id, onset_s })
                .map_err(|_| FlashError::TooMany { id, waiting });
        }
        let at = self.history.position_of(onset_s - half_s);
        if at == 0 && self.history.evicted() {
            let oldest_s = self.history.time_s(0).unwrap_or(onset_s);
            if oldest_s > onset_s + half_s {
                return Err(FlashError::TooLate {
                    id,
                    late_s: self.last_s.unwrap_or(oldest_s) - onset_s,
                });
            }
        }
        self.catch_up(id, onset_s, at, &mut on_epoch)
    }

    /// Opens the epoch of a flash whose sample lies at a position of the history and feeds it all that has come since.
    fn catch_up(
        &mut self,
        id: u64,
        onset_s: f64,
        at: usize,
        on_epoch: &mut impl FnMut(&FinishedEpoch<'_>),
    ) -> Result<(), FlashError> {
        let Some((_, note)) = self.history.sample(at) else {
            return Ok(());
        };
        let time_s = self.history.time_s(at).unwrap_or(onset_s);
        if note.break_before.is_some() && time_s - onset_s > 0.5 / self.spec.rate.get() {
            // The flash fell where no samples are.
            let _ = self.results.push(ScoredFlash {
                id,
                onset_s,
                onset_sample: note.index,
                last_sample: note.index,
                last_s: time_s,
                score: None,
                status: EpochStatus::Rejected(Rejection::NoOnsetSample),
                scorer: 0,
            });
            return Ok(());
        }
        let slot = self
            .bank
            .open(id, onset_s, note.index, self.start_samples)
            .map_err(|full| FlashError::BankFull {
                id,
                open: full.capacity,
            })?;
        let Self {
            history,
            bank,
            results,
            ..
        } = self;
        for position in at..history.len() {
            let (Some((row, note)), Some(time_s)) =
                (history.sample(position), history.time_s(position))
            else {
                break;
            };
            let before_s = position
                .checked_sub(1)
                .and_then(|p| history.time_s(p))
                .unwrap_or(time_s);
            let still_open = bank.feed(slot, row, &note, &mut |epoch| {
                on_epoch(epoch);
                let _ = results.push(scored(epoch, &note, time_s, before_s));
            });
            // The rows have the bank's own width, so there is no error to speak of.
            if still_open != Ok(true) {
                break;
            }
        }
        Ok(())
    }

    /// Makes up `missing` samples on the straight line from the last sample to this one.
    fn fill(
        &mut self,
        to: &[f64],
        to_s: f64,
        missing: u64,
        on_epoch: &mut impl FnMut(&FinishedEpoch<'_>),
    ) -> Result<(), DspError> {
        let from_s = self.last_s.unwrap_or(to_s);
        let steps = (missing + 1) as f64;
        let mut from = std::mem::take(&mut self.previous);
        let mut between = std::mem::take(&mut self.between);
        let mut filled = Ok(());
        for step in 1..=missing {
            let share = step as f64 / steps;
            for ((x, a), b) in between.iter_mut().zip(&from).zip(to) {
                *x = a + (b - a) * share;
            }
            filled = self.advance(&between, from_s + (to_s - from_s) * share, None, on_epoch);
            if filled.is_err() {
                break;
            }
            self.counts.interpolated += 1;
        }
        from.copy_from_slice(to);
        self.previous = from;
        self.between = between;
        filled
    }

    /// One finite sample through filters, reference, quality, history and epochs.
    fn advance(
        &mut self,
        raw: &[f64],
        time_s: f64,
        break_before: Option<Rejection>,
        on_epoch: &mut impl FnMut(&FinishedEpoch<'_>),
    ) -> Result<(), DspError> {
        if let Some(Rejection::Restart | Rejection::ClockJump) = break_before {
            self.filter.start_at(raw)?;
            self.since_start = 0;
        }
        self.filtered.copy_from_slice(raw);
        self.filter.process(&mut self.filtered)?;
        self.quality.observe(raw, &self.filtered)?;
        if let Some(blinks) = &self.blinks
            && !self.quality.bad().contains(blinks.reference())
        {
            let seen = self.filtered.get(blinks.reference());
            if seen.is_some_and(|x| x.abs() >= BLINK_UV) {
                self.counts.blinks += u64::from(self.blinking == 0);
                self.blinking = self.blink_samples;
            }
            blinks.process(&mut self.filtered)?;
        }
        self.blinking = self.blinking.saturating_sub(1);
        if let Some(car) = &self.reference {
            car.process(&mut self.filtered)?;
        }
        let note = SampleNote {
            index: SampleIndex(self.next_index),
            break_before,
            doubt: if self.since_start < self.settle_samples {
                Some(Rejection::Unsettled)
            } else if !self.quality.montage_ok() {
                Some(Rejection::Montage)
            } else {
                None
            },
            bad: self.quality.bad(),
        };
        let before_s = self.last_s.unwrap_or(time_s);
        self.next_index += 1;
        self.since_start += 1;
        self.last_s = Some(time_s);
        if self.previous.len() == raw.len() {
            self.previous.copy_from_slice(raw);
        }
        if break_before == Some(Rejection::ClockJump) {
            self.history.clear(true);
        }
        self.history.push(time_s, &self.filtered, note);
        let Self {
            bank,
            results,
            filtered,
            ..
        } = self;
        bank.push(filtered, &note, &mut |epoch| {
            on_epoch(epoch);
            let _ = results.push(scored(epoch, &note, time_s, before_s));
        })?;
        self.open_pending(&note, time_s, on_epoch);
        Ok(())
    }

    /// Opens the epochs of flashes that have waited for the newest sample, or gives them up when the clock jumped.
    fn open_pending(
        &mut self,
        note: &SampleNote,
        time_s: f64,
        on_epoch: &mut impl FnMut(&FinishedEpoch<'_>),
    ) {
        if self.pending.is_empty() {
            return;
        }
        let jumped = note.break_before == Some(Rejection::ClockJump);
        let half_s = 0.5 / self.spec.rate.get();
        let newest = self.history.len().saturating_sub(1);
        for _ in 0..self.pending.len() {
            let Some(flash) = self.pending.pop() else {
                return;
            };
            if jumped {
                let _ = self.results.push(ScoredFlash {
                    id: flash.id,
                    onset_s: flash.onset_s,
                    onset_sample: note.index,
                    last_sample: note.index,
                    last_s: time_s,
                    score: None,
                    status: EpochStatus::Rejected(Rejection::ClockJump),
                    scorer: 0,
                });
            } else if time_s < flash.onset_s - half_s {
                // Its own place has just become free.
                let _ = self.pending.push(flash);
            } else if self
                .catch_up(flash.id, flash.onset_s, newest, on_epoch)
                .is_err()
            {
                self.counts.flashes_without_epoch += 1;
            }
        }
    }
}

fn scored(epoch: &FinishedEpoch<'_>, note: &SampleNote, time_s: f64, before_s: f64) -> ScoredFlash {
    ScoredFlash {
        id: epoch.id,
        onset_s: epoch.onset_s,
        onset_sample: epoch.onset,
        last_sample: epoch.last,
        // An epoch that a break has ended did not get this sample.
        last_s: if epoch.last == note.index {
            time_s
        } else {
            before_s
        },
        score: epoch.score,
        status: epoch.status,
        scorer: epoch.scorer,
    }
}
