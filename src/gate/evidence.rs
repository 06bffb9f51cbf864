//! What the gate is told.

use razvilka_dsp::units::LslTime;
use serde::{Deserialize, Serialize};

use super::verdict::AbortReason;
use crate::fork::{ForkId, MAX_OPTIONS};

/// Where evidence comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Where the eyes rest.
    Gaze,
    /// The brain's answer to flashes.
    P300,
    /// A deliberate blink: yes, this one, to the option that the eyes rested on. Off unless it was asked for.
    Blink,
    /// The pupil after an option was read: support alone, as it lags. Off unless it was asked for.
    Pupil,
    /// A contraction of jaw or brow, on purpose: the same word, for the option that a look resolves it to ([`Contraction`]). Off unless it was asked for.
    Contraction,
    /// A key or a switch, pressed on purpose.
    ///
    /// The rule: the option with the largest log-likelihood is committed at once with posterior 1, whatever the prior and the
    /// other sources say; reliability, clips and thresholds do not apply. A press that prefers no single option (a tie) is
    /// ignored and counted. Build it with [`Evidence::key_press`].
    Switch,
}

/// How an item of evidence joins what its source said before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EvidenceMode {
    /// Independent of what came before: log-likelihoods add up (P300: the log-likelihood ratio of each flash).
    Add,
    /// The running total of this source so far: takes the place of the former one (gaze).
    Replace,
}

/// Permission to act on the streams as they were when the fork was opened.
///
/// The engine raises the epoch whenever a stream is re-resolved or its clock jumps. Evidence of another epoch aborts the fork.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Lease {
    /// Number of the epoch, raised by the engine, never lowered.
    pub epoch: u64,
}

/// One item of evidence for the options of one fork.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evidence {
    /// The fork it speaks of.
    pub fork: ForkId,
    /// The epoch of the stream it was measured in.
    pub lease: Lease,
    /// Where it comes from.
    pub source: Source,
    /// How it joins what came before.
    pub mode: EvidenceMode,
    /// Number of the item among those of its source, strictly rising within a fork; gaps are allowed.
    pub seq: u64,
    /// Stamp of the *newest sample* it rests on (not of the flash), on our LSL clock.
    pub at: LslTime,
    /// Log-likelihood of each option, nats, up to a common constant. Entries beyond the fork's options are not read.
    pub log_lik_nats: [f64; MAX_OPTIONS],
}

impl Evidence {
    /// A P300 answer to the flash of option `item`: `llr_nats` is the log of
    /// `p(score | attended) / p(score | not attended)`.
    ///
    /// The flash of a filler says nothing about the options: give an `item` beyond them, and no entry is set.
    #[must_use]
    pub fn flash(
        fork: ForkId,
        lease: Lease,
        seq: u64,
        at: LslTime,
        item: usize,
        llr_nats: f64,
    ) -> Self {
        let mut log_lik_nats = [0.0; MAX_OPTIONS];
        if let Some(entry) = log_lik_nats.get_mut(item) {
            *entry = llr_nats;
        }
        Self {
            fork,
            lease,
            source: Source::P300,
            mode: EvidenceMode::Add,
            seq,
            at,
            log_lik_nats,
        }
    }

    /// The running total of gaze since the fork was opened.
    #[must_use]
    pub fn gaze(
        fork: ForkId,
        lease: Lease,
        seq: u64,
        at: LslTime,
        log_lik_nats: [f64; MAX_OPTIONS],
    ) -> Self {
        Self {
            fork,
            lease,
            source: Source::Gaze,
            mode: EvidenceMode::Replace,
            seq,
            at,
            log_lik_nats,
        }
    }

    /// A deliberate blink after a look at option `item`: `llr_nats` is the log of `p(blink | signal) / p(blink | spontaneous)`.
    #[must_use]
    pub fn blink(
        fork: ForkId,
        lease: Lease,
        seq: u64,
        at: LslTime,
        item: usize,
        llr_nats: f64,
    ) -> Self {
        Self {
            source: Source::Blink,
            ..Self::flash(fork, lease, seq, at, item, llr_nats)
        }
    }

    /// The pupil after option `item` was read: `llr_nats` is the log of `p(response | wanted) / p(response | not wanted)`.
    #[must_use]
    pub fn pupil(
        fork: ForkId,
        lease: Lease,
        seq: u64,
        at: LslTime,
        item: usize,
        llr_nats: f64,
    ) -> Self {
        Self {
            source: Source::Pupil,
            ..Self::flash(fork, lease, seq, at, item, llr_nats)
        }
    }

    /// A contraction that was resolved to option `item`.
    #[must_use]
    pub(super) fn contraction(told: &Contraction, item: usize) -> Self {
        let Contraction {
            fork,
            lease,
            seq,
            at,
            llr_nats,
            ..
        } = *told;
        Self {
            source: Source::Contraction,
            ..Self::flash(fork, lease, seq, at, item, llr_nats)
        }
    }

    /// A key press for option `item`.
    #[must_use]
    pub fn key_press(fork: ForkId, lease: Lease, seq: u64, at: LslTime, item: usize) -> Self {
        let mut log_lik_nats = [0.0; MAX_OPTIONS];
        if let Some(entry) = log_lik_nats.get_mut(item) {
            *entry = 1.0;
        }
        Self {
            fork,
            lease,
            source: Source::Switch,
            mode: EvidenceMode::Replace,
            seq,
            at,
            log_lik_nats,
        }
    }
}

