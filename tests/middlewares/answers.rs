//! The exact local replies of docs/reference/middlewares.md#local-replies, and the middlewares that change headers.

use ringway::http::Reply;
use ringway::middleware::error_pages::{ErrorPage, ErrorPages, StatusRanges};
use ringway::middleware::headers::CustomHeaders;
use ringway::middleware::redirect::Redirect;
use ringway::middleware::security_headers::{SecureOptions, SecurityHeaders};
use ringway::middleware::white_list::WhiteList;
use ringway::middleware::{ChainScope, Middleware};
use ringway::rule::pattern;

use crate::support::*;

const PLAIN: &str = "text/plain; charset=utf-8";

fn redirect_to_https(permanent: bool) -> ChainRun {
    ChainRun::new(vec![Middleware::Redirect(Redirect::entry_point(
        443,
        true,
        permanent,
        ChainScope::EntryPoint("http"),
    ))])
}

fn regex(regex: &str, replacement: &str) -> ChainRun {
    let compiled = pattern::compile(regex).unwrap();
    let step = Redirect::regex(compiled, replacement, false, ChainScope::Frontend("web")).unwrap();
    ChainRun::new(vec![Middleware::Redirect(step)])
}

fn location(run: &mut ChainRun, host: &str, target: &str) -> Option<String> {
    match run.get(host, target) {
        progress if passes(&progress) => None,
        progress => value(&shown(progress).1, "location").map(str::to_owned),
    }
}

#[test]
fn redirect_status_depends_on_method_and_permanence() {
    for (method, permanent, status, body) in [
        ("GET", false, 302, "Found"),
        ("GET", true, 301, "Moved Permanently"),
        ("HEAD", false, 307, "Temporary Redirect"),
        ("POST", false, 307, "Temporary Redirect"),
        ("PUT", true, 308, "Permanent Redirect"),
    ] {
        let mut run = redirect_to_https(permanent);
        let (got, fields, text, label) = shown(run.send(&format!("{method} /a?b=1 HTTP/1.1\nHost: a.test:8080")));
        assert_eq!((got, text.as_str()), (status, body), "{method} {permanent}");
        assert_eq!(value(&fields, "content-type"), Some(PLAIN));
        assert_eq!(value(&fields, "location"), Some("https://a.test:443/a?b=1"));
        assert_eq!(label.as_deref(), Some("entrypoint redirect for http"));
    }
}

#[test]
fn entry_point_redirect_keeps_the_host_as_sent_and_skips_odd_ones() {
    let mut run = redirect_to_https(false);
    for (host, expected) in [
        ("[::1]:80", Some("https://[::1]:443/")),
        ("[2001:DB8::1]", Some("https://[2001:DB8::1]:443/")),
        ("Name.test.:80", Some("https://Name.test.:443/")),
        ("a+b", None),
    ] {
        assert_eq!(location(&mut run, host, "/").as_deref(), expected, "{host}");
    }
    run.secure = true;
    assert_eq!(location(&mut run, "a.test:443", "/x"), None, "the same URL");
    assert_eq!(location(&mut run, "a.test", "/x").as_deref(), Some("https://a.test:443/x"));
}

#[test]
fn redirects_lead_back_to_the_original_path() {
    let mut run = redirect_to_https(false);
    (run.target, run.path_replaced) = (Some(b"/bar?q=1".to_vec()), true);
    assert_eq!(location(&mut run, "h", "/foo/bar?q=1").as_deref(), Some("https://h:443/foo/bar?q=1"));
    let mut run = redirect_to_https(false);
    (run.target, run.added_prefix) = (Some(b"/pre/bar".to_vec()), b"/pre".to_vec());
    assert_eq!(location(&mut run, "h", "/bar").as_deref(), Some("https://h:443/bar"));
}

#[test]
fn regex_redirects_expand_groups_and_never_run_client_text() {
    let mut run = regex("^http://old/(.*)$", "http://new/$1?h={{ .Request.Host }}");
    assert_eq!(location(&mut run, "old", "/x").as_deref(), Some("http://new/x?h=old"));
    assert_eq!(location(&mut run, "other", "/x"), None);
    assert_eq!(
        location(&mut run, "old", "/{{.Request.Method}}").as_deref(),
        Some("http://new/{{.Request.Method}}?h=old")
    );
    assert_eq!(location(&mut regex("^http://a/(.*)$", "http://a/$1"), "a", "/x"), None, "no change, no redirect");
    assert_eq!(location(&mut regex("o", "0"), "foo", "/o").as_deref(), Some("http://f00/0"), "every match");
    // Go's rule: `$1x` is the group named "1x", which is empty.
    assert_eq!(location(&mut regex("^http://a/(.*)$", "http://b/$1x/"), "a", "/y").as_deref(), Some("http://b//"));
    let compiled = pattern::compile("x").unwrap();
    let unknown = Redirect::regex(compiled, "{{ .Foo }}", false, ChainScope::Frontend("f")).unwrap_err();
    assert!(unknown.to_string().contains(".Request.Host"));
}

