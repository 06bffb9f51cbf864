//! Evidence made again from the raw recording, by the very lines that made it live.
//!
//! The file is read twice, chunk by chunk: once for the markers, once for the samples, so that an hour of recording takes
//! no more memory than its evidence.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::Path;

use razvilka_calibration::{Epochs, Profile};

use super::ReplayError;
use super::eeg::EegFeed;
use super::gaze::GazeFeed;
use super::happened::Exchange;
use crate::config::Plan;
use crate::engine::adapting::{Adaptation, Adapting};
use crate::engine::drift::{GazeDrift, GazeStep};
use crate::engine::lines;
use crate::fork::ForkId;
use crate::gate::{Source, Told};
use crate::marker::Marker;
use crate::pipeline::decision::Made;
use crate::recording::xdf::{Chunk, Reader, SampleChunk, StreamId, Values, XdfError};
use crate::session::{ForkRow, Manifest, OptionRow};
use crate::source::StreamSpec;

/// Role of the EEG stream in a manifest.
pub(super) const EEG: &str = "eeg";
/// Role of the gaze stream.
pub(super) const GAZE: &str = "gaze";
/// Role of our own marker stream.
const MARKERS: &str = "markers";

/// What something that was told is known by; of a look there is no source.
pub(super) type Key = (ForkId, Option<Source>, u64);

/// What the ledger says that the lines must know: the forks with their options, and the scorers exchanged.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) forks: BTreeMap<ForkId, (ForkRow, Vec<OptionRow>)>,
    /// From which fork or flash on which channels were left out, in order.
    pub(super) exchanges: Vec<Exchange>,
    /// What the scorer learnt, in order.
    pub(super) adaptations: Vec<Adaptation>,
    /// How a tracker that drifts was followed, in order.
    pub(super) gaze_steps: Vec<GazeStep>,
    /// Streams that began anew, each after so many of its samples, in order.
    pub(super) restarts: Vec<(String, u64)>,
}

/// All evidence of a recording.
#[derive(Debug, Default)]
pub(super) struct Remade {
    pub(super) items: HashMap<Key, (Told, Made)>,
    /// What the scorer learnt now, by the fork at whose opening it did.
    pub(super) adaptations: BTreeMap<ForkId, Option<Adaptation>>,
    /// How the tracker is followed now, by the fork at whose opening it is.
    pub(super) gaze_steps: BTreeMap<ForkId, Option<GazeStep>>,
    /// Stamp of the last sample of each stream, on the stream's own clock, seconds.
    eeg_end_s: Option<f64>,
    gaze_end_s: Option<f64>,
    /// What the recording lacks, one sentence each.
    pub(super) lacking: Vec<String>,
    /// Samples read.
    pub(super) samples: u64,
    /// Flashes read.
    pub(super) flashes: u64,
    /// From the first to the last sample, seconds.
    pub(super) seconds: f64,
}

impl Remade {
    /// What was told, and what it was made from.
    pub(super) fn get(&self, told: &Told) -> Option<&(Told, Made)> {
        self.items.get(&key_of(told))
    }

    /// Keeps what is told again.
    pub(super) fn keep(&mut self, (told, made): (Told, Made)) {
        self.items.insert(key_of(&told), (told, made));
    }

    /// What the scorer learnt at the opening of this fork; `None` when the lines never came so far.
    pub(super) fn adaptation(&self, fork: ForkId) -> Option<Option<&Adaptation>> {
        self.adaptations.get(&fork).map(Option::as_ref)
    }

    /// Whether the recording ends before the samples that this item of `fork` rests on.
    pub(super) fn ends_before(&self, told: &Told, fork: &ForkRow) -> bool {
        let (end_s, clock) = match source_of(told) {
            Some(Source::P300 | Source::Contraction) => (self.eeg_end_s, fork.eeg_clock),
            Some(Source::Gaze | Source::Blink | Source::Pupil) | None => {
                (self.gaze_end_s, fork.gaze_clock)
            }
            Some(Source::Switch) => return false,
        };
        let offset_s = clock.map_or(0.0, |clock| clock.offset_s);
        end_s.is_none_or(|end_s| end_s + offset_s < told.at().get())
    }
}

