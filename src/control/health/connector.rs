//! Opens the connections of probes, with the PROXY header that the backend's servers expect.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::Uri;
use hyper_rustls::{FixedServerNameResolver, HttpsConnector};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tower_service::Service;

use crate::config::snapshot::TlsConfigs;
use crate::detect::{ProxyVersion, local_header};

/// Opens plain connections, TLS ones for https URLs. The connections begin with a PROXY header if there is a version.
pub type Connector = HttpsConnector<TcpConnector>;

/// The connectors of one backend's probes.
#[derive(Clone)]
pub struct Connectors {
    /// To the backend's servers.
    pub servers: Connector,
    /// To other hosts, to which a server redirects a probe.
    pub others: Connector,
    /// For handshakes of TLS without HTTP: no protocol is offered.
    handshake_tls: Arc<ClientConfig>,
    header: Option<ProxyVersion>,
}

impl Connectors {
    /// Connectors that offer the versions of HTTP that requests of clients would use.
    pub fn new(configs: &TlsConfigs, header: Option<ProxyVersion>) -> Self {
        // Requests to a server that gets a PROXY header use HTTP/1.1, because HTTP/2 would share connections between clients.
        let offered = if header.is_some() { &configs.http1 } else { &configs.any };
        let mut without_alpn = ClientConfig::clone(&configs.http1);
        without_alpn.alpn_protocols.clear();
        Connectors {
            servers: connector(header, offered),
            others: connector(None, &configs.any),
            handshake_tls: Arc::new(without_alpn),
            header,
        }
    }

    /// A connector for handshakes without HTTP, which ask for the certificate of `name`.
    ///
    /// # Errors
    /// `name` is no host name.
    pub fn handshakes(&self, name: &str) -> Result<Connector, String> {
        let name = ServerName::try_from(name.to_owned()).map_err(|_| format!("{name:?} is no host name"))?;
        let (tcp, tls) = (TcpConnector::new(self.header), Arc::clone(&self.handshake_tls));
        Ok(HttpsConnector::new(tcp, tls, true, Arc::new(FixedServerNameResolver::new(name))))
    }
}

fn connector(header: Option<ProxyVersion>, tls: &Arc<ClientConfig>) -> Connector {
    HttpsConnector::from((TcpConnector::new(header), Arc::clone(tls)))
}

/// Opens TCP connections.
#[derive(Clone)]
pub struct TcpConnector {
    tcp: HttpConnector,
    header: Option<ProxyVersion>,
}

impl TcpConnector {
    /// Connections begin with a PROXY header that says that the proxy speaks for itself, if there is a version.
    pub fn new(header: Option<ProxyVersion>) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        TcpConnector { tcp, header }
    }
}

impl Service<Uri> for TcpConnector {
    type Response = TokioIo<TcpStream>;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.tcp.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let (connecting, header) = (self.tcp.call(to), self.header);
        Box::pin(async move {
            let mut stream = connecting.await?;
            if let Some(version) = header {
                stream.inner_mut().write_all(&local_header(version)).await?;
            }
            Ok(stream)
        })
    }
}
