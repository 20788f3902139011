//! Pushes to the StatsD server of npm, to InfluxDB of Debian over UDP and HTTP, and to a receiver of DogStatsD with a parser.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::proxy::{Proxy, start};
use crate::support::ringway::DRIVERS;
use crate::support::{Background, free_port, installed, run, tool_or_skip, wait_for, wait_for_port};

const LIMIT: Duration = Duration::from_secs(40);

/// Where `scripts/http2-tools.sh` installs, which has the same default.
fn statsd_program() -> PathBuf {
    let cache = || std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache");
    let folder = std::env::var_os("RINGWAY_TOOLS")
        .map_or_else(|| cache().unwrap_or_else(home).join("ringway-tools"), PathBuf::from);
    folder.join("node/node_modules/statsd/stats.js")
}

fn requests(proxy: &Proxy, count: usize) {
    for _ in 0..count {
        let got = proxy.ringway.curl(&["-o", "/dev/null", "-w", "%{http_code}", &proxy.ringway.url("/slow")]);
        assert_eq!(got, "200");
    }
}

/// The answer of StatsD's management port to a command. StatsD takes what it reads at a time for one command, and ends the answer with END.
fn ask(port: u16, command: &str) -> Result<String, String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).map_err(|e| e.to_string())?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a time limit");
    stream.write_all(format!("{command}\n").as_bytes()).map_err(|e| e.to_string())?;
    let (mut text, mut buffer) = (String::new(), [0; 4096]);
    while !text.ends_with("END\n\n") {
        match stream.read(&mut buffer).map_err(|e| e.to_string())? {
            0 => return Err(format!("cut: {text}")),
            count => text.push_str(&String::from_utf8_lossy(&buffer[..count])),
        }
    }
    Ok(text)
}

#[test]
fn statsd_server_counts_what_the_proxy_pushes() {
    if !tool_or_skip("the StatsD server of scripts/http2-tools.sh", statsd_program().is_file() && installed("node")) {
        return;
    }
    let (folder, port, management) = (tempfile::tempdir().expect("a folder"), free_port(), free_port());
    let config = format!(
        "{{ address: '127.0.0.1', port: {port}, mgmt_address: '127.0.0.1', mgmt_port: {management}, flushInterval: 600000, \
         backends: ['./backends/console'] }}\n"
    );
    std::fs::write(folder.path().join("config.js"), config).expect("the configuration");
    let mut command = Command::new("node");
    command.arg(statsd_program()).arg(folder.path().join("config.js"));
    let server = Background::start(command, folder.path().join("log"));
    wait_for_port(&format!("127.0.0.1:{management}"), LIMIT);
    let tables = format!("[metrics.statsd]\naddress = \"127.0.0.1:{port}\"\npushInterval = \"500ms\"");
    let proxy = start(DRIVERS[0], &tables);
    requests(&proxy, 2);
    wait_for("the counters of two slow requests", LIMIT, || {
        let (counters, timers) = (ask(management, "counters")?, ask(management, "timers")?);
        let gauges = ask(management, "gauges")?;
        let all = format!("{counters}{timers}{gauges}{}", server.log_text());
        let timed =
            timers.split("'traefik.entrypoint.request.duration': [").nth(1).and_then(|rest| rest.split(']').next());
        let slow = timed.unwrap_or_default().split(',').filter_map(|text| text.trim().parse::<f64>().ok());
        let slow = slow.filter(|secs| (0.9..8.0).contains(secs)).count();
        let has = |text: &str| all.contains(text);
        let is_complete = slow >= 2
            && has("'traefik.entrypoint.request.total': ")
            && has("'traefik.backend.request.total': ")
            && has("'traefik.config.reload.total': ")
            && has("'traefik.entrypoint.connections.open': 0")
            && has("'traefik.backend.server.up': 0");
        if is_complete { Ok(()) } else { Err(all) }
    });
    assert!(!ask(management, "counters").expect("counters").contains("bad_lines_seen': 1"), "StatsD refused lines");
}

