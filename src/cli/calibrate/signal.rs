//! How the signal becomes features, as it is typed.

use clap::Args as ClapArgs;

use crate::cli::exit::{Exit, Failure};
use crate::cli::recorded::failure;
use crate::config::{EpochSection, FilterSection, NOTCH_MIN_HZ, limit};
use crate::gate::Limit;

/// Filter and epoch; a profile and a prior that is to help it need the same.
#[derive(Debug, Clone, PartialEq, ClapArgs)]
pub struct SignalOptions {
    /// Lower edge of the band-pass, Hz.
    #[arg(long, value_name = "HZ", default_value_t = 0.5)]
    pub low_hz: f64,
    /// Upper edge of the band-pass, Hz.
    #[arg(long, value_name = "HZ", default_value_t = 20.0)]
    pub high_hz: f64,
    /// Order of the Butterworth band-pass, 1 to 12.
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub order: u32,
    /// Mains notch, from 20 Hz; 0 leaves it out.
    #[arg(long, value_name = "HZ", default_value_t = 0.0)]
    pub notch_hz: f64,
    /// Length of an epoch after a flash, up to 2 s.
    #[arg(long, value_name = "SECONDS", default_value_t = 0.8)]
    pub epoch_s: f64,
}

impl SignalOptions {
    /// As an experiment file says it.
    #[must_use]
    pub fn of(filter: &FilterSection, epoch: &EpochSection) -> Self {
        Self {
            low_hz: filter.low_hz,
            high_hz: filter.high_hz,
            order: filter.order,
            notch_hz: filter.notch_hz,
            epoch_s: epoch.length_s,
        }
    }

    /// The numbers of the signal path, within the ranges that an experiment file has.
    ///
    /// # Errors
    /// [`Exit::Usage`], naming the option that is out of range.
    pub(super) fn checked(&self) -> Result<(FilterSection, EpochSection), Failure> {
        for (flag, key, value) in [
            ("--low-hz", "filter.low_hz", self.low_hz),
            ("--high-hz", "filter.high_hz", self.high_hz),
            ("--order", "filter.order", f64::from(self.order)),
            ("--notch-hz", "filter.notch_hz", self.notch_hz),
            ("--epoch-s", "epoch.length_s", self.epoch_s),
        ] {
            if let Some(row) = limit(key) {
                let mut limit = Limit { key: flag, ..*row };
                if flag == "--notch-hz" && value != 0.0 {
                    limit.min = NOTCH_MIN_HZ;
                }
                limit.check(value).map_err(|e| failure(Exit::Usage, e))?;
            }
        }
        let filter = FilterSection {
            low_hz: self.low_hz,
            high_hz: self.high_hz,
            order: self.order,
            notch_hz: self.notch_hz,
        };
        let epoch = EpochSection {
            length_s: self.epoch_s,
        };
        Ok((filter, epoch))
    }
}
