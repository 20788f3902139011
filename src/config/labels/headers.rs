//! Reads `traefik.frontend.headers.*` (docs/reference/labels.md#frontend-labels; their meaning: docs/reference/middlewares.md#headers).

use super::values::{InvalidLabel, Labels};
use crate::config::dynamic::Headers;

/// Reads all header options; `None` if every option has its default.
pub fn headers(labels: &Labels) -> Result<Option<Headers>, InvalidLabel> {
    if !labels.any("traefik.frontend.headers.") {
        return Ok(None);
    }
    let name = |option: &str| format!("traefik.frontend.headers.{option}");
    let flag = |option: &str| labels.flag(&name(option), false);
    let text = |option: &str| labels.text(&name(option));
    let list = |option: &str| labels.list(&name(option));
    let map = |option: &str| labels.header_map(&name(option));
    let headers = Headers {
        custom_request_headers: map("customRequestHeaders")?,
        custom_response_headers: map("customResponseHeaders")?,
        allowed_hosts: list("allowedHosts")?,
        hosts_proxy_headers: list("hostsProxyHeaders")?,
        ssl_redirect: flag("SSLRedirect"),
        ssl_temporary_redirect: flag("SSLTemporaryRedirect"),
        ssl_host: text("SSLHost")?,
        ssl_proxy_headers: map("SSLProxyHeaders")?,
        ssl_force_host: flag("SSLForceHost"),
        sts_seconds: labels.number(&name("STSSeconds"), 0),
        sts_include_subdomains: flag("STSIncludeSubdomains"),
        sts_preload: flag("STSPreload"),
        force_sts_header: flag("forceSTSHeader"),
        frame_deny: flag("frameDeny"),
        custom_frame_options_value: text("customFrameOptionsValue")?,
        content_type_nosniff: flag("contentTypeNosniff"),
        browser_xss_filter: flag("browserXSSFilter"),
        custom_browser_xss_value: text("customBrowserXSSValue")?,
        content_security_policy: text("contentSecurityPolicy")?,
        public_key: text("publicKey")?,
        referrer_policy: text("referrerPolicy")?,
        is_development: flag("isDevelopment"),
    };
    Ok((headers != Headers::default()).then_some(headers))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Option<Headers>, InvalidLabel> {
        let map: BTreeMap<String, String> = pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        headers(&Labels::whole(&map))
    }

    #[test]
    fn headers_are_none_if_all_options_are_defaults() {
        assert_eq!(read(&[("traefik.frontend.headers.frameDeny", "false")]).unwrap(), None);
        assert_eq!(read(&[("traefik.frontend.headers.framedeny", "true")]).unwrap(), None, "names are case-sensitive");
        let deny = read(&[("traefik.frontend.headers.frameDeny", "true")]).unwrap().unwrap();
        assert_eq!(deny, Headers { frame_deny: true, ..Headers::default() });
    }

    #[test]
    fn header_names_become_canonical_and_values_keep_colons() {
        let label = "traefik.frontend.headers.customRequestHeaders";
        let read = read(&[(label, "x-a:b:c||Authorization:")]).unwrap().unwrap();
        assert_eq!(read.custom_request_headers["X-A"], "b:c");
        assert_eq!(read.custom_request_headers["Authorization"], "");
    }
}
