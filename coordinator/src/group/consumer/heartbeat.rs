//! ConsumerGroupHeartbeat: a member joins, stays or goes, says what it wants and has, and hears
//! what it gets (`GroupMetadataManager.consumerGroupHeartbeat`). Knows nothing of requests'
//! versions.

use super::super::metadata::{Group, Step};
use super::super::records::GroupRecord;
use super::super::request::{Answer, ConsumerAnswer, ConsumerHeartbeat, Refusal};
use super::super::shard::{GroupShard, Out, PendingKind, TimerKey, append};
use super::super::{GroupError, Name};
use super::assignor::Assignor;
use super::classic_join::{rejoin, sync};
use super::group::{ConsumerGroup, compile};
use super::member::{ConsumerMember, Current, MemberState, Subscription, is_subset};
use super::reconcile::{self, Goal};
use super::topics::Topics;
use super::{LEAVE_STATIC_EPOCH, Partitions};
use crate::shard::{Now, Ticket};

type Outcome<T> = Result<T, Refusal>;

pub(super) fn refuse<T>(error: GroupError, message: impl Into<String>) -> Outcome<T> {
    Err(Refusal { error, message: Some(message.into()) })
}

impl GroupShard {
    pub(in super::super) fn consumer_heartbeat(
        &mut self,
        caller: Ticket,
        id: &str,
        heartbeat: ConsumerHeartbeat,
        topics: &Topics,
        now: Now,
        out: &mut Out,
    ) {
        let (answer, records) = match self.beat(id, heartbeat, topics, now, out) {
            Ok((answer, records)) => (Ok(answer), records),
            Err(refusal) => (Err(refusal), Vec::new()),
        };
        let answer = Answer::ConsumerHeartbeat(answer);
        match self.step(id, now, out) {
            Some((group, mut step)) => {
                group.write_changes(&mut step, records, Some((caller, answer)));
            }
            None => out.answers.push((caller, answer)),
        }
    }

    /// The answer, and the records of a group that has become a classic one.
    fn beat(
        &mut self,
        id: &str,
        heartbeat: ConsumerHeartbeat,
        topics: &Topics,
        now: Now,
        out: &mut Out,
    ) -> Outcome<(ConsumerAnswer, Vec<GroupRecord>)> {
        check(&heartbeat, &self.config.consumer.assignors)?;
        if heartbeat.epoch == 0 {
            self.ensure_consumer_group(id, topics, now, out)?;
        }
        let Some((group, mut step)) = self.step(id, now, out) else {
            return refuse(GroupError::GroupIdNotFound, format!("there is no group {id}"));
        };
        if group.consumer.is_none() {
            let message = format!("group {id} does not speak the consumer protocol");
            return refuse(GroupError::GroupIdNotFound, message);
        }
        if heartbeat.epoch < 0 {
            return group.leave_consumer(&mut step, &heartbeat);
        }
        Ok((group.stay(&mut step, heartbeat, topics)?, Vec::new()))
    }

    /// Creates the group, or makes a classic one into one of the new protocol.
    fn ensure_consumer_group(
        &mut self,
        id: &str,
        topics: &Topics,
        now: Now,
        out: &mut Out,
    ) -> Outcome<()> {
        if !self.ensure_group(id, now) {
            return refuse(GroupError::CoordinatorNotAvailable, "there are too many groups");
        }
        let Some((group, mut step)) = self.step(id, now, out) else { return Ok(()) };
        if group.consumer.is_none() {
            group.become_consumer(&mut step, topics)?;
        }
        Ok(())
    }
}

