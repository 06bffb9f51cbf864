//! Has agreement dropped?

/// Shares of the capital that are staked on a drop.
const STAKES: [f64; 4] = [0.15, 0.3, 0.45, 0.6];

/// Says when disagreements have become more frequent than is allowed.
///
/// The Shiryaev-Roberts e-detector of Shin, Ramdas & Rinaldo 2023 ("E-detectors", arXiv 2203.03532) on
/// `1 + l (loss - allowed)`, mixed over four bets `l`. While the expected loss given the past is at most `allowed`, it takes at
/// least `patience` results on average until it sounds falsely, whatever else the person does.
#[derive(Debug, Clone, PartialEq)]
pub struct Alarm {
    allowed: f64,
    patience: f64,
    sums: [f64; 4],
}

impl Alarm {
    /// An alarm that has heard nothing. `allowed`: the share of disagreements that is, inside 0..1; `patience`: results until a
    /// false alarm on average, from 1. What is out of range is moved into it.
    #[must_use]
    pub fn new(allowed: f64, patience: f64) -> Self {
        Self {
            allowed: if allowed.is_nan() {
                0.1
            } else {
                allowed.clamp(1e-3, 0.999)
            },
            patience: patience.max(1.0),
            sums: [0.0; 4],
        }
    }

    /// Hears one result; true when it sounds. It goes on sounding until it is [`reset`](Self::reset) or agreement is back.
    pub fn hear(&mut self, disagreed: bool) -> bool {
        for (sum, stake) in self.sums.iter_mut().zip(STAKES) {
            // The bet is `stake / allowed`: without a loss that share of the capital goes.
            let factor = if disagreed {
                1.0 + stake * (1.0 - self.allowed) / self.allowed
            } else {
                1.0 - stake
            };
            // A sum that has sounded needs not grow for ever.
            *sum = ((*sum + 1.0) * factor).min(1e6 * self.patience);
        }
        self.sounds()
    }

    /// Whether it sounds.
    #[must_use]
    pub fn sounds(&self) -> bool {
        self.level() >= 1.0
    }

    /// How near it is: 1 and more sounds.
    #[must_use]
    pub fn level(&self) -> f64 {
        self.sums.iter().sum::<f64>() / (self.sums.len() as f64 * self.patience)
    }

    /// Forgets everything that it has heard.
    pub fn reset(&mut self) {
        self.sums = [0.0; 4];
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// Results until the alarm sounds, at most `most`.
    fn until(loss: f64, seed: u64, most: u32) -> u32 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut alarm = Alarm::new(0.1, 200.0);
        (1..=most)
            .find(|_| alarm.hear(random.random::<f64>() < loss))
            .unwrap_or(most)
    }

    #[test]
    fn at_the_allowed_share_it_takes_at_least_its_patience_on_average() {
        let runs = 400;
        let mean = (0..runs).map(|s| until(0.1, s, 2_000)).sum::<u32>() / runs as u32;
        assert!(mean >= 200, "{mean}");
    }

    #[test]
    fn a_person_who_has_changed_is_noticed_within_a_few_results() {
        let runs = 400;
        let always = until(1.0, 1, 100);
        assert!((2..=5).contains(&always), "{always}");
        let half = (0..runs).map(|s| until(0.5, s, 1_000)).sum::<u32>() / runs as u32;
        assert!(half <= 16, "{half}");
    }

    #[test]
    fn it_falls_silent_when_agreement_is_back_and_when_it_is_reset() {
        let mut alarm = Alarm::new(0.1, 200.0);
        while !alarm.hear(true) {}
        let mut quiet = alarm.clone();
        quiet.reset();
        assert!(!quiet.sounds());
        assert!((0..100).any(|_| !alarm.hear(false)));
    }
}
