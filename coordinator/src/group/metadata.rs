//! One group: its members, its state and its offsets, and the rules that hold between them. Which
//! request changes what stands in the files named after the requests.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bytes::Bytes;
use protocol::ids::TimestampMs;

use super::Name;
use super::config::GroupConfig;
use super::consumer::ConsumerGroup;
use super::member::Member;
use super::offsets::Offsets;
use super::records::{self, GroupSnapshot, MemberSnapshot};
use super::request::{JoinAnswer, JoinedMember, Protocol, SyncAnswer};
use super::shard::{Out, TimerKey};
use crate::shard::timers::Timers;
use crate::shard::{Now, Ticket};

/// The protocol type of groups that divide topic partitions.
pub const CONSUMER_PROTOCOL_TYPE: &str = "consumer";

/// Where a group stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// No members; perhaps offsets.
    Empty,
    /// Members are to join again.
    PreparingRebalance,
    /// All have joined; the leader's assignment is awaited.
    CompletingRebalance,
    Stable,
    /// Removed, or gone to another broker.
    Dead,
}

impl State {
    /// As DescribeGroups and ListGroups show it.
    pub fn name(self) -> &'static str {
        match self {
            State::Empty => "Empty",
            State::PreparingRebalance => "PreparingRebalance",
            State::CompletingRebalance => "CompletingRebalance",
            State::Stable => "Stable",
            State::Dead => "Dead",
        }
    }

    fn may_follow(self, earlier: State) -> bool {
        use State::*;
        match self {
            Empty | CompletingRebalance => earlier == PreparingRebalance,
            PreparingRebalance => matches!(earlier, Stable | CompletingRebalance | Empty),
            Stable => earlier == CompletingRebalance,
            Dead => true,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The wait of a group that had no members, so that those started together share one rebalance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct InitialDelay {
    pub delay_ms: i64,
    /// How much longer it may be extended.
    pub remaining_ms: i64,
}

/// What one step of a group works with besides itself.
pub(super) struct Step<'a> {
    pub config: &'a GroupConfig,
    pub timers: &'a mut Timers<TimerKey>,
    pub now: Now,
    pub out: &'a mut Out,
}

impl Step<'_> {
    pub fn answer_join(&mut self, caller: Ticket, answer: JoinAnswer) {
        self.out.answers.push((caller, super::request::Answer::Join(answer)));
    }

    pub fn answer_sync(&mut self, caller: Ticket, answer: SyncAnswer) {
        self.out.answers.push((caller, super::request::Answer::Sync(answer)));
    }

    pub fn after_ms(&self, delay_ms: i64) -> i64 {
        self.now.steady_ms.saturating_add(delay_ms)
    }
}

#[derive(Debug)]
pub struct Group {
    pub(super) id: Name,
    /// Tells this group from an earlier one of the same name, whose appends may still be under way.
    pub(super) incarnation: u64,
    pub(super) state: State,
    /// `None` after loading a record too old to say.
    pub(super) state_since_ms: Option<TimestampMs>,
    pub(super) protocol_type: Option<String>,
    pub(super) protocol: Option<String>,
    pub(super) generation: i32,
    pub(super) leader: Option<Name>,
    members: BTreeMap<Name, Member>,
    /// Instance id to member id.
    static_members: BTreeMap<String, Name>,
    /// Given an id, not back with it yet.
    pub(super) pending_members: BTreeSet<Name>,
    /// Members of this generation that have not sent SyncGroup.
    pub(super) pending_sync: BTreeSet<Name>,
    awaiting_join: usize,
    /// How many members know each protocol.
    supporters: BTreeMap<String, usize>,
    /// What a consumer group reads; `None` if it cannot be told.
    pub(super) subscribed_topics: Option<BTreeSet<String>>,
    pub(super) new_member_added: bool,
    pub(super) initial_delay: Option<InitialDelay>,
    pub(super) offsets: Offsets,
    /// The members of a group of the new protocol, which has none above and is `Empty` there.
    pub(super) consumer: Option<Box<ConsumerGroup>>,
}

