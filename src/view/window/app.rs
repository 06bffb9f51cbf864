//! The window from frame to frame: what is new is taken from the board, drawn, and reported once it has been shown.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam::channel::Sender;
use eframe::egui::{self, Key, ViewportCommand};
use razvilka_dsp::units::MonoTime;

use super::draw::{Look, Shot, draw, draw_warning};
use super::fonts;
use crate::fork::MAX_OPTIONS;
use crate::rt;
use crate::view::board::Board;
use crate::view::flasher::{Flasher, LitFrame};
use crate::view::pace::Pace;
use crate::view::page::Page;
use crate::view::present::Notices;
use crate::view::present::settling::STILL_NS;
use crate::view::present::stamper::Stamper;
use crate::view::presses::{Press, meaning};
use crate::view::scan;
use crate::view::scene::{Scene, Stage};
use crate::view::surface::{Flashes, What};

/// How often the board is looked at while nothing timed is on the screen.
const IDLE: Duration = Duration::from_millis(25);
/// How long the next frame waits after one that shows which notices belong to which frames: three refreshes of 60 Hz.
pub(super) const PAIRING: Duration = Duration::from_millis(50);
/// How long the warning before flashes must have been on the screen before it can be confirmed.
pub(super) const READ: Duration = Duration::from_secs(2);
/// A display that was too slow must be faster than the least rate by this factor, so that one on the edge does not go to and fro.
const FAST_AGAIN: f64 = 1.05;
/// A bar follows gaze with this time constant, seconds: it grows and shrinks, and never flickers.
const DWELL_S: f64 = 0.15;
/// What has faded to this is gone.
const DWELL_LEAST: f32 = 0.01;

/// The participant window.
pub struct Participant {
    board: Arc<Board>,
    look: Look,
    flash_s: f64,
    frame_rate_max_hz: f64,
    frame_rate_min_hz: f64,
    /// Whether flashes are shown, as it was told last.
    flashes: Flashes,
    /// Raised when the window is closed: nobody sees any more what is asked.
    stop: Arc<AtomicBool>,
    page: Arc<Page>,
    scene: Arc<Scene>,
    flasher: Flasher,
    pace: Pace,
    stamper: Stamper,
    /// The marker whose scene was drawn last.
    told: Option<u64>,
    /// The fork whose tiles are up.
    up: Option<u64>,
    /// When they went up.
    up_at: MonoTime,
    /// The option that stood out for the single switch in the frame before.
    stood_out: Option<usize>,
    /// When the warning before flashes went up.
    warned_at: Option<MonoTime>,
    dwell: [f32; MAX_OPTIONS],
    /// Whether it was told that some text cannot be shown.
    complained: bool,
    /// Whether the frame before was followed by this one at once.
    continuous: bool,
    /// Told when the first frame has been shown.
    ready: Option<Sender<()>>,
}

impl Participant {
    /// A window on this board.
    #[must_use]
    pub fn new(
        board: Arc<Board>,
        look: Look,
        (flash_s, frame_rate_max_hz): (f64, f64),
        stop: Arc<AtomicBool>,
        ready: Sender<()>,
    ) -> Self {
        Self {
            board,
            look,
            flash_s,
            frame_rate_max_hz,
            frame_rate_min_hz: 0.0,
            flashes: Flashes::Shown,
            stop,
            page: Arc::default(),
            scene: Arc::default(),
            flasher: Flasher::default(),
            pace: Pace::default(),
            stamper: Stamper::default(),
            told: None,
            up: None,
            up_at: MonoTime::from_nanos(0),
            stood_out: None,
            warned_at: None,
            dwell: [0.0; MAX_OPTIONS],
            complained: false,
            continuous: false,
            ready: Some(ready),
        }
    }

    /// The same window, whose stamps are the display system's own where it tells.
    #[must_use]
    pub fn told_by(mut self, notices: Option<Box<dyn Notices>>) -> Self {
        self.stamper = Stamper::new(notices);
        self
    }

    /// The same window, in which nothing flashes any more when it shows fewer frames per second than this.
    #[must_use]
    pub fn flashing_from(mut self, frame_rate_min_hz: f64) -> Self {
        self.frame_rate_min_hz = frame_rate_min_hz;
        self
    }

