//! From when on something happens in the simulated laboratory: since the start, or since a fork was seen to open.

use serde::{Deserialize, Serialize};

use super::settings::{SettingsError, within};

/// From when on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Since {
    /// Seconds since the start, 0 to 86,400.
    StartS(f64),
    /// The opening of this fork, counted from 1 as they open.
    Fork(u32),
}

impl Since {
    /// Reads `10` or `fork3`.
    pub(super) fn read(text: &str) -> Option<Self> {
        Some(match text.strip_prefix("fork") {
            Some(fork) => Self::Fork(fork.parse().ok()?),
            None => Self::StartS(text.parse().ok()?),
        })
    }

    pub(super) fn check(self) -> Result<(), SettingsError> {
        match self {
            Self::StartS(at_s) => within("start of a fault or loss", "s", at_s, 0.0, 86_400.0),
            Self::Fork(fork) => within(
                "fork of a fault or loss",
                "",
                f64::from(fork),
                1.0,
                10_000.0,
            ),
        }
    }
}

/// When each fork was seen that was opened.
#[derive(Debug, Default)]
pub(super) struct Openings(Vec<f64>);

impl Openings {
    /// The person sees that a fork has opened, seconds since the start.
    pub(super) fn fork_opens(&mut self, t_s: f64) {
        self.0.push(t_s);
    }

    /// Whether at `t_s` it is past `since`, by less than `for_s` if that is given.
    pub(super) fn hold(&self, since: Since, for_s: Option<f64>, t_s: f64) -> bool {
        let from_s = match since {
            Since::StartS(at_s) => Some(at_s),
            Since::Fork(fork) => (fork as usize)
                .checked_sub(1)
                .and_then(|n| self.0.get(n))
                .copied(),
        };
        from_s.is_some_and(|from_s| t_s >= from_s && for_s.is_none_or(|for_s| t_s < from_s + for_s))
    }
}
