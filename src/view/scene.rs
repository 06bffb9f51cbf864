//! What stands on the participant's screen, as it follows from the engine's markers.

use std::sync::Arc;

use razvilka_calibration::PursuitPath;
use razvilka_dsp::contraction::Muscle;
use razvilka_dsp::deliberate::BlinkKind;
use razvilka_dsp::units::MonoTime;

use crate::choice::guard::{Kind, Rung};
use crate::marker::{BlockKind, Event, OptionTile};

/// What the person is to do, now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Blink once.
    Blink,
    /// Blink like this.
    Signal(BlinkKind),
    /// Contract this muscle.
    Contract(Muscle),
}

/// What stands on the screen.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Stage {
    /// Nothing has begun.
    #[default]
    Waiting,
    /// Between two parts of a calibration.
    Rest,
    /// A point to look at, degrees from the centre.
    Point {
        /// To the right.
        x_deg: f64,
        /// Downwards.
        y_deg: f64,
    },
    /// A target that moves.
    Pursuit {
        /// Its way.
        path: PursuitPath,
        /// When it began to move.
        since: MonoTime,
    },
    /// A block in which the person does one thing.
    Block {
        /// What.
        kind: BlockKind,
        /// The latest call to act, and when it came.
        act: Option<(Act, MonoTime)>,
    },
    /// What the person shall want.
    Wish {
        /// In words.
        text: String,
    },
    /// Options to be read.
    Options {
        /// Where they stand.
        tiles: Arc<[OptionTile]>,
    },
    /// One of these items is to be attended to.
    Cue {
        /// All of them.
        tiles: Arc<[OptionTile]>,
        /// The one.
        item: i32,
    },
    /// The model writes.
    Writing,
    /// A fork is open.
    Fork {
        /// Its number.
        fork: u64,
        /// Its options.
        tiles: Arc<[OptionTile]>,
        /// When they are to go up.
        due: MonoTime,
    },
    /// A fork was answered.
    Answered {
        /// Its options.
        tiles: Arc<[OptionTile]>,
        /// The one that was taken.
        item: Option<i32>,
        /// When.
        since: MonoTime,
    },
    /// Nothing follows.
    Ended,
}

/// What stands on the screen, and whether the session pauses.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Scene {
    /// What.
    pub stage: Stage,
    /// Whether it pauses.
    pub paused: bool,
    /// The guard's latest step.
    pub guard: Option<GuardNotice>,
    /// Number of the marker that told of the latest change; `None` when that was a fork, whose tiles go up at a time of their own.
    pub told: Option<u64>,
}

/// A step of the guard, to be told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GuardNotice {
    /// How far it goes now.
    pub rung: Rung,
    /// Whether that is further than before.
    pub up: bool,
    /// What the signs speak of.
    pub kind: Option<Kind>,
    /// When.
    pub since: MonoTime,
}

impl Scene {
    /// Follows the marker with this number; `at` is when it is due. `false` when nothing on the screen changes.
    pub fn follow(&mut self, marker: u64, event: &Event, at: MonoTime) -> bool {
        let changes = self.turn(event, at);
        if changes {
            let is_fork = matches!(event, Event::ForkOpen { .. });
            self.told = (!is_fork).then_some(marker);
        }
        changes
    }

    fn turn(&mut self, event: &Event, at: MonoTime) -> bool {
        let stage = match event {
            Event::SessionStart { .. } => Stage::Writing,
            Event::SessionEnd => Stage::Ended,
            Event::GazePoint { x_deg, y_deg, .. } => Stage::Point {
                x_deg: *x_deg,
                y_deg: *y_deg,
            },
            Event::GazePursuit { path } => Stage::Pursuit {
                path: *path,
                since: at,
            },
            Event::GazePointEnd { .. }
            | Event::GazePursuitEnd
            | Event::BlockEnd
            | Event::WishEnd { .. }
            | Event::CueEnd { .. } => Stage::Rest,
            Event::Block { kind } => Stage::Block {
                kind: *kind,
                act: None,
            },
            Event::Blink => self.act(Act::Blink, at),
            Event::Signal {
                blink: Some(kind), ..
            } => self.act(Act::Signal(*kind), at),
            Event::Signal {
                contraction: Some(muscle),
                ..
            } => self.act(Act::Contract(*muscle), at),
            Event::Wish { text, .. } => Stage::Wish { text: text.clone() },
            Event::WishOptions { options, .. } => Stage::Options {
                tiles: options.as_slice().into(),
            },
            Event::Cue { item, options, .. } => Stage::Cue {
                tiles: options.as_slice().into(),
                item: *item,
            },
            Event::ForkOpen { fork, options, .. } => Stage::Fork {
                fork: *fork,
                tiles: options.as_slice().into(),
                due: at,
            },
            Event::ForkClose { fork, item, .. } => match &self.stage {
                Stage::Fork {
                    fork: open, tiles, ..
                } if open == fork => Stage::Answered {
                    tiles: Arc::clone(tiles),
                    item: *item,
                    since: at,
                },
                _ => return false,
            },
            Event::Pause { on } => {
                let changes = self.paused != *on;
                self.paused = *on;
                return changes;
            }
            Event::Guard { rung, up, kind, .. } => {
                self.guard = Some(GuardNotice {
                    rung: *rung,
                    up: *up,
                    kind: *kind,
                    since: at,
                });
                return true;
            }
            Event::Signal { .. }
            | Event::Flash { .. }
            | Event::TilesShown { .. }
            | Event::Shown { .. }
            | Event::Imitated { .. }
            | Event::Autonomy { .. }
            | Event::Guarded { .. }
            | Event::Text { .. } => return false,
        };
        self.stage = stage;
        true
    }

