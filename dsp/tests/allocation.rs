//! Nothing allocates after construction: a counting allocator watches every stage at work.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use razvilka_dsp::car::CommonAverage;
use razvilka_dsp::clock::{Chunk, ClockGuard, ClockSpec};
use razvilka_dsp::contraction::ContractionDetector;
use razvilka_dsp::design::butter_bandpass;
use razvilka_dsp::eeg::{EegPath, EegSpec, Reference};
use razvilka_dsp::epoch::EpochShape;
use razvilka_dsp::eye_state::{EyeSample, EyeStateSpec, EyeStateTracker};
use razvilka_dsp::gaze::{
    Binocular, BinocularSpec, DetectorKind, GazeDetector, GazeEvent, GazeSample,
};
use razvilka_dsp::gaze_evidence::{DwellEvidence, DwellModel, Tile};
use razvilka_dsp::mask::ChannelMask;
use razvilka_dsp::pupil::{EyeSizes, PupilTrack};
use razvilka_dsp::quality::QualitySpec;
use razvilka_dsp::score::{EpochScorer, LinearScorer, ScoreDensity, StudentT};
use razvilka_dsp::sosfilt::SosFilter;
use razvilka_dsp::spectrum::{Goertzel, Welch};
use razvilka_dsp::stamps::StampRule;
use razvilka_dsp::state::{AmplitudeDrift, AttendedFork, StateSpec, StateTracker};
use razvilka_dsp::tangent::{TangentParts, TangentScorer};
use razvilka_dsp::units::{Hertz, Seconds};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn tick() {
    // The thread may be going away, when nothing is measured any more.
    let _ = ALLOCATIONS.try_with(|n| n.set(n.get() + 1));
}

// SAFETY: every call is passed on to the system allocator unchanged; counting touches a thread-local cell that needs no allocation.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        tick();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        tick();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        tick();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Allocations and releases of `work` on this thread.
fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.with(Cell::get);
    work();
    ALLOCATIONS.with(Cell::get) - before
}

fn hz(value: f64) -> Hertz {
    Hertz::new(value).unwrap()
}

#[test]
fn the_counter_counts() {
    assert!(allocations(|| drop(std::hint::black_box(vec![1_u8; 100]))) >= 2);
}

/// Of order 16, over all channels.
fn tangent_scorer(shape: EpochShape) -> TangentScorer {
    let numbers = |count: usize| -> Vec<f64> { (0..count).map(|i| (i as f64).sin()).collect() };
    let parts = TangentParts {
        filters: &numbers(8 * shape.channels()),
        prototypes: &numbers(8 * shape.bins()),
        whitening: &numbers(256),
        gains: &numbers(16),
        bias: 0.5,
    };
    TangentScorer::new(shape, &parts).unwrap()
}

