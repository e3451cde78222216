//! Metadata (key 3): live brokers, and topics with their partitions and leaders.
//!
//! Versions 0–12: no topics means all in v0, null does from v1 · v4 the client decides about
//! automatic creation · v6 a leader without the listener is LISTENER_NOT_FOUND · v10 topic ids in
//! the answer · v12 topics by id. Brokers without the listener that the request came in on are left
//! out.
//!
//! A topic that is not there is made by this broker if both the client and
//! `auto.create.topics.enable` want it; the answer is LEADER_NOT_AVAILABLE then, and
//! UNKNOWN_TOPIC_OR_PARTITION while another request is making it.
//!
//! Errors per topic: TOPIC_AUTHORIZATION_FAILED, UNKNOWN_TOPIC_OR_PARTITION, UNKNOWN_TOPIC_ID,
//! INVALID_TOPIC_EXCEPTION, LEADER_NOT_AVAILABLE, INVALID_REPLICATION_FACTOR and the others of
//! CreateTopics, INVALID_REQUEST (a null name before v12, an id before v12), UNKNOWN_SERVER_ERROR
//! (neither, from v12 on). Per partition: LEADER_NOT_AVAILABLE, LISTENER_NOT_FOUND,
//! REPLICA_NOT_AVAILABLE (v0).
//!
//! Differs from Apache: topics are in the order of the request, or of their names, and partitions
//! in that of their numbers, where Kafka has none. While a leader is gone and the controller has
//! named no other, the answer waits for a moment (`replication::lost_leaders`).

use std::collections::BTreeSet;
use std::sync::Arc;

use protocol::error_code::ErrorCode;
use protocol::ids::{BrokerId, Uuid};
use protocol::messages::metadata::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseBroker,
    MetadataResponsePartition, MetadataResponseTopic,
};

use super::{operations, topic_error};
use crate::authorizer::{Authorized, Authorizer, CLUSTER, Cluster, Requester, Topic, op};
use crate::clock::Clock;
use crate::config::LiveConfig;
use crate::identity::Identity;
use crate::metadata_cache::{MetadataCache, PartitionMetadata, Snapshot, TopicMetadata};
use crate::replication::lost_leaders::LostLeaders;
use crate::request::{Reply, RequestContext};
use crate::topics::auto::{AutoCreated, AutoTopics};
use crate::topics::name;

/// Tells clients of the cluster.
pub struct MetadataServer {
    pub config: Arc<LiveConfig>,
    pub clock: Clock,
    pub identity: Arc<Identity>,
    pub metadata: Arc<MetadataCache>,
    pub lost_leaders: Arc<LostLeaders>,
    pub auto_topics: Arc<AutoTopics>,
}

pub fn handle(
    authorizer: &Arc<Authorizer>,
    server: &Arc<MetadataServer>,
    context: &RequestContext,
    request: MetadataRequest,
) -> Reply<MetadataResponse> {
    let version = context.api_version;
    if let Some(topics) = &request.topics
        && let Some(code) = refusal(topics, version)
    {
        return Reply::Now(refused(topics, code));
    }
    let now_ms = server.clock.monotonic_ms();
    if server.lost_leaders.patience(&server.metadata.load(), now_ms).is_some() {
        let (server, requester) = (server.clone(), Requester::new(authorizer, context));
        let context = context.clone();
        return Reply::later(async move {
            server.lost_leaders.settled(&server.metadata, now_ms).await;
            let answer = Answer::of_what_is_known(&server, &requester, &context, request);
            answer.completed(&server.auto_topics, &requester).await
        });
    }
    let requester = Requester::new(authorizer, context);
    let answer = Answer::of_what_is_known(server, &requester, context, request);
    if answer.to_make.is_empty() {
        return Reply::Now(answer.with_operations(&requester));
    }
    let topics = server.auto_topics.clone();
    Reply::later(async move { answer.completed(&topics, &requester).await })
}

/// An answer, and what is still to be put into it.
struct Answer {
    response: MetadataResponse,
    to_make: Vec<String>,
    with_operations: bool,
}

