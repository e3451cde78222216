//! `e2e-latency` (kafka-e2e-latency.sh): how long a record takes from its producer to a consumer,
//! one after the other. Arguments and output are those of Kafka's `EndToEndLatency`.
//!
//! Differs from Apache: it reads without a group and commits nothing.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use client::cluster::{Cluster, ClusterError, LATEST_TIMESTAMP};
use client::consumer::{Next, Reader, ReaderOptions, Wanted};
use client::producer::{Options, Producer, Record};
use protocol::messages::create_topics::{CreatableTopic, CreateTopicsRequest};

use crate::java_random::Random;
use crate::output;
use crate::properties::{self, Properties};

const USAGE: &str = "USAGE: java org.apache.kafka.tools.EndToEndLatency broker_list topic \
                     num_messages producer_acks message_size_bytes [optional] properties_file";
/// A record that was not read by then never will be.
const POLL_TIMEOUT: Duration = Duration::from_secs(60);
const CREATE_TIMEOUT_MS: i32 = 30_000;

struct Arguments {
    brokers: String,
    topic: String,
    messages: usize,
    acks: String,
    message_bytes: usize,
    properties: Properties,
}

pub fn run(given: &[String]) -> ExitCode {
    let done = read(given).and_then(|arguments| output::block_on(measure(arguments)));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

fn read(given: &[String]) -> Result<Arguments, String> {
    let (brokers, topic, messages, acks, message_bytes) = match given {
        [brokers, topic, messages, acks, bytes] | [brokers, topic, messages, acks, bytes, _] => {
            (brokers, topic, messages, acks, bytes)
        }
        _ => return Err(USAGE.to_owned()),
    };
    let number = |text: &String| -> Result<usize, String> {
        text.parse().map_err(|_| format!("For input string: \"{text}\""))
    };
    let (messages, message_bytes) = (number(messages)?, number(message_bytes)?);
    if acks != "1" && acks != "all" {
        return Err(
            "Latency testing requires synchronous acknowledgement. Please use 1 or all".to_owned()
        );
    }
    let file = given.get(5).filter(|file| !file.trim().is_empty()).map(Path::new);
    let properties = properties::load_optional(file).map_err(|e| e.to_string())?;
    let (brokers, topic, acks) = (brokers.clone(), topic.clone(), acks.clone());
    Ok(Arguments { brokers, topic, messages, acks, message_bytes, properties })
}

async fn measure(arguments: Arguments) -> Result<(), String> {
    let (mut producer, mut reader) = clients(&arguments).await?;
    let mut random = Random::new(0);
    let mut total = Duration::ZERO;
    let mut latencies = Vec::new();
    for number in 0..arguments.messages {
        let message = vec![random.below(26) as u8 + b'A'; arguments.message_bytes];
        let begin = Instant::now();
        let record = Record { value: Some(&message), ..Default::default() };
        producer.send(record, ()).await;
        producer.flush().await;
        for done in producer.take_done() {
            done.outcome.map_err(|e| format!("{}: {e}", e.exception_class()))?;
        }
        receive(&mut reader, &message).await?;
        let elapsed = begin.elapsed();
        if number % 1000 == 0 {
            output::print(&format!(
                "{number}\t{:?}\n",
                elapsed.as_nanos() as f64 / 1000.0 / 1000.0
            ));
        }
        total += elapsed;
        latencies.push(elapsed.as_millis());
    }
    reader.close().await;
    latencies.sort_unstable();
    let percentile = |share: f64| latencies.get((latencies.len() as f64 * share) as usize);
    let (Some(p50), Some(p99), Some(p999)) = (percentile(0.5), percentile(0.99), percentile(0.999))
    else {
        return Err("no message was to be sent".to_owned());
    };
    let average = total.as_nanos() as f64 / latencies.len() as f64 / 1000.0 / 1000.0;
    output::print(&format!(
        "Avg latency: {average:.4} ms\nPercentiles: 50th = {p50}, 99th = {p99}, 99.9th = {p999}\n"
    ));
    Ok(())
}

async fn clients(arguments: &Arguments) -> Result<(Producer<()>, Reader), String> {
    let text = |e: ClusterError| e.to_string();
    let connect = |properties: &Properties, id: &str| {
        Cluster::new(&arguments.brokers, properties, id).map_err(text)
    };
    let topic = &arguments.topic;
    let admin = connect(&arguments.properties, "adminclient")?;
    let there = admin.all_topics().await.map_err(text)?.topics;
    if !there.iter().any(|known| known.name.as_ref() == Some(topic)) {
        output::print(&format!(
            "Topic \"{topic}\" does not exist. Will create topic with 1 partition(s) and \
             replication factor = 1\n"
        ));
        if let Err(error) = create(&admin, topic).await {
            output::print(&format!("Creation of topic {topic} failed\n"));
            return Err(error.exception());
        }
    }
    let with = |pairs: &[(&str, &str)]| {
        let mut all = arguments.properties.clone();
        all.extend(pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())));
        all
    };
    // No waiting for more records, on either side.
    let consuming = with(&[("fetch.max.wait.ms", "0")]);
    let producing = with(&[("linger.ms", "0"), ("acks", &arguments.acks)]);
    let wanted = Wanted::Topic(topic.clone());
    let options = ReaderOptions::new(wanted, None, Some(LATEST_TIMESTAMP), &consuming)?;
    let mut reader = Reader::new(connect(&consuming, "consumer")?, options);
    reader.find_all_positions().await?;
    let producer = Producer::new(connect(&producing, "producer")?, Options::of(&producing)?, topic);
    Ok((producer, reader))
}

