//! The labels of metrics that come from a request, as small numbers.

/// The method label. Methods outside RFC 9110 and RFC 5789 share `Extension`, so that a client cannot create series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    Connect,
    Delete,
    Extension,
    Get,
    Head,
    Options,
    Patch,
    Post,
    Put,
    Trace,
}

/// The protocol label (docs/reference/metrics.md#labels).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    Http,
    /// The request's Accept has `text/event-stream`.
    Sse,
    Websocket,
}

const METHODS: [Method; 10] = [
    Method::Connect,
    Method::Delete,
    Method::Extension,
    Method::Get,
    Method::Head,
    Method::Options,
    Method::Patch,
    Method::Post,
    Method::Put,
    Method::Trace,
];
const PROTOCOLS: [Protocol; 3] = [Protocol::Http, Protocol::Sse, Protocol::Websocket];

/// The number of pairs of method and protocol.
pub(super) const PAIRS: usize = METHODS.len() * PROTOCOLS.len();

impl Method {
    pub fn of(text: &[u8]) -> Self {
        match text {
            b"GET" => Method::Get,
            b"POST" => Method::Post,
            b"PUT" => Method::Put,
            b"HEAD" => Method::Head,
            b"DELETE" => Method::Delete,
            b"OPTIONS" => Method::Options,
            b"PATCH" => Method::Patch,
            b"CONNECT" => Method::Connect,
            b"TRACE" => Method::Trace,
            _ => Method::Extension,
        }
    }

    pub fn label(self) -> &'static str {
        match self {
            Method::Connect => "CONNECT",
            Method::Delete => "DELETE",
            Method::Extension => "EXTENSION_METHOD",
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Options => "OPTIONS",
            Method::Patch => "PATCH",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Trace => "TRACE",
        }
    }
}

impl Protocol {
    /// The label of a request: `Websocket` if it is a WebSocket upgrade, else by its Accept field.
    pub fn of(websocket: bool, accept: Option<&[u8]>) -> Self {
        if websocket {
            return Protocol::Websocket;
        }
        match accept {
            Some(accept) if memchr::memmem::find(accept, b"text/event-stream").is_some() => Protocol::Sse,
            _ => Protocol::Http,
        }
    }

    pub fn label(self) -> &'static str {
        match self {
            Protocol::Http => "http",
            Protocol::Sse => "sse",
            Protocol::Websocket => "websocket",
        }
    }
}

/// The index of a pair, less than [`PAIRS`].
pub(super) fn pair(method: Method, protocol: Protocol) -> usize {
    method as usize * PROTOCOLS.len() + protocol as usize
}

/// The pair at an index; indices beyond the last wrap around.
pub(super) fn pair_at(index: usize) -> (Method, Protocol) {
    (METHODS[index / PROTOCOLS.len() % METHODS.len()], PROTOCOLS[index % PROTOCOLS.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pair_index_round_trips() {
        for index in 0..PAIRS {
            let (method, protocol) = pair_at(index);
            assert_eq!(pair(method, protocol), index);
            assert_eq!(Method::of(method.label().as_bytes()), method);
        }
    }

    #[test]
    fn labels_follow_method_and_accept_field() {
        assert_eq!(Method::of(b"get"), Method::Extension);
        assert_eq!(Method::of(b"PROPFIND"), Method::Extension);
        assert_eq!(Protocol::of(true, Some(b"text/event-stream")), Protocol::Websocket);
        assert_eq!(Protocol::of(false, Some(b"text/html, text/event-stream;q=0.9")), Protocol::Sse);
        assert_eq!(Protocol::of(false, None), Protocol::Http);
    }
}
