//! The network is settled once per process and from its environment, so every case here has a process to itself.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]

use std::process::Command;

use razvilka::source::lsl::Network;

#[test]
fn the_network_is_settled_by_the_first_call_and_another_one_is_refused() {
    let session = format!("test-{}", std::process::id());
    let first = Network::loopback_session(&session).unwrap();
    assert_eq!(first.session(), session);
    assert!(first.is_loopback());
    assert!(
        Network::loopback_session(&session).is_ok(),
        "the same again"
    );

    let laboratory = Network::laboratory().unwrap_err().to_string();
    assert!(laboratory.contains("already uses"), "{laboratory}");
    assert!(Network::loopback_session("another").is_err());

    let told = first.describe();
    assert!(
        told.contains("127.0.0.1 on UDP ports 16571 and 16572-16603") && told.contains(&session),
        "{told}"
    );
}

/// Not a test by itself: what [`laboratory`] runs in another process. It sends nothing, only settles.
#[test]
fn the_other_process() {
    if std::env::var_os("RAZVILKA_TEST_LABORATORY").is_some() {
        match Network::laboratory() {
            Ok(network) => println!("SETTLED {}", network.describe()),
            Err(error) => println!("REFUSED {error}"),
        }
    }
}

/// What the laboratory's network says with this configuration.
fn laboratory(configuration: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lsl_api.cfg");
    std::fs::write(&path, configuration).unwrap();
    laboratory_with(path.to_str().unwrap())
}

fn laboratory_with(path: &str) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_other_process", "--nocapture"])
        .env("RAZVILKA_TEST_LABORATORY", "1")
        .env("LSLAPICFG", path)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find_map(|line| {
        line.find("SETTLED")
            .or_else(|| line.find("REFUSED"))
            .map(|at| &line[at..])
    });
    line.unwrap().to_owned()
}

#[test]
fn the_laboratory_uses_its_own_file_and_says_so() {
    let told = laboratory(
        "; ours\n[multicast]\nResolveScope = machine\n[lab]\nKnownPeers = {10.0.0.7}\nSessionID = lab2\n",
    );
    for part in [
        "SETTLED 127.0.0.1, 10.0.0.7 on UDP",
        "\"lab2\"",
        "lsl_api.cfg",
    ] {
        assert!(told.contains(part), "{told}");
    }
}

#[test]
fn a_configuration_that_would_silently_ask_the_whole_network_is_refused() {
    let comment = laboratory("[multicast]\nResolveScope = machine ; only here\n");
    assert!(
        comment.starts_with("REFUSED") && comment.contains("line 2"),
        "{comment}"
    );
    let broken = laboratory("[multicast]\nResolveScope machine\n");
    assert!(
        broken.starts_with("REFUSED") && broken.contains("cannot be read"),
        "{broken}"
    );
    let absent = laboratory_with("/nonexistent/lsl_api.cfg");
    assert!(
        absent.starts_with("REFUSED") && absent.contains("/nonexistent"),
        "{absent}"
    );
}

#[test]
fn a_configuration_that_replaces_stamps_is_refused() {
    let told = laboratory("[tuning]\nForceDefaultTimestamps = 1\n");
    assert!(
        told.starts_with("REFUSED") && told.contains("ForceDefaultTimestamps"),
        "{told}"
    );
}
