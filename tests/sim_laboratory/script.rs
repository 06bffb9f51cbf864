//! A stand-in for the engine: markers at given stamps, and everything the laboratory puts out.

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use razvilka::marker::{Event, Key, Marker, OptionKind, OptionTile, Outcome};
use razvilka::sim::{ForkTruth, Heard, Laboratory, SimOutput, SimSettings};

/// Every test begins at this time on the laboratory's clock.
pub(crate) const START_S: f64 = 1000.0;

/// Time from flash to flash.
pub(crate) const SOA_S: f64 = 0.15;

/// Markers with their stamps, seconds since the start.
#[derive(Debug, Clone, Default)]
pub(crate) struct Script {
    pub(crate) markers: Vec<(f64, Marker)>,
}

impl Script {
    pub(crate) fn say(&mut self, at_s: f64, body: Event) -> &mut Self {
        let seq = self.markers.len() as u64;
        self.markers.push((at_s, Marker { seq, body }));
        self
    }

    /// A cued block: the cue, then after 1.5 s `flashes` flashes in shuffled rounds without immediate repeats.
    /// Returns when the block is over.
    pub(crate) fn cued_block(&mut self, at_s: f64, run: u32, target: i32, flashes: usize) -> f64 {
        let options = grid();
        let items: Vec<i32> = options.iter().map(|o| o.item).collect();
        self.say(
            at_s,
            Event::Cue {
                run,
                item: target,
                options,
            },
        );
        let mut rng = ChaCha8Rng::seed_from_u64(u64::from(run));
        let mut order: Vec<i32> = Vec::new();
        while order.len() < flashes {
            let mut round = items.clone();
            round.shuffle(&mut rng);
            if order.last() != round.first() {
                order.extend(round);
            }
        }
        let mut t = at_s + 1.5 + 0.01 * rng.random::<f64>();
        for item in order.into_iter().take(flashes) {
            self.say(
                t,
                Event::Flash {
                    item,
                    target: Some(u8::from(item == target)),
                    run: Some(run),
                    fork: None,
                    stamp: None,
                },
            );
            t += SOA_S;
        }
        self.say(t + 0.5, Event::CueEnd { run });
        t + 1.5
    }

    /// A fork that stays open for `open_s`, without flashes, and ends as told. Returns when it is over.
    pub(crate) fn fork(
        &mut self,
        at_s: f64,
        fork: u64,
        options: &[OptionTile],
        open_s: f64,
        item: Option<i32>,
    ) -> f64 {
        self.say(
            at_s,
            Event::ForkOpen {
                fork,
                context: "The fox went to the river.".into(),
                options: options.to_vec(),
                timeout_s: 20.0,
            },
        );
        self.say(
            at_s + open_s,
            Event::ForkClose {
                fork,
                outcome: if item.is_some() {
                    Outcome::Committed
                } else {
                    Outcome::Declined
                },
                item,
            },
        );
        at_s + open_s + 1.0
    }
}

/// Six calibration items, two rows of three.
pub(crate) fn grid() -> Vec<OptionTile> {
    (0..6)
        .map(|item| OptionTile {
            item,
            kind: OptionKind::Item,
            text: format!("item {item}"),
            x_deg: f64::from(item % 3) * 12.0 - 12.0,
            y_deg: f64::from(item / 3) * 8.0 - 2.0,
            w_deg: 9.0,
            h_deg: 4.0,
        })
        .collect()
}

/// An option of a fork.
pub(crate) fn tile(item: i32, kind: OptionKind, text: &str) -> OptionTile {
    OptionTile {
        item,
        kind,
        text: text.into(),
        x_deg: f64::from(item % 3) * 12.0 - 12.0,
        y_deg: f64::from(item / 3) * 8.0,
        w_deg: 10.0,
        h_deg: 4.0,
    }
}

