//! Offsets: who may commit, what is stored when, and what transactions hold back.

use super::script::{check, check_with};
use crate::group::GroupConfig;

#[test]
fn a_consumer_without_a_group_commits_and_reads_back() {
    check(
        "
        fetch t-0
          fetched t-0=none
        commit nobody t-0=5:note t-1=7
          log: t-0=5
          log: t-1=7
          nobody: commit ok
        fetch t-0 t-1 u-0
          fetched t-0=5:note t-1=7 u-0=none
        fetch
          fetched t-0=5:note t-1=7
        state
          state Empty
        commit nobody t-0=6 gen=3
          nobody: commit UnknownMemberId
        ",
    );
}

#[test]
fn an_unknown_group_takes_no_commit_of_a_generation() {
    check(
        "
        commit a t-0=5 gen=0
          a: commit IllegalGeneration
        state
          state Dead
        ",
    );
}

#[test]
fn a_group_at_work_takes_commits_of_its_members_only() {
    check(
        "
        join a v3
        wait 3000
          a: join ok as a#1 generation 1 range leader a#1 of a#1
        sync a
          log: group generation 1 range leader a#1 a#1='for-a#1'
          a: sync ok range 'for-a#1'
        commit other t-0=5
          other: commit UnknownMemberId
        commit a t-0=5 gen=-1
          a: commit IllegalGeneration
        wait 9000
        commit a t-0=5
          log: t-0=5
          a: commit ok
        wait 9000
        heartbeat a
          a: heartbeat ok
        ",
    );
}

#[test]
fn metadata_that_is_too_long_is_refused_for_its_partition_alone() {
    check_with(
        GroupConfig { offset_metadata_max_units: 3, ..GroupConfig::default() },
        "
        commit a t-0=5:long t-1=6:öäü
          log: t-1=6
          a: commit t-0=OffsetMetadataTooLarge t-1=ok
        commit a t-0=5:long
          a: commit OffsetMetadataTooLarge
        fetch
          fetched t-1=6:öäü
        ",
    );
}

#[test]
fn a_commit_counts_once_it_is_stored() {
    check(
        "
        commit a t-0=1
          log: t-0=1
          a: commit ok
        hold
        commit a t-0=2
        fetch t-0
          fetched t-0=1
        fetch stable t-0 t-1
          fetched t-0=UnstableOffsetCommit t-1=none
        fail NotEnoughReplicas
          a: commit CoordinatorNotAvailable
        fetch stable t-0
          fetched t-0=1
        hold
        commit a t-0=3
        commit a t-0=4
        store
          log: t-0=3
          a: commit ok
          log: t-0=4
          a: commit ok
        fetch stable t-0
          fetched t-0=4
        ",
    );
    for (failure, told) in [
        ("UnknownPartition", "CoordinatorNotAvailable"),
        ("NotLeader", "NotCoordinator"),
        ("TimedOut", "RequestTimedOut"),
        ("TooLarge", "InvalidCommitOffsetSize"),
    ] {
        check(&format!(
            "
        hold
        commit a t-0=2
        fail {failure}
          a: commit {told}
        "
        ));
    }
}

#[test]
fn a_transactions_offsets_count_when_it_commits() {
    check(
        "
        commit a t-0=1
          log: t-0=1
          a: commit ok
        commit p t-0=5 t-1=6 txn=9
          log: t-0=5
          log: t-1=6
          p: commit ok
        fetch
          fetched t-0=1
        fetch stable t-0 t-1 t-2
          fetched t-0=UnstableOffsetCommit t-1=UnstableOffsetCommit t-2=none
        end 9 commit
        fetch stable t-0 t-1
          fetched t-0=5 t-1=6
        commit p t-0=7 txn=9
          log: t-0=7
          p: commit ok
        end 9 abort
        fetch stable t-0
          fetched t-0=5
        ",
    );
}

#[test]
fn of_two_commits_the_one_later_in_the_log_wins() {
    check(
        "
        commit p t-0=5 txn=9
          log: t-0=5
          p: commit ok
        commit a t-0=8
          log: t-0=8
          a: commit ok
        end 9 commit
        fetch t-0
          fetched t-0=8
        reload
        fetch t-0
          fetched t-0=8
        ",
    );
}

#[test]
fn deleted_offsets_are_those_nobody_reads() {
    check(
        "
        delete-offsets t-0
          delete-offsets GroupIdNotFound
        join a v3 protocols=range:t+u
        wait 3000
          a: join ok as a#1 generation 1 range leader a#1 of a#1
        sync a
          log: group generation 1 range leader a#1 a#1='for-a#1'
          a: sync ok range 'for-a#1'
        commit a t-0=1 u-0=2 v-0=3 v-1=4
          log: t-0=1
          log: u-0=2
          log: v-0=3
          log: v-1=4
          a: commit ok
        delete-offsets t-0 v-0 v-7
          delete-offsets t-0=GroupSubscribedToTopic v-0=ok v-7=ok
          log: v-0 gone
        leave a
          a: leave ok
          log: group generation 2
        delete-offsets t-0 u-0
          delete-offsets ok
          log: t-0 gone
          log: u-0 gone
        fetch
          fetched v-1=4
        delete-offsets v-1
          delete-offsets ok
          log: v-1 gone
          log: group gone
        state
          state Dead
        ",
    );
    check(
        "
        join a v3 type=connect protocols=x
        wait 3000
          a: join ok as a#1 generation 1 x leader a#1 of a#1
        delete-offsets t-0
          delete-offsets NonEmptyGroup
        ",
    );
    // A subscription that cannot be read may be to anything.
    check(
        "
        join a v3 protocols=range!
        wait 3000
          a: join ok as a#1 generation 1 range leader a#1 of a#1
        delete-offsets t-0
          delete-offsets GroupSubscribedToTopic
        ",
    );
}

#[test]
fn offsets_of_deleted_partitions_go_with_them() {
    check(
        "
        commit a t-0=1 t-1=2 u-0=3
          log: t-0=1
          log: t-1=2
          log: u-0=3
          a: commit ok
        hold
        commit a t-0=5
        partitions-deleted t-0 t-1
        store
          log: t-0=5
          a: commit ok
          log: t-0 gone
          log: t-1 gone
        fetch
          fetched u-0=3
        partitions-deleted u-0
          log: u-0 gone
        state
          state Dead
        reload
        state
          state Dead
        ",
    );
}
