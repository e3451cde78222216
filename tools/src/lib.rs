//! `kafka-topics` and its family: the command line tools, as subcommands of `ottla` and under their
//! Kafka names. Knows nothing of a broker's insides; it speaks to clusters through `client` alone.

use std::ffi::OsString;
use std::process::ExitCode;

/// Every tool's name: `ottla NAME`, and also `kafka-NAME` and `kafka-NAME.sh` as the program's name.
pub const TOOL_NAMES: &[&str] = &[];

/// Whether a program of this name (a path or a bare name, with or without `.sh`) is one of the
/// tools: `kafka-topics.sh`, `/usr/bin/kafka-topics`.
pub fn is_tool_name(argv0: &str) -> bool {
    tool_of_program(argv0).is_some()
}

/// Whether `name` is a subcommand of `ottla` that [`run`] serves.
pub fn is_subcommand(name: &str) -> bool {
    TOOL_NAMES.contains(&name)
}

/// Runs one tool. The first argument names it: either a program name for which [`is_tool_name`]
/// holds, or any other program name followed by a subcommand (`ottla topics --list …`).
///
/// Exit code 0 is success; 1 is anything else, with the reason on standard error.
pub fn run(args: impl Iterator<Item = OsString>) -> ExitCode {
    let mut args = args.map(|a| a.to_string_lossy().into_owned());
    let program = args.next().unwrap_or_default();
    let name = match tool_of_program(&program) {
        Some(name) => Some(name.to_owned()),
        None => args.next(),
    };
    let known = name.as_deref().is_some_and(is_subcommand);
    if !known {
        eprintln!("no tool is named {:?}; the tools are: {}", name, TOOL_NAMES.join(", "));
    }
    ExitCode::FAILURE
}

/// `kafka-topics.sh`, with any directory before it, is `topics`.
fn tool_of_program(argv0: &str) -> Option<&'static str> {
    let file = argv0.rsplit('/').next().unwrap_or(argv0);
    let stem = file.strip_suffix(".sh").unwrap_or(file);
    let name = stem.strip_prefix("kafka-")?;
    TOOL_NAMES.iter().copied().find(|tool| *tool == name)
}
