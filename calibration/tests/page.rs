//! The numbers behind the page of a calibration, and what the page says of them.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod common;

use common::Noise;
use razvilka_calibration::report::render;
use razvilka_calibration::{
    CalibrationError, CalibrationInput, ChannelSignal, Direction, EegInput, EpochInfo, Epochs,
    FORK_OPTIONS, Fitted, LeftOut, Provenance, ROUNDS_MAX, SignalQuality, SourceFile,
    SphericalSpline, accuracy_by_rounds, angle_deg, auc, direction, electrode, fit_session,
    held_out_auc, learning_curve, roc, roc_band,
};
use razvilka_dsp::eeg::EegSpec;
use razvilka_dsp::epoch::Rejection;
use razvilka_dsp::quality::BadChannel;
use razvilka_dsp::units::Hertz;

const LABELS: [&str; 8] = ["Fz", "Cz", "P3", "Pz", "P4", "PO7", "PO8", "Oz"];

fn path() -> EegSpec {
    EegSpec::p300(Hertz::new(250.0).unwrap(), LABELS.len())
}

/// Epochs with a bump of this size (microvolts) in bin 10 after targets, strongest in the channel `Pz`.
fn epochs(seed: u64, response_uv: f64, count: usize) -> Epochs {
    let bins = path().epoch_shape().unwrap().bins();
    let mut noise = Noise(seed);
    let mut epochs = Epochs::new(LABELS.len(), bins).unwrap();
    let pz = electrode("Pz").unwrap();
    for index in 0..count {
        let target = index % 6 == 2;
        let info = EpochInfo {
            onset_s: index as f64 * 0.2,
            target,
            run: (index / 120) as u32,
        };
        let features: Vec<f64> = LABELS
            .iter()
            .flat_map(|label| {
                let near = (-angle_deg(pz, electrode(label).unwrap()) / 30.0).exp();
                (0..bins)
                    .map(|bin| {
                        let bump = (-0.5 * ((bin as f64 - 10.0) / 2.5).powi(2)).exp();
                        let response = if target {
                            response_uv * near * bump
                        } else {
                            0.0
                        };
                        4.0 * noise.gauss() + response
                    })
                    .collect::<Vec<f64>>()
            })
            .collect();
        epochs.push(info, &features).unwrap();
    }
    epochs
}

fn provenance() -> Provenance {
    Provenance {
        created_utc: "2025-03-01T12:00:00Z".into(),
        software: "test".into(),
        sources: vec![SourceFile {
            name: "first.xdf".into(),
            sha256: "0123456789abcdef".repeat(4),
        }],
    }
}

fn signal() -> SignalQuality {
    let mut channels = vec![ChannelSignal::default(); LABELS.len()];
    channels[2] = ChannelSignal {
        bad_s: vec![(BadChannel::Flat, 30), (BadChannel::Line, 12)],
        doubted: 60,
        left_out: None,
    };
    channels[5].left_out = Some(LeftOut::Costly);
    SignalQuality {
        seconds: 120,
        epochs: 480,
        rejected: vec![(Rejection::PeakToPeak, 17)],
        channels,
        notes: vec!["samples: 30000 used; late 3".into()],
    }
}

fn fitted(labels: [&str; 8], response_uv: f64) -> Fitted {
    fit_session(&CalibrationInput {
        eeg: Some(EegInput {
            labels: labels.map(str::to_owned).to_vec(),
            path: path(),
            epochs: epochs(1, response_uv, 480),
            rejected: 3,
            prior: None,
            signal: Some(signal()),
        }),
        gaze: razvilka_calibration::GazeInput::default(),
        provenance: provenance(),
    })
    .unwrap()
}

#[test]
fn a_longer_calibration_of_a_clear_response_scores_better() {
    let curve = learning_curve(&epochs(7, 6.0, 600).paired().unwrap(), 0.8).unwrap();
    assert_eq!(curve.len(), 4);
    let first = curve[0].auc;
    let last = curve[3].auc;
    assert!(last.value > first.value + first.standard_error, "{curve:?}");
    assert!(
        curve
            .windows(2)
            .all(|w| w[1].epochs > w[0].epochs && w[1].seconds > w[0].seconds)
    );
    // 540 of 600 epochs, less those next to a fold; one each 0.2 s, and the last of each run lasts 0.8 s.
    assert!((500.0..540.0).contains(&curve[3].epochs), "{curve:?}");
    assert!(
        (curve[3].seconds / curve[3].epochs - 0.2).abs() < 0.01,
        "{curve:?}"
    );
}

