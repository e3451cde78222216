//! One broker of a cluster, ours or Apache's, on a data directory that either kind can take over.
//! Knows nothing of the others.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use crate::network::Place;
use crate::process::Process;
use crate::{java, places};

const READY_LIMIT: Duration = Duration::from_secs(90);
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// Small heaps: three brokers and three ZooKeepers share a test machine.
pub const HEAP: &[&str] = &["-Xmx320m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];

/// Whose broker runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Ottla,
    Apache,
}

impl Kind {
    /// Ours, or where `OTTLA_TEST_SUBJECT=apache` Apache's.
    pub fn subject() -> Kind {
        match std::env::var("OTTLA_TEST_SUBJECT").as_deref() {
            Ok("apache") => Kind::Apache,
            _ => Kind::Ottla,
        }
    }

    /// What it needs to run, and where that is.
    pub fn needs(self) -> (&'static str, PathBuf) {
        match self {
            Kind::Ottla => ("the ottla binary", places::ottla()),
            Kind::Apache => ("Apache Kafka's jars", places::kafka_lib()),
        }
    }
}

/// A broker that may run, be paused, or be down; its id, address and data stay.
pub struct Member {
    pub id: i32,
    kind: Kind,
    place: Place,
    port: u16,
    dir: PathBuf,
    jvm: &'static [&'static str],
    runs: u32,
    process: Option<Process>,
}

impl Member {
    /// Writes its `server.properties` to `dir`, which holds the data too. Both kinds take the same
    /// file: Apache ignores keys of ours. Does not start it.
    pub fn new(id: i32, kind: Kind, place: Place, dir: PathBuf, lines: &str) -> Member {
        std::fs::create_dir_all(&dir).expect("a directory of its own");
        let port = place.free_port();
        let config = format!(
            "broker.id={id}\nlisteners=PLAINTEXT://{}:{port}\nlog.dirs={}\n\
             ottla.http.listener=\n{lines}",
            place.host(),
            dir.join("data").display()
        );
        std::fs::write(dir.join("server.properties"), config).expect("server.properties");
        Member { id, kind, place, port, dir, jvm: HEAP, runs: 0, process: None }
    }

    /// With these options while it is Apache's.
    pub fn with_jvm(mut self, options: &'static [&'static str]) -> Member {
        self.jvm = options;
        self
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub fn address(&self) -> String {
        format!("{}:{}", self.place.host(), self.port)
    }

    pub fn place(&self) -> &Place {
        &self.place
    }

    pub fn data_dir(&self) -> PathBuf {
        self.dir.join("data")
    }

    pub fn properties(&self) -> PathBuf {
        self.dir.join("server.properties")
    }

    pub fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }

    pub fn is_up(&self) -> bool {
        self.process.is_some()
    }

    /// Starts it and does not wait; every run has a directory of its own for its output.
    pub fn start(&mut self) {
        assert!(!self.is_up(), "broker {} runs already", self.id);
        self.runs += 1;
        let dir = self.dir.join(format!("run-{}", self.runs));
        std::fs::create_dir_all(&dir).expect("a directory for its output");
        let (name, mut command) = match self.kind {
            Kind::Ottla => (format!("ottla-{}", self.id), self.ottla(&dir)),
            Kind::Apache => (format!("apache-{}", self.id), self.apache()),
        };
        let namespace = self.place.namespace();
        self.process = Some(Process::start_in(namespace.as_deref(), &name, &dir, &mut command));
    }

    fn ottla(&self, dir: &Path) -> Command {
        let mut command = Command::new(places::ottla());
        command.arg("serve").arg(self.properties()).current_dir(dir);
        command
    }

    fn apache(&self) -> Command {
        let mut java = java::java(&places::kafka_lib(), self.jvm);
        java.arg("kafka.Kafka").arg(self.properties());
        java
    }

    /// Until it says that it serves.
    pub fn wait_ready(&mut self) {
        let kind = self.kind;
        let process = self.process.as_mut().expect("a broker that was started");
        process.ready(READY_LIMIT, |p| {
            let says = match kind {
                Kind::Ottla => p.stdout().contains("ottla ready"),
                Kind::Apache => p.stderr().contains("] started"),
            };
            says.then_some(())
        });
    }

    pub fn kill9(&mut self) {
        // Dropped, it is killed.
        self.process = None;
    }

    /// SIGTERM; a controlled shutdown must end well.
    pub fn stop(&mut self) {
        self.terminate();
        self.wait_stopped();
    }

    /// SIGTERM alone.
    pub fn terminate(&mut self) {
        self.process.as_ref().expect("a broker that runs").signal(libc::SIGTERM);
    }

    /// The end that `terminate` asked for. Apache's JVM ends with the signal's code.
    pub fn wait_stopped(&mut self) {
        let mut process = self.process.take().expect("a broker that was started");
        let status: ExitStatus = process.wait(STOP_LIMIT);
        let clean = match self.kind {
            Kind::Ottla => status.code() == Some(0),
            Kind::Apache => matches!(status.code(), Some(0 | 143)),
        };
        assert!(clean, "broker {} did not stop cleanly: {status}\n{}", self.id, process.tail());
    }

    pub fn pause(&self) {
        self.process.as_ref().expect("a broker that runs").signal(libc::SIGSTOP);
    }

    pub fn resume(&self) {
        self.process.as_ref().expect("a broker that runs").signal(libc::SIGCONT);
    }

    /// From its next start on it is of this kind, on the same data, id and address.
    pub fn become_kind(&mut self, kind: Kind) {
        assert!(!self.is_up(), "only a broker that is down can be replaced");
        self.kind = kind;
    }

    /// Adds or changes lines of its configuration from its next start on.
    pub fn configure(&mut self, lines: &str) {
        let mut text = std::fs::read_to_string(self.properties()).expect("its own file");
        text.push_str(&format!("\n{lines}\n"));
        std::fs::write(self.properties(), text).expect("its own file");
    }

    /// Everything that its runs printed, oldest first.
    pub fn output(&self) -> String {
        let mut all = String::new();
        for run in 1..=self.runs {
            for entry in std::fs::read_dir(self.dir.join(format!("run-{run}"))).expect("a run") {
                let path = entry.expect("an entry").path();
                all.push_str(&std::fs::read_to_string(path).unwrap_or_default());
            }
        }
        all
    }
}
