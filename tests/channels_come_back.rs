//! Channels that fail in mid-session and come back: masked within the fork, evidence goes on, the full scorer returns, and
//! the session replays bit for bit. FAULTS 7.

#![allow(clippy::unwrap_used)] // what cannot go on here should say so at once

mod simulated_common;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use razvilka::gate::GateInput;
use razvilka::session::{Entry, EventKind, Ledger, Summary};
use simulated_common::{Simulated, assert_replays, razvilka};

/// A session of the simulated laboratory. EEG alone chooses, so that there is no other evidence to go on with.
fn session(folder: &Path, id: &str, forks: u32, faults: &[&str]) -> std::path::PathBuf {
    let config = folder.join(format!("{id}.toml"));
    let text = format!(
        "[eeg]\npins = {{ source_id = \"razvilka-sim-eeg-5\" }}\n\
         [network]\nmode = \"loopback\"\nsession_id = \"{id}\"\nresolve_s = 10.0\n\
         [session]\nforks = {forks}\nminutes_max = 6.0\n\
         [calibration]\nblocks = 6\nflashes_per_item = 4\n\
         [gate]\ntimeout_s = 6.0\n\
         [ask]\nreading_base_s = 0.2\nreading_s_per_word = 0.02\n"
    );
    fs::write(&config, text).unwrap();
    let out = folder.join(id);
    let mut more = vec!["--preset", "easy"];
    more.extend(faults.iter().flat_map(|fault| ["--fault", fault]));
    let _simulated = Simulated::start(id, &more);
    let ran = razvilka()
        .args(["run", "--config"])
        .arg(&config)
        .arg("--out")
        .arg(&out)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(0), "{said}");
    out
}

/// Numbers of the channels that were bad from each exchange on, and the pieces of P300 evidence until the next.
fn exchanges(out: &Path) -> Vec<(BTreeSet<u64>, usize)> {
    let ledger = Ledger::open_read_only(&out.join("ledger.sqlite")).unwrap();
    ledger.verify().unwrap();
    let mut found = vec![(BTreeSet::new(), 0)];
    for entry in ledger.entries().unwrap() {
        match entry {
            Entry::Event(row) if row.kind == EventKind::Exchange => {
                let detail: serde_json::Value = serde_json::from_str(&row.detail).unwrap();
                println!("{detail}");
                let bad = detail["bad_channels"].as_array().unwrap();
                found.push((bad.iter().map(|c| c.as_u64().unwrap()).collect(), 0));
            }
            Entry::Evidence(row) if row.flash_seq.is_some() => {
                found.last_mut().unwrap().1 += 1;
            }
            _ => {}
        }
    }
    found
}

/// Of each scorer that took over within a fork: from when on, and pieces of P300 evidence in the rest of that fork.
fn exchanged_within(out: &Path) -> Vec<(f64, usize)> {
    let ledger = Ledger::open_read_only(&out.join("ledger.sqlite")).unwrap();
    let mut found: Vec<(u64, f64, usize)> = Vec::new();
    for entry in ledger.entries().unwrap() {
        match entry {
            Entry::Event(row) if row.kind == EventKind::Exchange => {
                let detail: serde_json::Value = serde_json::from_str(&row.detail).unwrap();
                if let Some(from_s) = detail["from_s"].as_f64() {
                    found.push((detail["fork"].as_u64().unwrap(), from_s, 0));
                }
            }
            Entry::Evidence(row) if row.flash_seq.is_some() => {
                let GateInput::Evidence { evidence, .. } = row.input else {
                    continue;
                };
                // The simulated amplifier stamps on our clock; an epoch is 0.8 s long.
                let scored = found.iter_mut().filter(|(fork, from_s, _)| {
                    *fork == row.fork.0 && evidence.at.get() >= from_s + 0.8
                });
                scored.for_each(|(.., n)| *n += 1);
            }
            _ => {}
        }
    }
    found
        .into_iter()
        .map(|(_, from_s, n)| (from_s, n))
        .collect()
}

/// Channels of the simulated amplifier: Fz Cz P3 Pz P4 PO7 PO8 Oz.
const PZ: u64 = 3;
const OZ: u64 = 7;
const P4: u64 = 4;

#[test]
fn a_channel_that_rails_is_masked_until_it_is_back_and_the_session_replays() {
    let folder = tempfile::tempdir().unwrap();
    let out = session(folder.path(), "railed", 11, &["railed=Pz@fork2+14"]);
    let found = exchanges(&out);
    println!("{found:?}");
    let masked = found.iter().position(|(bad, _)| bad.contains(&PZ)).unwrap();
    assert!(
        found[masked].1 > 0,
        "no evidence with the channel masked: {found:?}"
    );
    // Not only the forks after it: the fork in which it fails goes on without it.
    let within = exchanged_within(&out);
    assert!(
        within.iter().any(|(_, evidence)| *evidence > 0),
        "{within:?}"
    );
    let back = found
        .iter()
        .skip(masked)
        .find(|(bad, _)| !bad.contains(&PZ));
    assert!(back.is_some_and(|(_, evidence)| *evidence > 0), "{found:?}");
    let summary = fs::read_to_string(out.join("summary.json")).unwrap();
    let summary: Summary = serde_json::from_str(&summary).unwrap();
    let signal = summary.signal.unwrap();
    let pz = signal.bad_channels.iter().find(|bad| bad.channel == "Pz");
    assert!(
        pz.is_some_and(|bad| bad.by_reason_s["railed"] >= 5 && bad.bad_s >= 5),
        "{signal:?}"
    );
    assert!(signal.flashes_rejected["bad channel"] > 0, "{signal:?}");
    let page = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(
        page.contains("<td>Pz</td>") && page.contains("railed"),
        "no table of bad channels"
    );
    assert_replays(folder.path(), &out);
}

#[test]
fn a_bridge_and_a_loose_contact_are_masked_and_come_back_and_a_burst_of_mains_masks_nothing_for_good()
 {
    let folder = tempfile::tempdir().unwrap();
    let faults = [
        "copy=Oz:PO7@fork2+14",
        "noisy=P4@fork6+14",
        "mains@fork10+2",
    ];
    let out = session(folder.path(), "bridged", 14, &faults);
    let found = exchanges(&out);
    println!("{found:?}");
    for channel in [OZ, P4] {
        let masked = found.iter().position(|(bad, _)| bad.contains(&channel));
        let after = found.iter().skip(masked.unwrap());
        assert!(
            after.clone().any(|(bad, _)| !bad.contains(&channel)),
            "{found:?}"
        );
    }
    // Half of the channels are never away, whatever happens to all of them for 2 s.
    assert!(found.iter().all(|(bad, _)| bad.len() < 4), "{found:?}");
    assert!(found.last().unwrap().0.is_empty(), "{found:?}");
    assert_replays(folder.path(), &out);
}
