//! The record of one TCP connection for the counters and the access log: filled while the connection is served, reported when it is dropped,
//! also after a panic.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use crate::config::snapshot::TcpFrontend;
use crate::net::tunnel::TunnelBytes;
use crate::observe::access_log::{ConnectionRecord, ConnectionServer};
use crate::observe::layer4::{EndReason, Layer4};
use crate::observe::metrics::BackendMetrics;
use crate::worker::resources::client_info::{ClientInfo, unmap_ipv4};
use crate::worker::resources::dial::Dial;
use crate::worker::worker::Worker;

/// The record of one TCP connection. As long as it exists, a graceful shutdown waits for the connection as for a request.
pub struct TcpRecord<D: Dial> {
    pub worker: Rc<Worker<D>>,
    pub frontend: Arc<TcpFrontend>,
    counters: Option<Arc<BackendMetrics>>,
    client: SocketAddr,
    /// The server name that the client's handshake named.
    name: Option<Box<str>>,
    start_nanos: u64,
    start_unix_nanos: u64,
    pub bytes: TunnelBytes,
    /// The index of the server that was chosen last.
    pub server: Option<u32>,
    pub retries: u32,
    pub terminates: bool,
    pub end: EndReason,
}

impl<D: Dial> TcpRecord<D> {
    pub fn begin(
        worker: &Rc<Worker<D>>,
        frontend: Arc<TcpFrontend>,
        counters: Option<Arc<BackendMetrics>>,
        peer: &ClientInfo,
        name: Option<Box<str>>,
        terminates: bool,
    ) -> Self {
        worker.enter_request();
        if let Some(counters) = &counters {
            worker.metrics().connection_opened(Layer4::Tcp, counters);
        }
        TcpRecord {
            worker: Rc::clone(worker),
            frontend,
            counters,
            client: SocketAddr::new(unmap_ipv4(peer.address.ip()), peer.address.port()),
            name,
            start_nanos: worker.clock.read(),
            start_unix_nanos: worker.clock.unix_nanos(),
            bytes: TunnelBytes::default(),
            server: None,
            retries: 0,
            terminates,
            end: EndReason::InternalError,
        }
    }

    fn line(&self, duration_nanos: u64, count: u64, offset_secs: i32) -> ConnectionRecord<'_> {
        let backend = &self.frontend.backend;
        let endpoint = self.server.and_then(|index| backend.endpoints.get(index as usize));
        ConnectionRecord {
            start_unix_nanos: self.start_unix_nanos,
            local_offset_secs: offset_secs,
            duration_nanos,
            client: self.client,
            protocol: if self.terminates { "TLS" } else { "TCP" },
            name: self.name.as_deref().unwrap_or_default().as_bytes(),
            frontend_name: &self.frontend.log_name,
            backend_name: &backend.name,
            server: endpoint
                .map(|endpoint| ConnectionServer { url: endpoint.url.as_bytes(), addr: &endpoint.authority }),
            bytes_in: self.bytes.up.get(),
            bytes_out: self.bytes.down.get(),
            end: self.end,
            request_count: count,
            retry_attempts: self.retries,
        }
    }
}

impl<D: Dial> Drop for TcpRecord<D> {
    fn drop(&mut self) {
        let worker = &self.worker;
        let nanos = worker.clock.read().saturating_sub(self.start_nanos);
        let (bytes_in, bytes_out) = (self.bytes.up.get(), self.bytes.down.get());
        worker.metrics().connection_closed(Layer4::Tcp, self.counters.as_deref(), self.end, bytes_in, bytes_out);
        if let Some(log) = &worker.access_log {
            log.write(|format, out, count| {
                let offset_secs = log.local_offset_secs(self.start_unix_nanos);
                format.append_connection(&self.line(nanos, count, offset_secs), out);
            });
        }
        worker.leave_request();
    }
}
