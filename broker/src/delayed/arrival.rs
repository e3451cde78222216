//! When records that a fetch was waiting for reached the broker, so that whoever hands them on can
//! tell how long they stayed. Knows nothing of logs and of clocks.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use protocol::ids::Offset;

const NOTHING: Offset = -1;

/// The newest arrival of one partition. Two that come at once may be taken for one.
#[derive(Debug)]
pub struct Arrival {
    /// Its records begin here or behind.
    offset: AtomicI64,
    /// The bits of an `f64`.
    at_ms: AtomicU64,
}

impl Default for Arrival {
    fn default() -> Self {
        Arrival { offset: AtomicI64::new(NOTHING), at_ms: AtomicU64::new(0) }
    }
}

impl Arrival {
    /// Notes that records which will be at `offset` or behind have arrived.
    pub fn note(&self, offset: Offset, at_ms: f64) {
        self.offset.store(NOTHING, Ordering::Release);
        self.at_ms.store(at_ms.to_bits(), Ordering::Release);
        self.offset.store(offset, Ordering::Release);
    }

    /// When what begins in `from..to` arrived, if the newest arrival does.
    pub fn within(&self, from: Offset, to: Offset) -> Option<f64> {
        let offset = self.offset.load(Ordering::Acquire);
        let at_ms = f64::from_bits(self.at_ms.load(Ordering::Acquire));
        let same = self.offset.load(Ordering::Acquire) == offset;
        (same && offset != NOTHING && (from..to).contains(&offset)).then_some(at_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_arrival_is_known_and_only_to_who_reads_it() {
        let arrival = Arrival::default();
        assert_eq!(arrival.within(0, 100), None);
        arrival.note(5, 1.25);
        assert_eq!(arrival.within(0, 100), Some(1.25));
        assert_eq!(arrival.within(5, 6), Some(1.25));
        assert_eq!(arrival.within(6, 100), None, "it was read before");
        assert_eq!(arrival.within(0, 5), None, "it is not readable yet");
        arrival.note(6, 2.5);
        assert_eq!(arrival.within(0, 6), None);
        assert_eq!(arrival.within(0, 7), Some(2.5));
    }
}
