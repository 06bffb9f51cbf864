//! The ledger: exact, chained, and honest about damage.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]

mod session_common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use razvilka::choice::{Decision, Why};
use razvilka::fork::{Chooser, ForkId};
use razvilka::gate::{AbortReason, Contraction, Evidence, GateInput, Look, Verdict};
use razvilka::person::PersonState;
use razvilka::session::{
    ChoiceRow, EventKind, EventRow, EvidenceRow, ForkRow, Ledger, LedgerError, LedgerWriter,
    Replayed, SCHEMA_VERSION, StateRow, replay_forks,
};
use razvilka_dsp::units::{LslTime, MonoTime};
use rusqlite::Connection;
use rusqlite::types::Value;
use session_common::{
    LEASE, at, fork_row, ledger_of, opened_gate, option_rows, session_row, write_fork,
};
use sha2::{Digest, Sha256};

struct Place {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

fn place() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.sqlite");
    Place {
        _folder: folder,
        path,
    }
}

/// A finished ledger of three forks, then changed behind the program's back.
fn altered(sql: &str) -> Result<(), LedgerError> {
    let place = place();
    let (writer, _) = ledger_of(&place.path, 3);
    writer.finish().unwrap();
    let connection = Connection::open(&place.path).unwrap();
    connection.execute_batch(sql).unwrap();
    connection.close().unwrap();
    Ledger::open_read_only(&place.path)?.verify().map(|_| ())
}

#[test]
fn every_row_comes_back_as_it_went_in() {
    let place = place();
    let (mut writer, written) = ledger_of(&place.path, 3);
    let event = EventRow {
        kind: EventKind::Clock,
        fork: Some(ForkId(2)),
        at: at(1.0 / 3.0),
        mono: MonoTime::from_nanos(u64::MAX >> 1),
        detail: "часы eye tracker jumped by 12.3 s".to_owned(),
    };
    writer.event(&event).unwrap();
    let head = writer.finish().unwrap();

    let ledger = Ledger::open_read_only(&place.path).unwrap();
    assert_eq!(ledger.session().unwrap(), session_row());
    assert_eq!(ledger.events().unwrap(), [event]);
    assert_eq!(ledger.forks().unwrap().len(), 3);
    for written in &written {
        let fork = written.fork.fork;
        assert!(ledger.forks().unwrap().contains(&written.fork));
        assert_eq!(ledger.options_of(fork).unwrap(), written.options);
        assert_eq!(ledger.evidence_of(fork).unwrap(), written.evidence);
        assert_eq!(
            ledger.choice_of(fork).unwrap().as_ref(),
            Some(&written.choice)
        );
    }
    assert_eq!(ledger.verify().unwrap(), head);
}

#[test]
fn a_ledger_fed_to_the_gate_again_gives_the_same_decisions_to_the_bit() {
    let place = place();
    let (mut writer, written) = ledger_of(&place.path, 3);
    let gate = opened_gate(ForkId(3));
    writer
        .fork(&fork_row(&gate), &option_rows(ForkId(3)))
        .unwrap();
    writer.finish().unwrap();
    let ledger = Ledger::open_read_only(&place.path).unwrap();
    let replayed = replay_forks(&ledger).unwrap();
    assert_eq!(replayed.len(), 4);
    for (again, written) in replayed.iter().zip(&written) {
        assert!(again.agrees(), "{again:?}");
        assert_eq!(again.recorded.as_ref(), Some(&written.choice));
        assert!(matches!(
            again.verdict,
            Verdict::Committed { option: 1, .. }
        ));
    }
    assert!(replayed[3].agrees(), "opened, and open still");

    // One input changed by a billionth: the replay sees it, even if nobody checks the chain.
    let connection = Connection::open(&place.path).unwrap();
    connection
        .execute(
            "UPDATE evidence SET log_lik_nats = '[0.0,0.400000001]' WHERE fork = 1 AND step = 1",
            [],
        )
        .unwrap();
    connection.close().unwrap();
    let ledger = Ledger::open_read_only(&place.path).unwrap();
    let agrees: Vec<bool> = replay_forks(&ledger)
        .unwrap()
        .iter()
        .map(Replayed::agrees)
        .collect();
    assert_eq!(agrees, [true, false, true, true]);
}

