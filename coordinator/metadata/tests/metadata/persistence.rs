//! What only the embedded store has: a file that outlives it, a lock, and damage to withstand.

use std::sync::Arc;

use metadata::embedded::{self, OpenError};
use metadata::retry::{self, one};
use metadata::store::{MetadataStore, Stat, StoreError, StoreEvent};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::cases::{create, delete, ephemeral, set};
use crate::fixture::{bytes, journal_path, runtime, wall_clock};

fn open(dir: &TempDir) -> (Arc<dyn MetadataStore>, JoinHandle<()>) {
    let (store, driver) = embedded::open(&journal_path(dir), wall_clock()).unwrap();
    (store, tokio::spawn(driver.run()))
}

async fn all(store: &dyn MetadataStore) -> Vec<(String, Option<bytes::Bytes>, Stat)> {
    let mut paths = vec!["/".to_owned()];
    let mut found = Vec::new();
    while let Some(path) = paths.pop() {
        let (data, stat) = retry::get(store, &path, false).await.unwrap().unwrap();
        for name in retry::children(store, &path, false).await.unwrap().unwrap() {
            paths.push(metadata::path::child(&path, &name));
        }
        found.push((path, data, stat));
    }
    found
}

#[test]
fn persistent_nodes_survive_with_their_numbers() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (s, driver) = open(&dir);
        one(&*s, create("/a", bytes("x"))).await.unwrap();
        one(&*s, create("/a/b", None)).await.unwrap();
        one(&*s, create("/a/gone", bytes(""))).await.unwrap();
        one(&*s, set("/a/b", bytes("y"), 0)).await.unwrap();
        one(&*s, delete("/a/gone", 0)).await.unwrap();
        let before = all(&*s).await;
        one(&*s, ephemeral("/a/e")).await.unwrap();
        let epoch = retry::exists(&*s, "/a/e", false).await.unwrap().unwrap().czxid;
        drop(s);
        driver.await.expect("the driver ends with its store");
        let (s, _) = open(&dir);
        let after = all(&*s).await;
        // The ephemeral came and went: /a has two more changes of its children.
        let expected: Vec<_> = before
            .into_iter()
            .map(|(path, data, stat)| {
                let changes = if path == "/a" { 2 } else { 0 };
                (path, data, Stat { cversion: stat.cversion + changes, ..stat })
            })
            .collect();
        assert_eq!(after, expected);
        one(&*s, ephemeral("/a/e")).await.unwrap();
        let again = retry::exists(&*s, "/a/e", false).await.unwrap().unwrap().czxid;
        assert!(again > epoch, "a broker's epoch grows: {epoch}, {again}");
        s.close().await;
    });
}

/// kill -9 leaves the file as it is at that moment: so does a copy of it between two answers.
#[test]
fn what_was_answered_survives_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let killed = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (s, _) = open(&dir);
        let mut zxid = 0;
        for i in 0..30 {
            let last = format!("/n{i}");
            one(&*s, create(&last, bytes(&"x".repeat(i * 100)))).await.unwrap();
            let stat = retry::exists(&*s, &last, false).await.unwrap();
            std::fs::copy(journal_path(&dir), journal_path(&killed)).unwrap();
            let (copy, driver) = open(&killed);
            assert_eq!(retry::exists(&*copy, &last, false).await.unwrap(), stat, "{last}");
            one(&*copy, create("/after", None)).await.unwrap();
            let after = retry::exists(&*copy, "/after", false).await.unwrap().unwrap();
            assert!(after.czxid > zxid, "no transaction number is used twice");
            zxid = stat.unwrap().czxid;
            copy.close().await;
            driver.await.unwrap();
        }
        s.close().await;
    });
}

