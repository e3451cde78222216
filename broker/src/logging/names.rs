//! Names of loggers: the modules that write log lines, and the names that operators know from
//! Kafka, each of which stands for modules.

/// The logger that is for all lines no other is for.
pub const ROOT: &str = "root";

/// Modules, as log lines name them. A logger, whose name has dots where these have colons, is for
/// its module and all below it.
pub const TARGETS: &[&str] = &[
    "broker",
    "broker::authorizer",
    "broker::consumer_protocol",
    "broker::controller_channel",
    "broker::delayed",
    "broker::departure",
    "broker::dispatch",
    "broker::dynamic_config",
    "broker::groups",
    "broker::guard",
    "broker::handlers",
    "broker::handlers::fetch",
    "broker::handlers::leader_and_isr",
    "broker::handlers::produce",
    "broker::handlers::stop_replica",
    "broker::handlers::update_metadata",
    "broker::http",
    "broker::logging",
    "broker::metrics",
    "broker::network",
    "broker::network::connection",
    "broker::network::listener",
    "broker::network::throttle",
    "broker::notify",
    "broker::order_sender",
    "broker::orders",
    "broker::producer_ids",
    "broker::quota",
    "broker::replication",
    "broker::replication::cleaner",
    "broker::replication::coordinator_log",
    "broker::replication::dir_failures",
    "broker::replication::fetcher",
    "broker::replication::isr_changes",
    "broker::replication::isr_sender",
    "broker::replication::manager",
    "broker::replication::mover",
    "broker::replication::partition",
    "broker::replication::topic_configs",
    "broker::server",
    "broker::topics",
    "broker::transactions",
    "broker::transactions::markers",
    "broker::transactions::verification",
    "client",
    "controller",
    "controller::brokers",
    "controller::core",
    "controller::deletion",
    "controller::failover",
    "controller::isr",
    "controller::notifications",
    "controller::office",
    "controller::partitions",
    "controller::producer_ids",
    "controller::reassignment",
    "controller::reassignment_node",
    "controller::replicas",
    "controller::returned",
    "controller::run",
    "controller::shutdown",
    "controller::store_access",
    "controller::topics",
    "coordinator",
    "coordinator::group",
    "coordinator::group::consumer",
    "coordinator::shard",
    "coordinator::transaction",
    "metadata",
    "metadata::embedded",
    "metadata::registration",
    "metadata::zookeeper",
    "ottla",
    "storage",
    "storage::compaction",
    "storage::dirs",
    "storage::dirs::checkpoint",
    "storage::dirs::inventory",
    "storage::dirs::log_dir",
    "storage::dirs::log_manager",
    "storage::dirs::moving",
    "storage::dirs::refusals",
    "storage::dirs::upkeep",
    "storage::disk",
    "storage::log",
    "storage::log::append",
    "storage::log::retention",
    "storage::producers",
    "storage::producers::producer_snapshot",
    "storage::producers::producer_state",
    "storage::recovery",
    "storage::recovery::judge",
    "storage::recovery::partition_files",
    "storage::recovery::replay",
    "storage::recovery::split",
    "storage::segment",
];

/// Crates that lie inside another's folder, and that one: its level is theirs unless they have one.
pub const NESTED: &[(&str, &str)] = &[("controller", "coordinator"), ("metadata", "coordinator")];

