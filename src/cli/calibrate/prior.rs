//! Other people's recordings, or the prior that was made of them, for this person's montage.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use razvilka_calibration::{
    EegInput, Epochs, Montage, Others, PRIOR_RECORDINGS_MAX, Prior, PriorFile, Provenance,
    SourceFile,
};
use razvilka_dsp::eeg::EegSpec;

use super::common::{Common, Here, There};
use super::material::{Material, Wanted};
use super::people::{grouping_in_words, people_of, person_and_file};
use super::provenance::{provenance, source_file};
use super::{Args, say};
use crate::cli::exit::{Exit, Failure};
use crate::cli::recorded::{Recorded, failure};

/// Fewest targets, and non-targets, of a recording that is to be part of a prior.
pub(super) const CLASS_MIN: usize = 10;

/// What `--prior-from` names.
pub(super) enum Asked {
    /// Recordings of other people.
    Recordings(Vec<Theirs>),
    /// A prior made before.
    Kept(Box<PriorFile>, SourceFile),
}

/// One recording of somebody else.
pub(super) struct Theirs {
    file: PathBuf,
    person: usize,
    source: SourceFile,
}

/// A labelled recording of somebody else, read.
struct ReadIn {
    name: String,
    input: EegInput,
}

fn said(what: String) -> Failure {
    Failure::said(Exit::Source, what)
}

/// A prior was asked for, but there are no flashes to meet the person by.
pub(super) fn nobody_to_meet() -> Failure {
    said(
        "none of this person's recordings has a flash: a prior meets a person by 20 flashes or more, labelled or not. Record some, \
         or leave out --prior-from"
            .to_owned(),
    )
}

impl Asked {
    /// Looks at the files; `None` when none is named.
    ///
    /// # Errors
    /// [`Exit::Usage`] for too many files or a prior beside others, [`Exit::Source`] for a file that cannot be read, or that is
    /// this person's own.
    pub(super) fn read(typed: &[PathBuf], own: &Provenance) -> Result<Option<Self>, Failure> {
        if typed.is_empty() {
            return Ok(None);
        }
        let files: Vec<(Option<String>, PathBuf)> =
            typed.iter().map(|typed| person_and_file(typed)).collect();
        if let Some((_, kept)) = files.iter().find(|(_, file)| is_prior(file)) {
            if files.len() > 1 {
                return Err(Failure::said(
                    Exit::Usage,
                    format!(
                        "{} is a prior already, and is used alone. Make one of all recordings: razvilka prior FILES --out FILE",
                        kept.display()
                    ),
                ));
            }
            let file = PriorFile::load(kept).map_err(|e| failure(Exit::Source, e))?;
            for source in &file.provenance.sources {
                refuse_own(source, own, "the prior was made of it, too")?;
            }
            return Ok(Some(Self::Kept(Box::new(file), source_file(kept)?)));
        }
        let theirs = theirs(&files)?;
        for recording in &theirs {
            refuse_own(&recording.source, own, "--prior-from names it, too")?;
        }
        Ok(Some(Self::Recordings(theirs)))
    }

    /// The prior for the channels that are good here and there.
    ///
    /// # Errors
    /// [`Exit::Source`] when the recordings do not fit this person's.
    pub(super) fn others(
        &self,
        args: &Args,
        own: &Material,
        talk: &mut impl Write,
    ) -> Result<Others, Failure> {
        let here = Here {
            labels: &own.input.labels,
            usable: own.input.epochs.used(),
            whose: "this person's recording",
            channels_min: own.input.path.quality.min_good,
        };
        let unlabelled = Some(own.unlabelled.clone()).filter(|epochs| !epochs.is_empty());
        match self {
            Self::Kept(kept, file) => {
                check_rate(kept.montage.rate_hz, own.input.path.rate.get(), &file.name)?;
                check_path(&kept.path, &own.input.path, &file.name)?;
                let all = vec![true; kept.montage.labels.len()];
                let common = here.common(&[There {
                    name: &file.name,
                    labels: &kept.montage.labels,
                    usable: &all,
                }])?;
                common.say(&here, talk);
                // In the order of the prior's channels.
                let mut places = Vec::new();
                let kept_here: Vec<bool> = (0..kept.montage.labels.len())
                    .map(|channel| {
                        let pair = common.pairs(0).find(|(_, there)| *there == channel);
                        places.extend(pair.map(|(here, _)| here));
                        pair.is_some()
                    })
                    .collect();
                let prior = kept.prior.of_channels(&kept_here);
                say(
                    talk,
                    format_args!(
                        "prior {}: of {} people, {} recordings",
                        file.name, kept.prior.people, kept.prior.recordings
                    ),
                );
                Ok(Others {
                    prior: prior.map_err(|e| failure(Exit::Source, e))?,
                    places,
                    unlabelled,
                    recordings: kept.provenance.sources.clone(),
                    file: Some(file.clone()),
                })
            }
            Self::Recordings(theirs) => {
                let read = read_all(args, theirs, Some(own.input.path.rate.get()), talk)?;
                let common = here.common(&read.iter().map(ReadIn::there).collect::<Vec<_>>())?;
                common.say(&here, talk);
                Ok(Others {
                    prior: fit(&read, theirs, &common)?,
                    places: common.here,
                    unlabelled,
                    recordings: theirs.iter().map(|t| t.source.clone()).collect(),
                    file: None,
                })
            }
        }
    }
}