#[test]
fn forwarded_proto_makes_the_matched_url_https() {
    let mut run = regex("^https://a/(.*)$", "https://b/$1");
    assert_eq!(location(&mut run, "a", "/"), None);
    let (_, fields, ..) = shown(run.send("GET /q HTTP/1.1\nHost: a\nX-Forwarded-Proto: https"));
    assert_eq!(value(&fields, "location"), Some("https://b/q"));
    run.trusted = false;
    assert!(passes(&run.send("GET /q HTTP/1.1\nHost: a\nX-Forwarded-Proto: https")), "a stranger's word");
}

#[test]
fn proxy_headers_of_untrusted_peer_are_ignored() {
    let options = SecureOptions {
        ssl_redirect: true,
        allowed_hosts: strings(&["good"]),
        hosts_proxy_headers: strings(&["X-Forwarded-Host", "X-Cdn-Host"]),
        ssl_proxy_headers: vec![("X-Forwarded-Proto".into(), "https".into()), ("X-Cdn-Proto".into(), "https".into())],
        ..SecureOptions::default()
    };
    let mut run = secure(options);
    let request = |host: &str, claims: &str| format!("GET / HTTP/1.1\nHost: {host}\n{claims}");
    let claims = "X-Forwarded-Proto: https\nX-Forwarded-Host: good";
    let of_others = "X-Cdn-Proto: https\nX-Cdn-Host: good";
    assert!(passes(&run.send(&request("bad", claims))), "a trusted peer's do");
    run.trusted = false;
    assert!(
        passes(&run.send(&request("bad", of_others))),
        "names that the proxy does not know are the author's to judge"
    );
    assert_eq!(shown(run.send(&request("bad", claims))).0, 500, "the host is not allowed");
    assert_eq!(shown(run.send(&request("good", claims))).0, 301, "to https");
}

fn white_list(ranges: &[&str], use_xff: bool) -> ChainRun {
    let step = WhiteList::new(&strings(ranges), use_xff, ChainScope::Frontend("f")).unwrap();
    ChainRun::new(vec![Middleware::WhiteList(step)])
}

#[test]
fn white_list_refuses_with_403() {
    let mut run = white_list(&["10.0.0.0/8", "fe80::/16"], false);
    let (status, fields, body, label) = shown(run.get("h", "/"));
    assert_eq!((status, body.as_str()), (403, "Forbidden"));
    assert_eq!(fields, [("Content-Type".into(), PLAIN.into())]);
    assert_eq!(label.as_deref(), Some("ipwhitelister for f"));
    for peer in ["10.1.2.3", "::ffff:10.1.2.3", "fe80::1"] {
        run.peer = peer.parse().unwrap();
        assert!(passes(&run.get("h", "/")), "{peer}");
    }
}

#[test]
fn forwarded_address_counts_only_from_trusted_peers() {
    let mut run = white_list(&["10.0.0.0/8"], true);
    let mut sent = |xff: &str, trusted: bool| {
        run.trusted = trusted;
        passes(&run.send(&format!("GET / HTTP/1.1\nHost: h\nX-Forwarded-For: {xff}")))
    };
    assert!(sent("10.1.1.1", true) && !sent("11.1.1.1", true));
    assert!(!sent("10.1.1.1", false), "a stranger cannot write itself onto the list");
}

#[test]
fn only_the_last_forwarded_address_counts() {
    let mut run = white_list(&["10.0.0.0/8"], true);
    // Every proxy is on the list: there is no fallback to a forwarded address.
    run.peer = "10.0.0.1".parse().unwrap();
    for (fields, is_let_in) in [
        ("", true),
        ("\nX-Forwarded-For: 11.1.1.1, 10.1.1.1:80", true),
        ("\nX-Forwarded-For: junk, 10.1.1.1", true),
        ("\nX-Forwarded-For: 10.1.1.1, 11.1.1.1", false),
        ("\nX-Forwarded-For: 10.1.1.1\nX-Forwarded-For: 11.1.1.1", false),
        ("\nX-Forwarded-For: 11.1.1.1\nX-Forwarded-For: 10.1.1.1", true),
        ("\nX-Forwarded-For: 11.1.1.1", false),
        ("\nX-Forwarded-For: 10.1.1.1, junk", false),
        ("\nX-Forwarded-For: 10.1.1.1,", false),
        ("\nX-Forwarded-For:", false),
    ] {
        assert_eq!(passes(&run.send(&format!("GET / HTTP/1.1\nHost: h{fields}"))), is_let_in, "{fields:?}");
    }
}

