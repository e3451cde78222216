//! Names of users and clients as path segments: percent-encoded so that no character of theirs
//! means anything to ZooKeeper. Knows nothing of the entities.

use std::fmt::Write;

/// Letters, digits, `.`, `-` and `_` stay; every other byte of the UTF-8 text becomes `%XX`
/// (`org.apache.kafka.common.utils.Sanitizer`).
pub fn sanitize(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b".-_".contains(&byte) {
            out.push(byte as char);
        } else {
            write!(out, "%{byte:02X}").expect("writing to a string");
        }
    }
    out
}

/// The name that `sanitize` turned into `text`; `None` if there is none. A bare `+` reads as a
/// space, as Java's decoder has it.
pub fn desanitize(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || (bytes.next()? as char).to_digit(16);
                (digit()? * 16 + digit()?) as u8
            }
            other => other,
        });
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn as_kafka_does_it() {
        assert_eq!(sanitize("al*ce +x"), "al%2Ace%20%2Bx");
        assert_eq!(sanitize("CN=é/~"), "CN%3D%C3%A9%2F%7E");
        assert_eq!(desanitize("a+b").as_deref(), Some("a b"));
        for text in ["%", "%4", "%zz", "%FF"] {
            assert_eq!(desanitize(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn there_and_back(name in any::<String>()) {
            let text = sanitize(&name);
            prop_assert!(!text.contains('/'));
            prop_assert_eq!(desanitize(&text), Some(name));
        }
    }
}
