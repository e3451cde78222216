//! What is known of a produce request before any of it is appended: its partitions, each once, and
//! what is wrong with them or with the request as a whole. Looks at batch headers only.

use std::collections::HashMap;

use protocol::error_code::ErrorCode;
use protocol::messages::produce::{PartitionProduceData, ProduceRequest};
use protocol::records::batch::BatchError;
use protocol::records::codec::Codec;
use protocol::records::legacy;
use protocol::records::view::{Batches, RawBatch};
use protocol::wire::Records;

use super::failure::Failure;
use crate::authorizer::{Authorized, Authorizer, Topic, TransactionalId, op};
use crate::metadata_cache::Snapshot;
use crate::request::RequestContext;

/// Versions before this may carry any format.
const ONE_BATCH_FROM: i16 = 3;
/// Versions before this may not carry zstd.
const ZSTD_FROM: i16 = 7;
/// Bytes of a magic-2 batch up to its producer id, and up to its sequence.
const PRODUCER_ID: std::ops::Range<usize> = 43..51;
const SEQUENCE_END: usize = 57;
const ATTRIBUTES_LOW: usize = 22;
const TRANSACTIONAL: u8 = 0x10;

/// One partition of the request.
pub struct Entry {
    /// Index among the request's topics.
    pub topic: usize,
    pub index: i32,
    /// What may be appended; of several record sets for one partition the last.
    pub records: Option<Records>,
    /// Of several, the last. It is answered even if `records` is appended.
    pub refused: Option<Failure>,
}

impl Entry {
    pub fn set(&self) -> &[u8] {
        bytes_of(self.records.as_ref())
    }
}

/// A topic with leave to write, or its name alone.
pub type ScreenedTopic = Result<Authorized<'static, op::Write, Topic>, String>;

/// A request's topics in the order in which they are first named, and its partitions.
#[derive(Default)]
pub struct Screened {
    pub topics: Vec<ScreenedTopic>,
    pub entries: Vec<Entry>,
    /// Of a request with transactional batches.
    pub id: Option<Authorized<'static, op::Write, TransactionalId>>,
}

/// Collects the partitions. The second value is why nothing of the request may be appended, if so.
pub fn screen(
    authorizer: &Authorizer,
    cluster: &Snapshot,
    context: &RequestContext,
    request: ProduceRequest,
) -> (Screened, Option<Failure>) {
    let mut screened = Screened::default();
    let mut whole = None;
    match transactional_id(authorizer, context, &request) {
        Ok(id) => screened.id = id,
        Err(failure) => whole = Some(failure),
    }
    let Screened { topics, entries, .. } = &mut screened;
    topics.reserve_exact(request.topic_data.len());
    entries.reserve_exact(request.topic_data.iter().map(|topic| topic.partition_data.len()).sum());
    // One topic, or one partition, needs no table.
    let many = request.topic_data.len() > 1;
    let mut known: HashMap<String, usize> = HashMap::new();
    let mut places: HashMap<(usize, i32), usize> = HashMap::new();
    for topic in request.topic_data {
        if topic.partition_data.is_empty() {
            continue;
        }
        let mut add = |name: String| {
            topics.push(authorizer.authorize_owned(context, name));
            topics.len() - 1
        };
        let at = match many {
            false => add(topic.name),
            true => *known.entry(topic.name).or_insert_with_key(|name| add(name.clone())),
        };
        let several = many || topic.partition_data.len() > 1;
        for data in topic.partition_data {
            let index = data.index;
            let admitted = match &topics[at] {
                Err(_) => Err(Failure::code(ErrorCode::TOPIC_AUTHORIZATION_FAILED)),
                Ok(leave) if cluster.partition(leave.name(), index).is_none() => {
                    Err(Failure::code(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION))
                }
                Ok(_) => admit(context.api_version, &data, &mut whole),
            };
            let next = entries.len();
            let place = match several {
                true => *places.entry((at, index)).or_insert(next),
                false => next,
            };
            if place == next {
                entries.push(Entry { topic: at, index, records: None, refused: None });
            }
            match admitted {
                Ok(()) => entries[place].records = data.records,
                Err(failure) => entries[place].refused = Some(failure),
            }
        }
    }
    (screened, whole)
}

