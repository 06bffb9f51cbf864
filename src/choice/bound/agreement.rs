//! A lower bound on the mean agreement of the forks that were looked at.

use super::{BETS, LAID_OUT, ln_sum_exp};

/// Halvings of the interval in which the bound is looked for; the last is far below what anybody reads.
const HALVINGS: usize = 50;

/// A lower bound on a mean that holds at every moment with one and the same confidence.
///
/// Values `x` in \[0, 1\] are put in one by one. With probability at least `1 - delta`, [`lower`](Self::lower) is at no moment
/// above the mean, so far, of the values' expectations given everything before each. These expectations may differ from value to
/// value and depend on the past in any way; the bound is on their average, not on the next one.
///
/// The one-sided capital process of Waudby-Smith & Ramdas 2024 on the losses `1 - x`: for a fixed share `c`, the product of
/// `(1 - c (1 - x)) / (1 - c m)` over all values, mixed over eight shares. Their bets depend on the hypothesised mean `m`, which is
/// the same for all values; here `c` does not, and as `ln(1 - c m)` is concave in `m` the product at the average mean is at most
/// that at the true means, a martingale.
#[derive(Debug, Clone, PartialEq)]
pub struct AgreementBound {
    delta: f64,
    values: u64,
    sum: f64,
    /// Per share, `ln` of what was laid out times the product of `1 - c (1 - x)`.
    ln_capital: [f64; 8],
}

impl AgreementBound {
    /// Nothing seen yet: the bound is 0. A `delta` that is not inside 0..1 is taken as 0.05.
    #[must_use]
    pub fn new(delta: f64) -> Self {
        let inside = delta > 0.0 && delta < 1.0;
        Self {
            delta: if inside { delta } else { 0.05 },
            values: 0,
            sum: 0.0,
            ln_capital: LAID_OUT.map(f64::ln),
        }
    }

    /// As after so many answers, of which `agreed` were agreements and the rest disagreements.
    #[must_use]
    pub fn after(delta: f64, answers: u32, agreed: u32) -> Self {
        let mut bound = Self::new(delta);
        let agreed = agreed.min(answers);
        let disagreed = answers - agreed;
        bound.values = u64::from(answers);
        bound.sum = f64::from(agreed);
        if disagreed > 0 {
            for (ln_capital, bet) in bound.ln_capital.iter_mut().zip(BETS) {
                *ln_capital += f64::from(disagreed) * (1.0 - bet).ln();
            }
        }
        bound
    }

    /// Puts in one value: 1 for an agreement, 0 for a disagreement, or anything between. What is no number counts as 0.
    pub fn push(&mut self, agreement: f64) {
        let agreement = if agreement.is_nan() { 0.0 } else { agreement };
        let agreement = agreement.clamp(0.0, 1.0);
        self.values += 1;
        self.sum += agreement;
        for (ln_capital, bet) in self.ln_capital.iter_mut().zip(BETS) {
            *ln_capital += (1.0 - bet * (1.0 - agreement)).ln();
        }
    }

    /// How many values were put in.
    #[must_use]
    pub const fn values(&self) -> u64 {
        self.values
    }

