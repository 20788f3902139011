//! Previews for explanations: the verdict that a request would get now, with nothing counted, taken or issued, and the reason in words. The
//! decisions are those of the middlewares' own functions.

use super::breaker::BreakerPhase;
use super::error_pages::ErrorPages;
use super::white_list::WhiteList;
use super::{ChainState, Middleware, Request, RequestInfo, Response, Verdict};

/// Networks that a reason lists.
const NETWORKS_SHOWN_MAX: usize = 8;

impl Middleware {
    /// The verdict that the request would get now. As [`on_request`](Middleware::on_request), but what requests share stays unchanged.
    pub fn preview(&self, request: &mut Request, info: &RequestInfo, chain_state: &mut ChainState) -> Verdict {
        match self {
            Middleware::Breaker(middleware) => middleware.preview(info),
            Middleware::MaxConn(middleware) => middleware.preview(request, info),
            Middleware::RateLimit(middleware) => middleware.preview(request, info),
            Middleware::Digest(middleware) => middleware.preview(request, info, chain_state),
            _ => self.on_request(request, info, chain_state),
        }
    }

    /// Changes a response as [`on_response`](Middleware::on_response) does, but counts nothing and requests no error page.
    pub fn preview_response(
        &self,
        request: &Request,
        response: &mut Response,
        info: &RequestInfo,
        chain_state: &mut ChainState,
    ) {
        if !matches!(self, Middleware::Breaker(_) | Middleware::ErrorPages(_)) {
            let _ = self.on_response(request, response, info, chain_state);
        }
    }

    /// The key of the configuration that makes the middleware.
    pub fn key(&self) -> &'static str {
        match self {
            Middleware::ErrorPages(_) => "errors",
            Middleware::WhiteList(_) | Middleware::EntryWhiteList(_) => "whiteList",
            Middleware::Redirect(_) => "redirect",
            Middleware::RequestHeaders(_) => "headers.customRequestHeaders",
            Middleware::ResponseHeaders(_) => "headers.customResponseHeaders",
            Middleware::Secure(_) => "headers",
            Middleware::BasicList(_) => "basicAuth",
            Middleware::ClientCert(_) => "passTLSClientCert",
            Middleware::Basic(_) => "auth.basic",
            Middleware::Digest(_) => "auth.digest",
            Middleware::Forward(_) => "auth.forward",
            Middleware::Compress => "compress",
            Middleware::Breaker(_) => "circuitBreaker",
            Middleware::Buffering(_) => "buffering",
            Middleware::MaxConn(_) => "maxConn",
            Middleware::RateLimit(_) => "rateLimit",
        }
    }

    /// Why the middleware gives this verdict. `request` is the request after the middleware.
    pub fn reason(&self, request: &Request, info: &RequestInfo, chain_state: &ChainState, verdict: &Verdict) -> String {
        let passes = matches!(verdict, Verdict::Next);
        match self {
            Middleware::ErrorPages(pages) => error_page_reason(pages),
            Middleware::WhiteList(list) | Middleware::EntryWhiteList(list) => white_list_reason(list, request, info),
            Middleware::Redirect(_) if passes => "the URL does not match, or would stay the same".to_owned(),
            Middleware::Redirect(_) => "the URL matches".to_owned(),
            Middleware::RequestHeaders(_) => "sets and removes fields of the request".to_owned(),
            Middleware::ResponseHeaders(_) => "sets and removes fields of the response".to_owned(),
            Middleware::Secure(_) => secure_reason(verdict),
            Middleware::BasicList(list) | Middleware::Basic(list) => {
                match super::basic_auth::BasicAuth::claimed_user(request) {
                    _ if passes => user_reason(chain_state),
                    None => "the request has no Authorization field with Basic credentials".to_owned(),
                    Some(user) if list.has_user(&user) => format!("the password of user {user} is wrong"),
                    Some(user) => format!("no user is named {user}"),
                }
            }
            Middleware::Digest(_) if passes => user_reason(chain_state),
            Middleware::Digest(_) => match request.first(b"authorization") {
                None => "the request has no Authorization field".to_owned(),
                Some(_) => "the credentials are wrong, of another request, or used before".to_owned(),
            },
            Middleware::Forward(_) => match verdict {
                Verdict::Call(call) => format!("asks {} for {}", call.server.authority, call.server.target),
                _ => "asks another server".to_owned(),
            },
            Middleware::ClientCert(_) if info.client_certs.is_empty() => "the client has no certificate".to_owned(),
            Middleware::ClientCert(_) => "passes the client's certificate on".to_owned(),
            Middleware::Compress if chain_state.takes_gzip => "the client accepts gzip".to_owned(),
            Middleware::Compress => {
                "the client does not accept gzip, or the request must not be transformed".to_owned()
            }
            Middleware::Breaker(breaker) => {
                breaker_reason(breaker.state().phase(), breaker.state().expression(), passes)
            }
            Middleware::Buffering(buffering) => match buffering.request_bytes_max {
                Some(max) if passes => format!("holds bodies in memory, of at most {max} bytes"),
                Some(max) => format!("the announced body is longer than {max} bytes"),
                None => "holds bodies in memory".to_owned(),
            },
            Middleware::MaxConn(limit) if passes => {
                format!("fewer than {} requests of this source are active", limit.amount())
            }
            Middleware::MaxConn(limit) => format!("{} requests of this source are active", limit.amount()),
            Middleware::RateLimit(limit) if passes => format!("within {}", limit.rates_text()),
            Middleware::RateLimit(limit) => format!("above {}", limit.rates_text()),
        }
    }
}

