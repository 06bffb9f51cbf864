//! A session that was lived in simulated time is replayed from its folder: every decision and every letter come again, and
//! whatever was altered is found.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]

mod replay_common;

use std::path::Path;
use std::sync::atomic::AtomicBool;

use clap::Parser;
use razvilka::cli;
use razvilka::cli::exit::{Exit, Failure};
use razvilka::engine::replay::{PROFILE, REPORT, RecordedSession, ReplayError, ReplayReport};
use razvilka::gate::Source;
use razvilka::session::{Entry, Folder, Ledger, Manifest, SessionFile, sha256_file};
use replay_common::{copy, lived, model};

#[derive(Parser)]
struct Typed {
    #[command(flatten)]
    args: cli::replay::Args,
}

fn replay(session: &Path, out: &Path) -> Result<ReplayReport, ReplayError> {
    let out = Folder::create(out).unwrap();
    RecordedSession::open(session)?.replay(model(), &out, vec!["test".into()])
}

fn entries(folder: &Path) -> Vec<Entry> {
    Ledger::open_read_only(&folder.join("ledger.sqlite"))
        .unwrap()
        .entries()
        .unwrap()
}

#[test]
fn an_untouched_session_comes_out_again_bit_for_bit() {
    let out = tempfile::tempdir().unwrap();
    let report = replay(lived(), out.path()).unwrap();
    assert_eq!(report.first_difference, None);
    assert!(
        report.is_identical() && report.incomplete.is_empty(),
        "{report:?}"
    );
    assert_eq!(report.forks.compared, report.forks.equal);
    assert!(report.forks.equal >= 8 && report.choices.equal >= 8);
    assert!(report.evidence.equal >= 100 && report.evidence.equal == report.evidence.compared);
    // The session holds all that a replay must follow.
    let all = entries(lived());
    let has = |what: &str| {
        all.iter()
            .any(|entry| matches!(entry, Entry::Event(row) if row.detail.contains(what)))
    };
    assert!(has("\"call\"") && has("\"undo\"") && has("\"bad_channels\""));
    // Steps were taken, and a fit anew was judged.
    assert!(has("\"taken\":true") && has("\"loss_after\""));
    for source in [Source::Gaze, Source::P300] {
        assert!(all.iter().any(|entry| matches!(entry, Entry::Evidence(row)
            if matches!(row.input, razvilka::gate::GateInput::Evidence { evidence, .. }
                if evidence.source == source))));
    }
    // The new folder is a session folder: same text, same ledger to the last hash, and it says whose replay it is.
    assert_eq!(
        std::fs::read(out.path().join("text.txt")).unwrap(),
        std::fs::read(lived().join("text.txt")).unwrap()
    );
    let (_, manifest) = Folder::open(out.path()).unwrap();
    let text = std::fs::read_to_string(out.path().join("text.txt")).unwrap();
    assert_eq!(manifest.texts.len(), 1 + text.matches("\n\nOnce").count());
    for record in &manifest.texts {
        let here: String = text.chars().skip(record.begins_char as usize).collect();
        assert!(record.prompt_chars == 4 && here.starts_with("Once "));
    }
    let head = |folder: &Path| {
        Ledger::open_read_only(&folder.join("ledger.sqlite"))
            .unwrap()
            .verify()
            .unwrap()
    };
    assert_eq!(head(out.path()), head(lived()));
    let (_, manifest) = Folder::open(out.path()).unwrap();
    let replay_of = manifest.replay_of.unwrap();
    assert_eq!(replay_of.session, report.session);
    assert_eq!(replay_of.files.len(), 5);
    let written: ReplayReport =
        serde_json::from_slice(&std::fs::read(out.path().join(REPORT)).unwrap()).unwrap();
    assert_eq!(written, report);
}

#[test]
fn a_fit_anew_that_cannot_be_made_again_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let session = copy(dir.path());
    std::fs::remove_file(session.join("calibration/epochs.bin")).unwrap();
    let report = replay(&session, &dir.path().join("out")).unwrap();
    let difference = report.first_difference.clone().unwrap();
    assert!(
        difference.what.contains("what the scorer learnt"),
        "{difference}"
    );
    assert!(!report.is_identical());
}

#[test]
fn epochs_of_another_calibration_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let session = copy(dir.path());
    std::fs::write(session.join("calibration/epochs.bin"), "others").unwrap();
    let refused = replay(&session, &dir.path().join("out")).unwrap_err();
    assert!(refused.to_string().contains("epochs.bin"), "{refused}");
}

