use razvilka_dsp::eeg::{EegPath, EegSpec, FlashError, ScoredFlash};
use razvilka_dsp::epoch::{EpochStatus, Rejection, ScorerRefused};
use razvilka_dsp::mask::ChannelMask;
use razvilka_dsp::score::{EpochScorer, LinearScorer};
use razvilka_dsp::stamps::StampVerdict;
use razvilka_dsp::units::{Microvolts, SampleIndex};

use super::{Noise, hz, s};

const RATE: f64 = 250.0;
const CHANNELS: usize = 4;
const CLEAN: EpochStatus = EpochStatus::Clean;

fn rejected(why: Rejection) -> EpochStatus {
    EpochStatus::Rejected(why)
}

fn spec() -> EegSpec {
    EegSpec::p300(hz(RATE), CHANNELS)
}

fn scorer(path: &EegPath, scale: f64, channels: &[usize]) -> EpochScorer {
    let shape = path.epoch_shape();
    let weights: Vec<f64> = (0..shape.features())
        .map(|i| {
            if channels.contains(&(i / shape.bins())) {
                scale * (1.0 + (i % shape.bins()) as f64)
            } else {
                0.0
            }
        })
        .collect();
    LinearScorer::new(shape, &weights, 0.0).unwrap().into()
}

fn path() -> EegPath {
    let mut path = EegPath::prepare(spec()).unwrap();
    let all = scorer(&path, 0.01, &[0, 1, 2, 3]);
    path.set_scorer(all).unwrap();
    path
}

fn stamp(sample: f64) -> f64 {
    100.0 + sample / RATE
}

/// Feeds samples `range` of a reproducible EEG, those for which `keep` is true, after `change` has had its way with them.
fn feed(
    path: &mut EegPath,
    range: std::ops::Range<u32>,
    keep: impl Fn(u32) -> bool,
    change: impl Fn(u32, &mut [f32; CHANNELS]),
) -> Vec<ScoredFlash> {
    let mut results = Vec::new();
    for i in range.filter(|i| keep(*i)) {
        let mut noise = Noise(u64::from(i));
        let slow = f64::from(i);
        let mut sample = [0.02, 0.025, 0.03, 0.035]
            .map(|w: f64| (40_000.0 + 20.0 * (slow * w).sin() + noise.next()) as f32);
        change(i, &mut sample);
        path.push(stamp(slow), &sample).unwrap();
        assert!(path.filtered().iter().all(|v| v.is_finite()));
        results.extend(std::iter::from_fn(|| path.pop()));
    }
    results
}

fn statuses(results: &[ScoredFlash]) -> Vec<(u64, EpochStatus)> {
    let mut all: Vec<_> = results.iter().map(|r| (r.id, r.status)).collect();
    all.sort_by_key(|(id, _)| *id);
    all
}

#[test]
fn the_sample_of_a_flash_is_the_first_within_half_a_period() {
    let mut path = path();
    for (id, offset) in [-0.51, -0.49, 0.0, 0.49, 0.51].into_iter().enumerate() {
        path.flash(id as u64, stamp(300.0 + offset)).unwrap();
    }
    let results = feed(&mut path, 0..600, |_| true, |_, _| {});
    let mut onsets: Vec<_> = results.iter().map(|r| (r.id, r.onset_sample.0)).collect();
    onsets.sort_unstable();
    assert_eq!(onsets, [(0, 299), (1, 300), (2, 300), (3, 300), (4, 301)]);
    for r in &results {
        assert_eq!(r.last_sample, SampleIndex(r.onset_sample.0 + 199));
        assert_eq!(r.last_s, stamp(r.last_sample.0 as f64));
        assert_eq!(r.status, CLEAN);
    }
}

#[test]
fn a_gap_of_20_ms_is_filled_and_hardly_changes_the_score() {
    let score = |keep: fn(u32) -> bool| {
        let mut path = path();
        path.flash(1, stamp(400.0)).unwrap();
        let results = feed(&mut path, 0..700, keep, |_, _| {});
        assert_eq!(statuses(&results), [(1, CLEAN)]);
        assert_eq!(path.next_sample(), SampleIndex(700));
        (results[0].score.unwrap(), path.counts().interpolated)
    };
    let (whole, none) = score(|_| true);
    let (filled, five) = score(|i| !(450..455).contains(&i));
    assert_eq!((none, five), (0, 5));
    assert!(
        (whole - filled).abs() < 0.05 * whole.abs(),
        "{filled} for {whole}"
    );
}

