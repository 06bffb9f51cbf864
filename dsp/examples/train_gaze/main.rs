//! Trains the gaze classifier of [`razvilka_dsp::gaze::TrainedDetector`] from labelled recordings, and says how well it does.
//!
//! ```text
//! cargo run --release -p razvilka-dsp --example train_gaze -- folds MAIN [OTHER ...]
//! cargo run --release -p razvilka-dsp --example train_gaze -- across MAIN TEST
//! cargo run --release -p razvilka-dsp --example train_gaze -- fit OUT MAIN [OTHER ...]
//! cargo run --release -p razvilka-dsp --example train_gaze -- check TABLE TEST
//! ```
//!
//! `MAIN` holds `t_ms,x_deg,y_deg,valid,label` tables named `group__PERSON_stimulus.csv`, labelled in the convention that is wanted; the
//! `OTHER` folders may follow other conventions, each has outputs of its own and shares the hidden layers. `folds` leaves out people and
//! stimuli together, four times, and prints agreement on what was left out; `across` trains on one folder and scores another; `fit`
//! trains on everything and writes the table of parameters; `check` scores such a table on a folder. The same folders, options and seed give the
//! same numbers. Options, which change the usual training: `--seed=N`, `--epochs=N`, `--teachers=N`, `--teachers-epochs=N`, `--teachers-widths=N,N`
//! (multiples of 16), `--taught=SHARE`; and for `folds` `--left-out=people|both` and `--keep=NAME`,
//! which writes what each fold has learned to `NAME-...txt`, or `--kept=NAME`, which reads it instead of learning it again.

// An example has files and a terminal; the library has not.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

mod data;
mod decode;
mod descent;
mod learn;
mod score;
mod stamps;
mod teach;
mod tune;

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;

use data::{Recording, Worse};
use decode::judge;
use learn::Plan;
use razvilka_dsp::DspError;
use razvilka_dsp::gaze::Parameters;
use score::Score;
use teach::train;
use tune::Numbers;

const FOLDS: usize = 4;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (options, words): (Vec<&str>, Vec<&str>) = args
        .iter()
        .map(String::as_str)
        .partition(|word| word.starts_with("--"));
    let mut plan = Plan::USUAL;
    let mut kept = None;
    let mut outs = vec![LeaveOut::People, LeaveOut::PeopleAndStimuli];
    for option in options {
        match option {
            "--left-out=people" => outs = vec![LeaveOut::People],
            "--left-out=both" => outs = vec![LeaveOut::PeopleAndStimuli],
            _ => match option.split_once('=') {
                Some(("--keep", name)) => kept = Some(Kept::Write(name)),
                Some(("--kept", name)) => kept = Some(Kept::Read(name)),
                _ => plan.set(option)?,
            },
        }
    }
    match words.as_slice() {
        ["folds", folders @ ..] if !folders.is_empty() => folds(&read(folders)?, &plan, &outs, kept),
        ["across", main, test] => across(&read(&[main])?, &read(&[test])?, &plan),
        ["check", table, test] => check(table, &read(&[test])?),
        ["fit", out, folders @ ..] if !folders.is_empty() => {
            fit(out, &read(folders)?, &words, &plan)
        }
        _ => Err("usage: train_gaze folds MAIN [OTHER ...] | across MAIN TEST | fit OUT MAIN [OTHER ...] | check TABLE TEST".into()),
    }
}

fn read(folders: &[&str]) -> Result<Vec<Recording>, Box<dyn Error>> {
    let mut all = Vec::new();
    for (set, folder) in folders.iter().enumerate() {
        let mut folder = data::read_folder(Path::new(folder), set)?;
        stamps::put_right(&mut folder);
        all.extend(folder);
    }
    Ok(all)
}

/// What is left out together.
#[derive(Debug, Clone, Copy)]
enum LeaveOut {
    /// A kind of stimulus, and everybody who saw it.
    PeopleAndStimuli,
    /// People; others saw the same stimuli.
    People,
}

