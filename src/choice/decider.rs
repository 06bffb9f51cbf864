//! Protocol and deputy in one: what a session and its replay both go through, in the same order.

use super::decision::{AskReason, Decision, ModelReason, Step};
use super::deputy::{Deputy, Sighting};
use super::handover::{Carried, Report};
use super::imitator::BeliefError;
use super::protocol::{Ask, Protocol, ProtocolSettings};
use crate::fork::Chooser;
use crate::gate::Verdict;
use crate::marker::OptionKind;

/// What the text became at the end of a fork.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Became {
    /// It goes on from a branch.
    Taken {
        /// Tokens of text before the branch.
        position: usize,
        /// By whose word.
        chooser: Chooser,
    },
    /// The last branch was taken back.
    TakenBack,
    /// It stands where it stood: the place is asked again, or was left.
    Nothing,
}

/// Decides who chooses at each fork, and hears what came of it.
///
/// The [`Protocol`] is asked first: where nobody can answer, or its budget of questions by tokens is spent, the model goes on,
/// and nothing is claimed of that fork. At what it would ask, and the detector found, the [`Deputy`] decides. So no budget refuses
/// an audit, and what the imitator takes costs no question. Without a deputy the person is asked. Where only the guard's lowering of the
/// budget stands against a question, the deputy decides all the same: the imitator takes what it would have taken, audits and what the
/// person wished are asked, and other questions are left to the model by the guard's name.
///
/// Everything told here stands in the ledger, in the order in which it was told.
#[derive(Debug, Clone)]
pub struct Decider {
    protocol: Protocol,
    deputy: Option<Deputy>,
}

impl Decider {
    /// One that has decided nothing yet.
    #[must_use]
    pub fn new(settings: ProtocolSettings, deputy: Option<Deputy>) -> Self {
        Self {
            protocol: Protocol::new(settings),
            deputy,
        }
    }

    /// Decides on one place; `sighting` is of the fork there.
    pub fn decide(&mut self, ask: &Ask, sighting: &Sighting<'_>) -> Decision {
        let Some(deputy) = &mut self.deputy else {
            return self.protocol.decide(ask);
        };
        let allowed = self.protocol.may_ask(ask);
        let guarded = match allowed {
            Decision::Ask(AskReason::Decisive) => false,
            Decision::LetModel(ModelReason::Guarded) => true,
            Decision::Ask(AskReason::Called | AskReason::Other) => {
                deputy.asked(sighting);
                return allowed;
            }
            // The same place again is the same question.
            _ => return allowed,
        };
        let decision = Decision::from(deputy.decide(sighting));
        match decision {
            Decision::Ask(AskReason::Audit | AskReason::Wished) => self.protocol.charge(),
            Decision::Ask(_) if guarded => {
                deputy.refused();
                return allowed;
            }
            Decision::Ask(_) => self.protocol.charge(),
            Decision::LetModel(_) | Decision::Imitate { .. } => {}
        }
        decision
    }

    /// As [`Protocol::follow`].
    #[must_use]
    pub fn follow(&self, verdict: &Verdict, kinds: &[OptionKind], attempt: u32) -> Option<Step> {
        self.protocol.follow(verdict, kinds, attempt)
    }

    /// A fork has ended with this step, and the decoder has followed.
    ///
    /// # Errors
    /// [`BeliefError`] when the answer cannot be learnt from; what is claimed stands all the same.
    pub fn ended(&mut self, step: &Step, became: Became) -> Result<(), BeliefError> {
        let Some(deputy) = &mut self.deputy else {
            return Ok(());
        };
        let learnt = deputy.ended(step);
        match became {
            Became::Taken { position, chooser } => deputy.taken(position, chooser),
            Became::TakenBack => deputy.taken_back()?,
            Became::Nothing => {}
        }
        learnt
    }

    /// A branch was taken of which nothing had been told.
    pub fn taken(&mut self, position: usize, chooser: Chooser) {
        if let Some(deputy) = &mut self.deputy {
            deputy.taken(position, chooser);
        }
    }

