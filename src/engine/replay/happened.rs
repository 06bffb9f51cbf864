//! What happened beside the forks, as the ledger's events tell it.

use razvilka_dsp::mask::ChannelMask;
use serde::Deserialize;

use crate::engine::adapting::Adaptation;
use crate::engine::drift::GazeStep;
use crate::fork::ForkId;
use crate::session::{AutonomyEvent, EventKind, EventRow, GuardEvent};

/// An event that a replay must follow, from its details.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Happened {
    /// The person called for a fork.
    Call { text: u64, position: usize },
    /// The person took a choice back by key.
    Undo,
    /// Another scorer took over.
    Exchange(Exchange),
    /// The scorer learnt from confirmed choices.
    Adaptation(Box<Adaptation>),
    /// A tracker that drifts was followed.
    Gaze(Box<GazeStep>),
    /// What the imitator began from, or how it stands.
    Autonomy(AutonomyEvent),
    /// That the guard watches, what it was told, or a step that it took.
    Guard(GuardEvent),
    /// A stream that was lost went on, after so many samples.
    Restarted { stream: String, samples: u64 },
    /// The session ended with the decoder here.
    End { text: u64, position: usize },
}

/// Another scorer took over.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub(super) struct Exchange {
    /// The fork at whose opening, or within which.
    pub(super) fork: ForkId,
    /// The channels that it does without.
    pub(super) bad_channels: ChannelMask,
    /// Within a fork: onset of the first flash that it scores, on the stream's clock, seconds.
    #[serde(default)]
    pub(super) from_s: Option<f64>,
}

impl Happened {
    /// The event in a row; `None` when it changes nothing that a replay makes again.
    pub(super) fn of(row: &EventRow) -> Option<Self> {
        #[derive(Deserialize)]
        struct Call {
            call: Place,
        }
        #[derive(Deserialize)]
        struct Place {
            text: u64,
            position: usize,
        }
        #[derive(Deserialize)]
        struct Restart {
            restarted: Restarted,
        }
        #[derive(Deserialize)]
        struct Restarted {
            stream: String,
            samples: u64,
        }
        let detail = row.detail.as_str();
        match row.kind {
            EventKind::Source => {
                let Restart { restarted } = serde_json::from_str(detail).ok()?;
                let Restarted { stream, samples } = restarted;
                Some(Self::Restarted { stream, samples })
            }
            EventKind::Operator => match serde_json::from_str::<Call>(detail) {
                Ok(Call {
                    call: Place { text, position },
                }) => Some(Self::Call { text, position }),
                Err(_) => {
                    let detail: serde_json::Value = serde_json::from_str(detail).ok()?;
                    detail.get("undo").map(|_| Self::Undo)
                }
            },
            EventKind::Exchange => serde_json::from_str(detail).ok().map(Self::Exchange),
            EventKind::Adaptation => match GazeStep::of_detail(detail) {
                Some(step) => Some(Self::Gaze(Box::new(step))),
                None => serde_json::from_str(detail)
                    .ok()
                    .map(|adaptation| Self::Adaptation(Box::new(adaptation))),
            },
            EventKind::Autonomy => AutonomyEvent::of(row).map(Self::Autonomy),
            EventKind::Guard => GuardEvent::of(row).map(Self::Guard),
            EventKind::End => serde_json::from_str(detail)
                .ok()
                .map(|Place { text, position }| Self::End { text, position }),
            _ => None,
        }
    }
}