/// What is wrong with a heartbeat whatever the group is like.
fn check(heartbeat: &ConsumerHeartbeat, assignors: &[Assignor]) -> Outcome<()> {
    let bad = |message: &str| refuse(GroupError::InvalidRequest, message);
    let is_empty = |text: &Option<String>| text.as_deref() == Some("");
    let nothing_owned = heartbeat.owned.as_ref().is_some_and(Partitions::is_empty);
    let subscribed = heartbeat.topics.as_ref().is_some_and(|topics| !topics.is_empty())
        || heartbeat.regex.as_ref().is_some_and(|regex| !regex.is_empty());
    match heartbeat.epoch {
        _ if is_empty(&heartbeat.instance_id) => return bad("InstanceId can't be empty."),
        _ if is_empty(&heartbeat.rack_id) => return bad("RackId can't be empty."),
        epoch if epoch < LEAVE_STATIC_EPOCH => return bad("MemberEpoch is invalid."),
        epoch if epoch != 0 && heartbeat.member_id.is_empty() => {
            return bad("MemberId can't be empty.");
        }
        LEAVE_STATIC_EPOCH if heartbeat.instance_id.is_none() => {
            return bad("InstanceId can't be null.");
        }
        0 if heartbeat.rebalance_timeout_ms.is_none() => {
            return bad("RebalanceTimeoutMs must be provided in first request.");
        }
        0 if !nothing_owned => {
            return bad("TopicPartitions must be empty when (re-)joining.");
        }
        0 if !subscribed => return bad("SubscribedTopicNames must be set in first request."),
        _ => {}
    }
    if let Some(name) = &heartbeat.assignor
        && !Assignor::from_name(name).is_some_and(|assignor| assignors.contains(&assignor))
    {
        let known: Vec<&str> = assignors.iter().map(|assignor| assignor.name()).collect();
        let known = known.join(", ");
        let message =
            format!("ServerAssignor {name} is not supported. Supported assignors: {known}.");
        return refuse(GroupError::UnsupportedAssignor, message);
    }
    if let Some(regex) = heartbeat.regex.as_ref().filter(|regex| !regex.is_empty())
        && let Err(error) = compile(regex)
    {
        let message = format!("SubscribedTopicRegex {regex} is not valid: {error}");
        return refuse(GroupError::InvalidRegularExpression, message);
    }
    Ok(())
}

impl Group {
    /// Of `records` and the group's changes one batch; the caller is answered when it is in the
    /// log.
    pub(in super::super) fn write_changes(
        &mut self,
        step: &mut Step<'_>,
        mut records: Vec<GroupRecord>,
        caller: Option<(Ticket, Answer)>,
    ) {
        let (changed, changes) = match &mut self.consumer {
            Some(consumer) => consumer.take_changes(&self.id),
            None => Default::default(),
        };
        records.extend(changed);
        let caller = match caller {
            // What was refused has changed nothing: its answer need not wait.
            Some((ticket, answer @ Answer::ConsumerHeartbeat(Err(_)))) => {
                step.out.answers.push((ticket, answer));
                None
            }
            other => other,
        };
        if records.is_empty() {
            step.out.answers.extend(caller);
            return;
        }
        let kind = PendingKind::Consumer(PendingChanges { caller, changes });
        let acks = step.config.commit_acks();
        step.out.appends.push(append(self, records, acks, step.now, kind));
    }

    /// A heartbeat of one who joins or stays.
    fn stay(
        &mut self,
        step: &mut Step<'_>,
        heartbeat: ConsumerHeartbeat,
        topics: &Topics,
    ) -> Outcome<ConsumerAnswer> {
        let joins = heartbeat.epoch == 0;
        let group_id = self.id.clone();
        let Some(consumer) = self.consumer.as_deref_mut() else {
            return refuse(GroupError::GroupIdNotFound, "not a consumer group");
        };
        consumer.check_size(&heartbeat.member_id, step.config.consumer.max_size)?;
        let (id, before) = consumer.find_member(step, &group_id, &heartbeat)?;
        let session = TimerKey::Member { group: group_id.clone(), member: id.clone() };
        step.timers.arm(session, step.after_ms(i64::from(step.config.consumer.session_timeout_ms)));
        let bumps = consumer.subscribe(&id, &heartbeat);
        consumer.advance(step, bumps, topics);
        let full = joins
            || (heartbeat.rebalance_timeout_ms.is_some()
                && (heartbeat.topics.is_some() || heartbeat.regex.is_some())
                && heartbeat.owned.is_some());
        consumer.reconcile(step, &group_id, &id, heartbeat.owned.as_ref())?;
        let member = consumer.member(&id).expect("it was found or made above");
        let changed = before.is_none_or(|before| before != member.current.assigned);
        Ok(ConsumerAnswer {
            member_id: id.clone(),
            epoch: member.current.epoch,
            heartbeat_interval_ms: step.config.consumer.heartbeat_interval_ms,
            assignment: (full || changed).then(|| member.current.assigned.clone()),
        })
    }

    pub(in super::super) fn changes_appended(
        &mut self,
        pending: &mut PendingChanges,
        failed: bool,
    ) {
        let changes = std::mem::take(&mut pending.changes);
        if let Some(consumer) = self.consumer.as_deref_mut().filter(|_| failed) {
            consumer.not_written(changes);
        }
    }
}

