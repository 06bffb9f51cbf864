//! Keys and values as a tree: shared segments that never change, and one open tail per line of text.
//!
//! A line of text is a list of spans, each looking at the first tokens of a shared segment, then a tail that only this
//! line writes to. A fork seals the tail into a shared segment and gives each branch a tail of its own; a commit is the
//! chosen branch's list taking the trunk's place. Neither copies anything, and taking text back is a shorter list. What forks
//! have cut into short segments is copied together later, while text is written (`join`).

use std::sync::Arc;

use super::attention::{Heads, PAGE, Stretch};

/// Tokens in a tail: one page of the attention; a fork wastes at most this much room less one.
pub(super) const PAGE_TOKENS: usize = PAGE;
/// Pages kept for the next branches instead of being freed.
const POOL_PAGES_MAX: usize = 64;

/// What a segment holds per token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KvShape {
    pub(super) layers: usize,
    pub(super) heads: Heads,
}

impl KvShape {
    /// Floats of the keys and of the values of one layer of so many pages.
    const fn layer(self, pages: usize) -> (usize, usize) {
        let (keys, values) = self.heads.page();
        (pages * keys, pages * values)
    }
}

/// Keys and values of a run of tokens: for each layer pages as [`super::attention`] reads them.
#[derive(Debug)]
pub(super) struct Segment {
    keys: Box<[f32]>,
    values: Box<[f32]>,
    capacity: usize,
    len: usize,
}

impl Segment {
    fn new(shape: KvShape, capacity: usize) -> Self {
        let pages = capacity.div_ceil(PAGE);
        let (keys, values) = shape.layer(pages);
        Self {
            keys: vec![0.0; shape.layers * keys].into(),
            values: vec![0.0; shape.layers * values].into(),
            capacity: pages * PAGE,
            len: 0,
        }
    }

    fn pages(&self) -> usize {
        self.capacity / PAGE
    }

    /// Tokens in it.
    pub(super) const fn len(&self) -> usize {
        self.len
    }
}

/// The first tokens of a shared segment.
#[derive(Debug, Clone)]
pub(super) struct Span {
    segment: Arc<Segment>,
    len: usize,
}

impl Span {
    /// The first `len` tokens of a segment.
    pub(super) const fn of(segment: Arc<Segment>, len: usize) -> Self {
        Self { segment, len }
    }

    /// How many tokens it looks at.
    pub(super) const fn tokens(&self) -> usize {
        self.len
    }

    /// Whether both look at the same segment.
    pub(super) fn is_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.segment, &other.segment)
    }
}

/// Empty pages waiting for a line to write to.
#[derive(Debug)]
pub(super) struct Pool {
    shape: KvShape,
    free: Vec<Segment>,
}

impl Pool {
    pub(super) fn new(shape: KvShape) -> Self {
        Self {
            shape,
            free: Vec::with_capacity(POOL_PAGES_MAX),
        }
    }

    /// Has at least `pages` pages ready, so that a fork allocates none.
    pub(super) fn prepare(&mut self, pages: usize) {
        while self.free.len() < pages.min(POOL_PAGES_MAX) {
            self.free.push(Segment::new(self.shape, PAGE_TOKENS));
        }
    }

    fn take(&mut self, capacity: usize) -> Segment {
        if capacity <= PAGE_TOKENS
            && let Some(mut page) = self.free.pop()
        {
            page.len = 0;
            return page;
        }
        Segment::new(self.shape, capacity.max(PAGE_TOKENS))
    }

    /// Takes back what a dropped line alone still held.
    pub(super) fn recycle(&mut self, sequence: Sequence) {
        self.recycle_pieces(sequence.spans);
        sequence.tail.into_iter().for_each(|tail| self.keep(tail));
    }

    /// Takes back those of the pieces that nobody looks at any more.
    pub(super) fn recycle_pieces(&mut self, pieces: Vec<Span>) {
        for segment in pieces
            .into_iter()
            .filter_map(|span| Arc::into_inner(span.segment))
        {
            self.keep(segment);
        }
    }

    fn keep(&mut self, segment: Segment) {
        if segment.capacity == PAGE_TOKENS && self.free.len() < POOL_PAGES_MAX {
            self.free.push(segment);
        }
    }

    #[cfg(test)]
    pub(super) fn pages_free(&self) -> usize {
        self.free.len()
    }
}

/// Which segment a part of a line is, and where in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    /// Two parts at the same address are the same keys and values.
    pub(super) address: usize,
    pub(super) at: usize,
    pub(super) len: usize,
}

/// The keys and values of one line of text.
#[derive(Debug)]
pub(super) struct Sequence {
    shape: KvShape,
    spans: Vec<Span>,
    /// Tokens in `spans`.
    sealed: usize,
    tail: Option<Segment>,
}

