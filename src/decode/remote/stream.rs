//! Tokens behind a place, over as many requests as it takes.

use super::super::error::DecodeError;
use super::flight::{Flight, News};
use super::ground::Ground;
use super::line::Line;
use super::wire::{Finish, How, Said};

/// The request that is under way, if any. Dropping it breaks it off.
#[derive(Debug, Default)]
pub(super) struct Stream(Option<Flight>);

/// What has come.
pub(super) enum Heard {
    Said(Said),
    /// The answer is over; more would be asked for.
    Over(Finish),
}

impl Stream {
    /// What has come behind the ground and a branch of it; `None` when nothing has. Asks where nothing is under way, and again
    /// where an answer broke off. Whatever else happens is told.
    ///
    /// # Errors
    /// [`DecodeError`] when the tokens cannot be had.
    pub(super) fn next(
        &mut self,
        ground: &Ground<'_>,
        branch: &Line,
        how: impl Fn() -> How,
        told: &mut Vec<String>,
    ) -> Result<Option<Heard>, DecodeError> {
        loop {
            let Some(flight) = &mut self.0 else {
                self.0 = ground.ask(branch, how())?;
                if self.0.is_none() {
                    return Ok(None);
                }
                continue;
            };
            match flight.poll() {
                None => {
                    if let Some(silence) = flight.silence() {
                        told.push(format!(
                            "{} is slow: nothing for {:.1} s",
                            ground.server.address(),
                            silence.as_secs_f64()
                        ));
                    }
                    return Ok(None);
                }
                Some(News::Said(said)) => return Ok(Some(Heard::Said(said))),
                Some(News::Again(why)) => {
                    told.push(format!(
                        "asked again, because an answer did not come: {why}"
                    ));
                }
                Some(News::Cut) => {
                    self.stop();
                    told.push(
                        "an answer broke off: what had come is kept, the rest is asked for".into(),
                    );
                }
                Some(News::Over(finish)) => {
                    self.stop();
                    return Ok(Some(Heard::Over(finish)));
                }
                Some(News::Failed(error)) => {
                    self.stop();
                    return Err(error);
                }
            }
        }
    }

    /// Breaks off what is under way; the next question asks anew.
    pub(super) fn stop(&mut self) {
        self.0 = None;
    }
}
