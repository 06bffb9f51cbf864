//! The imitator: with what probability would this person choose each option?
//!
//! A conditional logit (McFadden 1974, "Conditional logit analysis of qualitative choice behavior") over what was *offered*:
//! an option's utility is a weighted sum of its [features](Features), and the person takes the one whose utility is largest
//! up to noise. `other` is the outside option, which has a utility of its own; so a fork at which nothing pleased teaches
//! that nothing pleased, not that the branches were wrong each for itself. What is believed of the weights is a normal
//! distribution ([`Belief`]), moved on by every choice within microseconds, and slowly back to where it began, as tastes
//! change ([`ImitatorSettings::keep`]).
//!
//! Before the first choice the imitator is the model: the weight of the model's log-probability is 1 and every other 0.
//! [`Scorecard`] says whether it has become better than that, and than two simpler guesses.
//!
//! Nothing here knows texts, tokens or files. The attention over past choices comes as a number from the memory.

mod belief;
mod matrix;
mod scorecard;

use serde::{Deserialize, Serialize};

use crate::fork::MAX_BRANCHES;

pub use belief::{Belief, BeliefError, OPTIONS_MAX};
pub use scorecard::{Figures, Scorecard, Standing};

/// Number of features of an option.
pub const FEATURES: usize = 6;
/// Most options that the imitator tells apart: the branches and `other`.
pub const ALTERNATIVES: usize = MAX_BRANCHES + 1;

const _: () = assert!(ALTERNATIVES <= OPTIONS_MAX);

/// What is known of one option before it is chosen: the features of the choice model, in this order.
///
/// | | feature | unit |
/// |---|---|---|
/// | 0 | log-probability of the branch, relative to the fork's likeliest | nats, 0 and less |
/// | 1 | the same per token, relative to the largest | nats, 0 and less |
/// | 2 | preference by attention over past choices, as the memory gives it | centred on 0 |
/// | 3 | natural logarithm of its tokens, relative to the fork's mean | |
/// | 4 | 1 for the option shown first, else 0 | |
/// | 5 | 1 for `other`, else 0 | |
pub type Features = [f64; FEATURES];

/// Where the belief begins, per feature: mean and standard deviation of the weight.
const PRIOR: [(f64, f64); FEATURES] = [
    (1.0, 0.5),
    (0.0, 0.5),
    (0.0, 16.0),
    (0.0, 0.5),
    (0.0, 0.5),
    (-2.0, 1.0),
];
/// Features farther from 0 than this are cut: one absurd number must not decide.
const FEATURE_MAX: f64 = 12.0;

/// One branch as the imitator sees it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Candidate {
    /// Log-probability of the whole branch given the text, nats.
    pub log_prob_nats: f64,
    /// Its tokens, from 1.
    pub tokens: u32,
    /// Preference by attention over the person's past choices; 0 without any.
    pub attention: f64,
}

/// What the person answered at a fork.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// This branch.
    Branch(usize),
    /// None of them: others are wanted.
    Other,
    /// Not this branch: it had been taken and was taken back. Which one would have been right is not said.
    NotThis(usize),
}

/// How the imitator learns.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ImitatorSettings {
    /// How much of what was learnt is kept from one choice to the next, 0.5 to 1. 1 never forgets; 0.98 halves it in 34
    /// choices.
    pub keep: f64,
}

impl Default for ImitatorSettings {
    fn default() -> Self {
        Self { keep: 0.98 }
    }
}

/// The features of a fork's options: the branches in their order, then `other`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Offer {
    rows: [Features; ALTERNATIVES],
    branches: usize,
}

