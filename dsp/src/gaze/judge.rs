//! From the classifier's outputs to labels: the forward recursion, and what the few samples after it say of a sample.
//!
//! Fixed-lag smoothing (Rabiner 1989, eq. 27, with the backward variable begun at the newest sample): of the look-ahead that is allowed, the
//! features use the first part, and the outputs of the samples that come in the rest of it speak for or against a label through the
//! durations. When a saccade begins is said with more care ([`Judge::label`]): what looks like one for a few milliseconds seldom is one.

use super::hsmm::{AGES, Ages, CLASSES, Durations, Forward, dot, sum};
use super::net::{OUTPUTS, Parameters};
use super::stream::Described;
use crate::error::DspError;
use crate::queue::FixedQueue;

/// Samples that wait for later ones at most: 4 ms at 2000 Hz, and some.
const HELD_MAX: usize = 10;
/// Of later samples closer together than this the evidence is taken as one, so that a fast tracker costs no more time, seconds.
const TOGETHER_S: f64 = 0.0019;

/// Index of the classes that are spoken of by name.
const SACCADE: usize = 1;
const SETTLING: usize = 2;
const LOST: usize = CLASSES - 1;
/// A saccade that is so probable begins at once.
const SURE: f32 = 0.99;
/// One that is not so sure begins when samples have looked like it for so long (10 ms, but for stamps that shake), seconds: of 1282 saccades of a
/// coder 8 are shorter, and of 64 shorter ones that the recursion alone finds four are the coder's.
const LASTS_S: f64 = 0.0094;
/// Samples look like a saccade while it is more probable than this.
const LIKELY: f32 = 0.1;
/// A saccade that has begun is not taken back within this time ...
const STAYS_S: f64 = 0.010;
/// ... unless something else is so many times as probable.
const STAYS: f32 = 10.0;

/// A sample that waits for its label.
#[derive(Debug, Clone, Copy)]
struct Held {
    t_s: f64,
    at_deg: Option<[f64; 2]>,
    speed_deg_s: Option<f64>,
    dt_s: f64,
    /// Probability of class and age, of this sample and those before it.
    alpha: Ages,
    /// What the sample itself says; none in a gap that is not bridged.
    likelihood: Option<[f32; CLASSES]>,
}

/// A sample and its label.
#[derive(Debug, Clone, Copy)]
pub(super) struct Judged {
    pub(super) t_s: f64,
    pub(super) at_deg: Option<[f64; 2]>,
    pub(super) speed_deg_s: Option<f64>,
    /// Index of the class: fixation, saccade, settling, pursuit, lost.
    pub(super) class: usize,
}

/// Judges samples in their order.
#[derive(Debug, Clone)]
pub(super) struct Judge {
    parameters: Parameters,
    /// Highest hazard of each class, per second.
    hazard_max_per_s: [f32; CLASSES],
    forward: Forward,
    held: FixedQueue<Held>,
    /// Class of the last label, and how long it has been said.
    said: (usize, f64),
    /// How long the newest samples have looked like a saccade, seconds.
    fast_s: f64,
}

impl Judge {
    /// A judge with these parameters.
    ///
    /// # Errors
    /// None that can happen: [`DspError::Count`] is the queue's.
    pub(super) fn new(parameters: Parameters) -> Result<Self, DspError> {
        let forward = Forward::new(&parameters.durations);
        let highest = |ages: [f32; AGES]| ages.into_iter().fold(0.0, f32::max);
        Ok(Self {
            hazard_max_per_s: parameters.durations.hazard_per_s.map(highest),
            parameters,
            forward,
            held: FixedQueue::new(HELD_MAX)?,
            said: (LOST, 0.0),
            fast_s: 0.0,
        })
    }

    /// As new.
    pub(super) fn reset(&mut self) {
        self.forward.reset(&self.parameters.durations);
        self.held.reset();
        (self.said, self.fast_s) = ((LOST, 0.0), 0.0);
    }

    /// Takes the next sample; gives the oldest that waits when there is no more room.
    pub(super) fn take(&mut self, row: &Described) -> Option<Judged> {
        let full = self.held.len() >= HELD_MAX;
        let oldest = if full { self.pop() } else { None };
        let likelihood =
            (!row.gone).then(|| self.likelihood(&self.parameters.logits(&row.features)));
        self.hold(row, likelihood);
        oldest
    }

    /// Takes what a sample says of the classes; none: the eye has been lost for long. There is room.
    fn hold(&mut self, row: &Described, likelihood: Option<[f32; CLASSES]>) {
        match &likelihood {
            None => self.forward.force(LOST),
            Some(likelihood) => {
                let durations = &self.parameters.durations;
                self.forward.step(durations, row.dt_s, likelihood);
            }
        }
        let fast = sum(&self.forward.alpha()[SACCADE]) > LIKELY;
        self.fast_s = if fast { self.fast_s + row.dt_s } else { 0.0 };
        let _ = self.held.push(Held {
            t_s: row.t_s,
            at_deg: row.at_deg,
            speed_deg_s: row.speed_deg_s,
            dt_s: row.dt_s,
            alpha: *self.forward.alpha(),
            likelihood,
        });
    }

