//! Tables for `producer_state.rs`.

use super::*;

fn data(id: i64, epoch: i16, seq: i32, count: i32, at: Offset, txn: bool) -> LogBatch {
    LogBatch {
        magic: 2,
        base_offset: at,
        last_offset: at + i64::from(count) - 1,
        size: 100,
        crc: 0,
        leader_epoch: 0,
        max_timestamp: 1000 + at,
        attributes: if txn { 0x10 } else { 0 },
        producer_id: id,
        producer_epoch: epoch,
        base_sequence: seq,
        last_sequence: ((i64::from(seq) + i64::from(count) - 1) % (1 << 31)) as i32,
        record_count: count,
    }
}

fn append(state: &mut ProducerState, batch: &LogBatch) -> Result<(), AppendError> {
    let mut updates = ProducerUpdates::default();
    state.prepare_data(&mut updates, batch, AppendOrigin::Client, None)?;
    state.apply(updates, batch.next_offset());
    Ok(())
}

fn end(
    state: &mut ProducerState,
    id: i64,
    epoch: i16,
    at: Offset,
    commit: bool,
    coordinator_epoch: i32,
) -> Result<Vec<AbortedTxn>, AppendError> {
    let mut updates = ProducerUpdates::default();
    let batch = LogBatch { attributes: 0x30, ..data(id, epoch, -1, 1, at, true) };
    let marker = EndMarker { commit, coordinator_epoch, timestamp: 7 };
    state.prepare_marker(&mut updates, &batch, &marker, AppendOrigin::Coordinator)?;
    Ok(state.apply(updates, at + 1))
}

#[test]
fn sequences_follow_one_another_and_wrap() {
    let mut state = ProducerState::default();
    append(&mut state, &data(1, 0, i32::MAX - 1, 1, 0, false)).expect("unknown: any sequence");
    append(&mut state, &data(1, 0, i32::MAX, 2, 1, false)).unwrap();
    assert_eq!(state.get(1).unwrap().last_sequence(), 0);
    assert!(matches!(
        append(&mut state, &data(1, 0, 3, 1, 3, false)),
        Err(AppendError::OutOfOrderSequence { expected: 1, got: 3, .. })
    ));
    append(&mut state, &data(1, 0, 1, 1, 3, false)).unwrap();
    assert!(matches!(
        append(&mut state, &data(1, 1, 5, 1, 4, false)),
        Err(AppendError::OutOfOrderSequence { expected: 0, .. })
    ));
    append(&mut state, &data(1, 1, 0, 1, 4, false)).unwrap();
    assert!(matches!(
        append(&mut state, &data(1, 0, 2, 1, 5, false)),
        Err(AppendError::InvalidProducerEpoch { got: 0, current: 1, .. })
    ));
}

#[test]
fn the_last_five_batches_are_known() {
    let mut state = ProducerState::default();
    for i in 0..6 {
        append(&mut state, &data(1, 0, i * 2, 2, i64::from(i) * 2, false)).unwrap();
    }
    assert_eq!(state.duplicate_of(&data(1, 0, 0, 2, 12, false)), None);
    let known = state.duplicate_of(&data(1, 0, 2, 2, 12, false)).unwrap();
    assert_eq!((known.first_offset(), known.last_offset), (2, 3));
    assert_eq!(state.duplicate_of(&data(1, 0, 2, 3, 12, false)), None);
    assert_eq!(state.duplicate_of(&data(1, 1, 2, 2, 12, false)), None);
}

#[test]
fn transactions_hold_the_stable_offset_back() {
    let mut state = ProducerState::default();
    append(&mut state, &data(1, 0, 0, 2, 0, true)).unwrap();
    append(&mut state, &data(2, 0, 0, 1, 2, true)).unwrap();
    assert!(matches!(
        append(&mut state, &data(1, 0, 2, 1, 3, false)),
        Err(AppendError::InvalidTxnState { .. })
    ));
    assert_eq!(state.first_unstable_offset(3), Some(0));
    let aborted = end(&mut state, 1, 0, 3, false, 0).unwrap();
    assert_eq!(
        aborted,
        [AbortedTxn { producer_id: 1, first_offset: 0, last_offset: 3, last_stable_offset: 2 }]
    );
    assert_eq!(state.first_unstable_offset(3), Some(0), "the marker is not replicated yet");
    assert_eq!(state.first_unstable_offset(4), Some(2));
    assert!(end(&mut state, 2, 0, 4, true, 5).unwrap().is_empty());
    assert_eq!(state.first_unstable_offset(5), None);
    assert!(matches!(
        end(&mut state, 2, 0, 5, true, 4),
        Err(AppendError::CoordinatorFenced { got: 4, current: 5, .. })
    ));
    let aborted = end(&mut state, 2, 1, 5, false, 5).unwrap();
    assert!(aborted.is_empty(), "no transaction was open");
    let entry = state.get(2).unwrap();
    assert_eq!((entry.producer_epoch, entry.last_sequence()), (1, -1));
    append(&mut state, &data(2, 1, 0, 1, 6, true)).expect("a raised epoch begins at 0");
}

