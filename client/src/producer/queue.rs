//! What waits for one partition: an open batch that records are added to, and closed ones in the
//! order in which they must arrive. Pure; knows nothing of leaders and requests.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use protocol::ids::{ProducerEpoch, ProducerId, TimestampMs};
use protocol::records::batch;
use protocol::records::builder::{BatchBuilder, BatchOptions, BuildError};
use protocol::records::codec::Codec;
use protocol::records::record::Header;
use tokio::time::Instant;

/// What batches are made of.
#[derive(Debug, Clone, Copy)]
pub struct Format {
    pub codec: Codec,
    pub transactional: bool,
    /// A batch of so many bytes takes no more records.
    pub batch_bytes: usize,
}

/// A batch that takes no more records.
#[derive(Debug)]
pub struct Batch<T> {
    /// Tells it from other batches of this producer.
    pub number: u64,
    pub bytes: Bytes,
    /// One of each record, for its sender.
    pub tokens: Vec<T>,
    /// Its records' place among the producer's, once given.
    pub sequence: Option<i32>,
    pub since: Instant,
    /// When it is on its way: none. Else not before that.
    pub not_before: Option<Instant>,
    pub tries: u32,
}

struct Open<T> {
    builder: BatchBuilder,
    tokens: Vec<T>,
    since: Instant,
}

pub struct Queue<T> {
    format: Format,
    open: Option<Open<T>>,
    closed: VecDeque<Batch<T>>,
    sequence: i32,
}

impl<T> Queue<T> {
    pub fn new(format: Format) -> Queue<T> {
        Queue { format, open: None, closed: VecDeque::new(), sequence: 0 }
    }

    pub fn is_empty(&self) -> bool {
        self.open.is_none() && self.closed.is_empty()
    }

