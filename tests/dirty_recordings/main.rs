//! Dirty variants of real recordings through `calibrate` and `score p300`: railed and floating channels, DC, drift, NaN,
//! gaps, doubled and late samples. Real data are not part of the repository: without ../shared/data the tests say that they skip.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod bursts;
#[path = "../calibrate_recordings/made.rs"]
#[allow(dead_code, reason = "shared with another test")]
mod made;
mod refused;

use std::path::{Path, PathBuf};

use made::{Folder, HEADER, Noise, calibrate, columns, score};
use razvilka::cli::recorded::{Recorded, Streams, stamp_rule};
use razvilka::recording::xdf::Writer;
use razvilka::recording::{RecordedStream, Recording};
use razvilka_calibration::auc;
use razvilka_dsp::stamps::{StampGuard, StampRule, StampVerdict};
use razvilka_dsp::units::Hertz;

fn shared(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../shared/data/p300")
        .join(name);
    if !path.is_file() {
        println!("skipped: {} is not there", path.display());
        return None;
    }
    Some(path)
}

/// Three people, each with what to train and what to test on; ends at the first recording that is not there.
fn people() -> impl Iterator<Item = (&'static str, PathBuf, PathBuf)> {
    ["S1", "S2", "S3"].into_iter().map_while(|person| {
        let train = shared(&format!("gtec5_{person}_train.xdf"))?;
        let test = shared(&format!("gtec5_{person}_test.xdf"))?;
        Some((person, train, test))
    })
}

/// The samples of a recording's EEG, to be spoilt.
struct Eeg {
    stamps: Vec<f64>,
    rows: Vec<Vec<f32>>,
    rate_hz: f64,
}

/// Reads a recording, lets `spoil` at its EEG, and writes it again with its markers.
fn dirty(from: &Path, to: &str, mut spoil: impl FnMut(&mut Eeg)) {
    let recording = Recording::open(from).unwrap();
    let numeric = |s: &&RecordedStream| s.spec.kind.eq_ignore_ascii_case("eeg");
    let eeg = recording.streams.iter().find(numeric).unwrap();
    let marks = recording.streams.iter().find(|s| !numeric(s)).unwrap();
    let mut spoilt = Eeg {
        stamps: eeg.stamps.clone(),
        rows: (0..eeg.len())
            .map(|i| eeg.numbers(i).unwrap().iter().map(|x| *x as f32).collect())
            .collect(),
        rate_hz: eeg.spec.rate_hz,
    };
    spoil(&mut spoilt);
    // A variant before this one may be there.
    let _ = std::fs::remove_file(to);
    let mut writer = Writer::create(Path::new(to)).unwrap();
    let a = writer.add_stream(&eeg.spec).unwrap();
    let b = writer.add_stream(&marks.spec).unwrap();
    writer
        .floats(a, &spoilt.stamps, &spoilt.rows.concat())
        .unwrap();
    let (at, texts): (Vec<f64>, Vec<String>) = marks
        .markers()
        .map(|(t, text)| (t, text.to_owned()))
        .unzip();
    writer.texts(b, &at, &texts).unwrap();
    writer.finish().unwrap();
}

/// 60 to 84 mV of DC on every channel, each drifting by a millivolt a minute.
fn dc(eeg: &mut Eeg) {
    let rate_hz = eeg.rate_hz;
    for (i, row) in eeg.rows.iter_mut().enumerate() {
        let minutes = i as f64 / rate_hz / 60.0;
        for (c, x) in row.iter_mut().enumerate() {
            let offset_uv = 60_000.0 + 3_400.0 * c as f64;
            *x += (offset_uv + 1_000.0 * minutes * if c % 2 == 0 { 1.0 } else { -1.0 }) as f32;
        }
    }
}

