//! Faults planted on purpose, to see that the simulation finds them. Only builds with debug
//! assertions have them, and there each thread has none until it plants one; elsewhere the question
//! whether one is planted is `false` when the code is compiled. Knows nothing of who asks.

/// One fault, at one place in the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planted {
    /// A leader acknowledges an acks=all append before its followers have it.
    AckBeforeIsr,
    /// The high watermark follows the leader's own log alone.
    WatermarkAlone,
    /// A consumer is served above the high watermark.
    ServeAboveWatermark,
    /// A new follower cuts its log at its high watermark, as before KIP-101.
    TruncateToWatermark,
    /// A leader does not look whether a follower's log diverges from its own.
    IgnoreDivergence,
    /// A replica may join the ISR whatever it has.
    ExpandTooEarly,
    /// The ISR shrinks in the leader's memory before the controller agrees.
    ShrinkTooEarly,
    /// A leader may come from outside the ISR.
    ElectOutsideIsr,
    /// A new leader leads in the former one's epoch.
    KeepLeaderEpoch,
    /// A batch that an idempotent producer sends again is not recognised.
    ForgetSequences,
    /// A transaction's markers go out before its end is stored.
    MarkBeforeDecision,
    /// Whoever takes a transactional id over gets the epoch of whoever had it.
    KeepProducerEpoch,
    /// A coordinator does not go on with what was decided before it was elected.
    ForgetDecisions,
    /// Readers of committed records are served what is in open transactions.
    ServeOpenTransactions,
    /// Readers of committed records are not told which transactions were aborted.
    HideAborted,
    /// A transaction begins in a partition without the coordinator's word.
    BeginUnverified,
    /// A broker that finds a log of another topic id after its start makes a new one in its place.
    ReplaceForeignLog,
}

#[cfg(debug_assertions)]
mod switch {
    use std::cell::Cell;

    use super::Planted;

    thread_local! {
        static PLANTED: Cell<Option<Planted>> = const { Cell::new(None) };
    }

    /// Whether this fault is planted in this thread.
    pub fn is(fault: Planted) -> bool {
        PLANTED.get() == Some(fault)
    }

    /// Plants a fault in this thread, in place of the one before; `None` takes it out.
    pub fn plant(fault: Option<Planted>) {
        PLANTED.set(fault);
    }
}

#[cfg(not(debug_assertions))]
mod switch {
    /// Never: a build without debug assertions has no such faults.
    #[inline(always)]
    pub const fn is(_fault: super::Planted) -> bool {
        false
    }
}

pub use switch::*;