impl LeaveOut {
    fn key(self, recording: &Recording) -> &str {
        match self {
            Self::PeopleAndStimuli => recording.kind(),
            Self::People => &recording.person,
        }
    }
}

/// What folds have learned, in files.
#[derive(Debug, Clone, Copy)]
enum Kept<'a> {
    Write(&'a str),
    Read(&'a str),
}

fn kept_at(name: &str, out: LeaveOut, fold: usize) -> String {
    format!("{name}-{out:?}-{fold}.txt")
}

fn read_folds(name: &str, out: LeaveOut) -> Result<Vec<Parameters>, Box<dyn Error>> {
    (0..FOLDS)
        .map(|k| {
            let path = kept_at(name, out, k);
            let text = std::fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))?;
            let mut made = Parameters::read(&text)?;
            Numbers::USUAL.put(&mut made);
            Ok(made)
        })
        .collect()
}

/// Which fold leaves a recording out: by the number of samples, so that folds are of like size.
fn fold_of(recordings: &[Recording], out: LeaveOut) -> impl Fn(&Recording) -> usize {
    let mut samples = BTreeMap::new();
    for r in recordings.iter().filter(|r| r.set == 0) {
        *samples.entry(out.key(r).to_owned()).or_insert(0) += r.samples.len();
    }
    let mut keys: Vec<(String, usize)> = samples.into_iter().collect();
    keys.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let mut sums = [0; FOLDS];
    let mut folds = BTreeMap::new();
    for (key, samples) in keys {
        let least = (0..FOLDS).min_by_key(|k| sums[*k]).unwrap_or(0);
        sums[least] += samples;
        folds.insert(key, least);
    }
    move |r| folds.get(out.key(r)).copied().unwrap_or(FOLDS)
}

