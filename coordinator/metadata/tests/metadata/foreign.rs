//! Another client, written by others, on the same server: what it writes we read, and the reverse.

use metadata::retry::{self, one};
use metadata::store::{Change, CreateMode, Op, Reply, Stat, StoreError};
use zookeeper_client as foreign;

use crate::cases::{create, delete, ephemeral, set};
use crate::fixture::{bytes, changes, config, open_zookeeper, runtime, server};

fn same(stat: &foreign::Stat) -> Stat {
    Stat {
        czxid: stat.czxid,
        mzxid: stat.mzxid,
        ctime_ms: stat.ctime,
        mtime_ms: stat.mtime,
        version: stat.version,
        cversion: stat.cversion,
        ephemeral_owner: stat.ephemeral_owner,
        num_children: stat.num_children,
    }
}

#[test]
fn another_client_and_ours_agree() {
    let Some(server) = server() else { return };
    runtime().block_on(async {
        let chroot = format!("{}/chroot", server.connect());
        let ours = open_zookeeper(config(&chroot, 20_000)).await;
        let theirs = foreign::Client::connect(&chroot).await.unwrap();
        let open = foreign::Acls::anyone_all();
        let persistent = foreign::CreateMode::Persistent.with_acls(open);

        // Theirs, read by ours.
        let (stat, _) = theirs.create("/theirs", b"data", &persistent).await.unwrap();
        let (data, read) = retry::get(&*ours, "/theirs", false).await.unwrap().unwrap();
        assert_eq!((data, read), (bytes("data"), same(&stat)));
        let options = foreign::CreateMode::Ephemeral.with_acls(open);
        let (stat, _) = theirs.create("/theirs/session", b"", &options).await.unwrap();
        let read = retry::exists(&*ours, "/theirs/session", false).await.unwrap();
        assert_eq!(read, Some(same(&stat)));
        assert_eq!(stat.ephemeral_owner, theirs.session_id().0);
        let options = foreign::CreateMode::PersistentSequential.with_acls(open);
        let (_, first) = theirs.create("/theirs/s", b"", &options).await.unwrap();
        let mode = CreateMode::PersistentSequential;
        let op = Op::Create { path: "/theirs/s".to_owned(), data: None, mode };
        let Ok(Reply::Created { path }) = one(&*ours, op).await else { panic!() };
        let number = |path: &str| path.rsplit('s').next().unwrap().parse::<i64>().unwrap();
        assert_eq!(number(&path), number(&first.to_string()) + 1);

        // Ours, read by theirs.
        one(&*ours, create("/ours", bytes("x"))).await.unwrap();
        let multi = Op::Multi(vec![ephemeral("/ours/e"), set("/ours", bytes("\u{0}y"), 0)]);
        one(&*ours, multi).await.unwrap();
        let (data, stat) = theirs.get_data("/ours").await.unwrap();
        let read = retry::exists(&*ours, "/ours", false).await.unwrap();
        assert_eq!((data, Some(same(&stat))), (b"\0y".to_vec(), read));
        let stat = theirs.check_stat("/ours/e").await.unwrap().unwrap();
        assert_eq!((stat.ephemeral_owner, stat.data_length), (ours.session_id(), 0));
        let (acl, _) = theirs.get_acl("/ours").await.unwrap();
        assert_eq!(acl, foreign::Acls::anyone_all().to_vec(), "open to all, as Kafka's default");
        let (names, stat) = theirs.get_children("/ours").await.unwrap();
        assert_eq!(names, ["e"]);
        assert_eq!(retry::exists(&*ours, "/ours", false).await, Ok(Some(same(&stat))));

        // Each hears of the other's changes.
        let mut events = ours.subscribe();
        one(&*ours, Op::Get { path: "/theirs".to_owned(), watch: true }).await.unwrap();
        theirs.set_data("/theirs", b"new", Some(0)).await.unwrap();
        let told = [("/theirs".to_owned(), Change::DataChanged)];
        assert_eq!(changes(&*ours, &mut events).await, told);
        let (_, _, watcher) = theirs.get_and_watch_data("/ours").await.unwrap();
        one(&*ours, delete("/ours/e", 0)).await.unwrap();
        one(&*ours, delete("/ours", 1)).await.unwrap();
        assert_eq!(watcher.changed().await.event_type, foreign::EventType::NodeDeleted);

        // What they forbid, we are refused and told so.
        theirs.set_acl("/theirs", &foreign::Acls::anyone_read(), None).await.unwrap();
        let refused = one(&*ours, create("/theirs/x", None)).await;
        assert_eq!(refused, Err(StoreError::NoAuth("/theirs/x".to_owned())));
        let refused = one(&*ours, Op::Multi(vec![set("/theirs", None, 1)])).await;
        let error = Box::new(StoreError::NoAuth("/theirs".to_owned()));
        assert_eq!(refused, Err(StoreError::Multi { index: 0, error }));
        assert!(retry::get(&*ours, "/theirs", false).await.unwrap().is_some());
        ours.close().await;
    });
}
