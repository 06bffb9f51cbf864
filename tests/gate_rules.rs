//! The gate's rules one by one, with hand-made forks.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]

use razvilka::fork::{ForkId, MAX_OPTIONS};
use razvilka::gate::{
    AbortReason, ContradictionPolicy, Evidence, Gate, GateConfig, GateError, GateSettings, Lease,
    Source, State, TimeoutPolicy, Verdict,
};
use razvilka::marker::OptionKind::{self, Branch, GoOn, Other};
use razvilka_dsp::units::LslTime;

const LEASE: Lease = Lease { epoch: 0 };
const KINDS: [OptionKind; 4] = [Branch, Branch, Other, GoOn];
const PRIORS: [f64; 4] = [0.5, 0.4, 0.0, 0.0];

fn at(seconds: f64) -> LslTime {
    LslTime::new(seconds).unwrap()
}

fn gate(change: impl FnOnce(&mut GateConfig)) -> Gate {
    let mut config = GateConfig::default();
    change(&mut config);
    let mut gate = Gate::new(GateSettings::new(config).unwrap());
    gate.open(ForkId(1), &KINDS, &PRIORS, at(10.0), LEASE)
        .unwrap();
    gate
}

fn flash(seq: u64, stamp: f64, item: usize, llr_nats: f64) -> Evidence {
    Evidence::flash(ForkId(1), LEASE, seq, at(stamp), item, llr_nats)
}

fn gaze(seq: u64, stamp: f64, values: [f64; 4]) -> Evidence {
    let mut log_lik = [0.0; MAX_OPTIONS];
    log_lik[..4].copy_from_slice(&values);
    Evidence::gaze(ForkId(1), LEASE, seq, at(stamp), log_lik)
}

fn aborted(reason: AbortReason) -> Verdict {
    Verdict::Aborted { reason }
}

#[test]
fn the_posterior_is_bayes_rule_worked_by_hand() {
    let mut gate = gate(|config| {
        config.p300.reliability = 0.5;
        config.evidence_items_min = 100;
    });
    // Control options get 0.1 in equal parts, branches share 0.9 as 5 to 4: 0.5, 0.4, 0.05, 0.05.
    gate.evidence(&gaze(0, 10.1, [1.0, 2.0, 0.0, 0.0]), at(10.2));
    gate.evidence(&flash(0, 10.2, 1, 3.0), at(10.3));
    let weights = [
        0.5 * 1f64.exp(),
        0.4 * (2.0 + 0.5 * 3.0f64).exp(),
        0.05,
        0.05,
    ];
    let sum: f64 = weights.iter().sum();
    for (p, weight) in gate.posterior().as_slice().iter().zip(weights) {
        assert!((p - weight / sum).abs() < 1e-14);
    }
}

#[test]
fn time_running_out_declines_with_the_policy_of_the_settings() {
    for policy in [
        TimeoutPolicy::Wait,
        TimeoutPolicy::OfferOther,
        TimeoutPolicy::LetModelGoOn,
    ] {
        let mut gate = gate(|config| {
            config.timeout_s = 5.0;
            config.timeout_policy = policy;
        });
        assert!(matches!(gate.tick(at(14.999)), Verdict::Waiting { .. }));
        assert_eq!(gate.tick(at(15.0)), Verdict::Declined { policy });
        // A convincing item that comes a moment later changes nothing.
        let late = Evidence::key_press(ForkId(1), LEASE, 0, at(15.0), 1);
        assert_eq!(gate.evidence(&late, at(15.0)), Verdict::Declined { policy });
        assert_eq!(gate.counters().after_end, 1);
    }
}

#[test]
fn an_item_that_arrives_past_the_deadline_does_not_commit_even_without_a_tick() {
    let mut gate = gate(|config| config.timeout_s = 5.0);
    let late = Evidence::key_press(ForkId(1), LEASE, 0, at(15.5), 1);
    assert!(matches!(
        gate.evidence(&late, at(15.6)),
        Verdict::Declined { .. }
    ));
}

