use razvilka_dsp::state::{Drift, Since};

use super::*;

const WAYS: Ways = Ways {
    without_flashes: true,
    recent_s: 60.0,
};

fn guard_of(config: GuardConfig, ways: Ways) -> Guard {
    Guard::new(GuardSettings::new(config).unwrap(), ways)
}

fn guard() -> Guard {
    guard_of(GuardConfig::default(), WAYS)
}

/// What a simulated person does at one question.
#[derive(Clone, Copy)]
enum Does {
    /// Takes the option in this place after so many times the reading time.
    Takes(usize, f64),
    Corrects,
    Declines,
}

/// A number in 0..1 that looks like chance.
fn chance(n: u32) -> f64 {
    let mut h = u64::from(n)
        .wrapping_add(1)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for _ in 0..2 {
        h = (h ^ (h >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        h ^= h >> 27;
    }
    (h >> 11) as f64 / (1_u64 << 53) as f64
}

/// An ordinary answer: the places change, the times vary.
fn ordinary(n: u32) -> Does {
    let place = (chance(n) * 3.0) as usize;
    Does::Takes(place, 2.0 * (1.0 + 0.6 * (chance(n + 7_919) - 0.5)))
}

/// One question every ten seconds, from question `from` on; gives the steps with the question at which they came.
fn live(
    guard: &mut Guard,
    questions: std::ops::Range<u32>,
    does: impl Fn(u32) -> Does,
) -> Vec<(u32, Step)> {
    let mut steps = Vec::new();
    for n in questions {
        let at_s = 1e6 + 10.0 * f64::from(n);
        let mut took = |step: Option<Step>| steps.extend(step.map(|step| (n, step)));
        took(guard.asked(at_s));
        let selected = |item, corrects, times_reading| {
            Some(Selected {
                item,
                corrects,
                times_reading,
            })
        };
        took(guard.ended(&Answered {
            at_s: at_s + 3.0,
            selected: match does(n) {
                Does::Takes(item, times) => selected(item, false, times),
                Does::Corrects => selected(3, true, 2.0),
                Does::Declines => None,
            },
        }));
    }
    steps
}

fn rungs(steps: &[(u32, Step)]) -> Vec<Rung> {
    steps.iter().map(|(_, step)| step.to).collect()
}

#[test]
fn somebody_who_answers_as_ever_is_left_alone() {
    assert_eq!(live(&mut guard(), 0..500, ordinary), []);
}

#[test]
fn each_way_of_being_overloaded_is_named_and_leads_up_one_rung_at_a_time() {
    let slow = |n| match ordinary(n) {
        Does::Takes(item, times) => Does::Takes(item, 2.5 * times),
        other => other,
    };
    let ways: [(Sign, &dyn Fn(u32) -> Does); 4] = [
        (Sign::Slow, &slow),
        (Sign::Declined, &|_| Does::Declines),
        (Sign::Corrected, &|_| Does::Corrects),
        (Sign::Rote, &|_| Does::Takes(0, 1.0)),
    ];
    for (sign, does) in ways {
        let mut guard = guard();
        assert_eq!(live(&mut guard, 0..60, ordinary), []);
        let steps = live(&mut guard, 60..160, does);
        let Some((at, first)) = steps.first() else {
            panic!("{sign:?} leads nowhere");
        };
        assert!(*at < 100, "{sign:?} at {at}");
        assert_eq!(first.why, Cause::Signs(vec![sign]));
        assert_eq!((first.from, first.to), (Rung::AtEase, Rung::LongerPauses));
        for pair in steps.windows(2) {
            assert_eq!(pair[0].1.to, pair[1].1.from);
        }
    }
}

#[test]
fn every_rung_does_what_it_says_and_the_highest_is_what_was_set() {
    let mut guard = guard_of(
        GuardConfig {
            highest: Rung::Stop,
            ..GuardConfig::default()
        },
        WAYS,
    );
    let does = |guard: &Guard| {
        let (pause, share) = (guard.pause_s() > 0.0, guard.questions_share() < 1.0);
        (pause, share, guard.without_flashes())
    };
    assert_eq!(does(&guard), (false, false, false));
    let expected = [
        (Rung::LongerPauses, (true, false, false)),
        (Rung::FewerQuestions, (true, true, false)),
        (Rung::OtherModality, (true, true, true)),
        (Rung::Break, (true, true, true)),
        (Rung::Stop, (true, true, true)),
    ];
    let mut n = 0;
    for (rung, done) in expected {
        let step = loop {
            n += 1;
            let steps = live(&mut guard, n..n + 1, |_| Does::Declines);
            if let Some((_, step)) = steps.into_iter().next() {
                break step;
            }
        };
        assert_eq!((step.to, does(&guard)), (rung, done));
    }
    assert_eq!(live(&mut guard, n + 1..n + 100, |_| Does::Declines), []);

    let mut guard = self::guard();
    let steps = live(&mut guard, 0..300, |_| Does::Declines);
    assert_eq!(rungs(&steps).last(), Some(&Rung::Break));
    // Where nothing but flashes can choose, that rung is not there.
    let alone = Ways {
        without_flashes: false,
        ..WAYS
    };
    let mut guard = guard_of(GuardConfig::default(), alone);
    let steps = live(&mut guard, 0..300, |_| Does::Declines);
    let [pauses, fewer, rest] = [Rung::LongerPauses, Rung::FewerQuestions, Rung::Break];
    assert_eq!(rungs(&steps), [pauses, fewer, rest]);
    let calm = live(&mut guard, 300..400, ordinary);
    assert_eq!(rungs(&calm), [fewer, pauses, Rung::AtEase]);
    assert!(calm.iter().all(|(_, step)| step.why == Cause::Calm));
}

#[test]
fn between_two_steps_up_lie_time_and_questions_and_new_signs() {
    let config = GuardConfig {
        hold_s: 300.0,
        ..GuardConfig::default()
    };
    let mut guard = guard_of(config, WAYS);
    let steps = live(&mut guard, 0..200, |_| Does::Declines);
    for pair in steps.windows(2) {
        assert!(pair[1].0 - pair[0].0 >= 30, "{steps:?}");
    }
    // One bad stretch is one step: what led to it is not counted again.
    let mut guard = self::guard();
    let steps = live(&mut guard, 0..120, |n| {
        if (40..48).contains(&n) {
            Does::Declines
        } else {
            ordinary(n)
        }
    });
    assert_eq!(rungs(&steps), [Rung::LongerPauses, Rung::AtEase]);
}

#[test]
fn the_person_takes_every_step_back_and_may_go_further_by_itself() {
    let mut guard = guard();
    let steps = live(&mut guard, 0..60, |_| Does::Declines);
    let highest = *rungs(&steps).last().unwrap();
    assert!(highest > Rung::LongerPauses);
    let back = guard.said(Said::CarryOn).unwrap();
    assert_eq!((back.from, back.to), (highest, Rung::AtEase));
    assert_eq!((back.why, guard.questions_share()), (Cause::Person, 1.0));
    assert_eq!(guard.said(Said::CarryOn), None, "it is taken back already");
    // 600 s are 60 questions.
    assert_eq!(live(&mut guard, 60..115, |_| Does::Declines), []);
    let tired = guard.said(Said::Tired).unwrap();
    assert_eq!((tired.to, tired.why), (Rung::LongerPauses, Cause::Person));
}

#[test]
fn more_questions_than_anybody_should_be_asked_are_a_load_by_themselves() {
    let mut guard = guard();
    let mut step = None;
    for n in 0..200 {
        let at_s = 2.0 * f64::from(n);
        step = step.or(guard.asked(at_s));
        let Does::Takes(item, times_reading) = ordinary(n) else {
            continue;
        };
        let selected = Some(Selected {
            item,
            corrects: false,
            times_reading,
        });
        step = step.or(guard.ended(&Answered { at_s, selected }));
    }
    assert_eq!(step.unwrap().why, Cause::Signs(vec![Sign::Rate]));
}

/// What is known at a fork: the same value of each of the first `known` indices, and the probability that they have risen.
fn state_of(value: f64, risen: f64, known: usize) -> PersonState {
    let mut state = PersonState::default();
    let (eeg, eyes) = (&mut state.indices, &mut state.eyes);
    let all = [
        &mut eeg.theta_alpha,
        &mut eeg.slow_fast,
        &mut eyes.blink_s,
        &mut eyes.perclos,
    ];
    for index in all.into_iter().take(known) {
        (index.z, index.risen) = (Some(value), Some(risen));
    }
    state
}

/// An hour with a fork every ten seconds and ordinary answers; `of` gives the state at a minute.
fn hour(guard: &mut Guard, of: impl Fn(f64) -> PersonState) -> Vec<(u32, Step)> {
    (0..360)
        .flat_map(|n| {
            let t_s = 10.0 * f64::from(n);
            let step = guard.state(t_s, &of(t_s / 60.0)).map(|step| (n, step));
            step.into_iter().chain(live(guard, n..n + 1, ordinary))
        })
        .collect()
}

fn wobble(minute: f64) -> f64 {
    0.3 * (chance((minute * 60.0) as u32) - 0.5)
}

#[test]
fn an_index_counts_only_beyond_time_on_task() {
    // Risen for sure, but as steadily as the clock goes: the clock says as much.
    let steady = hour(&mut guard(), |minute| {
        state_of(0.05 * minute + wobble(minute), 0.999, 4)
    });
    assert_eq!(steady, []);
    let bend = |minute: f64| 0.1 * (minute - 30.0).max(0.0) + wobble(minute);
    let bent = hour(&mut guard(), |minute| state_of(bend(minute), 0.999, 4));
    let (at, step) = bent.first().unwrap();
    assert!(*at > 180, "not before the bend: {at}");
    assert_eq!(step.why, Cause::Signs(vec![Sign::Fatigue]));
    // The same bend where it is not sure that anything has moved, or where a single index says so.
    for (risen, known) in [(0.9, 4), (0.999, 1)] {
        let unsure = hour(&mut guard(), |minute| state_of(bend(minute), risen, known));
        assert_eq!(unsure, [], "{risen} {known}");
    }
}

#[test]
fn a_p300_that_fades_is_habituation() {
    let faded = |minute: f64| {
        let lost = 0.03 * (minute - 25.0).max(0.0);
        let since = Since {
            baseline: 1.0,
            z: -3.0,
            fallen: if lost > 0.1 { 0.99 } else { 0.5 },
        };
        PersonState {
            p300: Some(Drift {
                amplitude: 1.0 - lost + 0.1 * wobble(minute),
                se: 0.1,
                forks: 20.0,
                since: Some(since),
            }),
            ..PersonState::default()
        }
    };
    let steps = hour(&mut guard(), faded);
    let (_, step) = steps.first().unwrap();
    assert_eq!(step.why, Cause::Signs(vec![Sign::Faded]));
    assert_eq!(step.kind(), Some(Kind::Habituation));
}

#[test]
fn what_is_missing_is_no_sign() {
    let nothing = PersonState::default();
    let mut nan = state_of(f64::NAN, f64::NAN, 4);
    nan.p300 = Some(Drift {
        amplitude: f64::NAN,
        se: f64::NAN,
        forks: f64::NAN,
        since: Some(Since {
            baseline: f64::NAN,
            z: f64::NAN,
            fallen: f64::NAN,
        }),
    });
    let infinite = state_of(f64::INFINITY, f64::INFINITY, 4);
    let mut without_baseline = state_of(5.0, 1.0, 4);
    without_baseline.indices.theta_alpha.risen = None;
    without_baseline.indices.slow_fast.risen = None;
    without_baseline.eyes.blink_s.risen = None;
    without_baseline.eyes.perclos.risen = None;
    for state in [nothing, nan, infinite, without_baseline] {
        assert_eq!(hour(&mut guard(), |_| state), [], "{state:?}");
    }
    // A session without any question, answers that take no time, moments that are none.
    let mut guard = guard();
    for minute in 0..600 {
        assert_eq!(guard.state(60.0 * f64::from(minute), &nan), None);
        assert_eq!(guard.state(f64::NAN, &nan), None);
        assert_eq!(guard.asked(f64::NAN), None);
        let selected = Some(Selected {
            item: usize::try_from(minute % 3).unwrap(),
            corrects: false,
            times_reading: [f64::NAN, 0.0, f64::INFINITY][(minute % 3) as usize],
        });
        let answered = Answered {
            at_s: f64::NAN,
            selected,
        };
        assert_eq!(guard.ended(&answered), None);
    }
    assert_eq!(guard.rung(), Rung::AtEase);
}

#[test]
fn an_index_that_is_lost_when_it_would_count_counts_no_more() {
    let bend = |minute: f64| 0.1 * (minute - 30.0).max(0.0) + wobble(minute);
    // The streams are gone from the minute on at which it would have said so.
    let lost = hour(&mut guard(), |minute| {
        if minute < 33.0 {
            state_of(bend(minute), 0.999, 4)
        } else {
            PersonState::default()
        }
    });
    assert_eq!(lost, []);
}

#[test]
fn one_departure_is_one_step_and_one_that_lasts_leads_on() {
    let bend = |minute: f64| 0.1 * (minute - 30.0).max(0.0) + wobble(minute);
    let lasts = hour(&mut guard(), |minute| state_of(bend(minute), 0.999, 4));
    assert!(rungs(&lasts).starts_with(&[Rung::LongerPauses, Rung::FewerQuestions]));
    // While it lasts, nothing is taken for calm.
    assert!(lasts.iter().all(|(_, step)| step.is_up()), "{lasts:?}");
    // Back on its course from the first step on.
    let until = f64::from(lasts[0].0) / 6.0 + 0.01;
    let ends = hour(&mut guard(), |minute| {
        let value = if minute < until {
            bend(minute)
        } else {
            wobble(minute)
        };
        state_of(value, 0.999, 4)
    });
    assert_eq!(rungs(&ends), [Rung::LongerPauses, Rung::AtEase], "{ends:?}");
}

#[test]
fn a_p300_that_is_heard_no_more_leads_no_further() {
    let faded = |minute: f64| PersonState {
        p300: Some(Drift {
            amplitude: 1.0 - 0.03 * (minute - 25.0).max(0.0) + 0.1 * wobble(minute),
            se: 0.1,
            forks: 20.0,
            since: Some(Since {
                baseline: 1.0,
                z: -3.0,
                fallen: 0.99,
            }),
        }),
        ..PersonState::default()
    };
    let goes_on = hour(&mut guard(), faded);
    assert!(rungs(&goes_on).starts_with(&[Rung::LongerPauses, Rung::FewerQuestions]));
    // From the first step on nobody answers by flashes: the mean stays as it was.
    let until = 10.0 * f64::from(goes_on[0].0) / 60.0;
    let silent = hour(&mut guard(), |minute| faded(minute.min(until)));
    assert_eq!(rungs(&silent), [Rung::LongerPauses, Rung::AtEase]);
}

#[test]
fn another_modality_has_times_of_its_own() {
    let mut guard = guard();
    assert_eq!(live(&mut guard, 0..60, ordinary), []);
    for _ in 0..3 {
        guard.said(Said::Tired).unwrap();
    }
    assert!(guard.without_flashes());
    let slower = |n| match ordinary(n) {
        Does::Takes(item, times) => Does::Takes(item, 2.5 * times),
        other => other,
    };
    let steps = live(&mut guard, 60..160, slower);
    assert!(steps.iter().all(|(_, step)| !step.is_up()), "{steps:?}");
}
