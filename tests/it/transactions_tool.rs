//! `transactions` beside Apache's tool on the same cluster: the same flags give the same standard
//! output and exit code, and what one finds hanging the other ends.

use std::time::Duration;

use protocol::error_code::ErrorCode;
use protocol::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use protocol::records::builder::{BatchBuilder, BatchOptions};
use protocol::wire::Records;
use tests::brokers::{Brokers, Kind, Plan};
use tests::process::Output;
use tests::{java, ottla, wait};

const LINES: &str = "\
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.partition.verification.enable=false";
const LIMIT: Duration = Duration::from_secs(60);

fn ours(brokers: &Brokers, args: &[&str]) -> Output {
    let at = brokers.bootstrap();
    ottla::tool(&[&["transactions", "--bootstrap-server", &at], args].concat(), b"")
}

fn theirs(brokers: &Brokers, args: &[&str]) -> Output {
    let at = brokers.bootstrap();
    let class = "org.apache.kafka.tools.TransactionsCommand";
    java::tool(class, &[&["--bootstrap-server", &at], args].concat(), b"")
}

/// Both tools, which must print the same but for what grows with time.
#[track_caller]
fn both(brokers: &Brokers, args: &[&str], growing: Option<&str>) -> String {
    let (ours, theirs) = (ours(brokers, args), theirs(brokers, args));
    assert_eq!(ours.code, theirs.code, "{args:?}\nours: {ours:#?}\nApache's: {theirs:#?}");
    assert_eq!(still(&ours.out, growing), still(&theirs.out, growing), "{args:?}");
    ours.out
}

/// The table without the values of one column.
fn still(table: &str, growing: Option<&str>) -> Vec<Vec<String>> {
    let rows = table.lines().map(|line| line.split('\t').map(str::to_owned).collect());
    let mut rows: Vec<Vec<String>> = rows.collect();
    let named = |name: &String| Some(name.trim_end()) == growing;
    if let Some(column) = rows.first().and_then(|header| header.iter().position(named)) {
        for row in rows.iter_mut().skip(1) {
            assert!(row[column].trim_end().parse::<i64>().is_ok(), "{row:?}");
            row[column] = String::new();
        }
    }
    rows
}

/// The values of the row whose first columns are these.
#[track_caller]
fn row(table: &str, begins: &[&str]) -> Vec<String> {
    let mut rows =
        table.lines().map(|line| line.split('\t').map(|cell| cell.trim_end().to_owned()));
    let found = rows.find_map(|row| {
        let row: Vec<String> = row.collect();
        begins.iter().zip(&row).all(|(wanted, cell)| wanted == cell).then_some(row)
    });
    found.unwrap_or_else(|| panic!("no row {begins:?} in\n{table}"))
}

/// A transaction of a producer that no coordinator knows.
fn hang(brokers: &Brokers, producer_id: i64) {
    let mut batch = BatchBuilder::new(BatchOptions {
        producer_id,
        producer_epoch: 3,
        base_sequence: 0,
        transactional: true,
        ..BatchOptions::default()
    });
    batch.append(1_700_000_000_000, None, Some(b"value"), &[]).expect("a record");
    let records = Some(Records::Bytes(batch.finish().expect("a batch").into()));
    let data = PartitionProduceData { index: 0, records };
    let topic = TopicProduceData { name: "stuck".to_owned(), partition_data: vec![data] };
    let request = ProduceRequest {
        transactional_id: Some("nobody".to_owned()),
        acks: -1,
        timeout_ms: 30_000,
        topic_data: vec![topic],
    };
    let answer = brokers.call(1, &request);
    let code = ErrorCode(answer.responses[0].partition_responses[0].error_code);
    assert_eq!(code, ErrorCode::NONE);
}

