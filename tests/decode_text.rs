//! Text that streams out of tokens: whole characters of any script, nothing lost, nothing twice.

use std::path::Path;

use proptest::prelude::*;
use razvilka::decode::{Model, TextStream};

fn model() -> Model {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/golden/decode/llama");
    Model::load(folder).expect("a sound folder")
}

fn stream(model: &Model, text: &str) -> Vec<String> {
    let mut stream = TextStream::new();
    let tokens = model.tokens().encode(text).expect("tokens");
    tokens
        .iter()
        .map(|token| stream.push(model.tokens(), *token).expect("text"))
        .collect()
}

#[test]
fn cyrillic_and_emoji_come_out_whole() {
    let model = model();
    for text in [
        "Развилка: лиса украла хлеб.",
        "Щёголь ёжился — эх! Ъ, ы, ѣ.",
        "Море 🌊, лиса 🦊, семья 👨‍👩‍👧, флаг 🇷🇺, рука 👍🏽.",
        "жизнь🌊без🦊пробелов",
        "The fox — «лиса» — 狐, きつね, ثعلب.",
    ] {
        let pieces = stream(&model, text);
        assert!(
            pieces.iter().all(|piece| !piece.contains('\u{FFFD}')),
            "{pieces:?}"
        );
        assert_eq!(pieces.concat(), text);
        assert!(
            pieces.len() > text.chars().count() / 3,
            "this tokenizer splits characters: the test means something"
        );
    }
}

#[test]
fn decoding_token_by_token_would_break_them() {
    let model = model();
    let tokens = model.tokens().encode("狐 Щ 🇷🇺").expect("tokens");
    let naive: String = tokens
        .iter()
        .map(|token| model.tokens().decode(&[*token]).expect("text"))
        .collect();
    assert!(
        naive.contains('\u{FFFD}'),
        "else the tests above prove nothing: {naive}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_text_comes_out_as_it_went_in(text in "[а-яёА-Яa-z0-9 .,!—🦊🌊👍🇷狐é\n]{0,60}") {
        prop_assert_eq!(stream(&model(), &text).concat(), text);
    }
}
