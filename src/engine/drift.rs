//! A tracker that drifts, followed by confirmed choices: who chose a tile by looking at it looked at its text, so what is left between
//! the two is the tracker's.
//!
//! Pure, and the same live and in replay: the same looks and the same confirmed choices move the shift to the same bits. A choice is
//! confirmed as for the scorer ([`super::adapting`]): the person has chosen on from it. Beware of what confirms itself: a tile that was
//! chosen only because the tracker is off would pull the shift further off. So only looks on the tile or beside it count; the shift
//! goes to the median of the latest choices, which one in five that were wrong do not move; along a wide text, where the eyes may be
//! anywhere, it goes less; and each step and the whole are bounded.

use std::collections::VecDeque;

use razvilka_calibration::GazeErrorModel;
use serde::{Deserialize, Serialize};

use crate::config::AdaptationSection;
use crate::fork::ForkId;
use crate::marker::OptionTile;
use crate::pipeline::gaze::Look;

/// Looks count that begin at most this long before the decision, seconds: before that, people read.
const BEFORE_S: f64 = 2.5;
/// Shortest look that counts, seconds.
const LOOK_MIN_S: f64 = 0.12;
/// How far beside a tile a look may lie, degrees.
const BESIDE_DEG: f64 = 1.5;
/// Confirmed choices whose median counts.
const MEMORY: usize = 21;
/// Fewest of them before anything moves.
const CHOICES_MIN: usize = 8;
/// How far trackers usually drift: standard deviation, degrees. Against it the scatter of looks is weighed.
const DRIFT_SD_DEG: f64 = 0.6;
/// Width of a letter and height of a line, degrees, as the participant window sets them.
const LETTER_DEG: f64 = 0.4;
const LINE_DEG: f64 = 1.0;
/// Variance of a median over that of a mean, of Gaussian values.
const MEDIAN_VARIANCE: f64 = std::f64::consts::FRAC_PI_2;
/// Looks of forks that are not confirmed yet.
const LOOKS_MAX: usize = 512;
/// Confirmed choices that can wait for the next opening.
const WAITING_MAX: usize = 8;

/// A confirmed choice: the tile, and the looks at it.
#[derive(Debug, Clone, PartialEq)]
pub struct Confirmed {
    /// The question.
    pub fork: ForkId,
    /// The tile chosen.
    pub tile: OptionTile,
    /// Numbers of the looks that count.
    pub looks: Vec<u64>,
}

/// A choice that may yet be taken back.
#[derive(Debug, Clone, PartialEq)]
struct Chosen {
    fork: ForkId,
    tile: OptionTile,
    decided_s: f64,
}

/// What one confirmed choice said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GazeLesson {
    /// The question.
    pub fork: ForkId,
    /// The item chosen.
    pub chosen: i32,
    /// Numbers of the looks that counted.
    pub looks: Vec<u64>,
    /// From where they lay, without a shift, to the middle of the text, degrees; absent when there was none on the tile or beside it.
    pub offset_deg: Option<(f64, f64)>,
}

/// One step, as its event tells it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GazeStep {
    /// The fork at whose opening it was, and from which on the shift counts.
    pub fork: ForkId,
    /// How many of the latest lessons before are taken back first, as their choices were.
    #[serde(default, skip_serializing_if = "is_none")]
    pub taken_back: u32,
    /// What was learnt, in this order.
    pub lessons: Vec<GazeLesson>,
    /// What is added to gaze from now on, degrees.
    pub shift_deg: (f64, f64),
    /// Whether its bound is reached.
    pub bound_reached: bool,
}

/// The event's detail: beside those of the scorer, told apart by its key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GazeStepDetail {
    /// The step.
    pub gaze: GazeStep,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_none(count: &u32) -> bool {
    *count == 0
}

impl GazeStep {
    /// As the ledger keeps it.
    #[must_use]
    pub fn detail(&self) -> String {
        let detail = GazeStepDetail { gaze: self.clone() };
        serde_json::to_string(&detail).unwrap_or_default()
    }

