//! Epochs after flashes, accumulated while their samples arrive.
//!
//! An epoch's features are block means: `bin_samples` consecutive samples of a channel make one number, which takes a
//! band-passed signal down to about 32 Hz. Features are ordered `[channel][bin]`. Each complete bin is added to the score at once, so
//! that after the last sample one inner product over the channels is left to do.

mod open;
mod shape;
mod status;

pub use shape::EpochShape;
pub use status::{EpochStatus, Rejection};

use self::open::OpenEpoch;
use crate::error::{DspError, count, parameter, shape};
use crate::mask::ChannelMask;
use crate::score::EpochScorer;
use crate::units::{Microvolts, SampleIndex};

/// Most epochs that can be open at once.
pub const MAX_OPEN: usize = 256;

/// An epoch that has ended, lent to whoever wants its features.
#[derive(Debug, Clone, Copy)]
pub struct FinishedEpoch<'a> {
    /// As given when it was opened.
    pub id: u64,
    /// The flash's stamp as given when it was opened, seconds.
    pub onset_s: f64,
    /// The sample of the flash.
    pub onset: SampleIndex,
    /// The last sample that went in.
    pub last: SampleIndex,
    /// Shape of `features`.
    pub shape: EpochShape,
    /// `[channel][bin]`; incomplete when the status is a rejection that ended the epoch early.
    pub features: &'a [f64],
    /// Whether it can be used.
    pub status: EpochStatus,
    /// Channels that were bad at some sample or swung beyond the peak-to-peak limit, used or not.
    pub bad: ChannelMask,
    /// The linear score; `None` when no scorer was set at opening, or when the epoch ended early. Not to be used unless the status is clean.
    pub score: Option<f64>,
    /// Which of the bank's two places held its scorer: [`EpochBank::next_place`].
    pub scorer: usize,
}

/// What is known about one sample beside its values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SampleNote {
    /// Its number.
    pub index: SampleIndex,
    /// What lies between it and the sample before: [`Rejection::Gap`] spoils epochs that reach across,
    /// [`Rejection::Restart`] and [`Rejection::ClockJump`] end them.
    pub break_before: Option<Rejection>,
    /// A doubt about the sample itself, e.g. [`Rejection::Unsettled`]: spoils every epoch that contains it.
    pub doubt: Option<Rejection>,
    /// Channels that are bad now.
    pub bad: ChannelMask,
}

/// Number of an open epoch in its bank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot(usize);

/// A fixed number of epochs that are open at the same time.
#[derive(Debug, Clone)]
pub struct EpochBank {
    shape: EpochShape,
    peak_to_peak_uv: f64,
    used: ChannelMask,
    scorers: [Option<EpochScorer>; 2],
    current: usize,
    /// Onset from which on the scorer in the other place takes over, seconds.
    from_s: Option<f64>,
    open: Vec<OpenEpoch>,
}

/// Why a scorer was not taken. Gives it back, so that it can be dropped where dropping may take time.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ScorerRefused {
    /// Epochs opened under the scorer before the current one are still open.
    #[error(
        "epochs of the previous scorer are still open. Offer the new one again after the last of them has ended"
    )]
    Busy(EpochScorer),
    /// It was fitted to epochs of another shape.
    #[error(
        "the scorer expects epochs of {got:?}, this path makes {expected:?}. Fit it with the same settings and montage"
    )]
    Shape {
        /// The scorer.
        scorer: EpochScorer,
        /// Shape of this bank's epochs.
        expected: EpochShape,
        /// Shape of the scorer's epochs.
        got: EpochShape,
    },
}

/// All places of a bank are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("all {capacity} epochs of the bank are open. Build it with more, or flash more slowly")]
pub struct BankFull {
    /// How many can be open.
    pub capacity: usize,
}

