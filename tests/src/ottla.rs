//! Our own broker, as users start it.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use tempfile::TempDir;

use crate::places;
use crate::process::{self, Output, Process};
use crate::small_disk::SmallDisk;

const READY_LIMIT: Duration = Duration::from_secs(30);

pub struct Ottla {
    // Declared first: what it printed, in `dir`, is shown when it is dropped by a failing test.
    process: Process,
    dir: TempDir,
    port: u16,
    disk: Option<SmallDisk>,
}

impl Ottla {
    /// Starts broker 1: beside `zookeeper` if there is one, else embedded. `extra` are further
    /// lines of its `server.properties`.
    pub fn start(zookeeper: Option<&str>, extra: &str) -> Ottla {
        let mut broker = Self::begin(zookeeper, extra, None);
        broker.wait_ready();
        broker
    }

    /// The same with its data on a disk of its own.
    pub fn start_on(disk: SmallDisk, zookeeper: Option<&str>, extra: &str) -> Ottla {
        let extra = format!("{extra}\nlog.dirs={}", disk.root().join("data").display());
        let mut broker = Self::begin(zookeeper, &extra, Some(disk));
        broker.wait_ready();
        broker
    }

    /// As `start`, where it must fail: the exit code and what it printed.
    pub fn start_in_vain(zookeeper: Option<&str>, extra: &str) -> (Option<i32>, String) {
        let mut broker = Self::begin(zookeeper, extra, None);
        let status = broker.process.wait(READY_LIMIT);
        (status.code(), broker.process.stderr())
    }

    fn begin(zookeeper: Option<&str>, extra: &str, disk: Option<SmallDisk>) -> Ottla {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let port = places::free_port();
        let zookeeper = zookeeper.map(|z| format!("zookeeper.connect={z}\n")).unwrap_or_default();
        let config = format!(
            "broker.id=1\nlisteners=PLAINTEXT://127.0.0.1:{port}\n{zookeeper}log.dirs={}\n\
             offsets.topic.replication.factor=1\noffsets.topic.num.partitions=5\n\
             transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
             group.initial.rebalance.delay.ms=0\nottla.http.listener=\n{extra}\n",
            dir.path().join("data").display()
        );
        std::fs::write(dir.path().join("server.properties"), config).expect("server.properties");
        let process = Self::spawn(&dir, disk.as_ref());
        Ottla { dir, port, disk, process }
    }

    fn spawn(dir: &TempDir, disk: Option<&SmallDisk>) -> Process {
        let _ = std::fs::remove_file(dir.path().join("ottla.out"));
        let mut command = match disk {
            Some(disk) => disk.enter(&places::ottla()),
            None => Command::new(places::ottla()),
        };
        command.arg("serve").arg(dir.path().join("server.properties"));
        command.current_dir(dir.path());
        Process::start("ottla", dir.path(), &mut command)
    }

    fn wait_ready(&mut self) {
        self.process.ready(READY_LIMIT, |p| p.stdout().contains("ottla ready").then_some(()));
    }

    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// What `start_on` was given.
    pub fn disk(&self) -> &SmallDisk {
        self.disk.as_ref().expect("it was started on one")
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn process(&self) -> &Process {
        &self.process
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.process.ended()
    }

    pub fn kill9(&mut self) {
        self.process.kill9();
    }

    /// SIGTERM; the exit code must be 0.
    pub fn stop(&mut self) {
        let status = self.process.stop(Duration::from_secs(30));
        assert_eq!(status.code(), Some(0), "a clean stop\n{}", self.process.tail());
    }

    /// Starts again, which must fail: the exit code and what it printed.
    pub fn restart_in_vain(&mut self) -> (Option<i32>, String) {
        let _ = std::fs::remove_file(self.dir.path().join("ottla.err"));
        self.process = Self::spawn(&self.dir, self.disk.as_ref());
        let status = self.process.wait(READY_LIMIT);
        (status.code(), self.process.stderr())
    }

    /// Starts again on the same data and port, after `kill9` or `stop`.
    pub fn restart(&mut self) {
        self.process = Self::spawn(&self.dir, self.disk.as_ref());
        self.wait_ready();
    }
}

/// Runs one of our tools: `ottla TOOL ARGS`.
pub fn tool(args: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(places::ottla());
    process::run(command.args(args), input, Duration::from_secs(60))
}
