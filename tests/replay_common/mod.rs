//! A session lived in simulated time: the laboratory's core, the engine's pure parts, and the files as a live session
//! writes them. No threads, no clock, no network.

#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use razvilka::choice::{Ask, Decision, FlashSequence, Presence, Protocol, Step, cued_items};
use razvilka::cli::{calibrate, recorded};
use razvilka::config::{EegSection, GazeSection, GazeUnits, Plan, ScreenSection};
use razvilka::decode::{self, Cancel, Decoder, Model};
use razvilka::engine::adapting::{Adaptation, Adapting, Answered, RefitJob};
use razvilka::engine::conduct::{capped_prior, model_digest, option_rows, tiles_of, why_of};
use razvilka::engine::lines;
use razvilka::engine::question::{Done, Question};
use razvilka::engine::replay::PROFILE;
use razvilka::engine::wishes::wish_trials;
use razvilka::fork::{Chooser, Fork, ForkId, options_of};
use razvilka::gate::{Gate, GateInput, GateSettings, Lease};
use razvilka::marker::{BlockKind, Event, GazePhase, Marker, OptionKind};
use razvilka::pipeline::contractions::{Asked, contraction_told};
use razvilka::pipeline::decision::{Made, Record};
use razvilka::pipeline::eeg::{EegLine, flash_evidence};
use razvilka::pipeline::features::FeatureDrain;
use razvilka::pipeline::gaze::{
    GazeLine, blink_evidence, gaze_evidence, look_told, pupil_evidence,
};
use razvilka::pipeline::presenter::{FlashId, FlashNotice};
use razvilka::pipeline::scribe::{BETWEEN_TEXTS, Texts};
use razvilka::pipeline::trace::Trace;
use razvilka::recording::xdf::{StreamId, Writer};
use razvilka::session::{
    ConfigRecord, EventKind, EventRow, Folder, ForkRow, LedgerWriter, Manifest, SessionFile,
    SessionRow, StreamRecord, sha256_file,
};
use razvilka::sim::{
    EyeLoss, Laboratory, Preset, Screen, SimOutput, SimSettings, Since, Streams, TrackedEye,
    TrackerSettings,
};
use razvilka::source::pins::Pins;
use razvilka::source::{ClockOffset, Format, StreamSpec};
use razvilka::view::layout;
use razvilka_calibration::Profile;
use razvilka_dsp::contraction::Muscle;
use razvilka_dsp::deliberate::BlinkKind;
use razvilka_dsp::mask::ChannelMask;
use razvilka_dsp::units::{LslTime, MonoTime};

const START_S: f64 = 500.0;
/// The devices' clocks are not ours.
const EEG_OFFSET_S: f64 = -1_000.123_456_789;
const GAZE_OFFSET_S: f64 = 77.000_000_321;
const LEASE: Lease = Lease { epoch: 1 };
/// From a sample's stamp to the gate.
const TRANSPORT_S: f64 = 0.004;
/// Length of one turn of the simulated loop.
const TURN_S: f64 = 0.01;

fn at(seconds: f64) -> LslTime {
    LslTime::new(seconds).unwrap()
}

fn mono(seconds: f64) -> MonoTime {
    MonoTime::from_nanos((seconds * 1e9) as u64)
}

pub(crate) fn model() -> Arc<Model> {
    static MODEL: OnceLock<Arc<Model>> = OnceLock::new();
    Arc::clone(MODEL.get_or_init(|| Arc::new(Model::embedded().unwrap())))
}

/// Whether the person of this process also blinks on purpose, and the session listens to it; set before anything else.
pub(crate) static WITH_BLINKS: AtomicBool = AtomicBool::new(false);

/// Whether the tracker of this process tells of two eyes, pupils and lids, one eye is lost for a while, and the session listens to the
/// pupil; set before anything else.
pub(crate) static WITH_PUPILS: AtomicBool = AtomicBool::new(false);

fn with_pupils() -> bool {
    WITH_PUPILS.load(Ordering::Relaxed)
}

fn with_blinks() -> bool {
    WITH_BLINKS.load(Ordering::Relaxed)
}

/// Whether it contracts its jaw on purpose, speaks and chews, and the session listens to that; set before anything else.
pub(crate) static WITH_CONTRACTIONS: AtomicBool = AtomicBool::new(false);

fn with_contractions() -> bool {
    WITH_CONTRACTIONS.load(Ordering::Relaxed)
}

