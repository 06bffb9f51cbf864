//! `razvilka score`: offline scores by the same causal code as live, as CSV on stdout.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::{Args as ClapArgs, Subcommand};
use razvilka_calibration::{EegCalibration, Montage, Profile, ScoreDrift, on_scale_of, posterior};
use razvilka_dsp::eeg::EegSpec;
use razvilka_dsp::epoch::{EpochStatus, Rejection};
use razvilka_dsp::gaze::{DetectorKind, GazeCounts, GazeDetector, GazeEvent, GazeSample};
use razvilka_dsp::mask::ChannelMask;
use razvilka_dsp::score::{EpochScorer, ScoreDensity};
use razvilka_dsp::units::Hertz;

use super::exit::{Exit, Failure};
use super::flashes::out_of_reach;
use super::rate::usual_interval;
use super::recorded::{
    Flash, Recorded, ScoredEpoch, Streams, failure, signal_in_words, stamp_rule,
};
use crate::recording::RecordedStream;

/// Score a recording offline, by the same causal code as live. CSV on stdout.
#[derive(Debug, Clone, ClapArgs)]
pub struct Args {
    /// What to score.
    #[command(subcommand)]
    pub what: What,
}

/// What can be scored.
#[derive(Debug, Clone, Subcommand)]
#[allow(
    clippy::large_enum_variant,
    reason = "there is one, made from the command line"
)]
pub enum What {
    /// Flashes: onset_s,score,p_target, one line per flash whose epoch is whole.
    ///
    /// As live, but for two things. Live, a flash during which a channel goes bad gives no evidence, and the scorer of the other
    /// channels is there for later flashes; here that scorer is used for the flash itself. Its scores are given on the scale of
    /// the full scorer's. Where live would take no evidence for another reason (too few channels, a gap, a swing), p_target is the
    /// base rate.
    ///
    /// And the densities behind p_target follow a drift of the scores since the calibration (another day, gel that dries): without
    /// labels, from the mean and spread of the scores before, at the calibration's share of targets. Live they follow it by
    /// confirmed choices. The scores themselves stay as they are.
    P300(P300Args),
    /// Eye movements: t_ms,emit_ms,label,new_fixation, one line per sample.
    Gaze(GazeArgs),
}

/// Options of `score p300`.
#[derive(Debug, Clone, ClapArgs)]
pub struct P300Args {
    /// The profile that `razvilka calibrate` wrote.
    #[arg(long, value_name = "FILE")]
    pub calibration: PathBuf,
    /// The recording.
    #[arg(long, value_name = "FILE")]
    pub xdf: PathBuf,
    /// Take p_target from the calibration's densities as they are: do not follow a drift of the scores. Also for recordings in
    /// which nobody attends to the flashes.
    #[arg(long)]
    pub as_calibrated: bool,
    /// Which streams are meant.
    #[command(flatten)]
    pub streams: Streams,
}

/// A given rate is off when the stamps say one that differs by this share, ...
const RATE_DOUBTED: f64 = 0.005;
/// ... and refused from this one on.
const RATE_REFUSED: f64 = 0.02;
/// Fewest intervals that a given rate is held against.
const RATE_INTERVALS_MIN: f64 = 20.0;

/// Options of `score gaze`.
#[derive(Debug, Clone, ClapArgs)]
pub struct GazeArgs {
    /// Samples with the columns t_ms,x_deg,y_deg,valid; others are passed over.
    #[arg(long, value_name = "FILE")]
    pub csv: PathBuf,
    /// Rate of the tracker, Hz; measured from the stamps when not given.
    #[arg(long, value_name = "HZ")]
    pub rate: Option<f64>,
    /// What finds fixations and saccades, as gaze.detector of an experiment.
    #[arg(long, value_enum, default_value = "trained")]
    pub detector: Detector,
}

/// Which detector finds eye movements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Detector {
    /// Learned from labelled recordings.
    Trained,
    /// A velocity threshold that follows the noise.
    Velocity,
}

/// Scores and prints.
///
/// # Errors
/// [`Exit::Usage`] for a profile that cannot be used, [`Exit::Source`] for a recording or table that cannot.
pub fn run(args: &Args, out: &mut impl Write, talk: &mut impl Write) -> Result<(), Failure> {
    let mut out = BufWriter::new(out);
    let done = match &args.what {
        What::P300(args) => p300(args, &mut out, talk)?,
        What::Gaze(args) => gaze(args, &mut out)?,
    };
    match done.and_then(|()| out.flush()) {
        // Whoever closed the pipe has read enough.
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(e) => Err(failure(Exit::Usage, e)),
        Ok(()) => Ok(()),
    }
}