#[test]
fn a_longer_gap_rejects_the_epochs_it_touches_and_no_others() {
    let mut path = path();
    for id in [250, 440, 470, 520] {
        path.flash(id, stamp(id as f64)).unwrap();
    }
    // The hole takes samples 460..485: one flash lies in it.
    let results = feed(&mut path, 0..900, |i| !(460..485).contains(&i), |_, _| {});
    assert_eq!(
        statuses(&results),
        [
            (250, CLEAN),
            (440, rejected(Rejection::Gap)),
            (470, rejected(Rejection::NoOnsetSample)),
            (520, CLEAN),
        ]
    );
    assert_eq!(path.counts().stamps.gaps_rejected, 1);
}

#[test]
fn after_a_second_without_samples_the_filters_start_anew_and_settle() {
    let mut path = path();
    for id in [400, 1_010, 1_200] {
        path.flash(id, stamp(id as f64)).unwrap();
    }
    let results = feed(
        &mut path,
        0..1_500,
        |i| !(500..1_000).contains(&i),
        |i, x| {
            // Another DC after the pause: a filter that went on would ring for seconds.
            if i >= 1_000 {
                x[0] += 100_000.0;
            }
        },
    );
    assert_eq!(
        statuses(&results),
        [
            (400, rejected(Rejection::Restart)),
            (1_010, rejected(Rejection::Unsettled)),
            (1_200, CLEAN),
        ]
    );
    assert_eq!(results[0].score, None, "it ended early");
    assert_eq!(results[0].last_s, stamp(499.0));
}

#[test]
fn a_jump_of_the_clock_ends_every_epoch_and_every_waiting_flash() {
    let mut path = path();
    path.flash(1, stamp(450.0)).unwrap();
    path.flash(2, stamp(2_000.0)).unwrap();
    let mut results = feed(&mut path, 0..500, |_| true, |_, _| {});
    assert!(results.is_empty());
    for i in 500..560 {
        let verdict = path
            .push(stamp(f64::from(i)) - 3_000.0, &[0.0; CHANNELS])
            .unwrap();
        assert!(!matches!(verdict, StampVerdict::Gap { .. }));
        results.extend(std::iter::from_fn(|| path.pop()));
    }
    let jump = rejected(Rejection::ClockJump);
    assert_eq!(statuses(&results), [(1, jump), (2, jump)]);
    assert_eq!(path.in_flight(), 0);
    // What was before the jump cannot be asked for any more.
    assert!(
        matches!(path.flash(3, stamp(480.0)), Ok(())),
        "a stamp in the new clock's future waits"
    );
    assert!(matches!(
        path.flash(4, stamp(0.0) - 3_000.0),
        Err(FlashError::TooLate { id: 4, .. })
    ));
}

#[test]
fn a_value_that_is_no_number_spoils_its_channel_until_settled_and_nothing_else() {
    let run = |used: &[usize]| {
        let mut path = EegPath::prepare(spec()).unwrap();
        let some = scorer(&path, 0.01, used);
        path.set_scorer(some).unwrap();
        for id in [250, 450, 1_100] {
            path.flash(id, stamp(id as f64)).unwrap();
        }
        let results = feed(
            &mut path,
            0..1_400,
            |_| true,
            |i, x| {
                if i == 500 {
                    x[2] = f32::NAN;
                }
            },
        );
        assert_eq!(path.counts().held_values, 1);
        results
    };
    let with = run(&[0, 1, 2, 3]);
    assert_eq!(
        statuses(&with),
        [
            (250, CLEAN),
            (450, rejected(Rejection::BadChannel)),
            (1_100, CLEAN)
        ]
    );
    let without = run(&[0, 1, 3]);
    assert!(
        without.iter().all(|r| r.status == CLEAN),
        "the scorer does not use that channel"
    );
}

#[test]
fn an_artefact_beyond_the_peak_to_peak_limit_rejects_its_epoch() {
    let mut path = path();
    for id in [300, 600, 900] {
        path.flash(id, stamp(id as f64)).unwrap();
    }
    let blink = |i: u32, x: &mut [f32; CHANNELS]| {
        if (650..700).contains(&i) {
            x[1] += 400.0;
        }
    };
    let results = feed(&mut path, 0..1_200, |_| true, blink);
    let p2p = rejected(Rejection::PeakToPeak);
    assert_eq!(statuses(&results), [(300, CLEAN), (600, p2p), (900, CLEAN)]);
    assert!(results.iter().all(|r| r.score.is_some_and(f64::is_finite)));
}

