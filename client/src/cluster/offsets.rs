//! Offsets by timestamp, asked of each partition's leader. Knows nothing of groups.

use std::collections::BTreeMap;

use protocol::error_code::ErrorCode;
use protocol::ids::{BrokerId, Offset, TimestampMs, TopicPartition};
use protocol::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};

use super::{Cluster, ClusterError};

/// Asks for the log end offset.
pub const LATEST_TIMESTAMP: TimestampMs = -1;
/// Asks for the log start offset.
pub const EARLIEST_TIMESTAMP: TimestampMs = -2;

/// One partition's offset; −1 if nothing fits the timestamp.
pub type OffsetAnswer = Result<Offset, ErrorCode>;

impl Cluster {
    /// One offset per partition: at a timestamp in milliseconds, or one of Kafka's special ones
    /// (−1 latest, −2 earliest, −3 largest timestamp).
    pub async fn list_offsets(
        &self,
        wanted: &BTreeMap<TopicPartition, TimestampMs>,
    ) -> Result<BTreeMap<TopicPartition, OffsetAnswer>, ClusterError> {
        let deadline = self.deadline();
        let mut answers = BTreeMap::new();
        let mut left = wanted.clone();
        loop {
            let partitions: Vec<TopicPartition> = left.keys().cloned().collect();
            let mut by_leader: BTreeMap<BrokerId, Vec<TopicPartition>> = BTreeMap::new();
            for (partition, leader) in self.leaders(&partitions).await? {
                match leader {
                    Ok(id) => by_leader.entry(id).or_default().push(partition),
                    Err(code) => {
                        left.remove(&partition);
                        answers.insert(partition, Err(code));
                    }
                }
            }
            let mut last = ClusterError::from_code(ErrorCode::NONE);
            for (leader, partitions) in by_leader {
                let asked = match self.ask(leader, &partitions, &left).await {
                    Ok(asked) => asked,
                    Err(error) if error.may_pass() => {
                        last = error;
                        continue;
                    }
                    Err(error) => return Err(error),
                };
                for (partition, answer) in asked {
                    match answer {
                        Err(code) if code.retriable() => last = ClusterError::from_code(code),
                        answer => {
                            left.remove(&partition);
                            answers.insert(partition, answer);
                        }
                    }
                }
            }
            if left.is_empty() {
                return Ok(answers);
            }
            self.pause(deadline, last).await?;
        }
    }

    async fn ask(
        &self,
        leader: BrokerId,
        partitions: &[TopicPartition],
        timestamps: &BTreeMap<TopicPartition, TimestampMs>,
    ) -> Result<Vec<(TopicPartition, OffsetAnswer)>, ClusterError> {
        let mut topics: BTreeMap<&str, Vec<ListOffsetsPartition>> = BTreeMap::new();
        for partition in partitions {
            topics.entry(&partition.topic).or_default().push(ListOffsetsPartition {
                partition_index: partition.partition,
                timestamp: timestamps[partition],
                ..Default::default()
            });
        }
        let topics = topics
            .into_iter()
            .map(|(name, partitions)| ListOffsetsTopic { name: name.to_owned(), partitions })
            .collect();
        let request = ListOffsetsRequest { replica_id: -1, topics, ..Default::default() };
        let response = self.broker(leader).await?.call(&request).await?;
        let mut answers = Vec::new();
        for topic in response.topics {
            for p in topic.partitions {
                let answer = match ErrorCode(p.error_code) {
                    ErrorCode::NONE => Ok(p.old_style_offsets.first().copied().unwrap_or(p.offset)),
                    code => Err(code),
                };
                answers.push((TopicPartition::new(topic.name.clone(), p.partition_index), answer));
            }
        }
        Ok(answers)
    }
}
