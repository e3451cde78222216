//! What happens to a session when its connection, its server or its end is not its own doing.

use std::time::Duration;

use metadata::retry::{self, one};
use metadata::store::{Change, Op, Reply, StoreError, StoreEvent};
use metadata::zookeeper::{self, ConnectString};
use tokio::sync::broadcast::Receiver;

use crate::cases::{create, ephemeral, set};
use crate::fixture::{
    PATIENCE, bytes, config, event, open_zookeeper, runtime, server, simulated_server,
};
use crate::gate::{Gate, Passage};

/// What befell the session, without watches, up to and including `last`.
async fn fate(events: &mut Receiver<StoreEvent>, last: fn(&StoreEvent) -> bool) -> Vec<StoreEvent> {
    let mut seen = Vec::new();
    event(events, |event| {
        if !matches!(event, StoreEvent::Changed { .. }) {
            seen.push(event.clone());
        }
        last(event).then_some(())
    })
    .await;
    seen
}

fn connect(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

/// Runs a case on the simulation's server, and on a real one where the machine has it.
fn on_both(case: impl AsyncFn(u16)) {
    runtime().block_on(async { case(simulated_server().await).await });
    if let Some(server) = server() {
        runtime().block_on(case(server.port()));
    }
}

fn started(event: &StoreEvent) -> bool {
    matches!(event, StoreEvent::SessionStarted { .. })
}

async fn wait_until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("in vain: {what}"));
}

#[test]
fn a_session_closed_from_outside_is_replaced() {
    on_both(closed_from_outside);
}

async fn closed_from_outside(port: u16) {
    let s = open_zookeeper(config(&connect(port), 20_000)).await;
    let mut events = s.subscribe();
    one(&*s, ephemeral("/me")).await.unwrap();
    one(&*s, Op::Exists { path: "/watched".to_owned(), watch: true }).await.unwrap();
    let old = s.session_id();
    let credentials = s.credentials().unwrap();
    let connect: ConnectString = connect(port).parse().unwrap();
    zookeeper::close_session(&connect, &credentials, 20_000, PATIENCE).await.unwrap();

    let fate = fate(&mut events, started).await;
    let new = s.session_id();
    // The store may have taken its session back for a moment before the close was done.
    let last = fate.iter().rposition(|event| *event == StoreEvent::Disconnected).unwrap();
    let pair = [StoreEvent::Disconnected, StoreEvent::Reconnected];
    assert!(fate[..last].chunks(2).all(|back| back == pair), "{fate:?}");
    let end = [StoreEvent::SessionExpired, StoreEvent::SessionStarted { session_id: new }];
    assert_eq!(fate[last + 1..], end);
    assert!(new != old && new != 0);
    assert_eq!(retry::exists(&*s, "/me", false).await, Ok(None));
    one(&*s, create("/watched", None)).await.unwrap();
    assert!(crate::fixture::changes(&*s, &mut events).await.is_empty(), "watches are gone");
    let late = s.submit_in(old, vec![create("/late", None)]).await;
    assert_eq!(late, [Err(StoreError::SessionExpired)]);

    // A session that is over already needs no ending.
    zookeeper::close_session(&connect, &credentials, 20_000, PATIENCE).await.unwrap();
    assert_eq!(s.session_id(), new);
    s.close().await;
}

#[test]
fn a_session_outlives_its_server() {
    let Some(mut server) = server() else { return };
    runtime().block_on(async {
        let s = open_zookeeper(config(&server.connect(), 30_000)).await;
        let other = open_zookeeper(config(&server.connect(), 30_000)).await;
        let mut events = s.subscribe();
        let session = s.session_id();
        one(&*s, ephemeral("/me")).await.unwrap();
        one(&*s, create("/data", None)).await.unwrap();
        one(&*s, Op::Get { path: "/data".to_owned(), watch: true }).await.unwrap();
        one(&*s, Op::Exists { path: "/absent".to_owned(), watch: true }).await.unwrap();
        one(&*s, Op::Children { path: "/".to_owned(), watch: true }).await.unwrap();
        let before = retry::exists(&*s, "/me", false).await;

        server.kill9();
        event(&mut events, |e| (*e == StoreEvent::Disconnected).then_some(())).await;
        let waiting = s.submit(vec![Op::Sync { path: "/".to_owned() }, create("/later", None)]);
        server.restart();
        let later = waiting.await;
        assert_eq!(later, [Ok(Reply::Synced), Ok(Reply::Created { path: "/later".to_owned() })]);
        let fate = fate(&mut events, |e| *e == StoreEvent::Reconnected).await;
        assert_eq!(fate, [StoreEvent::Reconnected]);
        assert_eq!(s.session_id(), session);
        assert_eq!(retry::exists(&*s, "/me", false).await, before);

        let root = ("/".to_owned(), Change::ChildrenChanged);
        assert_eq!(crate::fixture::changes(&*s, &mut events).await, [root]);
        retry::read(&*other, Op::Sync { path: "/".to_owned() }).await.unwrap();
        one(&*other, set("/data", bytes("x"), 0)).await.unwrap();
        one(&*other, create("/absent", None)).await.unwrap();
        let changed = crate::fixture::changes(&*s, &mut events).await;
        let data = ("/data".to_owned(), Change::DataChanged);
        assert_eq!(changed, [data, ("/absent".to_owned(), Change::Created)]);
        s.close().await;
        assert_eq!(retry::exists(&*other, "/me", false).await, Ok(None));
        other.close().await;
    });
}

