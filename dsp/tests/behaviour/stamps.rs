use razvilka_dsp::stamps::{Dropped, GapAction, StampCounts, StampGuard, StampRule, StampVerdict};

use super::{Noise, hz};

fn guard(rate: f64, rule: StampRule) -> StampGuard {
    StampGuard::new(hz(rate), rule)
}

fn feed(guard: &mut StampGuard, stamps: impl IntoIterator<Item = f64>) -> Vec<StampVerdict> {
    stamps.into_iter().map(|t| guard.push(t)).collect()
}

#[test]
fn regular_stamps_are_all_in_order_at_any_rate() {
    for rate in [100.0, 250.0, 256.0, 1000.0, 30_000.0] {
        let mut g = guard(rate, StampRule::PerSample);
        feed(&mut g, (0..10_000).map(|i| 1e6 + f64::from(i) / rate));
        assert_eq!(
            g.counts(),
            StampCounts {
                accepted: 10_000,
                ..StampCounts::default()
            },
            "{rate} Hz"
        );
    }
}

#[test]
fn one_missing_sample_is_seen_wherever_it_is() {
    for lost in [1_u32, 2, 3, 10, 500] {
        let mut g = guard(250.0, StampRule::PerSample);
        let stamps = (0..600)
            .filter(|i| *i != lost)
            .map(|i| f64::from(i) * 0.004);
        let gaps: Vec<_> = feed(&mut g, stamps)
            .into_iter()
            .filter(|v| !matches!(v, StampVerdict::InOrder { .. }))
            .collect();
        assert_eq!(
            gaps,
            [StampVerdict::Gap {
                time_s: f64::from(lost + 1) * 0.004,
                missing: 1,
                action: GapAction::Interpolate
            }],
            "sample {lost}"
        );
    }
}

#[test]
fn a_gap_is_bridged_to_20_ms_rejected_to_1_s_and_a_restart_beyond() {
    for (missing, action) in [
        (5, GapAction::Interpolate),
        (6, GapAction::Reject),
        (250, GapAction::Reject),
        (251, GapAction::Restart),
        (75_000, GapAction::Restart),
    ] {
        let mut g = guard(250.0, StampRule::PerSample);
        feed(&mut g, (0..100).map(|i| f64::from(i) * 0.004));
        let time_s = f64::from(100 + missing) * 0.004;
        let verdict = g.push(time_s);
        assert_eq!(
            verdict,
            StampVerdict::Gap {
                time_s,
                missing: missing as u64,
                action
            }
        );
        assert_eq!(
            g.push(time_s + 0.004),
            StampVerdict::InOrder {
                time_s: time_s + 0.004
            }
        );
        assert_eq!(g.counts().missing, missing as u64);
    }
}

#[test]
fn jitter_is_not_taken_for_loss_and_long_loss_is_still_seen() {
    // Stamps by arrival: half a period of jitter at 1 kHz, and one loss of 12 samples.
    let mut noise = Noise(3);
    let mut g = guard(1000.0, StampRule::PerSample);
    let mut last: f64 = 0.0;
    let mut gaps = Vec::new();
    for i in (0..20_000).filter(|i| !(15_000..15_012).contains(i)) {
        let t = f64::from(i) * 0.001 + 0.0005 * noise.normal().clamp(-3.0, 3.0);
        // A clock does not run backwards, however late the stamp is read.
        last = (last + 1e-6).max(t);
        if let StampVerdict::Gap { missing, .. } = g.push(last) {
            gaps.push((i, missing));
        }
    }
    let late: Vec<_> = gaps.iter().filter(|(i, _)| *i > 1_000).collect();
    assert!(
        late.iter()
            .any(|(i, n)| *i == 15_012 && (10..=14).contains(n)),
        "{late:?}"
    );
    assert!(late.len() <= 20, "of 19,000 samples: {late:?}");
    assert_eq!(g.counts().clock_jumps, 0);
}

#[test]
fn a_rate_that_is_off_by_one_percent_is_followed_without_gaps() {
    for rate in [252.5, 247.5] {
        let mut g = guard(250.0, StampRule::PerSample);
        feed(&mut g, (0..20_000).map(|i| f64::from(i) / rate));
        assert_eq!(g.counts().missing, 0, "{rate}");
        assert_eq!(g.counts().clock_jumps, 0, "{rate}");
        let fitted = 1.0 / g.fitted_period_s().unwrap();
        assert!((fitted / rate - 1.0).abs() < 1e-6, "{fitted} for {rate}");
    }
}

