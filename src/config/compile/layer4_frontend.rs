//! Compiles TCP and UDP frontends: their options, as far as connections and datagrams can have them (docs/reference/layer4.md#options).

use std::sync::Arc;

use super::EntryPointInfo;
use super::layer4::{Layer, http_options};
use super::layer4_routes::UdpRoute;
use super::reasons::{empty_white_list, invalid_range};
use crate::config::dynamic;
use crate::config::middleware_states::{FrontendStates, StateOwner};
use crate::config::snapshot::{Backend, TcpFrontend, UdpFrontend};
use crate::diagnostics::{Code, Diagnostic};
use crate::middleware::ChainScope;
use crate::middleware::source_extractor::SourceExtractor;
use crate::middleware::tcp_max_conn::TcpMaxConn;
use crate::middleware::white_list::WhiteList;
use crate::rule::sni::{SniRoute, SniRule};

/// The parts that a TCP or UDP frontend is compiled from.
#[derive(Clone, Copy)]
pub struct Layer4Input<'a> {
    pub provider: &'a str,
    pub name: &'a str,
    pub written: &'a dynamic::Frontend,
    pub written_backend: &'a dynamic::Backend,
    pub backend: &'a Arc<Backend>,
}

impl<'a> Layer4Input<'a> {
    /// Rejects options that only requests can have: without them, the frontend would do less than its author means.
    pub fn reject_http_options(&self, layer: &Layer) -> Result<(), Diagnostic> {
        let options = http_options(self.written, self.written_backend);
        if options.is_empty() {
            return Ok(());
        }
        let unit = if matches!(layer, Layer::Udp) { "datagrams" } else { "TCP connections" };
        let text =
            format!("{} cannot be applied to {unit}, only to HTTP requests: remove what is named", options.join(", "));
        let key = options[0].split(' ').next().unwrap_or_default();
        Err(Diagnostic::new(Code::NotForLayer4, key, text))
    }