#[test]
fn hostile_numbers_come_back_too() {
    let place = place();
    let mut writer = LedgerWriter::create(&place.path, &session_row()).unwrap();
    let gate = opened_gate(ForkId(0));
    let mut fork = fork_row(&gate);
    fork.tokens_written = u64::MAX;
    fork.opened_at = at(-0.0);
    let mut options = option_rows(ForkId(0));
    options[3].log_prob_nats = f64::NAN;
    options[2].log_prob_nats = f64::NEG_INFINITY;
    writer.fork(&fork, &options).unwrap();
    let mut values = [5e-324; 8];
    values[0] = f64::NAN;
    values[1] = f64::INFINITY;
    values[2] = -0.0;
    let inputs = [
        GateInput::Evidence {
            evidence: Evidence::gaze(ForkId(9), LEASE, u64::MAX, at(1e12), values),
            now: at(0.1 + 0.2),
        },
        GateInput::Tick { now: at(5e-324) },
        GateInput::Abort {
            reason: AbortReason::SourceLost,
            now: at(2.0),
        },
    ];
    for (step, input) in inputs.into_iter().enumerate() {
        let row = EvidenceRow {
            fork: ForkId(0),
            step: step as u64,
            input,
            item: Some(-1),
            flash_seq: None,
            raw_score: Some(f64::MAX),
            onset_sample: Some(u64::MAX),
        };
        writer.evidence(&row).unwrap();
    }
    let head = writer.finish().unwrap();
    let ledger = Ledger::open_read_only(&place.path).unwrap();
    assert_eq!(
        ledger.verify().unwrap(),
        head,
        "NaN and -0 must not break the chain"
    );
    let back = ledger.options_of(ForkId(0)).unwrap();
    assert!(back[3].log_prob_nats.is_nan());
    assert_eq!(back[2], options[2]);
    assert_eq!(ledger.forks().unwrap()[0], fork);
    let evidence = ledger.evidence_of(ForkId(0)).unwrap();
    let GateInput::Evidence {
        evidence: item,
        now,
    } = evidence[0].input
    else {
        panic!("the first input was evidence");
    };
    assert_eq!(now.get().to_bits(), (0.1 + 0.2f64).to_bits());
    assert_eq!(item.fork, ForkId(9));
    assert!(item.log_lik_nats[0].is_nan());
    let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&item.log_lik_nats[1..]), bits(&values[1..]));
    assert_eq!(evidence[1].input, inputs[1]);
    assert_eq!(evidence[2].input, inputs[2]);
    assert_eq!(evidence[2].onset_sample, Some(u64::MAX));
}

#[test]
fn an_altered_value_is_named_by_its_row() {
    let changes = [
        ("UPDATE fork SET context = 'another' WHERE fork = 1", "fork"),
        (
            "UPDATE choice SET chooser = 'model' WHERE fork = 1",
            "choice",
        ),
        (
            "UPDATE evidence SET at_s = at_s + 1e-9 WHERE fork = 1 AND step = 2",
            "evidence",
        ),
        (
            "UPDATE option SET prior = NULL WHERE fork = 1 AND item = 0",
            "option",
        ),
        ("UPDATE session SET seed = 1", "session"),
        (
            "UPDATE choice SET hash = zeroblob(32) WHERE fork = 1",
            "choice",
        ),
        (
            "UPDATE choice SET prev_hash = zeroblob(32) WHERE fork = 1",
            "choice",
        ),
    ];
    for (sql, expected) in changes {
        match altered(sql) {
            Err(LedgerError::Tampered { table, .. }) => assert_eq!(table, expected, "{sql}"),
            other => panic!("{sql}: {other:?}"),
        }
    }
    assert!(altered("").is_ok());
}

