//! The person: hears markers, reads, wishes, attends, answers, tires and errs.
//!
//! Everything the person does follows from what it was told and from its own random numbers; it draws them in the order
//! in which things happen, so the same markers at the same times give the same person.

mod looking;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::marker::{Event, Key, OptionKind, OptionTile, Outcome};

use super::agenda::{Agenda, Happening};
use super::evoked::{Evoked, Seen};
use super::eye::{Eye, Lids, distance_deg};
use super::muscles::Muscles;
use super::noise::{gauss, log_normal, stream};
use super::pupil::Pupil;
use super::reading::read_fork;
use super::settings::SimSettings;
use super::tiredness::Tiredness;
use super::traits::PersonTraits;
use super::wish::{Choice, Wish};
use super::{ForkTruth, SimOutput};
use looking::{Aim, hold};
use razvilka_dsp::contraction::Muscle;
use razvilka_dsp::deliberate::BlinkKind;

/// How much of the P300 is left while attention is gone.
const LAPSED_ATTENTION: f64 = 0.15;

/// A fork the person was asked at.
#[derive(Debug, Clone)]
struct Asked {
    fork: u64,
    choice: Choice,
    attended: Option<i32>,
}

/// What the person can act on.
pub(super) struct Scene<'a> {
    pub(super) start_s: f64,
    pub(super) agenda: &'a mut Agenda,
    pub(super) eye: &'a mut Eye,
    pub(super) lids: &'a mut Lids,
    pub(super) pupil: &'a mut Pupil,
    pub(super) evoked: &'a mut Evoked,
    pub(super) muscles: &'a mut Muscles,
    pub(super) output: &'a mut dyn FnMut(SimOutput<'_>),
}

/// The person.
#[derive(Debug)]
pub(super) struct Person {
    traits: PersonTraits,
    wish: Wish,
    key_share: f64,
    rng: ChaCha8Rng,
    tiredness: Tiredness,
    drowsy: ChaCha8Rng,
    blink_signal: Option<BlinkKind>,
    signalling: ChaCha8Rng,
    contraction_signal: Option<Muscle>,
    /// How often jaw or brow act unasked, per minute.
    muscles_per_min: f64,
    contracting: ChaCha8Rng,
    tiles: Vec<OptionTile>,
    cued: Option<i32>,
    /// The option that it was told to want.
    told: Option<i32>,
    asked: Option<Asked>,
    /// The option that is being read, and whether the one that is wanted was read before.
    reading: Option<i32>,
    recognised: bool,
    calibrating: bool,
    paused: bool,
    lapsing: bool,
    regret: bool,
    forks_seen: u64,
    aim: Aim,
    next_aim: Option<Aim>,
    turn: u64,
    fixation: u64,
}

impl Person {
    pub(super) fn new(settings: &SimSettings, traits: PersonTraits, agenda: &mut Agenda) -> Self {
        let mut person = Self {
            traits,
            wish: Wish::new(settings.seed, &settings.goals),
            key_share: settings.key_share,
            rng: stream(settings.seed, "person"),
            tiredness: Tiredness::new(traits.tires_in_s),
            drowsy: stream(settings.seed, "drowsy"),
            blink_signal: settings.blink_signal,
            signalling: stream(settings.seed, "signalling"),
            contraction_signal: settings.contraction_signal,
            muscles_per_min: settings.muscles_per_min,
            contracting: stream(settings.seed, "contracting"),
            tiles: Vec::new(),
            cued: None,
            told: None,
            asked: None,
            reading: None,
            recognised: false,
            calibrating: false,
            paused: false,
            lapsing: false,
            regret: false,
            forks_seen: 0,
            aim: Aim::start(),
            next_aim: None,
            turn: 0,
            fixation: 0,
        };
        agenda.enter(0.2, Happening::FixationEnds(0));
        person.plan_blink(0.0, agenda);
        person.plan_muscles(0.0, agenda);
        person.plan_rare(0.0, traits.lapses_per_min, Happening::LapseBegins, agenda);
        person.plan_rare(
            0.0,
            traits.calls_per_min,
            Happening::FeelsLikeCalling,
            agenda,
        );
        person
    }

