//! The writer through its public face: the text is a function of the choices, and nothing is lost on the way back.

use std::path::Path;
use std::sync::Arc;

use razvilka::decode::{Cancel, DecodeError, End, Model, Step, Thought, Writer, WriterSettings};
use razvilka::fork::{Fork, ForkId, ForkOrigin, MAX_BRANCHES};

fn model(family: &str) -> Arc<Model> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/golden/decode")
        .join(family);
    Arc::new(Model::load(folder).expect("a sound folder"))
}

/// A random model that never ends a text by itself.
fn endless() -> Arc<Model> {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let sound = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/golden/decode/qwen3");
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        std::fs::copy(sound.join(file), dir.path().join(file)).expect("copied");
    }
    let config = std::fs::read_to_string(sound.join("config.json")).expect("the configuration");
    let config = config.replace("\"eos_token_id\": 1", "\"eos_token_id\": null");
    std::fs::write(dir.path().join("config.json"), config).expect("written");
    Arc::new(Model::load(dir.path()).expect("a sound folder"))
}

/// A random model has no opinions: the gate is wide open, so that forks come often.
fn eager(seed: u64) -> WriterSettings {
    WriterSettings {
        seed,
        tokens_max: 120,
        second_mass_min: 0.02,
        top3_mass_min: 0.0,
        candidate_mass_min: 0.005,
        meaning_mass_min: 0.01,
        phrase_tokens_max: 6,
        horizon_tokens: 8,
        ready_tokens_max: 20,
        distance_tokens_min: 6,
        questions_per_100_tokens_max: 12,
        ..WriterSettings::default()
    }
}

fn writer(family: &str, settings: WriterSettings) -> Writer {
    let mut writer = Writer::new(model(family), settings).expect("sound settings");
    writer.start("Лиса нашла ключ").expect("started");
    writer
}

/// What happened at each fork: its position and phrases.
type Log = Vec<(usize, Vec<String>)>;

fn log_of(fork: &Fork) -> (usize, Vec<String>) {
    (
        fork.position,
        fork.branches
            .iter()
            .map(|branch| branch.text.clone())
            .collect(),
    )
}

/// Writes to the end; `thoughts` tells how long the person thinks at fork `n`.
fn write_all(
    writer: &mut Writer,
    choose: impl Fn(usize) -> usize,
    thoughts: impl Fn(usize) -> usize,
) -> (String, Log) {
    let cancel = Cancel::new();
    let mut log = Log::new();
    let mut shown = writer.text().to_owned();
    loop {
        match writer.advance(&cancel).expect("a step") {
            Step::Text(text) => shown.push_str(&text),
            Step::Fork(fork) => {
                for _ in 0..thoughts(log.len()) {
                    writer.think(&cancel).expect("a thought");
                }
                let branch = choose(log.len()) % fork.branches.len();
                log.push(log_of(&fork));
                let commit = writer.commit(fork.id, branch).expect("a commit");
                assert_eq!(commit.branch, branch);
                shown.push_str(&commit.text);
            }
            Step::End(_) => break,
            Step::Cancelled | Step::Waiting => {
                panic!("nobody cancelled, and nothing is waited for")
            }
        }
        assert_eq!(shown, writer.text(), "what was shown is the text");
    }
    (writer.text().to_owned(), log)
}

#[test]
fn the_same_choices_give_the_same_text_however_long_one_thinks() {
    for (family, seed) in [("llama", 1), ("qwen2", 2), ("mistral", 3)] {
        let quick = write_all(&mut writer(family, eager(seed)), |n| n, |_| 0);
        let slow = write_all(&mut writer(family, eager(seed)), |n| n, |_| 100);
        let fitful = write_all(&mut writer(family, eager(seed)), |n| n, |n| n * 7 % 11);
        assert!(quick.1.len() >= 3, "{family}: only {} forks", quick.1.len());
        assert_eq!(quick, slow, "{family}");
        assert_eq!(quick, fitful, "{family}");
    }
}

