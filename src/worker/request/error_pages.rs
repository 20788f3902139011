//! Error pages: another backend's page in the place of a response, under the response's status (docs/reference/middlewares.md#error-pages).

use super::chain::run_request_chain;
use super::fetch::{FetchError, FetchRequest, fetch};
use super::local_reply::LocalReply;
use super::race::{First, race};
use super::reply::send_from_entry_point;
use super::request_body::wait_for_disconnect;
use super::request_record::RequestRecord;
use super::retry_state::{AttemptTarget, RetryState};
use crate::config::snapshot::{Backend, ErrorPageSource, Frontend, ServerEndpoint};
use crate::http::edits::{EditRef, push_value};
use crate::http::forward::push_target;
use crate::http::{KnownField, Reply, is_forwarding_field};
use crate::limits;
use crate::middleware::Response;
use crate::middleware::error_pages::{ErrorPageRequest, PAGE_HOST};
use crate::worker::message::stream::{ConnectionDisposition, MessageStream};
use crate::worker::resources::client_info::ClientInfo;
use crate::worker::resources::context::{ExchangeContext, UpstreamResponse};
use crate::worker::resources::dial::Dial;
use crate::worker::resources::memory_budget::{BufferedBody, Reservation};
use crate::worker::worker::Worker;

/// What stands in the answer's place.
struct FetchedPage<'w> {
    reply: Reply,
    /// What a fetched one takes of the worker's memory until it has been sent.
    share: Option<Reservation<'w>>,
}

impl From<Reply> for FetchedPage<'_> {
    fn from(reply: Reply) -> Self {
        FetchedPage { reply, share: None }
    }
}

/// Fetches the page and sends it. What was there to be sent before is forgotten.
pub async fn serve<C: MessageStream, D: Dial>(
    worker: &Worker<D>,
    frontend: &Frontend,
    ask: &ErrorPageRequest,
    ctx: &mut ExchangeContext,
    client: &mut C,
    peer: &ClientInfo,
    record: &mut RequestRecord<'_>,
) -> ConnectionDisposition {
    let source = frontend.slow.as_ref().and_then(|slow| slow.pages.iter().find(|page| page.name == ask.backend));
    let found = source.and_then(|source| source.backend.as_ref().map(|backend| (source, backend)));
    let FetchedPage { reply, share } = match found {
        // Nobody waits for it for somebody who has gone.
        Some((source, backend)) => {
            match race(wait_for_disconnect(worker, client.split().0), page(worker, source, backend, ask, ctx, peer))
                .await
            {
                First::Response(page) => page,
                First::Upload(_) => {
                    record.client_failed(None);
                    return ConnectionDisposition::Close;
                }
            }
        }
        // No frontend of this entry point leads to the page's backend.
        None => Reply::text(500, "Internal Server Error").into(),
    };
    record.page(&reply);
    let end = send_from_entry_point(worker, ctx, client, peer, reply, None).await;
    drop(share);
    end
}

/// The page, with the status that asked for it; a failure on the way there only changes what the client reads.
async fn page<'w, D: Dial>(
    worker: &'w Worker<D>,
    source: &ErrorPageSource,
    backend: &Backend,
    ask: &ErrorPageRequest,
    ctx: &mut ExchangeContext,
    peer: &ClientInfo,
) -> FetchedPage<'w> {
    let (guard, attempt) = (&source.inner, &source.attempt);
    let mut is_local = true;
    let mut page = match run_request_chain(worker, guard, None, ctx, peer).await {
        Err(LocalReply { reply, .. }) => reply.into(),
        Ok(()) => {
            let fetched = try_servers(worker, source, backend, ask, ctx, peer).await;
            is_local = false;
            fetched
        }
    };
    if !is_local {
        let (request, info, state) = ctx.chain_input(peer, worker.proxies(peer), worker.now());
        let mut answer = Response::Local(&mut page.reply);
        let _ = attempt.on_response(attempt.middlewares().len(), &request, &mut answer, &info, state);
        let _ = guard.on_response(guard.middlewares().len(), &request, &mut answer, &info, state);
    }
    page.reply.status = ask.status;
    page
}

