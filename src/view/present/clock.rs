//! Whether the display system counts time as we do, measured.
//!
//! Notices are stamped by the X server, in microseconds of what Xorg reads from `CLOCK_MONOTONIC` when it runs on this machine, and of
//! somebody else's clock when it does not. A stamp on an unknown clock is worse than none, so the two are compared before any is believed.

use razvilka_dsp::units::MonoTime;

/// Longest time from a refresh to the moment when its notice is read here, and longest length of a refresh (10 Hz), nanoseconds.
const READ_NS_MAX: i64 = 20_000_000;
const REFRESH_NS_MAX: i64 = 100_000_000;

/// How far our monotonic clock is ahead of the server's, as a series of questions bounds it.
///
/// Asked for the time of a refresh, the server answers with a stamp `ust`. The refresh was before the answer arrived, and at most one
/// refresh before the question was sent. So our clock is ahead by at most `arrived - ust`, and by at least `sent - refresh - ust`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pairing {
    least_ns: i64,
    most_ns: i64,
}

impl Default for Pairing {
    fn default() -> Self {
        Self {
            least_ns: i64::MIN,
            most_ns: i64::MAX,
        }
    }
}

/// Why stamps of the display system are not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "it counts time on another clock than this machine (between {least_ms} and {most_ms} ms apart); is it on another machine?"
)]
pub struct OtherClock {
    /// Bounds, milliseconds.
    least_ms: i64,
    /// See `least_ms`.
    most_ms: i64,
}

impl Pairing {
    /// A question that was sent at `sent` and answered at `arrived` with the stamp `ust_us`, microseconds.
    pub fn answer(&mut self, sent: MonoTime, arrived: MonoTime, ust_us: u64) {
        let ahead = |ours: MonoTime| {
            let ours = i64::try_from(ours.as_nanos()).unwrap_or(i64::MAX);
            let theirs = i64::try_from(ust_us.saturating_mul(1_000)).unwrap_or(i64::MAX);
            ours.saturating_sub(theirs)
        };
        self.most_ns = self.most_ns.min(ahead(arrived));
        self.least_ns = self
            .least_ns
            .max(ahead(sent).saturating_sub(REFRESH_NS_MAX));
    }

    /// The least time that went by between a refresh and our reading of its notice, nanoseconds: what the two clocks may differ by at most,
    /// where they are the same.
    ///
    /// # Errors
    /// [`OtherClock`] when no such time can be, or nothing was answered.
    pub fn same_clock(&self) -> Result<u64, OtherClock> {
        // A microsecond is what their stamps are rounded by.
        let same = (-1_000..=READ_NS_MAX).contains(&self.most_ns) && self.least_ns <= 0;
        if same {
            return Ok(self.most_ns.max(0).unsigned_abs());
        }
        Err(OtherClock {
            least_ms: self.least_ns / 1_000_000,
            most_ms: self.most_ns / 1_000_000,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_us(us: u64) -> MonoTime {
        MonoTime::from_nanos(us * 1_000)
    }

    /// Questions at these times, each answered 300 microseconds after the refresh that follows it, by a server whose clock shows `theirs`.
    fn asked(theirs: impl Fn(u64) -> u64) -> Pairing {
        let mut pairing = Pairing::default();
        for sent in [5_000_000, 5_031_000, 5_052_000] {
            let refresh = sent / 16_667 * 16_667 + 16_667;
            pairing.answer(at_us(sent), at_us(refresh + 300), theirs(refresh));
        }
        pairing
    }

    #[test]
    fn the_same_clock_is_known_by_the_short_way_from_stamp_to_reading() {
        assert_eq!(asked(|us| us).same_clock(), Ok(300_000));
    }

    #[test]
    fn another_clock_is_refused_however_near_it_is() {
        for theirs in [
            |us: u64| us + 40_000,
            |us: u64| us - 40_000,
            |us: u64| us + 1_700_000_000_000_000,
            |us: u64| us / 1_000,
        ] {
            let refused = asked(theirs).same_clock().unwrap_err();
            assert!(refused.to_string().contains("another clock"), "{refused}");
        }
        assert!(Pairing::default().same_clock().is_err(), "nothing answered");
    }

    #[test]
    fn a_refresh_of_before_the_question_is_no_other_clock() {
        let mut pairing = Pairing::default();
        // Answered at once, with the time of the refresh that was 12 ms before.
        pairing.answer(at_us(900_000), at_us(900_200), 888_000);
        assert_eq!(pairing.same_clock(), Ok(12_200_000));
    }
}
