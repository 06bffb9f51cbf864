//! One open epoch: sums of the running bin, extremes, features and score as far as they have come.

use pulp::{Arch, Simd, WithSimd};

use super::{EpochShape, EpochStatus, FinishedEpoch, Rejection};
use crate::mask::ChannelMask;
use crate::score::EpochScorer;
use crate::tangent::MAX_COMPONENTS;
use crate::units::SampleIndex;

#[derive(Debug, Clone)]
pub(super) struct OpenEpoch {
    pub(super) is_open: bool,
    id: u64,
    onset_s: f64,
    onset: SampleIndex,
    pub(super) skip: usize,
    pub(super) fed: bool,
    bin: usize,
    in_bin: usize,
    pub(super) rejection: Option<Rejection>,
    pub(super) bad: ChannelMask,
    pub(super) scorer: usize,
    score: f64,
    sums: Vec<f64>,
    pub(super) lowest: Vec<f64>,
    pub(super) highest: Vec<f64>,
    pub(super) features: Vec<f64>,
    /// `[bin][component]` of the scorer's tangent-space part.
    projected: Vec<f64>,
    arch: Arch,
}

/// One sample into the sums of the running bin and the extremes of the epoch; compiled once for each width of vectors.
struct Adding<'a> {
    sample: &'a [f64],
    sums: &'a mut [f64],
    lowest: &'a mut [f64],
    highest: &'a mut [f64],
}

impl WithSimd for Adding<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let extremes = self.lowest.iter_mut().zip(self.highest);
        for ((x, sum), (low, high)) in self.sample.iter().zip(self.sums).zip(extremes) {
            *sum += x;
            *low = if *x < *low { *x } else { *low };
            *high = if *x > *high { *x } else { *high };
        }
    }
}

impl OpenEpoch {
    pub(super) fn closed(shape: &EpochShape) -> Self {
        let n = shape.channels();
        Self {
            is_open: false,
            id: 0,
            onset_s: 0.0,
            onset: SampleIndex(0),
            skip: 0,
            fed: false,
            bin: 0,
            in_bin: 0,
            rejection: None,
            bad: ChannelMask::NONE,
            scorer: 0,
            score: 0.0,
            sums: vec![0.0; n],
            lowest: vec![0.0; n],
            highest: vec![0.0; n],
            features: vec![0.0; shape.features()],
            projected: vec![0.0; shape.bins() * MAX_COMPONENTS],
            arch: Arch::new(),
        }
    }

    /// Empty and open; the score begins at `bias`.
    pub(super) fn begin(
        &mut self,
        id: u64,
        onset_s: f64,
        onset: SampleIndex,
        skip: usize,
        scorer: usize,
        bias: f64,
    ) {
        self.is_open = true;
        self.id = id;
        self.onset_s = onset_s;
        self.onset = onset;
        self.skip = skip;
        self.fed = false;
        self.bin = 0;
        self.in_bin = 0;
        self.rejection = None;
        self.bad = ChannelMask::NONE;
        self.scorer = scorer;
        self.score = bias;
        self.sums.fill(0.0);
        self.lowest.fill(f64::INFINITY);
        self.highest.fill(f64::NEG_INFINITY);
        self.features.fill(0.0);
    }

    pub(super) fn reject(&mut self, why: Rejection) {
        self.rejection.get_or_insert(why);
    }

    /// Adds one sample; true when it was the last.
    pub(super) fn add(
        &mut self,
        shape: &EpochShape,
        sample: &[f64],
        scorer: Option<&EpochScorer>,
    ) -> bool {
        self.arch.dispatch(Adding {
            sample,
            sums: &mut self.sums,
            lowest: &mut self.lowest,
            highest: &mut self.highest,
        });
        self.in_bin += 1;
        if self.in_bin < shape.bin_samples() {
            return false;
        }
        let samples = self.in_bin as f64;
        let of_channels = self.features.chunks_exact_mut(shape.bins());
        for (sum, features) in self.sums.iter_mut().zip(of_channels) {
            *sum /= samples;
            if let Some(feature) = features.get_mut(self.bin) {
                *feature = *sum;
            }
        }
        if let Some(scorer) = scorer {
            self.score += scorer.linear().bin_score(self.bin, &self.sums);
            if let Some(tangent) = scorer.tangent() {
                let m = tangent.components();
                if let Some(out) = self.projected.get_mut(self.bin * m..(self.bin + 1) * m) {
                    tangent.project(&self.sums, out);
                }
            }
        }
        self.sums.fill(0.0);
        self.in_bin = 0;
        self.bin += 1;
        self.bin == shape.bins()
    }

    /// The score when all bins are there: the gathered part, and what had to wait for the last bin.
    pub(super) fn whole_score(&self, scorer: &mut EpochScorer) -> f64 {
        let Some(tangent) = scorer.tangent_mut() else {
            return self.score;
        };
        let filled = self.bin * tangent.components();
        let projected = self.projected.get(..filled).unwrap_or_default();
        self.score + tangent.score_projected(projected)
    }

    pub(super) fn finished(
        &self,
        shape: &EpochShape,
        last: SampleIndex,
        score: Option<f64>,
    ) -> FinishedEpoch<'_> {
        FinishedEpoch {
            id: self.id,
            onset_s: self.onset_s,
            onset: self.onset,
            last,
            shape: *shape,
            features: &self.features,
            status: self
                .rejection
                .map_or(EpochStatus::Clean, EpochStatus::Rejected),
            bad: self.bad,
            score,
            scorer: self.scorer,
        }
    }
}
