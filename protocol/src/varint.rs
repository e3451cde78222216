//! Variable-length integers: 7 bits a byte, least significant first. Knows nothing of what they
//! count; see KIP-482 (unsigned) and KIP-98 (zigzag), Kafka's `ByteUtils`.

/// Longest encoding of 32 bits.
pub const VARINT_BYTES_MAX: usize = 5;
/// Longest encoding of 64 bits.
pub const VARLONG_BYTES_MAX: usize = 10;

/// Why bytes are not a variable-length integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VarintError {
    #[error("a variable-length integer is cut off")]
    Short,
    #[error("a variable-length integer has more bytes than its type may have")]
    Long,
}

/// Reads an unsigned 32-bit integer; gives it and the bytes it took.
#[inline]
pub fn read_u32(bytes: &[u8]) -> Result<(u32, usize), VarintError> {
    let mut value = 0u32;
    for i in 0..VARINT_BYTES_MAX {
        let byte = *bytes.get(i).ok_or(VarintError::Short)?;
        value |= u32::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            return Ok((value, i + 1));
        }
    }
    Err(VarintError::Long)
}

/// Reads an unsigned 64-bit integer; gives it and the bytes it took.
#[inline]
pub fn read_u64(bytes: &[u8]) -> Result<(u64, usize), VarintError> {
    let mut value = 0u64;
    for i in 0..VARLONG_BYTES_MAX {
        let byte = *bytes.get(i).ok_or(VarintError::Short)?;
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            return Ok((value, i + 1));
        }
    }
    Err(VarintError::Long)
}

/// Reads a zigzag 32-bit integer; gives it and the bytes it took.
#[inline]
pub fn read_i32(bytes: &[u8]) -> Result<(i32, usize), VarintError> {
    read_u32(bytes).map(|(value, size)| (unzigzag_i32(value), size))
}

/// Reads a zigzag 64-bit integer; gives it and the bytes it took.
#[inline]
pub fn read_i64(bytes: &[u8]) -> Result<(i64, usize), VarintError> {
    read_u64(bytes).map(|(value, size)| (unzigzag_i64(value), size))
}

#[inline]
pub fn write_u32(out: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[inline]
pub fn write_u64(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[inline]
pub fn write_i32(out: &mut Vec<u8>, value: i32) {
    write_u32(out, zigzag_i32(value));
}

#[inline]
pub fn write_i64(out: &mut Vec<u8>, value: i64) {
    write_u64(out, zigzag_i64(value));
}

/// Bytes that `write_u64` writes.
#[inline]
pub fn size_u64(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Bytes that `write_i32` writes.
#[inline]
pub fn size_i32(value: i32) -> usize {
    size_u64(u64::from(zigzag_i32(value)))
}

/// Bytes that `write_i64` writes.
#[inline]
pub fn size_i64(value: i64) -> usize {
    size_u64(zigzag_i64(value))
}

#[inline]
pub fn zigzag_i32(value: i32) -> u32 {
    (value << 1 ^ value >> 31) as u32
}

#[inline]
pub fn unzigzag_i32(value: u32) -> i32 {
    (value >> 1) as i32 ^ -((value & 1) as i32)
}

#[inline]
pub fn zigzag_i64(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

#[inline]
pub fn unzigzag_i64(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_round_trip_with_the_size_foretold() {
        let values =
            [0, 1, -1, 63, 64, -64, -65, 8191, i64::from(i32::MAX), i64::MAX, i64::MIN, 1 << 40];
        for value in values {
            let mut out = Vec::new();
            write_i64(&mut out, value);
            assert_eq!(out.len(), size_i64(value), "{value}");
            assert_eq!(read_i64(&out), Ok((value, out.len())));
            assert_eq!(read_i64(&out[..out.len() - 1]), Err(VarintError::Short));
            if let Ok(small) = i32::try_from(value) {
                let mut narrow = Vec::new();
                write_i32(&mut narrow, small);
                assert_eq!(narrow, out);
                assert_eq!(narrow.len(), size_i32(small));
                assert_eq!(read_i32(&narrow), Ok((small, narrow.len())));
            }
        }
    }

    #[test]
    fn a_run_of_continuations_ends() {
        assert_eq!(read_i32(&[0x80; 20]), Err(VarintError::Long));
        assert_eq!(read_i64(&[0x80; 20]), Err(VarintError::Long));
        assert_eq!(read_u32(&[]), Err(VarintError::Short));
    }
}