impl Group {
    pub(super) fn new(id: Name, incarnation: u64, now_ms: TimestampMs) -> Group {
        Group {
            id,
            incarnation,
            state: State::Empty,
            state_since_ms: Some(now_ms),
            protocol_type: None,
            protocol: None,
            generation: 0,
            leader: None,
            members: BTreeMap::new(),
            static_members: BTreeMap::new(),
            pending_members: BTreeSet::new(),
            pending_sync: BTreeSet::new(),
            awaiting_join: 0,
            supporters: BTreeMap::new(),
            subscribed_topics: None,
            new_member_added: false,
            initial_delay: None,
            offsets: Offsets::default(),
            consumer: None,
        }
    }

    /// A group as its last record describes it.
    pub(super) fn restore(id: Name, incarnation: u64, snapshot: GroupSnapshot) -> Group {
        let mut group = Group::new(id, incarnation, snapshot.state_since_ms);
        group.state_since_ms = (snapshot.state_since_ms != -1).then_some(snapshot.state_since_ms);
        group.protocol_type = Some(snapshot.protocol_type).filter(|name| !name.is_empty());
        group.protocol = snapshot.protocol;
        group.generation = snapshot.generation;
        if !snapshot.members.is_empty() {
            group.state = State::Stable;
            group.protocol_type.get_or_insert_default();
        }
        let protocol = match group.state {
            State::Stable => group.protocol.get_or_insert_default().clone(),
            _ => String::new(),
        };
        for member in snapshot.members {
            let twice = group.members.contains_key(member.member_id.as_str())
                || member.instance_id.as_ref().is_some_and(|id| group.static_id(id).is_some());
            if twice {
                tracing::warn!(group = %group.id, member = %member.member_id,
                    "a group record names a member twice; the second one is ignored");
                continue;
            }
            group.insert(restore_member(&protocol, member));
        }
        group.leader = snapshot
            .leader
            .map(Name::from)
            .filter(|leader| group.members.contains_key(leader))
            .or_else(|| group.members.keys().next().cloned());
        group.subscribed_topics = group.compute_subscribed_topics();
        group
    }

    /// The record of the group, with these assignments.
    pub(super) fn snapshot(&self, assignment: impl Fn(&Member) -> Bytes) -> GroupSnapshot {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        GroupSnapshot {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.as_ref().map(|id| id.to_string()),
            state_since_ms: self.state_since_ms.unwrap_or(-1),
            members: self
                .members
                .values()
                .map(|member| MemberSnapshot {
                    member_id: member.id.to_string(),
                    instance_id: member.instance_id.clone(),
                    client_id: member.client_id.clone(),
                    client_host: member.client_host.clone(),
                    rebalance_timeout_ms: member.rebalance_timeout_ms,
                    session_timeout_ms: member.session_timeout_ms,
                    subscription: member.metadata(protocol),
                    assignment: assignment(member),
                })
                .collect(),
        }
    }

    pub(super) fn is(&self, state: State) -> bool {
        self.state == state
    }

    pub(super) fn transition(&mut self, to: State, now_ms: TimestampMs) {
        assert!(to.may_follow(self.state), "group {} goes from {} to {to}", self.id, self.state);
        self.state = to;
        self.state_since_ms = Some(now_ms);
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    pub(super) fn has(&self, member_id: &str) -> bool {
        self.members.contains_key(member_id)
    }

    pub(super) fn get(&self, member_id: &str) -> Option<&Member> {
        self.members.get(member_id)
    }

    pub(super) fn get_mut(&mut self, member_id: &str) -> Option<&mut Member> {
        self.members.get_mut(member_id)
    }

    pub(super) fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    pub(super) fn members_mut(&mut self) -> impl Iterator<Item = &mut Member> {
        self.members.values_mut()
    }

    pub(super) fn member_ids(&self) -> Vec<Name> {
        self.members.keys().cloned().collect()
    }

    /// The member id behind an instance id.
    pub(super) fn static_id(&self, instance_id: &str) -> Option<&Name> {
        self.static_members.get(instance_id)
    }

    pub(super) fn is_leader(&self, member_id: &str) -> bool {
        self.leader.as_deref() == Some(member_id)
    }

    pub(super) fn leader_or_empty(&self) -> Name {
        self.leader.clone().unwrap_or_else(|| "".into())
    }

    pub(super) fn is_consumer_group(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER_PROTOCOL_TYPE)
    }

