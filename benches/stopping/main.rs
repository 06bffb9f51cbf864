//! Does the gate stop as soon as it may? Recorded epochs replayed as forks: fixed repetitions against dynamic stopping.
//!
//! ```sh
//! cargo bench --bench stopping -- --forks 2000 --seed 1
//! cargo bench --bench stopping -- --train A_train.xdf --test A_test.xdf --options 3,5 --soa 0.125
//! ```
//!
//! A profile is fitted to each training recording by the code of `razvilka calibrate`; the flashes of the test recording,
//! later in the same session, go through the line that is at work in a session. A fork has K options and the usual fillers,
//! flashes in the order of `FlashSequence`, and the real gate with its default settings and the reliability of that profile.
//! Each flash is answered by a recorded one, drawn without replacement within a fork: a target's for the option that is
//! meant, a non-target's for everything else, rejected epochs among them. Evidence comes one epoch after its flash, while
//! others flash. Time counts from the first flash, without the reading before it.
//!
//! Drawn flash by flash, epochs are independent; in a session neighbours overlap and share blinks, drifts and lapses. The
//! correlation of neighbouring non-targets is printed, and the speller's letters are also played in the recording's order.
//!
//! The last table is the short of it: the gate beside fixed repetitions that are as often right, and beside those that are no more
//! often wrong, with intervals (`summary.rs`).
//!
//! `oracle` is the posterior alone with the best threshold in hindsight: the lowest under which no more forks are wrong than
//! under the gate. It does not ask whether anybody attends: `nobody` is the share of forks in which the same rule chooses
//! while nobody does, which is what the gate's `attention_nats_min` is for. Figures and their papers: `tally.rs`. Nothing here is a person at work with Razvilka.

mod answers;
mod deck;
mod forks;
mod speller;
mod summary;
mod tally;

use std::path::PathBuf;

use anyhow::{Context, bail};
use razvilka::choice::{FlashConfig, FlashSettings};
use razvilka::gate::{GateConfig, GateSettings};

use answers::Person;
use forks::{Attention, Question};
use tally::{Figures, Tally};

const DATA: &str = "../shared/data/p300";
/// Thresholds that an oracle may choose from.
const THRESHOLDS: [f64; 12] = [
    0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99,
];

struct Options {
    train: Vec<PathBuf>,
    test: Vec<PathBuf>,
    forks: u64,
    seed: u64,
    options: Vec<usize>,
    flash: FlashSettings,
}

fn options() -> anyhow::Result<Options> {
    let (mut train, mut test) = (Vec::new(), Vec::new());
    let (mut forks, mut seed) = (20, 1);
    let mut options = vec![2, 3, 5, 36];
    let mut flash = FlashConfig::default();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || {
            let value = arguments.next();
            value.with_context(|| format!("{argument} wants a value"))
        };
        match argument.as_str() {
            "--bench" => forks = forks.max(2_000),
            "--train" => train.push(value()?.into()),
            "--test" => test.push(value()?.into()),
            "--forks" => forks = value()?.parse()?,
            "--seed" => seed = value()?.parse()?,
            "--soa" => flash.soa_s = value()?.parse()?,
            "--options" => {
                let list = value()?;
                let numbers = list.split(',').map(str::parse).collect::<Result<_, _>>();
                options = numbers.with_context(|| format!("--options {list}"))?;
            }
            other => bail!(
                "{other}: only --train, --test, --forks, --seed, --options and --soa are understood"
            ),
        }
    }
    if train.len() != test.len() {
        bail!("give one --test for each --train, in the same order");
    }
    if forks == 0 {
        bail!("--forks 0: there must be one at least");
    }
    if let Some(bad) = options.iter().find(|k| !matches!(k, 2..=8 | 36)) {
        bail!("--options {bad}: a fork has 2 to 8; 36 is the speller");
    }
    Ok(Options {
        train,
        test,
        forks,
        seed,
        options,
        flash: FlashSettings::new(flash)?,
    })
}

