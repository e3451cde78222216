//! The files of a partition's directory as a start finds them: what an interrupted compaction or
//! deletion left is finished or undone, the rest is listed. Knows names, not what the logs hold.

use std::collections::{BTreeMap, BTreeSet};

use protocol::ids::Offset;

use crate::disk::{OpenHow, remove_if_there};
use crate::error::{At, DiskError, StorageError};
use crate::producers::producer_snapshot;
use crate::segment::batch::Scan;
use crate::segment::partition_dir::{PartitionDir, parse_file_name, segment_file_name};
use crate::segment::{
    DELETED_SUFFIX, FileLengths, LOG_SUFFIX, OFFSET_INDEX_SUFFIX, TIME_INDEX_SUFFIX,
    TXN_INDEX_SUFFIX,
};

/// Output of a compaction or a split in the making.
pub(crate) const CLEANED_SUFFIX: &str = ".cleaned";
/// Complete: it only has to take its place.
pub(crate) const SWAP_SUFFIX: &str = ".swap";

/// Finishes or undoes what compaction or deletion was doing (`spec` of Kafka's `LogLoader`).
pub(crate) fn finish_interrupted(dir: &PartitionDir) -> Result<(), StorageError> {
    let disk = &*dir.disk;
    let path = dir.path();
    let mut names: Vec<String> =
        disk.list(&path).at("list", &path)?.into_iter().map(|e| e.name).collect();
    let remove = |name: &str| remove_if_there(disk, &path.join(name));
    let undone = short_outputs(dir, &names)?;
    let mut cleaned_min = Offset::MAX;
    for name in &names {
        if name.ends_with(DELETED_SUFFIX) || name.ends_with(".tmp") {
            remove(name)?;
        } else if name.ends_with(CLEANED_SUFFIX)
            && let Some((base, _)) = parse_file_name(name)
        {
            cleaned_min = cleaned_min.min(base);
        }
    }
    // Of several outputs some may be complete. They go first: without a `.cleaned` they count.
    let from = cleaned_min.min(undone.unwrap_or(Offset::MAX));
    // The first log last: as long as it is there the next start comes to the same end.
    for name in in_order(&names).into_iter().rev() {
        if parse_file_name(name).is_some_and(|(base, _)| base >= from) {
            remove(name)?;
        }
    }
    for name in names.iter().filter(|name| name.ends_with(CLEANED_SUFFIX)) {
        remove(name)?;
    }
    names = disk.list(&path).at("list", &path)?.into_iter().map(|e| e.name).collect();
    let (mut low, mut high) = (Offset::MAX, Offset::MIN);
    for name in names.iter().filter(|n| n.ends_with(".log.swap")) {
        let Some((base, _)) = parse_file_name(name) else { continue };
        let swap = path.join(name);
        let file = disk.open(&swap, OpenHow::Read).at("open", &swap)?;
        let len = file.len().at("stat", &swap)?;
        let mut scan = Scan::new(&*file, 0, len);
        low = low.min(base);
        high = high.max(base);
        while let Some(Ok((batch, _))) = scan.next_batch().at("read", &swap)? {
            high = high.max(batch.next_offset());
        }
    }
    for name in &names {
        let Some((base, suffix)) = parse_file_name(name) else { continue };
        let is_segment_file =
            [LOG_SUFFIX, OFFSET_INDEX_SUFFIX, TIME_INDEX_SUFFIX, TXN_INDEX_SUFFIX]
                .contains(&suffix);
        if is_segment_file && base >= low && base < high {
            remove(name)?;
        }
    }
    // In their order, the log before its indexes: what is still to take its place is never below
    // what has done so.
    for name in in_order(&names) {
        let from = path.join(name);
        let to = path.join(&name[..name.len() - SWAP_SUFFIX.len()]);
        disk.rename(&from, &to).at("rename", &from)?;
    }
    Ok(())
}

/// The `.swap` files by base, of each the log first.
fn in_order(names: &[String]) -> Vec<&String> {
    let mut swaps: Vec<&String> = names.iter().filter(|n| n.ends_with(SWAP_SUFFIX)).collect();
    swaps.sort_by_key(|name| {
        let found =
            parse_file_name(name).map(|(base, suffix)| (base, !suffix.starts_with(LOG_SUFFIX)));
        (found, *name)
    });
    swaps
}

