//! State of the person: how surely fatigue is told, how often by mistake, and what it costs.
//!
//! ```sh
//! cargo bench --bench state -- --persons 20 --minutes 15
//! cargo bench --bench state -- --persons 0 --data ../shared/data/p300
//! cargo bench --bench state -- --persons 0 --gaze ../shared/data/gaze/gazecom
//! ```
//!
//! Each simulated person sits twice: once it tires (two thirds of its tiredness after 15 minutes), once it does not. It is calibrated, then
//! asked fork after fork. One JSON line per sitting with the state at its end, one with how many were told as tired; the option
//! that counts as chosen is the one the person attended to, so no wrong choice is in the P300 figures. With `--data` the indices of each
//! `gtec5_S*` recording, every 10 s, training and test one after the other. `--cost` gives the time of one second of EEG. With `--gaze` what the state of the eyes counts in a folder of
//! `t_ms,x_deg,y_deg,valid` tables, all one after the other as if one person had sat through them: blinks, and the main sequence.

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
use razvilka_dsp::eye_state::{EyeIndices, EyeSample, EyeStateSpec, EyeStateTracker};
use razvilka_dsp::gaze::{DetectorKind, GazeSample};
use razvilka_dsp::state::{Index, StateTracker};
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
    gaze: Option<PathBuf>,
    cost: bool,
}

fn options() -> anyhow::Result<Options> {
    let mut options = Options {
        persons: 1,
        minutes: 5.0,
        seed: 1,
        data: None,
        gaze: None,
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
            "--gaze" => options.gaze = Some(value()?.into()),
            "--cost" => options.cost = true,
            other => bail!(
                "{other}: only --persons, --minutes, --seed, --data, --gaze and --cost are understood"
            ),
        }
    }
    Ok(options)
}

fn of(index: &Index) -> Value {
    json!([index.value, index.baseline, index.z, index.risen])
}

fn values(state: &PersonState) -> Value {
    let (indices, eyes) = (&state.indices, &state.eyes);
    json!({
        "theta_alpha": of(&indices.theta_alpha), "slow_fast": of(&indices.slow_fast), "spindles_per_min": of(&indices.spindles_per_min),
        "blinks_per_min": of(&eyes.blinks_per_min), "blink_s": of(&eyes.blink_s), "perclos": of(&eyes.perclos),
        "saccade_peak_deg_s": of(&eyes.saccade_peak_deg_s), "bcea_deg2": of(&eyes.bcea_deg2), "rms_s2s_deg": eyes.rms_s2s_deg,
        "p300": state.p300.map(|p| json!([p.amplitude, p.se, p.forks, p.since.map(|s| [s.baseline, s.z, s.fallen])])),
    })
}

/// Probabilities that the eyes' indices have moved the way of fatigue.
fn of_eyes(eyes: &EyeIndices) -> [Option<f64>; 5] {
    [
        eyes.blinks_per_min.risen,
        eyes.blink_s.risen,
        eyes.perclos.risen,
        eyes.saccade_peak_deg_s.risen.map(|p| 1.0 - p),
        eyes.bcea_deg2.risen,
    ]
}

