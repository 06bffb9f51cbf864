//! The pupil: NumPy's responses by definition (`fixtures/golden/dsp/generate_pupil.py`), the properties of a stage, and what must not move it.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_macros
)]

use proptest::prelude::*;
use razvilka_dsp::gaze::Fixation;
use razvilka_dsp::gaze_evidence::Tile;
use razvilka_dsp::pupil::{EyeSizes, KNOWN_AFTER_S, PupilResponse, PupilTrack, TileReads};
use razvilka_dsp::units::Hertz;
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    fs: f64,
    t: Vec<f64>,
    left: Vec<Option<f64>>,
    right: Vec<Option<f64>>,
    x: Vec<f64>,
    y: Vec<f64>,
    answers: Vec<Answer>,
}

#[derive(Deserialize)]
struct Answer {
    read_s: f64,
    due_s: f64,
    response: Option<PupilResponse>,
}

fn hz(rate: f64) -> Hertz {
    Hertz::new(rate).unwrap()
}

#[test]
fn responses_are_those_that_numpy_finds_by_definition() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../fixtures/golden/dsp/pupil.json"
    );
    let cases: Vec<Case> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut compared = 0;
    for case in &cases {
        let (mut track, mut sizes) = (PupilTrack::new(hz(case.fs)), EyeSizes::new());
        let mut answers = case.answers.iter().peekable();
        for i in 0..case.t.len() {
            let size = sizes.push(case.t[i], [case.left[i], case.right[i]]);
            track.push(case.t[i], size, Some([case.x[i], case.y[i]]));
            while let Some(answer) = answers.next_if(|answer| track.is_due(answer.read_s)) {
                assert_eq!(answer.due_s, case.t[i], "due");
                let got = track.response(answer.read_s);
                let read_s = answer.read_s;
                assert_eq!(
                    got.is_some(),
                    answer.response.is_some(),
                    "{read_s}: {got:?}"
                );
                let Some((got, want)) = got.zip(answer.response) else {
                    continue;
                };
                compared += 1;
                // Shares of the size: sums of some thousand doubles near 3.4, so 1e-12 of it is what can be told.
                let near = |a: f64, b: f64| (a - b).abs() <= 1e-9 * b.abs() + 1e-12;
                assert!(near(got.change, want.change), "{read_s}: {got:?} {want:?}");
                assert!(near(got.deviation, want.deviation), "{got:?} {want:?}");
                for (a, b) in got.moved.iter().zip(want.moved) {
                    assert!(near(*a, b), "{read_s}: {got:?} {want:?}");
                }
            }
        }
        assert!(answers.next().is_none());
    }
    assert!(compared >= 20, "{compared}");
}

/// A pupil of 3.5 that widens by `gain` after 20.0 s, with blinks at these stamps whose edges hide a part of it.
fn track_of(rate: f64, gain: f64, blinks: &[f64]) -> Option<PupilResponse> {
    let mut track = PupilTrack::new(hz(rate));
    let read_s = 20.0;
    for n in 0.. {
        let t_s = f64::from(n) / rate;
        let since_s = (t_s - read_s).max(0.0) / 0.93;
        let rise = (10.1 * (since_s.ln() + 1.0 - since_s)).exp();
        let wave = 0.02 * (2.0 * t_s).sin() + 0.001 * (40.0 * t_s).sin();
        let mut size = 3.5 + wave + if since_s > 0.0 { gain * rise } else { 0.0 };
        let mut lost = false;
        for blink in blinks {
            let from_s = t_s - blink;
            // Lids close within 70 ms and open within 100 ms.
            size *= 1.0 - 0.5 * (1.0 - ((from_s - 0.12) / 0.16).abs()).max(0.0);
            lost |= (0.06..0.18).contains(&from_s);
        }
        track.push(t_s, (!lost).then_some(size), Some([1.0, -2.0]));
        if track.is_due(read_s) {
            assert!(t_s < read_s + KNOWN_AFTER_S + 0.06);
            return track.response(read_s);
        }
    }
    None
}

#[test]
fn a_pupil_that_widens_is_told_at_any_rate_and_a_blink_does_not_pass_for_it() {
    for rate in [60.0, 250.0, 1000.0] {
        let still = track_of(rate, 0.0, &[]).unwrap();
        let wide = track_of(rate, 0.2, &[]).unwrap();
        // The mean of the response function over 0.5 to 1.5 s is 0.6706 of its maximum (SciPy: quad of (t/0.93)^10.1 exp(10.1 (1 - t/0.93))).
        let gained = (wide.change - still.change) * 3.5;
        assert!((gained - 0.2 * 0.6706).abs() < 0.01, "{rate}: {gained}");
        // In the baseline, and in the response.
        for blinks in [&[19.6][..], &[20.9], &[19.7, 21.0]] {
            let blinked = track_of(rate, 0.0, blinks).unwrap();
            let off = (blinked.change - still.change) * 3.5;
            assert!(off.abs() < 0.02, "{rate} {blinks:?}: {off}");
        }
        // Too little is left of the baseline.
        assert_eq!(track_of(rate, 0.2, &[19.5, 19.75]), None, "{rate}");
    }
}

