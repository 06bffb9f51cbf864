use std::path::Path;

use super::file::{Looked, Written, compose};
use super::sources::Choice;
use super::*;
use crate::config::{Plan, limits};
use crate::source::lsl::Surveyed;
use crate::source::pins::Pins;
use crate::source::{Format, Heard, StreamSpec};

fn stream(kind: &str, labels: &[&str], rate_hz: f64) -> Surveyed {
    Surveyed {
        spec: StreamSpec {
            name: format!("Прибор {kind}"),
            kind: kind.into(),
            source_id: format!("sn-{kind}"),
            hostname: "lab".into(),
            uid: format!("uid-{kind}"),
            rate_hz,
            format: if rate_hz == 0.0 {
                Format::String
            } else {
                Format::Float32
            },
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
            units: vec![String::new(); labels.len()],
            xml: String::new(),
        },
        channel_count: labels.len() as u32,
        refused: None,
        heard: Heard::default(),
        age: None,
    }
}

fn eeg() -> Surveyed {
    stream("EEG", &["Fz", "Cz"], 250.0)
}

fn looked(seen: &[Surveyed]) -> Looked<'_> {
    Looked {
        at_utc: "2026-01-01T00:00:00Z".into(),
        waited_s: 2.0,
        asked: "127.0.0.1".into(),
        loopback_session: None,
        seen,
    }
}

fn written(seen: &[Surveyed]) -> (Written<'_>, Plan) {
    let written = compose(&looked(seen)).unwrap();
    let plan = Plan::parse(&written.text, Path::new("experiment.toml")).unwrap();
    (written, plan)
}

#[test]
fn devices_that_were_found_are_pinned_and_all_else_is_the_default() {
    let mut gaze = stream("Gaze", &["x", "y", "confidence"], 120.0);
    gaze.spec.units = vec!["normalized".into(); 3];
    let seen = [
        eeg(),
        gaze,
        stream("Keys", &["key"], 0.0),
        stream("Markers", &["marker"], 0.0),
    ];
    let (written, plan) = written(&seen);
    assert_eq!(plan.eeg.as_ref().unwrap().pins, Pins::of(&seen[0].spec));
    assert_eq!(plan.gaze.as_ref().unwrap().pins, Pins::of(&seen[1].spec));
    let keys = plan.keys.as_ref().unwrap();
    assert_eq!(keys.pins, Some(Pins::of(&seen[2].spec)));
    assert!(!keys.terminal && !keys.window);
    let text = &written.text;
    assert!(text.contains("Прибор Markers") && text.contains("MEASURE"));
    assert!(!text.contains("my-amplifier") && !text.contains("No EEG stream"));
    let defaults = Plan {
        eeg: plan.eeg.clone(),
        gaze: plan.gaze.clone(),
        keys: plan.keys.clone(),
        ..Plan::default()
    };
    assert_eq!(plan, defaults);
}

#[test]
fn every_number_stands_there_with_its_default_and_its_range() {
    let mut gaze = stream("Gaze", &["x", "y"], 120.0);
    gaze.spec.units = vec!["normalized".into(); 2];
    let seen = [eeg(), gaze];
    let (written, _) = written(&seen);
    let table: toml::Table = toml::from_str(&written.text).unwrap();
    for limit in limits() {
        let mut at = &toml::Value::Table(table.clone());
        for part in limit.key.split('.') {
            at = at
                .get(part)
                .unwrap_or_else(|| panic!("{} is missing", limit.key));
        }
        let value = at.as_float().or_else(|| at.as_integer().map(|n| n as f64));
        assert_eq!(value, Some(limit.default), "{}", limit.key);
        let (section, key) = limit.key.rsplit_once('.').unwrap();
        let line = written
            .text
            .lines()
            .skip_while(|line| !line.starts_with(&format!("[{section}]")))
            .find(|line| super::template::key_of(line) == Some(key))
            .unwrap();
        let comment = line.split_once('#').map_or("", |(_, comment)| comment);
        let numbers: Vec<f64> = comment
            .split(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '-' | 'e')))
            .filter_map(|word| word.parse().ok())
            .collect();
        for bound in [limit.min, limit.max] {
            assert!(numbers.contains(&bound), "{}: {comment}", limit.key);
        }
    }
}

