//! What every store does alike: each case on a part of the tree of its own.

use bytes::Bytes;
use metadata::retry::{self, one};
use metadata::store::{
    ANY_VERSION, Change, CreateMode, MetadataStore, Op, Reply, Stat, StoreError,
};

use crate::fixture::{Stores, bytes, changes};

pub fn create(path: &str, data: Option<Bytes>) -> Op {
    Op::Create { path: path.to_owned(), data, mode: CreateMode::Persistent }
}

pub fn ephemeral(path: &str) -> Op {
    Op::Create { path: path.to_owned(), data: None, mode: CreateMode::Ephemeral }
}

fn sequential(path: &str) -> Op {
    Op::Create { path: path.to_owned(), data: None, mode: CreateMode::PersistentSequential }
}

pub fn set(path: &str, data: Option<Bytes>, version: i32) -> Op {
    Op::Set { path: path.to_owned(), data, version }
}

pub fn delete(path: &str, version: i32) -> Op {
    Op::Delete { path: path.to_owned(), version }
}

fn check(path: &str, version: i32) -> Op {
    Op::Check { path: path.to_owned(), version }
}

fn get(path: &str, watch: bool) -> Op {
    Op::Get { path: path.to_owned(), watch }
}

fn exists(path: &str, watch: bool) -> Op {
    Op::Exists { path: path.to_owned(), watch }
}

fn children(path: &str, watch: bool) -> Op {
    Op::Children { path: path.to_owned(), watch }
}

fn made(path: &str) -> Result<Reply, StoreError> {
    Ok(Reply::Created { path: path.to_owned() })
}

fn at(make: impl Fn(String) -> StoreError, path: &str) -> Result<Reply, StoreError> {
    Err(make(path.to_owned()))
}

async fn stat(store: &dyn MetadataStore, path: &str) -> Stat {
    retry::exists(store, path, false).await.unwrap().expect("the node is there")
}

pub async fn data_and_versions(stores: &mut Stores) {
    let s = &*stores.open().await;
    assert_eq!(one(s, create("/v", None)).await, made("/v"));
    assert_eq!(one(s, create("/v", None)).await, at(StoreError::NodeExists, "/v"));
    let first = stat(s, "/v").await;
    assert_eq!((first.version, first.cversion, first.ephemeral_owner), (0, 0, 0));
    assert!(first.czxid > 0 && first.czxid == first.mzxid && first.ctime_ms == first.mtime_ms);

    let (data, _) = retry::get(s, "/v", false).await.unwrap().unwrap();
    assert_eq!(data, None, "null is not empty");
    let Ok(Reply::Set { stat: second }) = one(s, set("/v", bytes(""), 0)).await else { panic!() };
    let (data, read) = retry::get(s, "/v", false).await.unwrap().unwrap();
    assert_eq!(data, bytes(""), "empty is not null");
    assert_eq!(read, second);
    assert_eq!((second.version, second.czxid), (1, first.czxid));
    assert!(second.mzxid > first.mzxid);

    assert_eq!(one(s, set("/v", bytes("x"), 0)).await, at(StoreError::BadVersion, "/v"));
    assert_eq!(one(s, delete("/v", 0)).await, at(StoreError::BadVersion, "/v"));
    assert!(one(s, set("/v", bytes("x"), ANY_VERSION)).await.is_ok());
    assert!(one(s, set("/v", None, 2)).await.is_ok());
    let (data, read) = retry::get(s, "/v", false).await.unwrap().unwrap();
    assert_eq!((data, read.version), (None, 3));
    assert_eq!(one(s, delete("/v", 3)).await, Ok(Reply::Deleted));
    for op in [get("/v", false), children("/v", false), delete("/v", 0), set("/v", None, 0)] {
        assert_eq!(one(s, op).await, at(StoreError::NoNode, "/v"));
    }
    assert_eq!(one(s, exists("/v", false)).await, Ok(Reply::Exists { stat: None }));
    assert!(one(s, create("/v", None)).await.is_ok());
    assert!(stat(s, "/v").await.czxid > read.mzxid, "a new node has a newer czxid");
    s.close().await;
}

