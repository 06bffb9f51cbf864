//! A calibration from epochs and looks to a file and back; what is refused; what is recovered.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod common;

use std::fs;
use std::path::Path;

use common::Noise;
use proptest::prelude::*;
use razvilka_calibration::report::render;
use razvilka_calibration::{
    CalibrationError, CalibrationInput, EegInput, EpochInfo, Epochs, FitRule, Fitted, GazeInput,
    GazePoint, GazeSample, HeldOut, MapOrder, Montage, Overwrite, PointUse, Profile, Provenance,
    SourceFile, fit_gaze, fit_score_density, fit_session,
};
use razvilka_dsp::eeg::EegSpec;
use razvilka_dsp::units::Hertz;

const CHANNELS: usize = 4;

fn path() -> EegSpec {
    EegSpec::p300(Hertz::new(250.0).unwrap(), CHANNELS)
}

/// Epochs with a response of this size (microvolts) after targets, in noise of 4 microvolts that is shared by the channels.
fn epochs(seed: u64, response_uv: f64, count: usize) -> Epochs {
    let bins = path().epoch_shape().unwrap().bins();
    let mut noise = Noise(seed);
    let mut epochs = Epochs::new(CHANNELS, bins).unwrap();
    for index in 0..count {
        let target = index % 6 == 2;
        let info = EpochInfo {
            onset_s: index as f64 * 0.2,
            target,
            run: (index / 120) as u32,
        };
        let shared: Vec<f64> = (0..bins).map(|_| noise.gauss()).collect();
        let features: Vec<f64> = (0..CHANNELS * bins)
            .map(|i| {
                let (channel, bin) = (i / bins, (i % bins) as f64);
                let bump = (-0.5 * ((bin - 10.0) / 2.5).powi(2)).exp() / (1.0 + channel as f64);
                4.0 * (0.7 * shared[i % bins] + 0.7 * noise.gauss())
                    + if target { response_uv * bump } else { 0.0 }
            })
            .collect();
        epochs.push(info, &features).unwrap();
    }
    epochs
}

fn labels() -> Vec<String> {
    ["Fz", "Cz", "Pz", "Oz"].map(str::to_owned).to_vec()
}

fn provenance() -> Provenance {
    Provenance {
        created_utc: "2025-01-31T12:00:00Z".into(),
        software: "test".into(),
        sources: vec![SourceFile {
            name: "<odd> & \"quoted\".xdf".into(),
            sha256: "00".repeat(32),
        }],
    }
}

/// A tracker in shares of the screen (48 by 27 degrees) with a stretch, a shift and a bend.
fn tracker(x_deg: f64, y_deg: f64) -> (f64, f64) {
    let (x, y) = (x_deg / 48.0 + 0.5, y_deg / 27.0 + 0.5);
    (
        1.04 * x - 0.02 + 0.05 * (x - 0.5).powi(2),
        0.97 * y + 0.03 + 0.04 * (x - 0.5) * (y - 0.5),
    )
}

fn gaze_points(seed: u64, noise_deg: f64, with_checks: bool) -> Vec<GazePoint> {
    let mut noise = Noise(seed);
    let fit = [-16.0, 0.0, 16.0]
        .iter()
        .flat_map(|&x| [-9.0, 0.0, 9.0].map(|y| (x, y, PointUse::Fit)));
    let checks =
        [(-8.0, -4.0), (8.0, 4.0), (-8.0, 5.0), (9.0, -5.0)].map(|(x, y)| (x, y, PointUse::Check));
    fit.chain(checks.into_iter().filter(|_| with_checks))
        .enumerate()
        .map(|(index, (x_deg, y_deg, use_as))| {
            let shown_s = index as f64 * 2.0;
            let samples = (0..300)
                .map(|i| {
                    let arrived = i >= 60;
                    let (at_x, at_y) = if arrived { (x_deg, y_deg) } else { (0.0, 0.0) };
                    let (x, y) = tracker(
                        at_x + noise_deg * noise.gauss(),
                        at_y + noise_deg * noise.gauss(),
                    );
                    GazeSample {
                        t_s: shown_s + f64::from(i) / 200.0,
                        x,
                        y,
                        valid: i % 20 != 3,
                    }
                })
                .collect();
            GazePoint {
                x_deg,
                y_deg,
                use_as,
                shown_s,
                samples,
                eyes: None,
            }
        })
        .collect()
}

