//! A real ZooKeeper ensemble of three on loopback, whose servers can be killed one by one.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::places;
use crate::process::Process;
use crate::zookeeper::{four_letters, jar};

const SERVERS: usize = 3;
const READY_LIMIT: Duration = Duration::from_secs(60);

struct Server {
    port: u16,
    dir: PathBuf,
    /// `None` while it is killed.
    process: Option<Process>,
}

/// Killed servers keep their data and port.
pub struct Ensemble {
    servers: Vec<Server>,
    _dir: TempDir,
}

impl Ensemble {
    /// All three, once each of them serves.
    pub fn start() -> Ensemble {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let members: Vec<[u16; 3]> = (0..SERVERS)
            .map(|_| [places::free_port(), places::free_port(), places::free_port()])
            .collect();
        let mut list = String::new();
        for (number, [_, quorum, election]) in members.iter().enumerate() {
            list.push_str(&format!("server.{}=127.0.0.1:{quorum}:{election}\n", number + 1));
        }
        let servers = members.iter().enumerate().map(|(number, [port, ..])| {
            let dir = dir.path().join(number.to_string());
            let data = dir.join("data");
            std::fs::create_dir_all(&data).expect("a data directory");
            std::fs::write(data.join("myid"), (number + 1).to_string()).expect("myid");
            let config = format!(
                "tickTime=500\ninitLimit=40\nsyncLimit=10\ndataDir={}\nclientPort={port}\n\
                 clientPortAddress=127.0.0.1\nmaxSessionTimeout=60000\nmaxClientCnxns=0\n\
                 admin.enableServer=false\n4lw.commands.whitelist=*\n{list}",
                data.display()
            );
            std::fs::write(dir.join("zoo.cfg"), config).expect("zoo.cfg");
            Server { port: *port, process: Some(spawn(&dir)), dir }
        });
        let mut ensemble = Ensemble { servers: servers.collect(), _dir: dir };
        (0..SERVERS).for_each(|number| ensemble.wait_ready(number));
        ensemble
    }

    /// `127.0.0.1:PORT` of every server, with commas.
    pub fn connect(&self) -> String {
        let all: Vec<String> =
            self.servers.iter().map(|server| format!("127.0.0.1:{}", server.port)).collect();
        all.join(",")
    }

    /// 0 to 2.
    pub fn kill9(&mut self, number: usize) {
        self.servers[number].process = None;
    }

    pub fn restart(&mut self, number: usize) {
        let server = &mut self.servers[number];
        server.process = Some(spawn(&server.dir));
    }

    /// Until the server, started again, is part of a quorum.
    pub fn wait_ready(&mut self, number: usize) {
        let Server { port, process, .. } = &mut self.servers[number];
        let process = process.as_mut().expect("a server that was started");
        process.ready(READY_LIMIT, |_| {
            four_letters(*port, "srvr").filter(|answer| answer.contains("Mode:"))
        });
    }
}

fn spawn(dir: &Path) -> Process {
    let mut java = Command::new("java");
    java.args(["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
    java.arg("-Djute.maxbuffer=4194304").arg("-cp").arg(jar());
    java.arg("org.apache.zookeeper.server.quorum.QuorumPeerMain");
    Process::start("zookeeper", dir, java.arg(dir.join("zoo.cfg")))
}
