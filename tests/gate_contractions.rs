//! What the gate makes of a contraction of jaw or brow: it is about the look before it, whichever line is heard first.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]

use proptest::prelude::*;
use razvilka::fork::{ForkId, MAX_OPTIONS};
use razvilka::gate::{
    AbortReason, Contraction, Evidence, Gate, GateConfig, GateInput, GateSettings, LOOKS_KEPT,
    Lease, Look, SETTLED_S, Source, Verdict, WAIT_S,
};
use razvilka::marker::OptionKind::{self, Branch, GoOn, Other};
use razvilka_dsp::units::LslTime;

const FORK: ForkId = ForkId(1);
const LEASE: Lease = Lease { epoch: 0 };
const KINDS: [OptionKind; 4] = [Branch, Branch, Other, GoOn];
const PRIORS: [f64; 4] = [0.5, 0.4, 0.0, 0.0];

fn at(seconds: f64) -> LslTime {
    LslTime::new(seconds).unwrap()
}

fn gate(change: impl FnOnce(&mut GateConfig)) -> Gate {
    let mut config = GateConfig {
        evidence_age_s_max: 10.0,
        ..GateConfig::default()
    };
    change(&mut config);
    let mut gate = Gate::new(GateSettings::new(config).unwrap());
    gate.open(FORK, &KINDS, &PRIORS, at(10.0), LEASE).unwrap();
    gate
}

fn gaze(seq: u64, stamp: f64, values: [f64; 4]) -> Evidence {
    let mut log_lik = [0.0; MAX_OPTIONS];
    log_lik[..4].copy_from_slice(&values);
    Evidence::gaze(FORK, LEASE, seq, at(stamp), log_lik)
}

/// Look number `look` at `item`, as it stands at `told_s`; over when `last_s` is given.
fn look(
    seq: u64,
    look: u64,
    item: Option<usize>,
    onset_s: f64,
    told_s: f64,
    last_s: Option<f64>,
) -> Look {
    Look {
        fork: FORK,
        lease: LEASE,
        seq,
        at: at(told_s),
        look,
        item,
        onset: at(onset_s),
        last: at(last_s.unwrap_or(told_s)),
        over: last_s.is_some(),
    }
}

fn contraction(seq: u64, onset_s: f64, at_s: f64, llr_nats: f64) -> Contraction {
    Contraction {
        fork: FORK,
        lease: LEASE,
        seq,
        onset: at(onset_s),
        at: at(at_s),
        llr_nats,
    }
}

/// Nats by which option 1 has gained on option 0 over the prior.
fn gained(gate: &Gate) -> f64 {
    let (p, prior) = (gate.posterior().as_slice(), gate.prior().as_slice());
    (p[1] / p[0]).ln() - (prior[1] / prior[0]).ln()
}

#[test]
fn a_contraction_speaks_for_the_option_that_the_eyes_rest_on_and_for_no_other() {
    let mut gate = gate(|_| {});
    gate.look(&look(0, 7, Some(1), 10.4, 10.5, None), at(10.51));
    gate.evidence(&gaze(0, 11.0, [0.0; 4]), at(11.01));
    let verdict = gate.contraction(&contraction(0, 10.8, 11.2, 1.5), at(11.21));
    assert!(matches!(verdict, Verdict::Waiting { .. }), "{verdict:?}");
    assert_eq!(gate.items(Source::Contraction), 1);
    assert!((gained(&gate) - 1.5).abs() < 1e-12, "{}", gained(&gate));
    // The others are where they were.
    let (p, prior) = (gate.posterior().as_slice(), gate.prior().as_slice());
    assert!((p[0] / p[2] - prior[0] / prior[2]).abs() < 1e-12);
}

