//! Making, growing and deleting topics in the metadata store, for whoever asks: requests, clients
//! that name a topic which is not there, the group coordinator. Knows nothing of who leads a
//! partition.

pub mod admin;
pub mod auto;
pub mod create;
pub mod delete;
pub mod grow;
pub mod name;
