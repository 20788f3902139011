//! The JSON of `/api/errors` and `/api/connections` (docs/reference/api.md#errors, docs/reference/api.md#connections).

use serde::Serialize;

use crate::http::phrase::status_phrase;
use crate::observe::go_json::to_json;
use crate::observe::metrics::OpenConnections;
use crate::observe::traffic::{ErrorEntry, Traffic};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row<'a> {
    time_secs: f64,
    status: u16,
    phrase: &'static str,
    method: &'a str,
    host: &'a str,
    path: &'a str,
    entry_point: &'a str,
    frontend: &'a str,
    server: &'a str,
    cause: &'a str,
}

impl<'a> Row<'a> {
    fn of(entry: &'a ErrorEntry) -> Self {
        Row {
            time_secs: (entry.unix_nanos / 1_000_000) as f64 / 1000.0,
            status: entry.status,
            phrase: if entry.status == 499 { "Client Closed Request" } else { status_phrase(entry.status) },
            method: &entry.method,
            host: &entry.host,
            path: &entry.path,
            entry_point: &entry.entry_point,
            frontend: &entry.frontend,
            server: &entry.server,
            cause: &entry.cause,
        }
    }
}

pub(super) fn errors(traffic: &Traffic) -> Vec<u8> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Errors<'a> {
        errors: Vec<Row<'a>>,
        not_kept: u64,
    }
    let (entries, not_kept) = traffic.errors();
    to_json(&Errors { errors: entries.iter().map(Row::of).collect(), not_kept })
}

pub(super) fn connections(open: &OpenConnections) -> Vec<u8> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Connections {
        http1: u64,
        http2: u64,
        http2_streams: u64,
        web_sockets: u64,
        tcp: u64,
        udp: u64,
    }
    let OpenConnections { http1, http2, http2_streams, tcp, udp, web_sockets } = *open;
    to_json(&Connections { http1, http2, http2_streams, web_sockets, tcp, udp })
}
