//! The JSON of `/api/history` (docs/reference/api.md#history).

use serde::Serialize;

use crate::http::percent;
use crate::observe::go_json::to_json;
use crate::observe::traffic::{HistoryView, LiveSecond, Point, Recent, SeriesKey, SeriesView, Traffic};

/// Frontends, and servers, that are listed with a trend: those with the most requests.
const TRENDS_MAX: usize = 50;
/// Points of a trend: each is the sum of three.
const TREND_POINTS: usize = 60;

/// The reply to the query; `None` if it names a series of which nothing is known.
pub(super) fn body(traffic: &Traffic, query: &[u8]) -> Option<Vec<u8>> {
    let value = |name: &str| parameter(query, name);
    let key = match (value("entryPoint"), value("frontend"), value("server")) {
        (Some(name), ..) => SeriesKey::EntryPoint(name),
        (_, Some(name), _) => SeriesKey::Frontend { provider: value("provider")?, name },
        (_, _, Some(url)) => SeriesKey::Server { provider: value("provider")?, backend: value("backend")?, url },
        _ if value("part").as_deref() == Some("live") => return Some(to_json(&Live::of(&traffic.summary()))),
        _ => return Some(to_json(&Overview::of(&traffic.history()))),
    };
    let view = traffic.summary();
    let series = traffic.series(&key)?;
    Some(to_json(&OneSeries { times: times(&view), series: Series::of(&view, &key, &series) }))
}

/// A parameter of the query, decoded as browsers encode it.
fn parameter(query: &[u8], name: &str) -> Option<String> {
    let pairs = query.split(|byte| *byte == b'&').filter_map(|pair| pair.split_at_checked(name.len()));
    let (_, value) = pairs.filter(|(found, _)| *found == name.as_bytes()).find(|(_, rest)| rest.starts_with(b"="))?;
    let spaced: Vec<u8> = value.iter().skip(1).map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    Some(String::from_utf8_lossy(&percent::decoded(&spaced)).into_owned())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Live {
    times: Vec<f64>,
    requests_per_second: Vec<f64>,
    client_errors_per_second: Vec<f64>,
    errors_per_second: Vec<f64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Overview {
    live: Live,
    times: Vec<f64>,
    total: Series,
    entry_points: Vec<Series>,
    frontends: Vec<Row>,
    servers: Vec<Row>,
    series_not_kept: usize,
}

#[derive(Serialize)]
struct OneSeries {
    times: Vec<f64>,
    series: Series,
}

/// The points of a series; the last one belongs to the last of the times.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Series {
    #[serde(flatten)]
    name: Name,
    recent: Rates,
    requests_per_second: Vec<f64>,
    client_errors_per_second: Vec<f64>,
    errors_per_second: Vec<f64>,
    p50_millis: Vec<f64>,
    p95_millis: Vec<f64>,
    p99_millis: Vec<f64>,
}

#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    name: Name,
    recent: Rates,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    trend: Vec<f64>,
}

#[derive(Serialize, Default)]
struct Name {
    #[serde(skip_serializing_if = "String::is_empty")]
    provider: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    backend: String,
    name: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Rates {
    secs: f64,
    requests_per_second: f64,
    client_errors_per_second: f64,
    errors_per_second: f64,
    p50_millis: f64,
    p95_millis: f64,
    p99_millis: f64,
}

impl Live {
    fn of(view: &HistoryView) -> Self {
        let each = |pick: &dyn Fn(&LiveSecond) -> f64| view.live.iter().map(pick).collect();
        Live {
            times: each(&|live| rounded(live.unix_millis as f64 / 1000.0)),
            requests_per_second: each(&|live| rate(live.requests as f64, live.secs)),
            client_errors_per_second: each(&|live| rate(live.client_errors as f64, live.secs)),
            errors_per_second: each(&|live| rate(live.errors as f64, live.secs)),
        }
    }
}

impl Overview {
    fn of(view: &HistoryView) -> Self {
        let of_kind = |is_kind: fn(&SeriesKey) -> bool| {
            let rows = view.series.iter().filter(move |(key, _)| is_kind(key));
            let mut rows: Vec<(&SeriesKey, &SeriesView)> = rows.map(|(key, series)| (key, series)).collect();
            rows.sort_by_key(|(_, series)| std::cmp::Reverse(series.recent.counts.requests));
            let row = |(rank, (key, series)): (usize, (&SeriesKey, &SeriesView))| Row {
                name: Name::of(key),
                recent: Rates::of(&series.recent),
                trend: if rank < TRENDS_MAX { trend(view, series) } else { Vec::new() },
            };
            rows.into_iter().enumerate().map(row).collect()
        };
        let entry_points = view.series.iter().filter(|(key, _)| matches!(key, SeriesKey::EntryPoint(_)));
        Overview {
            live: Live::of(view),
            times: times(view),
            total: Series::new(view, Name { name: "total".to_owned(), ..Name::default() }, &view.total),
            entry_points: entry_points.map(|(key, series)| Series::of(view, key, series)).collect(),
            frontends: of_kind(|key| matches!(key, SeriesKey::Frontend { .. })),
            servers: of_kind(|key| matches!(key, SeriesKey::Server { .. })),
            series_not_kept: view.not_kept,
        }
    }
}

impl Series {
    fn of(view: &HistoryView, key: &SeriesKey, series: &SeriesView) -> Self {
        Series::new(view, Name::of(key), series)
    }

