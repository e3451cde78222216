//! A broker's parts for unit tests: the real ones, wired as in a running broker, on a disk in
//! memory and an embedded store. Nothing listens and nothing runs but what a test starts.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use coordinator::group::request::{Caller, JoinRequest, OffsetCommit, Protocol, SyncRequest};
use coordinator::group::service::OFFSETS_TOPIC;
use coordinator::shard::Producer;
use coordinator::transaction::TransactionError;
use coordinator::transaction::request::{Filter, InitAnswer, InitRequest};
use coordinator::transaction::service::TRANSACTIONS_TOPIC;
use metadata::embedded;
use protocol::ids::{BrokerId, Offset, ProducerEpoch, ProducerId, TopicPartition, Uuid};
use protocol::messages::update_metadata::{
    UpdateMetadataBroker, UpdateMetadataEndpoint, UpdateMetadataPartitionState,
    UpdateMetadataRequest, UpdateMetadataTopicState,
};
use protocol::records::builder::{BatchBuilder, BatchOptions};
use replica::partition::PartitionAssignment;
use storage::AppendOrigin;
use storage::disk::{Disk, MemoryDisk};
use storage::log_dir::LogDir;
use storage::log_manager::LogManager;

use crate::authorizer::{AuthorizedPartitions, CLUSTER, Requester};
use crate::broker::Broker;
use crate::clock::Clock;
use crate::config::{BrokerConfig, Source};
use crate::groups::CommitHeader;
use crate::host::Host;
use crate::replication::Hosting;
use crate::replication::manager::RoleOrder;
use crate::replication::partition::AppendTerms;
use crate::replication::topic_configs::TopicConfigs;
use crate::request::{ConnectionContext, Reply, RequestContext};

/// The broker that a testbed is.
pub const ID: BrokerId = 1;
/// Where clients are told to reach it, on [`LISTENER`].
pub const PORT: i32 = 9092;
/// The listener that every request comes from.
pub const LISTENER: &str = "PLAINTEXT";

/// Parts of a broker that leads what a test wants it to.
pub struct Testbed {
    broker: Broker,
    _dir: tempfile::TempDir,
}

impl Deref for Testbed {
    type Target = Broker;

    fn deref(&self) -> &Broker {
        &self.broker
    }
}

impl Testbed {
    /// With the defaults, except that coordinators have one partition each and groups do not wait
    /// for more members. To be called in a runtime.
    pub fn new() -> Testbed {
        Testbed::with(&[])
    }

