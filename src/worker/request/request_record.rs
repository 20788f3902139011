//! The record of one request for the counters and the access log: filled on the request path, reported once at its end.

use std::num::NonZeroU64;

use super::error_cause::ErrorSource;
use super::local_reply::{LocalReply, ReplySource};
use super::request_id::REQUEST_ID;
use super::trace;
use crate::config::snapshot::{Frontend, ServerEndpoint};
use crate::http::{KnownField, Reply};
use crate::middleware::Label;
use crate::observe::Published;
use crate::observe::access_log::{self, AccessLogFormat, FieldList};
use crate::observe::metrics::{BackendMetrics, Method, Protocol, Sample, UpstreamCounters};
use crate::observe::traffic::{ErrorFacts, Outcome, Traffic};
use crate::worker::message::stream::RelayError;
use crate::worker::resources::client_info::{ClientInfo, unmap_ipv4};
use crate::worker::resources::context::ExchangeContext;
use crate::worker::resources::dial::Dial;
use crate::worker::worker::Worker;

/// Traefik's status for a client that disconnected before its response: in logs and counters only
/// (docs/reference/logs.md#status-of-a-client-that-went-away).
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// The status of a response that the server broke off after its head, in logs and counters only: the client has got the server's status
/// (docs/reference/logs.md#status-of-a-response-that-broke-off).
const RESPONSE_CUT: u16 = 502;

/// The count of bytes before compression of a body that was not compressed; no body has as many.
const UNCOMPRESSED: u64 = u64::MAX;

/// The record of one request.
pub struct RequestRecord<'s> {
    start_unix_nanos: u64,
    start_nanos: u64,
    published: &'s Published,
    /// When the last attempt began, at 1 at the least.
    upstream_nanos: Option<NonZeroU64>,
    frontend: Option<&'s Frontend>,
    endpoint: Option<&'s ServerEndpoint>,
    label: Option<Label>,
    method: Method,
    protocol: Protocol,
    status: u16,
    upstream_status: Option<u16>,
    bytes: u64,
    /// Bytes of the request's body, and those that a tunnel passed to the server.
    received_bytes: u64,
    /// Bytes of the body before compression; [`UNCOMPRESSED`] if it was not compressed.
    plain_bytes: u64,
    retries: u32,
    is_tunnel: bool,
}

impl<'s> RequestRecord<'s> {
    pub fn begin<D: Dial>(
        worker: &Worker<D>,
        published: &'s Published,
        ctx: &ExchangeContext,
        peer: &ClientInfo,
    ) -> Self {
        let view = ctx.view();
        let record = RequestRecord {
            start_nanos: worker.clock.read(),
            start_unix_nanos: worker.clock.unix_nanos(),
            published,
            upstream_nanos: None,
            frontend: None,
            endpoint: None,
            label: None,
            method: Method::of(view.method()),
            protocol: Protocol::of(ctx.head.websocket, view.first(b"Accept")),
            status: 0,
            upstream_status: None,
            bytes: 0,
            received_bytes: 0,
            plain_bytes: UNCOMPRESSED,
            retries: 0,
            is_tunnel: false,
        };
        worker.metrics().opened(peer.entry, record.method, record.protocol);
        record
    }

    pub fn frontend(&mut self, frontend: &'s Frontend) {
        self.frontend = Some(frontend);
    }

    #[inline]
    pub fn endpoint<D: Dial>(&mut self, endpoint: &'s ServerEndpoint, worker: &Worker<D>) {
        if self.endpoint.replace(endpoint).is_none()
            && let Some(counters) = self.counters()
        {
            worker.metrics().backend_opened(counters, self.method, self.protocol);
        }
        self.upstream_nanos = NonZeroU64::new(worker.clock.mono_nanos().max(1));
    }

