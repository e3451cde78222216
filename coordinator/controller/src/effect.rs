//! What the controller wants done: requests to brokers, connections, answers. Plain values; whoever
//! turns them into frames is not known here.

use std::sync::Arc;

use protocol::ids::{BrokerId, LeaderEpoch, TopicPartition, Uuid};

use super::event::{Answer, Ticket};
use metadata::znodes::broker::Endpoint;
use metadata::znodes::partition_state::PartitionState;
use metadata::znodes::topic::ReplicaAssignment;

/// What a step asks of the world. To be carried out in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// A broker is to be talked to from now on: open a channel with an empty queue. Channels of
    /// the same id, of an earlier life of that broker, are gone by then.
    Connect { broker: BrokerId, endpoint: Endpoint },
    /// Close the channel; what waits in it is void.
    Disconnect { broker: BrokerId },
    /// Put into the broker's channel. Requests of one channel are sent in order, one at a time, and
    /// again after an error or a timeout, until they are answered or the channel is closed.
    Send(ControlRequest),
    /// The answer to an event that carried a ticket.
    Answer { ticket: Ticket, answer: Answer },
    /// This broker's role changed, or who the controller is.
    Role(Role),
}

/// Where this broker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// This broker is the controller, in this epoch.
    Controller { epoch: i32 },
    /// Another is, or nobody.
    Follower { controller: Option<BrokerId> },
}

/// A request from the controller to a broker.
#[derive(Debug, Clone, PartialEq)]
pub struct ControlRequest {
    /// To whom.
    pub broker: BrokerId,
    /// The epoch of the life of that broker that is meant.
    pub broker_epoch: i64,
    pub controller_id: BrokerId,
    pub controller_epoch: i32,
    pub body: ControlBody,
}

#[derive(Debug, Clone, PartialEq)]
pub enum ControlBody {
    /// LeaderAndIsr: lead or follow these partitions.
    LeaderAndIsr {
        partitions: Vec<LeaderAndIsrPartition>,
        /// The leaders named, by the listener that brokers use among themselves.
        live_leaders: Vec<(BrokerId, Endpoint)>,
    },
    /// UpdateMetadata: who is alive, and the leaders of these partitions.
    UpdateMetadata {
        partitions: Arc<Vec<UpdateMetadataPartition>>,
        live_brokers: Arc<Vec<LiveBroker>>,
    },
    /// StopReplica: stop fetching, and delete what is marked so.
    StopReplica { partitions: Vec<StopReplicaPartition> },
}

#[derive(Debug, Clone, PartialEq)]
pub struct LeaderAndIsrPartition {
    pub tp: TopicPartition,
    pub topic_id: Uuid,
    /// As stored; the request's own controller epoch may be higher.
    pub state: PartitionState,
    /// Data version of the state node.
    pub partition_epoch: i32,
    pub assignment: ReplicaAssignment,
    /// The partition was never on that broker, so its log may be made on any directory.
    pub is_new: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct UpdateMetadataPartition {
    pub tp: TopicPartition,
    /// Zero: the topic has none.
    pub topic_id: Uuid,
    /// Leader −2 says that the topic is being deleted.
    pub state: PartitionState,
    pub partition_epoch: i32,
    pub replicas: Vec<BrokerId>,
    pub offline_replicas: Vec<BrokerId>,
}

/// The leader of a partition that is being deleted.
pub const LEADER_DURING_DELETE: BrokerId = -2;

#[derive(Debug, Clone, PartialEq)]
pub struct LiveBroker {
    pub id: BrokerId,
    pub endpoints: Vec<Endpoint>,
    pub rack: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct StopReplicaPartition {
    pub tp: TopicPartition,
    /// −2 while the topic is being deleted, −1 if there is no leader yet.
    pub leader_epoch: LeaderEpoch,
    pub delete: bool,
}

/// Leader epoch of a StopReplica that may not be fenced: the topic goes.
pub const EPOCH_DURING_DELETE: LeaderEpoch = -2;
/// Leader epoch of a StopReplica for a partition that nobody ever led.
pub const NO_EPOCH: LeaderEpoch = -1;
