//! What `storage` costs by itself: CPU seconds per GB appended as leader, by batch size. Read it
//! beside the machine's floor.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use protocol::ids::TopicPartition;
use protocol::records::builder::{BatchBuilder, BatchOptions};
use storage::AppendOrigin;
use storage::disk::OsDisk;
use storage::partition_dir::FileCache;
use storage::{Log, LogConfig, LogOptions};

const NOW_MS: i64 = 1_700_000_000_000;
const GB: usize = 1_000_000_000;
const ROUNDS: usize = 3;

fn main() {
    println!("| `Log::append_as_leader`, CPU seconds per GB, best of {ROUNDS} | |\n|---|---|");
    for (records, value_bytes) in [(1, 1000), (16, 1000), (64, 1000), (500, 1000), (1000, 100)] {
        let batch = batch(records, value_bytes);
        let best = (0..ROUNDS).map(|_| append(&batch)).fold(f64::INFINITY, f64::min);
        println!("| {records} × {value_bytes} B ({} B) | {best:.3} |", batch.len());
    }
}

fn batch(records: usize, value_bytes: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    for _ in 0..records {
        builder.append(NOW_MS, None, Some(&vec![7; value_bytes]), &[]).expect("room in a batch");
    }
    builder.finish().expect("a batch of few records")
}

fn append(batch: &[u8]) -> f64 {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let options = LogOptions {
        disk: Arc::new(OsDisk::default()),
        files: FileCache::new(64),
        path: dir.path().join("bench-0"),
        partition: TopicPartition::new("bench", 0),
        config: Arc::new(LogConfig::default()),
        clean: false,
        recovery_point: 0,
        log_start: 0,
        kept: false,
        suspicion: Default::default(),
        accept_loss: false,
    };
    // The broker's preparer is a thread of its own; here its work counts too.
    let asked = Arc::new(AtomicBool::new(false));
    let wake = asked.clone();
    options.files.set_waker(Box::new(move || wake.store(true, Ordering::Relaxed)));
    let log = Log::open(options, NOW_MS).expect("a fresh log");
    let start = benches::floor::cpu();
    for _ in 0..GB / batch.len() {
        log.append_as_leader(batch, 0, AppendOrigin::Client, NOW_MS).expect("room on the disk");
        if asked.swap(false, Ordering::Relaxed) {
            log.prepare(NOW_MS).expect("room on the disk");
        }
    }
    benches::floor::cpu() - start
}
