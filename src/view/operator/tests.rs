//! The view without a display: what was laid out, in both languages, and what its buttons ask.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use eframe::egui::{Rect, Shape, pos2, vec2};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;

use super::app::{Drawn, OperatorApp, prepare};
use super::words::Words;
use super::{Shown, fonts};
use crate::config::{ScreenSection, ViewLanguage};
use crate::engine::control::Command;
use crate::engine::telemetry::{AskedNow, ForkNow, Named, Page, Phase, Status, StepNow};
use crate::fork::{Branch, Fork, ForkId, ForkOrigin, options_of};
use crate::operator::{Asks, ClientError, Columns, Live};
use crate::view::layout;

/// Somebody who writes down what is asked.
struct Asked {
    live: Arc<Live>,
    asked: Arc<Mutex<Vec<Command>>>,
}

impl Asks for Asked {
    fn live(&self) -> &Arc<Live> {
        &self.live
    }

    fn offer_control(&self) -> Result<(), ClientError> {
        Ok(())
    }

    fn ask(&self, command: Command) -> Result<(), ClientError> {
        self.asked.lock().unwrap().push(command);
        Ok(())
    }
}

const LONG: &str = "carried the enormous grandfather clock to the lamplighter's workshop by the old mill before anybody woke up";

/// Everything there is to be seen, of a session with so many channels.
fn live(channels: usize, control: bool) -> Arc<Live> {
    let live = Arc::new(Live::default());
    let branch = |text: &str| Branch {
        text: text.to_owned(),
        tokens: vec![1],
        prior: 0.3,
        log_prob_nats: -1.0,
    };
    let fork = Fork {
        id: ForkId(7),
        position: 0,
        context: String::new(),
        branches: vec![branch("found a key"), branch(LONG), branch("нашла ключ")],
        origin: ForkOrigin::Detected,
    };
    let kinds = options_of(3, true);
    let labels: Vec<String> = (0..channels).map(|n| format!("Ch{n}")).collect();
    let page = Page {
        session: "20261128T140000Z-0123abcd".into(),
        eeg: Some(Named::default()),
        gaze: Some(Named::default()),
        text: format!("{LONG} ").repeat(12),
        fork: Some(AskedNow {
            number: 7,
            options: layout::tiles(&fork, &kinds, &ScreenSection::default()),
        }),
        answer: format!("6: person: {LONG} (committed)"),
        bad: vec!["Ch1".into()],
        notes: vec![LONG.repeat(3)],
        control,
        ..Page::default()
    };
    let mut status = Status {
        time_s: Some(3_599.0),
        paused: Some(0.0),
        ..Status::default()
    };
    status.steps = [StepNow {
        latest_us: Some(1e6),
        p50_us: Some(1e6),
        p99_us: Some(1e7),
        max_us: Some(1e7),
        budget_us: Some(2e4),
        misses: Some(12_345.0),
        n: Some(1e6),
    }; 5];
    status.eeg.state = Some(0.0);
    status.eeg.rate_hz = Some(1_000.02);
    status.eeg.shift_s = Some(-1.234);
    status.gaze.state = Some(2.0);
    status.health.channels = Some(channels as f64);
    status.health.channels_bad = Some(1.0);
    status.health.disk_free_mib = Some(123_456.0);
    status.health.recording = Some(0.0);
    status.health.gate_dropped = Some(3.0);
    let state = [
        "theta_alpha",
        "theta_alpha_risen",
        "perclos",
        "perclos_risen",
    ];
    live.hear(|now| {
        now.page = Some(Arc::new(page));
        now.status = Some(Arc::new(status));
        now.fork = ForkNow {
            fork: Some(7),
            phase: Phase::Open,
            open_s: Some(2.0),
            posterior: vec![0.1, 0.6, 0.1, 0.1, 0.05, 0.05],
            ..ForkNow::default()
        };
        now.state = Arc::new(state.map(|label| (label.to_owned(), 0.97)).into());
    });
    live.listens(control);
    let mut columns = Columns::new(1_000.0, &vec![1.0; channels]);
    for n in 0..3_000u32 {
        let sample = vec![(f64::from(n) * 0.06).sin() as f32 * 30.0; channels];
        columns.push(f64::from(n) * 0.001, &sample);
    }
    {
        let mut brain = live.brain();
        brain.labels = labels.into();
        brain.rate_hz = 1_000.0;
        brain.columns = Some(columns);
        brain.opened = 1;
        brain.spectrum = (1..120)
            .map(|n| [0.5 * f64::from(n), 10.0 / f64::from(n)])
            .collect();
    }
    live.eye().trail.push(Instant::now(), Some((1.0, 2.0)));
    live
}

/// A view without a display, what it asked, and what it drew.
type Viewed = (
    Harness<'static>,
    Arc<Mutex<Vec<Command>>>,
    Arc<Mutex<Drawn>>,
);

