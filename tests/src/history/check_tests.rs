//! A good history has no anomaly, and each kind of damage done to it is found and named.

use super::super::{Event, History};
use super::*;

fn event(process: &str, outcome: Outcome, action: Action) -> Event {
    Event { process: process.to_owned(), outcome, time_ns: 0, action }
}

fn sent(process: &str, outcome: Outcome, value: u64, partition: i32) -> Event {
    event(process, outcome, Action::Send { value, partition, offset: None })
}

fn acked(process: &str, value: u64, (partition, offset): Position) -> Event {
    event(process, Outcome::Ok, Action::Send { value, partition, offset: Some(offset) })
}

fn polled(process: &str, value: u64, (partition, offset): Position) -> Event {
    event(process, Outcome::Ok, Action::Poll { value, partition, offset })
}

/// Process `a` sends 0 to 5 to two partitions in turn, 4 without an answer; `r` reads them, and so
/// does `end` at the end.
fn good() -> History {
    let mut events = vec![];
    for value in 0..6 {
        let at = (value as i32 % 2, value as i64 / 2);
        events.push(sent("a", Outcome::Invoke, value, at.0));
        events.push(match value {
            4 => sent("a", Outcome::Info, value, at.0),
            _ => acked("a", value, at),
        });
    }
    for reader in ["r", "end"] {
        events.extend((0..6).map(|v| polled(reader, v, (v as i32 % 2, v as i64 / 2))));
    }
    History { events }
}

fn found(damage: impl FnOnce(&mut Vec<Event>)) -> Vec<Anomaly> {
    let mut history = good();
    damage(&mut history.events);
    check(&history, "end").anomalies
}

fn is_poll_of(event: &Event, reader: &str, wanted: u64) -> bool {
    event.process == reader && matches!(event.action, Action::Poll { value, .. } if value == wanted)
}

#[test]
fn a_good_history_passes() {
    let verdict = check(&good(), "end");
    assert_eq!(verdict, Verdict { sent: 6, acked: 5, polled: 12, anomalies: vec![] });
}

#[test]
fn an_unknown_send_may_be_missing() {
    assert_eq!(
        found(|events| events.retain(|e| { !is_poll_of(e, "r", 4) && !is_poll_of(e, "end", 4) })),
        vec![]
    );
}

#[test]
fn a_lost_write_is_found() {
    let anomalies = found(|events| {
        events.retain(|e| !is_poll_of(e, "r", 2) && !is_poll_of(e, "end", 2));
    });
    assert_eq!(anomalies, vec![Anomaly::Lost { value: 2, at: (0, 1) }]);
}

#[test]
fn a_write_acknowledged_without_its_offset_must_be_there() {
    let somewhere = |events: &mut Vec<Event>| {
        events.push(sent("b", Outcome::Invoke, 77, 0));
        events.push(sent("b", Outcome::Ok, 77, 0));
    };
    assert_eq!(found(somewhere), vec![Anomaly::Gone { value: 77, partition: 0 }]);
    let there = |events: &mut Vec<Event>| {
        somewhere(events);
        events.push(polled("end", 77, (0, 3)));
    };
    assert_eq!(found(there), vec![]);
}

#[test]
fn a_lost_end_is_found() {
    let anomalies = found(|events| {
        events.retain(|e| !is_poll_of(e, "r", 5) && !is_poll_of(e, "end", 5));
    });
    let unread = Anomaly::Unread { partition: 1, acked: 2, read: Some(1) };
    assert_eq!(anomalies, vec![Anomaly::Lost { value: 5, at: (1, 2) }, unread]);
}

#[test]
fn a_partition_that_nobody_read_in_the_end_is_found() {
    let anomalies = found(|events| events.retain(|e| e.process != "end"));
    let unread = |(partition, acked)| Anomaly::Unread { partition, acked, read: None };
    let both = [(0, 1), (1, 2)].map(unread);
    assert!(both.iter().all(|one| anomalies.contains(one)), "{anomalies:?}");
}

