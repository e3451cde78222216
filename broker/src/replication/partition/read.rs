//! Reading a partition for one Fetch: who may, how far, from where. Knows nothing of byte budgets
//! and of waiting.

use protocol::ids::{BrokerId, LeaderEpoch, Offset, TimestampMs};
use protocol::planted::{self, Planted};
use replica::fetch_session::FetchAsk;
use replica::partition::AccessError;
use storage::{DiskError, Log, LogRead};

use super::Partition;
use crate::authorizer::{Authorized, Topic, op};
use crate::delayed::fetch::Isolation;
use crate::quota;

/// Who reads, and how far he may see.
#[derive(Debug, Clone, Copy)]
pub struct Reader {
    /// A follower's id and broker epoch.
    pub follower: Option<(BrokerId, i64)>,
    pub isolation: Isolation,
    /// Only the leader may answer.
    pub leader_only: bool,
    /// The leaders' throttle is over its limit: listed replicas outside the ISR get no records.
    pub throttled: bool,
}

/// How much one read may give.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// A negative number is an error, but where there is nothing to read.
    pub bytes: i64,
    /// The first batch is given whole, however large.
    pub at_least_one: bool,
    /// A first batch that does not fit may be given cut off, as versions 0 to 2 have it.
    pub may_cut: bool,
}

/// What a read gives. Offsets are those at the time of the read.
#[derive(Debug)]
pub struct PartitionRead {
    pub high_watermark: Offset,
    pub last_stable: Offset,
    pub log_start: Offset,
    /// Up to where this reader could see.
    pub limit: Offset,
    /// `None`: nothing to read, or no room for it.
    pub records: Option<LogRead>,
    /// Producer and first offset of each aborted transaction in `records`; `read_committed` only.
    pub aborted: Option<Vec<(i64, Offset)>>,
    /// The reader's log took another course: it ends like ours only up to this epoch and offset.
    pub diverging: Option<(LeaderEpoch, Offset)>,
    /// The reader had better ask this broker.
    pub preferred: Option<BrokerId>,
}

impl PartitionRead {
    /// Bytes of the records.
    pub fn len(&self) -> u64 {
        self.records.as_ref().map_or(0, |records| records.len)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Why a partition gives no records or offsets.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The request names another topic id than the log has.
    #[error("the log has another topic id")]
    InconsistentTopicId,
    #[error("the offset is out of range")]
    OffsetOutOfRange,
    #[error("a negative number of bytes may be read")]
    NegativeSize,
    /// The leader's watermark has not reached the start of its epoch yet.
    #[error("the high watermark lags behind the leader epoch's start")]
    OffsetNotAvailable,
    #[error("the log cannot be read: {0}")]
    Corrupt(String),
    /// The file, rather than what is in it: `ReplicaManager::read_failed` judges it.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl From<storage::ReadError> for ReadError {
    fn from(error: storage::ReadError) -> Self {
        match error {
            storage::ReadError::OffsetOutOfRange { .. } => ReadError::OffsetOutOfRange,
            storage::ReadError::Disk(error) => ReadError::Disk(error),
            corrupt @ storage::ReadError::Corrupt { .. } => ReadError::Corrupt(corrupt.to_string()),
        }
    }
}

impl Partition {
    /// Reads for a Fetch. `note_follower` takes down a follower's position; looking again for the
    /// same request does not.
    pub fn read(
        &self,
        authorized: &Authorized<'_, op::Read, Topic>,
        ask: &FetchAsk,
        reader: &Reader,
        room: &Room,
        note_follower: bool,
        now_ms: TimestampMs,
    ) -> Result<PartitionRead, ReadError> {
        self.check(authorized);
        let mut result = self.read_now(ask, reader, room);
        if let (Ok(read), Some(follower)) = (&result, reader.follower)
            && note_follower
            && read.diverging.is_none()
            && let Err(error) = self.follower_fetched(follower, ask, read.limit, now_ms)
        {
            result = Err(error.into());
        }
        if let Err(error) = &result {
            if let ReadError::Corrupt(_) | ReadError::Disk(_) = error {
                tracing::error!(partition = ?self, %error, "a fetch could not read the log");
            }
            self.around.metrics.fetch_failed();
        }
        result
    }

