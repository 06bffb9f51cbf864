//! Joining: short pieces of keys and values are copied together, a little with every step.
//!
//! Each fork begins a piece, and a step looks at every piece by itself and at whole pages of it, however few tokens it holds. So behind many
//! forks a step takes longer than behind the same text written straight. What lies behind the end of the text is never touched: only pieces
//! that are sealed are joined, and whoever shares them (marks that an undo goes back to, branches of past forks) is relinked to the joined
//! piece, so that the short ones are freed. Nothing is computed, the bits stay: every sum goes along the text, whatever it is cut into.
//!
//! A token is copied once for each tier, seldom once more, and no step copies more than a page of tokens.

use std::sync::Arc;

use super::attention::PAGE;
use super::kv::{Segment, Sequence, Span};

/// Most tokens of a joined piece. First long ones are looked for: they take short ones up on the way.
const TIERS_TOKENS: [usize; 2] = [256, 32];
/// Tokens copied with one step at most.
const STEP_TOKENS: usize = PAGE;

/// Copies pieces of one line together.
#[derive(Debug, Default)]
pub(super) struct Joiner {
    under_way: Option<Joint>,
}

/// Pieces that become one.
#[derive(Debug)]
pub(super) struct Joint {
    /// Which of the line's spans is the first of them.
    first: usize,
    from: Vec<Span>,
    into: Arc<Segment>,
}

impl Joiner {
    /// Copies a page of tokens at most. Gives the joint when that was the last of them: whoever has its pieces can be relinked.
    pub(super) fn step(&mut self, line: &Sequence) -> Option<Joint> {
        if self.under_way.is_none() {
            self.under_way = Joint::of(line);
        }
        let done = self.under_way.as_mut()?.copy(line, STEP_TOKENS);
        self.under_way.take_if(|_| done)
    }

    /// Forgets what is under way.
    pub(super) fn clear(&mut self) {
        self.under_way = None;
    }
}

impl Joint {
    /// The next pieces of a line that should be one.
    fn of(line: &Sequence) -> Option<Self> {
        let spans = line.spans();
        let run = TIERS_TOKENS
            .iter()
            .find_map(|tier| run_of_short(spans, *tier))?;
        let from = spans.get(run.clone())?.to_vec();
        let tokens = from.iter().map(Span::tokens).sum();
        Some(Self {
            first: run.start,
            from,
            into: Arc::new(line.segment(tokens)),
        })
    }

    /// Copies some tokens more; whether all are copied.
    fn copy(&mut self, line: &Sequence, mut tokens: usize) -> bool {
        let Some(into) = Arc::get_mut(&mut self.into) else {
            return true;
        };
        let mut before = 0;
        for span in &self.from {
            let at = into.len().saturating_sub(before);
            let count = span.tokens().saturating_sub(at).min(tokens);
            line.copy(span, at, count, into);
            tokens -= count;
            before += span.tokens();
        }
        into.len() == before
    }

    /// Lets a line look at the joined piece instead of the short ones, as far as it has them.
    pub(super) fn relink(&self, line: &mut Sequence) {
        let Some(own) = line.spans().get(self.first..) else {
            return;
        };
        let (mut shared, mut tokens) = (0, 0);
        for (own, other) in own.iter().zip(&self.from) {
            if !own.is_of(other) || own.tokens() > other.tokens() {
                break;
            }
            (shared, tokens) = (shared + 1, tokens + own.tokens());
            if own.tokens() < other.tokens() {
                // A view ends here.
                break;
            }
        }
        if shared > 0 {
            let joined = Span::of(Arc::clone(&self.into), tokens);
            line.replace(self.first..self.first + shared, joined);
        }
    }

    /// The short pieces.
    pub(super) fn into_pieces(self) -> Vec<Span> {
        self.from
    }
}

/// Spans one behind the other that together hold `tier` tokens at most and, with the next one, more.
fn run_of_short(spans: &[Span], tier: usize) -> Option<std::ops::Range<usize>> {
    // A piece that is nearly full is not copied again for the sake of a few tokens.
    let full = tier / 4 * 3;
    let (mut begin, mut tokens) = (0, 0);
    for (number, span) in spans.iter().enumerate() {
        let fits = tokens + span.tokens() <= tier;
        if span.tokens() < full && fits {
            tokens += span.tokens();
            continue;
        }
        if number > begin + 1 && tokens >= tier / 2 {
            return Some(begin..number);
        }
        (begin, tokens) = if span.tokens() < full {
            (number, span.tokens())
        } else {
            (number + 1, 0)
        };
    }
    None
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]
mod tests {
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::decode::kv::tests::{SHAPE, push, read};
    use crate::decode::kv::{PAGE_TOKENS, Pool};

