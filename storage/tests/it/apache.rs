//! Apache Kafka 3.9.2 as the judge: its dump tool and its loader read what we write, and we read
//! what a stock broker left behind.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use protocol::ids::{Offset, TopicPartition, Uuid};
use protocol::records::builder::{BatchBuilder, BatchOptions};
use protocol::records::codec::Codec;
use protocol::records::control::EndTxnMarker;
use storage::disk::{Crash, Disk, Fault, MemoryDisk, OsDisk};
use storage::partition_dir::FileCache;
use storage::{AppendOrigin, Log, LogConfig, LogDir, LogManager, LogOptions};

use crate::driver::{Driver, NOW, Step, read_all};

/// The jars of `cargo xtask setup`, or of `OTTLA_KAFKA_LIB`; `None`, said aloud, without them.
pub fn kafka_lib() -> Option<PathBuf> {
    let lib = match std::env::var_os("OTTLA_KAFKA_LIB") {
        Some(dir) => PathBuf::from(dir),
        None => Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("kafka").join("lib"),
    };
    if lib.join("kafka_2.13-3.9.2.jar").exists() {
        return Some(lib);
    }
    let why = "skipped: run cargo xtask setup";
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{why}");
    eprintln!("{why}");
    None
}

/// Standard output and standard error of a command that succeeded.
pub fn run(command: &mut Command, input: &str) -> (String, String) {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let (out, err) = (text(output.stdout), text(output.stderr));
    assert!(output.status.success(), "{command:?}\n{out}{err}");
    (out, err)
}

/// What Apache's loader says of a partition's directory.
#[derive(Debug, PartialEq, Eq)]
pub struct Loaded {
    start: Offset,
    end: Offset,
    producers: String,
    batches: Vec<(Offset, Offset)>,
}

pub struct Judge {
    class_path: String,
    _classes: tempfile::TempDir,
}

impl Judge {
    pub fn new(lib: &Path) -> Judge {
        let classes = tempfile::tempdir().unwrap();
        let jars = format!("{}/*", lib.display());
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/java");
        let mut javac = Command::new("javac");
        javac.args(["-cp", &jars, "-d"]).arg(classes.path());
        run(javac.args(["LoadLog.java", "CleanLog.java"].map(|name| sources.join(name))), "");
        Judge { class_path: format!("{}:{jars}", classes.path().display()), _classes: classes }
    }

    /// One verdict for each directory, given with: clean, recovery point, log start.
    pub fn load(&self, dirs: &[(PathBuf, bool, Offset, Offset)]) -> Vec<Loaded> {
        let lines: String = dirs
            .iter()
            .map(|(path, clean, point, start)| {
                format!("{} {clean} {point} {start}\n", path.display())
            })
            .collect();
        let mut java = Command::new("java");
        let (out, _) = run(java.args(["-cp", &self.class_path, "LoadLog"]), &lines);
        let verdicts: Vec<Loaded> = out.lines().filter(|l| l.starts_with('/')).map(parse).collect();
        assert_eq!(verdicts.len(), dirs.len(), "{out}");
        verdicts
    }
}

/// What Apache's cleaner is told.
pub struct Cleaning {
    pub dir: PathBuf,
    pub first_dirty: Offset,
    pub now_ms: i64,
    pub key_buffer_bytes: u64,
    pub config: Vec<(&'static str, &'static str)>,
}

impl Judge {
    /// Compacts directories as Apache does, and deletes from them what the settings say; for each
    /// the first offset that is not compacted, and the log's start.
    pub fn clean(&self, tasks: &[Cleaning]) -> Vec<(Offset, Offset)> {
        let line = |task: &Cleaning| {
            let Cleaning { first_dirty, now_ms, key_buffer_bytes, .. } = task;
            let settings: Vec<_> = task.config.iter().map(|(k, v)| format!("{k}={v}")).collect();
            let (dir, settings) = (task.dir.display(), settings.join(" "));
            format!("{dir} {first_dirty} {now_ms} {key_buffer_bytes} {settings}\n")
        };
        let lines: String = tasks.iter().map(line).collect();
        let mut java = Command::new("java");
        let (out, _) = run(java.args(["-cp", &self.class_path, "kafka.log.CleanLog"]), &lines);
        let answers: Vec<_> = out.lines().filter(|line| line.contains(" end=")).collect();
        assert_eq!(answers.len(), tasks.len(), "{out}");
        let offset = |line: &str, name: &str| -> Offset {
            let found = line.split(' ').find_map(|word| word.strip_prefix(name));
            found.unwrap_or_else(|| panic!("no {name} {line}")).parse().unwrap()
        };
        answers.iter().map(|line| (offset(line, "end="), offset(line, "start="))).collect()
    }
}

