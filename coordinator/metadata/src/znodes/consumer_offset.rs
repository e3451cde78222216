//! `/consumers/G/offsets/T/P`: offsets of OffsetCommit and OffsetFetch version 0, as decimal text.
//! Knows nothing of the groups that commit in any later version.

use bytes::Bytes;
use protocol::ids::{Offset, TopicPartition};

use super::ZnodeError;

/// `None` if the group's name cannot be a node's: empty, with a slash, or a dot or two.
pub fn path(group: &str, tp: &TopicPartition) -> Option<String> {
    let nameable = |name: &str| {
        !matches!(name, "" | "." | "..") && !name.contains(|c: char| c == '/' || c.is_control())
    };
    (nameable(group) && nameable(&tp.topic))
        .then(|| format!("/consumers/{group}/offsets/{}/{}", tp.topic, tp.partition))
}

pub fn encode(offset: Offset) -> Bytes {
    Bytes::from(offset.to_string())
}

/// `None` for null data.
pub fn decode(path: &str, data: Option<&[u8]>) -> Result<Option<Offset>, ZnodeError> {
    let Some(data) = data else { return Ok(None) };
    let text = std::str::from_utf8(data).ok();
    match text.and_then(|text| text.parse().ok()) {
        Some(offset) => Ok(Some(offset)),
        None => Err(ZnodeError::malformed(path, "not a number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_text() {
        let tp = TopicPartition::new("t", 2);
        assert_eq!(path("g", &tp).as_deref(), Some("/consumers/g/offsets/t/2"));
        assert_eq!(path("g/../x", &tp), None);
        assert_eq!(path("", &tp), None);
        assert_eq!(encode(42), &b"42"[..]);
        assert_eq!(decode("/p", Some(b"42")), Ok(Some(42)));
        assert_eq!(decode("/p", None), Ok(None));
        assert!(decode("/p", Some(b"x")).is_err());
    }
}
