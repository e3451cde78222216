//! The two brokers that are compared, each with a ZooKeeper of its own.

use std::time::Duration;

use tests::apache::ApacheBroker;
pub use tests::brokers::Kind;
use tests::java;
use tests::ottla::{self, Ottla};
use tests::wait;
use tests::zookeeper::{self, ZooKeeperServer};

use crate::process_cost;

/// In the order of the passes.
pub const KINDS: [Kind; 2] = [Kind::Apache, Kind::Ottla];

enum Broker {
    Ottla(Ottla),
    Apache(ApacheBroker),
}

pub struct Subject {
    pub kind: Kind,
    broker: Broker,
    zookeeper: ZooKeeperServer,
}

/// What one pass wrote is gone before the next, so that a run stays within the machine's memory: a
/// page that the page cache never held before costs more than one it had.
const SETTINGS: &str = "log.segment.delete.delay.ms=100";

impl Subject {
    pub fn start(kind: Kind) -> Subject {
        Self::start_with(kind, "")
    }

    /// With further lines of `server.properties`.
    pub fn start_with(kind: Kind, lines: &str) -> Subject {
        let settings = format!("{SETTINGS}\n{lines}");
        let zookeeper = ZooKeeperServer::start();
        let connect = format!("{}/kafka", zookeeper.connect());
        let broker = match kind {
            Kind::Ottla => Broker::Ottla(Ottla::start(Some(&connect), &settings)),
            Kind::Apache => {
                Broker::Apache(ApacheBroker::start_with(java::AS_SHIPPED, &connect, &settings))
            }
        };
        Subject { kind, broker, zookeeper }
    }

    pub fn bootstrap(&self) -> String {
        match &self.broker {
            Broker::Ottla(b) => b.bootstrap(),
            Broker::Apache(b) => b.bootstrap(),
        }
    }

    fn process_id(&self) -> u32 {
        match &self.broker {
            Broker::Ottla(b) => b.process().id(),
            Broker::Apache(b) => b.process().id(),
        }
    }

    pub fn memory_mib(&self) -> f64 {
        process_cost::memory_mib(self.process_id())
    }

    pub fn cpu_seconds(&self) -> f64 {
        process_cost::cpu_seconds(self.process_id())
    }

    pub fn kill9(&mut self) {
        match &mut self.broker {
            Broker::Ottla(b) => b.kill9(),
            Broker::Apache(b) => b.kill9(),
        }
    }

    /// Waits until ZooKeeper has forgotten the killed broker. Apache's cannot start before.
    pub fn wait_until_forgotten(&self) {
        let port = self.zookeeper.port();
        wait::until_true("the registration to go", Duration::from_secs(60), || {
            let dump = zookeeper::four_letters(port, "dump");
            dump.is_some_and(|dump| !dump.contains("/brokers/ids/1"))
        });
    }

    /// Starts the broker again on its data; comes back when it answers.
    pub fn restart(&mut self) {
        match &mut self.broker {
            Broker::Ottla(b) => b.restart(),
            Broker::Apache(b) => b.restart(),
        }
    }

    /// Makes a topic with our own tool, which speaks to either.
    pub fn create_topic(&self, topic: &str, partitions: u32) {
        let (bootstrap, partitions) = (self.bootstrap(), partitions.to_string());
        let args = ["topics", "--bootstrap-server", &bootstrap, "--create", "--topic", topic];
        ottla::tool(&[&args[..], &["--partitions", &partitions]].concat(), b"").ok();
    }

    pub fn delete_topic(&self, topic: &str) {
        let bootstrap = self.bootstrap();
        let args = ["topics", "--bootstrap-server", &bootstrap, "--delete", "--topic", topic];
        ottla::tool(&args, b"").ok();
    }
}