    /// One frame.
    pub fn frame(&mut self, ui: &mut egui::Ui) {
        let returned = rt::now();
        for presented in self.stamper.settle(returned) {
            self.board.report(presented);
        }
        self.board.say_stamps(self.stamper.stamps());
        let now = self.in_time(returned);
        let timed = self.is_timed();
        self.stamper.begin(now, timed && self.continuous);
        self.pace.frame(now, self.continuous, timed);
        if let Some(rate_hz) = self.pace.rate_hz() {
            self.board.say_frames(rate_hz, self.pace.missed());
        }
        if let Some(page) = self.board.page() {
            for span in &page.text {
                self.readable(ui, &span.text);
            }
            self.page = page;
        }
        // Behind the warning nothing else is shown, and nothing counts as shown.
        if !self.board.asks_for_flashes()
            && let Some(scene) = self.board.scene()
        {
            self.scene = scene;
        }
        let period_s = self.pace.period_s();
        let flashes = self.flashes();
        self.tell_flashes(flashes);
        let lit = if flashes == Flashes::Shown {
            self.flasher.frame(&self.board, now, period_s, self.flash_s)
        } else {
            self.flasher.refuse(&self.board);
            LitFrame::default()
        };
        self.stamper.show(lit.begins.map(What::Flash));
        self.raise_tiles(now, period_s);
        self.tell_scene();
        self.follow_dwell(period_s);
        let scene = Arc::clone(&self.scene);
        let standing_out = self.standing_out(now);
        let shot = Shot {
            page: &self.page,
            scene: &scene,
            tiles_up: self.up.is_some(),
            lit: lit.item,
            standing_out,
            dwell: self.dwell,
            mark: self.board.mark(),
            now,
        };
        if self.board.asks_for_flashes() {
            let clicked = draw_warning(ui, &self.look);
            let since = *self.warned_at.get_or_insert(now);
            // A key that is still held, or a click meant for something else, has not read it.
            let read = Duration::from_nanos(now.nanos_since(since)) >= READ;
            if read && (clicked || is_entered(ui)) {
                self.board.confirm_flashes();
            }
            self.stood_out = None;
        } else {
            let clicked = draw(ui, &self.look, &shot);
            // What is pressed by now was pressed at the sight of the frame before.
            let seen = std::mem::replace(&mut self.stood_out, standing_out);
            if self.look.keys {
                self.take_keys(ui, clicked, seen);
            }
        }
        self.next_frame(ui);
        if let Some(ready) = self.ready.take() {
            let _ = ready.send(());
        }
        self.stamper.drawn(rt::now());
    }

    /// Whether the display's rate is known to be fast enough, or was never known to be another: the session asks for it before anything
    /// flashes. A window that was moved to another monitor, or whose monitor was unplugged, shows no flash until its rate is measured anew.
    fn flashes(&self) -> Flashes {
        let least_hz = if self.flashes == Flashes::TooSlow {
            FAST_AGAIN * self.frame_rate_min_hz
        } else {
            self.frame_rate_min_hz
        };
        match self.pace.rate_hz() {
            _ if self.pace.changes() == 0 => Flashes::Shown,
            None => Flashes::Unmeasured,
            Some(rate_hz) if rate_hz >= least_hz => Flashes::Shown,
            Some(_) => Flashes::TooSlow,
        }
    }

    /// Tells of it: the session by the board, and whoever sits at the terminal, as a calibration has nobody else who does.
    fn tell_flashes(&mut self, flashes: Flashes) {
        self.board.say_flashes(flashes);
        if std::mem::replace(&mut self.flashes, flashes) == flashes {
            return;
        }
        let shows = self.board.frames().rate_in_words();
        match flashes {
            Flashes::Shown => eprintln!("razvilka: the display now shows {shows}: flashes go on"),
            Flashes::Unmeasured => eprintln!(
                "razvilka: the display shows frames at another rate than before: nothing flashes until it is measured anew"
            ),
            Flashes::TooSlow => eprintln!(
                "razvilka: the display now shows {shows}, and flashes need at least {} (view.frame_rate_min_hz): nothing flashes",
                self.frame_rate_min_hz
            ),
        }
    }

    /// Tells the operator once of what cannot be shown as it should be.
    fn readable(&mut self, ctx: &egui::Context, text: &str) {
        if !self.complained
            && let Err(unreadable) = fonts::check(ctx, text)
        {
            self.complained = true;
            eprintln!("razvilka: the participant window: {unreadable}");
        }
    }

    /// Where no display sets the pace, the frame waits for its turn.
    fn in_time(&self, now: MonoTime) -> MonoTime {
        match self.pace.not_before(self.frame_rate_max_hz) {
            Some(turn) if turn > now => {
                rt::sleep_until(turn);
                rt::now()
            }
            _ => now,
        }
    }

    /// Whether something stands on the screen whose time matters.
    fn is_timed(&self) -> bool {
        self.flasher.is_busy()
            || matches!(
                self.scene.stage,
                Stage::Fork { .. }
                    | Stage::Cue { .. }
                    | Stage::Options { .. }
                    | Stage::Point { .. }
                    | Stage::Pursuit { .. }
                    | Stage::Block { .. }
            )
    }

    /// Tiles go up with the frame that is nearest to their time.
    fn raise_tiles(&mut self, now: MonoTime, period_s: f64) {
        let Stage::Fork { fork, due, .. } = &self.scene.stage else {
            self.up = None;
            self.stood_out = None;
            return;
        };
        let is_due = due.nanos_since(now) <= (1.5e9 * period_s) as u64;
        if self.up != Some(*fork) {
            self.up = is_due.then_some(*fork);
            self.up_at = now;
            self.stood_out = None;
            self.stamper.show(self.up.map(What::Tiles));
        }
    }

