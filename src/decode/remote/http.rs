//! The HTTP client: one request at a time over each connection, with limits on everything.

use std::io::{self, BufRead, BufReader, Read};
use std::time::{Duration, Instant};

use super::super::error::{DecodeError, Prospect};
use super::super::server_settings::ServerSettings;
use super::peer::{Key, Peer};

/// A connection that rested longer may have been made anew since, by a client that tells nobody.
const REST: Duration = Duration::from_secs(1);

/// A connection, kept for the next request. Clones are the same connection.
#[derive(Debug, Clone)]
pub(super) struct Wire {
    agent: ureq::Agent,
    /// When an answer was last read to its end.
    answered: Option<Instant>,
}

impl Wire {
    /// Breaks off the request that is under way; the connection is of no more use.
    pub(super) fn cut(self) {
        self.agent.shutdown();
    }

    /// An answer was read to its end.
    pub(super) fn rest(self) -> Self {
        Self {
            answered: Some(Instant::now()),
            ..self
        }
    }

    /// Whether the server of the last answer is at its other end: one that ends takes its connections along.
    pub(super) fn is_known(&self) -> bool {
        self.answered.is_some_and(|at| at.elapsed() < REST)
    }
}

/// Where the server is, and how long it is waited for.
#[derive(Debug)]
pub(super) struct Http {
    /// Address without a slash or `/v1` at its end.
    base: String,
    key: Option<Key>,
    config: ureq::config::Config,
    first_byte: Duration,
    answer_bytes_max: usize,
}

/// What came back: good news, its body still to be read.
pub(super) struct Answer {
    pub(super) body: Body,
    /// Whether the server closes the connection behind it.
    pub(super) closes: bool,
}

impl Http {
    /// A client for an address.
    ///
    /// # Errors
    /// [`DecodeError::Server`] for an address that cannot be used, or a key that would travel unencrypted.
    pub(super) fn new(
        address: &str,
        settings: &ServerSettings,
        key: Option<String>,
    ) -> Result<Self, DecodeError> {
        let refused = |reason: &str| DecodeError::Server {
            url: address.into(),
            reason: reason.into(),
            prospect: Prospect::Same,
        };
        let (scheme, rest) = address
            .split_once("://")
            .filter(|(scheme, _)| matches!(*scheme, "http" | "https"))
            .ok_or_else(|| refused("a server is named as http://host:port or https://host"))?;
        let authority = rest.split('/').next().unwrap_or_default();
        if authority.is_empty() || rest.contains(['?', '#', ' ']) {
            return Err(refused(
                "a server is named as http://host:port or https://host, with nothing behind it",
            ));
        }
        if authority.contains('@') {
            return Err(DecodeError::Server {
                url: format!("{scheme}://..."),
                reason: "the address holds a name or a password; put the key into the environment variable that server.key_env names".into(),
                prospect: Prospect::Same,
            });
        }
        if key.is_some() && scheme == "http" && !is_this_machine(authority) {
            return Err(refused(
                "the key would travel unencrypted; use https, or empty the variable that server.key_env names",
            ));
        }
        let base = address.trim_end_matches('/').trim_end_matches("/v1");
        let seconds = |s: f64| Some(Duration::from_secs_f64(s));
        let config = ureq::Agent::config_builder()
            .timeout_connect(seconds(settings.connect_s))
            .timeout_resolve(seconds(settings.connect_s))
            .timeout_send_request(seconds(settings.first_byte_s))
            .timeout_send_body(seconds(settings.first_byte_s))
            .timeout_recv_response(seconds(settings.first_byte_s))
            // Both silences end in a read: the shorter one is watched by who waits for the tokens.
            .timeout_per_read(seconds(settings.first_byte_s.max(settings.pause_s)))
            .https_only(scheme == "https")
            .http_status_as_error(false)
            // The text and the key go to the server that was named, and to no other.
            .max_redirects(0)
            .proxy(None)
            .max_idle_connections(1)
            .max_idle_connections_per_host(1)
            .user_agent(concat!("razvilka/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self {
            base: base.into(),
            key: key.filter(|key| !key.is_empty()).map(Key),
            config,
            first_byte: Duration::from_secs_f64(settings.first_byte_s),
            answer_bytes_max: settings.answer_kib_max as usize * 1024,
        })
    }