    /// Whether a throttle may hold back this follower's copy.
    fn may_wait(&self, follower: BrokerId) -> bool {
        let in_sync = self.with_state(|state| state.isr().contains(follower));
        !in_sync && self.is_throttled(quota::LEADER_REPLICAS)
    }

    /// Whether the topic's list of that name has this partition as it is at this broker.
    pub fn is_throttled(&self, list: &str) -> bool {
        let list = self.around.cluster.throttled_replicas(&self.topic, list);
        list.is_some_and(|list| quota::is_listed(&list, self.index, self.local))
    }

    fn read_now(
        &self,
        ask: &FetchAsk,
        reader: &Reader,
        room: &Room,
    ) -> Result<PartitionRead, ReadError> {
        let log = {
            let inner = self.inner.read();
            inner.state.check_access(ask.current_leader_epoch, reader.leader_only)?;
            if let Some((replica, _)) = reader.follower {
                inner.state.check_follower(replica, ask.current_leader_epoch)?;
            }
            inner.log.clone().ok_or(AccessError::NotLeader)?
        };
        let mut read = limits(&log, self.high_watermark(), reader.isolation);
        if ask.last_fetched_epoch >= 0 && !planted::is(Planted::IgnoreDivergence) {
            read.diverging = diverging(&log, ask, read.log_start)?;
            if read.diverging.is_some() {
                return Ok(read);
            }
        }
        let bytes = u64::try_from(room.bytes);
        let at_least_one = room.at_least_one && bytes.is_ok();
        let found = log.read(ask.fetch_offset, bytes.unwrap_or(0), read.limit, at_least_one)?;
        if bytes.is_err() && ask.fetch_offset < read.limit {
            return Err(ReadError::NegativeSize);
        }
        if found.len == 0 || (found.first_incomplete && !room.may_cut) {
            return Ok(read);
        }
        if reader.throttled && reader.follower.is_some_and(|(id, _)| self.may_wait(id)) {
            return Ok(read);
        }
        if let Some(aborted) = &mut read.aborted
            && !planted::is(Planted::HideAborted)
        {
            let found = log.aborted_transactions(ask.fetch_offset, &found)?;
            aborted.extend(found.iter().map(|txn| (txn.producer_id, txn.first_offset)));
        }
        read.records = Some(found);
        Ok(read)
    }
}

/// A read without records: only where the log stands.
pub(super) fn limits(log: &Log, high_watermark: Offset, isolation: Isolation) -> PartitionRead {
    let last_stable = log.last_stable_offset(high_watermark);
    PartitionRead {
        high_watermark,
        last_stable,
        log_start: log.log_start_offset(),
        limit: match isolation {
            Isolation::LogEnd => log.log_end_offset(),
            Isolation::HighWatermark if planted::is(Planted::ServeAboveWatermark) => {
                log.log_end_offset()
            }
            Isolation::HighWatermark => high_watermark,
            Isolation::LastStable if planted::is(Planted::ServeOpenTransactions) => high_watermark,
            Isolation::LastStable => last_stable,
        },
        records: None,
        aborted: (isolation == Isolation::LastStable).then(Vec::new),
        diverging: None,
        preferred: None,
    }
}

/// Compares where the reader's last batch came from with our leader epochs (KIP-595).
fn diverging(
    log: &Log,
    ask: &FetchAsk,
    log_start: Offset,
) -> Result<Option<(LeaderEpoch, Offset)>, ReadError> {
    let (epoch, end) = log.end_offset_for_epoch(ask.last_fetched_epoch);
    if epoch < 0 || end < 0 || ask.fetch_offset < log_start {
        return Err(ReadError::OffsetOutOfRange);
    }
    let diverges = epoch < ask.last_fetched_epoch || end < ask.fetch_offset;
    Ok(diverges.then_some((epoch, end)))
}
