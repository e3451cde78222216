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
use crate::authorizer::{
    Authorized, AuthorizedPartitions, Authorizer, CLUSTER, Cluster, Denied, Topic, TransactionalId,
    op,
};
use crate::metadata_cache::{MetadataCache, Snapshot};
use crate::request::{Reply, RequestContext};
use crate::topics::name;
use crate::transactions::Transactions;

/// From here on clients know PRODUCER_FENCED.
const FENCED_FROM: i16 = 2;
/// From here on only brokers ask, for several transactions at a time.
const BATCHES_FROM: i16 = 4;

type TopicResults = Vec<AddPartitionsToTxnTopicResult>;

pub fn handle(
    authorizer: &Authorizer,
    metadata: &MetadataCache,
    transactions: &Transactions,
    context: &RequestContext,
    request: AddPartitionsToTxnRequest,
) -> Reply<AddPartitionsToTxnResponse> {
    let (version, cluster) = (context.api_version, metadata.load());
    if version < BATCHES_FROM {
        let transaction = AddPartitionsToTxnTransaction {
            transactional_id: request.v3_and_below_transactional_id,
            producer_id: request.v3_and_below_producer_id,
            producer_epoch: request.v3_and_below_producer_epoch,
            verify_only: false,
            topics: request.v3_and_below_topics,
        };
        let asker = Asker::Client { authorizer, context };
        let adding = one(transactions, &cluster, version, &asker, &transaction);
        return Reply::later(async move {
            AddPartitionsToTxnResponse {
                results_by_topic_v3_and_below: adding.await,
                ..Default::default()
            }
        });
    }
    let Ok(action) = authorizer.authorize(context, CLUSTER) else {
        let error_code = ErrorCode::CLUSTER_AUTHORIZATION_FAILED.0;
        return Reply::Now(AddPartitionsToTxnResponse { error_code, ..Default::default() });
    };
    let asker = Asker::Broker(action);
    let asked = request.transactions.into_iter().map(|transaction| {
        let codes = one(transactions, &cluster, version, &asker, &transaction);
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

/// Who asks: a client, who needs leave for everything, or another broker.
enum Asker<'a> {
    Client { authorizer: &'a Authorizer, context: &'a RequestContext },
    Broker(Authorized<'static, op::ClusterAction, Cluster>),
}

impl Asker<'_> {
    fn id<'b>(&self, id: &'b str) -> Result<Authorized<'b, op::Write, TransactionalId>, Denied> {
        match self {
            Asker::Client { authorizer, context } => authorizer.authorize(context, id),
            Asker::Broker(action) => Ok(action.covers(id)),
        }
    }

    /// Clients have no business in the coordinators' topics.
    fn topic<'b>(&self, topic: &'b str) -> Result<Authorized<'b, op::Write, Topic>, Denied> {
        match self {
            Asker::Client { .. } if name::is_internal(topic) => Err(Denied),
            Asker::Client { authorizer, context } => authorizer.authorize(context, topic),
            Asker::Broker(action) => Ok(action.covers(topic)),
        }
    }
}

fn one(
    transactions: &Transactions,
    cluster: &Snapshot,
    version: i16,
    asker: &Asker<'_>,
    transaction: &AddPartitionsToTxnTransaction,
) -> BoxFuture<'static, TopicResults> {
    let Ok(id) = asker.id(&transaction.transactional_id) else {
        let denied = ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
        return Box::pin(std::future::ready(as_listed(&transaction.topics, denied)));
    };
    let partitions = match check(cluster, asker, &transaction.topics) {
        Ok(partitions) => partitions,
        Err(codes) => return Box::pin(std::future::ready(by_topic(codes))),
    };
    let producer = Producer { id: transaction.producer_id, epoch: transaction.producer_epoch };
    if transaction.verify_only {
        let verifying = transactions.verify(&id, producer, partitions.into_partitions());
        return Box::pin(async move {
            let verified = verifying.await.into_iter();
            let code = |error: Option<_>| error.map_or(ErrorCode::NONE, transaction_error::code);
            by_topic(verified.map(|(tp, error)| (tp, code(error))).collect())
        });
    }
    let adding = transactions.add_partitions(&id, producer, partitions);
    let topics = transaction.topics.clone();
    let knows_fenced = version >= FENCED_FROM;
    Box::pin(
        async move { as_listed(&topics, transaction_error::code_of(adding.await, knows_fenced)) },
    )
}

