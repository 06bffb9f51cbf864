use half::f16;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::arena::Filling;
use super::pack::Packed;
use super::{BLOCK, Format, Input, Kernel, ROWS, TOGETHER, Tiles};

/// Outputs and inputs: whole tiles and pairs, and neither.
const SHAPES: [(usize, usize); 5] = [(16, 64), (33, 96), (5, 32), (48, 576), (17, 160)];
const FORMATS: [Format; 2] = [Format::Q8, Format::Q4];

fn noise(n: usize, seed: u64) -> Vec<f32> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    (0..n).map(|_| random.random_range(-1.5..1.5)).collect()
}

/// A random matrix as a GGUF file holds it, every byte of the weights possible, and its tiles.
fn matrix(format: Format, outputs: usize, inputs: usize, seed: u64) -> (Vec<u8>, Tiles) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut stored = Vec::new();
    for _ in 0..outputs * inputs / BLOCK {
        let scale: f32 = random.random_range(-0.1..0.1);
        stored.extend(f16::from_f32(scale).to_le_bytes());
        stored.extend((2..format.stored_bytes()).map(|_| random.random::<u8>()));
    }
    let mut arena = Filling::new(format.bytes(outputs, inputs)).unwrap();
    let packed = Packed::stored(&mut arena, format, &stored, outputs, inputs).unwrap();
    let arena = arena.finish();
    (stored, packed.finish(&arena))
}

/// Weights by the words of GGUF's specification, from the stored bytes.
fn weights(format: Format, stored: &[u8]) -> Vec<f64> {
    let mut all = Vec::new();
    for block in stored.chunks_exact(format.stored_bytes()) {
        let d = f64::from(f16::from_le_bytes([block[0], block[1]]).to_f32());
        let q = &block[2..];
        match format {
            Format::Q8 => all.extend(q.iter().map(|q| d * f64::from(*q as i8))),
            Format::Q4 => {
                all.extend(q.iter().map(|q| d * (f64::from(q & 15) - 8.0)));
                all.extend(q.iter().map(|q| d * (f64::from(q >> 4) - 8.0)));
            }
        }
    }
    all
}

fn product(tiles: &Tiles, x: &[f32], rows: usize) -> Vec<f32> {
    let mut input = Input::default();
    input.round(x, rows, tiles.inputs);
    let mut y = vec![f32::NAN; rows * tiles.outputs];
    tiles.multiply(&input, 0..tiles.count(), &mut y, tiles.outputs);
    y
}

#[test]
fn the_product_is_that_of_the_stored_weights_and_the_rounded_activations() {
    for format in FORMATS {
        for (n, k) in SHAPES {
            let (stored, tiles) = matrix(format, n, k, 3);
            let w = weights(format, &stored);
            let (x, rows) = (noise(3 * k, 4), 3);
            let y = product(&tiles, &x, rows);
            let mut input = Input::default();
            input.round(&x, rows, k);
            for r in 0..rows {
                let (q, scales, _) = input.row(r);
                for o in 0..n {
                    let terms = (0..k)
                        .map(|i| w[o * k + i] * f64::from(q[i]) * f64::from(scales[i / BLOCK]));
                    let (sum, size) = terms.fold((0.0, 0.0), |(s, m), t| (s + t, m + t.abs()));
                    let found = f64::from(y[r * n + o]);
                    assert!(
                        (found - sum).abs() <= 2e-6 * size,
                        "{format:?} {n}x{k}: {found} for {sum}"
                    );
                }
            }
        }
    }
}

#[test]
fn rounded_activations_are_within_half_a_step() {
    let (k, rows) = (96, 4);
    let x = noise(rows * k, 9);
    let mut input = Input::default();
    input.round(&x, rows, k);
    for (r, x) in x.chunks_exact(k).enumerate() {
        let (q, scales, sums) = input.row(r);
        for (i, x) in x.iter().enumerate() {
            let scale = scales[i / BLOCK];
            assert!((f32::from(q[i]) * scale - x).abs() <= 0.5001 * scale);
        }
        for (q, sum) in q.chunks_exact(BLOCK).zip(sums) {
            assert_eq!(q.iter().map(|q| i32::from(*q)).sum::<i32>(), *sum);
        }
    }
    input.round(&vec![0.0; k], 1, k);
    assert!(
        input.row(0).0.iter().all(|q| *q == 0),
        "nothing stays nothing"
    );
}

