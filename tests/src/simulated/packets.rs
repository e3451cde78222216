//! ZooKeeper's packets from the server's side: requests read, replies written. Field orders and
//! numbers are those of ZooKeeper's `zookeeper.jute` and `ZooDefs.OpCode`. Knows nothing of
//! sessions.

use bytes::Bytes;
use metadata::store::{Change, CreateMode, Op, Reply, Stat, StoreError};
use metadata::zookeeper::jute::{JuteError, Reader, Writer};

const XID_NOTIFICATION: i32 = -1;
const STATE_CONNECTED: i32 = 3;
const OP_ERROR: i32 = -1;
/// "Would have been done, but another of the same multi failed before it."
const ERR_RUNTIME_INCONSISTENCY: i32 = -2;

/// The first packet of a connection.
pub struct Hello {
    pub last_zxid: i64,
    pub timeout_ms: i32,
    /// 0: a new one.
    pub session_id: i64,
    pub password: Bytes,
}

/// Watches that a client sets again on a new connection.
pub struct Rewatch {
    pub since_zxid: i64,
    pub data: Vec<String>,
    pub exists: Vec<String>,
    pub children: Vec<String>,
}

pub enum Request {
    Op(Op),
    Ping,
    Close,
    Rewatch(Rewatch),
}

pub fn hello(packet: Bytes) -> Result<Hello, JuteError> {
    let mut reader = Reader::new(packet);
    let _protocol_version = reader.i32()?;
    let last_zxid = reader.i64()?;
    let timeout_ms = reader.i32()?;
    let session_id = reader.i64()?;
    let password = reader.buffer()?.unwrap_or_default();
    Ok(Hello { last_zxid, timeout_ms, session_id, password })
}

/// All zero: the session that was asked for is over.
pub fn welcome(timeout_ms: i32, session_id: i64, password: &[u8]) -> Bytes {
    let mut writer = Writer::default();
    writer.i32(0).i32(timeout_ms).i64(session_id).buffer(Some(password)).bool(false);
    writer.frame()
}

/// The xid and what is asked.
pub fn request(packet: Bytes) -> Result<(i32, Request), JuteError> {
    let mut reader = Reader::new(packet);
    let (xid, code) = (reader.i32()?, reader.i32()?);
    let request = match code {
        11 => Request::Ping,
        -11 => Request::Close,
        101 => {
            let since_zxid = reader.i64()?;
            let (data, exists) = (strings(&mut reader)?, strings(&mut reader)?);
            let children = strings(&mut reader)?;
            Request::Rewatch(Rewatch { since_zxid, data, exists, children })
        }
        14 => {
            let mut ops = Vec::new();
            loop {
                let (code, done, _) = (reader.i32()?, reader.bool()?, reader.i32()?);
                if done {
                    break;
                }
                ops.push(op(code, &mut reader)?);
            }
            Request::Op(Op::Multi(ops))
        }
        code => Request::Op(op(code, &mut reader)?),
    };
    Ok((xid, request))
}

fn strings(reader: &mut Reader) -> Result<Vec<String>, JuteError> {
    let count = reader.vector(4)?;
    (0..count).map(|_| reader.string()).collect()
}

fn op(code: i32, reader: &mut Reader) -> Result<Op, JuteError> {
    let path = reader.string()?;
    Ok(match code {
        1 => {
            let data = reader.buffer()?;
            for _ in 0..reader.vector(12)? {
                let (_permissions, _scheme, _id) =
                    (reader.i32()?, reader.string()?, reader.string()?);
            }
            let mode = match reader.i32()? {
                0 => CreateMode::Persistent,
                1 => CreateMode::Ephemeral,
                2 => CreateMode::PersistentSequential,
                other => return Err(JuteError::Value(other)),
            };
            Op::Create { path, data, mode }
        }
        2 => Op::Delete { path, version: reader.i32()? },
        3 => Op::Exists { path, watch: reader.bool()? },
        4 => Op::Get { path, watch: reader.bool()? },
        5 => {
            let data = reader.buffer()?;
            Op::Set { path, data, version: reader.i32()? }
        }
        9 => Op::Sync { path },
        12 => Op::Children { path, watch: reader.bool()? },
        13 => Op::Check { path, version: reader.i32()? },
        other => return Err(JuteError::Value(other)),
    })
}

