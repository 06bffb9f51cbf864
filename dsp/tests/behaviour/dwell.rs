use razvilka_dsp::gaze::Fixation;
use razvilka_dsp::gaze_evidence::{DwellEvidence, DwellModel, Tile};

const TILES: [Tile; 3] = [
    Tile {
        x_deg: -10.0,
        y_deg: 0.0,
        w_deg: 6.0,
        h_deg: 2.0,
        words: 4,
    },
    Tile {
        x_deg: 0.0,
        y_deg: 0.0,
        w_deg: 6.0,
        h_deg: 2.0,
        words: 4,
    },
    Tile {
        x_deg: 10.0,
        y_deg: 0.0,
        w_deg: 6.0,
        h_deg: 2.0,
        words: 4,
    },
];

fn fixation(number: u64, x_deg: f64, dwell_s: f64) -> Fixation {
    Fixation {
        number,
        onset_s: 0.0,
        last_s: dwell_s,
        emit_s: dwell_s,
        x_deg,
        y_deg: 0.0,
        dispersion_deg: 0.1,
        n: 100,
        dwell_s,
    }
}

fn evidence() -> DwellEvidence {
    let mut e = DwellEvidence::new(DwellModel::default()).unwrap();
    e.reset(&TILES).unwrap();
    e
}

fn nats(e: &DwellEvidence) -> [f64; 3] {
    let mut out = [f64::NAN; 3];
    e.ln_likelihoods(&mut out);
    out
}

/// Fixations of reading: one word after the other on the tile at `x_deg`.
fn read(e: &mut DwellEvidence, number: &mut u64, x_deg: f64) {
    for word in 0..4 {
        let at = x_deg - 3.0 + 2.0 * f64::from(word);
        e.end(&fixation(*number, at, 0.25), true);
        *number += 1;
    }
}

#[test]
fn reading_every_tile_twice_says_nothing_and_staying_on_one_says_much() {
    let mut e = evidence();
    let mut number = 0;
    for x in [-10.0, 0.0, 10.0, -10.0, 0.0, 10.0] {
        read(&mut e, &mut number, x);
        assert_eq!(nats(&e), [0.0; 3]);
    }
    e.update(&fixation(number, -10.0, 0.6));
    assert_eq!(nats(&e), [0.0; 3], "no longer than a long fixation");
    e.update(&fixation(number, -10.0, 1.2));
    let [a, b, c] = nats(&e);
    assert!(a == 0.0 && b < -4.0 && c < -4.0, "{a} {b} {c}");
}

#[test]
fn a_stay_goes_on_over_small_saccades_and_not_over_steps_of_reading() {
    let after = |steps: [f64; 4]| {
        let mut e = evidence();
        let mut number = 0;
        for x in [-10.0, 0.0, 10.0] {
            read(&mut e, &mut number, x);
        }
        for step in steps {
            e.end(&fixation(number, step, 0.35), true);
            number += 1;
        }
        nats(&e)
    };
    assert!(after([0.0, 0.4, -0.2, 0.1])[0] < -4.0);
    // Only the length of the visit says a little; small steps in one direction are no stay either.
    for steps in [[-1.5, 0.0, 1.5, 0.0], [-2.0, -1.0, 0.0, 1.0]] {
        let said = after(steps);
        assert!(said.iter().all(|n| (-0.5..=0.0).contains(n)), "{said:?}");
    }
}

#[test]
fn a_tile_that_is_not_read_yet_takes_longer_by_the_time_its_words_ask_for() {
    let until = |first_pass: bool| {
        let mut e = evidence();
        if !first_pass {
            let mut number = 0;
            read(&mut e, &mut number, 0.0);
            read(&mut e, &mut number, 10.0);
        }
        (1..400)
            .map(|n| 0.01 * f64::from(n))
            .find(|s| {
                e.update(&fixation(50, 0.0, *s));
                nats(&e)[0] < -3.0
            })
            .unwrap()
    };
    let (unread_s, read_s) = (until(true), until(false));
    assert!((1.05..1.25).contains(&read_s), "{read_s}");
    assert!((1.0..1.2).contains(&(unread_s - read_s)), "{unread_s}");
}

#[test]
fn a_slow_reader_is_given_more_time_and_a_fast_one_less_within_bounds() {
    let pace = |word_s: f64| {
        let mut e = evidence();
        let mut number = 0;
        for x in [-10.0, 0.0, 10.0, -10.0] {
            for word in 0..4 {
                e.end(
                    &fixation(number, x - 3.0 + 2.0 * f64::from(word), word_s),
                    true,
                );
                number += 1;
            }
        }
        e.pace()
    };
    let (fast, usual, slow) = (pace(0.15), pace(0.275), pace(0.5));
    assert!((0.6..0.8).contains(&fast), "{fast}");
    assert!((0.95..1.05).contains(&usual), "{usual}");
    assert!((1.3..=1.8).contains(&slow), "{slow}");
    assert!(pace(5.0) <= 1.8);
}

#[test]
fn looking_between_two_tiles_favours_neither() {
    let mut e = evidence();
    e.end(&fixation(0, 5.0, 5.0), true);
    let [a, b, c] = nats(&e);
    assert!((b - c).abs() < 1e-9 && a <= b, "{a} {b} {c}");
}

