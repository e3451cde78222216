//! `listeners`, `advertised.listeners` and `zookeeper.connect` as parts. Knows nothing of sockets.

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

/// `zookeeper.connect` taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZooKeeperConnect {
    /// Host and port, in the order given; at least one.
    pub servers: Vec<(String, u16)>,
    /// Empty, or a path that begins with a slash and does not end with one.
    pub chroot: String,
}

impl std::fmt::Display for ZooKeeperConnect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, (host, port)) in self.servers.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{host}:{port}")?;
        }
        write!(f, "{}", self.chroot)
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

/// Reads `host:port,host:port/chroot`; the port may be left out and is then 2181.
pub fn zookeeper_connect(text: &str) -> Result<ZooKeeperConnect, String> {
    let expected = || format!("expected host:port,…[/chroot], found \"{text}\"");
    let text = text.trim();
    let (hosts, chroot) = match text.find('/') {
        Some(slash) => text.split_at(slash),
        None => (text, ""),
    };
    let chroot = chroot.trim_end_matches('/');
    if chroot.contains("//") || chroot.split('/').any(|part| part == "." || part == "..") {
        return Err(expected());
    }
    let mut servers = Vec::new();
    for item in hosts.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        let (host, port) = match item.rsplit_once(':') {
            // An IPv6 address without a port ends in its bracket.
            Some((host, port)) if !item.ends_with(']') => {
                (host, port.parse().ok().filter(|port| *port > 0).ok_or_else(expected)?)
            }
            _ => (item, 2181),
        };
        if host.is_empty() || host.contains(' ') {
            return Err(expected());
        }
        servers.push((host.trim_matches(['[', ']']).to_owned(), port));
    }
    if servers.is_empty() {
        return Err(expected());
    }
    Ok(ZooKeeperConnect { servers, chroot: chroot.to_owned() })
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
    fn zookeeper_addresses_and_chroot() {
        let read = zookeeper_connect("a:1, b/x/y/").expect("legal");
        assert_eq!(read.servers, [("a".to_owned(), 1), ("b".to_owned(), 2181)]);
        assert_eq!(read.chroot, "/x/y");
        assert_eq!(read.to_string(), "a:1,b:2181/x/y");
        let bare = zookeeper_connect("[::1]:5/").expect("legal");
        assert_eq!((bare.servers[0].0.as_str(), bare.chroot.as_str()), ("::1", ""));
        for bad in ["", "/x", "a:0", "a:b", "a:1//x", ":1", "a:1/x/../y"] {
            assert!(zookeeper_connect(bad).is_err(), "{bad}");
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