    /// Each change of what stands on the screen is stamped by the marker that told of it; a fork's tiles have a time of their own.
    fn tell_scene(&mut self) {
        if let Some(marker) = self.scene.told
            && self.told != Some(marker)
        {
            self.told = Some(marker);
            self.stamper.show([What::Scene(marker)]);
        }
    }

    /// The option that stands out for the single switch.
    fn standing_out(&self, now: MonoTime) -> Option<usize> {
        let Stage::Fork { tiles, .. } = &self.scene.stage else {
            return None;
        };
        let since_s = now.nanos_since(self.up_at) as f64 * 1e-9;
        self.up?;
        scan::standing_out(&self.look.scan, tiles.len(), since_s)
    }

    fn follow_dwell(&mut self, period_s: f64) {
        let of_fork = self.page.dwell.filter(|(fork, _)| self.up == Some(*fork));
        let targets = of_fork.map_or([0.0; MAX_OPTIONS], |(_, shares)| shares);
        let step = (1.0 - (-period_s / DWELL_S).exp()) as f32;
        for (shown, target) in self.dwell.iter_mut().zip(targets) {
            *shown += step * (target - *shown);
            if target == 0.0 && *shown < DWELL_LEAST {
                *shown = 0.0;
            }
        }
    }

    /// `seen` is the option that the person saw stand out when a switch was pressed.
    fn take_keys(&mut self, ui: &egui::Ui, clicked: Option<i32>, seen: Option<usize>) {
        let at_s = rt::lsl_now().get();
        let pressed: Vec<Press> = ui.input(|input| {
            let press = |event: &egui::Event| match event {
                egui::Event::Key {
                    key,
                    physical_key,
                    pressed: true,
                    repeat: false,
                    modifiers,
                } if !modifiers.command && !modifiers.alt => {
                    if *key == Key::Space {
                        return Some(Press::Switch(seen));
                    }
                    press_of(*key, *physical_key)
                }
                _ => None,
            };
            input.events.iter().filter_map(press).collect()
        });
        let clicked = clicked
            .and_then(|item| u8::try_from(item + 1).ok())
            .map(Press::Number);
        for press in pressed.into_iter().chain(clicked) {
            // Options that are not up yet cannot have been meant.
            let stage = match &self.scene.stage {
                Stage::Fork { .. } if self.up.is_none() => &Stage::Writing,
                stage => stage,
            };
            if let Some(key) = meaning(press, stage) {
                self.board.press(at_s, key.to_json());
            }
        }
    }

    fn next_frame(&mut self, ui: &egui::Ui) {
        if self.board.is_over() {
            ui.send_viewport_cmd(ViewportCommand::Close);
        }
        if ui.input(|input| input.viewport().close_requested()) {
            self.closed();
        }
        // Until the rate is known, and whenever time matters: what this frame shows is stamped when the next one begins.
        let stamps = self.stamper.is_waiting();
        self.continuous = self.pace.rate_hz().is_none() || self.is_timed() || stamps;
        // Not where something has just been shown: should no notice come, its stamp is when the next frame begins.
        if self.stamper.settling().is_pairing() && !stamps {
            self.continuous = false;
            ui.request_repaint_after(PAIRING);
        } else if self.continuous {
            ui.request_repaint();
        } else if self.stamper.settling().wants_stillness() {
            ui.request_repaint_after(Duration::from_nanos(STILL_NS) + IDLE);
        } else {
            ui.request_repaint_after(IDLE);
        }
    }

    /// The window goes.
    pub fn closed(&self) {
        self.board.close();
        if !self.board.is_over() {
            self.stop.store(true, Ordering::Relaxed);
        }
    }
}

impl eframe::App for Participant {
    fn ui(&mut self, ui: &mut egui::Ui, _frame: &mut eframe::Frame) {
        self.frame(ui);
    }

    fn on_exit(&mut self, _gl: Option<&eframe::glow::Context>) {
        self.closed();
    }
}

/// Whether Enter was pressed: one that is held counts once.
fn is_entered(ui: &egui::Ui) -> bool {
    ui.input(|input| {
        input.events.iter().any(|event| {
            matches!(
                event,
                egui::Event::Key {
                    key: Key::Enter,
                    pressed: true,
                    repeat: false,
                    ..
                }
            )
        })
    })
}

/// By what stands on the key, or else by its place: under a Cyrillic layout the keys lie where they always lay.
fn press_of(key: Key, physical: Option<Key>) -> Option<Press> {
    by_key(key).or_else(|| physical.and_then(by_key))
}

fn by_key(key: Key) -> Option<Press> {
    Some(match key {
        Key::Num1 => Press::Number(1),
        Key::Num2 => Press::Number(2),
        Key::Num3 => Press::Number(3),
        Key::Num4 => Press::Number(4),
        Key::Num5 => Press::Number(5),
        Key::Num6 => Press::Number(6),
        Key::Num7 => Press::Number(7),
        Key::Num8 => Press::Number(8),
        Key::O => Press::Other,
        Key::U | Key::Backspace => Press::Undo,
        Key::G | Key::Enter => Press::GoOn,
        Key::F => Press::Call,
        Key::C => Press::CarryOn,
        Key::T => Press::Tired,
        _ => return None,
    })
}
