//! What the engine says on its marker stream, and nothing else: cues, flashes, forks and their ends.
//!
//! Each marker is one JSON object in one LSL string sample, tagged by `event`, numbered by `seq` without gaps so that a
//! lost, late or doubled marker is seen. The same markers go into the recording; a participant window, an external
//! stimulus program and the simulated person all live from this stream alone.
//!
//! Positions are degrees of visual angle from the centre of the screen, x to the right, y downwards.

use razvilka_calibration::PursuitPath;
use razvilka_dsp::contraction::Muscle;
use razvilka_dsp::deliberate::BlinkKind;
use serde::{Deserialize, Serialize};

use crate::choice::guard::{Kind, Rung};
use crate::choice::handover::Autonomy;
use crate::view::surface::StampQuality;

/// A marker with its sequence number, as it stands on the wire.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Marker {
    /// Number of this marker in its stream, from 0, without gaps.
    pub seq: u64,
    /// What happened.
    #[serde(flatten)]
    pub body: Event,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The engine is up; first marker of a session.
    SessionStart {
        /// Identity of the session, also in the manifest.
        session: String,
    },
    /// Nothing follows.
    SessionEnd,
    /// Look at this point until the next marker of this kind or `GazePointEnd`.
    GazePoint {
        /// Number of the point, from 0.
        point: u32,
        /// Horizontal position, degrees.
        x_deg: f64,
        /// Vertical position, degrees.
        y_deg: f64,
        /// Points of `Check` are never used for fitting.
        phase: GazePhase,
    },
    /// The point has gone.
    GazePointEnd {
        /// Number of the point.
        point: u32,
    },
    /// Follow a target that begins to move now, until `GazePursuitEnd`: at `t` seconds after this marker's stamp it is at `x = half_w_deg
    /// sin(2 p)`, `y = half_h_deg sin(3 p)`, with `p = 2 pi t / period_s`.
    GazePursuit {
        /// Where it goes.
        #[serde(flatten)]
        path: PursuitPath,
    },
    /// The moving target has gone.
    GazePursuitEnd,
    /// A block begins in which the person does one thing; it ends with `BlockEnd`.
    Block {
        /// What.
        kind: BlockKind,
    },
    /// Blink once, now.
    Blink,
    /// Make the signal, now: the one of the two that is named.
    Signal {
        /// Which blink it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        blink: Option<BlinkKind>,
        /// Which muscle is to be contracted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        contraction: Option<Muscle>,
    },
    /// The block is over.
    BlockEnd,
    /// Want this: the person is told which of the options it shall want that come up next.
    Wish {
        /// Number of the trial, from 0.
        trial: u32,
        /// What it shall want.
        text: String,
    },
    /// The options are there to be read.
    WishOptions {
        /// Number of the trial.
        trial: u32,
        /// The one that the person was told to want.
        item: i32,
        /// All options and where they are.
        options: Vec<OptionTile>,
    },
    /// They are gone.
    WishEnd {
        /// Number of the trial.
        trial: u32,
    },
    /// Attend to this item until the block ends.
    Cue {
        /// Number of the calibration block, from 0.
        run: u32,
        /// The item to attend to.
        item: i32,
        /// All items and where they are.
        options: Vec<OptionTile>,
    },
    /// The cued block is over.
    CueEnd {
        /// Number of the calibration block.
        run: u32,
    },
    /// An item flashed; the marker's own stamp is the onset.
    Flash {
        /// The item that flashed; -1 when not known.
        item: i32,
        /// 1 when the person was told to attend to it, 0 when to another, absent when the truth is not known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        target: Option<u8>,
        /// Calibration block, or absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        run: Option<u32>,
        /// Fork, or absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fork: Option<u64>,
        /// What the onset is worth where a surface showed the flash; absent where this marker is all there was to see, with a stamp taken
        /// by software.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stamp: Option<StampQuality>,
    },
    /// The options of a fork went up on a surface; the marker's own stamp is when.
    TilesShown {
        /// Identity of the fork.
        fork: u64,
        /// What the stamp is worth.
        stamp: StampQuality,
    },
    /// What another marker told of stands on a surface; this marker's own stamp is when. Tiles of a fork and flashes have markers of their
    /// own.
    Shown {
        /// Number of that marker.
        marker: u64,
        /// What the stamp is worth.
        stamp: StampQuality,
    },
    /// A fork is open: the person is asked.
    ForkOpen {
        /// Identity of the fork in this session.
        fork: u64,
        /// The text before the fork (its last part).
        context: String,
        /// What can be selected.
        options: Vec<OptionTile>,
        /// Seconds until the gate declines.
        timeout_s: f64,
    },
    /// The fork has ended.
    ForkClose {
        /// Identity of the fork.
        fork: u64,
        /// `committed`, `declined` or `aborted`.
        outcome: Outcome,
        /// The selected item of a committed fork.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        item: Option<i32>,
    },
    /// The imitator takes a fork: the person is not asked.
    Imitated {
        /// Identity of the fork.
        fork: u64,
        /// The branch it takes.
        item: i32,
        /// What that says.
        text: String,
        /// With what probability the person would have taken it, by the imitator.
        probability: f64,
    },
    /// How much is left to the imitator has changed, or the session begins with this.
    Autonomy {
        /// The level.
        level: Autonomy,
    },
    /// The guard has taken a step: how far it goes from now on, and why.
    Guard {
        /// To here.
        rung: Rung,
        /// Whether that is further than before.
        up: bool,
        /// What the signs speak of; absent without signs: nothing stirred any more, or the person wanted it so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kind: Option<Kind>,
        /// Whether the person, or whoever is with it, wanted it so.
        asked_for: bool,
    },
    /// A fork at which the person is not asked, as the guard had lowered the budget of questions: the model goes on.
    Guarded {
        /// Identity of the fork.
        fork: u64,
    },
    /// Text that was added, or the whole text after an undo.
    Text {
        /// The piece.
        piece: String,
        /// True when `piece` replaces the whole text.
        replace: bool,
        /// True when `piece` is the prompt with which a text begins: nobody wrote it. Left out when false.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        prompt: bool,
    },
    /// The session pauses (`true`) or goes on.
    Pause {
        /// Whether it is paused now.
        on: bool,
    },
}