/// One classifier for each fold, which has not seen what the fold leaves out.
fn train_folds(recordings: &[Recording], out: LeaveOut, plan: &Plan) -> Vec<Parameters> {
    let fold = fold_of(recordings, out);
    let parts: Vec<Vec<&Recording>> = (0..FOLDS)
        .map(|k| {
            let left_out = || recordings.iter().filter(|r| r.set == 0 && fold(r) == k);
            let people: BTreeSet<&str> = left_out().map(|r| r.person.as_str()).collect();
            let seen =
                |r: &&Recording| r.set > 0 || (fold(r) != k && !people.contains(r.person.as_str()));
            let seen: Vec<&Recording> = recordings.iter().filter(seen).collect();
            eprintln!(
                "fold {k}: {} left out, {} seen",
                left_out().count(),
                seen.len()
            );
            seen
        })
        .collect();
    std::thread::scope(|scope| {
        let runs: Vec<_> = parts
            .iter()
            .map(|part| scope.spawn(|| train(part, plan)))
            .collect();
        // A thread that panics ends the program.
        runs.into_iter()
            .map(|run| {
                run.join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .collect()
    })
}

/// What each fold's classifier says of what the fold leaves out.
fn score_folds(
    recordings: &[Recording],
    out: LeaveOut,
    trained: &[Parameters],
    worse: &Worse,
) -> Result<Vec<Score>, Box<dyn Error>> {
    let fold = fold_of(recordings, out);
    let of = |k: usize| -> Result<Score, DspError> {
        let mut score = Score::default();
        for r in recordings.iter().filter(|r| r.set == 0 && fold(r) == k) {
            judge(&trained[k], r, worse, &mut score)?;
        }
        Ok(score)
    };
    std::thread::scope(|scope| {
        let of = &of;
        let runs: Vec<_> = (0..FOLDS).map(|k| scope.spawn(move || of(k))).collect();
        let scored = runs.into_iter().map(|run| {
            run.join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        Ok(scored.collect::<Result<_, _>>()?)
    })
}

fn folds(
    recordings: &[Recording],
    plan: &Plan,
    outs: &[LeaveOut],
    kept: Option<Kept<'_>>,
) -> Result<(), Box<dyn Error>> {
    for out in outs.iter().copied() {
        println!("{out:?}");
        let trained = match kept {
            Some(Kept::Read(name)) => read_folds(name, out)?,
            Some(Kept::Write(_)) | None => train_folds(recordings, out, plan),
        };
        if let Some(Kept::Write(name)) = kept {
            for (k, made) in trained.iter().enumerate() {
                let mut table = format!("# {out:?} left out, fold {k}, {plan}\n");
                write_numbers(made.clone(), &mut table);
                std::fs::write(kept_at(name, out, k), table)?;
            }
        }
        let by_numbers = Numbers::all()
            .map(|numbers| {
                let mut trained = trained.clone();
                trained.iter_mut().for_each(|p| numbers.put(p));
                score_folds(recordings, out, &trained, &Worse::NOT)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let best = |counts: &dyn Fn(usize) -> bool| {
            let worth = |scores: &Vec<Score>| {
                let counted = (0..FOLDS).filter(|k| counts(*k));
                Score::sum(counted.map(|k| &scores[k])).worth()
            };
            Numbers::best(&by_numbers.iter().map(worth).collect::<Vec<_>>())
        };
        // Each fold with the numbers that are best on the three others: nothing was known of the recordings that are scored.
        let mut nested = trained.clone();
        for (k, made) in nested.iter_mut().enumerate() {
            let numbers = best(&|other| other != k);
            println!("fold {k}, best on the others: {numbers:?}");
            numbers.put(made);
        }
        println!("best on all: {:?}", best(&|_| true));
        let scores = score_folds(recordings, out, &nested, &Worse::NOT)?;
        for (k, score) in scores.iter().enumerate() {
            println!("fold {k}: {}", score.to_line());
        }
        println!("all: {}", Score::sum(&scores).to_line());
        for (words, worse) in Worse::TABLE {
            let scores = score_folds(recordings, out, &nested, &worse)?;
            println!("{words}: {}", Score::sum(&scores).to_line());
        }
        let usual = score_folds(recordings, out, &trained, &Worse::NOT)?;
        println!("with the usual numbers: {}", Score::sum(&usual).to_line());
    }
    Ok(())
}

fn across(seen: &[Recording], test: &[Recording], plan: &Plan) -> Result<(), Box<dyn Error>> {
    let trained = train(&seen.iter().collect::<Vec<_>>(), plan);
    score_all(&trained, test)
}

fn check(table: &str, test: &[Recording]) -> Result<(), Box<dyn Error>> {
    let parameters = Parameters::read(&std::fs::read_to_string(table)?)?;
    score_all(&parameters, test)
}

/// Scores parameters on recordings as they are and as worse trackers would give them.
fn score_all(parameters: &Parameters, test: &[Recording]) -> Result<(), Box<dyn Error>> {
    for (words, worse) in [("as it is", Worse::NOT)].into_iter().chain(Worse::TABLE) {
        let mut score = Score::default();
        for recording in test {
            judge(parameters, recording, &worse, &mut score)?;
        }
        println!("{words}: {}", score.to_line());
    }
    Ok(())
}

fn fit(
    out: &str,
    recordings: &[Recording],
    words: &[&str],
    plan: &Plan,
) -> Result<(), Box<dyn Error>> {
    let all: Vec<&Recording> = recordings.iter().collect();
    let made = train(&all, plan);
    let named = words
        .iter()
        .skip(2)
        .filter_map(|w| Path::new(w).file_name()?.to_str());
    let minutes: f64 = recordings.iter().map(Recording::minutes).sum();
    let mut table = format!(
        "# Parameters of the trained gaze detector: dsp/src/gaze/net.rs says in which order.\n# train_gaze fit OUT {}, {plan}, {} recordings, {minutes:.1} minutes\n",
        named.collect::<Vec<_>>().join(" "),
        recordings.len(),
    );
    write_numbers(made, &mut table);
    std::fs::write(out, table)?;
    Ok(())
}

fn write_numbers(mut made: Parameters, table: &mut String) {
    let mut column = 0;
    made.for_each(|number| {
        column += 1;
        let end = if column % 12 == 0 { '\n' } else { ' ' };
        let _ = write!(table, "{number}{end}");
    });
    table.push('\n');
}
