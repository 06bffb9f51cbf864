//! The session folder: private, locked, whole.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use razvilka::session::{
    ChainHead, ConfigRecord, Folder, FolderError, Manifest, ModelRecord, SessionFile,
};

fn manifest() -> Manifest {
    let mut manifest = Manifest::begin(
        vec!["razvilka".into(), "demo".into()],
        ConfigRecord::new("[gate]\ntimeout_s = 5.0\n".into()),
    );
    manifest.seeds = BTreeMap::from([("session".to_owned(), u64::MAX)]);
    manifest.models.push(ModelRecord {
        role: "base".into(),
        name: "embedded".into(),
        bytes: 7_000_000,
        sha256: "ab".repeat(32),
        precision: Some("q8".into()),
    });
    manifest
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_new_folder_and_its_files_are_for_their_owner_alone() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("a/b/session");
    let folder = Folder::create(&path).unwrap();
    folder.write_manifest(&manifest()).unwrap();
    folder.create_text().unwrap().append("text").unwrap();
    folder.create_file(SessionFile::Recording).unwrap();
    assert_eq!(mode(&path), 0o700);
    for file in [
        SessionFile::Manifest,
        SessionFile::Text,
        SessionFile::Recording,
    ] {
        assert_eq!(mode(&folder.file(file)), 0o600, "{}", file.name());
    }
}

#[test]
fn the_manifest_comes_back_and_tells_an_ended_session_from_a_killed_one() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("session");
    let folder = Folder::create(&path).unwrap();
    let mut manifest = manifest();
    folder.write_manifest(&manifest).unwrap();
    let (_, begun) = Folder::open(&path).unwrap();
    assert_eq!(begun, manifest);
    assert!(!begun.complete && begun.ended_utc.is_none());
    manifest.end(Some(ChainHead {
        rows: 3,
        hash: "00".repeat(32),
    }));
    folder.write_manifest(&manifest).unwrap();
    let (reading, ended) = Folder::open(&path).unwrap();
    assert!(ended.complete && ended.ended_utc.is_some());
    assert!(!reading.is_writable());
    assert!(matches!(
        reading.write_manifest(&manifest),
        Err(FolderError::ReadOnly { .. })
    ));
    assert!(
        std::fs::read_dir(&path).unwrap().count() <= 2,
        "no temporary file stays behind"
    );
}

#[test]
fn a_session_with_something_missing_never_counts_as_complete() {
    let mut manifest = manifest();
    manifest
        .recording_incomplete
        .push("the disk was full from 12.5 s on".into());
    manifest.end(Some(ChainHead {
        rows: 1,
        hash: String::new(),
    }));
    assert!(!manifest.complete);
}

#[test]
fn the_configuration_is_recorded_with_its_digest() {
    // printf 'abc' | sha256sum
    assert_eq!(
        ConfigRecord::new("abc".into()).sha256,
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
}

#[test]
fn a_folder_with_files_in_it_is_refused_and_left_alone() {
    let parent = tempfile::tempdir().unwrap();
    std::fs::write(parent.path().join("thesis.tex"), "precious").unwrap();
    let refused = Folder::create(parent.path()).unwrap_err();
    assert!(matches!(refused, FolderError::NotEmpty { .. }));
    let message = refused.to_string();
    assert!(
        message.contains("thesis.tex") && message.contains("--out"),
        "{message}"
    );
    let names: Vec<_> = std::fs::read_dir(parent.path()).unwrap().collect();
    assert_eq!(names.len(), 1);
}

#[test]
fn asking_whether_a_folder_can_be_made_leaves_nothing_behind() {
    let parent = tempfile::tempdir().unwrap();
    let empty = parent.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    for path in [empty.clone(), parent.path().join("a/b/session")] {
        Folder::check(&path).unwrap();
    }
    assert_eq!(std::fs::read_dir(&empty).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 1);
}

#[test]
fn a_folder_that_could_not_be_made_is_refused_beforehand_with_the_same_words() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let used = parent.path().join("used");
    let _first = Folder::create(&used).unwrap();
    for path in [
        parent.path().to_owned(),
        file.join("below"),
        file,
        used,
        "/sys/kernel/razvilka-session".into(),
        "/proc/razvilka-session".into(),
    ] {
        let asked = Folder::check(&path).unwrap_err();
        let made = Folder::create(&path).unwrap_err();
        assert_eq!(asked.to_string(), made.to_string());
    }
}

