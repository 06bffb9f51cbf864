//! AVX-512 with VNNI: sixteen sums in a register, 64 products an instruction.

use std::arch::x86_64::{
    __m512, __m512i, _MM_HINT_T0, _mm_prefetch, _mm256_loadu_si256, _mm512_add_epi32,
    _mm512_and_si512, _mm512_cvtepi32_ps, _mm512_cvtph_ps, _mm512_dpbusd_epi32, _mm512_fmadd_ps,
    _mm512_loadu_si512, _mm512_mul_ps, _mm512_set1_epi8, _mm512_set1_epi32, _mm512_set1_ps,
    _mm512_setzero_ps, _mm512_setzero_si512, _mm512_srli_epi16, _mm512_storeu_ps,
};

use super::{BLOCK, Format, Input, PAIR, ROWS, SCALES_BYTES, TOGETHER};

/// How far ahead of the arithmetic bytes are asked for.
const AHEAD: usize = 4096;
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
    // SAFETY: `Kernel::best` chooses this kernel only after the processor was asked for these features.
    unsafe {
        match (format, rows) {
            (Format::Q8, 1) => q8::<1>(tile, x, row, sums),
            (Format::Q8, 2) => q8::<2>(tile, x, row, sums),
            (Format::Q8, 3) => q8::<3>(tile, x, row, sums),
            (Format::Q8, _) => q8::<TOGETHER>(tile, x, row, sums),
            (Format::Q4, 1) => q4::<1>(tile, x, row, sums),
            (Format::Q4, 2) => q4::<2>(tile, x, row, sums),
            (Format::Q4, 3) => q4::<3>(tile, x, row, sums),
            (Format::Q4, _) => q4::<TOGETHER>(tile, x, row, sums),
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn load(bytes: &[u8; LINE]) -> __m512i {
    // SAFETY: 64 bytes can be read; the load asks for no alignment.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

/// Four activations, in every lane.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn four(q: &[i8], group: usize) -> __m512i {
    let q = q[group * 4..].first_chunk::<4>().copied().unwrap_or([0; 4]);
    _mm512_set1_epi32(i32::from_le_bytes(q.map(|q| q as u8)))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn half_scales(bytes: &[u8; 32]) -> __m512 {
    // SAFETY: 32 bytes can be read; the load asks for no alignment.
    _mm512_cvtph_ps(unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) })
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn finish<const N: usize>(totals: [__m512; N], sums: &mut [[f32; ROWS]; TOGETHER]) {
    for (sums, total) in sums.iter_mut().zip(totals) {
        // SAFETY: 16 floats can be written; the store asks for no alignment.
        unsafe { _mm512_storeu_ps(sums.as_mut_ptr(), total) }
    }
}

/// The loops differ in how the weights of a block come out of its bytes.
macro_rules! kernel {
    ($name:ident, $format:expr, $weights:ident) => {
        #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
        fn $name<const N: usize>(
            tile: &[u8],
            x: &Input,
            row: usize,
            sums: &mut [[f32; ROWS]; TOGETHER],
        ) {
            const PAIR_BYTES: usize = $format.pair_bytes();
            const BLOCK_BYTES: usize = $format.block_bytes();
            let x: [_; N] = std::array::from_fn(|r| x.row(row + r));
            let mut totals = [_mm512_setzero_ps(); N];
            for (p, pair) in tile.as_chunks::<PAIR_BYTES>().0.iter().enumerate() {
                for line in (0..PAIR_BYTES).step_by(LINE) {
                    // A hint that cannot fault: what lies past the end is not read.
                    _mm_prefetch::<_MM_HINT_T0>(pair.as_ptr().wrapping_add(AHEAD + line).cast());
                }
                let (scales, weights) = pair.split_at(SCALES_BYTES);
                let scales = scales.as_chunks::<32>().0;
                let blocks = weights.as_chunks::<BLOCK_BYTES>().0;
                for (half, (scales, weights)) in scales.iter().zip(blocks).enumerate() {
                    let block = p * PAIR + half;
                    let weights = $weights(weights);
                    let scales = half_scales(scales);
                    for (total, (q, x_scales, of_q)) in totals.iter_mut().zip(&x) {
                        let q = &q[block * BLOCK..(block + 1) * BLOCK];
                        // Two chains, so that one instruction need not wait for the one before it.
                        let mut even = _mm512_set1_epi32(-$format.offset() * of_q[block]);
                        let mut odd = _mm512_setzero_si512();
                        for g in 0..4 {
                            even = _mm512_dpbusd_epi32(even, weights[2 * g], four(q, 2 * g));
                            odd = _mm512_dpbusd_epi32(odd, weights[2 * g + 1], four(q, 2 * g + 1));
                        }
                        let dot = _mm512_cvtepi32_ps(_mm512_add_epi32(even, odd));
                        let scale = _mm512_mul_ps(scales, _mm512_set1_ps(x_scales[block]));
                        *total = _mm512_fmadd_ps(dot, scale, *total);
                    }
                }
            }
            finish(totals, sums);
        }
    };
}

kernel!(q8, Format::Q8, eight);
kernel!(q4, Format::Q4, halves);

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn eight(block: &[u8; Format::Q8.block_bytes()]) -> [__m512i; 8] {
    let lines = block.as_chunks::<LINE>().0;
    std::array::from_fn(|g| load(&lines[g]))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn halves(block: &[u8; Format::Q4.block_bytes()]) -> [__m512i; 8] {
    let lines = block.as_chunks::<LINE>().0;
    let low = _mm512_set1_epi8(0x0f);
    std::array::from_fn(|g| {
        let bytes = load(&lines[g % 4]);
        if g < 4 {
            _mm512_and_si512(bytes, low)
        } else {
            _mm512_and_si512(_mm512_srli_epi16::<4>(bytes), low)
        }
    })
}
