//! Error pages: another backend's page in the place of an answer, under the answer's status (dynamic.md 5.8).

use super::Worker;
use super::both::{Ended, both};
use super::budget::{Held, Share};
use super::exchange::End;
use super::fetch::{Errand, NotFetched, fetch};
use super::local::{Refusal, leave};
use super::record::Record;
use super::talk::{Answered, Peer, Talk};
use super::tries::{Means, Tries};
use super::upload::hang_up;
use super::upstream::Dial;
use crate::config::snapshot::{Backend, Frontend, Origin, PageSource};
use crate::http::edits::{EditRef, push_value};
use crate::http::forward::push_target;
use crate::http::{Known, Reply, is_claim};
use crate::limits;
use crate::middleware::Answer;
use crate::middleware::error_pages::{PAGE_HOST, PageAsk};
use crate::net::Transport;

/// What stands in the answer's place.
struct Page<'w> {
    reply: Reply,
    /// What a fetched one takes of the worker's memory until it has been sent.
    share: Option<Share<'w>>,
}

impl From<Reply> for Page<'_> {
    fn from(reply: Reply) -> Self {
        Page { reply, share: None }
    }
}

/// Fetches the page and sends it. What was there to be sent before is forgotten.
pub async fn serve<T: Transport, D: Dial>(
    worker: &Worker<D>,
    frontend: &Frontend,
    ask: &PageAsk,
    talk: &mut Talk,
    client: &mut T,
    peer: &Peer,
    record: &mut Record<'_>,
) -> End {
    let source = frontend.slow.as_ref().and_then(|slow| slow.pages.iter().find(|page| page.name == ask.backend));
    let found = source.and_then(|source| source.backend.as_ref().map(|backend| (source, backend)));
    let Page { reply, share } = match found {
        // Nobody waits for it for somebody who has gone.
        Some((source, backend)) => {
            match both(hang_up(worker, client.split().0), page(worker, source, backend, ask, talk, peer)).await {
                Ended::Response(page) => page,
                Ended::Body(_) => {
                    record.client_failed(None);
                    return End::Close;
                }
            }
        }
        // No frontend of this entry point leads to the page's backend.
        None => Reply::text(500, "Internal Server Error").into(),
    };
    record.page(&reply);
    let end = leave(worker, talk, client, peer, reply, None).await;
    drop(share);
    end
}

/// The page, with the status that asked for it; a failure on the way there only changes what the client reads.
async fn page<'w, D: Dial>(
    worker: &'w Worker<D>,
    source: &PageSource,
    backend: &Backend,
    ask: &PageAsk,
    talk: &mut Talk,
    peer: &Peer,
) -> Page<'w> {
    let (guard, attempt) = (&source.guard, &source.attempt);
    let mut is_local = true;
    let mut page = match super::exchange::walk(worker, guard, None, talk, peer).await {
        Err(Refusal { reply, .. }) => reply.into(),
        Ok(()) => {
            let fetched = try_servers(worker, source, backend, ask, talk, peer).await;
            is_local = false;
            fetched
        }
    };
    if !is_local {
        let (request, facts, passage) = talk.step(peer, worker.proxies(peer), worker.now());
        let mut answer = Answer::Local(&mut page.reply);
        let _ = attempt.on_response(attempt.steps().len(), &request, &mut answer, &facts, passage);
        let _ = guard.on_response(guard.steps().len(), &request, &mut answer, &facts, passage);
    }
    page.reply.status = ask.status;
    page
}

