//! The order and the timing of flashes.
//!
//! A P300 needs a rare target: about 1 flash in 5 or 6. A fork has 3 to 8 options, so short sets are filled up with *fillers*,
//! items that mean nothing and lie where nobody looks for a choice. Flashes come in rounds in which every item flashes exactly
//! once, in random order; across rounds no item returns before `target_interval_flashes_min` flashes, nor before
//! `target_interval_s_min`. So whatever the person
//! attends to flashes once in every [`FlashSequence::items`] flashes, never twice running, at moments that cannot be predicted.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::fork::MAX_OPTIONS;
use crate::gate::{Limit, SettingsError};

/// Most items that can flash, fillers included.
pub const MAX_FLASH_ITEMS: usize = 16;

const ITEMS_MIN: Limit = Limit {
    key: "flash.items_min",
    unit: "",
    min: 5.0,
    max: MAX_FLASH_ITEMS as f64,
    default: 6.0,
    about: "items that flash at least; fillers make up the number (a target is then at most 1 flash in so many)",
};
const TARGET_INTERVAL_FLASHES_MIN: Limit = Limit {
    key: "flash.target_interval_flashes_min",
    unit: "flashes",
    min: 2.0,
    max: 5.0,
    default: 3.0,
    about: "least distance of two flashes of one item; 2 means that none flashes twice running",
};
const TARGET_INTERVAL_S_MIN: Limit = Limit {
    key: "flash.target_interval_s_min",
    unit: "s",
    min: 0.0,
    max: 2.0,
    default: 0.3,
    about: "least time between the onsets of two flashes of one item, whatever the jitter; raises the distance in flashes where needed",
};
const SOA_S: Limit = Limit {
    key: "flash.soa_s",
    unit: "s",
    min: 0.05,
    max: 2.0,
    default: 0.175,
    about: "mean time from the onset of one flash to that of the next",
};
const SOA_JITTER_S: Limit = Limit {
    key: "flash.soa_jitter_s",
    unit: "s",
    min: 0.0,
    max: 0.5,
    default: 0.025,
    about: "largest deviation from the mean, uniform on both sides; at most half of soa_s",
};

/// The flash part of a configuration file, not yet checked. Ranges and defaults: [`FlashConfig::LIMITS`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FlashConfig {
    /// Items that flash at least; fillers make up the number.
    pub items_min: u32,
    /// Least distance of two flashes of one item, in flashes.
    pub target_interval_flashes_min: u32,
    /// Least time between the onsets of two flashes of one item, seconds.
    pub target_interval_s_min: f64,
    /// Mean time from the onset of one flash to that of the next, seconds.
    pub soa_s: f64,
    /// Largest deviation from the mean, uniform on both sides, seconds.
    pub soa_jitter_s: f64,
}

impl Default for FlashConfig {
    fn default() -> Self {
        Self {
            items_min: ITEMS_MIN.default as u32,
            target_interval_flashes_min: TARGET_INTERVAL_FLASHES_MIN.default as u32,
            target_interval_s_min: TARGET_INTERVAL_S_MIN.default,
            soa_s: SOA_S.default,
            soa_jitter_s: SOA_JITTER_S.default,
        }
    }
}

impl FlashConfig {
    /// Every number of this configuration with its range and default, in the order of the fields.
    pub const LIMITS: [Limit; 5] = [
        ITEMS_MIN,
        TARGET_INTERVAL_FLASHES_MIN,
        TARGET_INTERVAL_S_MIN,
        SOA_S,
        SOA_JITTER_S,
    ];

    fn values(&self) -> [f64; 5] {
        [
            f64::from(self.items_min),
            f64::from(self.target_interval_flashes_min),
            self.target_interval_s_min,
            self.soa_s,
            self.soa_jitter_s,
        ]
    }
}

/// Checked settings of a flash sequence. In a file they read and write as [`FlashConfig`]. The default is that of every number.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(try_from = "FlashConfig", into = "FlashConfig")]
pub struct FlashSettings(FlashConfig);

