//! The derive and the rope, on small structs made for it.

use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::ids::Uuid;

#[derive(Debug, Clone, PartialEq, Wire)]
struct Inner {
    id: i32,
    #[wire(versions = 2..)]
    name: String,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(versions = 0..=4, flexible = 3..)]
struct Outer {
    #[wire(nullable = 1.., default = null)]
    text: Option<String>,
    #[wire(versions = 1..=2, default = -1)]
    gone: i64,
    #[wire(versions = 2.., default = -1, ignorable)]
    hint: i16,
    inner: Vec<Inner>,
    #[wire(nullable = 0..)]
    records: Option<Records>,
    #[wire(versions = 3.., tag = 1)]
    late: Vec<Uuid>,
    #[wire(versions = 3.., tag = 0, nullable = 3.., default = null)]
    early: Option<Bytes>,
}

fn sample() -> Outer {
    Outer {
        text: Some("abc".into()),
        inner: vec![Inner { id: 1, name: String::new() }, Inner { id: 2, name: String::new() }],
        records: Some(Bytes::from_static(b"rec").into()),
        ..Outer::default()
    }
}

fn encode(message: &impl Message, version: i16) -> Result<Vec<u8>, WireError> {
    let mut w = Writer::new();
    message.encode(&mut w, version)?;
    Ok(w.finish()?.into_bytes().expect("no payload").to_vec())
}

fn decode<M: Message>(bytes: &[u8], version: i16) -> Result<M, WireError> {
    M::decode(&mut Reader::for_frame(Bytes::copy_from_slice(bytes)), version)
}

#[test]
fn defaults_are_the_schemas() {
    let default = Outer::default();
    assert_eq!((default.text, default.gone, default.records), (None, -1, None));
}

#[test]
fn classic_bytes() {
    let bytes = encode(&sample(), 0).expect("fits version 0");
    #[rustfmt::skip]
    let expected = [
        0, 3, b'a', b'b', b'c',
        0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2,
        0, 0, 0, 3, b'r', b'e', b'c',
    ];
    assert_eq!(bytes, expected);
    assert_eq!(decode::<Outer>(&bytes, 0), Ok(sample()));
}

#[test]
fn flexible_bytes_with_tags_in_order() {
    let message = Outer {
        hint: 5,
        late: vec![Uuid([7; 16])],
        early: Some(Bytes::from_static(b"!")),
        inner: vec![],
        ..sample()
    };
    let bytes = encode(&message, 3).expect("fits version 3");
    let mut expected = vec![4, b'a', b'b', b'c', 0, 5, 1, 4, b'r', b'e', b'c'];
    expected.extend([2, 0, 2, 2, b'!', 1, 17, 2]);
    expected.extend([7; 16]);
    assert_eq!(bytes, expected);
    assert_eq!(decode::<Outer>(&bytes, 3), Ok(message));
}

#[test]
fn fields_that_a_version_lacks() {
    let set = Outer { gone: 7, ..sample() };
    let field = "Outer.gone";
    assert_eq!(encode(&set, 0), Err(WireError::NotInVersion { field, version: 0 }));
    assert!(encode(&set, 1).is_ok());
    assert_eq!(encode(&set, 3), Err(WireError::NotInVersion { field, version: 3 }));
    assert!(encode(&Outer { hint: 7, ..sample() }, 1).is_ok(), "ignorable");
    let tagged = Outer { late: vec![Uuid::ZERO], ..sample() };
    let field = "Outer.late";
    assert_eq!(encode(&tagged, 2), Err(WireError::NotInVersion { field, version: 2 }));
    assert_eq!(encode(&Outer { text: None, ..sample() }, 0), Err(WireError::Null));
    assert!(matches!(encode(&sample(), 5), Err(WireError::UnknownVersion { version: 5, .. })));
}

