//! The attempts of one request: which server comes next, and whether another attempt may follow a failure (docs/reference/backends.md#retry).

use super::chain::run_request_chain;
use super::local_reply::{LocalReply, ReplySource};
use crate::backend::{Lease, PickError, TriedServers};
use crate::config::snapshot::{Backend, Frontend};
use crate::error::ProxyError;
use crate::http::Reply;
use crate::limits;
use crate::middleware::Chain;
use crate::middleware::retry::{AttemptEnd, RetryPolicy};
use crate::worker::resources::client_info::ClientInfo;
use crate::worker::resources::context::ExchangeContext;
use crate::worker::resources::dial::Dial;
use crate::worker::worker::Worker;

/// What tries are made with.
#[derive(Clone, Copy)]
pub struct AttemptTarget<'a> {
    pub backend: &'a Backend,
    /// The steps that every try passes.
    pub attempt: &'a Chain,
    pub retry: Option<RetryPolicy>,
}

impl<'a> AttemptTarget<'a> {
    pub fn of(frontend: &'a Frontend) -> Self {
        AttemptTarget { backend: &frontend.backend, attempt: &frontend.attempt, retry: frontend.retry }
    }
}

/// How far the tries of a request have come.
pub struct RetryState<'a> {
    means: AttemptTarget<'a>,
    tried: TriedServers,
    /// Leases that belong to the whole request, taken before the first try.
    held: usize,
    done: u32,
    /// A request that a server may have seen has been sent to another one: once is enough.
    repeated: bool,
    failure: Option<ProxyError>,
}

/// No further try: what the client gets.
pub struct FinalReply {
    pub local_reply: LocalReply,
    pub source: ReplySource,
}

impl<'a> RetryState<'a> {
    pub fn new(means: AttemptTarget<'a>, ctx: &ExchangeContext) -> Self {
        RetryState {
            means,
            tried: TriedServers::default(),
            held: ctx.chain_state.leases.len(),
            done: 0,
            repeated: false,
            failure: None,
        }
    }

    /// A server for the next try, after the steps that every try passes. `retried` is called for each try that follows another.
    ///
    /// # Errors
    /// The answer in place of a backend's.
    pub async fn next<D: Dial>(
        &mut self,
        worker: &Worker<D>,
        ctx: &mut ExchangeContext,
        peer: &ClientInfo,
        mut retried: impl FnMut(),
    ) -> Result<Lease, FinalReply> {
        let AttemptTarget { backend, attempt, retry } = self.means;
        loop {
            if self.done > 0 {
                retried();
            }
            self.done += 1;
            ctx.chain_state.begin_attempt(self.held);
            if let Err(refusal) = run_request_chain(worker, attempt, None, ctx, peer).await {
                let end = AttemptEnd::Local(refusal.reply.status);
                if retry.is_some_and(|retry| retry.again(self.done.max(self.limit_reached()), end)) {
                    continue;
                }
                return Err(FinalReply { local_reply: refusal, source: ReplySource::Attempt });
            }
            let cookies = ctx.view();
            let picked = backend.balancer.pick(cookies.all(b"Cookie"), &self.tried, worker.clock.mono_nanos());
            return picked.map_err(|none| self.without_server(none));
        }
    }

    /// A kept connection to the server was dead, as they are at times: no failure of its, and no try of the request's. Another server comes
    /// next, or this one again if there is none.
    pub fn on_stale(&mut self, lease: &Lease, error: ProxyError) {
        self.tried.add(lease.index);
        self.done = self.done.saturating_sub(1);
        self.repeated = true;
        self.failure = Some(error);
    }

    /// A try failed at the server: whether another one follows. A server that stops takes along what it was working on: a request that is
    /// `repeatable` goes to another one, once.
    pub fn on_failure(&mut self, lease: &Lease, error: ProxyError, repeatable: bool) -> bool {
        self.tried.add(lease.index);
        let unsent = error.is_unsent();
        let passes_over = unsent && self.done < self.allowed();
        let repeats = !unsent && repeatable && !self.repeated && self.has_others();
        self.repeated |= repeats;
        self.failure = Some(error);
        passes_over || repeats
    }

    /// Whether there is a server that the request has not been to.
    fn has_others(&self) -> bool {
        (0..self.means.backend.endpoints.len()).any(|index| !self.tried.contains(index))
    }

    /// The answer after the last try.
    pub fn final_reply(&self) -> FinalReply {
        self.without_server(PickError::NoneUp)
    }

    /// Tries in total. Without `[retry]` a server that cannot be connected to is passed over all the same, as long as there are others.
    fn allowed(&self) -> u32 {
        let servers = self.means.backend.endpoints.len().max(1);
        let own = limits::CONNECT_ATTEMPTS_MAX.min(servers) as u32;
        self.means.retry.map_or(own, |retry| retry.attempts().min(limits::RETRY_ATTEMPTS_MAX))
    }

    /// Beyond the bound of tries no policy is asked any more.
    fn limit_reached(&self) -> u32 {
        if self.done >= limits::RETRY_ATTEMPTS_MAX { u32::MAX } else { 0 }
    }

    fn without_server(&self, none: PickError) -> FinalReply {
        let (status, body) = match (&self.failure, none) {
            (Some(error), _) => error.answer(),
            (None, PickError::NoneUp) => (503, "Service Unavailable"),
            (None, PickError::AllWeightsZero) => (500, "Internal Server Error"),
        };
        let mut reply = Reply::text(status, body);
        if self.failure.is_none() && none == PickError::NoneUp {
            reply = reply.with("Retry-After", limits::RETRY_AFTER_SECS.to_string().into_bytes());
        }
        let refusal = LocalReply { reply, log_label: None, chain_index: self.means.attempt.middlewares().len() };
        FinalReply {
            local_reply: refusal,
            source: if self.failure.is_some() { ReplySource::Gateway } else { ReplySource::Attempt },
        }
    }
}
