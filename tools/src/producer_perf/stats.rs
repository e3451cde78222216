//! Counts records and latencies, and says what they come to. Pure; knows nothing of sending.

/// A line is printed for so many milliseconds.
const WINDOW_MS: i64 = 5000;
/// Latencies that are kept for the percentiles.
const SAMPLES_MAX: u64 = 500_000;
const MIB: f64 = 1024.0 * 1024.0;

#[derive(Default)]
struct Count {
    start_ms: i64,
    records: u64,
    bytes: u64,
    latency_ms: i64,
    latency_max_ms: i64,
}

impl Count {
    fn since(start_ms: i64) -> Count {
        Count { start_ms, ..Count::default() }
    }

    fn add(&mut self, latency_ms: i64, bytes: usize) {
        self.records += 1;
        self.bytes += bytes as u64;
        self.latency_ms += latency_ms;
        self.latency_max_ms = self.latency_max_ms.max(latency_ms);
    }

    /// Records a second, MiB a second, and the average latency in milliseconds.
    fn rates(&self, now_ms: i64) -> (f64, f64, f64) {
        let elapsed = (now_ms - self.start_ms) as f64;
        let records = 1000.0 * self.records as f64 / elapsed;
        let bytes = 1000.0 * self.bytes as f64 / elapsed / MIB;
        (records, bytes, self.latency_ms as f64 / self.records as f64)
    }
}

pub struct Stats {
    all: Count,
    window: Count,
    /// Every so many'th latency is kept.
    sampling: u64,
    latencies: Vec<i64>,
    errors: u64,
}

impl Stats {
    pub fn new(records: u64, now_ms: i64) -> Stats {
        Stats {
            all: Count::since(now_ms),
            window: Count::since(now_ms),
            sampling: (records / records.clamp(1, SAMPLES_MAX)).max(1),
            latencies: Vec::new(),
            errors: 0,
        }
    }

    /// A record is there. Gives a line to print now and then.
    pub fn record(&mut self, latency_ms: i64, bytes: usize, now_ms: i64) -> Option<String> {
        if self.all.records.is_multiple_of(self.sampling) {
            self.latencies.push(latency_ms);
        }
        self.all.add(latency_ms, bytes);
        self.window.add(latency_ms, bytes);
        if now_ms - self.window.start_ms < WINDOW_MS {
            return None;
        }
        let (records, bytes, average) = self.window.rates(now_ms);
        let line = format!(
            "{} records sent, {records:.1} records/sec ({bytes:.2} MB/sec), {average:.1} ms avg \
             latency, {:.1} ms max latency.\n",
            self.window.records, self.window.latency_max_ms as f64
        );
        self.window = Count::since(now_ms);
        Some(line)
    }

    pub fn failed(&mut self) {
        self.errors += 1;
    }

    /// The last line.
    pub fn total(&mut self, now_ms: i64) -> String {
        let (records, bytes, average) = self.all.rates(now_ms);
        self.latencies.sort_unstable();
        let percentile = |share: f64| {
            let at = (share * self.latencies.len() as f64) as usize;
            self.latencies.get(at).copied().unwrap_or(0)
        };
        format!(
            "{} records sent, {records:.6} records/sec ({bytes:.2} MB/sec), {average:.2} ms avg \
             latency, {:.2} ms max latency, {} ms 50th, {} ms 95th, {} ms 99th, {} ms 99.9th.\n",
            self.all.records,
            self.all.latency_max_ms as f64,
            percentile(0.5),
            percentile(0.95),
            percentile(0.99),
            percentile(0.999)
        )
    }

    /// Totals, in the form of Kafka's list of metrics.
    pub fn metrics(&self, client_id: &str) -> String {
        let rows = [
            ("record-error-total", self.errors as f64),
            ("record-send-total", self.all.records as f64),
            ("record-size-avg", self.all.bytes as f64 / self.all.records as f64),
        ];
        let name = |metric: &str| format!("producer-metrics:{metric}:{{client-id={client_id}}}");
        let width = rows.iter().map(|(metric, _)| name(metric).len()).max().unwrap_or(0);
        let mut out = format!("\n{:width$}   Value\n", "Metric Name");
        for (metric, value) in rows {
            out.push_str(&format!("{:width$} : {value:.3}\n", name(metric)));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_told_when_it_is_over_and_all_of_it_at_the_end() {
        let mut stats = Stats::new(4, 0);
        assert_eq!(stats.record(10, 1 << 20, 1000), None);
        assert_eq!(
            stats.record(30, 1 << 20, 5000).unwrap(),
            "2 records sent, 0.4 records/sec (0.40 MB/sec), 20.0 ms avg latency, 30.0 ms max \
             latency.\n"
        );
        assert_eq!(stats.record(2, 0, 5001), None);
        assert_eq!(
            stats.total(10_000),
            "3 records sent, 0.300000 records/sec (0.20 MB/sec), 14.00 ms avg latency, 30.00 ms \
             max latency, 10 ms 50th, 30 ms 95th, 30 ms 99th, 30 ms 99.9th.\n"
        );
    }
}
