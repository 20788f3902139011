//! The screen of `ringway status`.

use serde_json::Value;

use super::Answers;
use crate::cli::Style;

/// The column at which the text of each part begins.
const COLUMN: usize = 14;
/// Rows of each list: the whole must fit on one screen.
const ROWS_MAX: usize = 5;
/// Certificates that expire within so many days are shown.
const SOON_DAYS: i64 = 21;

struct Screen {
    text: String,
    style: Style,
}

/// The state as text.
pub fn screen(answers: &Answers, style: Style) -> String {
    let mut screen = Screen { text: String::new(), style };
    screen.process(answers);
    screen.traffic(answers);
    screen.connections(&answers.connections);
    screen.entry_points(&answers.history);
    screen.servers(&answers.servers);
    screen.containers(&answers.containers);
    screen.certificates(answers);
    screen.rejected(&answers.rejected);
    screen.errors(answers);
    screen.text
}

/// The elements of a list; empty for any other value.
fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_default()
}

fn number(value: &Value, member: &str) -> f64 {
    value[member].as_f64().unwrap_or_default()
}

/// A number with at most one digit behind the point.
fn short(number: f64) -> String {
    let text = format!("{number:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

fn duration(secs: f64) -> String {
    let secs = secs.max(0.0) as u64;
    match secs {
        0..60 => format!("{secs} s"),
        60..3600 => format!("{} min", secs / 60),
        3600..172_800 => format!("{} h {} min", secs / 3600, secs / 60 % 60),
        _ => format!("{} days", secs / 86_400),
    }
}

impl Screen {
    fn part(&mut self, label: &str, text: &str) {
        let padding = " ".repeat(COLUMN.saturating_sub(label.len()));
        let label = if label.is_empty() { String::new() } else { self.style.heading(label) };
        self.text.push_str(&format!("{label}{padding}{text}\n"));
    }

    /// The rows of a list under one label, and how many more there are.
    fn rows(&mut self, label: &str, rows: &[String], total: usize) {
        for (index, row) in rows.iter().enumerate() {
            self.part(if index == 0 { label } else { "" }, row);
        }
        if total > rows.len() {
            self.part("", &format!("and {} more", total - rows.len()));
        }
    }

    fn process(&mut self, answers: &Answers) {
        let runtime = &answers.runtime;
        let state = if runtime["stopping"].as_bool().unwrap_or_default() {
            self.style.error("stopping")
        } else {
            self.style.good("running")
        };
        let uptime = duration(number(&answers.health, "uptime_sec"));
        self.part(
            "ringway",
            &format!(
                "{} {state} for {uptime}, pid {}, {} ({})",
                text(runtime, "version"),
                answers.health["pid"],
                text(runtime, "driver"),
                text(runtime, "driverReason")
            ),
        );
        self.part("", &answers.url);
    }

    fn traffic(&mut self, answers: &Answers) {
        let recent = &answers.history["total"]["recent"];
        let errors = number(recent, "errorsPerSecond");
        let shown_errors = format!("{} errors/s", short(errors));
        let shown_errors = if errors > 0.0 { self.style.error(&shown_errors) } else { shown_errors };
        let line = format!(
            "{} requests/s, {} refused/s (4xx), {shown_errors} (5xx), {}",
            short(number(recent, "requestsPerSecond")),
            short(number(recent, "clientErrorsPerSecond")),
            percentiles(recent)
        );
        self.part("last minute", &line);
        self.part("since start", &format!("{} requests", answers.health["total_count"]));
    }

    fn connections(&mut self, open: &Value) {
        let line = format!(
            "{} HTTP/1.1, {} HTTP/2 with {} streams, {} WebSockets, {} TCP, {} UDP sessions",
            open["http1"], open["http2"], open["http2Streams"], open["webSockets"], open["tcp"], open["udp"]
        );
        self.part("connections", &line);
    }

    fn entry_points(&mut self, history: &Value) {
        let points = list(&history["entryPoints"]);
        let row = |point: &Value| {
            let recent = &point["recent"];
            format!(
                "{:12} {} requests/s, {} errors/s, {}",
                text(point, "name"),
                short(number(recent, "requestsPerSecond")),
                short(number(recent, "errorsPerSecond")),
                percentiles(recent)
            )
        };
        let rows: Vec<String> = points.iter().take(ROWS_MAX).map(row).collect();
        self.rows("entry points", &rows, points.len());
    }

    fn servers(&mut self, servers: &Value) {
        let all = list(servers);
        let down: Vec<&Value> = all.iter().filter(|server| text(server, "health") == "down").collect();
        let count = |health: &str| all.iter().filter(|server| text(server, "health") == health).count();
        let summary =
            format!("{} up, {} down, {} without a health check", count("up"), count("down"), count("unknown"));
        self.part("servers", &if down.is_empty() { summary } else { self.style.error(&summary) });
        let row = |server: &&Value| {
            format!(
                "down: {} of backend {} ({})",
                text(server, "url"),
                text(server, "backend"),
                text(server, "provider")
            )
        };
        let rows: Vec<String> = down.iter().take(ROWS_MAX).map(row).collect();
        self.rows("", &rows, down.len());
    }

    fn containers(&mut self, containers: &Value) {
        let all = list(containers);
        if all.is_empty() {
            return;
        }
        let count = |state: &str| all.iter().filter(|container| text(container, "state") == state).count();
        let summary = ["routed", "partial", "pending", "unused", "failed"]
            .map(|state| format!("{} {state}", count(state)))
            .join(", ");
        self.part("containers", &summary);
        let failed: Vec<&Value> =
            all.iter().filter(|container| ["failed", "partial"].contains(&text(container, "state"))).collect();
        let row = |container: &&Value| format!("{}: {}", text(container, "name"), text(container, "reason"));
        let rows: Vec<String> = failed.iter().take(ROWS_MAX).map(row).collect();
        self.rows("", &rows, failed.len());
    }

    fn certificates(&mut self, answers: &Answers) {
        let all = list(&answers.certificates);
        if all.is_empty() {
            return;
        }
        let days = |certificate: &Value| {
            certificate["notAfterSecs"].as_i64().map(|end| (end - answers.now_secs).div_euclid(86_400))
        };
        let needs_care = |certificate: &&Value| {
            !text(certificate, "lastError").is_empty() || days(certificate).is_none_or(|days| days < SOON_DAYS)
        };
        let cared: Vec<&Value> = all.iter().filter(needs_care).collect();
        let first = all
            .iter()
            .filter_map(days)
            .min()
            .map(|days| format!(", the first one ends in {days} days"))
            .unwrap_or_default();
        self.part("certificates", &format!("{}{first}", all.len()));
        let row = |certificate: &&Value| {
            let names: Vec<&str> = list(&certificate["names"]).iter().filter_map(Value::as_str).collect();
            let left = match days(certificate) {
                None => "not there yet".to_owned(),
                Some(days) if days < 0 => "expired".to_owned(),
                Some(days) => format!("{days} days left"),
            };
            let error = text(certificate, "lastError");
            let error = if error.is_empty() { String::new() } else { format!(": {error}") };
            format!("{}: {left}, next: {}{error}", names.join(", "), text(certificate, "nextStep"))
        };
        let rows: Vec<String> = cared.iter().take(ROWS_MAX).map(row).collect();
        self.rows("", &rows, cared.len());
    }

    fn rejected(&mut self, rejected: &Value) {
        let all = list(rejected);
        if all.is_empty() {
            return;
        }
        let row = |rejected: &Value| {
            format!("{} ({}): {}", text(rejected, "name"), text(rejected, "provider"), text(rejected, "reason"))
        };
        let rows: Vec<String> = all.iter().take(ROWS_MAX).map(row).collect();
        self.rows("not applied", &rows, all.len());
    }

    fn errors(&mut self, answers: &Answers) {
        let all = list(&answers.errors["errors"]);
        let row = |error: &Value| {
            let ago = duration(answers.now_secs as f64 - number(error, "timeSecs"));
            format!(
                "{} ago: {} {} {}{}: {}",
                ago,
                error["status"],
                text(error, "method"),
                text(error, "host"),
                text(error, "path"),
                text(error, "cause")
            )
        };
        let rows: Vec<String> = all.iter().take(ROWS_MAX).map(row).collect();
        self.rows("last errors", &rows, all.len());
    }
}

fn percentiles(recent: &Value) -> String {
    let millis =
        |member: &str| recent[member].as_f64().map_or("-".to_owned(), |millis| format!("{} ms", short(millis)));
    format!("p50 {}, p95 {}, p99 {}", millis("p50Millis"), millis("p95Millis"), millis("p99Millis"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answers() -> Answers {
        Answers {
            runtime: json!({"version": "0.1.0", "driver": "epoll", "driverReason": "asked for", "stopping": false}),
            health: json!({"pid": 7, "uptime_sec": 3720.5, "total_count": 12}),
            connections: json!({"http1": 1, "http2": 2, "http2Streams": 3, "webSockets": 4, "tcp": 5, "udp": 6}),
            history: json!({
                "total": {"recent": {"requestsPerSecond": 1.25, "clientErrorsPerSecond": 0.0, "errorsPerSecond": 0.5, "p50Millis": 2.0, "p95Millis": null}},
                "entryPoints": [{"name": "http", "recent": {}}],
            }),
            servers: json!([{"health": "up"}, {"health": "down", "url": "http://s", "backend": "b", "provider": "file"}]),
            certificates: json!([{"names": ["a.b"], "notAfterSecs": 86_400 * 5, "nextStep": "renewal", "lastError": "no"}]),
            containers: json!([{"state": "failed", "name": "c", "reason": "no port"}]),
            rejected: json!([{"name": "frontend x", "provider": "file", "reason": "no rule"}]),
            errors: json!({"errors": [{"timeSecs": 10.0, "status": 502, "method": "GET", "host": "h", "path": "/", "cause": "refused"}]}),
            url: "http://127.0.0.1:8080/api".to_owned(),
            now_secs: 86_400,
        }
    }

    #[test]
    fn screen_shows_each_part_with_what_is_wrong() {
        let expected = "\
ringway       0.1.0 running for 1 h 2 min, pid 7, epoll (asked for)
              http://127.0.0.1:8080/api
last minute   1.2 requests/s, 0 refused/s (4xx), 0.5 errors/s (5xx), p50 2 ms, p95 -, p99 -
since start   12 requests
connections   1 HTTP/1.1, 2 HTTP/2 with 3 streams, 4 WebSockets, 5 TCP, 6 UDP sessions
entry points  http         0 requests/s, 0 errors/s, p50 -, p95 -, p99 -
servers       1 up, 1 down, 0 without a health check
              down: http://s of backend b (file)
containers    0 routed, 0 partial, 0 pending, 0 unused, 1 failed
              c: no port
certificates  1, the first one ends in 4 days
              a.b: 4 days left, next: renewal: no
not applied   frontend x (file): no rule
last errors   23 h 59 min ago: 502 GET h/: refused
";
        assert_eq!(screen(&answers(), Style::PLAIN), expected);
        let is_terminal = Style::of(true, &|_: &str| None);
        let coloured = screen(&answers(), is_terminal);
        assert!(coloured.contains("\x1b[1;31m0.5 errors/s\x1b[0m") && coloured.contains("\x1b[32mrunning\x1b[0m"));
    }

    #[test]
    fn list_is_cut_to_one_screen() {
        let mut answers = answers();
        answers.rejected = Value::Array((0..40).map(|n| json!({"name": format!("frontend {n}")})).collect());
        let text = screen(&answers, Style::PLAIN);
        assert!(text.contains("and 35 more") && text.lines().count() < 24, "{text}");
    }
}
