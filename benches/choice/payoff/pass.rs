//! One text written with choices: the program's writer, its fork detector, and somebody with a wish who answers.

use std::sync::Arc;

use razvilka::decode::{Cancel, Model, Step, Thought, Writer, WriterSettings};
use razvilka::fork::{Divergence, Fork, ForkStates};

use super::chance::{TOKENS_MAX, sampling};
use super::truth::{OPENING, Trace, Turn, opening};

/// How often the person asks for other branches at one place.
const OTHERS_MAX: usize = 6;
/// How often it calls for a fork in one text.
const CALLS_MAX: usize = 24;

/// What the person wants of the plot.
#[derive(Debug, Clone)]
pub(crate) enum Aim {
    /// These turns, in this order; what follows them does not matter.
    Wish(Vec<Turn>),
    /// At each turn what it likes best there, whatever story comes of it: a fixed order of all meanings of a turn, drawn by the
    /// seed.
    Taste(u64),
}

impl Aim {
    /// Whether this turn, the `number`th of its text, is as wanted.
    pub(crate) fn wants(&self, number: usize, turn: &Turn, offered: &[&'static str]) -> bool {
        match self {
            Self::Wish(turns) => turns.get(number).is_none_or(|wanted| wanted.is(turn)),
            Self::Taste(seed) => {
                let liking = |meaning: &str| liking(*seed, turn.name, meaning);
                let own = liking(turn.meaning);
                offered.iter().all(|other| liking(other) <= own)
            }
        }
    }

    /// How many turns are wanted.
    fn turns(&self) -> usize {
        match self {
            Self::Wish(turns) => turns.len(),
            Self::Taste(_) => usize::MAX,
        }
    }
}

/// A number from seed and names alone (FNV-1a, finished as splitmix64 does).
fn liking(seed: u64, name: &str, meaning: &str) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325 ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for byte in name.bytes().chain([0]).chain(meaning.bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash ^ (hash >> 27)
}

/// A fork that was offered, and what the person answered.
pub(crate) struct Offered {
    pub(crate) fork: Fork,
    pub(crate) states: Option<ForkStates>,
    pub(crate) divergence: Option<Divergence>,
    /// The branch that was wanted; `None`: none of them, others were asked for.
    pub(crate) wanted: Option<usize>,
}

/// How far a text had come when a turn was right.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Spent {
    pub(crate) selections: u32,
    pub(crate) calls: u32,
    pub(crate) rows: u64,
    pub(crate) seconds: f64,
    pub(crate) tokens: usize,
}

/// What came of a text.
pub(crate) struct Pass {
    /// What had been spent when the 1st, 2nd, ... wished turn stood there.
    pub(crate) at_turn: Vec<Spent>,
    /// At its end.
    pub(crate) whole: Spent,
    pub(crate) offered: Vec<Offered>,
    pub(crate) trace: Trace,
}

/// How a text is written.
pub(crate) struct Manner {
    pub(crate) seed: u64,
    /// Questions per 100 tokens; the detector's distance between them is as set.
    pub(crate) questions_per_100_tokens: usize,
    /// Whether the person calls for a fork where the text went another way unasked.
    pub(crate) calls: bool,
    /// Whether branches are decoded on while the person decides, as far as they may: the most that waiting can cost.
    pub(crate) thinks: bool,
}