#[test]
fn changes_while_away_are_told_on_return_and_silence_ends_a_session() {
    on_both(away_and_silent);
}

async fn away_and_silent(port: u16) {
    let gate = Gate::start(port).await;
    let s = open_zookeeper(config(&gate.connect(), 6_000)).await;
    let other = open_zookeeper(config(&connect(port), 30_000)).await;
    let mut events = s.subscribe();
    for path in ["/a", "/b", "/c", "/c/x"] {
        one(&*other, create(path, None)).await.unwrap();
    }
    one(&*s, ephemeral("/me")).await.unwrap();
    one(&*s, Op::Get { path: "/a".to_owned(), watch: true }).await.unwrap();
    one(&*s, Op::Get { path: "/b".to_owned(), watch: true }).await.unwrap();
    one(&*s, Op::Exists { path: "/new".to_owned(), watch: true }).await.unwrap();
    one(&*s, Op::Children { path: "/c".to_owned(), watch: true }).await.unwrap();

    gate.set(Passage::Cut);
    event(&mut events, |e| (*e == StoreEvent::Disconnected).then_some(())).await;
    one(&*other, set("/a", bytes("x"), 0)).await.unwrap();
    one(&*other, create("/new", None)).await.unwrap();
    one(&*other, crate::cases::delete("/c/x", 0)).await.unwrap();
    gate.set(Passage::Open);
    event(&mut events, |e| (*e == StoreEvent::Reconnected).then_some(())).await;
    let mut changed = crate::fixture::changes(&*s, &mut events).await;
    changed.sort_by(|a, b| a.0.cmp(&b.0));
    let expected = [("/a", Change::DataChanged), ("/c", Change::ChildrenChanged)];
    let mut expected = expected.map(|(path, change)| (path.to_owned(), change)).to_vec();
    expected.push(("/new".to_owned(), Change::Created));
    assert_eq!(changed, expected, "/b did not change");

    let old = s.session_id();
    gate.set(Passage::Cut);
    let gone = async || retry::exists(&*other, "/me", false).await == Ok(None);
    wait_until("the ephemeral ends with its session", gone).await;
    assert_eq!(s.session_id(), old, "nobody told us yet");
    let waiting = s.submit(vec![create("/stale", None)]);
    gate.set(Passage::Open);
    assert_eq!(waiting.await, [Err(StoreError::SessionExpired)]);
    let fate = fate(&mut events, started).await;
    let new = StoreEvent::SessionStarted { session_id: s.session_id() };
    assert_eq!(fate, [StoreEvent::Disconnected, StoreEvent::SessionExpired, new]);
    assert_eq!(retry::exists(&*other, "/stale", false).await, Ok(None));
    s.close().await;
    other.close().await;
}

#[test]
fn what_is_under_way_when_the_connection_goes_is_in_doubt() {
    on_both(under_way);
}

async fn under_way(port: u16) {
    let gate = Gate::start(port).await;
    let s = open_zookeeper(config(&gate.connect(), 20_000)).await;
    gate.set(Passage::Stuck);
    // More than are in flight at once: the rest of the batch must not run after the loss.
    let ops = (0..50).map(|i| create(&format!("/n{i}"), None)).collect();
    let doubtful = s.submit(ops);
    let sure = s.submit(vec![create("/sure", None)]);
    let mut events = s.subscribe();
    gate.holds().await;
    gate.set(Passage::Cut);
    event(&mut events, |e| (*e == StoreEvent::Disconnected).then_some(())).await;
    gate.set(Passage::Open);
    let answers = doubtful.await;
    assert_eq!(answers, vec![Err(StoreError::ConnectionLost); 50]);
    assert_eq!(sure.await, [Ok(Reply::Created { path: "/sure".to_owned() })]);
    assert_eq!(retry::exists(&*s, "/n49", false).await, Ok(None));
    s.close().await;
}

