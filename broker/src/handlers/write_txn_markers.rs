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

use super::produce;
use crate::authorizer::{Authorized, CLUSTER, Cluster, op};
use crate::broker::Broker;
use crate::delayed::offset::Countdown;
use crate::replication::partition::{AckOutcome, Partition};
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
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: WriteTxnMarkersRequest,
) -> Reply<WriteTxnMarkersResponse> {
    let authorizer = &broker.authorizer;
    let alter = authorizer.authorize::<op::Alter, Cluster>(context, CLUSTER);
    let action = authorizer.authorize::<op::ClusterAction, Cluster>(context, CLUSTER);
    let Ok(authorized) = alter.map(|alter| alter.to_write_markers()).or(action) else {
        let parts = parts_of(request).map(|(_, part)| part);
        let denied = ErrorCode::CLUSTER_AUTHORIZATION_FAILED;
        return Reply::Now(respond(parts.map(|part| Part { code: denied, ..part })));
    };
    Reply::Later(write(broker, authorized, request))
}

/// Appends the markers in this call; the future waits for replicas and for groups.
pub fn write(
    broker: &Arc<Broker>,
    authorized: Authorized<'static, op::ClusterAction, Cluster>,
    request: WriteTxnMarkersRequest,
) -> BoxFuture<'static, WriteTxnMarkersResponse> {
    let mut parts: Vec<Part> = parts_of(request)
        .map(|(end, mut part)| {
            append(broker, &authorized, &end, &mut part);
            part
        })
        .collect();
    let countdown = await_replicas(&parts);
    let broker = broker.clone();
    Box::pin(async move {
        let timeout_ms = broker.config.load().long("request.timeout.ms");
        let patience = Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0));
        for (part, outcome) in parts.iter_mut().zip(countdown.outcomes(patience).await) {
            if let Some((partition, _)) = part.pending.take() {
                part.code = produce::ack_code_of(&broker, &partition, outcome);
            }
        }
        for part in parts.iter_mut().filter(|part| part.topic == OFFSETS_TOPIC) {
            if part.code.is_ok() {
                part.code = end_in_groups(&broker, &authorized, part, patience).await;
            }
        }
        respond(parts)
    })
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

fn append(
    broker: &Broker,
    _: &Authorized<'_, op::ClusterAction, Cluster>,
    end: &End,
    part: &mut Part,
) {
    let partition = match broker.replicas.find(&part.topic, part.index) {
        Ok(partition) => partition,
        Err(ErrorCode::KAFKA_STORAGE_ERROR) => {
            part.code = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
            return;
        }
        Err(code) => {
            part.code = code;
            return;
        }
    };
    let now_ms = broker.clock.now_ms();
    let batch = end
        .marker
        .batch(0, now_ms, -1, part.producer_id, end.producer_epoch)
        .expect("a marker is small");
    let origin = AppendOrigin::Coordinator;
    match partition.append(&batch, origin, true, None, None, now_ms) {
        Ok(info) => {
            if info.rolled || info.flush_due {
                broker.replicas.flush_soon(&partition, &info, origin);
            }
            part.pending = Some((partition, info));
        }
        Err(error) => part.code = produce::refused(broker, &partition, &error),
    }
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

/// The group coordinator hears of the marker. One that is just being loaded may have read past the
/// place where it now stands, so it is told once it is ready; a later leader finds it in the log.
async fn end_in_groups(
    broker: &Broker,
    authorized: &Authorized<'_, op::ClusterAction, Cluster>,
    part: &Part,
    patience: Duration,
) -> ErrorCode {
    let told = async {
        loop {
            let Part { producer_id, marker, index, .. } = *part;
            match broker.groups.transaction_ended(authorized, index, producer_id, marker).await {
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
