//! A live calibration: gaze points, blinks on cue where a channel sees them, and cued blocks of flashes, recorded as XDF; the fit is that of `razvilka calibrate`.
//!
//! Nothing is fitted here. The paradigm is run, streams and markers are recorded, and the recording goes through the very
//! code that reads recordings of others, so a live calibration and one from files cannot differ.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam::channel::bounded;
use razvilka_calibration::blink_reference;
use razvilka_dsp::contraction::{ContractionDetector, Muscle};
use razvilka_dsp::deliberate::BlinkKind;
use razvilka_dsp::units::Hertz;

use super::EngineError;
use super::eyes::choose_pupil;
use super::lines::{LineError, montage, muscles_of};
use super::streams::Streams;
use super::wishes::wish_trials;
use crate::choice::{FlashSequence, cued_items};
use crate::config::{GazeProcedure, Plan};
use crate::gate::Lease;
use crate::marker::{BlockKind, Event, GazePhase};
use crate::pipeline::inlet::{Ended, Inlet, RecordOnly};
use crate::pipeline::presenter::{Ask, FlashRun, MarkerStream, Presenter};
use crate::recording::{Capacity, OffsetTap, Recorder, RecordingSummary};
use crate::rt::{self, Wish};
use crate::source::{ClockOffset, StreamSpec};
use crate::view::layout;

/// From the cue to the first flash.
const CUE: Duration = Duration::from_millis(800);
/// From the last flash to the end of its block, beyond the length of an epoch.
const AFTER: Duration = Duration::from_millis(150);
/// Filters settle before the first block.
const SETTLE: Duration = Duration::from_millis(1_000);
/// From the start of the block of blinks to the first one, and from one to the next.
const BLINK: Duration = Duration::from_millis(1_500);
/// How long the disk may take at the end.
const FINISH: Duration = Duration::from_secs(10);
/// Flash sequences of calibration blocks are numbered from here, apart from those of forks.
const BLOCK_STREAM: u64 = 1 << 40;

/// What a calibration run gives back.
pub struct Recorded {
    /// The streams, for the session.
    pub streams: Streams,
    /// The marker stream, for the session.
    pub markers: MarkerStream,
    /// What was recorded.
    pub summary: RecordingSummary,
    /// Whether it was stopped before its end.
    pub stopped: bool,
}

/// How far a calibration has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The target moves.
    Pursuit,
    /// Gaze point number `.0` of `.1`.
    Point(u32, u32),
    /// Blink number `.0` of `.1`.
    Blink(u32, u32),
    /// Deliberate blink number `.0` of `.1`.
    Signal(u32, u32, BlinkKind),
    /// What to want, number `.0` of `.1`.
    Wish(u32, u32),
    /// Contraction number `.0` of `.1`.
    Contraction(u32, u32, Muscle),
    /// Block number `.0` of `.1`.
    Block(u32, u32),
}

