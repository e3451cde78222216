//! The small text files of a log directory and of a partition: the four checkpoints,
//! `meta.properties`, `partition.metadata` and the clean shutdown marker. Knows no log.

use std::collections::BTreeMap;
use std::path::Path;

use protocol::ids::{BrokerId, Offset, TopicPartition, Uuid};

use crate::disk::{Disk, Durable, read_small, replace_file};
use crate::error::{DiskError, StorageError};

pub const RECOVERY_POINT_FILE: &str = "recovery-point-offset-checkpoint";
pub const LOG_START_FILE: &str = "log-start-offset-checkpoint";
pub const HIGH_WATERMARK_FILE: &str = "replication-offset-checkpoint";
pub const CLEANER_FILE: &str = "cleaner-offset-checkpoint";
pub const META_PROPERTIES_FILE: &str = "meta.properties";
pub const PARTITION_METADATA_FILE: &str = "partition.metadata";
pub const LEADER_EPOCH_FILE: &str = "leader-epoch-checkpoint";
pub const CLEAN_SHUTDOWN_FILE: &str = ".kafka_cleanshutdown";
pub const LOCK_FILE: &str = ".lock";
/// Ours alone: which boot and mount the unsynced bytes of a log directory belong to.
pub const WITNESS_FILE: &str = ".ottla_witness";

/// What Kafka 3.9 writes into the marker in ZooKeeper mode.
pub(crate) const CLEAN_SHUTDOWN_TEXT: &str = "{\"version\":0,\"brokerEpoch\":-1}";

/// A million partitions with long names stay well below.
const CHECKPOINT_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// More than any of Kafka's properties files.
pub(crate) const SMALL_BYTES_MAX: u64 = 1024 * 1024;

pub type Offsets = BTreeMap<TopicPartition, Offset>;

/// `0\n<count>\n` and one `topic partition offset` line each.
pub fn offsets_to_text(offsets: &Offsets) -> String {
    let mut text = format!("0\n{}\n", offsets.len());
    for (tp, offset) in offsets {
        text.push_str(&format!("{} {} {offset}\n", tp.topic, tp.partition));
    }
    text
}

/// `None` if the text is anything else. An empty text is an empty list: Apache's broker makes the
/// files before it knows what to write into them.
pub fn parse_offsets(text: &str) -> Option<Offsets> {
    if text.is_empty() {
        return Some(Offsets::new());
    }
    // A last line without its end may be cut anywhere.
    let mut lines = text.strip_suffix('\n')?.lines();
    if lines.next()? != "0" {
        return None;
    }
    let count: usize = lines.next()?.parse().ok()?;
    let mut offsets = Offsets::new();
    for line in lines {
        let mut words = line.split(' ');
        let topic = words.next().filter(|t| !t.is_empty())?;
        let partition = words.next()?.parse().ok()?;
        let offset = words.next()?.parse().ok()?;
        if words.next().is_some() {
            return None;
        }
        offsets.insert(TopicPartition::new(topic, partition), offset);
    }
    (offsets.len() == count).then_some(offsets)
}

/// A missing file is an empty list.
pub fn read_offsets(disk: &dyn Disk, path: &Path) -> Result<Offsets, StorageError> {
    let Some(text) = read_text(disk, path, CHECKPOINT_BYTES_MAX)? else {
        return Ok(Offsets::new());
    };
    parse_offsets(&text).ok_or_else(|| corrupt(path, "not an offset checkpoint"))
}

pub fn write_offsets(disk: &dyn Disk, path: &Path, offsets: &Offsets) -> Result<(), DiskError> {
    replace_file(disk, path, offsets_to_text(offsets).as_bytes(), Durable::Now)
}

pub(crate) fn corrupt(path: &Path, reason: impl Into<String>) -> StorageError {
    StorageError::Corrupt { path: path.to_owned(), reason: reason.into() }
}

pub(crate) fn read_text(
    disk: &dyn Disk,
    path: &Path,
    bytes_max: u64,
) -> Result<Option<String>, StorageError> {
    match read_small(disk, path, bytes_max) {
        Ok(None) => Ok(None),
        Ok(Some(bytes)) => match String::from_utf8(bytes) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(corrupt(path, "not UTF-8")),
        },
        Err(error) => Err(corrupt_if_long(path, error)),
    }
}

