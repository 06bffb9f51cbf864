//! The imitator and the handover at work together: what a session and its replay both go through.
//!
//! [`Deputy`] sees every fork before it is decided and every ending after it, and keeps the two in step: what is guessed is
//! what is later learnt from and scored, what is taken back is unlearnt and counts against whoever chose it. The caller
//! brings the fork, the memory's attention and the time; decisions follow from these alone.

use crate::fork::{Chooser, Divergence, Fork};

use super::decision::{Step, Why};
use super::handover::{Carried, Course, Ended, Handover, HandoverSettings, Place, Report};
use super::imitator::{
    Answer, BeliefError, Candidate, Guess, Imitator, ImitatorSettings, Offer, Scorecard, Standing,
};
use crate::fork::MAX_BRANCHES;

/// A fork as the deputy is told of it.
#[derive(Debug, Clone, Copy)]
pub struct Sighting<'a> {
    /// The fork.
    pub fork: &'a Fork,
    /// Number of the question in the session, never used twice.
    pub question: u64,
    /// When, seconds on a clock that does not run backwards, as it is recorded.
    pub at_s: f64,
    /// Preference by attention over past choices, one per branch; missing ones count as 0.
    pub attention: &'a [f64],
    /// How differently the text goes on behind two branches, bits, where it was measured.
    pub divergence_bits: Option<Divergence>,
}

/// A fork that the person or the imitator decided.
#[derive(Debug, Clone, Copy)]
struct Decided {
    offer: Offer,
    branch: usize,
    chooser: Chooser,
}

/// A branch that the text rests on.
#[derive(Debug, Clone, Copy)]
struct Rested {
    /// Tokens of text before it.
    position: usize,
    /// `None` where nothing is to be learnt from its being taken back: the model chose it, or the person did unasked.
    decided: Option<Decided>,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Deputy {
    imitator: Imitator,
    handover: Handover,
    scorecard: Scorecard,
    /// The question that is open: what was offered and what was guessed.
    open: Option<(Offer, Option<Guess>)>,
    /// What was decided last, until the decoder has followed.
    decided: Option<Decided>,
    /// The branches that the present text rests on, oldest first, as the decoder would take them back.
    standing: Vec<Rested>,
}

impl Deputy {
    /// One that goes on with an imitator and with what earlier sessions left. `seed`: of the audits' coins, new in every session
    /// and recorded with it.
    #[must_use]
    pub fn new(
        imitator: Imitator,
        settings: HandoverSettings,
        seed: u64,
        carried: &Carried,
    ) -> Self {
        Self {
            imitator,
            handover: Handover::resumed(settings, seed, carried),
            scorecard: Scorecard::new(),
            open: None,
            decided: None,
            standing: Vec::new(),
        }
    }

    /// One that knows nothing of the person.
    #[must_use]
    pub fn fresh(settings: HandoverSettings, seed: u64) -> Self {
        let imitator = Imitator::new(ImitatorSettings::default());
        Self::new(imitator, settings, seed, &Carried::default())
    }

    /// Decides on a detected fork. One that the person called for, or asks other branches of, is a question anyway: see
    /// [`asked`](Self::asked).
    pub fn decide(&mut self, sighting: &Sighting<'_>) -> Course {
        let offer = offer_of(sighting);
        let guess = self.imitator.guess(&offer);
        let course = self.handover.decide(&Place {
            question: sighting.question,
            at_s: sighting.at_s,
            guess,
            divergence_bits: sighting.divergence_bits,
        });
        self.open = matches!(course, Course::Ask(_)).then_some((offer, guess));
        self.decided = match course {
            Course::Imitate { branch, .. } => Some(Decided {
                offer,
                branch,
                chooser: Chooser::Imitator,
            }),
            Course::Ask(_) | Course::LetModel { .. } => None,
        };
        course
    }

