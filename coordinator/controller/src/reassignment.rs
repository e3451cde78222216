//! Partitions on their way to other replicas (KIP-455): begun, changed, cancelled, completed, and
//! gone on with after a failover. What goes on is in the topic's node, so nothing is lost with a
//! controller. Knows nothing of how the new replicas catch up.

use std::collections::{BTreeMap, BTreeSet};

use protocol::ids::{BrokerId, TopicPartition};

use super::core::{Core, Halt};
use super::election::Strategy;
use super::event::RequestError;
use super::state::{Leadership, PartitionPhase, Replica, ReplicaPhase};
use super::store_access::{STATE_WRITE_ATTEMPTS, get, set};
use metadata::store::StoreError;
use metadata::znodes::partition_state::NO_LEADER;
use metadata::znodes::topic::{self, ReplicaAssignment, TopicAssignment};

/// The replicas that a partition is to have; `None`: back to those that it had.
pub type Target = Option<Vec<BrokerId>>;

/// Why a partition is not reassigned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReassignRefusal {
    #[error("{0}")]
    InvalidAssignment(String),
    #[error("No partition reassignment is in progress.")]
    NotInProgress,
    #[error("The partition does not exist.")]
    UnknownPartition,
    #[error("the reassignment could not be written")]
    Failed,
}

/// What became of each partition that was asked for.
pub type ReassignAnswers = BTreeMap<TopicPartition, Result<(), ReassignRefusal>>;

impl Core {
    /// An administrator asks: the latest word counts, over the old tools' node too.
    pub(super) async fn on_alter_reassignments(
        &mut self,
        targets: BTreeMap<TopicPartition, Target>,
    ) -> Result<Result<ReassignAnswers, RequestError>, Halt> {
        if !self.leading {
            return Ok(Err(RequestError::NotController));
        }
        let mut answers = ReassignAnswers::new();
        let mut begun = BTreeMap::new();
        for (tp, target) in targets {
            match self.plan_reassignment(&tp, target, true) {
                Ok(assignment) => drop(begun.insert(tp, assignment)),
                Err(refusal) => drop(answers.insert(tp, Err(refusal))),
            }
        }
        let supplanted: BTreeSet<_> = begun.keys().cloned().collect();
        self.drop_from_reassignment_node(|tp, _| supplanted.contains(tp)).await?;
        answers.extend(self.begin_reassignments(begun).await?);
        Ok(Ok(answers))
    }

    /// The reassignments that go on, of all partitions or of some.
    pub(super) fn on_list_reassignments(
        &self,
        of: Option<BTreeSet<TopicPartition>>,
    ) -> Result<BTreeMap<TopicPartition, ReplicaAssignment>, RequestError> {
        if !self.leading {
            return Err(RequestError::NotController);
        }
        let partitions = match of {
            Some(partitions) => partitions.into_iter().collect(),
            None => self.being_reassigned(),
        };
        let going_on = |tp: TopicPartition| {
            let assignment = self.cluster.partition(&tp)?.assignment.clone();
            assignment.is_being_reassigned().then_some((tp, assignment))
        };
        Ok(partitions.into_iter().filter_map(going_on).collect())
    }

    pub(super) fn being_reassigned(&self) -> Vec<TopicPartition> {
        let all = self.cluster.all_partitions();
        all.filter(|(_, p)| p.assignment.is_being_reassigned()).map(|(tp, _)| tp).collect()
    }

    /// The assignment on the way to `target`, if that can be. Old tools may name brokers that are
    /// not `alive` now.
    pub(super) fn plan_reassignment(
        &self,
        tp: &TopicPartition,
        target: Target,
        alive: bool,
    ) -> Result<ReplicaAssignment, ReassignRefusal> {
        let unknown = ReplicaAssignment::default();
        let known = self.cluster.partition(tp).map(|p| &p.assignment);
        let now = known.unwrap_or(&unknown);
        let Some(target) = target else {
            return match now.is_being_reassigned() {
                true => self.keeping_data(tp, now.reassigned_to(&now.origin())),
                false => Err(ReassignRefusal::NotInProgress),
            };
        };
        let refuse = |text: String| Err(ReassignRefusal::InvalidAssignment(text));
        if target.is_empty() {
            return refuse("Empty replica list specified in partition reassignment.".to_owned());
        }
        if target.iter().collect::<BTreeSet<_>>().len() != target.len() {
            return refuse(format!(
                "Duplicate replica ids in partition reassignment replica list: {target:?}"
            ));
        }
        if target.iter().any(|id| *id < 0) {
            return refuse(format!("Invalid broker id in replica list: {target:?}"));
        }
        let planned = now.reassigned_to(&target);
        let live = |id: &BrokerId| {
            self.cluster.brokers.contains_key(id) && !self.cluster.shutting_down.contains(id)
        };
        if alive && !planned.adding.iter().all(live) {
            let all: Vec<_> = self.cluster.brokers.keys().filter(|id| live(id)).collect();
            return refuse(format!(
                "Replica assignment has brokers that are not alive. Replica list: {:?}, live \
                 broker list: {all:?}",
                planned.adding
            ));
        }
        self.keeping_data(tp, planned)
    }

