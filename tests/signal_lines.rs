//! What the EEG line says of contractions and the gaze line of looks, while a fork is up.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]

use std::path::Path;

use razvilka::config::{Plan, ScreenSection};
use razvilka::engine::certify::paths;
use razvilka::engine::lines;
use razvilka::fork::{ForkId, MAX_OPTIONS};
use razvilka::gate::{LOOK_MIN_S, Lease, Told};
use razvilka::pipeline::contractions::{Asked, ContractionWord, contraction_told};
use razvilka::pipeline::eeg::EegLine;
use razvilka::pipeline::gaze::{GazeLine, LookWord, Tiles, look_told};
use razvilka::source::{Format, StreamSpec};
use razvilka_calibration::{DeliberateContraction, Profile};
use razvilka_dsp::contraction::{ContractionDetector, ContractionModel, Muscle};
use razvilka_dsp::gaze_evidence::Tile;
use razvilka_dsp::mask::ChannelMask;
use razvilka_dsp::score::{ScoreDensity, StudentT};
use razvilka_dsp::units::Hertz;

const LEASE: Lease = Lease { epoch: 1 };
const CHANNELS: usize = 4;
const EEG_HZ: f64 = 250.0;
const GAZE_HZ: f64 = 250.0;

/// An EEG line that looks at two of four channels, in units of which each is `unit_uv` microvolts.
fn eeg_line(unit_uv: f64) -> EegLine {
    let class = |location| StudentT {
        location,
        scale: 0.6,
        dof: 10.0,
    };
    let density = ScoreDensity::new(class(3.5), class(0.9), (0.0, 8.0), 3.0).unwrap();
    let model = ContractionModel {
        density,
        rate_nats: 1.0,
    };
    let rate = Hertz::new(EEG_HZ).unwrap();
    let picked = [0, 2].into_iter().collect();
    let detector = ContractionDetector::new(rate, CHANNELS, picked, None).unwrap();
    let mut line = paths::eeg_line(CHANNELS, EEG_HZ).unwrap();
    line.listen_for_contractions(detector, model, vec![unit_uv; CHANNELS])
        .unwrap();
    line
}

/// A number between -1 and 1 that looks random.
fn noise(n: usize) -> f64 {
    let x = (n as f64 * 12.9898).sin() * 43_758.547;
    2.0 * (x - x.floor()) - 1.0
}

/// Ten seconds of noise of 4 uV, and of 60 uV in `loud`; forks go up at the given times, on our clock 100 s later.
fn contractions(
    unit_uv: f64,
    loud: &[(f64, f64)],
    forks: &[(u64, f64)],
    restart_s: Option<f64>,
) -> Vec<ContractionWord> {
    let mut line = eeg_line(unit_uv);
    let mut words = Vec::new();
    let mut forks = forks.iter().peekable();
    let mut restart_s = restart_s;
    for n in 0..(10.0 * EEG_HZ) as usize {
        let t_s = n as f64 / EEG_HZ;
        if restart_s.is_some_and(|at_s| t_s >= at_s) {
            restart_s = None;
            line.restart();
        }
        // Orders come a little ahead.
        if let Some((fork, from_s)) = forks.next_if(|(_, from_s)| t_s >= from_s - 0.04) {
            let asked = Asked {
                fork: ForkId(*fork),
                lease: LEASE,
                from_s: *from_s,
                offset_s: 100.0,
            };
            line.put_up(asked, Some(t_s));
        }
        let is_loud = loud
            .iter()
            .any(|(from, until)| (*from..*until).contains(&t_s));
        let uv = if is_loud { 60.0 } else { 4.0 };
        let row: [f32; CHANNELS] =
            std::array::from_fn(|c| (uv * noise(n * CHANNELS + c) / unit_uv) as f32);
        assert!(line.sample(t_s, &row));
        words.extend(line.take_contraction());
    }
    assert_eq!(line.late_forks(), 0);
    words
}

#[test]
fn a_contraction_is_told_of_the_fork_that_was_up_when_it_began_and_of_no_other() {
    let loud = [(3.0, 3.5), (5.0, 5.5), (6.2, 6.7), (8.0, 8.5)];
    // The first comes before any fork, the last but one while the second fork goes up.
    let words = contractions(1.0, &loud, &[(3, 4.0), (4, 6.5)], None);
    let told: Vec<_> = words
        .iter()
        .map(|word| (word.fork.0, word.number))
        .collect();
    assert_eq!(told, [(3, 0), (4, 0)], "{words:?}");
    for (word, from_s) in words.iter().zip([5.0, 8.0]) {
        assert!((word.onset_s - from_s).abs() < 0.1, "{word:?}");
        assert!(
            (from_s + 0.45..from_s + 0.7).contains(&word.at_s),
            "{word:?}"
        );
        assert!(word.llr_nats >= 1.0 && word.lease == LEASE);
        assert_eq!(word.sample, (word.at_s * EEG_HZ).round() as u64);
        let (told, _) = contraction_told(word).unwrap();
        let Told::Contraction(told) = told else {
            panic!("a contraction is told as one");
        };
        assert_eq!(told.onset.get(), word.onset_s + 100.0);
        assert_eq!(told.at.get(), word.at_s + 100.0);
    }
    // Volts or microvolts: it is the same muscle.
    assert_eq!(
        contractions(1e6, &loud, &[(3, 4.0), (4, 6.5)], None).len(),
        2
    );
}

