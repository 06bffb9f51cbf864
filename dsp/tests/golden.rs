//! Against SciPy and 40-digit arithmetic: the golden values and the program that made them are in `fixtures/golden/dsp`.
//!
//! Every single value is held to a relative error of 1e-9. Near a zero crossing a relative error means nothing; a difference
//! passes there that is below 1e-12 of the series' largest magnitude, or below what a double resolves of the input.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_macros
)]

use razvilka_dsp::design::{butter_bandpass, butter_highpass, butter_lowpass, iirnotch};
use razvilka_dsp::eeg::{EegPath, EegSpec};
use razvilka_dsp::eigen::Eigen;
use razvilka_dsp::epoch::EpochStatus;
use razvilka_dsp::gaze::{FeatureStream, GazeSample};
use razvilka_dsp::score::{LinearScorer, StudentT};
use razvilka_dsp::sos::{Sos, response};
use razvilka_dsp::sosfilt::SosFilter;
use razvilka_dsp::spectrum::Welch;
use razvilka_dsp::units::{Hertz, Microvolts, Seconds};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Largest relative error of any value.
const TOLERANCE: f64 = 1e-9;
/// Difference that passes whatever the value, relative to the largest magnitude of its series.
const FLOOR: f64 = 1e-12;
/// Difference that passes whatever the value, relative to the largest magnitude of the input: on 300 mV of DC a double cannot
/// tell less apart, and the filter has to carry that DC.
const RESOLVED: f64 = 4.0 * f64::EPSILON;

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

/// Every value of a series against its golden one, `|got - want| <= TOLERANCE |want| + FLOOR peak + RESOLVED input`.
fn assert_each(got: &[f64], want: &[f64], input: &[f64], what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    let largest = |values: &[f64]| values.iter().fold(0.0_f64, |m, v| v.abs().max(m));
    let floor = FLOOR * largest(want) + RESOLVED * largest(input);
    for (index, (got, want)) in got.iter().zip(want).enumerate() {
        let error = (got - want).abs();
        // NaN is within nothing.
        let within = error <= TOLERANCE * want.abs() + floor;
        assert!(
            within,
            "{what}: value {index} is {got:e}, not {want:e}: {error:e}, floor {floor:e}"
        );
    }
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
        let what = format!("{} order {} at {}", case.kind, case.order, case.fs);
        assert_each(&y, &case.y, &case.x, &what);
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
        assert_each(
            &y,
            &case.y,
            &case.x,
            &format!("order {} at {}", case.order, case.fs),
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
    spec.epoch.target_rate = hz(32.0);
    let mut path = EegPath::prepare(spec).unwrap();
    let scorer = LinearScorer::new(path.epoch_shape(), &golden.weights, golden.bias).unwrap();
    path.set_scorer(scorer.into()).unwrap();
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
        assert_each(got, want, &golden.x, &format!("features of {id}"));
    }
    let mut scores = Vec::new();
    for onset in &golden.onsets {
        let flash = path.pop().unwrap();
        assert_eq!((flash.id, flash.onset_sample.0), (*onset, *onset));
        assert_eq!(flash.last_sample.0, onset + 199);
        assert_eq!(flash.status, EpochStatus::Clean);
        scores.push(flash.score.unwrap());
    }
    assert_each(&scores, &golden.scores, &golden.x, "scores");
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
        assert_each(
            &density,
            &case.p,
            &[],
            &format!("{} of {}", case.nperseg, case.fs),
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
        let what = format!("t({location}, {scale}, {dof}) at {x}");
        assert_each(&[got], &[want], &[], &what);
    }
}

#[derive(Deserialize)]
struct Matrices {
    matrices: Vec<MatrixCase>,
}

#[derive(Deserialize)]
struct MatrixCase {
    order: usize,
    matrix: Vec<f64>,
    values: Vec<f64>,
}

/// `eigen.json` is made by `fixtures/golden/calibration/generate_scorers.py`. An eigenvalue is known to what a double resolves of the
/// largest one.
#[test]
fn eigenvalues_are_those_of_lapack() {
    let cases: Matrices = golden("eigen.json");
    assert_eq!(cases.matrices.len(), 5);
    for mut case in cases.matrices {
        let mut eigen = Eigen::new(case.order);
        assert!(eigen.decompose(&mut case.matrix));
        let mut values = eigen.values().to_vec();
        values.sort_by(f64::total_cmp);
        let what = format!("eigenvalues of order {}", case.order);
        assert_each(&values, &case.values, &[], &what);
    }
}

#[derive(Deserialize)]
struct GazeCase {
    rate_hz: f64,
    t_s: Vec<f64>,
    x_deg: Vec<f64>,
    y_deg: Vec<f64>,
    valid: Vec<bool>,
    rows: Vec<GazeRow>,
}

#[derive(Deserialize)]
struct GazeRow {
    index: usize,
    features: Vec<f32>,
}

#[test]
fn gaze_features_are_those_that_numpy_finds_by_definition() {
    let cases: Vec<GazeCase> = golden("gaze.json");
    for case in &cases {
        let mut stream = FeatureStream::new(hz(case.rate_hz), 0.075).unwrap();
        let mut found: Vec<(f64, Vec<f32>)> = Vec::new();
        let mut keep =
            |row: &razvilka_dsp::gaze::Described| found.push((row.t_s, row.features.to_vec()));
        for i in 0..case.t_s.len() {
            let sample = GazeSample {
                t_s: case.t_s[i],
                x_deg: case.x_deg[i],
                y_deg: case.y_deg[i],
                valid: case.valid[i],
            };
            stream.push(sample, &mut keep);
        }
        stream.finish(&mut keep);
        assert!(case.rows.len() > 20);
        for row in &case.rows {
            let (t_s, features) = &found[row.index];
            assert_eq!(*t_s, case.t_s[row.index]);
            assert_eq!(features.len(), row.features.len());
            for (k, (got, expected)) in features.iter().zip(&row.features).enumerate() {
                assert!(
                    (got - expected).abs() < 2e-3,
                    "{} Hz, sample {}, feature {k}: {got}, NumPy {expected}",
                    case.rate_hz,
                    row.index
                );
            }
        }
    }
}
