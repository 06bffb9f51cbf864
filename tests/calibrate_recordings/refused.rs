//! What is refused, and whether the words name the true reason.

use std::path::Path;

use razvilka::cli::exit::Exit;

use crate::made::*;

#[test]
fn a_recording_given_twice_is_refused_as_a_file_and_as_a_copy_cut_short() {
    let folder = Folder::new();
    let whole = folder.recording("a.xdf", PLAIN);
    let copy = folder.path("copy.xdf");
    std::fs::copy(&whole, &copy).unwrap();
    // The same noise, ended earlier: other bytes, the same samples.
    let part = folder.recording(
        "part.xdf",
        Made {
            flashes: PLAIN.flashes / 2,
            ..PLAIN
        },
    );
    for (twice, words) in [
        (&whole, "same recording"),
        (&copy, "same recording"),
        (&part, "in common"),
    ] {
        let out = folder.path("out");
        let failure = calibrate(&["--xdf", &whole, twice, "--out", &out]).unwrap_err();
        assert_eq!(failure.exit, Exit::Source);
        assert!(failure.message.contains(words), "{failure}");
        assert!(!Path::new(&out).join("profile.json").exists());
    }
}

#[test]
fn a_channel_named_twice_is_refused() {
    let folder = Folder::new();
    let file = folder.recording("a.xdf", PLAIN);
    let channels = format!("{0},{0}", PLAIN.labels[0]);
    let line = [
        "--xdf",
        &file,
        "--out",
        &folder.path("out"),
        "--channels",
        &channels,
    ];
    let failure = calibrate(&line).unwrap_err();
    assert_eq!(failure.exit, Exit::Usage);
    assert!(failure.message.contains("twice"), "{failure}");
}

#[test]
fn a_session_with_too_few_targets_is_told_its_own_counts() {
    let folder = Folder::new();
    let few = folder.recording(
        "few.xdf",
        Made {
            flashes: 24,
            ..PLAIN
        },
    );
    let failure = calibrate(&["--xdf", &few, "--out", &folder.path("out")]).unwrap_err();
    assert_eq!(failure.exit, Exit::Source);
    let targets = plan(24).iter().filter(|flash| flash.1).count();
    let counts = format!("{targets} targets and {} non-targets", 24 - targets);
    assert!(failure.message.contains(&counts), "{failure}");
    assert!(
        failure.message.contains("10 of both are needed"),
        "{failure}"
    );
}
