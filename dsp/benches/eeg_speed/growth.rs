//! How the cost grows with channels, rate, open epochs and scorer.

use crate::Effort;
use crate::feed::{Feed, SCORERS, Scorer, linear};
use crate::measure::processor_s;
use crate::table::{Report, Value};

const CHANNELS: [usize; 6] = [8, 16, 32, 64, 128, 256];

/// How the cost grows with channels, rate and open epochs.
pub(crate) fn growth(report: &mut Report, effort: Effort) {
    report.section(
        "growth_epochs",
        "Whole path at 1 kHz: mean ns per sample with this many epochs open",
        "Everything switched on, caches warm; processor time of the thread, reading the clock twice per row only.",
    );
    for channels in CHANNELS {
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
    for channels in CHANNELS {
        let load = |rate_hz: f64| {
            let ns = mean_ns_at_soa(channels, rate_hz, linear, effort);
            Value::Percent(ns * rate_hz / 1e9 * 100.0)
        };
        report.row(&[
            ("channels", Value::Count(channels)),
            ("hz_250", load(250.0)),
            ("hz_500", load(500.0)),
            ("hz_1000", load(1_000.0)),
            ("hz_2000", load(2_000.0)),
        ]);
    }
    report.section(
        "growth_scorer",
        "Whole path at 1 kHz, a flash each 125 ms: mean ns per sample by scorer",
        "Everything switched on, caches warm; processor time of the thread. One epoch in 125 samples ends and is scored.",
    );
    for channels in CHANNELS {
        let mut row = vec![("channels", Value::Count(channels))];
        for (name, scorer) in SCORERS {
            let ns = mean_ns_at_soa(channels, 1_000.0, scorer, effort);
            row.push((name, Value::Nanoseconds(ns)));
        }
        report.row(&row);
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

fn mean_ns_at_soa(channels: usize, rate_hz: f64, scorer: Scorer, effort: Effort) -> f64 {
    let mut feed = Feed::new(channels, rate_hz, scorer);
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
