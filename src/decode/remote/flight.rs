//! One request on a thread of its own. Who waits for it is woken by every token, and may let go at any moment.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::Thread;
use std::time::{Duration, Instant};

use super::super::error::{DecodeError, Prospect};
use super::http::{Body, Unread, Wire};
use super::peer::Peer;
use super::server::{Server, pause_unless};
use super::wire::{self, Before, Finish, How, Said};

/// Tokens that may wait to be taken; then the server waits.
const WAITING_MAX: usize = 1_024;

/// What comes of a request, in this order.
#[derive(Debug)]
pub(super) enum News {
    /// A token.
    Said(Said),
    /// It is sent again: in words, why.
    Again(String),
    /// The answer is over.
    Over(Finish),
    /// The answer broke off; another request may go on from what has come.
    Cut,
    /// It cannot be had.
    Failed(DecodeError),
}

/// A request under way. Dropping it breaks it off.
#[derive(Debug)]
pub(super) struct Flight {
    news: Receiver<News>,
    shared: Arc<Shared>,
    /// When something was last heard.
    heard: Instant,
    /// Whether a token has come.
    begun: bool,
    /// Whether its silence was told.
    told: bool,
    server: Arc<Server>,
    over: bool,
}

#[derive(Debug)]
struct Shared {
    /// The connection, while an answer is awaited or read.
    wire: Mutex<Option<Wire>>,
    dropped: AtomicBool,
}

impl Shared {
    fn cut(&self) {
        self.dropped.store(true, Ordering::Release);
        let wire = self.wire.lock().ok().and_then(|mut wire| wire.take());
        if let Some(wire) = wire {
            wire.cut();
        }
    }

    fn is_dropped(&self) -> bool {
        self.dropped.load(Ordering::Acquire)
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if !self.over {
            self.shared.cut();
        }
    }
}

impl Flight {
    /// Sends a request behind `position` tokens; `None` when as many are under way as may be, or the session ends. The
    /// present thread is woken by what comes.
    ///
    /// # Errors
    /// [`DecodeError::Server`] when the system starts no thread.
    pub(super) fn start(
        server: &Arc<Server>,
        before: &Before,
        how: How,
        position: usize,
    ) -> Result<Option<Self>, DecodeError> {
        if server.is_closed() || server.take_place().is_none() {
            return Ok(None);
        }
        let (tell, news) = sync_channel(WAITING_MAX);
        let shared = Arc::new(Shared {
            wire: Mutex::new(None),
            dropped: AtomicBool::new(false),
        });
        let request = Request {
            server: Arc::clone(server),
            body: server.request(before, how),
            position,
            tell,
            shared: Arc::clone(&shared),
            waits: std::thread::current(),
        };
        let thread = std::thread::Builder::new()
            .name("server request".into())
            .spawn(move || request.run());
        if let Err(error) = thread {
            server.leave_place();
            return Err(server.http.peer("").wrong(format!(
                "the system starts no thread for a request: {error}; lower server.parallel"
            )));
        }
        Ok(Some(Self {
            news,
            shared,
            heard: Instant::now(),
            begun: false,
            told: false,
            server: Arc::clone(server),
            over: false,
        }))
    }

    /// What has come since, if anything.
    pub(super) fn poll(&mut self) -> Option<News> {
        match self.news.try_recv() {
            Ok(news) => {
                self.heard = Instant::now();
                self.told = false;
                self.begun |= matches!(news, News::Said(_));
                self.over = matches!(news, News::Over(_) | News::Cut | News::Failed(_));
                Some(news)
            }
            Err(TryRecvError::Empty) => {
                let silence = self.heard.elapsed().as_secs_f64();
                if self.begun && silence > self.server.settings.pause_s {
                    self.shared.cut();
                    // It may be silent because it is no longer there.
                    self.server.doubt(true);
                    self.over = true;
                    return Some(News::Cut);
                }
                None
            }
            // The thread ends with a last word, unless it panicked.
            Err(TryRecvError::Disconnected) => {
                self.over = true;
                Some(News::Cut)
            }
        }
    }

    /// How long nothing has been heard, when that is long and was not told before.
    pub(super) fn silence(&mut self) -> Option<Duration> {
        let silence = self.heard.elapsed();
        if self.told || silence.as_secs_f64() < self.server.settings.slow_s {
            return None;
        }
        self.told = true;
        Some(silence)
    }
}

struct Request {
    server: Arc<Server>,
    body: Vec<u8>,
    position: usize,
    tell: SyncSender<News>,
    shared: Arc<Shared>,
    waits: Thread,
}

/// How one attempt ended.
enum Attempt {
    /// At its end, as was told already.
    Over,
    /// After some tokens.
    Cut,
    Failed(DecodeError),
    /// Nobody waits for it any more.
    Unwanted,
}

impl Request {
    fn run(self) {
        let last = self.until_answered();
        self.server.leave_place();
        if let Some(last) = last {
            let _ = self.tell.send(last);
        }
        self.waits.unpark();
    }

