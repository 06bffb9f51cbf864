//! What the person wants: a hidden liking for every word, and how it picks among the branches of a fork.

use std::collections::{BTreeSet, HashSet};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::marker::{OptionKind, OptionTile};

use super::noise::hash;
use super::traits::PersonTraits;

/// Affinity of a goal word; every other word lies between -1 and 1.
const GOAL_AFFINITY: f64 = 3.0;
/// The two best branches are all the same to the person when closer than this.
const INDIFFERENT_WITHIN: f64 = 0.02;
/// Probability of leaving the choice to the model then.
const LEAVES_IT: f64 = 0.5;

/// Why the person wants what it wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It likes this branch best.
    Wish,
    /// No branch will do: it asks for others.
    Other,
    /// The last step was not what it wanted: it takes it back.
    Undo,
    /// The branches are all the same to it: the model may choose.
    GoOn,
}

/// What the person wants at a fork.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) item: i32,
    pub(super) reason: Reason,
}

/// The lower-case words of a text without punctuation.
pub(super) fn words(text: &str) -> impl Iterator<Item = String> {
    text.split_whitespace()
        .map(|word| {
            word.trim_matches(|c: char| !c.is_alphanumeric())
                .to_lowercase()
        })
        .filter(|word| !word.is_empty())
}

/// The person's likings. They depend on the seed and the word alone.
#[derive(Debug)]
pub(super) struct Wish {
    seed: u64,
    goals: HashSet<String>,
}

impl Wish {
    pub(super) fn new(seed: u64, goals: &[String]) -> Self {
        Self {
            seed,
            goals: goals.iter().flat_map(|goal| words(goal)).collect(),
        }
    }

    /// How much the person likes a lower-case word: -1 to 1, or the affinity of a goal.
    pub(super) fn affinity(&self, word: &str) -> f64 {
        if self.goals.contains(word) {
            return GOAL_AFFINITY;
        }
        let h = hash(self.seed ^ 0x5749_5348, word);
        (h >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    }

    /// What the person wants at a fork with these options; `None` when there is nothing to want.
    ///
    /// Branches are compared by the mean affinity of the words that not all of them share. `regret` says that the last
    /// step went wrong. The same number of random values is drawn at every fork.
    pub(super) fn choose(
        &self,
        options: &[OptionTile],
        regret: bool,
        person: &PersonTraits,
        rng: &mut ChaCha8Rng,
    ) -> Option<Choice> {
        let [undo, other, leave] = [rng.random::<f64>(), rng.random(), rng.random()];
        let item_of = |kind| options.iter().find(|o| o.kind == kind).map(|o| o.item);
        if let Some(item) = item_of(OptionKind::Undo)
            && regret
            && undo < person.undo
        {
            return Some(Choice {
                item,
                reason: Reason::Undo,
            });
        }
        let liked = self.liking(options);
        let &(best, item) = liked.first()?;
        if let Some(item) = item_of(OptionKind::Other)
            && best < person.dissatisfied_below
            && other < person.ask_other
        {
            return Some(Choice {
                item,
                reason: Reason::Other,
            });
        }
        if let (Some(item), Some(&(second, _))) = (item_of(OptionKind::GoOn), liked.get(1))
            && best - second < INDIFFERENT_WITHIN
            && leave < LEAVES_IT
        {
            return Some(Choice {
                item,
                reason: Reason::GoOn,
            });
        }
        Some(Choice {
            item,
            reason: Reason::Wish,
        })
    }

    /// Mean affinity and item of each branch, the best liked first; of equals the one named first.
    fn liking(&self, options: &[OptionTile]) -> Vec<(f64, i32)> {
        let branches: Vec<(i32, BTreeSet<String>)> = options
            .iter()
            .filter(|option| option.kind == OptionKind::Branch)
            .map(|option| (option.item, words(&option.text).collect()))
            .collect();
        let shared = |word: &String| branches.iter().all(|(_, words)| words.contains(word));
        let mut liked: Vec<(f64, i32)> = branches
            .iter()
            .map(|(item, words)| {
                let own: Vec<f64> = words
                    .iter()
                    .filter(|word| !shared(word))
                    .map(|word| self.affinity(word))
                    .collect();
                let mean = own.iter().sum::<f64>() / own.len().max(1) as f64;
                (mean, *item)
            })
            .collect();
        liked.sort_by(|a, b| b.0.total_cmp(&a.0));
        liked
    }
}

#[cfg(test)]
mod tests {
    use super::super::noise::stream;
    use super::super::settings::SimSettings;
    use super::super::traits::Traits;
    use super::*;