/// Writes a text. It ends with its wish fulfilled, with its first wrong turn where nothing can be done about it, or with the story.
pub(crate) fn write(model: &Arc<Model>, aim: &Aim, manner: &Manner) -> anyhow::Result<Pass> {
    let own = sampling();
    let settings = WriterSettings {
        seed: manner.seed,
        temperature: own.temperature,
        top_p: own.top_p,
        tokens_max: TOKENS_MAX,
        questions_per_100_tokens_max: manner.questions_per_100_tokens,
        ..WriterSettings::default()
    };
    let mut writer = Writer::new(Arc::clone(model), settings)?;
    writer.start(OPENING)?;
    anyhow::ensure!(
        writer.tokens() == opening(),
        "the model's tokenizer reads {OPENING:?} otherwise than the grammar does"
    );
    let begin = writer.stats();
    let clock = std::time::Instant::now();
    let mut pass = Pass {
        at_turn: Vec::new(),
        whole: Spent::default(),
        offered: Vec::new(),
        trace: Trace::of(writer.tokens()),
    };
    loop {
        pass.trace.follow(writer.tokens());
        pass.whole.rows = writer.stats().forward_rows - begin.forward_rows;
        pass.whole.seconds = clock.elapsed().as_secs_f64();
        pass.whole.tokens = writer.position() - opening().len();
        match first_wrong(aim, &pass.trace) {
            Some(at) => {
                let called = manner.calls
                    && (pass.whole.calls as usize) < CALLS_MAX
                    && call(&mut writer, aim, &mut pass, at)?;
                if !called {
                    break;
                }
                continue;
            }
            None => {
                let right = pass.trace.turns.len().min(aim.turns());
                let spent = pass.whole;
                pass.at_turn.resize(right.max(pass.at_turn.len()), spent);
                if right == aim.turns() {
                    break;
                }
            }
        }
        match writer.advance(&Cancel::new())? {
            Step::Text(_) => {}
            Step::Fork(fork) => {
                if manner.thinks {
                    while let Thought::Further { .. } = writer.think(&Cancel::new())? {}
                }
                answer(&mut writer, aim, &mut pass, fork)?;
            }
            Step::End(_) | Step::Waiting | Step::Cancelled => break,
        }
    }
    Ok(pass)
}

/// The first token at which a text is not as wanted.
fn first_wrong(aim: &Aim, trace: &Trace) -> Option<usize> {
    let wrong = match aim {
        Aim::Wish(_) => {
            let mut turns = trace.turns.iter().enumerate();
            turns.find(|(number, turn)| !aim.wants(*number, turn, &[]))
        }
        // What has come unasked is taken as it is.
        Aim::Taste(_) => None,
    };
    match (wrong.map(|(_, turn)| turn.at), trace.strange) {
        (Some(turn), Some(strange)) => Some(turn.min(strange)),
        (turn, strange) => turn.or(strange),
    }
}

/// Which of the branches are as wanted.
fn judge(aim: &Aim, trace: &Trace, fork: &Fork) -> Vec<bool> {
    let mut right = Vec::new();
    for branch in &fork.branches {
        let mut on = trace.clone();
        let mut fine = true;
        let mut turned = false;
        for &token in &branch.tokens {
            let truth = on.next();
            on.push(token);
            let number = on.turns.len();
            let came = number.checked_sub(1).and_then(|last| on.turns.get(last));
            let Some(turn) = came.filter(|turn| turn.at + 1 == on.tokens.len()) else {
                continue;
            };
            if turned && matches!(aim, Aim::Taste(_)) {
                continue;
            }
            let meanings = truth.map_or(Vec::new(), |truth| truth.meanings());
            let meanings: Vec<&'static str> = meanings.iter().map(|(m, _)| *m).collect();
            fine &= aim.wants(number - 1, turn, &meanings);
            turned = true;
        }
        right.push(fine && on.strange.is_none());
    }
    right
}

/// The person answers: a branch that is as wanted, else other ones, else whatever the model takes.
fn answer(writer: &mut Writer, aim: &Aim, pass: &mut Pass, fork: Fork) -> anyhow::Result<bool> {
    let mut fork = fork;
    for _ in 0..=OTHERS_MAX {
        let right = judge(aim, &pass.trace, &fork);
        let wanted = right.iter().position(|right| *right);
        pass.whole.selections += 1;
        pass.offered.push(Offered {
            states: writer.states(),
            divergence: writer.divergence(),
            fork: fork.clone(),
            wanted,
        });
        if let Some(branch) = wanted {
            writer.commit(fork.id, branch)?;
            return Ok(true);
        }
        match writer.other(fork.id)? {
            Some(others) => fork = others,
            None => break,
        }
    }
    writer.go_on(fork.id)?;
    Ok(false)
}

/// The person calls for a fork before the token that is wrong. `false` where that leads nowhere.
fn call(writer: &mut Writer, aim: &Aim, pass: &mut Pass, at: usize) -> anyhow::Result<bool> {
    pass.whole.calls += 1;
    pass.whole.selections += 1;
    let Some(fork) = writer.call_behind(at)? else {
        return Ok(false);
    };
    pass.trace.follow(writer.tokens());
    answer(writer, aim, pass, fork)
}
