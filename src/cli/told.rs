//! What `run` and `demo` tell at the end of a session.

use std::io::Write;

use super::play::Left;
use crate::session::Summary;

/// The summary in a few lines for people.
pub fn print_summary(left: &Left, summary: &Summary, out: &mut impl Write) -> std::io::Result<()> {
    let counts = &summary.counts;
    writeln!(
        out,
        "\nforks {}: asked {}, answered {}, declined {}, aborted {}; taken by the person {}, by the model {}",
        counts.forks,
        counts.asked,
        counts.committed,
        counts.declined,
        counts.aborted,
        counts.by_human,
        counts.by_model
    )?;
    if let Some(autonomy) = &summary.autonomy {
        writeln!(out, "autonomy: {}", autonomy.in_words())?;
    }
    if let Some(guard) = &summary.guard {
        writeln!(out, "guard: {}", guard.in_words())?;
    }
    if let Some(accuracy) = &summary.accuracy {
        writeln!(out, "as the person wished, of the same forks:")?;
        for (name, arm) in [
            ("prior only", &accuracy.prior),
            ("gaze only", &accuracy.gaze),
            ("EEG only", &accuracy.eeg),
            ("fused", &accuracy.fused),
            ("taken", &accuracy.committed),
        ] {
            let share = arm
                .accuracy
                .map_or_else(|| "-".to_owned(), |share| format!("{:.0} %", share * 100.0));
            let interval = arm.interval.as_ref().map_or_else(String::new, |i| {
                format!(" (95 % {:.0} to {:.0} %)", i.low * 100.0, i.high * 100.0)
            });
            writeln!(
                out,
                "  {name:<11}{:>3} of {:<3} {share}{interval}",
                arm.correct, arm.n
            )?;
        }
    }
    let speed = &summary.speed;
    if let (Some(median), Some(p90)) = (speed.decision_s_median, speed.decision_s_p90) {
        writeln!(
            out,
            "time to decide: median {median:.2} s, p90 {p90:.2} s; {:.1} flashes per decision; the person added {:.1} bits",
            speed.flashes_per_decision.unwrap_or(f64::NAN),
            speed.bits_added_total
        )?;
    }
    if let Some(played) = &left.played {
        writeln!(
            out,
            "latency of decided forks:\n{}",
            crate::pipeline::trace::table(&played.latency.forks)
        )?;
        for stream in &played.latency.streams {
            writeln!(
                out,
                "{}, every block:\n{}",
                stream.stream,
                crate::pipeline::trace::table(&stream.steps)
            )?;
        }
        writeln!(out, "{}", played.ending)?;
    }
    writeln!(out, "session folder: {}", left.folder.path().display())
}
