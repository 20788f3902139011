//! Runs one request through middlewares, without sockets and with a clock that the test sets.

use std::net::IpAddr;

use ipnet::IpNet;
use ringway::http::forward::{ForwardPlan, write_request};
use ringway::http::h1::{progress, request_head, response_head};
use ringway::http::{Edits, Reply, RequestHead, RequestView, ResponseHead, ResponseView};
use ringway::middleware::error_pages::ErrorPageRequest;
use ringway::middleware::{
    AuthRequest, Chain, ChainProgress, ChainState, Middleware, Now, Request, RequestInfo, Response,
};

pub struct ChainRun {
    pub chain: Chain,
    pub state: ChainState,
    pub edits: Edits,
    pub peer: IpAddr,
    pub secure: bool,
    pub trusted: bool,
    pub proxies: Vec<IpNet>,
    pub now_nanos: u64,
    /// The target after the path modifiers, if any ran.
    pub target: Option<Vec<u8>>,
    pub path_replaced: bool,
    pub added_prefix: Vec<u8>,
    pub certs: Vec<Vec<u8>>,
    bytes: Vec<u8>,
    head: RequestHead,
}

/// "Random" bytes that count up, so that tests can predict them.
pub fn counting(bytes: &mut [u8]) {
    bytes.iter_mut().zip(0u8..).for_each(|(byte, n)| *byte = n);
}

impl ChainRun {
    pub fn new(steps: Vec<Middleware>) -> Self {
        ChainRun {
            chain: Chain::new(steps),
            state: ChainState::default(),
            edits: Edits::default(),
            peer: "192.0.2.7".parse().unwrap(),
            secure: false,
            trusted: true,
            proxies: Vec::new(),
            now_nanos: 0,
            target: None,
            path_replaced: false,
            added_prefix: Vec::new(),
            certs: Vec::new(),
            bytes: Vec::new(),
            head: RequestHead::default(),
        }
    }

    /// Sends a head through the chain; its lines are given without the last empty one.
    pub fn send(&mut self, lines: &str) -> ChainProgress {
        self.bytes = format!("{}\r\n\r\n", lines.replace('\n', "\r\n")).into_bytes();
        let progress = request_head::parse_request(&self.bytes, &progress::HeadLimits::default(), &mut self.head);
        assert_eq!(progress.ok(), Some(progress::ParseProgress::Complete), "{lines}");
        self.edits.clear();
        self.state.clear();
        self.step(|chain, request, info, state| chain.on_request(0, request, info, state))
    }

    pub fn get(&mut self, host: &str, target: &str) -> ChainProgress {
        self.send(&format!("GET {target} HTTP/1.1\nHost: {host}"))
    }

    /// Runs a slow password comparison synchronously and continues.
    pub fn finish_verify(&mut self, progress: ChainProgress) -> ChainProgress {
        let ChainProgress::Verify { verify, at } = progress else { return progress };
        let matches = verify.run();
        self.step(|chain, request, info, state| chain.on_verified(at, matches, request, info, state))
    }

    /// Passes a response to the middleware that requested it; `None` for a failed call.
    pub fn answer_auth_request(&mut self, at: usize, answer: Option<(&str, &str)>) -> ChainProgress {
        let Some((lines, body)) = answer else {
            return self.step(|chain, request, info, state| chain.on_auth_response(at, None, request, info, state));
        };
        let (head, bytes) = response(lines);
        let answer = ringway::middleware::AuthResponse { head: &head, bytes: &bytes, body: body.as_bytes() };
        self.step(|chain, request, info, state| chain.on_auth_response(at, Some(answer), request, info, state))
    }

    /// Runs the response path for a backend's response; returns the final fields, and an error page to fetch.
    pub fn respond(&mut self, lines: &str) -> (Vec<(String, String)>, Option<ErrorPageRequest>) {
        self.respond_with(response(lines))
    }

    /// As [`respond`](Self::respond), for the response to a HEAD request, which has no body.
    pub fn respond_to_head(&mut self, lines: &str) -> Vec<(String, String)> {
        self.respond_with(response_to(lines, true)).0
    }

