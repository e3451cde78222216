//! Apache's broker and ours, each beside a ZooKeeper of its own, both prepared alike.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use protocol::api::ApiKey;
use serde_json::{Value, json};
use tests::apache::ApacheBroker;
use tests::ottla::Ottla;
use tests::places;
use tests::zookeeper::{self, ZooKeeperServer};

use super::Case;
use super::names::Names;
use super::talk::{Exchange, Talk};

/// Beside what the harness gives every broker. Records of the cases are old, and must stay.
const CONFIG: &str = "transaction.state.log.num.partitions=5\nlog.retention.ms=-1\n";

/// What one case came to with one broker; the error is the script's own.
pub type Spoken = Result<Vec<Exchange>, String>;

enum Broker {
    Apache(ApacheBroker),
    Ottla(Ottla),
}

struct Side {
    // Declared first, so stopped first.
    broker: Broker,
    _zookeeper: ZooKeeperServer,
    address: String,
    names: Names,
}

pub struct Pair {
    apache: Side,
    ours: Side,
}

/// `OTTLA_TEST_SUBJECT=apache` makes both Apache's, which shows what differs by chance.
pub fn is_both_apache() -> bool {
    std::env::var("OTTLA_TEST_SUBJECT").as_deref() == Ok("apache")
}

impl Pair {
    /// `None` if something is missing.
    pub fn start() -> Option<Pair> {
        let with_apache = is_both_apache();
        let binary = if with_apache { places::kafka_lib() } else { places::ottla() };
        let needs = [
            ("Debian's zookeeper", zookeeper::jar()),
            ("Apache Kafka's jars", places::kafka_lib()),
            ("target/release/ottla", binary),
        ];
        if !places::have(&needs) {
            return None;
        }
        // One after the other: a server ends with the thread that started it.
        Some(Pair { apache: Side::start(true), ours: Side::start(with_apache) })
    }

    /// Speaks every case with both brokers.
    pub fn speak(&self, cases: &[Case]) -> Vec<(Spoken, Spoken)> {
        std::thread::scope(|scope| {
            let apache = scope.spawn(|| self.apache.speak(cases));
            let ours = self.ours.speak(cases);
            apache.join().expect("it catches what fails").into_iter().zip(ours).collect()
        })
    }
}

impl Side {
    fn start(apache: bool) -> Side {
        let zookeeper = ZooKeeperServer::start();
        let connect = format!("{}/kafka", zookeeper.connect());
        let broker = match apache {
            true => Broker::Apache(ApacheBroker::start(&connect, CONFIG)),
            false => Broker::Ottla(Ottla::start(Some(&connect), CONFIG)),
        };
        let (address, data) = match &broker {
            Broker::Apache(broker) => (broker.bootstrap(), broker.data_dir()),
            Broker::Ottla(broker) => (broker.bootstrap(), broker.data_dir()),
        };
        let mut names = prepare(&address, &data);
        names.call(&connect, "<zookeeper>");
        Side { broker, _zookeeper: zookeeper, address, names }
    }

    fn speak(&self, cases: &[Case]) -> Vec<Spoken> {
        cases.iter().map(|case| self.speak_one(case)).collect()
    }

    fn speak_one(&self, case: &Case) -> Spoken {
        let name = case.name();
        let mut talk = Talk::new(&self.address, &name, self.names.clone());
        match catch_unwind(AssertUnwindSafe(|| (case.run)(&mut talk))) {
            Ok(()) => Ok(talk.exchanges),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().cloned();
                Err(text
                    .or(panic.downcast_ref::<&str>().map(|t| (*t).to_owned()))
                    .unwrap_or_default())
            }
        }
    }
}

/// Has both coordinators make their topics, and learns what the broker is called.
fn prepare(address: &str, data: &Path) -> Names {
    let port = address.rsplit(':').next().and_then(|port| port.parse().ok());
    let mut names = Names::new(port.expect("an address has a port"));
    names.call(&data.display().to_string(), "<data>");
    names.call(address, "<address>");
    let mut talk = Talk::new(address, "preparation", names.clone());
    let cluster = talk.quietly(ApiKey::Metadata, 8, &json!({ "topics": [] }));
    names.call(cluster["cluster_id"].as_str().expect("a cluster id"), "<cluster>");
    for (kind, topic) in [(0, "__consumer_offsets"), (1, "__transaction_state")] {
        let body = json!({ "key": "any", "key_type": kind });
        let found = |answer: &Value| answer["error_code"] == 0;
        assert!(found(&talk.settle(ApiKey::FindCoordinator, 3, &body, found)), "no coordinator");
        names.call(&talk.topic_id(topic), &format!("<id of {topic}>"));
    }
    // Every partition of the coordinators is loaded once these are answered.
    for key in 0..30 {
        talk.producer(Some(&format!("loaded-{key}")));
        let body = json!({ "group_id": format!("loaded-{key}"), "members": [] });
        talk.settle(ApiKey::LeaveGroup, 3, &body, |answer| answer["error_code"] == 0);
    }
    names
}

impl Drop for Pair {
    /// Ends both politely where nothing failed, so that a broker that cannot stop is seen.
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        if let Broker::Ottla(broker) = &mut self.ours.broker {
            broker.stop();
        }
    }
}
