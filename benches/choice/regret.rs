//! What is lost at equal budgets of questions?

use razvilka::choice::bound::Counted;
use razvilka::choice::handover::HandoverConfig;

use super::Options;
use super::figures::{config, fresh, mean};
use super::payoff::figure;
use super::people::Kind;
use super::session::{Arm, Budget, Rest, Score, Session};

/// Makes an arm from a budget per minute and a person's seed.
type Make = fn(f64, u64) -> anyhow::Result<Arm>;
/// Questions a minute.
const BUDGETS: [f64; 5] = [1.0, 2.0, 4.0, 6.0, 10.0];
/// The arm that the others are compared with.
const LEANING: usize = 1;

pub(crate) fn regret(options: &Options) -> anyhow::Result<()> {
    println!("\n## Regret, bits per fork (questions per 100 forks)\n");
    let sure = config(1.0).confidence_min;
    let arms: [(&str, Make); 9] = [
        ("handover, else model", |per_min, seed| {
            fresh(Counted::Decided, per_min, seed, false)
        }),
        ("handover, else leaning", |per_min, seed| {
            fresh(Counted::Decided, per_min, seed, true)
        }),
        ("random, else model", |per_min, _| {
            Ok(Arm::Score(Score::Random, Rest::Model, Budget::new(per_min)))
        }),
        ("entropy, else model", |per_min, _| {
            Ok(Arm::Score(
                Score::Entropy,
                Rest::Model,
                Budget::new(per_min),
            ))
        }),
        ("threshold, else model", |per_min, _| {
            let sure = HandoverConfig::default().confidence_min;
            Ok(Arm::Score(
                Score::Unsure(sure),
                Rest::SureImitator(sure),
                Budget::new(per_min),
            ))
        }),
        ("random, else imitator", |per_min, _| {
            Ok(Arm::Score(
                Score::Random,
                Rest::Imitator,
                Budget::new(per_min),
            ))
        }),
        ("entropy, else imitator", |per_min, _| {
            Ok(Arm::Score(
                Score::Entropy,
                Rest::Imitator,
                Budget::new(per_min),
            ))
        }),
        ("value, else imitator", |per_min, _| {
            Ok(Arm::Score(
                Score::Value,
                Rest::Imitator,
                Budget::new(per_min),
            ))
        }),
        ("unsure, else imitator", |per_min, _| {
            Ok(Arm::Score(
                Score::Unsure(1.0),
                Rest::Imitator,
                Budget::new(per_min),
            ))
        }),
    ];
    println!("Sure from {sure} on; honest persons.\n");
    println!("| arm | 1 a minute | 2 | 4 | 6 | 10 |\n|---|---|---|---|---|---|");
    let honest: Vec<(usize, Kind)> = Kind::ALL
        .into_iter()
        .enumerate()
        .filter(|(_, kind)| kind.is_honest())
        .collect();
    let people = options.people.div_ceil(5);
    let lost = |arm: &dyn Fn(u64) -> anyhow::Result<Arm>| -> anyhow::Result<Vec<Session>> {
        let mut sessions = Vec::new();
        for (number, kind) in &honest {
            for person in 0..people {
                let seed = options.seed_of(*number, person);
                sessions.push(options.play(*kind, seed, &mut arm(seed)?, (0.1, 1)));
            }
        }
        Ok(sessions)
    };
    let forks = f64::from(options.forks);
    let shown = |sessions: &[Session]| {
        (
            mean(sessions, |s| s.lost_bits / forks),
            100.0 * mean(sessions, |s| f64::from(s.asked) / forks),
        )
    };
    let mut found: Vec<Vec<Vec<Session>>> = Vec::new();
    for (name, arm) in arms {
        print!("| {name} |");
        let mut by_budget = Vec::new();
        for per_min in BUDGETS {
            let sessions = lost(&|seed| arm(per_min, seed))?;
            let (bits, asked) = shown(&sessions);
            print!(" {bits:.4} ({asked:.0}) |");
            by_budget.push(sessions);
        }
        println!();
        found.push(by_budget);
    }
    let always = shown(&lost(&|_| Ok(Arm::Always))?);
    let never = shown(&lost(&|_| Ok(Arm::Never))?);
    println!(
        "\nAlways asking: {:.4} (100). Never: {:.4} (0). {} persons of each of {} kinds.",
        always.0,
        never.0,
        people,
        honest.len()
    );
    println!(
        "\nHow much more the others lose than the handover with leaning, bits per fork (95 %, the same persons):\n"
    );
    println!("| arm | 1 a minute | 2 | 4 | 6 | 10 |\n|---|---|---|---|---|---|");
    for ((name, _), by_budget) in arms.iter().zip(&found) {
        print!("| {name} |");
        for (own, others) in found[LEANING].iter().zip(by_budget) {
            let more: Vec<f64> = own
                .iter()
                .zip(others)
                .map(|(own, other)| (other.lost_bits - own.lost_bits) / forks)
                .collect();
            let by = figure(more.len(), options.seed, |drawn| {
                drawn.iter().map(|person| more[*person]).sum::<f64>() / drawn.len() as f64
            });
            print!(" {:.4} ({:.4} to {:.4}) |", by.value, by.low, by.high);
        }
        println!();
    }
    Ok(())
}
