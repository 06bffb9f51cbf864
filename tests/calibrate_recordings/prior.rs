//! Calibrating from other people's recordings, and what is refused of them.

use std::fs;
use std::path::Path;

use clap::Parser;
use razvilka::cli::exit::{Exit, Failure};
use razvilka::cli::prior;
use razvilka_calibration::{PriorFile, Profile, ScorerKind, auc};

use crate::made::*;

#[derive(Parser)]
struct PriorLine {
    #[command(flatten)]
    args: prior::Args,
}

fn make_prior(line: &[&str]) -> Result<String, Failure> {
    let args = PriorLine::try_parse_from(["prior"].iter().chain(line))
        .expect("the line is well formed")
        .args;
    let mut talk = Vec::new();
    prior::run(&args, &mut talk)?;
    Ok(String::from_utf8(talk).unwrap())
}

/// Writes other bytes of the same length over some of a recording.
fn rewrite(path: &str, from: &str, to: &str) {
    assert_eq!(from.len(), to.len());
    let bytes = fs::read(path).unwrap();
    let mut out = bytes.clone();
    let mut found = 0;
    for at in 0..bytes.len().saturating_sub(from.len()) {
        if bytes[at..].starts_with(from.as_bytes()) {
            out[at..at + to.len()].copy_from_slice(to.as_bytes());
            found += 1;
        }
    }
    assert!(found > 0, "{from} is not there");
    fs::write(path, out).unwrap();
}

/// Two other people and somebody of whom no flash has a label.
struct Three {
    folder: Folder,
    anna: String,
    boris: String,
    own: String,
}

fn three(own: Made) -> Three {
    let folder = Folder::new();
    let anna = folder.recording("anna.xdf", Made { seed: 11, ..PLAIN });
    let boris = folder.recording("boris.xdf", Made { seed: 12, ..PLAIN });
    let made = folder.recording("own.xdf", own);
    rewrite(&made, "\"target\"", "\"cursor\"");
    Three {
        anna,
        boris,
        own: made,
        folder,
    }
}

fn area(folder: &Folder, out: &str, test: Made) -> f64 {
    let name = Path::new(out).file_name().unwrap().to_string_lossy();
    let test_file = folder.recording(&format!("later-{name}.xdf"), test);
    let profile = format!("{out}/profile.json");
    let csv = score(&["p300", "--calibration", &profile, "--xdf", &test_file]).unwrap();
    let columns = columns(&csv, HEADER);
    let truth: Vec<bool> = plan(test.flashes).iter().map(|f| f.1).collect();
    assert_eq!(columns[1].len(), truth.len());
    auc(&columns[1], &truth).unwrap().value
}

fn refused(line: &[&str]) -> Failure {
    match calibrate(line) {
        Ok((_, talk)) => panic!("not refused: {talk}"),
        Err(failure) => failure,
    }
}

#[test]
fn somebody_without_a_label_gets_a_profile_that_says_whose_accuracy_it_states() {
    let Three {
        folder,
        anna,
        boris,
        own,
    } = three(Made {
        seed: 13,
        flashes: 240,
        ..PLAIN
    });
    let out = folder.path("out");
    let line = ["--xdf", &own, "--out", &out, "--prior-from", &anna, &boris];
    let (profile, talk) = calibrate(&line).unwrap();
    assert!(talk.contains("prior: 2 people, 2 recordings"), "{talk}");
    assert!(talk.contains("240 without a label"), "{talk}");
    assert!(talk.contains("not from this person"), "{talk}");
    let eeg = profile.eeg.unwrap();
    let prior = eeg.prior.as_ref().unwrap();
    assert!(prior.judged_on_others && prior.file.is_none());
    let names: Vec<&str> = prior.recordings.iter().map(|r| r.name.as_str()).collect();
    assert_eq!(names, ["anna.xdf", "boris.xdf"]);
    assert!(area(&folder, &out, Made { seed: 14, ..PLAIN }) > 0.9);
    let page = fs::read_to_string(Path::new(&out).join("report.html")).unwrap();
    assert!(page.contains("P300, expected") && page.contains(&prior.recordings[0].sha256));
    assert_eq!(
        Profile::load(&Path::new(&out).join("profile.json"))
            .unwrap()
            .eeg
            .unwrap(),
        eeg
    );
}

