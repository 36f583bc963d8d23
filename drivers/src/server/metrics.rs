//! What a server counts, and how it is told to Prometheus.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// Counts up.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, n: usize) {
        self.0.fetch_add(n as u64, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How many there are at the moment.
#[derive(Debug, Default)]
pub(super) struct Gauge(AtomicI64);

impl Gauge {
    pub(super) fn up(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn down(&self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }

    pub(super) fn get(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// How long things take.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    buckets: [AtomicU64; BOUNDS.len()],
    count: AtomicU64,
    micros: AtomicU64,
}

/// In seconds: an fsync is a tenth of a millisecond on a good disk, and ten on a bad one.
const BOUNDS: [f64; 10] = [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5];

impl Histogram {
    pub(super) fn observe(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        for (bound, bucket) in BOUNDS.iter().zip(&self.buckets) {
            if seconds <= *bound {
                bucket.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// How a push has ended.
#[derive(Debug, Default)]
pub(super) struct Pushes {
    pub(super) taken: Counter,
    pub(super) ahead: Counter,
    pub(super) refused: Counter,
    pub(super) denied: Counter,
    pub(super) other_backend: Counter,
    pub(super) failed: Counter,
}

/// Why a connection or a request was turned away, or a connection ended by the server.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    pub(super) connections: Counter,
    pub(super) per_address: Counter,
    pub(super) denied: Counter,
    pub(super) bad_request: Counter,
    pub(super) too_large: Counter,
    pub(super) no_room: Counter,
    pub(super) stores: Counter,
    pub(super) open_stores: Counter,
    pub(super) storage: Counter,
    pub(super) malformed: Counter,
    pub(super) slow: Counter,
    pub(super) silent: Counter,
    pub(super) tls: Counter,
}

/// All that is counted.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    pub(super) connections: Gauge,
    pub(super) accepted: Counter,
    pub(super) sockets: Gauge,
    pub(super) pulls: Gauge,
    pub(super) open_stores: Gauge,
    /// Appends that are under way.
    pub(super) admitting: Gauge,
    pub(super) append: Histogram,
    pub(super) events_taken: Counter,
    pub(super) events_sent: Counter,
    pub(super) bytes_sent: Counter,
    pub(super) polls: Counter,
    pub(super) pushes: Pushes,
    pub(super) refusals: Refusals,
}

impl Metrics {
    /// In Prometheus' text format.
    pub(super) fn render(&self) -> String {
        let mut text = Text(String::new());
        text.gauge("connections", "Open connections.", &self.connections);
        text.gauge("websockets", "Open WebSockets.", &self.sockets);
        text.gauge("pulls", "Pulls under way over WebSocket, live or paging.", &self.pulls);
        text.gauge("stores_open", "Stores whose log is open.", &self.open_stores);
        text.gauge("appends_under_way", "Pushes that wait for their store or are being stored.", &self.admitting);
        text.counter("connections_accepted_total", "Connections accepted since the start.", &self.accepted);
        text.counter("events_taken_total", "Events taken, those of repeated pushes included.", &self.events_taken);
        text.counter("events_sent_total", "Events sent.", &self.events_sent);
        text.counter("message_bytes_sent_total", "Bytes of messages sent.", &self.bytes_sent);
        text.counter("http_polls_total", "Calls over HTTP.", &self.polls);
        let Pushes { taken, ahead, refused, denied, other_backend, failed } = &self.pushes;
        let pushes = [
            ("taken", taken),
            ("server_ahead", ahead),
            ("refused", refused),
            ("denied", denied),
            ("backend_id_mismatch", other_backend),
            ("failed", failed),
        ];
        text.family("pushes_total", "Pushes, by how they ended.", "outcome", &pushes);
        let r = &self.refusals;
        let refusals = [
            ("connections", &r.connections),
            ("connections_per_address", &r.per_address),
            ("denied", &r.denied),
            ("bad_request", &r.bad_request),
            ("too_large", &r.too_large),
            ("no_room", &r.no_room),
            ("stores", &r.stores),
            ("open_stores", &r.open_stores),
            ("storage", &r.storage),
            ("malformed", &r.malformed),
            ("slow", &r.slow),
            ("silent", &r.silent),
            ("tls", &r.tls),
        ];
        text.family("refusals_total", "Connections and requests turned away or cut off, by reason.", "reason", &refusals);
        text.histogram("append_seconds", "How long an append takes, its fsync included.", &self.append);
        text.0
    }
}

struct Text(String);

impl Text {
    fn head(&mut self, name: &str, help: &str, kind: &str) {
        // Writing to a String can't fail.
        let _ = writeln!(self.0, "# HELP countersign_{name} {help}\n# TYPE countersign_{name} {kind}");
    }

    fn gauge(&mut self, name: &str, help: &str, gauge: &Gauge) {
        self.head(name, help, "gauge");
        let _ = writeln!(self.0, "countersign_{name} {}", gauge.get());
    }

    fn counter(&mut self, name: &str, help: &str, counter: &Counter) {
        self.head(name, help, "counter");
        let _ = writeln!(self.0, "countersign_{name} {}", counter.get());
    }

    fn family(&mut self, name: &str, help: &str, label: &str, counters: &[(&str, &Counter)]) {
        self.head(name, help, "counter");
        for (value, counter) in counters {
            let _ = writeln!(self.0, "countersign_{name}{{{label}=\"{value}\"}} {}", counter.get());
        }
    }

    fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        self.head(name, help, "histogram");
        let count = histogram.count.load(Ordering::Relaxed);
        for (bound, bucket) in BOUNDS.iter().zip(&histogram.buckets) {
            let _ = writeln!(self.0, "countersign_{name}_bucket{{le=\"{bound}\"}} {}", bucket.load(Ordering::Relaxed));
        }
        let seconds = histogram.micros.load(Ordering::Relaxed) as f64 / 1e6;
        let _ = writeln!(self.0, "countersign_{name}_bucket{{le=\"+Inf\"}} {count}");
        let _ = writeln!(self.0, "countersign_{name}_sum {seconds}\ncountersign_{name}_count {count}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_what_prometheus_reads() {
        let metrics = Metrics::default();
        metrics.connections.up();
        metrics.pushes.taken.add(3);
        metrics.append.observe(Duration::from_millis(1));
        metrics.append.observe(Duration::from_secs(60));
        let text = metrics.render();
        for line in [
            "# TYPE countersign_connections gauge",
            "countersign_connections 1",
            "countersign_pushes_total{outcome=\"taken\"} 3",
            "countersign_append_seconds_bucket{le=\"0.0005\"} 0",
            "countersign_append_seconds_bucket{le=\"0.001\"} 1",
            "countersign_append_seconds_bucket{le=\"2.5\"} 1",
            "countersign_append_seconds_bucket{le=\"+Inf\"} 2",
            "countersign_append_seconds_sum 60.001",
            "countersign_append_seconds_count 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert!(name.starts_with("countersign_") && value.parse::<f64>().is_ok(), "{line}");
        }
    }
}
