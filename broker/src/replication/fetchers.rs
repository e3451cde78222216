//! Who fetches what: one fetcher per leader and fetcher id, each with its share of the partitions
//! that this broker follows. Knows nothing of what a fetcher does.
//!
//! Source: `AbstractFetcherManager` of 3.9.2.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use client::Endpoint;
use parking_lot::Mutex;
use protocol::ids::{BrokerId, TopicPartition, Uuid};
use replica::follower::{Follower, FollowerSettings, Start, fetcher_id};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// One connection's worth of followed partitions.
pub struct Fetcher {
    pub leader: BrokerId,
    /// 0 to `num.replica.fetchers` − 1.
    pub id: i32,
    pub endpoint: Endpoint,
    pub follower: Mutex<Follower>,
    /// Partitions came or went.
    pub changed: Notify,
    /// It has nothing to do any more.
    pub ended: CancellationToken,
}

/// A partition to follow.
#[derive(Debug, Clone)]
pub struct FollowOrder {
    pub partition: TopicPartition,
    pub leader: BrokerId,
    pub endpoint: Endpoint,
    pub start: Start,
}

/// Runs a fetcher beside its caller until it has ended.
pub type Launch = Box<dyn Fn(Arc<Fetcher>) + Send + Sync>;

/// The fetchers of a broker; none before `start`.
#[derive(Default)]
pub struct Fetchers {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    running: BTreeMap<(BrokerId, i32), Arc<Fetcher>>,
    /// Followed no more until the controller says so anew.
    failed: BTreeSet<TopicPartition>,
    begun: Option<Begun>,
}

struct Begun {
    settings: FollowerSettings,
    /// `num.replica.fetchers`.
    count: i32,
    launch: Launch,
}

impl Fetchers {
    /// From now on orders are followed. Those before it are not: it comes before the controller's
    /// first word.
    pub fn start(&self, settings: FollowerSettings, count: i32, launch: Launch) {
        self.inner.lock().begun = Some(Begun { settings, count, launch });
    }

    /// Follows partitions from their leaders, each in the epoch it names.
    pub fn follow(&self, orders: Vec<FollowOrder>) {
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        let Some(begun) = &inner.begun else { return };
        for order in orders {
            let id = fetcher_id(&order.partition, begun.count);
            let key = (order.leader, id);
            let moved = |known: &&Arc<Fetcher>| known.endpoint != order.endpoint;
            let former = inner.running.get(&key).filter(moved).cloned();
            if let Some(former) = &former {
                // The leader serves elsewhere now, what it leads still as well.
                former.ended.cancel();
                inner.running.remove(&key);
            }
            let fetcher = inner.running.entry(key).or_insert_with(|| {
                let fetcher = Arc::new(Fetcher {
                    leader: order.leader,
                    id,
                    endpoint: order.endpoint.clone(),
                    follower: Mutex::new(Follower::new(begun.settings.clone())),
                    changed: Notify::new(),
                    ended: CancellationToken::new(),
                });
                (begun.launch)(fetcher.clone());
                fetcher
            });
            for left in former.iter().flat_map(|former| hand_over(former)) {
                fetcher.follower.lock().follow(left.partition, left.start);
            }
            inner.failed.remove(&order.partition);
            fetcher.follower.lock().follow(order.partition, order.start);
            fetcher.changed.notify_one();
        }
    }

    /// Follows a partition no more.
    pub fn stop(&self, partition: &TopicPartition) {
        let mut inner = self.inner.lock();
        inner.failed.remove(partition);
        for fetcher in inner.running.values() {
            if fetcher.follower.lock().stop(partition).is_some() {
                fetcher.changed.notify_one();
            }
        }
    }

    /// A topic without id has got one.
    pub fn set_topic_id(&self, partition: &TopicPartition, topic_id: Uuid) {
        for fetcher in self.inner.lock().running.values() {
            fetcher.follower.lock().set_topic_id(partition, topic_id);
        }
    }

