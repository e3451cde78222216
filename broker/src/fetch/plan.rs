//! Reading for one Fetch: shares its byte budget among the partitions in their order, and waits
//! until there is enough. Knows nothing of messages, sessions or sockets.

use std::sync::Arc;
use std::time::Duration;

use protocol::ids::TimestampMs;
use replica::fetch_session::FetchAsk;

use crate::authorizer::{Authorized, Topic, op};
use crate::clock::Clock;
use crate::delayed::fetch::{FetchWait, Seat};
use crate::fetch::preferred::Nearby;
use crate::replication::partition::{Partition, PartitionRead, ReadError, Reader, Room};

/// How one Fetch reads.
#[derive(Debug, Clone)]
pub struct FetchParams {
    pub reader: Reader,
    /// A consumer that may be sent to a replica near it.
    pub nearby: Option<Nearby>,
    /// 0 to 2³¹ − 1.
    pub min_bytes: u64,
    /// For all partitions together; a negative one is an error of the first that has something.
    pub max_bytes: i64,
    /// Versions 0 to 2: the limits hold even for the first batch.
    pub hard_limit: bool,
    /// 0 or less: answer at once.
    pub max_wait_ms: i32,
}

/// A partition to read and what is asked of it.
#[derive(Debug, Clone)]
pub struct Source {
    pub authorized: Authorized<'static, op::Read, Topic>,
    pub partition: Arc<Partition>,
    pub ask: FetchAsk,
}

impl Source {
    /// Whether reading it needs nothing that may be on disk only.
    pub fn is_at_tail(&self) -> bool {
        self.partition.log().is_none_or(|log| log.is_at_tail(self.ask.fetch_offset))
    }
}

/// What one look at all partitions gave, in their order.
#[derive(Debug)]
pub struct Plan {
    pub reads: Vec<Result<PartitionRead, ReadError>>,
    bytes: u64,
    /// An error, a diverging log or a better place is told without waiting.
    urgent: bool,
}

impl Plan {
    /// Whether this may be answered before the time is over.
    pub fn is_enough(&self, params: &FetchParams) -> bool {
        self.urgent || self.bytes >= params.min_bytes
    }

    /// When the first of the records in it arrived that were waited for.
    pub fn arrived_ms(&self, sources: &[Source], params: &FetchParams) -> Option<f64> {
        if params.reader.follower.is_some() {
            return None;
        }
        let arrivals = sources.iter().zip(&self.reads).filter_map(|(source, read)| {
            let read = read.as_ref().ok().filter(|read| !read.is_empty())?;
            source.partition.arrival().within(source.ask.fetch_offset, read.limit)
        });
        arrivals.min_by(f64::total_cmp)
    }

    fn missing(&self, params: &FetchParams) -> i64 {
        i64::try_from(params.min_bytes.saturating_sub(self.bytes)).unwrap_or(i64::MAX)
    }
}

/// Reads every source once. `first` notes a follower's position; looking again does not.
///
/// Until something was found one batch may exceed every limit, so that no batch is too large to be
/// fetched. Partitions behind the end of the budget are still asked for errors and watermarks.
pub fn look(sources: &[Source], params: &FetchParams, first: bool, now_ms: TimestampMs) -> Plan {
    let mut plan = Plan { reads: Vec::with_capacity(sources.len()), bytes: 0, urgent: false };
    let mut at_least_one = !params.hard_limit;
    let mut left = params.max_bytes;
    for Source { authorized, partition, ask } in sources {
        let room = Room {
            bytes: i64::from(ask.max_bytes).min(left),
            at_least_one,
            may_cut: params.hard_limit,
        };
        let nearby = params.nearby.as_ref();
        let redirected = nearby
            .and_then(|nearby| partition.redirect(ask, params.reader.isolation, nearby, now_ms));
        let read = redirected.unwrap_or_else(|| {
            partition.read(authorized, ask, &params.reader, &room, first, now_ms)
        });
        match &read {
            Ok(read) => {
                plan.bytes += read.len();
                left = left.saturating_sub_unsigned(read.len()).max(0);
                at_least_one &= read.is_empty();
                plan.urgent |= read.diverging.is_some() || read.preferred.is_some();
            }
            Err(_) => plan.urgent = true,
        }
        plan.reads.push(read);
    }
    plan
}

/// The seats of a waiting fetch; leaves all of them when it is dropped.
struct Seats<'a> {
    taken: Vec<(&'a Partition, Seat)>,
}

impl Drop for Seats<'_> {
    fn drop(&mut self) {
        for (partition, seat) in &self.taken {
            partition.fetch_waiters().leave(*seat);
        }
    }
}

/// Waits after `first` until there is enough or the time is over, and gives the last look.
pub async fn wait(sources: &[Source], params: &FetchParams, first: Plan, clock: &Clock) -> Plan {
    let patience = Duration::from_millis(u64::try_from(params.max_wait_ms).unwrap_or(0));
    let timer = tokio::time::sleep(patience);
    tokio::pin!(timer);
    let wait = FetchWait::new(first.missing(params));
    let isolation = params.reader.isolation;
    let mut seats = Seats { taken: Vec::with_capacity(sources.len()) };
    for (source, read) in sources.iter().zip(&first.reads) {
        let seat = source.partition.fetch_waiters().enter(&wait, isolation);
        seats.taken.push((&source.partition, seat));
        // What moved between the look and this entry woke nobody.
        let seen = read.as_ref().map_or(-1, |read| read.limit);
        if source.partition.limit(isolation) != seen {
            wait.wake();
        }
    }
    drop(first);
    loop {
        let in_time = tokio::select! {
            biased;
            () = wait.woken() => true,
            () = &mut timer => false,
        };
        wait.rearm(1);
        let plan = look(sources, params, false, clock.now_ms());
        if !in_time || plan.is_enough(params) {
            return plan;
        }
        wait.rearm(plan.missing(params));
    }
}