#[test]
fn a_record_that_vanished_after_it_was_read_is_found() {
    let anomalies = found(|events| events.retain(|e| !is_poll_of(e, "end", 4)));
    let vanished = Anomaly::Vanished { value: 4, at: (0, 2), reader: "r".into() };
    assert_eq!(anomalies, vec![vanished]);
}

#[test]
fn two_values_at_one_offset_are_found() {
    let anomalies = found(|events| {
        events.push(sent("b", Outcome::Invoke, 100, 0));
        events.push(acked("b", 100, (0, 1)));
    });
    let both = Anomaly::Inconsistent { at: (0, 1), values: [2, 100].into() };
    assert!(anomalies.contains(&both), "{anomalies:?}");
    assert!(anomalies.contains(&Anomaly::Lost { value: 100, at: (0, 1) }), "{anomalies:?}");
}

#[test]
fn a_duplicate_is_found() {
    let anomalies = found(|events| events.push(polled("end", 2, (0, 3))));
    let duplicate = Anomaly::Duplicate { value: 2, at: [(0, 1), (0, 3)].into() };
    assert!(anomalies.contains(&duplicate), "{anomalies:?}");
}

#[test]
fn a_value_nobody_sent_is_found() {
    let anomalies = found(|events| events.push(polled("end", 77, (0, 3))));
    assert_eq!(anomalies, vec![Anomaly::Phantom { value: 77, at: (0, 3) }]);
}

#[test]
fn a_value_whose_send_failed_is_found() {
    let anomalies = found(|events| {
        events.push(sent("b", Outcome::Invoke, 77, 0));
        events.push(sent("b", Outcome::Fail, 77, 0));
        events.push(polled("end", 77, (0, 3)));
    });
    assert_eq!(anomalies, vec![Anomaly::Phantom { value: 77, at: (0, 3) }]);
}

#[test]
fn a_value_in_another_partition_is_found() {
    let anomalies = found(|events| {
        events.push(sent("b", Outcome::Invoke, 77, 1));
        events.push(polled("end", 77, (0, 3)));
    });
    assert_eq!(anomalies, vec![Anomaly::Phantom { value: 77, at: (0, 3) }]);
}

#[test]
fn disorder_is_found() {
    let anomalies = found(|events| {
        for (value, offset) in [(100, 4), (101, 3)] {
            events.push(sent("b", Outcome::Invoke, value, 0));
            events.push(acked("b", value, (0, offset)));
        }
        events.push(polled("end", 101, (0, 3)));
        events.push(polled("end", 100, (0, 4)));
    });
    let disorder = Anomaly::Disorder { process: "b".into(), partition: 0, first: 101, then: 100 };
    assert_eq!(anomalies, vec![disorder]);
}

#[test]
fn a_reader_that_goes_back_is_found_unless_a_group_moved_it() {
    let again = |events: &mut Vec<Event>| events.push(polled("r", 2, (0, 1)));
    let back = Anomaly::Backwards { reader: "r".into(), partition: 0, from: 2, to: 1 };
    assert_eq!(found(again), vec![back]);
    let chosen = |events: &mut Vec<Event>| {
        events.push(event("r", Outcome::Ok, Action::Assign));
        again(events);
    };
    assert_eq!(found(chosen), vec![]);
    let moved = |events: &mut Vec<Event>| {
        events.push(event("r", Outcome::Ok, Action::Subscribe));
        again(events);
    };
    assert_eq!(found(moved), vec![]);
}

#[test]
fn a_reader_that_leaves_something_out_is_found_unless_a_group_moved_it() {
    let skip = |events: &mut Vec<Event>| events.retain(|e| !is_poll_of(e, "r", 3));
    assert_eq!(found(skip), vec![Anomaly::Skipped { reader: "r".into(), at: (1, 1) }]);
    let moved = |events: &mut Vec<Event>| {
        skip(events);
        events.push(event("r", Outcome::Ok, Action::Subscribe));
    };
    assert_eq!(found(moved), vec![]);
}
