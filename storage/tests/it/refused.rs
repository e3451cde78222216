//! A log that was refused stays so, whatever ends the broker between, until it is whole again, its
//! loss is accepted or it is gone; and it costs no other log anything.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use storage::checkpoint::RECOVERY_POINT_FILE;
use storage::disk::{Crash, Disk, Fault, MemoryDisk};
use storage::refusals::REFUSED_FILE;
use storage::{LogConfig, LogManager};

use crate::driver::{NOW, read_all};
use crate::junk::{
    ACTIVE, ROOT, append, batch_at, damages, open, read, stop, stopped, tp, try_open, write,
};

const FIRST: &str = "/data/t-0/00000000000000000000.log";

fn refused_file() -> PathBuf {
    Path::new(ROOT).join(REFUSED_FILE)
}

fn is_noted(disk: &MemoryDisk) -> bool {
    disk.stat(&refused_file()).unwrap().is_some()
}

/// Every way that a broker ends.
const ENDS: [Option<Crash>; 4] =
    [Some(Crash::Kill), Some(Crash::PowerLoss { seed: 1 }), None, Some(Crash::Kill)];

fn end(disk: &MemoryDisk, manager: LogManager, how: Option<Crash>) -> MemoryDisk {
    match how {
        Some(crash) => {
            drop(manager);
            disk.after(crash)
        }
        None => {
            stop(manager);
            disk.after(Crash::Kill)
        }
    }
}

/// Changes to a cleanly stopped log that only the first start can tell from what a crash leaves,
/// each with the file that it damages.
fn losses(disk: &MemoryDisk) -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let active = read(disk, Path::new(ACTIVE));
    let first = read(disk, Path::new(FIRST));
    let last = batch_at(35).len();
    let cut = |len: usize| active[..len].to_vec();
    let mut flipped = active.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let mut middle = active.clone();
    middle[active.len() - last - 3] ^= 1;
    vec![
        ("a batch less", ACTIVE, cut(active.len() - last)),
        ("half a batch less", ACTIVE, cut(active.len() - 10)),
        ("nothing", ACTIVE, Vec::new()),
        ("a flipped bit", ACTIVE, flipped),
        ("a flipped bit before the last batch", ACTIVE, middle),
        ("the end of the segment before", FIRST, first[..first.len() - last].to_vec()),
    ]
}

fn without(disk: &MemoryDisk, name: &str) {
    disk.remove_file(Path::new(name)).unwrap();
}

#[test]
fn what_the_first_start_refuses_every_later_one_does() {
    let disk = stopped();
    let want = read_all(&open(&disk.snapshot()).log(&tp("t")).unwrap()).unwrap();
    for (what, file, bytes) in losses(&disk) {
        let whole = read(&disk, Path::new(file));
        let mut disk = disk.snapshot();
        write(&disk, Path::new(file), &bytes);
        if file == FIRST || what.contains("before") {
            // Else a clean start looks at its end only.
            without(&disk, &file.replace(".log", ".index"));
        }
        for how in ENDS {
            let manager = open(&disk);
            let reason = manager.failure_of(&tp("t"));
            assert!(reason.is_some(), "{what}: served after {how:?}");
            append(&manager.log(&tp("other")).expect(what), 8);
            assert_eq!(read(&disk, Path::new(file)), bytes, "{what}: the file is as it was");
            // A later checkpoint may be lost.
            write(&disk, &Path::new(ROOT).join(RECOVERY_POINT_FILE), b"0\n0\n");
            disk = end(&disk, manager, how);
        }
        // Its loss is accepted.
        let copy = disk.snapshot();
        let accepted = try_open(&copy, true).unwrap();
        append(&accepted.log(&tp("t")).expect(what), 8);
        assert!(!is_noted(&copy), "{what}");
        let copy = end(&copy, accepted, Some(Crash::Kill));
        assert!(open(&copy).log(&tp("t")).is_some(), "{what}: accepted for good");
        // It is brought back.
        write(&disk, Path::new(file), &whole);
        let manager = open(&disk);
        let log = manager.log(&tp("t")).expect(what);
        assert_eq!(read_all(&log).unwrap(), want, "{what}");
        assert!(!is_noted(&disk), "{what}");
        append(&log, 8);
        drop(log);
        let disk = end(&disk, manager, Some(Crash::Kill));
        assert_eq!(open(&disk).log(&tp("t")).unwrap().log_end_offset(), 39, "{what}");
    }
}

#[test]
fn a_kill_while_the_logs_are_loaded_forgets_nothing() {
    let disk = stopped();
    let last = batch_at(35).len();
    let active = read(&disk, Path::new(ACTIVE));
    write(&disk, Path::new(ACTIVE), &active[..active.len() - last]);
    let whole = disk.snapshot();
    let before = whole.changes();
    drop(open(&whole));
    let all = whole.changes() - before;
    assert!(all > 5, "{all}");
    for change in 1..=all {
        for crash in [Crash::Kill, Crash::PowerLoss { seed: change }] {
            let disk = disk.snapshot();
            disk.set_fault(Some(Fault::CrashAt(disk.changes() + change)));
            drop(try_open(&disk, false));
            let manager = open(&disk.after(crash));
            assert!(manager.failure_of(&tp("t")).is_some(), "change {change}, {crash:?}");
            assert!(manager.log(&tp("other")).is_some(), "change {change}, {crash:?}");
        }
    }
}

#[test]
fn a_follower_that_was_cut_before_the_checkpoint_is_not_refused() {
    let disk = stopped();
    let manager = open(&disk);
    let log = manager.log(&tp("t")).unwrap();
    // Not through the manager, which would write the checkpoint.
    assert!(log.truncate_to(29, NOW).unwrap());
    drop(log);
    let disk = end(&disk, manager, Some(Crash::Kill));
    assert_eq!(open(&disk).log(&tp("t")).unwrap().log_end_offset(), 29);
}

