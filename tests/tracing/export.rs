//! Collectors that are away, slow or refuse; the end of the process; the access log; a real collector.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::collector::{Collector, named};
use crate::support::ringway::{DRIVERS, Setup, run_with_config};
use crate::support::{Background, free_port, tool_or_skip, wait_for};
use crate::{WAIT, exceeded, get, otlp, start};

#[test]
fn spans_of_the_last_request_are_delivered_before_the_exit() {
    for driver in DRIVERS {
        let collector = Collector::start();
        let (mut proxy, _origin) = start(driver, &otlp(&collector));
        get(&proxy, "plain.test", "/last", &[]);
        proxy.signal("TERM");
        proxy.wait(WAIT);
        let spans = collector.spans();
        let is_last =
            |span: &&crate::collector::SeenSpan| span.tags.get("url.path").is_some_and(|path| path == "/last");
        assert_eq!(spans.iter().filter(is_last).count(), 1, "{spans:#?}");
    }
}

#[test]
fn access_log_names_the_trace() {
    for driver in DRIVERS {
        let collector = Collector::start();
        let table =
            otlp(&collector).replace("[tracing.otlp]", "samplingType = \"const\"\nsamplingParam = 0.0\n[tracing.otlp]");
        let (proxy, _origin) = start(driver, &table);
        get(&proxy, "plain.test", "/logged", &["b3: 000000000000000000000000000000aa-00000000000000bb-1"]);
        get(&proxy, "gone.test", "/gone", &["b3: 000000000000000000000000000000cc-00000000000000bb-1"]);
        let spans = collector.trace("/logged", 3);
        let lines = wait_for("the access log", WAIT, || {
            let text = fs::read_to_string(proxy.file("access.log")).unwrap_or_default();
            if text.contains("/gone") { Ok(text) } else { Err(text) }
        });
        let line = |path: &str| {
            let found = lines.lines().find(|line| line.contains(path)).expect("a line");
            serde_json::from_str::<serde_json::Value>(found).expect("JSON")
        };
        let logged = line("/logged");
        assert_eq!(logged["TraceId"], "000000000000000000000000000000aa");
        assert_eq!(logged["SpanId"], named(&spans, "Entrypoint http plain.test").id);
        let first = line("\"RequestPath\":\"/\"");
        assert!(
            first.get("TraceId").is_none() && first.get("SpanId").is_none(),
            "a request that is not recorded: {first}"
        );
        proxy.await_log("TraceId=000000000000000000000000000000cc", 1);
    }
}

#[test]
fn collector_that_is_away_costs_spans_and_no_requests() {
    for driver in DRIVERS {
        let port = free_port();
        let table = format!(
            "[tracing]\nbackend = \"otlp\"\n[tracing.otlp]\nendpoint = \"http://127.0.0.1:{port}\"\ntimeout = \"1s\""
        );
        let (proxy, _origin) = start(driver, &table);
        proxy.await_log("does not take spans", 1);
        for _ in 0..5 {
            assert!(get(&proxy, "plain.test", "/away", &[]).starts_with("GET /away"));
        }
        // The first batch is given up after five attempts.
        wait_for("spans are counted as lost", WAIT, || match exceeded(&proxy, "trace_export_attempts") {
            0 => Err(proxy.log()),
            _ => Ok(()),
        });
        let log = proxy.log();
        assert_eq!(log.matches("does not take spans").count(), 1, "said once: {log}");
        assert!(log.contains("check tracing.otlp.endpoint"), "{log}");
        let collector = Collector::on(port);
        wait_for("spans arrive again", WAIT, || {
            get(&proxy, "plain.test", "/back", &[]);
            let has_arrived =
                collector.spans().iter().any(|span| span.tags.get("url.path").is_some_and(|p| p == "/back"));
            if has_arrived { Ok(()) } else { Err(proxy.log()) }
        });
        proxy.await_log("takes spans again", 1);
    }
}

#[test]
fn refusal_is_final_and_a_busy_collector_is_asked_again() {
    let collector = Collector::start();
    collector.answer(400);
    let (proxy, _origin) = start(DRIVERS[1], &otlp(&collector));
    wait_for("refused spans are lost", WAIT, || match exceeded(&proxy, "trace_export_attempts") {
        0 => Err(proxy.log()),
        _ => Ok(()),
    });
    proxy.await_log("status 400", 1);
    let lost = exceeded(&proxy, "trace_export_attempts");
    collector.answer(503);
    get(&proxy, "plain.test", "/busy", &[]);
    std::thread::sleep(std::time::Duration::from_millis(1500));
    collector.answer(200);
    collector.trace("/busy", 3);
    assert_eq!(exceeded(&proxy, "trace_export_attempts"), lost, "spans that are taken later are not lost");
}

