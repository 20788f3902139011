//! Error pages: the page of another backend replaces a response, under the response's status (docs/reference/middlewares.md#error-pages).

use super::chain::run_request_chain;
use super::fetch::{FetchError, FetchRequest, fetch};
use super::local_reply::LocalReply;
use super::race::{First, race};
use super::reply::send_from_entry_point;
use super::request_body::wait_for_disconnect;
use super::request_record::RequestRecord;
use super::retry_state::{AttemptTarget, RetryState};
use super::trace;
use crate::config::snapshot::{Backend, ErrorPageSource, Frontend, ServerEndpoint};
use crate::http::edits::{EditRef, push_value};
use crate::http::forward::push_target;
use crate::http::{KnownField, Reply, is_forwarding_field, is_precondition};
use crate::limits;
use crate::middleware::Response;
use crate::middleware::error_pages::{ErrorPageRequest, PAGE_HOST};
use crate::worker::message::stream::{ConnectionDisposition, MessageStream};
use crate::worker::resources::client_info::ClientInfo;
use crate::worker::resources::context::{ExchangeContext, UpstreamResponse};
use crate::worker::resources::dial::Dial;
use crate::worker::resources::memory_budget::{BufferedBody, Reservation};
use crate::worker::worker::Worker;

/// The reply that replaces the response.
struct FetchedPage<'w> {
    reply: Reply,
    /// The part of the memory budget that a fetched page takes until it has been sent.
    reservation: Option<Reservation<'w>>,
}

impl From<Reply> for FetchedPage<'_> {
    fn from(reply: Reply) -> Self {
        FetchedPage { reply, reservation: None }
    }
}

/// Fetches the page and sends it in the place of the response, which is dropped.
pub async fn serve<C: MessageStream, D: Dial>(
    worker: &Worker<D>,
    frontend: &Frontend,
    page_request: &ErrorPageRequest,
    ctx: &mut ExchangeContext,
    client: &mut C,
    peer: &ClientInfo,
    record: &mut RequestRecord<'_>,
) -> ConnectionDisposition {
    let source =
        frontend.slow.as_ref().and_then(|slow| slow.pages.iter().find(|page| page.name == page_request.backend));
    let found = source.and_then(|source| source.backend.as_ref().map(|backend| (source, backend)));
    let FetchedPage { reply, reservation } = match found {
        // The page is not fetched to its end for a client that has disconnected.
        Some((source, backend)) => {
            match race(
                wait_for_disconnect(worker, client.split().0),
                page(worker, source, backend, page_request, ctx, peer),
            )
            .await
            {
                First::Response(page) => page,
                First::Upload(_) => {
                    record.client_failed(None);
                    return ConnectionDisposition::Close;
                }
            }
        }
        // The page's backend is not reachable through this entry point: no frontend routes to it.
        None => Reply::text(500, "Internal Server Error").into(),
    };
    record.page(&reply);
    let end = send_from_entry_point(worker, ctx, client, peer, reply, None).await;
    drop(reservation);
    end
}

/// The page, under the status of the response that it replaces. A failure changes only the page's text, not the status.
async fn page<'w, D: Dial>(
    worker: &'w Worker<D>,
    source: &ErrorPageSource,
    backend: &Backend,
    page_request: &ErrorPageRequest,
    ctx: &mut ExchangeContext,
    peer: &ClientInfo,
) -> FetchedPage<'w> {
    let (inner, attempt) = (&source.inner, &source.attempt);
    let mut is_local = true;
    let mut page = match run_request_chain(worker, inner, None, ctx, peer).await {
        Err(LocalReply { reply, .. }) => reply.into(),
        Ok(()) => {
            let fetched = try_servers(worker, source, backend, page_request, ctx, peer).await;
            is_local = false;
            fetched
        }
    };
    if !is_local {
        let (request, info, state) = ctx.chain_input(peer, worker.proxies(peer), worker.now());
        let mut response = Response::Local(&mut page.reply);
        let _ = attempt.on_response(attempt.middlewares().len(), &request, &mut response, &info, state);
        let _ = inner.on_response(inner.middlewares().len(), &request, &mut response, &info, state);
    }
    page.reply.status = page_request.status;
    page
}

async fn try_servers<'w, D: Dial>(
    worker: &'w Worker<D>,
    source: &ErrorPageSource,
    backend: &Backend,
    page_request: &ErrorPageRequest,
    ctx: &mut ExchangeContext,
    peer: &ClientInfo,
) -> FetchedPage<'w> {
    let configured = source.buffering.as_ref().and_then(|buffering| buffering.response_bytes_max);
    let body_bytes_max =
        configured.map_or(limits::PAGE_BODY_BYTES_MAX, |max| bounded(max, limits::PAGE_BODY_BYTES_MAX));
    let target = AttemptTarget { backend, attempt: &source.attempt, retry: source.retry };
    let mut retries = RetryState::new(target, ctx);
    loop {
        let lease = match retries.next(worker, ctx, peer, || {}).await {
            Ok(lease) => lease,
            Err(final_reply) => return final_reply.local_reply.reply.into(),
        };
        let endpoint = &backend.endpoints[lease.index];
        trace::begin_page(worker, ctx, &source.name, backend, endpoint, &page_request.target);
        let head = request(worker, source, endpoint, page_request, ctx, peer);
        let request = FetchRequest {
            head,
            body: &[],
            is_head: false,
            repeatable: true,
            body_bytes_max,
            endpoint,
            binds: ctx.view().binds_connection(),
            client: Some(peer),
            owner: None,
        };
        let mut response = UpstreamResponse { is_probe: lease.is_probe, ..UpstreamResponse::default() };
        let error = match fetch(worker, request, &mut response).await {
            Ok(body) => {
                trace::ended(worker, ctx, response.head.status);
                let cookie = backend.balancer.set_cookie(&lease);
                return fetched(&response, body, cookie);
            }
            Err(FetchError::TooLarge) => {
                trace::failed(worker, ctx, &"page too long");
                tracing::warn!(backend = %backend.name, server = %endpoint.url, "the error page is longer than {body_bytes_max} bytes, or too much is held in memory already");
                return Reply::text(500, "Internal Server Error").into();
            }
            Err(FetchError::Failed(error)) => error,
        };
        trace::failed(worker, ctx, &error);
        tracing::warn!(backend = %backend.name, server = %endpoint.url, "cannot fetch the error page: {error}");
        if !retries.on_failure(&lease, error, false) {
            return retries.final_reply().local_reply.reply.into();
        }
    }
}

