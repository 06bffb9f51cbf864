//! Who answered, for messages: what a server says is shown without its key, and without what a terminal would obey.

use super::super::error::{DecodeError, Prospect};

/// Where something was asked, and what must not be shown of the answer.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    pub(super) url: String,
    pub(super) key: Option<Key>,
}

/// What stands behind `Bearer`; never in a message.
#[derive(Clone)]
pub(super) struct Key(pub(super) String);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(not told)")
    }
}

impl Peer {
    /// What it said on one line, up to `chars_max` characters of it.
    pub(super) fn quote(&self, said: &str, chars_max: usize) -> String {
        // First of all: half a key is a secret, too.
        let said = match &self.key {
            Some(Key(key)) => said.replace(key.as_str(), "(the key)"),
            None => said.to_owned(),
        };
        let words: Vec<&str> = said.split_whitespace().collect();
        let line = words.join(" ");
        let shown = line.chars().filter(|c| !c.is_control());
        shown.take(chars_max).collect()
    }

    pub(super) fn error(&self, prospect: Prospect, reason: impl Into<String>) -> DecodeError {
        DecodeError::Server {
            url: self.url.clone(),
            reason: reason.into(),
            prospect,
        }
    }

    /// An error that the same question would meet again.
    pub(super) fn wrong(&self, reason: impl Into<String>) -> DecodeError {
        self.error(Prospect::Same, reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_is_shown_on_one_line_without_the_key_and_without_commands() {
        let peer = |key: Option<&str>| Peer {
            url: String::new(),
            key: key.map(|key| Key(key.into())),
        };
        let said = "no\r\n key\t\u{1b}[31mopen sesame\u{9b}2J!";
        assert_eq!(
            peer(Some("sesame")).quote(said, 99),
            "no key [31mopen (the key)2J!"
        );
        assert_eq!(peer(None).quote(said, 6), "no key");
        // The cut does not leave half of it.
        assert_eq!(peer(Some("sesame")).quote("xx sesame", 5), "xx (t");
    }
}
