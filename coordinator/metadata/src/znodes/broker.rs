//! `/brokers/ids/N`: a live broker's registration; its czxid is the broker's epoch. Knows nothing
//! of how a broker registers (see `registration.rs`).

use std::collections::BTreeMap;

use bytes::Bytes;
use protocol::ids::{BrokerId, TimestampMs};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ZnodeError, decode_json, encode_json};

pub const IDS_PATH: &str = "/brokers/ids";

/// Its data version gives new broker ids: `setData` on it, then version + `reserved.broker.max.id`.
pub const SEQUENCE_PATH: &str = "/brokers/seqid";

pub fn path(id: BrokerId) -> String {
    format!("{IDS_PATH}/{id}")
}

/// What a listener speaks. The numbers are those of UpdateMetadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SecurityProtocol {
    Plaintext = 0,
    Ssl = 1,
    SaslPlaintext = 2,
    SaslSsl = 3,
}

impl SecurityProtocol {
    pub const ALL: [SecurityProtocol; 4] =
        [Self::Plaintext, Self::Ssl, Self::SaslPlaintext, Self::SaslSsl];

    pub fn id(self) -> i16 {
        self as i16
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Plaintext => "PLAINTEXT",
            Self::Ssl => "SSL",
            Self::SaslPlaintext => "SASL_PLAINTEXT",
            Self::SaslSsl => "SASL_SSL",
        }
    }

    /// In any case of letters, as Kafka.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.name().eq_ignore_ascii_case(name))
    }

    pub fn from_id(id: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.id() == id)
    }
}

/// One advertised listener.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    /// Listener name in capitals, such as `PLAINTEXT` or `INTERNAL`.
    pub listener: String,
    pub security_protocol: SecurityProtocol,
    /// Host name or address; an IPv6 address without its brackets.
    pub host: String,
    pub port: i32,
}

/// A broker's registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerRegistration {
    /// The advertised listeners.
    pub endpoints: Vec<Endpoint>,
    pub rack: Option<String>,
    /// −1: none.
    pub jmx_port: i32,
    /// When the broker registered; −1 if it does not say.
    pub timestamp_ms: TimestampMs,
    /// Feature name -> (lowest, highest) version supported. Empty from a 3.9.2 broker.
    pub features: BTreeMap<String, (i16, i16)>,
}

#[derive(Serialize)]
struct Written {
    features: BTreeMap<String, BTreeMap<String, i16>>,
    listener_security_protocol_map: BTreeMap<String, String>,
    endpoints: Vec<String>,
    jmx_port: i32,
    port: i32,
    host: Option<String>,
    version: i64,
    timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    rack: Option<String>,
}

/// What is not looked at in every version may be of any shape.
#[derive(Deserialize)]
struct Read {
    #[serde(default)]
    features: Option<BTreeMap<String, BTreeMap<String, i16>>>,
    #[serde(default)]
    listener_security_protocol_map: Option<BTreeMap<String, String>>,
    #[serde(default)]
    endpoints: Option<Vec<String>>,
    #[serde(default)]
    jmx_port: Value,
    #[serde(default)]
    port: Value,
    #[serde(default)]
    host: Value,
    version: i32,
    #[serde(default)]
    timestamp: Value,
    #[serde(default)]
    rack: Option<String>,
}

impl BrokerRegistration {
    /// Version 5, as brokers with `inter.broker.protocol.version` 2.7 and later write it.
    pub fn encode(&self) -> Bytes {
        // Clients older than listeners look at host and port alone.
        let plaintext =
            self.endpoints.iter().find(|e| e.security_protocol == SecurityProtocol::Plaintext);
        let features = self.features.iter().map(|(name, (min, max))| {
            let range = [("min_version".to_owned(), *min), ("max_version".to_owned(), *max)];
            (name.clone(), BTreeMap::from(range))
        });
        let protocols = self
            .endpoints
            .iter()
            .map(|e| (e.listener.clone(), e.security_protocol.name().to_owned()));
        encode_json(&Written {
            features: features.collect(),
            listener_security_protocol_map: protocols.collect(),
            endpoints: self.endpoints.iter().map(connection_string).collect(),
            jmx_port: self.jmx_port,
            port: plaintext.map_or(-1, |e| e.port),
            host: plaintext.map(|e| e.host.clone()),
            version: 5,
            timestamp: self.timestamp_ms.to_string(),
            rack: self.rack.clone(),
        })
    }

