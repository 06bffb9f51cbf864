//! Attention over pages of sixteen tokens, for several queries that look at the same keys.
//!
//! Keys lie with the token as the fastest index, so that one register holds the same element of sixteen keys and a score needs no horizontal sum;
//! values lie with the element as the fastest, so that what they add to needs none either. Each key and value is read once for all queries: the
//! heads of a group, and all branches behind a fork. Every sum is fused and in the order of its index alone, so a query's answer has the same bits beside any
//! others, on any processor.

/// Tokens of a page.
pub(super) const PAGE: usize = 16;

type Lanes = [f32; PAGE];

/// How heads lie in keys, values and queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Heads {
    /// Width of one head.
    pub(super) dim: usize,
    /// Query heads per key head.
    pub(super) group: usize,
    /// Key heads.
    pub(super) kv: usize,
}

impl Heads {
    /// Floats of a page of keys of one key head.
    const fn keys(self) -> usize {
        self.dim * PAGE
    }

    /// Width of a value: whole registers.
    pub(super) const fn value(self) -> usize {
        self.dim.next_multiple_of(PAGE)
    }

    /// Floats of a page of values of one key head.
    const fn values(self) -> usize {
        self.value() * PAGE
    }

    /// Floats of a page of keys and of a page of values, all heads.
    pub(super) const fn page(self) -> (usize, usize) {
        (self.kv * self.keys(), self.kv * self.values())
    }

    /// Copies `tokens` tokens of one run of pages, from token `from` on, to token `to` of another.
    pub(super) fn copy(
        self,
        tokens: usize,
        source: (&[f32], &[f32]),
        from: usize,
        target: (&mut [f32], &mut [f32]),
        to: usize,
    ) {
        let ((key_page, value_page), width) = (self.page(), self.value());
        let mut done = 0;
        while done < tokens {
            let ((page, lane), (to_page, to_lane)) = (place(from + done), place(to + done));
            let count = (PAGE - lane.max(to_lane)).min(tokens - done);
            let keys = source.0[page * key_page..][..key_page].chunks_exact(PAGE);
            let targets = target.0[to_page * key_page..][..key_page].chunks_exact_mut(PAGE);
            for (target, keys) in targets.zip(keys) {
                target[to_lane..to_lane + count].copy_from_slice(&keys[lane..lane + count]);
            }
            let values = source.1[page * value_page..][..value_page].chunks_exact(self.values());
            let targets =
                target.1[to_page * value_page..][..value_page].chunks_exact_mut(self.values());
            for (target, values) in targets.zip(values) {
                target[to_lane * width..][..count * width]
                    .copy_from_slice(&values[lane * width..][..count * width]);
            }
            done += count;
        }
    }

    /// Query heads.
    pub(super) const fn queries(self) -> usize {
        self.group * self.kv
    }

    /// Writes the key and value of one token into its pages.
    pub(super) fn write(self, token: usize, kv: (&[f32], &[f32]), pages: (&mut [f32], &mut [f32])) {
        let (key_page, value_page) = self.page();
        let (page, lane) = place(token);
        let keys = &mut pages.0[page * key_page..][..key_page];
        for (place, x) in keys.chunks_exact_mut(PAGE).zip(kv.0) {
            place[lane] = *x;
        }
        let values = &mut pages.1[page * value_page..][..value_page];
        let each = values.chunks_exact_mut(self.values());
        for (values, value) in each.zip(kv.1.chunks_exact(self.dim)) {
            values[lane * self.value()..][..self.dim].copy_from_slice(value);
        }
    }
}

/// Page and place in it of a token.
const fn place(token: usize) -> (usize, usize) {
    (token / PAGE, token % PAGE)
}

/// A stretch of tokens that several rows look at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stretch<'a> {
    /// Pages of one layer: `[page][key head][element][token]`.
    pub(super) keys: &'a [f32],
    /// `[page][key head][token][element]`.
    pub(super) values: &'a [f32],
    /// Its first token's place in the text.
    pub(super) at: usize,
    /// Tokens of it.
    pub(super) tokens: usize,
}

/// Queries of some rows, and where their scores go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Queries {
    pub(super) heads: Heads,
    pub(super) rows: usize,
    /// Floats from the queries of one row to those of the next.
    pub(super) row: usize,
    /// Room for the scores of one query: whole pages beyond the longest text, floats.
    pub(super) room: usize,
}

