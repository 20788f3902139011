//! The connection to a server of a TCP backend: another server is tried after one that cannot be reached.

use std::net::IpAddr;

use super::record::TcpRecord;
use crate::backend::{Lease, PickError, TriedServers};
use crate::config::snapshot::{ServerEndpoint, TcpFrontend};
use crate::error::ProxyError;
use crate::limits;
use crate::observe::layer4::EndReason;
use crate::worker::resources::client_info::ClientInfo;
use crate::worker::resources::dial::{Dial, VersionOffer};
use crate::worker::upstream::connection::connect;
use crate::worker::worker::Worker;

/// The status that a connect counts as in the dynamic weights of `drr`.
const CONNECTED: u16 = 200;

/// A connection to a server, which counts as active as long as the lease is held.
pub struct ServerConnection<C> {
    pub io: C,
    pub lease: Lease,
}

/// Connects to a server of the frontend's backend, each within `dialTimeout`.
///
/// # Errors
/// No server can be chosen, or none of those that were tried can be reached.
pub async fn connect_to_server<D: Dial>(
    worker: &Worker<D>,
    peer: &ClientInfo,
    record: &mut TcpRecord<D>,
) -> Result<ServerConnection<D::Io>, EndReason> {
    let client = peer.address.ip();
    let mut tried = TriedServers::default();
    let attempts = limits::CONNECT_ATTEMPTS_MAX.min(record.frontend.backend.endpoints.len().max(1));
    for attempt in 0..attempts {
        let lease = match pick(worker, &record.frontend, client, &tried) {
            Ok(lease) => lease,
            Err(error) if attempt == 0 => {
                worker.log_no_server(&record.frontend, error);
                return Err(EndReason::NoServer);
            }
            Err(_) => break,
        };
        if attempt > 0 {
            record.retries += 1;
        }
        record.server = u32::try_from(lease.index).ok();
        let balancer = &record.frontend.backend.balancer;
        let Some(endpoint) = record.frontend.backend.endpoints.get(lease.index) else { break };
        match connect(worker, endpoint, Some(peer), None, VersionOffer::Http1).await {
            Ok(dialled) => {
                balancer.record(&lease, CONNECTED, worker.clock.mono_nanos());
                return Ok(ServerConnection { io: dialled.io, lease });
            }
            Err(error) => {
                balancer.record(&lease, error.answer().0, worker.clock.mono_nanos());
                worker.log_unreachable(&record.frontend, endpoint, &error);
                tried.add(lease.index);
            }
        }
    }
    Err(EndReason::ConnectFailed)
}

fn pick<D: Dial>(
    worker: &Worker<D>,
    frontend: &TcpFrontend,
    client: IpAddr,
    tried: &TriedServers,
) -> Result<Lease, PickError> {
    frontend.backend.balancer.pick_for_client(client, tried, worker.clock.mono_nanos())
}

impl<D: Dial> Worker<D> {
    /// Logs that a connection got no server, limited as in [`Worker::log_tls_failure`] for each backend.
    fn log_no_server(&self, frontend: &TcpFrontend, error: PickError) {
        let (name, backend) = (&frontend.name, &frontend.backend.name);
        let reason = match error {
            PickError::NoneUp => "it has no server that is up: start one, or look at its health check",
            PickError::AllWeightsZero => "all its servers have weight 0: raise one",
        };
        if let Some(repeated) = self.may_log_again(&self.shared.server_lines, &format!("{backend} {reason}")) {
            tracing::error!(frontend = %name, %backend, "TCP connection closed: the backend cannot take it: {reason}{repeated}");
        }
    }

    fn log_unreachable(&self, frontend: &TcpFrontend, endpoint: &ServerEndpoint, error: &ProxyError) {
        let (name, backend, server) = (&frontend.name, &frontend.backend.name, &endpoint.url);
        tracing::warn!(frontend = %name, %backend, %server, "backend server failed: {error}");
    }
}
