//! The network of choices: the forks that were met, the branches taken and not taken there, and what each led to, over the sessions of
//! one person.
//!
//! A *place* is where something could be chosen, a *way* is one meaning that could be chosen there. Every fork is a visit of a place.
//! Visits share a place, and ways are one way, by a [`Rule`]:
//!
//! - **Same text.** The text before both forks is the same, as far as forks remember it: one place.
//! - **Same state.** The model's states at both forks point the same way ([`Rule::state_cosine_min`]), *and* each branch of the shorter
//!   offer has one of the same meaning in the other: one place. Without states (a model behind a server) this joins nothing.
//! - **Same meaning.** At one place, two branches are one way that read the same ([`reads_the_same`]), or whose mean states over the phrase
//!   point the same way ([`Rule::phrase_cosine_min`]) and more so than either and any branch offered beside it, while neither contradicts the
//!   other ([`contradict`]). Branches of one fork mean different things, so their cosines say what nearness is worth with this model: in many
//!   models all states point roughly one way. Consequences, by which the fork detector merges wordings (`decode/meaning.rs`), cannot be rolled
//!   out afterwards.
//! - **Never back.** A text does not come to a place that it has passed and not taken back: what goes in circles is drawn as it went.
//!
//! A place is compared by its first visit, a way by its first wording, so that no chain of small steps joins what is far apart. How often
//! the rule is wrong is measured against the grammar of the embedded model's stories: docs/network.md.
//!
//! Pure: no files, no clock. States of different models are never compared.

#[cfg(test)]
mod tests;

use std::cell::LazyCell;
use std::collections::{HashMap, HashSet};

use super::handover::Autonomy;
use crate::decode::{contradict, reads_the_same};
use crate::fork::{Chooser, ForkId};

/// When two forks are one place, and two branches one way.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rule {
    /// Least cosine of the states at two forks, -1 to 1.
    pub state_cosine_min: f64,
    /// Least cosine of the mean states over two phrases, -1 to 1.
    pub phrase_cosine_min: f64,
}

impl Default for Rule {
    /// Chosen on stories of seed 1, its error counted on those of seed 2: docs/network.md.
    fn default() -> Self {
        Self {
            state_cosine_min: 0.9,
            phrase_cosine_min: 0.85,
        }
    }
}

/// How a choice was taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakenBack {
    /// The person took this very choice back.
    Undo,
    /// The person called for a fork further back: the text that the choice stood in is gone.
    Call,
}

/// A branch as it was offered.
#[derive(Debug, Clone, PartialEq)]
pub struct Offered {
    /// Its item number at the fork.
    pub item: i32,
    /// The phrase.
    pub text: String,
    /// The model's share of mass for it, 0 to 1.
    pub prior: f64,
    /// Mean of the model's states over the phrase.
    pub embedding: Option<Vec<f32>>,
}

/// A fork as it was met.
#[derive(Debug, Clone, PartialEq)]
pub struct Met {
    /// The session, by number among those given.
    pub session: usize,
    /// The fork in it.
    pub fork: ForkId,
    /// The visit whose choice this fork stands behind: the last choice in the text before it. `None` at the first fork of a text.
    pub after: Option<usize>,
    /// The end of the text before it.
    pub context: String,
    /// Digest of the model.
    pub model_sha256: String,
    /// The model's state at the fork.
    pub state: Option<Vec<f32>>,
    /// The branches, as many as were offered.
    pub offered: Vec<Offered>,
    /// Which of them was taken, by number; `None` when none was.
    pub taken: Option<usize>,
    /// Who took it; `None` when nobody did, or the person asked for something else.
    pub chooser: Option<Chooser>,
    /// How much was left to the imitator then; `None` where none was at work, or it is not known.
    pub level: Option<Autonomy>,
    /// Whether the person was asked.
    pub asked: bool,
    /// Whether what was taken was taken back.
    pub taken_back: Option<TakenBack>,
}

/// One meaning that could be chosen at a place.
#[derive(Debug, Clone, PartialEq)]
pub struct Way {
    /// Its first wording.
    pub text: String,
    /// Other wordings.
    pub also: Vec<String>,
    /// Largest share of mass that the model gave it.
    pub prior: f64,
    /// Visits at which it was taken, in order.
    pub taken: Vec<usize>,
    /// Places that follow, in order, none twice.
    pub leads_to: Vec<usize>,
    embedding: Option<Vec<f32>>,
    /// Cosine to the nearest branch that was offered beside its first wording.
    beside: f64,
}

/// Where something could be chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// Its visits, in order; one at least.
    pub visits: Vec<usize>,
    /// What could be chosen.
    pub ways: Vec<Way>,
}

