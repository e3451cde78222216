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
        // After the last there is none for a controller to come.
        .filter(|epoch| (0..i32::MAX).contains(epoch))
        .ok_or_else(|| ZnodeError::malformed(PATH, "not an epoch"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_text() {
        assert_eq!(encode(4), &b"4"[..]);
        assert_eq!(decode(Some(b"4")), Ok(4));
        assert!(decode(None).is_err());
        for text in ["", "four", "null", "{}", "99999999999", "2147483647", "-1", "1 "] {
            assert!(decode(Some(text.as_bytes())).is_err(), "{text}");
        }
    }
}
