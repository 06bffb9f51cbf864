//! The person's memory of choices: asked before each fork, added to behind it. Without a person who agreed to that there is none.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::SystemTime;

use super::Conductor;
use super::relearning::imitate;
use crate::choice::imitator::{Imitator, ImitatorSettings};
use crate::choice::memory::{Memory, Place};
use crate::engine::keeper::{Keeper, Note};
use crate::engine::question::{Done, Question};
use crate::fork::{ForkId, ForkStates};
use crate::marker::OptionKind;
use crate::session::Beginning;
use crate::session::person::{
    AccountFile, ChoiceStore, Earned, ForkName, PersonError, Remembered, RememberedOption,
    TakenBack, Which,
};
use crate::session::utc_of;

/// What a session knows of its person: the memory on the disk, open to be added to, and what of it speaks of this model.
pub struct PersonSetting {
    pub(super) store: ChoiceStore,
    memory: Option<Memory>,
    imitator: Imitator,
    earned: Earned,
}

impl PersonSetting {
    /// Reads what the memory holds of the model with this digest.
    ///
    /// # Errors
    /// [`PersonError`] when the memory cannot be read.
    pub fn read(store: ChoiceStore, model_sha256: &str) -> Result<Self, PersonError> {
        let mut memory = None;
        let mut imitator = Imitator::new(ImitatorSettings::default());
        store.each(&Which::All, |choice| {
            if choice.model_sha256 == model_sha256 {
                learn(&mut memory, &choice);
                imitate(&mut imitator, &choice);
            }
            ControlFlow::Continue(())
        })?;
        let accounts = store
            .person()
            .map(|person| AccountFile::in_folder(person.path()));
        let earned = accounts.map(|accounts| accounts.of_model(model_sha256));
        Ok(Self {
            earned: earned.transpose()?.unwrap_or_default(),
            store,
            memory,
            imitator,
        })
    }

    /// What an imitator in this session goes on from. `coins`: seed of its audits' coins, new in every session; `adapter`: that in use.
    #[must_use]
    pub fn beginning(&self, coins: u64, adapter: Option<&str>) -> Beginning {
        Beginning {
            coins,
            carried: self.earned.with(adapter),
            imitator: self.imitator.record(),
        }
    }

    /// Choices that speak of this model.
    #[must_use]
    pub fn choices(&self) -> usize {
        self.memory.as_ref().map_or(0, Memory::len)
    }
}

/// Adds a choice to the memory, where the person chose one of several branches whose states are known; gives its place.
///
/// `other` and `go on` choose no branch and say nothing of the ones shown, but that none was wanted now: the memory leaves them out.
fn learn(memory: &mut Option<Memory>, choice: &Remembered) -> Option<Place> {
    if !choice.is_persons_choice() {
        return None;
    }
    let state = choice.state.as_ref()?;
    let branches = choice
        .options
        .iter()
        .filter(|option| option.kind == OptionKind::Branch);
    let chosen = branches
        .clone()
        .position(|option| Some(option.item) == choice.chosen)?;
    let embeddings: Option<Vec<&[f32]>> =
        branches.map(|option| option.embedding.as_deref()).collect();
    let memory = memory.get_or_insert_with(|| Memory::new(state.len()));
    // States that cannot be compared, of a choice among one, are left out: they are on the disk all the same.
    let place = memory.learn(state, &embeddings?, chosen).ok()?;
    if choice.taken_back == Some(TakenBack::Undo) {
        memory.take_back(place);
    }
    Some(place)
}

/// A choice that the text rests on.
struct Standing {
    /// Its question; `None` for one that nobody here asked.
    question: Option<ForkId>,
    /// Tokens of text before it.
    position: usize,
    /// Where the memory has it.
    place: Option<Place>,
}

/// The memory during a session.
pub(super) struct Remembering {
    keeper: Keeper,
    memory: Option<Memory>,
    session: String,
    model_sha256: String,
    /// States of the fork that the decoder offered last.
    states: Option<(ForkId, Arc<ForkStates>)>,
    /// The choices behind the present text, oldest first, as the decoder would take them back.
    standing: Vec<Standing>,
}

impl Remembering {
    pub(super) fn start(
        person: PersonSetting,
        session: String,
        model_sha256: String,
    ) -> std::io::Result<Self> {
        Ok(Self {
            keeper: Keeper::start(person.store)?,
            memory: person.memory,
            session,
            model_sha256,
            states: None,
            standing: Vec::new(),
        })
    }

    /// The decoder offers a fork.
    pub(super) fn offered(&mut self, fork: ForkId, states: Option<Arc<ForkStates>>) {
        self.states = states.map(|states| (fork, states));
    }

