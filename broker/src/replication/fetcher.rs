//! One fetcher at work: its connection to a leader, its requests one after the other, and what the
//! answers ask of the partitions' logs. Which partitions those are, and what an answer means, is
//! `replica::follower`'s business.
//!
//! Versions are pinned, as on Kafka's own channel: nothing is negotiated.

use std::sync::Arc;
use std::time::Duration;

use client::{CallError, Connection, OpenError, Options, Versions};
use protocol::api::ApiKey;
use protocol::error_code::ErrorCode;
use protocol::ids::{Offset, TimestampMs, TopicPartition};
use protocol::messages::fetch::{FetchRequest, FetchResponse};
use protocol::wire::Request;
use replica::follower::{FollowerSettings, Order, PartitionOrder, Step, Surroundings};

use super::fetchers::Fetcher;
use super::lost_leaders::LostLeaders;
use super::manager::ReplicaManager;
use super::partition::{Cut, FollowError};
use crate::clock::Clock;
use crate::config::{BrokerConfig, LiveConfig};
use crate::dialer::Dialer;
use crate::identity::Identity;
use crate::quota::{FOLLOWER_REPLICAS, Quotas};
use crate::tasks::Tasks;

mod apply;
mod out_of_range;

/// Records of an answer that are appended on the spot; more are appended where blocking is fine.
const INLINE_BYTES_MAX: usize = 128 * 1024;

/// What an answer may hold beside the records that were asked for: a first batch of any size.
const FRAME_BYTES_MIN: usize = 100 << 20;

/// The version of `inter.broker.protocol.version` 3.9; that of Fetch goes with each request.
const LIST_OFFSETS_VERSION: i16 = 9;

/// A request that the leader holds for want of records is given up so long after partitions were
/// added that it does not ask for: until they are fetched, no write to them with acks=all is
/// answered. Long enough for an answer that is on its way.
const PATIENCE_WITH_ANSWERS: Duration = Duration::from_millis(20);

/// What following takes.
pub struct Following {
    pub config: Arc<LiveConfig>,
    pub clock: Clock,
    pub tasks: Arc<Tasks>,
    pub dialer: Dialer,
    pub identity: Arc<Identity>,
    pub replicas: Arc<ReplicaManager>,
    pub lost_leaders: Arc<LostLeaders>,
    pub quotas: Arc<Quotas>,
}

impl Following {
    /// Lets the broker follow others from now on.
    pub fn start(self: &Arc<Self>) {
        let config = self.config.load_full();
        // The replica manager, which owns the fetchers, must not own itself.
        let weak = Arc::downgrade(self);
        let launch = Box::new(move |fetcher: Arc<Fetcher>| {
            let Some(own) = weak.upgrade() else { return };
            let (tasks, ended) = (own.tasks.clone(), fetcher.ended.clone());
            let task = FetcherTask::new(own, fetcher);
            tasks.spawn_until_stop(async move {
                tokio::select! {
                    () = ended.cancelled() => {}
                    () = task.run() => {}
                }
            });
        });
        let count = config.int("num.replica.fetchers");
        let settings = settings(&config, self.identity.broker_id);
        self.replicas.fetchers().start(settings, count, launch);
    }
}

fn settings(config: &BrokerConfig, replica_id: i32) -> FollowerSettings {
    FollowerSettings {
        replica_id,
        max_wait_ms: config.int("replica.fetch.wait.max.ms"),
        min_bytes: config.int("replica.fetch.min.bytes"),
        response_bytes_max: config.int("replica.fetch.response.max.bytes"),
        partition_bytes_max: config.int("replica.fetch.max.bytes"),
        backoff_ms: i64::from(config.int("replica.fetch.backoff.ms")),
    }
}

/// Why a leader gave no answer.
#[derive(Debug, thiserror::Error)]
enum LinkError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Call(#[from] CallError),
}

struct FetcherTask {
    own: Arc<Following>,
    fetcher: Arc<Fetcher>,
    options: Options,
}

/// What the partitions are at the moment.
struct Hosted<'a> {
    replicas: &'a ReplicaManager,
    /// The followers' throttle is over its limit.
    over_quota: bool,
}