async fn try_servers<'w, D: Dial>(
    worker: &'w Worker<D>,
    source: &PageSource,
    backend: &Backend,
    ask: &PageAsk,
    talk: &mut Talk,
    peer: &Peer,
) -> Page<'w> {
    let configured = source.buffering.as_ref().and_then(|buffering| buffering.response_bytes_max);
    let body_bytes_max =
        configured.map_or(limits::PAGE_BODY_BYTES_MAX, |max| bounded(max, limits::PAGE_BODY_BYTES_MAX));
    let means = Means { backend, attempt: &source.attempt, retry: source.retry };
    let mut tries = Tries::new(means, talk);
    loop {
        let lease = match tries.next(worker, talk, peer, || {}).await {
            Ok(lease) => lease,
            Err(given_up) => return given_up.refusal.reply.into(),
        };
        let origin = &backend.origins[lease.index];
        let head = request(worker, source, origin, ask, talk, peer);
        let errand = Errand { head, body: &[], is_head: false, repeatable: true, body_bytes_max, origin };
        let mut answer = Answered::default();
        let error = match fetch(worker, errand, &mut answer).await {
            Ok(body) => {
                let cookie = backend.balancer.set_cookie(&lease);
                return fetched(&answer, body, cookie);
            }
            Err(NotFetched::TooLarge) => {
                tracing::warn!(backend = %backend.name, server = %origin.url, "the error page is longer than {body_bytes_max} bytes, or too much is held in memory already");
                return Reply::text(500, "Internal Server Error").into();
            }
            Err(NotFetched::Failed(error)) => error,
        };
        tracing::warn!(backend = %backend.name, server = %origin.url, "no error page: {error}");
        if !tries.failed(&lease, error, false) {
            return tries.give_up().refusal.reply.into();
        }
    }
}

/// A configured number of bytes under a bound of ours.
pub fn bounded(configured: u64, max: usize) -> usize {
    usize::try_from(configured).map_or(max, |bytes| bytes.min(max))
}

fn fetched<'w>(answer: &Answered, body: Held<'w>, cookie: Option<String>) -> Page<'w> {
    let (body, share) = body.into_parts();
    let mut reply = Reply { status: answer.head.status, body: body.into(), ..Reply::default() };
    for field in &answer.head.fields {
        if field.hop || field.known.belongs_to_connection() || field.known == Known::Date {
            continue;
        }
        let name = String::from_utf8_lossy(field.name.of(&answer.bytes)).into_owned();
        reply = reply.with(name, field.value.of(&answer.bytes).to_vec());
    }
    if let Some(cookie) = cookie {
        reply = reply.with("Set-Cookie", cookie.into_bytes());
    }
    Page { reply, share: Some(share) }
}

/// `GET` of the page with the client's own fields, but not on the client's behalf: no X-Forwarded-For and no X-Real-Ip of ours.
fn request<D: Dial>(
    worker: &Worker<D>,
    source: &PageSource,
    origin: &Origin,
    ask: &PageAsk,
    talk: &Talk,
    peer: &Peer,
) -> Vec<u8> {
    let page_host = if source.is_lone { origin.authority.as_str() } else { PAGE_HOST };
    let host = if source.pass_host { page_host } else { &origin.authority };
    let mut out = Vec::with_capacity(talk.bytes.len() + 256);
    out.extend_from_slice(b"GET ");
    push_target(&mut out, &ask.target);
    out.extend_from_slice(b" HTTP/1.1\r\n");
    push(&mut out, b"Host", host.as_bytes());
    let mut sent: Vec<Known> = Vec::new();
    for field in &talk.head.fields {
        let (name, value) = (field.name.of(&talk.bytes), field.value.of(&talk.bytes));
        let is_believed = peer.trusted || !is_claim(name);
        if !field.hop && is_believed && !talk.edits.supersedes(name) && goes(field.known, value, peer) {
            sent.push(field.known);
            push(&mut out, name, value);
        }
    }
    for edit in talk.edits.iter() {
        let (EditRef::Set { name, value } | EditRef::Add { name, value }) = edit else { continue };
        if goes(Known::of(name), value, peer) {
            sent.push(Known::of(name));
            push(&mut out, name, value);
        }
    }
    let port = page_host.rsplit_once(':').map_or("80", |(_, port)| port);
    let ours = [
        (Known::XForwardedHost, &b"X-Forwarded-Host"[..], page_host),
        (Known::XForwardedPort, b"X-Forwarded-Port", port),
        (Known::XForwardedProto, b"X-Forwarded-Proto", "http"),
        (Known::XForwardedServer, b"X-Forwarded-Server", &worker.shared.host_name),
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
fn goes(known: Known, value: &[u8], peer: &Peer) -> bool {
    match known {
        Known::Host | Known::Expect | Known::XForwardedServer | Known::ForwardedAlias => false,
        Known::XForwardedFor
        | Known::XForwardedProto
        | Known::XForwardedHost
        | Known::XForwardedPort
        | Known::XForwardedUri
        | Known::XForwardedMethod
        | Known::XRealIp => peer.trusted && !value.is_empty(),
        other => !other.belongs_to_connection(),
    }
}