/// The network. See the module.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Network {
    visits: Vec<Met>,
    places: Vec<Place>,
    /// Of each place the model's state at its first visit, of length 1, so that a cosine is one product; `None` where no state is known.
    directions: Vec<Option<Vec<f32>>>,
    /// Place of each visit.
    place_of: Vec<usize>,
    /// Way of each branch that was offered, visit by visit.
    ways_of: Vec<Vec<usize>>,
}

impl Network {
    /// Joins forks to a network. They come in the order in which they were met; [`Met::after`] points to an earlier one, and what does not
    /// is taken as the beginning of a text. [`Met::taken`] beyond what was offered is taken as nothing.
    #[must_use]
    pub fn of(visits: Vec<Met>, rule: &Rule) -> Self {
        let mut network = Self::default();
        let mut by_context: HashMap<(String, String), Vec<usize>> = HashMap::new();
        for mut met in visits {
            let number = network.visits.len();
            met.after = met.after.filter(|after| *after < number);
            met.taken = met.taken.filter(|taken| *taken < met.offered.len());
            let direction = met.state.as_deref().and_then(direction);
            let key = (met.model_sha256.clone(), met.context.clone());
            let found = {
                // The whole text behind a fork: looked through only for a fork that resembles another.
                let passed = LazyCell::new(|| network.passed(met.after));
                let open = |place: usize| !passed.contains(&place);
                let same_text = by_context.get(&key).and_then(|places| {
                    let mut places = places.iter().copied();
                    places.find(|place| open(*place))
                });
                let state = direction.as_deref();
                same_text.or_else(|| network.of_same_state(&met, state?, &open, rule))
            };
            let place = found.unwrap_or_else(|| {
                network.places.push(Place {
                    visits: Vec::new(),
                    ways: Vec::new(),
                });
                network.directions.push(direction);
                network.places.len() - 1
            });
            let known = by_context.entry(key).or_default();
            if !known.contains(&place) {
                known.push(place);
            }
            network.visit(met, place, rule);
        }
        network
    }

    /// The forks, in the order in which they were met.
    #[must_use]
    pub fn visits(&self) -> &[Met] {
        &self.visits
    }

    /// The places, in the order in which they were first met.
    #[must_use]
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// The way that a branch of a visit is, by number at its place; `None` when there is no such branch.
    #[must_use]
    pub fn way_of(&self, visit: usize, branch: usize) -> Option<usize> {
        self.ways_of.get(visit)?.get(branch).copied()
    }

    /// The place of a visit; `None` when there is no such visit.
    #[must_use]
    pub fn place_of(&self, visit: usize) -> Option<usize> {
        self.place_of.get(visit).copied()
    }

    /// Places at which more than one session chose.
    #[must_use]
    pub fn shared_places(&self) -> usize {
        let sessions = |place: &Place| {
            let of = place
                .visits
                .iter()
                .filter_map(|visit| self.visits.get(*visit));
            of.map(|met| met.session).collect::<HashSet<_>>().len()
        };
        let shared = self.places.iter().filter(|place| sessions(place) > 1);
        shared.count()
    }

    /// Places on the way from the beginning of the text to this visit, its own included.
    fn passed(&self, mut visit: Option<usize>) -> HashSet<usize> {
        let mut passed = HashSet::new();
        while let Some(met) = visit.and_then(|visit| self.visits.get(visit)) {
            passed.extend(visit.and_then(|visit| self.place_of.get(visit).copied()));
            // Always an earlier one, so this ends.
            visit = met.after;
        }
        passed
    }

    /// The nearest place by the model's states, if it is near enough, offers the same and is `open`; `state` has length 1.
    fn of_same_state(
        &self,
        met: &Met,
        state: &[f32],
        open: &dyn Fn(usize) -> bool,
        rule: &Rule,
    ) -> Option<usize> {
        let mut near: Vec<(f64, usize)> = (self.places.iter().zip(&self.directions).enumerate())
            .filter_map(|(number, (place, direction))| {
                let other = direction.as_deref()?;
                let first = self.visits.get(*place.visits.first()?)?;
                let comparable =
                    first.model_sha256 == met.model_sha256 && other.len() == state.len();
                let cosine = comparable.then(|| dot(state, other))?;
                (cosine >= rule.state_cosine_min && open(number)).then_some((cosine, number))
            })
            .collect();
        near.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let offers_the_same = |number: &usize| {
            self.places.get(*number).is_some_and(|place| {
                let found = matched(&place.ways, &met.offered, rule);
                let both = found.iter().flatten().count();
                both > 0 && both == place.ways.len().min(met.offered.len())
            })
        };
        near.into_iter()
            .map(|(_, number)| number)
            .find(offers_the_same)
    }

