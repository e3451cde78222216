//! WriteTxnMarkers (key 27): a transaction coordinator ends transactions in the partitions that
//! this broker leads.
//!
//! Versions 0 and 1: v1 flexible. Each marker is one control batch in each of its partitions, held
//! by the whole ISR before it is answered; in a partition of `__consumer_offsets` the offsets of
//! the transaction are committed or dropped before that, too.
//!
//! Errors, all per partition: CLUSTER_AUTHORIZATION_FAILED, UNKNOWN_TOPIC_OR_PARTITION (no log of
//! it here), NOT_LEADER_OR_FOLLOWER, INVALID_PRODUCER_EPOCH, TRANSACTION_COORDINATOR_FENCED,
//! NOT_ENOUGH_REPLICAS, NOT_ENOUGH_REPLICAS_AFTER_APPEND, REQUEST_TIMED_OUT, KAFKA_STORAGE_ERROR.
//!
//! Differs from Apache: a partition that lives elsewhere is NOT_LEADER_OR_FOLLOWER at once, where
//! Apache says UNKNOWN_TOPIC_OR_PARTITION; its sender looks for the leader anew after either. A
//! marker that lists a partition twice is written there once; Apache never answers it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use coordinator::group::GroupError;
use coordinator::group::service::OFFSETS_TOPIC;
use coordinator::shard::Marker;
use futures::future::BoxFuture;
use protocol::error_code::ErrorCode;
use protocol::ids::ProducerId;
use protocol::messages::write_txn_markers::{
    WritableTxnMarker, WritableTxnMarkerPartitionResult, WritableTxnMarkerResult,
    WritableTxnMarkerTopicResult, WriteTxnMarkersRequest, WriteTxnMarkersResponse,
};
use protocol::records::control::EndTxnMarker;
use storage::{AppendInfo, AppendOrigin};

use super::partition_error::not_here;
use super::produce;
use crate::authorizer::{Authorized, Authorizer, CLUSTER, Cluster, op};
use crate::clock::Clock;
use crate::config::LiveConfig;
use crate::delayed::offset::Countdown;
use crate::groups::Groups;
use crate::replication::manager::{NotHere, ReplicaManager};
use crate::replication::partition::{AckOutcome, AppendTerms, Partition};
use crate::request::{Reply, RequestContext};

/// Pause before the group coordinator is asked again while it loads.
const LOADING_RETRY: Duration = Duration::from_millis(50);

/// One marker in one partition.
struct Part {
    producer_id: ProducerId,
    marker: Marker,
    topic: String,
    index: i32,
    code: ErrorCode,
    pending: Option<(Arc<Partition>, AppendInfo)>,
}

pub fn handle(
    authorizer: &Authorizer,
    writer: &Arc<MarkerWriter>,
    context: &RequestContext,
    request: WriteTxnMarkersRequest,
) -> Reply<WriteTxnMarkersResponse> {
    let alter = authorizer.authorize::<op::Alter, Cluster>(context, CLUSTER);
    let action = authorizer.authorize::<op::ClusterAction, Cluster>(context, CLUSTER);
    let Ok(authorized) = alter.map(|alter| alter.to_write_markers()).or(action) else {
        let parts = parts_of(request).map(|(_, part)| part);
        let denied = ErrorCode::CLUSTER_AUTHORIZATION_FAILED;
        return Reply::Now(respond(parts.map(|part| Part { code: denied, ..part })));
    };
    Reply::Later(writer.write(authorized.into_owned(), request))
}

/// Writes markers into the partitions that this broker leads; its own coordinator's, too.
pub struct MarkerWriter {
    replicas: Arc<ReplicaManager>,
    groups: Arc<Groups>,
    config: Arc<LiveConfig>,
    clock: Clock,
}

impl MarkerWriter {
    pub fn new(
        replicas: Arc<ReplicaManager>,
        groups: Arc<Groups>,
        config: Arc<LiveConfig>,
        clock: Clock,
    ) -> MarkerWriter {
        MarkerWriter { replicas, groups, config, clock }
    }

