//! The gate and the flash sequence are real-time code: once built, they never allocate.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]

mod allocation_common;

use std::hint::black_box;

use allocation_common::allocations;
use razvilka::choice::{FlashSequence, FlashSettings};
use razvilka::fork::ForkId;
use razvilka::gate::{AbortReason, Contraction, Evidence, Gate, GateSettings, Lease, Look, Source};
use razvilka::marker::OptionKind::{Branch, GoOn, Other};
use razvilka_dsp::units::LslTime;

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(black_box(Box::new(1)))), 1);
}

#[test]
fn a_whole_fork_from_open_to_close_allocates_nothing() {
    let mut gate = Gate::new(GateSettings::default());
    let lease = Lease { epoch: 1 };
    let now = |step: u64| LslTime::new(10.0 + step as f64 * 1e-3).unwrap();
    let mut contractions = 0;
    let count = allocations(|| {
        for fork in 0..3 {
            let fork = ForkId(fork);
            gate.open(
                fork,
                &[Branch, Branch, Other, GoOn],
                &[0.6, 0.3, 0.0, 0.0],
                now(0),
                lease,
            )
            .unwrap();
            for step in 0..500 {
                let llr = if step % 2 == 0 { 0.2 } else { -0.1 };
                let flash = Evidence::flash(fork, lease, step, now(step), (step % 5) as usize, llr);
                black_box(gate.evidence(&flash, now(step)));
                let gaze = Evidence::gaze(fork, lease, step, now(step), [llr; 8]);
                black_box(gate.evidence(&gaze, now(step)));
                if step >= 200 && step % 50 == 0 {
                    let look = Look {
                        fork,
                        lease,
                        seq: step,
                        at: now(step),
                        look: step / 100,
                        item: Some(1),
                        onset: now(step - 200),
                        last: now(step),
                        over: step % 100 == 0,
                    };
                    black_box(gate.look(&look, now(step)));
                    let contraction = Contraction {
                        fork,
                        lease,
                        seq: step,
                        onset: now(step - 130),
                        at: now(step),
                        llr_nats: 0.01,
                    };
                    black_box(gate.contraction(&contraction, now(step)));
                }
                black_box(gate.tick(now(step)));
                black_box(gate.arms());
            }
            contractions += gate.items(Source::Contraction);
            // Every other way to end, too.
            if fork.0 == 1 {
                let press = Evidence::key_press(fork, lease, 0, now(500), 1);
                black_box(gate.evidence(&press, now(500)));
            }
            black_box(gate.abort(AbortReason::SourceLost));
            black_box(gate.close());
        }
    });
    assert!(contractions > 0);
    assert_eq!(count, 0);
}

#[test]
fn flashes_allocate_nothing() {
    let settings = FlashSettings::default();
    let count = allocations(|| {
        let mut sequence = FlashSequence::new(5, &settings, 1, 2).unwrap();
        for _ in 0..1000 {
            black_box(sequence.next_flash());
        }
    });
    assert_eq!(count, 0);
}
