//! What the gate promises, whatever it is fed.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]

use proptest::prelude::*;
use razvilka::fork::{ForkId, MAX_OPTIONS};
use razvilka::gate::{
    AbortReason, Contraction, ContradictionPolicy, Evidence, EvidenceMode, Gate, GateConfig,
    GateInput, GateSettings, Lease, Look, Source, State, Verdict,
};
use razvilka::marker::OptionKind;
use razvilka_dsp::units::LslTime;

const FORK: ForkId = ForkId(7);
const LEASE: Lease = Lease { epoch: 3 };

fn at(seconds: f64) -> LslTime {
    LslTime::new(seconds).unwrap()
}

fn settings(change: impl FnOnce(&mut GateConfig)) -> GateSettings {
    let mut config = GateConfig::default();
    change(&mut config);
    GateSettings::new(config).unwrap()
}

/// Settings under which nothing short of a key press ends a fork, so that posteriors can be looked at.
fn never_commits() -> GateSettings {
    settings(|config| {
        config.evidence_items_min = 1000;
        config.timeout_s = 600.0;
    })
}

fn opened(settings: GateSettings, kinds: &[OptionKind], priors: &[f64]) -> Gate {
    let mut gate = Gate::new(settings);
    gate.open(FORK, kinds, priors, at(100.0), LEASE).unwrap();
    gate
}

fn item(
    source: Source,
    mode: EvidenceMode,
    seq: u64,
    log_lik_nats: [f64; MAX_OPTIONS],
) -> Evidence {
    Evidence {
        fork: FORK,
        lease: LEASE,
        source,
        mode,
        seq,
        at: at(100.1),
        log_lik_nats,
    }
}

fn is_commit(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Committed { .. })
}

fn kind() -> impl Strategy<Value = OptionKind> {
    prop_oneof![
        3 => Just(OptionKind::Branch),
        1 => Just(OptionKind::Other),
        1 => Just(OptionKind::Undo),
        1 => Just(OptionKind::GoOn),
    ]
}

fn fork() -> impl Strategy<Value = (Vec<OptionKind>, Vec<f64>)> {
    (2..=MAX_OPTIONS).prop_flat_map(|options| {
        (
            prop::collection::vec(kind(), options),
            prop::collection::vec(
                prop_oneof![4 => 0.0..=1.0, 1 => Just(0.0), 1 => Just(1e-300)],
                options,
            ),
        )
    })
}

fn log_liks() -> impl Strategy<Value = [f64; MAX_OPTIONS]> {
    prop::array::uniform8(-8.0..8.0)
}

/// Anything at all, NaN and infinity included.
fn wild() -> impl Strategy<Value = [f64; MAX_OPTIONS]> {
    prop_oneof![
        6 => log_liks(),
        1 => prop::array::uniform8(prop::num::f64::ANY),
        1 => prop::array::uniform8(prop_oneof![Just(f64::MAX), Just(f64::MIN), Just(0.0)]),
    ]
}

