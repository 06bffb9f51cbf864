//! The second connection to an X server, which listens to when a window's frames are presented.
//!
//! X Present extension, version 1.0 (`presentproto.txt`, Keith Packard): `PresentSelectInput`, `PresentCompleteNotify`, `PresentNotifyMSC`.

use std::time::Duration;

use razvilka_dsp::units::MonoTime;
use x11rb::connection::{Connection, RequestConnection};
use x11rb::protocol::Event;
use x11rb::protocol::present::{self, CompleteKind, CompleteMode, CompleteNotifyEvent, EventMask};
use x11rb::rust_connection::RustConnection;

use super::clock::{OtherClock, Pairing};
use super::{Notice, Notices, Way};
use crate::rt;

/// Questions by which the clocks are compared, and how long each may take, nanoseconds: two refreshes of a display of 10 Hz.
const QUESTIONS: u32 = 5;
const ANSWER_NS_MAX: u64 = 200_000_000;
const LOOK: Duration = Duration::from_micros(100);

/// Why there are no notices.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoNotices {
    /// No second connection.
    #[error("no second connection to the X server: {0}")]
    Connect(#[from] x11rb::errors::ConnectError),
    /// It went.
    #[error("the second connection to the X server failed: {0}")]
    Connection(#[from] x11rb::errors::ConnectionError),
    /// It answered with an error.
    #[error("the X server refused: {0}")]
    Reply(#[from] x11rb::errors::ReplyError),
    /// It has no numbers left.
    #[error("the X server gives no more identities: {0}")]
    Identity(#[from] x11rb::errors::ReplyOrIdError),
    /// It has no Present.
    #[error("the X server has no Present extension")]
    NoPresent,
    /// It has, and does not answer.
    #[error("the X server's Present extension does not answer")]
    Silent,
    /// It counts otherwise.
    #[error("the X server's times are of no use: {0}")]
    Clock(#[from] OtherClock),
}

/// Listens to one window.
#[derive(Debug)]
pub struct X11Notices {
    connection: RustConnection,
    /// Least time from a refresh to our reading of it, when the clocks were compared, nanoseconds.
    read_ns: u64,
    failed: bool,
}

impl X11Notices {
    /// Listens to the window with this number on this display, or on the one that `DISPLAY` names, and compares the clocks; takes some
    /// refreshes.
    ///
    /// # Errors
    /// [`NoNotices`] with what is missing.
    pub fn open(display: Option<&str>, window: u32) -> Result<Self, NoNotices> {
        let (connection, _) = RustConnection::connect(display)?;
        connection
            .extension_information(present::X11_EXTENSION_NAME)?
            .ok_or(NoNotices::NoPresent)?;
        present::query_version(&connection, 1, 0)?.reply()?;
        let id = connection.generate_id()?;
        present::select_input(&connection, id, window, EventMask::COMPLETE_NOTIFY)?.check()?;
        let mut notices = Self {
            connection,
            read_ns: 0,
            failed: false,
        };
        notices.read_ns = notices.compare(window)?;
        Ok(notices)
    }

    /// Least time from a refresh to our reading of it, when the clocks were compared, seconds.
    #[must_use]
    pub fn read_s(&self) -> f64 {
        self.read_ns as f64 * 1e-9
    }

    fn compare(&self, window: u32) -> Result<u64, NoNotices> {
        let mut pairing = Pairing::default();
        for question in 0..QUESTIONS {
            let sent = rt::now();
            // Any refresh will do: the next one, where the server waits for one.
            present::notify_msc(&self.connection, window, question, 0, 1, 0)?;
            self.connection.flush()?;
            let answer = loop {
                match self.connection.poll_for_event()? {
                    Some(Event::PresentCompleteNotify(event))
                        if event.kind == CompleteKind::NOTIFY_MSC && event.serial == question =>
                    {
                        break event;
                    }
                    Some(_) => {}
                    None if rt::now().nanos_since(sent) > ANSWER_NS_MAX => {
                        return Err(NoNotices::Silent);
                    }
                    None => std::thread::sleep(LOOK),
                }
            };
            pairing.answer(sent, rt::now(), answer.ust);
        }
        Ok(pairing.same_clock()?)
    }
}

fn notice(event: &CompleteNotifyEvent) -> Option<Notice> {
    let way = match event.mode {
        CompleteMode::FLIP => Way::Flipped,
        CompleteMode::COPY | CompleteMode::SUBOPTIMAL_COPY => Way::Copied,
        CompleteMode::SKIP => Way::Skipped,
        _ => return None,
    };
    (event.kind == CompleteKind::PIXMAP).then(|| Notice {
        serial: event.serial,
        at: MonoTime::from_nanos(event.ust.saturating_mul(1_000)),
        refresh: event.msc,
        way,
    })
}

impl Notices for X11Notices {
    fn poll(&mut self) -> Option<Notice> {
        while !self.failed {
            match self.connection.poll_for_event() {
                Ok(Some(Event::PresentCompleteNotify(event))) => {
                    if let Some(notice) = notice(&event) {
                        return Some(notice);
                    }
                }
                Ok(Some(_)) => {}
                Ok(None) => return None,
                // The server has gone, and the window with it.
                Err(_) => self.failed = true,
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Child, Command, Stdio};

    use x11rb::protocol::xproto::{ConnectionExt, CreateWindowAux, WindowClass};
    use x11rb::wrapper::ConnectionExt as _;

    use super::*;
    use crate::view::present::settling::{Frame, Settling};
    use crate::view::surface::{StampQuality, What};

    /// An X server without a screen, for as long as it lives.
    struct Server(Child);

    impl Drop for Server {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    /// Starts one and gives its display; `None` where there is none to start.
    fn server() -> Option<(Server, String)> {
        let mut child = Command::new("Xvfb")
            .args([
                "-displayfd",
                "1",
                "-screen",
                "0",
                "320x200x24",
                "-nolisten",
                "tcp",
            ])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let told = child.stdout.take()?;
        let server = Server(child);
        let mut line = String::new();
        BufReader::new(told).read_line(&mut line).ok()?;
        let number: u32 = line.trim().parse().ok()?;
        Some((server, format!(":{number}")))
    }

    #[test]
    fn a_second_connection_is_told_when_another_ones_frames_are_presented() {
        let Some((_server, display)) = server() else {
            eprintln!("SKIPPED: there is no Xvfb that starts here");
            return;
        };
        let (drawing, screen) = RustConnection::connect(Some(&display)).unwrap();
        let root = &drawing.setup().roots[screen];
        let window = drawing.generate_id().unwrap();
        let aux = CreateWindowAux::new();
        let (depth, class) = (root.root_depth, WindowClass::INPUT_OUTPUT);
        drawing
            .create_window(depth, window, root.root, 0, 0, 64, 64, 0, class, 0, &aux)
            .unwrap();
        drawing.map_window(window).unwrap();
        let pixmap = drawing.generate_id().unwrap();
        drawing
            .create_pixmap(depth, pixmap, window, 64, 64)
            .unwrap();
        drawing.sync().unwrap();
        // The server counts time as we do: it is on this machine.
        let mut notices = X11Notices::open(Some(&display), window).unwrap();
        let mut settling = Settling::default();
        let mut presented = Vec::new();
        let mut refresh = 0;
        for frame in 0..20_u32 {
            settling.begin(rt::now());
            let called = rt::now();
            // As a driver does: for the refresh after the last one that it was told of.
            present::pixmap(
                &drawing,
                window,
                pixmap,
                70 + frame,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                refresh + 1,
                0,
                0,
                &[],
            )
            .unwrap();
            drawing.flush().unwrap();
            let frame_of = Frame {
                called,
                returned: rt::now(),
                timed: false,
            };
            settling.handed_over(frame_of, [What::Flash(u64::from(frame))]);
            let begun = rt::now();
            let notice = loop {
                if let Some(notice) = notices.poll() {
                    break notice;
                }
                assert!(rt::now().nanos_since(begun) < 5_000_000_000, "no notice");
                std::thread::sleep(LOOK);
            };
            assert_eq!((notice.serial, notice.way), (70 + frame, Way::Copied));
            assert!(notice.refresh > refresh, "{notice:?} after {refresh}");
            refresh = notice.refresh;
            settling.notice(notice, rt::now());
            for report in settling.settled(rt::now()) {
                presented.push((report, called, rt::now()));
            }
        }
        assert_eq!(presented.len(), 20);
        // The first one may come at once, with the time of a refresh before it was drawn: then it is not believed.
        for (report, called, read) in &presented[2..] {
            assert_eq!(report.quality, StampQuality::PresentCopy);
            assert!(report.at >= *called && report.at <= *read, "{report:?}");
        }
        assert!(
            X11Notices::open(Some(&display), 12_345).is_err(),
            "no such window"
        );
    }
}
