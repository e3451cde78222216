//! The `ottla` binary: `serve` starts a broker, every other subcommand is one of the tools, and so
//! is the program itself when it is called through a link with the name of one of Kafka's scripts.
//! Knows nothing of either.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use broker::config::load;
use broker::scripts::{self, Script};
use broker::{guard, logging, server};

const USAGE: &str = "\
usage: ottla serve [FILE] [--override key=value]...
       ottla TOOL [ARGUMENT]...
       ottla --version

FILE is *.yaml, *.yml or a Kafka server.properties; without one the broker has the id 1, listens on
127.0.0.1:9092 and keeps everything in ./ottla-data.";

/// What the command line asks for.
#[derive(Debug, PartialEq)]
struct Serve {
    file: Option<PathBuf>,
    overrides: Vec<String>,
    /// Overrides are read as `kafka-server-start.sh` does.
    as_kafka: bool,
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let program = arguments.first().map(|name| name.to_string_lossy().into_owned());
    if program.as_deref().is_some_and(tools::is_tool_name) {
        return tools::run(arguments.into_iter());
    }
    if let Some(script) = program.as_deref().and_then(Script::of_program) {
        return run_script(&script, program.as_deref().unwrap_or_default(), &arguments[1..]);
    }
    let subcommand = arguments.get(1).map(|name| name.to_string_lossy().into_owned());
    match subcommand.as_deref() {
        Some("serve") => match parse_serve(&arguments[2..]) {
            Ok(Some(command)) => serve(&command),
            Ok(None) => {
                println!("{USAGE}\ntools: {}", tools::TOOL_NAMES.join(", "));
                ExitCode::SUCCESS
            }
            Err(reason) => refuse(&reason),
        },
        Some(guard::SUBCOMMAND) => guard::process::run(&arguments[2..]),
        Some("--version" | "-V") => {
            println!("ottla {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        Some("--help" | "-h" | "help") => {
            println!("{USAGE}\ntools: {}", tools::TOOL_NAMES.join(", "));
            ExitCode::SUCCESS
        }
        Some(name) if tools::is_subcommand(name) => tools::run(arguments.into_iter()),
        Some(name) => refuse(&format!("no subcommand {name:?}")),
        None => refuse("a subcommand is missing"),
    }
}

/// Runs as the script of Kafka whose name the program was called by.
fn run_script(script: &Script, program: &str, arguments: &[OsString]) -> ExitCode {
    let texts: Vec<String> =
        arguments.iter().map(|argument| argument.to_string_lossy().into_owned()).collect();
    match script {
        Script::Start => match scripts::start::parse(program, &texts) {
            Ok(start) if start.daemon => scripts::start::detach(program, arguments),
            Ok(start) => {
                let (file, overrides) = (Some(start.file), start.overrides);
                serve(&Serve { file, overrides, as_kafka: true })
            }
            Err(end) => end.exit(),
        },
        Script::Stop => scripts::stop::run(&texts),
        Script::Unserved(text) => {
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}

fn refuse(reason: &str) -> ExitCode {
    eprintln!("ottla: {reason}\n{USAGE}");
    ExitCode::from(server::EXIT_CONFIGURATION)
}

/// `None` asks for help; the error is the reason before the usage.
fn parse_serve(arguments: &[OsString]) -> Result<Option<Serve>, String> {
    let mut serve = Serve { file: None, overrides: Vec::new(), as_kafka: false };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let text = argument.to_string_lossy();
        if text == "--help" || text == "-h" {
            return Ok(None);
        } else if text == "--override" {
            let value = rest.next().ok_or("--override needs key=value")?;
            serve.overrides.push(value.to_string_lossy().into_owned());
        } else if let Some(value) = text.strip_prefix("--override=") {
            serve.overrides.push(value.to_owned());
        } else if text.starts_with('-') {
            return Err(format!("no flag {text:?}"));
        } else if serve.file.is_some() {
            return Err(format!("one FILE is enough, {text:?} is another"));
        } else {
            serve.file = Some(PathBuf::from(argument));
        }
    }
    Ok(Some(serve))
}

fn serve(command: &Serve) -> ExitCode {
    let clock = broker::clock::Clock::system();
    let overrides = &command.overrides;
    let loaded = match &command.file {
        Some(file) if command.as_kafka => load::load_as_kafka(file, overrides),
        file => load::load(file.as_deref(), overrides),
    };
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(server::EXIT_CONFIGURATION);
        }
    };
    logging::init(&loaded.config);
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    server::exit_on_panic();
    match server::run(loaded.config, clock) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::from(error.exit_code())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Option<Serve>, String> {
        parse_serve(&arguments.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn flags_and_file_in_any_order() {
        let expected = Serve {
            file: Some("a.yaml".into()),
            overrides: vec!["x=1".to_owned(), "y=2".to_owned()],
            as_kafka: false,
        };
        let read = parse(&["--override", "x=1", "a.yaml", "--override=y=2"]);
        assert_eq!(read, Ok(Some(expected)));
        assert_eq!(parse(&["--help"]), Ok(None));
    }

    #[test]
    fn what_is_wrong_comes_back_as_the_reason() {
        assert_eq!(parse(&["--overide", "x=1"]), Err("no flag \"--overide\"".to_owned()));
        assert_eq!(parse(&["--override"]), Err("--override needs key=value".to_owned()));
        assert!(parse(&["a", "b"]).is_err());
    }
}