pub(crate) fn settings() -> SimSettings {
    let usual = SimSettings::default();
    SimSettings {
        channels: if with_contractions() {
            SimSettings::with_muscles(usual.channels.clone())
        } else {
            usual.channels.clone()
        },
        contraction_signal: with_contractions().then_some(Muscle::Jaw),
        muscles_per_min: if with_contractions() { 2.0 } else { 0.0 },
        seed: 3,
        preset: Preset::Easy,
        // A pupil takes a second: who reads three options in that time widens it for all of them.
        pace: if with_pupils() { 1.0 } else { 2.0 },
        blink_signal: with_blinks().then_some(BlinkKind::Double),
        tracker: TrackerSettings {
            two_eyes: with_pupils(),
            pupil: with_pupils(),
            openness: with_pupils(),
            losses: Vec::from_iter(with_pupils().then_some(EyeLoss {
                eye: TrackedEye::Left,
                since: Since::StartS(250.0),
                for_s: Some(90.0),
            })),
            ..TrackerSettings::default()
        },
        pupil_gain_mm: with_pupils().then_some(0.3),
        ..usual
    }
}

fn markers_spec() -> StreamSpec {
    StreamSpec {
        name: "Razvilka".into(),
        kind: "Markers".into(),
        source_id: "razvilka-markers-test".into(),
        hostname: String::new(),
        uid: String::new(),
        rate_hz: 0.0,
        format: Format::String,
        labels: vec!["marker".into()],
        units: Vec::new(),
        xml: String::new(),
    }
}

pub(crate) fn plan() -> Plan {
    let settings = settings();
    let streams = Streams::of(&settings);
    let Screen {
        width_cm,
        height_cm,
        distance_cm,
    } = settings.screen;
    let mut plan = Plan {
        eeg: Some(EegSection {
            pins: Pins::of(&streams.eeg),
            use_channels: None,
        }),
        gaze: Some(GazeSection {
            pins: Pins::of(&streams.gaze),
            x: "x".into(),
            y: "y".into(),
            confidence: Some("confidence".into()),
            units: Some(GazeUnits::Normalised),
            ..GazeSection::default()
        }),
        screen: ScreenSection {
            width_cm,
            height_cm,
            distance_cm,
            ..ScreenSection::default()
        },
        ..Plan::default()
    };
    plan.session.seed = 3;
    plan.model.prompt = "Once".into();
    plan.calibration.blocks = 7;
    plan.ask.reading_s_per_word = 0.11;
    plan.adaptation.refit_every_forks = 2;
    plan.pupil.on = with_pupils();
    plan.pupil.cues = 30;
    if with_pupils()
        && let Some(gaze) = &mut plan.gaze
    {
        (gaze.x, gaze.y) = ("left_x".into(), "left_y".into());
        gaze.x_right = Some("right_x".into());
        gaze.y_right = Some("right_y".into());
        gaze.confidence = Some("left_confidence".into());
        gaze.confidence_right = Some("right_confidence".into());
        gaze.openness = Some("right_openness".into());
    }
    plan.blink.on = with_blinks();
    plan.blink.cues = 20;
    plan.blink.cue_every_s = 8.0;
    plan.contraction.on = with_contractions();
    plan.contraction.cues = 20;
    if with_blinks() || with_pupils() || with_contractions() {
        // Gaze and P300 leave something to say.
        let mut gate = *plan.gate.config();
        gate.gaze.total_clip_nats = 2.0;
        gate.p300.total_clip_nats = 2.0;
        gate.commit_threshold = 0.985;
        plan.gate = GateSettings::new(gate).unwrap();
    }
    plan.check().unwrap();
    plan
}

/// The devices, the recording, and the markers: what is on both sides of the engine.
struct World {
    laboratory: Laboratory,
    now_s: f64,
    xdf: Writer<std::fs::File>,
    eeg: StreamId,
    gaze: StreamId,
    markers: StreamId,
    seq: u64,
}

/// What came of a turn, on the devices' own clocks.
#[derive(Default)]
struct Samples {
    eeg: Vec<(f64, Vec<f32>)>,
    gaze: Vec<(f64, Vec<f32>)>,
}

impl World {
    fn new(laboratory: Laboratory, now_s: f64, file: &Path, seq: u64) -> Self {
        let streams = Streams::of(&settings());
        let mut xdf = Writer::create(file).unwrap();
        let eeg = xdf.add_stream(&streams.eeg).unwrap();
        let gaze = xdf.add_stream(&streams.gaze).unwrap();
        let markers = xdf.add_stream(&markers_spec()).unwrap();
        for (stream, offset_s) in [(eeg, EEG_OFFSET_S), (gaze, GAZE_OFFSET_S), (markers, 0.0)] {
            xdf.clock_offset(
                stream,
                ClockOffset {
                    at_s: now_s,
                    offset_s,
                },
            )
            .unwrap();
        }
        Self {
            laboratory,
            now_s,
            xdf,
            eeg,
            gaze,
            markers,
            seq,
        }
    }

