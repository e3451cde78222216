//! `zookeeper.connect`: `host1:port1,host2:port2/chroot`. Knows nothing of connections.

use std::fmt;
use std::str::FromStr;

use crate::path;

const PORT_DEFAULT: u16 = 2181;

/// Where an ensemble is, and below which of its nodes everything lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectString {
    /// At least one; a host is a name, an IPv4 or an IPv6 address (without brackets).
    pub servers: Vec<(String, u16)>,
    /// A valid path; `/` for none.
    pub chroot: String,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectStringError {
    #[error("no server in {0:?}")]
    NoServer(String),
    #[error("{0:?} is not host:port")]
    Server(String),
    #[error("{0:?} is not a path for a chroot")]
    Chroot(String),
}

impl FromStr for ConnectString {
    type Err = ConnectStringError;

    fn from_str(text: &str) -> Result<Self, ConnectStringError> {
        let (servers, chroot) = match text.find('/') {
            Some(at) => text.split_at(at),
            None => (text, "/"),
        };
        let chroot = chroot.trim();
        if !path::is_valid(chroot) {
            return Err(ConnectStringError::Chroot(chroot.to_owned()));
        }
        let servers = servers
            .split(',')
            .map(str::trim)
            .filter(|server| !server.is_empty())
            .map(server)
            .collect::<Result<Vec<_>, _>>()?;
        if servers.is_empty() {
            return Err(ConnectStringError::NoServer(text.to_owned()));
        }
        Ok(ConnectString { servers, chroot: chroot.to_owned() })
    }
}

fn server(text: &str) -> Result<(String, u16), ConnectStringError> {
    let bad = || ConnectStringError::Server(text.to_owned());
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or_else(bad)?;
        match rest {
            "" => (host, None),
            rest => (host, Some(rest.strip_prefix(':').ok_or_else(bad)?)),
        }
    } else {
        match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    let port = port.map_or(Ok(PORT_DEFAULT), str::parse).map_err(|_| bad())?;
    if host.is_empty() || port == 0 {
        return Err(bad());
    }
    Ok((host.to_owned(), port))
}

impl fmt::Display for ConnectString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (host, port)) in self.servers.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            match host.contains(':') {
                true => write!(f, "{comma}[{host}]:{port}")?,
                false => write!(f, "{comma}{host}:{port}")?,
            }
        }
        if self.chroot == "/" { Ok(()) } else { f.write_str(&self.chroot) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_what_kafka_takes() {
        for (text, servers, chroot) in [
            ("localhost", vec![("localhost", 2181)], "/"),
            ("a:1,b:2", vec![("a", 1), ("b", 2)], "/"),
            ("a:1, b:2/x/kafka", vec![("a", 1), ("b", 2)], "/x/kafka"),
            ("[::1]:5,c/k", vec![("::1", 5), ("c", 2181)], "/k"),
            ("a:1/", vec![("a", 1)], "/"),
        ] {
            let read: ConnectString = text.parse().unwrap();
            let expected: Vec<_> =
                servers.into_iter().map(|(host, port)| (host.to_owned(), port)).collect();
            assert_eq!(read, ConnectString { servers: expected, chroot: chroot.to_owned() });
            assert_eq!(read.to_string().parse(), Ok(read));
        }
    }

    #[test]
    fn refuses_what_makes_no_sense() {
        for bad in
            ["", "/kafka", ",", "a:b", "a:0", "a:70000", ":1", "[::1:5", "a:1/k//l", "a:1/k/"]
        {
            assert!(bad.parse::<ConnectString>().is_err(), "{bad}");
        }
    }
}