/// Makes a prior of labelled recordings alone, of the channels that are good in all of them.
///
/// # Errors
/// As [`Asked::read`] and [`Asked::others`].
pub(in crate::cli) fn make(
    args: &Args,
    typed: &[PathBuf],
    talk: &mut impl Write,
) -> Result<PriorFile, Failure> {
    let files: Vec<(Option<String>, PathBuf)> =
        typed.iter().map(|typed| person_and_file(typed)).collect();
    if let Some((_, kept)) = files.iter().find(|(_, file)| is_prior(file)) {
        return Err(Failure::said(
            Exit::Usage,
            format!(
                "{} is a prior already; a prior is made of recordings",
                kept.display()
            ),
        ));
    }
    let theirs = theirs(&files)?;
    let read = read_all(args, &theirs, None, talk)?;
    let Some(first) = read.first() else {
        return Err(Failure::said(
            Exit::Usage,
            "name the recordings that the prior is to be made of",
        ));
    };
    let here = Here {
        labels: &first.input.labels,
        usable: first.input.epochs.used(),
        whose: &first.name,
        channels_min: first.input.path.quality.min_good,
    };
    let common = here.common(&read.iter().map(ReadIn::there).collect::<Vec<_>>())?;
    common.say(&here, talk);
    let prior = fit(&read, &theirs, &common)?;
    let paths: Vec<PathBuf> = theirs.iter().map(|t| t.file.clone()).collect();
    Ok(PriorFile {
        provenance: provenance(&paths)?,
        montage: Montage {
            labels: common
                .here
                .iter()
                .map(|&place| first.input.labels[place].clone())
                .collect(),
            rate_hz: first.input.path.rate.get(),
        },
        path: narrowed(&first.input.path, common.here.len()),
        prior,
    })
}

/// The same path for fewer channels.
fn narrowed(path: &EegSpec, channels: usize) -> EegSpec {
    let mut narrowed = *path;
    narrowed.channels = channels;
    narrowed.quality.min_good = narrowed.quality.min_good.min(channels);
    narrowed
}

fn fit(read: &[ReadIn], theirs: &[Theirs], common: &Common) -> Result<Prior, Failure> {
    let epochs: Vec<Epochs> = read
        .iter()
        .zip(&common.there)
        .map(|(one, places)| one.input.epochs.channels_at(places))
        .collect::<Result<_, _>>()
        .map_err(|e| failure(Exit::Source, e))?;
    let people: Vec<usize> = theirs.iter().map(|t| t.person).collect();
    Prior::of_people(&epochs, &people).map_err(|e| failure(Exit::Source, e))
}

fn theirs(files: &[(Option<String>, PathBuf)]) -> Result<Vec<Theirs>, Failure> {
    if files.len() > PRIOR_RECORDINGS_MAX {
        return Err(Failure::said(
            Exit::Usage,
            format!(
                "{} recordings are named for the prior, {PRIOR_RECORDINGS_MAX} at most",
                files.len()
            ),
        ));
    }
    let people = people_of(files);
    let mut theirs: Vec<Theirs> = Vec::with_capacity(files.len());
    for ((_, file), person) in files.iter().zip(people) {
        let source = source_file(file)?;
        if let Some(twice) = theirs.iter().find(|t| t.source.sha256 == source.sha256) {
            return Err(said(format!(
                "{} and {} are the same recording. Name each once: twice it would count twice, and judge itself",
                twice.file.display(),
                file.display()
            )));
        }
        theirs.push(Theirs {
            file: file.clone(),
            person,
            source,
        });
    }
    Ok(theirs)
}

