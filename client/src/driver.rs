//! The two halves of a connection at work: one writes requests, one reads responses and hands each
//! to its caller. Knows nothing of what is in them.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use protocol::frame::take_frame;
use protocol::wire::{Chunk, Rope};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};

use crate::transport::Duplex;

/// One request on its way.
pub(crate) struct Outgoing {
    pub correlation_id: i32,
    pub frame: Rope,
    /// `None` for a request that gets no response (Produce with acks 0).
    pub reply: Option<oneshot::Sender<Bytes>>,
}

/// What the handles and the driver share.
pub(crate) struct Shared {
    /// Requests written and not answered, in order.
    pending: Mutex<VecDeque<Pending>>,
    /// Free places in `pending`.
    places: Semaphore,
    /// Why the connection ended.
    reason: Mutex<Option<Arc<str>>>,
    close: Notify,
    frame_bytes_max: usize,
}

struct Pending {
    correlation_id: i32,
    reply: oneshot::Sender<Bytes>,
}

impl Shared {
    pub fn new(inflight_max: usize, frame_bytes_max: usize) -> Shared {
        Shared {
            pending: Mutex::new(VecDeque::new()),
            places: Semaphore::new(inflight_max.max(1)),
            reason: Mutex::new(None),
            close: Notify::new(),
            frame_bytes_max,
        }
    }

    /// Ends the connection; the first reason stays.
    pub fn close(&self, reason: &str) {
        self.reason.lock().get_or_insert_with(|| reason.into());
        self.close.notify_one();
    }

    pub fn is_closed(&self) -> bool {
        self.reason.lock().is_some()
    }

    pub fn reason(&self) -> Arc<str> {
        self.reason.lock().clone().unwrap_or_else(|| "the driver does not run".into())
    }
}

/// The future that does a connection's work; it ends when the connection does.
pub(crate) fn drive(
    stream: Box<dyn Duplex>,
    received: BytesMut,
    shared: Arc<Shared>,
    requests: mpsc::Receiver<Outgoing>,
) -> BoxFuture<'static, ()> {
    async move {
        let (read, write) = tokio::io::split(stream);
        let reason = tokio::select! {
            reason = write_requests(write, &shared, requests) => reason,
            reason = read_responses(read, received, &shared) => reason,
            () = shared.close.notified() => "closed here".to_owned(),
        };
        shared.close(&reason);
        shared.places.close();
        // Dropping the senders tells the callers; they find the reason in `shared`.
        shared.pending.lock().clear();
    }
    .boxed()
}

async fn write_requests(
    mut write: WriteHalf<Box<dyn Duplex>>,
    shared: &Shared,
    mut requests: mpsc::Receiver<Outgoing>,
) -> String {
    while let Some(request) = requests.recv().await {
        if let Some(reply) = request.reply {
            let Ok(place) = shared.places.acquire().await else { break };
            place.forget();
            let correlation_id = request.correlation_id;
            shared.pending.lock().push_back(Pending { correlation_id, reply });
        }
        for chunk in request.frame.chunks {
            let Chunk::Bytes(mut bytes) = chunk else {
                return "a request held a payload that is not bytes".to_owned();
            };
            while bytes.has_remaining() {
                if let Err(error) = write.write_buf(&mut bytes).await {
                    return format!("writing: {error}");
                }
            }
        }
        if requests.is_empty()
            && let Err(error) = write.flush().await
        {
            return format!("writing: {error}");
        }
    }
    let _ = write.shutdown().await;
    "every handle was dropped".to_owned()
}

async fn read_responses(
    mut read: ReadHalf<Box<dyn Duplex>>,
    mut received: BytesMut,
    shared: &Shared,
) -> String {
    loop {
        match take_frame(&mut received, shared.frame_bytes_max) {
            Err(error) => return error.to_string(),
            Ok(Some(frame)) => {
                if let Err(reason) = deliver(frame, shared) {
                    return reason;
                }
                continue;
            }
            Ok(None) => {}
        }
        match read.read_buf(&mut received).await {
            Ok(0) => return "the peer closed it".to_owned(),
            Ok(_) => {}
            Err(error) => return format!("reading: {error}"),
        }
    }
}

/// Kafka answers in the order of the requests; anything else is not Kafka.
fn deliver(frame: Bytes, shared: &Shared) -> Result<(), String> {
    let Some(id) = frame.first_chunk().map(|id| i32::from_be_bytes(*id)) else {
        return Err("a response without correlation id".to_owned());
    };
    let Some(pending) = shared.pending.lock().pop_front() else {
        return Err(format!("a response nobody waits for, correlation id {id}"));
    };
    if pending.correlation_id != id {
        return Err(format!("correlation id {id} where {} was due", pending.correlation_id));
    }
    shared.places.add_permits(1);
    // A caller that gave up is no reason to stop.
    let _ = pending.reply.send(frame);
    Ok(())
}
