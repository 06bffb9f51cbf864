//! The operator's streams of a session: what it tells, and whom it hears.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::cli::exit::{Exit, Failure};
use crate::config::Plan;
use crate::engine::conduct::OperatorSetting;
use crate::engine::control::Listener;
use crate::engine::telemetry::Outlets;
use crate::source::lsl::Network;
use crate::view::terminal::View;

/// Opens what the plan wants. Without a port for telemetry the session goes on without it.
///
/// # Errors
/// [`Exit::Internal`] when the system starts no thread to hear the operator.
pub(super) fn open_operator(
    plan: &Plan,
    network: Network,
    session: &str,
    stop: &Arc<AtomicBool>,
    view: &mut dyn View,
) -> Result<OperatorSetting, Failure> {
    let outlets = if plan.operator.telemetry {
        Outlets::open(network, session)
            .inspect_err(|error| {
                let _ = view.note(&format!("an operator elsewhere sees nothing: {error}"));
            })
            .ok()
    } else {
        None
    };
    let listener = plan.operator.control.then(|| {
        let pins = plan.operator.control_pins.clone();
        Listener::start(network, pins, Arc::clone(stop))
    });
    let listener = listener.transpose().map_err(|error| {
        let said = format!("the system starts no thread to hear the operator: {error}");
        Failure::said(Exit::Internal, said)
    })?;
    Ok(OperatorSetting { outlets, listener })
}
