//! The PROXY protocol header with which a load balancer begins a connection (docs/reference/entry-points.md#proxy-protocol). The header is
//! read before anything judges the client's address; exactly its bytes are taken, and the rest stays for TLS or HTTP.

use std::net::SocketAddr;
use std::time::Duration;

use crate::config::snapshot::TrustedPeers;
use crate::detect::{InvalidProxy, ProxiedAddresses, ProxyHeader, parse_proxy};
use crate::limits::{self, Bound};
use crate::net::peek::{PeekVerdict, peek};
use crate::net::{ReadHalf, Tcp, is_timeout};
use crate::observe::metrics::ProxyHeaderResult;
use crate::worker::resources::client_info::unmap_ipv4;
use crate::worker::resources::dial::Dial;
use crate::worker::worker::Worker;

/// The beginning of a connection.
enum Beginning {
    /// No PROXY header.
    Other,
    /// A PROXY header, which has been taken; without addresses the peer speaks for itself.
    Header(Option<ProxiedAddresses>),
}

/// Why a connection ends before it has begun.
enum HeaderError {
    /// The peer ended the connection, or it failed, before the peer had sent anything.
    Unused,
    /// The peer sent nothing for as long as a client may.
    Silent,
    Invalid(InvalidProxy),
    Cut,
    Timeout,
}

/// Reads the PROXY header of a connection from `peer`, if there is one. Returns the addresses of the connection that the header describes;
/// the header of a peer that is not in `trusted` is skipped, and the addresses in it do not count. Where a TCP route takes the bytes of any
/// protocol, nothing is read from such a peer: its server may speak first, and what looks like a header may be the protocol.
///
/// # Errors
/// The connection ends: the header is malformed, too long, cut or slow. The reason has been counted and logged.
pub(super) async fn read_proxy_header<D: Dial>(
    worker: &Worker<D>,
    trusted: &TrustedPeers,
    entry: usize,
    tcp: &mut Tcp,
    peer: SocketAddr,
) -> Result<Option<ProxiedAddresses>, ()> {
    let (metrics, is_trusted) = (&worker.shared.metrics, trusted.includes(unmap_ipv4(peer.ip())));
    let takes_any_protocol = worker.takes_any_protocol(entry);
    if takes_any_protocol && !is_trusted {
        return Ok(None);
    }
    // Where clients speak first, a peer that sends nothing has no less time than on another entry point.
    let silence_max = match takes_any_protocol {
        true => Duration::from_secs(limits::PROXY_HEADER_SECS).min(worker.first_idle_timeout()),
        false => worker.first_idle_timeout(),
    };
    match Box::pin(beginning(worker, tcp, silence_max)).await {
        Ok(Beginning::Other) => Ok(None),
        Ok(Beginning::Header(addresses)) if is_trusted => {
            metrics.proxy_header(ProxyHeaderResult::Accepted);
            Ok(addresses)
        }
        Ok(Beginning::Header(_)) => {
            metrics.proxy_header(ProxyHeaderResult::Untrusted);
            log(
                worker,
                entry,
                peer,
                "ignored, the peer is not trusted",
                "if the peer is a load balancer, add its address to proxyProtocol.trustedIPs",
            );
            Ok(None)
        }
        Err(error) => {
            refuse(worker, entry, peer, &error, takes_any_protocol);
            Err(())
        }
    }
}

/// Waits for the first bytes for at most `silence_max`, and then for the rest of the header.
async fn beginning<D: Dial>(
    worker: &Worker<D>,
    tcp: &mut Tcp,
    silence_max: Duration,
) -> Result<Beginning, HeaderError> {
    let first_bytes = worker.deadlines.limit(silence_max);
    first_bytes.within_io(tcp.reader.readable()).await.map_err(|e| match is_timeout(&e) {
        true => HeaderError::Silent,
        false => HeaderError::Unused,
    })?;
    let limit = worker.deadlines.limit(Duration::from_secs(limits::PROXY_HEADER_SECS));
    let mut has_begun = false;
    let judge = |bytes: &[u8]| {
        has_begun = true;
        match parse_proxy(bytes) {
            Ok(ProxyHeader::Partial) => PeekVerdict::NeedsBytes(bytes.len() + 1),
            decided => PeekVerdict::Decided(decided),
        }
    };
    match peek(&mut tcp.reader, limits::PROXY_HEADER_BYTES_MAX, limit, judge).await {
        Ok(Some(Ok(ProxyHeader::Complete { len, addresses }))) => {
            tcp.reader.discard(len).map_err(|_| HeaderError::Cut)?;
            Ok(Beginning::Header(addresses))
        }
        Ok(Some(Ok(_))) => Ok(Beginning::Other),
        Ok(Some(Err(invalid))) => Err(HeaderError::Invalid(invalid)),
        Err(e) if is_timeout(&e) => Err(HeaderError::Timeout),
        Ok(None) | Err(_) if has_begun => Err(HeaderError::Cut),
        Ok(None) | Err(_) => Err(HeaderError::Unused),
    }
}

/// Counts a connection that ends because of its header, and logs what to do, unless the peer alone knows.
fn refuse<D: Dial>(worker: &Worker<D>, entry: usize, peer: SocketAddr, error: &HeaderError, takes_any_protocol: bool) {
    const CHECK_SENDER: &str =
        "check which version of the PROXY protocol the load balancer sends, and that nothing between changes it";
    let (result, what, advice) = match error {
        HeaderError::Unused => return,
        HeaderError::Silent if takes_any_protocol => {
            worker.exceeded(Bound::ProxyHeader);
            let advice = "let it send one, or remove it from proxyProtocol.trustedIPs";
            (ProxyHeaderResult::Timeout, "the trusted peer sent none", advice)
        }
        HeaderError::Silent => return worker.exceeded(worker.idle_limit(true)),
        HeaderError::Invalid(invalid @ InvalidProxy::TooLong) => {
            worker.exceeded(Bound::ProxyHeaderBytes);
            (ProxyHeaderResult::TooLong, invalid.why(), "let the load balancer send fewer additional fields (TLVs)")
        }
        HeaderError::Invalid(invalid) => (ProxyHeaderResult::Malformed, invalid.why(), CHECK_SENDER),
        HeaderError::Cut => (ProxyHeaderResult::Cut, "the connection ended within it", CHECK_SENDER),
        HeaderError::Timeout => {
            worker.exceeded(Bound::ProxyHeader);
            (ProxyHeaderResult::Timeout, "not complete within 10 s", CHECK_SENDER)
        }
    };
    worker.shared.metrics.proxy_header(result);
    log(worker, entry, peer, what, advice);
}

/// Logs a line about a peer's header, the same one once in ten minutes for each address.
fn log<D: Dial>(worker: &Worker<D>, entry: usize, peer: SocketAddr, what: &str, advice: &str) {
    let entry_point = &worker.shared.entry_points[entry].name;
    let key = format!("{entry_point} {} {what}", unmap_ipv4(peer.ip()));
    if let Some(repeated) = worker.may_log_again(&worker.shared.client_lines, &key) {
        tracing::error!(%peer, %entry_point, "PROXY header: {what}: {advice}{repeated}");
    }
}

impl<D: Dial> Worker<D> {
    /// Whether a TCP route of the entry point takes connections of any protocol, also of those whose server speaks first.
    fn takes_any_protocol(&self, entry: usize) -> bool {
        self.shared.entry_points[entry].tls.is_none()
            && self.with_snapshot(|published| {
                published.snapshot.tcp.get(entry).is_some_and(|routes| routes.catch_all().is_some())
            })
    }
}