fn fitted(response_uv: f64) -> Fitted {
    fit_session(&CalibrationInput {
        eeg: Some(EegInput {
            labels: labels(),
            path: path(),
            epochs: epochs(1, response_uv, 600),
            prior: None,
            rejected: 3,
            signal: None,
        }),
        gaze: gaze_points(2, 0.3, true).into(),
        provenance: provenance(),
    })
    .unwrap()
}

#[test]
fn a_profile_survives_the_disk_to_the_last_bit() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("profile.json");
    let profile = fitted(4.0).profile;
    profile.save(&file, Overwrite::Refuse).unwrap();
    assert_eq!(Profile::load(&file).unwrap(), profile);
    assert_eq!(
        Profile::load(&file).unwrap().to_json().unwrap(),
        fs::read_to_string(&file).unwrap()
    );
    let entries = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(entries, 1, "no partial file is left");
}

#[cfg(unix)]
#[test]
fn only_its_owner_may_read_a_profile() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("profile.json");
    fitted(4.0).profile.save(&file, Overwrite::Refuse).unwrap();
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
}

#[test]
fn an_existing_file_is_replaced_only_when_that_was_said() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("profile.json");
    fs::write(&file, "mine").unwrap();
    let profile = fitted(4.0).profile;
    let refused = profile.save(&file, Overwrite::Refuse).unwrap_err();
    assert!(matches!(refused, CalibrationError::Exists { .. }));
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    profile.save(&file, Overwrite::Replace).unwrap();
    assert_eq!(Profile::load(&file).unwrap(), profile);
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let file = Path::new("no/such/folder/profile.json");
    let error = fitted(4.0)
        .profile
        .save(file, Overwrite::Replace)
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("no/such/folder/profile.json cannot be written"),
        "{error}"
    );
}

#[test]
fn a_re_formatted_profile_is_the_same_and_a_changed_digit_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("profile.json");
    let profile = fitted(4.0).profile;
    let value: serde_json::Value = serde_json::from_str(&profile.to_json().unwrap()).unwrap();
    fs::write(&file, serde_json::to_string_pretty(&value).unwrap()).unwrap();
    assert_eq!(Profile::load(&file).unwrap(), profile);

    let mut tampered = value.clone();
    tampered["content"]["eeg"]["reliability"] = 0.123.into();
    fs::write(&file, tampered.to_string()).unwrap();
    assert!(matches!(
        Profile::load(&file),
        Err(CalibrationError::Checksum { .. })
    ));
}

#[test]
fn foreign_newer_truncated_and_missing_files_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("profile.json");
    let load = |content: &[u8]| {
        fs::write(&file, content).unwrap();
        Profile::load(&file).unwrap_err()
    };
    assert!(matches!(
        load(b"{\"kind\":\"something else\"}"),
        CalibrationError::Foreign { .. }
    ));
    assert!(matches!(load(b"[]"), CalibrationError::Foreign { .. }));
    assert!(matches!(
        load(&[0xff, 0xfe, 0x00]),
        CalibrationError::Foreign { .. }
    ));
    let whole = fitted(4.0).profile.to_json().unwrap();
    let newer = whole.replacen("\"format\":4", "\"format\":5", 1);
    assert!(matches!(
        load(newer.as_bytes()),
        CalibrationError::Newer { found: 5, .. }
    ));
    assert!(matches!(
        load(&whole.as_bytes()[..whole.len() / 2]),
        CalibrationError::Foreign { .. }
    ));
    assert!(matches!(
        Profile::load(&folder.path().join("absent.json")),
        Err(CalibrationError::Unreadable { .. })
    ));
}

#[test]
fn another_montage_is_refused_and_both_are_named() {
    let montage = fitted(4.0).profile.eeg.unwrap().montage();
    montage.check(&montage).unwrap();
    let mut other = Montage {
        labels: labels(),
        rate_hz: 250.0,
    };
    other.labels.swap(0, 1);
    let error = montage.check(&other).unwrap_err().to_string();
    assert!(
        error.contains("(Fz, Cz, Pz, Oz) at 250 Hz") && error.contains("(Cz, Fz, Pz, Oz)"),
        "{error}"
    );
    other.labels.swap(0, 1);
    other.rate_hz = 256.0;
    assert!(montage.check(&other).is_err());
}

#[test]
fn a_clear_response_is_found_and_its_probabilities_come_true_on_new_epochs() {
    let profile = fitted(4.0).profile;
    let eeg = profile.eeg.unwrap();
    assert!(eeg.metrics.auc.value > 0.85, "{:?}", eeg.metrics);
    assert!(eeg.metrics.ece < 0.06, "{:?}", eeg.metrics);
    let fresh = epochs(99, 4.0, 3000);
    let mut scorer = eeg.scorer().unwrap();
    let p: Vec<f64> = (0..fresh.len())
        .map(|row| eeg.p_target(scorer.score(fresh.row(row)).unwrap()))
        .collect();
    let bins = razvilka_calibration::reliability_diagram(&p, &fresh.labels()).unwrap();
    let ece = razvilka_calibration::expected_calibration_error(&bins);
    assert!(ece < 0.06, "{ece}");
}