fn persons(options: &Options) {
    for (who, tires_in_s) in [("tires", 900.0), ("stays fresh", 1e7)] {
        let mut told = [0_u64; 11];
        let mut known_of = [0_u64; 5];
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
            let (i, eyes) = (&last.state.indices, &last.state.eyes);
            let sure = |p: Option<f64>| u64::from(p.is_some_and(|p| p > TOLD));
            let of = [
                sure(i.theta_alpha.risen.map(|p| 1.0 - p)),
                sure(i.theta_alpha.risen),
                sure(i.slow_fast.risen),
                sure(i.spindles_per_min.risen),
                sure(last.state.p300.and_then(|p| p.since).map(|s| s.fallen)),
                sure(eyes.blinks_per_min.risen),
                sure(eyes.blink_s.risen),
                sure(eyes.perclos.risen),
                sure(eyes.saccade_peak_deg_s.risen.map(|p| 1.0 - p)),
                sure(eyes.bcea_deg2.risen),
                // Two of five is chance in one of fifty, were they independent.
                u64::from(of_eyes(eyes).into_iter().map(sure).sum::<u64>() >= 2),
            ];
            for (sum, one) in known_of.iter_mut().zip(of_eyes(eyes)) {
                *sum += u64::from(one.is_some());
            }
            told.iter_mut().zip(of).for_each(|(sum, one)| *sum += one);
            known += 1;
        }
        println!(
            "{}",
            json!({ "who": who, "minutes": options.minutes, "n": known, "probability_over": TOLD,
                "theta_alpha_fallen": told[0], "theta_alpha_risen": told[1], "slow_fast_risen": told[2],
                "spindles_risen": told[3], "p300_fallen": told[4], "blinks_per_min_risen": told[5], "blink_s_risen": told[6],
                "perclos_risen": told[7], "saccade_peak_fallen": told[8], "bcea_risen": told[9], "two_of_the_eyes": told[10],
                "eyes_known": known_of })
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
                            eyes: EyeIndices::default(),
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

/// The rows of a table of gaze.
fn gaze_of(path: &Path) -> anyhow::Result<Vec<GazeSample>> {
    let text = std::fs::read_to_string(path)?;
    let number = |text: Option<&str>| text.and_then(|t| t.parse::<f64>().ok());
    let rows = text.lines().skip(1).filter_map(|line| {
        let mut columns = line.split(',');
        let t_s = number(columns.next())? / 1e3;
        let [x_deg, y_deg] = [(); 2].map(|()| number(columns.next()).unwrap_or(f64::NAN));
        let valid = number(columns.next()).is_none_or(|valid| valid != 0.0);
        Some(GazeSample {
            t_s,
            x_deg,
            y_deg,
            valid: valid && x_deg.is_finite() && y_deg.is_finite(),
        })
    });
    Ok(rows.collect())
}

/// Every recording of a folder through one tracker per rate; the recordings are short, so the figures are those of all people together.
fn eyes_of_recordings(folder: &Path) -> anyhow::Result<()> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.retain(|path| path.extension().is_some_and(|ending| ending == "csv"));
    files.sort();
    let mut tracker: Option<EyeStateTracker> = None;
    let mut offset_s = 0.0;
    let mut seconds = 0.0;
    for path in &files {
        let samples = gaze_of(path)?;
        let (Some(first), Some(last)) = (samples.first(), samples.last()) else {
            continue;
        };
        let length_s = last.t_s - first.t_s;
        seconds += length_s;
        let rate_hz = (samples.len() - 1) as f64 / length_s;
        let tracker = match &mut tracker {
            Some(tracker) => tracker,
            empty => empty.insert(EyeStateTracker::new(EyeStateSpec {
                rate: Hertz::new(rate_hz.round())?,
                detector: DetectorKind::Trained,
                baseline: Seconds::new(60.0)?,
                recent: Seconds::new(600.0)?,
            })?),
        };
        tracker.restart();
        for sample in &samples {
            let t_s = offset_s + sample.t_s - first.t_s;
            let gaze = GazeSample { t_s, ..*sample };
            tracker.push(EyeSample {
                gaze,
                openness: None,
            });
        }
        offset_s += length_s + 1.0;
    }
    let Some(tracker) = tracker else {
        return Ok(());
    };
    let indices = tracker.indices();
    println!(
        "{}",
        json!({ "folder": folder.display().to_string(), "recordings": files.len(), "seconds": seconds,
            "blinks_per_min": of(&indices.blinks_per_min), "blink_s": of(&indices.blink_s), "perclos": of(&indices.perclos),
            "saccade_peak_deg_s": of(&indices.saccade_peak_deg_s), "bcea_deg2": of(&indices.bcea_deg2),
            "rms_s2s_deg": indices.rms_s2s_deg,
            "main_sequence": tracker.main_sequence().map(|s| json!({ "at_1_deg": s.at_one_ln.exp(), "exponent": s.exponent })) })
    );
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
    if let Some(gaze) = &options.gaze {
        eyes_of_recordings(gaze)?;
    }
    Ok(())
}
