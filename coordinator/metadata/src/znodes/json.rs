//! JSON as Kafka's readers take it from nodes (Jackson, as `kafka.utils.Json` has it): they look at
//! the first value and no further, of members that stand twice the last counts, and a byte
//! order mark is no harm. Knows no node.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::ZnodeError;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The first value; an error that says why there is none.
pub(super) fn parse(data: Option<&[u8]>) -> Result<Value, String> {
    let Some(data) = data else { return Err("null data".to_owned()) };
    let data = data.strip_prefix(BYTE_ORDER_MARK).unwrap_or(data);
    if data.iter().all(u8::is_ascii_whitespace) {
        return Err("empty".to_owned());
    }
    let mut reader = serde_json::Deserializer::from_slice(data);
    Value::deserialize(&mut reader).map_err(|error| error.to_string())
}

/// Whether there is something that is no JSON. Apache's readers take that for no content, where
/// they throw for nothing at all and for JSON of another shape.
pub fn is_garbled(data: Option<&[u8]>) -> bool {
    let blank = data.is_none_or(|data| data.iter().all(u8::is_ascii_whitespace));
    !blank && parse(data).is_err()
}

/// An object of this shape; anything else is an error that names the node.
pub(crate) fn read<T: DeserializeOwned>(path: &str, data: Option<&[u8]>) -> Result<T, ZnodeError> {
    match parse(data).map_err(|reason| ZnodeError::malformed(path, reason))? {
        object @ Value::Object(_) => {
            serde_json::from_value(object).map_err(|error| ZnodeError::malformed(path, error))
        }
        // A list would pass for the members in their order.
        _ => Err(ZnodeError::malformed(path, "no object")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_objects_are_read() {
        let read = |text: &str| read::<Vec<i32>>("/n", Some(text.as_bytes()));
        for text in ["[1]", "null", "7", "{", "{}"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn as_jackson_reads_it() {
        let parsed = |text: &str| parse(Some(text.as_bytes())).map(|value| value.to_string());
        for (text, expected) in [
            (r#"{"a":1}"#, r#"{"a":1}"#),
            (" {\"a\":1}\n", r#"{"a":1}"#),
            (r#"{"a":1} and more"#, r#"{"a":1}"#),
            (r#"{"a":1}{"a":2}"#, r#"{"a":1}"#),
            (r#"{"a":1,"a":2}"#, r#"{"a":2}"#),
            ("\u{feff}{}", "{}"),
            ("null", "null"),
        ] {
            assert_eq!(parsed(text).as_deref(), Ok(expected), "{text}");
        }
        for text in ["", " \n", "{", "nul", "{'a':1}", "{\"a\":01}", "\u{feff}"] {
            assert!(parsed(text).is_err(), "{text:?}");
        }
        assert!(parse(None).is_err());
        assert!(is_garbled(Some(b"{")) && !is_garbled(Some(b"")) && !is_garbled(None));
        assert!(parse(Some(b"\"\xff\"")).is_err());
    }
}
