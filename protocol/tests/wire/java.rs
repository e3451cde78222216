//! Kafka's Java classes write, this crate reads and writes again, byte for byte; and the reverse.

use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::{Buf, BufMut, Bytes};
use protocol::api::ApiKey;
use protocol::header::{RequestHeader, ResponseHeader};
use protocol::messages::catalog::{CATALOG, Entry};
use protocol::wire::{Reader, Writer};

use crate::oracle;
use crate::random::{self, Random};

/// Random messages of each type and version, from each side.
const ROUNDS: u64 = 15;

/// One message in the file between this test and the Java program: name, version and length, then
/// its bytes.
struct Sample {
    name: String,
    version: i16,
    bytes: Bytes,
}

#[test]
fn java_and_this_crate_read_and_write_the_same_bytes() {
    let Some(lib) = oracle::kafka_lib() else { return };
    let seed = seed();
    println!("replay with OTTLA_SEED={seed}");
    let dir = tempfile::tempdir().expect("a temporary directory");
    let java = JavaOracle::compile(&lib, dir.path());

    let (theirs, back) = (dir.path().join("java"), dir.path().join("rust"));
    java.run(&["write", &seed.to_string(), &ROUNDS.to_string(), path(&theirs)]);
    let samples = read_samples(std::fs::read(&theirs).expect("Java's messages").into());
    let newest = |e: &Entry| oracle::newest_in_3_9(e.name, e.max_version);
    let versions: usize = CATALOG.iter().map(|e| (newest(e) - e.min_version + 1) as usize).sum();
    let messages = samples.iter().filter(|sample| !sample.name.contains("Header")).count();
    assert_eq!(messages, versions * ROUNDS as usize, "every message in every version");

    let mut out = Vec::new();
    for sample in &samples {
        let rewritten = recode(sample).unwrap_or_else(|error| {
            panic!("{} v{}: {error} in {:02x?}", sample.name, sample.version, sample.bytes)
        });
        assert_eq!(rewritten, sample.bytes, "{} v{}, seed {seed}", sample.name, sample.version);
        put_sample(&mut out, &sample.name, sample.version, &rewritten);
    }
    let mut random = Random(seed);
    for entry in CATALOG {
        for version in entry.min_version..=newest(entry) {
            for _ in 0..ROUNDS {
                let bytes = ours(&mut random, entry, version);
                put_sample(&mut out, entry.name, version, &bytes);
            }
        }
    }
    std::fs::write(&back, out).expect("room for our messages");
    java.run(&["check", path(&back)]);
}

/// A random message as this crate writes it.
fn ours(random: &mut Random, entry: &Entry, version: i16) -> Bytes {
    let bytes = random::message(random, entry.schema, version, version >= entry.flexible_from);
    let sample = Sample { name: entry.name.into(), version, bytes: bytes.into() };
    recode(&sample).unwrap_or_else(|error| panic!("{} v{version}: {error}", entry.name))
}

fn recode(sample: &Sample) -> Result<Bytes, Box<dyn std::error::Error>> {
    let mut r = Reader::for_frame(sample.bytes.clone());
    let mut w = Writer::new();
    if sample.name == "RequestHeader" {
        let header = RequestHeader::decode(&mut r)?;
        assert_eq!(header.version, sample.version);
        header.encode(&mut w)?;
    } else if let Some(key) = sample.name.strip_prefix("ResponseHeader ") {
        let api = ApiKey::from_key(key.parse()?).ok_or("unknown key")?;
        ResponseHeader::decode(&mut r, api, sample.version)?.encode(&mut w, api, sample.version);
    } else {
        let entry = CATALOG.iter().find(|entry| entry.name == sample.name).ok_or("unknown name")?;
        (entry.recode)(&mut r, sample.version, &mut w)?;
    }
    if r.remaining() > 0 {
        return Err(format!("{} bytes are left", r.remaining()).into());
    }
    Ok(w.finish()?.into_bytes().ok_or("a payload")?)
}

struct JavaOracle {
    class_path: String,
}

impl JavaOracle {
    fn compile(lib: &Path, out: &Path) -> JavaOracle {
        let class_path = format!("{}:{}/*", path(out), path(lib));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/java/WireOracle.java");
        let mut javac = Command::new("javac");
        oracle::run(javac.args(["-cp", &class_path, "-d", path(out)]).arg(source));
        JavaOracle { class_path }
    }

    fn run(&self, arguments: &[&str]) {
        let mut java = Command::new("java");
        java.args(["-XX:TieredStopAtLevel=1", "-Xshare:auto", "-cp", &self.class_path]);
        oracle::run(java.arg("WireOracle").args(arguments));
    }
}

fn seed() -> u64 {
    match std::env::var("OTTLA_SEED") {
        Ok(seed) => seed.parse().expect("OTTLA_SEED is a number"),
        Err(_) => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
            // Java reads it as a signed number.
            now.as_nanos() as u64 >> 1
        }
    }
}

fn path(path: &Path) -> &str {
    path.to_str().expect("paths here are text")
}

fn read_samples(mut bytes: Bytes) -> Vec<Sample> {
    let mut samples = Vec::new();
    while bytes.has_remaining() {
        let name_len = bytes.get_u16() as usize;
        let name = String::from_utf8(bytes.split_to(name_len).to_vec()).expect("a name");
        let version = bytes.get_i16();
        let len = bytes.get_i32() as usize;
        samples.push(Sample { name, version, bytes: bytes.split_to(len) });
    }
    samples
}

fn put_sample(out: &mut Vec<u8>, name: &str, version: i16, bytes: &[u8]) {
    out.put_u16(name.len() as u16);
    out.put_slice(name.as_bytes());
    out.put_i16(version);
    out.put_i32(bytes.len() as i32);
    out.put_slice(bytes);
}
