//! What is left after SIGKILL and on a full disk. Each test runs itself again as a child process that dies or starves.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]

mod session_common;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use razvilka::choice::Why;
use razvilka::engine::keeper::{Keeper, Note};
use razvilka::fork::ForkId;
use razvilka::fork::ForkOrigin;
use razvilka::session::person::{ChoiceStore, Person, PersonError, Remembered, Which};
use razvilka::session::{
    Folder, FolderError, Ledger, LedgerError, LedgerWriter, SessionFile, TextFile,
};
use session_common::{session_row, write_fork};

/// Tells a child where to work.
const CHILD: &str = "RAZVILKA_TEST_CHILD_FOLDER";

/// The folder, when this process is the child.
fn child_folder() -> Option<PathBuf> {
    std::env::var_os(CHILD).map(PathBuf::from)
}

/// The arguments that make a test binary run one test and show what it prints.
fn only(test: &str) -> [&str; 3] {
    ["--exact", test, "--nocapture"]
}

/// Runs `test` as a child that may not write files of more than 512 KiB, and returns what it printed.
fn starved(test: &str, folder: &Path) -> String {
    let output = Command::new("/bin/sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 1024; exec \"$@\"", "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(only(test))
        .env(CHILD, folder)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

#[test]
fn what_was_acknowledged_survives_sigkill() {
    if let Some(path) = child_folder() {
        let folder = Folder::create(&path).unwrap();
        let mut text = folder.create_text().unwrap();
        let mut ledger =
            LedgerWriter::create(&folder.file(SessionFile::Ledger), &session_row()).unwrap();
        for fork in 0.. {
            let written = write_fork(&mut ledger, fork);
            text.append(&written.choice.text).unwrap();
            println!("acknowledged {fork}");
        }
    }
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("session");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(only("what_was_acknowledged_survives_sigkill"))
        .env(CHILD, &path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut acknowledged = None;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if let Some(fork) = line.split("acknowledged ").nth(1) {
            acknowledged = fork.parse::<u64>().ok();
            if acknowledged >= Some(5) {
                break;
            }
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();

    let last = acknowledged.expect("the child wrote forks");
    let ledger = Ledger::open_read_only(&path.join("ledger.sqlite")).unwrap();
    ledger.verify().unwrap();
    let mut whole = String::new();
    for fork in 0..=last {
        let choice = ledger.choice_of(ForkId(fork)).unwrap();
        whole.push_str(&choice.expect("an acknowledged choice").text);
        assert!(!ledger.evidence_of(ForkId(fork)).unwrap().is_empty());
    }
    let text = TextFile::read(&path.join("text.txt")).unwrap();
    assert!(text.starts_with(&whole));
    // The dead process holds no lock, and its files are not overwritten.
    assert!(matches!(
        Folder::create(&path),
        Err(FolderError::NotEmpty { .. })
    ));
}

#[test]
fn a_full_disk_refuses_a_session_at_its_start() {
    const TEST: &str = "a_full_disk_refuses_a_session_at_its_start";
    if let Some(path) = child_folder() {
        let refused = Folder::create(&path).unwrap_err();
        println!("refused: {refused}");
        assert!(matches!(refused, FolderError::Full { .. }), "{refused:?}");
        return;
    }
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("session");
    let said = starved(TEST, &path);
    assert!(said.contains("there is no room"), "{said}");
    let left: Vec<_> = std::fs::read_dir(&path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| name != ".lock")
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_disk_that_fills_up_ends_in_a_clear_error_and_a_sound_ledger() {
    const TEST: &str = "a_disk_that_fills_up_ends_in_a_clear_error_and_a_sound_ledger";
    if let Some(folder) = child_folder() {
        let mut ledger =
            LedgerWriter::create(&folder.join("ledger.sqlite"), &session_row()).unwrap();
        let error = (0..).find_map(|fork| {
            let gate = session_common::opened_gate(ForkId(fork));
            let mut row = session_common::fork_row(&gate);
            row.context = "long ".repeat(2000);
            let outcome = ledger.fork(&row, &[]);
            if outcome.is_ok() {
                println!("acknowledged {fork}");
            }
            outcome.err()
        });
        let error = error.expect("the disk fills up");
        println!("refused: {error}");
        assert!(matches!(error, LedgerError::Full { .. }), "{error:?}");
        // The writer stays usable: it says the same again, and does not panic.
        let gate = session_common::opened_gate(ForkId(1_000_000));
        let mut row = session_common::fork_row(&gate);
        row.context = "long ".repeat(2000);
        assert!(matches!(
            ledger.fork(&row, &[]),
            Err(LedgerError::Full { .. })
        ));
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let said = starved(TEST, folder.path());
    assert!(said.contains("there is no room"), "{said}");
    let acknowledged = said.matches("acknowledged ").count();
    let ledger = Ledger::open_read_only(&folder.path().join("ledger.sqlite")).unwrap();
    ledger.verify().unwrap();
    let forks = ledger.forks().unwrap().len();
    assert!(
        acknowledged > 5 && forks == acknowledged,
        "{forks} of {acknowledged}"
    );
}

#[test]
fn a_piece_of_text_that_does_not_fit_leaves_no_half_character() {
    const TEST: &str = "a_piece_of_text_that_does_not_fit_leaves_no_half_character";
    if let Some(folder) = child_folder() {
        let mut text = TextFile::create(&folder.join("text.txt")).unwrap();
        text.append(&"a".repeat((512 << 10) - 1)).unwrap();
        let error = text.append("лиса").unwrap_err();
        println!("refused: {error}");
        text.append("b").unwrap();
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let said = starved(TEST, folder.path());
    assert!(said.contains("refused: "), "{said}");
    let bytes = std::fs::read(folder.path().join("text.txt")).unwrap();
    assert_eq!(bytes.len(), 512 << 10);
    assert!(bytes.ends_with(b"aab"));
}

fn remembered(fork: u64) -> Remembered {
    Remembered {
        session: "s".to_owned(),
        fork: ForkId(fork),
        at_utc: String::new(),
        context: format!("before fork {fork}"),
        origin: ForkOrigin::Detected,
        attempt: 0,
        shown: true,
        outcome: None,
        chooser: None,
        why: Why::Selected,
        chosen: None,
        selected: None,
        decision_s: None,
        model_sha256: String::new(),
        taken_back: None,
        state: Some(vec![fork as f32; 576]),
        options: Vec::new(),
    }
}

#[test]
fn a_choice_that_was_acknowledged_as_remembered_survives_sigkill() {
    const TEST: &str = "a_choice_that_was_acknowledged_as_remembered_survives_sigkill";
    if let Some(path) = child_folder() {
        let mut store = ChoiceStore::open(Person::open_or_create(&path).unwrap()).unwrap();
        for fork in 0.. {
            store.remember(&remembered(fork)).unwrap();
            println!("acknowledged {fork}");
        }
    }
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("anna");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(only(TEST))
        .env(CHILD, &path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let acknowledged = lines
        .map_while(Result::ok)
        .filter_map(|line| line.split("acknowledged ").nth(1)?.parse::<usize>().ok())
        .find(|fork| *fork >= 20);
    child.kill().unwrap();
    child.wait().unwrap();
    // Nobody holds the lock any more, and the memory is added to as before.
    let mut store = ChoiceStore::open(Person::open(&path).unwrap()).unwrap();
    let kept = store.read(&Which::All).unwrap();
    assert!(kept.len() > acknowledged.unwrap());
    for (fork, choice) in kept.iter().enumerate() {
        assert_eq!(*choice, remembered(fork as u64));
    }
    store.remember(&remembered(u64::from(u32::MAX))).unwrap();
}

#[test]
fn a_full_disk_costs_no_choice_that_was_acknowledged_as_remembered() {
    const TEST: &str = "a_full_disk_costs_no_choice_that_was_acknowledged_as_remembered";
    if let Some(path) = child_folder() {
        let mut store = ChoiceStore::open(Person::open_or_create(&path).unwrap()).unwrap();
        for fork in 0.. {
            match store.remember(&remembered(fork)) {
                Ok(()) => println!("acknowledged {fork}"),
                Err(refused) => {
                    println!("refused: {refused}");
                    assert!(matches!(refused, PersonError::Full { .. }), "{refused:?}");
                    return;
                }
            }
        }
    }
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("anna");
    let said = starved(TEST, &path);
    assert!(said.contains("there is no room"), "{said}");
    let acknowledged = said.matches("acknowledged ").count();
    let store = ChoiceStore::open(Person::open(&path).unwrap()).unwrap();
    let kept = store.read(&Which::All).unwrap();
    assert!(
        acknowledged > 20 && kept.len() == acknowledged,
        "{} of {acknowledged}",
        kept.len()
    );
}

#[test]
fn a_memory_on_a_full_disk_is_told_of_and_what_is_not_in_it_is_counted() {
    const TEST: &str = "a_memory_on_a_full_disk_is_told_of_and_what_is_not_in_it_is_counted";
    const CHOICES: usize = 500;
    if let Some(path) = child_folder() {
        let store = ChoiceStore::open(Person::open_or_create(&path).unwrap()).unwrap();
        let mut keeper = Keeper::start(store).unwrap();
        for fork in 0..CHOICES as u64 {
            keeper.hand_in(Note::Choice(Box::new(remembered(fork))));
        }
        for words in keeper.close() {
            println!("said: {words}");
        }
        return;
    }
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("anna");
    let said = starved(TEST, &path);
    assert!(
        said.contains("there is no room") && said.contains("The session goes on"),
        "{said}"
    );
    let lost = said.split("choices not remembered: ").nth(1).unwrap();
    let lost: usize = lost.split('.').next().unwrap().parse().unwrap();
    let store = ChoiceStore::open(Person::open(&path).unwrap()).unwrap();
    let kept = store.read(&Which::All).unwrap();
    assert!(
        kept.len() > 20 && kept.len() + lost == CHOICES,
        "{} and {lost}",
        kept.len()
    );
    // In order, and none twice.
    let forks: Vec<u64> = kept.iter().map(|choice| choice.fork.0).collect();
    assert_eq!(forks, (0..kept.len() as u64).collect::<Vec<_>>());
}
