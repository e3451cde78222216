//! A simulated broker among the live ones, step by step as
//! `metadata::registration::register` does it. Knows nothing of who controls.

use metadata::store::{ANY_VERSION, CreateMode, Op, Reply, StoreError, StoreEvent};
use metadata::znodes::broker::{self, BrokerRegistration, Endpoint, SecurityProtocol};
use protocol::ids::BrokerId;

use crate::broker::Broker;
use crate::context::{Context, Timer};
use crate::zookeeper_client::Owner;

const RETRY_MS: u64 = 500;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Without a session, or registered.
    Idle,
    Creating,
    Looking,
    Refreshing,
    Deleting,
    /// Another session holds the node.
    Waiting,
}

#[derive(Debug)]
pub struct Membership {
    stage: Stage,
    session: i64,
    /// The session of this process that was registered before.
    previous: i64,
    pub registered: bool,
}

impl Membership {
    pub fn new() -> Membership {
        Membership { stage: Stage::Idle, session: 0, previous: 0, registered: false }
    }
}

fn registration(id: BrokerId) -> BrokerRegistration {
    let listener = "PLAINTEXT".to_owned();
    let security_protocol = SecurityProtocol::Plaintext;
    let host = format!("b{id}");
    BrokerRegistration {
        endpoints: vec![Endpoint { listener, security_protocol, host, port: 9092 }],
        rack: None,
        jmx_port: -1,
        timestamp_ms: 0,
        features: Default::default(),
    }
}

impl Broker {
    pub fn membership_event(&mut self, event: &StoreEvent, ctx: &mut Context<'_>) {
        match event {
            StoreEvent::SessionStarted { session_id } => {
                self.membership.previous = self.membership.session;
                self.membership.session = *session_id;
                self.create_registration(ctx);
            }
            StoreEvent::SessionExpired => {
                self.membership.stage = Stage::Idle;
                self.membership.registered = false;
            }
            StoreEvent::Changed { path, .. }
                if *path == broker::path(self.id) && self.membership.stage == Stage::Waiting =>
            {
                self.create_registration(ctx);
            }
            _ => {}
        }
    }

    pub fn register_again(&mut self, ctx: &mut Context<'_>) {
        if self.membership.stage == Stage::Waiting {
            self.create_registration(ctx);
        }
    }

    fn registration_ops(&mut self, stage: Stage, ops: Vec<Op>, ctx: &mut Context<'_>) {
        self.membership.stage = stage;
        let session = self.membership.session;
        let happened = self.zookeeper.submit(Owner::Registration, session, ops, ctx);
        self.happened.extend(happened);
    }

    fn create_registration(&mut self, ctx: &mut Context<'_>) {
        let path = broker::path(self.id);
        let data = Some(registration(self.id).encode());
        let both = Op::Multi(vec![
            Op::Create { path: path.clone(), data: None, mode: CreateMode::Ephemeral },
            Op::Set { path, data, version: 0 },
        ]);
        self.registration_ops(Stage::Creating, vec![both], ctx);
    }

    fn look_at_registration(&mut self, ctx: &mut Context<'_>) {
        let path = broker::path(self.id);
        let ops = vec![Op::Sync { path: path.clone() }, Op::Exists { path, watch: true }];
        self.registration_ops(Stage::Looking, ops, ctx);
    }

    pub fn registration_results(
        &mut self,
        results: Vec<Result<Reply, StoreError>>,
        ctx: &mut Context<'_>,
    ) {
        let Some(last) = results.into_iter().last() else { return };
        let path = broker::path(self.id);
        match (self.membership.stage, last) {
            // The next session begins anew.
            (_, Err(StoreError::SessionExpired)) => {}
            (Stage::Creating, Ok(Reply::Multi(replies))) => match replies.last() {
                Some(Reply::Set { stat }) => self.registered(stat.czxid, ctx),
                other => panic!("not a registration: {other:?}"),
            },
            (Stage::Refreshing, Ok(Reply::Set { stat })) => self.registered(stat.czxid, ctx),
            (Stage::Looking, Ok(Reply::Exists { stat: None })) => self.create_registration(ctx),
            (Stage::Looking, Ok(Reply::Exists { stat: Some(stat) })) => {
                if stat.ephemeral_owner == self.membership.session {
                    let data = Some(registration(self.id).encode());
                    let set = Op::Set { path, data, version: ANY_VERSION };
                    self.registration_ops(Stage::Refreshing, vec![set], ctx);
                } else if stat.ephemeral_owner == self.membership.previous {
                    let delete = Op::Delete { path, version: ANY_VERSION };
                    self.registration_ops(Stage::Deleting, vec![delete], ctx);
                } else {
                    self.membership.stage = Stage::Waiting;
                    ctx.wake_in(RETRY_MS, Timer::Register);
                }
            }
            (Stage::Deleting, _) => self.create_registration(ctx),
            (Stage::Idle | Stage::Waiting, _) => {}
            _ => self.look_at_registration(ctx),
        }
    }

    fn registered(&mut self, epoch: i64, ctx: &mut Context<'_>) {
        self.membership.stage = Stage::Idle;
        self.membership.registered = true;
        self.broker_epoch = epoch;
        self.start_controller(ctx);
    }
}
