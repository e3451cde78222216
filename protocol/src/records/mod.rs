//! Record batches: the same bytes on the wire and on disk.

pub mod batch;
