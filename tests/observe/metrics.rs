//! The Prometheus page, parsed as a scraper does (docs/reference/metrics.md#prometheus).

use ringway::limits::Bound;
use ringway::observe::metrics::{
    Direction, Format, Method, Metrics, MetricsSettings, ProcessFacts, Protocol, Sample, Scrape, ServerHealth,
    ServerSample, Side,
};

fn text(metrics: &Metrics, scrape: &Scrape) -> String {
    String::from_utf8(metrics.prometheus_page(scrape, Format::Text)).unwrap()
}

/// Parses a page as a scraper does: each series once, after the type of its name.
fn parse(page: &str) -> std::collections::BTreeMap<String, f64> {
    let (mut series, mut types) = (std::collections::BTreeMap::new(), Vec::new());
    assert!(page.ends_with('\n'));
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert!(!types.contains(&name.to_owned()), "{name} has two types");
            types.push(name.to_owned());
        } else if !line.starts_with("# HELP ") {
            let (name, value) = line.rsplit_once(' ').unwrap();
            let base = name.split('{').next().unwrap();
            assert!(types.last().is_some_and(|known| base.starts_with(known.as_str())), "{line} has no type");
            assert!(series.insert(name.to_owned(), value.parse().unwrap()).is_none(), "{line} is there twice");
        }
    }
    series
}

fn sample(nanos: u64) -> Sample<'static> {
    Sample {
        entry_point: 0,
        backend: None,
        status: 200,
        method: Method::Get,
        protocol: Protocol::Http,
        nanos,
        backend_nanos: nanos / 2,
        bytes: 10,
        unix_secs: 100,
    }
}

#[test]
fn every_limit_metric_is_exported_from_the_start() {
    let metrics = Metrics::new(&MetricsSettings::default());
    let series = |bound: Bound| format!("ringway_bounds_exceeded_total{{bound=\"{}\"}}", bound.name());
    let before = parse(&text(&metrics, &Scrape::default()));
    for bound in Bound::ALL {
        assert_eq!(before.get(&series(bound)), Some(&0.0), "{bound:?}");
    }
    for (at, bound) in Bound::ALL.into_iter().enumerate() {
        metrics.exceeded(bound, at as u64 + 1);
    }
    let after = parse(&text(&metrics, &Scrape::default()));
    for (at, bound) in Bound::ALL.into_iter().enumerate() {
        assert_eq!(after.get(&series(bound)), Some(&(at as f64 + 1.0)), "{bound:?}");
    }
    assert_eq!(after.keys().filter(|name| name.starts_with("ringway_bounds")).count(), Bound::ALL.len());
}