async fn try_servers<'w, D: Dial>(
    worker: &'w Worker<D>,
    source: &ErrorPageSource,
    backend: &Backend,
    ask: &ErrorPageRequest,
    ctx: &mut ExchangeContext,
    peer: &ClientInfo,
) -> FetchedPage<'w> {
    let configured = source.buffering.as_ref().and_then(|buffering| buffering.response_bytes_max);
    let body_bytes_max =
        configured.map_or(limits::PAGE_BODY_BYTES_MAX, |max| bounded(max, limits::PAGE_BODY_BYTES_MAX));
    let means = AttemptTarget { backend, attempt: &source.attempt, retry: source.retry };
    let mut retries = RetryState::new(means, ctx);
    loop {
        let lease = match retries.next(worker, ctx, peer, || {}).await {
            Ok(lease) => lease,
            Err(final_reply) => return final_reply.local_reply.reply.into(),
        };
        let endpoint = &backend.endpoints[lease.index];
        let head = request(worker, source, endpoint, ask, ctx, peer);
        let request = FetchRequest { head, body: &[], is_head: false, repeatable: true, body_bytes_max, endpoint };
        let mut answer = UpstreamResponse::default();
        let error = match fetch(worker, request, &mut answer).await {
            Ok(body) => {
                let cookie = backend.balancer.set_cookie(&lease);
                return fetched(&answer, body, cookie);
            }
            Err(FetchError::TooLarge) => {
                tracing::warn!(backend = %backend.name, server = %endpoint.url, "the error page is longer than {body_bytes_max} bytes, or too much is held in memory already");
                return Reply::text(500, "Internal Server Error").into();
            }
            Err(FetchError::Failed(error)) => error,
        };
        tracing::warn!(backend = %backend.name, server = %endpoint.url, "no error page: {error}");
        if !retries.on_failure(&lease, error, false) {
            return retries.final_reply().local_reply.reply.into();
        }
    }
}

/// A configured number of bytes under a bound of ours.
pub fn bounded(configured: u64, max: usize) -> usize {
    usize::try_from(configured).map_or(max, |bytes| bytes.min(max))
}

fn fetched<'w>(answer: &UpstreamResponse, body: BufferedBody<'w>, cookie: Option<String>) -> FetchedPage<'w> {
    let (body, share) = body.into_parts();
    let mut reply = Reply { status: answer.head.status, body: body.into(), ..Reply::default() };
    for field in &answer.head.fields {
        if field.hop || field.known.belongs_to_connection() || field.known == KnownField::Date {
            continue;
        }
        let name = String::from_utf8_lossy(field.name.of(&answer.bytes)).into_owned();
        reply = reply.with(name, field.value.of(&answer.bytes).to_vec());
    }
    if let Some(cookie) = cookie {
        reply = reply.with("Set-Cookie", cookie.into_bytes());
    }
    FetchedPage { reply, share: Some(share) }
}

/// `GET` of the page with the client's own fields, but not on the client's behalf: no X-Forwarded-For and no X-Real-Ip of ours.
fn request<D: Dial>(
    worker: &Worker<D>,
    source: &ErrorPageSource,
    endpoint: &ServerEndpoint,
    ask: &ErrorPageRequest,
    ctx: &ExchangeContext,
    peer: &ClientInfo,
) -> Vec<u8> {
    let page_host = if source.is_unrouted { endpoint.authority.as_str() } else { PAGE_HOST };
    let host = if source.pass_host { page_host } else { &endpoint.authority };
    let mut out = Vec::with_capacity(ctx.bytes.len() + 256);
    out.extend_from_slice(b"GET ");
    push_target(&mut out, &ask.target);
    out.extend_from_slice(b" HTTP/1.1\r\n");
    push(&mut out, b"Host", host.as_bytes());
    let mut sent: Vec<KnownField> = Vec::new();
    for field in &ctx.head.fields {
        let (name, value) = (field.name.of(&ctx.bytes), field.value.of(&ctx.bytes));
        let is_believed = peer.trusted || !is_forwarding_field(name);
        if !field.hop && is_believed && !ctx.edits.supersedes(name) && is_forwarded(field.known, value, peer) {
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
    let ours = [
        (KnownField::XForwardedHost, &b"X-Forwarded-Host"[..], page_host),
        (KnownField::XForwardedPort, b"X-Forwarded-Port", port),
        (KnownField::XForwardedProto, b"X-Forwarded-Proto", "http"),
        (KnownField::XForwardedServer, b"X-Forwarded-Server", &worker.shared.host_name),
    ];
    for (known, name, value) in ours {
        if !sent.contains(&known) {
            push(&mut out, name, value.as_bytes());
        }
    }
    out.extend_from_slice(b"\r\n");
    out
}

fn push(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    push_value(out, value);
    out.extend_from_slice(b"\r\n");
}

/// Whether a field of the client's request goes into the page's: nothing about its connection and body, and of its word on who it is
/// only what the peer is trusted with.
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
