//! How far the cluster's metadata had come when this broker last saw it: a small file of our own at
//! the root of every log directory, which Apache's broker ignores. Knows nothing of where the
//! metadata lives.

use std::path::Path;

use crate::dirs::checkpoint::{corrupt, read_text};
use crate::disk::{Disk, Durable, replace_file};
use crate::error::{DiskError, StorageError};

/// Its name.
pub const METADATA_MARK_FILE: &str = "ottla-metadata-mark";

/// Longest file that is read.
const BYTES_MAX: u64 = 4096;
const FIRST_LINE: &str = "version=0";

/// The highest that was ever seen. The default, nothing, is lower than anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MetadataMark {
    /// czxid of a registration of this broker: its epoch.
    pub czxid: i64,
    pub controller_epoch: i32,
}

impl MetadataMark {
    /// The higher of each.
    pub fn max(self, other: MetadataMark) -> MetadataMark {
        MetadataMark {
            czxid: self.czxid.max(other.czxid),
            controller_epoch: self.controller_epoch.max(other.controller_epoch),
        }
    }

    /// What the log directory says; `None` if it was not used before.
    pub fn read(disk: &dyn Disk, dir: &Path) -> Result<Option<MetadataMark>, StorageError> {
        let path = dir.join(METADATA_MARK_FILE);
        let Some(text) = read_text(disk, &path, BYTES_MAX)? else { return Ok(None) };
        let mark = parse(&text).ok_or_else(|| corrupt(&path, "not a mark of the metadata"))?;
        Ok(Some(mark))
    }

    /// Durable when it returns.
    pub fn write(&self, disk: &dyn Disk, dir: &Path) -> Result<(), DiskError> {
        let path = dir.join(METADATA_MARK_FILE);
        let MetadataMark { czxid, controller_epoch } = self;
        let text = format!("{FIRST_LINE}\nczxid={czxid}\ncontroller.epoch={controller_epoch}\n");
        replace_file(disk, &path, text.as_bytes(), Durable::Now)
    }
}

fn parse(text: &str) -> Option<MetadataMark> {
    let mut lines = text.strip_suffix('\n')?.lines();
    if lines.next()? != FIRST_LINE {
        return None;
    }
    let czxid = lines.next()?.strip_prefix("czxid=")?.parse().ok()?;
    let controller_epoch = lines.next()?.strip_prefix("controller.epoch=")?.parse().ok()?;
    lines.next().is_none().then_some(MetadataMark { czxid, controller_epoch })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::OsDisk;

    #[test]
    fn what_was_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let disk = OsDisk::default();
        assert_eq!(MetadataMark::read(&disk, dir.path()).unwrap(), None);
        let mark = MetadataMark { czxid: 0x5_0000_0001, controller_epoch: 7 };
        mark.write(&disk, dir.path()).unwrap();
        assert_eq!(MetadataMark::read(&disk, dir.path()).unwrap(), Some(mark));
    }

    #[test]
    fn anything_else_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let disk = OsDisk::default();
        let whole = "version=0\nczxid=5\ncontroller.epoch=7\n";
        let strange = ["", "czxid=5\n", "version=0\nczxid=5\ncontroller.epoch=x\n"];
        let longer = format!("{whole}more\n");
        for text in strange.into_iter().chain([&whole[..whole.len() - 1], &longer]) {
            std::fs::write(dir.path().join(METADATA_MARK_FILE), text).unwrap();
            let read = MetadataMark::read(&disk, dir.path());
            assert!(matches!(read, Err(StorageError::Corrupt { .. })), "{text:?}: {read:?}");
        }
    }

    #[test]
    fn each_half_grows_by_itself() {
        let one = MetadataMark { czxid: 5, controller_epoch: 7 };
        let other = MetadataMark { czxid: 6, controller_epoch: 1 };
        assert_eq!(one.max(other), MetadataMark { czxid: 6, controller_epoch: 7 });
    }
}
