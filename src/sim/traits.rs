//! The hidden character of one simulated person, one cap and one eye tracker, drawn from the seed around the preset.

use rand_chacha::ChaCha8Rng;

use super::noise::{gauss, log_normal, stream};
use super::settings::{Preset, SimSettings};

/// How this person's brain answers flashes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct BrainTraits {
    /// Amplitude of the visual response, microvolts.
    pub(super) visual_uv: f64,
    /// Amplitude of the N200, microvolts.
    pub(super) n200_uv: f64,
    /// Its latency, seconds.
    pub(super) n200_at_s: f64,
    /// Amplitude of the P300, microvolts.
    pub(super) p300_uv: f64,
    /// Its latency, seconds.
    pub(super) p300_at_s: f64,
    /// Standard deviation of its latency from trial to trial, seconds.
    pub(super) jitter_s: f64,
}

/// What else the electrodes pick up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct CapTraits {
    /// Standard deviation of the 1/f background, 0.1 to 100 Hz, microvolts.
    pub(super) background_uv: f64,
    /// Standard deviation of the posterior alpha rhythm, microvolts.
    pub(super) alpha_uv: f64,
    /// Its frequency, Hz.
    pub(super) alpha_hz: f64,
    /// Amplitude of the mains hum, microvolts.
    pub(super) hum_uv: f64,
    /// Standard deviation of the amplifier's own white noise, microvolts.
    pub(super) white_uv: f64,
    /// Amplitude of a blink at the front of the head, microvolts.
    pub(super) blink_uv: f64,
    /// Largest electrode potential, millivolts.
    pub(super) offset_mv: f64,
    /// Electrode pops per minute and channel.
    pub(super) pops_per_min: f64,
    /// Muscle bursts per minute.
    pub(super) bursts_per_min: f64,
}

/// What the eye tracker does to the gaze.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct TrackerTraits {
    /// Standard deviation of the noise of one sample, degrees.
    pub(super) noise_deg: f64,
    /// Systematic error in the centre, degrees.
    pub(super) offset_deg: [f64; 2],
    /// Gain of x and y.
    pub(super) gain: [f64; 2],
    /// How much of y shows in x, and of x in y.
    pub(super) shear: [f64; 2],
    /// Bend of the error towards the corners, per degree.
    pub(super) bend_per_deg: [f64; 2],
    /// Standard deviation of the slow drift of the error, degrees.
    pub(super) drift_deg: f64,
    /// Losses of the eye other than blinks, per minute.
    pub(super) losses_per_min: f64,
}

/// How the person behaves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct PersonTraits {
    /// Median latency of a saccade to something new, seconds.
    pub(super) saccade_latency_s: f64,
    /// Median fixation while reading, seconds.
    pub(super) fixation_s: f64,
    /// Median time from the last word read to the decision, seconds.
    pub(super) decision_s: f64,
    /// Median time from the decision to a key press, seconds.
    pub(super) press_s: f64,
    /// Probability of reading something again before choosing.
    pub(super) reread: f64,
    /// Probability of attending to another option than the one wished.
    pub(super) slip: f64,
    /// Probability of missing a single target flash.
    pub(super) miss: f64,
    /// Lapses of attention per minute.
    pub(super) lapses_per_min: f64,
    /// Blinks per minute.
    pub(super) blinks_per_min: f64,
    /// Time on task after which two thirds of the tiredness has come, seconds.
    pub(super) tires_in_s: f64,
    /// Calls for a fork unasked, per minute.
    pub(super) calls_per_min: f64,
    /// Probability of undoing a wrong step when it can be undone.
    pub(super) undo: f64,
    /// Mean affinity under which no branch will do.
    pub(super) dissatisfied_below: f64,
    /// Probability of asking for other branches then.
    pub(super) ask_other: f64,
    /// Peak velocity of this person's saccades relative to the main sequence.
    pub(super) saccade_vigour: f64,
}

/// All of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Traits {
    pub(super) brain: BrainTraits,
    pub(super) cap: CapTraits,
    pub(super) tracker: TrackerTraits,
    pub(super) person: PersonTraits,
}