    /// Unless it takes away every replica that has what was acknowledged.
    fn keeping_data(
        &self,
        tp: &TopicPartition,
        planned: ReplicaAssignment,
    ) -> Result<ReplicaAssignment, ReassignRefusal> {
        let isr = self.cluster.leadership(tp).map(|l| &l.state.isr);
        if isr.is_none_or(|isr| isr.iter().any(|id| planned.replicas.contains(id))) {
            return Ok(planned);
        }
        let text = "Unable to revert the assignment: it would require an unclean leader election.";
        Err(ReassignRefusal::InvalidAssignment(text.to_owned()))
    }

    /// One after the other; what fails is answered and stops nothing else.
    pub(super) async fn begin_reassignments(
        &mut self,
        begun: BTreeMap<TopicPartition, ReplicaAssignment>,
    ) -> Result<ReassignAnswers, Halt> {
        let mut answers = ReassignAnswers::new();
        for (tp, assignment) in begun {
            let going = self
                .cluster
                .topics
                .get(&tp.topic)
                .is_none_or(|topic| topic.queued_for_deletion || topic.deletion_waits);
            let result = if going || self.cluster.partition(&tp).is_none() {
                Err(ReassignRefusal::UnknownPartition)
            } else {
                self.try_to_reassign(&tp, assignment).await?
            };
            answers.insert(tp, result);
        }
        Ok(answers)
    }

    /// What goes wrong with one partition must not stop the controller.
    async fn try_to_reassign(
        &mut self,
        tp: &TopicPartition,
        assignment: ReplicaAssignment,
    ) -> Result<Result<(), ReassignRefusal>, Halt> {
        match self.reassign(tp, assignment).await {
            Ok(()) => Ok(Ok(())),
            Err(halt @ (Halt::Moved | Halt::SessionOver)) => Err(halt),
            Err(error) => {
                tracing::error!(partition = %tp, %error, "reassignment failed");
                self.look_again();
                Ok(Err(ReassignRefusal::Failed))
            }
        }
    }

    /// From the top: also to go on where a former controller stopped.
    async fn reassign(
        &mut self,
        tp: &TopicPartition,
        assignment: ReplicaAssignment,
    ) -> Result<(), Halt> {
        let Some(partition) = self.cluster.partition(tp) else { return Ok(()) };
        let before = partition.assignment.clone();
        if before != assignment {
            tracing::info!(partition = %tp, ?before, after = ?assignment, "being reassigned");
            self.write_assignment(tp, &assignment).await?;
            if let Some(partition) = self.cluster.partition_mut(tp) {
                partition.assignment = assignment.clone();
            }
            // Those of a reassignment that this one replaces.
            let left = before.replicas.into_iter().filter(|id| !assignment.replicas.contains(id));
            self.stop_removed(tp, left.collect()).await?;
        }
        let adding = assignment.adding.iter().map(|id| (tp.clone(), *id));
        let adding: Vec<Replica> = adding.collect();
        if self.cluster.leadership(tp).is_none() {
            // Nobody ever led it: among the new replicas may be one that can.
            self.replicas_to(&adding, ReplicaPhase::New).await?;
            self.lead_somehow(tp).await?;
        }
        if self.is_complete(tp, &assignment).await? {
            return self.complete(tp, assignment).await;
        }
        self.tell_assignment(tp, &assignment).await?;
        self.replicas_to(&adding, ReplicaPhase::New).await
    }

