//! What is counted when somebody looks: log directories, groups, transactions and the
//! controller's view of the cluster, under the names that the JMX exporter's example rules give to
//! Kafka's beans. Knows nothing of HTTP.

use std::collections::BTreeMap;
use std::sync::Arc;

use controller::run::ControllerHandle;
use coordinator::group::metadata::State;
use coordinator::group::request::GroupListing;
use metrics::gauge;

use crate::authorizer::{CLUSTER, Internal};
use crate::groups::Groups;
use crate::metadata_cache::{MetadataCache, Snapshot};
use crate::replication::manager::ReplicaManager;
use crate::transactions::Transactions;

/// What gauges are taken of.
pub struct Gauges {
    pub replicas: Arc<ReplicaManager>,
    pub metadata: Arc<MetadataCache>,
    pub controller: ControllerHandle,
    pub transactions: Arc<Transactions>,
    pub groups: Arc<Groups>,
    pub internal: Internal,
}

impl Gauges {
    /// Brings every gauge up to date.
    pub async fn sample(&self) {
        log_dirs(&self.replicas);
        controller(self.controller.is_controller(), &self.metadata.load());
        transactions(&self.transactions);
        let listed = self.groups.list(&self.internal.authorized(CLUSTER)).await;
        groups(&listed.map(|(groups, _)| groups).unwrap_or_default());
    }
}

fn set(name: &'static str, value: usize) {
    gauge!(name).set(value as f64);
}

/// `kafka.log:type=LogManager`.
fn log_dirs(replicas: &ReplicaManager) {
    let dirs = replicas.logs().dirs();
    let failed = dirs.iter().filter(|dir| dir.is_offline()).count();
    set("kafka_log_logmanager_offlinelogdirectorycount", failed);
}

/// `kafka.controller:type=KafkaController`: as in Kafka, 0 everywhere but on the controller.
fn controller(active: bool, cluster: &Snapshot) {
    let (mut topics, mut partitions, mut offline, mut imbalanced) = (0, 0, 0, 0);
    if active {
        for topic in cluster.topics() {
            topics += 1;
            for partition in topic.partitions.values() {
                partitions += 1;
                let without = !cluster.is_alive(partition.leader);
                offline += usize::from(without);
                imbalanced += usize::from(partition.replicas.first() != Some(&partition.leader));
            }
        }
    }
    set("kafka_controller_kafkacontroller_activecontrollercount", usize::from(active));
    set("kafka_controller_kafkacontroller_globaltopiccount", topics);
    set("kafka_controller_kafkacontroller_globalpartitioncount", partitions);
    set("kafka_controller_kafkacontroller_offlinepartitionscount", offline);
    set("kafka_controller_kafkacontroller_preferredreplicaimbalancecount", imbalanced);
    let brokers = if active { cluster.brokers.len() } else { 0 };
    set("kafka_controller_kafkacontroller_activebrokercount", brokers);
}

/// `kafka.coordinator.transaction:type=TransactionMarkerChannelManager`.
fn transactions(transactions: &Transactions) {
    let unknown = transactions.without_destination();
    set(
        "kafka_coordinator_transaction_transactionmarkerchannelmanager_unknowndestinationqueuesize",
        unknown,
    );
}

/// `kafka.coordinator.group:type=GroupMetadataManager`.
fn groups(listed: &[GroupListing]) {
    let states = [
        (State::Empty, "kafka_coordinator_group_groupmetadatamanager_numgroupsempty"),
        (
            State::PreparingRebalance,
            "kafka_coordinator_group_groupmetadatamanager_numgroupspreparingrebalance",
        ),
        (
            State::CompletingRebalance,
            "kafka_coordinator_group_groupmetadatamanager_numgroupscompletingrebalance",
        ),
        (State::Stable, "kafka_coordinator_group_groupmetadatamanager_numgroupsstable"),
        (State::Dead, "kafka_coordinator_group_groupmetadatamanager_numgroupsdead"),
    ];
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for group in listed {
        *counts.entry(group.state).or_default() += 1;
    }
    set("kafka_coordinator_group_groupmetadatamanager_numgroups", listed.len());
    let offsets = listed.iter().map(|group| group.offsets).sum();
    set("kafka_coordinator_group_groupmetadatamanager_numoffsets", offsets);
    for (state, name) in states {
        set(name, counts.get(state.name()).copied().unwrap_or(0));
    }
}
