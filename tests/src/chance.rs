//! Numbers that can be had again: a seed, and what follows from it.

use std::process::Command;

use crate::places;

/// xorshift; not for secrets.
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Chance {
        // Mixed, so that seeds next to each other give different numbers; 0 would give only zeros.
        let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for _ in 0..8 {
            chance.next();
        }
        chance
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// 0 up to, and without, `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// Puts `items` into a random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }

    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u64) as usize]
    }
}

/// `OTTLA_TEST_SEED`; without it the commit under test, so that commits differ and one commit runs
/// the same again.
pub fn seed() -> u64 {
    if let Ok(text) = std::env::var("OTTLA_TEST_SEED") {
        return text.parse().expect("OTTLA_TEST_SEED is a number");
    }
    let mut git = Command::new("git");
    let output = git.args(["rev-parse", "HEAD"]).current_dir(places::root()).output();
    let commit = output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned());
    let commit = commit.unwrap_or_default();
    // Short enough to be typed.
    commit.get(..8).and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_order() {
        let order = |seed| {
            let mut items: Vec<u32> = (0..20).collect();
            Chance::new(seed).shuffle(&mut items);
            items
        };
        assert_eq!(order(7), order(7));
        assert_ne!(order(7), order(8));
        let mut sorted = order(7);
        sorted.sort_unstable();
        assert_eq!(sorted, (0..20).collect::<Vec<_>>());
    }
}
