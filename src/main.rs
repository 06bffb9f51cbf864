//! The command `razvilka`: what was typed is read here, everything else happens in the library.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use razvilka::cli::exit::{Exit, Failure};
use razvilka::cli::{
    calibrate, certify, choices, demo, doctor, generate, learn, model, new, operator, prior,
    replay, report, run, score, signals, simulate, streams,
};

/// At a decisive fork, hand the choice of the next meaning to a person: gaze and P300 over LSL gate a language model
///
/// Not a medical device. Flashing can provoke seizures in people with photosensitive epilepsy: see the README.
#[derive(Debug, Parser)]
#[command(version, about, propagate_version = true)]
struct Typed {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Args),
    New(new::Args),
    Doctor(doctor::Args),
    Streams(streams::Args),
    Calibrate(calibrate::Args),
    Prior(prior::Args),
    Run(run::Args),
    Replay(replay::Args),
    Simulate(simulate::Args),
    Score(score::Args),
    Generate(generate::Args),
    Model(model::Args),
    Operator(operator::Args),
    Report(report::Args),
    Choices(choices::Args),
    Learn(learn::Args),
    Certify(certify::Args),
}

fn main() -> ExitCode {
    signals::survive_file_size_limit();
    signals::keep_files_private();
    let typed = Typed::parse();
    match dispatch(typed.command) {
        Ok(()) => ExitCode::from(Exit::Ok.code()),
        Err(failure) => {
            eprintln!("razvilka: {failure}");
            ExitCode::from(failure.exit.code())
        }
    }
}

fn dispatch(command: Command) -> Result<(), Failure> {
    let stop = || signals::stop_flag().map_err(|error| Failure::new(Exit::Internal, error));
    let words = || std::env::args().collect::<Vec<_>>();
    match command {
        Command::Demo(args) => demo::run(&args, words(), &stop()?),
        Command::Run(args) => run::run(&args, words(), &stop()?),
        Command::Replay(args) => {
            let (out, talk) = (&mut std::io::stdout(), &mut std::io::stderr());
            replay::run(&args, words(), &*stop()?, out, talk)
        }
        Command::New(args) => new::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Streams(args) => streams::run(&args).map_err(Failure::from),
        Command::Simulate(args) => simulate::run(&args, &stop()?).map_err(Failure::from),
        Command::Calibrate(args) => calibrate::run(&args, &mut std::io::stderr()).map(|_| ()),
        Command::Prior(args) => prior::run(&args, &mut std::io::stderr()),
        Command::Score(args) => score::run(&args, &mut std::io::stdout(), &mut std::io::stderr()),
        Command::Generate(args) => generate::run(&args),
        Command::Model(args) => model::run(&args),
        Command::Operator(args) => operator::run(&args, &stop()?),
        Command::Report(args) => report::run(&args),
        Command::Learn(args) => learn::run(&args, &stop()?),
        Command::Choices(args) => choices::run(&args),
        Command::Certify(args) => certify::run(&args, &stop()?),
    }
}