    pub fn with(settings: &[(&str, &str)]) -> Testbed {
        let mut config = BrokerConfig::defaults();
        let few = [
            ("offsets.topic.num.partitions", "1"),
            ("transaction.state.log.num.partitions", "1"),
            ("group.initial.rebalance.delay.ms", "0"),
        ];
        for (key, value) in few.iter().chain(settings) {
            config.set(Source::Static, key, value).expect("a value that the key can have");
        }
        let clock = Clock::system();
        let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::default());
        let host = Host { disk: disk.clone(), ..Host::computer(clock, &[], || {}) };
        let topics = Arc::new(TopicConfigs::new(&config));
        let dir = LogDir::open(disk.clone(), Path::new("/data")).expect("a directory");
        let logs = LogManager::new(disk, vec![dir], false, clock.now_ms()).expect("no logs");
        logs.load_all(&|topic| topics.of(topic), clock.now_ms());
        let hosting = Hosting::new(ID, &config, topics, logs);
        let temporary = tempfile::tempdir().expect("a directory");
        let wall = Arc::new(move || u64::try_from(clock.now_ms()).unwrap_or(0));
        let store = embedded::open(&temporary.path().join("store"), wall);
        let (store, driver) = store.expect("a new store");
        let cluster = "test-cluster".to_owned();
        let broker = Broker::new(config, &host, store, ID, cluster, hosting);
        broker.tasks.spawn(driver.run());
        Testbed { broker, _dir: temporary }
    }

    /// This broker leads `partitions` partitions of a topic from now on.
    pub fn lead(&self, topic: &str, partitions: i32) {
        self.place(topic, partitions, ID, 0);
    }

    /// The controller's orders of one leader epoch: the topic's partitions are here and on broker
    /// 2, and `leader` leads them.
    pub fn place(&self, topic: &str, partitions: i32, leader: BrokerId, leader_epoch: i32) {
        let replicas = if leader == ID { vec![ID] } else { vec![ID, leader] };
        let id = topic_id(topic);
        self.metadata.apply(&update(topic, partitions, leader, leader_epoch, &replicas));
        let order = |index| RoleOrder {
            topic: topic.to_owned(),
            topic_id: id,
            index,
            is_new: leader_epoch == 0,
            assignment: PartitionAssignment {
                controller_epoch: 1,
                leader,
                leader_epoch,
                isr: replicas.clone(),
                partition_epoch: leader_epoch,
                replicas: replicas.clone(),
                adding: Vec::new(),
                removing: Vec::new(),
            },
        };
        let orders: Vec<_> = (0..partitions).map(order).collect();
        let controller = self.internal.authorized(CLUSTER);
        let obeyed = self.orders.take_roles(&controller, (1, -1), &orders);
        let obeyed = obeyed.expect("the controller is no former one");
        assert!(obeyed.results.iter().all(Result::is_ok), "{:?}", obeyed.results);
    }

    /// This broker coordinates all groups, and has loaded them.
    pub async fn coordinate_groups(&self) {
        self.lead(OFFSETS_TOPIC, 1);
        let all = self.internal.authorized(CLUSTER);
        while self.groups.list(&all).await.expect("it coordinates").1 {
            tokio::task::yield_now().await;
        }
    }

    /// This broker coordinates all transactions, and has loaded them.
    pub async fn coordinate_transactions(&self) {
        self.lead(TRANSACTIONS_TOPIC, 1);
        let everyone = || Requester::new(&self.authorizer, &context(0));
        let loading = Err(TransactionError::CoordinatorLoadInProgress);
        while self.transactions.list(Filter::default(), everyone()).await.map(drop) == loading {
            tokio::task::yield_now().await;
        }
    }

    /// The producer of a transaction that has partition 0 of `topic`, which this broker leads.
    pub async fn begin_transaction(&self, id: &str, topic: &str) -> Producer {
        if self.metadata.load().topic(TRANSACTIONS_TOPIC).is_none() {
            self.coordinate_transactions().await;
        }
        if self.metadata.load().topic(topic).is_none() {
            self.lead(topic, 1);
        }
        self.producer_ids.give(1000, 1000);
        let id = self.internal.authorized(id);
        let init = InitRequest { timeout_ms: 60_000, expected: None, fresh_id: None };
        let InitAnswer::Ready(producer) = self.transactions.init(&id, init).await else {
            panic!("the id is new");
        };
        let mut partitions = AuthorizedPartitions::default();
        partitions.push(&self.internal.authorized(topic), 0, ());
        let adding = self.transactions.add_partitions(&id, producer, partitions);
        assert_eq!(adding.await, Ok(()));
        producer
    }

    /// Appends a batch to a partition that this broker leads.
    pub fn append(&self, topic: &str, index: i32, values: &[&str]) {
        let terms = AppendTerms {
            origin: AppendOrigin::Client,
            acks_all: false,
            leader_epoch: None,
            guard: None,
        };
        let partition = self.replicas.find(topic, index).expect("it is here");
        let (proof, now_ms) = (self.internal.authorized(topic), self.clock.now_ms());
        partition.append(&proof, &batch(values), terms, now_ms).expect("it is led here");
    }

    /// The log end offset of a partition here.
    pub fn log_end(&self, topic: &str, index: i32) -> Offset {
        let partition = self.replicas.find(topic, index).expect("it is here");
        partition.log().expect("it has a log").log_end_offset()
    }

    /// The only member of a classic group, with an assignment. This broker coordinates it.
    pub async fn member(&self, group: &str) -> Caller {
        let join = JoinRequest {
            member_id: String::new(),
            instance_id: None,
            client_id: "c".to_owned(),
            client_host: "/127.0.0.1".to_owned(),
            rebalance_timeout_ms: 60_000,
            session_timeout_ms: 60_000,
            protocol_type: "consumer".to_owned(),
            protocols: vec![Protocol { name: "range".to_owned(), metadata: Bytes::new() }],
            needs_known_member_id: false,
            can_skip_assignment: true,
            random: 7,
            reason: None,
        };
        let group = self.internal.authorized(group);
        let joined = self.groups.join(&group, join).await;
        assert_eq!(joined.error, None);
        let member_id = joined.member_id.to_string();
        let caller = Caller { member_id, instance_id: None, generation: joined.generation };
        let sync = SyncRequest {
            caller: caller.clone(),
            protocol_type: None,
            protocol: None,
            assignments: vec![(caller.member_id.clone(), Bytes::from_static(b"a"))],
        };
        assert_eq!(self.groups.sync(&group, sync).await.error, None);
        caller
    }

    /// Commits an offset from outside a group.
    pub async fn commit(&self, group: &str, topic: &str, index: i32, offset: Offset) {
        let mut offsets = AuthorizedPartitions::default();
        let commit_ms = self.clock.now_ms();
        let commit = OffsetCommit {
            offset,
            leader_epoch: -1,
            metadata: "m".to_owned(),
            commit_ms,
            expire_ms: None,
        };
        offsets.push(&self.internal.authorized(topic), index, commit);
        let nobody = Caller { generation: -1, ..Caller::default() };
        let header = CommitHeader { caller: nobody, ..CommitHeader::default() };
        let committed = self.groups.commit(&self.internal.authorized(group), header, offsets).await;
        assert_eq!(committed, [(TopicPartition::new(topic, index), None)]);
    }
}