#[test]
fn the_lease_is_as_old_as_the_last_answered_request() {
    on_both(lease);
}

async fn lease(port: u16) {
    let gate = Gate::start(port).await;
    let config = config(&gate.connect(), 6_000);
    let clock = config.boot_clock.clone();
    let s = open_zookeeper(config).await;
    let lease = s.lease().unwrap();
    assert_eq!((lease.session_id, lease.timeout_ms), (s.session_id(), 6_000));
    assert_eq!(lease.deadline_ms(), lease.last_heard_ms + 5_400);
    assert!(lease.last_heard_ms <= clock());
    let sent = clock();
    one(&*s, create("/l", None)).await.unwrap();
    assert!(s.lease().unwrap().last_heard_ms >= sent, "an answered request counts");
    let idle = clock();
    let pinged = async || s.lease().unwrap().last_heard_ms > idle;
    wait_until("a ping is answered", pinged).await;

    gate.set(Passage::Stuck);
    let held = s.lease().unwrap();
    let lost = s.submit(vec![create("/m", None)]);
    assert_eq!(lost.await, [Err(StoreError::ConnectionLost)], "a silent server is left");
    assert_eq!(s.lease(), Some(held), "what is not answered does not count");
    assert!(clock() < held.deadline_ms(), "there is still time to reach another server");
    gate.set(Passage::Cut);
    gate.set(Passage::Open);
    let heard = async || s.lease().is_some_and(|lease| lease.last_heard_ms > held.last_heard_ms);
    wait_until("the session goes on, or another begins", heard).await;
    s.close().await;
}

#[test]
fn another_server_of_the_list_is_tried() {
    let Some(server) = server() else { return };
    runtime().block_on(async {
        let dead = tests::places::free_port();
        for seed in 0..2 {
            let mut config = config(&format!("127.0.0.1:{dead},{}", server.connect()), 20_000);
            config.seed = seed;
            let s = open_zookeeper(config).await;
            assert!(one(&*s, Op::Sync { path: "/".to_owned() }).await.is_ok());
            s.close().await;
        }
        let (s, driver) = zookeeper::connect(config(&format!("127.0.0.1:{dead}/chroot"), 20_000));
        let task = tokio::spawn(driver.run());
        assert_eq!(retry::session(&*s, Duration::from_millis(200)).await, None);
        let waiting = s.submit(vec![create("/never", None)]);
        s.close().await;
        assert_eq!(waiting.await, [Err(StoreError::Closed)]);
        task.await.expect("the driver ends");
    });
}

#[test]
fn packets_over_the_limit_harm_only_their_operation() {
    let Some(server) = server() else { return };
    runtime().block_on(async {
        let other = open_zookeeper(config(&server.connect(), 20_000)).await;
        one(&*other, create("/big", bytes(&"x".repeat(5_000)))).await.unwrap();
        let mut config = config(&server.connect(), 20_000);
        config.packet_bytes_max = 2_000;
        let s = open_zookeeper(config).await;
        let session = s.session_id();
        let answer = one(&*s, set("/big", bytes(&"y".repeat(3_000)), 0)).await;
        assert!(matches!(answer, Err(StoreError::BadArguments(_))), "{answer:?}");
        let answer = one(&*s, Op::Get { path: "/big".to_owned(), watch: false }).await;
        assert_eq!(answer, Err(StoreError::ConnectionLost));
        assert!(retry::exists(&*s, "/big", false).await.unwrap().is_some());
        assert_eq!(s.session_id(), session);
        s.close().await;
        other.close().await;
    });
}

/// Two stores fight for nothing: the one that goes takes only its own along.
#[test]
fn dropping_a_store_ends_its_session() {
    let Some(server) = server() else { return };
    runtime().block_on(async {
        let other = open_zookeeper(config(&server.connect(), 30_000)).await;
        let (s, driver) = zookeeper::connect(config(&server.connect(), 30_000));
        let task = tokio::spawn(driver.run());
        one(&*s, ephemeral("/dropped")).await.unwrap();
        let shown = format!("{:?}", s.credentials().unwrap());
        assert!(shown.contains("password: .."), "{shown}");
        drop(s);
        task.await.expect("the driver ends");
        assert_eq!(retry::exists(&*other, "/dropped", false).await, Ok(None));
        other.close().await;
    });
}
