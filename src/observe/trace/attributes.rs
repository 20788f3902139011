//! The attributes of spans: the tags of Traefik 1.7, and beside them those of OpenTelemetry's semantic conventions
//! (docs/reference/tracing.md#spans).

use super::span::{Detail, RequestFacts, Span};
use crate::http::host_name::split_port;

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Text(String),
    Number(i64),
    True,
}

pub type Attribute = (&'static str, Value);

/// The role of the proxy in a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanKind {
    Server,
    Client,
    Internal,
}

pub fn kind(span: &Span) -> SpanKind {
    match span.detail {
        Detail::EntryPoint { .. } => SpanKind::Server,
        Detail::Frontend { .. } => SpanKind::Internal,
        Detail::Attempt { .. } | Detail::ForwardAuth { .. } => SpanKind::Client,
    }
}

/// Whether the span is an error by OpenTelemetry's conventions: a server answers for its own failures only.
pub fn is_error(span: &Span) -> bool {
    let least = if kind(span) == SpanKind::Client { 400 } else { 500 };
    span.failure.is_some() || span.status >= least
}

/// All attributes of a span. `service_name` is the value of `component`, as in Traefik.
pub fn attributes(request: &RequestFacts, span: &Span, service_name: &str) -> Vec<Attribute> {
    let mut list = List(Vec::with_capacity(24));
    match &span.detail {
        Detail::EntryPoint { .. } => of_entry_point(request, service_name, &mut list),
        Detail::Frontend { frontend, backend } => list.names(frontend, backend),
        Detail::Attempt { frontend, backend, server, target } => {
            list.names(frontend, backend);
            let url = format!("{}{target}", server.trim_end_matches('/'));
            list.text("http.method", &request.method);
            list.text("http.host", &request.host);
            list.text("http.request.method", &request.method);
            list.url(&url);
        }
        Detail::ForwardAuth { url } => {
            list.text("http.method", "GET");
            list.text("http.host", authority(url));
            list.text("http.request.method", "GET");
            list.url(url);
        }
    }
    if span.status != 0 {
        list.number("http.status_code", span.status.into());
        list.number("http.response.status_code", span.status.into());
    }
    if let Some(failure) = &span.failure {
        list.text("error.type", failure);
    } else if is_error(span) {
        list.text("error.type", &span.status.to_string());
    }
    // Traefik marks every status from 400 on.
    if span.failure.is_some() || span.status >= 400 {
        list.0.push(("error", Value::True));
    }
    list.0
}

fn of_entry_point(request: &RequestFacts, service_name: &str, list: &mut List) {
    let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
    list.text("component", service_name);
    list.text("http.method", &request.method);
    list.text("http.url", &request.target);
    list.text("http.host", &request.host);
    list.text("http.request.method", &request.method);
    list.text("url.scheme", if request.is_secure { "https" } else { "http" });
    list.text("url.path", path);
    list.text("url.query", query);
    list.address(&request.host, if request.is_secure { 443 } else { 80 });
    list.text("client.address", &request.client);
    list.text("network.peer.address", &request.client);
    list.number("network.peer.port", request.client_port.into());
    list.text("network.protocol.version", request.version);
    list.text("user_agent.original", &request.user_agent);
}

/// A list that leaves out texts that are empty.
struct List(Vec<Attribute>);

impl List {
    fn text(&mut self, name: &'static str, text: &str) {
        if !text.is_empty() {
            self.0.push((name, Value::Text(text.to_owned())));
        }
    }

    fn number(&mut self, name: &'static str, number: i64) {
        self.0.push((name, Value::Number(number)));
    }

    fn names(&mut self, frontend: &str, backend: &str) {
        self.text("frontend.name", frontend);
        self.text("backend.name", backend);
    }

    /// The URL of a request that the proxy makes, and where it goes.
    fn url(&mut self, url: &str) {
        self.text("http.url", url);
        self.text("url.full", url);
        self.address(authority(url), if url.starts_with("https:") { 443 } else { 80 });
    }

    fn address(&mut self, authority: &str, default_port: u16) {
        let (host, port) = split_port(authority.as_bytes());
        let host = String::from_utf8_lossy(host);
        let port = port.and_then(|port| std::str::from_utf8(port).ok()?.parse::<u16>().ok());
        self.text("server.address", host.trim_start_matches('[').trim_end_matches(']'));
        if !host.is_empty() {
            self.number("server.port", port.unwrap_or(default_port).into());
        }
    }
}

/// The `host:port` of a URL.
fn authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    rest.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> RequestFacts {
        RequestFacts {
            method: "GET".into(),
            target: "/a/b?c=d".into(),
            host: "shop.test:8443".into(),
            user_agent: "curl/8".into(),
            is_secure: true,
            version: "2",
            client: "192.0.2.7".into(),
            client_port: 4711,
        }
    }

    fn span(status: u16, failure: Option<&str>, detail: Detail) -> Span {
        Span {
            id: 1,
            parent_id: 0,
            is_shared: false,
            start_unix_nanos: 0,
            end_unix_nanos: 1,
            status,
            failure: failure.map(str::to_owned),
            detail,
        }
    }

    fn shown(span: &Span) -> String {
        let line = |(name, value): Attribute| match value {
            Value::Text(text) => format!("{name}={text}\n"),
            Value::Number(number) => format!("{name}={number}\n"),
            Value::True => format!("{name}\n"),
        };
        attributes(&request(), span, "traefik").into_iter().map(line).collect()
    }

    #[test]
    fn entry_point_has_tags_of_traefik_and_of_the_conventions() {
        let span = span(404, None, Detail::EntryPoint { name: "https".into() });
        let expected = "component=traefik\nhttp.method=GET\nhttp.url=/a/b?c=d\nhttp.host=shop.test:8443\n\
            http.request.method=GET\nurl.scheme=https\nurl.path=/a/b\nurl.query=c=d\nserver.address=shop.test\n\
            server.port=8443\nclient.address=192.0.2.7\nnetwork.peer.address=192.0.2.7\nnetwork.peer.port=4711\n\
            network.protocol.version=2\nuser_agent.original=curl/8\nhttp.status_code=404\n\
            http.response.status_code=404\nerror\n";
        assert_eq!(shown(&span), expected);
        assert!(!is_error(&span), "the client's mistake is no error of the server");
    }

    #[test]
    fn failed_attempt_says_where_and_why() {
        let detail = Detail::Attempt {
            frontend: "shop".into(),
            backend: "shop-b".into(),
            server: "http://10.0.0.1:80/".into(),
            target: "/b".into(),
        };
        let span = span(0, Some("connection refused"), detail);
        let expected = "frontend.name=shop\nbackend.name=shop-b\nhttp.method=GET\nhttp.host=shop.test:8443\n\
            http.request.method=GET\nhttp.url=http://10.0.0.1:80/b\nurl.full=http://10.0.0.1:80/b\n\
            server.address=10.0.0.1\nserver.port=80\nerror.type=connection refused\nerror\n";
        assert_eq!(shown(&span), expected);
        assert!(is_error(&span) && kind(&span) == SpanKind::Client);
    }

    #[test]
    fn forward_authentication_names_its_server() {
        let span = span(401, None, Detail::ForwardAuth { url: "https://[::1]/check?x".into() });
        let text = shown(&span);
        for line in ["server.address=::1\n", "server.port=443\n", "http.host=[::1]\n", "error.type=401\n"] {
            assert!(text.contains(line), "{text}");
        }
    }
}