impl FlashSettings {
    /// Checks every number against [`FlashConfig::LIMITS`].
    ///
    /// # Errors
    /// [`SettingsError`] naming the first key that is out of range, a jitter above half the mean, or a least distance, in
    /// flashes or in time, of more flashes than there are other items: the order would be the same in every round.
    pub fn new(config: FlashConfig) -> Result<Self, SettingsError> {
        for (limit, value) in FlashConfig::LIMITS.iter().zip(config.values()) {
            limit.check(value)?;
        }
        if config.soa_jitter_s > config.soa_s / 2.0 {
            return Err(SettingsError::Order {
                lower_key: SOA_JITTER_S.key,
                lower: config.soa_jitter_s,
                upper_key: "flash.soa_s / 2",
                upper: config.soa_s / 2.0,
            });
        }
        if config.target_interval_flashes_min >= config.items_min {
            return Err(SettingsError::Order {
                lower_key: TARGET_INTERVAL_FLASHES_MIN.key,
                lower: f64::from(config.target_interval_flashes_min),
                upper_key: "flash.items_min - 1",
                upper: f64::from(config.items_min - 1),
            });
        }
        let longest_s = f64::from(config.items_min - 1) * (config.soa_s - config.soa_jitter_s);
        if config.target_interval_s_min > longest_s {
            return Err(SettingsError::Order {
                lower_key: TARGET_INTERVAL_S_MIN.key,
                lower: config.target_interval_s_min,
                upper_key: "(flash.items_min - 1) * (flash.soa_s - flash.soa_jitter_s)",
                upper: longest_s,
            });
        }
        Ok(Self(config))
    }

    /// Distance of two flashes of one item that keeps both minima, in flashes; less than the number of items.
    fn interval_flashes(&self) -> usize {
        let shortest_s = self.0.soa_s - self.0.soa_jitter_s;
        // A hair less than the quotient, so that a whole number of flashes is not rounded up by the last bit.
        let needed = (self.0.target_interval_s_min / shortest_s - 1e-9).ceil();
        (self.0.target_interval_flashes_min as usize).max(needed as usize)
    }

    /// The numbers, all within their ranges.
    #[must_use]
    pub const fn config(&self) -> &FlashConfig {
        &self.0
    }
}

impl TryFrom<FlashConfig> for FlashSettings {
    type Error = SettingsError;

    fn try_from(config: FlashConfig) -> Result<Self, SettingsError> {
        Self::new(config)
    }
}

impl From<FlashSettings> for FlashConfig {
    fn from(settings: FlashSettings) -> Self {
        settings.0
    }
}

/// A sequence that cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FlashError {
    /// Nothing to flash, or more options than a fork can have.
    #[error("{got} options cannot flash; a fork has 1 to {max}")]
    OptionCount {
        /// Options given.
        got: usize,
        /// Options accepted.
        max: usize,
    },
}

/// One flash.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Flash {
    /// What flashes: an option's index, or from [`FlashSequence::options`] upwards a filler.
    pub item: i32,
    /// Whether it is a filler.
    pub filler: bool,
    /// Time from this flash's onset to the next one's, seconds.
    pub soa_s: f64,
}

/// An endless sequence of flashes for one fork or calibration block. Does not allocate.
///
/// The same seed and stream give the same sequence on every machine.
#[derive(Debug, Clone)]
pub struct FlashSequence {
    random: ChaCha8Rng,
    options: usize,
    items: usize,
    interval: usize,
    soa_s: f64,
    jitter_s: f64,
    /// This round: what has flashed stands before `position`, the rest after it.
    round: [usize; MAX_FLASH_ITEMS],
    position: usize,
    /// Index of each item's last flash, counted from 1; 0 when it has not flashed.
    last: [u64; MAX_FLASH_ITEMS],
    flashes: u64,
}

impl FlashSequence {
    /// A sequence over `options` options and as many fillers as are missing to `items_min`.
    ///
    /// `seed` is the session's; `stream` tells its sequences apart (the fork's number).
    ///
    /// # Errors
    /// [`FlashError::OptionCount`] when there are no options or more than [`MAX_OPTIONS`].
    pub fn new(
        options: usize,
        settings: &FlashSettings,
        seed: u64,
        stream: u64,
    ) -> Result<Self, FlashError> {
        if !(1..=MAX_OPTIONS).contains(&options) {
            return Err(FlashError::OptionCount {
                got: options,
                max: MAX_OPTIONS,
            });
        }
        let items = options.max(settings.config().items_min as usize);
        Ok(Self::over(options, items, settings, seed, stream))
    }

