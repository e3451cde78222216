//! Batches records by partition and sends them to the leaders, with retries; idempotent where the
//! broker gives a producer id. Knows nothing of lines.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use protocol::error_code::ErrorCode;
use protocol::ids::{BrokerId, ProducerEpoch, ProducerId, TopicPartition};
use protocol::messages::init_producer_id::InitProducerIdRequest;
use protocol::messages::metadata::MetadataRequest;
use protocol::messages::produce::{
    PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData,
};
use protocol::records::builder::{BatchBuilder, BatchOptions};
use protocol::records::codec::Codec;
use protocol::records::record::Header;

use super::line_reader::OwnedRecord;
use crate::cluster::{Cluster, ClusterError, is_final_for_topic};
use crate::murmur2::murmur2;

pub struct SenderOptions {
    pub topic: String,
    pub codec: Codec,
    pub acks: i16,
    pub idempotent: bool,
    pub sync: bool,
    pub batch_bytes: usize,
    pub linger: Duration,
    pub retries: u32,
    pub backoff: Duration,
    pub timeout_ms: i32,
    pub max_block: Duration,
}

pub struct Sender {
    cluster: Cluster,
    options: SenderOptions,
    /// Known after the first metadata.
    partitions: i32,
    /// Where records without a key go until their batch is sent.
    sticky: i32,
    random: RandomState,
    rounds: u64,
    waiting: BTreeMap<i32, Waiting>,
    sequences: BTreeMap<i32, i32>,
    producer: Option<(ProducerId, ProducerEpoch)>,
    asked_for_id: bool,
}

#[derive(Default)]
struct Waiting {
    records: Vec<(i64, OwnedRecord)>,
    bytes: usize,
}

impl Sender {
    pub fn new(cluster: Cluster, options: SenderOptions) -> Sender {
        Sender {
            cluster,
            options,
            partitions: 0,
            sticky: -1,
            random: RandomState::new(),
            rounds: 0,
            waiting: BTreeMap::new(),
            sequences: BTreeMap::new(),
            producer: None,
            asked_for_id: false,
        }
    }

    /// Takes a record; true if everything taken so far has been sent.
    pub async fn add(&mut self, record: OwnedRecord) -> bool {
        if self.partitions == 0
            && let Err(error) = self.find_topic().await
        {
            complain(&self.options.topic, &record, &error.to_string());
            return self.waiting.is_empty();
        }
        let partition = match &record.key {
            Some(key) => (murmur2(key) & 0x7fff_ffff) as i32 % self.partitions,
            None => self.sticky_partition(),
        };
        let waiting = self.waiting.entry(partition).or_default();
        let size = |field: &Option<Vec<u8>>| field.as_ref().map_or(0, Vec::len);
        waiting.bytes += size(&record.key) + size(&record.value) + RECORD_OVERHEAD;
        waiting.records.push((now_ms(), record));
        let full = waiting.bytes >= self.options.batch_bytes;
        if full || self.options.sync {
            self.flush().await;
            return true;
        }
        false
    }

    /// Sends all that waits. What cannot be sent is complained about, record by record.
    pub async fn flush(&mut self) {
        self.sticky = -1;
        if self.options.idempotent && !self.asked_for_id && !self.waiting.is_empty() {
            self.asked_for_id = true;
            self.producer = self.producer_id().await;
        }
        for tries_left in (0..=self.options.retries).rev() {
            if self.waiting.is_empty() {
                return;
            }
            let failed = self.send_all().await;
            let mut retry = false;
            for (partition, (code, reason)) in failed {
                if tries_left > 0 && code.is_none_or(ErrorCode::retriable) {
                    retry = true;
                    continue;
                }
                let lost = self.waiting.remove(&partition).unwrap_or_default();
                for (_, record) in &lost.records {
                    complain(&self.options.topic, record, &reason);
                }
            }
            if retry {
                tokio::time::sleep(self.options.backoff).await;
            }
        }
    }

    /// Waits until the topic exists; asking creates it where the broker is configured so.
    async fn find_topic(&mut self) -> Result<(), ClusterError> {
        let deadline = self.cluster.deadline();
        loop {
            let names = std::slice::from_ref(&self.options.topic);
            let metadata = self.cluster.metadata_creating(Some(names), true).await?;
            let topic = metadata.topics.into_iter().next().unwrap_or_default();
            match ClusterError::check(topic.error_code, None) {
                Ok(()) if !topic.partitions.is_empty() => {
                    self.partitions = topic.partitions.len() as i32;
                    return Ok(());
                }
                Ok(()) => {
                    let error =
                        ClusterError::Code { code: ErrorCode::LEADER_NOT_AVAILABLE, message: None };
                    self.cluster.pause(deadline, error).await?;
                }
                Err(error) if error.code().is_some_and(is_final_for_topic) => return Err(error),
                Err(error) => self.cluster.pause(deadline, error).await?,
            }
        }
    }

    fn sticky_partition(&mut self) -> i32 {
        if self.sticky < 0 {
            self.rounds += 1;
            self.sticky = (self.random.hash_one(self.rounds) % self.partitions as u64) as i32;
        }
        self.sticky
    }

