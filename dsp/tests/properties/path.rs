//! Channel quality and the whole EEG path.

use proptest::collection::vec;
use proptest::prelude::*;
use razvilka_dsp::eeg::{EegPath, EegSpec, Reference, ScoredFlash};
use razvilka_dsp::quality::{ChannelQuality, QualitySpec};

use crate::{cuts, fused, hz, s};

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
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

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
}
