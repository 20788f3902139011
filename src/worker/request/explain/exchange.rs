//! Explains a request in the order in which `request::exchange` handles it: internal routes, the entry point's chain, the route, the frontend's
//! chains, and the balancer.

use super::asked::Asked;
use super::backend::is_unresolved;
use super::fields::{self, change, changes, received, text, written, written_target};
use super::{Explainer, answered};
use crate::backend::Choice;
use crate::config::snapshot::{Frontend, ServerEndpoint};
use crate::http::{BodyFraming, Edits, Reply, ResponseHead, asked_head};
use crate::middleware::error_pages::ErrorPageRequest;
use crate::middleware::{Chain, Middleware, Response, Verdict};
use crate::observe::explanation::{Explanation, Outcome, PathFacts, Step};
use crate::observe::status;
use crate::rule::UntrustedHeaders;
use crate::worker::request::internal_request::{challenge, internal_request};
use crate::worker::request::outbound::write_head;
use crate::worker::request::rest_api;
use crate::worker::request::retry_state::no_server_reply;
use crate::worker::request::route::{is_misdirected, route, route_request};
use crate::worker::resources::client_info::ClientInfo;
use crate::worker::resources::context::ExchangeContext;
use crate::worker::resources::entry_point::EntryPoint;

const ENTRY_POINT: &str = "entry point";
const FRONTEND: &str = "frontend";
const ATTEMPT: &str = "attempt";

/// A request on its way through the proxy.
struct Exchange<'a> {
    explainer: &'a Explainer<'a>,
    entry: &'a EntryPoint,
    ctx: ExchangeContext,
    peer: ClientInfo,
    explanation: &'a mut Explanation,
}

impl Explainer<'_> {
    pub(super) fn request(&self, asked: &Asked, index: usize, entry: &EntryPoint, explanation: &mut Explanation) {
        let mut ctx = ExchangeContext::default();
        let (method, target, host) = (&asked.method, &asked.target, &asked.authority);
        if let Err(refused) = asked_head(method, target, host, &asked.fields, &mut ctx.bytes, &mut ctx.head) {
            explanation.outcome = answered(refused.status, format!("the request is refused: {refused}"));
            return;
        }
        let peer = ClientInfo {
            entry: index,
            address: asked.from,
            ip_text: asked.from.ip().to_canonical().to_string().into(),
            secure: entry.tls.is_some(),
            certs: Vec::new(),
            server_name: asked.sni.as_deref().filter(|_| asked.names_sni).map(Box::from),
            trusted: entry.trust.includes(asked.from.ip().to_canonical()),
            arrival: None,
            bound: Default::default(),
            has_sent_ahead: Default::default(),
        };
        Exchange { explainer: self, entry, ctx, peer, explanation }.explain();
    }
}

