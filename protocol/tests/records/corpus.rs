//! Replays the fuzzer's corpus of record sets through the fuzz target's own code.

use std::path::Path;

#[path = "../../../tests/fuzz/src/records.rs"]
mod records;

#[test]
fn batches_of_the_corpus() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/corpus/batches");
    let mut count = 0;
    for file in std::fs::read_dir(dir).expect("the corpus is committed") {
        let path = file.expect("a file").path();
        println!("{}", path.display());
        records::batches(&std::fs::read(&path).expect("a readable file"));
        count += 1;
    }
    assert!(count > 0);
}
