//! Every screen of the window, without a display: by the tree of widgets that assistive software sees, by what was laid out, and by pixels.
//!
//! The harness panics on a character that no font has, so each of these tests looks for missing glyphs as well.

use std::sync::Arc;

use eframe::egui::{Color32, Rect, Shape, pos2, vec2};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use razvilka_calibration::PursuitPath;
use razvilka_dsp::contraction::Muscle;
use razvilka_dsp::deliberate::BlinkKind;
use razvilka_dsp::units::MonoTime;

use super::draw::{Look, Picture, Shot, draw};
use super::raster::{Pixels, raster};
use super::theme::{Theme, paint};
use super::{app, fonts};
use crate::config::{Corner, PatchSection, ScanSection, ScreenSection, ThemeName, ViewLanguage};
use crate::fork::MAX_OPTIONS;
use crate::marker::{BlockKind, Key, OptionKind, OptionTile};
use crate::rt;
use crate::view::board::{Board, BoardSurface};
use crate::view::flashing::{SAFE_AREA_SR, solid_angle_sr};
use crate::view::layout;
use crate::view::page::{Author, Page, Span};
use crate::view::scene::{Act, Scene, Stage};
use crate::view::surface::{FlashOrder, StimulusSurface, What};
use crate::view::words::Words;

const SIZE: (usize, usize) = (1_060, 600);
/// Characters that people write with here: accents, Greek with its marks, Cyrillic beyond Russian, signs.
const SCRIPTS: &str = "Àéîõü ßłőş — «Да», Ἀχιλλεύς, Українська ґ, ქართული, „so“ … № € ½";
const LONG: &str =
    "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft";

fn look(language: ViewLanguage, text_scale: f64) -> Look {
    Look {
        theme: Theme::of(ThemeName::Dark),
        words: Words::of(language),
        screen: ScreenSection::default(),
        text_scale,
        flash_area_sr_max: SAFE_AREA_SR,
        flashes: true,
        keys: true,
        patch: PatchSection::default(),
        scan: ScanSection::default(),
    }
}

/// A fork with these branches, `other`, `undo` and `go on`, where the engine would put them.
fn tiles(branches: &[&str]) -> Arc<[OptionTile]> {
    let kinds = crate::fork::options_of(branches.len(), true);
    let mut tiles = layout::calibration_tiles(0, &ScreenSection::default());
    let fork = crate::fork::Fork {
        id: crate::fork::ForkId(0),
        position: 0,
        context: String::new(),
        branches: branches
            .iter()
            .map(|text| crate::fork::Branch {
                text: (*text).to_owned(),
                tokens: vec![1],
                prior: 0.3,
                log_prob_nats: -1.0,
            })
            .collect(),
        origin: crate::fork::ForkOrigin::Detected,
    };
    tiles.extend(layout::tiles(&fork, &kinds, &ScreenSection::default()));
    tiles.into()
}

fn page(text: &str) -> Page {
    let span = |text: &str, author| Span {
        text: text.into(),
        author,
    };
    Page {
        text: vec![
            span("Once upon a time ", Author::Prompt),
            span(text, Author::Model),
            span(" she chose this,", Author::Person),
            span(" and this was chosen for her", Author::Imitator),
        ],
        dwell: None,
    }
}

