//! Is somebody right as often as claimed?

use razvilka::choice::imitator::Guess;

/// Ten bins of claimed probability: answers, sum of what was claimed, right ones.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Reliability([(u32, f64, u32); 10]);

impl Reliability {
    pub(crate) fn note(&mut self, guess: &Guess, answer: usize) {
        let mut best = (0, 0.0);
        for (option, p) in guess.probabilities().iter().enumerate() {
            if *p > best.1 {
                best = (option, *p);
            }
        }
        let (answers, sum, right) = &mut self.0[((best.1 * 10.0) as usize).min(9)];
        *answers += 1;
        *sum += best.1;
        *right += u32::from(best.0 == answer);
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (own, more) in self.0.iter_mut().zip(other.0) {
            *own = (own.0 + more.0, own.1 + more.1, own.2 + more.2);
        }
    }

    /// Expected calibration error of these bins, as [`Scorecard`](razvilka::choice::imitator::Scorecard) has it.
    pub(crate) fn error(&self) -> f64 {
        let answers: u32 = self.0.iter().map(|bin| bin.0).sum();
        let gaps = self.0.iter().map(|bin| (f64::from(bin.2) - bin.1).abs());
        gaps.sum::<f64>() / f64::from(answers.max(1))
    }

    /// By how much more it was right than it claimed, on average.
    pub(crate) fn modesty(&self) -> f64 {
        let answers: u32 = self.0.iter().map(|bin| bin.0).sum();
        let gaps = self.0.iter().map(|bin| f64::from(bin.2) - bin.1);
        gaps.sum::<f64>() / f64::from(answers.max(1))
    }
}
