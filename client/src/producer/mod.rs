//! A producer for the tools that write: batches by partition, several requests on their way to each
//! leader, retries that keep the order, idempotent where wanted, transactions. Knows nothing of
//! where records come from; one topic each.
//!
//! Works while its owner awaits it: `send`, `progress` and `flush` carry everything on. Differs
//! from Apache's producer: a batch that the broker finds too large fails, it is not split, and
//! sticky partitions do not look at how busy their brokers are.

mod options;
mod outcome;
mod queue;
mod request;
mod transaction;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use protocol::error_code::ErrorCode;
use protocol::ids::{BrokerId, Offset, ProducerEpoch, ProducerId, TimestampMs};
use protocol::messages::produce::{ProduceRequest, TopicProduceData};
use protocol::records::record::Header;
use tokio::time::Instant;

use crate::Connection;
use crate::clock;
use crate::cluster::{Cluster, ClusterError, exception_class, is_final_for_topic};
use crate::leaders::Leaders;
use crate::murmur2::murmur2;
pub use options::Options;
use queue::{Format, Queue};
use request::{Event, ask_identity, ask_leaders, connect, produce, produce_data};
use transaction::Transaction;

/// Counted for each record beside its key and value.
const RECORD_OVERHEAD: usize = 16;
/// How often what waits is looked over for records that waited too long.
const TICK: Duration = Duration::from_secs(1);

/// A record to send.
#[derive(Debug, Clone, Copy, Default)]
pub struct Record<'a> {
    /// Now, if not given.
    pub timestamp: Option<TimestampMs>,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: &'a [Header<'a>],
}

/// Where a record is; the offset is −1 where the broker does not tell (acks 0).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    pub partition: i32,
    pub offset: Offset,
}

/// Why a record was not sent, or is not known to have been.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SendError {
    code: ErrorCode,
    message: String,
}

impl SendError {
    fn of(code: ErrorCode, message: impl Into<String>) -> SendError {
        SendError { code, message: message.into() }
    }

    /// The name of Kafka's exception for it.
    pub fn exception_class(&self) -> String {
        exception_class(self.code)
    }
}

/// What became of a record, with what its sender gave along.
#[derive(Debug)]
pub struct Done<T> {
    pub token: T,
    pub outcome: Result<Placed, SendError>,
}

/// Who the producer is, towards brokers that look for duplicates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Identity {
    /// Without idempotence.
    None,
    Unknown,
    Asked,
    Known(ProducerId, ProducerEpoch),
}

pub struct Producer<T> {
    cluster: Arc<Cluster>,
    options: Options,
    topic: String,
    queues: Vec<Queue<(T, usize)>>,
    leaders: Leaders,
    leaders_wanted: bool,
    leaders_asked: bool,
    /// The last answer did not name all of them.
    leaders_missed: bool,
    /// Leaders that connections are being opened to.
    connecting: BTreeSet<BrokerId>,
    /// Requests on their way, by leader.
    inflight: BTreeMap<BrokerId, usize>,
    identity: Identity,
    transaction: Option<Transaction>,
    flights: FuturesUnordered<BoxFuture<'static, Event>>,
    /// Bytes of records that were taken and are not done.
    buffered: usize,
    flushing: bool,
    /// Where records without a key go until their batch is full.
    sticky: usize,
    random: RandomState,
    number: u64,
    done: Vec<Done<T>>,
}

impl<T> Producer<T> {
    pub fn new(cluster: Cluster, options: Options, topic: &str) -> Producer<T> {
        let cluster = Arc::new(cluster.with_timeout(options.max_block));
        let transaction = options.transactional_id.clone().map(Transaction::new);
        Producer {
            cluster,
            identity: if options.idempotent { Identity::Unknown } else { Identity::None },
            options,
            topic: topic.to_owned(),
            queues: Vec::new(),
            leaders: Leaders::default(),
            leaders_wanted: false,
            leaders_asked: false,
            leaders_missed: false,
            connecting: BTreeSet::new(),
            inflight: BTreeMap::new(),
            transaction,
            flights: FuturesUnordered::new(),
            buffered: 0,
            flushing: false,
            sticky: 0,
            random: RandomState::new(),
            number: 0,
            done: Vec::new(),
        }
    }

