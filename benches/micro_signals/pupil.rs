//! The pupil after an option was read: how well a wanted option is told from others, what it gains, and how often another one is supported.
//!
//! Each simulated person is told `--wishes` times what to want and reads three options, as in a live calibration, and is then asked at
//! forks. The same persons sit once more with a pupil that does not follow what they want: whatever is supported then is false.

use std::time::Instant;

use razvilka::config::{GazeUnits, PupilSection, ScreenSection};
use razvilka::engine::conduct::tiles_of;
use razvilka::engine::eyes::choose_pupil;
use razvilka::engine::wishes::wish_trials;
use razvilka::fork::ForkId;
use razvilka::gate::Lease;
use razvilka::marker::{BlockKind, Event, GazePhase};
use razvilka::pipeline::gaze::{GazeLine, GazeReading, PupilReading, TileWord};
use razvilka::sim::{ForkTruth, Reason, SimOutput, SimSettings, Streams, TrackerSettings};
use razvilka::view::layout;
use razvilka_calibration::{PupilCalibration, PupilLook, PupilTrials, auc, fit_pupil};
use razvilka_dsp::gaze::DetectorKind;
use razvilka_dsp::gaze_evidence::DwellModel;
use razvilka_dsp::pupil::{EyeSizes, PLACE_TERMS, PupilModel, PupilTrack};
use razvilka_dsp::units::{Hertz, LslTime};
use serde_json::json;

use super::{FORK_S, Options, START_S, forks, median, per_minute, play, tiles, wilson};

/// As `gate.pupil.item_clip_nats`.
const CLIP_NATS: f64 = 0.7;

/// What a sitting gave.
struct Sitting {
    gaze: Vec<(f64, Vec<f32>)>,
    truth: Vec<ForkTruth>,
    /// When the options of each trial came up, and the wanted one.
    trials: Vec<(f64, Vec<razvilka::marker::OptionTile>, i32)>,
    forks: Vec<(u64, f64)>,
    /// When the first wish is told.
    wishes_s: f64,
}

fn sit(settings: &SimSettings, options: &Options, trials: bool) -> anyhow::Result<Sitting> {
    let section = PupilSection::default();
    let screen = ScreenSection::default();
    let mut sitting = Sitting {
        gaze: Vec::new(),
        truth: Vec::new(),
        trials: Vec::new(),
        forks: Vec::new(),
        wishes_s: 0.0,
    };
    let mut script = Vec::new();
    let mut t = START_S + 1.0;
    // Thirteen points and four to check, as in a live calibration; every other time of a calibration has its eyes on one place.
    let points = layout::gaze_points(13, &screen).into_iter();
    let points = points.chain(layout::check_points(4, &screen)).collect();
    for (point, (x_deg, y_deg)) in (0..).zip(layout::in_random_order(points, settings.seed, 0)) {
        let phase = GazePhase::Fit;
        script.push((
            t,
            Event::GazePoint {
                point,
                x_deg,
                y_deg,
                phase,
            },
        ));
        t += 1.5;
        script.push((t, Event::GazePointEnd { point }));
    }
    sitting.wishes_s = t + 1.0;
    t += 2.0;
    if trials {
        let kind = BlockKind::Pupil;
        script.push((t, Event::Block { kind }));
        for (trial, wish) in (0..).zip(wish_trials(settings.seed, options.wishes, &screen)) {
            let text = wish.text().to_owned();
            script.push((t, Event::Wish { trial, text }));
            t += section.tell_s;
            let (item, options) = (wish.item, wish.options);
            sitting.trials.push((t, options.clone(), item));
            script.push((
                t,
                Event::WishOptions {
                    trial,
                    item,
                    options,
                },
            ));
            t += section.options_s;
            script.push((t, Event::WishEnd { trial }));
        }
        script.push((t, Event::BlockEnd));
        t += 20.0;
    }
    (sitting.forks, t) = forks(&mut script, t, options.forks, tiles_at);
    let (gaze, truth) = (&mut sitting.gaze, &mut sitting.truth);
    play(settings, script, t, |output| match output {
        SimOutput::Gaze { stamp_s, gaze: row } => gaze.push((stamp_s, row.to_vec())),
        SimOutput::Truth(told) => truth.push(told),
        SimOutput::Eeg { .. } | SimOutput::Key { .. } => {}
    })?;
    Ok(sitting)
}

