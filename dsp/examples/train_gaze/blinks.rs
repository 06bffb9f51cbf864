//! Blinks as some trackers show them: the lid drags the position along, other edges are taken for the pupil, and all of it counts as seen.

use crate::data::{LOST, Random, Recording};

/// Share of recordings into which blinks are put, and how many per second at most.
const BLINKING: f64 = 0.5;
const PER_S: f64 = 0.81;

/// How many blinks per second the next recording gets.
pub(crate) fn per_s(random: &mut Random) -> f64 {
    if random.uniform() < BLINKING {
        PER_S * random.uniform()
    } else {
        0.0
    }
}

/// Puts blinks into a recording, so many per second, and labels them lost. Behind each the eye looks elsewhere.
pub(crate) fn put(made: &mut Recording, per_s: f64, random: &mut Random) {
    let dt_s = 1.0 / made.rate_hz;
    let (mut k, mut moved) = (0, [0.0; 2]);
    while k < made.samples.len() {
        if random.uniform() < per_s * dt_s {
            let one = Blink::any(random);
            let next = if random.uniform() < 0.5 {
                moved
            } else {
                [5.0 * random.normal(), 5.0 * random.normal()]
            };
            k = one.put(made, k, [moved, next], random);
            moved = next;
        }
        if let Some(sample) = made.samples.get_mut(k) {
            sample.x_deg += moved[0];
            sample.y_deg += moved[1];
        }
        k += 1;
    }
}

struct Blink {
    lasts_s: f64,
    closing_s: f64,
    opening_s: f64,
    /// Where the lid drags the position to, degrees, before and after it covers the eye.
    closed: [f64; 2],
    opened: [f64; 2],
    /// Whether false edges are seen; how far they lie, degrees, and how long each stays.
    jumps: bool,
    spread: f64,
    stays_s: f64,
    /// Share of them that are told to be lost.
    unseen: f64,
    noise: f64,
}

impl Blink {
    fn any(random: &mut Random) -> Self {
        let lasts_s = 0.08 + 0.5 * random.uniform() * random.uniform().sqrt();
        let mut drag = || {
            let size = 1.0 + 14.0 * random.uniform() * random.uniform();
            let down = if random.uniform() < 0.7 { -size } else { size };
            [0.6 * size * random.normal(), down]
        };
        Self {
            closed: drag(),
            opened: drag(),
            lasts_s,
            closing_s: (0.01 + 0.07 * random.uniform()).min(0.4 * lasts_s),
            opening_s: (0.01 + 0.10 * random.uniform()).min(0.5 * lasts_s),
            jumps: random.uniform() < 0.75,
            spread: 2.0 + 18.0 * random.uniform(),
            stays_s: 0.01 + 0.10 * random.uniform(),
            unseen: 0.6 * (random.uniform() - 0.4).max(0.0),
            noise: 0.2 * random.uniform() * random.uniform(),
        }
    }

    /// Puts the blink at sample `from`; gives where it ends.
    fn put(
        &self,
        made: &mut Recording,
        from: usize,
        [before, after]: [[f64; 2]; 2],
        random: &mut Random,
    ) -> usize {
        let dt_s = 1.0 / made.rate_hz;
        let to = (from + (self.lasts_s / dt_s) as usize).min(made.samples.len());
        let (mut place, mut drift, mut seen, mut frozen) = (self.closed, [0.0; 2], true, false);
        let mut slow = 20.0 * random.uniform();
        let mut held = None;
        let mut next_s = self.closing_s;
        for k in from..to {
            let at_s = (k - from) as f64 * dt_s;
            let left_s = self.lasts_s - at_s;
            made.labels[k] = LOST;
            let sample = &mut made.samples[k];
            let offset = if at_s < self.closing_s {
                let f = eased(at_s / self.closing_s);
                [
                    before[0] + f * self.closed[0],
                    before[1] + f * self.closed[1],
                ]
            } else if left_s < self.opening_s {
                let f = eased(left_s / self.opening_s);
                [after[0] + f * self.opened[0], after[1] + f * self.opened[1]]
            } else {
                if self.jumps && at_s >= next_s {
                    next_s = at_s + self.stays_s * (0.3 - (1.0 - random.uniform()).ln());
                    place = [self.spread * random.normal(), self.spread * random.normal()];
                    slow = 80.0 * random.uniform() * random.uniform();
                    seen = random.uniform() >= self.unseen;
                    frozen = random.uniform() < 0.4;
                    held = None;
                }
                if random.uniform() < 30.0 * dt_s {
                    drift = [slow * random.normal(), slow * random.normal()];
                }
                place = [place[0] + drift[0] * dt_s, place[1] + drift[1] * dt_s];
                sample.valid &= seen;
                [
                    before[0] + place[0] + self.noise * random.normal(),
                    before[1] + place[1] + self.noise * random.normal(),
                ]
            };
            sample.x_deg += offset[0];
            sample.y_deg += offset[1];
            if frozen && at_s >= self.closing_s && left_s >= self.opening_s {
                let [x, y] = *held.get_or_insert([sample.x_deg, sample.y_deg]);
                (sample.x_deg, sample.y_deg) = (x, y);
            }
        }
        to
    }
}

/// From 0 to 1 without a jerk.
fn eased(f: f64) -> f64 {
    f * f * (3.0 - 2.0 * f)
}
