//! The pupil's size over the last seconds, and the response to a look.

use super::{
    BASELINE_S, EDGE_S, KNOWN_AFTER_S, PLACE_TERMS, PupilResponse, RESPONSE_S, place_terms,
};
use crate::units::Hertz;

/// Shortest bin, seconds: the pupil does not move faster than a few times a second.
const BIN_S: f64 = 0.020;
/// Samples that a bin holds at least, on average.
const SAMPLES_PER_BIN: f64 = 1.5;
/// Bins that are kept: 5.12 s.
const BINS: usize = 256;
/// A loss this long is a blink or a look away: its edges are left out too, seconds (Kret & Sjak-Shie 2019, "gaps").
const GAP_S: f64 = 0.075;
/// Multiple of the median absolute deviation beyond which a dilation speed is an artefact (Kret & Sjak-Shie 2019, eq. 2; their n).
const SPEED_MADS: f64 = 16.0;
/// Least share of a window that must have been seen.
const SEEN_MIN: f64 = 0.25;
/// Slow mean and deviation: their time constant, and what must have been seen before they count, seconds.
const SLOW_S: f64 = 60.0;
const SLOW_MIN_S: f64 = 10.0;
/// Deviations that a bin moves the slow numbers by at most.
const WINSOR: f64 = 5.0;
/// From mean absolute to standard deviation of a Gaussian.
const MAD_TO_SD: f64 = 1.253_314_137_315_500_3;
/// Stamps further apart than this are a time in which nobody watched, seconds.
const PAUSE_S: f64 = 5.0;
/// Largest number of a bin.
const NUMBER_MAX: f64 = 9e15;

#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Bin {
    n: f64,
    size: f64,
    at: [f64; 2],
}

impl Bin {
    const EMPTY: Self = Self {
        n: 0.0,
        size: 0.0,
        at: [0.0; 2],
    };

    /// Mean size and place; `None` where nothing was seen.
    fn mean(&self) -> Option<[f64; 3]> {
        (self.n > 0.0).then(|| [self.size, self.at[0], self.at[1]].map(|sum| sum / self.n))
    }
}

/// Slow mean and mean absolute deviation of the size.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Slow {
    mean: f64,
    spread: f64,
    seen_s: f64,
}

impl Slow {
    fn take(&mut self, size: f64, bin_s: f64) {
        let mut off = size - self.mean;
        if self.seen_s >= SLOW_MIN_S {
            let most = WINSOR * MAD_TO_SD * self.spread;
            off = off.clamp(-most, most);
        }
        self.seen_s += bin_s;
        let share = bin_s / self.seen_s.min(SLOW_S);
        self.mean += share * off;
        // The first bin is its own mean.
        let off = if share < 1.0 { off.abs() } else { 0.0 };
        self.spread += share * (off - self.spread);
    }
}

/// The pupil's size in bins of 20 ms (longer where the tracker is slower than 75 Hz) over the last five seconds. `push`, `response` and
/// `reset` do not allocate.
///
/// Artefacts are found where a response is asked for, by the dilation speed filter of Kret & Sjak-Shie 2019 (Behav. Res. Methods
/// 51:1336, eq. 1 and 2) over the bins that are kept; on means of 20 ms instead of on samples, so that a threshold means the same at
/// any rate, and after the edges of losses instead of before. Their filter of deviations from a trend line is left out.
#[derive(Debug, Clone, PartialEq)]
pub struct PupilTrack {
    bin_s: f64,
    bins: [Bin; BINS],
    /// Number of the bin that is being filled, counted from stamp 0.
    newest: Option<i64>,
    last_s: f64,
    slow: Slow,
}

impl PupilTrack {
    /// A track for a tracker of about this rate.
    #[must_use]
    pub fn new(rate: Hertz) -> Self {
        Self {
            bin_s: BIN_S.max(SAMPLES_PER_BIN / rate.get()),
            bins: [Bin::EMPTY; BINS],
            newest: None,
            last_s: f64::NEG_INFINITY,
            slow: Slow::default(),
        }
    }

    /// As new.
    pub fn reset(&mut self) {
        self.interrupt();
        self.slow = Slow::default();
    }

    /// The source begins anew: no response reaches across; what is known of the person stays.
    pub fn interrupt(&mut self) {
        self.bins = [Bin::EMPTY; BINS];
        self.newest = None;
        self.last_s = f64::NEG_INFINITY;
    }

