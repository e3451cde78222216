//! Fetch (key 1): records for consumers and followers.
//!
//! Versions 0 to 17: v3 byte limit over all partitions · v4 isolation level, magic 2 · v5 log
//! start · v7 sessions (KIP-227) · v9 leader epoch (KIP-320) · v10 zstd · v11 followers may answer
//! consumers · v12 flexible, diverging epochs (KIP-595) · v13 topic ids · v15 replica state as a
//! tag · v16 the leader to go to instead (KIP-951).
//!
//! Answers at once when `min_bytes` are there, on any error and on a diverging epoch; else waits
//! at most `max_wait_ms`. With Kafka's rack-aware `replica.selector.class` a consumer with a rack
//! is sent to an in-sync replica there (KIP-392). Listed followers outside the ISR get no records
//! while `leader.replication.throttled.rate` is exceeded (KIP-73). Records go out as ranges of the
//! segment files. Versions 0 to 3 get them rewritten in the format that they know.
//!
//! Errors: of the request FETCH_SESSION_ID_NOT_FOUND, INVALID_FETCH_SESSION_EPOCH,
//! FETCH_SESSION_TOPIC_ID_ERROR; of a partition UNKNOWN_TOPIC_ID, UNKNOWN_TOPIC_OR_PARTITION,
//! INCONSISTENT_TOPIC_ID, NOT_LEADER_OR_FOLLOWER, FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH,
//! OFFSET_OUT_OF_RANGE, KAFKA_STORAGE_ERROR, UNSUPPORTED_COMPRESSION_TYPE (zstd before v10),
//! UNSUPPORTED_VERSION (`message.downconversion.enable=false`), UNKNOWN_SERVER_ERROR (a negative
//! limit where there is something to read, an isolation level that does not exist),
//! TOPIC_AUTHORIZATION_FAILED.
//!
//! Differs from Apache: a session that another request is using counts as being at another epoch.
//! A disk that fails only as records are being sent takes its directory offline, as one does that
//! fails the read; Kafka then closes the connection and leaves a leader that nobody can read from.
//! A zstd batch read before v10 is refused by what the topic's `compression.type` says, as there.
//! Rewritten records are not filled up to the size of the stored ones with a message cut off. They
//! end before a batch for which there is no room in `ottla.decompression.memory.bytes`; if it is
//! the first, NOT_LEADER_OR_FOLLOWER makes the consumer come again.

mod levels;
mod old_format;
mod parts;
mod resolve;

use std::sync::Arc;

use protocol::error_code::ErrorCode;
use protocol::ids::Uuid;
use protocol::messages::fetch::{
    AbortedTransaction, EpochEndOffset, FetchRequest, FetchResponse, PartitionData,
};
use protocol::wire::Records;
use replica::fetch_session::{FetchAsk, FetchTarget};
use replica::partition::AccessError;
use replica::session_cache::SessionError;
use storage::config::TopicCompression;

use self::parts::{failed, name_leader, push, refused, told_of};
use super::partition_error::not_here;
use crate::authorizer::Authorizer;
use crate::clock::Clock;
use crate::config::LiveConfig;
use crate::delayed::fetch::Isolation;
use crate::fetch::plan::{self, FetchParams, Plan, Source};
use crate::fetch::preferred::{self, Nearby};
use crate::fetch::wanted::{FetchContext, FetchSessions, SessionRequest, Wanted};
use crate::metadata_cache::MetadataCache;
use crate::metrics::RequestMetrics;
use crate::network::payload::FilePayload;
use crate::quota::{LEADER_REPLICAS, Quotas};
use crate::replication::manager::ReplicaManager;
use crate::replication::partition::{PartitionRead, ReadError, Reader};
use crate::request::{Reply, RequestContext};
use crate::tasks::Tasks;

const CONSUMER: i32 = -1;
const READ_COMMITTED: i8 = 1;
/// No preferred read replica: fetch here.
const NO_REPLICA: i32 = -1;

/// What becomes of one wanted partition.
enum Standing {
    /// Read as the source of this number.
    Source(usize),
    /// Not here: told at once.
    Failed(ErrorCode),
    /// Not known or not allowed: told after all others, without hurry.
    Refused(ErrorCode),
}

/// Serves fetches.
pub struct FetchServer {
    pub config: Arc<LiveConfig>,
    pub clock: Clock,
    pub tasks: Arc<Tasks>,
    pub metadata: Arc<MetadataCache>,
    pub replicas: Arc<ReplicaManager>,
    pub sessions: Arc<FetchSessions>,
    pub quotas: Arc<Quotas>,
    pub metrics: Arc<RequestMetrics>,
}

