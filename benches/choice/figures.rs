//! Means, shares and intervals that the tables have in common, and the handover as the program sets it.

use razvilka::choice::bound::Counted;
use razvilka::choice::handover::{Carried, HandoverConfig};

use super::session::{Arm, Session, handover};

/// As the program's, with the budget out of the way where the claim is looked at.
pub(crate) fn config(questions_per_min_max: f64) -> HandoverConfig {
    HandoverConfig {
        questions_per_min_max,
        ..HandoverConfig::default()
    }
}
/// A handover that goes on from nothing.
pub(crate) fn fresh(counted: Counted, per_min: f64, seed: u64, leans: bool) -> anyhow::Result<Arm> {
    handover(counted, config(per_min), seed, &Carried::default(), leans)
}

/// Wilson's 95 % interval of a share.
pub(crate) fn wilson(hits: u64, of: u64) -> (f64, f64) {
    wilson_of(hits as f64 / of as f64, of as f64)
}

/// The same of a share `p` that rests on `n` independent things.
pub(crate) fn wilson_of(p: f64, n: f64) -> (f64, f64) {
    let z = 1.959_964;
    let centre = (p + z * z / (2.0 * n)) / (1.0 + z * z / n);
    let half = z / (1.0 + z * z / n) * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    ((centre - half).max(0.0), (centre + half).min(1.0))
}

pub(crate) fn mean(of: &[Session], what: impl Fn(&Session) -> f64) -> f64 {
    of.iter().map(what).sum::<f64>() / of.len() as f64
}

pub(crate) fn share(of: u32, among: u32) -> f64 {
    if among == 0 {
        0.0
    } else {
        100.0 * f64::from(of) / f64::from(among)
    }
}

pub(crate) fn percent(of: u32, among: u32) -> String {
    if among == 0 {
        "none".into()
    } else {
        format!("{:.1} %", share(of, among))
    }
}
