//! The operator's view beside the demo: a process of its own, as it would be on another machine.

use std::process::{Child, Command, Stdio};

use clap::ValueEnum;

use super::Language;

/// `source_id` of the stream by which the operator of this demo asks: that of another demo is not heard.
pub(super) fn operator_id(session: &str) -> String {
    format!("razvilka-operator-{session}")
}

/// The process. It goes with the demo.
pub(super) struct Operator {
    child: Option<Child>,
}

impl Operator {
    /// Starts it. Where it cannot be shown it says so itself, and the demo goes on without it.
    pub(super) fn start(language: Language, lsl_session: &str, session: &str) -> Self {
        let lang = language.to_possible_value();
        let lang = lang.map_or_else(|| "en".to_owned(), |value| value.get_name().to_owned());
        let started = std::env::current_exe().and_then(|program| {
            Command::new(program)
                .args(["operator", "--loopback", "--session-id", lsl_session])
                .args(["--session", session, "--lang", &lang])
                .args(["--control-id", &operator_id(session)])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .spawn()
        });
        let child = started
            .inspect_err(|error| {
                eprintln!(
                    "razvilka: the operator's view could not be started: {error}; the demo goes on"
                );
            })
            .ok();
        Self { child }
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It holds nothing that could be lost.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
