//! The world of one run: computers, network, ensemble and clients, through a time of faults and a
//! time to heal. Everything follows from the seed. Knows nothing of what must hold.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use protocol::ids::{BrokerId, TopicPartition, Uuid};
use storage::disk::Crash;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::checker::Checker;
use crate::clients::Place;
use crate::clients::consumer::{Given, Kind, consume};
use crate::clients::operator::Operator;
use crate::clients::producer::{How, produce};
use crate::clients::transactor::transact;
use crate::computer::{Computer, Exit};
use crate::ensemble::Ensemble;
use crate::nemesis::Nemesis;
use crate::network::Network;
use crate::outcome::Outcome;
use crate::place::{LASTING, PARTITIONS, VOLATILE};
use crate::trace::Trace;

pub const BROKERS: [BrokerId; 3] = [1, 2, 3];

/// How long things go wrong.
const FAULTS: Duration = Duration::from_secs(25);
/// How long everything may take to be well again.
const HEALING: Duration = Duration::from_secs(90);
/// Between two looks at whether it is.
const LOOK: Duration = Duration::from_millis(250);

const SETTINGS: &[(&str, &str)] = &[
    ("log.dirs", "/data"),
    ("zookeeper.connect", "zookeeper:2181"),
    ("zookeeper.session.timeout.ms", "4000"),
    ("default.replication.factor", "3"),
    ("min.insync.replicas", "2"),
    ("offsets.topic.num.partitions", "2"),
    ("transaction.state.log.num.partitions", "2"),
    ("transaction.abort.timed.out.transaction.cleanup.interval.ms", "500"),
    ("replica.lag.time.max.ms", "3000"),
    ("replica.socket.timeout.ms", "3000"),
    ("controller.socket.timeout.ms", "3000"),
    ("request.timeout.ms", "3000"),
    ("log.segment.bytes", "16384"),
    ("log.cleaner.enable", "false"),
    ("log.segment.delete.delay.ms", "2000"),
    ("num.recovery.threads.per.data.dir", "1"),
    ("group.initial.rebalance.delay.ms", "0"),
    ("ottla.http.listener", ""),
];

pub struct World {
    pub network: Network,
    pub ensemble: Ensemble,
    pub trace: Trace,
    checker: Arc<Mutex<Checker>>,
    computers: Vec<Computer>,
    operator: Operator,
    quiet: CancellationToken,
    over: CancellationToken,
    /// Clients that are to end once it is quiet.
    writers: Vec<tokio::task::JoinHandle<()>>,
    given: Given,
    seed: u64,
}

impl World {
    pub fn new(seed: u64) -> World {
        let trace = Trace::new();
        let network = Network::new(seed, trace.clone());
        let checker = Arc::new(Mutex::new(Checker::new(trace.clone())));
        let ensemble = Ensemble::start(&network, checker.clone());
        let make = |id| Computer::new(id, network.clone(), SETTINGS);
        let computers = BROKERS.into_iter().map(make).collect();
        let (quiet, over) = (CancellationToken::new(), CancellationToken::new());
        let own = Place {
            number: 100,
            network: network.clone(),
            checker: checker.clone(),
            trace: trace.clone(),
            quiet: quiet.clone(),
            over: over.clone(),
            seed,
        };
        let mut world = World {
            network,
            ensemble,
            trace,
            checker,
            computers,
            operator: Operator::new(own.clone()),
            quiet,
            over,
            writers: Vec::new(),
            given: Given::default(),
            seed,
        };
        BROKERS.into_iter().for_each(|id| world.start(id));
        world.writers = world.clients(&own);
        world
    }

    fn clients(&self, own: &Place) -> Vec<tokio::task::JoinHandle<()>> {
        let at = |number| Place { number, ..own.clone() };
        let alone = |committed_only| Kind { group: None, committed_only };
        let how = |topic, acks, inflight_max| How { topic, acks, inflight_max };
        let member = || Kind { group: Some("readers"), committed_only: false };
        for (number, kind, given) in [
            (11, alone(false), Given::default()),
            (12, alone(true), Given::default()),
            (13, member(), self.given.clone()),
            (14, member(), self.given.clone()),
        ] {
            tokio::spawn(self.after_topics(consume(at(number), kind, given)));
        }
        vec![
            tokio::spawn(self.after_topics(produce(at(1), how(LASTING, "all", "1")))),
            tokio::spawn(self.after_topics(produce(at(0x103), how(LASTING, "all", "5")))),
            tokio::spawn(self.after_topics(produce(at(0x101), how(LASTING, "1", "5")))),
            tokio::spawn(self.after_topics(produce(at(0x102), how(VOLATILE, "all", "5")))),
            // Two that fence each other, and one alone.
            tokio::spawn(self.after_topics(transact(at(3), "shared"))),
            tokio::spawn(self.after_topics(transact(at(4), "shared"))),
            tokio::spawn(self.after_topics(transact(at(5), "alone"))),
        ]
    }

