//! What a refused Produce says, partition by partition and as a whole.

use protocol::records::builder::{BatchBuilder, BatchOptions};
use protocol::records::codec::Codec;

use super::{NOW_MS, batch, delete_records, patched, plain, produce, produce_request, started};

/// Its records have no time, and it claims to be stamped by a broker.
fn append_time() -> Vec<u8> {
    patched(plain(), &[(22, &[8]), (35, &(-1i64).to_be_bytes())])
}

#[tokio::test]
async fn a_refused_produce_says_what_apache_says() {
    let (_broker, connection) = started(&[("t", &[])]).await;
    let of = |producer_epoch, base_sequence| {
        batch(
            1,
            BatchOptions { producer_id: 77, producer_epoch, base_sequence, ..Default::default() },
        )
    };
    for sequence in 0..3 {
        assert_eq!(produce(&connection, 8, of(1, sequence)).await.error_code, 0);
    }
    assert_eq!(delete_records(&connection, "t", &[(0, 2)]).await, [(0, 2, 0)]);
    let gzip = batch(9, BatchOptions { codec: Codec::Gzip, ..Default::default() });
    let torn = patched(gzip.clone(), &[(70, &[0xff; 4])]);
    let mut bad_crc = plain();
    *bad_crc.last_mut().expect("bytes") ^= 1;
    let large = {
        let mut builder = BatchBuilder::new(BatchOptions::default());
        builder.append(NOW_MS, None, Some(&[b'x'; 1_100_000]), &[]).expect("a record");
        builder.finish().expect("a batch")
    };
    let magic = |magic: u8| patched(plain(), &[(16, &[magic])]);
    let short = |length: i32| patched(plain(), &[(8, &length.to_be_bytes())]);
    let codec = |id: u8| patched(plain(), &[(22, &[id])]);
    let with_size = "Record size 0 is less than the minimum record overhead (14)";
    // Version, records, code, base offset, log start, text.
    let table: Vec<(&str, i16, Vec<u8>, i16, i64, i64, Option<&str>)> = vec![
        ("sequence", 8, of(1, 9), 45, -1, 2, None),
        ("epoch", 8, of(0, 0), 47, -1, 2, None),
        ("base offset", 8, patched(plain(), &[(0, &1000i64.to_be_bytes())]), 87, -1, 2, None),
        ("size", 8, large, 10, -1, -1, None),
        ("crc", 8, bad_crc, 2, -1, -1, None),
        ("magic 3", 8, magic(3), 2, -1, -1, Some("Invalid magic found in record: 3")),
        ("magic -1", 3, magic(255), 2, -1, -1, None),
        ("length 0", 11, short(0), 2, -1, -1, Some(with_size)),
        ("cut in its header", 8, short(30)[..42].to_vec(), -1, -1, -1, None),
        ("junk behind a short batch", 8, short(30), 2, -1, -1, None),
        ("two batches", 8, [plain(), plain()].concat(), 87, -1, -1, None),
        ("cut", 8, plain()[..40].to_vec(), 87, -1, -1, None),
        ("none", 8, vec![], 87, -1, -1, None),
        ("old magic", 8, patched(plain(), &[(16, &[1])]), 87, -1, -1, None),
        ("codec 5 of v6", 6, codec(5), -1, -1, -1, None),
        ("codec 5 of v8", 8, codec(5), -1, -1, 2, None),
        ("zstd of v6", 6, codec(4), 76, -1, -1, None),
        ("torn gzip", 8, torn, -1, -1, 2, None),
        ("count", 8, patched(plain(), &[(57, &5i32.to_be_bytes())]), 87, -1, 2, None),
        (
            "append time",
            8,
            append_time(),
            32,
            -1,
            2,
            Some("One or more records have been rejected due to invalid timestamp"),
        ),
        ("empty of v2", 2, vec![], 0, -1, -1, None),
        ("cut of v0", 0, plain()[..40].to_vec(), 0, -1, -1, None),
        ("good", 8, plain(), 0, 3, 2, None),
    ];
    for (name, version, set, code, base, log_start, text) in table {
        let answer = produce(&connection, version, set).await;
        let found = (answer.error_code, answer.base_offset, answer.log_start_offset);
        assert_eq!(found, (code, base, log_start), "{name}");
        assert_eq!(answer.error_message.as_deref(), text, "{name}");
    }
}

#[tokio::test]
async fn a_batch_of_append_time_without_a_time() {
    let (_broker, connection) = started(&[("t", &[])]).await;
    let rejected = produce(&connection, 8, append_time()).await;
    let text = "Invalid timestamp type in message DefaultRecord(offset=0, timestamp=-1, key=1 \
                bytes, value=5 bytes). Producer should not set timestamp type to LogAppendTime.";
    let told = &rejected.record_errors[0];
    assert_eq!((told.batch_index, told.batch_index_error_message.as_deref()), (0, Some(text)));
}

#[tokio::test]
async fn one_bad_partition_may_end_a_whole_produce() {
    let (_broker, connection) =
        started(&[("t", &[]), ("c", &[("cleanup.policy", "compact")])]).await;
    let codes = async |version, acks, sets| {
        let request = produce_request(acks, sets);
        let answer = connection.call_in(&request, version).await.expect("an answer");
        let of_topic = answer.responses.iter().flat_map(|topic| &topic.partition_responses);
        of_topic.map(|p| p.error_code).collect::<Vec<_>>()
    };
    let bad = patched(plain(), &[(16, &[7])]);
    let good = || Some(plain());
    let both = |other| vec![("t", 0, good()), ("t", 1, other), ("no", 0, good())];
    assert_eq!(codes(8, -1, both(Some(bad))).await, [2, 2, 2]);
    assert_eq!(codes(8, -1, both(None)).await, [-1, -1, -1]);
    assert_eq!(codes(8, 5, both(good())).await, [21, 21, 3]);
    assert_eq!(
        codes(8, -1, vec![("__consumer_offsets", 0, good()), ("t", 0, good())]).await,
        [3, 0]
    );
    assert_eq!(codes(8, -1, both(good())).await, [0, 0, 3]);
    let keyless = {
        let mut builder = BatchBuilder::new(BatchOptions::default());
        for _ in 0..4 {
            builder.append(NOW_MS, None, Some(b"v"), &[]).expect("a record");
        }
        builder.finish().expect("a batch")
    };
    let request = produce_request(-1, vec![("c", 1, Some(keyless))]);
    let answer = connection.call_in(&request, 8).await.expect("an answer");
    let refused = &answer.responses[0].partition_responses[0];
    assert_eq!((refused.error_code, refused.log_start_offset), (87, 0));
    let one = "Compacted topic cannot accept message without key in topic partition c-1";
    let shown: Vec<_> =
        (0..3).map(|at| format!("RecordError(batchIndex={at}, message='{one}')")).collect();
    let whole = format!(
        "One or more records have been rejected due to 4 record errors in total, and only showing \
         the first three errors at most: [{}]",
        shown.join(", ")
    );
    assert_eq!(refused.error_message.as_deref(), Some(whole.as_str()));
    assert_eq!(refused.record_errors[3].batch_index_error_message.as_deref(), Some(one));
}
