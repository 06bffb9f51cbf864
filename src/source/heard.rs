//! What the stamps of a stream's samples tell that was listened to for a while: how many came, at what rate, in which order.

use super::SharedStamps;

/// Fewest samples that a rate is told by.
const SAMPLES_MIN: u64 = 8;

/// What was heard of a stream. Stamps are the source's own.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Heard {
    samples: u64,
    not_finite: u64,
    backwards: u64,
    /// Samples that have a later stamp than all before them.
    later: u64,
    first_s: Option<f64>,
    last_s: f64,
    /// Samples that have the latest stamp.
    at_last: u64,
    step_max_s: f64,
    shared: SharedStamps,
}

/// A rate as measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MeasuredRate {
    /// Samples per second of the source's clock.
    pub hz: f64,
    /// How far the true rate may be from it, as a share of it: the longest step between two stamps over the whole span. Samples that come in
    /// blocks, or late, make it coarse.
    pub coarse: f64,
}

impl Heard {
    /// Takes the next stamps, seconds.
    pub fn push(&mut self, stamps_s: &[f64]) {
        self.shared.push(stamps_s);
        for stamp_s in stamps_s.iter().copied() {
            if !stamp_s.is_finite() {
                self.not_finite += 1;
                continue;
            }
            self.samples += 1;
            if self.first_s.is_none() {
                (self.first_s, self.last_s) = (Some(stamp_s), stamp_s);
            }
            let step_s = stamp_s - self.last_s;
            if step_s < 0.0 {
                self.backwards += 1;
            } else if step_s > 0.0 {
                (self.last_s, self.at_last) = (stamp_s, 0);
                self.later += 1;
                self.step_max_s = self.step_max_s.max(step_s);
            }
            self.at_last += 1;
        }
    }

    /// Samples with a stamp that is a number.
    #[must_use]
    pub const fn samples(&self) -> u64 {
        self.samples
    }

    /// Samples whose stamp is none.
    #[must_use]
    pub const fn not_finite(&self) -> u64 {
        self.not_finite
    }

    /// Samples whose stamp lies before an earlier one's.
    #[must_use]
    pub const fn backwards(&self) -> u64 {
        self.backwards
    }

    /// Which samples share their stamps.
    #[must_use]
    pub const fn shared(&self) -> &SharedStamps {
        &self.shared
    }

    /// Samples with a stamp of their own, that is the first and those with a later stamp than all before them, and the time from the first to
    /// the last of them, seconds.
    #[must_use]
    pub fn apart(&self) -> (u64, f64) {
        match self.first_s {
            None => (0, 0.0),
            Some(first_s) => (1 + self.later, self.last_s - first_s),
        }
    }

    /// The rate; `None` while fewer than eight samples came, or all at one moment. Samples that share a stamp are counted whole: those at the
    /// last stamp, of which more may follow, are not.
    #[must_use]
    pub fn rate(&self) -> Option<MeasuredRate> {
        let span_s = self.last_s - self.first_s?;
        if self.samples < SAMPLES_MIN || span_s <= 0.0 {
            return None;
        }
        Some(MeasuredRate {
            hz: (self.samples - self.at_last) as f64 / span_s,
            coarse: self.step_max_s / span_s,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(stamps_s: impl IntoIterator<Item = f64>) -> Heard {
        let mut heard = Heard::default();
        heard.push(&stamps_s.into_iter().collect::<Vec<_>>());
        heard
    }

    #[test]
    fn a_rate_is_that_of_the_stamps_one_by_one_or_in_blocks() {
        let single = heard((0..500).map(|k| 1_000.0 + f64::from(k) / 250.0));
        let rate = single.rate().unwrap();
        assert!((rate.hz - 250.0).abs() < 1e-6, "{rate:?}");
        assert!((rate.coarse - 1.0 / 499.0).abs() < 1e-6, "{rate:?}");
        // Blocks of 16 samples with the stamp of the block, the last one cut short.
        let blocks = heard((0..500).map(|k| f64::from(k / 16) * 16.0 / 250.0));
        let rate = blocks.rate().unwrap();
        assert!((rate.hz - 250.0).abs() < 1e-6, "{rate:?}");
        assert!((rate.coarse - 1.0 / 31.0).abs() < 1e-6, "{rate:?}");
        assert!(blocks.shared().block_samples().is_some());
        // Of a block one sample has a stamp of its own: 32 blocks, 31 steps of 64 ms.
        let (samples, span_s) = blocks.apart();
        assert_eq!(samples, 32);
        assert!((span_s - 31.0 * 0.064).abs() < 1e-9, "{span_s}");
    }

    #[test]
    fn lost_samples_lower_the_rate_and_a_gap_makes_it_coarse() {
        let kept = (0..500).filter(|k| !(100..200).contains(k));
        let rate = heard(kept.map(|k| f64::from(k) / 250.0)).rate().unwrap();
        assert!((rate.hz - 200.0).abs() < 0.5, "{rate:?}");
        assert!(rate.coarse > 0.19, "{rate:?}");
    }

    #[test]
    fn stamps_that_are_no_numbers_or_go_back_are_counted_and_spoil_nothing() {
        let mut stamps_s: Vec<f64> = (0..100).map(|k| f64::from(k) / 100.0).collect();
        stamps_s[50] = f64::NAN;
        stamps_s[60] = -5.0;
        let heard = heard(stamps_s);
        assert_eq!((heard.not_finite(), heard.backwards()), (1, 1));
        let rate = heard.rate().unwrap();
        assert!((rate.hz - 99.0).abs() < 1.1, "{rate:?}");
    }

    #[test]
    fn no_rate_is_told_from_nothing() {
        assert_eq!(heard([]).rate(), None);
        assert_eq!(heard([]).apart(), (0, 0.0));
        assert_eq!(heard([3.0; 100]).apart(), (1, 0.0));
        assert_eq!(heard([1.0; 100]).rate(), None);
        assert_eq!(heard([1.0, 2.0]).rate(), None);
    }
}
