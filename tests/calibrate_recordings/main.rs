//! `calibrate` and `score` on recordings: made here, and those of ../shared/data where it exists.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod contractions;
mod eyes;
mod made;
mod path;
mod prior;
mod refused;

use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser;
use made::*;
use razvilka::cli::calibrate;
use razvilka::cli::exit::Exit;
use razvilka_calibration::{Profile, auc};

#[test]
fn a_recording_becomes_a_profile_and_a_report_that_score_another_recording() {
    let folder = Folder::new();
    let train = folder.recording(
        "train.xdf",
        Made {
            gaze: true,
            ..PLAIN
        },
    );
    let test = folder.recording("test.xdf", Made { seed: 2, ..PLAIN });
    let out = folder.path("new/out");
    let (profile, talk) = calibrate(&["--xdf", &train, "--out", &out]).unwrap();
    assert!(talk.contains("P300: good"), "{talk}");
    assert!(talk.contains("gaze: good"), "{talk}");
    assert_eq!(
        Profile::load(&Path::new(&out).join("profile.json")).unwrap(),
        profile
    );
    assert_eq!(profile.eeg.as_ref().unwrap().metrics.runs, 4);
    let gaze = profile.gaze.as_ref().unwrap();
    let (x, y) = gaze
        .map
        .apply((3.0 + 0.4) / 40.0 + 0.5, (2.0 - 0.3) / 30.0 + 0.5);
    assert!((x - 3.0).hypot(y - 2.0) < 0.1, "{x} {y}");
    assert!(
        (gaze.quality.data_loss - 0.04).abs() < 0.01,
        "{:?}",
        gaze.quality
    );
    let page = fs::read_to_string(Path::new(&out).join("report.html")).unwrap();
    assert!(page.contains("train.xdf") && page.contains("Gaze: good"));

    let profile_file = format!("{out}/profile.json");
    let csv = score(&["p300", "--calibration", &profile_file, "--xdf", &test]).unwrap();
    let columns = columns(&csv, HEADER);
    let flashes = plan(PLAIN.flashes);
    assert_eq!(
        columns[0],
        flashes.iter().map(|f| f.0).collect::<Vec<_>>(),
        "stamps to the last bit"
    );
    let truth: Vec<bool> = flashes.iter().map(|f| f.1).collect();
    assert!(auc(&columns[1], &truth).unwrap().value > 0.9);
    assert!(columns[2].iter().all(|p| (0.0..=1.0).contains(p)));
    let again = score(&["p300", "--calibration", &profile_file, "--xdf", &test]).unwrap();
    assert_eq!(csv, again);
}

#[test]
fn probabilities_follow_a_drift_of_the_scores_from_those_before_and_scores_do_not() {
    let folder = Folder::new();
    let train = folder.recording("train.xdf", PLAIN);
    let test = folder.recording("test.xdf", Made { seed: 2, ..PLAIN });
    let short = folder.recording(
        "short.xdf",
        Made {
            seed: 2,
            flashes: 240,
            ..PLAIN
        },
    );
    let out = folder.path("out");
    let (profile, _) = calibrate(&["--xdf", &train, "--out", &out]).unwrap();
    let eeg = profile.eeg.unwrap();
    let profile_file = format!("{out}/profile.json");
    let of = |xdf: &str, more: &[&str]| {
        let line = [
            &["p300", "--calibration", &profile_file, "--xdf", xdf],
            more,
        ]
        .concat();
        columns(&score(&line).unwrap(), HEADER)
    };
    let (follows, stays) = (of(&test, &[]), of(&test, &["--as-calibrated"]));
    assert_eq!(follows[1], stays[1]);
    for (score, p) in stays[1].iter().zip(&stays[2]) {
        assert_eq!(*p, eeg.p_target(*score));
    }
    assert_eq!(follows[2][0], stays[2][0], "nothing came before the first");
    assert!(follows[2] != stays[2]);
    // What comes later changes nothing. The last epochs of the short recording end with it.
    let before = of(&short, &[]);
    assert!(before[2].len() > 230);
    assert_eq!(before[2][..230], follows[2][..230]);
}

#[test]
fn two_recordings_count_as_one_calibration_and_their_runs_stay_apart() {
    let folder = Folder::new();
    let first = folder.recording(
        "a.xdf",
        Made {
            flashes: 240,
            ..PLAIN
        },
    );
    let second = folder.recording(
        "b.xdf",
        Made {
            flashes: 240,
            seed: 2,
            ..PLAIN
        },
    );
    let (profile, _) =
        calibrate(&["--xdf", &first, &second, "--out", &folder.path("out")]).unwrap();
    assert_eq!(profile.provenance.sources.len(), 2);
    let metrics = profile.eeg.unwrap().metrics;
    assert_eq!(metrics.runs, 4);
    assert!(metrics.epochs > 460, "{metrics:?}");
}

