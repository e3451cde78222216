//! `console-producer` (kafka-console-producer.sh): sends lines of standard input to a topic. Flags
//! and complaints are those of Kafka's `ConsoleProducer`.

mod line_reader;

use std::io::{BufRead, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use client::cluster::Cluster;
use client::producer::{Options, Producer, Record};
use protocol::records::record::Header;
use tokio::sync::mpsc;

use crate::properties::Properties;
use crate::{args, output, properties};
use line_reader::{LineReader, OwnedRecord};

const TOOL: &str = "console-producer";
/// Lines read ahead of what is being sent.
const LINES_AHEAD_MAX: usize = 1024;

/// Send lines of standard input to a topic, each as one record.
#[derive(Debug, Parser)]
pub struct Flags {
    /// Topic to send to.
    #[arg(long)]
    topic: Option<String>,
    /// The old name of --bootstrap-server.
    #[arg(long)]
    broker_list: Option<String>,
    /// Brokers to begin with: host:port,…
    #[arg(long)]
    bootstrap_server: Option<String>,
    /// Wait for each record's answer before the next line is read.
    #[arg(long)]
    sync: bool,
    /// none, gzip, snappy, lz4 or zstd; gzip if no value is given.
    #[arg(long, num_args = 0..=1, default_missing_value = "gzip")]
    compression_codec: Option<String>,
    /// Bytes of a batch after which it is sent at once [default: 16384].
    #[arg(long)]
    batch_size: Option<usize>,
    /// Tries after the first [default: 3].
    #[arg(long)]
    message_send_max_retries: Option<u32>,
    /// Pause before a retry, in milliseconds [default: 100].
    #[arg(long)]
    retry_backoff_ms: Option<u64>,
    /// How long a record may wait for others to share its batch, in milliseconds [default: 1000].
    #[arg(long)]
    timeout: Option<u64>,
    /// Replicas that must have a record: 0, 1, -1 or all [default: -1].
    #[arg(long, allow_hyphen_values = true)]
    request_required_acks: Option<String>,
    /// How long the broker may wait for those replicas, in milliseconds [default: 1500].
    #[arg(long)]
    request_timeout_ms: Option<i32>,
    /// Accepted and without effect: metadata is asked for when it proves wrong.
    #[arg(long)]
    metadata_expiry_ms: Option<i64>,
    /// How long to wait for the topic's metadata, in milliseconds [default: 60000].
    #[arg(long)]
    max_block_ms: Option<u64>,
    /// Bytes of all records that wait or are on their way [default: 33554432].
    #[arg(long)]
    max_memory_bytes: Option<usize>,
    /// Takes precedence over --batch-size.
    #[arg(long)]
    max_partition_memory_bytes: Option<usize>,
    /// Only Kafka's own line reader is known.
    #[arg(long)]
    line_reader: Option<String>,
    /// Accepted and without effect.
    #[arg(long)]
    socket_buffer_size: Option<i64>,
    /// key=value for reading lines: parse.key, key.separator, parse.headers, headers.delimiter,
    /// headers.separator, headers.key.separator, null.marker, ignore.error.
    #[arg(long)]
    property: Vec<String>,
    /// Properties file for reading lines.
    #[arg(long)]
    reader_config: Option<PathBuf>,
    /// key=value for the producer.
    #[arg(long)]
    producer_property: Vec<String>,
    /// Properties file for the producer.
    #[arg(long = "producer.config")]
    producer_config: Option<PathBuf>,
}

pub fn run(given: &[String]) -> ExitCode {
    if given.is_empty() {
        return args::usage::<Flags>(TOOL, "Missing required argument \"[bootstrap-server]\"");
    }
    let flags: Flags = match args::parse(TOOL, given) {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    let Some(bootstrap) = flags.bootstrap_server.as_ref().or(flags.broker_list.as_ref()) else {
        return args::usage::<Flags>(TOOL, "Missing required option(s) [bootstrap-server]");
    };
    let Some(topic) = &flags.topic else {
        return args::usage::<Flags>(TOOL, "Missing required argument \"[topic]\"");
    };
    match start(&flags, bootstrap, topic) {
        Ok((producer, reader)) => match output::block_on(pump(producer, reader, &flags, topic)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(reason) => failed(&reason),
        },
        Err(reason) => failed(&reason),
    }
}

fn failed(reason: &str) -> ExitCode {
    eprintln!("{reason}");
    ExitCode::FAILURE
}

fn start(
    flags: &Flags,
    bootstrap: &str,
    topic: &str,
) -> Result<(Producer<Sizes>, LineReader), String> {
    if flags.line_reader.as_deref().is_some_and(|name| !name.ends_with("LineMessageReader")) {
        return Err(format!("class {:?} is not known here", flags.line_reader));
    }
    let text = |e: std::io::Error| e.to_string();
    let mut reading = properties::load_optional(flags.reader_config.as_deref()).map_err(text)?;
    reading.extend(properties::of_pairs(&flags.property));
    let reader = LineReader::new(&reading)?;
    let mut producing =
        properties::load_optional(flags.producer_config.as_deref()).map_err(text)?;
    producing.extend(properties::of_pairs(&flags.producer_property));
    merge(flags, &mut producing);
    let options = Options::of(&producing)?;
    let cluster =
        Cluster::new(bootstrap, &producing, "console-producer").map_err(|e| e.to_string())?;
    Ok((Producer::new(cluster, options, topic), reader))
}

/// A flag counts before a property, a property before the default of this tool.
fn merge(flags: &Flags, producing: &mut Properties) {
    let codec = flags.compression_codec.as_deref().unwrap_or("none");
    producing.insert("compression.type".to_owned(), codec.to_owned());
    fn text<T: ToString>(flag: &Option<T>) -> Option<String> {
        flag.as_ref().map(T::to_string)
    }
    let batch = flags.max_partition_memory_bytes.or(flags.batch_size);
    for (key, flag, default) in [
        ("acks", flags.request_required_acks.clone(), "-1"),
        ("batch.size", text(&batch), "16384"),
        ("buffer.memory", text(&flags.max_memory_bytes), "33554432"),
        ("linger.ms", text(&flags.timeout), "1000"),
        ("retries", text(&flags.message_send_max_retries), "3"),
        ("retry.backoff.ms", text(&flags.retry_backoff_ms), "100"),
        ("request.timeout.ms", text(&flags.request_timeout_ms), "1500"),
        ("max.block.ms", text(&flags.max_block_ms), "60000"),
    ] {
        if flag.is_some() || !producing.contains_key(key) {
            producing.insert(key.to_owned(), flag.unwrap_or_else(|| default.to_owned()));
        }
    }
}

/// Sizes of a record's key and value, where it has them.
type Sizes = (Option<usize>, Option<usize>);

async fn pump(
    mut producer: Producer<Sizes>,
    reader: LineReader,
    flags: &Flags,
    topic: &str,
) -> Result<(), String> {
    let mut lines = read_lines(reader);
    loop {
        complain(topic, &mut producer);
        let line = tokio::select! {
            line = lines.recv() => line,
            () = producer.progress(), if !producer.is_idle() => continue,
        };
        match line {
            Some(Ok(record)) => {
                send(&mut producer, &record).await;
                if flags.sync {
                    producer.flush().await;
                }
            }
            ended => {
                producer.flush().await;
                complain(topic, &mut producer);
                return ended.map_or(Ok(()), |line| line.map(|_| ()));
            }
        }
    }
}

async fn send(producer: &mut Producer<Sizes>, record: &OwnedRecord) {
    let headers: Vec<Header<'_>> = record
        .headers
        .iter()
        .map(|(key, value)| Header { key: key.as_bytes(), value: value.as_deref() })
        .collect();
    let (key, value) = (record.key.as_deref(), record.value.as_deref());
    let sizes = (key.map(<[u8]>::len), value.map(<[u8]>::len));
    producer.send(Record { timestamp: None, key, value, headers: &headers }, sizes).await;
}

/// Says which records were not sent, and why.
fn complain(topic: &str, producer: &mut Producer<Sizes>) {
    let size = |field: Option<usize>| match field {
        Some(bytes) => format!("{bytes} bytes"),
        None => "null".to_owned(),
    };
    for done in producer.take_done() {
        if let Err(reason) = done.outcome {
            let (key, value) = done.token;
            eprintln!(
                "ERROR Error when sending message to topic {topic} with key: {}, value: {} with \
                 error: {reason}",
                size(key),
                size(value)
            );
        }
    }
}

/// Standard input is read on a thread of its own: reading it may block for ever.
fn read_lines(mut reader: LineReader) -> mpsc::Receiver<Result<OwnedRecord, String>> {
    let (out, lines) = mpsc::channel(LINES_AHEAD_MAX);
    let prompt = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        loop {
            if prompt {
                output::print(">");
            }
            let mut line = Vec::new();
            let record = match input.read_until(b'\n', &mut line) {
                Ok(0) => return,
                Ok(_) => reader.record(&line),
                Err(error) => Err(error.to_string()),
            };
            let ends = record.is_err();
            if out.blocking_send(record).is_err() || ends {
                return;
            }
        }
    });
    lines
}
