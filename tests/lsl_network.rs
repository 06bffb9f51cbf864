//! The network is settled once per process, so this has a process to itself.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]

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
