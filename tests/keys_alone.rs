//! A session in which keys alone choose, through the binary: nothing is calibrated, and it replays like any other.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]

mod lsl_common;

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lsl_common::{PATIENCE, markers, network, session};
use razvilka::choice::guard::{Cause, Rung, Sign, Step};
use razvilka::choice::{AskReason, Decision, ModelReason, Why};
use razvilka::decode::Model;
use razvilka::engine::control::Command as Asked;
use razvilka::engine::replay::RecordedSession;
use razvilka::engine::telemetry::Phase;
use razvilka::fork::{Chooser, ForkOrigin};
use razvilka::gate::AbortReason;
use razvilka::marker::{Key, OptionKind};
use razvilka::operator::{Asks, Client, Now, Wanted};
use razvilka::rt;
use razvilka::session::person::{ChoiceStore, Person, Remembered, TakenBack, Which};
use razvilka::session::{AutonomyEvent, ChoiceRow, Entry, Folder, GuardEvent, Ledger, SessionFile};
use razvilka::source::lsl::LslMarkerOutlet;
use razvilka::source::{MarkerSink, StreamSpec};

/// A session of keys alone, in a folder of its own.
struct Session {
    parent: tempfile::TempDir,
    child: Child,
}

impl Session {
    fn start(spec: &StreamSpec, forks: u32) -> Self {
        Self::of_person(spec, forks, None)
    }

    fn of_person(spec: &StreamSpec, forks: u32, person: Option<&Path>) -> Self {
        Self::with(spec, forks, person, "")
    }

    fn with(spec: &StreamSpec, forks: u32, person: Option<&Path>, more: &str) -> Self {
        let parent = tempfile::tempdir().unwrap();
        let file = parent.path().join("experiment.toml");
        let words = format!(
            "[keys]\npins = {{ source_id = \"{}\" }}\n\
             [network]\nmode = \"loopback\"\nsession_id = \"{}\"\nresolve_s = 2.0\n\
             [session]\nforks = {forks}\nminutes_max = 5.0\n{more}",
            spec.source_id,
            session()
        );
        std::fs::write(&file, words).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_razvilka"))
            .args(["run", "--config"])
            .arg(&file)
            .arg("--out")
            .arg(parent.path().join("session"))
            .args(person.map(|_| "--person"))
            .args(person)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self { parent, child }
    }

