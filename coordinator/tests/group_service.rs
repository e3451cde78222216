//! The group service over logs in memory: who answers when, and what a successor finds. Knows no
//! broker.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use coordinator::group::consumer::topics::Topics;
use coordinator::group::metadata::State;
use coordinator::group::request::{
    Caller, CommitRequest, FetchRequest, JoinRequest, OffsetCommit, Protocol, SyncRequest,
};
use coordinator::group::service::{GroupService, OFFSETS_TOPIC};
use coordinator::group::{GroupConfig, GroupError};
use coordinator::shard::memory::MemoryPartitions;
use coordinator::shard::run::{Environment, ShardConfig};
use coordinator::shard::writer::AppendError;
use coordinator::shard::{Clock, Marker, Now, Producer};
use futures::FutureExt;
use protocol::ids::TopicPartition;
use protocol::records::batch::BatchHeader;
use protocol::records::codec::Codec;
use protocol::records::control::EndTxnMarker;

struct RealClock(Instant);

impl Clock for RealClock {
    fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        Now { wall_ms: wall.as_millis() as i64, steady_ms: self.0.elapsed().as_millis() as i64 }
    }
}

/// A service that keeps its groups in one partition of `logs`; leads nothing yet.
fn service(logs: &Arc<MemoryPartitions>, codec: Codec) -> GroupService {
    let config = GroupConfig { initial_rebalance_delay_ms: 0, ..GroupConfig::default() };
    let environment = Environment {
        writer: logs.clone(),
        clock: Arc::new(RealClock(Instant::now())),
        // One batch at a time, so that loading takes several reads.
        config: ShardConfig { load_bytes: 1, codec, ..ShardConfig::default() },
    };
    let spawn = Arc::new(|task| {
        tokio::spawn(task);
    });
    GroupService::new(config, environment, spawn, 1)
}

fn partition() -> TopicPartition {
    TopicPartition::new(OFFSETS_TOPIC, 0)
}

fn logs() -> Arc<MemoryPartitions> {
    let logs = Arc::new(MemoryPartitions::new());
    logs.lead(&partition(), 5);
    logs
}

async fn until_loaded(service: &GroupService) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while service.describe("g").await == Err(GroupError::CoordinatorLoadInProgress) {
        assert!(Instant::now() < deadline, "the partition was not loaded in time");
        tokio::task::yield_now().await;
    }
}

fn join_request(member_id: &str) -> JoinRequest {
    JoinRequest {
        member_id: member_id.to_owned(),
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
    }
}

fn commit_request(caller: Caller, offset: i64, producer: Option<Producer>) -> CommitRequest {
    let commit = OffsetCommit {
        offset,
        leader_epoch: 3,
        metadata: "m".to_owned(),
        // What is older than the retention goes as soon as it is loaded.
        commit_ms: RealClock(Instant::now()).now().wall_ms,
        expire_ms: None,
    };
    let offsets = vec![(TopicPartition::new("t", 0), commit)];
    CommitRequest { caller, producer, guard: None, knows_epochs: true, offsets }
}

fn nobody() -> Caller {
    Caller { generation: -1, ..Caller::default() }
}

async fn offset(service: &GroupService) -> Option<i64> {
    let partitions = Some(vec![TopicPartition::new("t", 0)]);
    let fetch = FetchRequest { partitions, ..FetchRequest::default() };
    let offsets = service.fetch_offsets("g", fetch).await.expect("the coordinator answers");
    offsets[0].commit.as_ref().expect("stable").as_ref().map(|commit| commit.offset)
}

