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

/// A number for each class and age.
pub(super) type Ages = [[f32; AGES]; CLASSES];

/// What later samples say becomes no smaller than this, lest numbers become subnormal, which is slow.
const LATER_MIN: f32 = 1e-20;

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
    alpha: Ages,
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

    /// [`Self::look_back`] from the newest sample, after which nothing is known: the same numbers in less time.
    pub(super) fn look_back_first(&self, dt_s: f64, likelihood: &[f32; CLASSES]) -> Ages {
        let (parts, part_s) = parts(dt_s);
        let mut later = [[1.0; AGES]; CLASSES];
        if parts > 1 {
            self.look_back(dt_s, likelihood, &mut later);
            return later;
        }
        let begun = likelihood.map(|l| if l > LATER_MIN { l } else { LATER_MIN });
        let known = begun.iter().zip(&self.hazard_per_s).zip(&self.next);
        for (ages, ((stays, hazard), next)) in later.iter_mut().zip(known) {
            let ended: f32 = next.iter().zip(&begun).map(|(p, b)| p * b).sum();
            for (b, h) in ages.iter_mut().zip(hazard) {
                *b = stays + ending(*h, part_s) * (ended - stays);
            }
        }
        later
    }

    /// The backward recursion (Rabiner 1989, eq. 25, with ages): what the samples after one say of its class and age, from what those after the
    /// next say of the next, its likelihoods and the time between the two.
    pub(super) fn look_back(&self, dt_s: f64, likelihood: &[f32; CLASSES], later: &mut Ages) {
        for (ages, l) in later.iter_mut().zip(likelihood) {
            for b in ages.iter_mut() {
                let said = *b * l;
                *b = if said > LATER_MIN { said } else { LATER_MIN };
            }
        }
        let (parts, part_s) = parts(dt_s);
        let older = (part_s / AGE_S as f32).min(1.0);
        for _ in 0..parts {
            let begun = later.map(|ages| ages[0]);
            for ((ages, hazard), next) in later.iter_mut().zip(&self.hazard_per_s).zip(&self.next) {
                let ended: f32 = next.iter().zip(&begun).map(|(p, b)| p * b).sum();
                let mut aged = *ages;
                aged.copy_within(1.., 0);
                for ((b, a), h) in ages.iter_mut().zip(&aged).zip(hazard) {
                    let ends = ending(*h, part_s);
                    let stays = *b + older * (a - *b);
                    *b = stays + ends * (ended - stays);
                }
            }
        }
    }
}

/// In a step longer than an age mass would jump ages: into how many parts it is cut, and how long they are, s. A very long one forgets all
/// anyway.
fn parts(dt_s: f64) -> (usize, f32) {
    let dt_s = dt_s.clamp(0.0, 0.1);
    let parts = (dt_s / AGE_S - 1e-3).ceil().max(1.0);
    (parts as usize, (dt_s / parts) as f32)
}

/// Share that ends within a part of a step.
fn ending(hazard_per_s: f32, part_s: f32) -> f32 {
    let share = hazard_per_s * part_s;
    if share < 0.9 { share } else { 0.9 }
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

    /// Probability of class and age.
    pub(super) fn alpha(&self) -> &Ages {
        &self.alpha
    }

    /// One step of `dt_s` and one sample with these likelihoods of the classes.
    pub(super) fn step(&mut self, durations: &Durations, dt_s: f64, likelihood: &[f32; CLASSES]) {
        let (parts, part_s) = parts(dt_s);
        let ends = durations
            .hazard_per_s
            .map(|ages| ages.map(|h| ending(h, part_s)));
        for _ in 0..parts {
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
            return;
        }
        let per_total = 1.0 / total;
        for a in self.alpha.iter_mut().flatten() {
            *a *= per_total;
            // What is as good as impossible must not become subnormal, which is slow.
            *a = if *a > 1e-15 { *a } else { 0.0 };
        }
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

/// Sum of products, eight at once, always in the same order.
pub(super) fn dot(a: &[f32; AGES], b: &[f32; AGES]) -> f32 {
    let mut products = *a;
    for (p, b) in products.iter_mut().zip(b) {
        *p *= b;
    }
    sum(&products)
}

/// Sum, eight at once, always in the same order.
pub(super) fn sum(ages: &[f32; AGES]) -> f32 {
    let mut lanes = [0.0_f32; 8];
    for chunk in ages.chunks_exact(8) {
        for (l, a) in lanes.iter_mut().zip(chunk) {
            *l += a;
        }
    }
    lanes.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_later_samples_say_of_an_age_is_the_mass_that_goes_on_from_it() {
        let mut durations = Durations {
            hazard_per_s: [[0.0; AGES]; CLASSES],
            next: [[0.0; CLASSES]; CLASSES],
            share: [0.2; CLASSES],
        };
        for (class, ages) in durations.hazard_per_s.iter_mut().enumerate() {
            for (age, hazard) in ages.iter_mut().enumerate() {
                *hazard = ((7 * class + 3 * age) % 11) as f32 * 9.0;
            }
        }
        for (class, next) in durations.next.iter_mut().enumerate() {
            next[(class + 1) % CLASSES] = 0.7;
            next[(class + 2) % CLASSES] = 0.3;
        }
        let likelihoods = [[0.9, 0.2, 0.4, 1.0, 0.1], [0.3, 1.0, 0.5, 0.2, 0.6]];
        for dt_s in [0.0005, 0.002, 0.004, 0.0167] {
            let mut later = [[1.0; AGES]; CLASSES];
            durations.look_back(dt_s, &likelihoods[1], &mut later);
            assert_eq!(later, durations.look_back_first(dt_s, &likelihoods[1]));
            durations.look_back(dt_s, &likelihoods[0], &mut later);
            for (class, ages) in later.iter().enumerate() {
                for (age, said) in ages.iter().enumerate() {
                    let mut forward = Forward::new(&durations);
                    forward.alpha = [[0.0; AGES]; CLASSES];
                    forward.alpha[class][age] = 1.0;
                    let (count, part_s) = parts(dt_s);
                    let ends = durations
                        .hazard_per_s
                        .map(|ages| ages.map(|h| ending(h, part_s)));
                    for likelihood in &likelihoods {
                        for _ in 0..count {
                            forward.advance(&ends, &durations.next, part_s);
                        }
                        for (ages, l) in forward.alpha.iter_mut().zip(likelihood) {
                            ages.iter_mut().for_each(|a| *a *= l);
                        }
                    }
                    let mass: f32 = forward.alpha.iter().flatten().sum();
                    assert!(
                        (mass - said).abs() < 1e-5,
                        "{dt_s} s, class {class}, age {age}: {mass} and {said}"
                    );
                }
            }
        }
    }
}