    /// From the ledger; `None` when it is no step of the gaze.
    #[must_use]
    pub fn of_detail(detail: &str) -> Option<Self> {
        serde_json::from_str::<GazeStepDetail>(detail)
            .ok()
            .map(|detail| detail.gaze)
    }

    /// What was learnt, for people.
    #[must_use]
    pub fn in_words(&self) -> String {
        let mut said: Vec<String> = self
            .lessons
            .iter()
            .map(|lesson| match lesson.offset_deg {
                Some((x, y)) => format!(
                    "fork {}: text lay {x:+.2}, {y:+.2} deg from {} looks",
                    lesson.fork.0,
                    lesson.looks.len()
                ),
                None => format!("fork {}: no look on the tile", lesson.fork.0),
            })
            .collect();
        if self.taken_back > 0 {
            said.insert(0, format!("{} of the latest taken back", self.taken_back));
        }
        let (x, y) = self.shift_deg;
        let bound = if self.bound_reached {
            ", the bound is reached: calibrate again"
        } else {
            ""
        };
        said.push(format!("gaze is moved by {x:+.2}, {y:+.2} deg{bound}"));
        said.join("; ")
    }
}

/// An offset, and how much it may be chance, per axis.
#[derive(Debug, Clone, Copy)]
struct Said {
    offset_deg: (f64, f64),
    variance_deg2: (f64, f64),
}

/// The shift, and what it rests on.
#[derive(Debug, Clone)]
pub struct GazeDrift {
    step_deg: f64,
    bound_deg: f64,
    error_deg: (f64, f64),
    shift_deg: (f64, f64),
    said: VecDeque<Said>,
    looks: VecDeque<Look>,
    latest: Option<Chosen>,
    waiting: VecDeque<Chosen>,
    /// Of the latest lessons, whether each said anything: what can be taken back.
    learnt: VecDeque<bool>,
    /// Lessons to be taken back at the next step.
    undone: u32,
}

impl GazeDrift {
    /// No shift yet; `None` when none is wanted.
    #[must_use]
    pub fn new(settings: &AdaptationSection, error: Option<&GazeErrorModel>) -> Option<Self> {
        if !settings.on || settings.gaze_shift_max_deg == 0.0 {
            return None;
        }
        Some(Self {
            step_deg: settings.gaze_step_deg,
            bound_deg: settings.gaze_shift_max_deg,
            error_deg: error.map_or((1.0, 1.0), |error| (error.sd_x_deg, error.sd_y_deg)),
            shift_deg: (0.0, 0.0),
            said: VecDeque::with_capacity(MEMORY + 1),
            looks: VecDeque::with_capacity(LOOKS_MAX + 1),
            latest: None,
            waiting: VecDeque::new(),
            learnt: VecDeque::with_capacity(MEMORY + 1),
            undone: 0,
        })
    }

    /// What is added to gaze, degrees.
    #[must_use]
    pub fn shift_deg(&self) -> (f64, f64) {
        self.shift_deg
    }

    /// A look came in.
    pub fn hear(&mut self, look: Look) {
        self.looks.push_back(look);
        while self.looks.len() > LOOKS_MAX {
            self.looks.pop_front();
        }
    }

    /// The person chose this tile at `decided_s` on our clock: the choice before it is confirmed.
    pub fn answered(&mut self, fork: ForkId, tile: OptionTile, decided_s: f64) {
        let chosen = Chosen {
            fork,
            tile,
            decided_s,
        };
        if let Some(before) = self.latest.replace(chosen) {
            while self.waiting.len() >= WAITING_MAX {
                self.waiting.pop_front();
            }
            self.waiting.push_back(before);
        }
    }

    /// The latest choice was taken back, or may have been: it teaches nothing. Once more, and the choice before it was: what was learnt of
    /// it is taken back with the next step.
    pub fn taken_back(&mut self) {
        if self.latest.take().is_some() || self.waiting.pop_back().is_some() {
            return;
        }
        if (self.undone as usize) < self.learnt.len() {
            self.undone += 1;
        }
    }

