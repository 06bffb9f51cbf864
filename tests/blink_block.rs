//! Blinks on cue teach a calibration what the electrodes see of a blink: a simulated person who blinks a lot, with and
//! without the block. The markers are those of a live calibration.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

#[path = "calibrate_recordings/made.rs"]
#[allow(dead_code, reason = "shared with another test")]
mod made;

use std::path::Path;

use made::{Folder, HEADER, Noise, calibrate, columns, score};
use razvilka::marker::{BlockKind, Event, Marker, OptionKind, OptionTile};
use razvilka::recording::xdf::Writer;
use razvilka::sim::{Laboratory, Preset, SimOutput, SimSettings};
use razvilka::source::Format;
use razvilka_calibration::auc;

const ITEMS: i32 = 6;
const RUNS: u32 = 10;

/// Six items around the centre.
fn tiles() -> Vec<OptionTile> {
    (0..ITEMS)
        .map(|item| OptionTile {
            item,
            kind: OptionKind::Item,
            text: item.to_string(),
            x_deg: 5.0 * f64::from(item % 3 - 1),
            y_deg: 5.0 * (f64::from(item / 3) - 0.5),
            w_deg: 3.0,
            h_deg: 3.0,
        })
        .collect()
}

/// The person, and what is written of it.
struct Sitting {
    laboratory: Laboratory,
    settings: SimSettings,
    now_s: f64,
    seq: u64,
    stamps: Vec<f64>,
    data: Vec<f32>,
    marks: Vec<(f64, String)>,
    next_blink_s: f64,
    noise: Noise,
}

impl Sitting {
    fn new(seed: u64) -> Self {
        let settings = SimSettings {
            seed,
            preset: Preset::Typical,
            channels: SimSettings::montage(9),
            ..SimSettings::default()
        };
        assert!(settings.channels.iter().any(|label| label == "Fp1"));
        Self {
            laboratory: Laboratory::new(&settings, 100.0).unwrap(),
            settings,
            now_s: 100.0,
            seq: 0,
            stamps: Vec::new(),
            data: Vec::new(),
            marks: Vec::new(),
            next_blink_s: 100.0,
            noise: Noise(3),
        }
    }

    fn tell(&mut self, body: Event) -> String {
        let marker = Marker {
            seq: self.seq,
            body,
        };
        self.seq += 1;
        self.laboratory.hear(self.now_s, &marker);
        marker.to_json()
    }

    fn say(&mut self, body: Event) {
        let text = self.tell(body);
        self.marks.push((self.now_s, text));
    }

    /// Time passes, in which the person blinks every 2 s or so of its own accord: nobody writes that down.
    fn wait(&mut self, seconds: f64) {
        if self.now_s >= self.next_blink_s {
            self.tell(Event::Blink);
            self.next_blink_s = self.now_s + 1.5 + self.noise.gauss().abs();
        }
        self.now_s += seconds;
        let (stamps, data) = (&mut self.stamps, &mut self.data);
        self.laboratory.advance(self.now_s, &mut |output| {
            if let SimOutput::Eeg {
                stamp_s,
                microvolts,
            } = output
            {
                stamps.push(stamp_s);
                data.extend_from_slice(microvolts);
            }
        });
    }

    fn blinks(&mut self) {
        self.wait(1.0);
        let kind = BlockKind::Blink;
        self.say(Event::Block { kind });
        for _ in 0..8 {
            self.wait(1.5);
            self.say(Event::Blink);
        }
        self.wait(1.5);
        self.say(Event::BlockEnd);
    }

    /// Cued runs; the truth of each flash.
    fn runs(&mut self) -> Vec<bool> {
        let mut truth = Vec::new();
        self.wait(1.0);
        for run in 0..RUNS {
            let cued = (run * 5 + 1) as i32 % ITEMS;
            self.say(Event::Cue {
                run,
                item: cued,
                options: tiles(),
            });
            self.wait(1.0);
            for flash in 0..48 {
                // Each round in another order, no item twice in a row.
                let item = (flash * 5 + flash / ITEMS) % ITEMS;
                truth.push(item == cued);
                self.say(Event::Flash {
                    item,
                    target: Some(u8::from(item == cued)),
                    run: Some(run),
                    fork: None,
                    stamp: None,
                });
                self.wait(0.18);
            }
            self.wait(1.0);
            self.say(Event::CueEnd { run });
        }
        truth
    }

    /// Writes what has come since the last time.
    fn write(&mut self, file: &str) {
        let mut writer = Writer::create(Path::new(file)).unwrap();
        let labels: Vec<&str> = self.settings.channels.iter().map(String::as_str).collect();
        let rate_hz = self.settings.eeg_rate_hz;
        let eeg = made::spec("amp", "EEG", rate_hz, Format::Float32, &labels);
        let eeg = writer.add_stream(&eeg).unwrap();
        let marks = made::spec("marks", "Markers", 0.0, Format::String, &["marker"]);
        let marks = writer.add_stream(&marks).unwrap();
        writer.floats(eeg, &self.stamps, &self.data).unwrap();
        let (at, texts): (Vec<f64>, Vec<String>) = self.marks.drain(..).unzip();
        writer.texts(marks, &at, &texts).unwrap();
        writer.finish().unwrap();
        (self.stamps, self.data) = (Vec::new(), Vec::new());
    }
}

#[test]
fn a_block_of_blinks_saves_flashes_of_a_person_who_blinks_a_lot() {
    let (mut before, mut after) = ([0.0; 2], [0.0; 2]);
    for seed in [5, 6, 7] {
        let folder = Folder::new();
        let [train, test] = ["train.xdf", "test.xdf"].map(|name| folder.path(name));
        let mut sitting = Sitting::new(seed);
        sitting.blinks();
        sitting.runs();
        sitting.write(&train);
        let truth = sitting.runs();
        sitting.write(&test);
        let judge = |name: &str, option: &[&str]| {
            let out = folder.path(name);
            let mut line = vec!["--xdf", &train, "--out", &out];
            line.extend(option);
            let (profile, talk) = calibrate(&line).unwrap();
            let eeg = profile.eeg.unwrap();
            let file = format!("{out}/profile.json");
            let csv = score(&["p300", "--calibration", &file, "--xdf", &test]).unwrap();
            let columns = columns(&csv, HEADER);
            assert_eq!(columns[0].len(), truth.len());
            let silent = |p: &&f64| (**p - eeg.base_rate).abs() < 1e-9;
            let with_evidence = truth.len() - columns[2].iter().filter(silent).count();
            let value = auc(&columns[1], &truth).unwrap().value;
            println!(
                "seed {seed}, {name}: AUC {value:.4}, {with_evidence} of {} flashes with evidence, {} epochs to fit on",
                truth.len(),
                eeg.metrics.epochs
            );
            ([value, with_evidence as f64], eeg.blinks, talk)
        };
        let (left_in, none, _) = judge("left in", &["--blink-channel", "none"]);
        let (taken_out, blinks, talk) = judge("taken out", &[]);
        assert!(none.is_none());
        let fp1 = sitting.settings.channels.iter().position(|l| l == "Fp1");
        assert_eq!(blinks.map(|b| b.reference()), fp1, "{talk}");
        assert!(talk.contains("found in Fp1, taken out"), "{talk}");
        for k in 0..2 {
            before[k] += left_in[k];
            after[k] += taken_out[k];
        }
    }
    println!("sum of AUC and flashes with evidence: {before:?} left in, {after:?} taken out");
    assert!(after[1] > 1.02 * before[1], "{before:?}, {after:?}");
    assert!(after[0] > before[0] - 0.03, "{before:?}, {after:?}");
}
