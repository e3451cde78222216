//! ZooKeeper's packets: requests from operations, operations' outcomes from replies. Field orders
//! and numbers are those of ZooKeeper's `zookeeper.jute` and `ZooDefs.OpCode`. Knows nothing of
//! connections or of the order in which packets come.

use bytes::Bytes;

use super::jute::{JuteError, Reader, Writer};
use crate::store::{Change, CreateMode, Credentials, Op, Reply, Stat, StoreError};

/// The xid of a watch's notification.
pub const XID_NOTIFICATION: i32 = -1;
pub const XID_PING: i32 = -2;
pub const XID_AUTH: i32 = -4;
pub const XID_SET_WATCHES: i32 = -8;

/// The session a connection asked for is over.
pub const ERR_SESSION_EXPIRED: i32 = -112;

const OP_CREATE: i32 = 1;
const OP_DELETE: i32 = 2;
const OP_EXISTS: i32 = 3;
const OP_GET_DATA: i32 = 4;
const OP_SET_DATA: i32 = 5;
const OP_SYNC: i32 = 9;
const OP_PING: i32 = 11;
const OP_GET_CHILDREN2: i32 = 12;
const OP_CHECK: i32 = 13;
const OP_MULTI: i32 = 14;
const OP_SET_WATCHES: i32 = 101;
const OP_CLOSE_SESSION: i32 = -11;
const OP_ERROR: i32 = -1;

const FLAG_EPHEMERAL: i32 = 1;
const FLAG_SEQUENTIAL: i32 = 2;
/// read, write, create, delete, admin
const PERMISSIONS_ALL: i32 = 0x1f;

/// Asks for a new session (no credentials) or for an existing one.
pub fn connect_request(
    last_zxid: i64,
    timeout_ms: i32,
    credentials: Option<&Credentials>,
) -> Bytes {
    let no_password = [0; 16];
    let mut writer = Writer::default();
    writer.i32(0).i64(last_zxid).i32(timeout_ms);
    match credentials {
        Some(known) => writer.i64(known.session_id).buffer(Some(known.expose_password())),
        None => writer.i64(0).buffer(Some(&no_password)),
    };
    writer.bool(false);
    writer.frame()
}

/// What the server made of a connect request.
#[derive(Debug)]
pub struct Connected {
    pub timeout_ms: i32,
    pub credentials: Credentials,
}

/// `None`: the session that was asked for is over.
pub fn connect_response(packet: Bytes) -> Result<Option<Connected>, JuteError> {
    let mut reader = Reader::new(packet);
    let _protocol_version = reader.i32()?;
    let timeout_ms = reader.i32()?;
    let session_id = reader.i64()?;
    let password = reader.buffer()?.unwrap_or_default();
    // Servers before 3.4 do not say whether they are read-only.
    if timeout_ms <= 0 || session_id == 0 {
        return Ok(None);
    }
    Ok(Some(Connected { timeout_ms, credentials: Credentials::new(session_id, password) }))
}

pub fn ping() -> Bytes {
    header(XID_PING, OP_PING).frame()
}

pub fn close_session(xid: i32) -> Bytes {
    header(xid, OP_CLOSE_SESSION).frame()
}

/// Sets watches again on a new connection; what changed after `since_zxid` is notified at once.
pub fn set_watches(since_zxid: i64, kinds: [&[String]; 3]) -> Bytes {
    let mut writer = header(XID_SET_WATCHES, OP_SET_WATCHES);
    writer.i64(since_zxid);
    for paths in kinds {
        writer.vector(paths.len());
        for path in paths {
            writer.string(path);
        }
    }
    writer.frame()
}

/// Paths below a chroot on this side, from the ensemble's root on the other.
#[derive(Debug, Clone, Default)]
pub struct Chroot(String);

impl Chroot {
    /// `prefix` is a valid path or, for no chroot, empty or `/`.
    pub fn new(prefix: &str) -> Self {
        Chroot(prefix.trim_end_matches('/').to_owned())
    }

    pub fn outer(&self, path: &str) -> String {
        match path {
            "/" if !self.0.is_empty() => self.0.clone(),
            _ => format!("{}{path}", self.0),
        }
    }

    /// `None` for a path outside.
    pub fn inner<'a>(&self, path: &'a str) -> Option<&'a str> {
        match path.strip_prefix(self.0.as_str())? {
            "" => Some("/"),
            below if below.starts_with('/') => Some(below),
            _ => None,
        }
    }
}

/// The frame of an operation. Fails for what the server would not take.
pub fn request(
    xid: i32,
    op: &Op,
    chroot: &Chroot,
    packet_bytes_max: usize,
) -> Result<Bytes, StoreError> {
    op.validate()?;
    let mut writer = header(xid, op_code(op));
    match op {
        Op::Multi(ops) => {
            for op in ops {
                writer.i32(op_code(op)).bool(false).i32(-1);
                body(&mut writer, op, chroot);
            }
            writer.i32(-1).bool(true).i32(-1);
        }
        op => body(&mut writer, op, chroot),
    }
    if writer.packet_bytes() > packet_bytes_max {
        let bytes = writer.packet_bytes();
        let reason = format!("a request of {bytes} bytes is over the limit of {packet_bytes_max}");
        return Err(StoreError::BadArguments(reason));
    }
    Ok(writer.frame())
}

