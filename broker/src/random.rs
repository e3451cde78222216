//! The only place of the broker that draws random numbers. Knows nothing of what they are for.

use protocol::ids::Uuid;
use rustix::rand::{GetRandomFlags, getrandom};

/// 128 random bits as Kafka makes its ids: version 4, and its text never begins with a dash, which
/// a command line would take for a flag.
pub fn uuid() -> Uuid {
    loop {
        let mut bytes = bytes();
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let uuid = Uuid(bytes);
        if !uuid.to_string().starts_with('-') {
            return uuid;
        }
    }
}

/// For spreading load and retries.
pub fn seed() -> u64 {
    let bytes = bytes();
    u64::from_le_bytes(bytes[..8].try_into().expect("sixteen bytes hold eight"))
}

fn bytes() -> [u8; 16] {
    let mut bytes = [0; 16];
    let mut filled = 0;
    while filled < bytes.len() {
        match getrandom(&mut bytes[filled..], GetRandomFlags::empty()) {
            Ok(count) => filled += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => panic!("the system has no randomness: {error}"),
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_and_are_of_version_4() {
        let (a, b) = (uuid(), uuid());
        assert_ne!(a, b);
        assert_eq!((a.0[6] >> 4, a.0[8] >> 6), (4, 2));
    }
}
