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
/// Standard deviation of the gaze noise, degrees, and how many rounds of gaze pass before it comes again.
const GAZE_NOISE_DEG: f64 = 0.05;
const NOISE_ROUNDS: usize = 32;
const SEED: u64 = 11;

/// Where gaze rests in turn, degrees from the centre: both places lie on the first tile of a fork of two or of three
/// branches on the default screen.
const REST_DEG: [(f64, f64); 2] = [(-17.0, -2.0), (-12.0, -2.0)];
/// How long it rests, and how long it takes from one place to the other, seconds. Eyes rest far longer; but a fork waits for
/// the next fixation, and this is the shortest that leaves time for the next call between two of them.
const REST_S: f64 = 0.036;
const SACCADE_S: f64 = 0.016;
/// Samples of a rest at least: a slow tracker needs longer to see a fixation.
const REST_SAMPLES_MIN: f64 = 8.0;

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
    let way = Way::at(load.gaze_rate_hz);
    let mut track = Vec::new();
    for sample in 0..(way.round() * NOISE_ROUNDS) {
        let (x_deg, y_deg) = way.gaze(sample);
        for centre in [x_deg, y_deg] {
            let normal: f64 = StandardNormal.sample(&mut random);
            track.push((centre + GAZE_NOISE_DEG * normal) as f32);
        }
    }
    track
}

/// The way of the eyes in samples: rest, saccade, rest at the other place, saccade back.
#[derive(Debug, Clone, Copy)]
struct Way {
    rest: usize,
    saccade: usize,
}

impl Way {
    fn at(rate_hz: f64) -> Self {
        Self {
            rest: (REST_S * rate_hz).max(REST_SAMPLES_MIN).round() as usize,
            saccade: (SACCADE_S * rate_hz).max(1.0).round() as usize,
        }
    }

    /// Samples of a whole round.
    fn round(self) -> usize {
        2 * (self.rest + self.saccade)
    }

    /// Where gaze is at a sample, degrees.
    fn gaze(self, sample: usize) -> (f64, f64) {
        let half = self.rest + self.saccade;
        let [from, to] = if sample % self.round() < half {
            REST_DEG
        } else {
            [REST_DEG[1], REST_DEG[0]]
        };
        let moved = (sample % half).saturating_sub(self.rest) as f64 / self.saccade as f64;
        let share = 0.5 - 0.5 * (std::f64::consts::PI * moved).cos();
        (
            from.0 + share * (to.0 - from.0),
            from.1 + share * (to.1 - from.1),
        )
    }
}

#[cfg(test)]
mod tests {
    use razvilka_dsp::units::LslTime;

    use super::super::{gate_settings, paths};
    use super::*;
    use crate::config::ScreenSection;
    use crate::engine::conduct::tiles_of;
    use crate::engine::question::priors;
    use crate::fork::{Branch, Fork, ForkId, ForkOrigin, options_of};
    use crate::gate::{Gate, Lease, Verdict};
    use crate::marker::OptionTile;
    use crate::pipeline::gaze::gaze_evidence;
    use crate::view::layout;

    fn fork(branches: usize) -> Fork {
        let branch = Branch {
            text: "a".into(),
            tokens: vec![1],
            prior: 0.3,
            log_prob_nats: -1.0,
        };
        Fork {
            id: ForkId(0),
            position: 0,
            context: String::new(),
            branches: vec![branch; branches],
            origin: ForkOrigin::Called,
        }
    }

    fn tiles(fork: &Fork) -> Vec<OptionTile> {
        let kinds = options_of(fork.branches.len(), false);
        layout::tiles(fork, &kinds, &ScreenSection::default())
    }

    #[test]
    fn gaze_always_lies_on_the_first_tile_of_a_fork_of_two_or_three_branches() {
        for branches in 2..=3 {
            let tiles = tiles(&fork(branches));
            let way = Way::at(2_000.0);
            for sample in 0..way.round() {
                let (x, y) = way.gaze(sample);
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
        let way = Way::at(500.0);
        assert_eq!(way.gaze(0), REST_DEG[0]);
        assert_eq!(way.gaze(way.round() / 2), REST_DEG[1]);
        assert_eq!(way.gaze(way.round()), REST_DEG[0]);
    }

    #[test]
    fn at_every_rate_the_first_whole_rest_decides_a_fork_for_the_first_tile() {
        let lease = Lease { epoch: 1 };
        for gaze_rate_hz in [60.0, 120.0, 250.0, 500.0, 1_000.0, 2_000.0] {
            let load = Load {
                gaze_rate_hz,
                ..Load::default()
            };
            let (way, track) = (Way::at(gaze_rate_hz), gaze_track(&load));
            let mut line = paths::gaze_line(gaze_rate_hz, &ScreenSection::default()).unwrap();
            let mut gate = Gate::new(gate_settings().unwrap());
            let mut opened = None;
            let mut decided = 0;
            for (sample, row) in track
                .chunks_exact(2)
                .cycle()
                .take(track.len() * 4)
                .enumerate()
            {
                let now = LslTime::new(sample as f64 / gaze_rate_hz).unwrap();
                let number = *opened.get_or_insert_with(|| {
                    let (id, fork) = (ForkId(decided), fork(2 + decided as usize % 2));
                    let kinds = options_of(fork.branches.len(), false);
                    gate.close();
                    gate.open(id, &kinds, &priors(&fork, &kinds), now, lease)
                        .unwrap();
                    line.put_up(tiles_of(id, &tiles(&fork), lease, now, 0.0), None);
                    sample
                });
                let Some(word) = line.sample(now.get(), row) else {
                    continue;
                };
                if let Verdict::Committed { option, .. } =
                    gate.evidence(&gaze_evidence(&word).unwrap(), now)
                {
                    assert_eq!(option, 0);
                    // At worst a rest had just begun: it passes, and the next one is seen to its end.
                    assert!(sample - number <= way.round(), "{gaze_rate_hz} Hz");
                    decided += 1;
                    opened = None;
                }
            }
            // One fork for two rests at least, the last one perhaps unfinished.
            assert!(
                decided >= 4 * NOISE_ROUNDS as u64 - 1,
                "{gaze_rate_hz} Hz: {decided}"
            );
        }
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