    fn respond_with(
        &mut self,
        (head, bytes): (ResponseHead, Vec<u8>),
    ) -> (Vec<(String, String)>, Option<ErrorPageRequest>) {
        let mut edits = Edits::default();
        let mut answer = Response::Backend { head: &head, bytes: &bytes, edits: &mut edits };
        let page = self.back(&mut answer);
        let mut fields = Vec::new();
        let view = ResponseView { head: &head, bytes: &bytes, edits: &edits };
        for field in head.fields.iter().map(|field| field.name.of(&bytes)) {
            if !edits.replaces(field) {
                fields.extend(head_values(&head, &bytes, field));
            }
        }
        for edit in edits.iter() {
            use ringway::http::edits::EditRef;
            if let EditRef::Set { name, value } | EditRef::Add { name, value } = edit {
                assert!(view.all(name).any(|v| v == value));
                fields.push((text(name), text(value)));
            }
        }
        (fields, page)
    }

    pub fn respond_gateway(&mut self, reply: &mut Reply) -> Option<ErrorPageRequest> {
        self.back(&mut Response::Gateway(reply))
    }

    pub fn respond_local(&mut self, reply: &mut Reply) -> Option<ErrorPageRequest> {
        self.back(&mut Response::Local(reply))
    }

    /// The value of a request field as the backend would get it.
    pub fn field(&mut self, name: &str) -> Option<String> {
        let request = Request { head: &self.head, bytes: &self.bytes, edits: &mut self.edits };
        request.first(name.as_bytes()).map(text)
    }

    fn back(&mut self, answer: &mut Response) -> Option<ErrorPageRequest> {
        self.step(|chain, request, info, state| {
            chain.on_response(chain.middlewares().len(), request, answer, info, state).map(|(page, _)| page)
        })
    }

    fn step<R>(&mut self, act: impl FnOnce(&Chain, &mut Request, &RequestInfo, &mut ChainState) -> R) -> R {
        let original = self.head.target.of(&self.bytes);
        let info = RequestInfo {
            peer: self.peer,
            peer_port: 1234,
            secure: self.secure,
            trusted: self.trusted,
            proxies: &self.proxies,
            now: Now { mono_nanos: self.now_nanos, unix_secs: 1_800_000_000 },
            target: self.target.as_deref().unwrap_or(original),
            original_target: original,
            path_replaced: self.path_replaced,
            added_prefix: &self.added_prefix,
            client_certs: &self.certs,
            random: counting,
        };
        let mut request = Request { head: &self.head, bytes: &self.bytes, edits: &mut self.edits };
        act(&self.chain, &mut request, &info, &mut self.state)
    }
}

/// The head that is sent to a backend.
pub fn forwarded(lines: &str, plan: &ForwardPlan) -> String {
    let bytes = format!("{}\r\n\r\n", lines.replace('\n', "\r\n")).into_bytes();
    let mut head = RequestHead::default();
    let progress = request_head::parse_request(&bytes, &progress::HeadLimits::default(), &mut head);
    assert_eq!(progress.ok(), Some(progress::ParseProgress::Complete), "{lines}");
    let mut out = Vec::new();
    write_request(&mut out, RequestView { head: &head, bytes: &bytes, edits: &Edits::default() }, plan);
    text(&out)
}

fn head_values(head: &ResponseHead, bytes: &[u8], name: &[u8]) -> Vec<(String, String)> {
    let field = head.fields.iter().find(|field| field.name.of(bytes) == name).unwrap();
    vec![(text(name), text(field.value.of(bytes)))]
}

fn response(lines: &str) -> (ResponseHead, Vec<u8>) {
    response_to(lines, false)
}

fn response_to(lines: &str, to_head: bool) -> (ResponseHead, Vec<u8>) {
    let bytes = format!("{}\r\n\r\n", lines.replace('\n', "\r\n")).into_bytes();
    let mut head = ResponseHead::default();
    let progress = response_head::parse_response(&bytes, to_head, &progress::HeadLimits::default(), &mut head);
    assert_eq!(progress.ok(), Some(progress::ParseProgress::Complete), "{lines}");
    (head, bytes)
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Status, fields, body and label of a local reply.
pub fn shown(progress: ChainProgress) -> (u16, Vec<(String, String)>, String, Option<String>) {
    let ChainProgress::Reply { reply, label, .. } = progress else { panic!("no answer but {progress:?}") };
    let fields = reply.fields.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    (reply.status, fields, text(&reply.body), label.map(|label| label.to_string()))
}

pub fn value<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

pub fn passes(progress: &ChainProgress) -> bool {
    matches!(progress, ChainProgress::Done)
}

pub fn asked(progress: ChainProgress) -> (AuthRequest, usize) {
    let ChainProgress::Call { call, at } = progress else { panic!("no question but {progress:?}") };
    (*call, at)
}

pub fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}