#[test]
fn other_choices_and_other_seeds_give_other_texts() {
    let first = write_all(&mut writer("llama", eager(1)), |_| 0, |_| 0).0;
    assert_ne!(
        first,
        write_all(&mut writer("llama", eager(1)), |_| 1, |_| 0).0
    );
    assert_ne!(
        first,
        write_all(&mut writer("llama", eager(2)), |_| 0, |_| 0).0
    );
}

fn next_fork(writer: &mut Writer) -> Fork {
    loop {
        match writer.advance(&Cancel::new()).expect("a step") {
            Step::Fork(fork) => return fork,
            Step::Text(_) => {}
            other => panic!("no fork came: {other:?}"),
        }
    }
}

#[test]
fn forks_are_sound() {
    let mut writer = writer("llama", eager(4));
    let prompt = writer.position();
    let mut asked = Vec::new();
    let mut identities = Vec::new();
    loop {
        match writer.advance(&Cancel::new()).expect("a step") {
            Step::Text(_) => {}
            Step::Fork(fork) => {
                assert!((2..=MAX_BRANCHES).contains(&fork.branches.len()));
                assert_eq!(
                    (fork.position, fork.origin),
                    (writer.position(), ForkOrigin::Detected)
                );
                assert!(writer.text().ends_with(&fork.context));
                assert!(fork.branches.iter().map(|branch| branch.prior).sum::<f64>() <= 1.0 + 1e-9);
                assert!(fork.branches.is_sorted_by(|a, b| a.prior >= b.prior));
                for branch in &fork.branches {
                    assert_eq!(branch.text, branch.text.trim());
                    assert!(
                        branch.text.chars().any(char::is_alphanumeric),
                        "readable: {:?}",
                        branch.text
                    );
                    assert!(branch.log_prob_nats < 0.0 && branch.log_prob_nats.is_finite());
                }
                asked.push(fork.position);
                identities.push(fork.id);
                let before = writer.text().chars().next_back().expect("text");
                let commit = writer.commit(fork.id, 0).expect("a commit");
                let after = commit.text.chars().next().expect("a phrase");
                assert!(
                    !(before.is_alphanumeric() && after.is_alphanumeric()),
                    "inside a word: {before:?} {after:?}"
                );
            }
            _ => break,
        }
    }
    assert!(asked.len() >= 3);
    assert!(
        asked.windows(2).all(|pair| pair[1] - pair[0] >= 6),
        "least distance: {asked:?}"
    );
    for at in prompt..writer.position() {
        let recent = asked
            .iter()
            .filter(|asked| (at..at + 100).contains(*asked))
            .count();
        assert!(recent <= 12, "budget: {recent} questions in 100 tokens");
    }
    assert!(
        identities.is_sorted_by(|a, b| a < b),
        "identities are never reused"
    );
}

#[test]
fn undo_takes_the_text_back_and_offers_the_same_branches() {
    let mut writer = writer("llama", eager(1));
    let cancel = Cancel::new();
    assert_eq!(writer.undo().expect("nothing yet"), None);
    let mut texts = Vec::new();
    let mut forks = Vec::new();
    for _ in 0..3 {
        let fork = next_fork(&mut writer);
        texts.push(writer.text().to_owned());
        for _ in 0..4 {
            writer.think(&cancel).expect("a thought");
        }
        writer.commit(fork.id, 1).expect("a commit");
        forks.push(fork);
    }
    writer
        .advance(&cancel)
        .expect("some text behind the last choice");
    let whole = writer.text().to_owned();
    for n in (0..3).rev() {
        let undone = writer.undo().expect("undo").expect("a choice to take back");
        assert_eq!(writer.text(), texts[n]);
        assert_eq!(undone.fork.branches, forks[n].branches);
        assert!(undone.fork.id > forks[2].id, "a new identity");
        if n == 2 {
            assert_eq!(texts[2].clone() + &undone.text, whole);
        }
    }
    assert!(!writer.can_undo());
    // Forward again by the same choices: the same text as if nothing had been taken back.
    let open = writer.fork().expect("offered again").id;
    writer.commit(open, 1).expect("a commit");
    let (again, _) = write_all(&mut writer, |_| 1, |_| 0);
    let (straight, _) = write_all(&mut self::writer("llama", eager(1)), |_| 1, |_| 0);
    assert_eq!(again, straight);
}

