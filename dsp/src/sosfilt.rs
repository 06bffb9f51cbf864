//! The multi-channel cascade of second-order sections: the hot loop of the EEG path.

use pulp::{Arch, Simd, WithSimd};

use crate::error::{DspError, count};
use crate::mask::MAX_CHANNELS;
use crate::sos::Sos;

/// Channels computed side by side: two AVX-512 or four AVX2 registers.
const LANES: usize = 16;

/// Most sections of one cascade.
pub const MAX_SECTIONS: usize = 64;

/// Samples that go through a section one after the other before the next section has its turn.
const TOGETHER: usize = 4;

type Lane = [f64; LANES];

/// State of one section for one tile of channels. Aligned to a cache line: a vector that straddles two costs twice.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct State {
    s1: Lane,
    s2: Lane,
}

impl State {
    const REST: Self = Self {
        s1: [0.0; LANES],
        s2: [0.0; LANES],
    };
}

/// Causal cascade of second-order sections over interleaved channels, in place.
///
/// Transposed direct form II with f64 state: an amplifier's 300 mV of DC would cost tens of microvolts of noise in f32
/// (the state carries DC at full scale). States are stored in tiles of 16 channels, `[tile][section][2][16]`, so that a sample
/// walks through all sections in registers; the loop is compiled for the widest vectors of this machine and chosen
/// once at construction. Every product-sum is a fused multiply-add whatever the machine, hence the same bits
/// everywhere (and slow on processors without one, which are older than 2013).
///
/// Once its input has been exactly zero for minutes, the state becomes denormal and arithmetic a hundred times slower:
/// the thread that runs the filter is expected to flush denormals to zero.
#[derive(Debug, Clone)]
pub struct SosFilter {
    sections: Vec<Sos>,
    step: Vec<[f64; 2]>,
    channels: usize,
    state: Vec<State>,
    arch: Arch,
}

impl SosFilter {
    /// Allocates the state, at rest. An empty cascade passes its input through.
    ///
    /// # Errors
    /// [`DspError::Count`] for channels outside 1..=512 or more than 64 sections.
    pub fn new(sections: &[Sos], channels: usize) -> Result<Self, DspError> {
        count("channels", channels, 1, MAX_CHANNELS)?;
        count("filter sections", sections.len(), 0, MAX_SECTIONS)?;
        let mut before = 1.0;
        let step = sections
            .iter()
            .map(|s| {
                let state = s.step_state().map(|v| v * before);
                before *= s.dc_gain();
                state
            })
            .collect();
        Ok(Self {
            sections: sections.to_vec(),
            step,
            channels,
            state: vec![State::REST; sections.len() * channels.div_ceil(LANES)],
            arch: Arch::new(),
        })
    }

    /// Number of channels of a sample.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// The cascade, in the order it runs.
    #[must_use]
    pub fn sections(&self) -> &[Sos] {
        &self.sections
    }

    /// Back to rest: as new.
    pub fn reset(&mut self) {
        self.state.fill(State::REST);
    }

    /// Sets the state that a constant input of `sample` would have led to, as `sosfilt_zi(sos) * sample`: a restart
    /// then costs no transient from DC.
    ///
    /// # Errors
    /// [`DspError::Shape`] unless `sample` holds one value per channel; the state is then unchanged.
    pub fn start_at(&mut self, sample: &[f64]) -> Result<(), DspError> {
        crate::error::shape("first sample", sample.len(), self.channels)?;
        self.reset();
        let Some(tile_len) = std::num::NonZeroUsize::new(self.sections.len()) else {
            return Ok(());
        };
        for (tile, x) in self
            .state
            .chunks_exact_mut(tile_len.get())
            .zip(sample.chunks(LANES))
        {
            for (State { s1, s2 }, [z1, z2]) in tile.iter_mut().zip(&self.step) {
                for ((s1, s2), x) in s1.iter_mut().zip(s2).zip(x) {
                    *s1 = z1 * x;
                    *s2 = z2 * x;
                }
            }
        }
        Ok(())
    }

    /// As [`Self::start_at`], for one channel alone; one that does not exist is ignored. The others go on.
    pub fn start_channel_at(&mut self, channel: usize, sample: f64) {
        if channel >= self.channels || self.sections.is_empty() {
            return;
        }
        let tile = channel / LANES * self.sections.len();
        let states = self.state.iter_mut().skip(tile);
        for (State { s1, s2 }, [z1, z2]) in states.zip(&self.step) {
            if let (Some(s1), Some(s2)) = (s1.get_mut(channel % LANES), s2.get_mut(channel % LANES))
            {
                *s1 = z1 * sample;
                *s2 = z2 * sample;
            }
        }
    }

    /// Filters a block of whole samples, `[samples][channels]`, in place. An empty block is fine.
    ///
    /// # Errors
    /// [`DspError::Shape`] unless the length is a multiple of the channels; block and state are then unchanged.
    pub fn process(&mut self, block: &mut [f64]) -> Result<(), DspError> {
        if block.len() != self.channels && !block.len().is_multiple_of(self.channels) {
            return Err(DspError::Shape {
                what: "block",
                expected: self.channels,
                got: block.len(),
            });
        }
        if self.sections.is_empty() {
            return Ok(());
        }
        self.arch.dispatch(Cascade {
            sections: &self.sections,
            channels: self.channels,
            state: &mut self.state,
            block,
        });
        Ok(())
    }
}

