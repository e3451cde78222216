//! A simulated broker as follower: the real fetchers' states, driven as the broker's fetcher tasks
//! drive them, one request at a time. Knows nothing of what an answer means.

use std::collections::VecDeque;
use std::sync::Arc;

use broker::handlers::partition_error::not_here;
use broker::replication::fetchers::{Fetcher, Fetchers};
use broker::replication::manager::ReplicaManager;
use broker::replication::partition::{Cut, Fetched, FollowError};
use parking_lot::Mutex;
use protocol::error_code::ErrorCode;
use protocol::ids::{BrokerId, LeaderEpoch, Offset, TopicPartition};
use protocol::messages::fetch::FetchResponse;
use replica::follower::{FollowerSettings, Order, PartitionOrder, Step, Surroundings};
use replica::truncation::{AfterEarliest, AfterLatest, after_earliest, after_latest};

use crate::broker::{Asked, Broker};
use crate::context::{Context, Timer};
use crate::message::{CallId, Flow, Node, Packet, Request};

/// `replica.socket.timeout.ms` here.
const CALL_TIMEOUT_MS: u64 = 3_000;

/// Fetchers that were begun and are not driven yet.
pub type Launched = Arc<Mutex<Vec<Arc<Fetcher>>>>;

/// One connection to a leader.
pub struct Fetching {
    fetcher: Arc<Fetcher>,
    asked: Option<CallId>,
    flow: u64,
    /// Partitions whose offset the leader does not have; settled before the next fetch.
    out_of_range: VecDeque<(TopicPartition, LeaderEpoch)>,
}

struct Hosted<'a>(&'a ReplicaManager);

impl Surroundings for Hosted<'_> {
    fn log_start(&self, partition: &TopicPartition) -> Option<Offset> {
        let partition = self.0.find(&partition.topic, partition.partition).ok()?;
        Some(partition.log_start()).filter(|start| *start >= 0)
    }

    fn is_throttled(&self, _partition: &TopicPartition) -> bool {
        false
    }
}

pub fn start(fetchers: &Fetchers, replica_id: BrokerId) -> Launched {
    let launched = Launched::default();
    let settings = FollowerSettings {
        replica_id,
        max_wait_ms: 300,
        min_bytes: 1,
        response_bytes_max: 10_000,
        partition_bytes_max: 4_000,
        backoff_ms: 500,
    };
    let push = launched.clone();
    fetchers.start(settings, 1, Box::new(move |fetcher| push.lock().push(fetcher)));
    launched
}

impl Broker {
    /// Begins what was launched, ends what was ended, and asks wherever nothing is under way.
    pub fn drive_fetchers(&mut self, ctx: &mut Context<'_>) {
        for fetcher in std::mem::take(&mut *self.launched.lock()) {
            let flow = ctx.fresh();
            let fetching = Fetching { fetcher, asked: None, flow, out_of_range: VecDeque::new() };
            self.fetching.insert(fetching.fetcher.leader, fetching);
        }
        self.fetching.retain(|_, fetching| !fetching.fetcher.ended.is_cancelled());
        let leaders: Vec<BrokerId> = self.fetching.keys().copied().collect();
        leaders.into_iter().for_each(|leader| self.drive_fetcher(leader, ctx));
    }

    pub fn drive_fetcher(&mut self, leader: BrokerId, ctx: &mut Context<'_>) {
        loop {
            let Some(fetching) = self.fetching.get(&leader) else { return };
            if fetching.asked.is_some() {
                return;
            }
            if let Some((tp, epoch)) = fetching.out_of_range.front().cloned() {
                return self.ask_offset(leader, tp, epoch, None, ctx);
            }
            let fetcher = fetching.fetcher.clone();
            let hosted = Hosted(&self.replicas);
            let step = fetcher.follower.lock().step(self.broker_epoch, &hosted, ctx.now_ms());
            match step {
                Step::Wait { until_ms: None } => return,
                Step::Wait { until_ms: Some(until_ms) } => {
                    return ctx.wake_at(until_ms.max(0) as u64, Timer::Fetcher(leader));
                }
                Step::Truncate { partition, leader_epoch, offset } => {
                    self.cut(&fetcher, &partition, leader_epoch, Cut::At(offset), ctx);
                }
                Step::Fetch { request, .. } => {
                    return self.ask_leader(
                        leader,
                        Request::Fetch(request),
                        Asked::Fetch(leader),
                        ctx,
                    );
                }
            }
        }
    }

