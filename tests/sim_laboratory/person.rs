//! Does the person know what it wants, and no more than it was told?

use razvilka::marker::{Event, Key, OptionKind};
use razvilka::sim::{ForkTruth, Preset, Reason, SimSettings};

use crate::script::{START_S, Script, record, six_options, tile};

#[test]
fn a_wish_is_the_same_whenever_and_wherever_the_words_are_offered() {
    let settings = SimSettings {
        preset: Preset::Easy,
        ..SimSettings::default()
    };
    let mut script = Script::default();
    let mut t = 1.0;
    let branches = [
        "the dragon burned",
        "the merchant bought",
        "the child found",
    ];
    for fork in 0..9 {
        let options: Vec<_> = (0..3)
            .map(|item| {
                let text = branches[(item + fork) % 3];
                tile(item as i32, OptionKind::Branch, text)
            })
            .collect();
        t = script.fork(t, fork as u64, &options, 8.0, None);
    }
    let recording = record(&settings, &script, t);
    let wished: Vec<&str> = recording
        .truth
        .iter()
        .map(|truth| {
            assert_eq!(truth.reason, Reason::Wish);
            branches[(truth.item as usize + truth.fork as usize) % 3]
        })
        .collect();
    assert_eq!(wished.len(), 9);
    assert!(wished.iter().all(|text| *text == wished[0]), "{wished:?}");
}

#[test]
fn goal_words_decide() {
    for goal in ["dragon", "merchant", "child"] {
        let settings = SimSettings {
            goals: vec![goal.into()],
            ..SimSettings::default()
        };
        let mut script = Script::default();
        let end = script.fork(1.0, 7, &six_options(), 10.0, None);
        let truth = record(&settings, &script, end).truth;
        let wished = &six_options()[truth[0].item as usize].text;
        assert!(wished.contains(goal));
        assert_eq!(truth[0].fork, 7);
    }
}

#[test]
fn after_a_wrong_step_it_takes_it_back_as_soon_as_it_can() {
    let settings = SimSettings {
        goals: vec!["dragon".into()],
        ..SimSettings::default()
    };
    let mut script = Script::default();
    let mut t = 1.0;
    // Even forks commit the wrong branch, odd ones whatever: they only offer the way back.
    for fork in 0..30 {
        let taken = if fork % 2 == 0 { 1 } else { 4 };
        t = script.fork(t, fork, &six_options(), 10.0, Some(taken));
    }
    let truth = record(&settings, &script, t).truth;
    assert_eq!(truth.len(), 30);
    let undone = truth
        .iter()
        .filter(|truth| truth.fork % 2 == 1 && truth.reason == Reason::Undo)
        .count();
    assert!(undone >= 9, "{undone} of 15");
    let regretted = truth.iter().filter(|t| t.fork % 2 == 0);
    assert!(regretted.clone().all(|truth| truth.reason == Reason::Wish));
    assert!(regretted.clone().all(|truth| truth.item == 0));
}

#[test]
fn after_a_right_step_it_regrets_nothing() {
    let settings = SimSettings {
        goals: vec!["dragon".into()],
        ..SimSettings::default()
    };
    let mut script = Script::default();
    let mut t = 1.0;
    for fork in 0..15 {
        t = script.fork(t, fork, &six_options(), 10.0, Some(0));
    }
    let truth = record(&settings, &script, t).truth;
    assert!(truth.iter().all(|truth| truth.reason == Reason::Wish));
}

#[test]
fn a_fork_that_ends_at_once_has_a_wish_but_no_decision() {
    let mut script = Script::default();
    let end = script.fork(1.0, 0, &six_options(), 0.5, None);
    let truth = record(&SimSettings::default(), &script, end).truth;
    assert_eq!(truth.len(), 1);
    assert_eq!((truth[0].attended, truth[0].at), (None, None));
}

