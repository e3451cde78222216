//! Splitting a segment that holds offsets beyond what its indexes can express (KAFKA-6264): old
//! compactions left such. Knows files and batches; the loader starts over with what this leaves.

use std::sync::Arc;

use protocol::ids::Offset;

use crate::disk::{OpenHow, copy_range, remove_if_there};
use crate::error::{At, StorageError};
use crate::recovery::partition_files::{CLEANED_SUFFIX, SWAP_SUFFIX};
use crate::recovery::unreadable;
use crate::segment::batch::Scan;
use crate::segment::partition_dir::{PartitionDir, segment_file_name};
use crate::segment::{FileLengths, LOG_SUFFIX, Segment};

/// Writes the segment's bytes as several segments, each named by its first batch, and puts them in
/// its place. They have no indexes: loading rebuilds those. A kill at any step leaves the old
/// segment or all of the new ones (`UnifiedLog.splitOverflowedSegment`).
pub(crate) fn split_overflowed(dir: &Arc<PartitionDir>, base: Offset) -> Result<(), StorageError> {
    let disk = &*dir.disk;
    let lengths = FileLengths::default();
    let old = Segment::existing(dir, base, &lengths, 0)?;
    let path = old.log.path();
    let source = old.file()?;
    let len = source.len().at("stat", &path)?;
    // First offset and position of each part.
    let mut parts: Vec<(Offset, u64)> = Vec::new();
    let mut scan = Scan::new(&*source, 0, len);
    let mut end = 0;
    while let Some(found) = scan.next_verified().at("read", &path)? {
        let (batch, at) = match found {
            Ok(found) => found,
            // What is torn stays with the last part, for recovery to judge.
            Err(torn) if parts.is_empty() => return Err(unreadable(old.corrupt(end, &torn))),
            Err(_) => break,
        };
        let first = parts.last().map(|(first, _)| *first);
        if first.is_none_or(|first| batch.last_offset.saturating_sub(first) > i64::from(i32::MAX)) {
            parts.push((batch.base_offset, at));
        }
        end = at + batch.size;
    }
    let modified_ms = disk.stat(&path).at("stat", &path)?.map_or(0, |s| s.modified_ms);
    tracing::info!(path = %path.display(), parts = parts.len(), "splitting a segment");
    for (i, (first, from)) in parts.iter().enumerate() {
        let to = parts.get(i + 1).map_or(len, |(_, next)| *next);
        let name = segment_file_name(*first, LOG_SUFFIX) + CLEANED_SUFFIX;
        let cleaned = dir.file_path(&name);
        remove_if_there(disk, &cleaned)?;
        let target = disk.open(&cleaned, OpenHow::CreateNew).at("create", &cleaned)?;
        copy_range((&*source, &path), *from..to, (&*target, &cleaned))?;
        target.sync().at("sync", &cleaned)?;
        target.set_modified(modified_ms).at("touch", &cleaned)?;
    }
    drop(source);
    old.close_files();
    let dir_path = dir.path();
    // The last one first: a `.swap` above a `.cleaned` is an unfinished split, which is undone.
    for (first, _) in parts.iter().rev() {
        let name = segment_file_name(*first, LOG_SUFFIX);
        let from = dir.file_path(&(name.clone() + CLEANED_SUFFIX));
        disk.rename(&from, &dir.file_path(&(name + SWAP_SUFFIX))).at("rename", &from)?;
    }
    disk.sync_dir(&dir_path).at("sync", &dir_path)?;
    for file in [&old.log].into_iter().chain(old.index_files()) {
        remove_if_there(disk, &file.path())?;
    }
    for (first, _) in &parts {
        let name = segment_file_name(*first, LOG_SUFFIX);
        let from = dir.file_path(&(name.clone() + SWAP_SUFFIX));
        disk.rename(&from, &dir.file_path(&name)).at("rename", &from)?;
    }
    Ok(disk.sync_dir(&dir_path).at("sync", &dir_path)?)
}