    /// Gives a question the states of its fork, and what the memory prefers there.
    pub(super) fn prepare(&self, question: &mut Question) {
        let Some((_, states)) = self
            .states
            .as_ref()
            .filter(|(fork, _)| *fork == question.fork.id)
        else {
            return;
        };
        question.states = Some(Arc::clone(states));
        let branches: Vec<&[f32]> = states.branches.iter().map(Vec::as_slice).collect();
        let asked = self.memory.as_ref();
        // States without a direction have no preference.
        question.preference =
            asked.and_then(|memory| memory.preference(&states.fork, &branches).ok());
    }

    /// A fork has ended.
    pub(super) fn ended(&mut self, question: &Question, done: &Done) {
        let choice = remembered(&self.session, question, done, &self.model_sha256);
        let place = learn(&mut self.memory, &choice);
        if let Some(top) = self.standing.last_mut()
            && top.question == Some(question.id)
        {
            top.place = place;
        }
        self.keeper.hand_in(Note::Choice(Box::new(choice)));
    }

    /// A branch was taken, by whomever.
    pub(super) fn taken(&mut self, question: Option<&Question>, position: usize) {
        self.standing.push(Standing {
            question: question.map(|question| question.id),
            position,
            place: None,
        });
    }

    /// The last choice was taken back.
    pub(super) fn undone(&mut self) {
        if let Some(standing) = self.standing.pop() {
            self.take_back(&standing, TakenBack::Undo);
        }
    }

    /// A fork was called for behind `position` tokens: what was chosen there or later is gone.
    pub(super) fn called(&mut self, position: usize) {
        while let Some(standing) = self
            .standing
            .pop_if(|standing| standing.position >= position)
        {
            self.take_back(&standing, TakenBack::Call);
        }
    }

    /// Another text begins.
    pub(super) fn begins(&mut self) {
        self.standing.clear();
    }

    fn take_back(&mut self, standing: &Standing, how: TakenBack) {
        // Who calls for a fork further back has not said that this choice was wrong.
        if let (TakenBack::Undo, Some(memory), Some(place)) =
            (how, &mut self.memory, standing.place)
        {
            memory.take_back(place);
        }
        if let Some(fork) = standing.question {
            let session = self.session.clone();
            self.keeper
                .hand_in(Note::TakenBack(ForkName { session, fork }, how));
        }
    }

    /// What the imitator has earned so far.
    pub(super) fn keep_account(&mut self, earned: Earned) {
        let note = Note::Earned(self.model_sha256.clone(), Box::new(earned));
        self.keeper.hand_in(note);
    }

    /// What went wrong since the last call.
    pub(super) fn fault(&self) -> Option<String> {
        self.keeper.fault()
    }

    /// Writes what is left; says what could not be remembered.
    pub(super) fn close(self) -> Vec<String> {
        self.keeper.close()
    }
}

/// A question that has ended, as it is remembered.
fn remembered(session: &str, question: &Question, done: &Done, model_sha256: &str) -> Remembered {
    let shown = question.end.is_some();
    let posterior = question.end.and_then(|end| end.arms).map(|arms| arms.fused);
    let selected = question
        .committed_option()
        .and_then(|option| i32::try_from(option).ok());
    let states = question.states.as_deref();
    let mut branches = question.fork.branches.iter().enumerate();
    let tiles = question.tiles.iter().zip(&question.priors).enumerate();
    let options = tiles.map(|(option, (tile, prior))| {
        let branch = if tile.kind == OptionKind::Branch {
            branches.next()
        } else {
            None
        };
        let of_branch = |values: &[f32]| branch.and_then(|(b, _)| values.get(b).copied());
        RememberedOption {
            item: tile.item,
            kind: tile.kind,
            text: tile.text.clone(),
            tokens: branch.map_or_else(Vec::new, |(_, branch)| branch.tokens.clone()),
            prior: *prior,
            log_prob_nats: branch.map(|(_, branch)| branch.log_prob_nats),
            posterior: posterior.and_then(|p| p.as_slice().get(option).copied()),
            preference: question
                .preference
                .as_deref()
                .and_then(of_branch)
                .map(f64::from),
            embedding: branch
                .and_then(|(b, _)| states.and_then(|states| states.branches.get(b).cloned())),
        }
    });
    let options = options.collect();
    Remembered {
        session: session.to_owned(),
        fork: question.id,
        at_utc: utc_of(SystemTime::now()),
        context: question.fork.context.clone(),
        origin: question.fork.origin,
        attempt: question.attempt,
        shown,
        outcome: question.outcome(),
        chooser: done.chooser,
        why: done.why,
        chosen: done.item,
        selected,
        decision_s: question
            .end
            .map(|end| end.decided_at.since(question.opened_at)),
        model_sha256: model_sha256.to_owned(),
        taken_back: None,
        state: states.map(|states| states.fork.clone()),
        options,
    }
}

impl Conductor<'_> {
    /// Looks at what became of the memory. That it cannot be written does not stop a session.
    pub(super) fn look_at_memory(&mut self) {
        let fault = self.remembering.as_ref().and_then(Remembering::fault);
        if let Some(fault) = fault {
            self.note(&fault);
            self.warn("memory", fault);
        }
    }
}
