//! Compares Ringway with nginx and HAProxy on one machine, in one run.
//!
//!     bench --ringway FILE --origin FILE [--scenarios plain,tls,k64,m1] [--proxies LIST] [--rounds N] [--secs S]
//!
//! Every proxy is started once, on core 0; wrk and the origin are on core 1. Each scenario runs on all proxies in turn, round
//! after round, forwards and backwards, so that the drift of a noisy machine hits all alike. The figure is the CPU time that
//! the proxy's process tree used per request (user and system, from `/proc`; io_uring's kernel workers are threads of the
//! process and counted), and its ratio to a peer is the median of the ratios of the same round. Read ratios, not
//! microseconds. `scripts/bench.sh` installs what is needed and calls this.

use std::fmt::Write as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

const PROXY_CORE: &str = "0";
const LOAD_CORE: &str = "1";
const ORIGIN_PORT: u16 = 20999;
const FIRST_PORT: u16 = 21100;
const START_SECS_MAX: u64 = 15;
const STOP_MILLIS_MAX: u64 = 3000;
/// Hosts in each proxy's table beside the catch-all: an empty table would not be realistic.
const HOSTS: usize = 1000;
/// Length of a tick in `/proc/PID/stat`; the kernel's user-visible tick rate is 100 per second on every supported architecture.
const TICK_SECS: f64 = 0.01;

const SCENARIOS: [Scenario; 8] = [
    Scenario { name: "plain", scheme: "http", path: "/bytes/128", connections: 64, close: false },
    Scenario { name: "plain8", scheme: "http", path: "/bytes/128", connections: 8, close: false },
    Scenario { name: "tls", scheme: "https", path: "/bytes/128", connections: 64, close: false },
    Scenario { name: "k64", scheme: "http", path: "/bytes/65536", connections: 32, close: false },
    Scenario { name: "m1", scheme: "http", path: "/bytes/1048576", connections: 16, close: false },
    Scenario { name: "tlsm1", scheme: "https", path: "/bytes/1048576", connections: 16, close: false },
    Scenario { name: "close", scheme: "http", path: "/bytes/128", connections: 32, close: true },
    Scenario { name: "handshake", scheme: "https", path: "/bytes/128", connections: 16, close: true },
];

struct Scenario {
    name: &'static str,
    scheme: &'static str,
    path: &'static str,
    connections: u16,
    close: bool,
}

fn main() -> ExitCode {
    match Options::parse(env::args().skip(1)).and_then(|options| bench(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("bench: {problem}");
            ExitCode::FAILURE
        }
    }
}

struct Options {
    ringway: PathBuf,
    origin: PathBuf,
    scenarios: Vec<String>,
    proxies: Vec<String>,
    rounds: usize,
    secs: u64,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let list = |text: &str| text.split(',').map(str::to_owned).collect::<Vec<_>>();
        let mut options = Options {
            ringway: PathBuf::from("target/release/ringway"),
            origin: PathBuf::new(),
            scenarios: list("plain,tls,k64,m1"),
            proxies: list("ringway,ringway-epoll,nginx,haproxy"),
            rounds: 5,
            secs: 2,
        };
        while let Some(flag) = arguments.next() {
            let value = arguments.next().ok_or_else(|| format!("{flag} needs a value"))?;
            let number = || value.parse::<u64>().map_err(|_| format!("{flag} needs a number, not {value}"));
            match flag.as_str() {
                "--ringway" => options.ringway = PathBuf::from(&value),
                "--origin" => options.origin = PathBuf::from(&value),
                "--scenarios" => options.scenarios = list(&value),
                "--proxies" => options.proxies = list(&value),
                "--rounds" => options.rounds = number()?.max(1) as usize,
                "--secs" => options.secs = number()?.max(1),
                _ => return Err(format!("unknown flag {flag}")),
            }
        }
        Ok(options)
    }
}

fn bench(options: &Options) -> Result<(), String> {
    let work = env::temp_dir().join(format!("ringway-bench-{}", std::process::id()));
    fs::create_dir_all(&work).map_err(|error| format!("{}: {error}", work.display()))?;
    let result = run_all(options, &work);
    let _ = fs::remove_dir_all(&work);
    result
}

