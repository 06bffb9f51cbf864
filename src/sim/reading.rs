//! Reading: where the eyes stop in the words of an option, and for how long.
//!
//! Landing positions and durations follow the usual figures of reading (Rayner 1998): 200-250 ms per fixation, a little
//! left of the middle of a word; short words are often skipped, long ones fixated twice.

use std::collections::{BTreeSet, VecDeque};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::marker::{OptionKind, OptionTile};

use super::eye::Point;
use super::noise::{gauss, log_normal};
use super::wish::words;

/// Width of a letter, degrees, as long as the text fits its tile.
const LETTER_DEG: f64 = 0.4;
/// Part of a tile's width that text may fill.
const TEXT_SHARE: f64 = 0.9;
/// Most words that are read of one option.
const MAX_WORDS: usize = 32;

/// One stop of the eyes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Fixation {
    pub(super) at: Point,
    pub(super) for_s: f64,
}

/// One word as it stands on the screen.
#[derive(Debug, Clone, PartialEq)]
struct Placed {
    letters: usize,
    centre: Point,
    letter_deg: f64,
}

/// Lays the words of a tile out in centred lines, as a window would.
fn lay_out(tile: &OptionTile) -> Vec<Placed> {
    let all: Vec<usize> = tile
        .text
        .split_whitespace()
        .take(MAX_WORDS)
        .map(|word| word.chars().count())
        .collect();
    let room = (tile.w_deg.abs() * TEXT_SHARE).max(LETTER_DEG);
    let mut lines: Vec<Vec<usize>> = Vec::new();
    let mut used = 0.0;
    for &letters in &all {
        let width = letters as f64 * LETTER_DEG;
        match lines.last_mut() {
            Some(line) if used + LETTER_DEG + width <= room => {
                line.push(letters);
                used += LETTER_DEG + width;
            }
            _ => {
                lines.push(vec![letters]);
                used = width;
            }
        }
    }
    let pitch = tile.h_deg.abs() / (lines.len() + 1) as f64;
    let mut placed = Vec::with_capacity(all.len());
    for (n, line) in lines.iter().enumerate() {
        let letters: usize = line.iter().sum::<usize>() + line.len() - 1;
        // A single word that is wider than its tile is drawn smaller.
        let letter_deg = LETTER_DEG.min(room / letters as f64);
        let mut left = tile.x_deg - 0.5 * letters as f64 * letter_deg;
        let y = tile.y_deg - 0.5 * tile.h_deg.abs() + pitch * (n + 1) as f64;
        for &letters in line {
            let width = letters as f64 * letter_deg;
            placed.push(Placed {
                letters,
                centre: [left + 0.5 * width, y],
                letter_deg,
            });
            left += width + letter_deg;
        }
    }
    placed
}

/// The fixations with which one tile is read. `known` holds words that were just read elsewhere: they are skimmed.
pub(super) fn read_tile(
    tile: &OptionTile,
    known: &BTreeSet<String>,
    fixation_s: f64,
    rng: &mut ChaCha8Rng,
    plan: &mut VecDeque<Fixation>,
) {
    let before = plan.len();
    let placed = lay_out(tile);
    for (word, place) in tile.text.split_whitespace().zip(&placed) {
        let seen_before = words(word).all(|w| known.contains(&w));
        let skip = match (seen_before, place.letters) {
            (true, _) => 0.6,
            (false, 0..=3) => 0.4,
            (false, _) => 0.05,
        };
        let (skipped, again) = (rng.random::<f64>() < skip, rng.random::<f64>() < 0.3);
        if skipped {
            continue;
        }
        let preferred = place.centre[0] - 0.1 * place.letters as f64 * place.letter_deg;
        let mut stop = |x: f64, share: f64, rng: &mut ChaCha8Rng| {
            plan.push_back(Fixation {
                at: [
                    x + 0.6 * place.letter_deg * gauss(rng),
                    place.centre[1] + 0.15 * gauss(rng),
                ],
                for_s: share * log_normal(rng, fixation_s, 0.28).clamp(0.08, 0.8),
            });
        };
        if place.letters >= 9 && again {
            let quarter = 0.25 * place.letters as f64 * place.letter_deg;
            stop(place.centre[0] - quarter, 0.8, rng);
            stop(place.centre[0] + quarter, 0.8, rng);
        } else {
            stop(preferred, 1.0, rng);
        }
    }
    if plan.len() == before {
        // Nothing to read, or all skipped: one glance at the middle.
        plan.push_back(Fixation {
            at: [tile.x_deg, tile.y_deg],
            for_s: log_normal(rng, fixation_s, 0.28).clamp(0.08, 0.8),
        });
    }
}

