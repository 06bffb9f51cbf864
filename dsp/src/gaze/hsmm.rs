//! Explicit durations: how long an eye movement has gone on says how soon it may end.
//!
//! The forward recursion of a hidden semi-Markov model in its expanded form (Johnson 2005; Yu 2010, section 3.2): every class is a chain of
//! ages, and the hazard of ending depends on the age. Steps follow the time between samples, so that the rate does not matter.

use crate::error::{DspError, parameter};

/// Classes: fixation, saccade, settling, pursuit, lost.
pub const CLASSES: usize = 5;
/// Ages that are told apart; the last one has no end.
pub const AGES: usize = 24;
/// Length of one age, seconds.
pub const AGE_S: f64 = 0.004;

/// What is known of durations and successions.
#[derive(Debug, Clone, PartialEq)]
pub struct Durations {
    /// Chance of ending per second, by class and age.
    pub hazard_per_s: [[f32; AGES]; CLASSES],
    /// Which class follows, given that one ends; rows sum to one.
    pub next: [[f32; CLASSES]; CLASSES],
    /// Share of time spent in each class.
    pub share: [f32; CLASSES],
}

/// The forward recursion.
#[derive(Debug, Clone)]
pub(super) struct Forward {
    /// Probability of class and age.
    alpha: [[f32; AGES]; CLASSES],
}

impl Durations {
    /// Checks the numbers.
    ///
    /// # Errors
    /// [`DspError::Parameter`] for one that is none or out of range.
    pub fn check(&self) -> Result<(), DspError> {
        for hazard in self.hazard_per_s.iter().flatten() {
            parameter("hazard per s", f64::from(*hazard), 0.0, 1e4)?;
        }
        for p in self.next.iter().flatten().chain(&self.share) {
            parameter("probability", f64::from(*p), 0.0, 1.0)?;
        }
        Ok(())
    }
}

impl Forward {
    /// Nothing is known yet.
    pub(super) fn new(durations: &Durations) -> Self {
        let mut forward = Self {
            alpha: [[0.0; AGES]; CLASSES],
        };
        forward.reset(durations);
        forward
    }

    /// As new.
    pub(super) fn reset(&mut self, durations: &Durations) {
        self.alpha = [[0.0; AGES]; CLASSES];
        for (ages, share) in self.alpha.iter_mut().zip(durations.share) {
            ages[AGES - 1] = share;
        }
    }

    /// The class is known: it is `class`, and has been for long.
    pub(super) fn force(&mut self, class: usize) {
        self.alpha = [[0.0; AGES]; CLASSES];
        if let Some(ages) = self.alpha.get_mut(class) {
            ages[AGES - 1] = 1.0;
        }
    }

    /// One step of `dt_s` and one sample with these likelihoods of the classes; gives the posterior.
    pub(super) fn step(
        &mut self,
        durations: &Durations,
        dt_s: f64,
        likelihood: &[f32; CLASSES],
    ) -> [f32; CLASSES] {
        // In a step longer than an age mass would jump ages; a very long one forgets all anyway.
        let dt_s = dt_s.clamp(0.0, 0.1);
        let parts = (dt_s / AGE_S - 1e-3).ceil().max(1.0);
        let part_s = (dt_s / parts) as f32;
        let ends = durations
            .hazard_per_s
            .map(|ages| ages.map(|h| (h * part_s).min(0.9)));
        for _ in 0..parts as usize {
            self.advance(&ends, &durations.next, part_s);
        }
        let mut posterior = [0.0; CLASSES];
        for ((ages, l), p) in self.alpha.iter_mut().zip(likelihood).zip(&mut posterior) {
            for a in ages.iter_mut() {
                *a *= l;
            }
            *p = sum(ages);
        }
        let total: f32 = posterior.iter().sum();
        if !(total > 1e-20 && total.is_finite()) {
            self.reset(durations);
            return durations.share;
        }
        let per_total = 1.0 / total;
        for (ages, p) in self.alpha.iter_mut().zip(&mut posterior) {
            for a in ages.iter_mut() {
                *a *= per_total;
                // What is as good as impossible must not become subnormal, which is slow.
                *a = if *a > 1e-15 { *a } else { 0.0 };
            }
            *p *= per_total;
        }
        posterior
    }

    /// One part of a step: `share` of each age ends.
    fn advance(
        &mut self,
        share: &[[f32; AGES]; CLASSES],
        next: &[[f32; CLASSES]; CLASSES],
        dt_s: f32,
    ) {
        let older = (dt_s / AGE_S as f32).min(1.0);
        let mut begins = [0.0; CLASSES];
        for ((ages, share), next) in self.alpha.iter_mut().zip(share).zip(next) {
            let (mut ends, mut moves) = ([0.0; AGES], [0.0; AGES]);
            for ((e, a), s) in ends.iter_mut().zip(&*ages).zip(share) {
                *e = a * s;
            }
            for ((m, a), e) in moves.iter_mut().zip(&*ages).zip(&ends) {
                *m = (a - e) * older;
            }
            // The last age has no end.
            moves[AGES - 1] = 0.0;
            for ((a, e), m) in ages.iter_mut().zip(&ends).zip(&moves) {
                *a -= e + m;
            }
            for (a, m) in ages.iter_mut().skip(1).zip(&moves) {
                *a += m;
            }
            let ended = sum(&ends);
            for (b, p) in begins.iter_mut().zip(next) {
                *b += ended * p;
            }
        }
        for (ages, begin) in self.alpha.iter_mut().zip(begins) {
            ages[0] += begin;
        }
    }
}

fn sum(ages: &[f32; AGES]) -> f32 {
    let mut lanes = [0.0_f32; 8];
    for chunk in ages.chunks_exact(8) {
        for (l, a) in lanes.iter_mut().zip(chunk) {
            *l += a;
        }
    }
    lanes.iter().sum()
}