fn run_all(options: &Options, work: &Path) -> Result<(), String> {
    let certificate = Certificate::create(work)?;
    let mut origin = Command::new(&options.origin);
    origin.args(["--port", &ORIGIN_PORT.to_string()]);
    let _origin = Pinned::start("origin", origin, LOAD_CORE, work, &[ORIGIN_PORT])?;

    let mut proxies = Vec::new();
    for (index, name) in options.proxies.iter().enumerate() {
        let ports = Ports { http: FIRST_PORT + 2 * index as u16, tls: FIRST_PORT + 2 * index as u16 + 1 };
        let command = proxy_command(name, options, work, &certificate, &ports)?;
        let process = Pinned::start(name, command, PROXY_CORE, work, &[ports.http, ports.tls])?;
        proxies.push(Proxy { name: name.clone(), ports, process });
    }
    let mut failed = false;
    for name in &options.scenarios {
        let scenario = SCENARIOS.iter().find(|scenario| scenario.name == name);
        let scenario = scenario.ok_or_else(|| format!("no scenario is called {name}"))?;
        let rows = measure(scenario, &proxies, options)?;
        print!("{}", table(scenario, &proxies, &rows));
        failed |= rows.iter().flatten().any(|round| round.errors > 0);
    }
    if failed { Err("some requests failed, see the column of errors".to_owned()) } else { Ok(()) }
}

/// Measures all rounds; returns the rounds of each proxy, in order.
fn measure(scenario: &Scenario, proxies: &[Proxy], options: &Options) -> Result<Vec<Vec<Round>>, String> {
    let mut rows: Vec<Vec<Round>> = proxies.iter().map(|_| Vec::new()).collect();
    for proxy in proxies {
        load(scenario, proxy, 1)?;
    }
    for round in 0..options.rounds {
        let mut order: Vec<usize> = (0..proxies.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for index in order {
            rows[index].push(load(scenario, &proxies[index], options.secs)?);
        }
    }
    Ok(rows)
}

struct Round {
    cpu_micros: f64,
    per_second: f64,
    p50_millis: f64,
    p99_millis: f64,
    errors: u64,
}

fn load(scenario: &Scenario, proxy: &Proxy, secs: u64) -> Result<Round, String> {
    let (port, host) = match scenario.scheme {
        "https" => (proxy.ports.tls, "localhost"), // a name, so that SNI is sent
        _ => (proxy.ports.http, "127.0.0.1"),
    };
    let mut wrk = Command::new("taskset");
    wrk.args(["-c", LOAD_CORE, "wrk", "-t1", "--latency"]);
    wrk.args([format!("-c{}", scenario.connections), format!("-d{secs}s")]);
    if scenario.close {
        wrk.args(["-H", "Connection: close"]);
    }
    wrk.arg(format!("{}://{host}:{port}{}", scenario.scheme, scenario.path));
    let before = cpu_secs(proxy.process.child.id());
    let output = wrk.output().map_err(|error| format!("wrk: {error}"))?;
    let used = cpu_secs(proxy.process.child.id()) - before;
    let text = String::from_utf8_lossy(&output.stdout);
    let requests: f64 = word_before(&text, "requests in").and_then(|word| word.parse().ok()).unwrap_or(0.0);
    if requests == 0.0 {
        let errors = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{} answered nothing in {}: {text}{errors}", proxy.name, scenario.name));
    }
    // The percentiles are in a separate part: "50%" may also end a figure of the statistics above it.
    let percentiles = text.find("Latency Distribution").map_or("", |start| &text[start..]);
    let after = |mark: &str| percentiles.split_once(mark).and_then(|(_, rest)| rest.split_whitespace().next());
    Ok(Round {
        cpu_micros: used * 1e6 / requests,
        per_second: after("Requests/sec:").and_then(|word| word.parse().ok()).unwrap_or(0.0),
        p50_millis: after("50%").map_or(f64::NAN, millis),
        p99_millis: after("99%").map_or(f64::NAN, millis),
        errors: wrk_errors(&text, scenario.close),
    })
}

/// wrk's counts of failed requests. With `Connection: close` wrk counts the end of every connection as a read error, so that
/// this count is ignored there.
fn wrk_errors(text: &str, close: bool) -> u64 {
    let numbers = |line: &str| -> Vec<u64> {
        line.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect()
    };
    let mut total = 0;
    for line in text.lines() {
        if let Some((_, counts)) = line.split_once("Socket errors:") {
            let counts = numbers(counts);
            let read = if close { counts.get(1).copied().unwrap_or(0) } else { 0 };
            total += counts.iter().sum::<u64>() - read;
        } else if let Some((_, count)) = line.split_once("Non-2xx or 3xx responses:") {
            total += numbers(count).iter().sum::<u64>();
        }
    }
    total
}

fn word_before<'a>(text: &'a str, mark: &str) -> Option<&'a str> {
    text.split_once(mark).and_then(|(before, _)| before.split_whitespace().last())
}

