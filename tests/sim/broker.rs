//! One simulated broker process: the real controller core, session core, replica manager and logs,
//! and what each input makes of them. Knows nothing of the world around it but its context.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;

use broker::delayed::fetch::Isolation;
use broker::fetch::wanted::FetchSessions;
use broker::metadata_cache::MetadataCache;
use broker::replication::manager::ReplicaManager;
use broker::replication::partition::Partition;
use controller::Settings;
use metadata::store::StoreEvent;
use protocol::error_code::ErrorCode;
use protocol::ids::{BrokerId, TopicPartition};
use storage::disk::{Disk, MemoryDisk};
use storage::{LogConfig, LogDir, LogManager};

use crate::context::{Context, Timer};
use crate::control::{ControllerLoop, ReplyTo};
use crate::fetcher::{self, Fetching, Launched};
use crate::membership::Membership;
use crate::message::{CallId, Flow, Node, Packet, Request, Response};
use crate::serve::Waiter;
use crate::shutdown::Stopping;
use crate::transactions::Coordinating;
use crate::view::View;
use crate::zookeeper_client::{Happened, Owner, ZooKeeperClient};

const UPKEEP_MS: u64 = 500;
const DATA: &str = "/data";

/// What a question was about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    Link(BrokerId),
    Fetch(BrokerId),
    /// A follower that is out of range asks the leader where its log ends, or begins.
    Offset {
        leader: BrokerId,
        tp: TopicPartition,
        leader_epoch: i32,
        latest: Option<i64>,
    },
    IsrChange,
    Shutdown,
    Markers(BrokerId),
    Verify(BrokerId),
}

/// What is the same on every broker of a run.
#[derive(Debug, Clone)]
pub struct Common {
    pub log: Arc<LogConfig>,
    pub max_lag_ms: i64,
}

pub struct Broker {
    pub id: BrokerId,
    pub zookeeper: ZooKeeperClient,
    pub happened: VecDeque<Happened>,
    pub control: ControllerLoop,
    pub membership: Membership,
    pub broker_epoch: i64,
    pub metadata: Arc<MetadataCache>,
    pub replicas: Arc<ReplicaManager>,
    pub coordinating: Coordinating,
    pub launched: Launched,
    pub fetching: BTreeMap<BrokerId, Fetching>,
    pub fetch_sessions: Arc<FetchSessions>,
    pub waiters: Vec<Waiter>,
    pub calls: BTreeMap<CallId, Asked>,
    pub stopping: Option<Stopping>,
    pub isr_asked: Option<CallId>,
    pub isr_retry_ms: i64,
    pub isr_flow: u64,
    upkeeps: u64,
}

impl Broker {
    /// Starts the process on what its disk holds.
    pub fn start(
        id: BrokerId,
        disk: &MemoryDisk,
        common: &Common,
        ctx: &mut Context<'_>,
    ) -> Broker {
        let now_ms = ctx.now_ms();
        disk.set_time(now_ms);
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let dir = LogDir::open(shared.clone(), Path::new(DATA)).expect("the disk is in order");
        dir.check_identity(id, "simulated").expect("the disk is this broker's");
        let logs = LogManager::new(shared, vec![dir], false, now_ms).expect("known directories");
        logs.load_all(&|_| common.log.clone(), now_ms);
        let metadata = Arc::new(MetadataCache::default());
        let view = View {
            metadata: metadata.clone(),
            log: common.log.clone(),
            max_lag_ms: common.max_lag_ms,
        };
        let replicas = Arc::new(ReplicaManager::new(id, Arc::new(logs), Arc::new(view)));
        let seed = ctx.random.draw();
        let mut settings = Settings::new(id, "PLAINTEXT");
        settings.leader_imbalance_check_interval_ms = 15_000;
        let mut broker = Broker {
            id,
            zookeeper: ZooKeeperClient::new(seed),
            happened: VecDeque::new(),
            control: ControllerLoop::new(settings, seed),
            membership: Membership::new(),
            broker_epoch: -1,
            metadata,
            coordinating: Coordinating::new(replicas.clone()),
            replicas,
            launched: Launched::default(),
            fetching: BTreeMap::new(),
            fetch_sessions: FetchSessions::new(1000),
            waiters: Vec::new(),
            calls: BTreeMap::new(),
            stopping: None,
            isr_asked: None,
            isr_retry_ms: 0,
            isr_flow: 0,
            upkeeps: 0,
        };
        broker.launched = fetcher::start(broker.replicas.fetchers(), id);
        let happened = broker.zookeeper.tick(ctx);
        broker.happened.extend(happened);
        ctx.wake_in(UPKEEP_MS, Timer::Upkeep);
        broker.pump(ctx);
        broker
    }