/// Every screen there is.
fn stages() -> Vec<Stage> {
    let at = MonoTime::from_nanos(0);
    let block = |kind, act| Stage::Block {
        kind,
        act: Some((act, at)),
    };
    let three = tiles(&["found a key", SCRIPTS, LONG]);
    vec![
        Stage::Waiting,
        Stage::Rest,
        Stage::Point {
            x_deg: -12.0,
            y_deg: 8.0,
        },
        Stage::Pursuit {
            path: PursuitPath {
                half_w_deg: 17.0,
                half_h_deg: 10.0,
                period_s: 20.0,
            },
            since: at,
        },
        Stage::Block {
            kind: BlockKind::Pupil,
            act: None,
        },
        block(BlockKind::Blink, Act::Blink),
        block(BlockKind::Signal, Act::Signal(BlinkKind::Double)),
        block(BlockKind::Signal, Act::Signal(BlinkKind::Long)),
        block(BlockKind::Signal, Act::Contract(Muscle::Jaw)),
        block(BlockKind::Signal, Act::Contract(Muscle::Brow)),
        Stage::Wish {
            text: "a warm blanket".into(),
        },
        Stage::Options {
            tiles: Arc::clone(&three),
        },
        Stage::Cue {
            tiles: layout::calibration_tiles(6, &ScreenSection::default()).into(),
            item: 4,
        },
        Stage::Writing,
        Stage::Fork {
            fork: 0,
            tiles: Arc::clone(&three),
            due: at,
        },
        Stage::Answered {
            tiles: three,
            item: Some(1),
            since: at,
        },
        Stage::Ended,
    ]
}

struct Drawn {
    look: Look,
    page: Page,
    scene: Scene,
    lit: Option<i32>,
    dwell: [f32; MAX_OPTIONS],
}

fn harness(drawn: Drawn) -> Harness<'static> {
    let mut harness = Harness::builder()
        .with_size(vec2(SIZE.0 as f32, SIZE.1 as f32))
        .with_context_setup(|ctx| ctx.set_fonts(fonts::definitions(Vec::new())))
        .build_ui(move |ui| {
            let shot = Shot {
                page: &drawn.page,
                scene: &drawn.scene,
                tiles_up: true,
                lit: drawn.lit,
                standing_out: None,
                dwell: drawn.dwell,
                mark: Some((1.0, 1.0)),
                now: MonoTime::from_nanos(100_000_000),
            };
            draw(ui, &drawn.look, &shot);
        });
    harness.run_steps(1);
    harness
}

fn plain(look: Look, stage: Stage) -> Harness<'static> {
    harness(Drawn {
        look,
        page: page(SCRIPTS),
        scene: Scene {
            stage,
            ..Scene::default()
        },
        lit: None,
        dwell: [0.0; MAX_OPTIONS],
    })
}

fn pixels(harness: &Harness<'_>) -> Pixels {
    raster(&harness.ctx, harness.output(), SIZE)
}

/// Texts as they were laid out, with where they may be seen.
fn texts(harness: &Harness<'_>) -> Vec<(String, Rect, Rect)> {
    harness
        .output()
        .shapes
        .iter()
        .filter_map(|clipped| match &clipped.shape {
            Shape::Text(text) => Some((
                text.galley.text().to_owned(),
                text.visual_bounding_rect(),
                clipped.clip_rect,
            )),
            _ => None,
        })
        .collect()
}

#[test]
fn every_screen_in_both_languages_and_at_twice_the_size_stays_on_the_screen() {
    let whole = Rect::from_min_size(pos2(0.0, 0.0), vec2(SIZE.0 as f32, SIZE.1 as f32));
    let mut said = 0;
    for language in [ViewLanguage::En, ViewLanguage::Ru] {
        for text_scale in [1.0, 2.0] {
            for stage in stages() {
                let harness = plain(look(language, text_scale), stage.clone());
                for (text, rect, clip) in texts(&harness) {
                    let seen = rect.intersect(clip);
                    assert!(
                        whole.expand(1.0).contains_rect(seen),
                        "{stage:?} at {text_scale}: '{text}' at {seen:?}"
                    );
                    said += 1;
                }
            }
        }
    }
    assert!(said > 200, "{said} texts were looked at");
}

