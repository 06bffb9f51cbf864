//! Where somebody looked lately, in degrees, by the tracker's own numbers: before any map of a calibration.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Seconds that are kept.
pub const TRAIL_S: f64 = 1.0;
/// Places that are kept at most: a tracker of 2 kHz is thinned out.
const PLACES: usize = 256;
/// Places are at least so far apart.
const EVERY: Duration = Duration::from_millis(4);

/// The latest places, oldest first.
#[derive(Debug, Clone, Default)]
pub struct Trail {
    places: VecDeque<(Instant, (f64, f64))>,
    /// Whether an eye was seen in the latest sample.
    seen: bool,
}

impl Trail {
    /// Takes one sample: where, or that no eye was seen.
    pub fn push(&mut self, at: Instant, place: Option<(f64, f64)>) {
        self.seen = place.is_some();
        let Some(place) = place.filter(|(x, y)| x.is_finite() && y.is_finite()) else {
            return;
        };
        let soon = self
            .places
            .back()
            .is_some_and(|(last, _)| at < *last + EVERY);
        if soon {
            return;
        }
        if self.places.len() == PLACES {
            self.places.pop_front();
        }
        self.places.push_back((at, place));
    }

    /// The places of the last second at `now`, oldest first, with their age in seconds.
    pub fn recent(&self, now: Instant) -> impl Iterator<Item = (f64, (f64, f64))> {
        self.places
            .iter()
            .map(move |(at, place)| (now.saturating_duration_since(*at).as_secs_f64(), *place))
            .filter(|(age_s, _)| *age_s <= TRAIL_S)
    }

    /// Whether an eye was seen in the latest sample.
    #[must_use]
    pub fn is_seen(&self) -> bool {
        self.seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trail_has_the_last_second_and_stays_small_at_any_rate() {
        let mut trail = Trail::default();
        let begun = Instant::now();
        for n in 0..6_000u32 {
            let at = begun + Duration::from_micros(u64::from(n) * 500);
            trail.push(at, Some((f64::from(n), 0.0)));
        }
        let now = begun + Duration::from_secs(3);
        let recent: Vec<_> = trail.recent(now).collect();
        assert!(
            recent.len() <= PLACES && recent.len() > 200,
            "{}",
            recent.len()
        );
        assert!(recent.iter().all(|(age_s, _)| *age_s <= TRAIL_S));
        assert!(
            recent.windows(2).all(|pair| pair[0].0 > pair[1].0),
            "oldest first"
        );
        trail.push(now, None);
        assert!(!trail.is_seen());
        trail.push(now + Duration::from_secs(1), Some((f64::NAN, 0.0)));
        assert_eq!(trail.recent(now + Duration::from_secs(5)).count(), 0);
    }
}
