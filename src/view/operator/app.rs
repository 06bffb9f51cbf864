//! The view from frame to frame: what is known is taken, drawn, and now and then somebody presses one of two buttons.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use eframe::egui::{
    self, Align2, Button, Color32, Context, CornerRadius, FontId, Rect, RichText, Sense, Stroke,
    Ui, ViewportCommand, pos2, vec2,
};

use super::frame::{Places, part};
use super::traces::{Lanes, Traces};
use super::words::Words;
use super::{Shown, fork, gauges};
use crate::config::{ThemeName, ViewLanguage};
use crate::engine::control::Command;
use crate::operator::{Asks, COLUMN_S, Now};
use crate::view::window::theme::{Theme, paint};

/// Frames per second.
const FRAMES_HZ: f64 = 30.0;
/// A session that has said nothing for so long is silent.
const SILENT: Duration = Duration::from_secs(4);
/// How long a press on "stop" waits for the second one.
const SURE: Duration = Duration::from_secs(4);
/// A second press that comes sooner is half of a double click.
pub(super) const DOUBLE_CLICK: Duration = Duration::from_millis(500);
/// Microvolts between two lines that can be chosen.
const GAINS_UV: [f32; 7] = [20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 5_000.0];
/// Width of the labels beside the EEG, points.
const LABELS: f32 = 46.0;
/// Two shades, so that neighbours can be told apart; what is bad.
const SHADES: [Color32; 2] = [
    Color32::from_rgb(0xa8, 0xc8, 0xe0),
    Color32::from_rgb(0x7f, 0xa6, 0xc9),
];
const BAD: Color32 = Color32::from_rgb(0xff, 0x8a, 0x7a);

/// What was drawn.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Drawn {
    /// Frames.
    pub frames: u64,
    /// From the first frame to the last, seconds.
    pub seconds: f64,
    /// Columns of EEG that were drawn.
    pub columns: u64,
    /// Channels in them.
    pub channels: usize,
}

/// Makes a context look like the rest of the program.
pub fn prepare(ctx: &Context) {
    ctx.set_visuals(egui::Visuals::dark());
    ctx.options_mut(|options| options.zoom_with_keyboard = true);
}

/// The view.
pub struct OperatorApp {
    client: Box<dyn Asks>,
    words: Words,
    options: crate::view::words::Words,
    theme: Theme,
    traces: Traces,
    gain: usize,
    shown: Shown,
    begun: Option<Instant>,
    next: Instant,
    /// When "stop" was pressed once.
    stop_pressed: Option<Instant>,
    drawn: Arc<Mutex<Drawn>>,
    /// Why the latest word could not be asked.
    said: String,
    /// Why no word can be asked.
    mute: String,
}

impl OperatorApp {
    /// A view of what this client follows; `drawn` is told of every frame.
    #[must_use]
    pub fn new(client: Box<dyn Asks>, shown: Shown, drawn: Arc<Mutex<Drawn>>) -> Self {
        let language = if shown.words == Words::of(ViewLanguage::Ru) {
            ViewLanguage::Ru
        } else {
            ViewLanguage::En
        };
        Self {
            client,
            words: shown.words.clone(),
            options: fork::options_of(language),
            theme: Theme::of(ThemeName::Dark),
            traces: Traces::default(),
            gain: 2,
            shown,
            begun: None,
            next: Instant::now(),
            stop_pressed: None,
            drawn,
            said: String::new(),
            mute: String::new(),
        }
    }

    /// One frame.
    pub fn frame(&mut self, ui: &mut Ui) {
        let now = self.client.live().now();
        let offered = self.client.offer_control();
        self.mute = offered.map_or_else(|error| error.to_string(), |()| String::new());
        let places = Places::within(ui.max_rect());
        let bar = Rect::from_min_max(ui.max_rect().min, places.eeg.right_top());
        let bar = bar.with_max_x(ui.max_rect().right());
        ui.painter()
            .rect_filled(bar, CornerRadius::ZERO, paint(self.theme.background));
        self.bar(ui, places.bar, &now);
        self.eeg(ui, places.eeg, &now);
        self.fork(ui, &places, &now);
        self.gauges(ui, &places, &now);
        self.count();
        self.next_frame(ui);
    }

