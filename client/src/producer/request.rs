//! What a producer asks of brokers: leaders, an identity, to take batches. Knows nothing of what
//! waits, and tries nothing twice.

use std::sync::Arc;

use bytes::Bytes;
use protocol::error_code::ErrorCode;
use protocol::ids::{BrokerId, Offset, ProducerEpoch, ProducerId};
use protocol::messages::init_producer_id::InitProducerIdRequest;
use protocol::messages::metadata::MetadataRequest;
use protocol::messages::produce::{PartitionProduceData, ProduceRequest, ProduceResponse};

use crate::Connection;
use crate::cluster::{Cluster, ClusterError, RETRY_BACKOFF};
use crate::leaders::Leaders;

/// What a leader says of one batch.
pub struct Answer {
    pub partition: i32,
    pub code: ErrorCode,
    pub message: Option<String>,
    pub base_offset: Offset,
}

/// What came of something that was asked.
pub enum Event {
    Leaders(Result<Leaders, ClusterError>),
    Identity(Result<(ProducerId, ProducerEpoch), ClusterError>),
    /// There is a connection to this leader, or none was to be had.
    Connected(BrokerId, Result<(), ClusterError>),
    /// These partitions are part of the transaction now.
    Added(Vec<i32>, Result<(), ClusterError>),
    /// Batches by partition and number.
    Answered {
        leader: BrokerId,
        sent: Vec<(i32, u64)>,
        answer: Result<Vec<Answer>, ClusterError>,
    },
}

pub fn produce_data((index, records): (i32, Bytes)) -> PartitionProduceData {
    PartitionProduceData { index, records: Some(records.into()) }
}

/// After a pause if the last answer did not help.
pub async fn ask_leaders(cluster: Arc<Cluster>, topic: String, pause: bool) -> Event {
    if pause {
        tokio::time::sleep(RETRY_BACKOFF).await;
    }
    let asked = async {
        let metadata = cluster.metadata(Some(&[topic])).await?;
        let topic = metadata.topics.into_iter().next().unwrap_or_default();
        ClusterError::check(topic.error_code, None)?;
        Ok(Leaders::of(&topic))
    };
    Event::Leaders(asked.await)
}

/// An identity without transactions.
pub async fn ask_identity(cluster: Arc<Cluster>) -> Event {
    let asked = async {
        let request = InitProducerIdRequest {
            transactional_id: None,
            transaction_timeout_ms: i32::MAX,
            ..Default::default()
        };
        let response = cluster.call_any("initProducerId", &request).await?;
        ClusterError::check(response.error_code, None)?;
        Ok((response.producer_id, response.producer_epoch))
    };
    let asked = asked.await;
    if asked.is_err() {
        tokio::time::sleep(RETRY_BACKOFF).await;
    }
    Event::Identity(asked)
}

/// A connection to a leader, in which batches keep their order: each is sent over one that is open.
pub async fn connect(cluster: Arc<Cluster>, leader: BrokerId) -> Event {
    let connected = cluster.broker(leader).await;
    // Whoever asks in vain asks again, but not at once.
    if connected.is_err() {
        tokio::time::sleep(RETRY_BACKOFF).await;
    }
    Event::Connected(leader, connected.map(drop))
}

/// Sends batches to their leader.
pub async fn produce(
    connection: Connection,
    leader: BrokerId,
    request: ProduceRequest,
    sent: Vec<(i32, u64)>,
) -> Event {
    let called = async {
        if request.acks == 0 {
            connection.send(&request).await?;
            // Nobody answers that; this answer says that it went out.
            let nothing = MetadataRequest { topics: Some(Vec::new()), ..Default::default() };
            connection.call(&nothing).await?;
            let written = |(partition, _): &(i32, u64)| Answer {
                partition: *partition,
                code: ErrorCode::NONE,
                message: None,
                base_offset: -1,
            };
            return Ok(sent.iter().map(written).collect());
        }
        let response: ProduceResponse = connection.call(&request).await?;
        let answers = response.responses.into_iter().flat_map(|t| t.partition_responses);
        let answers = answers.map(|p| Answer {
            partition: p.index,
            code: ErrorCode(p.error_code),
            message: p.error_message,
            base_offset: p.base_offset,
        });
        Ok(answers.collect())
    };
    let answer = called.await;
    Event::Answered { leader, sent, answer }
}
