//! The report as a reader finds it: well formed, self-contained, escaped, and saying what the ledger says.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]

mod report_common;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use razvilka::choice::handover::{Autonomy, Carried, HandoverSettings};
use razvilka::choice::imitator::{Imitator, ImitatorSettings};
use razvilka::fork::{Chooser, ForkId, ForkOrigin};
use razvilka::marker::{OptionKind, Outcome};
use razvilka::report::{
    self, Across, AcrossError, Authorship, AuthorshipError, Origin, ReportError,
};
use razvilka::session::person::{ChoiceStore, Person, Remembered, RememberedOption};
use razvilka::session::{
    AutonomyEvent, Beginning, ConfigRecord, EventKind, Ledger, Manifest, SessionFile, Summary,
    Truth, sha256_hex,
};
use report_common::{Answer, Scene};
use roxmltree::{Document, Node};

/// The one script that a page may hold.
const SCRIPT: &str = include_str!("../src/report/network/script.js");
const HOSTILE: &str = "<script>alert('x')</script> & \" onload=\"y ]]> \u{202e}\u{0}";

/// A session with every kind of end, in two scripts, one phrase an attack.
fn session(path: &Path) -> (PathBuf, Truth) {
    let mut scene = Scene::new(path);
    scene.write("The fox came to the river");
    scene.fork(
        &["and swam across", "and waited for the hen", "and went home"],
        Some(1),
        Answer::Look(1),
    );
    scene.write(". Лиса подумала");
    scene.fork(
        &["о зиме", "о мельнице", "о курице"],
        Some(0),
        Answer::Look(0),
    );
    scene.write(". In the evening");
    scene.fork(&["the hen sang", "the wolf came"], Some(0), Answer::Key(1));
    scene.fork(&["they ate", "they slept"], None, Answer::NotAsked);
    scene.write(". At night");
    scene.fork(&["it rained", "it snowed"], Some(1), Answer::Nothing);
    scene.fork(&["nobody came", "a guest came"], Some(0), Answer::Lost);
    scene.fork(&[HOSTILE, "nothing happened"], Some(0), Answer::Look(0));
    scene.write(", and the fox");
    scene.fork(&["fell asleep", "told a story"], Some(1), Answer::Look(1));
    // The person takes that back: branch, branch, other, undo, go on.
    scene.fork(&["and dreamt", "and sang"], Some(3), Answer::Look(3));
    scene.fork(&["fell asleep", "told a story"], Some(0), Answer::Look(0));
    scene.write(".");
    scene.end()
}

fn html_of(folder: &Path, truth: Option<&Truth>) -> (String, Summary) {
    let written = report::write(folder, truth).unwrap();
    assert_eq!(written.path, folder.join("report.html"));
    (
        std::fs::read_to_string(&written.path).unwrap(),
        written.summary,
    )
}

/// The page as XML: `<meta>` is the one element of HTML here that is never closed.
fn as_xml(html: &str) -> String {
    html.split_inclusive('>')
        .map(|piece| match piece.rfind("<meta ") {
            Some(_) => piece.replacen('>', "/>", 1),
            None => piece.to_owned(),
        })
        .collect::<String>()
        .replace("<!DOCTYPE html>", "")
}

fn words(node: Node<'_, '_>) -> String {
    let text: String = node
        .descendants()
        .filter_map(|node| node.text().filter(|_| node.is_text()))
        .collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn by_id<'a>(page: &'a Document<'a>, id: &str) -> Node<'a, 'a> {
    page.descendants()
        .find(|node| node.attribute("id") == Some(id))
        .unwrap_or_else(|| panic!("no #{id}"))
}

/// A folder that stays after the test, so that its report can be looked at in a browser.
fn kept(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&path);
    path
}

