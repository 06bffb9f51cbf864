//! What choosing buys, with the embedded story model, the program's writer and fork detector, and the grammar as the judge of meaning.

mod chance;
mod habits;
mod offload;
mod pass;
mod resample;
mod tasks;
mod truth;

pub(crate) use habits::habits;
pub(crate) use offload::offload;
pub(crate) use resample::figure;
pub(crate) use tasks::tasks;
