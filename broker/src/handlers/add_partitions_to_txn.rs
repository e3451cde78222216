//! AddPartitionsToTxn (key 24): adds partitions to a transaction; or, from other brokers, asks
//! whether they are in it (KIP-890).
//!
//! Versions 0 to 5: v2 may answer PRODUCER_FENCED, earlier ones INVALID_PRODUCER_EPOCH · v3
//! flexible · v4 from brokers, several transactions, each to be added to or only verified.
//!
//! Errors, all per partition: TRANSACTIONAL_ID_AUTHORIZATION_FAILED, TOPIC_AUTHORIZATION_FAILED,
//! UNKNOWN_TOPIC_OR_PARTITION, OPERATION_NOT_ATTEMPTED (another partition has an error),
//! INVALID_REQUEST, INVALID_PRODUCER_ID_MAPPING, PRODUCER_FENCED, INVALID_PRODUCER_EPOCH,
//! CONCURRENT_TRANSACTIONS, TRANSACTION_ABORTABLE (verified and not in the transaction),
//! NOT_COORDINATOR, COORDINATOR_NOT_AVAILABLE, COORDINATOR_LOAD_IN_PROGRESS, UNKNOWN_SERVER_ERROR;
//! from v4 on of the whole request CLUSTER_AUTHORIZATION_FAILED.
//!
//! Differs from Apache: a producer that begins while its transaction before is being ended waits up
//! to 100 ms for that, where Apache answers CONCURRENT_TRANSACTIONS at once and is asked again
//! after a pause of the client's own. Partitions come in the order of the request; there those that
//! cannot be added come first, or in no order. A request without transactions is answered; there it
//! never is.

use std::collections::BTreeSet;
use std::sync::Arc;

use coordinator::shard::Producer;
use futures::future::{BoxFuture, join_all};
use protocol::error_code::ErrorCode;
use protocol::ids::TopicPartition;
use protocol::messages::add_partitions_to_txn::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
    AddPartitionsToTxnResult, AddPartitionsToTxnTopic, AddPartitionsToTxnTopicResult,
    AddPartitionsToTxnTransaction,
};

use super::transaction_error;
use crate::authorizer::{CLUSTER, Cluster, Topic, TransactionalId, op};
use crate::broker::Broker;
use crate::request::{Reply, RequestContext};
use crate::topics::name;

/// From here on clients know PRODUCER_FENCED.
const FENCED_FROM: i16 = 2;
/// From here on only brokers ask, for several transactions at a time.
const BATCHES_FROM: i16 = 4;

type TopicResults = Vec<AddPartitionsToTxnTopicResult>;

pub fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: AddPartitionsToTxnRequest,
) -> Reply<AddPartitionsToTxnResponse> {
    let version = context.api_version;
    if version < BATCHES_FROM {
        let transaction = AddPartitionsToTxnTransaction {
            transactional_id: request.v3_and_below_transactional_id,
            producer_id: request.v3_and_below_producer_id,
            producer_epoch: request.v3_and_below_producer_epoch,
            verify_only: false,
            topics: request.v3_and_below_topics,
        };
        let adding = one(broker, context, &transaction);
        return Reply::later(async move {
            AddPartitionsToTxnResponse {
                results_by_topic_v3_and_below: adding.await,
                ..Default::default()
            }
        });
    }
    if broker.authorizer.authorize::<op::ClusterAction, Cluster>(context, CLUSTER).is_err() {
        let error_code = ErrorCode::CLUSTER_AUTHORIZATION_FAILED.0;
        return Reply::Now(AddPartitionsToTxnResponse { error_code, ..Default::default() });
    }
    let asked = request.transactions.into_iter().map(|transaction| {
        let codes = one(broker, context, &transaction);
        async move {
            AddPartitionsToTxnResult {
                transactional_id: transaction.transactional_id,
                topic_results: codes.await,
            }
        }
    });
    let asked = join_all(asked.collect::<Vec<_>>());
    Reply::later(async move {
        let results_by_transaction = asked.await;
        AddPartitionsToTxnResponse { results_by_transaction, ..Default::default() }
    })
}