#[test]
fn without_a_look_at_an_option_before_it_a_contraction_says_nothing() {
    let cases: [(&str, &[Look]); 6] = [
        ("none at all", &[]),
        ("beside all options", &[look(0, 0, None, 10.4, 10.5, None)]),
        (
            "beside them after one at an option",
            &[
                look(0, 0, Some(1), 10.2, 10.3, Some(10.35)),
                look(1, 1, None, 10.4, 10.5, None),
            ],
        ),
        (
            "over for too long",
            &[look(0, 0, Some(1), 10.02, 10.15, Some(10.09))],
        ),
        ("begun after it", &[look(0, 0, Some(1), 10.81, 10.91, None)]),
        (
            "known too late to have been one",
            &[look(0, 0, Some(1), 10.79, 11.0, None)],
        ),
    ];
    for (why, looks) in cases {
        let mut gate = gate(|_| {});
        for look in looks {
            gate.look(look, look.at);
        }
        gate.evidence(&gaze(0, 11.0, [0.0; 4]), at(11.01));
        gate.contraction(&contraction(0, 10.8, 11.2, 1.5), at(11.21));
        assert_eq!(gate.items(Source::Contraction), 0, "{why}");
        assert_eq!(gate.counters().unplaced, 1, "{why}");
        assert_eq!(gate.posterior(), gate.prior(), "{why}");
        assert!(!gate.contraction_waits(), "{why}");
    }
}

#[test]
fn it_waits_for_gaze_and_no_longer_than_the_wait() {
    let told = contraction(0, 10.8, 11.2, 1.5);
    for (now_s, heard) in [(11.2 + WAIT_S - 0.01, 1), (11.2 + WAIT_S + 0.01, 0)] {
        let mut gate = gate(|_| {});
        gate.look(&look(0, 0, Some(1), 10.4, 10.5, None), at(10.51));
        gate.contraction(&told, at(11.2));
        assert!(gate.contraction_waits());
        // Not far enough: a look that began before the contraction might not be known yet.
        gate.evidence(&gaze(0, 10.8 + SETTLED_S - 0.01, [0.0; 4]), at(11.21));
        assert!(gate.contraction_waits());
        gate.evidence(&gaze(1, 10.8 + SETTLED_S + 0.01, [0.0; 4]), at(now_s));
        assert!(!gate.contraction_waits());
        assert_eq!(gate.items(Source::Contraction), heard, "{now_s}");
        assert_eq!(gate.counters().unplaced, 1 - heard, "{now_s}");
    }
}

#[test]
fn a_second_one_is_not_heard_while_the_first_one_waits_and_is_afterwards() {
    let mut gate = gate(|_| {});
    gate.look(&look(0, 0, Some(1), 10.2, 10.3, None), at(10.31));
    gate.contraction(&contraction(0, 10.4, 10.6, 1.2), at(10.6));
    gate.contraction(&contraction(1, 10.61, 10.77, 1.9), at(10.77));
    gate.evidence(&gaze(0, 10.78, [0.0; 4]), at(10.79));
    assert_eq!(gate.items(Source::Contraction), 1);
    assert!((gained(&gate) - 1.2).abs() < 1e-12);
    gate.contraction(&contraction(2, 11.0, 11.2, 0.5), at(11.2));
    gate.evidence(&gaze(1, 11.2, [0.0; 4]), at(11.21));
    assert_eq!(gate.items(Source::Contraction), 2);
    assert_eq!(gate.counters().unplaced, 1);
}

