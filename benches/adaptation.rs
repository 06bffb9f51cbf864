//! What learning from confirmed choices is worth: `cargo bench --bench adaptation`.
//!
//! A person's own training recording is cut after a number of letters (240 flashes, 42 s each) and calibrated on; what is left of it
//! and then the test recording, later in the same sitting, are gone through in the order of time, 30 flashes as a fork. Each flash is
//! scored before its fork is learnt from. AUC and ECE count the test recording alone. One fork in 20, or in 5, is a
//! wrong choice: its labels are dealt anew at random (seeded), so that as many flashes are called targets, but others. Recordings: `--data DIR`, by default
//! ../shared/data/p300.

mod speller;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Parser;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use razvilka_calibration::{
    AdaptRule, Adaptive, CalibrationInput, ConfirmedEpoch, EegCalibration, EegInput, EpochInfo,
    Epochs, LdaModel, Provenance, auc, expected_calibration_error, fit_session, posterior, refit,
    reliability_diagram, worth_taking,
};

const PEOPLE: [&str; 3] = ["S1", "S2", "S3"];
/// Flashes of a fork.
const FORK: usize = 30;

#[derive(Parser)]
struct Options {
    /// Folder with gtec5_S*_{train,test}.xdf.
    #[arg(long, default_value = "../shared/data/p300")]
    data: PathBuf,
    /// Fit anew after so many forks; 0: never, and only the other ways are shown, in a tenth of the time.
    #[arg(long, default_value_t = 8)]
    refit: usize,
    #[arg(long)]
    memory: Option<f64>,
    #[arg(long)]
    memory_min: Option<f64>,
    #[arg(long)]
    change: Option<f64>,
    /// Letters calibrated on, at least.
    #[arg(long, default_value_t = 1)]
    from: usize,
    /// Letters calibrated on, at most.
    #[arg(long, default_value_t = 3)]
    letters: usize,
    /// Seed of wrong choices.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

/// How a person is followed.
#[derive(Clone, Copy)]
struct Way {
    name: &'static str,
    adapts: bool,
    refits: bool,
    /// One fork in so many is a wrong choice; 0: none.
    wrong_every: usize,
}

const WAYS: [Way; 8] = [
    way("as calibrated", false, false, 0),
    way("adapted", true, false, 0),
    way("adapted, 5 % of choices wrong", true, false, 20),
    way("adapted, 20 % wrong", true, false, 5),
    way("refitted", false, true, 0),
    way("adapted and refitted", true, true, 0),
    way("adapted and refitted, 5 % wrong", true, true, 20),
    way("adapted and refitted, 20 % wrong", true, true, 5),
];

const fn way(name: &'static str, adapts: bool, refits: bool, wrong_every: usize) -> Way {
    Way {
        name,
        adapts,
        refits,
        wrong_every,
    }
}

fn main() -> Result<()> {
    let options = Options::parse();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let data = here.join(&options.data);
    if !data.is_dir() {
        println!("{} is not there: nothing measured", data.display());
        return Ok(());
    }
    let mut people = Vec::new();
    for person in PEOPLE {
        people.push((
            speller::read(&data, person, "train")?,
            speller::read(&data, person, "test")?,
        ));
    }
    println!(
        "| own flashes | way | AUC {} | mean | ECE {} | mean | change | refits used | slowest lesson |",
        PEOPLE.join(", "),
        PEOPLE.join(", ")
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let mut costs = None;
    for letters in options.from.max(1)..=options.letters.min(3) {
        let mut fitted = Vec::new();
        for (train, test) in &people {
            let rows: Vec<usize> = (0..train.epochs.len())
                .filter(|&row| (train.epochs.info()[row].run as usize) < letters)
                .collect();
            let rest: Vec<usize> = (rows.len()..train.epochs.len()).collect();
            let own = train.epochs.subset(&rows)?;
            fitted.push((
                calibrated(train, own.clone())?,
                own,
                train.epochs.subset(&rest)?,
                test,
            ));
        }
        for way in WAYS
            .into_iter()
            .filter(|way| options.refit > 0 || !way.refits)
        {
            let mut found = Vec::new();
            for (calibration, own, rest, test) in &fitted {
                found.push(follow(calibration, own, rest, &test.epochs, way, &options)?);
            }
            let say = |of: fn(&Outcome) -> f64| {
                let values: Vec<f64> = found.iter().map(of).collect();
                let each: Vec<String> = values.iter().map(|v| format!("{v:.4}")).collect();
                let mean = values.iter().sum::<f64>() / values.len() as f64;
                format!("{} | {mean:.4}", each.join(", "))
            };
            let changes: Vec<String> = found.iter().map(|o| format!("{:.2}", o.change)).collect();
            let refits: Vec<String> = found
                .iter()
                .map(|o| format!("{}/{} ({:.1} s)", o.refits_used, o.refits, o.refit_s))
                .collect();
            let slowest = found.iter().fold(0.0, |most: f64, o| most.max(o.learn_ms));
            println!(
                "| {} s | {} | {} | {} | {} | {} | {slowest:.2} ms |",
                42 * letters,
                way.name,
                say(|o| o.auc),
                say(|o| o.ece),
                changes.join(", "),
                refits.join(", ")
            );
        }
        if costs.is_none() {
            costs = Some(fitted[0].0.clone());
        }
    }
    costs.as_ref().map_or(Ok(()), cost)
}

/// What a fork of 60 epochs costs, by channels, on made-up noise: the steps of rank one, the solution, and the digest.
fn cost(calibration: &EegCalibration) -> Result<()> {
    println!("\n| channels | features of the discriminant | a fork of 60 epochs |\n|---|---|---|");
    for channels in [8, 16, 32, 64] {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut path = calibration.path;
        path.channels = channels;
        let shape = path.epoch_shape()?;
        let mut noise = || -> Vec<f64> {
            (0..shape.features())
                .map(|_| rng.random::<f64>() - 0.5)
                .collect()
        };
        let mut epochs = Epochs::new(channels, shape.bins())?;
        for k in 0..400_u32 {
            let info = EpochInfo {
                onset_s: f64::from(k),
                target: k % 6 == 0,
                run: 0,
            };
            epochs.push(info, &noise())?;
        }
        let calibration = EegCalibration {
            path,
            lda: LdaModel::fit(&epochs.paired()?)?,
            ..calibration.clone()
        };
        let fork: Vec<Flash> = (0..60)
            .map(|k| Flash {
                info: epochs.info()[k],
                features: noise().iter().map(|x| *x as f32).collect(),
                llr: 0.0,
            })
            .collect();
        let mut taken_ms: Vec<f64> = Vec::new();
        for _ in 0..9 {
            let mut adaptive = Adaptive::new(calibration.clone(), AdaptRule::default())?;
            let begun = Instant::now();
            learn(&mut adaptive, &fork)?;
            std::hint::black_box(adaptive.digest());
            taken_ms.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        taken_ms.sort_by(f64::total_cmp);
        let features = channels * (shape.bins() / 2);
        println!(
            "| {channels} | {features} | {:.2} ms (median of 9) |",
            taken_ms[4]
        );
    }
    Ok(())
}

struct Outcome {
    auc: f64,
    ece: f64,
    change: f64,
    refits: usize,
    refits_used: usize,
    refit_s: f64,
    learn_ms: f64,
}

/// A stretch of flashes as the session's own.
#[derive(Clone)]
struct Flash {
    info: EpochInfo,
    features: Vec<f32>,
    llr: f64,
}

fn follow(
    calibration: &EegCalibration,
    own: &Epochs,
    rest: &Epochs,
    test: &Epochs,
    way: Way,
    options: &Options,
) -> Result<Outcome> {
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    let mut rule = AdaptRule::default();
    rule.memory_epochs_max = options.memory.unwrap_or(rule.memory_epochs_max);
    rule.memory_epochs_min = options.memory_min.unwrap_or(rule.memory_epochs_min);
    rule.change_max = options.change.unwrap_or(rule.change_max);
    let mut adaptive = Adaptive::new(calibration.clone(), rule)?;
    let mut confirmed: Vec<Flash> = Vec::new();
    let (mut scores, mut p, mut labels) = (Vec::new(), Vec::new(), Vec::new());
    let (mut change, mut refits, mut refits_used, mut refit_s) = (0.0, 0, 0, 0.0);
    let (mut forks, mut learn_ms) = (0, 0.0);
    for (part, epochs) in [rest, test].into_iter().enumerate() {
        let rows: Vec<usize> = (0..epochs.len()).collect();
        for rows in rows.chunks(FORK) {
            let now = adaptive.calibration();
            let mut scorer = now.scorer()?;
            let mut flashes = Vec::new();
            for &row in rows {
                let features: Vec<f32> = epochs.row(row).iter().map(|x| *x as f32).collect();
                let score = scorer.score(epochs.row(row))?;
                let llr = now.density.llr(score).unwrap_or(0.0);
                let info = epochs.info()[row];
                if part == 1 {
                    // Ranked by evidence: scores of scorers that were exchanged in between have different scales.
                    scores.push(llr);
                    p.push(posterior(
                        llr,
                        calibration.base_rate,
                        calibration.reliability,
                    ));
                    labels.push(info.target);
                }
                let info = EpochInfo {
                    run: 1_000 + forks as u32,
                    ..info
                };
                flashes.push(Flash {
                    info,
                    features,
                    llr,
                });
            }
            if way.wrong_every > 0 && forks % way.wrong_every == way.wrong_every / 2 {
                for k in (1..flashes.len()).rev() {
                    let other = rng.random_range(0..=k);
                    let (a, b) = (flashes[k].info.target, flashes[other].info.target);
                    flashes[k].info.target = b;
                    flashes[other].info.target = a;
                }
            }
            if way.adapts {
                let begun = Instant::now();
                change = learn(&mut adaptive, &flashes)?;
                learn_ms = f64::max(learn_ms, begun.elapsed().as_secs_f64() * 1e3);
            }
            confirmed.extend(flashes);
            forks += 1;
            if way.refits && forks % options.refit == 0 {
                refits += 1;
                let begun = Instant::now();
                let mut all = own.clone();
                for flash in &confirmed {
                    let features: Vec<f64> = flash.features.iter().map(|x| f64::from(*x)).collect();
                    all.push(flash.info, &features)?;
                }
                let anew = refit(calibration, &all)?;
                let before: Vec<f64> = confirmed.iter().map(|flash| flash.llr).collect();
                let truth: Vec<bool> = confirmed.iter().map(|flash| flash.info.target).collect();
                let after = &anew.llrs[own.len()..];
                let (old, new) = worth_taking(&before, after, &truth)?;
                refit_s = f64::max(refit_s, begun.elapsed().as_secs_f64());
                if new <= old {
                    refits_used += 1;
                    adaptive = Adaptive::new(anew.calibration, rule)?;
                }
            }
        }
    }
    Ok(Outcome {
        auc: auc(&scores, &labels)?.value,
        ece: expected_calibration_error(&reliability_diagram(&p, &labels)?),
        change,
        refits,
        refits_used,
        refit_s,
        learn_ms,
    })
}

fn learn(adaptive: &mut Adaptive, flashes: &[Flash]) -> Result<f64> {
    let epochs: Vec<ConfirmedEpoch<'_>> = flashes
        .iter()
        .map(|flash| ConfirmedEpoch {
            target: flash.info.target,
            features: &flash.features,
        })
        .collect();
    Ok(adaptive.learn(&epochs)?.change)
}

fn calibrated(train: &EegInput, epochs: Epochs) -> Result<EegCalibration> {
    let fitted = fit_session(&CalibrationInput {
        eeg: Some(EegInput {
            epochs,
            ..train.clone()
        }),
        gaze: razvilka_calibration::GazeInput::default(),
        provenance: Provenance {
            created_utc: String::new(),
            software: String::new(),
            sources: Vec::new(),
        },
    })?;
    fitted.profile.eeg.context("no EEG part")
}
