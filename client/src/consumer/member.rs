//! Membership in a consumer group, classic protocol. Knows nothing of fetching.

use std::collections::BTreeMap;

use crate::CallError;
use bytes::Bytes;
use protocol::error_code::ErrorCode;
use protocol::ids::TopicPartition;
use protocol::messages::consumer_protocol::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, TopicPartition as AssignedTopic,
};
use protocol::messages::heartbeat::HeartbeatRequest;
use protocol::messages::join_group::{
    JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse,
};
use protocol::messages::leave_group::{LeaveGroupRequest, MemberIdentity};
use protocol::messages::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};
use protocol::wire::Message;

use super::Assignor;
use crate::cluster::{Cluster, ClusterError};

const PROTOCOL_TYPE: &str = "consumer";
/// The version that knows owned partitions; these assignors need none later.
const SUBSCRIPTION_VERSION: i16 = 1;
const ASSIGNMENT_VERSION: i16 = 1;

/// Timeouts of the group protocol, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    pub session_ms: i32,
    pub rebalance_ms: i32,
    pub heartbeat_ms: u64,
}

pub struct Member {
    pub group: String,
    timeouts: Timeouts,
    assignor: Assignor,
    /// `group.instance.id`: a static member, which the group keeps when it goes.
    instance: Option<String>,
    pub member_id: String,
    /// −1 while not in the group.
    pub generation: i32,
    pub is_leader: bool,
}

impl Member {
    pub fn new(
        group: String,
        timeouts: Timeouts,
        assignor: Assignor,
        instance: Option<String>,
    ) -> Member {
        let (member_id, generation, is_leader) = (String::new(), -1, false);
        Member { group, timeouts, assignor, instance, member_id, generation, is_leader }
    }

    pub fn is_joined(&self) -> bool {
        self.generation >= 0
    }

    /// Forgets what the coordinator no longer knows; the next `join` begins anew.
    fn forget(&mut self, code: ErrorCode) {
        self.generation = -1;
        if code == ErrorCode::UNKNOWN_MEMBER_ID {
            self.member_id.clear();
        }
    }

    /// Joins, until the group is settled; gives this member's partitions.
    pub async fn join(
        &mut self,
        cluster: &Cluster,
        topics: &[String],
    ) -> Result<Vec<TopicPartition>, ClusterError> {
        let deadline = cluster.deadline();
        loop {
            match self.try_join(cluster, topics).await {
                Ok(partitions) => return Ok(partitions),
                Err(error) => match error.code() {
                    Some(ErrorCode::MEMBER_ID_REQUIRED) => {}
                    Some(
                        code @ (ErrorCode::REBALANCE_IN_PROGRESS
                        | ErrorCode::UNKNOWN_MEMBER_ID
                        | ErrorCode::ILLEGAL_GENERATION),
                    ) => self.forget(code),
                    Some(code) if code.retriable() => cluster.pause(deadline, error).await?,
                    None if matches!(&error, ClusterError::Call(e) if e.retriable()) => {
                        cluster.pause(deadline, error).await?;
                    }
                    _ => return Err(error),
                },
            }
        }
    }

    async fn try_join(
        &mut self,
        cluster: &Cluster,
        topics: &[String],
    ) -> Result<Vec<TopicPartition>, ClusterError> {
        let subscription =
            ConsumerProtocolSubscription { topics: topics.to_vec(), ..Default::default() };
        let metadata =
            subscription.encode_versioned(SUBSCRIPTION_VERSION).map_err(CallError::Encode)?;
        let request = JoinGroupRequest {
            group_id: self.group.clone(),
            session_timeout_ms: self.timeouts.session_ms,
            rebalance_timeout_ms: self.timeouts.rebalance_ms,
            member_id: self.member_id.clone(),
            group_instance_id: self.instance.clone(),
            protocol_type: PROTOCOL_TYPE.to_owned(),
            protocols: vec![JoinGroupRequestProtocol {
                name: self.assignor.name().to_owned(),
                metadata,
            }],
            ..Default::default()
        };
        let (coordinator, joined) =
            cluster.call_coordinator(&self.group, &request, |r| r.error_code).await?;
        if !joined.member_id.is_empty() {
            self.member_id = joined.member_id.clone();
        }
        ClusterError::check(joined.error_code, None)?;
        self.is_leader = joined.leader == joined.member_id;
        let assignments = match self.is_leader {
            true => self.assign(cluster, &joined).await?,
            false => Vec::new(),
        };
        let request = SyncGroupRequest {
            group_id: self.group.clone(),
            generation_id: joined.generation_id,
            member_id: self.member_id.clone(),
            protocol_type: Some(PROTOCOL_TYPE.to_owned()),
            protocol_name: Some(self.assignor.name().to_owned()),
            assignments,
            ..Default::default()
        };
        let synced = coordinator.connection.call(&request).await?;
        ClusterError::check(synced.error_code, None)?;
        self.generation = joined.generation_id;
        if synced.assignment.is_empty() {
            return Ok(Vec::new());
        }
        let (_, assignment) = ConsumerProtocolAssignment::decode_versioned(synced.assignment)
            .map_err(CallError::Decode)?;
        let partitions = assignment.assigned_partitions.into_iter().flat_map(|t| {
            t.partitions.into_iter().map(move |p| TopicPartition::new(t.topic.clone(), p))
        });
        Ok(partitions.collect())
    }