#[test]
fn contractions_never_choose_alone_and_share_with_blinks_what_they_may_say() {
    // However many and however sure.
    let mut alone = gate(|config| {
        config.contraction.item_clip_nats = 20.0;
        config.blink.total_clip_nats = 100.0;
        config.commit_threshold = 0.5;
        config.evidence_items_min = 1;
    });
    alone.look(&look(0, 0, Some(1), 10.1, 10.2, None), at(10.21));
    for seq in 0..20 {
        let from_s = 10.3 + 0.3 * seq as f64;
        // Gaze tells of looks alone, which are no evidence.
        let told = look(seq + 1, 0, Some(1), 10.1, from_s + 0.2, None);
        alone.look(&told, at(from_s + 0.21));
        let verdict = alone.contraction(
            &contraction(seq, from_s, from_s + 0.22, 9.0),
            at(from_s + 0.22),
        );
        assert!(
            matches!(verdict, Verdict::Waiting { .. }),
            "{seq} {verdict:?}"
        );
    }
    assert_eq!(alone.items(Source::Contraction), 20);
    // Nor do they for somebody who reads, blinks and chews: the eyes were on every tile, and prefer another one by little.
    let mut reads = gate(|config| {
        config.commit_threshold = 0.5;
        config.commit_margin = 0.0;
    });
    for seq in 0..4 {
        let stamp = 10.1 + 0.02 * seq as f64;
        let verdict = reads.evidence(&gaze(seq, stamp, [0.5, 0.0, 0.0, 0.0]), at(stamp + 0.01));
        assert!(matches!(verdict, Verdict::Waiting { .. }), "{verdict:?}");
    }
    reads.look(&look(0, 0, Some(1), 10.1, 10.2, None), at(10.21));
    reads.look(&look(1, 0, Some(1), 10.1, 10.6, None), at(10.61));
    let blink = Evidence::blink(FORK, LEASE, 0, at(10.62), 1, 9.0);
    let verdict = reads.evidence(&blink, at(10.63));
    assert!(matches!(verdict, Verdict::Waiting { .. }), "{verdict:?}");
    let verdict = reads.contraction(&contraction(0, 10.3, 10.64, 9.0), at(10.65));
    assert!(matches!(verdict, Verdict::Waiting { .. }), "{verdict:?}");
    let items = reads.items(Source::Contraction);
    assert_eq!(items, 1, "{:?}", reads.counters());
    // Both signals together say no more than one of them may.
    let mut both = gate(|_| {});
    both.look(&look(0, 0, Some(1), 10.1, 10.2, None), at(10.21));
    both.evidence(
        &Evidence::blink(FORK, LEASE, 0, at(10.3), 1, 9.0),
        at(10.31),
    );
    assert!((gained(&both) - 2.0).abs() < 1e-12);
    both.look(&look(1, 0, Some(1), 10.1, 10.9, None), at(10.91));
    both.contraction(&contraction(0, 10.4, 10.9, 9.0), at(10.92));
    assert_eq!(both.items(Source::Contraction), 1);
    assert!((gained(&both) - 2.0).abs() < 1e-12, "{}", gained(&both));
    // What gaze alone does not decide, gaze and a contraction do.
    let mut with = gate(|_| {});
    with.look(&look(0, 0, Some(1), 10.2, 10.3, None), at(10.31));
    for seq in 0..3 {
        let stamp = 10.5 + 0.1 * seq as f64;
        let verdict = with.evidence(&gaze(seq, stamp, [0.0, 2.0, 0.0, 0.0]), at(stamp));
        assert!(matches!(verdict, Verdict::Waiting { .. }));
    }
    let verdict = with.contraction(&contraction(0, 10.4, 10.8, 3.0), at(10.8));
    assert!(
        matches!(verdict, Verdict::Committed { option: 1, .. }),
        "{verdict:?}"
    );
    // A reliability of 0, as a calibration may find, silences it.
    let mut off = gate(|config| config.contraction.reliability = 0.0);
    off.look(&look(0, 0, Some(1), 10.2, 10.3, None), at(10.31));
    off.evidence(&gaze(0, 10.7, [0.0, 1.0, 0.0, 0.0]), at(10.71));
    let before = *off.posterior();
    off.contraction(&contraction(0, 10.4, 10.8, 3.0), at(10.8));
    assert_eq!(off.items(Source::Contraction), 1);
    assert_eq!(*off.posterior(), before);
}

#[test]
fn the_look_before_a_long_contraction_is_still_known_when_it_is_over() {
    let mut gate = gate(|_| {});
    gate.look(&look(0, 0, Some(1), 10.2, 10.3, Some(10.5)), at(10.51));
    // Two seconds of short looks elsewhere.
    for n in 1..LOOKS_KEPT as u64 {
        let onset_s = 10.55 + 0.13 * (n - 1) as f64;
        let told = look(n, n, Some(0), onset_s, onset_s + 0.12, Some(onset_s + 0.11));
        gate.look(&told, at(onset_s + 0.125));
    }
    gate.contraction(&contraction(0, 10.5, 12.5, 1.5), at(12.52));
    assert!((gained(&gate) - 1.5).abs() < 1e-12, "{}", gained(&gate));
}

