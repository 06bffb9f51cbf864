//! Stamps that cannot be true.
//!
//! Of Lund 2013 five tables of 28 (all of UL47 and TL48) hold two fifths of the samples that others' recordings of the same film or picture
//! hold, 200 to 500: the tracker ran at 200 Hz, and the tables stamp it as 500. In them a saccade of 3 to 8 degrees lasts 10 to 16 ms; of
//! everybody else, 22 to 42 ms (medians of recordings).

use std::collections::BTreeMap;

use crate::data::Recording;

/// True rate over the rate that the stamps claim.
const SHARE: f64 = 0.4;
/// How closely the count of samples must agree with it.
const WITHIN: f64 = 0.002;

/// Draws out stamps of recordings that hold [`SHARE`] of the samples of the longest recording of the same stimulus; says which.
pub(crate) fn put_right(recordings: &mut [Recording]) {
    let mut longest = BTreeMap::new();
    for r in recordings.iter() {
        let most: &mut usize = longest.entry(r.stimulus.clone()).or_default();
        *most = r.samples.len().max(*most);
    }
    for r in recordings {
        let most = longest.get(&r.stimulus).copied().unwrap_or(1).max(1);
        if (r.samples.len() as f64 / most as f64 - SHARE).abs() < WITHIN {
            eprintln!("{}: stamps drawn out by {}", r.name, 1.0 / SHARE);
            r.drawn_out = 1.0 / SHARE;
            r.rate_hz *= SHARE;
            for sample in &mut r.samples {
                sample.t_s /= SHARE;
            }
        }
    }
}
