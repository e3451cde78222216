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

use futures::{StreamExt, stream};
use protocol::error_code::ErrorCode;
use protocol::messages::create_topics::{
    CreatableTopic, CreatableTopicConfigs, CreatableTopicResult, CreateTopicsRequest,
    CreateTopicsResponse,
};

use super::api_error::ApiError;
use super::topic_error;
use crate::authorizer::{Authorized, Authorizer, CLUSTER, Cluster, Denied, Topic, op};
use crate::dynamic_config::describe::Entry;
use crate::office::Office;
use crate::request::{Reply, RequestContext};
use crate::tasks::Tasks;
use crate::topics::admin::{ToBeLed, TopicAdmin};
use crate::topics::create::{CreateTopicError, NewTopic, PlannedTopic};

/// Where a KRaft cluster keeps its metadata.
const CLUSTER_METADATA: &str = "__cluster_metadata";

/// Topics of one request whose znodes are written at the same time.
const MADE_AT_ONCE: usize = 50;

pub fn handle(
    authorizer: &Authorizer,
    office: &Office,
    topics: &Arc<TopicAdmin>,
    tasks: &Arc<Tasks>,
    context: &RequestContext,
    request: CreateTopicsRequest,
) -> Reply<CreateTopicsResponse> {
    if !office.is_controller() {
        let code = ErrorCode::NOT_CONTROLLER;
        let refused = request.topics.into_iter().map(|topic| failed(topic.name, plain(code)));
        return Reply::Now(respond(refused.collect()));
    }
    let (timeout_ms, validate_only) = (request.timeout_ms, request.validate_only);
    let wishes = admit_all(authorizer, context, request.topics);
    let (topics, tasks) = (topics.clone(), tasks.clone());
    Reply::later(async move {
        let maker = topics.clone();
        let making = async move { make_all(&maker, wishes, validate_only).await };
        // Half a topic is worse than one that nobody waits for.
        let mut made = tasks.to_the_end(making).await;
        if !validate_only {
            let made_now = made.iter_mut().filter_map(|made| made.to_be_led.take()).collect();
            let late = topics.await_leaders(made_now, timeout_ms).await;
            made.iter_mut().filter(|made| late.contains(&made.result.name)).for_each(Made::is_late);
        }
        respond(made.into_iter().map(|made| made.result).collect())
    })
}

/// One topic of a request that may be made.
struct Wish {
    authorized: Authorized<'static, op::Create, Topic>,
    /// Whether the caller may be told how it is configured.
    described: Result<Authorized<'static, op::DescribeConfigs, Topic>, Denied>,
    wanted: NewTopic,
}

/// One topic's answer, and what is still to come.
struct Made {
    result: CreatableTopicResult,
    to_be_led: Option<ToBeLed>,
}

impl Made {
    fn is_late(&mut self) {
        let topic_id = self.result.topic_id;
        let name = std::mem::take(&mut self.result.name);
        self.result = failed(name, plain(ErrorCode::REQUEST_TIMED_OUT));
        self.result.topic_id = topic_id;
    }
}

/// Every topic's name, and whether it may be made.
fn admit_all(
    authorizer: &Authorizer,
    context: &RequestContext,
    topics: Vec<CreatableTopic>,
) -> Vec<(String, Result<Wish, ApiError>)> {
    let mut named: HashMap<String, usize> = HashMap::new();
    for topic in &topics {
        *named.entry(topic.name.clone()).or_default() += 1;
    }
    let one = |topic: CreatableTopic| {
        let name = topic.name.clone();
        let twice = named.get(&name).is_some_and(|count| *count > 1);
        let wish = admit(authorizer, context, &name, twice).map(|authorized| Wish {
            authorized: authorized.into_owned(),
            described: authorizer.authorize(context, &name).map(Authorized::into_owned),
            wanted: wanted(topic),
        });
        (name, wish)
    };
    topics.into_iter().map(one).collect()
}

fn admit<'a>(
    authorizer: &Authorizer,
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
    let anything = authorizer.authorize::<op::Create, Cluster>(context, CLUSTER);
    let topic = anything.map(|cluster| cluster.covers(name));
    topic.or_else(|_| authorizer.authorize(context, name)).map_err(|_| {
        let message = Some("Authorization failed.".to_owned());
        ApiError { code: ErrorCode::TOPIC_AUTHORIZATION_FAILED, message }
    })
}

fn wanted(topic: CreatableTopic) -> NewTopic {
    NewTopic {
        partitions: topic.num_partitions,
        replication_factor: topic.replication_factor,
        assignments: topic
            .assignments
            .into_iter()
            .map(|assignment| (assignment.partition_index, assignment.broker_ids))
            .collect(),
        configs: topic.configs.into_iter().map(|config| (config.name, config.value)).collect(),
    }
}

async fn make_all(
    topics: &TopicAdmin,
    wishes: Vec<(String, Result<Wish, ApiError>)>,
    validate_only: bool,
) -> Vec<Made> {
    let one = async |(name, wish): (String, Result<Wish, ApiError>)| {
        let made = match wish {
            Ok(wish) => make(topics, wish, validate_only).await,
            Err(error) => Err(error),
        };
        made.unwrap_or_else(|error| Made { result: failed(name, error), to_be_led: None })
    };
    // Names that collide must see each other's znodes.
    let unified: BTreeSet<String> = wishes.iter().map(|(name, _)| name.replace('.', "_")).collect();
    let at_once = if unified.len() == wishes.len() { MADE_AT_ONCE } else { 1 };
    stream::iter(wishes).map(one).buffered(at_once).collect().await
}

