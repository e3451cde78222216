//! `verifiable-producer` (kafka-verifiable-producer.sh): sends numbers and says of each whether it
//! was acknowledged, one JSON object a line. Flags and output are those of Kafka's
//! `VerifiableProducer`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use client::cluster::Cluster;
use client::producer::{Done, Options, Producer, Record};

use crate::ordered_json::{object, value as json};
use crate::throttle::Throttle;
use crate::{args, dates, output, properties, stop};

const TOOL: &str = "verifiable-producer";

/// Send numbers, and say of each whether it was acknowledged.
#[derive(Debug, Parser)]
pub struct Flags {
    /// Topic to send to.
    #[arg(long, required = true)]
    topic: String,
    /// Brokers to begin with: host:port,…
    #[arg(long, conflicts_with = "broker_list")]
    bootstrap_server: Option<String>,
    /// The old name of --bootstrap-server.
    #[arg(long)]
    broker_list: Option<String>,
    /// How many to send; -1 until it is stopped.
    #[arg(long, default_value_t = -1, allow_negative_numbers = true)]
    max_messages: i64,
    /// Records a second, about; -1 without limit.
    #[arg(long, default_value_t = -1, allow_negative_numbers = true)]
    throughput: i64,
    /// Replicas that must have a record: 0, 1 or -1.
    #[arg(long, default_value = "-1", allow_negative_numbers = true)]
    #[arg(value_parser = ["0", "1", "-1"])]
    acks: String,
    /// Properties file for the producer; it counts before the flags.
    #[arg(long = "producer.config")]
    producer_config: Option<PathBuf>,
    /// Timestamp of the first record, in milliseconds; the time as it is if not given.
    #[arg(long, default_value_t = -1, allow_negative_numbers = true)]
    message_create_time: i64,
    /// Put this and a dot before every value.
    #[arg(long, allow_negative_numbers = true)]
    value_prefix: Option<i32>,
    /// Keys from 0 up to this, and again.
    #[arg(long)]
    repeating_keys: Option<u32>,
}

pub fn run(given: &[String]) -> ExitCode {
    if given.is_empty() {
        return args::help::<Flags>(TOOL);
    }
    let flags: Flags = match args::parse(TOOL, given) {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    let Some(bootstrap) = flags.bootstrap_server.as_ref().or(flags.broker_list.as_ref()) else {
        let reason = "one of the arguments --bootstrap-server --broker-list is required";
        return args::usage::<Flags>(TOOL, reason);
    };
    match producer(&flags, bootstrap) {
        Ok(producer) => output::block_on(produce(producer, &flags)),
        Err(reason) => args::usage::<Flags>(TOOL, &reason),
    }
}

fn producer(flags: &Flags, bootstrap: &str) -> Result<Producer<Sent>, String> {
    let mut producing = properties::of_pairs(&[
        format!("acks={}", flags.acks),
        // What fails shall be seen.
        "retries=0".to_owned(),
    ]);
    let file = flags.producer_config.as_deref();
    producing.extend(properties::load_optional(file).map_err(|e| e.to_string())?);
    let cluster = Cluster::new(bootstrap, &producing, "producer-1").map_err(|e| e.to_string())?;
    Ok(Producer::new(cluster, Options::of(&producing)?, &flags.topic))
}

/// Key and value.
type Sent = (Option<String>, String);

async fn produce(mut producer: Producer<Sent>, flags: &Flags) -> ExitCode {
    tell("startup_complete", &[]);
    let mut stopped = std::pin::pin!(stop::asked());
    let (start, start_ms) = (Instant::now(), dates::now_ms());
    let mut throttle = Throttle::new(flags.throughput as f64, start);
    let mut create_ms = (flags.message_create_time != -1).then_some(flags.message_create_time);
    let (mut sent, mut acked) = (0u64, 0u64);
    let limit = u64::try_from(flags.max_messages).unwrap_or(u64::MAX);
    let mut code = ExitCode::SUCCESS;
    while sent < limit {
        let key = flags.repeating_keys.map(|keys| (sent % u64::from(keys.max(1))).to_string());
        let value = match flags.value_prefix {
            Some(prefix) => format!("{prefix}.{sent}"),
            None => sent.to_string(),
        };
        let pause = throttle.pause(sent, Instant::now());
        let work = async {
            let fields = (key.as_deref().map(str::as_bytes), Some(value.as_bytes()));
            let (key_bytes, value_bytes) = fields;
            let record = Record {
                timestamp: create_ms,
                key: key_bytes,
                value: value_bytes,
                ..Default::default()
            };
            producer.send(record, (key.clone(), value.clone())).await;
            if let Some(pause) = pause {
                producer.progress_for(pause).await;
            }
        };
        let ended = tokio::select! {
            biased;
            signal = &mut stopped => Some(signal),
            () = work => None,
        };
        if let Some(signal) = ended {
            code = signal;
            break;
        }
        sent += 1;
        // Kafka adds the whole time since the start every time.
        create_ms = create_ms.map(|at| at + dates::now_ms() - start_ms);
        acked += outcomes(&flags.topic, producer.take_done());
    }
    producer.flush().await;
    acked += outcomes(&flags.topic, producer.take_done());
    tell("shutdown_complete", &[]);
    let elapsed_ms = (dates::now_ms() - start_ms).max(1);
    let fields = [
        ("sent", json(sent)),
        ("acked", json(acked)),
        ("target_throughput", json(flags.throughput)),
        ("avg_throughput", json(1000.0 * (acked as f64 / elapsed_ms as f64))),
    ];
    tell("tool_data", &fields);
    code
}

/// Says what became of records; gives how many were acknowledged.
fn outcomes(topic: &str, done: Vec<Done<Sent>>) -> u64 {
    let mut acked = 0;
    for Done { token: (key, value), outcome } in done {
        let (key, value, topic) = (("key", json(key)), ("value", json(value)), json(topic));
        match outcome {
            Ok(placed) => {
                acked += 1;
                let (offset, partition) = (json(placed.offset), json(placed.partition));
                let placed = [("offset", offset), ("topic", topic), ("partition", partition)];
                tell("producer_send_success", &[&[key, value][..], &placed].concat());
            }
            Err(error) => {
                let class = format!("class {}", error.exception_class());
                let why = [("exception", json(class)), ("message", json(error.to_string()))];
                tell("producer_send_error", &[&[("topic", topic), key, value][..], &why].concat());
            }
        }
    }
    acked
}

/// Prints a line, its time and name first.
fn tell(name: &str, fields: &[(&str, String)]) {
    let head = [("timestamp", json(dates::now_ms())), ("name", json(name))];
    output::print(&(object(&[&head[..], fields].concat()) + "\n"));
}
