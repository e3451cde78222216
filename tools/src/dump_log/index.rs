//! `.index`, `.timeindex`, `.txnindex` and `.snapshot` files. Knows nothing of how they are kept.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::Path;

use protocol::records::codec::Limits;

use super::log::java_optional;
use super::segment::{Segment, unreadable};
use super::{Findings, Flags, base_offset, invalid};

const OFFSET_ENTRY_BYTES: usize = 8;
const TIME_ENTRY_BYTES: usize = 12;
const TRANSACTION_ENTRY_BYTES: usize = 34;
const SNAPSHOT_HEADER_BYTES: usize = 10;
const SNAPSHOT_ENTRY_BYTES: usize = 46;

fn i64_at(bytes: &[u8], at: usize) -> i64 {
    i64::from_be_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn i32_at(bytes: &[u8], at: usize) -> i32 {
    i32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn i16_at(bytes: &[u8], at: usize) -> i16 {
    i16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// Whole entries of a file: (offset, position).
fn offset_entries(path: &Path, base: i64) -> io::Result<Vec<(i64, u64)>> {
    let bytes = std::fs::read(path)?;
    let entry = |e: &[u8]| (base + i64::from(i32_at(e, 0)), i32_at(e, 4).max(0) as u64);
    Ok(bytes.chunks_exact(OFFSET_ENTRY_BYTES).map(entry).collect())
}

fn sane(ok: bool, path: &Path, out: &mut impl Write) -> io::Result<()> {
    if !ok {
        return Err(invalid(format!("Index file {} is corrupt", path.display())));
    }
    writeln!(out, "{} passed sanity check.", path.display())
}

pub fn offsets(
    path: &Path,
    flags: &Flags,
    out: &mut impl Write,
    findings: &mut Findings,
) -> io::Result<()> {
    let base = base_offset(path)?;
    let mut segment = Segment::open(&path.with_extension("log"), None)?;
    let entries = offset_entries(path, base)?;
    let Some((last, _)) = entries.last() else {
        return writeln!(out, "{} is empty.", path.display());
    };
    if flags.index_sanity_check {
        let whole = std::fs::metadata(path)?.len() % OFFSET_ENTRY_BYTES as u64 == 0;
        return sane(*last >= base && whole, path, out);
    }
    let mut wrong = Vec::new();
    for (i, (offset, position)) in entries.iter().enumerate() {
        // The rest of a file that was not trimmed.
        if *offset == base && i > 0 {
            break;
        }
        let batch = segment.batch(*position)?;
        let found = match batch {
            Some(batch) => batch.last_offset()?,
            None => return Err(invalid(format!("no batch at position {position} of the log"))),
        };
        if found != *offset {
            wrong.push((*offset, found));
        }
        if !flags.verify_index_only {
            writeln!(out, "offset: {offset} position: {position}")?;
        }
    }
    if !wrong.is_empty() {
        let _ = writeln!(findings.0, "Mismatches in :{}", absolute(path));
        for (index, log) in wrong.iter().rev() {
            let _ = writeln!(findings.0, "  Index offset: {index}, log offset: {log}");
        }
    }
    Ok(())
}

fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

pub fn times(
    path: &Path,
    flags: &Flags,
    out: &mut impl Write,
    findings: &mut Findings,
) -> io::Result<()> {
    let base = base_offset(path)?;
    let mut segment = Segment::open(&path.with_extension("log"), None)?;
    let index = offset_entries(&path.with_extension("index"), base)?;
    let bytes = std::fs::read(path)?;
    let entries: Vec<(i64, i64)> = bytes
        .chunks_exact(TIME_ENTRY_BYTES)
        .map(|e| (i64_at(e, 0), base + i64::from(i32_at(e, 8))))
        .collect();
    if flags.index_sanity_check {
        let ordered = match (entries.first(), entries.last()) {
            (Some(first), Some(last)) => last.0 >= first.0 && last.1 >= base,
            _ => true,
        };
        return sane(ordered && bytes.len() % TIME_ENTRY_BYTES == 0, path, out);
    }
    let (mut wrong, mut unordered, mut missing) = (Vec::new(), Vec::new(), Vec::new());
    let mut before = -1;
    for (i, (timestamp, offset)) in entries.iter().enumerate() {
        if *offset == base && i > 0 {
            break;
        }
        match time_in_log(&mut segment, &index, *offset)? {
            Found::Nothing(last) => missing.push((*offset, last)),
            Found::Time(found) => {
                if found != *timestamp {
                    wrong.push((*timestamp, found));
                }
                if before >= *timestamp {
                    unordered.push((*timestamp, before));
                }
            }
        }
        if !flags.verify_index_only {
            writeln!(out, "timestamp: {timestamp} offset: {offset}")?;
        }
        before = *timestamp;
    }
    let text = &mut findings.0;
    if !wrong.is_empty() {
        let _ = writeln!(text, "Found timestamp mismatch in :{}", absolute(path));
        for (index, log) in wrong {
            let _ = writeln!(text, "  Index timestamp: {index}, log timestamp: {log}");
        }
    }
    if !unordered.is_empty() {
        let _ = writeln!(text, "Found out of order timestamp in :{}", absolute(path));
        for (one, other) in unordered {
            let _ =
                writeln!(text, "  Index timestamp: {one}, Previously indexed timestamp: {other}");
        }
    }
    if !missing.is_empty() {
        let _ = writeln!(text, "The following indexed offsets are not found in the log.");
        for (index, log) in missing {
            let _ = writeln!(text, "Indexed offset: {index}, found log offset: {log}");
        }
    }
    Ok(())
}

enum Found {
    Time(i64),
    /// No batch ends there; the one that holds the offset ends here, −1 if there is none.
    Nothing(i64),
}

/// The largest timestamp in the batch whose last offset is `offset`.
fn time_in_log(segment: &mut Segment, index: &[(i64, u64)], offset: i64) -> io::Result<Found> {
    let nearest = index.iter().filter(|(at, _)| *at <= offset).max_by_key(|(at, _)| *at);
    let mut position = nearest.map_or(0, |(_, position)| *position);
    while let Some(batch) = segment.batch(position)? {
        position += batch.bytes.len() as u64;
        let last = batch.last_offset()?;
        if last < offset {
            continue;
        }
        if last > offset {
            return Ok(Found::Nothing(last));
        }
        let open = batch.raw().open(&Limits::default()).map_err(unreadable)?;
        let mut largest = -1;
        for record in open.records().map_err(unreadable)? {
            largest = record.map_err(unreadable)?.timestamp.max(largest);
        }
        return Ok(Found::Time(largest));
    }
    Ok(Found::Nothing(-1))
}

pub fn transactions(path: &Path, out: &mut impl Write) -> io::Result<()> {
    for e in std::fs::read(path)?.chunks_exact(TRANSACTION_ENTRY_BYTES) {
        writeln!(
            out,
            "version: {} producerId: {} firstOffset: {} lastOffset: {} lastStableOffset: {}",
            i16_at(e, 0),
            i64_at(e, 2),
            i64_at(e, 10),
            i64_at(e, 18),
            i64_at(e, 26)
        )?;
    }
    Ok(())
}

pub fn producers(path: &Path, out: &mut impl Write) -> io::Result<()> {
    let bytes = std::fs::read(path)?;
    if bytes.len() < SNAPSHOT_HEADER_BYTES || i16_at(&bytes, 0) != 1 {
        return Err(invalid("Snapshot contained an unknown file version or is cut off"));
    }
    let stored = i32_at(&bytes, 2) as u32;
    let computed = crc32c::crc32c(&bytes[6..]);
    if stored != computed {
        return Err(invalid(format!(
            "Snapshot is corrupt (CRC is no longer valid). Stored crc: {stored}. Computed crc: \
             {computed}"
        )));
    }
    for e in bytes[SNAPSHOT_HEADER_BYTES..].chunks_exact(SNAPSHOT_ENTRY_BYTES) {
        let (last_sequence, last_offset) = (i32_at(e, 10), i64_at(e, 14));
        let (delta, timestamp) = (i32_at(e, 22), i64_at(e, 26));
        let open = Some(i64_at(e, 38)).filter(|offset| *offset >= 0);
        write!(
            out,
            "producerId: {} producerEpoch: {} coordinatorEpoch: {} currentTxnFirstOffset: {} \
             lastTimestamp: {timestamp} ",
            i64_at(e, 0),
            i16_at(e, 8),
            i32_at(e, 34),
            java_optional(open)
        )?;
        if last_offset >= 0 {
            // Sequences wrap at 2³¹.
            let first = (i64::from(last_sequence) - i64::from(delta)).rem_euclid(1 << 31);
            write!(
                out,
                "firstSequence: {first} lastSequence: {last_sequence} lastOffset: {last_offset} \
                 offsetDelta: {delta} timestamp: {timestamp}"
            )?;
        }
        writeln!(out)?;
    }
    Ok(())
}