#[test]
fn too_few_good_channels_reject_every_epoch() {
    let mut path = path();
    path.set_used(ChannelMask::all(CHANNELS));
    path.flash(1, stamp(1_000.0)).unwrap();
    let results = feed(
        &mut path,
        0..1_300,
        |_| true,
        |_, x| {
            x[0] = 0.0;
            x[1] = 0.0;
            x[2] = 0.0;
        },
    );
    assert_eq!(statuses(&results), [(1, rejected(Rejection::Montage))]);
}

#[test]
fn a_new_scorer_counts_for_flashes_opened_later_and_the_old_one_comes_back() {
    let mut path = path();
    path.flash(1, stamp(300.0)).unwrap();
    feed(&mut path, 0..310, |_| true, |_, _| {});
    let doubled = scorer(&path, 0.02, &[0, 1, 2, 3]);
    assert_eq!(path.set_scorer(doubled.clone()), Ok(None));
    // Flash 1 is still open under the first scorer, whose place the third one wants.
    assert!(matches!(
        path.set_scorer(doubled.clone()),
        Err(ScorerRefused::Busy(_))
    ));
    path.flash(2, stamp(300.0)).unwrap();
    let results = feed(&mut path, 310..600, |_| true, |_, _| {});
    let [first, second] =
        [1, 2].map(|id| results.iter().find(|r| r.id == id).unwrap().score.unwrap());
    assert!(
        (second - 2.0 * first).abs() < 1e-9 * first.abs(),
        "{first} {second}"
    );
    let out = path.set_scorer(doubled).unwrap().unwrap();
    assert_eq!(out, scorer(&path, 0.01, &[0, 1, 2, 3]));
    let other = EegPath::prepare(EegSpec::p300(hz(RATE), 2)).unwrap();
    let narrow = scorer(&other, 1.0, &[0]);
    assert!(matches!(
        path.set_scorer(narrow),
        Err(ScorerRefused::Shape { .. })
    ));
}

/// Which scorer each flash had (the third has a weight thrice that of the first), when flashes are announced `lead` samples before their
/// own and the scorer is set at sample `set_at`.
fn with_scorer_from(from: f64, set_at: u32, lead: i32) -> Vec<(u64, usize, Option<u64>)> {
    let mut path = path();
    let other = scorer(&path, 0.03, &[0, 1, 2]);
    let onset = |id: u32| 300.0 + 37.0 * f64::from(id);
    let mut results = Vec::new();
    for i in 0..900_u32 {
        if i == set_at {
            let out = path.set_scorer_from(stamp(from), other.clone());
            assert_eq!((out, path.next_place()), (Ok(None), 0));
        }
        for id in 0..8 {
            if i64::from(i) == onset(id) as i64 - i64::from(lead) {
                path.flash(u64::from(id), stamp(onset(id))).unwrap();
            }
        }
        results.extend(feed(&mut path, i..i + 1, |_| true, |_, _| {}));
    }
    results.sort_by_key(|result| result.id);
    let told = results.iter();
    told.map(|r| (r.id, r.scorer, r.score.map(f64::to_bits)))
        .collect()
}

#[test]
fn a_scorer_from_an_onset_on_takes_the_same_flashes_whenever_it_and_they_are_heard_of() {
    // From the fourth flash on; known long before, or just before that flash is announced.
    let from = 300.0 + 2.5 * 37.0;
    let at_once = with_scorer_from(from, 310, 0);
    let places: Vec<usize> = at_once.iter().map(|(_, place, _)| *place).collect();
    assert_eq!(places, [1, 1, 1, 0, 0, 0, 0, 0]);
    for (set_at, lead) in [(10, 0), (340, 0), (310, 30), (340, -60), (405, -130)] {
        assert_eq!(
            with_scorer_from(from, set_at, lead),
            at_once,
            "{set_at} {lead}"
        );
    }
    let never = with_scorer_from(f64::from(u32::MAX), 310, 0);
    assert!(never.iter().all(|(_, place, _)| *place == 1));
    assert_eq!(never[..3], at_once[..3]);
    assert!(never[3..].iter().zip(&at_once[3..]).all(|(a, b)| a != b));
}

#[test]
fn a_scorer_that_waits_for_an_onset_gives_way_to_one_that_counts_at_once() {
    let mut path = path();
    let [waits, at_once] = [0.02, 0.03].map(|scale| scorer(&path, scale, &[0, 1]));
    assert_eq!(path.set_scorer_from(stamp(300.0), waits.clone()), Ok(None));
    assert_eq!(path.set_scorer(at_once), Ok(Some(waits)));
    path.flash(1, stamp(300.0)).unwrap();
    let results = feed(&mut path, 0..600, |_| true, |_, _| {});
    assert_eq!((results[0].scorer, path.next_place()), (0, 1));
}