    /// A line, and what it holds.
    type Known = (Sequence, Vec<f32>);

    #[test]
    fn whatever_forks_and_undos_cut_every_line_holds_what_it_held_in_few_pieces() {
        for seed in 0..40 {
            let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
            let mut pool = Pool::new(SHAPE);
            let mut joiner = Joiner::default();
            let mut x = 0.0;
            let mut trunk: Known = (Sequence::new(SHAPE), Vec::new());
            let mut marks: Vec<Known> = Vec::new();
            let mut write = |(line, known): &mut Known, tokens: usize, pool: &mut Pool| {
                for _ in 0..tokens {
                    x += 1.0;
                    push(line, pool, x);
                    known.push(x);
                }
            };
            for _ in 0..150 {
                match random.random_range(0..10) {
                    // A fork, a branch of which goes on; the others are kept, as an undo needs them.
                    0..6 => {
                        let mut branches: Vec<Known> =
                            (0..3).map(|_| (trunk.0.fork(), trunk.1.clone())).collect();
                        for branch in &mut branches {
                            write(branch, random.random_range(0..9), &mut pool);
                        }
                        let chosen = &mut branches[random.random_range(0..3)];
                        let next = (chosen.0.fork(), chosen.1.clone());
                        marks.push(std::mem::replace(&mut trunk, next));
                        marks.append(&mut branches);
                    }
                    6 => {
                        // A branch that ends earlier.
                        trunk.0.seal();
                        let len = random.random_range(trunk.1.len() * 3 / 4..=trunk.1.len());
                        marks.push((trunk.0.view(len), trunk.1[..len].to_vec()));
                    }
                    7 if !marks.is_empty() => {
                        trunk = marks.swap_remove(random.random_range(0..marks.len()));
                    }
                    _ => write(&mut trunk, random.random_range(1..20), &mut pool),
                }
                while marks.len() > 40 {
                    let (line, _) = marks.remove(random.random_range(0..marks.len()));
                    pool.recycle(line);
                }
                for _ in 0..random.random_range(0..8) {
                    if let Some(joint) = joiner.step(&trunk.0) {
                        joint.relink(&mut trunk.0);
                        marks.iter_mut().for_each(|(line, _)| joint.relink(line));
                        pool.recycle_pieces(joint.into_pieces());
                    }
                }
                for (line, known) in marks.iter().chain([&trunk]) {
                    assert_eq!(&read(line), known, "seed {seed}");
                }
            }
            joiner.clear();
            for _ in 0..10_000 {
                if let Some(joint) = joiner.step(&trunk.0) {
                    joint.relink(&mut trunk.0);
                }
            }
            assert_eq!(read(&trunk.0), trunk.1);
            let pieces = trunk.0.parts().count();
            let ideal = trunk.1.len() / (TIERS_TOKENS[0] / 2) + TIERS_TOKENS[0] / 16 + 16;
            assert!(
                pieces <= ideal,
                "{pieces} pieces of {} tokens",
                trunk.1.len()
            );
            assert!(joiner.step(&trunk.0).is_none(), "there is an end to it");
        }
    }

    #[test]
    fn a_piece_is_freed_when_everybody_who_shared_it_was_relinked() {
        let mut pool = Pool::new(SHAPE);
        let mut trunk = Sequence::new(SHAPE);
        let mut marks = Vec::new();
        for fork in 0..20_u8 {
            for token in 0..4 {
                push(&mut trunk, &mut pool, f32::from(4 * fork + token));
            }
            marks.push(trunk.fork());
        }
        let before = pool.pages_free();
        let mut joiner = Joiner::default();
        let mut joints = 0;
        for _ in 0..40 {
            if let Some(joint) = joiner.step(&trunk) {
                joint.relink(&mut trunk);
                marks.iter_mut().for_each(|mark| joint.relink(mark));
                pool.recycle_pieces(joint.into_pieces());
                joints += 1;
            }
        }
        // Eighty tokens in twenty pieces: two joints of eight pieces each.
        assert_eq!((joints, trunk.parts().count()), (2, 2 + 4));
        assert_eq!(pool.pages_free() - before, 2 * 8);
        assert!(
            marks
                .iter()
                .zip(1..)
                .all(|(mark, n)| read(mark).len() == 4 * n)
        );
        assert_eq!(PAGE_TOKENS, PAGE);
    }
}