/// Channel 2 stands at the rail, channel 5 is clipped at both now and again, channel 6 floats and drifts by volts.
fn three_rails(eeg: &mut Eeg, rail_uv: f32) {
    let mut noise = Noise(5);
    let mut drift = 0.0;
    for (i, row) in eeg.rows.iter_mut().enumerate() {
        row[1] = rail_uv;
        let swing = 3.0 * rail_uv.abs() * (i as f32 * 0.011).sin();
        row[4] = (row[4] + swing).clamp(-rail_uv.abs(), rail_uv.abs());
        drift += 900.0 * noise.gauss();
        row[5] = (drift as f32).clamp(-400_000.0, 400_000.0);
    }
}

/// AUC of `score p300` on the flashes it scored, how many those are, and what was said at calibration.
fn judged(folder: &Folder, name: &str, train: &str, test: &str) -> (f64, usize, String, Vec<bool>) {
    let (talk, used) = fitted(folder, name, train);
    let (value, scored) = scored(folder, name, test);
    (value, scored, talk, used)
}

/// What was said at calibration, and which channels it uses.
fn fitted(folder: &Folder, name: &str, train: &str) -> (String, Vec<bool>) {
    let (profile, talk) = calibrate(&["--xdf", train, "--out", &folder.path(name)]).unwrap();
    (talk, profile.eeg.unwrap().lda.used)
}

/// AUC of the flashes that a calibration of this name scored, and how many those are.
fn scored(folder: &Folder, name: &str, test: &str) -> (f64, usize) {
    let profile_file = format!("{}/profile.json", folder.path(name));
    let csv = score(&["p300", "--calibration", &profile_file, "--xdf", test]).unwrap();
    let columns = columns(&csv, HEADER);
    let flashes = Recorded::open(Path::new(test), &Streams::default())
        .unwrap()
        .flashes();
    let truth: Vec<bool> = columns[0]
        .iter()
        .map(|onset_s| {
            let near = |f: &&razvilka::cli::recorded::Flash| (f.onset_s - onset_s).abs() < 1e-6;
            flashes.iter().find(near).unwrap().target.unwrap()
        })
        .collect();
    assert!(columns.iter().flatten().all(|x| x.is_finite()));
    (auc(&columns[1], &truth).unwrap().value, truth.len())
}

const KEPT: [bool; 8] = [true, false, true, true, false, false, true, true];

#[test]
fn three_railed_channels_are_left_out_whatever_the_rail_and_the_rest_scores_as_without_them() {
    let mut sums = [0.0; 2];
    for (person, train, test) in people() {
        let folder = Folder::new();
        // The truth to compare with: the five channels alone, clean.
        let five = |eeg: &mut Eeg| {
            for row in &mut eeg.rows {
                [row[1], row[4], row[5]] = [0.0; 3];
            }
        };
        let clean = [folder.path("a.xdf"), folder.path("b.xdf")];
        dirty(&train, &clean[0], five);
        dirty(&test, &clean[1], five);
        let (reference, ..) = judged(&folder, "five", &clean[0], &clean[1]);
        for rail_uv in [187_500.02, 400_000.0, 12_345.0, 0.0, -187_500.02] {
            let files = [folder.path("train.xdf"), folder.path("test.xdf")];
            for (from, to) in [(&train, &files[0]), (&test, &files[1])] {
                dirty(from, to, |eeg| {
                    dc(eeg);
                    three_rails(eeg, rail_uv);
                });
            }
            let (value, scored, talk, used) =
                judged(&folder, &format!("rail{rail_uv}"), &files[0], &files[1]);
            println!(
                "{person}, rail {rail_uv} uV: AUC {value:.4}, five clean channels {reference:.4}"
            );
            assert_eq!(used, KEPT, "{talk}");
            assert!(talk.contains("left out"), "{talk}");
            assert!(scored >= 478);
            sums[0] += value;
            sums[1] += reference;
            assert!(
                value > reference - 0.02,
                "{person} {rail_uv}: {value} for {reference}"
            );
        }
    }
    assert!(sums[0] > sums[1] - 0.005 * 15.0, "{sums:?}");
}

/// What is done to a recording's EEG.
type Spoil<'a> = &'a dyn Fn(&mut Eeg);

