//! How well a likeness tells the same from the different: figures of pairs that come in groups.
//!
//! Pairs of one fork share their phrases, so a resampling draws whole forks. Intervals are the middle 95 % of 1,000 of them.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

/// Resamplings behind an interval.
const DRAWS: usize = 1000;

/// A judge's word on two phrases.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Judged {
    /// The fork that the phrases belong to.
    pub(crate) group: usize,
    /// More is more alike.
    pub(crate) likeness: f64,
    /// Whether they mean the same.
    pub(crate) same: bool,
}

/// Probability that of a same and a different pair the same one is more alike, ties counted half (Mann and Whitney 1947). `None` without both kinds.
pub(crate) fn auc(pairs: &[Judged]) -> Option<f64> {
    let of = |kind: bool| pairs.iter().filter(move |pair| pair.same == kind);
    let (mut above, mut all) = (0.0, 0.0);
    for same in of(true) {
        for different in of(false) {
            all += 1.0;
            above += match same.likeness.total_cmp(&different.likeness) {
                std::cmp::Ordering::Greater => 1.0,
                std::cmp::Ordering::Equal => 0.5,
                std::cmp::Ordering::Less => 0.0,
            };
        }
    }
    (all > 0.0).then(|| above / all)
}

/// Right and wrong words of a judge who says "the same" from a likeness on.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    /// Same, and told so.
    pub(crate) hits: usize,
    /// Different, and told the same.
    pub(crate) false_alarms: usize,
    /// Same, and told different.
    pub(crate) misses: usize,
    /// Different, and told so.
    pub(crate) passed: usize,
}

impl Counts {
    pub(crate) fn at(pairs: &[Judged], least: f64) -> Self {
        let mut counts = Self::default();
        for pair in pairs {
            let place = match (pair.likeness >= least, pair.same) {
                (true, true) => &mut counts.hits,
                (true, false) => &mut counts.false_alarms,
                (false, true) => &mut counts.misses,
                (false, false) => &mut counts.passed,
            };
            *place += 1;
        }
        counts
    }

    pub(crate) fn accuracy(self) -> f64 {
        share(
            self.hits + self.passed,
            self.hits + self.passed + self.false_alarms + self.misses,
        )
    }

    fn json(self) -> Value {
        json!({
            "accuracy": self.accuracy(), "precision": share(self.hits, self.hits + self.false_alarms),
            "recall": share(self.hits, self.hits + self.misses), "said_same": self.hits + self.false_alarms,
        })
    }
}

fn share(part: usize, all: usize) -> f64 {
    if all == 0 {
        f64::NAN
    } else {
        part as f64 / all as f64
    }
}

/// The likeness from which on "the same" is most often right.
pub(crate) fn best_threshold(pairs: &[Judged]) -> f64 {
    let mut tried: Vec<f64> = pairs.iter().map(|pair| pair.likeness).collect();
    tried.push(f64::INFINITY);
    tried.sort_by(|a, b| b.total_cmp(a));
    let right = |least: f64| Counts::at(pairs, least).accuracy();
    let mut best = f64::INFINITY;
    for least in tried {
        if right(least) > right(best) {
            best = least;
        }
    }
    best
}

/// What is printed of a judge: all pairs, and, where the threshold is to be learned, learned on one half and counted on the other.
pub(crate) fn report(pairs: &[Judged], told: Option<f64>, seed: u64) -> Value {
    let mut line = json!({
        "pairs": pairs.len(), "same": pairs.iter().filter(|pair| pair.same).count(),
        "auc": auc(pairs), "auc_95": interval(pairs, seed, auc),
    });
    if let Some(least) = told {
        line["threshold"] = least.into();
        line["as_set"] = Counts::at(pairs, least).json();
    }
    let (develop, held_out) = halves(pairs, seed);
    let learned = best_threshold(&develop);
    line["learned"] = json!({ "threshold": learned, "develop": Counts::at(&develop, learned).json(), "held_out": Counts::at(&held_out, learned).json() });
    line["learned"]["held_out"]["accuracy_95"] = json!(interval(&held_out, seed, |pairs| {
        Some(Counts::at(pairs, learned).accuracy())
    }));
    line
}

/// Half of the groups, and the other half.
pub(crate) fn halves(pairs: &[Judged], seed: u64) -> (Vec<Judged>, Vec<Judged>) {
    let groups = groups(pairs);
    let mut order: Vec<usize> = (0..groups.len()).collect();
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    for i in (1..order.len()).rev() {
        order.swap(i, random.random_range(0..=i));
    }
    let (first, second) = order.split_at(order.len() / 2);
    let all = |half: &[usize]| {
        half.iter()
            .flat_map(|group| groups[*group].clone())
            .collect()
    };
    (all(first), all(second))
}

fn groups(pairs: &[Judged]) -> Vec<Vec<Judged>> {
    let mut groups: std::collections::BTreeMap<usize, Vec<Judged>> =
        std::collections::BTreeMap::new();
    for pair in pairs {
        groups.entry(pair.group).or_default().push(*pair);
    }
    groups.into_values().collect()
}

fn interval(
    pairs: &[Judged],
    seed: u64,
    figure: impl Fn(&[Judged]) -> Option<f64>,
) -> Option<[f64; 2]> {
    let groups = groups(pairs);
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut found = Vec::with_capacity(DRAWS);
    for _ in 0..DRAWS {
        let drawn = (0..groups.len())
            .flat_map(|_| groups[random.random_range(0..groups.len())].iter().copied());
        found.extend(figure(&drawn.collect::<Vec<_>>()));
    }
    found.sort_by(f64::total_cmp);
    let at = |share: f64| found.get((found.len() as f64 * share) as usize).copied();
    Some([at(0.025)?, at(0.975)?])
}