#[test]
fn one_bit_of_one_sample_is_found_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let session = copy(dir.path());
    let fork = entries(&session).into_iter().find_map(|entry| match entry {
        Entry::Evidence(row) if row.onset_sample.is_some() => Some(row),
        _ => None,
    });
    let row = fork.unwrap();
    flip_a_bit(&session.join("session.xdf"), row.onset_sample.unwrap() + 20);
    let report = replay(&session, &dir.path().join("out")).unwrap();
    let difference = report.first_difference.clone().unwrap();
    assert_eq!(
        (difference.fork, difference.step),
        (Some(row.fork), Some(row.step)),
        "{difference}"
    );
    assert!(difference.what.contains("P300"), "{difference}");
    assert!(difference.expected != difference.got);
    assert!(!report.is_identical() && report.evidence.equal < report.evidence.compared);
}

/// Flips the highest bit of the mantissa of channel 2 of EEG sample `sample`.
fn flip_a_bit(file: &Path, sample: u64) {
    use razvilka::recording::xdf::{Chunk, Reader, Values};
    let mut seen = 0;
    let mut wanted = None;
    for chunk in Reader::open(file).unwrap() {
        if let Chunk::Samples(chunk) = chunk.unwrap()
            && chunk.stream.0 == 1
            && let Values::Float32(values) = &chunk.values
        {
            let channels = values.len() / chunk.stamps.len();
            let count = chunk.stamps.len() as u64;
            if wanted.is_none() && seen + count > sample {
                let at = (sample - seen) as usize;
                let mut bytes = chunk.stamps[at].to_le_bytes().to_vec();
                let row = &values[at * channels..(at + 1) * channels];
                bytes.extend(row.iter().flat_map(|value| value.to_le_bytes()));
                wanted = Some(bytes);
            }
            seen += count;
        }
    }
    let wanted = wanted.unwrap();
    let mut bytes = std::fs::read(file).unwrap();
    let at = bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
        .unwrap();
    bytes[at + 8 + 2 * 4 + 2] ^= 0x40;
    std::fs::write(file, bytes).unwrap();
}

#[test]
fn an_altered_ledger_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let session = copy(dir.path());
    let file = rusqlite::Connection::open(session.join("ledger.sqlite")).unwrap();
    file.execute(
        "UPDATE choice SET text = text || '!' WHERE n = (SELECT max(n) FROM choice)",
        [],
    )
    .unwrap();
    drop(file);
    let refused = RecordedSession::open(&session).unwrap_err();
    assert!(matches!(refused, ReplayError::Ledger(_)), "{refused}");
    assert_eq!(Failure::from(refused).exit, Exit::Source);
}

#[test]
fn rows_cut_off_the_ledger_are_noticed_by_the_manifest() {
    let dir = tempfile::tempdir().unwrap();
    let session = copy(dir.path());
    let file = rusqlite::Connection::open(session.join("ledger.sqlite")).unwrap();
    file.execute("DELETE FROM event WHERE n = (SELECT max(n) FROM event)", [])
        .unwrap();
    drop(file);
    let refused = RecordedSession::open(&session).unwrap_err();
    assert!(matches!(refused, ReplayError::Cut { .. }), "{refused}");
}

#[test]
fn another_text_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let session = copy(dir.path());
    let file = session.join("text.txt");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replacen(' ', "_", 1)).unwrap();
    let report = replay(&session, &dir.path().join("out")).unwrap();
    assert!(!report.text_equal && report.ledger_equal);
    assert_eq!(report.first_difference.unwrap().what, "text.txt");
}

#[test]
fn a_text_altered_by_hand_is_refused_and_called_no_defect() {
    let dir = tempfile::tempdir().unwrap();
    let session = copy(dir.path());
    let file = session.join("text.txt");
    let (digest, _) = sha256_file(&file).unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replacen(' ', "_", 1)).unwrap();
    let told = |out: &str| {
        let typed = [
            "replay",
            session.to_str().unwrap(),
            "--out",
            dir.path().join(out).to_str().unwrap(),
        ]
        .map(str::to_owned);
        let args = Typed::parse_from(typed).args;
        let stop = AtomicBool::new(false);
        let (mut data, mut talk) = (Vec::new(), Vec::new());
        cli::replay::run(&args, Vec::new(), &stop, &mut data, &mut talk).unwrap_err()
    };
    // A folder that keeps no digest of its text: everything else came out as recorded.
    let failure = told("without");
    assert_eq!(failure.exit, Exit::Source, "{failure}");
    assert!(failure.message.contains("was altered"), "{failure}");
    assert_eq!(
        std::fs::read_to_string(dir.path().join("without/text.txt")).unwrap(),
        text
    );
    // One that does.
    let (_, mut manifest): (Folder, Manifest) = Folder::open(&session).unwrap();
    manifest.text_sha256 = Some(digest);
    let json = serde_json::to_vec(&manifest).unwrap();
    std::fs::write(session.join(SessionFile::Manifest.name()), json).unwrap();
    let failure = told("with");
    assert_eq!(failure.exit, Exit::Source, "{failure}");
    assert!(failure.message.contains("text.txt is not as"), "{failure}");
    // A text that is as the session left it, and yet not the one that is made again, would be a defect.
    std::fs::write(&file, text).unwrap();
    assert!(
        replay(&session, &dir.path().join("whole"))
            .unwrap()
            .is_identical()
    );
}

