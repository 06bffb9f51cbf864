//! The simulated amplifier: what reaches the converter from brain, eyes, muscles, skin and mains.
//!
//! Each channel is the sum of: 1/f background from sources spread over the head and from the channel itself; posterior
//! alpha that waxes and wanes and grows with tiredness; responses to flashes; the eyes' potentials (blinks, position);
//! mains hum; muscle bursts; electrode offset, drift and pops; white noise. Microvolts throughout.

use std::f64::consts::{PI, TAU};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::evoked::Activity;
use super::montage::{direction, electrode, topography};
use super::noise::{Drift, Pink, Rhythm, gauss, log_normal, stream};
use super::settings::SimSettings;
use super::traits::CapTraits;

/// Sources of the background.
const SOURCES: usize = 12;
/// Share of the background's variance that channels have in common.
const SHARED: f64 = 0.85;
/// Standard deviation of an electrode's drift, microvolts.
const DRIFT_UV: f64 = 200.0;
/// Its correlation time, seconds.
const DRIFT_TAU_S: f64 = 60.0;
/// It follows with this lag, seconds, so that it is smooth: next to nothing of it lies in the band of the EEG.
const DRIFT_LAG_S: f64 = 8.0;
/// Eye-position potential, microvolts per degree right above the eyes.
const EYE_UV_PER_DEG: f64 = 6.0;

/// What acts on the amplifier at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Acting {
    /// Seconds since the start.
    pub(super) t_s: f64,
    /// Where the eyes point, degrees.
    pub(super) gaze_deg: [f64; 2],
    /// How far the lids are closed, 0 to 1.
    pub(super) closure: f64,
    /// What flashes evoked.
    pub(super) evoked: Activity,
    /// 0 to 1.
    pub(super) tiredness: f64,
}

/// How one channel sees everything.
#[derive(Debug)]
struct Channel {
    sources: [f64; SOURCES],
    own: Pink,
    own_uv: f64,
    alpha: [f64; 2],
    visual: f64,
    n200: f64,
    p300: f64,
    blink: f64,
    eyes: [f64; 2],
    muscle: [f64; 2],
    hum_uv: f64,
    hum_phase: f64,
    offset_uv: f64,
    drift_towards: Drift,
    drift_uv: f64,
    pop_uv: f64,
}

/// A muscle burst that runs now.
#[derive(Debug, Clone, Copy)]
struct Burst {
    start_s: f64,
    length_s: f64,
    uv: f64,
    side: usize,
}

/// The amplifier with its cap on the person's head.
#[derive(Debug)]
pub(super) struct Amplifier {
    cap: CapTraits,
    step_s: f64,
    mains_hz: f64,
    rng: ChaCha8Rng,
    channels: Vec<Channel>,
    background: Vec<Pink>,
    alpha: [Rhythm; 3],
    alpha_envelope: Drift,
    hum_envelope: Drift,
    hum_wander: Drift,
    hum_phase: f64,
    third_harmonic: f64,
    burst: Option<Burst>,
    muscle_low_pass: f64,
    pop_keep: f64,
}

impl Amplifier {
    /// Builds the amplifier; `settings` have been checked.
    pub(super) fn new(settings: &SimSettings, cap: CapTraits) -> Self {
        let mut rng = stream(settings.seed, "amplifier");
        let step_s = 1.0 / settings.eeg_rate_hz;
        let places: Vec<_> = settings
            .channels
            .iter()
            .filter_map(|label| electrode(label))
            .collect();
        let spread =
            |inclination, azimuth, sd| topography(&places, direction(inclination, azimuth), sd);
        let sources: Vec<Vec<f64>> = (0..SOURCES)
            .map(|k| {
                // A spiral of equal areas from the vertex down to 100 degrees.
                let height = 1.0 - 1.17 * (k as f64 + 0.5) / SOURCES as f64;
                spread(height.acos().to_degrees(), 137.507_764 * k as f64, 40.0)
            })
            .collect();
        let alpha = [spread(62.0, -155.0, 38.0), spread(62.0, 155.0, 38.0)];
        let visual = spread(72.0, 180.0, 32.0);
        let n200 = [spread(72.0, -144.0, 28.0), spread(72.0, 144.0, 28.0)];
        let p300 = spread(30.0, 180.0, 36.0);
        let blink = spread(78.0, 0.0, 42.0);
        let temples = [spread(85.0, -55.0, 38.0), spread(85.0, 55.0, 38.0)];
        let muscle = [spread(85.0, -95.0, 42.0), spread(85.0, 95.0, 42.0)];
        let channels = (0..places.len())
            .map(|c| {
                let raw: [f64; SOURCES] = std::array::from_fn(|k| sources[k][c]);
                let norm = raw.iter().map(|w| w * w).sum::<f64>().sqrt().max(1e-9);
                Channel {
                    sources: raw.map(|w| w / norm * SHARED.sqrt() * cap.background_uv),
                    own: Pink::new(step_s, &mut rng),
                    own_uv: (1.0 - SHARED).sqrt() * cap.background_uv,
                    alpha: [alpha[0][c], alpha[1][c]],
                    visual: visual[c],
                    n200: n200[0][c].max(n200[1][c]),
                    p300: p300[c],
                    blink: blink[c],
                    eyes: [temples[1][c] - temples[0][c], -blink[c]],
                    muscle: [muscle[0][c], muscle[1][c]],
                    hum_uv: cap.hum_uv * log_normal(&mut rng, 1.0, 0.4),
                    hum_phase: 0.4 * gauss(&mut rng),
                    offset_uv: 1e3 * cap.offset_mv * rng.random_range(-1.0..1.0),
                    drift_towards: Drift::new(DRIFT_UV, DRIFT_TAU_S, step_s, &mut rng),
                    drift_uv: 0.0,
                    pop_uv: 0.0,
                }
            })
            .collect();
        Self {
            cap,
            step_s,
            mains_hz: settings.mains_hz,
            channels,
            background: (0..SOURCES).map(|_| Pink::new(step_s, &mut rng)).collect(),
            alpha: std::array::from_fn(|_| Rhythm::new(cap.alpha_hz, 1.2, step_s, &mut rng)),
            alpha_envelope: Drift::new(0.5, 4.0, step_s, &mut rng),
            hum_envelope: Drift::new(0.3, 20.0, step_s, &mut rng),
            hum_wander: Drift::new(0.02, 10.0, step_s, &mut rng),
            hum_phase: 0.0,
            // Above half the rate an amplifier's anti-alias filter takes it out.
            third_harmonic: if 3.0 * settings.mains_hz < 0.45 * settings.eeg_rate_hz {
                0.15
            } else {
                0.0
            },
            burst: None,
            muscle_low_pass: 0.0,
            pop_keep: (-step_s / 0.6).exp(),
            rng,
        }
    }

