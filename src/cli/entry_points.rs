//! Parses the text form of an entry point, `--entryPoints='Name:http Address::80 TLS'`
//! (docs/reference/command-line.md#entry-points-in-one-text).

use std::collections::BTreeMap;

use super::error::CliError;
use crate::config::text::tree::{Node, Table, Value};
use crate::diagnostics::suggest::did_you_mean;

/// All items, in the spelling of Traefik's manual.
const ITEMS: [&str; 39] = [
    "Name",
    "Address",
    "Compress",
    "TLS",
    "TLS.MinVersion",
    "TLS.CipherSuites",
    "TLS.SniStrict",
    "TLS.DefaultCertificate.Cert",
    "TLS.DefaultCertificate.Key",
    "CA",
    "CA.Optional",
    "Redirect.EntryPoint",
    "Redirect.Regex",
    "Redirect.Replacement",
    "Redirect.Permanent",
    "WhiteList.SourceRange",
    "WhiteList.UseXForwardedFor",
    "WhiteListSourceRange",
    "ProxyProtocol.TrustedIPs",
    "ProxyProtocol.Insecure",
    "ForwardedHeaders.TrustedIPs",
    "ForwardedHeaders.Insecure",
    "Auth.Basic.Users",
    "Auth.Basic.RemoveHeader",
    "Auth.Digest.Users",
    "Auth.Digest.RemoveHeader",
    "Auth.HeaderField",
    "Auth.Forward.Address",
    "Auth.Forward.TrustForwardHeader",
    "Auth.Forward.AuthResponseHeaders",
    "Auth.Forward.TLS.CA",
    "Auth.Forward.TLS.CAOptional",
    "Auth.Forward.TLS.Cert",
    "Auth.Forward.TLS.Key",
    "Auth.Forward.TLS.InsecureSkipVerify",
    "SanitizePath",
    "Http2",
    "RequestId",
    "Udp.Timeout",
];

/// Parses one entry point; returns its name and its table.
pub(super) fn parse(text: &str, display_name: &str, warnings: &mut Vec<String>) -> Result<(String, Node), CliError> {
    let text = text.trim_matches(['\'', '"']);
    let items = Items { values: split(text, display_name, warnings), display_name };
    let mut entry_point = Table::default();
    items.text(&mut entry_point, "address", "address");
    items.flag(&mut entry_point, "compress", "compress");
    items.switch(&mut entry_point, "SanitizePath", "sanitizePath")?;
    items.switch(&mut entry_point, "Http2", "http2")?;
    items.flag(&mut entry_point, "requestid", "requestId");
    items.list(&mut entry_point, "whitelistsourcerange", "whitelistSourceRange");
    items.table(&mut entry_point, "tls", items.tls(warnings)?);
    items.table(&mut entry_point, "redirect", items.redirect());
    items.table(&mut entry_point, "whiteList", items.white_list());
    items.table(&mut entry_point, "proxyProtocol", items.proxy_protocol());
    items.table(&mut entry_point, "forwardedHeaders", items.forwarded_headers());
    items.table(&mut entry_point, "udp", items.udp());
    items.table(&mut entry_point, "auth", items.auth());
    let name = items.value("name").unwrap_or_default().to_owned();
    if name.is_empty() {
        warnings.push(format!("{display_name}: an entry point without a name cannot be used: add Name:http"));
    }
    Ok((name, Node::from_flag(Value::Table(entry_point), display_name)))
}

/// Splits a text into items: lower-case names with their values. The value of an item without a colon is empty.
fn split<'t>(text: &'t str, display_name: &str, warnings: &mut Vec<String>) -> BTreeMap<String, &'t str> {
    let mut values = BTreeMap::new();
    for item in text.split_whitespace() {
        let (key, value) = item.split_once(':').unwrap_or((item, ""));
        let is_known = ITEMS.iter().any(|item| item.eq_ignore_ascii_case(key));
        if !is_known {
            warnings.push(match did_you_mean(key, ITEMS) {
                Some(near) => format!("{display_name}: unknown item {key}: did you mean {near}?"),
                None => format!("{display_name}: unknown item {key}: it is ignored"),
            });
        }
        values.insert(key.to_ascii_lowercase(), value);
    }
    values
}

