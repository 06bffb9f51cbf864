use std::f64::consts::{FRAC_1_SQRT_2, PI, TAU};

use razvilka_dsp::DspError;
use razvilka_dsp::design::{butter_bandpass, butter_highpass, butter_lowpass, iirnotch};
use razvilka_dsp::sos::{Sos, group_delay, response};
use razvilka_dsp::sosfilt::SosFilter;
use razvilka_dsp::spectrum::{Goertzel, Welch};

use super::{Noise, hz, s};

#[test]
fn every_order_of_butterworth_is_3_db_down_at_its_edges_and_flat_inside() {
    let fs = hz(500.0);
    for order in 1..=12 {
        let band = butter_bandpass(order, hz(8.0), hz(40.0), fs).unwrap();
        assert_eq!(band.len(), order);
        for edge in [8.0, 40.0] {
            let gain = response(&band, hz(edge), fs).norm();
            assert!(
                (gain - FRAC_1_SQRT_2).abs() < 1e-9,
                "order {order} at {edge}: {gain}"
            );
        }
        // Gain 1 at the centre, which the bilinear transform puts at the geometric mean of the warped edges.
        let warped = ((PI * 8.0 / 500.0).tan() * (PI * 40.0 / 500.0).tan()).sqrt();
        let centre = warped.atan() * 500.0 / PI;
        let h = response(&band, hz(centre), fs);
        assert!(
            (h.norm() - 1.0).abs() < 1e-9 && h.arg().abs() < 1e-6,
            "order {order}: {h}"
        );
        for (name, sections, passes) in [
            (
                "low-pass",
                butter_lowpass(order, hz(30.0), fs).unwrap(),
                0.01,
            ),
            (
                "high-pass",
                butter_highpass(order, hz(30.0), fs).unwrap(),
                249.99,
            ),
        ] {
            assert_eq!(sections.len(), order.div_ceil(2), "{name}");
            let edge = response(&sections, hz(30.0), fs).norm();
            let flat = response(&sections, hz(passes), fs).norm();
            assert!(
                (edge - FRAC_1_SQRT_2).abs() < 1e-9,
                "{name} {order}: {edge}"
            );
            assert!((flat - 1.0).abs() < 1e-6, "{name} {order}: {flat}");
        }
    }
}

#[test]
fn a_sine_comes_out_with_the_gain_and_phase_of_the_response() {
    let fs = 250.0;
    let mut sections = butter_bandpass(2, hz(0.5), hz(20.0), hz(fs)).unwrap();
    sections.push(iirnotch(hz(50.0), 30.0, hz(fs)).unwrap());
    for f in [0.5, 3.0, 10.0, 20.0, 49.0, 50.0, 80.0] {
        let mut filter = SosFilter::new(&sections, 1).unwrap();
        let n = 250 * 60;
        let mut x: Vec<f64> = (0..n)
            .map(|i| (TAU * f * f64::from(i) / fs).sin())
            .collect();
        filter.process(&mut x).unwrap();
        let h = response(&sections, hz(f), hz(fs));
        for (i, y) in x.iter().enumerate().skip(250 * 50) {
            let want = h.norm() * (TAU * f * i as f64 / fs + h.arg()).sin();
            assert!(
                (y - want).abs() < 1e-6,
                "{f} Hz, sample {i}: {y} for {want}"
            );
        }
    }
}

#[test]
fn a_notch_removes_its_centre_and_keeps_the_rest() {
    let notch = [iirnotch(hz(50.0), 30.0, hz(250.0)).unwrap()];
    assert!(response(&notch, hz(50.0), hz(250.0)).norm() < 1e-12);
    for f in [10.0, 20.0, 100.0] {
        assert!((response(&notch, hz(f), hz(250.0)).norm() - 1.0).abs() < 2e-3);
    }
}

#[test]
fn group_delay_is_the_slope_of_the_phase() {
    let fs = hz(250.0);
    for order in [2, 4] {
        let band = butter_bandpass(order, hz(0.5), hz(20.0), fs).unwrap();
        for f in [2.0, 5.0, 10.0] {
            let d = 1e-4;
            let (a, b) = (
                response(&band, hz(f - d), fs),
                response(&band, hz(f + d), fs),
            );
            let slope = -(b / a).arg() / (TAU * 2.0 * d);
            let delay = group_delay(&band, hz(f), fs).unwrap().get();
            assert!(
                (delay - slope).abs() < 1e-6,
                "{delay} s for {slope} s at {f} Hz"
            );
        }
    }
    let at = |order| {
        let band = butter_bandpass(order, hz(0.5), hz(20.0), fs).unwrap();
        group_delay(&band, hz(5.0), fs).unwrap()
    };
    assert!(at(2) < at(4), "a higher order is later");
}

