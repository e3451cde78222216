//! Replication throttles (KIP-73): how many bytes a second a leader sends to, or a follower takes
//! for, replicas that an administrator listed. Over the limit they wait, in-sync replicas never do.
//! Rates are Kafka's `SimpleRate` over its windows. Knows nothing of fetches and connections.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicI64, Ordering};

use metrics::{Gauge, gauge};
use parking_lot::Mutex;
use protocol::ids::{BrokerId, TimestampMs};

use crate::config::BrokerConfig;

/// No limit.
const UNLIMITED: i64 = i64::MAX;

/// Which replicas of a topic a throttle is for: every one, or `partition:broker` pairs.
pub const LEADER_REPLICAS: &str = "leader.replication.throttled.replicas";
pub const FOLLOWER_REPLICAS: &str = "follower.replication.throttled.replicas";

/// The broker's own limits, in bytes per second. They are dynamic and in no file, as in Kafka.
const LEADER_RATE: &str = "leader.replication.throttled.rate";
const FOLLOWER_RATE: &str = "follower.replication.throttled.rate";
const ALTER_LOG_DIRS_RATE: &str = "replica.alter.log.dirs.io.max.bytes.per.second";

/// The three throttles of a broker.
#[derive(Debug)]
pub struct Quotas {
    /// What this broker's leaders send to throttled followers.
    pub leader: ReplicationQuota,
    /// What this broker's throttled followers take.
    pub follower: ReplicationQuota,
    /// What moves from one log directory to another.
    pub alter_log_dirs: ReplicationQuota,
}

impl Quotas {
    pub fn new(config: &BrokerConfig) -> Quotas {
        let quota = |name, [number, seconds]: [&str; 2]| {
            let windows = usize::try_from(config.long(number)).unwrap_or(1).max(1);
            let window_ms = config.long(seconds).max(1).saturating_mul(1000);
            ReplicationQuota::new(name, windows, window_ms)
        };
        let between_brokers =
            ["replication.quota.window.num", "replication.quota.window.size.seconds"];
        let between_dirs = [
            "alter.log.dirs.replication.quota.window.num",
            "alter.log.dirs.replication.quota.window.size.seconds",
        ];
        Quotas {
            leader: quota("leaderreplication", between_brokers),
            follower: quota("followerreplication", between_brokers),
            alter_log_dirs: quota("alterlogdirsreplication", between_dirs),
        }
    }

    /// Puts the limits in force that are set for all brokers or, with precedence, for this one.
    pub fn configure(&self, cluster: &BTreeMap<String, String>, own: &BTreeMap<String, String>) {
        let quotas = [
            (LEADER_RATE, &self.leader),
            (FOLLOWER_RATE, &self.follower),
            (ALTER_LOG_DIRS_RATE, &self.alter_log_dirs),
        ];
        for (key, quota) in quotas {
            let text = own.get(key).or_else(|| cluster.get(key));
            match text.map(|text| text.trim().parse::<i64>()) {
                None => quota.set_limit(UNLIMITED),
                Some(Ok(limit)) if limit >= 0 => quota.set_limit(limit),
                Some(_) => tracing::error!(key, ?text, "a replication throttle is not in force"),
            }
        }
    }
}

/// One throttle: what went through it lately, and how much may.
#[derive(Debug)]
pub struct ReplicationQuota {
    limit: AtomicI64,
    rate: Mutex<SimpleRate>,
    shown: Shown,
}

struct Shown(Gauge);

impl std::fmt::Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Gauge")
    }
}

impl ReplicationQuota {
    fn new(name: &str, windows: usize, window_ms: i64) -> ReplicationQuota {
        ReplicationQuota {
            limit: AtomicI64::new(UNLIMITED),
            rate: Mutex::new(SimpleRate { windows, window_ms, samples: VecDeque::new() }),
            shown: Shown(gauge!(format!("kafka_server_{name}_byte_rate"))),
        }
    }

    /// Bytes per second.
    pub fn set_limit(&self, limit: i64) {
        self.limit.store(limit, Ordering::Release);
    }

    /// Whether there is a limit at all: without one nobody need ask who is throttled.
    pub fn is_limited(&self) -> bool {
        self.limit.load(Ordering::Acquire) != UNLIMITED
    }

    /// Notes bytes of throttled replicas, even beyond the limit.
    pub fn record(&self, bytes: u64, now_ms: TimestampMs) {
        let mut rate = self.rate.lock();
        rate.record(bytes, now_ms);
        self.shown.0.set(rate.per_second(now_ms));
    }

