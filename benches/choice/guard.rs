//! What the guard buys: simulated persons write the same text with it, without it, and by the clock alone.
//!
//! A person has a load (questions of the last two minutes), tiredness (grows with questions and time, rest takes it away) and a
//! habit of answering the same again. They make answers wrong, slow or absent; by how much is made up, the same in every arm.
//! Every person meets the same forks with the same luck in every arm: luck is drawn by person, fork and attempt alone, whatever was
//! asked before. What is not asked goes to the model, which agrees with the person at 47 of 100 forks (as in the tables of the
//! imitator). Nothing flashes: that rung is left out. A pause lies before each fork, a break before the next one, as in a session.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use razvilka::choice::guard::{
    Answered, Guard, GuardConfig, GuardSettings, Rung, Selected, Step, Ways,
};
use razvilka::choice::{Ask, Decision, Presence, Protocol, ProtocolSettings};
use razvilka::fork::ForkOrigin;
use razvilka::person::PersonState;

use super::Options;

/// Text between two forks: time to write it, and tokens.
const WRITING_S: f64 = 4.0;
const TOKENS: u64 = 8;
/// The model's likeliest branch is the person's wish at so many forks.
const MODEL_RIGHT: f64 = 0.47;
/// When tiredness and the second task begin.
const ONSET_S: f64 = 900.0;
/// A wrong answer is seen in the text and taken back so often.
const TAKEN_BACK: f64 = 0.6;
/// How often a place is asked until what stands there stays.
const ATTEMPTS: u32 = 3;
const READING_S: f64 = 1.0;
const TIMEOUT_S: f64 = 16.0;

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Fresh,
    Hesitant,
    Drifting,
    Tiring,
    Overloaded,
    AlwaysOverloaded,
    Habituating,
}

const KINDS: [(Kind, &str); 7] = [
    (Kind::Fresh, "fresh"),
    (Kind::Hesitant, "fresh, hesitant"),
    (Kind::Drifting, "fresh, indices drift"),
    (Kind::Tiring, "tiring"),
    (Kind::Overloaded, "overloaded from minute 15"),
    (Kind::AlwaysOverloaded, "overloaded from the start"),
    (Kind::Habituating, "habituating"),
];

#[derive(Clone, Copy, PartialEq)]
enum Arm {
    None,
    Guard,
    /// As the guard, without a look at EEG and eyes.
    Answers,
    /// As the guard, which goes no further than longer pauses.
    Pauses,
    /// The null model: the same rungs by time on task alone, one every twenty minutes.
    Clock,
}

const ARMS: [(Arm, &str); 5] = [
    (Arm::None, "none"),
    (Arm::Guard, "guard"),
    (Arm::Answers, "guard, answers alone"),
    (Arm::Pauses, "guard, pauses alone"),
    (Arm::Clock, "clock"),
];
/// Time on task from one rung of the clock to the next.
const CLOCK_S: f64 = 1_200.0;

/// What came of one sitting.
#[derive(Clone, Copy, Default)]
struct Sitting {
    asked: f64,
    wrong: f64,
    declined: f64,
    /// Forks that went another way than wished, whoever chose.
    other_way: f64,
    minutes: f64,
    /// Whether the guard went up before what there is to be noticed began.
    early: bool,
    /// Minute of the first step up from then on; none: NaN.
    noticed_min: f64,
}

impl Kind {
    /// When there begins to be something to notice, seconds.
    fn onset_s(self) -> f64 {
        match self {
            Self::Tiring | Self::Overloaded => ONSET_S,
            Self::Fresh
            | Self::Hesitant
            | Self::Drifting
            | Self::AlwaysOverloaded
            | Self::Habituating => 0.0,
        }
    }
}

/// A person who sits.
struct Sitter {
    kind: Kind,
    seed: u64,
    own_ln: f64,
    tired: f64,
    habit: f64,
    asked_at_s: Vec<f64>,
    last: usize,
}

impl Sitter {
    fn new(kind: Kind, seed: u64) -> Self {
        let own_ln = 3.0_f64.ln() + 0.3 * normal(&mut ChaCha8Rng::seed_from_u64(seed));
        Self {
            kind,
            seed,
            own_ln,
            tired: 0.0,
            habit: 0.0,
            asked_at_s: Vec::new(),
            last: 0,
        }
    }

    /// Questions per minute over the last two.
    fn rate(&self, now_s: f64) -> f64 {
        let lately = self.asked_at_s.iter().rev();
        lately.take_while(|at| now_s - **at < 120.0).count() as f64 / 2.0
    }

    fn rests(&mut self, seconds: f64) {
        self.tired *= (-seconds / 240.0).exp();
        self.habit *= (-seconds / 300.0).exp();
    }

    /// The luck of one question.
    fn luck(&self, fork: u32, attempt: u32) -> ChaCha8Rng {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        random.set_stream(1 + u64::from(fork * ATTEMPTS + attempt));
        random
    }

