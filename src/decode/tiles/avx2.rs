//! AVX2: a tile's sixteen sums in two registers.

use std::arch::x86_64::{
    __m256, __m256i, _MM_HINT_T0, _mm_loadu_si128, _mm_prefetch, _mm256_abs_epi8, _mm256_add_epi32,
    _mm256_and_si256, _mm256_cvtepi32_ps, _mm256_cvtph_ps, _mm256_fmadd_ps, _mm256_loadu_si256,
    _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_mul_ps, _mm256_set1_epi8, _mm256_set1_epi16,
    _mm256_set1_epi32, _mm256_set1_ps, _mm256_setzero_ps, _mm256_setzero_si256, _mm256_sign_epi8,
    _mm256_srli_epi16, _mm256_storeu_ps, _mm256_xor_si256,
};

use super::{BLOCK, Format, Input, PAIR, ROWS, SCALES_BYTES, TOGETHER};

const AHEAD: usize = 2048;
const LINE: usize = 64;

/// Sums of one tile for `rows` rows of `x` from `row` on. Only called where the processor has been asked.
pub(super) fn tile(
    format: Format,
    tile: &[u8],
    x: &Input,
    row: usize,
    rows: usize,
    sums: &mut [[f32; ROWS]; TOGETHER],
) {
    for (r, sums) in sums.iter_mut().enumerate().take(rows) {
        // SAFETY: `Kernel::best` chooses this kernel only after the processor was asked for these features.
        unsafe {
            match format {
                Format::Q8 => q8(tile, x, row + r, sums),
                Format::Q4 => q4(tile, x, row + r, sums),
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn load(bytes: &[u8; 32]) -> __m256i {
    // SAFETY: 32 bytes can be read; the load asks for no alignment.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn half_scales(bytes: &[u8; 16]) -> __m256 {
    // SAFETY: 16 bytes can be read; the load asks for no alignment.
    _mm256_cvtph_ps(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) })
}

/// Eight weights' worth of products: four activations times those of eight rows. `w` are signed; `|w| <= 128` and `|x| <= 127`, so a pair's sum is at
/// most 32,512 and does not saturate.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn dot4(sum: __m256i, w: __m256i, x: __m256i) -> __m256i {
    let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
    _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn dot4_unsigned(sum: __m256i, w: __m256i, x: __m256i) -> __m256i {
    let pairs = _mm256_maddubs_epi16(w, x);
    _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
}

macro_rules! kernel {
    ($name:ident, $format:expr, $begin:expr, $block:ident) => {
        #[target_feature(enable = "avx2,fma,f16c")]
        fn $name(tile: &[u8], x: &Input, row: usize, sums: &mut [f32; ROWS]) {
            const PAIR_BYTES: usize = $format.pair_bytes();
            const BLOCK_BYTES: usize = $format.block_bytes();
            let (q, x_scales, of_q) = x.row(row);
            let mut totals = [_mm256_setzero_ps(); 2];
            for (p, pair) in tile.as_chunks::<PAIR_BYTES>().0.iter().enumerate() {
                for line in (0..PAIR_BYTES).step_by(LINE) {
                    // A hint that cannot fault: what lies past the end is not read.
                    _mm_prefetch::<_MM_HINT_T0>(pair.as_ptr().wrapping_add(AHEAD + line).cast());
                }
                let (scales, weights) = pair.split_at(SCALES_BYTES);
                let scales = scales.as_chunks::<16>().0;
                let blocks = weights.as_chunks::<BLOCK_BYTES>().0;
                for (half, weights) in blocks.iter().enumerate() {
                    let block = p * PAIR + half;
                    let q = &q[block * BLOCK..(block + 1) * BLOCK];
                    let begin: i32 = $begin(of_q[block]);
                    let dots = $block(weights, q, begin);
                    let x_scale = _mm256_set1_ps(x_scales[block]);
                    for (side, dot) in dots.into_iter().enumerate() {
                        let scale = _mm256_mul_ps(half_scales(&scales[2 * half + side]), x_scale);
                        totals[side] =
                            _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), scale, totals[side]);
                    }
                }
            }
            for (sums, total) in sums.as_chunks_mut::<8>().0.iter_mut().zip(totals) {
                // SAFETY: 8 floats can be written; the store asks for no alignment.
                unsafe { _mm256_storeu_ps(sums.as_mut_ptr(), total) }
            }
        }
    };
}

kernel!(q8, Format::Q8, |_| 0, eight);
kernel!(q4, Format::Q4, |of_q: i32| -8 * of_q, halves);

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn four(q: &[i8]) -> __m256i {
    let q = q.first_chunk::<4>().copied().unwrap_or([0; 4]);
    _mm256_set1_epi32(i32::from_le_bytes(q.map(|q| q as u8)))
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn eight(block: &[u8; Format::Q8.block_bytes()], q: &[i8], _: i32) -> [__m256i; 2] {
    let signs = _mm256_set1_epi8(-128);
    let mut dots = [_mm256_setzero_si256(); 2];
    for (group, lines) in block.as_chunks::<LINE>().0.iter().enumerate() {
        let x = four(&q[group * 4..]);
        for (dot, bytes) in dots.iter_mut().zip(lines.as_chunks::<32>().0) {
            *dot = dot4(*dot, _mm256_xor_si256(load(bytes), signs), x);
        }
    }
    dots
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn halves(block: &[u8; Format::Q4.block_bytes()], q: &[i8], begin: i32) -> [__m256i; 2] {
    let low = _mm256_set1_epi8(0x0f);
    let mut dots = [_mm256_set1_epi32(begin); 2];
    for (group, lines) in block.as_chunks::<LINE>().0.iter().enumerate() {
        let (first, second) = (four(&q[group * 4..]), four(&q[group * 4 + BLOCK / 2..]));
        for (dot, bytes) in dots.iter_mut().zip(lines.as_chunks::<32>().0) {
            let bytes = load(bytes);
            *dot = dot4_unsigned(*dot, _mm256_and_si256(bytes, low), first);
            let high = _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), low);
            *dot = dot4_unsigned(*dot, high, second);
        }
    }
    dots
}
