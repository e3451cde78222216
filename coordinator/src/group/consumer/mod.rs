//! Groups of the new consumer protocol (KIP-848): members say what they want and have with each
//! heartbeat, and the coordinator itself divides the partitions. The pure state beside that of
//! classic groups; offsets are common to both. Knows no sockets, no wire versions and no error
//! codes; see Kafka's `GroupMetadataManager` and `ConsumerGroup`.

pub mod assignor;
mod changes;
mod classic;
mod classic_join;
pub mod config;
mod convert;
pub mod describe;
mod embedded;
pub mod group;
pub mod heartbeat;
mod leave;
pub mod load;
pub mod member;
mod offsets;
mod reconcile;
pub mod records;
pub mod topics;

use std::collections::{BTreeMap, BTreeSet};

use protocol::ids::Uuid;

pub use config::{ConsumerGroupConfig, MigrationPolicy};
pub use group::ConsumerGroup;

/// Partitions by topic id; no topic without partitions.
pub type Partitions = BTreeMap<Uuid, BTreeSet<i32>>;

/// A member that leaves says this instead of its epoch.
pub const LEAVE_EPOCH: i32 = -1;
/// A static member that will be back says this instead of its epoch, and has it meanwhile.
pub const LEAVE_STATIC_EPOCH: i32 = -2;