    /// A question that was not the handover's decision: called for, or with other branches. It is learnt from and scored, and
    /// has no part in what is claimed. The same place asked again is still the same question; nothing is to be told then.
    pub fn asked(&mut self, sighting: &Sighting<'_>) {
        self.handover.end(Ended::NoAnswer);
        let offer = offer_of(sighting);
        self.open = Some((offer, self.imitator.guess(&offer)));
        self.decided = None;
    }

    /// The question that was decided last is not asked, as another budget has none left. Nothing was learnt, and it costs nothing.
    pub fn refused(&mut self) {
        self.handover.refuse();
        self.open = None;
    }

    /// The question that is open has ended with this step. A step that asks the same place again keeps it open: its ending is that
    /// of the last attempt.
    ///
    /// # Errors
    /// [`BeliefError`] when the answer cannot be learnt from; what was claimed and scored stands all the same.
    pub fn ended(&mut self, step: &Step) -> Result<(), BeliefError> {
        let how = match *step {
            Step::AskAgain { .. } => return Ok(()),
            Step::TakeBranch {
                option,
                chooser: Chooser::Human,
                ..
            } => Ended::Answered(Answer::Branch(option)),
            Step::OfferOther { why: Why::Selected } => Ended::Answered(Answer::Other),
            Step::ModelChooses {
                why: Why::ToldToGoOn,
            } => Ended::LeftToModel,
            Step::ModelChooses {
                why: Why::NotAsked(_),
            } => Ended::Refused,
            Step::TakeBranch { .. }
            | Step::OfferOther { .. }
            | Step::ModelChooses { .. }
            | Step::TakeBack { .. } => Ended::NoAnswer,
        };
        self.handover.end(how);
        match (self.open.take(), how) {
            (Some((offer, guess)), Ended::Answered(answer)) => self.learn(offer, guess, answer),
            _ => Ok(()),
        }
    }

    fn learn(
        &mut self,
        offer: Offer,
        guess: Option<Guess>,
        answer: Answer,
    ) -> Result<(), BeliefError> {
        let place = match answer {
            Answer::Branch(branch) => {
                self.decided = Some(Decided {
                    offer,
                    branch,
                    chooser: Chooser::Human,
                });
                branch
            }
            Answer::Other | Answer::NotThis(_) => offer.branches(),
        };
        if let Some(guess) = guess {
            self.scorecard.note(&guess, &offer, place);
        }
        self.imitator.learn(&offer, answer)
    }

    /// The decoder has taken a branch behind `position` tokens of text, by this chooser's word.
    pub fn taken(&mut self, position: usize, chooser: Chooser) {
        let decided = self.decided.take();
        self.standing.push(Rested {
            position,
            decided: decided.filter(|decided| decided.chooser == chooser),
        });
    }

    /// The person took the last branch back that the text rests on, at a fork or by key: it is unlearnt, or never was learnt, and
    /// is evidence against itself. Where the imitator had chosen, that counts against the imitator. Nothing is learnt where the
    /// model had.
    ///
    /// # Errors
    /// As [`ended`](Self::ended).
    pub fn taken_back(&mut self) -> Result<(), BeliefError> {
        let Some(decided) = self.standing.pop().and_then(|rested| rested.decided) else {
            return Ok(());
        };
        if decided.chooser == Chooser::Imitator {
            self.handover.taken_back();
        }
        self.imitator
            .learn(&decided.offer, Answer::NotThis(decided.branch))
    }

    /// The person called for a fork behind `position` tokens: what was taken there or later is gone. That does not say that it was
    /// wrong.
    pub fn called(&mut self, position: usize) {
        while self
            .standing
            .pop_if(|rested| rested.position >= position)
            .is_some()
        {}
    }

    /// Another text begins.
    pub fn begins(&mut self) {
        self.standing.clear();
    }

    /// The session is over: a question that is open stays without an answer.
    pub fn close(&mut self) {
        self.handover.end(Ended::NoAnswer);
        self.open = None;
    }

    /// The imitator, to be kept for the next session.
    #[must_use]
    pub const fn imitator(&self) -> &Imitator {
        &self.imitator
    }

