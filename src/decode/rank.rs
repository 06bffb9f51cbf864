//! More meanings than a fork can offer: which of them to show.
//!
//! Those three whose expected divergence is largest: of two branches drawn by their mass `p`, how differently does the text go on?
//! `Q(S) = sum over m, n in S of p(m) p(n) d(m, n)`, the quadratic entropy of Rao 1982 ("Diversity and dissimilarity coefficients", eq. 2.1.2). It
//! prefers the likely to the unlikely, and among the likely those that differ. `d(m, n)` is the Jensen-Shannon divergence of the next token, bits,
//! averaged over continuations drawn behind one branch and forced upon the other, both ways.

use super::cancel::Cancel;
use super::distribution::{Place, divergence_bits, probabilities};
use super::error::Interrupt;
use super::forward::{Engine, Feed, Wanted};
use super::meaning::{Meaning, PROBES};
use super::rollout::{Probe, Rollout, probe};
use crate::fork::Divergence;

/// Tokens of a continuation that are looked at.
const TOKENS_AHEAD: usize = 12;

/// The divergence of meanings, each known by its wording.
#[derive(Debug)]
pub(super) struct Measured {
    wordings: Vec<usize>,
    bits: Vec<Vec<f64>>,
}

impl Measured {
    /// Between these meanings, in their order.
    pub(super) fn between(&self, meanings: &[Meaning]) -> Divergence {
        let mut bits = Divergence::default();
        let place = |meaning: &Meaning| self.wordings.iter().position(|w| *w == meaning.wording);
        for (row, one) in bits.iter_mut().zip(meanings) {
            for (to, other) in row.iter_mut().zip(meanings) {
                if let (Some(m), Some(n)) = (place(one), place(other)) {
                    *to = self.bits[m][n]; // places of its own wordings
                }
            }
        }
        bits
    }
}

/// Keeps `count` of the meanings, in the order in which they are, and tells the divergence by which they were chosen. Nothing is computed
/// where there are no more.
pub(super) fn keep_most_telling(
    engine: &mut Engine,
    rollouts: &mut [Rollout],
    meanings: &mut Vec<Meaning>,
    count: usize,
    place: Place,
    cancel: &Cancel,
) -> Result<Option<Measured>, Interrupt> {
    if meanings.len() <= count {
        return Ok(None);
    }
    let wordings: Vec<usize> = meanings.iter().map(|meaning| meaning.wording).collect();
    let mut drawn: Vec<Vec<Probe>> = Vec::with_capacity(wordings.len());
    for &wording in &wordings {
        let line = &mut rollouts[wording].line; // numbers of these very roll-outs
        let place = Place {
            position: place.position + line.tokens.len(),
            ..place
        };
        drawn.push(probe(engine, line, PROBES, TOKENS_AHEAD, place, cancel)?);
        line.sequence.seal();
    }
    let mut divergence = vec![vec![0.0; wordings.len()]; wordings.len()];
    for (m, probes) in drawn.iter().enumerate() {
        for (n, &other) in wordings.iter().enumerate().filter(|(n, _)| *n != m) {
            let bits = forced(engine, &rollouts[other], probes, place, cancel)?;
            divergence[m][n] += bits / 2.0;
            divergence[n][m] += bits / 2.0;
        }
    }
    let masses: Vec<f64> = meanings.iter().map(|meaning| meaning.mass).collect();
    let kept = most_telling(&masses, &divergence, count);
    let mut number = 0;
    meanings.retain(|_| {
        number += 1;
        kept.contains(&(number - 1))
    });
    Ok(Some(Measured {
        wordings,
        bits: divergence,
    }))
}

/// Mean divergence over continuations drawn elsewhere and forced upon a branch. Where the text ends at one of the two, that is a whole bit.
fn forced(
    engine: &mut Engine,
    upon: &Rollout,
    probes: &[Probe],
    place: Place,
    cancel: &Cancel,
) -> Result<f64, Interrupt> {
    let (mut bits, mut tokens) = (0.0, 0);
    for probe in probes.iter().filter(|probe| !probe.tokens.is_empty()) {
        let mut sequence = upon.line.sequence.view(upon.line.sequence.len());
        let feed = Feed {
            sequence: &mut sequence,
            tokens: &probe.tokens,
            wanted: Wanted::All,
        };
        let found = engine.forward(&mut [feed], place.position, cancel)?;
        for (expected, found) in probe.distributions.iter().zip(found) {
            bits += divergence_bits(expected, &probabilities(&found.logits));
            tokens += 1;
        }
    }
    let ends = tokens == 0;
    Ok(match (ends, upon.ended) {
        (true, true) => 0.0,
        (true, false) | (false, true) => 1.0,
        (false, false) => bits / f64::from(tokens),
    })
}

/// The `count` whose quadratic entropy is largest; of equal ones those that come first.
fn most_telling(masses: &[f64], divergence: &[Vec<f64>], count: usize) -> Vec<usize> {
    let entropy = |set: &[usize]| -> f64 {
        let pairs = set.iter().flat_map(|m| set.iter().map(move |n| (*m, *n)));
        pairs
            .map(|(m, n)| masses[m] * masses[n] * divergence[m][n])
            .sum()
    };
    let mut best: Option<(f64, Vec<usize>)> = None;
    let mut consider = |set: Vec<usize>| {
        let found = entropy(&set);
        if best.as_ref().is_none_or(|(most, _)| found > *most) {
            best = Some((found, set));
        }
    };
    // Few: roll-outs are eight at most.
    for bits in
        (0_u32..1 << masses.len().min(16)).filter(|bits| bits.count_ones() as usize == count)
    {
        consider((0..masses.len()).filter(|i| bits >> i & 1 == 1).collect());
    }
    best.map_or_else(|| (0..masses.len().min(count)).collect(), |(_, set)| set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_divergence_leaves_the_likeliest() {
        let mut all = vec![vec![0.7; 5]; 5];
        (0..5).for_each(|i| all[i][i] = 0.0);
        assert_eq!(
            most_telling(&[0.3, 0.2, 0.2, 0.16, 0.1], &all, 3),
            [0, 1, 2]
        );
    }

    #[test]
    fn what_was_measured_is_told_of_the_meanings_that_are_left_in_their_order() {
        let mut bits = vec![vec![0.0; 4]; 4];
        for (m, row) in bits.iter_mut().enumerate() {
            for (n, to) in row.iter_mut().enumerate() {
                *to = if m == n { 0.0 } else { (m + n) as f64 / 10.0 };
            }
        }
        let measured = Measured {
            wordings: vec![0, 2, 3, 5],
            bits,
        };
        let meaning = |wording| Meaning {
            wording,
            members: vec![wording],
            mass: 0.3,
        };
        let between = measured.between(&[meaning(2), meaning(5)]);
        assert_eq!(between, [[0.0, 0.4, 0.0], [0.4, 0.0, 0.0], [0.0; 3]]);
    }

    #[test]
    fn of_two_that_go_on_alike_one_makes_room_for_a_less_likely_one() {
        // 0 and 1 differ in words and hardly in what follows; 3 leads elsewhere.
        let mut divergence = vec![vec![0.8; 4]; 4];
        (0..4).for_each(|i| divergence[i][i] = 0.0);
        (divergence[0][1], divergence[1][0]) = (0.02, 0.02);
        assert_eq!(
            most_telling(&[0.35, 0.3, 0.18, 0.15], &divergence, 3),
            [0, 2, 3]
        );
    }
}
