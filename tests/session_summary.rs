//! The summary against a session counted by hand.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]

mod session_common;

use razvilka::choice::{Decision, ModelReason, Why};
use razvilka::fork::{Chooser, ForkId};
use razvilka::gate::{AbortReason, Arms, Posterior, TimeoutPolicy};
use razvilka::marker::Outcome;
use razvilka::session::{ChoiceRow, ForkRow, Ledger, Summary, SummaryInput, Truth};
use session_common::{at, choice_row, evidence_rows, fork_row, ledger_of, opened_gate};

fn sure(option: usize) -> Posterior {
    let mut p = vec![0.04, 0.04, 0.04, 0.04];
    p[option] = 0.88;
    Posterior::try_from(p).unwrap()
}

fn nothing() -> Posterior {
    Posterior::try_from(vec![0.25; 4]).unwrap()
}

/// Five forks: three committed (items 0, 1, 1), one declined, one aborted; and one where the model was let on.
fn session() -> (Vec<ForkRow>, Vec<ChoiceRow>, Truth) {
    let mut forks = Vec::new();
    let mut choices = Vec::new();
    for id in 0..6 {
        let mut gate = opened_gate(ForkId(id));
        let mut fork = fork_row(&gate);
        fork.prior_capped = Some(nothing());
        evidence_rows(&mut gate);
        let mut choice = choice_row(&gate);
        choice.tokens_written = 10 * (id + 1);
        choice.posterior = Some(sure(1));
        choice.decided_at = at(fork.opened_at.get() + 1.0 + id as f64);
        choice.flashes = 10 * (id + 1);
        choice.arms = Some(Arms {
            prior: sure(0),
            gaze: nothing(),
            eeg: sure(1),
            keyboard: nothing(),
            fused: sure(if id == 0 { 0 } else { 1 }),
        });
        match id {
            0 => choice.posterior = Some(sure(0)),
            3 => {
                choice.outcome = Some(Outcome::Declined);
                choice.chooser = Some(Chooser::Model);
                choice.why = Why::TimedOut(TimeoutPolicy::LetModelGoOn);
            }
            4 => {
                choice.outcome = Some(Outcome::Aborted);
                choice.chooser = None;
                choice.why = Why::Aborted(AbortReason::SourceLost);
            }
            5 => {
                fork.decision = Decision::LetModel(ModelReason::BudgetSpent);
                choice.outcome = None;
                choice.chooser = Some(Chooser::Model);
                choice.why = Why::NotAsked(ModelReason::BudgetSpent);
                choice.arms = None;
            }
            _ => {}
        }
        forks.push(fork);
        choices.push(choice);
    }
    let mut truth = Truth::default();
    for (fork, item) in [(0, 0), (1, 1), (2, 0), (3, 1), (4, 1), (5, 1)] {
        truth.insert(ForkId(fork), item);
    }
    (forks, choices, truth)
}

#[test]
fn the_figures_are_those_counted_by_hand() {
    let (forks, choices, truth) = session();
    let summary = Summary::of(&SummaryInput {
        forks: &forks,
        choices: &choices,
        states: &[],
        truth: Some(&truth),
    });
    let counts = &summary.counts;
    assert_eq!(
        [
            counts.forks,
            counts.asked,
            counts.committed,
            counts.declined,
            counts.aborted,
            counts.unfinished
        ],
        [6, 5, 3, 1, 1, 0]
    );
    assert_eq!(
        [counts.by_human, counts.by_model, counts.by_nobody],
        [3, 2, 1]
    );
    assert_eq!(counts.aborted_by_reason["a stream was lost"], 1);

    // Forks 0 to 3, wishes 0, 1, 0, 1: prior says 0 each time, EEG 1, fused 0, 1, 1, 1; gaze says nothing.
    let accuracy = summary.accuracy.unwrap();
    let of = |score: razvilka::session::ArmScore| (score.n, score.correct, score.undecided);
    assert_eq!(of(accuracy.prior), (4, 2, 0));
    assert_eq!(of(accuracy.gaze), (4, 0, 4));
    assert_eq!(of(accuracy.eeg), (4, 2, 0));
    assert_eq!(of(accuracy.fused), (4, 3, 0));
    assert_eq!(of(accuracy.committed), (3, 2, 0));

    let speed = &summary.speed;
    assert_eq!(speed.decision_s_median, Some(2.0));
    assert_eq!(speed.decision_s_p90, Some(3.0));
    assert_eq!(speed.flashes_per_decision, Some(20.0));
    // Three selections in 60 tokens.
    assert_eq!(speed.selections_per_100_tokens, Some(5.0));
    // KL of (0.88, 3 x 0.04) from four equal odds: 2 - entropy.
    let entropy = -(0.88 * 0.88f64.log2() + 3.0 * 0.04 * 0.04f64.log2());
    assert!((speed.bits_added_mean.unwrap() - (2.0 - entropy)).abs() < 1e-12);
    assert!((speed.bits_added_total - 3.0 * (2.0 - entropy)).abs() < 1e-12);
    // Wolpaw for 4 options at 2 of 3, in 2 s each.
    let p = 2.0 / 3.0f64;
    let bits = 2.0 + p * p.log2() + (1.0 - p) * ((1.0 - p) / 3.0).log2();
    assert!((speed.wolpaw_bits_per_selection.unwrap() - bits).abs() < 1e-12);
    assert!((speed.itr_bits_per_min.unwrap() - 30.0 * bits).abs() < 1e-9);
}

#[test]
fn without_a_truth_nothing_is_said_of_accuracy_and_an_empty_session_has_no_figures() {
    let summary = Summary::of(&SummaryInput {
        forks: &[],
        choices: &[],
        states: &[],
        truth: None,
    });
    assert_eq!((summary.accuracy, summary.state), (None, None));
    assert_eq!(summary.speed.decision_s_median, None);
    let json = serde_json::to_string(&summary).unwrap();
    assert_eq!(serde_json::from_str::<Summary>(&json).unwrap(), summary);
}

#[test]
fn a_ledger_that_was_cut_short_counts_its_unfinished_fork() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.sqlite");
    let (mut writer, _) = ledger_of(&path, 2);
    writer
        .fork(&fork_row(&opened_gate(ForkId(2))), &[])
        .unwrap();
    writer.finish().unwrap();
    let ledger = Ledger::open_read_only(&path).unwrap();
    let summary = Summary::of_ledger(&ledger, None).unwrap();
    assert_eq!(
        (summary.counts.committed, summary.counts.unfinished),
        (2, 1)
    );
}