fn p300(
    args: &P300Args,
    out: &mut impl Write,
    talk: &mut impl Write,
) -> Result<io::Result<()>, Failure> {
    let profile = Profile::load(&args.calibration).map_err(|e| failure(Exit::Usage, e))?;
    let Some(calibration) = &profile.eeg else {
        return Err(Failure::said(
            Exit::Usage,
            format!(
                "{} holds gaze only, no P300 classifier. Calibrate with flashes",
                args.calibration.display()
            ),
        ));
    };
    let recorded = Recorded::open(&args.xdf, &args.streams)?;
    let stream = recorded.eeg()?;
    let montage = Montage {
        labels: stream.spec.labels.clone(),
        rate_hz: stream.spec.rate_hz,
    };
    calibration
        .montage()
        .check(&montage)
        .map_err(|e| failure(Exit::Source, e))?;
    let scorer = calibration.scorer().map_err(|e| failure(Exit::Usage, e))?;
    // What the stamps of this recording mean is a property of the recording, not of the person.
    let path = EegSpec {
        stamps: stamp_rule(stream),
        ..calibration.path
    };
    let used = calibration.channels_used();
    let passed = recorded.pass(path, Some(used), Some(scorer), calibration.blinks.as_ref())?;
    let markers = recorded.flash_markers();
    for words in markers.in_words() {
        let _ = writeln!(talk, "{words}");
    }
    let flashes = markers.flashes;
    let mut masked = MaskedScorers::new(calibration, !args.as_calibrated);
    let mut lines = Vec::with_capacity(passed.epochs.len());
    for epoch in &passed.epochs {
        let (Some(flash), Some((score, p_target))) =
            (flashes.get(epoch.flash), masked.judge(epoch)?)
        else {
            continue;
        };
        lines.push((flash.onset_s, score, p_target));
    }
    if lines.is_empty() {
        return Err(nothing_to_score(args, stream, &flashes, &path));
    }
    let doubtful = passed
        .epochs
        .iter()
        .filter(|e| !e.status.is_clean())
        .count();
    let _ = writeln!(
        talk,
        "scored {} of {} flashes; {doubtful} of them with a doubt about the signal",
        lines.len(),
        flashes.len()
    );
    if let Some(drift) = masked.drift.filter(|drift| drift.seen() > 0.0) {
        let _ = writeln!(
            talk,
            "drift since the calibration, which p_target follows: {}",
            drift.in_words()
        );
    }
    for line in signal_in_words(stream, &passed) {
        let _ = writeln!(talk, "{line}");
    }
    Ok(write_scores(out, &lines))
}

fn write_scores(out: &mut impl Write, lines: &[(f64, f64, f64)]) -> io::Result<()> {
    writeln!(out, "onset_s,score,p_target")?;
    for (onset_s, score, p_target) in lines {
        writeln!(out, "{onset_s},{score},{p_target}")?;
    }
    Ok(())
}

/// Why no flash of a recording has a score, and what to do.
fn nothing_to_score(
    args: &P300Args,
    stream: &RecordedStream,
    flashes: &[Flash],
    path: &EegSpec,
) -> Failure {
    let why = if flashes.is_empty() {
        "it has no marker {\"event\":\"flash\"} that can be used. Record the paradigm's markers with the EEG, or say which stream has \
         them with --markers NAME"
            .to_owned()
    } else {
        out_of_reach(stream, flashes).unwrap_or_else(|| {
            format!(
                "none of its {} flashes is followed by {} s of EEG, the length of an epoch. Go on recording after the last flash",
                flashes.len(),
                path.epoch.start.get() + path.epoch.length.get()
            )
        })
    };
    Failure::said(
        Exit::Source,
        format!("nothing to score in {}: {why}", args.xdf.display()),
    )
}

/// Scorers for the sets of channels that were bad, made when first needed, and the drift of their scores.
struct MaskedScorers<'a> {
    calibration: &'a EegCalibration,
    used: ChannelMask,
    made: Vec<(ChannelMask, Option<(EpochScorer, ScoreDensity)>)>,
    /// `None` when densities shall stay as calibrated.
    drift: Option<ScoreDrift>,
}

impl<'a> MaskedScorers<'a> {
    fn new(calibration: &'a EegCalibration, follow_drift: bool) -> Self {
        Self {
            calibration,
            used: calibration.channels_used(),
            made: Vec::new(),
            drift: follow_drift.then(ScoreDrift::new),
        }
    }

