//! The group coordinator of one broker: finds the shard of a group and asks it. Knows no sockets,
//! no wire versions and no error codes.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use protocol::ids::{LeaderEpoch, TopicPartition};

use super::consumer::topics::Topics;
use super::request::{
    Answer, Caller, CommitAnswer, CommitRequest, ConsumerAnswer, ConsumerDescription,
    ConsumerHeartbeat, FetchRequest, FetchedOffset, GroupDescription, GroupListing, JoinAnswer,
    JoinRequest, LeaveAnswer, LeavingMember, Refusal, Request, SyncAnswer, SyncRequest,
};
use super::{GroupConfig, GroupError, GroupShard};
use crate::shard::Marker;
use crate::shard::directory::{NotHere, ShardDirectory, Spawn};
use crate::shard::run::{Environment, Outbox};

/// The topic that groups and offsets are stored in.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// Kafka's `String.hashCode`, over UTF-16 code units.
pub fn java_hash(text: &str) -> i32 {
    text.encode_utf16()
        .fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

/// The partition of a coordinator's topic that a group id or transactional id belongs to.
pub fn partition_for(id: &str, partition_count: i32) -> i32 {
    let hash = java_hash(id);
    // Kafka's abs: the one number without a positive counterpart becomes 0.
    let hash = if hash == i32::MIN { 0 } else { hash.abs() };
    hash % partition_count.max(1)
}

/// Answers group requests, each from the one shard that holds its group. A request is handed to the
/// shard in the call, so requests keep the order of the calls; only the answer is awaited.
pub struct GroupService {
    directory: ShardDirectory<GroupShard>,
    partition_count: AtomicI32,
}

impl GroupService {
    /// `partition_count`: of the offsets topic if it exists, else what it will be created with.
    pub fn new(
        config: GroupConfig,
        environment: Environment,
        spawn: Spawn,
        partition_count: i32,
    ) -> GroupService {
        let new_shard = move || GroupShard::new(config.clone());
        let nothing = |_, _, never| match never {};
        let outbox: Outbox<Infallible> = Arc::new(nothing);
        GroupService {
            directory: ShardDirectory::new(OFFSETS_TOPIC, environment, spawn, new_shard, outbox),
            partition_count: AtomicI32::new(partition_count),
        }
    }

    /// The topic turned out to have another number of partitions. Only before the first election:
    /// groups do not move.
    pub fn set_partition_count(&self, partition_count: i32) {
        self.partition_count.store(partition_count, Ordering::Release);
    }

    pub fn partition_count(&self) -> i32 {
        self.partition_count.load(Ordering::Acquire)
    }

    pub fn partition_for(&self, group_id: &str) -> i32 {
        partition_for(group_id, self.partition_count())
    }

    /// This broker leads the partition of the offsets topic from now on.
    pub fn elected(&self, partition: i32, leader_epoch: LeaderEpoch) {
        self.directory.elected(partition, leader_epoch);
    }

    /// It does not lead it any more; `None` if the partition went without an epoch.
    pub fn resigned(&self, partition: i32, leader_epoch: Option<LeaderEpoch>) {
        self.directory.resigned(partition, leader_epoch);
    }

    /// Ends all shards; every later request finds the coordinator not available.
    pub fn stop(&self) {
        self.directory.stop();
    }

    /// With the topics that there are: the group may have members of the new protocol.
    pub fn join(
        &self,
        group_id: &str,
        join: JoinRequest,
        topics: Topics,
    ) -> impl Future<Output = JoinAnswer> + Send + use<> {
        let member_id = join.member_id.clone();
        let request = Request::Join { group: group_id.to_owned(), join, topics };
        let answer = self.ask(group_id, false, request);
        async move {
            match answer.await {
                Ok(Answer::Join(answer)) => answer,
                other => JoinAnswer::refused(&member_id, refusal(other)),
            }
        }
    }

    pub fn sync(
        &self,
        group_id: &str,
        sync: SyncRequest,
    ) -> impl Future<Output = SyncAnswer> + Send + use<> {
        let answer = self.ask(group_id, false, Request::Sync { group: group_id.to_owned(), sync });
        async move {
            match answer.await {
                Ok(Answer::Sync(answer)) => answer,
                // The rebalance the member is in was lost with the old coordinator: it must join
                // again, and old clients do not expect the loading error here.
                Err(GroupError::CoordinatorLoadInProgress) => {
                    SyncAnswer::refused(GroupError::RebalanceInProgress)
                }
                other => SyncAnswer::refused(refusal(other)),
            }
        }
    }

    pub fn heartbeat(
        &self,
        group_id: &str,
        caller: Caller,
    ) -> impl Future<Output = Result<(), GroupError>> + Send + use<> {
        let answer =
            self.ask(group_id, false, Request::Heartbeat { group: group_id.to_owned(), caller });
        async move {
            match answer.await {
                Ok(Answer::Heartbeat(result)) => result,
                // Nobody's session runs yet.
                Err(GroupError::CoordinatorLoadInProgress) => Ok(()),
                other => Err(refusal(other)),
            }
        }
    }

    pub fn leave(
        &self,
        group_id: &str,
        members: Vec<LeavingMember>,
    ) -> impl Future<Output = LeaveAnswer> + Send + use<> {
        let answer =
            self.ask(group_id, false, Request::Leave { group: group_id.to_owned(), members });
        async move {
            match answer.await {
                Ok(Answer::Leave(answer)) => answer,
                other => LeaveAnswer { error: Some(refusal(other)), members: Vec::new() },
            }
        }
    }

    /// The partitions must exist: what is stored for others would never go.
    pub fn commit(
        &self,
        group_id: &str,
        commit: CommitRequest,
    ) -> impl Future<Output = CommitAnswer> + Send + use<> {
        let partitions: Vec<TopicPartition> =
            commit.offsets.iter().map(|(partition, _)| partition.clone()).collect();
        // Only old clients of their own accord commit under an empty id.
        let empty_id_allowed = commit.producer.is_none();
        let request = Request::Commit { group: group_id.to_owned(), commit };
        let answer = self.ask(group_id, empty_id_allowed, request);
        async move {
            match answer.await {
                Ok(Answer::Commit(results)) => results,
                other => {
                    let error = refusal(other);
                    partitions.into_iter().map(|partition| (partition, Some(error))).collect()
                }
            }
        }
    }

    pub fn fetch_offsets(
        &self,
        group_id: &str,
        fetch: FetchRequest,
    ) -> impl Future<Output = Result<Vec<FetchedOffset>, GroupError>> + Send + use<> {
        let group = group_id.to_owned();
        let answer = self.ask(group_id, true, Request::Fetch { group, fetch });
        async move {
            match answer.await {
                Ok(Answer::Fetch(offsets)) => offsets,
                other => Err(refusal(other)),
            }
        }
    }

    pub fn describe(
        &self,
        group_id: &str,
    ) -> impl Future<Output = Result<GroupDescription, GroupError>> + Send + use<> {
        let answer = self.ask(group_id, true, Request::Describe { group: group_id.to_owned() });
        async move {
            match answer.await {
                Ok(Answer::Describe(description)) => Ok(description),
                other => Err(refusal(other)),
            }
        }
    }

    /// A heartbeat of the new protocol, with the topics that there are.
    pub fn consumer_heartbeat(
        &self,
        group_id: &str,
        heartbeat: ConsumerHeartbeat,
        topics: Topics,
    ) -> impl Future<Output = Result<ConsumerAnswer, Refusal>> + Send + use<> {
        let group = group_id.to_owned();
        let request = Request::ConsumerHeartbeat { group, heartbeat, topics };
        let answer = self.ask(group_id, false, request);
        async move {
            match answer.await {
                Ok(Answer::ConsumerHeartbeat(result)) => result,
                other => Err(refusal(other).into()),
            }
        }
    }

    /// `None`: there is no such group of the new protocol.
    pub fn describe_consumer(
        &self,
        group_id: &str,
        topics: Topics,
    ) -> impl Future<Output = Result<Option<ConsumerDescription>, GroupError>> + Send + use<> {
        let group = group_id.to_owned();
        let answer = self.ask(group_id, false, Request::DescribeConsumer { group, topics });
        async move {
            match answer.await {
                Ok(Answer::DescribeConsumer(description)) => Ok(description),
                other => Err(refusal(other)),
            }
        }
    }

    /// All groups of this broker, and whether some are still being loaded.
    pub fn list(
        &self,
    ) -> impl Future<Output = Result<(Vec<GroupListing>, bool), GroupError>> + Send + use<> {
        let asked = self.directory.ask_all(|| Request::List);
        async move {
            let (answers, loading) = asked.map_err(not_here)?;
            let mut groups = Vec::new();
            for answer in answers {
                // A shard that went meanwhile has no groups here.
                if let Ok(Answer::List(more)) = answer.await {
                    groups.extend(more);
                }
            }
            Ok((groups, loading))
        }
    }

    pub fn delete(
        &self,
        group_id: &str,
    ) -> impl Future<Output = Result<(), GroupError>> + Send + use<> {
        let answer = self.ask(group_id, true, Request::Delete { group: group_id.to_owned() });
        async move {
            match answer.await {
                Ok(Answer::Delete(result)) => result,
                other => Err(refusal(other)),
            }
        }
    }

    pub fn delete_offsets(
        &self,
        group_id: &str,
        partitions: Vec<TopicPartition>,
    ) -> impl Future<Output = Result<CommitAnswer, GroupError>> + Send + use<> {
        let request = Request::DeleteOffsets { group: group_id.to_owned(), partitions };
        let answer = self.ask(group_id, false, request);
        async move {
            match answer.await {
                Ok(Answer::DeleteOffsets(result)) => result,
                other => Err(refusal(other)),
            }
        }
    }

    /// These partitions were deleted: every group of this broker forgets their offsets.
    pub fn partitions_deleted(
        &self,
        partitions: Vec<TopicPartition>,
    ) -> impl Future<Output = ()> + Send + use<> {
        let request = || Request::PartitionsDeleted { partitions: partitions.clone() };
        let asked = self.directory.ask_all(request);
        async move {
            for answer in asked.map(|(answers, _)| answers).unwrap_or_default() {
                let _ = answer.await;
            }
        }
    }

    /// A transaction marker was written into this partition of the offsets topic.
    pub fn transaction_ended(
        &self,
        partition: i32,
        producer_id: i64,
        marker: Marker,
    ) -> impl Future<Output = Result<(), GroupError>> + Send + use<> {
        let request = Request::TransactionEnded { producer_id, marker };
        let asked = self.directory.ask(partition, request);
        async move {
            asked.map_err(not_here)?.await.map_err(|_| GroupError::NotCoordinator)?;
            Ok(())
        }
    }

    /// Whether this broker coordinates the group now; what a commit in a transaction asks first.
    pub fn check(&self, group_id: &str) -> Result<(), GroupError> {
        if group_id.is_empty() {
            return Err(GroupError::InvalidGroupId);
        }
        self.directory.check(self.partition_for(group_id)).map_err(not_here)
    }

    /// An empty id is nobody's group, but old clients committed offsets under it, and those can
    /// still be read, seen and deleted.
    fn ask(
        &self,
        group_id: &str,
        empty_id_allowed: bool,
        request: Request,
    ) -> impl Future<Output = Result<Answer, GroupError>> + Send + use<> {
        let asked = if group_id.is_empty() && !empty_id_allowed {
            Err(GroupError::InvalidGroupId)
        } else {
            let partition = self.partition_for(group_id);
            self.directory.ask(partition, request).map_err(not_here)
        };
        async move { asked?.await.map_err(|_| GroupError::NotCoordinator) }
    }
}

fn not_here(reason: NotHere) -> GroupError {
    match reason {
        NotHere::Stopped | NotHere::Busy => GroupError::CoordinatorNotAvailable,
        NotHere::Loading => GroupError::CoordinatorLoadInProgress,
        NotHere::NotLeader => GroupError::NotCoordinator,
    }
}

fn refusal(answer: Result<Answer, GroupError>) -> GroupError {
    match answer {
        Err(error) => error,
        Ok(other) => unreachable!("a shard answers in kind, not with {other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_spread_as_javas_string_hash_does() {
        // Computed by Java.
        for (id, hash) in [
            ("", 0),
            ("g1", 3_242),
            ("console-consumer-1", 35_782_224),
            ("grüße", 98_768_023),
            ("😀", 1_772_899),
            ("polygenelubricants", i32::MIN),
        ] {
            assert_eq!(java_hash(id), hash, "{id}");
        }
        assert_eq!(partition_for("polygenelubricants", 50), 0);
        assert_eq!(partition_for("g1", 50), 42);
        assert_eq!(partition_for("console-consumer-1", 50), 24);
    }
}
