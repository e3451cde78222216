//! What one configuration key is, and how its text becomes a value, as Kafka's `ConfigDef` reads
//! it. Knows nothing of which keys there are.

/// One key of the configuration.
#[derive(Debug)]
pub struct KeyDef {
    pub name: &'static str,
    pub kind: Kind,
    /// As it would be written in a file; `None` is Kafka's null.
    pub default: Option<&'static str>,
    pub check: Check,
    pub update: Update,
    pub role: Role,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Bool,
    Short,
    Int,
    Long,
    Double,
    Text,
    List,
    Class,
    Password,
}

/// Which values are legal beyond the type.
#[derive(Debug)]
pub enum Check {
    Any,
    AtLeast(i64),
    /// Both ends included.
    Between(i64, i64),
    /// As `Between`, or exactly the third.
    BetweenOr(i64, i64, i64),
    /// From 0 to this.
    Ratio(f64),
    OneOf(&'static [&'static str]),
    /// Every item of the list.
    EachOf(&'static [&'static str]),
    /// One of these releases, or a bug fix of it: of `3.9.2` Kafka too reads only `3.9`.
    Release(&'static [&'static str]),
    /// A version of Kafka's message format.
    FormatVersion,
}

/// How a key may change while the broker runs (KIP-226).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Update {
    ReadOnly,
    /// Only for one named broker.
    PerBroker,
    /// For one broker, or as the default of all.
    ClusterWide,
}

/// What becomes of a key that is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Honoured,
    /// Accepted without effect; the text says what happens instead.
    Ignored(&'static str),
    /// Any value but the default or none stops the start; the text says why.
    Stops(&'static str),
    /// Stops the start where the feature is in use, and has no effect elsewhere.
    Belongs(Feature),
}

/// What is not served yet, and what has keys that only count where it is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Feature {
    /// A listener with TLS.
    Tls,
    /// A listener with SASL.
    Sasl,
    /// A listener with either, whose passwords may be stored.
    Secrets,
    /// Delegation tokens.
    Tokens,
    /// `authorizer.class.name`.
    Authorizer,
    ZooKeeperTls,
}

impl Feature {
    /// Why those that decide about security stop the start.
    pub const SECURITY: &'static str = "TLS, SASL and authorization are not served yet";

    /// Why its keys have no effect where it is not in use.
    pub fn unused(self) -> &'static str {
        match self {
            Feature::Tls => "no listener uses TLS",
            Feature::Sasl => "no listener uses SASL",
            Feature::Secrets => "no listener uses TLS or SASL",
            Feature::Tokens => "delegation.token.secret.key is not set",
            Feature::Authorizer => "authorizer.class.name is not set",
            Feature::ZooKeeperTls => "zookeeper.ssl.client.enable is not true",
        }
    }
}

/// A value read from its text.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Number(i64),
    Double(f64),
    Text(String),
    List(Vec<String>),
}

impl KeyDef {
    /// Reads `text`; the error says what was expected.
    pub fn parse(&self, text: &str) -> Result<Value, String> {
        let trimmed = text.trim();
        let value = match self.kind {
            Kind::Bool if trimmed.eq_ignore_ascii_case("true") => Value::Bool(true),
            Kind::Bool if trimmed.eq_ignore_ascii_case("false") => Value::Bool(false),
            Kind::Bool => return Err("expected true or false".to_owned()),
            Kind::Short => self.number(trimmed, i64::from(i16::MIN), i64::from(i16::MAX))?,
            Kind::Int => self.number(trimmed, i64::from(i32::MIN), i64::from(i32::MAX))?,
            Kind::Long => self.number(trimmed, i64::MIN, i64::MAX)?,
            Kind::Double => match trimmed.parse::<f64>() {
                Ok(number) if number.is_finite() => Value::Double(number),
                _ => return Err(format!("expected a number{}", self.check.range())),
            },
            Kind::Class if trimmed.is_empty() => return Err("expected a class".to_owned()),
            Kind::Text | Kind::Class => Value::Text(trimmed.to_owned()),
            Kind::Password => Value::Text(text.to_owned()),
            Kind::List if trimmed.is_empty() => Value::List(Vec::new()),
            Kind::List => {
                Value::List(trimmed.split(',').map(|item| item.trim().to_owned()).collect())
            }
        };
        if self.check.holds(&value) {
            Ok(value)
        } else {
            Err(format!("expected {}", self.expected()))
        }
    }

    /// What a legal value is, for messages.
    pub fn expected(&self) -> String {
        let noun = match self.kind {
            Kind::Bool => "true or false",
            Kind::Short | Kind::Int | Kind::Long => "an integer",
            Kind::Double => "a number",
            Kind::Text | Kind::Class | Kind::Password => "text",
            Kind::List => "a list",
        };
        format!("{noun}{}", self.check.range())
    }

    /// May the value be shown? Passwords never are.
    pub fn is_sensitive(&self) -> bool {
        self.kind == Kind::Password
    }

    /// The number of this type in DescribeConfigs v3.
    pub fn wire_type(&self) -> i8 {
        match self.kind {
            Kind::Bool => 1,
            Kind::Text => 2,
            Kind::Int => 3,
            Kind::Short => 4,
            Kind::Long => 5,
            Kind::Double => 6,
            Kind::List => 7,
            Kind::Class => 8,
            Kind::Password => 9,
        }
    }

    fn number(&self, text: &str, lowest: i64, highest: i64) -> Result<Value, String> {
        match text.parse::<i64>() {
            Ok(number) if (lowest..=highest).contains(&number) => Ok(Value::Number(number)),
            Ok(_) => Err(format!("expected an integer from {lowest} to {highest}")),
            Err(_) => Err(format!("expected {}", self.expected())),
        }
    }
}

impl Check {
    fn holds(&self, value: &Value) -> bool {
        match (self, value) {
            (Check::Any, _) | (_, Value::Null | Value::Bool(_)) => true,
            (Check::AtLeast(least), Value::Number(n)) => n >= least,
            (Check::AtLeast(least), Value::Double(n)) => *n >= *least as f64,
            (Check::Between(low, high), Value::Number(n)) => (low..=high).contains(&n),
            (Check::BetweenOr(low, high, other), Value::Number(n)) => {
                n == other || (low..=high).contains(&n)
            }
            (Check::Ratio(high), Value::Double(n)) => (0.0..=*high).contains(n),
            (Check::OneOf(names), Value::Text(text)) => names.contains(&text.as_str()),
            (Check::Release(names), Value::Text(text)) => {
                let end = text.match_indices('.').nth(1).map_or(text.len(), |(at, _)| at);
                names.contains(&&text[..end])
            }
            (Check::EachOf(names), Value::List(items)) => {
                items.iter().all(|item| names.contains(&item.as_str()))
            }
            (Check::FormatVersion, Value::Text(text)) => storage::config::is_format_version(text),
            _ => false,
        }
    }

    fn range(&self) -> String {
        match self {
            Check::Any => String::new(),
            Check::AtLeast(least) => format!(" of at least {least}"),
            Check::Between(low, high) => format!(" from {low} to {high}"),
            Check::BetweenOr(low, high, other) => format!(" from {low} to {high}, or {other}"),
            Check::Ratio(high) => format!(" from 0 to {high}"),
            Check::OneOf(names) | Check::Release(names) => {
                format!(", one of {}", names.join(", "))
            }
            Check::EachOf(names) => format!(" of {}", names.join(", ")),
            Check::FormatVersion => ", a version of Kafka from 0.8.0 to 3.9".to_owned(),
        }
    }
}