    /// `None` where the broker gives no producer ids: sending goes on without.
    async fn producer_id(&self) -> Option<(ProducerId, ProducerEpoch)> {
        let request =
            InitProducerIdRequest { transaction_timeout_ms: i32::MAX, ..Default::default() };
        let deadline = self.cluster.deadline();
        loop {
            let response = self.cluster.call_any("initProducerId", &request).await.ok()?;
            match ErrorCode(response.error_code) {
                ErrorCode::NONE => return Some((response.producer_id, response.producer_epoch)),
                code if code.retriable() => {
                    let error = ClusterError::Code { code, message: None };
                    self.cluster.pause(deadline, error).await.ok()?;
                }
                _ => return None,
            }
        }
    }

    /// One request to every leader. What is acknowledged no longer waits afterwards; the rest is
    /// named with its reason.
    async fn send_all(&mut self) -> BTreeMap<i32, (Option<ErrorCode>, String)> {
        let mut failed = BTreeMap::new();
        let topic = self.options.topic.clone();
        let wanted: Vec<TopicPartition> =
            self.waiting.keys().map(|p| TopicPartition::new(topic.clone(), *p)).collect();
        let mut by_leader: BTreeMap<BrokerId, Vec<i32>> = BTreeMap::new();
        match self.cluster.leaders(&wanted).await {
            Ok(leaders) => {
                for (partition, leader) in leaders {
                    match leader {
                        Ok(id) => by_leader.entry(id).or_default().push(partition.partition),
                        Err(code) => {
                            let reason = code.message().to_owned();
                            failed.insert(partition.partition, (Some(code), reason));
                        }
                    }
                }
            }
            Err(error) => {
                let reason = |p: &i32| (*p, (error.code(), error.to_string()));
                return self.waiting.keys().map(reason).collect();
            }
        }
        for (leader, partitions) in by_leader {
            match self.send_to(leader, &partitions).await {
                Ok(answers) => {
                    for (partition, code, message) in answers {
                        self.settle(partition, code, message, &mut failed);
                    }
                }
                Err(error) => {
                    for partition in partitions {
                        failed.insert(partition, (error.code(), error.to_string()));
                    }
                }
            }
        }
        failed
    }

    fn settle(
        &mut self,
        partition: i32,
        code: ErrorCode,
        message: Option<String>,
        failed: &mut BTreeMap<i32, (Option<ErrorCode>, String)>,
    ) {
        // A batch that an earlier try brought there already is there.
        if code.is_ok() || code == ErrorCode::DUPLICATE_SEQUENCE_NUMBER {
            let sent = self.waiting.remove(&partition).map_or(0, |w| w.records.len());
            let sequence = self.sequences.entry(partition).or_default();
            *sequence = (i64::from(*sequence) + sent as i64).rem_euclid(1 << 31) as i32;
        } else {
            let reason = message.unwrap_or_else(|| code.message().to_owned());
            failed.insert(partition, (Some(code), reason));
        }
    }

    async fn send_to(
        &self,
        leader: BrokerId,
        partitions: &[i32],
    ) -> Result<Vec<(i32, ErrorCode, Option<String>)>, ClusterError> {
        let mut partition_data = Vec::new();
        for partition in partitions {
            let batch = self.batch(*partition)?;
            partition_data.push(PartitionProduceData {
                index: *partition,
                records: Some(bytes::Bytes::from(batch).into()),
            });
        }
        let request = ProduceRequest {
            transactional_id: None,
            acks: self.options.acks,
            timeout_ms: self.options.timeout_ms,
            topic_data: vec![TopicProduceData { name: self.options.topic.clone(), partition_data }],
        };
        let connection = self.cluster.broker(leader).await?;
        if self.options.acks == 0 {
            connection.send(&request).await?;
            // Nobody answers that; this answer says that it went out.
            let nothing = MetadataRequest { topics: Some(Vec::new()), ..Default::default() };
            connection.call(&nothing).await?;
            return Ok(partitions.iter().map(|p| (*p, ErrorCode::NONE, None)).collect());
        }
        let response: ProduceResponse = connection.call(&request).await?;
        let answers = response.responses.into_iter().flat_map(|t| t.partition_responses);
        Ok(answers.map(|p| (p.index, ErrorCode(p.error_code), p.error_message)).collect())
    }

    fn batch(&self, partition: i32) -> Result<Vec<u8>, ClusterError> {
        let (producer_id, producer_epoch) = self.producer.unwrap_or((-1, -1));
        let sequence = self.sequences.get(&partition).copied().unwrap_or(0);
        let mut builder = BatchBuilder::new(BatchOptions {
            codec: self.options.codec,
            producer_id,
            producer_epoch,
            base_sequence: if producer_id < 0 { -1 } else { sequence },
            ..BatchOptions::default()
        });
        let unwritable =
            |e: protocol::records::builder::BuildError| ClusterError::Unreadable(e.to_string());
        for (timestamp, record) in &self.waiting[&partition].records {
            let headers: Vec<Header<'_>> = record
                .headers
                .iter()
                .map(|(key, value)| Header { key: key.as_bytes(), value: value.as_deref() })
                .collect();
            builder
                .append(*timestamp, record.key.as_deref(), record.value.as_deref(), &headers)
                .map_err(unwritable)?;
        }
        builder.finish().map_err(unwritable)
    }
}

/// Counted for each record beside its key and value.
const RECORD_OVERHEAD: usize = 16;

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64)
}

fn complain(topic: &str, record: &OwnedRecord, reason: &str) {
    let size = |field: &Option<Vec<u8>>| match field {
        Some(bytes) => format!("{} bytes", bytes.len()),
        None => "null".to_owned(),
    };
    eprintln!(
        "ERROR Error when sending message to topic {topic} with key: {}, value: {} with error: \
         {reason}",
        size(&record.key),
        size(&record.value)
    );
}
