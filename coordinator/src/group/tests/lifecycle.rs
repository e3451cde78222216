//! How groups end: deleted, expired, emptied.

use super::script::{check, check_with};
use crate::group::GroupConfig;

/// Offsets are kept for 1,000 s; the check runs every 100 s.
fn short_retention() -> GroupConfig {
    GroupConfig {
        offsets_retention_ms: 1_000_000,
        retention_check_interval_ms: 100_000,
        ..GroupConfig::default()
    }
}

#[test]
fn only_a_group_without_members_is_deleted() {
    check(
        "
        delete
          delete GroupIdNotFound
        join a v3
        delete
          delete NonEmptyGroup
        wait 3000
          a: join ok as a#1 generation 1 range leader a#1 of a#1
        sync a
          log: group generation 1 range leader a#1 a#1='for-a#1'
          a: sync ok range 'for-a#1'
        commit a t-0=1 t-1=2
          log: t-0=1
          log: t-1=2
          a: commit ok
        leave a
          a: leave ok
          log: group generation 2
        delete
          delete ok
          log: t-0 gone
          log: t-1 gone
          log: group gone
        ",
    );
}

#[test]
fn a_deleted_topic_takes_every_empty_group_without_offsets_along() {
    // Whatever topic it was. A member that was only given its id begins again.
    check(
        "
        join a
          a: join MemberIdRequired as a#1
        state
          state Empty
        partitions-deleted u-0
        state
          state Dead
        join a
          a: join UnknownMemberId
        ",
    );
    // With a generation there is a record to take back.
    check(
        "
        join a v3
        wait 3000
          a: join ok as a#1 generation 1 range leader a#1 of a#1
        sync a
          log: group generation 1 range leader a#1 a#1='for-a#1'
          a: sync ok range 'for-a#1'
        partitions-deleted u-0
        leave a
          a: leave ok
          log: group generation 2
        partitions-deleted u-0
          log: group gone
        state
          state Dead
        ",
    );
    // Offsets elsewhere keep it, and so does a transaction that may bring some.
    check(
        "
        commit a t-0=1
          log: t-0=1
          a: commit ok
        partitions-deleted u-0
        state
          state Empty
        ",
    );
    check(
        "
        commit a t-0=1 txn=9
          log: t-0=1
          a: commit ok
        partitions-deleted t-0
        state
          state Empty
        ",
    );
}

#[test]
fn offsets_of_an_empty_group_expire_counted_from_when_it_emptied() {
    check_with(
        short_retention(),
        "
        join a v3 session=1800000
        wait 3000
          a: join ok as a#1 generation 1 range leader a#1 of a#1
        sync a
          log: group generation 1 range leader a#1 a#1='for-a#1'
          a: sync ok range 'for-a#1'
        commit a t-0=1
          log: t-0=1
          a: commit ok
        wait 1297000
        leave a
          a: leave ok
          log: group generation 2
        wait 999999
        fetch
          fetched t-0=1
        wait 1
          log: t-0 gone
          log: group gone
        state
          state Dead
        ",
    );
}

#[test]
fn offsets_of_topics_that_nobody_reads_any_more_expire_counted_from_their_commit() {
    check_with(
        short_retention(),
        "
        join a v3 session=1800000 protocols=range:t
        wait 3000
          a: join ok as a#1 generation 1 range leader a#1 of a#1
        sync a
          log: group generation 1 range leader a#1 a#1='for-a#1'
          a: sync ok range 'for-a#1'
        commit a t-0=1 u-0=2
          log: t-0=1
          log: u-0=2
          a: commit ok
        wait 1097000
          log: u-0 gone
        heartbeat a
          a: heartbeat ok
        fetch
          fetched t-0=1
        ",
    );
}

#[test]
fn offsets_without_a_group_expire_counted_from_their_commit_or_as_it_said() {
    check_with(
        short_retention(),
        "
        commit a t-0=1
          log: t-0=1
          a: commit ok
        commit a t-1=2 expire=50000
          log: t-1=2
          a: commit ok
        wait 99999
        fetch
          fetched t-0=1 t-1=2
        wait 1
          log: t-1 gone
        wait 899999
        fetch
          fetched t-0=1
        wait 1
          log: t-0 gone
        state
          state Dead
        ",
    );
}

#[test]
fn a_commit_on_its_way_spares_its_offset_and_its_group() {
    check_with(
        short_retention(),
        "
        commit a t-0=1
          log: t-0=1
          a: commit ok
        hold
        commit a t-0=2
        wait 1000000
        fetch
          fetched t-0=1
        ",
    );
}

#[test]
fn names_that_were_only_tried_are_forgotten() {
    check_with(
        GroupConfig { groups_max: 1, pending_members_max: 1, ..short_retention() },
        "
        join a
          a: join MemberIdRequired as a#1
        join b
          b: join GroupMaxSizeReached
        wait 10000
        join b
          b: join MemberIdRequired as b#3
        wait 90000
        state
          state Dead
        ",
    );
}
