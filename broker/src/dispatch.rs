//! Bytes of one request to its handler and back to bytes of its answer. Knows nothing of sockets.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use protocol::api::ApiKey;
use protocol::frame;
use protocol::header::{HeaderError, RequestHeader};
use protocol::wire::{Message, Reader, Request, Rope};

use crate::broker::Broker;
use crate::handlers;
use crate::request::{ConnectionContext, Reply, RequestContext};

/// An answer on its way; the error is the reason to close the connection.
pub type Waiting = BoxFuture<'static, Result<Rope, String>>;

/// What becomes of a request.
pub enum Outcome {
    Now(Rope),
    Later {
        reply: Waiting,
        /// No other request of the connection starts before this one is answered.
        holds: bool,
        /// It may be forgotten once the peer is gone.
        abandon: bool,
    },
    Nothing,
    Close(String),
}

/// The requests of one connection.
pub struct Dispatcher {
    broker: Arc<Broker>,
    connection: Arc<ConnectionContext>,
    /// Clients send the same id with every request.
    client_id: Option<Arc<str>>,
}

/// One arm per API: a key does not compile until it is decided here whether it is served. Behind
/// the handler stand the parts of the broker that it is given, and no others.
macro_rules! apis {
    (
        served { $($api:ident => $($handle:ident)::+ ($($part:ident),*);)* }
        not_yet { $($other:ident)* }
    ) => {
        /// The APIs that this broker answers, by key. What is not here is not advertised and closes
        /// the connection, as an unknown key does.
        pub const SERVED: &[ApiKey] = &[$(ApiKey::$api),*];

        fn serve(api: ApiKey, call: Call<'_>) -> Outcome {
            match api {
                $(ApiKey::$api => apis!(@run call $($handle)::+ ($($part),*)),)*
                $(ApiKey::$other)|* => Outcome::Close(format!("{api} is not served")),
            }
        }
    };
    (@run $call:ident $($handle:ident)::+ ($($part:ident),*)) => {
        $call.run(|broker, context, request| {
            let _ = broker;
            $($handle)::+($(&broker.$part,)* context, request)
        })
    };
}

