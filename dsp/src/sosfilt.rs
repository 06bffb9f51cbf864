//! The multi-channel cascade of second-order sections: the hot loop of the EEG path.

use pulp::{Arch, Simd, WithSimd};

use crate::error::{DspError, count};
use crate::mask::MAX_CHANNELS;
use crate::sos::Sos;

/// Channels computed side by side: two AVX-512 or four AVX2 registers.
const LANES: usize = 16;

/// Most sections of one cascade.
pub const MAX_SECTIONS: usize = 64;

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
        if !block.len().is_multiple_of(self.channels) {
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
    fn with_simd<S: Simd>(self, _: S) {
        for sample in self.block.chunks_exact_mut(self.channels) {
            all_channels(self.sections, self.state, sample);
        }
    }
}

/// One sample of all channels through all sections.
#[inline(always)]
fn all_channels(sections: &[Sos], state: &mut [State], sample: &mut [f64]) {
    let (whole, rest) = sample.as_chunks_mut::<LANES>();
    let mut tiles = state.chunks_exact_mut(sections.len());
    for (lane, tile) in whole.iter_mut().zip(&mut tiles) {
        cascade(sections, tile, lane);
    }
    if let (false, Some(tile)) = (rest.is_empty(), tiles.next()) {
        let mut lane = [0.0; LANES];
        for (padded, x) in lane.iter_mut().zip(rest.iter()) {
            *padded = *x;
        }
        cascade(sections, tile, &mut lane);
        for (x, padded) in rest.iter_mut().zip(lane) {
            *x = padded;
        }
    }
}

#[inline(always)]
fn cascade(sections: &[Sos], tile: &mut [State], lane: &mut Lane) {
    let mut v = *lane;
    for (section, State { s1, s2 }) in sections.iter().zip(tile) {
        let ([b0, b1, b2], [a1, a2]) = (section.b(), section.a());
        for ((v, s1), s2) in v.iter_mut().zip(s1).zip(s2) {
            let x = *v;
            let y = b0.mul_add(x, *s1);
            *s1 = (-a1).mul_add(y, b1.mul_add(x, *s2));
            *s2 = (-a2).mul_add(y, b2 * x);
            *v = y;
        }
    }
    *lane = v;
}