    /// What it leaves to the next session beside the imitator.
    #[must_use]
    pub const fn carried(&self) -> Carried {
        self.handover.carried()
    }

    /// The handover: for the person's wish to be asked, its fatigue, and a new model.
    pub const fn handover(&mut self) -> &mut Handover {
        &mut self.handover
    }

    /// How the claim stands.
    #[must_use]
    pub fn report(&self) -> Report {
        self.handover.report()
    }

    /// How good the imitator has been beside its baselines.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.scorecard.standing()
    }
}

fn offer_of(sighting: &Sighting<'_>) -> Offer {
    let mut candidates = [Candidate {
        log_prob_nats: 0.0,
        tokens: 1,
        attention: 0.0,
    }; MAX_BRANCHES];
    let branches = &sighting.fork.branches;
    for (number, (candidate, branch)) in candidates.iter_mut().zip(branches).enumerate() {
        *candidate = Candidate {
            log_prob_nats: branch.log_prob_nats,
            tokens: u32::try_from(branch.tokens.len()).unwrap_or(u32::MAX),
            attention: sighting.attention.get(number).copied().unwrap_or(0.0),
        };
    }
    Offer::new(&candidates[..branches.len().min(MAX_BRANCHES)])
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]
mod tests {
    use super::*;
    use crate::choice::ModelReason;
    use crate::choice::handover::{HandoverConfig, Reason};
    use crate::fork::{Branch, ForkId, ForkOrigin};
    use crate::gate::AbortReason;

    fn fork() -> Fork {
        let branch = |text: &str, log_prob_nats: f64| Branch {
            text: text.into(),
            tokens: vec![1, 2, 3],
            prior: log_prob_nats.exp(),
            log_prob_nats,
        };
        Fork {
            id: ForkId(0),
            position: 10,
            context: "once".into(),
            branches: vec![branch("a fox", -0.5), branch("an owl", -1.2)],
            origin: ForkOrigin::Detected,
        }
    }

    fn deputy() -> Deputy {
        let config = HandoverConfig {
            on: true,
            questions_per_min_max: 60.0,
            ..HandoverConfig::default()
        };
        Deputy::fresh(HandoverSettings::new(config).unwrap(), 5)
    }

    fn took(option: usize) -> Step {
        Step::TakeBranch {
            option,
            chooser: Chooser::Human,
            why: Why::Selected,
        }
    }

    /// Shows it the fork so often; the person prefers the owl, as the memory knows. Returns what came last.
    fn live(deputy: &mut Deputy, forks: std::ops::Range<u64>) -> Course {
        let fork = fork();
        let mut last = None;
        for question in forks {
            let course = deputy.decide(&Sighting {
                fork: &fork,
                question,
                at_s: question as f64 * 6.0,
                attention: &[-0.5, 0.5],
                divergence_bits: None,
            });
            if matches!(course, Course::Ask(_)) {
                deputy.ended(&took(1)).unwrap();
                deputy.taken(10, Chooser::Human);
            } else {
                deputy.taken(10, Chooser::Imitator);
            }
            last = Some(course);
        }
        last.unwrap()
    }

    #[test]
    fn it_learns_by_watching_and_then_takes_what_the_person_would() {
        let mut deputy = deputy();
        assert_eq!(live(&mut deputy, 0..1), Course::Ask(Reason::NotSure));
        live(&mut deputy, 1..200);
        let report = deputy.report();
        let imitated: u32 = report.tally.imitated.iter().sum();
        assert!(imitated > 60 && report.tally.caught == 0, "{report:?}");
        let standing = deputy.standing();
        assert!(standing.imitator.log_loss_nats < standing.model.log_loss_nats);
        let questions = u64::from(report.tally.asked + report.tally.audited);
        assert_eq!(standing.imitator.answers, questions);
        assert_eq!(deputy.imitator().learnt(), questions);
    }

