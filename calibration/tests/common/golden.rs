//! Nearness to values that an independent implementation has made.

/// Fails when an entry is off by more than `tolerance` times the largest of `theirs`.
#[track_caller]
pub(crate) fn close(ours: &[f64], theirs: &[f64], tolerance: f64) {
    assert_eq!(ours.len(), theirs.len());
    let size = theirs.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
    let worst = ours
        .iter()
        .zip(theirs)
        .fold(0.0_f64, |m, (a, b)| m.max((a - b).abs()));
    assert!(worst <= tolerance * size, "off by {worst:e} of {size:e}");
}
