//! xDAWN: spatial filters in which the average response stands out from everything else.

use crate::covariance::{Symmetric, ledoit_wolf};
use crate::epochs::Epochs;
use crate::error::{CalibrationError, Result};
use crate::spd::generalised_eigenvectors;

/// Average responses of both classes and the filters that bring each out, over the used channels.
#[derive(Debug, Clone, PartialEq)]
pub struct Xdawn {
    /// Indices of the used channels in the montage.
    pub channels: Vec<usize>,
    /// Means per epoch.
    pub bins: usize,
    /// Filters of targets, best first: `[filter][used channel]`, unit length.
    pub target_filters: Vec<f64>,
    /// Filters of non-targets.
    pub other_filters: Vec<f64>,
    /// Average target, `[used channel][bin]`, microvolts.
    pub target_mean: Vec<f64>,
    /// Average non-target.
    pub other_mean: Vec<f64>,
    /// Covariance of the signal, microvolts squared.
    pub covariance: Symmetric,
}

impl Xdawn {
    /// Fits on the epochs of index `rows`.
    ///
    /// Generalised eigenvectors of the covariance of a class's average response against that of all samples, both shrunk by
    /// Ledoit-Wolf: Rivet et al., IEEE Trans. Biomed. Eng. 56 (2009), in the form of pyRiemann's `Xdawn(estimator="lwf")`.
    ///
    /// # Errors
    /// [`CalibrationError::TooFew`] without epochs of a class, [`CalibrationError::Degenerate`] when the covariance is singular.
    pub fn fit(epochs: &Epochs, rows: &[usize]) -> Result<Self> {
        let channels: Vec<usize> = (0..epochs.channels())
            .filter(|&channel| epochs.used()[channel])
            .collect();
        let (n, bins) = (channels.len(), epochs.bins());
        let covariance = covariance_of(epochs, rows, &channels)?;
        let target_mean = mean_response(epochs, rows, &channels, true)?;
        let other_mean = mean_response(epochs, rows, &channels, false)?;
        let dense = dense(&covariance);
        let filters = |mean: &[f64]| -> Result<Vec<f64>> {
            let mut by_bin: Vec<f64> = (0..bins)
                .flat_map(|bin| (0..n).map(move |k| mean[k * bins + bin]))
                .collect();
            centre(&mut by_bin, n);
            let evoked = ledoit_wolf(&by_bin, n)?.covariance;
            generalised_eigenvectors(&self::dense(&evoked), &dense, n)
        };
        Ok(Self {
            target_filters: filters(&target_mean)?,
            other_filters: filters(&other_mean)?,
            channels,
            bins,
            target_mean,
            other_mean,
            covariance,
        })
    }

    /// The first `count` filters of targets over a montage of so many channels, `[filter][channel]`, 0 at channels that are not used.
    #[must_use]
    pub(crate) fn over_montage(&self, count: usize, channels: usize) -> Vec<f64> {
        let own = self.target_filters.chunks_exact(self.channels.len());
        let mut filters = vec![0.0; count.min(self.channels.len()) * channels];
        for (to, from) in filters.chunks_exact_mut(channels).zip(own) {
            for (&channel, weight) in self.channels.iter().zip(from) {
                to[channel] = *weight;
            }
        }
        filters
    }

    /// The first `count` filters of a class applied to its average, `[filter][bin]`.
    #[must_use]
    pub fn evoked(&self, target: bool, count: usize) -> Vec<f64> {
        let (filters, mean) = if target {
            (&self.target_filters, &self.target_mean)
        } else {
            (&self.other_filters, &self.other_mean)
        };
        let n = self.channels.len();
        filters
            .chunks_exact(n)
            .take(count)
            .flat_map(|filter| apply(filter, mean, self.bins))
            .collect()
    }
}

/// One filter over `[channel][bin]`.
pub(crate) fn apply(filter: &[f64], signal: &[f64], bins: usize) -> Vec<f64> {
    let mut out = vec![0.0; bins];
    for (weight, row) in filter.iter().zip(signal.chunks_exact(bins)) {
        out.iter_mut().zip(row).for_each(|(y, x)| *y += weight * x);
    }
    out
}

/// The whole matrix, row-major.
pub(crate) fn dense(matrix: &Symmetric) -> Vec<f64> {
    let n = matrix.order();
    (0..n * n).map(|k| matrix.get(k / n, k % n)).collect()
}

/// Covariance of the channels over all samples of the epochs, shrunk, microvolts squared; 0 at channels that are not used.
pub(crate) fn channel_covariance(epochs: &Epochs) -> Result<Symmetric> {
    let channels: Vec<usize> = (0..epochs.channels())
        .filter(|&channel| epochs.used()[channel])
        .collect();
    let rows: Vec<usize> = (0..epochs.len()).collect();
    let covariance = covariance_of(epochs, &rows, &channels)?;
    let mut place = vec![None; epochs.channels()];
    for (index, &channel) in channels.iter().enumerate() {
        place[channel] = Some(index);
    }
    Ok(Symmetric::from_fn(epochs.channels(), |i, j| {
        match (place[i], place[j]) {
            (Some(i), Some(j)) => covariance.get(i, j),
            _ => 0.0,
        }
    }))
}

/// Shrunk covariance of these channels over all samples of the epochs of index `rows`.
fn covariance_of(epochs: &Epochs, rows: &[usize], channels: &[usize]) -> Result<Symmetric> {
    let (n, bins) = (channels.len(), epochs.bins());
    let mut samples = Vec::with_capacity(rows.len() * bins * n);
    for &row in rows {
        let values = epochs.row(row);
        for bin in 0..bins {
            samples.extend(channels.iter().map(|&channel| values[channel * bins + bin]));
        }
    }
    centre(&mut samples, n);
    Ok(ledoit_wolf(&samples, n)?.covariance)
}

/// Takes the mean out of each column of `[row][width]`.
pub(crate) fn centre(rows: &mut [f64], width: usize) {
    let count = (rows.len() / width).max(1) as f64;
    let mut mean = vec![0.0; width];
    for row in rows.chunks_exact(width) {
        mean.iter_mut().zip(row).for_each(|(m, x)| *m += x / count);
    }
    for row in rows.chunks_exact_mut(width) {
        row.iter_mut().zip(&mean).for_each(|(x, m)| *x -= m);
    }
}

fn mean_response(
    epochs: &Epochs,
    rows: &[usize],
    channels: &[usize],
    target: bool,
) -> Result<Vec<f64>> {
    let bins = epochs.bins();
    let mut mean = vec![0.0; channels.len() * bins];
    let mut found = 0_usize;
    for &row in rows
        .iter()
        .filter(|&&row| epochs.info()[row].target == target)
    {
        found += 1;
        let values = epochs.row(row);
        for (to, &channel) in mean.chunks_exact_mut(bins).zip(channels) {
            let from = &values[channel * bins..(channel + 1) * bins];
            to.iter_mut().zip(from).for_each(|(m, x)| *m += x);
        }
    }
    if found < 2 {
        return Err(CalibrationError::TooFew {
            what: if target {
                "target epochs"
            } else {
                "non-target epochs"
            },
            found,
            needed: 2,
        });
    }
    mean.iter_mut().for_each(|m| *m /= found as f64);
    Ok(mean)
}
