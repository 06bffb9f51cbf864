//! The offset between a source's clock and ours: measured by a thread beside, read without waiting.
//!
//! Probes as in NTP and liblsl (`time_receiver.cpp`): eight UDP exchanges, 64 ms apart; the one with the shortest round
//! trip gives the offset, half its round trip bounds the error. A burst takes 0.64 s, so it never runs on the thread
//! that pulls.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use labstream_proto::timesync::{self, Burst};

use super::clock as lsl_now;
use crate::source::ClockOffset;

/// Exchanges per burst.
const PROBES: i32 = 8;
/// Answers a burst needs to count.
const PROBES_MIN: usize = 6;
/// From one probe to the next.
const PROBE_EVERY: Duration = Duration::from_millis(64);
/// How long the last probe's answer is awaited.
const LAST_ANSWER: Duration = Duration::from_millis(128);
/// Pause between bursts. A drifting oscillator (50 ppm) moves 0.1 ms in that time.
const BURST_EVERY: Duration = Duration::from_secs(2);
/// How often the thread looks whether it should stop.
const LOOK: Duration = Duration::from_millis(50);

/// One measurement with its error bound.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Measured {
    pub(super) offset: ClockOffset,
    /// Largest error of the offset: half the best round trip, seconds.
    pub(super) uncertainty_s: f64,
}

/// The latest measurement, from one writer to any number of readers, without locks.
///
/// Two slots take turns. While `version` is v, the writer fills slot (v + 1) % 2 and then announces v + 1, so slot v % 2
/// is whole for as long as `version` stays v: a reader repeats only if a measurement was announced while it read.
#[derive(Debug, Default)]
pub(super) struct Latest {
    /// Measurements announced so far; 0 means none.
    version: AtomicU64,
    slots: [[AtomicU64; 3]; 2],
}

impl Latest {
    /// Announces a measurement. Only one thread may call this.
    fn announce(&self, measured: Measured) {
        let next = self.version.load(SeqCst) + 1;
        let [even, odd] = &self.slots;
        let slot = if next.is_multiple_of(2) { even } else { odd };
        let words = [
            measured.offset.at_s,
            measured.offset.offset_s,
            measured.uncertainty_s,
        ];
        for (cell, word) in slot.iter().zip(words) {
            cell.store(word.to_bits(), SeqCst);
        }
        self.version.store(next, SeqCst);
    }

    /// The latest measurement, `None` before the first. Wait-free but for a measurement announced meanwhile.
    pub(super) fn get(&self) -> Option<Measured> {
        loop {
            let version = self.version.load(SeqCst);
            if version == 0 {
                return None;
            }
            let [even, odd] = &self.slots;
            let slot = if version.is_multiple_of(2) { even } else { odd };
            let [at_s, offset_s, uncertainty_s] =
                slot.each_ref().map(|w| f64::from_bits(w.load(SeqCst)));
            if self.version.load(SeqCst) == version {
                return Some(Measured {
                    offset: ClockOffset { at_s, offset_s },
                    uncertainty_s,
                });
            }
        }
    }
}

/// A thread that keeps the offset to one source fresh; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct OffsetProbe {
    latest: Arc<Latest>,
    stop: Arc<AtomicBool>,
}

impl OffsetProbe {
    /// Starts measuring against the source's UDP service. Without a service address the offset stays unknown.
    pub(super) fn start(service: Option<SocketAddr>) -> std::io::Result<Self> {
        let probe = Self {
            latest: Arc::default(),
            stop: Arc::default(),
        };
        if let Some(service) = service {
            let any: IpAddr = if service.is_ipv4() {
                Ipv4Addr::UNSPECIFIED.into()
            } else {
                Ipv6Addr::UNSPECIFIED.into()
            };
            let socket = UdpSocket::bind((any, 0))?;
            // Connected: answers of anybody else are dropped by the kernel.
            socket.connect(service)?;
            let (latest, stop) = (Arc::clone(&probe.latest), Arc::clone(&probe.stop));
            thread::Builder::new()
                .name("lsl-clock".into())
                .spawn(move || keep_measuring(&socket, &latest, &stop))?;
        }
        Ok(probe)
    }

    pub(super) fn latest(&self) -> Option<Measured> {
        self.latest.get()
    }
}

impl Drop for OffsetProbe {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
    }
}

