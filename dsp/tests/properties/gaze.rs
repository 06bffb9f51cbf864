//! Eye movements and dwell.

use proptest::collection::vec;
use proptest::prelude::*;
use razvilka_dsp::gaze::{
    DetectorKind, FeatureStream, FixationEnd, GazeDetector, GazeEvent, GazeSample,
};
use razvilka_dsp::gaze_evidence::{DwellEvidence, DwellModel, Tile};

use crate::{bits, hz};

/// An event of a fork's evidence.
#[derive(Debug, Clone, Copy)]
struct Look {
    x_deg: f64,
    y_deg: f64,
    samples: u64,
    valid: bool,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_eye_movement_detectors_reset_and_label_every_sample_once_in_time(
        kind in prop_oneof![Just(DetectorKind::Trained), Just(DetectorKind::Velocity)],
        steps in vec((prop_oneof![20 => 0.5_f64..1.5, 1 => 1.5_f64..60.0], prop_oneof![10 => -0.05_f64..0.05, 1 => -8.0_f64..8.0], prop_oneof![12 => Just(true), 1 => Just(false)]), 1..500),
        rate in prop_oneof![Just(60.0), Just(250.0), Just(500.0), Just(2000.0)],
    ) {
        let mut t_s = 5.0;
        let mut x_deg = 0.0;
        let samples: Vec<GazeSample> = steps.iter().map(|(dt, dx, valid)| {
            t_s += dt / rate;
            x_deg = (x_deg + dx).clamp(-100.0, 100.0);
            GazeSample { t_s, x_deg, y_deg: -0.5 * x_deg, valid: *valid }
        }).collect();
        let mut detector = GazeDetector::new(kind, hz(rate)).unwrap();
        let run = |detector: &mut GazeDetector| {
            let mut events = Vec::new();
            for sample in &samples {
                detector.push(*sample, &mut |e| events.push(e));
            }
            detector.finish(&mut |e| events.push(e));
            events
        };
        let first = run(&mut detector);
        let labels: Vec<_> = first.iter().filter_map(|e| match e { GazeEvent::Label(l) => Some(*l), _ => None }).collect();
        prop_assert_eq!(labels.len(), samples.len());
        for (label, sample) in labels.iter().zip(&samples) {
            prop_assert_eq!(label.t_s, sample.t_s);
            prop_assert!(label.emit_s >= label.t_s);
            prop_assert!(label.speed_deg_s.is_none_or(|v| v.is_finite() && v >= 0.0));
        }
        let mut open = None;
        for event in &first {
            match event {
                GazeEvent::Label(_) => {}
                GazeEvent::Start(f) => {
                    prop_assert!(open.is_none());
                    open = Some(f.number);
                }
                GazeEvent::Update(f) | GazeEvent::End(f, _) => {
                    prop_assert_eq!(open, Some(f.number));
                    prop_assert!(f.x_deg.is_finite() && f.y_deg.is_finite() && f.dispersion_deg.is_finite());
                    prop_assert!(f.dwell_s <= f.last_s - f.onset_s + 2.0 / rate + 1e-9);
                    if matches!(event, GazeEvent::End(..)) {
                        open = None;
                    }
                }
            }
        }
        prop_assert!(open.is_none());
        detector.reset();
        prop_assert_eq!(first, run(&mut detector));
    }

    #[test]
    fn features_are_finite_whatever_the_stamps_and_positions(
        steps in vec((prop_oneof![8 => 1e-4_f64..0.05, 1 => Just(5e-324), 1 => Just(f64::NAN), 1 => -1.0_f64..0.0, 1 => 0.0_f64..1e9], any::<f64>(), prop_oneof![4 => -180.0_f64..180.0, 1 => any::<f64>()], any::<bool>()), 1..300),
        rate in prop_oneof![Just(30.0), Just(500.0), Just(2000.0)],
    ) {
        let mut stream = FeatureStream::new(hz(rate), 0.075).unwrap();
        let mut t_s = 0.0;
        let mut dropped_or_described = 0;
        let mut described = Vec::new();
        for (dt, x_deg, y_deg, valid) in &steps {
            t_s += if dt.is_nan() { 0.0 } else { *dt };
            let sample = GazeSample { t_s: if dt.is_nan() { f64::NAN } else { t_s }, x_deg: if *valid { *y_deg } else { *x_deg }, y_deg: *y_deg, valid: *valid };
            stream.push(sample, &mut |row| described.push(*row));
        }
        stream.finish(&mut |row| described.push(*row));
        let counts = stream.counts();
        dropped_or_described += counts.not_finite + counts.backward + described.len() as u64;
        prop_assert_eq!(dropped_or_described, steps.len() as u64);
        for row in &described {
            prop_assert!(row.features.iter().all(|f| f.is_finite()), "{:?}", row);
            prop_assert!(row.now_s >= row.t_s);
        }
    }

