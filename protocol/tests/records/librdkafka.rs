//! What librdkafka puts on the wire, in every format and codec it has, read as Apache reads it.

use std::path::PathBuf;

use crate::dump::dump;

#[test]
fn librdkafka_batches_read_as_apache_reads_them() {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/librdkafka");
    let mut seen = 0;
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "bin") {
            let expected = std::fs::read_to_string(path.with_extension("txt")).unwrap();
            assert_eq!(dump(&std::fs::read(&path).unwrap()), expected, "{}", path.display());
            seen += 1;
        }
    }
    assert_eq!(seen, 13, "three formats, five codecs, zstd only in the newest");
}