#[test]
fn flashes_that_cannot_be_served_are_refused_with_a_reason() {
    let mut path = path();
    assert!(matches!(
        path.flash(1, f64::NAN),
        Err(FlashError::NotFinite { id: 1 })
    ));
    feed(&mut path, 0..2_000, |_| true, |_, _| {});
    let late = path.flash(2, stamp(500.0)).unwrap_err();
    assert!(matches!(late, FlashError::TooLate { id: 2, late_s } if (late_s - 5.996).abs() < 1e-6));
    assert!(late.to_string().contains("announced 5.996 s after"));
    assert_eq!(
        path.flash(3, stamp(1_100.0)),
        Ok(()),
        "within the history of 4 s"
    );
    assert_eq!(path.pop().map(|r| r.status), Some(CLEAN));
    for id in 0..32 {
        path.flash(100 + id, stamp(1_990.0)).unwrap();
    }
    assert!(matches!(
        path.flash(200, stamp(1_990.0)),
        Err(FlashError::BankFull { open: 32, .. })
    ));
    for id in 0..256 {
        path.flash(300 + id, stamp(9_000.0)).unwrap();
    }
    assert!(matches!(
        path.flash(999, stamp(9_000.0)),
        Err(FlashError::TooMany { waiting: 256, .. })
    ));
}

#[test]
fn a_late_start_of_the_epoch_is_counted_from_the_flash() {
    let mut late = spec();
    late.epoch.start = s(0.1);
    let mut path = EegPath::prepare(late).unwrap();
    path.flash(1, stamp(300.0)).unwrap();
    let results = feed(&mut path, 0..600, |_| true, |_, _| {});
    assert_eq!(results[0].onset_sample.0, 300);
    assert_eq!(results[0].last_sample.0, 300 + 25 + 199);
}

#[test]
fn a_wrong_number_of_channels_is_refused_before_anything_happens() {
    let mut path = path();
    assert!(path.push(stamp(0.0), &[0.0; 3]).is_err());
    assert!(
        path.push_block(&[stamp(0.0), stamp(1.0)], &[0.0; 7])
            .is_err()
    );
    assert_eq!(path.counts().stamps.accepted, 0);
}

#[test]
fn settings_travel_through_json_and_absurd_ones_are_refused() {
    let json = serde_json::to_string(&spec()).unwrap();
    assert_eq!(serde_json::from_str::<EegSpec>(&json).unwrap(), spec());
    let mut bad = spec();
    bad.epoch.length = s(3.0);
    assert!(EegPath::prepare(bad).is_err());
    let mut bad = spec();
    bad.epoch.peak_to_peak = Microvolts::new(-5.0).unwrap();
    assert!(EegPath::prepare(bad).is_err());
    let mut bad = spec();
    bad.rate = hz(39.0);
    let message = EegPath::prepare(bad).unwrap_err().to_string();
    assert!(
        message.contains("must lie below half the sampling rate"),
        "{message}"
    );
}

#[test]
fn after_a_restart_scores_are_those_of_a_new_path_and_counts_go_on() {
    let mut old = path();
    feed(&mut old, 0..1_000, |_| true, |_, _| {});
    old.flash(1, stamp(990.0)).unwrap();
    let before = old.next_sample();
    old.restart();
    assert_eq!((old.in_flight(), old.next_sample()), (0, before));
    let mut new = path();
    for path in [&mut old, &mut new] {
        // A flash from before the restart has no sample any more.
        path.flash(2, stamp(995.0)).unwrap();
        path.flash(3, stamp(2_600.0)).unwrap();
    }
    let results = feed(&mut old, 1_500..3_000, |_| true, |_, _| {});
    let fresh = feed(&mut new, 1_500..3_000, |_| true, |_, _| {});
    assert_eq!(results.len(), 2);
    for (a, b) in results.iter().zip(&fresh) {
        assert_eq!((a.id, a.status), (b.id, b.status));
        assert_eq!(a.score.map(f64::to_bits), b.score.map(f64::to_bits));
        assert_eq!(a.onset_sample.0, b.onset_sample.0 + before.0);
    }
    assert_eq!(results[0].status, rejected(Rejection::NoOnsetSample));
    assert_eq!(results[1].status, CLEAN);
    assert_eq!(old.counts().stamps.accepted, 2_500);
}
