//! One thread per stream: looks for it, follows it, looks for it again when it goes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::columns::Columns;
use super::live::Live;
use super::spectra::Spectra;
use crate::engine::eyes;
use crate::engine::telemetry::{ForkNow, Named, Page, Status};
use crate::source::lsl::{LslMarkers, LslSamples, Network};
use crate::source::pins::Pins;
use crate::source::unit::microvolts_of;
use crate::source::{MarkerSource, SampleSource, SourceError};

/// How long one look for a stream takes.
const LOOK: Duration = Duration::from_secs(1);
/// How long a stream may take to answer once it was found.
const OPEN: Duration = Duration::from_secs(3);
/// Rest between two looks.
const REST: Duration = Duration::from_millis(300);
/// Rest between two pulls of a sample stream: nobody sees more than the pictures of a second, and waking up for every sample costs more than
/// all that is done with it.
const NAP: Duration = Duration::from_millis(15);
/// How long one pull of words waits; bounds how late an end is noticed.
const PULL_WAIT: Duration = Duration::from_millis(100);
/// Samples taken at once.
const AT_ONCE: usize = 64;
/// How often a spectrum is made.
const SPECTRUM_EVERY: Duration = Duration::from_millis(500);

/// What a thread needs.
#[derive(Clone)]
pub(super) struct Following {
    pub(super) network: Network,
    pub(super) live: Arc<Live>,
    /// Raised when this session is followed no more.
    pub(super) over: Arc<AtomicBool>,
    /// Raised when the operator goes.
    pub(super) closed: Arc<AtomicBool>,
}