    fn say(&mut self, body: Event, stamp_s: f64) -> u64 {
        let marker = Marker {
            seq: self.seq,
            body,
        };
        self.laboratory.hear(stamp_s, &marker);
        self.xdf
            .texts(self.markers, &[stamp_s], &[marker.to_json()])
            .unwrap();
        self.seq += 1;
        marker.seq
    }

    fn turn(&mut self, until_s: f64) -> Samples {
        let mut samples = Samples::default();
        self.laboratory
            .advance(until_s, &mut |output| match output {
                SimOutput::Eeg {
                    stamp_s,
                    microvolts,
                } => {
                    samples
                        .eeg
                        .push((stamp_s - EEG_OFFSET_S, microvolts.to_vec()));
                }
                SimOutput::Gaze { stamp_s, gaze } => {
                    samples.gaze.push((stamp_s - GAZE_OFFSET_S, gaze.to_vec()));
                }
                SimOutput::Key { .. } | SimOutput::Truth(_) => {}
            });
        for (stream, samples) in [(self.eeg, &samples.eeg), (self.gaze, &samples.gaze)] {
            let stamps: Vec<f64> = samples.iter().map(|(stamp, _)| *stamp).collect();
            let data: Vec<f32> = samples
                .iter()
                .flat_map(|(_, row)| row.iter().copied())
                .collect();
            self.xdf.floats(stream, &stamps, &data).unwrap();
        }
        self.now_s = until_s;
        samples
    }
}

/// Gaze points and cued blocks, recorded and fitted as `razvilka calibrate` does.
fn calibrate(folder: &Path, plan: &Plan) -> (Laboratory, f64) {
    let file = folder.join("calibration.xdf");
    let laboratory = Laboratory::new(&settings(), START_S).unwrap();
    let mut world = World::new(laboratory, START_S, &file, 0);
    let points = layout::gaze_points(plan.calibration.points, &plan.screen);
    let checks = layout::check_points(plan.calibration.check_points, &plan.screen);
    let fit = points.into_iter().map(|point| (point, GazePhase::Fit));
    let points: Vec<_> = fit
        .chain(checks.into_iter().map(|point| (point, GazePhase::Check)))
        .collect();
    for (point, ((x_deg, y_deg), phase)) in (0..).zip(points) {
        world.say(
            Event::GazePoint {
                point,
                x_deg,
                y_deg,
                phase,
            },
            world.now_s,
        );
        world.turn(world.now_s + plan.calibration.point_s);
        world.say(Event::GazePointEnd { point }, world.now_s);
    }
    world.turn(world.now_s + 1.0);
    if plan.blink.on {
        let kind = BlockKind::Signal;
        world.say(Event::Block { kind }, world.now_s);
        for _ in 0..plan.blink.cues {
            world.turn(world.now_s + plan.blink.cue_every_s);
            world.say(Event::blink_signal(plan.blink.kind), world.now_s);
        }
        world.turn(world.now_s + plan.blink.cue_every_s);
        world.say(Event::BlockEnd, world.now_s);
    }
    if plan.pupil.on {
        let kind = BlockKind::Pupil;
        world.say(Event::Block { kind }, world.now_s);
        let trials = wish_trials(plan.session.seed, plan.pupil.cues as usize, &plan.screen);
        for (trial, wish) in (0..).zip(trials) {
            let text = wish.text().to_owned();
            world.say(Event::Wish { trial, text }, world.now_s);
            world.turn(world.now_s + plan.pupil.tell_s);
            let (item, options) = (wish.item, wish.options);
            let shown = Event::WishOptions {
                trial,
                item,
                options,
            };
            world.say(shown, world.now_s);
            world.turn(world.now_s + plan.pupil.options_s);
            world.say(Event::WishEnd { trial }, world.now_s);
        }
        world.say(Event::BlockEnd, world.now_s);
    }
    if plan.contraction.on {
        let kind = BlockKind::Signal;
        world.say(Event::Block { kind }, world.now_s);
        for _ in 0..plan.contraction.cues {
            world.turn(world.now_s + plan.contraction.cue_every_s);
            let muscle = plan.contraction.muscle;
            world.say(Event::contraction_signal(muscle), world.now_s);
        }
        world.turn(world.now_s + plan.contraction.cue_every_s);
        world.say(Event::BlockEnd, world.now_s);
    }
    let items = plan.flash.config().items_min as usize;
    let tiles = layout::calibration_tiles(items, &plan.screen);
    let cues = cued_items(plan.session.seed, items, plan.calibration.blocks as usize);
    for (run, cued) in (0..).zip(cues) {
        let cued = cued as i32;
        world.say(
            Event::Cue {
                run,
                item: cued,
                options: tiles.clone(),
            },
            world.now_s,
        );
        world.turn(world.now_s + 0.8);
        let mut sequence =
            FlashSequence::new(items, &plan.flash, 3, (1 << 40) + u64::from(run)).unwrap();
        for _ in 0..items as u32 * plan.calibration.flashes_per_item {
            let flash = sequence.next_flash();
            let (item, target) = (flash.item, Some(u8::from(flash.item == cued)));
            world.say(
                Event::Flash {
                    item,
                    target,
                    run: Some(run),
                    fork: None,
                    stamp: None,
                },
                world.now_s,
            );
            world.turn(world.now_s + flash.soa_s);
        }
        world.turn(world.now_s + 1.0);
        world.say(Event::CueEnd { run }, world.now_s);
    }
    let World {
        laboratory,
        now_s,
        xdf,
        ..
    } = world;
    xdf.finish().unwrap();
    let args = calibrate::Args {
        prior_from: Vec::new(),
        blink_channel: None,
        xdf: vec![file],
        out: folder.to_owned(),
        force: false,
        signal: calibrate::SignalOptions::of(&plan.filter, &plan.epoch),
        quality: plan.quality.clone(),
        streams: recorded::Streams {
            gaze: recorded::GazeChannels {
                section: plan.gaze.clone().map(Box::new),
                picture: Some(plan.screen.clone()),
                pupil_section: Some(Box::new(plan.pupil.clone())),
                ..recorded::GazeChannels::default()
            },
            ..recorded::Streams::default()
        },
    };
    let mut talk = Vec::new();
    calibrate::run(&args, &mut talk).unwrap();
    // Shown when a test fails.
    println!("{}", String::from_utf8_lossy(&talk));
    (laboratory, now_s)
}

