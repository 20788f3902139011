//! Finds options of entry points that cannot work (docs/reference/static-configuration.md#errors).

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::problem::Problem;
use super::{EntryPoint, StaticConfig, Tls};
use crate::config::dynamic::Auth;
use crate::config::suggest::did_you_mean;
use crate::middleware::credentials::PasswordHash;
use crate::middleware::digest_auth;
use crate::rule::pattern;
use crate::tls::suites;

pub(super) fn check_entry_points(config: &StaticConfig, problems: &mut Vec<Problem>) {
    let mut owners = BTreeMap::new();
    for (name, entry_point) in &config.entry_points {
        let mut checker = EntryPointChecker { key: format!("entryPoints.{name}"), problems };
        checker.address(name, entry_point, &mut owners);
        checker.redirect(name, entry_point, config);
        checker.white_list(entry_point);
        checker.trust(entry_point);
        if let Some(tls) = &entry_point.tls {
            checker.tls(tls);
        }
        if let Some(auth) = &entry_point.auth {
            checker.auth(auth);
        }
    }
}

/// Checks that each user's line is `name:hash`, for digest `name:realm:hash`, and that some password can match it
/// (docs/reference/entry-points.md#authentication). Messages do not show the line: it is a secret.
pub(super) fn check_user_lines<'a>(
    key: &str,
    kind: &str,
    lines: impl Iterator<Item = &'a str>,
    problems: &mut Vec<Problem>,
) {
    let (colons, form) = if kind == "digest" { (2, "name:traefik:hash") } else { (1, "name:hash") };
    for (index, line) in lines.enumerate() {
        if line.matches(':').count() != colons {
            let message = format!("user {} is not of the form {form}: write it with htpasswd or htdigest", index + 1);
            problems.push(Problem::fatal(key, message));
            continue;
        }
        if line.contains(char::REPLACEMENT_CHARACTER) {
            let message = format!("user {} is not UTF-8 and cannot log in: save the file as UTF-8", index + 1);
            problems.push(Problem::warning(key, message));
            continue;
        }
        let mut parts = line.split(':');
        let (user, first, second) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default(), parts.next());
        let problem = match second {
            Some(ha1) => digest_auth::user_problem(first, ha1),
            None => PasswordHash::problem(first),
        };
        if let Some(problem) = problem {
            problems.push(Problem::warning(key, format!("user {} ({user:?}) can never log in: {problem}", index + 1)));
        }
    }
}

/// The entry points by their address: host, port, and whether it is one of UDP.
type Owners<'a> = BTreeMap<(String, u16, bool), &'a str>;

struct EntryPointChecker<'p> {
    key: String,
    problems: &'p mut Vec<Problem>,
}

