//! One connection to one broker: typed calls, pipelined, with version choice and timeouts. Knows
//! nothing of clusters, and does not try anything twice.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use protocol::api::ApiKey;
use protocol::error_code::ErrorCode;
use protocol::frame::{request_frame, take_frame};
use protocol::header::ResponseHeader;
use protocol::messages::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use protocol::wire::{Message, Reader, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};

use crate::driver::{Outgoing, Shared, drive};
use crate::error::{CallError, OpenError};
use crate::transport::{Duplex, Endpoint, Transport};

/// How a connection behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// Sent with every request. Default `ottla`.
    pub client_id: Option<String>,
    /// For the connection and its handshake together. Default 10 s.
    pub connect_timeout: Duration,
    /// From `call` to its response, waiting for a place included; the connection ends when it
    /// passes, because later responses could no longer be told apart. Default 30 s.
    pub request_timeout: Duration,
    /// Requests written and not answered. Default 5.
    pub inflight_max: usize,
    /// Requests waiting to be written; `call` waits beyond that. Default 64.
    pub queue_max: usize,
    /// Largest response, in bytes. Default 100 MiB.
    pub frame_bytes_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            client_id: Some("ottla".to_owned()),
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            inflight_max: 5,
            queue_max: 64,
            frame_bytes_max: 100 << 20,
        }
    }
}

/// Which version each API is called in.
#[derive(Debug, Clone)]
pub enum Versions {
    /// Ask the broker first; then the highest that both speak.
    Negotiate,
    /// No handshake. An API that is not in the map is called in the highest version we know.
    Pinned(BTreeMap<ApiKey, i16>),
}

/// A handle; clones share the connection. It closes when the last handle is dropped.
#[derive(Clone)]
pub struct Connection {
    endpoint: Endpoint,
    options: Arc<Options>,
    versions: Arc<KnownVersions>,
    requests: mpsc::Sender<Outgoing>,
    shared: Arc<Shared>,
    correlation_id: Arc<AtomicI32>,
}

enum KnownVersions {
    Theirs(ApiVersionsResponse),
    Pinned(BTreeMap<ApiKey, i16>),
}

impl Connection {
    /// Connects, and asks for the broker's versions if so wanted. The second value does the
    /// connection's work: spawn it, or poll it beside the calls.
    pub async fn open(
        transport: &dyn Transport,
        to: &Endpoint,
        options: Options,
        versions: Versions,
    ) -> Result<(Connection, BoxFuture<'static, ()>), OpenError> {
        let limit = options.connect_timeout;
        let opening = async {
            let mut stream = transport
                .connect(to)
                .await
                .map_err(|error| OpenError::Connect { to: to.clone(), error: Arc::new(error) })?;
            let known = match versions {
                Versions::Pinned(pinned) => KnownVersions::Pinned(pinned),
                Versions::Negotiate => {
                    KnownVersions::Theirs(negotiate(&mut stream, to, &options).await?)
                }
            };
            Ok((stream, known))
        };
        let (stream, known) = tokio::time::timeout(limit, opening)
            .await
            .map_err(|_| OpenError::Timeout { to: to.clone(), after_ms: limit.as_millis() })??;
        let shared = Arc::new(Shared::new(options.inflight_max, options.frame_bytes_max));
        let (sender, receiver) = mpsc::channel(options.queue_max.max(1));
        let driver = drive(stream, BytesMut::new(), shared.clone(), receiver);
        let connection = Connection {
            endpoint: to.clone(),
            options: Arc::new(options),
            versions: Arc::new(known),
            requests: sender,
            shared,
            correlation_id: Arc::new(AtomicI32::new(FIRST_CORRELATION_ID)),
        };
        Ok((connection, driver))
    }

    /// Sends a request in the version that was negotiated or pinned, and waits for its response.
    /// Requests go out in the order in which their calls were first polled.
    pub async fn call<R: Request>(&self, request: &R) -> Result<R::Response, CallError> {
        self.call_in(request, self.version_of::<R>()?).await
    }

    /// As `call`, in a version that the caller chose.
    pub async fn call_in<R: Request>(
        &self,
        request: &R,
        version: i16,
    ) -> Result<R::Response, CallError> {
        let (reply, response) = oneshot::channel();
        let limit = self.options.request_timeout;
        let exchange = async {
            self.enqueue(request, version, Some(reply)).await?;
            response.await.map_err(|_| CallError::Closed(self.shared.reason()))
        };
        let Ok(frame) = tokio::time::timeout(limit, exchange).await else {
            self.shared.close("a request timed out");
            return Err(CallError::Timeout { api: R::KEY, after_ms: limit.as_millis() });
        };
        decode_response::<R>(frame?, version)
    }

    /// Sends a request that gets no response: Produce with acks 0.
    pub async fn send<R: Request>(&self, request: &R) -> Result<(), CallError> {
        self.enqueue(request, self.version_of::<R>()?, None).await
    }