fn error_page_reason(pages: &ErrorPages) -> String {
    format!("replaces responses with status {}", pages.statuses_text())
}

fn white_list_reason(list: &WhiteList, request: &Request, info: &RequestInfo) -> String {
    let Some(client) = list.client(request, info) else {
        return "X-Forwarded-For has an element that is no address".to_owned();
    };
    if let Some(network) = list.networks().iter().find(|network| network.contains(&client.to_canonical())) {
        return format!("{client} is in {network}");
    }
    let shown: Vec<String> = list.networks().iter().take(NETWORKS_SHOWN_MAX).map(ToString::to_string).collect();
    let more = list.networks().len().saturating_sub(NETWORKS_SHOWN_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{client} is in none of {}{more}", shown.join(", "))
}

fn secure_reason(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Reply { reply, .. } if (300..400).contains(&reply.status) => "the URL must be another one".to_owned(),
        Verdict::Reply { .. } => "the host is not one of allowedHosts".to_owned(),
        _ => "sets security fields of the response".to_owned(),
    }
}

fn user_reason(chain_state: &ChainState) -> String {
    format!("user {} is authenticated", String::from_utf8_lossy(&chain_state.user))
}

fn breaker_reason(phase: BreakerPhase, expression: &str, passes: bool) -> String {
    match phase {
        BreakerPhase::Standby => format!("closed: {expression} does not hold"),
        BreakerPhase::Tripped { .. } if !passes => format!("open for ten seconds: {expression} held"),
        BreakerPhase::Tripped { .. } => "the open phase has ended".to_owned(),
        BreakerPhase::Recovering { .. } if passes => "recovering: a growing share of the requests passes".to_owned(),
        BreakerPhase::Recovering { .. } => "recovering: this request is not in the share that passes".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::super::breaker::{Breaker, BreakerState};
    use super::super::max_conn::MaxConn;
    use super::super::rate_limit::{Rate, RateLimit, RateState};
    use super::super::source_extractor::SourceExtractor;
    use super::super::{ChainScope, Now};
    use super::*;
    use crate::http::{Edits, RequestHead};

    fn status(verdict: &Verdict) -> u16 {
        match verdict {
            Verdict::Next => 0,
            Verdict::Reply { reply, .. } => reply.status,
            _ => 1,
        }
    }

    fn stateful() -> Vec<Middleware> {
        let scope = ChainScope::Frontend("f");
        let rate = Rate { period: Duration::from_secs(1), average: 2, burst: 3 };
        let rates = Arc::new(RateState::new(&[rate]).expect("a rate"));
        let breaker = BreakerState::new("NetworkErrorRatio() > 0.4").expect("an expression");
        vec![
            Middleware::RateLimit(RateLimit::new(SourceExtractor::ClientIp, rates, scope)),
            Middleware::MaxConn(MaxConn::new(2, SourceExtractor::ClientIp, Arc::default(), scope)),
            Middleware::Breaker(Breaker::new(Arc::new(breaker))),
        ]
    }

    proptest! {
        /// The preview says what the next request gets, however often it is asked, and does not change that.
        #[test]
        fn preview_gives_the_verdict_of_the_next_request(
            steps in prop::collection::vec((0u64..2_000_000_000, any::<bool>(), any::<bool>()), 1..80),
        ) {
            let (head, mut edits, mut now) = (RequestHead::default(), Edits::default(), 0);
            let mut states: Vec<ChainState> = Vec::new();
            let middlewares = stateful();
            for (gap, fails, ends) in steps {
                now += gap;
                let info = RequestInfo {
                    peer: [192, 0, 2, 1].into(),
                    peer_port: 1,
                    secure: false,
                    trusted: true,
                    proxies: &[],
                    now: Now { mono_nanos: now, unix_secs: 0 },
                    target: b"/",
                    original_target: b"/",
                    path_replaced: false,
                    added_prefix: b"",
                    client_certs: &[],
                    random: |_| {},
                };
                let mut state = ChainState::default();
                let mut request = Request { head: &head, bytes: b"", edits: &mut edits };
                for middleware in &middlewares {
                    let asked: Vec<u16> =
                        (0..3).map(|_| status(&middleware.preview(&mut request, &info, &mut ChainState::default()))).collect();
                    let got = status(&middleware.on_request(&mut request, &info, &mut state));
                    prop_assert_eq!(asked, [got; 3], "{}", middleware.key());
                }
                let mut reply = crate::http::Reply::text(if fails { 502 } else { 200 }, "");
                let mut response = Response::Gateway(&mut reply);
                for middleware in &middlewares {
                    middleware.on_response(&request, &mut response, &info, &mut state);
                }
                states.push(state);
                if ends {
                    states.clear();
                }
            }
        }
    }
}
