//! Fixed against dynamic at equal accuracy: how long one fork takes.
//!
//! A fixed schedule never declines and a gate does, so "equal" has two readings: as many forks right, and no more of them
//! wrong. Both are printed. Intervals: stretches of consecutive flashes of each recording are drawn with replacement, whole, and
//! forks are drawn from them anew; 2.5th to 97.5th percentile of the mean over people. They know how much another recording of
//! the same people on the same day would differ, not how other people would.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use razvilka::choice::FlashSettings;

use crate::answers::{Answer, Person};
use crate::forks::{self, Attention, Question};
use crate::tally::Figures;

const RESAMPLES: u64 = 100;
/// Flashes of a stretch: some eight seconds, three rounds of the recordings' speller.
const STRETCH: usize = 48;
/// Forks of each person in a resample.
const FORKS: u64 = 300;

/// A rule's name and its figures over all people.
pub(crate) type Mean = (String, Figures);

/// 2.5th and 97.5th percentile.
#[derive(Debug, Clone, Copy)]
struct Interval(f64, f64);

/// What may vary from recording to recording, of the gate.
struct Intervals {
    right: Interval,
    wrong: Interval,
    flashes: Interval,
    seconds: Interval,
}

/// Prints a question's part of the table.
pub(crate) fn print(
    people: &[Person],
    question: &Question,
    means: &[Mean],
    flash: &FlashSettings,
    seed: u64,
) -> anyhow::Result<()> {
    let Some((_, gate)) = means.iter().find(|(name, _)| name == "gate") else {
        return Ok(());
    };
    let found = intervals(people, question, flash, seed)?;
    let shown = |value: f64, Interval(low, high): Interval, digits: usize| {
        format!("{value:.digits$} [{low:.digits$}, {high:.digits$}]")
    };
    println!("\n{}", question.name);
    row(
        "gate",
        gate,
        [
            shown(gate.right, found.right, 3),
            shown(gate.wrong, found.wrong, 3),
            shown(gate.flashes[1], found.flashes, 1),
            shown(gate.seconds[1], found.seconds, 2),
        ],
    );
    let fixed = || means.iter().filter(|(name, _)| name.starts_with("fixed"));
    let as_right = fixed().find(|(_, f)| f.right >= gate.right);
    let no_more_wrong = fixed().find(|(_, f)| f.wrong <= gate.wrong);
    for (reading, of) in [
        ("as many right", as_right),
        ("no more wrong", no_more_wrong),
    ] {
        let Some((name, of)) = of else { continue };
        let cells = [
            format!("{:.3}", of.right),
            format!("{:.3}", of.wrong),
            format!("{:.1}", of.flashes[1]),
            format!("{:.2}", of.seconds[1]),
        ];
        row(&format!("{name}: {reading}"), of, cells);
    }
    Ok(())
}

/// The head of the table.
pub(crate) fn head(people: usize, scorers: &str) {
    println!(
        "\nOne fork, fixed against dynamic at equal accuracy; means of {people} people, scorer {scorers}; [95 % interval]"
    );
    println!(
        "{:<32} {:>20} {:>20} {:>7} {:>18} {:>18} {:>8} {:>7} {:>7}",
        "", "right", "wrong", "declin", "flashes", "seconds", "s/right", "ITR/mn", "util/m"
    );
}

fn row(name: &str, of: &Figures, [right, wrong, flashes, seconds]: [String; 4]) {
    // A wrong choice costs another to take it back, and the choice is made again.
    let per_right_s = of.seconds[1] / (of.right - of.wrong).max(f64::MIN_POSITIVE);
    println!(
        "{name:<32} {right:>20} {wrong:>20} {:>7.3} {flashes:>18} {seconds:>18} {per_right_s:>8.2} {:>7.2} {:>7.2}",
        of.declined, of.itr_bits_per_min, of.utility_bits_per_min
    );
}

fn intervals(
    people: &[Person],
    question: &Question,
    flash: &FlashSettings,
    seed: u64,
) -> anyhow::Result<Intervals> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut means = Vec::new();
    for resample in 0..RESAMPLES {
        let mut figures = Vec::new();
        for person in people {
            let person = redrawn(person, &mut random);
            let drawn = forks::draw(
                &person,
                question,
                flash,
                Attention::Somebody,
                FORKS,
                seed ^ (resample << 32),
            )?;
            let tally = forks::dynamic(&person.gate, question, &drawn)?;
            figures.push(tally.figures(question.kinds.len()));
        }
        means.push(Figures::mean(&figures));
    }
    let of = |get: fn(&Figures) -> f64| {
        let mut values: Vec<f64> = means.iter().map(get).collect();
        values.sort_by(f64::total_cmp);
        let at = |share: f64| values[(share * (values.len() - 1) as f64).round() as usize];
        Interval(at(0.025), at(0.975))
    };
    Ok(Intervals {
        right: of(|f| f.right),
        wrong: of(|f| f.wrong),
        flashes: of(|f| f.flashes[1]),
        seconds: of(|f| f.seconds[1]),
    })
}

/// The same person with as many stretches of its recording, drawn with replacement.
fn redrawn(person: &Person, random: &mut ChaCha8Rng) -> Person {
    let runs = person.answers.chunk_by(|a, b| a.run == b.run);
    let stretches: Vec<&[Answer]> = runs.flat_map(|run| run.chunks(STRETCH)).collect();
    let answers = stretches
        .iter()
        .flat_map(|_| stretches[random.random_range(0..stretches.len())])
        .copied()
        .collect();
    Person {
        answers,
        ..person.clone()
    }
}