    /// The oldest sample that waits, if its stamp is before `until_s`.
    pub(super) fn next_before(&mut self, until_s: f64) -> Option<Judged> {
        self.held.front().filter(|h| h.t_s < until_s)?;
        self.pop()
    }

    fn pop(&mut self) -> Option<Judged> {
        let oldest = self.held.pop()?;
        let class = match oldest.likelihood {
            None => LOST,
            Some(_) => self.label(&oldest),
        };
        let before_s = if self.said.0 == class {
            self.said.1
        } else {
            0.0
        };
        self.said = (class, before_s + oldest.dt_s);
        Some(Judged {
            t_s: oldest.t_s,
            at_deg: oldest.at_deg,
            speed_deg_s: oldest.speed_deg_s,
            class,
        })
    }

    /// The class of the oldest sample. A saccade begins where it is certain or where samples have looked like it for long enough, and when it has
    /// begun it stays for a while; else the most probable class.
    fn label(&self, oldest: &Held) -> usize {
        let (last, for_s) = self.said;
        let mut choice = self.parameters.tuning.choice;
        if last == SACCADE && for_s < STAYS_S {
            choice[SACCADE] *= STAYS;
        }
        let lasts = self.fast_s + 0.5 * oldest.dt_s >= LASTS_S;
        let begins_freely = lasts || matches!(last, SACCADE | SETTLING);
        match self.plain(&oldest.alpha, &choice) {
            Some(class) if begins_freely || class != SACCADE => class,
            _ => {
                let p = self.smoothed(&oldest.alpha);
                if !begins_freely && p[SACCADE] < SURE * p.iter().sum::<f32>() {
                    choice[SACCADE] = 0.0;
                }
                most(&p, &choice)
            }
        }
    }

    /// The most probable class by [`Self::smoothed`], each times its factor, where that is plain: all samples that wait speak for it most, and even if
    /// it ended as soon as it ever does, what it keeps is more than all other classes have. Most samples of most recordings are such.
    fn plain(&self, alpha: &Ages, choice: &[f32; CLASSES]) -> Option<usize> {
        let sums = alpha.each_ref().map(sum);
        let by_sum = |a: &(usize, f32), b: &(usize, f32)| a.1.total_cmp(&b.1);
        let (class, sum) = sums.into_iter().enumerate().max_by(by_sum)?;
        let mut over_s = 0.0;
        for held in self.held.iter_back() {
            // Likelihoods are relative to the largest.
            held.likelihood.filter(|said| said[class] >= 1.0)?;
            over_s += held.dt_s.clamp(0.0, 0.1) as f32;
        }
        let most = choice.iter().copied().fold(0.0, f32::max);
        let kept = sum * (1.0 - self.hazard_max_per_s[class] * over_s) * choice[class];
        (kept > 1.01 * (1.0 - sum).max(1e-6) * most).then_some(class)
    }

    /// How probable each class of a sample before all that still wait is; not normalised.
    fn smoothed(&self, alpha: &Ages) -> [f32; CLASSES] {
        let durations: &Durations = &self.parameters.durations;
        let mut later: Option<Ages> = None;
        let look_back = |over_s: f64, said: &[f32; CLASSES], later: &mut Option<Ages>| match later {
            Some(later) => durations.look_back(over_s, said, later),
            None => *later = Some(durations.look_back_first(over_s, said)),
        };
        let (mut said, mut over_s) = ([1.0; CLASSES], 0.0);
        for held in self.held.iter_back() {
            let Some(likelihood) = &held.likelihood else {
                // What comes after a gap says nothing of what was before it.
                later = None;
                (said, over_s) = ([1.0; CLASSES], 0.0);
                continue;
            };
            for (said, l) in said.iter_mut().zip(likelihood) {
                *said *= l;
            }
            over_s += held.dt_s;
            if over_s > TOGETHER_S {
                look_back(over_s, &said, &mut later);
                (said, over_s) = ([1.0; CLASSES], 0.0);
            }
        }
        if over_s > 0.0 {
            look_back(over_s, &said, &mut later);
        }
        let later = later.unwrap_or([[1.0; AGES]; CLASSES]);
        let mut p = [0.0; CLASSES];
        for ((p, alpha), later) in p.iter_mut().zip(alpha).zip(&later) {
            *p = dot(alpha, later);
        }
        p
    }

