//! The session core by tables: at a time, an event, and all the effects it has. No socket, no
//! server.
//!
//! Two servers, session timeout 9000 ms, two requests in flight, chroot `/k`.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::store::{Change, CreateMode};
use crate::zookeeper::jute::Writer;

fn session() -> Session {
    Session::new(Settings {
        servers: 2,
        chroot: "/k".to_owned(),
        timeout_ms: 9000,
        in_flight_max: 2,
        packet_bytes_max: 10_000,
        seed: 0,
    })
}

/// Runs a table; its rows are `at | event | effects, in order`.
fn run(table: &str) -> Session {
    let mut session = session();
    let mut asking = false;
    for row in table.lines().map(str::trim).filter(|row| !row.is_empty()) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let now_ms = cells[0].parse().unwrap();
        let words: Vec<&str> = cells[1].split_whitespace().collect();
        asking |= words[0] == "connected";
        let effects = session.step(event(&words), now_ms);
        let shown: Vec<String> =
            effects.iter().filter_map(|effect| show(effect, &mut asking)).collect();
        assert_eq!(shown.join(", "), cells[2], "row {row}");
    }
    session
}

fn event(words: &[&str]) -> Event {
    match words {
        ["tick"] => Event::Tick,
        ["connected"] => Event::Connected,
        ["broken"] => Event::Disconnected,
        ["close"] => Event::Close,
        ["submit", id, op @ ..] => submit(id, None, op),
        ["submit-in", session, id, op @ ..] => submit(id, Some(session.parse().unwrap()), op),
        ["session", id, timeout] => server(|w| {
            w.i32(0).i32(timeout.parse().unwrap()).i64(id.parse().unwrap());
            w.buffer(Some(b"secret")).bool(false);
        }),
        ["over"] => server(|w| {
            w.i32(0).i32(0).i64(0).buffer(Some(&[0; 16])).bool(false);
        }),
        ["pong"] => reply("-2", "0", |_| {}),
        ["rewatched", err] => server(|w| _ = w.i32(-8).i64(0).i32(err.parse().unwrap())),
        ["fired", kind, path] => server(|w| {
            w.i32(-1).i64(-1).i32(0).i32(kind.parse().unwrap()).i32(3).string(path);
        }),
        ["done", xid, zxid] => reply(xid, zxid, |_| {}),
        ["stat", xid, zxid] => reply(xid, zxid, |w| {
            w.i64(1).i64(2).i64(3).i64(4).i32(5).i32(6).i32(0).i64(0).i32(0).i32(0).i64(7);
        }),
        ["error", xid, zxid, err] => server(|w| {
            w.i32(xid.parse().unwrap()).i64(zxid.parse().unwrap()).i32(err.parse().unwrap());
        }),
        ["garbage"] => Event::Received(Bytes::from_static(&[0xff; 9])),
        other => panic!("{other:?}"),
    }
}

fn submit(id: &str, session: Option<i64>, op: &[&str]) -> Event {
    let (batch, index) = id.split_once('.').unwrap();
    let id = RequestId { batch: batch.parse().unwrap(), index: index.parse().unwrap() };
    let path = op[1].to_owned();
    let watch = op.get(2) == Some(&"watch");
    let op = match op[0] {
        "exists" => Op::Exists { path, watch },
        "children" => Op::Children { path, watch },
        "delete" => Op::Delete { path, version: -1 },
        "create" => Op::Create { path, data: None, mode: CreateMode::Persistent },
        other => panic!("{other}"),
    };
    Event::Submit { id, session, op }
}

fn server(write: impl FnOnce(&mut Writer)) -> Event {
    let mut writer = Writer::default();
    write(&mut writer);
    Event::Received(writer.frame())
}

fn reply(xid: &str, zxid: &str, body: impl FnOnce(&mut Writer)) -> Event {
    server(|writer| {
        writer.i32(xid.parse().unwrap()).i64(zxid.parse().unwrap()).i32(0);
        body(writer);
    })
}

