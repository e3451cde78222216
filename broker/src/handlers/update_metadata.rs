//! UpdateMetadata (key 6): the controller tells which brokers live and who leads what.
//!
//! Versions 0 to 8: v5 broker epoch and partitions grouped by topic · v6 flexible · v7 topic ids ·
//! v8 the kind of controller.
//!
//! Errors: CLUSTER_AUTHORIZATION_FAILED, STALE_BROKER_EPOCH, STALE_CONTROLLER_EPOCH.
//!
//! Differs from Apache: a log of a deleted topic that was left behind, on a broker that was away
//! when the partition was moved from it, is deleted when the controller says that the topic is;
//! there it stays, and a topic that is made anew under the name cannot have a replica there.

use std::sync::Arc;

use metadata::znodes::broker::SecurityProtocol;
use protocol::error_code::ErrorCode;
use protocol::ids::Uuid;
use protocol::messages::update_metadata::{
    UpdateMetadataEndpoint, UpdateMetadataRequest, UpdateMetadataResponse, UpdateMetadataTopicState,
};

use super::leader_and_isr::code_of;
use crate::authorizer::{Authorizer, CLUSTER};
use crate::metadata_cache::Snapshot;
use crate::orders::Orders;
use crate::request::{Reply, RequestContext};
use crate::tasks::Tasks;

pub fn handle(
    authorizer: &Authorizer,
    orders: &Arc<Orders>,
    tasks: &Arc<Tasks>,
    context: &RequestContext,
    request: UpdateMetadataRequest,
) -> Reply<UpdateMetadataResponse> {
    let answer = |code: ErrorCode| UpdateMetadataResponse { error_code: code.0 };
    let Ok(allowed) = authorizer.authorize(context, CLUSTER) else {
        return Reply::Now(answer(ErrorCode::CLUSTER_AUTHORIZATION_FAILED));
    };
    let epoch = request.controller_epoch;
    let strays = match orders.update(&allowed, request, in_shape) {
        Err(refused) => return Reply::Now(answer(code_of(refused))),
        Ok(strays) if strays.is_empty() => return Reply::Now(answer(ErrorCode::NONE)),
        Ok(strays) => strays,
    };
    let (orders, tasks, allowed) = (orders.clone(), tasks.clone(), allowed.into_owned());
    Reply::later(async move {
        tasks.blocking(move || orders.delete_strays(&allowed, epoch, &strays)).await;
        answer(ErrorCode::NONE)
    })
}

/// The shape of the latest version.
fn in_shape(request: &mut UpdateMetadataRequest, known: &Snapshot) {
    group(request, known);
    name_listeners(request);
}

/// Brings the partitions of versions 0 to 4 into the shape of the later ones. They say nothing of
/// topics' ids, so what is known stays.
fn group(request: &mut UpdateMetadataRequest, known: &Snapshot) {
    for state in std::mem::take(&mut request.ungrouped_partition_states) {
        match request.topic_states.last_mut() {
            Some(topic) if topic.topic_name == state.topic_name => {
                topic.partition_states.push(state);
            }
            _ => request.topic_states.push(UpdateMetadataTopicState {
                topic_id: known.topic(&state.topic_name).map_or(Uuid::ZERO, |topic| topic.id),
                topic_name: state.topic_name.clone(),
                partition_states: vec![state],
            }),
        }
    }
}

/// Version 0 has one address per broker and versions 1 and 2 have no listener names: both are those
/// of the security protocol.
fn name_listeners(request: &mut UpdateMetadataRequest) {
    for broker in &mut request.live_brokers {
        if broker.endpoints.is_empty() && !broker.v0_host.is_empty() {
            broker.endpoints.push(UpdateMetadataEndpoint {
                host: std::mem::take(&mut broker.v0_host),
                port: broker.v0_port,
                listener: String::new(),
                security_protocol: SecurityProtocol::Plaintext.id(),
            });
        }
        for endpoint in broker.endpoints.iter_mut().filter(|e| e.listener.is_empty()) {
            let protocol = SecurityProtocol::from_id(endpoint.security_protocol);
            endpoint.listener = protocol.map_or("", SecurityProtocol::name).to_owned();
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::messages::update_metadata::UpdateMetadataBroker;
    use protocol::messages::update_metadata::UpdateMetadataPartitionState as State;

    use super::*;
    use crate::metadata_cache::MetadataCache;

    #[test]
    fn old_versions_name_listeners_by_their_protocol() {
        let endpoint = |listener: &str, security_protocol| UpdateMetadataEndpoint {
            port: 9093,
            host: "b".into(),
            listener: listener.into(),
            security_protocol,
        };
        let v0 =
            UpdateMetadataBroker { id: 1, v0_host: "a".into(), v0_port: 9, ..Default::default() };
        let v1 = UpdateMetadataBroker {
            id: 2,
            endpoints: vec![endpoint("", 0), endpoint("", 3), endpoint("INSIDE", 0)],
            ..Default::default()
        };
        let mut request =
            UpdateMetadataRequest { live_brokers: vec![v0, v1], ..Default::default() };
        name_listeners(&mut request);
        let named = |index: usize| -> Vec<(&str, i32, &str)> {
            let endpoints = request.live_brokers[index].endpoints.iter();
            endpoints.map(|e| (&*e.host, e.port, &*e.listener)).collect()
        };
        assert_eq!(named(0), [("a", 9, "PLAINTEXT")]);
        let all = [("b", 9093, "PLAINTEXT"), ("b", 9093, "SASL_SSL"), ("b", 9093, "INSIDE")];
        assert_eq!(named(1), all);
    }

    #[test]
    fn old_versions_leave_topic_ids_alone() {
        let cache = MetadataCache::default();
        let id = Uuid([7; 16]);
        let state = |leader| State { topic_name: "t".into(), leader, ..Default::default() };
        let grouped = UpdateMetadataTopicState {
            topic_name: "t".into(),
            topic_id: id,
            partition_states: vec![state(1)],
        };
        cache.apply(&UpdateMetadataRequest { topic_states: vec![grouped], ..Default::default() });
        let mut old = UpdateMetadataRequest {
            ungrouped_partition_states: vec![state(2)],
            ..Default::default()
        };
        group(&mut old, &cache.load());
        cache.apply(&old);
        let topic = cache.snapshot().topic_by_id(id).cloned().expect("it kept its id");
        assert_eq!(topic.partitions[&0].leader, 2);
    }
}