#[test]
fn evidence_from_before_the_fork_out_of_order_or_stale_is_counted_and_ignored() {
    let mut gate = gate(|config| config.evidence_age_s_max = 0.5);
    let before = gate.posterior().as_slice().to_vec();
    gate.evidence(&flash(0, 9.9, 1, 4.0), at(10.1));
    gate.evidence(&flash(1, 10.2, 1, 4.0), at(10.8));
    let mut other = flash(2, 10.8, 1, 4.0);
    other.fork = ForkId(0);
    gate.evidence(&other, at(10.8));
    assert_eq!(gate.posterior().as_slice(), before);
    gate.evidence(&flash(5, 10.8, 1, 0.5), at(10.9));
    let after = *gate.posterior();
    gate.evidence(&flash(5, 10.9, 1, 0.5), at(11.0));
    gate.evidence(&flash(4, 10.9, 1, 0.5), at(11.0));
    assert_eq!(*gate.posterior(), after);
    let counters = gate.counters();
    assert_eq!(
        (
            counters.before_open,
            counters.stale,
            counters.other_fork,
            counters.out_of_order,
            counters.accepted
        ),
        (1, 1, 1, 2, 1)
    );
}

#[test]
fn a_clock_that_goes_back_or_a_stamp_from_the_future_aborts() {
    let mut gate = gate(|_| {});
    gate.tick(at(12.0));
    assert!(
        matches!(gate.tick(at(11.96)), Verdict::Waiting { .. }),
        "within the slack"
    );
    assert_eq!(gate.tick(at(11.9)), aborted(AbortReason::ClockJump));

    let mut gate = self::gate(|_| {});
    assert_eq!(
        gate.evidence(&flash(0, 10.3, 1, 1.0), at(10.2)),
        aborted(AbortReason::ClockJump)
    );
}

#[test]
fn a_clock_that_creeps_back_in_small_steps_aborts_too() {
    let mut gate = gate(|config| config.clock_slack_s = 0.05);
    gate.tick(at(12.0));
    assert!(matches!(gate.tick(at(11.96)), Verdict::Waiting { .. }));
    assert_eq!(gate.tick(at(11.92)), aborted(AbortReason::ClockJump));
}

#[test]
fn a_posterior_over_the_threshold_waits_for_its_margin() {
    let mut gate = gate(|config| {
        config.commit_threshold = 0.5;
        config.commit_margin = 0.5;
        config.evidence_items_min = 1;
        config.attention_nats_min = 0.0;
    });
    // 0.5, 0.4 and twice 0.05, then e against 1 for the first: 0.73 to 0.22.
    let close = gate.evidence(&flash(0, 10.1, 0, 1.0), at(10.2));
    assert!(
        matches!(close, Verdict::Committed { margin, .. } if margin > 0.5),
        "{close:?}"
    );
    let mut gate = self::gate(|config| {
        config.commit_threshold = 0.5;
        config.commit_margin = 0.52;
        config.evidence_items_min = 1;
        config.attention_nats_min = 0.0;
    });
    let close = gate.evidence(&flash(0, 10.1, 0, 1.0), at(10.2));
    assert!(
        matches!(close, Verdict::Waiting { best: 0, posterior } if posterior > 0.7),
        "{close:?}"
    );
}

#[test]
fn a_value_that_is_not_finite_aborts_but_not_beyond_the_options() {
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let mut gate = gate(|_| {});
        let verdict = gate.evidence(&flash(0, 10.1, 3, bad), at(10.2));
        assert_eq!(verdict, aborted(AbortReason::NonFinite));

        let mut gate = self::gate(|_| {});
        let verdict = gate.evidence(&flash(0, 10.1, 4, bad), at(10.2));
        assert!(matches!(verdict, Verdict::Waiting { .. }));
    }
}