    /// Score and probability of one epoch; `None` when it was given no score.
    ///
    /// With bad channels the classifier of the others is used, its score on the scale of the full one's. Where the gate would
    /// take no evidence (too few channels, a swing beyond the limit, a gap) the probability is the base rate, whatever the
    /// score. A score that is no number becomes the one that says nothing.
    fn judge(&mut self, epoch: &ScoredEpoch) -> Result<Option<(f64, f64)>, Failure> {
        let calibration = self.calibration;
        let base_rate = calibration.base_rate;
        let Some(of_all) = epoch.score else {
            return Ok(None);
        };
        let bad = epoch.bad.intersection(&self.used);
        let enough = self.used.difference(&bad).count() >= calibration.path.quality.min_good;
        // A channel that swings is not broken: its epoch brings no evidence, and ranks by the score of all channels.
        let failed = epoch.status == EpochStatus::Rejected(Rejection::BadChannel);
        let masked = if failed && !bad.is_empty() {
            self.without(bad)
        } else {
            None
        };
        let (score, p_target) = match (masked, epoch.status) {
            (Some((scorer, density)), _) => {
                let score = scorer
                    .score(&epoch.features)
                    .map_err(|e| failure(Exit::Internal, e))?;
                let density = *density;
                let p = if enough {
                    self.p_target(score, &density)
                } else {
                    base_rate
                };
                (on_scale_of(score, &density, &calibration.density), p)
            }
            (None, EpochStatus::Clean) => (of_all, self.p_target(of_all, &calibration.density)),
            (None, EpochStatus::Rejected(_)) => (of_all, base_rate),
        };
        if score.is_finite() {
            return Ok(Some((score, p_target)));
        }
        let density = &calibration.density;
        let neutral = 0.5 * (density.target().location + density.nontarget().location);
        Ok(Some((neutral, base_rate)))
    }

    /// Probability by these densities, moved as far as the scores before have unless they shall stay.
    fn p_target(&mut self, score: f64, density: &ScoreDensity) -> f64 {
        let (base_rate, reliability) = (self.calibration.base_rate, self.calibration.reliability);
        match &mut self.drift {
            Some(drift) => drift.p_target(score, density, base_rate, reliability),
            None => posterior(density.llr(score).unwrap_or(0.0), base_rate, reliability),
        }
    }

    /// The classifier without these channels; `None` when none that it uses would be left.
    fn without(&mut self, bad: ChannelMask) -> Option<&mut (EpochScorer, ScoreDensity)> {
        let place = match self.made.iter().position(|(mask, _)| *mask == bad) {
            Some(place) => place,
            None => {
                let left = self.used.difference(&bad);
                let kept: Vec<bool> = (0..self.calibration.path.channels)
                    .map(|c| left.contains(c))
                    .collect();
                self.made.push((bad, self.calibration.restrict(&kept).ok()));
                self.made.len() - 1
            }
        };
        self.made
            .get_mut(place)
            .and_then(|(_, scorer)| scorer.as_mut())
    }
}

fn gaze(args: &GazeArgs, out: &mut impl Write) -> Result<io::Result<()>, Failure> {
    let samples = read_gaze(&args.csv)?;
    let (rate_hz, lie) = believed_rate(args.rate, &samples).ok_or_else(|| {
        Failure::said(
            Exit::Source,
            format!(
                "{} has too few samples to measure a rate. Give it with --rate",
                args.csv.display()
            ),
        )
    })?;
    let usage = |e| failure(Exit::Usage, e);
    let rate = Hertz::new(rate_hz).map_err(|e| failure(Exit::Usage, e))?;
    let kind = match args.detector {
        Detector::Trained => DetectorKind::Trained,
        Detector::Velocity => DetectorKind::Velocity,
    };
    let mut detector = GazeDetector::new(kind, rate).map_err(usage)?;
    let lines = label_samples(&mut detector, &samples);
    for remark in lie
        .into_iter()
        .chain(not_used(detector.counts(), samples.len()))
    {
        eprintln!("{}: {remark}", args.csv.display());
    }
    Ok(write_labels(out, &lines))
}

/// One line of the output.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Line {
    t_ms: f64,
    emit_ms: f64,
    label: u8,
    new_fixation: bool,
}

