//! Is there a fork here? Candidates rolled out as parallel requests, wordings merged into meanings.
//!
//! The same idea as in this process, with what a server tells: the cheap test on the likeliest tokens, phrases to a
//! boundary, then meanings. Phrases that read the same are one. So are two that differ by a mere wording: the model expects
//! the same behind the first few tokens of both (of the likeliest tokens at each place), and when the rest of one is put
//! behind the other it goes on with the same words, expecting the same at each of them. (Where another word was only just as
//! likely, the first one's is put in its place.)

use std::collections::BTreeMap;

use super::super::error::DecodeError;
use super::super::glance::Glance;
use super::super::settings::WriterSettings;
use super::ground::Ground;
use super::line::Line;
use super::roll::{Roll, Tail};
use super::wire::{Said, Token};

/// Looks at the likeliest tokens of a place. Entropies of a whole distribution are not to be had.
fn passes(top: &[Token], settings: &WriterSettings) -> bool {
    let glance = Glance {
        entropy_nats: f64::NAN,
        varentropy_nats2: f64::NAN,
        top3: std::array::from_fn(|i| top.get(i).map_or(0.0, Token::mass)),
    };
    glance.passes(settings)
}

/// The first tokens worth rolling out, likeliest first: each begins a word (or is punctuation), none ends the text. Empty
/// inside a character.
pub(super) fn heads(
    line: &Line,
    top: &[Token],
    count: usize,
    mass_min: f64,
    not: &[Token],
) -> Vec<Token> {
    if line.inside_character() {
        return Vec::new();
    }
    let begins = |token: &&Token| {
        token.mass() >= mass_min
            && !stands_for_no_text(token)
            && !not.iter().any(|other| other.is(token))
            && !line.continues_word(token)
            // As text, half a character cannot be sent.
            && (token.id.is_some() || std::str::from_utf8(&token.bytes).is_ok())
    };
    top.iter().filter(begins).take(count).cloned().collect()
}

/// Whether a token is one of those that structure a text. llama.cpp gives them no bytes; others write their names.
fn stands_for_no_text(token: &Token) -> bool {
    let text = token.bytes.as_slice();
    text.is_empty() || (text.len() > 2 && text.starts_with(b"<") && text.ends_with(b">"))
}

/// The heads of a place where a fork may lie: the gate passes and two can be rolled out.
pub(super) fn promising(line: &Line, next: &Said, settings: &WriterSettings) -> Vec<Token> {
    if next.inside || !passes(&next.top, settings) {
        return Vec::new();
    }
    let found = heads(
        line,
        &next.top,
        settings.candidates_max,
        settings.candidate_mass_min,
        &[],
    );
    if found.len() < 2 { Vec::new() } else { found }
}

/// A look at one place, under way.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) rolls: Vec<Roll>,
    /// The likeliest tokens of the place.
    pub(super) top: Vec<Token>,
    /// Comparisons, once all phrases are there.
    pairs: Option<Pairs>,
}

#[derive(Debug, Default)]
struct Pairs {
    /// How the model goes on behind each phrase that is compared.
    own: BTreeMap<usize, Tail>,
    /// How it goes on when the rest of the first is put behind the beginning of the second.
    forced: BTreeMap<(usize, usize), Tail>,
}

/// Roll-outs that mean the same.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Meaning {
    /// The likeliest wording, by number of the roll-out.
    pub(super) wording: usize,
    /// Mass of all wordings.
    pub(super) mass: f64,
}

impl Look {
    /// A look that begins with these first tokens.
    pub(super) fn begin(trunk: &Line, heads: &[Token], top: Vec<Token>) -> Self {
        Self {
            rolls: heads.iter().map(|head| Roll::behind(trunk, head)).collect(),
            top,
            pairs: None,
        }
    }

    /// Takes what has come: the meanings once all is there.
    ///
    /// # Errors
    /// [`DecodeError`] when a phrase cannot be had.
    pub(super) fn poll(
        &mut self,
        ground: &Ground<'_>,
        settings: &WriterSettings,
        told: &mut Vec<String>,
    ) -> Result<Option<Vec<Meaning>>, DecodeError> {
        for roll in &mut self.rolls {
            roll.poll(ground, settings.phrase_tokens_max, told)?;
        }
        if !self.rolls.iter().all(|roll| roll.done) {
            return Ok(None);
        }
        let tokens = ground.server.settings.consequence_tokens as usize;
        let pairs = self
            .pairs
            .get_or_insert_with(|| pairs(&self.rolls, settings, tokens));
        let mut done = true;
        for tail in pairs.own.values_mut().chain(pairs.forced.values_mut()) {
            tail.poll(ground, told)?;
            done &= tail.done;
        }
        if done {
            let alike =
                |x: &Said, y: &Said| divergence_bits(&x.top, &y.top) <= settings.converged_bits_max;
            for ((a, _), forced) in &mut pairs.forced {
                let own = pairs.own.get(a);
                while forced.done && own.is_some_and(|own| forced.follow(own, alike)) {}
                done &= forced.done;
            }
        }
        Ok(done.then(|| self.meanings(settings)))
    }