/// What the person does in a block without flashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlockKind {
    /// Blinks at each `Blink`: what the electrodes see of it is learnt from here.
    Blink,
    /// Makes the signal at each `Signal`, and otherwise blinks, speaks and swallows as it pleases.
    Signal,
    /// Reads options of which it was told to want one (`Wish`, `WishOptions`).
    Pupil,
}

/// What a gaze point is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GazePhase {
    /// Used to fit the map.
    Fit,
    /// Used only to say how good the map is.
    Check,
}

/// How a fork ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// An option was selected.
    Committed,
    /// Time ran out.
    Declined,
    /// A doubt closed the gate.
    Aborted,
}

/// What selecting an option means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OptionKind {
    /// Go on with this branch.
    Branch,
    /// Offer different branches.
    Other,
    /// Take the last choice back.
    Undo,
    /// The model chooses.
    GoOn,
    /// A calibration item without meaning.
    Item,
}

/// One option as it stands on the screen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OptionTile {
    /// Index of the option; flashes name it.
    pub item: i32,
    /// What it means.
    pub kind: OptionKind,
    /// What it says.
    pub text: String,
    /// Centre, degrees.
    pub x_deg: f64,
    /// Centre, degrees.
    pub y_deg: f64,
    /// Width, degrees.
    pub w_deg: f64,
    /// Height, degrees.
    pub h_deg: f64,
}

impl Event {
    /// Blink like this, now.
    #[must_use]
    pub const fn blink_signal(kind: BlinkKind) -> Self {
        Self::Signal {
            blink: Some(kind),
            contraction: None,
        }
    }

    /// Contract this muscle, now.
    #[must_use]
    pub const fn contraction_signal(muscle: Muscle) -> Self {
        Self::Signal {
            blink: None,
            contraction: Some(muscle),
        }
    }
}

impl Marker {
    /// The marker as one line of JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        // A struct of numbers, strings and enums has no failing case in serde_json.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads a marker.
    ///
    /// # Errors
    /// The JSON error when the text is no marker of ours.
    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }
}

