//! Stamps and clocks.

use proptest::collection::vec;
use proptest::prelude::*;
use razvilka_dsp::clock::{Chunk, ClockGuard, ClockSpec, Doubts};
use razvilka_dsp::stamps::{StampGuard, StampRule, StampVerdict};

use crate::{hz, s};

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_stamp_guard_resets_and_says_only_finite_rising_times(
        stamps in vec(prop_oneof![
            8 => (0_i64..4000).prop_map(|k| k as f64 * 0.004),
            1 => any::<f64>(),
        ], 1..300),
        sorted in any::<bool>(),
        blocks in any::<bool>(),
    ) {
        let rule = if blocks { StampRule::Blocks } else { StampRule::PerSample };
        let mut stamps = stamps;
        if sorted {
            stamps.sort_by(f64::total_cmp);
        }
        let mut guard = StampGuard::new(hz(250.0), rule);
        let first: Vec<StampVerdict> = stamps.iter().map(|t| guard.push(*t)).collect();
        let mut last_s = f64::NEG_INFINITY;
        let mut taken = 0;
        for verdict in &first {
            let time_s = match *verdict {
                StampVerdict::Drop(_) => continue,
                StampVerdict::InOrder { time_s } => time_s,
                StampVerdict::Gap { time_s, missing, .. } => {
                    prop_assert!(missing > 0);
                    time_s
                }
                StampVerdict::ClockJump { time_s, step_s } => {
                    prop_assert!(step_s.is_finite());
                    last_s = f64::NEG_INFINITY;
                    time_s
                }
            };
            taken += 1;
            prop_assert!(time_s.is_finite() && time_s > last_s, "{time_s} after {last_s}");
            last_s = time_s;
        }
        let c = guard.counts();
        prop_assert_eq!(c.accepted, taken);
        let dropped = c.duplicates + c.backward + c.not_finite + c.far_future + c.unanchored;
        prop_assert_eq!(c.accepted + dropped, stamps.len() as u64);
        guard.reset();
        let again: Vec<StampVerdict> = stamps.iter().map(|t| guard.push(*t)).collect();
        prop_assert_eq!(first, again);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_clock_guard_resets_and_survives_any_numbers(
        chunks in vec((any::<f64>(), prop_oneof![Just(0.03_f64), any::<f64>()], any::<u32>()), 0..60),
    ) {
        let spec = ClockSpec { rate: Some(hz(250.0)), chunk_period: s(0.03), age_limit: s(0.1) };
        let mut guard = ClockGuard::new(spec).unwrap();
        let run = |guard: &mut ClockGuard| {
            let mut at_s = 0.0;
            let mut doubts: Vec<Doubts> = Vec::new();
            for (stamp, step, samples) in &chunks {
                at_s += step;
                doubts.push(guard.offset(at_s, *stamp, 1e-4));
                doubts.push(guard.chunk(Chunk { newest_stamp_s: *stamp, arrival_s: at_s, samples: *samples }));
            }
            format!("{doubts:?}")
        };
        let first = run(&mut guard);
        guard.reset();
        prop_assert_eq!(first, run(&mut guard));
    }
}