fn millis(text: &str) -> f64 {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match &text[digits.len()..] {
        "us" => 1e-3,
        "ms" => 1.0,
        "s" => 1e3,
        _ => f64::NAN,
    };
    digits.parse::<f64>().map_or(f64::NAN, |number| number * factor)
}

/// Returns a Markdown table, one line per proxy; a ratio below 1 means less CPU than that peer.
fn table(scenario: &Scenario, proxies: &[Proxy], rows: &[Vec<Round>]) -> String {
    let peers: Vec<usize> = (0..proxies.len()).filter(|&index| !proxies[index].name.starts_with("ringway")).collect();
    let mut text = format!("\n### {} ({}, {} connections)\n\n", scenario.name, scenario.path, scenario.connections);
    text.push_str("| proxy | CPU us/request |");
    for &peer in &peers {
        let _ = write!(text, " / {} |", proxies[peer].name);
    }
    let _ = writeln!(
        text,
        " requests/s | p50 ms | p99 ms | errors |\n|---|---|{}---|---|---|---|",
        "---|".repeat(peers.len())
    );
    for (proxy, rounds) in proxies.iter().zip(rows) {
        let _ = write!(text, "| {} | {:.1} |", proxy.name, median(rounds.iter().map(|round| round.cpu_micros)));
        for &peer in &peers {
            let pairs = rounds.iter().zip(&rows[peer]);
            let _ = write!(text, " {:.2} |", median(pairs.map(|(own, other)| own.cpu_micros / other.cpu_micros)));
        }
        let per_second = median(rounds.iter().map(|round| round.per_second));
        let p50 = median(rounds.iter().map(|round| round.p50_millis));
        let p99 = median(rounds.iter().map(|round| round.p99_millis));
        let errors: u64 = rounds.iter().map(|round| round.errors).sum();
        let _ = writeln!(text, " {per_second:.0} | {p50:.2} | {p99:.2} | {errors} |");
    }
    text
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => values[length / 2],
        length => (values[length / 2 - 1] + values[length / 2]) / 2.0,
    }
}

struct Ports {
    http: u16,
    tls: u16,
}

struct Proxy {
    name: String,
    ports: Ports,
    process: Pinned,
}

/// A process on one core, killed with its children when dropped.
struct Pinned {
    child: Child,
}

