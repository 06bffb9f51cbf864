//! The Lab Streaming Layer itself: which network it may use, and whether a stream of this machine is seen on it.

use std::time::Duration;

use super::finding::{Area, Finding};
use crate::source::lsl::{Announcement, LslMarkerOutlet, Network};
use crate::source::{Format, SourceError, StreamSpec};

/// Name of the stream that is published to see whether it is found.
const PROBE: &str = "RazvilkaDoctor";

/// What is known of LSL.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    /// What `LSLAPICFG` names.
    pub(super) named: Option<String>,
    /// Which addresses are asked.
    pub(super) asked: String,
    /// Whether only this machine is spoken to.
    pub(super) loopback: bool,
    /// Whether a stream of our own was found, or why none could be published.
    pub(super) seen: Result<bool, String>,
}

/// Asks for streams for `wait` while one of our own is published: the facts, and everything else that answered.
///
/// # Errors
/// [`SourceError::Lsl`] when no socket can be opened.
pub(super) fn facts(
    network: Network,
    wait: Duration,
) -> Result<(Facts, Vec<Announcement>), SourceError> {
    let spec = StreamSpec {
        name: PROBE.into(),
        kind: "Markers".into(),
        source_id: format!("razvilka-doctor-{}", std::process::id()),
        hostname: String::new(),
        uid: String::new(),
        rate_hz: 0.0,
        format: Format::String,
        labels: vec!["nothing".into()],
        units: Vec::new(),
        xml: String::new(),
    };
    let probe = LslMarkerOutlet::new(network, &spec);
    let mut announced = network.resolve_all(wait)?;
    let seen = match &probe {
        Err(error) => Err(error.to_string()),
        Ok(probe) => {
            let others = announced.len();
            announced.retain(|one| one.spec().uid != probe.spec().uid);
            Ok(announced.len() < others)
        }
    };
    let facts = Facts {
        named: std::env::var("LSLAPICFG").ok(),
        asked: network.describe(),
        loopback: network.is_loopback(),
        seen,
    };
    Ok((facts, announced))
}

/// What that means for a session.
pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let area = Area::Lsl;
    let from = match &facts.named {
        _ if facts.loopback => String::new(),
        Some(file) => format!("; LSLAPICFG names {file}"),
        None => "; LSLAPICFG is not set".into(),
    };
    let network = Finding::ok(area, "network", format!("{}{from}", facts.asked));
    let probe = match &facts.seen {
        Ok(true) => Finding::ok(area, "discovery", "a stream of this machine is found"),
        Ok(false) if facts.loopback => Finding::failure(
            area,
            "discovery",
            "a stream of this machine is not found on 127.0.0.1",
            "Let UDP and TCP ports 16571 to 16603 through to 127.0.0.1: a firewall, or another program on all of these ports, stands between",
        ),
        Ok(false) => Finding::failure(
            area,
            "discovery",
            "a stream of this machine is not found on the network",
            "Let multicast and UDP and TCP ports 16571 to 16603 through the firewall, and see that the network interface is up; or name the \
             machines in KnownPeers of lsl_api.cfg",
        ),
        Err(why) => Finding::failure(
            area,
            "discovery",
            format!("no stream can be published: {why}"),
            "End other LSL programs on this machine until one of the ports 16572 to 16603 is free",
        ),
    };
    vec![network, probe]
}

/// LSL cannot be used at all.
pub(super) fn unusable(why: &str) -> Finding {
    Finding::failure(
        Area::Lsl,
        "network",
        why,
        "Correct what it names: without LSL there is no stream",
    )
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn a_stream_of_our_own_that_is_not_found_fails_with_the_ports_to_open() {
        let of = |seen, loopback| {
            let facts = Facts {
                named: Some("/etc/lsl_api.cfg".into()),
                asked: "239.255.172.215 on UDP ports".into(),
                loopback,
                seen,
            };
            judge(&facts)
        };
        assert!(of(Ok(true), false).iter().all(|f| f.level == Level::Ok));
        assert!(
            of(Ok(true), false)[0]
                .figure
                .contains("LSLAPICFG names /etc/lsl_api.cfg")
        );
        let unseen = &of(Ok(false), false)[1];
        assert_eq!(unseen.level, Level::Failure);
        assert!(unseen.advice.as_ref().unwrap().contains("multicast"));
        let here = &of(Ok(false), true)[1];
        assert!(here.advice.as_ref().unwrap().contains("127.0.0.1"));
        assert_eq!(
            of(Err("no port is free".into()), true)[1].level,
            Level::Failure
        );
    }
}
