//! A partition on a real log in a temporary directory: appends, watermarks, reads and waits.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use protocol::ids::{BrokerId, Offset, TopicPartition, Uuid};
use protocol::records::builder::{BatchBuilder, BatchOptions};
use replica::fetch_session::FetchAsk;
use replica::partition::{AccessError, PartitionAssignment};
use storage::disk::{Crash, Disk, Fault, MemoryDisk, OsDisk, OsDiskOptions};
use storage::partition_dir::FileCache;
use storage::{AppendOrigin, Log, LogConfig, LogOptions};

use super::*;
use crate::authorizer::Internal;
use crate::clock::Clock;
use crate::delayed::fetch::Isolation;
use crate::fetch::plan::{FetchParams, Source, look, wait};
use crate::fetch::preferred::Nearby;
use crate::replication::cluster_view::{BrokerEndpoint, ClusterView, Leader};

struct Everybody;
impl ClusterView for Everybody {
    fn is_alive(&self, _: BrokerId) -> bool {
        true
    }

    fn has_partition(&self, _: &str, _: i32) -> bool {
        true
    }

    fn topic_name(&self, _: Uuid) -> Option<Arc<str>> {
        None
    }

    fn leader(&self, _: &str, _: i32) -> Option<Leader> {
        None
    }

    fn endpoint(&self, broker: BrokerId, _: &str) -> Option<BrokerEndpoint> {
        let host = "localhost".to_owned();
        Some(BrokerEndpoint { host, port: 9092, rack: Some(format!("rack-{broker}")) })
    }

    fn log_config(&self, _: &str) -> Arc<LogConfig> {
        Arc::new(LogConfig::default())
    }

    fn throttled_replicas(&self, _: &str, _: &str) -> Option<String> {
        Some("0:1,1:2".to_owned())
    }

    fn replication_endpoint(&self, _: BrokerId) -> Option<client::Endpoint> {
        None
    }

    fn max_lag_ms(&self) -> i64 {
        30_000
    }
}

struct Fixture {
    partition: Arc<Partition>,
    changes: Arc<IsrChanges>,
    dir: tempfile::TempDir,
}

const NOW_MS: i64 = 1_700_000_000_000;

fn log_on(disk: Arc<dyn Disk>, dir: &Path, config: LogConfig) -> Arc<Log> {
    let options = LogOptions {
        disk,
        files: FileCache::new(16),
        path: dir.join("t-0"),
        partition: TopicPartition::new("t", 0),
        config: Arc::new(config),
        clean: false,
        recovery_point: 0,
        log_start: 0,
        kept: false,
        suspicion: Default::default(),
        accept_loss: false,
    };
    Arc::new(Log::open(options, NOW_MS).expect("a log"))
}

/// Broker 1 leads with the other `replicas` in the ISR.
fn leader(replicas: &[BrokerId], config: LogConfig) -> Fixture {
    leader_on(Arc::new(OsDisk::new(OsDiskOptions::default())), replicas, config)
}

fn leader_on(disk: Arc<dyn Disk>, replicas: &[BrokerId], config: LogConfig) -> Fixture {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let log = log_on(disk.clone(), dir.path(), config);
    // As its log directory would have done.
    dir.path().ancestors().for_each(|dir| disk.sync_dir(dir).expect("synced"));
    let metrics = crate::replication::topic_metrics::TopicMetricsRegistry::default();
    let topic: Arc<str> = "t".into();
    let changes: Arc<IsrChanges> = Arc::default();
    let around = Surroundings {
        metrics: metrics.of(&topic),
        cluster: Arc::new(Everybody),
        isr_changes: changes.clone(),
    };
    let partition = Arc::new(Partition::new(topic, 0, 1, None, around));
    partition.attach_log(log, 0);
    let became = partition.lead(&assignment(1, 5, replicas), Uuid([7; 16]), NOW_MS);
    assert_eq!(became.expect("a leader"), Became::Leader { new_epoch: true });
    Fixture { partition, changes, dir }
}

fn assignment(leader: BrokerId, epoch: i32, replicas: &[BrokerId]) -> PartitionAssignment {
    PartitionAssignment {
        controller_epoch: 1,
        leader,
        leader_epoch: epoch,
        isr: replicas.to_vec(),
        partition_epoch: epoch,
        replicas: replicas.to_vec(),
        adding: vec![],
        removing: vec![],
    }
}

fn batch(values: &[&str]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    for value in values {
        builder.append(NOW_MS, None, Some(value.as_bytes()), &[]).expect("a record");
    }
    builder.finish().expect("a batch")
}

