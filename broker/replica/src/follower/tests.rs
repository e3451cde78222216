//! Requests and answers as tables. What is written `t-0@5/3` is partition 0 of `t`, asked for from
//! offset 5 on, the last record's epoch being 3.

use std::cell::RefCell;
use std::collections::BTreeSet;

use protocol::messages::fetch::{
    EpochEndOffset, FetchResponse, FetchableTopicResponse, PartitionData,
};

use super::*;

const BACKOFF: i64 = 1000;
const EPOCH: LeaderEpoch = 4;

/// Logs that begin at 0, but for those that are gone or throttled.
#[derive(Default)]
struct World {
    gone: RefCell<BTreeSet<TopicPartition>>,
    throttled: RefCell<BTreeSet<TopicPartition>>,
}

impl Surroundings for World {
    fn log_start(&self, partition: &TopicPartition) -> Option<Offset> {
        (!self.gone.borrow().contains(partition)).then_some(0)
    }

    fn is_throttled(&self, partition: &TopicPartition) -> bool {
        self.throttled.borrow().contains(partition)
    }
}

struct Bed {
    follower: Follower,
    world: World,
    now_ms: TimestampMs,
    session_id: i32,
}

fn tp(text: &str) -> TopicPartition {
    let (topic, partition) = text.rsplit_once('-').unwrap();
    TopicPartition::new(topic, partition.parse().unwrap())
}

fn id(topic: &str) -> Uuid {
    Uuid([topic.as_bytes()[0]; 16])
}

fn start(topic_id: Uuid, offset: Offset, last_epoch: Option<LeaderEpoch>) -> Start {
    let stage = if last_epoch.is_some() { Stage::Fetching } else { Stage::Truncating };
    Start { topic_id, leader_epoch: EPOCH, offset, last_epoch, stage }
}

impl Bed {
    fn new() -> Bed {
        let follower = Follower::new(FollowerSettings {
            replica_id: 2,
            max_wait_ms: 500,
            min_bytes: 1,
            response_bytes_max: 10 << 20,
            partition_bytes_max: 1 << 20,
            backoff_ms: BACKOFF,
        });
        Bed { follower, world: World::default(), now_ms: 0, session_id: 77 }
    }

    /// Follows each from offset 5 on.
    fn following(partitions: &[&str]) -> Bed {
        let mut bed = Bed::new();
        for name in partitions {
            bed.follow(name);
        }
        bed
    }

    fn follow(&mut self, name: &str) {
        let partition = tp(name);
        self.follower.follow(partition.clone(), start(id(&partition.topic), 5, Some(3)));
    }

    fn fetch(&mut self) -> (FetchRequest, i16) {
        match self.follower.step(99, &self.world, self.now_ms) {
            Step::Fetch { request, version } => (*request, version),
            other => panic!("{other:?}"),
        }
    }

    /// `id:epoch +ASKED -FORGOTTEN` of the next request.
    fn asks(&mut self) -> String {
        let (request, _) = self.fetch();
        let mut text = format!("{}:{}", request.session_id, request.session_epoch);
        for topic in &request.topics {
            for p in &topic.partitions {
                let (offset, epoch) = (p.fetch_offset, p.last_fetched_epoch);
                text += &format!(" +{}-{}@{offset}/{epoch}", topic.topic, p.partition);
            }
        }
        for topic in &request.forgotten_topics_data {
            for p in &topic.partitions {
                text += &format!(" -{}-{p}", topic.topic);
            }
        }
        text
    }

    fn answer(&mut self, data: &[(&str, PartitionData)]) -> FetchResponse {
        let responses = data.iter().map(|(name, data)| {
            let partition = tp(name);
            FetchableTopicResponse {
                topic: String::new(),
                topic_id: id(&partition.topic),
                partitions: vec![PartitionData {
                    partition_index: partition.partition,
                    ..data.clone()
                }],
            }
        });
        FetchResponse {
            session_id: self.session_id,
            responses: responses.collect(),
            ..FetchResponse::default()
        }
    }

