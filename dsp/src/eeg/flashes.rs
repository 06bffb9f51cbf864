//! From an announced flash to its result: it waits for its samples, or its epoch is made up from the history.

use serde::{Deserialize, Serialize};

use super::EegPath;
use crate::epoch::{EpochStatus, FinishedEpoch, Rejection, SampleNote};
use crate::units::SampleIndex;

/// Flashes that can wait for their samples.
pub const PENDING_MAX: usize = 256;
/// Results that can wait to be taken.
pub const RESULTS_MAX: usize = 1024;

/// The result for one flash.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ScoredFlash {
    /// As given to [`EegPath::flash`].
    pub id: u64,
    /// The flash's own stamp, on the samples' clock, seconds.
    pub onset_s: f64,
    /// The sample of the flash.
    pub onset_sample: SampleIndex,
    /// The last sample of its epoch.
    pub last_sample: SampleIndex,
    /// Stamp of that last sample, seconds: from here the latency of the score counts.
    pub last_s: f64,
    /// Linear score, `None` without a scorer or when the epoch ended early. Not to be used unless `status` is clean.
    pub score: Option<f64>,
    /// Whether it can be used.
    pub status: EpochStatus,
    /// Which of the path's two places held its scorer: [`EegPath::next_place`]. 0 without a score.
    #[serde(default)]
    pub scorer: usize,
}

/// Why a flash was not taken.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FlashError {
    /// The stamp is no time.
    #[error(
        "the stamp of flash {id} is not finite. The marker must be left out, a time is never guessed"
    )]
    NotFinite {
        /// The flash.
        id: u64,
    },
    /// Its first samples are no longer there.
    #[error(
        "flash {id} was announced {late_s:.3} s after its sample. Announce flashes sooner, or lengthen the history"
    )]
    TooLate {
        /// The flash.
        id: u64,
        /// How late, at least, seconds.
        late_s: f64,
    },
    /// Too many flashes wait for their samples.
    #[error(
        "flash {id} was refused: {waiting} flashes wait for samples already. Has the EEG stopped, or is its clock behind?"
    )]
    TooMany {
        /// The flash.
        id: u64,
        /// How many are waiting.
        waiting: usize,
    },
    /// Too many epochs are open.
    #[error(
        "flash {id} was refused: all {open} epochs are open. Raise `open_max` or flash more slowly"
    )]
    BankFull {
        /// The flash.
        id: u64,
        /// How many are open.
        open: usize,
    },
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Pending {
    id: u64,
    onset_s: f64,
}

impl EegPath {
    /// The oldest result that was not taken yet.
    pub fn pop(&mut self) -> Option<ScoredFlash> {
        self.results.pop()
    }

    /// Announces a flash at `onset_s`, on the samples' clock. Its sample is the first one with a stamp of at least `onset_s` minus half
    /// a period. Results come through [`Self::pop`], at once if all samples are there.
    ///
    /// # Errors
    /// [`FlashError`]; the flash then has no result.
    pub fn flash(&mut self, id: u64, onset_s: f64) -> Result<(), FlashError> {
        self.flash_with(id, onset_s, |_| {})
    }