    /// The owner of the frontend's states on an entry point.
    pub fn state_owner(&self, entry: &'a EntryPointInfo) -> StateOwner<'a> {
        StateOwner {
            provider: self.provider,
            entry_point: &entry.name,
            name: self.name,
            frontend: self.written,
            backend: self.written_backend,
        }
    }

    /// The route of a TCP frontend.
    pub fn route(&self, rule: SniRule, frontend: Arc<TcpFrontend>) -> SniRoute<Arc<TcpFrontend>> {
        SniRoute {
            rule,
            priority: self.written.priority,
            provider: self.provider.to_owned(),
            name: self.name.to_owned(),
            value: frontend,
        }
    }

    /// Compiles the frontend as one of UDP, with its rank.
    ///
    /// # Errors
    /// A sentence that names the option: the frontend is rejected.
    pub fn udp_route(&self, entry: &EntryPointInfo, warnings: &mut Vec<Diagnostic>) -> Result<UdpRoute, Diagnostic> {
        let frontend = Arc::new(self.udp(entry, warnings)?);
        Ok(UdpRoute { priority: self.written.priority, provider: self.provider.to_owned(), frontend })
    }

    fn log_name(&self) -> &str {
        self.name.strip_prefix("frontend-").unwrap_or(self.name)
    }

    /// The white lists of entry point and frontend together. There is no X-Forwarded-For: the address is the peer's, or the one of a
    /// trusted PROXY header.
    fn white_list(
        &self,
        entry: &EntryPointInfo,
        warnings: &mut Vec<Diagnostic>,
    ) -> Result<Option<WhiteList>, Diagnostic> {
        let (ranges, use_xff) = match &self.written.white_list {
            Some(list) if !list.source_range.is_empty() => (&list.source_range, list.use_x_forwarded_for),
            _ => (&self.written.whitelist_source_range, false),
        };
        if use_xff {
            let text = "whiteList.useXForwardedFor ignored: connections and datagrams have no such header";
            warnings.push(Diagnostic::new(Code::NotForLayer4, "whiteList.useXForwardedFor", text));
        }
        if self.written.access_log.is_some() {
            let text = "accessLog ignored: connections and datagrams are logged in the common access log";
            warnings.push(Diagnostic::new(Code::NotForLayer4, "accessLog", text));
        }
        if ranges.is_empty() && self.written.white_list.is_some() {
            warnings.push(empty_white_list());
        }
        let scope = ChainScope::Frontend(self.log_name());
        let list = |ranges: &[String]| match ranges {
            [] => Ok(None),
            _ => WhiteList::new(ranges, false, scope).map(Some).map_err(|error| invalid_range(error.to_string())),
        };
        Ok(match (list(&entry.white_list)?, list(ranges)?) {
            (Some(outer), Some(own)) => Some(own.and(outer)),
            (outer, own) => outer.or(own),
        })
    }

    /// Compiles the frontend as one of TCP, for one entry point.
    ///
    /// # Errors
    /// A sentence that names the option: the frontend is rejected.
    pub fn tcp(
        &self,
        entry: &EntryPointInfo,
        states: &mut FrontendStates,
        warnings: &mut Vec<Diagnostic>,
    ) -> Result<TcpFrontend, Diagnostic> {
        let Layer4Input { name, written, written_backend, backend, .. } = *self;
        let max_conn =
            match written_backend.max_conn.as_ref().filter(|limit| limit.amount != 0) {
                Some(limit) => Some(max_conn(limit, states).map_err(|error| {
                    Diagnostic::new(Code::InvalidMiddleware, "maxconn", format!("maxConn: {error}"))
                })?),
                None => None,
            };
        if entry.has_auth {
            let text = format!(
                "authentication of entry point {} is one of requests: connections of this frontend pass without it",
                entry.name
            );
            warnings.push(Diagnostic::new(Code::NotForLayer4, "entryPoints", text));
        }
        if !written.alpn.is_empty() && (written.passthrough || !entry.has_tls) {
            let text = "alpn ignored: TLS does not end at this proxy";
            warnings.push(Diagnostic::new(Code::ContradictingOptions, "alpn", text));
        }
        Ok(TcpFrontend {
            name: name.to_owned(),
            log_name: self.log_name().to_owned(),
            backend: Arc::clone(backend),
            passthrough: written.passthrough,
            white_list: self.white_list(entry, warnings)?,
            max_conn,
            alpn: alpn(&written.alpn)?,
        })
    }

    fn udp(&self, entry: &EntryPointInfo, warnings: &mut Vec<Diagnostic>) -> Result<UdpFrontend, Diagnostic> {
        let Layer4Input { name, written, written_backend, backend, .. } = *self;
        if written_backend.max_conn.as_ref().is_some_and(|limit| limit.amount != 0) {
            let text = "maxconn cannot be applied to datagrams, which have no connection: remove it";
            return Err(Diagnostic::new(Code::NotForLayer4, "maxconn", text));
        }
        if !written_backend.proxy_protocol.is_empty() {
            let text = "proxyProtocol cannot be sent to udp:// servers: remove it";
            return Err(Diagnostic::new(Code::NotForLayer4, "proxyProtocol", text));
        }
        let ignored = [("passthrough", written.passthrough), ("alpn", !written.alpn.is_empty())];
        for (option, _) in ignored.iter().filter(|(_, is_set)| *is_set) {
            let text = format!("{option} ignored: datagrams are always passed on as they are");
            warnings.push(Diagnostic::new(Code::NotForLayer4, *option, text));
        }
        Ok(UdpFrontend {
            name: name.to_owned(),
            log_name: self.log_name().to_owned(),
            backend: Arc::clone(backend),
            white_list: self.white_list(entry, warnings)?,
        })
    }
}

/// The rule as it counts on an entry point: without TLS, connections have no names.
pub fn rule_on(rule: &SniRule, entry: &EntryPointInfo, warnings: &mut Vec<Diagnostic>) -> SniRule {
    let rule = rule.clone();
    if entry.has_tls || !rule.needs_name() {
        return rule;
    }
    let text = format!(
        "its rule has names, and entry point {} has no TLS: the names are ignored there, and * takes every connection",
        entry.name
    );
    warnings.push(Diagnostic::new(Code::EntryPointMismatch, "routes", text));
    rule.without_names()
}

fn max_conn(limit: &dynamic::MaxConn, states: &mut FrontendStates) -> Result<TcpMaxConn, String> {
    let source = SourceExtractor::parse(&limit.extractor_func).map_err(|error| error.to_string())?;
    TcpMaxConn::new(limit.amount, &source, states.conn(&limit.extractor_func)).map_err(str::to_owned)
}

/// The names of protocols, each of 1 to 255 bytes (RFC 7301, section 3.1).
fn alpn(names: &[String]) -> Result<Vec<Vec<u8>>, Diagnostic> {
    match names.iter().find(|name| name.is_empty() || name.len() > 255) {
        Some(name) => {
            let text = format!("alpn: {name:?} is no name of a protocol: write 1 to 255 characters");
            Err(Diagnostic::new(Code::InvalidMiddleware, "alpn", text))
        }
        None => Ok(names.iter().map(|name| name.as_bytes().to_vec()).collect()),
    }
}
