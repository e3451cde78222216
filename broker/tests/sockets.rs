//! Hostile and merely unlucky peers at the socket: the offender is closed or held back, everybody
//! else is served, and memory stays bounded. Over real sockets.

mod support;

use std::time::{Duration, Instant};

use support::{PATIENCE, answer, api_versions, ask, closed, connect_from, request, start};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const GOOD: [u8; 4] = [127, 0, 0, 1];
const BAD: [u8; 4] = [127, 0, 0, 2];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn impossible_lengths_and_unknown_requests_close_the_connection() {
    let broker = start(&[("socket.request.max.bytes", "1000")]).await;
    let table: [(&str, Vec<u8>); 8] = [
        ("a negative length", (-1i32).to_be_bytes().to_vec()),
        ("the largest length", i32::MAX.to_be_bytes().to_vec()),
        ("one byte more than allowed", 1001i32.to_be_bytes().to_vec()),
        ("an empty frame", 0i32.to_be_bytes().to_vec()),
        ("a cut-off header", [&3i32.to_be_bytes()[..], &[0, 18, 0]].concat()),
        ("an unknown key", request(1000, 0, 1, &[])),
        ("a version that does not exist", request(0, 99, 1, &[])),
        ("a key of KRaft", request(52, 0, 1, &[])),
    ];
    for (what, bytes) in table {
        let mut offender = connect_from(BAD, broker.address).await.expect("connected");
        offender.write_all(&bytes).await.expect("sent");
        assert_eq!(answer(&mut offender).await, None, "{what}");
        let mut good = connect_from(GOOD, broker.address).await.expect("connected");
        assert!(ask(&mut good, 1).await.is_some(), "after {what}");
    }
    broker.running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_versions_from_the_future_is_answered_in_version_0() {
    let broker = start(&[]).await;
    let mut stream = TcpStream::connect(broker.address).await.expect("connected");
    stream.write_all(&request(18, 5, 9, &[0])).await.expect("sent");
    let (correlation_id, body) = answer(&mut stream).await.expect("an answer");
    assert_eq!(correlation_id, 9);
    assert_eq!(body, [0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 4]);
    assert!(ask(&mut stream, 10).await.is_some(), "and the connection goes on");
    broker.running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipelined_requests_are_answered_in_order_however_they_are_cut() {
    let broker = start(&[]).await;
    let mut stream = TcpStream::connect(broker.address).await.expect("connected");
    stream.set_nodelay(true).expect("set");
    let all: Vec<u8> = (0..500).flat_map(api_versions).collect();
    let (mut reader, mut writer) = stream.split();
    let send = async {
        // Pieces that never match a frame's border, small ones first.
        let mut rest = &all[..];
        let mut size = 1;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(size.min(rest.len()));
            writer.write_all(piece).await.expect("sent");
            rest = after;
            size = size % 97 + 3;
        }
    };
    let receive = async {
        for expected in 0..500 {
            let length = reader.read_i32().await.expect("a length");
            assert_eq!(reader.read_i32().await.expect("an id"), expected);
            let mut body = vec![0; length as usize - 4];
            reader.read_exact(&mut body).await.expect("a body");
        }
    };
    tokio::time::timeout(PATIENCE, async { tokio::join!(send, receive) }).await.expect("in time");
    broker.running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_sent_before_half_a_close_are_answered() {
    let broker = start(&[]).await;
    let mut stream = TcpStream::connect(broker.address).await.expect("connected");
    stream.write_all(&[api_versions(1), api_versions(2)].concat()).await.expect("sent");
    stream.shutdown().await.expect("half closed");
    assert_eq!(answer(&mut stream).await.map(|(id, _)| id), Some(1));
    assert_eq!(answer(&mut stream).await.map(|(id, _)| id), Some(2));
    closed(&mut stream).await;
    broker.running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_that_never_ends_is_closed_and_an_idle_connection_too() {
    let broker =
        start(&[("ottla.frame.timeout.ms", "300"), ("connections.max.idle.ms", "2000")]).await;
    let started = Instant::now();
    let mut slow = connect_from(BAD, broker.address).await.expect("connected");
    let mut idle = connect_from(GOOD, broker.address).await.expect("connected");
    assert!(ask(&mut idle, 1).await.is_some());
    let drip = async {
        let frame = api_versions(1);
        slow.write_all(&frame[..4]).await.expect("sent");
        // One byte now and then: every one of them would renew an idle timer.
        for byte in frame[4..].iter().cycle() {
            tokio::time::sleep(Duration::from_millis(100)).await;
            if slow.write_all(&[*byte]).await.is_err() || started.elapsed() > PATIENCE {
                return;
            }
            let mut seen = [0];
            match slow.try_read(&mut seen) {
                Ok(0) => return,
                Ok(_) => panic!("an answer to a frame that was never whole"),
                Err(_) => {}
            }
            if seen[0] != 0 {
                return;
            }
        }
    };
    // The frame has ten bytes to go, a second's worth; it is closed after 300 ms.
    let _ = tokio::time::timeout(PATIENCE, drip).await;
    assert!(started.elapsed() < Duration::from_millis(1_000), "{:?}", started.elapsed());
    closed(&mut idle).await;
    assert!(started.elapsed() >= Duration::from_millis(2_000), "idle connections have their time");
    broker.running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn announced_frames_take_no_memory_until_they_come() {
    let broker = start(&[]).await;
    let before = support::resident_bytes();
    let mut offenders = Vec::new();
    for _ in 0..200 {
        let mut offender = connect_from(BAD, broker.address).await.expect("connected");
        offender.write_all(&(100i32 << 20).to_be_bytes()).await.expect("sent");
        offender.write_all(&[0; 100]).await.expect("sent");
        offenders.push(offender);
    }
    let mut good = connect_from(GOOD, broker.address).await.expect("connected");
    assert!(ask(&mut good, 1).await.is_some());
    let grown = support::resident_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "20 GiB were announced, {grown} bytes taken");
    broker.running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_memory_pool_bounds_partial_frames_and_lets_others_pass() {
    let broker = start(&[
        ("ottla.request.memory.bytes", "2097152"),
        ("socket.request.max.bytes", "2097152"),
        ("ottla.frame.timeout.ms", "1500"),
    ])
    .await;
    let started = Instant::now();
    // Each sends one MiB of a frame of two and stops: 20 MiB against a pool of two.
    let mut offenders = Vec::new();
    for _ in 0..20 {
        let mut offender = connect_from(BAD, broker.address).await.expect("connected");
        let task = tokio::spawn(async move {
            let _ = offender.write_all(&(2i32 << 20).wrapping_sub(8).to_be_bytes()).await;
            let half = vec![0; 1 << 20];
            let _ = tokio::time::timeout(PATIENCE, offender.write_all(&half)).await;
            closed(&mut offender).await;
        });
        offenders.push(task);
    }
    let mut good = connect_from(GOOD, broker.address).await.expect("connected");
    for id in 0..20 {
        assert!(ask(&mut good, id).await.is_some());
    }
    for offender in offenders {
        offender.await.expect("closed without a panic");
    }
    assert!(ask(&mut good, 99).await.is_some());
    assert!(started.elapsed() < PATIENCE);
    broker.running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_has_its_share_and_no_more() {
    let broker = start(&[("max.connections.per.ip", "5")]).await;
    let mut taken = Vec::new();
    for _ in 0..5 {
        let mut stream = connect_from(BAD, broker.address).await.expect("connected");
        assert!(ask(&mut stream, 1).await.is_some());
        taken.push(stream);
    }
    let mut refused = connect_from(BAD, broker.address).await.expect("accepted by the kernel");
    assert_eq!(ask(&mut refused, 1).await, None, "the sixth is closed");
    let mut other = connect_from(GOOD, broker.address).await.expect("connected");
    assert!(ask(&mut other, 1).await.is_some(), "others have their own share");
    drop(taken.pop());
    let again = async {
        loop {
            let mut stream = connect_from(BAD, broker.address).await.expect("connected");
            if ask(&mut stream, 1).await.is_some() {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, again).await.expect("a place is free again");
    broker.running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_max_connections_newcomers_wait_in_the_backlog() {
    let broker = start(&[("max.connections", "4")]).await;
    let mut taken = Vec::new();
    let mut waiting = None;
    for last in 1..=9 {
        let mut stream = connect_from([127, 0, 0, last], broker.address).await.expect("connected");
        stream.write_all(&api_versions(7)).await.expect("sent");
        if tokio::time::timeout(Duration::from_secs(2), stream.readable()).await.is_err() {
            waiting = Some(stream);
            break;
        }
        assert_eq!(answer(&mut stream).await.map(|(id, _)| id), Some(7));
        taken.push(stream);
    }
    // The broker's own controller may have the fourth place.
    assert!((3..=4).contains(&taken.len()), "{} are served", taken.len());
    let mut waiting = waiting.expect("not all nine are served");
    drop(taken.pop());
    assert_eq!(answer(&mut waiting).await.map(|(id, _)| id), Some(7));
    broker.running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_listener_leaves_the_others_their_places() {
    let broker = start(&[
        ("listeners", "IN://127.0.0.1:0,OUT://127.0.0.1:0"),
        ("listener.security.protocol.map", "IN:PLAINTEXT,OUT:PLAINTEXT"),
        ("inter.broker.listener.name", "IN"),
        ("listener.name.out.max.connections", "1"),
    ])
    .await;
    let [inside, outside] = ["IN", "OUT"].map(|name| {
        let mut all = broker.running.listeners.iter();
        all.find(|(listener, _)| &**listener == name).expect("it is bound").1
    });
    let mut first = connect_from([127, 0, 0, 1], outside).await.expect("connected");
    assert!(ask(&mut first, 1).await.is_some());
    let mut second = connect_from([127, 0, 0, 2], outside).await.expect("connected");
    second.write_all(&api_versions(2)).await.expect("sent");
    for last in 3..=6 {
        let mut other = connect_from([127, 0, 0, last], inside).await.expect("connected");
        assert!(ask(&mut other, 3).await.is_some(), "the other listener has no limit");
    }
    let unanswered = tokio::time::timeout(Duration::from_millis(500), second.readable()).await;
    assert!(unanswered.is_err(), "the listener has one place");
    drop(first);
    assert_eq!(answer(&mut second).await.map(|(id, _)| id), Some(2));
    broker.running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_idle_connections_cost_little() {
    // Both ends of every connection are in this process.
    const WANTED: usize = 9_000;
    let broker = start(&[]).await;
    let before = support::resident_bytes();
    let mut idle = Vec::new();
    for index in 0..WANTED {
        let host = [127, 0, 1, u8::try_from(index % 200 + 1).expect("small")];
        match connect_from(host, broker.address).await {
            Ok(stream) => idle.push(stream),
            // Fewer descriptors than on the test machines: as many as there are will do.
            Err(_) => break,
        }
    }
    assert!(idle.len() > 1_000, "only {} connections", idle.len());
    let last = idle.last_mut().expect("there are some");
    assert!(ask(last, 1).await.is_some(), "the last one is served");
    let grown = support::resident_bytes().saturating_sub(before);
    let each = grown / idle.len();
    assert!(each < 16 << 10, "{each} bytes for each of {} connections", idle.len());
    let mut good = connect_from(GOOD, broker.address).await.expect("connected");
    let asked = Instant::now();
    for id in 0..100 {
        assert!(ask(&mut good, id).await.is_some());
    }
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?} for 100 requests", asked.elapsed());
    drop(idle);
    broker.running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_and_health_are_served() {
    let broker = start(&[]).await;
    let mut stream = TcpStream::connect(broker.address).await.expect("connected");
    assert!(ask(&mut stream, 1).await.is_some());
    let http = broker.running.http.expect("bound");
    let get = async |path: &str| {
        let mut stream = TcpStream::connect(http).await.expect("connected");
        let text = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(text.as_bytes()).await.expect("sent");
        let mut page = String::new();
        stream.read_to_string(&mut page).await.expect("a page");
        page
    };
    assert!(get("/health/live").await.starts_with("HTTP/1.1 200"));
    assert!(get("/health/ready").await.starts_with("HTTP/1.1 200"));
    let page = get("/metrics").await;
    let counted = "kafka_network_requestmetrics_requests_total{request=\"ApiVersions\"}";
    assert!(page.contains(counted), "{page}");
    broker.running.stop().await;
}
