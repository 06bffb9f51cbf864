//! The server: what it has, and what is under way to it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::super::backend::Part;
use super::super::error::DecodeError;
use super::super::server_settings::ServerSettings;
use super::http::{Body, Http, Unread, Wire};
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
    /// Whether the last answer broke off: another server may stand in its place now.
    doubtful: AtomicBool,
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
    /// # Errors
    /// [`DecodeError::Server`] naming the address and what to do.
    pub fn open(
        address: &str,
        settings: ServerSettings,
        key: Option<String>,
    ) -> Result<Self, DecodeError> {
        let http = Http::new(address, &settings, key)?;
        let wire = http.wire();
        let mut attempt = 0;
        let listed = loop {
            match listed(&http, &wire) {
                Err(error) if error.is_gone() && attempt < settings.retries => {
                    std::thread::sleep(pause(attempt));
                    attempt += 1;
                }
                answer => break answer?,
            }
        };
        let model = the_model(http.base(), &settings.model, listed)?;
        let begin = tokens_of(&http, &wire, &model.id, "")?;
        Ok(Self {
            http,
            settings,
            model,
            begin,
            idle: Mutex::new(vec![wire]),
            under_way: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            doubtful: AtomicBool::new(false),
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
            name: format!("{} at {}", self.model.id, self.address()),
            bytes: self.model.bytes,
            sha256: String::new(),
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

    /// Lets no request begin any more; those under way are cut by who waits for them.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// The tokens of a text with what begins one; `None` when the server does not tell.
    pub(super) fn tokenise(&self, text: &str) -> Result<Option<Vec<u32>>, DecodeError> {
        if self.begin.is_none() {
            return Ok(None);
        }
        let wire = self.wire();
        let tokens = tokens_of(&self.http, &wire, &self.model.id, text)?;
        self.keep(wire);
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
        let idle = self.idle.lock().ok().and_then(|mut idle| idle.pop());
        idle.unwrap_or_else(|| self.http.wire())
    }

    /// Keeps a connection whose last answer was read to its end.
    pub(super) fn keep(&self, wire: Wire) {
        if let Ok(mut idle) = self.idle.lock()
            && idle.len() < self.settings.parallel as usize
        {
            idle.push(wire);
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
        self.doubtful.store(true, Ordering::Release);
    }

    /// Makes sure, when there is doubt, that the server still has the model of before.
    pub(super) fn check_if_doubtful(&self, wire: &Wire) -> Result<(), DecodeError> {
        if !self.doubtful.load(Ordering::Acquire) {
            return Ok(());
        }
        let listed = listed(&self.http, wire)?;
        let now = the_model(self.address(), &self.model.id, listed)?;
        if now.identity != self.model.identity {
            return Err(DecodeError::Server {
                url: self.address().into(),
                reason: format!(
                    "the server came back with another model: it was {}, it is {}. Half a text by each is no text: start the first one again, or begin a new session",
                    self.model.identity, now.identity
                ),
                gone: false,
            });
        }
        self.doubtful.store(false, Ordering::Release);
        Ok(())
    }
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
fn whole(url: &str, body: &mut Body) -> Result<Vec<u8>, DecodeError> {
    body.whole().map_err(|unread| match unread {
        Unread::Cut(error) => DecodeError::Server {
            url: url.into(),
            reason: format!("the answer broke off: {error}; is the server still running there?"),
            gone: true,
        },
        Unread::TooLong(error) => error,
    })
}

fn listed(http: &Http, wire: &Wire) -> Result<Vec<Listing>, DecodeError> {
    let url = format!("{}/v1/models", http.base());
    let mut answer = http.get(wire, "/v1/models")?;
    wire::models(&url, &whole(&url, &mut answer.body)?)
}

/// The model that is meant: the one named, or the only one.
fn the_model(base: &str, named: &str, listed: Vec<Listing>) -> Result<Listing, DecodeError> {
    let refused = |reason: String| DecodeError::Server {
        url: base.into(),
        reason,
        gone: false,
    };
    let names: Vec<String> = listed.iter().map(|model| model.id.clone()).collect();
    let names = names.join(", ");
    let count = listed.len();
    let mut fitting = listed
        .into_iter()
        .filter(|model| named.is_empty() || model.id == named);
    match (fitting.next(), named.is_empty()) {
        (Some(_), true) if count > 1 => Err(refused(format!(
            "the server has {count} models ({names}); name one as server.model"
        ))),
        (Some(model), _) => Ok(model),
        (None, true) => Err(refused("the server has no model; start it with one".into())),
        (None, false) => Err(refused(format!(
            "the server has no model '{named}'; it has {names}"
        ))),
    }
}

/// Tokens of a text; `None` from a server that does not tell.
fn tokens_of(
    http: &Http,
    wire: &Wire,
    model: &str,
    text: &str,
) -> Result<Option<Vec<u32>>, DecodeError> {
    let url = format!("{}/tokenize", http.base());
    match http.post(wire, "/tokenize", &wire::tokenise(model, text)) {
        Ok(mut answer) => Ok(wire::tokens(&whole(&url, &mut answer.body)?)),
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
            self.model.id,
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
