//! Fetching from a hub, against a file server on this machine that misbehaves on purpose.

#![allow(clippy::unwrap_used)] // what cannot go on here should say so at once

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use razvilka::decode::Model;
use razvilka::hub::{Http, HubError, Name, fetch};
use sha2::{Digest, Sha256};

/// How the server treats the next requests for a file.
#[derive(Clone, Copy, Default)]
struct Habits {
    /// Closes the connection after so many bytes of a body, so many times.
    cut_after: usize,
    cuts: usize,
    /// Sends those who ask for a large file to another place, as hubs do.
    moved: bool,
    /// Knows no ranges.
    whole_only: bool,
    /// Sends so many bytes more than the file has.
    more: usize,
    /// Sends another byte in the middle.
    wrong: bool,
}

struct Server {
    address: String,
    /// What was asked for, with the range.
    asked: Arc<Mutex<Vec<String>>>,
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn serve(files: HashMap<String, Vec<u8>>, habits: Habits, list: Option<String>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&asked);
    std::thread::spawn(move || {
        let mut habits = habits;
        for stream in listener.incoming() {
            let Ok(stream) = stream else { break };
            answer(&stream, &files, &mut habits, list.as_deref(), &heard);
        }
    });
    Server { address, asked }
}

fn answer(
    mut stream: &TcpStream,
    files: &HashMap<String, Vec<u8>>,
    habits: &mut Habits,
    list: Option<&str>,
    heard: &Mutex<Vec<String>>,
) -> Option<()> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next()?.ok()?;
    let path = first.split(' ').nth(1)?.to_owned();
    let mut from = 0_usize;
    for line in lines {
        let line = line.ok()?.to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(range) = line.strip_prefix("range: bytes=") {
            from = range.split('-').next()?.parse().ok()?;
        }
    }
    heard.lock().unwrap().push(format!("{path} from {from}"));
    if path.starts_with("/api/") {
        let body = list.map_or_else(|| listed(files), str::to_owned);
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
        .ok()?;
        return Some(());
    }
    let name = path.rsplit('/').next()?;
    if habits.moved && name.ends_with(".safetensors") && !path.starts_with("/elsewhere/") {
        write!(stream, "HTTP/1.1 302 Found\r\nLocation: /elsewhere/{name}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").ok()?;
        return Some(());
    }
    let Some(bytes) = files.get(name) else {
        write!(
            stream,
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
        .ok()?;
        return Some(());
    };
    let mut bytes = bytes.clone();
    if name.ends_with(".safetensors") {
        bytes.extend(vec![0; habits.more]);
        if habits.wrong {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        }
    }
    let from = if habits.whole_only { 0 } else { from };
    let head = if from > 0 {
        format!(
            "206 Partial Content\r\nContent-Range: bytes {from}-{}/{}",
            bytes.len() - 1,
            bytes.len()
        )
    } else {
        "200 OK".into()
    };
    let body = &bytes[from..];
    write!(
        stream,
        "HTTP/1.1 {head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )
    .ok()?;
    let mut end = body.len();
    if name.ends_with(".safetensors") && habits.cuts > 0 {
        habits.cuts -= 1;
        end = end.min(habits.cut_after);
    }
    stream.write_all(&body[..end]).ok()
}

/// The list of files as the hub gives it; weights are large files with a hash.
fn listed(files: &HashMap<String, Vec<u8>>) -> String {
    let each = files.iter().map(|(name, bytes)| {
        if name.ends_with(".safetensors") {
            let sha256 = hexadecimal(&Sha256::digest(bytes));
            serde_json::json!({"rfilename": name, "size": bytes.len(), "lfs": {"sha256": sha256, "size": bytes.len()}})
        } else {
            serde_json::json!({"rfilename": name, "size": bytes.len()})
        }
    });
    let siblings: Vec<_> = each.collect();
    serde_json::json!({"sha": "0123abc", "siblings": siblings}).to_string()
}

/// A sound model, and what else lies in such a repository.
fn model() -> HashMap<String, Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/golden/decode/qwen3");
    let mut files: HashMap<String, Vec<u8>> =
        ["config.json", "tokenizer.json", "model.safetensors"]
            .map(|name| (name.to_owned(), std::fs::read(folder.join(name)).unwrap()))
            .into();
    files.insert("README.md".into(), b"words".to_vec());
    files
}

