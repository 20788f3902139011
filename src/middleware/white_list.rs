//! White lists: requests of other addresses get 403 (docs/reference/middlewares.md#white-list).

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use super::{ChainScope, Label, Request, RequestInfo, Verdict};
use crate::http::Reply;

/// A list of networks. Deliberately unlike Traefik v1, X-Forwarded-For counts only if the peer itself is trusted, and in it only the
/// last address that does not belong to a trusted proxy: a trusted proxy has seen that address. Any other address may have been
/// written by the client itself.
#[derive(Debug)]
pub struct WhiteList {
    networks: Vec<IpNet>,
    use_x_forwarded_for: bool,
    label: Label,
    /// A second list that must have the address of a peer without header fields as well.
    second: Option<Box<WhiteList>>,
}

/// Why a white list cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InvalidWhiteList {
    Empty,
    Range(String),
}

impl WhiteList {
    /// Parses addresses (`10.0.0.1`) and networks (`10.0.0.0/8`; bits behind the mask are ignored, as in `1.2.3.4/24`).
    pub fn new(ranges: &[String], use_x_forwarded_for: bool, scope: ChainScope) -> Result<Self, InvalidWhiteList> {
        if ranges.is_empty() {
            return Err(InvalidWhiteList::Empty);
        }
        let networks = ranges.iter().map(|range| network(range)).collect::<Result<Vec<_>, _>>()?;
        Ok(WhiteList { networks, use_x_forwarded_for, label: scope.label("ipwhitelister"), second: None })
    }

    /// This list together with another one, for peers without header fields.
    pub fn and(mut self, other: WhiteList) -> Self {
        self.second = Some(Box::new(other));
        self
    }

    pub fn on_request(&self, request: &Request, info: &RequestInfo) -> Verdict {
        if self.allows(request, info) {
            return Verdict::Next;
        }
        Verdict::reply(Reply::text(403, "Forbidden"), &self.label)
    }

    fn allows(&self, request: &Request, info: &RequestInfo) -> bool {
        self.client(request, info).is_some_and(|client| self.contains(client))
    }

    /// The networks of the list.
    pub fn networks(&self) -> &[IpNet] {
        &self.networks
    }

    /// The address that must be in the list; `None` if X-Forwarded-For hides it.
    pub fn client(&self, request: &Request, info: &RequestInfo) -> Option<IpAddr> {
        if !self.use_x_forwarded_for || !info.trusted {
            return Some(info.peer);
        }
        let fields: Vec<&[u8]> = request.view().all(b"x-forwarded-for").collect();
        let mut client = info.peer;
        for element in fields.iter().rev().flat_map(|field| field.rsplit(|&b| b == b',')) {
            // An element that is no address hides the client's address: the address of the proxy that wrote it must not count instead.
            client = forwarded_address(element)?.to_canonical();
            if !info.proxies.iter().any(|proxy| proxy.contains(&client)) {
                break;
            }
        }
        Some(client)
    }

    /// Whether the list has the address of a peer that sends no header fields: a TCP connection or a UDP session.
    pub fn allows_address(&self, address: IpAddr) -> bool {
        self.contains(address) && self.second.as_ref().is_none_or(|second| second.allows_address(address))
    }

    fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(&address))
    }
}

fn network(range: &str) -> Result<IpNet, InvalidWhiteList> {
    let text = range.trim();
    let parsed = match text.parse::<IpAddr>() {
        Ok(address) => Some(IpNet::from(address.to_canonical())),
        Err(_) => text.parse::<IpNet>().ok(),
    };
    parsed.ok_or_else(|| InvalidWhiteList::Range(range.to_owned()))
}

/// Parses an element of X-Forwarded-For: an address with or without a port.
fn forwarded_address(element: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(element).ok()?.trim();
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    text.parse::<std::net::SocketAddr>().ok().map(|with_port| with_port.ip())
}

impl fmt::Display for InvalidWhiteList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InvalidWhiteList::Empty => {
                f.write_str("the white list is empty: list at least one address, or remove the white list")
            }
            InvalidWhiteList::Range(text) => {
                write!(f, "{text:?} is no address range: write an IP (10.0.0.1) or a network (10.0.0.0/8)")
            }
        }
    }
}

impl std::error::Error for InvalidWhiteList {}
