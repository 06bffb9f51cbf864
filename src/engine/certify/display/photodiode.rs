//! Stamps against a photodiode: edges of its channel, and how far each stamp is from its own.

use serde::{Deserialize, Serialize};

/// The channel of a photodiode.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Trace {
    /// Stamps on our LSL clock, seconds, rising.
    pub at_s: Vec<f64>,
    /// Values, in whatever unit.
    pub values: Vec<f64>,
}

/// An edge of the channel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Edge {
    /// When it crossed the middle between dark and light, on our LSL clock, seconds; between samples by a straight line.
    pub at_s: f64,
    /// Whether it rose.
    pub rising: bool,
}

/// What was shown, and when that was, by its stamp.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    /// On our LSL clock, seconds.
    pub at_s: f64,
    /// Whether it turned white.
    pub white: bool,
}

/// Why a channel cannot be compared.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NoEdges {
    /// Too few samples while something was shown.
    #[error(
        "the photodiode's channel has {samples} samples while the display alternated, fewer than {least} in each alternation: is it recorded on this machine's LSL clock, and fast enough?"
    )]
    TooFew {
        /// How many.
        samples: usize,
        /// How many it takes.
        least: usize,
    },
    /// No difference between light and dark.
    #[error(
        "the photodiode's channel does not tell light from dark: it goes from {low} to {high}, and wavers by {noise} in between. Put the diode over the patch, shade it, and take its own channel"
    )]
    NoContrast {
        /// 5th percentile.
        low: f64,
        /// 95th.
        high: f64,
        /// Median difference of neighbours.
        noise: f64,
    },
}

/// Stamps against edges.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compared {
    /// Stamps that have an edge.
    pub matched: u64,
    /// Stamps without one.
    pub stamps_unmatched: u64,
    /// Edges without a stamp, while the display alternated.
    pub edges_unmatched: u64,
    /// Whether the channel falls where the patch turns white.
    pub inverted: bool,
    /// From stamp to edge, median, seconds: what the display and the diode add.
    pub latency_s: f64,
    /// Smallest and largest, seconds.
    pub latency_range_s: [f64; 2],
    /// 99th percentile, seconds; `None` of fewer than 100.
    pub latency_p99_s: Option<f64>,
    /// Standard deviation of the latency, seconds: the jitter of the stamps.
    pub jitter_s: f64,
    /// Mean distance of the channel's samples, seconds: an edge is known no better than to a part of it.
    pub sample_s: f64,
}

/// Fewest samples in each alternation.
const SAMPLES_MIN: usize = 4;
/// Fewest measurements that a 99th percentile is told of.
const P99_N_MIN: usize = 100;
/// Least way from dark to light, in differences between neighbouring samples.
const CONTRAST_MIN: f64 = 8.0;
/// An edge has gone up when this share of the way from dark to light was passed, and down again at the other one.
const HYSTERESIS: (f64, f64) = (0.3, 0.7);

/// Edges of a channel, by a threshold in the middle between dark and light and hysteresis around it.
///
/// # Errors
/// [`NoEdges::NoContrast`] when there is no dark and light in it. Values that are not finite are left out.
pub fn edges(trace: &Trace) -> Result<Vec<Edge>, NoEdges> {
    let pairs = trace.at_s.iter().copied().zip(trace.values.iter().copied());
    let samples: Vec<(f64, f64)> = pairs
        .filter(|(at, value)| at.is_finite() && value.is_finite())
        .collect();
    let mut values: Vec<f64> = samples.iter().map(|(_, value)| *value).collect();
    let (low, high) = (quantile(&mut values, 0.05), quantile(&mut values, 0.95));
    let mut steps: Vec<f64> = samples
        .windows(2)
        .map(|pair| (pair[1].1 - pair[0].1).abs())
        .collect();
    let noise = quantile(&mut steps, 0.5);
    if !(high - low > CONTRAST_MIN * noise && high > low) {
        return Err(NoEdges::NoContrast { low, high, noise });
    }
    let level = |share: f64| low + share * (high - low);
    let (down, middle, up) = (level(HYSTERESIS.0), level(0.5), level(HYSTERESIS.1));
    let mut light = samples.first().is_some_and(|(_, value)| *value > middle);
    let mut crossed = None;
    let mut found = Vec::new();
    for pair in samples.windows(2) {
        let [(at, value), (next_at, next)] = [pair[0], pair[1]];
        // The last time that it passed the middle before it went the whole way is the edge's.
        let passes = if light {
            value > middle && next <= middle
        } else {
            value < middle && next >= middle
        };
        if passes {
            let share = (middle - value) / (next - value);
            crossed = Some(at + share * (next_at - at));
        }
        let arrived = if light { next <= down } else { next >= up };
        if arrived && let Some(at_s) = crossed.take() {
            light = !light;
            found.push(Edge {
                at_s,
                rising: light,
            });
        }
    }
    Ok(found)
}