    fn meanings(&self, settings: &WriterSettings) -> Vec<Meaning> {
        let mut meanings: Vec<Meaning> = Vec::new();
        for (number, roll) in self.rolls.iter().enumerate() {
            let home = meanings
                .iter_mut()
                .find(|meaning| self.same(meaning.wording, number, settings));
            match home {
                Some(meaning) => meaning.mass += roll.mass,
                None => meanings.push(Meaning {
                    wording: number,
                    mass: roll.mass,
                }),
            }
        }
        meanings.sort_by(|x, y| y.mass.total_cmp(&x.mass).then(x.wording.cmp(&y.wording)));
        meanings
    }

    fn same(&self, a: usize, b: usize, settings: &WriterSettings) -> bool {
        if self.rolls[a].line.phrase() == self.rolls[b].line.phrase() {
            return true; // both are numbers of roll-outs
        }
        let Some(pairs) = &self.pairs else {
            return false;
        };
        let (Some(own), Some(forced)) = (pairs.own.get(&a), pairs.forced.get(&(a, b))) else {
            return false;
        };
        !own.said.is_empty()
            && own.said.len() == forced.said.len()
            && own.said.iter().zip(&forced.said).all(|(x, y)| {
                x.token.is(&y.token)
                    && divergence_bits(&x.top, &y.top) <= settings.converged_bits_max
            })
    }
}

/// The comparisons that are worth requests: pairs of phrases that read differently, behind whose first few tokens the model
/// expects the same.
fn pairs(rolls: &[Roll], settings: &WriterSettings, tokens: usize) -> Pairs {
    let mut pairs = Pairs::default();
    if tokens == 0 {
        return pairs;
    }
    for (a, first) in rolls.iter().enumerate() {
        for (b, second) in rolls.iter().enumerate().skip(a + 1) {
            if first.line.phrase() == second.line.phrase() {
                continue;
            }
            let Some((i, j)) = alignment(first, second, settings) else {
                continue;
            };
            let own = match &first.ending {
                Some(ending) => Tail::known(vec![ending.clone()]),
                None => Tail::behind(first.line.clone(), tokens),
            };
            let tokens = if first.ending.is_some() { 1 } else { tokens };
            pairs.own.entry(a).or_insert(own);
            let joined = second.line.joined(j, &first.line, i);
            pairs.forced.insert((a, b), Tail::behind(joined, tokens));
        }
    }
    pairs
}

/// The nearest places (tokens of `a`, tokens of `b`) behind which the model expects the same.
fn alignment(a: &Roll, b: &Roll, settings: &WriterSettings) -> Option<(usize, usize)> {
    let short = settings.wording_tokens_max;
    let mut best: Option<(usize, usize)> = None;
    for (i, p) in a.behind.iter().take(short).enumerate() {
        for (j, q) in b.behind.iter().take(short).enumerate() {
            let at = (i + 1, j + 1);
            let nearer = best.is_none_or(|(x, y)| (at.0 + at.1, at.0) < (x + y, x));
            if nearer && divergence_bits(p, q) <= settings.converged_bits_max {
                best = Some(at);
            }
        }
    }
    best
}

/// Jensen-Shannon divergence, bits, over the likeliest tokens of both; all others count as one token, and a token that only
/// one list holds as impossible in the other. An estimate: too large where many tokens are about as likely and few are
/// listed, and then phrases stay apart.
pub(super) fn divergence_bits(a: &[Token], b: &[Token]) -> f64 {
    let rest = |top: &[Token]| (1.0 - top.iter().map(Token::mass).sum::<f64>()).max(0.0);
    let (mut p, mut q) = (vec![rest(a)], vec![rest(b)]);
    for token in a {
        let other = b.iter().find(|other| other.is(token));
        p.push(token.mass());
        q.push(other.map_or(0.0, Token::mass));
    }
    for token in b {
        if !a.iter().any(|other| other.is(token)) {
            p.push(0.0);
            q.push(token.mass());
        }
    }
    super::super::distribution::divergence_bits(&p, &q)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn top(masses: &[(u32, f64)]) -> Vec<Token> {
        let token = |&(id, mass): &(u32, f64)| Token {
            id: Some(id),
            bytes: vec![b'a'],
            log_prob_nats: mass.ln(),
        };
        masses.iter().map(token).collect()
    }

    #[test]
    fn lists_are_compared_token_by_token_and_their_rest_as_one() {
        // All is listed: as the divergence of whole distributions (NumPy, in distribution.rs).
        let (a, b) = (top(&[(1, 0.5), (2, 0.5)]), top(&[(1, 0.9), (2, 0.1)]));
        assert!((divergence_bits(&a, &b) - 0.146_793_102_436_052_1).abs() < 1e-9);
        let (a, b) = (top(&[(1, 1.0)]), top(&[(2, 1.0)]));
        assert!((divergence_bits(&a, &b) - 1.0).abs() < 1e-9);
        // An eighth is listed of both, and nothing in common: that eighth is told apart.
        let (a, b) = (
            top(&[(1, 0.0625), (2, 0.0625)]),
            top(&[(3, 0.0625), (4, 0.0625)]),
        );
        assert!((divergence_bits(&a, &b) - 0.125).abs() < 1e-9);
    }
}