#[test]
fn the_page_is_well_formed_and_says_what_the_summary_says() {
    let (folder, truth) = session(&kept("report-page"));
    let (html, summary) = html_of(&folder, Some(&truth));
    let xml = as_xml(&html);
    let page = Document::parse(&xml).unwrap();
    assert_eq!(page.root_element().attribute("lang"), Some("en"));

    let ledger = Ledger::open_read_only(&folder.join(SessionFile::Ledger.name())).unwrap();
    assert_eq!(summary, Summary::of_ledger(&ledger, Some(&truth)).unwrap());
    let scores = summary.accuracy.unwrap();
    assert_eq!((scores.committed.n, scores.committed.correct), (7, 6));
    let verdict = words(by_id(&page, "verdict"));
    let (share, interval) = (
        100.0 * scores.committed.accuracy.unwrap(),
        scores.committed.interval.unwrap(),
    );
    for said in [
        "Of 10 forks the person was asked at 9 and chose at 7; the model chose at 2; nobody chose at 1."
            .to_owned(),
        format!("6 of 7 committed choices were what the person wanted: {share:.1} %"),
        format!(
            "{:.1} – {:.1} %, n = 7",
            100.0 * interval.low,
            100.0 * interval.high
        ),
        format!("within {:.2} s", summary.speed.decision_s_median.unwrap()),
        "chain holds".to_owned(),
    ] {
        assert!(verdict.contains(&said), "{said:?} is not in {verdict:?}");
    }
    let arms = words(by_id(&page, "arms"));
    for score in [scores.prior, scores.gaze, scores.eeg, scores.fused] {
        let said = format!(
            "{}{}{}{:.1} %",
            score.n,
            score.correct,
            score.undecided,
            100.0 * score.accuracy.unwrap()
        );
        assert!(arms.contains(&said), "{said:?} is not in {arms:?}");
    }
    assert!(words(by_id(&page, "facts")).contains("the very same end at 9 of 9 forks"));
}

#[test]
fn every_fork_stands_in_the_table_with_its_end_and_in_a_plot_if_it_was_asked() {
    let home = tempfile::tempdir().unwrap();
    let (folder, truth) = session(&home.path().join("session"));
    let (html, _) = html_of(&folder, Some(&truth));
    let xml = as_xml(&html);
    let page = Document::parse(&xml).unwrap();
    for (fork, said) in [
        (0, "person ✓, selected"),
        (2, "person ✗, selected"),
        (3, "model, not asked: the budget of questions was spent"),
        (4, "model, declined: time ran out; the model went on"),
        (5, "nobody, aborted: a stream was lost"),
    ] {
        let row = words(by_id(&page, &format!("fork-{fork}")));
        assert!(row.contains(said), "{said:?} is not in {row:?}");
    }
    let plots = by_id(&page, "posterior")
        .descendants()
        .filter(|node| node.has_tag_name("svg"))
        .count();
    assert_eq!(plots, 9);
    for svg in page.descendants().filter(|node| node.has_tag_name("svg")) {
        let points = svg
            .descendants()
            .filter_map(|node| node.attribute("points"))
            .flat_map(|points| points.split([' ', ',']));
        assert!(
            points
                .map(|number| number.parse::<f64>().unwrap())
                .all(f64::is_finite)
        );
    }
}

#[test]
fn the_text_shows_who_chose_what_and_leaves_out_what_was_taken_back() {
    let home = tempfile::tempdir().unwrap();
    let (folder, _) = session(&home.path().join("session"));
    let (html, _) = html_of(&folder, None);
    let xml = as_xml(&html);
    let page = Document::parse(&xml).unwrap();
    let story = page
        .descendants()
        .find(|node| node.attribute("class") == Some("story"))
        .unwrap();
    let chosen: Vec<(&str, String)> = story
        .children()
        .filter(|node| node.has_tag_name("span"))
        .map(|node| (node.attribute("class").unwrap(), words(node)))
        .collect();
    let of = |class: &str| -> Vec<&str> {
        chosen
            .iter()
            .filter(|(found, _)| *found == class)
            .map(|(_, text)| text.as_str())
            .collect()
    };
    assert_eq!(of("by-model"), ["they ate", "it rained"]);
    let person = of("by-person");
    assert_eq!(person.len(), 5);
    assert_eq!(
        [person[0], person[1], person[2]],
        ["and waited for the hen", "о зиме", "the wolf came"]
    );
    assert_eq!(person[4], "fell asleep");
    let numbers: Vec<String> = story
        .children()
        .filter(|node| node.has_tag_name("sup"))
        .map(words)
        .collect();
    assert_eq!(numbers, ["0", "1", "2", "3", "4", "6", "9"]);
    assert!(words(by_id(&page, "note-7")).ends_with("not in the final text"));
    assert!(words(by_id(&page, "note-1")).contains("о зиме"));
}

