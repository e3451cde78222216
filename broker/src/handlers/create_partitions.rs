//! CreatePartitions (key 37): adds partitions to topics (KIP-195). Served by the controller's
//! broker alone.
//!
//! Versions 0–3. Answers when this broker's metadata shows a leader for every partition, or with
//! REQUEST_TIMED_OUT after the timeout (at once if that is 0 or less): the topic grows all the
//! same.
//!
//! Errors per topic: NOT_CONTROLLER, UNKNOWN_TOPIC_OR_PARTITION, INVALID_TOPIC_EXCEPTION (queued
//! for deletion), INVALID_PARTITIONS, INVALID_REPLICA_ASSIGNMENT, INVALID_REPLICATION_FACTOR,
//! REASSIGNMENT_IN_PROGRESS, INVALID_REQUEST (named twice), TOPIC_AUTHORIZATION_FAILED,
//! REQUEST_TIMED_OUT.
//!
//! Differs from Apache: replicas are given to the brokers that the controller counts as alive, not
//! to those that are registered; the two differ for moments only. At most 100,000 partitions a
//! topic.

use std::collections::BTreeMap;
use std::sync::Arc;

use protocol::error_code::ErrorCode;
use protocol::messages::create_partitions::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic,
    CreatePartitionsTopicResult,
};

use super::api_error::ApiError;
use super::topic_error;
use crate::authorizer::{Authorized, Authorizer, Topic, op};
use crate::office::Office;
use crate::request::{Reply, RequestContext};
use crate::tasks::Tasks;
use crate::topics::admin::{ToBeLed, TopicAdmin};
use crate::topics::grow::{GrowError, Growth};

/// What becomes of each topic, by name.
type ByName<T> = BTreeMap<String, Result<T, ApiError>>;

pub fn handle(
    authorizer: &Authorizer,
    office: &Office,
    topics: &Arc<TopicAdmin>,
    tasks: &Arc<Tasks>,
    context: &RequestContext,
    request: CreatePartitionsRequest,
) -> Reply<CreatePartitionsResponse> {
    if !office.is_controller() {
        let refused = request.topics.into_iter().map(|topic| {
            let error = Err(ApiError::plain(ErrorCode::NOT_CONTROLLER));
            (topic.name, error)
        });
        return Reply::Now(respond(refused.collect()));
    }
    let (timeout_ms, validate_only) = (request.timeout_ms, request.validate_only);
    let wishes = admit_all(authorizer, context, request.topics);
    let (topics, tasks) = (topics.clone(), tasks.clone());
    Reply::later(async move {
        let worker = topics.clone();
        let growing = async move { grow_all(&worker, wishes, validate_only).await };
        let mut results = tasks.to_the_end(growing).await;
        let grown = results.values_mut().filter_map(|result| result.as_mut().ok()?.take());
        for late in topics.await_leaders(grown.collect(), timeout_ms).await {
            results.insert(late, Err(ApiError::plain(ErrorCode::REQUEST_TIMED_OUT)));
        }
        let outcome = |(name, result): (String, Result<_, ApiError>)| (name, result.map(drop));
        respond(results.into_iter().map(outcome).collect())
    })
}