#[test]
fn a_row_taken_out_put_in_or_moved_is_found() {
    for sql in [
        "DELETE FROM evidence WHERE fork = 1 AND step = 0",
        "DELETE FROM session",
        "INSERT INTO event SELECT n, 'pause', NULL, 1.0, 1, '', prev_hash, hash FROM choice WHERE fork = 1",
        "INSERT INTO event SELECT 100000, 'pause', NULL, 1.0, 1, '', prev_hash, hash FROM choice WHERE fork = 1",
        "UPDATE evidence SET n = -n; UPDATE evidence SET n = CASE n WHEN -7 THEN 8 WHEN -8 THEN 7 ELSE -n END",
    ] {
        let outcome = altered(sql);
        assert!(
            matches!(outcome, Err(LedgerError::Tampered { .. })),
            "{sql}: {outcome:?}"
        );
    }
}

#[test]
fn rows_cut_off_at_the_end_show_against_the_head_in_the_manifest() {
    let place = place();
    let (writer, _) = ledger_of(&place.path, 2);
    let head = writer.finish().unwrap();
    let connection = Connection::open(&place.path).unwrap();
    connection
        .execute("DELETE FROM choice WHERE fork = 1", [])
        .unwrap();
    connection.close().unwrap();
    let shorter = Ledger::open_read_only(&place.path)
        .unwrap()
        .verify()
        .unwrap();
    assert_ne!(shorter, head);
    assert_eq!(shorter.rows, head.rows - 1);
}

#[test]
fn acknowledged_rows_are_there_for_others_while_the_writer_lives_and_after_it_vanishes() {
    let place = place();
    let (mut writer, written) = ledger_of(&place.path, 1);
    let live = Ledger::open_read_only(&place.path).unwrap();
    assert_eq!(live.choices().unwrap(), [written[0].choice.clone()]);
    write_fork(&mut writer, 1);
    assert_eq!(live.choices().unwrap().len(), 2);
    // Gone without a word: no checkpoint, no close.
    std::mem::forget(writer);
    drop(live);
    let after = Ledger::open_read_only(&place.path).unwrap();
    assert_eq!(after.choices().unwrap().len(), 2);
    after.verify().unwrap();
}

#[test]
fn a_refused_row_costs_nothing_but_itself() {
    let place = place();
    let (mut writer, _) = ledger_of(&place.path, 1);
    let gate = opened_gate(ForkId(1));
    writer
        .fork(&fork_row(&gate), &option_rows(ForkId(1)))
        .unwrap();
    let row = |step| EvidenceRow {
        fork: ForkId(1),
        step,
        input: GateInput::Tick { now: at(200.0) },
        item: None,
        flash_seq: None,
        raw_score: None,
        onset_sample: None,
    };
    writer.evidence(&row(0)).unwrap();
    let refused = writer.evidence(&row(0)).unwrap_err();
    assert!(matches!(refused, LedgerError::Write { .. }), "{refused}");
    // A fork's number is used once; its options do not stay behind when it is refused.
    assert!(
        writer
            .fork(&fork_row(&gate), &option_rows(ForkId(1)))
            .is_err()
    );
    writer.evidence(&row(1)).unwrap();
    // A call that fails at its last row takes the first ones back, but not the evidence that waits.
    let next = opened_gate(ForkId(2));
    let mut twice = option_rows(ForkId(2));
    twice[3].tile.item = 0;
    assert!(writer.fork(&fork_row(&next), &twice).is_err());
    writer
        .fork(&fork_row(&next), &option_rows(ForkId(2)))
        .unwrap();
    let head = writer.finish().unwrap();
    let ledger = Ledger::open_read_only(&place.path).unwrap();
    assert_eq!(ledger.verify().unwrap(), head);
    assert_eq!(ledger.evidence_of(ForkId(1)).unwrap().len(), 2);
    assert_eq!(ledger.options_of(ForkId(1)).unwrap().len(), 4);
}

#[test]
fn what_is_no_ledger_of_ours_is_refused_in_one_sentence() {
    let place = place();
    let open = || Ledger::open_read_only(&place.path).map(|_| ()).unwrap_err();
    assert!(matches!(open(), LedgerError::Missing { .. }));

    std::fs::write(&place.path, "a letter, not a database").unwrap();
    assert!(matches!(open(), LedgerError::Foreign { .. }));

    std::fs::remove_file(&place.path).unwrap();
    let other = Connection::open(&place.path).unwrap();
    other.execute_batch("CREATE TABLE photos (name)").unwrap();
    other.close().unwrap();
    assert!(matches!(open(), LedgerError::Foreign { .. }));
    assert!(open().to_string().contains("not a ledger of Razvilka"));
    let taken = LedgerWriter::create(&place.path, &session_row()).map(|_| ());
    assert!(matches!(taken, Err(LedgerError::Exists { .. })));
}

