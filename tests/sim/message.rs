//! What goes over the simulated network. Knows nothing of who does what with it.

use bytes::Bytes;
use controller::event::RequestError;
use controller::{ControlRequest, ControlResponse};
use protocol::error_code::ErrorCode;
use protocol::ids::{BrokerId, LeaderEpoch, Offset, ProducerId, TopicPartition, Uuid};
use protocol::messages::add_partitions_to_txn::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
};
use protocol::messages::alter_partition::{AlterPartitionRequest, AlterPartitionResponse};
use protocol::messages::fetch::{FetchRequest, FetchResponse};
use protocol::messages::write_txn_markers::{WriteTxnMarkersRequest, WriteTxnMarkersResponse};

use crate::transactions::{CoordinatorRequest, CoordinatorResponse};

/// Whoever has an end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Node {
    Broker(BrokerId),
    ZooKeeper,
    Client(u32),
}

/// Names one question of a run.
pub type CallId = u64;

/// A connection, from one of its ends: what is sent on it arrives in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flow {
    /// A controller's to a broker, by the number of its connection.
    Control(u64),
    Fetch(u64),
    ToController(u64),
    Client(u64),
    /// A transaction coordinator's, or to one.
    Coordinator(u64),
    ZooKeeper(u64),
}

#[derive(Debug, Clone)]
pub enum Packet {
    Call {
        id: CallId,
        request: Request,
    },
    Answer {
        id: CallId,
        response: Response,
    },
    /// Nobody listens there, or the process behind the connection went.
    Refused {
        id: CallId,
    },
    ZooKeeperConnect {
        connection: u64,
    },
    ZooKeeperConnected {
        connection: u64,
    },
    ZooKeeperBytes {
        connection: u64,
        bytes: Bytes,
    },
    ZooKeeperClosed {
        connection: u64,
    },
}

#[derive(Debug, Clone)]
pub enum Request {
    Control(ControlRequest),
    Fetch(Box<FetchRequest>),
    /// A follower whose offset is out of range.
    Offsets {
        tp: TopicPartition,
        leader_epoch: LeaderEpoch,
        earliest: bool,
    },
    Controller(ControllerRequest),
    Produce {
        tp: TopicPartition,
        acks: i16,
        records: Bytes,
        transactional_id: Option<String>,
    },
    Consume {
        tp: TopicPartition,
        offset: Offset,
        leader_epoch: LeaderEpoch,
        /// Only what is not in an open transaction.
        committed: bool,
    },
    Coordinator(CoordinatorRequest),
    Markers(WriteTxnMarkersRequest),
    Verify(Box<AddPartitionsToTxnRequest>),
    Metadata,
}

/// What brokers and operators ask the controller for.
#[derive(Debug, Clone)]
pub enum ControllerRequest {
    AlterPartition(Box<AlterPartitionRequest>),
    Shutdown { broker: BrokerId, broker_epoch: i64 },
}

#[derive(Debug, Clone)]
pub enum Response {
    Control(ControlResponse),
    Fetch(Box<FetchResponse>),
    Offset(Result<Offset, ErrorCode>),
    Shutdown(Result<Vec<TopicPartition>, RequestError>),
    IsrChanged(Box<AlterPartitionResponse>),
    /// This broker is not the controller.
    NotController,
    /// The offset of the first record.
    Produced(Result<Offset, ErrorCode>),
    Consumed(Result<Consumed, ErrorCode>),
    Coordinator(CoordinatorResponse),
    Marked(WriteTxnMarkersResponse),
    Verified(Box<AddPartitionsToTxnResponse>),
    Metadata(Metadata),
}

#[derive(Debug, Clone)]
pub struct Consumed {
    pub records: Bytes,
    /// Producer and first offset of what was aborted in there.
    pub aborted: Vec<(ProducerId, Offset)>,
}

/// What a broker knows of the cluster.
#[derive(Debug, Clone, Default)]
pub struct Metadata {
    pub partitions: Vec<PartitionMetadata>,
}

#[derive(Debug, Clone)]
pub struct PartitionMetadata {
    pub tp: TopicPartition,
    pub topic_id: Uuid,
    pub leader: BrokerId,
    pub leader_epoch: LeaderEpoch,
}
