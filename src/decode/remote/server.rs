//! The server: what it has, and what is under way to it.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::super::backend::Part;
use super::super::error::{DecodeError, Prospect};
use super::super::server_settings::ServerSettings;
use super::http::{Answer, Http, MESSAGE_CHARS_MAX, Unread, Wire};
use super::peer::Peer;
use super::wire::{self, Before, How, Kind, Listing};

/// Pause before a request is sent again; twice as long each time.
const PAUSE: Duration = Duration::from_millis(250);
/// Longest such pause.
const PAUSE_MAX: Duration = Duration::from_secs(4);
/// How often a pause looks for the end of the session.
const LOOK: Duration = Duration::from_millis(20);

/// A server with a model, found and described. One object serves all texts of a session.
#[derive(Debug)]
pub struct Server {
    pub(super) http: Http,
    pub(super) settings: ServerSettings,
    model: Listing,
    /// The tokens that begin a text; `None` when the server does not cut texts into tokens for others.
    pub(super) begin: Option<Vec<u32>>,
    /// Connections that wait for a request.
    idle: Mutex<Vec<Wire>>,
    /// Requests that are under way.
    under_way: AtomicUsize,
    closed: AtomicBool,
    /// The prompt that was last cut into tokens, and those: every text of a session begins with it.
    prompt: Mutex<Option<(String, Vec<u32>)>>,
    /// The connection on which a prompt is being cut into tokens.
    tokenises: Mutex<Option<Wire>>,
    /// How often an answer broke off or did not come: another server may stand in its place since.
    doubts: AtomicU64,
    /// How many of those doubts are settled: the model is still the same.
    settled: AtomicU64,
    requests: AtomicU64,
    sent_again: AtomicU64,
    broken_off: AtomicU64,
    tokens: AtomicU64,
}

/// What was asked of a server so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests for completions.
    pub requests: u64,
    /// Requests sent again because they had brought nothing.
    pub sent_again: u64,
    /// Answers that broke off; what had come was kept.
    pub broken_off: u64,
    /// Tokens received.
    pub tokens: u64,
}

impl Server {
    /// Finds out what an address has. `key` goes along with every request.
    ///
    /// A server that is still loading its model is waited for, `lost_wait_s` at most; one that does not answer is asked
    /// again `retries` times.
    ///
    /// # Errors
    /// [`DecodeError::Server`] naming the address and what to do.
    pub fn open(
        address: &str,
        settings: ServerSettings,
        key: Option<String>,
    ) -> Result<Self, DecodeError> {
        Self::open_unless(address, settings, key, |_| {}, || false)
    }

    /// As [`Server::open`]. `tell` hears why before each pause, and no pause outlasts `over`.
    ///
    /// # Errors
    /// As [`Server::open`].
    pub fn open_unless(
        address: &str,
        settings: ServerSettings,
        key: Option<String>,
        mut tell: impl FnMut(&DecodeError),
        over: impl Fn() -> bool,
    ) -> Result<Self, DecodeError> {
        let http = Http::new(address, &settings, key)?;
        let wire = http.wire();
        let lost_wait = Duration::from_secs_f64(settings.lost_wait_s);
        let (begun, mut attempt, mut gone) = (Instant::now(), 0, 0);
        let (model, begin) = loop {
            let error = match found(&http, &wire, &settings.model) {
                Ok(found) => break found,
                Err(error) => error,
            };
            let wait = if error.is_loading() {
                begun.elapsed() < lost_wait
            } else {
                gone += 1;
                error.is_gone() && gone <= settings.retries
            };
            if !wait {
                return Err(error);
            }
            tell(&error);
            if !pause_unless(attempt, &over) {
                return Err(error);
            }
            attempt += 1;
        };
        Ok(Self {
            http,
            settings,
            model,
            begin,
            idle: Mutex::default(),
            under_way: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            prompt: Mutex::default(),
            tokenises: Mutex::default(),
            doubts: AtomicU64::new(0),
            settled: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            sent_again: AtomicU64::new(u64::from(attempt)),
            broken_off: AtomicU64::new(0),
            tokens: AtomicU64::new(0),
        })
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> &str {
        self.http.base()
    }

    /// The name of its model.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.model.id
    }

    /// What it says of its model.
    #[must_use]
    pub fn identity(&self) -> &str {
        &self.model.identity
    }