/// Where a stream began anew: the line is restarted before the sample with this number.
pub(super) struct Restarts {
    before: VecDeque<u64>,
    samples: u64,
}

impl Restarts {
    pub(super) fn of(known: &Known, stream: &str) -> Self {
        let of_stream = known.restarts.iter().filter(|(name, _)| name == stream);
        Self {
            before: of_stream.map(|(_, samples)| *samples).collect(),
            samples: 0,
        }
    }

    /// Counts a sample; `true` when the stream begins anew with it.
    pub(super) fn begins_anew(&mut self) -> bool {
        let sample = self.samples;
        self.samples += 1;
        self.before
            .pop_front_if(|before| *before <= sample)
            .is_some()
    }
}

/// Sends a recording through the lines.
///
/// # Errors
/// [`ReplayError`] when the recording cannot be read at all, lacks a stream, or does not fit profile and plan.
pub(super) fn remake(
    path: &Path,
    manifest: &Manifest,
    plan: &Plan,
    profile: &Profile,
    epochs: Option<Epochs>,
    known: &Known,
) -> Result<Remade, ReplayError> {
    let mut remade = Remade::default();
    let (survey, recover) = match Survey::of(path, manifest, false) {
        Ok(survey) => (survey, false),
        Err(error @ XdfError::Open { .. }) => return Err(error.into()),
        Err(fault) => {
            remade
                .lacking
                .push(format!("session.xdf is damaged: {fault}"));
            (Survey::of(path, manifest, true)?, true)
        }
    };
    if survey.unended > 0 {
        remade.lacking.push(format!(
            "session.xdf was not ended in order: {} of its streams have no footer",
            survey.unended
        ));
    }
    let mut eeg = match (&plan.eeg, spec_of(manifest, EEG)) {
        (Some(section), Some(spec)) => {
            let calibration = profile
                .eeg
                .as_ref()
                .ok_or(lines::LineError::NoPart { part: EEG })?;
            let mut line = lines::eeg_line(section, calibration, spec, None)?;
            lines::listen_for_contractions(&mut line, plan, profile, spec)?;
            let adapting = Adapting::new(calibration, &plan.adaptation, epochs)
                .map_err(lines::LineError::from)?;
            Some(EegFeed::new(
                line,
                calibration,
                adapting,
                spec,
                &survey.markers,
                known,
            ))
        }
        _ => None,
    };
    let mut gaze = match (&plan.gaze, spec_of(manifest, GAZE)) {
        (Some(section), Some(spec)) => {
            let mut line = lines::gaze_line(section, plan, profile.gaze.as_ref(), spec)?;
            lines::listen_for_blinks(&mut line, section, plan, profile, spec)?;
            lines::watch_pupils(&mut line, plan, profile, spec)?;
            lines::tell_looks(&mut line, plan);
            let error = profile.gaze.as_ref().map(|gaze| &gaze.error);
            let drift = GazeDrift::new(&plan.adaptation, error);
            Some(GazeFeed::new(line, drift, spec, &survey.markers, known))
        }
        _ => None,
    };
    for (role, wanted) in [
        (EEG, eeg.is_some()),
        (GAZE, gaze.is_some()),
        (MARKERS, true),
    ] {
        if wanted && !survey.streams.values().any(|found| *found == role) {
            let lack = format!("session.xdf holds no {role} stream");
            if survey.unended == 0 && !recover {
                return Err(ReplayError::NoStream { role });
            }
            remade.lacking.push(lack);
        }
    }
    remade.flashes = eeg.as_ref().map_or(0, EegFeed::flashes);
    let mut span: Option<(f64, f64)> = None;
    for chunk in reader(path, recover)? {
        let Chunk::Samples(SampleChunk {
            stream,
            stamps,
            values,
            ..
        }) = chunk?
        else {
            continue;
        };
        let Some(values) = floats(values) else {
            continue;
        };
        match survey.streams.get(&stream).copied() {
            Some(EEG) => {
                if let Some(feed) = &mut eeg {
                    feed.block(&stamps, &values, &mut remade)?;
                }
                remade.eeg_end_s = stamps.last().copied().or(remade.eeg_end_s);
            }
            Some(GAZE) => {
                if let Some(feed) = &mut gaze {
                    feed.block(&stamps, &values, &mut remade);
                }
                remade.gaze_end_s = stamps.last().copied().or(remade.gaze_end_s);
            }
            _ => continue,
        }
        remade.samples += stamps.len() as u64;
        for stamp in stamps {
            let (first, last) = span.unwrap_or((stamp, stamp));
            span = Some((first.min(stamp), last.max(stamp)));
        }
    }
    if let Some(feed) = &mut eeg {
        feed.finish(&mut remade);
    }
    if let Some(feed) = &mut gaze {
        feed.follow_until(None, &mut remade);
    }
    remade.seconds = span.map_or(0.0, |(first, last)| last - first);
    Ok(remade)
}

