//! One setting before anything is known of its key. Knows no file syntax.

/// One setting as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    pub key: String,
    pub value: String,
    /// `file:line`, or where else it was written.
    pub origin: String,
    /// The value came from elsewhere (`config.providers`) and must not be shown.
    pub secret: bool,
    /// The key may be one that does not exist.
    pub(super) lenient: bool,
}

impl Setting {
    /// One with a value that may be shown, and a key that must exist.
    pub fn new(key: String, value: String, origin: String) -> Setting {
        Setting { key, value, origin, secret: false, lenient: false }
    }
}
