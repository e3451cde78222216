//! An unmodified Apache Kafka 3.9.2 broker in ZooKeeper mode: the oracle.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::process::Process;
use crate::{clients, java, places};

const READY_LIMIT: Duration = Duration::from_secs(240);

pub struct ApacheBroker {
    // Declared first: what it printed, in `dir`, is shown when it is dropped by a failing test.
    process: Process,
    dir: TempDir,
    port: u16,
    options: &'static [&'static str],
}

impl ApacheBroker {
    /// Starts broker 1 beside `zookeeper`; `extra` are further lines of its `server.properties`.
    pub fn start(zookeeper: &str, extra: &str) -> ApacheBroker {
        Self::start_with(java::SMALL, zookeeper, extra)
    }

    /// As `start`, with the JVM's `options`.
    pub fn start_with(
        options: &'static [&'static str],
        zookeeper: &str,
        extra: &str,
    ) -> ApacheBroker {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let port = places::free_port();
        let config = format!(
            "broker.id=1\nlisteners=PLAINTEXT://127.0.0.1:{port}\nzookeeper.connect={zookeeper}\n\
             log.dirs={}\noffsets.topic.replication.factor=1\noffsets.topic.num.partitions=5\n\
             transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
             group.initial.rebalance.delay.ms=0\n{extra}\n",
            dir.path().join("data").display()
        );
        std::fs::write(dir.path().join("server.properties"), config).expect("server.properties");
        let process = Self::spawn(&dir, options);
        let mut broker = ApacheBroker { dir, port, options, process };
        broker.wait_ready();
        broker
    }

    fn spawn(dir: &TempDir, options: &[&str]) -> Process {
        let mut java = java::java(&places::kafka_lib(), options);
        java.arg("kafka.Kafka").arg(dir.path().join("server.properties"));
        Process::start("apache", dir.path(), &mut java)
    }

    fn wait_ready(&mut self) {
        self.process.ready(READY_LIMIT, |p| p.stderr().contains("] started").then_some(()));
        // It says so before the controller has told it which brokers live; until then it cannot
        // create a topic.
        let bootstrap = self.bootstrap();
        self.process.ready(READY_LIMIT, |_| {
            let listed = clients::kcat(&bootstrap, &["-L"], b"");
            listed.out.contains(&format!(" at {bootstrap}")).then_some(())
        });
    }

    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn process(&self) -> &Process {
        &self.process
    }

    pub fn kill9(&mut self) {
        self.process.kill9();
    }

    pub fn stop(&mut self) {
        self.process.stop(Duration::from_secs(60));
    }

    /// Starts again on the same data and port, after `kill9` or `stop`.
    pub fn restart(&mut self) {
        // The ready line of the first run is in the old output.
        let _ = std::fs::remove_file(self.dir.path().join("apache.err"));
        self.process = Self::spawn(&self.dir, self.options);
        self.wait_ready();
    }
}