    /// Whether throttled replicas must wait.
    pub fn is_exceeded(&self, now_ms: TimestampMs) -> bool {
        let limit = self.limit.load(Ordering::Acquire);
        limit != UNLIMITED && self.rate.lock().per_second(now_ms) > limit as f64
    }
}

/// Bytes by windows of time; as many windows are kept as are configured.
#[derive(Debug)]
struct SimpleRate {
    windows: usize,
    window_ms: i64,
    /// Start and bytes of each, oldest first.
    samples: VecDeque<(TimestampMs, u64)>,
}

impl SimpleRate {
    fn forget_old(&mut self, now_ms: TimestampMs) {
        let kept_ms = self.window_ms.saturating_mul(i64::try_from(self.windows).unwrap_or(1));
        while self.samples.front().is_some_and(|(start, _)| now_ms - start >= kept_ms) {
            self.samples.pop_front();
        }
    }

    fn record(&mut self, bytes: u64, now_ms: TimestampMs) {
        self.forget_old(now_ms);
        match self.samples.back_mut() {
            Some((start, sum)) if now_ms - *start < self.window_ms => {
                *sum = sum.saturating_add(bytes);
            }
            _ => self.samples.push_back((now_ms, bytes)),
        }
    }

    /// Over the time since the oldest window began, but at least one window.
    fn per_second(&mut self, now_ms: TimestampMs) -> f64 {
        self.forget_old(now_ms);
        let Some((oldest, _)) = self.samples.front() else { return 0.0 };
        let elapsed_ms = (now_ms - oldest).max(self.window_ms);
        let bytes: u64 = self.samples.iter().map(|(_, bytes)| *bytes).sum();
        bytes as f64 * 1000.0 / elapsed_ms as f64
    }
}

/// Whether a topic's list of throttled replicas names this one: `*`, or `0:101,1:102`.
pub fn is_listed(list: &str, partition: i32, broker: BrokerId) -> bool {
    let pair = |text: &str| -> Option<(i32, BrokerId)> {
        let (partition, broker) = text.trim().split_once(':')?;
        Some((partition.parse().ok()?, broker.parse().ok()?))
    };
    match list.trim() {
        "*" => true,
        list => list.split(',').any(|item| pair(item) == Some((partition, broker))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_replicas() {
        let table = [
            ("*", 0, 1, true),
            ("", 0, 1, false),
            ("0:1", 0, 1, true),
            ("0:1", 0, 2, false),
            (" 1:7, 0:2 ", 0, 2, true),
            ("0:1,0:2", 1, 2, false),
            ("nonsense", 0, 1, false),
        ];
        for (list, partition, broker, expected) in table {
            assert_eq!(is_listed(list, partition, broker), expected, "{list:?}");
        }
    }

    #[test]
    fn the_rate_is_of_the_windows_that_are_kept() {
        let quota = ReplicationQuota::new("test", 3, 1000);
        quota.record(1_000_000, 0);
        assert!(!quota.is_limited() && !quota.is_exceeded(0), "no limit");
        quota.set_limit(1000);
        // (time, bytes recorded then, whether the limit of 1000 a second is exceeded after)
        let table = [(10, 0, true), (3000, 900, false), (3500, 100, false), (3600, 1, true)];
        for (now_ms, bytes, exceeded) in table {
            quota.record(bytes, now_ms);
            assert_eq!(quota.is_exceeded(now_ms), exceeded, "at {now_ms}");
        }
        assert!(!quota.is_exceeded(4700), "1001 bytes over 1.7 s");
        quota.set_limit(0);
        assert!(quota.is_exceeded(4700), "nothing may pass");
        assert!(!quota.is_exceeded(10_000), "and nothing did lately");
    }

    #[test]
    fn limits_come_from_the_most_precise_place() {
        let quotas = Quotas::new(&BrokerConfig::defaults());
        let set = |value: &str| BTreeMap::from([(LEADER_RATE.to_owned(), value.to_owned())]);
        let none = BTreeMap::new();
        let limit = || quotas.leader.limit.load(Ordering::Acquire);
        for (cluster, own, expected) in [
            (&none, &none, UNLIMITED),
            (&set("10"), &none, 10),
            (&set("10"), &set("20"), 20),
            (&set("10"), &set("many"), 20),
            (&none, &none, UNLIMITED),
        ] {
            quotas.configure(cluster, own);
            assert_eq!(limit(), expected, "{cluster:?} {own:?}");
        }
        assert!(!quotas.follower.is_limited());
    }
}
