//! A record set as text, the same text that `RecordsOracle` prints for it.

use std::fmt::Write;

use protocol::records::batch::BatchHeader;
use protocol::records::codec::{Codec, Limits};
use protocol::records::legacy::Message;
use protocol::records::view::{Batches, RawBatch};

/// Every batch and record of `set`; panics if anything in it is unreadable.
pub fn dump(set: &[u8]) -> String {
    let mut out = String::new();
    let mut batches = Batches::new(set);
    for raw in batches.by_ref() {
        let raw = raw.expect("a batch");
        raw.verify().expect("a valid CRC");
        batch_line(&mut out, &raw);
        let open = raw.open(&Limits::default()).expect("a batch that opens");
        for record in open.records().expect("a record count") {
            let r = record.expect("a record");
            let (key, value) = (show(r.key), show(r.value));
            let head = format!("  {} ts={} seq={}", r.offset, r.timestamp, r.sequence);
            write!(out, "{head} key={key} value={value}").unwrap();
            for header in r.headers.iter() {
                write!(out, " {}:{}", show(Some(header.key)), show(header.value)).unwrap();
            }
            out.push('\n');
        }
    }
    assert!(batches.rest().is_empty(), "{} bytes left", batches.rest().len());
    out
}

fn batch_line(out: &mut String, raw: &RawBatch<'_>) {
    if raw.magic == 2 {
        let h = BatchHeader::parse(raw.bytes).unwrap();
        write!(
            out,
            "batch magic=2 base={} last={} epoch={} codec={} append_time={} max={}",
            h.base_offset,
            h.last_offset(),
            h.leader_epoch,
            h.codec_kind().unwrap().name(),
            h.is_log_append_time(),
            h.max_timestamp
        )
        .unwrap();
        writeln!(
            out,
            " pid={} pepoch={} seq={}..{} txn={} control={} count={}",
            h.producer_id,
            h.producer_epoch,
            h.base_sequence,
            h.last_sequence(),
            h.is_transactional(),
            h.is_control(),
            h.record_count
        )
        .unwrap();
    } else {
        let m = Message::parse(raw.bytes).unwrap();
        let (codec, append_time) =
            (m.codec().unwrap_or(Codec::None).name(), m.is_log_append_time());
        writeln!(
            out,
            "batch magic={} last={} codec={codec} append_time={append_time} max={}",
            m.magic, m.offset, m.timestamp
        )
        .unwrap();
    }
}

fn show(field: Option<&[u8]>) -> String {
    match field {
        None => "null".to_owned(),
        Some(bytes) if bytes.len() > 40 => {
            format!("{}#{:x}", bytes.len(), crc32fast::hash(bytes))
        }
        Some(bytes) => {
            let mut out = "x".to_owned();
            for byte in bytes {
                write!(out, "{byte:02x}").unwrap();
            }
            out
        }
    }
}
