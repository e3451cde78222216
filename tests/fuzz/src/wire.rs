//! What the fuzzer, and the test that replays its corpus, do with bytes that claim to be frames or
//! messages. Knows nothing of where the bytes come from.

use bytes::{Bytes, BytesMut};
use protocol::frame;
use protocol::header::RequestHeader;
use protocol::messages::catalog::{CATALOG, Entry};
use protocol::wire::{Budget, Reader, Writer};

/// A broker's `socket.request.max.bytes`, as small as makes sense here.
const FRAME_BYTES_MAX: usize = 1 << 20;

/// A connection's bytes: frames, headers, and the bodies of requests that exist.
pub fn frames(data: &[u8]) {
    let mut received = BytesMut::from(data);
    while let Ok(Some(bytes)) = frame::take_frame(&mut received, FRAME_BYTES_MAX) {
        let mut r = Reader::for_frame(bytes);
        let Ok(header) = RequestHeader::decode(&mut r) else { return };
        if !header.is_supported() {
            return;
        }
        let request = CATALOG.iter().find(|entry| entry.api == Some(header.api));
        let request = request.expect("every API has a request, which stands before its response");
        let _ = (request.decode)(&mut r, header.version);
    }
}

/// Two bytes that choose a type and a version, then a message. What can be read and written must
/// not change when it is read and written once more.
pub fn messages(data: &[u8]) {
    let Some((choice, body)) = data.split_first_chunk::<2>() else { return };
    let (entry, version) = choose(u16::from_be_bytes(*choice));
    let Some(once) = recode(entry, version, Bytes::copy_from_slice(body)) else { return };
    let twice = recode(entry, version, once.clone());
    assert_eq!(twice.as_ref(), Some(&once), "{} v{version}", entry.name);
}

/// Types and versions in the catalog's order, over and over.
pub fn choose(choice: u16) -> (&'static Entry, i16) {
    let versions = |entry: &Entry| (entry.max_version - entry.min_version + 1) as usize;
    let all: usize = CATALOG.iter().map(versions).sum();
    let mut left = choice as usize % all;
    for entry in CATALOG {
        if left < versions(entry) {
            return (entry, entry.min_version + left as i16);
        }
        left -= versions(entry);
    }
    unreachable!("the remainder is below the sum")
}

fn recode(entry: &Entry, version: i16, bytes: Bytes) -> Option<Bytes> {
    // What is written may be a little longer than what was read: replacement characters.
    let mut r = Reader::new(bytes, Budget::for_frame(FRAME_BYTES_MAX));
    let mut w = Writer::new();
    (entry.recode)(&mut r, version, &mut w).ok()?;
    Some(w.finish().ok()?.into_bytes().expect("decoded messages hold no payload"))
}
