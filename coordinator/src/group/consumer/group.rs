//! One group of the new protocol: its members, epochs, targets and who has which partition, and the
//! rules between them. Which request changes what stands in the files named after the requests.

use std::collections::{BTreeMap, BTreeSet};

use protocol::ids::Uuid;
use regex_lite::{Regex, RegexBuilder};

use super::super::Name;
use super::Partitions;
use super::assignor::{Assignor, MemberSpec, Spec};
use super::changes::{Changes, Key};
use super::config::ConsumerGroupConfig;
use super::member::{ConsumerMember, Current, Subscription};
use super::topics::{TopicInfo, TopicView};

/// Bytes that a compiled regular expression may take.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// Where a group stands, as administrators see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConsumerGroupState {
    Empty,
    /// The target is older than the group.
    Assigning,
    /// Members are on their way to the target.
    Reconciling,
    Stable,
}

impl ConsumerGroupState {
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Assigning => "Assigning",
            Self::Reconciling => "Reconciling",
            Self::Stable => "Stable",
        }
    }
}

/// A regular expression that members subscribe to.
#[derive(Debug, Default)]
struct Pattern {
    members: usize,
    /// Those that match, in the view last looked at.
    topics: BTreeSet<String>,
}

#[derive(Debug, Default)]
pub struct ConsumerGroup {
    /// Grows when what the target depends on has changed.
    pub(super) epoch: i32,
    /// The epoch that the targets were computed for.
    pub(super) target_epoch: i32,
    pub(super) members: BTreeMap<Name, ConsumerMember>,
    /// Instance id to member id.
    pub(super) static_members: BTreeMap<String, Name>,
    pub(super) targets: BTreeMap<Name, Partitions>,
    /// Who has a partition, or has still to give it up.
    owners: BTreeMap<(Uuid, i32), Name>,
    /// The topics that the group reads, as last recorded.
    pub(super) topics: BTreeMap<String, TopicInfo>,
    /// How many members name each topic.
    subscriptions: BTreeMap<String, usize>,
    patterns: BTreeMap<String, Pattern>,
    /// Version of the view last looked at.
    seen_version: Option<u64>,
    pub(super) unwritten: Changes,
}

/// Compiles what a member subscribes to; the error says what is wrong with it.
pub(super) fn compile(regex: &str) -> Result<Regex, String> {
    // A match is one of the whole name.
    let whole = format!("^(?:{regex})$");
    RegexBuilder::new(&whole).size_limit(REGEX_BYTES_MAX).build().map_err(|e| e.to_string())
}

impl ConsumerGroup {
    pub fn epoch(&self) -> i32 {
        self.epoch
    }

    pub fn target_epoch(&self) -> i32 {
        self.target_epoch
    }

    pub fn members(&self) -> impl Iterator<Item = &ConsumerMember> {
        self.members.values()
    }

    pub fn member(&self, id: &str) -> Option<&ConsumerMember> {
        self.members.get(id)
    }

    pub fn target(&self, id: &str) -> Option<&Partitions> {
        self.targets.get(id)
    }

    pub fn state(&self) -> ConsumerGroupState {
        if self.members.is_empty() {
            ConsumerGroupState::Empty
        } else if self.epoch > self.target_epoch {
            ConsumerGroupState::Assigning
        } else if self.members.values().all(|member| member.has_reached(self.target_epoch)) {
            ConsumerGroupState::Stable
        } else {
            ConsumerGroupState::Reconciling
        }
    }

    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub fn is_subscribed_to(&self, topic: &str) -> bool {
        self.subscriptions.contains_key(topic)
            || self.patterns.values().any(|pattern| pattern.topics.contains(topic))
    }

    /// Puts a member in its place, or in the place of what it was.
    pub(super) fn put(&mut self, member: ConsumerMember) {
        let before = self.members.get(&member.id);
        let subscription_changed =
            before.is_none_or(|before| before.subscription != member.subscription);
        let current_changed = before.is_none_or(|before| before.current != member.current);
        if before.is_none() {
            self.member_began(&member.id);
        }
        if subscription_changed {
            self.changed(Key::Member(member.id.clone()));
        }
        if current_changed {
            self.changed(Key::Current(member.id.clone()));
        }
        self.restore(member);
    }

    /// As `put`, of what is in the log already.
    pub(super) fn restore(&mut self, member: ConsumerMember) {
        // Counted before the old one is forgotten, so that what a pattern matched is not lost.
        self.count_subscription(&member.subscription, true);
        if let Some(before) = self.members.remove(&member.id) {
            self.forget_traces(&before);
        }
        if let Some(instance_id) = &member.subscription.instance_id {
            self.static_members.insert(instance_id.clone(), member.id.clone());
        }
        for partition in member.current.held() {
            self.owners.insert(partition, member.id.clone());
        }
        self.members.insert(member.id.clone(), member);
    }

    /// Changes what a member has.
    pub(super) fn set_current(&mut self, id: &Name, current: Current) {
        let Some(member) = self.members.get_mut(id) else { return };
        if member.current == current {
            return;
        }
        let before = std::mem::replace(&mut member.current, current);
        let after: Vec<_> = member.current.held().collect();
        self.release(id, &before);
        self.owners.extend(after.into_iter().map(|partition| (partition, id.clone())));
        self.changed(Key::Current(id.clone()));
    }

