//! Scanning by a single switch: one option after the other stands out, and a press takes the one that does.
//!
//! Nothing here decides: a press becomes the key of that option, and goes the way of every key, through the gate.

use crate::config::ScanSection;

/// Which of `options` stands out `since_s` seconds after they went up; `None` once all of them have done so as often as is wanted: the fork
/// is then left to its time.
///
/// The first one of all stands out longer, as options are still being read then. Afterwards each has the same time.
#[must_use]
pub fn standing_out(scan: &ScanSection, options: usize, since_s: f64) -> Option<usize> {
    if !scan.on || options == 0 || !since_s.is_finite() || since_s < 0.0 {
        return None;
    }
    let later_s = since_s - scan.first_s;
    if later_s < 0.0 {
        return Some(0);
    }
    // Far beyond any fork's time, and the cast saturates.
    let step = 1_usize.saturating_add((later_s / scan.period_s).floor() as usize);
    (step < options.saturating_mul(scan.loops as usize)).then_some(step % options)
}

/// How long all of it takes for so many options, seconds.
#[must_use]
pub fn whole_s(scan: &ScanSection, options: usize) -> f64 {
    let steps = options
        .saturating_mul(scan.loops as usize)
        .saturating_sub(1);
    scan.first_s + steps as f64 * scan.period_s
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scan(first_s: f64, period_s: f64, loops: u32) -> ScanSection {
        ScanSection {
            on: true,
            first_s,
            period_s,
            loops,
        }
    }

    #[test]
    fn three_options_stand_out_in_turn_and_the_first_of_all_for_longer() {
        let scan = scan(2.0, 0.5, 2);
        let at = |s: f64| standing_out(&scan, 3, s);
        for (s, expected) in [
            (0.0, Some(0)),
            (1.99, Some(0)),
            (2.0, Some(1)),
            (2.5, Some(2)),
            (3.0, Some(0)),
            (3.5, Some(1)),
            (4.49, Some(2)),
            (4.5, None),
            (1e12, None),
        ] {
            assert_eq!(at(s), expected, "{s}");
        }
        assert!((whole_s(&scan, 3) - 4.5).abs() < 1e-12);
        let off = ScanSection { on: false, ..scan };
        assert_eq!(standing_out(&off, 3, 0.1), None);
    }

    proptest! {
        #[test]
        fn each_option_has_its_time_in_every_loop(
            first_s in 0.5_f64..20.0,
            period_s in 0.3_f64..10.0,
            loops in 1_u32..20,
            options in 1_usize..9,
        ) {
            let scan = scan(first_s, period_s, loops);
            // By small steps, as a window looks: how long each stood out.
            let step_s = period_s / 50.0;
            let mut stood = vec![0.0; options];
            let mut turns = Vec::new();
            let all = (whole_s(&scan, options) / step_s) as usize + 100;
            for n in 0..all {
                let found = standing_out(&scan, options, n as f64 * step_s);
                if let Some(option) = found {
                    stood[option] += step_s;
                }
                if turns.last() != Some(&found) {
                    turns.push(found);
                }
            }
            prop_assert_eq!(turns.last(), Some(&None), "it comes to an end");
            if options > 1 {
                prop_assert_eq!(turns.len(), options * loops as usize + 1);
            }
            for (option, stood_s) in stood.iter().enumerate() {
                let more_s = if option == 0 { first_s - period_s } else { 0.0 };
                let expected_s = more_s + period_s * f64::from(loops);
                let steps = f64::from(loops + 1) * step_s;
                prop_assert!((stood_s - expected_s).abs() <= steps, "{}: {} {}", option, stood_s, expected_s);
            }
        }

        #[test]
        fn no_time_and_no_number_of_options_is_too_much(
            since_s in prop::num::f64::ANY,
            options in 0_usize..10_000,
        ) {
            let found = standing_out(&scan(0.5, 0.3, 20), options, since_s);
            prop_assert!(found.is_none_or(|option| option < options));
        }
    }
}
