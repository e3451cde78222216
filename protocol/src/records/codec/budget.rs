//! How many decompressed bytes all requests together may hold. Knows nothing of who holds them.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts bytes; who needs more than is left is refused, never made to wait.
#[derive(Debug)]
pub struct Budget {
    bytes_max: AtomicUsize,
    taken: AtomicUsize,
}

/// Of whatever requests hold; see [`Limits::of_requests`](super::Limits::of_requests).
pub static REQUESTS: Budget = Budget::new(1 << 30);

impl Budget {
    pub const fn new(bytes_max: usize) -> Budget {
        Budget { bytes_max: AtomicUsize::new(bytes_max), taken: AtomicUsize::new(0) }
    }

    /// What is held already stays held.
    pub fn set_max(&self, bytes_max: usize) {
        self.bytes_max.store(bytes_max, Ordering::Relaxed);
    }

    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

/// There is one of each.
impl PartialEq for Budget {
    fn eq(&self, other: &Budget) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for Budget {}

/// What one holder has of a budget; given back when it is dropped.
#[derive(Debug)]
pub struct Share {
    budget: Option<&'static Budget>,
    bytes: usize,
}

impl Share {
    /// Nothing yet; without a budget it may grow as it likes.
    pub fn of(budget: Option<&'static Budget>) -> Share {
        Share { budget, bytes: 0 }
    }

    /// `false`, and nothing taken, if others hold too much. Who is alone always gets it, so that
    /// everything is served in the end.
    #[must_use]
    pub fn grow_to(&mut self, bytes: usize) -> bool {
        let Some(budget) = self.budget else { return true };
        let more = bytes.saturating_sub(self.bytes);
        let before = budget.taken.fetch_add(more, Ordering::Relaxed);
        let fits = before.saturating_add(more) <= budget.bytes_max.load(Ordering::Relaxed);
        if !fits && before != self.bytes {
            budget.taken.fetch_sub(more, Ordering::Relaxed);
            return false;
        }
        self.bytes += more;
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if let Some(budget) = self.budget {
            budget.taken.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_alone_is_served_and_others_share_what_is_left() {
        static BUDGET: Budget = Budget::new(100);
        let share = || Share::of(Some(&BUDGET));
        let (mut one, mut other) = (share(), share());
        assert!(one.grow_to(150), "alone");
        assert!(!other.grow_to(1));
        assert!(one.grow_to(40), "less is no more");
        drop(one);
        assert_eq!(BUDGET.taken(), 0);
        let mut one = share();
        assert!(one.grow_to(60) && other.grow_to(40) && !one.grow_to(61) && !other.grow_to(41));
        BUDGET.set_max(120);
        assert!(one.grow_to(80) && !other.grow_to(41));
        drop((one, other));
        assert_eq!(BUDGET.taken(), 0);
        assert!(Share::of(None).grow_to(usize::MAX));
    }
}