#[test]
fn no_more_choices_than_the_settings_say_can_be_taken_back() {
    let settings = WriterSettings {
        undo_depth: 2,
        tokens_max: 400,
        ..eager(1)
    };
    let mut writer = Writer::new(endless(), settings).expect("sound settings");
    writer.start("Лиса").expect("started");
    for _ in 0..4 {
        let fork = next_fork(&mut writer);
        writer.commit(fork.id, 0).expect("a commit");
    }
    assert!(writer.undo().expect("undo").is_some());
    assert!(writer.undo().expect("undo").is_some());
    assert_eq!(writer.undo().expect("undo"), None);
}

#[test]
fn other_branches_are_really_others() {
    let mut writer = writer("llama", eager(1));
    let mut fork = next_fork(&mut writer);
    let text = writer.text().to_owned();
    let mut shown: Vec<String> = fork
        .branches
        .iter()
        .map(|branch| branch.text.clone())
        .collect();
    let mut rounds = 0;
    while let Some(next) = writer.other(fork.id).expect("others") {
        assert_eq!(
            (next.origin, next.position),
            (ForkOrigin::Other, fork.position)
        );
        assert_ne!(next.id, fork.id);
        let new: Vec<String> = next
            .branches
            .iter()
            .map(|branch| branch.text.clone())
            .collect();
        let fresh = new.iter().filter(|text| !shown.contains(text)).count();
        assert!(
            fresh >= 1 && (fresh == new.len() || new.len() == 2),
            "{new:?} after {shown:?}"
        );
        shown.extend(new);
        assert!(
            matches!(writer.other(fork.id), Err(DecodeError::NotOpen { .. })),
            "the fork before is closed"
        );
        fork = next;
        rounds += 1;
        if rounds == 5 {
            break;
        }
    }
    assert!(rounds >= 1);
    assert_eq!(writer.text(), text);
    let last = fork.branches.len() - 1;
    let commit = writer.commit(fork.id, last).expect("a commit");
    assert_eq!(commit.text.trim(), fork.branches[last].text);
}

/// The embedded model, somewhere in a story.
fn story(settings: WriterSettings, tokens: usize) -> Writer {
    let model = Arc::new(Model::embedded().expect("the embedded model"));
    let mut writer = Writer::new(model, settings).expect("sound settings");
    writer.start("Once upon a time").expect("started");
    while writer.position() < tokens {
        match writer.advance(&Cancel::new()).expect("a step") {
            Step::Fork(fork) => drop(writer.commit(fork.id, 0).expect("a commit")),
            Step::Text(_) => {}
            other => panic!("the story is too short: {other:?}"),
        }
    }
    writer
}

/// Takes words off the end of a text.
fn without_words(text: &str, words: usize) -> &str {
    (0..words).fold(text, |text, _| {
        text.trim_end_matches(['.', ',', ':'])
            .rsplit_once(' ')
            .map_or("", |(left, _)| left)
    })
}

#[test]
fn the_person_can_call_for_a_fork_here_and_some_words_back() {
    let mut writer = story(WriterSettings::default(), 50);
    let text = writer.text().to_owned();
    let here = writer.call(0).expect("a call").expect("ways to go on");
    assert_eq!(
        (here.origin, here.position),
        (ForkOrigin::Called, writer.position())
    );
    assert!(text.starts_with(writer.text()));
    let before = writer.text().to_owned();
    let back = writer.call(4).expect("a call").expect("ways to go on");
    assert_eq!(writer.text(), without_words(&before, 4));
    assert_eq!(back.position, writer.position());
    writer.commit(back.id, 1).expect("a commit");
    let all = writer.call(10_000).expect("a call").expect("ways to go on");
    assert_eq!(writer.text(), "Once upon a time", "never into the prompt");
    assert!(!writer.can_undo(), "choices behind that place are gone");
    writer.commit(all.id, 0).expect("a commit");
    assert!(writer.can_undo());
}

