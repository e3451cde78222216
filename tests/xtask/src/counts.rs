//! `cargo xtask counts`: instructions that the broker spends on one request, counted by callgrind
//! and compared with `benches/counts.txt`. More than 2 % above fails; `--accept` writes the file.
//!
//! Counts do not depend on how busy the machine is: runs differ by less than 0.2 %, a rare one
//! by 2 % more, so a count above its row is taken again. They depend on the compiler, and a
//! little on the C library, whose allocator is part of them: rows that were taken with another one
//! are shown and not compared.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::places;
use crate::run::{cargo, run, text_of};

/// What `benches/src/bin/counts.rs` can serve.
const KINDS: &[&str] = &["append-1", "append-100", "fetch-100", "fetch-empty", "heartbeat"];

/// How far above its row a count may be, and how far below it is worth a new one.
const PERCENT: f64 = 2.0;

/// Runs of a kind whose count is above its row.
const RUNS_MAX: usize = 3;

/// The function whose instructions count.
const COUNTED: &str = "counts::measured*";

/// One `memcpy` on all machines: the C library's choice among its copies follows the processor.
const TUNABLES: &str = "glibc.cpu.hwcaps=-AVX2,-AVX_Fast_Unaligned_Load,-ERMS,-FSRM";

const HEAD: &str = "\
# Instructions per request, from its frame to its answer (benches/src/bin/counts.rs), in the release
# build under callgrind. `cargo xtask counts` fails above 2 %, and `--accept` replaces the rows
# that differ by more. Valgrind's processor has SSE4.2, AVX2 if the host has it, and no AVX-512:
# CRC-32C is the one that such a processor gets. memcpy and memset are held to SSE2.
#
# kind | instructions per request | commit | toolchain
";

#[derive(Debug, Clone, PartialEq)]
struct Row {
    instructions: f64,
    commit: String,
    toolchain: String,
}

type Rows = BTreeMap<String, Row>;

/// Compares, or with `--accept` writes what was counted.
pub fn run_kinds(args: &[&str]) -> Result<(), String> {
    let accept = match args {
        [] => false,
        ["--accept"] => true,
        _ => return Err("counts takes no arguments but --accept".into()),
    };
    let Some(valgrind) = valgrind()? else { return Ok(()) };
    let known = parse(&text_of(&file()))?;
    let toolchain = toolchain()?;
    build()?;
    let mut counted = count_all(&valgrind, KINDS)?;
    // A count is too high now and then, never too low.
    for _ in 1..RUNS_MAX {
        let again = above(&known, &counted, &toolchain).join(" ");
        for (kind, now) in count_all(&valgrind, &again.split_whitespace().collect::<Vec<_>>())? {
            counted.entry(kind).and_modify(|least| *least = least.min(now));
        }
    }
    print!("{}", table(&known, &counted, &toolchain));
    if accept {
        let rows = accepted(known, &counted, &commit()?, &toolchain);
        let text = format!("{HEAD}{}", shown(&rows));
        return std::fs::write(file(), text).map_err(|e| format!("cannot write counts.txt: {e}"));
    }
    let above = above(&known, &counted, &toolchain);
    if above.is_empty() {
        return Ok(());
    }
    Err(format!(
        "more than {PERCENT} % above benches/counts.txt, or not in it: {}. Where callgrind saw the \
         instructions: callgrind_annotate {}/KIND.out. If the change is worth them, cargo xtask \
         counts --accept writes the new numbers; the commit says why",
        above.join(", "),
        outputs().display()
    ))
}

/// Valgrind; `None`, and why on standard error, where it is missing and may be.
fn valgrind() -> Result<Option<PathBuf>, String> {
    let valgrind = PathBuf::from("/usr/bin/valgrind");
    if valgrind.exists() {
        return Ok(Some(valgrind));
    }
    let why = "skipped: instruction counts: needs valgrind: run cargo xtask setup";
    if std::env::var("CI").as_deref() == Ok("true") {
        return Err(why.into());
    }
    eprintln!("{why}");
    Ok(None)
}

fn file() -> PathBuf {
    places::root().join("benches/counts.txt")
}

fn outputs() -> PathBuf {
    places::target().join("counts")
}

