//! What decoding does to signals: the same streams through the same threads once more, with the decoder at rest.
//!
//! What the signals' threads have to do is the same: tiles go up as often as they did, and there are as many flashes. Only nobody is asked and
//! nothing is written, so what differs is the decoder's work. It is measured behind the run that is certified, which says how often that was.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use razvilka_dsp::units::MonoTime;
use serde::{Deserialize, Serialize};

use super::asking::{LEAD, TURN};
use super::driver::Driver;
use super::threads::{Scratch, Threads};
use super::{CertifyError, Settings, gate_settings, load_average};
use crate::config::ScreenSection;
use crate::decode::Model;
use crate::engine::EngineError;
use crate::engine::latency::StreamLatency;
use crate::fork::{Branch, Fork, ForkId, ForkOrigin, MAX_BRANCHES, options_of};
use crate::gate::Lease;
use crate::marker::OptionTile;
use crate::rt;
use crate::source::lsl::Network;
use crate::view::layout;

/// The step that is compared: from a sample in hand to its score.
const STEP: &str = "pulled>scored";
/// How many times as long its 99th percentile may be while the decoder works.
const RATIO_MAX: f64 = 3.0;

/// What was measured while the decoder rested.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Idle {
    /// How long, seconds.
    pub seconds: f64,
    /// Load averages over 1, 5 and 15 minutes, before and after; empty where the system does not say.
    pub load_average: [String; 2],
    /// Latency of every block of each stream.
    pub streams: Vec<StreamLatency>,
    /// Pulled to scored, beside what it was while the decoder worked.
    pub slowed: Vec<Slowed>,
}

/// A stream's 99th percentile of pulled to scored, at rest and at work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Slowed {
    /// `eeg` or `gaze`.
    pub stream: String,
    /// With the decoder at rest, microseconds.
    pub idle_p99_us: f64,
    /// With the decoder at work, microseconds.
    pub loaded_p99_us: f64,
    /// The latter, relative to the former.
    pub ratio: f64,
}

/// Measures for `seconds` with the decoder at rest, and tiles and a flash `forks_per_s` times a second.
pub(super) fn at_rest(
    network: Network,
    settings: &Settings,
    model: &Arc<Model>,
    driver: &mut Command,
    (seconds, forks_per_s): (f64, f64),
    stop: &AtomicBool,
) -> Result<Idle, CertifyError> {
    let load_before = load_average();
    let mut driver = Driver::start(driver)?;
    let scratch = Scratch::new().map_err(EngineError::from)?;
    let (gate, screen) = (gate_settings()?, ScreenSection::default());
    let model = Arc::clone(model);
    let mut threads = Threads::start(network, settings, gate, &screen, model, &scratch)?;
    driver.begin()?;
    threads.settle(stop)?;
    let seconds = show(&mut threads, &screen, (seconds, forks_per_s), stop)?;
    let ended = threads.finish(settings)?;
    driver.finish()?;
    Ok(Idle {
        seconds,
        load_average: [load_before, load_average()],
        streams: ended.streams,
        slowed: Vec::new(),
    })
}

/// Puts tiles up and flashes, for `seconds` or until `stop`; says for how long it did, seconds.
fn show(
    threads: &mut Threads,
    screen: &ScreenSection,
    (seconds, forks_per_s): (f64, f64),
    stop: &AtomicBool,
) -> Result<f64, EngineError> {
    let tiles = tiles(screen);
    let begun = Instant::now();
    let mut forks = 0;
    while begun.elapsed().as_secs_f64() < seconds && !stop.load(Ordering::Relaxed) {
        if begun.elapsed().as_secs_f64() * forks_per_s >= forks as f64 {
            let appears = MonoTime::from_nanos(rt::now().as_nanos() + LEAD.as_nanos() as u64);
            let appears = rt::lsl_of(appears);
            threads.put_up(ForkId(forks), &tiles, Lease { epoch: 1 }, appears, Some(1))?;
            forks += 1;
        }
        std::thread::sleep(TURN);
        threads.look_after_if_due()?;
    }
    Ok(begun.elapsed().as_secs_f64())
}

/// The tiles of a fork of three branches.
fn tiles(screen: &ScreenSection) -> Vec<OptionTile> {
    let branch = Branch {
        text: "a branch".into(),
        tokens: Vec::new(),
        prior: 1.0 / MAX_BRANCHES as f64,
        log_prob_nats: 0.0,
    };
    let fork = Fork {
        id: ForkId(0),
        position: 0,
        context: String::new(),
        branches: vec![branch; MAX_BRANCHES],
        origin: ForkOrigin::Called,
    };
    layout::tiles(&fork, &options_of(MAX_BRANCHES, false), screen)
}

impl Idle {
    /// With what the same streams took while the decoder worked. A step with too few measurements for a percentile is left out.
    pub(super) fn beside(mut self, loaded: &[StreamLatency]) -> Self {
        let p99_us = |stream: &StreamLatency| {
            let mut steps = stream.steps.iter();
            steps.find(|step| step.step == STEP)?.p99_us
        };
        let pairs = self.streams.iter().filter_map(|idle| {
            let loaded = loaded.iter().find(|other| other.stream == idle.stream)?;
            let (idle_p99_us, loaded_p99_us) = (p99_us(idle)?, p99_us(loaded)?);
            Some(Slowed {
                stream: idle.stream.clone(),
                idle_p99_us,
                loaded_p99_us,
                ratio: loaded_p99_us / idle_p99_us.max(f64::MIN_POSITIVE),
            })
        });
        self.slowed = pairs.collect();
        self
    }

    /// The streams that decoding slows too much, one sentence each.
    pub(super) fn misses(&self) -> impl Iterator<Item = String> + '_ {
        let slow = self.slowed.iter().filter(|slowed| slowed.ratio > RATIO_MAX);
        slow.map(|slowed| {
            format!(
                "{} {STEP}: p99 with the decoder at work {:.1} us, {:.2} times the {:.1} us at rest, {RATIO_MAX} allowed",
                slowed.stream, slowed.loaded_p99_us, slowed.ratio, slowed.idle_p99_us
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BudgetSection;
    use crate::pipeline::eeg::StepTimes;

    fn stream(name: &str, pulled_to_scored_us: u64, n: u64) -> StreamLatency {
        let mut times = StepTimes::default();
        for _ in 0..n {
            times
                .pulled_to_scored
                .saturating_record(pulled_to_scored_us * 1_000);
        }
        StreamLatency::new(
            name,
            &times,
            &BudgetSection::default(),
            serde_json::Value::Null,
            0,
        )
    }

    #[test]
    fn a_stream_that_decoding_slows_more_than_three_times_is_named() {
        let idle = |name: &str, us, n| Idle {
            seconds: 5.0,
            load_average: [String::new(), String::new()],
            streams: vec![stream(name, us, n)],
            slowed: Vec::new(),
        };
        let fine = idle("eeg", 20, 200).beside(&[stream("gaze", 900, 200), stream("eeg", 55, 200)]);
        assert!((fine.slowed[0].ratio - 2.75).abs() < 0.01, "{fine:?}");
        assert_eq!(fine.misses().count(), 0);
        let slow = idle("eeg", 20, 200).beside(&[stream("eeg", 70, 200)]);
        let said: Vec<_> = slow.misses().collect();
        assert!(
            said.len() == 1 && said[0].starts_with("eeg pulled>scored: p99 with"),
            "{said:?}"
        );
        // Too few measurements say nothing.
        let few = idle("eeg", 20, 99).beside(&[stream("eeg", 70, 200)]);
        assert_eq!(few.slowed, []);
    }
}