#[test]
fn foreign_text_cannot_become_markup_and_nothing_outside_is_named() {
    let home = tempfile::tempdir().unwrap();
    let (folder, truth) = session(&home.path().join("session"));
    let (html, _) = html_of(&folder, Some(&truth));
    let xml = as_xml(&html);
    let page = Document::parse(&xml).unwrap();
    assert!(
        words(by_id(&page, "text")).contains("<script>alert('x')</script> & \" onload=\"y ]]>")
    );
    only_itself(&page);
    // Links inside the page lead somewhere.
    for link in page.descendants().filter_map(|node| node.attribute("href")) {
        by_id(&page, &link[1..]);
    }
}

/// Nothing outside the page is named, and nothing but the style and the one script of ours is at work in it.
fn only_itself(page: &Document<'_>) {
    let scripts: Vec<_> = page
        .descendants()
        .filter(|node| node.has_tag_name("script"))
        .collect();
    assert_eq!(scripts.len(), 1);
    assert_eq!(scripts[0].text(), Some(SCRIPT));
    assert_eq!(scripts[0].attributes().len(), 0);
    for reaches_out in [
        "http",
        "fetch",
        "XMLHttp",
        "WebSocket",
        "import",
        "eval",
        "innerHTML",
        "document.write",
        "localStorage",
        "open(",
    ] {
        assert!(!SCRIPT.contains(reaches_out), "{reaches_out}");
    }
    let policy = page
        .descendants()
        .find_map(|node| {
            node.attribute("content")
                .filter(|value| value.contains("default-src"))
        })
        .unwrap();
    let digest = policy
        .strip_prefix("default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-")
        .and_then(|rest| rest.strip_suffix('\''))
        .unwrap();
    assert_eq!(hex_of_base64(digest), sha256_hex(SCRIPT.as_bytes()));
    for node in page.descendants().filter(Node::is_element) {
        let name = node.tag_name().name();
        assert!(
            ![
                "link", "img", "iframe", "object", "embed", "image", "use", "base", "form"
            ]
            .contains(&name),
            "<{name}>"
        );
        for attribute in node.attributes() {
            assert!(!attribute.name().starts_with("on"), "{}", attribute.name());
            if ["href", "src", "action", "style"].contains(&attribute.name()) {
                assert!(
                    attribute.name() == "href" && attribute.value().starts_with('#'),
                    "{}",
                    attribute.value()
                );
            }
        }
    }
    let style = words(
        page.descendants()
            .find(|node| node.has_tag_name("style"))
            .unwrap(),
    );
    assert!(!style.contains("url(") && !style.contains("@import"));
}

/// Read by another way than it was written: six bits for each letter.
fn hex_of_base64(text: &str) -> String {
    let value = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        other => panic!("{other}"),
    };
    let bits: String = text
        .trim_end_matches('=')
        .bytes()
        .map(|c| format!("{:06b}", value(c)))
        .collect();
    let bytes = bits.as_bytes().chunks_exact(8);
    bytes
        .map(|byte| {
            format!(
                "{:02x}",
                u8::from_str_radix(std::str::from_utf8(byte).unwrap(), 2).unwrap()
            )
        })
        .collect()
}

