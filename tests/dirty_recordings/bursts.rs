//! Faults that are short but come all the time, in one channel or in all: what a calibration and the evidence keep.

use std::path::Path;

use razvilka::cli::recorded::{Recorded, Streams};

use super::made::{self, Folder, HEADER, Noise, calibrate, columns, score};
use super::{Eeg, dc, dirty, judged, people};

/// Every 2 s one channel is not a number for up to 0.24 s; no epoch has eight good channels for long.
fn holes(eeg: &mut Eeg) {
    let mut noise = Noise(3);
    for from in (100..eeg.rows.len()).step_by(500) {
        let until = from + 1 + (24.0 * noise.gauss().abs()) as usize % 60;
        let channel = (97.0 * noise.gauss().abs()) as usize % 8;
        for row in eeg.rows.iter_mut().take(until).skip(from) {
            row[channel] = f32::NAN;
        }
    }
}

/// Every 4 s one channel steps by 5 mV and stays there.
fn steps(eeg: &mut Eeg) {
    let mut noise = Noise(4);
    for from in (500..eeg.rows.len()).step_by(1_000) {
        let channel = (97.0 * noise.gauss().abs()) as usize % 8;
        let step_uv = 5_000.0 * noise.gauss().signum() as f32;
        for row in eeg.rows.iter_mut().skip(from) {
            row[channel] += step_uv;
        }
    }
}

#[test]
fn faults_of_one_channel_after_the_other_cost_no_channel_and_few_epochs() {
    for (person, train, test) in people() {
        let folder = Folder::new();
        let files = [folder.path("train.xdf"), folder.path("test.xdf")];
        let of = |name: &str, spoil: &dyn Fn(&mut Eeg)| {
            for (from, to) in [(&train, &files[0]), (&test, &files[1])] {
                dirty(from, to, |eeg| {
                    dc(eeg);
                    spoil(eeg);
                });
            }
            let (value, scored, talk, used) = judged(&folder, name, &files[0], &files[1]);
            let left_out: usize = talk
                .split_once(" flashes left out")
                .and_then(|(before, _)| before.rsplit(' ').next()?.parse().ok())
                .unwrap();
            println!("{person} {name}: AUC {value:.4} of {scored}, {left_out} not fitted on");
            assert_eq!(used, vec![true; 8], "{talk}");
            assert!(scored >= 478 && left_out <= 36, "{talk}");
            value
        };
        let clean = of("clean", &|_| ());
        for (name, spoil) in [("holes", holes as fn(&mut Eeg)), ("steps", steps)] {
            let value = of(name, &spoil);
            assert!(value > clean - 0.05, "{person} {name}: {value} for {clean}");
        }
    }
}

/// For 0.7 s of every 6 s the jaws are clenched: muscle activity in these channels, white, of so many microvolts.
fn clench(eeg: &mut Eeg, channels: &[usize], uv: f64) {
    let mut noise = Noise(5);
    for (i, row) in eeg.rows.iter_mut().enumerate() {
        if i % 1_500 >= 750 && i % 1_500 < 925 {
            for channel in channels {
                row[*channel] += (uv * noise.gauss()) as f32;
            }
        }
    }
}

#[test]
fn clenched_jaws_bring_no_confident_evidence() {
    for (person, train, test) in people() {
        let folder = Folder::new();
        let out = folder.path("clean");
        let (profile, _) = calibrate(&["--xdf", train.to_str().unwrap(), "--out", &out]).unwrap();
        let base = profile.eeg.unwrap().base_rate;
        let profile = format!("{out}/profile.json");
        let recording = Recorded::open(&test, &Streams::default()).unwrap();
        let first_s = recording.eeg().unwrap().stamps[0];
        let flashes = recording.flashes();
        for (channels, uv) in [
            (&[5, 6][..], 50.0),
            (&[5, 6], 150.0),
            (&[5, 6], 400.0),
            (&[2, 4, 5, 6], 150.0),
            (&[0, 1, 2, 3, 4, 5, 6, 7], 150.0),
        ] {
            let clenched = folder.path("clenched.xdf");
            dirty(&test, &clenched, |eeg| clench(eeg, channels, uv));
            let csv = score(&["p300", "--calibration", &profile, "--xdf", &clenched]).unwrap();
            let columns = columns(&csv, HEADER);
            let (mut told, mut silent, mut loss, mut loss_of_base) = (0_u32, 0_u32, 0.0, 0.0);
            for (onset_s, p) in columns[0].iter().zip(&columns[2]) {
                // Whose epoch, 0.8 s long, touches 0.7 s from 3 s on in every 6.
                let phase_s = (onset_s - first_s) % 6.0;
                if !(2.2..3.7).contains(&phase_s) {
                    continue;
                }
                let near = flashes.iter().find(|f| (f.onset_s - onset_s).abs() < 1e-6);
                let target = near.unwrap().target.unwrap();
                let of = |p: f64| -(if target { p } else { 1.0 - p }).ln();
                told += 1;
                silent += u32::from((p - base).abs() < 1e-9);
                loss += of(*p);
                loss_of_base += of(base);
                assert!(
                    target || uv < 100.0 || *p < 0.9,
                    "{person} {channels:?} {uv}: {p} at {onset_s}"
                );
            }
            let [loss, loss_of_base] = [loss, loss_of_base].map(|sum| sum / f64::from(told));
            println!(
                "{person}, {uv} uV in {channels:?}: {silent} of {told} flashes rejected, log loss {loss:.3} for {loss_of_base:.3} of \
                 the base rate"
            );
            assert!(told > 80);
            // In all channels at once nothing is left to score by.
            assert!(
                channels.len() < 8 || 2 * silent > told,
                "{person} {uv}: {silent} of {told}"
            );
            // What is too weak to be rejected is noise to the score, which may mislead it a little.
            let more_max = if uv < 100.0 { 0.06 } else { 0.03 };
            assert!(loss < loss_of_base + more_max, "{person} {channels:?} {uv}");
        }
    }
}

#[test]
fn equal_labels_are_remarked_and_blocks_that_share_a_stamp_too() {
    let folder = Folder::new();
    let twins = folder.recording(
        "twins.xdf",
        made::Made {
            labels: ["Fz", "Cz", "Cz", "Oz"],
            ..made::PLAIN
        },
    );
    let (_, talk) = calibrate(&["--xdf", &twins, "--out", &folder.path("twins")]).unwrap();
    assert!(talk.contains("two channels are labelled 'Cz'"), "{talk}");
    let plain = folder.recording("plain.xdf", made::PLAIN);
    let (_, talk) = calibrate(&["--xdf", &plain, "--out", &folder.path("plain")]).unwrap();
    assert!(!talk.contains("labelled"), "{talk}");
    let blocks = folder.path("blocks.xdf");
    dirty(Path::new(&plain), &blocks, |eeg| {
        for block in eeg.stamps.chunks_mut(8) {
            let last = block[block.len() - 1];
            block.fill(last);
        }
    });
    let (_, talk) = calibrate(&["--xdf", &blocks, "--out", &folder.path("blocks")]).unwrap();
    assert!(talk.contains("samples share stamps in blocks"), "{talk}");
}