/// A configured number of bytes, limited to `max`.
pub fn bounded(configured: u64, max: usize) -> usize {
    usize::try_from(configured).map_or(max, |bytes| bytes.min(max))
}

fn fetched<'w>(response: &UpstreamResponse, body: BufferedBody<'w>, cookie: Option<String>) -> FetchedPage<'w> {
    let (body, reservation) = body.into_parts();
    let mut reply = Reply { status: response.head.status, body: body.into(), ..Reply::default() };
    for field in &response.head.fields {
        if field.hop || field.known.belongs_to_connection() || field.known == KnownField::Date {
            continue;
        }
        let name = String::from_utf8_lossy(field.name.of(&response.bytes)).into_owned();
        reply = reply.with(name, field.value.of(&response.bytes).to_vec());
    }
    if let Some(cookie) = cookie {
        reply = reply.with("Set-Cookie", cookie.into_bytes());
    }
    FetchedPage { reply, reservation: Some(reservation) }
}

/// The head of the `GET` for the page. It has the client's fields, but for conditions and ranges, which concern the resource that the client
/// asked for; the proxy adds neither X-Forwarded-For nor X-Real-Ip: the request is not made on the client's behalf.
fn request<D: Dial>(
    worker: &Worker<D>,
    source: &ErrorPageSource,
    endpoint: &ServerEndpoint,
    page_request: &ErrorPageRequest,
    ctx: &ExchangeContext,
    peer: &ClientInfo,
) -> Vec<u8> {
    let page_host = if source.is_unrouted { endpoint.authority.as_str() } else { PAGE_HOST };
    let host = if source.pass_host { page_host } else { &endpoint.authority };
    let mut out = Vec::with_capacity(ctx.bytes.len() + 256);
    out.extend_from_slice(b"GET ");
    push_target(&mut out, &page_request.target);
    out.extend_from_slice(b" HTTP/1.1\r\n");
    push(&mut out, b"Host", host.as_bytes());
    let mut sent: Vec<KnownField> = Vec::new();
    for field in &ctx.head.fields {
        let (name, value) = (field.name.of(&ctx.bytes), field.value.of(&ctx.bytes));
        let is_trusted = peer.trusted || !is_forwarding_field(name);
        let is_own = field.hop || is_precondition(name) || ctx.edits.supersedes(name);
        if !is_own && is_trusted && is_forwarded(field.known, value, peer) {
            sent.push(field.known);
            push(&mut out, name, value);
        }
    }
    for edit in ctx.edits.iter() {
        let (EditRef::Set { name, value } | EditRef::Add { name, value }) = edit else { continue };
        if is_forwarded(KnownField::of(name), value, peer) {
            sent.push(KnownField::of(name));
            push(&mut out, name, value);
        }
    }
    let port = page_host.rsplit_once(':').map_or("80", |(_, port)| port);
    let proxy_fields = [
        (KnownField::XForwardedHost, &b"X-Forwarded-Host"[..], page_host),
        (KnownField::XForwardedPort, b"X-Forwarded-Port", port),
        (KnownField::XForwardedProto, b"X-Forwarded-Proto", "http"),
        (KnownField::XForwardedServer, b"X-Forwarded-Server", &worker.shared.host_name),
    ];
    for (known, name, value) in proxy_fields {
        if !sent.contains(&known) {
            push(&mut out, name, value.as_bytes());
        }
    }
    out.extend_from_slice(b"\r\n");
    trace::append_fields(ctx, &mut out);
    out
}

fn push(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    push_value(out, value);
    out.extend_from_slice(b"\r\n");
}

/// Whether a field of the client's request is copied into the request for the page: no field about connection or body, and forwarding
/// fields only if the peer is trusted.
fn is_forwarded(known: KnownField, value: &[u8], peer: &ClientInfo) -> bool {
    match known {
        KnownField::Host | KnownField::Expect | KnownField::XForwardedServer | KnownField::ForwardedAlias => false,
        KnownField::XForwardedFor
        | KnownField::XForwardedProto
        | KnownField::XForwardedHost
        | KnownField::XForwardedPort
        | KnownField::XForwardedUri
        | KnownField::XForwardedMethod
        | KnownField::XRealIp => peer.trusted && !value.is_empty(),
        other => !other.belongs_to_connection(),
    }
}