impl Following {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed) || self.closed.load(Ordering::Relaxed)
    }

    fn rest(&self) {
        std::thread::sleep(REST);
    }

    fn spawn(&self, name: &str, work: impl FnOnce(Self) + Send + 'static) -> std::io::Result<()> {
        let following = self.clone();
        let thread = std::thread::Builder::new().name(name.into());
        thread.spawn(move || work(following)).map(drop)
    }

    /// Follows the words of a session until they end; then the session is over.
    pub(super) fn page(&self, pins: &Pins) -> Result<(), SourceError> {
        let stream = self.network.resolve(pins, LOOK)?;
        let mut source = LslMarkers::open(&stream, OPEN)?;
        let mut followed = (false, false);
        while !self.is_over() {
            let Some((_, text)) = source.pull(PULL_WAIT)? else {
                continue;
            };
            match Page::read(&text) {
                Ok(page) => {
                    self.follow_devices(&page, &mut followed);
                    let page = Arc::new(page);
                    self.live.hear(|now| now.page = Some(page));
                    self.live.trouble("");
                }
                Err(error) => self.live.trouble(&error.to_string()),
            }
        }
        Ok(())
    }

    /// The page says which amplifier and tracker the session uses: they are followed from the first page that does. A session changes neither,
    /// and a page that says so would have a thread for each of its words.
    fn follow_devices(&self, page: &Page, followed: &mut (bool, bool)) {
        if let Some(named) = page.eeg.clone().filter(|_| !followed.0) {
            followed.0 = true;
            let begun = self.spawn("operator eeg", move |this| {
                this.again(|this| this.eeg(&named));
            });
            self.began(begun);
        }
        if let Some(named) = page.gaze.clone().filter(|_| !followed.1) {
            followed.1 = true;
            let page = page.clone();
            let begun = self.spawn("operator gaze", move |this| {
                this.again(|this| this.gaze(&named, &page));
            });
            self.began(begun);
        }
    }

    fn began(&self, begun: std::io::Result<()>) {
        if let Err(error) = begun {
            self.live.trouble(&error.to_string());
        }
    }

    /// Follows the numbers of a session.
    pub(super) fn numbers(
        &self,
        name: &str,
        pins: Pins,
        take: impl Fn(&Live, &[String], &[f32]) + Send + 'static,
    ) -> std::io::Result<()> {
        self.spawn(name, move |this| {
            this.again(|this| {
                let mut source = this.samples(&pins)?;
                let labels = source.spec().labels.clone();
                let channels = labels.len().max(1);
                let (mut data, mut stamps) = (vec![0.0; AT_ONCE * channels], [0.0; AT_ONCE]);
                while !this.is_over() {
                    let count = source.pull(&mut data, &mut stamps, PULL_WAIT)?;
                    // Of what waited, only the newest still holds.
                    if let Some(newest) = data.chunks_exact(channels).take(count).next_back() {
                        take(&this.live, &labels, newest);
                    }
                }
                Ok(())
            });
        })
    }

    /// Looks and follows until the session is over.
    fn again(&self, follow: impl Fn(&Self) -> Result<(), SourceError>) {
        while !self.is_over() {
            match follow(self) {
                Ok(()) => {}
                Err(SourceError::NotFound { .. } | SourceError::Lost { .. }) => {}
                Err(error) => self.live.trouble(&error.to_string()),
            }
            self.rest();
        }
    }

    fn samples(&self, pins: &Pins) -> Result<LslSamples, SourceError> {
        let stream = self.network.resolve(pins, LOOK)?;
        LslSamples::open(&stream, OPEN)
    }

    fn eeg(&self, named: &Named) -> Result<(), SourceError> {
        let mut source = self.samples(&pins_of(named))?;
        let spec = source.spec().clone();
        let channels = spec.labels.len();
        let microvolts = microvolts_of(&spec.units, channels);
        let mut spectra = Spectra::new(spec.rate_hz, &microvolts);
        {
            let mut brain = self.live.brain();
            brain.labels = spec.labels.clone().into();
            brain.rate_hz = spec.rate_hz;
            brain.columns = Some(Columns::new(spec.rate_hz, &microvolts));
            brain.opened += 1;
        }
        let (mut data, mut stamps) = (vec![0.0; AT_ONCE * channels], [0.0; AT_ONCE]);
        let mut made = Instant::now();
        while !self.is_over() {
            let count = source.pull(&mut data, &mut stamps, PULL_WAIT)?;
            let rows = || data.chunks_exact(channels).zip(&stamps).take(count);
            {
                let mut brain = self.live.brain();
                if let Some(columns) = &mut brain.columns {
                    rows().for_each(|(sample, stamp)| columns.push(*stamp, sample));
                }
            }
            if let Some(spectra) = &mut spectra {
                rows().for_each(|(sample, _)| spectra.push(sample));
                if made.elapsed() >= SPECTRUM_EVERY {
                    made = Instant::now();
                    let chosen = self.live.brain().chosen;
                    let spectrum = spectra.of(chosen);
                    self.live.brain().spectrum = spectrum.into();
                }
            }
            if count < AT_ONCE {
                std::thread::sleep(NAP);
            }
        }
        Ok(())
    }

    fn gaze(&self, named: &Named, page: &Page) -> Result<(), SourceError> {
        let mut source = self.samples(&pins_of(named))?;
        let section = page.gaze_read.clone().unwrap_or_default();
        let reading = eyes::choose(&section, &page.screen, source.spec())?.reading;
        let channels = source.spec().labels.len();
        let (mut data, mut stamps) = (vec![0.0; AT_ONCE * channels], [0.0; AT_ONCE]);
        while !self.is_over() {
            let count = source.pull(&mut data, &mut stamps, PULL_WAIT)?;
            if let Some(newest) = data.chunks_exact(channels).take(count).next_back() {
                let place = reading.raw(newest).mean();
                let place = place.map(|(x, y)| reading.degrees(x, y));
                self.live.eye().trail.push(Instant::now(), place);
            }
            if count < AT_ONCE {
                std::thread::sleep(NAP);
            }
        }
        Ok(())
    }
}

/// Takes a sample of `RazvilkaFork`.
pub(super) fn take_fork(live: &Live, _: &[String], sample: &[f32]) {
    let fork = ForkNow::of(sample);
    live.hear(|now| now.fork = fork);
}

/// Takes a sample of `RazvilkaStatus`.
pub(super) fn take_status(live: &Live, labels: &[String], sample: &[f32]) {
    let status = Arc::new(Status::of(labels, sample));
    live.hear(|now| now.status = Some(status));
}

/// Takes a sample of `RazvilkaState`.
pub(super) fn take_state(live: &Live, labels: &[String], sample: &[f32]) {
    let known = labels.iter().zip(sample).filter(|(_, v)| v.is_finite());
    let state = Arc::new(known.map(|(label, v)| (label.clone(), *v)).collect());
    live.hear(|now| now.state = state);
}

/// Pins that hold a stream to everything that was said of it.
fn pins_of(named: &Named) -> Pins {
    let said = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Pins {
        name: said(&named.name),
        kind: said(&named.kind),
        source_id: said(&named.source_id),
        hostname: said(&named.hostname),
        ..Pins::default()
    }
}
