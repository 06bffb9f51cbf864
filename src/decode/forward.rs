//! One step of the model: rows of several lines of text computed together.

use std::sync::Arc;

use super::attention::{self, PAGE, Queries};
use super::cancel::Cancel;
use super::error::{DecodeError, Interrupt};
use super::kernel;
use super::kv::{Pool, Sequence};
use super::linear::Hands;
use super::model::{Layer, Model};

/// Rows computed together when a long text is read.
pub(super) const CHUNK_ROWS: usize = 64;
/// Predictions kept to be written again.
const SAID_MAX: usize = 16;

/// What the model says behind a token.
#[derive(Debug, Default)]
pub(super) struct Prediction {
    /// Logits of the next token, one per row of the vocabulary; all finite.
    pub(super) logits: Vec<f32>,
    /// The state they were read from, behind the last norm.
    pub(super) hidden: Vec<f32>,
}

/// Tokens to be added to one line.
pub(super) struct Feed<'a> {
    /// The line.
    pub(super) sequence: &'a mut Sequence,
    /// Its next tokens, at least one.
    pub(super) tokens: &'a [u32],
    /// For which of them a prediction is wanted.
    pub(super) wanted: Wanted,
}

/// For which of the tokens fed a prediction is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    None,
    Last,
    All,
}

/// Computes steps of one model; owns every buffer a step needs. Belongs to one thread.
#[derive(Debug)]
pub(super) struct Engine {
    model: Arc<Model>,
    pub(super) pool: Pool,
    scratch: Scratch,
    /// Predictions given out; those that nobody else holds any more are written again.
    said: Vec<Arc<Prediction>>,
    /// Forward passes made.
    pub(super) steps: u64,
    /// Rows computed in them.
    pub(super) rows: u64,
}

/// Rows that look at the same stretch of keys.
#[derive(Debug, Clone)]
struct Looks {
    rows: std::ops::Range<usize>,
    /// A feed that has the stretch, which part of its line it is, its place in the text, and as many tokens as the row that sees most of it sees.
    feed: usize,
    part: usize,
    at: usize,
    tokens: usize,
}

#[derive(Debug, Default)]
struct Scratch {
    /// Feed and place within the feed of each row.
    rows: Vec<(usize, usize)>,
    positions: Vec<usize>,
    /// Which rows look at which keys, in the order of the text.
    looks: Vec<Looks>,
    hands: Hands,
    x: Vec<f32>,
    normed: Vec<f32>,
    qkv: Vec<f32>,
    attention: Vec<f32>,
    added: Vec<f32>,
    gate_up: Vec<f32>,
    act: Vec<f32>,
    scores: Vec<f32>,
    /// Floats for the scores of one query.
    room: usize,
    cos: Vec<f32>,
    sin: Vec<f32>,
    logits: Vec<f32>,
}

impl Engine {
    pub(super) fn new(model: Arc<Model>) -> Self {
        let pool = Pool::new(model.kv_shape());
        let mut scratch = Scratch::default();
        scratch.hands.team.clone_from(&model.team);
        Self {
            model,
            pool,
            scratch,
            said: Vec::new(),
            steps: 0,
            rows: 0,
        }
    }

    pub(super) fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// Reads a text of any length into one line and predicts what follows it.
    ///
    /// A cancelled or failed call leaves a line that must be dropped.
    pub(super) fn read(
        &mut self,
        sequence: &mut Sequence,
        tokens: &[u32],
        position: usize,
        cancel: &Cancel,
    ) -> Result<Arc<Prediction>, Interrupt> {
        let mut last = None;
        let chunks = tokens.len().div_ceil(CHUNK_ROWS);
        for (i, chunk) in tokens.chunks(CHUNK_ROWS).enumerate() {
            let wanted = if i + 1 == chunks {
                Wanted::Last
            } else {
                Wanted::None
            };
            let feed = Feed {
                sequence,
                tokens: chunk,
                wanted,
            };
            let said = self.forward(&mut [feed], position, cancel)?;
            last = said.first().cloned();
        }
        last.ok_or_else(|| DecodeError::NoCandidates { position }.into())
    }