/// The reply to `op`. A missing node that was only asked for is an error on the wire.
pub fn reply(xid: i32, zxid: i64, op: &Op, result: &Result<Reply, StoreError>) -> Bytes {
    let mut writer = Writer::default();
    match result {
        Ok(Reply::Exists { stat: None }) => {
            let _ = header(&mut writer, xid, zxid, -101);
        }
        Ok(reply) => {
            header(&mut writer, xid, zxid, 0);
            body(&mut writer, op, reply);
        }
        Err(StoreError::Multi { index, error }) => {
            header(&mut writer, xid, zxid, 0);
            let Op::Multi(ops) = op else { unreachable!("only a multi fails as one") };
            for at in 0..ops.len() {
                let err = match at.cmp(index) {
                    std::cmp::Ordering::Less => 0,
                    std::cmp::Ordering::Equal => number(error),
                    std::cmp::Ordering::Greater => ERR_RUNTIME_INCONSISTENCY,
                };
                writer.i32(OP_ERROR).bool(false).i32(err).i32(err);
            }
            writer.i32(-1).bool(true).i32(-1);
        }
        Err(error) => {
            let _ = header(&mut writer, xid, zxid, number(error));
        }
    }
    writer.frame()
}

/// A reply without a body: to a ping, a close, watches set again.
pub fn bare_reply(xid: i32, zxid: i64) -> Bytes {
    let mut writer = Writer::default();
    header(&mut writer, xid, zxid, 0);
    writer.frame()
}

pub fn notification(path: &str, change: Change) -> Bytes {
    let mut writer = Writer::default();
    let kind = match change {
        Change::Created => 1,
        Change::Deleted => 2,
        Change::DataChanged => 3,
        Change::ChildrenChanged => 4,
    };
    header(&mut writer, XID_NOTIFICATION, -1, 0).i32(kind).i32(STATE_CONNECTED).string(path);
    writer.frame()
}

fn header(writer: &mut Writer, xid: i32, zxid: i64, err: i32) -> &mut Writer {
    writer.i32(xid).i64(zxid).i32(err)
}

fn body(writer: &mut Writer, op: &Op, reply: &Reply) {
    match reply {
        Reply::Created { path } => _ = writer.string(path),
        Reply::Deleted | Reply::Checked | Reply::Exists { stat: None } => {}
        Reply::Set { stat: s } | Reply::Exists { stat: Some(s) } => stat(writer, s, 0),
        Reply::Data { data, stat: s } => {
            writer.buffer(data.as_deref());
            stat(writer, s, data.as_ref().map_or(0, Bytes::len));
        }
        Reply::Children { names, stat: s } => {
            writer.vector(names.len());
            names.iter().for_each(|name| _ = writer.string(name));
            stat(writer, s, 0);
        }
        Reply::Synced => _ = writer.string(op.path()),
        Reply::Multi(replies) => {
            let Op::Multi(ops) = op else { unreachable!("only a multi has many replies") };
            for (op, reply) in ops.iter().zip(replies) {
                let code = match op {
                    Op::Create { .. } => 1,
                    Op::Delete { .. } => 2,
                    Op::Set { .. } => 5,
                    _ => 13,
                };
                writer.i32(code).bool(false).i32(0);
                body(writer, op, reply);
            }
            writer.i32(-1).bool(true).i32(-1);
        }
    }
}

fn stat(writer: &mut Writer, stat: &Stat, data_bytes: usize) {
    writer.i64(stat.czxid).i64(stat.mzxid).i64(stat.ctime_ms).i64(stat.mtime_ms);
    writer.i32(stat.version).i32(stat.cversion).i32(0).i64(stat.ephemeral_owner);
    writer.i32(data_bytes as i32).i32(stat.num_children).i64(0);
}

/// `KeeperException.Code` of an error.
fn number(error: &StoreError) -> i32 {
    match error {
        StoreError::NoNode(_) => -101,
        StoreError::NoAuth(_) => -102,
        StoreError::BadVersion(_) => -103,
        StoreError::NoChildrenForEphemerals(_) => -108,
        StoreError::NodeExists(_) => -110,
        StoreError::NotEmpty(_) => -111,
        StoreError::SessionExpired => -112,
        StoreError::BadArguments(_) => -8,
        _ => -1,
    }
}