/// A file that is longer than it can be is damaged; the disk is not.
fn corrupt_if_long(path: &Path, error: DiskError) -> StorageError {
    match error.source.kind() {
        std::io::ErrorKind::InvalidData => corrupt(path, error.source.to_string()),
        _ => error.into(),
    }
}

/// The topic id of a partition (`partition.metadata`, KIP-516).
pub fn read_topic_id(disk: &dyn Disk, path: &Path) -> Result<Option<Uuid>, StorageError> {
    let Some(text) = read_text(disk, path, SMALL_BYTES_MAX)? else { return Ok(None) };
    let mut lines = text.lines();
    let version = lines.next().and_then(|l| l.strip_prefix("version:")).map(str::trim);
    let id = lines.next().and_then(|l| l.strip_prefix("topic_id:")).map(str::trim);
    match (version, id.and_then(Uuid::parse)) {
        (Some("0"), Some(id)) if !id.is_zero() => Ok(Some(id)),
        _ => Err(corrupt(path, "not a partition metadata file of version 0")),
    }
}

/// Kafka ends this file without a newline.
pub(crate) fn topic_id_text(id: Uuid) -> String {
    format!("version: 0\ntopic_id: {id}")
}

/// The fields of `meta.properties` that matter in ZooKeeper mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetaProperties {
    pub broker_id: Option<BrokerId>,
    pub cluster_id: Option<String>,
    /// Left by an aborted migration; kept, not used.
    pub directory_id: Option<String>,
}

impl MetaProperties {
    /// What the file says; `None` if there is none. A file without a version is one of version 0,
    /// and what is no property is passed over, as Apache reads it: of an empty file nothing is
    /// known. A future version, or a value that cannot be, is [`StorageError::Corrupt`].
    pub fn read(disk: &dyn Disk, path: &Path) -> Result<Option<MetaProperties>, StorageError> {
        let bytes = match read_small(disk, path, SMALL_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) => return Err(corrupt_if_long(path, error)),
        };
        let Some(bytes) = bytes else { return Ok(None) };
        // Java reads these files as Latin-1; the values that matter are ASCII.
        let fields = parse_properties(&String::from_utf8_lossy(&bytes));
        match fields.get("version").map(|version| version.parse::<i32>()) {
            None | Some(Ok(0)) => {}
            Some(Ok(1)) => {
                return Err(StorageError::Mismatch {
                    path: path.to_owned(),
                    field: "version",
                    found: "1 (KRaft mode)".into(),
                    expected: "0 (ZooKeeper mode)".into(),
                });
            }
            Some(_) => return Err(corrupt(path, "unknown version")),
        }
        let broker_id = match fields.get("broker.id") {
            None => None,
            Some(text) => Some(text.parse().map_err(|_| corrupt(path, "broker.id"))?),
        };
        let directory_id = fields.get("directory.id").cloned();
        if directory_id.as_deref().is_some_and(|id| Uuid::parse(id).is_none()) {
            return Err(corrupt(path, "directory.id"));
        }
        let cluster_id = fields.get("cluster.id").cloned();
        if broker_id.is_none() && cluster_id.is_none() {
            tracing::warn!(path = %path.display(),
                "the file names neither broker nor cluster: the directory is taken for a new one");
        }
        Ok(Some(MetaProperties { broker_id, cluster_id, directory_id }))
    }

    pub fn write(&self, disk: &dyn Disk, path: &Path) -> Result<(), DiskError> {
        let mut text = String::from("#\n");
        if let Some(id) = self.broker_id {
            text.push_str(&format!("broker.id={id}\n"));
        }
        if let Some(id) = &self.directory_id {
            text.push_str(&format!("directory.id={id}\n"));
        }
        text.push_str("version=0\n");
        if let Some(id) = &self.cluster_id {
            text.push_str(&format!("cluster.id={id}\n"));
        }
        replace_file(disk, path, text.as_bytes(), Durable::Now)
    }
}