#[test]
fn each_screen_says_what_is_to_be_done_in_its_language() {
    for language in [ViewLanguage::En, ViewLanguage::Ru] {
        let words = Words::of(language);
        let at = MonoTime::from_nanos(0);
        for (stage, said) in [
            (Stage::Waiting, &words.seizure_warning),
            (Stage::Ended, &words.ended),
            (
                Stage::Block {
                    kind: BlockKind::Blink,
                    act: Some((Act::Blink, at)),
                },
                &words.blink_now,
            ),
            (
                Stage::Cue {
                    tiles: tiles(&["1", "2"]),
                    item: 0,
                },
                &words.cue,
            ),
        ] {
            plain(look(language, 1.0), stage).get_by_label(said);
        }
        let fork = Stage::Fork {
            fork: 0,
            tiles: tiles(&["found a key", "lost a key"]),
            due: at,
        };
        let harness = plain(look(language, 1.0), fork);
        for said in [
            "found a key",
            "lost a key",
            &words.other,
            &words.undo,
            &words.go_on,
        ] {
            harness.get_by_label(said);
        }
    }
    let mut quiet = look(ViewLanguage::En, 1.0);
    quiet.flashes = false;
    let harness = plain(quiet, Stage::Waiting);
    let warning = Words::of(ViewLanguage::En).seizure_warning;
    assert!(
        harness.query_by_label(&warning).is_none(),
        "nothing flashes"
    );
}

#[test]
fn what_stands_on_a_tile_stays_within_it_however_long_and_large_it_is() {
    let phrase = "carried the enormous grandfather clock to the lamplighter's workshop by the old mill before anybody woke up that morning";
    for branches in [vec!["a", phrase], vec![LONG, phrase, SCRIPTS]] {
        for text_scale in [0.5, 1.0, 2.0, 3.0] {
            let tiles = tiles(&branches);
            let look = look(ViewLanguage::Ru, text_scale);
            let picture = Picture::within(
                Rect::from_min_size(pos2(0.0, 0.0), vec2(SIZE.0 as f32, SIZE.1 as f32)),
                &look.screen,
            );
            let stage = Stage::Options {
                tiles: Arc::clone(&tiles),
            };
            let harness = plain(look.clone(), stage);
            let laid = texts(&harness);
            for tile in tiles.iter() {
                let words = look.words.on_tile(tile);
                let found = laid.iter().find(|(text, ..)| text == words);
                let (_, rect, _) = found.unwrap_or_else(|| panic!("'{words}' is not there"));
                let room = picture.tile(tile).expand(0.5);
                assert!(room.contains_rect(*rect), "{text_scale}: '{words}'");
            }
            // A larger one would draw the eye.
            let mut sizes = Vec::new();
            for clipped in &harness.output().shapes {
                if let Shape::Text(text) = &clipped.shape
                    && branches.contains(&text.galley.text())
                {
                    sizes.push(text.galley.job.sections[0].format.font_id.size);
                }
            }
            assert_eq!(sizes.len(), branches.len());
            assert!(sizes.iter().all(|size| *size == sizes[0]), "{sizes:?}");
        }
    }
}

#[test]
fn right_to_left_text_is_not_shown_in_the_wrong_order() {
    let stage = Stage::Options {
        tiles: tiles(&["שלום", "found a key"]),
    };
    let harness = plain(look(ViewLanguage::En, 1.0), stage);
    harness.get_by_label(&Words::of(ViewLanguage::En).cannot_show);
    harness.get_by_label("found a key");
    let fonts = fonts::definitions(Vec::new());
    for text in ["مرحبا", "漢字"] {
        assert!(fonts::check_before(&fonts, text).is_err(), "{text}");
    }
    assert_eq!(fonts::check_before(&fonts, SCRIPTS), Ok(()));
}

