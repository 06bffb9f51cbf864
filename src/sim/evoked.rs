//! What a flash evokes in the brain: a visual response to every flash that is seen, N200 and P300 to the attended one.

use std::collections::VecDeque;

use rand_chacha::ChaCha8Rng;

use super::noise::{gauss, log_normal};
use super::traits::BrainTraits;

/// Nothing is evoked sooner than this after the flash: the way from the retina to the cortex, seconds.
///
/// The laboratory also hears markers with this delay, so that one that comes late by less than this changes nothing.
pub const PERCEPTION_S: f64 = 0.05;

/// A response is forgotten after this time, seconds.
const LASTS_S: f64 = 1.0;

/// Most responses that run at once; at 1 s each this is a flash every 4 ms.
const MAX_RUNNING: usize = 256;

/// How a flash reached the person.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    /// Onset, seconds since the start.
    pub(super) onset_s: f64,
    /// How directly it was looked at: 1 in the fovea, towards 0 in the periphery, 0 with closed eyes.
    pub(super) foveation: f64,
    /// How far it was attended to as the wanted item: 0 for every other item.
    pub(super) attention: f64,
    /// How tired the person is, 0 to 1.
    pub(super) tiredness: f64,
}

/// Activity of the evoked sources now, microvolts at the electrode right above each.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Activity {
    /// P1 and N1 of the visual cortex.
    pub(super) visual: f64,
    /// N200 of the lateral visual areas.
    pub(super) n200: f64,
    /// P300 of the parietal cortex.
    pub(super) p300: f64,
}

#[derive(Debug, Clone, Copy)]
struct Response {
    onset_s: f64,
    /// Gains of a recorded person's responses, and how much later than recorded the target's comes.
    seen: f64,
    attended: f64,
    slowing_s: f64,
    visual: f64,
    n200: f64,
    n200_at_s: f64,
    p300: f64,
    p300_at_s: f64,
}

/// How a recorded person's responses vary.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct RecordedGains {
    /// Standard deviation of single target responses, relative to their mean.
    pub(super) sd: f64,
    /// Mean recovery that is in their mean already.
    pub(super) recovery: f64,
}

/// How much of a P300 has come back this long after the target before (Gonsalvez & Polich 2002).
pub(super) fn recovery(interval_s: f64) -> f64 {
    1.0 - 0.65 * (-interval_s.max(0.0) / 0.6).exp()
}

/// The responses that run now.
#[derive(Debug)]
pub(super) struct Evoked {
    recorded: Option<RecordedGains>,
    brain: BrainTraits,
    rng: ChaCha8Rng,
    running: VecDeque<Response>,
    last_target_s: f64,
}

impl Evoked {
    pub(super) fn new(brain: BrainTraits, rng: ChaCha8Rng) -> Self {
        Self {
            recorded: None,
            brain,
            rng,
            running: VecDeque::with_capacity(MAX_RUNNING),
            last_target_s: f64::NEG_INFINITY,
        }
    }

    /// With the gains of a recorded person.
    pub(super) fn recorded(mut self, gains: RecordedGains) -> Self {
        self.recorded = Some(gains);
        self
    }

    /// Takes a flash in. The same number of random values is drawn for every flash.
    pub(super) fn flash(&mut self, seen: Seen) {
        let visual_gain = log_normal(&mut self.rng, 1.0, 0.2);
        let (spread, mean_recovery) = match self.recorded {
            None => (0.25, 1.0),
            Some(gains) => ((1.0 + gains.sd * gains.sd).ln().sqrt(), gains.recovery),
        };
        let endogenous_gain = log_normal(&mut self.rng, 1.0, spread);
        let jitter_s = self.brain.jitter_s * gauss(&mut self.rng);
        let attended = seen.attention * seen.foveation.sqrt() * endogenous_gain;
        let recovery = recovery(seen.onset_s - self.last_target_s);
        if seen.attention > 0.0 {
            self.last_target_s = seen.onset_s;
        }
        if self.running.len() == MAX_RUNNING {
            self.running.pop_front();
        }
        let slowing_s = 0.03 * seen.tiredness;
        let rested = recovery * (1.0 - 0.45 * seen.tiredness);
        // A log-normal gain of this median has the mean 1; the mean is what was recorded.
        let to_mean = (-0.5 * spread * spread).exp();
        self.running.push_back(Response {
            onset_s: seen.onset_s,
            seen: seen.foveation,
            attended: attended * to_mean * rested / mean_recovery,
            slowing_s,
            visual: self.brain.visual_uv * seen.foveation * visual_gain,
            n200: attended * self.brain.n200_uv,
            n200_at_s: self.brain.n200_at_s + 0.4 * jitter_s + slowing_s,
            p300: attended * self.brain.p300_uv * recovery * (1.0 - 0.45 * seen.tiredness),
            p300_at_s: (self.brain.p300_at_s + jitter_s + slowing_s).clamp(0.25, 0.6),
        });
    }