    /// The server's address.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// A connection that is made with its first request.
    pub(super) fn wire(&self) -> Wire {
        Wire {
            agent: self.config.clone().into(),
            answered: None,
        }
    }

    /// Who answers at a path.
    pub(super) fn peer(&self, path: &str) -> Peer {
        Peer {
            url: format!("{}{path}", self.base),
            key: self.key.clone(),
        }
    }

    /// Asks for a document.
    pub(super) fn get(&self, wire: &Wire, path: &str) -> Result<Answer, DecodeError> {
        let peer = self.peer(path);
        let mut request = wire.agent.get(&peer.url);
        if let Some(Key(key)) = &self.key {
            request = request.header("Authorization", format!("Bearer {key}"));
        }
        self.answered(peer, request.call())
    }

    /// Sends a JSON document.
    pub(super) fn post(&self, wire: &Wire, path: &str, json: &[u8]) -> Result<Answer, DecodeError> {
        let peer = self.peer(path);
        let mut request = wire
            .agent
            .post(&peer.url)
            .header("Content-Type", "application/json");
        if let Some(Key(key)) = &self.key {
            request = request.header("Authorization", format!("Bearer {key}"));
        }
        self.answered(peer, request.send(json))
    }

    fn answered(
        &self,
        peer: Peer,
        answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<Answer, DecodeError> {
        let answer = answer.map_err(|error| failed(&peer, &error))?;
        let status = answer.status().as_u16();
        let header = |name| {
            let value = answer.headers().get(name);
            value.and_then(|value| value.to_str().ok()).unwrap_or("")
        };
        let events = header("content-type").starts_with("text/event-stream");
        let closes = header("connection").eq_ignore_ascii_case("close");
        let patient = Patient {
            until: Some(Instant::now() + self.first_byte),
            body: Box::new(answer.into_body().into_reader()),
        };
        let mut body = Body {
            peer,
            lines: BufReader::new(patient),
            left: self.answer_bytes_max,
            bytes_max: self.answer_bytes_max,
            events,
        };
        if status == 200 {
            return Ok(Answer { body, closes });
        }
        let said = body.start_of_message();
        Err(refusal(&body.peer, status, &said))
    }
}

/// Whether an authority is a loopback address.
fn is_this_machine(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

fn failed(peer: &Peer, error: &ureq::Error) -> DecodeError {
    let gone = matches!(
        error,
        ureq::Error::Io(_)
            | ureq::Error::Timeout(_)
            | ureq::Error::HostNotFound
            | ureq::Error::ConnectionFailed
            | ureq::Error::Protocol(_)
    );
    let advice = if gone {
        "is the server running there?"
    } else {
        "see to the address, or to the server's certificate"
    };
    let prospect = if gone { Prospect::Gone } else { Prospect::Same };
    let error = peer.quote(&error.to_string(), MESSAGE_CHARS_MAX);
    peer.error(prospect, format!("{error}; {advice}"))
}

/// What a status other than 200 means.
fn refusal(peer: &Peer, status: u16, said: &str) -> DecodeError {
    let said = if said.is_empty() {
        String::new()
    } else {
        format!(" and said: {said}")
    };
    let advice = match status {
        301..=308 => "it sends elsewhere: name that address itself",
        401 | 403 => {
            "it wants a key: put it into the environment variable that server.key_env names"
        }
        404 | 405 | 501 => "it has no such path; name an OpenAI-compatible server, without /v1/...",
        429 => "it has too much to do; lower server.parallel",
        500..=599 => "it is loading or has failed; look at its own messages",
        _ => "see what it wants",
    };
    let prospect = match status {
        503 => Prospect::Loading,
        429 | 500 | 502..=599 => Prospect::Gone,
        _ => Prospect::Same,
    };
    peer.error(
        prospect,
        format!("the server answered {status}{said}; {advice}"),
    )
}

/// Longest part of a server's message that is shown, characters.
pub(super) const MESSAGE_CHARS_MAX: usize = 300;

/// Bytes that may come as slowly as they like, but not for ever: they must say something in time.
struct Patient {
    body: Box<dyn Read + Send>,
    /// When nothing of use is too late; `None` once something has come.
    until: Option<Instant>,
}

impl Read for Patient {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.until.is_some_and(|until| Instant::now() >= until) {
            let why = "it says nothing for longer than server.first_byte_s, and yet sends bytes";
            return Err(io::Error::new(io::ErrorKind::TimedOut, why));
        }
        self.body.read(into)
    }
}

/// A body that is read line by line, up to a bound.
pub(super) struct Body {
    peer: Peer,
    lines: BufReader<Patient>,
    left: usize,
    bytes_max: usize,
    /// Whether it is a stream of server-sent events; otherwise one document.
    pub(super) events: bool,
}

/// How reading a body can fail.
pub(super) enum Unread {
    /// The connection broke.
    Cut(io::Error),
    /// It is longer than accepted.
    TooLong(DecodeError),
}

impl Body {
    /// Something of use has come: from now on whoever waits for more watches for silence.
    pub(super) fn says_something(&mut self) {
        self.lines.get_mut().until = None;
    }