/// One Fetch on its way.
struct Fetch {
    server: Arc<FetchServer>,
    context: RequestContext,
    session: FetchContext,
    params: FetchParams,
    items: Vec<(Wanted, Standing)>,
    sources: Vec<Source>,
}

pub fn handle(
    authorizer: &Authorizer,
    server: &Arc<FetchServer>,
    context: &RequestContext,
    request: FetchRequest,
) -> Reply<FetchResponse> {
    let params = params_of(server, context, &request);
    let (session, wanted) = match open_session(server, context.api_version, &params, &request) {
        Ok(opened) => opened,
        Err(error) => {
            let error_code = session_code(error).0;
            return Reply::Now(FetchResponse { error_code, ..Default::default() });
        }
    };
    let mut fetch = Fetch {
        server: server.clone(),
        context: context.clone(),
        session,
        params,
        items: Vec::with_capacity(wanted.len()),
        sources: Vec::with_capacity(wanted.len()),
    };
    fetch.resolve(authorizer, wanted);
    let any_known = fetch.items.iter().any(|(_, s)| !matches!(s, Standing::Refused(_)));
    if any_known && !levels::exists(request.isolation_level) {
        return Reply::Now(levels::failure(context.api_version, &request));
    }
    // Old records may have to be looked for on the disk, which is no work for a worker.
    if !fetch.sources.iter().all(Source::is_at_tail) {
        return Reply::later(async move {
            let owner = fetch.server.clone();
            let work = move || {
                let plan = fetch.look();
                (fetch, plan)
            };
            let (fetch, plan) = owner.tasks.blocking(work).await;
            fetch.complete(plan).await
        });
    }
    let plan = fetch.look();
    if fetch.may_answer(&plan) && fetch.magic().is_none() {
        return Reply::Now(fetch.finish(plan, None));
    }
    Reply::later(fetch.complete(plan))
}

fn params_of(
    server: &FetchServer,
    context: &RequestContext,
    request: &FetchRequest,
) -> FetchParams {
    let version = context.api_version;
    let (replica, epoch) = match version {
        15.. => (request.replica_state.replica_id, request.replica_state.replica_epoch),
        _ => (request.replica_id, -1),
    };
    let is_follower = replica >= 0;
    let isolation = match (replica, request.isolation_level) {
        (CONSUMER, READ_COMMITTED) => Isolation::LastStable,
        (CONSUMER, _) => Isolation::HighWatermark,
        _ => Isolation::LogEnd,
    };
    let config = server.config.load();
    let ours = config.int("fetch.max.bytes");
    let has_rack = !is_follower && version >= 11 && !request.rack_id.is_empty();
    let by_rack = has_rack && config.text("replica.selector.class") == Some(preferred::RACK_AWARE);
    let nearby = by_rack.then(|| Nearby {
        rack: request.rack_id.clone(),
        listener: context.connection.listener.clone(),
    });
    let max_bytes = i64::from(request.max_bytes).min(ours.into());
    FetchParams {
        reader: Reader {
            follower: is_follower.then_some((replica, epoch)),
            isolation,
            // From version 11 on consumers may read from a follower (KIP-392).
            leader_only: is_follower || (replica == CONSUMER && version < 11),
            throttled: is_follower && server.quotas.leader.is_exceeded(server.clock.now_ms()),
        },
        nearby,
        min_bytes: i64::from(request.min_bytes).min(max_bytes).max(0) as u64,
        max_bytes,
        hard_limit: version <= 2,
        max_wait_ms: request.max_wait_ms,
    }
}

fn open_session(
    server: &FetchServer,
    version: i16,
    params: &FetchParams,
    request: &FetchRequest,
) -> Result<(FetchContext, Vec<Wanted>), SessionError> {
    let uses_topic_ids = version >= 13;
    let name_of = |id: Uuid| server.replicas.cluster().topic_name(id);
    let mut asked = Vec::new();
    for topic in &request.topics {
        let name: Arc<str> = match uses_topic_ids {
            true => name_of(topic.topic_id).unwrap_or_else(|| Arc::from("")),
            false => Arc::from(topic.topic.as_str()),
        };
        for partition in &topic.partitions {
            let target = FetchTarget {
                topic_id: topic.topic_id,
                topic: name.clone(),
                partition: partition.partition,
            };
            let ask = FetchAsk {
                fetch_offset: partition.fetch_offset,
                // Any negative epoch is none.
                current_leader_epoch: partition.current_leader_epoch.max(-1),
                last_fetched_epoch: partition.last_fetched_epoch.max(-1),
                log_start: partition.log_start_offset,
                max_bytes: partition.partition_max_bytes,
            };
            asked.push((target, ask));
        }
    }
    let forgotten: Vec<_> = request
        .forgotten_topics_data
        .iter()
        .flat_map(|topic| {
            topic.partitions.iter().map(|index| (topic.topic_id, topic.topic.as_str(), *index))
        })
        .collect();
    let session = SessionRequest {
        id: request.session_id,
        epoch: request.session_epoch,
        uses_topic_ids,
        is_follower: params.reader.follower.is_some(),
    };
    server.sessions.open(session, asked, &forgotten, name_of)
}

