//! The index of aborted transactions of a segment; the file exists only if there are any. Entry:
//! `i16` version 0, `i64` producer id, first offset, last offset (of the marker), last stable
//! offset (Kafka's `TransactionIndex`).

use std::sync::Arc;

use parking_lot::RwLock;
use protocol::ids::{Offset, ProducerId};

use crate::error::{At, DiskError, StorageError};
use crate::segment::partition_dir::LazyFile;

pub(crate) const ENTRY_BYTES: usize = 34;

/// One aborted transaction of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbortedTxn {
    pub producer_id: ProducerId,
    pub first_offset: Offset,
    /// Offset of the abort marker.
    pub last_offset: Offset,
    /// First offset of the earliest other open transaction, else the marker's offset + 1.
    pub last_stable_offset: Offset,
}

impl AbortedTxn {
    fn encode(&self) -> [u8; ENTRY_BYTES] {
        let mut entry = [0; ENTRY_BYTES];
        let numbers =
            [self.producer_id, self.first_offset, self.last_offset, self.last_stable_offset];
        for (i, number) in numbers.iter().enumerate() {
            entry[2 + 8 * i..10 + 8 * i].copy_from_slice(&number.to_be_bytes());
        }
        entry
    }

    fn decode(entry: &[u8]) -> Option<AbortedTxn> {
        if entry[..2] != [0, 0] {
            return None;
        }
        let number = |at: usize| i64::from_be_bytes(entry[at..at + 8].try_into().expect("8 bytes"));
        Some(AbortedTxn {
            producer_id: number(2),
            first_offset: number(10),
            last_offset: number(18),
            last_stable_offset: number(26),
        })
    }
}

/// Entries in memory: aborted transactions are few, and reads of committed data need them all.
#[derive(Debug)]
pub(crate) struct TransactionIndex {
    pub file: Arc<LazyFile>,
    entries: RwLock<Vec<AbortedTxn>>,
}

impl TransactionIndex {
    pub fn empty(file: Arc<LazyFile>) -> Self {
        Self { file, entries: RwLock::default() }
    }

    /// Reads an existing file. An impossible entry is an error: the segment is then recovered.
    pub fn load(file: Arc<LazyFile>, base_offset: Offset) -> Result<Self, StorageError> {
        let path = file.path();
        let open = file.get()?;
        let len = open.len().at("stat", &path)?;
        let corrupt = |reason: &str| StorageError::Corrupt {
            path: path.clone(),
            reason: format!("transaction index: {reason}"),
        };
        if len % ENTRY_BYTES as u64 != 0 {
            return Err(corrupt("a part of an entry at its end"));
        }
        let mut entries: Vec<AbortedTxn> = Vec::new();
        let mut bytes = [0; ENTRY_BYTES];
        for i in 0..len / ENTRY_BYTES as u64 {
            if open.read_at(&mut bytes, i * ENTRY_BYTES as u64).at("read", &path)? < ENTRY_BYTES {
                return Err(corrupt("shorter than its length"));
            }
            let entry = AbortedTxn::decode(&bytes).ok_or_else(|| corrupt("unknown version"))?;
            let before = entries.last().map_or(base_offset - 1, |e| e.last_offset);
            if entry.last_offset <= before {
                return Err(corrupt("offsets do not rise"));
            }
            entries.push(entry);
        }
        drop(open);
        file.close();
        Ok(Self { file, entries: RwLock::new(entries) })
    }

    pub fn append(&self, txn: AbortedTxn) -> Result<(), DiskError> {
        let at = self.entries.read().len() * ENTRY_BYTES;
        let file = self.file.get_or_create()?;
        file.write_at(&[&txn.encode()], at as u64).at("write", &self.file.path())?;
        self.entries.write().push(txn);
        Ok(())
    }

    pub fn is_empty(&self) -> bool {
        self.entries.read().is_empty()
    }

    pub fn sync(&self) -> Result<(), DiskError> {
        if self.is_empty() {
            return Ok(());
        }
        self.file.get()?.sync().at("sync", &self.file.path())
    }

    /// Drops the transactions that end at or behind `offset`.
    pub fn truncate_to(&self, offset: Offset) -> Result<(), DiskError> {
        let mut entries = self.entries.write();
        let kept = entries.iter().take_while(|e| e.last_offset < offset).count();
        if kept == entries.len() {
            return Ok(());
        }
        entries.truncate(kept);
        let file = self.file.get()?;
        file.set_len((kept * ENTRY_BYTES) as u64).at("truncate", &self.file.path())
    }

    /// Adds the aborted transactions that touch `from..upper` to `found`; `true` if no later
    /// segment can add more.
    pub fn collect(&self, from: Offset, upper: Offset, found: &mut Vec<AbortedTxn>) -> bool {
        for txn in self.entries.read().iter() {
            if txn.last_offset >= from && txn.first_offset < upper {
                found.push(*txn);
            }
            if txn.last_stable_offset >= upper {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entry_bytes_are_kafkas() {
        let txn =
            AbortedTxn { producer_id: 1, first_offset: 7, last_offset: 8, last_stable_offset: 9 };
        let bytes = txn.encode();
        assert_eq!(bytes[..2], [0, 0]);
        assert_eq!(bytes[9..10], [1]);
        assert_eq!(bytes[33], 9);
        assert_eq!(AbortedTxn::decode(&bytes), Some(txn));
    }
}
