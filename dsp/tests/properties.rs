//! The four properties of every stage, for random input: a block is the same as its samples one by one, any chunking gives
//! the same bits, `reset` makes a stage as new, and finite input gives finite output.

#![allow(clippy::unwrap_used, clippy::disallowed_macros)]

use proptest::collection::vec;
use proptest::prelude::*;
use razvilka_dsp::car::CommonAverage;
use razvilka_dsp::clock::{Chunk, ClockGuard, ClockSpec, Doubts};
use razvilka_dsp::design::{butter_bandpass, iirnotch};
use razvilka_dsp::eeg::{EegPath, EegSpec, Reference, ScoredFlash};
use razvilka_dsp::epoch::{
    EpochBank, EpochShape, EpochStatus, FinishedEpoch, Rejection, SampleNote,
};
use razvilka_dsp::gaze::{FixationEnd, GazeEvent, GazeSample, VelocitySpec, VelocityThreshold};
use razvilka_dsp::gaze_evidence::{DwellEvidence, DwellModel, Tile};
use razvilka_dsp::mask::ChannelMask;
use razvilka_dsp::quality::{ChannelQuality, QualitySpec};
use razvilka_dsp::score::{EpochScorer, LinearScorer, ScoreDensity, StudentT};
use razvilka_dsp::sosfilt::SosFilter;
use razvilka_dsp::spectrum::{Goertzel, Welch};
use razvilka_dsp::stamps::{StampGuard, StampRule, StampVerdict};
use razvilka_dsp::tangent::{TangentParts, TangentScorer};
use razvilka_dsp::units::{Hertz, Microvolts, SampleIndex, Seconds};

fn hz(value: f64) -> Hertz {
    Hertz::new(value).unwrap()
}

fn s(value: f64) -> Seconds {
    Seconds::new(value).unwrap()
}

/// Cuts `len` things into parts of the given sizes, round and round.
fn cuts(len: usize, sizes: &[usize]) -> Vec<std::ops::Range<usize>> {
    let mut parts = Vec::new();
    let mut from = 0;
    for size in sizes.iter().cycle() {
        if from >= len {
            break;
        }
        let to = (from + size).min(len);
        parts.push(from..to);
        from = to;
    }
    parts
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|v| v.to_bits()).collect()
}

fn filter(channels: usize) -> SosFilter {
    let mut sections = butter_bandpass(2, hz(0.5), hz(20.0), hz(250.0)).unwrap();
    sections.push(iirnotch(hz(50.0), 30.0, hz(250.0)).unwrap());
    SosFilter::new(&sections, channels).unwrap()
}

/// A linear part and one in the tangent space, of numbers that a seed gives. Neither is fitted to anything: they are any numbers.
fn fused(shape: EpochShape, components: usize, prototypes: usize, seed: u64) -> EpochScorer {
    let mut state = seed;
    let mut numbers = |count: usize| -> Vec<f64> {
        (0..count)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) as f64 / (1_u64 << 30) as f64 - 1.0
            })
            .collect()
    };
    let order = components + prototypes;
    let linear = LinearScorer::new(shape, &numbers(shape.features()), 0.1).unwrap();
    let parts = TangentParts {
        filters: &numbers(components * shape.channels()),
        prototypes: &numbers(prototypes * shape.bins()),
        whitening: &numbers(order * order),
        gains: &numbers(order),
        bias: -0.3,
    };
    EpochScorer::new(linear, Some(TangentScorer::new(shape, &parts).unwrap())).unwrap()
}