#[test]
fn recordings_of_different_montages_are_not_mixed() {
    let folder = Folder::new();
    let first = folder.recording("a.xdf", PLAIN);
    let second = folder.recording(
        "b.xdf",
        Made {
            labels: ["Fz", "Cz", "Oz", "Pz"],
            ..PLAIN
        },
    );
    let failure = calibrate(&["--xdf", &first, &second, "--out", &folder.path("out")]).unwrap_err();
    assert_eq!(failure.exit, Exit::Source);
    assert!(
        failure.message.contains("a.xdf") && failure.message.contains("b.xdf"),
        "{failure}"
    );
}

#[test]
fn a_railed_channel_is_left_out_and_named() {
    let folder = Folder::new();
    let made = Made {
        railed: Some(3),
        ..PLAIN
    };
    let train = folder.recording("train.xdf", made);
    let out = folder.path("out");
    let (profile, talk) = calibrate(&["--xdf", &train, "--out", &out]).unwrap();
    assert!(
        talk.contains("left out, bad for most of the time: Oz"),
        "{talk}"
    );
    let eeg = profile.eeg.unwrap();
    assert_eq!(eeg.lda.used, [true, true, true, false]);
    assert!(eeg.metrics.auc.value > 0.9, "{:?}", eeg.metrics);
    let test = folder.recording("test.xdf", Made { seed: 2, ..made });
    let csv = score(&[
        "p300",
        "--calibration",
        &format!("{out}/profile.json"),
        "--xdf",
        &test,
    ])
    .unwrap();
    assert_eq!(columns(&csv, HEADER)[0].len(), made.flashes);
}

#[test]
fn a_channel_that_fails_after_calibration_is_masked_and_its_scores_are_still_good() {
    let folder = Folder::new();
    let train = folder.recording("train.xdf", PLAIN);
    let out = folder.path("out");
    calibrate(&["--xdf", &train, "--out", &out]).unwrap();
    let test = folder.recording(
        "test.xdf",
        Made {
            seed: 2,
            railed: Some(2),
            ..PLAIN
        },
    );
    let csv = score(&[
        "p300",
        "--calibration",
        &format!("{out}/profile.json"),
        "--xdf",
        &test,
    ])
    .unwrap();
    let columns = columns(&csv, HEADER);
    let truth: Vec<bool> = plan(PLAIN.flashes).iter().map(|f| f.1).collect();
    assert_eq!(columns[0].len(), truth.len());
    assert!(auc(&columns[1], &truth).unwrap().value > 0.85);
}

#[test]
fn a_profile_of_another_montage_is_refused_and_both_are_named() {
    let folder = Folder::new();
    let train = folder.recording("train.xdf", PLAIN);
    let out = folder.path("out");
    calibrate(&["--xdf", &train, "--out", &out]).unwrap();
    let other = folder.recording(
        "other.xdf",
        Made {
            labels: ["F3", "F4", "P3", "P4"],
            ..PLAIN
        },
    );
    let failure = score(&[
        "p300",
        "--calibration",
        &format!("{out}/profile.json"),
        "--xdf",
        &other,
    ])
    .unwrap_err();
    assert_eq!(failure.exit, Exit::Source);
    assert!(
        failure.message.contains("Fz, Cz, Pz, Oz") && failure.message.contains("F3, F4, P3, P4"),
        "{failure}"
    );
}

#[test]
fn nothing_is_overwritten_unless_that_was_said() {
    let folder = Folder::new();
    let train = folder.recording("train.xdf", PLAIN);
    let out = folder.path("out");
    fs::create_dir(&out).unwrap();
    fs::write(Path::new(&out).join("report.html"), "mine").unwrap();
    let failure = calibrate(&["--xdf", &train, "--out", &out]).unwrap_err();
    assert_eq!(failure.exit, Exit::Usage);
    assert!(
        failure.message.contains("report.html exists") && failure.message.contains("--force"),
        "{failure}"
    );
    assert!(!Path::new(&out).join("profile.json").exists());
    calibrate(&["--xdf", &train, "--out", &out, "--force"]).unwrap();
    let page = fs::read_to_string(Path::new(&out).join("report.html")).unwrap();
    assert!(page.starts_with("<!doctype html>"));
}

#[test]
fn a_folder_that_cannot_be_written_is_named_before_any_work() {
    let folder = Folder::new();
    let train = folder.recording("train.xdf", PLAIN);
    let out = format!("{train}/out");
    let failure = calibrate(&["--xdf", &train, "--out", &out]).unwrap_err();
    assert_eq!(failure.exit, Exit::Usage);
    assert!(
        failure
            .message
            .contains(&format!("{out} cannot be written")),
        "{failure}"
    );
    assert_eq!(
        failure.message.matches("os error").count(),
        1,
        "the cause is named once: {failure}"
    );
}

