//! What a partition knows of its idempotent and transactional producers, and the file it is kept
//! in. Knows nothing of segments and of who asks.

pub mod producer_state;

pub(crate) mod producer_snapshot;
pub(crate) mod verification;
