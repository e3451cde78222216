//! CreateTopics (key 19): makes topics. Served by the controller's broker alone.
//!
//! Versions 0–7: v1 validate only · v4 −1 for the broker's defaults · v5 the resulting
//! configuration · v7 the topic id. Answers when this broker's metadata shows a leader for every
//! partition, or with REQUEST_TIMED_OUT after the timeout (at once if that is 0 or less): the topic
//! is made all the same.
//!
//! Errors per topic: NOT_CONTROLLER, TOPIC_ALREADY_EXISTS, INVALID_TOPIC_EXCEPTION,
//! INVALID_PARTITIONS, INVALID_REPLICATION_FACTOR, INVALID_REPLICA_ASSIGNMENT, INVALID_CONFIG,
//! INVALID_REQUEST (named twice, counts and assignment both), TOPIC_AUTHORIZATION_FAILED,
//! REQUEST_TIMED_OUT.
//!
//! Differs from Apache: at most 100,000 partitions a topic; more do not fit in its znode.
//! Configurations are in the order of their names, where Kafka has none. A negative partition in an
//! assignment is INVALID_REPLICA_ASSIGNMENT; there the broker fails. Lists in texts are written
//! `[1, 1]`, not as Scala writes them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use protocol::error_code::ErrorCode;
use protocol::messages::create_topics::{
    CreatableTopic, CreatableTopicConfigs, CreatableTopicResult, CreateTopicsRequest,
    CreateTopicsResponse,
};

use super::api_error::ApiError;
use crate::authorizer::{Authorized, CLUSTER, Cluster, Topic, op};
use crate::broker::Broker;
use crate::dynamic_config::describe;
use crate::request::{Reply, RequestContext};
use crate::topics::create::{self, NewTopic, PlannedTopic};

/// Where a KRaft cluster keeps its metadata.
const CLUSTER_METADATA: &str = "__cluster_metadata";

/// Topics of one request whose znodes are written at the same time.
const MADE_AT_ONCE: usize = 50;

pub fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: CreateTopicsRequest,
) -> Reply<CreateTopicsResponse> {
    if !broker.controller.handle.is_controller() {
        let code = ErrorCode::NOT_CONTROLLER;
        let refused = request.topics.into_iter().map(|topic| failed(topic.name, plain(code)));
        return Reply::Now(respond(refused.collect()));
    }
    let (broker, context) = (broker.clone(), context.clone());
    Reply::later(async move {
        let (timeout_ms, validate_only) = (request.timeout_ms, request.validate_only);
        let tasks = broker.tasks.clone();
        let maker = broker.clone();
        // Half a topic is worse than one that nobody waits for.
        let mut made =
            tasks.to_the_end(async move { make_all(&maker, &context, request).await }).await;
        if !validate_only {
            await_leaders(&broker, timeout_ms, &mut made).await;
        }
        respond(made.into_iter().map(|made| made.result).collect())
    })
}

/// One topic's answer, and what is still to come.
struct Made {
    result: CreatableTopicResult,
    /// Partitions that get leaders now.
    partitions: Option<usize>,
}

async fn make_all(
    broker: &Broker,
    context: &RequestContext,
    request: CreateTopicsRequest,
) -> Vec<Made> {
    let mut named: HashMap<String, usize> = HashMap::new();
    for topic in &request.topics {
        *named.entry(topic.name.clone()).or_default() += 1;
    }
    let validate_only = request.validate_only;
    let one = async |topic: CreatableTopic| {
        let name = topic.name.clone();
        let twice = named.get(&name).is_some_and(|count| *count > 1);
        let made = match admit(broker, context, &name, twice) {
            Ok(authorized) => make(broker, context, authorized, topic, validate_only).await,
            Err(error) => Err(error),
        };
        made.unwrap_or_else(|error| Made { result: failed(name, error), partitions: None })
    };
    // Names that collide must see each other's znodes.
    let unified: BTreeSet<String> =
        request.topics.iter().map(|topic| topic.name.replace('.', "_")).collect();
    let at_once = if unified.len() == request.topics.len() { MADE_AT_ONCE } else { 1 };
    stream::iter(request.topics).map(one).buffered(at_once).collect().await
}

