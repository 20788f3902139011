//! Explains what would happen to a request or a connection, and why (docs/reference/api.md#explain). Nothing is sent, counted or changed. The
//! decisions are made by the functions that serve requests: the router, the middlewares, the balancer. Only the order in which they are
//! called stands here a second time; a test with random requests compares both.

mod arrival;
mod asked;
mod backend;
mod connection;
mod exchange;
mod fields;
mod near;
mod routes;

use std::sync::Arc;

use asked::{Asked, Scheme};

use crate::config::snapshot::Snapshot;
use crate::http::Reply;
use crate::middleware::Now;
use crate::observe::explanation::{AskedRequest, Explanation, Outcome};
use crate::observe::status;
use crate::tls::challenge::ChallengeTable;
use crate::worker::resources::dial::Dial;
use crate::worker::resources::entry_point::EntryPoint;
use crate::worker::worker::{Worker, WorkerShared};

/// The state of the proxy that an explanation is about.
#[derive(Clone, Copy)]
pub struct Explainer<'a> {
    pub entry_points: &'a [EntryPoint],
    pub snapshot: &'a Snapshot,
    pub challenges: &'a ChallengeTable,
    /// The value of X-Forwarded-Server.
    pub host_name: &'a str,
    pub now: Now,
    /// The name that the CNAME records of the request's host lead to; empty for none.
    pub flattened_host: &'a str,
    /// The containers that are not routed, each with the reason.
    pub unrouted_containers: &'a [(String, String)],
}

/// The reply of `/api/explain`. A thread of the pool makes the explanation: it may hash a password, and tests every route.
pub async fn answer<D: Dial>(worker: &Worker<D>, query: Vec<u8>) -> Reply {
    let flattened = match (&worker.host_resolver, Asked::parse(&query)) {
        (Some(resolver), Ok(asked)) if asked.scheme.is_request() => {
            let now_nanos = worker.clock.mono_nanos();
            resolver.flattened(asked.authority.as_bytes(), &worker.deadlines, now_nanos).await
        }
        _ => None,
    };
    let (shared, published, now) = (Arc::clone(&worker.shared), worker.snapshot(), worker.now());
    let explain = move || {
        let explainer = Explainer {
            entry_points: &shared.entry_points,
            snapshot: &published.snapshot,
            challenges: &shared.challenges.load(),
            host_name: &shared.host_name,
            now,
            flattened_host: flattened.as_deref().unwrap_or_default(),
            unrouted_containers: &containers(&shared),
        };
        explainer.explain(&query)
    };
    match worker.shared.verify.run(explain).await {
        Ok(Ok(explanation)) => status::explanation(&explanation),
        Ok(Err(reason)) => Reply::text(400, format!("{reason}\n")).with("X-Content-Type-Options", &b"nosniff"[..]),
        Err(_) => Reply::text(503, "Service Unavailable"),
    }
}

/// The containers that are not routed, each with the reason.
fn containers(shared: &WorkerShared) -> Vec<(String, String)> {
    let reports = shared.metrics.traffic().map(|traffic| traffic.containers());
    let reports = reports.iter().flat_map(|reports| reports.iter());
    reports.filter_map(|report| Some((report.name.clone(), report.unrouted_reason()?.to_owned()))).collect()
}

impl Explainer<'_> {
    /// Explains what a query of `/api/explain` asks about.
    ///
    /// # Errors
    /// The message says what cannot be read in the query, and what to write instead.
    pub fn explain(&self, query: &[u8]) -> Result<Explanation, String> {
        let mut asked = Asked::parse(query)?;
        let mut explanation = Explanation::default();
        let index = self.entry_point(&asked, &mut explanation)?;
        if asked.sni.is_none() && asked.scheme.has_tls() {
            // Clients send no IP address as name (RFC 6066 3).
            let name = Some(asked.host.trim_end_matches('.')).filter(|host| !host.is_empty());
            asked.sni = name.filter(|host| host.parse::<std::net::IpAddr>().is_err()).map(str::to_owned);
        } else if asked.sni.is_some() && asked.scheme.is_request() {
            explanation.notes.push("sni was given: the request is taken to come over a shared connection".to_owned());
        }
        explanation.request = asked_request(&asked);
        if !asked.names_client {
            explanation
                .notes
                .push(format!("the client is taken to be {}: from=ADDRESS names another one", asked.from.ip()));
        }
        let Some(index) = index else { return Ok(explanation) };
        let Some(entry) = self.entry_points.get(index) else { return Ok(explanation) };
        if asked.scheme == Scheme::Udp {
            self.datagrams(&asked, index, &mut explanation);
        } else if !self.connection(&asked, index, entry, &mut explanation) {
            if asked.scheme.has_tls() && !self.certificate(&asked, entry, &mut explanation) {
                return Ok(explanation);
            }
            self.request(&asked, index, entry, &mut explanation);
        }
        Ok(explanation)
    }
}

fn asked_request(asked: &Asked) -> AskedRequest {
    let is_request = asked.scheme.is_request();
    AskedRequest {
        url: asked.url.clone(),
        method: if is_request { asked.method.clone() } else { String::new() },
        host: asked.authority.clone(),
        target: if is_request { asked.target.clone() } else { String::new() },
        from: asked.from.ip().to_string(),
        sni: asked.sni.clone(),
        headers: asked.fields.clone(),
    }
}

/// The outcome of a request that the proxy answers itself.
fn answered(status: u16, why: impl Into<String>) -> Outcome {
    Outcome { kind: "answered".to_owned(), status: Some(status), why: why.into(), ..Outcome::default() }
}

/// The outcome of a connection that ends without a response.
fn closed(why: impl Into<String>) -> Outcome {
    Outcome { kind: "closed".to_owned(), why: why.into(), ..Outcome::default() }
}
