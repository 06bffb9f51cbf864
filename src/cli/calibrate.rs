//! `razvilka calibrate`: from recordings to a profile and a report.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args as ClapArgs;
use razvilka_calibration::report::{grade_eeg, grade_gaze, save_report};
use razvilka_calibration::{
    CalibrationError, CalibrationInput, ChannelSignal, EegInput, EpochInfo, Epochs, Fitted,
    GazePoint, LeftOut, Montage, Overwrite, Prior, Profile, Provenance, SignalQuality, SourceFile,
    epochs_beside, fit_session, may_be_fitted_on,
};
use razvilka_dsp::blink::BlinkRegression;
use razvilka_dsp::eeg::EegSpec;
use razvilka_dsp::epoch::{EpochStatus, Rejection};
use razvilka_dsp::mask::ChannelMask;
use razvilka_dsp::quality::BadChannel;
use razvilka_dsp::stamps::StampRule;
use razvilka_dsp::units::Hertz;
use sha2::{Digest, Sha256};

use super::blinks::fit_blinks;
use super::exit::{Exit, Failure};
use super::recorded::{
    Flash, Passed, Recorded, ScoredEpoch, Streams, channel_name, failure, samples_in_words,
    signal_in_words, stamp_rule,
};
use crate::config::{EpochSection, FilterSection, NOTCH_MIN_HZ, limit};
use crate::engine::lines;
use crate::gate::Limit;
use crate::recording::RecordedStream;

/// File names in the output folder.
pub const PROFILE_FILE: &str = "profile.json";
/// File names in the output folder.
pub const REPORT_FILE: &str = "report.html";
/// A channel that was bad in more than this share of epochs is left out altogether.
const BAD_SHARE_MAX: f64 = 0.5;

/// Fit a calibration from recordings: DIR/profile.json and DIR/report.html.
///
/// The recordings need an EEG stream and markers {"event":"flash","target":0 or 1}; gaze points
/// ({"event":"gaze_point","x_deg":..,"y_deg":..}) with a gaze stream are fitted as well.
#[derive(Debug, Clone, ClapArgs)]
pub struct Args {
    /// Recordings (XDF), in the order of time, all of one person and one montage.
    #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
    pub xdf: Vec<PathBuf>,
    /// Recordings (XDF) of other people with the same channels and rate, labelled. What they have in common is the start, which this person's
    /// flashes then move; with some 40 s of one's own it helps most. Not kept in the profile but as what was made of it.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub prior_from: Vec<PathBuf>,
    /// Where to write profile.json and report.html; made if it is not there.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Replace files that are there already.
    #[arg(long)]
    pub force: bool,
    /// Lower edge of the band-pass, Hz.
    #[arg(long, value_name = "HZ", default_value_t = 0.5)]
    pub low_hz: f64,
    /// Upper edge of the band-pass, Hz.
    #[arg(long, value_name = "HZ", default_value_t = 20.0)]
    pub high_hz: f64,
    /// Order of the Butterworth band-pass, 1 to 12.
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub order: u32,
    /// Mains notch, from 20 Hz; 0 leaves it out.
    #[arg(long, value_name = "HZ", default_value_t = 0.0)]
    pub notch_hz: f64,
    /// Length of an epoch after a flash, up to 2 s.
    #[arg(long, value_name = "SECONDS", default_value_t = 0.8)]
    pub epoch_s: f64,
    /// Channel that sees the blinks, which are then taken out of the others by regression; `none` leaves them in. Without
    /// this option: a channel labelled VEOG or EOG, or, if the person was asked to blink, Fp1, Fpz, Fp2, AF7 or AF8.
    #[arg(long, value_name = "LABEL")]
    pub blink_channel: Option<String>,
    /// Which streams are meant.
    #[command(flatten)]
    pub streams: Streams,
}

impl Args {
    /// The numbers of the signal path, within the ranges that an experiment file has.
    fn signal(&self) -> Result<(FilterSection, EpochSection), Failure> {
        for (flag, key, value) in [
            ("--low-hz", "filter.low_hz", self.low_hz),
            ("--high-hz", "filter.high_hz", self.high_hz),
            ("--order", "filter.order", f64::from(self.order)),
            ("--notch-hz", "filter.notch_hz", self.notch_hz),
            ("--epoch-s", "epoch.length_s", self.epoch_s),
        ] {
            if let Some(row) = limit(key) {
                let mut limit = Limit { key: flag, ..*row };
                if flag == "--notch-hz" && value != 0.0 {
                    limit.min = NOTCH_MIN_HZ;
                }
                limit.check(value).map_err(|e| failure(Exit::Usage, e))?;
            }
        }
        let filter = FilterSection {
            low_hz: self.low_hz,
            high_hz: self.high_hz,
            order: self.order,
            notch_hz: self.notch_hz,
        };
        let epoch = EpochSection {
            length_s: self.epoch_s,
        };
        Ok((filter, epoch))
    }
}

