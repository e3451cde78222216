//! Consumers of Apache's that come and go by command, several in one Java process. Knows nothing of
//! what they should have.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use crate::java::Compiled;
use crate::process::Process;
use crate::wait;

/// For a member to close, or the process to end.
const CLOSE_LIMIT: Duration = Duration::from_secs(30);

/// The process. Its members read one topic, and speak one protocol.
pub struct GroupMembers {
    process: Process,
    commands: PathBuf,
    // Holds the classes and the files.
    _compiled: Compiled,
    _dir: TempDir,
}

/// What a member has, and in which generation or epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Has {
    pub partitions: Vec<i32>,
    pub epoch: i32,
}

impl GroupMembers {
    /// `protocol`: `classic` or `consumer`, which clients of 4 and later know.
    pub fn start(version: &str, bootstrap: &str, topic: &str, protocol: &str) -> GroupMembers {
        let compiled = Compiled::against_client("GroupMembers", version);
        let dir = tempfile::tempdir().expect("a temporary directory");
        let commands = dir.path().join("commands");
        File::create(&commands).expect("a file for the commands");
        let path = commands.to_str().expect("UTF-8");
        let mut command = compiled.command(&[bootstrap, topic, protocol, path]);
        let process = Process::start(&format!("members-{protocol}"), dir.path(), &mut command);
        GroupMembers { process, commands, _compiled: compiled, _dir: dir }
    }

    fn say(&self, line: &str) {
        let mut file = fs::OpenOptions::new().append(true).open(&self.commands).expect("the file");
        file.write_all(format!("{line}\n").as_bytes()).expect("room for a line");
    }

    /// A member that joins, with an assignor of the classic protocol and an instance id if any.
    pub fn open(&self, name: &str, group: &str, assignor: Option<&str>, instance: Option<&str>) {
        let (assignor, instance) = (assignor.unwrap_or("-"), instance.unwrap_or(""));
        self.say(&format!("open {name} {group} {assignor} {instance}"));
    }

    /// A member that leaves; returns when it has.
    pub fn close(&self, name: &str) {
        self.say(&format!("close {name}"));
        let line = format!("{name} closed");
        wait::until_true(&line, CLOSE_LIMIT, || self.lines().contains(&line));
    }

    /// All members leave.
    pub fn end(&mut self) {
        self.say("end");
        assert!(self.process.wait(CLOSE_LIMIT).success(), "{}", self.process.tail());
    }

    fn lines(&self) -> Vec<String> {
        self.process.stdout().lines().map(str::to_owned).collect()
    }

    /// Everything that was said of a member: without its name, in order.
    pub fn said_of(&self, name: &str) -> Vec<String> {
        let lines = self.lines().into_iter();
        lines.filter_map(|l| Some(l.strip_prefix(name)?.strip_prefix(' ')?.to_owned())).collect()
    }

    /// What the member has now; `None` before its first poll.
    pub fn has(&self, name: &str) -> Option<Has> {
        let said = self.said_of(name);
        let last = said.iter().rev().find_map(|line| line.strip_prefix("has "))?;
        let (partitions, epoch) = last.split_once(" at ")?;
        let partitions = partitions.split(',').filter_map(|number| number.parse().ok()).collect();
        Some(Has { partitions, epoch: epoch.parse().ok()? })
    }

    /// How often each value was read and then committed, by members whose names begin so.
    pub fn kept(&self, prefix: &str) -> BTreeMap<String, usize> {
        let mut kept = BTreeMap::new();
        for line in self.lines() {
            if let Some((name, value)) = line.split_once(" kept ")
                && name.starts_with(prefix)
            {
                *kept.entry(value.to_owned()).or_default() += 1;
            }
        }
        kept
    }

    /// Fails with its output if the process has ended.
    pub fn check(&mut self) {
        assert!(self.process.ended().is_none(), "{}", self.process.tail());
    }

    pub fn tail(&self) -> String {
        self.process.tail()
    }
}