/// A batch of values from no producer in particular.
pub fn batch(values: &[&str]) -> Vec<u8> {
    built(BatchOptions::default(), values)
}

/// The first batch of a producer in a partition, in a transaction.
pub fn transactional_batch(
    (producer_id, producer_epoch): (ProducerId, ProducerEpoch),
    values: &[&str],
) -> Vec<u8> {
    let (base_sequence, transactional) = (0, true);
    let options = BatchOptions {
        producer_id,
        producer_epoch,
        base_sequence,
        transactional,
        ..BatchOptions::default()
    };
    built(options, values)
}

fn built(options: BatchOptions, values: &[&str]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(options);
    for value in values {
        builder.append(1_000, None, Some(value.as_bytes()), &[]).expect("a record");
    }
    builder.finish().expect("a batch")
}

/// Every topic has an id that follows from its name.
pub fn topic_id(topic: &str) -> Uuid {
    let mut id = [1; 16];
    id.iter_mut().zip(topic.bytes()).for_each(|(to, from)| *to = from);
    Uuid(id)
}

fn update(
    topic: &str,
    partitions: i32,
    leader: BrokerId,
    leader_epoch: i32,
    replicas: &[BrokerId],
) -> UpdateMetadataRequest {
    let endpoint = |id: BrokerId| UpdateMetadataEndpoint {
        port: PORT + id - ID,
        host: "localhost".to_owned(),
        listener: LISTENER.to_owned(),
        security_protocol: 0,
    };
    let broker = |id: BrokerId| UpdateMetadataBroker {
        id,
        endpoints: vec![endpoint(id)],
        ..UpdateMetadataBroker::default()
    };
    let state = |partition_index| UpdateMetadataPartitionState {
        partition_index,
        controller_epoch: 1,
        leader,
        leader_epoch,
        isr: replicas.to_vec(),
        replicas: replicas.to_vec(),
        ..UpdateMetadataPartitionState::default()
    };
    UpdateMetadataRequest {
        controller_id: ID,
        controller_epoch: 1,
        live_brokers: [ID, 2].map(broker).to_vec(),
        topic_states: vec![UpdateMetadataTopicState {
            topic_name: topic.to_owned(),
            topic_id: topic_id(topic),
            partition_states: (0..partitions).map(state).collect(),
        }],
        ..UpdateMetadataRequest::default()
    }
}

/// A request of this version from a client `c`. The key is left open: no handler asks for it.
pub fn context(api_version: i16) -> RequestContext {
    let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    RequestContext {
        connection: Arc::new(ConnectionContext {
            id: "127.0.0.1:9092-127.0.0.1:50000-0".to_owned(),
            peer: at(50_000),
            local: at(9092),
            listener: Arc::from(LISTENER),
            principal: Arc::from("User:ANONYMOUS"),
        }),
        api_key: -1,
        api_version,
        correlation_id: 7,
        client_id: Some(Arc::from("c")),
        arrived_ms: 0.0,
    }
}

/// Waits for whatever a reply waits for.
pub async fn answer<R>(mut reply: Reply<R>) -> R {
    loop {
        reply = match reply {
            Reply::Now(answer) => return answer,
            Reply::Later(later) => return later.await,
            Reply::Held(rest) => rest.await,
            Reply::Nothing => panic!("there is no answer"),
            Reply::Close(reason) => panic!("the connection is closed: {reason}"),
        }
    }
}

/// The answer that is there at once.
pub fn now<R>(reply: Reply<R>) -> R {
    match reply {
        Reply::Now(answer) => answer,
        _ => panic!("the answer is not there at once"),
    }
}
