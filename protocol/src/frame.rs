//! Frames: a length of four bytes, then so many bytes of header and body. Knows nothing of sockets.

use bytes::{Buf, Bytes, BytesMut};

use crate::api::ApiKey;
use crate::header::{RequestHeader, ResponseHeader};
use crate::wire::{Message, Request, Rope, WireError, Writer};

/// The length of a frame, before it.
pub const LENGTH_BYTES: usize = 4;

/// Why a length cannot be the one of a frame: the connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("frame length {0} is negative")]
    Negative(i32),
    #[error("frame of {len} bytes, {max} allowed")]
    TooLarge { len: usize, max: usize },
}

/// The bytes that follow `prefix`, if they are at most `max_bytes` (`socket.request.max.bytes`).
pub fn frame_len(prefix: [u8; LENGTH_BYTES], max_bytes: usize) -> Result<usize, FrameError> {
    let raw = i32::from_be_bytes(prefix);
    let len = usize::try_from(raw).map_err(|_| FrameError::Negative(raw))?;
    if len > max_bytes {
        return Err(FrameError::TooLarge { len, max: max_bytes });
    }
    Ok(len)
}

/// Takes the first frame out of what has been received, without its length and without a copy;
/// `None` until it is all there.
pub fn take_frame(received: &mut BytesMut, max_bytes: usize) -> Result<Option<Bytes>, FrameError> {
    let Some(prefix) = received.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
    let len = frame_len(*prefix, max_bytes)?;
    if received.len() - LENGTH_BYTES < len {
        return Ok(None);
    }
    received.advance(LENGTH_BYTES);
    Ok(Some(received.split_to(len).freeze()))
}

/// A whole frame with a request in it.
pub fn request_frame<R: Request>(
    version: i16,
    correlation_id: i32,
    client_id: Option<&str>,
    body: &R,
) -> Result<Rope, WireError> {
    let client_id = client_id.map(str::to_owned);
    let header = RequestHeader { api: R::KEY, version, correlation_id, client_id };
    let mut w = Writer::frame();
    header.encode(&mut w)?;
    body.encode(&mut w, version)?;
    w.finish()
}

/// A whole frame with a response in it, to a request of `api` in `version`.
pub fn response_frame<M: Message>(
    api: ApiKey,
    version: i16,
    correlation_id: i32,
    body: &M,
) -> Result<Rope, WireError> {
    let mut w = Writer::frame();
    ResponseHeader { correlation_id }.encode(&mut w, api, version);
    body.encode(&mut w, version)?;
    w.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_checked_before_anything_is_read() {
        assert_eq!(frame_len([0, 0, 0, 9], 9), Ok(9));
        assert_eq!(frame_len([0, 0, 0, 10], 9), Err(FrameError::TooLarge { len: 10, max: 9 }));
        assert_eq!(frame_len([0xff; 4], 9), Err(FrameError::Negative(-1)));
    }

    #[test]
    fn frames_are_taken_one_by_one() {
        let mut received = BytesMut::from(&[0, 0, 0, 2, 1, 2, 0, 0, 0, 0, 0, 0, 0, 3, 9][..]);
        assert_eq!(take_frame(&mut received, 8), Ok(Some(Bytes::from_static(&[1, 2]))));
        assert_eq!(take_frame(&mut received, 8), Ok(Some(Bytes::new())));
        assert_eq!(take_frame(&mut received, 8), Ok(None));
        received.extend_from_slice(&[8, 7]);
        assert_eq!(take_frame(&mut received, 8), Ok(Some(Bytes::from_static(&[9, 8, 7]))));
        assert_eq!(take_frame(&mut received, 8), Ok(None));
    }
}
