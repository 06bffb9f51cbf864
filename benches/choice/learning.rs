//! How good does the imitator become, and what is left of the questions?

use razvilka::choice::bound::{Counted, Tally};
use razvilka::choice::handover::Carried;
use razvilka::choice::imitator::Figures;

use super::Options;
use super::figures::{config, mean, share, wilson};
use super::people::Kind;
use super::session::{Arm, Life, Session, handover, session};

pub(crate) fn learning(options: &Options) {
    println!("\n## The imitator, every fork asked\n");
    println!("| person | | log-loss, nats | accuracy | calibration error |\n|---|---|---|---|---|");
    let honest = Kind::ALL
        .into_iter()
        .enumerate()
        .filter(|(_, kind)| kind.is_honest());
    for (number, kind) in honest {
        let sessions: Vec<Session> = (0..options.people)
            .map(|person| {
                options.play(
                    kind,
                    options.seed_of(number, person),
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
/// Ten sessions of a steady person: what is saved by then, with the claim about each session or about all of them together.
pub(crate) fn sessions(options: &Options) -> anyhow::Result<()> {
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
            let mut life = Life::new(
                Kind::Steady,
                options.seed_of(0, person),
                forks,
                options.remembered,
            );
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
                    carried.tally = Tally::default();
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
