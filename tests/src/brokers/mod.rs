//! A cluster of several brokers, each ours or Apache's, beside one ZooKeeper or an ensemble of
//! three. Knows nothing of what is sent through it.

pub mod member;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use client::{Connection, Options, TcpTransport, Versions};
use protocol::wire::Request;
use tempfile::TempDir;

pub use self::member::{Kind, Member};
use crate::ensemble::Ensemble;
use crate::network::{Network, Place};
use crate::znodes::Znodes;
use crate::zookeeper::{self, ZooKeeperServer};
use crate::{clients, ottla, places, wait};

const LIMIT: Duration = Duration::from_secs(90);

/// Quick detection of everything, three replicas, two of them needed. A test's own lines follow
/// and win.
const PROPERTIES: &str = "\
zookeeper.session.timeout.ms=4000
zookeeper.connection.timeout.ms=30000
default.replication.factor=3
num.partitions=4
min.insync.replicas=2
replica.lag.time.max.ms=3000
replica.fetch.wait.max.ms=200
replica.fetch.backoff.ms=200
offsets.topic.replication.factor=3
offsets.topic.num.partitions=5
transaction.state.log.replication.factor=3
transaction.state.log.num.partitions=3
transaction.state.log.min.isr=2
group.initial.rebalance.delay.ms=0
controlled.shutdown.retry.backoff.ms=500
log.segment.bytes=1048576
";

/// What to start.
pub struct Plan {
    kinds: Vec<Kind>,
    ensemble: bool,
    namespaces: bool,
    jvm: &'static [&'static str],
    lines: String,
}

impl Plan {
    /// Broker 1 is of the first kind, and so on; beside one ZooKeeper, on loopback.
    pub fn of(kinds: &[Kind]) -> Plan {
        let mut lines = PROPERTIES.to_owned();
        if kinds.contains(&Kind::Apache) {
            // A JVM that starts on a busy machine may stand still for longer than ours does, and
            // Apache's broker does not start if its session ends meanwhile.
            lines.push_str("zookeeper.session.timeout.ms=9000\n");
        }
        Plan { kinds: kinds.to_vec(), ensemble: false, namespaces: false, jvm: member::HEAP, lines }
    }

    /// Three of the kind under test.
    pub fn subject() -> Plan {
        Self::of(&[Kind::subject(); 3])
    }

    /// Beside three ZooKeepers.
    pub fn ensemble(mut self) -> Plan {
        self.ensemble = true;
        self
    }

    /// Every broker and every one of three ZooKeepers in a network namespace of its own.
    pub fn namespaces(mut self) -> Plan {
        (self.ensemble, self.namespaces) = (true, true);
        self
    }

    /// Apache's brokers get these options instead of small heaps.
    pub fn jvm(mut self, options: &'static [&'static str]) -> Plan {
        self.jvm = options;
        self
    }

    /// Further lines of everybody's `server.properties`.
    pub fn lines(mut self, lines: &str) -> Plan {
        self.lines.push_str(&format!("{lines}\n"));
        self
    }

    /// Starts all and waits until every broker knows every other; `None` if something is missing.
    pub fn start(self) -> Option<Brokers> {
        let mut needs = vec![("Debian's zookeeper", zookeeper::jar())];
        needs.extend(self.kinds.iter().map(|kind| kind.needs()));
        // The harness itself uses our tools.
        needs.push(Kind::Ottla.needs());
        if !places::have(&needs) {
            return None;
        }
        let mut network = if self.namespaces { Some(Network::new()?) } else { None };
        let mut place = || network.as_mut().map_or(Place::Loopback, Network::node);
        let store = match self.ensemble {
            true => Store::Ensemble(Ensemble::start_at([place(), place(), place()])),
            false => Store::One(ZooKeeperServer::start()),
        };
        let connect = format!("{}/kafka", store.connect());
        let lines = format!("zookeeper.connect={connect}\n{}", self.lines);
        let dir = tempfile::tempdir().expect("a temporary directory");
        let members = self.kinds.iter().zip(1..).map(|(kind, id)| {
            let dir = dir.path().join(id.to_string());
            Member::new(id, *kind, place(), dir, &lines).with_jvm(self.jvm)
        });
        let members = members.collect();
        let znodes = Znodes::connect(&connect);
        let mut brokers = Brokers { members, znodes, store, network, dir };
        brokers.start_all();
        Some(brokers)
    }
}

enum Store {
    One(ZooKeeperServer),
    Ensemble(Ensemble),
}

impl Store {
    fn connect(&self) -> String {
        match self {
            Store::One(server) => server.connect(),
            Store::Ensemble(ensemble) => ensemble.connect(),
        }
    }
}