impl Sequence {
    /// A line without tokens.
    pub(super) fn new(shape: KvShape) -> Self {
        Self {
            shape,
            spans: Vec::new(),
            sealed: 0,
            tail: None,
        }
    }

    /// Tokens in the line; the position of the next one.
    pub(super) fn len(&self) -> usize {
        self.sealed + self.tail.as_ref().map_or(0, |tail| tail.len)
    }

    /// A second line that shares everything so far. Allocates a list, copies no keys.
    pub(super) fn fork(&mut self) -> Self {
        self.seal();
        self.view(self.sealed)
    }

    /// A line that shares the first `len` tokens. Sealed tokens only.
    pub(super) fn view(&self, len: usize) -> Self {
        debug_assert!(len <= self.sealed);
        let mut spans = Vec::with_capacity(self.spans.len() + 4);
        let mut left = len;
        for span in &self.spans {
            if left == 0 {
                break;
            }
            let len = span.len.min(left);
            spans.push(Span {
                segment: Arc::clone(&span.segment),
                len,
            });
            left -= len;
        }
        Self {
            shape: self.shape,
            spans,
            sealed: len,
            tail: None,
        }
    }

    /// What is sealed, in the order of the text.
    pub(super) fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// An empty segment with room for so many tokens of a line of this shape.
    pub(super) fn segment(&self, tokens: usize) -> Segment {
        Segment::new(self.shape, tokens)
    }

    /// Copies `tokens` tokens of a span, from token `at` on, behind what a segment holds; there must be room.
    pub(super) fn copy(&self, span: &Span, at: usize, tokens: usize, into: &mut Segment) {
        let from = &*span.segment;
        let (source, target) = (from.pages(), into.pages());
        for layer in 0..self.shape.layers {
            let ((k, v), (to_k, to_v)) = (self.shape.layer(source), self.shape.layer(target));
            self.shape.heads.copy(
                tokens,
                (&from.keys[layer * k..][..k], &from.values[layer * v..][..v]),
                at,
                (
                    &mut into.keys[layer * to_k..][..to_k],
                    &mut into.values[layer * to_v..][..to_v],
                ),
                into.len,
            );
        }
        into.len += tokens;
    }

    /// Lets the line look at one span instead of several with the same tokens.
    pub(super) fn replace(&mut self, spans: std::ops::Range<usize>, by: Span) {
        debug_assert_eq!(
            by.len,
            self.spans[spans.clone()]
                .iter()
                .map(Span::tokens)
                .sum::<usize>()
        );
        self.spans.splice(spans, [by]);
    }

    /// Makes the tail part of what can be shared.
    pub(super) fn seal(&mut self) {
        if let Some(tail) = self.tail.take_if(|tail| tail.len > 0) {
            let len = tail.len;
            self.sealed += len;
            self.spans.push(Span {
                segment: Arc::new(tail),
                len,
            });
        }
    }

    /// Has a tail with room for `tokens` more.
    pub(super) fn reserve(&mut self, tokens: usize, pool: &mut Pool) {
        if self
            .tail
            .as_ref()
            .is_none_or(|tail| tail.capacity - tail.len < tokens)
        {
            self.seal();
            self.tail = Some(pool.take(tokens));
        }
    }

    /// Writes one token's keys and values behind the `ahead` not yet accepted ones. They count from [`Sequence::accept`] on.
    pub(super) fn write(&mut self, layer: usize, ahead: usize, key: &[f32], value: &[f32]) {
        let shape = self.shape;
        if let Some(tail) = &mut self.tail {
            let (k, v) = shape.layer(tail.pages());
            let pages = (
                &mut tail.keys[layer * k..(layer + 1) * k],
                &mut tail.values[layer * v..(layer + 1) * v],
            );
            shape.heads.write(tail.len + ahead, (key, value), pages);
        }
    }

    /// Accepts the tokens written: they are part of the line from now on.
    pub(super) fn accept(&mut self, tokens: usize) {
        if let Some(tail) = &mut self.tail {
            tail.len += tokens;
        }
    }

    /// The parts that the line is made of, in order: of each, where it lies in memory, its place in the text, and how many tokens it may hold.
    pub(super) fn parts(&self) -> impl Iterator<Item = Part> {
        let mut at = 0;
        let spans = self.spans.iter().map(|span| (&*span.segment, span.len));
        let tail = self.tail.iter().map(|tail| (tail, tail.capacity));
        spans.chain(tail).map(move |(segment, len)| {
            let part = Part {
                address: std::ptr::from_ref(segment).addr(),
                at,
                len,
            };
            at += len;
            part
        })
    }

