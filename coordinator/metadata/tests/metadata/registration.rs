//! Brokers making themselves known, on the embedded store and on a real server.

use std::time::Duration;

use metadata::registration::{
    self, RegistrationError, check_endpoints, cluster_id, create_containers, next_broker_id,
    other_session_wait, register, registered, update,
};
use metadata::retry;
use metadata::store::{MetadataStore, Op, StoreError, StoreEvent};
use metadata::znodes::broker::{self, BrokerRegistration, Endpoint, SecurityProtocol};
use metadata::znodes::{CONTAINERS, with_parents};
use metadata::zookeeper::{self, ConnectString};
use protocol::ids::BrokerId;

use crate::cases::create;
use crate::fixture::{
    Kind, PATIENCE, Stores, bytes, config, event, open_zookeeper, runtime, server,
};

const ONE: BrokerId = 1;

fn at(port: i32) -> BrokerRegistration {
    let endpoint = Endpoint {
        listener: "PLAINTEXT".to_owned(),
        security_protocol: SecurityProtocol::Plaintext,
        host: "127.0.0.1".to_owned(),
        port,
    };
    BrokerRegistration {
        endpoints: vec![endpoint],
        rack: None,
        jmx_port: -1,
        timestamp_ms: 1_795_284_486_498,
        features: Default::default(),
    }
}

/// What one broker sees when it starts in an empty cluster, and when it starts again.
async fn first_broker(s: &dyn MetadataStore) {
    for _ in 0..2 {
        create_containers(s).await.unwrap();
    }
    for path in CONTAINERS.iter().flat_map(|path| with_parents(path)) {
        let (data, stat) = retry::get(s, &path, false).await.unwrap().expect("made");
        assert_eq!((data, stat.version, stat.ephemeral_owner), (None, 0, 0), "{path}");
    }
    assert_eq!(cluster_id(s, "fMjTBxjzQ42SvOOZHFmX8w").await.unwrap(), "fMjTBxjzQ42SvOOZHFmX8w");
    assert_eq!(cluster_id(s, "another").await.unwrap(), "fMjTBxjzQ42SvOOZHFmX8w");
    assert_eq!(next_broker_id(s, 1000).await.unwrap(), 1001);
    assert_eq!(next_broker_id(s, 1000).await.unwrap(), 1002);

    let epoch = register(s, ONE, &at(9092), None, Duration::ZERO).await.unwrap();
    let path = broker::path(ONE);
    let (data, stat) = retry::get(s, &path, false).await.unwrap().unwrap();
    assert_eq!(data, Some(at(9092).encode()));
    assert_eq!((stat.version, stat.czxid), (1, epoch), "created, then filled");
    assert_eq!(stat.ephemeral_owner, s.session_id());
    let again = register(s, ONE, &at(9093), None, Duration::ZERO).await.unwrap();
    assert_eq!(again, epoch, "the same session holds it already");
    assert_eq!(update(s, ONE, &at(9094)).await, Ok(epoch));
    let all = registered(s).await.unwrap();
    let expected = registration::Registered { id: ONE, epoch, registration: at(9094) };
    assert_eq!(all, [expected]);
    let taken = check_endpoints(s, 2, &at(9094)).await;
    let host = "127.0.0.1".to_owned();
    assert_eq!(taken, Err(RegistrationError::EndpointTaken { other: ONE, host, port: 9094 }));
    assert_eq!(check_endpoints(s, 2, &at(9095)).await, Ok(()));
    assert_eq!(check_endpoints(s, ONE, &at(9094)).await, Ok(()));
}

#[test]
fn a_first_broker_on_the_embedded_store() {
    let mut stores = Stores::start(Kind::Embedded).unwrap();
    runtime().block_on(async {
        let s = stores.open().await;
        first_broker(&*s).await;
        let lease = s.lease().unwrap();
        s.close().await;
        let s = stores.open().await;
        assert_eq!(registered(&*s).await, Ok(vec![]));
        assert_eq!(next_broker_id(&*s, 1000).await, Ok(1003));
        let epoch = register(&*s, ONE, &at(9092), None, Duration::ZERO).await.unwrap();
        assert!(epoch > lease.session_id);
        s.close().await;
    });
}

#[test]
fn a_first_broker_on_zookeeper() {
    let Some(mut stores) = Stores::start(Kind::ZooKeeper { chroot: "/kafka" }) else { return };
    runtime().block_on(async {
        let s = stores.open().await;
        first_broker(&*s).await;
        s.close().await;
    });
}

