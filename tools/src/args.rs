//! Flags as Kafka's scripts take them: long options with `=` or a space, shortened where that is
//! not ambiguous; wrong flags give the reason, then the usage, exit code 1. Knows nothing of what
//! the flags mean.

use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory, FromArgMatches};

/// What `--version` prints: ours, and the Kafka release whose behaviour the tools have.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (Kafka 3.9.2)");

fn command<T: CommandFactory>(tool: &'static str) -> Command {
    T::command()
        .name(tool)
        .bin_name(format!("ottla {tool}"))
        .version(VERSION)
        .no_binary_name(true)
        .infer_long_args(true)
        .color(clap::ColorChoice::Never)
}

/// Reads the flags. The error is the exit code; reason and usage are printed already.
pub fn parse<T: CommandFactory + FromArgMatches>(
    tool: &'static str,
    args: &[String],
) -> Result<T, ExitCode> {
    let parsed = command::<T>(tool)
        .try_get_matches_from(args)
        .and_then(|matches| T::from_arg_matches(&matches));
    parsed.map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            print!("{}", error.render());
            ExitCode::SUCCESS
        }
        _ => usage::<T>(tool, &reason(&error)),
    })
}

/// Prints what the tool is and its flags, for those that Kafka's tool shows without any.
pub fn help<T: CommandFactory>(tool: &'static str) -> ExitCode {
    print!("{}", command::<T>(tool).render_long_help());
    ExitCode::SUCCESS
}

/// Prints why the flags are wrong, then the usage.
pub fn usage<T: CommandFactory>(tool: &'static str, reason: &str) -> ExitCode {
    eprintln!("{reason}");
    eprint!("{}", command::<T>(tool).render_long_help());
    ExitCode::FAILURE
}

/// In the words that Kafka's option parser uses, which scripts may look for.
fn reason(error: &clap::Error) -> String {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(all)) => Some(all.join(", ")),
        _ => None,
    };
    let option = text(ContextKind::InvalidArg).unwrap_or_default();
    let name = option.split([' ', '=']).next().unwrap_or_default().trim_start_matches('-');
    match error.kind() {
        ErrorKind::UnknownArgument => format!("{name} is not a recognized option"),
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            match text(ContextKind::InvalidValue).filter(|value| !value.is_empty()) {
                Some(value) => format!("Cannot parse argument '{value}' of option {name}"),
                None => format!("Option {name} requires an argument"),
            }
        }
        ErrorKind::MissingRequiredArgument => format!("Missing required argument \"[{name}]\""),
        _ => {
            let all = error.render().to_string();
            let first = all.lines().next().unwrap_or_default();
            first.trim_start_matches("error: ").to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Flags {
        #[arg(long)]
        topic: Option<String>,
        #[arg(long)]
        partitions: Option<i32>,
    }

    fn read(args: &[&str]) -> Result<Flags, String> {
        let matches = command::<Flags>("topics").try_get_matches_from(args);
        let flags = matches.and_then(|matches| Flags::from_arg_matches(&matches));
        flags.map_err(|error| reason(&error))
    }

    #[test]
    fn flags_may_be_shortened_and_joined() {
        let flags = read(&["--to", "a", "--partitions=3"]).unwrap();
        assert_eq!((flags.topic.as_deref(), flags.partitions), (Some("a"), Some(3)));
    }

    #[test]
    fn reasons_are_in_kafkas_words() {
        assert_eq!(read(&["--nope"]).unwrap_err(), "nope is not a recognized option");
        assert_eq!(read(&["--topic"]).unwrap_err(), "Option topic requires an argument");
        let reason = read(&["--partitions", "x"]).unwrap_err();
        assert_eq!(reason, "Cannot parse argument 'x' of option partitions");
    }
}