    fn until_answered(&self) -> Option<News> {
        let mut attempt = 0;
        loop {
            let error = match self.attempt() {
                Attempt::Over | Attempt::Unwanted => return None,
                Attempt::Cut => {
                    self.server.doubt(true);
                    return Some(News::Cut);
                }
                Attempt::Failed(error) => error,
            };
            if !error.is_gone() {
                return Some(News::Failed(error));
            }
            self.server.doubt(false);
            if attempt == self.server.settings.retries {
                return Some(News::Failed(error));
            }
            self.say(News::Again(error.to_string()));
            self.server.note_sent_again();
            if !pause_unless(attempt, || self.is_unwanted()) {
                return None;
            }
            attempt += 1;
        }
    }

    fn is_unwanted(&self) -> bool {
        self.shared.is_dropped() || self.server.is_closed()
    }

    fn attempt(&self) -> Attempt {
        let wire = self.server.wire();
        if let Ok(mut shared) = self.shared.wire.lock() {
            *shared = Some(wire.clone());
        }
        // Dropped before the connection could be seen.
        if self.is_unwanted() {
            return Attempt::Unwanted;
        }
        let (ended, closes) = self.ask(&wire);
        if let Ok(mut shared) = self.shared.wire.lock() {
            *shared = None;
        }
        match ended {
            Attempt::Over if !closes && !self.shared.is_dropped() => self.server.keep(wire),
            Attempt::Over => {}
            _ if self.is_unwanted() => return Attempt::Unwanted,
            _ => {}
        }
        ended
    }

    /// Asks once; says whether the server closes the connection behind its answer.
    fn ask(&self, wire: &Wire) -> (Attempt, bool) {
        const PATH: &str = "/v1/completions";
        let server = &self.server;
        if let Err(error) = server.check_if_doubtful(wire) {
            return (Attempt::Failed(error), false);
        }
        server.note_request();
        match server.http.post(wire, PATH, &self.body) {
            Ok(answer) => {
                let closes = answer.closes;
                (self.hear(answer.body, &server.http.peer(PATH)), closes)
            }
            Err(error) => (Attempt::Failed(error), false),
        }
    }

    /// Hands on what an answer brings, token by token.
    fn hear(&self, mut body: Body, peer: &Peer) -> Attempt {
        let (mut tokens, mut finish) = (0, None);
        let cut = |tokens: usize, why: String| {
            if tokens > 0 {
                return Attempt::Cut;
            }
            Attempt::Failed(peer.error(
                Prospect::Gone,
                format!("the answer broke off before its first token ({why}); look at the server's own messages"),
            ))
        };
        loop {
            let json = match next_document(&mut body) {
                Ok(Document::Json(json)) => json,
                Ok(Document::Done) => break,
                Ok(Document::End) if finish.is_none() => {
                    return cut(tokens, "the connection was closed".into());
                }
                Ok(Document::End) => break,
                Err(Unread::Cut(error)) => return cut(tokens, error.to_string()),
                Err(Unread::TooLong(error)) => return Attempt::Failed(error),
            };
            let piece = match wire::piece(peer, &json, self.position + tokens) {
                Ok(piece) => piece,
                // What has come is sound.
                Err(error) if error.is_gone() && tokens > 0 => return Attempt::Cut,
                Err(error) => return Attempt::Failed(error),
            };
            tokens += piece.said.len();
            if tokens > 0 {
                body.says_something();
            }
            self.server.note_tokens(piece.said.len());
            for said in piece.said {
                if !self.say(News::Said(said)) {
                    return Attempt::Unwanted;
                }
            }
            finish = finish.or(piece.finish);
        }
        match finish.unwrap_or(Finish::Length) {
            Finish::Length if tokens == 0 => Attempt::Failed(peer.wrong(
                "the server answers without a single token; is its context used up? Lower writer.context_tokens_max",
            )),
            finish => {
                self.say(News::Over(finish));
                // Read to its end, the connection can be used again.
                let _ = body.line();
                Attempt::Over
            }
        }
    }

    /// Hands something to who waits; `false` when nobody does.
    fn say(&self, news: News) -> bool {
        if self.is_unwanted() || self.tell.send(news).is_err() {
            return false;
        }
        self.waits.unpark();
        true
    }
}

enum Document {
    Json(Vec<u8>),
    /// The server says that there is no more.
    Done,
    /// The body is over.
    End,
}

/// The next piece of an answer: the data of an event, or all of it from a server that does not stream.
fn next_document(body: &mut Body) -> Result<Document, Unread> {
    if !body.events {
        let all = body.whole()?;
        return Ok(if all.is_empty() {
            Document::End
        } else {
            Document::Json(all)
        });
    }
    while let Some(line) = body.line()? {
        // Everything else is a comment, an empty line or another field of an event.
        let Some(data) = line.strip_prefix(b"data:") else {
            continue;
        };
        let data = data.strip_prefix(b" ").unwrap_or(data);
        return Ok(if data == b"[DONE]" {
            Document::Done
        } else {
            Document::Json(data.to_vec())
        });
    }
    Ok(Document::End)
}