#[test]
fn an_id_of_another_session_is_waited_for() {
    let Some(mut stores) = Stores::start(Kind::ZooKeeper { chroot: "" }) else { return };
    runtime().block_on(async {
        let (holder, comer) = (stores.open().await, stores.open().await);
        create_containers(&*holder).await.unwrap();
        let first = register(&*holder, ONE, &at(1), None, Duration::ZERO).await.unwrap();
        let owner = holder.session_id();
        let patience = Duration::from_millis(300);
        let taken = register(&*comer, ONE, &at(2), None, patience).await;
        assert_eq!(taken, Err(RegistrationError::IdTaken { id: ONE, owner }));
        assert_eq!(registered(&*comer).await.unwrap()[0].registration, at(1));

        let mut events = holder.subscribe();
        let wait = other_session_wait(&comer.lease().unwrap());
        assert_eq!(wait, Duration::from_millis(20_000 + 6_000));
        let (waiter, registration) = (comer.clone(), at(2));
        let waiting =
            tokio::spawn(async move { register(&*waiter, ONE, &registration, None, wait).await });
        // The other one goes only once it is waited for: a second watch on the same node.
        retry::exists(&*holder, &broker::path(ONE), true).await.unwrap();
        update(&*holder, ONE, &at(3)).await.unwrap();
        event(&mut events, |e| matches!(e, StoreEvent::Changed { .. }).then_some(())).await;
        holder.close().await;
        let second = waiting.await.unwrap().unwrap();
        assert!(second > first);
        let now = registered(&*comer).await.unwrap();
        assert_eq!((now[0].epoch, &now[0].registration), (second, &at(2)));
        comer.close().await;
    });
}

#[test]
fn a_node_of_the_previous_session_is_replaced() {
    let Some(mut stores) = Stores::start(Kind::ZooKeeper { chroot: "" }) else { return };
    runtime().block_on(async {
        // One process's former session, which the server has not ended yet.
        let (former, now) = (stores.open().await, stores.open().await);
        create_containers(&*former).await.unwrap();
        let first = register(&*former, ONE, &at(1), None, Duration::ZERO).await.unwrap();
        let previous = Some(former.session_id());
        let second = register(&*now, ONE, &at(1), previous, Duration::ZERO).await.unwrap();
        assert!(second > first);
        let stat = retry::exists(&*now, &broker::path(ONE), false).await.unwrap().unwrap();
        assert_eq!(stat.ephemeral_owner, now.session_id());
        former.close().await;
        now.close().await;
    });
}

#[test]
fn a_broker_registers_again_after_its_session_expired() {
    let Some(server) = server() else { return };
    runtime().block_on(async {
        let s = open_zookeeper(config(&server.connect(), 20_000)).await;
        create_containers(&*s).await.unwrap();
        let first = register(&*s, ONE, &at(1), None, Duration::ZERO).await.unwrap();
        let mut events = s.subscribe();
        let previous = s.session_id();
        let connect: ConnectString = server.connect().parse().unwrap();
        let credentials = s.credentials().unwrap();
        zookeeper::close_session(&connect, &credentials, 20_000, PATIENCE).await.unwrap();
        let started = |e: &StoreEvent| matches!(e, StoreEvent::SessionStarted { .. }).then_some(());
        event(&mut events, started).await;
        let second = register(&*s, ONE, &at(1), Some(previous), Duration::ZERO).await.unwrap();
        assert!(second > first, "a broker's epoch grows with each registration");
        s.close().await;
        let closed = register(&*s, ONE, &at(1), None, Duration::ZERO).await;
        assert_eq!(closed, Err(RegistrationError::Store(StoreError::SessionExpired)));
    });
}

#[test]
fn two_first_brokers_agree_on_the_cluster_id_and_differ_in_theirs() {
    let Some(mut stores) = Stores::start(Kind::ZooKeeper { chroot: "" }) else { return };
    runtime().block_on(async {
        let (a, b) = (stores.open().await, stores.open().await);
        let (x, y) = tokio::join!(create_containers(&*a), create_containers(&*b));
        assert_eq!((x, y), (Ok(()), Ok(())));
        let (x, y) = tokio::join!(cluster_id(&*a, "of-a"), cluster_id(&*b, "of-b"));
        let (x, y) = (x.unwrap(), y.unwrap());
        assert!(x == y && x.starts_with("of-"), "{x} {y}");
        let (x, y) = tokio::join!(next_broker_id(&*a, 1000), next_broker_id(&*b, 1000));
        assert_ne!(x.unwrap(), y.unwrap());
        a.close().await;
        b.close().await;
    });
}

#[test]
fn strange_znodes_are_errors_or_left_out() {
    let mut stores = Stores::start(Kind::Embedded).unwrap();
    runtime().block_on(async {
        let s = &*stores.open().await;
        create_containers(s).await.unwrap();
        retry::create_recursive(s, "/cluster/id", bytes("{")).await.unwrap();
        assert!(matches!(cluster_id(s, "x").await, Err(RegistrationError::Znode(_))));
        for (name, data) in [("7", "nonsense"), ("x", "{}"), ("-3", "{\"version\":0}")] {
            retry::one(s, create(&format!("/brokers/ids/{name}"), bytes(data))).await.unwrap();
        }
        let epoch = register(s, ONE, &at(1), None, Duration::ZERO).await.unwrap();
        let all: Vec<_> = registered(s).await.unwrap().iter().map(|r| (r.id, r.epoch)).collect();
        assert_eq!(all, [(ONE, epoch)]);
        let taken = register(s, 7, &at(2), None, Duration::ZERO).await;
        assert_eq!(taken, Err(RegistrationError::IdTaken { id: 7, owner: 0 }));
        let delete = Op::Delete { path: broker::path(7), version: 0 };
        retry::one(s, delete).await.unwrap();
        assert!(register(s, 7, &at(2), None, Duration::ZERO).await.is_ok());
        s.close().await;
    });
}
