//! Roles as the controller gives them, on logs in a directory or two.

use std::path::Path;

use protocol::ids::Offset;
use protocol::records::builder::{BatchBuilder, BatchOptions};
use storage::LogConfig;
use storage::disk::{Disk, Fault, MemoryDisk};
use storage::log_dir::LogDir;

use super::strays::Doomed;
use super::*;
use crate::authorizer::{CLUSTER, Internal};
use crate::replication::cluster_view::{BrokerEndpoint, Leader};
use crate::replication::partition::{AppendTerms, Cut, Fetched, FollowError};

/// Whoever gives orders.
fn controller() -> Authorized<'static, op::ClusterAction, Cluster> {
    Internal::of_this_broker().authorized(CLUSTER)
}

const NOW_MS: i64 = 1_700_000_000_000;

struct Everybody;

impl ClusterView for Everybody {
    fn is_alive(&self, _broker: BrokerId) -> bool {
        true
    }

    fn has_partition(&self, _topic: &str, _index: i32) -> bool {
        true
    }

    fn topic_name(&self, _id: Uuid) -> Option<Arc<str>> {
        None
    }

    fn leader(&self, _topic: &str, _index: i32) -> Option<Leader> {
        None
    }

    fn endpoint(&self, _broker: BrokerId, _listener: &str) -> Option<BrokerEndpoint> {
        None
    }

    fn replication_endpoint(&self, _broker: BrokerId) -> Option<client::Endpoint> {
        Some(client::Endpoint::new("localhost", 9092))
    }

    fn log_config(&self, _topic: &str) -> Arc<LogConfig> {
        Arc::default()
    }

    fn throttled_replicas(&self, _topic: &str, _key: &str) -> Option<String> {
        None
    }

    fn max_lag_ms(&self) -> i64 {
        30_000
    }
}

fn manager(disk: &MemoryDisk, dirs: &[&str]) -> ReplicaManager {
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let dirs = dirs.iter().map(|dir| LogDir::open(shared.clone(), Path::new(dir)).unwrap());
    let logs = LogManager::new(shared.clone(), dirs.collect(), false, NOW_MS).unwrap();
    logs.load_all(&|_| Arc::default(), NOW_MS);
    ReplicaManager::new(1, Arc::new(logs), Arc::new(Everybody))
}

fn order(index: i32, topic_id: u8, leader_epoch: i32) -> RoleOrder {
    RoleOrder {
        topic: "t".to_owned(),
        topic_id: Uuid([topic_id; 16]),
        index,
        is_new: leader_epoch == 0,
        assignment: PartitionAssignment {
            controller_epoch: 1,
            leader: 1,
            leader_epoch,
            isr: vec![1],
            partition_epoch: leader_epoch,
            replicas: vec![1],
            adding: Vec::new(),
            removing: Vec::new(),
        },
    }
}

/// What became of each order, in a word.
fn outcomes(manager: &ReplicaManager, orders: &[RoleOrder]) -> Vec<&'static str> {
    let obeyed = manager
        .take_roles(&controller(), 1, orders, NOW_MS)
        .expect("the controller is no former one");
    let word = |result: &Result<(), OrderError>| match result {
        Ok(()) => "taken",
        Err(OrderError::InconsistentTopicId { .. }) => "another id",
        Err(OrderError::Offline | OrderError::Storage(_)) => "no disk",
        Err(other) => panic!("{other}"),
    };
    obeyed.results.iter().map(word).collect()
}

fn append(manager: &ReplicaManager, index: i32) -> Offset {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    builder.append(NOW_MS, None, Some(b"v"), &[]).unwrap();
    let records = builder.finish().unwrap();
    let partition = manager.find("t", index).expect("it is hosted");
    let terms = AppendTerms {
        origin: AppendOrigin::Client,
        acks_all: false,
        leader_epoch: None,
        guard: None,
    };
    let topic = Internal::of_this_broker().authorized("t");
    let appended = partition.append(&topic, &records, terms, NOW_MS);
    appended.expect("it leads").last_offset
}

