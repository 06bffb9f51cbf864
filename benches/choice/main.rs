//! What may be left to the imitator, and does the guarantee hold? Simulated persons with tastes that stay, drift and change, and
//! some who set out to mislead.
//!
//! ```sh
//! cargo bench --bench choice -- --people 1000 --forks 400 --seed 1
//! cargo bench --bench choice -- --people 200 --tables regret,cost
//! ```
//!
//! *claim*: sessions in which, at any moment, more forks had gone another way than the account allows, with Wilson's 95 %
//! interval, and what is saved; beside it a fixed threshold on the imitator's probability, which claims nothing. *worst*: the
//! account alone against somebody who is always wrong. *imitator*: log-loss, accuracy and calibration error before each
//! answer, beside three baselines, every fork asked. *sessions*: what is left of the questions as choices are remembered.
//! *regret*: divergence between what was taken and what the person would have chosen, bits per fork, at equal budgets of
//! questions, one fork every six seconds. *guard*: persons of its own who tire, are overloaded, answer by habit. *cost*: what the
//! parts take, timed. *offload*, *habits*, *tasks* (`payoff/`): what choosing buys with the story model, docs/payoff.md.
//!
//! Every person meets the same forks in every arm and, where it does not answer to the arm, wants the same. The memory is a
//! stand-in (`memory.rs`), meanings are points in eight dimensions, nobody tires: figures of a simulation, not of people.

mod claim;
mod cost;
mod figures;
mod guard;
mod learning;
mod memory;
mod payoff;
mod people;
mod regret;
mod reliability;
mod session;

use anyhow::{Context, bail};

use people::Kind;
use session::{Arm, Life, Session, session};

pub(crate) struct Options {
    pub(crate) people: u64,
    pub(crate) forks: u32,
    pub(crate) seed: u64,
    pub(crate) remembered: usize,
    /// From which probability on the guesser is sure, in the table of sessions.
    pub(crate) sure: f64,
    /// Stories that somebody has in mind, texts that are drawn to check an estimate, and particles of an estimate.
    pub(crate) wishes: usize,
    pub(crate) texts: usize,
    pub(crate) particles: usize,
    pub(crate) questions_per_100_tokens: usize,
    /// Persons with a taste in stories, and stories that each writes in a session.
    pub(crate) tastes: usize,
    pub(crate) stories: usize,
    tables: Vec<String>,
}

/// What can be asked for by `--tables`.
const TABLES: [&str; 10] = [
    "claim", "worst", "imitator", "sessions", "regret", "guard", "cost", "offload", "habits",
    "tasks",
];

fn options() -> anyhow::Result<Options> {
    let mut options = Options {
        people: 20,
        forks: 400,
        seed: 1,
        remembered: 128,
        sure: 0.85,
        wishes: 5,
        texts: 20,
        particles: 2,
        questions_per_100_tokens: 20,
        tastes: 2,
        stories: 1,
        tables: TABLES.map(String::from).to_vec(),
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || {
            let value = arguments.next();
            value.with_context(|| format!("{argument} wants a value"))
        };
        match argument.as_str() {
            "--bench" => {
                options.people = options.people.max(1_000);
                (options.wishes, options.texts, options.particles) = (100, 1_000, 8);
                (options.tastes, options.stories) = (8, 4);
            }
            "--people" => options.people = value()?.parse()?,
            "--forks" => options.forks = value()?.parse()?,
            "--remembered" => options.remembered = value()?.parse()?,
            "--sure" => options.sure = value()?.parse()?,
            "--wishes" => options.wishes = value()?.parse()?,
            "--texts" => options.texts = value()?.parse()?,
            "--particles" => options.particles = value()?.parse()?,
            "--questions-per-100-tokens" => options.questions_per_100_tokens = value()?.parse()?,
            "--tastes" => options.tastes = value()?.parse()?,
            "--stories" => options.stories = value()?.parse()?,
            "--seed" => options.seed = value()?.parse()?,
            "--tables" => options.tables = value()?.split(',').map(String::from).collect(),
            other => {
                bail!(
                    "{other}: only --people, --forks, --remembered, --sure, --wishes, --texts, --particles, --tastes, --stories, --questions-per-100-tokens, --seed and --tables are understood"
                )
            }
        }
    }
    if let Some(table) = options
        .tables
        .iter()
        .find(|t| !TABLES.contains(&t.as_str()))
    {
        bail!("--tables {table}: there are {}", TABLES.join(", "));
    }
    let counts = [
        options.people as usize,
        options.forks as usize,
        options.remembered,
        options.wishes,
        options.texts,
        options.particles,
        options.tastes,
        options.stories,
    ];
    if counts.contains(&0) {
        bail!(
            "--people, --forks, --remembered, --wishes, --texts, --particles, --tastes, --stories: there must be one at least"
        );
    }
    Ok(options)
}

impl Options {
    /// A first session of somebody of this kind. `claim`: the share that may go another way, and from how many forks on it counts.
    pub(crate) fn play(&self, kind: Kind, seed: u64, arm: &mut Arm, claim: (f64, u32)) -> Session {
        let mut life = Life::new(kind, seed, self.forks, self.remembered);
        session(&mut life, self.forks, arm, claim)
    }

    /// The seed of one person; the same in every table and arm.
    pub(crate) fn seed_of(&self, kind: usize, person: u64) -> u64 {
        self.seed.wrapping_mul(1_000_003) + (kind as u64) * 10_000_019 + person
    }
}
fn main() -> anyhow::Result<()> {
    let options = options()?;
    println!(
        "{} persons of each kind, {} forks a session, seed {}",
        options.people, options.forks, options.seed
    );
    for table in &options.tables {
        match table.as_str() {
            "claim" => claim::claims(&options)?,
            "worst" => claim::worst(&options),
            "imitator" => learning::learning(&options),
            "sessions" => learning::sessions(&options)?,
            "regret" => regret::regret(&options)?,
            "guard" => guard::guard(&options)?,
            "offload" => payoff::offload(&options)?,
            "habits" => payoff::habits(&options)?,
            "tasks" => payoff::tasks(&options)?,
            _ => cost::cost(&options),
        }
    }
    Ok(())
}