impl EpochBank {
    /// Allocates room for `capacity` epochs (1..=256). An epoch is rejected when a used channel's values span more than
    /// `peak_to_peak`.
    ///
    /// # Errors
    /// [`DspError::Count`] for a capacity out of range, [`DspError::Parameter`] unless the limit is above 0.
    pub fn new(
        shape: EpochShape,
        peak_to_peak: Microvolts,
        capacity: usize,
    ) -> Result<Self, DspError> {
        count("open epochs", capacity, 1, MAX_OPEN)?;
        let peak_to_peak_uv = parameter("peak-to-peak limit in uV", peak_to_peak.get(), 1e-3, 1e6)?;
        let n = shape.channels();
        Ok(Self {
            shape,
            peak_to_peak_uv,
            used: ChannelMask::all(n),
            scorers: [None, None],
            current: 0,
            from_s: None,
            open: (0..capacity).map(|_| OpenEpoch::closed(&shape)).collect(),
        })
    }

    /// Shape of the epochs.
    #[must_use]
    pub fn shape(&self) -> EpochShape {
        self.shape
    }

    /// Number of open epochs.
    #[must_use]
    pub fn open_count(&self) -> usize {
        self.open.iter().filter(|e| e.is_open).count()
    }

    /// Channels whose faults reject an epoch while no scorer is set (a scorer names its own).
    pub fn set_used(&mut self, used: ChannelMask) {
        self.used = used;
    }

