//! Which item is cued in each block of a calibration.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The stream of random numbers that orders cues, apart from those of flash sequences.
const CUE_STREAM: u64 = 1 << 41;

/// The cued item, `0..items`, of each of `blocks` blocks: every `items` blocks each item once, in an order drawn from `seed`
/// (Fisher-Yates), and no item twice running where there are two or more.
///
/// What is a target must not hang together with one place on the screen: the eyes would then answer as well as the brain does.
#[must_use]
pub fn cued_items(seed: u64, items: usize, blocks: usize) -> Vec<usize> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(CUE_STREAM);
    let mut cues: Vec<usize> = Vec::with_capacity(blocks);
    while items > 0 && cues.len() < blocks {
        let mut cycle: Vec<usize> = (0..items).collect();
        for last in (1..items).rev() {
            cycle.swap(last, random.random_range(0..=last));
        }
        if items > 1 && cues.last() == cycle.first() {
            cycle.swap(0, random.random_range(1..items));
        }
        cues.extend(cycle);
    }
    cues.truncate(blocks);
    cues
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_cued_equally_often_and_none_twice_running() {
        for items in 5..=16 {
            for seed in 0..50 {
                let cues = cued_items(seed, items, 5 * items + 3);
                assert_eq!(cues.len(), 5 * items + 3);
                for blocks in 1..=cues.len() {
                    let of = |item| cues[..blocks].iter().filter(|cue| **cue == item).count();
                    let counts: Vec<usize> = (0..items).map(of).collect();
                    let (least, most) = (counts.iter().min(), counts.iter().max());
                    assert!(most <= least.map(|n| n + 1).as_ref(), "{items}: {counts:?}");
                }
                assert!(cues.windows(2).all(|pair| pair[0] != pair[1]), "{cues:?}");
            }
        }
    }

    #[test]
    fn the_order_is_the_seeds_and_another_in_each_cycle() {
        let cues = cued_items(7, 6, 24);
        assert_eq!(cues, cued_items(7, 6, 24));
        assert_eq!(cues[..10], cued_items(7, 6, 10));
        assert_ne!(cues, cued_items(8, 6, 24));
        assert!(cues.chunks(6).any(|cycle| cycle != &cues[..6]));
    }

    #[test]
    fn one_item_alone_is_cued_each_time_and_no_item_never() {
        assert_eq!(cued_items(1, 1, 3), [0, 0, 0]);
        assert!(cued_items(1, 0, 3).is_empty());
        assert!(cued_items(1, 5, 0).is_empty());
    }
}