/// The profile of the simulated person, made in `folder`.
pub(crate) fn profile(folder: &Path) -> PathBuf {
    calibrate(folder, &plan());
    folder.join(calibrate::PROFILE_FILE)
}

/// What the person does unasked.
#[derive(Clone, Copy, PartialEq)]
enum Unasked {
    /// After this question: a call, so many words back, when so many pieces of text have come.
    Call { words_back: usize, pieces: usize },
    /// After this question: the last choice is taken back.
    Undo,
}

struct Day {
    plan: Plan,
    profile: Profile,
    world: World,
    eeg: EegLine,
    gaze: GazeLine,
    gate_settings: GateSettings,
    ledger: LedgerWriter,
    protocol: Protocol,
    texts: Texts,
    model_sha256: String,
    number: u64,
    decoder: Box<dyn Decoder>,
    past: String,
    position: usize,
    tokens_written: u64,
    undoable: usize,
    adapting: Adapting,
    features: FeatureDrain,
    bad: ChannelMask,
    /// Whether a channel was left out already.
    left_out: bool,
    refit: Option<(ForkId, RefitJob)>,
    /// Whether what was done unasked was followed.
    followed: bool,
    /// Calls and undos that were followed.
    unasked: u64,
    questions: u64,
}

impl Day {
    /// Counts as the conductor does.
    fn count(&mut self) {
        let position = self.decoder.position();
        self.tokens_written += position.saturating_sub(self.position) as u64;
        self.position = position;
    }

    fn written(&self) -> String {
        format!("{}{}", self.past, &self.decoder.text())
    }

    /// One piece of text, or the fork that is there.
    fn advance(&mut self) -> Option<Fork> {
        let samples = self.world.turn(self.world.now_s + 0.03);
        self.idle(samples);
        match self.decoder.advance(&Cancel::new()).unwrap() {
            decode::Step::Text(_) => self.count(),
            decode::Step::Fork(fork) => return Some(fork),
            decode::Step::End(_) => {
                self.past = format!("{}{BETWEEN_TEXTS}", self.written());
                self.number += 1;
                self.decoder = self.texts.begin(self.number).unwrap();
                self.position = self.decoder.position();
                self.undoable = 0;
            }
            decode::Step::Waiting | decode::Step::Cancelled => {}
        }
        None
    }

    /// Samples while no fork is open go through the lines all the same.
    fn idle(&mut self, samples: Samples) {
        for (stamp, row) in samples.gaze {
            self.gaze.sample(stamp, &row);
        }
        for (stamp, row) in samples.eeg {
            self.eeg.sample(stamp, &row);
            while self.eeg.pop().is_some() {}
        }
    }

