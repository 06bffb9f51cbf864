//! Plots of the EEG part: average responses, ROC, reliability, scores.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::canvas::{
    Axes, Drawn, INK, MUTED, OTHER, TARGET, anchored, draw, line, nice_step, pos, ticks,
};
use crate::error::Result;
use crate::metrics::{ReliabilityBin, RocPoint, wilson_interval};
use crate::profile::EegCalibration;
use crate::resample::RocBand;
use crate::session::Erp;

/// Most channels drawn; beyond it the ones that differ most.
pub(super) const CHANNELS_MAX: usize = 32;
/// Normal quantile of a two-sided 95 % interval.
const Z95: f64 = 1.96;
const COLUMNS: usize = 4;
const PANEL: (f64, f64) = (224.0, 150.0);

/// Channels to draw, in the order of the montage: those in use, or the ones that differ most among them.
pub(super) fn shown_channels(erp: &Erp, used: &[bool]) -> Vec<usize> {
    let bins = erp.time_s.len();
    let difference = |channel: usize| -> f64 {
        (channel * bins..(channel + 1) * bins)
            .map(|i| {
                let se = erp.target_se[i]
                    .hypot(erp.other_se[i])
                    .max(f64::MIN_POSITIVE);
                ((erp.target_mean[i] - erp.other_mean[i]) / se).powi(2)
            })
            .sum()
    };
    let mut order: Vec<(usize, f64)> = (0..used.len())
        .filter(|&c| used[c])
        .map(|c| (c, difference(c)))
        .collect();
    order.sort_by(|a, b| b.1.total_cmp(&a.1));
    let mut shown: Vec<usize> = order
        .into_iter()
        .take(CHANNELS_MAX)
        .map(|(c, _)| c)
        .collect();
    shown.sort_unstable();
    shown
}

/// Average responses, one panel per channel, all on one scale, with bands of 95 % confidence.
pub(super) fn erp(erp: &Erp, labels: &[String], used: &[bool]) -> Result<String> {
    let bins = erp.time_s.len();
    let shown = shown_channels(erp, used);
    let rows = shown.len().div_ceil(COLUMNS).max(1);
    let columns = shown.len().clamp(1, COLUMNS);
    let limits = |mean: &[f64], se: &[f64], channel: usize| -> Vec<(f64, f64)> {
        (channel * bins..(channel + 1) * bins)
            .map(|i| (mean[i] - Z95 * se[i], mean[i] + Z95 * se[i]))
            .collect()
    };
    let mut high = 0.5_f64;
    for &channel in &shown {
        for (a, b) in limits(&erp.target_mean, &erp.target_se, channel)
            .into_iter()
            .chain(limits(&erp.other_mean, &erp.other_se, channel))
        {
            high = high.max(a.abs()).max(b.abs());
        }
    }
    let step = nice_step(2.0 * high, 4.0);
    let last_s = erp.time_s.last().copied().unwrap_or(1.0);
    let size = (
        (PANEL.0 * columns as f64 + 16.0) as u32,
        (PANEL.1 * rows as f64 + 40.0) as u32,
    );
    draw(
        "average responses",
        "Average response to targets and non-targets, one panel per channel",
        size,
        |area| {
            for (place, &channel) in shown.iter().enumerate() {
                let x0 = (place % COLUMNS) as f64 * PANEL.0;
                let y0 = (place / COLUMNS) as f64 * PANEL.1 + 8.0;
                let frame = (
                    x0 + 40.0,
                    y0 + 22.0,
                    x0 + PANEL.0 - 8.0,
                    y0 + PANEL.1 - 20.0,
                );
                let axes = Axes::new((0.0, last_s * 1e3), (-high, high), frame);
                let x_step = nice_step(last_s * 1e3, 4.0);
                axes.grid(
                    area,
                    (&ticks(0.0, last_s * 1e3, x_step), x_step),
                    (&ticks(-high, high, step), step),
                    10.0,
                )?;
                axes.curve(area, &[(0.0, 0.0), (last_s * 1e3, 0.0)], line(MUTED, 1.0))?;
                let series = [
                    (&erp.other_mean, &erp.other_se, OTHER),
                    (&erp.target_mean, &erp.target_se, TARGET),
                ];
                for (mean, se, colour) in series {
                    let band = limits(mean, se, channel);
                    let time = || erp.time_s.iter().map(|t| t * 1e3);
                    let upper = time().zip(band.iter().map(|b| b.1));
                    let lower = time().zip(band.iter().map(|b| b.0)).rev();
                    axes.fill(
                        area,
                        &upper.chain(lower).collect::<Vec<_>>(),
                        colour.mix(0.22),
                    )?;
                    let middle: Vec<(f64, f64)> = time()
                        .zip(mean[channel * bins..(channel + 1) * bins].iter().copied())
                        .collect();
                    axes.curve(area, &middle, line(colour, 1.6))?;
                }
                let label: String = labels[channel].chars().take(24).collect();
                let label = if label.is_empty() {
                    format!("channel {}", channel + 1)
                } else {
                    label
                };
                let place = (pos(frame.0), pos(frame.1 - 6.0));
                area.draw_text(
                    &label,
                    &anchored(12.0, INK, HPos::Left, VPos::Bottom),
                    place,
                )?;
            }
            let note = "ms after the flash; microvolts, positive up";
            let place = (pos(f64::from(size.0) - 8.0), pos(f64::from(size.1) - 8.0));
            area.draw_text(
                note,
                &anchored(11.0, MUTED, HPos::Right, VPos::Bottom),
                place,
            )?;
            Ok(())
        },
    )
}