fn parse(line: &str) -> Loaded {
    assert!(!line.contains("error="), "{line}");
    let field = |name: &str| {
        let found = line.split(' ').find_map(|word| word.strip_prefix(&format!("{name}=")));
        found.unwrap_or_else(|| panic!("no {name}: {line}")).to_owned()
    };
    let batches = field("batches");
    let pairs = batches.split(',').filter(|p| !p.is_empty()).map(|pair| {
        let (first, last) = pair.split_once('-').expect("first-last");
        (first.parse().unwrap(), last.parse().unwrap())
    });
    Loaded {
        start: field("start").parse().unwrap(),
        end: field("end").parse().unwrap(),
        producers: field("producers"),
        batches: pairs.collect(),
    }
}

/// The same of a log of ours.
pub fn ours(log: &Log) -> Loaded {
    let mut batches = Vec::new();
    let mut offset = log.segment_sizes()[0].0.max(log.log_start_offset());
    while offset < log.log_end_offset() {
        let read = log.read(offset, 1, Offset::MAX, true).unwrap();
        let first = read.slices[0].first_batch().unwrap().unwrap();
        batches.push((first.base_offset, first.last_offset));
        offset = first.next_offset();
    }
    let producers = log.producers();
    let producers = producers.iter().map(|(id, p)| format!("{id}:{},", p.last_sequence()));
    Loaded {
        start: log.log_start_offset(),
        end: log.log_end_offset(),
        producers: producers.collect(),
        batches,
    }
}

pub fn options(path: PathBuf, config: &[(&str, &str)], clean: bool) -> LogOptions {
    LogOptions {
        disk: Arc::new(OsDisk::default()),
        files: FileCache::new(64),
        path,
        partition: TopicPartition::new("t", 0),
        config: Arc::new(LogConfig::default().with(config.iter().copied()).unwrap()),
        clean,
        recovery_point: 0,
        log_start: 0,
        kept: false,
        suspicion: Default::default(),
        accept_loss: false,
    }
}

fn produce(log: &Log, options: BatchOptions, records: i64, epoch: i32) {
    let at = log.log_end_offset();
    let mut builder = BatchBuilder::new(options);
    for i in 0..records {
        let value = format!("value {}", at + i).repeat(5);
        builder.append(NOW + at + i, Some(b"key"), Some(value.as_bytes()), &[]).unwrap();
    }
    let records = builder.finish().unwrap();
    log.append_as_leader(&records, epoch, AppendOrigin::Client, NOW).unwrap();
}

pub fn end_transaction(log: &Log, producer_id: i64, committed: bool) {
    let marker = EndTxnMarker { committed, coordinator_epoch: 2 };
    let batch = marker.batch(0, NOW + log.log_end_offset(), 0, producer_id, 0).unwrap();
    log.append_as_leader(&batch, 1, AppendOrigin::Coordinator, NOW).unwrap();
}

/// Every codec, plain, idempotent and transactional producers, many segments.
pub fn fill(log: &Log) {
    for i in 0..120 {
        let codec = Codec::ALL[i % 5];
        produce(log, BatchOptions { codec, ..BatchOptions::default() }, 3, i as i32 / 50);
    }
    for i in 0..20 {
        for producer_id in [5, 6] {
            let options = BatchOptions {
                producer_id,
                producer_epoch: 0,
                base_sequence: i * 2,
                transactional: producer_id == 6,
                ..BatchOptions::default()
            };
            produce(log, options, 2, 3);
        }
        end_transaction(log, 6, i % 3 != 0);
    }
}

