//! How a group changes between the classic protocol and the new one: without members at any time,
//! with members as `group.consumer.migration.policy` allows. Knows nothing of requests.

use std::collections::BTreeSet;

use protocol::ids::Uuid;

use super::super::GroupError;
use super::super::Name;
use super::super::member::Member;
use super::super::metadata::{CONSUMER_PROTOCOL_TYPE, Group, State, Step};
use super::super::records::GroupRecord;
use super::super::request::{JoinAnswer, Refusal, SyncAnswer};
use super::super::shard::{PendingKind, TimerKey, append};
use super::Partitions;
use super::changes::Key;
use super::embedded;
use super::group::ConsumerGroup;
use super::heartbeat::refuse;
use super::member::{
    ClassicMember, ConsumerMember, Current, MemberState, Subscription, collect, pairs,
};
use super::topics::{TopicView, Topics};
use crate::shard::writer::Acks;

impl Group {
    /// A classic group becomes one of the new protocol; its offsets stay, and so do its members,
    /// who go on as they are (`GroupMetadataManager.convertToConsumerGroup`).
    pub(super) fn become_consumer(
        &mut self,
        step: &mut Step<'_>,
        topics: &Topics,
    ) -> Result<(), Refusal> {
        let mut consumer = Box::<ConsumerGroup>::default();
        if !self.is(State::Empty) {
            self.check_upgrade(step)?;
            self.copy_members(&mut consumer, &*topics.0)?;
        }
        if self.generation > 0 {
            consumer.changed(Key::EndOfClassic);
        }
        for id in self.member_ids().into_iter().chain(std::mem::take(&mut self.pending_members)) {
            self.take_out(step, &id);
        }
        for member in consumer.members() {
            if let Some(classic) = &member.subscription.classic {
                let at_ms = step.after_ms(i64::from(classic.session_timeout_ms));
                step.timers.arm(self.session_key(&member.id), at_ms);
            }
        }
        step.timers.cancel(&TimerKey::Join { group: self.id.clone() });
        step.timers.cancel(&TimerKey::Sync { group: self.id.clone() });
        self.state = State::Empty;
        self.initial_delay = None;
        self.new_member_added = false;
        self.protocol_type = None;
        self.protocol = None;
        self.generation = 0;
        self.leader = None;
        self.subscribed_topics = None;
        tracing::info!(group = %self.id, members = consumer.members().count(),
            "the group speaks the consumer protocol from now on");
        self.consumer = Some(consumer);
        Ok(())
    }

    fn check_upgrade(&self, step: &Step<'_>) -> Result<(), Refusal> {
        let config = &step.config.consumer;
        let why = if !config.migration.upgrades() {
            "the migration policy does not let it become one while it has members"
        } else if !self.is_consumer_group() {
            "its members are no consumers"
        } else if self.len() > usize::try_from(config.max_size).unwrap_or(0) {
            "it has more members than a consumer group may have"
        } else {
            return Ok(());
        };
        tracing::info!(group = %self.id, why, "a classic group stays one");
        refuse(GroupError::GroupIdNotFound, format!("Group {} is not a consumer group.", self.id))
    }

    /// Everyone is in the new group with what it may have: what the leader last assigned, and what
    /// it said that it kept when it last joined, since it may not have heard of the assignment yet
    /// (Kafka forgets the latter). Whoever has to give something up is asked to join again.
    fn copy_members(
        &self,
        consumer: &mut ConsumerGroup,
        view: &dyn TopicView,
    ) -> Result<(), Refusal> {
        if !view.is_complete() {
            // What members have could not be told from topics that are gone.
            return refuse(GroupError::CoordinatorNotAvailable, "the topics are not known yet");
        }
        consumer.epoch = self.generation;
        consumer.target_epoch = self.generation;
        let copies: Option<Vec<_>> =
            self.members().map(|member| self.copy_member(member, view)).collect();
        let Some(mut copies) = copies else {
            let message = format!(
                "Cannot upgrade the classic group {} to consumer group because the embedded \
                 consumer protocol is malformed.",
                self.id
            );
            return refuse(GroupError::GroupIdNotFound, message);
        };
        add_kept(&mut copies);
        for (copy, _) in copies {
            consumer.set_target(&copy.id, copy.current.assigned.clone());
            consumer.put(copy);
        }
        consumer.changed(Key::Epoch);
        consumer.changed(Key::TargetEpoch);
        Ok(())
    }

    /// With it, what it kept when it last joined.
    fn copy_member(
        &self,
        member: &Member,
        view: &dyn TopicView,
    ) -> Option<(ConsumerMember, Partitions)> {
        let chosen = self.protocol.as_deref();
        let spoken = member.protocols.iter().find(|known| Some(known.name.as_str()) == chosen);
        // Before the first generation ends no protocol is chosen.
        let metadata = &spoken.or(member.protocols.first())?.metadata;
        let wish = embedded::read_wish(metadata, view)?;
        let assigned = embedded::read_assignment(&member.assignment, view)?;
        let copy = ConsumerMember {
            id: member.id.clone(),
            subscription: Subscription {
                instance_id: member.instance_id.clone(),
                rack_id: wish.rack_id,
                client_id: member.client_id.clone(),
                client_host: member.client_host.clone(),
                topics: wish.topics,
                regex: None,
                rebalance_timeout_ms: member.rebalance_timeout_ms,
                assignor: None,
                classic: Some(ClassicMember {
                    session_timeout_ms: member.session_timeout_ms,
                    protocols: member.protocols.clone(),
                }),
            },
            current: Current {
                epoch: self.generation,
                previous_epoch: self.generation,
                state: MemberState::Stable,
                assigned,
                revoking: Partitions::new(),
            },
        };
        Some((copy, wish.owned))
    }

