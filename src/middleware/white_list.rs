//! Addresses that are let in (docs/reference/entry-points.md#white-list, docs/reference/middlewares.md#white-list).

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use super::{ChainScope, Label, Request, RequestInfo, Verdict};
use crate::http::Reply;

/// A list of networks. Deliberately unlike Traefik v1, X-Forwarded-For counts only when the peer itself is trusted, and of it only the
/// last address that is no trusted proxy's, which such a proxy has seen: else every client could write itself onto the list.
#[derive(Debug)]
pub struct WhiteList {
    networks: Vec<IpNet>,
    use_x_forwarded_for: bool,
    label: Label,
}

/// Why a list cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InvalidWhiteList {
    Empty,
    Range(String),
}

impl WhiteList {
    /// Reads addresses (`10.0.0.1`) and networks (`10.0.0.0/8`; bits behind the mask are ignored, as in `1.2.3.4/24`).
    pub fn new(ranges: &[String], use_x_forwarded_for: bool, place: ChainScope) -> Result<Self, InvalidWhiteList> {
        if ranges.is_empty() {
            return Err(InvalidWhiteList::Empty);
        }
        let networks = ranges.iter().map(|range| network(range)).collect::<Result<Vec<_>, _>>()?;
        Ok(WhiteList { networks, use_x_forwarded_for, label: place.label("ipwhitelister") })
    }

    pub fn on_request(&self, request: &Request, facts: &RequestInfo) -> Verdict {
        if self.lets_in(request, facts) {
            return Verdict::Next;
        }
        Verdict::reply(Reply::text(403, "Forbidden"), &self.label)
    }

    fn lets_in(&self, request: &Request, facts: &RequestInfo) -> bool {
        if !self.use_x_forwarded_for || !facts.trusted {
            return self.contains(facts.peer);
        }
        let fields: Vec<&[u8]> = request.view().all(b"x-forwarded-for").collect();
        let mut client = facts.peer;
        for element in fields.iter().rev().flat_map(|field| field.rsplit(|&b| b == b',')) {
            // What cannot be read cannot be on the list, and whoever wrote it does not stand in for its client.
            let Some(address) = forwarded_address(element) else { return false };
            client = address.to_canonical();
            if !facts.proxies.iter().any(|proxy| proxy.contains(&client)) {
                break;
            }
        }
        self.contains(client)
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

/// An element of X-Forwarded-For: an address, or one with a port.
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
                f.write_str("the white list is empty: name at least one address, or leave it out")
            }
            InvalidWhiteList::Range(text) => {
                write!(f, "{text:?} is no address range: write an IP (10.0.0.1) or a network (10.0.0.0/8)")
            }
        }
    }
}

impl std::error::Error for InvalidWhiteList {}