/// Labels every sample in its order; one that the detector drops (a stamp not after the last) is labelled 0 at once.
fn label_samples(detector: &mut GazeDetector, samples: &[GazeSample]) -> Vec<Line> {
    let mut lines: Vec<Line> = samples
        .iter()
        .map(|s| Line {
            t_ms: s.t_s,
            emit_ms: s.t_s,
            label: 0,
            new_fixation: false,
        })
        .collect();
    // Labels come one per accepted sample and in order, so the next label belongs to the oldest sample without one.
    let mut waiting = std::collections::VecDeque::new();
    let mut now_ms = 0.0;
    for (index, sample) in samples.iter().enumerate() {
        let dropped = detector.counts().not_finite + detector.counts().backward;
        let mut labelled = Vec::new();
        let in_seconds = GazeSample {
            t_s: sample.t_s / 1e3,
            ..*sample
        };
        detector.push(in_seconds, &mut |event| labelled.push(event));
        if detector.counts().not_finite + detector.counts().backward == dropped {
            waiting.push_back(index);
            now_ms = sample.t_s;
        }
        assign(&mut lines, &mut waiting, &labelled, now_ms);
    }
    let mut labelled = Vec::new();
    detector.finish(&mut |event| labelled.push(event));
    assign(&mut lines, &mut waiting, &labelled, now_ms);
    lines
}

fn assign(
    lines: &mut [Line],
    waiting: &mut std::collections::VecDeque<usize>,
    events: &[GazeEvent],
    now_ms: f64,
) {
    for event in events {
        if let GazeEvent::Label(label) = event
            && let Some(line) = waiting.pop_front().and_then(|index| lines.get_mut(index))
        {
            line.emit_ms = now_ms;
            line.label = label.movement.code();
            line.new_fixation = label.announces;
        }
    }
}

fn write_labels(out: &mut impl Write, lines: &[Line]) -> io::Result<()> {
    writeln!(out, "t_ms,emit_ms,label,new_fixation")?;
    for line in lines {
        writeln!(
            out,
            "{},{},{},{}",
            line.t_ms,
            line.emit_ms,
            line.label,
            u8::from(line.new_fixation)
        )?;
    }
    Ok(())
}

/// Samples of a table; `t_s` holds milliseconds as they stand there, so that they are printed unchanged.
fn read_gaze(path: &Path) -> Result<Vec<GazeSample>, Failure> {
    let said = |what: String| Failure::said(Exit::Source, format!("{}: {what}", path.display()));
    let text = fs::read_to_string(path).map_err(|e| said(format!("cannot be read: {e}")))?;
    let mut rows = text.lines().enumerate();
    let header: Vec<&str> = rows
        .next()
        .map(|(_, line)| {
            line.trim_start_matches('\u{feff}')
                .split(',')
                .map(str::trim)
                .collect()
        })
        .unwrap_or_default();
    let column = |name: &str| {
        let place = header.iter().position(|h| *h == name);
        place.ok_or_else(|| {
            said(format!(
                "the header lacks the column {name}; it needs t_ms,x_deg,y_deg,valid"
            ))
        })
    };
    let (t, x, y, valid) = (
        column("t_ms")?,
        column("x_deg")?,
        column("y_deg")?,
        column("valid")?,
    );
    let mut samples = Vec::new();
    for (number, line) in rows.filter(|(_, line)| !line.trim().is_empty()) {
        let cells: Vec<&str> = line.split(',').map(str::trim).collect();
        let cell = |place: usize| cells.get(place).copied().unwrap_or_default();
        let number_in = |place: usize| match cell(place) {
            "" => Ok(f64::NAN),
            text => text
                .parse::<f64>()
                .map_err(|_| said(format!("line {}: '{text}' is no number", number + 1))),
        };
        samples.push(GazeSample {
            t_s: number_in(t)?,
            x_deg: number_in(x)?,
            y_deg: number_in(y)?,
            valid: number_in(valid)? == 1.0,
        });
    }
    Ok(samples)
}

/// The rate that the samples are labelled at, and what is wrong with the one that was given: stamps that say another one are believed
/// before it. `None` when neither is there.
fn believed_rate(given: Option<f64>, samples: &[GazeSample]) -> Option<(f64, Option<String>)> {
    let Some(given) = given else {
        return Some((measured_rate(samples)?, None));
    };
    let Some(measured) = mean_rate(samples) else {
        return Some((given, None));
    };
    let off = (measured / given - 1.0).abs();
    Some(if off >= RATE_REFUSED {
        let lie = format!(
            "--rate {given} is refused: by their stamps it is {measured:.2} Hz, at which the samples are labelled"
        );
        (measured, Some(lie))
    } else if off >= RATE_DOUBTED {
        let lie = format!("--rate {given} is off: by their stamps it is {measured:.2} Hz");
        (given, Some(lie))
    } else {
        (given, None)
    })
}