/// An event of a fork's evidence.
#[derive(Debug, Clone, Copy)]
struct Look {
    x_deg: f64,
    y_deg: f64,
    samples: u64,
    valid: bool,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn filters_have_the_four_properties(
        channels in 1_usize..40,
        values in vec(-1e6_f64..1e6, 40 * 12),
        sizes in vec(1_usize..7, 1..5),
    ) {
        let x = &values[..channels * 12];
        let mut whole = x.to_vec();
        let mut stage = filter(channels);
        stage.process(&mut whole).unwrap();
        prop_assert!(whole.iter().all(|v| v.is_finite()));

        let mut chunked = x.to_vec();
        let mut other = filter(channels);
        for part in cuts(12, &sizes) {
            other.process(&mut chunked[part.start * channels..part.end * channels]).unwrap();
        }
        prop_assert_eq!(bits(&whole), bits(&chunked));

        // Every channel is on its own, wherever it lies in a tile.
        let mut alone: Vec<f64> = x.iter().skip(channels - 1).step_by(channels).copied().collect();
        filter(1).process(&mut alone).unwrap();
        let last: Vec<f64> = whole.iter().skip(channels - 1).step_by(channels).copied().collect();
        prop_assert_eq!(bits(&last), bits(&alone));

        stage.reset();
        let mut again = x.to_vec();
        stage.process(&mut again).unwrap();
        prop_assert_eq!(bits(&whole), bits(&again));
    }

    #[test]
    fn a_common_average_has_them_and_leaves_no_mean(
        channels in 1_usize..40,
        values in vec(-1e6_f64..1e6, 40 * 6),
        bad in vec(any::<bool>(), 40),
    ) {
        let x = &values[..channels * 6];
        let good: ChannelMask = (0..channels).filter(|c| !bad[*c]).collect();
        let mut car = CommonAverage::new(channels).unwrap();
        car.set_good(&good);
        let mut whole = x.to_vec();
        car.process(&mut whole).unwrap();
        let mut single = x.to_vec();
        for sample in single.chunks_exact_mut(channels) {
            car.process(sample).unwrap();
        }
        prop_assert_eq!(bits(&whole), bits(&single));
        for sample in whole.chunks_exact(channels) {
            prop_assert!(sample.iter().all(|v| v.is_finite()));
            if !good.is_empty() {
                let mean: f64 = good.iter().map(|c| sample[c]).sum::<f64>() / good.count() as f64;
                prop_assert!(mean.abs() < 1e-8);
            }
        }
    }

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

    #[test]
    fn channel_quality_resets_and_lets_nothing_but_numbers_through(
        values in vec(prop_oneof![9 => -1e5_f32..1e5, 1 => any::<f32>()], 5 * 200),
    ) {
        let spec = QualitySpec { window: s(0.2), line: Some(hz(50.0)), min_good: 2, ..QualitySpec::default() };
        let mut quality = ChannelQuality::new(spec, hz(250.0), 5).unwrap();
        let run = |quality: &mut ChannelQuality| {
            let mut masks = Vec::new();
            let mut held = [0.0; 5];
            for sample in values.chunks_exact(5) {
                quality.sanitise(sample, &mut held).unwrap();
                assert!(held.iter().all(|v| v.is_finite()));
                quality.observe(&held, &held).unwrap();
                for (c, x) in sample.iter().enumerate() {
                    assert!(x.is_finite() || quality.bad().contains(c));
                    assert_eq!(quality.bad().contains(c), quality.why(c).is_some());
                }
                masks.push((quality.bad(), quality.montage_ok()));
            }
            masks
        };
        let first = run(&mut quality);
        quality.reset();
        prop_assert_eq!(first, run(&mut quality));
    }

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

    /// Whatever is not a number, in whatever channel and pattern, from the first sample on: nothing of it gets into the filters,
    /// the features or a score, and a channel that had one in an epoch is named as bad there.
    #[test]
    fn nothing_that_is_no_number_gets_past_the_door(
        holes in vec((0_usize..CHANNELS, 0_usize..900, 1_usize..200, 0_usize..4), 0..12),
        offset_uv in -84_000.0_f32..84_000.0,
        from_start in any::<bool>(),
    ) {
        let mut path = eeg_path(Reference::CommonAverage);
        let mut broken = [false; CHANNELS];
        let mut ended = 0;
        for i in 0..900_usize {
            let mut sample = [0.0_f32; CHANNELS];
            for (c, x) in sample.iter_mut().enumerate() {
                *x = offset_uv + 20.0 * ((i * (c + 3)) as f32 * 0.07).sin();
                let hole = holes.iter().find(|(channel, at, len, _)| {
                    *channel == c && (*at..at + len).contains(&i)
                });
                if let Some((.., kind)) = hole {
                    *x = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX][*kind];
                }
                if from_start && c == 1 && i < 60 {
                    *x = f32::NAN;
                }
                broken[c] = !x.is_finite() || x.abs() > 1e10;
            }
            if i % 30 == 0 {
                path.flash(i as u64, i as f64 * 0.004).unwrap();
            }
            path.push_with(i as f64 * 0.004, &sample, |epoch| {
                ended += 1;
                assert!(epoch.features.iter().all(|f| f.is_finite()));
                assert!(epoch.score.is_none_or(f64::is_finite));
            }).unwrap();
            // Also that no state hides what the output does not show: a filter that swallowed one never gives a number again.
            prop_assert!(path.filtered().iter().all(|v| v.is_finite() && v.abs() < 1e6));
            for (c, broken) in broken.iter().enumerate() {
                prop_assert!(!broken || path.quality().bad().contains(c));
            }
        }
        prop_assert!(ended > 20);
    }
}

