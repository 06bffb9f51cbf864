//! Throughput of the real-time path: nanoseconds of computing, without threads and sockets.
//!
//! `cargo bench --bench pipeline`. Latency is another matter: `razvilka certify` measures it.

use divan::Bencher;
use divan::counter::ItemsCount;
use razvilka::config::ScreenSection;
use razvilka::engine::certify::paths;
use razvilka::fork::ForkId;
use razvilka::gate::{Evidence, Gate, GateSettings, Lease};
use razvilka::marker::OptionKind::{Branch, GoOn, Other};
use razvilka::pipeline::gaze::Tiles;
use razvilka::pipeline::presenter::{FlashId, FlashNotice};
use razvilka::pipeline::state::{StateLine, state_ring};
use razvilka_dsp::gaze_evidence::Tile;
use razvilka_dsp::mask::ChannelMask;
use razvilka_dsp::quality::QualitySpec;
use razvilka_dsp::stamps::StampRule;
use razvilka_dsp::state::StateSpec;
use razvilka_dsp::units::{Hertz, LslTime, Seconds};

const EEG_HZ: f64 = 1_000.0;
const GAZE_HZ: f64 = 500.0;
const LEASE: Lease = Lease { epoch: 1 };

fn main() {
    divan::main();
}

/// 1 kHz through filter, quality, epochs and score, with a flash every 175 ms; per sample.
#[divan::bench(args = [(64, 1), (64, 32), (256, 1)])]
fn eeg_line(bencher: Bencher<'_, '_>, (channels, block): (usize, usize)) {
    let mut line =
        paths::eeg_line(channels, EEG_HZ).expect("1 to 512 channels at 1 kHz have a path");
    let noise: Vec<f32> = (0..channels * 1_021)
        .map(|k| (k as f32 * 0.37).sin() * 10.0)
        .collect();
    let mut at = 0_usize;
    bencher.counter(ItemsCount::new(block)).bench_local(|| {
        for _ in 0..block {
            let stamp_s = at as f64 / EEG_HZ;
            if at.is_multiple_of(175) {
                let id = FlashId::new(ForkId(1), at as u32, 0);
                line.flash(&FlashNotice {
                    id,
                    onset_s: stamp_s,
                    offset_s: 0.0,
                    lease: LEASE,
                });
            }
            let row = at % 1_021 * channels;
            line.sample(stamp_s, &noise[row..row + channels]);
            while let Some(found) = line.pop() {
                divan::black_box(found);
            }
            at += 1;
        }
    });
}

/// One sample copied for the thread that tracks the state of the person: all that it costs the EEG thread. The ring is emptied
/// outside the measurement.
#[divan::bench(args = [64, 256])]
fn state_tap(bencher: Bencher<'_, '_>, channels: usize) {
    const RATE_HZ: f64 = 2_000.0;
    let seconds = |value| Seconds::new(value).expect("the constants are finite and not negative");
    // Whoever takes the samples out looks at one channel: it is not what is measured.
    let spec = StateSpec {
        rate: Hertz::new(RATE_HZ).expect("2 kHz is a rate"),
        channels: 1,
        stamps: StampRule::PerSample,
        quality: QualitySpec {
            min_good: 1,
            ..QualitySpec::default()
        },
        ratio_channels: ChannelMask::NONE,
        window: seconds(4.0),
        baseline: seconds(120.0),
        recent: seconds(60.0),
        artefact_uv: 150.0,
        spindle_factor: 2.0,
        spindle_least_s: 0.5,
    };
    let mut line =
        StateLine::new(spec, vec![0], channels).expect("the one channel looked at is there");
    let (mut tap, mut drain) = state_ring(RATE_HZ, channels);
    let (sample, mut at) = (vec![1.0_f32; channels], 0_u64);
    bencher
        .counter(ItemsCount::new(1_usize))
        .with_inputs(|| {
            at += 1;
            if at.is_multiple_of(1_000) {
                drain.drain(&mut line);
            }
            at as f64 / RATE_HZ
        })
        .bench_local_values(|stamp_s| tap.push(&[stamp_s], divan::black_box(&sample)));
}

/// Gaze at 500 Hz through event detection to words about three tiles; per sample.
#[divan::bench(args = [1, 32])]
fn gaze_line(bencher: Bencher<'_, '_>, block: usize) {
    let mut line =
        paths::gaze_line(GAZE_HZ, &ScreenSection::default()).expect("500 Hz is a rate of trackers");
    let tile = |x_deg| Tile {
        x_deg,
        y_deg: 0.0,
        w_deg: 8.0,
        h_deg: 8.0,
        words: 3,
    };
    let mut tiles = [tile(0.0); razvilka::fork::MAX_OPTIONS];
    tiles[..3].copy_from_slice(&[tile(-12.0), tile(0.0), tile(12.0)]);
    let up = Tiles {
        fork: ForkId(1),
        lease: LEASE,
        tiles,
        count: 3,
        from_s: 0.0,
        offset_s: 0.0,
        shift_deg: (0.0, 0.0),
    };
    line.put_up(up, None);
    let mut at = 0_usize;
    bencher.counter(ItemsCount::new(block)).bench_local(|| {
        for _ in 0..block {
            let jitter = (at % 97) as f32 * 0.001;
            let x = if (at / 125).is_multiple_of(2) {
                -13.0
            } else {
                -11.0
            };
            divan::black_box(line.sample(at as f64 / GAZE_HZ, &[x + jitter, jitter]));
            at += 1;
        }
    });
}

/// One item of evidence given to an open gate, which decides anew; per item.
#[divan::bench]
fn gate_evidence(bencher: Bencher<'_, '_>) {
    let mut gate = Gate::new(GateSettings::default());
    let at = LslTime::new(10.0).expect("10 s is a time");
    gate.open(
        ForkId(1),
        &[Branch, Branch, Branch, Other, GoOn],
        &[0.3, 0.3, 0.3, 0.05, 0.05],
        at,
        LEASE,
    )
    .expect("a new gate takes five options whose priors sum to 1");
    let mut seq = 0;
    bencher.counter(ItemsCount::new(1_usize)).bench_local(|| {
        seq += 1;
        let item = (seq % 5) as usize;
        // Evidence that cancels itself out over the items: the gate stays open.
        let flash = Evidence::flash(ForkId(1), LEASE, seq, at, item, 0.1);
        divan::black_box(gate.evidence(&flash, at))
    });
}