    /// The orders that an answer gives, as `partition order`.
    fn gives(&mut self, data: &[(&str, PartitionData)]) -> Vec<String> {
        let answer = self.answer(data);
        let orders = self.follower.on_response(answer, self.now_ms).unwrap();
        let order = |order: &PartitionOrder| match &order.order {
            Order::Append { offset, .. } => format!("append at {offset}"),
            Order::Diverged { leader, .. } => {
                format!("cut to {}/{}", leader.end_offset, leader.epoch)
            }
            Order::OutOfRange => "out of range".to_owned(),
            Order::Delayed(code) => format!("delayed {code:?}"),
            Order::Failed => "failed".to_owned(),
        };
        orders.iter().map(|o| format!("{} {}", o.partition, order(o))).collect()
    }

    fn append(&mut self, name: &str, next_offset: Offset) {
        self.follower.appended(&tp(name), EPOCH, Some(next_offset), Some(EPOCH), next_offset);
    }
}

fn ok() -> PartitionData {
    PartitionData { high_watermark: 5, log_start_offset: 0, ..PartitionData::default() }
}

fn error(code: ErrorCode) -> PartitionData {
    PartitionData { error_code: code.0, high_watermark: -1, ..PartitionData::default() }
}

fn diverging(epoch: LeaderEpoch, end_offset: Offset) -> PartitionData {
    PartitionData { diverging_epoch: EpochEndOffset { epoch, end_offset }, ..ok() }
}

#[test]
fn the_request_has_the_fields_of_kafkas() {
    let mut bed = Bed::following(&["a-0"]);
    let (request, version) = bed.fetch();
    assert_eq!(version, 17);
    let expected = FetchRequest {
        replica_state: protocol::messages::fetch::ReplicaState { replica_id: 2, replica_epoch: 99 },
        max_wait_ms: 500,
        min_bytes: 1,
        max_bytes: 10 << 20,
        session_epoch: 0,
        topics: request.topics.clone(),
        ..FetchRequest::default()
    };
    assert_eq!(request, expected);
    let asked = &request.topics[0].partitions[0];
    assert_eq!((asked.current_leader_epoch, asked.log_start_offset), (EPOCH, 0));
    assert_eq!(asked.partition_max_bytes, 1 << 20);
    // Beside a topic without an id, every topic goes by its name.
    bed.follower.follow(tp("b-0"), start(Uuid::ZERO, 0, Some(0)));
    let (request, version) = bed.fetch();
    assert_eq!((version, request.replica_id), (12, 2));
    assert_eq!(request.topics[0].topic, "a");
}

#[test]
fn a_session_names_what_changed() {
    let mut bed = Bed::following(&["a-0", "a-1", "b-0"]);
    assert_eq!(bed.asks(), "0:0 +a-0@5/3 +a-1@5/3 +b-0@5/3");
    let orders = bed.gives(&[("a-0", ok()), ("a-1", ok()), ("b-0", ok())]);
    assert_eq!(orders, ["a-0 append at 5", "a-1 append at 5", "b-0 append at 5"]);
    assert_eq!(bed.asks(), "77:1");
    assert!(bed.gives(&[]).is_empty());
    assert_eq!(bed.asks(), "77:2");
    bed.gives(&[("a-1", ok())]);
    bed.append("a-1", 8);
    assert_eq!(bed.asks(), "77:3 +a-1@8/4");
    bed.gives(&[]);
    bed.follower.stop(&tp("b-0"));
    bed.follow("c-0");
    assert_eq!(bed.asks(), "77:4 +c-0@5/3 -b-0");
    // The answer to the request before may still speak of one that was stopped meanwhile.
    bed.follower.stop(&tp("a-0"));
    assert_eq!(bed.gives(&[("a-0", ok()), ("c-0", ok())]), ["c-0 append at 5"]);
    // Stopped and followed again between two requests, it never left the session.
    bed.follower.stop(&tp("c-0"));
    bed.follow("c-0");
    assert_eq!(bed.asks(), "77:5 -a-0");
}

#[test]
fn a_topic_that_was_made_anew_replaces_the_old_one() {
    let mut bed = Bed::following(&["a-0"]);
    bed.asks();
    bed.gives(&[("a-0", ok())]);
    bed.follower.stop(&tp("a-0"));
    bed.follower.follow(tp("a-0"), Start { leader_epoch: 0, ..start(id("z"), 0, Some(0)) });
    let (request, _) = bed.fetch();
    assert_eq!(request.topics[0].topic_id, id("z"));
    assert_eq!(request.forgotten_topics_data[0].topic_id, id("a"));
}