fn ask(fetch_offset: Offset) -> FetchAsk {
    FetchAsk {
        fetch_offset,
        current_leader_epoch: -1,
        last_fetched_epoch: -1,
        log_start: -1,
        max_bytes: 1 << 20,
    }
}

fn params(isolation: Isolation, follower: Option<BrokerId>, min_bytes: u64) -> FetchParams {
    FetchParams {
        reader: Reader {
            follower: follower.map(|id| (id, -1)),
            isolation,
            leader_only: true,
            throttled: false,
        },
        nearby: None,
        min_bytes,
        max_bytes: 50 << 20,
        hard_limit: false,
        max_wait_ms: 60_000,
    }
}

/// Leave to do anything to the topic of the fixtures.
fn proof<Op: On<Topic>>() -> Authorized<'static, Op, Topic> {
    Internal::of_this_broker().authorized("t")
}

impl Fixture {
    fn append(&self, values: &[&str], acks_all: bool) -> Result<AppendInfo, ProduceError> {
        let terms =
            AppendTerms { origin: AppendOrigin::Client, acks_all, leader_epoch: None, guard: None };
        self.partition.append(&proof(), &batch(values), terms, NOW_MS)
    }

    fn source(&self, fetch_offset: Offset) -> Vec<Source> {
        let (authorized, partition) = (proof(), self.partition.clone());
        vec![Source { authorized, partition, ask: ask(fetch_offset) }]
    }

    /// What a fetch finds at once: bytes and the high watermark that it tells.
    fn fetch(&self, fetch_offset: Offset, params: &FetchParams) -> (u64, Offset) {
        let mut plan = look(&self.source(fetch_offset), params, true, NOW_MS);
        let read = plan.reads.remove(0).expect("a read");
        (read.len(), read.high_watermark)
    }
}

#[test]
fn alone_what_is_appended_is_committed_and_read_back() {
    let fixture = leader(&[1], LogConfig::default());
    let info = fixture.append(&["a", "b"], true).expect("appended");
    assert_eq!((info.first_offset, info.last_offset), (0, 1));
    assert_eq!(fixture.partition.high_watermark(), 2);
    let second = fixture.append(&["c"], false).expect("appended");
    assert_eq!(second.first_offset, 2);

    let consumer = params(Isolation::HighWatermark, None, 1);
    assert_eq!(fixture.fetch(0, &consumer), (info.bytes + second.bytes, 3));
    assert_eq!(fixture.fetch(1, &consumer).0, info.bytes + second.bytes, "whole batches");
    assert_eq!(fixture.fetch(2, &consumer).0, second.bytes);
    assert_eq!(fixture.fetch(3, &consumer).0, 0);
    let beyond = look(&fixture.source(4), &consumer, true, NOW_MS);
    assert!(matches!(beyond.reads[0], Err(ReadError::OffsetOutOfRange)));
    assert!(beyond.is_enough(&consumer), "an error is told at once");
}

#[test]
fn the_first_batch_is_given_whole_unless_the_limit_is_hard() {
    let fixture = leader(&[1], LogConfig::default());
    let info = fixture.append(&["a somewhat longer value"], false).expect("appended");
    let tiny = FetchParams { max_bytes: 10, ..params(Isolation::HighWatermark, None, 1) };
    assert_eq!(fixture.fetch(0, &tiny).0, info.bytes);
    let hard = FetchParams { hard_limit: true, ..tiny };
    assert_eq!(fixture.fetch(0, &hard).0, 10);
}

#[test]
fn a_budget_is_shared_in_order() {
    let (a, b) = (leader(&[1], LogConfig::default()), leader(&[1], LogConfig::default()));
    let bytes = a.append(&["aaaa"], false).expect("appended").bytes;
    b.append(&["bbbb"], false).expect("appended");
    let sources = [a.source(0), b.source(0)].concat();
    let limits = [(0, [bytes, 0]), (bytes, [bytes, 0]), (2 * bytes, [bytes, bytes])];
    for (max_bytes, expected) in limits {
        let params = FetchParams {
            max_bytes: max_bytes as i64,
            ..params(Isolation::HighWatermark, None, 1)
        };
        let plan = look(&sources, &params, true, NOW_MS);
        let found: Vec<_> = plan.reads.iter().map(|r| r.as_ref().expect("a read").len()).collect();
        assert_eq!(found, expected, "{max_bytes}");
    }
}

