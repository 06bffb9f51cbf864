//! What is lost at equal budgets of questions?

use razvilka::choice::bound::Counted;
use razvilka::choice::handover::HandoverConfig;

use super::Options;
use super::figures::{config, fresh, mean};
use super::people::Kind;
use super::session::{Arm, Budget, Rest, Score};

/// Makes an arm from a budget per minute and a person's seed.
type Make = fn(f64, u64) -> anyhow::Result<Arm>;
pub(crate) fn regret(options: &Options) -> anyhow::Result<()> {
    println!("\n## Regret, bits per fork (questions per 100 forks)\n");
    let sure = config(1.0).confidence_min;
    let arms: [(&str, Make); 8] = [
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
    let all = |arm: &dyn Fn(u64) -> anyhow::Result<Arm>| -> anyhow::Result<(f64, f64)> {
        let mut sessions = Vec::new();
        for (number, kind) in &honest {
            for person in 0..people {
                let seed = options.seed_of(*number, person);
                sessions.push(options.play(*kind, seed, &mut arm(seed)?, (0.1, 1)));
            }
        }
        let forks = f64::from(options.forks);
        Ok((
            mean(&sessions, |s| s.lost_bits / forks),
            100.0 * mean(&sessions, |s| f64::from(s.asked) / forks),
        ))
    };
    for (name, arm) in arms {
        print!("| {name} |");
        for per_min in [1.0, 2.0, 4.0, 6.0, 10.0] {
            let (lost, asked) = all(&|seed| arm(per_min, seed))?;
            print!(" {lost:.4} ({asked:.0}) |");
        }
        println!();
    }
    let (always, never) = (all(&|_| Ok(Arm::Always))?, all(&|_| Ok(Arm::Never))?);
    println!(
        "\nAlways asking: {:.4} (100). Never: {:.4} (0). {} persons of each of {} kinds.",
        always.0,
        never.0,
        people,
        honest.len()
    );
    Ok(())
}