fn show(effect: &Effect, asking: &mut bool) -> Option<String> {
    Some(match effect {
        Effect::Connect { server } => format!("connect {server}"),
        Effect::Disconnect => "drop".to_owned(),
        Effect::Ended => "ended".to_owned(),
        Effect::Send(frame) => sent(Reader::new(frame.slice(4..)), std::mem::take(asking)),
        Effect::Answer { id, result } => {
            let result = match result {
                Ok(_) => "ok".to_owned(),
                Err(StoreError::ConnectionLost) => "lost".to_owned(),
                Err(StoreError::SessionExpired) => "expired".to_owned(),
                Err(StoreError::Closed) => "closed".to_owned(),
                Err(error) => error.to_string(),
            };
            format!("{}.{} {result}", id.batch, id.index)
        }
        Effect::Publish(event) => match event {
            StoreEvent::SessionStarted { session_id } => format!("STARTED {session_id}"),
            StoreEvent::SessionExpired => "EXPIRED".to_owned(),
            StoreEvent::Disconnected => "AWAY".to_owned(),
            StoreEvent::Reconnected => "BACK".to_owned(),
            StoreEvent::Changed { path, change } => format!("CHANGED {path} {change:?}"),
        },
    })
}

fn sent(mut reader: Reader, asking: bool) -> String {
    if asking {
        let (_, zxid, _) = (reader.i32().unwrap(), reader.i64().unwrap(), reader.i32().unwrap());
        return format!("ask session {} zxid {zxid}", reader.i64().unwrap());
    }
    let (xid, code) = (reader.i32().unwrap(), reader.i32().unwrap());
    match code {
        11 => "ping".to_owned(),
        -11 => format!("close#{xid}"),
        101 => {
            let zxid = reader.i64().unwrap();
            let kinds = ["data", "exists", "children"].map(|kind| {
                let count = reader.vector(1).unwrap();
                let paths: Vec<String> = (0..count).map(|_| reader.string().unwrap()).collect();
                format!("{kind} {}", paths.join(" "))
            });
            format!("rewatch zxid {zxid} {}", kinds.join("; ").replace(" ;", ";").trim_end())
        }
        _ => format!("send#{xid} {}", reader.string().unwrap()),
    }
}

const UP: &str = "
    0  | tick           | connect 0
    5  | connected      | ask session 0 zxid 0
    10 | session 7 9000 | STARTED 7
";

#[test]
fn requests_are_pipelined_up_to_the_limit_and_answered_in_order() {
    run(&format!(
        "{UP}
        11 | submit 1.0 exists /a | send#1 /k/a
        12 | submit 1.1 delete /b | send#2 /k/b
        13 | submit 2.0 delete /  |
        14 | stat 1 100           | 1.0 ok, 2.0 bad arguments: /
        15 | submit 3.0 create /c | send#4 /k/c
        16 | submit 3.1 create /d |
        17 | error 2 101 -101     | 1.1 no node /b, send#5 /k/d
        18 | error 4 102 -110     | 3.0 node /c exists"
    ));
}

