//! The unit of a recorded EEG: as declared, unless the numbers say otherwise.

use crate::recording::RecordedStream;
use crate::source::unit::{microvolts_of, microvolts_per};

/// Samples that are looked at.
const LOOK_SAMPLES: usize = 20_000;
/// The 90th percentile of the steps from sample to sample lies within this for EEG of any rate, microvolts.
const PLAUSIBLE_UV: std::ops::RangeInclusive<f64> = 0.02..=20_000.0;
/// Units that are tried when the declared one is not plausible: microvolts in one, and their name.
const TRIED: [(f64, &str); 4] = [
    (1.0, "microvolts"),
    (1e6, "volts"),
    (1e3, "millivolts"),
    (1e-3, "nanovolts"),
];

/// Microvolts in one of each channel's numbers, and what a person should know about it.
///
/// The declared unit counts where the numbers can be EEG in it; a unit that is not declared is microvolts. Where they
/// cannot, the first of microvolts, volts, millivolts and nanovolts counts in which they can, and the words say so. Where
/// nothing fits, the unit stays as declared: the channels' quality then says what is wrong.
#[must_use]
pub(super) fn microvolts(stream: &RecordedStream) -> (Vec<f64>, Option<String>) {
    let declared = microvolts_of(&stream.spec.units, stream.channels());
    let known = stream
        .spec
        .units
        .iter()
        .find(|u| microvolts_per(u).is_some());
    let name = known.map_or("no unit", String::as_str);
    let of_first = declared.first().copied().unwrap_or(1.0);
    let Some(step) = typical_step(stream) else {
        return (declared, None);
    };
    if PLAUSIBLE_UV.contains(&(step * of_first)) {
        let words = (of_first != 1.0).then(|| format!("the EEG is in {name}; taken as such"));
        return (declared, words);
    }
    let fits = TRIED
        .iter()
        .find(|(scale, _)| PLAUSIBLE_UV.contains(&(step * scale)));
    match fits {
        Some((scale, unit)) => (
            vec![*scale; stream.channels()],
            Some(format!(
                "warning: the EEG declares {name}, but its numbers can only be {unit} (typical step from sample to sample \
                 {step:.1e}); taken as {unit}. A live session takes the stream at its word: have the amplifier's software \
                 declare desc/channels/channel/unit"
            )),
        ),
        None => (declared, None),
    }
}

/// Median over the channels that move of the 90th percentile of their steps, in the stream's unit.
fn typical_step(stream: &RecordedStream) -> Option<f64> {
    let samples = stream.len().min(LOOK_SAMPLES);
    let mut of_channels: Vec<f64> = (0..stream.channels())
        .filter_map(|channel| {
            let value = |sample: usize| stream.numbers(sample)?.get(channel).copied();
            let mut steps: Vec<f64> = (1..samples)
                .filter_map(|sample| Some((value(sample)? - value(sample - 1)?).abs()))
                .filter(|step| step.is_finite())
                .collect();
            steps.sort_by(f64::total_cmp);
            steps
                .get(steps.len() * 9 / 10)
                .copied()
                .filter(|step| *step > 0.0)
        })
        .collect();
    of_channels.sort_by(f64::total_cmp);
    of_channels.get(of_channels.len() / 2).copied()
}
