//! What the person's memory teaches the imitator when a session begins.
//!
//! Nothing of what was learnt is kept on the disk: it is learnt anew, so that nothing is left of a choice that was forgotten.

use crate::choice::Why;
use crate::choice::imitator::{Answer, Candidate, Imitator, Offer};
use crate::fork::Chooser;
use crate::marker::OptionKind;
use crate::session::person::{Remembered, TakenBack};

/// Teaches the imitator a choice as a session does: what the person chose among what was offered, that nothing of it pleased, or that
/// what was taken was taken back.
pub(super) fn imitate(imitator: &mut Imitator, choice: &Remembered) {
    let branches = choice
        .options
        .iter()
        .filter(|option| option.kind == OptionKind::Branch);
    let candidates: Vec<Candidate> = branches
        .clone()
        .map(|option| Candidate {
            log_prob_nats: option.log_prob_nats.unwrap_or_default(),
            tokens: u32::try_from(option.tokens.len()).unwrap_or(u32::MAX),
            attention: option.preference.unwrap_or_default(),
        })
        .collect();
    let offer = Offer::new(&candidates);
    let branch = branches
        .clone()
        .position(|option| Some(option.item) == choice.chosen);
    let other = choice.why == Why::Selected
        && choice
            .options
            .iter()
            .any(|option| option.kind == OptionKind::Other && Some(option.item) == choice.chosen);
    let answers = match (choice.chooser, branch) {
        (Some(Chooser::Human), Some(branch)) => [
            Some(Answer::Branch(branch)),
            (choice.taken_back == Some(TakenBack::Undo)).then_some(Answer::NotThis(branch)),
        ],
        (Some(Chooser::Human), None) if other => [Some(Answer::Other), None],
        (Some(Chooser::Imitator), Some(branch)) if choice.taken_back == Some(TakenBack::Undo) => {
            [Some(Answer::NotThis(branch)), None]
        }
        _ => [None, None],
    };
    for answer in answers.into_iter().flatten() {
        // A choice among one, as an old memory may hold: nothing is to be learnt from it.
        let _ = imitator.learn(&offer, answer);
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]
mod tests {
    use super::*;
    use crate::choice::deputy::{Deputy, Sighting};
    use crate::choice::handover::{Carried, HandoverConfig, HandoverSettings};
    use crate::choice::imitator::ImitatorSettings;
    use crate::choice::{ModelReason, Step};
    use crate::engine::conduct::PersonSetting;
    use crate::fork::{Branch, Fork, ForkId, ForkOrigin, options_of};
    use crate::session::person::{ChoiceStore, Person, RememberedOption, Which};

    const MODEL: &str = "a-model";

    fn fork(number: u64) -> Fork {
        let branches = (0..3).map(|branch| {
            let log_prob_nats = -1.0 - ((number * 7 + branch * 3) % 5) as f64 / 4.0;
            Branch {
                text: format!("phrase {branch} of {number}"),
                tokens: vec![1; 2 + (number + branch) as usize % 3],
                prior: log_prob_nats.exp(),
                log_prob_nats,
            }
        });
        Fork {
            id: ForkId(number),
            position: 10 * number as usize,
            context: "once".into(),
            branches: branches.collect(),
            origin: ForkOrigin::Detected,
        }
    }

    fn attention(number: u64) -> [f64; 3] {
        [0, 1, 2].map(|branch| f64::from(((number + branch) % 3) as f32 / 7.0 - 0.1))
    }

    /// A fork as the memory has it: what was taken, by whom, and whether it was taken back.
    fn choice(number: u64, item: i32, chooser: Chooser, why: Why, back: bool) -> Remembered {
        let fork = fork(number);
        let kinds = options_of(3, false);
        let options = (0..).zip(kinds).map(|(item, kind)| {
            let place = item as usize;
            let branch = fork.branches.get(place);
            RememberedOption {
                item,
                kind,
                text: branch.map_or_else(String::new, |branch| branch.text.clone()),
                tokens: branch.map_or_else(Vec::new, |branch| branch.tokens.clone()),
                prior: 0.1,
                log_prob_nats: branch.map(|branch| branch.log_prob_nats),
                posterior: None,
                preference: branch.map(|_| attention(number)[place]),
                embedding: None,
            }
        });
        Remembered {
            session: "s".into(),
            fork: ForkId(number),
            at_utc: "2026-01-01T00:00:00Z".into(),
            context: fork.context.clone(),
            origin: fork.origin,
            attempt: 0,
            shown: chooser == Chooser::Human,
            outcome: None,
            chooser: Some(chooser),
            why,
            chosen: Some(item),
            selected: None,
            decision_s: None,
            model_sha256: MODEL.into(),
            taken_back: back.then_some(TakenBack::Undo),
            state: None,
            options: options.collect(),
        }
    }

    /// A session's deputy hears what the person did; the memory is given the same.
    fn lived(forks: u64) -> (Deputy, Vec<Remembered>) {
        let settings = HandoverSettings::new(HandoverConfig::default()).unwrap();
        let imitator = Imitator::new(ImitatorSettings::default());
        let mut deputy = Deputy::new(imitator, settings, 1, &Carried::default());
        let mut memory = Vec::new();
        for number in 0..forks {
            let (fork, attention) = (fork(number), attention(number));
            deputy.decide(&Sighting {
                fork: &fork,
                question: number,
                // So seldom that every one is asked.
                at_s: 60.0 * number as f64,
                attention: &attention,
                divergence_bits: None,
            });
            let selected = Why::Selected;
            match number % 5 {
                // None of them.
                3 => {
                    deputy.ended(&Step::OfferOther { why: selected }).unwrap();
                    memory.push(choice(number, 3, Chooser::Human, selected, false));
                }
                // Left to the model.
                4 => {
                    let why = Why::NotAsked(ModelReason::MinuteSpent);
                    deputy.ended(&Step::ModelChooses { why }).unwrap();
                    deputy.taken(fork.position, Chooser::Model);
                    memory.push(choice(number, 0, Chooser::Model, why, false));
                }
                option => {
                    let step = Step::TakeBranch {
                        option: option as usize,
                        chooser: Chooser::Human,
                        why: selected,
                    };
                    deputy.ended(&step).unwrap();
                    deputy.taken(fork.position, Chooser::Human);
                    let back = number % 4 == 1;
                    if back {
                        deputy.taken_back().unwrap();
                    }
                    memory.push(choice(
                        number,
                        option as i32,
                        Chooser::Human,
                        selected,
                        back,
                    ));
                }
            }
        }
        (deputy, memory)
    }

    #[test]
    fn the_memory_teaches_the_imitator_what_the_sessions_did_and_what_is_forgotten_is_not_learnt() {
        let folder = tempfile::tempdir().unwrap();
        let open = |name: &str| {
            let person = Person::open_or_create(&folder.path().join(name)).unwrap();
            ChoiceStore::open(person).unwrap()
        };
        let (deputy, memory) = lived(60);
        let mut store = open("anna");
        for choice in &memory {
            store.remember(choice).unwrap();
        }
        let read = PersonSetting::read(store, MODEL).unwrap();
        assert_eq!(read.beginning(7, None).imitator, deputy.imitator().record());
        assert_eq!(read.beginning(7, None).coins, 7);

        let (less, _) = lived(40);
        let mut store = read.store;
        for choice in &memory[40..] {
            store.forget(&Which::Fork(choice.name())).unwrap();
        }
        let read = PersonSetting::read(store, MODEL).unwrap();
        assert_eq!(read.beginning(7, None).imitator, less.imitator().record());
        let other = PersonSetting::read(read.store, "another model").unwrap();
        assert_eq!(other.beginning(7, None).imitator.learnt, 0);
    }
}