fn reader(path: &Path, recover: bool) -> Result<Reader<std::fs::File>, XdfError> {
    let reader = Reader::open(path)?;
    Ok(if recover { reader.recover() } else { reader })
}

fn spec_of<'a>(manifest: &'a Manifest, role: &str) -> Option<&'a StreamSpec> {
    manifest
        .streams
        .iter()
        .find(|record| record.role == role)
        .map(|record| &record.spec)
}

/// The values as the pipeline saw them; `None` of text.
fn floats(values: Values) -> Option<Vec<f32>> {
    Some(match values {
        Values::Float32(values) => values,
        // The pipeline takes 32 bits from a source, so nothing was lost on the way into the file.
        Values::Double64(values) => values.into_iter().map(|value| value as f32).collect(),
        Values::Int8(values) => values.into_iter().map(f32::from).collect(),
        Values::Int16(values) => values.into_iter().map(f32::from).collect(),
        Values::Int32(values) => values.into_iter().map(|value| value as f32).collect(),
        Values::Int64(values) => values.into_iter().map(|value| value as f32).collect(),
        Values::Text(_) => return None,
    })
}

/// What the first reading finds.
struct Survey {
    streams: HashMap<StreamId, &'static str>,
    markers: Vec<(f64, Marker)>,
    /// Streams without a footer.
    unended: usize,
}

impl Survey {
    fn of(path: &Path, manifest: &Manifest, recover: bool) -> Result<Self, XdfError> {
        let mut survey = Self {
            streams: HashMap::new(),
            markers: Vec::new(),
            unended: 0,
        };
        for chunk in reader(path, recover)? {
            match chunk? {
                Chunk::StreamHeader { stream, spec } => {
                    survey.unended += 1;
                    let same = |wanted: &StreamSpec| {
                        (&wanted.name, &wanted.kind, &wanted.source_id)
                            == (&spec.name, &spec.kind, &spec.source_id)
                    };
                    let role = [EEG, GAZE, MARKERS]
                        .into_iter()
                        .find(|role| spec_of(manifest, role).is_some_and(same));
                    if let Some(role) = role {
                        survey.streams.insert(stream, role);
                    }
                }
                Chunk::StreamFooter { .. } => survey.unended = survey.unended.saturating_sub(1),
                Chunk::Samples(SampleChunk {
                    stream,
                    stamps,
                    values: Values::Text(texts),
                    ..
                }) if survey.streams.get(&stream) == Some(&MARKERS) => {
                    // What is no marker of ours means nothing to the lines.
                    let markers = stamps.into_iter().zip(&texts);
                    survey.markers.extend(
                        markers.filter_map(|(stamp, text)| {
                            Some((stamp, Marker::from_json(text).ok()?))
                        }),
                    );
                }
                _ => {}
            }
        }
        Ok(survey)
    }
}

/// Which source something comes from that was told; `None` of a look.
pub(super) const fn source_of(told: &Told) -> Option<Source> {
    match told {
        Told::Evidence(evidence) => Some(evidence.source),
        Told::Contraction(_) => Some(Source::Contraction),
        Told::Look(_) => None,
    }
}

fn key_of(told: &Told) -> Key {
    (told.fork(), source_of(told), told.seq())
}
