//! Metrics in a real Prometheus.