#[test]
fn the_pixels_that_flash_subtend_no_more_than_what_wcag_holds_safe() {
    let fork = tiles(&["found a key", "lost a key", "hid a key"]);
    let look = look(ViewLanguage::En, 1.0);
    let lit_colour = paint(look.theme.lit);
    let screen = look.screen.clone();
    // A pixel's solid angle, by where it lies: the truth is counted, not computed from the frame.
    let per_cm = (SIZE.0 as f64 / screen.width_cm).min(SIZE.1 as f64 / screen.height_cm);
    let deg = |px: f64, size: usize| {
        ((px - 0.5 * size as f64) / per_cm / screen.distance_cm)
            .atan()
            .to_degrees()
    };
    for tile in fork.iter() {
        let stage = Stage::Fork {
            fork: 0,
            tiles: Arc::clone(&fork),
            due: MonoTime::from_nanos(0),
        };
        let drawn = |lit| Drawn {
            look: look.clone(),
            page: Page::default(),
            scene: Scene {
                stage: stage.clone(),
                ..Scene::default()
            },
            lit,
            dwell: [0.0; MAX_OPTIONS],
        };
        let (on, off) = (
            pixels(&harness(drawn(Some(tile.item)))),
            pixels(&harness(drawn(None))),
        );
        let mut area_sr = 0.0;
        for (index, (on, off)) in on.colours.iter().zip(&off.colours).enumerate() {
            if on != off {
                // Pixels at an edge are blended: they count by how far they went to the colour that is lit.
                let of = |colour: &Color32| f64::from(colour.g());
                let share = (of(on) - of(off)) / (of(&lit_colour) - of(off));
                let (x, y) = ((index % SIZE.0) as f64, (index / SIZE.0) as f64);
                let pixel_sr = solid_angle_sr(
                    (deg(x, SIZE.0), deg(x + 1.0, SIZE.0)),
                    (deg(y, SIZE.1), deg(y + 1.0, SIZE.1)),
                );
                area_sr += pixel_sr * share.clamp(0.0, 1.0);
            }
        }
        // A little less than allowed: corners are round, and away from the middle of the screen a frame of so many points is thinner in
        // degrees.
        assert!(area_sr <= SAFE_AREA_SR, "{tile:?}: {area_sr}");
        assert!(area_sr > 0.8 * SAFE_AREA_SR, "{tile:?}: {area_sr}");
    }
}

#[test]
fn the_square_for_a_photodiode_is_white_exactly_while_something_is_lit() {
    let fork = tiles(&["found a key", "lost a key", "hid a key"]);
    let mut look = look(ViewLanguage::En, 1.0);
    look.patch = PatchSection {
        corner: Some(Corner::BottomRight),
        size_cm: 2.0,
    };
    let drawn = |lit| Drawn {
        look: look.clone(),
        page: Page::default(),
        scene: Scene {
            stage: Stage::Fork {
                fork: 0,
                tiles: Arc::clone(&fork),
                due: MonoTime::from_nanos(0),
            },
            ..Scene::default()
        },
        lit,
        dwell: [0.0; MAX_OPTIONS],
    };
    let dark = pixels(&harness(drawn(None)));
    // Two centimetres of the screen's width, as many pixels high.
    let side = 2.0 * SIZE.0 as f64 / look.screen.width_cm;
    for lit in [0, 2] {
        let light = pixels(&harness(drawn(Some(lit))));
        let mut area = 0.0;
        for (index, (on, off)) in light.colours.iter().zip(&dark.colours).enumerate() {
            if (*on, *off) == (Color32::WHITE, Color32::BLACK) {
                area += 1.0;
                let (x, y) = (index % SIZE.0, index / SIZE.0);
                assert!(x > SIZE.0 * 9 / 10 && y > SIZE.1 * 8 / 10, "{x}, {y}");
            }
        }
        assert!(
            (area / (side * side) - 1.0_f64).abs() < 0.08,
            "{area} of {side} squared"
        );
    }
}