    fn event(&mut self, kind: EventKind, fork: Option<ForkId>, detail: serde_json::Value) {
        let now_s = self.world.now_s;
        let row = EventRow {
            kind,
            fork,
            at: at(now_s),
            mono: mono(now_s),
            detail: detail.to_string(),
        };
        self.ledger.event(&row).unwrap();
    }

    /// A question from its opening to what follows; gives the next fork when there is one at once.
    fn ask(&mut self, fork: Fork, attempt: u32) -> Option<(Fork, u32)> {
        self.count();
        let decision = self.protocol.decide(&Ask {
            origin: fork.origin,
            tokens_written: self.tokens_written,
            attempt,
            presence: Presence::Present,
        });
        let id = ForkId(self.questions);
        self.questions += 1;
        let kinds = options_of(fork.branches.len(), self.undoable > 0);
        let tiles = layout::tiles(&fork, &kinds, &self.plan.screen);
        let opened_s = self.world.now_s;
        let mut question = Question::new(id, fork, attempt, kinds, tiles, at(opened_s));
        let asked = matches!(decision, Decision::Ask(_));
        let offset = |offset_s| {
            Some(ClockOffset {
                at_s: opened_s - 1.0,
                offset_s,
            })
        };
        let row = ForkRow {
            fork: id,
            position_tokens: question.fork.position as u64,
            tokens_written: self.tokens_written,
            context: question.fork.context.clone(),
            origin: question.fork.origin,
            attempt,
            decision,
            opened_at: at(opened_s),
            opened_mono: mono(opened_s),
            lease: LEASE,
            gate: self.gate_settings,
            prior_capped: asked
                .then(|| capped_prior(self.gate_settings, &question))
                .flatten(),
            eeg_clock: offset(EEG_OFFSET_S),
            gaze_clock: offset(GAZE_OFFSET_S),
            model_sha256: self.model_sha256.clone(),
            adapter: None,
        };
        self.ledger.fork(&row, &option_rows(&question)).unwrap();
        let step = match decision.step() {
            Some(step) => step,
            None => {
                let left_out = id.0 == 2 && !self.left_out;
                if left_out || id.0 == 4 {
                    // A channel goes bad, and is good again.
                    self.bad.set(1, left_out);
                    self.left_out = true;
                }
                self.renew_scorer(id, left_out || id.0 == 4);
                let verdict = self.until_decided(&mut question);
                self.protocol
                    .follow(&verdict, &question.kinds, attempt)
                    .unwrap()
            }
        };
        self.follow(question, step)
    }

    /// As the conductor does at the opening of a fork: what was confirmed is learnt, and bad channels are left out.
    fn renew_scorer(&mut self, id: ForkId, changed: bool) {
        while let Some(epoch) = self.features.take() {
            self.adapting.hear(epoch);
        }
        self.adapting.forget_the_oldest();
        let confirmed = self.adapting.confirmed();
        // A fit anew takes as long as two forks.
        let ready = self.refit.take_if(|(begun, _)| begun.0 + 2 <= id.0);
        let done = ready.map(|(_, job)| job.run());
        let learnt = self.adapting.step(id, self.bad, &confirmed, done);
        let moved = learnt.as_ref().is_some_and(Adaptation::moved);
        if changed || moved {
            let kept: Vec<bool> = (0..self.profile.eeg.as_ref().unwrap().path.channels)
                .map(|channel| !self.bad.contains(channel))
                .collect();
            let scorer = self.adapting.calibration().restrict(&kept).unwrap();
            self.eeg.set_scorer(scorer);
        }
        if changed {
            let detail = serde_json::json!({ "bad_channels": self.bad, "fork": id });
            self.event(EventKind::Exchange, None, detail);
        }
        if let Some(mut learnt) = learnt {
            learnt.exchanged = moved;
            if let Some(job) = self.adapting.refit_due() {
                self.refit = Some((id, job));
                learnt.refit_begun = true;
            }
            let detail = serde_json::to_value(&learnt).unwrap();
            self.event(EventKind::Adaptation, None, detail);
        }
    }

