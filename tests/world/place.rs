//! Names of what a run is about. Knows nothing of what happens to it.

use protocol::ids::{TopicPartition, Uuid};

/// The topic that stays.
pub const LASTING: &str = "lasting";
/// The topic that is deleted and made again.
pub const VOLATILE: &str = "volatile";
pub const PARTITIONS: i32 = 3;

/// A partition of one life of its topic.
pub type Place = (TopicPartition, Uuid);

/// Only the volatile topic has several lives; the others may lose their id and get another.
pub fn life_of(topic: &str, id: Uuid) -> Uuid {
    if topic == VOLATILE { id } else { Uuid::ZERO }
}

/// The client that wrote a value. Values are its number, then whatever it counts.
pub fn client_of(value: u64) -> u64 {
    value >> 40
}

/// Whether a value is written once, whatever happens: by a transactional producer, or an idempotent
/// one with one request on its way.
pub fn is_idempotent(value: u64) -> bool {
    (1..0xff).contains(&client_of(value))
}