    /// Begins once both topics are there.
    fn after_topics(
        &self,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> impl Future<Output = ()> + Send + 'static {
        let operator = self.operator.clone();
        async move {
            for topic in [LASTING, VOLATILE] {
                while operator.create(topic).await.is_err() {
                    tokio::time::sleep(Duration::from_millis(300)).await;
                }
            }
            work.await;
        }
    }

    pub fn computer(&mut self, id: BrokerId) -> &mut Computer {
        self.computers.iter_mut().find(|computer| computer.id == id).expect("a computer")
    }

    pub fn start(&mut self, id: BrokerId) {
        let checker = self.checker.clone();
        checker.lock().started(id);
        self.computer(id).start(move |process| {
            if let Some(broker) = process.broker() {
                checker.lock().look_at_broker(id, broker.replicas.partitions());
            }
        });
    }

    pub fn kill(&mut self, id: BrokerId, crash: Crash) {
        self.computer(id).kill(crash);
        let mut checker = self.checker.lock();
        let machine = checker.machines.entry(id).or_default();
        machine.runs = false;
        machine.lost_power = crash != Crash::Kill;
    }

    /// Ends the broker's session with ZooKeeper, as if it had not been heard.
    pub fn expire(&mut self, id: BrokerId) {
        let process = self.computer(id).process.clone();
        let Some(broker) = process.and_then(|process| process.broker()) else { return };
        let session = broker.store.session_id();
        self.ensemble.act(|server, _| server.expire(session));
    }

    pub fn stands_alone(&self, id: BrokerId) -> bool {
        self.checker.lock().stands_alone(id)
    }

    /// Has the operator do something beside everything else.
    pub fn operate<F: Future<Output = ()> + Send + 'static>(
        &self,
        work: impl FnOnce(Operator) -> F,
    ) {
        tokio::spawn(work(self.operator.clone()));
    }

    pub fn is_wrong(&self) -> bool {
        self.checker.lock().wrong.is_some()
    }

    pub async fn run(mut self) -> Outcome {
        let mut nemesis = Nemesis::new(self.seed);
        tokio::time::sleep(Duration::from_secs(3)).await;
        nemesis.rage(&mut self, FAULTS).await;
        self.quiet.cancel();
        self.trace.note(|| "calm".to_owned());
        let deadline = Instant::now() + HEALING;
        while !self.is_wrong() {
            tokio::time::sleep(LOOK).await;
            self.mind_processes();
            match self.unsettled() {
                None => {
                    self.look_at_everything();
                    break;
                }
                Some(why) if Instant::now() > deadline => {
                    self.checker.lock().fail(format!("not well again: {why}"));
                }
                Some(_) => {}
            }
        }
        self.over.cancel();
        self.outcome()
    }

    /// What ended by itself is started again, as service managers do; a panic is never right.
    fn mind_processes(&mut self) {
        for id in BROKERS {
            let process = self.computer(id).process.clone();
            match process.and_then(|process| process.exit()) {
                None => {}
                Some(Exit::Panicked(text)) => {
                    self.checker.lock().fail(format!("broker {id} panicked: {text}"));
                }
                Some(exit) => {
                    self.trace.note(|| format!("broker {id}: {exit:?}"));
                    self.kill(id, Crash::Kill);
                    self.start(id);
                }
            }
        }
    }

    fn unsettled(&self) -> Option<String> {
        if self.writers.iter().any(|writer| !writer.is_finished()) {
            return Some("a client still writes".to_owned());
        }
        let unsettled = self.ensemble.look(|server| self.checker.lock().unsettled(server.tree()));
        unsettled.or_else(|| {
            let (checker, given) = (self.checker.lock(), self.given.lock());
            (0..PARTITIONS).find_map(|index| {
                let place = (TopicPartition::new(LASTING, index), Uuid::ZERO);
                let none = BTreeSet::new();
                let given = given.get(&index).unwrap_or(&none);
                let missing = checker.shown(&place).difference(given).next().copied();
                missing.map(|at| format!("the group was never given {LASTING}-{index} {at}"))
            })
        })
    }

    fn look_at_everything(&mut self) {
        self.checker.lock().look_at_transactions();
        for id in BROKERS {
            let process = self.computer(id).process.clone();
            let broker = process.and_then(|process| process.broker()).expect("all run at the end");
            self.checker.lock().look_at_logs(id, &broker.replicas.partitions());
        }
    }

    fn outcome(self) -> Outcome {
        let mut checker = self.checker.lock();
        Outcome {
            wrong: checker.wrong.take(),
            hash: self.trace.hash(),
            events: self.trace.events(),
            acked: checker.acked,
            consumed: checker.consumed,
            committed: checker.ledger.committed,
            aborted: checker.ledger.aborted,
        }
    }
}
