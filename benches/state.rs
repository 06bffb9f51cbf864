//! State of the person: how surely fatigue is told, how often by mistake, and what it costs.
//!
//! ```sh
//! cargo bench --bench state -- --persons 20 --minutes 15
//! cargo bench --bench state -- --persons 0 --data ../shared/data/p300
//! ```
//!
//! Each simulated person sits twice: once it tires (two thirds of its tiredness after 15 minutes), once it does not. It is calibrated, then
//! asked fork after fork. One JSON line per sitting with the state at its end, one with how many were told as tired; the option
//! that counts as chosen is the one the person attended to, so no wrong choice is in the P300 figures. With `--data` the indices of each
//! `gtec5_S*` recording, every 10 s, training and test one after the other. `--cost` gives the time of one second of EEG.

#[path = "../tests/state_common/mod.rs"]
mod state_common;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail};
use razvilka::cli::recorded::{Recorded, Streams};
use razvilka::config::StateSection;
use razvilka::person::PersonState;
use razvilka::sim::SimSettings;
use razvilka_dsp::eeg::EegSpec;
use razvilka_dsp::state::StateTracker;
use razvilka_dsp::units::{Hertz, Seconds};
use serde_json::{Value, json};
use state_common::{sitting, state_spec};

/// Probability from which a person counts as told.
const TOLD: f64 = 0.95;

struct Options {
    persons: u64,
    minutes: f64,
    seed: u64,
    data: Option<PathBuf>,
    cost: bool,
}

fn options() -> anyhow::Result<Options> {
    let mut options = Options {
        persons: 1,
        minutes: 5.0,
        seed: 1,
        data: None,
        cost: false,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || {
            arguments
                .next()
                .with_context(|| format!("{argument} wants a value"))
        };
        match argument.as_str() {
            "--bench" => {}
            "--persons" => options.persons = value()?.parse()?,
            "--minutes" => options.minutes = value()?.parse()?,
            "--seed" => options.seed = value()?.parse()?,
            "--data" => options.data = Some(value()?.into()),
            "--cost" => options.cost = true,
            other => bail!(
                "{other}: only --persons, --minutes, --seed, --data and --cost are understood"
            ),
        }
    }
    Ok(options)
}

fn values(state: &PersonState) -> Value {
    let indices = &state.indices;
    json!({
        "theta_alpha": [indices.theta_alpha.value, indices.theta_alpha.baseline, indices.theta_alpha.z, indices.theta_alpha.risen],
        "slow_fast": [indices.slow_fast.value, indices.slow_fast.baseline, indices.slow_fast.z, indices.slow_fast.risen],
        "spindles_per_min": [indices.spindles_per_min.value, indices.spindles_per_min.baseline, indices.spindles_per_min.z,
            indices.spindles_per_min.risen],
        "p300": state.p300.map(|p| json!([p.amplitude, p.se, p.forks, p.since.map(|s| [s.baseline, s.z, s.fallen])])),
    })
}

fn persons(options: &Options) {
    for (who, tires_in_s) in [("tires", 900.0), ("stays fresh", 1e7)] {
        let mut told = [0_u64; 5];
        let mut known = 0_u64;
        for seed in options.seed..options.seed + options.persons {
            let settings = SimSettings {
                seed,
                tires_in_s: Some(tires_in_s),
                ..SimSettings::default()
            };
            let states = sitting(&settings, 60.0 * options.minutes);
            let Some(last) = states.last() else { continue };
            println!(
                "{}",
                json!({ "person": seed, "who": who, "at_s": last.seconds, "state": values(&last.state) })
            );
            let i = &last.state.indices;
            let sure = |p: Option<f64>| u64::from(p.is_some_and(|p| p > TOLD));
            let of = [
                sure(i.theta_alpha.risen.map(|p| 1.0 - p)),
                sure(i.theta_alpha.risen),
                sure(i.slow_fast.risen),
                sure(i.spindles_per_min.risen),
                sure(last.state.p300.and_then(|p| p.since).map(|s| s.fallen)),
            ];
            told.iter_mut().zip(of).for_each(|(sum, one)| *sum += one);
            known += 1;
        }
        println!(
            "{}",
            json!({ "who": who, "minutes": options.minutes, "n": known, "probability_over": TOLD,
                "theta_alpha_fallen": told[0], "theta_alpha_risen": told[1], "slow_fast_risen": told[2],
                "spindles_risen": told[3], "p300_fallen": told[4] })
        );
    }
}