#[tokio::test]
async fn a_successor_finds_the_group_and_its_offsets() {
    for codec in [Codec::None, Codec::Lz4] {
        let logs = logs();
        let first = service(&logs, codec);
        first.elected(0, 5);
        until_loaded(&first).await;

        let joined = first.join("g", join_request(""), Topics::default()).await;
        assert_eq!((joined.error, joined.generation), (None, 1));
        let caller =
            Caller { member_id: joined.member_id.to_string(), instance_id: None, generation: 1 };
        let sync = SyncRequest {
            caller: caller.clone(),
            protocol_type: None,
            protocol: None,
            assignments: vec![(caller.member_id.clone(), Bytes::from_static(b"work"))],
        };
        let synced = first.sync("g", sync).await;
        assert_eq!((synced.error, &synced.assignment[..]), (None, &b"work"[..]));
        assert_eq!(first.heartbeat("g", caller.clone()).await, Ok(()));
        let results = first.commit("g", commit_request(caller.clone(), 42, None)).await;
        assert_eq!(results[0].1, None);
        let (groups, loading) = first.list().await.expect("it runs");
        assert_eq!((groups.len(), loading), (1, false));

        let batches = logs.batches(&partition());
        let headers: Vec<_> =
            batches.iter().map(|batch| BatchHeader::parse(batch).expect("a batch")).collect();
        let seen: Vec<_> = headers
            .iter()
            .map(|h| (h.base_offset, h.leader_epoch, h.record_count, h.base_sequence, h.codec()))
            .collect();
        assert_eq!(seen, [(0, 5, 1, -1, codec.id()), (1, 5, 1, 0, codec.id())]);
        assert!(headers.iter().all(|h| h.producer_id == -1 && !h.is_transactional()));

        logs.lead(&partition(), 6);
        let second = service(&logs, codec);
        assert_eq!(second.describe("g").await, Err(GroupError::NotCoordinator));
        second.elected(0, 6);
        until_loaded(&second).await;
        assert_eq!(offset(&second).await, Some(42));
        let group = second.describe("g").await.expect("it is the coordinator");
        assert_eq!(group.state, State::Stable);
        assert_eq!(&group.members[0].assignment[..], b"work");
        assert_eq!(second.heartbeat("g", caller.clone()).await, Ok(()));

        // The first one does not know yet that it was deposed; its log does.
        let late = first.commit("g", commit_request(caller, 43, None)).await;
        assert_eq!(late[0].1, Some(GroupError::NotCoordinator));
    }
}

#[tokio::test]
async fn transactions_end_by_their_markers_before_and_after_a_load() {
    let logs = logs();
    let first = service(&logs, Codec::None);
    first.elected(0, 5);
    until_loaded(&first).await;
    let producer = Some(Producer { id: 9, epoch: 2 });
    let results = first.commit("g", commit_request(nobody(), 42, producer)).await;
    assert_eq!(results[0].1, None);
    let header = BatchHeader::parse(&logs.batches(&partition())[0]).expect("a batch");
    assert_eq!((header.producer_id, header.producer_epoch), (9, 2));
    assert!(header.is_transactional());

    logs.lead(&partition(), 6);
    let second = service(&logs, Codec::None);
    second.elected(0, 6);
    until_loaded(&second).await;
    assert_eq!(offset(&second).await, None);
    let marker = EndTxnMarker { committed: true, coordinator_epoch: 0 };
    let batch = marker.batch(0, 1, 6, 9, 2).expect("a small batch");
    logs.append_now(&partition(), 6, &batch).expect("the leader appends");
    second.transaction_ended(0, 9, Marker::Commit).await.expect("it leads");
    assert_eq!(offset(&second).await, Some(42));

    logs.lead(&partition(), 7);
    let third = service(&logs, Codec::None);
    third.elected(0, 7);
    until_loaded(&third).await;
    assert_eq!(offset(&third).await, Some(42));
}

#[tokio::test]
async fn only_the_elected_one_answers() {
    let logs = logs();
    let service = service(&logs, Codec::None);
    assert_eq!(service.heartbeat("g", nobody()).await, Err(GroupError::NotCoordinator));
    assert_eq!(service.heartbeat("", nobody()).await, Err(GroupError::InvalidGroupId));
    service.elected(0, 5);
    until_loaded(&service).await;
    assert!(service.commit("", commit_request(nobody(), 1, None)).await[0].1.is_none());

    // A late order of an earlier epoch changes nothing, and neither does the same one twice.
    service.resigned(0, Some(4));
    service.elected(0, 5);
    assert_eq!(service.heartbeat("g", nobody()).await, Err(GroupError::UnknownMemberId));

    // Whoever waits is sent on.
    let first = service.join("g", join_request(""), Topics::default()).await;
    assert_eq!(first.error, None);
    let waiting = service.join("g", join_request(""), Topics::default());
    service.resigned(0, Some(6));
    assert_eq!(waiting.await.error, Some(GroupError::NotCoordinator));
    assert_eq!(service.heartbeat("g", nobody()).await, Err(GroupError::NotCoordinator));
    service.elected(0, 5);
    assert_eq!(service.heartbeat("g", nobody()).await, Err(GroupError::NotCoordinator));

    service.stop();
    assert_eq!(service.heartbeat("g", nobody()).await, Err(GroupError::CoordinatorNotAvailable));
    assert_eq!(service.list().await.err(), Some(GroupError::CoordinatorNotAvailable));
}

