//! Checks a server without a request: by a TCP connection, or by a TLS handshake on it (docs/reference/backends.md#health-checks).

use hyper::Uri;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tower_service::Service;

use super::connector::{Connectors, TcpConnector};
use super::probe_failure::ProbeFailure;
use crate::backend::health::ConnectTarget;
use crate::detect::ProxyVersion;

/// Opens a connection, and ends it.
///
/// # Errors
/// Why there is no connection.
pub async fn check_connect(target: &ConnectTarget, header: Option<ProxyVersion>) -> Result<(), ProbeFailure> {
    let to = uri("http", target)?;
    TcpConnector::new(header).call(to).await.map(drop).map_err(|e| ProbeFailure::of(&*e))
}

/// Opens a connection, shakes hands for TLS on it, and ends it.
///
/// # Errors
/// Why there is no connection, or why the handshake failed.
pub async fn check_handshake(target: &ConnectTarget, connectors: &Connectors) -> Result<(), ProbeFailure> {
    let to = uri("https", target)?;
    let mut stream = connectors.handshakes(&target.tls_name)?.call(to).await.map_err(|e| ProbeFailure::of(&*e))?;
    // The server is up, whatever becomes of the end.
    let _ = TokioIo::new(&mut stream).shutdown().await;
    Ok(())
}

fn uri(scheme: &str, target: &ConnectTarget) -> Result<Uri, String> {
    let host = if target.host.contains(':') { format!("[{}]", target.host) } else { target.host.clone() };
    format!("{scheme}://{host}:{}", target.port).parse().map_err(|e| format!("{host}:{}: {e}", target.port))
}