    /// The next line without its end; `None` at the end of the body.
    pub(super) fn line(&mut self) -> Result<Option<Vec<u8>>, Unread> {
        let mut line = Vec::new();
        let n = (&mut self.lines)
            .take(self.left as u64 + 1)
            .read_until(b'\n', &mut line)
            .map_err(Unread::Cut)?;
        if n > self.left {
            return Err(Unread::TooLong(self.too_long()));
        }
        self.left -= n;
        if n == 0 {
            return Ok(None);
        }
        while matches!(line.last(), Some(b'\n' | b'\r')) {
            line.pop();
        }
        Ok(Some(line))
    }

    /// The whole body.
    pub(super) fn whole(&mut self) -> Result<Vec<u8>, Unread> {
        let mut all = Vec::new();
        let n = (&mut self.lines)
            .take(self.left as u64 + 1)
            .read_to_end(&mut all)
            .map_err(Unread::Cut)?;
        if n > self.left {
            return Err(Unread::TooLong(self.too_long()));
        }
        self.left -= n;
        Ok(all)
    }

    fn too_long(&self) -> DecodeError {
        self.peer.wrong(format!(
            "the answer is longer than {} KiB; is this a language model's server? Otherwise raise server.answer_kib_max",
            self.bytes_max / 1024
        ))
    }

    /// What an error's body says, cut short: the `message` of its JSON, or its text.
    fn start_of_message(&mut self) -> String {
        let mut start = Vec::new();
        // A message that breaks off is better than none.
        let _ = (&mut self.lines).take(16 * 1024).read_to_end(&mut start);
        let text = String::from_utf8_lossy(&start);
        let json: Option<serde_json::Value> = serde_json::from_str(&text).ok();
        let message = json.as_ref().and_then(|json| {
            let error = json.get("error").unwrap_or(json);
            error
                .get("message")
                .or_else(|| error.get("detail"))
                .unwrap_or(error)
                .as_str()
        });
        self.peer.quote(message.unwrap_or(&text), MESSAGE_CHARS_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(address: &str, key: Option<&str>) -> Result<Http, DecodeError> {
        Http::new(address, &ServerSettings::default(), key.map(Into::into))
    }

    #[test]
    fn an_address_is_a_scheme_and_a_host_and_loses_what_clients_often_add() {
        for (address, base) in [
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://127.0.0.1:8080/v1/", "http://127.0.0.1:8080"),
            (
                "https://models.example/llm/v1",
                "https://models.example/llm",
            ),
        ] {
            assert_eq!(new(address, None).unwrap().base(), base);
        }
        for wrong in ["127.0.0.1:8080", "ftp://a", "http://", "http://a/?x=1"] {
            let said = new(wrong, None).unwrap_err().to_string();
            assert!(said.contains("http://host:port"), "{said}");
        }
    }

    #[test]
    fn a_key_stays_on_this_machine_or_travels_encrypted_and_is_never_shown() {
        for fine in [
            "http://127.0.0.1:1",
            "http://[::1]:1",
            "http://localhost",
            "https://a.example",
        ] {
            let http = new(fine, Some("sesame")).unwrap();
            assert!(!format!("{http:?}").contains("sesame"));
        }
        let said = new("http://a.example", Some("sesame"))
            .unwrap_err()
            .to_string();
        assert!(
            said.contains("unencrypted") && !said.contains("sesame"),
            "{said}"
        );
        let said = new("http://me:sesame@a.example", None)
            .unwrap_err()
            .to_string();
        assert!(
            said.contains("server.key_env") && !said.contains("sesame"),
            "{said}"
        );
    }
}