#[test]
fn a_file_in_the_folders_place_is_refused() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("file");
    std::fs::write(&path, "x").unwrap();
    for path in [path.clone(), path.join("below")] {
        let refused = Folder::create(&path).unwrap_err();
        assert!(
            matches!(refused, FolderError::NotAFolder { .. }),
            "{refused:?}"
        );
    }
}

#[test]
fn a_second_engine_is_told_the_first_ones_process_id() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("session");
    let first = Folder::create(&path).unwrap();
    for filled in [false, true] {
        if filled {
            first.write_manifest(&manifest()).unwrap();
        }
        match Folder::create(&path).unwrap_err() {
            FolderError::Locked { pid, .. } => assert_eq!(pid, Some(std::process::id())),
            other => panic!("{other:?}"),
        }
    }
    let message = Folder::create(&path).unwrap_err().to_string();
    assert!(
        message.contains(&format!("process {}", std::process::id())),
        "{message}"
    );
    drop(first);
    // The lock has gone with its owner; the files stay protected.
    assert!(matches!(
        Folder::create(&path),
        Err(FolderError::NotEmpty { .. })
    ));
}

#[test]
fn a_folder_that_cannot_be_written_is_said_to_be_so() {
    let parent = tempfile::tempdir().unwrap();
    std::fs::set_permissions(parent.path(), std::fs::Permissions::from_mode(0o500)).unwrap();
    let mut place = parent.path().join("session");
    if std::fs::write(parent.path().join("probe"), "").is_ok() {
        // Permissions do not bind root; the kernel's own file system does.
        place = "/sys/kernel/razvilka-session".into();
    }
    let refused = Folder::create(&place).unwrap_err();
    assert!(
        matches!(refused, FolderError::ReadOnly { .. }),
        "{refused:?}"
    );
    assert!(refused.to_string().contains("cannot be written"));
}

#[test]
fn what_is_no_session_is_refused_with_the_reason() {
    let parent = tempfile::tempdir().unwrap();
    let reason = || Folder::open(parent.path()).unwrap_err().to_string();
    assert!(reason().contains("no manifest.json"), "{}", reason());
    let file = parent.path().join("manifest.json");
    std::fs::write(&file, "{").unwrap();
    assert!(reason().contains("cannot be read"), "{}", reason());
    for (key, value, word) in [
        ("format", serde_json::json!("other"), "`other`"),
        ("format_version", serde_json::json!(99), "99"),
    ] {
        let mut document = serde_json::to_value(manifest()).unwrap();
        document[key] = value;
        document["of_a_later_version"] = true.into();
        std::fs::write(&file, document.to_string()).unwrap();
        assert!(reason().contains(word), "{}", reason());
    }
}

#[test]
fn a_whole_file_is_replaced_at_once_even_over_the_remains_of_a_crash() {
    let parent = tempfile::tempdir().unwrap();
    let folder = Folder::create(&parent.path().join("session")).unwrap();
    folder
        .write(SessionFile::Report, b"<html>old</html>")
        .unwrap();
    std::fs::write(folder.path().join(".report.html.new"), "half a").unwrap();
    folder
        .write(SessionFile::Report, b"<html>new</html>")
        .unwrap();
    let report = std::fs::read(folder.file(SessionFile::Report)).unwrap();
    assert_eq!(report, b"<html>new</html>");
    assert!(!folder.path().join(".report.html.new").exists());
}