fn session_code(error: SessionError) -> ErrorCode {
    match error {
        SessionError::NotFound => ErrorCode::FETCH_SESSION_ID_NOT_FOUND,
        SessionError::InvalidEpoch => ErrorCode::INVALID_FETCH_SESSION_EPOCH,
        SessionError::TopicId => ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR,
    }
}

/// The error code of a failed read.
pub fn code_of(error: &ReadError) -> ErrorCode {
    match error {
        ReadError::Access(AccessError::NotLeader) => ErrorCode::NOT_LEADER_OR_FOLLOWER,
        ReadError::Access(AccessError::FencedLeaderEpoch) => ErrorCode::FENCED_LEADER_EPOCH,
        ReadError::Access(AccessError::UnknownLeaderEpoch) => ErrorCode::UNKNOWN_LEADER_EPOCH,
        ReadError::InconsistentTopicId => ErrorCode::INCONSISTENT_TOPIC_ID,
        ReadError::OffsetOutOfRange => ErrorCode::OFFSET_OUT_OF_RANGE,
        ReadError::OffsetNotAvailable => ErrorCode::OFFSET_NOT_AVAILABLE,
        ReadError::NegativeSize => ErrorCode::UNKNOWN_SERVER_ERROR,
        ReadError::Corrupt(_) | ReadError::Disk(_) => ErrorCode::KAFKA_STORAGE_ERROR,
    }
}

impl Fetch {
    fn may_answer(&self, plan: &Plan) -> bool {
        let failed = self.items.iter().any(|(_, s)| matches!(s, Standing::Failed(_)));
        self.params.max_wait_ms <= 0
            || self.sources.is_empty()
            || failed
            || plan.is_enough(&self.params)
    }

    fn look(&self) -> Plan {
        plan::look(&self.sources, &self.params, true, self.server.clock.now_ms())
    }

    /// Waits if it must, and answers.
    async fn complete(self, plan: Plan) -> FetchResponse {
        let clock = self.server.clock;
        if self.may_answer(&plan) {
            return self.finish_anywhere(plan).await;
        }
        let plan = plan::wait(&self.sources, &self.params, plan, &clock).await;
        let arrived_ms = plan.arrived_ms(&self.sources, &self.params);
        let metrics = self.server.metrics.clone();
        let response = self.finish_anywhere(plan).await;
        if let Some(arrived_ms) = arrived_ms {
            metrics.handed_on(clock.elapsed_ms() - arrived_ms);
        }
        response
    }

    async fn finish_anywhere(self, plan: Plan) -> FetchResponse {
        let Some(magic) = self.magic() else { return self.finish(plan, None) };
        // Reading and recompressing do not belong on a worker.
        let owner = self.server.clone();
        owner.tasks.blocking(move || self.finish(plan, Some(magic))).await
    }

    /// The newest format that this version knows, if it is not the one that logs are in.
    fn magic(&self) -> Option<i8> {
        match self.context.api_version {
            ..=1 => Some(0),
            2..=3 => Some(1),
            _ => None,
        }
    }

    fn finish(self, plan: Plan, magic: Option<i8>) -> FetchResponse {
        let reads = plan.reads.into_iter().map(Some).collect();
        let answers = self.answers(reads, magic);
        self.respond(answers)
    }

    /// Every partition's answer, in the order of the response.
    fn answers(
        &self,
        mut reads: Vec<Option<Result<PartitionRead, ReadError>>>,
        magic: Option<i8>,
    ) -> Vec<(usize, PartitionData)> {
        let mut answers = Vec::with_capacity(self.items.len());
        let mut last = Vec::new();
        for (at, (wanted, standing)) in self.items.iter().enumerate() {
            let data = match standing {
                Standing::Refused(code) => {
                    last.push((at, refused(wanted.target.partition, *code)));
                    continue;
                }
                Standing::Failed(code) => failed(wanted.target.partition, *code),
                Standing::Source(source) => {
                    let read = reads[*source].take().expect("each source is answered once");
                    self.answer(&self.sources[*source], read, magic)
                }
            };
            answers.push((at, data));
        }
        answers.append(&mut last);
        answers
    }

