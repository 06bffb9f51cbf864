//! Programs that lie in their announcements are refused before an inlet is opened.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]

mod lsl_common;

use lsl_common::{Document, WAIT, liar, named, network};
use razvilka::source::SourceError;

#[test]
fn absurd_announcements_are_refused_before_anything_is_opened() {
    liar("A million channels", "1000000", "500.0", Document::Endless);
    liar("A million hertz", "8", "1000000.0", Document::Endless);
    liar("A rate that is no number", "8", "nan", Document::Endless);
    liar("Endless description", "8", "500.0", Document::Endless);
    let deep = format!("<info>{}{}</info>", "<a>".repeat(5000), "</a>".repeat(5000));
    liar("Deep description", "8", "500.0", Document::Text(deep));
    for (name, words) in [
        ("A million channels", "the channel count is 1000000"),
        ("A million hertz", "the nominal rate is 1000000 Hz"),
        ("A rate that is no number", "the nominal rate is NaN Hz"),
        (
            "Endless description",
            "the description is more than 65536 bytes",
        ),
        ("Deep description", "the depth of the description is 5001"),
    ] {
        let error = network().resolve(&named(name), WAIT).unwrap_err();
        assert!(matches!(error, SourceError::Oversized { .. }), "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
}
