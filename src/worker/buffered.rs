//! Buffering: the whole request is read before a backend sees it, the whole response before the client does, and an expression may ask
//! for the exchange again (dynamic.md 5.7). Bodies stay in memory, under bounds of their own; nothing is written to disk.

use std::cell::Cell;
use std::time::Instant;

use super::Worker;
use super::both::{Ended, both};
use super::budget::Held;
use super::exchange::End;
use super::fetch::{Errand, NotFetched, fetch};
use super::forward::{is_safe, write_head};
use super::gzip;
use super::local::{Depth, Refusal, answer_locally, finish};
use super::pages::{self, bounded};
use super::record::Record;
use super::respond::{Asked, way_back};
use super::send::send_held;
use super::talk::{Peer, Talk};
use super::tries::{GivenUp, Means, Tries};
use super::upload::{hang_up, invite_body};
use super::upstream::Dial;
use crate::config::snapshot::Frontend;
use crate::http::forward::{ResponsePlan, write_response};
use crate::http::h1::body::Decoder;
use crate::http::h1::strict::Reject;
use crate::http::{Body, Reply, ResponseView};
use crate::limits::{self, Bound};
use crate::middleware::buffering::Buffering;
use crate::middleware::error_pages::PageAsk;
use crate::net::{Pace, Transport};

/// How a round ended.
enum Round<'w> {
    /// The response: its head is in `talk.answer`.
    Whole(Held<'w>),
    TooLarge,
    GivenUp(GivenUp),
}

/// Forwards the request in `talk` under `buffering` and answers the client, whatever happens.
pub async fn forward<'s, T: Transport, D: Dial>(
    worker: &Worker<D>,
    frontend: &'s Frontend,
    buffering: &Buffering,
    talk: &mut Talk,
    client: &mut T,
    peer: &Peer,
    record: &mut Record<'s>,
) -> End {
    let bytes_max = buffering
        .request_bytes_max
        .map_or(limits::BUFFERED_BODY_BYTES_MAX, |max| bounded(max, limits::BUFFERED_BODY_BYTES_MAX));
    let body = match collect_in_time(worker, bytes_max, talk, client).await {
        Ok(body) => body,
        Err(NotRead::Client(reply)) => {
            record.client_failed(reply.as_ref());
            let Some(reply) = reply else { return End::Close };
            return answer_locally(worker, talk, client, reply.closing()).await;
        }
        Err(NotRead::Refused(reply)) => {
            let refusal = refusal(frontend, reply);
            record.refused(&refusal, None);
            return finish(worker, frontend, talk, client, peer, record, refusal, Depth::Guard).await;
        }
    };
    talk.body_read = true;
    let mut attempt = 1;
    let ended = loop {
        let going = round(worker, frontend, buffering, &body, talk, peer, record);
        let Ended::Response(ended) = both(hang_up(worker, client.split().0), going).await else {
            record.client_failed(None);
            return End::Close;
        };
        let status = match &ended {
            Round::Whole(_) => talk.answer.head.status,
            Round::GivenUp(given_up) => given_up.refusal.reply.status,
            Round::TooLarge => break ended,
        };
        if !buffering.again(attempt, talk.view().method(), status) {
            break ended;
        }
        attempt += 1;
        record.retried();
        talk.answer.forget(&worker.buffers);
    };
    match ended {
        Round::Whole(response) => deliver(worker, frontend, response, talk, client, peer, record).await,
        Round::TooLarge => {
            let refusal = refusal(frontend, Buffering::response_too_large());
            record.refused(&refusal, None);
            finish(worker, frontend, talk, client, peer, record, refusal, Depth::Guard).await
        }
        Round::GivenUp(GivenUp { refusal, depth }) => {
            record.given_up(&refusal, depth);
            finish(worker, frontend, talk, client, peer, record, refusal, depth).await
        }
    }
}

/// An answer of the buffering step, the innermost of the guard.
fn refusal(frontend: &Frontend, reply: Reply) -> Refusal {
    Refusal { reply, label: None, at: frontend.guard.steps().len().saturating_sub(1) }
}

