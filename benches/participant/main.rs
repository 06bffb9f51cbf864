//! Is a simulated person with recorded EEG as easy to read as the recorded one?
//!
//! ```sh
//! cargo bench --bench participant -- --recordings A.xdf --sessions 5
//! ```
//!
//! Each recording makes a person for the simulated laboratory (`razvilka simulate --recording`). Without a clock the person
//! attends to cued blocks, as many flashes as the recording has, at its pace and its share of targets, and what comes out
//! is written as XDF. `razvilka calibrate` is run on the recording and on the simulated sessions; the AUC is out of fold, so
//! the two are measured alike. `unasked` is the AUC, on the background that the simulation plays and at the places where the
//! recording's flashes were, of a classifier fitted to another recording of the same person (`_test` for `_train`, and the
//! other way round): 0.5 when it finds nothing of the old responses. The recording's own classifier knows the noise that
//! it was fitted to, and one that is fitted to the background comes out far below 0.5 out of fold, as any would where the
//! mean was taken out of all: neither is a judge.
//!
//! The simulated person misses flashes, blinks and lapses as its preset says, beside what the recorded response has of that
//! in it already.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Parser;
use razvilka::choice::{FlashConfig, FlashSequence, FlashSettings};
use razvilka::cli::{calibrate, participant, recorded, score};
use razvilka::config::ScreenSection;
use razvilka::marker::{Event, Marker};
use razvilka::recording::xdf::Writer;
use razvilka::sim::{Laboratory, Preset, RealEeg, SimOutput, SimSettings, Streams};
use razvilka::view::layout;

const DATA: &str = "../shared/data/p300";
const START_S: f64 = 1000.0;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: calibrate::Args,
}

/// A profile fitted to a recording by `razvilka calibrate`, in a folder that lasts as long as this.
struct Fitted {
    folder: tempfile::TempDir,
    /// Out of fold.
    auc: f64,
}

fn fit(file: &Path) -> anyhow::Result<Fitted> {
    let folder = tempfile::tempdir()?;
    let line = Line::try_parse_from([
        "calibrate".as_ref(),
        "--xdf".as_ref(),
        file.as_os_str(),
        "--out".as_ref(),
        folder.path().join("profile").as_os_str(),
    ])?;
    let profile = calibrate::run(&line.args, &mut std::io::sink())
        .map_err(|failure| anyhow::anyhow!(failure.message))?;
    let auc = profile
        .eeg
        .context("a profile without EEG")?
        .metrics
        .auc
        .value;
    Ok(Fitted { folder, auc })
}

/// The other recording of the same person, if it is there.
fn other(file: &Path) -> Option<PathBuf> {
    let name = file.file_name()?.to_str()?;
    let other = if name.contains("_train") {
        name.replace("_train", "_test")
    } else {
        name.replace("_test", "_train")
    };
    let path = file.with_file_name(&other);
    (other != name && path.is_file()).then_some(path)
}

/// AUC of a profile on another recording, by `razvilka score p300`.
fn scored(fitted: &Fitted, file: &Path, flashes: &[recorded::Flash]) -> anyhow::Result<f64> {
    let args = score::Args {
        what: score::What::P300(score::P300Args {
            calibration: fitted.folder.path().join("profile/profile.json"),
            xdf: file.into(),
            as_calibrated: false,
            streams: recorded::Streams::default(),
        }),
    };
    let mut csv = Vec::new();
    score::run(&args, &mut csv, &mut std::io::sink())
        .map_err(|failure| anyhow::anyhow!(failure.message))?;
    let (mut scores, mut labels) = (Vec::new(), Vec::new());
    for line in String::from_utf8(csv)?.lines().skip(1) {
        let mut fields = line.split(',').map(str::parse::<f64>);
        let onset_s = fields.next().context("a line without an onset")??;
        let score = fields.next().context("a line without a score")??;
        let near = |flash: &&recorded::Flash| (flash.onset_s - onset_s).abs() < 1e-6;
        if let Some(target) = flashes.iter().find(near).and_then(|flash| flash.target) {
            scores.push(score);
            labels.push(target);
        }
    }
    Ok(razvilka_calibration::auc(&scores, &labels)?.value)
}