    /// The model, for the record.
    #[must_use]
    pub(in crate::decode) fn part(&self) -> Part {
        Part {
            role: "base",
            name: format!("{} at {}", self.shown_name(), self.address()),
            bytes: self.model.bytes,
            sha256: String::new(),
            precision: None,
        }
    }

    /// Tokens that one request may hold, where the server says.
    #[must_use]
    pub fn context_tokens(&self) -> Option<usize> {
        self.model.context_tokens
    }

    /// How it is asked.
    #[must_use]
    pub fn settings(&self) -> &ServerSettings {
        &self.settings
    }

    /// What was asked of it so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counts {
            requests: of(&self.requests),
            sent_again: of(&self.sent_again),
            broken_off: of(&self.broken_off),
            tokens: of(&self.tokens),
        }
    }

    /// Its model's name, fit to be shown.
    fn shown_name(&self) -> String {
        self.http.peer("").quote(&self.model.id, MESSAGE_CHARS_MAX)
    }

    /// Lets no request begin any more, and cuts the one for a prompt's tokens; others are cut by who waits for them.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        if let Some(wire) = held(&self.tokenises).take() {
            wire.cut();
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// The tokens of a prompt with what begins a text; `None` when the server does not tell. Known from the text before,
    /// where that began the same.
    pub(super) fn tokenise(&self, prompt: &str) -> Result<Option<Vec<u32>>, DecodeError> {
        if self.begin.is_none() {
            return Ok(None);
        }
        if let Some((known, tokens)) = held(&self.prompt).as_ref()
            && known == prompt
        {
            return Ok(Some(tokens.clone()));
        }
        let wire = self.wire();
        *held(&self.tokenises) = Some(wire.clone());
        // Whoever closed before the connection could be seen did not cut it.
        let tokens = if self.is_closed() {
            Ok(None)
        } else {
            tokens_of(&self.http, &wire, &self.model.id, prompt)
        };
        *held(&self.tokenises) = None;
        if self.is_closed() {
            let peer = self.http.peer("/tokenize");
            return Err(peer.error(
                Prospect::Gone,
                "the session is ending: the prompt is no longer cut into tokens",
            ));
        }
        let tokens = tokens?;
        if let Some(tokens) = &tokens {
            *held(&self.prompt) = Some((prompt.to_owned(), tokens.clone()));
        }
        Ok(tokens)
    }

    /// The body of a request.
    pub(super) fn request(&self, before: &Before, how: How) -> Vec<u8> {
        wire::completion(
            &self.model.id,
            self.model.kind,
            self.settings.top_logprobs,
            before,
            how,
        )
    }

    /// Takes one of the places for requests; `None` when all are taken.
    pub(super) fn take_place(&self) -> Option<()> {
        let most = self.settings.parallel as usize;
        self.under_way
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| {
                (n < most).then_some(n + 1)
            })
            .ok()
            .map(drop)
    }

    pub(super) fn leave_place(&self) {
        self.under_way.fetch_sub(1, Ordering::AcqRel);
    }

    /// A connection that nobody uses.
    pub(super) fn wire(&self) -> Wire {
        let idle = held(&self.idle).pop();
        idle.unwrap_or_else(|| self.http.wire())
    }

    /// Keeps a connection whose last answer was read to its end.
    pub(super) fn keep(&self, wire: Wire) {
        let mut idle = held(&self.idle);
        if idle.len() < self.settings.parallel as usize {
            idle.push(wire.rest());
        }
    }

    pub(super) fn note_request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn note_sent_again(&self) {
        self.sent_again.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn note_tokens(&self, tokens: usize) {
        self.tokens.fetch_add(tokens as u64, Ordering::Relaxed);
    }

    /// An answer broke off, or none came: who answers next may be another.
    pub(super) fn doubt(&self, broken_off: bool) {
        self.broken_off
            .fetch_add(u64::from(broken_off), Ordering::Relaxed);
        self.doubts.fetch_add(1, Ordering::AcqRel);
    }

    /// Makes sure that the server still has the model of before, when there is doubt, or when it may have been exchanged
    /// while nobody asked.
    pub(super) fn check_if_doubtful(&self, wire: &Wire) -> Result<(), DecodeError> {
        let doubts = self.doubts.load(Ordering::Acquire);
        if wire.is_known() && doubts <= self.settled.load(Ordering::Acquire) {
            return Ok(());
        }
        let now = the_model(&self.http, &self.model.id, listed(&self.http, wire)?)?;
        if now.identity != self.model.identity {
            let peer = self.http.peer("");
            let shown = |identity: &str| peer.quote(identity, MESSAGE_CHARS_MAX);
            return Err(peer.wrong(format!(
                "the server came back with another model: it was {}, it is {}. Half a text by each is no text: start the first one again, or begin a new session",
                shown(&self.model.identity),
                shown(&now.identity)
            )));
        }
        self.settled.fetch_max(doubts, Ordering::AcqRel);
        Ok(())
    }
}

