//! How old is a sample when it has been pulled? Outlet to inlet over LSL on 127.0.0.1, one sample per push.
//!
//! `cargo bench --bench lsl_latency -- [SECONDS] [CHANNELS] [RATE_HZ]` (30 s of 64 channels at 1 kHz)
//!
//! Open loop: samples leave by a fixed schedule, whether or not the earlier ones were pulled, so a stall counts for every
//! sample it delays. Two ages: from the stamp taken right before the push (the transport), and from the scheduled moment
//! (the transport and the sender's own waking up). Both threads run in this process; nothing is pinned or prioritised
//! here, so the tail is the machine's as much as the transport's: quote it with the load.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hdrhistogram::Histogram;
use razvilka::source::lsl::{LslSampleOutlet, LslSamples, Network, clock};
use razvilka::source::pins::Pins;
use razvilka::source::{Format, SampleSink, SampleSource, StreamSpec};

/// Samples at the start that are not counted: connections, caches, page faults.
const WARM_UP: usize = 500;
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> Result<()> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test` runs this without `--bench`, to see that it works.
    let measure = given.iter().any(|a| a == "--bench");
    let mut numbers = given.iter().filter(|a| !a.starts_with("--"));
    let mut number = |name: &str, default: f64| match numbers.next() {
        Some(text) => text
            .parse()
            .with_context(|| format!("{name}: {text:?} is no number")),
        None => Ok(default),
    };
    let seconds = number("SECONDS", if measure { 30.0 } else { 1.0 })?;
    let channels = number("CHANNELS", 64.0)? as usize;
    let rate_hz = number("RATE_HZ", 1000.0)?;
    ensure!(
        (0.1..=3600.0).contains(&seconds),
        "SECONDS must lie in 0.1..=3600"
    );
    ensure!(
        (1.0..=50_000.0).contains(&rate_hz),
        "RATE_HZ must lie in 1..=50000"
    );
    let count = WARM_UP + (seconds * rate_hz) as usize;

    let network = Network::loopback_session(&format!("bench-{}", std::process::id()))?;
    let spec = StreamSpec {
        name: "Latency".into(),
        kind: "EEG".into(),
        source_id: "latency".into(),
        hostname: String::new(),
        uid: String::new(),
        rate_hz,
        format: Format::Float32,
        labels: vec![String::new(); channels],
        units: Vec::new(),
        xml: String::new(),
    };
    let mut outlet = LslSampleOutlet::new(network, &spec)?;
    let pins = Pins {
        name: Some(spec.name.clone()),
        ..Pins::default()
    };
    let stream = network.resolve(&pins, Duration::from_secs(1))?;
    let mut inlet = LslSamples::open(&stream, PATIENCE)?;
    ensure!(
        outlet.wait_for_consumers(PATIENCE),
        "the inlet was not registered"
    );

    let start = Instant::now() + Duration::from_millis(50);
    let start_s = clock() + (start - Instant::now()).as_secs_f64();
    let sender = thread::spawn(move || -> Result<LslSampleOutlet> {
        let row = vec![1.0_f32; channels];
        for k in 0..count {
            let due = start + Duration::from_secs_f64(k as f64 / rate_hz);
            thread::sleep(due.saturating_duration_since(Instant::now()));
            outlet.push(&row, &[clock()])?;
        }
        Ok(outlet)
    });

    let mut transport = Histogram::<u64>::new(3)?;
    let mut scheduled = Histogram::<u64>::new(3)?;
    let (mut values, mut stamps) = (vec![0.0; channels * 256], vec![0.0; 256]);
    let mut pulled = 0;
    while pulled < count {
        let n = inlet.pull(&mut values, &mut stamps, PATIENCE)?;
        let now_s = clock();
        ensure!(
            n > 0,
            "nothing came for {PATIENCE:?} after {pulled} of {count} samples"
        );
        for stamp in &stamps[..n] {
            if pulled >= WARM_UP {
                let due_s = start_s + pulled as f64 / rate_hz;
                transport.record(nanoseconds(now_s - stamp))?;
                scheduled.record(nanoseconds(now_s - due_s))?;
            }
            pulled += 1;
        }
    }
    drop(
        sender
            .join()
            .map_err(|_| anyhow::anyhow!("the sender panicked"))??,
    );

    println!(
        "{channels} channels of float32 at {rate_hz} Hz, one sample per push, {}",
        machine()
    );
    println!(
        "age of a sample when pulled, us          n      p50      p90      p99    p99.9      max"
    );
    row("since its stamp", &transport);
    row("since its scheduled moment", &scheduled);
    Ok(())
}

/// Clocks of two cores may differ by less than a reading: an age under zero is zero.
fn nanoseconds(age_s: f64) -> u64 {
    (age_s.max(0.0) * 1e9) as u64
}

fn row(name: &str, ages: &Histogram<u64>) {
    let us = |quantile| ages.value_at_quantile(quantile) as f64 / 1e3;
    println!(
        "  {name:30} {:9} {:8.1} {:8.1} {:8.1} {:8.1} {:8.1}",
        ages.len(),
        us(0.5),
        us(0.9),
        us(0.99),
        us(0.999),
        ages.max() as f64 / 1e3
    );
}

/// Processor, cores and load average: what a latency means nothing without.
fn machine() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo")
        .lines()
        .find_map(|line| {
            line.strip_prefix("model name")?
                .split_once(": ")
                .map(|(_, m)| m.to_owned())
        })
        .unwrap_or_else(|| "unknown processor".to_owned());
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or("?").to_owned();
    format!("{cpu}, {cores} cores, load {load}")
}
