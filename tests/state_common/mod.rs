//! A simulated person at work for as long as one likes: calibrated, then asked fork after fork, its state followed.

#![allow(
    clippy::unwrap_used,
    reason = "a sitting that cannot be set up should stop"
)]

#[path = "../../calibration/tests/common/session.rs"]
mod session;

use razvilka::choice::{FlashSequence, FlashSettings};
use razvilka::config::{GazeUnits, ScreenSection, StateSection};
use razvilka::marker::{Event, Marker, OptionKind, OptionTile, Outcome};
use razvilka::person::PersonState;
use razvilka::pipeline::eyes::EyeLine;
use razvilka::pipeline::gaze::GazeReading;
use razvilka::pipeline::state::{Reference, Watches};
use razvilka::sim::{Laboratory, SimOutput, SimSettings};
use razvilka_calibration::{EegCalibration, EpochInfo, Epochs, fit_session};
use razvilka_dsp::eeg::{EegPath, EegSpec};
use razvilka_dsp::epoch::EpochStatus;
use razvilka_dsp::eye_state::EyeStateSpec;
use razvilka_dsp::gaze::DetectorKind;
use razvilka_dsp::state::{AmplitudeDrift, AttendedFork, StateSpec, StateTracker};
use razvilka_dsp::units::{Hertz, Seconds};

use self::session::eeg_alone;

const START_S: f64 = 1_000.0;
const BLOCKS: u32 = 12;
const FLASHES: usize = 36;
const SOA_S: f64 = 0.15;
/// From one fork to the next: reading, flashes, a pause.
const READ_S: f64 = 1.0;
const FORK_FLASHES: usize = 36;
const PAUSE_S: f64 = 2.0;

/// The state at the end of one fork.
#[derive(Debug, Clone, Copy)]
pub(crate) struct At {
    /// Since the first sample, seconds.
    pub(crate) seconds: f64,
    /// The state.
    pub(crate) state: PersonState,
}

/// Markers in order of time, and the flashes among them.
struct Script {
    markers: Vec<(f64, Marker)>,
}

impl Script {
    fn say(&mut self, at_s: f64, body: Event) {
        let seq = self.markers.len() as u64;
        self.markers.push((at_s, Marker { seq, body }));
    }

    fn flashes(
        &mut self,
        from_s: f64,
        count: usize,
        seed: u64,
        of: (Option<(u32, i32)>, Option<u64>),
    ) -> f64 {
        let mut t = from_s;
        let number = of.1.unwrap_or(1 << 20);
        let mut sequence = FlashSequence::new(6, &FlashSettings::default(), seed, number).unwrap();
        for _ in 0..count {
            let item = sequence.next_flash().item;
            self.say(
                t,
                Event::Flash {
                    item,
                    target: of.0.map(|(_, cued)| u8::from(cued == item)),
                    run: of.0.map(|(run, _)| run),
                    fork: of.1,
                    stamp: None,
                },
            );
            t += SOA_S;
        }
        t
    }
}

fn tiles(kinds: [OptionKind; 6]) -> Vec<OptionTile> {
    let words = [
        "the dragon burned",
        "the merchant bought",
        "the child found",
        "other",
        "undo",
        "go on",
    ];
    (0..6)
        .map(|item| OptionTile {
            item,
            kind: kinds[item as usize],
            text: words[item as usize].into(),
            x_deg: f64::from(item % 3) * 12.0 - 12.0,
            y_deg: f64::from(item / 3) * 8.0,
            w_deg: 10.0,
            h_deg: 4.0,
        })
        .collect()
}

fn script(seed: u64, seconds: f64) -> (Script, f64) {
    let mut script = Script {
        markers: Vec::new(),
    };
    let mut t = 2.0;
    for run in 0..BLOCKS {
        let cued = (run % 6) as i32;
        let options = tiles([OptionKind::Item; 6]);
        script.say(
            t,
            Event::Cue {
                run,
                item: cued,
                options,
            },
        );
        let end = script.flashes(
            t + 1.5,
            FLASHES,
            seed + u64::from(run),
            (Some((run, cued)), None),
        );
        script.say(end + 0.5, Event::CueEnd { run });
        t = end + 2.0;
    }
    let calibrated_s = t;
    let mut fork = 0;
    while t < seconds {
        use OptionKind::{Branch, GoOn, Other, Undo};
        script.say(
            t,
            Event::ForkOpen {
                fork,
                context: "The fox went to the river.".into(),
                options: tiles([Branch, Branch, Branch, Other, Undo, GoOn]),
                timeout_s: 20.0,
            },
        );
        let end = script.flashes(t + READ_S, FORK_FLASHES, seed, (None, Some(fork)));
        let close = Event::ForkClose {
            fork,
            outcome: Outcome::Declined,
            item: None,
        };
        script.say(end + 0.8, close);
        t = end + PAUSE_S;
        fork += 1;
    }
    (script, calibrated_s)
}

