//! The network is settled once per process and from its environment, so every case here has a process to itself.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use razvilka::config::control_pins;
use razvilka::engine::control::{Command as Asked, Heard, Listener};
use razvilka::engine::telemetry::{ForkNow, Named, Outlets, Page, Phase, Status, Teller};
use razvilka::source::lsl::{LslSampleOutlet, Network};
use razvilka::source::{Format, SampleSink, StreamSpec};

#[test]
fn the_network_is_settled_by_the_first_call_and_another_one_is_refused() {
    let session = format!("test-{}", std::process::id());
    let first = Network::loopback_session(&session).unwrap();
    assert_eq!(first.session(), session);
    assert!(first.is_loopback());
    assert!(
        Network::loopback_session(&session).is_ok(),
        "the same again"
    );

    let laboratory = Network::laboratory().unwrap_err().to_string();
    assert!(laboratory.contains("already uses"), "{laboratory}");
    assert!(Network::loopback_session("another").is_err());

    let told = first.describe();
    assert!(
        told.contains("127.0.0.1 on UDP ports 16571 and 16572-16603") && told.contains(&session),
        "{told}"
    );
}

/// Not a test by itself: what [`laboratory`] runs in another process. It sends nothing, only settles.
#[test]
fn the_other_process() {
    if std::env::var_os("RAZVILKA_TEST_LABORATORY").is_some() {
        match Network::laboratory() {
            Ok(network) => println!("SETTLED {}", network.describe()),
            Err(error) => println!("REFUSED {error}"),
        }
    }
}

/// What the laboratory's network says with this configuration.
fn laboratory(configuration: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lsl_api.cfg");
    std::fs::write(&path, configuration).unwrap();
    laboratory_with(path.to_str().unwrap())
}

fn laboratory_with(path: &str) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_other_process", "--nocapture"])
        .env("RAZVILKA_TEST_LABORATORY", "1")
        .env("LSLAPICFG", path)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find_map(|line| {
        line.find("SETTLED")
            .or_else(|| line.find("REFUSED"))
            .map(|at| &line[at..])
    });
    line.unwrap().to_owned()
}

#[test]
fn the_laboratory_uses_its_own_file_and_says_so() {
    let told = laboratory(
        "; ours\n[multicast]\nResolveScope = machine\n[lab]\nKnownPeers = {10.0.0.7}\nSessionID = lab2\n",
    );
    for part in [
        "SETTLED 127.0.0.1, 10.0.0.7 on UDP",
        "\"lab2\"",
        "lsl_api.cfg",
    ] {
        assert!(told.contains(part), "{told}");
    }
}

#[test]
fn a_configuration_that_would_silently_ask_the_whole_network_is_refused() {
    let comment = laboratory("[multicast]\nResolveScope = machine ; only here\n");
    assert!(
        comment.starts_with("REFUSED") && comment.contains("line 2"),
        "{comment}"
    );
    let broken = laboratory("[multicast]\nResolveScope machine\n");
    assert!(
        broken.starts_with("REFUSED") && broken.contains("cannot be read"),
        "{broken}"
    );
    let absent = laboratory_with("/nonexistent/lsl_api.cfg");
    assert!(
        absent.starts_with("REFUSED") && absent.contains("/nonexistent"),
        "{absent}"
    );
}

#[test]
fn a_configuration_that_replaces_stamps_is_refused() {
    let told = laboratory("[tuning]\nForceDefaultTimestamps = 1\n");
    assert!(
        told.starts_with("REFUSED") && told.contains("ForceDefaultTimestamps"),
        "{told}"
    );
}