#[test]
fn where_the_error_is_larger_in_a_region_a_look_beside_a_tile_says_less() {
    let of = |factor: f64| {
        let mut model = DwellModel::default();
        model.region[4] = factor;
        model.ln_likelihood(&TILES[1], 4.0, 0.0) - model.ln_likelihood(&TILES[1], 0.0, 0.0)
    };
    assert!(of(2.0) > of(1.0) && of(1.0) > of(0.5));
    // The error is not the same in both directions.
    let model = DwellModel {
        sd_x_deg: 2.0,
        sd_y_deg: 0.5,
        ..DwellModel::default()
    };
    assert!(model.ln_likelihood(&TILES[1], 4.0, 0.0) > model.ln_likelihood(&TILES[1], 0.0, 2.0));
}

#[test]
fn a_fixation_that_is_lost_takes_back_what_it_said() {
    let mut e = evidence();
    e.end(&fixation(0, 0.0, 2.5), true);
    let before = nats(&e);
    e.update(&fixation(1, 10.0, 2.0));
    assert_ne!(nats(&e), before);
    e.end(&fixation(1, 10.0, 2.0), false);
    assert_eq!(nats(&e), before);
    assert_eq!(e.fixations(), 1);
    e.reset(&TILES).unwrap();
    assert_eq!((nats(&e), e.fixations(), e.dwell_s(1)), ([0.0; 3], 0, 0.0));
}

#[test]
fn a_stay_fills_its_tile_alone_until_gaze_has_said_all() {
    let mut e = evidence();
    let mut number = 0;
    for tile in TILES {
        read(&mut e, &mut number, tile.x_deg);
    }
    let progress = |e: &DwellEvidence| {
        let mut out = [f64::NAN; 4];
        e.progress(&mut out);
        out
    };
    let read_to = progress(&e)[..3].iter().copied().fold(0.0, f64::max);
    assert!(read_to < 0.35, "{read_to}");
    let mut before = 0.0;
    for tenths in 1..=13 {
        e.update(&fixation(number, 0.0, 0.1 * f64::from(tenths)));
        let [left, here, right, beyond] = progress(&e);
        assert!(here >= before && left == 0.0 && right < 0.35, "{here}");
        assert!(beyond.is_nan(), "no tile, no word");
        before = here;
    }
    assert_eq!(before, 1.0);
    assert_eq!(nats(&e)[0], -DwellModel::default().clip_nats);
    // A blink takes it back.
    e.end(&fixation(number, 0.0, 1.3), false);
    assert!(progress(&e)[1] < 0.35);
}

#[test]
fn who_reads_the_text_above_means_no_tile() {
    let text = Tile {
        x_deg: 0.0,
        y_deg: -4.0,
        w_deg: 40.0,
        h_deg: 4.0,
        words: 0,
    };
    let said = |text: Option<Tile>| {
        let model = DwellModel {
            text,
            ..DwellModel::default()
        };
        let mut e = DwellEvidence::new(model).unwrap();
        e.reset(&TILES).unwrap();
        for number in 0..20 {
            let at = Fixation {
                y_deg: -2.2,
                ..fixation(number, 1.8 * (number % 2) as f64, 0.25)
            };
            e.end(&at, true);
        }
        nats(&e)
    };
    assert!(said(None)[0] < -1.0, "{:?}", said(None));
    let with_text = said(Some(text));
    assert!(with_text.iter().all(|nats| *nats > -0.1), "{with_text:?}");
    let flat = Tile {
        h_deg: -1.0,
        ..text
    };
    let model = DwellModel {
        text: Some(flat),
        ..DwellModel::default()
    };
    assert!(DwellEvidence::new(model).is_err());
}

#[test]
fn a_glance_at_nothing_and_numbers_that_are_none_say_nothing() {
    let mut e = evidence();
    let mut off = fixation(0, 0.0, 3.0);
    off.y_deg = 40.0;
    e.end(&off, true);
    assert!(nats(&e).iter().all(|n| n.abs() < 1e-9));
    for x in [f64::NAN, f64::INFINITY] {
        e.end(&fixation(1, x, 1.0), true);
    }
    e.end(&fixation(2, 0.0, f64::NAN), true);
    assert!(nats(&e).iter().all(|n| n.abs() < 1e-9));
}

#[test]
fn the_density_of_a_tile_sums_to_one_over_the_screen() {
    // Summed on a grid, with the uniform part taken out.
    let model = DwellModel {
        outlier: 0.001,
        ..DwellModel::default()
    };
    let tile = TILES[1];
    let (step, mut sum) = (0.05, 0.0);
    for i in -300..300 {
        for j in -200..200 {
            let (x, y) = (f64::from(i) * step, f64::from(j) * step);
            let uniform = model.outlier / model.area_deg2;
            sum += (model.ln_likelihood(&tile, x, y).exp() - uniform) * step * step;
        }
    }
    assert!((sum - 0.999).abs() < 2e-3, "{sum}");
}

#[test]
fn tiles_and_models_that_cannot_be_are_refused() {
    let mut e = evidence();
    assert!(e.reset(&[]).is_err());
    assert!(e.reset(&[TILES[0]; 17]).is_err());
    let flat = Tile {
        h_deg: 0.0,
        ..TILES[0]
    };
    assert!(e.reset(&[flat]).is_err());
    for model in [
        DwellModel {
            sd_y_deg: f64::NAN,
            ..DwellModel::default()
        },
        DwellModel {
            outlier: 0.0,
            ..DwellModel::default()
        },
        DwellModel {
            region: [0.0; 9],
            ..DwellModel::default()
        },
        DwellModel {
            clip_nats: 100.0,
            ..DwellModel::default()
        },
    ] {
        assert!(DwellEvidence::new(model).is_err());
    }
}