#[test]
fn sources_that_contradict_each_other_follow_the_policy() {
    // Gaze alone is sure of option 1 (6 nats: 0.993); then P300 overtakes it for option 0, and the fused posterior follows.
    let overtake = |policy| {
        let mut gate = gate(|config| {
            config.contradiction = policy;
            config.p300.total_clip_nats = 30.0;
            config.evidence_items_min = 4;
        });
        gate.evidence(&gaze(0, 10.1, [0.0, 6.0, 0.0, 0.0]), at(10.2));
        for seq in 0..3 {
            gate.evidence(&flash(seq, 10.2, 0, 4.0), at(10.3));
        }
        gate
    };
    assert_eq!(
        overtake(ContradictionPolicy::Abort).verdict(),
        aborted(AbortReason::Contradiction)
    );
    assert!(matches!(
        overtake(ContradictionPolicy::Commit).verdict(),
        Verdict::Committed { option: 0, .. }
    ));
    let mut held = overtake(ContradictionPolicy::Hold);
    assert!(matches!(held.verdict(), Verdict::Waiting { best: 0, .. }));
    // The eyes come round: the commit follows.
    let agreed = held.evidence(&gaze(1, 10.3, [1.0, 0.0, 0.0, 0.0]), at(10.4));
    assert!(matches!(agreed, Verdict::Committed { option: 0, .. }));
}

#[test]
fn a_key_press_that_names_no_single_option_is_ignored_and_counted() {
    let mut gate = gate(|_| {});
    let nowhere = Evidence::key_press(ForkId(1), LEASE, 0, at(10.1), 7);
    assert!(matches!(
        gate.evidence(&nowhere, at(10.2)),
        Verdict::Waiting { .. }
    ));
    assert_eq!(gate.counters().ambiguous, 1);
    assert_eq!(gate.items(Source::Switch), 0);
}

#[test]
fn flashes_of_fillers_do_not_count_towards_the_evidence_a_commit_needs() {
    let mut gate = gate(|config| config.evidence_items_min = 2);
    for seq in 0..5 {
        // Options are 0 to 3; 4 and 9 are fillers, whatever the brain made of them.
        gate.evidence(&flash(seq, 10.1, 4 + 5 * (seq as usize % 2), 4.0), at(10.2));
    }
    assert_eq!(gate.items(Source::P300), 0);
    let one = gate.evidence(&flash(5, 10.2, 0, 4.5), at(10.3));
    assert!(matches!(one, Verdict::Waiting { .. }), "{one:?}");
    let two = gate.evidence(&flash(6, 10.3, 1, -4.5), at(10.4));
    assert!(
        matches!(two, Verdict::Committed { option: 0, .. }),
        "{two:?}"
    );
}

#[test]
fn a_source_of_no_reliability_has_no_say() {
    let mut gate = gate(|config| config.gaze.reliability = 0.0);
    let prior = *gate.prior();
    gate.evidence(&gaze(0, 10.1, [0.0, 50.0, 0.0, 0.0]), at(10.2));
    assert_eq!(*gate.posterior(), prior);
    assert_eq!(gate.arms().gaze.pick(), None);
}

#[test]
fn the_four_arms_disagree_when_their_data_do() {
    let mut gate = gate(|config| config.evidence_items_min = 100);
    gate.evidence(&gaze(0, 10.1, [0.0, 1.0, 0.0, 0.0]), at(10.2));
    gate.evidence(&flash(0, 10.2, 2, 4.0), at(10.3));
    let arms = gate.arms();
    assert_eq!(
        [
            arms.prior.pick(),
            arms.gaze.pick(),
            arms.eeg.pick(),
            arms.fused.pick(),
            arms.keyboard.pick()
        ],
        [Some(0), Some(1), Some(2), Some(2), None]
    );
}

#[test]
fn an_old_fork_is_never_resumed_and_an_open_one_never_overrun() {
    let mut gate = gate(|_| {});
    let open = |gate: &mut Gate, fork| gate.open(ForkId(fork), &KINDS, &PRIORS, at(20.0), LEASE);
    assert!(matches!(
        open(&mut gate, 2),
        Err(GateError::NotClosed { held: 1, .. })
    ));
    assert!(gate.reconfigure(GateSettings::default()).is_err());
    assert_eq!(gate.close(), aborted(AbortReason::Operator));
    assert_eq!(
        open(&mut gate, 1),
        Err(GateError::Reused { fork: 1, last: 1 })
    );
    assert!(gate.reconfigure(GateSettings::default()).is_ok());
    assert_eq!(open(&mut gate, 2), Ok(()));
    assert_eq!(gate.state(), State::Evidence);
}