fn hub(server: &Server) -> Http {
    Http::new(&server.address, Duration::from_secs(10))
}

fn name() -> Name {
    Name::parse("hf:fox/raven").unwrap()
}

#[test]
fn a_model_is_fetched_once_and_loads() {
    let server = serve(model(), Habits::default(), None);
    let kept = tempfile::tempdir().unwrap();
    let mut last = HashMap::new();
    let folder = fetch(&hub(&server), &name(), kept.path(), |progress| {
        let before = last.insert(progress.file.to_owned(), progress.have_bytes);
        assert!(
            before.unwrap_or(0) <= progress.have_bytes
                && progress.have_bytes <= progress.size_bytes
        );
    })
    .unwrap();
    Model::load(&folder).unwrap();
    assert!(
        !folder.join("README.md").exists(),
        "what no model needs is left there"
    );
    assert_eq!(
        last["model.safetensors"],
        model()["model.safetensors"].len() as u64
    );
    let asked = server.asked.lock().unwrap().len();
    assert_eq!(asked, 4, "the list and three files");
    let again = fetch(&hub(&server), &name(), kept.path(), |_| {
        panic!("nothing is fetched")
    })
    .unwrap();
    assert_eq!(again, folder);
    assert_eq!(server.asked.lock().unwrap().len(), asked, "nobody is asked");
}

#[test]
fn a_file_that_is_cut_off_is_gone_on_with_where_it_was_cut() {
    let habits = Habits {
        cut_after: 50_000,
        cuts: 2,
        ..Habits::default()
    };
    let server = serve(model(), habits, None);
    let kept = tempfile::tempdir().unwrap();
    let folder = fetch(&hub(&server), &name(), kept.path(), |_| ()).unwrap();
    let asked = server.asked.lock().unwrap().clone();
    let of_weights: Vec<&String> = asked
        .iter()
        .filter(|path| path.contains(".safetensors"))
        .collect();
    assert_eq!(of_weights.len(), 3, "{asked:?}");
    assert!(
        of_weights[1].ends_with("from 50000") && of_weights[2].ends_with("from 100000"),
        "{asked:?}"
    );
    assert_eq!(
        std::fs::read(folder.join("model.safetensors")).unwrap(),
        model()["model.safetensors"]
    );
}

#[test]
fn a_file_that_lies_elsewhere_is_gone_on_with_there() {
    let habits = Habits {
        cut_after: 50_000,
        cuts: 1,
        moved: true,
        ..Habits::default()
    };
    let server = serve(model(), habits, None);
    let kept = tempfile::tempdir().unwrap();
    Model::load(fetch(&hub(&server), &name(), kept.path(), |_| ()).unwrap()).unwrap();
    let asked = server.asked.lock().unwrap().clone();
    assert!(
        asked.contains(&"/elsewhere/model.safetensors from 50000".to_owned()),
        "{asked:?}"
    );
}

#[test]
fn what_arrived_is_kept_for_the_next_time_when_the_cuts_do_not_end() {
    let kept = tempfile::tempdir().unwrap();
    let habits = Habits {
        cut_after: 5_000,
        cuts: usize::MAX,
        ..Habits::default()
    };
    let server = serve(model(), habits, None);
    let error = fetch(&hub(&server), &name(), kept.path(), |_| ()).unwrap_err();
    assert!(
        matches!(
            error,
            HubError::Cut {
                have_bytes: 25_000,
                ..
            }
        ),
        "{error}"
    );
    let server = serve(model(), Habits::default(), None);
    let folder = fetch(&hub(&server), &name(), kept.path(), |_| ()).unwrap();
    let asked = server.asked.lock().unwrap().clone();
    assert!(
        asked
            .iter()
            .any(|path| path.ends_with("model.safetensors from 25000")),
        "{asked:?}"
    );
    Model::load(folder).unwrap();
}

