//! What leaders ask transaction coordinators before a transaction begins in a partition (KIP-890):
//! ours and Apache's say the same in either part, to old clients and to new ones.

use std::time::Duration;

use protocol::error_code::ErrorCode;
use protocol::messages::add_offsets_to_txn::AddOffsetsToTxnRequest;
use protocol::messages::add_partitions_to_txn::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnTopic,
};
use protocol::messages::describe_transactions::DescribeTransactionsRequest;
use protocol::messages::end_txn::EndTxnRequest;
use protocol::messages::find_coordinator::FindCoordinatorRequest;
use protocol::messages::init_producer_id::InitProducerIdRequest;
use protocol::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use protocol::messages::txn_offset_commit::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use protocol::records::builder::{BatchBuilder, BatchOptions};
use protocol::wire::Records;
use tests::brokers::{Brokers, Kind, Plan};
use tests::wait;

const LIMIT: Duration = Duration::from_secs(60);
pub const LEADER: i32 = 1;
const COORDINATOR: i32 = 2;
pub const TOPIC: &str = "verified";
/// The last versions whose clients do not know TRANSACTION_ABORTABLE, and the first that do.
const PRODUCE: [i16; 2] = [10, 11];
const COMMIT: [i16; 2] = [3, 4];

const ALONE: &str = "\
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1";

#[test]
fn between_our_brokers() {
    verified([Kind::subject(), Kind::subject()]);
}

#[test]
fn apache_coordinates() {
    verified([Kind::subject(), Kind::Apache]);
}

#[test]
fn apache_leads() {
    verified([Kind::Apache, Kind::subject()]);
}

/// A producer with transactions, and no client around it.
pub struct Producer {
    transactional_id: String,
    id: i64,
    epoch: i16,
}

fn verified(kinds: [Kind; 2]) {
    let Some(mut brokers) = Plan::of(&kinds).lines(ALONE).start() else { return };
    brokers.create_topic_with(TOPIC, &["--replica-assignment", "1"]);
    let producer = Producer::init(&brokers);
    unknown_to_the_coordinator(&brokers, &producer);
    added(&brokers, &producer);
    offsets(&brokers, &producer);
    not_asked(&brokers, &producer);
    producer.add(&brokers, TOPIC);
    brokers.kill9(COORDINATOR);
    let told = producer.produce(&brokers, PRODUCE[1], 4);
    assert_eq!(told, ErrorCode::NOT_ENOUGH_REPLICAS, "nobody knows, so it may be tried again");
}

fn unknown_to_the_coordinator(brokers: &Brokers, producer: &Producer) {
    let codes = PRODUCE.map(|version| producer.produce(brokers, version, 0));
    assert_eq!(codes, [ErrorCode::INVALID_TXN_STATE, ErrorCode::TRANSACTION_ABORTABLE]);
    let fenced = Producer { epoch: producer.epoch + 1, ..producer.copy() };
    assert_eq!(fenced.produce(brokers, PRODUCE[1], 0), ErrorCode::INVALID_PRODUCER_EPOCH);
    let other = Producer { id: producer.id + 1_000_000, ..producer.copy() };
    assert_eq!(other.produce(brokers, PRODUCE[1], 0), ErrorCode::INVALID_PRODUCER_ID_MAPPING);
}