#[test]
fn what_is_not_finite_or_of_another_epoch_aborts_and_what_was_before_the_fork_is_passed_over() {
    let mut broken = gate(|_| {});
    let verdict = broken.contraction(&contraction(0, 10.4, 10.8, f64::NAN), at(10.8));
    let reason = AbortReason::NonFinite;
    assert_eq!(verdict, Verdict::Aborted { reason });
    let reason = AbortReason::EpochChanged;
    let other = Lease { epoch: 9 };
    let mut stranger = gate(|_| {});
    let told = Look {
        lease: other,
        ..look(0, 0, Some(1), 10.2, 10.3, None)
    };
    assert_eq!(stranger.look(&told, at(10.31)), Verdict::Aborted { reason });
    let mut stranger = gate(|_| {});
    let told = Contraction {
        lease: other,
        ..contraction(0, 10.2, 10.5, 2.0)
    };
    assert_eq!(
        stranger.contraction(&told, at(10.51)),
        Verdict::Aborted { reason }
    );
    let mut early = gate(|_| {});
    early.contraction(&contraction(0, 9.9, 10.3, 2.0), at(10.31));
    assert_eq!(early.counters().before_open, 1);
    assert!(!early.contraction_waits());
    // A look that began before the fork is at none of its options.
    early.look(&look(0, 0, Some(1), 9.9, 10.1, None), at(10.32));
    early.evidence(&gaze(0, 10.9, [0.0; 4]), at(10.91));
    early.contraction(&contraction(1, 10.5, 10.9, 2.0), at(10.92));
    assert_eq!(early.items(Source::Contraction), 0);
}

#[test]
fn nothing_is_carried_over_to_the_next_fork() {
    let mut gate = gate(|_| {});
    gate.look(&look(0, 0, Some(1), 10.2, 10.3, None), at(10.31));
    gate.contraction(&contraction(5, 10.9, 11.1, 2.0), at(11.1));
    assert!(gate.contraction_waits());
    gate.close();
    gate.open(ForkId(2), &KINDS, &PRIORS, at(11.11), LEASE)
        .unwrap();
    assert!(!gate.contraction_waits());
    let told = Evidence {
        fork: ForkId(2),
        ..gaze(0, 11.3, [0.0; 4])
    };
    gate.evidence(&told, at(11.31));
    let next = Contraction {
        fork: ForkId(2),
        ..contraction(0, 11.15, 11.3, 2.0)
    };
    gate.contraction(&next, at(11.31));
    assert_eq!(gate.items(Source::Contraction), 0);
    assert_eq!(gate.posterior(), gate.prior());
    assert_eq!(gate.counters().unplaced, 1);
}

