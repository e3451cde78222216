//! The bodies of the fuzz targets, one module per crate that they attack.

pub mod records;
pub mod wire;