impl Offer {
    /// Computes the features of up to [`MAX_BRANCHES`] branches; more are left out. Numbers that are not finite count as 0.
    #[must_use]
    pub fn new(candidates: &[Candidate]) -> Self {
        let candidates = &candidates[..candidates.len().min(MAX_BRANCHES)];
        let per_token = |c: &Candidate| c.log_prob_nats / f64::from(c.tokens.max(1));
        let most = |of: &dyn Fn(&Candidate) -> f64| {
            let finite = candidates.iter().map(of).filter(|v| v.is_finite());
            finite.fold(f64::NEG_INFINITY, f64::max)
        };
        let (likeliest, densest) = (most(&|c| c.log_prob_nats), most(&per_token));
        let length = |c: &Candidate| f64::from(c.tokens.max(1)).ln();
        let mean_length =
            candidates.iter().map(length).sum::<f64>() / candidates.len().max(1) as f64;
        let mut rows = [[0.0; FEATURES]; ALTERNATIVES];
        for (place, (row, candidate)) in rows.iter_mut().zip(candidates).enumerate() {
            *row = [
                candidate.log_prob_nats - likeliest,
                per_token(candidate) - densest,
                candidate.attention,
                length(candidate) - mean_length,
                f64::from(u8::from(place == 0)),
                0.0,
            ];
            for value in row.iter_mut() {
                *value = if value.is_finite() {
                    value.clamp(-FEATURE_MAX, FEATURE_MAX)
                } else {
                    0.0
                };
            }
        }
        if let Some(other) = rows.get_mut(candidates.len()) {
            other[FEATURES - 1] = 1.0;
        }
        Self {
            rows,
            branches: candidates.len(),
        }
    }

    /// Number of branches.
    #[must_use]
    pub const fn branches(&self) -> usize {
        self.branches
    }

    /// The rows, `[branches + 1][FEATURES]`.
    #[must_use]
    pub fn rows(&self) -> &[Features] {
        &self.rows[..=self.branches]
    }
}

/// What the imitator expects at a fork.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Guess {
    probabilities: [f64; ALTERNATIVES],
    branches: usize,
}

impl Guess {
    /// A guess from given probabilities of the branches and, last, of `other`; `None` unless there are 2 to
    /// [`ALTERNATIVES`], finite, not negative, and not all 0. They are made to sum to 1.
    #[must_use]
    pub fn of(probabilities: &[f64]) -> Option<Self> {
        let sum: f64 = probabilities.iter().sum();
        let fine = (2..=ALTERNATIVES).contains(&probabilities.len())
            && probabilities.iter().all(|p| *p >= 0.0)
            && sum > 0.0
            && sum.is_finite();
        fine.then(|| {
            let mut found = [0.0; ALTERNATIVES];
            for (to, from) in found.iter_mut().zip(probabilities) {
                *to = from / sum;
            }
            Self {
                probabilities: found,
                branches: probabilities.len() - 1,
            }
        })
    }

    /// Probability of each branch, then of `other`; they sum to 1.
    #[must_use]
    pub fn probabilities(&self) -> &[f64] {
        &self.probabilities[..=self.branches]
    }

    /// The likeliest branch and its probability, `other` counted among what else it could have been. Of equal ones the first.
    #[must_use]
    pub fn best(&self) -> (usize, f64) {
        let branches = &self.probabilities[..self.branches];
        let mut best = (0, branches.first().copied().unwrap_or(0.0));
        for (branch, p) in branches.iter().enumerate() {
            if *p > best.1 {
                best = (branch, *p);
            }
        }
        best
    }
}

/// All that an imitator goes on from, but for the undo of its last choice: what is written down of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImitatorRecord {
    /// [`ImitatorSettings::keep`].
    pub keep: f64,
    /// Answers learnt from.
    pub learnt: u64,
    /// Means of the weights, in the order of [`Features`].
    pub mean: [f64; FEATURES],
    /// Their precision, row by row.
    pub precision: [[f64; FEATURES]; FEATURES],
}

/// The learned model of one person's choices.
#[derive(Debug, Clone, PartialEq)]
pub struct Imitator {
    settings: ImitatorSettings,
    belief: Belief<FEATURES>,
    /// What was believed before the last choice, and which offer that was: for an undo.
    before: Option<(Belief<FEATURES>, Offer, usize)>,
    learnt: u64,
}

impl Imitator {
    /// One that knows nothing but the model's log-probabilities. A `keep` outside 0.5..=1 is moved into it.
    #[must_use]
    pub fn new(settings: ImitatorSettings) -> Self {
        let keep = if settings.keep.is_nan() {
            1.0
        } else {
            settings.keep.clamp(0.5, 1.0)
        };
        Self {
            settings: ImitatorSettings { keep },
            belief: Belief::independent(PRIOR),
            before: None,
            learnt: 0,
        }
    }

    /// One that goes on from what was written down of another. Two that do so from the same record stay the same, bit for bit,
    /// whatever they learn.
    ///
    /// # Errors
    /// [`BeliefError::Degenerate`] when the record is of no imitator.
    pub fn resumed(record: &ImitatorRecord) -> Result<Self, BeliefError> {
        let belief = Belief::of(record.mean, record.precision)?;
        Ok(Self {
            belief,
            learnt: record.learnt,
            ..Self::new(ImitatorSettings { keep: record.keep })
        })
    }