    /// Takes a scorer for epochs opened from now on; those already open keep theirs. Returns the scorer that was
    /// pushed out, to be dropped where dropping may take time.
    ///
    /// # Errors
    /// [`ScorerRefused`], with the offered scorer.
    #[expect(
        clippy::result_large_err,
        reason = "a refused scorer goes back without an allocation"
    )]
    pub fn set_scorer(
        &mut self,
        scorer: EpochScorer,
    ) -> Result<Option<EpochScorer>, ScorerRefused> {
        let out = self.put(scorer)?;
        self.current = 1 - self.current;
        self.from_s = None;
        Ok(out)
    }

    /// As [`Self::set_scorer`], for flashes with an onset at or after `from_s` alone: which scorer a flash gets is a matter of its
    /// stamp, and not of when either of them was heard of. The scorer must be there before the first of these flashes. A later call
    /// of either kind replaces one that still waits.
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
        let out = self.put(scorer)?;
        self.from_s = Some(from_s);
        Ok(out)
    }

    /// The place, 0 or 1, that the next scorer will have.
    #[must_use]
    pub fn next_place(&self) -> usize {
        1 - self.current
    }

    #[expect(
        clippy::result_large_err,
        reason = "a refused scorer goes back without an allocation"
    )]
    fn put(&mut self, scorer: EpochScorer) -> Result<Option<EpochScorer>, ScorerRefused> {
        if scorer.shape() != self.shape {
            return Err(ScorerRefused::Shape {
                expected: self.shape,
                got: scorer.shape(),
                scorer,
            });
        }
        let next = self.next_place();
        if self.open.iter().any(|e| e.is_open && e.scorer == next) {
            return Err(ScorerRefused::Busy(scorer));
        }
        Ok(self
            .scorers
            .get_mut(next)
            .and_then(|place| place.replace(scorer)))
    }

    /// The scorer that epochs opened now will have.
    #[must_use]
    pub fn scorer(&self) -> Option<&EpochScorer> {
        self.scorers.get(self.current).and_then(Option::as_ref)
    }

    /// Opens an epoch. The next sample fed to it is that of the flash, `onset`; the epoch itself begins `skip` samples later.
    ///
    /// # Errors
    /// [`BankFull`] when all places are taken.
    pub fn open(
        &mut self,
        id: u64,
        onset_s: f64,
        onset: SampleIndex,
        skip: usize,
    ) -> Result<Slot, BankFull> {
        if self.from_s.is_some_and(|from_s| onset_s >= from_s) {
            self.current = self.next_place();
            self.from_s = None;
        }
        let bias = self.scorer().map_or(0.0, |s| s.linear().bias());
        let capacity = self.open.len();
        let free = self.open.iter_mut().enumerate().find(|(_, e)| !e.is_open);
        let (place, epoch) = free.ok_or(BankFull { capacity })?;
        epoch.begin(id, onset_s, onset, skip, self.current, bias);
        Ok(Slot(place))
    }

    /// Feeds one sample to one epoch (used to catch up with samples that were there before the flash was announced).
    /// Returns whether the epoch is still open.
    ///
    /// # Errors
    /// [`DspError::Shape`] unless `sample` holds one value per channel.
    pub fn feed(
        &mut self,
        slot: Slot,
        sample: &[f64],
        note: &SampleNote,
        on_finished: &mut impl FnMut(&FinishedEpoch<'_>),
    ) -> Result<bool, DspError> {
        shape("sample", sample.len(), self.shape.channels())?;
        Ok(self.feed_place(slot.0, sample, note, on_finished))
    }

    /// Feeds one sample to every open epoch. Epochs that end are handed to `on_finished`.
    ///
    /// # Errors
    /// [`DspError::Shape`] unless `sample` holds one value per channel.
    pub fn push(
        &mut self,
        sample: &[f64],
        note: &SampleNote,
        on_finished: &mut impl FnMut(&FinishedEpoch<'_>),
    ) -> Result<(), DspError> {
        shape("sample", sample.len(), self.shape.channels())?;
        for place in 0..self.open.len() {
            self.feed_place(place, sample, note, on_finished);
        }
        Ok(())
    }

    /// Closes every epoch without a word, keeps the scorers: as new otherwise.
    pub fn reset(&mut self) {
        for epoch in &mut self.open {
            epoch.is_open = false;
        }
    }

    fn feed_place(
        &mut self,
        place: usize,
        sample: &[f64],
        note: &SampleNote,
        on_finished: &mut impl FnMut(&FinishedEpoch<'_>),
    ) -> bool {
        let Some(epoch) = self.open.get_mut(place).filter(|e| e.is_open) else {
            return false;
        };
        let place = epoch.scorer;
        let scorer = self.scorers.get(place).and_then(Option::as_ref);
        let used = scorer.map_or(self.used, EpochScorer::used);
        let broken = note.break_before.filter(|_| epoch.fed);
        epoch.fed = true;
        if let Some(why @ (Rejection::Restart | Rejection::ClockJump)) = broken {
            epoch.reject(why);
            epoch.is_open = false;
            let last = SampleIndex(note.index.0.saturating_sub(1));
            on_finished(&epoch.finished(&self.shape, last, None));
            return false;
        }
        if let Some(why) = broken {
            epoch.reject(why);
        }
        if epoch.skip > 0 {
            epoch.skip -= 1;
            return true;
        }
        if let Some(why) = note.doubt {
            epoch.reject(why);
        }
        epoch.bad = epoch.bad.union(&note.bad);
        if !used.intersection(&note.bad).is_empty() {
            epoch.reject(Rejection::BadChannel);
        }
        if !epoch.add(&self.shape, sample, scorer) {
            return true;
        }
        epoch.is_open = false;
        for (channel, (low, high)) in epoch.lowest.iter().zip(&epoch.highest).enumerate() {
            let span_uv = high - low;
            if span_uv.is_nan() || span_uv > self.peak_to_peak_uv {
                epoch.bad.insert(channel);
                if used.contains(channel) && epoch.rejection.is_none() {
                    epoch.rejection = Some(Rejection::PeakToPeak);
                }
            }
        }
        // All of them, without an early end: that can be done side by side.
        if !epoch.features.iter().fold(true, |ok, f| ok & f.is_finite()) {
            epoch.rejection = Some(Rejection::NotFinite);
        }
        let scorer = self.scorers.get_mut(place).and_then(Option::as_mut);
        let score = scorer.map(|scorer| epoch.whole_score(scorer));
        if score.is_some_and(|score| !score.is_finite()) {
            epoch.rejection = Some(Rejection::NotFinite);
        }
        on_finished(&epoch.finished(&self.shape, note.index, score));
        false
    }
}