#[test]
fn faults_begin_a_new_session() {
    let refused = |code: ErrorCode| FetchResponse { error_code: code.0, ..Default::default() };
    let not_found = ErrorCode::FETCH_SESSION_ID_NOT_FOUND;
    let wrong_epoch = ErrorCode::INVALID_FETCH_SESSION_EPOCH;
    for (answer, next) in [
        (refused(not_found), "0:0"),
        (refused(wrong_epoch), "77:0"),
        (FetchResponse { session_id: 77, ..Bed::new().answer(&[("x-0", ok())]) }, "77:0"),
        (FetchResponse { session_id: 77, ..Bed::new().answer(&[("a-7", ok())]) }, "77:0"),
    ] {
        let mut bed = Bed::following(&["a-0", "b-0"]);
        bed.asks();
        bed.gives(&[("a-0", ok()), ("b-0", ok())]);
        bed.asks();
        assert!(bed.follower.on_response(answer.clone(), 0).is_err());
        assert_eq!(bed.asks(), format!("{next} +a-0@5/3 +b-0@5/3"));
        // Twice in a row: not without a pause.
        assert!(bed.follower.on_response(refused(wrong_epoch), 0).is_err());
        let step = bed.follower.step(99, &bed.world, 0);
        assert_eq!(step, Step::Wait { until_ms: Some(FIRST_PAUSE_MS) });
    }
    // A full answer without one of the partitions.
    let mut bed = Bed::following(&["a-0", "b-0"]);
    bed.asks();
    let answer = bed.answer(&[("a-0", ok())]);
    assert_eq!(bed.follower.on_response(answer, 0).unwrap_err(), SessionFault::Mismatch);
    assert_eq!(bed.asks(), "0:0 +a-0@5/3 +b-0@5/3");
    let throttled = FetchResponse { throttle_time_ms: 9, ..Default::default() };
    assert_eq!(bed.follower.on_response(throttled, 0).unwrap_err(), SessionFault::Throttled);
}

#[test]
fn a_broken_connection_pauses_everything() {
    let mut bed = Bed::following(&["a-0", "b-0"]);
    bed.asks();
    bed.gives(&[("a-0", ok()), ("b-0", ok())]);
    bed.asks();
    bed.follower.on_network_error(0);
    let wait = Step::Wait { until_ms: Some(FIRST_PAUSE_MS) };
    assert_eq!(bed.follower.step(99, &bed.world, 1), wait);
    bed.now_ms = FIRST_PAUSE_MS;
    assert_eq!(bed.asks(), "77:0 +a-0@5/3 +b-0@5/3");
}

#[test]
fn pauses_grow_up_to_the_configured_one_and_shorten_the_wait_of_others() {
    let mut bed = Bed::following(&["a-0", "b-0"]);
    let mut waits = vec![];
    for _ in 0..10 {
        bed.asks();
        bed.gives(&[("a-0", error(ErrorCode::UNKNOWN_LEADER_EPOCH)), ("b-0", ok())]);
        bed.append("b-0", 6);
        // The other partition is asked for meanwhile, and its answer comes at once.
        let wait_ms = bed.fetch().0.max_wait_ms;
        bed.gives(&[]);
        let delayed = bed.follower.state(&tp("a-0")).and_then(|state| state.delayed_until_ms);
        let pause_ms = delayed.expect("it pauses") - bed.now_ms;
        assert_eq!(i64::from(wait_ms), pause_ms.min(500));
        waits.push(pause_ms);
        bed.now_ms += pause_ms;
    }
    assert_eq!(waits, [10, 20, 40, 80, 160, 320, 640, 1000, 1000, 1000]);
    bed.asks();
    bed.gives(&[("a-0", ok())]);
    bed.append("a-0", 6);
    assert_eq!(bed.fetch().0.max_wait_ms, 500);
    bed.gives(&[("a-0", error(ErrorCode::NOT_LEADER_OR_FOLLOWER))]);
    assert_eq!(bed.fetch().0.max_wait_ms, 10, "after a good answer it begins anew");
}

