//! Commands: what was typed becomes a validated plan, then runs. stdout is data, stderr is talk.

pub mod exit;
pub mod replay_publish;
pub mod report;
pub mod signals;
pub mod simulate;
pub mod streams;
