//! Gaze evidence made again: tiles come to the gaze line before the samples that they came before, with the shift that confirmed
//! choices had led to.

use std::collections::{HashSet, VecDeque};

use razvilka_dsp::units::LslTime;

use super::signals::{GAZE, Known, Remade, Restarts};
use crate::engine::conduct::tiles_of;
use crate::engine::drift::{Confirmed, GazeDrift, GazeStep};
use crate::fork::ForkId;
use crate::gate::Told;
use crate::marker::{Event, Marker};
use crate::pipeline::decision::Made;
use crate::pipeline::gaze::{
    GazeLine, Tiles, blink_evidence, gaze_evidence, look_told, pupil_evidence,
};
use crate::source::StreamSpec;

pub(super) struct GazeFeed<'a> {
    line: GazeLine,
    drift: Option<GazeDrift>,
    /// Steps that are to come, in order.
    steps: VecDeque<&'a GazeStep>,
    /// Looks that something is learnt from.
    lessons: HashSet<(ForkId, u64)>,
    known: &'a Known,
    channels: usize,
    tiles: VecDeque<Tiles>,
    restarts: Restarts,
}

impl<'a> GazeFeed<'a> {
    pub(super) fn new(
        line: GazeLine,
        drift: Option<GazeDrift>,
        spec: &StreamSpec,
        markers: &[(f64, Marker)],
        known: &'a Known,
    ) -> Self {
        let opened = markers
            .iter()
            .filter_map(|(stamp, marker)| match marker.body {
                Event::ForkOpen { fork, .. } => Some((*stamp, ForkId(fork))),
                _ => None,
            });
        let announced = opened.filter_map(|(appears_s, fork)| {
            let (row, options) = known.forks.get(&fork)?;
            let offset_s = row.gaze_clock?.offset_s;
            let tiles: Vec<_> = options.iter().map(|option| option.tile.clone()).collect();
            let appears = LslTime::new(appears_s).ok()?;
            Some(tiles_of(fork, &tiles, row.lease, appears, offset_s))
        });
        // As live: tiles that have not gone up yet give way to later ones that go up before them.
        let mut tiles: VecDeque<Tiles> = VecDeque::new();
        for next in announced {
            while tiles
                .back()
                .is_some_and(|before| before.from_s >= next.from_s)
            {
                tiles.pop_back();
            }
            tiles.push_back(next);
        }
        let steps = known.gaze_steps.iter();
        let lessons = steps.clone().flat_map(|step| &step.lessons);
        let lessons = lessons.flat_map(|l| l.looks.iter().map(|look| (l.fork, *look)));
        Self {
            line,
            drift,
            steps: steps.collect(),
            lessons: lessons.collect(),
            known,
            channels: spec.labels.len().max(1),
            tiles,
            restarts: Restarts::of(known, GAZE),
        }
    }

    pub(super) fn block(&mut self, stamps: &[f64], values: &[f32], remade: &mut Remade) {
        for (stamp, sample) in stamps.iter().zip(values.chunks_exact(self.channels)) {
            if self.restarts.begins_anew() {
                self.line.restart();
            }
            while let Some(mut tiles) = self.tiles.pop_front_if(|tiles| tiles.from_s <= *stamp) {
                tiles.shift_deg = self.follow_until(Some(tiles.fork), remade);
                self.line.put_up(tiles, None);
            }
            let word = self.line.sample(*stamp, sample);
            if let (Some(look), Some(drift)) = (self.line.look(), &mut self.drift)
                && self.lessons.contains(&(look.fork, look.number))
            {
                drift.hear(look);
            }
            while let Some(word) = self.line.take_look() {
                if let Some(told) = look_told(&word) {
                    remade.keep(told);
                }
            }
            if let Some(word) = word
                && let Some(evidence) = gaze_evidence(&word)
            {
                let sample = word.sample;
                remade.keep((Told::Evidence(evidence), Made::Gaze { sample }));
            }
            if let Some(word) = self.line.take_blink()
                && let Some((evidence, made)) = blink_evidence(&word)
            {
                remade.keep((Told::Evidence(evidence), made));
            }
            if let Some(word) = self.line.take_pupil()
                && let Some((evidence, made)) = pupil_evidence(&word)
            {
                remade.keep((Told::Evidence(evidence), made));
            }
        }
    }

    /// Learns again what was learnt up to the opening of this fork, or to the end. Gives what is added to gaze from then on.
    pub(super) fn follow_until(&mut self, fork: Option<ForkId>, remade: &mut Remade) -> (f64, f64) {
        let due = |step: &mut &GazeStep| fork.is_none_or(|fork| step.fork <= fork);
        while let Some(recorded) = self.steps.pop_front_if(due) {
            let lessons = recorded.lessons.iter();
            let confirmed: Vec<Confirmed> = lessons
                .filter_map(|lesson| {
                    let (_, options) = self.known.forks.get(&lesson.fork)?;
                    let mut options = options.iter();
                    let option = options.find(|option| option.tile.item == lesson.chosen)?;
                    Some(Confirmed {
                        fork: lesson.fork,
                        tile: option.tile.clone(),
                        looks: lesson.looks.clone(),
                    })
                })
                .collect();
            let drift = self.drift.as_mut();
            let step = drift.and_then(|drift| {
                drift.take_back(recorded.taken_back);
                drift.step(recorded.fork, &confirmed)
            });
            remade.gaze_steps.insert(recorded.fork, step);
        }
        let drift = self.drift.as_ref();
        drift.map_or((0.0, 0.0), GazeDrift::shift_deg)
    }
}
