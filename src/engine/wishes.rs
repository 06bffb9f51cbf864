//! What a calibration of the pupil asks for: options to read, and the one that the person is told to want.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::choice::cued_items;
use crate::config::ScreenSection;
use crate::marker::OptionTile;
use crate::view::layout;

/// Options that stand together, at the places of a fork's branches.
pub const OPTIONS: usize = 3;
/// The stream of random numbers that draws the options.
const WISH_STREAM: u64 = 1 << 42;
/// What the options say: all about as long, none nearer to a person's heart than another.
const PHRASES: [&str; 12] = [
    "the road went over a hill",
    "a boat lay on the shore",
    "the clock stood by the door",
    "rain fell on the wide field",
    "a bird sat in the tree",
    "the bridge led to the town",
    "a lamp hung in the hall",
    "the river ran past the mill",
    "snow lay on the old roof",
    "a cart stood in the yard",
    "the bell rang in the tower",
    "a path led into the wood",
];

/// One trial: what to want, and the options.
#[derive(Debug, Clone, PartialEq)]
pub struct WishTrial {
    /// The one that the person is told to want.
    pub item: i32,
    /// All of them.
    pub options: Vec<OptionTile>,
}

impl WishTrial {
    /// What the person is told to want.
    #[must_use]
    pub fn text(&self) -> &str {
        let mut options = self.options.iter();
        let wanted = options.find(|tile| tile.item == self.item);
        wanted.map_or("", |tile| tile.text.as_str())
    }
}

/// The trials of a calibration, drawn from `seed`: the wanted option stands at each place equally often and never twice running at one, and no
/// option stands twice in a trial.
#[must_use]
pub fn wish_trials(seed: u64, count: usize, screen: &ScreenSection) -> Vec<WishTrial> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(WISH_STREAM);
    let items = cued_items(seed, OPTIONS, count);
    items
        .into_iter()
        .map(|item| {
            let mut phrases = PHRASES;
            for last in (1..phrases.len()).rev() {
                phrases.swap(last, random.random_range(0..=last));
            }
            WishTrial {
                item: item as i32, // 3 at most
                options: layout::wish_tiles(phrases.iter().take(OPTIONS), screen),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trial_has_three_options_and_the_wanted_one_stands_everywhere_equally_often() {
        let trials = wish_trials(5, 30, &ScreenSection::default());
        assert_eq!(trials.len(), 30);
        for item in 0..3 {
            let of = trials.iter().filter(|trial| trial.item == item).count();
            assert_eq!(of, 10);
        }
        for trial in &trials {
            assert!(PHRASES.contains(&trial.text()));
            let mut texts: Vec<&str> = trial.options.iter().map(|o| o.text.as_str()).collect();
            texts.sort_unstable();
            texts.dedup();
            assert_eq!(texts.len(), OPTIONS);
        }
        assert_eq!(trials, wish_trials(5, 30, &ScreenSection::default()));
        assert_ne!(trials, wish_trials(6, 30, &ScreenSection::default()));
    }
}
