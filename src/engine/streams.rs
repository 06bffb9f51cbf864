//! The streams of an experiment: resolved by their pins, opened, and given back after each phase.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::lines::gaze_reading;
use crate::config::{Plan, check_filter};
use crate::fork::MAX_OPTIONS;
use crate::person;
use crate::source::lsl::{
    LslMarkerOutlet, LslMarkers, LslSampleOutlet, LslSamples, Network, Stream, reopen,
};
use crate::source::pins::Pins;
use crate::source::{Format, MarkerSource, SampleSource, SourceError, StreamSpec};

/// How long a source may take to answer once it was found.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);
/// How long streams are looked for at once: long enough for every answer to be in, so that two streams of one identity
/// are both seen, and short enough to be stopped.
const LOOK: Duration = Duration::from_millis(1_500);
/// How long a lost stream is looked for at once.
const REOPEN_WAIT: Duration = Duration::from_secs(1);
/// How long a stream that declares no rate is measured.
const MEASURE: Duration = Duration::from_secs(2);
/// Samples taken at once meanwhile.
const MEASURED_AT_ONCE: usize = 64;
/// Fewest samples in a second of listening that a rate is measured by.
const MEASURED_PER_S_MIN: f64 = 15.0;
/// Lowest and highest rate of an eye tracker that is followed, Hz.
pub(crate) const GAZE_RATE_MIN_HZ: f64 = 30.0;
pub(crate) const GAZE_RATE_MAX_HZ: f64 = 2_000.0;
/// Name of the engine's own marker stream.
pub const MARKER_STREAM: &str = "Razvilka";
/// Name of the stream that tells the state of the person.
pub const STATE_STREAM: &str = "RazvilkaState";
/// Name of the stream of dwell feedback.
pub const FEEDBACK_STREAM: &str = "RazvilkaDwell";

/// The sources that an experiment file names, open.
pub struct Streams {
    /// EEG.
    pub eeg: Option<Box<dyn SampleSource>>,
    /// Gaze.
    pub gaze: Option<Box<dyn SampleSource>>,
    /// Key presses from a stream.
    pub keys: Option<Box<dyn MarkerSource>>,
    /// Keys typed in the terminal, and those pressed in the participant window.
    pub typed: Vec<Box<dyn MarkerSource>>,
}

impl Streams {
    /// Resolves and opens every stream that the plan names; `typed` joins them as it is. Looks no further when `stop` is
    /// raised.
    ///
    /// # Errors
    /// [`SourceError`] of the first stream that is absent, double, oversized or not what its pins say.
    pub fn open(
        network: Network,
        plan: &Plan,
        typed: Vec<Box<dyn MarkerSource>>,
        stop: &AtomicBool,
    ) -> Result<Self, SourceError> {
        let wait = Duration::from_secs_f64(plan.network.resolve_s);
        let wanted = plan.pins();
        let pins: Vec<_> = wanted.iter().flatten().copied().collect();
        let found = if pins.is_empty() {
            Vec::new()
        } else {
            resolve(network, &pins, wait, stop)?
        };
        let mut found = found.into_iter();
        let mut stream = |pins: Option<_>| pins.and_then(|_: &Pins| found.next());
        let [eeg, gaze, keys] = wanted.map(&mut stream);
        let samples =
            |stream: Option<Stream>| -> Result<Option<Box<dyn SampleSource>>, SourceError> {
                let Some(stream) = stream else {
                    return Ok(None);
                };
                Ok(Some(Box::new(LslSamples::open(&stream, OPEN_TIMEOUT)?)))
            };
        let (eeg, gaze) = (samples(eeg)?, samples(gaze)?);
        let keys = match keys {
            Some(stream) => {
                Some(Box::new(LslMarkers::open(&stream, OPEN_TIMEOUT)?) as Box<dyn MarkerSource>)
            }
            None => None,
        };
        let streams = Self {
            eeg,
            gaze,
            keys,
            typed,
        };
        check_specs(
            plan,
            streams.eeg.as_deref().map(|source| source.spec()),
            streams.gaze.as_deref().map(|source| source.spec()),
        )?;
        Ok(streams)
    }
}

