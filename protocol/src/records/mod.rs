//! Record batches: the same bytes on the wire and on disk.

pub mod batch;
pub mod builder;
pub mod codec;
pub mod control;
pub mod convert;
pub mod legacy;
pub mod record;
pub mod refusal;
pub mod scan;
pub mod validate;
pub mod view;
