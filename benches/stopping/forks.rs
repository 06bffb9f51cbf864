//! Forks of a few options through the real gate, answered by recorded flashes.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use razvilka::choice::{FlashSequence, FlashSettings};
use razvilka::fork::ForkId;
use razvilka::gate::{Evidence, Gate, GateConfig, GateSettings, Lease, Posterior, Verdict};
use razvilka::marker::OptionKind::{self, Branch, GoOn, Other, Undo};
use razvilka_dsp::units::LslTime;

use crate::answers::Person;
use crate::deck::Deck;
use crate::tally::{End, Tally};

/// Rounds of the longest fixed schedule.
pub(crate) const ROUNDS: usize = 15;
const LEASE: Lease = Lease { epoch: 1 };

/// What can be chosen, and what the model thinks of it.
pub(crate) struct Question {
    pub(crate) name: String,
    pub(crate) kinds: Vec<OptionKind>,
    pub(crate) priors: Vec<f64>,
}

impl Question {
    /// Equally likely branches and nothing else.
    pub(crate) fn branches(branches: usize) -> Self {
        Self {
            name: format!("{branches} branches"),
            kinds: vec![Branch; branches],
            priors: vec![1.0 / branches as f64; branches],
        }
    }

    /// As a session asks: three branches that the model does not find equally likely, `other`, `undo` and `go on`.
    pub(crate) fn of_a_session() -> Self {
        Self {
            name: "3 branches, other, undo, go on".into(),
            kinds: vec![Branch, Branch, Branch, Other, Undo, GoOn],
            priors: vec![0.5, 0.3, 0.2, 0.0, 0.0, 0.0],
        }
    }
}

/// One flash of a fork.
#[derive(Debug, Clone, Copy)]
struct Flash {
    item: usize,
    /// When its evidence comes, seconds after the first flash.
    at_s: f64,
    llr_nats: Option<f64>,
}

/// A fork with the option that was meant and its flashes, as long as anything may want them.
pub(crate) struct Fork {
    id: ForkId,
    meant: usize,
    items: usize,
    flashes: Vec<Flash>,
}

/// Whether somebody attends to the option that is meant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Attention {
    Somebody,
    Nobody,
}

/// Forks over recorded answers. Everything follows from the seed.
pub(crate) fn draw(
    person: &Person,
    question: &Question,
    flash: &FlashSettings,
    attention: Attention,
    count: u64,
    seed: u64,
) -> anyhow::Result<Vec<Fork>> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let of = |target: bool| {
        let wanted = person.answers.iter().filter(|a| a.target == target);
        Deck::new(wanted.map(|a| a.llr_nats).collect())
    };
    let (mut targets, mut others) = (of(true), of(false));
    let timeout_s = person.gate.config().timeout_s;
    let prior = prior(&person.gate, question)?;
    (1..=count)
        .map(|id| {
            targets.gather();
            others.gather();
            let meant = pick(&prior, random.random());
            let mut sequence = FlashSequence::new(question.kinds.len(), flash, seed, id)?;
            let (mut flashes, mut onset_s) = (Vec::new(), 0.0);
            let rounds = ROUNDS * sequence.items();
            while flashes.len() < rounds || onset_s + person.epoch_s < timeout_s {
                let next = sequence.next_flash();
                let item = usize::try_from(next.item)?;
                let attended = item == meant && attention == Attention::Somebody;
                let deck = if attended { &mut targets } else { &mut others };
                flashes.push(Flash {
                    item,
                    at_s: onset_s + person.epoch_s,
                    llr_nats: deck.draw(&mut random),
                });
                onset_s += next.soa_s;
            }
            Ok(Fork {
                id: ForkId(id),
                meant,
                items: sequence.items(),
                flashes,
            })
        })
        .collect()
}

/// The prior as the gate caps it: the truth is drawn from it, so that a posterior can be right about its confidence.
fn prior(settings: &GateSettings, question: &Question) -> anyhow::Result<Posterior> {
    let mut gate = Gate::new(*settings);
    gate.open(
        ForkId(0),
        &question.kinds,
        &question.priors,
        at(0.0)?,
        LEASE,
    )?;
    Ok(*gate.prior())
}

fn pick(prior: &Posterior, mut at: f64) -> usize {
    for (option, p) in prior.as_slice().iter().enumerate() {
        at -= p;
        if at < 0.0 {
            return option;
        }
    }
    prior.options() - 1
}

fn at(seconds: f64) -> anyhow::Result<LslTime> {
    Ok(LslTime::new(seconds)?)
}

