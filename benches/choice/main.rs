//! What may be left to the imitator, and does the guarantee hold? Simulated persons with tastes, drifts, changes, and with the will to mislead.
//!
//! ```sh
//! cargo bench --bench choice -- --people 1000 --forks 400 --seed 1
//! ```
//!
//! Four tables. *The claim*: sessions in which, at any moment, more forks had gone another way than the account allows, with Wilson's
//! 95 % interval, and what is saved; beside it a fixed threshold on the imitator's probability, which claims nothing. *The imitator*:
//! log-loss, accuracy and calibration error before each answer, beside three baselines, every fork asked. *Sessions*: what is left of
//! the questions as choices are remembered. *Regret*: divergence between
//! what was taken and what the person would have chosen, bits per fork, at equal budgets of questions, one fork every six seconds.
//!
//! Every person meets the same forks in every arm and, where it does not answer to the arm, wants the same. The memory is a
//! stand-in (`memory.rs`), meanings are points in eight dimensions, nobody tires: figures of a simulation, not of people.

mod memory;
mod people;
mod session;

use anyhow::{Context, bail};
use razvilka::choice::bound::Counted;
use razvilka::choice::handover::{Carried, HandoverConfig};
use razvilka::choice::imitator::Figures;

use people::Kind;
use session::{Arm, Budget, Life, Rest, Score, Session, handover, play, session};

struct Options {
    people: u64,
    forks: u32,
    seed: u64,
}

fn options() -> anyhow::Result<Options> {
    let mut options = Options {
        people: 20,
        forks: 400,
        seed: 1,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || {
            let value = arguments.next();
            value.with_context(|| format!("{argument} wants a value"))
        };
        match argument.as_str() {
            "--bench" => options.people = options.people.max(1_000),
            "--people" => options.people = value()?.parse()?,
            "--forks" => options.forks = value()?.parse()?,
            "--seed" => options.seed = value()?.parse()?,
            other => bail!("{other}: only --people, --forks and --seed are understood"),
        }
    }
    if options.people == 0 || options.forks == 0 {
        bail!("--people and --forks: there must be one at least");
    }
    Ok(options)
}

impl Options {
    /// The seed of one person; the same in every table and arm.
    fn seed_of(&self, kind: usize, person: u64) -> u64 {
        self.seed.wrapping_mul(1_000_003) + (kind as u64) * 10_000_019 + person
    }
}

/// As the program's, with the budget out of the way where the claim is looked at.
fn config(questions_per_min_max: f64) -> HandoverConfig {
    HandoverConfig {
        questions_per_min_max,
        ..HandoverConfig::default()
    }
}

/// Makes an arm from a budget per minute and a person's seed.
type Make = fn(f64, u64) -> anyhow::Result<Arm>;

/// A handover that goes on from nothing.
fn fresh(counted: Counted, per_min: f64, seed: u64, leans: bool) -> anyhow::Result<Arm> {
    handover(counted, config(per_min), seed, &Carried::default(), leans)
}

/// Wilson's 95 % interval of a share.
fn wilson(hits: u64, of: u64) -> (f64, f64) {
    let (n, p, z) = (of as f64, hits as f64 / of as f64, 1.959_964);
    let centre = (p + z * z / (2.0 * n)) / (1.0 + z * z / n);
    let half = z / (1.0 + z * z / n) * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    ((centre - half).max(0.0), (centre + half).min(1.0))
}

fn mean(of: &[Session], what: impl Fn(&Session) -> f64) -> f64 {
    of.iter().map(what).sum::<f64>() / of.len() as f64
}

fn share(of: u32, among: u32) -> f64 {
    if among == 0 {
        0.0
    } else {
        100.0 * f64::from(of) / f64::from(among)
    }
}

fn percent(of: u32, among: u32) -> String {
    if among == 0 {
        "none".into()
    } else {
        format!("{:.1} %", share(of, among))
    }
}

/// One line of the claim's table, and its sessions.
fn claim_line(
    options: &Options,
    name: &str,
    kinds: &[(usize, Kind)],
    broken: fn(&Session) -> bool,
    arm: impl Fn(u64) -> anyhow::Result<Arm>,
) -> anyhow::Result<()> {
    let base = config(60.0);
    let mut all = Vec::new();
    for (number, kind) in kinds {
        let mut sessions = Vec::new();
        for person in 0..options.people {
            let seed = options.seed_of(*number, person);
            sessions.push(play(
                *kind,
                seed,
                options.forks,
                &mut arm(seed)?,
                (base.disagreement_max, base.forks_min),
            ));
        }
        print_claim(name, kind.name(), &sessions, broken);
        all.extend(sessions);
    }
    print_claim(name, "**all**", &all, broken);
    Ok(())
}

fn print_claim(arm: &str, kind: &str, sessions: &[Session], broken: fn(&Session) -> bool) {
    let hits = sessions.iter().filter(|s| broken(s)).count() as u64;
    let (low, high) = wilson(hits, sessions.len() as u64);
    let (asked, forks) = (
        mean(sessions, |s| f64::from(s.asked)),
        mean(sessions, |s| f64::from(s.forks)),
    );
    let sum = |what: fn(&Session) -> u32| sessions.iter().map(what).sum::<u32>();
    let (imitated, other_way) = (sum(|s| s.imitated), sum(|s| s.other_way));
    println!(
        "| {arm} | {kind} | {hits} of {} | {:.1} % ({:.1} to {:.1}) | {:.0} % | {:.1} % | {} | {} |",
        sessions.len(),
        100.0 * hits as f64 / sessions.len() as f64,
        100.0 * low,
        100.0 * high,
        100.0 * (1.0 - asked / forks),
        share(other_way, sum(|s| s.asked) + imitated),
        percent(other_way, imitated),
        percent(sum(|s| s.audits.1), sum(|s| s.audits.0)),
    );
}