    /// Adds a record; true if the open batch is full with it.
    pub fn add(
        &mut self,
        now: Instant,
        timestamp: TimestampMs,
        (key, value): (Option<&[u8]>, Option<&[u8]>),
        headers: &[Header<'_>],
        token: T,
    ) -> Result<bool, (BuildError, T)> {
        let Format { codec, transactional, batch_bytes } = self.format;
        let open = self.open.get_or_insert_with(|| {
            let options = BatchOptions { codec, transactional, ..Default::default() };
            Open { builder: BatchBuilder::new(options), tokens: Vec::new(), since: now }
        });
        if let Err(error) = open.builder.append(timestamp, key, value, headers) {
            return Err((error, token));
        }
        open.tokens.push(token);
        Ok(open.builder.size() >= batch_bytes)
    }

    /// Lets the open batch take no more records. An error gives its records back.
    pub fn close(&mut self, number: u64, now: Instant) -> Result<(), (BuildError, Vec<T>)> {
        let Some(Open { builder, tokens, since }) = self.open.take() else { return Ok(()) };
        match builder.finish() {
            Ok(bytes) => {
                let bytes = Bytes::from(bytes);
                let not_before = Some(now);
                let batch =
                    Batch { number, bytes, tokens, sequence: None, since, not_before, tries: 0 };
                self.closed.push_back(batch);
                Ok(())
            }
            Err(error) => Err((error, tokens)),
        }
    }

    /// When there is something to send next: the first closed batch that is not on its way, if
    /// none before it is being tried again, else the open one, `linger` after its first record.
    pub fn due(&self, linger: Duration) -> Option<Instant> {
        for batch in &self.closed {
            match batch.not_before {
                None if batch.tries > 0 => return None,
                None => {}
                // Tried again, it goes alone: what follows it may not overtake it.
                Some(_) if batch.tries > 0 && batch.number != self.closed[0].number => return None,
                Some(at) => return Some(at),
            }
        }
        self.open.as_ref().map(|open| open.since + linger)
    }

    pub fn has_closed_waiting(&self) -> bool {
        self.closed.iter().any(|batch| batch.not_before.is_some())
    }

    /// The first closed batch that is not on its way; it is from now on. With an identity it gets
    /// its sequence, once and for all.
    pub fn take(&mut self, identity: Option<(ProducerId, ProducerEpoch)>) -> Option<(u64, Bytes)> {
        let batch = self.closed.iter_mut().find(|batch| batch.not_before.is_some())?;
        batch.not_before = None;
        if let (Some((id, epoch)), None) = (identity, batch.sequence) {
            batch.sequence = Some(self.sequence);
            let mut bytes = Vec::from(std::mem::take(&mut batch.bytes));
            batch::set_producer(&mut bytes, id, epoch, self.sequence);
            batch.bytes = Bytes::from(bytes);
            let next = i64::from(self.sequence) + batch.tokens.len() as i64;
            self.sequence = next.rem_euclid(1 << 31) as i32;
        }
        Some((batch.number, batch.bytes.clone()))
    }

    /// Whether this batch is the oldest that is not answered.
    pub fn is_first(&self, number: u64) -> bool {
        self.closed.front().is_some_and(|batch| batch.number == number)
    }

    /// Takes a batch out: it was answered, for good or ill.
    pub fn remove(&mut self, number: u64) -> Option<Batch<T>> {
        let at = self.closed.iter().position(|batch| batch.number == number)?;
        self.closed.remove(at)
    }

    /// Lets a batch wait to be tried again, if that was not done `retries` times already.
    pub fn retry(&mut self, number: u64, at: Instant, retries: u32) -> bool {
        let found = self.closed.iter_mut().find(|batch| batch.number == number);
        let Some(batch) = found.filter(|batch| batch.tries < retries) else { return false };
        batch.tries += 1;
        batch.not_before = Some(at);
        true
    }

    /// Takes out what waits since before `limit` and is not on its way.
    pub fn expire(&mut self, limit: Instant) -> Vec<T> {
        let mut expired = Vec::new();
        let old = |batch: &Batch<T>| batch.not_before.is_some() && batch.since < limit;
        while let Some(at) = self.closed.iter().position(old) {
            expired.extend(self.closed.remove(at).into_iter().flat_map(|batch| batch.tokens));
        }
        if let Some(open) = self.open.take_if(|open| open.since < limit) {
            expired.extend(open.tokens);
        }
        expired
    }

    /// Begins with sequence 0 again, under another identity. Nothing may be on its way.
    pub fn restart(&mut self) {
        self.sequence = 0;
        self.closed.iter_mut().for_each(|batch| batch.sequence = None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMAT: Format = Format { codec: Codec::None, transactional: false, batch_bytes: 100 };
    const NO_LINGER: Duration = Duration::ZERO;

    fn filled(batches: u64, now: Instant) -> Queue<u64> {
        let mut queue = Queue::new(FORMAT);
        for number in 0..batches {
            queue.add(now, 0, (None, Some(b"value")), &[], number).unwrap();
            queue.close(number, now).unwrap();
        }
        queue
    }

    #[test]
    fn an_open_batch_waits_for_linger_or_until_it_is_full() {
        let now = Instant::now();
        let mut queue = Queue::new(FORMAT);
        assert_eq!(queue.add(now, 0, (None, Some(b"value")), &[], 1), Ok(false));
        assert_eq!(queue.due(Duration::from_secs(1)), Some(now + Duration::from_secs(1)));
        assert_eq!(queue.add(now, 0, (None, Some(&[7; 60])), &[], 2), Ok(true));
    }

    #[test]
    fn sequences_go_on_and_begin_again_with_another_identity() {
        let now = Instant::now();
        let mut queue = filled(2, now);
        let of = |taken: Option<(u64, Bytes)>| {
            let header = batch::verify(&taken.unwrap().1).unwrap();
            (header.producer_id, header.base_sequence)
        };
        assert_eq!(of(queue.take(Some((7, 0)))), (7, 0));
        assert_eq!(of(queue.take(Some((7, 0)))), (7, 1));
        assert!(queue.retry(0, now, 9) && queue.retry(1, now, 9));
        assert_eq!(of(queue.take(Some((7, 0)))), (7, 0), "a retry keeps its sequence");
        assert!(queue.retry(0, now, 9));
        queue.restart();
        assert_eq!(of(queue.take(Some((8, 0)))), (8, 0));
    }

    #[test]
    fn nothing_overtakes_a_batch_that_is_tried_again() {
        let now = Instant::now();
        let mut queue = filled(2, now);
        queue.take(None);
        assert_eq!(queue.due(NO_LINGER), Some(now), "the second may follow the first");
        let later = now + Duration::from_secs(1);
        assert!(queue.retry(0, later, 1));
        assert_eq!(queue.due(NO_LINGER), Some(later));
        queue.take(None);
        assert_eq!(queue.due(NO_LINGER), None);
        assert!(!queue.retry(0, later, 1), "it was tried again already");
        assert_eq!(queue.remove(0).unwrap().tokens, [0]);
        assert_eq!(queue.due(NO_LINGER), Some(now));
        assert_eq!(queue.expire(later), [1]);
        assert!(queue.is_empty());
    }
}