fn open(settings: &GateSettings, question: &Question, fork: &Fork) -> anyhow::Result<Gate> {
    let mut gate = Gate::new(*settings);
    gate.open(fork.id, &question.kinds, &question.priors, at(0.0)?, LEASE)?;
    Ok(gate)
}

fn feed(gate: &mut Gate, fork: &Fork, number: usize, flash: &Flash) -> anyhow::Result<Verdict> {
    let now = at(flash.at_s)?;
    Ok(match flash.llr_nats {
        Some(llr) => {
            let seq = number as u64;
            let item = Evidence::flash(fork.id, LEASE, seq, now, flash.item, llr);
            gate.evidence(&item, now)
        }
        None => gate.tick(now),
    })
}

fn end(gate: &Gate, fork: &Fork, right: Option<bool>, flashes: usize, seconds: f64) -> End {
    let (posterior, prior) = (gate.posterior(), gate.prior());
    let of_meant = |p: &Posterior| p.as_slice().get(fork.meant).copied().unwrap_or(0.0);
    End {
        right,
        claimed: posterior.best().posterior,
        flashes,
        seconds,
        bits: posterior.bits_from(prior).unwrap_or(f64::NAN),
        bits_true: (of_meant(posterior) / of_meant(prior)).log2(),
    }
}

/// The gate as it is.
pub(crate) fn dynamic(
    settings: &GateSettings,
    question: &Question,
    forks: &[Fork],
) -> anyhow::Result<Tally> {
    let timeout_s = settings.config().timeout_s;
    let one = |fork: &Fork| {
        let mut gate = open(settings, question, fork)?;
        for (number, flash) in fork.flashes.iter().enumerate() {
            match feed(&mut gate, fork, number, flash)? {
                Verdict::Waiting { .. } => {}
                Verdict::Committed { option, .. } => {
                    let right = Some(option == fork.meant);
                    return Ok(end(&gate, fork, right, number + 1, flash.at_s));
                }
                _ => return Ok(end(&gate, fork, None, number, timeout_s)),
            }
        }
        Ok(end(&gate, fork, None, fork.flashes.len(), timeout_s))
    };
    Ok(Tally(forks.iter().map(one).collect::<anyhow::Result<_>>()?))
}

/// The same posterior in a gate that never decides by itself.
fn undecided(settings: &GateSettings) -> anyhow::Result<GateSettings> {
    Ok(GateSettings::new(GateConfig {
        evidence_items_min: 1000,
        timeout_s: 600.0,
        ..*settings.config()
    })?)
}

/// A fixed number of rounds each, then whatever is ahead: one tally per number from 1 to [`ROUNDS`].
pub(crate) fn fixed(
    settings: &GateSettings,
    question: &Question,
    forks: &[Fork],
) -> anyhow::Result<Vec<Tally>> {
    let settings = undecided(settings)?;
    let mut tallies = vec![Tally::default(); ROUNDS];
    for fork in forks {
        let mut gate = open(&settings, question, fork)?;
        for (number, flash) in fork.flashes.iter().enumerate().take(ROUNDS * fork.items) {
            feed(&mut gate, fork, number, flash)?;
            if (number + 1) % fork.items == 0 {
                let right = Some(gate.posterior().best().option == fork.meant);
                tallies[number / fork.items].0.push(end(
                    &gate,
                    fork,
                    right,
                    number + 1,
                    flash.at_s,
                ));
            }
        }
    }
    Ok(tallies)
}

/// The posterior alone: commits as soon as it reaches a threshold; one tally per threshold.
pub(crate) fn thresholds(
    settings: &GateSettings,
    question: &Question,
    forks: &[Fork],
    thresholds: &[f64],
) -> anyhow::Result<Vec<Tally>> {
    let timeout_s = settings.config().timeout_s;
    let settings = undecided(settings)?;
    let mut tallies = vec![Tally::default(); thresholds.len()];
    for fork in forks {
        let mut gate = open(&settings, question, fork)?;
        let mut reached = 0;
        let mut heard = 0;
        for (number, flash) in fork.flashes.iter().enumerate() {
            if flash.at_s >= timeout_s {
                break;
            }
            feed(&mut gate, fork, number, flash)?;
            heard = number + 1;
            let best = gate.posterior().best();
            while thresholds
                .get(reached)
                .is_some_and(|t| best.posterior >= *t)
            {
                let right = Some(best.option == fork.meant);
                let ended = end(&gate, fork, right, heard, flash.at_s);
                tallies[reached].0.push(ended);
                reached += 1;
            }
        }
        for tally in &mut tallies[reached..] {
            tally.0.push(end(&gate, fork, None, heard, timeout_s));
        }
    }
    Ok(tallies)
}