fn claims(options: &Options) -> anyhow::Result<()> {
    let base = config(60.0);
    println!(
        "\n## The claim: disagreement at most {:.0} %, risk {:.0} %, from {} forks on\n",
        100.0 * base.disagreement_max,
        100.0 * base.risk,
        base.forks_min
    );
    println!(
        "| arm | person | sessions that broke it | share (95 %) | questions saved | other way, of decided | of imitated | agreed at audits |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let kinds: Vec<(usize, Kind)> = Kind::ALL.into_iter().enumerate().collect();
    claim_line(
        options,
        "of the decided",
        &kinds,
        |s| s.broken_decided,
        |seed| fresh(Counted::Decided, 60.0, seed, false),
    )?;
    claim_line(
        options,
        "of the imitated",
        &kinds,
        |s| s.broken_imitated,
        |seed| fresh(Counted::Imitated, 60.0, seed, false),
    )?;
    let sure = base.confidence_min;
    claim_line(
        options,
        "threshold alone",
        &kinds,
        |s| s.broken_decided,
        |_| {
            Ok(Arm::Score(
                Score::Unsure(sure),
                Rest::SureImitator(sure),
                Budget::new(60.0),
            ))
        },
    )
}

fn learning(options: &Options) {
    println!("\n## The imitator, every fork asked\n");
    println!("| person | | log-loss, nats | accuracy | calibration error |\n|---|---|---|---|---|");
    let honest = Kind::ALL
        .into_iter()
        .enumerate()
        .filter(|(_, kind)| kind.is_honest());
    for (number, kind) in honest {
        let sessions: Vec<Session> = (0..options.people)
            .map(|person| {
                play(
                    kind,
                    options.seed_of(number, person),
                    options.forks,
                    &mut Arm::Always,
                    (0.1, 1),
                )
            })
            .collect();
        let line = |name: &str, of: fn(&Session) -> Figures| {
            println!(
                "| {} | {name} | {:.3} | {:.1} % | {:.3} |",
                kind.name(),
                mean(&sessions, |s| of(s).log_loss_nats),
                100.0 * mean(&sessions, |s| of(s).accuracy),
                mean(&sessions, |s| of(s).calibration_error),
            );
        };
        line("imitator", |s| s.standing.imitator);
        line("model", |s| s.standing.model);
        line("last place", |s| s.standing.last);
        line("frequency of places", |s| s.standing.frequency);
    }
}

fn regret(options: &Options) -> anyhow::Result<()> {
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
                sessions.push(play(*kind, seed, options.forks, &mut arm(seed)?, (0.1, 1)));
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

/// Ten sessions of a steady person: what is saved by then, with the claim about each session or about all of them together.
fn sessions(options: &Options) -> anyhow::Result<()> {
    const SESSIONS: usize = 10;
    let forks = options.forks.div_ceil(4);
    let base = config(60.0);
    println!("\n## Session after session, steady taste, {forks} forks each\n");
    println!(
        "| claim about | what | first | second | third | fifth | tenth |\n|---|---|---|---|---|---|---|"
    );
    let people = options.people.div_ceil(5);
    for (name, together) in [("each session", false), ("all of them together", true)] {
        let mut by_session: Vec<Vec<Session>> = vec![Vec::new(); SESSIONS];
        let (mut broken, mut of) = (0, 0);
        for person in 0..people {
            let mut life = Life::new(Kind::Steady, options.seed_of(0, person), forks);
            let mut carried = Carried::default();
            let (mut decided, mut other_way) = (0, 0);
            for (number, list) in by_session.iter_mut().enumerate() {
                // Coins that are new in every session.
                let seed = options.seed_of(0, person) ^ ((number as u64 + 1) << 40);
                let mut arm = handover(Counted::Decided, base, seed, &carried, false)?;
                let found = session(
                    &mut life,
                    forks,
                    &mut arm,
                    (base.disagreement_max, base.forks_min),
                );
                if let Arm::Handover { handover, .. } = &arm {
                    carried = handover.carried();
                }
                if together {
                    decided += found.asked + found.imitated;
                    other_way += found.other_way;
                    let allowed = base.disagreement_max * f64::from(decided.max(base.forks_min));
                    broken += u64::from(f64::from(other_way) > allowed + 1e-9);
                } else {
                    carried.tally = Default::default();
                    broken += u64::from(found.broken_decided);
                }
                of += 1;
                list.push(found);
            }
        }
        let row = |what: &str, figure: &dyn Fn(&[Session]) -> String| {
            let shown = [0, 1, 2, 4, 9].map(|number| figure(&by_session[number]));
            println!("| {name} | {what} | {} |", shown.join(" | "));
        };
        row("questions per 100 forks", &|of| {
            format!("{:.0}", mean(of, |s| share(s.asked, s.forks)))
        });
        row("other way, of imitated", &|of| {
            let sum = |what: fn(&Session) -> u32| of.iter().map(what).sum::<u32>();
            format!("{:.1} %", share(sum(|s| s.other_way), sum(|s| s.imitated)))
        });
        let (low, high) = wilson(broken, of);
        println!(
            "| {name} | broke the claim | {broken} of {of} sessions ({:.1} to {:.1} %) | | | | |",
            100.0 * low,
            100.0 * high
        );
    }
    Ok(())
}

fn main() -> anyhow::Result<()> {
    let options = options()?;
    println!(
        "{} persons of each kind, {} forks a session, seed {}",
        options.people, options.forks, options.seed
    );
    claims(&options)?;
    learning(&options);
    sessions(&options)?;
    regret(&options)
}
