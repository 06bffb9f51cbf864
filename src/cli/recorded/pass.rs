//! The signal path over a recording, sample by sample as it would have come live, and what it made of each flash.

use razvilka_calibration::FIT_SWING_MAX;
use razvilka_dsp::DspError;
use razvilka_dsp::blink::BlinkRegression;
use razvilka_dsp::eeg::{EegCounts, EegPath, EegSpec};
use razvilka_dsp::epoch::{EpochStatus, Rejection};
use razvilka_dsp::mask::ChannelMask;
use razvilka_dsp::quality::BadSeconds;
use razvilka_dsp::score::EpochScorer;

use super::{Recorded, failure};
use crate::cli::exit::{Exit, Failure};
use crate::cli::unit::microvolts;
use crate::recording::RecordedStream;

/// What became of a flash whose epoch is whole.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoredEpoch {
    /// Index of the flash in the order of onsets.
    pub flash: usize,
    /// `[channel][bin]`, microvolts.
    pub features: Vec<f64>,
    /// Whether it may be used.
    pub status: EpochStatus,
    /// Channels that were bad somewhere in it.
    pub bad: ChannelMask,
    /// Channels whose values meant nothing somewhere in it: bad for another reason than their variance.
    pub meaningless: ChannelMask,
    /// Linear score, where a scorer was given.
    pub score: Option<f64>,
}

/// What the signal path made of a recording.
#[derive(Debug, Clone, PartialEq)]
pub struct Passed {
    /// Whole epochs in the order of onsets.
    pub epochs: Vec<ScoredEpoch>,
    /// What the path counted.
    pub counts: EegCounts,
    /// Per channel: seconds in which it was bad, by reason.
    pub bad: Vec<BadSeconds>,
    /// Seconds that were judged.
    pub seconds: u64,
    /// What a person should know about the unit.
    pub unit: Option<String>,
}

impl Passed {
    /// How many epochs that are whole were rejected, by reason, in the order of the first.
    #[must_use]
    pub fn rejected(&self) -> Vec<(Rejection, usize)> {
        let mut by_reason: Vec<(Rejection, usize)> = Vec::new();
        for epoch in &self.epochs {
            if let EpochStatus::Rejected(why) = epoch.status {
                match by_reason.iter_mut().find(|(known, _)| *known == why) {
                    Some((_, n)) => *n += 1,
                    None => by_reason.push((why, 1)),
                }
            }
        }
        by_reason
    }
}

impl ScoredEpoch {
    /// Whether it was rejected for channels that were only restless. Such an epoch is known to a fit as one that
    /// swings too far is: large values are to be learned to be ignored.
    #[must_use]
    pub fn is_restless(&self, used: &ChannelMask) -> bool {
        self.status == EpochStatus::Rejected(Rejection::BadChannel)
            && self.meaningless.intersection(used).is_empty()
    }

    /// The status that decides whether it is fitted on.
    #[must_use]
    pub fn status_for_fit(&self, used: &ChannelMask) -> EpochStatus {
        if self.is_restless(used) {
            EpochStatus::Rejected(Rejection::PeakToPeak)
        } else {
            self.status
        }
    }

    /// Channels that may be made up from the others where the epoch was rejected for channels that meant nothing; what else it was
    /// rejected for, nothing can make up for.
    #[must_use]
    pub fn failed(&self, spec: &EegSpec, used: &ChannelMask) -> ChannelMask {
        if self.status_for_fit(used) == EpochStatus::Rejected(Rejection::BadChannel) {
            self.meaningless.union(&self.wild(spec)).intersection(used)
        } else {
            ChannelMask::NONE
        }
    }

    /// Channels whose features swing beyond three times the peak-to-peak limit: a fault, not a blink.
    #[must_use]
    pub fn wild(&self, spec: &EegSpec) -> ChannelMask {
        let limit_uv = FIT_SWING_MAX * spec.epoch.peak_to_peak.get();
        let bins = (self.features.len() / spec.channels.max(1)).max(1);
        let rows = self.features.chunks_exact(bins).enumerate();
        rows.filter(|(_, row)| {
            let low = row.iter().copied().fold(f64::INFINITY, f64::min);
            let high = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            high - low > limit_uv
        })
        .map(|(channel, _)| channel)
        .collect()
    }
}

impl Recorded {
    /// Shows every filtered sample with its stamp and the channels that are bad, once the filters have settled.
    ///
    /// # Errors
    /// As [`Recorded::pass`].
    pub fn filtered(
        &self,
        spec: EegSpec,
        mut show: impl FnMut(f64, &[f64], &ChannelMask),
    ) -> Result<(), Failure> {
        let failed = |e: DspError| failure(Exit::Source, e);
        let stream = self.eeg()?;
        let (scale, _) = microvolts(stream);
        let mut path = EegPath::prepare(spec).map_err(failed)?;
        let mut row = vec![0.0_f32; stream.channels()];
        for (index, &stamp_s) in stream.stamps.iter().enumerate() {
            read_row(stream, index, &scale, &mut row);
            path.push(stamp_s, &row).map_err(failed)?;
            if path.is_settled() {
                show(stamp_s, path.filtered(), &path.quality().bad());
            }
        }
        Ok(())
    }

