//! Which channels a calibration is fitted on, and what the report says of each.

use razvilka_calibration::{ChannelSignal, LeftOut, SignalQuality};
use razvilka_dsp::eeg::EegSpec;
use razvilka_dsp::epoch::{EpochStatus, Rejection};
use razvilka_dsp::mask::ChannelMask;
use razvilka_dsp::quality::BadChannel;

use crate::cli::recorded::{Passed, samples_in_words};

/// A channel that was bad in more than this share of epochs is left out altogether.
const BAD_SHARE_MAX: f64 = 0.5;

/// Channels to fit on, and those left out: first the ones that were bad in more than half of the epochs, then others in
/// whose absence so many more epochs could be used that it pays.
pub(super) struct Choice {
    pub(super) good: ChannelMask,
    pub(super) mostly_bad: ChannelMask,
    pub(super) costly: ChannelMask,
}

/// Chooses the channels.
///
/// What a fit gains from a channel grows about with the square root of the number of epochs in which it is good: a channel is
/// left out when that raises the sum over the channels. Channels that failed in an epoch are made up from the others where
/// less than half of them did; a swing of millivolts takes the whole epoch along.
pub(super) fn choose_channels(
    spec: &EegSpec,
    passed: &[Passed],
    reference: Option<usize>,
) -> Choice {
    // Channels that would keep each epoch from being fitted on.
    let spoilt: Vec<Option<ChannelMask>> = passed
        .iter()
        .flat_map(|p| &p.epochs)
        .map(|epoch| match epoch.status_for_fit(&epoch.bad) {
            EpochStatus::Clean => Some(ChannelMask::NONE),
            EpochStatus::Rejected(Rejection::PeakToPeak) => Some(epoch.wild(spec)),
            EpochStatus::Rejected(Rejection::BadChannel | Rejection::Montage) => Some(epoch.bad),
            EpochStatus::Rejected(_) => None,
        })
        .collect();
    let mostly_bad: ChannelMask = (0..spec.channels)
        .filter(|&channel| {
            let judged = spoilt.iter().flatten();
            let bad = judged.clone().filter(|bad| bad.contains(channel)).count();
            bad as f64 > BAD_SHARE_MAX * judged.count() as f64
        })
        .collect();
    let mut good = ChannelMask::all(spec.channels).difference(&mostly_bad);
    if let Some(reference) = reference {
        good.remove(reference);
    }
    let all = ChannelMask::all(spec.channels);
    let of_epochs = passed.iter().flat_map(|p| &p.epochs);
    let failed: Vec<(ChannelMask, ChannelMask)> = of_epochs
        .map(|epoch| (epoch.meaningless, epoch.failed(spec, &all)))
        .collect();
    let worth = |good: &ChannelMask| {
        let mut usable = vec![0_u32; spec.channels];
        for ((meaningless, failed), spoilt) in failed.iter().zip(&spoilt) {
            let Some(spoilt) = spoilt else { continue };
            let failed = failed.intersection(good);
            let fillable = !failed.is_empty() && !meaningless.intersection(good).is_empty();
            let lost = if fillable {
                2 * failed.count() >= good.count()
            } else {
                !spoilt.intersection(good).is_empty()
            };
            for channel in good.difference(&failed).iter().filter(|_| !lost) {
                usable[channel] += 1;
            }
        }
        let gains = usable.iter().map(|epochs| f64::from(*epochs).sqrt());
        gains.sum::<f64>()
    };
    let mut costly = ChannelMask::NONE;
    while good.count() > spec.quality.min_good {
        let without = |channel: usize| {
            let mut rest = good;
            rest.remove(channel);
            rest
        };
        let best = good
            .iter()
            .map(|channel| (channel, worth(&without(channel))))
            .max_by(|a, b| a.1.total_cmp(&b.1));
        match best {
            Some((channel, gained)) if gained > worth(&good) => {
                good.remove(channel);
                costly.insert(channel);
            }
            _ => break,
        }
    }
    Choice {
        good,
        mostly_bad,
        costly,
    }
}

/// What the first pass, in which all channels took part, says of each of them.
pub(super) fn channel_signals(
    spec: &EegSpec,
    passed: &[Passed],
    choice: &Choice,
    reference: Option<usize>,
) -> Vec<ChannelSignal> {
    let doubts: Vec<ChannelMask> = passed
        .iter()
        .flat_map(|p| &p.epochs)
        .map(|epoch| epoch.bad.union(&epoch.wild(spec)))
        .collect();
    let seconds = |channel: usize, why: BadChannel| -> u64 {
        let of_each = passed.iter().filter_map(|p| p.bad.get(channel));
        of_each.map(|bad| u64::from(bad.of(why))).sum()
    };
    (0..spec.channels)
        .map(|channel| ChannelSignal {
            bad_s: BadChannel::ALL
                .into_iter()
                .map(|why| (why, seconds(channel, why)))
                .filter(|(_, seconds)| *seconds > 0)
                .collect(),
            doubted: doubts.iter().filter(|bad| bad.contains(channel)).count(),
            left_out: if reference == Some(channel) {
                Some(LeftOut::BlinkReference)
            } else if choice.mostly_bad.contains(channel) {
                Some(LeftOut::MostlyBad)
            } else {
                choice.costly.contains(channel).then_some(LeftOut::Costly)
            },
        })
        .collect()
}

/// The report's material on the signal; epochs are counted as the last pass left them.
pub(super) fn signal_quality(passed: &[Passed], channels: Vec<ChannelSignal>) -> SignalQuality {
    let mut rejected: Vec<(Rejection, usize)> = Vec::new();
    for (why, count) in passed.iter().flat_map(Passed::rejected) {
        match rejected.iter_mut().find(|(known, _)| *known == why) {
            Some((_, n)) => *n += count,
            None => rejected.push((why, count)),
        }
    }
    SignalQuality {
        seconds: passed.iter().map(|p| p.seconds).sum(),
        epochs: passed.iter().map(|p| p.epochs.len()).sum(),
        rejected,
        channels,
        notes: passed.iter().filter_map(samples_in_words).collect(),
    }
}
