//! Record batches between implementations: what our producer writes, librdkafka and Java read; what
//! lies on disk, our dump tool and Apache's show alike.

use std::path::{Path, PathBuf};

use tests::clients::kcat;
use tests::{Cluster, java, on_both_stores, ottla};

use crate::java_tools::CONSUMER;

const DUMP: &str = "kafka.tools.DumpLogSegments";
const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];

on_both_stores!(our_batches_are_read_by_others, files_are_shown_alike);

/// Headers, key and value of a line, the value large enough to span blocks of every codec.
fn line() -> String {
    let value: String = (0..9_000).map(|i| format!("{} ", i * i)).collect();
    format!("h:x,n:NIL\tkey\t{value}")
}

fn produce(broker: &str, topic: &str, codec: &str) {
    let flags = ["console-producer", "--bootstrap-server", broker, "--topic", topic];
    let parse = ["parse.headers=true", "parse.key=true", "null.marker=NIL"];
    let parse = parse.iter().flat_map(|property| ["--property", property]);
    let args: Vec<&str> =
        flags.into_iter().chain(["--compression-codec", codec]).chain(parse).collect();
    let input = format!("{}\nNIL\tNIL\tNIL\n", line());
    // Records that cannot be sent are named on standard error, as Kafka's tool does it.
    let sent = ottla::tool(&args, input.as_bytes());
    assert_eq!((sent.code, sent.err.as_str()), (Some(0), ""), "{codec}");
}

fn our_batches_are_read_by_others(cluster: Cluster) {
    let broker = cluster.bootstrap();
    let value = line().rsplit('\t').next().expect("a value").to_owned();
    for codec in CODECS {
        produce(&broker, codec, codec);
        let format = "%k|%s|%S|%h\\n";
        let args = ["-C", "-t", codec, "-o", "beginning", "-e", "-q", "-f", format];
        let read = kcat(&broker, &args, b"").ok();
        let expected = format!("key|{value}|{}|h=x,n=NULL\n||-1|\n", value.len());
        assert!(read == expected, "{codec}: {read:.200}");
        let args = ["--bootstrap-server", &broker, "--topic", codec, "--from-beginning"];
        let show = ["--max-messages", "2", "--property", "print.key=true"];
        let show = [&args[..], &show, &["--property", "print.headers=true"]].concat();
        let read = java::tool(CONSUMER, &show, b"").ok();
        let expected = format!("h:x,n:null\tkey\t{value}\nNO_HEADERS\tnull\tnull\n");
        assert!(read == expected, "{codec}: {read:.200}");
    }
}

fn files_are_shown_alike(mut cluster: Cluster) {
    let broker = cluster.bootstrap();
    for codec in CODECS {
        produce(&broker, "mixed", codec);
    }
    let read = ["console-consumer", "--bootstrap-server", &broker, "--topic", "mixed"];
    let read = [&read[..], &["--from-beginning", "--max-messages", "10", "--group", "g"]].concat();
    ottla::tool(&read, b"").ok();
    cluster.stop();
    let mut shown = 0;
    for dir in ["mixed-0", "__consumer_offsets-"] {
        for file in files(&cluster.data_dir(), dir) {
            let path = file.to_str().expect("a path of ASCII");
            let decoder = match dir {
                "mixed-0" => "--print-data-log",
                _ => "--offsets-decoder",
            };
            let args = ["--files", path, decoder];
            let ours = ottla::tool(&[&["dump-log"], &args[..]].concat(), b"");
            let apache = java::tool(DUMP, &args, b"");
            assert_eq!((ours.code, ours.out), (apache.code, apache.out), "{path}");
            shown += 1;
        }
    }
    assert!(shown > 8, "five batches, their indexes, and the group's offsets: {shown} files");
}

/// Logs, indexes and snapshots in the folders whose names begin so.
fn files(data_dir: &Path, folder: &str) -> Vec<PathBuf> {
    let list = |dir: &Path| -> Vec<PathBuf> {
        std::fs::read_dir(dir).expect("a folder").map(|e| e.expect("an entry").path()).collect()
    };
    let name = |path: &PathBuf| path.file_name().map(|n| n.to_string_lossy().into_owned());
    let mut all: Vec<PathBuf> = list(data_dir)
        .into_iter()
        .filter(|dir| name(dir).is_some_and(|name| name.starts_with(folder)))
        .flat_map(|dir| list(&dir))
        .filter(|path| {
            let kinds = ["log", "index", "timeindex", "snapshot"];
            kinds.iter().any(|kind| path.extension().is_some_and(|e| e == *kind))
        })
        .collect();
    all.sort();
    all
}
