//! Channels that failed in single epochs, interpolated from the others.
//!
//! A channel's values are a weighted sum of those that the good channels have at the same moment; the weights are those of
//! least squares over the epochs in which the channels were good: the method of Buck, J. R. Stat. Soc. B 22(2):302 (1960), with mean
//! products of pairs of channels, so that no epoch has to be whole, and without a constant term, as features are band-passed. What
//! was flashed has no part in it: a target's missing channel is made up as any other's.
//!
//! Made-up values repeat the others and bring nothing new of their own channel; what they save is the epoch's other channels.

use razvilka_dsp::mask::ChannelMask;

use crate::covariance::Symmetric;
use crate::error::{Result, same_size};

/// Epochs in which two channels must have been good at once for one to say anything of the other: a decision of ours.
const EPOCHS_MIN: usize = 20;
/// Diagonal load relative to the mean power: two channels that are nearly copies share their weight; a decision of ours.
const RIDGE: f64 = 1e-3;

/// Of each failed channel: its number, and the weights of all channels.
type Weights = Vec<(usize, Vec<f64>)>;

/// Knows how channels go together, and fills in those that failed.
#[derive(Debug, Clone)]
pub struct Interpolation {
    bins: usize,
    products: Symmetric,
    epochs: Vec<usize>,
    /// For each set of failed channels that came up; `None` where too little is known.
    made: Vec<(ChannelMask, Option<Weights>)>,
}

impl Interpolation {
    /// Learns from epochs of `channels` times `bins` features, `[channel][bin]`, each with the channels that failed in it.
    ///
    /// # Errors
    /// [`crate::CalibrationError::Shape`] for an epoch with another number of features.
    pub fn learn<'a>(
        channels: usize,
        bins: usize,
        epochs: impl IntoIterator<Item = (&'a [f64], ChannelMask)>,
    ) -> Result<Self> {
        let mut sums = vec![0.0; channels * channels];
        let mut counts = vec![0; channels * channels];
        for (features, failed) in epochs {
            same_size("features per epoch", channels * bins, features.len())?;
            let rows = || features.chunks_exact(bins).enumerate();
            for (a, of_a) in rows().filter(|(a, _)| !failed.contains(*a)) {
                for (b, of_b) in rows().skip(a).filter(|(b, _)| !failed.contains(*b)) {
                    let sum: f64 = of_a.iter().zip(of_b).map(|(x, y)| x * y).sum();
                    sums[a * channels + b] += sum;
                    counts[a * channels + b] += 1;
                }
            }
        }
        let mean = |a: usize, b: usize| {
            let (sum, count) = (sums[a * channels + b], counts[a * channels + b]);
            sum / (bins * count).max(1) as f64
        };
        Ok(Self {
            bins,
            products: Symmetric::from_fn(channels, mean),
            epochs: counts,
            made: Vec::new(),
        })
    }

    /// Fills the channels of `failed` in an epoch from the others of `used`. `false`, and nothing is changed, when half or more of
    /// `used` failed or too little is known of how they go together.
    pub fn fill(&mut self, features: &mut [f64], failed: &ChannelMask, used: &ChannelMask) -> bool {
        let failed = failed.intersection(used);
        if 2 * failed.count() >= used.count() || features.len() != self.products.order() * self.bins
        {
            return false;
        }
        let kept = used.difference(&failed);
        let place = match self.made.iter().position(|(mask, _)| *mask == failed) {
            Some(place) => place,
            None => {
                self.made.push((failed, self.weights(&failed, &kept)));
                self.made.len() - 1
            }
        };
        let Some((_, Some(weights))) = self.made.get(place) else {
            return false;
        };
        for (channel, weights) in weights {
            for bin in 0..self.bins {
                let sum = kept
                    .iter()
                    .map(|from| weights[from] * features[from * self.bins + bin]);
                features[channel * self.bins + bin] = sum.sum();
            }
        }
        true
    }

    fn weights(&self, failed: &ChannelMask, kept: &ChannelMask) -> Option<Weights> {
        let channels = self.products.order();
        let known = |a: usize, b: usize| {
            let (a, b) = (a.min(b), a.max(b));
            self.epochs
                .get(a * channels + b)
                .is_some_and(|n| *n >= EPOCHS_MIN)
        };
        let from: Vec<usize> = kept.iter().collect();
        let together = from.iter().all(|&a| {
            let all = from.iter().copied().chain(failed.iter());
            all.into_iter().all(|b| known(a, b))
        });
        if !together {
            return None;
        }
        failed
            .iter()
            .map(|channel| {
                let right: Vec<f64> = (0..channels)
                    .map(|other| self.products.get(channel, other))
                    .collect();
                let weights = self.products.solve_sub_block(&from, &right, RIDGE).ok()?;
                Some((channel, weights))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Channel 2 is 0.5 of channel 0 minus twice channel 1; channel 3 goes with none.
    fn epoch(seed: u64) -> Vec<f64> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut noise = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
        };
        let [a, b, d] = [0; 3].map(|_| [0; 5].map(|_| noise()));
        let c: Vec<f64> = a.iter().zip(&b).map(|(a, b)| 0.5 * a - 2.0 * b).collect();
        [&a[..], &b, &c, &d].concat()
    }

    fn failed(channels: &[usize]) -> ChannelMask {
        channels.iter().copied().collect()
    }

    #[test]
    fn a_failed_channel_is_made_up_from_those_it_goes_with_and_the_rest_stays() {
        let epochs: Vec<(Vec<f64>, ChannelMask)> = (0..300_u64)
            .map(|k| {
                let mut features = epoch(k + 1);
                // In no epoch are all channels good.
                let bad = k as usize % 4;
                features[bad * 5..(bad + 1) * 5].fill(1e6);
                (features, failed(&[bad]))
            })
            .collect();
        let known = epochs.iter().map(|(features, bad)| (&features[..], *bad));
        let mut interpolation = Interpolation::learn(4, 5, known).unwrap();
        let whole = epoch(999);
        let mut broken = whole.clone();
        broken[10..15].fill(-4e4);
        assert!(interpolation.fill(&mut broken, &failed(&[2]), &ChannelMask::all(4)));
        for (k, (made, truth)) in broken.iter().zip(&whole).enumerate() {
            let most = if (10..15).contains(&k) { 0.2 } else { 0.0 };
            assert!((made - truth).abs() <= most, "{k}: {made} {truth}");
        }
        // What lies outside the channels used is neither filled nor looked at.
        let mut broken = whole.clone();
        broken[15..].fill(f64::NAN);
        assert!(interpolation.fill(&mut broken, &failed(&[2, 3]), &failed(&[0, 1, 2])));
        assert!(broken[..15].iter().all(|x| x.is_finite()) && broken[15].is_nan());
    }

    #[test]
    fn nothing_is_made_up_from_half_of_the_channels_or_of_a_channel_never_seen() {
        let rows: Vec<Vec<f64>> = (0..60).map(|k| epoch(k + 1)).collect();
        let known = rows.iter().map(|row| (&row[..], failed(&[3])));
        let mut interpolation = Interpolation::learn(4, 5, known).unwrap();
        let whole = epoch(999);
        for bad in [&[0, 1][..], &[0, 1, 2], &[3]] {
            let mut kept = whole.clone();
            assert!(!interpolation.fill(&mut kept, &failed(bad), &ChannelMask::all(4)));
            assert_eq!(kept, whole);
        }
        assert!(Interpolation::learn(4, 5, [(&whole[1..], ChannelMask::NONE)]).is_err());
    }
}