async fn create(cluster: &Cluster, name: &str) -> Result<(), ClusterError> {
    let topic = CreatableTopic {
        name: name.to_owned(),
        num_partitions: 1,
        replication_factor: 1,
        ..Default::default()
    };
    let request = CreateTopicsRequest {
        topics: vec![topic],
        timeout_ms: CREATE_TIMEOUT_MS,
        ..Default::default()
    };
    let codes = |response: &<CreateTopicsRequest as protocol::wire::Request>::Response| {
        response.topics.iter().map(|topic| topic.error_code).collect()
    };
    let response = cluster.call_controller(&request, codes).await?;
    let first = response.topics.first();
    first
        .map_or(Ok(()), |topic| ClusterError::check(topic.error_code, topic.error_message.as_ref()))
}

/// Exactly the message that was sent.
async fn receive(reader: &mut Reader, message: &[u8]) -> Result<(), String> {
    let poll = async {
        loop {
            match reader.next().await {
                Ok(Next::Nothing) => {}
                Ok(Next::Records(records)) => return Ok(records),
                Err(error) => return Err(error),
            }
        }
    };
    let Ok(records) = tokio::time::timeout(POLL_TIMEOUT, poll).await else {
        let after = POLL_TIMEOUT.as_millis();
        return Err(format!("poll() timed out before finding a result (timeout:[{after}])"));
    };
    let records = records?;
    let read = records.first().and_then(|record| record.value.as_deref()).unwrap_or_default();
    if read != message {
        return Err(format!(
            "The message read [{}] did not match the message sent [{}]",
            String::from_utf8_lossy(read),
            String::from_utf8_lossy(message)
        ));
    }
    match records.len() {
        1 => Ok(()),
        n => Err(format!("Only one result was expected during this test. We found [{n}]")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(given: &[&str]) -> String {
        let given: Vec<String> = given.iter().map(|s| s.to_string()).collect();
        read(&given).err().unwrap()
    }

    #[test]
    fn arguments_are_checked() {
        assert!(refusal(&["b:1", "t", "5"]).starts_with("USAGE: "));
        assert!(refusal(&["b:1", "t", "5", "0", "10"]).contains("requires synchronous"));
        assert_eq!(refusal(&["b:1", "t", "x", "1", "10"]), "For input string: \"x\"");
    }
}
