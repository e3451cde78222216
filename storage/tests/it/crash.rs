//! A crash at every change of the disk: what was flushed is there, what was acknowledged survives a
//! kill, and no torn batch is served.

use std::path::Path;
use std::sync::Arc;

use protocol::ids::TopicPartition;
use protocol::records::builder::{BatchBuilder, BatchOptions};
use storage::disk::{Crash, Disk, Fault, MemoryDisk, OpenHow};
use storage::partition_dir::FileCache;
use storage::{Log, LogConfig, LogOptions};

use crate::driver::{Driver, NOW, Step, read_all};

const CONFIG: [(&str, &str); 3] =
    [("segment.bytes", "1500"), ("index.interval.bytes", "300"), ("segment.index.bytes", "60")];

fn append(bytes: u16) -> Step {
    Step::Append {
        records: 2,
        bytes,
        epoch_up: bytes.is_multiple_of(3),
        idempotent: bytes.is_multiple_of(2),
    }
}

/// Appends, rolls by size, flushes, truncations inside and at segments, deletions, restarts.
fn script() -> Vec<Step> {
    let mut steps = Vec::new();
    for round in 0..3u16 {
        for i in 0..8 {
            steps.push(append(20 + round * 31 + i * 17));
            if i % 3 == 1 {
                steps.push(Step::Prepare);
            }
        }
        steps.push(Step::Flush);
        steps.push(Step::Replicate { batches: 5, bytes: 90 });
        steps.push(Step::Transact { records: 2 });
        steps.push(Step::Checkpoint);
        steps.push(Step::EndTransaction { commit: round == 1 });
        steps.push(Step::Transact { records: 1 });
        steps.push(append(77));
        steps.push(Step::Truncate(850));
        steps.push(append(40));
        steps.push(Step::Roll);
        steps.push(Step::Prepare);
        steps.push(append(19));
        steps.push(Step::Idle);
        steps.push(append(41));
        match round {
            0 => steps.push(Step::CleanRestart),
            1 => steps.push(Step::DeleteRecords(300)),
            _ => steps.push(Step::Retention { keep_bytes: 2500 }),
        }
        steps.push(append(50));
    }
    steps.push(Step::StartOver(2));
    steps.push(append(60));
    steps
}

/// Runs the script until it ends or the disk dies; `None` if not even opening worked.
fn run(disk: &MemoryDisk) -> Option<Driver> {
    let mut driver = Driver::new(disk.clone(), &CONFIG).ok()?;
    for step in script() {
        // A restart goes on with another disk: the fault must follow.
        if driver.step(&step).is_err() {
            return Some(driver);
        }
    }
    Some(driver)
}

fn crash_everywhere(map: bool, crashes: &[Crash]) {
    let disk = MemoryDisk::new(map);
    let driver = run(&disk).expect("without a fault it runs");
    driver.compare().unwrap();
    let first_part = disk.changes();
    assert!(first_part > 100, "the script makes changes: {first_part}");
    for at in 1..=first_part {
        for crash in crashes {
            let disk = MemoryDisk::new(map);
            disk.set_fault(Some(Fault::CrashAt(at)));
            let after = |driver: Option<Driver>| match driver {
                Some(mut driver) => {
                    let left = driver.disk.after(*crash);
                    driver.reopen(left, *crash)?;
                    Ok(driver)
                }
                None => Driver::new(disk.after(*crash), &CONFIG),
            };
            let go_on = || -> Result<(), String> {
                let mut driver = after(run(&disk))?;
                for step in [append(33), Step::Flush, append(34), Step::CleanRestart, append(35)] {
                    driver.step(&step)?;
                    driver.compare()?;
                }
                Ok(())
            };
            if let Err(e) = go_on() {
                panic!("crash at change {at} of {first_part}, {crash:?}, map {map}: {e}");
            }
        }
    }
}

#[test]
fn a_kill_at_every_change_loses_nothing_acknowledged() {
    crash_everywhere(true, &[Crash::Kill]);
    crash_everywhere(false, &[Crash::Kill]);
}

#[test]
fn a_power_loss_at_every_change_loses_nothing_flushed() {
    let crashes = [1, 2, 3].map(|seed| Crash::PowerLoss { seed });
    crash_everywhere(true, &crashes);
    crash_everywhere(false, &crashes);
}