/// Stamp, sizes of the left and right pupil, place.
type Row = (f64, Option<f64>, Option<f64>, [f64; 2]);

/// Stamps, sizes and places of anything at all.
fn anything() -> impl Strategy<Value = Vec<Row>> {
    let size = prop_oneof![
        6 => (2.0..5.0).prop_map(Some),
        1 => Just(None),
        1 => prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(-1.0), Just(0.0), Just(1e300)].prop_map(Some),
    ];
    let place = prop_oneof![
        8 => [-20.0..20.0, -20.0..20.0],
        1 => Just([f64::NAN, 0.0]),
    ];
    let step = prop_oneof![60 => 0.001..0.03, 1 => Just(-0.5), 1 => 0.1..8.0, 1 => Just(f64::NAN)];
    prop::collection::vec((step, size.clone(), size, place), 200..900).prop_map(|rows| {
        let mut t_s = 100.0;
        let rows = rows.into_iter().map(|(step, left, right, at)| {
            let stamp_s = t_s + step;
            t_s = if step > 0.0 { stamp_s } else { t_s };
            (stamp_s, left, right, at)
        });
        rows.collect()
    })
}

fn run(track: &mut PupilTrack, sizes: &mut EyeSizes, rows: &[Row]) -> Vec<Option<PupilResponse>> {
    let each = rows.iter().map(|(t_s, left, right, at)| {
        let size = sizes.push(*t_s, [*left, *right]);
        track.push(*t_s, size, Some(*at));
        track.response(*t_s - KNOWN_AFTER_S - 0.05)
    });
    each.collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn reset_equals_new_and_what_comes_out_is_finite(rows in anything(), before in anything()) {
        let fresh = || (PupilTrack::new(hz(120.0)), EyeSizes::new());
        let (mut track, mut sizes) = fresh();
        let first = run(&mut track, &mut sizes, &rows);
        for response in first.iter().flatten() {
            prop_assert!(response.change.is_finite());
            prop_assert!(response.moved.iter().all(|v| v.is_finite()));
            prop_assert!(response.deviation.is_finite() && response.deviation > 0.0);
        }
        let (mut track, mut sizes) = fresh();
        run(&mut track, &mut sizes, &before);
        track.reset();
        sizes.reset();
        let again = run(&mut track, &mut sizes, &rows);
        prop_assert_eq!(first, again);
    }
}

const TILES: [Tile; 2] = [
    Tile {
        x_deg: -8.0,
        y_deg: 0.0,
        w_deg: 8.0,
        h_deg: 4.0,
        words: 4,
    },
    Tile {
        x_deg: 8.0,
        y_deg: 0.0,
        w_deg: 8.0,
        h_deg: 4.0,
        words: 2,
    },
];

fn fixation(number: u64, onset_s: f64, last_s: f64, x_deg: f64) -> Fixation {
    Fixation {
        number,
        onset_s,
        last_s,
        emit_s: last_s,
        x_deg,
        y_deg: 0.5,
        dispersion_deg: 0.1,
        n: 50,
        dwell_s: last_s - onset_s,
    }
}

#[test]
fn a_tile_has_been_read_when_gaze_leaves_it_or_when_its_words_should_have_been_read() {
    let mut reads = TileReads::new();
    let mut push = |n, from, to, x| reads.push(&fixation(n, from, to, x), &TILES);
    // Four words: 1.1 s are expected, a third of it is read.
    assert_eq!(push(0, 1.0, 1.2, -9.0), None);
    assert_eq!(push(1, 1.23, 1.5, -7.0), None);
    let read = push(2, 1.55, 1.7, 6.0).unwrap();
    assert_eq!((read.item, read.at_s), (0, 1.5));
    // Two words: 0.6 s.
    assert_eq!(push(2, 1.55, 1.9, 6.0), None);
    let read = push(2, 1.55, 2.3, 6.0).unwrap();
    assert_eq!(read.item, 1);
    assert!((read.at_s - 2.15).abs() < 1e-9);
    // Once per tile, and a glance is no reading.
    assert_eq!(push(2, 1.55, 4.0, 6.0), None);
    assert_eq!(push(3, 4.1, 5.9, -8.0), None);
    let mut glance = TileReads::new();
    assert_eq!(glance.push(&fixation(0, 1.0, 1.1, -9.0), &TILES), None);
    assert_eq!(glance.push(&fixation(1, 1.2, 1.3, 0.0), &TILES), None);
    // Beside every tile is on none; what is no time says nothing.
    assert_eq!(glance.push(&fixation(2, 1.4, 9.0, 0.0), &TILES), None);
    assert_eq!(glance.push(&fixation(3, f64::NAN, 9.0, 8.0), &TILES), None);
    assert_eq!(glance.push(&fixation(4, 9.0, 12.0, 8.0), &[]), None);
    assert!(glance.push(&fixation(5, 12.1, 14.0, 8.0), &TILES).is_some());
    glance.again(1);
    assert!(glance.push(&fixation(6, 12.1, 14.2, 8.0), &TILES).is_some());
}
