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

mod flashes;
mod history;
mod samples;
mod spec;

pub use flashes::{FlashError, PENDING_MAX, RESULTS_MAX, ScoredFlash};
pub use spec::{BandSpec, EegSpec, EpochSpec, NotchSpec, Reference};

use serde::{Deserialize, Serialize};

use self::flashes::Pending;
use self::history::History;
use crate::blink::BlinkRegression;
use crate::car::CommonAverage;
use crate::epoch::{EpochBank, EpochShape, ScorerRefused};
use crate::error::{DspError, shape};
use crate::mask::ChannelMask;
use crate::quality::ChannelQuality;
use crate::queue::FixedQueue;
use crate::score::EpochScorer;
use crate::sos::Sos;
use crate::sosfilt::SosFilter;
use crate::stamps::{StampCounts, StampGuard};
use crate::units::SampleIndex;

/// Two peaks of a reference this close are of one blink, seconds.
pub const BLINK_APART_S: f64 = 0.3;

/// What the path has seen so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EegCounts {
    /// By the stamp guard.
    pub stamps: StampCounts,
    /// Samples made up by interpolation.
    pub interpolated: u64,
    /// Values replaced because they were not finite.
    pub held_values: u64,
    /// Blinks taken out: times at which the reference went beyond [`BLINK_UV`](crate::blink::BLINK_UV), those within [`BLINK_APART_S`] as one.
    #[serde(default)]
    pub blinks: u64,
    /// Flashes dropped when their samples came, because no epoch was free.
    pub flashes_without_epoch: u64,
    /// Results lost because nobody took them.
    pub results_lost: u64,
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
}