impl Answer {
    fn of_what_is_known(
        server: &MetadataServer,
        requester: &Requester,
        context: &RequestContext,
        request: MetadataRequest,
    ) -> Answer {
        let version = context.api_version;
        let cluster = server.metadata.load();
        let view = View { cluster: &cluster, listener: &context.connection.listener, version };
        let mut response = MetadataResponse {
            brokers: view.brokers(),
            cluster_id: Some(server.identity.cluster_id.clone()),
            controller_id: cluster.controller_id.unwrap_or(-1),
            ..Default::default()
        };
        if (8..=10).contains(&version) && request.include_cluster_authorized_operations {
            let may_ask = requester.authorize::<op::Describe, Cluster>(CLUSTER).is_ok();
            response.cluster_authorized_operations =
                if may_ask { operations::on_cluster(requester) } else { 0 };
        }
        let with_operations = request.include_topic_authorized_operations && version >= 8;
        let wanted = Wanted::of(request.topics, version);
        let mut to_make = add_topics(requester, &view, wanted, &mut response.topics);
        let may_create = request.allow_auto_topic_creation
            && server.config.load().bool("auto.create.topics.enable");
        if !may_create {
            response.topics.extend(to_make.drain(..).map(not_there));
        }
        Answer { response, to_make, with_operations }
    }

    async fn completed(
        mut self,
        auto_topics: &Arc<AutoTopics>,
        requester: &Requester,
    ) -> MetadataResponse {
        for name in std::mem::take(&mut self.to_make) {
            self.response.topics.push(make(auto_topics, requester, name).await);
        }
        self.with_operations(requester)
    }

    fn with_operations(mut self, requester: &Requester) -> MetadataResponse {
        for topic in self.response.topics.iter_mut().filter(|_| self.with_operations) {
            let denied = topic.error_code == ErrorCode::TOPIC_AUTHORIZATION_FAILED.0;
            if let Some(name) = topic.name.as_deref().filter(|_| !denied) {
                topic.topic_authorized_operations = operations::on_topic(requester, name);
            }
        }
        self.response
    }
}

/// Which topics a request is about.
enum Wanted {
    All,
    Names(Vec<String>),
    Ids(Vec<Uuid>),
}

impl Wanted {
    fn of(topics: Option<Vec<MetadataRequestTopic>>, version: i16) -> Wanted {
        let Some(topics) = topics else { return Wanted::All };
        if version == 0 && topics.is_empty() {
            return Wanted::All;
        }
        let mut ids: Vec<Uuid> =
            topics.iter().map(|topic| topic.topic_id).filter(|id| !id.is_zero()).collect();
        if ids.is_empty() {
            let mut seen = BTreeSet::new();
            let names = topics.into_iter().filter_map(|topic| topic.name);
            return Wanted::Names(names.filter(|name| seen.insert(name.clone())).collect());
        }
        ids.sort();
        ids.dedup();
        Wanted::Ids(ids)
    }
}

/// Adds what is known and gives back the names that are not.
fn add_topics(
    requester: &Requester,
    view: &View<'_>,
    wanted: Wanted,
    answers: &mut Vec<MetadataResponseTopic>,
) -> Vec<String> {
    let may_see = |topic: &str| requester.authorize::<op::Describe, Topic>(topic).is_ok();
    let denied = ErrorCode::TOPIC_AUTHORIZATION_FAILED;
    let mut missing = Vec::new();
    match wanted {
        Wanted::All => {
            let seen = view.cluster.topics().filter(|topic| may_see(&topic.name));
            answers.extend(seen.map(|topic| view.topic(topic)));
            answers.sort_by(|a, b| a.name.cmp(&b.name));
        }
        Wanted::Ids(ids) => {
            for id in ids {
                answers.push(match view.cluster.topic_by_id(id) {
                    None => failed(None, id, ErrorCode::UNKNOWN_TOPIC_ID),
                    Some(topic) if !may_see(&topic.name) => failed(None, id, denied),
                    Some(topic) => view.topic(topic),
                });
            }
        }
        Wanted::Names(names) => {
            for name in names {
                if !may_see(&name) {
                    // Whether it exists is not told.
                    answers.push(failed(Some(name), Uuid::ZERO, denied));
                } else if let Some(topic) = view.cluster.topic(&name) {
                    answers.push(view.topic(topic));
                } else {
                    missing.push(name);
                }
            }
        }
    }
    missing
}

/// The cluster as a client of one listener and one version is told.
struct View<'a> {
    cluster: &'a Snapshot,
    listener: &'a str,
    version: i16,
}