#[test]
fn a_bar_fills_the_tile_that_is_looked_at_by_its_share_and_no_other() {
    let fork = tiles(&["found a key", "lost a key", "hid a key"]);
    let look = look(ViewLanguage::En, 1.0);
    let dwell_colour = paint(look.theme.dwell);
    let whole = Rect::from_min_size(pos2(0.0, 0.0), vec2(SIZE.0 as f32, SIZE.1 as f32));
    let picture = Picture::within(whole, &look.screen);
    let mut widths = Vec::new();
    for share in [0.0, 0.25, 0.5, 1.0] {
        let mut dwell = [0.0; MAX_OPTIONS];
        dwell[1] = share;
        let drawn = Drawn {
            look: look.clone(),
            page: Page::default(),
            scene: Scene {
                stage: Stage::Fork {
                    fork: 0,
                    tiles: Arc::clone(&fork),
                    due: MonoTime::from_nanos(0),
                },
                ..Scene::default()
            },
            lit: None,
            dwell,
        };
        let pixels = pixels(&harness(drawn));
        let on = |item: usize| {
            let rect = picture.tile(&fork[item]);
            pixels.count(dwell_colour, |x, y| rect.contains(pos2(x, y)))
        };
        assert_eq!((on(0), on(2)), (0, 0), "{share}");
        widths.push(on(1) as f64);
    }
    assert_eq!(widths[0], 0.0);
    for (share, count) in [(0.25, widths[1]), (0.5, widths[2])] {
        let found = count / widths[3];
        assert!((found - share).abs() < 0.05, "{share}: {found}");
    }
}

/// A window without a display, and the engine's side of its board.
fn window(keys: bool) -> (Harness<'static>, Arc<Board>, BoardSurface) {
    window_with(keys, ScanSection::default())
}

fn window_with(keys: bool, scan: ScanSection) -> (Harness<'static>, Arc<Board>, BoardSurface) {
    let board = Arc::new(Board::default());
    let surface = BoardSurface::new(Arc::clone(&board));
    let (ready, _is_ready) = crossbeam::channel::bounded(1);
    let mut look = look(ViewLanguage::En, 1.0);
    look.keys = keys;
    look.scan = scan;
    let mut participant = app::Participant::new(
        Arc::clone(&board),
        look,
        (0.1, 400.0),
        Arc::default(),
        ready,
    );
    let harness = Harness::builder()
        .with_size(vec2(SIZE.0 as f32, SIZE.1 as f32))
        .with_context_setup(|ctx| ctx.set_fonts(fonts::definitions(Vec::new())))
        .build_ui(move |ui| participant.frame(ui));
    (harness, board, surface)
}

fn open(fork: u64) -> crate::marker::Event {
    crate::marker::Event::ForkOpen {
        fork,
        context: String::new(),
        options: tiles(&["found a key", "lost a key"]).to_vec(),
        timeout_s: 10.0,
    }
}

#[test]
fn tiles_and_flashes_are_reported_once_the_frame_after_theirs_begins() {
    let (mut harness, _board, mut surface) = window(false);
    surface.show(5, &open(7), rt::lsl_now());
    let order = FlashOrder {
        number: 1,
        item: 0,
        due: rt::now(),
    };
    assert!(surface.flash(order));
    let before = rt::now();
    harness.run_steps(1);
    assert!(
        surface.reports().try_recv().is_err(),
        "the frame has not been handed over yet"
    );
    harness.run_steps(1);
    let reports: Vec<_> = surface.reports().try_iter().collect();
    let whats: Vec<_> = reports.iter().map(|report| report.what).collect();
    assert_eq!(whats, [What::Flash(1), What::Tiles(7)]);
    assert!(reports.iter().all(|report| report.at > before));
    harness.run_steps(2);
    assert_eq!(surface.reports().try_iter().count(), 0, "each of them once");
}