#[test]
fn nothing_of_a_former_fork_is_carried_over() {
    let mut gate = gate(|_| {});
    gate.evidence(&flash(9, 10.1, 1, 4.0), at(10.2));
    gate.close();
    gate.open(ForkId(2), &KINDS, &PRIORS, at(20.0), LEASE)
        .unwrap();
    assert_eq!(gate.posterior(), gate.prior());
    assert_eq!(gate.items(Source::P300), 0);
    assert_eq!(gate.counters().accepted, 0);
    let mut first = flash(0, 20.1, 1, 1.0);
    first.fork = ForkId(2);
    gate.evidence(&first, at(20.2));
    assert_eq!(gate.counters().accepted, 1, "numbers begin anew");
}

#[test]
fn a_fork_of_the_wrong_shape_is_refused_with_its_numbers() {
    let mut gate = Gate::new(GateSettings::default());
    let mut open = |kinds: &[OptionKind], priors: &[f64]| {
        gate.open(ForkId(0), kinds, priors, at(0.0), LEASE)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        open(&KINDS[..1], &[1.0]),
        "fork 0 has 1 options; a fork has 2 to 8"
    );
    assert_eq!(
        open(&KINDS, &[0.5]),
        "fork 0 has 4 options but 1 priors; give one for each"
    );
    assert_eq!(
        open(&KINDS, &[0.5, f64::NAN, 0.0, 0.0]),
        "fork 0: the prior of option 1 is NaN; it must lie in 0..=1"
    );
    assert_eq!(gate.state(), State::Closed);
    assert_eq!(gate.verdict(), Verdict::Closed);
}

#[test]
fn options_that_only_fall_behind_each_other_are_no_choice_while_nobody_attends() {
    // Every flash says "not attended", of option 0 a little less clearly: it is far ahead, and still nobody's.
    let unattended = |config: &mut GateConfig| config.attention_nats_min = 2.0;
    let mut gate = gate(unattended);
    let mut seq = 0;
    for _ in 0..4 {
        for (item, llr) in [(0, -0.1), (1, -2.0), (2, -2.0), (3, -2.0)] {
            let verdict = gate.evidence(&flash(seq, 10.1, item, llr), at(10.2));
            assert!(matches!(verdict, Verdict::Waiting { .. }), "{verdict:?}");
            seq += 1;
        }
    }
    let Verdict::Waiting { best, posterior } = gate.verdict() else {
        panic!("{:?}", gate.verdict());
    };
    assert!(best == 0 && posterior > 0.99);
    // -0.4 so far; 2.4 more are not quite enough, a little more is.
    let verdict = gate.evidence(&flash(seq, 10.1, 0, 2.35), at(10.2));
    assert!(matches!(verdict, Verdict::Waiting { .. }), "{verdict:?}");
    let verdict = gate.evidence(&flash(seq + 1, 10.1, 0, 0.1), at(10.2));
    assert!(matches!(verdict, Verdict::Committed { option: 0, .. }));
}

#[test]
fn a_look_that_rests_on_the_option_is_attention_too() {
    let mut gate = gate(|config| config.attention_nats_min = 2.0);
    for (seq, item) in (1..4).enumerate() {
        gate.evidence(&flash(seq as u64, 10.1, item, -4.0), at(10.2));
    }
    assert!(matches!(gate.verdict(), Verdict::Waiting { best: 0, .. }));
    // Gaze leads by 1.5 nats, one flash adds 0.6.
    gate.evidence(&gaze(0, 10.1, [1.5, 0.0, 0.0, 0.0]), at(10.2));
    assert!(matches!(gate.verdict(), Verdict::Waiting { best: 0, .. }));
    let verdict = gate.evidence(&flash(9, 10.1, 0, 0.6), at(10.2));
    assert!(matches!(verdict, Verdict::Committed { option: 0, .. }));
}

