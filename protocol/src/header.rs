//! What stands before the body of a request and of a response. Knows nothing of bodies, nor of
//! which versions a broker serves.

use crate::api::ApiKey;
use crate::wire::{Reader, Version, Wire, WireError, Writer};

/// Why a request's header is of no use: the connection is closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    #[error("no API has key {key}")]
    UnknownApi { key: i16 },
    #[error(transparent)]
    Wire(#[from] WireError),
}

/// The header of a request, in versions 0, 1 and 2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHeader {
    pub api: ApiKey,
    /// May lie outside of the API's range: see [`RequestHeader::is_supported`].
    pub version: i16,
    pub correlation_id: i32,
    pub client_id: Option<String>,
}

/// The client id is never compact, whatever the version: a broker must be able to read it from a
/// client that is newer than itself (KIP-482).
const CLASSIC: Version = Version { number: 0, flexible: false };
const TAGGED: Version = Version { number: 0, flexible: true };

impl RequestHeader {
    /// Whether Kafka 3.9.2 has this version of the API. If not, the body cannot be read;
    /// ApiVersions is then answered in version 0 with `UNSUPPORTED_VERSION`.
    pub fn is_supported(&self) -> bool {
        self.api.versions().contains(&self.version)
    }

    pub fn decode(r: &mut Reader) -> Result<RequestHeader, HeaderError> {
        let key = r.i16()?;
        let version = r.i16()?;
        let api = ApiKey::from_key(key).ok_or(HeaderError::UnknownApi { key })?;
        let correlation_id = r.i32()?;
        let header_version = api.request_header_version(version);
        let client_id = if header_version >= 1 { String::read_nullable(r, CLASSIC)? } else { None };
        if header_version >= 2 {
            r.skip_tags(TAGGED)?;
        }
        Ok(RequestHeader { api, version, correlation_id, client_id })
    }

    pub fn encode(&self, w: &mut Writer) -> Result<(), WireError> {
        w.i16(self.api.key());
        w.i16(self.version);
        w.i32(self.correlation_id);
        let header_version = self.api.request_header_version(self.version);
        if header_version >= 1 {
            String::write_nullable(self.client_id.as_ref(), w, CLASSIC)?;
        }
        if header_version >= 2 {
            w.uvarint(0);
        }
        Ok(())
    }
}

/// The header of a response, in versions 0 and 1. Which one follows from the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseHeader {
    pub correlation_id: i32,
}

impl ResponseHeader {
    pub fn decode(r: &mut Reader, api: ApiKey, version: i16) -> Result<Self, WireError> {
        let correlation_id = r.i32()?;
        if api.response_header_version(version) >= 1 {
            r.skip_tags(TAGGED)?;
        }
        Ok(ResponseHeader { correlation_id })
    }

    pub fn encode(&self, w: &mut Writer, api: ApiKey, version: i16) {
        w.i32(self.correlation_id);
        if api.response_header_version(version) >= 1 {
            w.uvarint(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(header: &RequestHeader) -> Vec<u8> {
        let mut w = Writer::new();
        header.encode(&mut w).expect("short strings");
        w.finish().expect("small").into_bytes().expect("no payload").to_vec()
    }

    fn header(api: ApiKey, version: i16) -> RequestHeader {
        RequestHeader { api, version, correlation_id: 7, client_id: Some("me".into()) }
    }

    #[test]
    fn each_header_version_has_its_bytes() {
        let classic = [0, 0, 0, 8, 0, 0, 0, 7, 0, 2, b'm', b'e'];
        assert_eq!(encoded(&header(ApiKey::Produce, 8)), classic);
        let flexible = [0, 0, 0, 9, 0, 0, 0, 7, 0, 2, b'm', b'e', 0];
        assert_eq!(encoded(&header(ApiKey::Produce, 9)), flexible);
        let bare = [0, 7, 0, 0, 0, 0, 0, 7];
        assert_eq!(encoded(&header(ApiKey::ControlledShutdown, 0)), bare);
    }

    #[test]
    fn headers_read_back() {
        for header in [header(ApiKey::Fetch, 4), header(ApiKey::Fetch, 17)] {
            let mut r = Reader::for_frame(encoded(&header).into());
            assert_eq!(RequestHeader::decode(&mut r), Ok(header));
            assert_eq!(r.remaining(), 0);
        }
    }

    #[test]
    fn a_version_from_the_future_is_read_as_flexible() {
        let header = header(ApiKey::ApiVersions, 99);
        let decoded = RequestHeader::decode(&mut Reader::for_frame(encoded(&header).into()));
        assert_eq!(decoded, Ok(header.clone()));
        assert!(!header.is_supported());
    }

    #[test]
    fn an_unknown_key_is_refused() {
        let bytes = [0x7f, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff];
        let decoded = RequestHeader::decode(&mut Reader::for_frame(bytes.to_vec().into()));
        assert_eq!(decoded, Err(HeaderError::UnknownApi { key: 0x7f00 }));
    }
}
