//! DeleteTopics (key 20): deletes topics by name or, from v6, by id. Served by the controller's
//! broker alone.
//!
//! Versions 0–6. Answers when this broker's metadata has forgotten the topics, or with
//! REQUEST_TIMED_OUT after the timeout (at once if that is 0 or less): they are deleted all the
//! same.
//!
//! Errors per topic: NOT_CONTROLLER, TOPIC_DELETION_DISABLED (INVALID_REQUEST before v3),
//! UNKNOWN_TOPIC_OR_PARTITION, UNKNOWN_TOPIC_ID, TOPIC_AUTHORIZATION_FAILED (also: neither a name
//! nor an id), INVALID_REQUEST (all topics of a request in which one has a name and an id),
//! REQUEST_TIMED_OUT.
//!
//! A topic that is named twice, by its id perhaps, is answered twice; what became of it the first
//! answer says, the others have no error.
//!
//! Differs from Apache: in nothing known.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use protocol::error_code::ErrorCode;
use protocol::messages::delete_topics::{
    DeletableTopicResult, DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse,
};

use crate::authorizer::{Authorized, Topic, op};
use crate::broker::Broker;
use crate::request::{Reply, RequestContext};
use crate::topics::delete;

pub fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: DeleteTopicsRequest,
) -> Reply<DeleteTopicsResponse> {
    let timeout_ms = request.timeout_ms;
    let by_name = request
        .topic_names
        .into_iter()
        .map(|name| DeleteTopicState { name: Some(name), ..Default::default() });
    let topics: Vec<DeleteTopicState> = request.topics.into_iter().chain(by_name).collect();
    let twofold = |topic: &DeleteTopicState| topic.name.is_some() && !topic.topic_id.is_zero();
    let refusal = if !broker.controller.handle.is_controller() {
        Some(ErrorCode::NOT_CONTROLLER)
    } else if !broker.config.load().bool("delete.topic.enable") {
        let old = context.api_version < 3;
        Some(if old { ErrorCode::INVALID_REQUEST } else { ErrorCode::TOPIC_DELETION_DISABLED })
    } else if topics.iter().any(twofold) {
        Some(ErrorCode::INVALID_REQUEST)
    } else {
        None
    };
    if let Some(code) = refusal {
        return Reply::Now(respond(topics.into_iter().map(|topic| answer(topic, code)).collect()));
    }
    let (broker, context) = (broker.clone(), context.clone());
    Reply::later(async move {
        let tasks = broker.tasks.clone();
        let worker = broker.clone();
        let marking = async move { mark_all(&worker, &context, topics).await };
        let mut results = tasks.to_the_end(marking).await;
        await_absence(&broker, timeout_ms, &mut results).await;
        respond(results)
    })
}

async fn mark_all(
    broker: &Broker,
    context: &RequestContext,
    topics: Vec<DeleteTopicState>,
) -> Vec<DeletableTopicResult> {
    let mut results = Vec::new();
    let mut marked = HashSet::new();
    for mut topic in topics {
        let code = match admit(broker, context, &mut topic) {
            Err(code) => code,
            Ok(topic) if !marked.insert(topic.name().to_owned()) => ErrorCode::NONE,
            Ok(authorized) => match delete::mark(&*broker.store, &authorized).await {
                Ok(()) => {
                    tracing::info!(topic = authorized.name(), "marked a topic for deletion");
                    ErrorCode::NONE
                }
                Err(error) => {
                    tracing::warn!(topic = authorized.name(), %error, "a topic is not deleted");
                    error.code()
                }
            },
        };
        results.push(answer(topic, code));
    }
    results
}

/// Finds the name of an id. Whoever may not see the topic is not told its name.
fn admit(
    broker: &Broker,
    context: &RequestContext,
    topic: &mut DeleteTopicState,
) -> Result<Authorized<'static, op::Delete, Topic>, ErrorCode> {
    let cluster = broker.metadata.snapshot();
    let by_id = !topic.topic_id.is_zero();
    if by_id {
        topic.name = cluster.topic_by_id(topic.topic_id).map(|known| known.name.to_string());
    }
    let Some(name) = topic.name.clone() else {
        let nothing = ErrorCode::TOPIC_AUTHORIZATION_FAILED;
        return Err(if by_id { ErrorCode::UNKNOWN_TOPIC_ID } else { nothing });
    };
    let authorizer = &broker.authorizer;
    if by_id && authorizer.authorize::<op::Describe, Topic>(context, &name).is_err() {
        topic.name = None;
        return Err(ErrorCode::TOPIC_AUTHORIZATION_FAILED);
    }
    let authorized = authorizer
        .authorize::<op::Delete, Topic>(context, &name)
        .map_err(|_| ErrorCode::TOPIC_AUTHORIZATION_FAILED)?;
    if cluster.topic(&name).is_none() {
        return Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    }
    Ok(authorized.into_owned())
}

async fn await_absence(broker: &Broker, timeout_ms: i32, results: &mut [DeletableTopicResult]) {
    let is_marked = |result: &&mut DeletableTopicResult| result.error_code == ErrorCode::NONE.0;
    let names: Vec<String> =
        results.iter_mut().filter(is_marked).filter_map(|result| result.name.clone()).collect();
    if let Ok(timeout_ms @ 1..) = u64::try_from(timeout_ms) {
        let gone = broker
            .metadata
            .wait_until(|cluster| names.iter().all(|name| cluster.topic(name).is_none()));
        if tokio::time::timeout(Duration::from_millis(timeout_ms), gone).await.is_ok() {
            return;
        }
    }
    let cluster = broker.metadata.snapshot();
    let mut told = HashSet::new();
    for result in results.iter_mut().filter(is_marked) {
        let name = result.name.as_deref().unwrap_or_default();
        if !told.insert(name.to_owned()) {
            continue;
        }
        if timeout_ms <= 0 || cluster.topic(name).is_some() {
            result.error_code = ErrorCode::REQUEST_TIMED_OUT.0;
        }
    }
}

fn answer(topic: DeleteTopicState, code: ErrorCode) -> DeletableTopicResult {
    DeletableTopicResult {
        name: topic.name,
        topic_id: topic.topic_id,
        error_code: code.0,
        error_message: None,
    }
}

fn respond(responses: Vec<DeletableTopicResult>) -> DeleteTopicsResponse {
    DeleteTopicsResponse { throttle_time_ms: 0, responses }
}