#[test]
fn a_truncated_recording_is_refused_with_its_offset_and_nothing_is_written() {
    let folder = Folder::new();
    let train = folder.recording("train.xdf", PLAIN);
    let whole = fs::read(&train).unwrap();
    fs::write(&train, &whole[..whole.len() * 2 / 3]).unwrap();
    let out = folder.path("out");
    let failure = calibrate(&["--xdf", &train, "--out", &out]).unwrap_err();
    assert_eq!(failure.exit, Exit::Source);
    assert!(failure.message.contains("byte"), "{failure}");
    assert_eq!(fs::read_dir(&out).unwrap().count(), 0);
}

#[test]
fn a_recording_without_flashes_says_what_is_missing() {
    let folder = Folder::new();
    let train = folder.recording(
        "train.xdf",
        Made {
            flashes: 0,
            ..PLAIN
        },
    );
    let failure = calibrate(&["--xdf", &train, "--out", &folder.path("out")]).unwrap_err();
    assert_eq!(failure.exit, Exit::Source);
    assert!(failure.message.contains("\"event\":\"flash\""), "{failure}");
}

#[test]
fn absurd_filters_are_refused_with_the_range() {
    let folder = Folder::new();
    let train = folder.recording("train.xdf", PLAIN);
    for option in [
        ["--high-hz", "400"],
        ["--low-hz", "-1"],
        ["--order", "0"],
        ["--epoch-s", "nan"],
        ["--notch-hz", "0.001"],
        ["--notch-hz", "125"],
    ] {
        let line = [
            "--xdf",
            &train,
            "--out",
            &folder.path("out"),
            option[0],
            option[1],
        ]
        .map(str::to_owned);
        let line: Vec<&str> = line.iter().map(String::as_str).collect();
        // A negative number may be refused by the parser already.
        let typed = ["calibrate"].iter().chain(&line);
        let Ok(parsed) = CalibrateLine::try_parse_from(typed) else {
            continue;
        };
        let failure = calibrate::run(&parsed.args, &mut Vec::new()).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage, "{option:?}: {failure}");
    }
}

#[test]
fn gaze_tables_are_labelled_line_by_line() {
    let folder = Folder::new();
    let table = folder.path("gaze.csv");
    let mut text = String::from("t_ms,x_deg,y_deg,valid,label\n");
    for i in 0..500 {
        let x = if i < 250 { 0.0 } else { 8.0 };
        text.push_str(&format!("{}.0,{x},0.1,1,1\n", 2 * i));
    }
    fs::write(&table, text).unwrap();
    let csv = score(&["gaze", "--csv", &table]).unwrap();
    let columns = columns(&csv, "t_ms,emit_ms,label,new_fixation");
    assert_eq!(columns[0].len(), 500);
    assert!(
        columns[0]
            .iter()
            .zip(&columns[1])
            .all(|(t, emit)| emit >= t && emit - t <= 10.0)
    );
    assert_eq!(
        columns[3].iter().sum::<f64>(),
        2.0,
        "two fixations are announced"
    );
    assert!(columns[2].contains(&2.0), "with a saccade between them");

    fs::write(&table, "a,b\n1,2\n").unwrap();
    let failure = score(&["gaze", "--csv", &table]).unwrap_err();
    assert!(failure.message.contains("t_ms"), "{failure}");
}

/// AUC of the shrinkage-LDA line of `p300_opponent.py TRAIN TEST --order 2` on these recordings.
const REFERENCE: [(&str, f64); 3] = [
    ("gtec5_S1", 0.9545),
    ("gtec5_S2", 0.9424),
    ("gtec5_S3", 0.8679),
];

#[test]
fn real_recordings_are_scored_as_well_as_by_the_reference() {
    let data = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data/p300");
    if !data.is_dir() {
        println!("skipped: {} is not there", data.display());
        return;
    }
    let folder = Folder::new();
    for (person, reference) in REFERENCE {
        let file = |part: &str| {
            data.join(format!("{person}_{part}.xdf"))
                .to_str()
                .unwrap()
                .to_owned()
        };
        let out = folder.path(person);
        calibrate(&["--xdf", &file("train"), "--out", &out]).unwrap();
        let csv = score(&[
            "p300",
            "--calibration",
            &format!("{out}/profile.json"),
            "--xdf",
            &file("test"),
        ])
        .unwrap();
        let columns = columns(&csv, HEADER);
        let streams = razvilka::cli::recorded::Streams::default();
        let flashes = razvilka::cli::recorded::Recorded::open(Path::new(&file("test")), &streams)
            .unwrap()
            .flashes();
        assert_eq!(
            columns[0].len(),
            flashes.len(),
            "{person}: every flash is scored"
        );
        let truth: Vec<bool> = flashes.iter().map(|f| f.target.unwrap()).collect();
        let value = auc(&columns[1], &truth).unwrap().value;
        assert!(
            value > reference - 0.01,
            "{person}: {value} against {reference}"
        );
    }
}