    #[cfg(test)]
    pub(super) fn consumer_member(
        &self,
        id: &str,
    ) -> Option<&super::consumer::member::ConsumerMember> {
        self.consumer.as_deref()?.member(id)
    }

    /// Of whichever protocol: there are no members.
    pub(super) fn is_vacant(&self) -> bool {
        self.is(State::Empty) && self.consumer.as_ref().is_none_or(|consumer| consumer.is_empty())
    }

    /// Unknown subscriptions count as subscribed to everything, to be safe.
    pub(super) fn is_subscribed_to(&self, topic: &str) -> bool {
        if let Some(consumer) = &self.consumer {
            return consumer.is_subscribed_to(topic);
        }
        self.subscribed_topics.as_ref().is_none_or(|topics| topics.contains(topic))
    }

    pub(super) fn awaiting_join(&self) -> usize {
        self.awaiting_join
    }

    pub(super) fn has_all_joined(&self) -> bool {
        self.members.len() == self.awaiting_join && self.pending_members.is_empty()
    }

    pub(super) fn rebalance_timeout_ms(&self) -> i64 {
        self.members.values().map(|m| i64::from(m.rebalance_timeout_ms)).max().unwrap_or(0).max(0)
    }

    pub(super) fn session_key(&self, member_id: &Name) -> TimerKey {
        TimerKey::Member { group: self.id.clone(), member: member_id.clone() }
    }

    /// A new member. It leads if nobody does, and the first one decides the protocol type.
    pub(super) fn add(&mut self, member: Member, protocol_type: &str) {
        if self.members.is_empty() {
            self.protocol_type = Some(protocol_type.to_owned());
        }
        if self.leader.is_none() {
            self.leader = Some(member.id.clone());
        }
        self.pending_members.remove(&member.id);
        self.insert(member);
    }

    /// Takes a member, pending or not, out of every index. Its timer and its callers are left.
    pub(super) fn remove(&mut self, member_id: &str) -> Option<Member> {
        let member = self.members.remove(member_id);
        if let Some(member) = &member {
            self.count_protocols(&member.protocols, false);
            if member.is_awaiting_join() {
                self.awaiting_join -= 1;
            }
            if let Some(instance_id) = &member.instance_id {
                self.static_members.remove(instance_id);
            }
        }
        if self.is_leader(member_id) {
            self.leader = self.members.keys().next().cloned();
        }
        self.pending_members.remove(member_id);
        self.pending_sync.remove(member_id);
        member
    }

    /// Puts the member under a new id, as the same instance; nobody may wait in its name.
    pub(super) fn rename(&mut self, old_id: &str, new_id: Name) {
        let Some(mut member) = self.members.remove(old_id) else { return };
        debug_assert!(!member.is_awaiting_join() && member.awaiting_sync.is_none());
        member.id = new_id.clone();
        if let Some(instance_id) = &member.instance_id {
            self.static_members.insert(instance_id.clone(), new_id.clone());
        }
        if self.is_leader(old_id) {
            self.leader = Some(new_id.clone());
        }
        self.members.insert(new_id, member);
    }

    /// The caller that waited for the rebalance, if any: it is to be answered.
    pub(super) fn take_join(&mut self, member_id: &str) -> Option<Ticket> {
        let caller = self.members.get_mut(member_id)?.awaiting_join.take();
        self.awaiting_join -= usize::from(caller.is_some());
        caller
    }

    /// Lets `caller` wait for the rebalance in the member's name; gives the one it replaces.
    pub(super) fn await_join(&mut self, member_id: &str, caller: Ticket) -> Option<Ticket> {
        let earlier = self.take_join(member_id);
        if let Some(member) = self.members.get_mut(member_id) {
            member.awaiting_join = Some(caller);
            self.awaiting_join += 1;
        }
        earlier
    }

    pub(super) fn set_protocols(&mut self, member_id: &str, protocols: Vec<Protocol>) {
        let Some(member) = self.members.get_mut(member_id) else { return };
        let old = std::mem::replace(&mut member.protocols, protocols.clone());
        self.count_protocols(&old, false);
        self.count_protocols(&protocols, true);
    }