#[test]
fn consumers_see_what_every_in_sync_replica_has() {
    let fixture = leader(&[1, 2], LogConfig::default());
    let info = fixture.append(&["a"], true).expect("appended");
    let consumer = params(Isolation::HighWatermark, None, 1);
    let follower = params(Isolation::LogEnd, Some(2), 1);
    assert_eq!(fixture.fetch(0, &consumer), (0, 0));
    let countdown = Countdown::new(1);
    fixture.partition.await_acks(1, &countdown, 0);
    assert_eq!(fixture.fetch(0, &follower), (info.bytes, 0));
    assert!(!countdown.is_settled());
    // Its next fetch says that it has the record.
    fixture.fetch(1, &follower);
    assert_eq!(countdown.settled(), [Some(AckOutcome::Replicated)]);
    assert_eq!(fixture.fetch(0, &consumer), (info.bytes, 1));

    let stranger = params(Isolation::LogEnd, Some(3), 1);
    let refused = look(&fixture.source(0), &stranger, true, NOW_MS);
    let error = refused.reads[0].as_ref().expect_err("3 is no replica");
    assert!(matches!(error, ReadError::Access(AccessError::NotLeader)));
}

/// Sooner or later all followers lag; what was appended is `value`.
fn lagging(fixture: &Fixture, value: &str) -> i64 {
    fixture.append(&[value], false).expect("appended");
    NOW_MS + fixture.partition.around.cluster.max_lag_ms() + 1
}

/// Has what waits for the disk synced; how many could not be.
fn sync(fixture: &Fixture) -> usize {
    fixture.changes.sync_waiting(|_| Some(fixture.partition.clone()), NOW_MS).len()
}

#[test]
fn a_log_is_on_disk_before_its_isr_becomes_thin() {
    // (replicas, min ISR, must it be synced before the leader is alone?)
    let table: [(&[BrokerId], i32, bool); 3] =
        [(&[1, 2], 1, true), (&[1, 2, 3], 2, true), (&[1], 1, false)];
    for (replicas, min_insync_replicas, synced) in table {
        let disk = Arc::new(MemoryDisk::new(false));
        let config = LogConfig { min_insync_replicas, ..LogConfig::default() };
        let fixture = leader_on(disk.clone(), replicas, config.clone());
        let late_ms = lagging(&fixture, "a");
        fixture.partition.shrink_isr(late_ms);
        assert_eq!(fixture.changes.with_controller(), 0, "{replicas:?}: not before the sync");
        assert_eq!(sync(&fixture), 0);
        assert_eq!(fixture.changes.with_controller(), usize::from(synced), "{replicas:?}");
        for seed in 0..16 {
            let after = Arc::new(disk.after(Crash::PowerLoss { seed }));
            let end = log_on(after, fixture.dir.path(), config.clone()).log_end_offset();
            assert!(end == 1 || !synced, "{replicas:?}: power loss, seed {seed}: {end}");
        }
    }
}

#[test]
fn nothing_is_committed_unsynced_while_an_isr_becomes_thin() {
    let disk = Arc::new(MemoryDisk::new(false));
    let fixture = leader_on(disk.clone(), &[1, 2], LogConfig::default());
    let late_ms = lagging(&fixture, "a");
    fixture.partition.shrink_isr(late_ms);
    assert_eq!(sync(&fixture), 0);
    fixture.append(&["b"], false).expect("appended");
    // The follower has it, but the controller may have taken the follower out already.
    fixture.fetch(2, &params(Isolation::LogEnd, Some(2), 0));
    assert_eq!(fixture.partition.high_watermark(), 1, "as far as it is on disk");
    assert_eq!(sync(&fixture), 0);
    assert_eq!(fixture.partition.high_watermark(), 2);
    let after = Arc::new(disk.after(Crash::PowerLoss { seed: 1 }));
    let found = log_on(after, fixture.dir.path(), LogConfig::default());
    assert_eq!(found.log_end_offset(), 2);
}

#[test]
fn an_isr_that_stays_large_enough_needs_no_sync() {
    let fixture = leader(&[1, 2, 3], LogConfig::default());
    let late_ms = lagging(&fixture, "a");
    fixture.fetch(1, &params(Isolation::LogEnd, Some(2), 0));
    fixture.partition.shrink_isr(late_ms);
    assert_eq!(fixture.changes.with_controller(), 1, "1 and 2 stay");
}

#[test]
fn no_shrink_is_asked_for_after_a_failed_sync() {
    let disk = Arc::new(MemoryDisk::new(false));
    let fixture = leader_on(disk.clone(), &[1, 2], LogConfig::default());
    let late_ms = lagging(&fixture, "a");
    fixture.partition.shrink_isr(late_ms);
    disk.set_fault(Some(Fault::ErrorAt { change: disk.changes() + 1, errno: 5 }));
    assert_eq!((sync(&fixture), fixture.changes.with_controller()), (1, 0));
}

