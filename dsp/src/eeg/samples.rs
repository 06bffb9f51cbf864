//! The way of one sample: stamp, held values, filled gaps, filters, blinks, reference, history, epochs.

use super::EegPath;
use super::flashes::scored;
use crate::blink::BLINK_UV;
use crate::epoch::{FinishedEpoch, Rejection, SampleNote};
use crate::error::{DspError, shape};
use crate::stamps::{GapAction, StampVerdict};
use crate::units::SampleIndex;

impl EegPath {
    /// Takes one sample, microvolts, with its stamp on the source's clock.
    ///
    /// # Errors
    /// [`DspError::Shape`] unless `sample` holds one value per channel; nothing has happened then.
    pub fn push(&mut self, stamp_s: f64, sample: &[f32]) -> Result<StampVerdict, DspError> {
        self.push_with(stamp_s, sample, |_| {})
    }

    /// As [`Self::push`], and shows every epoch that ends, with its features, to `on_epoch`. The results are queued as well.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn push_with(
        &mut self,
        stamp_s: f64,
        sample: &[f32],
        mut on_epoch: impl FnMut(&FinishedEpoch<'_>),
    ) -> Result<StampVerdict, DspError> {
        shape("sample", sample.len(), self.spec.channels)?;
        let verdict = self.guard.push(stamp_s);
        let (time_s, break_before) = match verdict {
            StampVerdict::Drop(_) => return Ok(verdict),
            StampVerdict::InOrder { time_s } => {
                (time_s, self.last_s.is_none().then_some(Rejection::Restart))
            }
            StampVerdict::Gap { time_s, action, .. } => (
                time_s,
                match action {
                    GapAction::Interpolate => None,
                    GapAction::Reject => Some(Rejection::Gap),
                    GapAction::Restart => Some(Rejection::Restart),
                },
            ),
            StampVerdict::ClockJump { time_s, .. } => (time_s, Some(Rejection::ClockJump)),
        };
        let held = sample.iter().filter(|x| !x.is_finite()).count();
        self.counts.held_values += held as u64;
        // Moved out for the borrow checker; a Vec of zero length is no allocation.
        let mut raw = std::mem::take(&mut self.raw);
        let sanitised = self.quality.sanitise(sample, &mut raw);
        let advanced = sanitised.and_then(|()| {
            let anew = *self.quality.restarts();
            if let StampVerdict::Gap {
                missing,
                action: GapAction::Interpolate,
                ..
            } = verdict
            {
                self.fill(&raw, time_s, missing, &mut on_epoch)?;
            }
            if !anew.is_empty() {
                for (channel, x) in raw.iter().enumerate() {
                    if anew.contains(channel) {
                        self.filter.start_channel_at(channel, *x);
                    }
                }
            }
            self.advance(&raw, time_s, break_before, &mut on_epoch)
        });
        self.raw = raw;
        advanced.map(|()| verdict)
    }

    /// Takes whole samples, `[samples][channels]`; the same as one [`Self::push`] after the other.
    ///
    /// # Errors
    /// [`DspError::Shape`] unless there is one value per stamp and channel; nothing has happened then.
    pub fn push_block(&mut self, stamps_s: &[f64], samples: &[f32]) -> Result<(), DspError> {
        let n = self.spec.channels;
        shape("block of samples", samples.len(), stamps_s.len() * n)?;
        for (stamp_s, sample) in stamps_s.iter().zip(samples.chunks_exact(n)) {
            self.push(*stamp_s, sample)?;
        }
        Ok(())
    }

    /// Makes up `missing` samples on the straight line from the last sample to this one.
    fn fill(
        &mut self,
        to: &[f64],
        to_s: f64,
        missing: u64,
        on_epoch: &mut impl FnMut(&FinishedEpoch<'_>),
    ) -> Result<(), DspError> {
        let from_s = self.last_s.unwrap_or(to_s);
        let steps = (missing + 1) as f64;
        let mut from = std::mem::take(&mut self.previous);
        let mut between = std::mem::take(&mut self.between);
        let mut filled = Ok(());
        for step in 1..=missing {
            let share = step as f64 / steps;
            for ((x, a), b) in between.iter_mut().zip(&from).zip(to) {
                *x = a + (b - a) * share;
            }
            filled = self.advance(&between, from_s + (to_s - from_s) * share, None, on_epoch);
            if filled.is_err() {
                break;
            }
            self.counts.interpolated += 1;
        }
        from.copy_from_slice(to);
        self.previous = from;
        self.between = between;
        filled
    }

    /// One finite sample through filters, reference, quality, history and epochs.
    fn advance(
        &mut self,
        raw: &[f64],
        time_s: f64,
        break_before: Option<Rejection>,
        on_epoch: &mut impl FnMut(&FinishedEpoch<'_>),
    ) -> Result<(), DspError> {
        if let Some(Rejection::Restart | Rejection::ClockJump) = break_before {
            self.filter.start_at(raw)?;
            self.since_start = 0;
        }
        self.filtered.copy_from_slice(raw);
        self.filter.process(&mut self.filtered)?;
        self.quality.observe(raw, &self.filtered)?;
        if let Some(blinks) = &self.blinks
            && !self.quality.bad().contains(blinks.reference())
        {
            let seen = self.filtered.get(blinks.reference());
            if seen.is_some_and(|x| x.abs() >= BLINK_UV) {
                self.counts.blinks += u64::from(self.blinking == 0);
                self.blinking = self.blink_samples;
            }
            blinks.process(&mut self.filtered)?;
        }
        self.blinking = self.blinking.saturating_sub(1);
        if let Some(car) = &self.reference {
            car.process(&mut self.filtered)?;
        }
        let note = SampleNote {
            index: SampleIndex(self.next_index),
            break_before,
            doubt: if self.since_start < self.settle_samples {
                Some(Rejection::Unsettled)
            } else if !self.quality.montage_ok() {
                Some(Rejection::Montage)
            } else {
                None
            },
            bad: self.quality.bad(),
        };
        let before_s = self.last_s.unwrap_or(time_s);
        self.next_index += 1;
        self.since_start += 1;
        self.last_s = Some(time_s);
        if self.previous.len() == raw.len() {
            self.previous.copy_from_slice(raw);
        }
        if break_before == Some(Rejection::ClockJump) {
            self.history.clear(true);
        }
        self.history.push(time_s, &self.filtered, note);
        let Self {
            bank,
            results,
            filtered,
            ..
        } = self;
        bank.push(filtered, &note, &mut |epoch| {
            on_epoch(epoch);
            let _ = results.push(scored(epoch, &note, time_s, before_s));
        })?;
        self.open_pending(&note, time_s, on_epoch);
        Ok(())
    }
}
