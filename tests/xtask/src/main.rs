//! Developer loop.
fn main() {}
