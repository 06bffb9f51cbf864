//! Questions per sentence, session after session, of somebody with a taste in stories.
//!
//! The texts are written with every fork answered as the person's taste has it; on the forks of those texts, with the states that
//! the model had there, the program's memory, imitator and handover then decide whom they would have asked. So every arm meets
//! the same forks. What an imitator took wrongly does not change the text that follows: the person takes it back, which counts
//! against the imitator, and is asked there, which is a question.

use std::sync::Arc;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use razvilka::choice::bound::Counted;
use razvilka::choice::deputy::{Deputy, Sighting};
use razvilka::choice::handover::{
    Carried, Course, Ended, Handover, HandoverConfig, HandoverSettings, Place, Reason,
};
use razvilka::choice::imitator::{Answer, Guess, Imitator, ImitatorSettings};
use razvilka::choice::memory::Memory;
use razvilka::choice::{Step, Why};
use razvilka::decode::Model;
use razvilka::fork::{Chooser, ForkOrigin};

use super::pass::{Aim, Manner, Offered, write};
use super::resample::figure;
use crate::Options;
use crate::figures::percent;
use crate::session::coins;

/// Sessions of one person.
const SESSIONS: usize = 20;
/// Time between two forks, seconds: no budget of questions a minute is to be felt here.
const FORK_EVERY_S: f64 = 6.0;
/// Shares of forks at which the person takes any branch whatever its taste.
const SLIPS: [f64; 3] = [0.0, 0.05, 0.15];

/// One person's texts of one session.
#[derive(Default)]
struct Written {
    forks: Vec<Offered>,
    sentences: usize,
}

/// What one arm did in one session.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    questions: u32,
    forks: u32,
    sentences: u32,
    audits: u32,
    agreed: u32,
    imitated: u32,
    other_way: u32,
}

/// Who guesses.
#[derive(Clone, Copy, PartialEq)]
enum Who {
    Nobody,
    Imitator,
    Oracle,
}

