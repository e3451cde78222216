//! Who joins, syncs, fails and leaves when, and what everyone is told.

use super::script::check;

#[test]
fn members_started_together_share_the_first_rebalance() {
    check(
        "
        join a
          a: join MemberIdRequired as a#1
        join a
        wait 2000
        join b
          b: join MemberIdRequired as b#3
        join b
        wait 999
        wait 1
        wait 2999
        wait 1
          a: join ok as a#1 generation 1 range leader a#1 of a#1 b#3
          b: join ok as b#3 generation 1 range leader a#1
        heartbeat a
          a: heartbeat ok
        sync b
        sync a
          log: group generation 1 range leader a#1 a#1='for-a#1' b#3='for-b#3'
          a: sync ok range 'for-a#1'
          b: sync ok range 'for-b#3'
        state
          state Stable a#1='for-a#1' b#3='for-b#3'
        sync b
          b: sync ok range 'for-b#3'
        heartbeat b
          b: heartbeat ok
        ",
    );
}

#[test]
fn the_first_rebalance_is_not_put_off_beyond_the_rebalance_timeout() {
    check(
        "
        join a v3 rebalance=7000
        wait 2999
        join b v3 rebalance=7000
        wait 1
        wait 2999
        join c v3 rebalance=7000
        wait 1
        join d v3 rebalance=7000
        wait 999
        wait 1
          a: join ok as a#1 generation 1 range leader a#1 of a#1 b#2 c#3 d#4
          b: join ok as b#2 generation 1 range leader a#1
          c: join ok as c#3 generation 1 range leader a#1
          d: join ok as d#4 generation 1 range leader a#1
        ",
    );
}

/// A group of one, stable in generation 1.
const ONE: &str = "
        join a v3
        wait 3000
          a: join ok as a#1 generation 1 range leader a#1 of a#1
        sync a
          log: group generation 1 range leader a#1 a#1='for-a#1'
          a: sync ok range 'for-a#1'
";

/// A group of two, stable in generation 1.
const TWO: &str = "
        join a v3
        join b v3
        wait 6000
          a: join ok as a#1 generation 1 range leader a#1 of a#1 b#2
          b: join ok as b#2 generation 1 range leader a#1
        sync b
        sync a
          log: group generation 1 range leader a#1 a#1='for-a#1' b#2='for-b#2'
          a: sync ok range 'for-a#1'
          b: sync ok range 'for-b#2'
";

fn after(start: &str, table: &str) -> String {
    format!("{start}{table}")
}

#[test]
fn a_member_that_comes_later_makes_the_others_join_again() {
    check(&after(
        ONE,
        "
        join b
          b: join MemberIdRequired as b#2
        heartbeat a
          a: heartbeat ok
        join b
        heartbeat a
          a: heartbeat RebalanceInProgress
        sync a
          a: sync RebalanceInProgress
        commit a t-0=5
          log: t-0=5
          a: commit ok
        join a
          a: join ok as a#1 generation 2 range leader a#1 of a#1 b#2
          b: join ok as b#2 generation 2 range leader a#1
        commit a t-0=6
          a: commit RebalanceInProgress
        sync a gen=1
          a: sync IllegalGeneration
        heartbeat a gen=1
          a: heartbeat IllegalGeneration
        commit a t-0=6 gen=1
          a: commit IllegalGeneration
        sync a
          log: group generation 2 range leader a#1 a#1='for-a#1' b#2='for-b#2'
          a: sync ok range 'for-a#1'
        sync b
          b: sync ok range 'for-b#2'
        ",
    ));
}

#[test]
fn a_member_that_does_not_join_again_is_out_and_another_leads() {
    check(&after(
        TWO,
        "
        join c v3 rebalance=20000
        join b
        wait 9000
        heartbeat a
          a: heartbeat RebalanceInProgress
        wait 9999
        heartbeat a
          a: heartbeat RebalanceInProgress
        wait 10001
          b: join ok as b#2 generation 2 range leader b#2 of b#2 c#3
          c: join ok as c#3 generation 2 range leader b#2
        heartbeat a
          a: heartbeat UnknownMemberId
        ",
    ));
    check(&after(
        TWO,
        "
        join c v3
        join b
        wait 9000
        heartbeat a
          a: heartbeat RebalanceInProgress
        wait 9000
        heartbeat a
          a: heartbeat RebalanceInProgress
        wait 9000
        heartbeat a
          a: heartbeat RebalanceInProgress
        wait 9000
        heartbeat a
          a: heartbeat RebalanceInProgress
        wait 9000
        heartbeat a
          a: heartbeat RebalanceInProgress
        wait 9000
        heartbeat a
          a: heartbeat RebalanceInProgress
        wait 5999
        wait 1
          b: join ok as b#2 generation 2 range leader b#2 of b#2 c#3
          c: join ok as c#3 generation 2 range leader b#2
        heartbeat a
          a: heartbeat UnknownMemberId
        ",
    ));
}

#[test]
fn a_session_that_ends_makes_the_rest_rebalance() {
    check(&after(
        TWO,
        "
        wait 9999
        heartbeat a
          a: heartbeat ok
        wait 1
        heartbeat a
          a: heartbeat RebalanceInProgress
        heartbeat b
          b: heartbeat UnknownMemberId
        join a
          a: join ok as a#1 generation 2 range leader a#1 of a#1
        ",
    ));
}

