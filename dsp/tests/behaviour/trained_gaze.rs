//! The trained eye-movement detector.

use razvilka_dsp::gaze::{
    EyeMovement, FixationEnd, GazeEvent, GazeSample, Labelled, PARAMETERS, Parameters,
    TrainedDetector, TrainedSpec,
};

use super::gaze::{ends, scan, with_gap};
use super::{hz, s};

fn detector(rate: f64) -> TrainedDetector {
    TrainedDetector::new(TrainedSpec::default(), hz(rate)).unwrap()
}

fn run(detector: &mut TrainedDetector, samples: &[GazeSample]) -> Vec<GazeEvent> {
    let mut events = Vec::new();
    for sample in samples {
        detector.push(*sample, &mut |e| events.push(e));
    }
    detector.finish(&mut |e| events.push(e));
    events
}

fn labels(events: &[GazeEvent]) -> Vec<Labelled> {
    let labels = events.iter().filter_map(|e| match e {
        GazeEvent::Label(l) => Some(*l),
        _ => None,
    });
    labels.collect()
}

const PLACES: [f64; 9] = [0.0, 6.0, -4.0, 2.0, 12.0, 3.0, 0.0, 8.0, 1.0];

#[test]
fn every_fixation_of_a_scan_is_announced_once_at_any_rate() {
    for rate in [120.0, 250.0, 500.0, 1000.0, 2000.0] {
        for rough in [false, true] {
            let events = run(&mut detector(rate), &scan(&PLACES, rate, 0.02, rough));
            let found = ends(&events);
            assert_eq!(found.len(), PLACES.len(), "{rate} Hz, rough {rough}");
            for ((f, _), place) in found.iter().zip(PLACES) {
                assert!(
                    (f.x_deg - place).abs() < 0.3,
                    "{rate} Hz: {f:?} for {place}"
                );
            }
            let announced = labels(&events).iter().filter(|l| l.announces).count();
            assert_eq!(announced, PLACES.len());
        }
    }
}

#[test]
fn no_label_waits_longer_than_ten_milliseconds_and_a_sample_more_of_a_shaky_clock() {
    for rate in [60.0, 120.0, 250.0, 500.0, 1000.0, 2000.0] {
        let even = run(&mut detector(rate), &scan(&PLACES, rate, 0.02, false));
        let rough = run(&mut detector(rate), &scan(&PLACES, rate, 0.02, true));
        for l in labels(&even) {
            assert!(l.emit_s - l.t_s < 0.010 + 1e-6, "{rate} Hz: {l:?}");
        }
        for l in labels(&rough) {
            assert!(l.emit_s - l.t_s < 0.010 + 1.4 / rate, "{rate} Hz: {l:?}");
        }
    }
}

#[test]
fn a_nominal_rate_that_lies_changes_little() {
    let samples = scan(&PLACES, 500.0, 0.02, false);
    for claimed in [60.0, 250.0, 1000.0, 2000.0] {
        let mut d = detector(claimed);
        let found = ends(&run(&mut d, &samples));
        assert_eq!(found.len(), PLACES.len(), "{claimed} Hz claimed");
        assert!(
            (d.look_ahead_s() - 0.010).abs() < 0.0005,
            "{}",
            d.look_ahead_s()
        );
    }
}

#[test]
fn a_short_loss_is_bridged_and_a_long_one_ends_the_fixation_as_lost() {
    let found = ends(&run(&mut detector(500.0), &with_gap(0.070, 0.0)));
    assert_eq!(found.len(), 1);
    for (gap_s, after_deg) in [(0.080, 0.0), (0.300, 0.0)] {
        let found = ends(&run(&mut detector(500.0), &with_gap(gap_s, after_deg)));
        assert_eq!(found[0].1, FixationEnd::Lost, "{gap_s} s, {after_deg} deg");
    }
}

#[test]
fn lost_data_are_never_a_fixation_of_their_own_and_hardly_a_saccade() {
    let events = run(&mut detector(500.0), &with_gap(0.300, 3.0));
    for l in labels(&events) {
        if (1.080..1.295).contains(&l.t_s) {
            assert_eq!(l.movement, EyeMovement::Lost, "{l:?}");
            assert!(!l.announces);
        }
    }
}

#[test]
fn broken_stamps_and_positions_are_dropped_and_counted() {
    let mut d = detector(500.0);
    let mut samples = with_gap(0.0, 0.0);
    samples[100].t_s = f64::NAN;
    samples[200].t_s = 0.1;
    samples[300].x_deg = f64::NAN;
    samples[400].y_deg = 1e9;
    let events = run(&mut d, &samples);
    assert_eq!(labels(&events).len(), 998);
    let c = d.counts();
    assert_eq!((c.not_finite, c.backward, c.invalid), (1, 1, 2));
    assert_eq!(ends(&events).len(), 1, "nothing of it ends the fixation");
}

#[test]
fn parameters_that_are_cut_short_or_absurd_are_refused() {
    let ones = "1 ".repeat(PARAMETERS);
    assert!(Parameters::read(&ones).is_ok());
    assert!(Parameters::read(&ones[2..]).is_err());
    assert!(Parameters::read(&format!("{ones} 1")).is_err());
    for wrong in ["x", "NaN", "inf", "-1", "1e9"] {
        let table = format!("{}{wrong}", &ones[2..]);
        assert!(Parameters::read(&table).is_err(), "{wrong}");
    }
    for change in [
        TrainedSpec {
            announce_after: s(2.0),
            ..TrainedSpec::default()
        },
        TrainedSpec {
            end_after: s(0.2),
            ..TrainedSpec::default()
        },
        TrainedSpec {
            bridge: s(0.6),
            ..TrainedSpec::default()
        },
        TrainedSpec {
            bridge_deg: f64::NAN,
            ..TrainedSpec::default()
        },
    ] {
        assert!(TrainedDetector::new(change, hz(500.0)).is_err());
    }
}