/// Runs the paradigm and records it to `file`.
///
/// # Errors
/// [`EngineError`] when the file cannot be written, a thread not be made, or a stream is lost.
pub fn record(
    plan: &Plan,
    streams: Streams,
    mut markers: MarkerStream,
    marker_spec: &StreamSpec,
    file: &Path,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(Progress),
) -> Result<Recorded, EngineError> {
    let recorder = Recorder::create(file, Capacity::default())?;
    let wish = Wish {
        priority: plan.realtime.priority,
        cpu: None,
    };
    let sees_blinks = sees_blinks(plan, &streams)?;
    if let (true, Some(source)) = (plan.contraction.on, &streams.eeg) {
        // Nobody clenches their teeth for channels that cannot see it.
        let (section, spec) = (&plan.contraction, source.spec());
        let picked = muscles_of(section.channels.as_deref(), section.muscle, spec)?;
        let rate = Hertz::new(spec.rate_hz).map_err(LineError::from)?;
        ContractionDetector::new(rate, spec.labels.len(), picked, None).map_err(LineError::from)?;
    }
    if let (true, Some(source)) = (plan.pupil.on, &streams.gaze) {
        // Nor does anybody read for a pupil that the tracker does not tell of.
        choose_pupil(&plan.pupil, source.spec()).map_err(LineError::from)?;
    }
    let mut offsets = Vec::new();
    let mut inlets = Vec::new();
    for (name, source) in [("eeg", streams.eeg), ("gaze", streams.gaze)] {
        let inlet = match source {
            Some(source) => {
                let (tap, offset_tap) = recorder.add_samples(source.spec())?;
                let inlet = Inlet::start(name, wish, source, tap, RecordOnly)?;
                offsets.push((inlet.heartbeat(), offset_tap));
                Some(inlet)
            }
            None => None,
        };
        inlets.push((name, inlet));
    }
    let (tap, marker_offsets) = recorder.add_markers(marker_spec)?;
    markers.record_to(Some(tap));
    let presenter = Presenter::start(markers, None)?;
    let mut run = Run {
        plan,
        presenter: &presenter,
        offsets: &offsets,
        marker_offsets: &marker_offsets,
        stop,
    };
    let finished = run.pursuit(progress)
        && run.points(progress)
        && (!sees_blinks || run.blinks(progress))
        && run.signals(progress)
        && run.contractions(progress)
        && run.wishes(progress)
        && run.blocks(progress);
    presenter.ask(Ask::RecordTo(None));
    let mut sources = Vec::new();
    for (name, inlet) in inlets {
        let source = match inlet {
            Some(inlet) => {
                let ended: Ended<RecordOnly> = inlet
                    .stop()
                    .ok_or(EngineError::Internal("an inlet thread panicked"))?;
                if ended.error.is_some() {
                    return Err(EngineError::Lost { name });
                }
                Some(ended.source)
            }
            None => None,
        };
        sources.push(source);
    }
    let gaze = sources.pop().flatten();
    let eeg = sources.pop().flatten();
    let (markers, _) = presenter
        .stop()
        .ok_or(EngineError::Internal("the presenter's thread panicked"))?;
    let summary = recorder.finish(FINISH);
    Ok(Recorded {
        streams: Streams {
            eeg,
            gaze,
            keys: streams.keys,
            typed: streams.typed,
        },
        markers,
        summary,
        stopped: !finished,
    })
}

/// Whether a channel that is used sees blinks, so that it pays to ask for some.
fn sees_blinks(plan: &Plan, streams: &Streams) -> Result<bool, EngineError> {
    let (Some(section), Some(source)) = (&plan.eeg, &streams.eeg) else {
        return Ok(false);
    };
    let (_, labels) = montage(section, source.spec())?;
    Ok(blink_reference(&labels, true).is_some())
}

struct Run<'a> {
    plan: &'a Plan,
    presenter: &'a Presenter,
    offsets: &'a [(Arc<crate::pipeline::inlet::Heartbeat>, OffsetTap)],
    marker_offsets: &'a OffsetTap,
    stop: &'a AtomicBool,
}

