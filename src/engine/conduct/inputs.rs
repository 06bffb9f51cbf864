//! The session's sample streams together: whether a fork can be asked now, and whose evidence counts.
//!
//! While a stream is looked for, and until its filters have settled again, no fork is asked; see [`super::feed`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use razvilka_calibration::Profile;
use razvilka_dsp::mask::ChannelMask;
use razvilka_dsp::score::{EpochScorer, ScoreDensity};
use razvilka_dsp::units::MonoTime;
use ringbuf::traits::{Consumer, Split};
use ringbuf::{HeapCons, HeapProd, HeapRb};

use super::feed::{Change, Feed};
use super::gaze_news::GazeNews;
use crate::config::{ClocksDisagree, Plan};
use crate::engine::latency::StreamLatency;
use crate::engine::{EngineError, lines};
use crate::fork::ForkId;
use crate::pipeline::clock::disagree;
use crate::pipeline::contractions::Asked;
use crate::pipeline::decision::{GateThread, Watched};
use crate::pipeline::eeg::{EegLine, EegPorts, EegStage, EegWatch, NewScorer};
use crate::pipeline::features::FeatureDrain;
use crate::pipeline::gaze::{Dwell, GazeStage, GazeWatch, Look, Tiles};
use crate::pipeline::inlet::Heartbeat;
use crate::pipeline::presenter::FlashNotice;
use crate::pipeline::state::{StateDrain, state_ring};
use crate::recording::Recorder;
use crate::rt::{Granted, Wish};
use crate::session::{BadChannelSummary, SignalSummary};
use crate::source::lsl::Network;
use crate::source::{ClockOffset, SampleSource, StreamSpec};

/// How long filters settle before a fork is asked.
pub(super) const SETTLE: Duration = Duration::from_millis(1_500);
/// A stream is silent after three of its longest chunk periods, but not before this.
pub(super) const SILENCE_MIN: Duration = Duration::from_millis(50);
/// ... and surely after this.
pub(super) const SILENCE_MAX: Duration = Duration::from_millis(500);
/// Beyond the length of an epoch: how long the EEG thread needs at most to be through with the scorer before the one in use.
const SCORER_REST: Duration = Duration::from_millis(500);
/// Looks between two forks, at most.
const LOOKS: usize = 512;

/// The streams.
pub(super) struct Inputs {
    network: Network,
    wish: Wish,
    lost_wait: Duration,
    clocks_disagree: ClocksDisagree,
    pub(super) eeg: Option<Eeg>,
    pub(super) gaze: Option<Gaze>,
    settled_at: Instant,
}

/// The EEG stream.
pub(super) struct Eeg {
    feed: Feed<EegStage>,
    pub(super) watch: Arc<EegWatch>,
    pub(super) scorers: HeapProd<NewScorer>,
    /// Where forks go that contractions are about; absent where none are listened for.
    pub(super) asked: Option<HeapProd<Asked>>,
    retired: HeapCons<EpochScorer>,
    /// The channels that were last asked to be done without.
    pub(super) bad: ChannelMask,
    /// Where features come out to be learnt from.
    pub(super) features: Option<FeatureDrain>,
    /// When the latest scorer was sent, or will take over.
    pub(super) swapped_at: Option<Instant>,
    /// Epochs that the scorer before the one in use may still score end within this.
    rest: Duration,
    /// Whether a scorer was sent within a fork and no fork has been opened since.
    pub(super) within: bool,
    /// The fork within which a scorer was sent last.
    pub(super) mixed_in: Option<ForkId>,
    /// Whether such a scorer may wait for a stamp of a clock that is gone: the next opening sends another.
    pub(super) again: bool,
    /// Densities of the scorer in use as they were fitted, whatever its scores have done since.
    pub(super) fitted: ScoreDensity,
    /// What the stream says of itself.
    pub(super) spec: StreamSpec,
    /// Where the samples for the state of the person come out, until it is taken.
    pub(super) state: Option<StateDrain>,
    /// Since when too few channels have been good.
    poor_since: Option<Instant>,
}