/// What the laboratory did, sample by sample.
struct Recorded {
    stamps: Vec<f64>,
    samples: Vec<f32>,
    gaze: Vec<(f64, [f32; 3])>,
    attended: Vec<(u64, i32)>,
}

fn record(settings: &SimSettings, script: &Script, seconds: f64) -> Recorded {
    let mut laboratory = Laboratory::new(settings, START_S).unwrap();
    let mut recorded = Recorded {
        stamps: Vec::new(),
        samples: Vec::new(),
        gaze: Vec::new(),
        attended: Vec::new(),
    };
    let mut take = |output: SimOutput<'_>| match output {
        SimOutput::Eeg {
            stamp_s,
            microvolts,
        } => {
            recorded.stamps.push(stamp_s);
            recorded.samples.extend_from_slice(microvolts);
        }
        SimOutput::Truth(truth) => {
            recorded
                .attended
                .extend(truth.attended.map(|item| (truth.fork, item)));
        }
        SimOutput::Gaze { stamp_s, gaze } => {
            recorded.gaze.push((stamp_s, gaze.try_into().unwrap()));
        }
        SimOutput::Key { .. } => {}
    };
    for (at_s, marker) in &script.markers {
        if *at_s >= seconds {
            break;
        }
        laboratory.advance(START_S + at_s, &mut take);
        laboratory.hear(START_S + at_s, marker);
    }
    laboratory.advance(START_S + seconds, &mut take);
    recorded
}

fn calibrate(
    settings: &SimSettings,
    script: &Script,
    recorded: &Recorded,
    until_s: f64,
) -> EegCalibration {
    let channels = settings.channels.len();
    let spec = EegSpec::p300(Hertz::new(settings.eeg_rate_hz).unwrap(), channels);
    let mut path = EegPath::prepare(spec).unwrap();
    let shape = path.epoch_shape();
    let mut epochs = Epochs::new(channels, shape.bins()).unwrap();
    let cued: Vec<(f64, u32, bool)> = script
        .markers
        .iter()
        .filter_map(|(at, marker)| match marker.body {
            Event::Flash {
                target: Some(target),
                run: Some(run),
                ..
            } => Some((*at, run, target == 1)),
            _ => None,
        })
        .collect();
    for (id, (at, ..)) in cued.iter().enumerate().take(200) {
        path.flash(id as u64, START_S + at).unwrap();
    }
    let mut told = cued.len().min(200);
    for (stamp, sample) in recorded
        .stamps
        .iter()
        .zip(recorded.samples.chunks_exact(channels))
    {
        if *stamp > START_S + until_s {
            break;
        }
        while let Some((at, ..)) = cued
            .get(told)
            .filter(|(at, ..)| START_S + at < *stamp + 5.0)
        {
            path.flash(told as u64, START_S + at).unwrap();
            told += 1;
        }
        path.push_with(*stamp, sample, |epoch| {
            if epoch.status == EpochStatus::Clean {
                let (onset_s, run, target) = cued[epoch.id as usize];
                epochs
                    .push(
                        EpochInfo {
                            onset_s,
                            target,
                            run,
                        },
                        epoch.features,
                    )
                    .unwrap();
            }
        })
        .unwrap();
        while path.pop().is_some() {}
    }
    let input = eeg_alone(settings.channels.clone(), spec, epochs);
    fit_session(&input).unwrap().profile.eeg.unwrap()
}

