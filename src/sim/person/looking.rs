//! Where the person's eyes go: reading, dwelling, wandering; latency, undershoot and correction.

use std::collections::VecDeque;

use rand::RngExt;

use crate::marker::OptionTile;

use super::super::agenda::Happening;
use super::super::evoked::PERCEPTION_S;
use super::super::eye::{Point, distance_deg};
use super::super::noise::{gauss, log_normal};
use super::super::reading::Fixation;
use super::{Person, Scene};

/// Most options the person looks at.
const MAX_OPTIONS_SEEN: usize = 64;
/// How far the eyes stray about a tile they stay on, standard deviation, degrees: assumed, about a word of it.
const DWELL_STRAY_DEG: [f64; 2] = [0.4, 0.3];
/// Part of the text that is read while nothing is asked: half its width, and its first line, degrees.
const TEXT_HALF_WIDTH_DEG: f64 = 9.0;
const TEXT_TOP_DEG: f64 = -10.0;
/// Lines of text, one degree apart.
const TEXT_LINES: u32 = 4;

/// What the eyes are doing.
#[derive(Debug, Clone)]
pub(super) enum Aim {
    /// Reading the growing text; the line and the place in it.
    Roam { line: u32, x_deg: f64 },
    /// Staying at a place, with small movements around it.
    Hold { at: Point, scatter: Point },
    /// Reading the options of a fork, before deciding.
    Read(VecDeque<Fixation>),
}

impl Aim {
    /// The first line of the text.
    pub(super) fn start() -> Self {
        Self::Roam {
            line: 0,
            x_deg: -TEXT_HALF_WIDTH_DEG,
        }
    }
}

impl Person {
    /// Takes in what stands on the screen. What has no sensible place is not seen.
    pub(super) fn look_over(&mut self, mut options: Vec<OptionTile>) {
        options.truncate(MAX_OPTIONS_SEEN);
        options.retain(|o| {
            [o.x_deg, o.y_deg, o.w_deg, o.h_deg]
                .iter()
                .all(|v| v.is_finite() && v.abs() < 180.0)
        });
        self.tiles = options;
    }

    /// Turns to something new after this person's latency.
    pub(super) fn turn_to(&mut self, t_s: f64, aim: Aim, scene: &mut Scene<'_>) {
        self.turn += 1;
        self.next_aim = Some(aim);
        let slowing = 1.0 + 0.3 * self.tiredness.at(t_s);
        let latency_s = log_normal(&mut self.rng, self.traits.saccade_latency_s * slowing, 0.18);
        let left_s = (latency_s.clamp(0.1, 0.8) - PERCEPTION_S).max(0.0);
        scene
            .agenda
            .enter(t_s + left_s, Happening::Reacts(self.turn));
    }

    /// The latency is over: the eyes go, as soon as a saccade under way has landed.
    pub(super) fn react(&mut self, t_s: f64, scene: &mut Scene<'_>) {
        let lands_s = scene.eye.lands_s();
        if lands_s > t_s {
            scene
                .agenda
                .enter(lands_s + 0.02, Happening::Reacts(self.turn));
            return;
        }
        if let Some(aim) = self.next_aim.take() {
            self.aim = aim;
            self.next_fixation(t_s, scene);
        }
    }

    /// Moves the eyes to the next place of the present aim.
    pub(super) fn next_fixation(&mut self, t_s: f64, scene: &mut Scene<'_>) {
        let lands_s = scene.eye.lands_s();
        if lands_s > t_s {
            scene
                .agenda
                .enter(lands_s + 0.05, Happening::FixationEnds(self.fixation));
            return;
        }
        self.fixation += 1;
        let reads = matches!(self.aim, Aim::Read(_));
        let (next, last_of_fork) = self.aim_at();
        let from = scene.eye.at(t_s);
        let amplitude = distance_deg(from, next.at);
        let gain = (0.94 + 0.035 * gauss(&mut self.rng)).clamp(0.82, 1.03);
        let gain = if amplitude > 1.0 { gain } else { 1.0 };
        let stray = 0.02 * amplitude;
        let landing: Point = std::array::from_fn(|k| {
            from[k] + gain * (next.at[k] - from[k]) + stray * gauss(&mut self.rng)
        });
        let vigour = self.vigour(t_s);
        let lands_s = scene.eye.look(landing, t_s, vigour);
        let correction_s = log_normal(&mut self.rng, 0.14, 0.2);
        if distance_deg(landing, next.at) > 0.5 && correction_s < next.for_s {
            scene.agenda.enter(
                lands_s + correction_s,
                Happening::Corrects(self.fixation, next.at),
            );
        }
        let ends_s = lands_s + next.for_s;
        scene
            .agenda
            .enter(ends_s, Happening::FixationEnds(self.fixation));
        if reads {
            self.follow_reading(next.at, t_s, last_of_fork.then_some(ends_s), scene);
        }
        if last_of_fork {
            let slowing = 1.0 + 0.4 * self.tiredness.at(t_s);
            let decision_s = log_normal(&mut self.rng, self.traits.decision_s * slowing, 0.3);
            scene
                .agenda
                .enter(ends_s + decision_s, Happening::Decides(self.turn));
        }
    }