impl Surroundings for Hosted<'_> {
    fn log_start(&self, partition: &TopicPartition) -> Option<Offset> {
        let partition = self.replicas.hosted(&partition.topic, partition.partition).ok()?;
        Some(partition.log_start()).filter(|start| *start >= 0)
    }

    fn is_throttled(&self, partition: &TopicPartition) -> bool {
        self.over_quota
            && self
                .replicas
                .hosted(&partition.topic, partition.partition)
                .is_ok_and(|hosted| hosted.is_throttled(FOLLOWER_REPLICAS))
    }
}

impl FetcherTask {
    fn new(own: Arc<Following>, fetcher: Arc<Fetcher>) -> FetcherTask {
        let config = own.config.load_full();
        let timeout_ms = u64::try_from(config.int("replica.socket.timeout.ms")).unwrap_or(0);
        let timeout = Duration::from_millis(timeout_ms.max(1));
        let response = usize::try_from(config.int("replica.fetch.response.max.bytes")).unwrap_or(0);
        let options = Options {
            client_id: Some(format!("broker-{}-fetcher-{}", own.identity.broker_id, fetcher.id)),
            connect_timeout: timeout,
            request_timeout: timeout,
            inflight_max: 1,
            queue_max: 1,
            frame_bytes_max: FRAME_BYTES_MIN.max(response.saturating_mul(2)),
        };
        FetcherTask { own, fetcher, options }
    }

    /// For the pauses between tries.
    fn now_ms(&self) -> TimestampMs {
        self.own.clock.monotonic_ms()
    }

    async fn run(self) {
        let mut connection = None;
        let mut may_give_up = true;
        loop {
            let step = {
                let broker_epoch = self.own.identity.broker_epoch();
                let hosted = Hosted {
                    replicas: &self.own.replicas,
                    over_quota: self.own.quotas.follower.is_exceeded(self.own.clock.now_ms()),
                };
                self.fetcher.follower.lock().step(broker_epoch, &hosted, self.now_ms())
            };
            match step {
                Step::Wait { until_ms } => self.wait(until_ms).await,
                Step::Truncate { partition, leader_epoch, offset } => {
                    self.cut(partition, leader_epoch, Cut::At(offset)).await;
                }
                Step::Fetch { request, version } => {
                    let fetched = self.fetch(&mut connection, *request, version, may_give_up);
                    may_give_up = fetched.await;
                }
            }
        }
    }

    async fn wait(&self, until_ms: Option<TimestampMs>) {
        let changed = self.fetcher.changed.notified();
        match until_ms {
            None => changed.await,
            Some(until_ms) => {
                let pause_ms = u64::try_from(until_ms - self.now_ms()).unwrap_or(0);
                tokio::select! {
                    () = changed => {}
                    () = tokio::time::sleep(Duration::from_millis(pause_ms)) => {}
                }
            }
        }
    }

    /// `false`: it was given up, and the next one is not to be.
    async fn fetch(
        &self,
        connection: &mut Option<Connection>,
        request: FetchRequest,
        version: i16,
        may_give_up: bool,
    ) -> bool {
        let leader = self.fetcher.leader;
        let answered = tokio::select! {
            answered = self.call(connection, &request, version) => Some(answered),
            () = self.left_out(), if may_give_up => None,
        };
        let Some(answered) = answered else {
            *connection = None;
            self.fetcher.follower.lock().on_given_up();
            return false;
        };
        let response: FetchResponse = match answered {
            Ok(response) => response,
            Err(error) => {
                tracing::warn!(leader, fetcher = self.fetcher.id, %error, "fetching");
                *connection = None;
                if let LinkError::Call(CallError::Closed(_)) = error {
                    self.own.lost_leaders.note(leader, self.now_ms());
                }
                self.fetcher.follower.lock().on_network_error(self.now_ms());
                return true;
            }
        };
        let orders = self.fetcher.follower.lock().on_response(response, self.now_ms());
        match orders {
            Ok(orders) => self.carry_out(connection, orders).await,
            Err(fault) => {
                tracing::info!(leader, fetcher = self.fetcher.id, %fault, "a new fetch session");
            }
        }
        true
    }