/// The batch that was refused begins the transaction, and no later one does.
fn added(brokers: &Brokers, producer: &Producer) {
    producer.add(brokers, TOPIC);
    // The epoch that was tried above has seen no batch but its first.
    let codes = [1, 0, 1].map(|sequence| producer.produce(brokers, PRODUCE[1], sequence));
    assert_eq!(codes[1..], [ErrorCode::NONE, ErrorCode::NONE]);
    assert_eq!(codes[0], ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
    producer.end(brokers);
    let told = producer.produce(brokers, PRODUCE[1], 2);
    assert_eq!(told, ErrorCode::TRANSACTION_ABORTABLE, "the transaction before is over");
}

fn offsets(brokers: &Brokers, producer: &Producer) {
    let group = wait::until("a group of broker 1", LIMIT, || {
        let mut names = (0..20).map(|number| format!("group-{number}"));
        names.find(|name| coordinator(brokers, name, 0) == Some(LEADER))
    });
    let codes = COMMIT.map(|version| producer.commit(brokers, version, &group));
    assert_eq!(codes, [ErrorCode::INVALID_TXN_STATE, ErrorCode::TRANSACTION_ABORTABLE]);
    let request = AddOffsetsToTxnRequest {
        transactional_id: producer.transactional_id.clone(),
        producer_id: producer.id,
        producer_epoch: producer.epoch,
        group_id: group.clone(),
    };
    let code = ErrorCode(brokers.call(COORDINATOR, &request).error_code);
    assert_eq!(code, ErrorCode::NONE);
    assert_eq!(producer.commit(brokers, COMMIT[1], &group), ErrorCode::NONE);
    producer.end(brokers);
}

/// Without verification a transaction begins that nobody will end; with it again none does.
fn not_asked(brokers: &Brokers, producer: &Producer) {
    let enable = |value: &str| {
        let config = format!("transaction.partition.verification.enable={value}");
        let entity = ["--entity-type", "brokers", "--entity-default", "--alter", "--add-config"];
        brokers.tool("configs", &[&entity[..], &[&config]].concat());
    };
    enable("false");
    wait::until_true("no verification", LIMIT, || {
        producer.produce(brokers, PRODUCE[1], 2) == ErrorCode::NONE
    });
    assert_eq!(producer.produce(brokers, PRODUCE[1], 3), ErrorCode::NONE);
    // The coordinator ends it after all if the partition is added now.
    producer.add(brokers, TOPIC);
    producer.end(brokers);
    enable("true");
    // One that is let in once more is not asked for while its transaction is open: each try is
    // another producer's.
    let mut id = producer.id + 1_000_000;
    wait::until_true("verification", LIMIT, || {
        id += 1;
        let fresh = Producer { transactional_id: "other".to_owned(), id, ..producer.copy() };
        fresh.produce(brokers, PRODUCE[1], 4) == ErrorCode::INVALID_PRODUCER_ID_MAPPING
    });
}

/// Who coordinates a group (0) or a transactional id (1).
fn coordinator(brokers: &Brokers, key: &str, key_type: i8) -> Option<i32> {
    let keys = vec![key.to_owned()];
    let request = FindCoordinatorRequest { key_type, coordinator_keys: keys, ..Default::default() };
    let found = brokers.call(LEADER, &request).coordinators.remove(0);
    (found.error_code == 0).then_some(found.node_id)
}

impl Producer {
    /// One whose id broker `COORDINATOR` coordinates.
    pub fn init(brokers: &Brokers) -> Producer {
        let transactional_id = wait::until("an id of broker 2", LIMIT, || {
            let mut names = (0..20).map(|number| format!("id-{number}"));
            names.find(|name| coordinator(brokers, name, 1) == Some(COORDINATOR))
        });
        let request = InitProducerIdRequest {
            transactional_id: Some(transactional_id.clone()),
            transaction_timeout_ms: 60_000,
            producer_id: -1,
            producer_epoch: -1,
        };
        wait::until("a producer id", LIMIT, || {
            let answer = brokers.call(COORDINATOR, &request);
            let (id, epoch) = (answer.producer_id, answer.producer_epoch);
            let transactional_id = transactional_id.clone();
            (answer.error_code == 0).then_some(Producer { transactional_id, id, epoch })
        })
    }

    fn copy(&self) -> Producer {
        Producer { transactional_id: self.transactional_id.clone(), ..*self }
    }

    pub fn add(&self, brokers: &Brokers, topic: &str) {
        let topic = AddPartitionsToTxnTopic { name: topic.to_owned(), partitions: vec![0] };
        let request = AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: self.transactional_id.clone(),
            v3_and_below_producer_id: self.id,
            v3_and_below_producer_epoch: self.epoch,
            v3_and_below_topics: vec![topic],
            ..Default::default()
        };
        let answer = brokers.call_in(COORDINATOR, &request, 3);
        let result = &answer.results_by_topic_v3_and_below[0].results_by_partition[0];
        assert_eq!(ErrorCode(result.partition_error_code), ErrorCode::NONE);
    }

    /// Commits, and waits until every marker is written.
    pub fn end(&self, brokers: &Brokers) {
        let request = EndTxnRequest {
            transactional_id: self.transactional_id.clone(),
            producer_id: self.id,
            producer_epoch: self.epoch,
            committed: true,
        };
        let answer = brokers.call(COORDINATOR, &request);
        assert_eq!(ErrorCode(answer.error_code), ErrorCode::NONE);
        let ids = vec![self.transactional_id.clone()];
        let request = DescribeTransactionsRequest { transactional_ids: ids };
        wait::until_true("the markers", LIMIT, || {
            let answer = brokers.call(COORDINATOR, &request);
            answer.transaction_states[0].transaction_state == "CompleteCommit"
        });
    }

    /// One record that has this sequence.
    pub fn produce(&self, brokers: &Brokers, version: i16, sequence: i32) -> ErrorCode {
        let mut batch = BatchBuilder::new(BatchOptions {
            producer_id: self.id,
            producer_epoch: self.epoch,
            base_sequence: sequence,
            transactional: true,
            ..BatchOptions::default()
        });
        batch.append(1_700_000_000_000, None, Some(b"value"), &[]).expect("a record");
        let records = Some(Records::Bytes(batch.finish().expect("a batch").into()));
        let data = PartitionProduceData { index: 0, records };
        let topic = TopicProduceData { name: TOPIC.to_owned(), partition_data: vec![data] };
        let request = ProduceRequest {
            transactional_id: Some(self.transactional_id.clone()),
            acks: -1,
            timeout_ms: 30_000,
            topic_data: vec![topic],
        };
        let answer = brokers.call_in(LEADER, &request, version);
        ErrorCode(answer.responses[0].partition_responses[0].error_code)
    }

    fn commit(&self, brokers: &Brokers, version: i16, group: &str) -> ErrorCode {
        let partition = TxnOffsetCommitRequestPartition {
            partition_index: 0,
            committed_offset: 1,
            committed_leader_epoch: -1,
            committed_metadata: None,
        };
        let topic =
            TxnOffsetCommitRequestTopic { name: TOPIC.to_owned(), partitions: vec![partition] };
        let request = TxnOffsetCommitRequest {
            transactional_id: self.transactional_id.clone(),
            group_id: group.to_owned(),
            producer_id: self.id,
            producer_epoch: self.epoch,
            generation_id: -1,
            topics: vec![topic],
            ..Default::default()
        };
        // A group's partition is loaded when its broker first leads it.
        wait::until("the group coordinator", LIMIT, || {
            let answer = brokers.call_in(LEADER, &request, version);
            let code = ErrorCode(answer.topics[0].partitions[0].error_code);
            let moving =
                [ErrorCode::COORDINATOR_LOAD_IN_PROGRESS, ErrorCode::COORDINATOR_NOT_AVAILABLE];
            (!moving.contains(&code)).then_some(code)
        })
    }
}
