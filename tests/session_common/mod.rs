//! A session's rows made by hand, shared by the tests of the session room.

#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]

use std::collections::BTreeMap;
use std::path::Path;

use razvilka::choice::{AskReason, Decision, Why};
use razvilka::fork::{Chooser, ForkId, ForkOrigin};
use razvilka::gate::{Evidence, Gate, GateInput, GateSettings, Lease, Verdict};
use razvilka::marker::{OptionKind, OptionTile, Outcome};
use razvilka::session::{ChoiceRow, EvidenceRow, ForkRow, LedgerWriter, OptionRow, SessionRow};
use razvilka::source::ClockOffset;
use razvilka_dsp::units::{LslTime, MonoTime};

pub(crate) const KINDS: [OptionKind; 4] = [
    OptionKind::Branch,
    OptionKind::Branch,
    OptionKind::Other,
    OptionKind::GoOn,
];
/// As given to the gate.
pub(crate) const PRIORS: [f64; 4] = [0.6, 0.3, 0.0, 0.0];
pub(crate) const LEASE: Lease = Lease { epoch: 2 };

pub(crate) fn at(seconds: f64) -> LslTime {
    LslTime::new(seconds).unwrap()
}

pub(crate) fn session_row() -> SessionRow {
    SessionRow {
        session: "20261123T160720Z-1a2b3c4d".to_owned(),
        started_utc: "2026-11-23T16:07:20.123Z".to_owned(),
        razvilka_version: "0.1.0".to_owned(),
        seed: u64::MAX - 1,
        config_sha256: "00".repeat(32),
        flash: razvilka::choice::FlashSettings::default(),
        protocol: razvilka::choice::ProtocolSettings::default(),
    }
}

pub(crate) fn opened_gate(fork: ForkId) -> Gate {
    let mut gate = Gate::new(GateSettings::default());
    gate.open(fork, &KINDS, &PRIORS, at(100.0 + fork.0 as f64), LEASE)
        .unwrap();
    gate
}

pub(crate) fn fork_row(gate: &Gate) -> ForkRow {
    let fork = gate.fork().unwrap();
    ForkRow {
        fork,
        position_tokens: 10 + fork.0,
        tokens_written: 12 + 5 * fork.0,
        context: "…и тогда the fox ".to_owned(),
        origin: ForkOrigin::Detected,
        attempt: 0,
        decision: Decision::Ask(AskReason::Decisive),
        opened_at: gate.opened_at(),
        opened_mono: MonoTime::from_nanos(1_000_000_007 * (fork.0 + 1)),
        lease: LEASE,
        gate: *gate.settings(),
        prior_capped: Some(*gate.prior()),
        eeg_clock: Some(ClockOffset {
            at_s: 99.123_456_789,
            offset_s: -0.001_234_567_890_123,
        }),
        gaze_clock: None,
        model_sha256: "ab".repeat(32),
        adapter: None,
    }
}

pub(crate) fn option_rows(fork: ForkId) -> Vec<OptionRow> {
    KINDS
        .iter()
        .enumerate()
        .map(|(item, &kind)| OptionRow {
            fork,
            tile: OptionTile {
                item: item as i32,
                kind,
                text: format!("вариант {item}"),
                x_deg: -3.0 + item as f64 / 3.0,
                y_deg: 0.1,
                w_deg: 5.0,
                h_deg: 2.0,
            },
            tokens: vec![1, 2, item as u32],
            prior: PRIORS[item],
            log_prob_nats: -1.0 / 3.0,
            attention: None,
        })
        .collect()
}

/// Flash after flash for item 1 and gaze between them, until the gate commits.
pub(crate) fn evidence_rows(gate: &mut Gate) -> Vec<EvidenceRow> {
    let fork = gate.fork().unwrap();
    let mut rows = Vec::new();
    for step in 0..1000u64 {
        let now = at(gate.opened_at().get() + 0.1 * (step + 1) as f64);
        let evidence = if step % 3 == 2 {
            let mut values = [0.0; 8];
            values[1] = 0.05 * step as f64;
            values[2] = -1.0 / 3.0;
            Evidence::gaze(fork, LEASE, step, now, values)
        } else {
            Evidence::flash(
                fork,
                LEASE,
                step,
                now,
                (step % 2) as usize,
                0.4 * (step % 2) as f64,
            )
        };
        let input = GateInput::Evidence { evidence, now };
        rows.push(EvidenceRow {
            fork,
            step,
            input,
            item: Some((step % 2) as i32),
            flash_seq: Some(1000 + step),
            raw_score: Some(0.1 * step as f64),
            onset_sample: Some(250 * step),
        });
        if gate.apply(&input).is_terminal() {
            break;
        }
    }
    rows
}

pub(crate) fn choice_row(gate: &Gate) -> ChoiceRow {
    let fork = gate.fork().unwrap();
    let Verdict::Committed { option, .. } = gate.verdict() else {
        panic!("the evidence of these tests commits: {:?}", gate.verdict());
    };
    ChoiceRow {
        fork,
        outcome: Some(Outcome::Committed),
        item: Some(option as i32),
        kind: Some(KINDS[option]),
        chooser: Some(Chooser::Human),
        why: Why::Selected,
        text: " увидел лису".to_owned(),
        posterior: Some(*gate.posterior()),
        arms: Some(gate.arms()),
        items_gaze: gate.items(razvilka::gate::Source::Gaze),
        items_p300: gate.items(razvilka::gate::Source::P300),
        flashes: 20,
        tokens_written: 15 + 5 * fork.0,
        decided_at: at(gate.opened_at().get() + 2.0),
        decided_mono: MonoTime::from_nanos(3_000_000_000),
        committed_mono: MonoTime::from_nanos(3_000_040_000),
        latency_ns: BTreeMap::from([("scored".to_owned(), 40_000), ("text_shown".to_owned(), 9)]),
        model_sha256: "ab".repeat(32),
        adapter: Some("v3".to_owned()),
    }
}

/// What was written for one fork.
#[derive(Debug, PartialEq)]
pub(crate) struct Written {
    pub(crate) fork: ForkRow,
    pub(crate) options: Vec<OptionRow>,
    pub(crate) evidence: Vec<EvidenceRow>,
    pub(crate) choice: ChoiceRow,
}

/// Writes a whole fork.
pub(crate) fn write_fork(writer: &mut LedgerWriter, id: u64) -> Written {
    let mut gate = opened_gate(ForkId(id));
    let fork = fork_row(&gate);
    let options = option_rows(fork.fork);
    writer.fork(&fork, &options).unwrap();
    let evidence = evidence_rows(&mut gate);
    for row in &evidence {
        writer.evidence(row).unwrap();
    }
    let choice = choice_row(&gate);
    writer.choice(&choice).unwrap();
    Written {
        fork,
        options,
        evidence,
        choice,
    }
}

/// A ledger with `forks` whole forks.
pub(crate) fn ledger_of(path: &Path, forks: u64) -> (LedgerWriter, Vec<Written>) {
    let mut writer = LedgerWriter::create(path, &session_row()).unwrap();
    let written = (0..forks).map(|id| write_fork(&mut writer, id)).collect();
    (writer, written)
}