/// Why the request's body is not there.
pub enum NotRead {
    /// The client broke off or sent something that is no body: words, if somebody is left to read them.
    Client(Option<Reply>),
    Refused(Reply),
}

/// Reads the request's whole body, of at most `max` bytes, in the time that `readTimeout` gives.
pub async fn collect_in_time<'w, T: Transport, D: Dial>(
    worker: &'w Worker<D>,
    max: usize,
    talk: &mut Talk,
    client: &mut T,
) -> Result<Held<'w>, NotRead> {
    let Some(limit) = worker.shared.timeouts.body_read else { return collect(worker, max, talk, client).await };
    let late = || {
        worker.exceeded(Bound::BodyRead);
        NotRead::Client(Some(Reply::text(408, "Request Timeout")))
    };
    worker.deadlines.within(limit, collect(worker, max, talk, client)).await.unwrap_or_else(|_| Err(late()))
}

async fn collect<'w, T: Transport, D: Dial>(
    worker: &'w Worker<D>,
    max: usize,
    talk: &mut Talk,
    client: &mut T,
) -> Result<Held<'w>, NotRead> {
    let stall = worker.stall();
    let too_large = || {
        worker.exceeded(Bound::BufferedBody);
        NotRead::Refused(Buffering::request_too_large())
    };
    let mut body = worker.budget.hold();
    let mut decoder = Decoder::new(talk.head.body);
    if decoder.remaining().is_some_and(|length| length > max as u64) {
        return Err(too_large());
    }
    if talk.head.expect_continue && talk.inbox.is_empty() {
        invite_body(client, worker).await.map_err(|_| NotRead::Client(None))?;
    }
    let mut pace = Pace::default();
    while !decoder.is_done() {
        if talk.inbox.is_empty() {
            let start = Instant::now();
            let read = stall.bound(talk.inbox.fill(client.split().0, &worker.buffers)).await;
            match read.and_then(|bytes| {
                pace.came(bytes as u64);
                pace.waited(stall.time, start.elapsed()).map(|()| bytes)
            }) {
                Ok(0) => return Err(NotRead::Client(None)),
                Ok(_) => {}
                Err(e) if e.kind() == std::io::ErrorKind::TimedOut => {
                    worker.body_failed(&e);
                    return Err(NotRead::Client(Some(Reply::text(408, "Request Timeout"))));
                }
                Err(_) => return Err(NotRead::Client(None)),
            }
        }
        let step = decoder.decode(talk.inbox.pending());
        let step = step.map_err(|invalid| {
            worker.body_refused(invalid);
            NotRead::Client(Some(Reject::from(invalid.0).reply()))
        })?;
        if let Some(range) = &step.data {
            if body.bytes().len() + range.len() > max {
                return Err(too_large());
            }
            if !body.push(&talk.inbox.pending()[range.clone()]) {
                worker.exceeded(Bound::HeldBytes);
                return Err(NotRead::Refused(Reply::text(503, "Service Unavailable")));
            }
        }
        talk.inbox.consume(step.consumed);
    }
    Ok(body)
}

