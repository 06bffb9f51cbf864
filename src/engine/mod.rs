//! The engine's control plane: it conducts calibration and session, and replays what was recorded.

pub mod lines;
pub mod question;
pub mod streams;