/// Fits and writes; says on `talk` what is being done and how it came out.
///
/// # Errors
/// [`Exit::Usage`] for an option out of range or an output folder that cannot be used, [`Exit::Source`] for recordings
/// that cannot.
pub fn run(args: &Args, talk: &mut impl Write) -> Result<Profile, Failure> {
    let profile_path = args.out.join(PROFILE_FILE);
    let report_path = args.out.join(REPORT_FILE);
    let overwrite = if args.force {
        Overwrite::Replace
    } else {
        Overwrite::Refuse
    };
    let epochs_path = epochs_beside(&profile_path);
    prepare_folder(
        &args.out,
        [&profile_path, &report_path, &epochs_path],
        overwrite,
    )?;

    let mut recordings = Vec::with_capacity(args.xdf.len());
    for file in &args.xdf {
        say(talk, format_args!("reading {}", file.display()));
        recordings.push(Recorded::open(file, &args.streams)?);
    }
    let (mut eeg, blinks) = eeg_input(args, &recordings, talk)?.unzip();
    let blinks = blinks.flatten();
    if let Some(own) = &mut eeg {
        own.prior = prior_from(args, own, talk)?;
    }
    let gaze = gaze_points(&recordings)?;
    let input = CalibrationInput {
        eeg,
        gaze,
        provenance: provenance(&args.xdf)?,
    };
    say(talk, format_args!("fitting"));
    let mut fitted = fit_session(&input).map_err(|e| failure(Exit::Source, e))?;
    if let Some(eeg) = &mut fitted.profile.eeg {
        eeg.blinks = blinks;
    }
    say_verdict(talk, &fitted);
    let unwritable = |e: CalibrationError| failure(Exit::Usage, e);
    if let (Some(eeg), Some(own)) = (&mut fitted.profile.eeg, &input.eeg) {
        let kept = own.epochs.save(&epochs_path, overwrite);
        eeg.epochs_sha256 = Some(kept.map_err(unwritable)?);
    }
    fitted
        .profile
        .save(&profile_path, overwrite)
        .map_err(unwritable)?;
    save_report(&fitted.profile, &fitted.report, &report_path, overwrite).map_err(unwritable)?;
    say(
        talk,
        format_args!(
            "wrote {} and {}",
            profile_path.display(),
            report_path.display()
        ),
    );
    Ok(fitted.profile)
}

/// The prior that was asked for, from recordings that fit this person's montage.
fn prior_from(
    args: &Args,
    own: &EegInput,
    talk: &mut impl Write,
) -> Result<Option<Prior>, Failure> {
    let montage = |input: &EegInput| Montage {
        labels: input.labels.clone(),
        rate_hz: input.path.rate.get(),
    };
    let mut others = Vec::with_capacity(args.prior_from.len());
    for file in &args.prior_from {
        say(
            talk,
            format_args!("reading {} for the prior", file.display()),
        );
        let of_file = Args {
            xdf: vec![file.clone()],
            ..args.clone()
        };
        let Some(input) = labelled(&of_file, &mut io::sink())? else {
            return Err(Failure::said(
                Exit::Source,
                format!(
                    "{} has no flash with \"target\":0 or 1: a prior needs labelled recordings",
                    file.display()
                ),
            ));
        };
        montage(own).check(&montage(&input)).map_err(|_| {
            Failure::said(
                Exit::Source,
                format!(
                    "{} has {}, this person's recording {}. A prior needs the same channels and rate",
                    file.display(),
                    montage(&input),
                    montage(own)
                ),
            )
        })?;
        others.push(input.epochs);
    }
    if others.is_empty() {
        return Ok(None);
    }
    Prior::fit(&others)
        .map(Some)
        .map_err(|e| failure(Exit::Source, e))
}

/// The labelled epochs of these recordings, as [`run`] would fit them; `None` when no recording has a flash with known truth.
///
/// # Errors
/// As [`run`].
pub fn labelled(args: &Args, talk: &mut impl Write) -> Result<Option<EegInput>, Failure> {
    let recordings: Vec<Recorded> = args
        .xdf
        .iter()
        .map(|file| Recorded::open(file, &args.streams))
        .collect::<Result<_, _>>()?;
    Ok(eeg_input(args, &recordings, talk)?.map(|(input, _)| input))
}

/// Talk that nobody can hear any more (a closed pipe) is no reason to stop.
fn say(talk: &mut impl Write, text: std::fmt::Arguments<'_>) {
    let _ = writeln!(talk, "{text}");
}