#[test]
fn a_refusal_goes_with_the_logs_directory() {
    let disk = stopped();
    let last = batch_at(35).len();
    let active = read(&disk, Path::new(ACTIVE));
    write(&disk, Path::new(ACTIVE), &active[..active.len() - last]);
    let disk = end(&disk, open(&disk), Some(Crash::Kill));
    assert!(is_noted(&disk));
    for entry in disk.list(Path::new("/data/t-0")).unwrap() {
        disk.remove_file(&Path::new("/data/t-0").join(&entry.name)).unwrap();
    }
    disk.remove_dir(Path::new("/data/t-0")).unwrap();
    let manager = open(&disk);
    assert!(!is_noted(&disk));
    let config = Arc::new(LogConfig::default());
    let log = manager.get_or_create(&tp("t"), config, None, NOW).unwrap();
    append(&log, 8);
    drop(log);
    let disk = end(&disk, manager, Some(Crash::Kill));
    assert_eq!(open(&disk).log(&tp("t")).unwrap().log_end_offset(), 2);
}

#[test]
fn junk_instead_of_the_refusals_forgets_none_and_costs_no_whole_log() {
    let disk = stopped();
    let last = batch_at(35).len();
    let active = read(&disk, Path::new(ACTIVE));
    write(&disk, Path::new(ACTIVE), &active[..active.len() - last]);
    let disk = end(&disk, open(&disk), Some(Crash::Kill));
    let noted = read(&disk, &refused_file());
    assert_eq!(noted, b"0\n1\nt 0 37\n");
    for damaged in damages(&noted, b"1\n1\nt 0 37\n") {
        let disk = disk.snapshot();
        write(&disk, &refused_file(), &damaged);
        let manager = open(&disk);
        assert!(manager.failure_of(&tp("t")).is_some(), "{damaged:?}");
        append(&manager.log(&tp("other")).unwrap(), 8);
        assert_eq!(read(&disk, &refused_file()), noted);
        drop(manager);
    }
}

#[test]
fn a_damaged_log_costs_only_itself() {
    let disk = MemoryDisk::default();
    let manager = open(&disk);
    for topic in ["t", "other"] {
        let config = Arc::new(LogConfig::default());
        let log = manager.get_or_create(&tp(topic), config, None, NOW).unwrap();
        for _ in 0..3 {
            (0..5).for_each(|_| append(&log, 7));
            log.roll(NOW).unwrap();
        }
        append(&log, 7);
    }
    let disk = end(&disk, manager, Some(Crash::Kill));
    let active = Path::new("/data/t-0/00000000000000000030.log");
    let mut bytes = read(&disk, active);
    bytes.truncate(batch_at(30).len());
    let mut damaged = bytes.clone();
    damaged[70] ^= 1;
    write(&disk, active, &[damaged, batch_at(32)].concat());
    let manager = open(&disk);
    assert!(manager.failure_of(&tp("t")).is_some());
    let disk = end(&disk, manager, Some(Crash::Kill));
    // As compaction leaves it, of a topic that is not compacted any more.
    without(&disk, "/data/other-0/00000000000000000010.log");
    let manager = open(&disk);
    assert!(manager.dirs()[0].was_kept() && manager.failure_of(&tp("t")).is_some());
    let log = manager.log(&tp("other")).unwrap();
    assert_eq!((log.log_end_offset(), read_all(&log).unwrap().len()), (32, 22));
}

/// A segment that begins inside another one hides records; as the last one it would have their
/// offsets given out again.
#[test]
fn a_segment_inside_another_one_is_refused_until_it_is_gone() {
    let all = read_all(&open(&stopped()).log(&tp("t")).unwrap()).unwrap();
    for (base, bytes) in [(34, Vec::new()), (34, batch_at(34)), (10, Vec::new())] {
        let stray = PathBuf::from(format!("/data/t-0/{base:020}.log"));
        for first in [None, Some(Crash::Kill)] {
            let disk = stopped();
            let mut disk = end(&disk, open(&disk), first);
            assert!(disk.stat(&stray).unwrap().is_none(), "{base} is no segment");
            write(&disk, &stray, &bytes);
            for how in ENDS {
                let manager = open(&disk);
                assert!(manager.failure_of(&tp("t")).is_some(), "{base}: {first:?}, {how:?}");
                disk = end(&disk, manager, how);
            }
            let accepted = disk.snapshot();
            let manager = try_open(&accepted, true).unwrap();
            let log = manager.log(&tp("t")).expect("its loss is accepted");
            assert_eq!(read_all(&log).unwrap(), all, "{base}: {first:?}");
            assert!(accepted.stat(&stray).unwrap().is_none(), "{base}: {first:?}");
            without(&disk, stray.to_str().unwrap());
            let log = open(&disk).log(&tp("t")).expect("it is gone");
            assert_eq!(read_all(&log).unwrap(), all, "{base}: {first:?}");
        }
    }
}

#[test]
fn a_removed_segment_that_a_power_loss_brings_back_goes_again() {
    let disk = stopped();
    let all = read_all(&open(&disk.snapshot()).log(&tp("t")).unwrap()).unwrap();
    let disk = end(&disk, open(&disk), Some(Crash::PowerLoss { seed: 1 }));
    let stray = Path::new("/data/t-0/00000000000000000034.log");
    write(&disk, stray, &batch_at(34));
    let log = open(&disk).log(&tp("t")).expect("served");
    assert_eq!(read_all(&log).unwrap(), all);
    assert!(disk.stat(stray).unwrap().is_none());
}
