//! Finds a session, follows it to its end, then looks for the next one; asks what may be asked.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::inlets::{Following, take_fork, take_state, take_status};
use super::live::Live;
use crate::engine::control::{Command, control_spec};
use crate::engine::streams::STATE_STREAM;
use crate::engine::telemetry::{FORK_STREAM, PAGE_STREAM, STATUS_STREAM};
use crate::rt;
use crate::source::lsl::{Announcement, LslMarkerOutlet, Network};
use crate::source::pins::Pins;
use crate::source::{MarkerSink, SourceError};

/// How long one look for sessions takes.
const LOOK: Duration = Duration::from_secs(1);
/// Rest between two looks.
const REST: Duration = Duration::from_millis(300);
/// How often it is looked whether the session listens.
const WATCH: Duration = Duration::from_millis(250);

/// Which session is to be followed, and how it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Identity of the session, as in its streams' `source_id` behind `razvilka-page-`; the only one that is there when `None`.
    pub session: Option<String>,
    /// `source_id` of the stream by which it is asked.
    pub control_id: String,
}

/// Why nothing can be followed or asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// LSL refused.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The system makes no thread.
    #[error("the system starts no thread: {0}")]
    Thread(#[from] std::io::Error),
    /// The session does not listen.
    #[error(
        "the session does not listen to this operator: set operator.control = true in its experiment file, and check that operator.control_pins name this stream (source_id '{control_id}')"
    )]
    NotHeard {
        /// As this operator's stream is named.
        control_id: String,
    },
}

/// What a view needs: what is known, and somebody to ask.
pub trait Asks {
    /// What is known at the moment.
    fn live(&self) -> &Arc<Live>;

    /// Opens the stream by which the session can be asked, where it says that it may be.
    ///
    /// # Errors
    /// [`ClientError::Source`] when no port is free.
    fn offer_control(&self) -> Result<(), ClientError>;

    /// Asks the session.
    ///
    /// # Errors
    /// [`ClientError::NotHeard`] when it does not listen.
    fn ask(&self, command: Command) -> Result<(), ClientError>;
}

/// The operator's side of the connection.
pub struct Client {
    live: Arc<Live>,
    wanted: Wanted,
    network: Network,
    control: Arc<Mutex<Option<LslMarkerOutlet>>>,
    over: Arc<AtomicBool>,
}

impl Client {
    /// Begins to look for a session.
    ///
    /// # Errors
    /// [`ClientError::Thread`] when no thread can be made.
    pub fn start(network: Network, wanted: Wanted) -> Result<Self, ClientError> {
        let client = Self {
            live: Arc::default(),
            wanted: wanted.clone(),
            network,
            control: Arc::default(),
            over: Arc::default(),
        };
        let seeking = Seeking {
            network,
            live: Arc::clone(&client.live),
            session: wanted.session,
            over: Arc::clone(&client.over),
        };
        let named = |name: &str| std::thread::Builder::new().name(name.into());
        named("operator").spawn(move || seeking.until_over())?;
        let (live, control) = (Arc::clone(&client.live), Arc::clone(&client.control));
        let over = Arc::clone(&client.over);
        named("operator asks").spawn(move || {
            while !over.load(Ordering::Relaxed) {
                let heard = control.lock().unwrap_or_else(PoisonError::into_inner);
                let listens = heard.as_ref().is_some_and(|outlet| hears(&live, outlet));
                drop(heard);
                live.listens(listens);
                std::thread::sleep(WATCH);
            }
        })?;
        Ok(client)
    }
}

impl Asks for Client {
    fn live(&self) -> &Arc<Live> {
        &self.live
    }

    fn offer_control(&self) -> Result<(), ClientError> {
        let allowed = self.live.now().page.is_some_and(|page| page.control);
        let mut control = self.control.lock().unwrap_or_else(PoisonError::into_inner);
        if allowed && control.is_none() {
            let spec = control_spec(&self.wanted.control_id);
            *control = Some(LslMarkerOutlet::new(self.network, &spec)?);
        }
        Ok(())
    }

    fn ask(&self, command: Command) -> Result<(), ClientError> {
        let mut control = self.control.lock().unwrap_or_else(PoisonError::into_inner);
        match control.as_mut().filter(|outlet| hears(&self.live, outlet)) {
            Some(outlet) => Ok(outlet.push(&command.to_json(), rt::lsl_now().get())?),
            None => Err(ClientError::NotHeard {
                control_id: self.wanted.control_id.clone(),
            }),
        }
    }
}

