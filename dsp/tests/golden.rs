//! Against SciPy and 40-digit arithmetic: the golden values and the program that made them are in `fixtures/golden/dsp`.
//!
//! Errors are the maximum over all values, relative to the largest magnitude of the series they belong to (responses:
//! relative to each value).

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_macros
)]

use razvilka_dsp::design::{butter_bandpass, butter_highpass, butter_lowpass, iirnotch};
use razvilka_dsp::eeg::{EegPath, EegSpec};
use razvilka_dsp::epoch::EpochStatus;
use razvilka_dsp::score::{LinearScorer, StudentT};
use razvilka_dsp::sos::{Sos, response};
use razvilka_dsp::sosfilt::SosFilter;
use razvilka_dsp::spectrum::Welch;
use razvilka_dsp::units::{Hertz, Microvolts, Seconds};
use serde::Deserialize;
use serde::de::DeserializeOwned;

const TOLERANCE: f64 = 1e-9;

fn golden<T: DeserializeOwned>(name: &str) -> T {
    let path = format!(
        "{}/../fixtures/golden/dsp/{name}",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn hz(value: f64) -> Hertz {
    Hertz::new(value).unwrap()
}

fn largest(values: impl IntoIterator<Item = f64>) -> f64 {
    values.into_iter().fold(0.0, |m, v| v.abs().max(m))
}

/// Largest difference of two series over the largest magnitude of the second.
fn relative_error(got: &[f64], want: &[f64]) -> f64 {
    assert_eq!(got.len(), want.len());
    assert!(got.iter().all(|v| v.is_finite()));
    largest(got.iter().zip(want).map(|(g, w)| g - w)) / largest(want.iter().copied())
}

#[derive(Deserialize)]
struct FilterCase {
    kind: String,
    fs: f64,
    #[serde(default)]
    order: usize,
    #[serde(default)]
    low: f64,
    #[serde(default)]
    high: f64,
    #[serde(default)]
    f0: f64,
    #[serde(default)]
    q: f64,
    f: Vec<f64>,
    re: Vec<f64>,
    im: Vec<f64>,
    x: Vec<f64>,
    y: Vec<f64>,
}

impl FilterCase {
    fn sections(&self) -> Vec<Sos> {
        let fs = hz(self.fs);
        match self.kind.as_str() {
            "bandpass" => butter_bandpass(self.order, hz(self.low), hz(self.high), fs).unwrap(),
            "lowpass" => butter_lowpass(self.order, hz(self.high), fs).unwrap(),
            "highpass" => butter_highpass(self.order, hz(self.low), fs).unwrap(),
            "notch" => vec![iirnotch(hz(self.f0), self.q, fs).unwrap()],
            other => panic!("unknown kind {other}"),
        }
    }
}

#[test]
fn every_filter_has_the_complex_gain_that_scipy_gives_it() {
    for case in golden::<Vec<FilterCase>>("filters.json") {
        let sections = case.sections();
        assert!(case.f.len() > 10);
        for ((f, re), im) in case.f.iter().zip(&case.re).zip(&case.im) {
            let h = response(&sections, hz(*f), hz(case.fs));
            let error = (h.re - re).hypot(h.im - im) / re.hypot(*im);
            assert!(
                error < TOLERANCE,
                "{} order {} at {f} Hz of {}: error {error:e}",
                case.kind,
                case.order,
                case.fs
            );
        }
    }
}

#[test]
fn every_filter_gives_the_samples_that_sosfilt_gives() {
    for case in golden::<Vec<FilterCase>>("filters.json") {
        let mut filter = SosFilter::new(&case.sections(), 2).unwrap();
        filter.start_at(&case.x[..2]).unwrap();
        let mut y = case.x.clone();
        filter.process(&mut y).unwrap();
        let error = relative_error(&y, &case.y);
        assert!(
            error < TOLERANCE,
            "{} order {} at {}: error {error:e}",
            case.kind,
            case.order,
            case.fs
        );
    }
}

#[derive(Deserialize)]
struct ExactCase {
    order: usize,
    low: f64,
    high: f64,
    fs: f64,
    x: Vec<f64>,
    y: Vec<f64>,
}

#[test]
fn on_300_millivolts_of_dc_the_output_is_that_of_40_digit_arithmetic() {
    for case in golden::<Vec<ExactCase>>("exact.json") {
        let sections =
            butter_bandpass(case.order, hz(case.low), hz(case.high), hz(case.fs)).unwrap();
        let mut filter = SosFilter::new(&sections, 1).unwrap();
        filter.start_at(&case.x[..1]).unwrap();
        let mut y = case.x.clone();
        filter.process(&mut y).unwrap();
        let error = relative_error(&y, &case.y);
        assert!(
            error < 1e-10,
            "order {} at {}: {error:e}",
            case.order,
            case.fs
        );
    }
}

#[derive(Deserialize)]
struct Epochs {
    fs: f64,
    channels: usize,
    x: Vec<f64>,
    onsets: Vec<u64>,
    features: Vec<Vec<f64>>,
    weights: Vec<f64>,
    bias: f64,
    scores: Vec<f64>,
}

#[test]
fn the_eeg_path_gives_the_features_and_scores_of_the_reference() {
    let golden: Epochs = golden("epochs.json");
    let mut spec = EegSpec::p300(hz(golden.fs), golden.channels);
    spec.epoch.peak_to_peak = Microvolts::new(1e6).unwrap();
    spec.settle = Seconds::new(0.0).unwrap();
    let mut path = EegPath::prepare(spec).unwrap();
    let scorer = LinearScorer::new(path.epoch_shape(), &golden.weights, golden.bias).unwrap();
    path.set_scorer(scorer).unwrap();
    let stamp = |sample: u64| 1000.0 + sample as f64 / golden.fs;
    for onset in &golden.onsets {
        // Announced up to half a sample early or late: the sample is the same.
        path.flash(*onset, stamp(*onset) + 0.4 / golden.fs).unwrap();
    }
    let mut features = Vec::new();
    for (i, sample) in golden.x.chunks_exact(golden.channels).enumerate() {
        let sample: Vec<f32> = sample.iter().map(|x| *x as f32).collect();
        path.push_with(stamp(i as u64), &sample, |e| {
            features.push((e.id, e.features.to_vec()));
        })
        .unwrap();
    }
    assert_eq!(features.len(), golden.onsets.len());
    for ((id, got), want) in features.iter().zip(&golden.features) {
        let error = relative_error(got, want);
        assert!(error < TOLERANCE, "features of {id}: error {error:e}");
    }
    for (onset, want) in golden.onsets.iter().zip(&golden.scores) {
        let flash = path.pop().unwrap();
        assert_eq!((flash.id, flash.onset_sample.0), (*onset, *onset));
        assert_eq!(flash.last_sample.0, onset + 199);
        assert_eq!(flash.status, EpochStatus::Clean);
        let error = (flash.score.unwrap() - want).abs() / largest(golden.scores.iter().copied());
        assert!(error < TOLERANCE, "score of {onset}: error {error:e}");
    }
    assert_eq!(path.pop(), None);
}

#[derive(Deserialize)]
struct WelchCase {
    fs: f64,
    nperseg: usize,
    noverlap: usize,
    x: Vec<f64>,
    f_last: f64,
    p: Vec<f64>,
}

#[test]
fn power_densities_are_those_of_scipy_welch() {
    for case in golden::<Vec<WelchCase>>("welch.json") {
        let mut welch = Welch::new(hz(case.fs), case.nperseg, case.noverlap).unwrap();
        let mut density = vec![f64::NAN; welch.bins()];
        welch.process(&case.x, &mut density).unwrap();
        let last = (welch.bins() - 1) as f64 * welch.resolution_hz();
        assert!((last - case.f_last).abs() < 1e-9);
        let error = relative_error(&density, &case.p);
        assert!(
            error < TOLERANCE,
            "{} of {}: {error:e}",
            case.nperseg,
            case.fs
        );
    }
}

#[test]
fn student_t_densities_are_those_of_scipy() {
    for [location, scale, dof, x, want] in golden::<Vec<[f64; 5]>>("density.json") {
        let got = StudentT {
            location,
            scale,
            dof,
        }
        .ln_density(x);
        let error = (got - want).abs() / want.abs().max(1.0);
        assert!(
            error < TOLERANCE,
            "t({location}, {scale}, {dof}) at {x}: {got} for {want}"
        );
    }
}