    pub(super) fn set_target(&mut self, id: &Name, target: Partitions) {
        if self.targets.get(id) != Some(&target) {
            self.targets.insert(id.clone(), target);
            self.changed(Key::Target(id.clone()));
        }
    }

    /// Takes a member out, with all that it had.
    pub(super) fn remove(&mut self, id: &Name) -> Option<ConsumerMember> {
        let member = self.members.remove(id)?;
        self.forget_traces(&member);
        self.targets.remove(id);
        self.member_ended(id);
        Some(member)
    }

    /// The next epoch: what members get has to be computed anew.
    pub(super) fn bump_epoch(&mut self) {
        self.epoch = self.epoch.saturating_add(1);
        self.changed(Key::Epoch);
    }

    pub(super) fn is_held(&self, topic: Uuid, partition: i32) -> bool {
        self.owners.contains_key(&(topic, partition))
    }

    /// Whether `view` may say something new about the group's topics.
    pub(super) fn is_behind(&self, view: &dyn TopicView) -> bool {
        self.seen_version != Some(view.version())
    }

    /// Looks the group's topics up; `true` if what the target depends on has changed.
    pub(super) fn look_at(&mut self, view: &dyn TopicView) -> bool {
        for (regex, pattern) in &mut self.patterns {
            // It was compiled before it was taken.
            pattern.topics = compile(regex)
                .map(|regex| view.matching(&|name| regex.is_match(name)))
                .unwrap_or_default();
        }
        self.seen_version = Some(view.version());
        let topics: BTreeMap<String, TopicInfo> = self
            .subscriptions
            .keys()
            .chain(self.patterns.values().flat_map(|pattern| &pattern.topics))
            .filter_map(|name| Some((name.clone(), view.topic(name)?)))
            .collect();
        if topics == self.topics {
            return false;
        }
        self.topics = topics;
        self.changed(Key::Topics);
        true
    }

    /// After a member has gone: topics that nobody wants any more.
    pub(super) fn forget_unread_topics(&mut self) {
        let mut topics = std::mem::take(&mut self.topics);
        let before = topics.len();
        topics.retain(|name, _| self.is_subscribed_to(name));
        let fewer = topics.len() < before;
        self.topics = topics;
        if fewer {
            self.changed(Key::Topics);
        }
    }

    /// What most members ask for; the broker's choice if none asks.
    pub fn assignor(&self, config: &ConsumerGroupConfig) -> Assignor {
        let mut votes: BTreeMap<Assignor, usize> = BTreeMap::new();
        let wishes = self.members.values().filter_map(|m| m.subscription.assignor.as_deref());
        for wish in wishes.filter_map(Assignor::from_name) {
            *votes.entry(wish).or_default() += 1;
        }
        let most = votes.values().copied().max();
        let winner = votes.into_iter().find(|(_, count)| Some(*count) == most);
        winner.map_or(config.default_assignor(), |(assignor, _)| assignor)
    }

    /// Computes everyone's target for the group's epoch.
    pub(super) fn retarget(&mut self, assignor: Assignor) {
        let none = Partitions::new();
        let members = self.members.iter().map(|(id, member)| {
            let spec = MemberSpec {
                instance_id: member.subscription.instance_id.as_deref(),
                topics: self.wanted_topics(&member.subscription),
                target: self.targets.get(id).unwrap_or(&none),
            };
            (id, spec)
        });
        let spec = Spec {
            members: members.collect(),
            topics: self.topics.values().map(|topic| (topic.id, topic.partitions)).collect(),
        };
        let targets = assignor.assign(&spec);
        drop(spec);
        for (id, target) in targets {
            self.set_target(&id, target);
        }
        self.target_epoch = self.epoch;
        self.changed(Key::TargetEpoch);
    }

    /// Of the topics that exist.
    fn wanted_topics(&self, subscription: &Subscription) -> BTreeSet<Uuid> {
        let pattern = subscription.regex.as_ref().and_then(|regex| self.patterns.get(regex));
        let matching = pattern.into_iter().flat_map(|pattern| &pattern.topics);
        let named = subscription.topics.iter().chain(matching);
        named.filter_map(|name| Some(self.topics.get(name)?.id)).collect()
    }

    fn forget_traces(&mut self, member: &ConsumerMember) {
        self.count_subscription(&member.subscription, false);
        if let Some(instance_id) = &member.subscription.instance_id
            && self.static_members.get(instance_id) == Some(&member.id)
        {
            self.static_members.remove(instance_id);
        }
        self.release(&member.id, &member.current);
    }

    fn release(&mut self, id: &Name, current: &Current) {
        for partition in current.held() {
            if self.owners.get(&partition) == Some(id) {
                self.owners.remove(&partition);
            }
        }
    }

    fn count_subscription(&mut self, subscription: &Subscription, added: bool) {
        for topic in &subscription.topics {
            let count = self.subscriptions.entry(topic.clone()).or_default();
            *count = if added { *count + 1 } else { count.saturating_sub(1) };
            if *count == 0 {
                self.subscriptions.remove(topic);
            }
        }
        let Some(regex) = &subscription.regex else { return };
        let pattern = self.patterns.entry(regex.clone()).or_default();
        pattern.members =
            if added { pattern.members + 1 } else { pattern.members.saturating_sub(1) };
        if pattern.members == 0 {
            self.patterns.remove(regex);
        }
    }
}

mod check;
