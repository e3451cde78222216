//! Logs that a start refused, kept in a small file of our own at the root of their log directory,
//! which Apache's broker ignores: what only that start could know, every later one knows too, until
//! the log is whole again, its loss is accepted, or it is gone.

use std::path::Path;

use protocol::ids::{Offset, TopicPartition};

use crate::dirs::checkpoint::{Offsets, corrupt, offsets_to_text, read_offsets, write_offsets};
use crate::disk::{Disk, remove_if_there};
use crate::error::{At, DiskError, StorageError};

/// Its name. The text is that of a checkpoint: `topic partition expected-end` each.
pub const REFUSED_FILE: &str = "ottla-refused-logs";

/// Stands for the clean shutdown marker while the logs are loaded: a kill then must not make the
/// next start forget where they ended. It holds a checksum of the recovery points, which any
/// broker that gets further writes anew.
pub(crate) const LOADING_FILE: &str = "ottla-loading";

pub(crate) fn loading_text(recovery_points: &Offsets) -> String {
    format!("{:08x}\n", crc32c::crc32c(offsets_to_text(recovery_points).as_bytes()))
}

/// Instead of an expected end: a start left the log alone without looking at it.
pub(crate) const NOT_LOOKED_AT: Offset = -1;

/// What earlier starts leave this one to check of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Suspicion {
    /// A log that ends below has lost records; 0 if nothing is known.
    pub expected_end: Offset,
    /// The log was refused and not written since: all of it is read, and anything in it that is
    /// no whole batch is damage.
    pub was_refused: bool,
}

/// The refused logs of one log directory.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    logs: Offsets,
    /// The file says nothing: any log of the directory may be a refused one. It stays as it is
    /// until every log was looked at.
    unreadable: bool,
}

impl Refusals {
    pub fn read(disk: &dyn Disk, root: &Path) -> Result<Refusals, StorageError> {
        let path = root.join(REFUSED_FILE);
        let found = match read_offsets(disk, &path) {
            // Without a log there is no file.
            Ok(logs) if logs.is_empty() && disk.stat(&path).at("stat", &path)?.is_some() => {
                Err(corrupt(&path, "it names no log"))
            }
            found => found,
        };
        match found {
            Ok(logs) => Ok(Refusals { logs, unreadable: false }),
            Err(StorageError::Corrupt { path, reason }) => {
                tracing::warn!(path = %path.display(), reason,
                    "not known which logs were refused: every log is read as a whole");
                Ok(Refusals { logs: Offsets::new(), unreadable: true })
            }
            Err(error) => Err(error),
        }
    }

    /// What to check of a log whose recovery point is `recovery_point`.
    pub fn suspicion(&self, tp: &TopicPartition, recovery_point: Offset) -> Suspicion {
        match self.logs.get(tp) {
            Some(&NOT_LOOKED_AT) => Suspicion::default(),
            Some(end) => Suspicion { expected_end: *end, was_refused: true },
            None if self.unreadable => {
                Suspicion { expected_end: recovery_point, was_refused: true }
            }
            None => Suspicion::default(),
        }
    }

    /// Whether the start before did not look at the log at all.
    pub fn was_passed_over(&self, tp: &TopicPartition) -> bool {
        self.logs.get(tp) == Some(&NOT_LOOKED_AT)
    }

    /// Enters a log; whether the file is to be written.
    pub fn add(&mut self, tp: TopicPartition, expected_end: Offset) -> bool {
        let before = self.logs.insert(tp, expected_end);
        before != Some(expected_end) && !self.unreadable
    }

    /// Enters a log that is not looked at, unless something is known of it already.
    pub fn add_if_new(&mut self, tp: TopicPartition, expected_end: Offset) -> bool {
        !self.logs.contains_key(&tp) && self.add(tp, expected_end)
    }

    /// Takes logs out that `stays` does not hold for; whether the file is to be written.
    pub fn retain(&mut self, stays: impl Fn(&TopicPartition) -> bool) -> bool {
        let before = self.logs.len();
        self.logs.retain(|tp, _| stays(tp));
        self.logs.len() != before && !self.unreadable
    }

    /// Every log was looked at: what is known now is all; whether the file is to be written.
    pub fn complete(&mut self) -> bool {
        std::mem::take(&mut self.unreadable)
    }

    /// Durable when it returns.
    pub fn write(&self, disk: &dyn Disk, root: &Path) -> Result<(), DiskError> {
        let path = root.join(REFUSED_FILE);
        match self.logs.is_empty() {
            // Should a crash bring the file back, its logs are read as a whole once more.
            true => {
                remove_if_there(disk, &path)?;
                disk.sync_dir(root).map_err(|source| DiskError {
                    operation: "sync",
                    path: root.into(),
                    source,
                })
            }
            false => write_offsets(disk, &path, &self.logs),
        }
    }
}