#[test]
fn unknown_tags_are_passed_by_and_known_ones_must_fill_their_size() {
    let mut bytes = encode(&sample(), 3).expect("fits version 3");
    assert_eq!(bytes.pop(), Some(0));
    let mut unknown = bytes.clone();
    unknown.extend([2, 9, 3, 1, 2, 3, 10, 0]);
    assert_eq!(decode::<Outer>(&unknown, 3), Ok(sample()));
    let mut wrong = bytes.clone();
    wrong.extend([1, 0, 3, 2, b'x', 0]);
    assert_eq!(decode::<Outer>(&wrong, 3), Err(WireError::Tag { tag: 0, bytes: 3 }));
    bytes.extend([1, 9, 100, 1]);
    assert_eq!(decode::<Outer>(&bytes, 3), Err(WireError::Short { need: 100, have: 1 }));
}

#[test]
fn counts_beyond_the_frame_or_the_allowance_reserve_nothing() {
    let v = Version { number: 0, flexible: false };
    let lying = Bytes::from_static(&[0x7f, 0xff, 0xff, 0xff, 0, 0]);
    let error = Vec::<i64>::read(&mut Reader::for_frame(lying), v).unwrap_err();
    assert!(matches!(error, WireError::Short { have: 2, .. }), "{error}");

    let mut honest = vec![0, 0, 4, 0];
    honest.resize(4 + 1024 * 4, 0);
    let mut r = Reader::new(honest.clone().into(), Budget::bytes(4096));
    assert_eq!(Vec::<i32>::read(&mut r, v).map(|all| all.len()), Ok(1024));
    assert_eq!(r.budget_left(), 0);
    let mut r = Reader::new(honest.into(), Budget::bytes(4095));
    let over = WireError::OverBudget { need: 4096, left: 4095 };
    assert_eq!(Vec::<i32>::read(&mut r, v), Err(over));
}

#[test]
fn malformed_text_is_replaced_as_kafka_does() {
    let v = Version { number: 0, flexible: true };
    let mut r = Reader::for_frame(Bytes::from_static(&[3, b'a', 0xff]));
    assert_eq!(String::read(&mut r, v), Ok("a\u{fffd}".to_owned()));
}

#[derive(Debug)]
struct FileSlice(usize);

impl Payload for FileSlice {
    fn len(&self) -> usize {
        self.0
    }
}

#[test]
fn large_bytes_and_payloads_are_pieces_of_the_rope() {
    let large = Bytes::from(vec![1; 4096]);
    let message = Outer { records: Some(large.clone().into()), ..sample() };
    let mut w = Writer::frame();
    message.encode(&mut w, 3).expect("fits version 3");
    let rope = w.finish().expect("small");
    let Chunk::Bytes(piece) = &rope.chunks[1] else { panic!("bytes went in") };
    assert_eq!(piece.as_ptr(), large.as_ptr(), "not copied");
    let len = rope.len();
    let whole = rope.into_bytes().expect("no payload");
    assert_eq!(whole.len(), len);
    assert_eq!(whole[..4], (len as u32 - 4).to_be_bytes());
    assert_eq!(decode::<Outer>(&whole[4..], 3), Ok(message));

    let payload: Arc<dyn Payload> = Arc::new(FileSlice(1 << 20));
    let message = Outer { records: Some(Records::Payload(payload)), ..sample() };
    let mut w = Writer::frame();
    message.encode(&mut w, 3).expect("fits version 3");
    let rope = w.finish().expect("small");
    assert_eq!(rope.len(), rope.chunks.iter().map(Chunk::len).sum::<usize>());
    let Chunk::Bytes(head) = &rope.chunks[0] else { panic!("the head is bytes") };
    assert_eq!(head[..4], (rope.len() as u32 - 4).to_be_bytes());
    let Chunk::Payload(payload) = &rope.chunks[1] else { panic!("the payload is kept") };
    let any: &dyn std::any::Any = &**payload;
    assert!(any.is::<FileSlice>());
    assert!(rope.into_bytes().is_none());
}

#[test]
fn a_tag_around_a_piece_moves_it() {
    let large = Bytes::from(vec![2; 1000]);
    let message = Outer { early: Some(large), late: vec![Uuid([1; 16])], ..sample() };
    let bytes = encode(&message, 4).expect("fits version 4");
    assert_eq!(decode::<Outer>(&bytes, 4), Ok(message));
}
