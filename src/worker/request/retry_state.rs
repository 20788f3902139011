//! The attempts of one request: which server comes next, and whether another attempt may follow a failure
//! (docs/reference/backends.md#retry).

use super::chain::run_request_chain;
use super::local_reply::{LocalReply, ReplySource};
use crate::backend::{Lease, PickError, TriedServers};
use crate::config::snapshot::{Backend, Frontend};
use crate::error::ProxyError;
use crate::http::Reply;
use crate::limits;
use crate::middleware::Chain;
use crate::middleware::retry::RetryPolicy;
use crate::worker::resources::client_info::ClientInfo;
use crate::worker::resources::context::ExchangeContext;
use crate::worker::resources::dial::Dial;
use crate::worker::worker::Worker;

/// The parts of a frontend, or of an error page, that attempts need.
#[derive(Clone, Copy)]
pub struct AttemptTarget<'a> {
    pub backend: &'a Backend,
    /// The chain that every attempt runs.
    pub attempt: &'a Chain,
    pub retry: Option<RetryPolicy>,
}

impl<'a> AttemptTarget<'a> {
    pub fn of(frontend: &'a Frontend) -> Self {
        AttemptTarget { backend: &frontend.backend, attempt: &frontend.attempt, retry: frontend.retry }
    }
}

/// The progress of a request's attempts.
pub struct RetryState<'a> {
    target: AttemptTarget<'a>,
    tried: TriedServers,
    /// Leases that belong to the whole request, taken before the first attempt.
    request_permits: usize,
    attempts: u32,
    /// A request that a server may have seen has been sent to another server: that happens at most once.
    repeated: bool,
    /// The failure of the last attempt that reached for a server.
    failure: Option<ProxyError>,
}

/// The local reply that the client gets after the last attempt.
pub struct FinalReply {
    pub local_reply: LocalReply,
    pub source: ReplySource,
}

impl<'a> RetryState<'a> {
    pub fn new(target: AttemptTarget<'a>, ctx: &ExchangeContext) -> Self {
        RetryState {
            target,
            tried: TriedServers::default(),
            request_permits: ctx.chain_state.permits.len(),
            attempts: 0,
            repeated: false,
            failure: None,
        }
    }

    /// Runs the chain of the attempts and picks a server for the next attempt. `retried` is called for each attempt except the first.
    ///
    /// # Errors
    /// The local reply, if the chain makes one or no server can be picked.
    pub async fn next<D: Dial>(
        &mut self,
        worker: &Worker<D>,
        ctx: &mut ExchangeContext,
        peer: &ClientInfo,
        mut retried: impl FnMut(),
    ) -> Result<Lease, FinalReply> {
        let AttemptTarget { backend, attempt, retry } = self.target;
        loop {
            if self.attempts > 0 {
                retried();
            }
            self.attempts += 1;
            ctx.chain_state.begin_attempt(self.request_permits);
            if let Err(local_reply) = run_request_chain(worker, attempt, None, ctx, peer).await {
                let (done, status) = (self.attempts.max(self.limit_reached()), local_reply.reply.status);
                if retry.is_some_and(|retry| retry.repeats_local_reply(done, status)) {
                    continue;
                }
                return Err(FinalReply { local_reply, source: ReplySource::Attempt });
            }
            if peer.bound.has_owner()
                && let Some(lease) = self.pick_bound(worker, peer)
            {
                return Ok(lease);
            }
            let cookies = ctx.view();
            let picked = backend.balancer.pick(cookies.all(b"Cookie"), &self.tried, worker.clock.mono_nanos());
            return picked.map_err(|error| self.failure_reply().unwrap_or_else(|| self.unavailable_reply(error)));
        }
    }

    /// The server to which the client has a bound connection, if this backend has it.
    fn pick_bound<D: Dial>(&self, worker: &Worker<D>, peer: &ClientInfo) -> Option<Lease> {
        let backend = self.target.backend;
        let bound = worker.bound.server(&peer.bound, worker.clock.mono_nanos())?;
        let index = backend.endpoints.iter().position(|endpoint| endpoint.pool == bound)?;
        backend.balancer.pick_server(index, &self.tried)
    }

