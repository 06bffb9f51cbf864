//! Which roll-outs mean the same? Merging wordings into meanings.
//!
//! Two phrases are one meaning when they read the same but for spelling, when their pooled hidden states are all but equal, or when the
//! difference is a mere wording: short, and without consequence. That last test is a small experiment. After the first
//! few tokens of both phrases, is there a place from which the model says the same of what comes next? Then let one of
//! them go on, force the very same words upon the other, to the end of the phrase and some way beyond, and compare what
//! the model expects at every token. Where it keeps expecting the same, nothing depended on the difference. A difference that is all the phrases
//! say of their sentence is no wording, though: "laughed at it." and "wanted it too." are two statements, even in a text that takes up neither.
//!
//! A model of sentences, where there is one, judges too: phrases that it finds very like each other mean the same, unless one denies or counts
//! what the other does not; and a difference that changes the phrase very much for it is no mere wording, whatever follows.
//!
//! Divergence is Jensen-Shannon, so 1 bit means that the two texts have told each other apart for certain.

use super::cancel::Cancel;
use super::distribution::{Place, cosine, divergence_bits, probabilities};
use super::error::Interrupt;
use super::forward::{Engine, Feed, Wanted};
use super::rollout::{Probe, Rollout, probe};
use super::settings::WriterSettings;
use super::text::{ends_sentence, sentence_so_far};
use super::wording::{contradict, reads_the_same};

/// Continuations drawn to look for consequences.
pub(super) const PROBES: usize = 3;
/// Places tried from which two phrases might go on the same.
pub(super) const ALIGNMENTS_MAX: usize = 3;

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

/// A phrase as the model of sentences sees it, and how alike it finds two of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Cosines {
    /// Of the phrases by themselves: low where they say different things.
    pub(super) alone: f64,
    /// Of the phrases, each behind the sentence that it goes on with: high where they say the same of the same.
    pub(super) in_sentence: f64,
}

/// The vectors of a phrase: alone, and behind its sentence so far.
pub(super) type Vectors = [Vec<f32>; 2];

/// The vectors of the roll-outs' phrases; none without a model of sentences.
pub(super) fn embedded(
    engine: &Engine,
    before: &str,
    rollouts: &[Rollout],
) -> Result<Vec<Vectors>, Interrupt> {
    let Some(embedder) = engine.model().embedder() else {
        return Ok(Vec::new());
    };
    let begun = sentence_so_far(before);
    let whole = |rollout: &Rollout| format!("{begun}{}", rollout.line.text);
    let sentences: Vec<String> = rollouts.iter().map(whole).collect();
    let phrases = rollouts.iter().map(Rollout::phrase);
    let texts = phrases.chain(sentences.iter().map(|sentence| sentence.trim()));
    let mut alone = embedder.embed(&texts.collect::<Vec<_>>())?;
    let in_sentence = alone.split_off(rollouts.len());
    let both = alone.into_iter().zip(in_sentence);
    Ok(both.map(|(alone, behind)| [alone, behind]).collect())
}

