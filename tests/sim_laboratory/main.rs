//! The simulated laboratory, seen from outside: what comes out of it when an engine speaks to it, or is silent.

mod determinism;
mod difficulty;
mod eyes;
mod faults;
mod person;
mod runner;
mod script;
mod signals;
