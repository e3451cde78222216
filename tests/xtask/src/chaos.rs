//! `cargo xtask chaos [--row N] [--seed N]`: every row of the fault catalogue that needs a cluster,
//! one after the other, each in a process of its own, and at the end which of them held.
//!
//! What a row printed is in `target/chaos`; a row that fails says how to replay it.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::places;
use crate::run::{cargo, run};

/// The tests that are rows.
const MODULE: &str = "cluster::";
/// Lines of a failed row that are shown.
const TAIL: usize = 30;

struct Row {
    number: u32,
    /// `cluster::crashes::row_2_kill_all`.
    test: String,
}

impl Row {
    /// From a line of the list of tests: `cluster::crashes::row_2_kill_all: test`.
    fn of(line: &str) -> Option<Row> {
        let test = line.strip_suffix(": test").filter(|test| test.starts_with(MODULE))?;
        let (_, name) = test.rsplit_once("::row_")?;
        let number = name.split('_').next()?.parse().ok()?;
        Some(Row { number, test: test.to_owned() })
    }
}

pub fn run_rows(args: &[&str]) -> Result<(), String> {
    let (mut wanted, mut seed) = (None, None);
    for pair in args.chunks(2) {
        match pair {
            ["--row", numbers] => wanted = Some(*numbers),
            ["--seed", number] => seed = Some(*number),
            _ => return Err("usage: cargo xtask chaos [--row N[,N]…] [--seed N]".into()),
        }
    }
    crate::setup::run()?;
    crate::test::build_release()?;
    run(cargo().args(["test", "--quiet", "--package", "tests", "--test", "it", "--no-run"]))?;
    let rows = chosen(all_rows()?, wanted)?;
    let logs = places::target().join("chaos");
    fs::create_dir_all(&logs).map_err(|e| format!("cannot create {}: {e}", logs.display()))?;
    let mut failed = vec![];
    let mut summary = String::new();
    for row in &rows {
        let start = Instant::now();
        let log = logs.join(format!("row-{}.log", row.number));
        let held = run_row(row, seed, &log)?;
        let outcome = if held { "held" } else { "FAILED" };
        let line = format!("{outcome:6} {:3} s  {}\n", start.elapsed().as_secs(), short(&row.test));
        print!("{line}");
        summary.push_str(&line);
        if !held {
            failed.push(row.number.to_string());
            show_end(&log);
        }
    }
    println!("\n{summary}\n{} of {} rows held", rows.len() - failed.len(), rows.len());
    match failed.is_empty() {
        true => Ok(()),
        false => Err(format!("rows {} failed; see {}", failed.join(", "), logs.display())),
    }
}

fn short(test: &str) -> &str {
    test.rsplit("::").next().unwrap_or(test)
}

fn test_binary() -> Command {
    let mut test = cargo();
    test.args(["test", "--quiet", "--package", "tests", "--test", "it", "--"]);
    test.current_dir(places::root()).stdin(Stdio::null());
    test
}

fn all_rows() -> Result<Vec<Row>, String> {
    let listed = test_binary().args([MODULE, "--list"]).output();
    let listed = listed.map_err(|e| format!("cannot list the rows: {e}"))?;
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    let mut rows: Vec<Row> = text.lines().filter_map(Row::of).collect();
    rows.sort_by_key(|row| row.number);
    if rows.is_empty() { Err("there are no rows".into()) } else { Ok(rows) }
}

/// Those that were asked for, all without a wish; one that does not exist is an error.
fn chosen(rows: Vec<Row>, wanted: Option<&str>) -> Result<Vec<Row>, String> {
    let Some(wanted) = wanted.filter(|wanted| *wanted != "all") else { return Ok(rows) };
    let mut numbers = vec![];
    for text in wanted.split(',') {
        let known = |number: &u32| rows.iter().any(|row| row.number == *number);
        let Some(number) = text.parse().ok().filter(known) else {
            let all: Vec<String> = rows.iter().map(|row| row.number.to_string()).collect();
            return Err(format!("there is no row {text}; there are {}", all.join(", ")));
        };
        numbers.push(number);
    }
    Ok(rows.into_iter().filter(|row| numbers.contains(&row.number)).collect())
}

/// Whether it held; what it printed goes to `log`.
fn run_row(row: &Row, seed: Option<&str>, log: &Path) -> Result<bool, String> {
    let out = File::create(log).map_err(|e| format!("cannot create {}: {e}", log.display()))?;
    let err = out.try_clone().map_err(|e| format!("cannot write {}: {e}", log.display()))?;
    let mut test = test_binary();
    test.args(["--exact", &row.test, "--nocapture"]).stdout(out).stderr(err);
    // A row that lacks something and is left out did not hold.
    test.env("OTTLA_CHAOS", row.number.to_string()).env("CI", "true");
    if let Some(seed) = seed {
        test.env("OTTLA_TEST_SEED", seed);
    }
    let status = test.status().map_err(|e| format!("cannot run {}: {e}", row.test))?;
    Ok(status.success())
}

fn show_end(log: &Path) {
    let text = crate::run::text_of(log);
    let lines: Vec<&str> = text.lines().collect();
    for line in lines.iter().filter(|line| line.contains("replay with")) {
        println!("{line}");
    }
    println!("{}", lines[lines.len().saturating_sub(TAIL)..].join("\n"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Row> {
        let lines = [
            "cluster::crashes::row_2_kill_all: test",
            "cluster::cuts::row_13_starved_of_processor: test",
            "cluster::helper: test",
            "2 tests, 0 benchmarks",
        ];
        lines.into_iter().filter_map(Row::of).collect()
    }

    #[test]
    fn rows_are_found_by_their_names() {
        let numbers: Vec<u32> = rows().iter().map(|row| row.number).collect();
        assert_eq!(numbers, [2, 13]);
        assert_eq!(short(&rows()[0].test), "row_2_kill_all");
    }

    #[test]
    fn a_row_that_does_not_exist_is_an_error() {
        let of = |wanted| chosen(rows(), wanted).map(|rows| rows.len());
        assert_eq!((of(None), of(Some("all")), of(Some("13,2"))), (Ok(2), Ok(2), Ok(2)));
        assert_eq!(of(Some("13")), Ok(1));
        assert_eq!(of(Some("99")), Err("there is no row 99; there are 2, 13".into()));
        assert!(of(Some("two")).is_err());
    }
}
