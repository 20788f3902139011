//! Rows about user files and forward authentication.

use std::sync::Arc;

use ringway::middleware::basic_auth::{AuthEdits, BasicAuth};
use ringway::middleware::credentials::CredentialCache;
use ringway::middleware::digest_auth::{DigestAuth, DigestState};
use ringway::middleware::forward_auth::{AuthServer, ForwardAuth};
use ringway::middleware::{ChainScope, Middleware};
use serde_json::Value;

use super::{CaseResult, flag, same, string, texts};
use crate::support::*;

fn label() -> Arc<str> {
    ChainScope::Frontend("f").label("Auth")
}

pub fn users_file(case: &Value) -> CaseResult {
    let (file, after) = (Some(string(&case["usersStr"])), AuthEdits::default());
    let names = match string(&case["authType"]) {
        "digest" => DigestAuth::new(&[], file, after, Arc::new(DigestState::new([0; 12])), label())
            .map(|step| step.user_names()),
        _ => BasicAuth::new(&[], file, after, Arc::new(CredentialCache::new([0; 32])), label())
            .map(|step| step.user_names()),
    };
    let mut expected = texts(&case["userKeys"]);
    expected.sort();
    same(names.map_err(|error| error.to_string())?, expected)
}

fn forward(trust: bool) -> ChainRun {
    let server = AuthServer { authority: "auth".into(), target: "/".into() };
    ChainRun::new(vec![Middleware::Forward(ForwardAuth::new(server, trust, Vec::new(), label()))])
}

pub fn hop_by_hop(case: &Value) -> CaseResult {
    let name = string(case);
    // The framing must be well-formed to reach the chain.
    let value = if name == "Transfer-Encoding" { "chunked" } else { "x" };
    let (ask, _) = asked(forward(true).send(&format!("POST / HTTP/1.1\nHost: h\n{name}: {value}")));
    same(ask.fields.iter().any(|(field, _)| field.eq_ignore_ascii_case(name.as_bytes())), false)
}

pub fn forwarded_fields(case: &Value) -> CaseResult {
    let host = if flag(&case["emptyHost"]) { "" } else { "foo.bar" };
    let mut lines = format!("GET /path?q=1 HTTP/1.1\nHost: {host}");
    if host.is_empty() {
        lines = "GET /path?q=1 HTTP/1.0".into();
    }
    for (name, value) in case["headers"].as_object().unwrap() {
        // The parser refuses the row's unknown transfer coding before any chain.
        if name != "Transfer-Encoding" {
            lines += &format!("\n{name}: {}", string(value));
        }
    }
    let (ask, _) = asked(forward(flag(&case["trustForwardHeader"])).send(&lines));
    let fields: Vec<_> = ask.fields.iter().map(|(name, value)| (text(name), text(value))).collect();
    let expected = case["expectedHeaders"].as_object().unwrap();
    for (name, wanted) in expected {
        same(value(&fields, name).unwrap_or_default(), string(wanted))?;
    }
    if flag(&case["checkForUnexpectedHeaders"]) {
        // Go keeps Host elsewhere, and the row's request has no peer address.
        let surplus = |name: &str| !expected.contains_key(name) && !matches!(name, "Host" | "X-Forwarded-For");
        let unexpected: Vec<_> = fields.iter().filter(|(name, _)| surplus(name)).collect();
        same(unexpected, Vec::new())?;
    }
    Ok(())
}