apis! {
    served {
        Produce => handlers::produce::handle(authorizer, appender);
        Fetch => handlers::fetch::handle(authorizer, fetch_server);
        ListOffsets => handlers::list_offsets::handle(authorizer, replicas, tasks);
        Metadata => handlers::metadata::handle(authorizer, metadata_server);
        LeaderAndIsr => handlers::leader_and_isr::handle(authorizer, orders, tasks);
        StopReplica => handlers::stop_replica::handle(authorizer, orders, tasks);
        UpdateMetadata => handlers::update_metadata::handle(authorizer, orders, tasks);
        ControlledShutdown => handlers::controlled_shutdown::handle(authorizer, office);
        OffsetCommit => handlers::offset_commit::handle(
            authorizer, clock, metadata, groups, stored_offsets
        );
        OffsetFetch => handlers::offset_fetch::handle(authorizer, groups, stored_offsets);
        FindCoordinator => handlers::find_coordinator::handle(
            authorizer, metadata, groups, transactions, auto_topics
        );
        JoinGroup => handlers::join_group::handle(authorizer, groups);
        Heartbeat => handlers::heartbeat::handle(authorizer, groups);
        LeaveGroup => handlers::leave_group::handle(authorizer, groups);
        SyncGroup => handlers::sync_group::handle(authorizer, groups);
        DescribeGroups => handlers::describe_groups::handle(authorizer, groups);
        ListGroups => handlers::list_groups::handle(authorizer, groups);
        ApiVersions => handlers::api_versions::handle(consumer_protocol, finalized_features_epoch);
        CreateTopics => handlers::create_topics::handle(authorizer, office, topic_admin, tasks);
        DeleteTopics => handlers::delete_topics::handle(
            authorizer, office, metadata, topic_admin, tasks
        );
        DeleteRecords => handlers::delete_records::handle(authorizer, replicas, tasks);
        InitProducerId => handlers::init_producer_id::handle(
            authorizer, producer_ids, transactions
        );
        OffsetForLeaderEpoch => handlers::offset_for_leader_epoch::handle(authorizer, replicas);
        AddPartitionsToTxn => handlers::add_partitions_to_txn::handle(
            authorizer, metadata, transactions
        );
        AddOffsetsToTxn => handlers::add_offsets_to_txn::handle(authorizer, groups, transactions);
        EndTxn => handlers::end_txn::handle(authorizer, transactions);
        WriteTxnMarkers => handlers::write_txn_markers::handle(authorizer, marker_writer);
        TxnOffsetCommit => handlers::txn_offset_commit::handle(
            authorizer, clock, metadata, groups, verifier
        );
        DescribeAcls => handlers::describe_acls::handle();
        CreateAcls => handlers::create_acls::handle(authorizer);
        DeleteAcls => handlers::delete_acls::handle(authorizer);
        DescribeConfigs => handlers::describe_configs::handle(authorizer, config_reader);
        AlterConfigs => handlers::alter_configs::handle(authorizer, identity, config_alterer);
        AlterReplicaLogDirs => handlers::alter_replica_log_dirs::handle(authorizer, mover);
        DescribeLogDirs => handlers::describe_log_dirs::handle(authorizer, replicas, tasks);
        CreatePartitions => handlers::create_partitions::handle(
            authorizer, office, topic_admin, tasks
        );
        DeleteGroups => handlers::delete_groups::handle(authorizer, groups);
        ElectLeaders => handlers::elect_leaders::handle(authorizer, clock, metadata, office);
        IncrementalAlterConfigs => handlers::incremental_alter_configs::handle(
            authorizer, identity, config_alterer
        );
        AlterPartitionReassignments => handlers::alter_partition_reassignments::handle(
            authorizer, office
        );
        ListPartitionReassignments => handlers::list_partition_reassignments::handle(
            authorizer, office
        );
        OffsetDelete => handlers::offset_delete::handle(authorizer, metadata, groups);
        AlterPartition => handlers::alter_partition::handle(authorizer, office);
        UpdateFeatures => handlers::update_features::handle(authorizer, office, finalized_features);
        Envelope => handlers::envelope::handle();
        DescribeCluster => handlers::describe_cluster::handle(authorizer, identity, metadata);
        DescribeProducers => handlers::describe_producers::handle(authorizer, metadata, replicas);
        DescribeTransactions => handlers::describe_transactions::handle(authorizer, transactions);
        ListTransactions => handlers::list_transactions::handle(authorizer, transactions);
        AllocateProducerIds => handlers::allocate_producer_ids::handle(authorizer, office);
        ConsumerGroupHeartbeat => handlers::consumer_group_heartbeat::handle(
            authorizer, consumer_protocol, groups
        );
        ConsumerGroupDescribe => handlers::consumer_group_describe::handle(
            authorizer, consumer_protocol, groups
        );
    }
    not_yet {
    SaslHandshake SaslAuthenticate
    CreateDelegationToken RenewDelegationToken ExpireDelegationToken DescribeDelegationToken
    DescribeClientQuotas AlterClientQuotas DescribeUserScramCredentials
    AlterUserScramCredentials
    }
}

/// Opens connections' dispatchers.
#[derive(Clone)]
pub struct Dispatch(Arc<Broker>);

impl Dispatch {
    pub fn new(broker: Arc<Broker>) -> Dispatch {
        Dispatch(broker)
    }

    pub fn dispatcher(&self, connection: Arc<ConnectionContext>) -> Dispatcher {
        Dispatcher::new(self.0.clone(), connection)
    }
}

impl Dispatcher {
    fn new(broker: Arc<Broker>, connection: Arc<ConnectionContext>) -> Dispatcher {
        Dispatcher { broker, connection, client_id: None }
    }

    /// Decodes, runs the handler and encodes. `frame` is a request without its length.
    pub fn dispatch(&mut self, frame: Bytes) -> Outcome {
        let is_produce = frame.starts_with(&ApiKey::Produce.key().to_be_bytes());
        // Whatever a handler keeps of a small request must not keep the whole read buffer alive.
        let frame = if is_produce { frame } else { Bytes::copy_from_slice(&frame) };
        let mut reader = Reader::for_frame(frame);
        let header = match RequestHeader::decode(&mut reader) {
            Ok(header) => header,
            Err(HeaderError::UnknownApi { key }) => {
                return Outcome::Close(format!("request with unknown key {key}"));
            }
            Err(HeaderError::Wire(error)) => {
                return Outcome::Close(format!("malformed request header: {error}"));
            }
        };
        if !SERVED.contains(&header.api) {
            return Outcome::Close(format!("{} is not served", header.api));
        }
        if !header.is_supported() {
            return self.unsupported(&header);
        }
        let api = header.api;
        let (metrics, clock) = (self.broker.request_metrics.clone(), self.broker.clock);
        let started_ms = clock.elapsed_ms();
        metrics.request(api);
        let context = self.context(header, started_ms);
        // Never what a request holds: it may be a secret.
        tracing::debug!(
            %api,
            version = context.api_version,
            correlation_id = context.correlation_id,
            client_id = context.client_id.as_deref(),
            "request arrived"
        );
        match serve(api, Call { broker: &self.broker, context, reader }) {
            Outcome::Later { reply, holds, abandon } => {
                let reply = Box::pin(async move {
                    let rope = reply.await;
                    metrics.answered(api, clock.elapsed_ms() - started_ms);
                    rope
                });
                Outcome::Later { reply, holds, abandon }
            }
            Outcome::Close(reason) => {
                metrics.refused(api);
                Outcome::Close(reason)
            }
            outcome => {
                metrics.answered(api, clock.elapsed_ms() - started_ms);
                outcome
            }
        }
    }