/// Samples per second by the mean of the intervals, without gaps: stamps rounded to milliseconds do not show in it.
fn mean_rate(samples: &[GazeSample]) -> Option<f64> {
    let gap_ms = 1.5e3 / measured_rate(samples)?;
    let intervals = samples.windows(2).map(|pair| pair[1].t_s - pair[0].t_s);
    let (n, sum_ms) = intervals
        .filter(|interval| *interval > 0.0 && *interval <= gap_ms)
        .fold((0.0, 0.0), |(n, sum), interval| (n + 1.0, sum + interval));
    (n >= RATE_INTERVALS_MIN).then_some(1e3 * n / sum_ms)
}

/// What of the table could not be used, one sentence each.
fn not_used(counts: GazeCounts, samples: usize) -> Vec<String> {
    let told = |n: u64, what: &str| (n > 0).then(|| format!("{n} of {samples} samples {what}"));
    [
        told(counts.not_finite, "have no stamp that is a time: dropped"),
        told(
            counts.backward,
            "are not after the one before, by their stamps: dropped",
        ),
        told(counts.invalid, "are without a valid position: lost"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Samples per second by the median interval of stamps in milliseconds; `None` with fewer than two samples in order.
fn measured_rate(samples: &[GazeSample]) -> Option<f64> {
    let stamps_ms = samples.iter().map(|sample| sample.t_s);
    usual_interval(stamps_ms).map(|median_ms| 1e3 / median_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every(ms: impl Fn(usize) -> f64) -> Vec<GazeSample> {
        (0..500)
            .map(|k| GazeSample {
                t_s: ms(k),
                x_deg: 0.0,
                y_deg: 0.0,
                valid: true,
            })
            .collect()
    }

    #[test]
    fn a_rate_that_lies_is_warned_of_at_half_a_percent_and_refused_at_two() {
        let samples = every(|k| 4.0 * k as f64);
        let believed = |given: f64| believed_rate(Some(given), &samples).unwrap();
        assert_eq!(believed(250.5), (250.5, None));
        let (rate, lie) = believed(252.0);
        assert!(rate == 252.0 && lie.unwrap().contains("is off"));
        let (rate, lie) = believed(300.0);
        assert!((rate - 250.0).abs() < 1e-9 && lie.unwrap().contains("refused"));
        assert_eq!(believed_rate(None, &samples), Some((250.0, None)));
        assert_eq!(believed_rate(None, &[]), None);
    }

    #[test]
    fn rounded_stamps_and_gaps_are_no_lie() {
        let rounded = every(|k| (k as f64 * 1e3 / 120.0).round());
        assert_eq!(believed_rate(Some(120.0), &rounded).unwrap(), (120.0, None));
        let gaps = every(|k| 2.0 * k as f64 + 300.0 * (k / 50) as f64);
        assert_eq!(believed_rate(Some(500.0), &gaps).unwrap(), (500.0, None));
    }

    #[test]
    fn what_cannot_be_used_is_counted_by_what_is_wrong_with_it() {
        let mut samples = every(|k| 2.0 * k as f64);
        samples[10].t_s = f64::NAN;
        samples[20].t_s = 1.0;
        samples[30].t_s = samples[29].t_s;
        samples[40].x_deg = f64::NAN;
        samples[41].valid = false;
        let mut detector =
            GazeDetector::new(DetectorKind::Trained, Hertz::new(500.0).unwrap()).unwrap();
        let lines = label_samples(&mut detector, &samples);
        assert_eq!(lines.len(), 500);
        let said = not_used(detector.counts(), samples.len()).join("; ");
        assert!(
            said.starts_with("1 of 500 samples have no stamp")
                && said.contains("2 of 500 samples are not after")
                && said.contains("2 of 500 samples are without"),
            "{said}"
        );
    }

    #[test]
    fn every_sample_gets_one_line_in_order_and_none_is_labelled_before_it_came() {
        let samples: Vec<GazeSample> = (0..400)
            .map(|i| GazeSample {
                t_s: if i == 200 { 100.0 } else { f64::from(i) * 2.0 },
                x_deg: if i < 250 { 0.0 } else { 10.0 },
                y_deg: 0.0,
                valid: i % 97 != 5,
            })
            .collect();
        let mut detector =
            GazeDetector::new(DetectorKind::Trained, Hertz::new(500.0).unwrap()).unwrap();
        let lines = label_samples(&mut detector, &samples);
        assert_eq!(lines.len(), samples.len());
        assert!(
            lines
                .iter()
                .zip(&samples)
                .all(|(l, s)| l.t_ms == s.t_s && l.emit_ms >= l.t_ms)
        );
        assert_eq!(lines[200].label, 0, "a stamp that goes back has no label");
        assert!(lines.iter().filter(|l| l.new_fixation).count() >= 2);
    }
}