#[test]
fn as_apaches() {
    let Some(brokers) = Plan::of(&[Kind::subject()]).lines(LINES).start() else { return };
    brokers.create_topic_with("stuck", &["--partitions", "1"]);
    let open = ["3.9.2", "open"];
    let program = java::program("TransactionSuite", open[0], &[&brokers.bootstrap(), "x", open[1]]);
    assert!(program.out.ends_with("ok\n"), "{program:#?}");
    states(&brokers);
    hanging(&brokers);
    refused(&brokers);
}

fn states(brokers: &Brokers) {
    let listed = both(brokers, &["list"], None);
    let id = row(&listed, &["x-left", "1"]);
    assert_eq!(id[3], "Ongoing", "{listed}");
    let none = both(brokers, &["list", "--duration-filter", "100000000"], None);
    assert_eq!(none.lines().count(), 1, "{none}");
    let growing = Some("TransactionDurationMs");
    let told = both(brokers, &["describe", "--transactional-id", "x-left"], growing);
    let told = row(&told, &["1", "x-left", &id[2], "0", "Ongoing", "600000"]);
    assert!(told[8].contains("x-left-0") && told[8].contains("__consumer_offsets-"), "{told:?}");
    let of = ["describe-producers", "--topic", "x-left", "--partition", "0"];
    let told = both(brokers, &of, None);
    // The one that is open began behind the first record and its marker.
    assert_eq!(row(&told, &[&id[2], "0"])[5], "2", "{told}");
    both(brokers, &[&of[..], &["--broker-id", "1"]].concat(), None);
}

fn hanging(brokers: &Brokers) {
    hang(brokers, 4000);
    hang(brokers, 4001);
    let find = ["find-hanging", "--max-transaction-timeout", "0"];
    let scopes = [vec!["--broker-id", "1"], vec!["--topic", "stuck", "--partition", "0"]];
    for scope in scopes {
        let args = [&find[..], &scope].concat();
        let told = both(brokers, &args, Some("Duration(min)"));
        assert_eq!(told.lines().count(), 3, "the one that is known does not hang\n{told}");
        row(&told, &["stuck", "0", "4000", "3", "-1", "0", "1700000000000"]);
        row(&told, &["stuck", "0", "4001", "3", "-1", "1"]);
    }
    let at = ["abort", "--topic", "stuck", "--partition", "0"];
    let told = ours(brokers, &[&at[..], &["--start-offset", "0"]].concat()).ok();
    assert_eq!(told, "");
    let told = both(brokers, &[&find[..], &["--topic", "stuck"]].concat(), Some("Duration(min)"));
    assert_eq!(told.lines().count(), 2, "{told}");
    let epochs = ["--producer-id", "4001", "--producer-epoch", "3", "--coordinator-epoch", "-1"];
    let told = ours(brokers, &[&at[..], &epochs].concat()).ok();
    assert_eq!(told, "");
    wait::until_true("nothing to hang", LIMIT, || {
        ours(brokers, &[&find[..], &["--topic", "stuck"]].concat()).ok().lines().count() == 1
    });
    let offsets = ["get-offsets", "--bootstrap-server", &brokers.bootstrap(), "--topic", "stuck"];
    assert_eq!(ottla::tool(&offsets, b"").ok(), "stuck:0:4\n", "two records, two markers");
}

fn refused(brokers: &Brokers) {
    for args in [
        vec!["describe", "--transactional-id", "absent"],
        vec!["abort", "--topic", "stuck", "--partition", "0", "--start-offset", "0"],
        vec!["abort", "--topic", "stuck", "--partition", "0", "--producer-id", "1"],
        vec!["abort", "--topic", "stuck", "--partition", "0"],
        vec!["find-hanging"],
        vec!["find-hanging", "--broker-id", "1", "--partition", "0"],
        vec!["describe-producers", "--topic", "stuck"],
        vec![],
    ] {
        assert_eq!(both(brokers, &args, None), "", "{args:?}");
        assert_eq!(ours(brokers, &args).code, Some(1), "{args:?}");
    }
}