#[test]
fn an_error_at_every_change_is_an_error_and_nothing_worse() {
    let disk = MemoryDisk::new(true);
    run(&disk).expect("without a fault it runs");
    for change in 1..=disk.changes() {
        for errno in [libc::EIO, libc::ENOSPC] {
            let disk = MemoryDisk::new(true);
            disk.set_fault(Some(Fault::ErrorAt { change, errno }));
            let Some(mut driver) = run(&disk) else { continue };
            driver.disk.set_fault(None);
            let left = driver.disk.after(Crash::Kill);
            driver
                .reopen(left, Crash::Kill)
                .and_then(|()| driver.compare())
                .unwrap_or_else(|e| panic!("errno {errno} at change {change}: {e}"));
        }
    }
}

#[test]
fn a_full_disk_refuses_appends_until_there_is_room() {
    let disk = MemoryDisk::new(true);
    let mut driver = Driver::new(disk.clone(), &CONFIG).unwrap();
    let mut refused = 0;
    disk.set_fault(Some(Fault::Full { bytes: 6000 }));
    for i in 0..40 {
        refused += u32::from(driver.step(&append(50 + i)).is_err());
    }
    assert!(refused > 0);
    disk.set_fault(None);
    driver.step(&append(10)).expect("there is room again");
    driver.compare().unwrap();
    driver.step(&Step::CleanRestart).unwrap();
    driver.compare().unwrap();
}

#[test]
fn nobody_reads_an_abort_marker_before_what_it_aborted_can_be_told() {
    let mut refused = 0;
    for (at, errno) in (1..).flat_map(|at| [(at, libc::EIO), (at, libc::ENOSPC)]) {
        let disk = MemoryDisk::new(true);
        let mut driver = Driver::new(disk.clone(), &CONFIG).unwrap();
        driver.step(&Step::Transact { records: 2 }).unwrap();
        disk.set_fault(Some(Fault::ErrorAt { change: disk.changes() + at, errno }));
        let done = driver.step(&Step::EndTransaction { commit: false }).is_ok();
        let log = &driver.log;
        let read = log.read(0, 1 << 20, i64::MAX, true).unwrap();
        let told = log.aborted_transactions(0, &read).unwrap().len();
        assert_eq!(told, usize::from(done), "errno {errno} at change {at}");
        assert_eq!(log.last_stable_offset(log.log_end_offset()), if done { 3 } else { 0 });
        refused += u32::from(!done);
        if done && errno == libc::ENOSPC {
            break;
        }
    }
    assert!(refused > 2, "the marker and its entry are two writes: {refused}");
}

fn overflowing(disk: &MemoryDisk) {
    let dir = Path::new("/data/t-0");
    disk.create_dir(dir).unwrap();
    let file = disk.open(&dir.join(format!("{:020}.log", 0)), OpenHow::CreateNew).unwrap();
    let mut bytes = Vec::new();
    for i in 0..6 {
        let mut builder = BatchBuilder::new(BatchOptions::default());
        builder.append(NOW + i, None, Some(&[i as u8; 200]), &[]).unwrap();
        let mut batch = builder.finish().unwrap().to_vec();
        protocol::records::batch::assign(&mut batch, i * 1_500_000_000, 0);
        bytes.extend_from_slice(&batch);
    }
    file.write_at(&[&bytes], 0).unwrap();
    file.sync().unwrap();
    disk.sync_dir(dir).unwrap();
}

#[test]
fn a_kill_at_every_step_of_a_split_keeps_every_batch() {
    let open = |disk: &MemoryDisk| {
        let config = LogConfig::default().with([("cleanup.policy", "compact")]).unwrap();
        Log::open(
            LogOptions {
                disk: Arc::new(disk.clone()),
                files: FileCache::new(16),
                path: "/data/t-0".into(),
                partition: TopicPartition::new("t", 0),
                config: Arc::new(config),
                clean: false,
                kept: false,
                suspicion: Default::default(),
                recovery_point: 0,
                log_start: 0,
                accept_loss: false,
            },
            NOW,
        )
    };
    for at in 1.. {
        let disk = MemoryDisk::new(true);
        overflowing(&disk);
        disk.set_fault(Some(Fault::CrashAt(disk.changes() + at)));
        let whole = open(&disk).is_ok();
        for crash in [Crash::Kill, Crash::PowerLoss { seed: at }, Crash::PowerLoss { seed: 99 }] {
            let log = open(&disk.snapshot().after(crash)).unwrap();
            let found = read_all(&log).unwrap();
            let offsets: Vec<_> = found.keys().map(|o| o / 1_500_000_000).collect();
            assert_eq!(offsets, [0, 1, 2, 3, 4, 5], "{crash:?} at change {at}");
            assert_eq!(log.segment_sizes().len(), 3);
        }
        if whole {
            assert!(at > 10, "{at} changes");
            break;
        }
    }
}