#[test]
fn the_eeg_path_does_not_allocate_whatever_arrives() {
    let rate = 250.0;
    let mut spec = EegSpec::p300(hz(rate), 19);
    spec.reference = Reference::CommonAverage;
    spec.quality.line = Some(hz(50.0));
    let mut path = EegPath::prepare(spec).unwrap();
    let shape = path.epoch_shape();
    let weights: Vec<f64> = (0..shape.features())
        .map(|i| (i % 7) as f64 - 3.0)
        .collect();
    let mut scorers: Vec<EpochScorer> = (0..3)
        .map(|bias| {
            let linear = LinearScorer::new(shape, &weights, f64::from(bias)).unwrap();
            let tangent = (bias < 2).then(|| tangent_scorer(shape));
            EpochScorer::new(linear, tangent).unwrap()
        })
        .collect();
    let mut pushed_out = Vec::with_capacity(8);
    let mut sample = [0.0_f32; 19];
    let (mut results, mut scored, mut tangent) = (0, 0, false);
    let n = allocations(|| {
        for i in 0..20_000_u64 {
            for (c, x) in sample.iter_mut().enumerate() {
                *x = ((i * 31 + c as u64 * 17) % 101) as f32 - 50.0 + 1000.0 * c as f32;
            }
            if i % 997 == 5 {
                sample[3] = f32::NAN;
            }
            // Gaps of all three kinds, doubled and broken stamps, a jump of the clock.
            let lost = match i {
                0..3_000 => 0,
                3_000..6_000 => 3,
                6_000..9_000 => 40,
                9_000..12_000 => 900,
                _ => 100_000,
            };
            let stamp = match i % 500 {
                7 => f64::NAN,
                8 => (i + lost - 1) as f64 / rate,
                _ => (i + lost) as f64 / rate,
            };
            if i % 44 == 0 {
                let _ = path.flash(
                    i,
                    (i + lost) as f64 / rate - if i % 88 == 0 { 1.0 } else { 0.0 },
                );
            }
            if i % 6_000 == 100
                && let Some(scorer) = scorers.pop()
            {
                tangent = scorer.tangent().is_some();
                let set = match scorers.len() {
                    1 => path.set_scorer_from((i + lost + 50) as f64 / rate, scorer),
                    _ => path.set_scorer(scorer),
                };
                match set {
                    Ok(Some(out)) => pushed_out.push(out),
                    Ok(None) => {}
                    Err(refused) => panic!("{refused}"),
                }
            }
            path.push(stamp, &sample).unwrap();
            while let Some(flash) = path.pop() {
                results += 1;
                scored += u32::from(tangent && flash.score.is_some());
                std::hint::black_box(flash);
            }
        }
        path.reset();
    });
    assert!(results > 300, "only {results} flashes came through");
    assert!(scored > 50, "only {scored} in the tangent space");
    assert!(!pushed_out.is_empty());
    assert_eq!(n, 0);
}

#[test]
fn contractions_are_found_without_allocation_whatever_arrives() {
    let rate = 250.0;
    let mut detector =
        ContractionDetector::new(hz(rate), 8, ChannelMask::all(8), Some(hz(50.0))).unwrap();
    let mut sample = [0.0_f32; 8];
    let mut found = 0;
    let n = allocations(|| {
        for i in 0..10_000_u64 {
            let loud = if i % 1_500 > 1_400 { 40.0 } else { 1.0 };
            for (c, x) in sample.iter_mut().enumerate() {
                let noise = (i * 7_919 + c as u64 * 104_729).wrapping_mul(2_654_435_761) >> 7;
                *x = loud * ((noise % 101) as f32 - 50.0) / 20.0;
            }
            if i % 997 == 5 {
                sample[3] = f32::NAN;
            }
            let lost = if i > 5_000 { 400 } else { 0 };
            let stamp = if i % 401 == 7 {
                f64::NAN
            } else {
                (i + lost) as f64 / rate
            };
            found += u32::from(detector.push(stamp, &sample).unwrap().is_some());
        }
        detector.interrupt();
        detector.reset();
    });
    assert!(found >= 4, "{found}");
    assert_eq!(n, 0);
}

#[test]
fn filter_and_reference_do_not_allocate_for_blocks_of_any_length() {
    let sections = butter_bandpass(4, hz(0.5), hz(20.0), hz(250.0)).unwrap();
    let mut filter = SosFilter::new(&sections, 19).unwrap();
    let car = CommonAverage::new(19).unwrap();
    let mut block: Vec<f64> = (0..19 * 11).map(|i| f64::from(i % 17)).collect();
    let n = allocations(|| {
        for samples in 0..=11 {
            let part = &mut block[..19 * samples];
            filter.process(part).unwrap();
            car.process(part).unwrap();
        }
    });
    assert!(block.iter().any(|v| *v != 0.0));
    assert_eq!(n, 0);
}