impl View<'_> {
    fn brokers(&self) -> Vec<MetadataResponseBroker> {
        let live = self.cluster.brokers.values().filter_map(|broker| {
            let endpoint = broker.listener(self.listener)?;
            Some(MetadataResponseBroker {
                node_id: broker.id,
                host: endpoint.host.clone(),
                port: endpoint.port,
                rack: broker.rack.clone(),
            })
        });
        live.collect()
    }

    fn topic(&self, topic: &TopicMetadata) -> MetadataResponseTopic {
        MetadataResponseTopic {
            error_code: ErrorCode::NONE.0,
            name: Some(topic.name.to_string()),
            topic_id: topic.id,
            is_internal: name::is_internal(&topic.name),
            partitions: topic
                .partitions
                .iter()
                .map(|(index, partition)| self.partition(*index, partition))
                .collect(),
            ..Default::default()
        }
    }

    fn partition(&self, index: i32, partition: &PartitionMetadata) -> MetadataResponsePartition {
        let reachable = |id: &BrokerId| self.cluster.listener(*id, self.listener).is_some();
        // Version 0 has no place for brokers that cannot be reached.
        let shown = |ids: &[BrokerId]| -> Vec<BrokerId> {
            ids.iter().filter(|id| self.version > 0 || reachable(id)).copied().collect()
        };
        let (replicas, isr) = (shown(&partition.replicas), shown(&partition.isr));
        let leader = partition.leader;
        let error = if !reachable(&leader) {
            match self.cluster.is_alive(leader) && self.version >= 6 {
                true => ErrorCode::LISTENER_NOT_FOUND,
                false => ErrorCode::LEADER_NOT_AVAILABLE,
            }
        } else if replicas.len() < partition.replicas.len() || isr.len() < partition.isr.len() {
            ErrorCode::REPLICA_NOT_AVAILABLE
        } else {
            ErrorCode::NONE
        };
        MetadataResponsePartition {
            error_code: error.0,
            partition_index: index,
            leader_id: if reachable(&leader) { leader } else { -1 },
            leader_epoch: partition.leader_epoch,
            replica_nodes: replicas,
            isr_nodes: isr,
            offline_replicas: partition.offline_replicas.clone(),
        }
    }
}

fn failed(name: Option<String>, topic_id: Uuid, error: ErrorCode) -> MetadataResponseTopic {
    MetadataResponseTopic {
        error_code: error.0,
        is_internal: name.as_deref().is_some_and(name::is_internal),
        name,
        topic_id,
        ..Default::default()
    }
}

fn not_there(name: String) -> MetadataResponseTopic {
    let error = match name::check(&name) {
        Ok(()) => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        Err(_) => ErrorCode::INVALID_TOPIC_EXCEPTION,
    };
    failed(Some(name), Uuid::ZERO, error)
}

async fn make(
    auto_topics: &Arc<AutoTopics>,
    requester: &Requester,
    name: String,
) -> MetadataResponseTopic {
    let Some(authorized) = may_create(requester, &name) else {
        return failed(Some(name), Uuid::ZERO, ErrorCode::TOPIC_AUTHORIZATION_FAILED);
    };
    let error = match auto_topics.create(authorized).await {
        AutoCreated::Written => ErrorCode::LEADER_NOT_AVAILABLE,
        AutoCreated::InTheMaking => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        AutoCreated::InvalidName(_) => ErrorCode::INVALID_TOPIC_EXCEPTION,
        AutoCreated::Failed(error) => match topic_error::code(&error) {
            // Such as one that is marked for deletion.
            ErrorCode::TOPIC_ALREADY_EXISTS => ErrorCode::LEADER_NOT_AVAILABLE,
            code => code,
        },
    };
    failed(Some(name), Uuid::ZERO, error)
}

/// A principal that may create topics in the cluster may create this one too.
fn may_create<'a>(
    requester: &Requester,
    topic: &'a str,
) -> Option<Authorized<'a, op::Create, Topic>> {
    let anything = requester.authorize::<op::Create, Cluster>(CLUSTER);
    let proof = anything.map(|cluster| cluster.covers(topic));
    proof.or_else(|_| requester.authorize(topic)).ok()
}

/// Why topics cannot be looked up as they are asked for. From v12 on names are read only where no
/// id is given, and one that is null is then a failure of Apache's broker.
fn refusal(topics: &[MetadataRequestTopic], version: i16) -> Option<ErrorCode> {
    let has_id = |topic: &MetadataRequestTopic| !topic.topic_id.is_zero();
    let has_no_name = topics.iter().any(|topic| topic.name.is_none());
    let has_ids = topics.iter().any(has_id);
    match version {
        ..12 => (has_no_name || has_ids).then_some(ErrorCode::INVALID_REQUEST),
        _ => (has_no_name && !has_ids).then_some(ErrorCode::UNKNOWN_SERVER_ERROR),
    }
}