    fn option(item: i32, kind: OptionKind, text: &str) -> OptionTile {
        OptionTile {
            item,
            kind,
            text: text.into(),
            x_deg: 0.0,
            y_deg: 0.0,
            w_deg: 4.0,
            h_deg: 2.0,
        }
    }

    fn person() -> PersonTraits {
        Traits::draw(&SimSettings::default()).person
    }

    #[test]
    fn affinities_fill_minus_one_to_one_evenly() {
        let wish = Wish::new(4, &[]);
        let values: Vec<f64> = (0..2000).map(|n| wish.affinity(&format!("w{n}"))).collect();
        assert!(values.iter().all(|v| (-1.0..=1.0).contains(v)));
        let mean = values.iter().sum::<f64>() / 2000.0;
        let positive = values.iter().filter(|v| **v > 0.5).count();
        assert!(mean.abs() < 0.05 && (400..600).contains(&positive));
    }

    #[test]
    fn a_wish_does_not_depend_on_shared_words_case_or_order() {
        let wish = Wish::new(9, &[]);
        let choose = |options: &[OptionTile]| {
            wish.choose(options, false, &person(), &mut stream(1, "t"))
                .unwrap()
                .item
        };
        let a = choose(&[
            option(0, OptionKind::Branch, "the fox ran"),
            option(1, OptionKind::Branch, "the owl slept"),
        ]);
        let b = choose(&[
            option(1, OptionKind::Branch, "The, owl slept!"),
            option(0, OptionKind::Branch, "the FOX ran."),
        ]);
        assert_eq!(a, b);
    }

    #[test]
    fn goals_win_over_everything_in_any_script() {
        let wish = Wish::new(9, &["Дракон".into()]);
        let options = [
            option(0, OptionKind::Branch, "the fox ran away and home"),
            option(1, OptionKind::Branch, "пришёл дракон"),
        ];
        let choice = wish.choose(&options, false, &person(), &mut stream(1, "t"));
        assert_eq!(
            choice,
            Some(Choice {
                item: 1,
                reason: Reason::Wish
            })
        );
    }

    #[test]
    fn regret_asks_for_undo_only_where_it_is_offered() {
        let wish = Wish::new(9, &["fox".into()]);
        let mut options = vec![
            option(0, OptionKind::Branch, "fox"),
            option(1, OptionKind::Branch, "owl"),
        ];
        let mut rng = stream(1, "t");
        let count = |options: &[OptionTile], rng: &mut ChaCha8Rng| {
            (0..200)
                .filter_map(|_| wish.choose(options, true, &person(), rng))
                .filter(|choice| choice.reason == Reason::Undo && choice.item == 2)
                .count()
        };
        assert_eq!(count(&options, &mut rng), 0);
        options.push(option(2, OptionKind::Undo, "undo"));
        assert!((140..195).contains(&count(&options, &mut rng)));
    }

    #[test]
    fn where_nothing_pleases_it_sometimes_asks_for_others() {
        let wish = Wish::new(9, &[]);
        let mut disliked: Vec<String> = (0..500).map(|n| format!("w{n}")).collect();
        disliked.sort_by(|a, b| wish.affinity(a).total_cmp(&wish.affinity(b)));
        let options = [
            option(0, OptionKind::Branch, &disliked[0]),
            option(1, OptionKind::Branch, &disliked[40]),
            option(2, OptionKind::Other, "other"),
        ];
        let mut rng = stream(1, "t");
        let others = (0..200)
            .filter_map(|_| wish.choose(&options, false, &person(), &mut rng))
            .filter(|choice| choice.reason == Reason::Other)
            .count();
        assert!((60..140).contains(&others), "{others}");
        assert_eq!(wish.choose(&[], false, &person(), &mut rng), None);
    }
}
