//! Runs the request side of a chain of middlewares.

use super::forward_auth;
use super::local_reply::LocalReply;
use super::trace;
use crate::config::snapshot::ServerEndpoint;
use crate::http::Reply;
use crate::middleware::{Chain, ChainProgress};
use crate::worker::resources::client_info::ClientInfo;
use crate::worker::resources::context::ExchangeContext;
use crate::worker::resources::dial::Dial;
use crate::worker::worker::Worker;

/// Runs a chain on the request, with the calls and checks that its middlewares need. `auth` is the server of the chain's forward
/// authentication.
///
/// # Errors
/// The local reply of a middleware that does not let the request pass.
pub async fn run_request_chain<D: Dial>(
    worker: &Worker<D>,
    chain: &Chain,
    auth: Option<&ServerEndpoint>,
    ctx: &mut ExchangeContext,
    peer: &ClientInfo,
) -> Result<(), LocalReply> {
    if chain.is_empty() {
        return Ok(());
    }
    let mut progress = {
        let (mut request, info, state) = ctx.chain_input(peer, worker.proxies(peer), worker.now());
        chain.on_request(0, &mut request, &info, state)
    };
    loop {
        progress = match progress {
            ChainProgress::Done => return Ok(()),
            ChainProgress::Reply { reply, label, at } => {
                return Err(LocalReply { reply, log_label: label, chain_index: at });
            }
            ChainProgress::Call { mut call, at } => {
                trace::begin_call(worker, ctx, &mut call, auth);
                let fetched = Box::pin(forward_auth::call(worker, &call, auth)).await;
                match &fetched {
                    Some(fetched) => trace::ended(worker, ctx, fetched.status()),
                    None => trace::failed(worker, ctx, &"no response"),
                }
                let response = fetched.as_ref().map(forward_auth::FetchedAuthResponse::as_auth_response);
                let (mut request, info, state) = ctx.chain_input(peer, worker.proxies(peer), worker.now());
                chain.on_auth_response(at, response, &mut request, &info, state)
            }
            ChainProgress::Verify { verify, at } => {
                let verdict = worker.shared.verify.run(move || verify.run()).await;
                let Some(matches) = worker.verdict(verdict) else {
                    return Err(LocalReply {
                        reply: Reply::text(503, "Service Unavailable"),
                        log_label: None,
                        chain_index: at,
                    });
                };
                let (mut request, info, state) = ctx.chain_input(peer, worker.proxies(peer), worker.now());
                chain.on_verified(at, matches, &mut request, &info, state)
            }
        };
    }
}