fn count_all(valgrind: &Path, kinds: &[&str]) -> Result<BTreeMap<String, f64>, String> {
    let mut counted = BTreeMap::new();
    for kind in kinds {
        counted.insert((*kind).to_owned(), count(valgrind, kind)?);
    }
    Ok(counted)
}

fn build() -> Result<(), String> {
    // With the broker in one command, so that both are made of the same parts.
    let packages =
        ["--package", "ottla", "--package", "benches", "--bin", "ottla", "--bin", "counts"];
    run(cargo().args(["build", "--release", "--quiet"]).args(packages))?;
    std::fs::create_dir_all(outputs()).map_err(|e| format!("cannot make target/counts: {e}"))
}

fn count(valgrind: &Path, kind: &str) -> Result<f64, String> {
    let out = outputs().join(format!("{kind}.out"));
    let mut command = Command::new(valgrind);
    command
        .args(["--quiet", "--tool=callgrind", "--collect-atstart=no"])
        .arg(format!("--toggle-collect={COUNTED}"))
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(places::target().join("release/counts"))
        .arg(kind)
        .env("GLIBC_TUNABLES", TUNABLES)
        .stdin(Stdio::null());
    let output = command.output().map_err(|e| format!("cannot start valgrind: {e}"))?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let requests = number_after(&printed, "requests ").filter(|_| output.status.success());
    let total = number_after(&text_of(&out), "totals: ").filter(|total| *total > 0.0);
    match (total, requests) {
        (Some(total), Some(requests)) => Ok((total / requests).round()),
        _ => Err(format!(
            "{kind} could not be counted: {}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        )),
    }
}

/// The number in the line that begins with `name`.
fn number_after(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

fn parse(text: &str) -> Result<Rows, String> {
    let mut rows = Rows::new();
    for line in text.lines().filter(|l| !l.starts_with('#') && !l.trim().is_empty()) {
        let fields: Vec<&str> = line.split('|').map(str::trim).collect();
        let &[kind, instructions, commit, toolchain] = fields.as_slice() else {
            return Err(format!("counts.txt: four fields expected: {line}"));
        };
        let instructions = instructions.parse().map_err(|e| format!("counts.txt: {line}: {e}"))?;
        let row = Row { instructions, commit: commit.into(), toolchain: toolchain.into() };
        rows.insert(kind.to_owned(), row);
    }
    Ok(rows)
}

fn shown(rows: &Rows) -> String {
    let line = |(kind, row): (&String, &Row)| {
        format!("{kind} | {} | {} | {}\n", row.instructions, row.commit, row.toolchain)
    };
    rows.iter().map(line).collect()
}

/// How a count compares with its row.
#[derive(Debug, PartialEq)]
enum Compared {
    Within,
    Above,
    Below,
    NoRow,
    OtherLibrary,
}

fn compare(row: Option<&Row>, now: f64, toolchain: &str) -> Compared {
    let library =
        |toolchain: &str| toolchain.split_once(", ").map(|(_, library)| library.to_owned());
    let Some(row) = row else { return Compared::NoRow };
    if library(&row.toolchain) != library(toolchain) {
        return Compared::OtherLibrary;
    }
    match (now / row.instructions - 1.0) * 100.0 {
        percent if percent > PERCENT => Compared::Above,
        percent if percent < -PERCENT => Compared::Below,
        _ => Compared::Within,
    }
}

fn above<'a>(known: &Rows, counted: &'a BTreeMap<String, f64>, toolchain: &str) -> Vec<&'a str> {
    let fails = |(kind, now): &(&String, &f64)| {
        let compared = compare(known.get(*kind), **now, toolchain);
        matches!(compared, Compared::Above | Compared::NoRow)
    };
    counted.iter().filter(fails).map(|(kind, _)| kind.as_str()).collect()
}

fn table(known: &Rows, counted: &BTreeMap<String, f64>, toolchain: &str) -> String {
    let mut text = format!("{:<12} {:>12} {:>12} {:>7}\n", "", "old", "new", "ratio");
    for (kind, now) in counted {
        let row = known.get(kind);
        let (old, ratio) = match row {
            Some(row) => (row.instructions.to_string(), format!("{:.3}", now / row.instructions)),
            None => ("–".to_owned(), "–".to_owned()),
        };
        let remark = match compare(row, *now, toolchain) {
            Compared::Within => String::new(),
            Compared::Above => "  above".to_owned(),
            Compared::Below => "  below: --accept keeps it there".to_owned(),
            Compared::NoRow => "  new".to_owned(),
            Compared::OtherLibrary => {
                let taken = row.map_or("", |row| row.toolchain.as_str());
                format!("  not compared: taken with {taken}, here is {toolchain}")
            }
        };
        text += &format!("{kind:<12} {old:>12} {now:>12} {ratio:>7}{remark}\n");
    }
    text
}

/// The rows with those replaced that differ by more than is allowed; others would hide a slow rise.
fn accepted(
    mut rows: Rows,
    counted: &BTreeMap<String, f64>,
    commit: &str,
    toolchain: &str,
) -> Rows {
    rows.retain(|kind, _| counted.contains_key(kind));
    for (kind, now) in counted {
        if compare(rows.get(kind), *now, toolchain) != Compared::Within {
            let (commit, toolchain) = (commit.to_owned(), toolchain.to_owned());
            rows.insert(kind.clone(), Row { instructions: *now, commit, toolchain });
        }
    }
    rows
}

/// The commit that is checked out; what is not committed is marked by a plus sign.
fn commit() -> Result<String, String> {
    let commit = printed(Command::new("git").args(["rev-parse", "--short=7", "HEAD"]))?;
    let changed =
        printed(Command::new("git").args(["status", "--porcelain", "--", "*.rs", "*.toml"]))?;
    Ok(if changed.is_empty() { commit } else { commit + "+" })
}

/// The compiler and the C library: `rustc 1.95.0, glibc 2.36`.
fn toolchain() -> Result<String, String> {
    let version = printed(Command::new("rustc").arg("--version"))?;
    let compiler = version.split(" (").next().unwrap_or_default();
    let library = printed(Command::new("getconf").arg("GNU_LIBC_VERSION"))?;
    Ok(format!("{compiler}, {library}"))
}

fn printed(command: &mut Command) -> Result<String, String> {
    let output = command
        .current_dir(places::root())
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("cannot start {command:?}: {e}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "rustc 1.96.0, glibc 2.36";
    const FILE: &str = "# head\nappend-1 | 1000 | a9494b0 | rustc 1.95.0, glibc 2.36\n\
                        heartbeat | 500 | a9494b0 | rustc 1.95.0, glibc 2.36\n";

    fn counted(append: f64, heartbeat: f64) -> BTreeMap<String, f64> {
        BTreeMap::from([("append-1".into(), append), ("heartbeat".into(), heartbeat)])
    }

    #[test]
    fn only_counts_above_the_limit_fail() {
        let known = parse(FILE).expect("rows");
        assert!(above(&known, &counted(1019.0, 100.0), HERE).is_empty());
        assert_eq!(above(&known, &counted(1021.0, 500.0), HERE), ["append-1"]);
        assert_eq!(above(&Rows::new(), &counted(1.0, 1.0), HERE), ["append-1", "heartbeat"]);
        assert!(table(&known, &counted(1021.0, 400.0), HERE).contains("1.021  above"));
    }

    #[test]
    fn another_c_library_is_not_compared() {
        let known = parse(FILE).expect("rows");
        let there = "rustc 1.95.0, glibc 2.39";
        assert!(above(&known, &counted(2000.0, 500.0), there).is_empty());
        assert!(table(&known, &counted(2000.0, 500.0), there).contains("2.000  not compared"));
    }

    #[test]
    fn accepting_leaves_rows_within_the_limit_alone() {
        let known = parse(FILE).expect("rows");
        let rows = accepted(known, &counted(1019.0, 400.0), "0123456", HERE);
        let text = "append-1 | 1000 | a9494b0 | rustc 1.95.0, glibc 2.36\n\
                    heartbeat | 400 | 0123456 | rustc 1.96.0, glibc 2.36\n";
        assert_eq!(shown(&rows), text);
        assert_eq!(parse(text), Ok(rows));
    }

    #[test]
    fn a_line_that_is_no_row_is_refused() {
        assert!(parse("append-1 | 1000").is_err());
        assert!(parse("append-1 | many | a | b").is_err());
    }

    #[test]
    fn the_file_has_a_row_of_each_kind() {
        let known = parse(&text_of(&file())).expect("rows");
        assert!(known.keys().eq(KINDS.iter()), "{known:?}");
        assert!(text_of(&file()).starts_with(HEAD));
    }
}
