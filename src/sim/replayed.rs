//! The amplifier on a recorded person: plays the background of a [`RealEeg`] and adds the responses to the flashes of now.
//!
//! It starts at a moment that the seed picks and plays the recording's stretches round and round. Where one ends, the next
//! fades in within a second, at equal power; electrode offsets are moved so that both meet at the same level, and come
//! back to the recorded ones too slowly for the band of the EEG.

use std::f64::consts::FRAC_PI_2;

use rand::RngExt;

use super::evoked::Evoked;
use super::noise::stream;
use super::real::{REAL_STRETCH_S_MIN, RealEeg};
use super::settings::SimSettings;

/// Length of a fade, seconds; a stretch has room for two and more.
const FADE_S: f64 = REAL_STRETCH_S_MIN / 4.0;
/// Offsets come back with this time constant, seconds.
const SETTLES_S: f64 = 30.0;

/// A place in the recording.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Place {
    stretch: usize,
    sample: usize,
}

/// A fade into the next stretch.
#[derive(Debug)]
struct Fade {
    to: Place,
    done: usize,
    /// Mean of each channel over the fade: in the stretch that ends, and in the one that begins.
    from_level: Vec<f64>,
    to_level: Vec<f64>,
}

/// The player.
#[derive(Debug)]
pub(super) struct Replayed {
    eeg: RealEeg,
    at: Place,
    fade: Option<Fade>,
    fade_samples: usize,
    /// What each channel is moved by.
    offset: Vec<f64>,
    offset_keep: f64,
    evoked: Vec<f64>,
}

impl Replayed {
    /// Builds the player; `settings` have been checked.
    pub(super) fn new(settings: &SimSettings, eeg: RealEeg) -> Self {
        let fade_samples = (FADE_S * eeg.rate_hz()) as usize;
        let mut rng = stream(settings.seed, "recording");
        // Anywhere but in the last second of a stretch, all moments alike.
        let room = |stretch: &std::ops::Range<usize>| stretch.len() - fade_samples;
        let all: usize = eeg.stretches.iter().map(room).sum();
        let mut skip = rng.random_range(0..all);
        let mut at = Place {
            stretch: 0,
            sample: 0,
        };
        for (number, stretch) in eeg.stretches.iter().enumerate() {
            if skip < room(stretch) {
                at = Place {
                    stretch: number,
                    sample: stretch.start + skip,
                };
                break;
            }
            skip -= room(stretch);
        }
        let channels = eeg.labels().len();
        Self {
            at,
            fade: None,
            fade_samples,
            offset: vec![0.0; channels],
            offset_keep: (-1.0 / (SETTLES_S * eeg.rate_hz())).exp(),
            evoked: vec![0.0; channels],
            eeg,
        }
    }

    /// The next sample, in the recording's own unit.
    pub(super) fn sample(&mut self, t_s: f64, evoked: &Evoked, out: &mut [f32]) {
        self.begin_fade();
        self.evoked.fill(0.0);
        for (since_s, flash, target) in evoked.running(t_s) {
            self.eeg.add(since_s, flash, target, &mut self.evoked);
        }
        let now = self.eeg.row(self.at.sample);
        let next = self.fade.as_ref().map(|fade| {
            let share = (fade.done as f64 + 0.5) / self.fade_samples as f64;
            (
                fade,
                self.eeg.row(fade.to.sample),
                (FRAC_PI_2 * share).sin_cos(),
            )
        });
        for (channel, out) in out.iter_mut().enumerate() {
            let value = |row: &[f32]| f64::from(row.get(channel).copied().unwrap_or(0.0));
            let of = |values: &[f64]| values.get(channel).copied().unwrap_or(0.0);
            let background = match &next {
                None => value(now),
                Some((fade, row, (rising, falling))) => {
                    let level = of(&fade.from_level);
                    level
                        + falling * (value(now) - level)
                        + rising * (value(row) - of(&fade.to_level))
                }
            };
            *out = (background + of(&self.offset) + of(&self.evoked)) as f32;
        }
        self.go_on();
    }

    /// In the last second of a stretch the next one begins to come in.
    fn begin_fade(&mut self) {
        let Some(stretch) = self.eeg.stretches.get(self.at.stretch) else {
            return;
        };
        if self.fade.is_some() || self.at.sample + self.fade_samples < stretch.end {
            return;
        }
        let number = (self.at.stretch + 1) % self.eeg.stretches.len();
        let to = Place {
            stretch: number,
            sample: self.eeg.stretches.get(number).map_or(0, |s| s.start),
        };
        self.fade = Some(Fade {
            from_level: self.level(self.at.sample),
            to_level: self.level(to.sample),
            to,
            done: 0,
        });
    }

    /// Mean of each channel over the length of a fade.
    fn level(&self, from: usize) -> Vec<f64> {
        let mut level = vec![0.0; self.offset.len()];
        for sample in from..from + self.fade_samples {
            for (level, value) in level.iter_mut().zip(self.eeg.row(sample)) {
                *level += f64::from(*value) / self.fade_samples as f64;
            }
        }
        level
    }

    fn go_on(&mut self) {
        for offset in &mut self.offset {
            *offset *= self.offset_keep;
        }
        self.at.sample += 1;
        let Some(fade) = &mut self.fade else { return };
        fade.done += 1;
        fade.to.sample += 1;
        if fade.done == self.fade_samples {
            let levels = fade.from_level.iter().zip(&fade.to_level);
            for (offset, (from, to)) in self.offset.iter_mut().zip(levels) {
                *offset += from - to;
            }
            self.at = fade.to;
            self.fade = None;
        }
    }
}