    /// How many lessons the next step takes back; in a replay as recorded.
    pub fn take_back(&mut self, lessons: u32) {
        self.undone = lessons;
    }

    /// Choices that were confirmed since the last time this was asked, with the looks that count. Those that decided have ended by
    /// now: another fork has been answered since.
    pub fn confirmed(&mut self) -> Vec<Confirmed> {
        let waiting = std::mem::take(&mut self.waiting);
        waiting
            .into_iter()
            .map(|chosen| {
                let looks = self.looks.iter().filter(|look| self.counts(look, &chosen));
                Confirmed {
                    fork: chosen.fork,
                    looks: looks.map(|look| look.number).collect(),
                    tile: chosen.tile,
                }
            })
            .collect()
    }

    /// Whether a look is one at the chosen tile, near its decision.
    fn counts(&self, look: &Look, chosen: &Chosen) -> bool {
        let before_s = chosen.decided_s - look.onset_s;
        let tile = &chosen.tile;
        let beside = |at: f64, shift: f64, centre: f64, size: f64| {
            (at + shift - centre).abs() <= size / 2.0 + BESIDE_DEG
        };
        look.fork == chosen.fork
            && (0.0..=BEFORE_S).contains(&before_s)
            && look.dwell_s >= LOOK_MIN_S
            && beside(look.x_deg, self.shift_deg.0, tile.x_deg, tile.w_deg)
            && beside(look.y_deg, self.shift_deg.1, tile.y_deg, tile.h_deg)
    }

    /// Takes back what is to be ([`Self::taken_back`]), learns from confirmed choices, in their order, and moves the shift by one step at most; `None` when there was nothing to learn
    /// from.
    pub fn step(&mut self, fork: ForkId, confirmed: &[Confirmed]) -> Option<GazeStep> {
        let taken_back = std::mem::take(&mut self.undone);
        if confirmed.is_empty() && taken_back == 0 {
            return None;
        }
        for _ in 0..taken_back {
            if self.learnt.pop_back() == Some(true) {
                self.said.pop_back();
            }
        }
        let lessons = confirmed.iter().map(|choice| self.learn(choice)).collect();
        self.follow();
        let (x, y) = self.shift_deg;
        Some(GazeStep {
            fork,
            taken_back,
            lessons,
            shift_deg: self.shift_deg,
            bound_reached: x.hypot(y) >= self.bound_deg - 1e-9,
        })
    }

    fn learn(&mut self, choice: &Confirmed) -> GazeLesson {
        let looks = self.looks.iter();
        let looked = looks
            .filter(|look| look.fork == choice.fork && choice.looks.contains(&look.number))
            .fold((0.0, 0.0, 0.0), |(s, x, y), look| {
                let t = look.dwell_s;
                (s + t, x + t * look.x_deg, y + t * look.y_deg)
            });
        // What is left of this fork and of those before it will not be confirmed any more.
        self.looks.retain(|look| look.fork > choice.fork);
        let (dwell_s, x, y) = looked;
        let offset_deg = (dwell_s > 0.0).then(|| {
            (
                choice.tile.x_deg - x / dwell_s,
                choice.tile.y_deg - y / dwell_s,
            )
        });
        self.learnt.push_back(offset_deg.is_some());
        if self.learnt.len() > MEMORY {
            self.learnt.pop_front();
        }
        if let Some(offset_deg) = offset_deg {
            self.said.push_back(Said {
                offset_deg,
                variance_deg2: self.variance(&choice.tile),
            });
            if self.said.len() > MEMORY {
                self.said.pop_front();
            }
        }
        GazeLesson {
            fork: choice.fork,
            chosen: choice.tile.item,
            looks: choice.looks.clone(),
            offset_deg,
        }
    }

    /// How much the offset of one choice may be chance: the eyes may be anywhere in the text, and a calibration leaves its error.
    fn variance(&self, tile: &OptionTile) -> (f64, f64) {
        let text_deg = LETTER_DEG * tile.text.chars().count() as f64;
        let lines = (text_deg / tile.w_deg.max(1.0)).ceil().max(1.0);
        let uniform = |extent_deg: f64| extent_deg * extent_deg / 12.0;
        (
            uniform(text_deg.min(tile.w_deg)) + self.error_deg.0.powi(2),
            uniform((LINE_DEG * lines).min(tile.h_deg)) + self.error_deg.1.powi(2),
        )
    }