#[test]
fn every_kernel_gives_the_bits_of_the_portable_one() {
    let here = [Kernel::best(), Kernel::Avx2, Kernel::Portable];
    for format in FORMATS {
        for (n, k) in SHAPES {
            let (_, tiles) = matrix(format, n, k, 5);
            let mut input = Input::default();
            input.round(&noise(TOGETHER * k, 6), TOGETHER, k);
            for index in 0..tiles.count() {
                for rows in 1..=TOGETHER {
                    let said = here.map(|kernel| {
                        let mut sums = [[0.0; ROWS]; TOGETHER];
                        let kernel = if kernel == Kernel::Avx2 && Kernel::best() == Kernel::Portable
                        {
                            Kernel::Portable
                        } else {
                            kernel
                        };
                        kernel.tile(format, tiles.tile(index), &input, 0, rows, &mut sums);
                        sums.map(|row| row.map(f32::to_bits))
                    });
                    assert_eq!(said[0], said[2], "{format:?} {n}x{k}, {rows} rows");
                    assert_eq!(said[1], said[2], "{format:?} {n}x{k}, {rows} rows");
                }
            }
        }
    }
}

#[test]
fn a_row_has_the_same_bits_alone_as_among_others() {
    for format in FORMATS {
        let (n, k, rows) = (33, 160, 9);
        let (_, tiles) = matrix(format, n, k, 7);
        let x = noise(rows * k, 8);
        let together = product(&tiles, &x, rows);
        for r in 0..rows {
            let alone = product(&tiles, &x[r * k..(r + 1) * k], 1);
            assert_eq!(alone, together[r * n..(r + 1) * n]);
        }
    }
}

#[test]
fn one_row_reads_back_as_it_was_stored() {
    for format in FORMATS {
        let (n, k) = (33, 96);
        let (stored, tiles) = matrix(format, n, k, 11);
        let w = weights(format, &stored);
        let mut row = vec![0.0; k];
        for o in 0..n {
            tiles.row(o, &mut row);
            assert!(
                row.iter()
                    .zip(&w[o * k..])
                    .all(|(found, w)| f64::from(*found) == *w)
            );
        }
    }
}

#[test]
fn rounding_weights_keeps_them_within_half_a_step() {
    let row = noise(64, 12);
    for (format, steps) in [(Format::Q8, 127.0), (Format::Q4, 8.0)] {
        let mut stored = Vec::new();
        Packed::rounded(format, &row, &mut stored);
        let back = weights(format, &stored);
        for (block, back) in row
            .as_chunks::<BLOCK>()
            .0
            .iter()
            .zip(back.as_chunks::<BLOCK>().0)
        {
            let most = block.iter().fold(0.0_f32, |m, x| m.max(x.abs()));
            // Half a step, or a whole one where four bits end (their positive side has one step less), and the scale's own rounding.
            let step = f64::from(most) / steps * if format == Format::Q4 { 1.01 } else { 0.51 };
            for (x, back) in block.iter().zip(back) {
                assert!(
                    (f64::from(*x) - back).abs() <= step,
                    "{format:?}: {x} came back as {back}"
                );
            }
        }
    }
}

#[test]
fn rows_that_are_not_whole_blocks_and_a_full_arena_are_refused() {
    let mut arena = Filling::new(Format::Q8.bytes(16, 64)).unwrap();
    let stored = vec![0; 16 * 2 * Format::Q8.stored_bytes()];
    assert!(Packed::stored(&mut arena, Format::Q8, &stored, 16, 60).is_none());
    assert!(Packed::stored(&mut arena, Format::Q8, &stored[1..], 16, 64).is_none());
    assert!(Packed::stored(&mut arena, Format::Q8, &stored, 16, 64).is_some());
    assert!(Packed::stored(&mut arena, Format::Q8, &stored, 16, 64).is_none());
}