#[test]
fn the_end_of_the_learning_curve_is_the_lda_of_the_comparison() {
    let fitted = fitted(LABELS, 5.0);
    let learning = &fitted.report.eeg.as_ref().unwrap().learning;
    let selection = fitted.profile.eeg.unwrap().selection;
    let lda = selection
        .candidates
        .iter()
        .find(|c| c.kind.name() == "shrinkage LDA");
    assert_eq!(learning.last().unwrap().auc.value, lda.unwrap().auc);
}

#[test]
fn a_calibration_too_short_for_a_quarter_begins_its_curve_later() {
    let curve = learning_curve(&epochs(3, 5.0, 120).paired().unwrap(), 0.8).unwrap();
    assert!((1..4).contains(&curve.len()), "{curve:?}");
}

/// Log-likelihood ratios of Gaussian scores a distance apart, in 10 folds; one target in six.
fn ratios(seed: u64, distance: f64) -> (Vec<f64>, Vec<bool>, Vec<usize>) {
    let mut noise = Noise(seed);
    let labels: Vec<bool> = (0..600).map(|i| i % 6 == 0).collect();
    let score = |&target: &bool| noise.gauss() + if target { distance } else { 0.0 };
    let llrs = labels
        .iter()
        .map(score)
        .map(|x| distance * (x - distance / 2.0));
    (
        llrs.collect(),
        labels.clone(),
        (0..600).map(|i| i / 60).collect(),
    )
}

