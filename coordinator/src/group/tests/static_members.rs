//! Members with a `group.instance.id`: they come back without a rebalance, and fence their doubles.

use super::script::check;

/// Two static members, stable in generation 1.
const TWO: &str = "
        join a static=i1
        join b static=i2
        wait 6000
          a: join ok as i1#1 generation 1 range leader i1#1 of i1#1 i2#2
          b: join ok as i2#2 generation 1 range leader i1#1
        sync b
        sync a
          log: group generation 1 range leader i1#1 i1#1='for-i1#1' i2#2='for-i2#2'
          a: sync ok range 'for-i1#1'
          b: sync ok range 'for-i2#2'
";

fn after(start: &str, table: &str) -> String {
    format!("{start}{table}")
}

#[test]
fn a_follower_that_restarts_takes_its_place_again() {
    check(&after(
        TWO,
        "
        join c new static=i2
          log: group generation 1 range leader i1#1 i1#1='for-i1#1' i2#3='for-i2#2'
          c: join ok as i2#3 generation 1 range leader i1#1
        sync c
          c: sync ok range 'for-i2#2'
        heartbeat a
          a: heartbeat ok
        heartbeat b
          b: heartbeat FencedInstanceId
        commit b t-0=1
          b: commit FencedInstanceId
        sync b
          b: sync FencedInstanceId
        join b static=i2
          b: join FencedInstanceId
        leave b
          b: leave FencedInstanceId
        commit c t-0=1
          log: t-0=1
          c: commit ok
        ",
    ));
}

#[test]
fn a_leader_that_restarts_is_kept_from_assigning() {
    check(&after(
        TWO,
        "
        join c new static=i1
          log: group generation 1 range leader i1#3 i1#3='for-i1#1' i2#2='for-i2#2'
          c: join ok as i1#3 generation 1 range leader i1#1
        join d new v9 static=i1
          log: group generation 1 range leader i1#4 i1#4='for-i1#1' i2#2='for-i2#2'
          d: join ok as i1#4 generation 1 range leader i1#4 of i1#4 i2#2 (skip assignment)
        ",
    ));
}

#[test]
fn a_return_that_cannot_be_stored_is_undone() {
    check(
        &after(
            TWO,
            "
        hold
        join c new static=i2 session=20000
        fail NotEnoughReplicas
          c: join CoordinatorNotAvailable
        heartbeat b
          b: heartbeat ok
        wait 9999
        heartbeat a
          a: heartbeat ok
        wait 1
        heartbeat b
          b: heartbeat FencedInstanceId
        ",
        )
        .replace("b: heartbeat FencedInstanceId", "b: heartbeat UnknownMemberId"),
    );
}

#[test]
fn a_return_while_the_group_moves_on_waits_for_the_rebalance() {
    check(&after(
        TWO,
        "
        hold
        join c new static=i2
        join d static=i3
        store
          log: group generation 1 range leader i1#1 i1#1='for-i1#1' i2#3='for-i2#2'
        join a static=i1
          a: join ok as i1#1 generation 2 range leader i1#1 of i1#1 i2#3 i3#4
          c: join ok as i2#3 generation 2 range leader i1#1
          d: join ok as i3#4 generation 2 range leader i1#1
        ",
    ));
}

#[test]
fn a_return_with_other_protocols_or_before_the_assignment_rebalances() {
    check(&after(
        TWO,
        "
        join c new static=i2 protocols=sticky,range:t
          log: group generation 1 range leader i1#1 i1#1='for-i1#1' i2#3='for-i2#2'
          c: join ok as i2#3 generation 1 range leader i1#1
        ",
    ));
    check(
        "
        join a static=i1 protocols=range,sticky
        wait 3000
          a: join ok as i1#1 generation 1 range leader i1#1 of i1#1
        sync a
          log: group generation 1 range leader i1#1 i1#1='for-i1#1'
          a: sync ok range 'for-i1#1'
        join c new static=i1 protocols=sticky
          c: join ok as i1#2 generation 2 sticky leader i1#2 of i1#2
        ",
    );
    check(
        "
        join a static=i1
        join b static=i2
        wait 6000
          a: join ok as i1#1 generation 1 range leader i1#1 of i1#1 i2#2
          b: join ok as i2#2 generation 1 range leader i1#1
        sync b
        join c new static=i2
          b: sync FencedInstanceId
        heartbeat a
          a: heartbeat RebalanceInProgress
        join a static=i1
          a: join ok as i1#1 generation 2 range leader i1#1 of i1#1 i2#3
          c: join ok as i2#3 generation 2 range leader i1#1
        ",
    );
}

#[test]
fn a_double_that_waits_is_fenced() {
    check(
        "
        join a static=i1
        join c new static=i1
          a: join FencedInstanceId
        wait 3000
          c: join ok as i1#2 generation 1 range leader i1#2 of i1#2
        ",
    );
}

#[test]
fn a_static_member_that_stays_away_keeps_its_place_for_its_session() {
    check(
        "
        join a static=i1 session=100000 rebalance=10000
        join b static=i2 session=100000 rebalance=10000
        wait 6000
          a: join ok as i1#1 generation 1 range leader i1#1 of i1#1 i2#2
          b: join ok as i2#2 generation 1 range leader i1#1
        sync b
        sync a
          log: group generation 1 range leader i1#1 i1#1='for-i1#1' i2#2='for-i2#2'
          a: sync ok range 'for-i1#1'
          b: sync ok range 'for-i2#2'
        join c static=i3 session=100000 rebalance=10000
        join a static=i1 session=100000 rebalance=10000
        wait 10000
          a: join ok as i1#1 generation 2 range leader i1#1 of i1#1 i2#2 i3#3
          c: join ok as i3#3 generation 2 range leader i1#1
        ",
    );
}

#[test]
fn a_rebalance_in_which_nobody_joins_again_goes_into_another_round() {
    check(
        "
        join a static=i1 session=100000 rebalance=10000
        wait 3000
          a: join ok as i1#1 generation 1 range leader i1#1 of i1#1
        sync a
          log: group generation 1 range leader i1#1 i1#1='for-i1#1'
          a: sync ok range 'for-i1#1'
        join b static=i2 session=100000 rebalance=10000
        leave admin static=i2
          b: join UnknownMemberId
          admin: leave ok
        wait 10000
        wait 10000
        heartbeat a
          a: heartbeat RebalanceInProgress
        join a static=i1
          a: join ok as i1#1 generation 2 range leader i1#1 of i1#1
        ",
    );
}

#[test]
fn an_administrator_removes_an_instance_by_its_name() {
    check(&after(
        TWO,
        "
        leave admin static=i2
          admin: leave ok
        leave admin static=i2
          admin: leave UnknownMemberId
        heartbeat b
          b: heartbeat UnknownMemberId
        join a static=i1
          a: join ok as i1#1 generation 2 range leader i1#1 of i1#1
        ",
    ));
}

#[test]
fn one_that_came_back_while_the_log_was_slow_still_times_out() {
    check(&after(
        TWO,
        "
        hold
        join c new static=i2 session=6000
        wait 7000
        heartbeat a
          a: heartbeat ok
        store
          log: group generation 1 range leader i1#1 i1#1='for-i1#1' i2#3='for-i2#2'
          c: join ok as i2#3 generation 1 range leader i1#1
        wait 5000
        heartbeat a
          a: heartbeat ok
        wait 1000
        heartbeat a
          a: heartbeat RebalanceInProgress
        ",
    ));
}