#[test]
fn eye_movements_and_dwell_evidence_do_not_allocate() {
    for kind in [DetectorKind::Trained, DetectorKind::Velocity] {
        does_not_allocate(GazeDetector::new(kind, hz(500.0)).unwrap());
    }
}

fn does_not_allocate(mut detector: GazeDetector) {
    let mut evidence = DwellEvidence::new(DwellModel::default()).unwrap();
    let tiles = [-10.0, 0.0, 10.0].map(|x_deg| Tile {
        x_deg,
        y_deg: 0.0,
        w_deg: 6.0,
        h_deg: 2.0,
        words: 3,
    });
    let mut fixations = 0;
    let n = allocations(|| {
        evidence.reset(&tiles).unwrap();
        for i in 0..10_000_u32 {
            let sample = GazeSample {
                t_s: f64::from(i) * 0.002,
                x_deg: f64::from(i / 200 % 3) * 10.0 - 10.0,
                y_deg: f64::from(i % 5) * 0.01,
                valid: i % 1_500 > 60,
            };
            detector.push(sample, &mut |event| match event {
                GazeEvent::Label(_) => {}
                GazeEvent::Start(f) | GazeEvent::Update(f) => evidence.update(&f),
                GazeEvent::End(f, how) => {
                    fixations += 1;
                    evidence.end(&f, how == razvilka_dsp::gaze::FixationEnd::Saccade);
                }
            });
        }
        detector.finish(&mut |_| {});
        detector.reset();
    });
    assert!(fixations > 30, "only {fixations} fixations");
    assert_eq!(n, 0);
}

#[test]
fn two_eyes_become_one_point_of_regard_without_allocating() {
    let mut eyes = Binocular::new(BinocularSpec::default()).unwrap();
    let mut seen = 0;
    let n = allocations(|| {
        for i in 0..10_000_u32 {
            let left = (i % 7 != 3).then_some([f64::from(i % 40), 0.0]);
            let right = (i % 11 != 5).then_some([f64::from(i % 40) + 1.0, f64::NAN]);
            seen += u32::from(eyes.push(f64::from(i) * 0.002, [left, right]).is_some());
        }
        eyes.restart();
        eyes.reset();
    });
    assert!(seen > 5_000, "{seen}");
    assert_eq!(n, 0);
}

#[test]
fn spectra_densities_and_the_clock_guard_do_not_allocate() {
    let signal: Vec<f64> = (0..2_000).map(|i| f64::from(i % 13)).collect();
    let mut welch = Welch::new(hz(250.0), 500, 250).unwrap();
    let mut density = vec![0.0; welch.bins()];
    let mut goertzel = Goertzel::new(hz(50.0), hz(250.0), 250).unwrap();
    let t = |location| StudentT {
        location,
        scale: 1.0,
        dof: 5.0,
    };
    let evidence = ScoreDensity::new(t(1.0), t(0.0), (-5.0, 5.0), 4.0).unwrap();
    let mut guard = ClockGuard::new(ClockSpec {
        rate: Some(hz(250.0)),
        chunk_period: Seconds::new(0.032).unwrap(),
        age_limit: Seconds::new(0.1).unwrap(),
    })
    .unwrap();
    let n = allocations(|| {
        welch.process(&signal, &mut density).unwrap();
        std::hint::black_box(welch.theta_over_alpha(&density));
        for x in &signal {
            std::hint::black_box((goertzel.push(*x), evidence.llr(*x)));
        }
        for i in 0..5_000_u32 {
            let at_s = f64::from(i) * 0.032;
            if i % 100 == 0 {
                std::hint::black_box(guard.offset(at_s, at_s * 0.1, 1e-4));
            }
            std::hint::black_box(guard.chunk(Chunk {
                newest_stamp_s: at_s,
                arrival_s: at_s + 0.01,
                samples: 9,
            }));
        }
        guard.reset();
    });
    assert_eq!(n, 0);
}