pub const SMALL: [(&str, &str); 2] = [("segment.bytes", "6000"), ("index.interval.bytes", "500")];

#[test]
fn apaches_loader_finds_what_we_left_and_we_what_it_leaves() {
    let Some(lib) = kafka_lib() else { return };
    let judge = Judge::new(&lib);
    let temp = tempfile::tempdir().unwrap();
    let dir = |name: &str| temp.path().join(name).join("t-0");
    let clean = Log::open(options(dir("clean"), &SMALL, true), NOW).unwrap();
    fill(&clean);
    let want = ours(&clean);
    clean.close().unwrap();
    let killed = Log::open(options(dir("killed"), &SMALL, true), NOW).unwrap();
    fill(&killed);
    assert_eq!(ours(&killed), want);
    let cases = [(dir("clean"), true, want.end, 0), (dir("killed"), false, 0, 0)];
    for verdict in judge.load(&cases) {
        assert_eq!(verdict, want);
    }
    drop(killed);
    for name in ["clean", "killed"] {
        for trusted in [true, false] {
            let log = Log::open(options(dir(name), &SMALL, trusted), NOW).unwrap();
            assert_eq!(ours(&log), want, "{name}, {trusted}");
            log.close().unwrap();
        }
    }
}

/// Copies the partition out of a disk in memory.
pub fn export(disk: &MemoryDisk, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    let from = Path::new("/data/t-0");
    for entry in disk.list(from).unwrap() {
        let file = disk.open(&from.join(&entry.name), storage::disk::OpenHow::Read).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_at(&mut bytes, 0).unwrap();
        std::fs::write(to.join(&entry.name), bytes).unwrap();
    }
}

#[test]
fn a_kill_between_any_two_steps_of_a_roll_is_loaded_whole_by_apache() {
    let Some(lib) = kafka_lib() else { return };
    let judge = Judge::new(&lib);
    let temp = tempfile::tempdir().unwrap();
    let append = Step::Append { records: 2, bytes: 150, epoch_up: false, idempotent: true };
    let mut steps = vec![append.clone(), Step::Prepare, append.clone(), append.clone()];
    steps.extend([Step::Roll, append.clone(), Step::Prepare, append.clone(), Step::Roll, append]);
    let mut dirs = Vec::new();
    let mut promised = Vec::new();
    for at in 1.. {
        let disk = MemoryDisk::new(true);
        let mut driver = Driver::new(disk.clone(), &[]).unwrap();
        disk.set_fault(Some(Fault::CrashAt(disk.changes() + at)));
        let died = steps.iter().any(|step| driver.step(step).is_err());
        if !died {
            break;
        }
        let dir = temp.path().join(at.to_string()).join("t-0");
        export(&disk.after(Crash::Kill), &dir);
        dirs.push((dir, false, 0, 0));
        promised.push(driver.model.end);
    }
    assert!(dirs.len() > 20);
    for (i, verdict) in judge.load(&dirs).into_iter().enumerate() {
        assert!(verdict.end >= promised[i], "kill at change {}: {verdict:?}", i + 1);
        let log = Log::open(options(dirs[i].0.clone(), &[], false), NOW).unwrap();
        assert_eq!(ours(&log), verdict, "kill at change {}", i + 1);
    }
}

fn unpack(name: &str) -> tempfile::TempDir {
    let temp = tempfile::tempdir().unwrap();
    let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    run(Command::new("tar").arg("xzf").arg(archive).arg("-C").arg(temp.path()), "");
    temp
}

fn manager(root: &Path) -> LogManager {
    let disk: Arc<dyn Disk> = Arc::new(OsDisk::default());
    let dir = LogDir::open(disk.clone(), root).unwrap();
    dir.check_identity(1, "fMjTBxjzQ42SvOOZHFmX8w").unwrap();
    let manager = LogManager::new(disk, vec![dir], false, NOW).unwrap();
    manager.load_all(&|_| Arc::new(LogConfig::default()), NOW);
    manager
}