/// Whether the session hears this outlet: by its own word, as anybody may read the stream, a recorder for one.
fn hears(live: &Live, outlet: &LslMarkerOutlet) -> bool {
    let page = live.now().page;
    outlet.consumers() > 0 && page.is_some_and(|page| page.heard == outlet.spec().uid)
}

impl Drop for Client {
    fn drop(&mut self) {
        // The threads end when they have seen this; nobody waits for a look at the network that is under way.
        self.over.store(true, Ordering::Relaxed);
    }
}

struct Seeking {
    network: Network,
    live: Arc<Live>,
    session: Option<String>,
    over: Arc<AtomicBool>,
}

impl Seeking {
    fn until_over(self) {
        while !self.over.load(Ordering::Relaxed) {
            match self.look() {
                Ok(Some(session)) => {
                    self.live.trouble("");
                    if let Err(error) = self.follow(&session) {
                        self.live.trouble(&error.to_string());
                    }
                    self.live.over();
                }
                // Whatever stood there was said of sessions that are gone.
                Ok(None) => self.live.trouble(""),
                Err(error) => self.live.trouble(&error.to_string()),
            }
            std::thread::sleep(REST);
        }
    }

    fn look(&self) -> Result<Option<String>, SourceError> {
        let there = sessions(&self.network.resolve_all(LOOK)?);
        pick(&there, self.session.as_deref()).map_err(|several| {
            SourceError::Lsl(format!(
                "{} sessions are there: {}. Say which with --session",
                several.len(),
                several.join(", ")
            ))
        })
    }

    /// Follows this session until its page ends.
    fn follow(&self, session: &str) -> Result<(), ClientError> {
        let over = Arc::new(AtomicBool::new(false));
        let following = Following {
            network: self.network,
            live: Arc::clone(&self.live),
            over: Arc::clone(&over),
            closed: Arc::clone(&self.over),
        };
        let _ended = Ended(over);
        self.live.trouble(&format!(
            "session {session} is there and has not begun to write: it looks for its devices, or calibrates"
        ));
        following.numbers(
            "operator fork",
            pins(FORK_STREAM, "fork", session),
            take_fork,
        )?;
        let status = pins(STATUS_STREAM, "status", session);
        following.numbers("operator status", status, take_status)?;
        let state = pins(STATE_STREAM, "state", session);
        following.numbers("operator state", state, take_state)?;
        match following.page(&pins(PAGE_STREAM, "page", session)) {
            // It ended: so has the session.
            Ok(()) | Err(SourceError::Lost { .. } | SourceError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Says that a session is followed no more, however that came.
struct Ended(Arc<AtomicBool>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn pins(name: &str, part: &str, session: &str) -> Pins {
    Pins {
        name: Some(name.to_owned()),
        source_id: Some(format!("razvilka-{part}-{session}")),
        ..Pins::default()
    }
}

/// The sessions whose page is announced.
fn sessions(there: &[Announcement]) -> BTreeSet<String> {
    there
        .iter()
        .map(Announcement::spec)
        .filter(|spec| spec.name == PAGE_STREAM)
        .filter_map(|spec| spec.source_id.strip_prefix("razvilka-page-"))
        .map(str::to_owned)
        .collect()
}

/// The session that is wanted, or the only one; all of them where that is not settled.
fn pick(there: &BTreeSet<String>, wanted: Option<&str>) -> Result<Option<String>, Vec<String>> {
    match (wanted, there.len()) {
        (Some(wanted), _) => Ok(there.get(wanted).cloned()),
        (None, 0 | 1) => Ok(there.first().cloned()),
        (None, _) => Err(there.iter().cloned().collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_only_session_is_followed_and_of_several_the_one_that_is_named() {
        let of = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
        assert_eq!(pick(&of(&[]), None), Ok(None));
        assert_eq!(pick(&of(&["a"]), None), Ok(Some("a".into())));
        assert_eq!(
            pick(&of(&["a", "b"]), None),
            Err(vec!["a".into(), "b".into()])
        );
        assert_eq!(pick(&of(&["a", "b"]), Some("b")), Ok(Some("b".into())));
        assert_eq!(pick(&of(&["a"]), Some("b")), Ok(None), "it may come yet");
    }
}
