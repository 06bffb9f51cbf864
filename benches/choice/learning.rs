//! How good does the imitator become, and what is left of the questions?

use razvilka::choice::bound::{Counted, Tally};
use razvilka::choice::handover::{Carried, HandoverConfig};
use razvilka::choice::imitator::Figures;

use super::Options;
use super::figures::{config, mean, percent, share, wilson};
use super::payoff::figure;
use super::people::Kind;
use super::reliability::Reliability;
use super::session::{Arm, Guesser, Life, Session, handover, session};

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
        let mut all = Reliability::default();
        sessions.iter().for_each(|s| all.add(&s.claimed));
        println!(
            "| {} | imitator's calibration: a session's as if calibrated {:.3}; all answers together {:.3}, right {:+.1} % more often than claimed | | | |",
            kind.name(),
            mean(&sessions, |s| s.as_calibrated.error()),
            all.error(),
            100.0 * all.modesty(),
        );
    }
}
/// Sessions of a steady person.
const SESSIONS: usize = 20;

/// What is saved session after session, with the claim about each session or about all of them together: by the imitator, by one
/// that never learns, and by one that knows the person, which nobody can be ahead of.
pub(crate) fn sessions(options: &Options) -> anyhow::Result<()> {
    let forks = options.forks.div_ceil(4);
    println!("\n## Session after session, steady taste, {forks} forks each\n");
    println!(
        "| who guesses | claim about | what | 1 | 2 | 3 | 5 | 10 | 15 | 20 |\n|---|---|---|---|---|---|---|---|---|---|"
    );
    for (who, guesser) in [
        ("imitator", Guesser::Imitator),
        ("without learning", Guesser::Unlearning),
        ("who knows the person", Guesser::Oracle),
    ] {
        for (name, together) in [("each session", false), ("all of them", true)] {
            lives(options, forks, who, guesser, name, together)?;
        }
    }
    Ok(())
}

fn lives(
    options: &Options,
    forks: u32,
    who: &str,
    guesser: Guesser,
    name: &str,
    together: bool,
) -> anyhow::Result<()> {
    let base = HandoverConfig {
        confidence_min: options.sure,
        ..config(60.0)
    };
    let people = options.people.div_ceil(5);
    let mut by_session: Vec<Vec<Session>> = vec![Vec::new(); SESSIONS];
    let (mut broken, mut of) = (0, 0);
    for person in 0..people {
        let mut life = Life::new(
            Kind::Steady,
            options.seed_of(0, person),
            forks,
            options.remembered,
        );
        life.guesser = guesser;
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
        let shown = [0, 1, 2, 4, 9, 14, 19].map(|number| figure(&by_session[number]));
        println!("| {who} | {name} | {what} | {} |", shown.join(" | "));
    };
    let sum = |of: &[Session], what: fn(&Session) -> u32| of.iter().map(what).sum::<u32>();
    row("questions per 100 forks", &|of| {
        let asked: Vec<f64> = of.iter().map(|s| share(s.asked, s.forks)).collect();
        let found = figure(of.len(), options.seed, |drawn| {
            drawn.iter().map(|person| asked[*person]).sum::<f64>() / drawn.len() as f64
        });
        format!("{:.0} ({:.0} to {:.0})", found.value, found.low, found.high)
    });
    row("of these unsure, unshown, audits", &|of| {
        let per = |what: fn(&Session) -> u32| share(sum(of, what), sum(of, |s| s.forks));
        let (unsure, unshown) = (per(|s| s.unsure), per(|s| s.unshown));
        format!("{unsure:.0}, {unshown:.0}, {:.0}", per(|s| s.audits.0))
    });
    row("agreed at audits", &|of| {
        percent(sum(of, |s| s.audits.1), sum(of, |s| s.audits.0))
    });
    row("other way, of imitated", &|of| {
        percent(sum(of, |s| s.other_way), sum(of, |s| s.imitated))
    });
    let (low, high) = wilson(broken, of);
    println!(
        "| {who} | {name} | broke the claim | {broken} of {of} sessions ({:.1} to {:.1} %) | | | | | | |",
        100.0 * low,
        100.0 * high
    );
    Ok(())
}