/// A cued session of a simulated person, written as XDF.
fn session(
    eeg: &RealEeg,
    preset: Preset,
    seed: u64,
    flashes: u32,
    file: &Path,
) -> anyhow::Result<()> {
    let settings = SimSettings {
        seed,
        preset,
        ..SimSettings::default()
    }
    .with_recording(eeg);
    let mut laboratory = Laboratory::with_recording(&settings, eeg.clone(), START_S)?;
    let pace = FlashSettings::new(FlashConfig {
        items_min: 8,
        target_interval_flashes_min: 2,
        soa_s: 0.176,
        soa_jitter_s: 0.012,
        ..FlashConfig::default()
    })?;
    let tiles = layout::calibration_tiles(8, &ScreenSection::default());
    let mut markers: Vec<(f64, Event)> = Vec::new();
    let mut now_s = START_S + 2.0;
    let blocks = 6;
    for run in 0..blocks {
        let cued = (run * 5 % 8) as i32;
        let options = tiles.clone();
        markers.push((
            now_s,
            Event::Cue {
                run,
                item: cued,
                options,
            },
        ));
        now_s += 1.5;
        let mut sequence = FlashSequence::new(8, &pace, seed, run.into())?;
        for _ in 0..flashes / blocks {
            let flash = sequence.next_flash();
            let body = Event::Flash {
                item: flash.item,
                target: Some(u8::from(flash.item == cued)),
                run: Some(run),
                fork: None,
                stamp: None,
            };
            markers.push((now_s, body));
            now_s += flash.soa_s;
        }
        now_s += 1.0;
        markers.push((now_s, Event::CueEnd { run }));
        now_s += 1.0;
    }
    let (mut stamps, mut values) = (Vec::new(), Vec::new());
    let (mut at, mut texts) = (Vec::new(), Vec::new());
    let mut take = |output: SimOutput<'_>| {
        if let SimOutput::Eeg {
            stamp_s,
            microvolts,
        } = output
        {
            stamps.push(stamp_s);
            values.extend_from_slice(microvolts);
        }
    };
    for (seq, (stamp_s, body)) in (0..).zip(markers) {
        laboratory.advance(stamp_s, &mut take);
        let marker = Marker { seq, body };
        laboratory.hear(stamp_s, &marker);
        at.push(stamp_s);
        texts.push(marker.to_json());
    }
    laboratory.advance(now_s + 2.0, &mut take);
    let specs = Streams::with_recording(&settings, eeg);
    let mut writer = Writer::create(file)?;
    let amplifier = writer.add_stream(&specs.eeg)?;
    let said = writer.add_stream(&specs.keys)?;
    writer.floats(amplifier, &stamps, &values)?;
    writer.texts(said, &at, &texts)?;
    writer.finish()?;
    Ok(())
}

/// The background that will be played, with the recording's own flashes.
fn background(eeg: &RealEeg, flashes: &[recorded::Flash], file: &Path) -> anyhow::Result<()> {
    let specs = Streams::with_recording(&SimSettings::default(), eeg);
    let mut writer = Writer::create(file)?;
    let amplifier = writer.add_stream(&specs.eeg)?;
    let said = writer.add_stream(&specs.keys)?;
    let raw = eeg.background();
    writer.floats(amplifier, &raw.stamps, &raw.values)?;
    let at: Vec<f64> = flashes.iter().map(|flash| flash.onset_s).collect();
    let texts: Vec<String> = flashes
        .iter()
        .map(|flash| {
            let target = flash.target.map(u8::from);
            serde_json::json!({ "event": "flash", "target": target, "run": flash.run }).to_string()
        })
        .collect();
    writer.texts(said, &at, &texts)?;
    writer.finish()?;
    Ok(())
}

fn main() -> anyhow::Result<()> {
    let (mut files, mut sessions) = (Vec::<PathBuf>::new(), 1);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || {
            let value = arguments.next();
            value.with_context(|| format!("{argument} wants a value"))
        };
        match argument.as_str() {
            "--bench" => sessions = sessions.max(5),
            "--recordings" => files.extend(value()?.split(',').map(PathBuf::from)),
            "--sessions" => sessions = value()?.parse()?,
            other => bail!("{other}: only --recordings and --sessions are understood"),
        }
    }
    if files.is_empty() {
        let named = (1..=9).map(|n| PathBuf::from(DATA).join(format!("gtec5_S{n}_train.xdf")));
        files.extend(named.filter(|file| file.is_file()));
    }
    if files.is_empty() {
        eprintln!(
            "no gtec5_S*_train.xdf in {DATA}: nothing was measured. Name some with --recordings"
        );
    }
    let folder = tempfile::tempdir()?;
    let made = folder.path().join("simulated.xdf");
    for file in &files {
        let streams = recorded::Streams::default();
        let told = |failure: razvilka::cli::exit::Failure| anyhow::anyhow!(failure.message);
        let eeg = participant::real_eeg(file, &streams).map_err(told)?;
        let flashes = recorded::Recorded::open(file, &streams)
            .map_err(told)?
            .flashes();
        background(&eeg, &flashes, &made)?;
        let unasked = match other(file) {
            Some(other) => format!("{:.3}", scored(&fit(&other)?, &made, &flashes)?),
            None => "not judged".to_owned(),
        };
        std::fs::remove_file(&made)?;
        println!(
            "{}: recorded {:.3}, unasked {unasked}, {} flashes, single responses vary by {:.2}",
            file.display(),
            fit(file)?.auc,
            flashes.len(),
            eeg.gain_sd(),
        );
        for preset in [Preset::Easy, Preset::Typical, Preset::Hard] {
            let mut found = Vec::new();
            for seed in 1..=sessions {
                session(&eeg, preset, seed, u32::try_from(flashes.len())?, &made)?;
                found.push(fit(&made)?.auc);
                std::fs::remove_file(&made)?;
            }
            let n = found.len() as f64;
            let mean = found.iter().sum::<f64>() / n;
            let sd = (found.iter().map(|a| (a - mean).powi(2)).sum::<f64>() / n).sqrt();
            println!(
                "  simulated, {preset:?}: {mean:.3}, sd {sd:.3} over {sessions} sessions {found:.3?}"
            );
        }
    }
    Ok(())
}