    /// 0 (fresh) to 1.
    pub(super) fn tiredness(&self, t_s: f64) -> f64 {
        self.tiredness.at(t_s)
    }

    /// Something happens at time `t_s`.
    pub(super) fn live(&mut self, t_s: f64, what: Happening, scene: &mut Scene<'_>) {
        match what {
            Happening::Perceives(stamp_s, event) => self.perceive(t_s, stamp_s, *event, scene),
            Happening::Reacts(turn) if turn == self.turn => self.react(t_s, scene),
            Happening::FixationEnds(n) if n == self.fixation => self.next_fixation(t_s, scene),
            Happening::Corrects(n, to) if n == self.fixation => {
                let to = to.map(|v| v + 0.15 * gauss(&mut self.rng));
                let vigour = self.vigour(t_s);
                scene.eye.look(to, t_s, vigour);
            }
            Happening::Decides(turn) if turn == self.turn => self.decide(t_s, scene),
            Happening::Presses(turn, key) if turn == self.turn => press(t_s, key, scene),
            Happening::Blinks => {
                let open_s = self.blink(t_s, scene);
                self.plan_blink(open_s, scene.agenda);
            }
            Happening::BlinksOnCue => {
                self.blink(t_s, scene);
            }
            Happening::Signals(turn, kind) if turn.is_none_or(|turn| turn == self.turn) => {
                self.signal(t_s, kind, scene);
            }
            Happening::Contracts(turn, muscle) if turn.is_none_or(|turn| turn == self.turn) => {
                scene.muscles.contract(t_s, muscle);
            }
            Happening::MusclesAct => {
                scene.muscles.act_unasked(t_s);
                self.plan_muscles(t_s, scene.agenda);
            }
            Happening::LapseBegins => {
                self.lapsing = true;
                let for_s = log_normal(&mut self.rng, 1.2, 0.4).min(4.0);
                scene.agenda.enter(t_s + for_s, Happening::LapseEnds);
            }
            Happening::LapseEnds => {
                self.lapsing = false;
                let rate = self.traits.lapses_per_min * (1.0 + 2.0 * self.tiredness.at(t_s));
                self.plan_rare(t_s, rate, Happening::LapseBegins, scene.agenda);
            }
            Happening::FeelsLikeCalling => self.call(t_s, scene),
            // What is left is stale: the person has turned to something else.
            _ => {}
        }
    }

