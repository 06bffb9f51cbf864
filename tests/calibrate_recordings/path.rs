//! The signal path that is asked for is the one that is fitted on, and the one that a session with the profile has.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use razvilka::config::Plan;
use razvilka_dsp::eeg::EegSpec;
use razvilka_dsp::sos::response;
use razvilka_dsp::units::Hertz;

use super::made::*;

fn gain_db(path: &EegSpec, hz: f64) -> f64 {
    let sections = path.sections().unwrap();
    20.0 * response(&sections, Hertz::new(hz).unwrap(), path.rate)
        .norm()
        .log10()
}

/// A profile made with these options, and an experiment file beside it that names it and says `more`.
fn experiment(folder: &Folder, options: &[&str], more: &str) -> PathBuf {
    let out = folder.path("out");
    if !PathBuf::from(&out).join("profile.json").exists() {
        let train = folder.recording("train.xdf", PLAIN);
        let line = ["--xdf", &train, "--out", &out];
        calibrate(&[&line, options].concat()).unwrap();
    }
    let file = PathBuf::from(folder.path("experiment.toml"));
    let words = format!(
        "[eeg]\npins = {{ source_id = \"amp-1\" }}\n[calibration]\nprofile = \"out/profile.json\"\n{more}"
    );
    fs::write(&file, words).unwrap();
    file
}

#[test]
fn a_notch_that_is_asked_for_is_in_the_profile_and_removes_the_line_frequency() {
    let folder = Folder::new();
    let train = folder.recording("train.xdf", PLAIN);
    let path = |name: &str, options: &[&str]| {
        let out = folder.path(name);
        let line = ["--xdf", &train, "--out", &out, "--high-hz", "80"];
        let (profile, _) = calibrate(&[&line, options].concat()).unwrap();
        profile.eeg.unwrap().path
    };
    let (without, with) = (path("without", &[]), path("with", &["--notch-hz", "50"]));
    assert!(without.notch.is_none() && with.notch.is_some());
    assert!(
        gain_db(&without, 50.0) > -1.0,
        "{}",
        gain_db(&without, 50.0)
    );
    assert!(gain_db(&with, 50.0) < -30.0, "{}", gain_db(&with, 50.0));
    assert!((gain_db(&with, 10.0) - gain_db(&without, 10.0)).abs() < 0.1);
}

#[test]
fn a_plan_takes_the_path_of_its_profile_where_the_file_states_none() {
    let folder = Folder::new();
    let options = ["--notch-hz", "50", "--high-hz", "15", "--epoch-s", "0.7"];
    let file = experiment(&folder, &options, "[filter]\nlow_hz = 0.5\n");
    let plan = Plan::read_with_profile(&file).unwrap();
    assert_eq!(plan.filter.notch_hz, 50.0);
    assert_eq!(plan.filter.high_hz, 15.0);
    assert_eq!(plan.epoch.length_s, 0.7);
    let printed = plan.to_toml();
    assert!(printed.contains("notch_hz = 50.0"), "{printed}");
    // What was printed names every key, and is still what the profile is.
    fs::write(&file, printed).unwrap();
    assert_eq!(Plan::read_with_profile(&file).unwrap(), plan);
}

#[test]
fn a_file_that_states_another_path_than_its_profile_is_refused_with_key_and_both_values() {
    let folder = Folder::new();
    for (more, key, here, there) in [
        ("[filter]\nnotch_hz = 50.0\n", "filter.notch_hz", "50", "0"),
        ("[filter]\nhigh_hz = 30.0\n", "filter.high_hz", "30", "20"),
        ("[filter]\norder = 4\n", "filter.order", "4", "2"),
        ("[epoch]\nlength_s = 1.0\n", "epoch.length_s", "1", "0.8"),
    ] {
        let file = experiment(&folder, &[], more);
        for check in [&["--check"][..], &[]] {
            let output = Command::new(env!("CARGO_BIN_EXE_razvilka"))
                .args(["run", "--config", file.to_str().unwrap()])
                .args(check)
                .output()
                .unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(2), "{said}");
            let words =
                format!("{key} is {here} in the experiment file, but {there} in the profile");
            assert!(said.contains(&words), "{said}");
        }
    }
}

#[test]
fn a_profile_or_a_model_that_is_not_there_is_named_by_the_check() {
    let folder = Folder::new();
    let file = PathBuf::from(folder.path("experiment.toml"));
    for (more, words, code) in [
        (
            "[calibration]\nprofile = \"gone.json\"\n",
            ["calibration.profile", "gone.json"],
            2,
        ),
        ("[model]\npath = \"gone\"\n", ["model.path", "gone"], 4),
    ] {
        let text = format!("[eeg]\npins = {{ source_id = \"amp-1\" }}\n{more}");
        fs::write(&file, text).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_razvilka"))
            .args(["run", "--check", "--config", file.to_str().unwrap()])
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
    }
}
