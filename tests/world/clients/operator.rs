//! The operator: makes and deletes topics, asks for elections and reassignments, and does what the
//! old tools do, straight in ZooKeeper.

use std::sync::Arc;
use std::time::Duration;

use client::cluster::Cluster;
use metadata::retry;
use metadata::store::{ANY_VERSION, MetadataStore, Op};
use metadata::znodes::controller;
use metadata::zookeeper::{self, ConnectString, Stream};
use protocol::error_code::ErrorCode;
use protocol::ids::BrokerId;
use protocol::messages::alter_partition_reassignments::{
    AlterPartitionReassignmentsRequest, ReassignablePartition, ReassignableTopic,
};
use protocol::messages::create_topics::{
    CreatableReplicaAssignment, CreatableTopic, CreateTopicsRequest,
};
use protocol::messages::delete_topics::DeleteTopicsRequest;
use protocol::messages::elect_leaders::ElectLeadersRequest;
use tokio::time::Instant;

use super::Place;
use crate::place::{LASTING, PARTITIONS, VOLATILE};

const TIMEOUT_MS: i32 = 5_000;

/// The operator; clones share everything.
#[derive(Clone)]
pub struct Operator {
    own: Place,
    cluster: Arc<Cluster>,
    store: Arc<dyn MetadataStore>,
}

impl Operator {
    /// Has a session with ZooKeeper for as long as the runtime lives.
    pub fn new(own: Place) -> Operator {
        let connect: ConnectString = "zookeeper:2181".parse().expect("an address");
        let start = Instant::now();
        let clock = Arc::new(move || 1_000_000 + start.elapsed().as_millis() as u64);
        let outlet = own.network.at(crate::network::Node::Client(own.number));
        let mut config = zookeeper::Config::new(connect, clock);
        config.connector = Arc::new(move |host, port| {
            let outlet = outlet.clone();
            Box::pin(async move {
                let side = outlet.connect(&client::Endpoint::new(host, port)).await?;
                Ok(Box::new(side) as Box<dyn Stream>)
            })
        });
        let (store, driver) = zookeeper::connect(config);
        tokio::spawn(driver.run());
        let cluster = Arc::new(own.cluster().with_timeout(Duration::from_secs(10)));
        Operator { own, cluster, store }
    }

    /// Makes a topic, each broker leading some of its partitions.
    pub async fn create(&self, name: &str) -> Result<(), String> {
        let assignment = |index: i32| CreatableReplicaAssignment {
            partition_index: index,
            broker_ids: (0..3).map(|at| (index + at) % 3 + 1).collect(),
        };
        let topic = CreatableTopic {
            name: name.to_owned(),
            num_partitions: -1,
            replication_factor: -1,
            assignments: (0..PARTITIONS).map(assignment).collect(),
            ..Default::default()
        };
        let request = CreateTopicsRequest {
            topics: vec![topic],
            timeout_ms: TIMEOUT_MS,
            ..Default::default()
        };
        let answer = self.cluster.call_controller(&request, |answer| {
            answer.topics.iter().map(|topic| topic.error_code).collect()
        });
        let answer = answer.await.map_err(|error| error.to_string())?;
        match ErrorCode(answer.topics.first().map_or(0, |topic| topic.error_code)) {
            ErrorCode::NONE | ErrorCode::TOPIC_ALREADY_EXISTS => Ok(()),
            code => Err(format!("{code:?}")),
        }
    }

    /// Deletes the volatile topic.
    pub async fn delete_volatile(&self) {
        let request = DeleteTopicsRequest {
            topic_names: vec![VOLATILE.to_owned()],
            topics: vec![protocol::messages::delete_topics::DeleteTopicState {
                name: Some(VOLATILE.to_owned()),
                ..Default::default()
            }],
            timeout_ms: TIMEOUT_MS,
        };
        let answer = self.cluster.call_controller(&request, |answer| {
            answer.responses.iter().map(|topic| topic.error_code).collect()
        });
        self.note("delete", answer.await.map(drop).map_err(|error| error.to_string()));
    }

    pub async fn elect_preferred(&self) {
        let request =
            ElectLeadersRequest { timeout_ms: TIMEOUT_MS, ..ElectLeadersRequest::default() };
        let answer = self.cluster.call_controller(&request, |answer| vec![answer.error_code]);
        self.note("elect", answer.await.map(drop).map_err(|error| error.to_string()));
    }

    /// Moves one partition of the lasting topic.
    pub async fn reassign(&self, index: i32, to: Vec<BrokerId>) {
        let partition = ReassignablePartition { partition_index: index, replicas: Some(to) };
        let topic = ReassignableTopic { name: LASTING.to_owned(), partitions: vec![partition] };
        let request =
            AlterPartitionReassignmentsRequest { timeout_ms: TIMEOUT_MS, topics: vec![topic] };
        let answer = self.cluster.call_controller(&request, |answer| vec![answer.error_code]);
        self.note("reassign", answer.await.map(drop).map_err(|error| error.to_string()));
    }

    /// Takes the controller's office away: the known way to have another elected.
    pub async fn depose(&self) {
        let path = controller::PATH.to_owned();
        let done = retry::one(&*self.store, Op::Delete { path, version: ANY_VERSION }).await;
        self.note("depose", done.map(drop).map_err(|error| error.to_string()));
    }

    fn note(&self, what: &str, done: Result<(), String>) {
        self.own.trace.note(|| format!("operator: {what}: {done:?}"));
    }
}
