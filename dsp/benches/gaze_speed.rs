//! Time from a gaze sample to what it says of six options, sample by sample: detector and dwell evidence with its log-likelihoods.
//!
//! ```text
//! cargo bench -p razvilka-dsp --bench gaze_speed
//! ```
//!
//! 200,000 samples per rate and detector, one after another without a pause; percentiles of every single one, the clock's own reading
//! time included.

// A benchmark has a clock and a terminal; the library has not.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_macros
)]

use std::hint::black_box;
use std::time::Instant;

use razvilka_dsp::gaze::{DetectorKind, FixationEnd, GazeDetector, GazeEvent, GazeSample};
use razvilka_dsp::gaze_evidence::{DwellEvidence, DwellModel, Tile};
use razvilka_dsp::units::Hertz;

const SAMPLES: u32 = 200_000;

fn main() {
    println!("detector, rate Hz, p50 ns, p99 ns, p99.9 ns, max ns");
    for kind in [DetectorKind::Velocity, DetectorKind::Trained] {
        for rate in [60.0, 250.0, 500.0, 1000.0, 2000.0] {
            let mut times = run(kind, rate);
            times.sort_unstable();
            let at = |q: f64| times[((times.len() - 1) as f64 * q) as usize];
            println!(
                "{kind:?}, {rate}, {}, {}, {}, {}",
                at(0.5),
                at(0.99),
                at(0.999),
                at(1.0)
            );
        }
    }
}

fn run(kind: DetectorKind, rate: f64) -> Vec<u128> {
    let mut detector = GazeDetector::new(kind, Hertz::new(rate).unwrap()).unwrap();
    let mut evidence = DwellEvidence::new(DwellModel::default()).unwrap();
    let tiles: Vec<Tile> = (0..6_u32)
        .map(|k| Tile {
            x_deg: f64::from(k % 3) * 8.0 - 8.0,
            y_deg: f64::from(k / 3) * 6.0 - 3.0,
            w_deg: 6.0,
            h_deg: 2.0,
            words: 4,
        })
        .collect();
    evidence.reset(&tiles).unwrap();
    let mut ln_lik = [0.0; 6];
    let mut noise = 1_u64;
    let mut random = || {
        noise = noise
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (noise >> 33) as f64 / f64::from(1_u32 << 31) - 0.5
    };
    let mut times = Vec::with_capacity(SAMPLES as usize);
    for i in 0..SAMPLES {
        let t_s = f64::from(i) / rate;
        let look = (t_s / 0.3) as u32;
        // A saccade of 40 ms between looks.
        let share = ((t_s - f64::from(look) * 0.3) / 0.04).min(1.0);
        let place = |k: u32| f64::from(k * 7 % 3) * 8.0 - 8.0;
        let x = place(look) + (place(look + 1) - place(look)) * share * share * (3.0 - 2.0 * share);
        let sample = GazeSample {
            t_s,
            x_deg: x + 0.05 * random(),
            y_deg: 0.05 * random(),
            valid: i % 997 > 20,
        };
        let begin = Instant::now();
        let mut told = false;
        detector.push(black_box(sample), &mut |event| match event {
            GazeEvent::Label(_) => {}
            GazeEvent::Start(f) | GazeEvent::Update(f) => {
                evidence.update(&f);
                told = true;
            }
            GazeEvent::End(f, how) => evidence.end(&f, how == FixationEnd::Saccade),
        });
        if told {
            evidence.ln_likelihoods(&mut ln_lik);
        }
        black_box(&ln_lik);
        times.push(begin.elapsed().as_nanos());
    }
    times
}