/// The base of the first complete output, if the outputs must not take the place of what they were
/// made from, because they are short, and need not, because it is still there: the first
/// source goes first, and then `.deleted` files wait beside the outputs.
fn short_outputs(dir: &PartitionDir, names: &[String]) -> Result<Option<Offset>, StorageError> {
    let bases = |end: &'static str| {
        let named = names.iter().filter(move |name| name.ends_with(end));
        named.filter_map(|name| parse_file_name(name)).map(|(base, _)| base)
    };
    let outputs: BTreeSet<Offset> = bases(".log.swap").collect();
    let sources: BTreeSet<Offset> = bases(LOG_SUFFIX).collect();
    let Some(first) = outputs.first().copied().filter(|first| sources.contains(first)) else {
        return Ok(None);
    };
    if bases(DELETED_SUFFIX).any(|base| base >= first) {
        return Ok(None);
    }
    let mut short = false;
    for base in outputs {
        let log = segment_file_name(base, LOG_SUFFIX);
        let (end, is_whole) = walk(dir, &(log.clone() + SWAP_SUFFIX), base)?;
        short |= !is_whole || indexed_offset(dir, base)?.is_some_and(|offset| offset >= end);
        // Compaction leaves nothing only of nothing: the last batch of all stays.
        short |= end == base && sources.contains(&base) && walk(dir, &log, base)?.0 > base;
    }
    if short {
        tracing::warn!(path = %dir.path().display(), first,
            "undoing a compaction whose output is not whole: what it was made from is there");
    }
    Ok(short.then_some(first))
}

/// The last offset that the indexes of a complete output name, if any.
fn indexed_offset(dir: &PartitionDir, base: Offset) -> Result<Option<Offset>, StorageError> {
    let mut last = None;
    for (suffix, entry) in [(OFFSET_INDEX_SUFFIX, 8), (TIME_INDEX_SUFFIX, 12)] {
        let path = dir.file_path(&(segment_file_name(base, suffix) + SWAP_SUFFIX));
        let Some(stat) = dir.disk.stat(&path).at("stat", &path)? else { continue };
        if stat.len < entry {
            continue;
        }
        let mut bytes = [0; 4];
        // Either entry's offset: the first half of one, the end of the other.
        let at = stat.len - stat.len % entry - if entry == 8 { 8 } else { 4 };
        dir.disk
            .open(&path, OpenHow::Read)
            .and_then(|f| f.read_at(&mut bytes, at))
            .at("read", &path)?;
        last = last.max(Some(base.saturating_add(i32::from_be_bytes(bytes).into())));
    }
    Ok(last)
}

/// The offset after a log file's last batch, and whether it holds nothing but whole batches.
pub(crate) fn walk(
    dir: &PartitionDir,
    name: &str,
    base: Offset,
) -> Result<(Offset, bool), StorageError> {
    let path = dir.file_path(name);
    let file = dir.disk.open(&path, OpenHow::Read).at("open", &path)?;
    let mut scan = Scan::new(&*file, 0, file.len().at("stat", &path)?);
    let mut next = base;
    while let Some(found) = scan.next_verified().at("read", &path)? {
        let Ok((batch, _)) = found else { return Ok((next, false)) };
        next = next.max(batch.next_offset());
    }
    Ok((next, true))
}

pub(crate) type Files = (BTreeMap<Offset, FileLengths>, Vec<Offset>);

/// The segments' files by base offset, and the snapshots; orphan indexes are removed.
pub(crate) fn list_files(dir: &PartitionDir) -> Result<Files, StorageError> {
    let disk = &*dir.disk;
    let path = dir.path();
    let mut found: BTreeMap<Offset, (bool, FileLengths)> = BTreeMap::new();
    let mut snapshots = Vec::new();
    for entry in disk.list(&path).at("list", &path)? {
        let Some((base, suffix)) = parse_file_name(&entry.name) else { continue };
        if suffix == producer_snapshot::SUFFIX {
            snapshots.push(base);
            continue;
        }
        let file = path.join(&entry.name);
        let len = || Ok::<_, DiskError>(disk.stat(&file).at("stat", &file)?.map(|s| s.len));
        let slot = || FileLengths::default();
        match suffix {
            LOG_SUFFIX => {
                let lengths = found.entry(base).or_insert_with(|| (false, slot()));
                *lengths = (true, FileLengths { log: len()?.unwrap_or(0), ..lengths.1 });
            }
            OFFSET_INDEX_SUFFIX => {
                found.entry(base).or_insert_with(|| (false, slot())).1.offset_index = len()?;
            }
            TIME_INDEX_SUFFIX => {
                found.entry(base).or_insert_with(|| (false, slot())).1.time_index = len()?;
            }
            TXN_INDEX_SUFFIX => {
                found.entry(base).or_insert_with(|| (false, slot())).1.txn_index = len()?;
            }
            _ => {}
        }
    }
    let mut files = BTreeMap::new();
    for (base, (has_log, lengths)) in found {
        if has_log {
            files.insert(base, lengths);
            continue;
        }
        tracing::warn!(path = %path.display(), base, "removing indexes without a log");
        for suffix in [OFFSET_INDEX_SUFFIX, TIME_INDEX_SUFFIX, TXN_INDEX_SUFFIX] {
            remove_if_there(disk, &path.join(segment_file_name(base, suffix)))?;
        }
    }
    snapshots.sort_unstable();
    Ok((files, snapshots))
}
