//! Which choices teach the scorer, what is lost on the way, and that the same lessons move it to the same bits.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]

#[path = "../calibration/tests/common/scattered.rs"]
mod scattered;
#[path = "../calibration/tests/common/session.rs"]
mod session;

use std::sync::OnceLock;

use razvilka::config::AdaptationSection;
use razvilka::engine::adapting::{Adaptation, Adapting, Answered, RefitJob};
use razvilka::fork::ForkId;
use razvilka::pipeline::features::HeardEpoch;
use razvilka::pipeline::presenter::FlashId;
use razvilka_calibration::{EegCalibration, EpochInfo, Epochs, fit_session};
use razvilka_dsp::eeg::EegSpec;
use razvilka_dsp::mask::ChannelMask;
use razvilka_dsp::units::{Hertz, Seconds};
use scattered::Scattered;
use session::eeg_alone;

const CHANNELS: usize = 3;
const BINS: usize = 12;
const ITEMS: u32 = 6;
const FLASHES: u32 = 30;

/// Features of a flash: noise, and a bump when it was attended.
fn features(seed: u64, target: bool) -> Vec<f64> {
    let mut scattered = Scattered::new(seed);
    let mut noise = || 8.0 * scattered.gauss();
    (0..CHANNELS * BINS)
        .map(|k| {
            let bump = (-0.5 * (((k % BINS) as f64 - 6.0) / 1.5).powi(2)).exp();
            let gain = [8.0, 6.0, -4.0][k / BINS];
            noise() + f64::from(u8::from(target)) * gain * bump
        })
        .collect()
}

fn calibrated() -> &'static (EegCalibration, Epochs) {
    static CALIBRATED: OnceLock<(EegCalibration, Epochs)> = OnceLock::new();
    CALIBRATED.get_or_init(|| {
        let mut epochs = Epochs::new(CHANNELS, BINS).unwrap();
        for k in 0..180_u32 {
            let info = EpochInfo {
                onset_s: 0.2 * f64::from(k),
                target: k % 6 == 1,
                run: k / 30,
            };
            let row = features(u64::from(k) + 1, info.target);
            epochs.push(info, &row).unwrap();
        }
        let mut path = EegSpec::p300(Hertz::new(32.0).unwrap(), CHANNELS);
        path.epoch.length = Seconds::new(BINS as f64 / 32.0).unwrap();
        path.band = None;
        let labels = (0..CHANNELS).map(|c| format!("C{c}")).collect();
        let input = eeg_alone(labels, path, epochs.clone());
        (fit_session(&input).unwrap().profile.eeg.unwrap(), epochs)
    })
}

fn adapting(refit_every_forks: u32) -> Adapting {
    let settings = AdaptationSection {
        refit_every_forks,
        ..AdaptationSection::default()
    };
    let (calibration, epochs) = calibrated();
    Adapting::new(calibration, &settings, Some(epochs.clone())).unwrap()
}

/// What a fork of this number sends to learn from; item 1 is attended.
fn flashes(fork: u64) -> Vec<HeardEpoch> {
    (0..FLASHES)
        .map(|number| {
            let item = number % ITEMS;
            let seed = 1_000 * (fork + 1) + u64::from(number);
            HeardEpoch {
                id: FlashId::new(ForkId(fork), number, item as u8),
                onset_s: 100.0 * fork as f64 + 0.2 * f64::from(number),
                features: features(seed, item == 1)
                    .iter()
                    .map(|x| *x as f32)
                    .collect(),
            }
        })
        .collect()
}

fn answered(fork: u64) -> Answered {
    Answered {
        fork: ForkId(fork),
        chosen: 1,
        flashes: (0..FLASHES).collect(),
    }
}

fn hear(adapting: &mut Adapting, fork: u64) {
    for epoch in flashes(fork) {
        adapting.hear(epoch);
    }
    adapting.forget_the_oldest();
}

/// The opening of a fork.
fn open(adapting: &mut Adapting, fork: u64) -> Option<Adaptation> {
    let confirmed = adapting.confirmed();
    adapting.step(ForkId(fork), ChannelMask::NONE, &confirmed, None)
}

#[test]
fn a_choice_teaches_once_the_person_has_chosen_on_from_it() {
    let mut adapting = adapting(0);
    hear(&mut adapting, 0);
    adapting.answered(answered(0));
    // It may still be taken back.
    assert_eq!(open(&mut adapting, 1), None);
    hear(&mut adapting, 1);
    adapting.answered(answered(1));
    let step = open(&mut adapting, 2).unwrap();
    assert!(step.moved() && !step.stands && step.change > 0.0);
    assert_eq!(step.lessons.len(), 1);
    let lesson = &step.lessons[0];
    assert_eq!(lesson.answered, answered(0));
    assert_eq!((lesson.used, lesson.refused, lesson.missed), (30, 0, 0));
    // Nothing is learnt twice.
    assert_eq!(open(&mut adapting, 3), None);
}

