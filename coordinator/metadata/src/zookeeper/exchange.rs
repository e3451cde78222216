//! A connection used for one request at a time, then dropped: making a chroot, and ending the
//! session of a process that is gone. Holds no watch and outlives nothing.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Config;
use super::connect_string::ConnectString;
use super::connector::{Connector, Stream, tcp};
use super::jute::{JuteError, Reader, take_packet};
use super::messages::{self, Chroot};
use crate::path;
use crate::store::{CreateMode, Credentials, Op, Reply, StoreError};

const PACKET_BYTES_MAX: usize = 1024 * 1024;
const RETRY_WAIT: Duration = Duration::from_millis(100);
/// Longest wait for one answer, and for one connection.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(3);

/// Why one server could not be used.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    #[error("cannot talk to the server: {0}")]
    Io(#[from] io::Error),
    #[error("the server's bytes make no sense: {0}")]
    Jute(#[from] JuteError),
    #[error("the server refused with error {0}")]
    Refused(i32),
    #[error("no answer in time")]
    Timeout,
    #[error("no server was reached in time")]
    Unreachable,
}

/// Ends a session from a connection of its own, as the guard of a broker that died does: its
/// ephemerals are gone when this returns. Tries every server until `give_up` has passed. Succeeds
/// too if the session is over already.
pub async fn close_session(
    connect: &ConnectString,
    credentials: &Credentials,
    session_timeout_ms: u32,
    give_up: Duration,
) -> Result<(), ExchangeError> {
    let attempts = async {
        loop {
            for server in &connect.servers {
                match close_at(server, credentials, session_timeout_ms).await {
                    Ok(()) => return,
                    Err(error) => tracing::debug!(%error, "cannot close the session here"),
                }
            }
            tokio::time::sleep(RETRY_WAIT).await;
        }
    };
    tokio::time::timeout(give_up, attempts).await.map_err(|_| ExchangeError::Unreachable)
}

async fn close_at(
    server: &(String, u16),
    credentials: &Credentials,
    session_timeout_ms: u32,
) -> Result<(), ExchangeError> {
    match Exchange::open(&tcp(), server, session_timeout_ms, Some(credentials)).await? {
        Some(mut exchange) => exchange.close().await,
        None => Ok(()),
    }
}

/// Makes the chroot of `config` with a session of its own, whose paths start at the ensemble's
/// root. Tries for ever: whoever waits for the store has a deadline.
pub(super) async fn create_chroot(config: &Config) {
    let mut refused = None;
    loop {
        for server in &config.connect.servers {
            match create_chroot_at(server, config).await {
                Ok(Ok(())) => return,
                Ok(Err(error)) if refused.as_ref() != Some(&error) => {
                    tracing::error!(%error, "cannot create the chroot");
                    refused = Some(error);
                }
                Ok(Err(_)) => {}
                Err(error) => tracing::debug!(%error, "cannot create the chroot here"),
            }
        }
        tokio::time::sleep(RETRY_WAIT).await;
    }
}

async fn create_chroot_at(
    server: &(String, u16),
    config: &Config,
) -> Result<Result<(), StoreError>, ExchangeError> {
    let opened = Exchange::open(&config.connector, server, config.session_timeout_ms, None).await?;
    let mut exchange = opened.ok_or(ExchangeError::Timeout)?;
    let mut missing = vec![config.connect.chroot.clone()];
    let mut outcome = Ok(());
    // Above the chroot another owner may forbid us to create: only what is missing is created.
    while let Some(path) = missing.pop() {
        let exists = Op::Exists { path: path.clone(), watch: false };
        if matches!(exchange.call(&exists).await?, Ok(Reply::Exists { stat: Some(_) })) {
            continue;
        }
        let create = Op::Create { path: path.clone(), data: None, mode: CreateMode::Persistent };
        match exchange.call(&create).await? {
            Ok(_) | Err(StoreError::NodeExists(_)) => {}
            Err(StoreError::NoNode(_)) if path::parent(&path).is_some_and(|up| up != "/") => {
                let parent = path::parent(&path).unwrap_or("/").to_owned();
                missing.extend([path, parent]);
            }
            Err(error) => {
                outcome = Err(error);
                break;
            }
        }
    }
    exchange.close().await?;
    Ok(outcome)
}

struct Exchange {
    stream: Box<dyn Stream>,
    input: BytesMut,
    xid: i32,
}

impl Exchange {
    /// `None`: the server says that the session is over.
    async fn open(
        connector: &Connector,
        (host, port): &(String, u16),
        timeout_ms: u32,
        credentials: Option<&Credentials>,
    ) -> Result<Option<Self>, ExchangeError> {
        let stream = in_time(connector(host.clone(), *port)).await??;
        let mut exchange = Exchange { stream, input: BytesMut::new(), xid: 0 };
        let timeout_ms = i32::try_from(timeout_ms).unwrap_or(i32::MAX);
        exchange.stream.write_all(&messages::connect_request(0, timeout_ms, credentials)).await?;
        let response = messages::connect_response(exchange.packet().await?)?;
        Ok(response.map(|_| exchange))
    }

    async fn call(&mut self, op: &Op) -> Result<Result<Reply, StoreError>, ExchangeError> {
        self.xid += 1;
        let root = Chroot::default();
        let frame = match messages::request(self.xid, op, &root, PACKET_BYTES_MAX) {
            Ok(frame) => frame,
            Err(error) => return Ok(Err(error)),
        };
        self.stream.write_all(&frame).await?;
        let (header, mut reader) = self.reply().await?;
        Ok(messages::outcome(op, header.err, &mut reader, &root)?)
    }

    async fn close(&mut self) -> Result<(), ExchangeError> {
        self.xid += 1;
        self.stream.write_all(&messages::close_session(self.xid)).await?;
        match self.reply().await?.0.err {
            0 => Ok(()),
            error => Err(ExchangeError::Refused(error)),
        }
    }

    async fn reply(&mut self) -> Result<(messages::ReplyHeader, Reader), ExchangeError> {
        loop {
            let mut reader = Reader::new(self.packet().await?);
            let header = messages::reply_header(&mut reader)?;
            if header.xid == self.xid {
                return Ok((header, reader));
            }
            // Watches of the session that moved here may still fire.
            if header.xid != messages::XID_NOTIFICATION {
                return Err(JuteError::Value(header.xid).into());
            }
        }
    }

    async fn packet(&mut self) -> Result<bytes::Bytes, ExchangeError> {
        loop {
            if let Some(packet) = take_packet(&mut self.input, PACKET_BYTES_MAX)? {
                return Ok(packet);
            }
            if in_time(self.stream.read_buf(&mut self.input)).await?? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
    }
}

async fn in_time<T>(work: impl Future<Output = T>) -> Result<T, ExchangeError> {
    tokio::time::timeout(ANSWER_WAIT_MAX, work).await.map_err(|_| ExchangeError::Timeout)
}
