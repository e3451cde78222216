//! How much memory requests may take, over all connections, and the read buffers that go round.
//! Knows nothing of sockets.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::BytesMut;
use parking_lot::Mutex;
use tokio::sync::oneshot;

/// A number of bytes that all connections share (`queued.max.request.bytes`, or else
/// `ottla.request.memory.bytes`, 256 MiB). Who needs more than is left waits, in order.
#[derive(Debug)]
pub struct MemoryPool {
    capacity: usize,
    state: Mutex<State>,
    /// Read buffers that nobody uses at the moment, at most `SPARE_BYTES_MAX` together.
    spare: Mutex<Spare>,
}

#[derive(Debug)]
struct State {
    /// Below zero after `settle` took what an allocation needed beyond its request.
    available: i64,
    waiters: VecDeque<Waiter>,
    overdraft_taken: bool,
}

#[derive(Debug)]
struct Waiter {
    bytes: usize,
    /// May go beyond the pool when its turn comes, if nobody else does.
    must_finish: bool,
    grant: oneshot::Sender<Lease>,
}

#[derive(Debug, Default)]
struct Spare {
    buffers: Vec<BytesMut>,
    bytes: usize,
}

/// Room for idle buffers over all connections.
const SPARE_BYTES_MAX: usize = 8 << 20;

/// Bytes taken from the pool; given back when dropped.
#[derive(Debug)]
pub struct Lease {
    pool: Arc<MemoryPool>,
    bytes: usize,
    overdraft: bool,
}

impl MemoryPool {
    pub fn new(capacity: usize) -> Arc<MemoryPool> {
        let available = i64::try_from(capacity).unwrap_or(i64::MAX);
        Arc::new(MemoryPool {
            capacity,
            state: Mutex::new(State {
                available,
                waiters: VecDeque::new(),
                overdraft_taken: false,
            }),
            spare: Mutex::new(Spare::default()),
        })
    }

    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Bytes taken at the moment; may be a little more than the capacity.
    pub fn used(&self) -> usize {
        let available = self.state.lock().available;
        usize::try_from(self.capacity as i64 - available).unwrap_or(0)
    }

    /// Nothing is left.
    pub fn is_used_up(&self) -> bool {
        self.state.lock().available <= 0
    }

    /// A lease of nothing, to grow later.
    pub fn empty_lease(self: &Arc<Self>) -> Lease {
        Lease { pool: self.clone(), bytes: 0, overdraft: false }
    }

    /// Takes `bytes` at once if nobody waits and so much is left.
    pub fn try_lease(self: &Arc<Self>, bytes: usize) -> Option<Lease> {
        let mut state = self.state.lock();
        if !state.waiters.is_empty() || state.available < bytes as i64 {
            return None;
        }
        state.available -= bytes as i64;
        Some(Lease { pool: self.clone(), bytes, overdraft: false })
    }

    /// Waits for `bytes`. A connection that has read part of a frame must finish it to free what it
    /// holds: one such at a time may go beyond the pool, so that partial frames never block each
    /// other for ever.
    pub async fn lease(self: &Arc<Self>, bytes: usize, must_finish: bool) -> Lease {
        if let Some(lease) = self.try_lease(bytes) {
            return lease;
        }
        let (grant, granted) = oneshot::channel();
        self.state.lock().waiters.push_back(Waiter { bytes, must_finish, grant });
        self.grant_waiters();
        granted.await.expect("a waiter is only removed when it is granted")
    }

    fn give(self: &Arc<Self>, bytes: usize, overdraft: bool) {
        {
            let mut state = self.state.lock();
            state.available += bytes as i64;
            state.overdraft_taken &= !overdraft;
        }
        self.grant_waiters();
    }

    fn grant_waiters(self: &Arc<Self>) {
        loop {
            // Sent outside of the lock: a receiver that is gone drops the lease, which locks again.
            let (waiter, lease) = {
                let mut state = self.state.lock();
                state.waiters.retain(|waiter| !waiter.grant.is_closed());
                let Some(front) = state.waiters.front() else { return };
                if state.available >= front.bytes as i64 {
                    let waiter = state.waiters.pop_front().expect("there is a front");
                    let lease = Lease { pool: self.clone(), bytes: waiter.bytes, overdraft: false };
                    state.available -= waiter.bytes as i64;
                    (waiter, lease)
                } else if !state.overdraft_taken {
                    let next = state.waiters.iter().position(|waiter| waiter.must_finish);
                    let Some(next) = next else { return };
                    let waiter = state.waiters.remove(next).expect("it was just found");
                    state.overdraft_taken = true;
                    state.available -= waiter.bytes as i64;
                    let lease = Lease { pool: self.clone(), bytes: waiter.bytes, overdraft: true };
                    (waiter, lease)
                } else {
                    return;
                }
            };
            let _ = waiter.grant.send(lease);
        }
    }

    /// A buffer to read into, and the lease that pays for it. `None`: nothing spare, allocate.
    pub fn take_spare(self: &Arc<Self>) -> Option<(BytesMut, Lease)> {
        let buffer = {
            let mut spare = self.spare.lock();
            let buffer = spare.buffers.pop()?;
            spare.bytes -= buffer.capacity();
            buffer
        };
        let lease = self.try_lease(buffer.capacity())?;
        Some((buffer, lease))
    }

