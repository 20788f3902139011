//! The body of `/health` (docs/reference/api.md#health).

use std::collections::BTreeMap;

use serde::Serialize;

use super::HealthFacts;
use crate::http::phrase::status_phrase;
use crate::observe::go_json::to_json;
use crate::observe::metrics::RecentError;
use crate::observe::time_format::{Timestamp, push_go_duration};

const SECOND_NANOS: u64 = 1_000_000_000;

/// The order of the fields is the order of the JSON.
#[derive(Serialize)]
struct Health<'a> {
    pid: u32,
    /// Always empty, as in Traefik.
    hostname: &'static str,
    uptime: String,
    uptime_sec: f64,
    time: String,
    unixtime: u64,
    status_code_count: &'a BTreeMap<u16, u64>,
    total_status_code_count: &'a BTreeMap<u16, u64>,
    count: u64,
    total_count: u64,
    total_response_time: String,
    total_response_time_sec: f64,
    total_response_size: u64,
    average_response_size: u64,
    average_response_time: String,
    average_response_time_sec: f64,
    /// Traefik's library shows named timers in these two members; both are always empty, as in Traefik.
    total_metrics_counts: BTreeMap<String, u64>,
    average_metrics_timers: BTreeMap<String, f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recent_errors: Option<Vec<ErrorRow<'a>>>,
}

#[derive(Serialize)]
struct ErrorRow<'a> {
    status_code: u16,
    status: &'static str,
    method: &'a str,
    host: &'a str,
    path: &'a str,
    time: String,
}

pub(super) fn body(facts: &HealthFacts) -> Vec<u8> {
    let totals = facts.numbers;
    let average_nanos = totals.total_nanos.checked_div(totals.total_count).unwrap_or(0);
    to_json(&Health {
        pid: facts.pid,
        hostname: "",
        uptime: duration(facts.uptime_nanos),
        uptime_sec: seconds(facts.uptime_nanos),
        time: text(|out| Timestamp::utc(facts.unix_nanos).push_go(facts.uptime_nanos, out)),
        unixtime: facts.unix_nanos / SECOND_NANOS,
        status_code_count: &totals.status_counts,
        total_status_code_count: &totals.total_status_counts,
        count: totals.count,
        total_count: totals.total_count,
        total_response_time: duration(totals.total_nanos),
        total_response_time_sec: seconds(totals.total_nanos),
        total_response_size: totals.total_bytes,
        average_response_size: totals.total_bytes.checked_div(totals.total_count).unwrap_or(0),
        average_response_time: duration(average_nanos),
        average_response_time_sec: seconds(average_nanos),
        total_metrics_counts: BTreeMap::new(),
        average_metrics_timers: BTreeMap::new(),
        recent_errors: totals.recent_errors.as_ref().map(|errors| errors.iter().map(error_row).collect()),
    })
}

fn error_row(error: &RecentError) -> ErrorRow<'_> {
    ErrorRow {
        status_code: error.status,
        status: status_phrase(error.status),
        method: &error.method,
        host: &error.host,
        path: &error.path,
        time: text(|out| Timestamp::utc(error.unix_nanos).second().push_nanos(out)),
    }
}

fn duration(nanos: u64) -> String {
    text(|out| push_go_duration(nanos, out))
}

fn seconds(nanos: u64) -> f64 {
    nanos as f64 / SECOND_NANOS as f64
}

fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::with_capacity(48);
    write(&mut out);
    String::from_utf8_lossy(&out).into_owned()
}
