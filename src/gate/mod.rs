//! The gate: the state machine of one fork, and nothing else.
//!
//! ```text
//! Closed --open--> Evidence --+--> Committed(option)   an option was selected
//!    ^                        +--> Declined(policy)    time ran out
//!    |                        +--> Aborted(reason)     a doubt closed the gate
//!    +---------close----------+
//! ```
//!
//! `posterior(option)` is proportional to `prior_capped(option) * product over sources of evidence(option)^reliability`.
//! Working in nats, the reliability is a weight on each source's log-likelihood. What keeps the person in charge:
//!
//! - the prior is capped ([`GateConfig::prior_ratio_max`]), so a bounded amount of evidence always overrules it;
//! - an option is committed only when the person's evidence *by itself* prefers it, by at least
//!   [`GateConfig::human_lead_nats_min`]: the prior may hurry a choice or delay it, never make it;
//! - somebody must be there: the option's own evidence must speak against nobody attending at all, by at least
//!   [`GateConfig::attention_nats_min`]. Options are told apart as well by noise as by a person, given time: without this
//!   rule an unattended EEG chooses sooner or later (see docs/adr/0007);
//! - one item of evidence, and one source as a whole, can say only so much ([`SourceConfig`]);
//! - a contraction says yes to the option that the eyes rested on before it. It is told by EEG, the look by gaze; the gate
//!   keeps the latest looks and joins the two by their stamps, in whatever order they come (see docs/adr/0011);
//! - a key press is the person speaking plainly: it commits at once (see [`Source::Switch`]);
//! - every doubt (a value that is not finite, a clock that jumps, a stream of another epoch, two sources that contradict
//!   each other) aborts the fork, loudly and for good.
//!
//! The gate is real-time code. It has no clock (every call is told the time), no thread, no lock, no file; it does not
//! allocate after [`Gate::new`], and no input makes it panic. The same inputs give the same verdicts, bit for bit, which is
//! what lets a ledger be replayed ([`Gate::apply`]). What may not enter this room: samples, streams, tokens, text.

#![forbid(unsafe_code)]
#![deny(
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable
)]

mod arithmetic;
mod error;
mod evidence;
mod limit;
mod machine;
mod posterior;
mod pupil;
mod resolving;
mod settings;
mod verdict;

pub use error::GateError;
pub use evidence::{Contraction, Evidence, EvidenceMode, GateInput, Lease, Look, Source, Told};
pub use limit::{Limit, SettingsError};
pub use machine::{Counters, Gate};
pub use posterior::{Arms, Best, Posterior, PosteriorError};
pub use resolving::{LOOK_MIN_S, LOOKS_KEPT, SETTLED_S, WAIT_S};
pub use settings::{
    ContractionConfig, ContradictionPolicy, GateConfig, GateSettings, SourceConfig,
};
pub use verdict::{AbortReason, State, TimeoutPolicy, Verdict};