impl Pinned {
    fn start(name: &str, command: Command, core: &str, work: &Path, ports: &[u16]) -> Result<Self, String> {
        for port in ports {
            if TcpStream::connect(("127.0.0.1", *port)).is_ok() {
                return Err(format!("port {port}, meant for {name}, is in use"));
            }
        }
        let log = work.join(format!("{name}.log"));
        let file = fs::File::create(&log).map_err(|error| format!("{}: {error}", log.display()))?;
        let errors = file.try_clone().map_err(|error| error.to_string())?;
        let mut pinned = Command::new("taskset");
        pinned.args(["-c", core]).arg(command.get_program()).args(command.get_args());
        let child = pinned.stdin(Stdio::null()).stdout(file).stderr(errors).spawn();
        let process = Pinned { child: child.map_err(|error| format!("taskset: {error}"))? };
        let end = Instant::now() + Duration::from_secs(START_SECS_MAX);
        for port in ports {
            while TcpStream::connect(("127.0.0.1", *port)).is_err() {
                if Instant::now() > end {
                    let text = fs::read_to_string(&log).unwrap_or_default();
                    return Err(format!("{name} does not listen on port {port}: {text}"));
                }
                thread::sleep(Duration::from_millis(50));
            }
        }
        Ok(process)
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let end = Instant::now() + Duration::from_millis(STOP_MILLIS_MAX);
        while Instant::now() < end {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// User and system time of a process and its descendants.
fn cpu_secs(pid: u32) -> f64 {
    let mut ticks = 0u64;
    if let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) {
        // The second field is the name in parentheses and may hold spaces; the times are fields 14 and 15.
        let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        ticks += fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum::<u64>();
    }
    let mut total = ticks as f64 * TICK_SECS;
    for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        total += children.split_whitespace().filter_map(|child| child.parse().ok()).map(cpu_secs).sum::<f64>();
    }
    total
}

struct Certificate {
    chain: String,
    key: String,
    /// Certificate and key in one file, as HAProxy requires.
    both: String,
}

impl Certificate {
    fn create(work: &Path) -> Result<Self, String> {
        let path = |name: &str| work.join(name).to_string_lossy().into_owned();
        let files = Certificate { chain: path("cert.pem"), key: path("key.pem"), both: path("both.pem") };
        let output = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"])
            .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
            .args(["-keyout", &files.key, "-out", &files.chain])
            .output()
            .map_err(|error| format!("openssl: {error}"))?;
        if !output.status.success() {
            return Err(format!("openssl: {}", String::from_utf8_lossy(&output.stderr)));
        }
        let read = |file: &str| fs::read_to_string(file).map_err(|error| format!("{file}: {error}"));
        write(Path::new(&files.both), &format!("{}{}", read(&files.chain)?, read(&files.key)?))?;
        Ok(files)
    }
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

fn proxy_command(
    name: &str,
    options: &Options,
    work: &Path,
    certificate: &Certificate,
    ports: &Ports,
) -> Result<Command, String> {
    let folder = work.join(name);
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let file = |end: &str| folder.join(end).to_string_lossy().into_owned();
    match name {
        "ringway" | "ringway-epoll" => {
            let config = file("traefik.toml");
            write(Path::new(&config), &ringway_config(certificate, ports))?;
            let driver = if name == "ringway" { "io_uring" } else { "epoll" };
            let mut command = Command::new(&options.ringway);
            command.args([format!("--configFile={config}"), format!("--driver={driver}")]);
            Ok(command)
        }
        "nginx" => {
            let config = file("nginx.conf");
            write(Path::new(&config), &nginx_config(certificate, ports, &folder.to_string_lossy()))?;
            let mut command = Command::new("nginx");
            command.args(["-c", &config, "-p"]).arg(&folder);
            Ok(command)
        }
        "haproxy" | "haproxy-splice" => {
            let (config, map) = (file("haproxy.cfg"), file("hosts.map"));
            let hosts: String = (0..HOSTS).map(|host| format!("h{host}.bench.test be{}\n", host % 4)).collect();
            write(Path::new(&map), &hosts)?;
            write(Path::new(&config), &haproxy_config(certificate, ports, &map, name == "haproxy-splice"))?;
            let mut command = Command::new("haproxy");
            command.args(["-db", "-q", "-f", &config]);
            Ok(command)
        }
        _ => Err(format!("no proxy is called {name}")),
    }
}

/// A configuration in Traefik 1.7's format: a catch-all and the hosts, in one file.
fn ringway_config(certificate: &Certificate, ports: &Ports) -> String {
    let mut text = format!(
        r#"logLevel = "ERROR"
defaultEntryPoints = ["http", "https"]
maxIdleConnsPerHost = 512
[entryPoints.http]
address = "127.0.0.1:{}"
[entryPoints.https]
address = "127.0.0.1:{}"
[entryPoints.https.tls]
[[entryPoints.https.tls.certificates]]
certFile = "{}"
keyFile = "{}"
[file]
[backends.o.servers.s]
url = "http://127.0.0.1:{ORIGIN_PORT}"
[frontends.all]
backend = "o"
passHostHeader = true
[frontends.all.routes.r]
rule = "PathPrefix:/"
"#,
        ports.http, ports.tls, certificate.chain, certificate.key
    );
    for host in 0..HOSTS {
        let _ = write!(text, "[frontends.h{host}]\nbackend = \"o\"\npassHostHeader = true\n");
        let _ = write!(text, "[frontends.h{host}.routes.r]\nrule = \"Host:h{host}.bench.test\"\n");
    }
    text
}

/// A configuration with the same forwarding headers as Ringway's, and as many hosts.
fn nginx_config(certificate: &Certificate, ports: &Ports, folder: &str) -> String {
    let (http, tls) = (ports.http, ports.tls);
    let (chain, key) = (&certificate.chain, &certificate.key);
    let hosts: String = (0..HOSTS)
        .map(|host| {
            format!("server {{ listen 127.0.0.1:{http}; server_name h{host}.bench.test; location / {{ proxy_pass http://o; }} }}\n")
        })
        .collect();
    format!(
        "daemon off; master_process off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log crit;
worker_rlimit_nofile 20000;
events {{ worker_connections 18000; }}
http {{
  access_log off; tcp_nodelay on; server_names_hash_bucket_size 128; server_names_hash_max_size 8192;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  keepalive_requests 100000000; keepalive_timeout 300s; client_max_body_size 0; proxy_request_buffering off;
  ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate {chain}; ssl_certificate_key {key}; ssl_session_cache off;
  upstream o {{ server 127.0.0.1:{ORIGIN_PORT}; keepalive 512; keepalive_requests 100000000; }}
  proxy_http_version 1.1; proxy_max_temp_file_size 0;
  proxy_set_header Connection \"\"; proxy_set_header Host $host; proxy_set_header X-Real-Ip $remote_addr;
  proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto $scheme;
  proxy_set_header X-Forwarded-Host $host; proxy_set_header X-Forwarded-Port $server_port;
  proxy_set_header X-Forwarded-Server bench;
  server {{
    listen 127.0.0.1:{http} default_server backlog=4096; listen 127.0.0.1:{tls} ssl default_server backlog=4096;
    location / {{ proxy_pass http://o; }}
  }}
{hosts}}}
"
    )
}

fn haproxy_config(certificate: &Certificate, ports: &Ports, map: &str, splice: bool) -> String {
    let (pipes, splicing) = match splice {
        true => ("maxpipes 200", "option splice-response\n  option splice-request"),
        false => ("", ""),
    };
    let backends: String = (0..4).map(|be| format!("backend be{be}\n  server s 127.0.0.1:{ORIGIN_PORT}\n")).collect();
    format!(
        "global
  nbthread 1
  maxconn 9000
  tune.ssl.cachesize 0
  {pipes}
defaults
  mode http
  timeout client 300s
  timeout server 300s
  timeout connect 5s
  timeout http-keep-alive 300s
  http-reuse always
  {splicing}
frontend f
  bind 127.0.0.1:{} backlog 4096
  bind 127.0.0.1:{} ssl crt {} alpn http/1.1 ssl-min-ver TLSv1.2 no-tls-tickets backlog 4096
  option forwardfor
  http-request set-header X-Forwarded-Proto %[ssl_fc,iif(https,http)]
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-request set-header X-Forwarded-Port %[dst_port]
  http-request set-header X-Forwarded-Server bench
  http-request set-header X-Real-Ip %[src]
  use_backend %[req.hdr(host),lower,map_str({map},be0)]
{backends}",
        ports.http, ports.tls, certificate.both
    )
}
