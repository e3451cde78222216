//! Tables for the partition's checks and transitions. Knows nothing of logs.

use super::*;

const LAG_MS: i64 = 30_000;

fn assignment(leader: BrokerId, epoch: i32, replicas: &[BrokerId]) -> PartitionAssignment {
    PartitionAssignment {
        controller_epoch: 1,
        leader,
        leader_epoch: epoch,
        isr: replicas.to_vec(),
        partition_epoch: epoch,
        replicas: replicas.to_vec(),
        adding: vec![],
        removing: vec![],
    }
}

fn leader_of(replicas: &[BrokerId], log_end: Offset) -> PartitionState {
    let mut state = PartitionState::new(1);
    state.make_leader(&assignment(1, 5, replicas), log_end, 1000);
    state
}

fn fetch(offset: Offset, leader_end: Offset) -> FollowerFetch {
    FollowerFetch { offset, log_start: 0, leader_end, broker_epoch: 9 }
}

fn log(end: Offset, high_watermark: Offset) -> LogOffsets {
    LogOffsets { start: 0, end, high_watermark }
}

fn everybody(_: BrokerId) -> bool {
    true
}

fn watermark_of(state: &PartitionState, log: &LogOffsets, now_ms: i64) -> Option<Offset> {
    state.next_high_watermark(log, 2, LAG_MS, now_ms, &everybody)
}

#[test]
fn epochs_fence_both_ways() {
    let leader = leader_of(&[1, 2], 0);
    let mut follower = PartitionState::new(1);
    follower.make_follower(&assignment(2, 5, &[1, 2]));
    let (fenced, unknown) = (AccessError::FencedLeaderEpoch, AccessError::UnknownLeaderEpoch);
    let table = [
        (&leader, -1, true, Ok(())),
        (&leader, 5, true, Ok(())),
        (&leader, 4, true, Err(fenced)),
        (&leader, 6, true, Err(unknown)),
        (&follower, 5, true, Err(AccessError::NotLeader)),
        (&follower, -1, true, Err(AccessError::NotLeader)),
        (&follower, 5, false, Ok(())),
        (&follower, 4, true, Err(fenced)),
        (&follower, 6, false, Err(unknown)),
    ];
    for (state, epoch, leader_only, expected) in table {
        assert_eq!(state.check_access(epoch, leader_only), expected, "{epoch} {leader_only}");
    }
    assert_eq!(leader.check_follower(2, 5), Ok(()));
    assert_eq!(leader.check_follower(3, 5), Err(unknown));
    assert_eq!(leader.check_follower(3, -1), Err(AccessError::NotLeader));
}

#[test]
fn only_a_newer_leader_epoch_is_acted_on() {
    let state = leader_of(&[1, 2], 0);
    let table = [
        (assignment(1, 5, &[1, 2]), Verdict::Stale),
        (assignment(1, 4, &[1, 2]), Verdict::Stale),
        (assignment(1, 6, &[1, 2]), Verdict::Lead),
        (assignment(2, 6, &[1, 2]), Verdict::Follow),
        (assignment(-1, 6, &[1, 2]), Verdict::Follow),
        (assignment(2, 6, &[2, 3]), Verdict::NotAReplica),
    ];
    for (change, expected) in table {
        assert_eq!(state.judge(&change), expected, "{change:?}");
    }
}

#[test]
fn an_epoch_starts_at_the_log_end() {
    let mut state = PartitionState::new(1);
    let first = state.make_leader(&assignment(1, 5, &[1, 2]), 7, 1000);
    assert_eq!(first, MadeLeader::NewEpoch { epoch: 5, start: 7, was_leader: false });
    let mut grown = assignment(1, 5, &[1, 2, 3]);
    grown.partition_epoch = 6;
    assert_eq!(state.make_leader(&grown, 9, 1000), MadeLeader::SameEpoch);
    assert_eq!(state.epoch_start(), Some(7));
    assert_eq!(state.replicas(), [1, 2, 3]);
    grown.partition_epoch = 4;
    grown.leader_epoch = 8;
    assert_eq!(state.make_leader(&grown, 9, 1000), MadeLeader::Outdated);
    assert_eq!(state.leader_epoch(), 5);

    assert_eq!(state.make_follower(&assignment(2, 7, &[1, 2])), Some(true));
    assert!(!state.is_leader() && state.isr().members().is_empty());
    assert_eq!(state.make_follower(&assignment(2, 7, &[1, 2])), Some(false));
    assert_eq!(state.make_follower(&assignment(2, 6, &[1, 2])), None);
}