/// Java's properties syntax, as far as these files use it: comments, `=`, `:` or a space between,
/// and backslash escapes.
fn parse_properties(text: &str) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    for line in text.lines().map(str::trim_start) {
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let mut key = String::new();
        let mut chars = line.chars();
        let mut rest = "";
        while let Some(c) = chars.next() {
            match c {
                '\\' => key.extend(chars.next()),
                '=' | ':' | ' ' | '\t' => {
                    rest = chars.as_str().trim_start_matches([' ', '\t', '=', ':']);
                    break;
                }
                c => key.push(c),
            }
        }
        let mut value = String::new();
        let mut chars = rest.chars();
        while let Some(c) = chars.next() {
            if c == '\\' { value.extend(chars.next()) } else { value.push(c) }
        }
        fields.insert(key, value.trim_end().to_owned());
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::OsDisk;

    #[test]
    fn offsets_text() {
        let text = "0\n2\na-b 0 9\nfoo 12 0\n";
        let offsets = parse_offsets(text).unwrap();
        assert_eq!(offsets[&TopicPartition::new("foo", 12)], 0);
        assert_eq!(offsets_to_text(&offsets), text);
        assert_eq!(parse_offsets(""), Some(Offsets::new()));
        for bad in
            ["\n", "1\n0\n", "0\n1\n", "0\n1\na 0\n", "0\n1\na 0 1 2\n", "0\nx\n", "0\n0\na 0 1\n"]
        {
            assert_eq!(parse_offsets(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn meta_properties_as_java_writes_them() {
        let dir = tempfile::tempdir().unwrap();
        let disk = OsDisk::default();
        let path = dir.path().join(META_PROPERTIES_FILE);
        assert_eq!(MetaProperties::read(&disk, &path).unwrap(), None);
        let text = "#\n#Sat Nov 21 18:08:05 UTC 2026\nbroker.id=1\nversion=0\ncluster.id=fMj\\:x\n";
        std::fs::write(&path, text).unwrap();
        let meta = MetaProperties::read(&disk, &path).unwrap().unwrap();
        assert_eq!(meta.broker_id, Some(1));
        assert_eq!(meta.cluster_id.as_deref(), Some("fMj:x"));
        let meta = MetaProperties { cluster_id: Some("fMjTBxjzQ42SvOOZHFmX8w".into()), ..meta };
        meta.write(&disk, &path).unwrap();
        assert_eq!(MetaProperties::read(&disk, &path).unwrap(), Some(meta));
        std::fs::write(&path, "version=1\n").unwrap();
        let error = MetaProperties::read(&disk, &path).unwrap_err();
        assert!(matches!(error, StorageError::Mismatch { field: "version", .. }));
    }

    #[test]
    fn damaged_meta_properties_are_read_as_apache_does() {
        let dir = tempfile::tempdir().unwrap();
        let disk = OsDisk::default();
        let path = dir.path().join(META_PROPERTIES_FILE);
        // As `MetaPropertiesEnsemble.Loader` of 3.9.2 answers.
        let known: [(&[u8], Option<BrokerId>, Option<&str>); 5] = [
            (b"", None, None),
            (b"junk\n", None, None),
            (&[0xff, 0xfe, 0, 1, 2], None, None),
            (b"version=0\n", None, None),
            (b"broker.id=1\ncluster.id=x\n", Some(1), Some("x")),
        ];
        for (bytes, broker_id, cluster_id) in known {
            std::fs::write(&path, bytes).unwrap();
            let meta = MetaProperties::read(&disk, &path).unwrap().unwrap();
            assert_eq!((meta.broker_id, meta.cluster_id.as_deref()), (broker_id, cluster_id));
        }
        for text in ["version=2\n", "version=x\n", "broker.id=abc\n", "directory.id=junk\n"] {
            std::fs::write(&path, text).unwrap();
            let error = MetaProperties::read(&disk, &path).unwrap_err();
            assert!(matches!(error, StorageError::Corrupt { .. }), "{text}: {error}");
        }
        let long = "#".repeat(SMALL_BYTES_MAX as usize + 1);
        std::fs::write(&path, long).unwrap();
        let error = MetaProperties::read(&disk, &path).unwrap_err();
        assert!(matches!(error, StorageError::Corrupt { .. }), "{error}");
    }

    #[test]
    fn partition_metadata_text() {
        let dir = tempfile::tempdir().unwrap();
        let disk = OsDisk::default();
        let path = dir.path().join(PARTITION_METADATA_FILE);
        let id = Uuid::parse("DaApSIweQfefTV_hOA74RQ").unwrap();
        std::fs::write(&path, topic_id_text(id)).unwrap();
        assert_eq!(std::fs::read(&path).unwrap().len(), 43);
        assert_eq!(read_topic_id(&disk, &path).unwrap(), Some(id));
        std::fs::write(&path, "version: 1\ntopic_id: DaApSIweQfefTV_hOA74RQ").unwrap();
        assert!(read_topic_id(&disk, &path).is_err());
    }
}
