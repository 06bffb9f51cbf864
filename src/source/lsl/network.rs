//! Which addresses LSL may use: settled once per process, before anything else.

use std::sync::OnceLock;

use labstream_net::config;

use crate::source::SourceError;

/// What the process was settled on.
static SETTLED: OnceLock<Scope> = OnceLock::new();

#[derive(Debug, Clone, PartialEq, Eq)]
enum Scope {
    Loopback { session: String },
    Laboratory,
}

/// The right to use LSL, with the addresses that may be asked.
///
/// LSL reads its configuration once and keeps it for the life of the process. The first constructor that is called
/// settles it; the same call again gives the same network, a different one is refused.
#[derive(Debug, Clone, Copy)]
pub struct Network {
    scope: &'static Scope,
}

impl Network {
    /// Session identity of [`Network::loopback`].
    pub const LOOPBACK_SESSION: &'static str = "loopback";

    /// This machine only: everything is sent to 127.0.0.1, no multicast, no IPv6. For the demo and for tests.
    ///
    /// Outlets still *bind* all interfaces, because `labstream` offers nothing else; no packet leaves the machine by
    /// itself, but a firewall has to keep others out.
    ///
    /// # Errors
    /// [`SourceError::Lsl`] when the process was settled on another network.
    pub fn loopback() -> Result<Self, SourceError> {
        Self::loopback_session(Self::LOOPBACK_SESSION)
    }

    /// As [`Network::loopback`], in a session of its own: streams of other sessions on this machine are not seen, and
    /// do not see ours.
    ///
    /// # Errors
    /// [`SourceError::Lsl`] when `session` is not 1 to 64 ASCII letters, digits, `-` or `_`, or when the process was
    /// settled on another network.
    pub fn loopback_session(session: &str) -> Result<Self, SourceError> {
        let network = Self::settle(Scope::Loopback {
            session: checked_session(session)?.to_owned(),
        })?;
        let in_force = config::get();
        let only_here = in_force
            .multicast_addresses
            .iter()
            .chain(&in_force.known_peers)
            .all(|address| address == "127.0.0.1");
        if in_force.session_id != session || !only_here {
            return Err(SourceError::Lsl(format!(
                "the loopback configuration did not take effect, {} is in force. Settle the network before any other use of LSL",
                in_force.source
            )));
        }
        Ok(network)
    }

    /// The laboratory's own configuration, where LSL looks for it: the file named by `LSLAPICFG`, `./lsl_api.cfg`,
    /// `~/lsl_api/lsl_api.cfg`, `/etc/lsl_api/lsl_api.cfg`, else the defaults (the whole local network).
    ///
    /// # Errors
    /// [`SourceError::Lsl`] when the process was settled on another network, when `LSLAPICFG` names a file that LSL
    /// cannot use, or the file has a comment after a value (either way LSL would ask the whole network instead of
    /// what was meant), or when the configuration replaces stamps.
    pub fn laboratory() -> Result<Self, SourceError> {
        let network = Self::settle(Scope::Laboratory)?;
        let in_force = config::get();
        if let Ok(named) = std::env::var("LSLAPICFG")
            && in_force.source != named
        {
            return Err(SourceError::Lsl(format!(
                "LSLAPICFG names {named:?}, which cannot be read as an LSL configuration: every line must be empty, '[section]', 'key = value' or start with ';'. Correct or unset it"
            )));
        }
        if let Ok(text) = std::fs::read_to_string(&in_force.source)
            && let Some((number, line)) = commented_value(&text)
        {
            return Err(SourceError::Lsl(format!(
                "{} line {number} has a comment after a value, which LSL reads as part of the value: {line:?}. Put it on a line of its own",
                in_force.source
            )));
        }
        if in_force.force_default_timestamps {
            return Err(SourceError::Lsl(format!(
                "{} sets tuning.ForceDefaultTimestamps, which replaces every stamp. Remove that line",
                in_force.source
            )));
        }
        Ok(network)
    }

