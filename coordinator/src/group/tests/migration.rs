//! Groups that change between the classic protocol and the new one while they have members: from
//! one to the other and back, and nobody ever has what another one has.

use std::collections::BTreeSet;

use super::classic_client::Classic;
use super::consumer_groups::{Client, Groups, T};
use crate::group::consumer::records::ConsumerRecord;
use crate::group::consumer::{ConsumerGroupConfig, LEAVE_EPOCH, MigrationPolicy};
use crate::group::records::GroupRecord;
use crate::group::request::*;
use crate::group::{GroupConfig, GroupError};

/// Members of both kinds, and the group between them.
pub struct Mixed {
    pub groups: Groups,
    pub classic: Vec<Classic>,
    pub new: Vec<Client>,
}

pub fn config(migration: MigrationPolicy) -> GroupConfig {
    let consumer = ConsumerGroupConfig { migration, ..ConsumerGroupConfig::default() };
    GroupConfig { initial_rebalance_delay_ms: 0, consumer, ..GroupConfig::default() }
}

impl Mixed {
    pub fn new(migration: MigrationPolicy) -> Mixed {
        let groups = Groups::new(config(migration), &[("t", T, 6)]);
        Mixed { groups, classic: Vec::new(), new: Vec::new() }
    }

    pub fn check(&self) {
        let mut all = BTreeSet::new();
        let owned = self.classic.iter().map(|c| &c.owned).chain(self.new.iter().map(|c| &c.owned));
        for owned in owned {
            for (topic, partitions) in owned {
                for partition in partitions {
                    let is_new = all.insert((*topic, *partition));
                    assert!(is_new, "{partition} is owned twice: {self:#?}");
                }
            }
        }
    }

    pub fn round(&mut self) {
        for index in 0..self.classic.len() {
            self.classic[index].step(&mut self.groups);
            self.check();
        }
        for index in 0..self.new.len() {
            self.new[index].beat(&mut self.groups).expect("nobody is fenced");
            self.check();
        }
        self.groups.wait(10);
    }

    fn state(&self) -> Vec<(i32, usize, bool)> {
        let classic = self.classic.iter().map(|c| (c.generation, c.count(), c.reads()));
        classic.chain(self.new.iter().map(|c| (c.epoch, c.count(), true))).collect()
    }

    /// Until nothing moves; gives how many partitions each one has.
    pub fn calm(&mut self) -> Vec<usize> {
        for _ in 0..60 {
            let before = self.state();
            self.round();
            self.round();
            if self.state() == before && self.classic.iter().all(Classic::reads) {
                return before.into_iter().map(|(_, count, _)| count).collect();
            }
        }
        panic!("the group does not settle: {self:#?}");
    }

    pub fn reload(&mut self) {
        self.groups.reload();
        for client in &mut self.classic {
            client.lost_coordinator();
        }
    }

    pub fn leave_classic(&mut self, index: usize) {
        let gone = self.classic.remove(index);
        let member = LeavingMember { member_id: gone.id, instance_id: None, reason: None };
        let request = Request::Leave { group: "g".to_owned(), members: vec![member] };
        match self.groups.ask(request) {
            Answer::Leave(answer) => {
                assert_eq!((answer.error, &answer.members[..]), (None, &[None][..]))
            }
            other => panic!("{other:?}"),
        }
    }

    pub fn leave_new(&mut self, index: usize) {
        let gone = self.new.remove(index);
        gone.leave(&mut self.groups, LEAVE_EPOCH).expect("it may leave");
    }

    /// Which protocol the group speaks, as administrators see it.
    pub fn kind(&mut self) -> (GroupKind, &'static str) {
        match self.groups.ask(Request::List) {
            Answer::List(groups) => (groups[0].kind, groups[0].state),
            other => panic!("{other:?}"),
        }
    }

    /// How many records the group has, by the version of their key; tombstones do not count.
    fn records(&self) -> Vec<(u8, usize)> {
        let mut counts = std::collections::BTreeMap::new();
        for (key, value) in self.groups.compacted() {
            if value.is_some() {
                *counts.entry(key[1]).or_insert(0) += 1;
            }
        }
        counts.into_iter().collect()
    }
}

impl std::fmt::Debug for Mixed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mixed").field("classic", &self.classic).field("new", &self.new).finish()
    }
}

fn two_classic(cooperative: bool) -> Mixed {
    let mut mixed = Mixed::new(MigrationPolicy::Bidirectional);
    for _ in 0..2 {
        mixed.classic.push(Classic::new(&["t"], cooperative));
    }
    assert_eq!(mixed.calm(), [3, 3]);
    assert_eq!(mixed.kind(), (GroupKind::Classic, "Stable"));
    mixed
}