    /// The eyes go on to `at` while they read: an option that they leave has been read, and so has the last one when its last word ends.
    fn follow_reading(&mut self, at: Point, t_s: f64, ends_s: Option<f64>, scene: &mut Scene<'_>) {
        let within = |tile: &&OptionTile| {
            (at[0] - tile.x_deg).abs() <= 0.5 * tile.w_deg.abs()
                && (at[1] - tile.y_deg).abs() <= 0.5 * tile.h_deg.abs()
        };
        let on = self.tiles.iter().find(within).map(|tile| tile.item);
        if self.reading != on {
            self.has_read(t_s, scene);
        }
        self.reading = on;
        if let Some(ends_s) = ends_s {
            self.has_read(ends_s, scene);
        }
    }

    fn has_read(&mut self, t_s: f64, scene: &mut Scene<'_>) {
        let Some(item) = self.reading.take() else {
            return;
        };
        let wanted = self
            .told
            .or(self.asked.as_ref().map(|asked| asked.choice.item));
        let is_wanted = wanted == Some(item) && !self.recognised;
        self.recognised |= is_wanted;
        scene.pupil.reads(t_s, is_wanted);
    }

    /// Where the eyes go next and for how long, and whether this was the last word before deciding.
    fn aim_at(&mut self) -> (Fixation, bool) {
        let rng = &mut self.rng;
        let wander = rng.random::<f64>();
        if self.lapsing && wander < 0.6 {
            let at = [10.0 * gauss(rng), 6.0 * gauss(rng)].map(|v| v.clamp(-18.0, 18.0));
            let for_s = log_normal(rng, 0.4, 0.3);
            return (Fixation { at, for_s }, false);
        }
        match &mut self.aim {
            Aim::Hold { at, scatter } => {
                let glance = rng.random_range(0..self.tiles.len().max(1));
                if self.asked.is_some()
                    && wander < 0.03
                    && let Some(tile) = self.tiles.get(glance)
                {
                    let for_s = log_normal(rng, 0.2, 0.2);
                    let at = [tile.x_deg, tile.y_deg];
                    return (Fixation { at, for_s }, false);
                }
                let at = std::array::from_fn(|k| at[k] + scatter[k] * gauss(rng));
                let for_s = log_normal(rng, 0.4, 0.35).clamp(0.12, 1.5);
                (Fixation { at, for_s }, false)
            }
            Aim::Roam { line, x_deg } => {
                *x_deg += 2.2 + 0.6 * gauss(rng);
                if *x_deg > TEXT_HALF_WIDTH_DEG {
                    *x_deg = -TEXT_HALF_WIDTH_DEG;
                    *line = (*line + 1) % TEXT_LINES;
                }
                let at = [*x_deg, TEXT_TOP_DEG + f64::from(*line) + 0.15 * gauss(rng)];
                let for_s = log_normal(rng, self.traits.fixation_s, 0.3).clamp(0.08, 0.8);
                (Fixation { at, for_s }, false)
            }
            Aim::Read(plan) => {
                let next = plan.pop_front().unwrap_or(Fixation {
                    at: [0.0; 2],
                    for_s: self.traits.fixation_s,
                });
                let last = plan.is_empty();
                if last {
                    self.aim = hold(next.at, [0.25, 0.1]);
                }
                (next, last)
            }
        }
    }

    /// Staying on an option that is on the screen.
    pub(super) fn dwell_on(&self, item: i32) -> Option<Aim> {
        let tile = self.tiles.iter().find(|tile| tile.item == item)?;
        Some(hold(
            [tile.x_deg, tile.y_deg],
            [
                (0.1 * tile.w_deg.abs()).clamp(0.12, DWELL_STRAY_DEG[0]),
                (0.1 * tile.h_deg.abs()).clamp(0.12, DWELL_STRAY_DEG[1]),
            ],
        ))
    }

    pub(super) fn roam(&self) -> Aim {
        Aim::Roam {
            line: (self.forks_seen % u64::from(TEXT_LINES)) as u32,
            x_deg: -TEXT_HALF_WIDTH_DEG,
        }
    }

    /// Peak velocity of the next saccade relative to the main sequence. Tired eyes are slower.
    pub(super) fn vigour(&mut self, t_s: f64) -> f64 {
        let tired = 1.0 - 0.12 * self.tiredness.at(t_s);
        self.traits.saccade_vigour * tired * log_normal(&mut self.rng, 1.0, 0.05)
    }
}

/// Staying at a point. One that cannot be looked at is looked for in the middle.
pub(super) fn hold(at: Point, scatter: Point) -> Aim {
    let at = at.map(|v| {
        if v.is_finite() {
            v.clamp(-80.0, 80.0)
        } else {
            0.0
        }
    });
    Aim::Hold { at, scatter }
}
