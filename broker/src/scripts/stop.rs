//! `kafka-server-stop.sh [--node-id=N | --process-role=ROLE]`: sends SIGTERM, or `$SIGNAL`, to the
//! brokers that run on this machine.
//!
//! Differs from Apache: only brokers of this program are found, each is a `broker` and has the id
//! that its file and its overrides give it, wherever it was started; where none matches, standard
//! error says so.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

use super::Script;
use crate::config::load::{load, load_as_kafka};

/// Which brokers are meant.
#[derive(Debug, Default, PartialEq, Eq)]
struct Filter {
    role: Option<String>,
    node_id: Option<String>,
}

/// A process that serves.
#[derive(Debug)]
struct Server {
    pid: i32,
    command: ServeCommand,
}

/// How it was started.
#[derive(Debug, PartialEq, Eq)]
struct ServeCommand {
    file: Option<PathBuf>,
    overrides: Vec<String>,
    as_kafka: bool,
}

/// Looks at nothing but the two flags, as Kafka's script.
pub fn run(arguments: &[String]) -> ExitCode {
    let filter = Filter::of(arguments);
    let name = std::env::var("SIGNAL").ok().filter(|name| !name.is_empty());
    let Some(signal) = signal_of(name.as_deref().unwrap_or("TERM")) else {
        eprintln!("{}: invalid signal specification", name.unwrap_or_default());
        return ExitCode::FAILURE;
    };
    let servers = servers();
    if servers.is_empty() {
        println!("No kafka server to stop");
        return ExitCode::FAILURE;
    }
    if filter.node_id.is_some() && filter.role.is_some() {
        println!(
            "When both node-id and process-role are provided, the value for node-id will take \
             precedence"
        );
    }
    let meant: Vec<Server> = servers.into_iter().filter(|server| filter.means(server)).collect();
    if meant.is_empty() {
        eprintln!("none of the running brokers matches");
    }
    let mut ended = ExitCode::SUCCESS;
    for server in meant {
        let Some(pid) = Pid::from_raw(server.pid) else { continue };
        if let Err(error) = kill_process(pid, signal)
            && error != Errno::SRCH
        {
            eprintln!("process {}: {error}", server.pid);
            ended = ExitCode::FAILURE;
        }
    }
    ended
}

impl Filter {
    fn of(arguments: &[String]) -> Filter {
        let value = |flag: &str| {
            let mut values = arguments.iter().filter_map(|text| text.strip_prefix(flag));
            values.next().filter(|value| !value.is_empty()).map(str::to_owned)
        };
        Filter { role: value("--process-role="), node_id: value("--node-id=") }
    }

    fn means(&self, server: &Server) -> bool {
        match (&self.node_id, &self.role) {
            (Some(id), _) => server.command.broker_id(server.pid).is_some_and(|own| own == *id),
            (None, Some(role)) => role == "broker",
            (None, None) => true,
        }
    }
}

fn signal_of(name: &str) -> Option<Signal> {
    const NAMES: [(&str, i32, Signal); 6] = [
        ("HUP", 1, Signal::HUP),
        ("INT", 2, Signal::INT),
        ("QUIT", 3, Signal::QUIT),
        ("KILL", 9, Signal::KILL),
        ("TERM", 15, Signal::TERM),
        ("ABRT", 6, Signal::ABORT),
    ];
    let bare = name.strip_prefix("SIG").unwrap_or(name);
    let same = |(text, number, _): &&(&str, i32, Signal)| {
        *text == bare || bare.parse().is_ok_and(|given: i32| given == *number)
    };
    NAMES.iter().find(same).map(|(.., signal)| *signal)
}

/// All of this machine that can be seen, but for this process.
fn servers() -> Vec<Server> {
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    let mut servers: Vec<Server> = pids
        .filter(|pid| *pid != own)
        .filter_map(|pid| {
            // A process that is gone meanwhile is none.
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            Some(Server { pid, command: ServeCommand::of(&line)? })
        })
        .collect();
    servers.sort_by_key(|server| server.pid);
    servers
}