    fn bar(&mut self, ui: &mut Ui, rect: Rect, now: &Now) {
        let theme = self.theme;
        let status = now.status.as_deref();
        let paused = status.is_some_and(|status| status.is_paused());
        let silent = now.heard.is_none_or(|heard| heard.elapsed() > SILENT);
        let (said, colour) = match &now.page {
            None => (self.words.looking.clone(), paint(theme.prompt)),
            Some(_) if silent => (self.words.silent.clone(), BAD),
            Some(_) if paused => (self.words.paused.clone(), paint(theme.mark)),
            Some(_) => {
                let number = now.fork.fork.map(|n| format!(" {n}")).unwrap_or_default();
                let open = now.fork.open_s.filter(|_| !now.fork.posterior.is_empty());
                let open = open.map(|s| format!(", {s:.1} s")).unwrap_or_default();
                let phase = self.words.phase(now.fork.phase);
                (format!("{phase}{number}{open}"), paint(theme.tile_text))
            }
        };
        let painter = ui.painter().with_clip_rect(rect);
        let at = rect.left_center() + vec2(8.0, 0.0);
        painter.text(
            at,
            Align2::LEFT_CENTER,
            &said,
            FontId::proportional(20.0),
            colour,
        );
        let time_s = status.and_then(|status| status.time_s).unwrap_or(0.0) as u64;
        let session = now.page.as_ref().map_or("", |page| page.session.as_str());
        let line = format!("{}:{:02}   {session}", time_s / 60, time_s % 60);
        let at = rect.left_center() + vec2(0.27 * rect.width(), 0.0);
        let ink = paint(theme.prompt);
        painter.text(
            at,
            Align2::LEFT_CENTER,
            line,
            FontId::proportional(13.0),
            ink,
        );
        // Trouble with the connection comes first: every page that arrives takes it back.
        let troubles = [&now.trouble, &self.said, &self.mute];
        let trouble = troubles.into_iter().find(|words| !words.is_empty());
        let note = now.page.as_ref().and_then(|page| page.notes.last());
        let (line, colour) = match (trouble, note) {
            (Some(trouble), _) => (trouble.as_str(), BAD),
            (None, Some(note)) => (note.as_str(), ink),
            (None, None) => ("", ink),
        };
        let room = Rect::from_min_max(
            pos2(rect.left() + 0.5 * rect.width(), rect.top()),
            pos2(rect.right() - 280.0, rect.bottom()),
        );
        let clipped = ui.painter().with_clip_rect(room);
        clipped.text(
            room.left_center(),
            Align2::LEFT_CENTER,
            line,
            FontId::proportional(12.0),
            colour,
        );
        let right = rect.with_min_x(rect.right() - 270.0);
        self.buttons(ui, right.shrink2(vec2(0.0, 5.0)), now, paused);
    }

    /// Pause and stop: nothing else can be asked of a session.
    fn buttons(&mut self, ui: &mut Ui, rect: Rect, now: &Now, paused: bool) {
        let allowed = now.page.as_ref().is_some_and(|page| page.control);
        if !(allowed && now.listens) {
            let words = match &now.page {
                None => return,
                Some(_) if allowed => &self.words.not_heard,
                Some(_) => &self.words.not_allowed,
            };
            let ink = paint(self.theme.prompt);
            let painter = ui.painter();
            painter.text(
                rect.right_center(),
                Align2::RIGHT_CENTER,
                words,
                FontId::proportional(12.0),
                ink,
            );
            return;
        }
        let pressed_for = self.stop_pressed.map(|at| at.elapsed());
        let sure = pressed_for.is_some_and(|since| since < SURE);
        let word = if paused {
            &self.words.resume
        } else {
            &self.words.pause
        };
        let (left, right) = rect.split_left_right_at_fraction(0.5);
        let pause = Button::new(RichText::new(word).size(15.0));
        if ui.put(left.shrink2(vec2(4.0, 0.0)), pause).clicked() {
            let command = if paused {
                Command::Resume
            } else {
                Command::Pause
            };
            self.ask(command);
        }
        let word = if sure {
            &self.words.stop_sure
        } else {
            &self.words.stop
        };
        let stop = Button::new(RichText::new(word).size(15.0));
        if ui.put(right.shrink2(vec2(4.0, 0.0)), stop).clicked() {
            match pressed_for.filter(|_| sure) {
                None => self.stop_pressed = Some(Instant::now()),
                Some(since) if is_second(since) => {
                    self.stop_pressed = None;
                    self.ask(Command::Stop);
                }
                Some(_) => {}
            }
        }
    }