/// The texts change places from fork to fork, so that what is wanted does.
fn tiles_at(fork: u64) -> Vec<razvilka::marker::OptionTile> {
    let mut tiles = tiles();
    let texts: Vec<String> = tiles.iter().take(3).map(|tile| tile.text.clone()).collect();
    for (at, tile) in tiles.iter_mut().take(3).enumerate() {
        tile.text = texts[(at + fork as usize) % 3].clone();
    }
    tiles
}

fn line(settings: &SimSettings) -> anyhow::Result<(GazeLine, PupilReading)> {
    let screen = ScreenSection::default();
    let reading = GazeReading::new((0, 1), Some((2, 0.5)), GazeUnits::Normalised, &screen);
    let (model, rate) = (DwellModel::default(), Hertz::new(settings.gaze_rate_hz)?);
    let line = GazeLine::prepare(reading, None, model, rate, DetectorKind::default())?;
    let pupil = choose_pupil(&PupilSection::default(), &Streams::of(settings).gaze)?;
    Ok((line, pupil))
}

/// The calibration as `razvilka calibrate` sees it.
fn trials_of(sitting: &Sitting, settings: &SimSettings) -> anyhow::Result<PupilTrials> {
    let (mut line, pupil) = line(settings)?;
    line.watch_pupils(pupil, None)?;
    let mut found = PupilTrials {
        cues: sitting.trials.len(),
        ..PupilTrials::default()
    };
    let until_s = sitting
        .forks
        .first()
        .map_or(f64::INFINITY, |(_, at_s)| *at_s);
    let mut next = sitting.trials.iter().enumerate().peekable();
    let mut moved_s = f64::NEG_INFINITY;
    for (t_s, row) in sitting.gaze.iter().filter(|(t_s, _)| *t_s < until_s) {
        if let Some((number, (at_s, options, _))) = next.next_if(|(_, (at_s, ..))| at_s <= t_s) {
            let (fork, lease) = (ForkId(number as u64), Lease { epoch: 0 });
            line.put_up(
                tiles_of(fork, options, lease, LslTime::new(*at_s)?, 0.0),
                None,
            );
        }
        line.sample(*t_s, row);
        if let Some(sight) = line.take_pupil_sight()
            && let Some((_, options, item)) = sitting.trials.get(sight.fork.0 as usize)
        {
            found.looks.push(PupilLook {
                read_s: sight.read_s,
                response: sight.response,
                wanted: options[sight.item].item == *item,
            });
        }
        if *t_s < sitting.wishes_s
            && t_s - moved_s >= 0.5
            && let Some(response) = line.pupil_before(*t_s)
        {
            moved_s = *t_s;
            found.moves.push(response);
        }
    }
    Ok(found)
}

/// What the pupil told at forks.
fn told(
    sitting: &Sitting,
    settings: &SimSettings,
    model: PupilModel,
) -> anyhow::Result<Vec<TileWord>> {
    let (mut line, pupil) = line(settings)?;
    line.watch_pupils(pupil, Some(model))?;
    let mut next = sitting.forks.iter().peekable();
    let mut words = Vec::new();
    for (t_s, row) in &sitting.gaze {
        if let Some((fork, at_s)) = next.next_if(|(_, at_s)| at_s <= t_s) {
            let (id, lease) = (ForkId(*fork), Lease { epoch: 1 });
            let tiles = tiles_of(id, &tiles_at(*fork), lease, LslTime::new(*at_s)?, 0.0);
            line.put_up(tiles, None);
        }
        line.sample(*t_s, row);
        if let Some(word) = line.take_pupil() {
            let opened = sitting.forks.iter().find(|(fork, _)| *fork == word.fork.0);
            // Tiles come down with their fork; the line keeps them until the next.
            if opened.is_some_and(|(_, at_s)| word.at_s < at_s + FORK_S) {
                words.push(word);
            }
        }
    }
    Ok(words)
}