    fn ask_leader(
        &mut self,
        leader: BrokerId,
        request: Request,
        asked: Asked,
        ctx: &mut Context<'_>,
    ) {
        let Some(fetching) = self.fetching.get_mut(&leader) else { return };
        let id = ctx.fresh();
        fetching.asked = Some(id);
        let flow = Flow::Fetch(fetching.flow);
        ctx.send(Node::Broker(leader), flow, Packet::Call { id, request });
        self.ask(id, asked, CALL_TIMEOUT_MS, ctx);
    }

    /// The fetcher that asked; nothing is under way there any more.
    fn asker(&mut self, leader: BrokerId, id: CallId) -> Option<Arc<Fetcher>> {
        let fetching = self.fetching.get_mut(&leader).filter(|f| f.asked == Some(id))?;
        fetching.asked = None;
        Some(fetching.fetcher.clone())
    }

    pub fn fetched(
        &mut self,
        leader: BrokerId,
        id: CallId,
        response: FetchResponse,
        ctx: &mut Context<'_>,
    ) {
        let Some(fetcher) = self.asker(leader, id) else { return };
        let orders = fetcher.follower.lock().on_response(response, ctx.now_ms());
        for PartitionOrder { partition, leader_epoch, order } in orders.unwrap_or_default() {
            match order {
                Order::Append { offset, records, high_watermark, log_start } => {
                    let records = records.bytes().map_or(&[][..], |bytes| bytes);
                    let fetched = Fetched { records, offset, high_watermark, log_start };
                    self.append(&fetcher, &partition, leader_epoch, &fetched, ctx);
                }
                Order::Diverged { leader, offset } => {
                    let cut = Cut::Diverged { leader, offset };
                    self.cut(&fetcher, &partition, leader_epoch, cut, ctx);
                }
                Order::OutOfRange => {
                    if let Some(fetching) = self.fetching.get_mut(&leader) {
                        fetching.out_of_range.push_back((partition, leader_epoch));
                    }
                }
                Order::Delayed(_) => {}
                Order::Failed => self.replicas.fetchers().note_failed(&partition),
            }
        }
    }

    pub fn fetch_failed(&mut self, leader: BrokerId, id: CallId, ctx: &mut Context<'_>) {
        let Some(fetcher) = self.asker(leader, id) else { return };
        fetcher.follower.lock().on_network_error(ctx.now_ms());
        if let Some(fetching) = self.fetching.get_mut(&leader) {
            fetching.flow = ctx.fresh();
        }
    }

    fn append(
        &mut self,
        fetcher: &Fetcher,
        partition: &TopicPartition,
        leader_epoch: LeaderEpoch,
        fetched: &Fetched<'_>,
        ctx: &mut Context<'_>,
    ) {
        let now_ms = ctx.now_ms();
        let Ok(hosted) = self.replicas.find(&partition.topic, partition.partition) else {
            return fetcher.follower.lock().delay(partition, leader_epoch, now_ms);
        };
        match hosted.append_fetched(leader_epoch, fetched, self.replicas.logs(), now_ms) {
            Err(error) => self.not_followed(fetcher, partition, leader_epoch, &error, ctx),
            Ok((end, info)) => fetcher.follower.lock().appended(
                partition,
                leader_epoch,
                info.map(|_| end.offset),
                end.last_epoch,
                fetched.high_watermark,
            ),
        }
    }