#[test]
fn full_queue_drops_spans_and_says_so_once() {
    // A collector that accepts connections and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", silent.local_addr().expect("an address"));
    let table = format!("[tracing]\nbackend = \"otlp\"\n[tracing.otlp]\nendpoint = \"{url}\"\ntimeout = \"120s\"");
    let (proxy, _origin) = start(DRIVERS[1], &table);
    let long = format!("/{}", "x".repeat(900));
    let mut client = crate::support::http::Client::to(proxy.http);
    wait_for("the queue is full", WAIT * 2, || {
        (0..500).for_each(|_| assert_eq!(client.get("plain.test", &long).status, 200));
        match exceeded(&proxy, "trace_queue_bytes") {
            0 => Err("no span is lost".to_owned()),
            _ => Ok(()),
        }
    });
    let log = proxy.log();
    assert_eq!(log.matches("tracing: spans are dropped").count(), 1, "{log}");
    let kib = proxy.resident_kib();
    assert!(kib < 200 * 1024, "{kib} KiB");
}

#[test]
fn backend_that_ringway_does_not_speak_says_what_to_write() {
    let config = "[entryPoints.http]\naddress = \"127.0.0.1:0\"\n[tracing]\nbackend = \"jaeger\"\n";
    let (code, output) = run_with_config(&["check"], config);
    assert_eq!(code, Some(0), "{output}");
    assert!(
        output.contains("tracing.backend: \"jaeger\" alone traces nothing") && output.contains("[tracing.otlp]"),
        "{output}"
    );
    let (proxy, _origin) = start(DRIVERS[1], "[tracing]\nbackend = \"jaeger\"");
    proxy.await_log("[tracing.otlp] with endpoint", 1);
    let head =
        get(&proxy, "plain.test", "/", &["traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"]);
    assert!(head.contains("4736-00f067aa0ba902b7-01"), "nothing is traced, and the fields go on: {head}");
}

/// The collector Rotel, which passes what it gets on to `collector`; it is installed by scripts/tracing-tools.sh.
fn rotel(collector: &Collector, folder: &std::path::Path) -> Option<(Background, u16, u16)> {
    let cache = || std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache");
    let tools = std::env::var_os("RINGWAY_TOOLS")
        .map_or_else(|| cache().unwrap_or_else(home).join("ringway-tools"), PathBuf::from);
    let program = tools.join("rotel/rotel-agent");
    if !tool_or_skip("the collector of scripts/tracing-tools.sh", program.is_file()) {
        return None;
    }
    let (grpc, http) = (free_port(), free_port());
    let mut command = Command::new(program);
    command.args([
        "start",
        "--exporter",
        "otlp",
        "--otlp-exporter-protocol",
        "http",
        "--otlp-exporter-compression",
        "none",
    ]);
    command.args(["--otlp-exporter-endpoint", &collector.url()]);
    command.args([
        "--otlp-grpc-endpoint",
        &format!("127.0.0.1:{grpc}"),
        "--otlp-http-endpoint",
        &format!("127.0.0.1:{http}"),
    ]);
    command.args([
        "--pid-file",
        &folder.join("pid").display().to_string(),
        "--log-file",
        &folder.join("log").display().to_string(),
    ]);
    let process = Background::start(command, folder.join("output"));
    for port in [grpc, http] {
        crate::support::wait_for_port(&format!("127.0.0.1:{port}"), WAIT);
    }
    Some((process, grpc, http))
}

#[test]
fn real_collector_takes_spans_by_both_protocols() {
    let collector = Collector::start();
    let folder = tempfile::tempdir().expect("a folder");
    let Some((_process, grpc, http)) = rotel(&collector, folder.path()) else { return };
    for driver in DRIVERS {
        for (protocol, port) in [("grpc", grpc), ("http/protobuf", http)] {
            let table = format!(
                "[tracing]\nbackend = \"otlp\"\n[tracing.otlp]\nendpoint = \"127.0.0.1:{port}\"\ninsecure = true\nprotocol = \"{protocol}\""
            );
            let (proxy, _origin) = start(driver, &table);
            let path = format!("/{driver}/{port}");
            get(&proxy, "plain.test", &path, &[]);
            let spans = collector.trace(&path, 3);
            assert_eq!(named(&spans, "forward plain/one").parent, named(&spans, "frontend plain").id);
            assert_eq!(exceeded(&proxy, "trace_export_attempts"), 0, "{}", proxy.log());
        }
    }
}

#[test]
fn variables_of_the_environment_name_the_collector() {
    let collector = Collector::start();
    let origin = crate::support::origin::Origin::start();
    let setup = Setup::new(DRIVERS[1], crate::CONFIG)
        .fill("@tracing@", "[tracing]\nbackend = \"otlp\"")
        .fill("@origin@", origin.address);
    let setup = setup.fill("@away@", free_port()).env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url());
    let proxy = setup.env("OTEL_EXPORTER_OTLP_HEADERS", "api-key=from%20env").start();
    get(&proxy, "plain.test", "/env", &[]);
    collector.trace("/env", 3);
    let keys =
        collector.got().iter().filter_map(|got| crate::collector::field(&got.head, "api-key")).collect::<Vec<_>>();
    assert!(!keys.is_empty() && keys.iter().all(|key| key == "from env"), "{keys:?}");
}