#[test]
fn a_cut_off_recording_is_scored_as_far_as_it_goes_when_asked_to() {
    let dir = tempfile::tempdir().unwrap();
    let session = copy(dir.path());
    let (file, profile) = (session.join("session.xdf"), session.join(PROFILE));
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() * 6 / 10 + 1]).unwrap();
    let score = |more: &[&str]| {
        let typed = [
            "replay",
            file.to_str().unwrap(),
            "--fast",
            "--calibration",
            profile.to_str().unwrap(),
        ];
        let args = Typed::parse_from(typed.iter().chain(more)).args;
        let stop = AtomicBool::new(false);
        let (mut data, mut talk) = (Vec::new(), Vec::new());
        cli::replay::run(&args, Vec::new(), &stop, &mut data, &mut talk)
            .map(|()| String::from_utf8(data).unwrap().lines().count())
    };
    let failure = score(&[]).unwrap_err();
    assert_eq!(failure.exit, Exit::Source, "{failure}");
    assert!(failure.message.contains("--recover"), "{failure}");
    assert!(score(&["--recover"]).unwrap() > 10);
}

#[test]
fn each_missing_file_is_named() {
    for file in ["session.xdf", "ledger.sqlite", "text.txt", PROFILE] {
        let dir = tempfile::tempdir().unwrap();
        let session = copy(dir.path());
        std::fs::remove_file(session.join(file)).unwrap();
        let refused = RecordedSession::open(&session).unwrap_err();
        assert!(matches!(refused, ReplayError::Missing { .. }), "{refused}");
        assert!(refused.to_string().contains(file), "{refused}");
    }
    let dir = tempfile::tempdir().unwrap();
    let refused = RecordedSession::open(dir.path()).unwrap_err();
    assert!(refused.to_string().contains("manifest.json"), "{refused}");
}

#[test]
fn another_profile_than_the_sessions_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let session = copy(dir.path());
    let profile = session.join(PROFILE);
    let text = std::fs::read_to_string(&profile).unwrap();
    std::fs::write(&profile, format!("{text}\n")).unwrap();
    let refused = RecordedSession::open(&session).unwrap_err();
    assert!(matches!(refused, ReplayError::Changed { .. }), "{refused}");
}

#[test]
fn a_session_that_was_cut_off_replays_as_far_as_it_was_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let session = copy(dir.path());
    // As a kill leaves it: half a recording without footers, a manifest without an end, a text in mid-word.
    let recording = session.join("session.xdf");
    let bytes = std::fs::read(&recording).unwrap();
    std::fs::write(&recording, &bytes[..bytes.len() * 6 / 10 + 1]).unwrap();
    let (_, mut manifest): (Folder, Manifest) = Folder::open(&session).unwrap();
    manifest.ended_utc = None;
    manifest.ledger = None;
    manifest.complete = false;
    let json = serde_json::to_vec(&manifest).unwrap();
    std::fs::write(session.join(SessionFile::Manifest.name()), json).unwrap();
    let report = replay(&session, &dir.path().join("out")).unwrap();
    assert!(
        report
            .incomplete
            .iter()
            .any(|lack| lack.contains("session.xdf is damaged")),
        "{report:?}"
    );
    assert!(report.incomplete.iter().any(|lack| lack.contains("footer")));
    assert!(
        report
            .incomplete
            .iter()
            .any(|lack| lack.contains("did not end by itself"))
    );
    assert_eq!(
        report.first_difference, None,
        "what is there comes out the same"
    );
    assert!(report.evidence.equal > 0 && report.evidence.not_recorded > 0);
    assert_eq!(report.evidence.equal, report.evidence.compared);
    assert!(report.text_equal && report.ledger_equal);
}