#[test]
fn a_later_version_and_a_damaged_file_are_told_apart() {
    let place = place();
    let (writer, _) = ledger_of(&place.path, 20);
    writer.finish().unwrap();
    let connection = Connection::open(&place.path).unwrap();
    connection
        .pragma_update(None, "user_version", SCHEMA_VERSION + 1)
        .unwrap();
    connection.close().unwrap();
    let outcome = Ledger::open_read_only(&place.path).map(|_| ());
    assert!(
        matches!(outcome, Err(LedgerError::TooNew { found, known, .. })
        if found == i64::from(known) + 1)
    );

    let connection = Connection::open(&place.path).unwrap();
    connection
        .pragma_update(None, "user_version", SCHEMA_VERSION)
        .unwrap();
    connection.close().unwrap();
    let mut bytes = std::fs::read(&place.path).unwrap();
    let half = bytes.len() / 2;
    bytes[4096..half].fill(0x5a);
    std::fs::write(&place.path, bytes).unwrap();
    let outcome = Ledger::open_read_only(&place.path).and_then(|ledger| ledger.verify());
    assert!(
        matches!(outcome, Err(LedgerError::Corrupt { .. })),
        "{outcome:?}"
    );
}

#[test]
fn the_file_is_private_and_in_wal_mode() {
    use std::os::unix::fs::PermissionsExt;
    let place = place();
    let (writer, _) = ledger_of(&place.path, 1);
    for suffix in ["", "-wal", "-shm"] {
        let path = format!("{}{suffix}", place.path.display());
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{path}");
    }
    writer.finish().unwrap();
    let mode: String = Connection::open(&place.path)
        .unwrap()
        .pragma_query_value(None, "journal_mode", |row| row.get(0))
        .unwrap();
    assert_eq!(mode, "wal");
}

#[test]
fn the_view_shows_one_row_per_fork() {
    let place = place();
    let (mut writer, written) = ledger_of(&place.path, 2);
    let gate = opened_gate(ForkId(2));
    writer
        .fork(&fork_row(&gate), &option_rows(ForkId(2)))
        .unwrap();
    writer.finish().unwrap();
    let connection = Connection::open(&place.path).unwrap();
    type Shown = (i64, Option<String>, Option<String>, Option<f64>);
    let rows: Vec<Shown> = connection
        .prepare("SELECT fork, chooser, option_text, decision_s FROM decision")
        .unwrap()
        .query_map([], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(rows.len(), 3);
    let text = &written[0].options[1].tile.text;
    assert_eq!(rows[0].1.as_deref(), Some("human"));
    assert_eq!(rows[0].2.as_ref(), Some(text));
    assert_eq!(rows[0].3, Some(2.0));
    assert_eq!(rows[2], (2, None, None, None), "opened and never ended");
}

#[test]
fn a_ledger_on_a_medium_that_cannot_be_written_is_read_all_the_same() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("a % session?");
    std::fs::create_dir(&inner).unwrap();
    let path = inner.join("ledger.sqlite");
    let (writer, _) = ledger_of(&path, 1);
    let head = writer.finish().unwrap();
    let set = |mode| std::fs::set_permissions(&inner, std::fs::Permissions::from_mode(mode));
    set(0o500).unwrap();
    let outcome = Ledger::open_read_only(&path).and_then(|ledger| ledger.verify());
    set(0o700).unwrap();
    assert_eq!(outcome.unwrap(), head);
}