    /// Takes a record; waits for the topic at first, and for room. What became of it is among
    /// `take_done` later, with `token`.
    pub async fn send(&mut self, record: Record<'_>, token: T) {
        if self.queues.is_empty()
            && let Err(error) = self.find_topic().await
        {
            let error = SendError::of(ErrorCode::REQUEST_TIMED_OUT, error.to_string());
            return self.done.push(Done { token, outcome: Err(error) });
        }
        let length = |field: Option<&[u8]>| field.map_or(0, <[u8]>::len);
        let size = length(record.key) + length(record.value) + RECORD_OVERHEAD;
        if size > self.options.request_bytes {
            let message = format!(
                "The message is {size} bytes when serialized which is larger than {}, which is the \
                 value of the max.request.size configuration.",
                self.options.request_bytes
            );
            let error = SendError::of(ErrorCode::MESSAGE_TOO_LARGE, message);
            return self.done.push(Done { token, outcome: Err(error) });
        }
        while self.buffered > 0 && self.buffered + size > self.options.buffer_bytes {
            self.progress().await;
        }
        let partition = match record.key {
            Some(key) => (murmur2(key) & 0x7fff_ffff) as usize % self.queues.len(),
            None => self.sticky,
        };
        let timestamp = record.timestamp.unwrap_or_else(clock::now_ms);
        let (now, fields) = (Instant::now(), (record.key, record.value));
        let queue = &mut self.queues[partition];
        match queue.add(now, timestamp, fields, record.headers, (token, size)) {
            Ok(full) => {
                self.buffered += size;
                if full {
                    self.close(partition, now);
                }
                if full || self.may_send(partition, now) {
                    self.pump();
                    // The connections' own work is done by other tasks of this thread.
                    tokio::task::yield_now().await;
                    self.handle_ready();
                }
            }
            Err((error, (token, _))) => {
                let error = SendError::of(ErrorCode::INVALID_RECORD, error.to_string());
                self.done.push(Done { token, outcome: Err(error) });
            }
        }
    }

    /// What became of records since the last call.
    pub fn take_done(&mut self) -> Vec<Done<T>> {
        std::mem::take(&mut self.done)
    }

    pub fn is_idle(&self) -> bool {
        self.queues.iter().all(Queue::is_empty)
    }

    /// Goes on until something happens; at once if there is nothing to wait for.
    pub async fn progress(&mut self) {
        self.pump();
        if self.flights.is_empty() && self.is_idle() {
            return;
        }
        let now = Instant::now();
        let due = |partition: usize| self.queues[partition].due(self.linger());
        let ready = (0..self.queues.len()).filter(|p| self.has_place(*p)).filter_map(due).min();
        let wake = ready.unwrap_or(now + TICK).min(now + TICK);
        tokio::select! {
            event = self.flights.next(), if !self.flights.is_empty() => {
                if let Some(event) = event {
                    self.handle(event);
                }
            }
            () = tokio::time::sleep_until(wake) => {}
        }
        self.handle_ready();
        self.pump();
    }

    /// Goes on for so long, or for ever.
    pub async fn progress_for(&mut self, time: Duration) {
        let mut end = std::pin::pin!(tokio::time::sleep(time));
        loop {
            tokio::select! {
                () = &mut end => return,
                () = self.progress(), if !self.is_idle() => {}
            }
        }
    }

    /// Sends all that waits, and waits for every answer.
    pub async fn flush(&mut self) {
        self.flushing = true;
        while !self.is_idle() {
            self.progress().await;
        }
        self.flushing = false;
    }

    fn linger(&self) -> Duration {
        if self.flushing { Duration::ZERO } else { self.options.linger }
    }

    fn handle_ready(&mut self) {
        while let Some(Some(event)) = self.flights.next().now_or_never() {
            self.handle(event);
        }
    }

    /// Waits until the topic exists; asking creates it where the broker is configured so.
    async fn find_topic(&mut self) -> Result<(), ClusterError> {
        let deadline = self.cluster.deadline();
        loop {
            let names = std::slice::from_ref(&self.topic);
            let metadata = self.cluster.metadata_creating(Some(names), true).await?;
            let topic = metadata.topics.into_iter().next().unwrap_or_default();
            let missing =
                ClusterError::Code { code: ErrorCode::LEADER_NOT_AVAILABLE, message: None };
            match ClusterError::check(topic.error_code, None) {
                Ok(()) if !topic.partitions.is_empty() => {
                    self.learn_leaders(Leaders::of(&topic));
                    self.choose_sticky();
                    return Ok(());
                }
                Ok(()) => self.cluster.pause(deadline, missing).await?,
                Err(error) if error.code().is_some_and(is_final_for_topic) => return Err(error),
                Err(error) => self.cluster.pause(deadline, error).await?,
            }
        }
    }

    fn learn_leaders(&mut self, leaders: Leaders) {
        let format = Format {
            codec: self.options.codec,
            transactional: self.transaction.is_some(),
            batch_bytes: self.options.batch_bytes,
        };
        while self.queues.len() < leaders.count() {
            self.queues.push(Queue::new(format));
        }
        self.leaders.learn(leaders);
        self.leaders_wanted = !self.leaders.is_whole();
        self.leaders_missed = self.leaders_wanted;
    }