/// The running cluster. Whatever of it still runs when it is dropped is killed.
pub struct Brokers {
    // Declared first, so stopped first.
    members: Vec<Member>,
    znodes: Znodes,
    store: Store,
    network: Option<Network>,
    dir: TempDir,
}

impl Brokers {
    /// Every broker that is down; waits until all know all. The first one comes alone, so that
    /// it is the controller of a new cluster.
    pub fn start_all(&mut self) {
        self.members[0].start();
        self.members[0].wait_ready();
        wait::until_true("a controller", LIMIT, || self.znodes.controller().is_some());
        for member in self.members[1..].iter_mut() {
            member.start();
        }
        for member in self.members[1..].iter_mut() {
            member.wait_ready();
        }
        self.wait_members();
    }

    /// Until every broker that is up knows every other that is.
    pub fn wait_members(&self) {
        let up: Vec<&Member> = self.members.iter().filter(|member| member.is_up()).collect();
        let count = format!(" {} brokers:", up.len());
        for member in &up {
            let what = format!("broker {} to know{count}", member.id);
            wait::until_true(&what, LIMIT, || {
                clients::kcat(&member.address(), &["-L"], b"").out.contains(&count)
            });
        }
    }

    pub fn ids(&self) -> Vec<i32> {
        self.members.iter().map(|member| member.id).collect()
    }

    #[track_caller]
    pub fn member(&self, id: i32) -> &Member {
        self.members.iter().find(|member| member.id == id).expect("a broker of this cluster")
    }

    #[track_caller]
    pub fn member_mut(&mut self, id: i32) -> &mut Member {
        self.members.iter_mut().find(|member| member.id == id).expect("a broker of this cluster")
    }

    /// Where this broker runs.
    #[track_caller]
    pub fn place(&self, id: i32) -> &Place {
        self.member(id).place()
    }

    /// Where the others run.
    pub fn others(&self, id: i32) -> Vec<&Place> {
        self.members.iter().filter(|member| member.id != id).map(Member::place).collect()
    }

    /// Where the ZooKeepers of the ensemble run.
    #[track_caller]
    pub fn zookeepers(&self) -> Vec<&Place> {
        match &self.store {
            Store::Ensemble(ensemble) => (0..3).map(|number| ensemble.place(number)).collect(),
            Store::One(_) => panic!("this cluster has one ZooKeeper"),
        }
    }

    /// Where the test and its clients are.
    #[track_caller]
    pub fn test_place(&self) -> Place {
        self.network.as_ref().expect("brokers in namespaces").test()
    }

    /// Everybody's address, with commas.
    pub fn bootstrap(&self) -> String {
        self.members.iter().map(Member::address).collect::<Vec<_>>().join(",")
    }

    pub fn znodes(&self) -> &Znodes {
        &self.znodes
    }

    /// `zookeeper.connect` without the chroot.
    pub fn zookeeper_connect(&self) -> String {
        self.store.connect()
    }

    #[track_caller]
    pub fn ensemble(&mut self) -> &mut Ensemble {
        match &mut self.store {
            Store::Ensemble(ensemble) => ensemble,
            Store::One(_) => panic!("this cluster has one ZooKeeper"),
        }
    }

    #[track_caller]
    pub fn zookeeper(&mut self) -> &mut ZooKeeperServer {
        match &mut self.store {
            Store::One(server) => server,
            Store::Ensemble(_) => panic!("this cluster has an ensemble"),
        }
    }

    /// Where every ZooKeeper keeps its transaction logs.
    pub fn zookeeper_data_dirs(&self) -> Vec<PathBuf> {
        match &self.store {
            Store::One(server) => vec![server.data_dir()],
            Store::Ensemble(ensemble) => ensemble.data_dirs(),
        }
    }

    /// Every broker's id and data directory.
    pub fn data_dirs(&self) -> Vec<(i32, PathBuf)> {
        self.members.iter().map(|member| (member.id, member.data_dir())).collect()
    }

    pub fn kill9(&mut self, id: i32) {
        self.member_mut(id).kill9();
    }

    pub fn stop(&mut self, id: i32) {
        self.member_mut(id).stop();
    }

    /// Starts one that is down, and waits until it serves.
    pub fn restart(&mut self, id: i32) {
        if self.member(id).kind() == Kind::Apache {
            // Apache's does not start while its killed predecessor is still registered.
            wait::until_true(&format!("broker {id}'s session to end"), LIMIT, || {
                !self.znodes.brokers().contains(&id)
            });
        }
        self.member_mut(id).start();
        self.member_mut(id).wait_ready();
    }