    /// A client may ask for a newer ApiVersions than there is: it learns that in version 0.
    fn unsupported(&self, header: &RequestHeader) -> Outcome {
        if header.api != ApiKey::ApiVersions {
            return Outcome::Close(format!("{} has no version {}", header.api, header.version));
        }
        let response = handlers::api_versions::unsupported();
        encode(ApiKey::ApiVersions, 0, header.correlation_id, &response)
            .map_or_else(Outcome::Close, Outcome::Now)
    }

    fn context(&mut self, header: RequestHeader, arrived_ms: f64) -> RequestContext {
        if self.client_id.as_deref() != header.client_id.as_deref() {
            self.client_id = header.client_id.map(Arc::from);
        }
        RequestContext {
            connection: self.connection.clone(),
            api_key: header.api.key(),
            api_version: header.version,
            correlation_id: header.correlation_id,
            client_id: self.client_id.clone(),
            arrived_ms,
        }
    }
}

/// A request whose header is read.
struct Call<'a> {
    broker: &'a Arc<Broker>,
    context: RequestContext,
    reader: Reader,
}

impl Call<'_> {
    fn run<R: Request>(
        mut self,
        handle: impl FnOnce(&Arc<Broker>, &RequestContext, R) -> Reply<R::Response>,
    ) -> Outcome
    where
        R::Response: Send + 'static,
    {
        let (api, version) = (R::KEY, self.context.api_version);
        let correlation_id = self.context.correlation_id;
        let request = match R::decode(&mut self.reader, version) {
            Ok(request) => request,
            Err(error) => return Outcome::Close(format!("malformed {api} v{version}: {error}")),
        };
        match handle(self.broker, &self.context, request) {
            Reply::Now(response) => encode(api, version, correlation_id, &response)
                .map_or_else(Outcome::Close, Outcome::Now),
            Reply::Later(response) => Outcome::Later {
                reply: Box::pin(
                    async move { encode(api, version, correlation_id, &response.await) },
                ),
                holds: api != ApiKey::Produce,
                abandon: api == ApiKey::Fetch,
            },
            held @ Reply::Held(_) => Outcome::Later {
                reply: Box::pin(async move {
                    match settled(held).await.map_err(|e| format!("{api} v{version}: {e}"))? {
                        Some(response) => encode(api, version, correlation_id, &response),
                        None => Ok(Rope::default()),
                    }
                }),
                holds: true,
                abandon: false,
            },
            Reply::Nothing => Outcome::Nothing,
            Reply::Close(reason) => Outcome::Close(format!("{api} v{version}: {reason}")),
        }
    }
}

/// Waits for whatever a reply waits for; `None`: there is no answer. The error is the reason to
/// close the connection.
async fn settled<R>(mut reply: Reply<R>) -> Result<Option<R>, String> {
    loop {
        reply = match reply {
            Reply::Now(response) => return Ok(Some(response)),
            Reply::Later(response) => return Ok(Some(response.await)),
            Reply::Held(rest) => rest.await,
            Reply::Nothing => return Ok(None),
            Reply::Close(reason) => return Err(reason),
        }
    }
}

fn encode<M: Message>(
    api: ApiKey,
    version: i16,
    correlation_id: i32,
    response: &M,
) -> Result<Rope, String> {
    frame::response_frame(api, version, correlation_id, response).map_err(|error| {
        // The handler made an answer that its version cannot carry: a fault of ours.
        tracing::error!(%api, version, %error, "an answer could not be encoded");
        format!("the answer to {api} v{version} could not be encoded: {error}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apis_are_advertised_once_and_in_order() {
        assert!(SERVED.windows(2).all(|pair| pair[0].key() < pair[1].key()));
        assert!(SERVED.contains(&ApiKey::ApiVersions));
    }
}
