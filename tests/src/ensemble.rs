//! A real ZooKeeper ensemble of three, whose servers can be killed, paused and cut off one by one.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::network::Place;
use crate::places;
use crate::process::Process;
use crate::zookeeper::{ask, jar};

const SERVERS: usize = 3;
const READY_LIMIT: Duration = Duration::from_secs(60);

struct Server {
    place: Place,
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
        Self::start_at([Place::Loopback, Place::Loopback, Place::Loopback])
    }

    /// The same, each at its place.
    pub fn start_at(at: [Place; SERVERS]) -> Ensemble {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let members = at
            .map(|place| (place, [places::free_port(), places::free_port(), places::free_port()]));
        let mut list = String::new();
        for (number, (place, [_, quorum, election])) in members.iter().enumerate() {
            let host = place.host();
            list.push_str(&format!("server.{}={host}:{quorum}:{election}\n", number + 1));
        }
        let servers = members.into_iter().enumerate().map(|(number, (place, [port, ..]))| {
            let dir = dir.path().join(number.to_string());
            let data = dir.join("data");
            std::fs::create_dir_all(&data).expect("a data directory");
            std::fs::write(data.join("myid"), (number + 1).to_string()).expect("myid");
            let config = format!(
                "tickTime=500\ninitLimit=40\nsyncLimit=10\ndataDir={}\nclientPort={port}\n\
                 clientPortAddress={}\nmaxSessionTimeout=60000\nmaxClientCnxns=0\n\
                 admin.enableServer=false\n4lw.commands.whitelist=*\n{list}",
                data.display(),
                place.host()
            );
            std::fs::write(dir.join("zoo.cfg"), config).expect("zoo.cfg");
            let process = Some(spawn(&dir, &place));
            Server { place, port, dir, process }
        });
        let mut ensemble = Ensemble { servers: servers.collect(), _dir: dir };
        (0..SERVERS).for_each(|number| ensemble.wait_ready(number));
        ensemble
    }

    /// `HOST:PORT` of every server, with commas.
    pub fn connect(&self) -> String {
        let all = self.servers.iter().map(|s| format!("{}:{}", s.place.host(), s.port));
        all.collect::<Vec<_>>().join(",")
    }

    pub fn place(&self, number: usize) -> &Place {
        &self.servers[number].place
    }

    /// Where every server keeps its snapshots and transaction logs.
    pub fn data_dirs(&self) -> Vec<PathBuf> {
        self.servers.iter().map(|server| server.dir.join("data")).collect()
    }

    /// The server that leads the quorum, if one says so.
    pub fn leader(&self) -> Option<usize> {
        (0..SERVERS).find(|number| {
            let server = &self.servers[*number];
            server.process.is_some()
                && server.ask("srvr").is_some_and(|answer| answer.contains("Mode: leader"))
        })
    }

    pub fn pause(&self, number: usize) {
        self.signal(number, libc::SIGSTOP);
    }

    pub fn resume(&self, number: usize) {
        self.signal(number, libc::SIGCONT);
    }

    fn signal(&self, number: usize, signal: libc::c_int) {
        self.servers[number].process.as_ref().expect("a server that runs").signal(signal);
    }

    /// 0 to 2.
    pub fn kill9(&mut self, number: usize) {
        self.servers[number].process = None;
    }

    pub fn restart(&mut self, number: usize) {
        let server = &mut self.servers[number];
        server.process = Some(spawn(&server.dir, &server.place));
    }

    /// Until the server, started again, is part of a quorum.
    pub fn wait_ready(&mut self, number: usize) {
        let Server { place, port, process, .. } = &mut self.servers[number];
        let process = process.as_mut().expect("a server that was started");
        process.ready(READY_LIMIT, |_| {
            ask(place.host(), *port, "srvr").filter(|answer| answer.contains("Mode:"))
        });
    }
}

impl Server {
    fn ask(&self, word: &str) -> Option<String> {
        ask(self.place.host(), self.port, word)
    }
}

fn spawn(dir: &Path, place: &Place) -> Process {
    let mut java = Command::new("java");
    java.args(["-Xmx96m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
    java.arg("-Djute.maxbuffer=4194304").arg("-cp").arg(jar());
    java.arg("org.apache.zookeeper.server.quorum.QuorumPeerMain");
    let namespace = place.namespace();
    Process::start_in(namespace.as_deref(), "zookeeper", dir, java.arg(dir.join("zoo.cfg")))
}
