//! What a topic may be called (`org.apache.kafka.common.internals.Topic`). Knows nothing of which
//! topics there are.

/// Where the group coordinator keeps groups and their offsets.
pub const CONSUMER_OFFSETS: &str = "__consumer_offsets";
/// Where the transaction coordinator keeps transactions.
pub const TRANSACTION_STATE: &str = "__transaction_state";
const SHARE_GROUP_STATE: &str = "__share_group_state";

/// Longest name, in characters.
const LENGTH_MAX: usize = 249;

/// Why nothing may be called this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Topic name is invalid: {reason}")]
pub struct InvalidName {
    reason: String,
}

/// ASCII letters and digits, `.`, `_` and `-`; 1 to 249 of them; neither `.` nor `..`.
pub fn check(name: &str) -> Result<(), InvalidName> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let reason = match name {
        "" => "the empty string is not allowed".to_owned(),
        "." | ".." => format!("'{name}' is not allowed"),
        _ if name.encode_utf16().count() > LENGTH_MAX => {
            format!("the length of '{name}' is longer than the max allowed length {LENGTH_MAX}")
        }
        _ if !name.bytes().all(legal) => format!(
            "'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' \
             and '-'"
        ),
        _ => return Ok(()),
    };
    Err(InvalidName { reason })
}

/// Does the broker keep its own data in it?
pub fn is_internal(name: &str) -> bool {
    matches!(name, CONSUMER_OFFSETS | TRANSACTION_STATE | SHARE_GROUP_STATE)
}

/// Can another legal name be the same to a metrics system, where `.` and `_` are one?
pub fn may_collide(name: &str) -> bool {
    name.contains(['.', '_'])
}

/// Are both names the same once `.` counts as `_`?
pub fn collide(a: &str, b: &str) -> bool {
    let unified = |name: &str| name.replace('.', "_");
    a.len() == b.len() && unified(a) == unified(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legal_and_illegal_names() {
        let longest = "a".repeat(249);
        for legal in ["a", "A.b_c-9", "...", &longest] {
            assert_eq!(check(legal), Ok(()), "{legal}");
        }
        let too_long = "a".repeat(250);
        for illegal in ["", ".", "..", "a b", "a/b", "é", "a:b", &too_long] {
            assert!(check(illegal).is_err(), "{illegal}");
        }
        assert_eq!(
            check("a b").expect_err("a space").to_string(),
            "Topic name is invalid: 'a b' contains one or more characters other than ASCII \
             alphanumerics, '.', '_' and '-'"
        );
    }

    #[test]
    fn dots_and_underscores_are_one() {
        assert!(collide("a.b", "a_b") && collide("a_b.c", "a.b_c"));
        assert!(!collide("a.b", "a-b") && !collide("a.b", "a.bc"));
        assert!(may_collide("a.b") && may_collide("a_b") && !may_collide("a-b"));
        assert!(is_internal("__consumer_offsets") && !is_internal("__mine"));
    }
}