fn admit<'a>(
    broker: &Broker,
    context: &RequestContext,
    name: &'a str,
    twice: bool,
) -> Result<Authorized<'a, op::Create, Topic>, ApiError> {
    let refuse = |text: &str| {
        Err(ApiError { code: ErrorCode::INVALID_REQUEST, message: Some(text.to_owned()) })
    };
    if name == CLUSTER_METADATA {
        return refuse("Creation of internal topic __cluster_metadata is prohibited.");
    }
    if twice {
        return refuse("Found multiple entries for this topic.");
    }
    let authorizer = &broker.authorizer;
    let anything = authorizer.authorize::<op::Create, Cluster>(context, CLUSTER);
    let topic = anything.map(|cluster| cluster.covers(name));
    topic.or_else(|_| authorizer.authorize(context, name)).map_err(|_| {
        let message = Some("Authorization failed.".to_owned());
        ApiError { code: ErrorCode::TOPIC_AUTHORIZATION_FAILED, message }
    })
}

async fn make(
    broker: &Broker,
    context: &RequestContext,
    authorized: Authorized<'_, op::Create, Topic>,
    topic: CreatableTopic,
    validate_only: bool,
) -> Result<Made, ApiError> {
    let config = broker.config.load_full();
    let cluster = broker.metadata.snapshot();
    let wanted = NewTopic {
        name: topic.name,
        partitions: topic.num_partitions,
        replication_factor: topic.replication_factor,
        assignments: topic
            .assignments
            .into_iter()
            .map(|assignment| (assignment.partition_index, assignment.broker_ids))
            .collect(),
        configs: topic.configs.into_iter().map(|config| (config.name, config.value)).collect(),
    };
    let refused = |error: create::CreateTopicError| ApiError::new(error.code(), &error);
    let plan = create::plan(&*broker.store, &cluster, &config, wanted).await.map_err(refused)?;
    let mut result =
        CreatableTopicResult { name: plan.name.clone(), error_message: None, ..Default::default() };
    if broker.authorizer.authorize::<op::DescribeConfigs, Topic>(context, &plan.name).is_ok() {
        describe_plan(broker, &plan, &mut result);
    } else {
        result.topic_config_error_code = ErrorCode::TOPIC_AUTHORIZATION_FAILED.0;
    }
    if validate_only {
        return Ok(Made { result, partitions: None });
    }
    result.topic_id = create::write(&*broker.store, &authorized, &plan).await.map_err(refused)?;
    tracing::info!(topic = plan.name, partitions = plan.replicas.len(), "made a topic");
    Ok(Made { result, partitions: Some(plan.replicas.len()) })
}

fn describe_plan(broker: &Broker, plan: &PlannedTopic, result: &mut CreatableTopicResult) {
    let entries = describe::topic(&broker.config.load(), &plan.configs);
    let shown = entries.into_iter().map(|entry| CreatableTopicConfigs {
        name: entry.name,
        value: entry.value,
        read_only: entry.read_only,
        config_source: entry.source,
        is_sensitive: entry.is_sensitive,
    });
    result.configs = Some(shown.collect());
    result.num_partitions = i32::try_from(plan.replicas.len()).unwrap_or(i32::MAX);
    let replicas = plan.replicas.values().next().map_or(0, Vec::len);
    result.replication_factor = i16::try_from(replicas).unwrap_or(i16::MAX);
}

/// Waits until this broker's metadata shows the new topics; what does not appear has timed out.
async fn await_leaders(broker: &Broker, timeout_ms: i32, made: &mut [Made]) {
    let wanted: Vec<(String, usize)> =
        made.iter().filter_map(|made| Some((made.result.name.clone(), made.partitions?))).collect();
    if let Ok(timeout_ms @ 1..) = u64::try_from(timeout_ms) {
        // Looked for one after the other: there may be thousands, and as many updates.
        let mut left = wanted.iter().peekable();
        let all = broker.metadata.wait_until(|cluster| {
            while left.next_if(|(name, count)| cluster.has_leaders(name, *count)).is_some() {}
            left.peek().is_none()
        });
        if tokio::time::timeout(Duration::from_millis(timeout_ms), all).await.is_ok() {
            return;
        }
    }
    let cluster = broker.metadata.snapshot();
    for made in made {
        let there = |count| timeout_ms > 0 && cluster.has_leaders(&made.result.name, count);
        if made.partitions.is_some_and(|count| !there(count)) {
            let topic_id = made.result.topic_id;
            let name = std::mem::take(&mut made.result.name);
            made.result = failed(name, plain(ErrorCode::REQUEST_TIMED_OUT));
            made.result.topic_id = topic_id;
        }
    }
}

fn plain(code: ErrorCode) -> ApiError {
    ApiError::plain(code)
}

fn failed(name: String, error: ApiError) -> CreatableTopicResult {
    CreatableTopicResult {
        name,
        error_code: error.code.0,
        error_message: error.message,
        ..Default::default()
    }
}

fn respond(topics: Vec<CreatableTopicResult>) -> CreateTopicsResponse {
    CreateTopicsResponse { throttle_time_ms: 0, topics }
}
