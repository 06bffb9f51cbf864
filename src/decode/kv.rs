//! Keys and values as a tree: shared segments that never change, and one open tail per line of text.
//!
//! A line of text is a list of spans, each looking at the first tokens of a shared segment, then a tail that only this
//! line writes to. A fork seals the tail into a shared segment and gives each branch a tail of its own; a commit is the
//! chosen branch's list taking the trunk's place. Nothing is ever copied, and taking text back is a shorter list.

use std::sync::Arc;

/// Tokens in a tail; a fork wastes at most this much room less one.
pub(super) const PAGE_TOKENS: usize = 16;
/// Pages kept for the next branches instead of being freed.
const POOL_PAGES_MAX: usize = 64;

/// What a segment holds per token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KvShape {
    pub(super) layers: usize,
    /// Key heads times head width, floats.
    pub(super) width: usize,
}

/// Keys and values of a run of tokens: `[layer][token][width]` each.
#[derive(Debug)]
pub(super) struct Segment {
    keys: Box<[f32]>,
    values: Box<[f32]>,
    capacity: usize,
    len: usize,
}

impl Segment {
    fn new(shape: KvShape, capacity: usize) -> Self {
        let floats = shape.layers * capacity * shape.width;
        Self {
            keys: vec![0.0; floats].into(),
            values: vec![0.0; floats].into(),
            capacity,
            len: 0,
        }
    }

    fn range(
        &self,
        shape: KvShape,
        layer: usize,
        from: usize,
        tokens: usize,
    ) -> std::ops::Range<usize> {
        let begin = (layer * self.capacity + from) * shape.width;
        begin..begin + tokens * shape.width
    }
}

/// The first tokens of a shared segment.
#[derive(Debug, Clone)]
struct Span {
    segment: Arc<Segment>,
    len: usize,
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
        let shared = sequence
            .spans
            .into_iter()
            .filter_map(|span| Arc::into_inner(span.segment));
        for segment in shared.chain(sequence.tail) {
            if segment.capacity == PAGE_TOKENS && self.free.len() < POOL_PAGES_MAX {
                self.free.push(segment);
            }
        }
    }
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
            let range = tail.range(shape, layer, tail.len + ahead, 1);
            tail.keys[range.clone()].copy_from_slice(key);
            tail.values[range].copy_from_slice(value);
        }
    }

    /// Accepts the tokens written: they are part of the line from now on.
    pub(super) fn accept(&mut self, tokens: usize) {
        if let Some(tail) = &mut self.tail {
            tail.len += tokens;
        }
    }

    /// The first `tokens` tokens of one layer, run by run: position of the run, keys, values. Counts written tokens that
    /// are not yet accepted.
    pub(super) fn runs(
        &self,
        layer: usize,
        tokens: usize,
    ) -> impl Iterator<Item = (usize, &[f32], &[f32])> {
        let mut at = 0;
        let spans = self.spans.iter().map(|span| (&*span.segment, span.len));
        let tail = self.tail.iter().map(|tail| (tail, usize::MAX));
        spans.chain(tail).map_while(move |(segment, len)| {
            let n = len.min(tokens - at);
            if n == 0 {
                return None;
            }
            let range = segment.range(self.shape, layer, 0, n);
            let run = (at, &segment.keys[range.clone()], &segment.values[range]);
            at += n;
            Some(run)
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
mod tests {
    use super::*;

    const SHAPE: KvShape = KvShape {
        layers: 2,
        width: 3,
    };

    fn push(line: &mut Sequence, pool: &mut Pool, x: f32) {
        line.reserve(1, pool);
        for layer in 0..2 {
            line.write(layer, 0, &[x; 3], &[-x; 3]);
        }
        line.accept(1);
    }

    fn read(line: &Sequence) -> Vec<f32> {
        let mut out = Vec::new();
        for (at, keys, values) in line.runs(1, line.len()) {
            assert_eq!(at, out.len());
            assert!(keys.iter().zip(values).all(|(k, v)| *k == -*v));
            out.extend(keys.iter().step_by(3));
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