    /// Until partitions have waited for long enough that the request under way does not ask for.
    async fn left_out(&self) {
        loop {
            self.fetcher.changed.notified().await;
            tokio::time::sleep(PATIENCE_WITH_ANSWERS).await;
            if self.fetcher.follower.lock().leaves_out(self.now_ms()) {
                return;
            }
        }
    }

    async fn carry_out(&self, connection: &mut Option<Connection>, orders: Vec<PartitionOrder>) {
        let mut out_of_range = Vec::new();
        let mut for_logs = Vec::new();
        let (mut bytes, mut blocks) = (0, false);
        for order in orders {
            match &order.order {
                Order::OutOfRange => {
                    out_of_range.push(order);
                    continue;
                }
                Order::Append { records, .. } => bytes += records.len(),
                Order::Diverged { .. } => blocks = true,
                Order::Delayed(_) | Order::Failed => {}
            }
            for_logs.push(order);
        }
        if blocks || bytes > INLINE_BYTES_MAX {
            let (own, fetcher) = (self.own.clone(), self.fetcher.clone());
            let work = move || apply::carry_out(&own, &fetcher, for_logs);
            self.own.tasks.blocking(work).await;
        } else {
            apply::carry_out(&self.own, &self.fetcher, for_logs);
        }
        for PartitionOrder { partition, leader_epoch, .. } in out_of_range {
            self.settle(connection, partition, leader_epoch).await;
        }
    }

    /// Cuts a log and tells the follower's state.
    async fn cut(&self, partition: TopicPartition, leader_epoch: i32, cut: Cut) {
        let (own, fetcher) = (self.own.clone(), self.fetcher.clone());
        let work = move || apply::cut(&own, &fetcher, &partition, leader_epoch, cut);
        self.own.tasks.blocking(work).await;
    }

    async fn call<R: Request>(
        &self,
        connection: &mut Option<Connection>,
        request: &R,
        version: i16,
    ) -> Result<R::Response, LinkError> {
        let open = match connection {
            Some(open) if !open.is_closed() => open,
            _ => {
                let versions = [(ApiKey::ListOffsets, LIST_OFFSETS_VERSION)];
                let versions = Versions::Pinned(versions.into_iter().collect());
                let (to, options) = (&self.fetcher.endpoint, self.options.clone());
                connection.insert(self.own.dialer.open(to, options, versions).await?)
            }
        };
        Ok(open.call_in(request, version).await?)
    }
}

/// Tells the follower's state that a log could not be changed.
fn failed(
    own: &Following,
    fetcher: &Fetcher,
    partition: &TopicPartition,
    leader_epoch: i32,
    error: &FollowError,
) {
    use storage::{AppendError, StorageError};
    let pause = |fetcher: &Fetcher| {
        let now_ms = own.clock.monotonic_ms();
        fetcher.follower.lock().delay(partition, leader_epoch, now_ms);
    };
    match error {
        // The state of that epoch is on its way out.
        FollowError::Outdated => return pause(fetcher),
        FollowError::Append(AppendError::Corrupt(_) | AppendError::Invalid(_)) => {
            tracing::error!(%partition, %error, "the leader sent bad batches");
            return pause(fetcher);
        }
        FollowError::Append(AppendError::Disk(disk)) if disk.is_full() => {
            tracing::error!(%partition, %error, "no room for what the leader sent");
            return pause(fetcher);
        }
        FollowError::Append(AppendError::Disk(error))
        | FollowError::Storage(StorageError::Disk(error)) => {
            own.replicas.disk_failed(partition, error);
        }
        other => tracing::error!(%partition, error = %other, "cannot be followed any more"),
    }
    if fetcher.follower.lock().fail(partition, leader_epoch) {
        own.replicas.fetchers().note_failed(partition);
    }
}

fn delayed(partition: &TopicPartition, leader: i32, code: ErrorCode) {
    tracing::info!(%partition, leader, ?code, "not fetched for a while");
}