    /// What is to be written down of it.
    #[must_use]
    pub fn record(&self) -> ImitatorRecord {
        ImitatorRecord {
            keep: self.settings.keep,
            learnt: self.learnt,
            mean: *self.belief.mean(),
            precision: *self.belief.precision(),
        }
    }

    /// What it expects at a fork, the uncertainty of the weights taken in. `None` for fewer than two branches.
    #[must_use]
    pub fn guess(&self, offer: &Offer) -> Option<Guess> {
        if offer.branches < 2 {
            return None;
        }
        let mut probabilities = [0.0; ALTERNATIVES];
        self.belief.predict(offer.rows(), &mut probabilities);
        Guess::of(&probabilities[..=offer.branches])
    }

    /// Learns from an answer to an offer. `go on`, a decline and an abort say nothing of the branches: they are not learnt from.
    ///
    /// An [`Answer::NotThis`] about the choice that was learnt last first unlearns it.
    ///
    /// # Errors
    /// [`BeliefError`] when the answer is not among the offer or the belief would be no distribution any more; then nothing is
    /// learnt.
    pub fn learn(&mut self, offer: &Offer, answer: Answer) -> Result<(), BeliefError> {
        let options = offer.branches + 1;
        let (taken, refused) = match answer {
            Answer::Branch(branch) if branch < offer.branches => (branch, false),
            Answer::Other if offer.branches > 0 => (offer.branches, false),
            Answer::NotThis(branch) if branch < offer.branches && offer.branches > 1 => {
                (branch, true)
            }
            _ => return Err(BeliefError::NotOffered { options }),
        };
        let mut belief = self.belief.clone();
        let mut wanted = [0.0; ALTERNATIVES];
        if refused {
            if let Some((before, learnt_from, branch)) = &self.before
                && learnt_from == offer
                && *branch == taken
            {
                belief = before.clone();
            }
            // Expectation-maximisation's step for "one of the others": each as probable as it was among them.
            belief.predict(offer.rows(), &mut wanted);
            wanted[taken] = 0.0;
            let rest: f64 = wanted.iter().sum();
            wanted.iter_mut().for_each(|p| *p /= rest);
        } else {
            wanted[taken] = 1.0;
        }
        belief.forget(self.settings.keep, &Belief::independent(PRIOR))?;
        belief.learn(offer.rows(), &wanted[..options])?;
        let before = std::mem::replace(&mut self.belief, belief);
        self.before = (!refused).then_some((before, *offer, taken));
        self.learnt += 1;
        Ok(())
    }

    /// Answers learnt from.
    #[must_use]
    pub const fn learnt(&self) -> u64 {
        self.learnt
    }

    /// What is believed of the weights, in the order of [`Features`].
    #[must_use]
    pub const fn belief(&self) -> &Belief<FEATURES> {
        &self.belief
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]
mod tests {
    use super::*;

    fn candidate(log_prob_nats: f64, attention: f64) -> Candidate {
        Candidate {
            log_prob_nats,
            tokens: 4,
            attention,
        }
    }

    fn fork() -> Offer {
        Offer::new(&[
            candidate(-2.0, -0.5),
            candidate(-3.0, 0.5),
            candidate(-4.0, 0.0),
        ])
    }

    #[test]
    fn before_the_first_choice_it_ranks_as_the_model() {
        let guess = Imitator::new(ImitatorSettings::default())
            .guess(&fork())
            .unwrap();
        let p = guess.probabilities();
        assert_eq!(p.len(), 4);
        assert!(p[0] > p[1] && p[1] > p[2]);
        assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert_eq!(guess.best().0, 0);
    }

    #[test]
    fn choices_against_the_model_are_taken_up_and_old_ones_forgotten() {
        let learnt = |keep, changed| {
            let mut imitator = Imitator::new(ImitatorSettings { keep });
            for _ in 0..40 {
                imitator.learn(&fork(), Answer::Branch(1)).unwrap();
            }
            for _ in 0..changed {
                imitator.learn(&fork(), Answer::Branch(2)).unwrap();
            }
            imitator.guess(&fork()).unwrap()
        };
        let sure = learnt(0.98, 0);
        assert!(sure.best().0 == 1 && sure.best().1 > 0.85, "{sure:?}");
        let (forgets, never) = (learnt(0.9, 4), learnt(1.0, 4));
        assert!(forgets.probabilities()[2] > never.probabilities()[2]);
        assert!(forgets.probabilities()[1] < never.probabilities()[1]);
    }