    /// Appends the markers in this call; the future waits for replicas and for groups.
    pub fn write(
        self: &Arc<Self>,
        authorized: Authorized<'static, op::ClusterAction, Cluster>,
        request: WriteTxnMarkersRequest,
    ) -> BoxFuture<'static, WriteTxnMarkersResponse> {
        let mut parts: Vec<Part> = parts_of(request)
            .map(|(end, mut part)| {
                match self.append(&authorized, &end, &part) {
                    Ok(appended) => part.pending = Some(appended),
                    Err(code) => part.code = code,
                }
                part
            })
            .collect();
        let countdown = await_replicas(&parts);
        let writer = self.clone();
        Box::pin(async move {
            let timeout_ms = writer.config.load().long("request.timeout.ms");
            let patience = Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0));
            for (part, outcome) in parts.iter_mut().zip(countdown.outcomes(patience).await) {
                if let Some((partition, _)) = part.pending.take() {
                    part.code = produce::ack_code_of(&writer.replicas, &partition, outcome);
                }
            }
            for part in parts.iter_mut().filter(|part| part.topic == OFFSETS_TOPIC) {
                if part.code.is_ok() {
                    part.code = writer.end_in_groups(&authorized, part, patience).await;
                }
            }
            respond(parts)
        })
    }

    fn append(
        &self,
        authorized: &Authorized<'_, op::ClusterAction, Cluster>,
        end: &End,
        part: &Part,
    ) -> Result<(Arc<Partition>, AppendInfo), ErrorCode> {
        let found = self.replicas.find(&part.topic, part.index);
        let partition = found.map_err(|error| match error {
            NotHere::Offline => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            error => not_here(error),
        })?;
        let now_ms = self.clock.now_ms();
        let batch = end
            .marker
            .batch(0, now_ms, -1, part.producer_id, end.producer_epoch)
            .expect("a marker is small");
        let origin = AppendOrigin::Coordinator;
        let terms = AppendTerms { origin, acks_all: true, leader_epoch: None, guard: None };
        let topic = authorized.covers(&part.topic);
        match partition.append(&topic, &batch, terms, now_ms) {
            Ok(info) => {
                if info.rolled || info.flush_due {
                    self.replicas.flush_soon(&partition, &info, origin);
                }
                Ok((partition, info))
            }
            Err(error) => Err(produce::refused(&self.replicas, &partition, &error)),
        }
    }

    /// The group coordinator hears of the marker. One that is just being loaded may have read past
    /// the place where it now stands, so it is told once it is ready; a later leader finds it in
    /// the log.
    async fn end_in_groups(
        &self,
        authorized: &Authorized<'_, op::ClusterAction, Cluster>,
        part: &Part,
        patience: Duration,
    ) -> ErrorCode {
        let told = async {
            loop {
                let Part { producer_id, marker, index, .. } = *part;
                match self.groups.transaction_ended(authorized, index, producer_id, marker).await {
                    Ok(()) | Err(GroupError::NotCoordinator) => return,
                    Err(_) => tokio::time::sleep(LOADING_RETRY).await,
                }
            }
        };
        match tokio::time::timeout(patience, told).await {
            Ok(()) => ErrorCode::NONE,
            Err(_) => ErrorCode::REQUEST_TIMED_OUT,
        }
    }
}

/// What is to be written where.
struct End {
    producer_epoch: i16,
    marker: EndTxnMarker,
}

fn parts_of(request: WriteTxnMarkersRequest) -> impl Iterator<Item = (End, Part)> {
    request.markers.into_iter().flat_map(|marker| {
        let WritableTxnMarker { producer_id, producer_epoch, transaction_result, .. } = marker;
        let coordinator_epoch = marker.coordinator_epoch;
        let partitions = marker.topics.into_iter().flat_map(|topic| {
            let name = topic.name;
            topic.partition_indexes.into_iter().map(move |index| (name.clone(), index))
        });
        // A marker that stood in a partition twice would end a transaction that has begun since.
        let partitions = partitions.collect::<BTreeSet<_>>().into_iter();
        partitions.map(move |(topic, index)| {
            let part = Part {
                producer_id,
                marker: if transaction_result { Marker::Commit } else { Marker::Abort },
                topic,
                index,
                code: ErrorCode::NONE,
                pending: None,
            };
            let marker = EndTxnMarker { committed: transaction_result, coordinator_epoch };
            (End { producer_epoch, marker }, part)
        })
    })
}