    /// The text of the loopback configuration in the format of `lsl_api.cfg`, for other programs of the same session
    /// (`LSLAPICFG` must name a file with it before they load LSL).
    ///
    /// # Errors
    /// [`SourceError::Lsl`] when `session` is not 1 to 64 ASCII letters, digits, `-` or `_`.
    pub fn loopback_config(session: &str) -> Result<String, SourceError> {
        let session = checked_session(session)?;
        // LSL knows comments only at the start of a line; after a value they would become part of it.
        Ok(format!(
            "[ports]\n\
             IPv6 = disable\n\
             [multicast]\n\
             ResolveScope = machine\n\
             MachineAddresses = {{127.0.0.1}}\n\
             LinkAddresses = {{}}\n\
             SiteAddresses = {{}}\n\
             OrganizationAddresses = {{}}\n\
             GlobalAddresses = {{}}\n\
             AddressesOverride = {{127.0.0.1}}\n\
             TTLOverride = 0\n\
             Interfaces = {{127.0.0.1}}\n\
             ListenAddress = 127.0.0.1\n\
             [lab]\n\
             KnownPeers = {{127.0.0.1}}\n\
             SessionID = {session}\n\
             [log]\n\
             level = -2\n"
        ))
    }

    /// Which addresses, ports and session are asked, and which file says so. For messages and the manifest.
    #[must_use]
    pub fn describe(&self) -> String {
        let in_force = config::get();
        let mut addresses: Vec<&str> = Vec::new();
        for address in in_force
            .multicast_addresses
            .iter()
            .chain(&in_force.known_peers)
        {
            if !addresses.contains(&address.as_str()) {
                addresses.push(address);
            }
        }
        let last_port = u32::from(in_force.base_port) + u32::from(in_force.port_range) - 1;
        let origin = match self.scope {
            Scope::Loopback { .. } => "loopback only",
            Scope::Laboratory => in_force.source.as_str(),
        };
        format!(
            "{} on UDP ports {} and {}-{}, session {:?} ({origin})",
            addresses.join(", "),
            in_force.multicast_port,
            in_force.base_port,
            last_port,
            in_force.session_id,
        )
    }

    /// Whether only this machine may be spoken to.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        matches!(self.scope, Scope::Loopback { .. })
    }

    /// The session whose streams are seen.
    #[must_use]
    pub fn session(&self) -> &str {
        &config::get().session_id
    }

    fn settle(wanted: Scope) -> Result<Self, SourceError> {
        let scope = SETTLED.get_or_init(|| {
            if let Scope::Loopback { session } = &wanted
                && let Ok(text) = Self::loopback_config(session)
            {
                config::set_content(&text);
            }
            config::get();
            wanted.clone()
        });
        if *scope == wanted {
            Ok(Self { scope })
        } else {
            Err(SourceError::Lsl(format!(
                "this process already uses {scope:?} and cannot change to {wanted:?}. Choose the network once, at the start"
            )))
        }
    }
}

/// The first line, from 1, that has `;` after a value.
fn commented_value(text: &str) -> Option<(usize, &str)> {
    text.lines()
        .zip(1..)
        .find(|(line, _)| !line.starts_with(';') && line.contains(';'))
        .map(|(line, number)| (number, line))
}

fn checked_session(session: &str) -> Result<&str, SourceError> {
    let fits = (1..=64).contains(&session.len())
        && session
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if fits {
        Ok(session)
    } else {
        Err(SourceError::Lsl(format!(
            "a session must be 1 to 64 ASCII letters, digits, '-' or '_', got {session:?}"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_configuration_has_no_comment_and_only_local_addresses() {
        let text = Network::loopback_config("s-1_A").unwrap();
        assert!(!text.contains(';') && !text.contains('#'), "{text}");
        let ini = config::Ini::parse(&text).unwrap();
        let parsed = config::Config::from_ini(&ini, "test");
        assert_eq!(parsed.multicast_addresses, ["127.0.0.1"]);
        assert_eq!(parsed.known_peers, ["127.0.0.1"]);
        assert_eq!(parsed.session_id, "s-1_A");
        assert!(!parsed.allow_ipv6);
        assert_eq!(parsed.multicast_ttl, 0);
    }

    #[test]
    fn a_session_that_could_break_the_configuration_is_refused() {
        for bad in ["", "a b", "x\nKnownPeers={8.8.8.8}", "я", &"x".repeat(65)] {
            assert!(Network::loopback_config(bad).is_err(), "{bad:?}");
        }
    }
}
