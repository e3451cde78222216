//! A broker with two log directories, one of which fails: at the start, or while it serves.

use std::path::{Path, PathBuf};
use std::time::Duration;

use metadata::store::{Op, Reply};
use protocol::error_code::ErrorCode;
use protocol::messages::describe_log_dirs::{DescribeLogDirsRequest, DescribeLogDirsResponse};
use protocol::messages::fetch::{FetchPartition, FetchRequest, FetchTopic};
use tests::ottla::Ottla;
use tests::wait;
use tests::zookeeper::ZooKeeperServer;

use crate::zookeeper_faults::{ask, chroot, consume, created, list_offsets, produce, ready, zk};

const LIMIT: Duration = Duration::from_secs(60);
/// A record of so many bytes has a segment of its own.
const SEGMENT_BYTES: usize = 2_000;
const STORAGE: Option<ErrorCode> = Some(ErrorCode::KAFKA_STORAGE_ERROR);

struct Scene {
    broker: Ottla,
    zookeeper: ZooKeeperServer,
    /// Each with the topic that has its only partition there.
    dirs: Vec<(PathBuf, &'static str)>,
    _dir: tempfile::TempDir,
}

fn scene() -> Option<Scene> {
    if !ready() {
        return None;
    }
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    let zookeeper = ZooKeeperServer::start();
    let extra = format!(
        "log.dirs={},{}\nreplica.high.watermark.checkpoint.interval.ms=100\n\
         log.segment.bytes={SEGMENT_BYTES}",
        one.display(),
        two.display()
    );
    let broker = Ottla::start(Some(&chroot(&zookeeper)), &extra);
    let bootstrap = broker.bootstrap();
    for topic in ["a", "b"] {
        created(&bootstrap, topic, &[1]);
        produce(&bootstrap, topic, "kept\n");
    }
    let topic_in = |dir: &Path| if dir.join("a-0").exists() { "a" } else { "b" };
    let dirs: Vec<_> = [one, two].into_iter().map(|dir| (dir.clone(), topic_in(&dir))).collect();
    assert_ne!(dirs[0].1, dirs[1].1, "each directory has one");
    Some(Scene { broker, zookeeper, dirs, _dir: dir })
}

/// From now on no byte of this file can be read: the kernel answers EIO, as for a bad sector.
fn spoil(file: &Path) {
    std::fs::remove_file(file).expect("the file");
    // Address 0 of a process is never mapped.
    std::os::unix::fs::symlink("/proc/self/mem", file).expect("a link");
}

/// From now on no checkpoint can be written there: its temporary file is a directory.
fn breaks(dir: &Path) {
    std::fs::create_dir(dir.join("replication-offset-checkpoint.tmp")).expect("a directory");
}

/// Reads partition 0 from its beginning.
fn fetch(bootstrap: &str, topic: &str) -> Option<ErrorCode> {
    let partition = FetchPartition { partition_max_bytes: 1 << 20, ..Default::default() };
    let topics = vec![FetchTopic {
        topic: topic.to_owned(),
        partitions: vec![partition],
        ..Default::default()
    }];
    let request = FetchRequest {
        replica_id: -1,
        max_bytes: 1 << 20,
        session_epoch: -1,
        topics,
        ..Default::default()
    };
    let answer = ask(bootstrap, &request, 11)?;
    Some(ErrorCode(answer.responses.first()?.partitions.first()?.error_code))
}

/// A broker is ready before its controller has told it what it leads.
fn led(bootstrap: &str, topic: &str) {
    wait::until_true(&format!("{topic} to be led"), LIMIT, || {
        list_offsets(bootstrap, topic) == Some(ErrorCode::NONE)
    });
}

fn described(broker: &Ottla) -> DescribeLogDirsResponse {
    let request = DescribeLogDirsRequest { topics: None };
    ask(&broker.bootstrap(), &request, 4).expect("an answer")
}

fn error_of(response: &DescribeLogDirsResponse, dir: &Path) -> ErrorCode {
    let dir = dir.to_str().expect("plain names");
    let result = response.results.iter().find(|result| result.log_dir == dir);
    ErrorCode(result.unwrap_or_else(|| panic!("{dir} in {response:?}")).error_code)
}

#[test]
fn a_directory_that_fails_takes_only_its_partitions_along() {
    let Some(mut scene) = scene() else { return };
    let bootstrap = scene.broker.bootstrap();
    let [(good, served), (bad, lost)] = &scene.dirs[..] else { panic!("two directories") };
    let notices = |scene: &Scene| {
        let exists = Op::Exists { path: "/log_dir_event_notification".to_owned(), watch: false };
        match zk(&chroot(&scene.zookeeper), vec![exists]).pop() {
            Some(Ok(Reply::Exists { stat: Some(stat) })) => stat.cversion,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(notices(&scene), 0);
    breaks(bad);
    wait::until_true("its partition to go", LIMIT, || list_offsets(&bootstrap, lost) == STORAGE);
    wait::until_true("the controller's notice", LIMIT, || notices(&scene) > 0);
    let response = described(&scene.broker);
    assert_eq!(error_of(&response, bad), ErrorCode::KAFKA_STORAGE_ERROR);
    assert_eq!(error_of(&response, good), ErrorCode::NONE);
    produce(&bootstrap, served, "more\n");
    assert_eq!(consume(&bootstrap, served), "kept\nmore\n");
    created(&bootstrap, "c", &[1]);
    assert!(good.join("c-0").exists(), "new partitions go where there is a disk");
    // The last directory takes the broker along.
    breaks(good);
    let status = wait::until("the broker's end", LIMIT, || scene.broker.ended());
    assert_eq!(status.code(), Some(3));
}

#[test]
fn a_disk_that_cannot_be_read_takes_its_directory_along() {
    let Some(mut scene) = scene() else { return };
    let bootstrap = scene.broker.bootstrap();
    let [(good, served), (bad, lost)] = scene.dirs.clone().try_into().expect("two directories");
    // Two segments each, and no file of the first one open.
    for topic in [served, lost] {
        produce(&bootstrap, topic, &format!("{}\n", "x".repeat(SEGMENT_BYTES - 80)));
    }
    scene.broker.stop();
    scene.broker.restart();
    led(&bootstrap, served);
    assert_eq!(consume(&bootstrap, served), format!("kept\n{}\n", "x".repeat(SEGMENT_BYTES - 80)));
    spoil(&bad.join(format!("{lost}-0/00000000000000000000.log")));
    // The end can still be told, but not what is at the beginning.
    led(&bootstrap, lost);
    let _ = fetch(&bootstrap, lost);
    wait::until_true("its partition to go", LIMIT, || list_offsets(&bootstrap, lost) == STORAGE);
    assert_eq!(fetch(&bootstrap, lost), STORAGE);
    let response = described(&scene.broker);
    assert_eq!(error_of(&response, &bad), ErrorCode::KAFKA_STORAGE_ERROR);
    assert_eq!(error_of(&response, &good), ErrorCode::NONE);
    produce(&bootstrap, served, "more\n");
    assert!(consume(&bootstrap, served).ends_with("more\n"));
    scene.broker.stop();
}

#[test]
fn a_start_leaves_out_what_cannot_be_read() {
    let Some(mut scene) = scene() else { return };
    let bootstrap = scene.broker.bootstrap();
    let (good, served) = scene.dirs[1].clone();
    let (bad, lost) = scene.dirs[0].clone();
    scene.broker.stop();
    let aside = bad.with_extension("aside");
    std::fs::rename(&bad, &aside).expect("moved aside");
    std::fs::write(&bad, "no directory").expect("a file in its place");
    scene.broker.restart();
    wait::until_true("the good one to be served", LIMIT, || {
        list_offsets(&bootstrap, served) == Some(ErrorCode::NONE)
    });
    assert_eq!(consume(&bootstrap, served), "kept\n");
    wait::until_true("the bad one to be known", LIMIT, || {
        list_offsets(&bootstrap, lost) == STORAGE
    });
    let response = described(&scene.broker);
    assert_eq!(error_of(&response, &bad), ErrorCode::KAFKA_STORAGE_ERROR);
    assert_eq!(error_of(&response, &good), ErrorCode::NONE);
    assert!(!good.join(format!("{lost}-0")).exists(), "it is not made anew elsewhere");
    scene.broker.stop();
    std::fs::remove_file(&bad).expect("the file");
    std::fs::rename(&aside, &bad).expect("moved back");
    scene.broker.restart();
    led(&bootstrap, lost);
    assert_eq!(consume(&bootstrap, lost), "kept\n");
    scene.broker.stop();
    for dir in [&good, &bad] {
        std::fs::rename(dir, dir.with_extension("gone")).expect("moved away");
        std::fs::write(dir, "no directory").expect("a file in its place");
    }
    let (code, said) = scene.broker.restart_in_vain();
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("no log directory can be used"), "{said}");
}
