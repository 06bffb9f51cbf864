//! A small session folder, written through the public doors of the ledger, with a gate that really decided.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use razvilka::choice::{AskReason, Decision, FlashSettings, ModelReason, ProtocolSettings, Why};
use razvilka::fork::{Chooser, ForkId, ForkOrigin, options_of};
use razvilka::gate::{
    AbortReason, Evidence, Gate, GateInput, GateSettings, Lease, TimeoutPolicy, Verdict,
};
use razvilka::marker::{OptionKind, OptionTile, Outcome};
use razvilka::pipeline::trace::STEPS;
use razvilka::session::{
    ChoiceRow, ConfigRecord, EventKind, EventRow, EvidenceRow, Folder, ForkRow, LedgerWriter,
    Manifest, OptionRow, SessionFile, SessionRow, StreamRecord, TextFile, Truth, sha256_hex,
};
use razvilka::source::{ClockOffset, Format, StreamSpec};
use razvilka_dsp::units::{LslTime, MonoTime};

/// How the person behaves at a fork.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Answer {
    /// Gaze and P300 point to this option.
    Look(usize),
    /// A key is pressed for this option.
    Key(usize),
    /// Nothing is said until time runs out.
    Nothing,
    /// The EEG stream is lost.
    Lost,
    /// The engine does not ask.
    NotAsked,
}

/// A session folder that grows fork by fork.
pub(crate) struct Scene {
    pub(crate) folder: Folder,
    pub(crate) manifest: Manifest,
    pub(crate) truth: Truth,
    pub(crate) text: TextFile,
    ledger: LedgerWriter,
    settings: GateSettings,
    next: u64,
    now_s: f64,
    random: u64,
    latencies: Vec<BTreeMap<String, u64>>,
    undoable: Vec<usize>,
}

fn lsl(seconds: f64) -> LslTime {
    LslTime::new(seconds).unwrap()
}

fn mono(seconds: f64) -> MonoTime {
    MonoTime::from_nanos((seconds * 1e9) as u64)
}

impl Scene {
    pub(crate) fn new(path: &Path) -> Self {
        let folder = Folder::create(path).unwrap();
        let mut manifest = Manifest::begin(
            vec![
                "razvilka".into(),
                "demo".into(),
                "--seed".into(),
                "7".into(),
            ],
            ConfigRecord::new("[keys]\npins = { source_id = \"keys\" }\n".into()),
        );
        manifest.seeds.insert("session".into(), 7);
        for (role, kind, rate_hz, labels) in [
            ("eeg", "EEG", 500.0, vec!["Fz", "Cz", "Pz", "Oz"]),
            ("gaze", "Gaze", 250.0, vec!["x", "y"]),
            ("markers", "Markers", 0.0, vec!["marker"]),
        ] {
            manifest.streams.push(StreamRecord {
                role: role.into(),
                read_as: None,
                spec: StreamSpec {
                    name: format!("Simulated <{kind}>"),
                    kind: kind.into(),
                    source_id: format!("sim-{role}"),
                    hostname: "laboratory".into(),
                    uid: String::new(),
                    rate_hz,
                    format: Format::Float32,
                    labels: labels.into_iter().map(str::to_owned).collect(),
                    units: Vec::new(),
                    xml: String::new(),
                },
            });
        }
        folder.write_manifest(&manifest).unwrap();
        let ledger = LedgerWriter::create(
            &folder.file(SessionFile::Ledger),
            &SessionRow {
                session: manifest.session.clone(),
                started_utc: manifest.started_utc.clone(),
                razvilka_version: manifest.versions.razvilka.clone(),
                seed: 7,
                config_sha256: manifest.config.sha256.clone(),
                flash: FlashSettings::default(),
                protocol: ProtocolSettings::default(),
            },
        )
        .unwrap();
        let text = folder.create_text().unwrap();
        Self {
            folder,
            manifest,
            truth: Truth::default(),
            text,
            ledger,
            settings: GateSettings::default(),
            next: 0,
            now_s: 1_000.0,
            random: 0x9e37_79b9_7f4a_7c15,
            latencies: Vec::new(),
            undoable: Vec::new(),
        }
    }

