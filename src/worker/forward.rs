//! One request towards its backend: pick a server, send, answer; another server when the first one never saw the request.

use std::cell::Cell;
use std::time::Duration;

use super::Worker;
use super::both::{Ended, both};
use super::buffered;
use super::exchange::End;
use super::local::{answer_locally, finish};
use super::pages;
use super::record::Record;
use super::relay::{Relay, RelayError};
use super::respond::{Asked, Responded, respond};
use super::send::send;
use super::talk::{Peer, Talk};
use super::tries::{GivenUp, Means, Tries};
use super::upload::{Over, client_failure, hang_up, in_time, invite_body, refused};
use super::upstream::{Dial, connect};
use crate::config::snapshot::{Frontend, Origin};
use crate::error::{Cause, Phase, ProxyError};
use crate::http::forward::{ForwardPlan, HostChoice, write_request};
use crate::http::h1::body::Decoder;
use crate::http::{Body, Reply, RequestView, Version};
use crate::limits::Bound;
use crate::middleware::error_pages::PageAsk;
use crate::net::{Pace, Transport, tunnel};

/// Forwards the request in `talk` and answers the client, whatever happens.
pub async fn forward<'s, T: Transport, D: Dial>(
    worker: &Worker<D>,
    frontend: &'s Frontend,
    talk: &mut Talk,
    client: &mut T,
    peer: &Peer,
    record: &mut Record<'s>,
) -> End {
    let backend = &frontend.backend;
    record.frontend(frontend);
    if let Some(slow) = &frontend.slow
        && let Some(buffering) = &slow.buffering
        && !talk.head.websocket
    {
        return Box::pin(buffered::forward(worker, frontend, buffering, talk, client, peer, record)).await;
    }
    let mut tries = Tries::new(Means::of(frontend), talk);
    loop {
        let lease = match tries.next(worker, talk, peer, || record.retried()).await {
            Ok(lease) => lease,
            Err(given_up) => {
                return Box::pin(give_up(worker, frontend, talk, client, peer, record, given_up)).await;
            }
        };
        let origin = &backend.origins[lease.index];
        record.origin(origin, worker);
        let cookie = backend.balancer.set_cookie(&lease);
        match attempt(worker, frontend, origin, cookie.as_deref(), talk, client, peer, record).await {
            Ok(outcome) => {
                backend.balancer.record(&lease, record.status(), worker.clock.mono_nanos());
                return match outcome {
                    Outcome::Done(end) => end,
                    Outcome::Page(ask) => {
                        Box::pin(pages::serve(worker, frontend, &ask, talk, client, peer, record)).await
                    }
                };
            }
            Err(Failed::Client(reply)) => {
                record.client_failed(reply.as_ref());
                let Some(reply) = reply else { return End::Close };
                return Box::pin(answer_locally(worker, talk, client, reply.closing())).await;
            }
            Err(Failed::Cut) => {
                record.client_failed(None);
                return End::Abort;
            }
            Err(Failed::Stale(error)) => {
                talk.answer.repeated = true;
                tries.stale(&lease, error);
            }
            Err(Failed::Backend(error)) => {
                worker.complain(frontend, origin, &error);
                backend.balancer.record(&lease, error.answer().0, worker.clock.mono_nanos());
                let repeatable = !error.is_unsent() && !talk.answer.repeated && is_repeatable(talk, &error);
                talk.answer.repeated |= repeatable;
                if !tries.failed(&lease, error, repeatable) {
                    let given_up = tries.give_up();
                    return Box::pin(give_up(worker, frontend, talk, client, peer, record, given_up)).await;
                }
            }
        }
    }
}

/// No server answered: the client gets what the tries ended with.
async fn give_up<T: Transport, D: Dial>(
    worker: &Worker<D>,
    frontend: &Frontend,
    talk: &mut Talk,
    client: &mut T,
    peer: &Peer,
    record: &mut Record<'_>,
    given_up: GivenUp,
) -> End {
    let GivenUp { refusal, depth } = given_up;
    record.given_up(&refusal, depth);
    finish(worker, frontend, talk, client, peer, record, refusal, depth).await
}

/// What an attempt came to.
enum Outcome {
    Done(End),
    /// The client has nothing yet: it gets this error page.
    Page(PageAsk),
}

