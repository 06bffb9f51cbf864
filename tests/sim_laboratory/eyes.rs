//! Do the eyes move like eyes?

use razvilka::marker::{Event, GazePhase};
use razvilka::sim::{Preset, SimSettings};

use crate::script::{START_S, Script, record, six_options};

fn quiet_tracker() -> SimSettings {
    SimSettings {
        preset: Preset::Easy,
        gaze_rate_hz: 1000.0,
        gaze_noise_deg: Some(0.0),
        ..SimSettings::default()
    }
}

/// Points of a calibration in turn, `each_s` apart; returns them with their times.
fn points(script: &mut Script, each_s: f64, rounds: usize) -> Vec<(f64, f64, f64)> {
    let places = [
        (0.0, 0.0),
        (-12.0, -7.0),
        (12.0, 7.0),
        (-12.0, 7.0),
        (12.0, -7.0),
        (0.0, 7.0),
        (3.0, -2.0),
        (-9.0, 1.0),
        (0.0, -7.0),
    ];
    let mut shown = Vec::new();
    for n in 0..places.len() * rounds {
        let (x_deg, y_deg) = places[n % places.len()];
        let at = 1.0 + each_s * n as f64;
        script.say(
            at,
            Event::GazePoint {
                point: n as u32,
                x_deg,
                y_deg,
                phase: GazePhase::Fit,
            },
        );
        shown.push((at, x_deg, y_deg));
    }
    shown
}

#[test]
fn saccades_in_the_stream_lie_on_the_main_sequence() {
    let settings = quiet_tracker();
    let mut script = Script::default();
    let shown = points(&mut script, 1.2, 8);
    let recording = record(&settings, &script, 1.0 + 1.2 * shown.len() as f64);
    let gaze = recording.degrees(&settings);
    // Velocity over 6 ms, so that tremor hardly counts.
    let speed = |n: usize| -> Option<f64> {
        let (a, b) = (gaze[n - 3]?, gaze[n + 3]?);
        Some((b.0 - a.0).hypot(b.1 - a.1) / 0.006)
    };
    let mut ratios = Vec::new();
    let mut n = 3;
    while n + 200 < gaze.len() {
        if speed(n).is_some_and(|v| v > 35.0) {
            let end = (n..gaze.len() - 3)
                .find(|k| speed(*k).is_none_or(|v| v <= 35.0))
                .unwrap();
            let whole = (n - 3..end + 3).all(|k| gaze[k].is_some());
            if whole && let (Some(a), Some(b)) = (gaze[n - 3], gaze[end + 3]) {
                let amplitude = (b.0 - a.0).hypot(b.1 - a.1);
                let peak = (n..end).filter_map(speed).fold(0.0, f64::max);
                let expected = 551.0 * (1.0 - (-amplitude / 14.0).exp());
                if amplitude > 4.0 {
                    ratios.push(peak / expected);
                }
            }
            n = end + 20;
        }
        n += 1;
    }
    assert!(ratios.len() > 40, "{} saccades", ratios.len());
    ratios.sort_by(f64::total_cmp);
    let quantile = |q: f64| ratios[(q * (ratios.len() - 1) as f64) as usize];
    assert!(quantile(0.05) > 0.75 && quantile(0.95) < 1.3, "{ratios:?}");
    assert!((0.85..1.15).contains(&quantile(0.5)));
}

#[test]
fn the_eyes_follow_calibration_points_after_a_latency() {
    let settings = quiet_tracker();
    let mut script = Script::default();
    let shown = points(&mut script, 1.2, 4);
    let recording = record(&settings, &script, 1.0 + 1.2 * shown.len() as f64);
    let gaze = recording.degrees(&settings);
    let mut latencies = Vec::new();
    for pair in shown.windows(2) {
        let [(_, x0, y0), (at, x1, y1)] = pair else {
            unreachable!()
        };
        let index = |t: f64| (t * settings.gaze_rate_hz) as usize;
        let settled = gaze[index(at + 0.8)..index(at + 1.15)].iter().flatten();
        let errors: Vec<f64> = settled.map(|g| (g.0 - x1).hypot(g.1 - y1)).collect();
        if errors.is_empty() {
            continue; // a blink
        }
        let mean = errors.iter().sum::<f64>() / errors.len() as f64;
        assert!(mean < 2.5, "{mean} degrees from the point at {at}");
        let half_way = (x1 - x0).hypot(y1 - y0) / 2.0;
        let left = (index(*at)..index(at + 1.0))
            .find(|n| gaze[*n].is_some_and(|g| (g.0 - x1).hypot(g.1 - y1) < half_way));
        if let Some(left) = left {
            latencies.push(left as f64 / settings.gaze_rate_hz - at);
        }
    }
    latencies.sort_by(f64::total_cmp);
    let median = latencies[latencies.len() / 2];
    assert!((0.15..0.35).contains(&median), "{median}");
    assert!(latencies[0] > 0.09, "{latencies:?}");
}

