#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]

use std::path::Path;

use rusqlite::Connection;

use super::*;
use crate::choice::Why;
use crate::fork::{Chooser, ForkId, ForkOrigin};
use crate::marker::{OptionKind, Outcome};

fn person(parent: &Path) -> Person {
    Person::open_or_create(&parent.join("anna")).unwrap()
}

/// A choice with texts and states of its own.
fn choice(session: &str, fork: u64) -> Remembered {
    let state = |n: u64| -> Vec<f32> { (0..64).map(|i| (n * 64 + i) as f32 + 0.37).collect() };
    let option = |item: i32, kind, text: String| RememberedOption {
        item,
        kind,
        text,
        tokens: vec![7, item as u32],
        prior: 0.25,
        log_prob_nats: Some(-1.0 / 3.0),
        posterior: Some(0.1),
        preference: Some(-0.125),
        embedding: Some(state(1000 + 10 * fork + item as u64)),
    };
    Remembered {
        session: session.to_owned(),
        fork: ForkId(fork),
        at_utc: format!("2026-11-28T10:00:{fork:02}.000Z"),
        context: format!("Лиса {session} шла по дороге номер {fork} и думала"),
        origin: ForkOrigin::Detected,
        attempt: 0,
        shown: true,
        outcome: Some(Outcome::Committed),
        chooser: Some(Chooser::Human),
        why: Why::Selected,
        chosen: Some(1),
        selected: Some(1),
        decision_s: Some(1.25),
        model_sha256: "ab".repeat(32),
        taken_back: None,
        state: Some(state(fork)),
        options: vec![
            option(0, OptionKind::Branch, format!("о зиме в году {fork}")),
            option(1, OptionKind::Branch, format!("о мельнице за рекой {fork}")),
            RememberedOption {
                log_prob_nats: None,
                preference: None,
                embedding: None,
                tokens: Vec::new(),
                ..option(2, OptionKind::GoOn, "go on".to_owned())
            },
        ],
    }
}

fn remembered(parent: &Path, choices: &[Remembered]) -> ChoiceStore {
    let mut store = ChoiceStore::open(person(parent)).unwrap();
    choices.iter().for_each(|c| store.remember(c).unwrap());
    store
}

/// All bytes of the person's folder.
fn bytes(parent: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(parent.join("anna")).unwrap() {
        all.extend(std::fs::read(entry.unwrap().path()).unwrap());
    }
    all
}

fn holds(all: &[u8], part: &[u8]) -> bool {
    all.windows(part.len()).any(|window| window == part)
}

#[test]
fn choices_come_back_as_they_were_and_are_marked_when_they_are_taken_back() {
    let parent = tempfile::tempdir().unwrap();
    // Of one state, and contrary to each other: both are kept.
    let mut contrary = choice("a", 2);
    contrary.state = choice("a", 1).state;
    contrary.chosen = Some(0);
    let bare = Remembered {
        state: None,
        outcome: None,
        chooser: Some(Chooser::Model),
        decision_s: None,
        selected: None,
        shown: false,
        ..choice("b", 1)
    };
    let mut all = vec![choice("a", 1), contrary, bare];
    let mut store = remembered(parent.path(), &all);
    // A fork ends once.
    store.remember(&choice("a", 1)).unwrap();
    assert_eq!(store.read(&Which::All).unwrap(), all);
    store.take_back(&all[0].name(), TakenBack::Undo).unwrap();
    all[0].taken_back = Some(TakenBack::Undo);
    drop(store);
    let store = ChoiceStore::open_read_only(&person(parent.path()))
        .unwrap()
        .unwrap();
    assert_eq!(store.read(&Which::All).unwrap(), all);
    assert_eq!(store.read(&Which::Session("b".into())).unwrap(), all[2..]);
    assert_eq!(
        store.read(&Which::Fork("a/2".parse().unwrap())).unwrap(),
        all[1..2]
    );
    assert_eq!(
        store.sessions().unwrap(),
        [("a".to_owned(), 2), ("b".to_owned(), 1)]
    );
}

#[test]
fn a_memory_is_for_its_person_alone() {
    use std::os::unix::fs::PermissionsExt;
    let parent = tempfile::tempdir().unwrap();
    let store = remembered(parent.path(), &[choice("a", 1)]);
    let memory = store.path.clone();
    drop(store);
    std::fs::set_permissions(&memory, std::fs::Permissions::from_mode(0o644)).unwrap();
    let _store = ChoiceStore::open(person(parent.path())).unwrap();
    for entry in std::fs::read_dir(parent.path().join("anna")).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.file_name());
    }
    assert!(matches!(
        ChoiceStore::open(person(parent.path())),
        Err(PersonError::Locked { .. })
    ));
}

#[test]
fn of_a_forgotten_choice_no_byte_is_left_and_the_others_stay() {
    let parent = tempfile::tempdir().unwrap();
    let mut all: Vec<Remembered> = (0..40).map(|fork| choice("a", fork)).collect();
    // A phrase that another choice offered too is not forgotten with this one.
    all[8].options[0].text = all[7].options[0].text.clone();
    let mut store = remembered(parent.path(), &all);
    let gone = all.remove(7);
    let state: Vec<u8> = gone
        .state
        .iter()
        .flatten()
        .flat_map(|x| x.to_le_bytes())
        .collect();
    let traces = [
        gone.context.as_bytes(),
        gone.options[1].text.as_bytes(),
        &state[..64],
    ];
    let before = bytes(parent.path());
    assert!(traces.iter().all(|trace| holds(&before, trace)));
    let forgotten = store.forget(&Which::Fork(gone.name())).unwrap();
    assert_eq!(
        (forgotten.choices, forgotten.sessions),
        (1, vec!["a".to_owned()])
    );
    assert!(forgotten.traces > 10, "{}", forgotten.traces);
    let after = bytes(parent.path());
    for trace in traces {
        assert!(!holds(&after, trace));
    }
    assert_eq!(store.read(&Which::All).unwrap(), all);
    assert_eq!(store.forget(&Which::Fork(gone.name())).unwrap().choices, 0);
    // What is older than the person wants it kept.
    let utc = "2026-11-28T10:00:20.000Z".to_owned();
    assert_eq!(store.forget(&Which::Before(utc)).unwrap().choices, 19);
    assert_eq!(store.forget(&Which::All).unwrap().choices, 20);
    let after = bytes(parent.path());
    assert!(!holds(&after, "Лиса".as_bytes()) && !holds(&after, "мельнице".as_bytes()));
}