/// One topic of a request that may grow.
type Wish = (Authorized<'static, op::Alter, Topic>, Growth);

fn admit_all(
    authorizer: &Authorizer,
    context: &RequestContext,
    topics: Vec<CreatePartitionsTopic>,
) -> ByName<Wish> {
    let mut wishes = ByName::new();
    for topic in topics {
        let name = topic.name.clone();
        let wish = if wishes.contains_key(&name) {
            let message = Some("Duplicate topic in request.".to_owned());
            Err(ApiError { code: ErrorCode::INVALID_REQUEST, message })
        } else {
            admit(authorizer, context, topic)
        };
        wishes.insert(name, wish);
    }
    wishes
}

fn admit(
    authorizer: &Authorizer,
    context: &RequestContext,
    topic: CreatePartitionsTopic,
) -> Result<Wish, ApiError> {
    let lists = topic.assignments;
    let growth = Growth {
        count: topic.count,
        assignments: lists.map(|all| all.into_iter().map(|list| list.broker_ids).collect()),
    };
    let authorized = authorizer.authorize_owned(context, topic.name).map_err(|_| {
        let message = Some("The topic authorization is failed.".to_owned());
        ApiError { code: ErrorCode::TOPIC_AUTHORIZATION_FAILED, message }
    })?;
    Ok((authorized, growth))
}

async fn grow_all(
    topics: &TopicAdmin,
    wishes: ByName<Wish>,
    validate_only: bool,
) -> ByName<Option<ToBeLed>> {
    let mut results = ByName::new();
    for (name, wish) in wishes {
        let result = match wish {
            Ok((authorized, growth)) => {
                let grown = topics.grow(&authorized, &growth, validate_only).await;
                grown.map_err(|error| ApiError::new(code(&error), &error))
            }
            Err(error) => Err(error),
        };
        results.insert(name, result);
    }
    results
}

fn code(error: &GrowError) -> ErrorCode {
    match error {
        GrowError::Unknown(_) => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        GrowError::QueuedForDeletion => ErrorCode::INVALID_TOPIC_EXCEPTION,
        GrowError::BeingReassigned(_) => ErrorCode::REASSIGNMENT_IN_PROGRESS,
        GrowError::InvalidPartitions(_) => ErrorCode::INVALID_PARTITIONS,
        GrowError::Assign(error) => topic_error::not_assigned(error),
        GrowError::InvalidAssignment(_) => ErrorCode::INVALID_REPLICA_ASSIGNMENT,
        GrowError::Store(_) | GrowError::Znode(_) => ErrorCode::UNKNOWN_SERVER_ERROR,
    }
}

fn respond(results: ByName<()>) -> CreatePartitionsResponse {
    let results = results.into_iter().map(|(name, outcome)| {
        let error = outcome.err().unwrap_or(ApiError::plain(ErrorCode::NONE));
        CreatePartitionsTopicResult { name, error_code: error.code.0, error_message: error.message }
    });
    CreatePartitionsResponse { throttle_time_ms: 0, results: results.collect() }
}

#[cfg(test)]
mod tests {
    use metadata::retry;
    use metadata::znodes::topic::{self, ReplicaAssignment, TopicAssignment};
    use protocol::messages::create_partitions::CreatePartitionsAssignment;

    use super::*;
    use crate::testbed::{ID, Testbed, answer, context};

    fn wanted(name: &str, count: i32) -> CreatePartitionsTopic {
        CreatePartitionsTopic { name: name.to_owned(), count, assignments: None }
    }

    async fn told(
        bed: &Testbed,
        authorizer: &Authorizer,
        topics: Vec<CreatePartitionsTopic>,
        (timeout_ms, validate_only): (i32, bool),
    ) -> Vec<(String, ErrorCode)> {
        let request = CreatePartitionsRequest { topics, timeout_ms, validate_only };
        let (office, admin, tasks) = (&bed.office, &bed.topic_admin, &bed.tasks);
        let reply = handle(authorizer, office, admin, tasks, &context(3), request);
        let results = answer(reply).await.results.into_iter();
        results.map(|result| (result.name, ErrorCode(result.error_code))).collect()
    }

    fn one(name: &str, code: ErrorCode) -> [(String, ErrorCode); 1] {
        [(name.to_owned(), code)]
    }

    /// A controller of topics of one partition each; broker 3 is being added to `moving`.
    async fn controlling(topics: &[&str]) -> Testbed {
        let bed = Testbed::new();
        bed.control().await;
        for name in topics {
            bed.lead(name, 1);
            let mut partition = ReplicaAssignment::settled(vec![ID]);
            if *name == "moving" {
                partition.replicas.push(3);
                partition.adding = vec![3];
            }
            let partitions = BTreeMap::from([(0, partition)]);
            let data = Some(TopicAssignment { topic_id: None, partitions }.encode());
            let made = retry::create_recursive(&*bed.store, &topic::path(name), data).await;
            assert_eq!(made, Ok(true));
        }
        bed
    }

    async fn partitions(bed: &Testbed, name: &str) -> usize {
        let found = retry::get(&*bed.store, &topic::path(name), false).await.expect("an answer");
        let data = found.expect("a topic").0;
        TopicAssignment::decode(name, data.as_deref()).expect("readable").partitions.len()
    }

    #[tokio::test]
    async fn only_the_controller_adds_partitions() {
        let (bed, anybody) = (Testbed::new(), Authorizer::allow_all());
        let refused = told(&bed, &anybody, vec![wanted("t", 2)], (0, false)).await;
        assert_eq!(refused, one("t", ErrorCode::NOT_CONTROLLER));
    }

    #[tokio::test]
    async fn a_topic_grows_and_is_waited_for() {
        let bed = controlling(&["t"]).await;
        let anybody = Authorizer::allow_all();
        let judged = told(&bed, &anybody, vec![wanted("t", 3)], (0, true)).await;
        assert_eq!((judged, partitions(&bed, "t").await), (one("t", ErrorCode::NONE).to_vec(), 1));
        let leading = async {
            while partitions(&bed, "t").await < 3 {
                tokio::task::yield_now().await;
            }
            bed.place("t", 3, ID, 1);
        };
        let growing = told(&bed, &anybody, vec![wanted("t", 3)], (i32::MAX, false));
        assert_eq!(tokio::join!(growing, leading).0, one("t", ErrorCode::NONE));
        let late = told(&bed, &anybody, vec![wanted("t", 4)], (0, false)).await;
        assert_eq!(late, one("t", ErrorCode::REQUEST_TIMED_OUT));
        assert_eq!(partitions(&bed, "t").await, 4);
    }

    #[tokio::test]
    async fn topics_are_refused_one_by_one() {
        let bed = controlling(&["denied", "few", "moving", "twice", "unknown broker"]).await;
        let authorizer = Authorizer::allow_all().but::<op::Alter, Topic>("denied");
        let assignments = Some(vec![CreatePartitionsAssignment { broker_ids: vec![9] }]);
        let topics = vec![
            wanted("denied", 2),
            wanted("few", 1),
            wanted("moving", 2),
            wanted("twice", 2),
            wanted("twice", 3),
            wanted("unknown", 2),
            CreatePartitionsTopic { assignments, ..wanted("unknown broker", 2) },
        ];
        let expected = [
            ("denied", ErrorCode::TOPIC_AUTHORIZATION_FAILED),
            ("few", ErrorCode::INVALID_PARTITIONS),
            ("moving", ErrorCode::REASSIGNMENT_IN_PROGRESS),
            ("twice", ErrorCode::INVALID_REQUEST),
            ("unknown", ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
            ("unknown broker", ErrorCode::INVALID_REPLICA_ASSIGNMENT),
        ];
        let expected = expected.map(|(name, code)| (name.to_owned(), code));
        assert_eq!(told(&bed, &authorizer, topics, (0, false)).await, expected);
    }
}