/// What came of all persons.
#[derive(Default)]
struct Tally {
    refused: usize,
    taken_of_none: usize,
    calibration_auc: Vec<f64>,
    reliability: Vec<f64>,
    scores: Vec<f64>,
    wanted: Vec<bool>,
    gained: Vec<f64>,
    lost: Vec<f64>,
    after_decision_s: Vec<f64>,
    after_opening_s: Vec<f64>,
    forks: usize,
    not_told: usize,
    supported: usize,
    others: usize,
    others_supported: usize,
    none_told: usize,
    none_supported: usize,
    none_s: f64,
    none_nats: Vec<f64>,
    /// Scores with the effect of place left in.
    with_place: (Vec<f64>, Vec<bool>),
}

impl Tally {
    /// The same words by a model that does not take the effect of place out.
    fn with_place_left_in(&mut self, sitting: &Sitting, words: &[TileWord]) {
        for truth in sitting.truth.iter().filter(|t| t.reason == Reason::Wish) {
            for word in words.iter().filter(|word| word.fork.0 == truth.fork) {
                self.with_place.0.push(word.score);
                self.with_place.1.push(word.item as i32 == truth.item);
            }
        }
    }

    /// Forks of a person whose pupil follows its wishes.
    fn wishing(&mut self, sitting: &Sitting, words: &[TileWord], pupil: &PupilCalibration) {
        let gain = |word: &TileWord| pupil.reliability * word.llr_nats.clamp(-CLIP_NATS, CLIP_NATS);
        for truth in sitting.truth.iter().filter(|t| t.reason == Reason::Wish) {
            self.forks += 1;
            let mut heard = false;
            for word in words.iter().filter(|word| word.fork.0 == truth.fork) {
                let wanted = word.item as i32 == truth.item;
                self.scores.push(word.score);
                self.wanted.push(wanted);
                if wanted {
                    heard = true;
                    self.supported += usize::from(gain(word) > 0.0);
                    self.gained.push(gain(word));
                    self.after_decision_s
                        .extend(truth.at.map(|at_s| word.at_s - at_s));
                    let opened = sitting.forks.iter().find(|(fork, _)| *fork == truth.fork);
                    self.after_opening_s
                        .extend(opened.map(|(_, at_s)| word.at_s - at_s));
                } else {
                    self.others += 1;
                    self.others_supported += usize::from(gain(word) > 0.0);
                    self.lost.push(gain(word));
                }
            }
            self.not_told += usize::from(!heard);
        }
    }
}

/// How long a sample and a response take, microseconds: the median and the 99.9th percentile of each.
fn times() -> anyhow::Result<[f64; 4]> {
    let mut track = PupilTrack::new(Hertz::new(1000.0)?);
    let mut sizes = EyeSizes::new();
    let (mut push_us, mut response_us) = (Vec::new(), Vec::new());
    let us = |from: Instant| 1e6 * from.elapsed().as_secs_f64();
    for n in 0..200_000_u32 {
        let t_s = f64::from(n) / 1000.0;
        let size =
            (n % 4_000 > 150).then(|| 3.5 + 0.1 * (3.0 * t_s).sin() + 0.01 * (97.0 * t_s).sin());
        let from = Instant::now();
        let both = sizes.push(t_s, [size, size.map(|size| size + 0.1)]);
        track.push(t_s, both, Some([1.0, 2.0]));
        push_us.push(us(from));
        if n > 20_000 && n % 50 == 0 {
            let from = Instant::now();
            std::hint::black_box(track.response(t_s - 1.7));
            response_us.push(us(from));
        }
    }
    let at = |values: &mut Vec<f64>, share: f64| {
        values.sort_by(f64::total_cmp);
        values[(share * (values.len() - 1) as f64) as usize]
    };
    Ok([
        at(&mut push_us, 0.5),
        at(&mut push_us, 0.999),
        at(&mut response_us, 0.5),
        at(&mut response_us, 0.999),
    ])
}