    /// Keeps an emptied buffer for another connection, if there is room and nobody refers to it.
    /// `allocated`: the room that it has when it is whole.
    pub fn put_spare(&self, mut buffer: BytesMut, allocated: usize) {
        buffer.clear();
        if !buffer.try_reclaim(allocated) {
            return;
        }
        let mut spare = self.spare.lock();
        if spare.bytes + buffer.capacity() <= SPARE_BYTES_MAX {
            spare.bytes += buffer.capacity();
            spare.buffers.push(buffer);
        }
    }
}

impl Lease {
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes `bytes` more without waiting, if this lease is the one that may go beyond the pool.
    pub fn extend_overdraft(&mut self, bytes: usize) -> bool {
        if self.overdraft {
            self.settle(self.bytes + bytes);
        }
        self.overdraft
    }

    /// Takes over what `other` holds.
    pub fn merge(&mut self, mut other: Lease) {
        self.bytes += std::mem::take(&mut other.bytes);
        self.overdraft |= std::mem::take(&mut other.overdraft);
    }

    /// Moves `bytes` (at most what it holds) into a lease of their own.
    pub fn split(&mut self, bytes: usize) -> Lease {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Lease { pool: self.pool.clone(), bytes, overdraft: false }
    }

    /// The frame that the overdraft was for is complete: another may use it.
    pub fn end_overdraft(&mut self) {
        if std::mem::take(&mut self.overdraft) {
            self.pool.give(0, true);
        }
    }

    /// Makes it hold exactly `bytes`: what an allocation really took, without waiting.
    pub fn settle(&mut self, bytes: usize) {
        if bytes > self.bytes {
            self.pool.state.lock().available -= (bytes - self.bytes) as i64;
            self.bytes = bytes;
        } else if bytes < self.bytes {
            let back = self.bytes - bytes;
            self.bytes = bytes;
            self.pool.give(back, false);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.bytes > 0 || self.overdraft {
            self.pool.give(self.bytes, self.overdraft);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn what_is_taken_comes_back_and_waiters_go_in_order() {
        let pool = MemoryPool::new(100);
        let first = pool.try_lease(80).expect("all is free");
        let mut large = Box::pin(pool.lease(60, false));
        let mut small = Box::pin(pool.lease(10, false));
        assert!(large.as_mut().now_or_never().is_none());
        assert!(small.as_mut().now_or_never().is_none(), "the larger one is before it");
        assert!(pool.try_lease(5).is_none(), "nobody overtakes the waiters");
        drop(first);
        let large = large.now_or_never().expect("there is room");
        let small = small.now_or_never().expect("and for this");
        assert_eq!(pool.used(), 70);
        drop((large, small));
        assert_eq!(pool.used(), 0);
    }

    #[test]
    fn a_waiter_that_is_gone_keeps_nothing() {
        let pool = MemoryPool::new(10);
        let all = pool.try_lease(10).expect("all is free");
        let mut gone = Box::pin(pool.lease(10, false));
        assert!(gone.as_mut().now_or_never().is_none());
        let mut next = Box::pin(pool.lease(10, false));
        assert!(next.as_mut().now_or_never().is_none());
        drop(gone);
        drop(all);
        assert!(next.now_or_never().is_some());
        assert_eq!(pool.used(), 0);
    }

    #[test]
    fn one_partial_frame_at_a_time_may_go_beyond() {
        let pool = MemoryPool::new(10);
        let mut first = pool.try_lease(5).expect("free");
        let second = pool.try_lease(5).expect("free");
        let more = pool.lease(20, true).now_or_never().expect("the overdraft is free");
        first.merge(more);
        let mut other = Box::pin(pool.lease(20, true));
        assert!(other.as_mut().now_or_never().is_none(), "one at a time");
        assert!(first.extend_overdraft(10), "it goes on until its frame is complete");
        let frame = first.split(35);
        first.end_overdraft();
        assert!(!first.extend_overdraft(1));
        assert!(other.as_mut().now_or_never().is_some());
        drop((frame, first, second, other));
        assert_eq!(pool.used(), 0);
    }

    #[test]
    fn spare_buffers_are_bounded_and_paid_for() {
        let pool = MemoryPool::new(1 << 20);
        pool.put_spare(BytesMut::with_capacity(64 << 10), 1024);
        let (buffer, lease) = pool.take_spare().expect("one is there");
        assert!(buffer.capacity() >= 64 << 10);
        assert_eq!(lease.bytes(), buffer.capacity());
        pool.put_spare(BytesMut::with_capacity(SPARE_BYTES_MAX + 1), 1024);
        assert!(pool.take_spare().is_none());
        let mut shared = BytesMut::with_capacity(4096);
        shared.extend_from_slice(&[1; 2048]);
        let kept = shared.split_to(2048).freeze();
        pool.put_spare(shared, 4096);
        assert!(pool.take_spare().is_none(), "someone still reads {} bytes", kept.len());
        let mut used_up = BytesMut::with_capacity(4096);
        used_up.resize(4096, 1);
        drop(used_up.split_to(4096).freeze());
        assert_eq!(used_up.capacity(), 0);
        pool.put_spare(used_up, 4096);
        let (whole, _lease) = pool.take_spare().expect("one is there");
        assert!(whole.capacity() >= 4096, "{}", whole.capacity());
    }
}
