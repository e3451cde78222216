//! Looks over the groups of a shard after every step, in debug builds: the group that the step was
//! about, and the others in turn. Knows nothing of what must hold in one.

use std::ops::Bound;

use super::{GroupShard, Name, Request, TimerKey};

/// Members, or other entries of groups, that are looked at for each step on average: a large group
/// is not looked over after each of its steps.
const LOOKS_PER_STEP: usize = 64;

/// Steps whose looks may be saved up.
const STEPS_SAVED_MAX: usize = 1 << 14;

/// How much may be looked at now, and which group had its turn last.
#[derive(Debug, Default)]
pub(super) struct Checks {
    looks: usize,
    last: Option<Name>,
}

impl Request {
    fn group(&self) -> Option<&str> {
        match self {
            Request::Join { group, .. }
            | Request::Sync { group, .. }
            | Request::Heartbeat { group, .. }
            | Request::Leave { group, .. }
            | Request::Commit { group, .. }
            | Request::ConsumerHeartbeat { group, .. }
            | Request::Fetch { group, .. }
            | Request::DescribeConsumer { group, .. }
            | Request::Describe { group }
            | Request::Delete { group }
            | Request::DeleteOffsets { group, .. } => Some(group),
            Request::List
            | Request::PartitionsDeleted { .. }
            | Request::TransactionEnded { .. } => None,
        }
    }
}

/// The group to look over after this request; `None` in builds that do not look.
pub(super) fn group_of(request: &Request) -> Option<Name> {
    if cfg!(debug_assertions) { request.group().map(Name::from) } else { None }
}

/// As `group_of`.
pub(super) fn group_of_timer(key: &TimerKey) -> Option<Name> {
    match key {
        TimerKey::Join { group }
        | TimerKey::Sync { group }
        | TimerKey::Member { group, .. }
        | TimerKey::Revocation { group, .. }
        | TimerKey::Rejoin { group, .. }
        | TimerKey::MemberSync { group, .. } => cfg!(debug_assertions).then(|| group.clone()),
    }
}

impl GroupShard {
    /// After a step about `group`.
    #[track_caller]
    pub(super) fn check_after(&mut self, group: Option<&Name>) {
        if !cfg!(debug_assertions) {
            return;
        }
        let saved_max = LOOKS_PER_STEP * STEPS_SAVED_MAX;
        self.checks.looks = (self.checks.looks + LOOKS_PER_STEP).min(saved_max);
        if let Some(group) = group {
            self.check_if_affordable(group);
        }
        let after = self.checks.last.take().map_or(Bound::Unbounded, Bound::Excluded);
        let next = self.groups.range((after, Bound::Unbounded)).next();
        self.checks.last = next.map(|(id, _)| id.clone());
        if let Some(next) = self.checks.last.clone() {
            self.check_if_affordable(&next);
        }
    }

    /// Every group, once.
    #[track_caller]
    pub(super) fn check_all(&self) {
        if cfg!(debug_assertions) {
            self.groups.keys().for_each(|id| self.check(id));
        }
    }

    #[track_caller]
    fn check_if_affordable(&mut self, id: &Name) {
        let cost = self.groups.get(id).map_or(1, |group| group.check_cost());
        if cost <= self.checks.looks {
            self.checks.looks -= cost;
            self.check(id);
        }
    }

    #[track_caller]
    fn check(&self, id: &Name) {
        assert!(self.loading.is_none(), "group {id} is there before all of them are loaded");
        let Some(group) = self.groups.get(id) else { return };
        assert_eq!(id, &group.id, "a group's key and id");
        assert!(
            group.incarnation <= self.next_incarnation,
            "group {id} is the {}. that was made, of {}",
            group.incarnation,
            self.next_incarnation
        );
        for producer in group.offsets.transactions() {
            let open = self.open_transactions.get(&producer);
            assert!(
                open.is_some_and(|groups| groups.contains(id)),
                "the end of producer {producer}'s transaction would not reach group {id}"
            );
        }
        group.check(&self.timers);
    }
}

#[cfg(all(test, debug_assertions))]
mod tests;
