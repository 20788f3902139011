//! The JSON of `/api/http2` (docs/reference/api.md#http2).

use std::collections::BTreeMap;

use serde::Serialize;

use crate::limits::Bound;
use crate::observe::go_json::to_json;
use crate::observe::metrics::{Http2Totals, REASONS, SideTotals};

/// The values that `/api/http2` shows.
#[derive(Debug, Clone, Default)]
pub struct ProtocolFacts {
    pub totals: Http2Totals,
    /// Open connections of clients, of all versions.
    pub client_connections: u64,
    /// How often each bound on HTTP/2 was exceeded.
    pub exceeded: Vec<(Bound, u64)>,
}

pub(super) fn body(facts: &ProtocolFacts) -> Vec<u8> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Http2<'a> {
        client_connections: u64,
        clients: Side<'a>,
        servers: Side<'a>,
        bounds_exceeded: BTreeMap<&'a str, u64>,
    }
    let Http2Totals { clients, servers } = &facts.totals;
    to_json(&Http2 {
        client_connections: facts.client_connections,
        clients: Side::of(clients),
        servers: Side::of(servers),
        bounds_exceeded: facts.exceeded.iter().map(|(bound, count)| (bound.name(), *count)).collect(),
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Side<'a> {
    connections_open: u64,
    connections_total: u64,
    streams_open: u64,
    streams_total: u64,
    resets_sent: BTreeMap<&'a str, u64>,
    resets_received: BTreeMap<&'a str, u64>,
    goaways_sent: BTreeMap<&'a str, u64>,
    goaways_received: BTreeMap<&'a str, u64>,
}

impl Side<'_> {
    fn of(totals: &SideTotals) -> Self {
        Side {
            connections_open: totals.connections_open,
            connections_total: totals.connections,
            streams_open: totals.streams_open,
            streams_total: totals.streams,
            resets_sent: by_reason(&totals.resets.sent),
            resets_received: by_reason(&totals.resets.received),
            goaways_sent: by_reason(&totals.goaways.sent),
            goaways_received: by_reason(&totals.goaways.received),
        }
    }
}

/// The reasons that occurred.
fn by_reason(counts: &[u64; REASONS.len()]) -> BTreeMap<&'static str, u64> {
    REASONS.into_iter().zip(*counts).filter(|(_, count)| *count > 0).collect()
}
