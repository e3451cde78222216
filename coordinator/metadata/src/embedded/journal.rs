//! The embedded tree on disk: one redb file, a row per persistent node. Its lock keeps a second
//! process out. Blocking; knows nothing of sessions or watches.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes};
use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition};

use crate::path;
use crate::tree::Node;

/// Path to node, as `encode` writes it.
const NODES: TableDefinition<&str, &[u8]> = TableDefinition::new("nodes");
/// `format` and `last_zxid`.
const META: TableDefinition<&str, i64> = TableDefinition::new("meta");
const FORMAT: i64 = 1;
/// The tree itself is in memory: only what commits touch need be cached.
const CACHE_BYTES_MAX: usize = 1024 * 1024;

/// Why the journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{0} is in use by another process")]
    Locked(PathBuf),
    #[error("{path}: {reason}")]
    Corrupt { path: PathBuf, reason: String },
    #[error("{path}: {error}")]
    Storage { path: PathBuf, error: Box<redb::Error> },
}

#[derive(Clone)]
pub struct Journal {
    database: Arc<Database>,
}

impl Journal {
    /// The journal, its nodes and the newest transaction it knows.
    pub fn open(path: &Path) -> Result<(Journal, BTreeMap<String, Node>, i64), OpenError> {
        let storage = |error: redb::Error| OpenError::Storage {
            path: path.to_owned(),
            error: Box::new(error),
        };
        let mut builder = Database::builder();
        // Every page is checked first: a damaged one is then an error and not trusted.
        builder.set_cache_size(CACHE_BYTES_MAX).set_check_integrity_on_open(true);
        let database = match builder.create(path) {
            Ok(database) => database,
            Err(DatabaseError::DatabaseAlreadyOpen) => {
                return Err(OpenError::Locked(path.to_owned()));
            }
            Err(error) => return Err(storage(error.into())),
        };
        let journal = Journal { database: Arc::new(database) };
        let rows = journal.load().map_err(storage)?;
        let corrupt = |reason: String| OpenError::Corrupt { path: path.to_owned(), reason };
        if rows.format.is_some_and(|format| format != FORMAT) {
            return Err(corrupt(format!("format {} is not {FORMAT}", rows.format.unwrap_or(0))));
        }
        let nodes = decode_all(rows.nodes).map_err(corrupt)?;
        Ok((journal, nodes, rows.last_zxid))
    }

    /// All of it or, after a crash, none; on disk when it returns.
    pub fn commit(
        &self,
        changes: &BTreeMap<String, Option<Vec<u8>>>,
        last_zxid: i64,
    ) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        {
            let mut nodes = transaction.open_table(NODES)?;
            for (path, node) in changes {
                match node {
                    Some(bytes) => nodes.insert(path.as_str(), bytes.as_slice())?,
                    None => nodes.remove(path.as_str())?,
                };
            }
            let mut meta = transaction.open_table(META)?;
            meta.insert("format", FORMAT)?;
            meta.insert("last_zxid", last_zxid)?;
        }
        transaction.commit()?;
        Ok(())
    }

    fn load(&self) -> Result<Rows, redb::Error> {
        let mut rows = Rows { nodes: Vec::new(), format: None, last_zxid: 0 };
        let transaction = self.database.begin_read()?;
        match transaction.open_table(META) {
            // A file in which nothing was ever committed.
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(rows),
            Err(error) => return Err(error.into()),
            Ok(meta) => {
                rows.format = meta.get("format")?.map(|value| value.value());
                rows.last_zxid = meta.get("last_zxid")?.map_or(0, |value| value.value());
            }
        }
        for row in transaction.open_table(NODES)?.iter()? {
            let (path, node) = row?;
            rows.nodes.push((path.value().to_owned(), node.value().to_vec()));
        }
        Ok(rows)
    }
}

struct Rows {
    nodes: Vec<(String, Vec<u8>)>,
    format: Option<i64>,
    last_zxid: i64,
}

/// Numbers big-endian, then 1 and the data, or 0 for null.
pub fn encode(node: &Node) -> Vec<u8> {
    let data = node.data.as_ref();
    let mut bytes = Vec::with_capacity(49 + data.map_or(0, Bytes::len));
    bytes.put_i64(node.czxid);
    bytes.put_i64(node.mzxid);
    bytes.put_i64(node.pzxid);
    bytes.put_i64(node.ctime_ms);
    bytes.put_i64(node.mtime_ms);
    bytes.put_i32(node.version);
    bytes.put_i32(node.created);
    bytes.put_u8(u8::from(data.is_some()));
    bytes.extend_from_slice(data.map_or(&[], |data| data));
    bytes
}

fn decode(mut bytes: &[u8]) -> Option<Node> {
    if bytes.len() < 49 {
        return None;
    }
    let mut node = Node {
        czxid: bytes.get_i64(),
        mzxid: bytes.get_i64(),
        pzxid: bytes.get_i64(),
        ctime_ms: bytes.get_i64(),
        mtime_ms: bytes.get_i64(),
        version: bytes.get_i32(),
        created: bytes.get_i32(),
        ..Node::default()
    };
    node.data = match bytes.get_u8() {
        0 if bytes.is_empty() => None,
        1 => Some(Bytes::copy_from_slice(bytes)),
        _ => return None,
    };
    Some(node)
}

fn decode_all(rows: Vec<(String, Vec<u8>)>) -> Result<BTreeMap<String, Node>, String> {
    let mut nodes = BTreeMap::new();
    for (path, bytes) in rows {
        let node = decode(&bytes).ok_or_else(|| format!("node {path:?} cannot be read"))?;
        nodes.insert(path, node);
    }
    for path in nodes.keys() {
        let lost = path::parent(path).is_some_and(|up| up != "/" && !nodes.contains_key(up));
        if lost || !path::is_valid(path) {
            return Err(format!("node {path:?} has no place in the tree"));
        }
    }
    Ok(nodes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_reads_as_written() {
        for data in [None, Some(Bytes::new()), Some(Bytes::from_static(b"{}"))] {
            let node = Node { data, czxid: 1, mzxid: 2, pzxid: 3, version: 4, ..Node::default() };
            assert_eq!(decode(&encode(&node)), Some(node));
        }
        for bad in [&[0; 48][..], &[2; 49], &[0; 50]] {
            assert_eq!(decode(bad), None);
        }
    }

    #[test]
    fn an_orphan_is_refused() {
        let row = |path: &str| (path.to_owned(), encode(&Node::default()));
        assert!(decode_all(vec![row("/"), row("/a"), row("/a/b")]).is_ok());
        assert!(decode_all(vec![row("/a/b")]).is_err());
        assert!(decode_all(vec![row("a")]).is_err());
        assert!(decode_all(vec![("/a".to_owned(), vec![1, 2])]).is_err());
    }
}