    #[test]
    fn dwell_evidence_resets_is_bounded_and_does_not_care_how_often_it_is_told(
        looks in vec((-20.0_f64..20.0, -10.0_f64..10.0, 1_u64..400, any::<bool>()), 0..12),
    ) {
        let tiles: Vec<Tile> = [-9.0, 0.0, 9.0].iter().map(|x| Tile { x_deg: *x, y_deg: 0.0, w_deg: 6.0, h_deg: 2.0, words: 4 }).collect();
        let looks: Vec<Look> = looks.into_iter().map(|(x_deg, y_deg, samples, valid)| Look { x_deg, y_deg, samples, valid }).collect();
        let mut evidence = DwellEvidence::new(DwellModel::default()).unwrap();
        let run = |evidence: &mut DwellEvidence, every: u64| {
            evidence.reset(&tiles).unwrap();
            for (number, look) in looks.iter().enumerate() {
                let fixation = |n: u64| razvilka_dsp::gaze::Fixation {
                    number: number as u64, onset_s: 0.0, last_s: n as f64 * 0.002, emit_s: 0.0,
                    x_deg: look.x_deg, y_deg: look.y_deg, dispersion_deg: 0.1, n, dwell_s: n as f64 * 0.002,
                };
                for n in (1..look.samples).step_by(every as usize) {
                    evidence.update(&fixation(n));
                }
                let how = if look.valid { FixationEnd::Saccade } else { FixationEnd::Lost };
                evidence.end(&fixation(look.samples), how == FixationEnd::Saccade);
            }
            let mut nats = [f64::NAN; 3];
            evidence.ln_likelihoods(&mut nats);
            nats
        };
        let often = run(&mut evidence, 1);
        prop_assert!(often.iter().all(|n| (-6.0..=0.0).contains(n)));
        prop_assert!(often.contains(&0.0));
        prop_assert_eq!(bits(&often), bits(&run(&mut evidence, 97)));
        let mut fresh = DwellEvidence::new(DwellModel::default()).unwrap();
        prop_assert_eq!(bits(&often), bits(&run(&mut fresh, 5)));
    }

    #[test]
    fn dwell_evidence_is_finite_and_does_not_care_in_which_order_options_stand(
        looks in vec((-20.0_f64..20.0, -10.0_f64..10.0, 1_u64..900, any::<bool>()), 0..16),
        turn in 0_usize..4,
    ) {
        let tiles = row_of_tiles();
        let mut turned = tiles.clone();
        turned.rotate_left(turn);
        let (first, mut second) = (said(&tiles, &looks), said(&turned, &looks));
        second.rotate_right(turn);
        for (a, b) in first.iter().zip(&second) {
            prop_assert!(a.is_finite());
            prop_assert!((a - b).abs() < 1e-9, "{:?} {:?}", first, second);
        }
    }

    #[test]
    fn an_option_never_loses_by_being_looked_at_longer(
        looks in vec((-14.0_f64..14.0, -2.0_f64..2.0, 1_u64..400, any::<bool>()), 0..12),
        (on, samples, more) in (0_usize..4, 1_u64..500, 1_u64..500),
    ) {
        let tiles = row_of_tiles();
        let at = tiles[on].x_deg;
        let lead = |samples: u64| {
            let mut looks = looks.clone();
            looks.push((at, 0.0, samples, true));
            let nats = said(&tiles, &looks);
            let others = nats.iter().enumerate().filter(|(i, _)| *i != on);
            nats[on] - others.map(|(_, n)| *n).fold(f64::NEG_INFINITY, f64::max)
        };
        prop_assert!(lead(samples + more) >= lead(samples) - 1e-9);
    }

    #[test]
    fn a_fixation_that_ends_as_invalid_leaves_nothing_behind(
        looks in vec((-14.0_f64..14.0, -2.0_f64..2.0, 1_u64..900, any::<bool>()), 1..16),
    ) {
        let valid: Vec<_> = looks.iter().copied().filter(|look| look.3).collect();
        prop_assert_eq!(bits(&said(&row_of_tiles(), &looks)), bits(&said(&row_of_tiles(), &valid)));
    }
}

fn row_of_tiles() -> Vec<Tile> {
    [(-9.0, 4), (-2.0, 1), (4.0, 0), (11.0, 7)]
        .map(|(x_deg, words)| Tile {
            x_deg,
            y_deg: 0.0,
            w_deg: 5.0,
            h_deg: 3.0,
            words,
        })
        .to_vec()
}

/// What these looks (x, y, samples of 2 ms, valid) say, nats.
fn said(tiles: &[Tile], looks: &[(f64, f64, u64, bool)]) -> Vec<f64> {
    let mut evidence = DwellEvidence::new(DwellModel::default()).unwrap();
    evidence.reset(tiles).unwrap();
    for (number, (x_deg, y_deg, samples, valid)) in (0..).zip(looks) {
        let dwell_s = 0.002 * *samples as f64;
        let fixation = razvilka_dsp::gaze::Fixation {
            number,
            onset_s: 0.0,
            last_s: dwell_s,
            emit_s: dwell_s,
            x_deg: *x_deg,
            y_deg: *y_deg,
            dispersion_deg: 0.1,
            n: *samples,
            dwell_s,
        };
        evidence.update(&fixation);
        evidence.end(&fixation, *valid);
    }
    let mut nats = vec![f64::NAN; tiles.len()];
    evidence.ln_likelihoods(&mut nats);
    nats
}
