//! The lines of StatsD, which have no labels, and of DogStatsD, which have tags (docs/reference/metrics.md#pushed-metrics).

use std::fmt::Write;

use super::change::{Change, OwnerChange};
use crate::limits;

/// The protocols that the lines are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    StatsD,
    DataDog,
}

/// A tag's name and value.
type Tag<'a> = (&'a str, &'a str);

/// The lines of one push.
pub fn lines(change: &Change<'_>, dialect: Dialect) -> Vec<String> {
    let mut lines = Lines { dialect, lines: Vec::new() };
    lines.reloads(change);
    lines.owners("entrypoint", &change.entry_points);
    lines.owners("backend", &change.backends);
    match dialect {
        Dialect::DataDog => {
            for ((backend, url), up) in &change.servers_up {
                lines.gauge("backend.server.up", f64::from(*up), &[("backend", backend), ("url", url)]);
            }
        }
        Dialect::StatsD => {
            // Without tags one value stands for all servers: 1 if all are up.
            if let Some(up) = change.servers_up.values().min() {
                lines.gauge("backend.server.up", f64::from(*up), &[]);
            }
        }
    }
    lines.lines
}

struct Lines {
    dialect: Dialect,
    lines: Vec<String>,
}

impl Lines {
    fn reloads(&mut self, change: &Change<'_>) {
        self.counter("config.reload.total", change.reloads, &[]);
        match self.dialect {
            Dialect::StatsD => self.counter("config.reload.total.failure", change.reload_failures, &[]),
            Dialect::DataDog => self.counter("config.reload.total", change.reload_failures, &[("failure", "true")]),
        }
        for (name, secs) in [
            ("config.reload.lastSuccessTimestamp", change.last_reload_unix_secs),
            ("config.reload.lastFailureTimestamp", change.last_failure_unix_secs),
        ] {
            if secs > 0 {
                self.gauge(name, secs as f64, &[]);
            }
        }
    }

