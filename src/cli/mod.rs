//! Commands: what was typed becomes a validated plan, then runs.

pub mod signals;
pub mod simulate;
pub mod streams;