    /// Likelihoods relative to the largest.
    fn likelihood(&self, logits: &[f32; OUTPUTS]) -> [f32; CLASSES] {
        let tuning = &self.parameters.tuning;
        let mut scaled = [0.0; CLASSES];
        for ((s, z), bias) in scaled.iter_mut().zip(logits).zip(&tuning.bias) {
            *s = tuning.weight * (z + bias);
        }
        let top = scaled.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        scaled.map(|s| (s - top).max(-30.0).exp())
    }
}

/// The class whose probability times its factor is the largest; of equals the first.
fn most(p: &[f32; CLASSES], factors: &[f32; CLASSES]) -> usize {
    let mut best = (0, f32::NEG_INFINITY);
    for (class, (p, factor)) in p.iter().zip(factors).enumerate() {
        if p * factor > best.1 {
            best = (class, p * factor);
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gaze::FEATURES;

    /// Uniform numbers, the same everywhere.
    fn random(state: &mut u64) -> f32 {
        *state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (*state >> 40) as f32 / (1 << 24) as f32
    }

    fn described(k: u32, dt_s: f64) -> Described {
        Described {
            t_s: f64::from(k) * dt_s,
            now_s: f64::from(k) * dt_s,
            at_deg: None,
            speed_deg_s: None,
            dt_s,
            gone: false,
            features: [0.0; FEATURES],
        }
    }

    /// Samples labelled a saccade, counted from the first one that looks like it: `long` samples of which each says that fixation is `doubt` times
    /// as probable, between fixations; labels as late as at this rate.
    fn said_saccade(dt_s: f64, later: usize, long: u32, doubt: f32) -> Vec<u32> {
        let parameters = Parameters::read(include_str!("parameters.txt")).unwrap();
        let mut judge = Judge::new(parameters).unwrap();
        let (from, mut found) = ((0.3 / dt_s) as u32, vec![]);
        for k in 0..2 * from {
            let fast = (from..from + long).contains(&k);
            let says = if fast {
                [doubt, 1.0, 1e-9, 1e-9, 1e-9]
            } else {
                [1.0, 1e-3, 1e-9, 1e-3, 1e-9]
            };
            judge.hold(&described(k, dt_s), Some(says));
            if judge.held.len() > later
                && let Some(judged) = judge.pop()
                && judged.class == SACCADE
            {
                found.push(k - later as u32 - from);
            }
        }
        found
    }

    #[test]
    fn what_looks_like_a_saccade_for_a_moment_is_none() {
        // 500 Hz: two samples wait.
        assert_eq!(said_saccade(0.002, 2, 3, 0.02), Vec::<u32>::new());
        let long = said_saccade(0.002, 2, 12, 0.02);
        assert!((1..=2).contains(&long[0]) && long.len() >= 9, "{long:?}");
    }

    #[test]
    fn a_certain_saccade_begins_at_once_and_so_does_any_at_slow_rates() {
        assert_eq!(said_saccade(0.002, 2, 12, 1e-6)[0], 0);
        assert_eq!(said_saccade(1.0 / 120.0, 0, 4, 0.02)[0], 0);
        assert_eq!(said_saccade(1.0 / 60.0, 0, 2, 0.02)[0], 0);
    }

    #[test]
    fn what_is_plain_is_what_the_whole_recursion_finds() {
        let mut state = 1;
        let (mut plain, mut all) = (0, 0);
        for (dt_s, weight) in [
            (0.0005, 1.0),
            (0.002, 1.0),
            (0.002, 4.0),
            (0.004, 4.0),
            (0.0083, 0.3),
        ] {
            let mut parameters = Parameters::read(include_str!("parameters.txt")).unwrap();
            parameters.tuning.weight = weight;
            parameters.tuning.choice = [1.0, 0.8, 1.0, 1.2, 1.0];
            let mut judge = Judge::new(parameters).unwrap();
            let mut features = [0.0; FEATURES];
            for k in 0..4_000 {
                // Stretches of one kind of movement and moments of another.
                if k % 37 == 0 || random(&mut state) < 0.1 {
                    features = [(); FEATURES].map(|()| 8.0 * random(&mut state) - 2.0);
                }
                let row = Described {
                    gone: random(&mut state) < 0.01,
                    features,
                    ..described(k, dt_s)
                };
                judge.take(&row);
                while judge.held.len() > 3 {
                    let oldest = judge.held.pop().unwrap();
                    if oldest.likelihood.is_some() {
                        all += 1;
                        let choice = judge.parameters.tuning.choice;
                        let found = judge.plain(&oldest.alpha, &choice);
                        plain += usize::from(found.is_some());
                        let whole = most(&judge.smoothed(&oldest.alpha), &choice);
                        assert!(found.is_none_or(|found| found == whole), "sample {k}");
                    }
                }
            }
        }
        assert!(plain > all / 4 && plain < all, "{plain} of {all}");
    }
}