    fn ask(&mut self, command: Command) {
        self.said = match self.client.ask(command) {
            Ok(()) => String::new(),
            Err(error) => error.to_string(),
        };
    }

    fn eeg(&mut self, ui: &mut Ui, rect: Rect, now: &Now) {
        let theme = self.theme;
        let live = Arc::clone(self.client.live());
        let (labels, chosen) = {
            let brain = live.brain();
            self.traces.take(&brain);
            (Arc::clone(&brain.labels), brain.chosen)
        };
        let gain_uv = GAINS_UV[self.gain];
        let title = format!("{}   {gain_uv:.0} {}", self.words.eeg, self.words.gain);
        let room = part(ui, &theme, rect, &title);
        self.gain_buttons(ui, rect);
        if labels.is_empty() {
            let words = &self.words.no_eeg;
            let ink = paint(theme.prompt);
            let painter = ui.painter();
            painter.text(
                room.center(),
                Align2::CENTER_CENTER,
                words,
                FontId::proportional(14.0),
                ink,
            );
            return;
        }
        let bad = now.page.as_ref().map_or(&[][..], |page| &page.bad);
        let is_bad = |label: &String| bad.contains(label);
        let colours = labels
            .iter()
            .enumerate()
            .map(|(n, label)| if is_bad(label) { BAD } else { SHADES[n % 2] });
        let picture = room.with_min_x(room.left() + LABELS);
        let scale = ui.pixels_per_point();
        let lanes = Lanes {
            height: (picture.height() * scale) as usize,
            gain_uv,
            colours: colours.collect(),
        };
        if self.traces.channels() == lanes.colours.len() {
            self.traces.update(ui.ctx(), &lanes);
        }
        let grid = Stroke::new(1.0, paint(theme.edge).gamma_multiply(0.5));
        let second = (1.0 / COLUMN_S) as f32 / scale;
        let mut x = picture.right() - second;
        while x > picture.left() {
            ui.painter().vline(x, picture.y_range(), grid);
            x -= second;
        }
        self.traces
            .draw(&ui.painter().with_clip_rect(picture), picture, scale);
        let lane = picture.height() / labels.len() as f32;
        let size = (0.95 * lane).clamp(7.0, 13.0);
        for (number, label) in labels.iter().enumerate() {
            let middle = picture.top() + (number as f32 + 0.5) * lane;
            let place = Rect::from_min_max(
                pos2(room.left(), middle - 0.5 * lane),
                pos2(picture.left(), middle + 0.5 * lane),
            );
            let response = ui.interact(
                place,
                ui.scope_id().with(("channel", number)),
                Sense::click(),
            );
            if response.clicked() {
                live.brain().chosen = number;
            }
            let ink = match (is_bad(label), number == chosen) {
                (true, _) => BAD,
                (false, true) => paint(theme.mark),
                (false, false) => paint(theme.prompt),
            };
            let at = pos2(picture.left() - 4.0, middle);
            ui.painter().text(
                at,
                Align2::RIGHT_CENTER,
                label,
                FontId::proportional(size),
                ink,
            );
        }
    }

    fn gain_buttons(&mut self, ui: &mut Ui, rect: Rect) {
        let at = |from: f32| {
            Rect::from_min_size(
                pos2(rect.right() - from, rect.top() + 1.0),
                vec2(24.0, 18.0),
            )
        };
        // A smaller gain makes the lines larger.
        if ui.put(at(56.0), Button::new("+")).clicked() {
            self.gain = self.gain.saturating_sub(1);
        }
        if ui.put(at(28.0), Button::new("−")).clicked() {
            self.gain = (self.gain + 1).min(GAINS_UV.len() - 1);
        }
    }