    fn choose_sticky(&mut self) {
        let choice = self.random.hash_one(self.number) % self.queues.len() as u64;
        self.sticky = choice as usize;
    }

    fn close(&mut self, partition: usize, now: Instant) {
        self.number += 1;
        if let Err((error, tokens)) = self.queues[partition].close(self.number, now) {
            let error = SendError::of(ErrorCode::UNKNOWN_SERVER_ERROR, error.to_string());
            self.fail(tokens, &error);
        }
        if partition == self.sticky {
            self.choose_sticky();
        }
    }

    /// Whether a request of this partition could go out now if there were something to send.
    fn has_place(&self, partition: usize) -> bool {
        let Some(leader) = self.leaders.get(partition) else { return false };
        let added = |transaction: &Transaction| transaction.has(partition as i32);
        matches!(self.identity, Identity::None | Identity::Known(..))
            && self.transaction.as_ref().is_none_or(added)
            && !self.connecting.contains(&leader)
            && self.inflight.get(&leader).is_none_or(|count| *count < self.options.inflight_max)
    }

    fn may_send(&self, partition: usize, now: Instant) -> bool {
        let due = || self.queues[partition].due(self.linger()).is_some_and(|at| at <= now);
        // Until the first answers everything has to be asked for.
        (self.has_place(partition) || self.flights.is_empty()) && due()
    }

    /// Starts whatever can be started now.
    fn pump(&mut self) {
        let now = Instant::now();
        self.expire(now);
        if self.is_idle() {
            return;
        }
        if self.leaders_wanted && !self.leaders_asked {
            self.leaders_asked = true;
            let (cluster, pause) = (self.cluster.clone(), self.leaders_missed);
            self.flights.push(ask_leaders(cluster, self.topic.clone(), pause).boxed());
        }
        if self.identity == Identity::Unknown && self.inflight.is_empty() {
            self.ask_identity();
        }
        self.add_to_transaction();
        let mut ready: BTreeMap<BrokerId, Vec<usize>> = BTreeMap::new();
        for partition in 0..self.queues.len() {
            let due = self.queues[partition].due(self.linger()).is_some_and(|at| at <= now);
            if due
                && self.has_place(partition)
                && let Some(leader) = self.leaders.get(partition)
            {
                ready.entry(leader).or_default().push(partition);
            }
        }
        for (leader, partitions) in ready {
            let Some(open) = self.cluster.open_to(leader) else {
                self.connecting.insert(leader);
                self.flights.push(connect(self.cluster.clone(), leader).boxed());
                continue;
            };
            while self.has_place(partitions[0]) && self.send_to(leader, &open, &partitions, now) {}
        }
    }

    /// One request with a batch of each of the partitions that has one due; false if none has.
    fn send_to(
        &mut self,
        leader: BrokerId,
        open: &Connection,
        partitions: &[usize],
        now: Instant,
    ) -> bool {
        let identity = match self.identity {
            Identity::Known(id, epoch) => Some((id, epoch)),
            _ => None,
        };
        let mut sent = Vec::new();
        let mut data = Vec::new();
        let mut size = 0;
        for partition in partitions {
            if self.queues[*partition].due(self.linger()).is_none_or(|at| at > now) {
                continue;
            }
            if !self.queues[*partition].has_closed_waiting() {
                self.close(*partition, now);
            }
            let Some((number, bytes)) = self.queues[*partition].take(identity) else { continue };
            size += bytes.len();
            sent.push((*partition as i32, number));
            data.push((*partition as i32, bytes));
            if size >= self.options.request_bytes {
                break;
            }
        }
        if data.is_empty() {
            return false;
        }
        let request = ProduceRequest {
            transactional_id: self.options.transactional_id.clone(),
            acks: self.options.acks,
            timeout_ms: self.options.request_timeout_ms,
            topic_data: vec![TopicProduceData {
                name: self.topic.clone(),
                partition_data: data.into_iter().map(produce_data).collect(),
            }],
        };
        *self.inflight.entry(leader).or_default() += 1;
        self.flights.push(produce(open.clone(), leader, request, sent).boxed());
        true
    }

    fn ask_identity(&mut self) {
        if self.transaction.is_some() {
            return; // `init_transactions` has asked, or nothing may be sent any more.
        }
        self.identity = Identity::Asked;
        self.queues.iter_mut().for_each(Queue::restart);
        self.flights.push(ask_identity(self.cluster.clone()).boxed());
    }
}