#[tokio::test]
async fn a_leader_that_goes_on_keeps_its_groups_and_one_that_missed_an_epoch_reads_again() {
    let logs = logs();
    let service = service(&logs, Codec::None);
    service.elected(0, 5);
    until_loaded(&service).await;
    let joined = service.join("g", join_request(""), Topics::default()).await;
    let caller =
        Caller { member_id: joined.member_id.to_string(), instance_id: None, generation: 1 };

    logs.lead(&partition(), 6);
    service.elected(0, 6);
    assert_eq!(service.heartbeat("g", caller.clone()).await, Ok(()));
    let results = service.commit("h", commit_request(nobody(), 1, None)).await;
    assert_eq!(results[0].1, None, "it appends in the new epoch");

    // Someone else may have led in epoch 7; the group that was never stored is gone.
    logs.lead(&partition(), 8);
    service.elected(0, 8);
    until_loaded(&service).await;
    assert_eq!(service.heartbeat("g", caller).await, Err(GroupError::UnknownMemberId));
    let (groups, _) = service.list().await.expect("it runs");
    assert_eq!(groups.iter().map(|group| &*group.group_id).collect::<Vec<_>>(), ["h"]);
}

#[tokio::test]
async fn while_the_log_cannot_be_read_members_are_kept_waiting() {
    let logs = Arc::new(MemoryPartitions::new());
    let service = service(&logs, Codec::None);
    service.elected(0, 5);
    let loading = Err(GroupError::CoordinatorLoadInProgress);
    assert_eq!(service.describe("g").await, loading);
    assert_eq!(service.heartbeat("g", nobody()).await, Ok(()), "nobody's session runs");
    let sync = SyncRequest {
        caller: nobody(),
        protocol_type: None,
        protocol: None,
        assignments: Vec::new(),
    };
    let synced = service.sync("g", sync).await;
    assert_eq!(synced.error, Some(GroupError::RebalanceInProgress));
    let (groups, loading) = service.list().await.expect("it runs");
    assert!(groups.is_empty() && loading);
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert!(service.describe("g").await.is_err(), "the first try has failed");
    // The log turns up: the next try finds it.
    logs.lead(&partition(), 5);
    until_loaded(&service).await;
    assert_eq!(offset(&service).await, None);
}

#[tokio::test]
async fn a_commit_that_is_not_stored_is_not_acknowledged() {
    let logs = logs();
    let service = service(&logs, Codec::None);
    service.elected(0, 5);
    until_loaded(&service).await;
    for (failure, told) in [
        (AppendError::NotEnoughReplicas, GroupError::CoordinatorNotAvailable),
        (AppendError::TimedOut, GroupError::RequestTimedOut),
        (AppendError::Storage, GroupError::NotCoordinator),
    ] {
        logs.fail_appends(&partition(), Some(failure));
        let results = service.commit("g", commit_request(nobody(), 1, None)).await;
        assert_eq!(results[0].1, Some(told));
        assert_eq!(offset(&service).await, None);
    }
    logs.fail_appends(&partition(), None);
    let results = service.commit("g", commit_request(nobody(), 2, None)).await;
    assert_eq!((results[0].1, offset(&service).await), (None, Some(2)));
}

/// A rebalance ends by a timer, however soon the next request comes.
#[tokio::test]
async fn what_is_due_comes_before_the_next_request() {
    let logs = logs();
    let service = service(&logs, Codec::None);
    service.elected(0, 5);
    until_loaded(&service).await;
    let joining = service.join("g", join_request(""), Topics::default());
    let group = service.describe("g").await.expect("it is the coordinator");
    assert_eq!(group.state, State::CompletingRebalance);
    let joined = joining.now_or_never().expect("answered by now");
    assert_eq!((joined.error, joined.generation), (None, 1));
}
