//! What the broker's configuration says about transactions. Knows nothing of files or keys.

/// Settings of the transaction coordinator; the defaults are Kafka's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionConfig {
    /// `transaction.max.timeout.ms`
    pub max_timeout_ms: i32,
    /// `transaction.abort.timed.out.transaction.cleanup.interval.ms`
    pub abort_interval_ms: i64,
    /// `transactional.id.expiration.ms`
    pub id_expiration_ms: i64,
    /// `transaction.remove.expired.transaction.cleanup.interval.ms`
    pub expiration_interval_ms: i64,
    /// Transactional ids one partition may hold; more are refused, so that a client inventing ids
    /// cannot fill memory. Kafka has no such bound.
    pub ids_max: usize,
}

impl Default for TransactionConfig {
    fn default() -> Self {
        Self {
            max_timeout_ms: 900_000,
            abort_interval_ms: 10_000,
            id_expiration_ms: 7 * 24 * 3_600 * 1_000,
            expiration_interval_ms: 3_600_000,
            ids_max: 1_000_000,
        }
    }
}

/// Tombstones in one batch: about 16 KiB of short ids, as Kafka fills its batches.
pub const TOMBSTONES_MAX: usize = 256;

/// How long partitions wait to be added while the transaction before is being ended, before their
/// producer is told to come again.
pub const ADD_WAIT_MS: i64 = 100;

/// Pause before the end of a transaction whose markers are all written is logged again.
pub const COMPLETE_RETRY_MS: i64 = 100;