#[test]
fn words_taken_back_and_written_again_by_a_cold_model_are_the_same() {
    let cold = WriterSettings {
        detect: false,
        temperature: 0.0,
        ..WriterSettings::default()
    };
    let mut places = 0;
    for words in 1..=12 {
        let mut writer = story(cold.clone(), 40);
        let text = writer.text().to_owned();
        // Where there is one way to go on there is nothing to choose.
        let Some(fork) = writer.call(words).expect("a call") else {
            continue;
        };
        places += 1;
        let taken = text[writer.text().len()..].trim_start();
        let same = |phrase: &str| taken.starts_with(phrase) || phrase.starts_with(taken);
        let branch = fork.branches.iter().position(|branch| same(&branch.text));
        writer
            .commit(
                fork.id,
                branch.expect("what was there is one of the ways on"),
            )
            .expect("a commit");
        while writer.text().len() < text.len() {
            writer.advance(&Cancel::new()).expect("a step");
        }
        assert!(
            writer.text().starts_with(&text),
            "{} instead of {text}",
            writer.text()
        );
    }
    assert!(places >= 3, "ways to go on at {places} places");
}

#[test]
fn a_cancelled_step_changes_nothing() {
    let (raised, calm) = (Cancel::new(), Cancel::new());
    raised.request();
    let (expected, log) = write_all(&mut writer("qwen2", eager(2)), |n| n, |_| 3);
    let mut writer = writer("qwen2", eager(2));
    let mut forks = 0;
    loop {
        let before = (writer.text().to_owned(), writer.position());
        match writer.advance(&raised).expect("no error") {
            Step::Cancelled => assert_eq!((writer.text().to_owned(), writer.position()), before),
            Step::End(_) => break,
            other => panic!("a raised flag was overlooked: {other:?}"),
        }
        match writer.advance(&calm).expect("a step") {
            Step::Fork(fork) => {
                assert_eq!(log_of(&fork), log[forks]);
                writer.think(&calm).expect("a thought");
                let ready = writer.ready_tokens();
                assert!(matches!(
                    writer.think(&raised).expect("no error"),
                    Thought::Cancelled | Thought::Ready
                ));
                assert_eq!(writer.ready_tokens(), ready);
                writer
                    .commit(fork.id, forks % fork.branches.len())
                    .expect("a commit");
                forks += 1;
            }
            Step::End(_) => break,
            _ => {}
        }
    }
    assert_eq!(writer.text(), expected);
}

#[test]
fn thinking_stops_at_its_budget_and_what_it_decoded_is_there_at_once() {
    let mut writer = writer(
        "llama",
        WriterSettings {
            ready_tokens_max: 5,
            distance_tokens_min: 50,
            ..eager(1)
        },
    );
    let fork = next_fork(&mut writer);
    let mut thoughts = 0;
    while writer.think(&Cancel::new()).expect("a thought") != Thought::Ready {
        thoughts += 1;
    }
    assert_eq!(thoughts, 5);
    let ready = writer.ready_tokens();
    let steps = writer.stats().forward_steps;
    assert!(writer.stats().branch_bytes.iter().all(|bytes| *bytes > 0));
    let commit = writer.commit(fork.id, 1).expect("a commit");
    assert_eq!(commit.ready_tokens, ready[1]);
    assert_eq!(
        writer.stats().forward_steps,
        steps,
        "a commit computes nothing"
    );
    assert!(commit.text.trim_start().starts_with(&fork.branches[1].text));
}

