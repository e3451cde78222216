//! Fetch on real parts: who may read what, and how far.

use protocol::messages::fetch::{FetchPartition, FetchTopic};

use super::*;
use crate::authorizer::{CLUSTER, Cluster, Topic, op};
use crate::testbed::{Testbed, answer, context, now, topic_id};

fn fetch(replica_id: i32, topics: &[(&str, i32, i64)]) -> FetchRequest {
    let topic = |(name, partition, fetch_offset): &(&str, i32, i64)| FetchTopic {
        topic: (*name).to_owned(),
        topic_id: topic_id(name),
        partitions: vec![FetchPartition {
            partition: *partition,
            current_leader_epoch: -1,
            fetch_offset: *fetch_offset,
            last_fetched_epoch: -1,
            log_start_offset: -1,
            partition_max_bytes: 1 << 20,
            ..FetchPartition::default()
        }],
    };
    FetchRequest {
        replica_id,
        max_wait_ms: 0,
        min_bytes: 1,
        max_bytes: 1 << 20,
        session_id: 0,
        session_epoch: -1,
        topics: topics.iter().map(topic).collect(),
        ..FetchRequest::default()
    }
}

/// Topic, code and high watermark of every partition, in the order of the answer.
fn told(response: &FetchResponse) -> Vec<(&str, ErrorCode, i64)> {
    let all = response.responses.iter().flat_map(|topic| {
        let one = |p: &PartitionData| (ErrorCode(p.error_code), p.high_watermark);
        topic.partitions.iter().map(move |p| (&*topic.topic, one(p).0, one(p).1))
    });
    all.collect()
}

#[tokio::test]
async fn a_consumer_reads_what_it_may_and_the_rest_is_told_last() {
    let bed = Testbed::new();
    bed.lead("t", 1);
    bed.lead("denied", 1);
    bed.place("elsewhere", 1, 2, 0);
    bed.append("t", 0, &["a", "b"]);
    let authorizer = Authorizer::allow_all().but::<op::Read, Topic>("denied");
    let request = fetch(CONSUMER, &[("denied", 0, 0), ("none", 0, 0), ("t", 0, 0), ("t", 9, 0)]);
    let response = answer(handle(&authorizer, &bed.fetch_server, &context(12), request)).await;
    let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
    let expected = [
        ("t", ErrorCode::NONE, 2),
        ("denied", ErrorCode::TOPIC_AUTHORIZATION_FAILED, -1),
        ("none", unknown, -1),
        ("t", unknown, -1),
    ];
    assert_eq!(told(&response), expected);
    let records = response.responses[0].partitions[0].records.as_ref();
    assert!(records.is_some_and(|records| !records.is_empty()));
    let beyond = fetch(CONSUMER, &[("t", 0, 3)]);
    let response = answer(handle(&authorizer, &bed.fetch_server, &context(12), beyond)).await;
    assert_eq!(told(&response), [("t", ErrorCode::OFFSET_OUT_OF_RANGE, -1)]);
}

#[tokio::test]
async fn followers_need_leave_for_the_cluster_and_no_other() {
    let bed = Testbed::new();
    bed.lead("t", 1);
    let ask = |authorizer: &Authorizer, replica| {
        let request = fetch(replica, &[("t", 0, 0)]);
        let response = now(handle(authorizer, &bed.fetch_server, &context(12), request));
        told(&response)[0].1
    };
    let no_topic = || Authorizer::allow_all().but::<op::Read, Topic>("t");
    let denied = ErrorCode::TOPIC_AUTHORIZATION_FAILED;
    assert_eq!(ask(&no_topic(), CONSUMER), denied);
    // It is no replica of the partition, but it was let in.
    assert_ne!(ask(&no_topic(), 2), denied);
    let neither = no_topic().but::<op::ClusterAction, Cluster>(CLUSTER);
    assert_eq!(ask(&neither, 2), denied);
}

#[tokio::test]
async fn topics_by_id_and_sessions_that_are_not_there() {
    let bed = Testbed::new();
    bed.lead("t", 1);
    let ask = async |request| {
        answer(handle(&bed.authorizer, &bed.fetch_server, &context(13), request)).await
    };
    let unknown = ask(fetch(CONSUMER, &[("t", 0, 0), ("none", 0, 0)])).await;
    let codes: Vec<_> = told(&unknown).into_iter().map(|(_, code, _)| code).collect();
    assert_eq!(codes, [ErrorCode::NONE, ErrorCode::UNKNOWN_TOPIC_ID]);
    let lost = FetchRequest { session_id: 7, session_epoch: 3, ..fetch(CONSUMER, &[]) };
    assert_eq!(ask(lost).await.error_code, ErrorCode::FETCH_SESSION_ID_NOT_FOUND.0);
}