impl Run<'_> {
    /// A target that moves, one lap of its way; `false` when it was stopped.
    fn pursuit(&mut self, progress: &mut dyn FnMut(Progress)) -> bool {
        if self.plan.gaze.is_none() || self.plan.calibration.gaze != GazeProcedure::Pursuit {
            return true;
        }
        progress(Progress::Pursuit);
        let speed = self.plan.calibration.pursuit_deg_s;
        let path = layout::pursuit_path(speed, &self.plan.screen);
        self.presenter.ask(Ask::Say(Event::GazePursuit { path }));
        if !self.wait(Duration::from_secs_f64(path.period_s)) {
            return false;
        }
        self.presenter.ask(Ask::Say(Event::GazePursuitEnd));
        true
    }

    /// Gaze points; `false` when it was stopped.
    fn points(&mut self, progress: &mut dyn FnMut(Progress)) -> bool {
        if self.plan.gaze.is_none() {
            return true;
        }
        let calibration = &self.plan.calibration;
        let seed = self.plan.session.seed;
        let fit = layout::gaze_points(calibration.points, &self.plan.screen);
        let check = layout::check_points(calibration.check_points, &self.plan.screen);
        let fit = match calibration.gaze {
            GazeProcedure::Points | GazeProcedure::Check => fit,
            GazeProcedure::Pursuit => Vec::new(),
        };
        let phase = match calibration.gaze {
            GazeProcedure::Points | GazeProcedure::Pursuit => GazePhase::Fit,
            // Nothing is fitted: every point judges.
            GazeProcedure::Check => GazePhase::Check,
        };
        let fit = layout::in_random_order(fit, seed, 0).into_iter();
        let check = layout::in_random_order(check, seed, 1).into_iter();
        let points: Vec<_> = fit
            .map(|point| (point, phase))
            .chain(check.map(|point| (point, GazePhase::Check)))
            .collect();
        let count = points.len() as u32;
        for (point, ((x_deg, y_deg), phase)) in (0..).zip(points) {
            progress(Progress::Point(point + 1, count));
            self.presenter.ask(Ask::Say(Event::GazePoint {
                point,
                x_deg,
                y_deg,
                phase,
            }));
            if !self.wait(Duration::from_secs_f64(calibration.point_s)) {
                return false;
            }
            self.presenter.ask(Ask::Say(Event::GazePointEnd { point }));
        }
        true
    }

    /// Blinks on cue, for `calibration.blink_s`; `false` when it was stopped.
    fn blinks(&mut self, progress: &mut dyn FnMut(Progress)) -> bool {
        let count = (self.plan.calibration.blink_s / BLINK.as_secs_f64()) as u32;
        if count == 0 {
            return true;
        }
        let kind = BlockKind::Blink;
        self.presenter.ask(Ask::Say(Event::Block { kind }));
        for blink in 0..count {
            progress(Progress::Blink(blink + 1, count));
            if !self.wait(BLINK) {
                return false;
            }
            self.presenter.ask(Ask::Say(Event::Blink));
        }
        if !self.wait(BLINK) {
            return false;
        }
        self.presenter.ask(Ask::Say(Event::BlockEnd));
        true
    }

    /// Deliberate blinks on cue, where they are to count; `false` when it was stopped.
    fn signals(&mut self, progress: &mut dyn FnMut(Progress)) -> bool {
        let section = &self.plan.blink;
        if !section.on || self.plan.gaze.is_none() {
            return true;
        }
        self.cued(section.cues, section.cue_every_s, |cue| {
            progress(Progress::Signal(cue, section.cues, section.kind));
            Event::blink_signal(section.kind)
        })
    }

    /// A signal on cue, `cues` times; `each` says so and names the marker of one. `false` when it was stopped.
    fn cued(&self, cues: u32, every_s: f64, mut each: impl FnMut(u32) -> Event) -> bool {
        let every = Duration::from_secs_f64(every_s);
        let kind = BlockKind::Signal;
        self.presenter.ask(Ask::Say(Event::Block { kind }));
        for cue in 1..=cues {
            if !self.wait(every) {
                return false;
            }
            self.presenter.ask(Ask::Say(each(cue)));
        }
        if !self.wait(every) {
            return false;
        }
        self.presenter.ask(Ask::Say(Event::BlockEnd));
        true
    }

    /// Options to read of which the person is told to want one, where the pupil is to count; `false` when it was stopped.
    fn wishes(&mut self, progress: &mut dyn FnMut(Progress)) -> bool {
        let section = &self.plan.pupil;
        if !section.on || self.plan.gaze.is_none() {
            return true;
        }
        let kind = BlockKind::Pupil;
        self.presenter.ask(Ask::Say(Event::Block { kind }));
        let count = section.cues as usize;
        let trials = wish_trials(self.plan.session.seed, count, &self.plan.screen);
        for (trial, wish) in (0..).zip(trials) {
            progress(Progress::Wish(trial + 1, section.cues));
            let text = wish.text().to_owned();
            self.presenter.ask(Ask::Say(Event::Wish { trial, text }));
            if !self.wait(Duration::from_secs_f64(section.tell_s)) {
                return false;
            }
            self.presenter.ask(Ask::Say(Event::WishOptions {
                trial,
                item: wish.item,
                options: wish.options,
            }));
            if !self.wait(Duration::from_secs_f64(section.options_s)) {
                return false;
            }
            self.presenter.ask(Ask::Say(Event::WishEnd { trial }));
        }
        self.presenter.ask(Ask::Say(Event::BlockEnd));
        true
    }

    /// Contractions on cue, where they are to count; `false` when it was stopped.
    fn contractions(&mut self, progress: &mut dyn FnMut(Progress)) -> bool {
        let section = &self.plan.contraction;
        if !section.on || self.plan.eeg.is_none() {
            return true;
        }
        self.cued(section.cues, section.cue_every_s, |cue| {
            progress(Progress::Contraction(cue, section.cues, section.muscle));
            Event::contraction_signal(section.muscle)
        })
    }

    /// Cued blocks; `false` when it was stopped.
    fn blocks(&mut self, progress: &mut dyn FnMut(Progress)) -> bool {
        if self.plan.eeg.is_none() {
            return true;
        }
        let calibration = &self.plan.calibration;
        let items = self.plan.flash.config().items_min as usize;
        let tiles = layout::calibration_tiles(items, &self.plan.screen);
        let flashes = items as u32 * calibration.flashes_per_item;
        if !self.wait(SETTLE) {
            return false;
        }
        let cues = cued_items(self.plan.session.seed, items, calibration.blocks as usize);
        for (block, item) in (0..).zip(cues) {
            progress(Progress::Block(block + 1, calibration.blocks));
            let item = item as i32; // 16 at most
            self.presenter.ask(Ask::Say(Event::Cue {
                run: block,
                item,
                options: tiles.clone(),
            }));
            if !self.wait(CUE) {
                return false;
            }
            let stream = BLOCK_STREAM + u64::from(block);
            let sequence =
                FlashSequence::of_block(&self.plan.flash, self.plan.session.seed, stream);
            let (done, is_done) = bounded(1);
            self.presenter.ask(Ask::Flash(Box::new(FlashRun {
                fork: None,
                cued: Some((block, item)),
                sequence,
                begin: rt::lsl_now(),
                eeg_offset_s: None,
                lease: Lease { epoch: 0 },
                flashes_max: Some(flashes),
                done: Some(done),
            })));
            while is_done.try_recv().is_err() {
                if !self.wait(Duration::from_millis(20)) {
                    self.presenter.ask(Ask::Hush);
                    return false;
                }
            }
            if !self.wait(Duration::from_secs_f64(self.plan.epoch.length_s) + AFTER) {
                return false;
            }
            self.presenter.ask(Ask::Say(Event::CueEnd { run: block }));
        }
        true
    }

    /// Waits, and meanwhile hands clock offsets to the recorder; `false` when stopped or a stream is lost.
    fn wait(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        loop {
            for (heartbeat, tap) in self.offsets {
                if let Some(offset) = heartbeat.clock_offset() {
                    tap.push(offset);
                }
                if heartbeat.is_lost() {
                    return false;
                }
            }
            self.marker_offsets.push(ClockOffset {
                at_s: rt::lsl_now().get(),
                offset_s: 0.0,
            });
            if self.stop.load(Ordering::Relaxed) {
                return false;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            std::thread::sleep(left.min(Duration::from_millis(50)));
        }
    }
}
