//! In how many sessions was the claim broken?

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use razvilka::choice::bound::{AUDIT_RATES, Account, AccountSettings, Counted};

use super::Options;
use super::figures::{config, fresh, mean, percent, share, wilson};
use super::people::Kind;
use super::session::{Arm, Budget, Rest, Score, Session, coins};

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
            sessions.push(options.play(
                *kind,
                seed,
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

fn claim_head() {
    println!(
        "| arm | person | sessions that broke it | share (95 %) | questions saved | other way, of decided | of imitated | agreed at audits |"
    );
    println!("|---|---|---|---|---|---|---|---|");
}

/// The account by itself against somebody who is always wrong, with an imitator that never notices: the hardest case.
fn worst_line(options: &Options, name: &str, counted: Counted) {
    let base = config(60.0);
    let sessions: Vec<Session> = (0..options.people)
        .map(|person| {
            let mut random = ChaCha8Rng::seed_from_u64(coins(options.seed_of(99, person)));
            let mut account = Account::new(AccountSettings {
                disagreement_max: base.disagreement_max,
                counted,
                risk: base.risk,
                forks_min: base.forks_min,
                audit_rate_min: base.audit_rate_min,
            });
            let mut found = Session {
                forks: options.forks,
                ..Session::default()
            };
            for _ in 0..options.forks {
                match account.next_rate() {
                    None => {
                        account.ask();
                        found.asked += 1;
                    }
                    Some(rate) if random.random::<f64>() < AUDIT_RATES[rate] => {
                        account.audit(false);
                        found.asked += 1;
                        found.audits.0 += 1;
                    }
                    Some(rate) => {
                        account.imitate(rate);
                        found.imitated += 1;
                    }
                }
                found.other_way = found.imitated;
                found.broken_decided |= found.other_way > account.allowed();
            }
            found
        })
        .collect();
    print_claim(name, "always wrong, never noticed", &sessions, |s| {
        s.broken_decided
    });
}

pub(crate) fn worst(options: &Options) {
    println!("\n## The account alone, at its worst\n");
    claim_head();
    worst_line(options, "of the decided", Counted::Decided);
    worst_line(options, "of the imitated", Counted::Imitated);
}

pub(crate) fn claims(options: &Options) -> anyhow::Result<()> {
    let base = config(60.0);
    println!(
        "\n## The claim: disagreement at most {:.0} %, risk {:.0} %, from {} forks on\n",
        100.0 * base.disagreement_max,
        100.0 * base.risk,
        base.forks_min
    );
    claim_head();
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
