//! The command from what is typed to what is printed, on the embedded model and on small random ones.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Parser;
use serde_json::Value;

use super::*;

#[derive(Debug, Parser)]
struct Typed {
    #[command(flatten)]
    args: Args,
}

/// What a run came to: result, stdout, stderr.
struct Came {
    result: Result<(), Failure>,
    out: String,
    talk: String,
}

impl Came {
    fn answers(&self) -> Vec<Value> {
        let lines = self.out.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    fn refusal(&self) -> (Exit, &str) {
        let failure = self.result.as_ref().unwrap_err();
        (failure.exit, &failure.message)
    }
}

fn parsed(arguments: &[&str]) -> Args {
    Typed::parse_from(["generate"].iter().chain(arguments)).args
}

fn run_as(typed: bool, arguments: &[&str], stdin: &[u8]) -> Came {
    let (mut out, mut talk) = (Vec::new(), Vec::new());
    let result = with(&parsed(arguments), typed, &mut &*stdin, &mut out, &mut talk);
    Came {
        result,
        out: String::from_utf8(out).unwrap(),
        talk: String::from_utf8(talk).unwrap(),
    }
}

fn generated(arguments: &[&str]) -> Came {
    run_as(false, arguments, b"")
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn golden(family: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/golden/decode")
        .join(family)
}

/// A small random model that was taught conversations: turns between its two special tokens.
fn talker() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(golden("llama")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    let template = "{% for m in messages %}<s>{{ m.role }}: {{ m.content }}</s>{% endfor %}\
                    {% if add_generation_prompt %}<s>assistant: {% endif %}";
    let config =
        serde_json::json!({ "chat_template": template, "bos_token": "<s>", "eos_token": "</s>" });
    fs::write(
        folder.path().join("tokenizer_config.json"),
        config.to_string(),
    )
    .unwrap();
    folder
}

#[test]
fn text_streams_to_stdout_and_figures_go_to_stderr() {
    let twenty = ["--prompt", "Once upon a time", "--max-tokens", "20"];
    let came = generated(&twenty);
    came.result.as_ref().unwrap();
    assert!(
        came.out.starts_with("Once upon a time") && came.out.ends_with('\n'),
        "{}",
        came.out
    );
    assert!(
        came.talk.contains("wrote 20 tokens") && came.talk.contains("as many as asked for"),
        "{}",
        came.talk
    );
    assert_eq!(generated(&twenty).out, came.out, "same seed, same text");
    let other = generated(&[&twenty[..], &["--seed", "2"]].concat());
    assert_ne!(other.out, came.out);
}

#[test]
fn json_says_all_there_is_to_an_answer() {
    let arguments = [
        "--prompt",
        "Once upon a time",
        "--max-tokens",
        "130",
        "--temperature",
        "1.5",
        "--seed",
        "3",
    ];
    let plain = generated(&arguments);
    let came = generated(&[&arguments[..], &["--json"]].concat());
    let answer = &came.answers()[0];
    let text = answer["text"].as_str().unwrap();
    assert_eq!(plain.out, format!("Once upon a time{text}\n"));
    let tokens = answer["tokens"].as_array().unwrap().len();
    assert_eq!(answer["generation"]["tokens"], tokens);
    let expected = if tokens == 130 {
        "tokens_max"
    } else {
        "end_of_text"
    };
    assert_eq!(answer["finish"], expected);
    for figure in [
        "/load_s",
        "/prompt/seconds",
        "/generation/first_token_s",
        "/generation/tokens_per_s",
        "/generation/token_ms_p50",
    ] {
        assert!(
            answer.pointer(figure).unwrap().as_f64().unwrap() > 0.0,
            "{figure}"
        );
    }
    assert_eq!(
        answer["generation"]["token_ms_p99"].is_number(),
        tokens > 100
    );
    assert_eq!(answer["settings"]["seed"], 3);
    assert_eq!(answer["settings"]["sampling"]["temperature"], 1.5);
    let files = answer["model"]["files"].as_array().unwrap();
    assert!(
        files
            .iter()
            .all(|file| file["sha256"].as_str().unwrap().len() == 64)
    );
    assert_eq!(files.len(), 3);

    let lines = generated(&[&arguments[..], &["--json-lines"]].concat()).answers();
    let (last, pieces) = lines.split_last().unwrap();
    let pieces: String = pieces
        .iter()
        .map(|line| line["piece"].as_str().unwrap())
        .collect();
    assert_eq!((pieces.as_str(), &last["text"]), (text, &answer["text"]));
}

#[test]
fn every_sampling_option_reaches_the_draw() {
    let model = golden("qwen3");
    let base = [
        "--model",
        text(&model),
        "--prompt",
        "Лиса",
        "--max-tokens",
        "30",
    ];
    let plain = generated(&base).out;
    for option in [
        ["--temperature", "0"],
        ["--top-k", "2"],
        ["--top-p", "0.2"],
        ["--min-p", "0.5"],
        ["--repeat-penalty", "2"],
        ["--seed", "2"],
    ] {
        let came = generated(&[&base[..], &option].concat());
        came.result
            .as_ref()
            .unwrap_or_else(|failure| panic!("{option:?}: {failure}"));
        assert_ne!(came.out, plain, "{option:?}");
    }
    let without =
        generated(&[&base[..], &["--repeat-penalty", "2", "--repeat-last", "0"]].concat());
    assert_eq!(without.out, plain, "no token is lately");
    let eight_bits = [&base[..], &["--precision", "q8"]].concat();
    let threads = [&eight_bits[..], &["--threads", "3"]].concat();
    assert_eq!(
        generated(&eight_bits).out,
        generated(&threads).out,
        "as many threads as one likes"
    );
}

#[test]
fn a_prompt_comes_from_a_file_or_a_pipe_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("prompt.txt");
    fs::write(&file, "Once upon a time\r\n").unwrap();
    let typed = generated(&["--prompt", "Once upon a time", "--max-tokens", "5"]);
    let read = generated(&["--prompt-file", text(&file), "--max-tokens", "5"]);
    let piped = run_as(
        false,
        &["--prompt-file", "-", "--max-tokens", "5"],
        b"Once upon a time\n",
    );
    assert_eq!((&read.out, &piped.out), (&typed.out, &typed.out));

    fs::write(&file, b"Once \xFF upon").unwrap();
    let broken = generated(&["--prompt-file", text(&file)]);
    assert!(
        matches!(broken.refusal(), (Exit::Usage, said) if said.contains("prompt.txt") && said.contains("byte 5"))
    );
    let missing = generated(&["--prompt-file", "/nowhere/prompt.txt"]);
    assert!(
        matches!(missing.refusal(), (Exit::Usage, said) if said.contains("/nowhere/prompt.txt"))
    );
}

#[test]
fn messages_of_a_file_get_one_answer() {
    let model = talker();
    let base = [
        "--model",
        text(model.path()),
        "--max-tokens",
        "8",
        "--json",
        "--messages",
        "-",
    ];
    let list = r#"[{"role": "system", "content": "S"}, {"role": "user", "content": "Кто там?", "name": "x"}]"#;
    let came = run_as(false, &base, list.as_bytes());
    let answer = &came.answers()[0];
    let loaded = Model::load(model.path()).unwrap();
    let rendered = "<s>system: S</s><s>user: Кто там?</s><s>assistant: ";
    let tokens = loaded.tokens().encode(rendered).unwrap();
    assert_eq!(
        answer["prompt"]["tokens"],
        tokens.len(),
        "in the form of the template"
    );
    assert_eq!(
        answer["settings"]["end_tokens"],
        serde_json::json!(loaded.turn_ends())
    );
    assert_eq!(loaded.turn_ends(), [1], "</s> ends a turn");
    let request = format!(r#"{{"model": "any", "messages": {list}}}"#);
    let asked = run_as(false, &base, request.as_bytes()).answers();
    assert_eq!(asked[0]["text"], answer["text"]);

    for (wrong, said) in [
        ("[{\"role\": 1}]", "list of messages"),
        ("[]", "empty"),
        ("[{\"role\": \"user\"", "not valid JSON"),
        ("\"hello\"", "list of messages"),
    ] {
        let came = run_as(false, &base, wrong.as_bytes());
        let (exit, found) = came.refusal();
        assert!(
            exit == Exit::Usage && found.contains(said),
            "{wrong}: {found}"
        );
    }
    let untaught = run_as(false, &["--messages", "-"], list.as_bytes());
    assert!(matches!(untaught.refusal(), (Exit::Model, said) if said.contains("no chat template")));
}

#[test]
fn a_conversation_keeps_what_was_said_and_does_not_compute_it_again() {
    let model = talker();
    let base = [
        "--model",
        text(model.path()),
        "--chat",
        "--max-tokens",
        "6",
        "--json",
        "--seed",
        "5",
    ];
    let came = run_as(
        false,
        &base,
        "Кто там?\n\nА зачем?\n/clear\nКто там?\n/quit\nnever\n".as_bytes(),
    );
    came.result.as_ref().unwrap();
    let answers = came.answers();
    assert_eq!(answers.len(), 3);
    let of = |number: usize, key: &str| answers[number]["prompt"][key].as_u64().unwrap();
    assert_eq!(of(0, "reused_tokens"), 0);
    assert!(
        of(1, "reused_tokens") >= of(0, "tokens"),
        "the first turn is held: {:?}",
        answers[1]["prompt"]
    );
    assert!(of(1, "tokens") > of(0, "tokens"));
    assert_eq!(of(2, "reused_tokens"), 0, "begun anew");
    assert_eq!(answers[2]["text"], answers[0]["text"]);
    assert!(came.talk.contains("of them known"), "{}", came.talk);

    let told = run_as(false, &[&base[..], &["--system", "S"]].concat(), b"A\n").answers();
    let alone = run_as(false, &base, b"A\n").answers();
    assert!(told[0]["prompt"]["tokens"].as_u64() > alone[0]["prompt"]["tokens"].as_u64());
    let untaught = run_as(true, &["--chat"], b"");
    assert!(
        matches!(untaught.refusal(), (Exit::Model, said) if said.contains("no chat template")),
        "before anything is typed"
    );
}

#[test]
fn a_line_that_does_not_fit_any_more_is_told_to_a_person_and_fails_a_pipe() {
    let model = talker();
    let base = [
        "--model",
        text(model.path()),
        "--chat",
        "--max-tokens",
        "3",
        "--context",
        "60",
    ];
    let lines = format!("A\n{}\nB\n", "long ".repeat(60));
    let typed = run_as(true, &base, lines.as_bytes());
    typed.result.as_ref().unwrap();
    assert_eq!(typed.out.lines().count(), 2, "{}", typed.out);
    assert!(
        typed.talk.contains("context holds 60") && typed.talk.contains("/clear"),
        "{}",
        typed.talk
    );
    let piped = run_as(false, &base, lines.as_bytes());
    assert!(matches!(piped.refusal(), (Exit::Usage, said) if said.contains("context holds 60")));
    let broken = run_as(false, &base, b"\xFF\n");
    assert!(matches!(broken.refusal(), (Exit::Usage, said) if said.contains("UTF-8")));
}

#[test]
fn a_full_context_is_said_with_what_to_do() {
    let long = "Лиса нашла ключ. ".repeat(20);
    let model = golden("llama");
    let base = ["--model", text(&model), "--context", "64"];
    let refused = generated(&[&base[..], &["--prompt", &long]].concat());
    assert!(
        matches!(refused.refusal(), (Exit::Usage, said) if said.contains("context holds 64") && said.contains("Shorten"))
    );
    assert_eq!(refused.out, "", "nothing of it is shown");
    let short = [
        &base[..],
        &["--prompt", "Лиса", "--max-tokens", "100", "--json"],
    ]
    .concat();
    let stopped = generated(&short);
    let answer = &stopped.answers()[0];
    assert_eq!(answer["finish"], "context_full");
    assert!(
        stopped.talk.contains("context of 64 tokens is full")
            && stopped.talk.contains("--when-full renew"),
        "{}",
        stopped.talk
    );
    let renewed = generated(&[&short[..], &["--when-full", "renew"]].concat()).answers();
    assert_eq!(renewed[0]["finish"], "tokens_max");
    let (first, whole) = (
        answer["text"].as_str().unwrap(),
        renewed[0]["text"].as_str().unwrap(),
    );
    assert!(whole.starts_with(first) && whole.len() > first.len());
}

#[test]
fn an_answer_ends_before_a_stop_text() {
    let base = [
        "--prompt",
        "Once upon a time",
        "--temperature",
        "0",
        "--max-tokens",
        "60",
    ];
    let plain = generated(&base).out;
    let stop = plain.trim_end().rsplit(' ').next().unwrap();
    let (before, _) = plain.split_once(stop).unwrap();
    let stopped = generated(&[&base[..], &["--stop", "never there", "--stop", stop]].concat());
    assert_eq!(stopped.out, format!("{before}\n"));
    assert!(
        stopped.talk.contains("a stop text came"),
        "{}",
        stopped.talk
    );
}

#[test]
fn options_that_contradict_each_other_or_are_out_of_range_are_refused() {
    for wrong in [
        &["--prompt", "a", "--chat"][..],
        &["--prompt-file", "a", "--messages", "b"],
        &["--system", "a"],
        &["--json", "--json-lines"],
        &["--threads", "0"],
        &["--device", "gpu"],
        &["--floats", "f8"],
        &["--when-full", "explode"],
        &["--precision", "q5"],
    ] {
        Typed::try_parse_from(["generate"].iter().chain(wrong)).expect_err(wrong[0]);
    }
    for (option, key) in [
        (["--top-k", "2000000"], "top_k"),
        (["--repeat-penalty", "NaN"], "repeat_penalty"),
        (["--context", "1"], "context_tokens_max"),
        (["--max-tokens", "0"], "tokens_max"),
    ] {
        let came = generated(&option);
        assert!(
            matches!(came.refusal(), (Exit::Usage, said) if said.contains(key)),
            "{option:?}"
        );
    }
}

#[test]
fn a_card_that_is_not_there_is_said_with_what_to_do() {
    let came = generated(&["--device", "cuda:7", "--max-tokens", "1"]);
    let (exit, said) = came.refusal();
    assert!(
        exit == Exit::Model && said.starts_with("cuda:7: "),
        "{said}"
    );
    assert!(
        said.contains("feature `cuda`") || said.contains("no CUDA device"),
        "{said}"
    );
    // Before any model is loaded for it.
    let came = generated(&["--device", "cuda:7", "--model", "/nowhere/at/all"]);
    let (_, said) = came.refusal();
    assert!(said.starts_with("cuda:7: "), "{said}");
}

/// A stdout that takes so many bytes.
struct Closing(usize, io::ErrorKind);

impl Write for Closing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(self.1)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reader_that_has_had_enough_ends_it_quietly_and_a_full_disk_is_told() {
    for form in ["--seed=1", "--json", "--json-lines"] {
        let args = parsed(&["--prompt", "Once", form]);
        let into = |mut out: Closing| with(&args, false, &mut &b""[..], &mut out, &mut io::sink());
        into(Closing(9, io::ErrorKind::BrokenPipe)).unwrap();
        let full = into(Closing(9, io::ErrorKind::StorageFull)).unwrap_err();
        assert!(
            full.exit == Exit::Usage && full.message.contains("standard output"),
            "{full}"
        );
    }
}