impl Exchange<'_> {
    fn explain(mut self) {
        if let Some(outcome) = self.internal() {
            self.explanation.outcome = outcome;
            return;
        }
        let snapshot = self.explainer.snapshot;
        if is_misdirected(self.entry, snapshot, &self.ctx, &self.peer) {
            self.explanation.outcome =
                answered(421, "the request does not belong to a connection with this server name");
            return;
        }
        if self.runs_into_reply(ENTRY_POINT, &self.entry.chain) {
            return;
        }
        let routed = route(snapshot, &mut self.ctx, &self.peer, self.explainer.flattened_host);
        let frontend = match routed {
            Ok(frontend) => frontend,
            Err(local_reply) => {
                let why = unrouted_why(&local_reply.reply);
                self.show_routes(None);
                self.answer(&local_reply.reply, why);
                return;
            }
        };
        self.show_routes(Some(frontend));
        self.show_path();
        if self.runs_into_reply(FRONTEND, &frontend.outer)
            || self.runs_into_reply(FRONTEND, &frontend.inner)
            || self.runs_into_reply(ATTEMPT, &frontend.attempt)
        {
            self.show_error_page(frontend);
            return;
        }
        self.show_backend(frontend);
    }

    /// The outcome of a request that the proxy answers ahead of all frontends.
    fn internal(&mut self) -> Option<Outcome> {
        if self.entry.serves_challenges
            && let Some(reply) = challenge(self.explainer.challenges, &self.ctx)
        {
            return Some(answered(reply.status, "an ACME challenge"));
        }
        let exposed = self.entry.exposed.as_ref();
        let route = exposed.and_then(|exposed| status::route(&internal_request(&self.ctx), exposed));
        let is_rest = route.is_none() && self.entry.serves_rest && rest_api::provider(&self.ctx).is_some();
        if route.is_none() && !is_rest {
            return None;
        }
        if route.is_none_or(|route| route.is_guarded()) && self.runs_into_reply(ENTRY_POINT, &self.entry.internal_chain)
        {
            return Some(self.explanation.outcome.clone());
        }
        let why = if is_rest {
            "the REST provider takes the document"
        } else {
            "a page of the proxy itself: it comes before all frontends"
        };
        Some(Outcome { kind: "answered".to_owned(), why: why.to_owned(), ..Outcome::default() })
    }

    /// Runs a chain. Returns whether a middleware answers the request; the outcome then says so.
    fn runs_into_reply(&mut self, name: &str, chain: &Chain) -> bool {
        for middleware in chain.middlewares() {
            let (mut request, info, state) = self.ctx.chain_input(&self.peer, self.entry.proxies(), self.explainer.now);
            let before: fields::Fields = request.fields().map(|(name, value)| (text(name), text(value))).collect();
            let mut verdict = middleware.preview(&mut request, &info, state);
            if let Verdict::Verify(job) = verdict {
                verdict = middleware.on_verified(job.run(), &mut request, state);
            }
            let after = request.fields().map(|(name, value)| (text(name), text(value))).collect();
            let why = middleware.reason(&request, &info, state, &verdict);
            let (word, status) = match &verdict {
                Verdict::Next | Verdict::Verify(_) => ("passes", None),
                Verdict::Reply { reply, .. } => ("answers", Some(reply.status)),
                Verdict::Call(_) => ("asks", None),
            };
            self.explanation.steps.push(Step {
                chain: name.to_owned(),
                middleware: middleware.key().to_owned(),
                verdict: word.to_owned(),
                status,
                why: why.clone(),
                changes: changes(&before, &after),
            });
            match verdict {
                Verdict::Reply { reply, .. } => {
                    self.answer(&reply, format!("{} of the {name} answers: {why}", middleware.key()));
                    return true;
                }
                Verdict::Call(call) => {
                    let note = format!("{} is taken to allow the request: it is not asked", call.server.authority);
                    self.explanation.notes.push(note);
                }
                Verdict::Next | Verdict::Verify(_) => {}
            }
        }
        false
    }

    fn answer(&mut self, reply: &Reply, why: impl Into<String>) {
        let location = reply.fields.iter().find(|(name, _)| name.eq_ignore_ascii_case("location"));
        let location = location.map(|(_, value)| text(value));
        self.explanation.outcome = Outcome { location, ..answered(reply.status, why) };
    }

    fn show_routes(&mut self, winner: Option<&Frontend>) {
        let view = self.ctx.view();
        let untrusted = UntrustedHeaders(view);
        let request = route_request(&view, &untrusted, &self.peer);
        self.explainer.routes(&request, self.peer.entry, winner, self.explanation);
    }

    fn show_path(&mut self) {
        let received = text(self.ctx.head.target.of(&self.ctx.bytes));
        self.explanation.path = Some(PathFacts { received, forwarded: text(self.ctx.target()) });
    }

    /// Notes the error page that replaces the proxy's own answer.
    fn show_error_page(&mut self, frontend: &Frontend) {
        let status = self.explanation.outcome.status.unwrap_or_default();
        if let Some(page) = error_page(frontend, status) {
            let note = format!("the body is the error page {} of backend {}", text(&page.target), page.backend);
            self.explanation.notes.push(note);
        }
    }

    fn show_backend(&mut self, frontend: &Frontend) {
        let backend = &frontend.backend;
        let choice = backend.balancer.preview(self.ctx.view().all(b"Cookie"), self.explainer.now.mono_nanos);
        let cookie = backend.balancer.settings().sticky.as_ref().map(|cookie| cookie.name.clone());
        let facts = self.explainer.backend_facts(backend, choice, cookie);
        let why = facts.why.clone();
        self.explanation.backend = Some(facts);
        let (choice, endpoint) = match choice {
            Ok(choice) => match backend.endpoints.get(choice.index) {
                Some(endpoint) => (choice, endpoint),
                None => return,
            },
            Err(error) => {
                self.answer(&no_server_reply(error), why);
                self.show_error_page(frontend);
                return;
            }
        };
        if is_unresolved(endpoint) {
            let note = format!(
                "no address of {} is known yet: the name has not been looked up, or leads nowhere",
                endpoint.url
            );
            self.explanation.notes.push(note);
        }
        self.explanation.outcome = Outcome {
            kind: "forwarded".to_owned(),
            server: Some(endpoint.url.clone()),
            why: format!("to server {} of backend {}: {why}", endpoint.server.name, backend.name),
            ..Outcome::default()
        };
        self.show_fields(frontend, endpoint, choice);
    }

    /// Compares the head that arrives with the one that the server gets, and shows what the chains change in a response.
    fn show_fields(&mut self, frontend: &Frontend, endpoint: &ServerEndpoint, choice: Choice) {
        let mut head = Vec::new();
        let host_name = self.explainer.host_name.as_bytes();
        write_head(host_name, frontend, endpoint, &self.ctx, &self.peer, self.ctx.head.body, &mut head);
        self.explanation.fields.request = changes(&received(self.ctx.view()), &written(&head));
        if let Some(path) = &mut self.explanation.path {
            path.forwarded = written_target(&head);
        }
        let (response_head, mut edits) =
            (ResponseHead { status: 200, body: BodyFraming::Chunked, ..ResponseHead::default() }, Edits::default());
        let (request, info, state) = self.ctx.chain_input(&self.peer, self.entry.proxies(), self.explainer.now);
        let mut response = Response::Backend { head: &response_head, bytes: b"", edits: &mut edits };
        for chain in [&*frontend.attempt, &*frontend.inner, &frontend.outer, &self.entry.chain] {
            for middleware in chain.middlewares().iter().rev() {
                middleware.preview_response(&request, &mut response, &info, state);
            }
        }
        let mut response_fields = fields::response_changes(&edits);
        let sticky = frontend.backend.balancer.settings().sticky.as_ref().filter(|_| choice.set_cookie);
        if let Some(cookie) = sticky {
            response_fields.push(change("added", "Set-Cookie", &cookie.set_cookie(&endpoint.server.url)));
        }
        self.explanation.fields.response = response_fields;
    }
}

/// The error page that replaces a status of the frontend.
fn error_page(frontend: &Frontend, status: u16) -> Option<ErrorPageRequest> {
    frontend.outer.middlewares().iter().find_map(|middleware| match middleware {
        Middleware::ErrorPages(pages) => pages.page_for(status),
        _ => None,
    })
}

/// Why the router gave this reply instead of a frontend.
fn unrouted_why(reply: &Reply) -> &'static str {
    match reply.status {
        301 => "the path differs from the rule by its trailing slash",
        400 => "the path has a malformed escape, or dot segments that servers read in different ways",
        200 => "the prefix to strip cannot be rebuilt from the rule's variables",
        _ => "no route matches",
    }
}
