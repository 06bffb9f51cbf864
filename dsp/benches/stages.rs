//! Throughput of every stage: `cargo bench -p razvilka-dsp --bench stages`.
//!
//! Rates are per sample of all channels. Like all benchmarks they flatter: the caches are warm and nobody else wants the
//! processor.

#![allow(clippy::unwrap_used)]

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use razvilka_dsp::car::CommonAverage;
use razvilka_dsp::design::{butter_bandpass, iirnotch};
use razvilka_dsp::eeg::{EegPath, EegSpec, Reference};
use razvilka_dsp::epoch::{EpochBank, EpochShape, SampleNote};
use razvilka_dsp::gaze::{DetectorKind, GazeDetector, GazeSample};
use razvilka_dsp::mask::ChannelMask;
use razvilka_dsp::quality::{ChannelQuality, QualitySpec};
use razvilka_dsp::score::{EpochScorer, LinearScorer};
use razvilka_dsp::sosfilt::SosFilter;
use razvilka_dsp::spectrum::Welch;
use razvilka_dsp::stamps::{StampGuard, StampRule};
use razvilka_dsp::tangent::{TangentParts, TangentScorer};
use razvilka_dsp::units::{Hertz, Microvolts, SampleIndex, Seconds};

const CHANNELS: usize = 64;
const RATE: f64 = 1000.0;

fn main() {
    divan::main();
}

fn hz(value: f64) -> Hertz {
    Hertz::new(value).unwrap()
}

/// Five sections: band-pass of order 4 and a notch.
fn filter() -> SosFilter {
    let mut sections = butter_bandpass(4, hz(0.5), hz(20.0), hz(RATE)).unwrap();
    sections.push(iirnotch(hz(50.0), 30.0, hz(RATE)).unwrap());
    SosFilter::new(&sections, CHANNELS).unwrap()
}

fn block(samples: usize) -> Vec<f64> {
    (0..samples * CHANNELS)
        .map(|i| (i % 17) as f64 * 0.1)
        .collect()
}

#[divan::bench(args = [1, 32])]
fn five_biquads_and_car_64_channels(bencher: Bencher<'_, '_>, chunk: usize) {
    let (mut filter, car) = (filter(), CommonAverage::new(CHANNELS).unwrap());
    let (source, mut work) = (block(chunk), block(chunk));
    bencher.counter(ItemsCount::new(chunk)).bench_local(|| {
        work.copy_from_slice(&source);
        filter.process(black_box(&mut work)).unwrap();
        car.process(black_box(&mut work)).unwrap();
    });
}

#[divan::bench(args = [1, 32])]
fn five_biquads_alone_64_channels(bencher: Bencher<'_, '_>, chunk: usize) {
    let mut filter = filter();
    let mut work = block(chunk);
    bencher
        .counter(ItemsCount::new(chunk))
        .bench_local(|| filter.process(black_box(&mut work)).unwrap());
}

#[divan::bench]
fn stamp_guard(bencher: Bencher<'_, '_>) {
    let mut guard = StampGuard::new(hz(RATE), StampRule::PerSample);
    let mut t_s = 0.0;
    bencher.counter(ItemsCount::new(1_usize)).bench_local(|| {
        t_s += 0.001;
        black_box(guard.push(black_box(t_s)))
    });
}

#[divan::bench]
fn channel_quality_64_channels(bencher: Bencher<'_, '_>) {
    let spec = QualitySpec {
        line: Some(hz(50.0)),
        ..QualitySpec::default()
    };
    let mut quality = ChannelQuality::new(spec, hz(RATE), CHANNELS).unwrap();
    let raw: Vec<f32> = block(1).iter().map(|x| *x as f32).collect();
    let mut held = block(1);
    bencher.counter(ItemsCount::new(1_usize)).bench_local(|| {
        quality.sanitise(black_box(&raw), &mut held).unwrap();
        quality.observe(&held, &held).unwrap();
    });
}

/// The whole path, one sample at a time, with the number of epochs open that a flash each 176 ms gives.
#[divan::bench(args = [0, 5])]
fn eeg_path_64_channels(bencher: Bencher<'_, '_>, open: usize) {
    let mut spec = EegSpec::p300(hz(RATE), CHANNELS);
    spec.reference = Reference::CommonAverage;
    let mut path = EegPath::prepare(spec).unwrap();
    let shape = path.epoch_shape();
    path.set_scorer(
        LinearScorer::new(shape, &vec![0.01; shape.features()], 0.0)
            .unwrap()
            .into(),
    )
    .unwrap();
    let raw: Vec<f32> = block(1).iter().map(|x| *x as f32).collect();
    let (mut t_s, mut id) = (0.0, 0);
    bencher.counter(ItemsCount::new(1_usize)).bench_local(|| {
        while path.in_flight() < open {
            id += 1;
            path.flash(id, t_s + 0.001).unwrap();
        }
        t_s += 0.001;
        path.push(t_s, black_box(&raw)).unwrap();
        while let Some(flash) = path.pop() {
            black_box(flash);
        }
    });
}

