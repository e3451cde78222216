//! Groups broken by hand.

use bytes::Bytes;

use super::super::{InitialDelay, Member};
use super::*;
use crate::group::request::Protocol;

fn member(id: &str, instance_id: Option<&str>) -> Member {
    Member {
        id: id.into(),
        instance_id: instance_id.map(str::to_owned),
        client_id: String::new(),
        client_host: String::new(),
        rebalance_timeout_ms: 1,
        session_timeout_ms: 1,
        protocols: vec![Protocol { name: "range".into(), metadata: Bytes::new() }],
        assignment: Bytes::new(),
        awaiting_join: None,
        awaiting_sync: None,
        is_new: false,
    }
}

/// A stable group of `a`, who leads, and of `b`, who is static.
fn stable() -> (Group, Timers<TimerKey>) {
    let mut group = Group::new("g".into(), 1, 0);
    let mut timers = Timers::default();
    group.check(&timers);
    group.add(member("a", None), "consumer");
    group.add(member("b", Some("i")), "consumer");
    for id in group.member_ids() {
        timers.arm(group.session_key(&id), 9);
    }
    group.state = State::Stable;
    group.generation = 1;
    group.check(&timers);
    (group, timers)
}

#[track_caller]
fn broken(breaks: impl FnOnce(&mut Group)) {
    let (mut group, timers) = stable();
    breaks(&mut group);
    group.check(&timers);
}

#[test]
#[should_panic(expected = "members of group g that wait for it to rebalance")]
fn those_who_wait_are_miscounted() {
    broken(|group| group.awaiting_join += 1);
}

#[test]
#[should_panic(expected = "{\"range\": 3} by the count, {\"range\": 2} found")]
fn those_who_know_a_protocol_are_miscounted() {
    broken(|group| *group.supporters.get_mut("range").expect("both know it") += 1);
}

#[test]
#[should_panic(expected = "member of instance i in group g")]
fn an_instance_is_unknown() {
    broken(|group| drop(group.static_members.remove("i")));
}

#[test]
#[should_panic(expected = "instances of group g known by id, and its static members")]
fn an_instance_is_of_nobody() {
    broken(|group| drop(group.static_members.insert("j".into(), "a".into())));
}

#[test]
#[should_panic(expected = "c leads group g from outside")]
fn the_leader_is_gone() {
    broken(|group| group.leader = Some("c".into()));
}

#[test]
#[should_panic(expected = "nobody leads the members of group g")]
fn nobody_leads() {
    broken(|group| group.leader = None);
}

#[test]
#[should_panic(expected = "member a of group g is still to come")]
fn a_member_is_still_to_come() {
    broken(|group| _ = group.pending_members.insert("a".into()));
}

#[test]
#[should_panic(expected = "group g waits for c to sync, who is not in it")]
fn a_stranger_is_to_sync() {
    broken(|group| _ = group.pending_sync.insert("c".into()));
}

#[test]
#[should_panic(expected = "group g is dead and still there")]
fn the_group_is_dead() {
    broken(|group| group.state = State::Dead);
}

#[test]
#[should_panic(expected = "group g is Empty with 2 members")]
fn an_empty_group_has_members() {
    broken(|group| group.state = State::Empty);
}

#[test]
#[should_panic(expected = "1 members wait for group g to rebalance, which is CompletingRebalance")]
fn a_member_waits_for_a_rebalance_that_is_over() {
    broken(|group| {
        group.await_join("a", 5);
        group.state = State::CompletingRebalance;
    });
}

#[test]
#[should_panic(expected = "1 members wait for their assignments from group g, which is Stable")]
fn a_member_waits_for_an_assignment_that_was_given() {
    broken(|group| group.get_mut("a").expect("it is there").awaiting_sync = Some(5));
}

#[test]
#[should_panic(expected = "group g waits for more members to come, and is Stable")]
fn a_stable_group_waits_for_more() {
    broken(|group| group.initial_delay = Some(InitialDelay { delay_ms: 1, remaining_ms: 1 }));
}

#[test]
#[should_panic(expected = "whether the wait for members of group g to join has an end")]
fn a_rebalance_has_no_end() {
    broken(|group| group.state = State::PreparingRebalance);
}

#[test]
#[should_panic(expected = "the wait for members of group g to sync has no end")]
fn a_wait_for_assignments_has_no_end() {
    broken(|group| _ = group.pending_sync.insert("a".into()));
}

#[test]
#[should_panic(expected = "the session of member a of group g has no end")]
fn a_session_has_no_end() {
    let (group, mut timers) = stable();
    timers.cancel(&group.session_key(&"a".into()));
    group.check(&timers);
}

#[test]
#[should_panic(expected = "member c of group g is awaited without end")]
fn one_to_come_is_awaited_without_end() {
    broken(|group| _ = group.pending_members.insert("c".into()));
}

#[test]
#[should_panic(expected = "group g speaks both protocols")]
fn both_protocols_are_spoken() {
    broken(|group| group.consumer = Some(Box::default()));
}
