//! The one-shot watches a session holds, so that each is told once and all can be set again on
//! another server. Knows nothing of packets.

use std::collections::BTreeSet;

use crate::store::{Change, Op, Reply, StoreError};

/// Paths in one packet of watches set again; ZooKeeper's own client stops at 128 KiB too.
const SET_BYTES_MAX: usize = 128 * 1024;

/// Paths are as the caller named them, below the chroot.
#[derive(Debug, Default)]
pub struct Watches {
    /// Set by reads of existing nodes.
    data: BTreeSet<String>,
    /// Set by asking for nodes that did not exist.
    exists: BTreeSet<String>,
    children: BTreeSet<String>,
}

impl Watches {
    /// Notes the watch that `op` set, judging by its outcome, as the server does.
    pub fn note(&mut self, op: &Op, outcome: &Result<Reply, StoreError>) {
        match (op, outcome) {
            (Op::Get { path, watch: true }, Ok(_))
            | (Op::Exists { path, watch: true }, Ok(Reply::Exists { stat: Some(_) })) => {
                self.data.insert(path.clone());
            }
            (Op::Exists { path, watch: true }, Ok(_)) => {
                self.exists.insert(path.clone());
            }
            (Op::Children { path, watch: true }, Ok(_)) => {
                self.children.insert(path.clone());
            }
            _ => {}
        }
    }

    /// Takes off what a notification fires; false if nobody waits for it.
    pub fn fire(&mut self, path: &str, change: Change) -> bool {
        match change {
            Change::Created | Change::DataChanged => {
                self.data.remove(path) | self.exists.remove(path)
            }
            Change::ChildrenChanged => self.children.remove(path),
            Change::Deleted => {
                self.data.remove(path) | self.exists.remove(path) | self.children.remove(path)
            }
        }
    }

    pub fn clear(&mut self) {
        *self = Watches::default();
    }

    /// All of them in packets' worth: data, exists, children. `outer` maps a path to the server's.
    pub fn packets(&self, outer: impl Fn(&str) -> String) -> Vec<[Vec<String>; 3]> {
        let mut packets: Vec<[Vec<String>; 3]> = Vec::new();
        let mut room = 0;
        for (kind, paths) in [&self.data, &self.exists, &self.children].into_iter().enumerate() {
            for path in paths {
                let path = outer(path);
                let bytes = 4 + path.len();
                if packets.is_empty() || room < bytes {
                    packets.push(Default::default());
                    room = SET_BYTES_MAX;
                }
                room = room.saturating_sub(bytes);
                if let Some(packet) = packets.last_mut() {
                    packet[kind].push(path);
                }
            }
        }
        packets
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Stat;

    fn with(ops: &[(&str, u8)]) -> Watches {
        let mut watches = Watches::default();
        for (path, kind) in ops {
            let (path, watch) = ((*path).to_owned(), true);
            let (op, stat) = match kind {
                b'd' => (Op::Exists { path, watch }, Some(Stat::default())),
                b'e' => (Op::Exists { path, watch }, None),
                _ => (Op::Children { path, watch }, None),
            };
            watches.note(&op, &Ok(Reply::Exists { stat }));
        }
        watches
    }

    #[test]
    fn each_kind_fires_once_and_only_for_its_change() {
        let mut watches = with(&[("/a", b'd'), ("/b", b'e'), ("/a", b'c')]);
        assert!(!watches.fire("/b", Change::ChildrenChanged));
        assert!(watches.fire("/b", Change::Created) && !watches.fire("/b", Change::Created));
        assert!(
            watches.fire("/a", Change::DataChanged) && !watches.fire("/a", Change::DataChanged)
        );
        assert!(
            watches.fire("/a", Change::Deleted) && !watches.fire("/a", Change::ChildrenChanged)
        );
        let failed = Err(StoreError::NoNode("/c".to_owned()));
        watches.note(&Op::Get { path: "/c".to_owned(), watch: true }, &failed);
        assert!(!watches.fire("/c", Change::Created));
    }

    #[test]
    fn many_are_set_again_in_several_packets() {
        let long = "x".repeat(1000);
        let paths: Vec<String> = (0..300).map(|i| format!("/{i:03}{long}")).collect();
        let kinds: Vec<(&str, u8)> =
            paths.iter().enumerate().map(|(i, path)| (path.as_str(), b"dec"[i % 3])).collect();
        let packets = with(&kinds).packets(|path| format!("/kafka{path}"));
        assert_eq!(packets.len(), 3);
        let all: usize = packets.iter().flatten().map(Vec::len).sum();
        assert_eq!(all, 300);
        for packet in packets {
            assert!(
                packet.iter().flatten().map(|path| path.len() + 4).sum::<usize>() <= SET_BYTES_MAX
            );
        }
        assert!(Watches::default().packets(str::to_owned).is_empty());
    }
}