/// Changes on their way into the log, and whom to tell.
#[derive(Debug)]
pub struct PendingChanges {
    pub(in super::super) caller: Option<(Ticket, Answer)>,
    changes: super::changes::Changes,
}

impl ConsumerGroup {
    pub(super) fn check_size(&self, member_id: &str, max_size: i32) -> Outcome<()> {
        let max_size = usize::try_from(max_size).unwrap_or(0);
        if self.members.len() >= max_size && !self.members.contains_key(member_id) {
            let message = format!(
                "The consumer group has reached its maximum capacity of {max_size} members."
            );
            return refuse(GroupError::GroupMaxSizeReached, message);
        }
        Ok(())
    }

    /// The member that the heartbeat is of, new or known, and what it had so far; `None` if it is
    /// new.
    fn find_member(
        &mut self,
        step: &mut Step<'_>,
        group: &Name,
        heartbeat: &ConsumerHeartbeat,
    ) -> Outcome<(Name, Option<Partitions>)> {
        let joins = heartbeat.epoch == 0;
        let id: Name = match heartbeat.member_id.as_str() {
            "" => kafka_id(heartbeat.random).into(),
            id => id.into(),
        };
        if let Some(instance_id) = &heartbeat.instance_id {
            match self.static_members.get(instance_id).cloned() {
                None if joins => {
                    self.admit(&id, heartbeat.instance_id.as_ref());
                    return Ok((id, None));
                }
                Some(known) if joins => {
                    self.check_released(&known, &id, instance_id)?;
                    self.replace(step, group, &known, &id);
                    return Ok((id, None));
                }
                Some(known) if known == id => {}
                Some(known) => {
                    let message = format!(
                        "Static member {id} with instance id {instance_id} was fenced by member \
                         {known}."
                    );
                    return refuse(GroupError::FencedInstanceId, message);
                }
                None => return refuse(GroupError::UnknownMemberId, unknown_instance(instance_id)),
            }
        }
        match self.members.get(&id) {
            Some(member) => {
                check_epoch(member, heartbeat)?;
                Ok((id, Some(member.current.assigned.clone())))
            }
            None if joins => {
                self.admit(&id, heartbeat.instance_id.as_ref());
                Ok((id, None))
            }
            None => {
                refuse(GroupError::UnknownMemberId, format!("Member {id} is not in the group."))
            }
        }
    }

    pub(super) fn admit(&mut self, id: &Name, instance_id: Option<&String>) {
        let subscription = Subscription {
            instance_id: instance_id.cloned(),
            rebalance_timeout_ms: -1,
            ..Subscription::default()
        };
        tracing::info!(member = %id, "a member joins a consumer group");
        self.put(ConsumerMember { id: id.clone(), subscription, current: Current::default() });
    }

    /// Whether the instance's place is free: its process has left it for a while, or does not speak
    /// the new protocol yet and so cannot say that it has.
    fn check_released(&self, known: &Name, id: &Name, instance_id: &str) -> Outcome<()> {
        let is_free = |member: &ConsumerMember| {
            member.current.epoch == LEAVE_STATIC_EPOCH || member.is_classic()
        };
        if self.members.get(known).is_some_and(is_free) {
            return Ok(());
        }
        let message = format!(
            "Static member {id} with instance id {instance_id} cannot join the group because the \
             instance id is owned by {known} member."
        );
        refuse(GroupError::UnreleasedInstanceId, message)
    }

    /// A static member is back under another id: it takes the place of the one that it was.
    pub(super) fn replace(
        &mut self,
        step: &mut Step<'_>,
        group: &Name,
        old_id: &Name,
        new_id: &Name,
    ) {
        let target = self.targets.get(old_id).cloned();
        let Some(old) = self.remove(old_id) else { return };
        let session = TimerKey::Member { group: group.clone(), member: old_id.clone() };
        for key in [session, revocation(group, old_id), rejoin(group, old_id), sync(group, old_id)]
        {
            step.timers.cancel(&key);
        }
        let current = Current { epoch: 0, previous_epoch: 0, ..old.current };
        let subscription = Subscription { classic: None, ..old.subscription };
        self.put(ConsumerMember { id: new_id.clone(), subscription, current });
        if let Some(target) = target {
            self.set_target(new_id, target);
        }
    }