#[test]
fn the_network_shows_who_chose_what_the_other_ways_say_and_how_to_go_them() {
    let home = tempfile::tempdir().unwrap();
    let (folder, _) = session(&home.path().join("a session"));
    let (html, _) = html_of(&folder, None);
    let xml = as_xml(&html);
    let page = Document::parse(&xml).unwrap();
    let network = words(by_id(&page, "network"));
    assert!(network.contains("10 forks at 8 places"), "{network}");
    let place = |number: usize| words(by_id(&page, &format!("place-{number}")));
    assert!(place(0).contains("and swam across"), "{}", place(0));
    let folder = std::path::absolute(&folder).unwrap();
    let command = format!(
        "razvilka generate --from '{}' --fork 0 --branch 2",
        folder.display()
    );
    assert!(place(0).contains(&command), "{}", place(0));
    assert!(!place(0).contains("--branch 1"), "that way was taken");
    // Nothing came of fork 5: fork 6 is at the same place.
    // Fork 7 was taken back and asked again as fork 9; its first choice led to fork 8.
    assert!(
        place(6).contains("fork 7 person, taken back") && place(6).contains("fork 9 person"),
        "{}",
        place(6)
    );
    assert!(place(6).contains("leads to place 8"), "{}", place(6));
    assert!(
        place(7).contains("fork 8 person: take the last back"),
        "{}",
        place(7)
    );
    assert!(place(5).contains("fork 5 nobody"), "{}", place(5));
    // The picture says the same: each place once, with a mark of each kind by shape.
    let marks: Vec<_> = page
        .descendants()
        .filter(|node| node.attribute("class") == Some("place"))
        .collect();
    assert_eq!(marks.len(), 8);
    let shape = |number: usize, class: &str| {
        let mark = marks[number]
            .descendants()
            .find(|node| node.attribute("class") == Some(class));
        mark.map(|mark| mark.tag_name().name().to_owned())
    };
    assert_eq!(shape(0, "mark person").as_deref(), Some("circle"));
    assert_eq!(shape(3, "mark model").as_deref(), Some("rect"));
    assert!(words(marks[1]).contains("о мельнице"));
    assert_eq!(
        marks[6]
            .descendants()
            .filter(|node| node.attribute("class") == Some("back"))
            .count(),
        1
    );
}

#[test]
fn no_command_is_printed_that_could_not_work() {
    let home = tempfile::tempdir().unwrap();
    let (folder, _) = session(&home.path().join("session"));
    let file = folder.join(SessionFile::Manifest.name());
    let offered = |config: &str| {
        let mut manifest: Manifest =
            serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        manifest.config = ConfigRecord::new(config.to_owned());
        std::fs::write(&file, serde_json::to_vec(&manifest).unwrap()).unwrap();
        html_of(&folder, None)
            .0
            .contains("razvilka generate --from")
    };
    let here = "[keys]\npins = { source_id = \"keys\" }\n";
    assert!(offered(here));
    let served = format!("{here}[model]\npath = \"http://127.0.0.1:1\"\n");
    assert!(!offered(&served), "a server tells no tokens");
    assert!(!offered("[session]\nforks = 20\n"), "of another version");
}