#[test]
fn nothing_is_half_forgotten_while_somebody_reads() {
    let parent = tempfile::tempdir().unwrap();
    let all = [choice("a", 1), choice("a", 2)];
    let mut store = remembered(parent.path(), &all);
    store
        .connection
        .busy_timeout(std::time::Duration::ZERO)
        .unwrap();
    let reader = Connection::open(person(parent.path()).memory()).unwrap();
    reader.execute_batch("BEGIN; SELECT * FROM choice").unwrap();
    let refused = store.forget(&Which::All).unwrap_err();
    assert!(
        matches!(refused, PersonError::BeingRead { .. }),
        "{refused}"
    );
    assert_eq!(store.read(&Which::All).unwrap(), all);
    drop(reader);
    assert_eq!(store.forget(&Which::All).unwrap().choices, 2);
    // And goes on being added to.
    store.remember(&all[0]).unwrap();
    assert_eq!(store.read(&Which::All).unwrap(), all[..1]);
}

#[test]
fn what_is_still_there_is_found() {
    // A copy that somebody made beside the tables: the check must not call that forgotten.
    let parent = tempfile::tempdir().unwrap();
    let gone = choice("a", 3);
    let mut store = remembered(parent.path(), &[gone.clone(), choice("a", 4)]);
    store
        .connection
        .execute_batch(&format!(
            "CREATE TABLE copy AS SELECT '{}' AS context",
            gone.context
        ))
        .unwrap();
    let refused = store.forget(&Which::Fork(gone.name())).unwrap_err();
    assert!(
        matches!(
            refused,
            PersonError::StillThere {
                what: "the text before a fork",
                ..
            }
        ),
        "{refused}"
    );
}

#[test]
fn memories_that_are_none_of_ours_are_refused_and_left_as_they_were() {
    let parent = tempfile::tempdir().unwrap();
    let path = person(parent.path()).memory();
    let refused = |content: &[u8]| {
        std::fs::write(&path, content).unwrap();
        let writing = ChoiceStore::open(person(parent.path()))
            .unwrap_err()
            .to_string();
        let reading = ChoiceStore::open_read_only(&person(parent.path()))
            .unwrap_err()
            .to_string();
        assert_eq!(writing, reading);
        assert_eq!(std::fs::read(&path).unwrap(), content);
        writing
    };
    let said = refused(&b"no database at all, but longer than the head of one".repeat(20));
    assert!(
        said.contains("is no memory of choices: it is no SQLite database"),
        "{said}"
    );

    let database = |sql: &str| {
        let place = parent.path().join("made.sqlite");
        let _ = std::fs::remove_file(&place);
        Connection::open(&place)
            .unwrap()
            .execute_batch(sql)
            .unwrap();
        std::fs::read(&place).unwrap()
    };
    let said = refused(&database("CREATE TABLE shoes (size)"));
    assert!(said.contains("its application_id is 0"), "{said}");
    let said = refused(&database(&format!(
        "PRAGMA application_id = {}; PRAGMA user_version = 7; CREATE TABLE choice (what)",
        schema::APPLICATION_ID
    )));
    assert!(
        said.contains("has version 7; this program reads up to 1"),
        "{said}"
    );

    // The head is whole, the pages behind it are not.
    std::fs::remove_file(&path).unwrap();
    drop(remembered(
        parent.path(),
        &(0..50).map(|f| choice("a", f)).collect::<Vec<_>>(),
    ));
    let mut content = std::fs::read(&path).unwrap();
    content[8192..].fill(0xa5);
    std::fs::write(&path, &content).unwrap();
    let store = ChoiceStore::open_read_only(&person(parent.path()))
        .unwrap()
        .unwrap();
    let said = store.read(&Which::All).unwrap_err().to_string();
    assert!(said.contains("is damaged"), "{said}");
}

#[test]
fn a_memory_whose_making_was_broken_off_is_made_again() {
    let parent = tempfile::tempdir().unwrap();
    std::fs::write(person(parent.path()).memory(), b"").unwrap();
    assert!(
        ChoiceStore::open_read_only(&person(parent.path()))
            .unwrap()
            .is_none()
    );
    let store = remembered(parent.path(), &[choice("a", 1)]);
    assert_eq!(store.read(&Which::All).unwrap().len(), 1);
}

#[test]
fn names_of_forks_are_read_as_they_are_written() {
    let name: ForkName = "20261128T100000Z-1a2b3c4d/17".parse().unwrap();
    assert_eq!(
        (name.fork, name.to_string().parse()),
        (ForkId(17), Ok(name.clone()))
    );
    for wrong in ["17", "/17", "a/", "a/b", ""] {
        assert!(wrong.parse::<ForkName>().is_err(), "{wrong}");
    }
}