    fn new(view: &HistoryView, name: Name, series: &SeriesView) -> Self {
        let secs = secs_of(view, series);
        let rates = |pick: fn(&Point) -> u32| {
            let each = series.points.iter().zip(secs.clone());
            each.map(|(point, secs)| rate(f64::from(pick(point)), secs)).collect()
        };
        let millis =
            |pick: fn(&Point) -> f32| series.points.iter().map(|point| rounded(f64::from(pick(point)))).collect();
        Series {
            name,
            recent: Rates::of(&series.recent),
            requests_per_second: rates(|point| point.requests),
            client_errors_per_second: rates(|point| point.client_errors),
            errors_per_second: rates(|point| point.errors),
            p50_millis: millis(|point| point.p50_millis),
            p95_millis: millis(|point| point.p95_millis),
            p99_millis: millis(|point| point.p99_millis),
        }
    }
}

impl Name {
    fn of(key: &SeriesKey) -> Self {
        match key.clone() {
            SeriesKey::EntryPoint(name) => Name { name, ..Name::default() },
            SeriesKey::Frontend { provider, name } => Name { provider, name, ..Name::default() },
            SeriesKey::Server { provider, backend, url } => Name { provider, backend, name: url },
        }
    }
}

impl Rates {
    fn of(recent: &Recent) -> Self {
        let Recent { secs, counts } = recent;
        let per_second = |count: u32| rate(f64::from(count), *secs);
        Rates {
            secs: rounded(*secs),
            requests_per_second: per_second(counts.requests),
            client_errors_per_second: per_second(counts.client_errors),
            errors_per_second: per_second(counts.errors),
            p50_millis: rounded(f64::from(counts.p50_millis)),
            p95_millis: rounded(f64::from(counts.p95_millis)),
            p99_millis: rounded(f64::from(counts.p99_millis)),
        }
    }
}

fn times(view: &HistoryView) -> Vec<f64> {
    view.steps.iter().map(|step| rounded(step.unix_millis as f64 / 1000.0)).collect()
}

/// The times that the points of a series cover, in seconds.
fn secs_of<'v>(view: &'v HistoryView, series: &SeriesView) -> impl Iterator<Item = f64> + Clone + use<'v> {
    let steps = &view.steps[view.steps.len().saturating_sub(series.points.len())..];
    steps.iter().map(|step| step.secs)
}

/// The requests per second of the last fifteen minutes in few points, the newest last.
fn trend(view: &HistoryView, series: &SeriesView) -> Vec<f64> {
    let pairs: Vec<(u32, f64)> = series.points.iter().map(|point| point.requests).zip(secs_of(view, series)).collect();
    let mut points: Vec<f64> = pairs
        .rchunks(3)
        .take(TREND_POINTS)
        .map(|chunk| {
            let (requests, secs) = chunk
                .iter()
                .fold((0.0, 0.0), |(requests, secs), (more, step)| (requests + f64::from(*more), secs + step));
            rate(requests, secs)
        })
        .collect();
    points.reverse();
    points
}

fn rate(count: f64, secs: f64) -> f64 {
    if secs > 0.0 { rounded(count / secs) } else { 0.0 }
}

/// The number with three digits behind the point; NaN, which JSON shows as null, stays.
fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::traffic::Outcome;

    fn read(traffic: &Traffic, query: &str) -> serde_json::Value {
        serde_json::from_slice(&body(traffic, query.as_bytes()).expect("a series")).expect("JSON")
    }

    #[test]
    fn history_shows_rates_percentiles_and_single_series() {
        let traffic = Traffic::new(1, &["http".to_owned()]);
        let server = traffic.register(SeriesKey::Server {
            provider: "file".into(),
            backend: "b 1".into(),
            url: "http://10.0.0.1:80".into(),
        });
        for _ in 0..50 {
            server.record(0, Outcome { status: 502, nanos: Some(1_000_000) });
            traffic.entry_point(0).expect("http").record(0, Outcome { status: 200, nanos: None });
        }
        for second in 1..=5 {
            traffic.tick(1_800_000_000_000 + second * 1000);
        }
        let overview = read(&traffic, "");
        assert_eq!(overview["times"][0], 1_800_000_005.0);
        assert_eq!(overview["entryPoints"][0]["requestsPerSecond"][0], 10.0);
        assert!(overview["total"]["p50Millis"][0].is_null(), "a tunnel has no latency");
        assert_eq!(overview["servers"][0]["backend"], "b 1");
        assert_eq!(overview["servers"][0]["trend"][0], 10.0);
        let one = read(&traffic, "server=http%3A%2F%2F10.0.0.1%3A80&backend=b+1&provider=file");
        assert_eq!(one["series"]["errorsPerSecond"][0], 10.0);
        assert!(one["series"]["p99Millis"][0].as_f64().is_some_and(|millis| (0.9..1.2).contains(&millis)));
        assert_eq!(read(&traffic, "part=live")["requestsPerSecond"][0], 50.0);
        assert!(body(&traffic, b"frontend=other&provider=file").is_none());
    }
}