    /// Takes a sample: the size, and where gaze was; lost where either is `None` or no number. A stamp that is not after the last one is
    /// passed over.
    pub fn push(&mut self, t_s: f64, size: Option<f64>, at_deg: Option<[f64; 2]>) {
        let number = (t_s / self.bin_s).floor();
        if !(number.abs() < NUMBER_MAX && t_s > self.last_s) {
            return;
        }
        if t_s - self.last_s > PAUSE_S {
            self.interrupt();
        }
        self.last_s = t_s;
        // Below 2^53 by the check above.
        let number = number as i64;
        let newest = *self.newest.get_or_insert(number);
        for closed in newest..number {
            self.close(closed);
        }
        self.newest = Some(number);
        let seen = size.zip(at_deg).filter(|(size, at)| {
            size.is_finite() && *size > 0.0 && at.iter().all(|v| v.is_finite())
        });
        if let Some((size, at)) = seen {
            let bin = self.bin_mut(number);
            bin.n += 1.0;
            bin.size += size;
            bin.at[0] += at[0];
            bin.at[1] += at[1];
        }
    }

    /// Whether enough time has passed since `read_s` for its response.
    #[must_use]
    pub fn is_due(&self, read_s: f64) -> bool {
        // The bin that is being filled is not used.
        self.newest
            .is_some_and(|newest| newest as f64 * self.bin_s >= read_s + KNOWN_AFTER_S)
    }

    /// The response to an option that was read at `read_s`; `None` before it is due ([`Self::is_due`]), when less than a quarter of a window was
    /// seen, when it lies too far back, and until 10 s have been seen.
    #[must_use]
    pub fn response(&self, read_s: f64) -> Option<PupilResponse> {
        let newest = self.newest.filter(|_| self.is_due(read_s))?;
        let spread = MAD_TO_SD * self.slow.spread;
        let known = self.slow.seen_s >= SLOW_MIN_S && self.slow.mean > 0.0 && spread > 0.0;
        let oldest = newest - (BINS as i64 - 1);
        let begins_s = (oldest as f64 + 1.0) * self.bin_s;
        if !known || begins_s > read_s - BASELINE_S - EDGE_S {
            return None;
        }
        let mut means: [Option<[f64; 3]>; BINS] = std::array::from_fn(|k| {
            let number = oldest + k as i64;
            // The bin that is being filled counts as not seen.
            (number < newest).then(|| self.bin(number).mean()).flatten()
        });
        self.leave_out_edges(&mut means);
        self.leave_out_fast(&mut means);
        let mean_over = |from_s: f64, until_s: f64| self.mean_over(&means, oldest, from_s, until_s);
        let base = mean_over(read_s - BASELINE_S, read_s)?;
        let response = mean_over(read_s + RESPONSE_S.0, read_s + RESPONSE_S.1)?;
        let mut moved = [0.0; PLACE_TERMS];
        for (to, (after, before)) in moved.iter_mut().zip(response.1.iter().zip(&base.1)) {
            *to = after - before;
        }
        let answer = PupilResponse {
            change: (response.0 - base.0) / self.slow.mean,
            moved,
            deviation: spread / self.slow.mean,
        };
        let finite = answer.change.is_finite() && answer.moved.iter().all(|v| v.is_finite());
        (finite && answer.deviation > 0.0).then_some(answer)
    }

    fn slot(number: i64) -> usize {
        number.rem_euclid(BINS as i64) as usize
    }

    fn bin(&self, number: i64) -> Bin {
        self.bins
            .get(Self::slot(number))
            .copied()
            .unwrap_or_default()
    }

    fn bin_mut(&mut self, number: i64) -> &mut Bin {
        // A remainder by the length is a place in it.
        &mut self.bins[Self::slot(number)]
    }

    /// A bin is over: the next one is cleared, and one that lies far enough from losses feeds the slow numbers.
    fn close(&mut self, closed: i64) {
        *self.bin_mut(closed + 1) = Bin::EMPTY;
        let edge = (EDGE_S / self.bin_s).round() as i64;
        let around = closed - 2 * edge..=closed;
        let lost = around.filter(|number| self.bin(*number).n == 0.0).count();
        if (lost as f64) * self.bin_s < GAP_S
            && let Some([size, ..]) = self.bin(closed - edge).mean()
        {
            self.slow.take(size, self.bin_s);
        }
    }

