//! Which roll-outs mean the same? Merging wordings into meanings.
//!
//! Two phrases are one meaning when they read the same, when their pooled hidden states are all but equal, or when the
//! difference is a mere wording: short, and without consequence. That last test is a small experiment. After the first
//! few tokens of both phrases, is there a place from which the model says the same of what comes next? Then let one of
//! them go on, force the very same words upon the other, to the end of the phrase and some way beyond, and compare what
//! the model expects at every token. Where it keeps expecting the same, nothing depended on the difference.
//!
//! Divergence is Jensen-Shannon, so 1 bit means that the two texts have told each other apart for certain.

use super::cancel::Cancel;
use super::distribution::{Place, divergence_bits, probabilities};
use super::error::Interrupt;
use super::forward::{Engine, Feed, Wanted};
use super::rollout::{Probe, Rollout, probe};
use super::settings::WriterSettings;

/// Continuations drawn to look for consequences.
const PROBES: usize = 3;
/// Places tried from which two phrases might go on the same.
const ALIGNMENTS_MAX: usize = 3;

/// Roll-outs that mean the same.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Meaning {
    /// The likeliest wording, by number of the roll-out.
    pub(super) wording: usize,
    /// All wordings.
    pub(super) members: Vec<usize>,
    /// Their mass together.
    pub(super) mass: f64,
}

/// Sorts roll-outs (likeliest first) into meanings, the one with the most mass first.
pub(super) fn merge(
    engine: &mut Engine,
    rollouts: &mut [Rollout],
    settings: &WriterSettings,
    place: Place,
    cancel: &Cancel,
) -> Result<Vec<Meaning>, Interrupt> {
    let mut meanings: Vec<Meaning> = Vec::new();
    let mut probes: Vec<Option<Vec<Probe>>> = (0..rollouts.len()).map(|_| None).collect();
    for rollout in &mut *rollouts {
        rollout.line.sequence.seal();
    }
    for candidate in 0..rollouts.len() {
        let mut home = None;
        for (number, meaning) in meanings.iter().enumerate() {
            let mut pair = Pair {
                engine,
                rollouts,
                settings,
                place,
                cancel,
                a: meaning.wording,
                b: candidate,
            };
            if pair.same(&mut probes)? {
                home = Some(number);
                break;
            }
        }
        let mass = rollouts[candidate].mass; // candidate < rollouts.len()
        match home.and_then(|number| meanings.get_mut(number)) {
            Some(meaning) => {
                meaning.members.push(candidate);
                meaning.mass += mass;
            }
            None => meanings.push(Meaning {
                wording: candidate,
                members: vec![candidate],
                mass,
            }),
        }
    }
    meanings.sort_by(|x, y| y.mass.total_cmp(&x.mass).then(x.wording.cmp(&y.wording)));
    Ok(meanings)
}

/// Two roll-outs to be compared; `a` and `b` are below `rollouts.len()`.
struct Pair<'a> {
    engine: &'a mut Engine,
    rollouts: &'a mut [Rollout],
    settings: &'a WriterSettings,
    place: Place,
    cancel: &'a Cancel,
    a: usize,
    b: usize,
}

impl Pair<'_> {
    fn same(&mut self, probes: &mut [Option<Vec<Probe>>]) -> Result<bool, Interrupt> {
        let (a, b) = (&self.rollouts[self.a], &self.rollouts[self.b]);
        if a.phrase() == b.phrase() || a.likeness(b) >= self.settings.cosine_min {
            return Ok(true);
        }
        for (i, j) in self.alignments() {
            if self.goes_on_the_same(i, j, probes)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Places (tokens of `a`, tokens of `b`) behind which the model expects the same, nearest first.
    fn alignments(&self) -> Vec<(usize, usize)> {
        let expected = |r: &Rollout| -> Vec<Vec<f64>> {
            let short = r.predictions.iter().take(self.settings.wording_tokens_max);
            short
                .map(|prediction| probabilities(&prediction.logits))
                .collect()
        };
        let (a, b) = (
            expected(&self.rollouts[self.a]),
            expected(&self.rollouts[self.b]),
        );
        let mut out = Vec::new();
        for (i, p) in a.iter().enumerate() {
            for (j, q) in b.iter().enumerate() {
                if divergence_bits(p, q) <= self.settings.converged_bits_max {
                    out.push((i + 1, j + 1));
                }
            }
        }
        out.sort_by_key(|&(i, j)| (i + j, i));
        out.truncate(ALIGNMENTS_MAX);
        out
    }

    /// Forces what follows `i` tokens of `a` upon `j` tokens of `b` and compares what the model expects.
    fn goes_on_the_same(
        &mut self,
        i: usize,
        j: usize,
        probes: &mut [Option<Vec<Probe>>],
    ) -> Result<bool, Interrupt> {
        let (a, b) = (&self.rollouts[self.a], &self.rollouts[self.b]);
        let rest = Probe {
            tokens: a.line.tokens[i..].to_vec(), // alignments lie within both phrases
            distributions: a.predictions[i..]
                .iter()
                .map(|p| probabilities(&p.logits))
                .collect(),
        };
        let before = b.line.sequence.len() - b.line.tokens.len();
        let ended = a.ended;
        let mut sequence = b.line.sequence.view(before + j);
        if !self.follows(&mut sequence, &rest)? {
            return Ok(false);
        }
        if ended || self.settings.horizon_tokens == 0 {
            return Ok(true);
        }
        let drawn = match &mut probes[self.a] {
            Some(drawn) => drawn,
            empty => {
                let line = &mut self.rollouts[self.a].line;
                let place = Place {
                    position: self.place.position + line.tokens.len(),
                    ..self.place
                };
                let horizon = self.settings.horizon_tokens;
                empty.insert(probe(
                    self.engine,
                    line,
                    PROBES,
                    horizon,
                    place,
                    self.cancel,
                )?)
            }
        };
        for probe in &*drawn {
            if !self.follows(&mut sequence.fork(), probe)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether the model, reading the probe's tokens behind `sequence`, expects what it expected behind the probe's own text.
    fn follows(
        &mut self,
        sequence: &mut super::kv::Sequence,
        probe: &Probe,
    ) -> Result<bool, Interrupt> {
        if probe.tokens.is_empty() {
            return Ok(true);
        }
        let feed = Feed {
            sequence,
            tokens: &probe.tokens,
            wanted: Wanted::All,
        };
        let predictions = self
            .engine
            .forward(&mut [feed], self.place.position, self.cancel)?;
        let pairs = probe.distributions.iter().zip(predictions);
        Ok(pairs
            .map(|(expected, found)| divergence_bits(expected, &probabilities(&found.logits)))
            .all(|bits| bits <= self.settings.converged_bits_max))
    }
}