    /// Adds a visit to a place: its branches become ways, and the way that led here knows it.
    fn visit(&mut self, met: Met, number: usize, rule: &Rule) {
        let visit = self.visits.len();
        let before = met.after.and_then(|after| {
            let taken = self.visits.get(after)?.taken?;
            Some((self.place_of(after)?, self.way_of(after, taken)?))
        });
        if let Some((place, way)) = before
            && let Some(place) = self.places.get_mut(place)
            && let Some(way) = place.ways.get_mut(way)
            && !way.leads_to.contains(&number)
        {
            way.leads_to.push(number);
        }
        let Some(place) = self.places.get_mut(number) else {
            return; // it was found or made just before
        };
        place.visits.push(visit);
        let found = matched(&place.ways, &met.offered, rule);
        let mut ways = Vec::with_capacity(met.offered.len());
        for (branch, (offered, found)) in met.offered.iter().zip(found).enumerate() {
            let way = found.unwrap_or_else(|| {
                place.ways.push(Way {
                    text: offered.text.clone(),
                    also: Vec::new(),
                    prior: 0.0,
                    taken: Vec::new(),
                    leads_to: Vec::new(),
                    embedding: offered.embedding.clone(),
                    beside: nearest_beside(&met.offered, branch),
                });
                place.ways.len() - 1
            });
            if let Some(known) = place.ways.get_mut(way) {
                known.prior = known.prior.max(offered.prior);
                if known.text != offered.text && !known.also.contains(&offered.text) {
                    known.also.push(offered.text.clone());
                }
                if met.taken == Some(branch) {
                    known.taken.push(visit);
                }
            }
            ways.push(way);
        }
        self.ways_of.push(ways);
        self.place_of.push(number);
        self.visits.push(met);
    }
}

/// For each branch the way that means the same, the most alike first, none twice: branches of one fork differ in meaning.
fn matched(ways: &[Way], offered: &[Offered], rule: &Rule) -> Vec<Option<usize>> {
    let mut pairs: Vec<(f64, usize, usize)> = Vec::new();
    for (branch, one) in offered.iter().enumerate() {
        let beside = nearest_beside(offered, branch);
        for (number, way) in ways.iter().enumerate() {
            let likeness = likeness(way, one, beside);
            if likeness >= rule.phrase_cosine_min {
                pairs.push((likeness, branch, number));
            }
        }
    }
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let mut found = vec![None; offered.len()];
    for (_, branch, way) in pairs {
        if !found.contains(&Some(way))
            && let Some(free) = found.get_mut(branch).filter(|found| found.is_none())
        {
            *free = Some(way);
        }
    }
    found
}

/// Cosine of a branch's states and those of the nearest other branch of its fork, which means something else; -1 where nothing is known.
fn nearest_beside(offered: &[Offered], branch: usize) -> f64 {
    let own = offered.get(branch).and_then(|one| one.embedding.as_deref());
    let others = offered
        .iter()
        .enumerate()
        .filter(|(number, _)| *number != branch);
    let cosines = others.filter_map(|(_, other)| {
        let (own, other) = (own?, other.embedding.as_deref()?);
        (own.len() == other.len()).then(|| cosine(own, other))
    });
    cosines.fold(-1.0, f64::max)
}

/// How alike a way and a branch are: 2 where they read the same, else the cosine of their states; -1 where nothing can be said, and where
/// either is as near to what was offered `beside` it, which means something else.
fn likeness(way: &Way, offered: &Offered, beside: f64) -> f64 {
    let mut wordings = std::iter::once(&way.text).chain(&way.also);
    if wordings.any(|text| reads_the_same(text, &offered.text)) {
        return 2.0;
    }
    match (&way.embedding, &offered.embedding) {
        (Some(a), Some(b)) if a.len() == b.len() && !contradict(&way.text, &offered.text) => {
            let cosine = cosine(a, b);
            if cosine > way.beside.max(beside) {
                cosine
            } else {
                -1.0
            }
        }
        _ => -1.0,
    }
}

/// Cosine of two vectors of the same length; -1 where one has no direction.
fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let lengths = (dot(a, a) * dot(b, b)).sqrt();
    let cosine = dot(a, b) / lengths;
    if cosine.is_finite() { cosine } else { -1.0 }
}

/// A vector of length 1 that points the same way; `None` for one without a direction.
fn direction(state: &[f32]) -> Option<Vec<f32>> {
    let length = dot(state, state).sqrt();
    let has_one = length.is_finite() && length > 0.0;
    has_one.then(|| {
        let shares = state.iter().map(|x| (f64::from(*x) / length) as f32);
        shares.collect()
    })
}

/// Product of two vectors of the same length, in lanes that a processor sums side by side.
fn dot(a: &[f32], b: &[f32]) -> f64 {
    const LANES: usize = 8;
    let product = |(x, y): (&f32, &f32)| f64::from(*x) * f64::from(*y);
    let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f64 = a.remainder().iter().zip(b.remainder()).map(product).sum();
    let mut lanes = [0.0; LANES];
    for (a, b) in a.zip(b) {
        for (lane, pair) in lanes.iter_mut().zip(a.iter().zip(b)) {
            *lane += product(pair);
        }
    }
    lanes.iter().sum::<f64>() + rest
}