#[test]
fn a_state_of_the_person_comes_back_as_it_went_in_and_belongs_to_the_chain() {
    let place = place();
    let (mut writer, _) = ledger_of(&place.path, 2);
    let values = std::array::from_fn(|n| (n % 5 != 3).then_some(0.1 * n as f64));
    let row = |fork, state| StateRow {
        fork: ForkId(fork),
        at: LslTime::new(12.5).unwrap(),
        mono: MonoTime::from_nanos(12_500_000_000),
        time_on_task_s: 3.25,
        state,
    };
    let known = row(0, PersonState::of_values(&values));
    // Nothing is known: the time on task stands alone.
    let unknown = row(1, PersonState::default());
    writer.state(&known).unwrap();
    writer.state(&unknown).unwrap();
    assert!(writer.state(&known).is_err(), "a fork has one");
    let head = writer.finish().unwrap();
    let ledger = Ledger::open_read_only(&place.path).unwrap();
    assert_eq!(ledger.states().unwrap(), [known, unknown]);
    assert_eq!(ledger.verify().unwrap(), head);
    let connection = Connection::open(&place.path).unwrap();
    connection
        .execute("UPDATE state SET time_on_task_s = 4.0 WHERE fork = 1", [])
        .unwrap();
    assert!(matches!(
        ledger.verify(),
        Err(LedgerError::Tampered { table, .. }) if table == "state"
    ));
}

/// Columns of the inputs that version 4 brought.
const OF_VERSION_4: [&str; 5] = ["onset_s", "last_s", "llr_nats", "look", "look_over"];

