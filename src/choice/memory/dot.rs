//! Products of rows. Every sum has one order and nothing is fused: every processor gives the same bits.

/// Numbers that share a scale.
pub(super) const BLOCK: usize = 32;
/// How far ahead of the arithmetic bytes are asked for.
#[cfg(target_arch = "x86_64")]
const AHEAD: usize = 4096;
/// Sums that are kept side by side.
const LANES: usize = 16;

/// The inner product of two vectors of one width.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; LANES];
    let (whole_a, rest_a) = a.as_chunks::<LANES>();
    let (whole_b, rest_b) = b.as_chunks::<LANES>();
    for (a, b) in whole_a.iter().zip(whole_b) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = rest_a.iter().zip(rest_b).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

/// The first pass, on the instructions that this processor has.
#[derive(Debug, Clone, Copy)]
pub(super) enum Screen {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Portable,
}

impl Screen {
    /// The fastest. The standard library asks the processor once and remembers.
    pub(super) fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if std::is_x86_feature_detected!("avx512f") && std::is_x86_feature_detected!("avx512bw")
            {
                return Self::Avx512;
            }
            if std::is_x86_feature_detected!("avx2") {
                return Self::Avx2;
            }
        }
        Self::Portable
    }

    /// The product of `query`, whole blocks long, with each row of `bits`, signed numbers of eight bits whose blocks have these `scales`.
    pub(super) fn products(self, query: &[f32], bits: &[u8], scales: &[f32], out: &mut [f32]) {
        match self {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `Screen::best` chooses this only after the processor was asked for these features.
            Self::Avx512 => unsafe { avx512(query, bits, scales, out) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Self::Avx2 => unsafe { avx2(query, bits, scales, out) },
            Self::Portable => products(query, bits, scales, out),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw")]
fn avx512(query: &[f32], bits: &[u8], scales: &[f32], out: &mut [f32]) {
    products(query, bits, scales, out);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2(query: &[f32], bits: &[u8], scales: &[f32], out: &mut [f32]) {
    products(query, bits, scales, out);
}

/// Asks for what comes [`AHEAD`] bytes behind a row: a large memory is in no cache.
#[inline(always)]
fn ask_for(row: &[u8]) {
    #[cfg(target_arch = "x86_64")]
    for line in (0..row.len()).step_by(64) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let ahead = row.as_ptr().wrapping_add(AHEAD + line);
        // SAFETY: every x86-64 processor has SSE, and this is a hint that cannot fault: what lies past the end is not read.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(ahead.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = row;
}

/// Written so that the compiler makes of it whatever the processor has.
#[inline(always)]
fn products(query: &[f32], bits: &[u8], scales: &[f32], out: &mut [f32]) {
    let query = query.as_chunks::<BLOCK>().0;
    let rows = bits.chunks_exact(query.len() * BLOCK);
    for ((row, scales), out) in rows.zip(scales.chunks_exact(query.len())).zip(out) {
        ask_for(row);
        let mut sums = [0.0_f32; LANES];
        for ((bits, query), scale) in row.as_chunks::<BLOCK>().0.iter().zip(query).zip(scales) {
            for lane in 0..LANES {
                let low = f32::from(bits[lane].cast_signed()) * query[lane];
                let high = f32::from(bits[lane + LANES].cast_signed()) * query[lane + LANES];
                sums[lane] += scale * (low + high);
            }
        }
        *out = sums.iter().sum();
    }
}
