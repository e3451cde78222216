//! Shards broken by hand.

use super::*;
use crate::group::GroupConfig;
use crate::group::metadata::Group;
use crate::group::request::OffsetCommit;
use crate::shard::{Effects, Now, Shard};

const NOW: Now = Now { wall_ms: 0, steady_ms: 0 };

/// With the groups `g0` to `g9`.
fn shard() -> GroupShard {
    let mut shard = GroupShard::new(GroupConfig::default());
    shard.loaded(NOW, &mut Effects::default());
    for number in 0..10 {
        assert!(shard.ensure_group(&format!("g{number}"), NOW), "there is room");
    }
    shard.check_all();
    shard
}

fn ask(shard: &mut GroupShard, group: &str) {
    let request = Request::Describe { group: group.into() };
    shard.handle(0, request, NOW, &mut Effects::default());
}

fn break_group(shard: &mut GroupShard, group: &str) {
    shard.groups.get_mut(group).expect("it is there").leader = Some("nobody".into());
}

#[test]
#[should_panic(expected = "nobody leads group g5 from outside")]
fn the_group_of_a_request_is_looked_at() {
    let mut shard = shard();
    break_group(&mut shard, "g5");
    ask(&mut shard, "g5");
}

#[test]
#[should_panic(expected = "nobody leads group g5 from outside")]
fn every_group_has_its_turn() {
    let mut shard = shard();
    break_group(&mut shard, "g5");
    (0..10).for_each(|_| ask(&mut shard, "g0"));
}

#[test]
fn a_large_group_is_not_looked_at_after_each_step() {
    let mut shard = shard();
    let large = shard.groups.get_mut("g5").expect("it is there");
    large.pending_members = (0..1_000).map(|number| format!("m{number}").into()).collect();
    shard.checks.looks = 0;
    // Nobody ends the wait for these, which is not seen yet.
    ask(&mut shard, "g5");
    assert_eq!(shard.checks.looks, LOOKS_PER_STEP - 1, "but for the group whose turn it was");
    let looks = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        (0..20).for_each(|_| ask(&mut shard, "g5"));
    }));
    assert!(looks.is_err(), "it is seen some steps later");
}

#[test]
#[should_panic(expected = "a group's key and id")]
fn a_group_stands_under_another_name() {
    let mut shard = shard();
    shard.groups.insert("g5".into(), Group::new("other".into(), 1, 0));
    shard.check_all();
}

#[test]
#[should_panic(expected = "group g5 is the 99. that was made, of 10")]
fn a_group_was_never_made() {
    let mut shard = shard();
    shard.groups.insert("g5".into(), Group::new("g5".into(), 99, 0));
    shard.check_all();
}

#[test]
#[should_panic(expected = "the end of producer 7's transaction would not reach group g5")]
fn a_transaction_has_no_end() {
    let mut shard = shard();
    let group = shard.groups.get_mut("g5").expect("it is there");
    let partition = protocol::ids::TopicPartition::new("t", 0);
    group.offsets.stage_in_transaction(7, &partition, None, &commit());
    shard.check_all();
}

#[test]
#[should_panic(expected = "group g5 is there before all of them are loaded")]
fn a_group_is_there_too_early() {
    let mut shard = GroupShard::new(GroupConfig::default());
    assert!(shard.ensure_group("g5", NOW), "there is room");
    shard.check_all();
}

fn commit() -> OffsetCommit {
    OffsetCommit {
        offset: 1,
        leader_epoch: -1,
        metadata: String::new(),
        commit_ms: 0,
        expire_ms: None,
    }
}