#[test]
fn a_thin_isr_made_by_the_controller_is_synced_at_once() {
    let disk = Arc::new(MemoryDisk::new(false));
    let fixture = leader_on(disk.clone(), &[1, 2], LogConfig::default());
    fixture.append(&["a"], false).expect("appended");
    let log = fixture.partition.log().expect("a log");
    let mut alone = assignment(1, 6, &[1, 2]);
    alone.isr = vec![1];
    fixture.partition.lead(&alone, Uuid::ZERO, NOW_MS).expect("a leader");
    assert!(log.is_dirty());
    assert_eq!(sync(&fixture), 0);
    assert!(!log.is_dirty());
}

#[test]
fn acks_all_needs_enough_in_sync_replicas() {
    let config = LogConfig { min_insync_replicas: 2, ..LogConfig::default() };
    let fixture = leader(&[1, 2], config);
    let mut alone = assignment(1, 6, &[1, 2]);
    alone.isr = vec![1];
    fixture.partition.lead(&alone, Uuid::ZERO, NOW_MS).expect("a leader");
    assert!(matches!(fixture.append(&["a"], true), Err(ProduceError::NotEnoughReplicas)));
    assert!(fixture.append(&["a"], false).is_ok());
    assert_eq!(fixture.partition.high_watermark(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_waiting_fetch_is_woken_by_enough_bytes() {
    let fixture = leader(&[1], LogConfig::default());
    let bytes = fixture.append(&["a"], false).expect("appended").bytes;
    let params = params(Isolation::HighWatermark, None, 2 * bytes + 1);
    let sources = fixture.source(0);
    let clock = Clock::system();
    let first = look(&sources, &params, true, NOW_MS);
    assert!(!first.is_enough(&params));
    let waiting = wait(&sources, &params, first, &clock);
    tokio::pin!(waiting);
    for _ in 0..2 {
        assert!(futures::poll!(&mut waiting).is_pending());
        fixture.append(&["a"], false).expect("appended");
    }
    let plan = waiting.await;
    assert_eq!(plan.reads[0].as_ref().expect("a read").len(), 3 * bytes);
    assert!(fixture.partition.fetch_waiters().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_comes_before_the_wait_begins_is_not_missed() {
    let fixture = leader(&[1], LogConfig::default());
    let params = params(Isolation::HighWatermark, None, 1);
    let sources = fixture.source(0);
    let first = look(&sources, &params, true, NOW_MS);
    fixture.append(&["a"], false).expect("appended");
    let clock = Clock::system();
    let waiting = wait(&sources, &params, first, &clock);
    let plan = tokio::time::timeout(Duration::from_secs(1), waiting).await.expect("no wait");
    assert!(!plan.reads[0].as_ref().expect("a read").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_with_its_time_or_with_leadership() {
    let fixture = leader(&[1], LogConfig::default());
    let params = params(Isolation::HighWatermark, None, 1);
    let sources = fixture.source(0);
    let clock = Clock::system();
    let started = tokio::time::Instant::now();
    let plan = wait(&sources, &params, look(&sources, &params, true, NOW_MS), &clock).await;
    assert!(plan.reads[0].as_ref().expect("a read").is_empty());
    assert_eq!(started.elapsed().as_secs(), 60);

    let waiting = wait(&sources, &params, look(&sources, &params, true, NOW_MS), &clock);
    tokio::pin!(waiting);
    assert!(futures::poll!(&mut waiting).is_pending());
    fixture.partition.follow(&assignment(2, 6, &[1, 2]), Uuid::ZERO).expect("a follower");
    let plan = tokio::time::timeout(Duration::from_secs(1), waiting).await.expect("woken");
    let error = plan.reads[0].as_ref().expect_err("it leads no more");
    assert!(matches!(error, ReadError::Access(AccessError::NotLeader)));
    assert!(matches!(fixture.append(&["a"], false), Err(ProduceError::NotLeader)));
}

#[test]
fn a_consumer_is_sent_to_an_in_sync_replica_in_its_rack() {
    let fixture = leader(&[1, 2, 3], LogConfig::default());
    fixture.append(&["a"], false).expect("appended");
    fixture.append(&["b"], false).expect("appended");
    fixture.fetch(2, &params(Isolation::LogEnd, Some(2), 0));
    fixture.fetch(1, &params(Isolation::LogEnd, Some(3), 0));
    let near = |rack: &str| FetchParams {
        nearby: Some(Nearby { rack: rack.to_owned(), listener: "PLAINTEXT".into() }),
        ..params(Isolation::HighWatermark, None, 1)
    };
    // (rack, offset, sent to): 3 does not have offset 2.
    let table = [
        ("rack-2", 0, Some(2)),
        ("rack-2", 2, Some(2)),
        ("rack-3", 1, Some(3)),
        ("rack-3", 2, None),
        ("rack-1", 0, None),
        ("rack-9", 0, None),
    ];
    for (rack, offset, expected) in table {
        let plan = look(&fixture.source(offset), &near(rack), true, NOW_MS);
        let read = plan.reads[0].as_ref().expect("a read");
        assert_eq!(read.preferred, expected, "{rack} at {offset}");
        assert!(read.preferred.is_none() || (read.is_empty() && plan.is_enough(&near(rack))));
    }
    let mut fenced = fixture.source(0);
    fenced[0].ask.current_leader_epoch = 4;
    let plan = look(&fenced, &near("rack-2"), true, NOW_MS);
    let error = plan.reads[0].as_ref().expect_err("an older epoch");
    assert!(matches!(error, ReadError::Access(AccessError::FencedLeaderEpoch)));

    let mut alone = assignment(1, 6, &[1, 2, 3]);
    alone.isr = vec![1];
    fixture.partition.lead(&alone, Uuid::ZERO, NOW_MS).expect("a leader");
    let plan = look(&fixture.source(0), &near("rack-2"), true, NOW_MS);
    assert_eq!(plan.reads[0].as_ref().expect("a read").preferred, None, "2 is not in sync");
}

#[test]
fn a_throttle_holds_back_listed_replicas_outside_the_isr() {
    let fixture = leader(&[1, 2], LogConfig::default());
    fixture.append(&["a"], false).expect("appended");
    let mut throttled = params(Isolation::LogEnd, Some(2), 0);
    let free = throttled.clone();
    throttled.reader.throttled = true;
    assert!(fixture.fetch(0, &throttled).0 > 0, "it is in sync");
    let mut alone = assignment(1, 6, &[1, 2]);
    alone.isr = vec![1];
    fixture.partition.lead(&alone, Uuid::ZERO, NOW_MS).expect("a leader");
    assert_eq!(fixture.fetch(0, &throttled).0, 0);
    assert!(fixture.fetch(0, &free).0 > 0);
}

#[test]
fn deleted_records_are_out_of_range() {
    let fixture = leader(&[1], LogConfig::default());
    fixture.append(&["a", "b", "c"], false).expect("appended");
    let table = [(-1, Ok(3)), (4, Err(())), (-2, Err(()))];
    let delete = |offset| {
        fixture.partition.delete_records(&proof(), offset, |log, offset, high_watermark| {
            log.delete_records(offset, high_watermark)?;
            Ok(())
        })
    };
    let deleted = delete(2).expect("deleted");
    assert_eq!((deleted.requested, deleted.low_watermark), (2, 2));
    assert_eq!(fixture.partition.log_start(), 2);
    for (offset, expected) in table {
        let result = delete(offset);
        assert_eq!(result.map(|deleted| deleted.low_watermark).map_err(drop), expected);
    }
}

#[test]
fn offsets_by_time_and_at_the_ends() {
    let fixture = leader(&[1], LogConfig::default());
    fixture.append(&["a", "b"], false).expect("appended");
    let find = |wanted| {
        fixture
            .partition
            .find_offset(&proof(), wanted, Isolation::HighWatermark, -1, true)
            .expect("an answer")
            .map(|found| (found.offset, found.timestamp, found.leader_epoch))
    };
    assert_eq!(find(Wanted::Latest), Some((2, -1, 5)));
    assert_eq!(find(Wanted::Earliest), Some((0, -1, 5)));
    assert_eq!(find(Wanted::At(NOW_MS - 1)), Some((0, NOW_MS, 5)));
    assert_eq!(find(Wanted::At(NOW_MS + 1)), None);
    assert_eq!(find(Wanted::MaxTimestamp), Some((0, NOW_MS, 5)));
    let legacy = |wanted, count| {
        fixture.partition.legacy_offsets(&proof(), wanted, count, true, true).expect("an answer")
    };
    assert_eq!(legacy(Wanted::Latest, 5), [2, 0]);
    assert_eq!(legacy(Wanted::Latest, 1), [2]);
    assert_eq!(legacy(Wanted::Earliest, 5), [0]);
}
