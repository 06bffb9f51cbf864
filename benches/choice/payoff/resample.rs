//! Intervals by resampling whole persons, wishes or texts: what belongs together is drawn together.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Resamplings behind an interval.
const DRAWS: usize = 1000;

/// A figure with the middle 95 % of what resampling makes of it (percentile bootstrap: Efron & Tibshirani 1993, ch. 13).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figure {
    pub(crate) value: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// The figure of `0..clusters`, drawn with replacement for the interval.
pub(crate) fn figure(clusters: usize, seed: u64, of: impl Fn(&[usize]) -> f64) -> Figure {
    let all: Vec<usize> = (0..clusters).collect();
    let mut random = ChaCha8Rng::seed_from_u64(seed ^ 0x7265_7361);
    let mut found: Vec<f64> = (0..DRAWS)
        .map(|_| {
            let drawn: Vec<usize> = all
                .iter()
                .map(|_| random.random_range(0..clusters))
                .collect();
            of(&drawn)
        })
        .collect();
    found.sort_by(f64::total_cmp);
    Figure {
        value: of(&all),
        low: found[DRAWS / 40],
        high: found[DRAWS - 1 - DRAWS / 40],
    }
}

/// The value below which this share lies, of numbers in any order.
pub(crate) fn quantile(of: &[f64], share: f64) -> f64 {
    let mut sorted = of.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    let at = share * last as f64;
    let (low, high) = (at.floor() as usize, at.ceil() as usize);
    match (sorted.get(low), sorted.get(high)) {
        (Some(a), Some(b)) if a == b => *a,
        (Some(a), Some(b)) => a + (b - a) * (at - low as f64),
        _ => f64::NAN,
    }
}

/// Three digits, and no more than can be read: 12.3, 4,560, 1.2e9.
pub(crate) fn short(value: f64) -> String {
    if !value.is_finite() {
        return "none".into();
    }
    let size = value.abs();
    if size >= 1e7 || (size < 1e-3 && size > 0.0) {
        return format!("{value:.1e}");
    }
    if size >= 1e3 {
        let whole = format!("{value:.0}");
        let (head, tail) = whole.split_at(whole.len() - 3);
        return match head.len() {
            4.. => format!(
                "{},{},{tail}",
                &head[..head.len() - 3],
                &head[head.len() - 3..]
            ),
            _ => format!("{head},{tail}"),
        };
    }
    let digits = if size >= 100.0 {
        0
    } else if size >= 10.0 {
        1
    } else if size >= 1.0 {
        2
    } else {
        3
    };
    format!("{value:.digits$}")
}

impl std::fmt::Display for Figure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { value, low, high } = *self;
        write!(f, "{} ({} to {})", short(value), short(low), short(high))
    }
}
