//! The whole path, a sample at a time, as the real-time thread runs it.

use std::hint::black_box;
use std::time::{Duration, Instant};

use razvilka_dsp::eeg::{BandSpec, EegPath, EegSpec, NotchSpec, Reference};
use razvilka_dsp::score::{EpochScorer, LinearScorer};
use razvilka_dsp::tangent::{TangentParts, TangentScorer};
use razvilka_dsp::units::{Microvolts, Seconds};

use crate::measure::{Sample, processor_s};
use crate::table::{Report, Value};
use crate::{Effort, hz};

/// Rows of noise that a signal is made of, over and over.
const ROWS: usize = 1_021;
/// Larger than the caches that belong to one core.
const EVICT_BYTES: usize = 8 << 20;

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
    spec.quality.line = Some(hz(50.0));
    // A further check of `QualitySpec` is switched on here.
    spec
}

/// How to give a path its scorer.
type Scorer = fn(&mut EegPath);

/// A scorer to be measured is one more line here and a function that sets it.
const SCORERS: [(&str, Scorer); 2] = [("LDA", linear), ("tangent space", tangent)];

fn linear(path: &mut EegPath) {
    let shape = path.epoch_shape();
    let weights: Vec<f64> = (0..shape.features())
        .map(|i| (i as f64 * 0.37).sin())
        .collect();
    path.set_scorer(LinearScorer::new(shape, &weights, 0.1).unwrap().into())
        .unwrap();
}

