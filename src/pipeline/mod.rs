//! Real-time threads, rings and the latency trace.

pub mod trace;