#[test]
fn letting_the_model_choose_is_drawn_by_the_seed() {
    let run = |seed| {
        let mut writer = writer("llama", eager(seed));
        let mut taken = Vec::new();
        loop {
            match writer.advance(&Cancel::new()).expect("a step") {
                Step::Fork(fork) => taken.push(writer.go_on(fork.id).expect("going on").branch),
                Step::End(_) => return (taken, writer.text().to_owned()),
                _ => {}
            }
        }
    };
    assert_eq!(run(1), run(1));
    let all: Vec<usize> = (1..6).flat_map(|seed| run(seed).0).collect();
    assert!(
        all.contains(&0) && all.iter().any(|branch| *branch > 0),
        "drawn, not always the first: {all:?}"
    );
}

#[test]
fn a_text_goes_on_beyond_the_context_and_choices_there_can_be_taken_back() {
    let settings = WriterSettings {
        tokens_max: 700,
        context_tokens_max: 64,
        ..eager(5)
    };
    let model = endless();
    let start = || {
        let mut writer = Writer::new(Arc::clone(&model), settings.clone()).expect("sound settings");
        writer.start("Лиса нашла ключ").expect("started");
        writer
    };
    let quick = write_all(&mut start(), |n| n, |_| 0);
    let slow = write_all(&mut start(), |n| n, |_| 50);
    assert_eq!(quick, slow);
    let mut writer = start();
    while writer.position() < 300 {
        if let Step::Fork(fork) = writer.advance(&Cancel::new()).expect("a step") {
            writer.commit(fork.id, 0).expect("a commit");
        }
    }
    let text = writer.text().to_owned();
    assert!(writer.undo().expect("undo").is_some());
    assert!(text.starts_with(writer.text()));
    let far_back = writer
        .call(200)
        .expect("a call across contexts")
        .expect("ways to go on");
    assert!(text.starts_with(writer.text()));
    writer.commit(far_back.id, 0).expect("a commit");
    assert!(writer.position() < 300);
    write_all(&mut writer, |_| 0, |_| 1);
}