/// One after the other changes its protocol, all the way and back.
fn rolls(cooperative: bool, reload: bool) {
    let mut mixed = two_classic(cooperative);
    let generation = mixed.classic[0].generation;
    let first = Client::join(&mut mixed.groups, "n0", &["t"]);
    assert_eq!(first.epoch, generation + 1, "generations go on as epochs");
    mixed.new.push(first);
    mixed.check();
    if reload {
        mixed.reload();
    }
    assert_eq!(mixed.calm(), [2, 2, 2]);
    assert_eq!(mixed.kind(), (GroupKind::Consumer, "Stable"));
    assert_eq!(mixed.records(), [(3, 1), (4, 1), (5, 3), (6, 1), (7, 3), (8, 3)]);
    mixed.leave_classic(0);
    assert_eq!(mixed.calm(), [3, 3]);
    let second = Client::join(&mut mixed.groups, "n1", &["t"]);
    mixed.new.push(second);
    mixed.leave_classic(0);
    if reload {
        mixed.reload();
    }
    assert_eq!(mixed.calm(), [3, 3]);
    assert_eq!(mixed.kind(), (GroupKind::Consumer, "Stable"));
    mixed.classic.push(Classic::new(&["t"], cooperative));
    assert_eq!(mixed.calm(), [2, 2, 2]);
    mixed.leave_new(0);
    mixed.classic.push(Classic::new(&["t"], cooperative));
    assert_eq!(mixed.calm(), [2, 2, 2]);
    let epoch = mixed.new[0].epoch;
    mixed.leave_new(0);
    assert_eq!(mixed.kind(), (GroupKind::Classic, "PreparingRebalance"));
    assert_eq!(mixed.records(), [(2, 1)], "nothing of the new protocol is left");
    if reload {
        mixed.reload();
    }
    assert_eq!(mixed.calm(), [3, 3]);
    assert!(mixed.classic[0].generation > epoch, "epochs go on as generations");
    assert_eq!(mixed.kind(), (GroupKind::Classic, "Stable"));
}

#[test]
fn an_eager_group_rolls_over_and_back() {
    rolls(false, false);
}

#[test]
fn a_cooperative_group_rolls_over_and_back() {
    rolls(true, false);
}

#[test]
fn groups_roll_while_their_coordinator_changes() {
    rolls(false, true);
    rolls(true, true);
}

#[test]
fn a_group_is_converted_in_the_middle_of_its_first_rebalance() {
    for steps in 0..6 {
        let mut mixed = Mixed::new(MigrationPolicy::Bidirectional);
        mixed.classic = vec![Classic::new(&["t"], false); 2];
        for step in 0..steps {
            mixed.classic[step % 2].step(&mut mixed.groups);
        }
        let client = Client::join(&mut mixed.groups, "n", &["t"]);
        mixed.new.push(client);
        assert_eq!(mixed.calm(), [2, 2, 2], "after {steps} steps");
        assert_eq!(mixed.kind().0, GroupKind::Consumer);
    }
}

#[test]
fn a_group_that_changes_back_and_forth_knows_who_still_reads_what() {
    for cooperative in [false, true] {
        let mut mixed = two_classic(cooperative);
        mixed.new.push(Client::join(&mut mixed.groups, "n0", &["t"]));
        // Nobody has heard yet that it was to give something up.
        mixed.leave_new(0);
        mixed.new.push(Client::join(&mut mixed.groups, "n1", &["t"]));
        mixed.check();
        assert_eq!(mixed.calm(), [2, 2, 2]);
    }
}

#[test]
fn what_a_classic_member_keeps_in_a_rebalance_stays_its_own() {
    let mut mixed = Mixed::new(MigrationPolicy::Bidirectional);
    mixed.classic.push(Classic::new(&["t"], true));
    assert_eq!(mixed.calm(), [6]);
    mixed.classic.extend(vec![Classic::new(&["t"], true); 3]);
    let steps = |mixed: &mut Mixed, members: &[usize]| {
        for member in members {
            mixed.classic[*member].step(&mut mixed.groups);
        }
    };
    // Two are given an id and one of them joins; the first joins again, then the other.
    steps(&mut mixed, &[1, 2, 1, 0, 0, 2]);
    assert_eq!(mixed.kind(), (GroupKind::Classic, "CompletingRebalance"));
    // The leader does not assign anything before yet another one comes.
    steps(&mut mixed, &[3, 3]);
    assert_eq!(mixed.kind(), (GroupKind::Classic, "PreparingRebalance"));
    assert_eq!(mixed.classic[0].count(), 6);
    mixed.new.push(Client::join(&mut mixed.groups, "n", &["t"]));
    mixed.check();
    assert_eq!(mixed.calm().into_iter().sum::<usize>(), 6);
}