    /// Goes towards the median of the latest choices, by as much of it as they can vouch for.
    fn follow(&mut self) {
        if self.said.len() < CHOICES_MIN {
            return;
        }
        let axis = |of: fn(&Said) -> (f64, f64)| {
            let n = self.said.len() as f64;
            let mut offsets: Vec<f64> = self.said.iter().map(|said| of(said).0).collect();
            offsets.sort_by(f64::total_cmp);
            let half = offsets.len() / 2;
            let median = if offsets.len() % 2 == 1 {
                offsets[half]
            } else {
                0.5 * (offsets[half - 1] + offsets[half])
            };
            let chance = self.said.iter().map(|said| of(said).1).sum::<f64>() / n;
            let drift = n * DRIFT_SD_DEG * DRIFT_SD_DEG;
            median * drift / (drift + MEDIAN_VARIANCE * chance)
        };
        let wanted = within(
            (
                axis(|said| (said.offset_deg.0, said.variance_deg2.0)),
                axis(|said| (said.offset_deg.1, said.variance_deg2.1)),
            ),
            self.bound_deg,
        );
        let (x, y) = self.shift_deg;
        let step = within((wanted.0 - x, wanted.1 - y), self.step_deg);
        self.shift_deg = within((x + step.0, y + step.1), self.bound_deg);
    }
}