#[test]
fn the_switch_takes_the_option_that_stands_out_and_nothing_else() {
    let scan = ScanSection {
        on: true,
        first_s: 20.0,
        ..ScanSection::default()
    };
    let (mut harness, board, mut surface) = window_with(true, scan);
    let pressed = board.presses();
    harness.key_press(eframe::egui::Key::Space);
    harness.run_steps(1);
    assert!(pressed.try_recv().is_err(), "no fork is open");
    // With the frame that puts the tiles up nothing has been seen to stand out yet.
    surface.show(5, &open(7), rt::lsl_now());
    harness.key_press(eframe::egui::Key::Space);
    harness.run_steps(1);
    assert!(pressed.try_recv().is_err(), "nothing stood out");
    harness.run_steps(2);
    let hint = Words::of(ViewLanguage::En).scan;
    assert!(texts(&harness).iter().any(|(text, ..)| *text == hint));
    harness.key_press(eframe::egui::Key::Space);
    harness.run_steps(1);
    let (_, key) = pressed.try_recv().unwrap();
    assert_eq!(Key::from_json(&key).unwrap(), Key::Select { item: 0 });
    // Without scanning the space bar says nothing.
    let (mut harness, board, mut surface) = window(true);
    let pressed = board.presses();
    surface.show(5, &open(7), rt::lsl_now());
    harness.run_steps(3);
    harness.key_press(eframe::egui::Key::Space);
    harness.run_steps(1);
    assert!(pressed.try_recv().is_err());
}

#[test]
fn nothing_is_shown_before_the_warning_was_confirmed() {
    let (mut harness, board, mut surface) = window(true);
    let pressed = board.presses();
    board.ask_for_flashes();
    surface.show(5, &open(7), rt::lsl_now());
    harness.run_steps(2);
    let words = Words::of(ViewLanguage::En);
    harness.get_by_label(&words.seizure_warning);
    assert!(harness.query_by_label("found a key").is_none());
    harness.key_press(eframe::egui::Key::Num1);
    harness.run_steps(1);
    assert!(!board.flashes_confirmed() && pressed.try_recv().is_err());
    assert!(surface.reports().try_recv().is_err(), "nothing was seen");
    std::thread::sleep(app::READ);
    harness.get_by_label(&words.flashes_confirm).click();
    harness.run_steps(2);
    assert!(board.flashes_confirmed());
    harness.get_by_label("found a key");
}

#[test]
fn each_change_on_the_screen_is_reported_by_the_marker_that_told_of_it() {
    let (mut harness, _board, mut surface) = window(false);
    let point = crate::marker::Event::GazePoint {
        point: 0,
        x_deg: 1.0,
        y_deg: 2.0,
        phase: crate::marker::GazePhase::Fit,
    };
    surface.show(3, &point, rt::lsl_now());
    harness.run_steps(2);
    surface.show(4, &crate::marker::Event::Pause { on: true }, rt::lsl_now());
    harness.run_steps(2);
    surface.show(5, &open(7), rt::lsl_now());
    harness.run_steps(2);
    let whats: Vec<_> = surface
        .reports()
        .try_iter()
        .map(|report| report.what)
        .collect();
    assert_eq!(whats, [What::Scene(3), What::Scene(4), What::Tiles(7)]);
}

#[test]
fn a_key_or_a_click_chooses_what_stands_on_the_screen_and_only_where_keys_count() {
    for keys in [true, false] {
        let (mut harness, board, mut surface) = window(keys);
        let pressed = board.presses();
        harness.key_press(eframe::egui::Key::Num2);
        harness.run_steps(1);
        assert!(pressed.try_recv().is_err(), "no fork is open");
        surface.show(5, &open(7), rt::lsl_now());
        harness.run_steps(2);
        harness.key_press(eframe::egui::Key::Num2);
        harness.run_steps(1);
        harness.key_press(eframe::egui::Key::G);
        harness.run_steps(1);
        harness.get_by_label("found a key").click();
        harness.run_steps(2);
        let said: Vec<_> = pressed
            .try_iter()
            .map(|(_, key)| Key::from_json(&key).unwrap())
            .collect();
        let expected = if keys {
            vec![
                Key::Select { item: 1 },
                Key::Select { item: 4 },
                Key::Select { item: 0 },
            ]
        } else {
            Vec::new()
        };
        assert_eq!(said, expected);
    }
    let go_on = tiles(&["a", "b"])[4].kind;
    assert_eq!(go_on, OptionKind::GoOn);
}
