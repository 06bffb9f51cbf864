//! The sums behind the posterior, on fixed arrays.

use super::settings::GateSettings;
use crate::fork::MAX_OPTIONS;
use crate::marker::OptionKind;

/// Whether choosing the option continues the text by itself (or is a calibration item), as opposed to steering the engine.
const fn is_content(kind: OptionKind) -> bool {
    matches!(kind, OptionKind::Branch | OptionKind::Item)
}

/// Caps the prior so that it can never outvote the person.
///
/// Branches and control options (`other`, `undo`, `go on`) first share the mass: the control options together get their own
/// share, held within `control_mass_min..=control_mass_max`; within a group the given priors divide the mass (equally when they
/// are all 0). Then no option is left with less than `1 / prior_ratio_max` of the largest, which may lift a group above its
/// share, and all is normalised.
///
/// Values are 0..=1 and finite, `kinds` and `priors` have the same length of 2 to [`MAX_OPTIONS`]: checked by the caller.
pub(super) fn cap_prior(
    kinds: &[OptionKind],
    priors: &[f64],
    settings: &GateSettings,
) -> [f64; MAX_OPTIONS] {
    let config = settings.config();
    let group = |content: bool| {
        kinds
            .iter()
            .zip(priors)
            .filter(move |&(&kind, _)| is_content(kind) == content)
            .fold((0.0, 0.0), |(sum, count), (_, p)| (sum + p, count + 1.0))
    };
    let (content_sum, content_count): (f64, f64) = group(true);
    let (control_sum, control_count): (f64, f64) = group(false);
    let total = content_sum + control_sum;
    let control_mass = if control_count == 0.0 {
        0.0
    } else if content_count == 0.0 {
        1.0
    } else {
        let given = if total > 0.0 {
            control_sum / total
        } else {
            control_count / (control_count + content_count)
        };
        given
            .max(config.control_mass_min)
            .min(config.control_mass_max)
    };

    let mut capped = [0.0; MAX_OPTIONS];
    let mut largest = 0.0_f64;
    for ((entry, &kind), &p) in capped.iter_mut().zip(kinds).zip(priors) {
        let (mass, sum, count) = if is_content(kind) {
            (1.0 - control_mass, content_sum, content_count)
        } else {
            (control_mass, control_sum, control_count)
        };
        let share = if sum > 0.0 { p / sum } else { 1.0 / count };
        *entry = mass * share;
        largest = largest.max(*entry);
    }
    let floor = largest / config.prior_ratio_max;
    let mut sum = 0.0;
    for entry in capped.iter_mut().take(kinds.len()) {
        *entry = entry.max(floor);
        sum += *entry;
    }
    for entry in &mut capped {
        *entry /= sum;
    }
    capped
}

/// Log-likelihoods relative to the best option, none further below it than `clip`: all in `-clip..=0`.
///
/// A constant added to all entries changes nothing. The entries read are finite, so that no NaN can arise.
pub(super) fn relative(
    log_lik: &[f64; MAX_OPTIONS],
    options: usize,
    clip: f64,
) -> [f64; MAX_OPTIONS] {
    let best = log_lik
        .iter()
        .take(options)
        .copied()
        .fold(f64::NEG_INFINITY, f64::max);
    let mut out = [0.0; MAX_OPTIONS];
    for (entry, value) in out.iter_mut().zip(log_lik).take(options) {
        *entry = (value - best).max(-clip);
    }
    out
}

/// Whether the first `options` entries are all equal: such an item does not tell the options apart.
pub(super) fn is_flat(log_lik: &[f64; MAX_OPTIONS], options: usize) -> bool {
    let mut used = log_lik.iter().take(options);
    let first = used.next();
    used.all(|value| Some(value) == first)
}

/// The one entry that is larger than all others among the first `options`; `None` for a tie.
pub(super) fn single_best(values: &[f64; MAX_OPTIONS], options: usize) -> Option<usize> {
    let (best, lead) = best_and_lead(values, options)?;
    (lead > 0.0).then_some(best)
}

/// The first largest entry, and by how much it exceeds the next.
pub(super) fn best_and_lead(values: &[f64; MAX_OPTIONS], options: usize) -> Option<(usize, f64)> {
    let (best, &top) = values
        .iter()
        .take(options)
        .enumerate()
        .reduce(|a, b| if b.1 > a.1 { b } else { a })?;
    let second = values
        .iter()
        .take(options)
        .enumerate()
        .filter(|&(option, _)| option != best)
        .map(|(_, &value)| value)
        .fold(f64::NEG_INFINITY, f64::max);
    Some((best, top - second))
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]
mod tests {
    use super::*;
    use crate::gate::GateConfig;
    use OptionKind::{Branch, GoOn, Other};

    fn settings() -> GateSettings {
        GateSettings::new(GateConfig::default()).unwrap()
    }

    #[test]
    fn a_one_sided_prior_is_held_to_the_ratio() {
        let p = cap_prior(
            &[Branch, Branch, Other, GoOn],
            &[0.999_999, 1e-9, 0.0, 0.0],
            &settings(),
        );
        let ratio = settings().config().prior_ratio_max;
        assert!((p[0] / p[1] - ratio).abs() < 1e-9);
        assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn control_options_get_their_least_share_even_when_nobody_gives_them_any() {
        let p = cap_prior(
            &[Branch, Branch, Other, GoOn],
            &[0.5, 0.5, 0.0, 0.0],
            &settings(),
        );
        // 0.9 / 2 per branch, 0.1 / 2 per control option: 9 to 1, inside the ratio of 10.
        for (got, want) in p.iter().zip([0.45, 0.45, 0.05, 0.05]) {
            assert!((got - want).abs() < 1e-12, "{p:?}");
        }
    }

    #[test]
    fn an_eager_imitator_cannot_give_all_mass_to_control_options() {
        let p = cap_prior(&[Branch, Branch, Other], &[0.0, 0.0, 1.0], &settings());
        let most = settings().config().control_mass_max;
        assert!(p[2] <= most + 1e-12, "{p:?}");
    }

    #[test]
    fn relative_is_an_llr_clip_in_both_directions() {
        let flash = |llr| {
            let mut v = [0.0; MAX_OPTIONS];
            v[1] = llr;
            let r = relative(&v, 3, 2.0);
            r[1] - r[0]
        };
        for (given, kept) in [(1.5, 1.5), (9.0, 2.0), (-9.0, -2.0), (1e308, 2.0)] {
            assert_eq!(flash(given), kept);
        }
    }
}
