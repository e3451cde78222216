//! Apache's own record classes (kafka-clients and kafka-storage 3.9.2) as judge, run as a Java
//! program: they read ours, we read theirs, and both convert and validate to the same result.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use protocol::records::batch;
use protocol::records::builder::{BatchBuilder, BatchOptions};
use protocol::records::codec::{Codec, Limits};
use protocol::records::convert::{ConvertError, down_convert};
use protocol::records::legacy::{LegacyBuilder, LegacyTime};
use protocol::records::record::Header;
use protocol::records::validate::{Origin, Refusal, Rules, validate};

use crate::dump::dump;

const NOW_MS: i64 = 1_700_000_000_000;

struct Oracle {
    class_path: String,
    dir: tempfile::TempDir,
}

impl Oracle {
    /// `None`, with a line that says why, where the jars are not there.
    fn build() -> Option<Oracle> {
        let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
        let target = target.unwrap_or_else(|| "target".into());
        let lib = std::env::var_os("OTTLA_KAFKA_LIB")
            .map(PathBuf::from)
            .unwrap_or_else(|| manifest.join("..").join(target).join("kafka/lib"));
        if !lib.join("kafka-storage-3.9.2.jar").exists() {
            assert!(std::env::var_os("CI").is_none_or(|v| v != "true"), "no jars in {lib:?}");
            eprintln!("skipped: run cargo xtask setup");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let jars = format!("{}/*", lib.display());
        let source = manifest.join("tests/java/RecordsOracle.java");
        let mut javac = Command::new("javac");
        run(javac.args(["-cp", &jars, "-d"]).arg(dir.path()).arg(source));
        Some(Oracle { class_path: format!("{}:{jars}", dir.path().display()), dir })
    }

    /// Runs one job over the sets in `dir`; its texts then stand beside them.
    fn run(&self, job: &str, dir: &Path) {
        run(Command::new("java").args(["-cp", &self.class_path, "RecordsOracle", job]).arg(dir));
    }

    fn folder(&self, name: &str) -> PathBuf {
        let dir = self.dir.path().join(name);
        fs::create_dir(&dir).unwrap();
        dir
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {complaint}");
}

fn each_set(dir: &Path, mut look: impl FnMut(&str, &[u8], &str)) -> usize {
    let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    names.retain(|path| path.extension().is_some_and(|e| e == "bin"));
    names.sort();
    for path in &names {
        let text = fs::read_to_string(path.with_extension("txt")).unwrap();
        let name = path.file_stem().unwrap().to_string_lossy();
        look(&name, &fs::read(path).unwrap(), &text);
    }
    names.len()
}

/// Long texts differ somewhere; this shows where.
fn same(name: &str, ours: &str, apache: &str) {
    for (i, (a, b)) in ours.lines().zip(apache.lines()).enumerate() {
        assert_eq!(a, b, "{name}, line {}", i + 1);
    }
    assert_eq!(ours.lines().count(), apache.lines().count(), "{name}: number of lines");
}

#[test]
fn apache_and_we_agree() {
    let Some(oracle) = Oracle::build() else { return };
    let theirs = oracle.folder("theirs");
    oracle.run("write", &theirs);
    oracle.run("dump", &theirs);
    let sets = each_set(&theirs, |name, set, text| same(name, &dump(set), text));
    assert_eq!(sets, 106, "3 formats × codecs × 2 timestamp types × 4 shapes, 2 markers");

    for (job, magic) in [("down0", 0), ("down1", 1)] {
        oracle.run(job, &theirs);
        each_set(&theirs, |name, set, text| {
            let ours = match down_convert(set, magic, 1001, &Limits::default()) {
                Ok(converted) => dump(&converted),
                Err(ConvertError::Zstd) => "error UnsupportedCompressionTypeException\n".to_owned(),
                Err(other) => panic!("{name}: {other}"),
            };
            same(&format!("{job} {name}"), &ours, text);
        });
    }

    oracle.run("validate", &theirs);
    each_set(&theirs, |name, set, text| same(name, &validate_all(set), text));

    let ours = oracle.folder("ours");
    write_ours(&ours);
    oracle.run("dump", &ours);
    let sets = each_set(&ours, |name, set, text| same(name, &dump(set), text));
    assert_eq!(sets, 26, "2 shapes × (5 codecs, and 4 in each old format)");
}

/// The same sweep over rules as `RecordsOracle validate`, told in the same words.
fn validate_all(set: &[u8]) -> String {
    let mut out = String::new();
    let mut set = set.to_vec();
    if set[batch::MAGIC_AT] == 2 {
        set[..8].copy_from_slice(&0i64.to_be_bytes());
    }
    for codec in [None, Some(Codec::None), Some(Codec::Gzip), Some(Codec::Zstd)] {
        for append_time in [false, true] {
            for compacted in [false, true] {
                for after_max_ms in [3, 3_600_000] {
                    for origin in [Origin::Client, Origin::Coordinator] {
                        let target = codec.map_or("producer", Codec::name);
                        let client = origin == Origin::Client;
                        out += &format!(
                            "rules {target} {append_time} {compacted} {after_max_ms} {client}\n"
                        );
                        let rules = Rules {
                            origin,
                            compacted,
                            append_time,
                            before_max_ms: 3_600_000,
                            after_max_ms,
                            codec,
                            level: None,
                            now_ms: NOW_MS,
                            limits: Limits::default(),
                        };
                        out += &validate_one(&set, &rules);
                    }
                }
            }
        }
    }
    out
}

fn validate_one(set: &[u8], rules: &Rules) -> String {
    match validate(set, rules) {
        Ok(validated) => {
            let mut stored = validated.rebuilt.unwrap_or_else(|| set.to_vec());
            if let Some((attributes, timestamp_max)) = validated.timestamps {
                batch::set_timestamps(&mut stored, attributes, timestamp_max);
            }
            batch::assign(&mut stored, 500, 6);
            let header = batch::verify(&stored).unwrap();
            assert_eq!(header.max_timestamp, validated.timestamp_max);
            assert_eq!(header.last_offset_delta + 1, validated.offset_count);
            assert_eq!(header.record_count, validated.record_count);
            format!("max={}\n{}", validated.timestamp_max, dump(&stored))
        }
        Err(refused) => {
            let class = match refused.refusal() {
                Refusal::InvalidRecord => "InvalidRecordException",
                Refusal::InvalidTimestamp => "InvalidTimestampException",
                Refusal::CorruptMessage => "CorruptRecordException",
                Refusal::UnsupportedCompressionType => "UnsupportedCompressionTypeException",
                Refusal::MessageTooLarge => "RecordTooLargeException",
                Refusal::Unreadable => "KafkaException",
                Refusal::Busy => unreachable!("no budget is set"),
            };
            let rejections = refused.rejections();
            if rejections.is_empty() {
                return format!("refused {class}\n");
            }
            let indexes: Vec<_> = rejections.iter().map(|r| r.index.to_string()).collect();
            format!("refused {class} {}\n", indexes.join(","))
        }
    }
}

fn write_ours(dir: &Path) {
    let large: Vec<u8> = (0..200_000u32).map(|i| (i.wrapping_mul(i) >> 9) as u8).collect();
    let shapes: [Vec<(i64, Option<&[u8]>, Option<&[u8]>)>; 2] = [
        vec![
            (NOW_MS, Some(b"k"), Some(b"v")),
            (NOW_MS - 7, None, None),
            (NOW_MS + 7, Some(b""), Some(b"")),
        ],
        vec![(NOW_MS, Some(&large[..100]), Some(&large)), (NOW_MS, None, Some(&[0; 99_999]))],
    ];
    for (i, shape) in shapes.iter().enumerate() {
        for codec in Codec::ALL {
            let mut builder = BatchBuilder::new(BatchOptions {
                base_offset: 12,
                leader_epoch: 3,
                codec,
                producer_id: 99,
                producer_epoch: 1,
                base_sequence: i32::MAX,
                transactional: true,
                ..BatchOptions::default()
            });
            let headers = [
                Header { key: b"h", value: None },
                Header { key: "ü".as_bytes(), value: Some(b"") },
            ];
            for (timestamp, key, value) in shape {
                builder.append(*timestamp, *key, *value, &headers).unwrap();
            }
            let name = format!("m2-{}-{i}.bin", codec.name());
            fs::write(dir.join(name), builder.finish().unwrap()).unwrap();
            for magic in [0, 1] {
                if codec == Codec::Zstd {
                    continue;
                }
                let mut builder = LegacyBuilder::new(magic, codec, LegacyTime::Create, 12);
                for (offset, (timestamp, key, value)) in (12..).zip(shape) {
                    builder.append(offset, *timestamp, *key, *value).unwrap();
                }
                let mut out = Vec::new();
                builder.finish(&mut out).unwrap();
                fs::write(dir.join(format!("m{magic}-{}-{i}.bin", codec.name())), out).unwrap();
            }
        }
    }
}
