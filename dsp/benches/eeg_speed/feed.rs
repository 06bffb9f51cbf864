//! The whole path with a signal for it, a sample at a time, as the real-time thread runs it.

use std::hint::black_box;
use std::time::Instant;

use razvilka_dsp::eeg::{BandSpec, EegPath, EegSpec, NotchSpec, Reference};
use razvilka_dsp::score::{EpochScorer, LinearScorer};
use razvilka_dsp::tangent::{TangentParts, TangentScorer};
use razvilka_dsp::units::{Microvolts, Seconds};

use crate::hz;

/// Rows of noise that a signal is made of, over and over.
const ROWS: usize = 1_021;
/// Everything switched on: five biquads, common average, all quality checks, epochs of 0.8 s at about 32 Hz.
fn everything(channels: usize, rate_hz: f64) -> EegSpec {
    let mut spec = EegSpec::p300(hz(rate_hz), channels);
    spec.band = Some(BandSpec {
        low: hz(0.5),
        high: hz(20.0),
        order: 4,
    });
    spec.notch = Some(NotchSpec {
        centre: hz(50.0),
        q: 30.0,
    });
    spec.reference = Reference::CommonAverage;
    spec.epoch.length = Seconds::new(0.8).unwrap();
    spec.epoch.peak_to_peak = Microvolts::new(10_000.0).unwrap();
    // Correlations, copies, jumps, rails and flat lines are watched by default.
    spec.quality.line = Some(hz(50.0));
    spec
}

/// How to give a path its scorer.
pub(crate) type Scorer = fn(&mut EegPath);

/// A scorer to be measured is one more line here and a function that sets it.
pub(crate) const SCORERS: [(&str, Scorer); 2] = [("LDA", linear), ("LDA + tangent space", fusion)];

pub(crate) fn linear(path: &mut EegPath) {
    let shape = path.epoch_shape();
    let weights: Vec<f64> = (0..shape.features())
        .map(|i| (i as f64 * 0.37).sin())
        .collect();
    path.set_scorer(LinearScorer::new(shape, &weights, 0.1).unwrap().into())
        .unwrap();
}

/// The default scorer's size: an LDA beside eight components under eight prototypes.
pub(crate) fn fusion(path: &mut EegPath) {
    const COMPONENTS: usize = 8;
    const ORDER: usize = 16;
    let shape = path.epoch_shape();
    let wave = |count: usize, step: f64| -> Vec<f64> {
        (0..count).map(|i| (i as f64 * step).sin()).collect()
    };
    let mut whitening = wave(ORDER * ORDER, 1.7);
    for k in 0..ORDER {
        whitening[k * ORDER + k] += 4.0;
    }
    let parts = TangentParts {
        filters: &wave(COMPONENTS * shape.channels(), 0.9),
        prototypes: &wave((ORDER - COMPONENTS) * shape.bins(), 0.21),
        whitening: &whitening,
        gains: &wave(ORDER, 1.3),
        bias: 0.1,
    };
    let tangent = TangentScorer::new(shape, &parts).unwrap();
    let linear = LinearScorer::new(shape, &wave(shape.features(), 0.37), 0.1).unwrap();
    path.set_scorer(EpochScorer::new(linear, Some(tangent)).unwrap())
        .unwrap();
}

/// A path, a signal for it and a clock of samples.
pub(crate) struct Feed {
    pub(crate) path: EegPath,
    channels: usize,
    pub(crate) rate_hz: f64,
    noise: Vec<f32>,
    /// Samples so far: a verdict on the channels falls on every whole second.
    pub(crate) at: u64,
    flashes: u64,
}

impl Feed {
    pub(crate) fn new(channels: usize, rate_hz: f64, scorer: Scorer) -> Self {
        let mut path = EegPath::prepare(everything(channels, rate_hz)).unwrap();
        scorer(&mut path);
        // Xorshift, so that no channel is like its neighbour; and what all share, as on a head, so that they can be compared.
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut uniform = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / 16_777_216.0 * 40.0 - 20.0
        };
        let mut noise = Vec::with_capacity(ROWS * channels);
        for _ in 0..ROWS {
            let shared = uniform();
            noise.extend((0..channels).map(|_| uniform() + shared));
        }
        let mut feed = Self {
            path,
            channels,
            rate_hz,
            noise,
            at: 0,
            flashes: 0,
        };
        for _ in 0..rate_hz as u64 {
            feed.push();
        }
        feed
    }

    fn time_s(&self) -> f64 {
        self.at as f64 / self.rate_hz
    }

    /// Flashes now: the next sample is that of the flash.
    pub(crate) fn flash(&mut self) {
        self.flashes += 1;
        self.path.flash(self.flashes, self.time_s()).unwrap();
    }

    pub(crate) fn push(&mut self) {
        let row = (self.at % ROWS as u64) as usize * self.channels;
        let sample = &self.noise[row..row + self.channels];
        let stamp_s = self.at as f64 / self.rate_hz;
        self.path.push(stamp_s, black_box(sample)).unwrap();
        self.at += 1;
    }

    /// Takes all results; the number of epochs that ended with the newest sample.
    pub(crate) fn take(&mut self) -> usize {
        let mut ended = 0;
        while let Some(flash) = self.path.pop() {
            assert!(
                flash.score.is_some_and(f64::is_finite) && flash.status.is_clean(),
                "a benchmark of rejected epochs: {flash:?}"
            );
            ended += usize::from(flash.last_sample.0 + 1 == self.at);
        }
        ended
    }

    /// Feeds `samples`, with a flash each `soa_s` seconds, and gives the time of each.
    pub(crate) fn run(&mut self, samples: u64, soa_s: f64) -> Vec<f64> {
        let soa_samples = (soa_s * self.rate_hz).round() as u64;
        let mut times = Vec::with_capacity(samples as usize);
        for _ in 0..samples {
            if self.at.is_multiple_of(soa_samples) {
                self.flash();
            }
            let start = Instant::now();
            self.push();
            self.take();
            times.push(start.elapsed().as_secs_f64() * 1e9);
        }
        times
    }
}