#[test]
fn the_state_of_the_person_does_not_allocate() {
    let mut tracker = StateTracker::new(StateSpec {
        rate: hz(125.0),
        channels: 6,
        stamps: StampRule::PerSample,
        quality: QualitySpec {
            min_good: 1,
            ..QualitySpec::default()
        },
        ratio_channels: ChannelMask::all(3),
        window: Seconds::new(4.0).unwrap(),
        baseline: Seconds::new(30.0).unwrap(),
        recent: Seconds::new(20.0).unwrap(),
        artefact_uv: 500.0,
        spindle_factor: 1.5,
        spindle_least_s: 0.5,
    })
    .unwrap();
    let mut drift = AmplitudeDrift::new(20.0, 0.1).unwrap();
    let mut known = 0;
    let mut sample = [0.0_f32; 6];
    let n = allocations(|| {
        for i in 0..12_000_u64 {
            for (c, x) in sample.iter_mut().enumerate() {
                *x = ((i * 31 + i / 7 * 3 + c as u64 * 17) % 101) as f32 - 50.0;
            }
            if i % 2_500 == 5 {
                sample[3] = f32::NAN;
            }
            let lost = i / 4_000 * 3;
            if tracker.push((i + lost) as f64 / 125.0, &sample).unwrap() {
                known += usize::from(tracker.indices().theta_alpha.z.is_some());
            }
        }
        for i in 0..3_000_u32 {
            drift.push(AttendedFork {
                targets: 2,
                target_sum: f64::from(i % 5),
                others: 8,
                other_sum: f64::from(i % 3),
            });
        }
        std::hint::black_box(drift.drift());
        tracker.reset();
    });
    assert!(known > 10, "only {known} windows were known");
    assert_eq!(n, 0);
}

#[test]
fn the_state_of_the_eyes_does_not_allocate() {
    let mut tracker = EyeStateTracker::new(EyeStateSpec {
        rate: hz(250.0),
        detector: DetectorKind::Trained,
        baseline: Seconds::new(30.0).unwrap(),
        recent: Seconds::new(20.0).unwrap(),
    })
    .unwrap();
    let mut known = 0;
    let n = allocations(|| {
        for i in 0..20_000_u64 {
            let shut = i % 500 < 40;
            let looks = if i / 125 % 2 == 0 { 0.0 } else { 6.0 };
            let noise = ((i * 31 + i / 7 * 3) % 101) as f64 * 1e-4;
            let gaze = GazeSample {
                t_s: (i + i / 9_000 * 300) as f64 / 250.0,
                x_deg: looks + noise,
                y_deg: 2.0 * noise - looks,
                valid: !shut,
            };
            let openness = (i % 3 == 0).then_some(if shut { 0.0 } else { 8.0 });
            if tracker.push(EyeSample { gaze, openness }) {
                known += usize::from(tracker.indices().blinks_per_min.z.is_some());
            }
        }
        tracker.restart();
        tracker.reset();
    });
    assert!(known > 10, "only {known} seconds were known");
    assert_eq!(n, 0);
}

#[test]
fn the_pupil_does_not_allocate() {
    let (mut track, mut sizes) = (PupilTrack::new(hz(250.0)), EyeSizes::new());
    let mut known = 0;
    let n = allocations(|| {
        for i in 0..12_000_u64 {
            let shut = i % 700 < 40;
            let t_s = (i + i / 9_000 * 3_000) as f64 / 250.0;
            let size = (!shut).then_some(3.0 + ((i * 31 + i / 7 * 3) % 101) as f64 * 1e-3);
            let both = sizes.push(t_s, [size, size.filter(|_| i % 5_000 > 900)]);
            track.push(t_s, both, Some([2.0, -1.0]));
            known += usize::from(i % 100 == 0 && track.response(t_s - 1.7).is_some());
        }
        track.interrupt();
        track.reset();
        sizes.reset();
    });
    assert!(known > 20, "only {known} responses were known");
    assert_eq!(n, 0);
}
