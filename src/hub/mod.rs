//! Models from a hub, fetched when a person names one as `hf:organisation/name` and at no other time.
//!
//! Only with the cargo feature `hub`: without it no HTTP and no TLS is in the program. The hub is asked for the list of files with their sizes and
//! hashes; each file is fetched into `NAME.part`, gone on with where a cut left it, checked, and only then given its name. A model that was fetched
//! once is used without asking again.

mod fetch;
mod net;

use std::path::PathBuf;

pub use fetch::{Progress, fetch};
pub use net::Http;

/// What is wrong with a model that was to be fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// The name is not one.
    #[error(
        "`{name}` names no model; write hf:organisation/name, or hf:organisation/name/file.gguf"
    )]
    Name {
        /// What was typed.
        name: String,
    },
    /// The hub did not answer, or answered with a refusal.
    #[error("{url}: {reason}")]
    Refused {
        /// What was asked for.
        url: String,
        /// What came instead.
        reason: String,
    },
    /// The hub's list of files is not one.
    #[error("{url}: the list of files cannot be read: {reason}")]
    List {
        /// Where it was asked for.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// The connection was cut too often.
    #[error(
        "{url}: cut off {tries} times, {have_bytes} of {size_bytes} bytes are kept; ask again to go on from there"
    )]
    Cut {
        /// The file.
        url: String,
        /// Times it was tried.
        tries: u32,
        /// What has arrived, bytes.
        have_bytes: u64,
        /// Its size, bytes.
        size_bytes: u64,
    },
    /// A file is not the one of the list.
    #[error("{url}: {what}; it was thrown away, ask again")]
    Damaged {
        /// The file.
        url: String,
        /// What differs.
        what: String,
    },
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
}

/// A model on a hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// Who it belongs to.
    pub organisation: String,
    /// What it is called.
    pub name: String,
    /// The one file wanted: a GGUF.
    pub file: Option<String>,
}

impl Name {
    /// Reads `organisation/name` or `organisation/name/file.gguf`, with `hf:` in front or without.
    ///
    /// # Errors
    /// [`HubError::Name`].
    pub fn parse(text: &str) -> Result<Self, HubError> {
        let wrong = || HubError::Name { name: text.into() };
        let mut parts = text.strip_prefix("hf:").unwrap_or(text).split('/');
        let mut part = || {
            let part = parts.next()?;
            plain(part).then(|| part.to_owned())
        };
        let (organisation, name) = (part().ok_or_else(wrong)?, part().ok_or_else(wrong)?);
        let file = match parts.next() {
            None => None,
            Some(file) if plain(file) && file.ends_with(".gguf") => Some(file.to_owned()),
            Some(_) => return Err(wrong()),
        };
        if parts.next().is_some() {
            return Err(wrong());
        }
        Ok(Self {
            organisation,
            name,
            file,
        })
    }
}

/// Whether a part of a name is safe as the name of a file: no separator, no step up, nothing hidden.
fn plain(part: &str) -> bool {
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !part.is_empty() && part.len() <= 96 && !part.starts_with('.') && part.chars().all(known)
}

/// Where fetched models are kept: `RAZVILKA_MODELS`, or `razvilka/models` in the user's cache.
#[must_use]
pub fn folder() -> PathBuf {
    let of = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(named) = of("RAZVILKA_MODELS") {
        return named.into();
    }
    let cache = of("XDG_CACHE_HOME").map_or_else(
        || PathBuf::from(of("HOME").unwrap_or_else(|| ".".into())).join(".cache"),
        PathBuf::from,
    );
    cache.join("razvilka/models")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_never_reach_out_of_a_folder() {
        let name = Name::parse("hf:HuggingFaceTB/SmolLM2-135M").unwrap();
        assert_eq!(
            (name.organisation.as_str(), name.name.as_str(), name.file),
            ("HuggingFaceTB", "SmolLM2-135M", None)
        );
        let name = Name::parse("hf:a/b/c-Q8_0.gguf").unwrap();
        assert_eq!(name.file.as_deref(), Some("c-Q8_0.gguf"));
        for wrong in [
            "hf:",
            "hf:a",
            "hf:a/",
            "hf:/b",
            "hf:../b",
            "hf:a/..",
            "hf:a/b/c",
            "hf:a/b/../c.gguf",
            "hf:a/b?c",
            "hf:a\\b/c",
            "hf:a/b/c.gguf/d",
        ] {
            assert!(
                matches!(Name::parse(wrong), Err(HubError::Name { .. })),
                "{wrong}"
            );
        }
    }
}