/// All persons; one JSON line.
pub(super) fn persons(options: &Options) -> anyhow::Result<()> {
    let mut all = Tally::default();
    for seed in options.seed..options.seed + options.persons {
        let settings = SimSettings {
            seed,
            tracker: TrackerSettings {
                pupil: true,
                ..TrackerSettings::default()
            },
            ..SimSettings::default()
        };
        let none = SimSettings {
            pupil_gain_mm: Some(0.0),
            ..settings.clone()
        };
        let silent = sit(&none, options, true)?;
        // A pupil that follows nothing must not be taken for one that does.
        all.taken_of_none += usize::from(fit_pupil(&trials_of(&silent, &none)?).is_ok());
        let sitting = sit(&settings, options, true)?;
        let trials = trials_of(&sitting, &settings)?;
        let pupil = match fit_pupil(&trials) {
            Ok(pupil) => pupil,
            Err(error) => {
                let why = error.to_string();
                println!("{}", json!({ "person": seed, "pupil_not_used": why }));
                all.refused += 1;
                continue;
            }
        };
        all.calibration_auc.push(pupil.auc.value);
        all.reliability.push(pupil.reliability);
        all.wishing(&sitting, &told(&sitting, &settings, pupil.model)?, &pupil);
        let plain = PupilModel {
            place: [0.0; PLACE_TERMS],
            ..pupil.model
        };
        let words = told(&sitting, &settings, plain)?;
        all.with_place_left_in(&sitting, &words);
        let words = told(&silent, &none, pupil.model)?;
        all.none_told += words.len();
        let nats = |word: &TileWord| pupil.reliability * word.llr_nats.clamp(-CLIP_NATS, CLIP_NATS);
        all.none_nats.extend(words.iter().map(nats));
        all.none_supported += words.iter().filter(|word| word.llr_nats > 0.0).count();
        all.none_s += silent.forks.len() as f64 * FORK_S;
    }
    let times_us = times()?;
    let with_place = auc(&all.with_place.0, &all.with_place.1).ok();
    let at_forks = auc(&all.scores, &all.wanted).ok();
    let wanted = all.gained.len();
    println!(
        "{}",
        json!({ "kind": "pupil", "persons": options.persons, "wishes": options.wishes,
            "calibration": { "refused": all.refused, "taken_though_the_pupil_follows_nothing": all.taken_of_none,
                "auc_p50": median(&mut all.calibration_auc), "reliability_p50": median(&mut all.reliability) },
            "forks": { "with_a_wished_branch": all.forks, "wanted_not_told": all.not_told,
                "auc": at_forks.as_ref().map(|auc| auc.value), "auc_95": at_forks.as_ref().map(|auc| [auc.ci_low, auc.ci_high]),
                "auc_with_place_left_in": with_place.map(|auc| auc.value),
                "wanted": wanted, "wanted_supported": all.supported, "wanted_supported_share_95": wilson(all.supported, wanted.max(1)),
                "wanted_nats_p50": median(&mut all.gained), "wanted_nats_mean": mean(&all.gained),
                "others": all.others, "others_supported": all.others_supported,
                "others_supported_share_95": wilson(all.others_supported, all.others.max(1)), "others_nats_mean": mean(&all.lost),
                "from_opening_s_p50": median(&mut all.after_opening_s), "from_decision_s_p50": median(&mut all.after_decision_s) },
            "push_us_p50_p999": [times_us[0], times_us[1]], "response_us_p50_p999": [times_us[2], times_us[3]],
            "pupil_follows_nothing": { "told": all.none_told, "nats_mean": mean(&all.none_nats), "supported": all.none_supported,
                "supported_share_95": wilson(all.none_supported, all.none_told.max(1)),
                "supported_per_min_95": per_minute(all.none_supported, all.none_s.max(1.0)) } })
    );
    Ok(())
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}
