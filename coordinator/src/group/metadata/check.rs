//! What must hold of a group after every step, whatever its members ask for and whatever stands in
//! the log. Knows nothing of how the group changes.

use std::collections::BTreeMap;

use super::{Group, Name, State};
use crate::group::shard::TimerKey;
use crate::shard::timers::Timers;

impl Group {
    /// How much there is to look at.
    pub(in super::super) fn check_cost(&self) -> usize {
        let consumer = self.consumer.as_ref().map_or(0, |consumer| consumer.check_cost());
        1 + self.members.len() + self.pending_members.len() + self.supporters.len() + consumer
    }

    #[track_caller]
    pub(in super::super) fn check(&self, timers: &Timers<TimerKey>) {
        self.check_counts();
        self.check_roles();
        self.check_state();
        self.check_timers(timers);
        if let Some(consumer) = &self.consumer {
            let is_bare = self.is(State::Empty)
                && self.members.is_empty()
                && self.pending_members.is_empty()
                && (self.generation, self.protocol.is_none()) == (0, true);
            assert!(is_bare, "group {} speaks both protocols: {self:?}", self.id);
            consumer.check(&self.id);
        }
    }

    /// What is counted as things change is what is found by counting.
    #[track_caller]
    fn check_counts(&self) {
        let waiting = self.members.values().filter(|member| member.is_awaiting_join()).count();
        assert_eq!(
            self.awaiting_join, waiting,
            "members of group {} that wait for it to rebalance, as counted before and now",
            self.id
        );
        let mut supporters: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.members.values() {
            let mut names: Vec<_> = member.protocols.iter().map(|p| p.name.as_str()).collect();
            names.sort_unstable();
            names.dedup();
            for name in names {
                *supporters.entry(name).or_default() += 1;
            }
        }
        let counted = self.supporters.iter().map(|(name, count)| (name.as_str(), *count));
        assert!(
            counted.clone().eq(supporters.iter().map(|(name, count)| (*name, *count))),
            "members of group {} that know each protocol: {:?} by the count, {supporters:?} found",
            self.id,
            self.supporters
        );
    }

    #[track_caller]
    fn check_roles(&self) {
        for (id, member) in &self.members {
            assert_eq!(id, &member.id, "a member's key and id in group {}", self.id);
            if let Some(instance_id) = &member.instance_id {
                let known = self.static_members.get(instance_id);
                assert_eq!(
                    known,
                    Some(id),
                    "member of instance {instance_id} in group {}",
                    self.id
                );
            }
        }
        let instances = self.members.values().filter(|member| member.is_static()).count();
        assert_eq!(
            self.static_members.len(),
            instances,
            "instances of group {} known by id, and its static members",
            self.id
        );
        match &self.leader {
            Some(leader) => {
                assert!(self.has(leader), "{leader} leads group {} from outside", self.id)
            }
            None => {
                assert!(self.members.is_empty(), "nobody leads the members of group {}", self.id)
            }
        }
        for id in &self.pending_members {
            assert!(!self.has(id), "member {id} of group {} is still to come", self.id);
        }
        for id in &self.pending_sync {
            assert!(self.has(id), "group {} waits for {id} to sync, who is not in it", self.id);
        }
    }

    /// Nobody waits for what this state does not lead to.
    #[track_caller]
    fn check_state(&self) {
        use State::*;
        let (id, state) = (&self.id, self.state);
        assert!(state != Dead, "group {id} is dead and still there");
        let has_members = !self.members.is_empty();
        assert!(
            !(has_members && state == Empty)
                && (has_members || matches!(state, Empty | PreparingRebalance)),
            "group {id} is {state} with {} members",
            self.members.len()
        );
        assert!(
            self.awaiting_join == 0 || matches!(state, PreparingRebalance | Stable),
            "{} members wait for group {id} to rebalance, which is {state}",
            self.awaiting_join
        );
        let syncing = self.members.values().filter(|m| m.awaiting_sync.is_some()).count();
        assert!(
            syncing == 0 || state == CompletingRebalance,
            "{syncing} members wait for their assignments from group {id}, which is {state}"
        );
        assert!(
            self.pending_sync.is_empty() || matches!(state, CompletingRebalance | Stable),
            "group {id} waits for members to sync, and is {state}"
        );
        assert!(
            self.initial_delay.is_none() || state == PreparingRebalance,
            "group {id} waits for more members to come, and is {state}"
        );
    }

    /// Whatever is waited for ends some time.
    #[track_caller]
    fn check_timers(&self, timers: &Timers<TimerKey>) {
        let id = &self.id;
        assert_eq!(
            timers.is_armed(&TimerKey::Join { group: id.clone() }),
            self.is(State::PreparingRebalance),
            "whether the wait for members of group {id} to join has an end, and whether it waits"
        );
        assert!(
            self.pending_sync.is_empty() || timers.is_armed(&TimerKey::Sync { group: id.clone() }),
            "the wait for members of group {id} to sync has no end"
        );
        let has_session = |member: &Name| timers.is_armed(&self.session_key(member));
        for member in self.members.values() {
            let waits = member.is_awaiting_join() || member.awaiting_sync.is_some();
            assert!(
                waits || has_session(&member.id),
                "the session of member {} of group {id} has no end",
                member.id
            );
        }
        for member in &self.pending_members {
            assert!(has_session(member), "member {member} of group {id} is awaited without end");
        }
        for member in self.consumer.iter().flat_map(|consumer| consumer.members()) {
            assert!(
                has_session(&member.id),
                "the session of consumer {} of group {id} has no end",
                member.id
            );
        }
    }
}

#[cfg(all(test, debug_assertions))]
mod tests;