/// What gaze tells: looks of some length one after the other with pauses between, each when it is known and when it is over, and a total
/// now and then; and, from beyond the last one, a total that says so.
fn gaze_lane(lengths: &[(f64, f64, usize)]) -> Vec<GateInput> {
    let now = at(17.0);
    let mut lane = Vec::new();
    let mut t = 10.05;
    for (n, (length_s, pause_s, item)) in lengths.iter().enumerate() {
        let n = n as u64;
        let item = (*item < 4).then_some(*item);
        let known_s = t + 0.11;
        let first = look(2 * n, n, item, t, known_s, None);
        lane.push(GateInput::Look { look: first, now });
        let over_s = (t + length_s + 0.01).max(known_s + 0.001);
        let over = look(2 * n + 1, n, item, t, over_s, Some(t + length_s));
        lane.push(GateInput::Look { look: over, now });
        t += length_s + pause_s;
    }
    let evidence = gaze(0, 16.9, [0.0; 4]);
    lane.push(GateInput::Evidence { evidence, now });
    lane
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn it_does_not_matter_which_line_is_heard_first(
        lengths in prop::collection::vec((0.1..0.5f64, 0.03..0.4f64, 0usize..5), 0..8),
        onset_s in 10.01..12.5f64,
        length_s in 0.15..1.3f64,
        place in 0usize..20,
    ) {
        let lane = gaze_lane(&lengths);
        let told = contraction(0, onset_s, onset_s + length_s, 1.3);
        let run = |place: usize| {
            let mut gate = gate(|config| config.evidence_items_min = 1000);
            for (n, input) in lane.iter().enumerate() {
                if n == place {
                    gate.contraction(&told, at(17.0));
                }
                gate.apply(input);
            }
            if place >= lane.len() {
                gate.contraction(&told, at(17.0));
            }
            gate
        };
        let (one, other) = (run(place), run(lane.len()));
        prop_assert_eq!(one.posterior(), other.posterior());
        prop_assert_eq!(one.counters(), other.counters());
        prop_assert_eq!(one.items(Source::Contraction), other.items(Source::Contraction));
        // And it is the look that was on when the muscle began, by its own list.
        let mut t = 10.05;
        let mut on = None;
        for (look_s, pause_s, item) in &lengths {
            if t < onset_s {
                on = Some((*item, t + look_s));
            }
            t += look_s + pause_s;
        }
        let named = on.filter(|(item, last_s)| *item < 4 && onset_s - last_s <= 0.7);
        prop_assert_eq!(one.items(Source::Contraction), u64::from(named.is_some()));
        if let Some((item, _)) = named {
            let (p, prior) = (one.posterior().as_slice(), one.prior().as_slice());
            let rival = usize::from(item == 0);
            let gained = (p[item] / p[rival]).ln() - (prior[item] / prior[rival]).ln();
            prop_assert!((gained - 1.3).abs() < 1e-9, "{gained}");
        }
    }

    #[test]
    fn ticks_that_end_nothing_need_not_be_kept(
        steps in prop::collection::vec((0u8..6, 0.0..0.2f64, 0.0..0.9f64, 0usize..5), 1..60),
    ) {
        // Inputs in the order of time, each with what it says; ticks between them.
        let mut now_s = 10.0;
        let mut inputs = Vec::new();
        for (n, (what, later_s, ago_s, item)) in steps.into_iter().enumerate() {
            now_s += later_s;
            let (seq, now, stamp_s) = (n as u64, at(now_s), (now_s - ago_s / 3.0).max(10.0));
            let item = (item < 4).then_some(item);
            inputs.push(match what {
                0 => GateInput::Evidence { evidence: gaze(seq, stamp_s, [0.0, 0.1, 0.0, 0.0]), now },
                1 => GateInput::Look { look: look(seq, seq / 5, item, stamp_s - 0.1, stamp_s, None), now },
                2 => GateInput::Contraction {
                    contraction: contraction(seq, now_s - ago_s, now_s, 0.2 + ago_s),
                    now,
                },
                _ => GateInput::Tick { now },
            });
        }
        let mut all = gate(|config| config.timeout_s = 600.0);
        let mut kept = all.clone();
        for input in &inputs {
            let verdict = all.apply(input);
            if !matches!(input, GateInput::Tick { .. }) || verdict.is_terminal() {
                prop_assert_eq!(kept.apply(input), verdict);
                prop_assert_eq!(kept.posterior(), all.posterior());
                prop_assert_eq!(kept.contraction_waits(), all.contraction_waits());
            }
        }
    }

    #[test]
    fn any_number_of_signals_separates_two_options_by_what_they_share(
        signals in prop::collection::vec((any::<bool>(), 0.0..50.0f64, 0usize..4), 1..40),
        share in 0.1..10.0f64,
        reliabilities in (0.0..=1.0f64, 0.0..=1.0f64),
    ) {
        let mut gate = gate(|config| {
            config.blink.total_clip_nats = share;
            config.blink.item_clip_nats = 20.0;
            config.contraction.item_clip_nats = 20.0;
            config.blink.reliability = reliabilities.0;
            config.contraction.reliability = reliabilities.1;
        });
        for (n, (blink, llr_nats, item)) in signals.into_iter().enumerate() {
            let (seq, t) = (n as u64, 10.1 + 0.1 * n as f64);
            if blink {
                gate.evidence(&Evidence::blink(FORK, LEASE, seq, at(t), item, llr_nats), at(t));
            } else {
                gate.look(&look(2 * seq, seq, Some(item), t - 0.05, t, None), at(t));
                gate.contraction(&contraction(seq, t + 0.005, t + 0.01, llr_nats), at(t + 0.01));
                let onward = look(2 * seq + 1, seq, Some(item), t - 0.05, t + 0.13, None);
                gate.look(&onward, at(t + 0.13));
            }
        }
        let (p, prior) = (gate.posterior().as_slice(), gate.prior().as_slice());
        for a in 0..4 {
            for b in 0..4 {
                let moved = (p[a] / p[b]).ln() - (prior[a] / prior[b]).ln();
                prop_assert!(moved.abs() <= share + 1e-9, "{moved} of {share}");
            }
        }
    }
}