    /// The leader shares out the partitions of every topic that a member wants.
    async fn assign(
        &self,
        cluster: &Cluster,
        joined: &JoinGroupResponse,
    ) -> Result<Vec<SyncGroupRequestAssignment>, ClusterError> {
        let mut subscriptions = BTreeMap::new();
        let mut names = Vec::new();
        for member in &joined.members {
            let (_, wanted) =
                ConsumerProtocolSubscription::decode_versioned(member.metadata.clone())
                    .map_err(CallError::Decode)?;
            names.extend(wanted.topics.iter().cloned());
            subscriptions.insert(member.member_id.clone(), wanted.topics);
        }
        names.sort();
        names.dedup();
        let metadata = cluster.metadata(Some(&names)).await?;
        let counts = metadata
            .topics
            .into_iter()
            .filter_map(|t| Some((t.name?, t.partitions.len() as i32)))
            .collect();
        let mut all = Vec::new();
        for (member_id, share) in self.assignor.assign(&subscriptions, &counts) {
            all.push(SyncGroupRequestAssignment { member_id, assignment: encode(share)? });
        }
        Ok(all)
    }

    /// Tells the coordinator that this member lives; false if it has to join again.
    pub async fn heartbeat(&mut self, cluster: &Cluster) -> Result<bool, ClusterError> {
        let request = HeartbeatRequest {
            group_id: self.group.clone(),
            generation_id: self.generation,
            member_id: self.member_id.clone(),
            ..Default::default()
        };
        let (_, response) =
            cluster.call_coordinator(&self.group, &request, |r| r.error_code).await?;
        match ErrorCode(response.error_code) {
            ErrorCode::NONE => Ok(true),
            code @ (ErrorCode::REBALANCE_IN_PROGRESS
            | ErrorCode::UNKNOWN_MEMBER_ID
            | ErrorCode::ILLEGAL_GENERATION) => {
                if code != ErrorCode::REBALANCE_IN_PROGRESS {
                    self.forget(code);
                }
                Ok(false)
            }
            code => Err(ClusterError::Code { code, message: None }),
        }
    }

    /// Leaves, so that the others need not wait for the session timeout. Its failure changes
    /// nothing.
    pub async fn leave(&mut self, cluster: &Cluster) {
        if self.member_id.is_empty() || self.instance.is_some() {
            return;
        }
        let Ok(coordinator) = cluster.coordinator(&self.group).await else { return };
        let connection = coordinator.connection;
        let mut request = LeaveGroupRequest { group_id: self.group.clone(), ..Default::default() };
        if connection.version_of::<LeaveGroupRequest>().is_ok_and(|version| version >= 3) {
            let member_id = self.member_id.clone();
            request.members = vec![MemberIdentity { member_id, ..Default::default() }];
        } else {
            request.member_id = self.member_id.clone();
        }
        let _ = connection.call(&request).await;
        self.generation = -1;
    }
}

fn encode(share: Vec<TopicPartition>) -> Result<Bytes, CallError> {
    let mut topics: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    for partition in share {
        topics.entry(partition.topic).or_default().push(partition.partition);
    }
    let assigned_partitions =
        topics.into_iter().map(|(topic, partitions)| AssignedTopic { topic, partitions }).collect();
    let assignment = ConsumerProtocolAssignment { assigned_partitions, user_data: None };
    assignment.encode_versioned(ASSIGNMENT_VERSION).map_err(CallError::Encode)
}
