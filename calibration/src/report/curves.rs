//! Plots of what a calibration of another length, or a fork of so many rounds, would bring.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::canvas::{Axes, INK, MUTED, OTHER, TARGET, anchored, draw, line, pos, ticks};
use super::eeg_plots::{FRAME, SQUARE};
use crate::comparison::Candidate;
use crate::error::Result;
use crate::learning::LearningPoint;
use crate::model::ScorerKind;
use crate::resample::{AccuracyPoint, FORK_OPTIONS, ROUNDS_MAX};

/// Held-out AUC of the LDA against the length of the calibration, and of the scorer that was taken at the full length.
pub(super) fn learning(points: &[LearningPoint], taken: Option<&Candidate>) -> Result<String> {
    let longest = points.iter().map(|p| p.epochs).fold(1.0, f64::max);
    let least = points
        .iter()
        .map(|p| p.auc.value - p.auc.standard_error)
        .fold(0.5, f64::min);
    let low = (10.0 * least).floor() / 10.0;
    draw(
        "learning curve",
        "Held-out AUC against the length of the calibration",
        SQUARE,
        |area| {
            let frame = (FRAME.0, FRAME.1, FRAME.2, FRAME.3 - 14.0);
            let axes = Axes::new((0.0, 1.12 * longest), (low, 1.0), frame);
            axes.grid(area, (&[], 1.0), (&ticks(low, 1.0, 0.1), 0.1), 11.0)?;
            let above = (pos(frame.0), pos(frame.1 - 8.0));
            let style = anchored(12.0, INK, HPos::Left, VPos::Bottom);
            area.draw_text("AUC, held out", &style, above)?;
            let below = (pos((frame.0 + frame.2) / 2.0), pos(frame.3 + 36.0));
            let style = anchored(12.0, INK, HPos::Center, VPos::Top);
            area.draw_text("flashes fitted on, and how long they take", &style, below)?;
            axes.curve(area, &[(0.0, 0.5), (1.12 * longest, 0.5)], line(MUTED, 1.0))?;
            let path: Vec<(f64, f64)> = points.iter().map(|p| (p.epochs, p.auc.value)).collect();
            axes.curve(area, &path, line(OTHER, 2.0))?;
            for p in points {
                let (x, auc) = (p.epochs, p.auc);
                let bar = [
                    (x, auc.value - auc.standard_error),
                    (x, auc.value + auc.standard_error),
                ];
                axes.curve(area, &bar, line(OTHER.mix(0.5), 2.0))?;
                area.draw(&Circle::new(
                    axes.at(x, auc.value),
                    pos(4.0),
                    OTHER.filled(),
                ))?;
                for (row, text) in [format!("{x:.0}"), format!("{:.0} s", p.seconds)]
                    .iter()
                    .enumerate()
                {
                    let place = (axes.at(x, low).0, pos(frame.3 + 5.0 + 14.0 * row as f64));
                    area.draw_text(text, &anchored(11.0, MUTED, HPos::Center, VPos::Top), place)?;
                }
            }
            if let Some(taken) = taken.filter(|t| t.kind != ScorerKind::Lda) {
                let (x, y) = axes.at(1.04 * longest, taken.auc);
                let r = pos(5.0);
                let diamond = vec![(x, y - r), (x + r, y), (x, y + r), (x - r, y)];
                area.draw(&Polygon::new(diamond, TARGET.filled()))?;
            }
            Ok(())
        },
    )
}

/// Share of right choices after so many rounds, with its band and the line of chance.
pub(super) fn accuracy(points: &[AccuracyPoint]) -> Result<String> {
    draw(
        "accuracy",
        "Share of right choices against rounds of flashes",
        SQUARE,
        |area| {
            let axes = Axes::new((0.5, ROUNDS_MAX as f64 + 0.5), (0.0, 1.0), FRAME);
            let rounds: Vec<f64> = (1..=ROUNDS_MAX).map(|n| n as f64).collect();
            let shares = ticks(0.0, 1.0, 0.2);
            axes.grid(area, (&rounds, 1.0), (&shares, 0.2), 11.0)?;
            axes.titles(
                area,
                "rounds: flashes of each item",
                "share of right choices",
                12.0,
            )?;
            let chance = 1.0 / FORK_OPTIONS as f64;
            axes.curve(
                area,
                &[(0.5, chance), (ROUNDS_MAX as f64 + 0.5, chance)],
                line(MUTED, 1.0),
            )?;
            let style = anchored(11.0, MUTED, HPos::Right, VPos::Top);
            let (x, y) = axes.at(ROUNDS_MAX as f64 + 0.4, chance);
            area.draw_text("chance", &style, (x, y + pos(3.0)))?;
            let upper = points.iter().map(|p| (p.rounds as f64, p.high));
            let lower = points.iter().rev().map(|p| (p.rounds as f64, p.low));
            axes.fill(
                area,
                &upper.chain(lower).collect::<Vec<_>>(),
                TARGET.mix(0.22),
            )?;
            let path: Vec<(f64, f64)> = points.iter().map(|p| (p.rounds as f64, p.share)).collect();
            axes.curve(area, &path, line(TARGET, 2.0))?;
            for &(x, y) in &path {
                area.draw(&Circle::new(axes.at(x, y), pos(3.0), TARGET.filled()))?;
            }
            Ok(())
        },
    )
}
