//! A fetch offset that the leader does not have: it is asked where its log ends and begins, and the
//! follower goes on where it can. Knows nothing of fetch sessions.

use client::Connection;
use protocol::error_code::ErrorCode;
use protocol::ids::{LeaderEpoch, Offset, TopicPartition};
use protocol::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use replica::follower::Order;
use replica::truncation::{AfterEarliest, AfterLatest, after_earliest, after_latest};

use super::super::partition::Cut;
use super::{FetcherTask, LIST_OFFSETS_VERSION, delayed};

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;

/// Why a follower does not know where to go on.
#[derive(Debug, thiserror::Error)]
enum Unsettled {
    #[error("the leader answered {0:?}")]
    Refused(ErrorCode),
    #[error("the leader does not answer")]
    Silence,
    #[error("the leader tells no offset")]
    Untold,
    #[error("it is not followed here any more")]
    NotHere,
}

impl FetcherTask {
    /// Finds out where to go on and goes there, or pauses.
    pub(super) async fn settle(
        &self,
        connection: &mut Option<Connection>,
        partition: TopicPartition,
        leader_epoch: LeaderEpoch,
    ) {
        let settled = self.try_settle(connection, &partition, leader_epoch).await;
        let Err(reason) = settled else { return };
        if self.put_off(&partition, leader_epoch, &reason) {
            self.own.replicas.fetchers().note_failed(&partition);
        } else {
            delayed(&partition, self.fetcher.leader, &reason);
        }
    }

    /// Asks again after a pause, unless the partition is followed no more: that is told.
    fn put_off(
        &self,
        partition: &TopicPartition,
        leader_epoch: LeaderEpoch,
        reason: &Unsettled,
    ) -> bool {
        let now_ms = self.now_ms();
        let mut follower = self.fetcher.follower.lock();
        match reason {
            Unsettled::Refused(code) => {
                matches!(follower.refused(partition, leader_epoch, *code, now_ms), Order::Failed)
            }
            Unsettled::Silence | Unsettled::Untold | Unsettled::NotHere => {
                follower.delay(partition, leader_epoch, now_ms);
                false
            }
        }
    }

    async fn try_settle(
        &self,
        connection: &mut Option<Connection>,
        partition: &TopicPartition,
        leader_epoch: LeaderEpoch,
    ) -> Result<(), Unsettled> {
        let leader_end = self.offset(connection, partition, leader_epoch, LATEST).await?;
        let hosted = self.own.replicas.hosted(&partition.topic, partition.partition);
        let hosted = hosted.map_err(|_| Unsettled::NotHere)?;
        let gone = |_| Unsettled::NotHere;
        let log_end = hosted.follower_end(leader_epoch).map_err(gone)?.offset;
        let went_on = match after_latest(leader_end, log_end) {
            AfterLatest::Truncate(offset) => {
                tracing::warn!(%partition, log_end, leader_end, "the leader's log is shorter");
                self.cut(partition.clone(), leader_epoch, Cut::At(offset)).await;
                offset
            }
            AfterLatest::AskEarliest => {
                let start = self.offset(connection, partition, leader_epoch, EARLIEST).await?;
                match after_earliest(start, log_end) {
                    AfterEarliest::StartOver(offset) => {
                        tracing::warn!(%partition, log_end, start, "the leader's log begins later");
                        let cut = Cut::StartOver(offset);
                        self.cut(partition.clone(), leader_epoch, cut).await;
                        offset
                    }
                    AfterEarliest::Keep(offset) => offset,
                }
            }
        };
        // If the cut failed, the partition is not followed any more and this is about nothing.
        let end = hosted.follower_end(leader_epoch).map_err(gone)?;
        if end.offset == went_on {
            let lag = (leader_end - went_on).max(0);
            let mut follower = self.fetcher.follower.lock();
            follower.restarted(partition, leader_epoch, went_on, end.last_epoch, lag);
        }
        Ok(())
    }

    async fn offset(
        &self,
        connection: &mut Option<Connection>,
        partition: &TopicPartition,
        leader_epoch: LeaderEpoch,
        timestamp: i64,
    ) -> Result<Offset, Unsettled> {
        let request = ListOffsetsRequest {
            replica_id: self.own.identity.broker_id,
            isolation_level: 0,
            topics: vec![ListOffsetsTopic {
                name: partition.topic.clone(),
                partitions: vec![ListOffsetsPartition {
                    partition_index: partition.partition,
                    current_leader_epoch: leader_epoch,
                    timestamp,
                    ..ListOffsetsPartition::default()
                }],
            }],
        };
        let called = self.call(connection, &request, LIST_OFFSETS_VERSION).await;
        let response = called.map_err(|error| {
            tracing::warn!(%partition, leader = self.fetcher.leader, %error, "asking for offsets");
            Unsettled::Silence
        })?;
        let topics = response.topics.into_iter().filter(|topic| topic.name == partition.topic);
        let found = topics
            .flat_map(|topic| topic.partitions)
            .find(|found| found.partition_index == partition.partition)
            .ok_or(Unsettled::Untold)?;
        match ErrorCode(found.error_code) {
            ErrorCode::NONE if found.offset >= 0 => Ok(found.offset),
            ErrorCode::NONE => Err(Unsettled::Untold),
            code => Err(Unsettled::Refused(code)),
        }
    }
}