#[test]
fn a_choice_that_was_taken_back_teaches_nothing() {
    let mut adapting = adapting(0);
    hear(&mut adapting, 0);
    adapting.answered(answered(0));
    adapting.taken_back();
    hear(&mut adapting, 1);
    adapting.answered(answered(1));
    assert_eq!(open(&mut adapting, 2), None);
    assert_eq!(*adapting.calibration(), calibrated().0);
    // The choice after it teaches as any other.
    adapting.answered(answered(2));
    let step = open(&mut adapting, 3).unwrap();
    assert_eq!(step.lessons[0].answered.fork, ForkId(1));
}

#[test]
fn flashes_whose_epochs_are_not_there_are_counted_and_a_fork_of_them_alone_moves_nothing() {
    let mut adapting = adapting(0);
    // The ring was full in the middle of the fork.
    for epoch in flashes(0) {
        if !(5..15).contains(&epoch.id.number()) {
            adapting.hear(epoch);
        }
    }
    adapting.answered(answered(0));
    // A channel was bad at each flash of this one.
    adapting.answered(answered(1));
    adapting.answered(answered(2));
    let step = open(&mut adapting, 3).unwrap();
    let counts: Vec<_> = step.lessons.iter().map(|l| (l.used, l.missed)).collect();
    assert_eq!(counts, [(20, 10), (0, 30)]);
    assert!(
        step.in_words()
            .starts_with("20 flashes of fork 0, 10 left out; 0 flashes of fork 1, 30 left out, nothing moved; weights")
    );
    let taken: Vec<_> = step.lessons.iter().map(|lesson| lesson.taken).collect();
    assert_eq!(taken, [true, false]);
    let heard: Vec<u32> = (0..5).chain(15..30).collect();
    assert_eq!(step.lessons[0].answered.flashes, heard);
}

#[test]
fn lessons_that_are_never_confirmed_do_not_pile_up() {
    let mut adapting = adapting(0);
    for fork in 0..200 {
        hear(&mut adapting, fork);
    }
    // The oldest are gone, the latest are there.
    adapting.answered(answered(0));
    adapting.answered(answered(199));
    adapting.answered(answered(200));
    let step = open(&mut adapting, 201).unwrap();
    let counts: Vec<_> = step.lessons.iter().map(|l| (l.used, l.missed)).collect();
    assert_eq!(counts, [(0, 30), (30, 0)]);
}

#[test]
fn what_the_events_tell_is_enough_to_reach_the_same_bits_with_a_fit_anew_that_came_late() {
    let mut live = adapting(3);
    let mut under_way: Option<(u64, RefitJob)> = None;
    let mut events = Vec::new();
    for fork in 0..12 {
        let confirmed = live.confirmed();
        // It takes as long as two forks.
        let ready = under_way.take_if(|(begun, _)| *begun + 2 <= fork);
        let done = ready.map(|(_, job)| job.run());
        let step = live.step(ForkId(fork), ChannelMask::NONE, &confirmed, done);
        if let Some(mut step) = step {
            if let Some(job) = live.refit_due() {
                under_way = Some((fork, job));
                step.refit_begun = true;
            }
            events.push(serde_json::to_string(&step).unwrap());
        }
        hear(&mut live, fork);
        live.answered(answered(fork));
    }
    let refits = events.iter().filter(|e| e.contains("\"loss_after\""));
    assert!(refits.count() >= 2, "{events:?}");

    let mut again = adapting(3);
    let mut job = None;
    for fork in 0..12 {
        for epoch in flashes(fork) {
            again.hear(epoch);
        }
    }
    for event in &events {
        let recorded: Adaptation = serde_json::from_str(event).unwrap();
        let confirmed: Vec<Answered> = recorded
            .lessons
            .iter()
            .map(|l| l.answered.clone())
            .collect();
        let ready = recorded.refit.as_ref().and_then(|_| job.take());
        let done = ready.map(RefitJob::run);
        let mut step = again
            .step(recorded.fork, recorded.bad_channels, &confirmed, done)
            .unwrap();
        if recorded.refit_begun {
            job = again.refit_due();
            step.refit_begun = job.is_some();
        }
        assert_eq!(step, recorded);
    }
    assert_eq!(*again.calibration(), *live.calibration());
    assert_ne!(*again.calibration(), calibrated().0);
}