/// Pairs of recordings; those of the shared folder when none are named.
fn recordings(options: &Options) -> Vec<(PathBuf, PathBuf)> {
    if !options.train.is_empty() {
        return options
            .train
            .iter()
            .cloned()
            .zip(options.test.iter().cloned())
            .collect();
    }
    let file = |n: u32, part: &str| PathBuf::from(DATA).join(format!("gtec5_S{n}_{part}.xdf"));
    let pairs = (1..=9).map(|n| (file(n, "train"), file(n, "test")));
    pairs
        .filter(|(train, test)| train.is_file() && test.is_file())
        .collect()
}

/// Every rule of one person at one question, by name.
type Lines = Vec<(String, Figures)>;

fn ask(person: &Person, question: &Question, options: &Options) -> anyhow::Result<Lines> {
    let k = question.kinds.len();
    let draw = |attention| {
        forks::draw(
            person,
            question,
            &options.flash,
            attention,
            options.forks,
            options.seed,
        )
    };
    let (with, without) = (draw(Attention::Somebody)?, draw(Attention::Nobody)?);
    let mut lines = Lines::new();
    let mut note = |name: String, tally: &Tally, nobody: &Tally| {
        let nobody = nobody.chosen();
        lines.push((
            name,
            Figures {
                nobody,
                ..tally.figures(k)
            },
        ));
    };
    for (round, tally) in (1..).zip(forks::fixed(&person.gate, question, &with)?) {
        if matches!(round, 1..=6 | 8 | 10 | 15) {
            // A fixed schedule always chooses.
            note(format!("fixed, {round} rounds"), &tally, &tally);
        }
    }
    let gate = |config: &GateConfig| -> anyhow::Result<(Tally, Tally)> {
        let settings = GateSettings::new(*config)?;
        Ok((
            forks::dynamic(&settings, question, &with)?,
            forks::dynamic(&settings, question, &without)?,
        ))
    };
    let (as_it_is, nobody) = gate(person.gate.config())?;
    note("gate".into(), &as_it_is, &nobody);
    let at = |forks| forks::thresholds(&person.gate, question, forks, &THRESHOLDS);
    let (by_threshold, nobody) = (at(&with)?, at(&without)?);
    let wrong = as_it_is.figures(k).wrong;
    let oracle = by_threshold
        .iter()
        .position(|tally| tally.figures(k).wrong <= wrong)
        .unwrap_or(THRESHOLDS.len() - 1);
    note("oracle".into(), &by_threshold[oracle], &nobody[oracle]);
    for (place, threshold) in THRESHOLDS.iter().enumerate() {
        if [0.8, 0.9, 0.95, 0.99].contains(threshold) {
            let name = format!("posterior {threshold} alone");
            note(name, &by_threshold[place], &nobody[place]);
        }
    }
    for (name, config) in variants(person.gate.config()) {
        let (tally, nobody) = gate(&config)?;
        note(name.into(), &tally, &nobody);
    }
    Ok(lines)
}

/// The gate with one of its rules off at a time, and with other thresholds.
fn variants(gate: &GateConfig) -> Vec<(&'static str, GateConfig)> {
    let change = |name, change: fn(&mut GateConfig)| {
        let mut config = *gate;
        change(&mut config);
        (name, config)
    };
    vec![
        change("gate, no margin", |c| c.commit_margin = 0.0),
        change("gate, no lead", |c| c.human_lead_nats_min = 0.01),
        change("gate, attention 0", |c| c.attention_nats_min = 0.0),
        change("gate, attention 1", |c| c.attention_nats_min = 1.0),
        change("gate, attention 3", |c| c.attention_nats_min = 3.0),
        change("gate, attention 1, threshold 0.98", |c| {
            c.attention_nats_min = 1.0;
            c.commit_threshold = 0.98;
        }),
        change("gate, 1 item is enough", |c| c.evidence_items_min = 1),
        change("gate, threshold 0.8", |c| c.commit_threshold = 0.8),
        change("gate, threshold 0.95", |c| c.commit_threshold = 0.95),
        change("gate, reliability 1", |c| c.p300.reliability = 1.0),
        // What three seconds of reading leave of the timeout, which counts from the opening.
        change("gate, timeout 9 s", |c| c.timeout_s = 9.0),
        change("gate, timeout 13 s", |c| c.timeout_s = 13.0),
        change("gate, timeout 16 s", |c| c.timeout_s = 16.0),
        change("gate, timeout 20 s", |c| c.timeout_s = 20.0),
        change("gate, timeout 20 s, threshold 0.95", |c| {
            c.timeout_s = 20.0;
            c.commit_threshold = 0.95;
        }),
        change("gate, attention 1.5, threshold 0.98", |c| {
            c.attention_nats_min = 1.5;
            c.commit_threshold = 0.98;
        }),
    ]
}

