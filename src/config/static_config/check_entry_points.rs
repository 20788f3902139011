//! Finds options of entry points that cannot work (docs/reference/static-configuration.md#errors).

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::problem::Problem;
use super::{EntryPoint, StaticConfig, Tls};
use crate::config::dynamic::Auth;
use crate::diagnostics::Code;
use crate::diagnostics::suggest::did_you_mean;
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
            problems.push(Problem::fatal(Code::InvalidUser, key, message).of_item(index));
            continue;
        }
        if line.contains(char::REPLACEMENT_CHARACTER) {
            let message = format!("user {} is not UTF-8 and cannot log in: save the file as UTF-8", index + 1);
            problems.push(Problem::warning(Code::InvalidUser, key, message).of_item(index));
            continue;
        }
        let mut parts = line.split(':');
        let (user, first, second) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default(), parts.next());
        let problem = match second {
            Some(ha1) => digest_auth::user_problem(first, ha1),
            None => PasswordHash::problem(first),
        };
        if let Some(problem) = problem {
            let message = format!("user {} ({user:?}) can never log in: {problem}", index + 1);
            problems.push(Problem::warning(Code::UserCannotLogIn, key, message).of_item(index));
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
    fn fatal(&mut self, code: Code, key: &str, message: String) {
        self.problems.push(Problem::fatal(code, format!("{}.{key}", self.key), message));
    }

    fn warning(&mut self, code: Code, key: &str, message: String) {
        self.problems.push(Problem::warning(code, format!("{}.{key}", self.key), message));
    }

    /// Makes the last problem one of an item of a list.
    fn of_item(&mut self, index: usize) {
        if let Some(last) = self.problems.last_mut() {
            last.item = Some(index);
        }
    }

    fn address<'a>(&mut self, name: &'a str, entry_point: &EntryPoint, owners: &mut Owners<'a>) {
        let listen = match entry_point.listen() {
            Ok(listen) => listen,
            Err(invalid) => return self.fatal(Code::InvalidAddress, "address", invalid.to_string()),
        };
        if entry_point.address.is_empty() {
            let message = "is missing, so a random port is taken on every interface: write \":80\"".to_owned();
            return self.warning(Code::MissingAddress, "address", message);
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
            self.fatal(Code::AddressTaken, "address", message);
        }
    }

    fn redirect(&mut self, name: &str, entry_point: &EntryPoint, config: &StaticConfig) {
        let Some(redirect) = &entry_point.redirect else { return };
        let target = &redirect.entry_point;
        if target == name {
            let message = format!("{name} redirects to itself: name another entry point, or remove the table");
            return self.fatal(Code::RedirectLoop, "redirect.entryPoint", message);
        }
        if !target.is_empty() {
            if !config.entry_points.contains_key(target) {
                let names = || config.entry_points.keys().map(String::as_str).filter(|other| *other != name);
                let hint = match did_you_mean(target, names()) {
                    Some(near) => format!("did you mean {near}?"),
                    None => format!("define it, or use one of {}", names().collect::<Vec<_>>().join(", ")),
                };
                self.fatal(
                    Code::UnknownEntryPoint,
                    "redirect.entryPoint",
                    format!("there is no entry point {target:?}: {hint}"),
                );
            }
            if redirects_back(name, target, config) {
                let message = format!(
                    "{name} redirects to {target}, which redirects back to {name}: clients go round in a circle"
                );
                self.warning(Code::RedirectLoop, "redirect.entryPoint", message);
            }
            return;
        }
        if redirect.regex.is_empty() {
            let message = "names neither entryPoint nor regex, so nothing is redirected: add one of them".to_owned();
            return self.warning(Code::RedirectWithoutTarget, "redirect", message);
        }
        if let Err(invalid) = pattern::compile(&redirect.regex) {
            let message = format!("{:?} is no regular expression ({}): correct it", redirect.regex, invalid.reason);
            self.fatal(Code::InvalidRegex, "redirect.regex", message);
        } else if redirect.replacement.is_empty() {
            let message = "has a regex and no replacement, so nothing is redirected: add replacement".to_owned();
            self.warning(Code::RedirectWithoutTarget, "redirect.replacement", message);
        }
    }

    fn white_list(&mut self, entry_point: &EntryPoint) {
        let Some(list) = &entry_point.white_list else { return };
        if list.source_range.is_empty() {
            let message = "is empty and denies every client: list addresses, or remove the whiteList table".to_owned();
            self.fatal(Code::EmptyWhiteList, "whiteList.sourceRange", message);
        }
        for (index, range) in list.source_range.iter().enumerate().filter(|(_, range)| !is_range(range)) {
            self.fatal(Code::InvalidRange, "whiteList.sourceRange", not_a_range(range));
            self.of_item(index);
        }
    }

    fn trust(&mut self, entry_point: &EntryPoint) {
        if let Some(proxy) = &entry_point.proxy_protocol {
            if !proxy.insecure && proxy.trusted_ips.is_empty() {
                let message =
                    "trusts no address: list trustedIPs, or set insecure = true to trust every address".to_owned();
                self.fatal(Code::TrustsNoAddress, "proxyProtocol", message);
            }
            for (index, range) in proxy.trusted_ips.iter().enumerate().filter(|(_, range)| !is_range(range)) {
                self.fatal(Code::InvalidRange, "proxyProtocol.trustedIPs", not_a_range(range));
                self.of_item(index);
            }
        }
        let Some(headers) = &entry_point.forwarded_headers else { return };
        if !headers.insecure && headers.trusted_ips.is_empty() {
            let message =
                "trusts no address, and then Traefik serves no frontend here: list trustedIPs, set insecure = true, \
                           or remove the table"
                    .to_owned();
            self.warning(Code::TrustsNoAddress, "forwardedHeaders", message);
        }
        for (index, range) in headers.trusted_ips.iter().enumerate().filter(|(_, range)| !is_range(range)) {
            let message = format!("{}; this entry trusts no peer", not_a_range(range));
            self.warning(Code::InvalidRange, "forwardedHeaders.trustedIPs", message);
            self.of_item(index);
        }
    }

    fn tls(&mut self, tls: &Tls) {
        const VERSIONS: [&str; 4] = ["VersionTLS10", "VersionTLS11", "VersionTLS12", "VersionTLS13"];
        if !tls.min_version.is_empty() && !VERSIONS.contains(&tls.min_version.as_str()) {
            let message = format!("{:?} is unknown and ignored: use one of {}", tls.min_version, VERSIONS.join(", "));
            self.warning(Code::UnknownTlsVersion, "tls.minVersion", message);
        }
        for (index, suite) in tls.cipher_suites.iter().enumerate().filter(|(_, suite)| !suites::is_known(suite)) {
            let hint = match did_you_mean(suite, suites::known_names()) {
                Some(near) => format!("did you mean {near}?"),
                None => "use a name such as TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256".to_owned(),
            };
            let message = format!("there is no cipher suite {suite:?}: {hint}");
            self.fatal(Code::UnknownCipherSuite, "tls.cipherSuites", message);
            self.of_item(index);
        }
        if tls.client_ca.as_ref().is_some_and(|ca| ca.files.is_empty()) {
            let message = "names no file, so no client certificate is asked for: list PEM files".to_owned();
            self.warning(Code::MissingClientCa, "tls.clientCA.files", message);
        }
    }

    fn auth(&mut self, auth: &Auth) {
        if auth.basic.is_none() && auth.digest.is_none() && auth.forward.is_none() {
            let message =
                "names no method and denies every request: add basic, digest or forward, or remove the auth table"
                    .to_owned();
            self.fatal(Code::AuthWithoutMethod, "auth", message);
        }
        for (kind, users) in [("basic", &auth.basic), ("digest", &auth.digest)] {
            let Some(users) = users else { continue };
            let key = format!("{}.auth.{kind}.users", self.key);
            check_user_lines(&key, kind, users.users.iter().map(String::as_str), self.problems);
        }
        let forward = auth.forward.as_ref().and_then(|forward| forward.tls.as_ref());
        if forward.is_some_and(|tls| !tls.insecure_skip_verify && tls.cert.is_empty() != tls.key.is_empty()) {
            self.fatal(
                Code::IncompleteKeyPair,
                "auth.forward.tls",
                "has only one of cert and key: give both".to_owned(),
            );
        }
    }
}

/// Whether the redirects from entry point `target` on lead back to `name`.
fn redirects_back(name: &str, target: &str, config: &StaticConfig) -> bool {
    let next =
        |name: &str| config.entry_points.get(name)?.redirect.as_ref().map(|redirect| redirect.entry_point.as_str());
    let mut at = target;
    // Each entry point is passed once; a circle elsewhere is reported there.
    for _ in 0..config.entry_points.len() {
        match next(at) {
            Some(following) if following == name => return true,
            Some(following) if !following.is_empty() => at = following,
            _ => return false,
        }
    }
    false
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
