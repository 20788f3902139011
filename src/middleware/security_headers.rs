//! The security headers and host checks of a frontend's `headers` table (docs/reference/middlewares.md#security-headers).

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::headers::{InvalidHeader, check};
use super::{ChainState, Request, RequestInfo, Response, Verdict};
use crate::http::host_name::is_same_host;
use crate::http::{Reply, is_forwarding_field};

/// The options as configured, named as in toml.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecureOptions {
    pub allowed_hosts: Vec<String>,
    pub hosts_proxy_headers: Vec<String>,
    pub ssl_redirect: bool,
    pub ssl_temporary_redirect: bool,
    pub ssl_host: String,
    pub ssl_proxy_headers: Vec<(String, String)>,
    pub ssl_force_host: bool,
    pub sts_seconds: i64,
    pub sts_include_subdomains: bool,
    pub sts_preload: bool,
    pub force_sts_header: bool,
    pub frame_deny: bool,
    pub custom_frame_options_value: String,
    pub content_type_nosniff: bool,
    pub browser_xss_filter: bool,
    pub custom_browser_xss_value: String,
    pub content_security_policy: String,
    pub public_key: String,
    pub referrer_policy: String,
    pub is_development: bool,
}

/// The compiled options: fields of every response, and fields of responses over TLS only.
#[derive(Debug)]
pub struct SecurityHeaders {
    options: SecureOptions,
    always: Vec<(&'static str, Vec<u8>)>,
    on_tls: Vec<(&'static str, Vec<u8>)>,
    policy: Option<Policy>,
    /// `http://SSLHost`: a Location that begins with it is rewritten to https.
    insecure_base: Vec<u8>,
}

/// A content security policy, split at each `$NONCE`: every response gets a nonce of its own.
#[derive(Debug)]
struct Policy {
    parts: Vec<Vec<u8>>,
}

impl SecurityHeaders {
    /// `None` if no option is set: the frontend then has no such middleware.
    pub fn new(options: SecureOptions) -> Result<Option<Box<Self>>, InvalidHeader> {
        if options == SecureOptions::default() {
            return Ok(None);
        }
        let (always, on_tls) = static_fields(&options);
        for (name, value) in always.iter().chain(&on_tls) {
            check(name, &String::from_utf8_lossy(value))?;
        }
        check("Content-Security-Policy", &options.content_security_policy)?;
        check("Location", &options.ssl_host)?;
        for name in options.hosts_proxy_headers.iter().chain(options.ssl_proxy_headers.iter().map(|(name, _)| name)) {
            check(name, "")?;
        }
        let text = &options.content_security_policy;
        let parts = || text.split("$NONCE").map(|part| part.as_bytes().to_vec()).collect();
        let policy = (!text.is_empty()).then(|| Policy { parts: parts() });
        let insecure_base = format!("http://{}", options.ssl_host).into_bytes();
        Ok(Some(Box::new(SecurityHeaders { options, always, on_tls, policy, insecure_base })))
    }

    pub fn on_request(&self, request: &Request, info: &RequestInfo, chain_state: &mut ChainState) -> Verdict {
        let options = &self.options;
        let view = request.view();
        let is_trusted = |name: &str| info.trusted || !is_forwarding_field(name.as_bytes());
        let trusted_names = options.hosts_proxy_headers.iter().filter(|name| is_trusted(name));
        let mut forwarded_hosts = trusted_names.filter_map(|name| view.first(name.as_bytes()));
        let host = forwarded_hosts.find(|value| !value.is_empty()).unwrap_or(request.host());
        if !options.is_development && !self.allows(host, info.secure) {
            return refuse_host();
        }
        let tls = info.secure
            || options
                .ssl_proxy_headers
                .iter()
                .any(|(name, value)| is_trusted(name) && view.first(name.as_bytes()) == Some(value.as_bytes()));
        chain_state.counts_as_tls = tls;
        let wanted = if options.ssl_host.is_empty() { host } else { options.ssl_host.as_bytes() };
        let needs_tls = options.ssl_redirect && !tls && !options.is_development;
        let needs_host = options.ssl_force_host && wanted != host;
        if needs_tls || needs_host {
            return self.redirect(request.method(), wanted, info);
        }
        Verdict::Next
    }

    /// Sets the fields, in place of the backend's fields of the same names. Local replies and 101 responses stay unchanged.
    pub fn on_response(&self, response: &mut Response, info: &RequestInfo, chain_state: &ChainState) {
        if !matches!(response, Response::Backend { .. }) || response.status() == 101 {
            return;
        }
        let tls_fields = if chain_state.counts_as_tls { &self.on_tls[..] } else { &[] };
        for (name, value) in self.always.iter().chain(tls_fields) {
            response.set(name, value);
        }
        if let Some(policy) = &self.policy {
            response.set("Content-Security-Policy", &policy.text(info));
        }
        if chain_state.counts_as_tls && !self.options.ssl_host.is_empty() {
            self.rewrite_location_to_https(response);
        }
    }

    fn allows(&self, host: &[u8], secure: bool) -> bool {
        let allowed = &self.options.allowed_hosts;
        let default_port: &[u8] = if secure { b"443" } else { b"80" };
        allowed.is_empty() || allowed.iter().any(|name| is_same_host(name.as_bytes(), host, default_port))
    }

    fn redirect(&self, method: &[u8], host: &[u8], info: &RequestInfo) -> Verdict {
        let (status, text) = match self.options.ssl_temporary_redirect {
            true => (307, "Temporary Redirect"),
            false => (301, "Moved Permanently"),
        };
        let mut location = b"https://".to_vec();
        location.extend_from_slice(host);
        location.extend_from_slice(info.target);
        let mut reply = Reply { status, ..Reply::default() };
        if method == b"GET" || method == b"HEAD" {
            reply = reply.with("Content-Type", &b"text/html; charset=utf-8"[..]);
        }
        if method == b"GET" {
            let mut body = b"<a href=\"".to_vec();
            escape_html(&location, &mut body);
            body.extend_from_slice(format!("\">{text}</a>.\n\n").as_bytes());
            reply.body = Cow::Owned(body);
        }
        Verdict::Reply { reply: reply.with("Location", location), label: None }
    }

    fn rewrite_location_to_https(&self, response: &mut Response) {
        let Some(rest) = response.first(b"location").and_then(|value| value.strip_prefix(&self.insecure_base[..]))
        else {
            return;
        };
        if !rest.is_empty() && rest[0] != b'/' {
            return;
        }
        let location = [b"https://", self.options.ssl_host.as_bytes(), rest].concat();
        response.set("Location", &location);
    }
}

impl Policy {
    fn text(&self, info: &RequestInfo) -> Vec<u8> {
        if let [whole] = &self.parts[..] {
            return whole.clone();
        }
        let mut random = [0; 16];
        (info.random)(&mut random);
        let nonce = format!("'nonce-{}'", STANDARD_NO_PAD.encode(random));
        self.parts.join(nonce.as_bytes())
    }
}

type Fields = Vec<(&'static str, Vec<u8>)>;

/// The fields that do not vary: first those of every response, then those of responses over TLS only.
fn static_fields(options: &SecureOptions) -> (Fields, Fields) {
    let (mut always, mut on_tls) = (Fields::new(), Fields::new());
    if options.sts_seconds != 0 && !options.is_development {
        let mut value = format!("max-age={}", options.sts_seconds);
        value += if options.sts_include_subdomains { "; includeSubDomains" } else { "" };
        value += if options.sts_preload { "; preload" } else { "" };
        let list = if options.force_sts_header { &mut always } else { &mut on_tls };
        list.push(("Strict-Transport-Security", value.into_bytes()));
    }
    if !options.public_key.is_empty() && !options.is_development {
        on_tls.push(("Public-Key-Pins", options.public_key.clone().into_bytes()));
    }
    let mut choose = |name, custom: &str, standard: bool, value: &str| {
        if !custom.is_empty() {
            always.push((name, custom.as_bytes().to_vec()));
        } else if standard {
            always.push((name, value.as_bytes().to_vec()));
        }
    };
    choose("X-Frame-Options", &options.custom_frame_options_value, options.frame_deny, "DENY");
    choose("X-Content-Type-Options", "", options.content_type_nosniff, "nosniff");
    choose("X-XSS-Protection", &options.custom_browser_xss_value, options.browser_xss_filter, "1; mode=block");
    choose("Referrer-Policy", &options.referrer_policy, false, "");
    (always, on_tls)
}

fn refuse_host() -> Verdict {
    let reply = Reply::text(500, "Bad Host\n").with("X-Content-Type-Options", &b"nosniff"[..]);
    Verdict::Reply { reply, label: None }
}

fn escape_html(text: &[u8], out: &mut Vec<u8>) {
    for &byte in text {
        match byte {
            b'&' => out.extend_from_slice(b"&amp;"),
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            b'"' => out.extend_from_slice(b"&#34;"),
            b'\'' => out.extend_from_slice(b"&#39;"),
            _ => out.push(byte),
        }
    }
}
