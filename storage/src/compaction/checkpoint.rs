//! Where each partition's last compaction ended (`cleaner-offset-checkpoint`). Knows no cleaner.

use protocol::ids::{Offset, TopicPartition};

use crate::dirs::log_manager::{Hosted, LogManager};
use crate::error::StorageError;

impl LogManager {
    /// Where the partition's last compaction ended; `None` if there was none.
    pub fn cleaner_offset(&self, partition: &TopicPartition) -> Option<Offset> {
        let dir = self.logs.read().get(partition)?.dir;
        self.dirs[dir].checkpointed(|c| &c.cleaned, partition)
    }

    /// Notes where a compaction ended, durably.
    pub(crate) fn set_cleaner_offset(
        &self,
        partition: &TopicPartition,
        offset: Offset,
    ) -> Result<(), StorageError> {
        let Some(dir) = self.logs.read().get(partition).map(|h| h.dir) else { return Ok(()) };
        Ok(self.dirs[dir]
            .update_cleaned(|cleaned| cleaned.insert(partition.clone(), offset) != Some(offset))?)
    }

    /// What was compacted and is now cut off comes again, not compacted.
    pub(crate) fn lower_cleaner_offset(&self, hosted: &Hosted) -> Result<(), StorageError> {
        let partition = hosted.log.partition();
        let offset = hosted.log.active().base_offset;
        Ok(self.dirs[hosted.dir].update_cleaned(|cleaned| match cleaned.get_mut(partition) {
            Some(known) if *known > offset => {
                *known = offset;
                true
            }
            _ => false,
        })?)
    }
}
