//! The only place of the broker that draws random numbers. Knows nothing of what they are for.

use std::cell::Cell;

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

/// Numbers that only look random, for the thread of a simulation.
#[derive(Clone, Copy)]
struct Drawn {
    seed: u64,
    count: u64,
}

thread_local! {
    static DRAWN: Cell<Option<Drawn>> = const { Cell::new(None) };
}

/// From now on this thread draws what follows from `seed`: a simulation is to be replayed.
pub fn follow(seed: u64) {
    DRAWN.set(Some(Drawn { seed, count: 0 }));
}

fn bytes() -> [u8; 16] {
    let mut bytes = [0; 16];
    if let Some(Drawn { seed, count }) = DRAWN.get() {
        DRAWN.set(Some(Drawn { seed, count: count + 2 }));
        bytes[..8].copy_from_slice(&mixed(seed, count).to_le_bytes());
        bytes[8..].copy_from_slice(&mixed(seed, count + 1).to_le_bytes());
        return bytes;
    }
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

/// The number at a place of a seed's sequence (SplitMix64).
fn mixed(seed: u64, place: u64) -> u64 {
    let mut z = seed.wrapping_add((place + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
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

    #[test]
    fn a_thread_that_follows_a_seed_draws_the_same_again() {
        let drawn = |seed: u64| {
            let draw = move || {
                follow(seed);
                (uuid(), uuid(), super::seed())
            };
            std::thread::spawn(draw).join().expect("it draws")
        };
        assert_eq!(drawn(7), drawn(7));
        assert_ne!(drawn(7), drawn(8));
        assert_ne!(drawn(7).0, drawn(7).1);
    }
}
