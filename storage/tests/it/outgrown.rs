//! Compactions whose output is larger than a segment may be: what is compressed anew may grow. It
//! becomes several segments, all of them or none, whatever is killed.

use std::path::Path;
use std::sync::Arc;

use storage::compaction::CleanerSettings;
use storage::disk::{Crash, Disk, Fault, MemoryDisk};
use storage::{LogConfig, LogDir, LogManager};

use crate::compaction::{
    CONFIG, Keyed, Op, crash_at_every_step, history, killed_in_a_compaction, settings,
};
use crate::driver::NOW;

#[test]
fn a_group_that_grows_over_what_a_segment_may_hold_becomes_several() {
    let split = CleanerSettings { segment_bytes_max: 400, ..settings() };
    let mut keyed = Keyed::new(MemoryDisk::default(), split);
    history(12).iter().for_each(|op| keyed.act(op).unwrap());
    let before = keyed.log.segment_sizes();
    keyed.act(&Op::Clean { ms: 0 }).unwrap();
    let after = keyed.log.segment_sizes();
    let closed = &after[..after.len() - 1];
    assert!(closed.iter().all(|(_, size)| *size <= 400), "{closed:?}");
    let new = closed.iter().filter(|(base, _)| before.iter().all(|(old, _)| old != base)).count();
    assert!(new >= 2, "{before:?} became {after:?}");
    crash_at_every_step(split);
    // A start that undoes or finishes what was begun may be killed as well.
    killed_in_a_compaction(split, &mut |at, keyed| {
        let left = keyed.disk.after(Crash::Kill);
        let names = left.list(Path::new("/data/t-0")).unwrap();
        if names.iter().any(|entry| entry.name.ends_with(".swap")) {
            crash_at_every_step_of_a_start(&left, keyed, at);
        }
    });
}

fn crash_at_every_step_of_a_start(left: &MemoryDisk, keyed: &mut Keyed, at: u64) {
    let begun_to = keyed.begun_to;
    for step in 1.. {
        let disk = left.snapshot();
        disk.set_fault(Some(Fault::CrashAt(disk.changes() + step)));
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let dir = LogDir::open(shared.clone(), Path::new("/data"));
        if let Ok(manager) = LogManager::new(shared, vec![dir.unwrap()], false, NOW) {
            let config = Arc::new(LogConfig::default().with(CONFIG).unwrap());
            manager.load_all(&|_| config.clone(), NOW);
        }
        let done = !disk.is_cut_off();
        keyed.begun_to = begun_to;
        let again = keyed.reopen(disk.after(Crash::Kill), true);
        again.unwrap_or_else(|e| panic!("change {step} of a start after change {at}: {e}"));
        if done {
            return;
        }
    }
}