    pub fn packet(&mut self, from: Node, flow: Flow, packet: Packet, ctx: &mut Context<'_>) {
        match packet {
            // Nothing is served before the broker was registered.
            Packet::Call { id, .. } if self.broker_epoch < 0 => {
                ctx.send(from, flow, Packet::Refused { id });
            }
            Packet::Call { id, request } => {
                self.serve(request, ReplyTo { node: from, flow, id }, ctx);
            }
            Packet::Answer { id, response } => {
                if let Some(asked) = self.calls.remove(&id) {
                    self.answered(asked, id, response, ctx);
                }
            }
            Packet::Refused { id } => self.unanswered(id, ctx),
            other => {
                let happened = self.zookeeper.packet(other, ctx);
                self.happened.extend(happened);
            }
        }
        self.pump(ctx);
    }

    pub fn timer(&mut self, timer: Timer, ctx: &mut Context<'_>) {
        match timer {
            Timer::Session => {
                let happened = self.zookeeper.tick(ctx);
                self.happened.extend(happened);
            }
            Timer::Controller => self.controller_tick(ctx),
            Timer::Register => self.register_again(ctx),
            Timer::Link(broker) => self.drive_link(broker, ctx),
            Timer::Fetcher(leader) => self.drive_fetcher(leader, ctx),
            Timer::Unanswered(id) => self.unanswered(id, ctx),
            Timer::Upkeep => self.upkeep(ctx),
            Timer::Shutdown => self.shutdown_again(ctx),
            Timer::Waiters | Timer::IsrChanges | Timer::Coordinator | Timer::Client => {}
        }
        self.pump(ctx);
    }

    fn serve(&mut self, request: Request, to: ReplyTo, ctx: &mut Context<'_>) {
        let response = match request {
            Request::Control(request) => Response::Control(self.obey(request, ctx)),
            Request::Controller(request) => return self.serve_controller(request, to, ctx),
            Request::Produce { tp, records, transactional_id: Some(id), .. } => {
                return self.produce_in_transaction(id, tp, records, to, ctx);
            }
            Request::Produce { tp, acks, records, transactional_id: None } => {
                return self.produce(&tp, acks, &records, None, to, ctx);
            }
            Request::Coordinator(request) => return self.coordinate(request, to, ctx),
            Request::Markers(request) => return self.write_markers(request, to, ctx),
            Request::Verify(request) => return self.answer_verification(*request, to),
            Request::Fetch(request) => return self.fetch(&request, to, ctx),
            Request::Consume { tp, offset, leader_epoch, committed } => {
                let isolation =
                    if committed { Isolation::LastStable } else { Isolation::HighWatermark };
                Response::Consumed(self.consume(&tp, offset, leader_epoch, isolation, ctx))
            }
            Request::Offsets { tp, leader_epoch, earliest } => {
                Response::Offset(self.find_offset(&tp, leader_epoch, earliest))
            }
            Request::Metadata => Response::Metadata(self.describe_cluster()),
        };
        ctx.send(to.node, to.flow, Packet::Answer { id: to.id, response });
    }

    /// Remembers a question and when to give it up.
    pub fn ask(&mut self, id: CallId, asked: Asked, timeout_ms: u64, ctx: &mut Context<'_>) {
        self.calls.insert(id, asked);
        ctx.wake_in(timeout_ms, Timer::Unanswered(id));
    }

