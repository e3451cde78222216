//! A real ZooKeeper server on loopback.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::places;
use crate::process::{self, Process};

const READY_LIMIT: Duration = Duration::from_secs(60);

/// Debian's ZooKeeper, which names what it needs in its own manifest.
pub fn jar() -> PathBuf {
    PathBuf::from("/usr/share/java/zookeeper.jar")
}

/// One standalone server with its own data directory and port.
pub struct ZooKeeperServer {
    // Declared first: what it printed, in `dir`, is shown when it is dropped by a failing test.
    process: Process,
    dir: TempDir,
    port: u16,
}

impl ZooKeeperServer {
    pub fn start() -> ZooKeeperServer {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let port = places::free_port();
        let config = format!(
            "tickTime=500\ndataDir={}\nclientPort={port}\nclientPortAddress=127.0.0.1\n\
             minSessionTimeout=1000\nmaxSessionTimeout=60000\nmaxClientCnxns=0\n\
             admin.enableServer=false\n4lw.commands.whitelist=*\n",
            dir.path().join("data").display()
        );
        std::fs::write(dir.path().join("zoo.cfg"), config).expect("zoo.cfg");
        let process = Self::spawn(&dir);
        let mut server = ZooKeeperServer { dir, port, process };
        server.wait_ready();
        server
    }

    fn spawn(dir: &TempDir) -> Process {
        let mut java = Command::new("java");
        java.args([
            "-Xmx256m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-Djute.maxbuffer=4194304",
        ]);
        java.arg("-cp").arg(jar()).arg("org.apache.zookeeper.server.quorum.QuorumPeerMain");
        Process::start("zookeeper", dir.path(), java.arg(dir.path().join("zoo.cfg")))
    }

    fn wait_ready(&mut self) {
        let port = self.port;
        self.process.ready(READY_LIMIT, |_| {
            four_letters(port, "srvr").filter(|answer| answer.contains("Mode:"))
        });
    }

    /// Where it keeps its snapshots and transaction logs.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// `127.0.0.1:PORT`.
    pub fn connect(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn process(&self) -> &Process {
        &self.process
    }

    pub fn kill9(&mut self) {
        self.process.kill9();
    }

    /// Starts again on the same data and port.
    pub fn restart(&mut self) {
        self.process.kill9();
        self.process = Self::spawn(&self.dir);
        self.wait_ready();
    }
}

/// Sets what everybody may do with a node (`cdrwa`), as an operator does.
pub fn set_acl(connect: &str, path: &str, permissions: &str) {
    let mut java = Command::new("java");
    java.args(["-Xmx64m", "-XX:TieredStopAtLevel=1", "-cp"]).arg(jar());
    java.args(["org.apache.zookeeper.ZooKeeperMain", "-server", connect]);
    java.args(["setAcl", path, &format!("world:anyone:{permissions}")]);
    process::run(&mut java, b"", READY_LIMIT).ok();
}

/// Asks a server on loopback one of ZooKeeper's four-letter words.
pub fn four_letters(port: u16, word: &str) -> Option<String> {
    ask("127.0.0.1", port, word)
}

/// The same of a server anywhere.
pub fn ask(host: &str, port: u16, word: &str) -> Option<String> {
    let address = (host, port).to_socket_addrs().ok()?.next()?;
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    stream.write_all(word.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}