#[test]
fn what_a_request_leaves_out_is_in_the_next_ones_new_session() {
    let mut bed = Bed::following(&["a-0", "b-0"]);
    bed.asks();
    bed.gives(&[("a-0", ok()), ("b-0", ok())]);
    bed.asks();
    assert!(!bed.follower.leaves_out(0));
    bed.follow("c-0");
    assert!(bed.follower.leaves_out(0));
    bed.follower.on_given_up();
    assert_eq!(bed.asks(), "77:0 +a-0@5/3 +b-0@5/3 +c-0@5/3");
    let newer = Start { leader_epoch: EPOCH + 1, ..start(id("a"), 5, Some(3)) };
    bed.follower.follow(tp("a-0"), newer);
    assert!(bed.follower.leaves_out(0), "the epoch asked for is not the leader's");
    bed.follower.delay(&tp("a-0"), EPOCH + 1, 0);
    assert!(!bed.follower.leaves_out(0), "it pauses");
    bed.follower.follow(tp("d-0"), start(id("d"), 5, None));
    assert!(bed.follower.leaves_out(0), "a log is to be cut");
}

#[test]
fn answers_of_a_partition() {
    let later = "77:1 -a-0";
    for (data, order, next) in [
        (ok(), "append at 5", "77:1"),
        (diverging(2, 3), "cut to 3/2", "77:1"),
        (error(ErrorCode::OFFSET_OUT_OF_RANGE), "out of range", "77:1"),
        (error(ErrorCode::FENCED_LEADER_EPOCH), "failed", later),
        (error(ErrorCode::UNKNOWN_LEADER_EPOCH), "delayed", later),
        (error(ErrorCode::NOT_LEADER_OR_FOLLOWER), "delayed", later),
        (error(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION), "delayed", later),
        (error(ErrorCode::UNKNOWN_TOPIC_ID), "delayed", later),
        (error(ErrorCode::INCONSISTENT_TOPIC_ID), "delayed", later),
        (error(ErrorCode::KAFKA_STORAGE_ERROR), "delayed", later),
        (error(ErrorCode::OFFSET_MOVED_TO_TIERED_STORAGE), "delayed", later),
        (error(ErrorCode(4711)), "delayed", later),
    ] {
        let mut bed = Bed::following(&["a-0", "b-0"]);
        bed.asks();
        let code = data.error_code;
        let orders = bed.gives(&[("a-0", data), ("b-0", ok())]);
        assert!(orders[0].starts_with(&format!("a-0 {order}")), "{code}: {orders:?}");
        assert_eq!(bed.asks(), next, "{code}");
        bed.gives(&[]);
        bed.now_ms = BACKOFF;
        let back = if order == "delayed" { "77:2 +a-0@5/3" } else { "77:2" };
        assert_eq!(bed.asks(), back, "{code}");
    }
}

#[test]
fn answers_to_a_state_that_is_gone() {
    type Change = fn(&mut Bed);
    let changes: [(&str, Change); 4] = [
        ("stopped", |bed| assert!(bed.follower.stop(&tp("a-0")).is_some())),
        ("another epoch", |bed| {
            let newer = Start { leader_epoch: EPOCH + 1, ..start(id("a"), 5, Some(3)) };
            bed.follower.follow(tp("a-0"), newer);
        }),
        ("cut meanwhile", |bed| bed.follower.truncated(&tp("a-0"), EPOCH, 2, Some(1))),
        ("paused meanwhile", |bed| bed.follower.delay(&tp("a-0"), EPOCH, 0)),
    ];
    for (what, change) in changes {
        let mut bed = Bed::following(&["a-0"]);
        bed.asks();
        change(&mut bed);
        assert!(bed.gives(&[("a-0", ok())]).is_empty(), "{what}");
    }
    // Reports of a former epoch change nothing either.
    let mut bed = Bed::following(&["a-0"]);
    let before = bed.follower.state(&tp("a-0")).cloned();
    bed.follower.appended(&tp("a-0"), EPOCH - 1, Some(9), None, 9);
    bed.follower.truncated(&tp("a-0"), EPOCH - 1, 0, None);
    bed.follower.restarted(&tp("a-0"), EPOCH - 1, 0, None, 0);
    bed.follower.delay(&tp("a-0"), EPOCH - 1, 0);
    assert!(!bed.follower.fail(&tp("a-0"), EPOCH - 1));
    assert_eq!(bed.follower.state(&tp("a-0")).cloned(), before);
}