#[test]
fn doubled_backward_broken_and_far_future_stamps_are_dropped_and_counted() {
    let mut g = guard(250.0, StampRule::PerSample);
    feed(&mut g, (0..100).map(|i| f64::from(i) * 0.004));
    let verdicts = feed(
        &mut g,
        [
            0.396,
            0.2,
            f64::NAN,
            f64::INFINITY,
            -f64::INFINITY,
            1e15,
            5_000.0,
            0.4,
        ],
    );
    use StampVerdict::{Drop, InOrder};
    assert_eq!(
        verdicts,
        [
            Drop(Dropped::Duplicate),
            Drop(Dropped::Backward),
            Drop(Dropped::NotFinite),
            Drop(Dropped::NotFinite),
            Drop(Dropped::NotFinite),
            Drop(Dropped::NotFinite),
            Drop(Dropped::FarFuture),
            InOrder { time_s: 0.4 },
        ]
    );
    let c = g.counts();
    assert_eq!(
        (c.duplicates, c.backward, c.not_finite, c.far_future),
        (1, 1, 4, 1)
    );
    assert_eq!((c.accepted, c.missing, c.clock_jumps), (101, 0, 0));
}

#[test]
fn a_clock_that_was_set_is_believed_after_100_ms_and_only_then() {
    for step_s in [-3_600.0, -0.501, 7_200.0] {
        let mut g = guard(250.0, StampRule::PerSample);
        feed(&mut g, (0..1_000).map(|i| 1e5 + f64::from(i) * 0.004));
        let after = feed(
            &mut g,
            (1_000..1_060).map(|i| 1e5 + step_s + f64::from(i) * 0.004),
        );
        let believed = after
            .iter()
            .position(|v| matches!(v, StampVerdict::ClockJump { .. }))
            .unwrap();
        assert_eq!(believed, 24, "step of {step_s} s");
        assert!(
            after[..believed]
                .iter()
                .all(|v| matches!(v, StampVerdict::Drop(_)))
        );
        assert!(
            after[believed + 1..]
                .iter()
                .all(|v| matches!(v, StampVerdict::InOrder { .. }))
        );
        let StampVerdict::ClockJump { step_s: seen, .. } = after[believed] else {
            unreachable!()
        };
        assert!((seen - step_s).abs() < 1e-6, "{seen} for {step_s}");
        assert_eq!(g.counts().clock_jumps, 1);
    }
}

#[test]
fn samples_that_come_faster_than_the_clock_allows_are_a_jump() {
    // A stall of 300 ms, then what was held back, stamped as it left.
    let mut g = guard(250.0, StampRule::PerSample);
    feed(&mut g, (0..1_000).map(|i| f64::from(i) * 0.004));
    let burst = feed(&mut g, (0..75).map(|i| 4.3 + f64::from(i) * 1e-5));
    assert!(matches!(
        burst[0],
        StampVerdict::Gap {
            action: GapAction::Reject,
            ..
        }
    ));
    assert!(
        burst
            .iter()
            .any(|v| matches!(v, StampVerdict::ClockJump { .. }))
    );
}

/// A stream like `lsl_timing/block_stamps.xdf`: 1 kHz, blocks of a second that share their last sample's stamp, the first one cut.
fn blocks(sizes: &[u32]) -> Vec<f64> {
    let mut stamps = Vec::new();
    for (k, size) in sizes.iter().enumerate() {
        stamps.extend(std::iter::repeat_n(
            1_779_270_000.0 + k as f64,
            *size as usize,
        ));
    }
    stamps
}

#[test]
fn block_stamps_are_spread_so_that_each_block_ends_at_its_stamp() {
    let mut g = guard(1000.0, StampRule::Blocks);
    let verdicts = feed(&mut g, blocks(&[757, 1000, 1000, 1000, 243]));
    assert!(
        verdicts[..757]
            .iter()
            .all(|v| *v == StampVerdict::Drop(Dropped::Unanchored))
    );
    for (i, verdict) in verdicts[757..].iter().enumerate() {
        let StampVerdict::InOrder { time_s } = verdict else {
            panic!("sample {i}: {verdict:?}");
        };
        let want = 1_779_270_000.0 + (i + 1) as f64 * 0.001;
        assert!(
            (time_s - want).abs() < 1e-5,
            "sample {i}: {time_s} for {want}"
        );
    }
    assert_eq!(g.counts().unanchored, 757);
}