fn header(xid: i32, op_code: i32) -> Writer {
    let mut writer = Writer::default();
    writer.i32(xid).i32(op_code);
    writer
}

fn op_code(op: &Op) -> i32 {
    match op {
        Op::Create { .. } => OP_CREATE,
        Op::Delete { .. } => OP_DELETE,
        Op::Set { .. } => OP_SET_DATA,
        Op::Get { .. } => OP_GET_DATA,
        Op::Exists { .. } => OP_EXISTS,
        Op::Children { .. } => OP_GET_CHILDREN2,
        Op::Check { .. } => OP_CHECK,
        Op::Sync { .. } => OP_SYNC,
        Op::Multi(_) => OP_MULTI,
    }
}

fn body(writer: &mut Writer, op: &Op, chroot: &Chroot) {
    let path = chroot.outer(op.path());
    match op {
        Op::Create { data, mode, .. } => {
            writer.string(&path).buffer(data.as_deref());
            writer.vector(1).i32(PERMISSIONS_ALL).string("world").string("anyone");
            writer.i32(match mode {
                CreateMode::Persistent => 0,
                CreateMode::PersistentSequential => FLAG_SEQUENTIAL,
                CreateMode::Ephemeral => FLAG_EPHEMERAL,
            });
        }
        Op::Delete { version, .. } | Op::Check { version, .. } => {
            writer.string(&path).i32(*version);
        }
        Op::Set { data, version, .. } => {
            writer.string(&path).buffer(data.as_deref()).i32(*version);
        }
        Op::Get { watch, .. } | Op::Exists { watch, .. } | Op::Children { watch, .. } => {
            writer.string(&path).bool(*watch);
        }
        Op::Sync { .. } => {
            writer.string(&path);
        }
        // `validate` refuses a multi inside a multi.
        Op::Multi(_) => {}
    }
}

/// What stands before every reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplyHeader {
    pub xid: i32,
    pub zxid: i64,
    pub err: i32,
}

pub fn reply_header(reader: &mut Reader) -> Result<ReplyHeader, JuteError> {
    Ok(ReplyHeader { xid: reader.i32()?, zxid: reader.i64()?, err: reader.i32()? })
}

/// A fired watch: path from the ensemble's root, and what happened. `None` for a change of state,
/// which a client sees by itself.
pub fn notification(reader: &mut Reader) -> Result<Option<(String, Change)>, JuteError> {
    let kind = reader.i32()?;
    let _state = reader.i32()?;
    let path = reader.string()?;
    let change = match kind {
        1 => Change::Created,
        2 => Change::Deleted,
        3 => Change::DataChanged,
        4 => Change::ChildrenChanged,
        -1 => return Ok(None),
        other => return Err(JuteError::Value(other)),
    };
    Ok(Some((path, change)))
}

/// The outcome of `op`. The outer error means that the server's bytes make no sense.
pub fn outcome(
    op: &Op,
    err: i32,
    reader: &mut Reader,
    chroot: &Chroot,
) -> Result<Result<Reply, StoreError>, JuteError> {
    match (op, err) {
        (Op::Exists { .. }, -101) => Ok(Ok(Reply::Exists { stat: None })),
        (Op::Multi(ops), 0) => multi_outcome(ops, reader, chroot),
        (op, 0) => reply(op, reader, chroot).map(Ok),
        (op, err) => Ok(Err(error(err, op.path()))),
    }
}

fn reply(op: &Op, reader: &mut Reader, chroot: &Chroot) -> Result<Reply, JuteError> {
    Ok(match op {
        Op::Create { .. } => {
            let path = reader.string()?;
            Reply::Created { path: chroot.inner(&path).unwrap_or(&path).to_owned() }
        }
        Op::Delete { .. } => Reply::Deleted,
        Op::Set { .. } => Reply::Set { stat: stat(reader)? },
        Op::Get { .. } => Reply::Data { data: reader.buffer()?, stat: stat(reader)? },
        Op::Exists { .. } => Reply::Exists { stat: Some(stat(reader)?) },
        Op::Children { .. } => {
            let count = reader.vector(4)?;
            let mut names = Vec::with_capacity(count);
            for _ in 0..count {
                names.push(reader.string()?);
            }
            names.sort_unstable();
            Reply::Children { names, stat: stat(reader)? }
        }
        Op::Check { .. } => Reply::Checked,
        Op::Sync { .. } => {
            reader.string()?;
            Reply::Synced
        }
        Op::Multi(_) => return Err(JuteError::Value(OP_MULTI)),
    })
}