#[test]
fn a_log_without_epochs_is_cut_first() {
    let mut bed = Bed::new();
    bed.follower.follow(tp("a-0"), start(id("a"), 5, None));
    let cut = Step::Truncate { partition: tp("a-0"), leader_epoch: EPOCH, offset: 5 };
    assert_eq!(bed.follower.step(99, &bed.world, 0), cut);
    bed.follower.truncated(&tp("a-0"), EPOCH, 5, None);
    assert_eq!(bed.asks(), "0:0 +a-0@5/-1");
    bed.gives(&[("a-0", ok())]);
    bed.append("a-0", 6);
    assert_eq!(bed.asks(), "77:1 +a-0@6/4");
}

#[test]
fn after_a_cut_and_after_an_offset_out_of_range() {
    let mut bed = Bed::following(&["a-0"]);
    bed.asks();
    bed.gives(&[("a-0", diverging(2, 3))]);
    bed.follower.truncated(&tp("a-0"), EPOCH, 3, Some(2));
    assert_eq!(bed.asks(), "77:1 +a-0@3/2");
    bed.gives(&[("a-0", error(ErrorCode::OFFSET_OUT_OF_RANGE))]);
    bed.follower.restarted(&tp("a-0"), EPOCH, 100, None, 20);
    assert_eq!(bed.follower.max_lag(), 20);
    assert_eq!(bed.asks(), "77:2 +a-0@100/-1");
    bed.gives(&[("a-0", error(ErrorCode::OFFSET_OUT_OF_RANGE))]);
    let refused = bed.follower.refused(&tp("a-0"), EPOCH, ErrorCode::NOT_LEADER_OR_FOLLOWER, 0);
    assert!(matches!(refused, Order::Delayed(ErrorCode::NOT_LEADER_OR_FOLLOWER)));
    let fenced = bed.follower.refused(&tp("a-0"), EPOCH, ErrorCode::FENCED_LEADER_EPOCH, 0);
    assert!(matches!(fenced, Order::Failed) && bed.follower.is_empty());
}

#[test]
fn who_was_given_records_comes_last() {
    let mut bed = Bed::following(&["a-0", "b-0", "c-0"]);
    bed.asks();
    bed.session_id = 0;
    bed.gives(&[("a-0", ok()), ("b-0", ok()), ("c-0", ok())]);
    bed.append("a-0", 9);
    assert_eq!(bed.asks(), "0:0 +b-0@5/3 +c-0@5/3 +a-0@9/4");
}

#[test]
fn who_has_no_log_waits_and_who_is_throttled_too_unless_in_sync() {
    let mut bed = Bed::following(&["a-0", "b-0", "c-0"]);
    bed.world.gone.borrow_mut().insert(tp("a-0"));
    bed.world.throttled.borrow_mut().insert(tp("b-0"));
    assert_eq!(bed.asks(), "0:0 +c-0@5/3");
    bed.gives(&[("c-0", ok())]);
    bed.append("c-0", 6);
    bed.world.throttled.borrow_mut().insert(tp("c-0"));
    assert_eq!(bed.asks(), "77:1 +c-0@6/4");
    bed.gives(&[]);
    bed.follower.stop(&tp("c-0"));
    assert_eq!(bed.asks(), "77:2 -c-0");
    bed.gives(&[]);
    let step = bed.follower.step(99, &bed.world, 1);
    assert_eq!(step, Step::Wait { until_ms: Some(FIRST_PAUSE_MS) });
    bed.follower.stop(&tp("a-0"));
    bed.follower.stop(&tp("b-0"));
    assert_eq!(bed.follower.step(99, &bed.world, 1), Step::Wait { until_ms: None });
}

#[test]
fn fetcher_ids_are_kafkas() {
    for (name, fetchers, expected) in [
        ("a-0", 1, 0),
        ("a-0", 4, 3),
        ("ab-3", 7, 1),
        // The hash is negative, and wraps.
        ("__consumer_offsets-49", 10, 8),
        ("__consumer_offsets-7", 10, 0),
        // Two UTF-16 units.
        ("\u{1d11e}-1", 10, 5),
    ] {
        assert_eq!(fetcher_id(&tp(name), fetchers), expected, "{name}");
    }
}

#[test]
fn the_first_offset_is_the_end_where_epochs_are_known() {
    assert_eq!(first_offset(Some(0), 9, 4), 9);
    assert_eq!(first_offset(None, 9, 4), 4);
}