pub async fn children_and_numbers(stores: &mut Stores) {
    let s = &*stores.open().await;
    assert_eq!(one(s, create("/c/x", None)).await, at(StoreError::NoNode, "/c/x"));
    for path in ["/c", "/c/b", "/c/b/deep", "/c/b-", "/c/a"] {
        assert_eq!(one(s, create(path, None)).await, made(path));
    }
    let Ok(Reply::Children { names, stat: here }) = one(s, children("/c", false)).await else {
        panic!()
    };
    assert_eq!(names, ["a", "b", "b-"]);
    assert_eq!((here.num_children, here.cversion, here.version), (3, 3, 0));
    assert_eq!(one(s, delete("/c/b", ANY_VERSION)).await, at(StoreError::NotEmpty, "/c/b"));
    assert!(one(s, delete("/c/b/deep", ANY_VERSION)).await.is_ok());
    assert!(one(s, delete("/c/b", ANY_VERSION)).await.is_ok());
    let after = stat(s, "/c").await;
    assert_eq!((after.num_children, after.cversion), (2, 4), "cversion counts deletions too");
    s.close().await;
}

pub async fn sequential_names(stores: &mut Stores) {
    let s = &*stores.open().await;
    one(s, create("/q", None)).await.unwrap();
    assert_eq!(one(s, sequential("/q/n_")).await, made("/q/n_0000000000"));
    assert_eq!(one(s, sequential("/q/n_")).await, made("/q/n_0000000001"));
    assert!(one(s, create("/q/other", None)).await.is_ok());
    assert!(one(s, delete("/q/n_0000000001", 0)).await.is_ok());
    assert_eq!(one(s, sequential("/q/m_")).await, made("/q/m_0000000003"));
    assert_eq!(one(s, sequential("/q/")).await, made("/q/0000000004"));
    assert_eq!(one(s, sequential("/r/n_")).await, at(StoreError::NoNode, "/r/n_"));
    s.close().await;
}

pub async fn multi_is_all_or_nothing(stores: &mut Stores) {
    let s = &*stores.open().await;
    one(s, create("/m", None)).await.unwrap();
    let done = one(
        s,
        Op::Multi(vec![
            create("/m/a", None),
            set("/m/a", bytes("1"), 0),
            check("/m/a", 1),
            sequential("/m/s"),
            create("/m/gone", None),
            delete("/m/gone", 0),
        ]),
    );
    let Ok(Reply::Multi(replies)) = done.await else { panic!() };
    let a = stat(s, "/m/a").await;
    assert_eq!(a.version, 1);
    assert_eq!(a.czxid, a.mzxid, "one transaction");
    let expected = [
        Reply::Created { path: "/m/a".to_owned() },
        Reply::Set { stat: a },
        Reply::Checked,
        Reply::Created { path: "/m/s0000000001".to_owned() },
        Reply::Created { path: "/m/gone".to_owned() },
        Reply::Deleted,
    ];
    assert_eq!(replies, expected);

    let before = stat(s, "/m").await;
    for (index, wrong, error) in [
        (0, check("/m/a", 0), StoreError::BadVersion("/m/a".to_owned())),
        (1, create("/m/a", None), StoreError::NodeExists("/m/a".to_owned())),
        (2, delete("/m/none", 0), StoreError::NoNode("/m/none".to_owned())),
        (2, delete("/m", 0), StoreError::NotEmpty("/m".to_owned())),
    ] {
        let mut ops = vec![create("/m/b", None), set("/m/a", None, 1), ephemeral("/m/e")];
        ops.insert(index, wrong);
        let failed = StoreError::Multi { index, error: Box::new(error) };
        assert_eq!(one(s, Op::Multi(ops)).await, Err(failed));
    }
    assert_eq!(stat(s, "/m").await, before);
    assert_eq!(stat(s, "/m/a").await, a);
    assert_eq!(one(s, Op::Multi(vec![])).await, Ok(Reply::Multi(vec![])));
    s.close().await;
}

