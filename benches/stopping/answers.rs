//! What recorded flashes would have told the gate: a profile from one recording, evidence from a later one.

use std::path::Path;

use anyhow::{Context, ensure};
use razvilka::cli::{calibrate, recorded};
use razvilka::config::{EegSection, Plan};
use razvilka::engine::lines;
use razvilka::fork::ForkId;
use razvilka::gate::{GateSettings, Lease};
use razvilka::pipeline::eeg::FlashEvidence;
use razvilka::pipeline::presenter::{FlashId, FlashNotice};
use razvilka::source::pins::Pins;
use razvilka_calibration::Profile;

/// One recorded flash.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer {
    /// Calibration block, or letter.
    pub(crate) run: u32,
    /// Whether the person attended to it.
    pub(crate) target: bool,
    /// Log-likelihood ratio, nats; `None` where the live path rejects the epoch.
    pub(crate) llr_nats: Option<f64>,
}

/// One person: labelled flashes in the order in which they were recorded, and the gate as a session would set it.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    pub(crate) answers: Vec<Answer>,
    pub(crate) gate: GateSettings,
    /// From a flash to its evidence, seconds.
    pub(crate) epoch_s: f64,
    /// Area under the ROC curve of the evidence.
    pub(crate) auc: f64,
    /// The scorer that its calibration picked.
    pub(crate) scorer: &'static str,
}

/// Calibrates on `train` as `razvilka calibrate` does, and sends `test` through the line that is at work in a session.
pub(crate) fn person(train: &Path, test: &Path) -> anyhow::Result<Person> {
    let profile = calibrated(train)?;
    let eeg = profile.eeg.as_ref().context("a profile without EEG")?;
    let told = |failure: razvilka::cli::exit::Failure| anyhow::anyhow!(failure.message);
    let recorded = recorded::Recorded::open(test, &recorded::Streams::default()).map_err(told)?;
    let stream = recorded.eeg().map_err(told)?;
    let section = EegSection {
        pins: Pins::default(),
        use_channels: None,
    };
    let mut line = lines::eeg_line(&section, eeg, &stream.spec, None)?;
    let flashes = recorded.flashes();
    let mut answers: Vec<Option<Answer>> = flashes
        .iter()
        .map(|flash| {
            flash.target.map(|target| Answer {
                run: flash.run,
                target,
                llr_nats: None,
            })
        })
        .collect();
    let mut announced = 0;
    let mut row = vec![0.0_f32; stream.channels()];
    for (index, &stamp_s) in stream.stamps.iter().enumerate() {
        while let Some(flash) = flashes.get(announced).filter(|f| f.onset_s <= stamp_s) {
            // A flash that is refused is one without evidence.
            line.flash(&FlashNotice {
                id: FlashId::new(ForkId(0), u32::try_from(announced)?, 0),
                onset_s: flash.onset_s,
                offset_s: 0.0,
                lease: Lease { epoch: 0 },
            });
            announced += 1;
        }
        let numbers = stream.numbers(index).unwrap_or_default();
        for (to, from) in row.iter_mut().zip(numbers) {
            *to = *from as f32;
        }
        line.sample(stamp_s, &row);
        while let Some(FlashEvidence { id, llr_nats, .. }) = line.pop() {
            if let Some(Some(answer)) = answers.get_mut(id.number() as usize) {
                answer.llr_nats = Some(llr_nats);
            }
        }
    }
    let answers: Vec<Answer> = answers.into_iter().flatten().collect();
    let auc = auc(&answers);
    ensure!(
        auc.is_finite(),
        "{}: no clean flashes of both kinds with a known truth",
        test.display()
    );
    Ok(Person {
        gate: lines::gate_settings(&Plan::default(), &profile)?,
        epoch_s: eeg.path.epoch.length.get(),
        scorer: eeg.selection.picked.name(),
        answers,
        auc,
    })
}

fn calibrated(train: &Path) -> anyhow::Result<Profile> {
    let folder = tempfile::tempdir()?;
    let line = Line::try_parse_from([
        "calibrate".as_ref(),
        "--xdf".as_ref(),
        train.as_os_str(),
        "--out".as_ref(),
        folder.path().join("profile").as_os_str(),
    ])?;
    calibrate::run(&line.args, &mut std::io::sink())
        .map_err(|failure| anyhow::anyhow!(failure.message))
}

use clap::Parser;

/// `razvilka calibrate` as it is typed: its defaults are those of the command.
#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    args: calibrate::Args,
}

/// The share of (target, other) pairs in the right order, ties half.
fn auc(answers: &[Answer]) -> f64 {
    let of = |target: bool| {
        answers
            .iter()
            .filter(move |a| a.target == target)
            .filter_map(|a| a.llr_nats)
    };
    let (mut right, mut pairs) = (0.0, 0.0);
    for target in of(true) {
        for other in of(false) {
            pairs += 1.0;
            right += match target.total_cmp(&other) {
                std::cmp::Ordering::Greater => 1.0,
                std::cmp::Ordering::Equal => 0.5,
                std::cmp::Ordering::Less => 0.0,
            };
        }
    }
    right / pairs
}

/// Correlation of a flash's evidence with that of the flash `lag` later, both non-targets of one letter.
pub(crate) fn correlation(answers: &[Answer], lag: usize) -> f64 {
    let pairs: Vec<(f64, f64)> = answers
        .iter()
        .zip(answers.iter().skip(lag))
        .filter(|(a, b)| !a.target && !b.target && a.run == b.run)
        .filter_map(|(a, b)| a.llr_nats.zip(b.llr_nats))
        .collect();
    let n = pairs.len() as f64;
    let mean = pairs
        .iter()
        .fold((0.0, 0.0), |m, p| (m.0 + p.0 / n, m.1 + p.1 / n));
    let (mut both, mut one, mut two) = (0.0, 0.0, 0.0);
    for (a, b) in &pairs {
        let (a, b) = (a - mean.0, b - mean.1);
        both += a * b;
        one += a * a;
        two += b * b;
    }
    both / (one * two).sqrt()
}

/// How the evidence ought to be read on this recording: offset and slope of a logistic regression of "target" on the
/// log-likelihood ratio, the base rate as offset (Cox 1958). 0 and 1 for evidence that is as sure as it may be; a slope above
/// 1 says that it could be surer, an offset below 0 that it overrates every flash.
pub(crate) fn cox(answers: &[Answer]) -> (f64, f64) {
    let scored: Vec<(f64, f64)> = answers
        .iter()
        .filter_map(|a| Some((a.llr_nats?, f64::from(u8::from(a.target)))))
        .collect();
    let share = scored.iter().map(|s| s.1).sum::<f64>() / scored.len() as f64;
    let base = (share / (1.0 - share)).ln();
    let (mut offset, mut slope) = (0.0, 1.0);
    // Newton's method on a concave function of two numbers.
    for _ in 0..25 {
        let (mut g, mut h) = ([0.0; 2], [0.0; 3]);
        for (llr, y) in &scored {
            let p = 1.0 / (1.0 + (-(base + offset + slope * llr)).exp());
            let w = p * (1.0 - p);
            g = [g[0] + y - p, g[1] + (y - p) * llr];
            h = [h[0] + w, h[1] + w * llr, h[2] + w * llr * llr];
        }
        let det = h[0] * h[2] - h[1] * h[1];
        offset += (h[2] * g[0] - h[1] * g[1]) / det;
        slope += (h[0] * g[1] - h[1] * g[0]) / det;
    }
    (offset, slope)
}
