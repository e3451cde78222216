//! What the batches of a log say of its producers and its leader epochs, for a start that has no
//! file to trust. Knows nothing of damage: that is `recovery/mod.rs`'s.

use std::sync::Arc;

use protocol::ids::Offset;

use crate::dirs::checkpoint::{LEADER_EPOCH_FILE, read_text};
use crate::error::{At, StorageError};
use crate::index::transaction::AbortedTxn;
use crate::log::leader_epochs::LeaderEpochs;
use crate::producers::producer_state::{AppendOrigin, ProducerState, ProducerUpdates};
use crate::recovery::unreadable;
use crate::segment::Segment;
use crate::segment::batch::{LogBatch, Scan, parse_end_marker};
use crate::segment::partition_dir::PartitionDir;

/// A leader epoch file with more than some million entries is not one.
const EPOCH_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Applies the batches up to `up_to` that the state does not contain yet.
pub(crate) fn replay(
    segments: &[Arc<Segment>],
    producers: &mut ProducerState,
    up_to: Offset,
) -> Result<(), StorageError> {
    let from = producers.end_offset;
    let first = segments.partition_point(|s| s.base_offset <= from).saturating_sub(1);
    for segment in &segments[first.min(segments.len())..] {
        if segment.base_offset >= up_to || segment.size() == 0 {
            continue;
        }
        let path = segment.log.path();
        let entry = segment.offset_index.lookup(from)?;
        let file = segment.file()?;
        let position = segment.trusted_position(&*file, entry, segment.size())?;
        let mut scan = Scan::new(&*file, position, segment.size());
        while let Some(found) = scan.next_batch().at("read", &path)? {
            let (batch, at) = match found {
                Ok(found) => found,
                Err(torn) => return Err(unreadable(segment.corrupt(scan.position(), &torn))),
            };
            if batch.base_offset >= up_to {
                break;
            }
            if batch.last_offset >= from {
                apply_batch(producers, &batch, &mut scan, at).at("read", &path)?;
            }
        }
    }
    producers.end_offset = up_to.max(from);
    Ok(())
}

/// Applies one batch of a segment; what it aborted belongs into the transaction index.
pub(crate) fn apply_batch(
    producers: &mut ProducerState,
    batch: &LogBatch,
    scan: &mut Scan<'_>,
    at: u64,
) -> std::io::Result<Vec<AbortedTxn>> {
    if !batch.has_producer_id() {
        return Ok(Vec::new());
    }
    let mut updates = ProducerUpdates::default();
    // What is in the log was accepted once: as for a follower, nothing is refused.
    let origin = AppendOrigin::Replication;
    if !batch.is_control() {
        // Compaction leaves bare headers for exactly this.
        let judged = producers.prepare_data(&mut updates, batch, origin, None);
        debug_assert!(judged.is_ok(), "replicated batches are only warned about");
    } else if let Some(whole) = scan.control_bytes(batch, at)?
        && let Some(marker) = parse_end_marker(&whole)
    {
        let judged = producers.prepare_marker(&mut updates, batch, &marker, origin);
        debug_assert!(judged.is_ok(), "replicated markers are only noted");
    }
    Ok(producers.apply(updates, batch.next_offset()))
}

/// The epochs of the file; `None` if it is not what it should be.
pub(crate) fn read_epochs(dir: &PartitionDir) -> Result<Option<LeaderEpochs>, StorageError> {
    let path = dir.file_path(LEADER_EPOCH_FILE);
    let epochs = match read_text(&*dir.disk, &path, EPOCH_BYTES_MAX) {
        Ok(None) => return Ok(Some(LeaderEpochs::default())),
        Ok(Some(text)) => LeaderEpochs::parse(&text),
        Err(StorageError::Corrupt { .. }) => None,
        Err(e) => return Err(e),
    };
    if epochs.is_none() {
        tracing::warn!(path = %path.display(), "building the leader epochs anew from the batches");
    }
    Ok(epochs)
}

/// Whether the newest segment's batches have leader epochs. If the file has none then it was lost:
/// a log without epochs would be cut at the high watermark.
pub(crate) fn has_epochs(segments: &[Arc<Segment>]) -> Result<bool, StorageError> {
    let Some(newest) = segments.iter().rfind(|segment| segment.size() > 0) else {
        return Ok(false);
    };
    let file = newest.file()?;
    let first = Scan::near(&*file, 0, newest.size()).next_batch().at("read", &newest.log.path())?;
    Ok(matches!(first, Some(Ok((batch, _))) if batch.leader_epoch >= 0))
}

/// The epochs as the batches say them.
pub(crate) fn epochs_of(segments: &[Arc<Segment>]) -> Result<LeaderEpochs, StorageError> {
    let mut epochs = LeaderEpochs::default();
    for segment in segments.iter().filter(|s| s.size() > 0) {
        let file = segment.file()?;
        let mut scan = Scan::new(&*file, 0, segment.size());
        while let Some(Ok((batch, _))) = scan.next_batch().at("read", &segment.log.path())? {
            if epochs.latest().is_none_or(|l| batch.leader_epoch > l.epoch) {
                epochs.assign(batch.leader_epoch, batch.base_offset);
            }
        }
    }
    Ok(epochs)
}