    /// One question; gives what is selected (right or not) and how long it takes.
    fn answers(
        &mut self,
        wish: usize,
        now_s: f64,
        random: &mut ChaCha8Rng,
    ) -> (Option<usize>, f64) {
        let load = (0.25 * (self.rate(now_s) - 4.0)).clamp(0.0, 1.0);
        let strain = match self.kind {
            Kind::Fresh | Kind::Hesitant | Kind::Drifting | Kind::Habituating => 0.0,
            Kind::Tiring => self.tired,
            // A second task begins.
            Kind::Overloaded if now_s < ONSET_S => 0.0,
            Kind::Overloaded | Kind::AlwaysOverloaded => load,
        };
        self.asked_at_s.push(now_s);
        if self.kind == Kind::Tiring {
            // Hardly for a quarter of an hour, then with every question.
            let by = if now_s > ONSET_S { 0.025 } else { 0.001 };
            self.tired += (1.0 - self.tired) * by;
        }
        if self.kind == Kind::Habituating {
            self.habit += (1.0 - self.habit) * 0.012;
        }
        let [decline, err, slip, other] = [(); 4].map(|()| random.random::<f64>());
        let spread = if self.kind == Kind::Hesitant {
            0.6
        } else {
            0.35
        };
        let mut took_s = (self.own_ln + spread * normal(random) + 0.7 * strain).exp();
        let declines = if self.kind == Kind::Hesitant {
            0.12
        } else {
            0.04
        };
        if decline < declines + 0.35 * strain || took_s > TIMEOUT_S {
            return (None, TIMEOUT_S);
        }
        let rote = slip < 0.8 * self.habit;
        let selected = if rote {
            took_s *= 0.5;
            self.last
        } else if err < 0.05 + 0.35 * strain {
            (wish + 1 + (other * 2.0) as usize) % 3
        } else {
            wish
        };
        self.last = selected;
        (Some(selected), took_s)
    }

    /// EEG and eyes, by their own luck: four indices with noise, and how surely they have risen.
    fn state(&self, now_s: f64, noise: &mut ChaCha8Rng) -> PersonState {
        let drift = if self.kind == Kind::Drifting {
            now_s / 1_200.0
        } else {
            0.0
        };
        let mut state = PersonState::default();
        let (eeg, eyes) = (&mut state.indices, &mut state.eyes);
        for index in [
            &mut eeg.theta_alpha,
            &mut eeg.slow_fast,
            &mut eyes.blink_s,
            &mut eyes.perclos,
        ] {
            let z = 2.5 * self.tired + drift + 0.4 * normal(noise);
            // The baseline is two minutes long: what rests on it has an error of about half a standard deviation.
            let risen = 1.0 / (1.0 + (-1.7 * z / 0.5).exp());
            (index.z, index.risen) = (Some(z), (now_s > 180.0).then_some(risen));
        }
        state
    }
}

fn normal(random: &mut ChaCha8Rng) -> f64 {
    (0..12).map(|_| random.random::<f64>()).sum::<f64>() - 6.0
}