    fn act(&self, act: Act, at: MonoTime) -> Stage {
        let kind = match (&self.stage, act) {
            (Stage::Block { kind, .. }, _) => *kind,
            (_, Act::Blink) => BlockKind::Blink,
            (_, Act::Signal(_) | Act::Contract(_)) => BlockKind::Signal,
        };
        Stage::Block {
            kind,
            act: Some((act, at)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::marker::{OptionKind, Outcome};

    fn at(seconds: u64) -> MonoTime {
        MonoTime::from_nanos(seconds * 1_000_000_000)
    }

    fn open(fork: u64) -> Event {
        Event::ForkOpen {
            fork,
            context: String::new(),
            options: vec![OptionTile {
                item: 0,
                kind: OptionKind::Branch,
                text: "found a key".into(),
                x_deg: 0.0,
                y_deg: 0.0,
                w_deg: 8.0,
                h_deg: 4.0,
            }],
            timeout_s: 10.0,
        }
    }

    #[test]
    fn the_options_of_a_fork_stand_until_that_fork_is_closed() {
        let mut scene = Scene::default();
        let close = |fork| Event::ForkClose {
            fork,
            outcome: Outcome::Committed,
            item: Some(0),
        };
        assert!(scene.follow(1, &open(3), at(1)));
        assert!(!scene.follow(2, &close(2), at(2)), "another fork's end");
        assert!(matches!(scene.stage, Stage::Fork { fork: 3, due, .. } if due == at(1)));
        assert!(scene.follow(3, &close(3), at(4)));
        let Stage::Answered { item, since, tiles } = &scene.stage else {
            panic!("{scene:?}");
        };
        assert_eq!((*item, *since, tiles.len()), (Some(0), at(4), 1));
        assert!(!scene.follow(4, &close(3), at(5)), "it is closed already");
    }

    #[test]
    fn a_call_to_act_keeps_the_block_it_belongs_to() {
        let mut scene = Scene::default();
        let kind = BlockKind::Signal;
        scene.follow(5, &Event::Block { kind }, at(1));
        scene.follow(6, &Event::contraction_signal(Muscle::Jaw), at(2));
        let expected = Stage::Block {
            kind,
            act: Some((Act::Contract(Muscle::Jaw), at(2))),
        };
        assert_eq!(scene.stage, expected);
        scene.follow(7, &Event::BlockEnd, at(3));
        assert_eq!(scene.stage, Stage::Rest);
    }

    #[test]
    fn text_and_flashes_change_no_scene() {
        let mut scene = Scene::default();
        scene.follow(8, &open(0), at(1));
        let before = scene.clone();
        let piece = Event::Text {
            piece: "a".into(),
            replace: false,
            prompt: false,
        };
        assert!(!scene.follow(9, &piece, at(2)));
        assert_eq!(scene, before);
        assert!(scene.follow(10, &Event::Pause { on: true }, at(3)));
        assert!(!scene.follow(11, &Event::Pause { on: true }, at(4)));
        let step = Event::Guard {
            rung: Rung::LongerPauses,
            up: true,
            kind: Some(Kind::Overload),
            asked_for: false,
        };
        assert!(scene.follow(12, &step, at(5)));
        assert_eq!(scene.stage, before.stage, "the fork stays open");
        assert_eq!(scene.guard.unwrap().rung, Rung::LongerPauses);
    }
}
