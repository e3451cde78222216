//! What the broker counts, under the names that jmx_exporter's example rules give to Kafka's own
//! beans, so that known dashboards work, and ours under `ottla_`. Knows nothing of HTTP.

pub mod gauges;
pub mod logs;
pub mod session_events;

use std::sync::{Arc, OnceLock};

use metrics::{Counter, Gauge, Histogram, Unit};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use protocol::api::ApiKey;

use crate::network::memory::MemoryPool;

/// Handles of one API, looked up once.
struct ApiMetrics {
    requests: Counter,
    errors: Counter,
    total_ms: Histogram,
}

/// The counters of the request path: no label is looked up there.
pub struct RequestMetrics {
    /// By key; `None` where there is no API.
    by_key: Vec<Option<ApiMetrics>>,
    pub connections: Gauge,
    pub connections_accepted: Counter,
    pub connections_refused: Counter,
    pub connections_closed_for_cause: Counter,
    handed_on_ms: Histogram,
}

impl std::fmt::Debug for RequestMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RequestMetrics").finish_non_exhaustive()
    }
}

/// Upper bounds of the buckets of a time in milliseconds.
const TIME_BUCKETS_MS: [f64; 16] = [
    0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 5000.0,
    30000.0,
];

/// The same of what the broker adds to a record's way, which is tens of microseconds.
const ADDED_BUCKETS_MS: [f64; 18] = [
    0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.5, 5.0, 25.0, 100.0,
    1000.0,
];

/// The recorder of this process, installed by the first call; brokers of one process (in tests)
/// share it.
pub fn install() -> PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE
        .get_or_init(|| {
            let recorder = PrometheusBuilder::new()
                .set_buckets_for_metric(Matcher::Suffix("_ms".to_owned()), &TIME_BUCKETS_MS)
                .and_then(|builder| {
                    let added = Matcher::Full(HANDED_ON.to_owned());
                    builder.set_buckets_for_metric(added, &ADDED_BUCKETS_MS)
                })
                .expect("there are buckets")
                .build_recorder();
            let handle = recorder.handle();
            if metrics::set_global_recorder(recorder).is_err() {
                tracing::warn!("another recorder is installed: the metrics page stays empty");
            }
            describe();
            handle
        })
        .clone()
}

fn describe() {
    metrics::describe_counter!(REQUESTS, "Requests by API");
    metrics::describe_counter!(REQUEST_ERRORS, "Requests that closed their connection, by API");
    metrics::describe_histogram!(
        TOTAL_TIME,
        Unit::Milliseconds,
        "From a request's last byte to its encoded answer"
    );
    metrics::describe_histogram!(
        HANDED_ON,
        Unit::Milliseconds,
        "From a Produce's last byte to the answer of a consumer's Fetch that waited for its records"
    );
    metrics::describe_gauge!(CONNECTIONS, "Open connections");
    metrics::describe_gauge!(MEMORY_USED, Unit::Bytes, "Memory that requests take");
    metrics::describe_gauge!(MEMORY_LIMIT, Unit::Bytes, "Memory that requests may take");
    metrics::describe_gauge!(ANSWERS_USED, Unit::Bytes, "Memory that unsent answers take");
    metrics::describe_gauge!(ANSWERS_LIMIT, Unit::Bytes, "Memory that unsent answers may take");
}

const REQUESTS: &str = "kafka_network_requestmetrics_requests_total";
const REQUEST_ERRORS: &str = "ottla_network_requests_refused_total";
const TOTAL_TIME: &str = "kafka_network_requestmetrics_totaltime_ms";
const HANDED_ON: &str = "ottla_produce_to_fetch_ms";
const CONNECTIONS: &str = "kafka_server_socket_server_metrics_connection_count";
const ACCEPTED: &str = "ottla_network_connections_accepted_total";
const REFUSED: &str = "ottla_network_connections_refused_total";
const CLOSED_FOR_CAUSE: &str = "ottla_network_connections_closed_for_cause_total";
const MAX_LAG: &str = "kafka_server_replicafetchermanager_maxlag";
const FAILED_PARTITIONS: &str = "kafka_server_replicafetchermanager_failedpartitionscount";
const MEMORY_USED: &str = "ottla_network_request_memory_bytes";
const MEMORY_LIMIT: &str = "ottla_network_request_memory_limit_bytes";
const ANSWERS_USED: &str = "ottla_network_response_memory_bytes";
const ANSWERS_LIMIT: &str = "ottla_network_response_memory_limit_bytes";

impl RequestMetrics {
    pub fn new() -> Arc<RequestMetrics> {
        let last = ApiKey::ALL.iter().map(|api| api.key()).max().unwrap_or(0);
        let by_key = (0..=last).map(|key| ApiKey::from_key(key).map(ApiMetrics::of)).collect();
        Arc::new(RequestMetrics {
            by_key,
            connections: metrics::gauge!(CONNECTIONS),
            connections_accepted: metrics::counter!(ACCEPTED),
            connections_refused: metrics::counter!(REFUSED),
            connections_closed_for_cause: metrics::counter!(CLOSED_FOR_CAUSE),
            handed_on_ms: metrics::histogram!(HANDED_ON),
        })
    }

    pub fn request(&self, api: ApiKey) {
        if let Some(metrics) = self.of(api) {
            metrics.requests.increment(1);
        }
    }

    pub fn refused(&self, api: ApiKey) {
        if let Some(metrics) = self.of(api) {
            metrics.errors.increment(1);
        }
    }

    pub fn answered(&self, api: ApiKey, total_ms: f64) {
        if let Some(metrics) = self.of(api) {
            metrics.total_ms.record(total_ms);
        }
    }

    /// A fetch that waited takes records along that arrived so long ago.
    pub fn handed_on(&self, ms: f64) {
        self.handed_on_ms.record(ms);
    }

    fn of(&self, api: ApiKey) -> Option<&ApiMetrics> {
        self.by_key.get(usize::try_from(api.key()).ok()?)?.as_ref()
    }
}

impl ApiMetrics {
    fn of(api: ApiKey) -> ApiMetrics {
        let name = api.name();
        ApiMetrics {
            requests: metrics::counter!(REQUESTS, "request" => name),
            errors: metrics::counter!(REQUEST_ERRORS, "request" => name),
            total_ms: metrics::histogram!(TOTAL_TIME, "request" => name),
        }
    }
}

/// Sets the gauges of what requests and answers take; called before every rendering.
pub fn sample_memory(requests: &MemoryPool, answers: &MemoryPool) {
    for (pool, used, limit) in
        [(requests, MEMORY_USED, MEMORY_LIMIT), (answers, ANSWERS_USED, ANSWERS_LIMIT)]
    {
        metrics::gauge!(used).set(pool.used() as f64);
        metrics::gauge!(limit).set(pool.capacity() as f64);
    }
}

/// The same for what this broker follows: how far the partition that is furthest behind is behind,
/// and how many are not followed although the controller said so.
pub fn sample_following(lag_max: i64, failed: usize) {
    metrics::gauge!(MAX_LAG, "clientId" => "Replica").set(lag_max as f64);
    metrics::gauge!(FAILED_PARTITIONS, "clientId" => "Replica").set(failed as f64);
}