    /// Stops one and starts the other kind in its place, on the same data.
    pub fn replace(&mut self, id: i32, kind: Kind) {
        self.stop(id);
        self.member_mut(id).become_kind(kind);
        self.restart(id);
    }

    /// The current controller, once there is one among the brokers that are up.
    pub fn controller(&self) -> i32 {
        wait::until("a controller", LIMIT, || {
            self.znodes.controller().filter(|id| self.member(*id).is_up())
        })
    }

    /// Makes this broker the controller, by deposing others until it wins.
    pub fn make_controller(&self, id: i32) {
        wait::until_true(&format!("broker {id} as controller"), LIMIT, || {
            let controls = self.znodes.controller();
            if controls.is_some_and(|other| other != id) {
                let _ = self.znodes.delete("/controller");
            }
            controls == Some(id)
        });
    }

    /// The leader of a partition, once it has one.
    pub fn leader(&self, topic: &str, partition: i32) -> i32 {
        wait::until(&format!("a leader of {topic}-{partition}"), LIMIT, || {
            self.znodes.partition(topic, partition).map(|p| p.leader).filter(|leader| *leader >= 0)
        })
    }

    /// Three replicas on every broker in turn, whatever the settings say.
    pub fn create_topic(&self, topic: &str, partitions: u32) {
        self.create_topic_with(topic, &["--partitions", &partitions.to_string()]);
    }

    /// With the flags of `topics --create`.
    pub fn create_topic_with(&self, topic: &str, flags: &[&str]) {
        self.ask_for_topic(topic, flags);
        self.wait_full_isr(topic);
    }

    /// The same, without waiting for its replicas.
    pub fn ask_for_topic(&self, topic: &str, flags: &[&str]) {
        self.tool("topics", &[&["--create", "--topic", topic], flags].concat());
    }

    pub fn delete_topic(&self, topic: &str) {
        self.tool("topics", &["--delete", "--topic", topic]);
    }

    /// Every partition's first replica leads it afterwards, if it is in sync.
    pub fn elect_preferred(&self) {
        self.tool("leader-election", &["--election-type", "preferred", "--all-topic-partitions"]);
    }

    /// One of our tools, pointed at everybody.
    pub fn tool(&self, name: &str, args: &[&str]) {
        let bootstrap = self.bootstrap();
        let all = [&[name, "--bootstrap-server", &bootstrap], args].concat();
        ottla::tool(&all, b"").ok();
    }

    /// One request to a broker, in the newest version and without a handshake.
    #[track_caller]
    pub fn call<R: Request>(&self, id: i32, request: &R) -> R::Response {
        self.call_in(id, request, R::MAX_VERSION)
    }

    /// The same in this version.
    #[track_caller]
    pub fn call_in<R: Request>(&self, id: i32, request: &R, version: i16) -> R::Response {
        let to = self.member(id).address().parse().expect("host:port");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let versions = Versions::Pinned(BTreeMap::new());
            let opening = Connection::open(&TcpTransport, &to, Options::default(), versions);
            let (connection, driver) = opening.await.expect("a connection");
            tokio::spawn(driver);
            connection.call_in(request, version).await.expect("an answer")
        })
    }

    /// Until every partition of the topic has a leader and all its replicas in sync.
    #[track_caller]
    pub fn wait_full_isr(&self, topic: &str) {
        let full = || {
            let assigned = self.znodes.assignment(topic)?.partitions;
            let full = assigned.iter().all(|(number, replicas)| {
                self.znodes.partition(topic, *number).is_some_and(|state| {
                    state.leader >= 0 && state.isr.len() == replicas.replicas.len()
                })
            });
            full.then_some(())
        };
        if let Err(waited) = wait::try_until(LIMIT, full) {
            let partitions = self.znodes.partitions(topic);
            panic!("{waited:?} in vain for all replicas of {topic} in sync: {partitions:#?}");
        }
    }

    /// The same of every topic.
    #[track_caller]
    pub fn wait_all_in_sync(&self) {
        self.znodes.topics().iter().for_each(|topic| self.wait_full_isr(topic));
    }

    /// SIGTERM to all that run, at once.
    pub fn stop_all(&mut self) {
        let mut up: Vec<&mut Member> = self.members.iter_mut().filter(|m| m.is_up()).collect();
        up.iter_mut().for_each(|member| member.terminate());
        up.iter_mut().for_each(|member| member.wait_stopped());
    }
}

impl Drop for Brokers {
    fn drop(&mut self) {
        if std::thread::panicking() && std::env::var_os("OTTLA_TEST_KEEP").is_some() {
            self.dir.disable_cleanup(true);
            eprintln!("kept: {}", self.dir.path().display());
        }
    }
}