#[test]
fn trusted_proxies_in_the_chain_are_skipped() {
    let mut run = white_list(&["10.0.0.0/8"], true);
    run.proxies = ["203.0.113.0/24", "198.51.100.7/32"].map(|network| network.parse().unwrap()).to_vec();
    run.peer = "198.51.100.7".parse().unwrap();
    for (value, is_let_in) in [
        ("10.1.1.1, 203.0.113.9", true),
        ("10.1.1.1, 203.0.113.9, ::ffff:203.0.113.8", true),
        ("10.1.1.1, 11.1.1.1, 203.0.113.9", false),
        ("10.1.1.1, junk, 203.0.113.9", false),
        ("junk, 10.1.1.1, 203.0.113.9", true),
        // No other address is forwarded: the outermost proxy is the client.
        ("203.0.113.9", false),
    ] {
        let request = format!("GET / HTTP/1.1\nHost: h\nX-Forwarded-For: {value}");
        assert_eq!(passes(&run.send(&request)), is_let_in, "{value}");
    }
}

#[test]
fn invalid_ranges_are_named() {
    let error = WhiteList::new(&strings(&["10.0.0.1", "foo"]), false, ChainScope::Frontend("f")).unwrap_err();
    assert!(error.to_string().contains("\"foo\""), "{error}");
    assert!(WhiteList::new(&[], false, ChainScope::Frontend("f")).is_err());
}

fn secure(options: SecureOptions) -> ChainRun {
    ChainRun::new(vec![Middleware::Secure(SecurityHeaders::new(options).unwrap().unwrap())])
}

#[test]
fn ssl_redirect_and_disallowed_hosts() {
    let redirect = SecureOptions { ssl_redirect: true, ssl_temporary_redirect: true, ..Default::default() };
    let mut run = secure(redirect.clone());
    let (status, fields, body, _) = shown(run.get("a:80", "/a?b=c"));
    assert_eq!((status, value(&fields, "location")), (307, Some("https://a:80/a?b=c")));
    assert_eq!(body, "<a href=\"https://a:80/a?b=c\">Temporary Redirect</a>.\n\n");
    assert_eq!(value(&fields, "content-type"), Some("text/html; charset=utf-8"));
    let (_, fields, body, _) = shown(run.send("POST / HTTP/1.1\nHost: a\nContent-Length: 1"));
    assert_eq!((value(&fields, "content-type"), body.as_str()), (None, ""));
    run.secure = true;
    assert!(passes(&run.get("a", "/")));
    assert!(passes(&secure(SecureOptions { is_development: true, ..redirect }).get("a", "/")));

    let mut run = secure(SecureOptions {
        allowed_hosts: strings(&["good.test", "h:81"]),
        hosts_proxy_headers: strings(&["X-Fh"]),
        ..Default::default()
    });
    assert!(passes(&run.get("GOOD.test", "/")) && passes(&run.get("h:81", "/")));
    for host in ["good.test.", "good.test:80", "good.test.:80", "h.:81"] {
        assert!(passes(&run.get(host, "/")), "{host} is the same host");
    }
    assert_eq!(shown(run.get("good.test:443", "/")).0, 500, "the default port of another scheme");
    let (status, fields, body, label) = shown(run.get("h:82", "/"));
    assert_eq!((status, body.as_str(), label), (500, "Bad Host\n", None));
    assert_eq!(value(&fields, "x-content-type-options"), Some("nosniff"));
    assert!(passes(&run.send("GET / HTTP/1.1\nHost: bad\nX-Fh: good.test")));
}

#[test]
fn security_headers_replace_the_backends() {
    let mut run = secure(SecureOptions {
        sts_seconds: 5,
        sts_include_subdomains: true,
        sts_preload: true,
        frame_deny: true,
        content_type_nosniff: true,
        browser_xss_filter: true,
        custom_browser_xss_value: "0".into(),
        content_security_policy: "script-src $NONCE; style-src $NONCE".into(),
        public_key: "pin".into(),
        referrer_policy: "same-origin".into(),
        ssl_host: "ssl.test".into(),
        ..Default::default()
    });
    assert!(passes(&run.get("a", "/")));
    let (fields, _) = run.respond("HTTP/1.1 200 OK\nX-Frame-Options: ALLOW\nContent-Length: 0");
    assert_eq!(value(&fields, "x-frame-options"), Some("DENY"));
    assert_eq!(value(&fields, "x-xss-protection"), Some("0"));
    assert_eq!(value(&fields, "referrer-policy"), Some("same-origin"));
    assert_eq!(value(&fields, "strict-transport-security"), None);
    let nonce = "'nonce-AAECAwQFBgcICQoLDA0ODw'";
    let policy = format!("script-src {nonce}; style-src {nonce}");
    assert_eq!(value(&fields, "content-security-policy"), Some(policy.as_str()));
    run.secure = true;
    assert!(passes(&run.get("a", "/")));
    let (fields, _) = run.respond("HTTP/1.1 301 Moved\nLocation: http://ssl.test/x\nContent-Length: 0");
    assert_eq!(value(&fields, "strict-transport-security"), Some("max-age=5; includeSubDomains; preload"));
    assert_eq!(value(&fields, "public-key-pins"), Some("pin"));
    assert_eq!(value(&fields, "location"), Some("https://ssl.test/x"));
    let (fields, _) = run.respond("HTTP/1.1 301 Moved\nLocation: http://ssl.test.evil/x\nContent-Length: 0");
    assert_eq!(value(&fields, "location"), Some("http://ssl.test.evil/x"));
    let mut generated = Reply::text(502, "Bad Gateway");
    run.respond_gateway(&mut generated);
    assert_eq!(generated, Reply::text(502, "Bad Gateway"));
}