    #[test]
    fn taking_back_what_the_imitator_chose_counts_against_it_and_what_the_person_chose_does_not() {
        let mut deputy = deputy();
        let mut next = 0;
        while !matches!(live(&mut deputy, next..next + 1), Course::Imitate { .. }) {
            next += 1;
        }
        let (before, learnt) = (deputy.report(), deputy.imitator().learnt());
        deputy.taken_back().unwrap();
        assert!(deputy.report().alarm > before.alarm);
        assert_eq!(deputy.imitator().learnt(), learnt + 1);
        let alarm = deputy.report().alarm;
        deputy.asked(&Sighting {
            fork: &fork(),
            question: 9_000,
            at_s: 9e4,
            attention: &[],
            divergence_bits: None,
        });
        deputy.ended(&took(0)).unwrap();
        deputy.taken(20, Chooser::Human);
        deputy
            .ended(&Step::TakeBack { why: Why::Selected })
            .unwrap();
        deputy.taken_back().unwrap();
        assert_eq!(deputy.report().alarm, alarm);
        assert_eq!(deputy.imitator().learnt(), learnt + 3);
    }

    #[test]
    fn what_is_taken_back_is_the_branch_that_the_decoder_takes_back() {
        let mut deputy = deputy();
        let mut next = 0;
        while !matches!(live(&mut deputy, next..next + 1), Course::Imitate { .. }) {
            next += 1;
        }
        let imitated = deputy.clone();
        // The model chose behind the imitator: taking that back says nothing of the imitator.
        deputy.taken(12, Chooser::Model);
        let (alarm, learnt) = (deputy.report().alarm, deputy.imitator().learnt());
        deputy.taken_back().unwrap();
        assert_eq!(deputy.imitator().learnt(), learnt);
        assert_eq!(deputy.report().alarm, alarm);
        // What a call cut off cannot be taken back, nor can what stands in a text that is over.
        let (mut cut, mut over) = (imitated.clone(), imitated);
        cut.called(10);
        over.begins();
        for deputy in [&mut cut, &mut over] {
            deputy.taken_back().unwrap();
            assert_eq!(deputy.report().alarm, alarm);
        }
        deputy.taken_back().unwrap();
        assert!(deputy.report().alarm > alarm);
    }

    #[test]
    fn only_an_answer_is_learnt_from_and_asking_again_leaves_the_question_open() {
        let mut deputy = deputy();
        let question = |deputy: &mut Deputy, number| {
            let fork = fork();
            deputy.decide(&Sighting {
                fork: &fork,
                question: number,
                at_s: 6.0 * number as f64,
                attention: &[],
                divergence_bits: None,
            })
        };
        assert!(matches!(question(&mut deputy, 0), Course::Ask(_)));
        let doubt = Why::Aborted(AbortReason::SourceLost);
        deputy.ended(&Step::AskAgain { why: doubt }).unwrap();
        deputy.ended(&took(1)).unwrap();
        assert_eq!(
            (deputy.imitator().learnt(), deputy.report().tally.asked),
            (1, 1)
        );
        let endings = [
            Step::ModelChooses { why: doubt },
            Step::ModelChooses {
                why: Why::NotAsked(ModelReason::BudgetSpent),
            },
            Step::ModelChooses {
                why: Why::ToldToGoOn,
            },
        ];
        for (number, step) in (1..).zip(endings) {
            assert!(matches!(question(&mut deputy, number), Course::Ask(_)));
            deputy.ended(&step).unwrap();
        }
        assert_eq!(deputy.imitator().learnt(), 1);
        // Told to go on, the person decided.
        assert_eq!(deputy.report().tally.asked, 2);
        assert!(matches!(question(&mut deputy, 9), Course::Ask(_)));
        deputy
            .ended(&Step::OfferOther { why: Why::Selected })
            .unwrap();
        assert_eq!(deputy.imitator().learnt(), 2);
    }

    #[test]
    fn the_same_sightings_and_endings_give_the_same_decisions() {
        let run = || {
            let mut deputy = deputy();
            live(&mut deputy, 0..150);
            (deputy.report(), deputy.imitator().clone())
        };
        assert_eq!(run(), run());
    }
}
