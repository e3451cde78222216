//! Coordinators: finding one; committed offsets of groups. Knows nothing of membership.

use std::collections::BTreeMap;

use crate::{Connection, Endpoint};
use protocol::error_code::ErrorCode;
use protocol::ids::{BrokerId, Offset, TopicPartition};
use protocol::messages::find_coordinator::FindCoordinatorRequest;
use protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use protocol::messages::offset_fetch::{OffsetFetchRequest, OffsetFetchRequestGroup};
use protocol::wire::Request;

use super::{Cluster, ClusterError, Lane};

/// `FindCoordinatorRequest.key_type`.
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

/// The broker that coordinates a group or a transactional id.
#[derive(Debug, Clone)]
pub struct Coordinator {
    pub id: BrokerId,
    pub endpoint: Endpoint,
    pub connection: Connection,
}

/// Codes that another coordinator, or the same one a little later, does not answer with.
pub(crate) fn is_coordinator_moving(code: ErrorCode) -> bool {
    [
        ErrorCode::COORDINATOR_LOAD_IN_PROGRESS,
        ErrorCode::COORDINATOR_NOT_AVAILABLE,
        ErrorCode::NOT_COORDINATOR,
    ]
    .contains(&code)
}

impl Cluster {
    /// Finds the coordinator of a group, waiting until there is one.
    pub async fn coordinator(&self, group: &str) -> Result<Coordinator, ClusterError> {
        self.coordinator_of(GROUP, group).await
    }

    /// Finds the coordinator of a transactional id, waiting until there is one.
    pub async fn transaction_coordinator(&self, id: &str) -> Result<Coordinator, ClusterError> {
        self.coordinator_of(TRANSACTION, id).await
    }

    async fn coordinator_of(&self, key_type: i8, key: &str) -> Result<Coordinator, ClusterError> {
        let deadline = self.deadline();
        loop {
            let connection = self.any("findCoordinator").await?;
            let request = match connection.version_of::<FindCoordinatorRequest>()? {
                4.. => FindCoordinatorRequest {
                    key_type,
                    coordinator_keys: vec![key.to_owned()],
                    ..Default::default()
                },
                _ => FindCoordinatorRequest { key_type, key: key.to_owned(), ..Default::default() },
            };
            let answer = match connection.call(&request).await {
                Ok(answer) => answer,
                Err(error) if error.retriable() => {
                    self.pause(deadline, error.into()).await?;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let (code, message, id, host, port) = match answer.coordinators.into_iter().next() {
                Some(c) => (c.error_code, c.error_message, c.node_id, c.host, c.port),
                None => {
                    let a = (answer.error_code, answer.error_message, answer.node_id);
                    (a.0, a.1, a.2, answer.host, answer.port)
                }
            };
            match ClusterError::check(code, message.as_ref()) {
                Ok(()) => {
                    let port = u16::try_from(port)
                        .map_err(|_| ClusterError::Unreadable(format!("port {port}")))?;
                    let endpoint = Endpoint::new(host, port);
                    self.learn(id, endpoint.clone());
                    match self.connect(Lane::Group, &endpoint).await {
                        Ok(connection) => return Ok(Coordinator { id, endpoint, connection }),
                        Err(error) => self.pause(deadline, error).await?,
                    }
                }
                Err(error) if error.code().is_some_and(is_coordinator_moving) => {
                    self.pause(deadline, error).await?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Calls a group's coordinator, again while it moves. `code` gives the response's error code.
    pub async fn call_coordinator<R: Request>(
        &self,
        group: &str,
        request: &R,
        code: impl Fn(&R::Response) -> i16,
    ) -> Result<(Coordinator, R::Response), ClusterError> {
        let deadline = self.deadline();
        loop {
            let coordinator = self.coordinator(group).await?;
            match coordinator.connection.call(request).await {
                Ok(response) => {
                    let found = ErrorCode(code(&response));
                    if !is_coordinator_moving(found) {
                        return Ok((coordinator, response));
                    }
                    let error = ClusterError::Code { code: found, message: None };
                    self.pause(deadline, error).await?;
                }
                Err(error) if error.retriable() => self.pause(deadline, error.into()).await?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// All offsets that a group has committed.
    pub async fn committed_offsets(
        &self,
        group: &str,
    ) -> Result<BTreeMap<TopicPartition, Offset>, ClusterError> {
        let coordinator = self.coordinator(group).await?;
        let request = match coordinator.connection.version_of::<OffsetFetchRequest>()? {
            8.. => OffsetFetchRequest {
                groups: vec![OffsetFetchRequestGroup {
                    group_id: group.to_owned(),
                    topics: None,
                    ..Default::default()
                }],
                ..Default::default()
            },
            _ => OffsetFetchRequest {
                group_id: group.to_owned(),
                topics: None,
                ..Default::default()
            },
        };
        let code = |r: &<OffsetFetchRequest as Request>::Response| {
            r.groups.first().map_or(r.error_code, |g| g.error_code)
        };
        let (_, response) = self.call_coordinator(group, &request, code).await?;
        ClusterError::check(code(&response), None)?;
        let mut offsets = BTreeMap::new();
        let mut take = |topic: &str, partition: i32, offset: Offset, code: i16| {
            if code == 0 && offset >= 0 {
                offsets.insert(TopicPartition::new(topic, partition), offset);
            }
        };
        for topic in &response.topics {
            for p in &topic.partitions {
                take(&topic.name, p.partition_index, p.committed_offset, p.error_code);
            }
        }
        for topic in response.groups.iter().flat_map(|g| &g.topics) {
            for p in &topic.partitions {
                take(&topic.name, p.partition_index, p.committed_offset, p.error_code);
            }
        }
        Ok(offsets)
    }

    /// Commits offsets for a group: for a member of a generation, or with generation −1 and no
    /// member for a group that is empty.
    pub async fn commit_offsets(
        &self,
        group: &str,
        generation: i32,
        member_id: &str,
        offsets: &BTreeMap<TopicPartition, Offset>,
    ) -> Result<(), ClusterError> {
        let mut topics: BTreeMap<&str, Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
        for (partition, offset) in offsets {
            topics.entry(&partition.topic).or_default().push(OffsetCommitRequestPartition {
                partition_index: partition.partition,
                committed_offset: *offset,
                committed_metadata: Some(String::new()),
                ..Default::default()
            });
        }
        let topics = topics
            .into_iter()
            .map(|(name, partitions)| OffsetCommitRequestTopic {
                name: name.to_owned(),
                partitions,
            })
            .collect();
        let request = OffsetCommitRequest {
            group_id: group.to_owned(),
            generation_id_or_member_epoch: generation,
            member_id: member_id.to_owned(),
            topics,
            ..Default::default()
        };
        let code = |r: &<OffsetCommitRequest as Request>::Response| {
            let partitions = r.topics.iter().flat_map(|t| &t.partitions);
            partitions.map(|p| p.error_code).find(|code| *code != 0).unwrap_or(0)
        };
        let (_, response) = self.call_coordinator(group, &request, code).await?;
        ClusterError::check(code(&response), None)
    }
}