#[test]
fn what_followers_have_is_forgotten_after_an_epoch_that_was_missed() {
    // (the next epoch here, the watermark that 2's former log end allows at once)
    for (epoch, expected) in [(6, Some(8)), (7, None)] {
        let mut state = leader_of(&[1, 2], 10);
        state.follower_fetched(2, &fetch(8, 10), 1100).expect("a follower");
        assert_eq!(watermark_of(&state, &log(10, 4), 1100), Some(8));
        let made = state.make_leader(&assignment(1, epoch, &[1, 2]), 10, 1200);
        assert_eq!(made, MadeLeader::NewEpoch { epoch, start: 10, was_leader: true });
        // Another may have led in epoch 6, and 2 have cut its log to 5 for it.
        assert_eq!(watermark_of(&state, &log(10, 4), 1200), expected, "epoch {epoch}");
        state.follower_fetched(2, &fetch(5, 10), 1300).expect("a follower");
        assert_eq!(watermark_of(&state, &log(10, 4), 1300), Some(5), "epoch {epoch}");
    }
}

#[test]
fn alone_the_watermark_is_the_log_end() {
    let state = leader_of(&[1], 10);
    assert_eq!(watermark_of(&state, &log(10, 0), 1000), Some(10));
    assert_eq!(watermark_of(&state, &log(10, 10), 1000), None);
    assert_eq!(state.check_min_isr(3), Ok(()), "it counts at most as many as there are replicas");
}

#[test]
fn the_watermark_waits_for_the_isr_and_for_whoever_has_caught_up() {
    let mut state = leader_of(&[1, 2, 3], 10);
    assert_eq!(watermark_of(&state, &log(10, 0), 1000), None, "followers are unknown yet");
    state.follower_fetched(2, &fetch(10, 10), 1000).expect("a follower");
    state.follower_fetched(3, &fetch(6, 10), 1000).expect("a follower");
    assert_eq!(watermark_of(&state, &log(10, 0), 1000), Some(6));

    // 3 lags and goes: until the controller says so, it still holds the watermark.
    let later = 1000 + LAG_MS + 1;
    state.follower_fetched(2, &fetch(10, 10), later).expect("a follower");
    let shrink = state.shrink_isr(10, LAG_MS, later).expect("3 lags");
    assert_eq!(shrink.new_isr, [1, 2]);
    assert_eq!(watermark_of(&state, &log(10, 6), later), None);
    let answer =
        IsrAnswer::Committed { leader_epoch: 5, partition_epoch: 6, isr: shrink.new_isr.clone() };
    assert_eq!(state.isr_answered(&shrink, &answer), IsrOutcome::Committed);
    assert_eq!(state.partition_epoch(), 6);
    assert_eq!(watermark_of(&state, &log(10, 6), later), Some(10));

    // It comes back: it is caught up, so it holds the watermark again before it is in the ISR.
    state.follower_fetched(3, &fetch(12, 12), later).expect("a follower");
    state.follower_fetched(2, &fetch(15, 15), later).expect("a follower");
    assert_eq!(watermark_of(&state, &log(15, 10), later), Some(12));
    let expand = state.expand_isr(3, &log(15, 12), &everybody).expect("it has what is committed");
    assert_eq!((expand.new_isr, expand.partition_epoch), (vec![1, 2, 3], 6));
}

#[test]
fn nobody_waits_for_a_replica_that_the_controller_refused() {
    let now = 1000 + LAG_MS;
    let mut state = leader_of(&[1, 2, 3], 10);
    let mut without = assignment(1, 6, &[1, 2, 3]);
    without.isr = vec![1, 2];
    state.make_leader(&without, 10, now);
    // 3 is told to stop, and its last fetch comes before it does.
    state.follower_fetched(3, &fetch(10, 10), now).expect("a follower");
    state.follower_fetched(2, &fetch(15, 15), now).expect("a follower");
    let asked = state.expand_isr(3, &log(15, 10), &everybody).expect("it has what is committed");
    assert_eq!(watermark_of(&state, &log(15, 10), now + 1), None, "it may be in already");
    assert_eq!(state.isr_answered(&asked, &IsrAnswer::Rejected), IsrOutcome::Reverted);
    assert_eq!(watermark_of(&state, &log(15, 10), now + 1), Some(15));
    state.follower_fetched(3, &fetch(15, 15), now + 2).expect("a follower");
    assert_eq!(watermark_of(&state, &log(20, 15), now + 2), None, "it fetches on");
}