    /// Nothing goes on, or all that are to stay are in the ISR as it is written.
    async fn is_complete(
        &mut self,
        tp: &TopicPartition,
        assignment: &ReplicaAssignment,
    ) -> Result<bool, Halt> {
        if !assignment.is_being_reassigned() {
            return Ok(true);
        }
        let states = self.read_states(std::slice::from_ref(tp)).await?;
        let in_isr = |l: &Leadership| assignment.target().iter().all(|id| l.state.isr.contains(id));
        Ok(states.get(tp).is_some_and(in_isr))
    }

    /// The last steps; should one fail, the partition is still known to be on its way.
    async fn complete(
        &mut self,
        tp: &TopicPartition,
        assignment: ReplicaAssignment,
    ) -> Result<(), Halt> {
        let result = self.settle(tp, &assignment).await;
        if result.is_err()
            && let Some(partition) = self.cluster.partition_mut(tp)
        {
            partition.assignment = assignment;
        }
        result?;
        tracing::info!(partition = %tp, "its reassignment is complete");
        let all = self.all_brokers();
        self.send_metadata(&all, std::slice::from_ref(tp));
        self.delete_if_marked(&tp.topic).await
    }

    /// The node is written last: until then a next controller can do all this again.
    async fn settle(
        &mut self,
        tp: &TopicPartition,
        assignment: &ReplicaAssignment,
    ) -> Result<(), Halt> {
        let adding: Vec<Replica> = assignment.adding.iter().map(|id| (tp.clone(), *id)).collect();
        self.replicas_to(&adding, ReplicaPhase::Online).await?;
        let settled = ReplicaAssignment::settled(assignment.target());
        if let Some(partition) = self.cluster.partition_mut(tp) {
            partition.assignment = settled.clone();
        }
        if let Some(leader) = self.cluster.leadership(tp).map(|l| l.state.leader) {
            if settled.replicas.contains(&leader) && self.cluster.is_online(leader, tp) {
                self.tell_assignment(tp, &settled).await?;
            } else {
                self.partitions_online(std::slice::from_ref(tp), Strategy::Reassign).await?;
            }
        }
        self.stop_removed(tp, assignment.removing.clone()).await?;
        if self.cluster.leadership(tp).is_some_and(|l| l.state.leader == NO_LEADER) {
            // The leader was among those who went, and nobody who stays could take over.
            self.lead_somehow(tp).await?;
        }
        if assignment.is_being_reassigned() {
            self.write_assignment(tp, &settled).await?;
        }
        let target = &settled.replicas;
        self.drop_from_reassignment_node(|of, replicas| of == tp && replicas == target).await
    }

    async fn lead_somehow(&mut self, tp: &TopicPartition) -> Result<(), Halt> {
        let tps = std::slice::from_ref(tp);
        if self.cluster.leadership(tp).is_some() {
            self.partitions_to(tps, PartitionPhase::Offline);
        }
        let strategy = Strategy::Offline { allow_unclean: false };
        self.partitions_online(tps, strategy).await.map(drop)
    }

    /// Replicas that the assignment has no more: out of the ISR, stopped, deleted, forgotten.
    /// Whether their brokers did it is not waited for, as in Kafka.
    async fn stop_removed(
        &mut self,
        tp: &TopicPartition,
        removed: Vec<BrokerId>,
    ) -> Result<(), Halt> {
        let replicas: Vec<Replica> = removed.into_iter().map(|id| (tp.clone(), id)).collect();
        for phase in [
            ReplicaPhase::Offline,
            ReplicaPhase::DeletionStarted,
            ReplicaPhase::DeletionSuccessful,
            ReplicaPhase::NonExistent,
        ] {
            self.replicas_to(&replicas, phase).await?;
        }
        Ok(())
    }

    /// One leader epoch later with the same leader and ISR: brokers heed nothing else.
    async fn tell_assignment(
        &mut self,
        tp: &TopicPartition,
        assignment: &ReplicaAssignment,
    ) -> Result<(), Halt> {
        let Some(leadership) = self.bump_leader_epoch(tp).await? else {
            tracing::error!(partition = %tp, "it has no state to reassign from");
            return Ok(());
        };
        if let Some(partition) = self.cluster.partition_mut(tp) {
            partition.leadership = Some(leadership);
        }
        let adding = assignment.adding.iter().copied();
        self.batch.leader_and_isr(&self.cluster, assignment.origin(), tp, false);
        // A new replica may be made on any directory.
        self.batch.leader_and_isr(&self.cluster, adding, tp, true);
        self.send_batch();
        Ok(())
    }