#[test]
fn a_topic_id_that_differs_leaves_the_log_alone_until_it_is_mended() {
    let disk = MemoryDisk::default();
    let first = manager(&disk, &["/data"]);
    assert_eq!(outcomes(&first, &[order(0, 7, 0)]), ["taken"]);
    assert_eq!(append(&first, 0), 0);
    assert_eq!(outcomes(&first, &[order(0, 8, 1)]), ["another id"]);
    assert_eq!(append(&first, 0), 1, "it leads on, as before");
    drop(first);

    let second = manager(&disk, &["/data"]);
    let elsewhere = RoleOrder {
        assignment: PartitionAssignment { replicas: vec![2], ..order(0, 8, 1).assignment },
        ..order(0, 8, 1)
    };
    let new = RoleOrder { is_new: true, ..order(0, 8, 1) };
    for order in [elsewhere, new, order(0, 8, 1)] {
        assert_eq!(outcomes(&second, &[order]), ["another id"]);
        let partition = second.find("t", 0).expect("it is hosted, without a role");
        assert!(partition.log().is_none() && !partition.is_leader());
        assert_eq!(partition.topic_id(), Some(Uuid([7; 16])), "who fetches by id is told");
    }
    let names: Vec<String> =
        disk.list(Path::new("/data")).unwrap().into_iter().map(|entry| entry.name).collect();
    assert_eq!(names.iter().filter(|name| name.starts_with("t-0")).count(), 1, "{names:?}");
    // An operator wrote the id back; the epoch is the one that was refused.
    assert_eq!(outcomes(&second, &[order(0, 7, 1)]), ["taken"]);
    assert_eq!(append(&second, 0), 2, "behind what was acknowledged before");
}

#[test]
fn a_topic_made_again_has_a_log_of_its_own_once_the_former_one_was_deleted() {
    let disk = MemoryDisk::default();
    let first = manager(&disk, &["/data"]);
    assert_eq!(outcomes(&first, &[order(0, 7, 0)]), ["taken"]);
    append(&first, 0);
    drop(first);
    // The deletion waits for a replica that is away; this is the first that it is told.
    let second = manager(&disk, &["/data"]);
    let stop = StopOrder {
        topic: "t".to_owned(),
        index: 0,
        leader_epoch: EPOCH_DURING_DELETE,
        delete: true,
    };
    assert!(matches!(
        second.stop(&controller(), 1, std::slice::from_ref(&stop), NOW_MS).as_deref(),
        Ok([Ok(())])
    ));
    assert_eq!(outcomes(&second, &[order(0, 8, 0)]), ["taken"]);
    assert_eq!(second.find("t", 0).unwrap().topic_id(), Some(Uuid([8; 16])));
    assert_eq!(append(&second, 0), 0);
    // Also after an order that was refused.
    assert_eq!(outcomes(&second, &[order(0, 9, 1)]), ["another id"]);
    assert!(matches!(second.stop(&controller(), 1, &[stop], NOW_MS).as_deref(), Ok([Ok(())])));
    assert_eq!(outcomes(&second, &[order(0, 9, 0)]), ["taken"]);
    assert_eq!(append(&second, 0), 0);
}

#[test]
fn a_controller_that_repeats_itself_is_no_former_one() {
    let manager = manager(&MemoryDisk::default(), &["/data"]);
    let take = |epoch| {
        let obeyed = manager.take_roles(&controller(), 1, &[order(0, 7, epoch)], NOW_MS);
        obeyed.expect("the controller is no former one").results.remove(0)
    };
    assert!(matches!(take(2), Ok(())));
    assert!(matches!(take(2), Err(OrderError::KnownEpoch)));
    assert!(matches!(take(1), Err(OrderError::StaleEpoch)));
}

#[test]
fn a_directory_that_fails_while_logs_are_made_takes_only_its_own_partitions() {
    let disk = MemoryDisk::default();
    let manager = manager(&disk, &["/one", "/two"]);
    assert_eq!(outcomes(&manager, &[order(0, 7, 0)]), ["taken"]);
    let change = disk.changes() + 2;
    disk.set_fault(Some(Fault::ErrorAt { change, errno: libc::EIO }));
    let orders = [order(1, 7, 0), order(2, 7, 0), order(3, 7, 0)];
    let expected = ["no disk", "taken", "taken"];
    assert_eq!(outcomes(&manager, &orders), expected);
    let offline: Vec<bool> = manager.logs().dirs().iter().map(LogDir::is_offline).collect();
    assert_eq!(offline, [false, true]);
    assert_eq!(manager.find("t", 1).unwrap_err(), NotHere::Offline);
    assert_eq!((append(&manager, 0), append(&manager, 2), append(&manager, 3)), (0, 0, 0));
    // A log that was there before may be in the directory that failed.
    let known_before = RoleOrder { is_new: false, ..order(4, 7, 3) };
    assert_eq!(outcomes(&manager, &[known_before]), ["no disk"]);
}

