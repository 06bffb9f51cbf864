//! One session: a person, its memory, its imitator, and somebody who decides whether to ask.

use std::collections::VecDeque;

use razvilka::choice::bound::Counted;
use razvilka::choice::handover::{
    Carried, Course, Ended, Handover, HandoverConfig, HandoverSettings, Place, Reason,
};
use razvilka::choice::imitator::{Answer, Guess, Imitator, ImitatorSettings, Scorecard, Standing};

use super::memory::Memory;
use super::people::{Fork, Kind, Person, Seen};
use super::reliability::Reliability;

/// Time between two forks, seconds.
pub(crate) const FORK_EVERY_S: f64 = 6.0;

/// Who decides at a fork.
pub(crate) enum Arm {
    /// The handover of the program.
    Handover {
        handover: Box<Handover>,
        /// Whether what nobody chose goes where the imitator leans, else where the model does.
        leans: bool,
    },
    /// Every fork is asked.
    Always,
    /// None is.
    Never,
    /// By a score, the highest asked within a budget; what is not asked goes to the model, or to the imitator as [`Rest`] says.
    Score(Score, Rest, Budget),
}

/// What an arm without the handover asks by.
#[derive(Clone, Copy)]
pub(crate) enum Score {
    Random,
    /// Entropy of the model's masses.
    Entropy,
    /// 1 minus the imitator's probability of its best branch; sure forks from this probability on are never asked.
    Unsure(f64),
    /// What the handover asks by, without its proof: divergence that would be lost on average.
    Value,
}

/// Who takes what is not asked.
#[derive(Clone, Copy)]
pub(crate) enum Rest {
    Model,
    Imitator,
    /// The imitator where it is this sure, else the model.
    SureImitator(f64),
}

/// The handover's price and its cap per minute, for the other arms.
#[derive(Clone)]
pub(crate) struct Budget {
    per_fork: f64,
    latest: VecDeque<f64>,
    price: f64,
    asked: VecDeque<u32>,
}

impl Budget {
    pub(crate) fn new(per_min: f64) -> Self {
        Self {
            per_fork: per_min * FORK_EVERY_S / 60.0,
            latest: VecDeque::new(),
            price: 0.0,
            asked: VecDeque::new(),
        }
    }

    fn allows(&mut self, fork: u32, score: f64) -> bool {
        /// As in `src/choice/handover`.
        const PRICED_FORKS: usize = 48;
        const WANTED: f64 = 1.5;
        let window = (60.0 / FORK_EVERY_S) as u32;
        while self.asked.front().is_some_and(|at| fork - at >= window) {
            self.asked.pop_front();
        }
        let wanted = score > 0.0 && score >= self.price;
        let asked = wanted && self.asked.len() as f64 + 1.0 <= self.per_fork * f64::from(window);
        if self.latest.len() == PRICED_FORKS {
            self.latest.pop_front();
        }
        self.latest.push_back(score);
        let forks = self.latest.len();
        let worth_it = (WANTED * self.per_fork * forks as f64) as usize;
        self.price = 0.0;
        if forks >= 2 && worth_it < forks {
            let mut sorted: Vec<f64> = self.latest.iter().copied().collect();
            sorted.sort_by(|a, b| b.total_cmp(a));
            self.price = sorted[worth_it.max(1) - 1];
        }
        if asked {
            self.asked.push_back(fork);
        }
        asked
    }
}

/// How a session went.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Session {
    pub(crate) forks: u32,
    pub(crate) asked: u32,
    /// Of those, where the guesser was not sure; where it still had to be shown to agree.
    pub(crate) unsure: u32,
    pub(crate) unshown: u32,
    pub(crate) imitated: u32,
    /// Imitated forks that the person would have taken otherwise.
    pub(crate) other_way: u32,
    /// Audits, and those at which the person agreed.
    pub(crate) audits: (u32, u32),
    /// Whether the claim was ever broken: of the forks decided by person or imitator, and of the imitated alone.
    pub(crate) broken_decided: bool,
    pub(crate) broken_imitated: bool,
    /// Divergence between what was taken and what the person would have chosen, bits, summed.
    pub(crate) lost_bits: f64,
    pub(crate) standing: Standing,
    /// What the guesser claimed of its best option, and what came of it; the same with answers drawn as it guessed them, which is
    /// what somebody perfectly calibrated would show in as many answers.
    pub(crate) claimed: Reliability,
    pub(crate) as_calibrated: Reliability,
}

