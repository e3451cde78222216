//! One writer, the preparer, the flusher, retention and several readers on one log of a real
//! directory: readers see whole batches in order, and nobody waits for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use protocol::ids::{Offset, TopicPartition};
use protocol::records::batch::verify;
use protocol::records::builder::{BatchBuilder, BatchOptions};
use storage::disk::{OsDisk, OsDiskOptions};
use storage::partition_dir::FileCache;
use storage::{AppendOrigin, Log, LogConfig, LogOptions, ReadError};

use crate::driver::NOW;

const BATCHES: i64 = 6_000;

fn open(path: &std::path::Path, map: bool) -> (Arc<Log>, Arc<FileCache>) {
    let config = [("segment.bytes", "900000"), ("file.delete.delay.ms", "0")];
    let files = FileCache::new(4);
    let options = LogOptions {
        disk: Arc::new(OsDisk::new(OsDiskOptions { map, ..OsDiskOptions::default() })),
        files: files.clone(),
        path: path.join("t-0"),
        partition: TopicPartition::new("t", 0),
        config: Arc::new(LogConfig::default().with(config).unwrap()),
        clean: true,
        recovery_point: 0,
        log_start: 0,
        kept: false,
        suspicion: Default::default(),
        accept_loss: false,
    };
    (Arc::new(Log::open(options, NOW).unwrap()), files)
}

fn write(log: &Log) {
    for i in 0..BATCHES {
        let mut builder = BatchBuilder::new(BatchOptions::default());
        let value = vec![i as u8; 50 + (i as usize * 37) % 2000];
        builder.append(NOW + i, None, Some(&value), &[]).unwrap();
        let records = builder.finish().unwrap();
        log.append_as_leader(&records, 0, AppendOrigin::Client, NOW + i).unwrap();
    }
}

/// Follows the log to its end; what retention took in between is passed over.
fn follow(log: &Log, stride: u64) {
    let mut offset = 0;
    while offset < BATCHES {
        let read = match log.read(offset, stride, log.log_end_offset(), true) {
            Ok(read) => read,
            Err(ReadError::OffsetOutOfRange { log_start, .. }) => {
                offset = log_start;
                continue;
            }
            Err(e) => panic!("offset {offset}: {e}"),
        };
        let Some(slice) = read.slices.first() else {
            std::thread::yield_now();
            continue;
        };
        let bytes = slice.read().unwrap();
        let mut rest = &bytes[..];
        while let Ok(Some(size)) = whole(rest) {
            let header = verify(&rest[..size]).unwrap_or_else(|e| panic!("offset {offset}: {e}"));
            assert_eq!(header.base_offset, offset);
            assert_eq!(rest[size - 2], offset as u8, "its own value");
            offset = header.next_offset();
            rest = &rest[size..];
        }
    }
}

/// Bytes of the first batch if it is whole.
fn whole(bytes: &[u8]) -> Result<Option<usize>, protocol::records::batch::BatchError> {
    let size = protocol::records::batch::BatchHeader::parse(bytes)?.size();
    Ok((size <= bytes.len()).then_some(size))
}

fn all_at_once(map: bool) {
    let temp = tempfile::tempdir().unwrap();
    let (log, files) = open(temp.path(), map);
    let done = AtomicBool::new(false);
    let (asked, asks) = std::sync::mpsc::channel();
    files.set_waker(Box::new(move || {
        let _ = asked.send(());
    }));
    std::thread::scope(|scope| {
        let (log, done) = (&*log, &done);
        scope.spawn(move || {
            while !done.load(Ordering::Relaxed) {
                if asks.recv_timeout(std::time::Duration::from_millis(10)).is_ok() {
                    log.prepare(NOW).unwrap();
                }
            }
        });
        scope.spawn(move || {
            while !done.load(Ordering::Relaxed) {
                log.flush(NOW).unwrap();
                log.delete_old_segments(log.log_end_offset() - 4000, NOW).unwrap();
                log.unlink_due(NOW + 1).unwrap();
                log.retire_if_idle(NOW + BATCHES + 20_000).unwrap();
                let _ = log.offset_for_timestamp(NOW + 10).unwrap();
            }
        });
        let readers = [700, 70_000, 1 << 20].map(|stride| scope.spawn(move || follow(log, stride)));
        let writer = scope.spawn(move || write(log));
        // Whoever fails, the others are let go before it is told.
        let results = [writer.join()].into_iter().chain(readers.map(|r| r.join()));
        let results: Vec<_> = results.collect();
        done.store(true, Ordering::Relaxed);
        for result in results {
            if let Err(panic) = result {
                std::panic::resume_unwind(panic);
            }
        }
    });
    assert_eq!(log.log_end_offset(), BATCHES as Offset);
    log.close().unwrap();
    assert_eq!(files.windows(), 0);
}

#[test]
fn with_windows() {
    all_at_once(true);
}

#[test]
fn without_windows() {
    all_at_once(false);
}
