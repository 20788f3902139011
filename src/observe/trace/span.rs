//! A finished trace as the worker hands it over: facts of the request once, and its spans.

/// The spans of one request.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    pub id: u128,
    /// B3: the trace is recorded whatever samplers say.
    pub is_debug: bool,
    pub request: RequestFacts,
    /// The first one is the entry point's.
    pub spans: Vec<Span>,
}

/// The facts about a request that its spans show; long texts are cut.
#[derive(Debug, Clone, Default)]
pub struct RequestFacts {
    pub method: String,
    /// Path and query as sent.
    pub target: String,
    /// The host that routed the request, port included.
    pub host: String,
    pub user_agent: String,
    pub is_secure: bool,
    /// `1.1`, `2`
    pub version: &'static str,
    /// The client's address, and the port of its connection.
    pub client: String,
    pub client_port: u16,
}

/// A span of a trace.
#[derive(Debug, Clone)]
pub struct Span {
    pub id: u64,
    /// 0 without a parent.
    pub parent_id: u64,
    /// Zipkin: the span has the id of the client's span.
    pub is_shared: bool,
    pub start_unix_nanos: u64,
    pub end_unix_nanos: u64,
    /// 0 if there was no response.
    pub status: u16,
    /// Why an attempt or a call failed.
    pub failure: Option<String>,
    pub detail: Detail,
}

/// The work that a span stands for.
#[derive(Debug, Clone)]
pub enum Detail {
    EntryPoint { name: String },
    Frontend { frontend: String, backend: String },
    Attempt { frontend: String, backend: String, server: String, target: String },
    ForwardAuth { url: String },
}

impl Trace {
    /// The memory that the trace takes, roughly: the queue's bound counts it.
    pub fn bytes(&self) -> usize {
        let RequestFacts { method, target, host, user_agent, client, .. } = &self.request;
        let texts = [method, target, host, user_agent, client].iter().map(|text| text.len()).sum::<usize>();
        size_of::<Trace>() + texts + self.spans.iter().map(Span::bytes).sum::<usize>()
    }
}

impl Span {
    fn bytes(&self) -> usize {
        let texts = match &self.detail {
            Detail::EntryPoint { name } => name.len(),
            Detail::Frontend { frontend, backend } => frontend.len() + backend.len(),
            Detail::Attempt { frontend, backend, server, target } => {
                frontend.len() + backend.len() + server.len() + target.len()
            }
            Detail::ForwardAuth { url } => url.len(),
        };
        size_of::<Span>() + texts + self.failure.as_ref().map_or(0, String::len)
    }
}
