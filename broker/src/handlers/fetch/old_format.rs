//! Records for versions that know only message formats 0 and 1. Knows nothing of how they were
//! found.

use bytes::Bytes;
use protocol::error_code::ErrorCode;
use protocol::records::batch::HEADER_BYTES;
use protocol::records::codec::Limits;
use protocol::records::convert::{ConvertError, down_convert};
use protocol::records::view::Batches;
use protocol::wire::Records;
use storage::LogSlice;

use crate::fetch::plan::Source;
use crate::replication::manager::ReplicaManager;

/// What a set in which nothing is left ends with: the beginning of a message that is too large for
/// the client's buffer, in Kafka's numbers.
const OVERFLOW_OFFSET: i64 = -1;
const OVERFLOW_SIZE: i32 = HEADER_BYTES as i32;

/// Rewrites records in format 0 or 1, up to the first batch that has no such format. Without a
/// whole batch there is nothing; if nothing is left of whole ones, the client gets the beginning of
/// a message that is too large for its buffer, which it enlarges then.
pub fn converted(
    replicas: &ReplicaManager,
    slices: &[LogSlice],
    magic: i8,
    source: &Source,
) -> Result<Records, ErrorCode> {
    let offset = source.ask.fetch_offset;
    let mut bytes = Vec::new();
    for slice in slices {
        bytes.append(&mut slice.read().map_err(|error| {
            tracing::error!(partition = ?source.partition, %error, "the log could not be read");
            if let Some(disk) = slice.disk_error(&error) {
                replicas.send_failed(&disk);
            }
            ErrorCode::KAFKA_STORAGE_ERROR
        })?);
    }
    match down_convert(&bytes, magic, offset, &Limits::of_requests()) {
        Ok(set) if set.is_empty() && Batches::new(&bytes).next().is_some() => {
            let mut overflow = OVERFLOW_OFFSET.to_be_bytes().to_vec();
            overflow.extend_from_slice(&OVERFLOW_SIZE.to_be_bytes());
            Ok(Records::Bytes(Bytes::from(overflow)))
        }
        Ok(set) => Ok(Records::Bytes(Bytes::from(set))),
        Err(ConvertError::Zstd) => Err(ErrorCode::UNSUPPORTED_COMPRESSION_TYPE),
        // Old consumers know few codes after which they ask again.
        Err(ConvertError::Records(error)) if error.is_busy() => {
            tracing::debug!(partition = ?source.partition, %error, "records are not rewritten now");
            Err(ErrorCode::NOT_LEADER_OR_FOLLOWER)
        }
        Err(ConvertError::Records(error)) => {
            tracing::error!(partition = ?source.partition, %error, "records cannot be rewritten");
            Err(ErrorCode::CORRUPT_MESSAGE)
        }
    }
}