#[test]
fn where_nothing_answered_the_file_says_what_to_do_and_typed_keys_choose() {
    let (written, plan) = written(&[]);
    assert!(plan.eeg.is_none() && plan.gaze.is_none() && plan.typed_keys());
    for kind in ["EEG", "gaze", "key"] {
        let said = format!("No {kind} stream answered within 2 s");
        assert!(written.text.contains(&said), "{}", written.text);
    }
    assert!(written.text.contains("Asked for 2 s: 127.0.0.1."));
    assert!(!written.text.contains("MEASURE"), "nothing rests on it");
    assert!(!written.text.contains(" \n"), "spaces at the end of a line");
}

#[test]
fn of_two_streams_of_one_kind_none_is_chosen_and_taking_one_takes_its_comment_away() {
    let mut other = eeg();
    (other.spec.source_id, other.spec.uid) = ("sn-2".into(), "uid-2".into());
    let seen = [eeg(), other];
    let (several, plan) = written(&seen);
    assert!(plan.eeg.is_none() && plan.typed_keys());
    assert!(matches!(&several.sources[0].1, Choice::Several(both) if both.len() == 2));
    assert!(
        several
            .text
            .contains("2 EEG streams are here. None was chosen")
    );
    assert!(!several.text.contains("very same"));
    // As a person would do it: the lines below the second heading, up to the next source.
    let mut taking = false;
    let mut taken = String::new();
    for line in several.text.lines() {
        if line.starts_with("# --- this one") {
            taking = line.contains("uid-2");
        } else {
            taking = taking && !line.is_empty();
            let shown = line.strip_prefix("# ").filter(|_| taking);
            taken.push_str(&format!("{}\n", shown.unwrap_or(line)));
        }
    }
    let plan = Plan::parse(&taken, Path::new("experiment.toml")).unwrap();
    assert_eq!(plan.eeg.unwrap().pins, Pins::of(&seen[1].spec));
    // An impostor says the very same.
    let seen = [eeg(), eeg()];
    assert!(
        written(&seen)
            .0
            .text
            .contains("the very same of themselves")
    );
}

#[test]
fn a_stream_that_makes_no_experiment_is_a_comment_with_the_reason() {
    let mut nameless = stream("Gaze", &["x", "y"], 60.0);
    (nameless.spec.name, nameless.spec.source_id) = (String::new(), String::new());
    let mut huge = eeg();
    (huge.spec.kind, huge.refused) = ("EEG".into(), Some("too\nlarge".into()));
    let seen = [stream("EEG", &["Fz"], 30.0), nameless, huge];
    let (written, plan) = written(&seen);
    assert!(plan.eeg.is_none() && plan.gaze.is_none() && plan.typed_keys());
    for words in [
        "cannot be used as it is: filter.high_hz = 20 must lie below half",
        "name is missing; pin at least name or source_id",
        "cannot be used: too\\u{a}large",
    ] {
        assert!(written.text.contains(words), "{words}: {}", written.text);
    }
}

#[test]
fn an_experiment_on_this_machine_alone_stays_there() {
    let seen = [eeg()];
    let text = compose(&Looked {
        loopback_session: Some("here-1"),
        ..looked(&seen)
    })
    .unwrap()
    .text;
    let plan = Plan::parse(&text, Path::new("experiment.toml")).unwrap();
    assert_eq!(plan.network.mode, crate::config::NetworkMode::Loopback);
    assert_eq!(plan.network.session_id, "here-1");
}

#[test]
fn what_a_stream_says_of_itself_steers_neither_file_nor_terminal() {
    let mut odd = eeg();
    odd.spec.name = "a\"]\n[gate]\ncommit_threshold = 0.5\u{1b}[2J".into();
    let seen = [odd];
    let (written, plan) = written(&seen);
    assert_eq!(plan.eeg.unwrap().pins.name, Some(seen[0].spec.name.clone()));
    assert_eq!(plan.gate, Plan::default().gate);
    assert!(!written.text.contains('\u{1b}'));
    assert!(!told(Role::Eeg, &written.sources[0].1).contains('\n'));
}

#[test]
fn a_file_is_replaced_only_when_told_so_and_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/experiment.toml");
    write(&path, "one", false).unwrap();
    let refused = write(&path, "two", false).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "one");
    write(&path, "two", true).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "two");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    let left = std::fs::read_dir(path.parent().unwrap()).unwrap();
    assert_eq!(left.count(), 1);
}
