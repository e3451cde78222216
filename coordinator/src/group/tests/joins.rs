//! Who may join, in how many steps, and how long that may take.

use super::script::{check, check_with};
use crate::group::GroupConfig;

/// A group of one, stable in generation 1.
const ONE: &str = "
        join a v3
        wait 3000
          a: join ok as a#1 generation 1 range leader a#1 of a#1
        sync a
          log: group generation 1 range leader a#1 a#1='for-a#1'
          a: sync ok range 'for-a#1'
";

fn after(start: &str, table: &str) -> String {
    format!("{start}{table}")
}

#[test]
fn a_pending_member_holds_the_rebalance_up_until_its_session_ends() {
    check(&after(
        ONE,
        "
        join b session=6000
          b: join MemberIdRequired as b#2
        join a
        wait 5999
        wait 1
          a: join ok as a#1 generation 2 range leader a#1 of a#1
        join b
          b: join UnknownMemberId
        ",
    ));
    check(&after(
        ONE,
        "
        join b
          b: join MemberIdRequired as b#2
        join a
        leave b
          a: join ok as a#1 generation 2 range leader a#1 of a#1
          b: leave ok
        ",
    ));
}

#[test]
fn a_new_member_has_five_minutes() {
    check(&after(
        ONE,
        "
        join b v3 rebalance=600000
        wait 9000
        heartbeat a
          a: heartbeat RebalanceInProgress
        join a rebalance=600000
          a: join ok as a#1 generation 2 range leader a#1 of a#1 b#2
          b: join ok as b#2 generation 2 range leader a#1
        ",
    ));
    check_with(
        GroupConfig { max_session_timeout_ms: 600_000, ..GroupConfig::default() },
        "
        join a v3 session=400000 rebalance=600000
        wait 3000
          a: join ok as a#1 generation 1 range leader a#1 of a#1
        sync a
          log: group generation 1 range leader a#1 a#1='for-a#1'
          a: sync ok range 'for-a#1'
        join b v3 rebalance=600000
        wait 299999
        wait 1
          b: join UnknownMemberId
        state
          state PreparingRebalance a#1=''
        ",
    );
}

#[test]
fn a_repeated_request_takes_the_earlier_ones_place() {
    check(
        "
        join a
          a: join MemberIdRequired as a#1
        join a
        join a
          a: join RebalanceInProgress
        wait 6000
          a: join ok as a#1 generation 1 range leader a#1 of a#1
        ",
    );
    check(
        "
        join a v3
        join b v3
        wait 6000
          a: join ok as a#1 generation 1 range leader a#1 of a#1 b#2
          b: join ok as b#2 generation 1 range leader a#1
        sync b
        sync b
          b: sync RebalanceInProgress
        ",
    );
}

#[test]
fn a_full_group_takes_nobody_but_those_it_has() {
    check_with(
        GroupConfig { max_size: 2, ..GroupConfig::default() },
        "
        join a v3
        join b v3
        join c v3
          c: join GroupMaxSizeReached
        wait 6000
          a: join ok as a#1 generation 1 range leader a#1 of a#1 b#2
          b: join ok as b#2 generation 1 range leader a#1
        join c v3
          c: join GroupMaxSizeReached
        join b
          b: join ok as b#2 generation 1 range leader a#1
        ",
    );
}

#[test]
fn requests_that_name_nobody_are_refused() {
    check(
        "
        heartbeat a gen=1
          a: heartbeat UnknownMemberId
        sync a gen=1
          a: sync UnknownMemberId
        leave a
          a: leave UnknownMemberId
        join a v3 session=5999
          a: join InvalidSessionTimeout
        join a v3 session=1800001
          a: join InvalidSessionTimeout
        state
          state Dead
        ",
    );
}
