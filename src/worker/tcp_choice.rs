//! Chooses the TCP route of a connection by its beginning (docs/reference/layer4.md#rules). Connections and explanations share this function.

use std::sync::Arc;

use crate::config::snapshot::{TcpFrontend, TcpRoutes};
use crate::detect::client_hello::ClientHelloInfo;

/// The protocol of ACME's TLS-ALPN-01 challenges (RFC 8737 3).
const ACME_TLS: &[u8] = b"acme-tls/1";

/// The beginning of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Beginning {
    Hello(ClientHelloInfo),
    /// No ClientHello, or a malformed one.
    Opaque,
    /// The client has sent nothing, or no whole ClientHello, in time or before it ended its direction.
    Nothing,
    /// The connection has failed.
    Failed,
}

/// The choice for a connection.
pub enum Choice {
    Route { frontend: Arc<TcpFrontend>, terminates: bool, hello: Option<ClientHelloInfo> },
    Http,
    Close,
}

/// Chooses by the beginning of a connection. On an entry point with TLS, a route without passthrough takes TLS alone; anything else goes on
/// to HTTP, which answers it as on an entry point without TCP routes.
pub fn choose(routes: &TcpRoutes, beginning: Beginning, has_tls: bool) -> Choice {
    let (name, hello) = match beginning {
        Beginning::Failed => return Choice::Close,
        Beginning::Nothing if has_tls => return Choice::Close,
        Beginning::Nothing | Beginning::Opaque => (None, None),
        Beginning::Hello(hello) => (hello.server_name.clone(), Some(hello)),
    };
    let found = match &hello {
        Some(_) => routes.find(name.as_deref()),
        None => routes.catch_all(),
    };
    let Some(frontend) = found else { return Choice::Http };
    let terminates = has_tls && !frontend.passthrough;
    // The authority of ACME asks for the certificate itself.
    let is_challenge = |hello: &ClientHelloInfo| matches!(&*hello.alpn, [only] if only == ACME_TLS);
    if terminates && hello.as_ref().is_none_or(is_challenge) {
        return Choice::Http;
    }
    Choice::Route { frontend: Arc::clone(frontend), terminates, hello }
}
