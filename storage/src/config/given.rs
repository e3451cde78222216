//! One topic key's value as it was written, and how it is read: as Kafka's `ConfigDef` does, with
//! its texts for what is refused.

use std::fmt;

use super::{CleanupPolicy, ConfigError, TimestampType, TopicCompression, is_format_version};

/// A value and the key it is for, until it is parsed.
pub(super) struct Given<'a> {
    pub key: &'a str,
    pub value: &'a str,
}

impl Given<'_> {
    pub fn refuse<T>(&self, reason: impl Into<String>) -> Result<T, ConfigError> {
        self.refuse_as(self.value, reason)
    }

    /// Shows `value`, which is what Kafka made of the text.
    pub fn refuse_as<T>(
        &self,
        value: impl fmt::Display,
        reason: impl Into<String>,
    ) -> Result<T, ConfigError> {
        let (key, value) = (self.key.to_owned(), value.to_string());
        Err(ConfigError::Value { key, value, reason: reason.into() })
    }

    fn parse<T: std::str::FromStr>(&self, text: &str, kind: &str) -> Result<T, ConfigError> {
        match text.parse::<T>() {
            Ok(number) => Ok(number),
            Err(_) => self.refuse(format!("Not a number of type {kind}")),
        }
    }

    fn within<T: PartialOrd + fmt::Display>(
        &self,
        number: T,
        min: T,
        max: T,
    ) -> Result<T, ConfigError> {
        if number < min {
            return self.refuse_as(number, format!("Value must be at least {min}"));
        }
        if number > max {
            return self.refuse_as(number, format!("Value must be no more than {max}"));
        }
        Ok(number)
    }

    pub fn int(&self, min: i32) -> Result<i32, ConfigError> {
        self.level(min, i32::MAX)
    }

    pub fn level(&self, min: i32, max: i32) -> Result<i32, ConfigError> {
        self.within(self.parse(self.value.trim(), "INT")?, min, max)
    }

    pub fn gzip_level(&self) -> Result<i32, ConfigError> {
        match self.parse(self.value.trim(), "INT")? {
            level @ (-1 | 1..=9) => Ok(level),
            other => self.refuse_as(other, "Value must be between 1 and 9 or equal to -1"),
        }
    }

    pub fn long(&self, min: i64) -> Result<i64, ConfigError> {
        self.within(self.parse(self.value.trim(), "LONG")?, min, i64::MAX)
    }

    /// From 0 to 1. Java takes the letter of a number's type behind it.
    pub fn ratio(&self) -> Result<f64, ConfigError> {
        let text = self.value.trim();
        let bare = text.strip_suffix(['f', 'F', 'd', 'D']).unwrap_or(text);
        let is_number = bare.ends_with(|c: char| c.is_ascii_digit() || c == '.');
        self.within(self.parse(if is_number { bare } else { text }, "DOUBLE")?, 0.0, 1.0)
    }

    pub fn boolean(&self) -> Result<bool, ConfigError> {
        match self.value.trim() {
            v if v.eq_ignore_ascii_case("true") => Ok(true),
            v if v.eq_ignore_ascii_case("false") => Ok(false),
            _ => self.refuse("Expected value to be either true or false"),
        }
    }

    /// The items of a list; none if it is empty.
    fn items(&self) -> impl Iterator<Item = &str> {
        let text = Some(self.value.trim()).filter(|text| !text.is_empty());
        text.into_iter().flat_map(|text| text.split(',').map(str::trim))
    }

    pub fn cleanup_policy(&self) -> Result<CleanupPolicy, ConfigError> {
        let mut policy = CleanupPolicy { delete: false, compact: false };
        for word in self.items() {
            match word {
                "delete" => policy.delete = true,
                "compact" => policy.compact = true,
                _ => return self.refuse_as(word, "String must be one of: compact, delete"),
            }
        }
        Ok(policy)
    }

    pub fn compression(&self) -> Result<TopicCompression, ConfigError> {
        Ok(match self.value.trim() {
            "producer" => TopicCompression::Producer,
            "uncompressed" => TopicCompression::None,
            "gzip" => TopicCompression::Gzip,
            "snappy" => TopicCompression::Snappy,
            "lz4" => TopicCompression::Lz4,
            "zstd" => TopicCompression::Zstd,
            other => {
                let all = "uncompressed, zstd, lz4, snappy, gzip, producer";
                return self.refuse_as(other, format!("String must be one of: {all}"));
            }
        })
    }

    pub fn timestamp_type(&self) -> Result<TimestampType, ConfigError> {
        match self.value.trim() {
            "CreateTime" => Ok(TimestampType::CreateTime),
            "LogAppendTime" => Ok(TimestampType::LogAppendTime),
            other => self.refuse_as(other, "String must be one of: CreateTime, LogAppendTime"),
        }
    }

    pub fn format_version(&self) -> Result<(), ConfigError> {
        let version = self.value.trim();
        if is_format_version(version) {
            return Ok(());
        }
        self.refuse_as(version, format!("Version {version} is not a valid version"))
    }

    /// `*`, or `partition:broker` pairs; items may be empty.
    pub fn throttled_replicas(&self) -> Result<(), ConfigError> {
        let is_number = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        let is_pair =
            |s: &str| s.split_once(':').is_some_and(|(p, b)| is_number(p) && is_number(b));
        if self.items().all(|item| item.is_empty() || is_pair(item))
            || self.items().collect::<String>() == "*"
        {
            return Ok(());
        }
        let items = self.items().collect::<Vec<_>>().join(", ");
        let key = self.key;
        self.refuse_as(
            format_args!("[{items}]"),
            format!(
                "{key} must be the literal '*' or a list of replicas in the following format: \
                 [partitionId]:[brokerId],[partitionId]:[brokerId],..."
            ),
        )
    }
}
