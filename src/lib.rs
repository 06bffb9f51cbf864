//! Razvilka: at a decisive fork, hand the choice of the next meaning to a person.
//!
//! The rooms, and which way they may look (a test keeps the crates in order):
//!
//! | room | what it is for |
//! |---|---|
//! | [`marker`], [`fork`] | the words everybody shares |
//! | [`source`] | samples and markers in and out: LSL, recordings |
//! | [`recording`] | XDF reading and writing |
//! | [`pipeline`] | real-time threads, rings, latency trace |
//! | [`gate`] | the state machine of one fork: pure, no clock, no thread |
//! | [`decode`] | the language model: KV tree, branches, fork detector; the only room that names candle |
//! | `hub` | models fetched when a person names one; only with the feature `hub`, the only room that names an HTTP client |
//! | [`choice`] | protocol: when to ask, which flashes to show |
//! | [`operator`] | the other side of telemetry: follows a session from elsewhere |
//! | [`session`] | the session folder: manifest, ledger, recording, text |
//! | [`learn`] | remembered choices become lessons, lessons adapters, adapters versions |
//! | [`sim`] | the simulated laboratory: amplifier, eye tracker, person |
//! | [`view`] | what a person sees |
//! | [`report`] | the session's report |
//! | [`cli`] | commands: what was typed becomes a validated plan |

pub mod choice;
pub mod cli;
pub mod config;
pub mod decode;
pub mod engine;
pub mod fork;
pub mod gate;
#[cfg(feature = "hub")]
pub mod hub;
pub mod learn;
pub mod marker;
pub mod operator;
pub mod person;
pub mod pipeline;
pub mod recording;
pub mod report;
pub mod rt;
pub mod session;
mod shell;
pub mod sim;
pub mod source;
pub mod view;
