//! The handler of a stream: serves one request after another, each from another stream.

use std::future::poll_fn;
use std::rc::Rc;
use std::time::Duration;

use crate::http::forward::{ReplyPlan, write_reply_head};
use crate::http::h2::connection::{Data, Opened, StreamKey};
use crate::http::{BodyFraming, RejectedRequest, Reply, Version};
use crate::limits::{self, Bound};
use crate::net::reusable_future::ReusableFuture;
use crate::worker::message::h2::Stream;
use crate::worker::message::h2::link::Link;
use crate::worker::message::stream::{HeadKind, MessageStream, MessageWriter};
use crate::worker::request::exchange::handle_request;
use crate::worker::resources::client_info::ClientInfo;
use crate::worker::resources::context::ExchangeContext;
use crate::worker::resources::dial::Dial;
use crate::worker::worker::Worker;

/// A stream whose request has arrived.
pub struct StreamInput<D: Dial> {
    pub worker: Rc<Worker<D>>,
    pub link: Rc<Link>,
    pub opened: Opened,
    pub peer: Box<ClientInfo>,
}

/// Serves one stream after another; gives the client back.
pub type StreamHandler<D> = ReusableFuture<StreamInput<D>, Box<ClientInfo>>;

/// Serves the request of a stream to its end.
pub async fn serve_stream<D: Dial>(input: StreamInput<D>) -> Box<ClientInfo> {
    let StreamInput { worker, link, opened, peer } = input;
    let mut ctx = worker.lend_context();
    let (Opened::Request(key) | Opened::Rejected(key, _)) = opened;
    match opened {
        Opened::Request(_) => serve_request(&worker, &link, key, &mut ctx, &peer).await,
        Opened::Rejected(_, rejected) => Box::pin(refuse(&worker, &link, key, rejected, &peer)).await,
    }
    ctx.clear(&worker.buffers);
    worker.give_back_context(ctx);
    if link.see(|connection| connection.is_answered_early(key)) {
        Box::pin(linger(&worker, &link, key)).await;
    }
    peer
}

/// Reads and drops the rest of a request whose response is complete. Releasing the stream resets it, and curl 7.88 loses a response that the
/// reset follows while curl still sends.
async fn linger<D: Dial>(worker: &Worker<D>, link: &Link, key: StreamKey) {
    let rest = async {
        let mut left = limits::LINGER_BYTES_MAX;
        while left > 0 {
            poll_fn(|cx| link.poll_stream(key, cx, |connection| connection.is_readable(key).then_some(()))).await;
            let mut taken = 0;
            let take = |payload: &[u8]| {
                taken = payload.len();
                true
            };
            if !matches!(link.with(|connection| connection.read_data(key, &worker.buffers, take)), Ok(Data::Part)) {
                return;
            }
            left = left.saturating_sub(taken);
        }
    };
    let limit = worker.deadlines.limit(Duration::from_secs(limits::LINGER_SECS));
    let _ = limit.within(rest).await;
}

async fn serve_request<D: Dial>(
    worker: &Worker<D>,
    link: &Link,
    key: StreamKey,
    ctx: &mut ExchangeContext,
    peer: &ClientInfo,
) {
    if ctx.bytes.capacity() == 0 {
        ctx.bytes = worker.buffers.lend();
    }
    link.with(|connection| connection.take_request(key, &mut ctx.head, &mut ctx.bytes));
    let _active = worker.begin_request();
    // The bytes of a long head stay reserved until its request has been served.
    let mut reservation = None;
    if ctx.bytes.len() > limits::HEAD_BUFFER_BYTES
        && !reservation.get_or_insert_with(|| worker.budget.reserve_head()).set(ctx.bytes.len())
    {
        worker.exceeded(Bound::HeldBytes);
        return Box::pin(reply_to(worker, link, key, &Reply::text(503, "Service Unavailable"))).await;
    }
    let mut stream = Stream::downstream(link, key, &worker.buffers, &ctx.head);
    let end = handle_request(worker, ctx, &mut stream, peer).await;
    stream.end(end);
}

/// Sends the reply to a head that is no request.
async fn refuse<D: Dial>(
    worker: &Worker<D>,
    link: &Link,
    key: StreamKey,
    rejected: RejectedRequest,
    peer: &ClientInfo,
) {
    worker.shared.metrics.head_refused();
    tracing::debug!(client = %peer.address, status = rejected.status, "request refused: {rejected}");
    reply_to(worker, link, key, &rejected.reply()).await;
}

async fn reply_to<D: Dial>(worker: &Worker<D>, link: &Link, key: StreamKey, reply: &Reply) {
    let mut stream = Stream::downstream(link, key, &worker.buffers, &crate::http::RequestHead::default());
    let writer = stream.split().1;
    worker.clock.with_date(|date| {
        let plan = ReplyPlan { version: Version::Http2, keep_alive: true, head_request: false, date: Some(date) };
        write_reply_head(writer.head(), reply, &plan);
    });
    writer.head_complete(HeadKind::Final(BodyFraming::Length(reply.body.len() as u64)));
    let sent = writer.send_body(&reply.body, false, worker.stall()).await;
    let _ = worker.timed(Bound::StalledBody, sent);
}