/// Whether the channels that the plan names are there, the filter fits the rate, and gaze comes in the plan's unit.
///
/// # Errors
/// [`SourceError`] with the first thing that does not fit.
pub fn check_specs(
    plan: &Plan,
    eeg: Option<&StreamSpec>,
    gaze: Option<&StreamSpec>,
) -> Result<(), SourceError> {
    if let (Some(spec), Some(section)) = (eeg, &plan.eeg) {
        check_filter(&plan.filter, Some(spec.rate_hz)).map_err(|problem| {
            SourceError::Mismatch {
                name: spec.name.clone(),
                what: "the rate",
                expected: problem,
                actual: format!("{} Hz", spec.rate_hz),
            }
        })?;
        for label in section.use_channels.iter().flatten() {
            spec.channel(label)?;
        }
    }
    if let (Some(spec), Some(section)) = (gaze, &plan.gaze) {
        gaze_reading(section, plan, spec)?;
    }
    Ok(())
}

/// The rate of a stream that declares none, Hz, from the stamps of its first samples, rounded to a tenth.
///
/// # Errors
/// [`SourceError::Mismatch`] when too few samples come, or their rate is none of an eye tracker (30 to 2000 Hz).
pub fn measured_rate_hz(source: &mut dyn SampleSource) -> Result<f64, SourceError> {
    let channels = source.spec().labels.len();
    let (mut data, mut stamps) = (
        vec![0.0; MEASURED_AT_ONCE * channels],
        vec![0.0; MEASURED_AT_ONCE],
    );
    let (mut n, mut first_s, mut last_s) = (0u64, 0.0, 0.0);
    let begun = Instant::now();
    while begun.elapsed() < MEASURE {
        let pulled = source.pull(&mut data, &mut stamps, Duration::from_millis(50))?;
        for stamp_s in stamps.iter().take(pulled).filter(|stamp| stamp.is_finite()) {
            if n == 0 {
                (n, first_s, last_s) = (1, *stamp_s, *stamp_s);
            } else if *stamp_s > last_s {
                n += 1;
                last_s = *stamp_s;
            }
        }
    }
    let rate_hz = tracker_rate_hz(n, last_s - first_s, MEASURE.as_secs_f64());
    rate_hz.ok_or_else(|| SourceError::Mismatch {
        name: source.spec().name.clone(),
        what: "the rate, which it does not declare (gaze.rate_hz),",
        expected: format!("{GAZE_RATE_MIN_HZ} to {GAZE_RATE_MAX_HZ} Hz"),
        actual: format!(
            "{n} samples with times of their own in {} s",
            MEASURE.as_secs()
        ),
    })
}

/// The rate that a gaze stream is followed at which declares none, Hz, rounded to a tenth: by how many samples had a stamp of their own while
/// it was listened to for `listened_s`, and the time from the first such stamp to the last. `None` where these are too few, or the rate is
/// none of an eye tracker.
pub(crate) fn tracker_rate_hz(samples: u64, span_s: f64, listened_s: f64) -> Option<f64> {
    let rate_hz = (10.0 * samples.saturating_sub(1) as f64 / span_s).round() / 10.0;
    let enough = samples as f64 >= MEASURED_PER_S_MIN * listened_s;
    (enough && (GAZE_RATE_MIN_HZ..=GAZE_RATE_MAX_HZ).contains(&rate_hz)).then_some(rate_hz)
}

/// Resolves every stream, as soon as all are there and at the latest after `wait`.
fn resolve(
    network: Network,
    pins: &[&Pins],
    wait: Duration,
    stop: &AtomicBool,
) -> Result<Vec<Stream>, SourceError> {
    let begun = Instant::now();
    loop {
        let left = wait.saturating_sub(begun.elapsed());
        let answer = network.resolve_each(pins, left.min(LOOK));
        let absent = matches!(
            answer,
            Err(SourceError::NotFound { .. } | SourceError::Silent { .. })
        );
        if !absent || stop.load(Ordering::Relaxed) || begun.elapsed() >= wait {
            return answer;
        }
    }
}

