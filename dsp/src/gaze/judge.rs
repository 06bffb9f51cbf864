//! From the classifier's outputs to labels: the forward recursion, and what the few samples after it say of a sample.
//!
//! Fixed-lag smoothing (Rabiner 1989, eq. 27, with the backward variable begun at the newest sample): of the look-ahead that is allowed, the
//! features use the first part, and the outputs of the samples that come in the rest of it speak for or against a label through the
//! durations.

use super::hsmm::{AGES, Ages, CLASSES, Durations, Forward, dot, sum};
use super::net::{OUTPUTS, Parameters};
use super::stream::Described;
use crate::error::DspError;
use crate::queue::FixedQueue;

/// Samples that wait for later ones at most: 4 ms at 2000 Hz, and some.
const HELD_MAX: usize = 10;
/// Of later samples closer together than this the evidence is taken as one, so that a fast tracker costs no more time, seconds.
const TOGETHER_S: f64 = 0.0019;

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
        })
    }

    /// As new.
    pub(super) fn reset(&mut self) {
        self.forward.reset(&self.parameters.durations);
        self.held.reset();
    }

    /// Takes the next sample; gives the oldest that waits when there is no more room.
    pub(super) fn take(&mut self, row: &Described) -> Option<Judged> {
        let full = self.held.len() >= HELD_MAX;
        let oldest = if full { self.pop() } else { None };
        let likelihood = if row.gone {
            self.forward.force(CLASSES - 1);
            None
        } else {
            let likelihood = self.likelihood(&self.parameters.logits(&row.features));
            let durations = &self.parameters.durations;
            self.forward.step(durations, row.dt_s, &likelihood);
            Some(likelihood)
        };
        // One place is always free here.
        let _ = self.held.push(Held {
            t_s: row.t_s,
            at_deg: row.at_deg,
            speed_deg_s: row.speed_deg_s,
            dt_s: row.dt_s,
            alpha: *self.forward.alpha(),
            likelihood,
        });
        oldest
    }

    /// The oldest sample that waits, if its stamp is before `until_s`.
    pub(super) fn next_before(&mut self, until_s: f64) -> Option<Judged> {
        self.held.front().filter(|h| h.t_s < until_s)?;
        self.pop()
    }

    fn pop(&mut self) -> Option<Judged> {
        let oldest = self.held.pop()?;
        let class = match oldest.likelihood {
            None => CLASSES - 1,
            Some(_) => self
                .plain(&oldest.alpha)
                .unwrap_or_else(|| self.choose(&oldest.alpha)),
        };
        Some(Judged {
            t_s: oldest.t_s,
            at_deg: oldest.at_deg,
            speed_deg_s: oldest.speed_deg_s,
            class,
        })
    }

    /// The class that [`Self::choose`] would find, where that is plain: all samples that wait speak for it most, and even if it ended as soon as it
    /// ever does, what it keeps is more than all other classes have. Most samples of most recordings are such.
    fn plain(&self, alpha: &Ages) -> Option<usize> {
        let sums = alpha.each_ref().map(sum);
        let by_sum = |a: &(usize, f32), b: &(usize, f32)| a.1.total_cmp(&b.1);
        let (class, sum) = sums.into_iter().enumerate().max_by(by_sum)?;
        let mut over_s = 0.0;
        for held in self.held.iter_back() {
            // Likelihoods are relative to the largest.
            held.likelihood.filter(|said| said[class] >= 1.0)?;
            over_s += held.dt_s.clamp(0.0, 0.1) as f32;
        }
        let choice = self.parameters.tuning.choice;
        let most = choice.into_iter().fold(0.0, f32::max);
        let kept = sum * (1.0 - self.hazard_max_per_s[class] * over_s) * choice[class];
        (kept > 1.01 * (1.0 - sum).max(1e-6) * most).then_some(class)
    }

    /// The class of a sample before all that still wait.
    fn choose(&self, alpha: &Ages) -> usize {
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
        let mut best = (0, f32::NEG_INFINITY);
        let choice = self.parameters.tuning.choice;
        for (class, ((alpha, later), factor)) in alpha.iter().zip(&later).zip(choice).enumerate() {
            let p: f32 = dot(alpha, later);
            if p * factor > best.1 {
                best = (class, p * factor);
            }
        }
        best.0
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
                    t_s: f64::from(k) * dt_s,
                    now_s: f64::from(k) * dt_s,
                    at_deg: None,
                    speed_deg_s: None,
                    dt_s,
                    gone: random(&mut state) < 0.01,
                    features,
                };
                judge.take(&row);
                while judge.held.len() > 3 {
                    let oldest = judge.held.pop().unwrap();
                    if oldest.likelihood.is_some() {
                        all += 1;
                        let found = judge.plain(&oldest.alpha);
                        plain += usize::from(found.is_some());
                        let whole = judge.choose(&oldest.alpha);
                        assert!(found.is_none_or(|found| found == whole), "sample {k}");
                    }
                }
            }
        }
        assert!(plain > all / 4 && plain < all, "{plain} of {all}");
    }
}