/// Where the eyes rested. No evidence: it moves no posterior, it only says what a [`Contraction`] is about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Look {
    /// The fork whose tiles were up.
    pub fork: ForkId,
    /// The epoch of the gaze stream.
    pub lease: Lease,
    /// Number of the telling within the fork, strictly rising; gaps are allowed.
    pub seq: u64,
    /// Stamp of the newest sample it rests on, on our LSL clock.
    pub at: LslTime,
    /// Which look it is: one is told again under the same number when it is over.
    pub look: u64,
    /// The option that the eyes rested on; `None` beside all of them.
    pub item: Option<usize>,
    /// Its beginning, on our LSL clock.
    pub onset: LslTime,
    /// Its last sample so far.
    pub last: LslTime,
    /// Whether it is over.
    pub over: bool,
}

/// A contraction of jaw or brow. It names no option: the gate resolves it by the looks that it is told ([`super::Gate::contraction`]).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Contraction {
    /// The fork whose tiles were up.
    pub fork: ForkId,
    /// The epoch of the EEG stream.
    pub lease: Lease,
    /// Number of the contraction within the fork, strictly rising; gaps are allowed.
    pub seq: u64,
    /// Its beginning, on our LSL clock.
    pub onset: LslTime,
    /// Stamp of the newest sample it rests on.
    pub at: LslTime,
    /// Log of `p(contraction | signal) / p(contraction | muscles as they act anyway)`, nats.
    pub llr_nats: f64,
}

/// What a line tells the gate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Told {
    /// Something about the options.
    Evidence(Evidence),
    /// Where the eyes rested.
    Look(Look),
    /// A contraction, of which only the gate can say what it is about.
    Contraction(Contraction),
}

impl Told {
    /// The fork it speaks of, the epoch of the stream it was measured in, its number among those of its kind, and the stamp of the newest
    /// sample it rests on.
    const fn head(&self) -> (ForkId, Lease, u64, LslTime) {
        match *self {
            Self::Evidence(Evidence {
                fork,
                lease,
                seq,
                at,
                ..
            })
            | Self::Look(Look {
                fork,
                lease,
                seq,
                at,
                ..
            })
            | Self::Contraction(Contraction {
                fork,
                lease,
                seq,
                at,
                ..
            }) => (fork, lease, seq, at),
        }
    }

    /// The fork it speaks of.
    #[must_use]
    pub const fn fork(&self) -> ForkId {
        self.head().0
    }

    /// The epoch of the stream it was measured in.
    #[must_use]
    pub const fn lease(&self) -> Lease {
        self.head().1
    }

    /// Its number among those of its kind.
    #[must_use]
    pub const fn seq(&self) -> u64 {
        self.head().2
    }

    /// Stamp of the newest sample it rests on, on our LSL clock.
    #[must_use]
    pub const fn at(&self) -> LslTime {
        self.head().3
    }

    /// As an input of the gate that is given at `now`.
    #[must_use]
    pub const fn input(self, now: LslTime) -> GateInput {
        match self {
            Self::Evidence(evidence) => GateInput::Evidence { evidence, now },
            Self::Look(look) => GateInput::Look { look, now },
            Self::Contraction(contraction) => GateInput::Contraction { contraction, now },
        }
    }
}

/// One input of an open gate with the time it was given; what a ledger keeps, and what a replay feeds again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum GateInput {
    /// [`super::Gate::evidence`].
    Evidence {
        /// The item.
        evidence: Evidence,
        /// Our LSL clock at the call.
        now: LslTime,
    },
    /// [`super::Gate::look`].
    Look {
        /// Where the eyes rested.
        look: Look,
        /// Our LSL clock at the call.
        now: LslTime,
    },
    /// [`super::Gate::contraction`].
    Contraction {
        /// The contraction.
        contraction: Contraction,
        /// Our LSL clock at the call.
        now: LslTime,
    },
    /// [`super::Gate::tick`]. Only ticks that ended a fork need to be kept: the others change nothing.
    Tick {
        /// Our LSL clock at the call.
        now: LslTime,
    },
    /// [`super::Gate::abort`].
    Abort {
        /// Why.
        reason: AbortReason,
        /// Our LSL clock at the call.
        now: LslTime,
    },
}

impl GateInput {
    /// Our LSL clock at the call.
    #[must_use]
    pub const fn now(&self) -> LslTime {
        match *self {
            Self::Evidence { now, .. }
            | Self::Look { now, .. }
            | Self::Contraction { now, .. }
            | Self::Tick { now }
            | Self::Abort { now, .. } => now,
        }
    }

    /// Which source it comes from; `None` of looks, which are no evidence, of ticks and of aborts.
    #[must_use]
    pub const fn source(&self) -> Option<Source> {
        match self {
            Self::Evidence { evidence, .. } => Some(evidence.source),
            Self::Contraction { .. } => Some(Source::Contraction),
            Self::Look { .. } | Self::Tick { .. } | Self::Abort { .. } => None,
        }
    }

    /// What a line told; `None` of ticks and of aborts.
    #[must_use]
    pub const fn told(&self) -> Option<Told> {
        match *self {
            Self::Evidence { evidence, .. } => Some(Told::Evidence(evidence)),
            Self::Look { look, .. } => Some(Told::Look(look)),
            Self::Contraction { contraction, .. } => Some(Told::Contraction(contraction)),
            Self::Tick { .. } | Self::Abort { .. } => None,
        }
    }
}
