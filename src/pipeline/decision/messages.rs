//! What crosses into the gate's thread and back out of it.

use std::sync::Arc;
use std::time::Duration;

use razvilka_dsp::units::LslTime;

use crate::fork::{ForkId, MAX_OPTIONS};
use crate::gate::{AbortReason, Arms, GateInput, Lease, Told, Verdict};
use crate::marker::OptionKind;
use crate::pipeline::inlet::Heartbeat;
use crate::pipeline::trace::Trace;

/// What the gate needs to open a fork. Fixed size: it crosses threads by copy.
#[derive(Debug, Clone, Copy)]
pub struct Opening {
    /// The fork.
    pub fork: ForkId,
    /// Its options.
    pub kinds: [OptionKind; MAX_OPTIONS],
    /// Prior of each option.
    pub priors: [f64; MAX_OPTIONS],
    /// How many options there are.
    pub options: usize,
    /// Epoch of the streams.
    pub lease: Lease,
    /// When the gate opens, on our LSL clock; evidence on older samples does not count.
    pub at: LslTime,
    /// Whether evidence of several streams is fused: then their clocks must agree.
    pub fused: bool,
}

/// One item of evidence with what the ledger and the latency trace need to know of it.
#[derive(Debug, Clone, Copy)]
pub struct Item {
    /// What the gate is told.
    pub told: Told,
    /// Stamp, pulled and scored.
    pub trace: Trace,
    /// What it was made from.
    pub made: Made,
}

/// What an item was made from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Made {
    /// The epoch after a flash.
    Flash {
        /// The item that flashed.
        item: u32,
        /// Number of the flash's marker.
        number: u32,
        /// Index of the first sample of the epoch.
        onset_sample: u64,
        /// The scorer's output.
        score: f64,
    },
    /// A deliberate blink.
    Blink {
        /// The item that the eyes rested on before it.
        item: u32,
        /// Index of the sample with which the eye was seen again.
        sample: u64,
        /// The scorer's output.
        score: f64,
    },
    /// The pupil after an option was read.
    Pupil {
        /// The item that was read.
        item: u32,
        /// Index of the sample with which the response was known.
        sample: u64,
        /// The scorer's output.
        score: f64,
    },
    /// A look at an option, or beside all of them.
    Look {
        /// The item that the eyes rested on.
        item: Option<u32>,
        /// Index of the newest gaze sample.
        sample: u64,
    },
    /// A contraction of jaw or brow.
    Contraction {
        /// Index of the EEG sample with which it was over.
        sample: u64,
        /// How strong it was.
        score: f64,
    },
    /// Gaze since the fork opened.
    Gaze {
        /// Index of the newest gaze sample.
        sample: u64,
    },
    /// A key press.
    Key {
        /// The item that was chosen.
        item: u32,
    },
}

/// What the control plane tells the gate.
#[derive(Debug, Clone, Copy)]
pub enum Order {
    /// A fork opens.
    Open(Opening),
    /// A doubt, a pause, or the end: the open fork is aborted.
    Abort(AbortReason),
}

/// Something the gate was given, and what it answered.
#[derive(Debug, Clone, Copy)]
pub struct Record {
    /// The fork that was open.
    pub fork: ForkId,
    /// The input; `None` for the opening itself.
    pub input: Option<GateInput>,
    /// What an item was made from.
    pub made: Option<Made>,
    /// The answer.
    pub verdict: Verdict,
    /// The four arms as they stood; only with a verdict that ends the fork.
    pub arms: Option<Arms>,
    /// The trace up to `decided`.
    pub trace: Trace,
}

/// A stream whose silence, or whose clock, aborts the open fork.
#[derive(Debug, Clone)]
pub struct Watched {
    /// Its heartbeat.
    pub heartbeat: Arc<Heartbeat>,
    /// Longest silence: the larger of three chunk periods and 50 ms.
    pub silence_max: Duration,
}
