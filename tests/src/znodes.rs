//! What a cluster's znodes say now: who controls, who leads, who is in sync. Blocking, for tests.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use metadata::store::{ANY_VERSION, MetadataStore, Op, Reply, StoreError};
use metadata::znodes::partition_state::{self, PartitionState};
use metadata::znodes::topic::{self, TopicAssignment};
use metadata::znodes::{controller, controller_epoch};
use metadata::{retry, zookeeper};
use protocol::ids::TopicPartition;
use tokio::runtime::Runtime;

use crate::logs::Assigned;

/// An answer that takes longer counts as none: the ensemble has no quorum.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// A session of the test's own, below the cluster's chroot.
pub struct Znodes {
    runtime: Runtime,
    store: Arc<dyn MetadataStore>,
}

impl Znodes {
    /// `connect` as in `zookeeper.connect`.
    pub fn connect(connect: &str) -> Znodes {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().build().expect("a runtime");
        let started = Instant::now();
        let clock = Arc::new(move || u64::try_from(started.elapsed().as_millis()).unwrap_or(0));
        let connect = connect.parse().expect("host:port/chroot");
        let (store, driver) = zookeeper::connect(zookeeper::Config::new(connect, clock));
        runtime.spawn(driver.run());
        Znodes { runtime, store }
    }

    /// One operation; `None` if the ensemble does not answer.
    pub fn ask(&self, op: Op) -> Option<Result<Reply, StoreError>> {
        self.runtime.block_on(async {
            tokio::time::timeout(ANSWER_LIMIT, retry::one(&*self.store, op)).await.ok()
        })
    }

    /// A node's value and data version.
    pub fn get(&self, path: &str) -> Option<(Bytes, i32)> {
        match self.ask(Op::Get { path: path.to_owned(), watch: false })?.ok()? {
            Reply::Data { data, stat } => Some((data.unwrap_or_default(), stat.version)),
            _ => None,
        }
    }

    /// The transaction that created a node: a broker's epoch.
    pub fn created_by(&self, path: &str) -> Option<i64> {
        match self.ask(Op::Get { path: path.to_owned(), watch: false })?.ok()? {
            Reply::Data { stat, .. } => Some(stat.czxid),
            _ => None,
        }
    }

    /// The names below a node; none where there is no such node.
    pub fn children(&self, path: &str) -> Vec<String> {
        match self.ask(Op::Children { path: path.to_owned(), watch: false }) {
            Some(Ok(Reply::Children { names, .. })) => names,
            _ => vec![],
        }
    }

    /// Overwrites a node, whatever its version.
    pub fn set(&self, path: &str, data: &[u8]) -> Result<(), StoreError> {
        let data = Some(Bytes::copy_from_slice(data));
        let op = Op::Set { path: path.to_owned(), data, version: ANY_VERSION };
        self.ask(op).expect("the ensemble answers").map(|_| ())
    }

    pub fn delete(&self, path: &str) -> Result<(), StoreError> {
        let op = Op::Delete { path: path.to_owned(), version: ANY_VERSION };
        self.ask(op).expect("the ensemble answers").map(|_| ())
    }

    pub fn controller(&self) -> Option<i32> {
        let (data, _) = self.get(controller::PATH)?;
        controller::decode(Some(&data)).ok().map(|registration| registration.broker_id)
    }

    pub fn controller_epoch(&self) -> Option<i32> {
        let (data, _) = self.get(controller_epoch::PATH)?;
        controller_epoch::decode(Some(&data)).ok()
    }

    /// Registered brokers, in order.
    pub fn brokers(&self) -> Vec<i32> {
        let mut ids: Vec<i32> =
            self.children("/brokers/ids").iter().filter_map(|id| id.parse().ok()).collect();
        ids.sort_unstable();
        ids
    }

    pub fn partition(&self, topic: &str, partition: i32) -> Option<PartitionState> {
        let tp = TopicPartition::new(topic, partition);
        let (data, _) = self.get(&partition_state::path(&tp))?;
        PartitionState::decode(&tp, Some(&data)).ok()
    }

    /// Every partition of a topic that has a state.
    pub fn partitions(&self, topic: &str) -> Vec<PartitionState> {
        let mut numbers: Vec<i32> = self
            .children(&partition_state::partitions_path(topic))
            .iter()
            .filter_map(|number| number.parse().ok())
            .collect();
        numbers.sort_unstable();
        numbers.iter().filter_map(|number| self.partition(topic, *number)).collect()
    }

    /// Every partition's replicas, as assigned.
    pub fn assignment(&self, name: &str) -> Option<TopicAssignment> {
        let (data, _) = self.get(&topic::path(name))?;
        TopicAssignment::decode(name, Some(&data)).ok()
    }

    /// The brokers that are to have each partition, by the name of its directory.
    pub fn assigned(&self) -> Assigned {
        let topics = self.topics().into_iter();
        let known = topics.filter_map(|topic| Some((self.assignment(&topic)?, topic)));
        let partitions = known.flat_map(|(assignment, topic)| {
            let partitions = assignment.partitions.into_iter();
            partitions.map(move |(index, replicas)| {
                (format!("{topic}-{index}"), replicas.replicas.into_iter().collect())
            })
        });
        partitions.collect()
    }

    /// Every topic there is.
    pub fn topics(&self) -> Vec<String> {
        self.children(topic::TOPICS_PATH)
    }
}

impl Drop for Znodes {
    fn drop(&mut self) {
        let closed = self.store.close();
        let _ = self.runtime.block_on(async { tokio::time::timeout(ANSWER_LIMIT, closed).await });
    }
}