/// Not a test by itself: the machine with the session, in a network of its own. It publishes what a session does, and says when it
/// hears an operator.
#[test]
fn the_machine_with_the_session() {
    if std::env::var_os("RAZVILKA_TEST_MACHINE").is_none() {
        return;
    }
    let network = Network::laboratory().unwrap();
    let eeg = StreamSpec {
        name: "Amp".into(),
        kind: "EEG".into(),
        source_id: "amp-1".into(),
        hostname: String::new(),
        uid: String::new(),
        rate_hz: 250.0,
        format: Format::Float32,
        labels: ["Cz", "Pz"].map(str::to_owned).to_vec(),
        units: vec!["microvolts".to_owned(); 2],
        xml: String::new(),
    };
    let mut amplifier = LslSampleOutlet::new(network, &eeg).unwrap();
    let mut teller = Teller::new(Outlets::open(network, "elsewhere").unwrap(), 0.2);
    let stop = Arc::new(AtomicBool::new(false));
    let listener = Listener::start(network, control_pins("operator-2"), stop).unwrap();
    let mut page = Page {
        session: "elsewhere".into(),
        eeg: Some(Named {
            source_id: "amp-1".into(),
            ..Named::default()
        }),
        text: "Жила-была лиса".into(),
        control: true,
        ..Page::default()
    };
    let fork = ForkNow {
        fork: Some(3),
        phase: Phase::Open,
        posterior: vec![0.25, 0.75],
        ..ForkNow::default()
    };
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(90) {
        let now = razvilka::source::lsl::clock();
        let stamps: Vec<f64> = (0..5).map(|n| now + f64::from(n) * 0.004).collect();
        amplifier.push(&[1.0; 10], &stamps).unwrap();
        let open_s = Some(begun.elapsed().as_secs_f32());
        teller.fork(&ForkNow {
            open_s,
            ..fork.clone()
        });
        if teller.wants_status() {
            teller.status(&Status::default());
        }
        teller.page(page.clone());
        for heard in listener.heard.try_iter() {
            match heard {
                Heard::Came { uid, .. } => page.heard = uid,
                Heard::Gone => page.heard.clear(),
                Heard::Asked(Asked::Pause) => println!("HEARD pause"),
                Heard::Asked(_) | Heard::Refused(_) => {}
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Two networks with a cable between them; the first is the shell's own. `$1` and `$2` are run in them.
const TWO_MACHINES: &str = r#"
set -e
ip link set lo up
unshare --net sleep 120 & other=$!
for _ in $(seq 200); do
    [ "$(readlink /proc/$other/ns/net)" != "$(readlink /proc/self/ns/net)" ] && break
    sleep 0.02
done
ip link add here type veth peer name there netns $other
ip addr add 10.77.0.1/24 dev here
ip link set here up
nsenter --target $other --net ip addr add 10.77.0.2/24 dev there
nsenter --target $other --net ip link set there up
nsenter --target $other --net ip link set lo up
nsenter --target $other --net sh -c "$2" & watching=$!
sh -c "$1"
wait $watching
kill $other
"#;

/// Networks, processes and what lies below /proc of their own: with its first process everything ends.
const APART: [&str; 7] = [
    "--user",
    "--map-root-user",
    "--net",
    "--pid",
    "--fork",
    "--mount-proc",
    "--kill-child",
];

/// Why no networks can be made here, if none can.
fn no_networks() -> Option<String> {
    let probe = "ip link set lo up && unshare --net true && command -v nsenter";
    let made = Command::new("unshare")
        .args(APART)
        .args(["sh", "-c", probe])
        .output();
    match made {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).into_owned()),
        Err(error) => Some(error.to_string()),
    }
}

#[test]
fn an_operator_on_another_machine_sees_the_session_and_is_heard() {
    if let Some(why) = no_networks() {
        println!("SKIPPED: this system lets nobody make networks of their own: {why}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let configuration = |peer: &str| {
        let path = folder.path().join(format!("{peer}.cfg"));
        let text = format!(
            "[ports]\nIPv6 = disable\n[multicast]\nResolveScope = machine\nMachineAddresses = {{127.0.0.1}}\n\
             [lab]\nKnownPeers = {{127.0.0.1, {peer}}}\n[log]\nlevel = -2\n"
        );
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let session = format!(
        "LSLAPICFG={} RAZVILKA_TEST_MACHINE=1 {} --exact the_machine_with_the_session --nocapture",
        configuration("10.77.0.2"),
        std::env::current_exe().unwrap().display()
    );
    let operator = format!(
        "(echo pause; sleep 90) | LSLAPICFG={} {} operator --json --seconds 90 --control-id operator-2",
        configuration("10.77.0.1"),
        env!("CARGO_BIN_EXE_razvilka")
    );
    let mut machines = Command::new("unshare")
        .args(APART)
        .args(["sh", "-c", TWO_MACHINES, "sh", &session, &operator])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut told, mut heard, mut seen) = (String::new(), false, None);
    for line in BufReader::new(machines.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        heard |= line.contains("HEARD pause");
        if let Ok(known) = serde_json::from_str::<serde_json::Value>(&line)
            && known["eeg_columns"].as_u64() > Some(0)
            && known["fork"] == 3
        {
            seen = Some(known);
        }
        told.push_str(&line);
        told.push('\n');
        if heard && seen.is_some() {
            break;
        }
    }
    machines.kill().unwrap();
    machines.wait().unwrap();
    assert!(heard, "{told}");
    let seen = seen.unwrap_or_else(|| panic!("{told}"));
    assert_eq!(seen["session"], "elsewhere");
    assert_eq!(seen["text"], "Жила-была лиса");
    assert_eq!(seen["posterior"], serde_json::json!([0.25, 0.75]));
    assert_eq!(seen["phase"], "open");
    assert_eq!(seen["eeg_channels"], 2);
}