#[test]
fn a_kept_prior_does_what_the_recordings_do_and_the_profile_names_it() {
    let Three {
        folder,
        anna,
        boris,
        own,
    } = three(Made {
        seed: 13,
        flashes: 240,
        ..PLAIN
    });
    let file = folder.path("people.prior");
    let talk = make_prior(&[&anna, &boris, "--out", &file]).unwrap();
    assert!(talk.contains("each of 2 people left out"), "{talk}");
    assert!(
        make_prior(&[&anna, &boris, "--out", &file]).is_err(),
        "it is there"
    );
    let kept = PriorFile::load(Path::new(&file)).unwrap();
    assert_eq!(kept.montage.labels, ["Fz", "Cz", "Pz", "Oz"]);
    let [by_file, by_recordings] = [folder.path("a"), folder.path("b")];
    let (one, talk) =
        calibrate(&["--xdf", &own, "--out", &by_file, "--prior-from", &file]).unwrap();
    assert!(talk.contains("of 2 people, 2 recordings"), "{talk}");
    let line = [
        "--xdf",
        &own,
        "--out",
        &by_recordings,
        "--prior-from",
        &anna,
        &boris,
    ];
    let (other, _) = calibrate(&line).unwrap();
    let (one, other) = (one.eeg.unwrap(), other.eeg.unwrap());
    assert_eq!(one.model, other.model);
    assert_eq!(one.density, other.density);
    assert_eq!(one.prior.unwrap().file.unwrap().name, "people.prior");

    let failure = refused(&[
        "--xdf",
        &own,
        "--out",
        &folder.path("c"),
        "--low-hz",
        "1",
        "--prior-from",
        &file,
    ]);
    assert_eq!(failure.exit, Exit::Usage);
    assert!(failure.to_string().contains("0.5 to 20 Hz"), "{failure}");
    let failure = refused(&[
        "--xdf",
        &own,
        "--out",
        &folder.path("c"),
        "--prior-from",
        &file,
        &anna,
    ]);
    assert!(failure.to_string().contains("used alone"), "{failure}");
    fs::write(&file, "{\"kind\":\"something\"}").unwrap();
    let failure = refused(&[
        "--xdf",
        &own,
        "--out",
        &folder.path("c"),
        "--prior-from",
        &file,
    ]);
    assert!(failure.to_string().contains("not a prior"), "{failure}");
}

#[test]
fn channels_are_matched_by_their_labels_and_a_railed_one_is_done_without() {
    let Three {
        folder,
        anna,
        boris,
        own,
    } = three(Made {
        seed: 13,
        railed: Some(1),
        flashes: 240,
        ..PLAIN
    });
    let file = folder.path("people.prior");
    make_prior(&[&anna, &boris, "--out", &file]).unwrap();
    let railed = Made {
        seed: 14,
        railed: Some(1),
        ..PLAIN
    };
    for (name, prior) in [("recordings", vec![&anna, &boris]), ("file", vec![&file])] {
        let out = folder.path(name);
        let mut line = vec!["--xdf", &own, "--out", &out, "--prior-from"];
        line.extend(prior.iter().map(|p| p.as_str()));
        let (profile, talk) = calibrate(&line).unwrap();
        assert!(talk.contains("prior: on 3 of 4 channels"), "{talk}");
        assert_eq!(profile.eeg.unwrap().lda.used, [true, false, true, true]);
        assert!(area(&folder, &out, railed) > 0.85, "{name}");
    }
}

