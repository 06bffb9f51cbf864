//! A model behind an OpenAI-compatible server, against a stand-in on this machine: what llama.cpp's server answered is
//! replayed, and everything that can go wrong does.

#![allow(clippy::unwrap_used)] // what cannot go on here should say so at once

mod bounds;
mod faults;
mod forks;
mod recorded;
mod restarts;
mod stand_in;

use std::sync::Arc;

use razvilka::decode::remote::{RemoteWriter, Server};
use razvilka::decode::{
    Cancel, DecodeError, Decoder, End, ServerSettings, Step, Thought, WriterSettings,
};
use razvilka::fork::Fork;

/// Short waits where the server is silent on purpose, and few alternatives.
fn settings() -> ServerSettings {
    ServerSettings {
        connect_s: 2.0,
        first_byte_s: 20.0,
        pause_s: 0.5,
        slow_s: 0.1,
        retries: 1,
        top_logprobs: 5,
        stretch_tokens: 8,
        ..ServerSettings::default()
    }
}

fn greedy() -> WriterSettings {
    WriterSettings {
        temperature: 0.0,
        tokens_max: 60,
        ready_tokens_max: 16,
        ..WriterSettings::default()
    }
}

fn open(address: &str) -> Result<Arc<Server>, DecodeError> {
    Server::open(address, settings(), None).map(Arc::new)
}

fn writer(address: &str, settings: WriterSettings) -> RemoteWriter {
    RemoteWriter::new(open(address).unwrap(), settings).unwrap()
}

/// What came before the next fork, or before the end.
fn on(decoder: &mut dyn Decoder) -> Result<(String, Result<Fork, End>), DecodeError> {
    let mut text = String::new();
    loop {
        match decoder.advance(&Cancel::new())? {
            Step::Text(piece) => text.push_str(&piece),
            Step::Fork(fork) => return Ok((text, Ok(fork))),
            Step::End(end) => return Ok((text, Err(end))),
            Step::Waiting | Step::Cancelled => {}
        }
    }
}

/// Lets the branches go on as far as they may.
fn think(decoder: &mut dyn Decoder) -> Result<(), DecodeError> {
    while decoder.think(&Cancel::new())? != Thought::Ready {}
    Ok(())
}

fn phrases(fork: &Fork) -> Vec<&str> {
    fork.branches
        .iter()
        .map(|branch| branch.text.as_str())
        .collect()
}