#[test]
fn a_stream_that_begins_anew_has_no_fork_and_no_contraction_reaches_across() {
    let loud = [(5.0, 5.5), (8.0, 8.5)];
    assert_eq!(contractions(1.0, &loud, &[(3, 4.0)], None).len(), 2);
    assert!(contractions(1.0, &loud, &[(3, 4.0)], Some(5.2)).is_empty());
}

/// A gaze line, and what is up from 1 s on: three tiles side by side.
fn looks(at: impl Fn(f64) -> Option<[f32; 2]>, until_s: f64) -> Vec<LookWord> {
    let mut line: GazeLine = paths::gaze_line(GAZE_HZ, &ScreenSection::default()).unwrap();
    line.tell_looks();
    let tile = |x_deg| Tile {
        x_deg,
        y_deg: 0.0,
        w_deg: 6.0,
        h_deg: 4.0,
        words: 2,
    };
    let mut tiles = [tile(0.0); MAX_OPTIONS];
    tiles[..3].copy_from_slice(&[tile(-12.0), tile(0.0), tile(12.0)]);
    let up = Tiles {
        fork: ForkId(5),
        lease: LEASE,
        tiles,
        count: 3,
        from_s: 1.0,
        offset_s: -50.0,
        shift_deg: (0.0, 0.0),
    };
    line.put_up(up, None);
    let mut words = Vec::new();
    for n in 0..(until_s * GAZE_HZ) as usize {
        let t_s = n as f64 / GAZE_HZ;
        let [x, y] = at(t_s).unwrap_or([f32::NAN; 2]);
        let jitter = 0.03 * noise(n) as f32;
        line.sample(t_s, &[x + jitter, y - jitter]);
        while let Some(word) = line.take_look() {
            words.push(word);
        }
    }
    words
}

#[test]
fn looks_are_told_when_they_are_long_enough_and_when_they_are_over_with_the_tile_they_are_at() {
    // Before the tiles on the first; then on the second, beside all, a glimpse of the third, on the first again, and gone.
    let words = looks(
        |t_s| match t_s {
            ..1.3 => Some([-12.0, 0.0]),
            1.3..1.9 => Some([0.0, 0.5]),
            1.9..2.4 => Some([0.0, 9.0]),
            2.4..2.46 => Some([12.0, 0.0]),
            2.46..3.0 => Some([-12.5, 0.0]),
            _ => None,
        },
        3.5,
    );
    let told: Vec<_> = words.iter().map(|word| (word.item, word.over)).collect();
    let expected = [
        (Some(1), false),
        (Some(1), true),
        (None, false),
        (None, true),
    ];
    assert_eq!(told[..4], expected, "{words:#?}");
    assert_eq!(told[4..], [(Some(0), false), (Some(0), true)], "{words:#?}");
    for (pair, (from_s, until_s)) in words.chunks(2).zip([(1.3, 1.9), (1.9, 2.4), (2.46, 3.0)]) {
        let [first, over] = pair else {
            panic!("each is told twice");
        };
        assert_eq!(first.look, over.look);
        assert!((first.onset_s - from_s).abs() < 0.03, "{first:?}");
        // Known as soon as it has lasted long enough, and the detector has looked ahead.
        let known_s = first.at_s - first.onset_s;
        assert!(
            (LOOK_MIN_S..LOOK_MIN_S + 0.02).contains(&known_s),
            "{first:?}"
        );
        assert!((over.last_s - until_s).abs() < 0.03, "{over:?}");
    }
    let numbers: Vec<u64> = words.iter().map(|word| word.number).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4, 5]);
    let (told, _) = look_told(&words[1]).unwrap();
    let Told::Look(told) = told else {
        panic!("a look is told as one");
    };
    assert_eq!(
        (told.fork, told.item, told.over),
        (ForkId(5), Some(1), true)
    );
    assert_eq!(told.last.get(), words[1].last_s - 50.0);
}

/// A profile that has learnt contractions of the jaw in these channels.
fn learnt(channels: &[&str]) -> Profile {
    let class = |location| StudentT {
        location,
        scale: 0.6,
        dof: 10.0,
    };
    let density = ScoreDensity::new(class(3.5), class(0.9), (0.0, 8.0), 3.0).unwrap();
    Profile {
        contraction: Some(DeliberateContraction {
            muscle: Muscle::Jaw,
            model: ContractionModel {
                density,
                rate_nats: 1.0,
            },
            channels: channels.iter().map(|label| (*label).to_owned()).collect(),
            mains_hz: Some(50.0),
            reliability: 0.8,
            cues: 15,
            hits: 15,
            spontaneous: 3,
            false_alarms: 0,
            rest_s: 60.0,
        }),
        ..lines::profile_of_keys()
    }
}