    fn perceive(&mut self, t_s: f64, stamp_s: f64, event: Event, scene: &mut Scene<'_>) {
        match event {
            Event::SessionStart { .. } => {
                self.leave_fork(scene);
                scene.eye.rest(t_s);
                self.cued = None;
                self.regret = false;
                self.calibrating = false;
                self.paused = false;
            }
            Event::SessionEnd => {
                self.leave_fork(scene);
                self.cued = None;
                self.calibrating = false;
                self.paused = true;
                self.turn_to(t_s, self.roam(), scene);
            }
            Event::GazePoint { x_deg, y_deg, .. } => {
                self.calibrating = true;
                scene.eye.rest(t_s);
                self.turn_to(t_s, hold([x_deg, y_deg], [0.12, 0.12]), scene);
            }
            Event::GazePointEnd { .. } => self.calibrating = false,
            Event::GazePursuit { path } => {
                self.calibrating = true;
                let (x_deg, y_deg) = path.at(0.0);
                self.turn_to(t_s, hold([x_deg, y_deg], [0.12, 0.12]), scene);
                scene.eye.follow(path, stamp_s, t_s);
            }
            Event::GazePursuitEnd => {
                self.calibrating = false;
                scene.eye.rest(t_s);
            }
            Event::Block { .. } => self.calibrating = true,
            Event::BlockEnd => self.calibrating = false,
            Event::Blink => {
                let after_s = log_normal(&mut self.rng, 0.35, 0.25).min(1.0);
                scene.agenda.enter(t_s + after_s, Happening::BlinksOnCue);
            }
            Event::Signal { blink, contraction } => {
                if let Some(kind) = blink {
                    let after_s = log_normal(&mut self.signalling, 0.45, 0.25).min(1.2);
                    let what = Happening::Signals(None, kind);
                    scene.agenda.enter(t_s + after_s, what);
                }
                if let Some(muscle) = contraction {
                    let after_s = log_normal(&mut self.contracting, 0.45, 0.25).min(1.2);
                    let what = Happening::Contracts(None, muscle);
                    scene.agenda.enter(t_s + after_s, what);
                }
            }
            Event::Cue { item, options, .. } => {
                self.calibrating = true;
                self.cued = Some(item);
                self.look_over(options);
                if let Some(aim) = self.dwell_on(item) {
                    self.turn_to(t_s, aim, scene);
                }
            }
            Event::CueEnd { .. } => {
                self.calibrating = false;
                self.cued = None;
            }
            Event::Wish { .. } => {
                self.calibrating = true;
                self.turn_to(t_s, hold([0.0; 2], [0.3, 0.3]), scene);
            }
            Event::WishOptions { item, options, .. } => {
                self.calibrating = true;
                self.look_over(options);
                self.told = Some(item);
                self.read_all(t_s, scene);
            }
            Event::WishEnd { .. } => {
                self.calibrating = false;
                self.told = None;
                self.turn_to(t_s, hold([0.0; 2], [0.3, 0.3]), scene);
            }
            Event::Flash { item, .. } => self.see_flash(t_s, stamp_s, item, scene),
            Event::ForkOpen { fork, options, .. } => self.be_asked(t_s, fork, options, scene),
            Event::ForkClose {
                fork,
                outcome,
                item,
            } => self.be_answered(t_s, fork, outcome, item, scene),
            Event::Imitated { .. }
            | Event::Autonomy { .. }
            | Event::Guard { .. }
            | Event::Guarded { .. }
            | Event::Text { .. }
            | Event::TilesShown { .. }
            | Event::Shown { .. } => {}
            Event::Pause { on } => self.paused = on,
        }
        // Any marker means that a session runs, even when its start was missed.
        self.tiredness.work(t_s, !self.paused);
    }

    fn be_asked(&mut self, t_s: f64, fork: u64, options: Vec<OptionTile>, scene: &mut Scene<'_>) {
        self.leave_fork(scene);
        self.calibrating = false;
        self.cued = None;
        self.look_over(options);
        let choice = self
            .wish
            .choose(&self.tiles, self.regret, &self.traits, &mut self.rng);
        let Some(choice) = choice else { return };
        self.asked = Some(Asked {
            fork,
            choice,
            attended: None,
        });
        self.read_all(t_s, scene);
    }

    /// Reads all options that are up.
    fn read_all(&mut self, t_s: f64, scene: &mut Scene<'_>) {
        (self.reading, self.recognised) = (None, false);
        let fixation_s = self.traits.fixation_s * (1.0 + 0.25 * self.tiredness.at(t_s));
        let plan = read_fork(
            &self.tiles,
            self.forks_seen == 0,
            fixation_s,
            self.traits.reread,
            &mut self.rng,
        );
        self.forks_seen += 1;
        self.turn_to(t_s, Aim::Read(plan), scene);
    }