fn refuse_own(source: &SourceFile, own: &Provenance, why: &str) -> Result<(), Failure> {
    match own.sources.iter().find(|own| own.sha256 == source.sha256) {
        Some(own) => Err(said(format!(
            "{} is this person's own recording, and {why}: what is judged on it would have been fitted on it. Leave it out of one of the two",
            own.name
        ))),
        None => Ok(()),
    }
}

/// Whether this is a file that `razvilka prior` wrote, or at least no recording.
fn is_prior(file: &Path) -> bool {
    let mut first = [0; 1];
    File::open(file)
        .and_then(|mut opened| opened.read_exact(&mut first))
        .is_ok()
        && first == *b"{"
}

/// Reads the recordings; all must be of this rate, or of the first one's where none is given.
fn read_all(
    args: &Args,
    theirs: &[Theirs],
    mut rate_hz: Option<f64>,
    talk: &mut impl Write,
) -> Result<Vec<ReadIn>, Failure> {
    let mut read = Vec::with_capacity(theirs.len());
    for recording in theirs {
        say(
            talk,
            format_args!("reading {} for the prior", recording.file.display()),
        );
        let one = read_one(args, recording, rate_hz)?;
        rate_hz = rate_hz.or(Some(one.input.path.rate.get()));
        read.push(one);
    }
    let people: Vec<usize> = theirs.iter().map(|t| t.person).collect();
    say(talk, format_args!("prior: {}", grouping_in_words(&people)));
    Ok(read)
}

fn read_one(args: &Args, theirs: &Theirs, rate_hz: Option<f64>) -> Result<ReadIn, Failure> {
    let file = theirs.file.display();
    // The channels are matched by their labels afterwards.
    let mut of_file = args.clone();
    of_file.streams.channels.clear();
    let recorded = Recorded::open(&theirs.file, &of_file.streams)?;
    let flashes = recorded.flashes();
    if flashes.iter().all(|flash| flash.target.is_none()) {
        return Err(said(format!(
            "{file} has {} flashes, none of them with \"target\":0 or 1: a prior is made of labelled recordings. Leave it out",
            flashes.len()
        )));
    }
    let theirs_hz = recorded.eeg()?.spec.rate_hz;
    check_rate(theirs_hz, rate_hz.unwrap_or(theirs_hz), &theirs.source.name)?;
    let material = Material::read(&of_file, &[recorded], Wanted::Labelled, &mut io::sink())
        .map_err(|e| Failure::said(e.exit, format!("{file} for the prior: {e}")))?;
    let input = match material {
        Some(material) => material.input,
        None => return Err(said(format!("{file} has no flash with a label"))),
    };
    let targets = input.epochs.targets();
    let others = input.epochs.len() - targets;
    if targets.min(others) < CLASS_MIN {
        return Err(said(format!(
            "{file} has {targets} targets and {others} non-targets that can be used: a prior takes {CLASS_MIN} of both from each \
             recording. Leave it out"
        )));
    }
    Ok(ReadIn {
        name: theirs.source.name.clone(),
        input,
    })
}

impl ReadIn {
    fn there(&self) -> There<'_> {
        There {
            name: &self.name,
            labels: &self.input.labels,
            usable: self.input.epochs.used(),
        }
    }
}

fn check_rate(theirs_hz: f64, rate_hz: f64, name: &str) -> Result<(), Failure> {
    let of_rate = |rate_hz| Montage {
        labels: Vec::new(),
        rate_hz,
    };
    of_rate(rate_hz).check(&of_rate(theirs_hz)).map_err(|_| {
        said(format!(
            "{name} is at {theirs_hz} Hz, the others are at {rate_hz} Hz. A prior takes recordings of one rate: leave it out, or resample it"
        ))
    })
}

/// A kept prior's statistics are those of signals that went the same way.
fn check_path(kept: &EegSpec, own: &EegSpec, name: &str) -> Result<(), Failure> {
    if (kept.band, kept.notch, kept.reference, kept.epoch)
        == (own.band, own.notch, own.reference, own.epoch)
    {
        return Ok(());
    }
    let in_words = |spec: &EegSpec| {
        let band = spec.band.map_or_else(
            || "no band-pass".to_owned(),
            |b| {
                format!(
                    "{} to {} Hz of order {}",
                    b.low.get(),
                    b.high.get(),
                    b.order
                )
            },
        );
        let notch = spec
            .notch
            .map_or_else(String::new, |n| format!(", notch {} Hz", n.centre.get()));
        format!("{band}{notch}, epochs of {} s", spec.epoch.length.get())
    };
    Err(Failure::said(
        Exit::Usage,
        format!(
            "{name} was made with {}, this calibration is with {}. Say the same options, or make the prior anew",
            in_words(kept),
            in_words(own)
        ),
    ))
}
