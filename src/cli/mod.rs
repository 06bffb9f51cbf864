//! Commands: what was typed becomes a validated plan, then runs.

pub mod replay_publish;
