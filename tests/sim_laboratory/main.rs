//! The simulated laboratory, seen from outside: what comes out of it when an engine speaks to it, or is silent.

#![allow(clippy::unwrap_used)] // what cannot go on here should say so at once

mod determinism;
mod difficulty;
mod eyes;
mod faults;
mod muscles;
mod person;
mod recorded;
mod runner;
mod script;
mod signals;
