//! The controller's office as requests reach it: each asks this broker's controller, which answers
//! only while it is in office, and takes a proof. Knows nothing of connections.
//!
//! ```compile_fail,E0308
//! use broker::authorizer::{Authorized, Cluster, op};
//! use broker::office::Office;
//!
//! fn list(office: &Office, proof: &Authorized<'_, op::Create, Cluster>) {
//!     drop(office.list_reassignments(proof, None));
//! }
//! ```

use std::collections::{BTreeMap, BTreeSet};

use controller::event::RequestError;
use controller::run::ControllerHandle;
use controller::{AlterPartition, ElectAnswers, IsrAnswers, ReassignAnswers, Target};
use metadata::znodes::producer_ids::ProducerIdBlock;
use metadata::znodes::topic::ReplicaAssignment;
use protocol::ids::{BrokerId, TopicPartition};

use crate::authorizer::{Authorized, Cluster, op};

/// A broker that acts for the cluster.
type Action<'a> = Authorized<'a, op::ClusterAction, Cluster>;

/// This broker's controller, in office or not.
pub struct Office {
    controller: ControllerHandle,
}

impl Office {
    pub fn new(controller: ControllerHandle) -> Office {
        Office { controller }
    }

    /// Whether this broker is the controller, and its session may still be counted on.
    pub fn is_controller(&self) -> bool {
        self.controller.is_controller()
    }

    /// Partitions with other replicas that the broker still leads; empty: it may stop.
    pub async fn controlled_shutdown(
        &self,
        _: &Action<'_>,
        broker: BrokerId,
        broker_epoch: i64,
    ) -> Result<Vec<TopicPartition>, RequestError> {
        self.controller.controlled_shutdown(broker, broker_epoch).await
    }

    pub async fn allocate_producer_ids(
        &self,
        _: &Action<'_>,
        broker: BrokerId,
        broker_epoch: i64,
    ) -> Result<ProducerIdBlock, RequestError> {
        self.controller.allocate_producer_ids(broker, broker_epoch).await
    }

    pub async fn alter_partition(
        &self,
        _: &Action<'_>,
        request: AlterPartition,
    ) -> Result<IsrAnswers, RequestError> {
        self.controller.alter_partition(request).await
    }

    pub async fn alter_reassignments(
        &self,
        _: &Authorized<'_, op::Alter, Cluster>,
        targets: BTreeMap<TopicPartition, Target>,
    ) -> Result<ReassignAnswers, RequestError> {
        self.controller.alter_reassignments(targets).await
    }

    /// `None`: of all partitions.
    pub async fn list_reassignments(
        &self,
        _: &Authorized<'_, op::Describe, Cluster>,
        of: Option<BTreeSet<TopicPartition>>,
    ) -> Result<BTreeMap<TopicPartition, ReplicaAssignment>, RequestError> {
        self.controller.list_reassignments(of).await
    }

    pub async fn elect_leaders(
        &self,
        _: &Authorized<'_, op::Alter, Cluster>,
        partitions: BTreeSet<TopicPartition>,
        unclean: bool,
    ) -> Result<ElectAnswers, RequestError> {
        self.controller.elect_leaders(partitions, unclean).await
    }
}
