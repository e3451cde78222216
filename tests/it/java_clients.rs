//! Apache's Java clients, old and new: one program of ours compiled against each release.

use tests::{Cluster, java, on_both_stores};

on_both_stores!(old_and_new);

/// Release, and the codecs it can write (zstd came with 2.1).
const RELEASES: &[(&str, &[&str])] = &[
    ("1.1.1", &["none", "gzip", "snappy", "lz4"]),
    ("2.8.2", &["none", "gzip", "snappy", "lz4", "zstd"]),
    ("3.9.2", &["none", "gzip", "snappy", "lz4", "zstd"]),
    ("4.1.0", &["none", "gzip", "snappy", "lz4", "zstd"]),
];

fn old_and_new(cluster: Cluster) {
    for (version, codecs) in RELEASES {
        let (bootstrap, prefix) = (cluster.bootstrap(), format!("java-{version}"));
        let mut args = vec![bootstrap.as_str(), prefix.as_str()];
        args.extend(*codecs);
        let output = java::program("ClientSuite", version, &args);
        assert!(output.out.ends_with("ok\n"), "client {version}: {output:#?}");
    }
}
