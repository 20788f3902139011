//! The lines of InfluxDB's line protocol (docs/reference/metrics.md#pushed-metrics).

use std::fmt::Write;

use super::change::{Change, OwnerChange};

/// A tag's name and value.
type Tag<'a> = (&'a str, &'a str);

/// The quantiles of durations, with the names of their fields.
const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99)];

/// The lines of one push at a time in nanoseconds since 1970.
pub fn lines(change: &Change<'_>, unix_nanos: u128) -> Vec<String> {
    let mut lines = Lines { unix_nanos, lines: Vec::new() };
    lines.counter("config.reload.total", change.reloads, &[]);
    lines.counter("config.reload.total.failure", change.reload_failures, &[]);
    for (name, secs) in [
        ("config.reload.lastSuccessTimestamp", change.last_reload_unix_secs),
        ("config.reload.lastFailureTimestamp", change.last_failure_unix_secs),
    ] {
        if secs > 0 {
            lines.gauge(name, secs as f64, &[]);
        }
    }
    lines.owners("entrypoint", &change.entry_points);
    lines.owners("backend", &change.backends);
    for ((backend, url), up) in &change.servers_up {
        lines.gauge("backend.server.up", f64::from(*up), &[("backend", backend), ("url", url)]);
    }
    lines.lines
}

struct Lines {
    unix_nanos: u128,
    lines: Vec<String>,
}

impl Lines {
    fn owners(&mut self, kind: &str, owners: &[OwnerChange<'_>]) {
        for OwnerChange { owner, requests, retries } in owners {
            let name = owner.name.as_str();
            for new in requests {
                let mut tags = [(kind, name), ("code", &new.code), ("method", new.method), ("protocol", new.protocol)];
                // InfluxDB recommends tags in alphabetical order.
                tags.sort_unstable_by_key(|(name, _)| *name);
                self.counter(&format!("{kind}.requests.total"), new.count, &tags);
                self.durations(&format!("{kind}.request.duration"), &new.durations, &tags);
            }
            for (method, protocol, count) in owner.open() {
                let tags = [(kind, name), ("method", method), ("protocol", protocol)];
                self.gauge(&format!("{kind}.connections.open"), count as f64, &tags);
            }
            if kind == "backend" {
                self.counter("backend.retries.total", *retries, &[("backend", name)]);
            }
        }
    }

    /// A counter that has counted nothing has no line, as in Traefik.
    fn counter(&mut self, name: &str, count: u64, tags: &[Tag<'_>]) {
        if count > 0 {
            self.line(name, tags, &format!("count={count}"));
        }
    }

    fn gauge(&mut self, name: &str, value: f64, tags: &[Tag<'_>]) {
        self.line(name, tags, &format!("value={value}"));
    }

    fn durations(&mut self, name: &str, durations: &[(f64, u64)], tags: &[Tag<'_>]) {
        let fields =
            QUANTILES.iter().filter_map(|(field, part)| Some(format!("{field}={}", quantile(durations, *part)?)));
        let fields = fields.collect::<Vec<_>>().join(",");
        if !fields.is_empty() {
            self.line(name, tags, &fields);
        }
    }

    fn line(&mut self, name: &str, tags: &[Tag<'_>], fields: &str) {
        let mut line = format!("traefik.{name}");
        for (name, value) in tags.iter().filter(|(_, value)| !value.is_empty()) {
            // Writing to a String cannot fail.
            let _ = write!(line, ",{name}={}", escaped(value));
        }
        let _ = write!(line, " {fields} {}", self.unix_nanos);
        self.lines.push(line);
    }
}

/// The duration that the given part of all durations does not exceed; `None` without any. `durations` are in rising order.
fn quantile(durations: &[(f64, u64)], part: f64) -> Option<f64> {
    let total: u64 = durations.iter().map(|(_, count)| count).sum();
    let rank = ((total as f64 * part).ceil() as u64).max(1);
    let mut up_to = 0;
    let found = durations.iter().find(|(_, count)| {
        up_to += count;
        up_to >= rank
    });
    found.or(durations.last()).map(|(secs, _)| *secs)
}

/// Escapes a tag's value. A line end cannot be escaped, nor a backslash at the end.
fn escaped(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for c in value.trim_end_matches('\\').chars() {
        match c {
            ',' | '=' | ' ' => escaped.extend(['\\', c]),
            c if c.is_control() => escaped.push('_'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::push::tests::{metrics, servers};
    use crate::observe::metrics::Reading;

    #[test]
    fn lines_have_the_names_and_fields_of_traefik() {
        let (reading, servers) = (metrics(4).reading(), servers());
        let lines = lines(&Change::new(&Reading::default(), &reading, &servers), 7);
        for line in [
            "traefik.config.reload.total count=1 7",
            "traefik.config.reload.lastSuccessTimestamp value=1700000000 7",
            "traefik.entrypoint.requests.total,code=200,entrypoint=http,method=GET,protocol=http count=4 7",
            "traefik.entrypoint.connections.open,entrypoint=http,method=GET,protocol=http value=1 7",
            "traefik.backend.requests.total,backend=my\\ shop,code=200,method=GET,protocol=http count=4 7",
            "traefik.backend.retries.total,backend=my\\ shop count=1 7",
            "traefik.backend.server.up,backend=my\\ shop,url=http://10.0.0.2:80 value=0 7",
        ] {
            assert!(lines.iter().any(|found| found == line), "{line} is not in {lines:#?}");
        }
        let durations = lines.iter().find(|line| line.starts_with("traefik.backend.request.duration,"));
        let durations = durations.expect("durations");
        assert!(durations.contains(" p50=0.957") && durations.contains(",p99=0.957"), "{durations}");
    }

    #[test]
    fn quantiles_follow_the_counts_of_the_durations() {
        let durations = [(0.1, 90), (0.2, 5), (3.0, 5)];
        let all: Vec<_> = QUANTILES.iter().map(|(_, part)| quantile(&durations, *part)).collect();
        assert_eq!(all, [Some(0.1), Some(0.1), Some(0.2), Some(3.0)]);
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn tag_values_are_escaped() {
        assert_eq!(escaped("a b,c=d\ne\\"), "a\\ b\\,c\\=d_e");
    }
}