    /// Ends the fetchers that are left without partitions.
    pub fn end_idle(&self) {
        self.inner.lock().running.retain(|_, fetcher| {
            let busy = !fetcher.follower.lock().is_empty();
            if !busy {
                fetcher.ended.cancel();
            }
            busy
        });
    }

    /// `num.replica.fetchers` changed: every partition goes to the fetcher that is now its own.
    pub fn resize(&self, count: i32) {
        let orders = {
            let mut inner = self.inner.lock();
            match &mut inner.begun {
                Some(begun) if begun.count != count => begun.count = count,
                _ => return,
            }
            inner.running.values().flat_map(|fetcher| hand_over(fetcher)).collect()
        };
        self.follow(orders);
        self.end_idle();
    }

    /// The partition could not be followed; it is counted until it is ordered anew.
    pub fn note_failed(&self, partition: &TopicPartition) {
        self.inner.lock().failed.insert(partition.clone());
    }

    pub fn failed_count(&self) -> usize {
        self.inner.lock().failed.len()
    }

    /// How far the partition that is furthest behind is behind.
    pub fn max_lag(&self) -> i64 {
        let inner = self.inner.lock();
        let lags = inner.running.values().map(|fetcher| fetcher.follower.lock().max_lag());
        lags.max().unwrap_or(0)
    }
}

/// Takes all partitions away from a fetcher, each to go on where it is.
fn hand_over(fetcher: &Fetcher) -> Vec<FollowOrder> {
    let mut follower = fetcher.follower.lock();
    let all: Vec<_> = follower.partitions().map(|(partition, _)| partition.clone()).collect();
    let orders = all.into_iter().filter_map(|partition| {
        let state = follower.stop(&partition)?;
        let start = Start {
            topic_id: state.topic_id,
            leader_epoch: state.leader_epoch,
            offset: state.offset,
            last_epoch: state.last_epoch,
            stage: state.stage,
        };
        let (leader, endpoint) = (fetcher.leader, fetcher.endpoint.clone());
        Some(FollowOrder { partition, leader, endpoint, start })
    });
    let orders = orders.collect();
    fetcher.changed.notify_one();
    orders
}

#[cfg(test)]
mod tests {
    use replica::follower::Stage;

    use super::*;

    #[test]
    fn a_leader_that_serves_elsewhere_keeps_its_followers() {
        let fetchers = Fetchers::default();
        let settings = FollowerSettings {
            replica_id: 1,
            max_wait_ms: 500,
            min_bytes: 1,
            response_bytes_max: 1 << 20,
            partition_bytes_max: 1 << 20,
            backoff_ms: 1_000,
        };
        let launched: Arc<Mutex<Vec<Arc<Fetcher>>>> = Arc::default();
        let push = launched.clone();
        fetchers.start(settings, 1, Box::new(move |fetcher| push.lock().push(fetcher)));
        let order = |topic, port, offset| FollowOrder {
            partition: TopicPartition::new(topic, 0),
            leader: 2,
            endpoint: Endpoint::new("host", port),
            start: Start {
                topic_id: Uuid([7; 16]),
                leader_epoch: 3,
                offset,
                last_epoch: Some(2),
                stage: Stage::Fetching,
            },
        };
        fetchers.follow(vec![order("a", 9092, 10), order("b", 9092, 20)]);
        fetchers.follow(vec![order("c", 9093, 30)]);
        let launched = launched.lock();
        let [former, latter] = &launched[..] else { panic!("one after the other") };
        assert!(former.ended.is_cancelled() && former.follower.lock().is_empty());
        assert!(!latter.ended.is_cancelled());
        let follower = latter.follower.lock();
        let mut followed: Vec<_> =
            follower.partitions().map(|(name, state)| (name.to_string(), state.offset)).collect();
        followed.sort();
        let expected = [("a-0", 10), ("b-0", 20), ("c-0", 30)];
        assert_eq!(followed, expected.map(|(name, offset)| (name.to_owned(), offset)));
    }
}