/// One round: servers in turn, as `[retry]` has it, until one answers.
async fn round<'w, 's, D: Dial>(
    worker: &'w Worker<D>,
    frontend: &'s Frontend,
    buffering: &Buffering,
    body: &Held<'w>,
    talk: &mut Talk,
    peer: &Peer,
    record: &mut Record<'s>,
) -> Round<'w> {
    let backend = &frontend.backend;
    let body_bytes_max = buffering
        .response_bytes_max
        .map_or(limits::BUFFERED_BODY_BYTES_MAX, |max| bounded(max, limits::BUFFERED_BODY_BYTES_MAX));
    let outgoing = match talk.head.body {
        Body::None => Body::None,
        _ => Body::Length(body.bytes().len() as u64),
    };
    let mut tries = Tries::new(Means::of(frontend), talk);
    loop {
        let lease = match tries.next(worker, talk, peer, || record.retried()).await {
            Ok(lease) => lease,
            Err(given_up) => return Round::GivenUp(given_up),
        };
        let origin = &backend.origins[lease.index];
        record.origin(origin, worker);
        let mut head = Vec::with_capacity(talk.bytes.len() + 512);
        write_head(worker, frontend, origin, talk, peer, outgoing, &mut head);
        let is_head = talk.view().method() == b"HEAD";
        let repeatable = is_safe(talk) && talk.head.body == Body::None;
        let errand = Errand { head, body: body.bytes(), is_head, repeatable, body_bytes_max, origin };
        let error = match fetch(worker, errand, &mut talk.answer).await {
            Ok(response) => {
                if let Some(cookie) = backend.balancer.set_cookie(&lease) {
                    talk.answer.edits.add(b"Set-Cookie", cookie.as_bytes());
                }
                let status = talk.answer.head.status;
                record.answered(status);
                backend.balancer.record(&lease, status, worker.clock.mono_nanos());
                return Round::Whole(response);
            }
            Err(NotFetched::TooLarge) => return Round::TooLarge,
            Err(NotFetched::Failed(error)) => error,
        };
        let repeats = !error.is_unsent() && repeatable && error.is_broken() && !talk.answer.repeated;
        talk.answer.repeated |= repeats;
        talk.answer.forget(&worker.buffers);
        worker.complain(frontend, origin, &error);
        backend.balancer.record(&lease, error.answer().0, worker.clock.mono_nanos());
        if !tries.failed(&lease, error, repeats) {
            return Round::GivenUp(tries.give_up());
        }
    }
}

/// Brings a whole response to the client.
async fn deliver<T: Transport, D: Dial>(
    worker: &Worker<D>,
    frontend: &Frontend,
    response: Held<'_>,
    talk: &mut Talk,
    client: &mut T,
    peer: &Peer,
    record: &mut Record<'_>,
) -> End {
    if let Some(ask) = through_the_chains(worker, frontend, talk, peer) {
        drop(response);
        return pages::serve(worker, frontend, &ask, talk, client, peer, record).await;
    }
    let packed = gzip::pack(&talk.passage, &mut talk.answer, response.bytes());
    let body = packed.as_deref().unwrap_or(response.bytes());
    let framing = match talk.answer.head.body {
        Body::None => Body::None,
        _ => Body::Length(body.len() as u64),
    };
    let keep_alive = talk.head.keep_alive && !worker.is_draining();
    let mut out = std::mem::take(&mut talk.answer.out);
    out.clear();
    worker.clock.with_date(|date| {
        let answer = &talk.answer;
        let view = ResponseView { head: &answer.head, bytes: &answer.bytes, edits: &answer.edits };
        let client_version = talk.head.version;
        write_response(&mut out, view, &ResponsePlan { client_version, keep_alive, body: framing, date: Some(date) });
    });
    let sent_body = if framing == Body::None { &[] } else { body };
    record.delivered_whole(response.bytes().len() as u64, body.len() as u64);
    talk.passage.give_places_back();
    let (result, out) = send_held(client.split().1, out, sent_body, !keep_alive, worker.stall()).await;
    talk.answer.out = out;
    match worker.timed(Bound::StalledBody, result) {
        Ok(()) if keep_alive => End::KeepAlive,
        Ok(()) => End::Close,
        Err(_) => {
            record.client_failed(None);
            End::Close
        }
    }
}

fn through_the_chains<D: Dial>(
    worker: &Worker<D>,
    frontend: &Frontend,
    talk: &mut Talk,
    peer: &Peer,
) -> Option<PageAsk> {
    let Talk { head, bytes, edits, passage, answer, target, path, .. } = talk;
    let (sent_all, began) = (Cell::new(true), Cell::new(false));
    let mut asked = Asked {
        head,
        bytes,
        edits,
        passage,
        target: if path.changed { Some(target) } else { None },
        path,
        peer,
        cookie: None,
        sent_all: &sent_all,
        began: &began,
    };
    way_back(worker, frontend, &mut asked, answer)
}
