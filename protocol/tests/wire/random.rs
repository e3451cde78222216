//! Random messages as bytes, written by walking a schema: a second encoder that shares no code with
//! the derive. Knows nothing of how bytes are read.

use protocol::wire::schema::{Field, Schema, Type};

/// SplitMix64: small, and the same everywhere for the same seed.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// Writes one random message of `schema`.
pub fn message(random: &mut Random, schema: &Schema, version: i16, flexible: bool) -> Vec<u8> {
    let mut writer = RandomWriter { random, version, flexible, out: Vec::new() };
    writer.structure(schema, false);
    writer.out
}

struct RandomWriter<'a> {
    random: &'a mut Random,
    version: i16,
    flexible: bool,
    out: Vec<u8>,
}

impl RandomWriter<'_> {
    /// `set`: every value differs from any default, since a tagged field must to be written at all.
    fn structure(&mut self, schema: &Schema, set: bool) {
        let here = |field: &&Field| field.versions.contains(self.version);
        let (mut tagged, plain): (Vec<&Field>, Vec<&Field>) =
            schema.fields.iter().filter(here).partition(|field| field.tag.is_some());
        for field in plain {
            self.field(field, set);
        }
        if !self.flexible {
            return;
        }
        tagged.retain(|_| self.random.below(2) == 0);
        tagged.sort_by_key(|field| field.tag);
        self.uvarint(tagged.len() as u64);
        for field in tagged {
            self.uvarint(field.tag.expect("only tagged fields are here").into());
            let mut inner = RandomWriter { out: Vec::new(), random: self.random, ..*self };
            inner.field(field, true);
            let bytes = inner.out;
            self.uvarint(bytes.len() as u64);
            self.out.extend(bytes);
        }
    }

    fn field(&mut self, field: &Field, set: bool) {
        if field.nullable.contains(self.version) {
            let null = !set && self.random.below(4) == 0;
            if matches!(field.ty, Type::Struct(_)) {
                self.out.push(if null { 0xff } else { 1 });
            } else if null && self.flexible {
                self.out.push(0);
            } else if null {
                let bytes = if field.ty == Type::String { 2 } else { 4 };
                self.out.extend(vec![0xff; bytes]);
            }
            if null {
                return;
            }
        }
        self.value(field.ty, set);
    }

    fn value(&mut self, ty: Type, set: bool) {
        match ty {
            Type::Bool => {
                let value = self.random.below(2) as u8;
                self.out.push(if set { 1 } else { value });
            }
            Type::Int8 => self.number(1, set),
            Type::Int16 | Type::Uint16 => self.number(2, set),
            Type::Int32 => self.number(4, set),
            Type::Int64 => self.number(8, set),
            Type::Float64 => {
                let value = self.random.below(1 << 50) as f64 / 1024.0;
                self.out.extend(value.to_be_bytes());
            }
            Type::Uuid => {
                for _ in 0..2 {
                    let half = self.random.next() | 1;
                    self.out.extend(half.to_be_bytes());
                }
            }
            Type::String => {
                let count = set as u64 + self.random.below(12);
                let letters = ['a', 'Z', '0', '.', '-', 'é', '€', '𝄞'];
                let text: String = (0..count)
                    .map(|_| letters[self.random.below(letters.len() as u64) as usize])
                    .collect();
                self.length(text.len(), 2);
                self.out.extend(text.bytes());
            }
            Type::Bytes | Type::Records => {
                // Now and then more than the writer copies, so that it is a piece of the rope.
                let most = if self.random.below(8) == 0 { 2000 } else { 40 };
                let count = set as u64 + self.random.below(most);
                self.length(count as usize, 4);
                for _ in 0..count {
                    let byte = self.random.next() as u8;
                    self.out.push(byte);
                }
            }
            Type::Array(element) => {
                let count = set as u64 + self.random.below(4);
                self.length(count as usize, 4);
                for _ in 0..count {
                    self.value(*element, false);
                }
            }
            Type::Struct(schema) => self.structure(schema, set),
        }
    }

    /// Small, extreme or any.
    fn number(&mut self, bytes: usize, set: bool) {
        let extremes = [0, u64::MAX, i64::MAX as u64, i64::MIN as u64];
        let value = match self.random.below(3) {
            _ if set => 2 + self.random.below(100),
            0 => self.random.below(200),
            1 => extremes[self.random.below(4) as usize],
            _ => self.random.next(),
        };
        let whole = value.to_be_bytes();
        // An extreme keeps its sign bit when it is cut from the top.
        let shifted = if extremes.contains(&value) { &whole[..bytes] } else { &whole[8 - bytes..] };
        self.out.extend(shifted);
    }

    fn length(&mut self, len: usize, classic_bytes: usize) {
        if self.flexible {
            self.uvarint(len as u64 + 1);
        } else {
            self.out.extend(&(len as u64).to_be_bytes()[8 - classic_bytes..]);
        }
    }

    fn uvarint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.out.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }
}