#[test]
fn the_tracker_has_an_error_that_calibration_has_to_find() {
    // The mean error over all points differs from zero, and from person to person.
    let offset = |seed| {
        let settings = SimSettings {
            seed,
            preset: Preset::Typical,
            ..quiet_tracker()
        };
        let mut script = Script::default();
        let shown = points(&mut script, 1.2, 1);
        let recording = record(&settings, &script, 12.0);
        let gaze = recording.degrees(&settings);
        let mut sum = (0.0, 0.0);
        let mut n = 0.0;
        for (at, x, y) in shown {
            let index = |t: f64| (t * settings.gaze_rate_hz) as usize;
            for g in gaze[index(at + 0.8)..index(at + 1.15)].iter().flatten() {
                sum = (sum.0 + g.0 - x, sum.1 + g.1 - y);
                n += 1.0;
            }
        }
        (sum.0 / n, sum.1 / n)
    };
    let errors: Vec<(f64, f64)> = (1..=6).map(offset).collect();
    let size: Vec<f64> = errors.iter().map(|e| e.0.hypot(e.1)).collect();
    assert!(size.iter().filter(|e| **e > 0.2).count() >= 4, "{errors:?}");
    assert!(size.iter().all(|e| *e < 3.0), "{errors:?}");
}

#[test]
fn it_reads_every_branch_before_it_decides_and_then_stays_on_its_choice() {
    let settings = SimSettings {
        preset: Preset::Easy,
        ..SimSettings::default()
    };
    let options = six_options();
    let mut script = Script::default();
    let mut t = 1.0;
    for fork in 0..12 {
        t = script.fork(t, fork, &options, 10.0, None);
    }
    let recording = record(&settings, &script, t);
    let gaze = recording.degrees(&settings);
    let inside = |g: (f64, f64), item: i32| {
        let tile = options.iter().find(|o| o.item == item).unwrap();
        (g.0 - tile.x_deg).abs() < 0.5 * tile.w_deg + 1.0
            && (g.1 - tile.y_deg).abs() < 0.5 * tile.h_deg + 1.0
    };
    let mut complete = 0;
    for (fork, truth) in recording.truth.iter().enumerate() {
        let opened = 1.0 + 11.0 * fork as f64;
        let decided = truth.at.unwrap() - START_S;
        assert!(
            (opened + 1.0..opened + 8.0).contains(&decided),
            "{}",
            decided - opened
        );
        let index = |t: f64| (t * settings.gaze_rate_hz) as usize;
        let reading = &gaze[index(opened)..index(decided)];
        let visited = |item| {
            reading
                .iter()
                .flatten()
                .filter(|g| inside(**g, item))
                .count()
        };
        if (0..3).all(|item| visited(item) > 20) {
            complete += 1;
        }
        let dwelling: Vec<_> = gaze[index(decided + 0.15)..index(opened + 10.0)]
            .iter()
            .flatten()
            .collect();
        let attended = truth.attended.unwrap();
        let there = dwelling.iter().filter(|g| inside(***g, attended)).count();
        assert!(there as f64 > 0.7 * dwelling.len() as f64);
    }
    assert!(complete >= 11, "{complete} of 12 read completely");
}

#[test]
fn gaze_is_lost_more_often_with_a_worse_tracker() {
    let lost = |preset| {
        let settings = SimSettings {
            preset,
            ..SimSettings::default()
        };
        let recording = record(&settings, &Script::default(), 120.0);
        let lost = recording.gaze.iter().filter(|g| g[2] == 0.0).count();
        lost as f64 / recording.gaze.len() as f64
    };
    let (easy, hard) = (lost(Preset::Easy), lost(Preset::Hard));
    assert!(
        (0.005..0.06).contains(&easy) && hard > 1.5 * easy && hard < 0.25,
        "{easy} {hard}"
    );
}