    /// As [`Deputy::taken_back`].
    ///
    /// # Errors
    /// As [`Decider::ended`].
    pub fn taken_back(&mut self) -> Result<(), BeliefError> {
        self.deputy.as_mut().map_or(Ok(()), Deputy::taken_back)
    }

    /// As [`Deputy::called`].
    pub fn called(&mut self, position: usize) {
        if let Some(deputy) = &mut self.deputy {
            deputy.called(position);
        }
    }

    /// Another text begins.
    pub fn begins(&mut self) {
        if let Some(deputy) = &mut self.deputy {
            deputy.begins();
        }
    }

    /// The person wants to be asked at every fork, or no longer does; `false` where that is so anyway.
    pub fn ask_me(&mut self, wished: bool) -> bool {
        let Some(deputy) = &mut self.deputy else {
            return false;
        };
        deputy.handover().ask_me(wished);
        true
    }

    /// The guard leaves this share of every budget of questions, 0 to 1.
    pub fn leave(&mut self, share: f64) {
        self.protocol.leave(share);
        if let Some(deputy) = &mut self.deputy {
            deputy.handover().tired(1.0 - share);
        }
    }

    /// The session is over.
    pub fn close(&mut self) {
        if let Some(deputy) = &mut self.deputy {
            deputy.close();
        }
    }

    /// Questions that may still be asked within the last 100 tokens, when so many have been written.
    #[must_use]
    pub fn questions_left(&self, tokens_written: u64) -> u32 {
        self.protocol.questions_left(tokens_written)
    }

    /// How things stand; `None` without a deputy.
    #[must_use]
    pub fn report(&self) -> Option<Report> {
        self.deputy.as_ref().map(Deputy::report)
    }

    /// What is left to the next session; `None` without a deputy.
    #[must_use]
    pub fn carried(&self) -> Option<Carried> {
        self.deputy.as_ref().map(Deputy::carried)
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]
mod tests {
    use super::*;
    use crate::choice::handover::{HandoverConfig, HandoverSettings};
    use crate::choice::{ModelReason, Presence, ProtocolConfig, Why};
    use crate::fork::{Branch, Fork, ForkId, ForkOrigin};

    fn fork(origin: ForkOrigin) -> Fork {
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
            origin,
        }
    }

    fn decider(questions: u32) -> Decider {
        let config = HandoverConfig {
            on: true,
            questions_per_min_max: 60.0,
            ..HandoverConfig::default()
        };
        let imitate = HandoverSettings::new(config).unwrap();
        let config = ProtocolConfig {
            questions_per_100_tokens_max: questions,
            question_distance_tokens_min: 0,
            imitate,
            ..ProtocolConfig::default()
        };
        let settings = ProtocolSettings::new(config).unwrap();
        Decider::new(settings, Some(Deputy::fresh(imitate, 5)))
    }

    /// One fork after `tokens`; the person would take the owl, as the memory knows.
    fn decide(decider: &mut Decider, question: u64, tokens: u64, ask: Ask) -> Decision {
        let fork = fork(ask.origin);
        let decision = decider.decide(
            &ask,
            &Sighting {
                fork: &fork,
                question,
                at_s: question as f64 * 6.0,
                attention: &[-0.5, 0.5],
                divergence_bits: None,
            },
        );
        let step = decision.step().unwrap_or(Step::TakeBranch {
            option: 1,
            chooser: Chooser::Human,
            why: Why::Selected,
        });
        let became = match step {
            Step::TakeBranch { chooser, .. } => Became::Taken {
                position: tokens as usize,
                chooser,
            },
            _ => Became::Nothing,
        };
        decider.ended(&step, became).unwrap();
        decision
    }

    fn at(tokens_written: u64) -> Ask {
        Ask {
            origin: ForkOrigin::Detected,
            tokens_written,
            attempt: 0,
            presence: Presence::Present,
        }
    }

