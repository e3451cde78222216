//! `listeners` and `advertised.listeners` as parts. Knows nothing of sockets.

use std::collections::BTreeMap;

/// One entry of `listeners` or `advertised.listeners`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// In upper case, as Kafka normalises it.
    pub name: String,
    /// Empty means every address of the host. Without the brackets of an IPv6 address.
    pub host: String,
    /// 0 lets the system choose.
    pub port: u16,
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "{}://[{}]:{}", self.name, self.host, self.port)
        } else {
            write!(f, "{}://{}:{}", self.name, self.host, self.port)
        }
    }
}

/// Reads a comma-separated list of `NAME://host:port`. The error says what was expected.
pub fn endpoints(text: &str) -> Result<Vec<Endpoint>, String> {
    let mut endpoints = Vec::new();
    for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        endpoints.push(endpoint(item)?);
    }
    let duplicate = |of: fn(&Endpoint) -> String| {
        let mut names: Vec<String> = endpoints.iter().map(of).collect();
        names.sort();
        names.windows(2).any(|pair| pair[0] == pair[1] && !pair[0].is_empty())
    };
    if duplicate(|endpoint| endpoint.name.clone()) {
        return Err("expected every listener name once".to_owned());
    }
    Ok(endpoints)
}

fn endpoint(text: &str) -> Result<Endpoint, String> {
    let expected = || format!("expected NAME://host:port, found \"{text}\"");
    let (name, address) = text.split_once("://").ok_or_else(expected)?;
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let (host, port) = address.rsplit_once(':').ok_or_else(expected)?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let port: u16 = port.parse().map_err(|_| expected())?;
    if name.is_empty() || !name.chars().all(legal) || host.contains(['/', '[', ']', ' ']) {
        return Err(expected());
    }
    Ok(Endpoint { name: name.to_ascii_uppercase(), host: host.to_owned(), port })
}

/// Reads `NAME:PROTOCOL,…` into names in upper case.
pub fn protocol_map(text: &str) -> Result<BTreeMap<String, String>, String> {
    const PROTOCOLS: [&str; 4] = ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"];
    let mut map = BTreeMap::new();
    for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        let expected = || format!("expected NAME:PROTOCOL, found \"{item}\"");
        let (name, protocol) = item.rsplit_once(':').ok_or_else(expected)?;
        let protocol = protocol.trim().to_ascii_uppercase();
        if !PROTOCOLS.contains(&protocol.as_str()) {
            return Err(expected());
        }
        map.insert(name.trim().to_ascii_uppercase(), protocol);
    }
    Ok(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read_as_kafka_reads_them() {
        let read = endpoints("plaintext://:9092, INNER-2://[::1]:0,X.y://h:1").expect("legal");
        let shown: Vec<String> = read.iter().map(Endpoint::to_string).collect();
        assert_eq!(shown, ["PLAINTEXT://:9092", "INNER-2://[::1]:0", "X.Y://h:1"]);
        for bad in
            ["h:9092", "A://h", "A://h:70000", "A://h:x", "://h:1", "A://a/b:1", "A://:1,a://:2"]
        {
            assert!(endpoints(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn protocols_are_checked() {
        let map = protocol_map("A:PLAINTEXT, b:ssl").expect("legal");
        assert_eq!(map["B"], "SSL");
        assert!(protocol_map("A:TCP").is_err());
        assert!(protocol_map("A").is_err());
    }
}