    /// The next sample, one value per channel, microvolts.
    pub(super) fn sample(&mut self, acting: &Acting, out: &mut [f32]) {
        let rng = &mut self.rng;
        let mut background = [0.0; SOURCES];
        for (value, pink) in background.iter_mut().zip(&mut self.background) {
            *value = pink.step(rng);
        }
        let alpha_uv = self.cap.alpha_uv
            * self.alpha_envelope.step(rng).exp()
            * (1.0 + 0.8 * acting.tiredness + 0.5 * acting.closure);
        let [both, left, right] = &mut self.alpha;
        let both = 0.8 * both.step(rng);
        let alpha = [
            alpha_uv * (both + 0.6 * left.step(rng)),
            alpha_uv * (both + 0.6 * right.step(rng)),
        ];
        let hum_gain = self.hum_envelope.step(rng).exp();
        let hum_hz = self.mains_hz + self.hum_wander.step(rng);
        self.hum_phase = (self.hum_phase + TAU * hum_hz * self.step_s) % TAU;
        self.start_artefacts(acting.t_s);
        let muscle = self.muscle(acting.t_s);
        let rng = &mut self.rng;
        let blink_uv = self.cap.blink_uv * acting.closure;
        for (channel, out) in self.channels.iter_mut().zip(out) {
            let mut uv: f64 = channel
                .sources
                .iter()
                .zip(&background)
                .map(|(weight, source)| weight * source)
                .sum();
            uv += channel.own_uv * channel.own.step(rng);
            // The midline sees both sides at once, nearly in phase: 0.6 keeps it at the size of one.
            uv += 0.6 * (channel.alpha[0] * alpha[0] + channel.alpha[1] * alpha[1]);
            uv += channel.visual * acting.evoked.visual
                + channel.n200 * acting.evoked.n200
                + channel.p300 * acting.evoked.p300;
            uv += channel.blink * blink_uv
                + EYE_UV_PER_DEG
                    * (channel.eyes[0] * acting.gaze_deg[0]
                        + 0.4 * channel.eyes[1] * acting.gaze_deg[1]);
            let phase = self.hum_phase + channel.hum_phase;
            uv += channel.hum_uv
                * hum_gain
                * (phase.sin() + self.third_harmonic * (3.0 * phase).sin());
            uv += channel.muscle[muscle.0] * muscle.1;
            channel.pop_uv *= self.pop_keep;
            channel.drift_uv +=
                (channel.drift_towards.step(rng) - channel.drift_uv) * self.step_s / DRIFT_LAG_S;
            uv += channel.offset_uv + channel.drift_uv + channel.pop_uv;
            uv += self.cap.white_uv * gauss(rng);
            *out = uv as f32;
        }
    }

    /// Rare things begin by chance, at the same chance per second whatever the rate.
    fn start_artefacts(&mut self, t_s: f64) {
        let minutes = self.step_s / 60.0;
        if self.rng.random::<f64>() < self.cap.bursts_per_min * minutes && self.burst.is_none() {
            self.burst = Some(Burst {
                start_s: t_s,
                length_s: self.rng.random_range(0.3..1.5),
                uv: log_normal(&mut self.rng, 12.0, 0.4),
                side: usize::from(self.rng.random_bool(0.5)),
            });
        }
        let pops = self.cap.pops_per_min * minutes * self.channels.len() as f64;
        if self.rng.random::<f64>() < pops {
            let which = self.rng.random_range(0..self.channels.len());
            let size_uv = log_normal(&mut self.rng, 120.0, 0.5);
            let sign = if self.rng.random_bool(0.5) { 1.0 } else { -1.0 };
            self.channels[which].pop_uv += sign * size_uv;
        }
    }

    /// Side and value of muscle noise: white noise above 20 Hz under a smooth envelope.
    fn muscle(&mut self, t_s: f64) -> (usize, f64) {
        let white = gauss(&mut self.rng);
        let keep = (-TAU * 20.0 * self.step_s).exp();
        self.muscle_low_pass = keep * self.muscle_low_pass + (1.0 - keep) * white;
        let Some(burst) = self.burst else {
            return (0, 0.0);
        };
        let done = (t_s - burst.start_s) / burst.length_s;
        if done >= 1.0 {
            self.burst = None;
            return (0, 0.0);
        }
        let envelope = (PI * done).sin().powi(2);
        (
            burst.side,
            burst.uv * envelope * (white - self.muscle_low_pass),
        )
    }
}