    fn answer(
        &self,
        source: &Source,
        read: Result<PartitionRead, ReadError>,
        magic: Option<i8>,
    ) -> PartitionData {
        let index = source.partition.index();
        if let Some(code) = self.withheld(source, magic) {
            return PartitionData { records: None, ..refused(index, code) };
        }
        let read = match read {
            Ok(read) => read,
            Err(error) => {
                if let ReadError::Disk(disk) = &error {
                    self.server.replicas.read_failed(&source.partition.name(), disk);
                }
                let mut code = code_of(&error);
                if code == ErrorCode::NOT_LEADER_OR_FOLLOWER {
                    // It may have been deleted meanwhile.
                    let found = self.server.replicas.find(source.partition.topic(), index);
                    code = found.err().map_or(code, not_here);
                }
                return failed(index, code);
            }
        };
        let bytes = read.len();
        let records = match self.records(source, &read, magic) {
            Ok(records) => records,
            Err(code) => return PartitionData { records: None, ..refused(index, code) },
        };
        let is_follower = self.params.reader.follower.is_some();
        source.partition.metrics().fetched(bytes, is_follower);
        let quota = &self.server.quotas.leader;
        if is_follower && quota.is_limited() && source.partition.is_throttled(LEADER_REPLICAS) {
            quota.record(bytes, self.server.clock.now_ms());
        }
        let (epoch, end_offset) = read.diverging.unwrap_or((-1, -1));
        PartitionData {
            partition_index: index,
            high_watermark: read.high_watermark,
            last_stable_offset: read.last_stable,
            log_start_offset: read.log_start,
            diverging_epoch: EpochEndOffset { epoch, end_offset },
            aborted_transactions: read.aborted.map(|all| {
                all.into_iter()
                    .map(|(producer_id, first_offset)| AbortedTransaction {
                        producer_id,
                        first_offset,
                    })
                    .collect()
            }),
            preferred_read_replica: read.preferred.unwrap_or(NO_REPLICA),
            records: Some(records),
            ..Default::default()
        }
    }

    /// Why the topic's configuration keeps the records from this version, whatever was read.
    fn withheld(&self, source: &Source, magic: Option<i8>) -> Option<ErrorCode> {
        if self.context.api_version >= 10 {
            return None;
        }
        let config = source.partition.log().map(|log| log.config())?;
        if config.compression_type == TopicCompression::Zstd {
            return Some(ErrorCode::UNSUPPORTED_COMPRESSION_TYPE);
        }
        let convertible = magic.is_none() || config.message_downconversion_enable;
        let of_client = self.params.reader.follower.is_none();
        (of_client && !convertible).then_some(ErrorCode::UNSUPPORTED_VERSION)
    }

    /// The records as this version may have them.
    fn records(
        &self,
        source: &Source,
        read: &PartitionRead,
        magic: Option<i8>,
    ) -> Result<Records, ErrorCode> {
        let slices = read.records.as_ref().map_or(&[][..], |records| &records.slices);
        match magic {
            _ if slices.is_empty() => Ok(Records::default()),
            Some(magic) => old_format::converted(&self.server.replicas, slices, magic, source),
            None => Ok(Records::Payload(Arc::new(FilePayload::new(slices.to_vec())))),
        }
    }

    fn respond(self, answers: Vec<(usize, PartitionData)>) -> FetchResponse {
        let told: Vec<_> =
            answers.iter().map(|(at, data)| (&self.items[*at].0, told_of(data))).collect();
        let (session_id, named) = self.session.answer(&told, self.server.clock.now_ms());
        let mut response = FetchResponse { session_id, ..Default::default() };
        for ((at, mut data), named) in answers.into_iter().zip(named) {
            if !named {
                continue;
            }
            let target = &self.items[at].0.target;
            let version = self.context.api_version;
            if version <= 5 && data.error_code == ErrorCode::KAFKA_STORAGE_ERROR.0 {
                data.error_code = ErrorCode::NOT_LEADER_OR_FOLLOWER.0;
            }
            if version >= 16 {
                name_leader(&self.server.replicas, &self.context, target, &mut data, &mut response);
            }
            push(&mut response, target, data);
        }
        response
    }
}

#[cfg(test)]
mod tests;
