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
    /// Listens to the window with this number on the display that `DISPLAY` names, and compares the clocks; takes some refreshes.
    ///
    /// # Errors
    /// [`NoNotices`] with what is missing.
    pub fn open(window: u32) -> Result<Self, NoNotices> {
        let (connection, _) = x11rb::connect(None)?;
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