    /// A sequence of a calibration block: `items_min` items, any of which may be cued, and no fillers.
    #[must_use]
    pub fn of_block(settings: &FlashSettings, seed: u64, stream: u64) -> Self {
        let items = settings.config().items_min as usize;
        Self::over(items, items, settings, seed, stream)
    }

    /// `items` is not above [`MAX_FLASH_ITEMS`], and not below `options`.
    fn over(
        options: usize,
        items: usize,
        settings: &FlashSettings,
        seed: u64,
        stream: u64,
    ) -> Self {
        let config = settings.config();
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(stream);
        Self {
            random,
            options,
            items,
            interval: settings.interval_flashes(),
            soa_s: config.soa_s,
            jitter_s: config.soa_jitter_s,
            round: std::array::from_fn(|item| item),
            position: 0,
            last: [0; MAX_FLASH_ITEMS],
            flashes: 0,
        }
    }

    /// The next flash. Real-time: neither allocates nor panics.
    pub fn next_flash(&mut self) -> Flash {
        if self.position == self.items {
            self.position = 0;
        }
        // Swap one allowed item of the rest of the round, picked evenly, to the front. There is always one: at position p
        // of a round only items from the end of the round before can still be barred, at most interval - 1 - p of them, out
        // of items - p; and interval < items.
        let allowed = self.rest().filter(|&slot| self.is_allowed(slot)).count();
        let pick = self.random.random_range(0..allowed.max(1));
        let slot = self
            .rest()
            .filter(|&slot| self.is_allowed(slot))
            .nth(pick)
            .unwrap_or(self.position);
        self.round.swap(self.position, slot);
        let item = self.round[self.position];
        self.position += 1;
        self.flashes += 1;
        self.last[item] = self.flashes;
        let deviation = if self.jitter_s > 0.0 {
            self.random.random_range(-self.jitter_s..=self.jitter_s)
        } else {
            0.0
        };
        Flash {
            item: item as i32,
            filler: item >= self.options,
            soa_s: self.soa_s + deviation,
        }
    }

    fn rest(&self) -> std::ops::Range<usize> {
        self.position..self.items
    }

    fn is_allowed(&self, slot: usize) -> bool {
        let last = self.last[self.round[slot]];
        last == 0 || self.flashes + 1 - last >= self.interval as u64
    }

    /// Number of items that flash, fillers included: the target is one flash in so many.
    #[must_use]
    pub const fn items(&self) -> usize {
        self.items
    }

    /// Number of options; items from this number upwards are fillers.
    #[must_use]
    pub const fn options(&self) -> usize {
        self.options
    }