/// What the imitator expects at a fork, and what became of it.
struct At<'a> {
    fork: &'a Fork,
    guess: Option<Guess>,
    wanted: Answer,
}

/// Who takes the fork: the person, or one of the branches.
enum Taken {
    Asked,
    By { branch: usize, imitator: bool },
}

/// Who guesses what the person would choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guesser {
    /// The program's imitator.
    Imitator,
    /// The same, which never learns and remembers nothing.
    Unlearning,
    /// One that knows the person: the ceiling.
    Oracle,
}

/// A person with what is remembered and learnt of it, from session to session.
pub(crate) struct Life {
    pub(crate) guesser: Guesser,
    seed: u64,
    person: Person,
    memory: Memory,
    imitator: Imitator,
}

impl Life {
    pub(crate) fn new(kind: Kind, seed: u64, forks: u32, remembered: usize) -> Self {
        Self {
            guesser: Guesser::Imitator,
            seed,
            person: Person::new(kind, seed, forks),
            memory: Memory::new(remembered),
            imitator: Imitator::new(ImitatorSettings::default()),
        }
    }
}

/// One session; `claim` is the share that may go another way, and from how many forks on it counts.
pub(crate) fn session(life: &mut Life, forks: u32, arm: &mut Arm, claim: (f64, u32)) -> Session {
    let Life {
        guesser,
        seed,
        person,
        memory,
        imitator,
    } = life;
    let seed = *seed;
    let mut card = Scorecard::new();
    let mut found = Session {
        forks,
        ..Session::default()
    };
    let mut since_audit = u32::MAX;
    for number in 0..forks {
        let fork = person.next_fork();
        let offer = memory.offer(&fork);
        let guess = match guesser {
            Guesser::Oracle => person.chances(&fork),
            Guesser::Imitator | Guesser::Unlearning => imitator.guess(&offer),
        };
        let seen = Seen {
            guess: guess.as_ref(),
            imitated: found.imitated,
            since_audit,
        };
        let wanted = person.would_choose(&fork, &seen);
        let at = At {
            fork: &fork,
            guess,
            wanted,
        };
        since_audit = since_audit.saturating_add(1);
        let (taken, reason) = decide(arm, number, seed, &at);
        let audited = reason.map(|reason| reason == Reason::Audit);
        found.unsure += u32::from(reason == Some(Reason::NotSure));
        found.unshown += u32::from(reason == Some(Reason::NotShown));
        match taken {
            Taken::Asked => {
                found.asked += 1;
                if let (Some(guess), Some(audit)) = (guess, audited) {
                    since_audit = if audit { 0 } else { since_audit };
                    found.audits.0 += u32::from(audit);
                    found.audits.1 += u32::from(audit && wanted == Answer::Branch(guess.best().0));
                }
                let place = match wanted {
                    Answer::Branch(branch) => {
                        if *guesser != Guesser::Unlearning {
                            memory.note(&fork, branch);
                        }
                        branch
                    }
                    Answer::Other | Answer::NotThis(_) => offer.branches(),
                };
                if let Some(guess) = &guess {
                    card.note(guess, &offer, place);
                    found.claimed.note(guess, place);
                    let mut left = hash(seed ^ 0x6361_6c69, number);
                    let options = guess.probabilities();
                    let drawn = options.iter().position(|p| {
                        left -= p;
                        left < 0.0
                    });
                    let drawn = drawn.unwrap_or(options.len() - 1);
                    found.as_calibrated.note(guess, drawn);
                }
                if *guesser != Guesser::Unlearning {
                    // The offer is its own: learning cannot fail.
                    imitator
                        .learn(&offer, wanted)
                        .expect("the answer was offered");
                }
            }
            Taken::By { branch, imitator } => {
                let lost = match wanted {
                    Answer::Branch(wanted) => fork.divergence_bits[branch][wanted],
                    Answer::Other | Answer::NotThis(_) => 1.0,
                };
                found.lost_bits += lost;
                if imitator {
                    found.imitated += 1;
                    found.other_way += u32::from(wanted != Answer::Branch(branch));
                }
            }
        }
        let (share, least) = claim;
        let allowed = |counted: u32| (share * f64::from(counted.max(least)) + 1e-9) as u32;
        found.broken_decided |= found.other_way > allowed(found.asked + found.imitated);
        found.broken_imitated |= found.other_way > allowed(found.imitated);
    }
    found.standing = card.standing();
    found
}