#[test]
fn where_there_is_no_response_the_evidence_is_switched_off() {
    for seed in [3, 4, 5] {
        let input = CalibrationInput {
            eeg: Some(EegInput {
                labels: labels(),
                path: path(),
                epochs: epochs(seed, 0.0, 600),
                prior: None,
                rejected: 0,
                signal: None,
            }),
            gaze: GazeInput::default(),
            provenance: provenance(),
        };
        let eeg = fit_session(&input).unwrap().profile.eeg.unwrap();
        let fresh = epochs(seed + 50, 0.0, 600);
        let mut scorer = eeg.scorer().unwrap();
        let furthest = (0..fresh.len())
            .map(|row| (eeg.p_target(scorer.score(fresh.row(row)).unwrap()) - eeg.base_rate).abs())
            .fold(0.0, f64::max);
        assert!(
            furthest < 0.12,
            "seed {seed}: {furthest}, {:?}",
            eeg.metrics.auc
        );
    }
}

#[test]
fn probabilities_stay_true_when_a_channel_is_masked() {
    let eeg = fitted(4.0).profile.eeg.unwrap();
    let (mut scorer, density) = eeg.restrict(&[false, true, true, true]).unwrap();
    let fresh = epochs(98, 4.0, 3000);
    let p: Vec<f64> = (0..fresh.len())
        .map(|row| {
            let llr = density.llr(scorer.score(fresh.row(row)).unwrap()).unwrap();
            razvilka_calibration::posterior(llr, eeg.base_rate, eeg.reliability)
        })
        .collect();
    let bins = razvilka_calibration::reliability_diagram(&p, &fresh.labels()).unwrap();
    let ece = razvilka_calibration::expected_calibration_error(&bins);
    assert!(ece < 0.08, "{ece}");
}

#[test]
fn a_channel_left_out_of_the_fit_has_no_weight_and_no_influence() {
    let clean = epochs(1, 3.0, 300);
    let used = vec![true, true, false, true];
    let model = |garbage: f64| {
        let mut epochs = Epochs::with_used(used.clone(), clean.bins()).unwrap();
        for row in 0..clean.len() {
            let mut features = clean.row(row).to_vec();
            for value in &mut features[2 * clean.bins()..3 * clean.bins()] {
                *value = garbage * (row as f64).sin();
            }
            epochs.push(clean.info()[row], &features).unwrap();
        }
        razvilka_calibration::LdaModel::fit(&epochs).unwrap()
    };
    let (a, b) = (model(0.0), model(1e5));
    assert_eq!(a, b);
    assert!(
        a.weights[2 * clean.bins()..3 * clean.bins()]
            .iter()
            .all(|w| *w == 0.0)
    );
}

#[test]
fn too_little_data_says_what_is_missing() {
    let input = |epochs: Option<Epochs>, gaze: Vec<GazePoint>| CalibrationInput {
        eeg: epochs.map(|epochs| EegInput {
            labels: labels(),
            path: path(),
            epochs,
            prior: None,
            rejected: 0,
            signal: None,
        }),
        gaze: gaze.into(),
        provenance: provenance(),
    };
    let short = fit_session(&input(Some(epochs(1, 3.0, 30)), Vec::new())).unwrap_err();
    assert_eq!(
        short.to_string(),
        "target epochs: 5 given, at least 10 needed. Record a longer calibration"
    );
    assert!(matches!(
        fit_session(&input(None, Vec::new())),
        Err(CalibrationError::Nothing)
    ));
    let few = fit_session(&input(None, gaze_points(1, 0.3, false)[..3].to_vec())).unwrap_err();
    assert!(
        matches!(
            few,
            CalibrationError::TooFew {
                found: 3,
                needed: 4,
                ..
            }
        ),
        "{few}"
    );
}

