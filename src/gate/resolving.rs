//! What a contraction is about: the latest looks, and one contraction that waits until gaze has been told far enough.
//!
//! The answer depends on stamps alone, not on which of the two lines was heard first, as long as both were heard within the wait.

use razvilka_dsp::units::LslTime;

use super::evidence::{Contraction, Evidence, Look, Told};
use super::machine::Gate;
use super::verdict::{AbortReason, State, Verdict};

/// A shorter fixation is no look, seconds.
pub const LOOK_MIN_S: f64 = 0.1;
/// A look that began before a contraction is known so long after the contraction's onset: [`LOOK_MIN_S`], and the look-ahead of the detector
/// of fixations, seconds.
pub const SETTLED_S: f64 = LOOK_MIN_S + 0.02;
/// A contraction waits for gaze no longer than this, seconds of the time that the gate is told.
pub const WAIT_S: f64 = 0.25;
/// Looks that are kept: a contraction is told when it is over, up to two seconds after its onset, and the look before it must still be
/// known then.
pub const LOOKS_KEPT: usize = 16;

/// A look, and the stamp at which it was known to be one.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Known {
    look: Look,
    known: LslTime,
}

/// What is kept of a fork's looks and contractions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Resolving {
    /// Newest last.
    looks: [Option<Known>; LOOKS_KEPT],
    look_seq: Option<u64>,
    contraction_seq: Option<u64>,
    /// Up to where gaze was told.
    told: Option<LslTime>,
    /// The contraction that waits, and since when.
    waiting: Option<(Contraction, LslTime)>,
}

impl Resolving {
    pub(super) const NOTHING: Self = Self {
        looks: [None; LOOKS_KEPT],
        look_seq: None,
        contraction_seq: None,
        told: None,
        waiting: None,
    };

    /// Number of the look that was told last.
    pub(super) const fn look_seq(&self) -> Option<u64> {
        self.look_seq
    }

    /// Number of the contraction that was told last.
    pub(super) const fn contraction_seq(&self) -> Option<u64> {
        self.contraction_seq
    }

    /// Whether a contraction waits.
    pub(super) const fn waits(&self) -> bool {
        self.waiting.is_some()
    }

    /// Gaze was told up to here.
    pub(super) fn told(&mut self, at: LslTime) {
        if self.told.is_none_or(|told| at > told) {
            self.told = Some(at);
        }
    }

    /// Takes a look, or more of the one that was told last.
    pub(super) fn look(&mut self, look: &Look) {
        self.look_seq = Some(look.seq);
        self.told(look.at);
        match self.looks.last_mut() {
            Some(Some(latest)) if latest.look.look == look.look => {
                // What it was a look at stands since it was known to be one.
                let item = latest.look.item;
                latest.look = Look { item, ..*look };
            }
            _ => {
                self.looks.rotate_left(1);
                if let Some(latest) = self.looks.last_mut() {
                    *latest = Some(Known {
                        look: *look,
                        known: look.at,
                    });
                }
            }
        }
    }

    /// A contraction waits from `now` on; `false` when another one does.
    pub(super) fn wait(&mut self, contraction: &Contraction, now: LslTime) -> bool {
        self.contraction_seq = Some(contraction.seq);
        if self.waits() {
            return false;
        }
        self.waiting = Some((*contraction, now));
        true
    }

    /// Lets go of a contraction that has waited for too long; `true` when there was one.
    pub(super) fn expire(&mut self, now: LslTime) -> bool {
        self.waiting
            .take_if(|(_, since)| now.since(*since) > WAIT_S)
            .is_some()
    }

    /// The contraction that waited, when gaze has been told far enough, and the option that the eyes rested on before it.
    ///
    /// That is the latest look that began before it, when it was known in time, began at this fork (`opened`), went on or ended at most
    /// `reach_s` before, and was at an option.
    pub(super) fn due(
        &mut self,
        opened: LslTime,
        reach_s: f64,
    ) -> Option<(Contraction, Option<usize>)> {
        let told = self.told?;
        let far_enough =
            |waiting: &mut (Contraction, LslTime)| told.since(waiting.0.onset) >= SETTLED_S;
        let (contraction, _) = self.waiting.take_if(far_enough)?;
        let onset = contraction.onset;
        let before =
            |known: &&Known| known.look.onset < onset && known.known.since(onset) <= SETTLED_S;
        let look = self.looks.iter().rev().flatten().find(before);
        let named = look.filter(|Known { look, .. }| {
            let reached = !look.over || onset.since(look.last) <= reach_s;
            look.onset >= opened && reached
        });
        Some((contraction, named.and_then(|known| known.look.item)))
    }
}

impl Gate {
    /// Takes where the eyes rested, checked as evidence is. It moves no posterior; a contraction that waited for it may.
    pub fn look(&mut self, look: &Look, now: LslTime) -> Verdict {
        let last_seq = self.resolving.look_seq();
        if let Err(verdict) = self.admit(&Told::Look(*look), last_seq, now) {
            return verdict;
        }
        self.resolving.look(look);
        self.counters.looks = self.counters.looks.saturating_add(1);
        self.resolve()
    }

    /// Takes a contraction, checked as evidence is. It becomes evidence for the option that the eyes rested on before it, at once or as soon
    /// as gaze has been told far enough; while another one waits it is not heard.
    pub fn contraction(&mut self, contraction: &Contraction, now: LslTime) -> Verdict {
        let last_seq = self.resolving.contraction_seq();
        if let Err(verdict) = self.admit(&Told::Contraction(*contraction), last_seq, now) {
            return verdict;
        }
        if !contraction.llr_nats.is_finite() {
            return self.end(State::Aborted(AbortReason::NonFinite));
        }
        if contraction.onset < self.opened_at {
            self.counters.before_open = self.counters.before_open.saturating_add(1);
            return self.verdict();
        }
        if !self.resolving.wait(contraction, self.now) {
            self.counters.unplaced = self.counters.unplaced.saturating_add(1);
            return self.verdict();
        }
        self.resolve()
    }

    /// Lets a contraction speak for which gaze has been told far enough.
    pub(super) fn resolve(&mut self) -> Verdict {
        if self.state != State::Evidence {
            return self.verdict();
        }
        let reach_s = self.settings.config().contraction.reach_s;
        let Some((contraction, item)) = self.resolving.due(self.opened_at, reach_s) else {
            return self.verdict();
        };
        match item.filter(|item| *item < self.options) {
            Some(item) => self.take(&Evidence::contraction(&contraction, item)),
            None => {
                self.counters.unplaced = self.counters.unplaced.saturating_add(1);
                self.verdict()
            }
        }
    }

    /// Whether a contraction waits for gaze.
    #[must_use]
    pub const fn contraction_waits(&self) -> bool {
        self.resolving.waits()
    }
}
