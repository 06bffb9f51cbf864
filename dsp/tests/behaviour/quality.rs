use std::f64::consts::TAU;

use razvilka_dsp::mask::ChannelMask;
use razvilka_dsp::quality::{BadChannel, ChannelQuality, QualitySpec};

use super::{Noise, hz, s};

const RATE: f64 = 250.0;

/// Eight channels of 10 uV noise, of which one may be spoilt by `spoil(sample, value)`.
fn watch(
    quality: &mut ChannelQuality,
    seconds: f64,
    channel: usize,
    mut spoil: impl FnMut(usize, f64) -> f64,
) {
    let mut noise = Noise(11);
    let mut held = [0.0; 8];
    for i in 0..(seconds * RATE) as usize {
        let mut sample = [0.0_f32; 8];
        for (c, x) in sample.iter_mut().enumerate() {
            let clean = 10.0 * noise.normal();
            *x = if c == channel { spoil(i, clean) } else { clean } as f32;
        }
        quality.sanitise(&sample, &mut held).unwrap();
        // What a band-pass and a notch would leave of rails and mains.
        let filtered = held.map(|x| if x.abs() > 1e3 { 10.0 } else { x });
        quality.observe(&held, &filtered).unwrap();
    }
}

fn quality() -> ChannelQuality {
    let spec = QualitySpec {
        line: Some(hz(50.0)),
        min_good: 7,
        ..QualitySpec::default()
    };
    ChannelQuality::new(spec, hz(RATE), 8).unwrap()
}

#[test]
fn healthy_channels_are_good_and_the_montage_complete() {
    let mut q = quality();
    watch(&mut q, 30.0, 0, |_, x| x);
    assert!(q.bad().is_empty() && q.montage_ok());
}

#[test]
fn each_fault_is_found_named_and_forgiven_after_two_good_windows() {
    type Spoil = fn(usize, f64) -> f64;
    let faults: [(BadChannel, Spoil); 5] = [
        (BadChannel::Railed, |_, _| 450_000.0),
        (BadChannel::Flat, |_, _| 12_345.0),
        (BadChannel::Variance, |_, x| 50.0 * x),
        (BadChannel::Line, |i, x| {
            x + 5_000.0 * (TAU * 50.0 * i as f64 / RATE).sin()
        }),
        (BadChannel::NotFinite, |i, x| {
            if i % 100 == 0 { f64::NAN } else { x }
        }),
    ];
    for (fault, spoil) in faults {
        let mut q = quality();
        watch(&mut q, 2.0, 3, spoil);
        assert_eq!(q.bad(), [3].into_iter().collect(), "{fault:?}");
        assert_eq!(q.why(3), Some(fault));
        assert!(q.montage_ok());
        watch(&mut q, 3.9, 3, |_, x| x);
        assert!(
            !q.bad().is_empty() || fault == BadChannel::NotFinite,
            "{fault:?} is forgiven too soon"
        );
        watch(&mut q, 0.2, 3, |_, x| x);
        assert_eq!(q.bad(), ChannelMask::NONE, "{fault:?} is never forgiven");
    }
}

#[test]
fn dc_and_a_blink_do_not_make_a_channel_bad() {
    let mut q = quality();
    watch(&mut q, 20.0, 2, |i, x| {
        let blink = if i % 1_000 < 60 { 150.0 } else { 0.0 };
        x + blink
    });
    assert!(q.bad().is_empty(), "{:?}", q.why(2));
}

#[test]
fn a_value_that_is_no_number_is_held_and_its_channel_bad_for_the_settling_time() {
    let spec = QualitySpec {
        settle: s(0.1),
        min_good: 1,
        ..QualitySpec::default()
    };
    let mut q = ChannelQuality::new(spec, hz(RATE), 2).unwrap();
    let mut held = [0.0; 2];
    q.sanitise(&[f32::NAN, 1.0], &mut held).unwrap();
    assert_eq!(held, [0.0, 1.0]);
    q.observe(&held, &held).unwrap();
    q.sanitise(&[5.0, 1.0], &mut held).unwrap();
    q.observe(&held, &held).unwrap();
    q.sanitise(&[f32::NEG_INFINITY, 1.0], &mut held).unwrap();
    assert_eq!(held, [5.0, 1.0]);
    q.observe(&held, &held).unwrap();
    let mut bad = 0;
    while q.bad().contains(0) {
        q.sanitise(&[5.0, 1.0], &mut held).unwrap();
        q.observe(&held, &held).unwrap();
        bad += 1;
    }
    assert_eq!(bad, 25);
}

#[test]
fn too_few_good_channels_are_no_montage() {
    let mut q = quality();
    watch(&mut q, 2.0, 0, |_, _| 0.0);
    assert!(q.montage_ok());
    let spec = QualitySpec {
        min_good: 8,
        ..QualitySpec::default()
    };
    let mut q = ChannelQuality::new(spec, hz(RATE), 8).unwrap();
    watch(&mut q, 2.0, 0, |_, _| 0.0);
    assert!(!q.montage_ok());
}

#[test]
fn absurd_limits_are_refused() {
    let absurd = [
        QualitySpec {
            window: s(0.01),
            ..QualitySpec::default()
        },
        QualitySpec {
            variance_z_max: f64::NAN,
            ..QualitySpec::default()
        },
        QualitySpec {
            line: Some(hz(200.0)),
            ..QualitySpec::default()
        },
        QualitySpec {
            min_good: 9,
            ..QualitySpec::default()
        },
    ];
    for spec in absurd {
        assert!(ChannelQuality::new(spec, hz(RATE), 8).is_err(), "{spec:?}");
    }
    assert!(serde_json::from_str::<QualitySpec>(r#"{"windw": 2.0}"#).is_err());
    let read: QualitySpec = serde_json::from_str(r#"{"window": 3.0}"#).unwrap();
    assert_eq!(read.window, s(3.0));
}