#[test]
fn a_full_disk_is_not_a_failed_one() {
    let disk = MemoryDisk::default();
    let manager = manager(&disk, &["/data"]);
    let change = disk.changes() + 4;
    disk.set_fault(Some(Fault::ErrorAt { change, errno: libc::ENOSPC }));
    let found = outcomes(&manager, &[order(0, 7, 0), order(1, 7, 0)]);
    assert_eq!(found, ["no disk", "taken"]);
    assert!(!manager.logs().dirs()[0].is_offline());
}

#[test]
fn only_a_log_that_goes_on_behind_the_first_offset_is_cut_before_it_is_fetched() {
    use replica::follower::Stage;
    let manager = manager(&MemoryDisk::default(), &["/data"]);
    let follows = |index| {
        let mut order = order(index, 7, 1);
        order.assignment.leader = 2;
        order.assignment.replicas = vec![1, 2];
        assert_eq!(outcomes(&manager, &[order.clone()]), ["taken"]);
        let name = TopicPartition::new("t", index);
        let start = manager.follow_order(&order, &name).expect("its leader is known").start;
        (start.offset, start.last_epoch, start.stage)
    };
    assert_eq!(follows(0), (0, None, Stage::Fetching), "a new log");
    assert_eq!(outcomes(&manager, &[order(1, 7, 0)]), ["taken"]);
    append(&manager, 1);
    // What the follower has beyond its leader the leader tells.
    assert_eq!(follows(1), (1, Some(0), Stage::Fetching));
}

#[test]
fn a_leader_that_names_offsets_below_zero_is_not_followed_there() {
    let manager = manager(&MemoryDisk::default(), &["/data"]);
    let mut order = order(0, 7, 0);
    (order.assignment.leader, order.assignment.replicas) = (2, vec![1, 2]);
    assert_eq!(outcomes(&manager, &[order]), ["taken"]);
    let partition = manager.find("t", 0).expect("it is hosted");
    let mut builder = BatchBuilder::new(BatchOptions { base_offset: -5, ..Default::default() });
    builder.append(NOW_MS, None, Some(b"v"), &[]).unwrap();
    builder.keep_last_offset(5);
    let records = builder.finish().unwrap();
    let fetched = Fetched { records: &records, offset: 0, high_watermark: 0, log_start: 0 };
    let refused = partition.append_fetched(0, &fetched, manager.logs(), NOW_MS);
    assert!(matches!(refused, Err(FollowError::Append(_))), "{refused:?}");
    for cut in [Cut::At(-1), Cut::StartOver(-1)] {
        let refused = partition.cut(0, cut, manager.logs(), NOW_MS);
        assert!(matches!(refused, Err(FollowError::WrongOffset { .. })), "{refused:?}");
    }
    assert_eq!(partition.follower_end(0).map(|end| end.offset).ok(), Some(0));
}

#[test]
fn a_log_that_was_left_behind_goes_with_its_topic_and_with_no_other() {
    let disk = MemoryDisk::default();
    let before = manager(&disk, &["/data"]);
    assert_eq!(outcomes(&before, &[order(0, 7, 0)]), ["taken"]);
    append(&before, 0);
    drop(before);
    // It was away when the partition was moved from it.
    let after = manager(&disk, &["/data"]);
    let doomed =
        |id: u8| Doomed { partition: TopicPartition::new("t", 0), topic_id: Uuid([id; 16]) };
    for other in [doomed(8), doomed(0)] {
        assert!(!after.is_stray(&other));
        after.delete_strays(&controller(), 1, &[other], NOW_MS).expect("no former controller");
    }
    assert_eq!(outcomes(&after, &[order(0, 8, 0)]), ["another id"]);
    assert!(after.is_stray(&doomed(7)), "also after an order that was refused");
    after.delete_strays(&controller(), 1, &[doomed(7)], NOW_MS).expect("no former controller");
    assert_eq!(outcomes(&after, &[order(0, 8, 0)]), ["taken"]);
    // What it hosts a StopReplica takes.
    assert!(!after.is_stray(&doomed(8)));
    assert_eq!(append(&after, 0), 0);
}