/// What a lock guards: nothing here is left half done by a thread that panics.
fn held<T>(lock: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The pause before attempt number `attempt + 1`.
pub(super) fn pause(attempt: u32) -> Duration {
    (PAUSE * 2_u32.saturating_pow(attempt)).min(PAUSE_MAX)
}

/// Waits, but not for what nobody waits for any more; `false` when that is so.
pub(super) fn pause_unless(attempt: u32, over: impl Fn() -> bool) -> bool {
    let until = Instant::now() + pause(attempt);
    while Instant::now() < until {
        if over() {
            return false;
        }
        std::thread::sleep(LOOK);
    }
    !over()
}

/// A body in one piece, whatever goes wrong with it named.
fn whole(peer: &Peer, mut answer: Answer) -> Result<Vec<u8>, DecodeError> {
    answer.body.whole().map_err(|unread| match unread {
        Unread::Cut(error) => peer.error(
            Prospect::Gone,
            format!("the answer broke off: {error}; is the server still running there?"),
        ),
        Unread::TooLong(error) => error,
    })
}

/// The model that is meant, and the tokens that begin a text.
fn found(
    http: &Http,
    wire: &Wire,
    named: &str,
) -> Result<(Listing, Option<Vec<u32>>), DecodeError> {
    let model = the_model(http, named, listed(http, wire)?)?;
    let begin = tokens_of(http, wire, &model.id, "")?;
    Ok((model, begin))
}

fn listed(http: &Http, wire: &Wire) -> Result<Vec<Listing>, DecodeError> {
    const PATH: &str = "/v1/models";
    let peer = http.peer(PATH);
    wire::models(&peer, &whole(&peer, http.get(wire, PATH)?)?)
}

/// The model that is meant: the one named, or the only one.
fn the_model(http: &Http, named: &str, listed: Vec<Listing>) -> Result<Listing, DecodeError> {
    let peer = http.peer("");
    let names: Vec<String> = listed.iter().map(|model| model.id.clone()).collect();
    let names = peer.quote(&names.join(", "), MESSAGE_CHARS_MAX);
    let count = listed.len();
    let mut fitting = listed
        .into_iter()
        .filter(|model| named.is_empty() || model.id == named);
    match (fitting.next(), named.is_empty()) {
        (Some(_), true) if count > 1 => Err(peer.wrong(format!(
            "the server has {count} models ({names}); name one as server.model"
        ))),
        (Some(model), _) if model.loading => Err(peer.error(
            Prospect::Loading,
            "the server is still loading its model; wait for it, or raise server.lost_wait_s",
        )),
        (Some(model), _) => Ok(model),
        (None, true) => Err(peer.wrong("the server has no model; start it with one")),
        (None, false) => {
            Err(peer.wrong(format!("the server has no model '{named}'; it has {names}")))
        }
    }
}

/// Tokens of a text; `None` from a server that does not tell.
fn tokens_of(
    http: &Http,
    wire: &Wire,
    model: &str,
    text: &str,
) -> Result<Option<Vec<u32>>, DecodeError> {
    const PATH: &str = "/tokenize";
    match http.post(wire, PATH, &wire::tokenise(model, text)) {
        Ok(answer) => Ok(wire::tokens(&whole(&http.peer(PATH), answer)?)),
        Err(error) if error.is_gone() => Err(error),
        // A path of llama.cpp and vLLM, and of no standard.
        Err(_) => Ok(None),
    }
}

impl Kind {
    /// Its name, for people.
    #[must_use]
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::LlamaCpp => "llama.cpp",
            Self::Vllm => "vLLM",
            Self::Other => "an OpenAI-compatible server",
        }
    }
}

impl std::fmt::Display for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} at {} ({}",
            self.shown_name(),
            self.address(),
            self.model.kind.words()
        )?;
        if let Some(tokens) = self.model.context_tokens {
            write!(f, ", context {tokens} tokens")?;
        }
        f.write_str(if self.begin.is_some() {
            ", text sent as token numbers)"
        } else {
            ", text sent as text)"
        })
    }
}
