//! Is the imitator any better than simpler guesses?

use super::{ALTERNATIVES, Guess, Offer};

/// Bins of the calibration error.
const BINS: usize = 10;
/// A probability below this counts as this, so that one surprise does not make the log-loss infinite.
const PROBABILITY_MIN: f64 = 1e-6;

/// How good one way of guessing has been.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Figures {
    /// Answers that were guessed before they were known.
    pub answers: u64,
    /// Mean of minus the logarithm of the probability that the answer was given, nats.
    pub log_loss_nats: f64,
    /// Share of answers that were the most probable option.
    pub accuracy: f64,
    /// Expected calibration error of the most probable option's probability, in ten bins of equal width (Naeini et al. 2015).
    pub calibration_error: f64,
}

/// The imitator beside its baselines, each guessing before the answer was known (prequential: Dawid 1984).
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Standing {
    /// The imitator.
    pub imitator: Figures,
    /// The model's mass at the fork; `other` as often as it was chosen so far.
    pub model: Figures,
    /// The place on the screen that was chosen last.
    pub last: Figures,
    /// Each place as often as it was chosen so far.
    pub frequency: Figures,
}

/// Running scores of the imitator and its baselines. Nothing allocates.
#[derive(Debug, Clone, PartialEq)]
pub struct Scorecard {
    tallies: [Tally; 4],
    /// Choices of each place, and of `other` last; begun at 1 each.
    chosen: [f64; ALTERNATIVES],
    last: Option<usize>,
    /// How often the last place was chosen again, and not; begun at 1 each.
    again: [f64; 2],
}

#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Tally {
    answers: u64,
    loss: f64,
    right: u64,
    /// Per bin: answers, sum of probabilities, right ones.
    bins: [(u64, f64, u64); BINS],
}

impl Tally {
    fn note(&mut self, probabilities: &[f64], answer: usize) {
        let p = probabilities.get(answer).copied().unwrap_or(0.0);
        let mut best = (0, 0.0);
        for (option, probability) in probabilities.iter().enumerate() {
            if *probability > best.1 {
                best = (option, *probability);
            }
        }
        let right = u64::from(best.0 == answer);
        self.answers += 1;
        self.loss -= p.max(PROBABILITY_MIN).ln();
        self.right += right;
        let bin = ((best.1 * BINS as f64) as usize).min(BINS - 1);
        let (answers, sum, hits) = &mut self.bins[bin]; // fewer than `BINS`
        (*answers, *sum, *hits) = (*answers + 1, *sum + best.1, *hits + right);
    }

    fn figures(&self) -> Figures {
        if self.answers == 0 {
            return Figures::default();
        }
        let n = self.answers as f64;
        let gap = |(_, sum, hits): &(u64, f64, u64)| (*hits as f64 - sum).abs();
        Figures {
            answers: self.answers,
            log_loss_nats: self.loss / n,
            accuracy: self.right as f64 / n,
            calibration_error: self.bins.iter().map(gap).sum::<f64>() / n,
        }
    }
}

impl Default for Scorecard {
    fn default() -> Self {
        Self::new()
    }
}