/// Takes a ledger back to what an older version would have written: `sql`, without what later versions brought, and chained anew as the
/// format says. The hash of the last row.
fn taken_back(path: &Path, version: u32, sql: &str) -> String {
    let connection = Connection::open(path).unwrap();
    connection.execute_batch(sql).unwrap();
    connection
        .pragma_update(None, "user_version", version)
        .unwrap();
    let mut dropped = Vec::new();
    if version < 5 {
        dropped.push(("option", "attention"));
    }
    if version < 4 {
        dropped.extend(OF_VERSION_4.map(|column| ("evidence", column)));
    }
    for (table, column) in dropped {
        let sql = format!("ALTER TABLE {table} DROP COLUMN {column};");
        connection.execute_batch(&sql).unwrap();
    }
    let tables = "SELECT name FROM sqlite_master WHERE type = 'table'";
    let mut statement = connection.prepare(tables).unwrap();
    let names = statement.query_map([], |row| row.get::<_, String>(0));
    let mut rows: BTreeMap<i64, (String, Vec<(String, Value)>)> = BTreeMap::new();
    for table in names.unwrap().map(Result::unwrap) {
        let mut all = connection
            .prepare(&format!("SELECT * FROM {table}"))
            .unwrap();
        let names: Vec<String> = all.column_names().map(Into::into).collect();
        let mut found = all.query([]).unwrap();
        while let Some(row) = found.next().unwrap() {
            let own = names.iter().enumerate();
            let own = own.filter(|(_, name)| !["n", "prev_hash", "hash"].contains(&name.as_str()));
            let values = own.map(|(place, name)| (name.clone(), row.get(place).unwrap()));
            let values = values.collect();
            rows.insert(row.get("n").unwrap(), (table.clone(), values));
        }
    }
    let mut hash = vec![0_u8; 32];
    for (n, (table, values)) in rows {
        let mut bytes = b"razvilka ledger 1".to_vec();
        bytes.extend(&hash);
        bytes.extend(n.to_be_bytes());
        let feed = |with: &mut Vec<u8>, of: &[u8]| {
            with.extend((of.len() as u64).to_be_bytes());
            with.extend(of);
        };
        feed(&mut bytes, table.as_bytes());
        for (column, value) in values {
            feed(&mut bytes, column.as_bytes());
            match value {
                Value::Null => bytes.push(0),
                Value::Integer(number) => {
                    bytes.push(1);
                    bytes.extend(number.to_be_bytes());
                }
                Value::Real(number) => {
                    bytes.push(2);
                    bytes.extend(number.to_bits().to_be_bytes());
                }
                Value::Text(text) => {
                    bytes.push(3);
                    feed(&mut bytes, text.as_bytes());
                }
                Value::Blob(_) => panic!("no column holds bytes"),
            }
        }
        let next = Sha256::digest(&bytes).to_vec();
        let sql = format!("UPDATE {table} SET prev_hash = ?, hash = ? WHERE n = ?");
        connection.execute(&sql, (&hash, &next, n)).unwrap();
        hash = next;
    }
    drop(statement);
    connection.close().unwrap();
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_ledger_from_before_there_were_looks_and_contractions_is_read_and_its_chain_holds() {
    let place = place();
    let (writer, written) = ledger_of(&place.path, 3);
    let head = writer.finish().unwrap();
    let sql = "UPDATE fork SET gate = json_remove(gate, '$.contraction');";
    let hash = taken_back(&place.path, 3, sql);
    assert_ne!(hash, head.hash);
    let ledger = Ledger::open_read_only(&place.path).unwrap();
    let verified = ledger.verify().unwrap();
    assert_eq!((verified.rows, verified.hash), (head.rows, hash));
    for written in &written {
        let evidence = ledger.evidence_of(written.fork.fork).unwrap();
        assert_eq!(evidence, written.evidence);
    }
    let replayed = replay_forks(&ledger).unwrap();
    assert!(replayed.iter().all(Replayed::agrees));
    // Written again in today's form, its rows are those that it was made from.
    assert!(ledger.is_older());
    let today = Ledger::head_today(&ledger.entries().unwrap()).unwrap();
    assert_eq!(today, head);
}

#[test]
fn a_ledger_from_before_the_imitator_is_read_and_its_protocol_leaves_nothing_to_it() {
    let place = place();
    let (writer, written) = ledger_of(&place.path, 3);
    let head = writer.finish().unwrap();
    let sql = "UPDATE session SET protocol = json_remove(protocol, '$.imitate');";
    let hash = taken_back(&place.path, 4, sql);
    let ledger = Ledger::open_read_only(&place.path).unwrap();
    let verified = ledger.verify().unwrap();
    assert_eq!((verified.rows, verified.hash), (head.rows, hash));
    let protocol = ledger.session().unwrap().protocol;
    assert!(!protocol.config().imitate.config().on);
    for written in &written {
        let options = ledger.options_of(written.fork.fork).unwrap();
        assert_eq!(options, written.options);
    }
    let today = Ledger::head_today(&ledger.entries().unwrap()).unwrap();
    assert_eq!(today, head);
}

#[test]
fn a_ledger_from_before_the_guard_is_read_as_it_was_written() {
    let place = place();
    let (writer, written) = ledger_of(&place.path, 2);
    let head = writer.finish().unwrap();
    // The tables are the same: only the version is older.
    let hash = taken_back(&place.path, 5, "");
    let ledger = Ledger::open_read_only(&place.path).unwrap();
    assert!(ledger.is_older());
    assert_eq!(
        (ledger.verify().unwrap(), &hash),
        (head.clone(), &head.hash)
    );
    let entries = ledger.entries().unwrap();
    assert_eq!(Ledger::head_today(&entries).unwrap(), head);
    assert_eq!(ledger.forks().unwrap().len(), written.len());
}

#[test]
fn what_the_imitator_took_comes_back_as_it_went_in_with_what_the_memory_preferred() {
    let place = place();
    let (mut writer, written) = ledger_of(&place.path, 1);
    let fork = ForkRow {
        fork: ForkId(1),
        decision: Decision::Imitate {
            branch: 1,
            probability: 0.1 + 0.2,
            audit_rate: 1.0 / 3.0,
        },
        prior_capped: None,
        ..written[0].fork.clone()
    };
    let mut options = option_rows(ForkId(1));
    options[1].attention = Some(f64::from(-0.1_f32));
    writer.fork(&fork, &options).unwrap();
    let choice = ChoiceRow {
        fork: ForkId(1),
        outcome: None,
        item: Some(1),
        chooser: Some(Chooser::Imitator),
        why: Why::Imitated {
            probability: 0.1 + 0.2,
            audit_rate: 1.0 / 3.0,
        },
        posterior: None,
        arms: None,
        ..written[0].choice.clone()
    };
    writer.choice(&choice).unwrap();
    let head = writer.finish().unwrap();
    let ledger = Ledger::open_read_only(&place.path).unwrap();
    assert_eq!(ledger.verify().unwrap(), head);
    assert_eq!(ledger.forks().unwrap()[1], fork);
    assert!(!ledger.forks().unwrap()[1].is_asked());
    assert_eq!(ledger.options_of(ForkId(1)).unwrap(), options);
    assert_eq!(ledger.choice_of(ForkId(1)).unwrap(), Some(choice));
}

#[test]
fn looks_and_contractions_come_back_as_they_went_in() {
    let place = place();
    let (mut writer, _) = ledger_of(&place.path, 1);
    let look = Look {
        fork: ForkId(0),
        lease: LEASE,
        seq: 7,
        at: at(1.5),
        look: u64::MAX,
        item: Some(2),
        onset: at(1.0 / 3.0),
        last: at(1.25),
        over: true,
    };
    let contraction = Contraction {
        fork: ForkId(0),
        lease: LEASE,
        seq: 0,
        onset: at(0.1 + 0.2),
        at: at(1.5),
        llr_nats: 5e-324,
    };
    let broken = Contraction {
        llr_nats: f64::NAN,
        ..contraction
    };
    let now = at(2.0);
    let row = |step, input, item| EvidenceRow {
        fork: ForkId(0),
        step,
        input,
        item,
        flash_seq: None,
        raw_score: Some(2.5),
        onset_sample: Some(9),
    };
    let aside = Look {
        item: None,
        over: false,
        ..look
    };
    let rows = [
        row(100, GateInput::Look { look, now }, Some(2)),
        row(101, GateInput::Look { look: aside, now }, None),
        row(102, GateInput::Contraction { contraction, now }, None),
        row(
            103,
            GateInput::Contraction {
                contraction: broken,
                now,
            },
            None,
        ),
    ];
    for row in &rows {
        writer.evidence(row).unwrap();
    }
    let head = writer.finish().unwrap();
    let ledger = Ledger::open_read_only(&place.path).unwrap();
    assert_eq!(ledger.verify().unwrap(), head);
    assert!(!ledger.is_older());
    let today = Ledger::head_today(&ledger.entries().unwrap()).unwrap();
    assert_eq!(today, head);
    let read = ledger.evidence_of(ForkId(0)).unwrap();
    let read = &read[read.len() - 4..];
    assert_eq!(read[..3], rows[..3]);
    let GateInput::Contraction { contraction, .. } = read[3].input else {
        panic!("the last input was a contraction");
    };
    assert!(contraction.llr_nats.is_nan());
}

#[test]
fn a_ledger_from_before_there_were_states_is_read_and_its_chain_holds() {
    let place = place();
    let (writer, _) = ledger_of(&place.path, 3);
    let head = writer.finish().unwrap();
    let hash = taken_back(&place.path, 1, "DROP TABLE state;");
    let ledger = Ledger::open_read_only(&place.path).unwrap();
    let verified = ledger.verify().unwrap();
    assert_eq!((verified.rows, verified.hash), (head.rows, hash));
    assert_eq!(ledger.states().unwrap(), []);
    assert_eq!(ledger.forks().unwrap().len(), 3);
    assert!(!ledger.entries().unwrap().is_empty());
}

#[test]
fn a_ledger_from_before_the_eyes_were_watched_is_read() {
    let place = place();
    let (mut writer, _) = ledger_of(&place.path, 3);
    let values = std::array::from_fn(|n| Some(0.5 * n as f64));
    let state = PersonState::of_values(&values);
    let row = StateRow {
        fork: ForkId(0),
        at: LslTime::new(12.5).unwrap(),
        mono: MonoTime::from_nanos(12_500_000_000),
        time_on_task_s: 3.25,
        state,
    };
    writer.state(&row).unwrap();
    writer.finish().unwrap();
    let connection = Connection::open(&place.path).unwrap();
    for column in ["eyes_baseline_share", "blinks_per_min", "rms_s2s_deg"] {
        let sql = format!("ALTER TABLE state DROP COLUMN {column};");
        connection.execute_batch(&sql).unwrap();
    }
    connection.close().unwrap();
    taken_back(&place.path, 2, "");
    let states = Ledger::open_read_only(&place.path)
        .unwrap()
        .states()
        .unwrap();
    let without = PersonState {
        eyes: razvilka_dsp::eye_state::EyeIndices::default(),
        ..state
    };
    assert_eq!(states[0].state, without);
}