#[test]
fn a_channel_that_is_bad_in_a_priors_recording_is_done_without_there() {
    let Three {
        folder, boris, own, ..
    } = three(Made {
        seed: 13,
        flashes: 240,
        ..PLAIN
    });
    let carla = folder.recording(
        "carla.xdf",
        Made {
            seed: 15,
            railed: Some(2),
            ..PLAIN
        },
    );
    let out = folder.path("out");
    let line = ["--xdf", &own, "--out", &out, "--prior-from", &boris, &carla];
    let (profile, talk) = calibrate(&line).unwrap();
    assert!(talk.contains("Pz is bad or missing in carla.xdf"), "{talk}");
    assert_eq!(profile.eeg.unwrap().lda.used, [true, true, false, true]);
    // Labelled, all four channels are there to be compared with.
    let labelled = folder.recording(
        "labelled.xdf",
        Made {
            seed: 13,
            flashes: 240,
            ..PLAIN
        },
    );
    let both = folder.path("both");
    let line = [
        "--xdf",
        &labelled,
        "--out",
        &both,
        "--prior-from",
        &boris,
        &carla,
    ];
    let eeg = calibrate(&line).unwrap().0.eeg.unwrap();
    assert!(!eeg.prior.as_ref().unwrap().judged_on_others);
    assert_eq!(
        eeg.selection.candidates.last().unwrap().kind,
        ScorerKind::Informed
    );
}

#[test]
fn recordings_that_cannot_be_a_prior_are_refused_with_what_to_do() {
    let Three {
        folder,
        anna,
        boris,
        own,
    } = three(Made {
        seed: 13,
        flashes: 240,
        ..PLAIN
    });
    let out = folder.path("out");
    let with = |prior: &[&str]| {
        let mut line = vec!["--xdf", &own, "--out", &out, "--prior-from"];
        line.extend(prior);
        refused(&line).to_string()
    };
    let other = |name: &str, labels| {
        folder.recording(
            name,
            Made {
                seed: 16,
                labels,
                ..PLAIN
            },
        )
    };
    let one_class = folder.recording("one_class.xdf", Made { seed: 17, ..PLAIN });
    rewrite(&one_class, "\"target\": 1", "\"target\": 0");
    let unlabelled = folder.recording("unlabelled.xdf", Made { seed: 18, ..PLAIN });
    rewrite(&unlabelled, "\"target\"", "\"cursor\"");
    let faster = folder.recording("faster.xdf", Made { seed: 19, ..PLAIN });
    rewrite(
        &faster,
        "<nominal_srate>250</nominal_srate>",
        "<nominal_srate>500</nominal_srate>",
    );
    let copy = folder.path("copy.xdf");
    fs::copy(&own, &copy).unwrap();
    let twice = folder.path("twice.xdf");
    fs::copy(&anna, &twice).unwrap();
    let person = format!("me={anna}");
    let again = format!("me={boris}");
    for (prior, words) in [
        (vec![anna.as_str()], "two people or more"),
        (vec![&person, &again], "two people or more"),
        (vec![&anna, &unlabelled], "none of them with \"target\""),
        (vec![&anna, &one_class], "0 targets and"),
        (vec![&anna, &faster], "is at 500 Hz"),
        (vec![&anna, &copy], "this person's own recording"),
        (vec![&anna, &twice], "the same recording"),
        (vec![&anna, &folder.path("none.xdf")], "cannot be read"),
        (
            vec![&anna, &other("elsewhere.xdf", ["F7", "F8", "T7", "Oz"])],
            "only 1 good channels",
        ),
        (
            vec![&anna, &other("unnamed.xdf", ["", "", "", ""])],
            "without labels",
        ),
    ] {
        let said = with(&prior);
        assert!(said.contains(words), "{words}: {said}");
        assert!(!Path::new(&out).join("profile.json").exists());
    }
    let file = folder.path("own.prior");
    let labelled = folder.recording("again.xdf", Made { seed: 20, ..PLAIN });
    make_prior(&[&anna, &labelled, "--out", &file]).unwrap();
    let failure = refused(&["--xdf", &labelled, "--out", &out, "--prior-from", &file]);
    assert!(
        failure.to_string().contains("the prior was made of it"),
        "{failure}"
    );
    let failure = refused(&["--xdf", &own, "--out", &out]);
    assert!(failure.to_string().contains("--prior-from"), "{failure}");
}
