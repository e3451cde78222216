//! Size, ends and segments of every log, written when somebody looks: `kafka.log:type=Log` under
//! the names that the JMX exporter's example rules give. Nothing is kept for a log between two
//! looks, so an idle partition costs no memory here. Knows nothing of HTTP.

use std::fmt::Write;

use protocol::ids::TopicPartition;
use storage::{Log, LogManager};

/// Logs told on one page, some 300 bytes each. Kafka has no such bound.
const LOGS_MAX: usize = 20_000;
/// How many more there are.
const UNLISTED: &str = "ottla_log_unlisted";

/// What is told of one log.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    partition: TopicPartition,
    /// It is to take the current one's place in another directory.
    is_future: bool,
    size: u64,
    start: i64,
    end: i64,
    segments: usize,
}

impl Row {
    fn of(log: &Log, is_future: bool) -> Row {
        let sizes = log.segment_sizes();
        Row {
            partition: log.partition().clone(),
            is_future,
            size: sizes.iter().map(|(_, bytes)| bytes).sum(),
            start: log.log_start_offset(),
            end: log.log_end_offset(),
            segments: sizes.len(),
        }
    }
}

/// The part of the metrics page that tells of these logs, in Prometheus' text format.
pub fn page(logs: &LogManager) -> String {
    let current = logs.logs().into_iter().map(|log| (log, false));
    let all: Vec<_> = current.chain(logs.futures().into_iter().map(|log| (log, true))).collect();
    let listed = all.iter().take(LOGS_MAX);
    let rows: Vec<Row> = listed.map(|(log, is_future)| Row::of(log, *is_future)).collect();
    text(&rows, all.len() - rows.len())
}

fn text(rows: &[Row], unlisted: usize) -> String {
    let mut text = format!("# TYPE {UNLISTED} gauge\n{UNLISTED} {unlisted}\n\n");
    let metrics: [(&str, fn(&Row) -> i64); 4] = [
        ("size", |row| i64::try_from(row.size).unwrap_or(i64::MAX)),
        ("logstartoffset", |row| row.start),
        ("logendoffset", |row| row.end),
        ("numlogsegments", |row| i64::try_from(row.segments).unwrap_or(i64::MAX)),
    ];
    for (name, value) in metrics {
        let name = format!("kafka_log_log_{name}");
        let _ = writeln!(text, "# TYPE {name} gauge");
        for row in rows {
            // A topic's name needs no escaping.
            let TopicPartition { topic, partition } = &row.partition;
            let future = if row.is_future { ",is_future=\"true\"" } else { "" };
            let labels = format!("topic=\"{topic}\",partition=\"{partition}\"{future}");
            let _ = writeln!(text, "{name}{{{labels}}} {}", value(row));
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use protocol::records::builder::{BatchBuilder, BatchOptions};
    use storage::disk::{Disk, MemoryDisk};
    use storage::{AppendOrigin, LogConfig, LogDir};

    use super::*;

    #[test]
    fn a_page_tells_of_the_logs_that_are_there_now() {
        let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::default());
        let dir = LogDir::open(disk.clone(), Path::new("/data")).unwrap();
        let logs = LogManager::new(disk, vec![dir], false, 0).unwrap();
        let name = TopicPartition::new("t", 0);
        let config = Arc::new(LogConfig::default());
        let log = logs.get_or_create(&name, config, None, 0).unwrap();
        let mut builder = BatchBuilder::new(BatchOptions::default());
        builder.append(0, None, Some(b"value"), &[]).unwrap();
        let batch = builder.finish().unwrap();
        log.append_as_leader(&batch, 0, AppendOrigin::Client, 0).unwrap();
        log.roll(0).unwrap();
        let told = page(&logs);
        let labels = "{topic=\"t\",partition=\"0\"}";
        for (name, value) in [("size", batch.len()), ("logendoffset", 1), ("numlogsegments", 2)] {
            let line = format!("\nkafka_log_log_{name}{labels} {value}\n");
            assert!(told.contains(&line), "{line} in {told}");
        }
        drop(log);
        logs.delete(&name, protocol::ids::Uuid([1; 16]), 0).unwrap();
        assert!(!page(&logs).contains(labels));
    }

    #[test]
    fn logs_are_told_as_the_exporter_tells_them() {
        let row = |topic: &str, is_future| Row {
            partition: TopicPartition::new(topic, 3),
            is_future,
            size: 1_000,
            start: 5,
            end: 90,
            segments: 2,
        };
        let expected = "\
# TYPE ottla_log_unlisted gauge
ottla_log_unlisted 7

# TYPE kafka_log_log_size gauge
kafka_log_log_size{topic=\"a\",partition=\"3\"} 1000
kafka_log_log_size{topic=\"b\",partition=\"3\",is_future=\"true\"} 1000

# TYPE kafka_log_log_logstartoffset gauge
kafka_log_log_logstartoffset{topic=\"a\",partition=\"3\"} 5
kafka_log_log_logstartoffset{topic=\"b\",partition=\"3\",is_future=\"true\"} 5

# TYPE kafka_log_log_logendoffset gauge
kafka_log_log_logendoffset{topic=\"a\",partition=\"3\"} 90
kafka_log_log_logendoffset{topic=\"b\",partition=\"3\",is_future=\"true\"} 90

# TYPE kafka_log_log_numlogsegments gauge
kafka_log_log_numlogsegments{topic=\"a\",partition=\"3\"} 2
kafka_log_log_numlogsegments{topic=\"b\",partition=\"3\",is_future=\"true\"} 2

";
        assert_eq!(text(&[row("a", false), row("b", true)], 7), expected);
    }
}
