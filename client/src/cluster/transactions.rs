//! What administrators ask about transactions: their coordinators, and the partitions they are in.
//! Knows nothing of output.

use std::collections::BTreeMap;

use protocol::error_code::ErrorCode;
use protocol::ids::{BrokerId, ProducerEpoch, ProducerId, TopicPartition};
use protocol::messages::describe_producers::{
    DescribeProducersRequest, PartitionResponse, ProducerState, TopicRequest,
};
use protocol::messages::describe_transactions::{DescribeTransactionsRequest, TransactionState};
use protocol::messages::list_transactions::{self, ListTransactionsRequest};
use protocol::messages::write_txn_markers::{
    WritableTxnMarker, WritableTxnMarkerTopic, WriteTxnMarkersRequest,
};

use super::group::is_coordinator_moving;
use super::{Cluster, ClusterError};

/// The end of one producer's transaction in one partition, by an administrator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
    pub partition: TopicPartition,
    pub producer_id: ProducerId,
    pub producer_epoch: ProducerEpoch,
    pub coordinator_epoch: i32,
}

impl Cluster {
    /// A transactional id's coordinator, and what that says of it.
    pub async fn describe_transaction(
        &self,
        id: &str,
    ) -> Result<(BrokerId, TransactionState), ClusterError> {
        let deadline = self.deadline();
        let request = DescribeTransactionsRequest { transactional_ids: vec![id.to_owned()] };
        loop {
            let coordinator = self.transaction_coordinator(id).await?;
            let failed: ClusterError = match coordinator.connection.call(&request).await {
                Ok(mut response) => {
                    let found = response.transaction_states.pop();
                    let found = found.ok_or_else(|| {
                        ClusterError::Unreadable(format!("an answer without {id}"))
                    })?;
                    match ClusterError::check(found.error_code, None) {
                        Ok(()) => return Ok((coordinator.id, found)),
                        Err(error) if error.code().is_some_and(is_coordinator_moving) => error,
                        Err(error) => return Err(error),
                    }
                }
                Err(error) if error.retriable() => error.into(),
                Err(error) => return Err(error.into()),
            };
            self.pause(deadline, failed).await?;
        }
    }

    /// The transactional ids of every broker. `producer_ids`: of these alone, unless there are
    /// none; `duration_ms`: with transactions open for longer, unless it is negative.
    pub async fn list_transactions(
        &self,
        producer_ids: &[ProducerId],
        duration_ms: i64,
    ) -> Result<BTreeMap<BrokerId, Vec<list_transactions::TransactionState>>, ClusterError> {
        let request = ListTransactionsRequest {
            state_filters: Vec::new(),
            producer_id_filters: producer_ids.to_vec(),
            duration_filter: duration_ms,
        };
        let deadline = self.deadline();
        let brokers = self.metadata(Some(&[])).await?.brokers;
        let mut all = BTreeMap::new();
        for broker in brokers {
            let listed = loop {
                let response = self.broker(broker.node_id).await?.call(&request).await?;
                match ClusterError::check(response.error_code, None) {
                    Ok(()) => break response.transaction_states,
                    Err(error) if error.code().is_some_and(is_coordinator_moving) => {
                        self.pause(deadline, error).await?;
                    }
                    Err(error) => return Err(error),
                }
            };
            all.insert(broker.node_id, listed);
        }
        Ok(all)
    }

    /// The producers that partitions know: as their leaders tell, or as one replica does.
    pub async fn describe_producers(
        &self,
        partitions: &[TopicPartition],
        replica: Option<BrokerId>,
    ) -> Result<BTreeMap<TopicPartition, Vec<ProducerState>>, ClusterError> {
        let deadline = self.deadline();
        loop {
            match self.producers_now(partitions, replica).await {
                Err(error)
                    if replica.is_none()
                        && error.code() == Some(ErrorCode::NOT_LEADER_OR_FOLLOWER) =>
                {
                    self.pause(deadline, error).await?;
                }
                result => return result,
            }
        }
    }

    async fn producers_now(
        &self,
        partitions: &[TopicPartition],
        replica: Option<BrokerId>,
    ) -> Result<BTreeMap<TopicPartition, Vec<ProducerState>>, ClusterError> {
        let mut by_broker: BTreeMap<BrokerId, BTreeMap<String, Vec<i32>>> = BTreeMap::new();
        for (partition, leader) in self.leaders(partitions).await? {
            let leader = leader.map_err(ClusterError::from_code)?;
            let topics = by_broker.entry(replica.unwrap_or(leader)).or_default();
            topics.entry(partition.topic).or_default().push(partition.partition);
        }
        let mut found = BTreeMap::new();
        for (broker, topics) in by_broker {
            let topics = topics
                .into_iter()
                .map(|(name, partition_indexes)| TopicRequest { name, partition_indexes })
                .collect();
            let request = DescribeProducersRequest { topics };
            let response = self.broker(broker).await?.call(&request).await?;
            for topic in response.topics {
                for PartitionResponse {
                    partition_index,
                    error_code,
                    error_message,
                    active_producers,
                } in topic.partitions
                {
                    ClusterError::check(error_code, error_message.as_ref())?;
                    let name = TopicPartition::new(topic.name.clone(), partition_index);
                    found.insert(name, active_producers);
                }
            }
        }
        Ok(found)
    }

    /// Has a partition's leader write the marker of an aborted transaction.
    pub async fn abort_transaction(&self, marker: &Marker) -> Result<(), ClusterError> {
        let topic = WritableTxnMarkerTopic {
            name: marker.partition.topic.clone(),
            partition_indexes: vec![marker.partition.partition],
        };
        let request = WriteTxnMarkersRequest {
            markers: vec![WritableTxnMarker {
                producer_id: marker.producer_id,
                producer_epoch: marker.producer_epoch,
                transaction_result: false,
                topics: vec![topic],
                coordinator_epoch: marker.coordinator_epoch,
            }],
        };
        let deadline = self.deadline();
        loop {
            let partitions = std::slice::from_ref(&marker.partition);
            let leader = self.leaders(partitions).await?.remove(&marker.partition);
            let leader = leader.unwrap_or(Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
            let leader = leader.map_err(ClusterError::from_code)?;
            let response = self.broker(leader).await?.call(&request).await?;
            let topics = response.markers.iter().flat_map(|marker| &marker.topics);
            let result = topics.flat_map(|topic| &topic.partitions).next();
            let code = result.map_or(ErrorCode::UNKNOWN_SERVER_ERROR.0, |result| result.error_code);
            match ClusterError::check(code, None) {
                Err(error) if error.code() == Some(ErrorCode::NOT_LEADER_OR_FOLLOWER) => {
                    self.pause(deadline, error).await?;
                }
                result => return result,
            }
        }
    }
}