/// Kafka's names, and the modules that do the same here; the first of them decides which level is
/// shown.
pub const KAFKA: &[(&str, &[&str])] = &[
    ("kafka", &["broker", "coordinator", "storage", "ottla"]),
    ("kafka.authorizer.logger", &["broker::authorizer"]),
    ("kafka.cluster.Partition", &["broker::replication::partition"]),
    ("kafka.controller", &["controller", "broker::order_sender"]),
    ("kafka.controller.ControllerChannelManager", &["broker::order_sender"]),
    ("kafka.controller.KafkaController", &["controller"]),
    ("kafka.controller.TopicDeletionManager", &["controller::deletion"]),
    ("kafka.controller.ZkPartitionStateMachine", &["controller::partitions"]),
    ("kafka.controller.ZkReplicaStateMachine", &["controller::replicas"]),
    ("kafka.coordinator.group", &["coordinator::group", "broker::groups"]),
    ("kafka.coordinator.group.GroupCoordinator", &["coordinator::group", "broker::groups"]),
    ("kafka.coordinator.transaction", &["coordinator::transaction", "broker::transactions"]),
    (
        "kafka.coordinator.transaction.TransactionCoordinator",
        &["coordinator::transaction", "broker::transactions"],
    ),
    (
        "kafka.coordinator.transaction.TransactionMarkerChannelManager",
        &["broker::transactions::markers"],
    ),
    ("kafka.log", &["storage"]),
    ("kafka.log.LogCleaner", &["storage::compaction", "broker::replication::cleaner"]),
    ("kafka.log.LogManager", &["storage::dirs::log_manager", "storage::dirs::log_dir"]),
    (
        "kafka.log.UnifiedLog",
        &["storage::log::append", "storage::recovery", "storage::log::retention"],
    ),
    ("kafka.network", &["broker::network"]),
    ("kafka.network.Processor", &["broker::network::connection"]),
    ("kafka.network.RequestChannel$", &["broker::dispatch"]),
    ("kafka.network.SocketServer", &["broker::network::listener"]),
    ("kafka.request.logger", &["broker::dispatch"]),
    ("kafka.server", &["broker"]),
    ("kafka.server.AddPartitionsToTxnManager", &["broker::transactions::verification"]),
    ("kafka.server.KafkaApis", &["broker::handlers"]),
    ("kafka.server.KafkaServer", &["broker::server"]),
    ("kafka.server.ReplicaAlterLogDirsThread", &["broker::replication::mover"]),
    ("kafka.server.ReplicaFetcherManager", &["broker::replication::fetcher"]),
    ("kafka.server.ReplicaFetcherThread", &["broker::replication::fetcher"]),
    ("kafka.server.ReplicaManager", &["broker::replication::manager"]),
    ("kafka.server.ZkAdminManager", &["broker::topics", "broker::dynamic_config"]),
    ("kafka.server.metadata.ZkMetadataCache", &["broker::handlers::update_metadata"]),
    ("kafka.zk.KafkaZkClient", &["metadata"]),
    ("kafka.zookeeper.ZooKeeperClient", &["metadata::zookeeper"]),
    ("org.apache.kafka", &["client"]),
    ("org.apache.kafka.clients.NetworkClient", &["client"]),
    ("org.apache.zookeeper", &["metadata::zookeeper"]),
    ("org.apache.zookeeper.ClientCnxn", &["metadata::zookeeper"]),
    (
        "state.change.logger",
        &[
            "broker::handlers::leader_and_isr",
            "broker::handlers::stop_replica",
            "broker::handlers::update_metadata",
            "broker::replication::manager",
            "broker::replication::partition",
            "controller::partitions",
            "controller::replicas",
        ],
    ),
];

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;

    /// Where a crate's sources are, from this crate's directory.
    const SOURCES: [(&str, &str); 7] = [
        ("broker", "src"),
        ("replica", "replica/src"),
        ("storage", "../storage/src"),
        ("metadata", "../coordinator/metadata/src"),
        ("controller", "../coordinator/controller/src"),
        ("coordinator", "../coordinator/src"),
        ("client", "../client/src"),
    ];

    fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(dir).expect("readable") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }

    #[test]
    fn every_module_that_writes_log_lines_has_a_logger() {
        let mut missing = Vec::new();
        for (name, place) in SOURCES {
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(place);
            let mut files = Vec::new();
            sources(&root, &mut files);
            for file in files {
                let text = std::fs::read_to_string(&file).expect("text");
                if !text.contains("tracing::") {
                    continue;
                }
                let path = file.strip_prefix(&root).expect("below it").with_extension("");
                let first = path.iter().next().and_then(|part| part.to_str()).expect("a name");
                let target = format!("{name}::{first}");
                if !["lib", "main"].contains(&first) && !TARGETS.contains(&target.as_str()) {
                    missing.push(target);
                }
            }
        }
        missing.dedup();
        assert!(missing.is_empty(), "modules without a logger: {missing:?}");
    }

    #[test]
    fn names_are_sorted_and_unique() {
        assert!(TARGETS.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(KAFKA.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(KAFKA.iter().all(|(_, modules)| !modules.is_empty()));
        let mut modules = KAFKA.iter().flat_map(|(_, modules)| *modules);
        let unknown = modules.find(|module| !TARGETS.contains(module));
        assert_eq!(unknown, None);
    }
}
