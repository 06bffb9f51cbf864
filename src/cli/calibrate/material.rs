//! From a person's recordings to epochs: the signal path, its channels, and the flashes whose epochs may be fitted on.

use std::io::Write;
use std::path::Path;

use razvilka_calibration::{
    CalibrationError, ChannelSignal, EegInput, EpochInfo, Epochs, Interpolation, Montage,
    may_be_fitted_on,
};
use razvilka_dsp::blink::BlinkRegression;
use razvilka_dsp::eeg::EegSpec;
use razvilka_dsp::epoch::EpochStatus;
use razvilka_dsp::mask::ChannelMask;
use razvilka_dsp::stamps::StampRule;
use razvilka_dsp::units::Hertz;

use super::channels::{channel_signals, choose_channels, signal_quality};
use super::enough::Found;
use super::{Args, say};
use crate::cli::blinks::fit_blinks;
use crate::cli::exit::{Exit, Failure};
use crate::cli::recorded::{
    Flash, Passed, Recorded, channel_name, failure, signal_in_words, stamp_rule,
};
use crate::engine::lines;
use crate::recording::RecordedStream;

/// The signal path asked for, on this stream.
fn path_spec(args: &Args, stream: &RecordedStream) -> Result<EegSpec, Failure> {
    let rate = Hertz::new(stream.spec.rate_hz).map_err(|e| failure(Exit::Source, e))?;
    let (filter, epoch) = args.signal.checked()?;
    lines::eeg_spec(
        &filter,
        &epoch,
        &args.quality,
        rate.get(),
        stream.channels(),
    )
    .map_err(|e| failure(Exit::Usage, e))
}

fn montage(stream: &RecordedStream) -> Montage {
    Montage {
        labels: stream.spec.labels.clone(),
        rate_hz: stream.spec.rate_hz,
    }
}

/// Which flashes are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Those whose truth is known.
    Labelled,
    /// All: those without a label help a prior to meet the person.
    All,
}

/// One person's epochs.
pub(super) struct Material {
    /// The epochs with known truth, and how they came about.
    pub(super) input: EegInput,
    /// The others; none where they were not wanted.
    pub(super) unlabelled: Epochs,
    /// How blinks were taken out.
    pub(super) blinks: Option<BlinkRegression>,
    /// What there was to begin with, for a refusal in words.
    pub(super) found: Found,
}

/// A recording that has flashes.
pub(super) type WithFlashes<'a> = (&'a Recorded, Vec<Flash>);

impl Material {
    /// The epochs of all recordings that have a flash that is wanted; `None` when there is no such recording.
    pub(super) fn read(
        args: &Args,
        recordings: &[Recorded],
        wanted: Wanted,
        talk: &mut impl Write,
    ) -> Result<Option<Self>, Failure> {
        let with_flashes: Vec<WithFlashes<'_>> = recordings
            .iter()
            .map(|recorded| (recorded, recorded.flashes()))
            .filter(|(_, flashes)| match wanted {
                Wanted::Labelled => flashes.iter().any(|flash| flash.target.is_some()),
                Wanted::All => !flashes.is_empty(),
            })
            .collect();
        let Some((first, _)) = with_flashes.first() else {
            return Ok(None);
        };
        let stream = first.eeg()?;
        for (other, _) in &with_flashes {
            montage(stream)
                .check(&montage(other.eeg()?))
                .map_err(|_| disagree(first, other))?;
        }
        let spec = EegSpec {
            stamps: stamp_rule(stream),
            ..path_spec(args, stream)?
        };
        let with_eeg: Vec<&Recorded> = with_flashes.iter().map(|(recorded, _)| *recorded).collect();
        let blinks = fit_blinks(args.blink_channel.as_deref(), spec, stream, &with_eeg, talk)?;
        say(
            talk,
            format_args!(
                "filtering {} channels at {} Hz",
                spec.channels,
                spec.rate.get()
            ),
        );
        let (passed, good, channels) =
            pass_good(spec, stream, &with_flashes, blinks.as_ref(), talk)?;
        if spec.stamps == StampRule::Blocks {
            say(
                talk,
                format_args!(
                    "warning: samples share stamps in blocks; they were spread evenly, onsets are uncertain by up to a block"
                ),
            );
        }
        let flashes: Vec<&[Flash]> = with_flashes
            .iter()
            .map(|(_, flashes)| flashes.as_slice())
            .collect();
        let (epochs, mut rejected) = epochs_of(&spec, good, &flashes, &passed, Label::Known)?;
        let mut unlabelled = epochs.subset(&[]).map_err(|e| failure(Exit::Source, e))?;
        if wanted == Wanted::All {
            let (more, left_out) = epochs_of(&spec, good, &flashes, &passed, Label::Unknown)?;
            rejected += left_out;
            unlabelled = more;
        }
        let found = Found::of(&spec, &with_flashes, &passed, &epochs)?;
        let without = if unlabelled.is_empty() {
            String::new()
        } else {
            format!(", {} without a label", unlabelled.len())
        };
        say(
            talk,
            format_args!(
                "{} epochs, {} of them targets{without}; {rejected} flashes left out",
                epochs.len() + unlabelled.len(),
                epochs.targets()
            ),
        );
        Ok(Some(Self {
            input: EegInput {
                labels: stream.spec.labels.clone(),
                path: spec,
                epochs,
                prior: None,
                rejected,
                signal: Some(signal_quality(&passed, channels)),
            },
            unlabelled,
            blinks,
            found,
        }))
    }
}