impl Eeg {
    /// Whether epochs may still be open of the scorer before the one in use: the EEG thread holds two scorers, no more.
    pub(super) fn is_busy(&self) -> bool {
        self.swapped_at
            .is_some_and(|swapped| swapped.elapsed() < self.rest)
    }
}

/// The gaze stream.
pub(super) struct Gaze {
    feed: Feed<GazeStage>,
    watch: Arc<GazeWatch>,
    pub(super) orders: HeapProd<Tiles>,
    news: GazeNews,
    /// Where looks come out to be learnt from.
    pub(super) looks: HeapCons<Look>,
    /// How far the options have come, newest last.
    pub(super) feedback: HeapCons<Dwell>,
    /// What the stream says of itself.
    pub(super) spec: StreamSpec,
    /// Where the samples for the state of the eyes come out, until it is taken.
    pub(super) state: Option<StateDrain>,
}

/// Why no fork can be asked at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hindrance {
    /// An operator has paused the session.
    Paused,
    /// A stream was lost and is looked for.
    Searching,
    /// A stream that has come back settles.
    Settling,
    /// A stream is silent.
    Silent,
    /// A clock is doubted, or two of them disagree.
    Clock,
    /// EEG alone could choose, and too few of its channels are good.
    Signal,
    /// EEG alone could choose, and the window shows no flashes.
    Display,
}

/// Whose evidence counts at a fork.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) eeg: bool,
    pub(super) gaze: bool,
}

impl Heard {
    /// Whether several streams are fused.
    pub(super) const fn fused(self) -> bool {
        self.eeg && self.gaze
    }
}