impl Scorecard {
    /// Nothing guessed yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            tallies: [Tally::default(); 4],
            chosen: [1.0; ALTERNATIVES],
            last: None,
            again: [1.0; 2],
        }
    }

    /// Notes what the imitator had guessed and what the answer then was: the number of a branch, or the number of branches for
    /// `other`. An answer that was not offered is not noted.
    pub fn note(&mut self, guess: &Guess, offer: &Offer, answer: usize) {
        let branches = offer.branches();
        if answer > branches || guess.probabilities().len() != branches + 1 {
            return;
        }
        let (model, last, frequency) = (
            self.by_model(offer),
            self.by_last(branches),
            self.by_frequency(branches),
        );
        let [imitator, of_model, of_last, of_frequency] = &mut self.tallies;
        imitator.note(guess.probabilities(), answer);
        of_model.note(&model[..=branches], answer);
        of_last.note(&last[..=branches], answer);
        of_frequency.note(&frequency[..=branches], answer);
        let place = if answer == branches {
            ALTERNATIVES - 1
        } else {
            answer
        };
        if let Some(last) = self.last {
            self.again[usize::from(last != place)] += 1.0;
        }
        self.chosen[place] += 1.0;
        self.last = Some(place);
    }

    /// The figures so far.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let [imitator, model, last, frequency] = &self.tallies;
        Standing {
            imitator: imitator.figures(),
            model: model.figures(),
            last: last.figures(),
            frequency: frequency.figures(),
        }
    }

    fn other_share(&self) -> f64 {
        self.chosen[ALTERNATIVES - 1] / self.chosen.iter().sum::<f64>()
    }

    fn by_model(&self, offer: &Offer) -> [f64; ALTERNATIVES] {
        let mut p = [0.0; ALTERNATIVES];
        let branches = offer.branches();
        // The first feature is the log-probability relative to the likeliest.
        for (p, row) in p.iter_mut().zip(&offer.rows()[..branches]) {
            *p = row[0].exp();
        }
        let sum: f64 = p.iter().sum();
        let other = self.other_share();
        p.iter_mut().for_each(|p| *p *= (1.0 - other) / sum);
        p[branches] = other;
        p
    }

    fn by_last(&self, branches: usize) -> [f64; ALTERNATIVES] {
        let again = self.again[0] / (self.again[0] + self.again[1]);
        let last = self
            .last
            .map(|p| if p == ALTERNATIVES - 1 { branches } else { p });
        let mut p = [0.0; ALTERNATIVES];
        match last.filter(|last| *last <= branches) {
            Some(last) => {
                p[..=branches].fill((1.0 - again) / branches as f64);
                p[last] = again;
            }
            None => p[..=branches].fill(1.0 / (branches + 1) as f64),
        }
        p
    }

    fn by_frequency(&self, branches: usize) -> [f64; ALTERNATIVES] {
        let mut p = [0.0; ALTERNATIVES];
        p[..branches].copy_from_slice(&self.chosen[..branches]);
        p[branches] = self.chosen[ALTERNATIVES - 1];
        let sum: f64 = p.iter().sum();
        p.iter_mut().for_each(|p| *p /= sum);
        p
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]
mod tests {
    use super::super::Candidate;
    use super::*;

    fn offer() -> Offer {
        let candidate = |log_prob_nats| Candidate {
            log_prob_nats,
            tokens: 3,
            attention: 0.0,
        };
        Offer::new(&[candidate(-1.0), candidate(-1.0 - 2.0_f64.ln())])
    }

    #[test]
    fn the_figures_are_those_worked_out_by_hand() {
        let mut card = Scorecard::new();
        let guess = Guess::of(&[0.8, 0.15, 0.05]).unwrap();
        for answer in [0, 0, 1, 0] {
            card.note(&guess, &offer(), answer);
        }
        let found = card.standing().imitator;
        let loss = -(3.0 * 0.8_f64.ln() + 0.15_f64.ln()) / 4.0;
        assert!((found.log_loss_nats - loss).abs() < 1e-12);
        assert_eq!((found.answers, found.accuracy), (4, 0.75));
        // All four lie in one bin: 0.8 claimed, 0.75 right.
        assert!((found.calibration_error - 0.05).abs() < 1e-12);
        // The model's two thirds and one third, of what `other` leaves: 3/4, 4/5, 5/6, 6/7.
        let model = card.standing().model;
        let of = [
            0.75 * 2.0 / 3.0,
            0.8 * 2.0 / 3.0,
            5.0 / 18.0,
            12.0 / 21.0_f64,
        ];
        let loss = -of.iter().map(|p| p.ln()).sum::<f64>() / 4.0;
        assert!((model.log_loss_nats - loss).abs() < 1e-12);
        assert_eq!(model.accuracy, 0.75);
    }

    #[test]
    fn somebody_who_keeps_to_a_place_is_best_guessed_by_place() {
        let mut card = Scorecard::new();
        let even = Guess::of(&[1.0, 1.0, 1.0]).unwrap();
        for _ in 0..50 {
            card.note(&even, &offer(), 1);
        }
        let standing = card.standing();
        assert!(standing.last.log_loss_nats < standing.imitator.log_loss_nats);
        assert!(standing.frequency.log_loss_nats < standing.model.log_loss_nats);
        assert!(standing.frequency.accuracy > 0.9 && standing.model.accuracy < 0.1);
        card.note(&even, &offer(), 3);
        assert_eq!(card.standing().imitator.answers, 50);
    }
}
