//! How much a prior from other people saves: `cargo bench --bench short_calibration`.
//!
//! Leave one person out: the prior comes from both recordings of the others, the person's own training recording is cut
//! after a number of letters (240 flashes, 42 s each), and the test recording, later in the same sitting, is scored. Without
//! labels the first letter is given unlabelled. Recordings: `--data DIR`, by default ../shared/data/p300.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Parser;
use razvilka::cli::calibrate::{Args as Calibrate, labelled};
use razvilka_calibration::{EegInput, Epochs, Informed, Prior, auc};

const PEOPLE: [&str; 3] = ["S1", "S2", "S3"];

#[derive(Parser)]
struct Options {
    /// Folder with gtec5_S*_{train,test}.xdf.
    #[arg(long, default_value = "../shared/data/p300")]
    data: PathBuf,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Parser)]
struct Wrapped {
    #[command(flatten)]
    calibrate: Calibrate,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let data = here.join(&options.data);
    if !data.is_dir() {
        println!("{} is not there: nothing measured", data.display());
        return Ok(());
    }
    let mut people = Vec::new();
    for person in PEOPLE {
        people.push((read(&data, person, "train")?, read(&data, person, "test")?));
    }
    println!("| own flashes | labels | {} | mean |", PEOPLE.join(" | "));
    println!("|---|---|---|---|---|---|");
    for letters in 0..=3 {
        let mut found = Vec::new();
        for (place, (train, test)) in people.iter().enumerate() {
            let others: Vec<Epochs> = people
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != place)
                .flat_map(|(_, (a, b))| [a.epochs.clone(), b.epochs.clone()])
                .collect();
            let prior = Prior::fit(&others)?;
            let runs = letters.max(1);
            let rows: Vec<usize> = (0..train.epochs.len())
                .filter(|&row| (train.epochs.info()[row].run as usize) < runs)
                .collect();
            let own = train.epochs.subset(&rows)?;
            let labels: Vec<Option<bool>> = own
                .labels()
                .iter()
                .map(|label| (letters > 0).then_some(*label))
                .collect();
            let informed = prior.meet(&own, &labels)?;
            found.push(area(&informed, test)?);
        }
        let mean = found.iter().sum::<f64>() / found.len() as f64;
        let each: Vec<String> = found.iter().map(|a| format!("{a:.4}")).collect();
        println!(
            "| {} s | {} | {} | {mean:.4} |",
            42 * letters.max(1),
            if letters == 0 { "none" } else { "all" },
            each.join(" | ")
        );
    }
    Ok(())
}

fn read(data: &Path, person: &str, part: &str) -> Result<EegInput> {
    let file = data.join(format!("gtec5_{person}_{part}.xdf"));
    let file = file
        .to_str()
        .context("a path that is not Unicode")?
        .to_owned();
    let args = Wrapped::try_parse_from(["calibrate", "--xdf", &file, "--out", "unused"])?;
    let input =
        labelled(&args.calibrate, &mut std::io::sink()).map_err(|e| anyhow::anyhow!("{e}"))?;
    let Some(input) = input else {
        bail!("{file} has no labelled flash");
    };
    Ok(input)
}

fn area(informed: &Informed, test: &EegInput) -> Result<f64> {
    let shape = test.path.epoch_shape()?;
    let mut scorer = informed.model.scorer(&informed.lda, shape)?;
    let scores: Vec<f64> = (0..test.epochs.len())
        .map(|row| scorer.score(test.epochs.row(row)))
        .collect::<Result<_, _>>()?;
    Ok(auc(&scores, &test.epochs.labels())?.value)
}