fn refused(topics: &[MetadataRequestTopic], code: ErrorCode) -> MetadataResponse {
    let topics = topics.iter().map(|topic| MetadataResponseTopic {
        error_code: code.0,
        name: Some(topic.name.clone().unwrap_or_default()),
        topic_id: topic.topic_id,
        ..Default::default()
    });
    MetadataResponse { topics: topics.collect(), ..Default::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testbed::{ID, Testbed, answer, context, now, topic_id};

    fn ask(
        bed: &Testbed,
        authorizer: Authorizer,
        version: i16,
        names: Option<&[&str]>,
    ) -> Reply<MetadataResponse> {
        let topic = |name: &&str| MetadataRequestTopic {
            name: Some((*name).to_owned()),
            ..MetadataRequestTopic::default()
        };
        let request = MetadataRequest {
            topics: names.map(|names| names.iter().map(topic).collect()),
            allow_auto_topic_creation: true,
            include_topic_authorized_operations: true,
            ..MetadataRequest::default()
        };
        handle(&Arc::new(authorizer), &bed.metadata_server, &context(version), request)
    }

    fn told(response: &MetadataResponse) -> Vec<(&str, ErrorCode)> {
        let name = |topic: &MetadataResponseTopic| topic.name.as_deref().map(str::len);
        assert!(response.topics.iter().all(|topic| name(topic).is_some()));
        let topics = response.topics.iter();
        topics.map(|t| (t.name.as_deref().unwrap_or(""), ErrorCode(t.error_code))).collect()
    }

    #[tokio::test]
    async fn topics_that_may_not_be_seen_are_not_told_of_and_none_is_made_without_leave() {
        let bed = Testbed::new();
        bed.lead("t", 1);
        bed.place("elsewhere", 1, 2, 0);
        bed.lead("hidden", 1);
        let authorizer = || {
            Authorizer::allow_all()
                .but::<op::Describe, Topic>("hidden")
                .but::<op::Create, Cluster>(CLUSTER)
                .but::<op::Create, Topic>("new")
        };
        let none = ErrorCode::NONE;
        let all = now(ask(&bed, authorizer(), 12, None));
        assert_eq!(told(&all), [("elsewhere", none), ("t", none)]);
        assert_eq!(all.topics[1].topic_id, topic_id("t"));
        assert_eq!(all.topics[1].partitions[0].leader_id, ID);
        assert_ne!(all.topics[1].topic_authorized_operations, i32::MIN);
        let named = answer(ask(&bed, authorizer(), 12, Some(&["hidden", "t", "new"]))).await;
        let denied = ErrorCode::TOPIC_AUTHORIZATION_FAILED;
        assert_eq!(told(&named), [("hidden", denied), ("t", none), ("new", denied)]);
        assert_eq!(named.topics[0].topic_authorized_operations, i32::MIN, "not even that");
    }

    #[tokio::test]
    async fn without_auto_creation_what_is_not_there_is_unknown() {
        let bed = Testbed::with(&[("auto.create.topics.enable", "false")]);
        let told_now = now(ask(&bed, Authorizer::allow_all(), 12, Some(&["new", "a b"])));
        let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
        let invalid = ErrorCode::INVALID_TOPIC_EXCEPTION;
        assert_eq!(told(&told_now), [("new", unknown), ("a b", invalid)]);
    }

    fn topic(id: u8, name: Option<&str>) -> MetadataRequestTopic {
        MetadataRequestTopic { topic_id: Uuid([id; 16]), name: name.map(str::to_owned) }
    }

    #[test]
    fn what_cannot_be_looked_up() {
        let (invalid, failed) = (ErrorCode::INVALID_REQUEST, ErrorCode::UNKNOWN_SERVER_ERROR);
        let table = [
            (vec![topic(0, Some("t"))], None, None),
            (vec![topic(1, None)], Some(invalid), None),
            (vec![topic(1, Some("t"))], Some(invalid), None),
            (vec![topic(0, None)], Some(invalid), Some(failed)),
            (vec![topic(0, Some("t")), topic(0, None)], Some(invalid), Some(failed)),
            (vec![topic(0, None), topic(1, None)], Some(invalid), None),
        ];
        for (topics, before, from_v12) in table {
            assert_eq!(refusal(&topics, 11), before, "{topics:?}");
            assert_eq!(refusal(&topics, 12), from_v12, "{topics:?}");
        }
    }
}