#[test]
fn custom_headers_set_and_delete() {
    let request = [("X-New", "1"), ("X-Del", ""), ("Host", "evil"), ("Content-Length", "9")];
    let request = CustomHeaders::on_requests(request).unwrap();
    assert_eq!(request.ignored(), ["Host", "Content-Length"]);
    let response = CustomHeaders::on_responses([("X-Resp", "r"), ("Date", "")]).unwrap();
    let mut run = ChainRun::new(vec![Middleware::ResponseHeaders(response), Middleware::RequestHeaders(request)]);
    assert!(passes(&run.send("GET / HTTP/1.1\nHost: h\nX-Del: 1\nX-New: 0")));
    assert_eq!(
        (run.field("x-new").as_deref(), run.field("x-del"), run.field("host").as_deref()),
        (Some("1"), None, Some("h"))
    );
    let (fields, _) = run.respond("HTTP/1.1 200 OK\nDate: x\nContent-Length: 0");
    assert_eq!((value(&fields, "x-resp"), value(&fields, "date")), (Some("r"), None));
    let (fields, _) = run.respond("HTTP/1.1 101 Switching Protocols\nConnection: upgrade\nUpgrade: websocket");
    assert_eq!(value(&fields, "x-resp"), None);
    let mut generated = Reply::text(502, "Bad Gateway");
    run.respond_gateway(&mut generated);
    assert!(generated.fields.iter().any(|(name, _)| name == "X-Resp"));
    let mut local = Reply::text(403, "Forbidden");
    run.respond_local(&mut local);
    assert_eq!(local, Reply::text(403, "Forbidden"));
    for (name, value) in [("X y", "1"), ("", "1"), ("X", "a\r\nB: c")] {
        assert!(CustomHeaders::on_requests([(name, value)]).is_err(), "{name:?} {value:?}");
    }
}

#[test]
fn custom_headers_override_security_headers() {
    let secure = SecurityHeaders::new(SecureOptions { frame_deny: true, ..Default::default() }).unwrap().unwrap();
    let custom = CustomHeaders::on_responses([("X-Frame-Options", "MINE")]).unwrap();
    let mut run = ChainRun::new(vec![Middleware::Secure(secure), Middleware::ResponseHeaders(custom)]);
    assert!(passes(&run.get("a", "/")));
    assert_eq!(value(&run.respond("HTTP/1.1 200 OK\nContent-Length: 0").0, "x-frame-options"), Some("MINE"));
}

#[test]
fn error_pages_replace_the_listed_statuses() {
    let page = |statuses: &[&str], query: &str| ErrorPage::new(&strings(statuses), "errors", query).unwrap();
    let pages =
        ErrorPages::new(vec![page(&["404", "500-501"], "e/{status}.html?s={status}"), page(&["503-599"], "/x")]);
    let asked = pages.page_for(404).unwrap();
    assert_eq!((&*asked.backend, text(&asked.target).as_str(), asked.status), ("errors", "/e/404.html?s=404", 404));
    assert_eq!(text(&pages.page_for(503).unwrap().target), "/x");
    assert!([200, 304, 403, 502].iter().all(|&status| pages.page_for(status).is_none()));
    let mut run = ChainRun::new(vec![Middleware::ErrorPages(pages)]);
    assert!(passes(&run.get("h", "/")));
    assert_eq!(run.respond("HTTP/1.1 500 Oops\nContent-Length: 0").1.unwrap().status, 500);
    assert_eq!(StatusRanges::parse(&strings(&["200-500", "502"])).unwrap().pairs(), [(200, 500), (502, 502)]);
    assert!(StatusRanges::parse(&strings(&["aaa"])).unwrap_err().to_string().contains("aaa"));
}