    /// The counters of the backend.
    #[inline]
    fn counters(&self) -> Option<&'s BackendMetrics> {
        self.frontend.and_then(|frontend| self.published.counters(frontend.backend.number))
    }

    /// The frontend and the server of the last attempt.
    #[inline]
    pub fn server(&self) -> Option<(&'s Frontend, &'s ServerEndpoint)> {
        self.frontend.zip(self.endpoint)
    }

    pub fn retried(&mut self) {
        self.retries += 1;
    }

    /// Records a local reply of a middleware or of the router.
    pub fn local_reply(&mut self, local_reply: &LocalReply, frontend: Option<&'s Frontend>) {
        self.status = local_reply.reply.status;
        self.bytes = local_reply.reply.body.len() as u64;
        self.label.clone_from(&local_reply.log_label);
        if frontend.is_some() {
            self.frontend = frontend;
        }
    }

    /// The counters of connections to the frontend's servers; `None` without `[metrics]`.
    #[inline]
    pub fn upstream_counters<D: Dial>(&self, worker: &Worker<D>) -> Option<&'s UpstreamCounters> {
        worker.metrics().upstream(self.counters()?)
    }

    /// Records how much of the request's body has been read.
    #[inline]
    pub fn request_body(&mut self, bytes: u64) {
        self.received_bytes = bytes;
    }

    /// Records that the head of a server's response has been read.
    #[inline]
    pub fn response_received<D: Dial>(&mut self, status: u16, worker: &Worker<D>) {
        if let Some((counters, chosen)) = self.upstream_counters(worker).zip(self.upstream_nanos) {
            counters.first_byte(worker.clock.mono_nanos().saturating_sub(chosen.get()));
        }
        self.status = status;
        self.upstream_status = Some(status);
    }

    /// Records the end of sending a response's body: `bytes` of payload were received from the server.
    pub fn delivered(&mut self, bytes: u64, result: &Result<(), RelayError>) {
        // For a compressed body `compressed` has stored the bytes that were sent in `plain_bytes`.
        match self.plain_bytes {
            UNCOMPRESSED => self.bytes = bytes,
            sent => (self.bytes, self.plain_bytes) = (sent, bytes),
        }
        match result {
            Ok(()) => {}
            Err(RelayError::Sink(_)) => self.status = CLIENT_CLOSED_REQUEST,
            Err(RelayError::Source(_)) => {
                self.status = RESPONSE_CUT;
                self.upstream_status = Some(RESPONSE_CUT);
            }
        }
    }

    /// Records that a body was compressed to `bytes` while it was sent; called before `delivered`.
    pub fn compressed(&mut self, bytes: u64) {
        self.plain_bytes = bytes;
    }

    /// Records a body that was held in memory: `plain` bytes from the server, and `sent` bytes to the client.
    pub fn delivered_whole(&mut self, plain: u64, sent: u64) {
        self.bytes = sent;
        self.plain_bytes = plain;
    }

    /// Records an error page that replaced the response.
    pub fn page(&mut self, reply: &Reply) {
        self.status = reply.status;
        self.bytes = reply.body.len() as u64;
    }

    /// Records the local reply after the last attempt.
    pub fn final_reply(&mut self, local_reply: &LocalReply, source: ReplySource) {
        match &local_reply.log_label {
            Some(_) => self.local_reply(local_reply, None),
            None => self.backend_failed(&local_reply.reply, source == ReplySource::Gateway),
        }
    }

    /// The status so far; 0 if there is none yet.
    pub fn status(&self) -> u16 {
        self.status
    }

    pub fn backend_failed(&mut self, reply: &Reply, was_tried: bool) {
        self.status = reply.status;
        self.bytes = reply.body.len() as u64;
        self.upstream_status = was_tried.then_some(reply.status);
    }

    pub fn client_failed(&mut self, reply: Option<&Reply>) {
        self.status = reply.map_or(CLIENT_CLOSED_REQUEST, |reply| reply.status);
    }

    pub fn tunnel_open(&mut self) {
        self.is_tunnel = true;
    }

    pub fn tunnelled(&mut self, bytes: u64, received: u64) {
        self.bytes = bytes;
        self.received_bytes = self.received_bytes.wrapping_add(received);
    }

    /// Counts the request and writes its access log line.
    pub fn finish<D: Dial>(self, worker: &Worker<D>, ctx: &mut ExchangeContext, peer: &ClientInfo) {
        let end_nanos = worker.clock.read();
        let nanos = end_nanos.saturating_sub(self.start_nanos);
        let backend_nanos = self.upstream_nanos.map_or(0, |at| end_nanos.saturating_sub(at.get()));
        let metrics = worker.metrics();
        metrics.closed(peer.entry, self.method, self.protocol);
        let counters = self.counters();
        let backend = counters.filter(|_| self.endpoint.is_some());
        if let Some(backend) = backend {
            metrics.backend_closed(backend, self.method, self.protocol);
        }
        metrics.record(&Sample {
            entry_point: peer.entry,
            backend,
            // A tunnel that ran counts as 200 (docs/reference/metrics.md#labels).
            status: if self.is_tunnel { 200 } else { self.status },
            method: self.method,
            protocol: self.protocol,
            nanos,
            backend_nanos,
            bytes: self.bytes,
            unix_secs: self.start_unix_nanos / 1_000_000_000,
        });
        if self.retries > 0
            && let Some(counters) = counters
        {
            (0..self.retries).for_each(|_| metrics.retried(counters));
        }
        if self.status >= 400 {
            let view = ctx.view();
            metrics.record_error(self.status, view.method(), view.host(), view.target(), self.start_unix_nanos);
        }
        if let Some(bytes) = self.frontend.and_then(|frontend| self.published.frontend_bytes(frontend)) {
            metrics.frontend_bytes(bytes, self.received_bytes, self.bytes);
        }
        if let Some((traffic, number)) = metrics.traffic() {
            self.observe(traffic, number, worker, ctx, (peer, nanos, backend_nanos));
        }
        if let Some(log) = &worker.access_log {
            let append = |format: &AccessLogFormat, out: &mut Vec<u8>, count: u64| {
                let offset_secs = log.local_offset_secs(self.start_unix_nanos);
                let has_request_id = worker.shared.entry_points[peer.entry].request_id;
                let extras = (count, offset_secs, has_request_id);
                format.append(&self.line(ctx, peer, nanos, backend_nanos, extras), out);
            };
            match self.frontend.and_then(|frontend| self.published.own_log(frontend, log.settings())) {
                None => log.write(append),
                Some(own) => log.write_own(own, append),
            }
        }
        trace::finish(worker, ctx, self.status, self.upstream_status);
    }

    /// Counts the request for the dashboard, and keeps an error with its cause.
    #[inline(never)]
    fn observe<D: Dial>(
        &self,
        traffic: &Traffic,
        number: usize,
        worker: &Worker<D>,
        ctx: &ExchangeContext,
        (peer, nanos, backend_nanos): (&ClientInfo, u64, u64),
    ) {
        let outcome = |nanos: u64| Outcome {
            status: if self.is_tunnel { 200 } else { self.status },
            nanos: (!self.is_tunnel).then_some(nanos),
        };
        if let Some(counters) = traffic.entry_point(peer.entry) {
            counters.record(number, outcome(nanos));
        }
        if let Some(frontend) = self.frontend {
            if let Some(counters) = self.published.frontend_traffic(frontend) {
                counters.record(number, outcome(nanos));
            }
            let server = self.endpoint.and_then(|endpoint| self.published.server_traffic(&frontend.backend, endpoint));
            if let Some(counters) = server {
                counters.record(number, outcome(backend_nanos));
            }
        }
        if self.status >= 400 {
            let facts = ErrorSource {
                status: self.status,
                answered: (!ctx.response.bytes.is_empty()).then_some(ctx.response.head.status),
                failure: &ctx.failure,
                label: self.label.as_deref(),
                has_frontend: self.frontend.is_some(),
            };
            let view = ctx.view();
            traffic.store_error(&ErrorFacts {
                unix_nanos: self.start_unix_nanos,
                status: self.status,
                method: view.method(),
                host: view.host(),
                path: view.target(),
                entry_point: &worker.shared.entry_points[peer.entry].name,
                frontend: self.frontend.map_or("", |frontend| &frontend.name),
                server: self.endpoint.map_or("", |endpoint| &endpoint.url),
                cause: &facts.cause(),
            });
        }
    }

    fn line<'a>(
        &'a self,
        ctx: &'a ExchangeContext,
        peer: &ClientInfo,
        nanos: u64,
        backend_nanos: u64,
        (count, offset_secs, has_request_id): (u64, i32, bool),
    ) -> access_log::AccessLogRecord<'a> {
        let head = &ctx.head;
        let request_fields = FieldList::Head { bytes: &ctx.bytes, fields: &head.fields };
        let origin_fields = match self.upstream_status {
            Some(_) if !ctx.response.bytes.is_empty() => {
                FieldList::Head { bytes: &ctx.response.bytes, fields: &ctx.response.head.fields }
            }
            _ => FieldList::None,
        };
        let target = head.target.of(&ctx.bytes);
        let request_id = if has_request_id { ctx.view().first(REQUEST_ID) } else { None };
        let upstream = match (&self.label, self.endpoint, self.frontend) {
            (Some(_), ..) => Some(("Traefik", target, "", self.status)),
            (None, Some(endpoint), Some(frontend)) => {
                let status = self.upstream_status.unwrap_or(self.status);
                Some((frontend.backend.name.as_str(), endpoint.url.as_bytes(), endpoint.authority.as_str(), status))
            }
            _ => None,
        };
        access_log::AccessLogRecord {
            start_unix_nanos: self.start_unix_nanos,
            local_offset_secs: offset_secs,
            duration_nanos: nanos,
            client: std::net::SocketAddr::new(unmap_ipv4(peer.address.ip()), peer.address.port()),
            forwarded_for: ctx.view().known(KnownField::XForwardedFor),
            username: (!ctx.chain_state.user.is_empty()).then_some(&ctx.chain_state.user[..]),
            host: head.host.of(&ctx.bytes),
            method: head.method.of(&ctx.bytes),
            target,
            protocol: head.version.as_str(),
            request_size: match head.body {
                crate::http::BodyFraming::Length(bytes) => bytes,
                _ => 0,
            },
            request_fields,
            request_id,
            frontend_name: self
                .label
                .as_deref()
                .or(self.frontend.map(|f| f.log_name.as_str()).filter(|_| upstream.is_some())),
            origin: upstream.map(|(backend_name, backend_url, backend_addr, status)| access_log::UpstreamRecord {
                backend_name,
                backend_url,
                backend_addr,
                status,
                size: if self.plain_bytes == UNCOMPRESSED { self.bytes } else { self.plain_bytes },
                duration_nanos: backend_nanos,
                fields: origin_fields,
            }),
            status: self.status,
            size: self.bytes,
            response_fields: FieldList::Lines(&ctx.response.sent_head),
            request_count: count,
            retry_attempts: self.retries,
            trace: trace::ids(ctx),
        }
    }
}