#[test]
fn the_policy_decides() {
    use MigrationPolicy::*;
    for (policy, may_upgrade, may_downgrade) in [
        (Disabled, false, false),
        (Upgrade, true, false),
        (Downgrade, false, true),
        (Bidirectional, true, true),
    ] {
        let mut mixed = Mixed::new(policy);
        mixed.classic.push(Classic::new(&["t"], false));
        mixed.calm();
        let answer = mixed.groups.beat(super::consumer_groups::join("n", &["t"]));
        if !may_upgrade {
            assert_eq!(answer, Err(GroupError::GroupIdNotFound), "{policy:?}");
            assert_eq!(mixed.calm(), [6]);
            mixed.leave_classic(0);
            // Nobody is there, so it needs no permission.
            mixed.new.push(Client::join(&mut mixed.groups, "n", &["t"]));
            mixed.classic.push(Classic::new(&["t"], false));
        } else {
            assert!(answer.is_ok(), "{policy:?}");
            mixed.new.push(Client::join(&mut mixed.groups, "n", &["t"]));
        }
        assert_eq!(mixed.calm(), [3, 3], "{policy:?}");
        mixed.leave_new(0);
        assert_eq!(mixed.calm(), [6], "{policy:?}");
        let kind = if may_downgrade { GroupKind::Classic } else { GroupKind::Consumer };
        assert_eq!(mixed.kind().0, kind, "{policy:?}");
    }
}

#[test]
fn the_last_one_of_the_new_protocol_may_fall_silent() {
    let mut mixed = two_classic(false);
    mixed.new.push(Client::join(&mut mixed.groups, "n", &["t"]));
    mixed.calm();
    mixed.new.clear();
    for _ in 0..5 {
        mixed.groups.wait(10_000);
        mixed.round();
    }
    assert_eq!(mixed.calm(), [3, 3]);
    assert_eq!(mixed.kind(), (GroupKind::Classic, "Stable"));
}

#[test]
fn a_static_member_changes_its_protocol_without_a_farewell() {
    let mut mixed = two_classic(false);
    mixed
        .classic
        .push(Classic { instance_id: Some("i".to_owned()), ..Classic::new(&["t"], false) });
    assert_eq!(mixed.calm(), [2, 2, 2]);
    let former = mixed.classic.pop().expect("three");
    let join = ConsumerHeartbeat {
        instance_id: former.instance_id.clone(),
        ..super::consumer_groups::join("n", &["t"])
    };
    let answer = mixed.groups.beat(join).expect("the place is its own");
    assert_eq!(answer.assignment, Some(former.owned));
    mixed.new.push(Client {
        id: "n".to_owned(),
        instance_id: Some("i".to_owned()),
        epoch: answer.epoch,
        owned: answer.assignment.expect("checked above"),
        ..Client::default()
    });
    let before: Vec<_> = mixed.classic.iter().map(|client| client.owned.clone()).collect();
    assert_eq!(mixed.calm(), [2, 2, 2]);
    let after: Vec<_> = mixed.classic.iter().map(|client| client.owned.clone()).collect();
    assert_eq!(before, after, "nobody else had to move");
    // And back, in the same way.
    mixed.new.clear();
    mixed
        .classic
        .push(Classic { instance_id: Some("i".to_owned()), ..Classic::new(&["t"], false) });
    assert_eq!(mixed.calm(), [2, 2, 2]);
    assert_eq!(mixed.kind(), (GroupKind::Consumer, "Stable"), "as in Kafka 3.9");
}

#[test]
fn a_log_that_names_an_instance_twice_does_not_stop_a_group_from_changing_back() {
    let mut mixed = two_classic(false);
    mixed
        .classic
        .push(Classic { instance_id: Some("i".to_owned()), ..Classic::new(&["t"], false) });
    mixed.calm();
    mixed.new.push(Client::join(&mut mixed.groups, "n", &["t"]));
    mixed.calm();
    let fixed = mixed.classic[2].id.clone();
    let group = mixed.groups.shard.group("g").expect("it is there");
    let subscription = group.consumer_member(&fixed).expect("it is in it").subscription.clone();
    let double = ConsumerRecord::Member(" double".into(), Some(subscription));
    mixed.groups.write(&[GroupRecord::Consumer { group: "g".into(), record: double }]);
    mixed.reload();
    mixed.leave_new(0);
    assert_eq!(mixed.calm(), [2, 2, 2]);
    assert_eq!(mixed.kind(), (GroupKind::Classic, "Stable"));
}