    /// Uniform in 0..1; xorshift64*, Vigna 2016.
    fn uniform(&mut self) -> f64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Sum of twelve uniforms less six: near enough to a normal deviate.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }

    /// The model writes by itself.
    pub(crate) fn write(&mut self, piece: &str) {
        self.text.append(piece).unwrap();
    }

    /// A fork among `phrases`, with the wish that is to be known.
    pub(crate) fn fork(&mut self, phrases: &[&str], wish: Option<i32>, answer: Answer) -> ForkId {
        let fork = ForkId(self.next);
        self.next += 1;
        self.now_s += 2.0;
        if let Some(wish) = wish {
            self.truth.insert(fork, wish);
        }
        let asked = answer != Answer::NotAsked;
        let decision = if asked {
            Decision::Ask(AskReason::Decisive)
        } else {
            Decision::LetModel(ModelReason::BudgetSpent)
        };
        let kinds = options_of(phrases.len(), !self.undoable.is_empty());
        let opened_s = self.now_s;
        let lease = Lease { epoch: 1 };
        let options = self.options(fork, phrases, &kinds);
        let priors: Vec<f64> = options.iter().map(|option| option.prior).collect();
        let mut gate = Gate::new(self.settings);
        gate.open(fork, &kinds, &priors, lsl(opened_s), lease)
            .unwrap();
        let clock = Some(ClockOffset {
            at_s: opened_s - 1.0,
            offset_s: 0.0,
        });
        let context = self.text.as_str().to_owned();
        let row = ForkRow {
            fork,
            position_tokens: context.split_whitespace().count() as u64,
            tokens_written: context.split_whitespace().count() as u64,
            context,
            origin: ForkOrigin::Detected,
            attempt: 0,
            decision,
            opened_at: lsl(opened_s),
            opened_mono: mono(opened_s),
            lease,
            gate: self.settings,
            prior_capped: asked.then(|| *gate.prior()),
            eeg_clock: clock,
            gaze_clock: clock,
            model_sha256: sha256_hex(b"model"),
            adapter: None,
        };
        self.ledger.fork(&row, &options).unwrap();
        let (flashes, looks) = if asked {
            self.answer(&mut gate, fork, lease, answer)
        } else {
            (0, 0)
        };
        self.choice(&gate, &row, &options, answer, (flashes, looks));
        fork
    }

    fn options(&mut self, fork: ForkId, phrases: &[&str], kinds: &[OptionKind]) -> Vec<OptionRow> {
        let mut phrases = phrases.iter();
        let mut share = 0.5;
        (0..)
            .zip(kinds)
            .map(|(item, &kind)| {
                let branch = (kind == OptionKind::Branch)
                    .then(|| phrases.next())
                    .flatten();
                let prior = if branch.is_some() { share } else { 0.03 };
                share *= 0.6;
                OptionRow {
                    fork,
                    tile: OptionTile {
                        item,
                        kind,
                        text: branch.map_or_else(
                            || format!("{kind:?}").to_lowercase(),
                            |phrase| phrase.trim().to_owned(),
                        ),
                        x_deg: 6.0 * f64::from(item) - 10.0,
                        y_deg: 4.0,
                        w_deg: 5.0,
                        h_deg: 2.0,
                    },
                    tokens: branch.map(|_| vec![3, 1, 4]).unwrap_or_default(),
                    prior,
                    log_prob_nats: branch.map_or(f64::NAN, |_| prior.ln()),
                    attention: None,
                }
            })
            .collect()
    }

    /// Feeds the gate until it ends, as the engine would, and the ledger with it.
    fn answer(
        &mut self,
        gate: &mut Gate,
        fork: ForkId,
        lease: Lease,
        answer: Answer,
    ) -> (u32, u32) {
        let options = gate.posterior().options();
        let (opened_s, mut step, mut flashes, mut looks) = (self.now_s, 0, 0_u32, 0_u32);
        let mut gaze = [0.0; razvilka::fork::MAX_OPTIONS];
        let timeout_s = self.settings.config().timeout_s;
        loop {
            self.now_s += 0.11;
            let now = lsl(self.now_s);
            let waited_s = self.now_s - opened_s;
            let (input, item) = match answer {
                Answer::Key(option) if waited_s > 1.2 => (
                    GateInput::Evidence {
                        evidence: Evidence::key_press(fork, lease, 1, now, option),
                        now,
                    },
                    Some(option),
                ),
                Answer::Lost if waited_s > 0.8 => (
                    GateInput::Abort {
                        reason: AbortReason::SourceLost,
                        now,
                    },
                    None,
                ),
                Answer::Nothing if waited_s > timeout_s - 0.1 => {
                    self.now_s = opened_s + timeout_s;
                    (
                        GateInput::Tick {
                            now: lsl(self.now_s),
                        },
                        None,
                    )
                }
                _ if step % 3 == 2 => {
                    if let Answer::Look(option) = answer {
                        gaze[option] += 0.35 + 0.3 * self.normal();
                    }
                    looks += 1;
                    (
                        GateInput::Evidence {
                            evidence: Evidence::gaze(fork, lease, step, now, gaze),
                            now,
                        },
                        None,
                    )
                }
                _ => {
                    let item = flashes as usize % options;
                    let signal = if answer == Answer::Look(item) {
                        1.1
                    } else {
                        -0.25
                    };
                    let level = if matches!(answer, Answer::Look(_)) {
                        signal
                    } else {
                        -0.1
                    };
                    let spread = if matches!(answer, Answer::Look(_)) {
                        0.6
                    } else {
                        0.15
                    };
                    let llr = level + spread * self.normal();
                    flashes += 1;
                    (
                        GateInput::Evidence {
                            evidence: Evidence::flash(fork, lease, step, now, item, llr),
                            now,
                        },
                        Some(item),
                    )
                }
            };
            let verdict = gate.apply(&input);
            self.ledger
                .evidence(&EvidenceRow {
                    fork,
                    step,
                    input,
                    item: item.and_then(|item| i32::try_from(item).ok()),
                    flash_seq: None,
                    raw_score: None,
                    onset_sample: None,
                })
                .unwrap();
            step += 1;
            if verdict.is_terminal() {
                return (flashes, looks);
            }
        }
    }

    fn choice(
        &mut self,
        gate: &Gate,
        row: &ForkRow,
        options: &[OptionRow],
        answer: Answer,
        counts: (u32, u32),
    ) {
        let asked = answer != Answer::NotAsked;
        let (outcome, option, why) = match gate.verdict() {
            _ if !asked => (None, Some(0), Why::NotAsked(ModelReason::BudgetSpent)),
            Verdict::Committed { option, .. } => {
                (Some(Outcome::Committed), Some(option), Why::Selected)
            }
            Verdict::Declined { .. } => (
                Some(Outcome::Declined),
                Some(0),
                Why::TimedOut(TimeoutPolicy::LetModelGoOn),
            ),
            Verdict::Aborted { reason } => (Some(Outcome::Aborted), None, Why::Aborted(reason)),
            verdict => panic!("the gate did not end: {verdict:?}"),
        };
        let taken = option.map(|option| &options[option]);
        let kind = taken.map(|option| option.tile.kind);
        let text = match (kind, taken) {
            // The model has gone on while the person chose.
            (Some(OptionKind::Branch), Some(option)) if outcome == Some(Outcome::Committed) => {
                format!(" {} and so on", option.tile.text)
            }
            (Some(OptionKind::Branch), Some(option)) => format!(" {}", option.tile.text),
            _ => String::new(),
        };
        if kind == Some(OptionKind::Undo) {
            let length = self.undoable.pop().unwrap();
            let kept = self.text.as_str()[..length].to_owned();
            self.text.replace(&kept).unwrap();
        } else if !text.is_empty() {
            self.undoable.push(self.text.as_str().len());
            self.text.append(&text).unwrap();
        }
        let committed_ns = (200_000.0 * (0.5 + self.uniform())) as u64;
        let latency_ns: BTreeMap<String, u64> = if outcome == Some(Outcome::Committed) {
            STEPS
                .iter()
                .zip([4e6, 3e5, 6e4, 3.5e5, 1.5e5])
                .map(|(step, typical)| {
                    (
                        (*step).to_owned(),
                        (typical * (0.4 * self.normal()).exp()) as u64,
                    )
                })
                .collect()
        } else {
            BTreeMap::new()
        };
        if !latency_ns.is_empty() {
            self.latencies.push(latency_ns.clone());
        }
        let chooser = match outcome {
            Some(Outcome::Committed) => Some(Chooser::Human),
            Some(Outcome::Aborted) => None,
            _ => Some(Chooser::Model),
        };
        self.ledger
            .choice(&ChoiceRow {
                fork: row.fork,
                outcome,
                item: option.and_then(|option| i32::try_from(option).ok()),
                kind,
                chooser,
                why,
                text,
                posterior: asked.then(|| *gate.posterior()),
                arms: asked.then(|| gate.arms()),
                items_gaze: u64::from(counts.1),
                items_p300: u64::from(counts.0),
                flashes: u64::from(counts.0),
                tokens_written: self.text.as_str().split_whitespace().count() as u64,
                decided_at: lsl(self.now_s),
                decided_mono: mono(self.now_s),
                committed_mono: MonoTime::from_nanos((self.now_s * 1e9) as u64 + committed_ns),
                latency_ns,
                model_sha256: sha256_hex(b"model"),
                adapter: None,
            })
            .unwrap();
    }

    pub(crate) fn event(&mut self, kind: EventKind, detail: &str) {
        // What was decided just before has been committed by now.
        self.now_s += 0.01;
        self.ledger
            .event(&EventRow {
                kind,
                fork: None,
                at: lsl(self.now_s),
                mono: mono(self.now_s),
                detail: detail.into(),
            })
            .unwrap();
    }

    /// Writes `latency.json` as an engine would, and ends the session.
    pub(crate) fn end(mut self) -> (PathBuf, Truth) {
        let step = |name: &str, mut us: Vec<f64>, budget_us: f64| {
            us.sort_by(f64::total_cmp);
            let at = |q: f64| {
                us.get(((q * us.len() as f64).ceil() as usize).max(1) - 1)
                    .copied()
                    .unwrap_or(0.0)
            };
            serde_json::json!({
                "step": name, "n": us.len(), "p50_us": at(0.5), "p99_us": at(0.99), "p999_us": at(0.999), "max_us": at(1.0),
                "budget_us": budget_us, "misses": us.iter().filter(|us| **us > budget_us).count(),
            })
        };
        let forks: Vec<_> = STEPS
            .iter()
            .zip([20_000.0, 1_000.0, 1_000.0, 1_000.0, 200.0])
            .map(|(name, budget)| {
                step(
                    name,
                    self.latencies
                        .iter()
                        .map(|latency| latency[*name] as f64 / 1e3)
                        .collect(),
                    budget,
                )
            })
            .collect();
        let blocks: Vec<f64> = (0..4_000)
            .map(|_| 45.0 * (0.5 * self.normal()).exp())
            .collect();
        let latency = serde_json::json!({
            "forks": forks,
            "streams": [{
                "stream": "eeg", "counts": {}, "rejected": 2,
                "steps": [step("stamp>pulled", blocks.iter().map(|us| us * 60.0).collect(), 20_000.0), step("pulled>scored", blocks, 1_000.0)],
            }],
            "gate_items_dropped": 0,
        });
        self.folder
            .write_json(SessionFile::Latency, &latency)
            .unwrap();
        self.text.sync().unwrap();
        self.event(EventKind::End, r#"{"ending":"all forks were answered"}"#);
        let head = self.ledger.finish().unwrap();
        self.manifest
            .uncertified
            .push("no real-time priority was granted".into());
        self.manifest.end(Some(head));
        self.folder.write_manifest(&self.manifest).unwrap();
        (self.folder.path().to_owned(), self.truth)
    }
}