    /// The first `tokens` tokens of one part, in one layer; written tokens that are not yet accepted may be among them.
    pub(super) fn stretch(
        &self,
        layer: usize,
        part: usize,
        at: usize,
        tokens: usize,
    ) -> Option<Stretch<'_>> {
        let segment = match self.spans.get(part) {
            Some(span) => &*span.segment,
            None => self.tail.as_ref()?,
        };
        let (k, v) = self.shape.layer(segment.pages());
        let (key_page, value_page) = self.shape.heads.page();
        let pages = tokens.div_ceil(PAGE);
        Some(Stretch {
            keys: &segment.keys[layer * k..][..pages * key_page],
            values: &segment.values[layer * v..][..pages * value_page],
            at,
            tokens,
        })
    }

    /// Bytes of keys and values that hang on this line behind its first `shared` tokens.
    pub(super) fn bytes_behind(&self, shared: usize) -> usize {
        let mut at = 0;
        let mut floats = 0;
        for span in &self.spans {
            if at >= shared {
                floats += span.segment.keys.len() + span.segment.values.len();
            }
            at += span.len;
        }
        floats += self
            .tail
            .as_ref()
            .map_or(0, |tail| tail.keys.len() + tail.values.len());
        floats * size_of::<f32>()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::decode) const SHAPE: KvShape = KvShape {
        layers: 2,
        heads: Heads {
            dim: 3,
            group: 1,
            kv: 1,
        },
    };

    pub(in crate::decode) fn push(line: &mut Sequence, pool: &mut Pool, x: f32) {
        line.reserve(1, pool);
        for layer in 0..2 {
            line.write(layer, 0, &[x; 3], &[-x; 3]);
        }
        line.accept(1);
    }

    pub(in crate::decode) fn read(line: &Sequence) -> Vec<f32> {
        let mut out = Vec::new();
        let (key_page, value_page) = SHAPE.heads.page();
        for (number, part) in line.parts().enumerate() {
            assert_eq!(part.at, out.len());
            let tokens = part.len.min(line.len() - part.at);
            let stretch = line.stretch(1, number, part.at, tokens).unwrap();
            for t in 0..tokens {
                let key = stretch.keys[t / PAGE * key_page + t % PAGE];
                let value = stretch.values[t / PAGE * value_page + t % PAGE * SHAPE.heads.value()];
                assert!((key + value).abs() == 0.0);
                out.push(key);
            }
        }
        out
    }

    #[test]
    fn branches_share_what_was_and_never_see_each_other() {
        let mut pool = Pool::new(SHAPE);
        let mut trunk = Sequence::new(SHAPE);
        let expected: Vec<f32> = (0_u8..20).map(f32::from).collect();
        for x in &expected {
            push(&mut trunk, &mut pool, *x);
        }
        let (mut a, mut b) = (trunk.fork(), trunk.fork());
        for i in 0_u8..40 {
            push(&mut a, &mut pool, 100.0 + f32::from(i));
            push(&mut b, &mut pool, 200.0 + f32::from(i));
        }
        push(&mut trunk, &mut pool, 300.0);
        assert_eq!(read(&trunk)[..20], expected);
        assert_eq!(read(&trunk)[20..], [300.0]);
        assert_eq!(read(&a)[..20], expected);
        assert_eq!(
            read(&a)[20..],
            (0_u8..40).map(|i| 100.0 + f32::from(i)).collect::<Vec<_>>()
        );
        assert_eq!(
            read(&b)[20..],
            (0_u8..40).map(|i| 200.0 + f32::from(i)).collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_view_is_the_beginning_and_what_is_written_behind_it_stays_its_own() {
        let mut pool = Pool::new(SHAPE);
        let mut line = Sequence::new(SHAPE);
        for i in 0_u8..50 {
            push(&mut line, &mut pool, f32::from(i));
        }
        line.seal();
        let whole = read(&line);
        for len in [0, 1, 15, 16, 17, 49, 50] {
            let mut view = line.view(len);
            assert_eq!(read(&view), whole[..len]);
            push(&mut view, &mut pool, -1.0);
            assert_eq!(view.len(), len + 1);
            assert_eq!(read(&line), whole);
            pool.recycle(view);
        }
    }

    #[test]
    fn written_tokens_do_not_count_before_they_are_accepted() {
        let mut pool = Pool::new(SHAPE);
        let mut line = Sequence::new(SHAPE);
        push(&mut line, &mut pool, 1.0);
        line.reserve(1, &mut pool);
        line.write(0, 0, &[9.0; 3], &[9.0; 3]);
        assert_eq!(line.len(), 1);
        push(&mut line, &mut pool, 2.0);
        assert_eq!(read(&line), [1.0, 2.0]);
    }

    #[test]
    fn recycled_pages_come_back_only_when_nobody_shares_them() {
        let mut pool = Pool::new(SHAPE);
        let mut trunk = Sequence::new(SHAPE);
        push(&mut trunk, &mut pool, 1.0);
        let branch = trunk.fork();
        pool.recycle(branch);
        assert_eq!(pool.free.len(), 0, "the trunk still holds the page");
        pool.recycle(trunk);
        assert_eq!(pool.free.len(), 1);
    }
}