/// A stream with every fault in it, and flashes.
#[derive(Debug, Clone)]
struct Session {
    stamps: Vec<f64>,
    samples: Vec<f32>,
    /// Onset and, in samples, how late the announcement is.
    flashes: Vec<(f64, usize)>,
}

const CHANNELS: usize = 3;

fn session() -> impl Strategy<Value = Session> {
    let steps = vec(
        prop_oneof![
            60 => Just(1.0_f64),
            10 => 0.8_f64..1.2,
            3 => 2.0_f64..6.0,
            1 => 6.0_f64..40.0,
            1 => Just(400.0),
            1 => -20.0_f64..0.0,
        ],
        900,
    );
    let values = vec(
        prop_oneof![300 => -80.0_f32..80.0, 1 => Just(f32::NAN), 1 => Just(f32::INFINITY)],
        900 * CHANNELS,
    );
    let flashes = vec((0_usize..850, 0.0_f64..1.0, 0_usize..300), 0..12);
    (steps, values, flashes).prop_map(|(steps, samples, flashes)| {
        let mut t = 50.0;
        let stamps: Vec<f64> = steps
            .iter()
            .map(|step| {
                t += step * 0.004;
                t
            })
            .collect();
        let flashes = flashes
            .into_iter()
            .map(|(i, share, late)| (stamps[i] + share * 0.004, late))
            .collect();
        Session {
            stamps,
            samples,
            flashes,
        }
    })
}

fn eeg_path(reference: Reference) -> EegPath {
    let mut spec = EegSpec::p300(hz(250.0), CHANNELS);
    spec.reference = reference;
    spec.quality.settle = s(0.1);
    spec.settle = s(0.1);
    let mut path = EegPath::prepare(spec).unwrap();
    let shape = path.epoch_shape();
    path.set_scorer(fused(shape, 2, 3, 1)).unwrap();
    path
}

/// Runs a session in parts, as blocks or sample by sample; a flash is announced before the first part that begins at or after the sample
/// that `when` gives for it. Flashes that are refused have no result.
fn run(
    path: &mut EegPath,
    session: &Session,
    parts: &[std::ops::Range<usize>],
    as_block: bool,
    when: impl Fn(usize) -> usize,
) -> Vec<ScoredFlash> {
    let mut results = Vec::new();
    let mut from = 0;
    for part in parts {
        for (id, (onset_s, _)) in session.flashes.iter().enumerate() {
            if (from..=part.start).contains(&when(id)) {
                let refused = path.flash(id as u64, *onset_s);
                assert!(refused.is_ok() || path.counts().stamps.clock_jumps > 0);
            }
        }
        from = part.start + 1;
        let samples = &session.samples[part.start * CHANNELS..part.end * CHANNELS];
        let stamps = &session.stamps[part.clone()];
        if as_block {
            path.push_block(stamps, samples).unwrap();
        } else {
            for (stamp, sample) in stamps.iter().zip(samples.chunks_exact(CHANNELS)) {
                path.push(*stamp, sample).unwrap();
                assert!(path.filtered().iter().all(|v| v.is_finite()));
            }
        }
        results.extend(std::iter::from_fn(|| path.pop()));
    }
    results.sort_by_key(|r| r.id);
    results
}

