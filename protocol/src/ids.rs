//! The few identifiers that every crate shares. Knows nothing of messages, files or sockets.

use std::fmt;

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::display::Base64Display;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};

/// A broker's id; −1 stands for "none".
pub type BrokerId = i32;
/// A record's position in its partition; −1 stands for "unknown".
pub type Offset = i64;
/// A partition leader's epoch; −1 stands for "unknown".
pub type LeaderEpoch = i32;
/// An idempotent producer's id; −1 stands for "none".
pub type ProducerId = i64;
/// An idempotent producer's epoch; −1 stands for "none".
pub type ProducerEpoch = i16;
/// Milliseconds since the Unix epoch; −1 stands for "none".
pub type TimestampMs = i64;

/// Names one question that a partition's leader asks the transaction coordinator about a producer
/// (KIP-890): the answer counts only while the question is the producer's latest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VerificationGuard(u64);

impl VerificationGuard {
    /// Nothing was asked: good for a transaction that is open already.
    pub const NONE: VerificationGuard = VerificationGuard(0);

    /// `number` from 1 on, each given once.
    pub fn new(number: u64) -> VerificationGuard {
        VerificationGuard(number)
    }
}

/// One partition of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    pub topic: String,
    pub partition: i32,
}

impl TopicPartition {
    pub fn new(topic: impl Into<String>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// Kafka's reader takes any bits behind the 128 that count.
const UUID_TEXT: GeneralPurpose =
    GeneralPurpose::new(&URL_SAFE, NO_PAD.with_decode_allow_trailing_bits(true));

/// 16 bytes; shown and parsed as Kafka does, URL-safe base64 without padding (22 characters).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Uuid(pub [u8; 16]);

impl Uuid {
    /// "No id".
    pub const ZERO: Uuid = Uuid([0; 16]);

    pub fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }

    /// The 22 characters that Kafka prints; `None` if `text` is anything else.
    pub fn parse(text: &str) -> Option<Uuid> {
        let mut bytes = [0; 18];
        let length = UUID_TEXT.decode_slice(text, &mut bytes).ok()?;
        bytes[..length].try_into().ok().map(Uuid)
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Base64Display::new(&self.0, &UUID_TEXT))
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuid_text_is_kafkas() {
        let id =
            Uuid::parse("DaApSIweQfefTV_hOA74RQ").expect("an id seen in a real partition.metadata");
        assert_eq!(id.to_string(), "DaApSIweQfefTV_hOA74RQ");
        assert_eq!(id.0[..4], [0x0d, 0xa0, 0x29, 0x48]);
        assert_eq!(Uuid::ZERO.to_string(), "AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(Uuid::parse("short"), None);
    }
}
