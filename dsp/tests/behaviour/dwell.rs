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

#[test]
fn reading_every_tile_once_says_next_to_nothing_and_returning_says_much() {
    let mut e = evidence();
    for (number, x) in [-10.0, 0.0, 10.0].into_iter().enumerate() {
        e.end(&fixation(number as u64, x, 0.9), true);
    }
    let read = nats(&e);
    assert!(read.iter().all(|n| *n > -0.1), "{read:?}");
    // Back to the first tile for as long again.
    e.end(&fixation(3, -10.0, 0.9), true);
    let [a, b, c] = nats(&e);
    assert!(a == 0.0 && b < -4.0 && c < -4.0, "{a} {b} {c}");
}

#[test]
fn staying_longer_than_reading_takes_counts() {
    let mut e = evidence();
    e.end(&fixation(0, 0.0, 1.1), true);
    let within = nats(&e)[0];
    assert!(
        (-1.0..0.0).contains(&within),
        "one tile read, the others not yet: {within}"
    );
    e.end(&fixation(1, 0.5, 0.5), true);
    let beyond = nats(&e)[0];
    assert!(
        beyond < 2.0 * within && beyond < -3.0,
        "{within} then {beyond}"
    );
}

#[test]
fn a_fixation_that_is_lost_takes_back_what_it_said() {
    let mut e = evidence();
    e.end(&fixation(0, 0.0, 0.5), true);
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
            sd_deg: f64::NAN,
            ..DwellModel::default()
        },
        DwellModel {
            outlier: 0.0,
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
