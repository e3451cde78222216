//! What is counted when somebody looks: log directories, groups, transactions and the
//! controller's view of the cluster, under the names that the JMX exporter's example rules give to
//! Kafka's beans. Knows nothing of HTTP.

use std::collections::BTreeMap;

use coordinator::group::metadata::State;
use metrics::gauge;

use crate::authorizer::CLUSTER;
use crate::broker::Broker;
use crate::metadata_cache::Snapshot;

/// Brings every gauge up to date.
pub async fn sample(broker: &Broker) {
    log_dirs(broker);
    controller(broker.controller.handle.is_controller(), &broker.metadata.load());
    transactions(broker);
    groups(broker).await;
}

fn set(name: &'static str, value: usize) {
    gauge!(name).set(value as f64);
}

/// `kafka.log:type=LogManager`.
fn log_dirs(broker: &Broker) {
    let dirs = broker.replicas.logs().dirs();
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
fn transactions(broker: &Broker) {
    let unknown = broker.transactions.without_destination();
    set(
        "kafka_coordinator_transaction_transactionmarkerchannelmanager_unknowndestinationqueuesize",
        unknown,
    );
}

/// `kafka.coordinator.group:type=GroupMetadataManager`.
async fn groups(broker: &Broker) {
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
    let listed = broker
        .groups
        .list(&broker.internal.authorized(CLUSTER))
        .await
        .map(|(groups, _)| groups)
        .unwrap_or_default();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for group in &listed {
        *counts.entry(group.state).or_default() += 1;
    }
    set("kafka_coordinator_group_groupmetadatamanager_numgroups", listed.len());
    let offsets = listed.iter().map(|group| group.offsets).sum();
    set("kafka_coordinator_group_groupmetadatamanager_numoffsets", offsets);
    for (state, name) in states {
        set(name, counts.get(state.name()).copied().unwrap_or(0));
    }
}