    #[test]
    fn where_nobody_can_answer_or_the_budget_is_spent_the_imitator_has_no_say() {
        let mut decider = decider(50);
        for n in 0..200 {
            decide(&mut decider, n, 20 * n, at(20 * n));
        }
        let imitated: u32 = decider.report().unwrap().tally.imitated.iter().sum();
        assert!(imitated > 60, "{imitated}");
        let before = decider.report();
        let nobody = Ask {
            presence: Presence::Nobody,
            ..at(5_000)
        };
        let left = decide(&mut decider, 200, 5_000, nobody);
        assert_eq!(left, Decision::LetModel(ModelReason::NobodyPresent));
        assert_eq!(decider.report(), before);
        let called = Ask {
            origin: ForkOrigin::Called,
            ..at(5_020)
        };
        let asked = decide(&mut decider, 201, 5_020, called);
        assert_eq!(asked, Decision::Ask(AskReason::Called));
        assert_eq!(decider.report().unwrap().tally, before.unwrap().tally);
    }

    #[test]
    fn what_the_imitator_takes_costs_no_question_and_asking_returns_when_the_person_wants_it() {
        let mut decider = decider(1);
        let mut next = 0;
        while !matches!(
            decide(&mut decider, next, 100 * next, at(100 * next)),
            Decision::Imitate { .. }
        ) {
            next += 1;
        }
        let mut most = 0;
        for window in next + 1..next + 60 {
            let tokens = 100 * window;
            let found: Vec<_> = (0..4)
                .map(|n| decide(&mut decider, 1_000 * window + n, tokens, at(tokens)))
                .collect();
            let asked = |decision: &&Decision| matches!(decision, Decision::Ask(_));
            assert!(found.iter().filter(asked).count() <= 1, "{found:?}");
            let imitated = |decision: &&Decision| matches!(decision, Decision::Imitate { .. });
            most = most.max(found.iter().filter(imitated).count());
        }
        assert!(most > 1, "{most}");
        let (next, tokens) = (9_000_000, 100 * (next + 60));
        assert!(decider.ask_me(true));
        let asked = decide(&mut decider, next, tokens, at(tokens));
        assert_eq!(asked, Decision::Ask(AskReason::Wished));
        let mut without = Decider::new(ProtocolSettings::default(), None);
        assert!(!without.ask_me(true) && without.report().is_none());
        let asked = decide(&mut without, 0, 0, at(0));
        assert_eq!(asked, Decision::Ask(AskReason::Decisive));
    }

    #[test]
    fn fewer_questions_take_nothing_from_the_imitator_and_refuse_no_audit() {
        let mut decider = decider(50);
        for n in 0..200 {
            decide(&mut decider, n, 20 * n, at(20 * n));
        }
        decider.leave(0.0);
        let audits = decider.report().unwrap().tally;
        let found: Vec<_> = (0..100)
            .map(|n| decide(&mut decider, 200 + n, 4_000 + n, at(4_000 + n)))
            .collect();
        let of = |wanted: &dyn Fn(&Decision) -> bool| found.iter().filter(|d| wanted(d)).count();
        let imitated = of(&|d| matches!(d, Decision::Imitate { .. }));
        assert!(imitated > 20, "{found:?}");
        let audited = of(&|d| *d == Decision::Ask(AskReason::Audit));
        assert!(audited > 1, "{found:?}");
        let asked = of(&|d| matches!(d, Decision::Ask(_)));
        assert!(asked - audited <= 1, "{found:?}");
        let after = decider.report().unwrap().tally;
        assert_eq!(after.audited as usize, audits.audited as usize + audited);
        // Who wants to be asked is asked.
        decider.ask_me(true);
        for n in 0..3 {
            let asked = decide(&mut decider, 300 + n, 4_500, at(4_500));
            assert_eq!(asked, Decision::Ask(AskReason::Wished));
        }
    }
}
