//! A recording that is given twice would be fitted on and judged on at once, and noise would look like a response.

use std::collections::HashSet;

use razvilka_calibration::SourceFile;

use crate::cli::exit::{Exit, Failure};
use crate::cli::recorded::Recorded;
use crate::recording::RecordedStream;

/// Samples that are compared at once.
const WINDOW: usize = 16;
/// As long a stretch that two recordings have in common is no coincidence, seconds.
const SHARED_S: f64 = 1.0;

/// Refuses two files of the same bytes.
///
/// # Errors
/// [`Exit::Source`], naming both.
pub(super) fn refuse_same_files(sources: &[SourceFile]) -> Result<(), Failure> {
    for (index, source) in sources.iter().enumerate() {
        if let Some(twice) = sources
            .iter()
            .take(index)
            .find(|earlier| earlier.sha256 == source.sha256)
        {
            return Err(Failure::said(
                Exit::Source,
                format!(
                    "{} and {} are the same recording. Name each once: twice it would be fitted on and judged on at once",
                    twice.name, source.name
                ),
            ));
        }
    }
    Ok(())
}

/// Refuses recordings that share a stretch of their EEG: copies in another file, or cut from one another. Stamps are not
/// looked at, as two days may have the same ones; samples are.
///
/// # Errors
/// [`Exit::Source`], naming both.
pub(super) fn refuse_shared_samples(recordings: &[Recorded]) -> Result<(), Failure> {
    let streams: Vec<(&Recorded, &RecordedStream)> = recordings
        .iter()
        // One without EEG has gaze points alone.
        .filter_map(|recorded| Some((recorded, recorded.eeg().ok()?)))
        .collect();
    for (index, (later, stream)) in streams.iter().enumerate() {
        for (earlier, other) in streams.iter().take(index) {
            let shared_s = shared_s(other, stream);
            if shared_s >= SHARED_S {
                return Err(Failure::said(
                    Exit::Source,
                    format!(
                        "{} and {} have {shared_s:.0} s of EEG in common: one is a copy or a part of the other. Give each stretch once: \
                         twice it would be fitted on and judged on at once",
                        earlier.path().display(),
                        later.path().display()
                    ),
                ));
            }
        }
    }
    Ok(())
}

/// How much of `a` is found in `b`, seconds, in whole windows in which the signal moves.
fn shared_s(a: &RecordedStream, b: &RecordedStream) -> f64 {
    if a.channels() != b.channels() {
        return 0.0;
    }
    let there: HashSet<u64> = row_hashes(b).windows(WINDOW).filter_map(moving).collect();
    let here = row_hashes(a);
    let shared = here
        .chunks_exact(WINDOW)
        .filter_map(moving)
        .filter(|window| there.contains(window));
    (shared.count() * WINDOW) as f64 / a.spec.rate_hz.max(1.0)
}

/// One number for the values of each sample.
fn row_hashes(stream: &RecordedStream) -> Vec<u64> {
    (0..stream.stamps.len())
        .filter_map(|sample| stream.numbers(sample))
        .map(|row| row.iter().fold(0, |hash, value| mix(hash, value.to_bits())))
        .collect()
}

/// One number for a window; `None` where the signal stands still in it, as that of any two railed amplifiers does.
fn moving(window: &[u64]) -> Option<u64> {
    let steps = window.windows(2).filter(|pair| pair[0] != pair[1]);
    (2 * steps.count() > window.len()).then(|| window.iter().fold(0, |hash, row| mix(hash, *row)))
}

/// The finaliser of SplitMix64 (Steele, Lea & Flood 2014), chained.
fn mix(hash: u64, value: u64) -> u64 {
    let mut x = (hash.rotate_left(23) ^ value).wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