    /// Sends the EEG and the flashes through the signal path, sample by sample, as they would have come live; `used` are the
    /// channels that are looked at, all when `None`.
    ///
    /// # Errors
    /// [`Exit::Source`] as [`Recorded::eeg`], or when the path cannot be built for this stream.
    pub fn pass(
        &self,
        spec: EegSpec,
        used: Option<ChannelMask>,
        scorer: Option<EpochScorer>,
        blinks: Option<&BlinkRegression>,
    ) -> Result<Passed, Failure> {
        let failed = |e: DspError| failure(Exit::Source, e);
        let stream = self.eeg()?;
        let (scale, unit) = microvolts(stream);
        let mut path = EegPath::prepare(spec).map_err(failed)?;
        path.set_blinks(blinks.cloned()).map_err(failed)?;
        if let Some(used) = used {
            path.set_used(used);
            // For a fit the channels are still being chosen; a scorer was fitted to these.
            if scorer.is_some() {
                path.set_montage(used);
            }
        }
        if let Some(scorer) = scorer {
            // A new path has no open epoch, so the scorer is taken.
            let _ = path
                .set_scorer(scorer)
                .map_err(|e| failure(Exit::Source, e))?;
        }
        let flashes = self.flashes();
        let mut announced = 0;
        let mut epochs = Vec::with_capacity(flashes.len());
        let shape = spec.epoch_shape().map_err(failed)?;
        let start_samples = (spec.epoch.start.get() * spec.rate.get()).round() as usize;
        let whole_samples = (start_samples + shape.samples()) as u64;
        let mut row = vec![0.0_f32; stream.channels()];
        // From which sample on which channels meant nothing.
        let mut meaningless: Vec<(u64, ChannelMask)> = Vec::new();
        let mut spans: Vec<(u64, u64)> = Vec::new();
        for (index, &stamp_s) in stream.stamps.iter().enumerate() {
            let mut keep = |epoch: &razvilka_dsp::epoch::FinishedEpoch<'_>| {
                // One that ended early has no features to speak of, and may have ended before it began.
                if epoch.last.0 + 1 >= epoch.onset.0 + whole_samples {
                    spans.push((epoch.onset.0, epoch.last.0));
                    epochs.push(ScoredEpoch {
                        flash: epoch.id as usize,
                        features: epoch.features.to_vec(),
                        status: epoch.status,
                        bad: epoch.bad,
                        meaningless: ChannelMask::NONE,
                        score: epoch.score,
                    });
                }
            };
            while let Some(flash) = flashes.get(announced).filter(|f| f.onset_s <= stamp_s) {
                // A flash that is refused has no epoch; the caller sees that it is missing.
                let _ = path.flash_with(announced as u64, flash.onset_s, &mut keep);
                announced += 1;
            }
            read_row(stream, index, &scale, &mut row);
            path.push_with(stamp_s, &row, &mut keep).map_err(failed)?;
            while path.pop().is_some() {}
            let now = path.quality().meaningless();
            if meaningless
                .last()
                .map_or(!now.is_empty(), |(_, mask)| *mask != now)
            {
                let newest = path.next_sample().0.saturating_sub(1);
                meaningless.push((newest, now));
            }
        }
        for (epoch, (onset, last)) in epochs.iter_mut().zip(&spans) {
            let from = meaningless.partition_point(|(at, _)| at <= onset);
            let until = meaningless.partition_point(|(at, _)| at <= last);
            for (_, mask) in meaningless.iter().take(until).skip(from.saturating_sub(1)) {
                epoch.meaningless = epoch.meaningless.union(mask);
            }
        }
        epochs.sort_by_key(|epoch| epoch.flash);
        Ok(Passed {
            epochs,
            counts: path.counts(),
            bad: (0..spec.channels)
                .map(|channel| path.quality().bad_seconds(channel))
                .collect(),
            seconds: path.quality().verdicts(),
            unit,
        })
    }
}

/// One sample of all channels, each in microvolts by its `scale`, in the stream's own width, as amplifiers send it and as it comes
/// live.
pub(super) fn read_row(stream: &RecordedStream, index: usize, scale: &[f64], row: &mut [f32]) {
    let numbers = stream.numbers(index).unwrap_or_default();
    for ((to, from), scale) in row.iter_mut().zip(numbers).zip(scale) {
        *to = (*from * scale) as f32;
    }
}
