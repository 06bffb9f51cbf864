//! Filters, reference and spectra.

use proptest::collection::vec;
use proptest::prelude::*;
use razvilka_dsp::car::CommonAverage;
use razvilka_dsp::mask::ChannelMask;
use razvilka_dsp::spectrum::{Goertzel, Welch};

use crate::{bits, cuts, filter, hz};

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn filters_have_the_four_properties(
        channels in 1_usize..40,
        values in vec(-1e6_f64..1e6, 40 * 12),
        sizes in vec(1_usize..7, 1..5),
    ) {
        let x = &values[..channels * 12];
        let mut whole = x.to_vec();
        let mut stage = filter(channels);
        stage.process(&mut whole).unwrap();
        prop_assert!(whole.iter().all(|v| v.is_finite()));

        let mut chunked = x.to_vec();
        let mut other = filter(channels);
        for part in cuts(12, &sizes) {
            other.process(&mut chunked[part.start * channels..part.end * channels]).unwrap();
        }
        prop_assert_eq!(bits(&whole), bits(&chunked));

        // Every channel is on its own, wherever it lies in a tile.
        let mut alone: Vec<f64> = x.iter().skip(channels - 1).step_by(channels).copied().collect();
        filter(1).process(&mut alone).unwrap();
        let last: Vec<f64> = whole.iter().skip(channels - 1).step_by(channels).copied().collect();
        prop_assert_eq!(bits(&last), bits(&alone));

        stage.reset();
        let mut again = x.to_vec();
        stage.process(&mut again).unwrap();
        prop_assert_eq!(bits(&whole), bits(&again));
    }

    #[test]
    fn a_common_average_has_them_and_leaves_no_mean(
        channels in 1_usize..40,
        values in vec(-1e6_f64..1e6, 40 * 6),
        bad in vec(any::<bool>(), 40),
    ) {
        let x = &values[..channels * 6];
        let good: ChannelMask = (0..channels).filter(|c| !bad[*c]).collect();
        let mut car = CommonAverage::new(channels).unwrap();
        car.set_good(&good);
        let mut whole = x.to_vec();
        car.process(&mut whole).unwrap();
        let mut single = x.to_vec();
        for sample in single.chunks_exact_mut(channels) {
            car.process(sample).unwrap();
        }
        prop_assert_eq!(bits(&whole), bits(&single));
        for sample in whole.chunks_exact(channels) {
            prop_assert!(sample.iter().all(|v| v.is_finite()));
            if !good.is_empty() {
                let mean: f64 = good.iter().map(|c| sample[c]).sum::<f64>() / good.count() as f64;
                prop_assert!(mean.abs() < 1e-8);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn spectra_reset_and_stay_finite_and_not_negative(values in vec(-1e5_f64..1e5, 300)) {
        let mut welch = Welch::new(hz(250.0), 64, 32).unwrap();
        let mut first = vec![0.0; welch.bins()];
        welch.process(&values, &mut first).unwrap();
        prop_assert!(first.iter().all(|p| p.is_finite() && *p >= 0.0));
        let mut again = vec![1.0; welch.bins()];
        welch.process(&values, &mut again).unwrap();
        prop_assert_eq!(bits(&first), bits(&again));

        let mut goertzel = Goertzel::new(hz(40.0), hz(250.0), 50).unwrap();
        let powers: Vec<f64> = values.iter().filter_map(|x| goertzel.push(*x)).collect();
        prop_assert_eq!(powers.len(), 6);
        prop_assert!(powers.iter().all(|p| p.is_finite() && *p >= 0.0));
        goertzel.push(3.0);
        goertzel.reset();
        let again: Vec<f64> = values.iter().filter_map(|x| goertzel.push(*x)).collect();
        prop_assert_eq!(bits(&powers), bits(&again));
    }
}