    /// Takes over what the member says of itself; `true` if that changes what it is to get.
    fn subscribe(&mut self, id: &Name, heartbeat: &ConsumerHeartbeat) -> bool {
        let Some(member) = self.members.get(id) else { return false };
        let before = &member.subscription;
        let mut after = before.clone();
        after.client_id.clone_from(&heartbeat.client_id);
        after.client_host.clone_from(&heartbeat.client_host);
        after.classic = None;
        if let Some(instance_id) = &heartbeat.instance_id {
            after.instance_id = Some(instance_id.clone());
        }
        if let Some(rack_id) = &heartbeat.rack_id {
            after.rack_id = Some(rack_id.clone());
        }
        if let Some(rebalance_timeout_ms) = heartbeat.rebalance_timeout_ms {
            after.rebalance_timeout_ms = rebalance_timeout_ms;
        }
        if let Some(assignor) = &heartbeat.assignor {
            after.assignor = Some(assignor.clone());
        }
        if let Some(topics) = &heartbeat.topics {
            after.topics = topics.iter().cloned().collect();
        }
        if let Some(regex) = &heartbeat.regex {
            after.regex = Some(regex.clone()).filter(|regex| !regex.is_empty());
        }
        if after == *before {
            return false;
        }
        let wants_other = after.topics != before.topics || after.regex != before.regex;
        let member = ConsumerMember { subscription: after, ..member.clone() };
        self.put(member);
        wants_other
    }

    /// A new epoch if something has changed that targets depend on, and targets for it.
    pub(super) fn advance(&mut self, step: &Step<'_>, bumps: bool, topics: &Topics) {
        let view = &*topics.0;
        let looks = view.is_complete() && (bumps || self.is_behind(view));
        let changed = looks && self.look_at(view);
        if bumps || changed {
            self.bump_epoch();
        }
        if self.epoch > self.target_epoch {
            let assignor = self.assignor(&step.config.consumer);
            self.retarget(assignor);
        }
    }

    /// The member's next step towards its target.
    pub(super) fn reconcile(
        &mut self,
        step: &mut Step<'_>,
        group: &Name,
        id: &Name,
        owned: Option<&Partitions>,
    ) -> Outcome<()> {
        let Some(member) = self.members.get(id) else { return Ok(()) };
        if member.has_reached(self.target_epoch) {
            return Ok(());
        }
        let none = Partitions::new();
        let next = reconcile::next(
            &member.current,
            &Goal {
                target_epoch: self.target_epoch,
                target: self.targets.get(id).unwrap_or(&none),
                is_held: &|topic, partition| self.is_held(topic, partition),
                owned,
            },
        );
        let Ok(next) = next else {
            return refuse(GroupError::FencedMemberEpoch, must_rejoin("is in an unknown state"));
        };
        if next == member.current {
            return Ok(());
        }
        let key = revocation(group, id);
        if next.state == MemberState::UnrevokedPartitions && !member.is_classic() {
            let wait_ms = i64::from(member.subscription.rebalance_timeout_ms.max(0));
            step.timers.arm(key, step.after_ms(wait_ms));
        } else {
            step.timers.cancel(&key);
        }
        self.set_current(id, next);
        Ok(())
    }
}

fn check_epoch(member: &ConsumerMember, heartbeat: &ConsumerHeartbeat) -> Outcome<()> {
    let current = &member.current;
    if heartbeat.epoch == current.epoch {
        return Ok(());
    }
    // The answer with its epoch was lost: it may go on if it has nothing that it must not have.
    let may_retry = heartbeat.epoch == current.previous_epoch
        && heartbeat.epoch < current.epoch
        && heartbeat.owned.as_ref().is_some_and(|owned| is_subset(owned, &current.assigned));
    if may_retry {
        return Ok(());
    }
    let than = if heartbeat.epoch > current.epoch { "greater" } else { "smaller" };
    let known = format!(
        "has a {than} member epoch ({}) than the one known by the group coordinator ({})",
        heartbeat.epoch, current.epoch
    );
    refuse(GroupError::FencedMemberEpoch, must_rejoin(&known))
}

fn must_rejoin(what: &str) -> String {
    format!(
        "The consumer group member {what}. The member must abandon all its partitions and rejoin."
    )
}

pub(super) fn unknown_instance(instance_id: &str) -> String {
    format!("Instance id {instance_id} is unknown.")
}

pub(super) fn revocation(group: &Name, member: &Name) -> TimerKey {
    TimerKey::Revocation { group: group.clone(), member: member.clone() }
}

/// A member id as Kafka's `Uuid.randomUuid` makes them: never one that begins with a dash.
pub(super) fn kafka_id(random: u128) -> String {
    let bits = (random & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    protocol::ids::Uuid((bits & !(0x8 << 124)).to_be_bytes()).to_string()
}
