//! Commands: what was typed becomes a validated plan, then runs. stdout is data, stderr is talk.

mod blinks;
pub mod calibrate;
pub mod certify;
pub mod demo;
pub mod exit;
mod flashes;
pub mod generate;
pub mod model;
pub mod participant;
pub mod paste;
pub mod play;
pub mod prior;
mod rate;
pub mod recorded;
pub mod replay;
pub mod replay_publish;
mod replay_score;
pub mod report;
pub mod run;
pub mod score;
pub mod signals;
pub mod simulate;
pub mod streams;
pub mod told;
mod unit;
pub mod window;
