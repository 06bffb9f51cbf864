//! How far frames are apart, as a histogram.

use serde::{Deserialize, Serialize};

/// Bins in one refresh of the display.
const BINS_PER_REFRESH: f64 = 4.0;
/// Longest interval with a bin of its own, refreshes.
const REFRESHES_MAX: f64 = 4.0;
/// Fewest intervals that a 99th percentile is told of.
const P99_N_MIN: usize = 100;

/// Intervals from frame to frame.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Intervals {
    /// How many.
    pub n: u64,
    /// Median, seconds.
    pub p50_s: f64,
    /// 99th percentile, seconds; `None` of fewer than 100.
    pub p99_s: Option<f64>,
    /// Longest, seconds.
    pub max_s: f64,
    /// Standard deviation, seconds.
    pub deviation_s: f64,
    /// Counts by the bin's beginning, seconds; bins are a quarter of the median long, the last one holds all that is longer. Empty bins are
    /// left out.
    pub bins: Vec<(f64, u64)>,
}

impl Intervals {
    /// Of frames that were shown at these times, seconds, rising.
    #[must_use]
    pub fn of(at_s: &[f64]) -> Self {
        let mut all: Vec<f64> = at_s.windows(2).map(|pair| pair[1] - pair[0]).collect();
        all.sort_unstable_by(f64::total_cmp);
        let rank = |share: f64| {
            let rank = (share * all.len().saturating_sub(1) as f64).round() as usize;
            all.get(rank).copied().unwrap_or(0.0)
        };
        let p50_s = rank(0.5);
        let n = all.len();
        let mean = all.iter().sum::<f64>() / n.max(1) as f64;
        let squares: f64 = all.iter().map(|i| (i - mean) * (i - mean)).sum();
        let width_s = p50_s / BINS_PER_REFRESH;
        let mut bins: Vec<(f64, u64)> = Vec::new();
        for interval in &all {
            // A quarter of a refresh around each multiple of it, so that noise does not part what belongs together.
            let last = BINS_PER_REFRESH * REFRESHES_MAX;
            let bin = if width_s > 0.0 {
                (interval / width_s + 0.5).floor().min(last)
            } else {
                0.0
            };
            let begins = ((bin - 0.5) * width_s).max(0.0);
            match bins.last_mut() {
                Some((of, count)) if *of == begins => *count += 1,
                _ => bins.push((begins, 1)),
            }
        }
        Self {
            n: n as u64,
            p50_s,
            p99_s: (n >= P99_N_MIN).then(|| rank(0.99)),
            max_s: all.last().copied().unwrap_or(0.0),
            deviation_s: (squares / n.saturating_sub(1).max(1) as f64).sqrt(),
            bins,
        }
    }

    /// Frames per second; `None` of no intervals.
    #[must_use]
    pub fn rate_hz(&self) -> Option<f64> {
        (self.p50_s > 0.0).then(|| 1.0 / self.p50_s)
    }

    /// Refreshes that passed between two frames, as far as intervals tell.
    #[must_use]
    pub fn missed(at_s: &[f64], refresh_s: f64) -> u64 {
        let of = |pair: &[f64]| ((pair[1] - pair[0]) / refresh_s).round() - 1.0;
        at_s.windows(2).map(|pair| of(pair).max(0.0) as u64).sum()
    }

    /// The histogram for people, a line for each bin.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let most = self.bins.iter().map(|(_, count)| *count).max().unwrap_or(1);
        let width_s = self.p50_s / BINS_PER_REFRESH;
        let line = |(begins, count): &(f64, u64)| {
            let bar = "#".repeat((40 * count).div_ceil(most) as usize);
            let from_ms = 1e3 * begins;
            format!(
                "{from_ms:>7.2} to {:>7.2} ms {count:>7} {bar}",
                from_ms + 1e3 * width_s
            )
        };
        self.bins.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_gather_around_multiples_of_the_refresh_and_long_ones_in_the_last_bin() {
        let mut at_s = vec![0.0];
        for n in 0..200 {
            let refreshes = match n {
                50 => 2.0,
                100 => 3.0,
                150 => 30.0,
                _ => 1.0,
            };
            let waver_s = if n % 2 == 0 { 0.0004 } else { -0.0004 };
            at_s.push(at_s[n] + 0.02 * refreshes + waver_s);
        }
        let found = Intervals::of(&at_s);
        assert_eq!(found.n, 200);
        assert!((found.p50_s - 0.02).abs() < 0.0005);
        assert!((found.max_s - 0.6).abs() < 0.001);
        let counts: Vec<_> = found.bins.iter().map(|(_, count)| *count).collect();
        assert_eq!(counts, [197, 1, 1, 1]);
        assert_eq!(Intervals::missed(&at_s, 0.02), 1 + 2 + 29);
        assert_eq!(found.lines().len(), 4);
        assert!(found.p99_s.unwrap() < 0.06);
    }

    #[test]
    fn nothing_shown_is_no_histogram() {
        for at_s in [&[][..], &[1.0][..]] {
            let found = Intervals::of(at_s);
            assert_eq!((found.n, found.bins.len(), found.rate_hz()), (0, 0, None));
        }
    }
}