/// What a person says by key or switch: one JSON object per LSL string sample, e.g. `{"key":"select","item":1}`,
/// `{"key":"undo"}`, `{"key":"call","back":2}`, `{"key":"ask","on":true}` or `{"key":"carry_on"}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "key", rename_all = "snake_case", deny_unknown_fields)]
pub enum Key {
    /// Take this option of the open fork.
    Select {
        /// The option's item number.
        item: i32,
    },
    /// Take the last choice back.
    Undo,
    /// Ask for a fork now, though none is open.
    Call {
        /// How many words back from the end of the text; 0 is here.
        back: u32,
    },
    /// Be asked at every fork from now on, or leave them to the imitator again, as far as it has earned that.
    Ask {
        /// Whether to be asked.
        on: bool,
    },
    /// Not tired: what the guard did is taken back, and it does nothing for a while.
    CarryOn,
    /// Tired: the guard goes one step further.
    Tired,
}

impl Key {
    /// The key as one line of JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        // An enum of integers has no failing case in serde_json.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads a key.
    ///
    /// # Errors
    /// The JSON error when the text is no key of ours.
    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flash_reads_like_the_recordings_of_others() {
        let flash = Marker {
            seq: 7,
            body: Event::Flash {
                item: 3,
                target: Some(1),
                run: Some(0),
                fork: None,
                stamp: None,
            },
        };
        let json = flash.to_json();
        assert_eq!(
            json,
            r#"{"seq":7,"event":"flash","item":3,"target":1,"run":0}"#
        );
        assert_eq!(Marker::from_json(&json).unwrap(), flash);
    }

    #[test]
    fn signals_stand_on_the_wire_as_documented() {
        for (body, json) in [
            (
                Event::blink_signal(BlinkKind::Double),
                r#"{"seq":4,"event":"signal","blink":"double"}"#,
            ),
            (
                Event::contraction_signal(Muscle::Jaw),
                r#"{"seq":4,"event":"signal","contraction":"jaw"}"#,
            ),
        ] {
            let signal = Marker { seq: 4, body };
            assert_eq!(signal.to_json(), json);
            assert_eq!(Marker::from_json(json).unwrap(), signal);
        }
    }

    #[test]
    fn a_moving_target_stands_on_the_wire_as_documented() {
        let pursuit = Marker {
            seq: 3,
            body: Event::GazePursuit {
                path: PursuitPath {
                    half_w_deg: 17.0,
                    half_h_deg: 10.5,
                    period_s: 21.0,
                },
            },
        };
        let json = pursuit.to_json();
        assert_eq!(
            json,
            r#"{"seq":3,"event":"gaze_pursuit","half_w_deg":17.0,"half_h_deg":10.5,"period_s":21.0}"#
        );
        assert_eq!(Marker::from_json(&json).unwrap(), pursuit);
    }

    #[test]
    fn a_fork_survives_the_wire_with_cyrillic_text() {
        let tile = OptionTile {
            item: 0,
            kind: OptionKind::GoOn,
            text: "дальше".into(),
            x_deg: 1.0,
            y_deg: -2.0,
            w_deg: 3.0,
            h_deg: 1.0,
        };
        let open = Marker {
            seq: 1,
            body: Event::ForkOpen {
                fork: 5,
                context: "…".into(),
                options: vec![tile],
                timeout_s: 8.0,
            },
        };
        assert_eq!(Marker::from_json(&open.to_json()).unwrap(), open);
    }

    #[test]
    fn keys_stand_on_the_wire_as_documented() {
        for (key, json) in [
            (Key::Select { item: 1 }, r#"{"key":"select","item":1}"#),
            (Key::Undo, r#"{"key":"undo"}"#),
            (Key::Call { back: 2 }, r#"{"key":"call","back":2}"#),
            (Key::Ask { on: true }, r#"{"key":"ask","on":true}"#),
            (Key::CarryOn, r#"{"key":"carry_on"}"#),
            (Key::Tired, r#"{"key":"tired"}"#),
        ] {
            assert_eq!(key.to_json(), json);
            assert_eq!(Key::from_json(json).unwrap(), key);
        }
        assert!(Key::from_json(r#"{"key":"select","item":1,"force":true}"#).is_err());
        assert!(Key::from_json(r#"{"key":"quit"}"#).is_err());
    }
}
