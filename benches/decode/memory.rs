//! What a fork costs a memory of many choices: one query for three branches.
//!
//! States lie about two hundred places, as those of one person's texts do, or anywhere, where no key is nearer than another and the first pass
//! has least to go by. A second thread takes half of a large memory: on a busy machine it waits for its turn, so the processor time of both
//! together stands beside the time that passed.

use std::hint::black_box;
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use razvilka::choice::memory::Memory;

use super::{note, report, times};

const PLACES: usize = 200;
const BRANCHES: usize = 3;

pub(crate) fn queries(choices: usize, width: usize, count: usize) -> anyhow::Result<()> {
    for (about, spread) in [("about 200 places", 0.5_f32), ("anywhere", f32::INFINITY)] {
        let mut random = ChaCha8Rng::seed_from_u64(7);
        let mut vector = || -> Vec<f32> {
            let one = || random.random_range(-1.0_f32..1.0);
            std::iter::repeat_with(one).take(width).collect()
        };
        let places: Vec<_> = (0..PLACES).map(|_| vector()).collect();
        let state = |n: usize, own: Vec<f32>| -> Vec<f32> {
            if spread.is_infinite() {
                return own;
            }
            let place = &places[n * 7919 % PLACES];
            place
                .iter()
                .zip(own)
                .map(|(place, own)| place + spread * own)
                .collect()
        };
        let mut memory = Memory::new(width);
        for n in 0..choices {
            let state = state(n, vector());
            let branches: Vec<_> = (0..BRANCHES).map(|_| vector()).collect();
            let branches: Vec<&[f32]> = branches.iter().map(Vec::as_slice).collect();
            memory.learn(&state, &branches, n % BRANCHES)?;
        }
        let (mut spent, mut processor) = (times()?, times()?);
        for n in 0..count {
            let state = state(n, vector());
            let branches: Vec<_> = (0..BRANCHES).map(|_| vector()).collect();
            let branches: Vec<&[f32]> = branches.iter().map(Vec::as_slice).collect();
            let (begun, begun_processor) = (Instant::now(), processor_time());
            black_box(memory.preference(&state, &branches)?);
            note(&mut spent, begun.elapsed());
            note(&mut processor, processor_time() - begun_processor);
        }
        let what = format!("memory of {choices} choices {about}, width {width}");
        report(&what, &spent);
        report(
            &format!("{what}: processor time of all threads"),
            &processor,
        );
    }
    Ok(())
}

/// Processor time of this process.
fn processor_time() -> Duration {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(t.tv_sec.cast_unsigned(), t.tv_nsec as u32)
}
