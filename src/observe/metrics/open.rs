//! Open connections by protocol, for `/api/connections`.

use std::sync::atomic::Ordering::Relaxed;

use super::{Metrics, Protocol, Side};
use crate::observe::layer4::Layer4;

/// Open connections of clients by protocol.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OpenConnections {
    pub http1: u64,
    pub http2: u64,
    /// Streams of the HTTP/2 connections.
    pub http2_streams: u64,
    pub tcp: u64,
    /// Sessions of UDP clients.
    pub udp: u64,
    /// WebSockets; each is also a connection of HTTP/1.1 or a stream of HTTP/2.
    pub web_sockets: u64,
}

impl Metrics {
    /// Counts open connections by protocol. `connections` are all that clients have open, but for UDP.
    pub fn open_connections(&self, connections: u64) -> OpenConnections {
        let http2 = self.http2();
        let clients = http2.of(Side::Client);
        let tcp = self.open_of_layer4(Layer4::Tcp);
        let blocks = self.entry_points.iter().flat_map(|(_, workers)| workers);
        let web_sockets: i64 = blocks
            .flat_map(|block| block.open())
            .filter(|((_, protocol), _)| *protocol == Protocol::Websocket)
            .map(|(_, count)| count)
            .sum();
        OpenConnections {
            http1: connections.saturating_sub(clients.connections_open).saturating_sub(tcp),
            http2: clients.connections_open,
            http2_streams: clients.streams_open,
            tcp,
            udp: self.open_of_layer4(Layer4::Udp),
            web_sockets: u64::try_from(web_sockets).unwrap_or(0),
        }
    }

    fn open_of_layer4(&self, layer4: Layer4) -> u64 {
        let backends = self.backends();
        let open = backends.values().filter_map(|backend| backend.traffic.of(layer4));
        let sum: i64 = open.map(|traffic| traffic.open.load(Relaxed)).sum();
        u64::try_from(sum).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::metrics::{Method, MetricsSettings};

    #[test]
    fn open_connections_are_told_apart_by_protocol() {
        let entry_points = vec!["http".to_owned()];
        let metrics = Metrics::new(&MetricsSettings { workers: 2, entry_points, ..MetricsSettings::default() });
        let backend = metrics.backend("db");
        let worker = metrics.worker(1);
        worker.connection_opened(Layer4::Tcp, &backend);
        worker.connection_opened(Layer4::Udp, &backend);
        worker.http2_connection_opened(Side::Client);
        worker.http2_connection_opened(Side::Server);
        worker.opened(0, Method::Get, Protocol::Websocket);
        worker.opened(0, Method::Get, Protocol::Http);
        let expected = OpenConnections { http1: 3, http2: 1, http2_streams: 0, tcp: 1, udp: 1, web_sockets: 1 };
        assert_eq!(metrics.open_connections(5), expected);
    }
}
