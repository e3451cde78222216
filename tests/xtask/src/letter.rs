//! `cargo xtask letter [--case NAME[,NAME]…] [--seed N]`: sends the same raw requests to Apache's
//! broker and to ours and shows every field in which the answers differ. Without a choice it runs
//! every case; `--seed` runs the part that a test run took.

use crate::run::{cargo, run};

const TEST: &str = "letter::answers_are_apaches";

pub fn run_cases(args: &[&str]) -> Result<(), String> {
    let choice = match args {
        [] => ("OTTLA_LETTER", "all"),
        ["--case", names] => ("OTTLA_LETTER", *names),
        ["--seed", number] => ("OTTLA_TEST_SEED", *number),
        _ => return Err("usage: cargo xtask letter [--case NAME[,NAME]…] [--seed N]".into()),
    };
    crate::setup::run()?;
    crate::test::build_release()?;
    let mut test = cargo();
    test.args(["test", "--quiet", "--package", "tests", "--test", "it", "--"]);
    // Where something is missing and it is left out, nothing was compared.
    test.args(["--exact", TEST, "--nocapture"]).env(choice.0, choice.1).env("CI", "true");
    run(&mut test)
}