    /// Flashes handed out so far.
    #[must_use]
    pub const fn flashes(&self) -> u64 {
        self.flashes
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn settings() -> impl Strategy<Value = FlashSettings> {
        (
            5u32..=16,
            2u32..=5,
            0.05f64..=2.0,
            0.0f64..=0.5,
            0.0f64..=1.0,
        )
            .prop_map(|(items, gap, soa, jitter, interval)| {
                let jitter = (jitter * soa).min(0.5);
                let longest = f64::from(items - 1) * (soa - jitter);
                FlashSettings::new(FlashConfig {
                    items_min: items,
                    target_interval_flashes_min: gap.min(items - 1),
                    target_interval_s_min: (interval * longest).min(2.0),
                    soa_s: soa,
                    soa_jitter_s: jitter,
                })
                .unwrap()
            })
    }

    proptest! {
        #[test]
        fn every_item_flashes_once_a_round_and_never_returns_too_soon(
            options in 1usize..=MAX_OPTIONS,
            settings in settings(),
            seed: u64,
        ) {
            let mut sequence = FlashSequence::new(options, &settings, seed, 0).unwrap();
            let items = sequence.items();
            prop_assert!(items >= 5, "a target must be at most 1 flash in 5");
            let flashes: Vec<Flash> = (0..items * 40).map(|_| sequence.next_flash()).collect();
            for round in flashes.chunks(items) {
                let mut seen: Vec<i32> = round.iter().map(|flash| flash.item).collect();
                seen.sort_unstable();
                prop_assert_eq!(seen, (0..items as i32).collect::<Vec<_>>());
            }
            let first: Vec<i32> = flashes.iter().take(items).map(|flash| flash.item).collect();
            prop_assert!(
                flashes.chunks(items).any(|round| round.iter().zip(&first).any(|(a, b)| a.item != *b)),
                "the order is the same in every round"
            );
            let gap = settings.config().target_interval_flashes_min as usize;
            prop_assert!(gap >= 2, "no item may flash twice running");
            let mut last_s = vec![f64::NEG_INFINITY; items];
            let mut now_s = 0.0;
            for flash in &flashes {
                let since_s = now_s - last_s[flash.item as usize];
                prop_assert!(since_s >= settings.config().target_interval_s_min - 1e-6);
                last_s[flash.item as usize] = now_s;
                now_s += flash.soa_s;
            }
            for (at, flash) in flashes.iter().enumerate() {
                let soon = &flashes[at + 1..flashes.len().min(at + gap)];
                prop_assert!(soon.iter().all(|later| later.item != flash.item));
                prop_assert_eq!(flash.filler, flash.item >= options as i32);
                let config = settings.config();
                let deviation = (flash.soa_s - config.soa_s).abs();
                prop_assert!(deviation <= config.soa_jitter_s + 1e-12 && flash.soa_s > 0.0);
            }
        }

        #[test]
        fn a_calibration_block_of_any_size_flashes_every_item_alike_and_has_no_filler(
            settings in settings(),
            seed: u64,
        ) {
            let mut block = FlashSequence::of_block(&settings, seed, 1 << 40);
            let items = settings.config().items_min as usize;
            prop_assert_eq!(block.items(), items);
            let mut times = vec![0; items];
            for _ in 0..items * 7 {
                let flash = block.next_flash();
                prop_assert!(!flash.filler);
                times[flash.item as usize] += 1;
            }
            prop_assert!(times.iter().all(|times| *times == 7));
        }

        #[test]
        fn the_same_seed_repeats_a_sequence_and_another_stream_does_not(seed: u64) {
            let run = |stream| {
                let mut sequence =
                    FlashSequence::new(5, &FlashSettings::default(), seed, stream).unwrap();
                (0..60).map(|_| sequence.next_flash()).collect::<Vec<_>>()
            };
            prop_assert_eq!(run(3), run(3));
            prop_assert_ne!(run(3), run(4));
        }
    }

    #[test]
    fn each_item_follows_each_allowed_one_about_equally_often() {
        // With 6 items and an interval of 2, every ordered pair of different items occurs: 30 pairs, 1000 rounds.
        let settings = FlashSettings::new(FlashConfig {
            items_min: 6,
            target_interval_flashes_min: 2,
            ..FlashConfig::default()
        })
        .unwrap();
        let mut sequence = FlashSequence::new(6, &settings, 11, 0).unwrap();
        let mut pairs = [[0u32; 6]; 6];
        let mut before = sequence.next_flash().item as usize;
        for _ in 0..6000 {
            let item = sequence.next_flash().item as usize;
            pairs[before][item] += 1;
            before = item;
        }
        for (a, row) in pairs.iter().enumerate() {
            for (b, &count) in row.iter().enumerate() {
                if a == b {
                    assert_eq!(count, 0);
                } else {
                    // Expected 200 each; a binomial spread of five sigma is 70.
                    assert!((130..=270).contains(&count), "{a} then {b}: {count}");
                }
            }
        }
    }

    #[test]
    fn the_defaults_are_those_of_the_table_and_absurd_values_are_refused() {
        let config = FlashConfig::default();
        for (limit, value) in FlashConfig::LIMITS.iter().zip(config.values()) {
            assert_eq!(value, limit.default, "{}", limit.key);
        }
        assert!(FlashSettings::new(config).is_ok());
        for bad in [
            r#"{"soa_s":0.01}"#,
            r#"{"items_min":4}"#,
            r#"{"items_min":5,"target_interval_flashes_min":5}"#,
            r#"{"soa_jitter_s":0.4}"#,
            r#"{"target_interval_s_min":0.8}"#,
            r#"{"soa_s":0.06,"soa_jitter_s":0.01}"#,
        ] {
            assert!(serde_json::from_str::<FlashSettings>(bad).is_err(), "{bad}");
        }
        assert!(FlashSequence::new(0, &FlashSettings::default(), 0, 0).is_err());
        assert!(FlashSequence::new(9, &FlashSettings::default(), 0, 0).is_err());
    }
}
