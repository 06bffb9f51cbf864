//! How much a prior from other people saves: `cargo bench --bench short_calibration`.
//!
//! Leave one person out: the prior comes from the recordings of the two others, the person's own training recording is cut
//! after a number of letters (240 flashes, 42 s each), fitted by what `razvilka calibrate` runs, and the test recording, later
//! in the same sitting, is scored. Recordings: `--data DIR`, by default ../shared/data/p300.

mod speller;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Parser;
use razvilka_calibration::{
    CalibrationInput, EegCalibration, EegInput, Epochs, Others, Prior, Provenance, ScorerKind, auc,
    expected_calibration_error, fit_session, reliability_diagram,
};

const PEOPLE: [&str; 3] = ["S1", "S2", "S3"];
/// Flashes of one letter.
const LETTER: usize = 240;
/// Mean AUC on these three people that was known before: flashes, with a prior from four people, without one.
const REFERENCES: [(usize, Option<&str>, Option<&str>); 3] = [
    (0, Some("0.851"), None),
    (240, Some("0.889"), Some("0.901 (five people)")),
    (480, Some("0.916"), Some("0.933 (five people)")),
];

#[derive(Parser)]
struct Options {
    /// Folder with gtec5_S*_{train,test}.xdf.
    #[arg(long, default_value = "../shared/data/p300")]
    data: PathBuf,
    /// Make the priors of the training recordings alone.
    #[arg(long)]
    train_only: bool,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

/// A person's two recordings.
struct Person {
    train: EegInput,
    test: EegInput,
}

/// Of a calibration: how many of the flashes have their labels, how many follow without.
#[derive(Clone, Copy)]
struct Given {
    labelled: usize,
    unlabelled: usize,
}

/// How a profile did on the test recording.
#[derive(Clone, Copy)]
struct Found {
    auc: f64,
    ece: f64,
    informed: bool,
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
        people.push(Person {
            train: speller::read(&data, person, "train")?,
            test: speller::read(&data, person, "test")?,
        });
    }
    let priors: Vec<Prior> = (0..people.len())
        .map(|place| prior_without(&people, place, options.train_only))
        .collect::<Result<_>>()?;
    println!(
        "# AUC and calibration error (ECE) on the test recording, people {}",
        PEOPLE.join(", ")
    );
    println!();
    println!(
        "| labelled | unlabelled | prior | AUC each | mean | ECE each | mean | scorer from the prior | known before |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for (labelled, unlabelled) in [
        (0, LETTER / 2),
        (0, LETTER),
        (0, 3 * LETTER),
        (LETTER / 2, 0),
        (LETTER, 0),
        (LETTER, 2 * LETTER),
        (2 * LETTER, 0),
        (3 * LETTER, 0),
    ] {
        let given = Given {
            labelled,
            unlabelled,
        };
        print_row(given, "two people", Some(&priors), &people)?;
        if labelled > 0 && unlabelled == 0 {
            print_row(given, "none", None, &people)?;
        }
    }
    println!();
    println!("# With priors that cannot help: of noise, and of a montage in reverse");
    println!();
    println!(
        "| labelled | unlabelled | prior | AUC each | mean | ECE each | mean | scorer from the prior | |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let noise = vec![noise_prior(&people[0].train)?; people.len()];
    let reversed: Vec<Prior> = (0..people.len())
        .map(|place| reversed_prior(&people, place))
        .collect::<Result<_>>()?;
    for labelled in [0, LETTER / 2, LETTER, 2 * LETTER, 3 * LETTER] {
        let given = Given {
            labelled,
            unlabelled: if labelled == 0 { LETTER } else { 0 },
        };
        print_row(given, "noise", Some(&noise), &people)?;
        print_row(given, "reversed", Some(&reversed), &people)?;
    }
    Ok(())
}

fn print_row(given: Given, name: &str, priors: Option<&[Prior]>, people: &[Person]) -> Result<()> {
    let mut found = Vec::new();
    for (place, person) in people.iter().enumerate() {
        let prior = priors.and_then(|priors| priors.get(place));
        found.push(calibrated(person, given, prior).and_then(|eeg| judge(&eeg, &person.test)));
    }
    let found: Vec<Found> = match found.into_iter().collect::<Result<_>>() {
        Ok(found) => found,
        Err(reason) => {
            println!(
                "| {} | {} | {name} | {reason} |",
                given.labelled, given.unlabelled
            );
            return Ok(());
        }
    };
    let of = |value: fn(&Found) -> f64| -> (String, f64) {
        let each: Vec<String> = found.iter().map(|f| format!("{:.3}", value(f))).collect();
        let mean = found.iter().map(value).sum::<f64>() / found.len() as f64;
        (each.join(" "), mean)
    };
    let ((aucs, auc), (eces, ece)) = (of(|f| f.auc), of(|f| f.ece));
    let known = REFERENCES
        .iter()
        .find(|(flashes, ..)| {
            *flashes == given.labelled && (given.labelled == 0 || given.unlabelled == 0)
        })
        .and_then(|(_, with, without)| if priors.is_some() { *with } else { *without })
        .unwrap_or("");
    println!(
        "| {} | {} | {name} | {aucs} | {auc:.4} | {eces} | {ece:.4} | {} of {} | {known} |",
        given.labelled,
        given.unlabelled,
        found.iter().filter(|f| f.informed).count(),
        found.len(),
    );
    Ok(())
}

/// The prior of everybody else.
fn prior_without(people: &[Person], place: usize, train_only: bool) -> Result<Prior> {
    let mut recordings = Vec::new();
    let mut numbers = Vec::new();
    for (number, person) in people.iter().enumerate().filter(|(n, _)| *n != place) {
        recordings.push(person.train.epochs.clone());
        numbers.push(number);
        if !train_only {
            recordings.push(person.test.epochs.clone());
            numbers.push(number);
        }
    }
    Ok(Prior::of_people(&recordings, &numbers)?)
}

/// Of people whose electrodes were plugged in the other way round.
fn reversed_prior(people: &[Person], place: usize) -> Result<Prior> {
    let mut recordings = Vec::new();
    for person in people.iter().enumerate().filter(|(n, _)| *n != place) {
        let epochs = &person.1.train.epochs;
        let places: Vec<usize> = (0..epochs.channels()).rev().collect();
        recordings.push(epochs.channels_at(&places)?);
    }
    Ok(Prior::of_people(&recordings, &[0, 1])?)
}

/// Of two people who are noise, with the labels of `like`.
fn noise_prior(like: &EegInput) -> Result<Prior> {
    let mut state = 7_u64;
    let mut uniform = || {
        // Knuth's linear congruential generator.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
    };
    let mut people = Vec::new();
    for _ in 0..2 {
        let mut epochs = Epochs::new(like.epochs.channels(), like.epochs.bins())?;
        for info in like.epochs.info() {
            let mut level = 0.0;
            let values: Vec<f64> = (0..like.epochs.features_per_epoch())
                .map(|_| {
                    level = 0.8 * level + 10.0 * uniform();
                    level
                })
                .collect();
            epochs.push(*info, &values)?;
        }
        people.push(epochs);
    }
    Ok(Prior::of_people(&people, &[0, 1])?)
}

fn calibrated(person: &Person, given: Given, prior: Option<&Prior>) -> Result<EegCalibration> {
    let all = &person.train.epochs;
    let rows = |from: usize, to: usize| -> Vec<usize> { (from..to.min(all.len())).collect() };
    let end = given.labelled + given.unlabelled;
    let others = prior
        .map(|prior| -> Result<Others> {
            let mut others = Others::of_same_montage(prior.clone());
            others.unlabelled = Some(all.subset(&rows(given.labelled, end))?);
            Ok(others)
        })
        .transpose()?;
    let input = CalibrationInput {
        eeg: Some(EegInput {
            epochs: all.subset(&rows(0, given.labelled))?,
            prior: others,
            ..person.train.clone()
        }),
        gaze: razvilka_calibration::GazeInput::default(),
        provenance: Provenance {
            created_utc: "2026-01-01T00:00:00Z".into(),
            software: "benchmark".into(),
            sources: Vec::new(),
        },
    };
    fit_session(&input)?
        .profile
        .eeg
        .context("a profile without EEG")
}

fn judge(eeg: &EegCalibration, test: &EegInput) -> Result<Found> {
    let mut scorer = eeg.scorer()?;
    let labels = test.epochs.labels();
    let scores: Vec<f64> = (0..test.epochs.len())
        .map(|row| scorer.score(test.epochs.row(row)))
        .collect::<Result<_, _>>()?;
    let p: Vec<f64> = scores.iter().map(|&score| eeg.p_target(score)).collect();
    Ok(Found {
        auc: auc(&scores, &labels)?.value,
        ece: expected_calibration_error(&reliability_diagram(&p, &labels)?),
        informed: eeg.model.kind() == ScorerKind::Informed,
    })
}
