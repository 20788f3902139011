//! Metrics of the built program as others read them: Prometheus and promtool, StatsD, InfluxDB, and what `contrib` has for Prometheus and
//! Grafana.

#[path = "../support/mod.rs"]
mod support;

mod contrib;
mod prometheus;
mod proxy;
mod push;
mod selectors;
