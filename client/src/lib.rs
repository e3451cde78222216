//! See Cargo.toml; filled by the first commits.