#[test]
fn a_block_that_is_too_short_is_a_gap_when_the_next_begins() {
    let mut g = guard(1000.0, StampRule::Blocks);
    let verdicts = feed(&mut g, blocks(&[100, 1000, 900, 1000, 1000]));
    let odd: Vec<_> = verdicts
        .iter()
        .enumerate()
        .filter(|(_, v)| matches!(v, StampVerdict::Gap { .. } | StampVerdict::ClockJump { .. }))
        .collect();
    assert_eq!(odd.len(), 1, "{odd:?}");
    let (
        at,
        StampVerdict::Gap {
            time_s,
            missing: 100,
            action: GapAction::Reject,
        },
    ) = odd[0]
    else {
        panic!("{odd:?}");
    };
    assert_eq!(at, 2_000);
    assert!((time_s - 1_779_270_002.001).abs() < 1e-5);
}

#[test]
fn a_stream_with_block_stamps_read_by_the_wrong_rule_is_noticed() {
    let mut g = guard(1000.0, StampRule::PerSample);
    feed(&mut g, blocks(&[757, 1000, 1000]));
    assert!(g.counts().looks_block_stamped());
    let mut g = guard(1000.0, StampRule::PerSample);
    feed(&mut g, (0..3_000).map(|i| f64::from(i) * 0.001));
    assert!(!g.counts().looks_block_stamped());
}

/// Stamps of a driver that reads a 1 kHz device and stamps each sample when it gets round to it: one time in fifty it sleeps
/// for up to `sleep_periods` periods, and what has piled up is stamped back to back.
fn stamped_at_wake_up(seed: u64, samples: u32, sleep_periods: f64, lost: &[u32]) -> Vec<f64> {
    let mut noise = Noise(seed);
    let mut awake_s = 0.0_f64;
    let mut stamps = Vec::new();
    for i in 0..samples {
        let due_s = f64::from(i) * 0.001;
        if awake_s <= due_s && noise.normal() > 2.05 {
            awake_s = due_s + 0.001 * sleep_periods * (noise.normal().abs() / 3.0).min(1.0);
        }
        awake_s = (awake_s + 8e-6).max(due_s + 5e-6 * noise.normal().abs());
        if !lost.contains(&i) {
            stamps.push(awake_s);
        }
    }
    stamps
}

#[test]
fn samples_stamped_at_wake_up_are_late_and_not_lost() {
    for seed in 1..6 {
        let mut g = guard(1000.0, StampRule::PerSample);
        feed(&mut g, stamped_at_wake_up(seed, 60_000, 12.0, &[]));
        let c = g.counts();
        assert_eq!(c.accepted, 60_000);
        assert!(c.late > 1_000, "{c:?}");
        // The first delays may look like a loss; what they cost is taken back.
        assert!(c.missing <= 12 && c.missing == c.taken_back, "{c:?}");
        assert_eq!(
            (c.clock_jumps, c.gaps_rejected, c.gaps_restarted),
            (0, 0, 0)
        );
    }
}

#[test]
fn what_is_lost_among_late_samples_is_found_within_a_tenth_of_a_second() {
    let lost: Vec<u32> = (0..40)
        .flat_map(|k| 10_000 + k * 1_000..10_004 + k * 1_000)
        .collect();
    let mut g = guard(1000.0, StampRule::PerSample);
    let stamps = stamped_at_wake_up(7, 60_000, 8.0, &lost);
    let mut found = Vec::new();
    let mut i = 0;
    for stamp in stamps {
        while lost.contains(&i) {
            i += 1;
        }
        if let StampVerdict::Gap { missing, .. } = g.push(stamp) {
            found.push((i, missing));
        }
        i += 1;
    }
    let right = (0..40).filter(|k| {
        let end = 10_004 + k * 1_000;
        let near = found.iter().filter(|(at, _)| (end..end + 150).contains(at));
        near.map(|(_, missing)| missing).sum::<u64>() == 4
    });
    assert!(right.count() >= 36, "{found:?}");
    let c = g.counts();
    assert!((155..=175).contains(&(c.missing - c.taken_back)), "{c:?}");
}

#[test]
fn a_chunk_that_comes_again_is_dropped_however_long_it_is() {
    for again in [1_usize, 10, 32, 250] {
        let mut g = guard(250.0, StampRule::PerSample);
        let stamps: Vec<f64> = (0..1_000).map(|i| 77.3 + f64::from(i) * 0.004).collect();
        let mut sent = stamps[..600].to_vec();
        sent.extend_from_slice(&stamps[600 - again..600]);
        sent.extend_from_slice(&stamps[600..]);
        feed(&mut g, sent);
        let c = g.counts();
        assert_eq!(c.duplicates + c.backward, again as u64, "{c:?}");
        assert_eq!((c.accepted, c.missing, c.clock_jumps), (1_000, 0, 0));
    }
}