/// What is left to do after the last sample when the score was gathered bin by bin, beside a whole-epoch score.
#[divan::bench(args = [8, 64])]
fn whole_epoch_score(bencher: Bencher<'_, '_>, channels: usize) {
    let length = Seconds::new(0.8).unwrap();
    let shape = EpochShape::new(channels, length, hz(250.0), hz(32.0)).unwrap();
    let scorer = LinearScorer::new(shape, &vec![0.01; shape.features()], 0.0).unwrap();
    let features = vec![1.0; shape.features()];
    bencher.bench_local(|| scorer.score(black_box(&features)).unwrap());
}

/// Numbers from -1 to 1.
fn noise(count: usize, mut state: u64) -> Vec<f64> {
    (0..count)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as f64 / (1_u64 << 30) as f64 - 1.0
        })
        .collect()
}

/// As many components as prototypes, over 64 channels and 50 bins.
fn tangent_scorer(shape: EpochShape, order: usize) -> EpochScorer {
    let components = order / 2;
    let mut whitening = noise(order * order, 3);
    for (k, row) in whitening.chunks_exact_mut(order).enumerate() {
        row[k] += 2.0;
    }
    let parts = TangentParts {
        filters: &noise(components * CHANNELS, 1),
        prototypes: &noise((order - components) * shape.bins(), 2),
        whitening: &whitening,
        gains: &noise(order, 4),
        bias: 0.1,
    };
    let tangent = TangentScorer::new(shape, &parts).unwrap();
    let linear = LinearScorer::new(shape, &vec![0.01; shape.features()], 0.0).unwrap();
    EpochScorer::new(linear, Some(tangent)).unwrap()
}

/// From the last sample of an epoch, which ends its last bin, to its score: the one thing a tangent-space scorer can only
/// begin when everything is there.
#[divan::bench(args = [8, 16, 24, 32])]
fn last_bin_to_score_in_the_tangent_space(bencher: Bencher<'_, '_>, order: usize) {
    let (length, rate) = (Seconds::new(0.8).unwrap(), hz(250.0));
    let shape = EpochShape::new(CHANNELS, length, rate, hz(62.5)).unwrap();
    let mut bank = EpochBank::new(shape, Microvolts::new(1e4).unwrap(), 1).unwrap();
    bank.set_scorer(tangent_scorer(shape, order)).unwrap();
    let samples = noise(shape.samples() * CHANNELS, 5);
    let (last, earlier) = samples.split_at(CHANNELS);
    let note = SampleNote {
        index: SampleIndex(0),
        break_before: None,
        doubt: None,
        bad: ChannelMask::NONE,
    };
    let mut filled = bank.clone();
    let slot = filled.open(1, 0.0, SampleIndex(0), 0).unwrap();
    for sample in earlier.chunks_exact(CHANNELS) {
        filled.feed(slot, sample, &note, &mut |_| {}).unwrap();
    }
    bencher
        .with_inputs(|| filled.clone())
        .bench_local_refs(|bank| {
            bank.push(black_box(last), &note, &mut |epoch| {
                black_box(epoch.score);
            })
            .unwrap();
        });
}

#[divan::bench(args = [250, 500, 2000])]
fn eye_movements_by_velocity(bencher: Bencher<'_, '_>, rate: u32) {
    eye_movements(bencher, DetectorKind::Velocity, rate);
}

#[divan::bench(args = [250, 500, 2000])]
fn eye_movements_trained(bencher: Bencher<'_, '_>, rate: u32) {
    eye_movements(bencher, DetectorKind::Trained, rate);
}

fn eye_movements(bencher: Bencher<'_, '_>, kind: DetectorKind, rate: u32) {
    let mut detector = GazeDetector::new(kind, hz(f64::from(rate))).unwrap();
    let mut i = 0_u32;
    bencher.counter(ItemsCount::new(1_usize)).bench_local(|| {
        i = i.wrapping_add(1);
        let sample = GazeSample {
            t_s: f64::from(i) / f64::from(rate),
            x_deg: f64::from(i / 150 % 4) * 5.0,
            y_deg: f64::from(i % 7) * 0.01,
            valid: true,
        };
        detector.push(black_box(sample), &mut |event| {
            black_box(event);
        });
    });
}

#[divan::bench]
fn welch_10_s_of_one_channel(bencher: Bencher<'_, '_>) {
    let mut welch = Welch::new(hz(250.0), 500, 250).unwrap();
    let signal: Vec<f64> = (0..2_500).map(|i| f64::from(i % 31)).collect();
    let mut density = vec![0.0; welch.bins()];
    bencher.bench_local(|| welch.process(black_box(&signal), &mut density).unwrap());
}