#[test]
fn without_detection_nothing_is_asked_and_the_limit_ends_the_text() {
    let mut writer = writer(
        "llama",
        WriterSettings {
            detect: false,
            tokens_max: 30,
            ..eager(1)
        },
    );
    let prompt = writer.position();
    loop {
        match writer.advance(&Cancel::new()).expect("a step") {
            Step::Text(_) => {}
            Step::End(why) => {
                assert!(why == End::Text || writer.position() == prompt + 30);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(matches!(
        writer.advance(&Cancel::new()).expect("still over"),
        Step::End(_)
    ));
}

#[test]
fn misuse_is_an_error_that_changes_nothing() {
    let mut writer = Writer::new(model("llama"), eager(1)).expect("sound settings");
    assert!(matches!(
        writer.advance(&Cancel::new()),
        Err(DecodeError::NotStarted)
    ));
    assert!(matches!(writer.undo(), Err(DecodeError::NotStarted)));
    assert!(matches!(writer.call(0), Err(DecodeError::NotStarted)));
    assert!(matches!(
        writer.commit(ForkId(0), 0),
        Err(DecodeError::NotOpen { .. })
    ));
    writer.start("Лиса").expect("started");
    let fork = next_fork(&mut writer);
    assert!(matches!(
        writer.advance(&Cancel::new()),
        Err(DecodeError::ForkOpen { .. })
    ));
    assert!(matches!(
        writer.commit(ForkId(99), 0),
        Err(DecodeError::NotOpen { .. })
    ));
    assert!(matches!(
        writer.commit(fork.id, 3),
        Err(DecodeError::NoSuchBranch { .. })
    ));
    assert!(matches!(
        writer.go_on(ForkId(99)),
        Err(DecodeError::NotOpen { .. })
    ));
    assert!(matches!(
        writer.other(ForkId(99)),
        Err(DecodeError::NotOpen { .. })
    ));
    assert_eq!(writer.fork(), Some(&fork));
    writer.commit(fork.id, 0).expect("the fork is still open");
}

#[test]
fn settings_out_of_range_are_named_with_their_range() {
    let wrong: [(&str, WriterSettings); 4] = [
        (
            "temperature",
            WriterSettings {
                temperature: f64::NAN,
                ..WriterSettings::default()
            },
        ),
        (
            "top_p",
            WriterSettings {
                top_p: 0.0,
                ..WriterSettings::default()
            },
        ),
        (
            "candidates_max",
            WriterSettings {
                candidates_max: 9,
                ..WriterSettings::default()
            },
        ),
        (
            "undo_depth",
            WriterSettings {
                undo_depth: 0,
                ..WriterSettings::default()
            },
        ),
    ];
    for (wanted, settings) in wrong {
        match Writer::new(model("llama"), settings) {
            Err(DecodeError::Setting { key, .. }) => assert_eq!(key, wanted),
            other => panic!("{wanted}: {other:?}"),
        }
    }
    let long = WriterSettings {
        horizon_tokens: 200,
        ..WriterSettings::default()
    };
    assert!(matches!(
        Writer::new(model("llama"), long),
        Err(DecodeError::ContextTooShort { .. })
    ));
}

#[test]
fn a_model_that_answers_with_infinity_is_not_believed() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let sound = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/golden/decode/qwen3");
    for file in ["config.json", "tokenizer.json"] {
        std::fs::copy(sound.join(file), dir.path().join(file)).expect("copied");
    }
    let bytes = std::fs::read(sound.join("model.safetensors")).expect("weights");
    let file = safetensors::SafeTensors::deserialize(&bytes).expect("sound weights");
    let huge: Vec<(String, Vec<usize>, Vec<u8>)> = file
        .iter()
        .map(|(name, view)| {
            let data = if name == "model.norm.weight" {
                [f32::MAX; 32]
                    .iter()
                    .flat_map(|x| x.to_le_bytes())
                    .collect() // finite, but not for long
            } else {
                view.data().to_vec()
            };
            (name.to_owned(), view.shape().to_vec(), data)
        })
        .collect();
    let views = huge.iter().map(|(name, shape, data)| {
        let view =
            safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), data);
        (name.as_str(), view.expect("a sound view"))
    });
    let weights = safetensors::serialize(views, None).expect("serialized");
    std::fs::write(dir.path().join("model.safetensors"), weights).expect("written");
    let model = Arc::new(Model::load(dir.path()).expect("every weight is finite"));
    let mut writer = Writer::new(model, eager(1)).expect("sound settings");
    assert!(matches!(
        writer.start("Лиса"),
        Err(DecodeError::NonFinite { .. })
    ));
}

/// Characters of a branch, where what is read at a glance counts alike.
fn length(text: &str) -> usize {
    text.chars().count().max(12)
}

/// Whether a word, or a number with its stop, goes on from one text into the next. Written anew, apart from the program's own rule.
fn torn(before: &str, after: &str) -> bool {
    let (mut back, next) = (before.chars().rev(), after.chars().next());
    match (back.next(), next) {
        // Half a letter is one, too.
        (Some(last), Some(next)) if last.is_alphanumeric() => {
            next.is_alphanumeric() || next == char::REPLACEMENT_CHARACTER
        }
        (Some('.' | ','), Some(next)) => {
            next.is_ascii_digit() && back.next().is_some_and(|c| c.is_ascii_digit())
        }
        _ => false,
    }
}