    fn fork(&mut self, ui: &mut Ui, places: &Places, now: &Now) {
        let theme = self.theme;
        let page = now.page.as_deref();
        let words = &self.words;
        let room = part(ui, &theme, places.posterior, &words.posterior);
        fork::posterior(ui, &theme, words, &self.options, room, &now.fork, page);
        let room = part(ui, &theme, places.gaze, &words.gaze);
        if let Some(page) = page {
            let trail = self.client.live().eye().trail.clone();
            if page.gaze.is_none() {
                let ink = paint(theme.prompt);
                let (at, font) = (room.center(), FontId::proportional(14.0));
                ui.painter()
                    .text(at, Align2::CENTER_CENTER, &words.no_gaze, font, ink);
            } else {
                fork::gaze(ui, &theme, &self.options, room, page, &trail);
            }
        }
        let room = part(ui, &theme, places.text, &words.text);
        if let Some(page) = page {
            fork::text(ui, &theme, room, page);
        }
    }

    fn gauges(&mut self, ui: &mut Ui, places: &Places, now: &Now) {
        let theme = self.theme;
        let words = &self.words;
        let (spectrum, chosen) = {
            let brain = self.client.live().brain();
            let label = brain.labels.get(brain.chosen).cloned();
            (Arc::clone(&brain.spectrum), label.unwrap_or_default())
        };
        let title = format!("{} {chosen}, {}", words.spectrum, words.density);
        let room = part(ui, &theme, places.spectrum, &title);
        gauges::spectrum(ui, &theme, room, &spectrum);
        let latency = part(ui, &theme, places.latency, &words.latency);
        let protocol = part(ui, &theme, places.protocol, &words.protocol);
        let state = part(ui, &theme, places.state, &words.state);
        let streams = part(ui, &theme, places.streams, &words.streams);
        gauges::state(ui, &theme, words, state, &now.state);
        if let Some(status) = now.status.as_deref() {
            gauges::latency(ui, &theme, words, latency, status);
            gauges::protocol(ui, &theme, words, protocol, status);
            gauges::streams(ui, &theme, words, streams, status);
        }
    }

    fn count(&mut self) {
        let begun = *self.begun.get_or_insert_with(Instant::now);
        if let Ok(mut drawn) = self.drawn.lock() {
            drawn.frames += 1;
            drawn.seconds = begun.elapsed().as_secs_f64();
            drawn.columns = self.traces.total();
            drawn.channels = self.traces.channels();
        }
    }

    fn next_frame(&mut self, ui: &Ui) {
        let over = self.shown.seconds.zip(self.begun);
        let over = over.is_some_and(|(seconds, begun)| begun.elapsed().as_secs_f64() >= seconds);
        if over || self.shown.stop.load(Ordering::Relaxed) {
            ui.send_viewport_cmd(ViewportCommand::Close);
        }
        let period = Duration::from_secs_f64(1.0 / FRAMES_HZ);
        let now = Instant::now();
        self.next = after(self.next, now, period);
        ui.request_repaint_after(self.next - now);
    }
}

/// When the frame behind this one is drawn, which was to come at `next` and came at `now`. At a steady pace: one that came late does not
/// move the next one, and those that a moving pointer brings beyond the pace do not put it off.
fn after(next: Instant, now: Instant, period: Duration) -> Instant {
    let steady = (next + period).min(now + period);
    if steady < now { now + period } else { steady }
}

/// Whether a press on "stop" so long after the first one was meant as the second one.
fn is_second(since: Duration) -> bool {
    since >= DOUBLE_CLICK
}

impl eframe::App for OperatorApp {
    fn ui(&mut self, ui: &mut Ui, _frame: &mut eframe::Frame) {
        self.frame(ui);
    }

    fn clear_color(&self, _visuals: &egui::Visuals) -> [f32; 4] {
        paint(self.theme.tile).to_normalized_gamma_f32()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_beyond_the_pace_do_not_put_the_next_one_off_and_late_ones_do_not_move_it() {
        let begun = Instant::now();
        let ms = |ms| begun + Duration::from_millis(ms);
        let period = Duration::from_millis(33);
        // A pointer that moves brings a frame every millisecond.
        let mut next = ms(0);
        for at in 0..1_000 {
            next = after(next, ms(at), period);
            assert!(next <= ms(at) + period, "{at}");
        }
        assert_eq!(after(ms(33), ms(40), period), ms(66), "a little late");
        assert_eq!(after(ms(33), ms(500), period), ms(533), "much too late");
    }

    #[test]
    fn a_double_click_on_stop_is_one_press() {
        assert!(!is_second(Duration::from_millis(200)));
        assert!(is_second(DOUBLE_CLICK));
    }
}
