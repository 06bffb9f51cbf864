//! How hard the presets are: single-flash AUC of a shrinkage LDA, written here from its definition, after about 170
//! calibration flashes.

use razvilka::marker::Event;
use razvilka::sim::{Preset, SimSettings};

use crate::script::{Recording, Script, record};

/// Blocks of 28 flashes; the first six calibrate.
const BLOCKS: u32 = 20;
const CALIBRATION_BLOCKS: u32 = 6;
/// Features: 8 channels, 25 means of 32 ms from the flash on.
const BINS: usize = 25;
const BIN: usize = 8;

/// First-order high-pass at 0.5 Hz, causal: electrode offsets of millivolts must not enter.
fn high_pass(signal: &[f64], rate_hz: f64) -> Vec<f64> {
    let keep = (-std::f64::consts::TAU * 0.5 / rate_hz).exp();
    let mut slow = signal[0];
    signal
        .iter()
        .map(|value| {
            slow = keep * slow + (1.0 - keep) * value;
            value - slow
        })
        .collect()
}

fn features(recording: &Recording, filtered: &[Vec<f64>], onset: f64) -> Option<Vec<f64>> {
    let start = recording.eeg_s.partition_point(|t| *t < onset);
    let mut out = Vec::with_capacity(filtered.len() * BINS);
    for channel in filtered {
        let epoch = channel.get(start..start + BINS * BIN)?;
        out.extend(
            epoch
                .chunks(BIN)
                .map(|b| b.iter().sum::<f64>() / BIN as f64),
        );
    }
    Some(out)
}

fn mean(rows: &[&Vec<f64>]) -> Vec<f64> {
    let mut sum = vec![0.0; rows[0].len()];
    for row in rows {
        sum.iter_mut().zip(row.iter()).for_each(|(s, v)| *s += v);
    }
    sum.iter_mut().for_each(|s| *s /= rows.len() as f64);
    sum
}

/// Weights of linear discriminant analysis with the Ledoit-Wolf (2004) covariance.
fn lda(rows: &[(Vec<f64>, bool)]) -> Vec<f64> {
    let of =
        |class| -> Vec<&Vec<f64>> { rows.iter().filter(|r| r.1 == class).map(|r| &r.0).collect() };
    let (m1, m0) = (mean(&of(true)), mean(&of(false)));
    let centred: Vec<Vec<f64>> = rows
        .iter()
        .map(|(row, class)| {
            let m = if *class { &m1 } else { &m0 };
            row.iter().zip(m).map(|(v, m)| v - m).collect()
        })
        .collect();
    let (n, p) = (centred.len() as f64, m1.len());
    let mut cov = vec![vec![0.0; p]; p];
    for row in &centred {
        for (line, a) in cov.iter_mut().zip(row) {
            for (value, b) in line.iter_mut().zip(row) {
                *value += a * b / n;
            }
        }
    }
    let mu = (0..p).map(|i| cov[i][i]).sum::<f64>() / p as f64;
    let norm: f64 = cov.iter().flatten().map(|v| v * v).sum();
    let delta = (norm - p as f64 * mu * mu) / p as f64;
    let fourth: f64 = centred
        .iter()
        .map(|row| row.iter().map(|v| v * v).sum::<f64>().powi(2))
        .sum();
    let beta = ((fourth / n - norm) / (n * p as f64)).clamp(0.0, delta);
    let shrink = beta / delta;
    for (i, row) in cov.iter_mut().enumerate() {
        row.iter_mut().for_each(|v| *v *= 1.0 - shrink);
        row[i] += shrink * mu;
    }
    let mut right: Vec<f64> = m1.iter().zip(&m0).map(|(a, b)| a - b).collect();
    solve(&mut cov, &mut right);
    right
}

/// Solves a symmetric positive definite system in place, by elimination.
fn solve(matrix: &mut [Vec<f64>], right: &mut [f64]) {
    let p = right.len();
    for k in 0..p {
        let (above, below) = matrix.split_at_mut(k + 1);
        let pivot = &above[k];
        for (offset, row) in below.iter_mut().enumerate() {
            let factor = row[k] / pivot[k];
            for j in k..p {
                row[j] -= factor * pivot[j];
            }
            right[k + 1 + offset] -= factor * right[k];
        }
    }
    for k in (0..p).rev() {
        let done: f64 = (k + 1..p).map(|j| matrix[k][j] * right[j]).sum();
        right[k] = (right[k] - done) / matrix[k][k];
    }
}

/// Area under the ROC curve: the share of (target, other) pairs in the right order.
fn auc(scored: &[(f64, bool)]) -> f64 {
    let (mut right, mut pairs) = (0.0, 0.0);
    for (target, _) in scored.iter().filter(|s| s.1) {
        for (other, _) in scored.iter().filter(|s| !s.1) {
            pairs += 1.0;
            right += match target.total_cmp(other) {
                std::cmp::Ordering::Greater => 1.0,
                std::cmp::Ordering::Equal => 0.5,
                std::cmp::Ordering::Less => 0.0,
            };
        }
    }
    right / pairs
}

fn auc_of(preset: Preset, seed: u64) -> f64 {
    let settings = SimSettings {
        seed,
        preset,
        ..SimSettings::default()
    };
    let mut script = Script::default();
    let mut t = 1.0;
    for run in 0..BLOCKS {
        t = script.cued_block(t, run, (run * 7 % 6) as i32, 28);
    }
    let recording = record(&settings, &script, t);
    let filtered: Vec<Vec<f64>> = settings
        .channels
        .iter()
        .map(|label| high_pass(&recording.channel(&settings, label), settings.eeg_rate_hz))
        .collect();
    let (mut train, mut test) = (Vec::new(), Vec::new());
    for (onset, marker) in &script.markers {
        if let Event::Flash {
            target: Some(target),
            run: Some(run),
            ..
        } = marker.body
            && let Some(row) = features(&recording, &filtered, *onset)
        {
            let to = if run < CALIBRATION_BLOCKS {
                &mut train
            } else {
                &mut test
            };
            to.push((row, target == 1));
        }
    }
    assert_eq!(train.len(), 168);
    let weights = lda(&train);
    let scored: Vec<(f64, bool)> = test
        .iter()
        .map(|(row, class)| (row.iter().zip(&weights).map(|(a, b)| a * b).sum(), *class))
        .collect();
    auc(&scored)
}

#[test]
fn the_presets_are_as_hard_as_they_say() {
    let median = |preset| {
        let mut aucs: Vec<f64> = [1, 2, 3, 4, 5].map(|seed| auc_of(preset, seed)).to_vec();
        aucs.sort_by(f64::total_cmp);
        println!("{preset:?} {aucs:.3?}");
        aucs[2]
    };
    let (easy, typical, hard) = (
        median(Preset::Easy),
        median(Preset::Typical),
        median(Preset::Hard),
    );
    assert!((0.91..0.98).contains(&easy), "easy {easy}");
    assert!((0.82..0.92).contains(&typical), "typical {typical}");
    assert!((0.68..0.82).contains(&hard), "hard {hard}");
}