async fn make(topics: &TopicAdmin, wish: Wish, validate_only: bool) -> Result<Made, ApiError> {
    let Wish { authorized, described, wanted } = wish;
    let refused = |error: CreateTopicError| ApiError::new(topic_error::code(&error), &error);
    let plan = topics.plan(&authorized, wanted).await.map_err(refused)?;
    let mut result =
        CreatableTopicResult { name: plan.name.clone(), error_message: None, ..Default::default() };
    match described {
        Ok(proof) => describe_plan(topics.describe(&proof, &plan), &plan, &mut result),
        Err(Denied) => {
            result.topic_config_error_code = ErrorCode::TOPIC_AUTHORIZATION_FAILED.0;
        }
    }
    if validate_only {
        return Ok(Made { result, to_be_led: None });
    }
    let (id, to_be_led) = topics.create(&authorized, &plan).await.map_err(refused)?;
    result.topic_id = id;
    Ok(Made { result, to_be_led: Some(to_be_led) })
}

fn describe_plan(entries: Vec<Entry>, plan: &PlannedTopic, result: &mut CreatableTopicResult) {
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

#[cfg(test)]
mod tests {
    use metadata::znodes::topic;

    use super::*;
    use crate::testbed::{Testbed, answer, context};

    fn create(
        bed: &Testbed,
        authorizer: &Authorizer,
        topics: &[(&str, i32)],
        (timeout_ms, validate_only): (i32, bool),
    ) -> Reply<CreateTopicsResponse> {
        let topic = |(name, num_partitions): &(&str, i32)| CreatableTopic {
            name: (*name).to_owned(),
            num_partitions: *num_partitions,
            replication_factor: 1,
            ..Default::default()
        };
        let topics = topics.iter().map(topic).collect();
        let request = CreateTopicsRequest { topics, timeout_ms, validate_only };
        let (office, admin, tasks) = (&bed.office, &bed.topic_admin, &bed.tasks);
        handle(authorizer, office, admin, tasks, &context(7), request)
    }

    async fn codes(reply: Reply<CreateTopicsResponse>) -> Vec<ErrorCode> {
        answer(reply).await.topics.iter().map(|topic| ErrorCode(topic.error_code)).collect()
    }

    #[tokio::test]
    async fn only_the_controller_makes_topics() {
        let bed = Testbed::new();
        let reply = create(&bed, &Authorizer::allow_all(), &[("a", 1), ("b", 1)], (0, false));
        assert_eq!(codes(reply).await, [ErrorCode::NOT_CONTROLLER; 2]);
    }

    #[tokio::test]
    async fn a_topic_is_made_and_waited_for() {
        let bed = Testbed::new();
        bed.control().await;
        bed.lead("other", 1);
        let anybody = Authorizer::allow_all();
        let leading = async {
            bed.stored(&topic::path("t")).await;
            bed.lead("t", 2);
        };
        let making = answer(create(&bed, &anybody, &[("t", 2)], (i32::MAX, false)));
        let made = tokio::join!(making, leading).0.topics.remove(0);
        assert_eq!((&*made.name, made.error_code, made.error_message), ("t", 0, None));
        assert!(!made.topic_id.is_zero());
        assert_eq!((made.num_partitions, made.replication_factor), (2, 1));
        assert!(made.configs.is_some_and(|configs| configs.len() > 20));

        let late = answer(create(&bed, &anybody, &[("u", 1)], (0, false))).await.topics.remove(0);
        assert_eq!(ErrorCode(late.error_code), ErrorCode::REQUEST_TIMED_OUT);
        assert_eq!((late.topic_id.is_zero(), late.configs), (false, Some(vec![])));
        bed.stored(&topic::path("u")).await;
    }

    #[tokio::test]
    async fn a_principal_may_create_topics_in_the_cluster_or_each_by_itself() {
        let bed = Testbed::new();
        bed.control().await;
        bed.lead("other", 1);
        let not_all = || Authorizer::allow_all().but::<op::Create, Cluster>(CLUSTER);
        let none = not_all().but::<op::Create, Topic>("t");
        let refused = answer(create(&bed, &none, &[("t", 1)], (0, true))).await.topics.remove(0);
        assert_eq!(ErrorCode(refused.error_code), ErrorCode::TOPIC_AUTHORIZATION_FAILED);
        assert_eq!(refused.error_message.as_deref(), Some("Authorization failed."));
        assert_eq!(
            codes(create(&bed, &not_all(), &[("t", 1)], (0, true))).await,
            [ErrorCode::NONE]
        );
        let blind = not_all().but::<op::DescribeConfigs, Topic>("t");
        let told = answer(create(&bed, &blind, &[("t", 1)], (0, true))).await.topics.remove(0);
        let hidden = ErrorCode(told.topic_config_error_code);
        assert_eq!((told.error_code, hidden), (0, ErrorCode::TOPIC_AUTHORIZATION_FAILED));
        assert_eq!((told.num_partitions, told.configs), (-1, Some(vec![])));
    }

    #[tokio::test]
    async fn topics_are_refused_one_by_one() {
        let bed = Testbed::new();
        bed.control().await;
        bed.lead("there", 1);
        let wanted = [
            ("twice", 1),
            ("fine", 1),
            ("twice", 1),
            (CLUSTER_METADATA, 1),
            ("there", 1),
            ("no name", 1),
            ("none", 0),
        ];
        let reply = create(&bed, &Authorizer::allow_all(), &wanted, (0, true));
        let expected = [
            ErrorCode::INVALID_REQUEST,
            ErrorCode::NONE,
            ErrorCode::INVALID_REQUEST,
            ErrorCode::INVALID_REQUEST,
            ErrorCode::TOPIC_ALREADY_EXISTS,
            ErrorCode::INVALID_TOPIC_EXCEPTION,
            ErrorCode::INVALID_PARTITIONS,
        ];
        assert_eq!(codes(reply).await, expected);
    }
}
