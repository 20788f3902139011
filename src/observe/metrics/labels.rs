//! The labels of metrics that come from a request, as small numbers.

macro_rules! methods {
    ($($variant:ident = $label:literal,)+) => {
        /// The method label. Methods outside IANA's list of HTTP methods share `Extension`, so that a client cannot create series. The
        /// common methods come first: see [`COMMON_PAIRS`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Method {
            $($variant,)+
        }

        const METHODS: &[Method] = &[$(Method::$variant,)+];

        impl Method {
            pub fn label(self) -> &'static str {
                match self {
                    $(Method::$variant => $label,)+
                }
            }
        }
    };
}

methods! {
    Connect = "CONNECT",
    Delete = "DELETE",
    Extension = "EXTENSION_METHOD",
    Get = "GET",
    Head = "HEAD",
    Options = "OPTIONS",
    Patch = "PATCH",
    Post = "POST",
    Put = "PUT",
    Trace = "TRACE",
    Acl = "ACL",
    BaselineControl = "BASELINE-CONTROL",
    Bind = "BIND",
    CheckIn = "CHECKIN",
    CheckOut = "CHECKOUT",
    Copy = "COPY",
    Label = "LABEL",
    Link = "LINK",
    Lock = "LOCK",
    Merge = "MERGE",
    MkActivity = "MKACTIVITY",
    MkCalendar = "MKCALENDAR",
    MkCol = "MKCOL",
    MkRedirectRef = "MKREDIRECTREF",
    MkWorkspace = "MKWORKSPACE",
    Move = "MOVE",
    OrderPatch = "ORDERPATCH",
    PropFind = "PROPFIND",
    PropPatch = "PROPPATCH",
    Query = "QUERY",
    Rebind = "REBIND",
    Report = "REPORT",
    Search = "SEARCH",
    Unbind = "UNBIND",
    UncheckOut = "UNCHECKOUT",
    Unlink = "UNLINK",
    Unlock = "UNLOCK",
    Update = "UPDATE",
    UpdateRedirectRef = "UPDATEREDIRECTREF",
    VersionControl = "VERSION-CONTROL",
}

/// The protocol label (docs/reference/metrics.md#labels).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    Http,
    /// The request's Accept has `text/event-stream`.
    Sse,
    Websocket,
}

const PROTOCOLS: [Protocol; 3] = [Protocol::Http, Protocol::Sse, Protocol::Websocket];

/// The number of methods that most servers see: the others are those of WebDAV and its relatives.
const COMMON_METHODS: usize = Method::Trace as usize + 1;

/// The number of pairs of method and protocol.
pub(super) const PAIRS: usize = METHODS.len() * PROTOCOLS.len();

/// The pairs below this index belong to common methods.
pub(super) const COMMON_PAIRS: usize = COMMON_METHODS * PROTOCOLS.len();

/// A key of the counters holds a pair in one byte.
const _: () = assert!(PAIRS <= 256);

impl Method {
    #[inline]
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
            _ => Method::uncommon(text),
        }
    }

    fn uncommon(text: &[u8]) -> Self {
        let registered = METHODS[COMMON_METHODS..].iter().find(|method| method.label().as_bytes() == text);
        registered.copied().unwrap_or(Method::Extension)
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
#[inline]
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
        assert_eq!(Method::of(b"propfind"), Method::Extension, "methods are case-sensitive");
        assert_eq!((Method::of(b"PROPFIND"), Method::of(b"REPORT")), (Method::PropFind, Method::Report));
        for unknown in [&b"EXTENSION_METHOD"[..], b"PRI", b"*", b"X-MINE", b"PROPFIN", b""] {
            assert_eq!(Method::of(unknown), Method::Extension);
        }
        assert_eq!(Protocol::of(true, Some(b"text/event-stream")), Protocol::Websocket);
        assert_eq!(Protocol::of(false, Some(b"text/html, text/event-stream;q=0.9")), Protocol::Sse);
        assert_eq!(Protocol::of(false, None), Protocol::Http);
    }
}