    fn owners(&mut self, kind: &str, owners: &[OwnerChange<'_>]) {
        match self.dialect {
            Dialect::DataDog => self.tagged_owners(kind, owners),
            Dialect::StatsD => self.untagged_owners(kind, owners),
        }
    }

    fn tagged_owners(&mut self, kind: &str, owners: &[OwnerChange<'_>]) {
        let series: usize = owners.iter().map(|owner| owner.requests.len()).sum();
        let lines_max = (limits::PUSHED_DURATIONS_MAX / series.max(1)).max(limits::PUSHED_DURATIONS_MIN);
        for OwnerChange { owner, requests, retries } in owners {
            for new in requests {
                let tags = [
                    ("method", new.method),
                    ("protocol", new.protocol),
                    (kind, owner.name.as_str()),
                    ("code", &new.code),
                ];
                self.counter(&format!("{kind}.request.total"), new.count, &tags);
                self.durations(&format!("{kind}.request.duration"), &new.durations, lines_max, &tags);
            }
            for (method, protocol, count) in owner.open() {
                let tags = [("method", method), ("protocol", protocol), (kind, owner.name.as_str())];
                self.gauge(&format!("{kind}.connections.open"), count as f64, &tags);
            }
            if kind == "backend" {
                self.counter("backend.retries.total", *retries, &[("backend", &owner.name)]);
            }
        }
    }

    /// Sums over all entry points, or over all backends: StatsD has no labels.
    fn untagged_owners(&mut self, kind: &str, owners: &[OwnerChange<'_>]) {
        let requests = || owners.iter().flat_map(|owner| &owner.requests);
        self.counter(&format!("{kind}.request.total"), requests().map(|new| new.count).sum(), &[]);
        let mut durations: Vec<(f64, u64)> = requests().flat_map(|new| new.durations.iter().copied()).collect();
        durations.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        self.durations(&format!("{kind}.request.duration"), &durations, limits::PUSHED_DURATIONS_MAX, &[]);
        let open: i64 = owners.iter().flat_map(|owner| owner.owner.open()).map(|(_, _, count)| count).sum();
        self.gauge(&format!("{kind}.connections.open"), open as f64, &[]);
        if kind == "backend" {
            self.counter("backend.retries.total", owners.iter().map(|owner| owner.retries).sum(), &[]);
        }
    }

    /// A counter that has counted nothing has no line, as in Traefik.
    fn counter(&mut self, name: &str, count: u64, tags: &[Tag<'_>]) {
        if count > 0 {
            self.line(name, count as f64, "c", None, tags);
        }
    }

    fn gauge(&mut self, name: &str, value: f64, tags: &[Tag<'_>]) {
        self.line(name, value, "g", None, tags);
    }

    /// A line for each duration, in seconds; if there are more than `lines_max`, a sample of so many lines that says its rate, so that a
    /// receiver counts all of them. The sample has each duration in proportion to its number.
    fn durations(&mut self, name: &str, durations: &[(f64, u64)], lines_max: usize, tags: &[Tag<'_>]) {
        let kind = if self.dialect == Dialect::StatsD { "ms" } else { "h" };
        let total: u64 = durations.iter().map(|(_, count)| count).sum();
        let rate = if total > lines_max as u64 { lines_max as f64 / total as f64 } else { 1.0 };
        let (mut up_to, mut sent) = (0u64, 0u64);
        for (secs, count) in durations {
            up_to += count;
            let wanted = (up_to as f64 * rate).round() as u64;
            for _ in sent..wanted {
                self.line(name, *secs, kind, (rate < 1.0).then_some(rate), tags);
            }
            sent = wanted;
        }
    }

    fn line(&mut self, name: &str, value: f64, kind: &str, rate: Option<f64>, tags: &[Tag<'_>]) {
        let mut line = format!("traefik.{name}:{value:.6}|{kind}");
        // Writing to a String cannot fail.
        if let Some(rate) = rate {
            let _ = write!(line, "|@{rate:.6}");
        }
        for (at, (name, value)) in tags.iter().enumerate() {
            let _ = write!(line, "{}{name}:{}", if at == 0 { "|#" } else { "," }, harmless(value));
        }
        self.lines.push(line);
    }
}

/// A tag's value without the characters that would end the tag or the line: names come from containers.
fn harmless(value: &str) -> String {
    value.replace(|c: char| matches!(c, ',' | '|' | '#') || c.is_control(), "_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::push::tests::{metrics, servers};
    use crate::observe::metrics::Reading;

    fn lines_of(requests: usize, dialect: Dialect) -> Vec<String> {
        let (reading, servers) = (metrics(requests).reading(), servers());
        lines(&Change::new(&Reading::default(), &reading, &servers), dialect)
    }

    #[test]
    fn statsd_lines_have_the_names_of_traefik_and_no_labels() {
        let lines = lines_of(2, Dialect::StatsD);
        for line in [
            "traefik.config.reload.total:1.000000|c",
            "traefik.config.reload.lastSuccessTimestamp:1700000000.000000|g",
            "traefik.entrypoint.request.total:2.000000|c",
            "traefik.entrypoint.connections.open:1.000000|g",
            "traefik.backend.request.total:2.000000|c",
            "traefik.backend.connections.open:0.000000|g",
            "traefik.backend.retries.total:1.000000|c",
            "traefik.backend.server.up:0.000000|g",
        ] {
            assert!(lines.iter().any(|found| found == line), "{line} is not in {lines:#?}");
        }
        let durations: Vec<_> = lines.iter().filter(|line| line.contains("entrypoint.request.duration:1.91")).collect();
        assert!(durations.len() == 2 && durations[0].ends_with("|ms"), "{lines:#?}");
        assert!(!lines.iter().any(|line| line.contains("Failure") || line.contains('#')), "{lines:#?}");
    }

    #[test]
    fn datadog_lines_have_tags_and_histograms() {
        let lines = lines_of(1, Dialect::DataDog);
        for line in [
            "traefik.entrypoint.request.total:1.000000|c|#method:GET,protocol:http,entrypoint:http,code:200",
            "traefik.backend.request.total:1.000000|c|#method:GET,protocol:http,backend:my shop,code:200",
            "traefik.backend.retries.total:1.000000|c|#backend:my shop",
            "traefik.backend.server.up:0.000000|g|#backend:my shop,url:http://10.0.0.2:80",
        ] {
            assert!(lines.iter().any(|found| found == line), "{line} is not in {lines:#?}");
        }
        assert!(lines.iter().any(|line| line.contains("request.duration") && line.contains("|h|#method:GET")));
    }

    #[test]
    fn many_durations_become_a_sample_that_says_its_rate() {
        let mut lines = Lines { dialect: Dialect::StatsD, lines: Vec::new() };
        lines.durations("d", &[(0.1, 700), (0.2, 290), (5.0, 10)], 100, &[]);
        assert_eq!(lines.lines.len(), 100);
        let of = |value: &str| lines.lines.iter().filter(|line| line.starts_with(value)).count();
        assert_eq!((of("traefik.d:0.1"), of("traefik.d:0.2"), of("traefik.d:5.0")), (70, 29, 1));
        assert!(lines.lines.iter().all(|line| line.ends_with("|ms|@0.100000")), "{:?}", lines.lines);
    }

    #[test]
    fn tag_values_cannot_add_tags_or_lines() {
        assert_eq!(harmless("a,b|c#d\ne:f"), "a_b_c_d_e:f");
    }
}
