//! A session that moves between the servers of a real ensemble of three.

use metadata::retry::{self, one};
use metadata::store::{Change, MetadataStore, Op, StoreError, StoreEvent};
use tests::ensemble::Ensemble;

use crate::cases::{create, ephemeral, set};
use crate::fixture::{bytes, config, event, open_zookeeper, runtime, server_jar};

/// A write that is under way when a connection goes may be done or not: it is read before it is
/// tried again.
async fn put(store: &dyn MetadataStore, path: &str, text: &str) {
    loop {
        retry::read(store, Op::Sync { path: path.to_owned() }).await.unwrap();
        let (data, stat) = retry::get(store, path, false).await.unwrap().unwrap();
        if data == bytes(text) {
            return;
        }
        match one(store, set(path, bytes(text), stat.version)).await {
            Ok(_) | Err(StoreError::ConnectionLost) => {}
            Err(error) => panic!("{path}: {error}"),
        }
    }
}

#[test]
fn a_session_moves_from_server_to_server_and_outlives_a_lost_quorum() {
    if !server_jar() {
        return;
    }
    let mut ensemble = Ensemble::start();
    runtime().block_on(async {
        let s = open_zookeeper(config(&ensemble.connect(), 30_000)).await;
        let other = open_zookeeper(config(&ensemble.connect(), 30_000)).await;
        let mut events = s.subscribe();
        let session = s.session_id();
        one(&*s, ephemeral("/me")).await.unwrap();
        one(&*s, create("/data", None)).await.unwrap();
        one(&*s, create("/still", None)).await.unwrap();
        one(&*s, Op::Get { path: "/still".to_owned(), watch: true }).await.unwrap();
        let me = retry::exists(&*s, "/me", false).await;
        for killed in 0..3 {
            retry::read(&*s, Op::Sync { path: "/".to_owned() }).await.unwrap();
            retry::read(&*s, Op::Get { path: "/data".to_owned(), watch: true }).await.unwrap();
            ensemble.kill9(killed);
            put(&*other, "/data", &killed.to_string()).await;
            let data = |e: &StoreEvent| match e {
                StoreEvent::Changed { path, change } if path == "/data" => Some(*change),
                _ => None,
            };
            assert_eq!(event(&mut events, data).await, Change::DataChanged);
            assert_eq!(s.session_id(), session);
            assert_eq!(retry::exists(&*s, "/me", false).await, me, "server {killed} was killed");
            ensemble.restart(killed);
            ensemble.wait_ready(killed);
        }
        ensemble.kill9(0);
        ensemble.kill9(1);
        event(&mut events, |e| (*e == StoreEvent::Disconnected).then_some(())).await;
        ensemble.restart(0);
        put(&*s, "/still", "here").await;
        let still = |e: &StoreEvent| match e {
            StoreEvent::Changed { path, change } if path == "/still" => Some(*change),
            _ => None,
        };
        assert_eq!(event(&mut events, still).await, Change::DataChanged, "set again on the way");
        assert_eq!(s.session_id(), session);
        assert_eq!(retry::exists(&*s, "/me", false).await, me);
        s.close().await;
        other.close().await;
    });
}