    fn cut(
        &mut self,
        fetcher: &Fetcher,
        partition: &TopicPartition,
        leader_epoch: LeaderEpoch,
        cut: Cut,
        ctx: &mut Context<'_>,
    ) {
        let now_ms = ctx.now_ms();
        let Ok(hosted) = self.replicas.find(&partition.topic, partition.partition) else {
            return fetcher.follower.lock().delay(partition, leader_epoch, now_ms);
        };
        match hosted.cut(leader_epoch, cut, self.replicas.logs(), now_ms) {
            Err(error) => self.not_followed(fetcher, partition, leader_epoch, &error, ctx),
            Ok(end) => {
                let mut follower = fetcher.follower.lock();
                follower.truncated(partition, leader_epoch, end.offset, end.last_epoch);
            }
        }
    }

    fn not_followed(
        &self,
        fetcher: &Fetcher,
        partition: &TopicPartition,
        leader_epoch: LeaderEpoch,
        error: &FollowError,
        ctx: &mut Context<'_>,
    ) {
        let mut follower = fetcher.follower.lock();
        if matches!(error, FollowError::Outdated) {
            return follower.delay(partition, leader_epoch, ctx.now_ms());
        }
        if follower.fail(partition, leader_epoch) {
            self.replicas.fetchers().note_failed(partition);
        }
    }

    fn ask_offset(
        &mut self,
        leader: BrokerId,
        tp: TopicPartition,
        leader_epoch: LeaderEpoch,
        latest: Option<Offset>,
        ctx: &mut Context<'_>,
    ) {
        let earliest = latest.is_some();
        let request = Request::Offsets { tp: tp.clone(), leader_epoch, earliest };
        let asked = Asked::Offset { leader, tp, leader_epoch, latest };
        self.ask_leader(leader, request, asked, ctx);
    }

    /// The leader told where its log ends (`latest` is `None`) or begins.
    pub fn offset_told(
        &mut self,
        id: CallId,
        (leader, tp, leader_epoch): (BrokerId, &TopicPartition, LeaderEpoch),
        latest: Option<Offset>,
        told: Result<Offset, ErrorCode>,
        ctx: &mut Context<'_>,
    ) {
        let Some(fetcher) = self.asker(leader, id) else { return };
        let result = told.and_then(|offset| {
            let hosted = self.replicas.find(&tp.topic, tp.partition).map_err(not_here)?;
            let gone = |_| ErrorCode::NOT_LEADER_OR_FOLLOWER;
            let log_end = hosted.follower_end(leader_epoch).map_err(gone)?.offset;
            let (went_on, cut, leader_end) = match latest {
                None => match after_latest(offset, log_end) {
                    AfterLatest::AskEarliest => return Ok(Some(offset)),
                    AfterLatest::Truncate(at) => (at, Some(Cut::At(at)), offset),
                },
                Some(leader_end) => match after_earliest(offset, log_end) {
                    AfterEarliest::StartOver(at) => (at, Some(Cut::StartOver(at)), leader_end),
                    AfterEarliest::Keep(at) => (at, None, leader_end),
                },
            };
            if let Some(cut) = cut {
                self.cut(&fetcher, tp, leader_epoch, cut, ctx);
            }
            let end = hosted.follower_end(leader_epoch).map_err(gone)?;
            if end.offset == went_on {
                let lag = (leader_end - went_on).max(0);
                let mut follower = fetcher.follower.lock();
                follower.restarted(tp, leader_epoch, went_on, end.last_epoch, lag);
            }
            Ok(None)
        });
        match result {
            Ok(Some(latest)) => {
                return self.ask_offset(leader, tp.clone(), leader_epoch, Some(latest), ctx);
            }
            Ok(None) => {}
            Err(code) => {
                let now_ms = ctx.now_ms();
                let order = fetcher.follower.lock().refused(tp, leader_epoch, code, now_ms);
                if matches!(order, Order::Failed) {
                    self.replicas.fetchers().note_failed(tp);
                }
            }
        }
        if let Some(fetching) = self.fetching.get_mut(&leader) {
            fetching.out_of_range.pop_front();
        }
    }
}
