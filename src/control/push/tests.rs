//! Counters for the tests of pushes, and messages.

use super::*;
use crate::observe::metrics::{
    Method, MetricsSettings, Protocol as RequestProtocol, Sample, ServerHealth, ServerSample,
};

/// Counters of one entry point and one backend, with `requests` requests of 2 s each.
pub fn metrics(requests: usize) -> Metrics {
    let entry_points = vec!["http".to_owned()];
    let settings = MetricsSettings { workers: 1, entry_points, detailed: true, ..MetricsSettings::default() };
    let metrics = Metrics::new(&settings);
    let backend = metrics.backend("my shop");
    for _ in 0..requests {
        metrics.worker(0).record(&Sample {
            entry_point: 0,
            backend: Some(&backend),
            status: 200,
            method: Method::Get,
            protocol: RequestProtocol::Http,
            nanos: 2_000_000_000,
            backend_nanos: 1_000_000_000,
            bytes: 5,
            unix_secs: 1,
        });
    }
    metrics.worker(0).opened(0, Method::Get, RequestProtocol::Http);
    metrics.worker(0).retried(&backend);
    metrics.reloaded(1_700_000_000);
    metrics
}

pub fn servers() -> Vec<ServerSample> {
    let sample = |url: &str, health| ServerSample {
        backend: "my shop".into(),
        url: url.into(),
        health,
        ..ServerSample::default()
    };
    vec![sample("http://10.0.0.1:80", ServerHealth::Up), sample("http://10.0.0.2:80", ServerHealth::Down)]
}

#[test]
fn address_in_messages_has_no_password() {
    assert_eq!(visible("http://me:secret@db:8086"), "http://***@db:8086");
    assert_eq!((visible("db:8089"), visible("http://db")), ("db:8089".to_owned(), "http://db".to_owned()));
}