#[test]
fn a_quick_reader_decides_sooner() {
    let median = |pace| {
        let settings = SimSettings {
            pace,
            ..SimSettings::default()
        };
        let mut script = Script::default();
        let mut opened = Vec::new();
        let mut t = 1.0;
        for fork in 0..15 {
            opened.push(t);
            t = script.fork(t, fork, &six_options(), 15.0, None);
        }
        let truth = record(&settings, &script, t).truth;
        let mut needed: Vec<f64> = truth
            .iter()
            .map(|truth| truth.at.unwrap() - START_S - opened[truth.fork as usize])
            .collect();
        needed.sort_by(f64::total_cmp);
        needed[7]
    };
    let (slow, quick) = (median(1.0), median(2.0));
    assert!((3.0..5.5).contains(&slow), "{slow}");
    assert!(quick < 0.75 * slow, "{quick} {slow}");
}

#[test]
fn with_a_hand_free_it_presses_what_it_attends_to() {
    let settings = SimSettings {
        key_share: 1.0,
        preset: Preset::Easy,
        ..SimSettings::default()
    };
    let mut script = Script::default();
    let mut t = 1.0;
    for fork in 0..8 {
        t = script.fork(t, fork, &six_options(), 12.0, None);
    }
    let recording = record(&settings, &script, t);
    let pressed: Vec<(f64, i32)> = recording
        .keys
        .iter()
        .filter_map(|(at, key)| match key {
            Key::Select { item } => Some((*at, *item)),
            _ => None,
        })
        .collect();
    assert_eq!(pressed.len(), 8);
    for (truth, (at, item)) in recording.truth.iter().zip(pressed) {
        assert_eq!(truth.attended, Some(item));
        let reaction = at - (truth.at.unwrap() - START_S);
        assert!((0.2..2.0).contains(&reaction), "{reaction}");
    }
}

#[test]
fn unasked_it_calls_for_a_fork_now_and_then_but_not_in_pauses() {
    let settings = SimSettings::default();
    let calls = |pause: bool| {
        let mut script = Script::default();
        let t = script.fork(1.0, 0, &six_options(), 8.0, None);
        if pause {
            script.say(t, Event::Pause { on: true });
        }
        let recording = record(&settings, &script, 3600.0);
        assert!(
            recording
                .keys
                .iter()
                .all(|(_, key)| matches!(key, Key::Call { back: 0..=4 }))
        );
        recording.keys.len()
    };
    assert!((3..=25).contains(&calls(false)));
    assert_eq!(calls(true), 0);
}

#[test]
fn the_truth_file_holds_what_is_documented_and_nothing_else() {
    let truth = ForkTruth {
        fork: 3,
        item: 1,
        attended: Some(2),
        reason: Reason::GoOn,
        at: Some(12.5),
    };
    let json = serde_json::to_string(&truth).unwrap();
    assert_eq!(
        json,
        r#"{"fork":3,"item":1,"attended":2,"reason":"go_on","at":12.5}"#
    );
    assert_eq!(serde_json::from_str::<ForkTruth>(&json).unwrap(), truth);
}

#[test]
fn a_strange_engine_does_not_upset_it() {
    let mut script = Script::default();
    let mut odd = six_options();
    odd[0].x_deg = f64::NAN;
    odd[1].w_deg = -1e9;
    odd[2].text = "слово ".repeat(5000);
    script.fork(1.0, 0, &odd, 3.0, Some(99));
    script.fork(2.0, 1, &[], 3.0, None);
    script.say(
        4.0,
        Event::GazePoint {
            point: 0,
            x_deg: f64::INFINITY,
            y_deg: 1e300,
            phase: razvilka::marker::GazePhase::Check,
        },
    );
    script.say(
        4.1,
        Event::Cue {
            run: 0,
            item: 77,
            options: Vec::new(),
        },
    );
    script.say(
        4.2,
        Event::Flash {
            item: -1,
            target: None,
            run: None,
            fork: None,
            stamp: None,
        },
    );
    script.say(4.3, Event::SessionEnd);
    script.markers.sort_by(|a, b| a.0.total_cmp(&b.0));
    let recording = record(&SimSettings::default(), &script, 12.0);
    assert!(recording.eeg.iter().flatten().all(|v| v.is_finite()));
    assert_eq!(recording.gaze.len(), 3000);
}