pub(crate) fn habits(options: &Options) -> anyhow::Result<()> {
    let model = Arc::new(Model::embedded()?);
    let people = options.tastes;
    println!(
        "\n## Questions per sentence: {people} tastes, {SESSIONS} sessions of {} stories\n",
        options.stories
    );
    let mut lives: Vec<Vec<Written>> = Vec::with_capacity(people);
    // Two at a time: a text is a matter of the processor alone.
    for pair in (0..people as u64).collect::<Vec<_>>().chunks(2) {
        let found: Vec<anyhow::Result<Vec<Written>>> = std::thread::scope(|scope| {
            let threads: Vec<_> = pair
                .iter()
                .map(|person| scope.spawn(|| life(&model, options, *person)))
                .collect();
            let join = |t: std::thread::ScopedJoinHandle<'_, _>| t.join();
            threads
                .into_iter()
                .map(|thread| join(thread).unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        });
        for life in found {
            lives.push(life?);
        }
    }
    let all = lives.iter().flatten();
    let forks: usize = all.clone().map(|session| session.forks.len()).sum();
    let sentences: usize = all.map(|session| session.sentences).sum();
    println!(
        "{:.2} forks offered a sentence; {forks} in all.\n",
        forks as f64 / sentences as f64
    );
    println!(
        "| slips | who guesses | sure from | questions per sentence, session 1 (95 %) | 2 | 3 | 5 | 10 | 15 | 20 | tenth of the first (95 %) | agreed at audits, sessions 6 to 20, % (95 %) | other way, of imitated |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|"
    );
    for slips in SLIPS {
        for (name, who, sure) in [
            ("without learning", Who::Nobody, 0.85),
            ("imitator", Who::Imitator, 0.85),
            ("imitator", Who::Imitator, 0.75),
            ("who knows the person", Who::Oracle, 0.85),
        ] {
            let counts: Vec<Vec<Count>> = lives
                .iter()
                .enumerate()
                .map(|(person, life)| arm(options, life, person as u64, who, slips, sure))
                .collect::<anyhow::Result<_>>()?;
            line(
                options,
                &format!("{:.0} % | {name} | {sure}", 100.0 * slips),
                &counts,
            );
        }
    }
    Ok(())
}

/// All texts of a person.
fn life(model: &Arc<Model>, options: &Options, person: u64) -> anyhow::Result<Vec<Written>> {
    let taste = Aim::Taste(options.seed.wrapping_mul(1_000_003).wrapping_add(person));
    let mut sessions = Vec::with_capacity(SESSIONS);
    for session in 0..SESSIONS as u64 {
        let mut written = Written::default();
        for story in 0..options.stories as u64 {
            let manner = Manner {
                seed: (options.seed << 48) ^ (person << 32) ^ (session << 16) ^ story,
                questions_per_100_tokens: options.questions_per_100_tokens,
                calls: false,
                thinks: false,
            };
            let pass = write(model, &taste, &manner)?;
            written.sentences += pass.trace.sentences.len();
            written.forks.extend(pass.offered);
        }
        sessions.push(written);
    }
    Ok(sessions)
}

/// What the person answers, its slips drawn by person and fork alone.
fn answers(slips: f64, seed: u64, number: u64, fork: &Offered) -> (Answer, Option<Guess>) {
    let branches = fork.fork.branches.len();
    let mut random = ChaCha8Rng::seed_from_u64(seed ^ 0x736c_6970);
    random.set_stream(number);
    let (slipped, any): (f64, usize) = (random.random(), random.random_range(0..branches));
    let wanted = match fork.wanted {
        _ if slipped < slips => Answer::Branch(any),
        Some(branch) => Answer::Branch(branch),
        None => Answer::Other,
    };
    let mut chances = vec![slips / branches as f64; branches];
    chances.push(0.0);
    chances[fork.wanted.unwrap_or(branches)] += 1.0 - slips;
    (wanted, Guess::of(&chances))
}

fn arm(
    options: &Options,
    life: &[Written],
    person: u64,
    who: Who,
    slips: f64,
    confidence_min: f64,
) -> anyhow::Result<Vec<Count>> {
    let settings = HandoverSettings::new(HandoverConfig {
        on: who != Who::Nobody,
        counted: Counted::Decided,
        questions_per_min_max: 60.0,
        confidence_min,
        ..HandoverConfig::default()
    })?;
    let seed = options.seed_of(0, person);
    let mut memory: Option<Memory> = None;
    let mut imitator = Imitator::new(ImitatorSettings::default());
    let mut carried = Carried::default();
    let mut number = 0;
    let mut counts = Vec::with_capacity(life.len());
    for (session, written) in life.iter().enumerate() {
        let coins = coins(seed ^ ((session as u64 + 1) << 40));
        let mut deputy = Deputy::new(imitator.clone(), settings, coins, &carried);
        let mut alone = Handover::resumed(settings, coins, &carried);
        let mut count = Count {
            sentences: written.sentences as u32,
            ..Count::default()
        };
        // Whether the person was asked at the place that other branches may follow.
        let mut asked = false;
        for fork in &written.forks {
            number += 1;
            let (wanted, chances) = answers(slips, seed, number, fork);
            let again = fork.fork.origin == ForkOrigin::Other;
            if again && !asked {
                continue;
            }
            let attention = attention(memory.as_ref(), fork)?;
            let sighting = Sighting {
                fork: &fork.fork,
                question: 2 * number,
                at_s: number as f64 * FORK_EVERY_S,
                attention: &attention,
                divergence_bits: fork.divergence,
            };
            let course = if again {
                deputy.asked(&sighting);
                Course::Ask(Reason::NoGuess)
            } else if who == Who::Oracle {
                alone.decide(&Place {
                    question: sighting.question,
                    at_s: sighting.at_s,
                    guess: chances,
                    divergence_bits: fork.divergence,
                })
            } else {
                deputy.decide(&sighting)
            };
            count.forks += u32::from(!again);
            asked = matches!(course, Course::Ask(_));
            match course {
                Course::Ask(reason) => {
                    count.questions += 1;
                    let caught = alone.report().tally.caught + deputy.report().tally.caught;
                    if who == Who::Oracle {
                        alone.end(Ended::Answered(wanted));
                    } else {
                        deputy.ended(&step(wanted))?;
                        deputy.taken(fork.fork.position, Chooser::Human);
                    }
                    if reason == Reason::Audit {
                        let now = alone.report().tally.caught + deputy.report().tally.caught;
                        count.audits += 1;
                        count.agreed += u32::from(now == caught);
                    }
                    if who == Who::Imitator {
                        remember(&mut memory, fork, wanted)?;
                    }
                }
                Course::Imitate { branch, .. } => {
                    count.imitated += 1;
                    deputy.taken(fork.fork.position, Chooser::Imitator);
                    if wanted != Answer::Branch(branch) {
                        count.other_way += 1;
                        count.questions += 1;
                        asked = true;
                        if who == Who::Oracle {
                            alone.taken_back();
                        } else {
                            deputy.taken_back()?;
                            deputy.asked(&Sighting {
                                question: sighting.question + 1,
                                ..sighting
                            });
                            deputy.ended(&step(wanted))?;
                            if matches!(wanted, Answer::Branch(_)) {
                                deputy.taken(fork.fork.position, Chooser::Human);
                            }
                            remember(&mut memory, fork, wanted)?;
                        }
                    }
                }
                Course::LetModel { .. } => {}
            }
        }
        carried = match who {
            Who::Oracle => alone.carried(),
            Who::Imitator | Who::Nobody => deputy.carried(),
        };
        if who == Who::Imitator {
            imitator = deputy.imitator().clone();
        }
        counts.push(count);
    }
    Ok(counts)
}

fn step(wanted: Answer) -> Step {
    match wanted {
        Answer::Branch(option) => Step::TakeBranch {
            option,
            chooser: Chooser::Human,
            why: Why::Selected,
        },
        Answer::Other | Answer::NotThis(_) => Step::OfferOther { why: Why::Selected },
    }
}

fn attention(memory: Option<&Memory>, fork: &Offered) -> anyhow::Result<Vec<f64>> {
    let (Some(memory), Some(states)) = (memory, &fork.states) else {
        return Ok(Vec::new());
    };
    let branches: Vec<&[f32]> = states.branches.iter().map(Vec::as_slice).collect();
    let found = memory.preference(&states.fork, &branches)?;
    Ok(found.into_iter().map(f64::from).collect())
}

fn remember(memory: &mut Option<Memory>, fork: &Offered, wanted: Answer) -> anyhow::Result<()> {
    if let (Answer::Branch(branch), Some(states)) = (wanted, &fork.states) {
        let branches: Vec<&[f32]> = states.branches.iter().map(Vec::as_slice).collect();
        memory
            .get_or_insert_with(|| Memory::new(states.fork.len()))
            .learn(&states.fork, &branches, branch)?;
    }
    Ok(())
}

fn line(options: &Options, label: &str, counts: &[Vec<Count>]) {
    let of = |drawn: &[usize], session: usize| {
        let all = drawn.iter().map(|person| counts[*person][session]);
        let questions: u32 = all.clone().map(|count| count.questions).sum();
        f64::from(questions) / f64::from(all.map(|count| count.sentences).sum::<u32>())
    };
    let figure = |by: &dyn Fn(&[usize]) -> f64| figure(counts.len(), options.seed, by).to_string();
    let sessions = [0, 1, 2, 4, 9, 14, 19].map(|session| figure(&|drawn| of(drawn, session)));
    let ratio = figure(&|drawn| of(drawn, 9) / of(drawn, 0));
    let late = counts.iter().flat_map(|sessions| &sessions[5..]);
    let sum = |what: fn(&Count) -> u32| late.clone().map(what).sum::<u32>();
    let agreement = if sum(|c| c.audits) == 0 {
        "none".into()
    } else {
        figure(&|drawn| {
            let late = drawn.iter().flat_map(|person| &counts[*person][5..]);
            let of = |what: fn(&Count) -> u32| f64::from(late.clone().map(what).sum::<u32>());
            100.0 * of(|c| c.agreed) / of(|c| c.audits)
        })
    };
    println!(
        "| {label} | {} | {ratio} | {agreement} | {} |",
        sessions.join(" | "),
        percent(sum(|c| c.other_way), sum(|c| c.imitated))
    );
}
