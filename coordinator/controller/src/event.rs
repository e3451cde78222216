//! What happens to the controller: watches that fire, answers of brokers, requests, time. Plain
//! values; knows nothing of where they come from.

use std::collections::{BTreeMap, BTreeSet};

use protocol::ids::{BrokerId, TopicPartition};

use super::admin_elections::ElectAnswers;
use super::isr::{AlterPartition, IsrAnswers};
use super::reassignment::{ReassignAnswers, Target};
use super::step::Settings;
use metadata::znodes::producer_ids::ProducerIdBlock;
use metadata::znodes::topic::ReplicaAssignment;

/// Names a waiting request; the shell gives each its own.
pub type Ticket = u64;

#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A session began: watch the controller's node and try to be elected.
    SessionStarted { session_id: i64 },
    /// The session is over: everything known is void, an open continuation too.
    SessionExpired,
    /// A watch fired on this path.
    Changed { path: String },
    /// Events were lost: whatever is watched must be read again.
    EventsLost,
    /// Time passed.
    Tick,
    /// The configuration that the controller minds has changed.
    SettingsChanged(Settings),
    /// A broker answered.
    Answered { broker: BrokerId, broker_epoch: i64, response: ControlResponse },
    /// A broker asks that its leaderships be moved away.
    ControlledShutdown { ticket: Ticket, broker: BrokerId, broker_epoch: i64 },
    /// A leader asks for other ISRs.
    AlterPartition { ticket: Ticket, request: AlterPartition },
    /// An administrator asks for other replicas.
    AlterReassignments { ticket: Ticket, targets: BTreeMap<TopicPartition, Target> },
    /// An administrator asks which reassignments go on; `None`: of all partitions.
    ListReassignments { ticket: Ticket, of: Option<BTreeSet<TopicPartition>> },
    /// An administrator asks for elections.
    ElectLeaders { ticket: Ticket, partitions: BTreeSet<TopicPartition>, unclean: bool },
    /// A broker asks for a block of producer ids.
    AllocateProducerIds { ticket: Ticket, broker: BrokerId, broker_epoch: i64 },
    /// What was to be sent cannot be kept any longer: give the office up, so that the next
    /// controller (perhaps this one) tells everybody everything anew.
    GiveUp,
    /// This broker is about to stop: it gives the office up and stands for it no more, in this
    /// session.
    Retire,
    /// Nobody else took the office: it stands again.
    StandAgain,
    /// Unclean elections were turned on, for a topic or (`None`) for all: try the offline ones.
    UncleanElectionEnabled { topic: Option<String> },
}

impl Event {
    /// Whether it means nothing outside the session that it comes from.
    pub(super) fn is_about_the_cluster(&self) -> bool {
        matches!(self, Event::Changed { .. } | Event::EventsLost | Event::Answered { .. })
    }
}

/// What a broker answered. Error codes are those of the wire; 0 is none.
#[derive(Debug, Clone, PartialEq)]
pub enum ControlResponse {
    LeaderAndIsr {
        error: i16,
        partitions: Vec<(TopicPartition, i16)>,
    },
    UpdateMetadata {
        error: i16,
    },
    /// `deleted`: the partitions that the request had marked for deletion, with their errors.
    StopReplica {
        error: i16,
        deleted: Vec<(TopicPartition, i16)>,
    },
}

/// What a request gets back.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Partitions that the broker still leads; empty: it may stop.
    Shutdown(Result<Vec<TopicPartition>, RequestError>),
    ProducerIds(Result<ProducerIdBlock, RequestError>),
    Isr(Result<IsrAnswers, RequestError>),
    Reassigned(Result<ReassignAnswers, RequestError>),
    Reassignments(Result<BTreeMap<TopicPartition, ReplicaAssignment>, RequestError>),
    Elected(Result<ElectAnswers, RequestError>),
}

/// Why the controller refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    #[error("this broker is not the controller")]
    NotController,
    #[error("broker {0} is not registered")]
    UnknownBroker(BrokerId),
    #[error("the request comes from an earlier life of broker {0}")]
    StaleBrokerEpoch(BrokerId),
    #[error("{0}")]
    Failed(String),
}