/// Compares stamps, which alternate every `every_s` seconds, with the channel. An edge belongs to the stamp of its direction that is nearest
/// when the edge may come from half an alternation before it to one and a half after it; whether the channel rises or falls with white is
/// what makes latencies shorter.
///
/// # Errors
/// [`NoEdges`] with what is wrong with the channel.
pub fn compare(shown: &[Shown], every_s: f64, trace: &Trace) -> Result<Compared, NoEdges> {
    let (Some(first), Some(last)) = (shown.first(), shown.last()) else {
        return Err(NoEdges::TooFew {
            samples: 0,
            least: SAMPLES_MIN,
        });
    };
    let span = first.at_s - 0.5 * every_s..=last.at_s + 1.5 * every_s;
    let within: (Vec<f64>, Vec<f64>) = trace
        .at_s
        .iter()
        .zip(&trace.values)
        .filter(|(at, _)| span.contains(at))
        .unzip();
    let trace = Trace {
        at_s: within.0,
        values: within.1,
    };
    let samples = trace.at_s.len();
    if samples < SAMPLES_MIN * shown.len().max(2) {
        return Err(NoEdges::TooFew {
            samples,
            least: SAMPLES_MIN,
        });
    }
    let edges = edges(&trace)?;
    let of = |inverted: bool| latencies(shown, every_s, &edges, inverted);
    let (straight, turned) = (of(false), of(true));
    let typical = |all: &[f64]| quantile(&mut all.to_vec(), 0.5).abs();
    let inverted = match straight.len().abs_diff(turned.len()) * 10 > shown.len() {
        true => turned.len() > straight.len(),
        false => typical(&turned) < typical(&straight),
    };
    let mut all = if inverted { turned } else { straight };
    let matched = all.len();
    let mean = all.iter().sum::<f64>() / matched.max(1) as f64;
    let squares: f64 = all.iter().map(|l| (l - mean) * (l - mean)).sum();
    let sample_s = match trace.at_s.as_slice() {
        [first, .., last] => (last - first) / (samples - 1) as f64,
        _ => 0.0,
    };
    Ok(Compared {
        matched: matched as u64,
        stamps_unmatched: (shown.len() - matched) as u64,
        edges_unmatched: (edges.len() - matched.min(edges.len())) as u64,
        inverted,
        latency_s: quantile(&mut all, 0.5),
        latency_p99_s: (matched >= P99_N_MIN).then(|| quantile(&mut all, 0.99)),
        latency_range_s: [quantile(&mut all, 0.0), quantile(&mut all, 1.0)],
        jitter_s: (squares / matched.saturating_sub(1).max(1) as f64).sqrt(),
        sample_s,
    })
}

/// From each stamp to its edge, seconds; no edge is used twice.
fn latencies(shown: &[Shown], every_s: f64, edges: &[Edge], inverted: bool) -> Vec<f64> {
    let mut next = 0;
    let mut all = Vec::new();
    for stamp in shown {
        let reach = stamp.at_s - 0.5 * every_s..stamp.at_s + 1.5 * every_s;
        let found = (next..edges.len()).find(|index| {
            let edge = &edges[*index];
            edge.at_s >= reach.end
                || reach.contains(&edge.at_s) && edge.rising != (stamp.white == inverted)
        });
        let Some(index) = found else {
            continue;
        };
        if edges[index].at_s < reach.end {
            all.push(edges[index].at_s - stamp.at_s);
            next = index + 1;
        }
    }
    all
}