/// The default scorer's size: an LDA beside eight components under eight prototypes.
fn tangent(path: &mut EegPath) {
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
struct Feed {
    path: EegPath,
    channels: usize,
    rate_hz: f64,
    noise: Vec<f32>,
    at: u64,
    flashes: u64,
}

impl Feed {
    fn new(channels: usize, rate_hz: f64, scorer: Scorer) -> Self {
        let mut path = EegPath::prepare(everything(channels, rate_hz)).unwrap();
        scorer(&mut path);
        // Xorshift, so that no channel is like its neighbour.
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let noise = (0..ROWS * channels)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 40) as f32 / 16_777_216.0 * 40.0 - 20.0
            })
            .collect();
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
    fn flash(&mut self) {
        self.flashes += 1;
        self.path.flash(self.flashes, self.time_s()).unwrap();
    }

    fn push(&mut self) {
        let row = (self.at % ROWS as u64) as usize * self.channels;
        let sample = &self.noise[row..row + self.channels];
        let stamp_s = self.at as f64 / self.rate_hz;
        self.path.push(stamp_s, black_box(sample)).unwrap();
        self.at += 1;
    }

    /// Takes all results; the number of epochs that ended with the newest sample.
    fn take(&mut self) -> usize {
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
    fn run(&mut self, samples: u64, soa_s: f64) -> Vec<f64> {
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

/// From feeding the last sample of an epoch to having its score.
pub(crate) fn score(report: &mut Report, effort: Effort) {
    report.section(
        "score",
        "Last sample of an epoch to its score",
        "64 channels, five biquads, common average, all quality checks, epochs of 0.8 s, a flash each 175 ms, so that four or five are open. \
         The time includes all that the path does with this sample. Cold: 8 MiB of other data were read just before.",
    );
    for (name, scorer) in SCORERS {
        for rate_hz in [512.0, 1_000.0] {
            for cold in [false, true] {
                let found = last_samples(rate_hz, scorer, effort, cold);
                report.row(&[
                    ("scorer", Value::Text(name)),
                    ("channels", Value::Count(64)),
                    ("rate_hz", Value::Count(rate_hz as usize)),
                    ("caches", Value::Text(if cold { "cold" } else { "warm" })),
                    ("p50_us", Value::Microseconds(found.percentile(50.0) / 1e3)),
                    ("p99_us", Value::Microseconds(found.percentile(99.0) / 1e3)),
                    ("max_us", Value::Microseconds(found.percentile(100.0) / 1e3)),
                    ("epochs", Value::Count(found.n())),
                ]);
            }
        }
    }
}

fn last_samples(rate_hz: f64, scorer: Scorer, effort: Effort, cold: bool) -> Sample {
    let mut feed = Feed::new(64, rate_hz, scorer);
    let other = vec![1_u64; EVICT_BYTES / 8];
    let epoch_samples = feed.path.epoch_shape().samples() as u64;
    let soa_samples = (0.175 * rate_hz).round() as u64;
    let mut times = Vec::new();
    let until = feed.at + (effort.signal_s * rate_hz) as u64 * 2;
    while feed.at < until {
        if feed.at.is_multiple_of(soa_samples) {
            feed.flash();
        }
        // Whether an epoch ends here: its flash is `epoch_samples - 1` ago.
        if cold && (feed.at + 1 - epoch_samples).is_multiple_of(soa_samples) {
            black_box(other.iter().sum::<u64>());
        }
        let start = Instant::now();
        feed.push();
        let ended = feed.take();
        let took_ns = start.elapsed().as_secs_f64() * 1e9;
        if ended > 0 {
            times.push(took_ns);
        }
    }
    Sample::new(times)
}

/// 256 channels at 2 kHz: does one core carry it?
pub(crate) fn sustained(report: &mut Report, effort: Effort) {
    report.section(
        "sustained",
        "256 channels at 2 kHz through the whole path, a flash each 125 ms",
        "path_percent: time spent in the path per time of signal. thread_percent: processor time of the whole thread. Flat out: as fast as \
         it goes, caches warm. Paced: in real time, asleep until the last sample of a chunk is due; thread_percent then has the \
         sleeping and waking in it, which is the system's share, and the caches are what they are.",
    );
    // Samples of a chunk; none: flat out.
    for chunk in [None, Some(1), Some(16)] {
        let mut feed = Feed::new(256, 2_000.0, linear);
        let signal_s = if chunk.is_some() {
            (effort.signal_s / 6.0).min(20.0)
        } else {
            effort.signal_s
        };
        let samples = (signal_s * feed.rate_hz) as u64;
        let before_s = processor_s();
        let times = match chunk {
            Some(chunk) => in_real_time(&mut feed, samples, chunk),
            None => feed.run(samples, 0.125),
        };
        let thread = (processor_s() - before_s) / signal_s * 100.0;
        let path = times.iter().sum::<f64>() / 1e9 / signal_s * 100.0;
        let found = Sample::new(times);
        report.row(&[
            (
                "how",
                Value::Text(if chunk.is_some() { "paced" } else { "flat out" }),
            ),
            ("chunk", Value::Count(chunk.unwrap_or(1) as usize)),
            ("path_percent", Value::Percent(path)),
            ("thread_percent", Value::Percent(thread)),
            ("p50_us", Value::Microseconds(found.percentile(50.0) / 1e3)),
            ("p99_us", Value::Microseconds(found.percentile(99.0) / 1e3)),
            ("max_us", Value::Microseconds(found.percentile(100.0) / 1e3)),
            ("samples", Value::Count(found.n())),
        ]);
    }
}

fn in_real_time(feed: &mut Feed, samples: u64, chunk: u64) -> Vec<f64> {
    let period = Duration::from_secs_f64(chunk as f64 / feed.rate_hz);
    let mut times = Vec::with_capacity(samples as usize);
    let mut due = Instant::now();
    while (times.len() as u64) < samples {
        due += period;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        times.extend(feed.run(chunk, 0.125));
    }
    times
}

/// Blocks through the whole path: 64 channels at 1 kHz with four epochs open, for peers.py.
pub(crate) fn blocks(report: &mut Report, effort: Effort) {
    report.section(
        "blocks",
        "Whole path, 64 channels at 1 kHz, a flash each 175 ms: us per block",
        "Everything switched on, caches warm; each block is timed by itself.",
    );
    for block in [1_u64, 8, 32] {
        let mut feed = Feed::new(64, 1_000.0, linear);
        let blocks = (effort.signal_s * 1_000.0) as u64 / block;
        let times = (0..blocks)
            .map(|_| feed.run(block, 0.175).iter().sum::<f64>())
            .collect();
        let found = Sample::new(times);
        report.row(&[
            ("block", Value::Count(block as usize)),
            ("p50_us", Value::Microseconds(found.percentile(50.0) / 1e3)),
            ("p99_us", Value::Microseconds(found.percentile(99.0) / 1e3)),
            ("blocks", Value::Count(found.n())),
        ]);
    }
}

/// How the cost grows with channels, rate and open epochs.
pub(crate) fn growth(report: &mut Report, effort: Effort) {
    report.section(
        "growth_epochs",
        "Whole path at 1 kHz: mean ns per sample with this many epochs open",
        "Everything switched on, caches warm; processor time of the thread, reading the clock twice per row only.",
    );
    for channels in [8, 16, 32, 64, 128, 256] {
        let cost = |open| Value::Nanoseconds(mean_ns(channels, 1_000.0, open, effort));
        report.row(&[
            ("channels", Value::Count(channels)),
            ("open_0", cost(0)),
            ("open_1", cost(1)),
            ("open_2", cost(2)),
            ("open_4", cost(4)),
            ("open_8", cost(8)),
        ]);
    }
    report.section(
        "growth_rate",
        "Whole path: load of one core in percent, a flash each 125 ms (six or seven epochs open)",
        "Everything switched on, flat out, caches warm; processor time of the thread per second of signal.",
    );
    for channels in [8, 16, 32, 64, 128, 256] {
        let load = |rate_hz: f64| {
            Value::Percent(mean_ns_at_soa(channels, rate_hz, effort) * rate_hz / 1e9 * 100.0)
        };
        report.row(&[
            ("channels", Value::Count(channels)),
            ("hz_250", load(250.0)),
            ("hz_500", load(500.0)),
            ("hz_1000", load(1_000.0)),
            ("hz_2000", load(2_000.0)),
        ]);
    }
}

/// Keeps `open` epochs open all the time: whenever one ends, another begins.
fn mean_ns(channels: usize, rate_hz: f64, open: usize, effort: Effort) -> f64 {
    let mut feed = Feed::new(channels, rate_hz, linear);
    let epoch_samples = feed.path.epoch_shape().samples() as u64;
    let apart = epoch_samples.div_ceil(open.max(1) as u64);
    least_mean(&mut feed, effort, |feed| {
        if open > 0 && feed.at.is_multiple_of(apart) {
            feed.flash();
        }
    })
}

fn mean_ns_at_soa(channels: usize, rate_hz: f64, effort: Effort) -> f64 {
    let mut feed = Feed::new(channels, rate_hz, linear);
    let soa_samples = (0.125 * rate_hz).round() as u64;
    least_mean(&mut feed, effort, |feed| {
        if feed.at.is_multiple_of(soa_samples) {
            feed.flash();
        }
    })
}

/// The least of five means, each over a fifth of the signal: another thread on the same core costs caches that are not ours.
fn least_mean(feed: &mut Feed, effort: Effort, mut before: impl FnMut(&mut Feed)) -> f64 {
    let samples = (effort.signal_s * 200.0) as u64;
    let mut least = f64::INFINITY;
    for _ in 0..5 {
        let start_s = processor_s();
        for _ in 0..samples {
            before(feed);
            feed.push();
            feed.take();
        }
        least = least.min((processor_s() - start_s) * 1e9 / samples as f64);
    }
    least
}