#[test]
fn a_hub_without_ranges_begins_anew() {
    let habits = Habits {
        cut_after: 50_000,
        cuts: 1,
        whole_only: true,
        ..Habits::default()
    };
    let server = serve(model(), habits, None);
    let kept = tempfile::tempdir().unwrap();
    Model::load(fetch(&hub(&server), &name(), kept.path(), |_| ()).unwrap()).unwrap();
}

#[test]
fn a_file_of_another_hash_or_length_is_thrown_away() {
    for (habits, said) in [
        (
            Habits {
                wrong: true,
                ..Habits::default()
            },
            "SHA-256",
        ),
        (
            Habits {
                more: 7,
                ..Habits::default()
            },
            "longer",
        ),
    ] {
        let server = serve(model(), habits, None);
        let kept = tempfile::tempdir().unwrap();
        let error = fetch(&hub(&server), &name(), kept.path(), |_| ()).unwrap_err();
        assert!(
            matches!(error, HubError::Damaged { .. }) && error.to_string().contains(said),
            "{error}"
        );
        let left = kept.path().join("fox--raven");
        assert!(
            !left.join("model.safetensors").exists()
                && !left.join("model.safetensors.part").exists()
        );
    }
}

#[test]
fn lists_that_lie_are_refused_and_write_nothing_elsewhere() {
    for list in [
        "not JSON".to_owned(),
        r#"{"sha":"x/../../y","siblings":[]}"#.into(),
        r#"{"sha":"0","siblings":[]}"#.into(),
        r#"{"sha":"0","siblings":[{"rfilename":"config.json"},{"rfilename":"tokenizer.json","size":1},{"rfilename":"a.safetensors","size":1}]}"#.into(),
        r#"{"sha":"0","siblings":[{"rfilename":"config.json","size":1},{"rfilename":"tokenizer.json","size":1},{"rfilename":"../a.safetensors","size":1}]}"#.into(),
        r#"{"sha":"0","siblings":[{"rfilename":"config.json","size":99999999999999}]}"#.into(),
    ] {
        let server = serve(model(), Habits::default(), Some(list.clone()));
        let kept = tempfile::tempdir().unwrap();
        let error = fetch(&hub(&server), &name(), kept.path(), |_| ()).unwrap_err();
        assert!(matches!(error, HubError::List { .. }), "{list}: {error}");
        assert_eq!(std::fs::read_dir(kept.path()).unwrap().count(), 0, "{list}");
    }
}

#[test]
fn a_hub_that_is_not_there_or_has_no_such_model_is_told() {
    let nobody = Http::new("http://127.0.0.1:9", Duration::from_secs(2));
    let kept = tempfile::tempdir().unwrap();
    let error = fetch(&nobody, &name(), kept.path(), |_| ()).unwrap_err();
    assert!(matches!(error, HubError::Refused { .. }), "{error}");
    let server = serve(HashMap::new(), Habits::default(), Some(listed(&model())));
    let error = fetch(&hub(&server), &name(), kept.path(), |_| ()).unwrap_err();
    assert!(
        error.to_string().contains("no such model or file"),
        "{error}"
    );
}

#[test]
fn what_arrived_of_another_commit_is_not_gone_on_with() {
    let server = serve(model(), Habits::default(), None);
    let kept = tempfile::tempdir().unwrap();
    let folder = kept.path().join("fox--raven");
    std::fs::create_dir_all(&folder).unwrap();
    // As long as today's, and whole or begun: only the commit says that they are of another model.
    let config = model()["config.json"].len();
    std::fs::write(folder.join("config.json"), vec![b' '; config]).unwrap();
    std::fs::write(folder.join("tokenizer.json.part"), vec![b' '; 100]).unwrap();
    std::fs::write(folder.join(".commit"), "fedcba9").unwrap();
    fetch(&hub(&server), &name(), kept.path(), |_| ()).unwrap();
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        assert_eq!(
            std::fs::read(folder.join(name)).unwrap(),
            model()[name],
            "{name}"
        );
    }
    Model::load(&folder).unwrap();
}