impl EntryPointChecker<'_> {
    fn fatal(&mut self, key: &str, message: String) {
        self.problems.push(Problem::fatal(format!("{}.{key}", self.key), message));
    }

    fn warning(&mut self, key: &str, message: String) {
        self.problems.push(Problem::warning(format!("{}.{key}", self.key), message));
    }

    fn address<'a>(&mut self, name: &'a str, entry_point: &EntryPoint, owners: &mut Owners<'a>) {
        let listen = match entry_point.listen() {
            Ok(listen) => listen,
            Err(invalid) => return self.fatal("address", invalid.to_string()),
        };
        if entry_point.address.is_empty() {
            let message = "is missing, so a random port is taken on every interface: write \":80\"".to_owned();
            return self.warning("address", message);
        }
        let host = match listen.host.as_str() {
            "0.0.0.0" | "::" => String::new(),
            host => host.to_ascii_lowercase(),
        };
        if listen.port == 0 {
            return;
        }
        if let Some(owner) = owners.insert((host, listen.port, listen.is_udp), name) {
            let message = format!("{} is taken by entry point {owner}: choose another port", entry_point.address);
            self.fatal("address", message);
        }
    }

    fn redirect(&mut self, name: &str, entry_point: &EntryPoint, config: &StaticConfig) {
        let Some(redirect) = &entry_point.redirect else { return };
        let target = &redirect.entry_point;
        if target == name {
            let message = format!("{name} redirects to itself: name another entry point, or remove the table");
            return self.fatal("redirect.entryPoint", message);
        }
        if !target.is_empty() {
            if !config.entry_points.contains_key(target) {
                let names = || config.entry_points.keys().map(String::as_str).filter(|other| *other != name);
                let hint = match did_you_mean(target, names()) {
                    Some(near) => format!("did you mean {near}?"),
                    None => format!("define it, or use one of {}", names().collect::<Vec<_>>().join(", ")),
                };
                self.fatal("redirect.entryPoint", format!("there is no entry point {target:?}: {hint}"));
            }
            return;
        }
        if redirect.regex.is_empty() {
            let message = "names neither entryPoint nor regex, so nothing is redirected: add one of them".to_owned();
            return self.warning("redirect", message);
        }
        if let Err(invalid) = pattern::compile(&redirect.regex) {
            let message = format!("{:?} is no regular expression ({}): correct it", redirect.regex, invalid.reason);
            self.fatal("redirect.regex", message);
        } else if redirect.replacement.is_empty() {
            let message = "has a regex and no replacement, so nothing is redirected: add replacement".to_owned();
            self.warning("redirect.replacement", message);
        }
    }

    fn white_list(&mut self, entry_point: &EntryPoint) {
        let Some(list) = &entry_point.white_list else { return };
        if list.source_range.is_empty() {
            let message = "is empty and denies every client: list addresses, or remove the whiteList table".to_owned();
            self.fatal("whiteList.sourceRange", message);
        }
        for range in list.source_range.iter().filter(|range| !is_range(range)) {
            self.fatal("whiteList.sourceRange", not_a_range(range));
        }
    }

    fn trust(&mut self, entry_point: &EntryPoint) {
        if let Some(proxy) = &entry_point.proxy_protocol {
            if !proxy.insecure && proxy.trusted_ips.is_empty() {
                let message =
                    "trusts no address: list trustedIPs, or set insecure = true to trust every address".to_owned();
                self.fatal("proxyProtocol", message);
            }
            for range in proxy.trusted_ips.iter().filter(|range| !is_range(range)) {
                self.fatal("proxyProtocol.trustedIPs", not_a_range(range));
            }
        }
        let Some(headers) = &entry_point.forwarded_headers else { return };
        if !headers.insecure && headers.trusted_ips.is_empty() {
            let message =
                "trusts no address, and then Traefik serves no frontend here: list trustedIPs, set insecure = true, \
                           or remove the table"
                    .to_owned();
            self.warning("forwardedHeaders", message);
        }
        for range in headers.trusted_ips.iter().filter(|range| !is_range(range)) {
            self.warning("forwardedHeaders.trustedIPs", format!("{}; this entry trusts no peer", not_a_range(range)));
        }
    }

    fn tls(&mut self, tls: &Tls) {
        const VERSIONS: [&str; 4] = ["VersionTLS10", "VersionTLS11", "VersionTLS12", "VersionTLS13"];
        if !tls.min_version.is_empty() && !VERSIONS.contains(&tls.min_version.as_str()) {
            let message = format!("{:?} is unknown and ignored: use one of {}", tls.min_version, VERSIONS.join(", "));
            self.warning("tls.minVersion", message);
        }
        for suite in tls.cipher_suites.iter().filter(|suite| !suites::is_known(suite)) {
            let hint = match did_you_mean(suite, suites::known_names()) {
                Some(near) => format!("did you mean {near}?"),
                None => "use a name such as TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256".to_owned(),
            };
            self.fatal("tls.cipherSuites", format!("there is no cipher suite {suite:?}: {hint}"));
        }
        if tls.client_ca.as_ref().is_some_and(|ca| ca.files.is_empty()) {
            let message = "names no file, so no client certificate is asked for: list PEM files".to_owned();
            self.warning("tls.clientCA.files", message);
        }
    }

    fn auth(&mut self, auth: &Auth) {
        if auth.basic.is_none() && auth.digest.is_none() && auth.forward.is_none() {
            let message =
                "names no method and denies every request: add basic, digest or forward, or remove the auth table"
                    .to_owned();
            self.fatal("auth", message);
        }
        for (kind, users) in [("basic", &auth.basic), ("digest", &auth.digest)] {
            let Some(users) = users else { continue };
            let key = format!("{}.auth.{kind}.users", self.key);
            check_user_lines(&key, kind, users.users.iter().map(String::as_str), self.problems);
        }
        let forward = auth.forward.as_ref().and_then(|forward| forward.tls.as_ref());
        if forward.is_some_and(|tls| !tls.insecure_skip_verify && tls.cert.is_empty() != tls.key.is_empty()) {
            self.fatal("auth.forward.tls", "has only one of cert and key: give both".to_owned());
        }
    }
}

/// Whether a text is an address or a CIDR range, as an entry of Traefik's lists must be.
fn is_range(text: &str) -> bool {
    text.parse::<IpNet>().is_ok() || text.parse::<IpAddr>().is_ok()
}

fn not_a_range(text: &str) -> String {
    format!("{text:?} is no address range: write \"10.0.0.0/8\", \"192.168.1.7\" or \"fd00::/8\"")
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
