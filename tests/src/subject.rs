//! What a test runs against: our broker on either metadata store, or, from the same code, Apache's.

use crate::apache::ApacheBroker;
use crate::ottla::Ottla;
use crate::places;
use crate::zookeeper::{self, ZooKeeperServer};

/// Where the metadata lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    ZooKeeper,
    Embedded,
}

enum Broker {
    Ottla(Ottla),
    Apache(ApacheBroker),
}

/// One broker with its metadata store. `OTTLA_TEST_SUBJECT=apache` makes it Apache's.
pub struct Cluster {
    // Declared first, so stopped first.
    broker: Broker,
    zookeeper: Option<ZooKeeperServer>,
}

impl Cluster {
    /// Starts one; `None` if something it needs is missing, or where Apache's broker is the subject
    /// and the store is embedded, which it does not have.
    pub fn start(store: Store, extra: &str) -> Option<Cluster> {
        let apache = std::env::var("OTTLA_TEST_SUBJECT").as_deref() == Ok("apache");
        if apache && store == Store::Embedded {
            return None;
        }
        let mut needs = vec![];
        if store == Store::ZooKeeper {
            needs.push(("Debian's zookeeper", zookeeper::jar()));
        }
        needs.push(("Apache Kafka's jars", places::kafka_lib()));
        if !apache {
            needs.push(("target/release/ottla", places::ottla()));
        }
        if !places::have(&needs) {
            return None;
        }
        let zookeeper = (store == Store::ZooKeeper).then(ZooKeeperServer::start);
        let connect = zookeeper.as_ref().map(|z| format!("{}/kafka", z.connect()));
        let broker = match &connect {
            Some(connect) if apache => Broker::Apache(ApacheBroker::start(connect, extra)),
            connect => Broker::Ottla(Ottla::start(connect.as_deref(), extra)),
        };
        Some(Cluster { broker, zookeeper })
    }

    pub fn bootstrap(&self) -> String {
        match &self.broker {
            Broker::Ottla(b) => b.bootstrap(),
            Broker::Apache(b) => b.bootstrap(),
        }
    }

    pub fn data_dir(&self) -> std::path::PathBuf {
        match &self.broker {
            Broker::Ottla(b) => b.data_dir(),
            Broker::Apache(b) => b.data_dir(),
        }
    }

    pub fn zookeeper(&mut self) -> Option<&mut ZooKeeperServer> {
        self.zookeeper.as_mut()
    }

    pub fn process(&self) -> &crate::process::Process {
        match &self.broker {
            Broker::Ottla(b) => b.process(),
            Broker::Apache(b) => b.process(),
        }
    }

    pub fn kill9(&mut self) {
        match &mut self.broker {
            Broker::Ottla(b) => b.kill9(),
            Broker::Apache(b) => b.kill9(),
        }
    }

    pub fn stop(&mut self) {
        match &mut self.broker {
            Broker::Ottla(b) => b.stop(),
            Broker::Apache(b) => b.stop(),
        }
    }

    /// Starts the broker again on the same data and port, after `kill9` or `stop`.
    pub fn restart(&mut self) {
        match &mut self.broker {
            Broker::Ottla(b) => b.restart(),
            Broker::Apache(b) => b.restart(),
        }
    }
}

/// Makes a test of `fn NAME(cluster: Cluster)` for each metadata store.
#[macro_export]
macro_rules! on_both_stores {
    ($($name:ident),+ $(,)?) => {
        $(mod $name {
            #[test]
            fn beside_zookeeper() {
                if let Some(cluster) = $crate::Cluster::start($crate::Store::ZooKeeper, "") {
                    super::$name(cluster);
                }
            }
            #[test]
            fn embedded() {
                if let Some(cluster) = $crate::Cluster::start($crate::Store::Embedded, "") {
                    super::$name(cluster);
                }
            }
        })+
    };
}
