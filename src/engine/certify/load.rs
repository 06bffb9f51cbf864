//! What the driver of a certification sends: the streams, EEG noise, and the way of the eyes.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use crate::source::pins::Pins;
use crate::source::{Format, StreamSpec};

/// Length of the noise that is sent over and over, seconds.
const NOISE_S: f64 = 4.0;
/// Standard deviation of the EEG noise, microvolts, and its correlation from one sample to the next.
const NOISE_UV: f64 = 10.0;
const NOISE_CORRELATION: f64 = 0.9;
/// Standard deviation of the gaze noise, degrees.
const GAZE_NOISE_DEG: f64 = 0.05;
const SEED: u64 = 11;

/// Where gaze rests in turn, degrees from the centre: both places lie on the first tile of a fork of two or of three
/// branches on the default screen.
const REST_DEG: [(f64, f64); 2] = [(-17.0, -2.0), (-12.0, -2.0)];
/// How long it rests, and how long it takes from one place to the other, seconds.
const REST_S: f64 = 0.2;
const SACCADE_S: f64 = 0.03;

/// What the driver sends.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// EEG channels, 1..=512.
    pub eeg_channels: usize,
    /// EEG samples per second, 100..=50,000.
    pub eeg_rate_hz: f64,
    /// Gaze samples per second, 60..=5,000.
    pub gaze_rate_hz: f64,
}

impl Default for Load {
    /// 64 channels at 1 kHz, gaze at 500 Hz.
    fn default() -> Self {
        Self {
            eeg_channels: 64,
            eeg_rate_hz: 1_000.0,
            gaze_rate_hz: 500.0,
        }
    }
}

impl Load {
    /// The EEG stream.
    #[must_use]
    pub fn eeg(&self) -> StreamSpec {
        let labels = (1..=self.eeg_channels)
            .map(|channel| format!("E{channel}"))
            .collect();
        stream("EEG", self.eeg_rate_hz, labels, "microvolts")
    }

    /// The gaze stream: `x`, `y` in degrees from the centre.
    #[must_use]
    pub fn gaze(&self) -> StreamSpec {
        stream(
            "Gaze",
            self.gaze_rate_hz,
            vec!["x".into(), "y".into()],
            "degrees",
        )
    }

    /// Pins that find a stream of this driver.
    pub(super) fn pins(spec: &StreamSpec) -> Pins {
        Pins {
            name: Some(spec.name.clone()),
            source_id: Some(spec.source_id.clone()),
            ..Pins::default()
        }
    }
}

fn stream(kind: &str, rate_hz: f64, labels: Vec<String>, unit: &str) -> StreamSpec {
    StreamSpec {
        name: format!("RazvilkaCertify{kind}"),
        kind: kind.into(),
        source_id: format!("razvilka-certify-{}", kind.to_lowercase()),
        hostname: String::new(),
        uid: String::new(),
        rate_hz,
        format: Format::Float32,
        units: vec![unit.into(); labels.len()],
        labels,
        xml: String::new(),
    }
}

/// A few seconds of EEG noise, `[sample][channel]`, microvolts: an autoregression of order 1 in each channel.
pub(super) fn eeg_noise(load: &Load) -> Vec<f32> {
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let innovation_uv = NOISE_UV * (1.0 - NOISE_CORRELATION * NOISE_CORRELATION).sqrt();
    let mut row = vec![0.0; load.eeg_channels];
    let mut track = Vec::new();
    for _ in 0..(NOISE_S * load.eeg_rate_hz) as usize {
        for value in &mut row {
            let normal: f64 = StandardNormal.sample(&mut random);
            *value = NOISE_CORRELATION * *value + innovation_uv * normal;
            track.push(*value as f32);
        }
    }
    track
}

/// Gaze that rests at one place, then at the other, `[sample][x, y]`, degrees; a whole number of rounds.
pub(super) fn gaze_track(load: &Load) -> Vec<f32> {
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let round_s = 2.0 * (REST_S + SACCADE_S);
    let mut track = Vec::new();
    for sample in 0..(round_s * 8.0 * load.gaze_rate_hz) as usize {
        let (x_deg, y_deg) = gaze_at(sample as f64 / load.gaze_rate_hz % round_s);
        for centre in [x_deg, y_deg] {
            let normal: f64 = StandardNormal.sample(&mut random);
            track.push((centre + GAZE_NOISE_DEG * normal) as f32);
        }
    }
    track
}

/// Where gaze is, this long after the beginning of a round.
fn gaze_at(t_s: f64) -> (f64, f64) {
    let half_s = REST_S + SACCADE_S;
    let [from, to] = if t_s < half_s {
        REST_DEG
    } else {
        [REST_DEG[1], REST_DEG[0]]
    };
    let moving = ((t_s % half_s - REST_S) / SACCADE_S).clamp(0.0, 1.0);
    let share = 0.5 - 0.5 * (std::f64::consts::PI * moving).cos();
    (
        from.0 + share * (to.0 - from.0),
        from.1 + share * (to.1 - from.1),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ScreenSection;
    use crate::fork::{Branch, Fork, ForkId, ForkOrigin, options_of};
    use crate::view::layout;

    #[test]
    fn gaze_always_lies_on_the_first_tile_of_a_fork_of_two_or_three_branches() {
        for branches in 2..=3 {
            let branch = Branch {
                text: "a".into(),
                tokens: vec![1],
                prior: 0.3,
                log_prob_nats: -1.0,
            };
            let fork = Fork {
                id: ForkId(0),
                position: 0,
                context: String::new(),
                branches: vec![branch; branches],
                origin: ForkOrigin::Called,
            };
            let tiles = layout::tiles(
                &fork,
                &options_of(branches, false),
                &ScreenSection::default(),
            );
            for step in 0..1_000 {
                let (x, y) = gaze_at(f64::from(step) * 0.46e-3);
                let tile = &tiles[0];
                assert!(
                    (x - tile.x_deg).abs() < tile.w_deg / 2.0,
                    "{x} is not on {tile:?}"
                );
                assert!(
                    (y - tile.y_deg).abs() < tile.h_deg / 2.0,
                    "{y} is not on {tile:?}"
                );
            }
        }
    }

    #[test]
    fn a_round_of_gaze_ends_where_it_began() {
        let (begin, end) = (gaze_at(0.0), gaze_at(2.0 * (REST_S + SACCADE_S) - 1e-9));
        assert!((begin.0 - end.0).abs() < 1e-3 && (begin.1 - end.1).abs() < 1e-3);
        assert_eq!(gaze_at(REST_S + SACCADE_S), REST_DEG[1]);
    }

    #[test]
    fn the_noise_has_the_deviation_it_should() {
        let load = Load {
            eeg_channels: 4,
            ..Load::default()
        };
        let track = eeg_noise(&load);
        let mean_square =
            track.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / track.len() as f64;
        assert!(
            (mean_square.sqrt() / NOISE_UV - 1.0).abs() < 0.1,
            "{}",
            mean_square.sqrt()
        );
    }
}