/// Finds out before the work whether its result can be kept.
fn prepare_folder(
    folder: &Path,
    files: [&PathBuf; 3],
    overwrite: Overwrite,
) -> Result<(), Failure> {
    let failed = |e| failure(Exit::Usage, e);
    let unwritable = |source| {
        failed(CalibrationError::Unwritable {
            path: folder.to_owned(),
            source,
        })
    };
    fs::create_dir_all(folder).map_err(unwritable)?;
    for path in files {
        if overwrite == Overwrite::Refuse && path.symlink_metadata().is_ok() {
            return Err(failed(CalibrationError::Exists { path: path.clone() }));
        }
    }
    let probe = folder.join(format!(".razvilka-{}.probe", std::process::id()));
    File::create(&probe).map_err(unwritable)?;
    fs::remove_file(&probe).map_err(unwritable)
}

/// The signal path asked for, on this stream.
fn path_spec(args: &Args, stream: &RecordedStream) -> Result<EegSpec, Failure> {
    let rate = Hertz::new(stream.spec.rate_hz).map_err(|e| failure(Exit::Source, e))?;
    let (filter, epoch) = args.signal()?;
    lines::eeg_spec(&filter, &epoch, rate.get(), stream.channels())
        .map_err(|e| failure(Exit::Usage, e))
}

fn montage(stream: &RecordedStream) -> Montage {
    Montage {
        labels: stream.spec.labels.clone(),
        rate_hz: stream.spec.rate_hz,
    }
}

/// Epochs of all recordings with known truth; `None` when no recording has a flash.
fn eeg_input(
    args: &Args,
    recordings: &[Recorded],
    talk: &mut impl Write,
) -> Result<Option<(EegInput, Option<BlinkRegression>)>, Failure> {
    let with_flashes: Vec<(&Recorded, Vec<Flash>)> = recordings
        .iter()
        .map(|recorded| (recorded, recorded.flashes()))
        .filter(|(_, flashes)| flashes.iter().any(|flash| flash.target.is_some()))
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
    let pass_all = |used: Option<ChannelMask>| -> Result<Vec<Passed>, Failure> {
        with_flashes
            .iter()
            .map(|(recorded, _)| recorded.pass(spec, used, None, blinks.as_ref()))
            .collect()
    };
    say(
        talk,
        format_args!(
            "filtering {} channels at {} Hz",
            spec.channels,
            spec.rate.get()
        ),
    );
    let mut passed = pass_all(None)?;
    for ((recorded, _), passed) in with_flashes.iter().zip(&passed) {
        for line in signal_in_words(stream, passed) {
            say(talk, format_args!("{}: {line}", file_name(recorded.path())));
        }
    }
    let reference = blinks.as_ref().map(BlinkRegression::reference);
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
    let (epochs, rejected) = labelled_epochs(&spec, good, &flashes, &passed)?;
    say(
        talk,
        format_args!(
            "{} epochs, {} of them targets; {rejected} flashes left out",
            epochs.len(),
            epochs.targets()
        ),
    );
    let input = EegInput {
        labels: stream.spec.labels.clone(),
        path: spec,
        epochs,
        prior: None,
        rejected,
        signal: Some(signal_quality(&passed, channels)),
    };
    Ok(Some((input, blinks)))
}