    /// Kret & Sjak-Shie 2019, eq. 1: the speed of a bin is the larger of those to its neighbours; eq. 2: beyond the median and 16 median
    /// absolute deviations it is an artefact.
    fn leave_out_fast(&self, means: &mut [Option<[f64; 3]>; BINS]) {
        let mut speeds = [0.0; BINS];
        let mut before: Option<(usize, f64)> = None;
        let mut seen = 0;
        for (k, mean) in means.iter().enumerate() {
            let Some([size, ..]) = mean else { continue };
            seen += 1;
            if let Some((last, last_size)) = before {
                let speed = (size - last_size).abs() / ((k - last) as f64 * self.bin_s);
                for at in [last, k] {
                    speeds[at] = f64::max(speeds[at], speed);
                }
            }
            before = Some((k, *size));
        }
        if seen < 3 {
            return;
        }
        let mut sorted = [0.0; BINS];
        let gather = |sorted: &mut [f64; BINS], of: &dyn Fn(f64) -> f64| {
            let all = means.iter().zip(&speeds).filter(|(mean, _)| mean.is_some());
            for (to, (_, speed)) in sorted.iter_mut().zip(all) {
                *to = of(*speed);
            }
            // `seen` is the number of bins that were gathered.
            median(&mut sorted[..seen])
        };
        let middle = gather(&mut sorted, &|speed| speed);
        let mad = gather(&mut sorted, &|speed| (speed - middle).abs());
        let most = middle + SPEED_MADS * mad;
        for (mean, speed) in means.iter_mut().zip(&speeds) {
            if *speed > most {
                *mean = None;
            }
        }
    }

    /// A long loss takes its edges with it: lids half closed hide a part of the pupil.
    fn leave_out_edges(&self, means: &mut [Option<[f64; 3]>; BINS]) {
        let edge = (EDGE_S / self.bin_s).round() as usize;
        let long = (GAP_S / self.bin_s).ceil() as usize;
        let mut lost = [false; BINS];
        for (lost, mean) in lost.iter_mut().zip(means.iter()) {
            *lost = mean.is_none();
        }
        let mut from = 0;
        while from < BINS {
            if !lost[from] {
                from += 1;
                continue;
            }
            let until = (from..BINS).find(|k| !lost[*k]).unwrap_or(BINS);
            // The bin that is being filled, at the end, is no loss by itself.
            if until - from >= long {
                let around = from.saturating_sub(edge)..(until + edge).min(BINS);
                for mean in &mut means[around] {
                    *mean = None;
                }
            }
            from = until;
        }
    }

    /// Mean size and mean terms of place over the bins whose middle lies between two stamps; what was not seen is bridged by a straight
    /// line. `None` when too little of it was seen.
    fn mean_over(
        &self,
        means: &[Option<[f64; 3]>; BINS],
        oldest: i64,
        from_s: f64,
        until_s: f64,
    ) -> Option<(f64, [f64; PLACE_TERMS])> {
        let middle_s = |k: usize| ((oldest + k as i64) as f64 + 0.5) * self.bin_s;
        let (mut n, mut seen, mut size) = (0.0, 0.0, 0.0);
        let mut terms = [0.0; PLACE_TERMS];
        for k in (0..BINS).filter(|k| (from_s..until_s).contains(&middle_s(*k))) {
            let value = match means[k] {
                Some(value) => {
                    seen += 1.0;
                    value
                }
                None => bridge(means, k)?,
            };
            n += 1.0;
            size += value[0];
            for (sum, term) in terms.iter_mut().zip(place_terms([value[1], value[2]])) {
                *sum += term;
            }
        }
        (n > 0.0 && seen >= SEEN_MIN * n).then(|| (size / n, terms.map(|term| term / n)))
    }
}

/// What a straight line from the last to the next bin that was seen says of this one.
fn bridge(means: &[Option<[f64; 3]>; BINS], at: usize) -> Option<[f64; 3]> {
    let before = (0..at).rev().find_map(|k| Some((k, means[k]?)))?;
    let after = (at + 1..BINS).find_map(|k| Some((k, means[k]?)))?;
    let share = (at - before.0) as f64 / (after.0 - before.0) as f64;
    Some(std::array::from_fn(|v| {
        before.1[v] + share * (after.1[v] - before.1[v])
    }))
}

/// The middle value; of an even number the mean of the two in the middle, as NumPy's.
fn median(values: &mut [f64]) -> f64 {
    let n = values.len();
    if n == 0 {
        return 0.0;
    }
    let (below, middle, _) = values.select_nth_unstable_by(n / 2, f64::total_cmp);
    if n % 2 == 1 {
        return *middle;
    }
    let lower = below.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    0.5 * (lower + *middle)
}