    /// Reads versions 1 to 5; a later one is read as 5.
    pub fn decode(id: BrokerId, data: Option<&[u8]>) -> Result<Self, ZnodeError> {
        let path = path(id);
        let json: Read = decode_json(&path, data)?;
        let number = |value: &Value| value.as_i64().and_then(|number| i32::try_from(number).ok());
        if json.version < 1 {
            let version = i64::from(json.version);
            return Err(ZnodeError::UnknownVersion { path, version });
        }
        let endpoints = if json.version == 1 {
            let (Some(host), Some(port)) = (json.host.as_str(), number(&json.port)) else {
                return Err(ZnodeError::malformed(&path, "no host and port"));
            };
            let security_protocol = SecurityProtocol::Plaintext;
            let (listener, host) = (security_protocol.name().to_owned(), host.to_owned());
            vec![Endpoint { listener, security_protocol, host, port }]
        } else {
            let map = json.listener_security_protocol_map.as_ref();
            let texts = json.endpoints.ok_or_else(|| ZnodeError::malformed(&path, "no endpoints"));
            let read = |text: &String| parse_endpoint(&path, text, map);
            texts?.iter().map(read).collect::<Result<_, _>>()?
        };
        let mut features = BTreeMap::new();
        for (name, levels) in json.features.unwrap_or_default() {
            let level = |key| levels.get(key).copied();
            match (level("min_version"), level("max_version")) {
                (Some(min), Some(max)) => features.insert(name, (min, max)),
                _ => return Err(ZnodeError::malformed(&path, "a feature without its range")),
            };
        }
        let timestamp_ms = match &json.timestamp {
            Value::String(text) => text.parse().unwrap_or(-1),
            other => other.as_i64().unwrap_or(-1),
        };
        let jmx_port = number(&json.jmx_port).unwrap_or(-1);
        Ok(Self { endpoints, rack: json.rack, jmx_port, timestamp_ms, features })
    }

    pub fn endpoint(&self, listener: &str) -> Option<&Endpoint> {
        self.endpoints.iter().find(|e| e.listener == listener)
    }
}

fn connection_string(endpoint: &Endpoint) -> String {
    let Endpoint { listener, host, port, .. } = endpoint;
    match host.contains(':') {
        true => format!("{listener}://[{host}]:{port}"),
        false => format!("{listener}://{host}:{port}"),
    }
}

