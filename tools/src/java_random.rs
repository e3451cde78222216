//! Java's random numbers, so that tools make the same payloads as Kafka's. Knows nothing of what
//! they are for.

/// `java.util.SplittableRandom`.
pub struct SplittableRandom(u64);

impl SplittableRandom {
    pub fn new(seed: u64) -> SplittableRandom {
        SplittableRandom(seed)
    }

    fn next(&mut self) -> i32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 33)).wrapping_mul(0x62a9_d9ed_7997_05f5);
        ((z ^ (z >> 28)).wrapping_mul(0xcb24_d0a5_c88c_35b3) >> 32) as i32
    }

    /// 0 up to, and without, `bound`, which is at least 1.
    pub fn below(&mut self, bound: i32) -> i32 {
        let most = bound - 1;
        let first = self.next();
        if bound & most == 0 {
            return first & most;
        }
        let mut bits = (first as u32 >> 1) as i32;
        loop {
            let value = bits % bound;
            if bits.wrapping_add(most).wrapping_sub(value) >= 0 {
                return value;
            }
            bits = (self.next() as u32 >> 1) as i32;
        }
    }
}

/// `java.util.Random`.
pub struct Random(u64);

impl Random {
    const MULTIPLIER: u64 = 0x5_deec_e66d;
    const MASK: u64 = (1 << 48) - 1;

    pub fn new(seed: u64) -> Random {
        Random((seed ^ Self::MULTIPLIER) & Self::MASK)
    }

    /// 31 random bits.
    fn next(&mut self) -> i32 {
        self.0 = (self.0.wrapping_mul(Self::MULTIPLIER).wrapping_add(0xb)) & Self::MASK;
        (self.0 >> 17) as i32
    }

    /// 0 up to, and without, `bound`, which is at least 1.
    pub fn below(&mut self, bound: i32) -> i32 {
        let most = bound - 1;
        let mut bits = self.next();
        if bound & most == 0 {
            return ((i64::from(bound) * i64::from(bits)) >> 31) as i32;
        }
        loop {
            let value = bits % bound;
            if bits.wrapping_sub(value).wrapping_add(most) >= 0 {
                return value;
            }
            bits = self.next();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_javas() {
        // `new Random(42).nextInt(10)`, the best known of Java's random numbers.
        let mut random = Random::new(42);
        let numbers: Vec<i32> = (0..6).map(|_| random.below(10)).collect();
        assert_eq!(numbers, [0, 3, 8, 4, 0, 5]);
        let mut random = SplittableRandom::new(0);
        assert!((0..1000).map(|_| random.below(26)).all(|n| (0..26).contains(&n)));
    }
}
