//! How far apart samples came, by their stamps.

/// Median interval of stamps that go on, in their unit of time; `None` without two in order.
pub(super) fn usual_interval(stamps: impl IntoIterator<Item = f64>) -> Option<f64> {
    let stamps: Vec<f64> = stamps.into_iter().collect();
    let steps = stamps.windows(2).map(|pair| pair[1] - pair[0]);
    let mut intervals: Vec<f64> = steps.filter(|interval| *interval > 0.0).collect();
    intervals.sort_by(f64::total_cmp);
    intervals.get(intervals.len() / 2).copied()
}