/// Prints a table and gives the means over people.
fn print(title: &str, people: &[Lines]) -> Vec<summary::Mean> {
    let Some(first) = people.first() else {
        return Vec::new();
    };
    println!("\n{title}");
    Figures::head();
    for (person, lines) in people.iter().enumerate() {
        for (name, figures) in lines.iter().filter(|(name, _)| is_short(name)) {
            figures.print(&format!("{}: {name}", person + 1));
        }
    }
    let mean = |(index, (name, _)): (usize, &(String, Figures))| {
        let of = people.iter().filter_map(|p| Some(p.get(index)?.1));
        let mean = Figures::mean(&of.collect::<Vec<Figures>>());
        mean.print(&format!("mean: {name}"));
        (name.clone(), mean)
    };
    first.iter().enumerate().map(mean).collect()
}

/// Of each person only this is printed; of the mean everything.
fn is_short(name: &str) -> bool {
    ["gate", "oracle", "fixed, 3 rounds", "fixed, 5 rounds"].contains(&name)
        || name.ends_with("posterior 0.9")
        || name.ends_with("all flashes")
}

fn main() -> anyhow::Result<()> {
    let options = options()?;
    let recordings = recordings(&options);
    if recordings.is_empty() {
        eprintln!(
            "no gtec5_S*_train.xdf and _test.xdf in {DATA}: nothing was measured. Name recordings with --train and --test"
        );
        return Ok(());
    }
    let mut people = Vec::new();
    for (train, test) in &recordings {
        let person = answers::person(train, test)?;
        let count = |target| person.answers.iter().filter(|a| a.target == target).count();
        let clean = person
            .answers
            .iter()
            .filter(|a| a.llr_nats.is_some())
            .count();
        let (offset, slope) = answers::cox(&person.answers);
        println!(
            "{}: {}, {} targets, {} others in {} runs, {clean} clean; scorer {}, AUC {:.3}, reliability {:.2}; offset {:+.2}, slope {:.2}; neighbours correlate by {:+.2} {:+.2} {:+.2}",
            people.len() + 1,
            test.display(),
            count(true),
            count(false),
            person.answers.chunk_by(|a, b| a.run == b.run).count(),
            person.scorer,
            person.auc,
            person.gate.config().p300.reliability,
            offset,
            slope,
            answers::correlation(&person.answers, 1),
            answers::correlation(&person.answers, 2),
            answers::correlation(&person.answers, 3),
        );
        people.push(person);
    }
    let mut questions: Vec<Question> = Vec::new();
    for &k in options.options.iter().filter(|k| **k <= 8) {
        questions.push(Question::branches(k));
        if k == 3 {
            questions.push(Question::of_a_session());
        }
    }
    let mut means = Vec::new();
    for question in &questions {
        let lines: anyhow::Result<Vec<Lines>> = people
            .iter()
            .map(|person| ask(person, question, &options))
            .collect();
        means.push(print(&question.name, &lines?));
    }
    if options.options.contains(&36) {
        let soa_s = options.flash.config().soa_s;
        let lines: Vec<Lines> = people
            .iter()
            .map(|person| {
                let letters = speller::letters(person, soa_s, options.forks, options.seed);
                let figures = letters.into_iter();
                figures
                    .map(|(name, n, tally)| (name, tally.figures(n)))
                    .collect()
            })
            .collect();
        print("letters of a matrix speller", &lines);
    }
    let mut scorers: Vec<&str> = people.iter().map(|person| person.scorer).collect();
    scorers.dedup();
    summary::head(people.len(), &scorers.join(", "));
    for (question, means) in questions.iter().zip(&means) {
        summary::print(&people, question, means, &options.flash, options.seed)?;
    }
    Ok(())
}