fn input() -> impl Strategy<Value = GateInput> {
    let source = prop_oneof![5 => Just(Source::Gaze), 5 => Just(Source::P300), 1 => Just(Source::Switch), 1 => Just(Source::Contraction)];
    let mode = prop_oneof![Just(EvidenceMode::Add), Just(EvidenceMode::Replace)];
    let about = prop_oneof![20 => Just(FORK), 1 => (0u64..20).prop_map(ForkId)];
    let lease = prop_oneof![40 => Just(LEASE), 1 => (0u64..6).prop_map(|epoch| Lease { epoch })];
    let stamp = prop_oneof![20 => 100.0..110.0, 1 => -1e12..1e12];
    let now = prop_oneof![40 => 100.0..110.0, 1 => -1e12..1e12];
    let evidence = (about, lease, source, mode, 0u64..1000, stamp, wild()).prop_map(
        |(fork, lease, source, mode, seq, stamp, log_lik_nats)| Evidence {
            fork,
            lease,
            source,
            mode,
            seq,
            at: at(stamp),
            log_lik_nats,
        },
    );
    let stamps = || prop_oneof![20 => 100.0..110.0, 1 => -1e12..1e12];
    let told = || {
        let about = prop_oneof![20 => Just(FORK), 1 => (0u64..20).prop_map(ForkId)];
        let lease =
            prop_oneof![60 => Just(LEASE), 1 => (0u64..6).prop_map(|epoch| Lease { epoch })];
        (about, lease, 0u64..1000, stamps(), stamps())
    };
    let look = (told(), stamps(), any::<(u8, bool)>(), 0u64..5).prop_map(
        |((fork, lease, seq, stamp, onset), last, (item, over), look)| Look {
            fork,
            lease,
            seq,
            at: at(stamp),
            look,
            item: (item < 200).then_some(usize::from(item % 12)),
            onset: at(onset),
            last: at(last),
            over,
        },
    );
    let llr = prop_oneof![20 => 0.0..5.0f64, 1 => prop::num::f64::ANY];
    let contraction =
        (told(), llr).prop_map(|((fork, lease, seq, stamp, onset), llr_nats)| Contraction {
            fork,
            lease,
            seq,
            onset: at(onset),
            at: at(stamp),
            llr_nats,
        });
    let reason = prop_oneof![Just(AbortReason::SourceLost), Just(AbortReason::Paused)];
    prop_oneof![
        30 => (evidence, now.clone()).prop_map(|(evidence, now)| GateInput::Evidence { evidence, now: at(now) }),
        15 => (look, now.clone()).prop_map(|(look, now)| GateInput::Look { look, now: at(now) }),
        10 => (contraction, now.clone()).prop_map(|(contraction, now)| GateInput::Contraction { contraction, now: at(now) }),
        5 => now.clone().prop_map(|now| GateInput::Tick { now: at(now) }),
        1 => (reason, now).prop_map(|(reason, now)| GateInput::Abort { reason, now: at(now) }),
    ]
}

