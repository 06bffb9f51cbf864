//! What an operator elsewhere sees of a session, and may do.

use serde::{Deserialize, Serialize};

use super::sections::{Checked, default_of};
use crate::source::pins::Pins;

/// `source_id` of the stream by which `razvilka operator` asks, unless it is told another.
pub const CONTROL_SOURCE_ID: &str = "razvilka-operator";

/// The operator's streams, out and in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OperatorSection {
    /// Whether the session tells how it goes, as `RazvilkaFork`, `RazvilkaStatus` and `RazvilkaPage` on LSL.
    pub telemetry: bool,
    /// Seconds from one status to the next.
    pub status_every_s: f64,
    /// Whether an operator elsewhere may pause and stop the session.
    pub control: bool,
    /// The stream by which the operator asks.
    pub control_pins: Pins,
}

impl Default for OperatorSection {
    fn default() -> Self {
        Self {
            telemetry: true,
            status_every_s: default_of("operator.status_every_s"),
            control: false,
            control_pins: control_pins(CONTROL_SOURCE_ID),
        }
    }
}

/// Pins of an operator's stream with this `source_id`.
#[must_use]
pub fn control_pins(source_id: &str) -> Pins {
    Pins {
        source_id: Some(source_id.to_owned()),
        ..Pins::default()
    }
}

impl Checked for OperatorSection {
    fn numbers(&self) -> Vec<(&'static str, f64)> {
        vec![("operator.status_every_s", self.status_every_s)]
    }
}