/// Why an attempt brought no answer to the client.
pub enum Failed {
    Backend(ProxyError),
    /// A kept connection was dead, and the request may be sent again: to another server.
    Stale(ProxyError),
    /// The client broke off, or what it sent is no body: this answer if there is still somebody to read it.
    Client(Option<Reply>),
    /// The same in mid-answer, and of that answer only the connection's end tells where it ends.
    Cut,
}

impl From<ProxyError> for Failed {
    fn from(error: ProxyError) -> Self {
        Failed::Backend(error)
    }
}

/// One server's turn. A pooled connection may have been closed by the server as the request went out: then a request that is safe to
/// repeat is repeated once on a new connection (RFC 9112 9.3.1); one that may have been seen and is not safe never is.
#[expect(
    clippy::too_many_arguments,
    reason = "they are one request's whole context; a struct of them would be unpacked at once"
)]
async fn attempt<T: Transport, D: Dial>(
    worker: &Worker<D>,
    frontend: &Frontend,
    origin: &Origin,
    cookie: Option<&str>,
    talk: &mut Talk,
    client: &mut T,
    peer: &Peer,
    record: &mut Record<'_>,
) -> Result<Outcome, Failed> {
    let backend = &frontend.backend;
    let mut kept = worker.kept(origin, &talk.answer);
    loop {
        let is_kept = kept.is_some();
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => connect(worker, origin).await?,
        };
        match converse(worker, frontend, origin, cookie, &mut connection, talk, client, peer, record).await {
            Err(Failed::Backend(e)) if is_kept && is_repeatable(talk, &e) => {
                // The server may be going: another one takes the request. A sticky client stays with its own.
                if backend.origins.len() > 1 && backend.balancer.settings().sticky.is_none() {
                    return Err(Failed::Stale(e));
                }
                talk.answer.repeated = true;
            }
            Ok(done) => return Ok(conclude(worker, origin, connection, done)),
            Err(failed) => return Err(failed),
        }
    }
}

/// Whether the request may be sent again: it means the same done twice, and none of an answer has arrived.
fn is_repeatable(talk: &Talk, error: &ProxyError) -> bool {
    error.is_broken() && is_safe(talk) && talk.head.body == Body::None && talk.answer.inbox.is_empty()
}