#[test]
fn silent_producers_expire_unless_a_transaction_is_open() {
    let mut state = ProducerState::default();
    append(&mut state, &data(1, 0, 0, 1, 0, false)).unwrap();
    append(&mut state, &data(2, 0, 0, 1, 1, true)).unwrap();
    state.remove_expired(1000 + 99, 100);
    assert_eq!(state.len(), 2);
    state.remove_expired(1000 + 100_000, 100);
    assert_eq!(state.producers().keys().copied().collect::<Vec<_>>(), [2]);
}

fn verified(
    state: &mut ProducerState,
    batch: &LogBatch,
    guard: VerificationGuard,
) -> Result<(), AppendError> {
    let mut updates = ProducerUpdates::default();
    state.prepare_data(&mut updates, batch, AppendOrigin::Client, Some(guard))?;
    state.apply(updates, batch.next_offset());
    Ok(())
}

#[test]
fn a_transaction_begins_only_with_the_guard_of_its_question() {
    let none = VerificationGuard::NONE;
    let [one, two, three] = [1, 2, 3].map(VerificationGuard::new);
    let mut state = ProducerState::default();
    let unknown = |result| matches!(result, Err(AppendError::InvalidTxnState { .. }));
    assert!(unknown(verified(&mut state, &data(1, 0, 0, 1, 0, true), none)));
    verified(&mut state, &data(2, 0, 0, 1, 0, false), none).expect("it is no transaction's");
    assert_eq!(state.begin_verification((1, 0), 0, one, 0), Some(one));
    assert!(unknown(verified(&mut state, &data(1, 0, 0, 1, 1, true), none)));
    verified(&mut state, &data(1, 0, 0, 1, 1, true), one).unwrap();
    assert_eq!(state.begin_verification((1, 0), 1, two, 0), None, "it is open");
    verified(&mut state, &data(1, 0, 1, 1, 2, true), none).unwrap();
    // The answer to a question from before a transaction's end opens no other transaction.
    end(&mut state, 1, 0, 3, true, 0).unwrap();
    assert_eq!(state.begin_verification((1, 0), 2, two, 0), Some(two));
    end(&mut state, 1, 0, 4, false, 0).unwrap();
    assert!(unknown(verified(&mut state, &data(1, 0, 2, 1, 5, true), two)));
    assert_eq!(state.begin_verification((1, 0), 2, three, 0), Some(three));
    assert!(unknown(verified(&mut state, &data(1, 0, 2, 1, 5, true), two)));
    verified(&mut state, &data(1, 0, 2, 1, 5, true), three).unwrap();
}

#[test]
fn a_stale_epoch_is_told_before_a_missing_transaction() {
    let none = VerificationGuard::NONE;
    let mut state = ProducerState::default();
    append(&mut state, &data(1, 3, 0, 1, 0, true)).unwrap();
    end(&mut state, 1, 4, 1, false, 0).unwrap();
    assert!(matches!(
        verified(&mut state, &data(1, 3, 1, 1, 2, true), none),
        Err(AppendError::InvalidProducerEpoch { got: 3, current: 4, .. })
    ));
    for epoch in [4, 5] {
        let refused = verified(&mut state, &data(1, epoch, 0, 1, 2, true), none);
        assert!(matches!(refused, Err(AppendError::InvalidTxnState { .. })), "epoch {epoch}");
    }
}

#[test]
fn a_later_batch_does_not_begin_a_transaction_before_the_first() {
    let mut state = ProducerState::default();
    let guard = VerificationGuard::new(1);
    state.begin_verification((1, 0), 0, guard, 0);
    state.begin_verification((1, 0), 3, VerificationGuard::new(2), 0);
    assert!(matches!(
        verified(&mut state, &data(1, 0, 3, 1, 0, true), guard),
        Err(AppendError::OutOfOrderSequence { expected: 0, got: 3, .. })
    ));
    verified(&mut state, &data(1, 0, 0, 3, 0, true), guard).unwrap();
    verified(&mut state, &data(1, 0, 3, 1, 3, true), VerificationGuard::NONE).unwrap();
}
