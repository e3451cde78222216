//! `cargo xtask …`: the whole developer loop. Has no dependencies, so that it builds in a second.

mod bench;
mod chaos;
mod cluster;
mod counts;
mod documents;
mod letter;
mod places;
mod run;
mod setup;
mod test;
mod tidy;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  setup          install what the tests need: Debian packages (as root), jars, Python clients;
                 --packages only prints the names of Debian's packages that are missing
  test           format, lints and the quick tests
  test --full    setup, then every test; OTTLA_TEST_WITHOUT_ROOT=1 leaves out those that need root
  test --root    the tests that need root, alone
  cluster        three ZooKeepers and three brokers on loopback, until Ctrl-C
  chaos          every fault of a cluster; --row N one of them, --seed N as it was before
  letter         the same raw requests to Apache's broker and ours, answers compared field by field;
                 --case NAME some of them, --seed N the part that a test run took
  documents      write broker/CONFIGURATION.md and broker/DIFFERENCES.md
  tidy           the house rules that a program can check
  counts         instructions per request against benches/counts.txt; --accept writes new numbers
  bench          measure ours beside Apache Kafka and write benches/RESULTS.md
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["setup"] => setup::run(),
        ["setup", "--packages"] => setup::print_missing(),
        ["test"] => test::quick(),
        ["test", "--full"] => setup::run().and_then(|()| test::full()),
        ["test", "--root"] => setup::run().and_then(|()| test::root()),
        ["cluster"] => cluster::run_cluster(),
        ["chaos", rest @ ..] => chaos::run_rows(rest),
        ["letter", rest @ ..] => letter::run_cases(rest),
        ["documents"] => documents::write(),
        ["tidy"] => tidy::run(),
        ["counts", rest @ ..] => counts::run_kinds(rest),
        ["bench", rest @ ..] => bench::run(rest),
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("xtask: {reason}");
            ExitCode::FAILURE
        }
    }
}