impl Inputs {
    /// Starts a thread for each stream; also the end of the ring on which the EEG stage is told of flashes.
    pub(super) fn start(
        network: Network,
        [eeg, gaze]: [Option<Box<dyn SampleSource>>; 2],
        plan: &Plan,
        profile: &Profile,
        recorder: &Recorder,
        gate: &mut GateThread,
        wish: Wish,
    ) -> Result<(Self, Option<HeapProd<FlashNotice>>), EngineError> {
        let mut notices = None;
        let eeg = match (eeg, &plan.eeg) {
            (Some(source), Some(section)) => {
                let calibration = profile
                    .eeg
                    .as_ref()
                    .ok_or(lines::LineError::NoPart { part: "eeg" })?;
                let mut line = lines::eeg_line(section, calibration, source.spec(), None)?;
                lines::listen_for_contractions(&mut line, plan, profile, source.spec())?;
                let features = plan
                    .adaptation
                    .on
                    .then(|| lines::features_of(calibration, &mut line));
                let (notice_in, notice_out) = HeapRb::new(256).split();
                notices = Some(notice_in);
                let (scorers, scorers_out) = HeapRb::new(8).split();
                let (retired_in, retired) = HeapRb::new(16).split();
                let watch = Arc::new(EegWatch::default());
                let lane = gate
                    .eeg
                    .take()
                    .ok_or(EngineError::Internal("the gate's EEG lane is taken"))?;
                let ports = EegPorts {
                    notices: notice_out,
                    scorers: scorers_out,
                    retired: retired_in,
                    lane,
                };
                let epoch = &calibration.path.epoch;
                let length_s = epoch.start.get() + epoch.length.get();
                let offset_s = offset_of(source.as_ref());
                let mut stage = EegStage::new(line, ports, Arc::clone(&watch), offset_s);
                let spec = source.spec().clone();
                let asked = plan.contraction.on.then(|| {
                    let (asked, asked_out) = HeapRb::new(16).split();
                    stage.hear_of_forks(asked_out);
                    asked
                });
                let state = plan.state.on.then(|| {
                    let (tap, drain) = state_ring(spec.rate_hz, spec.labels.len());
                    stage.listen(tap);
                    drain
                });
                Some(Eeg {
                    asked,
                    mixed_in: None,
                    fitted: calibration.density,
                    spec,
                    state,
                    feed: Feed::start("eeg", source, stage, recorder, wish)?,
                    watch,
                    scorers,
                    retired,
                    bad: ChannelMask::default(),
                    features,
                    swapped_at: None,
                    rest: Duration::from_secs_f64(length_s.max(0.0)) + SCORER_REST,
                    within: false,
                    again: false,
                    poor_since: None,
                })
            }
            _ => None,
        };
        let gaze = match (gaze, &plan.gaze) {
            (Some(source), Some(section)) => {
                let mut line =
                    lines::gaze_line(section, plan, profile.gaze.as_ref(), source.spec())?;
                lines::listen_for_blinks(&mut line, section, plan, profile, source.spec())?;
                lines::watch_pupils(&mut line, plan, profile, source.spec())?;
                lines::tell_looks(&mut line, plan);
                let (orders, orders_out) = HeapRb::new(16).split();
                let watch = Arc::new(GazeWatch::default());
                let lane = gate
                    .gaze
                    .take()
                    .ok_or(EngineError::Internal("the gate's gaze lane is taken"))?;
                let offset_s = offset_of(source.as_ref());
                let spec = source.spec().clone();
                let channels = spec.labels.len();
                let stage = GazeStage::new(
                    line,
                    orders_out,
                    lane,
                    Arc::clone(&watch),
                    channels,
                    offset_s,
                );
                // A stream that declares no rate is not held to one.
                let stated = section.rate_hz > 0.0 && source.spec().rate_hz > 0.0;
                let mut stage = stage.at_rate(stated.then_some(section.rate_hz));
                let (ring, feedback) = HeapRb::new(64).split();
                stage.feed_back(ring);
                let state = plan.state.on.then(|| {
                    let (tap, drain) = state_ring(lines::gaze_rate_hz(section, &spec), channels);
                    stage.listen(tap);
                    drain
                });
                let (looks_in, looks) = HeapRb::new(LOOKS).split();
                stage.tell_looks(looks_in);
                Some(Gaze {
                    spec,
                    state,
                    feed: Feed::start("gaze", source, stage, recorder, wish)?,
                    watch,
                    orders,
                    news: GazeNews::default(),
                    looks,
                    feedback,
                })
            }
            _ => None,
        };
        let inputs = Self {
            network,
            wish,
            lost_wait: Duration::from_secs_f64(plan.streams.lost_wait_s),
            clocks_disagree: plan.streams.clocks_disagree,
            eeg,
            gaze,
            settled_at: Instant::now(),
        };
        Ok((inputs, notices))
    }

    /// From now on the gate's thread watches every stream.
    pub(super) fn watch(&self, gate: &mut GateThread) {
        for heartbeat in self.heartbeats() {
            let longest = Duration::from_nanos(heartbeat.longest_gap_ns());
            gate.watch(Watched {
                heartbeat: Arc::clone(heartbeat),
                silence_max: (3 * longest).clamp(SILENCE_MIN, SILENCE_MAX),
            });
        }
    }

    /// Looks after every stream: hands clock offsets to the recorder, drops what came back from the real-time threads, sees
    /// who was lost and who is back.
    pub(super) fn look_after(&mut self) -> Vec<Change> {
        let (network, wish, wait) = (self.network, self.wish, self.lost_wait);
        let mut changes = Vec::new();
        if let Some(eeg) = &mut self.eeg {
            // Scorers that came back are dropped here, off the real-time thread.
            while eeg.retired.try_pop().is_some() {}
            eeg.feed.look_after(network, wish, wait, &mut changes);
            eeg.again |= eeg.within && changes.iter().any(|c| matches!(c, Change::Back { .. }));
            let poor = eeg.watch.is_poor() && !eeg.feed.is_away();
            if poor != eeg.poor_since.is_some() {
                eeg.poor_since = poor.then(Instant::now);
                let alone = self.gaze.is_none();
                changes.push(if poor {
                    Change::Poor { alone }
                } else {
                    Change::Good
                });
            }
        }
        if let Some(gaze) = &mut self.gaze {
            gaze.feed.look_after(network, wish, wait, &mut changes);
            gaze.news.look(&gaze.watch, &mut changes);
        }
        if changes.iter().any(|c| matches!(c, Change::Back { .. })) {
            self.settled_at = Instant::now() + SETTLE;
        }
        changes
    }

