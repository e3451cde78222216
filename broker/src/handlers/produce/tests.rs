//! Produce on real parts: who may, what is asked for, and what is told.

use protocol::messages::produce::{PartitionProduceData, TopicProduceData};
use protocol::wire::Records;

use super::*;
use crate::authorizer::TransactionalId;
use crate::testbed::{Testbed, answer, batch, context, now, transactional_batch};

fn produce(acks: i16, topics: &[(&str, i32, Option<Vec<u8>>)]) -> ProduceRequest {
    let topic = |(name, index, records): &(&str, i32, Option<Vec<u8>>)| TopicProduceData {
        name: (*name).to_owned(),
        partition_data: vec![PartitionProduceData {
            index: *index,
            records: records.clone().map(|bytes| Records::Bytes(bytes.into())),
        }],
    };
    ProduceRequest {
        transactional_id: None,
        acks,
        timeout_ms: 1000,
        topic_data: topics.iter().map(topic).collect(),
    }
}

fn codes(response: &ProduceResponse) -> Vec<(&str, ErrorCode, i64)> {
    let all = response.responses.iter().flat_map(|topic| {
        let one = |p: &PartitionProduceResponse| (ErrorCode(p.error_code), p.base_offset);
        topic.partition_responses.iter().map(move |p| (&*topic.name, one(p).0, one(p).1))
    });
    all.collect()
}

#[tokio::test]
async fn what_may_be_appended_is_and_the_rest_is_told_why_not() {
    let bed = Testbed::new();
    for topic in ["t", "denied", name::CONSUMER_OFFSETS] {
        bed.lead(topic, 1);
    }
    bed.place("elsewhere", 1, 2, 0);
    let authorizer = Authorizer::allow_all().but::<op::Write, Topic>("denied");
    let request = produce(
        ACKS_ALL,
        &[
            ("t", 0, Some(batch(&["a", "b"]))),
            ("denied", 0, Some(batch(&["a"]))),
            ("none", 0, Some(batch(&["a"]))),
            ("elsewhere", 0, Some(batch(&["a"]))),
            (name::CONSUMER_OFFSETS, 0, Some(batch(&["a"]))),
        ],
    );
    let told = now(handle(&authorizer, &bed.appender, &context(11), request));
    let expected = [
        ("t", ErrorCode::NONE, 0),
        ("denied", ErrorCode::TOPIC_AUTHORIZATION_FAILED, -1),
        ("none", ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, -1),
        ("elsewhere", ErrorCode::NOT_LEADER_OR_FOLLOWER, -1),
        (name::CONSUMER_OFFSETS, ErrorCode::INVALID_TOPIC_EXCEPTION, -1),
    ];
    assert_eq!(codes(&told), expected);
    assert_eq!(bed.log_end("t", 0), 2);
    let leader = &told.responses[3].partition_responses[0].current_leader;
    assert_eq!((leader.leader_id, told.node_endpoints[0].node_id), (2, 2));
}

#[tokio::test]
async fn acks_0_has_no_answer_but_an_end() {
    let bed = Testbed::new();
    bed.lead("t", 1);
    let ask = |topic, acks| {
        let request = produce(acks, &[(topic, 0, Some(batch(&["a"])))]);
        handle(&bed.authorizer, &bed.appender, &context(11), request)
    };
    assert!(matches!(ask("t", ACKS_NONE), Reply::Nothing));
    assert_eq!(bed.log_end("t", 0), 1);
    assert!(matches!(ask("u", ACKS_NONE), Reply::Close(why) if why.contains("u-0")));
    let illegal = now(ask("t", 2));
    assert_eq!(codes(&illegal), [("t", ErrorCode::INVALID_REQUIRED_ACKS, -1)]);
}

#[tokio::test]
async fn a_transaction_needs_leave_for_its_id_and_its_partition() {
    let bed = Testbed::new();
    let producer = bed.begin_transaction("x", "t").await;
    bed.lead("u", 1);
    let ask = |authorizer: &Authorizer, topic| {
        let records = Some(transactional_batch((producer.id, producer.epoch), &["a"]));
        let transactional_id = Some("x".to_owned());
        let request = ProduceRequest { transactional_id, ..produce(1, &[(topic, 0, records)]) };
        handle(authorizer, &bed.appender, &context(11), request)
    };
    let denied = Authorizer::allow_all().but::<op::Write, TransactionalId>("x");
    let refused = ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
    assert_eq!(codes(&now(ask(&denied, "t"))), [("t", refused, -1)]);
    let asked = ask(&bed.authorizer, "t");
    assert!(matches!(asked, Reply::Held(_)), "the coordinator is asked first");
    assert_eq!(codes(&answer(asked).await), [("t", ErrorCode::NONE, 0)]);
    let other = answer(ask(&bed.authorizer, "u")).await;
    assert_eq!(codes(&other), [("u", ErrorCode::TRANSACTION_ABORTABLE, -1)]);
}
