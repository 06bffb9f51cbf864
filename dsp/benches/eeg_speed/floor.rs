//! Filter and reference beside the least that a vectorised loop needs on this machine.

use std::hint::black_box;

use pulp::{Arch, Simd, WithSimd};
use razvilka_dsp::car::CommonAverage;
use razvilka_dsp::design::{butter_bandpass, iirnotch};
use razvilka_dsp::sosfilt::SosFilter;

use crate::measure::{Turn, in_turns};
use crate::table::{Report, Value};
use crate::{Effort, hz};

const SECTIONS: usize = 5;
const CHUNKS: [usize; 3] = [1, 8, 32];

/// The floor: number of channels and sections known when it is compiled, coefficients that are numbers, no checks, no
/// masks; otherwise the arithmetic of the real thing, with the vectors of the real thing.
struct Floor<const CHANNELS: usize> {
    coefficients: [[f64; 5]; SECTIONS],
    state: Box<State<CHANNELS>>,
    arch: Arch,
}

#[repr(align(64))]
struct State<const CHANNELS: usize>([[[f64; CHANNELS]; 2]; SECTIONS]);

#[repr(align(64))]
struct Row<const CHANNELS: usize>([f64; CHANNELS]);

struct Run<'a, const CHANNELS: usize> {
    floor: &'a mut Floor<CHANNELS>,
    block: &'a mut [f64],
}

impl<const CHANNELS: usize> WithSimd for Run<'_, CHANNELS> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (coefficients, state) = (self.floor.coefficients, &mut self.floor.state.0);
        let (rows, _) = self.block.as_chunks_mut::<CHANNELS>();
        for row in rows {
            let mut copied = Row(*row);
            let (v, _) = S::as_mut_simd_f64s(&mut copied.0);
            for (of_section, [s1, s2]) in coefficients.iter().zip(state.iter_mut()) {
                let [b0, b1, b2, minus_a1, minus_a2] = of_section.map(|c| simd.splat_f64s(c));
                let (s1, _) = S::as_mut_simd_f64s(s1);
                let (s2, _) = S::as_mut_simd_f64s(s2);
                for ((v, s1), s2) in v.iter_mut().zip(s1).zip(s2) {
                    let (x, y) = (*v, simd.mul_add_f64s(b0, *v, *s1));
                    *s1 = simd.mul_add_f64s(minus_a1, y, simd.mul_add_f64s(b1, x, *s2));
                    *s2 = simd.mul_add_f64s(minus_a2, y, simd.mul_f64s(b2, x));
                    *v = y;
                }
            }
            let mut sum = simd.splat_f64s(0.0);
            for x in v.iter() {
                sum = simd.add_f64s(sum, *x);
            }
            let mean = simd.splat_f64s(simd.reduce_sum_f64s(sum) / CHANNELS as f64);
            let (out, _) = S::as_mut_simd_f64s(row);
            for (out, x) in out.iter_mut().zip(v.iter()) {
                *out = simd.sub_f64s(*x, mean);
            }
        }
    }
}

impl<const CHANNELS: usize> Floor<CHANNELS> {
    fn new() -> Self {
        Self {
            coefficients: [[1.0, 0.3, 0.2, 0.5, -0.1]; SECTIONS],
            state: Box::new(State([[[0.0; CHANNELS]; 2]; SECTIONS])),
            arch: Arch::new(),
        }
    }

    fn process(&mut self, block: &mut [f64]) {
        let arch = self.arch;
        arch.dispatch(Run { floor: self, block });
    }
}

/// Ours and the floor for 32 to 256 channels and chunks of 1, 8 and 32.
pub(crate) fn run(report: &mut Report, effort: Effort) {
    report.section(
        "filter",
        "Five biquads and common average, f64: ns per sample of all channels",
        "Least and median of bursts in turns with the floor, a loop for this very number of channels with the same vectors. \
         Both include a copy of the chunk, because the filter works in place.",
    );
    of::<32>(report, effort);
    of::<64>(report, effort);
    of::<128>(report, effort);
    of::<256>(report, effort);
}

fn of<const CHANNELS: usize>(report: &mut Report, effort: Effort) {
    let rate = hz(1_000.0);
    let mut sections = butter_bandpass(4, hz(0.5), hz(20.0), rate).unwrap();
    sections.push(iirnotch(hz(50.0), 30.0, rate).unwrap());
    for chunk in CHUNKS {
        let mut filter = SosFilter::new(&sections, CHANNELS).unwrap();
        let car = CommonAverage::new(CHANNELS).unwrap();
        let mut floor = Floor::<CHANNELS>::new();
        let source: Vec<f64> = (0..chunk * CHANNELS)
            .map(|i| (i % 17) as f64 * 0.1)
            .collect();
        let (mut a, mut b, mut c) = (source.clone(), source.clone(), source.clone());
        let mut turns: [Turn<'_>; 3] = [
            Box::new(|| {
                a.copy_from_slice(&source);
                floor.process(black_box(&mut a));
            }),
            Box::new(|| {
                b.copy_from_slice(&source);
                filter.process(black_box(&mut b)).unwrap();
                car.process(black_box(&mut b)).unwrap();
            }),
            Box::new(|| {
                c.copy_from_slice(&source);
                black_box(&mut c);
            }),
        ];
        let calls = (effort.burst_samples / chunk).max(1);
        let found = in_turns(&mut turns, effort.rounds, calls);
        let [floor, ours, copy] = &found[..] else {
            unreachable!("three took turns")
        };
        let per = chunk as f64;
        report.row(&[
            ("channels", Value::Count(CHANNELS)),
            ("chunk", Value::Count(chunk)),
            ("floor_least_ns", Value::Nanoseconds(floor.least() / per)),
            (
                "floor_p50_ns",
                Value::Nanoseconds(floor.percentile(50.0) / per),
            ),
            ("ours_least_ns", Value::Nanoseconds(ours.least() / per)),
            (
                "ours_p50_ns",
                Value::Nanoseconds(ours.percentile(50.0) / per),
            ),
            ("ratio_least", Value::Ratio(ours.least() / floor.least())),
            (
                "ratio_p50",
                Value::Ratio(ours.percentile(50.0) / floor.percentile(50.0)),
            ),
            (
                "copy_p50_ns",
                Value::Nanoseconds(copy.percentile(50.0) / per),
            ),
            ("bursts", Value::Count(ours.n())),
        ]);
    }
}