/// Looks at first batches up to the first that is transactional, which needs leave for the id. One
/// that can be no batch ends the request.
fn transactional_id(
    authorizer: &Authorizer,
    context: &RequestContext,
    request: &ProduceRequest,
) -> Result<Option<Authorized<'static, op::Write, TransactionalId>>, Failure> {
    for data in request.topic_data.iter().flat_map(|topic| &topic.partition_data) {
        let first = Batches::new(bytes_of(data.records.as_ref())).next();
        let Some(first) = first.transpose().map_err(corrupt)? else { continue };
        if first.magic == 2 && is_transactional(&first) {
            let id = request.transactional_id.as_deref();
            let leave = id.and_then(|id| authorizer.authorize(context, id).ok());
            let denied = ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
            let leave = leave.ok_or_else(|| Failure::code(denied))?;
            return Ok(Some(leave.into_owned()));
        }
    }
    Ok(None)
}

/// What a version may carry: before 3 anything that the log can convert, from 3 one magic-2 batch.
/// What Kafka meets unprepared is `whole`'s reason, for which nothing at all is appended.
fn admit(
    version: i16,
    data: &PartitionProduceData,
    whole: &mut Option<Failure>,
) -> Result<(), Failure> {
    let mut end = |failure: Failure| {
        if whole.is_none() {
            *whole = Some(failure);
        }
    };
    let unreadable = || Failure::code(ErrorCode::UNKNOWN_SERVER_ERROR);
    if data.records.is_none() {
        end(unreadable());
        return Ok(());
    }
    let set = bytes_of(data.records.as_ref());
    if version >= ONE_BATCH_FROM {
        let mut batches = Batches::new(set);
        let plain = |error: BatchError| Failure { message: None, ..corrupt(error) };
        let invalid = || Failure::code(ErrorCode::INVALID_RECORD);
        let first = batches.next().ok_or_else(invalid)?.map_err(plain)?;
        if first.magic != 2 {
            return Err(invalid());
        }
        if version < ZSTD_FROM {
            match Codec::from_id(first.codec_id()) {
                Ok(Codec::Zstd) => {
                    return Err(Failure::code(ErrorCode::UNSUPPORTED_COMPRESSION_TYPE));
                }
                Ok(_) => {}
                Err(_) => end(unreadable()),
            }
        }
        if batches.next().transpose().map_err(plain)?.is_some() {
            return Err(invalid());
        }
        if is_cut(first.bytes) {
            end(unreadable());
        }
        return Ok(());
    }
    for batch in Batches::new(set) {
        match batch {
            Err(error) => end(corrupt(error)),
            Ok(batch) if batch.magic == 2 && is_cut(batch.bytes) => end(unreadable()),
            Ok(_) => {}
        }
    }
    Ok(())
}

/// A magic-2 batch that ends before what verification reads.
fn is_cut(batch: &[u8]) -> bool {
    let Some(id) = batch.get(PRODUCER_ID).and_then(<[u8]>::first_chunk) else { return true };
    let transactional = batch[ATTRIBUTES_LOW] & TRANSACTIONAL != 0;
    transactional && i64::from_be_bytes(*id) >= 0 && batch.len() < SEQUENCE_END
}

fn is_transactional(batch: &RawBatch<'_>) -> bool {
    batch.bytes.get(ATTRIBUTES_LOW).is_some_and(|attributes| attributes & TRANSACTIONAL != 0)
}

/// A batch that can be none, in Kafka's words.
fn corrupt(error: BatchError) -> Failure {
    let message = match error {
        BatchError::Length(size) => format!(
            "Record size {size} is less than the minimum record overhead ({})",
            legacy::SIZE_MIN
        ),
        BatchError::Magic(magic) => format!("Invalid magic found in record: {magic}"),
        other => other.to_string(),
    };
    Failure { message: Some(message), ..Failure::code(ErrorCode::CORRUPT_MESSAGE) }
}

fn bytes_of(records: Option<&Records>) -> &[u8] {
    records.and_then(Records::bytes).map_or(&[][..], |bytes| bytes)
}