/// A line of DogStatsD: name, value, type, sample rate and tags.
fn parse(line: &str) -> (String, f64, String, BTreeMap<String, String>) {
    let (name, rest) = line.split_once(':').unwrap_or_else(|| panic!("no value: {line}"));
    let mut parts = rest.split('|');
    let value = parts.next().and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no number: {line}"));
    let kind = parts.next().filter(|kind| ["c", "g", "h"].contains(kind)).unwrap_or_else(|| panic!("no type: {line}"));
    let mut tags = BTreeMap::new();
    for part in parts {
        match (part.strip_prefix('#'), part.strip_prefix('@')) {
            (Some(list), _) => tags.extend(list.split(',').map(|tag| {
                let (name, value) = tag.split_once(':').unwrap_or_else(|| panic!("no tag: {line}"));
                (name.to_owned(), value.to_owned())
            })),
            (None, Some(rate)) => assert!(rate.parse::<f64>().is_ok_and(|rate| rate > 0.0 && rate <= 1.0), "{line}"),
            _ => panic!("neither tags nor a rate: {line}"),
        }
    }
    (name.to_owned(), value, kind.to_owned(), tags)
}

#[test]
fn datadog_agent_gets_tags_of_traefik() {
    let agent = UdpSocket::bind("127.0.0.1:0").expect("a port");
    agent.set_read_timeout(Some(Duration::from_millis(500))).expect("a time limit");
    let address = agent.local_addr().expect("an address");
    let proxy = start("epoll", &format!("[metrics.datadog]\naddress = \"{address}\"\npushInterval = \"300ms\""));
    requests(&proxy, 1);
    let (mut counted, mut durations, mut is_down, mut open) = (0.0, Vec::new(), false, false);
    let end = Instant::now() + LIMIT;
    let mut buffer = [0; 65_536];
    while Instant::now() < end && !(counted >= 2.0 && durations.iter().any(|secs| *secs > 0.9) && is_down && open) {
        let Ok(length) = agent.recv(&mut buffer) else { continue };
        assert!(length <= 1432, "a datagram of {length} bytes");
        for line in std::str::from_utf8(&buffer[..length]).expect("text").lines() {
            let (name, value, kind, tags) = parse(line);
            assert!(name.starts_with("traefik."), "{line}");
            let tag = |name: &str| tags.get(name).map(String::as_str);
            match (name.as_str(), kind.as_str()) {
                ("traefik.entrypoint.request.total", "c") if tag("entrypoint") == Some("http") => {
                    assert_eq!((tag("method"), tag("protocol")), (Some("GET"), Some("http")), "{line}");
                    counted += value;
                }
                ("traefik.backend.request.duration", "h") if tag("backend") == Some("real") => durations.push(value),
                ("traefik.backend.server.up", "g") if tag("backend") == Some("down") => is_down |= value == 0.0,
                ("traefik.entrypoint.connections.open", "g") => open |= tag("entrypoint").is_some(),
                _ => {}
            }
        }
    }
    assert!(counted >= 2.0 && is_down && open, "{counted} requests, down: {is_down}, open: {open}");
    assert!(durations.iter().any(|secs| (0.9..8.0).contains(secs)), "{durations:?}");
}

/// InfluxDB of Debian, which takes writes over HTTP, and over UDP into the database `udp`.
struct InfluxDb {
    _process: Background,
    _folder: tempfile::TempDir,
    http: u16,
    udp: u16,
}

impl InfluxDb {
    fn start() -> InfluxDb {
        let folder = tempfile::tempdir().expect("a folder");
        let (http, udp, rpc, path) = (free_port(), free_port(), free_port(), folder.path().display().to_string());
        let config = format!(
            "bind-address = '127.0.0.1:{rpc}'\nreporting-disabled = true\n[meta]\ndir = '{path}/meta'\n[data]\ndir = '{path}/data'\n\
             wal-dir = '{path}/wal'\n[monitor]\nstore-enabled = false\n[http]\nbind-address = '127.0.0.1:{http}'\n\
             [[udp]]\nenabled = true\nbind-address = '127.0.0.1:{udp}'\ndatabase = 'udp'\nbatch-timeout = '200ms'\n"
        );
        std::fs::write(folder.path().join("influxdb.conf"), config).expect("the configuration");
        let mut command = Command::new("influxd");
        command.arg("-config").arg(folder.path().join("influxdb.conf")).env("HOME", folder.path());
        let process = Background::start(command, folder.path().join("log"));
        wait_for_port(&format!("127.0.0.1:{http}"), LIMIT);
        InfluxDb { _process: process, _folder: folder, http, udp }
    }