    /// Why no fork can be asked now.
    pub(super) fn hindrance(&self, now: MonoTime) -> Option<Hindrance> {
        let away = self.eeg.as_ref().is_some_and(|eeg| eeg.feed.is_away())
            || self.gaze.as_ref().is_some_and(|gaze| gaze.feed.is_away());
        if away {
            Some(Hindrance::Searching)
        } else if Instant::now() < self.settled_at {
            Some(Hindrance::Settling)
        } else if self.heartbeats().any(|beat| beat.silent(now, SILENCE_MIN)) {
            Some(Hindrance::Silent)
        } else if self.clock_doubted(now) {
            Some(Hindrance::Clock)
        } else if self.poor_for().is_some() {
            Some(Hindrance::Signal)
        } else {
            None
        }
    }

    /// Whether a clock is doubted now, or two of them disagree and nothing may be asked until they agree.
    pub(super) fn clock_doubted(&self, now: MonoTime) -> bool {
        self.heartbeats().any(|beat| beat.clock().is_doubted(now))
            || (self.clocks_disagree == ClocksDisagree::Wait && self.disagree())
    }

    fn disagree(&self) -> bool {
        disagree(self.heartbeats().map(|beat| beat.clock()))
    }

    /// For how long EEG, which alone can choose, has had too few good channels.
    pub(super) fn poor_for(&self) -> Option<Duration> {
        let eeg = self.eeg.as_ref().filter(|_| self.gaze.is_none())?;
        eeg.poor_since.map(|since| since.elapsed())
    }

    /// Whose evidence counts now.
    pub(super) fn heard(&self) -> Heard {
        let heard = Heard {
            eeg: self
                .eeg
                .as_ref()
                .is_some_and(|eeg| eeg.poor_since.is_none()),
            gaze: self.gaze.is_some(),
        };
        match self.clocks_disagree {
            ClocksDisagree::Eeg if heard.fused() && self.disagree() => Heard {
                gaze: false,
                ..heard
            },
            ClocksDisagree::Gaze if heard.fused() && self.disagree() => Heard {
                eeg: false,
                ..heard
            },
            _ => heard,
        }
    }

    /// Whether there is no sample stream at all: keys alone choose.
    pub(super) fn is_empty(&self) -> bool {
        self.eeg.is_none() && self.gaze.is_none()
    }

    /// Whether a stream has been heard of lately.
    pub(super) fn is_live(&self, now: MonoTime) -> bool {
        self.heartbeats().any(|beat| !beat.silent(now, SILENCE_MAX))
    }

    /// The latest offset of the EEG stream's clock. Before the first measurement the clocks are taken as one, which on one
    /// machine they are; the row says so.
    pub(super) fn eeg_clock(&self) -> Option<ClockOffset> {
        self.eeg.as_ref().map(|eeg| clock_of(&eeg.feed.heartbeat))
    }

    /// The latest offset of the gaze stream's clock, as [`Self::eeg_clock`].
    pub(super) fn gaze_clock(&self) -> Option<ClockOffset> {
        self.gaze
            .as_ref()
            .map(|gaze| clock_of(&gaze.feed.heartbeat))
    }

    /// EEG and gaze: the heartbeat of each, and whether the stream is looked for.
    pub(super) fn beats(&self) -> [Option<(&Heartbeat, bool)>; 2] {
        let eeg = self
            .eeg
            .as_ref()
            .map(|eeg| (&*eeg.feed.heartbeat, eeg.feed.is_away()));
        let gaze = self
            .gaze
            .as_ref()
            .map(|gaze| (&*gaze.feed.heartbeat, gaze.feed.is_away()));
        [eeg, gaze]
    }