/// Size of a square plot, pixels shown.
pub(super) const SQUARE: (u32, u32) = (400, 400);
/// Frame of a square plot.
pub(super) const FRAME: (f64, f64, f64, f64) = (52.0, 34.0, 384.0, 350.0);
const UNIT_TICKS: [f64; 6] = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0];

/// The ROC curve with its band and the diagonal of chance.
pub(super) fn roc(
    curve: &[RocPoint],
    band: &[RocBand],
    calibration: &EegCalibration,
) -> Result<String> {
    let auc = calibration.metrics.auc;
    let described = format!("ROC curve of held-out flashes, area {:.3}", auc.value);
    draw("ROC", &described, SQUARE, |area| {
        let axes = Axes::new((0.0, 1.0), (0.0, 1.0), FRAME);
        axes.grid(area, (&UNIT_TICKS, 0.2), (&UNIT_TICKS, 0.2), 11.0)?;
        axes.titles(area, "false positive rate", "true positive rate", 12.0)?;
        axes.curve(area, &[(0.0, 0.0), (1.0, 1.0)], line(MUTED, 1.0))?;
        let points: Vec<(f64, f64)> = curve
            .iter()
            .map(|p| (p.false_positive_rate, p.true_positive_rate))
            .collect();
        let upper = band.iter().map(|b| (b.false_positive_rate, b.high));
        let lower = band.iter().rev().map(|b| (b.false_positive_rate, b.low));
        axes.fill(
            area,
            &upper.chain(lower).collect::<Vec<_>>(),
            TARGET.mix(0.22),
        )?;
        axes.curve(area, &points, line(TARGET, 2.0))?;
        let style = anchored(16.0, INK, HPos::Right, VPos::Bottom);
        area.draw_text(
            &format!("AUC {:.3}", auc.value),
            &style,
            axes.at(0.96, 0.13),
        )?;
        let style = anchored(11.0, MUTED, HPos::Right, VPos::Bottom);
        let interval = format!("95 % interval {:.3} to {:.3}", auc.ci_low, auc.ci_high);
        area.draw_text(&interval, &style, axes.at(0.96, 0.06))?;
        Ok(())
    })
}

/// A bin of fewer flashes says little, and is drawn faintly.
pub(super) const BIN_FEW: usize = 10;

/// Radius of a bin's mark, pixels shown: grows with the logarithm of its flashes, up to the fullest bin's.
fn mark_radius(count: usize, fullest: usize) -> f64 {
    const SMALLEST: f64 = 1.8;
    const LARGEST: f64 = 5.0;
    let share = (count.max(1) as f64).ln() / (fullest.max(2) as f64).ln();
    SMALLEST + (LARGEST - SMALLEST) * share.min(1.0)
}