/// The same direction, no longer than this.
fn within((x, y): (f64, f64), most: f64) -> (f64, f64) {
    let length = x.hypot(y);
    if length <= most {
        (x, y)
    } else {
        (x * most / length, y * most / length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::marker::OptionKind;

    /// Random numbers from a fixed sequence.
    struct Random(u64);

    impl Random {
        fn uniform(&mut self) -> f64 {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 11) as f64 / (1_u64 << 53) as f64
        }

        fn within(&mut self, half: f64) -> f64 {
            half * (2.0 * self.uniform() - 1.0)
        }

        fn gauss(&mut self) -> f64 {
            (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
        }
    }

    fn settings(most_deg: f64) -> AdaptationSection {
        AdaptationSection {
            gaze_shift_max_deg: most_deg,
            gaze_step_deg: 0.15,
            ..AdaptationSection::default()
        }
    }

    fn error() -> GazeErrorModel {
        GazeErrorModel {
            sd_x_deg: 0.5,
            sd_y_deg: 0.5,
            outlier_share: 0.01,
        }
    }

    fn tile(item: i32) -> OptionTile {
        OptionTile {
            item,
            kind: OptionKind::Branch,
            text: "and went home".into(),
            x_deg: 14.0 * f64::from(item - 1),
            y_deg: -2.0,
            w_deg: 11.0,
            h_deg: 6.0,
        }
    }

    /// What is left of a tracker's error, degrees, per fork: the tracker is off by `drift(fork)`, a share of the choices is wrong.
    fn session(
        most_deg: f64,
        forks: u64,
        wrong: f64,
        seed: u64,
        drift: impl Fn(u64) -> (f64, f64),
    ) -> Vec<f64> {
        let mut random = Random(seed);
        let mut following = GazeDrift::new(&settings(most_deg), Some(&error()));
        let mut left = Vec::new();
        let mut number = 0;
        for n in 0..forks {
            let fork = ForkId(n);
            let shift = following.as_mut().map_or((0.0, 0.0), |following| {
                let confirmed = following.confirmed();
                following.step(fork, &confirmed);
                following.shift_deg()
            });
            let off = drift(n);
            left.push((off.0 + shift.0).hypot(off.1 + shift.1));
            let meant = tile((3.0 * random.uniform()) as i32);
            // One in two wrong choices is another tile; the other half are looks anywhere about the tile that is taken.
            let is_wrong = random.uniform() < wrong;
            let aside = is_wrong && random.uniform() < 0.5;
            let chosen = if is_wrong && !aside {
                tile((meant.item + 1) % 3)
            } else {
                meant.clone()
            };
            let Some(following) = following.as_mut() else {
                continue;
            };
            for late in [1.0, 0.4] {
                let (x, y) = if aside {
                    // The same wrong side of the tile each time.
                    (5.0 + random.within(1.5), 3.5 + random.within(1.0))
                } else {
                    (random.within(2.5), random.within(0.4))
                };
                number += 1;
                following.hear(Look {
                    fork,
                    number,
                    onset_s: 10.0 * n as f64 + 5.0 - late,
                    dwell_s: 0.4,
                    x_deg: meant.x_deg + x + off.0 + 0.3 * random.gauss(),
                    y_deg: meant.y_deg + y + off.1 + 0.3 * random.gauss(),
                });
            }
            following.answered(fork, chosen, 10.0 * n as f64 + 5.0);
        }
        left
    }

    fn mean(values: &[f64]) -> f64 {
        values.iter().sum::<f64>() / values.len() as f64
    }

    #[test]
    fn a_tracker_that_drifts_is_followed_with_right_choices_and_with_one_in_five_wrong() {
        // 1.2 degrees down and 0.4 to the left within forty forks.
        let drift = |n: u64| {
            let share = (n as f64 / 40.0).min(1.0);
            (-0.4 * share, 1.2 * share)
        };
        for (wrong, most) in [(0.0, 0.3), (0.2, 0.4)] {
            let end = |max_deg: f64| {
                let ends = (0..20).map(|seed| {
                    let left = session(max_deg, 80, wrong, 100 + seed, drift);
                    mean(&left[50..])
                });
                mean(&ends.collect::<Vec<_>>())
            };
            let (without, with) = (end(0.0), end(1.5));
            assert!((without - 1.26).abs() < 0.02, "{without}");
            assert!(with < most, "{wrong}: {with}");
        }
    }

    #[test]
    fn a_sound_tracker_is_left_alone_and_wrong_choices_do_not_run_away() {
        for wrong in [0.0, 0.2] {
            for seed in 0..20 {
                let left = session(1.5, 200, wrong, 300 + seed, |_| (0.0, 0.0));
                assert!(mean(&left) < 0.4, "{wrong} {seed}: {}", mean(&left));
                let worst = left.iter().copied().fold(0.0, f64::max);
                assert!(worst < 0.9, "{wrong} {seed}: {worst}");
            }
        }
    }

    #[test]
    fn neither_a_step_nor_the_whole_passes_its_bound() {
        // Every choice is wrong, and always in the same direction.
        let mut following = GazeDrift::new(&settings(1.0), Some(&error())).unwrap();
        let mut before = (0.0, 0.0);
        for n in 0..60 {
            let confirmed = following.confirmed();
            let step = following.step(ForkId(n), &confirmed);
            let (x, y) = following.shift_deg();
            assert!((x - before.0).hypot(y - before.1) <= 0.15 + 1e-12);
            assert!(x.hypot(y) <= 1.0 + 1e-12);
            if n == 59 {
                assert!(step.unwrap().bound_reached);
            }
            before = (x, y);
            let (fork, tile) = (ForkId(n), tile(1));
            following.hear(Look {
                fork,
                number: n,
                onset_s: n as f64,
                dwell_s: 0.5,
                x_deg: tile.x_deg + 5.0,
                y_deg: tile.y_deg + 4.0,
            });
            following.answered(fork, tile, n as f64 + 0.5);
        }
    }

    #[test]
    fn two_choices_taken_back_in_a_row_leave_nothing_of_either() {
        // Eight choices whose text lay 0.8 degrees above the looks; two more, which lay 3 degrees aside and are taken back.
        let follow = |undone: bool| {
            let mut following = GazeDrift::new(&settings(1.5), Some(&error())).unwrap();
            let mut steps = Vec::new();
            let mut ask = |following: &mut GazeDrift, n: u64, off: (f64, f64)| {
                let confirmed = following.confirmed();
                steps.extend(following.step(ForkId(n), &confirmed));
                let (fork, tile) = (ForkId(n), tile(1));
                following.hear(Look {
                    fork,
                    number: n,
                    onset_s: n as f64,
                    dwell_s: 0.5,
                    x_deg: tile.x_deg + off.0,
                    y_deg: tile.y_deg + off.1,
                });
                following.answered(fork, tile, n as f64 + 0.5);
            };
            for n in 0..9 {
                ask(&mut following, n, (0.0, 0.8));
            }
            if undone {
                ask(&mut following, 9, (3.0, 0.8));
                ask(&mut following, 10, (3.0, 0.8));
                // An opening: the choice at fork 9 has been learnt by now.
                let confirmed = following.confirmed();
                let learnt = following.step(ForkId(11), &confirmed).unwrap();
                assert_eq!((learnt.taken_back, learnt.lessons.len()), (0, 1));
                following.taken_back();
                following.taken_back();
                let step = following.step(ForkId(12), &[]).unwrap();
                assert_eq!((step.taken_back, step.lessons.len()), (1, 0));
                assert!(step.in_words().contains("1 of the latest taken back"));
                let read = GazeStep::of_detail(&step.detail()).unwrap();
                assert_eq!(read, step);
                // As in a replay: the step as recorded is made again.
                assert!(following.step(ForkId(13), &[]).is_none());
            }
            (
                following.said.len(),
                following.said.iter().map(|s| s.offset_deg.0).sum::<f64>(),
            )
        };
        let (with, x) = follow(true);
        assert_eq!(with, 9);
        assert!(x.abs() < 1e-9, "{x}");
        // More is taken back than was learnt: there is an end.
        let mut nothing = GazeDrift::new(&settings(1.5), Some(&error())).unwrap();
        nothing.taken_back();
        nothing.taken_back();
        assert!(nothing.step(ForkId(1), &[]).is_none());
    }

    #[test]
    fn only_confirmed_choices_and_looks_at_their_tile_teach() {
        let look = |number, fork, at: (f64, f64), onset_s| Look {
            fork: ForkId(fork),
            number,
            onset_s,
            dwell_s: 0.3,
            x_deg: at.0,
            y_deg: at.1,
        };
        let mut following = GazeDrift::new(&settings(1.0), None).unwrap();
        for look in [
            look(1, 0, (1.0, -2.0), 9.0),
            look(2, 0, (14.0, -2.0), 9.2), // on another tile
            look(3, 0, (1.0, -2.0), 5.0),  // long before
            look(4, 0, (1.0, -2.0), 10.5), // after
            look(5, 1, (1.0, -2.0), 9.5),  // of another fork
            Look {
                dwell_s: 0.05,
                ..look(6, 0, (1.0, -2.0), 9.6)
            },
        ] {
            following.hear(look);
        }
        following.answered(ForkId(0), tile(1), 10.0);
        assert!(following.confirmed().is_empty());
        following.answered(ForkId(1), tile(1), 20.0);
        let confirmed = following.confirmed();
        assert_eq!(confirmed.len(), 1);
        assert_eq!(confirmed[0].looks, [1]);
        let step = following.step(ForkId(2), &confirmed).unwrap();
        assert_eq!(step.lessons[0].offset_deg, Some((-1.0, 0.0)));
        // One alone moves nothing.
        assert_eq!(step.shift_deg, (0.0, 0.0));
        // Taken back: fork 1 teaches nothing.
        following.taken_back();
        following.answered(ForkId(2), tile(1), 30.0);
        assert!(following.confirmed().is_empty());
        assert_eq!(GazeStep::of_detail(&step.detail()).as_ref(), Some(&step));
        assert!(step.in_words().contains("fork 0"), "{}", step.in_words());
    }

    #[test]
    fn one_key_switches_it_off() {
        assert!(GazeDrift::new(&settings(0.0), None).is_none());
        let off = AdaptationSection {
            on: false,
            ..settings(1.0)
        };
        assert!(GazeDrift::new(&off, None).is_none());
    }
}