#[test]
fn a_bent_tracker_is_straightened_and_its_noise_is_measured() {
    let gaze = fit_gaze(&gaze_points(7, 0.3, true), FitRule::default()).unwrap();
    assert_eq!(gaze.map.order, MapOrder::SecondOrder);
    assert_eq!(gaze.quality.held_out, HeldOut::CheckPoints);
    assert!(gaze.quality.accuracy_deg < 0.2, "{:?}", gaze.quality);
    assert!(gaze.quality.affine_deg.unwrap() > gaze.quality.accuracy_deg);
    assert!((gaze.error.sd_x_deg - 0.3).abs() < 0.08, "{:?}", gaze.error);
    assert!(
        (gaze.quality.precision_sd_deg - 0.3 * 2.0_f64.sqrt()).abs() < 0.05,
        "{:?}",
        gaze.quality
    );
    assert!(
        (gaze.quality.data_loss - 0.05).abs() < 0.01,
        "{:?}",
        gaze.quality
    );
    assert!(
        (gaze.quality.rate_hz - 190.0).abs() < 3.0,
        "{:?}",
        gaze.quality
    );
    for (x, y) in [(-12.0, 6.0), (5.0, -7.0)] {
        let raw = tracker(x, y);
        let (mx, my) = gaze.map.apply(raw.0, raw.1);
        assert!((mx - x).hypot(my - y) < 0.25, "{mx} {my}");
    }
}

#[test]
fn check_points_judge_the_map_and_have_no_say_in_it() {
    let sound = fit_gaze(&gaze_points(7, 0.3, true), FitRule::default()).unwrap();
    let mut points = gaze_points(7, 0.3, true);
    let checks = points
        .iter_mut()
        .filter(|point| point.use_as == PointUse::Check);
    // Looks that only another map could explain.
    for (index, point) in checks.enumerate() {
        for sample in &mut point.samples {
            sample.x += 0.03 * index as f64;
            sample.y -= 0.02;
        }
    }
    let moved = fit_gaze(&points, FitRule::default()).unwrap();
    assert_eq!(moved.map, sound.map);
    assert_eq!(moved.quality.affine_deg, sound.quality.affine_deg);
    assert_eq!(
        moved.quality.second_order_deg,
        sound.quality.second_order_deg
    );
    assert!(moved.quality.accuracy_deg > sound.quality.accuracy_deg + 0.5);
    assert_eq!(moved.held_out_points(), 4);
    assert!(
        moved
            .accuracy_in_words()
            .contains("mean of 4 check points that were not fitted on"),
        "{}",
        moved.accuracy_in_words()
    );
}

#[test]
fn the_report_says_on_which_points_the_map_was_chosen_and_on_which_it_was_judged() {
    let page = |with_checks: bool| {
        let fitted = fit_session(&CalibrationInput {
            eeg: None,
            gaze: gaze_points(3, 0.3, with_checks).into(),
            provenance: provenance(),
        })
        .unwrap();
        render(&fitted.profile, &fitted.report).unwrap()
    };
    let with = page(true);
    assert!(with.contains("9 fit points, each by the map of the others"));
    assert!(with.contains("error on 4 check points, which took part neither"));
    let without = page(false);
    assert!(without.contains("There were no check points"));
    assert!(without.contains("n = 9"));
}

#[test]
fn the_page_advises_by_what_is_wrong_with_the_gaze() {
    let page = |lost: usize| {
        let mut points = gaze_points(3, 0.1, true);
        for point in &mut points {
            for (k, sample) in point.samples.iter_mut().enumerate() {
                if k % 10 < lost {
                    (sample.x, sample.y) = (f64::NAN, f64::NAN);
                }
            }
        }
        let fitted = fit_session(&CalibrationInput {
            eeg: None,
            gaze: points.into(),
            provenance: provenance(),
        })
        .unwrap();
        render(&fitted.profile, &fitted.report).unwrap()
    };
    let advice = |page: &str| {
        [
            page.contains("not seen: check"),
            page.contains("off target"),
        ]
    };
    assert_eq!(advice(&page(0)), [false, false]);
    // An accurate eye that is lost in every fifth sample: nothing about the tiles' distance.
    assert_eq!(advice(&page(2)), [true, false]);
}

#[test]
fn four_points_of_which_three_lie_on_a_line_still_give_an_affine_map() {
    let mut points = gaze_points(5, 0.1, true);
    // The centre, two opposite corners, and one other corner.
    let keep = [(0.0, 0.0), (-16.0, -9.0), (16.0, 9.0), (16.0, -9.0)];
    points.retain(|p| p.use_as == PointUse::Check || keep.contains(&(p.x_deg, p.y_deg)));
    let gaze = fit_gaze(&points, FitRule::default()).unwrap();
    assert_eq!(gaze.map.order, MapOrder::Affine);
    assert!(gaze.quality.affine_deg.is_some_and(f64::is_finite));
}