/// Sends all recordings through the path, chooses the channels, and sends them through again where some are left out.
fn pass_good(
    spec: EegSpec,
    stream: &RecordedStream,
    recordings: &[WithFlashes<'_>],
    blinks: Option<&BlinkRegression>,
    talk: &mut impl Write,
) -> Result<(Vec<Passed>, ChannelMask, Vec<ChannelSignal>), Failure> {
    let pass_all = |used: Option<ChannelMask>| -> Result<Vec<Passed>, Failure> {
        recordings
            .iter()
            .map(|(recorded, _)| recorded.pass(spec, used, None, blinks))
            .collect()
    };
    let mut passed = pass_all(None)?;
    for ((recorded, _), passed) in recordings.iter().zip(&passed) {
        for line in signal_in_words(stream, passed) {
            say(talk, format_args!("{}: {line}", file_name(recorded.path())));
        }
    }
    let reference = blinks.map(BlinkRegression::reference);
    let choice = choose_channels(&spec, &passed, reference);
    let channels = channel_signals(&spec, &passed, &choice, reference);
    let good = choice.good;
    let names = |mask: &ChannelMask| {
        let names: Vec<String> = mask.iter().map(|c| channel_name(stream, c)).collect();
        names.join(", ")
    };
    if good.count() < spec.quality.min_good {
        return Err(Failure::said(
            Exit::Source,
            format!(
                "{} of {} channels are good for most of the time, {} are needed. Bad: {}. Check electrodes and amplifier, and record again",
                good.count(),
                spec.channels,
                spec.quality.min_good,
                names(&choice.mostly_bad)
            ),
        ));
    }
    for (why, left_out) in [
        ("bad for most of the time", &choice.mostly_bad),
        (
            "bad so often that too many epochs would be lost",
            &choice.costly,
        ),
    ] {
        if !left_out.is_empty() {
            say(talk, format_args!("left out, {why}: {}", names(left_out)));
        }
    }
    if let Some(reference) = reference {
        let name = channel_name(stream, reference);
        say(
            talk,
            format_args!("left out, it is the reference of the blinks: {name}"),
        );
    }
    if good.count() < spec.channels {
        passed = pass_all(Some(good))?;
    }
    Ok((passed, good, channels))
}

pub(super) fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn disagree(first: &Recorded, other: &Recorded) -> Failure {
    Failure::said(
        Exit::Source,
        format!(
            "{} and {} have different channels or rates. Calibrate each montage by itself",
            first.path().display(),
            other.path().display()
        ),
    )
}

/// How the channels go together, from the epochs that can be fitted on but for channels that failed in them.
fn interpolation_of(
    spec: &EegSpec,
    good: &ChannelMask,
    passed: &[Passed],
    bins: usize,
) -> Result<Interpolation, CalibrationError> {
    let epochs = passed.iter().flat_map(|passed| &passed.epochs);
    let known = epochs.filter_map(|epoch| {
        let status = epoch.status_for_fit(good);
        let failed = epoch.failed(spec, good);
        (status == EpochStatus::Clean || !failed.is_empty())
            .then_some((epoch.features.as_slice(), failed))
    });
    Interpolation::learn(spec.channels, bins, known)
}

/// Whether the truth of a flash is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Label {
    Known,
    Unknown,
}

impl Label {
    fn is_of(self, flash: &Flash) -> bool {
        (self == Self::Known) == flash.target.is_some()
    }
}

/// Epochs with known or with unknown truth that may be fitted on, runs numbered through all recordings; and how many flashes
/// were left out.
fn epochs_of(
    spec: &EegSpec,
    good: ChannelMask,
    flashes: &[&[Flash]],
    passed: &[Passed],
    label: Label,
) -> Result<(Epochs, usize), Failure> {
    let failed = |e: CalibrationError| failure(Exit::Source, e);
    let shape = spec.epoch_shape().map_err(|e| failure(Exit::Usage, e))?;
    let used = (0..spec.channels)
        .map(|channel| good.contains(channel))
        .collect();
    let mut epochs = Epochs::with_used(used, shape.bins()).map_err(failed)?;
    let mut interpolation = interpolation_of(spec, &good, passed, shape.bins()).map_err(failed)?;
    let mut run_before = None;
    let mut run = 0;
    for (file, (flashes, passed)) in flashes.iter().zip(passed).enumerate() {
        for epoch in &passed.epochs {
            let mut features = std::borrow::Cow::Borrowed(&epoch.features);
            let bad = epoch.failed(spec, &good);
            let whole = if bad.is_empty() {
                may_be_fitted_on(spec, &good, epoch.status_for_fit(&good), &features)
            } else {
                interpolation.fill(features.to_mut(), &bad, &good)
            };
            if !whole {
                continue;
            }
            // Ids were given as indices into these flashes.
            let Some(flash) = flashes.get(epoch.flash).filter(|flash| label.is_of(flash)) else {
                continue;
            };
            let here = (file, flash.run);
            if run_before.is_some_and(|before| before != here) {
                run += 1;
            }
            run_before = Some(here);
            let info = EpochInfo {
                onset_s: flash.onset_s,
                target: flash.target.unwrap_or(false),
                run,
            };
            // What a session would not take for evidence is fitted on, but the figures are not of it.
            let added = if epoch.status_for_fit(&good) == EpochStatus::Clean {
                epochs.push(info, &features)
            } else {
                epochs.push_doubted(info, &features)
            };
            added.map_err(failed)?;
        }
    }
    let known = flashes.iter().flat_map(|f| f.iter());
    let rejected = known.filter(|f| label.is_of(f)).count() - epochs.len();
    Ok((epochs, rejected))
}
