//! Settings of a producer, read from properties under Kafka's names. Knows nothing of sending.

use std::str::FromStr;
use std::time::Duration;

use protocol::records::codec::Codec;

use crate::Properties;

/// What of `ProducerConfig` has an effect here; the defaults are Kafka's.
#[derive(Debug, Clone)]
pub struct Options {
    /// `compression.type`.
    pub codec: Codec,
    /// `acks`: 0, 1 or −1 for all.
    pub acks: i16,
    /// `enable.idempotence`.
    pub idempotent: bool,
    /// `batch.size`, in bytes.
    pub batch_bytes: usize,
    /// `linger.ms`.
    pub linger: Duration,
    /// `buffer.memory`, in bytes: what waits or is on its way.
    pub buffer_bytes: usize,
    /// `max.request.size`, in bytes, of a record and of a request.
    pub request_bytes: usize,
    /// `max.in.flight.requests.per.connection`.
    pub inflight_max: usize,
    /// `retries`: tries after the first.
    pub retries: u32,
    /// `retry.backoff.ms`.
    pub backoff: Duration,
    /// `request.timeout.ms`: how long a broker may wait for replicas.
    pub request_timeout_ms: i32,
    /// `delivery.timeout.ms`: how long a record may take, tries and waits included.
    pub delivery_timeout: Duration,
    /// `max.block.ms`: how long to wait for a topic.
    pub max_block: Duration,
    /// `transactional.id`.
    pub transactional_id: Option<String>,
    /// `transaction.timeout.ms`.
    pub transaction_timeout_ms: i32,
}

impl Options {
    /// Reads what is given; the error says which value makes no sense.
    pub fn of(properties: &Properties) -> Result<Options, String> {
        let acks = properties.get("acks").map(|acks| acks.trim());
        let acks = match acks {
            None | Some("all" | "-1") => -1,
            Some("0") => 0,
            Some("1") => 1,
            Some(other) => return Err(invalid(other, "acks")),
        };
        let transactional_id = properties.get("transactional.id").cloned();
        let inflight_max = number(properties, "max.in.flight.requests.per.connection", 5usize)?;
        let retries = number(properties, "retries", i32::MAX as u32)?;
        let idempotent = match properties.get("enable.idempotence").map(|v| v.trim()) {
            Some("true") if acks != -1 => {
                return Err("Must set acks to all in order to use the idempotent producer. \
                            Otherwise we cannot guarantee idempotence."
                    .to_owned());
            }
            Some("false") if transactional_id.is_some() => {
                return Err(
                    "Cannot set a transactional.id without also enabling idempotence.".to_owned()
                );
            }
            Some(text) => text == "true",
            // Where it is not asked for, settings that rule it out win.
            None => acks == -1 && retries > 0 && inflight_max <= 5,
        };
        if transactional_id.is_some() && !idempotent {
            return Err("Must set acks to all in order to use the idempotent producer. \
                        Otherwise we cannot guarantee idempotence."
                .to_owned());
        }
        let name = properties.get("compression.type").map_or("none", |name| name.trim());
        let codec = Codec::from_name(name).ok_or_else(|| invalid(name, "compression.type"))?;
        let millis = |key, default| number(properties, key, default).map(Duration::from_millis);
        Ok(Options {
            codec,
            acks,
            idempotent,
            batch_bytes: number(properties, "batch.size", 16 << 10)?,
            linger: millis("linger.ms", 0)?,
            buffer_bytes: number(properties, "buffer.memory", 32 << 20)?,
            request_bytes: number(properties, "max.request.size", 1 << 20)?,
            inflight_max: inflight_max.max(1),
            retries,
            backoff: millis("retry.backoff.ms", 100)?,
            request_timeout_ms: number(properties, "request.timeout.ms", 30_000)?,
            delivery_timeout: millis("delivery.timeout.ms", 120_000)?,
            max_block: millis("max.block.ms", 60_000)?,
            transactional_id,
            transaction_timeout_ms: number(properties, "transaction.timeout.ms", 60_000)?,
        })
    }
}

fn number<T: FromStr>(properties: &Properties, key: &str, default: T) -> Result<T, String> {
    match properties.get(key) {
        Some(text) => text.trim().parse().map_err(|_| invalid(text, key)),
        None => Ok(default),
    }
}

fn invalid(value: &str, key: &str) -> String {
    format!("Invalid value {value} for configuration {key}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[&str]) -> Result<Options, String> {
        let pairs = pairs.iter().map(|pair| pair.split_once('=').expect("a pair"));
        Options::of(&pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
    }

    #[test]
    fn idempotence_follows_acks_unless_it_is_asked_for() {
        assert!(of(&[]).unwrap().idempotent);
        assert!(!of(&["acks=1"]).unwrap().idempotent);
        assert!(!of(&["enable.idempotence=false"]).unwrap().idempotent);
        assert!(!of(&["retries=0"]).unwrap().idempotent);
        assert!(of(&["acks=1", "enable.idempotence=true"]).is_err());
        assert!(of(&["acks=1", "transactional.id=t"]).is_err());
        assert!(of(&["enable.idempotence=false", "transactional.id=t"]).is_err());
    }

    #[test]
    fn values_without_sense_are_named() {
        assert_eq!(of(&["acks=2"]).unwrap_err(), "Invalid value 2 for configuration acks");
        let error = of(&["linger.ms=soon"]).unwrap_err();
        assert_eq!(error, "Invalid value soon for configuration linger.ms");
        assert!(of(&["compression.type=zip"]).is_err());
    }
}