    /// The fork ended. The person sees what was taken, and remembers when it was not what it wanted.
    fn be_answered(
        &mut self,
        t_s: f64,
        fork: u64,
        outcome: Outcome,
        item: Option<i32>,
        scene: &mut Scene<'_>,
    ) {
        let Some(asked) = self.asked.as_ref().filter(|asked| asked.fork == fork) else {
            return;
        };
        let taken = item
            .filter(|_| outcome == Outcome::Committed)
            .and_then(|item| self.tiles.iter().find(|tile| tile.item == item));
        if let Some(taken) = taken {
            self.regret = taken.item != asked.choice.item
                && matches!(taken.kind, OptionKind::Branch | OptionKind::GoOn);
        }
        self.leave_fork(scene);
        self.turn_to(t_s, self.roam(), scene);
    }

    /// Leaves the fork it was asked at, if any; one that ended before the person had decided is told as such.
    fn leave_fork(&mut self, scene: &mut Scene<'_>) {
        if let Some(asked) = self.asked.take()
            && asked.attended.is_none()
        {
            (scene.output)(SimOutput::Truth(ForkTruth {
                fork: asked.fork,
                item: asked.choice.item,
                attended: None,
                reason: asked.choice.reason,
                at: None,
            }));
        }
    }

    /// The options have been read: from now on the person attends to one of them and looks at it.
    fn decide(&mut self, t_s: f64, scene: &mut Scene<'_>) {
        let (slip, by_key) = (self.rng.random::<f64>(), self.rng.random::<f64>());
        let press_s = log_normal(&mut self.rng, self.traits.press_s, 0.2);
        let stray = self.rng.random_range(0..self.tiles.len().max(1));
        let Some(asked) = self.asked.as_mut() else {
            if let Some(aim) = self.told.and_then(|item| self.dwell_on(item)) {
                self.aim = aim;
                self.next_fixation(t_s, scene);
            }
            return;
        };
        let attended = match self.tiles.get(stray) {
            Some(tile) if slip < self.traits.slip => tile.item,
            _ => asked.choice.item,
        };
        asked.attended = Some(attended);
        (scene.output)(SimOutput::Truth(ForkTruth {
            fork: asked.fork,
            item: asked.choice.item,
            attended: Some(attended),
            reason: asked.choice.reason,
            at: Some(scene.start_s + t_s),
        }));
        if by_key < self.key_share {
            scene.agenda.enter(
                t_s + press_s * (1.0 + 0.3 * self.tiredness.at(t_s)),
                Happening::Presses(self.turn, Key::Select { item: attended }),
            );
        }
        if let Some(aim) = self.dwell_on(attended) {
            self.aim = aim;
            self.next_fixation(t_s, scene);
        }
        if let Some(kind) = self.blink_signal {
            let after_s = log_normal(&mut self.signalling, 0.5, 0.2).clamp(0.25, 1.5);
            scene
                .agenda
                .enter(t_s + after_s, Happening::Signals(Some(self.turn), kind));
        }
        if let Some(muscle) = self.contraction_signal {
            let after_s = log_normal(&mut self.contracting, 0.5, 0.2).clamp(0.25, 1.5);
            let what = Happening::Contracts(Some(self.turn), muscle);
            scene.agenda.enter(t_s + after_s, what);
        }
    }

    /// A deliberate blink: one that stays shut, or two.
    fn signal(&mut self, t_s: f64, kind: BlinkKind, scene: &mut Scene<'_>) {
        let rng = &mut self.signalling;
        match kind {
            BlinkKind::Long => {
                let shut_s = log_normal(rng, 0.65, 0.2).clamp(0.4, 1.5);
                scene.pupil.blinks(t_s);
                scene.lids.blink(t_s, shut_s);
            }
            BlinkKind::Double => {
                let shut_s = log_normal(rng, 0.05, 0.3).min(0.3);
                scene.pupil.blinks(t_s);
                let open_s = scene.lids.blink(t_s, shut_s);
                let apart_s = log_normal(rng, 0.06, 0.4).min(0.4);
                scene.agenda.enter(open_s + apart_s, Happening::BlinksOnCue);
            }
        }
    }

