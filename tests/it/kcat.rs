//! kcat (librdkafka): produce, consume, every codec, keys, headers, null values, seek by time.

use tests::clients::kcat;
use tests::{Cluster, on_both_stores};

on_both_stores!(produce_and_consume, codecs, keys_headers_nulls, offsets_by_time);

fn produce_and_consume(cluster: Cluster) {
    let broker = cluster.bootstrap();
    kcat(&broker, &["-P", "-t", "first"], b"one\ntwo\nthree\n").ok();
    let read = kcat(&broker, &["-C", "-t", "first", "-o", "beginning", "-e", "-q"], b"").ok();
    assert_eq!(read, "one\ntwo\nthree\n");
    let listed = kcat(&broker, &["-L", "-t", "first"], b"").ok();
    assert!(listed.contains("topic \"first\" with 1 partitions"), "{listed}");
    assert!(listed.contains("leader 1, replicas: 1, isrs: 1"), "{listed}");
}

fn codecs(cluster: Cluster) {
    let broker = cluster.bootstrap();
    // Big enough that librdkafka keeps the compressed form.
    let input: String =
        (0..2000).map(|i| format!("value number {i} of many that look alike\n")).collect();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let topic = format!("codec-{codec}");
        kcat(&broker, &["-P", "-t", &topic, "-z", codec], input.as_bytes()).ok();
        let read = kcat(&broker, &["-C", "-t", &topic, "-o", "beginning", "-e", "-q"], b"").ok();
        assert!(read == input, "{codec}: {} bytes back of {}", read.len(), input.len());
    }
}

fn keys_headers_nulls(cluster: Cluster) {
    let broker = cluster.bootstrap();
    kcat(&broker, &["-P", "-t", "kv", "-K:", "-H", "trace=42", "-Z"], b"a:1\nb:\nc:3\n").ok();
    let format = "%k|%s|%S|%h\\n";
    let read = kcat(&broker, &["-C", "-t", "kv", "-o", "beginning", "-e", "-q", "-f", format], b"");
    assert_eq!(read.ok(), "a|1|1|trace=42\nb||-1|trace=42\nc|3|1|trace=42\n");
}

fn offsets_by_time(cluster: Cluster) {
    let broker = cluster.bootstrap();
    kcat(&broker, &["-P", "-t", "timed"], b"early\n").ok();
    let stamp = |offset: &str| -> i64 {
        let args = ["-C", "-t", "timed", "-p", "0", "-o", offset, "-c", "1", "-q", "-f", "%T"];
        kcat(&broker, &args, b"").ok().parse().expect("a timestamp")
    };
    let early = stamp("0");
    tests::wait::until("the clock to move on", std::time::Duration::from_secs(5), || {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        (now.expect("after 1970").as_millis() as i64 > early + 1).then_some(())
    });
    kcat(&broker, &["-P", "-t", "timed"], b"late\n").ok();
    let from = format!("s@{}", early + 1);
    let read = kcat(&broker, &["-C", "-t", "timed", "-p", "0", "-o", &from, "-e", "-q"], b"").ok();
    assert_eq!(read, "late\n");
    let query = kcat(&broker, &["-Q", "-t", &format!("timed:0:{early}")], b"").ok();
    assert!(query.contains("timed [0] offset 0"), "{query}");
}
