//! Epochs and their scores.

use proptest::collection::vec;
use proptest::prelude::*;
use razvilka_dsp::epoch::{
    EpochBank, EpochShape, EpochStatus, FinishedEpoch, Rejection, SampleNote,
};
use razvilka_dsp::mask::ChannelMask;
use razvilka_dsp::score::{LinearScorer, ScoreDensity, StudentT};
use razvilka_dsp::tangent::{TangentParts, TangentScorer};
use razvilka_dsp::units::{Microvolts, SampleIndex};

use crate::{fused, hz, s};

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_epoch_bank_scores_as_it_fills_and_resets(
        values in vec(-100.0_f64..100.0, 3 * 120),
        weights in vec(-1.0_f64..1.0, 3 * 5),
        opened in vec(0_u64..70, 1..6),
    ) {
        let shape = EpochShape::new(3, s(0.04 * 5.0), hz(250.0), hz(25.0)).unwrap();
        prop_assert_eq!((shape.bins(), shape.bin_samples()), (5, 10));
        let scorer = LinearScorer::new(shape, &weights, 0.5).unwrap();
        let mut bank = EpochBank::new(shape, Microvolts::new(1e6).unwrap(), 6).unwrap();
        bank.set_scorer(scorer.clone().into()).unwrap();
        let run = |bank: &mut EpochBank| {
            let mut done = Vec::new();
            for (i, sample) in values.chunks_exact(3).enumerate() {
                let index = SampleIndex(i as u64);
                for at in opened.iter().filter(|at| **at == index.0) {
                    bank.open(*at, 0.0, index, 0).unwrap();
                }
                let note = SampleNote { index, break_before: None, doubt: None, bad: ChannelMask::NONE };
                bank.push(sample, &note, &mut |e: &FinishedEpoch<'_>| {
                    done.push((e.id, e.last, e.score.unwrap(), e.features.to_vec()));
                }).unwrap();
            }
            done
        };
        let first = run(&mut bank);
        prop_assert_eq!(first.len(), opened.len());
        for (id, last, score, features) in &first {
            prop_assert_eq!(last.0, id + 49);
            // The incremental score is the whole one, to the bit, and the features are plain means.
            prop_assert_eq!(score.to_bits(), scorer.score(features).unwrap().to_bits());
            let from = *id as usize * 3 + 1;
            let mean: f64 = values[from..].iter().step_by(3).take(10).sum::<f64>() / 10.0;
            prop_assert!((features[5] - mean).abs() < 1e-9);
        }
        bank.reset();
        prop_assert_eq!(first, run(&mut bank));
    }

    #[test]
    fn a_tangent_space_score_is_the_same_gathered_bin_by_bin_and_as_a_whole(
        values in vec(prop_oneof![8 => -100.0_f64..100.0, 1 => Just(0.0), 1 => -1e9_f64..1e9], 3 * 120),
        flat in prop_oneof![3 => Just(false), 1 => Just(true)],
        components in 1_usize..6,
        prototypes in 1_usize..8,
        seed in any::<u64>(),
        opened in vec(0_u64..70, 1..6),
    ) {
        let shape = EpochShape::new(3, s(0.04 * 5.0), hz(250.0), hz(25.0)).unwrap();
        let mut scorer = fused(shape, components, prototypes, seed);
        let values = if flat { vec![7.5; values.len()] } else { values };
        let mut bank = EpochBank::new(shape, Microvolts::new(1e6).unwrap(), 6).unwrap();
        bank.set_scorer(scorer.clone()).unwrap();
        let run = |bank: &mut EpochBank| {
            let mut done = Vec::new();
            for (i, sample) in values.chunks_exact(3).enumerate() {
                let index = SampleIndex(i as u64);
                for at in opened.iter().filter(|at| **at == index.0) {
                    bank.open(*at, 0.0, index, 0).unwrap();
                }
                let note = SampleNote { index, break_before: None, doubt: None, bad: ChannelMask::NONE };
                bank.push(sample, &note, &mut |e: &FinishedEpoch<'_>| {
                    done.push((e.id, e.score.unwrap().to_bits(), e.features.to_vec()));
                }).unwrap();
            }
            done
        };
        let first = run(&mut bank);
        prop_assert_eq!(first.len(), opened.len());
        for (_, score, features) in &first {
            prop_assert!(f64::from_bits(*score).is_finite());
            prop_assert_eq!(*score, scorer.score(features).unwrap().to_bits());
        }
        // What was scored before leaves no trace: neither after a reset nor in a new bank.
        bank.reset();
        prop_assert_eq!(&first, &run(&mut bank));
        let mut new = EpochBank::new(shape, Microvolts::new(1e6).unwrap(), 6).unwrap();
        new.set_scorer(fused(shape, components, prototypes, seed)).unwrap();
        prop_assert_eq!(first, run(&mut new));
    }

    #[test]
    fn an_epoch_without_any_signal_under_prototypes_of_nothing_still_has_a_finite_score(
        level in -1e6_f64..1e6,
        seed in any::<u64>(),
    ) {
        let shape = EpochShape::new(3, s(0.04 * 5.0), hz(250.0), hz(25.0)).unwrap();
        let gains: Vec<f64> = (0..4).map(|k| (seed % 97) as f64 - f64::from(k)).collect();
        let parts = TangentParts {
            filters: &[1.0; 6],
            prototypes: &[0.0; 10],
            whitening: &[1.0; 16],
            gains: &gains,
            bias: 0.0,
        };
        let mut scorer = TangentScorer::new(shape, &parts).unwrap();
        prop_assert!(scorer.score(&[0.0; 15]).unwrap().is_finite());
        prop_assert!(scorer.score(&[level; 15]).unwrap().is_finite());
    }

    #[test]
    fn an_epoch_that_is_not_finite_is_never_clean_and_spoils_no_other(
        values in vec(-100.0_f64..100.0, 3 * 100),
        spoilt in (0_usize..50, 0_usize..3, prop_oneof![
            Just(f64::NAN), Just(f64::INFINITY), Just(f64::NEG_INFINITY), Just(1e200), Just(-1e308),
        ]),
        seed in any::<u64>(),
    ) {
        let shape = EpochShape::new(3, s(0.04 * 5.0), hz(250.0), hz(25.0)).unwrap();
        let (at, channel, value) = spoilt;
        let mut spoilt = values.clone();
        spoilt[at * 3 + channel] = value;
        let run = |values: &[f64]| {
            let mut bank = EpochBank::new(shape, Microvolts::new(1e6).unwrap(), 2).unwrap();
            bank.set_scorer(fused(shape, 3, 4, seed)).unwrap();
            let mut done = Vec::new();
            for (i, sample) in values.chunks_exact(3).enumerate() {
                let index = SampleIndex(i as u64);
                if i % 50 == 0 {
                    bank.open(index.0, 0.0, index, 0).unwrap();
                }
                let note = SampleNote { index, break_before: None, doubt: None, bad: ChannelMask::NONE };
                bank.push(sample, &note, &mut |e: &FinishedEpoch<'_>| {
                    done.push((e.status, e.score.map(f64::to_bits)));
                }).unwrap();
            }
            done
        };
        let (clean, dirty) = (run(&values), run(&spoilt));
        prop_assert_eq!(dirty.len(), 2);
        prop_assert!(!dirty[0].0.is_clean());
        if !value.is_finite() {
            prop_assert_eq!(dirty[0].0, EpochStatus::Rejected(Rejection::NotFinite));
        }
        // The next epoch goes through the same scratch.
        prop_assert!(dirty[1].0.is_clean());
        prop_assert_eq!(dirty[1], clean[1]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn evidence_of_a_score_is_finite_and_clipped(
        location in -3.0_f64..3.0, scale in 0.1_f64..5.0, dof in 1.0_f64..200.0, score in any::<f64>(),
    ) {
        let density = ScoreDensity::new(
            StudentT { location, scale, dof },
            StudentT { location: 0.0, scale: 1.0, dof: 5.0 },
            (-6.0, 6.0),
            4.5,
        ).unwrap();
        match density.llr(score) {
            Some(llr) => prop_assert!(score.is_finite() && llr.abs() <= 4.5),
            None => prop_assert!(!score.is_finite()),
        }
    }
}