    #[test]
    fn other_teaches_that_nothing_pleased_and_not_which_branch_is_worse() {
        let mut imitator = Imitator::new(ImitatorSettings::default());
        let even = Offer::new(&[candidate(-2.0, 0.0), candidate(-2.0, 0.0)]);
        let before = imitator.guess(&even).unwrap();
        imitator.learn(&even, Answer::Other).unwrap();
        let after = imitator.guess(&even).unwrap();
        assert!(after.probabilities()[2] > before.probabilities()[2]);
        let ratio = |g: &Guess| g.probabilities()[0] / g.probabilities()[1];
        // The first place alone tells the two apart, and that hardly.
        assert!((ratio(&after) / ratio(&before) - 1.0).abs() < 0.1);
    }

    #[test]
    fn a_choice_taken_back_is_unlearnt_and_counts_against_itself() {
        let mut imitator = Imitator::new(ImitatorSettings { keep: 1.0 });
        let before = imitator.guess(&fork()).unwrap();
        imitator.learn(&fork(), Answer::Branch(0)).unwrap();
        imitator.learn(&fork(), Answer::NotThis(0)).unwrap();
        let after = imitator.guess(&fork()).unwrap();
        assert!(after.probabilities()[0] < before.probabilities()[0]);
        let mut only_refused = Imitator::new(ImitatorSettings { keep: 1.0 });
        only_refused.learn(&fork(), Answer::NotThis(0)).unwrap();
        assert_eq!(after, only_refused.guess(&fork()).unwrap());
    }

    #[test]
    fn two_that_go_on_from_one_record_stay_the_same_and_a_damaged_record_is_refused() {
        let mut imitator = Imitator::new(ImitatorSettings { keep: 0.9 });
        for branch in [0, 2, 1, 1] {
            imitator.learn(&fork(), Answer::Branch(branch)).unwrap();
        }
        let written = serde_json::to_string(&imitator.record()).unwrap();
        let record: ImitatorRecord = serde_json::from_str(&written).unwrap();
        let [mut one, mut two] =
            [&record, &imitator.record()].map(|of| Imitator::resumed(of).unwrap());
        assert_eq!(one.learnt(), 4);
        for branch in [2, 2, 0] {
            one.learn(&fork(), Answer::Branch(branch)).unwrap();
            two.learn(&fork(), Answer::Branch(branch)).unwrap();
            imitator.learn(&fork(), Answer::Branch(branch)).unwrap();
        }
        assert_eq!(one, two);
        let near = |of: &Imitator| of.guess(&fork()).unwrap().probabilities()[0];
        assert!((near(&one) - near(&imitator)).abs() < 1e-12);
        let mut wrong = record.clone();
        wrong.precision[0][1] = 1e9;
        assert!(Imitator::resumed(&wrong).is_err());
        wrong = record;
        wrong.mean[3] = f64::NAN;
        assert!(Imitator::resumed(&wrong).is_err());
    }

    #[test]
    fn what_was_not_offered_and_what_is_no_number_does_no_harm() {
        let mut imitator = Imitator::new(ImitatorSettings::default());
        let fresh = imitator.clone();
        let absurd = Offer::new(&[candidate(f64::NAN, f64::INFINITY), candidate(-1e300, 1e300)]);
        assert!(
            imitator
                .guess(&absurd)
                .unwrap()
                .probabilities()
                .iter()
                .all(|p| p.is_finite())
        );
        for answer in [Answer::Branch(2), Answer::NotThis(7)] {
            assert!(matches!(
                imitator.learn(&absurd, answer),
                Err(BeliefError::NotOffered { options: 3 })
            ));
        }
        assert_eq!(imitator, fresh);
        for _ in 0..200 {
            imitator.learn(&absurd, Answer::Branch(1)).unwrap();
        }
        let weights = imitator.belief().mean();
        assert!(weights.iter().all(|w| w.is_finite()));
        assert!(
            imitator
                .guess(&Offer::new(&[candidate(-1.0, 0.0)]))
                .is_none()
        );
    }
}