    /// Presses these keys in turn until the program ends; gives its exit code.
    fn press(&mut self, outlet: &mut LslMarkerOutlet, keys: &[Key]) -> Option<i32> {
        let until = Instant::now() + 3 * PATIENCE;
        for key in keys.iter().cycle() {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < until, "the session does not end");
            outlet.push(&key.to_json(), rt::lsl_now().get()).unwrap();
            std::thread::sleep(Duration::from_millis(100));
        }
        None
    }

    /// Presses a key until the ledger, as far as it is written, shows what is waited for.
    fn press_until(&mut self, outlet: &mut LslMarkerOutlet, key: Key, shown: fn(&Entry) -> bool) {
        let until = Instant::now() + 3 * PATIENCE;
        let ledger = self.parent.path().join("session/ledger.sqlite");
        loop {
            assert!(self.child.try_wait().unwrap().is_none(), "it has ended");
            assert!(Instant::now() < until, "{key:?} leads nowhere");
            let written = Ledger::open_read_only(&ledger).and_then(|ledger| ledger.entries());
            if written.is_ok_and(|entries| entries.iter().any(shown)) {
                return;
            }
            outlet.push(&key.to_json(), rt::lsl_now().get()).unwrap();
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn entries(&self) -> Vec<Entry> {
        let (folder, manifest) = Folder::open(&self.parent.path().join("session")).unwrap();
        assert!(manifest.complete && manifest.profile_sha256.is_none());
        let ledger = Ledger::open_read_only(&folder.file(SessionFile::Ledger)).unwrap();
        ledger.verify().unwrap();
        ledger.entries().unwrap()
    }

    fn assert_replays_bit_for_bit(&self) {
        let again = Folder::create(&self.parent.path().join("again")).unwrap();
        let model = Arc::new(Model::embedded().unwrap());
        let report = RecordedSession::open(&self.parent.path().join("session"))
            .unwrap()
            .replay(model, &again, vec!["test".into()])
            .unwrap();
        assert!(
            report.is_identical() && report.incomplete.is_empty(),
            "{report:?}\n{:#?}",
            self.entries()
        );
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn humans_choices(entries: &[Entry]) -> usize {
    let by_person = |entry: &&Entry| {
        matches!(entry, Entry::Choice(row)
            if row.chooser == Some(Chooser::Human) && row.item == Some(0))
    };
    entries.iter().filter(by_person).count()
}

#[test]
fn a_session_of_keys_alone_needs_no_calibration_and_replays_bit_for_bit() {
    let spec = markers("switch");
    let mut outlet = LslMarkerOutlet::new(network(), &spec).unwrap();
    let parent = tempfile::tempdir().unwrap();
    let nobody = parent.path().join("nobody");
    // Nobody agreed to learning: nothing is left to the imitator, and every fork is asked.
    let mut session = Session::with(&spec, 2, Some(&nobody), TRUSTING);
    let code = session.press(&mut outlet, &[Key::Select { item: 0 }]);
    assert_eq!(code, Some(0));
    assert_eq!(humans_choices(&session.entries()), 2);
    assert!(!nobody.exists(), "nothing is kept of who has not agreed");
    let left = |entry: &&Entry| match entry {
        Entry::Fork(row) => row.decision != Decision::Ask(AskReason::Decisive),
        Entry::Event(row) => AutonomyEvent::of(row).is_some(),
        _ => false,
    };
    assert_eq!(session.entries().iter().find(left), None);
    session.assert_replays_bit_for_bit();
}

#[test]
fn a_fork_some_words_back_can_be_called_for_while_another_is_open() {
    let spec = markers("caller");
    let mut outlet = LslMarkerOutlet::new(network(), &spec).unwrap();
    let mut session = Session::start(&spec, 8);
    let select = Key::Select { item: 0 };
    let keys = [
        Key::Call { back: 4 },
        select,
        Key::Call { back: 0 },
        select,
        Key::Undo,
        select,
        select,
        Key::Call { back: 2 },
        select,
        Key::Select { item: 1 },
    ];
    assert_eq!(session.press(&mut outlet, &keys), Some(0));
    let entries = session.entries();
    let withdrawn = |entry: &&Entry| {
        matches!(entry, Entry::Choice(row)
            if row.why == Why::Aborted(AbortReason::Withdrawn) && row.chooser.is_none())
    };
    let called =
        |entry: &&Entry| matches!(entry, Entry::Fork(row) if row.origin == ForkOrigin::Called);
    assert!(entries.iter().filter(withdrawn).count() > 0, "{entries:?}");
    assert!(entries.iter().filter(called).count() > 0);
    session.assert_replays_bit_for_bit();
}

#[test]
fn a_switch_that_is_lost_is_found_again() {
    let spec = markers("loose-contact");
    let mut outlet = LslMarkerOutlet::new(network(), &spec).unwrap();
    let mut session = Session::start(&spec, 2);
    assert!(outlet.wait_for_consumers(PATIENCE));
    drop(outlet);
    std::thread::sleep(Duration::from_secs(1));
    outlet = LslMarkerOutlet::new(network(), &spec).unwrap();
    assert!(outlet.wait_for_consumers(PATIENCE));
    let code = session.press(&mut outlet, &[Key::Select { item: 0 }]);
    assert_eq!(code, Some(0));
    let entries = session.entries();
    assert_eq!(humans_choices(&entries), 2);
    for words in ["was lost", "is back"] {
        let told =
            |entry: &&Entry| matches!(entry, Entry::Event(row) if row.detail.contains(words));
        assert_eq!(entries.iter().filter(told).count(), 1, "{words}");
    }
    session.assert_replays_bit_for_bit();
}

/// Waits until the operator knows this.
fn known(client: &Client, what: &str, is_so: impl Fn(&Now) -> bool) -> Now {
    let until = Instant::now() + 3 * PATIENCE;
    loop {
        let now = client.live().now();
        if is_so(&now) {
            return now;
        }
        assert!(Instant::now() < until, "{what}: {now:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn an_operator_elsewhere_sees_the_session_pauses_it_lets_it_go_on_and_stops_it() {
    let spec = markers("watched");
    let mut outlet = LslMarkerOutlet::new(network(), &spec).unwrap();
    let control_id = format!("operator-of-{}", session());
    let allowed = format!(
        "[operator]\nstatus_every_s = 0.2\ncontrol = true\ncontrol_pins = {{ source_id = \"{control_id}\" }}\n"
    );
    let mut session = Session::with(&spec, 500, None, &allowed);
    let manifest = session.parent.path().join("session/manifest.json");
    let until = Instant::now() + 3 * PATIENCE;
    // Other sessions of these tests are there as well.
    let id = loop {
        assert!(Instant::now() < until, "no manifest");
        let text = std::fs::read_to_string(&manifest).unwrap_or_default();
        let id = text.split_once("razvilka-markers-").map(|(_, rest)| rest);
        if let Some((id, _)) = id.and_then(|rest| rest.split_once('"')) {
            break id.to_owned();
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    let wanted = Wanted {
        session: Some(id),
        control_id,
    };
    let client = Client::start(network(), wanted).unwrap();
    assert!(client.ask(Asked::Pause).is_err(), "nobody listens yet");

    let is_open = |now: &Now| {
        let asked = now.page.as_ref().and_then(|page| page.fork.as_ref());
        now.fork.phase == Phase::Open
            && asked.is_some_and(|fork| Some(fork.number) == now.fork.fork)
    };
    let open = known(&client, "an open fork", is_open);
    let page = open.page.unwrap();
    let options = &page.fork.as_ref().unwrap().options;
    assert_eq!(open.fork.posterior.len(), options.len());
    let whole: f32 = open.fork.posterior.iter().sum();
    assert!((whole - 1.0).abs() < 1e-3, "{:?}", open.fork.posterior);
    assert!(page.control && !page.text.is_empty());
    let first = open.fork.fork.unwrap();

    client.offer_control().unwrap();
    known(&client, "a session that listens", |now| now.listens);
    client.ask(Asked::Pause).unwrap();
    let paused = |now: &Now| now.status.as_ref().is_some_and(|status| status.is_paused());
    let held = known(&client, "a pause", |now| {
        paused(now) && now.fork.phase == Phase::Held
    });
    assert_eq!(held.fork.fork, Some(first));
    // What is pressed now finds no fork.
    for _ in 0..3 {
        let key = Key::Select { item: 0 };
        outlet.push(&key.to_json(), rt::lsl_now().get()).unwrap();
        std::thread::sleep(Duration::from_millis(50));
    }
    client.ask(Asked::Resume).unwrap();
    known(&client, "the fork again", |now| {
        !paused(now) && is_open(now) && now.fork.fork == Some(first + 1)
    });
    let by_person =
        |entry: &Entry| matches!(entry, Entry::Choice(row) if row.chooser == Some(Chooser::Human));
    session.press_until(&mut outlet, Key::Select { item: 0 }, by_person);
    client.ask(Asked::Stop).unwrap();
    let until = Instant::now() + 3 * PATIENCE;
    let code = loop {
        if let Some(status) = session.child.try_wait().unwrap() {
            break status.code();
        }
        assert!(Instant::now() < until, "the session does not end");
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(code, Some(0), "it ends in order");

    let entries = session.entries();
    let rows = |fork: u64| {
        let choice = entries.iter().find_map(|entry| match entry {
            Entry::Choice(row) if row.fork.0 == fork => Some((**row).clone()),
            _ => None,
        });
        let asked = entries.iter().find_map(|entry| match entry {
            Entry::Fork(row) if row.fork.0 == fork => Some(row.clone()),
            _ => None,
        });
        (asked.unwrap(), choice.unwrap())
    };
    let ((asked, choice), (again, _)) = (rows(first), rows(first + 1));
    assert_eq!(choice.why, Why::Aborted(AbortReason::Paused));
    assert_eq!((choice.chooser, choice.item), (None, None));
    assert_eq!(
        (again.position_tokens, again.attempt),
        (asked.position_tokens, 1),
        "the same place, asked again"
    );
    assert_eq!(again.decision, Decision::Ask(AskReason::Retry));
    for word in ["pause", "resume", "stop"] {
        let said = |entry: &&Entry| matches!(entry, Entry::Event(row) if row.detail.contains(&format!("\"{word}\"")));
        assert_eq!(entries.iter().filter(said).count(), 1, "{word}");
    }
    session.assert_replays_bit_for_bit();
}

/// Trust that is earned with one answer: a claim so weak that a test can see the imitator at work.
const TRUSTING: &str = "[model]\npace_tokens_per_s = 100.0\n\
     [protocol.imitate]\non = true\ndisagreement_max = 0.5\nrisk = 0.5\nforks_min = 1000\naudit_rate_min = 0.0\n\
     confidence_min = 0.5\nagreement_min = 0.0\nquestions_per_min_max = 60.0\n";

#[test]
fn the_imitator_takes_what_it_is_trusted_with_and_the_session_replays_when_the_person_is_gone() {
    let parent = tempfile::tempdir().unwrap();
    let anna = parent.path().join("anna");
    let person = ["--person", anna.to_str().unwrap()];
    told(&["consent", "on", person[0], person[1]]);
    let spec = markers("trusting");
    let mut outlet = LslMarkerOutlet::new(network(), &spec).unwrap();
    let select = Key::Select { item: 0 };
    let by_imitator = |entry: &Entry| matches!(entry, Entry::Choice(row) if row.chooser == Some(Chooser::Imitator));
    let taken_back = |entry: &Entry| match entry {
        Entry::Choice(row) => row.kind == Some(OptionKind::Undo),
        Entry::Event(row) => row.detail.contains("undo"),
        _ => false,
    };
    let asks = |entry: &Entry| matches!(entry, Entry::Event(row) if AutonomyEvent::of(row) == Some(AutonomyEvent::AskMe(true)));
    let mut first = Session::with(&spec, 12, Some(&anna), TRUSTING);
    first.press_until(&mut outlet, select, by_imitator);
    first.press_until(&mut outlet, Key::Undo, taken_back);
    first.press_until(&mut outlet, Key::Ask { on: true }, asks);
    assert_eq!(first.press(&mut outlet, &[select]), Some(0));
    let mut second = Session::with(&spec, 5, Some(&anna), TRUSTING);
    second.press_until(&mut outlet, select, by_imitator);
    second.press_until(&mut outlet, Key::Ask { on: true }, asks);
    assert_eq!(second.press(&mut outlet, &[select]), Some(0));

    let of = |session: &Session| -> (Vec<ChoiceRow>, Vec<AutonomyEvent>, Vec<AskReason>) {
        let entries = session.entries();
        let events = entries.iter().filter_map(|entry| match entry {
            Entry::Event(row) => AutonomyEvent::of(row),
            _ => None,
        });
        let choices = entries.iter().filter_map(|entry| match entry {
            Entry::Choice(row) => Some((**row).clone()),
            _ => None,
        });
        let asked = entries.iter().filter_map(|entry| match entry {
            Entry::Fork(row) => match row.decision {
                Decision::Ask(reason) => Some(reason),
                _ => None,
            },
            _ => None,
        });
        (choices.collect(), events.collect(), asked.collect())
    };
    let imitated = |choices: &[ChoiceRow]| {
        let by_imitator = |row: &&ChoiceRow| row.chooser == Some(Chooser::Imitator);
        choices.iter().filter(by_imitator).count() as u32
    };
    let ((choices, events, asked), (_, later, _)) = (of(&first), of(&second));
    let taken = imitated(&choices);
    assert!(taken > 0, "{asked:?} {events:?}");
    for row in choices
        .iter()
        .filter(|row| row.chooser == Some(Chooser::Imitator))
    {
        assert!(matches!(row.why, Why::Imitated { probability, .. } if probability >= 0.5));
        assert!(row.outcome.is_none() && !row.text.is_empty());
    }
    assert!(asked.contains(&AskReason::Wished), "{asked:?}");
    assert!(events.contains(&AutonomyEvent::AskMe(true)), "{events:?}");
    let Some(AutonomyEvent::Ends(left)) = events.last() else {
        panic!("{events:?}");
    };
    assert_eq!(left.tally.imitated.iter().sum::<u32>(), taken);
    // The next session goes on from there.
    let Some(AutonomyEvent::Begins(beginning)) = later.first() else {
        panic!("{later:?}");
    };
    assert_eq!(beginning.carried.tally, left.tally);
    assert_eq!(beginning.carried.shown, left.shown);
    let by_person = |row: &&ChoiceRow| {
        row.chooser == Some(Chooser::Human) && row.kind == Some(OptionKind::Branch)
    };
    let answers = choices.iter().filter(by_person).count() as u64;
    assert!(beginning.imitator.learnt >= answers, "{beginning:?}");
    assert!(anna.join("autonomy.json").is_file());
    told(&["forget", "--all", person[0], person[1]]);
    assert!(!anna.join("autonomy.json").exists());
    told(&["delete-person", "--yes", person[0], person[1]]);
    for session in [&first, &second] {
        session.assert_replays_bit_for_bit();
    }
}

/// A guard that loses patience with the first question that runs out of time.
const IMPATIENT: &str = "[model]\npace_tokens_per_s = 100.0\n[gate]\ntimeout_s = 0.5\n\
     [guard]\nhighest = \"stop\"\ndeclined_max = 0.01\npatience = 10.0\nhold_s = 0.0\nhold_forks = 1\ncarry_on_s = 0.0\n\
     pause_s = 0.2\nquestions_share = 0.05\nbreak_s = 0.5\n";

#[test]
fn the_guard_goes_up_is_sent_back_by_key_ends_the_session_in_order_and_replays() {
    let spec = markers("overloaded");
    let mut outlet = LslMarkerOutlet::new(network(), &spec).unwrap();
    let mut session = Session::with(&spec, 100, None, IMPATIENT);
    let steps_of = |entries: &[Entry]| -> Vec<Step> {
        let step = |entry: &Entry| match entry {
            Entry::Event(row) => match GuardEvent::of(row) {
                Some(GuardEvent::Step(step)) => Some(step),
                _ => None,
            },
            _ => None,
        };
        entries.iter().filter_map(step).collect()
    };
    let guarded = Decision::LetModel(ModelReason::Guarded);
    // Nobody answers, until the person says by key that all is well.
    let until = Instant::now() + 3 * PATIENCE;
    let ledger = session.parent.path().join("session/ledger.sqlite");
    let spared = |entry: &Entry| matches!(entry, Entry::Fork(row) if row.decision == guarded);
    while !Ledger::open_read_only(&ledger)
        .and_then(|ledger| ledger.entries())
        .is_ok_and(|entries| entries.iter().any(spared))
    {
        assert!(Instant::now() < until, "no fork is spared");
        std::thread::sleep(Duration::from_millis(50));
    }
    session.press_until(&mut outlet, Key::CarryOn, |entry| {
        matches!(entry, Entry::Event(row) if matches!(GuardEvent::of(row),
            Some(GuardEvent::Step(Step { to: Rung::AtEase, why: Cause::Person, .. }))))
    });
    // And then nobody does again.
    let code = loop {
        if let Some(status) = session.child.try_wait().unwrap() {
            break status.code();
        }
        assert!(Instant::now() < until, "the session does not end");
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(code, Some(0));
    let entries = session.entries();
    let steps = steps_of(&entries);
    assert_eq!(steps.last().unwrap().to, Rung::Stop, "{steps:?}");
    for step in steps.iter().filter(|step| step.is_up()) {
        assert_eq!(step.why, Cause::Signs(vec![Sign::Declined]));
    }
    // What was spared the person says why, and was the model's.
    for entry in &entries {
        if let Entry::Choice(row) = entry
            && row.why == Why::NotAsked(ModelReason::Guarded)
        {
            assert_eq!(row.chooser, Some(Chooser::Model));
        }
    }
    let folder = session.parent.path().join("session");
    let text = std::fs::read_to_string(folder.join("text.txt")).unwrap();
    assert!(!text.is_empty(), "the text is kept");
    let recording = std::fs::read(folder.join("session.xdf")).unwrap();
    for marker in [
        r#""event":"guard","rung":"longer_pauses","up":true,"kind":"overload""#,
        r#""event":"guarded""#,
    ] {
        let bytes = marker.as_bytes();
        assert!(
            recording.windows(bytes.len()).any(|at| at == bytes),
            "{marker}"
        );
    }
    session.assert_replays_bit_for_bit();
}

fn choices(arguments: &[impl AsRef<OsStr>]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_razvilka"))
        .arg("choices")
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// What a command that succeeds prints.
fn told(arguments: &[impl AsRef<OsStr> + std::fmt::Debug]) -> String {
    let (code, told, said) = choices(arguments);
    assert_eq!(code, Some(0), "{arguments:?}: {said}");
    told
}

#[test]
fn choices_of_a_person_who_agreed_are_remembered_foreseen_told_and_forgotten() {
    let parent = tempfile::tempdir().unwrap();
    let anna = parent.path().join("anna");
    let person = ["--person", anna.to_str().unwrap()];
    let with = |verb: &[&str]| -> Vec<String> {
        let words = verb.iter().chain(&person);
        words.map(|word| (*word).to_owned()).collect()
    };
    let (code, _, said) = choices(&with(&["list"]));
    assert_eq!(code, Some(2));
    assert!(said.contains("choices consent on"), "{said}");
    let agreed = told(&with(&["consent", "on", "--retention-days", "30"]));
    assert!(
        agreed.contains("learning is on") && agreed.contains("30 days"),
        "{agreed}"
    );

    let spec = markers("rememberer");
    let mut outlet = LslMarkerOutlet::new(network(), &spec).unwrap();
    let select = |item| Key::Select { item };
    let mut first = Session::of_person(&spec, 2, Some(&anna));
    assert_eq!(first.press(&mut outlet, &[select(1)]), Some(0));
    let mut second = Session::of_person(&spec, 4, Some(&anna));
    let keys = [select(1), select(1), Key::Undo, select(0)];
    assert_eq!(second.press(&mut outlet, &keys), Some(0));
    for session in [&first, &second] {
        session.entries();
        session.assert_replays_bit_for_bit();
    }

    let owner = || Person::open(&anna).unwrap();
    let memory = || {
        ChoiceStore::open_read_only(&owner())
            .unwrap()
            .unwrap()
            .read(&Which::All)
            .unwrap()
    };
    let all = memory();
    let model = Model::embedded().unwrap();
    let width = model.config().hidden;
    let of = |session: &Session| {
        let (_, manifest) = Folder::open(&session.parent.path().join("session")).unwrap();
        let mut own = all.clone();
        own.retain(|choice| choice.session == manifest.session);
        (manifest.session, own)
    };
    let ((a, of_first), (b, of_second)) = (of(&first), of(&second));
    assert_eq!(of_first.len() + of_second.len(), all.len());
    for (session, remembered) in [(&first, &of_first), (&second, &of_second)] {
        let entries = session.entries();
        let rows: Vec<_> = entries
            .iter()
            .filter_map(|entry| match entry {
                Entry::Choice(row) => Some((row.fork, row.chooser, row.item)),
                _ => None,
            })
            .collect();
        let kept: Vec<_> = remembered
            .iter()
            .map(|c| (c.fork, c.chooser, c.chosen))
            .collect();
        assert_eq!(kept, rows, "the memory has every fork that the ledger has");
    }
    for choice in &all {
        assert_eq!(choice.state.as_ref().map(Vec::len), Some(width));
        for option in &choice.options {
            let is_branch = option.kind == OptionKind::Branch;
            let embedding = option.embedding.as_ref().map(Vec::len);
            assert_eq!(embedding, is_branch.then_some(width), "{option:?}");
            assert_eq!(option.log_prob_nats.is_some(), is_branch);
        }
    }
    // The second session began as the first did: what was chosen there is what the memory prefers here.
    let foreseen = |choice: &Remembered| choice.options[1].preference;
    assert_eq!(foreseen(&of_first[0]), None, "nothing was known yet");
    assert_eq!(of_first[0].state, of_second[0].state);
    assert!(
        foreseen(&of_second[0]).unwrap() > 0.1,
        "{:?}",
        of_second[0].options
    );
    let undone = of_second
        .iter()
        .filter(|c| c.taken_back == Some(TakenBack::Undo));
    assert!(undone.count() > 0, "{of_second:?}");

    let listed = told(&with(&["list"]));
    assert_eq!(listed.lines().count(), all.len());
    assert!(
        listed.contains("[taken back]") && listed.contains(&format!("{a}/0  ")),
        "{listed}"
    );
    let phrase = &of_first[0].options[1].text;
    let found = told(&with(&["search", &phrase.to_uppercase()]));
    assert!(found.contains(&format!("{a}/0  ")), "{found}");
    let jsonl = told(&with(&["export", "-", "--states"]));
    for (line, choice) in jsonl.lines().zip(&all) {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(value["fork"], choice.fork.0);
        assert_eq!(value["state"].as_array().unwrap().len(), width);
    }
    let table = parent.path().join("choices.parquet");
    told(&with(&[
        "export",
        table.to_str().unwrap(),
        "--format",
        "parquet",
    ]));
    assert!(std::fs::read(&table).unwrap().ends_with(b"PAR1"));

    let folder = second.parent.path().join("session");
    let authors = told(&["authorship", folder.to_str().unwrap(), "--json"]);
    let authors: serde_json::Value = serde_json::from_str(&authors).unwrap();
    let text: String = authors["pieces"]
        .as_array()
        .unwrap()
        .iter()
        .map(|piece| piece["text"].as_str().unwrap())
        .collect();
    assert_eq!(
        text,
        std::fs::read_to_string(folder.join("text.txt")).unwrap()
    );
    assert_eq!(authors["sealed"], true);
    std::fs::write(folder.join("text.txt"), text.replace('a', "o")).unwrap();
    let (code, _, said) = choices(&["authorship", folder.to_str().unwrap()]);
    assert_eq!(code, Some(3));
    assert!(
        said.contains("is not the text that the session wrote"),
        "{said}"
    );

    let forgotten = told(&with(&["forget", "--session", &a]));
    assert!(
        forgotten.contains("none is left") && forgotten.contains("ledgers are one chain"),
        "{forgotten}"
    );
    assert_eq!(memory(), of_second);
    let (code, _, said) = choices(&with(&["forget", "--session", &a]));
    assert_eq!(code, Some(2), "{said}");
    let off = told(&with(&["consent", "off"]));
    assert!(
        off.contains("learning is switched off") && off.contains("30 days"),
        "{off}"
    );
    let (code, _, said) = choices(&with(&["delete-person"]));
    assert_eq!(code, Some(2));
    assert!(
        said.contains("memory.sqlite") && said.contains("--yes"),
        "{said}"
    );
    assert!(told(&with(&["delete-person", "--yes"])).contains(&b));
    assert!(!anna.exists());
}