    fn until_decided(&mut self, question: &mut Question) -> razvilka::gate::Verdict {
        let id = question.id;
        let mut gate = Gate::new(self.gate_settings);
        gate.open(
            id,
            &question.kinds,
            &question.priors,
            question.opened_at,
            LEASE,
        )
        .unwrap();
        let appears_s = self.world.now_s + 0.04;
        let open = Event::ForkOpen {
            fork: id.0,
            context: question.fork.context.clone(),
            options: question.tiles.clone(),
            timeout_s: self.gate_settings.config().timeout_s,
        };
        self.world.say(open, appears_s);
        let tiles = tiles_of(id, &question.tiles, LEASE, at(appears_s), GAZE_OFFSET_S);
        self.gaze.put_up(tiles, None);
        self.eeg
            .put_up(Asked::at(id, LEASE, at(appears_s), EEG_OFFSET_S), None);
        let mut sequence =
            FlashSequence::new(question.kinds.len(), &self.plan.flash, 3, id.0).unwrap();
        let mut due_s = appears_s + self.plan.ask.reading_s(&question.tiles);
        loop {
            while due_s < self.world.now_s + TURN_S {
                let flash = sequence.next_flash();
                let event = Event::Flash {
                    item: flash.item,
                    target: None,
                    run: None,
                    fork: Some(id.0),
                    stamp: None,
                };
                let seq = self.world.say(event, due_s);
                let notice = FlashNotice {
                    id: FlashId::new(id, seq as u32, flash.item as u8),
                    onset_s: due_s - EEG_OFFSET_S,
                    offset_s: EEG_OFFSET_S,
                    lease: LEASE,
                };
                assert!(self.eeg.flash(&notice));
                due_s += flash.soa_s;
            }
            let samples = self.world.turn(self.world.now_s + TURN_S);
            let mut inputs: Vec<(GateInput, Option<Made>)> = Vec::new();
            let heard = at(self.world.now_s + TRANSPORT_S);
            for (stamp, row) in samples.gaze {
                let word = self.gaze.sample(stamp, &row);
                while let Some(word) = self.gaze.take_look() {
                    let (told, made) = look_told(&word).unwrap();
                    if told.fork() == id {
                        inputs.push((told.input(heard), Some(made)));
                    }
                }
                if let Some(word) = word
                    && word.fork == id
                {
                    let evidence = gaze_evidence(&word).unwrap();
                    let input = GateInput::Evidence {
                        evidence,
                        now: heard,
                    };
                    inputs.push((
                        input,
                        Some(Made::Gaze {
                            sample: word.sample,
                        }),
                    ));
                }
                if let Some(word) = self.gaze.take_blink()
                    && word.fork == id
                {
                    let (evidence, made) = blink_evidence(&word).unwrap();
                    let now = heard;
                    inputs.push((GateInput::Evidence { evidence, now }, Some(made)));
                }
                if let Some(word) = self.gaze.take_pupil()
                    && word.fork == id
                {
                    let (evidence, made) = pupil_evidence(&word).unwrap();
                    let now = heard;
                    inputs.push((GateInput::Evidence { evidence, now }, Some(made)));
                }
            }
            for (stamp, row) in samples.eeg {
                self.eeg.sample(stamp, &row);
                while let Some(found) = self.eeg.pop() {
                    if found.id.fork() == id {
                        let at = at(found.scored.last_s + EEG_OFFSET_S);
                        let evidence = flash_evidence(&found, LEASE, at);
                        let input = GateInput::Evidence {
                            evidence,
                            now: heard,
                        };
                        inputs.push((input, Some(found.made())));
                    }
                }
                if let Some(word) = self.eeg.take_contraction()
                    && word.fork == id
                {
                    let (told, made) = contraction_told(&word).unwrap();
                    inputs.push((told.input(heard), Some(made)));
                }
            }
            inputs.push((GateInput::Tick { now: heard }, None));
            for (input, made) in inputs {
                let verdict = gate.apply(&input);
                let is_tick = matches!(input, GateInput::Tick { .. });
                if is_tick && !verdict.is_terminal() {
                    continue; // it changed nothing
                }
                let arms = verdict.is_terminal().then(|| gate.arms());
                let (fork, input, trace) = (id, Some(input), Trace::default());
                let record = Record {
                    fork,
                    input,
                    made,
                    verdict,
                    arms,
                    trace,
                };
                self.ledger
                    .evidence(&question.take(&record).unwrap())
                    .unwrap();
                if verdict.is_terminal() {
                    let item = question.committed_option().map(|option| option as i32);
                    let outcome = question.outcome().unwrap();
                    let close = Event::ForkClose {
                        fork: id.0,
                        outcome,
                        item,
                    };
                    self.world.say(close, self.world.now_s);
                    return verdict;
                }
            }
        }
    }