/// Each result has its own little header; in a multi that failed they are all errors, of which the
/// first that is not "ok, but undone" tells why.
fn multi_outcome(
    ops: &[Op],
    reader: &mut Reader,
    chroot: &Chroot,
) -> Result<Result<Reply, StoreError>, JuteError> {
    let mut replies = Vec::with_capacity(ops.len());
    let mut failed = None;
    for (index, op) in ops.iter().enumerate() {
        let kind = reader.i32()?;
        let done = reader.bool()?;
        let _err = reader.i32()?;
        if done {
            return Err(JuteError::Value(kind));
        }
        if kind == OP_ERROR {
            let err = reader.i32()?;
            if failed.is_none() && err != 0 {
                let error = Box::new(error(err, op.path()));
                failed = Some(StoreError::Multi { index, error });
            }
        } else if kind == op_code(op) {
            replies.push(reply(op, reader, chroot)?);
        } else {
            return Err(JuteError::Value(kind));
        }
    }
    match failed {
        Some(error) => Ok(Err(error)),
        None if replies.len() == ops.len() => Ok(Ok(Reply::Multi(replies))),
        None => Ok(Err(StoreError::Other("a multi failed without a reason".to_owned()))),
    }
}

fn stat(reader: &mut Reader) -> Result<Stat, JuteError> {
    let (czxid, mzxid) = (reader.i64()?, reader.i64()?);
    let (ctime_ms, mtime_ms) = (reader.i64()?, reader.i64()?);
    let (version, cversion, _acl_version) = (reader.i32()?, reader.i32()?, reader.i32()?);
    let ephemeral_owner = reader.i64()?;
    let _data_bytes = reader.i32()?;
    let num_children = reader.i32()?;
    let _pzxid = reader.i64()?;
    Ok(Stat { czxid, mzxid, ctime_ms, mtime_ms, version, cversion, ephemeral_owner, num_children })
}

/// `KeeperException.Code` by number.
fn error(err: i32, path: &str) -> StoreError {
    let path = path.to_owned();
    match err {
        -101 => StoreError::NoNode(path),
        -102 => StoreError::NoAuth(path),
        -103 => StoreError::BadVersion(path),
        -108 => StoreError::NoChildrenForEphemerals(path),
        -110 => StoreError::NodeExists(path),
        -111 => StoreError::NotEmpty(path),
        ERR_SESSION_EXPIRED => StoreError::SessionExpired,
        -115 => StoreError::AuthFailed,
        -8 => StoreError::BadArguments(path),
        // The server dropped it (it overflowed, or the session moved to another server).
        -4 | -7 | -118 | -122 => StoreError::ConnectionLost,
        code => StoreError::Other(format!("error {code} on {path}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chroot_is_put_on_and_taken_off() {
        let none = Chroot::new("/");
        assert_eq!((none.outer("/"), none.outer("/a")), ("/".to_owned(), "/a".to_owned()));
        assert_eq!((none.inner("/"), none.inner("/a")), (Some("/"), Some("/a")));
        let kafka = Chroot::new("/x/kafka");
        assert_eq!(kafka.outer("/"), "/x/kafka");
        assert_eq!(kafka.outer("/a"), "/x/kafka/a");
        assert_eq!(kafka.inner("/x/kafka"), Some("/"));
        assert_eq!(kafka.inner("/x/kafka/a"), Some("/a"));
        assert_eq!(kafka.inner("/x/kafkas"), None);
        assert_eq!(kafka.inner("/y"), None);
    }

    #[test]
    fn what_no_server_takes_is_not_sent() {
        let path = "/a".to_owned();
        let get = Op::Get { path: path.clone(), watch: false };
        let check_only = Op::Check { path: path.clone(), version: 0 };
        let big = Op::Set { path, data: Some(Bytes::from(vec![0; 100])), version: 0 };
        let send = |op: &Op, max| request(1, op, &Chroot::default(), max);
        assert!(send(&get, 100).is_ok());
        assert!(matches!(send(&check_only, 100), Err(StoreError::BadArguments(_))));
        assert!(matches!(send(&big, 100), Err(StoreError::BadArguments(_))));
        assert!(send(&Op::Multi(vec![check_only]), 100).is_ok());
        let Err(StoreError::Multi { index: 1, .. }) =
            send(&Op::Multi(vec![Op::Check { path: "/".to_owned(), version: 0 }, get]), 100)
        else {
            panic!("a read inside a multi")
        };
    }

    #[test]
    fn a_lying_multi_reply_is_an_error() {
        let ops = Op::Multi(vec![Op::Delete { path: "/a".to_owned(), version: 0 }]);
        let read = |write: &dyn Fn(&mut Writer)| {
            let mut writer = Writer::default();
            write(&mut writer);
            outcome(&ops, 0, &mut Reader::new(writer.frame().slice(4..)), &Chroot::default())
        };
        assert!(read(&|_| {}).is_err());
        assert!(read(&|w| _ = w.i32(-1).bool(true).i32(-1)).is_err());
        assert!(read(&|w| _ = w.i32(1).bool(false).i32(0)).is_err());
        let no_reason = read(&|w| _ = w.i32(-1).bool(false).i32(0).i32(0));
        assert!(matches!(no_reason, Ok(Err(StoreError::Other(_)))));
        assert_eq!(
            read(&|w| _ = w.i32(2).bool(false).i32(0)),
            Ok(Ok(Reply::Multi(vec![Reply::Deleted])))
        );
    }
}