#[test]
fn the_last_one_to_leave_empties_the_group() {
    check(&after(
        TWO,
        "
        leave b
          b: leave ok
        leave b
          b: leave UnknownMemberId
        heartbeat a
          a: heartbeat RebalanceInProgress
        leave a
          a: leave ok
          log: group generation 2
        state
          state Empty
        heartbeat a
          a: heartbeat UnknownMemberId
        join c v3
        wait 3000
          c: join ok as c#3 generation 3 range leader c#3 of c#3
        ",
    ));
}

#[test]
fn members_that_do_not_sync_are_out() {
    check(
        "
        join a v3 rebalance=8000 session=30000
        join b v3 rebalance=8000 session=30000
        wait 6000
          a: join ok as a#1 generation 1 range leader a#1 of a#1 b#2
          b: join ok as b#2 generation 1 range leader a#1
        sync a
          log: group generation 1 range leader a#1 a#1='for-a#1' b#2='for-b#2'
          a: sync ok range 'for-a#1'
        wait 7999
        heartbeat b
          b: heartbeat ok
        wait 1
        heartbeat b
          b: heartbeat UnknownMemberId
        heartbeat a
          a: heartbeat RebalanceInProgress
        ",
    );
    // The leader too: then those who wait for its assignment join again.
    check(
        "
        join a v3 rebalance=8000 session=30000
        join b v3 rebalance=8000 session=30000
        wait 6000
          a: join ok as a#1 generation 1 range leader a#1 of a#1 b#2
          b: join ok as b#2 generation 1 range leader a#1
        sync b
        wait 8000
          b: sync RebalanceInProgress
        join b rebalance=8000
          b: join ok as b#2 generation 2 range leader b#2 of b#2
        ",
    );
}

#[test]
fn a_member_that_leaves_while_it_waits_is_answered() {
    check(&after(
        TWO,
        "
        join c
          c: join MemberIdRequired as c#3
        join c
        leave c
          c: join UnknownMemberId
          c: leave ok
        wait 9000
        heartbeat b
          b: heartbeat RebalanceInProgress
        wait 1000
        heartbeat a
          a: heartbeat UnknownMemberId
        join b
          b: join ok as b#2 generation 2 range leader b#2 of b#2
        ",
    ));
}

#[test]
fn an_assignment_that_cannot_be_stored_is_nobodys() {
    for (failure, told) in [
        ("NotEnoughReplicas", "CoordinatorNotAvailable"),
        ("NotLeader", "NotCoordinator"),
        ("TimedOut", "RebalanceInProgress"),
        ("TooLarge", "UnknownServerError"),
    ] {
        check(&format!(
            "
        join a v3
        join b v3
        wait 6000
          a: join ok as a#1 generation 1 range leader a#1 of a#1 b#2
          b: join ok as b#2 generation 1 range leader a#1
        hold
        sync a
        sync b
        fail {failure}
          a: sync {told}
          b: sync {told}
        state
          state PreparingRebalance a#1='' b#2=''
        "
        ));
    }
}

#[test]
fn an_assignment_stored_too_late_is_nobodys() {
    check(
        "
        join a v3
        wait 3000
          a: join ok as a#1 generation 1 range leader a#1 of a#1
        hold
        sync a
        join b v3
          a: sync RebalanceInProgress
        store
          log: group generation 1 range leader a#1 a#1='for-a#1'
        state
          state PreparingRebalance a#1='' b#2=''
        join a
          a: join ok as a#1 generation 2 range leader a#1 of a#1 b#2
          b: join ok as b#2 generation 2 range leader a#1
        ",
    );
}

#[test]
fn a_rejoin_is_a_rebalance_only_if_something_changed() {
    check(&after(
        TWO,
        "
        join b
          b: join ok as b#2 generation 1 range leader a#1
        heartbeat a
          a: heartbeat ok
        join b protocols=range:t+u
        join a
          a: join ok as a#1 generation 2 range leader a#1 of a#1 b#2
          b: join ok as b#2 generation 2 range leader a#1
        join b protocols=range:t+u
          b: join ok as b#2 generation 2 range leader a#1
        join a
          a: join ok as a#1 generation 2 range leader a#1 of a#1 b#2
        sync a
          log: group generation 2 range leader a#1 a#1='for-a#1' b#2='for-b#2'
          a: sync ok range 'for-a#1'
        join a
        heartbeat b
          b: heartbeat RebalanceInProgress
        ",
    ));
}

#[test]
fn everyone_votes_among_the_protocols_all_know() {
    check(
        "
        join a v3 protocols=range,roundrobin,sticky
        join b v3 protocols=sticky,roundrobin,range
        join c v3 protocols=cooperative,roundrobin,sticky
        wait 6000
          a: join ok as a#1 generation 1 roundrobin leader a#1 of a#1 b#2 c#3
          b: join ok as b#2 generation 1 roundrobin leader a#1
          c: join ok as c#3 generation 1 roundrobin leader a#1
        join d v3 protocols=range
          d: join InconsistentGroupProtocol
        join e v3 type=connect protocols=sticky
          e: join InconsistentGroupProtocol
        sync a protocol=sticky
          a: sync InconsistentGroupProtocol
        ",
    );
    check(
        "
        join a v3 type= protocols=range
          a: join InconsistentGroupProtocol
        join a v3 protocols=range,range
        wait 3000
          a: join ok as a#2 generation 1 range leader a#2 of a#2
        ",
    );
}
