//! Records that stay in their files until they are sent. Knows nothing of sockets.

use protocol::wire::Payload;
use storage::LogSlice;

/// Parts of log files, sent one after the other without a copy: `Records::Payload(Arc::new(…))`.
#[derive(Debug, Clone)]
pub struct FilePayload {
    slices: Vec<LogSlice>,
    bytes: usize,
}

impl FilePayload {
    pub fn new(slices: Vec<LogSlice>) -> FilePayload {
        let bytes = slices.iter().map(|slice| slice.len as usize).sum();
        FilePayload { slices, bytes }
    }

    pub fn slices(&self) -> &[LogSlice] {
        &self.slices
    }
}

impl Payload for FilePayload {
    fn len(&self) -> usize {
        self.bytes
    }
}