/// Takes every branch of every fork, writes on, and looks at the seams. Returns how many branches there were.
fn look_at_every_seam(writer: &mut Writer) -> Result<usize, String> {
    let cancel = Cancel::new();
    let mut seen = 0;
    loop {
        let mut fork = match writer.advance(&cancel).map_err(|e| e.to_string())? {
            Step::Text(_) => continue,
            Step::Fork(fork) => fork,
            Step::End(_) | Step::Cancelled | Step::Waiting => return Ok(seen),
        };
        let place = fork.position;
        let longest = fork.branches.iter().map(|b| length(&b.text)).max();
        let shortest = fork.branches.iter().map(|b| length(&b.text)).min();
        if longest > shortest.map(|n| 3 * n) {
            return Err(format!("lengths: {:?}", fork.branches));
        }
        for number in 0..fork.branches.len() {
            let before = writer.text().to_owned();
            let text = fork.branches[number].text.clone();
            if !text.chars().any(char::is_alphanumeric) {
                return Err(format!("not readable: {text:?}"));
            }
            let words: Vec<&str> = text.split_whitespace().collect();
            if words.windows(3).any(|w| w[0] == w[1] && w[1] == w[2]) {
                return Err(format!("a word three times: {text:?}"));
            }
            let commit = writer.commit(fork.id, number).map_err(|e| e.to_string())?;
            if commit.text.trim() != text || torn(&before, &commit.text) {
                return Err(format!("{before:?} is torn from {:?}", commit.text));
            }
            // The model draws what comes next: as if many people had chosen here.
            let chosen = writer.text().to_owned();
            let after = match writer.advance(&cancel).map_err(|e| e.to_string())? {
                Step::Text(after) => after,
                Step::Fork(next) => writer.go_on(next.id).map_err(|e| e.to_string())?.text,
                Step::End(_) | Step::Cancelled | Step::Waiting => String::new(),
            };
            if torn(&chosen, &after) {
                return Err(format!("{chosen:?} is torn from {after:?}"));
            }
            seen += 1;
            // Back behind this choice, and behind one that the model made.
            while writer.position() > place {
                let undone = writer.undo().map_err(|e| e.to_string())?;
                fork = undone.ok_or("nothing to undo")?.fork;
            }
        }
        let last = fork.branches.len() - 1;
        writer.commit(fork.id, last).map_err(|e| e.to_string())?;
    }
}

mod seams {
    use std::cell::Cell;

    use proptest::prelude::*;
    use proptest::test_runner::{Config, TestRunner};

    use super::{Arc, Model, Writer, WriterSettings, eager, look_at_every_seam, model};

    #[test]
    fn no_branch_ends_inside_a_word_and_all_are_of_similar_length() {
        // Random models over bytes: words of any length, letters in two pieces.
        let models = ["llama", "qwen2", "mistral", "qwen3"].map(model);
        let seen = Cell::new(0);
        let mut runner = TestRunner::new(Config {
            cases: 48,
            failure_persistence: None,
            ..Config::default()
        });
        let any = (
            0..4_usize,
            any::<u64>(),
            2..9_usize,
            "[А-Яа-яё]{1,9} [а-яё0-9 .,—]{0,12}",
        );
        let found = runner.run(&any, |(family, seed, phrase_tokens_max, prompt)| {
            let settings = WriterSettings {
                phrase_tokens_max,
                tokens_max: 50,
                temperature: 1.2,
                top_p: 1.0,
                ..eager(seed)
            };
            let mut writer =
                Writer::new(Arc::clone(&models[family]), settings).expect("sound settings");
            writer.start(&prompt).expect("started");
            let branches = look_at_every_seam(&mut writer).map_err(TestCaseError::fail)?;
            seen.set(seen.get() + branches);
            Ok(())
        });
        found.unwrap();
        assert!(seen.get() > 100, "only {} branches", seen.get());
    }

    #[test]
    fn nor_does_one_of_the_story_model() {
        let model = Arc::new(Model::embedded().expect("the story model"));
        let settings = WriterSettings {
            tokens_max: 60,
            ..WriterSettings::default()
        };
        let mut writer = Writer::new(model, settings).expect("sound settings");
        writer.start("").expect("started");
        let branches = look_at_every_seam(&mut writer).unwrap();
        assert!(branches >= 6, "only {branches} branches");
    }
}