    /// The version in which `call` sends this request.
    pub fn version_of<R: Request>(&self) -> Result<i16, CallError> {
        let ours = R::MIN_VERSION..=R::MAX_VERSION;
        let theirs = match &*self.versions {
            KnownVersions::Pinned(pinned) => {
                return Ok(pinned.get(&R::KEY).copied().unwrap_or(R::MAX_VERSION));
            }
            KnownVersions::Theirs(_) => self.broker_versions(R::KEY),
        };
        match &theirs {
            Some(range) if range.start() <= ours.end() && ours.start() <= range.end() => {
                Ok(*ours.end().min(range.end()))
            }
            _ => Err(CallError::Version { api: R::KEY, ours, theirs }),
        }
    }

    /// What the broker said about an API; `None` if it has none, or was not asked.
    pub fn broker_versions(&self, api: ApiKey) -> Option<RangeInclusive<i16>> {
        let found = self.api_versions()?.api_keys.iter().find(|k| k.api_key == api.key())?;
        Some(found.min_version..=found.max_version)
    }

    /// The broker's whole answer to the handshake.
    pub fn api_versions(&self) -> Option<&ApiVersionsResponse> {
        match &*self.versions {
            KnownVersions::Theirs(response) => Some(response),
            KnownVersions::Pinned(_) => None,
        }
    }

    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Ends the connection for all handles; what is under way fails.
    pub fn close(&self) {
        self.shared.close("closed here");
    }

    pub fn is_closed(&self) -> bool {
        self.shared.is_closed()
    }

    async fn enqueue<R: Request>(
        &self,
        request: &R,
        version: i16,
        reply: Option<oneshot::Sender<Bytes>>,
    ) -> Result<(), CallError> {
        let correlation_id = self.correlation_id.fetch_add(1, Ordering::Relaxed) & i32::MAX;
        let client_id = self.options.client_id.as_deref();
        let frame = request_frame(version, correlation_id, client_id, request)
            .map_err(CallError::Encode)?;
        let outgoing = Outgoing { correlation_id, frame, reply };
        let sent = self.requests.send(outgoing).await;
        sent.map_err(|_| CallError::Closed(self.shared.reason()))
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({}, closed: {})", self.endpoint, self.is_closed())
    }
}

/// 0 and 1 are the handshake's.
const FIRST_CORRELATION_ID: i32 = 2;

fn decode_response<R: Request>(frame: Bytes, version: i16) -> Result<R::Response, CallError> {
    let mut reader = Reader::for_frame(frame);
    ResponseHeader::decode(&mut reader, R::KEY, version).map_err(CallError::Decode)?;
    R::Response::decode(&mut reader, version).map_err(CallError::Decode)
}

/// ApiVersions in the highest version we know; a broker that does not know it says so in the layout
/// of version 0 and names the one it knows.
async fn negotiate(
    stream: &mut Box<dyn Duplex>,
    to: &Endpoint,
    options: &Options,
) -> Result<ApiVersionsResponse, OpenError> {
    let failed = |error| OpenError::Handshake { to: to.clone(), error };
    let mut version = ApiVersionsRequest::MAX_VERSION;
    for correlation_id in 0..FIRST_CORRELATION_ID {
        let frame = handshake(stream, options, version, correlation_id).await.map_err(failed)?;
        let code = frame.get(4..6).map(|c| i16::from_be_bytes([c[0], c[1]])).map(ErrorCode);
        let layout = if code == Some(ErrorCode::UNSUPPORTED_VERSION) { 0 } else { version };
        let answer = decode_response::<ApiVersionsRequest>(frame, layout).map_err(failed)?;
        match ErrorCode(answer.error_code) {
            ErrorCode::NONE => return Ok(answer),
            ErrorCode::UNSUPPORTED_VERSION if correlation_id == 0 => {
                let own = answer.api_keys.iter().find(|k| k.api_key == ApiKey::ApiVersions.key());
                version = own.map_or(0, |k| k.max_version.clamp(0, version));
            }
            code => return Err(OpenError::Refused { to: to.clone(), code }),
        }
    }
    Err(OpenError::Refused { to: to.clone(), code: ErrorCode::UNSUPPORTED_VERSION })
}

async fn handshake(
    stream: &mut Box<dyn Duplex>,
    options: &Options,
    version: i16,
    correlation_id: i32,
) -> Result<Bytes, CallError> {
    let request = ApiVersionsRequest {
        client_software_name: "ottla".to_owned(),
        client_software_version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let client_id = options.client_id.as_deref();
    let frame = request_frame(version, correlation_id, client_id, &request)
        .map_err(CallError::Encode)?
        .into_bytes()
        .expect("ApiVersions holds no payload");
    let closed = |error: std::io::Error| CallError::Closed(error.to_string().into());
    stream.write_all(&frame).await.map_err(closed)?;
    stream.flush().await.map_err(closed)?;
    let mut received = BytesMut::new();
    loop {
        let taken = take_frame(&mut received, options.frame_bytes_max);
        if let Some(frame) = taken.map_err(|e| CallError::Closed(e.to_string().into()))? {
            return Ok(frame);
        }
        if stream.read_buf(&mut received).await.map_err(closed)? == 0 {
            return Err(CallError::Closed("the peer closed it".into()));
        }
    }
}