/// What must hold of a gate at any moment.
fn check(gate: &Gate, verdict: &Verdict, options: usize) -> Result<(), TestCaseError> {
    prop_assert_eq!(verdict, &gate.verdict());
    let arms = gate.arms();
    for posterior in [arms.prior, arms.gaze, arms.eeg, arms.keyboard, arms.fused] {
        let sum: f64 = posterior.as_slice().iter().sum();
        prop_assert!((sum - 1.0).abs() < 1e-12, "{posterior:?}");
        prop_assert!(posterior.as_slice().iter().all(|p| (0.0..=1.0).contains(p)));
        prop_assert_eq!(posterior.options(), options);
    }
    if let Verdict::Committed {
        option,
        posterior,
        margin,
    } = *verdict
    {
        let config = gate.settings().config();
        prop_assert!(option < options);
        prop_assert_eq!(gate.state(), State::Committed(option));
        prop_assert!(posterior >= config.commit_threshold && margin >= config.commit_margin);
        prop_assert_eq!(gate.posterior().best().option, option);
        let graded = gate.items(Source::Gaze) + gate.items(Source::P300);
        prop_assert!(
            gate.items(Source::Switch) > 0 || graded >= u64::from(config.evidence_items_min)
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_sequence_of_inputs_panics_or_leaves_an_invalid_state(
        (kinds, priors) in fork(),
        inputs in prop::collection::vec(input(), 0..60),
        threshold in 0.5..0.99f64,
        policy in prop_oneof![
            Just(ContradictionPolicy::Abort),
            Just(ContradictionPolicy::Hold),
            Just(ContradictionPolicy::Commit),
        ],
    ) {
        let settings = settings(|config| {
            config.commit_threshold = threshold;
            config.commit_margin = 0.0;
            config.contradiction = policy;
            config.evidence_age_s_max = 10.0;
        });
        let mut gate = opened(settings, &kinds, &priors);
        let mut again = gate.clone();
        let mut ended: Option<(Verdict, Gate)> = None;
        for input in &inputs {
            let verdict = gate.apply(input);
            check(&gate, &verdict, kinds.len())?;
            prop_assert_eq!(again.apply(input), verdict, "the same inputs must give the same verdicts");
            if let Some((end, then)) = &ended {
                prop_assert_eq!(&verdict, end, "a terminal state is for good");
                prop_assert_eq!(gate.arms(), then.arms());
            } else if verdict.is_terminal() {
                prop_assert!(gate.state().is_terminal());
                ended = Some((verdict, gate.clone()));
            }
        }
        let last = gate.close();
        prop_assert!(last.is_terminal());
        prop_assert_eq!(gate.state(), State::Closed);
    }

    #[test]
    fn the_order_of_added_evidence_does_not_matter(
        (kinds, priors) in fork(),
        items in prop::collection::vec((any::<bool>(), log_liks()), 1..40),
        shift in 0usize..40,
    ) {
        let run = |items: Vec<(bool, [f64; MAX_OPTIONS])>| {
            let mut gate = opened(never_commits(), &kinds, &priors);
            for (seq, (gaze, values)) in items.into_iter().enumerate() {
                let source = if gaze { Source::Gaze } else { Source::P300 };
                gate.evidence(&item(source, EvidenceMode::Add, seq as u64, values), at(100.2));
            }
            *gate.posterior()
        };
        let mut turned = items.clone();
        turned.rotate_left(shift % items.len());
        turned.reverse();
        for (a, b) in run(items).as_slice().iter().zip(run(turned).as_slice()) {
            prop_assert!((a - b).abs() < 1e-10);
        }
    }

    #[test]
    fn only_the_last_replaced_total_counts(
        (kinds, priors) in fork(),
        totals in prop::collection::vec(log_liks(), 1..20),
    ) {
        let mut all = opened(never_commits(), &kinds, &priors);
        let mut last = opened(never_commits(), &kinds, &priors);
        for (seq, total) in totals.iter().enumerate() {
            all.evidence(&item(Source::Gaze, EvidenceMode::Replace, seq as u64, *total), at(100.2));
        }
        let total = totals[totals.len() - 1];
        last.evidence(&item(Source::Gaze, EvidenceMode::Replace, 0, total), at(100.2));
        prop_assert_eq!(all.posterior(), last.posterior());
    }

    #[test]
    fn a_constant_added_to_all_log_likelihoods_changes_nothing(
        (kinds, priors) in fork(),
        values in log_liks(),
        constant in -1e3..1e3f64,
        replace: bool,
    ) {
        let mode = if replace { EvidenceMode::Replace } else { EvidenceMode::Add };
        let run = |values| {
            let mut gate = opened(never_commits(), &kinds, &priors);
            gate.evidence(&item(Source::P300, mode, 0, values), at(100.2));
            *gate.posterior()
        };
        for (a, b) in run(values).as_slice().iter().zip(run(values.map(|v| v + constant)).as_slice()) {
            prop_assert!((a - b).abs() < 1e-9);
        }
    }

    #[test]
    fn no_prior_commits_without_evidence_and_none_exceeds_its_cap(
        (kinds, priors) in fork(),
        ratio in 1.0..=100.0f64,
        seconds in 0.0..20.0f64,
    ) {
        let settings = settings(|config| {
            config.prior_ratio_max = ratio;
            config.commit_threshold = 0.5;
            config.commit_margin = 0.0;
        });
        let mut gate = opened(settings, &kinds, &priors);
        let prior = gate.prior().as_slice();
        let largest = prior.iter().copied().fold(0.0, f64::max);
        let smallest = prior.iter().copied().fold(1.0, f64::min);
        prop_assert!(largest / smallest <= ratio * (1.0 + 1e-9), "{prior:?}");
        let verdict = gate.tick(at(100.0 + seconds));
        prop_assert!(!is_commit(&verdict));
        // Evidence that prefers nothing leaves the prior as it was, and commits nothing either.
        for seq in 0..10 {
            let flat = item(Source::P300, EvidenceMode::Add, seq, [1.5; MAX_OPTIONS]);
            let verdict = gate.evidence(&flat, at(100.2));
            prop_assert!(!is_commit(&verdict));
        }
    }

    #[test]
    fn enough_evidence_overrules_any_prior(
        (kinds, priors) in fork(),
        wish in 0usize..MAX_OPTIONS,
    ) {
        let wish = wish % kinds.len();
        let mut gate = opened(GateSettings::default(), &kinds, &priors);
        // The cap of 10 is 2.3 nats, 7 rivals at threshold 0.9 another 4.2: three flashes of 3 nats always do.
        let mut verdict = gate.verdict();
        for seq in 0..3 {
            let flash = Evidence::flash(FORK, LEASE, seq, at(100.1), wish, 3.0);
            verdict = gate.evidence(&flash, at(100.2));
        }
        prop_assert!(matches!(verdict, Verdict::Committed { option, .. } if option == wish), "{verdict:?}");
    }

    #[test]
    fn a_commit_is_what_the_person_prefers_whatever_the_model_prefers(
        (kinds, priors) in fork(),
        items in prop::collection::vec((any::<bool>(), log_liks()), 1..40),
    ) {
        let settings = settings(|config| {
            config.commit_threshold = 0.5;
            config.commit_margin = 0.0;
            config.contradiction = ContradictionPolicy::Commit;
        });
        let mut gate = opened(settings, &kinds, &priors);
        for (seq, (gaze, values)) in items.into_iter().enumerate() {
            let source = if gaze { Source::Gaze } else { Source::P300 };
            gate.evidence(&item(source, EvidenceMode::Add, seq as u64, values), at(100.2));
        }
        if let State::Committed(option) = gate.state() {
            let arms = gate.arms();
            let human: Vec<f64> = arms.gaze.as_slice().iter().zip(arms.eeg.as_slice())
                .map(|(gaze, eeg)| gaze.ln() + eeg.ln())
                .collect();
            for (rival, value) in human.iter().enumerate() {
                prop_assert!(rival == option || human[option] - value >= 1.0 - 1e-6);
            }
        }
    }

    #[test]
    fn a_key_press_commits_its_option_against_everything_else(
        (kinds, priors) in fork(),
        items in prop::collection::vec(log_liks(), 0..10),
        press in 0usize..MAX_OPTIONS,
    ) {
        let press = press % kinds.len();
        let mut gate = opened(never_commits(), &kinds, &priors);
        for (seq, values) in items.into_iter().enumerate() {
            gate.evidence(&item(Source::Gaze, EvidenceMode::Add, seq as u64, values), at(100.2));
        }
        let verdict = gate.evidence(&Evidence::key_press(FORK, LEASE, 0, at(100.2), press), at(100.2));
        prop_assert_eq!(verdict, Verdict::Committed { option: press, posterior: 1.0, margin: 1.0 });
        prop_assert_eq!(gate.arms().keyboard.pick(), Some(press));
    }

    #[test]
    fn evidence_of_another_epoch_aborts(values in log_liks(), epoch: u64, (kinds, priors) in fork()) {
        prop_assume!(epoch != LEASE.epoch);
        let mut gate = opened(GateSettings::default(), &kinds, &priors);
        let stranger = Evidence { lease: Lease { epoch }, ..item(Source::P300, EvidenceMode::Add, 0, values) };
        let verdict = gate.evidence(&stranger, at(100.2));
        prop_assert_eq!(verdict, Verdict::Aborted { reason: AbortReason::EpochChanged });
    }

    #[test]
    fn an_option_that_gains_evidence_gains_probability(
        (kinds, priors) in fork(),
        option in 0usize..MAX_OPTIONS,
        llr in 0.01..4.0f64,
    ) {
        let option = option % kinds.len();
        let mut gate = opened(never_commits(), &kinds, &priors);
        let before = gate.posterior().as_slice()[option];
        gate.evidence(&Evidence::flash(FORK, LEASE, 0, at(100.1), option, llr), at(100.2));
        let after = gate.posterior().as_slice()[option];
        prop_assert!(after > before);
        // Bayes' rule for one likelihood ratio: the odds are multiplied by it.
        let odds = |p: f64| p / (1.0 - p);
        prop_assert!((odds(after) / odds(before) / llr.exp() - 1.0).abs() < 1e-9);
    }
}
