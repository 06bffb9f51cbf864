//! Load of a core in real time, and what the worst sample costs.

use std::time::{Duration, Instant};

use crate::Effort;
use crate::feed::{Feed, Scorer, fusion, linear};
use crate::measure::{Sample, processor_s};
use crate::table::{Report, Value};

/// A flash each 125 ms: six or seven epochs are open.
const SOA_S: f64 = 0.125;
/// Turns of a paced loop and the same loop without the path.
const TURNS: usize = 10;

/// 64 channels at 1 kHz and 256 at 2 kHz: does one core carry it?
pub(crate) fn sustained(report: &mut Report, effort: Effort) {
    report.section(
        "sustained",
        "The whole path in real time, a flash each 125 ms: load of one core",
        "All quality checks, LDA + tangent space. Asleep until the last sample of a chunk is due. thread: processor time of the whole \
         thread. waking: the same thread without the path, in turns with it: sleeping, waking and reading the clock, which is \
         the system's share. path: time on the clock spent in the path; whoever else had the core meanwhile is in it, and caches are \
         what they are. Medians of ten turns.",
    );
    for (channels, rate_hz) in [(64, 1_000.0), (256, 2_000.0)] {
        for chunk in [1, 16] {
            let paced = Paced::measured(channels, rate_hz, chunk, effort);
            report.row(&[
                ("channels", Value::Count(channels)),
                ("rate_hz", Value::Count(rate_hz as usize)),
                ("chunk", Value::Count(chunk as usize)),
                ("thread_percent", Value::Percent(paced.thread)),
                ("waking_percent", Value::Percent(paced.waking)),
                ("path_percent", Value::Percent(paced.path)),
                ("p50_us", micros(&paced.times, 50.0)),
                ("p99_us", micros(&paced.times, 99.0)),
                ("p99.9_us", micros(&paced.times, 99.9)),
                ("samples", Value::Count(paced.times.n())),
            ]);
        }
    }
}

/// The worst sample: once a second a verdict falls on every channel.
pub(crate) fn worst(report: &mut Report, effort: Effort) {
    report.section(
        "worst",
        "Time of one sample in the whole path, a flash each 125 ms: us",
        "Flat out, caches warm. verdict: the sample on which a second ends and every channel is judged. max is whatever else \
         happened to the thread.",
    );
    let scorers: [(&'static str, Scorer); 2] = [("LDA", linear), ("LDA + tangent space", fusion)];
    for (channels, rate_hz) in [(64, 1_000.0), (256, 2_000.0)] {
        for (name, scorer) in scorers {
            let mut feed = Feed::new(channels, rate_hz, scorer);
            let first = feed.at;
            let every = feed.run((effort.signal_s * rate_hz) as u64, SOA_S);
            let second = rate_hz as u64;
            let on_verdicts = (first..).zip(&every);
            let on_verdicts = on_verdicts
                .filter(|(at, _)| (at + 1) % second == 0)
                .map(|(_, ns)| *ns)
                .collect();
            let (every, verdicts) = (Sample::new(every), Sample::new(on_verdicts));
            report.row(&[
                ("channels", Value::Count(channels)),
                ("rate_hz", Value::Count(rate_hz as usize)),
                ("scorer", Value::Text(name)),
                ("p50_us", micros(&every, 50.0)),
                ("p99_us", micros(&every, 99.0)),
                ("p99.9_us", micros(&every, 99.9)),
                ("max_us", micros(&every, 100.0)),
                ("verdict_p50_us", micros(&verdicts, 50.0)),
                ("samples", Value::Count(every.n())),
                ("verdicts", Value::Count(verdicts.n())),
            ]);
        }
    }
}

fn micros(of: &Sample, percent: f64) -> Value {
    Value::Microseconds(of.percentile(percent) / 1e3)
}

/// Percent of a core, and the time of each sample in nanoseconds.
struct Paced {
    thread: f64,
    waking: f64,
    path: f64,
    times: Sample,
}

impl Paced {
    fn measured(channels: usize, rate_hz: f64, chunk: u64, effort: Effort) -> Self {
        let mut feed = Feed::new(channels, rate_hz, fusion);
        // All memory that a longer run would touch has been.
        feed.run((5.0 * rate_hz) as u64, SOA_S);
        let turn_s = (effort.signal_s / 60.0).min(2.0);
        let samples = (turn_s * rate_hz) as u64 / chunk * chunk;
        let period = Duration::from_secs_f64(chunk as f64 / rate_hz);
        let signal_s = samples as f64 / rate_hz;
        let (mut thread, mut waking, mut path) = (Vec::new(), Vec::new(), Vec::new());
        let mut times = Vec::new();
        for _ in 0..TURNS {
            let before_s = processor_s();
            let mut of_turn = Vec::with_capacity(samples as usize);
            in_real_time(samples / chunk, period, || {
                of_turn.extend(feed.run(chunk, SOA_S));
            });
            thread.push((processor_s() - before_s) / signal_s * 100.0);
            path.push(of_turn.iter().sum::<f64>() / 1e9 / signal_s * 100.0);
            times.extend(of_turn);
            let before_s = processor_s();
            in_real_time(samples / chunk, period, || {});
            waking.push((processor_s() - before_s) / signal_s * 100.0);
        }
        let median = |of: Vec<f64>| Sample::new(of).percentile(50.0);
        Self {
            thread: median(thread),
            waking: median(waking),
            path: median(path),
            times: Sample::new(times),
        }
    }
}

fn in_real_time(chunks: u64, period: Duration, mut work: impl FnMut()) {
    let mut due = Instant::now();
    for _ in 0..chunks {
        due += period;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        work();
    }
}
