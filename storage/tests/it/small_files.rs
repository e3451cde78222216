//! Indexes, checkpoints and half-done compactions that say something which can be but is wrong: no
//! record goes for it. And offsets end where numbers do.

use std::path::Path;
use std::sync::Arc;

use protocol::ids::{Offset, TimestampMs};
use protocol::records::batch::assign;
use storage::checkpoint::LOG_START_FILE;
use storage::disk::{Crash, Disk, MemoryDisk, OpenHow};
use storage::{AppendError, AppendOrigin, Log, LogConfig};

use crate::driver::{NOW, read_all};
use crate::junk::{ROOT, append, batch_at, open, read, records, stop, stopped, tp, write};

const WEEK_MS: TimestampMs = 7 * 24 * 3_600_000;

fn crashed(disk: &MemoryDisk) -> MemoryDisk {
    let marker = Path::new(ROOT).join(".kafka_cleanshutdown");
    disk.remove_file(&marker).unwrap();
    disk.after(Crash::Kill)
}

#[test]
fn a_log_start_that_cannot_be_costs_no_record() {
    let disk = stopped();
    let want = read_all(&open(&disk.snapshot()).log(&tp("t")).unwrap()).unwrap();
    for start in [38, 6000, Offset::MAX - 1, Offset::MAX] {
        for disk in [disk.snapshot(), crashed(&disk.snapshot())] {
            let text = format!("0\n1\nt 0 {start}\n");
            write(&disk, &Path::new(ROOT).join(LOG_START_FILE), text.as_bytes());
            let manager = open(&disk);
            let log = manager.log(&tp("t")).unwrap();
            assert_eq!(read_all(&log).unwrap(), want, "start {start}");
            assert_eq!((log.log_start_offset(), log.log_end_offset()), (0, 37), "start {start}");
            append(&log, 8);
            drop(log);
            stop(manager);
            assert_eq!(open(&disk).log(&tp("t")).unwrap().log_end_offset(), 39, "start {start}");
        }
    }
}

#[test]
fn a_follower_goes_on_where_its_leader_begins() {
    let disk = stopped();
    let manager = open(&disk);
    manager.truncate_fully_and_start_at(&tp("t"), 5000, NOW).unwrap();
    drop(manager);
    let log = open(&disk.after(Crash::Kill)).log(&tp("t")).unwrap();
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (5000, 5000));
}

#[test]
fn nothing_is_acknowledged_where_no_offset_is_left() {
    let disk = MemoryDisk::default();
    let dir = Path::new(ROOT).join("t-0");
    disk.create_dir(Path::new(ROOT)).unwrap();
    disk.create_dir(&dir).unwrap();
    let base = Offset::MAX - 7;
    disk.open(&dir.join(format!("{base:020}.log")), OpenHow::CreateNew).unwrap();
    let manager = open(&disk);
    let log = manager.log(&tp("t")).unwrap();
    let set = records(0, None);
    let produce = |log: &Log| log.append_as_leader(&set, 1, AppendOrigin::Client, NOW);
    for i in 0..3 {
        assert_eq!(produce(&log).unwrap().first_offset, base + 2 * i);
    }
    // The last offset would be the largest number: what comes next has none.
    assert!(matches!(produce(&log), Err(AppendError::OffsetsExhausted { .. })));
    let mut replicated = set.clone();
    for offset in [Offset::MAX - 1, Offset::MAX] {
        assign(&mut replicated, offset, 1);
        assert!(log.append_as_follower(&replicated, 1, NOW).is_err());
    }
    assert_eq!((log.log_end_offset(), read_all(&log).unwrap().len()), (Offset::MAX - 1, 6));
    drop((log, manager));
    let log = open(&disk.after(Crash::Kill)).log(&tp("t")).unwrap();
    assert_eq!(log.log_end_offset(), Offset::MAX - 1);
    assert!(produce(&log).is_err());
}

#[test]
fn a_time_index_alone_deletes_nothing() {
    let disk = stopped();
    for (base, last) in [(0, 19u32), (20, 16)] {
        // The closing entry says 1970.
        let entry = [&1i64.to_be_bytes()[..], &last.to_be_bytes()].concat();
        write(&disk, &Path::new(ROOT).join(format!("t-0/{base:020}.timeindex")), &entry);
    }
    let manager = open(&disk);
    let log = manager.log(&tp("t")).unwrap();
    log.set_config(Arc::new(LogConfig::default()));
    assert_eq!(log.delete_old_segments(37, NOW + WEEK_MS / 2).unwrap(), 0);
    assert_eq!(read_all(&log).unwrap().len(), 37);
    append(&log, 8);
    // The first segment's records are all as old by now, not all of the second's.
    assert_eq!(log.delete_old_segments(39, NOW + WEEK_MS + 25).unwrap(), 1);
    assert_eq!(log.log_start_offset(), 20);
}

#[test]
fn a_short_output_of_a_compaction_takes_no_whole_segments_place() {
    let disk = stopped();
    let want = read_all(&open(&disk.snapshot()).log(&tp("t")).unwrap()).unwrap();
    let dir = Path::new(ROOT).join("t-0");
    let log = format!("{:020}.log", 0);
    let whole = read(&disk, &dir.join(&log));
    for len in [0, 30, batch_at(0).len(), batch_at(0).len() * 3 - 1, whole.len() - 1] {
        let disk = crashed(&disk.snapshot());
        write(&disk, &dir.join(format!("{log}.swap")), &whole[..len]);
        for suffix in ["index", "timeindex"] {
            let index = read(&disk, &dir.join(format!("{:020}.{suffix}", 0)));
            write(&disk, &dir.join(format!("{:020}.{suffix}.swap", 0)), &index);
        }
        let manager = open(&disk);
        let found = read_all(&manager.log(&tp("t")).unwrap()).unwrap();
        assert_eq!(found, want, "{len} bytes");
        let names = disk.list(&dir).unwrap();
        assert!(!names.iter().any(|entry| entry.name.ends_with(".swap")));
    }
    // Once the source is on its way out, the output counts.
    let disk = crashed(&disk);
    disk.rename(&dir.join(&log), &dir.join(format!("{log}.deleted"))).unwrap();
    write(&disk, &dir.join(format!("{log}.swap")), &whole);
    let manager = open(&disk);
    assert_eq!(read_all(&manager.log(&tp("t")).unwrap()).unwrap(), want);
}