/// The fixations with which a whole fork is read before choosing: every branch from left to right and top to bottom, a
/// rare glance at the other options, and sometimes one branch again.
pub(super) fn read_fork(
    options: &[OptionTile],
    new_to_it: bool,
    fixation_s: f64,
    reread: f64,
    rng: &mut ChaCha8Rng,
) -> VecDeque<Fixation> {
    let mut plan = VecDeque::new();
    let mut known = BTreeSet::new();
    let mut tiles: Vec<&OptionTile> = options.iter().collect();
    // Rows of one degree: tiles that are nearly level are read from left to right.
    tiles.sort_by(|a, b| {
        (a.y_deg.round().total_cmp(&b.y_deg.round())).then(a.x_deg.total_cmp(&b.x_deg))
    });
    let (branches, others): (Vec<&OptionTile>, Vec<&OptionTile>) = tiles
        .into_iter()
        .partition(|tile| tile.kind == OptionKind::Branch);
    for tile in &branches {
        read_tile(tile, &known, fixation_s, rng, &mut plan);
        known.extend(words(&tile.text));
    }
    for tile in others {
        let glance = if new_to_it { 0.8 } else { 0.1 };
        if rng.random::<f64>() < glance {
            read_tile(tile, &known, fixation_s, rng, &mut plan);
        }
    }
    if rng.random::<f64>() < reread && !branches.is_empty() {
        let again = branches[rng.random_range(0..branches.len())];
        read_tile(again, &known, fixation_s, rng, &mut plan);
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::super::noise::stream;
    use super::*;

    fn tile(text: &str, x_deg: f64) -> OptionTile {
        OptionTile {
            item: 0,
            kind: OptionKind::Branch,
            text: text.into(),
            x_deg,
            y_deg: 3.0,
            w_deg: 8.0,
            h_deg: 4.0,
        }
    }

    #[test]
    fn words_stand_in_order_inside_their_tile() {
        let placed = lay_out(&tile("a small dog barked at the stranger loudly", 5.0));
        assert_eq!(placed.len(), 8);
        for word in &placed {
            let half = 0.5 * word.letters as f64 * word.letter_deg;
            assert!(word.centre[0] - half >= 1.0 && word.centre[0] + half <= 9.0);
            assert!((1.0..=5.0).contains(&word.centre[1]));
        }
        for pair in placed.windows(2) {
            let same_line = pair[0].centre[1] == pair[1].centre[1];
            assert!(if same_line {
                pair[0].centre[0] < pair[1].centre[0]
            } else {
                pair[0].centre[1] < pair[1].centre[1]
            });
        }
    }

    #[test]
    fn a_fork_is_read_from_left_to_right_whatever_its_order() {
        let options = [
            tile("castle gate opened", 10.0),
            tile("forest trees whispered", -10.0),
        ];
        let plan = read_fork(&options, false, 0.22, 0.0, &mut stream(2, "read"));
        let split = plan.iter().position(|f| f.at[0] > 0.0).unwrap();
        assert!(split > 0);
        assert!(plan.iter().skip(split).all(|f| f.at[0] > 0.0));
        assert!(plan.iter().all(|f| (0.05..1.0).contains(&f.for_s)));
    }

    #[test]
    fn an_empty_or_endless_text_gives_a_bounded_plan() {
        for text in ["", " ", &"word ".repeat(10_000), &"x".repeat(100_000)] {
            let plan = read_fork(&[tile(text, 0.0)], true, 0.22, 1.0, &mut stream(2, "read"));
            assert!((1..=200).contains(&plan.len()));
            assert!(
                plan.iter()
                    .all(|f| f.at[0].is_finite() && f.at[1].is_finite())
            );
        }
    }
}
