//! A good history with transactions, and each way in which it can be bad.

use super::*;

/// Transaction 1 commits values 1 (partition 0) and 2 (partition 1), 2 aborts value 3, 3 commits
/// value 4, the end of 4 with values 5 and 6 is unknown: it committed.
const GOOD: &str = r#"{"process":"w","f":"txn","type":"invoke","txn":1,"sent":[[0,1],[1,2]]}
{"process":"w","f":"txn","type":"ok","txn":1}
{"process":"w","f":"txn","type":"invoke","txn":2,"sent":[[0,3]]}
{"process":"w","f":"txn","type":"fail","txn":2}
{"process":"w","f":"txn","type":"invoke","txn":3,"sent":[[0,4]]}
{"process":"w","f":"txn","type":"ok","txn":3}
{"process":"w","f":"error","type":"info","text":"down"}
{"process":"w","f":"txn","type":"invoke","txn":4,"sent":[[0,5],[1,6]]}
{"process":"w","f":"txn","type":"info","txn":4}
{"process":"c","f":"copy","type":"ok","count":5}
{"process":"r","f":"poll","type":"ok","topic":"in","partition":0,"offset":0,"value":1}
{"process":"r","f":"poll","type":"ok","topic":"in","partition":0,"offset":4,"value":4}
{"process":"end","f":"poll","type":"ok","topic":"in","partition":0,"offset":0,"value":1}
{"process":"end","f":"poll","type":"ok","topic":"in","partition":0,"offset":4,"value":4}
{"process":"end","f":"poll","type":"ok","topic":"in","partition":0,"offset":6,"value":5}
{"process":"end","f":"poll","type":"ok","topic":"in","partition":1,"offset":0,"value":2}
{"process":"end","f":"poll","type":"ok","topic":"in","partition":1,"offset":2,"value":6}
{"process":"end","f":"poll","type":"ok","topic":"out","partition":0,"offset":0,"value":1}
{"process":"end","f":"poll","type":"ok","topic":"out","partition":0,"offset":1,"value":2}
{"process":"end","f":"poll","type":"ok","topic":"out","partition":0,"offset":2,"value":4}
{"process":"end","f":"poll","type":"ok","topic":"out","partition":0,"offset":3,"value":5}
{"process":"end","f":"poll","type":"ok","topic":"out","partition":0,"offset":4,"value":6}
{"process":"end","f":"done","type":"ok"}
"#;

fn check(text: &str) -> Verdict {
    let mut history = History::default();
    history.read(text).unwrap();
    history.check()
}

/// The good history without the lines that hold all of `words`, and with `more`.
fn found(without: &[&str], more: &str) -> Vec<Anomaly> {
    let kept = |line: &&str| without.is_empty() || !without.iter().all(|word| line.contains(word));
    let text: String = GOOD.split_inclusive('\n').filter(kept).collect();
    check(&(text + more)).anomalies
}

fn poll(reader: &str, partition: i32, offset: i64, value: u64) -> String {
    format!(
        "{{\"process\":\"{reader}\",\"f\":\"poll\",\"type\":\"ok\",\"topic\":\"in\",\
         \"partition\":{partition},\"offset\":{offset},\"value\":{value}}}\n"
    )
}

#[test]
fn a_good_history_passes() {
    let verdict = check(GOOD);
    let expected = Verdict { committed: 2, aborted: 1, unknown: 1, copied: 5, anomalies: vec![] };
    assert_eq!(verdict, expected);
}

#[test]
fn a_transaction_of_unknown_end_may_be_missing_but_not_in_part() {
    let without = |values: &[&str]| -> Vec<Anomaly> {
        let kept = |line: &&str| !values.iter().any(|v| line.ends_with(&format!(":{v}}}\n")));
        check(&GOOD.split_inclusive('\n').filter(kept).collect::<String>()).anomalies
    };
    assert_eq!(without(&["5", "6"]), []);
    let seen = poll("r", 0, 6, 5);
    let gone = GOOD.split_inclusive('\n').filter(|line| {
        !line.contains("\"end\"") || {
            let ends = |v| line.ends_with(&format!(":{v}}}\n"));
            !ends(5) && !ends(6)
        }
    });
    let vanished = Anomaly::Vanished { value: 5, reader: "r".into() };
    assert_eq!(check(&(gone.collect::<String>() + &seen)).anomalies, [vanished]);
    assert_eq!(without(&["6"]), [Anomaly::Torn { txn: 4, missing: [6].into() }]);
}

#[test]
fn aborted_reads_are_found() {
    let aborted = |reader: &str| Anomaly::AbortedRead { txn: 2, value: 3, reader: reader.into() };
    let anomalies = found(&[], &(poll("x", 0, 0, 1) + &poll("x", 0, 2, 3)));
    assert_eq!(anomalies, [aborted("x")]);
}

#[test]
fn lost_and_torn_ones_are_found() {
    let anomalies = found(&["\"in\"", ":4}"], "");
    assert_eq!(anomalies, [Anomaly::Lost { txn: 3 }, Anomaly::Copied { value: 4, times: 1 }]);
    let anomalies = found(&["end", "\"in\"", ":2}"], "");
    let torn = Anomaly::Torn { txn: 1, missing: [2].into() };
    assert_eq!(anomalies, [torn, Anomaly::Copied { value: 2, times: 1 }]);
}

#[test]
fn misplaced_ones_are_found() {
    let anomalies = found(&[], &poll("x", 0, 9, 1));
    let duplicate = Anomaly::Duplicate { value: 1, at: [(0, 0), (0, 9)].into() };
    assert!(anomalies.contains(&duplicate), "{anomalies:?}");
    let anomalies = found(&[], &poll("x", 0, 0, 99));
    let both = Anomaly::Inconsistent { at: (0, 0), values: [1, 99].into() };
    let phantom = Anomaly::Phantom { value: 99, at: (0, 0) };
    assert_eq!(anomalies, [phantom, Anomaly::Vanished { value: 99, reader: "x".into() }, both]);
    let anomalies = found(&["end", "\"in\"", ":1}"], &poll("end", 0, 8, 1));
    let disorder = Anomaly::Disorder { partition: 0, first: 5, then: 1 };
    assert!(anomalies.contains(&disorder), "{anomalies:?}");
}

#[test]
fn readers_that_jump_are_found() {
    let anomalies = found(&[], &poll("r", 0, 0, 1));
    let back = Anomaly::Backwards { reader: "r".into(), partition: 0, from: 4, to: 0 };
    assert_eq!(anomalies, [back]);
    let anomalies = found(&["\"r\"", ":1}"], "");
    assert_eq!(anomalies, [Anomaly::Skipped { reader: "r".into(), at: (0, 0) }]);
}

#[test]
fn copies_are_counted() {
    assert_eq!(found(&["out", ":5}"], ""), [Anomaly::NotCopied { value: 5 }]);
    let again = poll("end", 0, 9, 5).replace("\"in\"", "\"out\"");
    assert_eq!(found(&[], &again), [Anomaly::Copied { value: 5, times: 2 }]);
    assert_eq!(found(&["done"], ""), [Anomaly::Unfinished]);
}

#[test]
fn other_lines_are_refused() {
    for line in ["hello\n", "{}\n", "{\"process\":\"w\",\"f\":\"txn\",\"type\":\"ok\",\"txn\":9}\n"]
    {
        assert_eq!(History::default().read(line), Err(BadLine(line.to_owned())));
    }
}
