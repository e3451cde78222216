//! How this broker's partitions are, counted when somebody looks. Names are those that Kafka's
//! example rules for the JMX exporter give to `ReplicaManager`'s beans. Knows nothing of HTTP.

use metrics::gauge;

use super::manager::ReplicaManager;

/// How many partitions are in which state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Census {
    pub hosted: usize,
    /// Of them, those in a failed log directory.
    pub offline: usize,
    /// Led here. The others count only these.
    pub led: usize,
    pub under_replicated: usize,
    pub under_min_isr: usize,
    pub at_min_isr: usize,
    pub reassigning: usize,
}

/// Counts what `replicas` hosts.
pub fn count(replicas: &ReplicaManager) -> Census {
    let offline = replicas.offline_count();
    let mut census = Census { offline, hosted: offline, ..Census::default() };
    for partition in replicas.partitions() {
        census.hosted += 1;
        let min_isr = partition.min_isr();
        partition.with_state(|state| {
            census.led += usize::from(state.is_leader());
            census.under_replicated += usize::from(state.is_under_replicated());
            census.under_min_isr += usize::from(state.is_under_min_isr(min_isr));
            census.at_min_isr += usize::from(state.is_at_min_isr(min_isr));
            census.reassigning += usize::from(state.is_reassigning());
        });
    }
    census
}

/// Shows a count.
pub fn show(census: Census) {
    for (name, count) in [
        ("partitioncount", census.hosted),
        ("offlinereplicacount", census.offline),
        ("leadercount", census.led),
        ("underreplicatedpartitions", census.under_replicated),
        ("underminisrpartitioncount", census.under_min_isr),
        ("atminisrpartitioncount", census.at_min_isr),
        ("reassigningpartitions", census.reassigning),
    ] {
        gauge!(format!("kafka_server_replicamanager_{name}")).set(count as f64);
    }
}