    /// Share of gaze samples in which no eye was seen.
    pub(super) fn gaze_lost(&self) -> Option<f64> {
        let watch = &self.gaze.as_ref()?.watch;
        let samples = watch.samples();
        (samples > 0).then(|| watch.lost() as f64 / samples as f64)
    }

    /// After a pause: channels that are bad have their time to become good again.
    pub(super) fn begin_anew(&mut self) {
        if let Some(eeg) = &mut self.eeg
            && eeg.poor_since.is_some()
        {
            eeg.poor_since = Some(Instant::now());
        }
    }

    fn heartbeats(&self) -> impl Iterator<Item = &Arc<Heartbeat>> {
        let eeg = self.eeg.as_ref().map(|eeg| &eeg.feed.heartbeat);
        let gaze = self.gaze.as_ref().map(|gaze| &gaze.feed.heartbeat);
        eeg.into_iter().chain(gaze)
    }

    /// Stops every thread; what each was granted, and the latency of each stream.
    pub(super) fn finish(
        self,
        plan: &Plan,
        labels: &[String],
    ) -> (Vec<Granted>, Vec<StreamLatency>) {
        let (mut granted, mut streams) = (Vec::new(), Vec::new());
        if let Some(eeg) = self.eeg {
            let heartbeat = Arc::clone(&eeg.feed.heartbeat);
            if let Some((stage, had)) = eeg.feed.stop() {
                granted.push(had);
                let (line, steps) = stage.into_parts();
                let dropped = eeg.features.as_ref().map_or(0, FeatureDrain::dropped);
                let counts = serde_json::json!({
                    "path": line.path().counts(), "clock": heartbeat.clock().counts(),
                    "bad_channels": line.bad_channels(), "signal": signal_of(&line, labels),
                    "epochs_not_learnt_from": dropped, "late_forks": line.late_forks(),
                });
                let rejected = eeg.watch.rejected();
                streams.push(StreamLatency::new(
                    "eeg",
                    &steps,
                    &plan.budget,
                    counts,
                    rejected,
                ));
            }
        }
        if let Some(gaze) = self.gaze {
            let heartbeat = Arc::clone(&gaze.feed.heartbeat);
            if let Some((stage, had)) = gaze.feed.stop() {
                granted.push(had);
                let line = stage.line();
                let counts = serde_json::json!({
                    "samples": gaze.watch.samples(), "lost": gaze.watch.lost(),
                    "late_orders": gaze.watch.late(), "clock": heartbeat.clock().counts(),
                    "eyes": line.eyes_seen(), "outside": line.outside(), "not_used": line.unused(),
                });
                let steps = stage.into_steps();
                streams.push(StreamLatency::new("gaze", &steps, &plan.budget, counts, 0));
            }
        }
        (granted, streams)
    }
}

/// What the path counted, with the labels of the channels used.
fn signal_of(line: &EegLine, labels: &[String]) -> SignalSummary {
    let name = |channel: usize| {
        let label = labels.get(channel).filter(|label| !label.is_empty());
        label
            .cloned()
            .unwrap_or_else(|| format!("channel {}", channel + 1))
    };
    SignalSummary {
        seconds: line.path().quality().verdicts(),
        samples: line.path().counts(),
        flashes_rejected: line
            .rejected()
            .into_iter()
            .map(|(why, n)| (why.to_owned(), n))
            .collect(),
        bad_channels: line
            .bad_channels()
            .into_iter()
            .map(|time| BadChannelSummary {
                channel: name(time.channel),
                bad_s: time.bad_s,
                by_reason_s: time
                    .by_reason_s
                    .iter()
                    .map(|(why, seconds)| (why.words().to_owned(), *seconds))
                    .collect(),
            })
            .collect(),
    }
}

fn offset_of(source: &dyn SampleSource) -> f64 {
    source.clock_offset().map_or(0.0, |clock| clock.offset_s)
}

fn clock_of(heartbeat: &Heartbeat) -> ClockOffset {
    heartbeat.clock_offset().unwrap_or(ClockOffset {
        at_s: 0.0,
        offset_s: 0.0,
    })
}