fn harness(live: &Arc<Live>, language: ViewLanguage, size: (f32, f32)) -> Viewed {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let drawn = Arc::new(Mutex::new(Drawn::default()));
    let client = Asked {
        live: Arc::clone(live),
        asked: Arc::clone(&asked),
    };
    let shown = Shown {
        words: Words::of(language),
        seconds: None,
        stop: Arc::new(AtomicBool::new(false)),
    };
    let mut app = OperatorApp::new(Box::new(client), shown, Arc::clone(&drawn));
    let mut harness = Harness::builder()
        .with_size(vec2(size.0, size.1))
        .with_context_setup(|ctx| {
            ctx.set_fonts(fonts::definitions(Vec::new()));
            prepare(ctx);
        })
        .build_ui(move |ui| app.frame(ui));
    harness.run_steps(2);
    (harness, asked, drawn)
}

fn texts(harness: &Harness<'_>) -> Vec<(String, Rect)> {
    let shapes = harness.output().shapes.iter();
    let text = shapes.filter_map(|clipped| match &clipped.shape {
        Shape::Text(text) => Some((
            text.galley.text().to_owned(),
            text.visual_bounding_rect().intersect(clipped.clip_rect),
        )),
        _ => None,
    });
    text.collect()
}

#[test]
fn everything_stands_in_the_window_in_both_languages_and_sizes() {
    let live = live(64, true);
    for language in [ViewLanguage::En, ViewLanguage::Ru] {
        for size in [(1_280.0, 800.0), (900.0, 560.0)] {
            let (harness, ..) = harness(&live, language, size);
            let whole = Rect::from_min_size(pos2(0.0, 0.0), vec2(size.0, size.1));
            let texts = texts(&harness);
            assert!(texts.len() > 100, "{} texts", texts.len());
            for (text, rect) in &texts {
                assert!(
                    !rect.is_positive() || whole.expand(1.0).contains_rect(*rect),
                    "'{text}' at {rect:?}"
                );
            }
            let words = Words::of(language);
            let said = |part: &str| texts.iter().any(|(text, _)| text.contains(part));
            for part in [
                "found a key",
                "0.60",
                "Ch63",
                &words.lost,
                &words.broken,
                &words.latency,
                "0.97",
            ] {
                assert!(said(part), "{language:?}: '{part}' is not there");
            }
        }
    }
}

#[test]
fn pause_is_asked_at_once_stop_when_it_was_pressed_twice_and_nothing_else() {
    let live = live(4, true);
    let words = Words::of(ViewLanguage::En);
    let (mut harness, asked, _) = harness(&live, ViewLanguage::En, (1_280.0, 800.0));
    harness.get_by_label(&words.pause).click();
    harness.run_steps(2);
    assert_eq!(*asked.lock().unwrap(), [Command::Pause]);
    harness.get_by_label(&words.stop).click();
    harness.run_steps(2);
    assert_eq!(asked.lock().unwrap().len(), 1, "not yet");
    std::thread::sleep(super::app::DOUBLE_CLICK);
    harness.get_by_label(&words.stop_sure).click();
    harness.run_steps(2);
    assert_eq!(*asked.lock().unwrap(), [Command::Pause, Command::Stop]);
    // Of a session that is paused it asks to go on.
    live.hear(|now| {
        let mut status = now.status.as_deref().cloned().unwrap();
        status.paused = Some(1.0);
        now.status = Some(Arc::new(status));
    });
    harness.run_steps(2);
    harness.get_by_label(&words.resume).click();
    harness.run_steps(2);
    assert_eq!(asked.lock().unwrap().last(), Some(&Command::Resume));
}

#[test]
fn where_nothing_may_be_asked_there_are_no_buttons() {
    let live = live(4, false);
    let words = Words::of(ViewLanguage::En);
    let (harness, ..) = harness(&live, ViewLanguage::En, (1_280.0, 800.0));
    assert!(harness.query_by_label(&words.pause).is_none());
    assert!(harness.query_by_label(&words.stop).is_none());
    assert!(
        texts(&harness)
            .iter()
            .any(|(text, _)| *text == words.not_allowed)
    );
}

#[test]
fn without_a_session_it_says_so_and_with_another_amplifier_it_draws_that_one() {
    let empty = Arc::new(Live::default());
    let words = Words::of(ViewLanguage::Ru);
    let (harness_empty, ..) = harness(&empty, ViewLanguage::Ru, (900.0, 560.0));
    let said = texts(&harness_empty);
    for part in [&words.looking, &words.no_eeg, &words.no_fork] {
        assert!(said.iter().any(|(text, _)| text == part), "{part}");
    }
    let live = live(8, true);
    let (mut harness, _, drawn) = harness(&live, ViewLanguage::En, (900.0, 560.0));
    let before = *drawn.lock().unwrap();
    assert_eq!((before.channels, before.columns), (8, 300));
    {
        let mut brain = live.brain();
        brain.labels = vec!["Cz".to_owned()].into();
        brain.columns = Some(Columns::new(250.0, &[1.0]));
        brain.opened += 1;
        let columns = brain.columns.as_mut().unwrap();
        (0..50u32).for_each(|n| columns.push(f64::from(n) * 0.004, &[0.0]));
    }
    harness.run_steps(2);
    let drawn = *drawn.lock().unwrap();
    assert_eq!((drawn.channels, drawn.columns), (1, 20));
    live.over();
    harness.run_steps(2);
    assert!(
        texts(&harness)
            .iter()
            .any(|(text, _)| *text == Words::of(ViewLanguage::En).no_eeg)
    );
}
