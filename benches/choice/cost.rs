//! What do the parts cost?

use std::hint::black_box;
use std::time::Instant;

use razvilka::choice::bound::{Account, AccountSettings, Counted};
use razvilka::choice::imitator::{Answer, Imitator, ImitatorSettings};

use super::Options;
use super::memory::Memory;
use super::people::{Kind, Person, Seen};

/// What the parts cost between two forks, on this machine.
pub(crate) fn cost(options: &Options) {
    const CALLS: usize = 20_000;
    let mut person = Person::new(Kind::Steady, options.seed_of(0, 0), CALLS as u32);
    let mut memory = Memory::new(options.remembered);
    let mut imitator = Imitator::new(ImitatorSettings::default());
    let settings = AccountSettings {
        disagreement_max: 0.1,
        counted: Counted::Decided,
        risk: 0.05,
        forks_min: 50,
        audit_rate_min: 0.05,
    };
    let mut account = Account::new(settings);
    let mut times: [Vec<u64>; 3] = Default::default();
    for _ in 0..CALLS {
        let fork = person.next_fork();
        let offer = memory.offer(&fork);
        let mut clock = |which: usize, work: &mut dyn FnMut()| {
            let begin = Instant::now();
            work();
            times[which].push(begin.elapsed().as_nanos() as u64);
        };
        clock(0, &mut || {
            black_box(imitator.guess(black_box(&offer)));
        });
        let wanted = person.would_choose(&fork, &Seen::default());
        if let Answer::Branch(branch) = wanted {
            memory.note(&fork, branch);
        }
        clock(1, &mut || {
            black_box(imitator.learn(&offer, wanted)).ok();
        });
        clock(2, &mut || {
            black_box(account.next_rate());
        });
        account.imitate(7);
        account.ask();
    }
    println!(
        "\n## Cost, microseconds, {CALLS} calls each\n\n| | p50 | p99 | max |\n|---|---|---|---|"
    );
    for (name, times) in ["guess", "learn from an answer", "next audit's rate"]
        .iter()
        .zip(&mut times)
    {
        times.sort_unstable();
        let at = |share: f64| times[(share * (times.len() - 1) as f64) as usize] as f64 / 1e3;
        println!(
            "| {name} | {:.1} | {:.1} | {:.1} |",
            at(0.5),
            at(0.99),
            at(1.0)
        );
    }
}
