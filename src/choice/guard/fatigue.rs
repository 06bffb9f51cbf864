//! What EEG and eyes tell beyond time on task.

use razvilka_dsp::state::{Drift, Index};

use super::course::Course;
use super::settings::GuardConfig;
use super::words::Sign;
use crate::person::PersonState;

/// Values of an index before its course over time on task is known.
const COURSE_MIN: u32 = 15;
/// Indices of EEG and eyes.
const INDICES: usize = 8;

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Fatigue {
    sure: f64,
    indices_min: usize,
    /// Values closer together share what they were computed from.
    apart_s: f64,
    last_s: Option<f64>,
    indices: [Watched; INDICES],
    p300: Watched,
    /// The P300 as its course saw it last.
    last_p300: Option<Drift>,
}

/// An index over time on task.
#[derive(Debug, Clone, Copy)]
struct Watched {
    course: Course,
    /// Whether it has surely moved from the baseline, as it stands now.
    moved: bool,
}

impl Fatigue {
    pub(super) fn new(config: &GuardConfig, recent_s: f64) -> Self {
        let watched = Watched {
            course: Course::new(true, COURSE_MIN, config.slack_sds, config.limit_sds),
            moved: false,
        };
        Self {
            sure: config.index_sure,
            indices_min: config.indices_min as usize,
            apart_s: recent_s,
            last_s: None,
            indices: [watched; INDICES],
            p300: watched,
            last_p300: None,
        }
    }

    pub(super) fn hear(&mut self, time_on_task_s: f64, state: &PersonState) {
        if !time_on_task_s.is_finite() {
            return;
        }
        let apart = self
            .last_s
            .is_none_or(|last| time_on_task_s - last >= self.apart_s);
        if apart {
            self.last_s = Some(time_on_task_s);
        }
        let sure = self.sure;
        for (watched, (z, moved)) in self.indices.iter_mut().zip(tiring(state)) {
            watched.hear(apart, time_on_task_s, z, moved, sure);
        }
        // A mean over forks: without one that flashed it stays as it was, and is not heard again.
        let p300 = state.p300.filter(|drift| Some(*drift) != self.last_p300);
        // The amplitude falls where the others rise.
        let z = p300.map(|drift| -drift.amplitude);
        let fallen = p300.and_then(|drift| drift.since).map(|since| since.fallen);
        self.p300.hear(apart, time_on_task_s, z, fallen, sure);
        if apart && p300.is_some() {
            self.last_p300 = p300;
        }
    }

    pub(super) fn signs(&self, signs: &mut Vec<Sign>) {
        if self.enough(Watched::counts) {
            signs.push(Sign::Fatigue);
        }
        if self.p300.counts() {
            signs.push(Sign::Faded);
        }
    }

    /// Whether it is half way to a sign.
    pub(super) fn stirs(&self) -> bool {
        self.enough(Watched::stirs) || self.p300.stirs()
    }

    fn enough(&self, of: impl Fn(&Watched) -> bool) -> bool {
        self.indices.iter().filter(|index| of(index)).count() >= self.indices_min
    }

    /// What was heard so far is no sign any more. Values lie apart: begun from nothing, what lasts would look calm until some have come.
    pub(super) fn forgive(&mut self) {
        for watched in self.indices.iter_mut().chain([&mut self.p300]) {
            watched.course.forgive_half();
        }
    }

    /// The person says that it is not tired: its courses are learnt anew.
    pub(super) fn relearn(&mut self) {
        for watched in self.indices.iter_mut().chain([&mut self.p300]) {
            watched.course.relearn();
        }
    }
}

impl Watched {
    fn hear(&mut self, apart: bool, t_s: f64, value: Option<f64>, moved: Option<f64>, sure: f64) {
        // What is not known now does not count now.
        self.moved = moved.is_some_and(|probability| probability >= sure);
        if let Some(value) = value.filter(|_| apart) {
            self.course.push(t_s, value);
        }
    }

    fn counts(&self) -> bool {
        self.moved && self.course.has_left()
    }

    fn stirs(&self) -> bool {
        self.moved && self.course.stirs()
    }
}

/// Each index turned so that it rises with fatigue: in standard deviations of the baseline, and the probability that it has.
fn tiring(state: &PersonState) -> [(Option<f64>, Option<f64>); INDICES] {
    let up = |index: &Index| (index.z, index.risen);
    let down = |index: &Index| (index.z.map(|z| -z), index.risen.map(|p| 1.0 - p));
    let (eeg, eyes) = (&state.indices, &state.eyes);
    [
        up(&eeg.theta_alpha),
        up(&eeg.slow_fast),
        up(&eeg.spindles_per_min),
        up(&eyes.blinks_per_min),
        up(&eyes.blink_s),
        up(&eyes.perclos),
        down(&eyes.saccade_peak_deg_s),
        up(&eyes.bcea_deg2),
    ]
}