    /// Their mean; none before the first.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.values > 0).then(|| self.sum / self.values as f64)
    }

    /// `ln` of the capital against a mean agreement of at most `mean`. It is the larger, the less `mean` is to be believed.
    #[must_use]
    pub fn ln_capital(&self, mean: f64) -> f64 {
        let loss = 1.0 - mean;
        let mut of = self.ln_capital;
        for (ln_capital, bet) in of.iter_mut().zip(BETS) {
            // All is staked and lost, whatever the claim.
            if ln_capital.is_finite() {
                *ln_capital -= self.values as f64 * (1.0 - bet * loss).ln();
            }
        }
        ln_sum_exp(&of)
    }

    /// Whether this mean is too low to be believed: the lower bound is at least as high. Cheaper than [`lower`](Self::lower).
    #[must_use]
    pub fn exceeds(&self, mean: f64) -> bool {
        self.ln_capital(mean) >= -self.delta.ln()
    }

    /// The lower bound, 0 to 1.
    #[must_use]
    pub fn lower(&self) -> f64 {
        if !self.exceeds(0.0) {
            return 0.0;
        }
        // Capital falls as the claimed mean rises.
        let (mut low, mut high) = (0.0, 1.0);
        for _ in 0..HALVINGS {
            let middle = (low + high) / 2.0;
            if self.exceeds(middle) {
                low = middle;
            } else {
                high = middle;
            }
        }
        low
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Golden {
        delta: f64,
        streams: Vec<Stream>,
    }

    #[derive(Deserialize)]
    struct Stream {
        x: Vec<f64>,
        means: Vec<f64>,
        ln_capital: Vec<Vec<f64>>,
        lower: Vec<f64>,
    }

    /// Independent truth: the betting martingale of PyPI's `confseq` with the same bets, and a bound read off it by SciPy
    /// (`fixtures/golden/choice/generate.py`).
    #[test]
    fn capital_and_bound_are_those_of_the_papers_authors() {
        let golden = include_str!("../../../fixtures/golden/choice/bound.json");
        let golden: Golden = serde_json::from_str(golden).unwrap();
        assert!(golden.streams.len() >= 5);
        for stream in golden.streams {
            let mut bound = AgreementBound::new(golden.delta);
            for (t, x) in stream.x.iter().enumerate() {
                bound.push(*x);
                assert!((bound.lower() - stream.lower[t]).abs() < 1e-9, "{t}");
                for (mean, expected) in stream.means.iter().zip(&stream.ln_capital) {
                    let found = bound.ln_capital(*mean);
                    assert!((found - expected[t]).abs() < 1e-9, "{t} {mean}: {found}");
                }
            }
        }
    }

    #[test]
    fn the_mean_is_under_the_bound_in_no_more_runs_than_delta_however_it_drifts() {
        let delta = 0.1;
        for (kind, name) in ["steady", "falls", "swings", "answers the past"]
            .iter()
            .enumerate()
        {
            let mut missed = 0;
            for seed in 0..600 {
                let mut random = ChaCha8Rng::seed_from_u64(seed * 4 + kind as u64);
                let mut bound = AgreementBound::new(delta);
                let (mut expected, mut last) = (0.0, 1.0);
                let mut ever = false;
                for t in 0..200 {
                    let p: f64 = match kind {
                        0 => 0.9,
                        1 => 0.98 - f64::from(t) / 400.0,
                        2 => 0.8 + 0.19 * (f64::from(t) / 15.0).sin(),
                        _ => 0.97 - 0.3 * last,
                    };
                    let x = f64::from(u8::from(random.random::<f64>() < p));
                    (expected, last) = (expected + p, x);
                    bound.push(x);
                    ever |= bound.exceeds(expected / f64::from(t + 1));
                }
                missed += u32::from(ever);
            }
            // 600 runs at 10 %: 60 to be expected at most, 3 standard deviations are 22.
            assert!(missed <= 82, "{name}: {missed}");
        }
    }

    #[test]
    fn counted_at_once_or_one_by_one_is_the_same() {
        for (answers, agreed) in [(0, 0), (40, 40), (40, 37), (3, 0)] {
            let mut bound = AgreementBound::new(0.05);
            (0..answers).for_each(|answer| bound.push(f64::from(u8::from(answer < agreed))));
            let at_once = AgreementBound::after(0.05, answers, agreed);
            assert_eq!(at_once.values(), bound.values());
            assert_eq!(at_once.mean(), bound.mean());
            assert!((at_once.lower() - bound.lower()).abs() < 1e-12);
        }
        // What a damaged file says does no harm.
        let absurd = AgreementBound::after(0.05, u32::MAX, u32::MAX);
        assert!(absurd.lower() <= 1.0 && AgreementBound::after(0.05, 1, 9).values() == 1);
    }

    #[test]
    fn forty_agreements_in_a_row_certify_nine_in_ten() {
        let mut bound = AgreementBound::new(0.05);
        let mut needed = 0;
        while bound.lower() < 0.9 {
            bound.push(1.0);
            needed += 1;
        }
        // With all staked, 29 would do; what lies on the other bets costs a dozen.
        assert!((29..=42).contains(&needed), "{needed}");
        let sure = bound.lower();
        bound.push(0.0);
        assert!(bound.lower() < sure);
        bound.push(f64::NAN);
        assert_eq!(bound.values(), needed + 2);
        assert!(bound.mean().unwrap() < 1.0);
    }
}
