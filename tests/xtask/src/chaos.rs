//! `cargo xtask chaos [--row N] [--seed N]`: every row of the fault catalogue that needs a cluster,
//! one after the other, each printing how to replay it.

use crate::run::{cargo, run};

pub fn run_rows(args: &[&str]) -> Result<(), String> {
    let (mut rows, mut seed) = ("all", None);
    for pair in args.chunks(2) {
        match pair {
            ["--row", number] => rows = number,
            ["--seed", number] => seed = Some(*number),
            _ => return Err("usage: cargo xtask chaos [--row N[,N]…] [--seed N]".into()),
        }
    }
    crate::setup::run()?;
    crate::test::build_release()?;
    let mut test = cargo();
    test.args(["test", "--package", "tests", "--test", "it", "cluster::"]);
    test.args(["--", "--nocapture", "--test-threads", "1"]);
    test.env("OTTLA_CHAOS", rows);
    if let Some(seed) = seed {
        test.env("OTTLA_TEST_SEED", seed);
    }
    run(&mut test)
}