    async fn bump_leader_epoch(&mut self, tp: &TopicPartition) -> Result<Option<Leadership>, Halt> {
        let mut tried: Option<Leadership> = None;
        for _ in 0..STATE_WRITE_ATTEMPTS {
            let states = self.read_states(std::slice::from_ref(tp)).await?;
            let Some(before) = states.get(tp).cloned() else { return Ok(None) };
            if let Some(meant) = &tried
                && meant.state == before.state
                && before.partition_epoch == meant.partition_epoch + 1
            {
                // The first try got through; only its answer was lost.
                return Ok(Some(before));
            }
            if before.state.controller_epoch > self.cluster.epoch {
                tracing::error!(partition = %tp, "a later controller wrote its state");
                return Ok(None);
            }
            let mut meant = before;
            meant.state.leader_epoch += 1;
            meant.state.controller_epoch = self.cluster.epoch;
            let write = [(tp.clone(), meant.clone())];
            match self.write_states(&write).await?.pop() {
                Some(Ok(partition_epoch)) => {
                    return Ok(Some(Leadership { partition_epoch, ..meant }));
                }
                Some(Err(StoreError::BadVersion(_))) | None => tried = Some(meant),
                Some(Err(error)) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    /// Writes one partition's replicas into its topic's node, beside what the node says of others:
    /// partitions may have been added that are not known here yet.
    async fn write_assignment(
        &mut self,
        tp: &TopicPartition,
        assignment: &ReplicaAssignment,
    ) -> Result<(), Halt> {
        let path = topic::path(&tp.topic);
        for _ in 0..STATE_WRITE_ATTEMPTS {
            let node = self.read(vec![get(path.clone(), true)]).await?.pop().flatten();
            let Some((data, stat)) = node else {
                return Err(StoreError::NoNode(path).into());
            };
            let mut found = match TopicAssignment::decode(&tp.topic, data.as_deref()) {
                Ok(found) => found,
                Err(error) => {
                    let known = self.known_assignment(&tp.topic).ok_or(error.clone())?;
                    tracing::warn!(%error, "written anew from what this controller knows");
                    known
                }
            };
            found.partitions.insert(tp.partition, assignment.clone());
            let op = set(path.clone(), found.encode(), stat.version);
            match self.fenced(vec![vec![op]]).await?.pop() {
                Some(Ok(_)) | None => return Ok(()),
                Some(Err(StoreError::BadVersion(_))) => {}
                Some(Err(error)) => return Err(error.into()),
            }
        }
        Err(StoreError::Other(format!("{path} changes too fast")).into())
    }

    /// Of these partitions, those whose reassignment is through are completed.
    pub(super) async fn complete_reassignments(
        &mut self,
        tps: impl IntoIterator<Item = TopicPartition>,
    ) -> Result<(), Halt> {
        for tp in tps {
            let Some(assignment) = self.cluster.partition(&tp).map(|p| p.assignment.clone()) else {
                continue;
            };
            if assignment.is_being_reassigned() && self.is_complete(&tp, &assignment).await? {
                // Failures are logged, and met with the next try.
                let _ = self.try_to_reassign(&tp, assignment).await?;
            }
        }
        Ok(())
    }

    /// Goes on with reassignments that wait for one of `joined`, and completes others if it can.
    /// Without `joined` (a new controller) all but `begun` are gone on with.
    pub(super) async fn resume_reassignments(
        &mut self,
        joined: Option<&BTreeSet<BrokerId>>,
        begun: &BTreeSet<TopicPartition>,
    ) -> Result<(), Halt> {
        let mut waiting = self.being_reassigned();
        waiting.retain(|tp| !begun.contains(tp));
        let concerned = |core: &Core, tp: &TopicPartition| {
            let target = core.cluster.partition(tp).map(|p| p.assignment.target());
            joined.is_none_or(|ids| target.is_some_and(|t| t.iter().any(|id| ids.contains(id))))
        };
        let (resumed, others): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|tp| concerned(self, tp));
        for tp in resumed {
            let Some(assignment) = self.cluster.partition(&tp).map(|p| p.assignment.clone()) else {
                continue;
            };
            let _ = self.try_to_reassign(&tp, assignment).await?;
        }
        self.complete_reassignments(others).await
    }
}