/// What the first pass, in which all channels took part, says of each of them.
fn channel_signals(
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
fn signal_quality(passed: &[Passed], channels: Vec<ChannelSignal>) -> SignalQuality {
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

fn file_name(path: &Path) -> String {
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

/// Channels to fit on, and those left out: first the ones that were bad in more than half of the epochs, then others in
/// whose absence so many more epochs could be used that it pays.
struct Choice {
    good: ChannelMask,
    mostly_bad: ChannelMask,
    costly: ChannelMask,
}

/// Chooses the channels.
///
/// What a fit gains from epochs grows about with the square root of their number, what it gains from channels at most
/// with theirs: a channel is left out when that raises their product.
fn choose_channels(spec: &EegSpec, passed: &[Passed], reference: Option<usize>) -> Choice {
    // Channels that would keep each epoch from being fitted on.
    let spoilt: Vec<ChannelMask> = passed
        .iter()
        .flat_map(|p| &p.epochs)
        .filter_map(|epoch| match epoch.status_for_fit(&epoch.bad) {
            EpochStatus::Clean => Some(ChannelMask::NONE),
            EpochStatus::Rejected(Rejection::PeakToPeak) => Some(epoch.wild(spec)),
            EpochStatus::Rejected(Rejection::BadChannel | Rejection::Montage) => Some(epoch.bad),
            EpochStatus::Rejected(_) => None,
        })
        .collect();
    let mostly_bad: ChannelMask = (0..spec.channels)
        .filter(|&channel| {
            let bad = spoilt.iter().filter(|bad| bad.contains(channel)).count();
            bad as f64 > BAD_SHARE_MAX * spoilt.len() as f64
        })
        .collect();
    let mut good = ChannelMask::all(spec.channels).difference(&mostly_bad);
    if let Some(reference) = reference {
        good.remove(reference);
    }
    let worth = |good: &ChannelMask| {
        let whole = spoilt
            .iter()
            .filter(|bad| bad.intersection(good).is_empty());
        good.count() as f64 * (whole.count() as f64).sqrt()
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

/// Epochs with known truth that may be fitted on, runs numbered through all recordings; and how many flashes were left out.
fn labelled_epochs(
    spec: &EegSpec,
    good: ChannelMask,
    flashes: &[&[Flash]],
    passed: &[Passed],
) -> Result<(Epochs, usize), Failure> {
    let failed = |e: CalibrationError| failure(Exit::Source, e);
    let shape = spec.epoch_shape().map_err(|e| failure(Exit::Usage, e))?;
    let used = (0..spec.channels)
        .map(|channel| good.contains(channel))
        .collect();
    let mut epochs = Epochs::with_used(used, shape.bins()).map_err(failed)?;
    let mut run_before = None;
    let mut run = 0;
    for (file, (flashes, passed)) in flashes.iter().zip(passed).enumerate() {
        let fit = |epoch: &&ScoredEpoch| {
            may_be_fitted_on(spec, &good, epoch.status_for_fit(&good), &epoch.features)
        };
        for epoch in passed.epochs.iter().filter(fit) {
            // Ids were given as indices into these flashes.
            let Some(flash) = flashes.get(epoch.flash) else {
                continue;
            };
            let Some(target) = flash.target else {
                continue;
            };
            let here = (file, flash.run);
            if run_before.is_some_and(|before| before != here) {
                run += 1;
            }
            run_before = Some(here);
            let info = EpochInfo {
                onset_s: flash.onset_s,
                target,
                run,
            };
            epochs.push(info, &epoch.features).map_err(failed)?;
        }
    }
    let known = flashes
        .iter()
        .flat_map(|f| f.iter())
        .filter(|f| f.target.is_some())
        .count();
    let rejected = known - epochs.len();
    Ok((epochs, rejected))
}

fn gaze_points(recordings: &[Recorded]) -> Result<Vec<GazePoint>, Failure> {
    let mut points = Vec::new();
    for recorded in recordings {
        points.extend(recorded.gaze_points()?);
    }
    Ok(points)
}

/// Where the fit comes from: this program, now, these files.
fn provenance(files: &[PathBuf]) -> Result<Provenance, Failure> {
    let mut sources = Vec::with_capacity(files.len());
    for path in files {
        let unreadable = |source| {
            failure(
                Exit::Source,
                CalibrationError::Unreadable {
                    path: path.clone(),
                    source,
                },
            )
        };
        let mut hash = Sha256::new();
        io::copy(
            &mut File::open(path).map_err(unreadable)?,
            &mut HashWriter(&mut hash),
        )
        .map_err(unreadable)?;
        sources.push(SourceFile {
            name: path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            sha256: hash
                .finalize()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
        });
    }
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_secs());
    Ok(Provenance {
        created_utc: rfc3339(seconds),
        software: concat!("razvilka ", env!("CARGO_PKG_VERSION")).to_owned(),
        sources,
    })
}

struct HashWriter<'a>(&'a mut Sha256);

impl Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `2026-01-31T12:00:00Z` from seconds since 1970 (days to civil date after Hinnant, "chrono-compatible low-level date
/// algorithms").
fn rfc3339(unix_s: u64) -> String {
    let (days, rest) = (unix_s / 86_400, unix_s % 86_400);
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

fn say_verdict(talk: &mut impl Write, fitted: &Fitted) {
    if let Some(eeg) = &fitted.profile.eeg {
        let m = &eeg.metrics;
        say(
            talk,
            format_args!(
                "P300: {}. AUC {:.3} ({:.3} to {:.3}), calibration error {:.3}, reliability {:.2}, held out in {} folds",
                grade_eeg(m).word(),
                m.auc.value,
                m.auc.ci_low,
                m.auc.ci_high,
                m.ece,
                eeg.reliability,
                m.folds
            ),
        );
        say(talk, format_args!("scorer: {}", eeg.selection.in_words()));
    }
    if let Some(gaze) = &fitted.profile.gaze {
        let q = &gaze.quality;
        say(
            talk,
            format_args!(
                "gaze: {}. Error {}; precision {:.2} deg, {:.1} % lost, {} points used",
                grade_gaze(q).word(),
                gaze.accuracy_in_words(),
                q.precision_sd_deg,
                100.0 * q.data_loss,
                q.points_used
            ),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_others_read_them() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(951_827_696), "2000-02-29T12:34:56Z");
        assert_eq!(rfc3339(1_735_689_599), "2024-12-31T23:59:59Z");
        assert_eq!(rfc3339(4_107_542_399), "2100-02-28T23:59:59Z");
    }
}