#[test]
fn three_hundred_millivolts_of_dc_cost_less_than_a_nanovolt() {
    // The same noise with and without an electrode's DC: a band-pass has no answer to DC, so any difference is state noise.
    for (order, fs) in [(2, 250.0), (4, 250.0), (2, 2000.0)] {
        let band = butter_bandpass(order, hz(0.5), hz(20.0), hz(fs)).unwrap();
        let (mut plain, mut offset) = (
            SosFilter::new(&band, 1).unwrap(),
            SosFilter::new(&band, 1).unwrap(),
        );
        plain.start_at(&[0.0]).unwrap();
        offset.start_at(&[300_000.0]).unwrap();
        let mut noise = Noise(7);
        let (mut worst, mut largest) = (0.0_f64, 0.0_f64);
        for _ in 0..(60.0 * fs) as usize {
            // A multiple of 2^-16, so that adding the DC is exact.
            let x = (noise.normal() * 20.0 * 65_536.0).round() / 65_536.0;
            let (mut a, mut b) = ([x], [x + 300_000.0]);
            plain.process(&mut a).unwrap();
            offset.process(&mut b).unwrap();
            worst = worst.max((a[0] - b[0]).abs());
            largest = largest.max(a[0].abs());
        }
        assert!(largest > 5.0, "the signal came through: {largest} uV");
        assert!(worst < 1e-3, "order {order} at {fs} Hz: {worst:e} uV");
    }
}

#[test]
fn a_start_at_dc_has_no_transient_and_a_start_at_rest_has() {
    let band = butter_bandpass(2, hz(0.5), hz(20.0), hz(250.0)).unwrap();
    let dc = [60_000.0, -84_000.0];
    let mut filter = SosFilter::new(&band, 2).unwrap();
    filter.start_at(&dc).unwrap();
    let mut block = dc.repeat(500);
    filter.process(&mut block).unwrap();
    assert!(block.iter().all(|y| y.abs() < 1e-6));
    filter.reset();
    let mut block = dc.repeat(500);
    filter.process(&mut block).unwrap();
    assert!(block.iter().any(|y| y.abs() > 10_000.0));
    assert_eq!(
        filter.start_at(&[1.0]),
        Err(DspError::Shape {
            what: "first sample",
            expected: 2,
            got: 1
        })
    );
}

#[test]
fn a_block_of_broken_samples_is_refused_and_nothing_is_touched() {
    let band = butter_bandpass(2, hz(0.5), hz(20.0), hz(250.0)).unwrap();
    let mut filter = SosFilter::new(&band, 3).unwrap();
    let mut block = [1.0, 2.0, 3.0, 4.0];
    assert!(matches!(
        filter.process(&mut block),
        Err(DspError::Shape {
            expected: 3,
            got: 4,
            ..
        })
    ));
    assert_eq!(block, [1.0, 2.0, 3.0, 4.0]);
    assert_eq!(filter.process(&mut []), Ok(()));
}

#[test]
fn impossible_filters_are_refused_in_words() {
    let fs = hz(250.0);
    let message = |e: Result<Vec<Sos>, DspError>| e.unwrap_err().to_string();
    assert_eq!(
        message(butter_bandpass(2, hz(20.0), hz(0.5), fs)),
        "the band's lower edge (20 Hz) must lie below its upper edge (0.5 Hz)"
    );
    assert_eq!(
        message(butter_bandpass(2, hz(0.5), hz(125.0), fs)),
        "upper band edge of 125 Hz must lie below half the sampling rate (125 Hz). Lower it or sample faster"
    );
    assert_eq!(
        message(butter_lowpass(0, hz(20.0), fs)),
        "filter order must lie in 1..=12, got 0"
    );
    assert!(butter_highpass(13, hz(1.0), fs).is_err());
    for q in [f64::NAN, f64::INFINITY, 0.0, -1.0] {
        assert!(iirnotch(hz(50.0), q, fs).is_err(), "{q}");
    }
    assert!(iirnotch(hz(200.0), 30.0, fs).is_err());
    for (b, a) in [
        ([1.0, 0.0, 0.0], [0.0, 1.0]),
        ([1.0, 0.0, 0.0], [-2.0, 0.999]),
        ([f64::NAN, 0.0, 0.0], [0.0, 0.0]),
        ([1.0, 0.0, 0.0], [f64::NAN, 0.0]),
    ] {
        assert!(matches!(Sos::new(b, a), Err(DspError::Unstable { .. })));
    }
}

#[test]
fn a_sine_has_its_power_in_goertzel_and_in_its_band() {
    let (fs, n) = (250.0, 500);
    let wave: Vec<f64> = (0..4 * n)
        .map(|i| 7.0 * (TAU * 10.0 * f64::from(i) / fs).sin())
        .collect();
    let mut goertzel = Goertzel::new(hz(10.0), hz(fs), n as usize).unwrap();
    let powers: Vec<f64> = wave.iter().filter_map(|x| goertzel.push(*x)).collect();
    assert_eq!(powers.len(), 4);
    assert!(powers.iter().all(|p| (p - 24.5).abs() < 1e-9), "{powers:?}");
    let mut elsewhere = Goertzel::new(hz(50.0), hz(fs), n as usize).unwrap();
    assert!(
        wave.iter()
            .filter_map(|x| elsewhere.push(*x))
            .all(|p| p < 1e-18)
    );

    let mut welch = Welch::new(hz(fs), n as usize, n as usize / 2).unwrap();
    let mut density = vec![0.0; welch.bins()];
    assert_eq!(welch.process(&wave, &mut density), Ok(7));
    assert!((welch.band_power(&density, 8.0, 13.0) - 24.5).abs() < 1e-9);
    assert!(welch.theta_over_alpha(&density).unwrap() < 1e-12);
    assert!(welch.process(&wave[..10], &mut density).is_err());
    assert!(Welch::new(hz(fs), 100, 100).is_err());
    assert_eq!(s(1.0).get(), 1.0);
}