/// A whole block; compiled once for each width of vectors.
struct Cascade<'a> {
    sections: &'a [Sos],
    channels: usize,
    state: &'a mut [State],
    block: &'a mut [f64],
}

impl WithSimd for Cascade<'_> {
    type Output = ();

    // Everything below is inlined into this function: only here are wide vectors and fused multiply-adds enabled.
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (sections, channels) = (self.sections, self.channels);
        // Live, samples come one at a time, and dividing lengths would be felt.
        if self.block.len() == channels {
            return all_channels::<S, 1>(simd, sections, self.state, [self.block]);
        }
        let mut groups = self.block.chunks_exact_mut(channels * TOGETHER);
        for group in &mut groups {
            let (ab, cd) = group.split_at_mut(channels * 2);
            let ((a, b), (c, d)) = (ab.split_at_mut(channels), cd.split_at_mut(channels));
            all_channels::<S, TOGETHER>(simd, sections, self.state, [a, b, c, d]);
        }
        for sample in groups.into_remainder().chunks_exact_mut(channels) {
            all_channels::<S, 1>(simd, sections, self.state, [sample]);
        }
    }
}

/// `N` samples of all channels through all sections.
#[inline(always)]
fn all_channels<S: Simd, const N: usize>(
    simd: S,
    sections: &[Sos],
    state: &mut [State],
    mut samples: [&mut [f64]; N],
) {
    let mut from = 0;
    for tile in state.chunks_exact_mut(sections.len()) {
        let lanes = samples
            .each_mut()
            .map(|sample| sample.get_mut(from..from + LANES).unwrap_or_default());
        if lanes.iter().all(|lane| lane.len() == LANES) {
            cascade(simd, sections, tile, lanes);
        } else {
            let mut padded = [Padded([0.0; LANES]); N];
            for (lane, sample) in padded.iter_mut().zip(&samples) {
                copy(&mut lane.0, sample.get(from..).unwrap_or_default());
            }
            cascade(
                simd,
                sections,
                tile,
                padded.each_mut().map(|p| &mut p.0[..]),
            );
            for (lane, sample) in padded.iter().zip(&mut samples) {
                copy(sample.get_mut(from..).unwrap_or_default(), &lane.0);
            }
        }
        from += LANES;
    }
}

/// The channels of the last tile, made up to a whole one.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Padded(Lane);

/// Copies what both have.
#[inline(always)]
fn copy(to: &mut [f64], from: &[f64]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
}

/// `N` samples of one tile, 16 channels each, through all sections. Two vectors at a time: enough to keep the multipliers
/// busy, few enough for all `N` samples and a section's state to stay in registers.
#[inline(always)]
fn cascade<S: Simd, const N: usize>(
    simd: S,
    sections: &[Sos],
    tile: &mut [State],
    mut lanes: [&mut [f64]; N],
) {
    // Sixteen channels are a whole number of pairs of vectors of any width.
    for pair in 0..LANES / (2 * S::F64_LANES) {
        let mut v = [[simd.splat_f64s(0.0); 2]; N];
        for (v, lane) in v.iter_mut().zip(&lanes) {
            if let Some(pair) = S::as_simd_f64s(lane).0.as_chunks().0.get(pair) {
                *v = *pair;
            }
        }
        for (section, state) in sections.iter().zip(tile.iter_mut()) {
            let [b0, b1, b2] = section.b().map(|b| simd.splat_f64s(b));
            let [minus_a1, minus_a2] = section.a().map(|a| simd.splat_f64s(-a));
            let (s1, _) = S::as_mut_simd_f64s(&mut state.s1).0.as_chunks_mut::<2>();
            let (s2, _) = S::as_mut_simd_f64s(&mut state.s2).0.as_chunks_mut::<2>();
            let (Some(s1), Some(s2)) = (s1.get_mut(pair), s2.get_mut(pair)) else {
                continue;
            };
            let (mut z1, mut z2) = (*s1, *s2);
            for v in &mut v {
                for ((v, z1), z2) in v.iter_mut().zip(&mut z1).zip(&mut z2) {
                    let x = *v;
                    let y = simd.mul_add_f64s(b0, x, *z1);
                    *z1 = simd.mul_add_f64s(minus_a1, y, simd.mul_add_f64s(b1, x, *z2));
                    *z2 = simd.mul_add_f64s(minus_a2, y, simd.mul_f64s(b2, x));
                    *v = y;
                }
            }
            (*s1, *s2) = (z1, z2);
        }
        for (v, lane) in v.iter().zip(&mut lanes) {
            if let Some(pair) = S::as_mut_simd_f64s(lane).0.as_chunks_mut().0.get_mut(pair) {
                *pair = *v;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::design::butter_bandpass;
    use crate::units::Hertz;

    #[test]
    fn vectors_of_any_width_give_the_bits_of_none() {
        let hz = |v| Hertz::new(v).unwrap();
        let sections = butter_bandpass(3, hz(0.5), hz(20.0), hz(250.0)).unwrap();
        for channels in [1, 7, 16, 37] {
            let block: Vec<f64> = (0..channels * 11)
                .map(|i| 1e3 * (i as f64 * 0.71).sin())
                .collect();
            let mut wide = SosFilter::new(&sections, channels).unwrap();
            let mut narrow = wide.clone();
            narrow.arch = Arch::Scalar;
            let (mut a, mut b) = (block.clone(), block);
            wide.process(&mut a).unwrap();
            narrow.process(&mut b).unwrap();
            assert!(a.iter().zip(&b).all(|(a, b)| a.to_bits() == b.to_bits()));
        }
    }
}
