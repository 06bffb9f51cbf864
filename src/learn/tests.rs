//! The shelf of adapters, and what a memory teaches.

use std::path::Path;

use super::*;
use crate::decode::{Adapter, Comparison, LearnSettings, Model, Trial};

fn golden() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/golden/decode")
}

fn adapter() -> Adapter {
    let config = Model::verify(golden().join("llama")).unwrap().config;
    Adapter::load(golden().join("adapter/llama"), &config).unwrap()
}

fn card(forks: &[u64], is_better: bool) -> Card {
    let trial = Trial::default();
    Card {
        format_version: Card::FORMAT,
        version: 0,
        parent: None,
        made_utc: "2026-11-28T00:00:00Z".into(),
        razvilka: "0.1.0".into(),
        base: "llama".into(),
        base_sha256: "00".into(),
        settings: LearnSettings::default(),
        choices: forks
            .iter()
            .map(|fork| TaughtBy {
                session: "s".into(),
                fork: *fork,
            })
            .collect(),
        learned_from: forks.len(),
        steps: [1, 1],
        held_out: Comparison {
            before: trial,
            after: trial,
            gain_nats: 0.1,
            gain_se_nats: 0.01,
        },
        is_better,
        plain_worse_max: 0.01,
    }
}

fn in_use(shelf: &Shelf) -> Option<u32> {
    shelf.current().unwrap().map(|card| card.version)
}

#[test]
fn versions_are_used_when_better_and_one_command_goes_back() {
    let person = tempfile::tempdir().unwrap();
    let shelf = Shelf::of(person.path());
    assert_eq!(shelf.versions().unwrap(), Vec::<u32>::new());
    assert_eq!(in_use(&shelf), None);
    let adapter = adapter();
    let first = shelf.put(&adapter, card(&[1, 2], true)).unwrap();
    assert_eq!((first.version, first.parent), (1, None));
    // On the shelf, and not in use.
    assert_eq!(in_use(&shelf), None);
    shelf.use_version(Some(1), false).unwrap();
    let second = shelf.put(&adapter, card(&[1, 2, 3], true)).unwrap();
    assert_eq!((second.version, second.parent), (2, Some(1)));
    shelf.use_version(Some(2), false).unwrap();
    let worse = shelf.put(&adapter, card(&[4], false)).unwrap();
    let refused = shelf.use_version(Some(worse.version), false);
    assert!(matches!(refused, Err(ShelfError::NotBetter { version: 3 })));
    assert_eq!(in_use(&shelf), Some(2));
    assert_eq!(shelf.roll_back().unwrap(), Some(1));
    assert_eq!(shelf.roll_back().unwrap(), None);
    assert_eq!(in_use(&shelf), None);
    assert_eq!(shelf.versions().unwrap(), [1, 2, 3]);
    let said = shelf.use_version(Some(9), false).unwrap_err().to_string();
    assert!(said.contains("there are 1, 2, 3"), "{said}");
    // What was put there is what peft wrote.
    let config = Model::verify(golden().join("llama")).unwrap().config;
    let read = Adapter::load(shelf.folder(2), &config).unwrap();
    assert_eq!(read.shape(), adapter.shape());
}

#[test]
fn what_had_seen_a_forgotten_choice_is_gone_and_the_best_that_is_left_is_used() {
    let person = tempfile::tempdir().unwrap();
    let shelf = Shelf::of(person.path());
    let adapter = adapter();
    for (forks, is_better) in [
        (&[1_u64, 2][..], true),
        (&[2, 3], false),
        (&[1, 2, 5], true),
        (&[1, 5], true),
    ] {
        shelf.put(&adapter, card(forks, is_better)).unwrap();
    }
    shelf.use_version(Some(4), false).unwrap();
    let of =
        |forgotten: u64| move |taught: &TaughtBy| taught.session == "s" && taught.fork == forgotten;
    let nothing = shelf.retire(of(77)).unwrap();
    assert_eq!(nothing.versions, Vec::<u32>::new());
    assert_eq!(nothing.in_use, Some(4));
    let retired = shelf.retire(of(5)).unwrap();
    assert_eq!(retired.versions, [3, 4]);
    assert_eq!((retired.was_in_use, retired.in_use), (true, Some(1)));
    assert_eq!(shelf.versions().unwrap(), [1, 2]);
    assert!(!shelf.folder(4).exists());
    // Nobody knows what an adapter without a readable card has seen.
    std::fs::write(shelf.folder(1).join("card.json"), "{").unwrap();
    let retired = shelf.retire(of(77)).unwrap();
    assert_eq!((retired.versions, retired.in_use), (vec![1], None));
    assert_eq!(shelf.versions().unwrap(), [2]);
    // A new one never takes a number that was deleted while a later one stands.
    assert_eq!(shelf.put(&adapter, card(&[9], true)).unwrap().version, 3);
}

#[test]
fn what_a_crash_left_is_no_version_and_a_full_disk_leaves_the_last_good_one() {
    let person = tempfile::tempdir().unwrap();
    let shelf = Shelf::of(person.path());
    let adapter = adapter();
    shelf.put(&adapter, card(&[1], true)).unwrap();
    shelf.use_version(Some(1), false).unwrap();
    std::fs::create_dir(person.path().join("adapters/.0002.new")).unwrap();
    std::fs::write(person.path().join("adapters/.0002.new/card.json"), "half").unwrap();
    assert_eq!(shelf.versions().unwrap(), [1]);
    assert_eq!(shelf.put(&adapter, card(&[2], true)).unwrap().version, 2);
    // A file where the folder of the next version would be made: it cannot be written.
    std::fs::write(person.path().join("adapters/.0003.new"), "in the way").unwrap();
    assert!(matches!(
        shelf.put(&adapter, card(&[3], true)),
        Err(ShelfError::Io { .. })
    ));
    assert_eq!(shelf.versions().unwrap(), [1, 2]);
    assert_eq!(in_use(&shelf), Some(1));
    std::fs::write(person.path().join("adapters/current"), "one").unwrap();
    let said = shelf.current().unwrap_err().to_string();
    assert!(said.contains("no number of a version"), "{said}");
}

#[test]
fn a_card_of_a_later_program_is_refused() {
    let person = tempfile::tempdir().unwrap();
    let shelf = Shelf::of(person.path());
    let put = shelf.put(&adapter(), card(&[1], true)).unwrap();
    let later = Card {
        format_version: Card::FORMAT + 1,
        ..put
    };
    let text = serde_json::to_string(&later).unwrap();
    std::fs::write(shelf.folder(1).join("card.json"), text).unwrap();
    let said = shelf.card(1).unwrap_err().to_string();
    assert!(said.contains("use a newer Razvilka"), "{said}");
}
