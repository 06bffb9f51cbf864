//! Simulated persons with a taste, and forks to choose at.
//!
//! A branch has a meaning, a point in eight dimensions; a person likes meanings that lie in the direction of its taste, and a
//! little what the model finds likely. Topics have tastes of their own. What the person would choose at a fork is drawn
//! before anybody decides whether to ask it, so it is the same for every arm that meets this fork at this state.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use razvilka::choice::imitator::{Answer, Guess};

pub(crate) const DIMENSIONS: usize = 8;
pub(crate) type Meaning = [f64; DIMENSIONS];

/// How much a meaning counts, and the model's mass.
const TASTE: f64 = 5.0;
const LIKELY: f64 = 0.5;
/// Below this liking of the best branch the person asks for others, this often.
const DISLIKES: f64 = -1.5;
const ASKS_OTHER: f64 = 0.5;

/// What a person is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Steady,
    Drifting,
    Changing,
    Topics,
    Noisy,
    Indifferent,
    MisleadsOnceTrusted,
    MisleadsAfterAudits,
    MisleadsWhileItCan,
}

impl Kind {
    pub(crate) const ALL: [Self; 9] = [
        Self::Steady,
        Self::Drifting,
        Self::Changing,
        Self::Topics,
        Self::Noisy,
        Self::Indifferent,
        Self::MisleadsOnceTrusted,
        Self::MisleadsAfterAudits,
        Self::MisleadsWhileItCan,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Steady => "steady taste",
            Self::Drifting => "drifting taste",
            Self::Changing => "taste changes at once",
            Self::Topics => "topics change",
            Self::Noisy => "noisy",
            Self::Indifferent => "indifferent",
            Self::MisleadsOnceTrusted => "misleads once trusted",
            Self::MisleadsAfterAudits => "misleads after audits",
            Self::MisleadsWhileItCan => "misleads while it can",
        }
    }

    pub(crate) const fn is_honest(self) -> bool {
        !matches!(
            self,
            Self::MisleadsOnceTrusted | Self::MisleadsAfterAudits | Self::MisleadsWhileItCan
        )
    }
}

/// One place where the text could go on in different ways.
#[derive(Debug, Clone)]
pub(crate) struct Fork {
    pub(crate) context: Meaning,
    pub(crate) meanings: Vec<Meaning>,
    /// Share of the model's mass, summing to 1.
    pub(crate) masses: Vec<f64>,
    pub(crate) tokens: Vec<u32>,
    /// How differently the text goes on, bits.
    pub(crate) divergence_bits: [[f64; 3]; 3],
}

/// What the others know of the imitator and the protocol before the coin falls; only who misleads looks at it.
#[derive(Default)]
pub(crate) struct Seen<'a> {
    pub(crate) guess: Option<&'a Guess>,
    pub(crate) imitated: u32,
    /// Forks since the last audit.
    pub(crate) since_audit: u32,
}

/// A person and the text it writes.
pub(crate) struct Person {
    kind: Kind,
    random: ChaCha8Rng,
    tastes: [Meaning; 3],
    topics: [Meaning; 3],
    topic: usize,
    drift: Meaning,
    fork: u32,
    forks: u32,
}

fn gauss(random: &mut ChaCha8Rng) -> f64 {
    StandardNormal.sample(random)
}

fn direction(random: &mut ChaCha8Rng) -> Meaning {
    let raw: Meaning = std::array::from_fn(|_| gauss(random));
    let length = dot(&raw, &raw).sqrt();
    raw.map(|x| x / length)
}

pub(crate) fn dot(a: &Meaning, b: &Meaning) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

