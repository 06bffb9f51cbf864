//! How often a stream's clock offset is recorded.

use std::time::{Duration, Instant};

use crate::source::ClockOffset;

/// How often a stream's clock offset is written.
const OFFSET_EVERY: Duration = Duration::from_secs(5);
/// A step of the offset that is written at once, seconds.
const OFFSET_STEP_S: f64 = 1e-3;

/// Decides which of a stream's clock offsets are written.
#[derive(Debug, Default)]
pub(super) struct OffsetCadence {
    waiting: Option<ClockOffset>,
    written: Option<(Instant, ClockOffset)>,
    at_once: bool,
}

impl OffsetCadence {
    /// Takes a new measurement; the same one again changes nothing.
    pub(super) fn offer(&mut self, offset: ClockOffset) {
        let stepped = match &self.written {
            None => true,
            Some((_, last)) if *last == offset => return,
            Some((_, last)) => (last.offset_s - offset.offset_s).abs() > OFFSET_STEP_S,
        };
        self.at_once |= stepped;
        self.waiting = Some(offset);
    }

    /// Whatever still waits is due.
    pub(super) fn flush(&mut self) {
        self.at_once = true;
    }

    /// The measurement to write now, if any.
    pub(super) fn due(&mut self, now: Instant) -> Option<ClockOffset> {
        let elapsed = match &self.written {
            Some((at, _)) => now.saturating_duration_since(*at) >= OFFSET_EVERY,
            None => true,
        };
        if !(elapsed || self.at_once) {
            return None;
        }
        let offset = self.waiting.take()?;
        self.written = Some((now, offset));
        self.at_once = false;
        Some(offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clock_offsets_are_written_each_five_seconds_and_at_a_step() {
        let start = Instant::now();
        let at = |s: f64| start + Duration::from_secs_f64(s);
        let offset = |at_s, offset_s| ClockOffset { at_s, offset_s };
        let mut cadence = OffsetCadence::default();
        cadence.offer(offset(0.0, 1.0));
        assert_eq!(cadence.due(at(0.0)), Some(offset(0.0, 1.0)));
        cadence.offer(offset(1.0, 1.0001));
        assert_eq!(cadence.due(at(1.0)), None);
        cadence.offer(offset(2.0, 1.0002));
        assert_eq!(cadence.due(at(5.0)), Some(offset(2.0, 1.0002)));
        assert_eq!(cadence.due(at(20.0)), None);
        cadence.offer(offset(21.0, 1.1));
        assert_eq!(cadence.due(at(21.0)), Some(offset(21.0, 1.1)));
        cadence.offer(offset(22.0, 1.1));
        cadence.flush();
        assert_eq!(cadence.due(at(22.0)), Some(offset(22.0, 1.1)));
    }
}