/// What was said against what came, with Wilson intervals, and the number of flashes in each bin.
pub(super) fn reliability(bins: &[ReliabilityBin], calibration: &EegCalibration) -> Result<String> {
    let described = format!(
        "Reliability diagram of held-out probabilities, expected calibration error {:.3}",
        calibration.metrics.ece
    );
    draw("reliability diagram", &described, SQUARE, |area| {
        let counts_height = 34.0;
        let frame = (FRAME.0, FRAME.1 + counts_height, FRAME.2, FRAME.3);
        let axes = Axes::new((0.0, 1.0), (0.0, 1.0), frame);
        axes.grid(area, (&UNIT_TICKS, 0.2), (&UNIT_TICKS, 0.2), 11.0)?;
        let below = (pos((frame.0 + frame.2) / 2.0), pos(frame.3 + 22.0));
        area.draw_text(
            "probability of a target that was given",
            &anchored(12.0, INK, HPos::Center, VPos::Top),
            below,
        )?;
        let above = (pos(frame.0), pos(FRAME.1 - 8.0));
        let style = anchored(12.0, INK, HPos::Left, VPos::Bottom);
        area.draw_text("share of targets that came", &style, above)?;
        axes.curve(area, &[(0.0, 0.0), (1.0, 1.0)], line(MUTED, 1.0))?;
        let fullest = bins.iter().map(|bin| bin.count).max().unwrap_or(0);
        for (index, bin) in bins.iter().enumerate() {
            let centre = (index as f64 + 0.5) / bins.len() as f64;
            let (x, _) = axes.at(centre, 1.0);
            let place = (x, pos(frame.1 - 10.0));
            let style = anchored(10.0, MUTED, HPos::Center, VPos::Bottom);
            area.draw_text(&bin.count.to_string(), &style, place)?;
            if bin.count == 0 {
                continue;
            }
            let count = bin.count as f64;
            let (low, high) = wilson_interval(bin.observed * count, count);
            let x = bin.mean_probability;
            let few = bin.count < BIN_FEW;
            let (strength, width) = if few { (0.22, 1.0) } else { (0.45, 2.0) };
            axes.curve(
                area,
                &[(x, low), (x, high)],
                line(TARGET.mix(strength), width),
            )?;
            let (at, radius) = (
                axes.at(x, bin.observed),
                pos(mark_radius(bin.count, fullest)),
            );
            if few {
                area.draw(&Circle::new(at, radius, line(TARGET.mix(0.6), 1.0)))?;
            } else {
                area.draw(&Circle::new(at, radius, TARGET.filled()))?;
            }
        }
        let style = anchored(10.0, MUTED, HPos::Right, VPos::Bottom);
        let place = (pos(frame.2), pos(FRAME.1 - 8.0));
        area.draw_text("flashes per bin:", &style, place)?;
        Ok(())
    })
}

/// Held-out scores of both classes, with the densities fitted to them.
pub(super) fn scores(
    scores: &[f64],
    labels: &[bool],
    calibration: &EegCalibration,
) -> Result<String> {
    const BARS: usize = 40;
    let size = (912, 260);
    let (low, high) = scores
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), &s| {
            (a.min(s), b.max(s))
        });
    let margin = 0.02 * (high - low);
    let (low, high) = (low - margin, high + margin);
    let width = (high - low) / BARS as f64;
    let density = &calibration.density;
    let classes = [
        (false, OTHER, density.nontarget()),
        (true, TARGET, density.target()),
    ];
    let histogram = |class: bool| -> Vec<f64> {
        let mut bars = vec![0.0; BARS];
        let mut count = 0.0;
        for (score, _) in scores.iter().zip(labels).filter(|(_, l)| **l == class) {
            bars[(((score - low) / width) as usize).min(BARS - 1)] += 1.0;
            count += 1.0;
        }
        bars.iter()
            .map(|b| b / (f64::max(count, 1.0) * width))
            .collect()
    };
    let top = classes
        .iter()
        .flat_map(|(class, _, t)| {
            histogram(*class)
                .into_iter()
                .chain([t.ln_density(t.location).exp()])
        })
        .fold(0.0, f64::max)
        * 1.05;
    draw(
        "scores",
        "Held-out scores of targets and non-targets with fitted densities",
        size,
        |area| {
            let axes = Axes::new((low, high), (0.0, top), (52.0, 34.0, 896.0, 210.0));
            let (x_step, y_step) = (nice_step(high - low, 10.0), nice_step(top, 4.0));
            axes.grid(
                area,
                (&ticks(low, high, x_step), x_step),
                (&ticks(0.0, top, y_step), y_step),
                11.0,
            )?;
            axes.titles(area, "score", "density", 12.0)?;
            for (class, colour, t) in classes {
                for (bar, height) in histogram(class).into_iter().enumerate() {
                    let x = low + bar as f64 * width;
                    let bar = Rectangle::new(
                        [axes.at(x, 0.0), axes.at(x + width, height)],
                        colour.mix(0.32).filled(),
                    );
                    area.draw(&bar)?;
                }
                let curve: Vec<(f64, f64)> = (0..=200)
                    .map(|i| low + (high - low) * f64::from(i) / 200.0)
                    .map(|x| (x, t.ln_density(x).exp()))
                    .collect();
                axes.curve(area, &curve, line(colour, 1.8))?;
            }
            Ok::<(), _>(()) as Drawn
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bin_of_one_flash_has_the_smallest_mark_and_the_fullest_bin_the_largest() {
        let radii = [1, 9, 100, 2_000].map(|count| mark_radius(count, 2_000));
        assert!(radii.windows(2).all(|pair| pair[0] < pair[1]), "{radii:?}");
        assert_eq!((radii[0], radii[3]), (1.8, 5.0));
        assert!(mark_radius(1, 1).is_finite() && mark_radius(0, 0).is_finite());
    }
}
