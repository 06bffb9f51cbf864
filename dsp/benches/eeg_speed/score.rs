//! Latency: from the last sample of an epoch to its score, and of a block.

use std::hint::black_box;
use std::time::Instant;

use crate::Effort;
use crate::feed::{Feed, SCORERS, Scorer, linear};
use crate::measure::Sample;
use crate::table::{Report, Value};

/// Larger than the caches that belong to one core.
const EVICT_BYTES: usize = 8 << 20;

/// From feeding the last sample of an epoch to having its score.
pub(crate) fn score(report: &mut Report, effort: Effort) {
    report.section(
        "score",
        "Last sample of an epoch to its score",
        "Five biquads, common average, all quality checks, epochs of 0.8 s, a flash each 175 ms, so that four or five are open. \
         LDA + tangent space is the fusion that a calibration picks by default. The time includes all that the path does with this \
         sample. Cold: 8 MiB of other data were read just before.",
    );
    for (name, scorer) in SCORERS {
        for (channels, rate_hz) in [(8, 512.0), (32, 512.0), (64, 512.0), (64, 1_000.0)] {
            for cold in [false, true] {
                let found = last_samples(channels, rate_hz, scorer, effort, cold);
                report.row(&[
                    ("scorer", Value::Text(name)),
                    ("channels", Value::Count(channels)),
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

fn last_samples(
    channels: usize,
    rate_hz: f64,
    scorer: Scorer,
    effort: Effort,
    cold: bool,
) -> Sample {
    let mut feed = Feed::new(channels, rate_hz, scorer);
    let other = vec![1_u64; EVICT_BYTES / 8];
    let epoch_samples = feed.path.epoch_shape().samples() as u64;
    let soa_samples = (0.175 * rate_hz).round() as u64;
    let mut times = Vec::new();
    let until = feed.at + (effort.signal_s * rate_hz) as u64;
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