#[test]
fn deliberate_blinks_help_an_option_and_never_choose_alone() {
    let blink = |seq, stamp, item, llr_nats| {
        Evidence::blink(ForkId(1), LEASE, seq, at(stamp), item, llr_nats)
    };
    // However many and however sure, without gaze or P300 they commit nothing, whatever the threshold and the clip.
    let mut alone = gate(|config| {
        config.blink.item_clip_nats = 20.0;
        config.blink.total_clip_nats = 100.0;
        config.commit_threshold = 0.5;
        config.evidence_items_min = 1;
    });
    for seq in 0..20 {
        let stamp = 10.1 + 0.1 * seq as f64;
        let verdict = alone.evidence(&blink(seq, stamp, 1, 9.0), at(stamp + 0.01));
        assert!(
            matches!(verdict, Verdict::Waiting { .. }),
            "{seq} {verdict:?}"
        );
    }
    assert_eq!(alone.items(Source::Blink), 20);
    // All of them together are worth 2 nats by default.
    let mut clipped = gate(|_| {});
    clipped.evidence(&blink(0, 10.1, 1, 9.0), at(10.2));
    clipped.evidence(&blink(1, 10.3, 1, 9.0), at(10.4));
    let p = clipped.posterior().as_slice();
    let lead = (p[1] / p[0]).ln();
    assert!((lead - (2.0 + (0.4_f64 / 0.5).ln())).abs() < 1e-9, "{lead}");
    // What gaze alone does not decide, gaze and a blink do.
    let look = |seq, stamp| gaze(seq, stamp, [0.0, 2.0, 0.0, 0.0]);
    let mut without = gate(|_| {});
    for seq in 0..3 {
        let stamp = 10.5 + 0.1 * seq as f64;
        let verdict = without.evidence(&look(seq, stamp), at(stamp));
        assert!(matches!(verdict, Verdict::Waiting { .. }));
    }
    let mut with = gate(|_| {});
    with.evidence(&look(0, 10.5), at(10.51));
    with.evidence(&look(1, 10.6), at(10.61));
    let verdict = with.evidence(&blink(0, 11.0, 1, 3.0), at(11.01));
    assert!(
        matches!(verdict, Verdict::Committed { option: 1, .. }),
        "{verdict:?}"
    );
    // A reliability of 0, as a calibration may find, silences them.
    let mut off = gate(|config| config.blink.reliability = 0.0);
    off.evidence(&look(0, 10.5), at(10.51));
    let before = *off.posterior();
    off.evidence(&blink(0, 11.0, 1, 3.0), at(11.01));
    assert_eq!(*off.posterior(), before);
}

#[test]
fn the_pupil_supports_what_gaze_found_and_never_chooses_whatever_it_is_trusted_with() {
    let pupil = |seq, stamp, item, llr_nats| {
        Evidence::pupil(ForkId(1), LEASE, seq, at(stamp), item, llr_nats)
    };
    // Trusted as far as it may be, and heard for as long as it likes.
    let mut alone = gate(|config| {
        config.pupil.item_clip_nats = 2.0;
        config.pupil.total_clip_nats = 2.0;
        config.commit_threshold = 0.5;
        config.commit_margin = 0.0;
        config.evidence_items_min = 1;
        config.human_lead_nats_min = 0.01;
        config.attention_nats_min = 0.0;
    });
    for seq in 0..20 {
        let stamp = 10.1 + 0.1 * seq as f64;
        let verdict = alone.evidence(&pupil(seq, stamp, 1, 9.0), at(stamp + 0.01));
        assert!(matches!(verdict, Verdict::Waiting { .. }), "{verdict:?}");
    }
    assert_eq!(alone.items(Source::Pupil), 20);
    // All of it together separates two options by no more than the clip, in both directions.
    let lead = |llr_nats: f64| {
        let mut gate = gate(|_| {});
        for seq in 0..5 {
            gate.evidence(&pupil(seq, 10.1, 1, llr_nats), at(10.2));
        }
        let p = gate.posterior().as_slice();
        (p[1] / p[0]).ln() - (0.4_f64 / 0.5).ln()
    };
    assert!((lead(9.0) - 0.9).abs() < 1e-9, "{}", lead(9.0));
    assert!((lead(-9.0) + 0.9).abs() < 1e-9, "{}", lead(-9.0));
}