    /// The last row of a query: the values by column.
    fn row(&self, database: &str, query: &str) -> Result<BTreeMap<String, Value>, String> {
        let url = format!("http://127.0.0.1:{}/query", self.http);
        let (database, query) = (format!("db={database}"), format!("q={query}"));
        let output = run(
            "curl",
            &["-s", "-G", "--max-time", "5", "--data-urlencode", &database, "--data-urlencode", &query, &url],
        );
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let json: Value = serde_json::from_str(&text).map_err(|e| format!("{e}: {text}"))?;
        let series = &json["results"][0]["series"][0];
        let values = series["values"].as_array().and_then(|rows| rows.last()).and_then(Value::as_array).ok_or(text)?;
        let columns = series["columns"].as_array().into_iter().flatten().filter_map(Value::as_str);
        Ok(columns.map(str::to_owned).zip(values.iter().cloned()).collect())
    }

    /// Waits until the database has the points of the slow requests.
    fn await_points(&self, database: &str) {
        wait_for("points of slow requests", LIMIT, || {
            let total =
                "SELECT sum(count) FROM \"traefik.entrypoint.requests.total\" WHERE entrypoint='http' AND code='200'";
            let count = self.row(database, total)?;
            if count["sum"].as_f64().unwrap_or(0.0) < 2.0 {
                return Err(format!("{count:?}"));
            }
            let slow = "SELECT max(p99) AS slow FROM \"traefik.backend.request.duration\" WHERE backend='real'";
            let slow = self.row(database, slow)?["slow"].as_f64().unwrap_or(0.0);
            if (0.9..8.0).contains(&slow) { Ok(()) } else { Err(format!("p99 is {slow}")) }
        });
        wait_for("the other points", LIMIT, || {
            let down = "SELECT last(value) FROM \"traefik.backend.server.up\" WHERE backend='down'";
            let last = self.row(database, down)?["last"].as_f64();
            let reloads = self.row(database, "SELECT sum(count) FROM \"traefik.config.reload.total\"")?["sum"].as_f64();
            if last == Some(0.0) && reloads >= Some(1.0) { Ok(()) } else { Err(format!("{last:?} {reloads:?}")) }
        });
    }
}

#[test]
fn influxdb_has_the_points_pushed_over_udp() {
    if !tool_or_skip("influxd", installed("influxd")) {
        return;
    }
    let database = InfluxDb::start();
    let tables = format!("[metrics.influxdb]\naddress = \"127.0.0.1:{}\"\npushInterval = \"500ms\"", database.udp);
    let proxy = start("epoll", &tables);
    requests(&proxy, 2);
    database.await_points("udp");
}

#[test]
fn influxdb_over_http_gets_its_database_created() {
    if !tool_or_skip("influxd", installed("influxd")) {
        return;
    }
    let database = InfluxDb::start();
    let tables = format!(
        "[metrics.influxdb]\naddress = \"http://127.0.0.1:{}\"\nprotocol = \"http\"\ndatabase = \"my metrics\"\n\
         retentionPolicy = \"week\"\npushInterval = \"500ms\"",
        database.http
    );
    let proxy = start("io_uring", &tables);
    requests(&proxy, 2);
    database.await_points("my metrics");
    let policies = database.row("my metrics", "SHOW RETENTION POLICIES").expect("policies");
    assert_eq!(policies["name"], "week");
}

#[test]
fn receiver_that_is_away_is_logged_once_with_its_key() {
    let tables = "[metrics.influxdb]\naddress = \"http://me:secret@127.0.0.1:1\"\nprotocol = \"http\"\ndatabase = \"d\"\npushInterval = \"200ms\"";
    let proxy = start("epoll", tables);
    proxy.ringway.await_log("metrics.influxdb: metrics cannot be pushed to http://***@127.0.0.1:1", 1);
    std::thread::sleep(Duration::from_secs(1));
    let log = proxy.ringway.log();
    assert_eq!(log.matches("metrics cannot be pushed").count(), 1, "{log}");
    assert!(!log.contains("secret"), "{log}");
}