struct Items<'t> {
    values: BTreeMap<String, &'t str>,
    display_name: &'t str,
}

impl Items<'_> {
    /// The item's value, if the item is present and its value is not empty.
    fn value(&self, item: &str) -> Option<&str> {
        self.values.get(item).copied().filter(|value| !value.is_empty())
    }

    fn node(&self, value: Value) -> Node {
        Node::from_flag(value, self.display_name)
    }

    fn text(&self, into: &mut Table, item: &str, key: &str) {
        if let Some(text) = self.value(item) {
            into.set_key(key, self.node(Value::Text(text.to_owned())));
        }
    }

    fn list(&self, into: &mut Table, item: &str, key: &str) {
        if let Some(text) = self.value(item) {
            let parts = text.split(',').map(|part| self.node(Value::Text(part.to_owned())));
            into.set_key(key, self.node(Value::List(parts.collect())));
        }
    }

    fn flag(&self, into: &mut Table, item: &str, key: &str) {
        if self.values.contains_key(item) {
            into.set_key(key, self.node(Value::Bool(self.is_on(item))));
        }
    }

    /// Sets an option that is on by default: only a value that clearly means off switches it off; an unclear value is an error.
    fn switch(&self, into: &mut Table, item: &str, key: &str) -> Result<(), CliError> {
        let lowered = item.to_ascii_lowercase();
        let Some(value) = self.values.get(&lowered) else { return Ok(()) };
        let is_off = ["false", "disable", "off"].iter().any(|off| value.eq_ignore_ascii_case(off));
        if !is_off && !value.is_empty() && !self.is_on(&lowered) {
            let display_name = self.display_name;
            return Err(CliError::Usage(format!(
                "{display_name}: {item}:{value} is neither true nor false: write one of them"
            )));
        }
        into.set_key(key, self.node(Value::Bool(!is_off)));
        Ok(())
    }

    fn table(&self, into: &mut Table, key: &str, table: Option<Table>) {
        if let Some(table) = table {
            into.set_key(key, self.node(Value::Table(table)));
        }
    }

    /// Whether the item's value is `true`, `enable` or `on`, in any case.
    fn is_on(&self, item: &str) -> bool {
        let value = self.value(item).unwrap_or_default();
        ["true", "enable", "on"].iter().any(|on| value.eq_ignore_ascii_case(on))
    }

    fn tls(&self, warnings: &mut Vec<String>) -> Result<Option<Table>, CliError> {
        let Some(pairs) = self.values.get("tls") else {
            let without_effect = ITEMS.iter().find(|item| {
                let part = item.starts_with("TLS.") || item.starts_with("CA");
                part && self.values.contains_key(&item.to_ascii_lowercase())
            });
            if let Some(item) = without_effect {
                warnings.push(format!("{}: {item} is ignored without TLS: add the item TLS", self.display_name));
            }
            return Ok(None);
        };
        let mut tls = Table::default();
        self.text(&mut tls, "tls.minversion", "minVersion");
        self.list(&mut tls, "tls.ciphersuites", "cipherSuites");
        self.flag(&mut tls, "tls.snistrict", "sniStrict");
        let certificates = pairs.split(';').filter(|pair| !pair.is_empty()).map(|pair| self.certificate(pair));
        let certificates = certificates.collect::<Result<Vec<_>, _>>()?;
        tls.set_key("certificates", self.node(Value::List(certificates)));
        let default = [self.value("tls.defaultcertificate.cert"), self.value("tls.defaultcertificate.key")];
        if let [Some(cert), Some(key)] = default {
            tls.set_key("defaultCertificate", self.pair(cert, key));
        }
        if self.value("ca").is_some() {
            let mut ca = Table::default();
            self.list(&mut ca, "ca", "files");
            self.flag(&mut ca, "ca.optional", "optional");
            self.table(&mut tls, "clientCA", Some(ca));
        }
        Ok(Some(tls))
    }

    fn certificate(&self, pair: &str) -> Result<Node, CliError> {
        match pair.split(',').collect::<Vec<_>>()[..] {
            [cert, key] => Ok(self.pair(cert, key)),
            _ => {
                Err(CliError::Usage(format!("{}: {pair:?} is no pair: write TLS:cert.pem,key.pem", self.display_name)))
            }
        }
    }

    fn pair(&self, cert: &str, key: &str) -> Node {
        let mut table = Table::default();
        table.set_key("certFile", self.node(Value::Text(cert.to_owned())));
        table.set_key("keyFile", self.node(Value::Text(key.to_owned())));
        self.node(Value::Table(table))
    }

    fn redirect(&self) -> Option<Table> {
        let mut redirect = Table::default();
        self.text(&mut redirect, "redirect.entrypoint", "entryPoint");
        self.text(&mut redirect, "redirect.regex", "regex");
        self.text(&mut redirect, "redirect.replacement", "replacement");
        if redirect.entries.is_empty() {
            return None;
        }
        self.flag(&mut redirect, "redirect.permanent", "permanent");
        Some(redirect)
    }

    fn white_list(&self) -> Option<Table> {
        self.value("whitelist.sourcerange")?;
        let mut list = Table::default();
        self.list(&mut list, "whitelist.sourcerange", "sourceRange");
        self.flag(&mut list, "whitelist.usexforwardedfor", "useXForwardedFor");
        Some(list)
    }

    fn proxy_protocol(&self) -> Option<Table> {
        let mut proxy = Table::default();
        self.list(&mut proxy, "proxyprotocol.trustedips", "trustedIPs");
        self.flag(&mut proxy, "proxyprotocol.insecure", "insecure");
        (!proxy.entries.is_empty()).then_some(proxy)
    }

    fn udp(&self) -> Option<Table> {
        let mut udp = Table::default();
        self.text(&mut udp, "udp.timeout", "timeout");
        (!udp.entries.is_empty()).then_some(udp)
    }

    /// The table `forwardedHeaders`, if one of its items is present. Without it every peer is trusted.
    fn forwarded_headers(&self) -> Option<Table> {
        let mut headers = Table::default();
        self.list(&mut headers, "forwardedheaders.trustedips", "trustedIPs");
        self.flag(&mut headers, "forwardedheaders.insecure", "insecure");
        (!headers.entries.is_empty()).then_some(headers)
    }

    fn auth(&self) -> Option<Table> {
        let mut auth = Table::default();
        for kind in ["basic", "digest"] {
            let mut users = Table::default();
            self.list(&mut users, &format!("auth.{kind}.users"), "users");
            if !users.entries.is_empty() {
                self.flag(&mut users, &format!("auth.{kind}.removeheader"), "removeHeader");
                self.table(&mut auth, kind, Some(users));
            }
        }
        self.table(&mut auth, "forward", self.forward());
        if auth.entries.is_empty() {
            return None;
        }
        self.text(&mut auth, "auth.headerfield", "headerField");
        Some(auth)
    }

    fn forward(&self) -> Option<Table> {
        self.value("auth.forward.address")?;
        let mut forward = Table::default();
        self.text(&mut forward, "auth.forward.address", "address");
        self.flag(&mut forward, "auth.forward.trustforwardheader", "trustForwardHeader");
        self.list(&mut forward, "auth.forward.authresponseheaders", "authResponseHeaders");
        let pair = self.value("auth.forward.tls.cert").and(self.value("auth.forward.tls.key"));
        if pair.is_some() || self.is_on("auth.forward.tls.insecureskipverify") {
            let mut tls = Table::default();
            self.text(&mut tls, "auth.forward.tls.ca", "ca");
            self.flag(&mut tls, "auth.forward.tls.caoptional", "caOptional");
            self.text(&mut tls, "auth.forward.tls.cert", "cert");
            self.text(&mut tls, "auth.forward.tls.key", "key");
            self.flag(&mut tls, "auth.forward.tls.insecureskipverify", "insecureSkipVerify");
            self.table(&mut forward, "tls", Some(tls));
        }
        Some(forward)
    }
}