fn keep_measuring(socket: &UdpSocket, latest: &Latest, stop: &AtomicBool) {
    let mut wave = 0;
    while !stop.load(SeqCst) {
        wave = (wave + 1) % i32::MAX;
        if let Some(measured) = measure(socket, wave, stop) {
            latest.announce(measured);
        }
        let resume = Instant::now() + BURST_EVERY;
        while !stop.load(SeqCst) && Instant::now() < resume {
            thread::sleep(LOOK);
        }
    }
}

/// One burst. `None` when too few answers came: the previous value stays, a guess never replaces it.
fn measure(socket: &UdpSocket, wave: i32, stop: &AtomicBool) -> Option<Measured> {
    let mut burst = Burst::new(wave);
    for probe in 1..=PROBES {
        if stop.load(SeqCst) {
            return None;
        }
        // A refused probe (the source has gone) is a missing answer.
        let _ = socket.send(&timesync::build_probe(wave, lsl_now()));
        let slot = if probe == PROBES {
            LAST_ANSWER
        } else {
            PROBE_EVERY
        };
        collect(socket, &mut burst, Instant::now() + slot);
    }
    let offset_s = burst.time_offset()?;
    let uncertainty_s = burst.uncertainty()?.max(0.0) / 2.0;
    let sound = burst.accepted() >= PROBES_MIN && offset_s.is_finite() && uncertainty_s.is_finite();
    sound.then(|| Measured {
        offset: ClockOffset {
            at_s: lsl_now(),
            offset_s,
        },
        uncertainty_s,
    })
}

fn collect(socket: &UdpSocket, burst: &mut Burst, until: Instant) {
    let mut datagram = [0_u8; 256];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || socket.set_read_timeout(Some(left)).is_err() {
            return;
        }
        match socket.recv(&mut datagram) {
            Ok(n) => {
                let arrived_s = lsl_now();
                let answer = datagram.get(..n).and_then(timesync::parse_answer);
                if let Some(answer) = answer.filter(|a| {
                    // Our own stamp must come back, and theirs must be numbers.
                    a.t1.is_finite()
                        && a.t2.is_finite()
                        && (0.0..10.0).contains(&(arrived_s - a.t0))
                }) {
                    burst.accept(&answer, arrived_s);
                }
            }
            // Refused, because the source has gone: do not spin until the slot is over.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                thread::sleep(left);
            }
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(value: f64) -> Measured {
        Measured {
            offset: ClockOffset {
                at_s: value,
                offset_s: value,
            },
            uncertainty_s: value,
        }
    }

    #[test]
    fn nothing_is_read_before_the_first_measurement() {
        let latest = Latest::default();
        assert_eq!(latest.get(), None);
        latest.announce(measured(1.0));
        latest.announce(measured(2.0));
        assert_eq!(latest.get(), Some(measured(2.0)));
    }

    #[test]
    fn readers_never_see_half_of_a_measurement_nor_an_older_one() {
        let latest = Latest::default();
        latest.announce(measured(0.0));
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let mut last = 0.0;
                    while last < 200_000.0 {
                        let got = latest.get().unwrap();
                        assert_eq!(got, measured(got.uncertainty_s), "torn");
                        assert!(got.uncertainty_s >= last, "went back");
                        last = got.uncertainty_s;
                    }
                });
            }
            for k in 1..=200_000 {
                latest.announce(measured(f64::from(k)));
            }
        });
    }

    #[test]
    fn a_source_whose_clock_is_ahead_gives_a_negative_offset() {
        let service = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = service.local_addr().unwrap();
        thread::spawn(move || {
            let mut datagram = [0; 256];
            while let Ok((n, from)) = service.recv_from(&mut datagram) {
                let t = lsl_now() + 1000.0;
                if let Some(probe) = timesync::parse_probe(&datagram[..n]) {
                    let answer = timesync::build_answer(probe.wave_id, probe.t0, t, t);
                    service.send_to(&answer, from).unwrap();
                }
            }
        });
        let probe = OffsetProbe::start(Some(address)).unwrap();
        let until = Instant::now() + Duration::from_secs(20);
        let got = loop {
            if let Some(got) = probe.latest() {
                break got;
            }
            assert!(Instant::now() < until, "no offset was measured");
            thread::sleep(Duration::from_millis(20));
        };
        // The true offset is exactly -1000 s; the measurement states its own error bound.
        let error_s = (got.offset.offset_s + 1000.0).abs();
        assert!(error_s <= got.uncertainty_s + 1e-6, "{got:?}");
    }
}
