//! Finds options of a frontend of which one makes the other useless: each by itself is right, so that nothing else reports them.

use std::net::IpAddr;

use ipnet::IpNet;

use super::EntryPointInfo;
use crate::config::dynamic;
use crate::diagnostics::{Code, Diagnostic};
use crate::rule::Rule;

/// The contradictions of an HTTP frontend. `entries` are its entry points, `all` are those of the proxy.
pub fn contradictions(
    written: &dynamic::Frontend,
    rule: &Rule,
    entries: &[&EntryPointInfo],
    all: &[EntryPointInfo],
) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut add = |key: &str, text: String| found.push(Diagnostic::new(Code::ContradictingOptions, key, text));
    authentication(written, &mut add);
    redirect(written, entries, &mut add);
    white_lists(written, entries, &mut add);
    headers(written, rule, all, &mut add);
    found
}

type Add<'a> = dyn FnMut(&str, String) + 'a;

fn authentication(written: &dynamic::Frontend, add: &mut Add<'_>) {
    let Some(auth) = &written.auth else { return };
    let methods =
        [("basic", auth.basic.is_some()), ("digest", auth.digest.is_some()), ("forward", auth.forward.is_some())];
    let mut set = methods.into_iter().filter(|(_, is_set)| *is_set).map(|(name, _)| name);
    let (first, others) = (set.next().unwrap_or_default(), set.collect::<Vec<_>>());
    if let Some(other) = others.first() {
        let names = others.join(" and ");
        add(&format!("auth.{other}"), format!("auth has {first} and {names}: only {first} is used; remove the others"));
    }
    if !written.basic_auth.is_empty() && (auth.basic.is_some() || auth.digest.is_some()) {
        let text =
            "a request passes basicAuth and auth, and can have one user only: write all users into auth.basic.users";
        add("basicAuth", text.to_owned());
    }
}

fn redirect(written: &dynamic::Frontend, entries: &[&EntryPointInfo], add: &mut Add<'_>) {
    let Some(redirect) = &written.redirect else { return };
    if redirect.entry_point.is_empty() {
        return;
    }
    if !redirect.regex.is_empty() {
        add("redirect.regex", "redirect has entryPoint and regex: only entryPoint is used; remove regex".to_owned());
    }
    if entries.iter().all(|entry| entry.name == redirect.entry_point) {
        let text = format!(
            "redirect.entryPoint {:?} is the frontend's only entry point: nothing is redirected; add the other one to entryPoints",
            redirect.entry_point
        );
        add("redirect.entryPoint", text);
    }
}

fn white_lists(written: &dynamic::Frontend, entries: &[&EntryPointInfo], add: &mut Add<'_>) {
    let own = match &written.white_list {
        Some(list) if !list.source_range.is_empty() => {
            if !written.whitelist_source_range.is_empty() {
                let text = "whitelistSourceRange is ignored, because whiteList is present: remove one of them";
                add("whitelistSourceRange", text.to_owned());
            }
            &list.source_range
        }
        _ => &written.whitelist_source_range,
    };
    let uses_header = written.white_list.as_ref().is_some_and(|list| list.use_x_forwarded_for);
    for entry in entries.iter().filter(|entry| !entry.white_list.is_empty() && !uses_header) {
        let overlap = |one: &IpNet| entry.white_list.iter().filter_map(|text| network(text)).any(|n| overlaps(one, &n));
        let own: Vec<IpNet> = own.iter().filter_map(|text| network(text)).collect();
        if !own.is_empty() && !own.iter().any(overlap) {
            let text = format!(
                "whiteList and the whiteList of entry point {} have no address in common: every request is denied",
                entry.name
            );
            add("whiteList.sourceRange", text);
        }
    }
}

fn headers(written: &dynamic::Frontend, rule: &Rule, all: &[EntryPointInfo], add: &mut Add<'_>) {
    let Some(headers) = &written.headers else { return };
    let is_allowed = |host: &String| headers.allowed_hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(host));
    let hosts = rule.hosts();
    if !headers.allowed_hosts.is_empty()
        && headers.hosts_proxy_headers.is_empty()
        && !hosts.is_empty()
        && !hosts.iter().any(is_allowed)
    {
        let text = format!(
            "headers.allowedHosts has none of the hosts of the rule ({}): every request is denied; add them",
            hosts.join(", ")
        );
        add("headers.allowedHosts", text);
    }
    if headers.ssl_redirect && headers.ssl_host.is_empty() && !all.iter().any(|entry| entry.has_tls) {
        let text = "headers.SSLRedirect leads to https, and no entry point has TLS: add one, or set SSLHost";
        add("headers.SSLRedirect", text.to_owned());
    }
    if headers.frame_deny && !headers.custom_frame_options_value.is_empty() {
        let text = "headers.frameDeny and customFrameOptionsValue set the same header: only the custom value is sent";
        add("headers.customFrameOptionsValue", text.to_owned());
    }
    if headers.browser_xss_filter && !headers.custom_browser_xss_value.is_empty() {
        let text =
            "headers.browserXSSFilter and customBrowserXSSValue set the same header: only the custom value is sent";
        add("headers.customBrowserXSSValue", text.to_owned());
    }
}

fn network(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

fn overlaps(one: &IpNet, other: &IpNet) -> bool {
    one.contains(&other.network()) || other.contains(&one.network())
}