/// One text of so many forks.
fn sitting(kind: Kind, arm: Arm, forks: u32, seed: u64) -> anyhow::Result<Sitting> {
    let mut config = GuardConfig::default();
    if arm == Arm::Pauses {
        config.highest = Rung::LongerPauses;
    }
    let ways = Ways {
        without_flashes: false,
        recent_s: 60.0,
    };
    let mut guard = Guard::new(GuardSettings::new(config)?, ways);
    let mut protocol = Protocol::new(ProtocolSettings::default());
    let mut person = Sitter::new(kind, seed);
    let mut luck = ChaCha8Rng::seed_from_u64(seed ^ 0x6c75_636b);
    let mut noise = ChaCha8Rng::seed_from_u64(seed ^ 0x6e6f_6973);
    let mut found = Sitting {
        noticed_min: f64::NAN,
        ..Sitting::default()
    };
    let (mut now_s, mut rung, mut rested) = (0.0, Rung::AtEase, true);
    for fork in 0..forks {
        now_s += WRITING_S;
        person.rests(WRITING_S);
        let wish = (luck.random::<f64>() * 3.0) as usize;
        let model_right = luck.random::<f64>() < MODEL_RIGHT;
        let mut steps: Vec<Option<Step>> = Vec::new();
        let before = rung;
        if arm == Arm::Clock {
            let due = [
                Rung::LongerPauses,
                Rung::FewerQuestions,
                Rung::Break,
                Rung::Break,
            ];
            let passed = (now_s / CLOCK_S) as usize;
            if let Some(due) = passed.checked_sub(1).map(|n| due[n.min(3)])
                && due != rung
            {
                rested &= due != Rung::Break;
                rung = due;
            }
        }
        let pause_s = if rung >= Rung::LongerPauses {
            config.pause_s
        } else {
            0.0
        };
        let break_s = if rested { 0.0 } else { config.break_s };
        rested = true;
        now_s += pause_s.max(break_s);
        person.rests(pause_s.max(break_s));
        let share = if rung >= Rung::FewerQuestions {
            config.questions_share
        } else {
            1.0
        };
        protocol.leave(share);
        let decision = protocol.decide(&Ask {
            origin: ForkOrigin::Detected,
            tokens_written: TOKENS * u64::from(fork),
            attempt: 0,
            presence: Presence::Present,
        });
        if matches!(decision, Decision::Ask(_)) {
            // Until the person lets it stand.
            for attempt in 0..ATTEMPTS {
                steps.push(guard.asked(now_s));
                let mut random = person.luck(fork, attempt);
                let (selected, took_s) = person.answers(wish, now_s, &mut random);
                now_s += took_s;
                found.asked += 1.0;
                let wrong = selected.is_some_and(|s| s != wish);
                found.wrong += f64::from(u8::from(wrong));
                found.declined += f64::from(u8::from(selected.is_none()));
                steps.push(guard.ended(&Answered {
                    at_s: now_s,
                    selected: selected.map(|item| Selected {
                        item,
                        corrects: false,
                        times_reading: took_s / READING_S,
                    }),
                }));
                let taken_back = wrong && random.random::<f64>() < TAKEN_BACK;
                if taken_back && attempt + 1 < ATTEMPTS {
                    steps.push(guard.taken_back());
                    continue;
                }
                let right = selected == Some(wish) || (selected.is_none() && model_right);
                found.other_way += f64::from(u8::from(!right));
                break;
            }
        } else {
            found.other_way += f64::from(u8::from(!model_right));
        }
        let state = person.state(now_s, &mut noise);
        if matches!(arm, Arm::Guard | Arm::Pauses) {
            steps.push(guard.state(now_s, &state));
        }
        if matches!(arm, Arm::Guard | Arm::Answers | Arm::Pauses) {
            for step in steps.into_iter().flatten() {
                rested &= !(step.to == Rung::Break && step.is_up());
                rung = step.to;
            }
        }
        if rung > before {
            if now_s < kind.onset_s() {
                found.early = true;
            } else if found.noticed_min.is_nan() {
                found.noticed_min = now_s / 60.0;
            }
        }
    }
    found.minutes = now_s / 60.0;
    Ok(found)
}

/// Mean and half of its 95 % interval.
fn mean(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let values: Vec<f64> = values.filter(|value| !value.is_nan()).collect();
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, 1.96 * (variance / n).sqrt())
}

/// The table.
pub(crate) fn guard(options: &Options) -> anyhow::Result<()> {
    println!(
        "\n| person | arm | questions per 100 forks | wrong, of questions | out of time | other way than wished, of forks | minutes | went up before its onset in | from it on in | first step up from it on, minute |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    let forks = options.forks;
    for (number, (kind, person)) in KINDS.into_iter().enumerate() {
        let mut none: Vec<Sitting> = Vec::new();
        for (arm, name) in ARMS {
            let sittings = (0..options.people)
                .map(|n| sitting(kind, arm, forks, options.seed_of(number, n)))
                .collect::<anyhow::Result<Vec<_>>>()?;
            if arm == Arm::None {
                none.clone_from(&sittings);
            }
            // Each person against itself without a guard.
            let figure = |of: &dyn Fn(&Sitting) -> f64, digits: usize| {
                let (here, _) = mean(sittings.iter().map(of));
                if arm == Arm::None {
                    return format!("{here:.digits$}");
                }
                let pairs = sittings.iter().zip(&none);
                let (by, half) = mean(pairs.map(|(now, before)| of(now) - of(before)));
                format!("{here:.digits$} ({by:+.digits$} ± {half:.digits$})")
            };
            let per_cent = |part: f64, whole: f64| 100.0 * part / whole.max(1.0);
            let early = sittings.iter().filter(|s| s.early).count();
            let noticed = sittings.iter().filter(|s| !s.noticed_min.is_nan()).count();
            let (first, _) = mean(sittings.iter().map(|s| s.noticed_min));
            println!(
                "| {person} | {name} | {} | {} % | {} % | {} % | {} | {} | {noticed} of {} | {} |",
                figure(&|s| per_cent(s.asked, f64::from(forks)), 0),
                figure(&|s| per_cent(s.wrong, s.asked), 1),
                figure(&|s| per_cent(s.declined, s.asked), 1),
                figure(&|s| per_cent(s.other_way, f64::from(forks)), 1),
                figure(&|s| s.minutes, 1),
                if kind.onset_s() > 0.0 {
                    early.to_string()
                } else {
                    "no onset".into()
                },
                sittings.len(),
                if first.is_nan() {
                    "never".into()
                } else {
                    format!("{first:.0}")
                },
            );
        }
    }
    Ok(())
}
