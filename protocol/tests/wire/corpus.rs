//! Replays the fuzzer's corpus through the fuzz targets' own code.

use std::path::{Path, PathBuf};

#[path = "../../../tests/fuzz/src/wire.rs"]
mod wire;

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/corpus").join(target)
}

/// Runs `target` on every file; says how many there were.
fn replay(name: &str, target: fn(&[u8])) -> usize {
    let mut count = 0;
    for file in std::fs::read_dir(corpus(name)).expect("the corpus is committed") {
        let path = file.expect("a file").path();
        println!("{}", path.display());
        target(&std::fs::read(&path).expect("a readable file"));
        count += 1;
    }
    count
}

#[test]
fn frames_of_the_corpus() {
    assert!(replay("frames", wire::frames) > 0);
}

#[test]
fn messages_of_the_corpus() {
    assert!(replay("messages", wire::messages) > 0);
}
