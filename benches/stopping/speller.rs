//! A matrix speller's letters, for comparison with what others report: rows and columns flash, two of them are targets.
//!
//! No gate takes 36 options; the same evidence, weighted and clipped as the gate does, is summed over symbols, and the letter
//! ends as soon as the best symbol's posterior reaches a threshold, or after all rounds with whatever is ahead.

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::answers::{Answer, Person};
use crate::deck::Deck;
use crate::tally::{End, Tally};

/// One letter: for each flash the line (a row, or `side` + a column) and its evidence.
struct Letter {
    side: usize,
    meant: (usize, usize),
    flashes: Vec<(usize, Option<f64>)>,
}

/// Letters of a `side` by `side` matrix, answers drawn flash by flash.
fn drawn(person: &Person, side: usize, rounds: usize, count: u64, seed: u64) -> Vec<Letter> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let of = |target: bool| {
        let wanted = person.answers.iter().filter(|a| a.target == target);
        Deck::new(wanted.map(|a| a.llr_nats).collect())
    };
    let (mut targets, mut others) = (of(true), of(false));
    (0..count)
        .map(|_| {
            targets.gather();
            others.gather();
            let meant = (random.random_range(0..side), random.random_range(0..side));
            let mut flashes = Vec::new();
            let mut order: Vec<usize> = (0..2 * side).collect();
            for _ in 0..rounds {
                order.shuffle(&mut random);
                for &line in &order {
                    let attended = line == meant.0 || line == side + meant.1;
                    let deck = if attended { &mut targets } else { &mut others };
                    flashes.push((line, deck.draw(&mut random)));
                }
            }
            Letter {
                side,
                meant,
                flashes,
            }
        })
        .collect()
}

/// Letters of an 8 by 8 matrix made of the recording in its own order, which keeps whatever neighbouring flashes share.
///
/// The recordings have two targets in every 16 flashes and do not say what flashed: within each such round the two targets
/// become the letter's row and column, at random, and the others the other lines. `None` where rounds are otherwise.
fn in_order(person: &Person, count: u64, seed: u64) -> Option<Vec<Letter>> {
    const SIDE: usize = 8;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let letters: Vec<&[Answer]> = person.answers.chunk_by(|a, b| a.run == b.run).collect();
    let whole = letters.iter().all(|letter| {
        let mut rounds = letter.chunks_exact(2 * SIDE);
        rounds.all(|round| round.iter().filter(|a| a.target).count() == 2)
            && rounds.remainder().is_empty()
    });
    if !whole || letters.is_empty() {
        return None;
    }
    let made = (0..count).map(|_| {
        let letter = letters[random.random_range(0..letters.len())];
        let rounds: Vec<&[Answer]> = letter.chunks_exact(2 * SIDE).collect();
        // From any of its rounds on, round and round: the one seam is no worse than a pause.
        let first = random.random_range(0..rounds.len());
        let meant = (random.random_range(0..SIDE), random.random_range(0..SIDE));
        let mut flashes = Vec::new();
        for round in rounds.iter().cycle().skip(first).take(rounds.len()) {
            let mut attended = vec![meant.0, SIDE + meant.1];
            let mut rest: Vec<usize> = (0..2 * SIDE).filter(|l| !attended.contains(l)).collect();
            attended.shuffle(&mut random);
            rest.shuffle(&mut random);
            for answer in *round {
                let lines = if answer.target {
                    &mut attended
                } else {
                    &mut rest
                };
                flashes.push((lines.pop().unwrap_or(0), answer.llr_nats));
            }
        }
        Letter {
            side: SIDE,
            meant,
            flashes,
        }
    });
    Some(made.collect())
}

/// Plays letters: ends at the first flash after which the posterior reaches `threshold`.
fn play(person: &Person, letters: &[Letter], threshold: f64, soa_s: f64) -> Tally {
    let trust = &person.gate.config().p300;
    let one = |letter: &Letter| {
        let mut lines = vec![0.0; 2 * letter.side];
        let (mut best, mut claimed) = (letter.meant, 0.0);
        let mut heard = letter.flashes.len();
        for (number, (line, llr)) in letter.flashes.iter().enumerate() {
            let clip = trust.item_clip_nats;
            lines[*line] += trust.reliability * llr.unwrap_or(0.0).clamp(-clip, clip);
            // Symbols are pairs of independent lines: the posterior is a product.
            let (rows, columns) = lines.split_at(letter.side);
            let ((row, p_row), (column, p_column)) = (ahead(rows), ahead(columns));
            (best, claimed) = ((row, column), p_row * p_column);
            if claimed >= threshold {
                heard = number + 1;
                break;
            }
        }
        let (rows, columns) = lines.split_at(letter.side);
        let uniform = (letter.side as f64).log2();
        let of_meant = share(rows, letter.meant.0) * share(columns, letter.meant.1);
        End {
            right: Some(best == letter.meant),
            claimed,
            flashes: heard,
            seconds: (heard as f64 - 1.0) * soa_s + person.epoch_s,
            bits: 2.0 * uniform - entropy_bits(rows) - entropy_bits(columns),
            bits_true: of_meant.log2() + 2.0 * uniform,
        }
    };
    Tally(letters.iter().map(one).collect())
}

/// The line that is ahead, and its share of the probability.
fn ahead(log: &[f64]) -> (usize, f64) {
    let (best, &top) = log
        .iter()
        .enumerate()
        .reduce(|a, b| if b.1 > a.1 { b } else { a })
        .unwrap_or((0, &0.0));
    (best, 1.0 / log.iter().map(|v| (v - top).exp()).sum::<f64>())
}

/// A line's share of the probability.
fn share(log: &[f64], line: usize) -> f64 {
    let (best, top) = ahead(log);
    (log[line] - log[best]).exp() * top
}

fn entropy_bits(log: &[f64]) -> f64 {
    let shares = (0..log.len()).map(|line| share(log, line));
    -shares
        .filter(|p| *p > 0.0)
        .map(|p| p * p.log2())
        .sum::<f64>()
}

/// Tallies by name: thresholds on 36 symbols of 15 rounds, then on 64 in the order of the recording.
pub(crate) fn letters(
    person: &Person,
    soa_s: f64,
    count: u64,
    seed: u64,
) -> Vec<(String, usize, Tally)> {
    let six = drawn(person, 6, 15, count, seed);
    let eight = drawn(person, 8, 15, count, seed);
    let mut all = Vec::new();
    // Above 1 no posterior comes: all rounds.
    for threshold in [0.8, 0.9, 0.95, 0.99, 2.0] {
        let name = |side: usize, how: &str| match threshold {
            2.0 => format!("{0} x {0}, {how}, all flashes", side),
            at => format!("{0} x {0}, {how}, posterior {at}", side),
        };
        let tally = play(person, &six, threshold, soa_s);
        all.push((name(6, "drawn"), 36, tally));
        let tally = play(person, &eight, threshold, soa_s);
        all.push((name(8, "drawn"), 64, tally));
        if let Some(letters) = in_order(person, count, seed) {
            let tally = play(person, &letters, threshold, soa_s);
            all.push((name(8, "in order"), 64, tally));
        }
    }
    all
}
