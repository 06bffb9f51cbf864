//! What answers tell: overload, and answers by rote.

use super::course::Course;
use super::settings::GuardConfig;
use super::words::{Answered, Selected, Sign};
use crate::choice::bound::Alarm;

/// An alarm below this does not stir.
const QUIET: f64 = 0.5;
/// Two-sided 95 % of a normal number.
const Z: f64 = 1.959_964;
/// The share of answers by rote that may be is never taken above this: there must be something left to tell.
const ROTE_MAX: f64 = 0.8;

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Behaviour {
    slow: Course,
    declined: Alarm,
    corrected: Alarm,
    rote: Rote,
    answers: u32,
}

impl Behaviour {
    pub(super) fn new(config: &GuardConfig) -> Self {
        let patience = config.patience;
        Self {
            slow: Course::new(
                false,
                config.baseline_forks,
                config.slack_sds,
                config.limit_sds,
            ),
            declined: Alarm::new(config.declined_max, patience),
            corrected: Alarm::new(config.corrected_max, patience),
            rote: Rote::new(config),
            answers: 0,
        }
    }

    pub(super) fn ended(&mut self, answered: &Answered) {
        self.declined.hear(answered.selected.is_none());
        let Some(selected) = answered.selected else {
            // Without an answer there is no time to answer, and no place.
            return;
        };
        self.corrected.hear(selected.corrects);
        let ln = selected.times_reading.ln();
        self.slow.push(f64::from(self.answers), ln);
        self.answers = self.answers.saturating_add(1);
        self.rote.hear(&selected, ln);
    }

    /// A choice was taken back by key.
    pub(super) fn corrected(&mut self) {
        self.corrected.hear(true);
    }

    pub(super) fn signs(&self, signs: &mut Vec<Sign>) {
        let sounding = [
            (Sign::Slow, self.slow.has_left()),
            (Sign::Declined, self.declined.sounds()),
            (Sign::Corrected, self.corrected.sounds()),
            (
                Sign::Rote,
                self.rote.alarm.as_ref().is_some_and(Alarm::sounds),
            ),
        ];
        signs.extend(
            sounding
                .into_iter()
                .filter(|(_, on)| *on)
                .map(|(sign, _)| sign),
        );
    }

    /// Whether nothing stirs.
    pub(super) fn is_quiet(&self) -> bool {
        let rote = self.rote.alarm.as_ref().map_or(0.0, Alarm::level);
        let levels = [self.declined.level(), self.corrected.level(), rote];
        !self.slow.stirs() && levels.into_iter().all(|level| level < QUIET)
    }

    /// The person is as it is: its own level is learnt anew.
    pub(super) fn relearn(&mut self) {
        self.forgive();
        self.slow.relearn();
        self.rote.relearn();
    }

    /// What was heard so far is no sign any more; what was learnt of the person stays.
    pub(super) fn forgive(&mut self) {
        self.slow.forgive();
        self.declined.reset();
        self.corrected.reset();
        if let Some(alarm) = &mut self.rote.alarm {
            alarm.reset();
        }
    }
}

/// Answers in the same place as the one before, and quicker than the person's own median.
///
/// How often that happens by itself depends on the person and on how the branches are ordered: the first answers say. The alarm
/// is on the upper end of Wilson's 95 % interval of their share.
#[derive(Debug, Clone)]
struct Rote {
    baseline: usize,
    rote_max: f64,
    patience: f64,
    first: Vec<(f64, bool)>,
    quick_ln: f64,
    last: Option<usize>,
    alarm: Option<Alarm>,
}

impl Rote {
    fn new(config: &GuardConfig) -> Self {
        Self {
            baseline: config.baseline_forks as usize,
            rote_max: config.rote_max,
            patience: config.patience,
            first: Vec::new(),
            quick_ln: f64::NEG_INFINITY,
            last: None,
            alarm: None,
        }
    }

    /// The next answers say again how often it happens by itself.
    fn relearn(&mut self) {
        self.first.clear();
        self.quick_ln = f64::NEG_INFINITY;
        self.last = None;
        self.alarm = None;
    }

    fn hear(&mut self, selected: &Selected, ln: f64) {
        // A correction stands where it stands on every screen.
        if selected.corrects || !ln.is_finite() {
            return;
        }
        let same = self.last.replace(selected.item) == Some(selected.item);
        if let Some(alarm) = &mut self.alarm {
            alarm.hear(same && ln < self.quick_ln);
            return;
        }
        self.first.push((ln, same));
        if self.first.len() < self.baseline {
            return;
        }
        let mut sorted: Vec<f64> = self.first.iter().map(|(ln, _)| *ln).collect();
        sorted.sort_by(f64::total_cmp);
        self.quick_ln = sorted
            .get(sorted.len() / 2)
            .copied()
            .unwrap_or(f64::NEG_INFINITY);
        let rote = self
            .first
            .iter()
            .filter(|(ln, same)| *same && *ln < self.quick_ln);
        let allowed = wilson_upper(rote.count() as f64, self.first.len() as f64);
        self.alarm = Some(Alarm::new(
            allowed.max(self.rote_max).min(ROTE_MAX),
            self.patience,
        ));
        self.first = Vec::new();
    }
}

/// Upper end of Wilson's 95 % interval of a share (Wilson 1927, J. Am. Stat. Assoc. 22:209).
fn wilson_upper(hits: f64, of: f64) -> f64 {
    let p = hits / of;
    let centre = p + Z * Z / (2.0 * of);
    let half = Z * (p * (1.0 - p) / of + Z * Z / (4.0 * of * of)).sqrt();
    (centre + half) / (1.0 + Z * Z / of)
}