macro_rules! loops {
    ($(#[$feature:meta])*) => {
        /// Scores of `M` queries with `P` pages of keys.
        $(#[$feature])*
        #[inline]
        fn scored<const M: usize, const P: usize>(q: [&[f32]; M], pages: [&[f32]; P]) -> [[super::Lanes; P]; M] {
            let pages = pages.map(|page| page.as_chunks::<{ super::PAGE }>().0);
            let mut sums = [[[0.0; super::PAGE]; P]; M];
            for d in 0..q[0].len() {
                let keys: [_; P] = std::array::from_fn(|p| pages[p][d]);
                let x: [_; M] = std::array::from_fn(|m| q[m][d]);
                for m in 0..M {
                    for p in 0..P {
                        for l in 0..super::PAGE {
                            sums[m][p][l] = keys[p][l].mul_add(x[m], sums[m][p][l]);
                        }
                    }
                }
            }
            sums
        }

        $(#[$feature])*
        #[inline]
        fn score<const M: usize, const P: usize>(
            of: &super::Queries, q: &[f32], (head, first): (usize, usize), stretch: &super::Stretch<'_>, scale: f32, scores: &mut [f32],
        ) {
            let (heads, (page, _)) = (of.heads, of.heads.page());
            let place = |m: usize| {
                let (row, query) = ((first + m) / heads.group, head * heads.group + (first + m) % heads.group);
                (row, query)
            };
            let q: [&[f32]; M] = std::array::from_fn(|m| {
                let (row, query) = place(m);
                &q[row * of.row + query * heads.dim..][..heads.dim]
            });
            let pages = stretch.tokens.div_ceil(super::PAGE);
            let keys = |p: usize| &stretch.keys[p * page + head * heads.keys()..][..heads.keys()];
            let mut put = |m: usize, p: usize, sums: super::Lanes| {
                let (row, query) = place(m);
                let at = (row * heads.queries() + query) * of.room + stretch.at + p * super::PAGE;
                for (score, sum) in scores[at..at + super::PAGE].iter_mut().zip(sums) {
                    *score = sum * scale;
                }
            };
            let mut p = 0;
            while p + P <= pages {
                let sums = scored::<M, P>(q, std::array::from_fn(|i| keys(p + i)));
                for (m, sums) in sums.into_iter().enumerate() {
                    for (i, sums) in sums.into_iter().enumerate() {
                        put(m, p + i, sums);
                    }
                }
                p += P;
            }
            while p < pages {
                for (m, [sums]) in scored::<M, 1>(q, [keys(p)]).into_iter().enumerate() {
                    put(m, p, sums);
                }
                p += 1;
            }
        }

        $(#[$feature])*
        pub(super) fn scores(of: &super::Queries, q: &[f32], stretch: &super::Stretch<'_>, scale: f32, scores: &mut [f32]) {
            for head in 0..of.heads.kv {
                let (all, mut first) = (of.rows * of.heads.group, 0);
                while first < all {
                    // As many sums at once as hide the time of one: eight and more.
                    first += match all - first {
                        1 => { score::<1, 8>(of, q, (head, first), stretch, scale, scores); 1 }
                        2 => { score::<2, 4>(of, q, (head, first), stretch, scale, scores); 2 }
                        3 | 5 => { score::<3, 4>(of, q, (head, first), stretch, scale, scores); 3 }
                        _ => { score::<4, 4>(of, q, (head, first), stretch, scale, scores); 4 }
                    };
                }
            }
        }

        /// Adds the values of a stretch, weighted, to `M` queries' answers, elements `16 C` from `from` on.
        $(#[$feature])*
        #[inline]
        fn added<const M: usize, const C: usize>(
            of: &super::Queries, weights: [&[f32]; M], head: usize, from: usize, stretch: &super::Stretch<'_>, sums: &mut [[super::Lanes; C]; M],
        ) {
            let (heads, (_, page)) = (of.heads, of.heads.page());
            let mut local = *sums;
            let mut t = 0;
            for values in stretch.values.chunks_exact(page) {
                let values = &values[head * heads.values()..][..heads.values()];
                for value in values.chunks_exact(heads.value()) {
                    if t == stretch.tokens {
                        break;
                    }
                    let value = value[from..].as_chunks::<{ super::PAGE }>().0;
                    let value: [_; C] = std::array::from_fn(|c| value[c]);
                    for m in 0..M {
                        let w = weights[m][t];
                        for c in 0..C {
                            for l in 0..super::PAGE {
                                local[m][c][l] = value[c][l].mul_add(w, local[m][c][l]);
                            }
                        }
                    }
                    t += 1;
                }
            }
            *sums = local;
        }

        $(#[$feature])*
        #[inline]
        fn value<const M: usize, const C: usize>(
            of: &super::Queries, weights: &[f32], (head, first): (usize, usize), from: usize, stretch: &super::Stretch<'_>, out: &mut [f32],
        ) {
            let heads = of.heads;
            let place = |m: usize| {
                let (row, query) = ((first + m) / heads.group, head * heads.group + (first + m) % heads.group);
                row * heads.queries() + query
            };
            let weights: [&[f32]; M] = std::array::from_fn(|m| &weights[place(m) * of.room + stretch.at..][..stretch.tokens]);
            let mut sums = [[[0.0; super::PAGE]; C]; M];
            for (m, sums) in sums.iter_mut().enumerate() {
                let out = out[place(m) * heads.value() + from..].as_chunks::<{ super::PAGE }>().0;
                sums.copy_from_slice(&out[..C]);
            }
            added::<M, C>(of, weights, head, from, stretch, &mut sums);
            for (m, sums) in sums.iter().enumerate() {
                let out = out[place(m) * heads.value() + from..].as_chunks_mut::<{ super::PAGE }>().0;
                out[..C].copy_from_slice(sums);
            }
        }

        $(#[$feature])*
        pub(super) fn values(of: &super::Queries, weights: &[f32], stretch: &super::Stretch<'_>, out: &mut [f32]) {
            let width = of.heads.value();
            for head in 0..of.heads.kv {
                let all = of.rows * of.heads.group;
                let mut from = 0;
                while from < width {
                    let wide = width - from >= 4 * super::PAGE;
                    let mut first = 0;
                    while first < all {
                        let (three, at) = (all - first >= 3, (head, first));
                        match (three, wide) {
                            (true, true) => value::<3, 4>(of, weights, at, from, stretch, out),
                            (true, false) => value::<3, 1>(of, weights, at, from, stretch, out),
                            (false, true) => value::<1, 4>(of, weights, at, from, stretch, out),
                            (false, false) => value::<1, 1>(of, weights, at, from, stretch, out),
                        }
                        first += if three { 3 } else { 1 };
                    }
                    from += if wide { 4 * super::PAGE } else { super::PAGE };
                }
            }
        }

        /// Turns scores into weights that sum to 1.
        $(#[$feature])*
        pub(super) fn softmax(scores: &mut [f32]) {
            let mut most = [f32::NEG_INFINITY; super::PAGE];
            let (pages, rest) = scores.as_chunks_mut::<{ super::PAGE }>();
            for page in pages.iter() {
                for (most, x) in most.iter_mut().zip(page) {
                    *most = most.max(*x);
                }
            }
            let most = most.iter().chain(rest.iter()).copied().fold(f32::NEG_INFINITY, f32::max);
            let mut sums = [0.0; super::PAGE];
            for page in pages.iter_mut() {
                for (x, sum) in page.iter_mut().zip(&mut sums) {
                    *x = super::exp(*x - most);
                    *sum += *x;
                }
            }
            for (x, sum) in rest.iter_mut().zip(&mut sums) {
                *x = super::exp(*x - most);
                *sum += *x;
            }
            let scale = 1.0 / sums.iter().sum::<f32>();
            for x in scores {
                *x *= scale;
            }
        }
    };
}

/// `e^x` for `x <= 0`, to two units in the last place; 0 below -87. The same operations everywhere.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    // x = n ln 2 + r with |r| <= ln 2 / 2; ln 2 in two parts (Cody & Waite 1980); the polynomial is Taylor's up to r^7.
    let n = (x.max(-87.0) * std::f32::consts::LOG2_E).round_ties_even();
    let r = n.mul_add(-0.693_145_75, x.max(-87.0));
    let r = n.mul_add(-1.428_606_8e-6, r);
    let mut p = 1.0 / 5_040.0;
    for c in [
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
        1.0,
        1.0,
    ] {
        p = r.mul_add(p, c);
    }
    let two_to_n = f32::from_bits(((n as i32 + 127) as u32) << 23);
    if x < -87.0 { 0.0 } else { p * two_to_n }
}

mod portable {
    loops!();
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    loops!(#[target_feature(enable = "avx2,fma")]);
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    loops!(#[target_feature(enable = "avx512f,avx512dq,avx512vl,fma")]);
}

/// Defines the door to a loop: the widest that the processor has.
macro_rules! door {
    ($(#[$doc:meta])* $name:ident($($arg:ident: $ty:ty),* $(,)?)) => {
        $(#[$doc])*
        pub(super) fn $name($($arg: $ty),*) {
            #[cfg(target_arch = "x86_64")]
            if std::is_x86_feature_detected!("avx512f")
                && std::is_x86_feature_detected!("avx512dq")
                && std::is_x86_feature_detected!("avx512vl")
            {
                // SAFETY: the processor was just asked for the features that the loop is compiled for.
                return unsafe { avx512::$name($($arg),*) };
            } else if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
                // SAFETY: as above.
                return unsafe { avx2::$name($($arg),*) };
            }
            portable::$name($($arg),*);
        }
    };
}

door! {
    /// Scores of the queries of all rows with the keys of a stretch; up to a page's end beyond its tokens, where what is written means nothing.
    ///
    /// `q` is `[row][query head][element]`, `scores` `[row][query head][room]`.
    scores(of: &Queries, q: &[f32], stretch: &Stretch<'_>, scale: f32, scores: &mut [f32])
}
door! {
    /// Adds the values of a stretch, weighted; `out` is `[row][query head][value]`.
    values(of: &Queries, weights: &[f32], stretch: &Stretch<'_>, out: &mut [f32])
}
door! {
    /// Turns scores into weights that sum to 1, in place.
    softmax(scores: &mut [f32])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(n: usize, seed: u64) -> Vec<f32> {
        use rand::{RngExt, SeedableRng};
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        (0..n).map(|_| random.random_range(-1.0..1.0)).collect()
    }

    const SHAPES: [Heads; 4] = [
        Heads {
            dim: 64,
            group: 3,
            kv: 3,
        },
        Heads {
            dim: 32,
            group: 1,
            kv: 2,
        },
        Heads {
            dim: 10,
            group: 7,
            kv: 1,
        },
        Heads {
            dim: 80,
            group: 2,
            kv: 2,
        },
    ];

    struct Case {
        heads: Heads,
        rows: usize,
        tokens: usize,
        plain: (Vec<f32>, Vec<f32>),
        pages: (Vec<f32>, Vec<f32>),
        q: Vec<f32>,
    }

    impl Case {
        fn new(heads: Heads, rows: usize, tokens: usize) -> Self {
            let width = heads.kv * heads.dim;
            let plain = (noise(tokens * width, 1), noise(tokens * width, 2));
            let count = tokens.div_ceil(PAGE);
            let (k, v) = heads.page();
            let mut pages = (vec![0.0; count * k], vec![0.0; count * v]);
            for t in 0..tokens {
                let part = t * width..(t + 1) * width;
                heads.write(
                    t,
                    (&plain.0[part.clone()], &plain.1[part]),
                    (&mut pages.0, &mut pages.1),
                );
            }
            let q = noise(rows * heads.queries() * heads.dim, 3);
            Self {
                heads,
                rows,
                tokens,
                plain,
                pages,
                q,
            }
        }

        fn queries(&self) -> Queries {
            Queries {
                heads: self.heads,
                rows: self.rows,
                row: self.heads.queries() * self.heads.dim,
                room: self.tokens.next_multiple_of(PAGE),
            }
        }

        fn stretch(&self) -> Stretch<'_> {
            Stretch {
                keys: &self.pages.0,
                values: &self.pages.1,
                at: 0,
                tokens: self.tokens,
            }
        }

        fn answer(&self) -> Vec<f32> {
            let of = self.queries();
            let mut weights = vec![0.0; self.rows * self.heads.queries() * of.room];
            scores(&of, &self.q, &self.stretch(), 0.2, &mut weights);
            for each in weights.chunks_exact_mut(of.room) {
                softmax(&mut each[..self.tokens]);
            }
            let mut out = vec![0.0; self.rows * self.heads.queries() * self.heads.value()];
            values(&of, &weights, &self.stretch(), &mut out);
            out
        }

        /// By definition, in f64.
        fn exact(&self, row: usize, query: usize) -> Vec<f64> {
            let Heads { dim, group, kv } = self.heads;
            let head = query / group;
            let q = &self.q[(row * self.heads.queries() + query) * dim..][..dim];
            let of = |all: &[f32], t: usize, d: usize| f64::from(all[(t * kv + head) * dim + d]);
            let logits: Vec<f64> = (0..self.tokens)
                .map(|t| {
                    (0..dim)
                        .map(|d| f64::from(q[d]) * of(&self.plain.0, t, d))
                        .sum::<f64>()
                        * 0.2
                })
                .collect();
            let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let weights: Vec<f64> = logits.iter().map(|x| (x - most).exp()).collect();
            let sum: f64 = weights.iter().sum();
            (0..dim)
                .map(|d| {
                    (0..self.tokens)
                        .map(|t| weights[t] / sum * of(&self.plain.1, t, d))
                        .sum()
                })
                .collect()
        }
    }

    #[test]
    fn the_answer_is_that_of_the_definition() {
        for heads in SHAPES {
            for (rows, tokens) in [(1, 1), (3, 37), (1, 150), (5, 16)] {
                let case = Case::new(heads, rows, tokens);
                let out = case.answer();
                for row in 0..rows {
                    for query in 0..heads.queries() {
                        let found = &out[(row * heads.queries() + query) * heads.value()..];
                        for (found, exact) in found.iter().zip(case.exact(row, query)) {
                            assert!(
                                (f64::from(*found) - exact).abs() < 2e-6,
                                "{heads:?} {rows} {tokens}"
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_row_has_the_same_bits_alone_as_among_others() {
        for heads in SHAPES {
            let all = Case::new(heads, 5, 70);
            let together = all.answer();
            for row in 0..5 {
                let mut alone = Case::new(heads, 1, 70);
                let width = heads.queries() * heads.dim;
                alone.q = all.q[row * width..(row + 1) * width].to_vec();
                let width = heads.queries() * heads.value();
                assert_eq!(alone.answer(), together[row * width..(row + 1) * width]);
            }
        }
    }

    #[test]
    fn stretches_one_after_the_other_give_the_bits_of_one() {
        let heads = SHAPES[0];
        let case = Case::new(heads, 3, 70);
        let of = case.queries();
        let (k, v) = heads.page();
        let parts = [
            Stretch {
                tokens: 32,
                ..case.stretch()
            },
            Stretch {
                keys: &case.pages.0[2 * k..],
                values: &case.pages.1[2 * v..],
                at: 32,
                tokens: 38,
            },
        ];
        let mut weights = vec![0.0; 3 * heads.queries() * of.room];
        parts
            .iter()
            .for_each(|part| scores(&of, &case.q, part, 0.2, &mut weights));
        for each in weights.chunks_exact_mut(of.room) {
            softmax(&mut each[..70]);
        }
        let mut out = vec![0.0; 3 * heads.queries() * heads.value()];
        parts
            .iter()
            .for_each(|part| values(&of, &weights, part, &mut out));
        assert_eq!(out, case.answer());
    }

    #[test]
    fn every_kind_of_processor_gives_the_same_bits() {
        let case = Case::new(SHAPES[0], 3, 70);
        let of = case.queries();
        let mut weights = vec![0.0; 3 * of.heads.queries() * of.room];
        portable::scores(&of, &case.q, &case.stretch(), 0.2, &mut weights);
        for each in weights.chunks_exact_mut(of.room) {
            portable::softmax(&mut each[..70]);
        }
        let mut out = vec![0.0; 3 * of.heads.queries() * of.heads.value()];
        portable::values(&of, &weights, &case.stretch(), &mut out);
        assert_eq!(out, case.answer());
    }

    #[test]
    fn the_exponential_is_within_two_units_in_the_last_place() {
        for k in 0..200_000 {
            let x = -87.0 * (k as f32 / 200_000.0).powi(2);
            let exact = f64::from(x).exp();
            let error = (f64::from(exp(x)) - exact).abs() / exact;
            assert!(error < 2.4e-7, "{x}: {error}");
        }
        assert_eq!(
            (exp(0.0), exp(-1e9), exp(f32::NEG_INFINITY)),
            (1.0, 0.0, 0.0)
        );
    }
}