    fn call(&mut self, t_s: f64, scene: &mut Scene<'_>) {
        let back = if self.rng.random_bool(0.8) {
            0
        } else {
            self.rng.random_range(1..=4)
        };
        let idle = self.asked.is_none() && !self.calibrating && !self.paused;
        if idle && self.forks_seen > 0 {
            press(t_s, Key::Call { back }, scene);
        }
        let rate = self.traits.calls_per_min;
        self.plan_rare(t_s, rate, Happening::FeelsLikeCalling, scene.agenda);
    }

    fn see_flash(&mut self, t_s: f64, onset_s: f64, item: i32, scene: &mut Scene<'_>) {
        let missed = self.rng.random::<f64>() < self.traits.miss;
        let gaze = scene.eye.at(t_s);
        let away_deg = self
            .tiles
            .iter()
            .find(|tile| tile.item == item)
            .map_or(0.0, |tile| distance_deg(gaze, [tile.x_deg, tile.y_deg]));
        let foveation = if scene.lids.closure(t_s) > 0.5 {
            0.0
        } else {
            0.25 + 0.75 * (-0.5 * (away_deg / 5.0).powi(2)).exp()
        };
        let wanted = self.cued.or(self.asked.as_ref().and_then(|a| a.attended));
        let attention = match (wanted == Some(item), self.lapsing) {
            (false, _) => 0.0,
            (true, true) => LAPSED_ATTENTION,
            (true, false) => f64::from(u8::from(!missed)),
        };
        scene.evoked.flash(Seen {
            onset_s,
            foveation,
            attention,
            tiredness: self.tiredness.at(t_s),
        });
    }

    /// Blinks; returns when the lids are open again.
    fn blink(&mut self, t_s: f64, scene: &mut Scene<'_>) -> f64 {
        scene.pupil.blinks(t_s);
        let shut_s = log_normal(&mut self.rng, 0.055, 0.35) * (1.0 + 0.8 * self.tiredness.at(t_s));
        // Now and then the lids of a tired person stay down. Drawn apart: a fresh person is who it was without.
        let tired = self.tiredness.at(t_s);
        if self.drowsy.random::<f64>() < 0.25 * tired * tired {
            return scene
                .lids
                .blink(t_s, log_normal(&mut self.drowsy, 0.8, 0.4).min(3.0));
        }
        scene.lids.blink(t_s, shut_s.min(0.6))
    }

    fn plan_blink(&mut self, after_s: f64, agenda: &mut Agenda) {
        let attending = if self.asked.is_some() || self.cued.is_some() {
            0.7
        } else {
            1.0
        };
        let rate = self.traits.blinks_per_min * attending * (1.0 + self.tiredness.at(after_s));
        // Erlang of order 2: blinks seldom follow each other at once.
        let wait_s = 30.0 / rate * (self.exponential() + self.exponential());
        agenda.enter(after_s + 0.15 + wait_s, Happening::Blinks);
    }

    /// Drawn apart: who sits still is who it was without.
    fn plan_muscles(&mut self, after_s: f64, agenda: &mut Agenda) {
        if self.muscles_per_min > 0.0 {
            let wait = -(1.0 - self.contracting.random::<f64>()).ln();
            let wait_s = 60.0 / self.muscles_per_min * wait;
            agenda.enter(after_s + wait_s, Happening::MusclesAct);
        }
    }

    fn plan_rare(&mut self, after_s: f64, per_min: f64, what: Happening, agenda: &mut Agenda) {
        let wait_s = 60.0 / per_min.max(1e-6) * self.exponential();
        agenda.enter(after_s + wait_s, what);
    }

    fn exponential(&mut self) -> f64 {
        -(1.0 - self.rng.random::<f64>()).ln()
    }
}

fn press(t_s: f64, key: Key, scene: &mut Scene<'_>) {
    (scene.output)(SimOutput::Key {
        stamp_s: scene.start_s + t_s,
        key,
    });
}
