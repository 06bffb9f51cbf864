//! Pulling allocates nothing on the pulling thread. The allocator is the process's, so this has one to itself.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]

mod allocation_common;
mod lsl_common;

use std::time::Duration;

use allocation_common::allocations;
use lsl_common::{PATIENCE, WAIT, eeg, named, network};
use razvilka::source::lsl::{LslSampleOutlet, LslSamples};
use razvilka::source::{SampleSink, SampleSource};

#[test]
fn pulling_samples_and_reading_the_clock_offset_allocates_nothing() {
    let mut outlet = LslSampleOutlet::new(network(), &eeg("Counted")).unwrap();
    let stream = network().resolve(&named("Counted"), WAIT).unwrap();
    let mut inlet = LslSamples::open(&stream, PATIENCE).unwrap();
    assert!(outlet.wait_for_consumers(PATIENCE));
    let sender = std::thread::spawn(move || {
        for k in 0..2000_u16 {
            outlet
                .push(&[f32::from(k); 8], &[1.0 + f64::from(k)])
                .unwrap();
            if k % 20 == 0 {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        outlet
    });

    let (mut values, mut stamps) = (vec![0.0; 8 * 32], vec![0.0; 32]);
    let (mut samples, mut empty, mut last) = (0, 0, 0.0);
    let allocated = allocations(|| {
        while samples < 2000 && empty < 1000 {
            // Waiting, and every third time not: both paths of the socket.
            let wait = Duration::from_millis(if empty % 3 == 2 { 0 } else { 20 });
            let n = inlet.pull(&mut values, &mut stamps, wait).unwrap();
            samples += n;
            empty += usize::from(n == 0);
            if let Some(stamp) = stamps[..n].last() {
                last = *stamp;
            }
            std::hint::black_box(inlet.clock_offset());
        }
    });
    drop(sender.join().unwrap());
    assert_eq!(samples, 2000);
    assert_eq!(last, 2000.0);
    assert_eq!(allocated, 0, "allocations in {samples} samples");

    let control = allocations(|| drop(std::hint::black_box(vec![1_u8])));
    assert_eq!(control, 1, "the counter counts");
}