/// Who takes a fork; for a question of the handover, why it is asked.
fn decide(arm: &mut Arm, number: u32, seed: u64, at: &At<'_>) -> (Taken, Option<Reason>) {
    // The masses are sorted: the model's choice is the first.
    let model = Taken::By {
        branch: 0,
        imitator: false,
    };
    let (best, sure) = at.guess.map_or((0, 0.0), |guess| guess.best());
    let place = Place {
        question: u64::from(number),
        at_s: f64::from(number) * FORK_EVERY_S,
        guess: at.guess,
        divergence_bits: Some(at.fork.divergence_bits),
    };
    match arm {
        Arm::Always => (Taken::Asked, None),
        Arm::Never => (model, None),
        Arm::Handover { handover, leans } => match handover.decide(&place) {
            Course::Ask(reason) => {
                handover.end(Ended::Answered(at.wanted));
                (Taken::Asked, Some(reason))
            }
            Course::Imitate { branch, .. } => (
                Taken::By {
                    branch,
                    imitator: true,
                },
                None,
            ),
            Course::LetModel { leaning, .. } => {
                let branch = leaning.filter(|_| *leans).unwrap_or(0);
                (
                    Taken::By {
                        branch,
                        imitator: false,
                    },
                    None,
                )
            }
        },
        Arm::Score(by, rest, budget) => {
            let score = match by {
                Score::Random => hash(seed, number),
                Score::Entropy => at.fork.masses.iter().map(|p| -p * p.log2()).sum(),
                Score::Unsure(from) if sure >= *from => 0.0,
                Score::Unsure(_) => 1.0 - sure,
                Score::Value => place.value_bits(),
            };
            let taken = if budget.allows(number, score) {
                Taken::Asked
            } else {
                match rest {
                    Rest::Model => model,
                    Rest::SureImitator(from) if sure < *from => model,
                    Rest::Imitator | Rest::SureImitator(_) => Taken::By {
                        branch: best,
                        imitator: true,
                    },
                }
            };
            (taken, None)
        }
    }
}

/// A number in 0..1 from seed and fork: the random arm's, so that no arm disturbs the person's.
fn hash(seed: u64, number: u32) -> f64 {
    let mut h = (seed ^ 0x7261_6e64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(number);
    for _ in 0..2 {
        h = (h ^ (h >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        h ^= h >> 27;
    }
    (h >> 11) as f64 / (1_u64 << 53) as f64
}

/// The seed of the coins, which is not the person's.
pub(crate) fn coins(seed: u64) -> u64 {
    seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x636f_696e
}

pub(crate) fn handover(
    counted: Counted,
    config: HandoverConfig,
    seed: u64,
    carried: &Carried,
    leans: bool,
) -> anyhow::Result<Arm> {
    let settings = HandoverSettings::new(HandoverConfig {
        on: true,
        counted,
        ..config
    })?;
    let handover = Box::new(Handover::resumed(settings, coins(seed), carried));
    Ok(Arm::Handover { handover, leans })
}