fn parse_endpoint(
    path: &str,
    text: &str,
    protocols: Option<&BTreeMap<String, String>>,
) -> Result<Endpoint, ZnodeError> {
    let wrong = || ZnodeError::malformed(path, format!("endpoint {text:?}"));
    let (listener, address) = text.split_once("://").ok_or_else(wrong)?;
    let (host, port) = address.rsplit_once(':').ok_or_else(wrong)?;
    let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    let port = port.parse().map_err(|_| wrong())?;
    let listener = listener.to_uppercase();
    // Before version 4 a listener was named after its protocol.
    let protocol = match protocols {
        None => SecurityProtocol::parse(&listener),
        Some(map) => map
            .iter()
            .find(|(name, _)| name.to_uppercase() == listener)
            .and_then(|(_, protocol)| SecurityProtocol::parse(protocol)),
    };
    let security_protocol = protocol.ok_or_else(wrong)?;
    Ok(Endpoint { listener, security_protocol, host: host.to_owned(), port })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIVE: &str = concat!(
        r#"{"features":{},"listener_security_protocol_map":{"PLAINTEXT":"PLAINTEXT"},"#,
        r#""endpoints":["PLAINTEXT://127.0.0.1:29092"],"jmx_port":-1,"port":29092,"#,
        r#""host":"127.0.0.1","version":5,"timestamp":"1795284486498"}"#
    );

    fn endpoint(listener: &str, protocol: SecurityProtocol, host: &str, port: i32) -> Endpoint {
        let listener = listener.to_owned();
        Endpoint { listener, security_protocol: protocol, host: host.to_owned(), port }
    }

    fn live() -> BrokerRegistration {
        BrokerRegistration {
            endpoints: vec![endpoint("PLAINTEXT", SecurityProtocol::Plaintext, "127.0.0.1", 29092)],
            rack: None,
            jmx_port: -1,
            timestamp_ms: 1795284486498,
            features: BTreeMap::new(),
        }
    }

    #[test]
    fn as_kafka_writes_it() {
        assert_eq!(live().encode(), LIVE.as_bytes());
        assert_eq!(BrokerRegistration::decode(1, Some(LIVE.as_bytes())), Ok(live()));
    }

    #[test]
    fn several_listeners_rack_and_ipv6() {
        let broker = BrokerRegistration {
            endpoints: vec![
                endpoint("INTERNAL", SecurityProtocol::SaslSsl, "::1", 9093),
                endpoint("OUT", SecurityProtocol::Ssl, "h", 9094),
            ],
            rack: Some("r1".into()),
            features: BTreeMap::from([("f".into(), (1, 2))]),
            ..live()
        };
        let text = String::from_utf8(broker.encode().to_vec()).unwrap();
        assert!(text.contains(r#""INTERNAL://[::1]:9093""#), "{text}");
        assert!(text.contains(r#""port":-1,"host":null"#), "{text}");
        assert_eq!(BrokerRegistration::decode(1, Some(text.as_bytes())), Ok(broker));
    }

    #[test]
    fn older_versions() {
        let v1 = br#"{"version":1,"host":"h","port":9092,"jmx_port":9999,"timestamp":"2"}"#;
        let v1 = BrokerRegistration::decode(1, Some(v1)).unwrap();
        let plain = endpoint("PLAINTEXT", SecurityProtocol::Plaintext, "h", 9092);
        assert_eq!(v1.endpoints, std::slice::from_ref(&plain));
        let v3 = br#"{"version":3,"host":"h","port":9092,"jmx_port":9999,"timestamp":"2",
            "endpoints":["PLAINTEXT://h:9092","SSL://h:9093"],"rack":"dc1"}"#;
        let v3 = BrokerRegistration::decode(1, Some(v3)).unwrap();
        assert_eq!(v3.endpoints, [plain, endpoint("SSL", SecurityProtocol::Ssl, "h", 9093)]);
        assert_eq!(v3.rack.as_deref(), Some("dc1"));
        let v9 =
            br#"{"version":9,"endpoints":["A://h:1"],"new":{},"host":7,"port":"x","jmx_port":[],
            "listener_security_protocol_map":{"A":"PLAINTEXT"}}"#;
        let v9 = BrokerRegistration::decode(1, Some(v9)).unwrap();
        assert_eq!(v9.endpoint("A").map(|e| e.port), Some(1));
    }

    #[test]
    fn strange_bytes_are_errors() {
        for text in [
            "",
            "null",
            "[]",
            "7",
            "not JSON",
            "{}",
            r#"{"version":"5","endpoints":[]}"#,
            r#"{"version":0}"#,
            r#"{"version":1}"#,
            r#"{"version":1,"host":"h"}"#,
            r#"{"version":1,"host":["h"],"port":9092}"#,
            r#"{"version":5}"#,
            r#"{"version":5,"endpoints":"A://h:1"}"#,
            r#"{"version":5,"endpoints":[],"rack":7}"#,
            r#"{"version":5,"endpoints":["nonsense"]}"#,
            r#"{"version":3,"endpoints":["SSL://h:99999999999"]}"#,
            r#"{"version":5,"endpoints":["A://h:1"],"listener_security_protocol_map":{}}"#,
            r#"{"version":5,"features":{"f":{"min_version":1}}}"#,
        ] {
            assert!(BrokerRegistration::decode(1, Some(text.as_bytes())).is_err(), "{text}");
        }
    }
}
