//! P300 evidence made again: flashes, exchanges and lessons come to the EEG line before the samples that they came before.

use std::collections::{HashSet, VecDeque};

use razvilka_calibration::EegCalibration;
use razvilka_dsp::mask::ChannelMask;
use razvilka_dsp::units::LslTime;

use super::ReplayError;
use super::happened::Exchange;
use super::signals::{EEG, Known, Remade, Restarts};
use crate::engine::adapting::{Adaptation, Adapting, RefitJob};
use crate::engine::lines;
use crate::fork::ForkId;
use crate::gate::Told;
use crate::marker::{Event, Marker};
use crate::pipeline::contractions::{Asked, contraction_told};
use crate::pipeline::eeg::{EegLine, NewScorer, flash_evidence};
use crate::pipeline::features::FeatureDrain;
use crate::pipeline::presenter::{FlashId, FlashNotice};
use crate::source::StreamSpec;

/// What the EEG line is told before the sample with this stamp.
enum EegOrder<'a> {
    /// Another scorer.
    Exchange(Exchange),
    /// What was confirmed is learnt, as this event says.
    Learn(&'a Adaptation),
    /// A flash.
    Flash(FlashNotice),
}

pub(super) struct EegFeed<'a> {
    line: EegLine,
    features: FeatureDrain,
    adapting: Adapting,
    refit: Option<RefitJob>,
    /// Flashes that something is learnt from.
    lessons: HashSet<(ForkId, u32)>,
    channels: usize,
    used_channels: usize,
    /// With the stamp of the flash that each comes with, on the stream's clock.
    orders: VecDeque<(f64, EegOrder<'a>)>,
    /// Forks as they went up, for contractions.
    asked: VecDeque<Asked>,
    restarts: Restarts,
    known: &'a Known,
}

impl<'a> EegFeed<'a> {
    pub(super) fn new(
        mut line: EegLine,
        calibration: &EegCalibration,
        adapting: Adapting,
        spec: &StreamSpec,
        markers: &[(f64, Marker)],
        known: &'a Known,
    ) -> Self {
        let features = lines::features_of(calibration, &mut line);
        let lessons = known.adaptations.iter().flat_map(|step| &step.lessons);
        let lessons = lessons
            .flat_map(|lesson| {
                let answered = &lesson.answered;
                answered
                    .flashes
                    .iter()
                    .map(|number| (answered.fork, *number))
            })
            .collect();
        let mut orders = VecDeque::new();
        let mut changes = changes_of(known).into_iter().peekable();
        for (stamp, marker) in markers {
            let Event::Flash {
                item,
                fork: Some(fork),
                ..
            } = marker.body
            else {
                continue;
            };
            let fork = ForkId(fork);
            let Some((row, _)) = known.forks.get(&fork) else {
                continue;
            };
            let Some(clock) = row.eeg_clock else { continue };
            let onset_s = stamp - clock.offset_s;
            // Within a fork, in time for the first flash that it is meant for.
            let due = |change: &(ForkId, EegOrder<'_>)| match change {
                (of, EegOrder::Exchange(exchange)) if *of == fork => {
                    exchange.from_s.is_none_or(|from_s| from_s <= onset_s)
                }
                (of, _) => *of <= fork,
            };
            while let Some((_, change)) = changes.next_if(due) {
                orders.push_back((onset_s, change));
            }
            // As the presenter packs them: the last bits of both.
            let id = FlashId::new(fork, marker.seq as u32, item as u8);
            let notice = FlashNotice {
                id,
                onset_s,
                offset_s: clock.offset_s,
                lease: row.lease,
            };
            orders.push_back((onset_s, EegOrder::Flash(notice)));
        }
        // Of forks that were opened and saw no flash: learnt all the same.
        orders.extend(changes.map(|(_, change)| (f64::INFINITY, change)));
        let used_channels = line.path().spec().channels;
        Self {
            line,
            features,
            adapting,
            refit: None,
            lessons,
            channels: spec.labels.len().max(1),
            used_channels,
            orders,
            asked: asked_of(markers, known),
            restarts: Restarts::of(known, EEG),
            known,
        }
    }

    pub(super) fn flashes(&self) -> u64 {
        let flashes = self
            .orders
            .iter()
            .filter(|(_, order)| matches!(order, EegOrder::Flash(_)));
        flashes.count() as u64
    }

