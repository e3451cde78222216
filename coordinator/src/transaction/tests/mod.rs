//! The transaction shard as text tables, and its invariants over random ones. Knows no runtime.

mod ends;
mod fencing;
mod properties;
mod script;
mod stored;