impl ServeCommand {
    /// From a command line with a zero after each argument; `None` if that starts no broker.
    fn of(line: &[u8]) -> Option<ServeCommand> {
        let text = String::from_utf8_lossy(line);
        let mut words = text.split_terminator('\0');
        let program = words.next()?;
        let as_kafka = Script::of_program(program) == Some(Script::Start);
        let name = program.rsplit('/').next().unwrap_or(program);
        if !as_kafka && (name != "ottla" || words.next() != Some("serve")) {
            return None;
        }
        let mut command = ServeCommand { file: None, overrides: Vec::new(), as_kafka };
        while let Some(word) = words.next() {
            if word == "--override" {
                command.overrides.extend(words.next().map(str::to_owned));
            } else if let Some(value) = word.strip_prefix("--override=") {
                command.overrides.push(value.to_owned());
            } else if word == "-daemon" {
                // It has started another process and is about to end.
                return None;
            } else if !word.starts_with('-') && command.file.is_none() {
                command.file = Some(PathBuf::from(word));
            }
        }
        Some(command)
    }

    /// As its file and overrides say now; `None` if they say none.
    fn broker_id(&self, pid: i32) -> Option<String> {
        // One that has ended meanwhile, or is another user's, says nothing: no file of this
        // process's own directory may stand for its file.
        let directory = std::fs::read_link(format!("/proc/{pid}/cwd")).ok()?;
        let file: Option<PathBuf> = self.file.as_deref().map(|file: &Path| directory.join(file));
        let loaded = match &file {
            Some(file) if self.as_kafka => load_as_kafka(file, &self.overrides),
            file => load(file.as_deref(), &self.overrides),
        };
        match loaded {
            Ok(loaded) => Some(loaded.config.int("broker.id").to_string()),
            Err(refusal) => {
                eprintln!("process {pid}: {refusal}");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(words: &[&str]) -> Option<ServeCommand> {
        ServeCommand::of(
            words.iter().map(|word| format!("{word}\0")).collect::<String>().as_bytes(),
        )
    }

    #[test]
    fn brokers_are_known_by_their_command_lines() {
        let serve = |file: Option<&str>, overrides: &[&str], as_kafka| ServeCommand {
            file: file.map(PathBuf::from),
            overrides: overrides.iter().map(|text| (*text).to_owned()).collect(),
            as_kafka,
        };
        let table = [
            (&["/usr/bin/ottla", "serve"][..], Some(serve(None, &[], false))),
            (
                &["ottla", "serve", "--override", "a=1", "b.yaml", "--override=c=2"],
                Some(serve(Some("b.yaml"), &["a=1", "c=2"], false)),
            ),
            (
                &["/opt/bin/kafka-server-start.sh", "s.properties", "--override", "a=1"],
                Some(serve(Some("s.properties"), &["a=1"], true)),
            ),
            (&["/opt/bin/kafka-server-start.sh", "-daemon", "s.properties"], None),
            (&["ottla", "guard", "1"], None),
            (&["ottla", "topics", "serve"], None),
            (&["vi", "serve"], None),
            (&[], None),
        ];
        for (words, expected) in table {
            assert_eq!(command(words), expected, "{words:?}");
        }
    }

    #[test]
    fn a_filter_means_what_it_names() {
        let filter = |arguments: &[&str]| {
            Filter::of(&arguments.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
        };
        let server = |overrides: &[&str]| {
            let overrides = overrides.iter().map(|text| (*text).to_owned()).collect();
            let pid = i32::try_from(std::process::id()).expect("small");
            Server { pid, command: ServeCommand { file: None, overrides, as_kafka: false } }
        };
        for (arguments, meant) in [
            (&[][..], true),
            (&["--anything"], true),
            (&["--process-role=broker"], true),
            (&["--process-role=controller"], false),
            (&["--node-id=7"], true),
            (&["--node-id=7", "--process-role=controller"], true),
            (&["--node-id=1"], false),
        ] {
            let filter = filter(arguments);
            assert_eq!(filter.means(&server(&["broker.id=7"])), meant, "{arguments:?}");
        }
        let ended = Server { pid: i32::MAX, ..server(&["broker.id=7"]) };
        assert!(!filter(&["--node-id=7"]).means(&ended), "its directory cannot be asked");
        assert_eq!(signal_of("SIGKILL"), Some(Signal::KILL));
        assert_eq!(signal_of("15"), Some(Signal::TERM));
        assert_eq!(signal_of("NOPE"), None);
    }
}