    /// Whether someone with these protocols could be a member beside the others.
    pub(super) fn supports(&self, protocol_type: &str, protocols: &[Protocol]) -> bool {
        if self.is(State::Empty) {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        self.protocol_type.as_deref() == Some(protocol_type)
            && protocols
                .iter()
                .any(|p| self.supporters.get(&p.name).copied().unwrap_or(0) == self.members.len())
    }

    /// The protocol with the most votes among those all members know; of equals the first by name.
    pub(super) fn select_protocol(&self) -> Option<String> {
        let everyone = self.members.len();
        let candidates: BTreeSet<&str> = self
            .supporters
            .iter()
            .filter(|(_, count)| **count == everyone)
            .map(|(name, _)| name.as_str())
            .collect();
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for choice in self.members.values().filter_map(|member| member.vote(&candidates)) {
            *votes.entry(choice).or_default() += 1;
        }
        let most = votes.values().copied().max()?;
        votes.into_iter().find(|(_, count)| *count == most).map(|(name, _)| name.to_owned())
    }

    /// Whether the group has a leader that takes part in this rebalance; if its leader does not,
    /// the first member that does takes over.
    pub(super) fn elect_joined_leader(&mut self) -> bool {
        let Some(leader) = &self.leader else { return false };
        if self.members.get(leader).is_some_and(Member::is_awaiting_join) {
            return true;
        }
        let joined = self.members.values().find(|member| member.is_awaiting_join());
        match joined.map(|member| member.id.clone()) {
            Some(id) => {
                tracing::info!(group = %self.id, old = %leader, new = %id, "new group leader");
                self.leader = Some(id);
                true
            }
            None => false,
        }
    }

    /// Everyone with what they said about themselves under the group's protocol: for the leader.
    pub(super) fn joined_members(&self) -> Vec<JoinedMember> {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        self.members
            .values()
            .map(|member| JoinedMember {
                member_id: member.id.clone(),
                instance_id: member.instance_id.clone(),
                metadata: member.metadata(protocol),
            })
            .collect()
    }

    /// The topics all members together read, if this is a consumer group whose subscriptions can be
    /// understood.
    pub(super) fn compute_subscribed_topics(&self) -> Option<BTreeSet<String>> {
        if !self.is_consumer_group() {
            return None;
        }
        if self.members.is_empty() {
            return Some(BTreeSet::new());
        }
        let protocol = self.protocol.as_deref()?;
        let mut topics = BTreeSet::new();
        for member in self.members.values() {
            match records::subscribed_topics(&member.metadata(protocol)) {
                Some(more) => topics.extend(more),
                None => {
                    tracing::warn!(group = %self.id, member = %member.id,
                        "a member's subscription cannot be read");
                    return None;
                }
            }
        }
        Some(topics)
    }

    fn insert(&mut self, member: Member) {
        if let Some(instance_id) = &member.instance_id {
            let other = self.static_members.insert(instance_id.clone(), member.id.clone());
            assert!(other.is_none(), "instance {instance_id} is in group {} twice", self.id);
        }
        self.count_protocols(&member.protocols, true);
        self.awaiting_join += usize::from(member.is_awaiting_join());
        let other = self.members.insert(member.id.clone(), member);
        assert!(other.is_none(), "a member is in group {} twice", self.id);
    }

    fn count_protocols(&mut self, protocols: &[Protocol], added: bool) {
        // A name listed twice counts once, or it would seem that not everyone knows it.
        let names: BTreeSet<&String> = protocols.iter().map(|protocol| &protocol.name).collect();
        for name in names {
            let count = self.supporters.entry(name.clone()).or_default();
            *count = if added { *count + 1 } else { *count - 1 };
            if *count == 0 {
                self.supporters.remove(name);
            }
        }
    }
}

fn restore_member(protocol: &str, member: MemberSnapshot) -> Member {
    Member {
        id: member.member_id.into(),
        instance_id: member.instance_id,
        client_id: member.client_id,
        client_host: member.client_host,
        rebalance_timeout_ms: member.rebalance_timeout_ms,
        session_timeout_ms: member.session_timeout_ms,
        protocols: vec![Protocol { name: protocol.to_owned(), metadata: member.subscription }],
        assignment: member.assignment,
        awaiting_join: None,
        awaiting_sync: None,
        is_new: false,
    }
}

mod check;