impl Person {
    pub(crate) fn new(kind: Kind, seed: u64, forks: u32) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let tastes = std::array::from_fn(|_| direction(&mut random));
        let topics = std::array::from_fn(|_| direction(&mut random));
        let drift = direction(&mut random);
        Self {
            kind,
            random,
            tastes,
            topics,
            topic: 0,
            drift,
            fork: 0,
            forks,
        }
    }

    /// The next fork; the person's taste moves on with the text.
    pub(crate) fn next_fork(&mut self) -> Fork {
        let random = &mut self.random;
        let third = ((self.fork % self.forks.max(1)) * 3 / self.forks.max(1)) as usize;
        self.topic = if self.kind == Kind::Topics {
            third.min(2)
        } else {
            0
        };
        if self.kind == Kind::Changing && self.fork == self.forks / 2 {
            self.tastes[0] = self.tastes[0].map(|x| -x);
        }
        if self.kind == Kind::Drifting {
            // A right angle in a session.
            let step = std::f64::consts::FRAC_PI_2 / f64::from(self.forks);
            let taste = &mut self.tastes[0];
            let along = dot(taste, &self.drift);
            let across: Meaning = std::array::from_fn(|i| self.drift[i] - along * taste[i]);
            let length = dot(&across, &across).sqrt().max(1e-9);
            *taste =
                std::array::from_fn(|i| taste[i] * step.cos() + across[i] / length * step.sin());
        }
        self.fork += 1;
        let topic = self.topics[self.topic];
        let context = std::array::from_fn(|i| topic[i] + 0.2 * gauss(random));
        let branches = if random.random::<f64>() < 0.5 { 2 } else { 3 };
        let meanings: Vec<Meaning> = (0..branches).map(|_| direction(random)).collect();
        let logits: Vec<f64> = (0..branches).map(|_| 0.7 * gauss(random)).collect();
        let sum: f64 = logits.iter().map(|l| l.exp()).sum();
        let mut masses: Vec<f64> = logits.iter().map(|l| l.exp() / sum).collect();
        masses.sort_by(|a, b| b.total_cmp(a));
        let tokens = (0..branches).map(|_| random.random_range(2..9)).collect();
        let apart = |m: usize, n: usize| match (meanings.get(m), meanings.get(n)) {
            (Some(a), Some(b)) => (1.0 - dot(a, b)) / 2.0,
            _ => 0.0,
        };
        let divergence_bits = std::array::from_fn(|m| std::array::from_fn(|n| apart(m, n)));
        Fork {
            context,
            meanings,
            masses,
            tokens,
            divergence_bits,
        }
    }

    /// How much chance plays a part in what it chooses: the scale of the noise.
    const fn noise(&self) -> f64 {
        match self.kind {
            Kind::Noisy => 1.0,
            Kind::Indifferent => 4.0,
            _ => 0.25,
        }
    }

    /// With what probability this person takes each branch here, `other` last: what nobody can guess better than, as long as it
    /// is honest.
    pub(crate) fn chances(&self, fork: &Fork) -> Option<Guess> {
        let taste = self.tastes[self.topic];
        let liking = |meaning: &Meaning| TASTE * dot(&taste, meaning);
        let liked = fork.meanings.iter().map(liking).fold(f64::MIN, f64::max);
        let other = if liked < DISLIKES { ASKS_OTHER } else { 0.0 };
        // The largest of utilities with Gumbel noise (McFadden 1974).
        let utilities = fork.meanings.iter().zip(&fork.masses);
        let utilities = utilities.map(|(meaning, mass)| liking(meaning) + LIKELY * mass.ln());
        let utilities: Vec<f64> = utilities.map(|u| u / self.noise()).collect();
        let most = utilities.iter().copied().fold(f64::MIN, f64::max);
        let masses: Vec<f64> = utilities.iter().map(|u| (u - most).exp()).collect();
        let sum: f64 = masses.iter().sum();
        let mut chances: Vec<f64> = masses.iter().map(|m| (1.0 - other) * m / sum).collect();
        chances.push(other);
        Guess::of(&chances)
    }

    /// What the person would choose here if asked. The same number of random values is drawn whatever it sees.
    pub(crate) fn would_choose(&mut self, fork: &Fork, seen: &Seen<'_>) -> Answer {
        let taste = self.tastes[self.topic];
        let noise = self.noise();
        let other: f64 = self.random.random();
        let mut best = (0, f64::NEG_INFINITY);
        let mut liked = f64::NEG_INFINITY;
        for (branch, (meaning, mass)) in fork.meanings.iter().zip(&fork.masses).enumerate() {
            let liking = TASTE * dot(&taste, meaning);
            let gumbel = -(-self.random.random::<f64>().max(1e-12).ln()).ln();
            let utility = liking + LIKELY * mass.ln() + noise * gumbel;
            liked = liked.max(liking);
            if utility > best.1 {
                best = (branch, utility);
            }
        }
        let honest = if liked < DISLIKES && other < ASKS_OTHER {
            Answer::Other
        } else {
            Answer::Branch(best.0)
        };
        let Some(guess) = seen.guess else {
            return honest;
        };
        let misleads = match self.kind {
            Kind::MisleadsOnceTrusted => seen.imitated >= 40,
            Kind::MisleadsAfterAudits => seen.imitated > 0 && seen.since_audit < 4,
            Kind::MisleadsWhileItCan => seen.imitated > 0,
            _ => false,
        };
        if misleads {
            let (expected, _) = guess.best();
            Answer::Branch((expected + 1) % fork.meanings.len())
        } else {
            honest
        }
    }
}