    /// As [`Self::flash`], and shows the epoch to `on_epoch` if it ends at once.
    ///
    /// # Errors
    /// As [`Self::flash`].
    pub fn flash_with(
        &mut self,
        id: u64,
        onset_s: f64,
        mut on_epoch: impl FnMut(&FinishedEpoch<'_>),
    ) -> Result<(), FlashError> {
        if !onset_s.is_finite() {
            return Err(FlashError::NotFinite { id });
        }
        let half_s = 0.5 / self.spec.rate.get();
        if self.last_s.is_none_or(|last_s| last_s < onset_s - half_s) {
            let waiting = self.pending.len();
            return self
                .pending
                .push(Pending { id, onset_s })
                .map_err(|_| FlashError::TooMany { id, waiting });
        }
        let at = self.history.position_of(onset_s - half_s);
        if at == 0 && self.history.evicted() {
            let oldest_s = self.history.time_s(0).unwrap_or(onset_s);
            if oldest_s > onset_s + half_s {
                return Err(FlashError::TooLate {
                    id,
                    late_s: self.last_s.unwrap_or(oldest_s) - onset_s,
                });
            }
        }
        self.catch_up(id, onset_s, at, &mut on_epoch)
    }

    /// Opens the epoch of a flash whose sample lies at a position of the history and feeds it all that has come since.
    fn catch_up(
        &mut self,
        id: u64,
        onset_s: f64,
        at: usize,
        on_epoch: &mut impl FnMut(&FinishedEpoch<'_>),
    ) -> Result<(), FlashError> {
        let Some((_, note)) = self.history.sample(at) else {
            return Ok(());
        };
        let time_s = self.history.time_s(at).unwrap_or(onset_s);
        if note.break_before.is_some() && time_s - onset_s > 0.5 / self.spec.rate.get() {
            // The flash fell where no samples are.
            let _ = self.results.push(ScoredFlash {
                id,
                onset_s,
                onset_sample: note.index,
                last_sample: note.index,
                last_s: time_s,
                score: None,
                status: EpochStatus::Rejected(Rejection::NoOnsetSample),
                scorer: 0,
            });
            return Ok(());
        }
        let slot = self
            .bank
            .open(id, onset_s, note.index, self.start_samples)
            .map_err(|full| FlashError::BankFull {
                id,
                open: full.capacity,
            })?;
        let Self {
            history,
            bank,
            results,
            ..
        } = self;
        for position in at..history.len() {
            let (Some((row, note)), Some(time_s)) =
                (history.sample(position), history.time_s(position))
            else {
                break;
            };
            let before_s = position
                .checked_sub(1)
                .and_then(|p| history.time_s(p))
                .unwrap_or(time_s);
            let still_open = bank.feed(slot, row, &note, &mut |epoch| {
                on_epoch(epoch);
                let _ = results.push(scored(epoch, &note, time_s, before_s));
            });
            // The rows have the bank's own width, so there is no error to speak of.
            if still_open != Ok(true) {
                break;
            }
        }
        Ok(())
    }

    /// Opens the epochs of flashes that have waited for the newest sample, or gives them up when the clock jumped.
    pub(super) fn open_pending(
        &mut self,
        note: &SampleNote,
        time_s: f64,
        on_epoch: &mut impl FnMut(&FinishedEpoch<'_>),
    ) {
        if self.pending.is_empty() {
            return;
        }
        let jumped = note.break_before == Some(Rejection::ClockJump);
        let half_s = 0.5 / self.spec.rate.get();
        let newest = self.history.len().saturating_sub(1);
        for _ in 0..self.pending.len() {
            let Some(flash) = self.pending.pop() else {
                return;
            };
            if jumped {
                let _ = self.results.push(ScoredFlash {
                    id: flash.id,
                    onset_s: flash.onset_s,
                    onset_sample: note.index,
                    last_sample: note.index,
                    last_s: time_s,
                    score: None,
                    status: EpochStatus::Rejected(Rejection::ClockJump),
                    scorer: 0,
                });
            } else if time_s < flash.onset_s - half_s {
                // Its own place has just become free.
                let _ = self.pending.push(flash);
            } else if self
                .catch_up(flash.id, flash.onset_s, newest, on_epoch)
                .is_err()
            {
                self.counts.flashes_without_epoch += 1;
            }
        }
    }
}

pub(super) fn scored(
    epoch: &FinishedEpoch<'_>,
    note: &SampleNote,
    time_s: f64,
    before_s: f64,
) -> ScoredFlash {
    ScoredFlash {
        id: epoch.id,
        onset_s: epoch.onset_s,
        onset_sample: epoch.onset,
        last_sample: epoch.last,
        // An epoch that a break has ended did not get this sample.
        last_s: if epoch.last == note.index {
            time_s
        } else {
            before_s
        },
        score: epoch.score,
        status: epoch.status,
        scorer: epoch.scorer,
    }
}