pub async fn watches_fire_once(stores: &mut Stores) {
    let s = &*stores.open().await;
    let mut events = s.subscribe();
    one(s, create("/w", None)).await.unwrap();
    one(s, get("/w", true)).await.unwrap();
    one(s, exists("/w", true)).await.unwrap();
    one(s, children("/w", true)).await.unwrap();
    assert!(changes(s, &mut events).await.is_empty());

    one(s, create("/w/x", None)).await.unwrap();
    one(s, create("/w/y", None)).await.unwrap();
    let children_changed = ("/w".to_owned(), Change::ChildrenChanged);
    assert_eq!(changes(s, &mut events).await, std::slice::from_ref(&children_changed));
    one(s, set("/w", None, 0)).await.unwrap();
    one(s, set("/w", None, 1)).await.unwrap();
    assert_eq!(changes(s, &mut events).await, [("/w".to_owned(), Change::DataChanged)]);

    one(s, children("/w", true)).await.unwrap();
    one(s, children("/w/x", true)).await.unwrap();
    one(s, get("/w/x", true)).await.unwrap();
    one(s, delete("/w/x", 0)).await.unwrap();
    let deleted = |path: &str| (path.to_owned(), Change::Deleted);
    assert_eq!(changes(s, &mut events).await, [deleted("/w/x"), children_changed]);
    one(s, get("/w/y", true)).await.unwrap();
    one(s, children("/w", true)).await.unwrap();
    let both = Op::Multi(vec![delete("/w/y", 0), delete("/w", 2)]);
    one(s, both).await.unwrap();
    let told = changes(s, &mut events).await;
    assert!(told.contains(&deleted("/w/y")), "{told:?}");
    assert!(told.iter().any(|(path, _)| path == "/w"), "{told:?}");
    assert_eq!(told.len(), 2, "{told:?}");
    s.close().await;
}

pub async fn watches_of_absent_nodes(stores: &mut Stores) {
    let s = &*stores.open().await;
    let mut events = s.subscribe();
    assert_eq!(one(s, exists("/absent", true)).await, Ok(Reply::Exists { stat: None }));
    assert!(one(s, get("/absent", true)).await.is_err(), "a failed read sets no watch");
    one(s, create("/absent", None)).await.unwrap();
    one(s, delete("/absent", 0)).await.unwrap();
    assert_eq!(changes(s, &mut events).await, [("/absent".to_owned(), Change::Created)]);
    one(s, create("/absent", None)).await.unwrap();
    one(s, exists("/absent", true)).await.unwrap();
    let failed = Op::Multi(vec![set("/absent", None, 0), check("/absent", 5)]);
    assert!(one(s, failed).await.is_err());
    assert!(changes(s, &mut events).await.is_empty(), "what is undone fires nothing");
    one(s, delete("/absent", 0)).await.unwrap();
    assert_eq!(changes(s, &mut events).await, [("/absent".to_owned(), Change::Deleted)]);
    s.close().await;
}

pub async fn ephemerals_end_with_their_session(stores: &mut Stores) {
    let s = stores.open().await;
    let session = s.session_id();
    assert_ne!(session, 0);
    one(&*s, create("/e", None)).await.unwrap();
    let registration = Op::Multi(vec![ephemeral("/e/1"), set("/e/1", bytes("me"), 0)]);
    one(&*s, registration).await.unwrap();
    let mine = stat(&*s, "/e/1").await;
    assert_eq!((mine.ephemeral_owner, mine.version), (session, 1));
    let below = one(&*s, create("/e/1/x", None)).await;
    assert_eq!(below, at(StoreError::NoChildrenForEphemerals, "/e/1/x"));
    one(&*s, ephemeral("/e/2")).await.unwrap();
    one(&*s, delete("/e/2", 0)).await.unwrap();
    s.close().await;
    drop(s);

    let s = stores.open().await;
    assert_ne!(s.session_id(), session);
    assert_eq!(retry::exists(&*s, "/e/1", false).await, Ok(None));
    one(&*s, ephemeral("/e/1")).await.unwrap();
    let again = stat(&*s, "/e/1").await;
    assert_eq!(again.ephemeral_owner, s.session_id());
    assert!(again.czxid > mine.mzxid, "czxids grow over sessions: {again:?}, before {mine:?}");
    let parent = stat(&*s, "/e").await;
    assert_eq!((parent.num_children, parent.cversion), (1, 5));
    s.close().await;
}

