//! Why a configuration cannot be started with: every reason at once, in groups, each with the place
//! where it was written.

use std::fmt::{Display, Formatter};

/// What kind of fault it is; reasons are shown in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The file is missing or is not of its syntax, or a value cannot be fetched.
    Unreadable,
    /// A key that does not exist.
    Unknown,
    /// A wrong type or an impossible value.
    Illegal,
    /// Values that do not go together.
    Contradiction,
    /// Legal with Kafka, and not served by this broker.
    Unserved,
}

impl Fault {
    fn title(self) -> &'static str {
        match self {
            Fault::Unreadable => "what cannot be read",
            Fault::Unknown => "unknown keys",
            Fault::Illegal => "values that are not legal",
            Fault::Contradiction => "values that do not go together",
            Fault::Unserved => "what this broker does not serve",
        }
    }
}

/// One reason, one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    pub fault: Fault,
    /// `file:line`, as far as known.
    pub origin: String,
    /// Empty if the fault is not that of one key.
    pub key: String,
    pub expected: String,
}

impl Display for ConfigError {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let parts = [&self.origin, &self.key, &self.expected];
        let parts: Vec<&str> =
            parts.into_iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
        // Whatever a file holds, this stays one line.
        write!(f, "{}", parts.join(": ").replace(['\n', '\r'], " "))
    }
}

impl std::error::Error for ConfigError {}

/// All reasons against a start: exit code 2. One reason is shown as one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// At least one.
    pub reasons: Vec<ConfigError>,
}

impl From<ConfigError> for Refusal {
    fn from(reason: ConfigError) -> Refusal {
        Refusal { reasons: vec![reason] }
    }
}

impl Display for Refusal {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        if let [reason] = &self.reasons[..] {
            return write!(f, "{reason}");
        }
        let mut reasons: Vec<&ConfigError> = self.reasons.iter().collect();
        reasons.sort_by_key(|reason| reason.fault);
        write!(f, "the configuration is refused for {} reasons", reasons.len())?;
        let mut group = None;
        for reason in reasons {
            if group.replace(reason.fault) != Some(reason.fault) {
                write!(f, "\n{}:", reason.fault.title())?;
            }
            write!(f, "\n  {reason}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_grouped_by_fault_and_keep_their_order_within() {
        let reason = |fault, key: &str| ConfigError {
            fault,
            origin: "f:1".to_owned(),
            key: key.to_owned(),
            expected: "expected\nsomething".to_owned(),
        };
        let one = Refusal::from(reason(Fault::Illegal, "a"));
        assert_eq!(one.to_string(), "f:1: a: expected something");
        let reasons = vec![
            reason(Fault::Unserved, "d"),
            reason(Fault::Illegal, "b"),
            reason(Fault::Unknown, "a"),
            reason(Fault::Illegal, "c"),
        ];
        assert_eq!(
            Refusal { reasons }.to_string(),
            "the configuration is refused for 4 reasons\nunknown keys:\n  f:1: a: expected \
             something\nvalues that are not legal:\n  f:1: b: expected something\n  f:1: c: \
             expected something\nwhat this broker does not serve:\n  f:1: d: expected something"
        );
    }
}
