//! `console-producer` (kafka-console-producer.sh): sends lines of standard input to a topic. Flags
//! and complaints are those of Kafka's `ConsoleProducer`.

mod line_reader;
mod sender;

use std::io::{BufRead, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use protocol::records::codec::Codec;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::cluster::Cluster;
use crate::properties::Properties;
use crate::{args, output, properties};
use line_reader::{LineReader, OwnedRecord};
use sender::{Sender, SenderOptions};

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
    /// Accepted and without effect: at most one batch per partition is held.
    #[arg(long)]
    max_memory_bytes: Option<i64>,
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
        Ok((cluster, options, reader)) => match output::block_on(pump(cluster, options, reader)) {
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
) -> Result<(Cluster, SenderOptions, LineReader), String> {
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
    let options = sender_options(flags, &producing, topic)?;
    let cluster = Cluster::new(bootstrap, &producing, "console-producer")
        .map_err(|e| e.to_string())?
        .with_timeout(options.max_block);
    Ok((cluster, options, reader))
}

/// A flag counts before a property, a property before the default.
fn sender_options(
    flags: &Flags,
    producing: &Properties,
    topic: &str,
) -> Result<SenderOptions, String> {
    fn pick<T: std::str::FromStr>(
        flag: Option<T>,
        producing: &Properties,
        key: &str,
        default: T,
    ) -> Result<T, String> {
        match (flag, producing.get(key)) {
            (Some(value), _) => Ok(value),
            (None, Some(text)) => text
                .trim()
                .parse()
                .map_err(|_| format!("Invalid value {text} for configuration {key}")),
            (None, None) => Ok(default),
        }
    }
    let name = flags.compression_codec.as_deref().unwrap_or("none");
    let codec =
        Codec::from_name(name).ok_or_else(|| format!("Unknown compression name: {name}"))?;
    let acks = pick(flags.request_required_acks.clone(), producing, "acks", "-1".to_owned())?;
    let acks = match acks.as_str() {
        "all" | "-1" => -1,
        "0" => 0,
        "1" => 1,
        other => return Err(format!("Invalid value {other} for configuration acks")),
    };
    let batch = flags.max_partition_memory_bytes.or(flags.batch_size);
    let idempotent = producing.get("enable.idempotence").is_none_or(|v| v.trim() == "true");
    Ok(SenderOptions {
        topic: topic.to_owned(),
        codec,
        acks,
        idempotent: idempotent && acks == -1,
        sync: flags.sync,
        batch_bytes: pick(batch, producing, "batch.size", 16 * 1024)?,
        linger: Duration::from_millis(pick(flags.timeout, producing, "linger.ms", 1000)?),
        retries: pick(flags.message_send_max_retries, producing, "retries", 3)?,
        backoff: Duration::from_millis(pick(
            flags.retry_backoff_ms,
            producing,
            "retry.backoff.ms",
            100,
        )?),
        timeout_ms: pick(flags.request_timeout_ms, producing, "request.timeout.ms", 1500)?,
        max_block: Duration::from_millis(pick(
            flags.max_block_ms,
            producing,
            "max.block.ms",
            60_000,
        )?),
    })
}

async fn pump(cluster: Cluster, options: SenderOptions, reader: LineReader) -> Result<(), String> {
    let linger = options.linger;
    let mut sender = Sender::new(cluster, options);
    let mut lines = read_lines(reader);
    let mut since: Option<Instant> = None;
    loop {
        let due = since.map(|at| at + linger);
        let wait = async {
            match due {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            line = lines.recv() => match line {
                Some(Ok(record)) => {
                    if sender.add(record).await {
                        since = None;
                    } else {
                        since.get_or_insert_with(Instant::now);
                    }
                }
                Some(Err(reason)) => {
                    sender.flush().await;
                    return Err(reason);
                }
                None => {
                    sender.flush().await;
                    return Ok(());
                }
            },
            () = wait => {
                sender.flush().await;
                since = None;
            }
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
