//! What `razvilka streams` says of the streams on the network. Alone in its process, as the list has every stream of its session.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]

mod lsl_common;

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lsl_common::{eeg, network, session};
use razvilka::source::SampleSink;
use razvilka::source::lsl::LslSampleOutlet;

#[test]
fn the_list_of_streams_says_whose_samples_share_their_stamps() {
    let mut blocks = LslSampleOutlet::new(network(), &eeg("Blocks")).unwrap();
    let mut own = LslSampleOutlet::new(network(), &eeg("Own")).unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&over);
    let sending = std::thread::spawn(move || {
        let mut at_s = 1000.0;
        while !stop.load(Ordering::Relaxed) {
            let stamps: Vec<f64> = (0..16).map(|k| at_s + f64::from(k) / 500.0).collect();
            own.push(&[0.0; 16 * 8], &stamps).unwrap();
            blocks.push(&[0.0; 16 * 8], &[at_s; 16]).unwrap();
            at_s += 0.032;
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    let list = |more: &[&str]| {
        let listed = Command::new(env!("CARGO_BIN_EXE_razvilka"))
            .args(["streams", "--loopback", "--session-id", &session()])
            .args(more)
            .output()
            .unwrap();
        assert!(listed.status.success(), "{listed:?}");
        String::from_utf8(listed.stdout).unwrap()
    };
    let (words, unheard) = (list(&[]), list(&["--listen-s", "0"]));
    let json: serde_json::Value = serde_json::from_str(&list(&["--json"])).unwrap();
    over.store(true, Ordering::Relaxed);
    sending.join().unwrap();
    assert!(
        words.contains("'Blocks' come in blocks of about 16 that share one stamp"),
        "{words}"
    );
    assert!(!words.contains("'Own' come"), "{words}");
    assert!(!unheard.contains("share one stamp"), "{unheard}");
    let of = |name: &str| {
        let mut streams = json.as_array().unwrap().iter();
        streams.find(|stream| stream["name"] == name).unwrap()["block_samples"].clone()
    };
    assert!(of("Own").is_null() && (of("Blocks").as_f64().unwrap() - 16.0).abs() < 1.0);
}