    /// A member of the classic group, or one that was only given an id, is none any more. Whoever
    /// waits in its name joins again.
    fn take_out(&mut self, step: &mut Step<'_>, id: &Name) {
        let again = GroupError::RebalanceInProgress;
        if let Some(caller) = self.take_join(id) {
            step.answer_join(caller, JoinAnswer::refused(id, again));
        }
        let member = self.remove(id);
        if let Some(caller) = member.and_then(|member| member.awaiting_sync) {
            step.answer_sync(caller, SyncAnswer::refused(again));
        }
        step.timers.cancel(&self.session_key(id));
    }

    /// A group of the new protocol without members becomes a classic one; its offsets stay.
    pub(in super::super) fn become_classic(&mut self, step: &mut Step<'_>) {
        let Some(consumer) = self.consumer.take_if(|consumer| consumer.is_empty()) else { return };
        let tombstones = consumer.tombstones(&self.id);
        let kind = PendingKind::Tombstones;
        step.out.appends.push(append(self, tombstones, Acks::Leader, step.now, kind));
        self.state_since_ms = Some(step.now.wall_ms);
        tracing::info!(group = %self.id, "the group speaks the classic protocol from now on");
    }

    /// Whether the group becomes a classic one when this member goes: it is the last one that
    /// speaks the new protocol, and others stay.
    pub(super) fn may_downgrade(&self, step: &Step<'_>, without: &Name) -> bool {
        let Some(consumer) = self.consumer.as_deref() else { return false };
        let max_size = usize::try_from(step.config.max_size).unwrap_or(0);
        let is_last =
            consumer.members().all(|member| member.is_classic() != (member.id == *without));
        let staying = consumer.members().count().saturating_sub(1);
        is_last
            && consumer.member(without).is_some()
            && staying > 0
            && staying <= max_size
            && step.config.consumer.migration.downgrades()
    }

    /// The group goes on as a classic one without this member: all others join again, the first of
    /// them leads. Gives the records that say so (`GroupMetadataManager.convertToClassicGroup`).
    pub(super) fn downgrade(&mut self, step: &mut Step<'_>, without: &Name) -> Vec<GroupRecord> {
        let Some(consumer) = self.consumer.take() else { return Vec::new() };
        let mut records = consumer.tombstones(&self.id);
        for member in consumer.members() {
            self.cancel_member_timers(step, &member.id);
            // Records may name several members of an instance: the others are fenced.
            let is_fenced = member.subscription.instance_id.as_ref().is_some_and(|instance_id| {
                consumer.static_members.get(instance_id) != Some(&member.id)
            });
            let stays = member.id != *without && !is_fenced;
            if let Some(classic) = member.subscription.classic.as_ref().filter(|_| stays) {
                self.add(back(member, classic), CONSUMER_PROTOCOL_TYPE);
            }
        }
        self.state = State::Stable;
        self.state_since_ms = Some(step.now.wall_ms);
        self.generation = consumer.epoch();
        self.protocol = self.select_protocol();
        self.subscribed_topics = self.compute_subscribed_topics();
        let protocol = self.protocol.clone().unwrap_or_default();
        for id in self.member_ids() {
            if let (Some(member), Some(was)) = (self.get_mut(&id), consumer.member(&id)) {
                let metadata = member.metadata(&protocol);
                // Not its target, as in Kafka: should the group change back before the member
                // joins again, others would get what it still reads.
                let mut held = Partitions::new();
                collect(&mut held, was.current.held());
                member.assignment = embedded::write_assignment(&held, &consumer.topics, &metadata);
            }
            self.arm_session(step, &id);
        }
        tracing::info!(group = %self.id, members = self.len(), generation = self.generation,
            "the group speaks the classic protocol from now on");
        let mut snapshot = self.snapshot(|member| member.assignment.clone());
        // One that nobody is in: should another broker take over before the rebalance has ended,
        // everyone joins again there, or what the gone member had would be nobody's.
        snapshot.generation = snapshot.generation.saturating_add(1);
        records.push(GroupRecord::Group { group: self.id.clone(), snapshot: Some(snapshot) });
        self.prepare_rebalance(step, "the last member of the consumer protocol is out");
        records
    }
}

/// What members kept is theirs too, unless it is assigned to somebody by now.
fn add_kept(copies: &mut [(ConsumerMember, Partitions)]) {
    let mut taken: BTreeSet<(Uuid, i32)> =
        copies.iter().flat_map(|(copy, _)| copy.current.held()).collect();
    for (copy, kept) in copies {
        let free = pairs(kept).filter(|partition| taken.insert(*partition));
        collect(&mut copy.current.assigned, free);
    }
}

/// What a member is in a classic group.
fn back(member: &ConsumerMember, classic: &ClassicMember) -> Member {
    let of = &member.subscription;
    Member {
        id: member.id.clone(),
        instance_id: of.instance_id.clone(),
        client_id: of.client_id.clone(),
        client_host: of.client_host.clone(),
        rebalance_timeout_ms: of.rebalance_timeout_ms,
        session_timeout_ms: classic.session_timeout_ms,
        protocols: classic.protocols.clone(),
        assignment: bytes::Bytes::new(),
        awaiting_join: None,
        awaiting_sync: None,
        is_new: false,
    }
}
