//! Every byte of every file of a partition damaged, every file cut: a start never panics, and what
//! it serves is what was appended.

use std::path::Path;
use std::sync::Arc;

use protocol::ids::{Offset, TopicPartition, Uuid};
use protocol::records::builder::{BatchBuilder, BatchOptions};
use protocol::records::control::EndTxnMarker;
use storage::disk::{Disk, MemoryDisk, OpenHow};
use storage::partition_dir::FileCache;
use storage::{AppendOrigin, Log, LogConfig, LogOptions};

use crate::driver::{NOW, read_all};

const DIR: &str = "/data/t-0";

fn open(disk: &MemoryDisk, clean: bool) -> Result<Log, storage::StorageError> {
    let config = [("segment.bytes", "900"), ("index.interval.bytes", "150")];
    let options = LogOptions {
        disk: Arc::new(disk.clone()),
        files: FileCache::new(64),
        path: DIR.into(),
        partition: TopicPartition::new("t", 0),
        config: Arc::new(LogConfig::default().with(config).unwrap()),
        clean,
        recovery_point: 0,
        log_start: 0,
        kept: false,
        suspicion: Default::default(),
        accept_loss: false,
    };
    Log::open(options, NOW)
}

fn build() -> MemoryDisk {
    let disk = MemoryDisk::default();
    let log = open(&disk, true).unwrap();
    log.assign_topic_id(Uuid([4; 16])).unwrap();
    for i in 0..12 {
        let at = log.log_end_offset();
        let mut builder = BatchBuilder::new(BatchOptions {
            producer_id: 3,
            producer_epoch: 0,
            base_sequence: i * 2,
            transactional: true,
            ..BatchOptions::default()
        });
        for j in 0..2 {
            let value = format!("{at}:{j}:{}", "v".repeat(30));
            builder.append(NOW + at + j, None, Some(value.as_bytes()), &[]).unwrap();
        }
        let records = builder.finish().unwrap();
        log.append_as_leader(&records, i / 4, AppendOrigin::Client, NOW).unwrap();
        if i % 3 == 2 {
            let marker = EndTxnMarker { committed: i % 2 == 0, coordinator_epoch: 0 };
            let batch = marker.batch(0, NOW + at + 2, 0, 3, 0).unwrap();
            log.append_as_leader(&batch, i / 4, AppendOrigin::Coordinator, NOW).unwrap();
        }
    }
    log.close().unwrap();
    disk
}

/// Opens, reads, looks up, appends, closes; whatever can be refused may be.
fn use_it(disk: &MemoryDisk, clean: bool, want: &[(Offset, Vec<u8>)], what: &str) {
    let Ok(log) = open(disk, clean) else { return };
    if let Ok(found) = read_all(&log) {
        // Offsets and epochs stand outside a batch's CRC: a start that trusts a clean stop, as
        // Kafka's does, cannot see them changed, nor can any start tell a shifted batch from a
        // gap that compaction left.
        for (offset, value) in &found {
            let known = want.iter().find(|(o, _)| o == offset);
            let unseen = clean || what.contains(".log ");
            let same = known.is_none_or(|(_, v)| v == value);
            assert!(unseen || same, "{what}: offset {offset}");
            let known_value = want.iter().any(|(_, v)| v == value);
            assert!(known_value, "{what}: a value that nobody appended");
        }
    } else {
        assert!(clean, "{what}: what was recovered is read");
    }
    for offset in [0, 5, 17] {
        let _ = log.offset_for_timestamp(NOW + offset);
        if let Ok(read) = log.read(offset, 500, Offset::MAX, true) {
            let _ = log.aborted_transactions(offset, &read);
        }
    }
    let _ = log.max_timestamp_offset();
    let _ = log.truncate_to(log.log_end_offset() - 1, NOW);
    let _ = log.close();
}

#[test]
fn no_damage_panics_and_none_is_served_as_data() {
    let disk = build();
    let want: Vec<_> =
        read_all(&open(&disk.snapshot(), true).unwrap()).unwrap().into_iter().collect();
    assert!(want.len() > 20);
    let mut cases = 0;
    for entry in disk.list(Path::new(DIR)).unwrap() {
        let path = Path::new(DIR).join(&entry.name);
        let len = disk.stat(&path).unwrap().unwrap().len;
        // Long files are sampled with a stride that meets every field in some batch.
        let stride = (len / 200 + 1) as usize;
        for at in (0..len).step_by(stride) {
            for damage in [0x01, 0x80, 0xff, 0] {
                for clean in [true, false] {
                    let copy = disk.snapshot();
                    let file = copy.open(&path, OpenHow::Write).unwrap();
                    let mut byte = [0];
                    file.read_at(&mut byte, at).unwrap();
                    match damage {
                        0 => file.set_len(at).unwrap(),
                        bits => file.write_at(&[&[byte[0] ^ bits]], at).unwrap(),
                    }
                    let what = format!("{} byte {at}, {damage:#x}, clean {clean}", entry.name);
                    use_it(&copy, clean, &want, &what);
                    cases += 1;
                }
            }
        }
    }
    assert!(cases > 2000, "{cases}");
}