/// All partitions may be added, or none is.
fn check(
    cluster: &Snapshot,
    asker: &Asker<'_>,
    topics: &[AddPartitionsToTxnTopic],
) -> Result<AuthorizedPartitions<op::Write, ()>, Vec<(TopicPartition, ErrorCode)>> {
    let every = topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|index| TopicPartition::new(topic.name.clone(), *index))
    });
    let partitions: BTreeSet<TopicPartition> = every.collect();
    let (mut allowed, mut codes) = (AuthorizedPartitions::default(), Vec::new());
    let mut all = true;
    for partition in partitions {
        let (topic, index) = (&partition.topic, partition.partition);
        let code = match asker.topic(topic) {
            Err(Denied) => ErrorCode::TOPIC_AUTHORIZATION_FAILED,
            Ok(_) if cluster.partition(topic, index).is_none() => {
                ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
            }
            Ok(leave) => {
                allowed.push(&leave, index, ());
                ErrorCode::OPERATION_NOT_ATTEMPTED
            }
        };
        all &= code == ErrorCode::OPERATION_NOT_ATTEMPTED;
        codes.push((partition, code));
    }
    if all { Ok(allowed) } else { Err(codes) }
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

#[cfg(test)]
mod tests {
    use coordinator::group::service::OFFSETS_TOPIC;

    use super::*;
    use crate::testbed::{Testbed, answer, context, now};

    fn topics(topics: &[(&str, &[i32])]) -> Vec<AddPartitionsToTxnTopic> {
        let topic = |(name, partitions): &(&str, &[i32])| AddPartitionsToTxnTopic {
            name: (*name).to_owned(),
            partitions: partitions.to_vec(),
        };
        topics.iter().map(topic).collect()
    }

    fn codes(results: &[AddPartitionsToTxnTopicResult]) -> Vec<(&str, i32, ErrorCode)> {
        let of = |topic: &AddPartitionsToTxnTopicResult| {
            let all = topic.results_by_partition.iter();
            all.map(|p| (p.partition_index, ErrorCode(p.partition_error_code))).collect::<Vec<_>>()
        };
        let all = results.iter().flat_map(|topic| {
            of(topic).into_iter().map(|(index, code)| (&*topic.name, index, code))
        });
        all.collect()
    }

    #[tokio::test]
    async fn a_client_adds_all_or_nothing() {
        let bed = Testbed::new();
        let producer = bed.begin_transaction("x", "t").await;
        bed.lead("denied", 1);
        bed.lead(OFFSETS_TOPIC, 1);
        let authorizer = Authorizer::allow_all()
            .but::<op::Write, Topic>("denied")
            .but::<op::Write, TransactionalId>("y");
        let ask = async |id: &str, asked: &[(&str, &[i32])]| {
            let request = AddPartitionsToTxnRequest {
                v3_and_below_transactional_id: id.to_owned(),
                v3_and_below_producer_id: producer.id,
                v3_and_below_producer_epoch: producer.epoch,
                v3_and_below_topics: topics(asked),
                ..AddPartitionsToTxnRequest::default()
            };
            let (metadata, transactions) = (&bed.metadata, &bed.transactions);
            let reply = handle(&authorizer, metadata, transactions, &context(3), request);
            answer(reply).await.results_by_topic_v3_and_below
        };
        let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
        let denied = ErrorCode::TOPIC_AUTHORIZATION_FAILED;
        let expected = [
            (OFFSETS_TOPIC, 0, denied),
            ("denied", 0, denied),
            ("t", 0, ErrorCode::OPERATION_NOT_ATTEMPTED),
            ("t", 9, unknown),
        ];
        let asked = ask("x", &[("t", &[9, 0]), ("denied", &[0]), (OFFSETS_TOPIC, &[0])]).await;
        assert_eq!(codes(&asked), expected);
        let twice = ask("x", &[("t", &[0, 0])]).await;
        assert_eq!(codes(&twice), [("t", 0, ErrorCode::NONE); 2], "as it is listed");
        let refused = ask("y", &[("t", &[0])]).await;
        let denied = ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
        assert_eq!(codes(&refused), [("t", 0, denied)]);
    }

    #[tokio::test]
    async fn brokers_verify_without_leave_of_their_own_for_each() {
        let bed = Testbed::new();
        let producer = bed.begin_transaction("x", "t").await;
        bed.lead("u", 1);
        let ask = |authorizer: &Authorizer| {
            let transaction = AddPartitionsToTxnTransaction {
                transactional_id: "x".to_owned(),
                producer_id: producer.id,
                producer_epoch: producer.epoch,
                verify_only: true,
                topics: topics(&[("u", &[0]), ("t", &[0])]),
            };
            let transactions = vec![transaction];
            let request = AddPartitionsToTxnRequest { transactions, ..Default::default() };
            handle(authorizer, &bed.metadata, &bed.transactions, &context(4), request)
        };
        let authorizer = Authorizer::allow_all().but::<op::Write, Topic>("t");
        let told = answer(ask(&authorizer)).await.results_by_transaction;
        let expected = [("t", 0, ErrorCode::NONE), ("u", 0, ErrorCode::TRANSACTION_ABORTABLE)];
        assert_eq!(codes(&told[0].topic_results), expected);
        let refused = now(ask(&authorizer.but::<op::ClusterAction, Cluster>(CLUSTER)));
        assert_eq!(refused.error_code, ErrorCode::CLUSTER_AUTHORIZATION_FAILED.0);
    }
}