fn await_replicas(parts: &[Part]) -> Arc<Countdown<AckOutcome>> {
    let countdown = Countdown::new(parts.len());
    for (at, part) in parts.iter().enumerate() {
        match &part.pending {
            Some((partition, info)) => partition.await_acks(info.last_offset + 1, &countdown, at),
            None => countdown.settle(at, AckOutcome::Replicated),
        }
    }
    countdown
}

/// By producer, topic and partition; of several results for one the last counts, as in Kafka.
fn respond(parts: impl IntoIterator<Item = Part>) -> WriteTxnMarkersResponse {
    let mut results: BTreeMap<ProducerId, BTreeMap<String, BTreeMap<i32, i16>>> = BTreeMap::new();
    for part in parts {
        let topics = results.entry(part.producer_id).or_default();
        topics.entry(part.topic).or_default().insert(part.index, part.code.0);
    }
    let partition = |(partition_index, error_code)| WritableTxnMarkerPartitionResult {
        partition_index,
        error_code,
    };
    let topic = |(name, partitions): (String, BTreeMap<i32, i16>)| WritableTxnMarkerTopicResult {
        name,
        partitions: partitions.into_iter().map(partition).collect(),
    };
    let markers = results
        .into_iter()
        .map(|(producer_id, topics)| WritableTxnMarkerResult {
            producer_id,
            topics: topics.into_iter().map(topic).collect(),
        })
        .collect();
    WriteTxnMarkersResponse { markers }
}

#[cfg(test)]
mod tests {
    use protocol::messages::write_txn_markers::WritableTxnMarkerTopic;

    use super::*;
    use crate::testbed::{Testbed, answer, context, now};

    fn markers(topics: &[(&str, &[i32])]) -> WriteTxnMarkersRequest {
        let topic = |(name, partitions): &(&str, &[i32])| WritableTxnMarkerTopic {
            name: (*name).to_owned(),
            partition_indexes: partitions.to_vec(),
        };
        let marker = WritableTxnMarker {
            producer_id: 5,
            producer_epoch: 0,
            transaction_result: true,
            topics: topics.iter().map(topic).collect(),
            coordinator_epoch: 0,
        };
        WriteTxnMarkersRequest { markers: vec![marker] }
    }

    fn codes(response: &WriteTxnMarkersResponse) -> Vec<(&str, i32, ErrorCode)> {
        let topics = response.markers.iter().flat_map(|marker| &marker.topics);
        let all = topics.flat_map(|topic| {
            let code = |p: &WritableTxnMarkerPartitionResult| ErrorCode(p.error_code);
            topic.partitions.iter().map(move |p| (&*topic.name, p.partition_index, code(p)))
        });
        all.collect()
    }

    #[tokio::test]
    async fn a_partition_has_its_marker_once_and_the_offsets_topic_tells_its_groups() {
        let bed = Testbed::new();
        bed.coordinate_groups().await;
        bed.lead("t", 1);
        bed.place("elsewhere", 1, 2, 0);
        let asked =
            markers(&[("t", &[0, 0]), ("elsewhere", &[0]), ("none", &[0]), (OFFSETS_TOPIC, &[0])]);
        let reply = handle(&bed.authorizer, &bed.marker_writer, &context(1), asked);
        let told = answer(reply).await;
        let expected = [
            (OFFSETS_TOPIC, 0, ErrorCode::NONE),
            ("elsewhere", 0, ErrorCode::NOT_LEADER_OR_FOLLOWER),
            ("none", 0, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
            ("t", 0, ErrorCode::NONE),
        ];
        assert_eq!(codes(&told), expected);
        assert_eq!(bed.log_end("t", 0), 1);
    }

    #[tokio::test]
    async fn whoever_may_alter_the_cluster_may_write_markers_too() {
        let bed = Testbed::new();
        let action = Authorizer::allow_all().but::<op::ClusterAction, Cluster>(CLUSTER);
        let ask = |authorizer: &Authorizer| {
            handle(authorizer, &bed.marker_writer, &context(1), markers(&[("t", &[0])]))
        };
        let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
        assert_eq!(codes(&answer(ask(&action)).await), [("t", 0, unknown)]);
        let neither = action.but::<op::Alter, Cluster>(CLUSTER);
        let denied = ErrorCode::CLUSTER_AUTHORIZATION_FAILED;
        assert_eq!(codes(&now(ask(&neither))), [("t", 0, denied)]);
    }
}