    fn follow(&mut self, question: Question, step: Step) -> Option<(Fork, u32)> {
        let fork = question.fork.clone();
        // How far the decoder had thought depends on how long the person took.
        for _ in 0..question.id.0 % 4 {
            self.decoder.think(&Cancel::new()).unwrap();
        }
        let mut next = None;
        let mut go_on = false;
        let (mut item, mut chooser, mut text) = (None, None, String::new());
        match step {
            Step::AskAgain { .. } => next = Some((fork.clone(), question.attempt + 1)),
            Step::TakeBranch { option, .. } => {
                text = self.decoder.commit(fork.id, option).unwrap().text;
                (item, chooser) = (Some(option), Some(Chooser::Human));
                self.undoable += 1;
                self.adapting.answered(Answered {
                    fork: question.id,
                    chosen: option as u32,
                    flashes: question.flashes_heard(),
                });
            }
            Step::ModelChooses { .. } => go_on = true,
            Step::OfferOther { .. } => match self.decoder.other(fork.id).unwrap() {
                Some(other) => {
                    item = question.committed_option();
                    chooser = item.map(|_| Chooser::Human);
                    next = Some((other, 0));
                }
                None => go_on = true,
            },
            Step::TakeBack { .. } => match self.decoder.undo().unwrap() {
                Some(undone) => {
                    self.undoable = self.undoable.saturating_sub(1);
                    self.adapting.taken_back();
                    item = question
                        .kinds
                        .iter()
                        .position(|kind| *kind == OptionKind::Undo);
                    chooser = Some(Chooser::Human);
                    next = Some((undone.fork, 0));
                }
                None => go_on = true,
            },
        }
        if go_on {
            let commit = self.decoder.go_on(fork.id).unwrap();
            (item, chooser, text) = (Some(commit.branch), Some(Chooser::Model), commit.text);
            self.undoable += 1;
        }
        self.count();
        let done = Done {
            item: item.map(|item| item as i32),
            chooser,
            why: why_of(&step),
            text,
            tokens_written: self.tokens_written,
            trace: Trace::default(),
            committed: mono(self.world.now_s),
        };
        let flashes = u64::from(question.evidence_counts().0);
        let row = question.choice_row(&done, |at| mono(at.get()), &self.model_sha256, flashes);
        self.ledger.choice(&row).unwrap();
        next
    }

    fn unasked(&mut self, what: Unasked) -> Option<Fork> {
        let fork = self.try_unasked(what);
        self.unasked += u64::from(std::mem::take(&mut self.followed));
        fork
    }

    fn try_unasked(&mut self, what: Unasked) -> Option<Fork> {
        match what {
            Unasked::Call { words_back, pieces } => {
                for _ in 0..pieces {
                    if let Some(fork) = self.advance() {
                        return Some(fork);
                    }
                }
                let fork = self.decoder.call(words_back).unwrap()?;
                self.followed = true;
                self.adapting.taken_back();
                self.position = self.decoder.position();
                let call = serde_json::json!({
                    "words_back": words_back, "text": self.number, "position": self.position,
                });
                self.event(
                    EventKind::Operator,
                    None,
                    serde_json::json!({ "call": call }),
                );
                Some(fork)
            }
            Unasked::Undo => {
                let fork = self.advance();
                if fork.is_some() {
                    return fork;
                }
                let undone = self.decoder.undo().unwrap()?;
                self.followed = true;
                self.adapting.taken_back();
                self.count();
                self.undoable = self.undoable.saturating_sub(1);
                let detail = serde_json::json!({ "undo": { "position": self.position } });
                self.event(EventKind::Operator, None, detail);
                Some(undone.fork)
            }
        }
    }
}

