//! Prometheus of Debian scrapes the program in both formats.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::proxy::{Proxy, start, use_everything};
use crate::support::ringway::DRIVERS;
use crate::support::{Background, free_port, installed, run, tool_or_skip, wait_for};

/// A Prometheus that scrapes the proxy each second.
struct Prometheus {
    _process: Background,
    _folder: tempfile::TempDir,
    port: u16,
}

impl Prometheus {
    fn start(proxy: &Proxy, arguments: &[&str]) -> Prometheus {
        let (folder, port) = (tempfile::tempdir().expect("a folder"), free_port());
        let (path, api) = (folder.path(), proxy.ringway.api);
        let config = format!(
            "global: {{scrape_interval: 1s}}\nscrape_configs: [{{job_name: ringway, static_configs: [{{targets: ['127.0.0.1:{api}']}}]}}]\n"
        );
        std::fs::write(path.join("config.yml"), config).expect("the configuration");
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", path.join("config.yml").display()));
        command.arg(format!("--storage.tsdb.path={}", path.join("data").display()));
        command.arg(format!("--web.listen-address=127.0.0.1:{port}")).args(arguments);
        Prometheus { _process: Background::start(command, path.join("log")), _folder: folder, port }
    }

    /// The result of a query; null without any.
    fn query(&self, expression: &str) -> Result<Value, String> {
        let url = format!("http://127.0.0.1:{}/api/v1/query", self.port);
        let query = format!("query={expression}");
        let output = run("curl", &["-s", "--max-time", "5", "--data-urlencode", &query, &url]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let json: Value = serde_json::from_str(&text).map_err(|e| format!("{e}: {text}"))?;
        assert_eq!(json["status"], "success", "{expression}: {text}");
        Ok(json["data"]["result"].clone())
    }

    /// Waits until a query has a result that satisfies the condition.
    fn await_value(&self, expression: &str, is_good: impl Fn(f64) -> bool) {
        wait_for(expression, Duration::from_secs(30), || {
            let result = self.query(expression)?;
            let value = result[0]["value"][1].as_str().and_then(|value| value.parse().ok());
            if value.is_some_and(&is_good) { Ok(()) } else { Err(result.to_string()) }
        });
    }
}

#[test]
fn prometheus_reads_native_histograms_from_the_protobuf_page() {
    if !tool_or_skip("prometheus", installed("prometheus")) {
        return;
    }
    for driver in DRIVERS {
        let proxy = start(driver, "[metrics.prometheus]");
        for _ in 0..3 {
            let slow = proxy.ringway.curl(&["-o", "/dev/null", "-w", "%{http_code}", &proxy.ringway.url("/slow")]);
            assert_eq!(slow, "200");
        }
        let prometheus = Prometheus::start(&proxy, &["--enable-feature=native-histograms"]);
        let slow = "traefik_entrypoint_request_duration_seconds{entrypoint=\"http\",code=\"200\",method=\"GET\"}";
        // Requests of one second and the one of the start: the median of all lies in a bucket of 9 % width around a second.
        prometheus.await_value(&format!("histogram_count({slow})"), |count| count >= 4.0);
        prometheus.await_value(&format!("histogram_quantile(0.6, {slow})"), |secs| (0.95..8.0).contains(&secs));
        prometheus.await_value("histogram_count(ringway_backend_first_byte_duration_seconds)", |count| count >= 4.0);
        prometheus
            .await_value("sum(ringway_frontend_bytes_total{frontend=\"real\",direction=\"out\"})", |bytes| bytes > 0.0);
        prometheus.await_value("up{job=\"ringway\"}", |up| up == 1.0);
    }
}

#[test]
fn expressions_of_the_board_have_values_in_prometheus() {
    if !tool_or_skip("prometheus", installed("prometheus")) {
        return;
    }
    let proxy = start("epoll", "[metrics.prometheus]");
    use_everything(&proxy);
    let prometheus = Prometheus::start(&proxy, &[]);
    let text =
        std::fs::read_to_string(crate::support::project().join("contrib/grafana/ringway.json")).expect("the board");
    let board: Value = serde_json::from_str(&text).expect("JSON");
    let targets =
        board["panels"].as_array().into_iter().flatten().filter_map(|panel| panel["targets"].as_array()).flatten();
    let mut checked = 0;
    for target in targets {
        let expression = target["expr"].as_str().expect("an expression");
        let expression =
            expression.replace("$__rate_interval", "20s").replace("$instance", ".*").replace("$backend", ".*");
        // Limits that were not exceeded are no series, and no request has failed.
        let may_be_empty =
            ["ringway_bounds_exceeded_total", "code=~\"5..\""].iter().any(|part| expression.contains(part));
        wait_for(&expression, Duration::from_secs(30), || {
            let result = prometheus.query(&expression)?;
            let is_empty = result.as_array().is_none_or(Vec::is_empty);
            if may_be_empty || !is_empty { Ok(()) } else { Err("no value".to_owned()) }
        });
        checked += 1;
    }
    assert!(checked > 30, "{checked}");
}

#[test]
fn promtool_finds_no_fault_in_the_text_page() {
    if !tool_or_skip("promtool", installed("promtool")) {
        return;
    }
    let proxy = start("epoll", "[metrics.prometheus]");
    use_everything(&proxy);
    let page = proxy.ringway.page("/metrics");
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool");
    child.stdin.take().expect("a pipe").write_all(page.as_bytes()).expect("written");
    let output = child.wait_with_output().expect("its output");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    // The names of Traefik are as they are; promtool has an opinion on one kind of them.
    let faults: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(faults, Vec::<&str>::new());
}