#[test]
fn one_or_two_channels_that_rail_after_the_calibration_cost_less_than_a_hundredth_against_a_new_fit()
 {
    for (person, train, test) in people() {
        let folder = Folder::new();
        let good = folder.path("good.xdf");
        dirty(&train, &good, dc);
        let (talk, used) = fitted(&folder, "good", &good);
        assert_eq!(used, vec![true; 8], "{talk}");
        for railed in [&[2][..], &[2, 6], &[1, 4, 5]] {
            let rail = |eeg: &mut Eeg, from: usize| {
                for row in eeg.rows.iter_mut().skip(from) {
                    for channel in railed {
                        row[*channel] = -187_500.02;
                    }
                }
            };
            let half = |eeg: &Eeg| eeg.rows.len() / 2;
            let files = ["bad.xdf", "railed.xdf", "half.xdf"].map(|n| folder.path(n));
            // Railed for half of the training is as good as never there.
            let spoils: [(&Path, Spoil<'_>); 3] = [
                (&train, &|eeg| rail(eeg, half(eeg))),
                (&test, &|eeg| rail(eeg, 0)),
                (&test, &|eeg| rail(eeg, half(eeg))),
            ];
            for ((from, spoil), to) in spoils.into_iter().zip(&files) {
                dirty(from, to, |eeg| {
                    dc(eeg);
                    spoil(eeg);
                });
            }
            let (talk, used) = fitted(&folder, &format!("without{railed:?}"), &files[0]);
            let others: Vec<bool> = (0..8).map(|channel| !railed.contains(&channel)).collect();
            assert_eq!(used, others, "{talk}");
            let (refit, all) = scored(&folder, &format!("without{railed:?}"), &files[1]);
            let (masked, of_masked) = scored(&folder, "good", &files[1]);
            let (later, of_later) = scored(&folder, "good", &files[2]);
            println!(
                "{person}, channels {railed:?} railed: fitted without them {refit:.4}, masked {masked:.4}, masked from the \
                 middle on {later:.4}"
            );
            assert!(all >= 478 && of_masked == all && of_later == all);
            // Of three of eight more is missed, though no more than chance makes of 60 targets.
            let cost_max = if railed.len() < 3 { 0.01 } else { 0.04 };
            assert!(
                masked > refit - cost_max,
                "{person} {railed:?}: {masked} for {refit}"
            );
            // Good in the first half, so it may only be better, but for chance.
            assert!(
                later > refit - 0.02,
                "{person} {railed:?}: {later} for {refit}"
            );
        }
    }
}

#[test]
fn faults_in_one_part_cost_little() {
    let (Some(train), Some(test)) = (shared("gtec5_S1_train.xdf"), shared("gtec5_S1_test.xdf"))
    else {
        return;
    };
    let folder = Folder::new();
    let path = |p: &Path| p.to_str().unwrap().to_owned();
    let (clean, ..) = judged(&folder, "clean", &path(&train), &path(&test));
    type InPart = fn(&mut Eeg);
    let spoils: [(&str, InPart); 8] = [
        ("a third railed, then back", |eeg| {
            let n = eeg.rows.len();
            for row in &mut eeg.rows[n / 3..2 * n / 3] {
                row[2] = -187_500.02;
            }
        }),
        ("bursts of NaN", |eeg| {
            for (i, row) in eeg.rows.iter_mut().enumerate() {
                if i % 2_500 < 30 {
                    row[i / 2_500 % 8] = f32::NAN;
                }
            }
        }),
        ("ten times as large for 6 s now and then", |eeg| {
            let mean_uv = |c: usize| 60_000.0 + 3_400.0 * c as f32;
            for (i, row) in eeg.rows.iter_mut().enumerate() {
                let channel = i / 9_000 % 8;
                if i % 9_000 > 7_500 {
                    row[channel] = mean_uv(channel) + 10.0 * (row[channel] - mean_uv(channel));
                }
            }
        }),
        ("saturated now and then", |eeg| {
            for (i, row) in eeg.rows.iter_mut().enumerate() {
                if i % 5_000 < 400 {
                    let swing = 3.0 * 187_500.0 * (i as f32 * 0.05).sin();
                    row[3] = (row[3] + swing).clamp(-187_500.02, 187_500.02);
                }
            }
        }),
        ("gaps of 10 ms", |eeg| cut(eeg, 4_000, 2)),
        ("gaps of 200 ms", |eeg| cut(eeg, 4_000, 50)),
        ("gaps of 3 s", |eeg| cut(eeg, 8_000, 750)),
        ("doubled and late", |eeg| {
            let (stamps, rows) = (eeg.stamps.clone(), eeg.rows.clone());
            (eeg.stamps, eeg.rows) = (Vec::new(), Vec::new());
            for (i, (t, row)) in stamps.iter().zip(&rows).enumerate() {
                // Stamped up to 12 ms late, after which the others follow at once.
                let late = if i % 300 < 4 {
                    0.012 - 0.0035 * (i % 300) as f64
                } else {
                    0.0
                };
                eeg.stamps.push(t + late);
                eeg.rows.push(row.clone());
                if i % 500 == 499 {
                    // The last 32 samples come again.
                    let from = i - 31;
                    eeg.stamps.extend_from_slice(&stamps[from..=i]);
                    eeg.rows.extend_from_slice(&rows[from..=i]);
                }
            }
        }),
    ];
    for (what, spoil) in spoils {
        let dirt = folder.path("dirt.xdf");
        for (part, from) in [("train", &train), ("test", &test)] {
            dirty(from, &dirt, |eeg| {
                dc(eeg);
                spoil(eeg);
            });
            let (train, test) = match part {
                "train" => (dirt.clone(), path(&test)),
                _ => (path(&train), dirt.clone()),
            };
            let (value, scored, talk, _) = judged(&folder, &format!("{what}{part}"), &train, &test);
            println!("{what} in {part}: AUC {value:.4} of {scored} (clean {clean:.4})");
            assert!(value > clean - 0.03, "{what} in {part}: {value}, {talk}");
            assert!(scored >= 350, "{what}: {scored}");
        }
    }
}

/// Takes `samples` out of every `every`.
fn cut(eeg: &mut Eeg, every: usize, samples: usize) {
    let kept = |i: &usize| i % every < every - samples;
    let n = eeg.rows.len();
    eeg.stamps = (0..n).filter(kept).map(|i| eeg.stamps[i]).collect();
    eeg.rows = (0..n).filter(kept).map(|i| eeg.rows[i].clone()).collect();
}

/// pyxdf's dejitter finds in this recording one segment of 30,000 samples without a gap, at 999.885 Hz.
#[test]
fn a_real_recording_with_block_stamps_is_recognised_and_spread_without_a_gap() {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../shared/data/lsl_timing/block_stamps.xdf");
    if !file.is_file() {
        println!("skipped: {} is not there", file.display());
        return;
    }
    let recorded = Recorded::open(&file, &Streams::default()).unwrap();
    let stream = recorded.eeg().unwrap();
    assert_eq!(stamp_rule(stream), StampRule::Blocks);
    let rate = Hertz::new(stream.spec.rate_hz).unwrap();
    let mut by_sample = StampGuard::new(rate, StampRule::PerSample);
    let mut by_block = StampGuard::new(rate, StampRule::Blocks);
    let mut times = Vec::new();
    for stamp in &stream.stamps {
        by_sample.push(*stamp);
        if let StampVerdict::InOrder { time_s } = by_block.push(*stamp) {
            times.push(time_s);
        }
    }
    println!("by sample {:?}", by_sample.counts());
    println!("by block {:?}", by_block.counts());
    assert!(by_sample.counts().looks_block_stamped());
    let c = by_block.counts();
    assert_eq!(c.accepted + c.unanchored, 30_000);
    assert_eq!((c.missing, c.duplicates, c.clock_jumps), (0, 0, 0));
    let span_s = times.last().unwrap() - times[0];
    let found_hz = (times.len() - 1) as f64 / span_s;
    assert!((found_hz / 999.885 - 1.0).abs() < 0.002, "{found_hz} Hz");
    assert!(
        times
            .windows(2)
            .all(|t| (t[1] - t[0] - 0.001).abs() < 0.000_6)
    );
}

/// Blinks every 1.4 to 3 s: half a sine of 0.3 s, seen by the channels in these proportions of 220 uV.
fn blink(eeg: &mut Eeg) {
    const SEEN: [f32; 4] = [0.75, 0.4, 0.2, 1.0];
    let mut noise = Noise(21);
    let mut next_s = eeg.stamps[0] + 1.0;
    for (t, row) in eeg.stamps.iter().zip(&mut eeg.rows) {
        if *t > next_s + 0.3 {
            next_s = t + 1.4 + 0.8 * noise.gauss().abs().min(2.0);
        }
        let phase = (t - next_s) / 0.3;
        if (0.0..1.0).contains(&phase) {
            let blink_uv = 220.0 * (std::f64::consts::PI * phase).sin() as f32;
            for (x, seen) in row.iter_mut().zip(SEEN) {
                *x += seen * blink_uv;
            }
        }
    }
}

#[test]
fn blinks_are_taken_out_by_the_eye_channel_and_more_flashes_can_be_used() {
    let folder = Folder::new();
    let labels = ["Fz", "Cz", "Pz", "VEOG"];
    let made = |seed, name: &str| {
        folder.recording(
            name,
            made::Made {
                seed,
                labels,
                ..made::PLAIN
            },
        )
    };
    let plain = [made(1, "train0.xdf"), made(2, "test0.xdf")];
    let blinking = [folder.path("train.xdf"), folder.path("test.xdf")];
    for (from, to) in plain.iter().zip(&blinking) {
        dirty(Path::new(from), to, blink);
    }
    let run = |name: &str, files: &[String; 2], option: &[&str]| {
        let out = folder.path(name);
        let mut line = vec!["--xdf", &files[0], "--out", &out];
        line.extend(option);
        let (profile, talk) = calibrate(&line).unwrap();
        let profile_file = format!("{out}/profile.json");
        let csv = score(&["p300", "--calibration", &profile_file, "--xdf", &files[1]]).unwrap();
        let columns = columns(&csv, HEADER);
        let truth: Vec<bool> = made::plan(480).iter().map(|f| f.1).collect();
        let base = profile.eeg.as_ref().unwrap().base_rate;
        let useful = columns[2]
            .iter()
            .filter(|p| (**p - base).abs() > 1e-9)
            .count();
        let value = auc(&columns[1], &truth).unwrap().value;
        let squares = columns[2]
            .iter()
            .zip(&truth)
            .map(|(p, t)| (p - f64::from(u8::from(*t))).powi(2));
        let brier = squares.sum::<f64>() / 480.0;
        println!("{name}: Brier {brier:.4}, AUC {value:.4}, {useful} of 480 flashes with evidence");
        (brier, useful, profile.eeg.unwrap(), talk)
    };
    let (before, few, ..) = run("left in", &blinking, &["--blink-channel", "none"]);
    let (after, many, eeg, talk) = run("taken out", &blinking, &[]);
    assert!(talk.contains("found in VEOG, taken out"), "{talk}");
    let blinks = eeg.blinks.unwrap();
    assert_eq!(blinks.reference(), 3);
    // In the proportions in which the channels see them.
    let weights = blinks.weights();
    assert!(
        (weights[1] / weights[0] - 0.4 / 0.75).abs() < 0.03,
        "{weights:?}"
    );
    assert!(
        (weights[2] / weights[0] - 0.2 / 0.75).abs() < 0.03,
        "{weights:?}"
    );
    assert_eq!(eeg.lda.used, [true, true, true, false]);
    assert!(
        after < before - 0.005 && many > few + 50,
        "{before} {few}, {after} {many}"
    );
    // Who does not blink loses nothing by having an eye channel.
    let (none, ..) = run("none", &plain, &["--blink-channel", "none"]);
    let (quiet, _, eeg, talk) = run("quiet", &plain, &[]);
    assert!(
        eeg.blinks.is_none() && talk.contains("are needed"),
        "{talk}"
    );
    assert_eq!(none, quiet);
}