impl Traits {
    pub(super) fn draw(settings: &SimSettings) -> Self {
        // (easy, typical, hard)
        let of = |choices: [f64; 3]| match settings.preset {
            Preset::Easy => choices[0],
            Preset::Typical => choices[1],
            Preset::Hard => choices[2],
        };
        let mut rng = stream(settings.seed, "traits");
        let mut around = |median: f64, spread: f64| log_normal(&mut rng, median, spread);
        let brain = BrainTraits {
            visual_uv: around(of([3.0, 2.5, 2.0]), 0.15),
            n200_uv: around(of([5.2, 4.3, 3.8]), 0.1),
            n200_at_s: around(0.215, 0.05),
            p300_uv: around(of([10.0, 8.8, 8.7]), 0.05),
            p300_at_s: around(0.35, 0.06).clamp(0.31, 0.40),
            jitter_s: around(of([0.016, 0.021, 0.028]), 0.05),
        };
        let cap = CapTraits {
            background_uv: around(of([6.3, 7.3, 9.0]), 0.04),
            alpha_uv: around(of([2.5, 3.5, 5.0]), 0.12),
            alpha_hz: around(10.1, 0.05),
            hum_uv: around(of([2.0, 5.0, 15.0]), 0.3),
            white_uv: of([0.3, 0.5, 1.0]),
            blink_uv: around(150.0, 0.15),
            offset_mv: of([20.0, 40.0, 80.0]),
            pops_per_min: of([0.0, 0.05, 0.2]),
            bursts_per_min: of([0.2, 0.7, 2.0]),
        };
        let person = PersonTraits {
            saccade_latency_s: around(0.2, 0.06),
            fixation_s: around(0.22, 0.06) / settings.pace,
            decision_s: around(of([0.25, 0.35, 0.5]), 0.1) / settings.pace,
            press_s: around(0.55, 0.1),
            reread: of([0.1, 0.2, 0.35]),
            slip: of([0.002, 0.01, 0.03]),
            miss: of([0.01, 0.03, 0.08]),
            lapses_per_min: of([0.1, 0.5, 1.5]),
            blinks_per_min: around(of([8.0, 12.0, 18.0]), 0.15),
            tires_in_s: settings.tires_in_s.unwrap_or(of([3600.0, 2400.0, 1200.0])),
            calls_per_min: 0.15,
            undo: 0.85,
            dissatisfied_below: -0.15,
            ask_other: 0.5,
            saccade_vigour: around(1.0, 0.05),
        };
        Self {
            brain,
            cap,
            tracker: TrackerTraits::draw(settings, &mut rng),
            person,
        }
    }

    /// The right eye of a tracker that tells of two.
    pub(super) fn of_other_eye(settings: &SimSettings) -> TrackerTraits {
        let mut rng = stream(settings.seed, "traits of the right eye");
        TrackerTraits::draw(settings, &mut rng)
    }
}

impl TrackerTraits {
    fn draw(settings: &SimSettings, rng: &mut ChaCha8Rng) -> Self {
        let of = |choices: [f64; 3]| match settings.preset {
            Preset::Easy => choices[0],
            Preset::Typical => choices[1],
            Preset::Hard => choices[2],
        };
        let mut either_way = |size: f64| size * gauss(rng).clamp(-2.0, 2.0);
        let error_deg = of([0.3, 0.6, 1.0]);
        Self {
            noise_deg: settings.gaze_noise_deg.unwrap_or(of([0.06, 0.12, 0.3])),
            offset_deg: [either_way(error_deg), either_way(error_deg)],
            gain: [
                1.0 + either_way(0.04 * error_deg),
                1.0 + either_way(0.04 * error_deg),
            ],
            shear: [either_way(0.03 * error_deg), either_way(0.03 * error_deg)],
            bend_per_deg: [either_way(0.001 * error_deg), either_way(0.001 * error_deg)],
            drift_deg: of([0.05, 0.15, 0.35]),
            losses_per_min: of([0.5, 2.0, 10.0]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_the_same_under_the_same_seed_and_another_under_another() {
        let of = |seed| {
            Traits::draw(&SimSettings {
                seed,
                ..SimSettings::default()
            })
        };
        assert_eq!(of(5), of(5));
        assert_ne!(of(5).brain.p300_at_s, of(6).brain.p300_at_s);
    }
}