#[test]
fn a_profile_that_does_not_fit_is_refused_by_the_name_of_what_it_lacks() {
    let spec = StreamSpec {
        name: "cap".into(),
        kind: "EEG".into(),
        source_id: "cap-1".into(),
        hostname: String::new(),
        uid: String::new(),
        rate_hz: EEG_HZ,
        format: Format::Float32,
        labels: ["Cz", "T7", "T8", "Pz"].map(str::to_owned).to_vec(),
        units: Vec::new(),
        xml: String::new(),
    };
    let mut plan = Plan::default();
    plan.contraction.on = true;
    let listen = |plan: &Plan, profile: &Profile| {
        let mut line = paths::eeg_line(CHANNELS, EEG_HZ).unwrap();
        lines::listen_for_contractions(&mut line, plan, profile, &spec)
            .map_err(|error| error.to_string())
    };
    listen(&plan, &learnt(&["T7", "T8"])).unwrap();
    let refused = listen(&plan, &lines::profile_of_keys()).unwrap_err();
    assert!(
        refused.contains("has not learnt this person's"),
        "{refused}"
    );
    let refused = listen(&plan, &learnt(&["T7", "TP10"])).unwrap_err();
    assert!(refused.contains("'cap' has no channel 'TP10'"), "{refused}");
    plan.contraction.muscle = Muscle::Brow;
    let refused = listen(&plan, &learnt(&["T7", "T8"])).unwrap_err();
    assert!(refused.contains("another muscle"), "{refused}");
    // And where nobody wants contractions nothing is looked at.
    plan.contraction.on = false;
    listen(&plan, &lines::profile_of_keys()).unwrap();
    // What the calibration found is what the gate trusts.
    let settings = lines::gate_settings(&plan, &learnt(&["T7", "T8"])).unwrap();
    assert_eq!(settings.config().contraction.reliability, 0.8);
    // Channels: by their labels, or those that are named.
    let picked = |named: Option<&[String]>, muscle| lines::muscles_of(named, muscle, &spec);
    let all = |mask: ChannelMask| mask.iter().collect::<Vec<_>>();
    assert_eq!(all(picked(None, Muscle::Jaw).unwrap()), [1, 2]);
    assert_eq!(
        all(picked(Some(&["Pz".into()]), Muscle::Brow).unwrap()),
        [3]
    );
    let refused = picked(None, Muscle::Brow).unwrap_err().to_string();
    assert!(
        refused.contains("no channel of stream 'cap' sees it"),
        "{refused}"
    );
    let refused = picked(Some(&["EMG".into()]), Muscle::Jaw).unwrap_err();
    assert!(refused.to_string().contains("EMG"), "{refused}");
}

#[test]
fn contractions_without_what_they_need_are_refused_before_anything_is_started() {
    let eeg = "[eeg]\npins = { source_id = \"cap-1\" }\n";
    let gaze = "[gaze]\npins = { source_id = \"eyes-1\" }\nunits = \"degrees\"\n\
                [screen]\nwidth_cm = 53.0\nheight_cm = 30.0\ndistance_cm = 65.0\n";
    let on = "[contraction]\non = true\n";
    let parse = |text: &str| Plan::parse(text, Path::new("experiment.toml"));
    let refused = |text: &str| parse(text).unwrap_err().to_string();
    parse(&format!("{eeg}{gaze}{on}")).unwrap();
    assert!(refused(&format!("{gaze}{on}")).contains("there is no [eeg]"));
    assert!(refused(&format!("{eeg}{on}")).contains("there is no [gaze]"));
    let none = format!("{eeg}{gaze}{on}channels = []\n");
    assert!(refused(&none).contains("contraction.channels names no channel"));
    let twice = format!("{eeg}{gaze}{on}channels = [\"T7\", \"T7\"]\n");
    assert!(refused(&twice).contains("names 'T7' twice"));
    for (key, value) in [("cues", "9"), ("cue_every_s", "3.9")] {
        let refused = refused(&format!("{eeg}{gaze}{on}{key} = {value}\n"));
        assert!(refused.contains(&format!("contraction.{key}")), "{refused}");
    }
    assert!(refused(&format!("{eeg}{gaze}{on}muscle = \"toe\"\n")).contains("toe"));
}

#[test]
fn a_line_that_was_not_asked_tells_no_looks() {
    let mut line = paths::gaze_line(GAZE_HZ, &ScreenSection::default()).unwrap();
    for n in 0..500 {
        line.sample(f64::from(n) / GAZE_HZ, &[0.0, 0.0]);
        assert!(line.take_look().is_none());
    }
    let mut line = paths::eeg_line(CHANNELS, EEG_HZ).unwrap();
    let asked = Asked {
        fork: ForkId(1),
        lease: LEASE,
        from_s: 0.0,
        offset_s: 0.0,
    };
    line.put_up(asked, None);
    assert!(line.sample(0.0, &[0.0; CHANNELS]));
    assert!(line.take_contraction().is_none());
}