    pub(super) fn block(
        &mut self,
        stamps: &[f64],
        values: &[f32],
        remade: &mut Remade,
    ) -> Result<(), ReplayError> {
        for (stamp, sample) in stamps.iter().zip(values.chunks_exact(self.channels)) {
            if self.restarts.begins_anew() {
                self.line.restart();
            }
            while let Some(asked) = self.asked.pop_front_if(|asked| asked.from_s <= *stamp) {
                self.line.put_up(asked, None);
            }
            let _ = self.line.offer_waiting();
            while let Some((_, order)) = self.orders.pop_front_if(|(onset_s, _)| *onset_s <= *stamp)
            {
                match order {
                    EegOrder::Exchange(exchange) => {
                        self.exchange(&exchange.bad_channels, exchange.from_s)?;
                    }
                    EegOrder::Learn(recorded) => {
                        self.learn(recorded, remade);
                        if recorded.exchanged {
                            self.exchange(&recorded.bad_channels, None)?;
                        }
                    }
                    // One that is refused gives no evidence, here as there.
                    EegOrder::Flash(notice) => {
                        let _ = self.line.flash(&notice);
                        self.hear();
                    }
                }
            }
            self.line.sample(*stamp, sample);
            self.hear();
            while let Some(found) = self.line.pop() {
                let Some((row, _)) = self.known.forks.get(&found.id.fork()) else {
                    continue;
                };
                let offset_s = row.eeg_clock.map_or(0.0, |clock| clock.offset_s);
                let Ok(at) = LslTime::new(found.scored.last_s + offset_s) else {
                    continue;
                };
                let evidence = flash_evidence(&found, row.lease, at);
                remade.keep((Told::Evidence(evidence), found.made()));
            }
            let contraction = self.line.take_contraction();
            if let Some(told) = contraction.and_then(|word| contraction_told(&word)) {
                remade.keep(told);
            }
        }
        Ok(())
    }

    /// The scorer of the present calibration without these channels takes over.
    fn exchange(&mut self, bad: &ChannelMask, from_s: Option<f64>) -> Result<(), ReplayError> {
        let kept: Vec<bool> = (0..self.used_channels)
            .map(|channel| !bad.contains(channel))
            .collect();
        let (scorer, density) = self
            .adapting
            .calibration()
            .restrict(&kept)
            .map_err(lines::LineError::from)?;
        let _ = self.line.set_scorer(NewScorer {
            scorer,
            density,
            from_s,
        });
        Ok(())
    }

    /// Keeps what will be learnt from.
    fn hear(&mut self) {
        while let Some(epoch) = self.features.take() {
            if self.lessons.contains(&(epoch.id.fork(), epoch.id.number())) {
                self.adapting.hear(epoch);
            }
        }
    }

    /// Learns again what was learnt, in the same order.
    fn learn(&mut self, recorded: &Adaptation, remade: &mut Remade) {
        let lessons = recorded.lessons.iter();
        let confirmed: Vec<_> = lessons.map(|lesson| lesson.answered.clone()).collect();
        let ready = recorded.refit.as_ref().and_then(|_| self.refit.take());
        let done = ready.map(RefitJob::run);
        let bad = recorded.bad_channels;
        let mut step = self.adapting.step(recorded.fork, bad, &confirmed, done);
        if recorded.refit_begun {
            self.refit = self.adapting.refit_due();
        }
        if let Some(step) = &mut step {
            step.exchanged = recorded.exchanged;
            step.refit_begun = recorded.refit_begun && self.refit.is_some();
            // Epochs that were not there cannot be told from those that were never asked for.
            for (again, lesson) in step.lessons.iter_mut().zip(&recorded.lessons) {
                again.missed += lesson.missed;
            }
        }
        remade.adaptations.insert(recorded.fork, step);
    }

    /// What was learnt after the last sample.
    pub(super) fn finish(&mut self, remade: &mut Remade) {
        for (_, order) in std::mem::take(&mut self.orders) {
            if let EegOrder::Learn(recorded) = order {
                self.learn(recorded, remade);
            }
        }
    }
}

/// The forks whose tiles went up, for contractions. As live: one that has not gone up yet gives way to a later one that goes up before it.
fn asked_of(markers: &[(f64, Marker)], known: &Known) -> VecDeque<Asked> {
    let mut all: VecDeque<Asked> = VecDeque::new();
    for (appears_s, marker) in markers {
        let Event::ForkOpen { fork, .. } = marker.body else {
            continue;
        };
        let fork = ForkId(fork);
        let row = known.forks.get(&fork).map(|(row, _)| row);
        let Some((row, clock)) = row.and_then(|row| Some((row, row.eeg_clock?))) else {
            continue;
        };
        let Ok(appears) = LslTime::new(*appears_s) else {
            continue;
        };
        let next = Asked::at(fork, row.lease, appears, clock.offset_s);
        while all
            .back()
            .is_some_and(|before| before.from_s >= next.from_s)
        {
            all.pop_back();
        }
        all.push_back(next);
    }
    all
}

/// Exchanges and lessons in the order of their forks; where both came at one opening, the lesson brought the scorer.
fn changes_of(known: &Known) -> Vec<(ForkId, EegOrder<'_>)> {
    let learnt = |fork: ForkId| {
        let at = |step: &&Adaptation| step.fork == fork && step.exchanged;
        known.adaptations.iter().find(at).is_some()
    };
    let exchanges = known.exchanges.iter();
    let exchanges =
        exchanges.filter(|exchange| exchange.from_s.is_some() || !learnt(exchange.fork));
    let steps = known.adaptations.iter();
    let mut changes: Vec<_> = steps
        .map(|step| (step.fork, EegOrder::Learn(step)))
        .chain(exchanges.map(|exchange| (exchange.fork, EegOrder::Exchange(*exchange))))
        .collect();
    // A stable order: of one fork, the lesson comes first, and what came within it last.
    changes.sort_by_key(|(fork, _)| *fork);
    changes
}