#[test]
fn operations_wait_for_a_session_and_stay_in_theirs() {
    run("
        0  | submit 1.0 exists /a        | connect 0
        5  | connected                   | ask session 0 zxid 0
        6  | submit-in 6 2.0 exists /a   |
        10 | session 7 9000              | STARTED 7, send#1 /k/a, 2.0 expired
        11 | submit-in 7 3.0 exists /a   | send#2 /k/a
        12 | submit-in 6 4.0 exists /a   |
        13 | stat 1 100                  | 1.0 ok, 4.0 expired
    ");
}

#[test]
fn silence_is_broken_by_pings_and_a_silent_server_is_left() {
    let session = run(&format!(
        "{UP}
        3004 | tick |
        3005 | tick | ping
        3010 | pong |
        6004 | tick |
        6005 | tick | ping
        9009 | tick |
        9010 | tick | drop, AWAY, connect 1"
    ));
    let lease = session.lease().unwrap();
    assert_eq!((lease.last_heard_ms, lease.timeout_ms), (3005, 9000));
    assert_eq!(session.next_tick_ms(), Some(9010 + 3000));
}

#[test]
fn only_answered_requests_renew_the_lease() {
    let heard = |rows: &str| run(&format!("{UP}{rows}")).lease().unwrap().last_heard_ms;
    assert_eq!(heard(""), 5, "the connect request");
    assert_eq!(heard("20 | submit 1.0 exists /a | send#1 /k/a"), 5);
    assert_eq!(heard("20 | submit 1.0 exists /a | send#1 /k/a\n 90 | stat 1 1 | 1.0 ok"), 20);
    let over = "20 | submit 1.0 exists /a | send#1 /k/a\n 90 | error 1 1 -112 | 1.0 expired";
    assert_eq!(heard(over), 5, "a session that is over renews nothing");
    assert_eq!(run("0 | tick | connect 0").lease(), None);
}

#[test]
fn a_lost_connection_puts_what_was_under_way_in_doubt() {
    run(&format!(
        "{UP}
        11 | submit 1.0 create /a     | send#1 /k/a
        12 | submit 2.0 create /b     | send#2 /k/b
        13 | submit 2.1 create /c     |
        14 | submit 3.0 create /d     |
        15 | broken                   | 1.0 lost, 2.0 lost, 2.1 lost, AWAY, connect 1"
    ));
    run(&format!(
        "{UP}
        12 | submit 2.0 create /b     | send#1 /k/b
        14 | broken                   | 2.0 lost, AWAY, connect 1
        15 | submit 3.0 exists /d     |
        20 | connected                | ask session 7 zxid 0
        25 | session 7 9000           | BACK, send#2 /k/d
        30 | stat 2 50                | 3.0 ok
        31 | broken                   | AWAY
        71 | tick                     | connect 0
        80 | connected                | ask session 7 zxid 50"
    ));
}

#[test]
fn watches_fire_once_and_are_set_again_elsewhere() {
    run(&format!(
        "{UP}
        11 | submit 1.0 exists /a watch   | send#1 /k/a
        12 | stat 1 100                   | 1.0 ok
        13 | submit 1.0 exists /b watch   | send#2 /k/b
        14 | error 2 101 -101             | 1.0 ok
        15 | submit 1.0 exists / watch    | send#3 /k
        16 | stat 3 100                   | 1.0 ok
        20 | fired 1 /k/b                 | CHANGED /b Created
        21 | fired 3 /k/b                 |
        22 | fired 3 /elsewhere           |
        23 | fired 3 /k                   | CHANGED / DataChanged
        24 | submit 1.0 exists /b watch   | send#4 /k/b
        25 | error 4 120 -101             | 1.0 ok
        30 | broken                       | AWAY, connect 1
        31 | connected                    | ask session 7 zxid 120
        32 | session 7 9000               | BACK, rewatch zxid 120 data /k/a; exists /k/b; children
        33 | fired 2 /k/a                 | CHANGED /a Deleted
        34 | rewatched 0                  |
        40 | broken                       | AWAY
        80 | tick                         | connect 0
        81 | connected                    | ask session 7 zxid 120
        82 | session 7 9000               | BACK, rewatch zxid 120 data; exists /k/b; children
        83 | rewatched -4                 | drop, AWAY"
    ));
}

#[test]
fn an_expired_session_is_replaced_and_takes_its_own_along() {
    let session = run(&format!(
        "{UP}
        11 | submit 1.0 exists /a watch | send#1 /k/a
        12 | stat 1 100                 | 1.0 ok
        20 | broken                     | AWAY, connect 1
        21 | submit 2.0 exists /a       |
        22 | submit-in 7 3.0 exists /a  |
        25 | connected                  | ask session 7 zxid 100
        30 | over                       | drop, 2.0 expired, 3.0 expired, EXPIRED, connect 1
        31 | submit 4.0 exists /b       |
        32 | submit-in 7 5.0 exists /b  |
        35 | connected                  | ask session 0 zxid 100
        36 | session 8 6000             | STARTED 8, send#2 /k/b, 5.0 expired
        37 | error 2 110 -4             | 4.0 lost
        60 | fired 3 /k/a               | "
    ));
    let lease = session.lease().unwrap();
    assert_eq!((lease.session_id, lease.timeout_ms, lease.last_heard_ms), (8, 6000, 35));
}

#[test]
fn servers_are_tried_in_turn_with_growing_waits() {
    run("
        0    | tick           | connect 0
        10   | broken         | connect 1
        20   | broken         |
        30   | tick           |
        60   | tick           | connect 0
        3060 | tick           | drop
    ");
}

#[test]
fn a_server_that_does_not_answer_the_connect_request_is_left() {
    run("
        0    | tick           | connect 0
        2000 | connected      | ask session 0 zxid 0
        2999 | tick           |
        3000 | tick           | drop, connect 1
        3001 | connected      | ask session 0 zxid 0
        3002 | session 7 9000 | STARTED 7
    ");
}

#[test]
fn bytes_without_sense_end_the_connection() {
    for strange in ["garbage", "done 9 0", "stat 2 0", "done 1 0", "fired 77 /k/a"] {
        run(&format!(
            "{UP}
            11 | submit 1.0 exists /a | send#1 /k/a
            12 | submit 1.1 exists /b | send#2 /k/b
            13 | submit 1.2 exists /c |
            14 | {strange} | drop, 1.0 lost, 1.2 lost, 1.1 lost, AWAY, connect 1"
        ));
    }
}

#[test]
fn a_close_ends_the_session_at_the_server() {
    run(&format!(
        "{UP}
        11 | submit 1.0 exists /a | send#1 /k/a
        12 | close                | close#2
        13 | submit 2.0 exists /a | 2.0 closed
        14 | stat 1 1             | 1.0 ok
        15 | done 2 2             | drop, ended
        16 | submit 3.0 exists /a | 3.0 closed"
    ));
    run(&format!(
        "{UP}
        11 | broken               | AWAY, connect 1
        12 | close                |
        13 | connected            | ask session 7 zxid 0
        14 | session 7 9000       | BACK, close#1
        15 | done 1 2             | drop, ended"
    ));
    run(&format!(
        "{UP}
        11   | broken             | AWAY, connect 1
        12   | close              |
        13   | connected          | ask session 7 zxid 0
        14   | over               | drop, EXPIRED, drop, ended"
    ));
}

#[test]
fn a_close_that_reaches_no_server_gives_up() {
    run(&format!(
        "{UP}
        11   | broken             | AWAY, connect 1
        12   | close              |
        1011 | tick               |
        1012 | tick               | drop, ended"
    ));
    run("
        0 | tick  | connect 0
        1 | close | drop, ended
    ");
    run("
        0 | tick      | connect 0
        1 | connected | ask session 0 zxid 0
        2 | close     |
        3 | broken    | drop, ended
    ");
}

proptest! {
    /// Whatever a server sends, in whatever pieces: no panic, and the session can still be ended.
    #[test]
    fn any_bytes_are_survived(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..20),
        framed in any::<bool>(),
        watch in any::<bool>(),
    ) {
        let mut session = run(UP);
        let mut now_ms = 20;
        for (batch, bytes) in pieces.into_iter().enumerate() {
            let op = match batch % 3 {
                0 => Op::Exists { path: "/a".to_owned(), watch },
                1 => Op::Children { path: "/a".to_owned(), watch },
                _ => Op::Multi(vec![Op::Delete { path: "/a".to_owned(), version: 0 }]),
            };
            let id = RequestId { batch: batch as u64, index: 0 };
            session.step(Event::Submit { id, session: None, op }, now_ms);
            let event = if framed {
                server(|writer| {
                    // Under way is number `batch + 1`, if nothing broke yet: let the rest be read.
                    writer.i32(batch as i32 + 1).i64(1).i32(0);
                    for byte in &bytes {
                        writer.bool(*byte & 1 == 1);
                    }
                })
            } else {
                Event::Received(Bytes::from(bytes))
            };
            session.step(event, now_ms);
            now_ms += 10;
        }
        session.step(Event::Disconnected, now_ms);
        session.step(Event::Close, now_ms);
        let effects = session.step(Event::Tick, now_ms + 100_000);
        prop_assert!(effects.contains(&Effect::Ended) || session.next_tick_ms().is_none());
    }
}

#[test]
fn fired_kinds_are_those_of_zookeeper() {
    for (kind, change) in
        [("1", Change::Created), ("2", Change::Deleted), ("3", Change::DataChanged)]
    {
        run(&format!(
            "{UP}
            11 | submit 1.0 exists /a watch | send#1 /k/a
            12 | stat 1 100                 | 1.0 ok
            13 | fired {kind} /k/a          | CHANGED /a {change:?}
            14 | fired {kind} /k/a          | "
        ));
    }
}