/// Sorts roll-outs (likeliest first) behind the text `before` into meanings, the one with the most mass first.
pub(super) fn merge(
    engine: &mut Engine,
    rollouts: &mut [Rollout],
    before: &str,
    settings: &WriterSettings,
    place: Place,
    cancel: &Cancel,
) -> Result<Vec<Meaning>, Interrupt> {
    let mut meanings: Vec<Meaning> = Vec::new();
    let mut probes: Vec<Option<Vec<Probe>>> = (0..rollouts.len()).map(|_| None).collect();
    for rollout in &mut *rollouts {
        rollout.line.sequence.seal();
    }
    let vectors = embedded(engine, before, rollouts)?;
    for candidate in 0..rollouts.len() {
        let mut home = None;
        for (number, meaning) in meanings.iter().enumerate() {
            let mut pair = Pair {
                engine,
                rollouts,
                vectors: &vectors,
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
pub(super) struct Pair<'a> {
    pub(super) engine: &'a mut Engine,
    pub(super) rollouts: &'a mut [Rollout],
    /// Of their phrases; empty without a model of sentences.
    pub(super) vectors: &'a [Vectors],
    pub(super) settings: &'a WriterSettings,
    pub(super) place: Place,
    pub(super) cancel: &'a Cancel,
    pub(super) a: usize,
    pub(super) b: usize,
}

impl Pair<'_> {
    fn same(&mut self, probes: &mut [Option<Vec<Probe>>]) -> Result<bool, Interrupt> {
        let (a, b) = (&self.rollouts[self.a], &self.rollouts[self.b]);
        if reads_the_same(a.phrase(), b.phrase()) || a.likeness(b) >= self.settings.cosine_min {
            return Ok(true);
        }
        if let Some(cosines) = self.cosines() {
            let alike = cosines.in_sentence >= self.settings.embedder_same_min;
            if alike && !contradict(a.phrase(), b.phrase()) {
                return Ok(true);
            }
        }
        let limit = self.settings.converged_bits_max;
        for (i, j) in self.alignments() {
            if self.is_statement(i, j) {
                continue;
            }
            if !self.says_otherwise(i, j)? && self.consequence_bits(i, j, limit, probes)? <= limit {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether all that the phrases say of their sentence is the first `i` tokens of `a` and the first `j` of `b`: no word of both is left, and the
    /// sentence ends.
    fn is_statement(&self, i: usize, j: usize) -> bool {
        [(self.a, i), (self.b, j)].into_iter().all(|(of, tokens)| {
            let Rollout { line, ended, .. } = &self.rollouts[of];
            // Alignments lie behind the first token, and within both phrases.
            let rest = &line.text[line.ends()[tokens - 1]..];
            !rest.contains(char::is_alphanumeric) && (*ended || ends_sentence(&line.text))
        })
    }

    /// Whether the model of sentences finds the phrase of `a` something else when `i` of its tokens are `j` of `b`: then they are no mere
    /// wordings of each other, even if nothing that the language model knows of follows from the difference.
    fn says_otherwise(&self, i: usize, j: usize) -> Result<bool, Interrupt> {
        let Some((embedder, [own, _])) =
            self.engine.model().embedder().zip(self.vectors.get(self.a))
        else {
            return Ok(false);
        };
        let (a, b) = (&self.rollouts[self.a].line, &self.rollouts[self.b].line);
        // Alignments lie behind the first token, and within both phrases.
        let text = format!(
            "{}{}",
            &b.text[..b.ends()[j - 1]],
            &a.text[a.ends()[i - 1]..]
        );
        let vectors = embedder.embed(&[text.trim()])?;
        let likeness = vectors.first().map_or(1.0, |other| cosine(own, other));
        Ok(likeness < self.settings.embedder_different_max)
    }

    /// What the model of sentences says, where there is one.
    pub(super) fn cosines(&self) -> Option<Cosines> {
        let (a, b) = (self.vectors.get(self.a)?, self.vectors.get(self.b)?);
        Some(Cosines {
            alone: cosine(&a[0], &b[0]),
            in_sentence: cosine(&a[1], &b[1]),
        })
    }

    /// The least consequence of the difference that can be found, bits; 1 where nothing is the same behind it.
    pub(super) fn least_consequence_bits(
        &mut self,
        probes: &mut [Option<Vec<Probe>>],
    ) -> Result<f64, Interrupt> {
        let mut least: f64 = 1.0;
        for (i, j) in self.alignments() {
            least = least.min(self.consequence_bits(i, j, least, probes)?);
        }
        Ok(least)
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

    /// Forces what follows `i` tokens of `a` upon `j` tokens of `b` and compares what the model expects: the largest divergence, bits. Looks no
    /// further behind one that is above `limit`.
    fn consequence_bits(
        &mut self,
        i: usize,
        j: usize,
        limit: f64,
        probes: &mut [Option<Vec<Probe>>],
    ) -> Result<f64, Interrupt> {
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
        let mut most = self.largest_bits(&mut sequence, &rest)?;
        if ended || self.settings.horizon_tokens == 0 || most > limit {
            return Ok(most);
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
            most = most.max(self.largest_bits(&mut sequence.fork(), probe)?);
            if most > limit {
                break;
            }
        }
        Ok(most)
    }

    /// How far the model, reading the probe's tokens behind `sequence`, is from what it expected behind the probe's own text, at most.
    fn largest_bits(
        &mut self,
        sequence: &mut super::kv::Sequence,
        probe: &Probe,
    ) -> Result<f64, Interrupt> {
        if probe.tokens.is_empty() {
            return Ok(0.0);
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
            .fold(0.0, f64::max))
    }
}
