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

use protocol::error_code::ErrorCode;
use protocol::messages::delete_topics::{
    DeletableTopicResult, DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse,
};

use crate::authorizer::{Authorized, Authorizer, Topic, op};
use crate::metadata_cache::{MetadataCache, Snapshot};
use crate::office::Office;
use crate::request::{Reply, RequestContext};
use crate::tasks::Tasks;
use crate::topics::admin::{ToBeGone, TopicAdmin};
use crate::topics::delete::DeleteTopicError;

pub fn handle(
    authorizer: &Authorizer,
    office: &Office,
    metadata: &MetadataCache,
    admin: &Arc<TopicAdmin>,
    tasks: &Arc<Tasks>,
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
    let refusal = if !office.is_controller() {
        Some(ErrorCode::NOT_CONTROLLER)
    } else if !admin.may_delete() {
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
    let cluster = metadata.load();
    let wishes = topics.into_iter().map(|mut topic| {
        let admitted = admit(authorizer, context, &cluster, &mut topic);
        Wish { topic, admitted }
    });
    let (wishes, admin, tasks) = (wishes.collect(), admin.clone(), tasks.clone());
    Reply::later(async move {
        let worker = admin.clone();
        let marking = async move { mark_all(&worker, wishes).await };
        let (mut results, marked) = tasks.to_the_end(marking).await;
        let mut late = admin.await_absence(marked, timeout_ms).await;
        let deleted = |result: &&mut DeletableTopicResult| result.error_code == ErrorCode::NONE.0;
        for result in results.iter_mut().filter(deleted) {
            if late.remove(result.name.as_deref().unwrap_or_default()) {
                result.error_code = ErrorCode::REQUEST_TIMED_OUT.0;
            }
        }
        respond(results)
    })
}

/// One topic of a request, and whether it may be deleted.
struct Wish {
    topic: DeleteTopicState,
    admitted: Result<Authorized<'static, op::Delete, Topic>, ErrorCode>,
}

async fn mark_all(
    admin: &TopicAdmin,
    wishes: Vec<Wish>,
) -> (Vec<DeletableTopicResult>, Vec<ToBeGone>) {
    let (mut results, mut all_marked) = (Vec::new(), Vec::new());
    let mut tried = HashSet::new();
    for Wish { topic, admitted } in wishes {
        let code = match admitted {
            Err(code) => code,
            Ok(topic) if !tried.insert(topic.name().to_owned()) => ErrorCode::NONE,
            Ok(authorized) => match admin.delete(&authorized).await {
                Ok(marked) => {
                    all_marked.push(marked);
                    ErrorCode::NONE
                }
                Err(error) => {
                    tracing::warn!(topic = authorized.name(), %error, "a topic is not deleted");
                    code(&error)
                }
            },
        };
        results.push(answer(topic, code));
    }
    (results, all_marked)
}

/// Finds the name of an id. Whoever may not see the topic is not told its name.
fn admit(
    authorizer: &Authorizer,
    context: &RequestContext,
    cluster: &Snapshot,
    topic: &mut DeleteTopicState,
) -> Result<Authorized<'static, op::Delete, Topic>, ErrorCode> {
    let by_id = !topic.topic_id.is_zero();
    if by_id {
        topic.name = cluster.topic_by_id(topic.topic_id).map(|known| known.name.to_string());
    }
    let Some(name) = topic.name.clone() else {
        let nothing = ErrorCode::TOPIC_AUTHORIZATION_FAILED;
        return Err(if by_id { ErrorCode::UNKNOWN_TOPIC_ID } else { nothing });
    };
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

fn code(error: &DeleteTopicError) -> ErrorCode {
    match error {
        DeleteTopicError::Unknown(_) => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        DeleteTopicError::Store(_) => ErrorCode::UNKNOWN_SERVER_ERROR,
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

#[cfg(test)]
mod tests {
    use metadata::retry;
    use metadata::znodes::{delete_topics, topic};
    use protocol::ids::Uuid;

    use super::*;
    use crate::testbed::{Testbed, answer, context, topic_id};

    fn delete(
        bed: &Testbed,
        authorizer: &Authorizer,
        version: i16,
        topics: Vec<DeleteTopicState>,
        timeout_ms: i32,
    ) -> Reply<DeleteTopicsResponse> {
        let request = DeleteTopicsRequest { topics, timeout_ms, ..Default::default() };
        let (office, metadata, admin) = (&bed.office, &bed.metadata, &bed.topic_admin);
        handle(authorizer, office, metadata, admin, &bed.tasks, &context(version), request)
    }

    fn by_name(name: &str) -> DeleteTopicState {
        DeleteTopicState { name: Some(name.to_owned()), ..Default::default() }
    }

    fn by_id(topic_id: Uuid) -> DeleteTopicState {
        DeleteTopicState { name: None, topic_id }
    }

    /// The names and codes of the answer.
    async fn told(reply: Reply<DeleteTopicsResponse>) -> Vec<(Option<String>, ErrorCode)> {
        let responses = answer(reply).await.responses.into_iter();
        responses.map(|result| (result.name, ErrorCode(result.error_code))).collect()
    }

    fn named(name: &str, code: ErrorCode) -> (Option<String>, ErrorCode) {
        (Some(name.to_owned()), code)
    }

    /// A controller of these topics.
    async fn controlling(topics: &[&str]) -> Testbed {
        let bed = Testbed::new();
        bed.control().await;
        for name in topics {
            bed.lead(name, 1);
            let made = retry::create_recursive(&*bed.store, &topic::path(name), None).await;
            assert_eq!(made, Ok(true));
        }
        bed
    }

    #[tokio::test]
    async fn whole_requests_are_refused() {
        let bed = Testbed::new();
        let anybody = Authorizer::allow_all();
        let not_controller = told(delete(&bed, &anybody, 6, vec![by_name("t")], 0)).await;
        assert_eq!(not_controller, [named("t", ErrorCode::NOT_CONTROLLER)]);

        let bed = Testbed::with(&[("delete.topic.enable", "false")]);
        bed.control().await;
        for (version, code) in
            [(2, ErrorCode::INVALID_REQUEST), (3, ErrorCode::TOPIC_DELETION_DISABLED)]
        {
            let disabled = told(delete(&bed, &anybody, version, vec![by_name("t")], 0)).await;
            assert_eq!(disabled, [named("t", code)]);
        }

        let bed = controlling(&["t"]).await;
        let both = DeleteTopicState { topic_id: topic_id("t"), ..by_name("t") };
        let refused = told(delete(&bed, &anybody, 6, vec![by_name("t"), both], 0)).await;
        assert_eq!(refused, vec![named("t", ErrorCode::INVALID_REQUEST); 2]);
    }

    #[tokio::test]
    async fn a_topic_is_marked_and_its_end_waited_for() {
        let bed = controlling(&["t", "u"]).await;
        let anybody = Authorizer::allow_all();
        let forgetting = async {
            bed.stored(&delete_topics::path("t")).await;
            bed.forget("t");
        };
        let twice = vec![by_name("t"), by_id(topic_id("t"))];
        let deleting = told(delete(&bed, &anybody, 6, twice, i32::MAX));
        let deleted = tokio::join!(deleting, forgetting).0;
        assert_eq!(deleted, vec![named("t", ErrorCode::NONE); 2]);

        // The first answer tells.
        let twice = vec![by_name("u"), by_name("u")];
        let late = told(delete(&bed, &anybody, 6, twice, 0)).await;
        let expected = [ErrorCode::REQUEST_TIMED_OUT, ErrorCode::NONE];
        assert_eq!(late, expected.map(|code| named("u", code)));
    }

    #[tokio::test]
    async fn topics_are_refused_one_by_one() {
        let bed = controlling(&["hidden", "kept"]).await;
        // Known here, and not in the store.
        bed.lead("gone", 1);
        let authorizer = Authorizer::allow_all()
            .but::<op::Describe, Topic>("hidden")
            .but::<op::Delete, Topic>("kept");
        let topics = vec![
            by_id(topic_id("hidden")),
            by_id(topic_id("kept")),
            by_name("kept"),
            by_id(topic_id("unknown")),
            by_name("unknown"),
            DeleteTopicState::default(),
            by_name("gone"),
        ];
        let expected = [
            (None, ErrorCode::TOPIC_AUTHORIZATION_FAILED),
            named("kept", ErrorCode::TOPIC_AUTHORIZATION_FAILED),
            named("kept", ErrorCode::TOPIC_AUTHORIZATION_FAILED),
            (None, ErrorCode::UNKNOWN_TOPIC_ID),
            named("unknown", ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
            (None, ErrorCode::TOPIC_AUTHORIZATION_FAILED),
            named("gone", ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        ];
        assert_eq!(told(delete(&bed, &authorizer, 6, topics, 0)).await, expected);
    }
}
