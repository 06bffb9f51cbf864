//! Blinks in recordings: which channel sees them, where they are, and how much of them the others see.

use std::io::Write;

use razvilka_calibration::{BLINK_MIN_UV, BLINKS_MIN, BlinkFit, blink_reference};
use razvilka_dsp::blink::BlinkRegression;
use razvilka_dsp::eeg::EegSpec;

use super::exit::{Exit, Failure};
use super::recorded::{Recorded, channel_name, failure};
use crate::recording::RecordedStream;

/// A blink is over this long after the reference was last beyond its limit, and began as long before, seconds.
const AROUND_S: f64 = 0.25;
/// A limit of the variance that nothing exceeds, robust deviations.
const ANY_VARIANCE: f64 = 1e3;

/// The regression for a montage, from all recordings; `None` where there is no reference, nobody blinked, or none is wanted.
///
/// # Errors
/// [`Exit::Usage`] for a label that is not there, [`Exit::Source`] when the path cannot be built.
pub(super) fn fit_blinks(
    wanted: Option<&str>,
    spec: EegSpec,
    stream: &RecordedStream,
    recordings: &[&Recorded],
    talk: &mut impl Write,
) -> Result<Option<BlinkRegression>, Failure> {
    let asked = recordings.iter().any(|r| !r.blink_spans().is_empty());
    let Some(reference) = reference(wanted, stream, asked)? else {
        return Ok(None);
    };
    // A channel that sees blinks varies more than the others when they come: that is no reason to leave them out.
    let mut spec = spec;
    spec.quality.variance_z_max = ANY_VARIANCE;
    let mut fit = BlinkFit::new(spec.channels, reference);
    let mut blinks = 0;
    for recorded in recordings {
        let spans = found(recorded, spec, reference)?;
        blinks += spans.len();
        let mut next = 0;
        recorded.filtered(spec, |stamp_s, sample, bad| {
            while spans
                .get(next)
                .is_some_and(|(_, until_s)| *until_s < stamp_s)
            {
                next += 1;
            }
            if spans
                .get(next)
                .is_some_and(|(from_s, _)| *from_s <= stamp_s)
            {
                fit.push(sample, bad);
            }
        })?;
    }
    let name = channel_name(stream, reference);
    if blinks < BLINKS_MIN {
        let _ = writeln!(
            talk,
            "blinks: {blinks} found in {name}, {BLINKS_MIN} are needed; they are left in"
        );
        return Ok(None);
    }
    let regression = fit.finish().map_err(|e| failure(Exit::Source, e))?;
    let weights: Vec<String> = regression
        .weights()
        .iter()
        .enumerate()
        .filter(|(channel, _)| *channel != reference)
        .map(|(channel, weight)| format!("{} {weight:.2}", channel_name(stream, channel)))
        .collect();
    let _ = writeln!(
        talk,
        "blinks: {blinks} found in {name}, taken out of the others by {}",
        weights.join(", ")
    );
    Ok(Some(regression))
}

fn reference(
    wanted: Option<&str>,
    stream: &RecordedStream,
    asked: bool,
) -> Result<Option<usize>, Failure> {
    match wanted {
        Some("none") => Ok(None),
        Some(label) => {
            let place = stream.spec.channel(label);
            place.map(Some).map_err(|e| failure(Exit::Usage, e))
        }
        None => Ok(blink_reference(&stream.spec.labels, asked)),
    }
}

/// Blinks that the reference sees, from and until; only those the person was asked for, where that was done.
fn found(recorded: &Recorded, spec: EegSpec, reference: usize) -> Result<Vec<(f64, f64)>, Failure> {
    let asked = recorded.blink_spans();
    let mut spans: Vec<(f64, f64)> = Vec::new();
    recorded.filtered(spec, |stamp_s, sample, bad| {
        let sees = sample
            .get(reference)
            .is_some_and(|x| x.abs() >= BLINK_MIN_UV);
        let counts = asked.is_empty() || asked.iter().any(|(a, b)| (*a..*b).contains(&stamp_s));
        if !sees || !counts || bad.contains(reference) {
            return;
        }
        match spans.last_mut() {
            Some(last) if stamp_s - AROUND_S <= last.1 => last.1 = stamp_s + AROUND_S,
            _ => spans.push((stamp_s - AROUND_S, stamp_s + AROUND_S)),
        }
    })?;
    Ok(spans)
}