    /// A recorded person's responses that run at a time: since when, and the gains of what every flash and what a target
    /// evokes; the two run apart when the person is tired.
    pub(super) fn running(&self, t_s: f64) -> impl Iterator<Item = (f64, f64, f64)> {
        self.running.iter().flat_map(move |response| {
            let since_s = t_s - response.onset_s;
            [
                (since_s, response.seen, 0.0),
                (since_s - response.slowing_s, 0.0, response.attended),
            ]
        })
    }

    /// The sum of all responses at a time; forgets those that are over. Times must not go back.
    pub(super) fn at(&mut self, t_s: f64) -> Activity {
        while self
            .running
            .front()
            .is_some_and(|r| t_s - r.onset_s > LASTS_S)
        {
            self.running.pop_front();
        }
        let mut sum = Activity::default();
        for r in &self.running {
            let since_s = t_s - r.onset_s;
            if !(PERCEPTION_S..=LASTS_S).contains(&since_s) {
                continue;
            }
            sum.visual +=
                r.visual * (0.7 * bump(since_s, 0.105, 0.014) - bump(since_s, 0.165, 0.022));
            if r.p300 != 0.0 {
                sum.n200 -= r.n200 * bump(since_s, r.n200_at_s, 0.03);
                sum.p300 +=
                    r.p300 * (bump(since_s, r.p300_at_s, 0.06) - 0.25 * bump(since_s, 0.62, 0.08));
            }
        }
        sum
    }
}

fn bump(t_s: f64, peak_s: f64, sd_s: f64) -> f64 {
    (-0.5 * ((t_s - peak_s) / sd_s).powi(2)).exp()
}

#[cfg(test)]
mod tests {
    use super::super::noise::stream;
    use super::*;

    fn brain() -> BrainTraits {
        BrainTraits {
            visual_uv: 3.0,
            n200_uv: 4.0,
            n200_at_s: 0.22,
            p300_uv: 8.0,
            p300_at_s: 0.35,
            jitter_s: 0.02,
        }
    }

    fn seen(onset_s: f64, attention: f64) -> Seen {
        Seen {
            onset_s,
            foveation: 1.0,
            attention,
            tiredness: 0.0,
        }
    }

    fn peak_p300(onsets: &[f64], last: f64) -> f64 {
        let mut evoked = Evoked::new(brain(), stream(3, "evoked"));
        for &onset in onsets {
            evoked.flash(seen(onset, 1.0));
        }
        (0..500)
            .map(|ms| evoked.at(last + 0.25 + 0.001 * f64::from(ms)).p300)
            .fold(f64::MIN, f64::max)
    }

    #[test]
    fn only_the_attended_flash_evokes_a_p300() {
        let mut evoked = Evoked::new(brain(), stream(3, "evoked"));
        evoked.flash(seen(0.0, 0.0));
        for ms in 0..1000 {
            assert_eq!(evoked.at(0.001 * f64::from(ms)).p300, 0.0);
        }
        assert!(peak_p300(&[0.0], 0.0) > 3.0);
    }

    #[test]
    fn nothing_is_evoked_before_the_way_to_the_cortex_and_nothing_remains() {
        let mut evoked = Evoked::new(brain(), stream(3, "evoked"));
        evoked.flash(seen(1.0, 1.0));
        assert_eq!(evoked.at(1.0 + PERCEPTION_S - 1e-6), Activity::default());
        assert_ne!(evoked.at(1.2), Activity::default());
        assert_eq!(evoked.at(2.1), Activity::default());
    }

    #[test]
    fn a_target_right_after_a_target_evokes_less() {
        let alone = peak_p300(&[0.0, 10.0], 10.0);
        let soon = peak_p300(&[9.7, 10.0], 10.0);
        let rest = peak_p300(&[9.7], 10.0);
        assert!(soon - rest < 0.8 * alone, "{soon} {rest} {alone}");
    }

    #[test]
    fn a_tired_person_answers_less_and_later() {
        let peak = |tiredness| {
            let mut evoked = Evoked::new(brain(), stream(3, "evoked"));
            evoked.flash(Seen {
                tiredness,
                ..seen(0.0, 1.0)
            });
            (250..600)
                .map(|ms| (evoked.at(0.001 * f64::from(ms)).p300, ms))
                .max_by(|a, b| a.0.total_cmp(&b.0))
                .unwrap()
        };
        let (fresh, tired) = (peak(0.0), peak(0.8));
        assert!(
            tired.0 < 0.8 * fresh.0 && tired.1 > fresh.1,
            "{fresh:?} {tired:?}"
        );
    }

    #[test]
    fn a_storm_of_flashes_stays_bounded() {
        let mut evoked = Evoked::new(brain(), stream(3, "evoked"));
        for n in 0..10_000 {
            evoked.flash(seen(1e-5 * f64::from(n), 1.0));
        }
        assert!(evoked.running.len() <= MAX_RUNNING);
    }
}