fn recordings(data: &Path) -> anyhow::Result<()> {
    let said = |failure: razvilka::cli::exit::Failure| anyhow::anyhow!(failure.message);
    for person in 1..=9 {
        let mut tracker: Option<StateTracker> = None;
        for part in ["train", "test"] {
            let file = data.join(format!("gtec5_S{person}_{part}.xdf"));
            if !file.is_file() {
                continue;
            }
            let recorded = Recorded::open(&file, &Streams::default()).map_err(said)?;
            let stream = recorded.eeg().map_err(said)?;
            let labels = &stream.spec.labels;
            let path = EegSpec::p300(Hertz::new(stream.spec.rate_hz)?, labels.len());
            if tracker.is_none() {
                // The recordings are short: half a minute of baseline, half a minute of present.
                let section = StateSection {
                    baseline_s: 40.0,
                    recent_s: 30.0,
                    ..StateSection::default()
                };
                tracker = Some(StateTracker::new(state_spec(&section, &path, labels))?);
            }
            let tracker = tracker.as_mut().context("just made")?;
            tracker.restart();
            let begin = stream.stamps.first().copied().unwrap_or(0.0);
            let mut row = vec![0.0_f32; labels.len()];
            let mut seconds = 0_u32;
            for (sample, stamp) in stream.stamps.iter().enumerate() {
                let numbers = stream.numbers(sample).unwrap_or_default();
                row.iter_mut()
                    .zip(numbers)
                    .for_each(|(to, from)| *to = *from as f32);
                if tracker.push(*stamp, &row)? {
                    seconds += 1;
                    if seconds.is_multiple_of(10) {
                        let powers: Vec<_> = tracker
                            .powers()
                            .iter()
                            .zip(labels)
                            .map(|(p, label)| json!({ "channel": label, "theta": p.theta, "alpha": p.alpha, "beta": p.beta }))
                            .collect();
                        let indices = tracker.indices();
                        let state = PersonState {
                            indices,
                            p300: None,
                        };
                        println!(
                            "{}",
                            json!({ "person": person, "part": part, "at_s": stamp - begin, "channels": indices.channels,
                            "baseline": indices.baseline_share, "state": values(&state),
                            "uv2": if seconds == 30 { json!(powers) } else { Value::Null } })
                        );
                    }
                }
            }
        }
    }
    Ok(())
}

/// How long one second of EEG takes, milliseconds: the median, and the longest.
fn cost() -> anyhow::Result<()> {
    for (channels, rate_hz) in [(8, 250.0), (64, 250.0), (64, 1_000.0)] {
        let labels: Vec<String> = SimSettings::montage(channels);
        let path = EegSpec::p300(Hertz::new(rate_hz)?, channels);
        let section = StateSection {
            baseline_s: 30.0,
            recent_s: 20.0,
            ..StateSection::default()
        };
        let mut spec = state_spec(&section, &path, &labels);
        spec.window = Seconds::new(4.0)?;
        let mut tracker = StateTracker::new(spec)?;
        let (mut second, mut push) = (Vec::new(), Vec::new());
        let mut state = 1_u64;
        let mut row = vec![0.0_f32; channels];
        for n in 0..(60.0 * rate_hz) as u64 {
            for x in &mut row {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                *x = (state >> 58) as f32;
            }
            let begun = Instant::now();
            let ended = tracker.push(n as f64 / rate_hz, &row)?;
            push.push(begun.elapsed().as_secs_f64() * 1e3);
            if ended {
                second.push(push.last().copied().unwrap_or(0.0));
            }
        }
        let total: f64 = push.iter().sum();
        second.sort_by(f64::total_cmp);
        println!(
            "{}",
            json!({ "channels": channels, "rate_hz": rate_hz, "ms_per_second_of_eeg": total / 60.0,
            "ms_of_a_window_p50": second[second.len() / 2], "ms_of_a_window_max": second.last(), "n": second.len() })
        );
    }
    Ok(())
}

fn main() -> anyhow::Result<()> {
    let options = options()?;
    persons(&options);
    if options.cost {
        cost()?;
    }
    if let Some(data) = &options.data {
        recordings(data)?;
    }
    Ok(())
}
