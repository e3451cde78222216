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
use std::time::Duration;

use protocol::error_code::ErrorCode;
use protocol::messages::create_partitions::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic,
    CreatePartitionsTopicResult,
};

use super::api_error::ApiError;
use crate::authorizer::{Topic, op};
use crate::broker::Broker;
use crate::request::{Reply, RequestContext};
use crate::topics::create::candidates;
use crate::topics::grow::{self, GrowError, Growth};

/// One topic's outcome; how many partitions it has now.
type Outcome = Result<usize, ApiError>;

pub fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: CreatePartitionsRequest,
) -> Reply<CreatePartitionsResponse> {
    if !broker.controller.handle.is_controller() {
        let refused = request.topics.into_iter().map(|topic| {
            let error = Err(ApiError::plain(ErrorCode::NOT_CONTROLLER));
            (topic.name, error)
        });
        return Reply::Now(respond(refused.collect()));
    }
    let (broker, context) = (broker.clone(), context.clone());
    Reply::later(async move {
        let (timeout_ms, validate_only) = (request.timeout_ms, request.validate_only);
        let tasks = broker.tasks.clone();
        let worker = broker.clone();
        let growing = async move { grow_all(&worker, &context, request).await };
        let mut results = tasks.to_the_end(growing).await;
        if !validate_only {
            await_leaders(&broker, timeout_ms, &mut results).await;
        }
        respond(results)
    })
}

async fn grow_all(
    broker: &Broker,
    context: &RequestContext,
    request: CreatePartitionsRequest,
) -> BTreeMap<String, Outcome> {
    let mut results: BTreeMap<String, Outcome> = BTreeMap::new();
    let mut named: BTreeMap<&str, usize> = BTreeMap::new();
    for topic in &request.topics {
        *named.entry(&topic.name).or_default() += 1;
    }
    for topic in &request.topics {
        let outcome = if named.get(topic.name.as_str()).is_some_and(|count| *count > 1) {
            let message = Some("Duplicate topic in request.".to_owned());
            Err(ApiError { code: ErrorCode::INVALID_REQUEST, message })
        } else {
            grow(broker, context, topic, request.validate_only).await
        };
        results.insert(topic.name.clone(), outcome);
    }
    results
}

async fn grow(
    broker: &Broker,
    context: &RequestContext,
    topic: &CreatePartitionsTopic,
    validate_only: bool,
) -> Outcome {
    let authorized =
        broker.authorizer.authorize::<op::Alter, Topic>(context, &topic.name).map_err(|_| {
            let message = Some("The topic authorization is failed.".to_owned());
            ApiError { code: ErrorCode::TOPIC_AUTHORIZATION_FAILED, message }
        })?;
    let lists = topic.assignments.as_ref();
    let growth = Growth {
        topic: topic.name.clone(),
        count: topic.count,
        assignments: lists.map(|all| all.iter().map(|list| list.broker_ids.clone()).collect()),
    };
    let refused = |error: GrowError| ApiError::new(error.code(), &error);
    let candidates = candidates(&broker.metadata.snapshot());
    let znode = grow::plan(&*broker.store, &candidates, &growth).await.map_err(refused)?;
    if !validate_only {
        let written = grow::write(&*broker.store, &authorized, &znode).await;
        written.map_err(refused)?;
        tracing::info!(topic = topic.name, partitions = znode.partitions.len(), "a topic grows");
    }
    Ok(znode.partitions.len())
}

async fn await_leaders(broker: &Broker, timeout_ms: i32, results: &mut BTreeMap<String, Outcome>) {
    let grown: Vec<(String, usize)> = results
        .iter()
        .filter_map(|(name, outcome)| Some((name.clone(), *outcome.as_ref().ok()?)))
        .collect();
    if let Ok(timeout_ms @ 1..) = u64::try_from(timeout_ms) {
        let all = broker.metadata.wait_until(|cluster| {
            grown.iter().all(|(name, count)| cluster.has_leaders(name, *count))
        });
        if tokio::time::timeout(Duration::from_millis(timeout_ms), all).await.is_ok() {
            return;
        }
    }
    let cluster = broker.metadata.snapshot();
    for (name, count) in grown {
        if timeout_ms <= 0 || !cluster.has_leaders(&name, count) {
            results.insert(name, Err(ApiError::plain(ErrorCode::REQUEST_TIMED_OUT)));
        }
    }
}

fn respond(results: BTreeMap<String, Outcome>) -> CreatePartitionsResponse {
    let results = results.into_iter().map(|(name, outcome)| {
        let error = outcome.err().unwrap_or(ApiError::plain(ErrorCode::NONE));
        CreatePartitionsTopicResult { name, error_code: error.code.0, error_message: error.message }
    });
    CreatePartitionsResponse { throttle_time_ms: 0, results: results.collect() }
}