/// Looks once for a stream that was lost, by everything it was but its outlet's `uid`, and opens it.
///
/// # Errors
/// [`SourceError`] when it is not there, is there twice, or is another one than it was.
pub fn reopen_samples(
    network: Network,
    was: &StreamSpec,
) -> Result<Box<dyn SampleSource>, SourceError> {
    let stream = reopen(network, was, REOPEN_WAIT)?;
    Ok(Box::new(LslSamples::open(&stream, OPEN_TIMEOUT)?))
}

/// As [`reopen_samples`], for a stream of markers.
///
/// # Errors
/// As [`reopen_samples`].
pub fn reopen_markers(
    network: Network,
    was: &StreamSpec,
) -> Result<Box<dyn MarkerSource>, SourceError> {
    let stream = reopen(network, was, REOPEN_WAIT)?;
    Ok(Box::new(LslMarkers::open(&stream, OPEN_TIMEOUT)?))
}

/// The engine's own marker stream; `session` makes its identity.
///
/// # Errors
/// [`SourceError::Lsl`] when no port is free.
pub fn marker_outlet(
    network: Network,
    session: &str,
) -> Result<(StreamSpec, LslMarkerOutlet), SourceError> {
    let spec = StreamSpec {
        name: MARKER_STREAM.into(),
        kind: "Markers".into(),
        source_id: marker_source_id(session),
        hostname: String::new(),
        uid: String::new(),
        rate_hz: 0.0,
        format: Format::String,
        labels: vec!["marker".into()],
        units: Vec::new(),
        xml: String::new(),
    };
    let outlet = LslMarkerOutlet::new(network, &spec)?;
    Ok((outlet.spec().clone(), outlet))
}

/// What the stream says of itself that tells the state of the person: the time on task, then [`person::COLUMNS`], once a second;
/// NaN where something is not known.
#[must_use]
pub fn state_spec(session: &str) -> StreamSpec {
    let columns = || std::iter::once(&person::TIME_ON_TASK).chain(&person::COLUMNS);
    StreamSpec {
        name: STATE_STREAM.into(),
        kind: "State".into(),
        source_id: format!("razvilka-state-{session}"),
        hostname: String::new(),
        uid: String::new(),
        rate_hz: 0.0,
        format: Format::Float32,
        labels: columns().map(|(name, _)| (*name).to_owned()).collect(),
        units: columns().map(|(_, unit)| (*unit).to_owned()).collect(),
        xml: String::new(),
    }
}

/// The stream that tells the state of the person; `session` makes its identity.
///
/// # Errors
/// [`SourceError::Lsl`] when no port is free.
pub fn state_outlet(
    network: Network,
    session: &str,
) -> Result<(StreamSpec, LslSampleOutlet), SourceError> {
    let outlet = LslSampleOutlet::new(network, &state_spec(session))?;
    Ok((outlet.spec().clone(), outlet))
}

/// What the stream says of itself that tells how far each option of the open fork has come by gaze: number of the fork, then 0..=1 for each
/// option, NaN where there is none. A sample every 40 ms in which gaze says anything of the fork, stamped as the gaze it rests on.
#[must_use]
pub fn feedback_spec(session: &str) -> StreamSpec {
    let options = (0..MAX_OPTIONS).map(|option| format!("option{option}"));
    StreamSpec {
        name: FEEDBACK_STREAM.into(),
        kind: "Feedback".into(),
        source_id: format!("razvilka-dwell-{session}"),
        hostname: String::new(),
        uid: String::new(),
        rate_hz: 0.0,
        format: Format::Float32,
        labels: std::iter::once("fork".to_owned()).chain(options).collect(),
        units: std::iter::once("number")
            .chain(std::iter::repeat_n("share", MAX_OPTIONS))
            .map(str::to_owned)
            .collect(),
        xml: String::new(),
    }
}

/// The stream of dwell feedback; `session` makes its identity.
///
/// # Errors
/// [`SourceError::Lsl`] when no port is free.
pub fn feedback_outlet(network: Network, session: &str) -> Result<LslSampleOutlet, SourceError> {
    LslSampleOutlet::new(network, &feedback_spec(session))
}

/// The `source_id` of the engine's marker stream.
#[must_use]
pub fn marker_source_id(session: &str) -> String {
    format!("razvilka-markers-{session}")
}
