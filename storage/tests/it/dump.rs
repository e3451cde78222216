//! Apache Kafka 3.9.2's DumpLogSegments reads every file that we write, appended or compacted.

use std::path::{Path, PathBuf};
use std::process::Command;

use protocol::records::batch::BatchHeader;
use protocol::records::view::Batches;
use storage::Log;
use storage::disk::MemoryDisk;

use crate::apache::{SMALL, export, fill, kafka_lib, options, run};
use crate::compaction;
use crate::driver::{NOW, read_all};

struct Dump {
    lib: PathBuf,
    dir: PathBuf,
    compacted: bool,
}

impl Dump {
    /// What the tool says of all files with these suffixes; it must not complain.
    fn of(&self, suffixes: &[&str], flags: &[&str]) -> String {
        let files = std::fs::read_dir(&self.dir).unwrap().map(|entry| entry.unwrap().path());
        let is_meant = |file: &PathBuf| {
            file.extension().is_some_and(|e| suffixes.iter().any(|suffix| e == *suffix))
        };
        let mut files: Vec<PathBuf> = files.filter(is_meant).collect();
        files.sort();
        let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
        assert!(files.len() >= suffixes.len(), "{suffixes:?} in {files:?}");
        let mut java = Command::new("java");
        java.arg("-cp").arg(format!("{}/*", self.lib.display()));
        java.args(["kafka.tools.DumpLogSegments", "--files", &files.join(",")]).args(flags);
        let (out, err) = run(&mut java, "");
        let is_fine = |line: &str| line.contains("log4j") || self.compacted && is_legal(line);
        let complaints: Vec<_> = err.lines().filter(|line| !is_fine(line)).collect();
        assert!(complaints.is_empty(), "{suffixes:?} {flags:?}: {complaints:?}");
        assert!(!out.contains("isvalid: false"), "{suffixes:?} {flags:?}: {out}");
        out
    }

    /// Logs with so many records, and indexes of either kind with at least so many entries.
    fn check(&self, records: usize, entries: usize) {
        let dumped = self.of(&["log", "index", "timeindex"], &["--deep-iteration"]);
        let lines = |start: &str| dumped.lines().filter(|line| line.starts_with(start)).count();
        assert_eq!(lines("| offset: "), records, "{dumped}");
        assert!(lines("offset: ") >= entries && lines("timestamp: ") >= entries, "{dumped}");
        let sane = self.of(&["index", "timeindex"], &["--index-sanity-check"]);
        let files = sane.lines().filter(|line| line.starts_with("Dumping ")).count();
        let is_fine = |l: &&str| l.ends_with(" passed sanity check.") || l.ends_with(" is empty.");
        let passed = sane.lines().filter(is_fine).count();
        assert!(files > 0 && passed == files, "{passed} of {files}: {sane}");
    }
}

/// Whether the tool only tells what Apache's compaction leaves, too: missing offsets, which must
/// rise, and an entry of the time index for a batch that has no records any more.
fn is_legal(line: &str) -> bool {
    let rises = |(before, after): (&str, &str)| {
        let number = |text: &str| text.trim().parse::<i64>().expect("an offset");
        number(before) < number(after)
    };
    line.starts_with("Non-consecutive offsets in")
        || line.starts_with("Found timestamp mismatch in")
        || line.ends_with(", log timestamp: -1")
        || line.split_once(" is followed by ").is_some_and(rises)
}

#[test]
fn the_dump_tool_is_content() {
    let Some(lib) = kafka_lib() else { return };
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("t-0");
    let log = Log::open(options(dir.clone(), &SMALL, true), NOW).unwrap();
    fill(&log);
    let records = read_all(&log).unwrap().len();
    log.close().unwrap();
    let dump = Dump { lib, dir, compacted: false };
    dump.check(records, 20);
    dump.of(&["index", "timeindex"], &["--verify-index-only"]);
    let states = dump.of(&["txnindex", "snapshot"], &[]);
    assert!(states.contains("producerId: 6") && states.contains("producerId: 5"), "{states}");
}

#[test]
fn the_dump_tool_is_content_with_what_compaction_leaves() {
    let Some(lib) = kafka_lib() else { return };
    let temp = tempfile::tempdir().unwrap();
    let mut keyed = compaction::Keyed::new(MemoryDisk::default(), compaction::settings());
    for op in compaction::history(40) {
        keyed.act(&op).unwrap();
    }
    keyed.act(&compaction::Op::Restart { clean: true, snapshots: true }).unwrap();
    let dump = Dump { lib, dir: temp.path().join("t-0"), compacted: true };
    export(&keyed.disk, &dump.dir);
    let before = records_in(&dump.dir);
    // At once, and when tombstones and markers may go.
    for now_ms in [NOW, NOW + 1_000, NOW + 2_500] {
        std::fs::write(temp.path().join(".kafka_cleanshutdown"), "").unwrap();
        let _ = std::fs::remove_file(temp.path().join("cleaner-offset-checkpoint"));
        let manager = compaction::open_dir(temp.path());
        assert!(compaction::clean(&manager, &compaction::settings(), now_ms));
        assert!(manager.close().is_empty());
        drop(manager);
        let after = records_in(&dump.dir);
        assert!(after < before / 2, "{after} of {before} records");
        dump.check(after, 2);
    }
}

/// Those of control batches too, as the tool counts.
fn records_in(dir: &Path) -> usize {
    let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let logs = files.filter(|file| file.extension().is_some_and(|e| e == "log"));
    let count = |log: PathBuf| {
        let bytes = std::fs::read(log).unwrap();
        let headers = Batches::new(&bytes).map(|raw| BatchHeader::parse(raw.unwrap().bytes));
        headers.map(|header| header.unwrap().record_count as usize).sum::<usize>()
    };
    logs.map(count).sum()
}
