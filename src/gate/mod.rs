//! The state machine of one fork: pure, no clock of its own, no thread, no allocation.