/// The test runs itself again where files can only grow to some ten megabytes.
#[test]
fn a_full_disk_ends_the_store_and_keeps_what_was_answered() {
    const DIR: &str = "OTTLA_TEST_FULL_DISK";
    if let Some(dir) = std::env::var_os(DIR) {
        return runtime().block_on(fill(&std::path::PathBuf::from(dir).join("metadata.redb")));
    }
    let dir = tempfile::tempdir().unwrap();
    let name = "persistence::a_full_disk_ends_the_store_and_keeps_what_was_answered";
    let mut again = std::process::Command::new("sh");
    again.args(["-c", "trap '' XFSZ; ulimit -f 20000; exec \"$0\" --exact \"$1\" --nocapture"]);
    again.arg(std::env::current_exe().unwrap()).arg(name).env(DIR, dir.path());
    let output = again.output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    let answered = printed.lines().find_map(|line| line.split_once("answered=")).expect("a count");
    let answered: usize = answered.1.trim().parse().unwrap();
    runtime().block_on(async {
        let (s, _) = open(&dir);
        let names = retry::children(&*s, "/", false).await.unwrap().unwrap();
        assert!((answered..=answered + 1).contains(&names.len()), "{answered} of {}", names.len());
        s.close().await;
    });
}

async fn fill(path: &std::path::Path) {
    let (s, driver) = embedded::open(path, wall_clock()).unwrap();
    let driver = tokio::spawn(driver.run());
    let mut events = s.subscribe();
    let mut answered = 0;
    let error = loop {
        match one(&*s, create(&format!("/n{answered}"), bytes(&"x".repeat(50_000)))).await {
            Ok(_) => answered += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, StoreError::Other(_)), "{error:?}");
    driver.await.unwrap();
    assert_eq!(s.session_id(), 0);
    assert_eq!(one(&*s, create("/x", None)).await, Err(StoreError::Closed));
    let over = |event: &StoreEvent| (*event == StoreEvent::SessionExpired).then_some(());
    crate::fixture::event(&mut events, over).await;
    println!("answered={answered}");
}

#[test]
fn a_second_owner_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (s, driver) = open(&dir);
        one(&*s, create("/a", None)).await.unwrap();
        let second = embedded::open(&journal_path(&dir), wall_clock());
        assert!(matches!(second, Err(OpenError::Locked(_))));
        s.close().await;
        driver.await.unwrap();
        let (s, _) = open(&dir);
        assert!(retry::exists(&*s, "/a", false).await.unwrap().is_some());
        s.close().await;
    });
}

#[test]
fn a_damaged_file_is_an_error_and_never_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (s, driver) = open(&dir);
        for i in 0..50 {
            one(&*s, create(&format!("/n{i}"), bytes("some data"))).await.unwrap();
        }
        s.close().await;
        driver.await.unwrap();
    });
    let good = std::fs::read(journal_path(&dir)).unwrap();
    let mut damaged: Vec<Vec<u8>> =
        vec![b"not a journal at all".to_vec(), vec![0; 5000], good[..good.len() / 2].to_vec()];
    for place in (0..512).step_by(7).chain((4096..good.len()).step_by(4096 + 97)) {
        let mut bytes = good.clone();
        bytes[place] ^= 0x5a;
        damaged.push(bytes);
    }
    for (number, bytes) in damaged.into_iter().enumerate() {
        let path = dir.path().join(format!("damaged-{number}"));
        std::fs::write(&path, bytes).unwrap();
        // Many of these flips hit unused bytes: then it must open, else it must say why.
        let opened = std::panic::catch_unwind(|| {
            embedded::open(&path, wall_clock()).map(|_| ()).map_err(|error| error.to_string())
        });
        let result = opened.unwrap_or_else(|_| panic!("copy {number} panics"));
        if number < 2 {
            assert!(result.is_err(), "copy {number} is no journal");
        }
        std::fs::remove_file(&path).unwrap();
    }
}

/// An open of ten thousand nodes is part of a broker's start.
#[test]
fn opening_is_fast() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let (s, driver) = open(&dir);
        one(&*s, create("/t", None)).await.unwrap();
        let ops =
            (0..10_000).map(|i| create(&format!("/t/{i}"), bytes(&"x".repeat(200)))).collect();
        let results = s.submit(ops).await;
        assert!(results.iter().all(Result::is_ok));
        s.close().await;
        driver.await.unwrap();
        let start = std::time::Instant::now();
        let (s, _) = open(&dir);
        let took = start.elapsed();
        println!("opened 10,000 nodes in {took:?}");
        assert!(took.as_millis() < 1000, "{took:?}");
        s.close().await;
    });
}
