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

#[path = "../benches/forks/cases.rs"]
mod cases;

#[test]
fn the_hand_made_fork_cases_are_what_their_readme_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/forks");
    let readme = std::fs::read_to_string(folder.join("README.md")).expect("the README");
    let cyrillic = |c: char| ('\u{0400}'..='\u{04FF}').contains(&c);
    for (language, least) in [("en", 60), ("ru", 40)] {
        let cases = cases::read(&folder.join(format!("{language}.jsonl"))).expect("sound cases");
        assert!(cases.len() >= least, "{language}: {} cases", cases.len());
        assert!(
            readme.contains(&format!("`{language}.jsonl` ({})", cases.len())),
            "{language}: the README counts other than {} cases",
            cases.len()
        );
        for (number, case) in cases.iter().enumerate() {
            assert_eq!(case.id, format!("{language}{:02}", number + 1));
            for text in case.options.iter().chain([&case.before, &case.kind]) {
                let mut letters = text.chars().filter(|c| c.is_alphabetic());
                assert!(
                    letters.all(|c| cyrillic(c) == (language == "ru")),
                    "{}: a letter of another alphabet in {text:?}",
                    case.id
                );
            }
        }
        let pairs: Vec<bool> = cases
            .iter()
            .flat_map(|case| case.pairs().map(|pair| pair.2))
            .collect();
        let same = pairs.iter().filter(|same| **same).count();
        let (all, same) = (pairs.len().to_string(), same.to_string());
        let told = match language {
            "en" => format!("English: {all} pairs, {same} of them the\nsame"),
            _ => format!("Russian: {all} and {same}."),
        };
        assert!(readme.contains(&told), "{told}");
    }
}

#[test]
fn a_fork_case_that_is_none_is_refused_with_its_line() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("cases.jsonl");
    let sound = r#"{"id":"en01","kind":"voice","before":"A text","options":["goes on.","ends."],"meanings":[0,1]}"#;
    for (what, line) in [
        (
            "one option",
            sound.replace(r#","ends.""#, "").replace("[0,1]", "[0]"),
        ),
        ("meanings too few", sound.replace("[0,1]", "[0]")),
        ("meanings from 1", sound.replace("[0,1]", "[1,0]")),
        ("a number left out", sound.replace("[0,1]", "[0,2]")),
        ("one meaning", sound.replace("[0,1]", "[0,0]")),
        ("options that are equal", sound.replace("ends.", "goes on.")),
        ("an empty option", sound.replace("ends.", "")),
        ("two spaces", sound.replace("goes on", "goes  on")),
        (
            "an unknown key",
            sound.replace("\"id\"", "\"source\":1,\"id\""),
        ),
        ("the same case twice", sound.into()),
    ] {
        assert!(what.contains("twice") || line != sound, "{what}");
        std::fs::write(&path, format!("{sound}\n{line}\n")).expect("written");
        let error = cases::read(&path).expect_err(what);
        assert!(error.contains("line 2"), "{what}: {error}");
    }
}
