//! `razvilka choices consent`: whether anything may be remembered of a person.

use std::io::Write;

use super::{Whose, unwritten};
use crate::cli::exit::{Exit, Failure};
use crate::session::person::{
    CONSENT_WORDING, CONSENT_WORDING_VERSION, Person, PersonRecord, RETENTION_DAYS, place_of_person,
};

/// Switch learning from a person's choices on or off, or see what holds
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Args {
    /// Without it, what holds now is shown
    #[arg(value_enum)]
    learning: Option<Learning>,
    #[command(flatten)]
    whose: Whose,
    /// How long choices are kept, days; 365 when learning is switched on for the first time, else as before
    #[arg(long, value_name = "N")]
    retention_days: Option<u32>,
    /// Print what holds as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Learning {
    /// The person agrees to the words that are printed
    On,
    /// Nothing is remembered any more; what was remembered stays until it is forgotten
    Off,
}

pub(super) fn run(args: &Args, out: &mut dyn Write) -> Result<(), Failure> {
    if let Some(days) = args.retention_days {
        RETENTION_DAYS
            .check(f64::from(days))
            .map_err(|error| Failure::new(Exit::Usage, error))?;
    }
    let place = place_of_person(&args.whose.person)?;
    let person = match args.learning {
        None => Person::open(&place)?,
        Some(learning) => {
            let mut person = match learning {
                Learning::On => Person::open_or_create(&place)?,
                Learning::Off => Person::open(&place)?,
            }
            .lock()?;
            let before = person.record().consent.last();
            let days = args
                .retention_days
                .or_else(|| before.map(|consent| consent.retention_days));
            let days = days.unwrap_or(RETENTION_DAYS.default as u32);
            person.say(learning == Learning::On, days)?;
            if learning == Learning::On && !args.json {
                println!(
                    "Agreed to, in the words of version {CONSENT_WORDING_VERSION}:\n\n{CONSENT_WORDING}\n"
                );
            }
            person
        }
    };
    let said = if args.json {
        let record = person.record();
        let json = serde_json::json!({
            "folder": person.path(),
            "learning": record.agreed().is_some(),
            "consent": record.consent,
        });
        json.to_string()
    } else {
        words(&person)
    };
    writeln!(out, "{said}").map_err(unwritten)
}

fn words(person: &Person) -> String {
    let PersonRecord { consent, .. } = person.record();
    let since = consent.last().map_or_else(String::new, |last| {
        format!(
            " (said {}, wording {}, choices kept {} days)",
            last.at_utc, last.wording, last.retention_days
        )
    });
    let state = match person.record().off_because() {
        None => "learning is on".to_owned(),
        Some(reason) => format!("nothing is remembered: {reason}"),
    };
    format!("{state}{since}; {}", person.path().display())
}