/// The probability that a Gaussian of mean `distance * sqrt(rounds)` exceeds four of mean 0, by quadrature.
fn of_gaussians(distance: f64, rounds: usize) -> f64 {
    let (mean, step) = (distance * (rounds as f64).sqrt(), 0.001);
    let density = |x: f64| (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let (mut below, mut sum, mut x) = (0.0_f64, 0.0, -9.0);
    while x < 9.0 + mean {
        below += step * density(x);
        sum += step * density(x - mean) * below.powi(FORK_OPTIONS as i32 - 1);
        x += step;
    }
    sum
}

#[test]
fn accuracy_rises_with_rounds_as_it_does_for_gaussians() {
    let (llrs, labels, fold) = ratios(11, 1.2);
    let points = accuracy_by_rounds(&llrs, &labels, &fold, 0.0, 1).unwrap();
    assert_eq!(points.len(), ROUNDS_MAX);
    assert!(points.windows(2).all(|w| w[1].share > w[0].share - 0.01));
    assert!(points[9].share > 0.98 && points[0].share < 0.7);
    for point in &points {
        let expected = of_gaussians(1.2, point.rounds);
        let allowed = 0.02 + (point.high - point.low) / 2.0;
        assert!(
            (point.share - expected).abs() < allowed,
            "{point:?} {expected}"
        );
        assert!(point.low <= point.share && point.share <= point.high);
    }
    assert_eq!(
        points,
        accuracy_by_rounds(&llrs, &labels, &fold, 0.0, 1).unwrap()
    );
}

#[test]
fn accuracy_without_a_response_is_chance_after_any_number_of_rounds() {
    let chance = 1.0 / FORK_OPTIONS as f64;
    let silent =
        accuracy_by_rounds(&[0.0; 12], &[true, false].repeat(6), &[0; 12], 0.0, 5).unwrap();
    assert!(
        silent.iter().all(|p| (p.share - chance).abs() < 1e-9),
        "{silent:?}"
    );
    let mut within = 0;
    for seed in 0..10 {
        let (llrs, _, fold) = ratios(seed, 0.8);
        // Labels that have nothing to do with the ratios.
        let mut noise = Noise(seed + 100);
        let labels: Vec<bool> = llrs.iter().map(|_| noise.uniform() < 1.0 / 6.0).collect();
        let points = accuracy_by_rounds(&llrs, &labels, &fold, 0.0, seed).unwrap();
        within += usize::from(points[4].low <= chance && chance <= points[4].high);
    }
    assert!(within >= 8, "{within}");
}

#[test]
fn flashes_without_evidence_cost_rounds_and_if_none_has_any_a_choice_is_chance() {
    let (llrs, labels, fold) = ratios(11, 1.2);
    let at = |silent| accuracy_by_rounds(&llrs, &labels, &fold, silent, 1).unwrap();
    let (all, half, none) = (at(0.0), at(0.5), at(1.0));
    // Ten rounds of which half are silent say about as much as five.
    assert!(half[9].share < all[9].share && half[9].share < all[5].share + 0.02);
    assert!(half[9].share > all[2].share, "{half:?} {all:?}");
    let chance = 1.0 / FORK_OPTIONS as f64;
    assert!(none.iter().all(|p| (p.share - chance).abs() < 1e-9));
}

#[test]
fn flashes_in_doubt_are_fitted_on_and_are_in_no_figure_but_where_it_says_so() {
    let clean = epochs(1, 5.0, 480);
    let mut mixed = Epochs::new(LABELS.len(), clean.bins()).unwrap();
    for row in 0..clean.len() {
        if row % 8 == 0 {
            // A swing that hides the response.
            let wild: Vec<f64> = clean.row(row).iter().map(|x| 12.0 * x).collect();
            mixed.push_doubted(clean.info()[row], &wild).unwrap();
        } else {
            mixed.push(clean.info()[row], clean.row(row)).unwrap();
        }
    }
    let fitted = fit_session(&CalibrationInput {
        eeg: Some(EegInput {
            labels: LABELS.map(str::to_owned).to_vec(),
            path: path(),
            epochs: mixed,
            rejected: 3,
            prior: None,
            signal: None,
        }),
        gaze: razvilka_calibration::GazeInput::default(),
        provenance: provenance(),
    })
    .unwrap();
    let report = fitted.report.eeg.as_ref().unwrap();
    let eeg = fitted.profile.eeg.as_ref().unwrap();
    assert_eq!((report.doubted, report.scores.len()), (60, 420));
    assert_eq!(eeg.metrics.epochs, 420);
    let again = held_out_auc(&report.scores, &report.labels, eeg.metrics.folds).unwrap();
    assert_eq!(eeg.metrics.auc, again);
    assert!(report.auc_of_all.value < again.value);
    let page = render(&fitted.profile, &fitted.report).unwrap();
    assert!(page.contains("480 fitted on") && page.contains("60 are in doubt"));
    assert!(page.contains("AUC, flashes in doubt included"));
}

#[test]
fn the_page_tells_the_constants_of_the_fit_and_what_they_were_chosen_on() {
    let fitted = fitted(LABELS, 5.0);
    let page = render(&fitted.profile, &fitted.report).unwrap();
    let eeg = fitted.profile.eeg.as_ref().unwrap();
    for said in [
        format!("clipped at {:.3} nats", eeg.density.clip_nats()),
        format!("{} s after its samples", eeg.path.history.get()),
        "Regression in the tangent space, C".to_owned(),
        "recordings of three people".to_owned(),
        "the AUC given is that of the one taken".to_owned(),
    ] {
        assert!(page.contains(&said), "{said}");
    }
}

#[test]
fn without_targets_there_is_no_accuracy() {
    assert!(
        accuracy_by_rounds(&[0.1; 5], &[false; 5], &[0; 5], 0.0, 1)
            .unwrap()
            .is_empty()
    );
}

#[test]
fn the_band_holds_the_roc_curve_and_narrows_with_more_flashes() {
    let (scores, labels, fold) = ratios(21, 1.0);
    let band = roc_band(&scores, &labels, &fold, 3).unwrap();
    let curve = roc(&scores, &labels).unwrap();
    for b in &band {
        let at = curve
            .iter()
            .rfind(|p| p.false_positive_rate <= b.false_positive_rate);
        let rate = at.unwrap().true_positive_rate;
        assert!(
            b.low <= rate + 0.01 && rate <= b.high + 0.01,
            "{b:?} {rate}"
        );
    }
    let area = |band: &[razvilka_calibration::RocBand]| -> f64 {
        band.iter().map(|b| b.high - b.low).sum::<f64>() / band.len() as f64
    };
    let few = |v: usize| v < 180;
    let rows: Vec<usize> = (0..600).filter(|&i| few(i)).collect();
    let short = roc_band(
        &rows.iter().map(|&i| scores[i]).collect::<Vec<_>>(),
        &rows.iter().map(|&i| labels[i]).collect::<Vec<_>>(),
        &rows.iter().map(|&i| i / 18).collect::<Vec<_>>(),
        3,
    )
    .unwrap();
    assert!(area(&short) > 1.3 * area(&band));
    assert!(auc(&scores, &labels).unwrap().value > 0.7);
}

/// Places and values of the golden below.
fn golden_electrodes() -> (Vec<Direction>, Vec<f64>) {
    let places = [
        (0, 0),
        (36, 0),
        (36, 180),
        (72, -90),
        (72, 90),
        (72, 180),
        (50, 130),
        (60, -40),
    ];
    let places = places.map(|(i, a)| direction(f64::from(i), f64::from(a)));
    (
        places.to_vec(),
        vec![1.5, -0.7, 3.2, 0.1, -1.1, 2.0, 0.4, -2.3],
    )
}

#[test]
fn the_map_passes_through_the_electrodes_and_agrees_with_scipy_in_between() {
    let (places, values) = golden_electrodes();
    let map = SphericalSpline::through(&places, &values).unwrap();
    for (place, value) in places.iter().zip(&values) {
        assert!((map.at(*place) - value).abs() < 1e-6);
    }
    // numpy.linalg.solve of the bordered system of Perrin et al. 1989, eq. 2, with scipy.special.eval_legendre, m = 4, 50 terms.
    for (inclination, azimuth, expected) in [
        (20.0, 45.0, 0.389_886_798_954_674_6),
        (55.0, -120.0, 3.131_314_119_632_391),
        (80.0, 10.0, -2.530_406_817_608_897_6),
        (30.0, -90.0, 1.766_751_264_700_338),
    ] {
        let found = map.at(direction(inclination, azimuth));
        assert!((found - expected).abs() < 1e-6, "{found} {expected}");
    }
}

#[test]
fn a_potential_that_is_the_same_everywhere_stays_so() {
    let (places, _) = golden_electrodes();
    let map = SphericalSpline::through(&places, &[2.5; 8]).unwrap();
    for azimuth in 0..12 {
        assert!((map.at(direction(65.0, 30.0 * f64::from(azimuth))) - 2.5).abs() < 1e-6);
    }
}

#[test]
fn two_electrodes_at_one_place_have_no_map() {
    let place = direction(30.0, 0.0);
    assert!(matches!(
        SphericalSpline::through(&[place, place], &[1.0, 2.0]),
        Err(CalibrationError::Degenerate { .. })
    ));
}

#[test]
fn a_montage_without_names_has_no_map_and_the_page_says_so() {
    let with = fitted(LABELS, 5.0);
    let page = render(&with.profile, &with.report).unwrap();
    assert!(page.contains("Scalp maps of the difference") && !page.contains("No scalp map"));
    let without = fitted(["", "", "", "", "Fz", "Cz", "Pz", "Oz"], 5.0);
    let page = render(&without.profile, &without.report).unwrap();
    assert!(!page.contains("Scalp maps of the difference"));
    assert!(
        page.contains("No scalp map: 4 of 8 channels in use have a label"),
        "said otherwise"
    );
}

#[test]
fn the_page_names_each_channels_faults_and_everything_the_profile_can_be_told_by() {
    let fitted = fitted(LABELS, 5.0);
    let page = render(&fitted.profile, &fitted.report).unwrap();
    for said in [
        "480 flashes have a whole epoch",
        "samples: 30000 used; late 3",
        "<th scope=\"row\">P3</th><td class=\"number\">35.0 %</td><td class=\"bands\">flat 30, mains 12</td>",
        "<td class=\"number\">12.5 %</td>",
        "bad so often that too many epochs would be lost",
        "0.5 to 20 Hz, order 2",
        &"0123456789abcdef".repeat(4),
        &fitted.profile.checksum().unwrap(),
    ] {
        assert!(page.contains(said), "{said}");
    }
    let json = fitted.profile.to_json().unwrap();
    assert!(json.contains(&format!(
        "\"sha256\":\"{}\"",
        fitted.profile.checksum().unwrap()
    )));
}

#[test]
fn quality_of_other_channels_than_the_epochs_is_refused() {
    let mut quality = signal();
    quality.channels.pop();
    let input = CalibrationInput {
        eeg: Some(EegInput {
            labels: LABELS.map(str::to_owned).to_vec(),
            path: path(),
            epochs: epochs(1, 5.0, 480),
            rejected: 0,
            prior: None,
            signal: Some(quality),
        }),
        gaze: razvilka_calibration::GazeInput::default(),
        provenance: provenance(),
    };
    assert!(matches!(
        fit_session(&input),
        Err(CalibrationError::Shape {
            expected: 8,
            actual: 7,
            ..
        })
    ));
}
