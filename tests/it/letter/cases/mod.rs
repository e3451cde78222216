//! What is asked: a file for each API, or for a few that belong together.

use super::Case;

/// `CASES` of a file: the functions of this name.
macro_rules! cases {
    ($($function:ident),+ $(,)?) => {
        pub const CASES: &[$crate::letter::Case] = &[$($crate::letter::Case {
            module: module_path!(),
            function: stringify!($function),
            run: $function,
        }),+];
    };
}

mod api_versions;
mod brokers;
mod cluster;
mod configs;
mod fetch;
mod groups;
mod list_offsets;
mod malformed;
mod metadata;
mod offsets;
mod produce;
mod security;
mod topics;
mod transactions;

/// Every case there is.
pub fn all() -> Vec<Case> {
    [
        api_versions::CASES,
        brokers::CASES,
        cluster::CASES,
        configs::CASES,
        fetch::CASES,
        groups::CASES,
        list_offsets::CASES,
        malformed::CASES,
        metadata::CASES,
        offsets::CASES,
        produce::CASES,
        security::CASES,
        topics::CASES,
        transactions::CASES,
    ]
    .concat()
}
