//! `kafka-server-start.sh [-daemon] server.properties [--override property=value]*`, with the
//! flags, usage and exit code of Kafka's script and of the class it starts.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub struct Start {
    pub daemon: bool,
    pub file: PathBuf,
    pub overrides: Vec<String>,
}

/// Why nothing is started.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    Version,
    Usage(String),
}

const FLAGS: &str = "\
--override property=value  takes the place of what the file says; may be given several times
--version                  prints the version";

impl End {
    /// Prints what is to be said.
    pub fn exit(&self) -> ExitCode {
        match self {
            End::Version => {
                println!("ottla {}", env!("CARGO_PKG_VERSION"));
                ExitCode::SUCCESS
            }
            End::Usage(text) => {
                eprintln!("{text}");
                ExitCode::FAILURE
            }
        }
    }
}

/// Reads the arguments that follow `program`.
pub fn parse(program: &str, arguments: &[String]) -> Result<Start, End> {
    let usage =
        format!("USAGE: {program} [-daemon] server.properties [--override property=value]*");
    let daemon = arguments.first().is_some_and(|first| first == "-daemon");
    let arguments = if daemon { &arguments[1..] } else { arguments };
    if arguments.iter().any(|argument| argument == "--version") {
        return Err(End::Version);
    }
    let Some((file, flags)) = arguments.split_first() else { return Err(End::Usage(usage)) };
    if arguments.iter().any(|argument| argument == "--help") {
        return Err(End::Usage(format!("{usage}\n{FLAGS}")));
    }
    let refused = |why: String| Err(End::Usage(format!("{why}\n{usage}\n{FLAGS}")));
    let mut overrides = Vec::new();
    let mut rest = flags.iter();
    while let Some(flag) = rest.next() {
        if let Some(value) = flag.strip_prefix("--override=") {
            overrides.push(value.to_owned());
        } else if flag == "--override" {
            match rest.next() {
                Some(value) => overrides.push(value.clone()),
                None => return refused("Option override requires an argument".to_owned()),
            }
        } else if flag.starts_with('-') {
            let name = flag.trim_start_matches('-');
            return refused(format!("{name} is not a recognized option"));
        } else {
            return refused(format!("Found non argument parameters: {flag}"));
        }
    }
    Ok(Start { daemon, file: PathBuf::from(file), overrides })
}

/// Starts the same in the background, as `-daemon` asks, and ends. What it prints goes to
/// `kafkaServer.out` in `LOG_DIR`, or else in the directory `logs` beside the script's.
pub fn detach(program: &str, arguments: &[OsString]) -> ExitCode {
    let directory = match std::env::var_os("LOG_DIR").filter(|dir| !dir.is_empty()) {
        Some(directory) => PathBuf::from(directory),
        None => script_dir(program).join("../logs"),
    };
    match spawn(&directory, program, &arguments[1..]) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error}", directory.display());
            ExitCode::FAILURE
        }
    }
}

fn spawn(directory: &Path, program: &str, arguments: &[OsString]) -> io::Result<()> {
    std::fs::create_dir_all(directory)?;
    let output = File::create(directory.join("kafkaServer.out"))?;
    let mut command = Command::new("/proc/self/exe");
    command.arg0(program).args(arguments);
    // A group of its own: a closed terminal ends only its own.
    command.process_group(0).stdin(Stdio::null());
    command.stdout(output.try_clone()?).stderr(output);
    command.spawn().map(drop)
}

/// A bare name was found through `PATH`.
fn script_dir(program: &str) -> PathBuf {
    let path = Path::new(program);
    if path.components().count() > 1 {
        return path.parent().unwrap_or(Path::new(".")).to_owned();
    }
    let directories = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&directories).find(|dir| dir.join(program).is_file());
    found.unwrap_or_else(|| PathBuf::from("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str]) -> Result<Start, End> {
        let texts: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
        parse("bin/kafka-server-start.sh", &texts)
    }

    #[test]
    fn the_command_line_is_read_as_kafkas() {
        let overrides = vec!["a=1".to_owned(), "b=2=3".to_owned(), "c".to_owned()];
        let arguments =
            ["-daemon", "s.properties", "--override", "a=1", "--override=b=2=3", "--override", "c"];
        let start = Start { daemon: true, file: "s.properties".into(), overrides };
        assert_eq!(read(&arguments), Ok(start));
        assert_eq!(read(&["--version"]), Err(End::Version));
        let usage = "USAGE: bin/kafka-server-start.sh [-daemon] server.properties [--override \
                     property=value]*";
        assert_eq!(read(&[]), Err(End::Usage(usage.to_owned())));
        for (arguments, reason) in [
            (&["a", "b"][..], "Found non argument parameters: b"),
            (&["a", "--port"], "port is not a recognized option"),
            (&["a", "--override"], "Option override requires an argument"),
            (&["--help"], usage),
        ] {
            let Err(End::Usage(text)) = read(arguments) else { panic!("{arguments:?} is legal") };
            assert!(text.starts_with(reason), "{text}");
            assert!(text.contains(usage), "{text}");
        }
    }
}