    /// Notes that a pooled connection was stale: the server has not failed, and the attempt does not count. Another server is next, or the
    /// same one if there is no other.
    pub fn on_stale(&mut self, lease: &Lease, error: ProxyError) {
        self.tried.add(lease.index);
        self.attempts = self.attempts.saturating_sub(1);
        self.repeated = true;
        self.failure = Some(error);
    }

    /// Notes that a server has refused the request: it shuts down, or has too many requests. The attempt does not count; another server is
    /// next.
    pub fn on_refused(&mut self, lease: &Lease, error: ProxyError) {
        self.tried.add(lease.index);
        self.attempts = self.attempts.saturating_sub(1);
        self.failure = Some(error);
    }

    /// Notes that an attempt failed at the server; returns whether another attempt follows. A server that shuts down may break off
    /// requests: a request that is `repeatable` goes to another server, once.
    pub fn on_failure(&mut self, lease: &Lease, error: ProxyError, repeatable: bool) -> bool {
        self.tried.add(lease.index);
        let unsent = error.is_unsent();
        let tries_next = unsent && self.attempts < self.allowed();
        let repeats = !unsent && repeatable && !self.repeated && self.has_others();
        self.repeated |= repeats;
        self.failure = Some(error);
        tries_next || repeats
    }

    /// Whether the backend has a server that the request has not tried.
    fn has_others(&self) -> bool {
        (0..self.target.backend.endpoints.len()).any(|index| !self.tried.contains(index))
    }

    /// The local reply after the last attempt: for the failure that [`on_failure`](Self::on_failure) has stored.
    pub fn final_reply(&self) -> FinalReply {
        self.failure_reply().unwrap_or_else(|| self.unavailable_reply(PickError::NoneUp))
    }

    /// The number of attempts allowed in total. Without `[retry]` other servers are still tried after one that cannot be connected to.
    fn allowed(&self) -> u32 {
        let servers = self.target.backend.endpoints.len().max(1);
        let own = limits::CONNECT_ATTEMPTS_MAX.min(servers) as u32;
        self.target.retry.map_or(own, |retry| retry.attempts().min(limits::RETRY_ATTEMPTS_MAX))
    }

    /// `u32::MAX` once `RETRY_ATTEMPTS_MAX` attempts have been made, so that the retry policy allows no further one; else 0.
    fn limit_reached(&self) -> u32 {
        if self.attempts >= limits::RETRY_ATTEMPTS_MAX { u32::MAX } else { 0 }
    }

    /// The local reply for the stored failure, if an attempt has failed at a server.
    fn failure_reply(&self) -> Option<FinalReply> {
        let (status, body) = self.failure.as_ref()?.answer();
        Some(self.reply_behind_chain(Reply::text(status, body), ReplySource::Gateway))
    }

    /// The local reply if no server could be picked and none has failed.
    fn unavailable_reply(&self, error: PickError) -> FinalReply {
        self.reply_behind_chain(no_server_reply(error), ReplySource::Attempt)
    }

    /// A local reply that was made behind all middlewares of the attempt's chain.
    fn reply_behind_chain(&self, reply: Reply, source: ReplySource) -> FinalReply {
        let chain_index = self.target.attempt.middlewares().len();
        FinalReply { local_reply: LocalReply { reply, log_label: None, chain_index }, source }
    }
}

/// The reply if the balancer has no server for a request.
pub fn no_server_reply(error: PickError) -> Reply {
    match error {
        PickError::NoneUp => Reply::text(503, "Service Unavailable")
            .with("Retry-After", limits::RETRY_AFTER_SECS.to_string().into_bytes()),
        PickError::AllWeightsZero => Reply::text(500, "Internal Server Error"),
    }
}
