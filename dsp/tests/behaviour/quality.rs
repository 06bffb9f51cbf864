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
fn good_channels_that_nobody_looks_at_are_no_montage() {
    let spec = QualitySpec {
        min_good: 2,
        ..QualitySpec::default()
    };
    let mut few = ChannelQuality::new(spec, hz(RATE), 8).unwrap();
    let mut all = few.clone();
    few.set_counted((0..4).collect());
    let sample = [f32::NAN, f32::NAN, f32::NAN, 1.0, 1.0, 1.0, 1.0, 1.0];
    for _ in 0..2 {
        for q in [&mut few, &mut all] {
            assert!(q.montage_ok());
            q.sanitise(&sample, &mut [0.0; 8]).unwrap();
        }
        assert_eq!(few.bad(), all.bad());
        assert!(!few.montage_ok(), "one of four is left");
        assert!(all.montage_ok(), "five of eight are left");
        few.reset();
        all.reset();
    }
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

/// Eight channels that go together as those of a head do, `spoil`ed; raw and filtered alike but for the DC.
fn head(
    quality: &mut ChannelQuality,
    noise: &mut Noise,
    seconds: f64,
    mut spoil: impl FnMut(usize, &mut [f32; 8]),
) {
    let mut held = [0.0; 8];
    let mut before = [0.0; 8];
    let mut slow = [0.0; 8];
    for i in 0..(seconds * RATE) as usize {
        let common = 3.0 * noise.normal();
        let mut sample = [0.0_f32; 8];
        for (c, (x, slow)) in sample.iter_mut().zip(&mut slow).enumerate() {
            *slow = 0.9 * *slow + common + 1.5 * noise.normal();
            *x = (60_000.0 + 3_400.0 * c as f64 + *slow) as f32;
        }
        spoil(i, &mut sample);
        quality.sanitise(&sample, &mut held).unwrap();
        // A high-pass at about 1 Hz.
        let mut filtered = [0.0; 8];
        for ((y, x), mean) in filtered.iter_mut().zip(held).zip(&mut before) {
            if i == 0 {
                *mean = x;
            }
            *mean += (x - *mean) * 0.025;
            *y = x - *mean;
        }
        quality.observe(&held, &filtered).unwrap();
    }
}

#[test]
fn a_rail_that_nobody_told_of_is_found_standing_and_clipping_and_84_mv_are_none() {
    for rail_uv in [187_500.02_f32, -187_500.02, 12_345.0, 100_000.0] {
        for clipping in [false, true] {
            let mut q = quality();
            let mut noise = Noise(3);
            head(&mut q, &mut noise, 4.0, |i, row| {
                row[6] = if clipping {
                    let swing = 1.5 * rail_uv * (i as f32 * 0.1).sin();
                    (row[6] + swing).clamp(-rail_uv.abs(), rail_uv.abs())
                } else {
                    rail_uv
                };
            });
            assert_eq!(q.bad(), [6].into_iter().collect(), "{rail_uv} {clipping}");
            if !clipping {
                let standing = if rail_uv.abs() >= 100_000.0 {
                    BadChannel::Railed
                } else {
                    BadChannel::Flat
                };
                assert_eq!(q.why(6), Some(standing));
            }
            // Back again: good after the window and the windows it takes to recover.
            head(&mut q, &mut noise, 12.0, |_, _| {});
            assert!(q.bad().is_empty(), "{:?}", q.why(6));
            assert!(q.bad_seconds(6).total() >= 4 && q.bad_seconds(5).total() == 0);
            assert_eq!(q.verdicts(), 16);
        }
    }
}

#[test]
fn clipping_that_no_filter_has_seen_is_found_by_its_equal_samples() {
    let mut q = ChannelQuality::new(
        QualitySpec {
            swing: None,
            variance_z_max: 1e3,
            ..QualitySpec::default()
        },
        hz(RATE),
        8,
    )
    .unwrap();
    head(&mut q, &mut Noise(4), 4.0, |i, row| {
        row[2] = (row[2] + 300.0 * (i as f32 * 0.05).sin()).min(66_900.0);
    });
    assert_eq!(q.why(2), Some(BadChannel::Railed));
    assert_eq!(q.bad().count(), 1);
}

#[test]
fn a_jump_is_seen_at_its_sample_and_forgiven_when_the_filters_have_settled() {
    let mut q = quality();
    let mut noise = Noise(8);
    head(&mut q, &mut noise, 3.0, |_, _| {});
    let mut seen = Vec::new();
    let mut held = [0.0; 8];
    for i in 0..600 {
        let row = [60_000.0_f32; 8].map(|x| x + noise.normal() as f32);
        q.sanitise(&row, &mut held).unwrap();
        let mut filtered = [0.0; 8].map(|x: f64| x + 5.0 * noise.normal());
        if i == 50 {
            filtered[1] = -1_500.0;
        }
        q.observe(&held, &filtered).unwrap();
        if q.why(1) == Some(BadChannel::Swing) {
            seen.push(i);
        }
    }
    assert_eq!(seen, (50..550).collect::<Vec<_>>());
}

#[test]
fn a_channel_that_goes_with_no_other_is_found_and_few_or_unrelated_channels_are_not_blamed() {
    let mut q = quality();
    let mut noise = Noise(5);
    let mut own = 0.0;
    head(&mut q, &mut noise, 30.0, |_, _| {});
    assert!(q.bad().is_empty());
    let mut other = Noise(99);
    head(&mut q, &mut noise, 40.0, |_, row| {
        own = 0.9 * own + 3.0 * other.normal();
        row[4] = 70_000.0 + own as f32;
    });
    assert_eq!(q.why(4), Some(BadChannel::Uncorrelated));
    assert_eq!(q.bad().count(), 1);
    head(&mut q, &mut noise, 20.0, |_, _| {});
    assert!(q.bad().is_empty());
    // Channels none of which goes with another: nobody is blamed.
    let mut q = quality();
    watch(&mut q, 30.0, 0, |_, x| x);
    assert!(q.bad().is_empty());
}

#[test]
fn of_two_bridged_channels_the_first_stays() {
    let mut q = quality();
    let mut noise = Noise(6);
    head(&mut q, &mut noise, 6.0, |_, row| {
        row[7] = row[3] + 1_000.0 - row[3] % 0.03;
    });
    assert_eq!(q.why(7), Some(BadChannel::Copy));
    assert_eq!(q.bad().count(), 1);
    head(&mut q, &mut noise, 6.0, |_, _| {});
    assert!(q.bad().is_empty());
}