pub async fn operations_of_another_session(stores: &mut Stores) {
    let s = &*stores.open().await;
    let here = s.session_id();
    let answer = s.submit_in(here + 1, vec![create("/other", None), exists("/", false)]).await;
    assert_eq!(answer, vec![Err(StoreError::SessionExpired); 2]);
    assert_eq!(retry::exists(s, "/other", false).await, Ok(None));
    assert_eq!(s.submit_in(here, vec![create("/other", None)]).await, [made("/other")]);
    s.close().await;
}

pub async fn refused_arguments(stores: &mut Stores) {
    let s = &*stores.open().await;
    for op in [
        create("relative", None),
        create("/a//b", None),
        create("/", None),
        delete("/", ANY_VERSION),
        get("/a/", false),
        check("/", 0),
    ] {
        let answer = one(s, op.clone()).await;
        assert!(matches!(answer, Err(StoreError::BadArguments(_))), "{op:?} gave {answer:?}");
    }
    let answer = one(s, Op::Multi(vec![check("/", ANY_VERSION), exists("/", false)])).await;
    assert!(matches!(answer, Err(StoreError::Multi { index: 1, .. })), "{answer:?}");
    assert_eq!(one(s, Op::Sync { path: "/".to_owned() }).await, Ok(Reply::Synced));
    assert!(s.submit(vec![]).await.is_empty());
    s.close().await;
}

/// More than are ever in flight at once, reads between writes.
pub async fn many_at_once_stay_in_order(stores: &mut Stores) {
    let s = &*stores.open().await;
    one(s, create("/many", None)).await.unwrap();
    let mut ops = Vec::new();
    for i in 0..200 {
        ops.push(set("/many", bytes(&i.to_string()), i));
        ops.push(get("/many", false));
    }
    let (first, second) = (s.submit(ops.clone()), s.submit(vec![get("/many", false)]));
    let (first, second) = tokio::join!(first, second);
    for (i, pair) in first.chunks(2).enumerate() {
        let Ok(Reply::Data { data, stat }) = &pair[1] else { panic!("{pair:?}") };
        assert_eq!((data, stat.version), (&bytes(&i.to_string()), i as i32 + 1));
    }
    let Ok(Reply::Data { stat, .. }) = &second[0] else { panic!("{second:?}") };
    assert_eq!(stat.version, 200, "a later batch comes after an earlier one");
    s.close().await;
}

pub async fn big_data(stores: &mut Stores) {
    let s = &*stores.open().await;
    let big = Bytes::from((0..1_000_000u32).map(|i| (i % 251) as u8).collect::<Vec<u8>>());
    one(s, create("/big", Some(big.clone()))).await.unwrap();
    let (data, _) = retry::get(s, "/big", false).await.unwrap().unwrap();
    assert!(data == Some(big), "a megabyte comes back as it was sent");
    s.close().await;
}

pub async fn retry_helpers(stores: &mut Stores) {
    let s = &*stores.open().await;
    assert_eq!(retry::create_recursive(s, "/h/i/j", bytes("x")).await, Ok(true));
    assert_eq!(retry::create_recursive(s, "/h/i/j", bytes("y")).await, Ok(false));
    assert_eq!(retry::get(s, "/h/i/j", false).await.unwrap().unwrap().0, bytes("x"));
    assert_eq!(retry::get(s, "/h/i", false).await.unwrap().unwrap().0, None);
    assert_eq!(retry::children(s, "/h", false).await, Ok(Some(vec!["i".to_owned()])));
    assert_eq!(retry::children(s, "/none", false).await, Ok(None));
    assert_eq!(retry::get(s, "/none", false).await, Ok(None));
    s.close().await;
}

pub async fn a_closed_store_says_so(stores: &mut Stores) {
    let s = &*stores.open().await;
    s.close().await;
    assert_eq!(s.session_id(), 0);
    assert_eq!(one(s, exists("/", false)).await, Err(StoreError::Closed));
    s.close().await;
}