/// Methods that mean the same done twice (RFC 9110 9.2.2).
pub fn is_safe(talk: &Talk) -> bool {
    matches!(talk.head.method.of(&talk.bytes), b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE" | b"PUT" | b"DELETE")
}

/// A connection goes back to the pool only after an exchange without anything unusual (security.md, choice d).
fn conclude<D: Dial>(worker: &Worker<D>, origin: &Origin, connection: D::Io, done: (Outcome, bool)) -> Outcome {
    let (outcome, is_reusable) = done;
    if is_reusable && !worker.is_draining() {
        worker.pool.put(origin.pool, connection, worker.clock.mono_nanos(), &worker.buffers);
    }
    outcome
}

/// Sends the request on an open connection and brings its response to the client. Gives what becomes of both connections.
#[expect(clippy::too_many_arguments, reason = "as above")]
async fn converse<T: Transport, D: Dial>(
    worker: &Worker<D>,
    frontend: &Frontend,
    origin: &Origin,
    cookie: Option<&str>,
    upstream: &mut D::Io,
    talk: &mut Talk,
    client: &mut T,
    peer: &Peer,
    record: &mut Record<'_>,
) -> Result<(Outcome, bool), Failed> {
    let stall = worker.stall();
    // A server that failed before may have begun to answer.
    talk.answer.inbox.discard(&worker.buffers);
    let mut out = std::mem::take(&mut talk.out);
    out.clear();
    write_head(worker, frontend, origin, talk, peer, talk.head.body, &mut out);
    let mut decoder = Decoder::of_request(talk.head.body, &talk.edits);
    if talk.head.expect_continue && talk.inbox.is_empty() {
        invite_body(client, worker).await?;
    }
    let Talk { inbox, head, bytes, edits, passage, answer, target, path, .. } = talk;
    let mut relay = Relay {
        decoder: &mut decoder,
        incoming: head.body,
        outgoing: head.body,
        inbox,
        buffers: &worker.buffers,
        stall,
        silence: Some(stall),
        pace: Pace::default(),
        moved: 0,
        answers: None,
        closes: false,
    };
    let is_whole = worker.relayed(relay.take_arrived(&mut out)).map_err(client_failure)?;
    let (client_reader, client_writer) = client.split();
    let (up_reader, up_writer) = upstream.split();
    let (sent_all, began) = (Cell::new(is_whole), Cell::new(false));
    let asked = Asked {
        head,
        bytes,
        edits,
        passage,
        target: if path.changed { Some(target) } else { None },
        path,
        peer,
        cookie,
        sent_all: &sent_all,
        began: &began,
    };
    if is_whole {
        let (result, returned) = send(up_writer, out, stall).await;
        talk.out = returned;
        worker.timed(Bound::StalledBody, result).map_err(|e| ProxyError::new(Phase::Send, Cause::Io(e)))?;
        out = Vec::new();
    }
    let asking = async {
        if !is_whole {
            let body = async { worker.relayed(relay.run(client_reader, up_writer, out).await.0) };
            match Box::pin(in_time(worker, body)).await {
                Ok(()) => sent_all.set(true),
                Err(RelayError::Sink(e)) => return Box::pin(refused(worker, client_reader, &began, e)).await,
                Err(e) => return Over::Client(e),
            }
        }
        Over::Client(hang_up(worker, client_reader).await)
    };
    let responding = respond(worker, frontend, up_reader, client_writer, asked, answer, record);
    let responded = match both(asking, responding).await {
        Ended::Response(received) => received?,
        Ended::Body(Over::Backend(e)) => return Err(ProxyError::new(Phase::Send, Cause::Io(e)).into()),
        Ended::Body(Over::Client(e)) if !began.get() => return Err(client_failure(e)),
        Ended::Body(Over::Client(_)) if talk.head.version == Version::Http10 => return Err(Failed::Cut),
        Ended::Body(Over::Client(_)) => return Err(Failed::Client(None)),
    };
    Ok(after(worker, upstream, talk, client, responded, sent_all.get(), record).await)
}

/// What becomes of the two connections, and the tunnel if the response opened one.
async fn after<T: Transport, D: Dial>(
    worker: &Worker<D>,
    upstream: &mut D::Io,
    talk: &mut Talk,
    client: &mut T,
    responded: Responded,
    sent_all: bool,
    record: &mut Record<'_>,
) -> (Outcome, bool) {
    if responded.upgraded {
        let (from_client, from_backend) = (talk.inbox.take(), talk.answer.inbox.take());
        record.tunnel_open();
        let (patience, silence) = (worker.stall().with(Duration::MAX), worker.stall());
        let means = tunnel::Means { pipes: &worker.buffers.pipes, patience, silence };
        let (down, _up) = Box::pin(tunnel::copy_both(client, from_client, upstream, from_backend, means)).await;
        record.tunnelled(down);
        return (Outcome::Done(End::Close), false);
    }
    let is_reusable = responded.upstream_ok && sent_all && talk.answer.inbox.is_empty();
    if let Some(ask) = responded.page {
        talk.body_read = sent_all;
        return (Outcome::Page(ask), is_reusable);
    }
    let end = match responded {
        Responded { is_cut: true, .. } => End::Abort,
        Responded { keep_alive: true, .. } if sent_all => End::KeepAlive,
        // A client that still sends, be it a body or the protocol it wanted to switch to, must not lose the answer to a reset.
        _ if !sent_all || talk.head.websocket => End::Linger,
        _ => End::Close,
    };
    (Outcome::Done(end), is_reusable)
}

/// The request's head as this server gets it; the body goes out as `body` says.
pub fn write_head<D: Dial>(
    worker: &Worker<D>,
    frontend: &Frontend,
    origin: &Origin,
    talk: &Talk,
    peer: &Peer,
    body: Body,
    out: &mut Vec<u8>,
) {
    let view = RequestView { head: &talk.head, bytes: &talk.bytes, edits: &talk.edits };
    let passes_host = frontend.pass_host && !talk.head.host.is_empty();
    let plan = ForwardPlan {
        target: talk.target(),
        host: if passes_host { HostChoice::Client } else { HostChoice::Given(origin.authority.as_bytes()) },
        client_ip: peer.ip_text.as_bytes(),
        secure: peer.secure,
        trusted: peer.trusted,
        server_name: worker.shared.host_name.as_bytes(),
        body,
        websocket: talk.head.websocket,
        // The proxy invites the body itself, once a server has taken the request: see `invite_body`.
        expect: false,
        extra: &[],
    };
    write_request(out, view, &plan);
}