fn one(
    broker: &Broker,
    context: &RequestContext,
    transaction: &AddPartitionsToTxnTransaction,
) -> BoxFuture<'static, TopicResults> {
    let id = &transaction.transactional_id;
    let of_client = context.api_version < BATCHES_FROM;
    if of_client && broker.authorizer.authorize::<op::Write, TransactionalId>(context, id).is_err()
    {
        let denied = ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
        return Box::pin(std::future::ready(as_listed(&transaction.topics, denied)));
    }
    let topics = transaction.topics.iter();
    let partitions: BTreeSet<TopicPartition> = topics
        .flat_map(|topic| {
            topic.partitions.iter().map(|index| TopicPartition::new(topic.name.clone(), *index))
        })
        .collect();
    if let Err(codes) = check(broker, context, &partitions, of_client) {
        return Box::pin(std::future::ready(by_topic(codes)));
    }
    let service = &broker.transactions.service;
    let producer = Producer { id: transaction.producer_id, epoch: transaction.producer_epoch };
    if transaction.verify_only {
        let verifying = service.verify(id, producer, partitions.into_iter().collect());
        return Box::pin(async move {
            let verified = verifying.await.into_iter();
            let code = |error: Option<_>| error.map_or(ErrorCode::NONE, transaction_error::code);
            by_topic(verified.map(|(tp, error)| (tp, code(error))).collect())
        });
    }
    let adding = service.add_partitions(id, producer, partitions.into_iter().collect());
    let topics = transaction.topics.clone();
    let knows_fenced = context.api_version >= FENCED_FROM;
    Box::pin(
        async move { as_listed(&topics, transaction_error::code_of(adding.await, knows_fenced)) },
    )
}

/// All partitions may be added, or none is.
fn check(
    broker: &Broker,
    context: &RequestContext,
    partitions: &BTreeSet<TopicPartition>,
    of_client: bool,
) -> Result<(), Vec<(TopicPartition, ErrorCode)>> {
    let authorizer = &broker.authorizer;
    let judge = |partition: &TopicPartition| {
        let internal = name::is_internal(&partition.topic);
        let denied = of_client
            && (internal
                || authorizer.authorize::<op::Write, Topic>(context, &partition.topic).is_err());
        if denied {
            Some(ErrorCode::TOPIC_AUTHORIZATION_FAILED)
        } else if !broker.replicas.cluster().has_partition(&partition.topic, partition.partition) {
            Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
        } else {
            None
        }
    };
    let errors: Vec<Option<ErrorCode>> = partitions.iter().map(judge).collect();
    if errors.iter().all(Option::is_none) {
        return Ok(());
    }
    let codes = partitions.iter().zip(errors).map(|(partition, error)| {
        (partition.clone(), error.unwrap_or(ErrorCode::OPERATION_NOT_ATTEMPTED))
    });
    Err(codes.collect())
}

/// One result for all, in the shape of the request: what is listed twice is answered twice.
fn as_listed(topics: &[AddPartitionsToTxnTopic], code: ErrorCode) -> TopicResults {
    let of_topic = |topic: &AddPartitionsToTxnTopic| AddPartitionsToTxnTopicResult {
        name: topic.name.clone(),
        results_by_partition: topic.partitions.iter().map(|index| result(*index, code)).collect(),
    };
    topics.iter().map(of_topic).collect()
}

fn result(partition_index: i32, code: ErrorCode) -> AddPartitionsToTxnPartitionResult {
    AddPartitionsToTxnPartitionResult { partition_index, partition_error_code: code.0 }
}

/// Results of their own, which Kafka keeps in a map.
fn by_topic(codes: Vec<(TopicPartition, ErrorCode)>) -> TopicResults {
    let mut topics = TopicResults::new();
    for (partition, code) in codes {
        let result = result(partition.partition, code);
        match topics.last_mut().filter(|topic| topic.name == partition.topic) {
            Some(topic) => topic.results_by_partition.push(result),
            None => topics.push(AddPartitionsToTxnTopicResult {
                name: partition.topic,
                results_by_partition: vec![result],
            }),
        }
    }
    topics
}
