//! The keys: rows of unit length, and which of them are nearest to another.

use super::dot::{BLOCK, Screen, dot};
use super::room::Room;

/// Bytes of eight-bit keys from which on a second thread is worth its start.
const SECOND_THREAD_BYTES: usize = 8 << 20;
/// More than the rounding of two sums of products of unit vectors in f32.
const ROUNDING: f32 = 1e-5;

/// Rows of unit length: whole, and in eight bits with a scale for each [`BLOCK`].
#[derive(Debug)]
pub(super) struct Rows {
    width: usize,
    whole: Vec<f32>,
    /// Rows are filled up with zeros to whole blocks.
    bits: Room,
    scales: Vec<f32>,
    /// Length of what eight bits leave out of a row, at most: no product with a unit vector is wrong by more.
    left_out_max: f32,
    count: usize,
}

impl Rows {
    pub(super) fn new(width: usize) -> Self {
        Self {
            width,
            whole: Vec::new(),
            bits: Room::default(),
            scales: Vec::new(),
            left_out_max: 0.0,
            count: 0,
        }
    }

    const fn blocks(&self) -> usize {
        self.width.div_ceil(BLOCK)
    }

    /// Adds a row of `width` numbers.
    pub(super) fn push(&mut self, row: &[f32]) {
        let mut left_out = 0.0_f64;
        let mut in_bits = Vec::with_capacity(self.blocks() * BLOCK);
        for block in row.chunks(BLOCK) {
            let most = block.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
            let scale = most / 127.0;
            let mut bits = [0_i8; BLOCK];
            for (bits, x) in bits.iter_mut().zip(block) {
                // Within -127..=127: no number is larger than the block's largest.
                *bits = if scale > 0.0 {
                    (x / scale).round() as i8
                } else {
                    0
                };
                left_out += f64::from(x - f32::from(*bits) * scale).powi(2);
            }
            in_bits.extend(bits.map(i8::cast_unsigned));
            self.scales.push(scale);
        }
        self.bits.push(&in_bits);
        self.left_out_max = self.left_out_max.max(left_out.sqrt() as f32);
        self.whole.extend_from_slice(row);
        self.count += 1;
    }

    /// Product with `query`, and number, of the `most` rows with the largest; of equal ones the latest first.
    pub(super) fn nearest(&self, query: &[f32], most: usize) -> Vec<(f32, usize)> {
        let mut padded = query.to_vec();
        padded.resize(self.blocks() * BLOCK, 0.0);
        // The row that is really the last of the nearest lies at most so far behind the one that seems to be: each may be wrong once.
        let slack = 2.0 * (self.left_out_max + ROUNDING);
        let mut seeming = self.seeming(&padded, most, slack);
        keep(&mut seeming, most, slack);
        let mut nearest: Vec<(f32, usize)> = seeming
            .into_iter()
            .map(|(_, row)| {
                (
                    dot(query, &self.whole[row * self.width..][..self.width]),
                    row,
                )
            })
            .collect();
        nearest.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)));
        nearest.truncate(most);
        nearest
    }

    /// The rows that could be among the nearest, by their eight bits.
    fn seeming(&self, query: &[f32], most: usize, slack: f32) -> Vec<(f32, usize)> {
        let half = self.count / 2;
        let whole = 0..self.count;
        if self.bits.len(self.blocks() * BLOCK) < SECOND_THREAD_BYTES {
            return self.seeming_of(query, whole, most, slack);
        }
        std::thread::scope(|scope| {
            let builder = std::thread::Builder::new().name("memory".into());
            let second = builder.spawn_scoped(scope, || {
                self.seeming_of(query, half..self.count, most, slack)
            });
            let Ok(second) = second else {
                // The system gives no thread: one does it all.
                return self.seeming_of(query, whole, most, slack);
            };
            let mut all = self.seeming_of(query, 0..half, most, slack);
            match second.join() {
                Ok(of_second) => all.extend(of_second),
                Err(panic) => std::panic::resume_unwind(panic),
            }
            all
        })
    }

    fn seeming_of(
        &self,
        query: &[f32],
        rows: std::ops::Range<usize>,
        most: usize,
        slack: f32,
    ) -> Vec<(f32, usize)> {
        /// Rows that are compared before the best of them are picked: their products stay in the nearest cache.
        const STRETCH: usize = 512;
        let screen = Screen::best();
        let (blocks, stride) = (self.blocks(), self.blocks() * BLOCK);
        let mut products = [0.0_f32; STRETCH];
        let mut seeming: Vec<(f32, usize)> = Vec::with_capacity(8 * most);
        let (mut least, mut full) = (f32::NEG_INFINITY, 4 * most);
        let mut first = rows.start;
        while first < rows.end {
            let bits = self.bits.stretch(first, rows.end, STRETCH, stride);
            let n = bits.len() / stride;
            screen.products(
                query,
                bits,
                &self.scales[first * blocks..(first + n) * blocks],
                &mut products[..n],
            );
            let enough = products[..n].iter().enumerate();
            seeming.extend(
                enough
                    .filter(|(_, product)| **product >= least)
                    .map(|(n, product)| (*product, first + n)),
            );
            if seeming.len() > full {
                least = keep(&mut seeming, most, slack);
                // Where many are equally near they all stay: they are not gone through each time.
                full = full.max(2 * seeming.len());
            }
            first += n;
        }
        seeming
    }
}

/// Keeps the `most` rows that seem nearest and those at most `slack` behind the last of them; gives what a row must reach from now on.
fn keep(seeming: &mut Vec<(f32, usize)>, most: usize, slack: f32) -> f32 {
    if seeming.len() <= most || most == 0 {
        return f32::NEG_INFINITY;
    }
    let (_, last, _) = seeming.select_nth_unstable_by(most - 1, |a, b| b.0.total_cmp(&a.0));
    let least = last.0 - slack;
    seeming.retain(|(product, _)| *product >= least);
    least
}