/// The spec of a state for a stream with these labels.
pub(crate) fn state_spec(section: &StateSection, path: &EegSpec, labels: &[String]) -> StateSpec {
    let posterior = |label: &String| label.starts_with(['P', 'O']);
    StateSpec {
        rate: path.rate,
        channels: labels.len(),
        stamps: path.stamps,
        quality: path.quality,
        ratio_channels: (0..labels.len())
            .filter(|c| posterior(&labels[*c]))
            .collect(),
        window: Seconds::new(section.window_s).unwrap(),
        baseline: Seconds::new(section.baseline_s).unwrap(),
        recent: Seconds::new(section.recent_s).unwrap(),
        artefact_uv: section.artefact_uv,
        spindle_factor: section.spindle_factor,
        spindle_least_s: section.spindle_min_s,
    }
}

/// The line of the eyes for the simulated tracker, by the geometry of the screen.
fn eye_line(settings: &SimSettings, section: &StateSection) -> EyeLine {
    let screen = ScreenSection::default();
    let reading = GazeReading::new((0, 1), Some((2, 0.5)), GazeUnits::Normalised, &screen);
    let spec = EyeStateSpec {
        rate: Hertz::new(settings.gaze_rate_hz).unwrap(),
        detector: DetectorKind::default(),
        baseline: Seconds::new(section.baseline_s).unwrap(),
        recent: Seconds::new(section.recent_s).unwrap(),
    };
    EyeLine::new(spec, reading, None, None).unwrap()
}

/// Sits a person down, calibrates it, asks it forks for `seconds`, and follows its state: one entry per fork. The option that counts
/// as chosen is the one it attended to.
pub(crate) fn sitting(settings: &SimSettings, seconds: f64) -> Vec<At> {
    let (script, calibrated_s) = script(settings.seed, seconds);
    let recorded = record(settings, &script, seconds);
    let calibration = calibrate(settings, &script, &recorded, calibrated_s);
    let channels = settings.channels.len();
    let section = StateSection::default();
    let mut tracker =
        StateTracker::new(state_spec(&section, &calibration.path, &settings.channels)).unwrap();
    let density = calibration.density;
    let reference = Reference::of(&density).unwrap();
    let se = reference.standard_error(
        &density,
        calibration.metrics.epochs,
        calibration.metrics.targets,
    );
    let mut drift = AmplitudeDrift::new(section.p300_half_life_forks, se).unwrap();
    let mut path = EegPath::prepare(calibration.path).unwrap();
    path.set_scorer(calibration.scorer().unwrap()).unwrap();

    let mut eyes = eye_line(settings, &section);
    // The calibration, with its points and its blinks when asked, is not the eyes' baseline.
    let mut gaze = recorded
        .gaze
        .iter()
        .filter(|(stamp, _)| *stamp >= START_S + calibrated_s)
        .peekable();
    let mut asked = script
        .markers
        .iter()
        .filter(|(at, _)| *at >= calibrated_s)
        .peekable();
    let (mut flashes, mut open) = (Vec::new(), AttendedFork::default());
    let mut states = Vec::new();
    for (stamp, sample) in recorded
        .stamps
        .iter()
        .zip(recorded.samples.chunks_exact(channels))
    {
        while let Some((at, marker)) = asked.next_if(|(at, _)| START_S + at <= *stamp) {
            match marker.body {
                Event::Flash {
                    item,
                    fork: Some(fork),
                    ..
                } => {
                    flashes.push((fork, item));
                    path.flash(flashes.len() as u64 - 1, START_S + at).unwrap();
                }
                Event::ForkClose { .. } => {
                    drift.push(std::mem::take(&mut open));
                    let state = PersonState {
                        indices: tracker.indices(),
                        p300: drift.drift(),
                        eyes: eyes.indices(),
                    };
                    states.push(At {
                        seconds: *at,
                        state,
                    });
                }
                _ => {}
            }
        }
        while let Some((at, gaze)) = gaze.next_if(|(at, _)| at <= stamp) {
            eyes.sample(*at, gaze);
        }
        path.push(*stamp, sample).unwrap();
        while let Some(scored) = path.pop() {
            let (fork, item) = flashes[scored.id as usize];
            let attended = recorded.attended.iter().find(|(of, _)| *of == fork);
            if let (Some(score), Some((_, attended)), EpochStatus::Clean) =
                (scored.score, attended, scored.status)
            {
                open.add(item == *attended, reference.standardise(score));
            }
        }
        tracker.push(*stamp, sample).unwrap();
    }
    states
}
