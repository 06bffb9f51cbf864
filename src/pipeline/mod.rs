//! Real-time threads, rings and the latency trace.