    /// Adds the tokens of each feed to its line, all in one pass; returns the predictions wanted, feed by feed.
    ///
    /// `position` is the place in the text, for messages. When cancelled or failed, every line is as it was. Once as many rows and
    /// positions were seen before, nothing is allocated, but a page of keys and values now and then.
    pub(super) fn forward(
        &mut self,
        feeds: &mut [Feed<'_>],
        position: usize,
        cancel: &Cancel,
    ) -> Result<&[Arc<Prediction>], Interrupt> {
        let model = Arc::clone(&self.model);
        let config = &model.config;
        self.begin(feeds)?;
        let rows = self.scratch.rows.len();
        for layer in 0..config.layers {
            if cancel.is_requested() {
                return Err(Interrupt::Cancelled);
            }
            // As many layers as the configuration says: `Model::read` made them so.
            self.attention(&model.layers[layer], layer, feeds)?;
            let (layer, s) = (&model.layers[layer], &mut self.scratch);
            if cancel.is_requested() {
                return Err(Interrupt::Cancelled);
            }
            let hidden = config.hidden;
            for (x, normed) in
                s.x.chunks_exact(hidden)
                    .zip(s.normed.chunks_exact_mut(hidden))
            {
                kernel::rms_norm(x, &layer.mlp_norm, config.norm_eps, normed);
            }
            layer
                .gate_up
                .forward(&s.normed, rows, &mut s.gate_up, &mut s.hands)?;
            let inter = config.intermediate;
            for (both, act) in s
                .gate_up
                .chunks_exact(2 * inter)
                .zip(s.act.chunks_exact_mut(inter))
            {
                let (gate, up) = both.split_at(inter);
                kernel::silu_times(gate, up, act);
            }
            if cancel.is_requested() {
                return Err(Interrupt::Cancelled);
            }
            layer
                .down
                .forward(&s.act, rows, &mut s.added, &mut s.hands)?;
            s.x.iter_mut()
                .zip(&s.added)
                .for_each(|(x, added)| *x += added);
        }
        if cancel.is_requested() {
            return Err(Interrupt::Cancelled);
        }
        let wanted = self.predict(feeds, position)?;
        for feed in feeds {
            feed.sequence.accept(feed.tokens.len());
        }
        self.steps += 1;
        self.rows += rows as u64;
        Ok(&self.said[..wanted])
    }

    /// Lays out the rows, embeds their tokens and finds the angles of their positions.
    fn begin(&mut self, feeds: &mut [Feed<'_>]) -> Result<(), Interrupt> {
        let config = &self.model.config;
        let s = &mut self.scratch;
        s.rows.clear();
        s.positions.clear();
        for (f, feed) in feeds.iter_mut().enumerate() {
            feed.sequence.reserve(feed.tokens.len(), &mut self.pool);
            s.rows.extend((0..feed.tokens.len()).map(|t| (f, t)));
            s.positions
                .extend((0..feed.tokens.len()).map(|t| feed.sequence.len() + t));
        }
        let rows = s.rows.len();
        let qkv = (config.heads + 2 * config.kv_heads) * config.head_dim;
        s.x.resize(rows * config.hidden, 0.0);
        s.normed.resize(rows * config.hidden, 0.0);
        s.added
            .resize(rows * config.hidden.max(config.head_dim), 0.0);
        s.qkv.resize(rows * qkv, 0.0);
        let value = config.head_dim.next_multiple_of(PAGE);
        s.attention.resize(rows * config.heads * value, 0.0);
        s.gate_up.resize(rows * 2 * config.intermediate, 0.0);
        s.act.resize(rows * config.intermediate, 0.0);
        who_looks_where(feeds, &s.rows, &s.positions, &mut s.looks);
        let longest = s.positions.iter().max().map_or(0, |p| p + 1);
        s.room = (longest + PAGE).next_multiple_of(PAGE);
        s.scores.resize(rows * config.heads * s.room, 0.0);
        let pairs = config.head_dim / 2;
        s.cos.resize(rows * pairs, 0.0);
        s.sin.resize(rows * pairs, 0.0);
        for (r, &(f, t)) in s.rows.iter().enumerate() {
            let token = feeds[f].tokens[t]; // rows were made from the feeds just above
            if token as usize >= config.vocabulary {
                return Err(DecodeError::UnknownToken {
                    token,
                    vocabulary: config.vocabulary,
                }
                .into());
            }
            self.model.embedding.row(
                token as usize,
                &mut s.x[r * config.hidden..(r + 1) * config.hidden],
            )?;
            let position = s.positions[r] as f32;
            let angles = s.cos[r * pairs..].iter_mut().zip(&mut s.sin[r * pairs..]);
            for ((cos, sin), frequency) in angles.zip(&self.model.frequencies) {
                (*sin, *cos) = (position * frequency).sin_cos();
            }
        }
        Ok(())
    }

    /// The attention block of one layer, added to the residual stream.
    fn attention(
        &mut self,
        layer: &Layer,
        index: usize,
        feeds: &mut [Feed<'_>],
    ) -> Result<(), Interrupt> {
        let config = &self.model.config;
        let s = &mut self.scratch;
        let (rows, hidden, d) = (s.rows.len(), config.hidden, config.head_dim);
        let (q_width, kv_width) = (config.heads * d, config.kv_heads * d);
        for (x, normed) in
            s.x.chunks_exact(hidden)
                .zip(s.normed.chunks_exact_mut(hidden))
        {
            kernel::rms_norm(x, &layer.attention_norm, config.norm_eps, normed);
        }
        layer
            .qkv
            .forward(&s.normed, rows, &mut s.qkv, &mut s.hands)?;
        for (r, row) in s.qkv.chunks_exact_mut(q_width + 2 * kv_width).enumerate() {
            let (cos, sin) = (
                &s.cos[r * d / 2..(r + 1) * d / 2],
                &s.sin[r * d / 2..(r + 1) * d / 2],
            );
            let (turned, value) = row.split_at_mut(q_width + kv_width);
            for (h, head) in turned.chunks_exact_mut(d).enumerate() {
                if let Some(norms) = &layer.head_norms {
                    let weight = if h < config.heads {
                        &norms.query
                    } else {
                        &norms.key
                    };
                    let plain = &mut s.added[..d]; // free until the output projection, and long enough
                    plain.copy_from_slice(head);
                    kernel::rms_norm(plain, weight, config.norm_eps, head);
                }
                kernel::rotate(head, cos, sin);
            }
            let (f, t) = s.rows[r];
            feeds[f].sequence.write(index, t, &turned[q_width..], value);
        }
        let of = |rows: usize| Queries {
            heads: self.model.kv_shape().heads,
            rows,
            row: q_width + 2 * kv_width,
            room: s.room,
        };
        let (scale, room) = (self.model.score_scale, s.room);
        for looks in &s.looks {
            let q = &s.qkv[looks.rows.start * (q_width + 2 * kv_width)..];
            let scores = &mut s.scores[looks.rows.start * config.heads * room..];
            let sequence = &feeds[looks.feed].sequence;
            if let Some(stretch) = sequence.stretch(index, looks.part, looks.at, looks.tokens) {
                attention::scores(&of(looks.rows.len()), q, &stretch, scale, scores);
            }
        }
        for (row, scores) in s.scores.chunks_exact_mut(config.heads * room).enumerate() {
            for scores in scores.chunks_exact_mut(room) {
                let (seen, unseen) = scores.split_at_mut(s.positions[row] + 1);
                let hidden = seen.len().saturating_sub(layer.window);
                let (before, seen) = seen.split_at_mut(hidden);
                before.fill(0.0);
                attention::softmax(seen);
                unseen.fill(0.0);
            }
        }
        let value = config.heads * of(1).heads.value();
        s.attention.resize(rows * value, 0.0);
        s.attention.fill(0.0);
        for looks in &s.looks {
            let weights = &s.scores[looks.rows.start * config.heads * room..];
            let out = &mut s.attention[looks.rows.start * value..];
            let sequence = &feeds[looks.feed].sequence;
            if let Some(stretch) = sequence.stretch(index, looks.part, looks.at, looks.tokens) {
                attention::values(&of(looks.rows.len()), weights, &stretch, out);
            }
        }
        if value != q_width {
            // Values lie in whole registers; the output matrix wants the elements alone.
            for head in 0..rows * config.heads {
                let from = head * of(1).heads.value();
                s.attention.copy_within(from..from + d, head * d);
            }
        }
        layer
            .output
            .forward(&s.attention, rows, &mut s.added, &mut s.hands)?;
        s.x.iter_mut()
            .zip(&s.added)
            .for_each(|(x, added)| *x += added);
        Ok(())
    }

    /// Last norm and output matrix for the rows wanted; how many they are. Their predictions are the first of `said`.
    fn predict(&mut self, feeds: &[Feed<'_>], position: usize) -> Result<usize, Interrupt> {
        let model = &self.model;
        let (hidden, vocabulary) = (model.config.hidden, model.head.outputs());
        let s = &mut self.scratch;
        let mut wanted = 0;
        for (r, &(f, t)) in s.rows.iter().enumerate() {
            let last = t + 1 == feeds[f].tokens.len();
            if feeds[f].wanted == Wanted::All || (feeds[f].wanted == Wanted::Last && last) {
                let (x, normed) = (
                    &s.x[r * hidden..(r + 1) * hidden],
                    &mut s.normed[wanted * hidden..][..hidden],
                );
                kernel::rms_norm(x, &model.norm, model.config.norm_eps, normed);
                wanted += 1;
            }
        }
        if wanted == 0 {
            return Ok(0);
        }
        // Before it is rounded to whole numbers, among which there is no NaN.
        if !kernel::all_finite(&s.normed[..wanted * hidden]) {
            return Err(DecodeError::NonFinite { position }.into());
        }
        s.logits.resize(wanted * vocabulary, 0.0);
        model
            .head
            .forward(&s.normed, wanted, &mut s.logits, &mut s.hands)?;
        if !kernel::all_finite(&s.logits) {
            return Err(DecodeError::NonFinite { position }.into());
        }
        self.said.truncate(SAID_MAX.max(wanted));
        let each = s
            .logits
            .chunks_exact(vocabulary)
            .zip(s.normed.chunks_exact(hidden));
        for (n, (logits, state)) in each.enumerate() {
            let free = self.said[n..]
                .iter_mut()
                .position(|said| Arc::get_mut(said).is_some());
            let at = free.map_or(self.said.len(), |free| n + free);
            if free.is_none() {
                self.said.push(Arc::default());
            }
            self.said.swap(n, at);
            if let Some(said) = Arc::get_mut(&mut self.said[n]) {
                said.logits.clear();
                said.logits.extend_from_slice(logits);
                said.hidden.clear();
                said.hidden.extend_from_slice(state);
            }
        }
        Ok(wanted)
    }
}

/// Finds the rows that look at the same keys: all rows of one line, and those of all branches of one fork at what was before it.
fn who_looks_where(
    feeds: &[Feed<'_>],
    rows: &[(usize, usize)],
    positions: &[usize],
    looks: &mut Vec<Looks>,
) {
    looks.clear();
    for part in 0.. {
        let of = |row: usize| {
            let (feed, _) = rows[row]; // rows were made from the feeds
            let found = feeds[feed].sequence.parts().nth(part)?;
            Some((
                found,
                (positions[row] + 1).saturating_sub(found.at).min(found.len),
            ))
        };
        let before = looks.len();
        let mut row = 0;
        while row < rows.len() {
            let first = row;
            let here = of(row);
            row += 1;
            let Some((place, mut tokens)) = here else {
                continue;
            };
            while row < rows.len()
                && let Some((other, seen)) = of(row)
                && (other.address, other.at, other.len) == (place.address, place.at, place.len)
            {
                tokens = tokens.max(seen);
                row += 1;
            }
            if tokens > 0 {
                looks.push(Looks {
                    rows: first..row,
                    feed: rows[first].0,
                    part,
                    at: place.at,
                    tokens,
                });
            }
        }
        if looks.len() == before {
            break;
        }
    }
}