fn same(a: &[ScoredFlash], b: &[ScoredFlash]) -> bool {
    let key = |r: &ScoredFlash| {
        (
            r.id,
            r.onset_sample,
            r.last_sample,
            r.last_s.to_bits(),
            r.score.map(f64::to_bits),
            r.status,
        )
    };
    a.iter().map(key).eq(b.iter().map(key))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_eeg_path_gives_the_same_bits_for_any_chunking_and_after_reset(
        session in session(),
        sizes in vec(1_usize..50, 1..6),
        car in any::<bool>(),
    ) {
        let reference = if car { Reference::CommonAverage } else { Reference::AsRecorded };
        let mut path = eeg_path(reference);
        let late = |id: usize| session.flashes[id].1;
        let parts = cuts(session.stamps.len(), &sizes);
        let first = run(&mut path, &session, &parts, false, late);
        prop_assert!(first.iter().all(|r| r.score.is_none_or(f64::is_finite)));
        let counts = path.counts();
        path.reset();
        prop_assert!(same(&first, &run(&mut path, &session, &parts, false, late)));
        prop_assert_eq!(counts, path.counts());

        let mut blocks = eeg_path(reference);
        prop_assert!(same(&first, &run(&mut blocks, &session, &parts, true, late)));
        prop_assert_eq!(counts, blocks.counts());
    }

    #[test]
    fn a_flash_scores_the_same_whenever_it_is_announced(
        stamps in Just((0..900).map(|i| 10.0 + f64::from(i) * 0.004).collect::<Vec<f64>>()),
        samples in vec(-60.0_f32..60.0, 900 * CHANNELS),
        flashes in vec((0.0_f64..2.5, 0_usize..899), 1..8),
    ) {
        let session = Session {
            flashes: flashes.iter().map(|(after_s, late)| (10.1 + after_s, *late)).collect(),
            stamps,
            samples,
        };
        let one_by_one = cuts(900, &[1]);
        let announced = |when: &dyn Fn(usize) -> usize| {
            run(&mut eeg_path(Reference::CommonAverage), &session, &one_by_one, true, when)
        };
        let early = announced(&|_| 0);
        let late = announced(&|id| session.flashes[id].1);
        prop_assert_eq!(early.len(), flashes.len());
        prop_assert!(same(&early, &late));
    }

    #[test]
    fn the_eye_movement_detector_resets_and_labels_every_sample_once_in_time(
        steps in vec((prop_oneof![20 => 0.5_f64..1.5, 1 => 1.5_f64..60.0], prop_oneof![10 => -0.05_f64..0.05, 1 => -8.0_f64..8.0], prop_oneof![12 => Just(true), 1 => Just(false)]), 1..500),
        rate in prop_oneof![Just(60.0), Just(250.0), Just(500.0), Just(2000.0)],
    ) {
        let mut t_s = 5.0;
        let mut x_deg = 0.0;
        let samples: Vec<GazeSample> = steps.iter().map(|(dt, dx, valid)| {
            t_s += dt / rate;
            x_deg = (x_deg + dx).clamp(-100.0, 100.0);
            GazeSample { t_s, x_deg, y_deg: -0.5 * x_deg, valid: *valid }
        }).collect();
        let mut detector = VelocityThreshold::new(VelocitySpec::default(), hz(rate)).unwrap();
        let run = |detector: &mut VelocityThreshold| {
            let mut events = Vec::new();
            for sample in &samples {
                detector.push(*sample, &mut |e| events.push(e));
            }
            detector.finish(&mut |e| events.push(e));
            events
        };
        let first = run(&mut detector);
        let labels: Vec<_> = first.iter().filter_map(|e| match e { GazeEvent::Label(l) => Some(*l), _ => None }).collect();
        prop_assert_eq!(labels.len(), samples.len());
        for (label, sample) in labels.iter().zip(&samples) {
            prop_assert_eq!(label.t_s, sample.t_s);
            prop_assert!(label.emit_s >= label.t_s);
            prop_assert!(label.speed_deg_s.is_none_or(|v| v.is_finite() && v >= 0.0));
        }
        let mut open = None;
        for event in &first {
            match event {
                GazeEvent::Label(_) => {}
                GazeEvent::Start(f) => {
                    prop_assert!(open.is_none());
                    open = Some(f.number);
                }
                GazeEvent::Update(f) | GazeEvent::End(f, _) => {
                    prop_assert_eq!(open, Some(f.number));
                    prop_assert!(f.x_deg.is_finite() && f.y_deg.is_finite() && f.dispersion_deg.is_finite());
                    prop_assert!(f.dwell_s <= f.last_s - f.onset_s + 2.0 / rate + 1e-9);
                    if matches!(event, GazeEvent::End(..)) {
                        open = None;
                    }
                }
            }
        }
        prop_assert!(open.is_none());
        detector.reset();
        prop_assert_eq!(first, run(&mut detector));
    }

    #[test]
    fn dwell_evidence_resets_is_bounded_and_does_not_care_how_often_it_is_told(
        looks in vec((-20.0_f64..20.0, -10.0_f64..10.0, 1_u64..400, any::<bool>()), 0..12),
    ) {
        let tiles: Vec<Tile> = [-9.0, 0.0, 9.0].iter().map(|x| Tile { x_deg: *x, y_deg: 0.0, w_deg: 6.0, h_deg: 2.0, words: 4 }).collect();
        let looks: Vec<Look> = looks.into_iter().map(|(x_deg, y_deg, samples, valid)| Look { x_deg, y_deg, samples, valid }).collect();
        let mut evidence = DwellEvidence::new(DwellModel::default()).unwrap();
        let run = |evidence: &mut DwellEvidence, every: u64| {
            evidence.reset(&tiles).unwrap();
            for (number, look) in looks.iter().enumerate() {
                let fixation = |n: u64| razvilka_dsp::gaze::Fixation {
                    number: number as u64, onset_s: 0.0, last_s: n as f64 * 0.002, emit_s: 0.0,
                    x_deg: look.x_deg, y_deg: look.y_deg, dispersion_deg: 0.1, n, dwell_s: n as f64 * 0.002,
                };
                for n in (1..look.samples).step_by(every as usize) {
                    evidence.update(&fixation(n));
                }
                let how = if look.valid { FixationEnd::Saccade } else { FixationEnd::Lost };
                evidence.end(&fixation(look.samples), how == FixationEnd::Saccade);
            }
            let mut nats = [f64::NAN; 3];
            evidence.ln_likelihoods(&mut nats);
            nats
        };
        let often = run(&mut evidence, 1);
        prop_assert!(often.iter().all(|n| (-5.0..=0.0).contains(n)));
        prop_assert!(often.contains(&0.0));
        prop_assert_eq!(bits(&often), bits(&run(&mut evidence, 97)));
        let mut fresh = DwellEvidence::new(DwellModel::default()).unwrap();
        prop_assert_eq!(bits(&often), bits(&run(&mut fresh, 5)));
    }

    #[test]
    fn spectra_reset_and_stay_finite_and_not_negative(values in vec(-1e5_f64..1e5, 300)) {
        let mut welch = Welch::new(hz(250.0), 64, 32).unwrap();
        let mut first = vec![0.0; welch.bins()];
        welch.process(&values, &mut first).unwrap();
        prop_assert!(first.iter().all(|p| p.is_finite() && *p >= 0.0));
        let mut again = vec![1.0; welch.bins()];
        welch.process(&values, &mut again).unwrap();
        prop_assert_eq!(bits(&first), bits(&again));

        let mut goertzel = Goertzel::new(hz(40.0), hz(250.0), 50).unwrap();
        let powers: Vec<f64> = values.iter().filter_map(|x| goertzel.push(*x)).collect();
        prop_assert_eq!(powers.len(), 6);
        prop_assert!(powers.iter().all(|p| p.is_finite() && *p >= 0.0));
        goertzel.push(3.0);
        goertzel.reset();
        let again: Vec<f64> = values.iter().filter_map(|x| goertzel.push(*x)).collect();
        prop_assert_eq!(bits(&powers), bits(&again));
    }

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