/// The `share` quantile, the nearest rank; 0 of nothing. Sorts.
fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let rank = (share * values.len().saturating_sub(1) as f64).round() as usize;
    values.get(rank).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const EVERY_S: f64 = 0.1;
    const RISE_S: f64 = 0.002;

    /// Stamps, and a diode that follows each of them after a latency of its own: what it does is computed here, edge by edge.
    struct Made {
        shown: Vec<Shown>,
        latencies: Vec<f64>,
        trace: Trace,
    }

    fn made(rate_hz: f64, noise: f64, gain: f64, latency: impl Fn(&mut ChaCha8Rng) -> f64) -> Made {
        let mut rng = ChaCha8Rng::seed_from_u64(11);
        let shown: Vec<Shown> = (0..300)
            .map(|n| Shown {
                at_s: 1_000.0 + EVERY_S * f64::from(n),
                white: n % 2 == 0,
            })
            .collect();
        let latencies: Vec<f64> = shown.iter().map(|_| latency(&mut rng)).collect();
        let count = ((shown.len() as f64 * EVERY_S + 2.0) * rate_hz) as usize;
        let at_s: Vec<f64> = (0..count).map(|n| 999.0 + n as f64 / rate_hz).collect();
        let values = at_s.iter().map(|at| {
            let came = shown.iter().zip(&latencies);
            let last = came
                .take_while(|(s, l)| s.at_s + **l - 0.5 * RISE_S <= *at)
                .last();
            let light = last.map_or(0.0, |(stamp, latency)| {
                let share = ((at - stamp.at_s - latency) / RISE_S + 0.5).min(1.0);
                if stamp.white { share } else { 1.0 - share }
            });
            40_000.0 + gain * (light + noise * (rng.random::<f64>() - 0.5))
        });
        let values = values.collect();
        Made {
            shown,
            latencies,
            trace: Trace { at_s, values },
        }
    }

    fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
        (mean, variance.sqrt())
    }

    #[test]
    fn latency_and_jitter_of_a_known_diode_are_found_whichever_way_it_swings() {
        for (rate_hz, gain) in [(1_000.0, 500.0), (500.0, -2.0e5), (250.0, 0.003)] {
            let made = made(rate_hz, 0.05, gain, |rng| {
                0.018 + 0.004 * rng.random::<f64>()
            });
            let found = compare(&made.shown, EVERY_S, &made.trace).unwrap();
            assert_eq!(found.matched, 300, "{rate_hz}");
            assert_eq!((found.stamps_unmatched, found.edges_unmatched), (0, 0));
            assert_eq!(found.inverted, gain < 0.0);
            let (mean, deviation) = mean_and_deviation(&made.latencies);
            // An edge of 2 ms is seen by samples 1 to 4 ms apart.
            let step = 1.0 / rate_hz;
            assert!((found.latency_s - mean).abs() < 0.35 * step, "{found:?}");
            assert!(
                (found.jitter_s - deviation).abs() < 0.35 * step,
                "{found:?}"
            );
            let p99 = found.latency_p99_s.unwrap();
            assert!((p99 - 0.022).abs() < 0.6 * step, "{found:?}");
            assert!((found.sample_s - step).abs() < 1e-9);
        }
    }

    #[test]
    fn edges_that_are_missing_and_edges_too_many_are_counted_and_move_no_other() {
        let mut made = made(1_000.0, 0.02, 100.0, |_| 0.012);
        // The patch was covered during the 101st and 102nd alternation, and a lamp flickered once in the 201st.
        let (dark, covered) = (40_000.0, 1_009.99..1_010.21);
        let flicker = 1_020.06..1_020.08;
        for (at, value) in made.trace.at_s.iter().zip(&mut made.trace.values) {
            if covered.contains(at) || flicker.contains(at) {
                *value = dark;
            }
        }
        let found = compare(&made.shown, EVERY_S, &made.trace).unwrap();
        assert_eq!(
            (found.stamps_unmatched, found.edges_unmatched),
            (2, 2),
            "{found:?}"
        );
        assert!((found.latency_s - 0.012).abs() < 3e-4, "{found:?}");
    }

    #[test]
    fn a_channel_without_light_and_dark_is_refused_with_what_to_do() {
        let made = made(1_000.0, 0.02, 100.0, |_| 0.012);
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let noise = Trace {
            values: made.trace.values.iter().map(|_| rng.random()).collect(),
            at_s: made.trace.at_s.clone(),
        };
        let refused = compare(&made.shown, EVERY_S, &noise).unwrap_err();
        assert!(matches!(refused, NoEdges::NoContrast { .. }));
        assert!(refused.to_string().contains("over the patch"));
        let flat = Trace {
            values: vec![f64::NAN; made.trace.at_s.len()],
            at_s: made.trace.at_s.clone(),
        };
        assert!(compare(&made.shown, EVERY_S, &flat).is_err());
        let elsewhen = Trace {
            at_s: made.trace.at_s.iter().map(|at| at + 500.0).collect(),
            values: made.trace.values,
        };
        let refused = compare(&made.shown, EVERY_S, &elsewhen).unwrap_err();
        assert!(refused.to_string().contains("LSL clock"), "{refused}");
        assert!(compare(&[], EVERY_S, &elsewhen).is_err());
    }

    #[test]
    fn noise_around_the_middle_makes_no_edges() {
        let values = [
            0.0, 0.1, 0.0, 0.45, 0.55, 0.45, 0.6, 0.55, 1.0, 1.0, 0.9, 1.0, 1.0, 0.4, 0.0, 0.0,
            0.0, 0.0, 0.0, 0.0,
        ];
        let trace = Trace {
            at_s: (0..values.len()).map(|n| n as f64).collect(),
            values: values.to_vec(),
        };
        let found = edges(&trace).unwrap();
        let rising: Vec<_> = found.iter().map(|edge| edge.rising).collect();
        assert_eq!(rising, [true, false]);
        assert!((found[0].at_s - 5.333).abs() < 1e-3, "{found:?}");
        assert!((found[1].at_s - 12.833).abs() < 1e-3, "{found:?}");
    }
}
