//! Leaders that are gone since a moment ago, as long as the controller has named no others: they
//! hung up on this broker's fetchers, or are no live brokers any more. Metadata would send clients
//! to them again, or say that there is no leader; librdkafka asks soon when its connection breaks,
//! and after either answer not for a second. So such answers wait for the new leaders, a moment at
//! most. Kafka's do not.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use protocol::ids::{BrokerId, TimestampMs};

use crate::metadata_cache::{MetadataCache, Snapshot};

/// Some times what a failover takes. Answers of a connection are sent in order, so that others may
/// have to wait for this one.
const PATIENCE_MS: i64 = 250;

/// Times are the clock's `monotonic_ms`.
#[derive(Debug, Default)]
pub struct LostLeaders(Mutex<Noted>);

#[derive(Debug, Default)]
struct Noted {
    /// Until when to wait for the controller's word.
    until_ms: BTreeMap<BrokerId, TimestampMs>,
    /// The cluster's version that they were last held against: all its partitions are looked at,
    /// and many clients ask at once.
    seen: Option<u64>,
}

impl LostLeaders {
    pub fn note(&self, leader: BrokerId, now_ms: TimestampMs) {
        let mut noted = self.0.lock();
        noted.until_ms.insert(leader, now_ms + PATIENCE_MS);
        noted.seen = None;
    }

    /// How long, if at all, to wait for the controller to name other leaders.
    pub fn patience(&self, cluster: &Snapshot, now_ms: TimestampMs) -> Option<Duration> {
        let mut noted = self.0.lock();
        if noted.until_ms.is_empty() {
            return None;
        }
        noted.until_ms.retain(|_, until| *until > now_ms);
        if noted.seen != Some(cluster.version) {
            noted.until_ms.retain(|leader, _| cluster.needs_leader_after(*leader));
            noted.seen = Some(cluster.version);
        }
        let wait_ms = noted.until_ms.values().max()? - now_ms;
        Some(Duration::from_millis(u64::try_from(wait_ms).unwrap_or(0)))
    }

    /// Waits until the controller has named other leaders, or for as long as it is likely to.
    pub async fn settled(&self, metadata: &MetadataCache, now_ms: TimestampMs) {
        let Some(patience) = self.patience(&metadata.load(), now_ms) else { return };
        let named = metadata.wait_until(|cluster| self.patience(cluster, now_ms).is_none());
        // What is known by then has to do.
        let _ = tokio::time::timeout(patience, named).await;
    }
}

#[cfg(test)]
mod tests {
    use protocol::messages::update_metadata::{
        UpdateMetadataBroker, UpdateMetadataPartitionState, UpdateMetadataRequest,
        UpdateMetadataTopicState,
    };
    use tokio::time::Instant;

    use super::*;

    /// The controller names the leader of a topic's only partition, with the brokers in sync.
    fn leads(cache: &MetadataCache, topic: &str, leader: BrokerId, isr: &[BrokerId]) {
        let isr = isr.to_vec();
        let partition = UpdateMetadataPartitionState { leader, isr, ..Default::default() };
        let topic = UpdateMetadataTopicState {
            topic_name: topic.to_owned(),
            partition_states: vec![partition],
            ..Default::default()
        };
        let live = |id| UpdateMetadataBroker { id, ..Default::default() };
        cache.apply(&UpdateMetadataRequest {
            live_brokers: vec![live(1), live(2)],
            topic_states: vec![topic],
            ..Default::default()
        });
    }

    #[tokio::test(start_paused = true)]
    async fn new_leaders_end_the_wait() {
        let (cache, lost) = (MetadataCache::default(), LostLeaders::default());
        leads(&cache, "a", 1, &[1, 2]);
        leads(&cache, "b", 1, &[1, 2]);
        // Nobody else can lead it.
        leads(&cache, "c", 1, &[1, 3]);
        assert_eq!(lost.patience(&cache.load(), 5), None);
        lost.note(1, 5);
        lost.note(3, 5);
        let began = Instant::now();
        let told = async {
            for (topic, leader) in [("a", 2), ("b", -1), ("b", 2)] {
                tokio::time::sleep(Duration::from_millis(20)).await;
                leads(&cache, topic, leader, &[2]);
            }
        };
        tokio::join!(lost.settled(&cache, 5), told);
        assert_eq!(began.elapsed(), Duration::from_millis(60));
        // It is back, and nobody remembers.
        leads(&cache, "a", 1, &[1, 2]);
        assert_eq!(lost.patience(&cache.load(), 65), None);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_long() {
        let (cache, lost) = (MetadataCache::default(), LostLeaders::default());
        leads(&cache, "a", 2, &[2, 1]);
        lost.note(2, 5);
        assert_eq!(lost.patience(&cache.load(), 55), Some(Duration::from_millis(200)));
        let began = Instant::now();
        lost.settled(&cache, 55).await;
        assert!(began.elapsed() <= Duration::from_millis(201), "{:?}", began.elapsed());
        assert_eq!(lost.patience(&cache.load(), 255), None);
        assert_eq!(lost.patience(&cache.load(), 55), None, "it is forgotten");
    }
}
