//! `cargo xtask documents`: writes the pages that are generated from the sources.

use crate::run::{cargo, run};

pub fn write() -> Result<(), String> {
    let mut test = cargo();
    test.args(["test", "--quiet", "--package", "ottla", "--test", "documents"]);
    run(test.env("OTTLA_WRITE_DOCUMENTS", "1"))
}
