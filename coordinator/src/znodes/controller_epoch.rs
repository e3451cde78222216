//! `/controller_epoch`: how many controllers there have been. Its data version fences what a
//! controller writes. Knows nothing of elections.

use bytes::Bytes;

use super::ZnodeError;

pub const PATH: &str = "/controller_epoch";

/// What the first elector writes before anybody was controller.
pub const INITIAL: i32 = 0;

pub fn encode(epoch: i32) -> Bytes {
    Bytes::from(epoch.to_string())
}

pub fn decode(data: Option<&[u8]>) -> Result<i32, ZnodeError> {
    let text = std::str::from_utf8(data.unwrap_or_default());
    text.ok()
        .and_then(|text| text.parse().ok())
        .filter(|epoch| *epoch >= 0)
        .ok_or_else(|| ZnodeError::malformed(PATH, "not an epoch"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_text() {
        assert_eq!(encode(4), &b"4"[..]);
        assert_eq!(decode(Some(b"4")), Ok(4));
        for bytes in [None, Some(&b""[..]), Some(b"four"), Some(b"99999999999"), Some(b"-1")] {
            assert!(decode(bytes).is_err(), "{bytes:?}");
        }
    }
}