#[test]
fn metrics_page_sums_workers_under_traefik_names() {
    let settings =
        MetricsSettings { workers: 2, entry_points: vec!["http".into(), "https".into()], ..Default::default() };
    let metrics = Metrics::new(&settings);
    let backend = metrics.backend("b\"1\\\n");
    metrics.worker(0).record(&Sample { backend: Some(&backend), ..sample(200_000_000) });
    metrics.worker(1).record(&Sample { backend: Some(&backend), ..sample(6_000_000_000) });
    metrics.worker(1).record(&Sample { status: 404, ..sample(1_000) });
    metrics.worker(0).opened(0, Method::Get, Protocol::Http);
    metrics.worker(1).opened(0, Method::Get, Protocol::Http);
    metrics.worker(1).closed(0, Method::Get, Protocol::Http);
    metrics.worker(1).backend_opened(&backend, Method::Post, Protocol::Sse);
    metrics.worker(1).retried(&backend);
    metrics.reloaded(1_700_000_000);
    let series = parse(&text(&metrics, &Scrape::default()));
    let own = r#"backend="b\"1\\\n""#;
    let http = r#"code="200",entrypoint="http",method="GET",protocol="http""#;
    for (name, value) in [
        ("traefik_config_reloads_total".to_owned(), 1.0),
        ("traefik_config_reloads_failure_total".to_owned(), 0.0),
        ("traefik_config_last_reload_success".to_owned(), 1.7e9),
        (format!("traefik_entrypoint_requests_total{{{http}}}"), 2.0),
        (format!("traefik_entrypoint_requests_total{{{}}}", http.replace("200", "404")), 1.0),
        (format!("traefik_entrypoint_request_duration_seconds_bucket{{{http},le=\"0.1\"}}"), 0.0),
        (format!("traefik_entrypoint_request_duration_seconds_bucket{{{http},le=\"0.3\"}}"), 1.0),
        (format!("traefik_entrypoint_request_duration_seconds_bucket{{{http},le=\"5\"}}"), 1.0),
        (format!("traefik_entrypoint_request_duration_seconds_bucket{{{http},le=\"+Inf\"}}"), 2.0),
        (format!("traefik_entrypoint_request_duration_seconds_sum{{{http}}}"), 6.2),
        (format!("traefik_entrypoint_request_duration_seconds_count{{{http}}}"), 2.0),
        (r#"traefik_entrypoint_open_connections{entrypoint="http",method="GET",protocol="http"}"#.into(), 1.0),
        (format!("traefik_backend_requests_total{{{own},code=\"200\",method=\"GET\",protocol=\"http\"}}"), 2.0),
        (
            format!(
                "traefik_backend_request_duration_seconds_sum{{{own},code=\"200\",method=\"GET\",protocol=\"http\"}}"
            ),
            3.1,
        ),
        (format!("traefik_backend_open_connections{{{own},method=\"POST\",protocol=\"sse\"}}"), 1.0),
        (format!("traefik_backend_retries_total{{{own}}}"), 1.0),
    ] {
        assert_eq!(series.get(&name), Some(&value), "{name} in {series:#?}");
    }
    assert!(!series.keys().any(|name| name.contains("https")), "an unused entry point has no series");
}

#[test]
fn http2_counters_are_exported_by_side_direction_and_reason() {
    let metrics = Metrics::new(&MetricsSettings { workers: 2, ..Default::default() });
    let before = parse(&text(&metrics, &Scrape::default()));
    assert_eq!(before.keys().filter(|name| name.starts_with("ringway_http2_")).count(), 8 + 120);
    for worker in [0, 1] {
        metrics.worker(worker).http2_connection_opened(Side::Client);
        metrics.worker(worker).http2_stream_opened(Side::Server);
    }
    metrics.worker(1).http2_connection_closed(Side::Client);
    metrics.worker(1).http2_stream_closed(Side::Server);
    metrics.worker(0).http2_reset(Side::Client, Direction::Received, 8);
    metrics.worker(1).http2_reset(Side::Client, Direction::Received, 8);
    metrics.worker(1).http2_goaway(Side::Server, Direction::Sent, 99);
    let series = parse(&text(&metrics, &Scrape { client_connections: 7, ..Scrape::default() }));
    for (name, value) in [
        (r#"ringway_client_connections_open{protocol="http/1"}"#, 6.0),
        (r#"ringway_client_connections_open{protocol="http/2"}"#, 1.0),
        (r#"ringway_http2_connections_open{side="client"}"#, 1.0),
        (r#"ringway_http2_connections_total{side="client"}"#, 2.0),
        (r#"ringway_http2_streams_open{side="server"}"#, 1.0),
        (r#"ringway_http2_streams_total{side="server"}"#, 2.0),
        (r#"ringway_http2_streams_total{side="client"}"#, 0.0),
        (r#"ringway_http2_resets_total{direction="received",reason="CANCEL",side="client"}"#, 2.0),
        (r#"ringway_http2_resets_total{direction="sent",reason="CANCEL",side="client"}"#, 0.0),
        (r#"ringway_http2_goaways_total{direction="sent",reason="OTHER",side="server"}"#, 1.0),
    ] {
        assert_eq!(series.get(name), Some(&value), "{name}");
    }
}

#[test]
fn servers_and_process_facts() {
    let metrics = Metrics::new(&MetricsSettings::default());
    let server =
        |url: &str, health| ServerSample { backend: "b".into(), url: url.into(), health, ..Default::default() };
    let servers = [
        server("http://1", ServerHealth::Up),
        server("http://2", ServerHealth::Down),
        server("http://3", ServerHealth::Unknown),
        server("http://2", ServerHealth::Down),
    ];
    let process = ProcessFacts { open_fds: Some(9), cpu_secs: Some(1.25), ..Default::default() };
    let series = parse(&text(&metrics, &Scrape { servers: &servers, process, ..Scrape::default() }));
    for (url, up) in [("http://1", 1.0), ("http://2", 0.0), ("http://3", 1.0)] {
        assert_eq!(series[&format!("traefik_backend_server_up{{backend=\"b\",url=\"{url}\"}}")], up);
    }
    assert_eq!((series["process_open_fds"], series["process_cpu_seconds_total"]), (9.0, 1.25));
    assert!(!series.contains_key("process_max_fds"));
}

#[test]
fn health_totals_hold_newest_errors_only_if_enabled() {
    let metrics = Metrics::new(&MetricsSettings { workers: 2, recent_errors: 2, ..Default::default() });
    for (worker, status, time) in [(0, 200, 1), (0, 404, 2), (1, 502, 3), (0, 400, 4)] {
        metrics.worker(worker).record_error(status, b"GET", b"h", b"/p", time);
    }
    let errors = metrics.health(0).recent_errors.unwrap();
    assert_eq!(errors.iter().map(|error| error.status).collect::<Vec<_>>(), [400, 502]);
    assert_eq!(Metrics::new(&MetricsSettings::default()).health(0).recent_errors, None);
}