/// Lives a session of some questions into a new folder.
pub(crate) fn live(path: &Path) {
    let plan = plan();
    let folder = Folder::create(path).unwrap();
    let mut manifest = Manifest::begin(vec!["test".into()], ConfigRecord::new(plan.to_toml()));
    let streams = Streams::of(&settings());
    manifest.streams = [
        ("eeg", streams.eeg),
        ("gaze", streams.gaze),
        ("markers", markers_spec()),
    ]
    .map(|(role, spec)| StreamRecord {
        role: role.into(),
        spec,
        read_as: None,
    })
    .to_vec();
    let profile_path = path.join(PROFILE);
    std::fs::create_dir(profile_path.parent().unwrap()).unwrap();
    let (laboratory, now_s) = calibrate(profile_path.parent().unwrap(), &plan);
    manifest.profile_sha256 = Some(sha256_file(&profile_path).unwrap().0);
    folder.write_manifest(&manifest).unwrap();

    let profile = Profile::load(&profile_path).unwrap();
    let specs = Streams::of(&settings());
    let (eeg, gaze) = (plan.eeg.as_ref().unwrap(), plan.gaze.as_ref().unwrap());
    let texts = Texts {
        model: model().into(),
        settings: plan.writer_settings(),
        prompt: plan.model.prompt.clone(),
    };
    let decoder = texts.begin(0).unwrap();
    let session = SessionRow {
        session: manifest.session.clone(),
        started_utc: manifest.started_utc.clone(),
        razvilka_version: "test".into(),
        seed: plan.session.seed,
        config_sha256: plan.sha256(),
        flash: plan.flash,
        protocol: plan.protocol,
    };
    let calibration = profile.eeg.as_ref().unwrap();
    let epochs = lines::epochs_of(&plan.adaptation, &profile, &profile_path).unwrap();
    assert!(epochs.is_some());
    let mut line = lines::eeg_line(eeg, calibration, &specs.eeg, None).unwrap();
    lines::listen_for_contractions(&mut line, &plan, &profile, &specs.eeg).unwrap();
    let mut day = Day {
        features: lines::features_of(calibration, &mut line),
        adapting: Adapting::new(calibration, &plan.adaptation, epochs).unwrap(),
        bad: ChannelMask::default(),
        refit: None,
        world: World::new(
            laboratory,
            now_s,
            &folder.file(SessionFile::Recording),
            10_000,
        ),
        eeg: line,
        gaze: {
            let mut line =
                lines::gaze_line(gaze, &plan, profile.gaze.as_ref(), &specs.gaze).unwrap();
            lines::listen_for_blinks(&mut line, gaze, &plan, &profile, &specs.gaze).unwrap();
            lines::watch_pupils(&mut line, &plan, &profile, &specs.gaze).unwrap();
            lines::tell_looks(&mut line, &plan);
            line
        },
        gate_settings: lines::gate_settings(&plan, &profile).unwrap(),
        ledger: LedgerWriter::create(&folder.file(SessionFile::Ledger), &session).unwrap(),
        protocol: Protocol::new(plan.protocol),
        model_sha256: model_digest(&texts.model),
        number: 0,
        position: decoder.position(),
        decoder,
        texts,
        past: String::new(),
        tokens_written: 0,
        undoable: 0,
        left_out: false,
        followed: false,
        unasked: 0,
        questions: 0,
        profile,
        plan,
    };
    let samples = day.world.turn(now_s + 2.0);
    day.idle(samples);
    let unasked = [
        (
            1,
            Unasked::Call {
                words_back: 2,
                pieces: 6,
            },
        ),
        (3, Unasked::Undo),
        (
            5,
            Unasked::Call {
                words_back: 0,
                pieces: 3,
            },
        ),
    ];
    // A fork may get in the way of what the person does unasked: then it is tried again after the next question.
    let mut unasked = unasked.iter().peekable();
    while day.questions < 8 || (unasked.peek().is_some() && day.questions < 30) {
        let mut fork = None;
        if let Some((after, what)) = unasked.peek()
            && day.questions > *after
        {
            let before = day.unasked;
            fork = day.unasked(*what);
            if day.unasked > before {
                unasked.next();
            }
        }
        while fork.is_none() {
            fork = day.advance();
        }
        let mut next = fork.map(|fork| (fork, 0));
        while let Some((fork, attempt)) = next {
            next = day.ask(fork, attempt);
        }
    }
    // Some more text, but not up to the next fork.
    for _ in 0..5 {
        if day.advance().is_some() {
            break;
        }
    }
    let (number, position) = (day.number, day.decoder.position());
    let detail = serde_json::json!({ "ending": "test", "text": number, "position": position });
    day.event(EventKind::End, None, detail);
    folder
        .write(SessionFile::Text, day.written().as_bytes())
        .unwrap();
    day.world.xdf.finish().unwrap();
    manifest.end(Some(day.ledger.finish().unwrap()));
    folder.write_manifest(&manifest).unwrap();
}

/// One session, lived once for all tests of a file.
pub(crate) fn lived() -> &'static Path {
    static LIVED: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = LIVED.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("session");
        live(&path);
        (dir, path)
    });
    path
}

/// A copy of it that a test may spoil.
pub(crate) fn copy(to: &Path) -> PathBuf {
    let path = to.join("copy");
    std::fs::create_dir_all(path.join("calibration")).unwrap();
    let files = [
        "manifest.json",
        "session.xdf",
        "ledger.sqlite",
        "text.txt",
        PROFILE,
        "calibration/epochs.bin",
    ];
    for file in files {
        std::fs::copy(lived().join(file), path.join(file)).unwrap();
    }
    path
}