    fn answered(&mut self, asked: Asked, id: CallId, response: Response, ctx: &mut Context<'_>) {
        match (asked, response) {
            (Asked::Link(broker), Response::Control(response)) => {
                self.link_answered(broker, id, response, ctx);
            }
            (Asked::Fetch(leader), Response::Fetch(response)) => {
                self.fetched(leader, id, *response, ctx);
            }
            (Asked::Offset { leader, tp, leader_epoch, latest }, Response::Offset(offset)) => {
                self.offset_told(id, (leader, &tp, leader_epoch), latest, offset, ctx);
            }
            (Asked::Shutdown, response) => self.shutdown_answered(response, ctx),
            (Asked::IsrChange, response) => self.isr_change_answered(id, response, ctx),
            (Asked::Markers(to), Response::Marked(response)) => {
                self.markers_answered(to, id, Some(&response), ctx);
            }
            (Asked::Verify(to), Response::Verified(response)) => {
                self.verify_answered(to, id, Some(&response), ctx);
            }
            (asked, response) => panic!("{response:?} answers {asked:?}"),
        }
    }

    fn unanswered(&mut self, id: CallId, ctx: &mut Context<'_>) {
        match self.calls.remove(&id) {
            None => {}
            Some(Asked::Link(broker)) => self.link_failed(broker, id, ctx),
            Some(Asked::Fetch(leader)) => self.fetch_failed(leader, id, ctx),
            Some(Asked::Offset { leader, tp, leader_epoch, latest }) => {
                let told = Err(ErrorCode::NETWORK_EXCEPTION);
                self.offset_told(id, (leader, &tp, leader_epoch), latest, told, ctx);
            }
            Some(Asked::IsrChange) => self.isr_change_failed(id, ctx),
            Some(Asked::Shutdown) => self.shutdown_unanswered(ctx),
            Some(Asked::Markers(to)) => self.markers_answered(to, id, None, ctx),
            Some(Asked::Verify(to)) => self.verify_answered(to, id, None, ctx),
        }
    }

    /// Does all that has become possible.
    pub fn pump(&mut self, ctx: &mut Context<'_>) {
        loop {
            if let Some(happened) = self.happened.pop_front() {
                match happened {
                    Happened::Event(event) => self.store_event(event, ctx),
                    Happened::Results(Owner::Controller, results) => {
                        self.controller_results(results, ctx);
                    }
                    Happened::Results(Owner::Registration, results) => {
                        self.registration_results(results, ctx);
                    }
                    Happened::Results(Owner::Admin, _) => unreachable!("a broker is no admin"),
                }
            } else if !self.feed_controller(ctx) {
                break;
            }
        }
        self.drive_fetchers(ctx);
        self.drive_isr_changes(ctx);
        self.drive_coordinator(ctx);
        self.settle_waiters(ctx);
    }

    fn store_event(&mut self, event: StoreEvent, ctx: &mut Context<'_>) {
        self.membership_event(&event, ctx);
        self.control.tell(event);
    }

    /// Every partition, in order: the manager keeps them in a hash map.
    pub fn partitions(&self) -> Vec<Arc<Partition>> {
        let mut all = self.replicas.partitions();
        all.sort_by(|a, b| (a.topic(), a.index()).cmp(&(b.topic(), b.index())));
        all
    }

    /// What the real broker's loops do beside requests.
    fn upkeep(&mut self, ctx: &mut Context<'_>) {
        let now_ms = ctx.now_ms();
        self.upkeeps += 1;
        self.shrink_isrs(now_ms);
        if self.upkeeps.is_multiple_of(4) {
            self.replicas.checkpoint_high_watermarks();
        }
        if self.upkeeps.is_multiple_of(10) {
            for log in self.replicas.logs().logs() {
                // A disk that was cut off in the middle of it is the process's end.
                let _ = log.flush(now_ms);
            }
            self.replicas.logs().checkpoint();
            self.replicas.logs().remove_doomed(now_ms);
        }
        ctx.wake_in(UPKEEP_MS, Timer::Upkeep);
    }

    /// A clean stop's last part.
    pub fn close(&mut self, ctx: &mut Context<'_>) {
        self.replicas.checkpoint_high_watermarks();
        let errors = self.replicas.logs().close();
        assert!(errors.is_empty(), "a healthy disk closes: {errors:?}");
        self.zookeeper.close(ctx);
    }
}