#[test]
fn calls_and_keys_take_choices_back_and_levels_follow_the_ledger() {
    let home = tempfile::tempdir().unwrap();
    let mut scene = Scene::new(&home.path().join("session"));
    let beginning = Beginning {
        coins: 1,
        carried: Carried::default(),
        imitator: Imitator::new(ImitatorSettings::default()).record(),
    };
    let mut report = beginning
        .deputy(HandoverSettings::default())
        .unwrap()
        .report();
    let before = report.autonomy;
    scene.event(
        EventKind::Autonomy,
        &AutonomyEvent::Begins(Box::new(beginning)).detail(),
    );
    scene.write("The fox");
    scene.fork(&["ran", "slept"], None, Answer::Key(0));
    scene.write(". Then");
    scene.fork(&["it rained", "it snowed"], None, Answer::Key(0));
    scene.write(". And");
    report.autonomy = Autonomy::OftenChecked;
    scene.event(
        EventKind::Autonomy,
        &AutonomyEvent::Stands(Box::new(report)).detail(),
    );
    scene.fork(&["it sang", "it wept"], None, Answer::Key(1));
    // The person called for a fork behind the first choice: what was chosen at the other two is gone.
    let position = 3;
    scene.event(
        EventKind::Operator,
        &format!(r#"{{"call":{{"text":0,"position":{position}}}}}"#),
    );
    let kept = scene.text.as_str()[..11].to_owned();
    scene.text.replace(&kept).unwrap();
    scene.fork(&["and hid", "and fell"], None, Answer::Key(0));
    scene.event(EventKind::Operator, r#"{"undo":{"position":5}}"#);
    let (folder, _) = scene.end();
    let (html, _) = html_of(&folder, None);
    let xml = as_xml(&html);
    let page = Document::parse(&xml).unwrap();
    let place = |number: usize| words(by_id(&page, &format!("place-{number}")));
    assert!(
        place(0).contains(&format!("fork 0 person, level: {}", before.words())),
        "{}",
        place(0)
    );
    assert!(!place(0).contains("taken back"), "{}", place(0));
    assert!(
        place(1).contains("fork 1 person, taken back by a call"),
        "{}",
        place(1)
    );
    assert!(
        place(2).contains("taken back by a call, level: chooses, often checked"),
        "{}",
        place(2)
    );
    assert!(
        place(3).contains("fork 3 person, taken back,"),
        "{}",
        place(3)
    );
    // What was called for stands behind the first choice.
    assert!(
        place(0).contains("leads to place 2, leads to place 4"),
        "{}",
        place(0)
    );
}

#[test]
fn sessions_share_what_they_have_in_common_and_a_memory_joins_more() {
    let home = tempfile::tempdir().unwrap();
    let told = |name: &str, first: usize| {
        let mut scene = Scene::new(&home.path().join(name));
        scene.write("The fox came to the river");
        scene.fork(&["and swam", "and waited"], None, Answer::Look(first));
        scene.write(&format!(". At {name}"));
        scene.fork(&["it slept", "it sang"], None, Answer::Look(0));
        let (folder, _) = scene.end();
        // The sessions of a test begin in one second: their names are told apart, as those of real ones are.
        let file = folder.join(SessionFile::Manifest.name());
        let mut manifest: Manifest =
            serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        manifest.session = name.to_owned();
        std::fs::write(&file, serde_json::to_vec(&manifest).unwrap()).unwrap();
        folder
    };
    let folders = [told("dawn", 0), told("dusk", 1)];
    let out = home.path().join("network.html");
    let page_of = |folders: &[PathBuf], person: Option<&Path>| {
        let across = Across::read(folders, person).unwrap();
        report::write_across(&across, &out).unwrap();
        let mode = std::fs::metadata(&out).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let shape = (
            across.network().places().len(),
            across.network().shared_places(),
        );
        (as_xml(&std::fs::read_to_string(&out).unwrap()), shape)
    };
    let (xml, shape) = page_of(&folders, None);
    assert_eq!(shape, (3, 1), "one beginning, two ends");
    let page = Document::parse(&xml).unwrap();
    only_itself(&page);
    assert!(
        words(by_id(&page, "verdict")).contains("4 forks over 2 sessions: the person chose at 4")
    );
    let root = words(by_id(&page, "place-0"));
    assert!(
        root.contains("1/0 person") && root.contains("2/0 person"),
        "{root}"
    );
    assert!(
        root.contains("leads to place 2") && root.contains("leads to place 3"),
        "{root}"
    );
    let curve = words(by_id(&page, "autonomy"));
    assert!(
        curve.contains("There was no audit yet") && curve.contains("no imitator at work"),
        "{curve}"
    );

    // The same choice behind other words, in two sessions of which only the memory is left.
    let mut person = Person::open_or_create(&home.path().join("anna")).unwrap();
    person.say(true, 30).unwrap();
    let mut store = ChoiceStore::open(person).unwrap();
    for (session, context, phrase, state) in [
        (
            "noon",
            "The wolf stood at the gate",
            "it sang",
            [1.0_f32, 0.0],
        ),
        (
            "night",
            "A wolf waited by the door",
            "it crooned",
            [0.999, 0.01],
        ),
    ] {
        let option = |item: i32, text: &str, embedding: [f32; 2]| RememberedOption {
            item,
            kind: OptionKind::Branch,
            text: text.to_owned(),
            tokens: vec![1],
            prior: 0.5,
            log_prob_nats: Some(-1.0),
            posterior: None,
            preference: None,
            embedding: Some(embedding.to_vec()),
        };
        let choice = Remembered {
            session: session.to_owned(),
            fork: ForkId(0),
            at_utc: "2026-11-28T10:00:00.000Z".to_owned(),
            context: context.to_owned(),
            origin: ForkOrigin::Detected,
            attempt: 0,
            shown: true,
            outcome: Some(Outcome::Committed),
            chooser: Some(Chooser::Human),
            why: razvilka::choice::Why::Selected,
            chosen: Some(1),
            selected: Some(1),
            decision_s: Some(1.0),
            model_sha256: sha256_hex(b"model"),
            taken_back: None,
            state: Some(state.to_vec()),
            options: vec![option(0, "it slept", [0.0, 1.0]), option(1, phrase, state)],
        };
        store.remember(&choice).unwrap();
    }
    drop(store);
    let anna = home.path().join("anna");
    let (xml, shape) = page_of(&folders, Some(&anna));
    assert_eq!(shape, (4, 2));
    let page = Document::parse(&xml).unwrap();
    assert!(words(by_id(&page, "network")).contains("also worded it sang"));
    let (_, shape) = page_of(&[], Some(&anna));
    assert_eq!(shape, (1, 1));

    // Sessions that the memory alone tells of have numbers, too: the curve counts as the list of sessions does.
    let cells = |id: &str| -> Vec<Vec<String>> {
        let table = by_id(&page, id).descendants();
        let rows = table.filter(|node| node.has_tag_name("tr"));
        let of = |row: Node<'_, '_>| {
            let cells = row.children().filter(|node| node.has_tag_name("td"));
            cells.map(words).collect::<Vec<_>>()
        };
        rows.map(of).filter(|row| !row.is_empty()).collect()
    };
    let listed = cells("sessions");
    assert_eq!(listed.len(), 4);
    let with_folders = listed
        .iter()
        .filter(|row| row[1] == "dawn" || row[1] == "dusk");
    let numbers: Vec<_> = with_folders.map(|row| row[0].clone()).collect();
    let curve: Vec<_> = cells("autonomy").iter().map(|row| row[0].clone()).collect();
    assert_eq!(curve, numbers, "{listed:?}");

    let across = Across::read(&folders, None).unwrap();
    let nowhere = home.path().join("no folder/network.html");
    let refused = report::write_across(&across, &nowhere).unwrap_err();
    assert!(matches!(refused, ReportError::Out { .. }), "{refused}");
    assert!(refused.to_string().contains("--out"), "{refused}");

    let twice = Across::read(&[folders[0].clone(), folders[0].clone()], None).unwrap_err();
    assert!(matches!(twice, AcrossError::Twice { .. }), "{twice}");
    assert!(matches!(Across::read(&[], None), Err(AcrossError::Nothing)));
}

#[test]
fn without_a_wish_agreement_is_not_called_accuracy() {
    let home = tempfile::tempdir().unwrap();
    let (folder, _) = session(&home.path().join("session"));
    let (html, summary) = html_of(&folder, None);
    assert_eq!(summary.accuracy, None);
    let xml = as_xml(&html);
    let page = Document::parse(&xml).unwrap();
    assert!(words(by_id(&page, "verdict")).contains("is not known"));
    let arms = words(by_id(&page, "arms"));
    assert!(
        arms.contains("agreement with itself is not accuracy"),
        "{arms}"
    );
    assert!(arms.contains("over 7 commits"), "{arms}");
}

#[test]
fn the_report_is_private_and_replaced_as_a_whole() {
    let home = tempfile::tempdir().unwrap();
    let (folder, truth) = session(&home.path().join("session"));
    let (first, _) = html_of(&folder, Some(&truth));
    let (second, _) = html_of(&folder, Some(&truth));
    assert_eq!(first, second);
    let mode = std::fs::metadata(folder.join("report.html"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_ledger_that_was_tampered_with_is_said_to_be_so_at_the_top() {
    let home = tempfile::tempdir().unwrap();
    let (folder, _) = session(&home.path().join("session"));
    let ledger = rusqlite::Connection::open(folder.join("ledger.sqlite")).unwrap();
    ledger
        .execute("UPDATE choice SET chooser = 'model' WHERE fork = 0", [])
        .unwrap();
    drop(ledger);
    let (html, _) = html_of(&folder, None);
    let xml = as_xml(&html);
    let page = Document::parse(&xml).unwrap();
    let verdict = words(by_id(&page, "verdict"));
    assert!(
        verdict.contains("The ledger cannot be trusted"),
        "{verdict}"
    );
    assert!(!verdict.contains("chain holds"), "{verdict}");
}

#[test]
fn authorship_gives_every_letter_an_origin_and_refuses_a_row_or_a_text_that_was_changed() {
    let parent = tempfile::tempdir().unwrap();
    let (folder, _) = session(&parent.path().join("session"));
    let told = Authorship::read(&folder).unwrap();
    let text = std::fs::read_to_string(folder.join("text.txt")).unwrap();
    let pieces: String = told
        .pieces
        .iter()
        .map(|piece| piece.text.as_str())
        .collect();
    assert_eq!(pieces, text);
    let mut begin = 0;
    for piece in &told.pieces {
        assert_eq!(piece.begins_char, begin);
        begin += piece.text.chars().count() as u64;
    }
    let of = |origin: Origin| -> Vec<(&str, u64)> {
        let chosen = told.pieces.iter().filter(|piece| piece.origin == origin);
        let forks =
            chosen.filter_map(|piece| Some((piece.text.trim(), piece.choice.as_ref()?.fork)));
        forks.collect()
    };
    assert_eq!(
        of(Origin::Person),
        [
            ("and waited for the hen", 0),
            ("о зиме", 1),
            ("the wolf came", 2),
            (HOSTILE, 6),
            ("fell asleep", 9),
        ]
    );
    assert!(
        of(Origin::Model).iter().any(|(_, fork)| *fork == 3),
        "{told:?}"
    );
    // The story that was told at fork 7 was taken back.
    assert_eq!(told.not_in_text, [7]);
    let waited = told
        .pieces
        .iter()
        .find_map(|piece| piece.choice.as_ref())
        .unwrap();
    let others: Vec<_> = waited
        .alternatives
        .iter()
        .map(|other| other.text.as_str())
        .collect();
    assert_eq!(others, ["and swam across", "and went home"]);
    assert!(waited.evidence.is_some() && waited.decision_s.is_some());

    let ledger = |sql| {
        let ledger = rusqlite::Connection::open(folder.join("ledger.sqlite")).unwrap();
        assert_eq!(ledger.execute(sql, []).unwrap(), 1, "{sql}");
    };
    ledger("UPDATE option SET text = 'and drowned' WHERE fork = 1 AND item = 2");
    let refused = Authorship::read(&folder).unwrap_err().to_string();
    assert!(
        refused.contains("option") && refused.contains("row"),
        "{refused}"
    );
    ledger("UPDATE option SET text = 'о курице' WHERE fork = 1 AND item = 2");
    Authorship::read(&folder).unwrap();
    ledger("DELETE FROM event");
    let refused = Authorship::read(&folder).unwrap_err();
    assert!(matches!(refused, AuthorshipError::Cut { .. }), "{refused}");
}

#[test]
fn a_session_that_was_killed_is_reported_from_what_it_left() {
    let holder = tempfile::tempdir().unwrap();
    let mut scene = Scene::new(&holder.path().join("session"));
    scene.write("The fox");
    scene.fork(&["ran", "slept"], None, Answer::Look(0));
    let folder = scene.folder.path().to_owned();
    let (html, summary) = html_of(&folder, None);
    assert_eq!(summary.counts.committed, 1);
    let xml = as_xml(&html);
    let page = Document::parse(&xml).unwrap();
    assert!(words(by_id(&page, "verdict")).contains("did not end by itself"));
    assert!(words(by_id(&page, "timing")).contains("no latency.json"));
}

#[test]
fn a_folder_without_a_session_and_a_broken_latency_file_are_refused_by_name() {
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(
        report::write(empty.path(), None),
        Err(ReportError::Folder(_))
    ));
    let (folder, _) = session(&empty.path().join("session"));
    std::fs::write(folder.join("latency.json"), "{").unwrap();
    let error = report::write(&folder, None).unwrap_err();
    assert!(matches!(error, ReportError::Latency { .. }));
    assert!(error.to_string().contains("latency.json"), "{error}");
    assert!(!folder.join("report.html").exists());
}