#[test]
fn without_check_points_each_point_is_judged_by_the_others() {
    let gaze = fit_gaze(&gaze_points(8, 0.2, false), FitRule::default()).unwrap();
    assert_eq!(gaze.quality.held_out, HeldOut::LeaveOnePointOut);
    assert!(gaze.points.iter().all(|point| point.held_out));
    assert!(gaze.quality.accuracy_deg < 1.0, "{:?}", gaze.quality);
}

#[test]
fn looking_elsewhere_lowers_what_gaze_may_say() {
    let sound = fit_gaze(&gaze_points(9, 0.3, true), FitRule::default()).unwrap();
    let mut points = gaze_points(9, 0.3, true);
    for point in &mut points {
        let away = tracker(-point.x_deg, -point.y_deg);
        for sample in point.samples.iter_mut().skip(240) {
            (sample.x, sample.y) = away;
        }
    }
    let loose = fit_gaze(&points, FitRule::default()).unwrap();
    assert!(loose.error.outlier_share > sound.error.outlier_share + 0.1);
    assert!(loose.error.ln_density(0.0, 0.0) < sound.error.ln_density(0.0, 0.0));
}

#[test]
fn the_report_stands_alone_and_shows_text_as_text() {
    let fitted = fitted(4.0);
    let page = render(&fitted.profile, &fitted.report).unwrap();
    assert!(page.starts_with("<!doctype html>\n<html lang=\"en\">"));
    for foreign in ["<script", "<link", "@import", "url(", "src=\"", "href=\""] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    assert!(page.contains("&lt;odd&gt; &amp; &quot;quoted&quot;.xdf"));
    assert_eq!(page.matches("<svg").count(), 7);
    assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
    let verdict = page.find("class=\"verdict\"").unwrap();
    assert!(verdict < page.find("<h2>Facts</h2>").unwrap());
    for label in labels() {
        assert!(page.contains(&format!("{label}\n</text>")), "{label}");
    }
}

/// Log-likelihood ratios of rising scores, by densities fitted on Gaussian scores of both classes.
fn ratios(seed: u64, distance: f64, spread: f64, targets: usize, others: usize) -> Vec<f64> {
    let mut noise = Noise(seed);
    let mut scores: Vec<f64> = (0..others).map(|_| noise.gauss()).collect();
    scores.extend((0..targets).map(|_| distance + spread * noise.gauss()));
    let labels: Vec<bool> = (0..others + targets).map(|i| i >= others).collect();
    let density = fit_score_density(&scores, &labels).unwrap();
    let scores = (-400..=400).map(|i| f64::from(i) / 10.0);
    scores.map(|score| density.llr(score).unwrap()).collect()
}

#[test]
fn the_ratio_does_not_fall_within_the_step_in_which_it_turns() {
    let llrs = ratios(
        14_575_114_220_779_739_412,
        2.445_127_046_972_029_6,
        2.072_755_971_687_697,
        59,
        224,
    );
    assert!(llrs.windows(2).all(|w| w[1] >= w[0] - 1e-12));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_ratio_never_falls_and_never_leaves_what_the_counts_support(
        seed in any::<u64>(),
        distance in -2.0..8.0_f64,
        spread in 0.3..4.0_f64,
        targets in 10_usize..80,
        others in 30_usize..300,
    ) {
        let llrs = ratios(seed, distance, spread, targets, others);
        let (least, most) = (-(targets as f64 / 3.0).ln(), (others as f64 / 3.0).ln());
        prop_assert!(llrs.windows(2).all(|w| w[1] >= w[0] - 1e-12));
        prop_assert!(llrs.iter().all(|llr| (least - 1e-9..=most + 1e-9).contains(llr)));
    }

    #[test]
    fn any_affine_tracker_is_recovered_without_noise(
        a in 0.2..3.0_f64, b in -0.3..0.3_f64, c in -0.3..0.3_f64, d in 0.2..3.0_f64, dx in -20.0..20.0_f64, dy in -20.0..20.0_f64,
    ) {
        let mut points = gaze_points(1, 0.0, false);
        for point in &mut points {
            for sample in &mut point.samples {
                sample.x = a * point.x_deg + b * point.y_deg + dx;
                sample.y = c * point.x_deg + d * point.y_deg + dy;
            }
        }
        prop_assume!((a * d - b * c).abs() > 0.05);
        let gaze = fit_gaze(&points, FitRule::default()).unwrap();
        let (x, y) = gaze.map.apply(a * 3.0 - b * 2.0 + dx, c * 3.0 - d * 2.0 + dy);
        prop_assert!((x - 3.0).hypot(y + 2.0) < 1e-6, "{} {}", x, y);
    }
}
