//! XDF through the public API: what we read is what pyxdf reads, what we write is what pyxdf reads, and nothing in a file
//! can make us panic, allocate without bound or guess.
//!
//! With the environment variable `RAZVILKA_PYTHON` naming a Python that has pyxdf, files are compared with it live.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]

mod allocation;
mod golden;
mod hostile;
mod published;
mod recorder;
mod samples;
mod writing;

/// Peak memory is measured per test thread.
#[global_allocator]
static ALLOCATOR: allocation::Counting = allocation::Counting;
