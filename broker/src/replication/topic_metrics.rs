//! Counters of one topic and of all topics together, looked up once and kept with the partition.
//! Names are those that Kafka's example rules for the JMX exporter give. Knows no partition.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use metrics::{Counter, counter};
use parking_lot::Mutex;

/// One set of `kafka.server:type=BrokerTopicMetrics` counters.
#[derive(Clone)]
struct Counters {
    bytes_in: Counter,
    bytes_out: Counter,
    replication_bytes_in: Counter,
    replication_bytes_out: Counter,
    messages_in: Counter,
    produce_requests: Counter,
    fetch_requests: Counter,
    failed_produce_requests: Counter,
    failed_fetch_requests: Counter,
}

/// Gives the counter of a name, with the topic's label or without any.
macro_rules! counters {
    ($($label:tt)*) => {
        Counters {
            bytes_in: counter!("kafka_server_brokertopicmetrics_bytesin_total" $($label)*),
            bytes_out: counter!("kafka_server_brokertopicmetrics_bytesout_total" $($label)*),
            replication_bytes_in:
                counter!("kafka_server_brokertopicmetrics_replicationbytesin_total" $($label)*),
            replication_bytes_out:
                counter!("kafka_server_brokertopicmetrics_replicationbytesout_total" $($label)*),
            messages_in: counter!("kafka_server_brokertopicmetrics_messagesin_total" $($label)*),
            produce_requests:
                counter!("kafka_server_brokertopicmetrics_totalproducerequests_total" $($label)*),
            fetch_requests:
                counter!("kafka_server_brokertopicmetrics_totalfetchrequests_total" $($label)*),
            failed_produce_requests:
                counter!("kafka_server_brokertopicmetrics_failedproducerequests_total" $($label)*),
            failed_fetch_requests:
                counter!("kafka_server_brokertopicmetrics_failedfetchrequests_total" $($label)*),
        }
    };
}

/// What is counted for a topic. Every count is also one of all topics.
#[derive(Clone)]
pub struct TopicMetrics {
    topic: Counters,
    all: Counters,
}

impl std::fmt::Debug for TopicMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TopicMetrics")
    }
}

impl TopicMetrics {
    pub fn appended(&self, bytes: u64, records: u64) {
        for counters in [&self.topic, &self.all] {
            counters.produce_requests.increment(1);
            counters.bytes_in.increment(bytes);
            counters.messages_in.increment(records);
        }
    }

    pub fn append_failed(&self) {
        for counters in [&self.topic, &self.all] {
            counters.produce_requests.increment(1);
            counters.failed_produce_requests.increment(1);
        }
    }

    pub fn fetched(&self, bytes: u64, by_follower: bool) {
        for counters in [&self.topic, &self.all] {
            counters.fetch_requests.increment(1);
            match by_follower {
                true => counters.replication_bytes_out.increment(bytes),
                false => counters.bytes_out.increment(bytes),
            }
        }
    }

    /// Appended as a follower.
    pub fn replicated(&self, bytes: u64) {
        for counters in [&self.topic, &self.all] {
            counters.replication_bytes_in.increment(bytes);
        }
    }

    pub fn fetch_failed(&self) {
        for counters in [&self.topic, &self.all] {
            counters.fetch_requests.increment(1);
            counters.failed_fetch_requests.increment(1);
        }
    }
}

/// The metrics of every topic that some partition holds.
pub struct TopicMetricsRegistry {
    all: Counters,
    topics: Mutex<HashMap<Arc<str>, Weak<TopicMetrics>>>,
}

impl Default for TopicMetricsRegistry {
    fn default() -> Self {
        TopicMetricsRegistry { all: counters!(), topics: Mutex::default() }
    }
}

impl TopicMetricsRegistry {
    /// The topic's, shared by its partitions.
    pub fn of(&self, topic: &Arc<str>) -> Arc<TopicMetrics> {
        let mut topics = self.topics.lock();
        if let Some(metrics) = topics.get(topic).and_then(Weak::upgrade) {
            return metrics;
        }
        topics.retain(|_, metrics| metrics.strong_count() > 0);
        let name = topic.to_string();
        let metrics = Arc::new(TopicMetrics {
            topic: counters!(, "topic" => name.clone()),
            all: self.all.clone(),
        });
        topics.insert(topic.clone(), Arc::downgrade(&metrics));
        metrics
    }
}
