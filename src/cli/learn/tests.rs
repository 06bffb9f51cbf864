//! The command on a memory that was made for it.

use clap::Parser;

use super::*;
use crate::choice::Why;
use crate::fork::{Chooser, ForkId, ForkOrigin};
use crate::marker::{OptionKind, Outcome};
use crate::session::person::{ForkName, Remembered, RememberedOption, TakenBack, Which};

#[derive(Debug, Parser)]
struct Typed {
    #[command(flatten)]
    args: Args,
}

fn typed(words: &[&str], person: &std::path::Path) -> Result<(), Failure> {
    let mut all = vec!["learn"];
    all.extend(words);
    let person = format!("{}/", person.display());
    all.extend(["--person", &person]);
    let typed = Typed::try_parse_from(all).unwrap();
    run(&typed.args, &Arc::default())
}

/// The person, who chose the second of two branches each time.
fn person_who_chose(dir: &std::path::Path, model: &Model, choices: u64) -> ChoiceStore {
    let mut person = Person::open_or_create(dir).unwrap();
    person.say(true, 365).unwrap();
    let mut store = ChoiceStore::open(person).unwrap();
    let option = |item: i32, text: &str| RememberedOption {
        item,
        kind: OptionKind::Branch,
        text: text.trim().into(),
        tokens: model.tokens().encode_bare(text).unwrap(),
        prior: 0.5,
        log_prob_nats: Some(-1.0),
        posterior: Some(0.5),
        preference: None,
        embedding: None,
    };
    for fork in 1..=choices {
        store
            .remember(&Remembered {
                session: "s".into(),
                fork: ForkId(fork),
                at_utc: format!("2026-11-28T10:00:{fork:02}Z"),
                context: "Once upon a time there was a fox.".into(),
                origin: ForkOrigin::Detected,
                attempt: 0,
                shown: true,
                outcome: Some(Outcome::Committed),
                chooser: Some(Chooser::Human),
                why: Why::Selected,
                chosen: Some(1),
                selected: Some(1),
                decision_s: Some(1.0),
                model_sha256: "any".into(),
                taken_back: None,
                state: None,
                options: vec![
                    option(0, " She found a key."),
                    option(1, " She went to the river."),
                ],
            })
            .unwrap();
    }
    store
}

#[test]
fn choices_become_an_adapter_that_is_used_and_goes_with_a_forgotten_choice() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("anna");
    let model = Model::embedded().unwrap();
    let mut store = person_who_chose(&dir, &model, 12);
    let name = |fork| ForkName {
        session: "s".into(),
        fork: ForkId(fork),
    };
    store.take_back(&name(12), TakenBack::Call).unwrap();
    // As a choice of the model's would be.
    let taught = lessons_of(&store, &model).unwrap();
    assert_eq!((taught.lessons.len(), taught.unused.place_gone), (11, 1));
    assert!(taught.lessons.iter().all(|lesson| lesson.best() == 1));
    // Somebody else has the folder.
    let refused = typed(&[], &dir).unwrap_err();
    assert_eq!(refused.exit, Exit::Usage, "{refused}");
    drop(store);

    let settings = parent.path().join("settings.toml");
    let small =
        "rank = 1\nlayers = 1\nepochs = 2\nrate = 0.01\ncontext_tokens_max = 16\nanchor = 0.0\n";
    std::fs::write(&settings, small).unwrap();
    let settings = settings.display().to_string();
    let plain = parent.path().join("plain.txt");
    std::fs::write(
        &plain,
        "Once upon a time there was a fox.\n\nShe lived in a forest.\n",
    )
    .unwrap();
    let plain = plain.display().to_string();
    let learn = [
        "--settings",
        &settings,
        "--plain-worse-max",
        "1",
        "--text",
        &plain,
    ];
    typed(&learn, &dir).unwrap();
    let shelf = Shelf::of(&dir);
    let card = shelf.card(1).unwrap();
    assert!(card.held_out.gain_nats > 0.0, "{}", card.in_words());
    assert_eq!((card.learned_from, card.choices.len()), (9, 11));
    // One step back, and there again if it was good.
    typed(&["list"], &dir).unwrap();
    typed(&["rollback"], &dir).unwrap();
    assert_eq!(shelf.current().unwrap(), None);
    let used = typed(&["use", "1"], &dir);
    assert_eq!(used.is_ok(), card.is_better);
    typed(&["use", "1", "--anyway"], &dir).unwrap();
    assert_eq!(shelf.current().unwrap(), Some(card));
    // A session's model takes it, and another model does not.
    let adapted = Model::load_adapted(None, &LoadSettings::default(), shelf.folder(1)).unwrap();
    assert_eq!(
        model_digest(&Backend::from(Arc::new(adapted))),
        model_digest(&Backend::from(Arc::new(model)))
    );
    let mut store = ChoiceStore::open(Person::open(&dir).unwrap()).unwrap();
    let (forgotten, retired) =
        crate::learn::forget(&mut store, &shelf, &Which::Fork(name(12))).unwrap();
    assert_eq!((forgotten.choices, retired.versions.len()), (1, 0));
    let (forgotten, retired) =
        crate::learn::forget(&mut store, &shelf, &Which::Fork(name(3))).unwrap();
    assert_eq!(
        (forgotten.choices, retired.versions, retired.in_use),
        (1, vec![1], None)
    );
    assert!(!shelf.folder(1).exists());
}

#[test]
fn nobody_is_learned_from_without_consent_or_with_too_few_choices() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("anna");
    let said = typed(&[], &dir).unwrap_err();
    assert_eq!(said.exit, Exit::Usage);
    drop(Person::open_or_create(&dir).unwrap());
    let said = typed(&[], &dir).unwrap_err();
    assert!(said.message.contains("choices consent on"), "{said}");
    let model = Model::embedded().unwrap();
    drop(person_who_chose(&dir, &model, 9));
    let said = typed(&[], &dir).unwrap_err();
    assert!(said.message.contains("9 choices are too few"), "{said}");
    assert_eq!(said.exit, Exit::Usage);
    let said = typed(&["--plain-worse-max", "7"], &dir).unwrap_err();
    assert!(said.message.contains("--plain-worse-max"), "{said}");
}
