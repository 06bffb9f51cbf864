//! Fixations: how long they last, and how samples lie about their middle.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, LogNormal};

/// Fixations shorter than this are left out: the labels of some recordings break at single samples.
const SHORTEST_S: f64 = 0.04;
/// Longer recorded fixations are not taken for reading, whose fixations last 0.1 to 0.5 s (Rayner 1998, Psychol. Bull. 124:372): people
/// who watch a moving scene stay for seconds.
const LONGEST_READING_S: f64 = 0.6;
const FIXATION: &str = "1";

/// What a fixation is for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Purpose {
    Read,
    Idle,
    Stay,
}

/// A recorded fixation: its middle, and positions about it, degrees.
pub(crate) struct Recorded {
    step_s: f64,
    middle: [f64; 2],
    offsets: Vec<[f64; 2]>,
}

impl Recorded {
    fn length_s(&self) -> f64 {
        self.step_s * self.offsets.len() as f64
    }
}

/// Where fixations come from.
pub(crate) enum Pool {
    Simulated,
    /// Fixations of recordings, each recording in the order of time.
    Recorded(Vec<Vec<Recorded>>),
}

/// One drawn fixation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Drawn {
    pub(crate) for_s: f64,
    recorded: Option<Place>,
}

/// A fixation of a recording.
#[derive(Debug, Clone, Copy)]
struct Place {
    recording: usize,
    fixation: usize,
}

impl Pool {
    /// Fixations of labelled recordings under a folder; `None` when there are none.
    pub(crate) fn recorded(folder: &Path, still: bool) -> anyhow::Result<Option<Self>> {
        let mut files: Vec<PathBuf> = Vec::new();
        for part in ["lund2013_one_coder", "gazecom"] {
            let Ok(entries) = fs::read_dir(folder.join(part)) else {
                continue;
            };
            files.extend(entries.filter_map(Result::ok).map(|entry| entry.path()));
        }
        files.sort();
        let mut recordings = Vec::new();
        for file in files {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            if !name.ends_with(".csv") || (still && !name.starts_with("img__")) {
                continue;
            }
            let fixations = read(&file).with_context(|| file.display().to_string())?;
            if fixations.iter().any(|f| f.length_s() <= LONGEST_READING_S) {
                recordings.push(fixations);
            }
        }
        Ok((!recordings.is_empty()).then_some(Self::Recorded(recordings)))
    }

    pub(crate) fn in_words(&self) -> String {
        let Self::Recorded(recordings) = self else {
            return "log-normal durations".into();
        };
        let all = recordings.iter().flatten();
        let mut lengths: Vec<f64> = all.map(Recorded::length_s).collect();
        lengths.sort_by(f64::total_cmp);
        let at = |share: f64| lengths[(share * (lengths.len() - 1) as f64) as usize];
        format!(
            "{} fixations of {} recordings, {:.2} s median, {:.2} s 90th and {:.2} s 99th percentile",
            lengths.len(),
            recordings.len(),
            at(0.5),
            at(0.9),
            at(0.99)
        )
    }

    /// Whether samples carry the noise of a tracker already.
    pub(crate) fn noise_included(&self) -> bool {
        matches!(self, Self::Recorded(_))
    }

    /// A fixation for a purpose. Recorded ones follow one another as they did in the recording; `after` is the one before, and
    /// without it a sequence begins anywhere in any recording.
    pub(crate) fn draw(
        &self,
        purpose: Purpose,
        after: Option<Drawn>,
        pace: f64,
        random: &mut ChaCha8Rng,
    ) -> Drawn {
        let Self::Recorded(recordings) = self else {
            let (median_s, spread, longest_s) = match purpose {
                Purpose::Read => (0.22 * pace, 0.3, 0.8),
                Purpose::Idle => (0.3, 0.4, 1.5),
                Purpose::Stay => (0.4, 0.35, 1.5),
            };
            let for_s = LogNormal::new(median_s.ln(), spread)
                .map_or(median_s, |lengths| lengths.sample(random));
            return Drawn {
                for_s: for_s.clamp(0.08, longest_s),
                recorded: None,
            };
        };
        let mut place = after.and_then(|drawn| drawn.recorded).unwrap_or_else(|| {
            let recording = random.random_range(0..recordings.len());
            let fixation = random.random_range(0..recordings[recording].len());
            Place {
                recording,
                fixation,
            }
        });
        let fixations = &recordings[place.recording];
        loop {
            place.fixation = (place.fixation + 1) % fixations.len();
            let for_s = fixations[place.fixation].length_s();
            // One as short is in every recording.
            if purpose != Purpose::Read || for_s <= LONGEST_READING_S {
                let recorded = Some(place);
                return Drawn { for_s, recorded };
            }
        }
    }

    /// Where a drawn fixation was on the recording's screen, degrees; `None` for one that was not recorded.
    pub(crate) fn middle(&self, drawn: Drawn) -> Option<[f64; 2]> {
        self.fixation(drawn).map(|fixation| fixation.middle)
    }

    fn fixation(&self, drawn: Drawn) -> Option<&Recorded> {
        let (Self::Recorded(recordings), Some(place)) = (self, drawn.recorded) else {
            return None;
        };
        recordings.get(place.recording)?.get(place.fixation)
    }

    /// Where the eye is at a time within a drawn fixation, relative to its middle, degrees.
    pub(crate) fn offset(&self, drawn: Drawn, at_s: f64) -> [f64; 2] {
        self.fixation(drawn).map_or([0.0; 2], |recorded| {
            let sample = (at_s / recorded.step_s) as usize;
            recorded.offsets[sample.min(recorded.offsets.len() - 1)]
        })
    }
}

/// The fixations of a file of `t_ms,x_deg,y_deg,valid,label`.
fn read(file: &Path) -> anyhow::Result<Vec<Recorded>> {
    let text = fs::read_to_string(file)?;
    let mut fixations = Vec::new();
    let mut open: Vec<[f64; 3]> = Vec::new();
    let mut close = |open: &mut Vec<[f64; 3]>| {
        let n = open.len() as f64;
        if let [first, .., last] = open.as_slice() {
            let step_s = (last[0] - first[0]) / (n - 1.0) / 1e3;
            let middle = [1, 2].map(|k| open.iter().map(|row| row[k]).sum::<f64>() / n);
            if step_s > 0.0 && step_s * n >= SHORTEST_S {
                let offsets = open
                    .iter()
                    .map(|row| [row[1] - middle[0], row[2] - middle[1]])
                    .collect();
                fixations.push(Recorded {
                    step_s,
                    middle,
                    offsets,
                });
            }
        }
        open.clear();
    };
    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let [t_ms, x_deg, y_deg, "1", FIXATION] = fields.as_slice() else {
            close(&mut open);
            continue;
        };
        open.push([t_ms.parse()?, x_deg.parse()?, y_deg.parse()?]);
    }
    close(&mut open);
    Ok(fixations)
}