#[test]
fn a_directory_of_a_stock_broker_is_loaded() {
    for (archive, root, clean, end) in [
        ("apache391-clean-stop.tgz", "clean", true, 9),
        ("apache391-kill9.tgz", "kill9", false, 10),
    ] {
        let temp = unpack(archive);
        let root = temp.path().join(root);
        let manager = manager(&root);
        assert_eq!(manager.dirs()[0].was_clean(), clean);
        assert!(manager.logs().len() >= 9);
        for log in manager.logs() {
            let reason = manager.failure_of(log.partition());
            assert_eq!(reason, None, "{}", log.partition());
            assert!(log.topic_id().is_some_and(|id| !id.is_zero()));
            read_all(&log).unwrap();
        }
        let foo = manager.log(&TopicPartition::new("foo", 0)).unwrap();
        assert_eq!((foo.log_start_offset(), foo.log_end_offset()), (0, end));
        assert_eq!(foo.producers()[&0].last_sequence(), 4);
        assert_eq!(foo.producers()[&1].last_offset(), 7);
        assert_eq!(foo.last_stable_offset(end), end);
        let read = foo.read(0, 1 << 20, end, true).unwrap();
        let aborted = foo.aborted_transactions(0, &read).unwrap();
        assert_eq!((aborted[0].producer_id, aborted[0].first_offset), (1, 7));
        assert_eq!(foo.end_offset_for_epoch(0), (0, 9));
        let state = manager.log(&TopicPartition::new("__transaction_state", 0)).unwrap();
        assert_eq!(state.log_end_offset(), 8);
        assert_eq!(manager.remove_doomed(NOW + 100_000).done, 1);
        let id = Some(Uuid([1; 16]));
        let new = manager.get_or_create(
            &TopicPartition::new("new", 0),
            Arc::new(LogConfig::default()),
            id,
            NOW,
        );
        assert_eq!(new.unwrap().log_end_offset(), 0);
        assert!(manager.close().is_empty());
        assert!(root.join(".kafka_cleanshutdown").exists());
    }
}

/// Batches of one record at these offsets in one segment file, without indexes.
fn one_file(dir: &Path, offsets: &[Offset]) {
    std::fs::create_dir_all(dir).unwrap();
    let mut bytes = Vec::new();
    for offset in offsets {
        let mut builder = BatchBuilder::new(BatchOptions::default());
        builder.append(NOW + offset, Some(b"k"), Some(&[7; 300]), &[]).unwrap();
        let mut batch = builder.finish().unwrap().to_vec();
        protocol::records::batch::assign(&mut batch, *offset, 0);
        bytes.extend_from_slice(&batch);
    }
    std::fs::write(dir.join("00000000000000000000.log"), bytes).unwrap();
}

pub fn log_names(dir: &Path) -> Vec<String> {
    let names = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name());
    let mut names: Vec<String> = names.map(|n| n.to_string_lossy().into_owned()).collect();
    names.retain(|name| name.ends_with(".log") || name.ends_with("index"));
    names.sort();
    names
}

#[test]
fn a_segment_that_overflows_is_split_as_apache_splits_it() {
    let Some(lib) = kafka_lib() else { return };
    let judge = Judge::new(&lib);
    let temp = tempfile::tempdir().unwrap();
    let dir = |name: &str| temp.path().join(name).join("t-0");
    let far = i64::from(i32::MAX);
    let offsets = [0, 5, far, far + 1, far + 9, 3 * far, 3 * far + 2];
    for name in ["theirs", "ours"] {
        one_file(&dir(name), &offsets);
    }
    let verdict = judge.load(&[(dir("theirs"), false, 0, 0)]).remove(0);
    let log = Log::open(options(dir("ours"), &[("cleanup.policy", "compact")], false), NOW);
    let log = log.unwrap();
    assert_eq!(ours(&log), verdict);
    log.close().unwrap();
    assert_eq!(log_names(&dir("ours")), log_names(&dir("theirs")));
    assert_eq!(judge.load(&[(dir("ours"), true, verdict.end, 0)]), [verdict]);
}
