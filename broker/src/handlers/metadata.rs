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

use super::operations;
use crate::authorizer::{Authorized, Authorizer, CLUSTER, Cluster, Topic, op};
use crate::broker::Broker;
use crate::metadata_cache::{PartitionMetadata, Snapshot, TopicMetadata};
use crate::request::{Reply, RequestContext};
use crate::topics::auto::AutoCreated;
use crate::topics::name;

pub fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: MetadataRequest,
) -> Reply<MetadataResponse> {
    let version = context.api_version;
    if let Some(topics) = &request.topics
        && let Some(code) = refusal(topics, version)
    {
        return Reply::Now(refused(topics, code));
    }
    let now_ms = broker.clock.monotonic_ms();
    if broker.lost_leaders.patience(&broker.metadata.load(), now_ms).is_some() {
        let (broker, context) = (broker.clone(), context.clone());
        return Reply::later(async move {
            broker.lost_leaders.settled(&broker.metadata, now_ms).await;
            Answer::of_what_is_known(&broker, &context, request).completed(&broker, &context).await
        });
    }
    let answer = Answer::of_what_is_known(broker, context, request);
    if answer.to_make.is_empty() {
        return Reply::Now(answer.with_operations(broker, context));
    }
    let (broker, context) = (broker.clone(), context.clone());
    Reply::later(async move { answer.completed(&broker, &context).await })
}

/// An answer, and what is still to be put into it.
struct Answer {
    response: MetadataResponse,
    to_make: Vec<String>,
    with_operations: bool,
}

impl Answer {
    fn of_what_is_known(
        broker: &Broker,
        context: &RequestContext,
        request: MetadataRequest,
    ) -> Answer {
        let version = context.api_version;
        let cluster = broker.metadata.snapshot();
        let view = View { cluster: &cluster, listener: &context.connection.listener, version };
        let mut response = MetadataResponse {
            brokers: view.brokers(),
            cluster_id: Some(broker.identity.cluster_id.clone()),
            controller_id: cluster.controller_id.unwrap_or(-1),
            ..Default::default()
        };
        if (8..=10).contains(&version) && request.include_cluster_authorized_operations {
            let authorizer = &broker.authorizer;
            let may_ask = authorizer.authorize::<op::Describe, Cluster>(context, CLUSTER).is_ok();
            response.cluster_authorized_operations =
                if may_ask { operations::on_cluster(authorizer, context) } else { 0 };
        }
        let with_operations = request.include_topic_authorized_operations && version >= 8;
        let wanted = Wanted::of(request.topics, version);
        let mut to_make =
            add_topics(&broker.authorizer, context, &view, wanted, &mut response.topics);
        let may_create = request.allow_auto_topic_creation
            && broker.config.load().bool("auto.create.topics.enable");
        if !may_create {
            response.topics.extend(to_make.drain(..).map(not_there));
        }
        Answer { response, to_make, with_operations }
    }

    async fn completed(
        mut self,
        broker: &Arc<Broker>,
        context: &RequestContext,
    ) -> MetadataResponse {
        for name in std::mem::take(&mut self.to_make) {
            self.response.topics.push(make(broker, context, name).await);
        }
        self.with_operations(broker, context)
    }

    fn with_operations(mut self, broker: &Broker, context: &RequestContext) -> MetadataResponse {
        for topic in self.response.topics.iter_mut().filter(|_| self.with_operations) {
            let denied = topic.error_code == ErrorCode::TOPIC_AUTHORIZATION_FAILED.0;
            if let Some(name) = topic.name.as_deref().filter(|_| !denied) {
                topic.topic_authorized_operations =
                    operations::on_topic(&broker.authorizer, context, name);
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
    authorizer: &Authorizer,
    context: &RequestContext,
    view: &View<'_>,
    wanted: Wanted,
    answers: &mut Vec<MetadataResponseTopic>,
) -> Vec<String> {
    let may_see = |topic: &str| authorizer.authorize::<op::Describe, Topic>(context, topic).is_ok();
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
    broker: &Arc<Broker>,
    context: &RequestContext,
    name: String,
) -> MetadataResponseTopic {
    let Some(authorized) = may_create(&broker.authorizer, context, &name) else {
        return failed(Some(name), Uuid::ZERO, ErrorCode::TOPIC_AUTHORIZATION_FAILED);
    };
    let error = match broker.auto_topics.create(authorized).await {
        AutoCreated::Written => ErrorCode::LEADER_NOT_AVAILABLE,
        AutoCreated::InTheMaking => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        AutoCreated::InvalidName(_) => ErrorCode::INVALID_TOPIC_EXCEPTION,
        AutoCreated::Failed(error) => match error.code() {
            // Such as one that is marked for deletion.
            ErrorCode::TOPIC_ALREADY_EXISTS => ErrorCode::LEADER_NOT_AVAILABLE,
            code => code,
        },
    };
    failed(Some(name), Uuid::ZERO, error)
}

/// Whoever may create anything in the cluster may create this topic too.
fn may_create<'a>(
    authorizer: &Authorizer,
    context: &RequestContext,
    topic: &'a str,
) -> Option<Authorized<'a, op::Create, Topic>> {
    let anything = authorizer.authorize::<op::Create, Cluster>(context, CLUSTER);
    let proof = anything.map(|cluster| cluster.covers(topic));
    proof.or_else(|_| authorizer.authorize(context, topic)).ok()
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
