//! Trains the gaze classifier of [`razvilka_dsp::gaze::TrainedDetector`] from labelled recordings, and says how well it does.
//!
//! ```text
//! cargo run --release -p razvilka-dsp --example train_gaze -- folds MAIN [OTHER ...]
//! cargo run --release -p razvilka-dsp --example train_gaze -- across MAIN TEST
//! cargo run --release -p razvilka-dsp --example train_gaze -- fit OUT MAIN [OTHER ...]
//! ```
//!
//! `MAIN` holds `t_ms,x_deg,y_deg,valid,label` tables named `group__PERSON_stimulus.csv`, labelled in the convention that is wanted; the
//! `OTHER` folders may follow other conventions, each has outputs of its own and shares the hidden layers. `folds` leaves out people and
//! stimuli together, four times, and prints agreement on what was left out; `across` trains on one folder and scores another; `fit`
//! trains on everything and writes the table of parameters, adjusted on the folds. The same folders and seed give the same numbers.

// An example has files and a terminal; the library has not.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

mod data;
mod decode;
mod learn;
mod score;

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;

use data::{Recording, Worse};
use decode::{Adjusted, Heard, adjust, hear, score};
use learn::{Plan, train};
use razvilka_dsp::gaze::Parameters;
use score::Score;

const FOLDS: usize = 4;
const ROUNDS: usize = 4;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["folds", folders @ ..] if !folders.is_empty() => folds(&read(folders)?),
        ["across", main, test] => across(&read(&[main])?, &read(&[test])?),
        ["fit", out, folders @ ..] if !folders.is_empty() => fit(out, &read(folders)?, &words),
        _ => Err("usage: train_gaze folds MAIN [OTHER ...] | across MAIN TEST | fit OUT MAIN [OTHER ...]".into()),
    }
}

fn read(folders: &[&str]) -> Result<Vec<Recording>, Box<dyn Error>> {
    let mut all = Vec::new();
    for (set, folder) in folders.iter().enumerate() {
        all.extend(data::read_folder(Path::new(folder), set)?);
    }
    Ok(all)
}

/// Which fold leaves a recording out: stimuli by the time they take, so that folds are of like size.
fn fold_of(recordings: &[Recording]) -> impl Fn(&Recording) -> usize {
    let mut minutes = std::collections::BTreeMap::new();
    for r in recordings.iter().filter(|r| r.set == 0) {
        *minutes.entry(r.kind().to_owned()).or_insert(0.0) += r.minutes();
    }
    let mut kinds: Vec<(String, f64)> = minutes.into_iter().collect();
    kinds.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let mut sums = [0.0_f64; FOLDS];
    let mut folds = std::collections::BTreeMap::new();
    for (kind, minutes) in kinds {
        let least = (0..FOLDS)
            .min_by(|a, b| sums[*a].total_cmp(&sums[*b]))
            .unwrap_or(0);
        sums[least] += minutes;
        folds.insert(kind, least);
    }
    move |r| folds.get(r.kind()).copied().unwrap_or(FOLDS)
}

/// One classifier for each fold, which has seen neither its people nor its stimuli.
fn train_folds(recordings: &[Recording], plan: &Plan) -> Vec<Parameters> {
    let fold = fold_of(recordings);
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
        runs.into_iter().filter_map(|run| run.join().ok()).collect()
    })
}

fn hear_folds(
    recordings: &[Recording],
    trained: &[Parameters],
    worse: &Worse,
) -> Result<Vec<Heard>, Box<dyn Error>> {
    let fold = fold_of(recordings);
    let main = recordings.iter().filter(|r| r.set == 0);
    main.map(|r| hear(&trained[fold(r)], r, worse, fold(r)))
        .collect()
}

/// Each fold's adjustment is found on the other folds.
fn adjust_folds(trained: &[Parameters], heard: &[Heard]) -> Vec<Adjusted> {
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..FOLDS)
            .map(|k| {
                let others: Vec<&Heard> = heard.iter().filter(|h| h.fold != k).collect();
                scope.spawn(move || adjust(trained, &others, ROUNDS))
            })
            .collect();
        runs.into_iter().filter_map(|run| run.join().ok()).collect()
    })
}

fn score_folds(trained: &[Parameters], adjusted: &[Adjusted], heard: &[Heard]) -> Score {
    let mut all = Score::default();
    for (k, adjusted) in adjusted.iter().enumerate() {
        all.join(score(
            trained,
            heard.iter().filter(|h| h.fold == k),
            adjusted,
        ));
    }
    all
}

fn folds(recordings: &[Recording]) -> Result<(), Box<dyn Error>> {
    let trained = train_folds(recordings, &Plan::USUAL);
    let heard = hear_folds(recordings, &trained, &Worse::NOT)?;
    let adjusted = adjust_folds(&trained, &heard);
    for (k, a) in adjusted.iter().enumerate() {
        let part = heard.iter().filter(|h| h.fold == k);
        println!("fold {k}: {}", score(&trained, part, a).to_line());
    }
    println!(
        "all: {}",
        score_folds(&trained, &adjusted, &heard).to_line()
    );
    for (words, worse) in Worse::TABLE {
        let heard = hear_folds(recordings, &trained, &worse)?;
        println!(
            "{words}: {}",
            score_folds(&trained, &adjusted, &heard).to_line()
        );
    }
    Ok(())
}

fn across(seen: &[Recording], test: &[Recording]) -> Result<(), Box<dyn Error>> {
    let trained = vec![train(&seen.iter().collect::<Vec<_>>(), &Plan::USUAL)];
    // Adjusted on what was seen: nothing is known of the other recordings.
    let listen = |recordings: &[Recording]| -> Result<Vec<Heard>, Box<dyn Error>> {
        recordings
            .iter()
            .map(|r| hear(&trained[0], r, &Worse::NOT, 0))
            .collect()
    };
    let own = listen(&seen.iter().step_by(3).cloned().collect::<Vec<_>>())?;
    let adjusted = adjust(&trained, &own.iter().collect::<Vec<_>>(), ROUNDS);
    println!("{}", score(&trained, &listen(test)?, &adjusted).to_line());
    Ok(())
}

fn fit(out: &str, recordings: &[Recording], words: &[&str]) -> Result<(), Box<dyn Error>> {
    let plan = Plan::USUAL;
    let trained = train_folds(recordings, &plan);
    let heard = hear_folds(recordings, &trained, &Worse::NOT)?;
    let adjusted = adjust(&trained, &heard.iter().collect::<Vec<_>>(), ROUNDS);
    println!(
        "folds, adjusted on themselves: {}",
        score(&trained, &heard, &adjusted).to_line()
    );
    println!("{adjusted:?}");
    let all: Vec<&Recording> = recordings.iter().collect();
    let mut made = adjusted.of(&train(&all, &plan));
    let mut table = format!(
        "# Parameters of the trained gaze detector: dsp/src/gaze/net.rs says in which order.\n# train_gaze {}, seed {}, {} epochs, {} recordings, {:.1} minutes\n",
        words.join(" "),
        plan.seed,
        plan.epochs,
        recordings.len(),
        recordings.iter().map(Recording::minutes).sum::<f64>()
    );
    let mut column = 0;
    made.for_each(|number| {
        column += 1;
        let end = if column % 12 == 0 { '\n' } else { ' ' };
        let _ = write!(table, "{number}{end}");
    });
    table.push('\n');
    std::fs::write(out, table)?;
    Ok(())
}