#[test]
fn too_few_in_sync_replicas_stop_the_watermark_and_acks_all() {
    let mut state = leader_of(&[1, 2, 3], 0);
    let mut alone = assignment(1, 6, &[1, 2, 3]);
    alone.isr = vec![1];
    state.make_leader(&alone, 0, 1000);
    assert_eq!(state.check_min_isr(2), Err(NotEnoughReplicas { in_sync: 1, needed: 2 }));
    assert_eq!(state.check_min_isr(1), Ok(()));
    assert_eq!(watermark_of(&state, &log(10, 0), 1000 + LAG_MS + 1), None);
    assert!(state.is_under_replicated() && state.is_under_min_isr(2));

    let table = [
        (11, 10, 1, AcksAll::Waiting),
        (10, 10, 1, AcksAll::Replicated),
        (10, 10, 2, AcksAll::NotEnoughReplicas),
        (11, 10, 2, AcksAll::Waiting),
    ];
    for (required, high_watermark, min_isr, expected) in table {
        assert_eq!(state.acks_all(required, high_watermark, min_isr), expected);
    }
    state.make_follower(&assignment(2, 7, &[1, 2, 3]));
    assert_eq!(state.acks_all(1, 10, 1), AcksAll::NotLeader);
}

#[test]
fn a_replica_joins_only_alive_and_past_the_epochs_start() {
    let mut state = leader_of(&[1, 2], 0);
    let mut alone = assignment(1, 6, &[1, 2]);
    alone.isr = vec![1];
    state.make_leader(&alone, 20, 1000);
    let log = log(25, 10);
    state.follower_fetched(2, &fetch(15, 25), 1000).expect("a follower");
    assert_eq!(state.expand_isr(2, &log, &everybody), None, "the epoch starts at 20");
    state.follower_fetched(2, &fetch(20, 25), 1000).expect("a follower");
    assert_eq!(state.expand_isr(2, &log, &|_| false), None, "it is not alive");
    assert!(state.expand_isr(2, &log, &everybody).is_some());
    assert_eq!(state.expand_isr(2, &log, &everybody), None, "one change at a time");
}

#[test]
fn a_fetch_of_a_former_life_counts_for_nothing() {
    let mut state = leader_of(&[1, 2], 0);
    let at = |broker_epoch, offset| FollowerFetch { broker_epoch, ..fetch(offset, 20) };
    let log_end = |state: &PartitionState| state.follower(2).expect("a follower").log_end;
    // (broker epoch, offset, whether it counts, what the leader believes then)
    let table = [(9, 5, true, 5), (12, 3, true, 3), (9, 20, false, 3), (-1, 7, true, 7)];
    for (epoch, offset, counts, believed) in table {
        let noted = state.follower_fetched(2, &at(epoch, offset), 1000);
        assert_eq!(noted.is_ok(), counts, "{epoch}");
        assert_eq!(log_end(&state), believed, "{epoch}");
    }
    assert!(state.follower_fetched(7, &at(9, 0), 1000).is_err(), "7 is no replica");
}

#[test]
fn when_an_isr_is_thin() {
    // (replicas, ISR, min ISR, thin?)
    let table: [(&[i32], usize, usize, bool); 6] = [
        (&[1], 1, 1, false),
        (&[1, 2], 1, 1, true),
        (&[1, 2], 2, 1, false),
        (&[1, 2, 3], 2, 2, false),
        (&[1, 2, 3], 2, 3, true),
        (&[1, 2], 2, 3, false),
    ];
    for (replicas, isr_len, min_isr, thin) in table {
        let state = leader_of(replicas, 0);
        assert_eq!(state.is_isr_thin(isr_len, min_isr), thin, "{replicas:?} {isr_len} {min_isr}");
    }
}

#[test]
fn the_low_watermark_counts_the_living() {
    let mut state = leader_of(&[1, 2, 3], 10);
    state
        .follower_fetched(2, &FollowerFetch { log_start: 4, ..fetch(10, 10) }, 1000)
        .expect("a follower");
    assert_eq!(state.low_watermark(5, &|id| id != 3), 4);
    assert_eq!(state.low_watermark(5, &everybody), -1, "3 has not fetched");
}
