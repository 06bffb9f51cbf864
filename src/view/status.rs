//! The session in one line of a terminal: fork, questions, latency, streams, disk. What is wrong stands in capitals, as a line has no colours
//! that everybody sees.

use crate::engine::telemetry::{ForkNow, Phase, Status, StreamNow, StreamState};
use crate::pipeline::trace::STEPS;

/// The line. It is short: some 100 characters.
#[must_use]
pub fn status_line(status: &Status, fork: &ForkNow) -> String {
    let mut parts = vec![clock(status.time_s.unwrap_or(0.0)), phase(status, fork)];
    let protocol = &status.protocol;
    let count = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |v| format!("{v:.0}"));
    parts.push(format!(
        "answered {}/{}, questions left {}/{}",
        count(protocol.answered),
        count(protocol.forks),
        count(protocol.budget_left),
        count(protocol.budget)
    ));
    parts.extend(latency(status));
    let streams = [("eeg", &status.eeg), ("gaze", &status.gaze)];
    parts.extend(streams.iter().filter_map(|(name, now)| stream(name, now)));
    if let Some(bad) = status.health.channels_bad.filter(|bad| *bad > 0.0) {
        let all = count(status.health.channels);
        parts.push(format!("{bad:.0} of {all} channels BAD"));
    }
    if status.health.recording == Some(0.0) {
        parts.push("NOT RECORDING".into());
    }
    parts.extend(status.health.disk_free_mib.map(disk));
    parts.join(" | ")
}

fn clock(seconds: f64) -> String {
    let whole = seconds.max(0.0) as u64;
    format!("{}:{:02}", whole / 60, whole % 60)
}

fn phase(status: &Status, fork: &ForkNow) -> String {
    if status.is_paused() {
        return "PAUSED".into();
    }
    let number = fork.fork.unwrap_or(0);
    match fork.phase {
        Phase::Writing => "writes".into(),
        Phase::Held => "a fork WAITS for the streams".into(),
        Phase::Open => {
            let best = fork.posterior.iter().copied().fold(0.0f32, f32::max);
            let open_s = fork.open_s.unwrap_or(0.0);
            format!(
                "fork {number} open {open_s:.1} s, best {:.0} %",
                100.0 * best
            )
        }
        Phase::Committed => format!("fork {number} chosen"),
        Phase::Declined => format!("fork {number} declined"),
        Phase::Aborted => format!("fork {number} ABORTED"),
    }
}

/// The step that is closest to its budget, or farthest over it.
fn latency(status: &Status) -> Option<String> {
    let share = |us: f64, budget: f64| us / budget.max(f64::MIN_POSITIVE);
    let steps = STEPS.iter().zip(&status.steps).filter_map(|(name, step)| {
        let (us, budget) = (step.judged_us()?, step.budget_us?);
        Some((*name, us, budget, step))
    });
    let (name, us, budget, step) =
        steps.max_by(|a, b| share(a.1, a.2).total_cmp(&share(b.1, b.2)))?;
    let figure = if step.p99_us.is_some() { "p99" } else { "max" };
    let over = if step.is_missed() { " OVER" } else { "" };
    Some(format!(
        "{name} {figure} {:.1}/{:.0} ms{over}",
        us / 1e3,
        budget / 1e3
    ))
}

fn stream(name: &str, now: &StreamNow) -> Option<String> {
    let said = match now.stream_state()? {
        StreamState::Lost => "LOST",
        StreamState::Silent => "SILENT",
        StreamState::Live if now.doubted == Some(1.0) => "clock DOUBTED",
        StreamState::Live => "ok",
    };
    Some(format!("{name} {said}"))
}

fn disk(free_mib: f64) -> String {
    let low = if free_mib < 512.0 { "LOW " } else { "" };
    if free_mib >= 1_024.0 {
        format!("disk {low}{:.0} GiB", free_mib / 1_024.0)
    } else {
        format!("disk {low}{free_mib:.0} MiB")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::telemetry::StepNow;

    #[test]
    fn the_line_says_fork_questions_the_tightest_step_streams_and_disk() {
        let mut status = Status {
            time_s: Some(75.4),
            ..Status::default()
        };
        status.protocol.answered = Some(3.0);
        status.protocol.forks = Some(20.0);
        status.protocol.budget_left = Some(7.0);
        status.protocol.budget = Some(12.0);
        let step = |p99_us, budget_us| StepNow {
            p99_us: Some(p99_us),
            budget_us: Some(budget_us),
            ..StepNow::default()
        };
        status.steps[0] = step(248.0, 20_000.0);
        status.steps[1] = step(25.0, 1_000.0);
        status.eeg.state = Some(0.0);
        status.gaze.state = Some(2.0);
        status.health.channels = Some(64.0);
        status.health.disk_free_mib = Some(40_960.0);
        let mut fork = ForkNow {
            fork: Some(4),
            phase: Phase::Open,
            open_s: Some(2.13),
            posterior: vec![0.1, 0.62, 0.28],
            ..ForkNow::default()
        };
        assert_eq!(
            status_line(&status, &fork),
            "1:15 | fork 4 open 2.1 s, best 62 % | answered 3/20, questions left 7/12 | pulled>scored p99 0.0/1 ms | eeg ok | gaze LOST | disk 40 GiB"
        );
        status.steps[3] = StepNow {
            max_us: Some(2_000.0),
            ..step(0.0, 1_000.0)
        };
        status.steps[3].p99_us = None;
        status.paused = Some(1.0);
        status.eeg.doubted = Some(1.0);
        status.health.channels_bad = Some(2.0);
        status.health.disk_free_mib = Some(300.0);
        status.health.recording = Some(0.0);
        fork.phase = Phase::Held;
        let line = status_line(&status, &fork);
        for part in [
            "PAUSED",
            "decided>committed max 2.0/1 ms OVER",
            "eeg clock DOUBTED",
            "2 of 64 channels BAD",
            "NOT RECORDING",
            "disk LOW 300 MiB",
        ] {
            assert!(line.contains(part), "{line}");
        }
        assert!(status_line(&Status::default(), &ForkNow::default()).starts_with("0:00 | writes"));
    }
}