/// Three branches, `other`, `undo` and `go on`.
pub(crate) fn six_options() -> Vec<OptionTile> {
    vec![
        tile(0, OptionKind::Branch, "the dragon burned the village"),
        tile(1, OptionKind::Branch, "the merchant bought a ship"),
        tile(2, OptionKind::Branch, "the child found a key"),
        tile(3, OptionKind::Other, "other"),
        tile(4, OptionKind::Undo, "undo"),
        tile(5, OptionKind::GoOn, "go on"),
    ]
}

/// What the laboratory put out. Times are seconds since the start.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Recording {
    pub(crate) eeg_s: Vec<f64>,
    pub(crate) eeg: Vec<Vec<f32>>,
    pub(crate) gaze_s: Vec<f64>,
    pub(crate) gaze: Vec<[f32; 3]>,
    pub(crate) keys: Vec<(f64, Key)>,
    pub(crate) truth: Vec<ForkTruth>,
}

impl Recording {
    /// One EEG channel.
    pub(crate) fn channel(&self, settings: &SimSettings, label: &str) -> Vec<f64> {
        let c = settings.channels.iter().position(|l| l == label).unwrap();
        self.eeg.iter().map(|sample| f64::from(sample[c])).collect()
    }

    /// Gaze in degrees; `None` where the eye was not seen.
    pub(crate) fn degrees(&self, settings: &SimSettings) -> Vec<Option<(f64, f64)>> {
        self.gaze
            .iter()
            .map(|g| {
                (g[2] > 0.0).then(|| settings.screen.to_degrees(f64::from(g[0]), f64::from(g[1])))
            })
            .collect()
    }

    /// Every value's bits, so that NaN equals NaN.
    pub(crate) fn bits(&self) -> Vec<u64> {
        let eeg = self.eeg.iter().flatten().map(|v| u64::from(v.to_bits()));
        let gaze = self.gaze.iter().flatten().map(|v| u64::from(v.to_bits()));
        let stamps = self.eeg_s.iter().chain(&self.gaze_s).map(|v| v.to_bits());
        eeg.chain(gaze).chain(stamps).collect()
    }

    fn take(&mut self, output: SimOutput<'_>) {
        match output {
            SimOutput::Eeg {
                stamp_s,
                microvolts,
            } => {
                self.eeg_s.push(stamp_s - START_S);
                self.eeg.push(microvolts.to_vec());
            }
            SimOutput::Gaze { stamp_s, gaze } => {
                self.gaze_s.push(stamp_s - START_S);
                self.gaze.push(gaze.try_into().unwrap());
            }
            SimOutput::Key { stamp_s, key } => self.keys.push((stamp_s - START_S, key)),
            SimOutput::Truth(fork) => self.truth.push(fork),
        }
    }
}

/// Plays a script in steps of `step_s`; each marker is told `late_s` after its stamp, before the step that ends there.
pub(crate) fn play(
    settings: &SimSettings,
    script: &Script,
    for_s: f64,
    step_s: f64,
    late_s: f64,
) -> Recording {
    let mut laboratory = Laboratory::new(settings, START_S).unwrap();
    let mut recording = Recording::default();
    let mut told = 0;
    let mut steps = 0_u64;
    loop {
        let now_s = (steps as f64 * step_s).min(for_s);
        laboratory.advance(START_S + now_s, &mut |output| recording.take(output));
        if now_s >= for_s {
            return recording;
        }
        let next_s = now_s + step_s;
        while let Some((at_s, marker)) = script.markers.get(told)
            && at_s + late_s < next_s
        {
            laboratory.advance(START_S + at_s + late_s, &mut |output| {
                recording.take(output);
            });
            assert_eq!(laboratory.hear(START_S + at_s, marker), Heard::InTime);
            told += 1;
        }
        steps += 1;
    }
}

/// Plays a script in one go of 10 ms steps.
pub(crate) fn record(settings: &SimSettings, script: &Script, for_s: f64) -> Recording {
    play(settings, script, for_s, 0.01, 0.0)
}
