//! A frontend as Traefik v1 reads it from a store (docs/reference/key-value-stores.md#frontends).

use std::collections::BTreeMap;

use super::backend::canonical_headers;
use super::node::{KeyNode, KeyProblem, read_object};
use crate::config::dynamic::{Auth, Frontend, Headers, UserAuth};
use crate::config::text::shape::Shape;

/// Reads a frontend. `problems` are the keys without effect.
pub(super) fn frontend(
    keys: &BTreeMap<&str, &[u8]>,
    shape: &Shape,
    problems: &mut Vec<KeyProblem>,
) -> Result<Frontend, KeyProblem> {
    let tree = KeyNode::new(keys)?;
    let mut frontend: Frontend = read_object(&tree, shape, problems)?;
    if tree.text("passhostheader").is_none() {
        frontend.pass_host_header = true;
    }
    let routes = frontend.routes.iter().filter(|(_, route)| !route.rule.is_empty());
    frontend.routes = routes.map(|(name, route)| (name.clone(), route.clone())).collect();
    keep_complete_options(&mut frontend);
    choose_authentication(&mut frontend);
    Ok(frontend)
}

/// Traefik leaves out a table that lacks the keys that it is about.
fn keep_complete_options(frontend: &mut Frontend) {
    frontend.white_list.take_if(|list| list.source_range.is_empty());
    frontend.redirect.take_if(|redirect| {
        redirect.entry_point.is_empty() && (redirect.regex.is_empty() || redirect.replacement.is_empty())
    });
    frontend.rate_limit.take_if(|limit| limit.extractor_func.is_empty());
    if let Some(headers) = &mut frontend.headers {
        for names in
            [&mut headers.custom_request_headers, &mut headers.custom_response_headers, &mut headers.ssl_proxy_headers]
        {
            *names = canonical_headers(std::mem::take(names));
        }
    }
    frontend.headers.take_if(|headers| **headers == Headers::default());
}

/// A frontend has one method of authentication: basic before digest before forward. The deprecated list `basicauth` replaces the users.
fn choose_authentication(frontend: &mut Frontend) {
    let deprecated = std::mem::take(&mut frontend.basic_auth);
    if !deprecated.is_empty() {
        let auth = frontend.auth.get_or_insert_with(|| Box::new(Auth::default()));
        auth.basic.get_or_insert_with(UserAuth::default).users = deprecated;
    }
    let Some(auth) = &mut frontend.auth else { return };
    if auth.basic.is_some() {
        auth.digest = None;
    }
    if auth.basic.is_some() || auth.digest.is_some() {
        auth.forward = None;
    }
}
