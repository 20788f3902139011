//! Lists all labels that are read, to find misspelt ones: names are case-sensitive, and Traefik ignores a wrong name without a message
//! (docs/reference/labels.md#labels).

use super::segments::segment_of;
use crate::diagnostics::suggest::did_you_mean;
use crate::diagnostics::{Code, Diagnostic};

/// Labels of the container itself.
const CONTAINER: &[&str] = &[
    "enable",
    "tags",
    "domain",
    "docker.network",
    "port",
    "protocol",
    "weight",
    "backend",
    "backend.loadbalancer.method",
    "backend.loadbalancer.stickiness",
    "backend.loadbalancer.stickiness.cookieName",
    "backend.loadbalancer.stickiness.secure",
    "backend.loadbalancer.stickiness.httpOnly",
    "backend.loadbalancer.stickiness.sameSite",
    "backend.loadbalancer.sticky",
    "backend.loadbalancer.swarm",
    "backend.maxconn.amount",
    "backend.maxconn.extractorfunc",
    "backend.circuitbreaker.expression",
    "backend.healthcheck.path",
    "backend.healthcheck.port",
    "backend.healthcheck.scheme",
    "backend.healthcheck.interval",
    "backend.healthcheck.hostname",
    "backend.healthcheck.headers",
    "backend.buffering.maxRequestBodyBytes",
    "backend.buffering.memRequestBodyBytes",
    "backend.buffering.maxResponseBodyBytes",
    "backend.buffering.memResponseBodyBytes",
    "backend.buffering.retryExpression",
    "backend.responseForwarding.flushInterval",
    "backend.proxyProtocol",
];

/// Options after `traefik.frontend.` and `traefik.SEGMENT.frontend.`; `*` stands for a name that the user chooses.
const FRONTEND: &[&str] = &[
    "rule",
    "entryPoints",
    "priority",
    "passHostHeader",
    "passTLSCert",
    "whitelistSourceRange",
    "passTLSClientCert.pem",
    "passTLSClientCert.infos.notAfter",
    "passTLSClientCert.infos.notBefore",
    "passTLSClientCert.infos.sans",
    "passTLSClientCert.infos.subject.country",
    "passTLSClientCert.infos.subject.province",
    "passTLSClientCert.infos.subject.locality",
    "passTLSClientCert.infos.subject.organization",
    "passTLSClientCert.infos.subject.commonName",
    "passTLSClientCert.infos.subject.serialNumber",
    "passTLSClientCert.infos.subject.domainComponent",
    "passTLSClientCert.infos.issuer.country",
    "passTLSClientCert.infos.issuer.province",
    "passTLSClientCert.infos.issuer.locality",
    "passTLSClientCert.infos.issuer.organization",
    "passTLSClientCert.infos.issuer.commonName",
    "passTLSClientCert.infos.issuer.serialNumber",
    "passTLSClientCert.infos.issuer.domainComponent",
    "auth.headerField",
    "auth.basic",
    "auth.basic.users",
    "auth.basic.usersFile",
    "auth.basic.removeHeader",
    "auth.digest.users",
    "auth.digest.usersFile",
    "auth.digest.removeHeader",
    "auth.forward.address",
    "auth.forward.trustForwardHeader",
    "auth.forward.authResponseHeaders",
    "auth.forward.tls.ca",
    "auth.forward.tls.caOptional",
    "auth.forward.tls.cert",
    "auth.forward.tls.key",
    "auth.forward.tls.insecureSkipVerify",
    "whiteList.sourceRange",
    "whiteList.useXForwardedFor",
    "accessLog",
    "accessLog.filePath",
    "accessLog.format",
    "accessLog.fields.defaultMode",
    "accessLog.fields.names.*",
    "accessLog.fields.headers.defaultMode",
    "accessLog.fields.headers.names.*",
    "passthrough",
    "alpn",
    "redirect.entryPoint",
    "redirect.regex",
    "redirect.replacement",
    "redirect.permanent",
    "errors.*.status",
    "errors.*.backend",
    "errors.*.query",
    "rateLimit.extractorFunc",
    "rateLimit.rateSet.*.period",
    "rateLimit.rateSet.*.average",
    "rateLimit.rateSet.*.burst",
    "headers.customRequestHeaders",
    "headers.customResponseHeaders",
    "headers.SSLProxyHeaders",
    "headers.allowedHosts",
    "headers.hostsProxyHeaders",
    "headers.SSLRedirect",
    "headers.SSLTemporaryRedirect",
    "headers.SSLForceHost",
    "headers.SSLHost",
    "headers.STSSeconds",
    "headers.STSIncludeSubdomains",
    "headers.STSPreload",
    "headers.forceSTSHeader",
    "headers.frameDeny",
    "headers.customFrameOptionsValue",
    "headers.contentTypeNosniff",
    "headers.browserXSSFilter",
    "headers.customBrowserXSSValue",
    "headers.contentSecurityPolicy",
    "headers.publicKey",
    "headers.referrerPolicy",
    "headers.isDevelopment",
];

/// Properties of a segment besides `frontend.*`.
const SEGMENT: &[&str] = &["port", "weight", "protocol", "backend"];

/// Labels that older versions of Traefik read, and the labels to use instead.
const REMOVED: &[(&str, &str)] = &[
    ("traefik.backend.circuitbreaker", "traefik.backend.circuitbreaker.expression"),
    ("traefik.backend.id", "traefik.backend"),
    ("traefik.portName", "traefik.port"),
    ("traefik.portIndex", "traefik.port"),
];

/// The warning about a label's name, with the most similar known one; `None` for a label that is known or not Traefik's.
pub fn unknown(label: &str) -> Option<Diagnostic> {
    let warning = |code, text| Some(Diagnostic::new(code, label, text));
    let rest = after_prefix_of_any_case(label)?;
    if let Some((_, instead)) = REMOVED.iter().find(|(removed, _)| *removed == label) {
        return warning(Code::UnknownLabel, format!("label {label} is no longer read: use {instead}"));
    }
    if ["http.", "tcp.", "udp."].iter().any(|kind| rest.starts_with(kind)) {
        let text = format!(
            "label {label} is one of Traefik 2 and has no meaning here: use traefik.frontend.* and traefik.port"
        );
        return warning(Code::ForeignLabel, text);
    }
    if label.starts_with("traefik.") && is_known(label, rest) {
        return None;
    }
    let text = match suggestion(label, rest) {
        Some(instead) => format!("label {label} is unknown and has no effect: did you mean {instead}?"),
        None => format!("label {label} is unknown and has no effect: remove it or correct its name"),
    };
    warning(Code::UnknownLabel, text)
}

fn is_known(label: &str, rest: &str) -> bool {
    if let Some((_, property)) = segment_of(label) {
        let frontend = property.strip_prefix("frontend.");
        return SEGMENT.contains(&property) || frontend.is_some_and(|option| matches_any(FRONTEND, option));
    }
    match rest.strip_prefix("frontend.") {
        Some(option) => matches_any(FRONTEND, option),
        None => CONTAINER.contains(&rest),
    }
}

fn matches_any(patterns: &[&str], option: &str) -> bool {
    patterns.iter().any(|pattern| match pattern.contains('*') {
        true => fill_in(pattern, option) == option,
        false => *pattern == option,
    })
}

/// The pattern with each `*` replaced by the piece at the same position in `option`.
fn fill_in(pattern: &str, option: &str) -> String {
    let names = option.split('.').map(|name| if name.is_empty() { "*" } else { name });
    let filled = pattern.split('.').zip(names.chain(std::iter::repeat("*")));
    filled.map(|(piece, name)| if piece == "*" { name } else { piece }).collect::<Vec<_>>().join(".")
}

/// The label that was probably meant.
fn suggestion(label: &str, rest: &str) -> Option<String> {
    let (start, option) = match segment_of(label) {
        Some((segment, property)) => (format!("traefik.{segment}."), property),
        None => ("traefik.".to_owned(), rest),
    };
    let frontend = FRONTEND.iter().map(|pattern| format!("frontend.{pattern}"));
    let all = CONTAINER.iter().map(|name| name.to_string()).chain(frontend);
    did_you_mean(option, all.map(|pattern| fill_in(&pattern, option))).map(|candidate| format!("{start}{candidate}"))
}

/// The label's name after `traefik.`, with this prefix in any case: `Traefik.Enable` is as wrong as `traefik.Enable`, and as easy to
/// overlook.
fn after_prefix_of_any_case(label: &str) -> Option<&str> {
    let (prefix, rest) = label.split_once('.')?;
    prefix.eq_ignore_ascii_case("traefik").then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_labels_give_no_warning() {
        for label in [
            "traefik.enable",
            "traefik.frontend.rule",
            "traefik.web.frontend.rule",
            "traefik.web.port",
            "traefik.frontend.errors.any.status",
            "traefik.frontend.rateLimit.rateSet.slow.burst",
            "traefik.a.b.frontend.auth.basic.users",
            "com.docker.compose.project",
            "maintainer",
            "traefik.backend.loadbalancer.stickiness",
        ] {
            assert_eq!(unknown(label), None, "{label}");
        }
    }

    #[test]
    fn misspelt_labels_get_the_most_similar_name() {
        for (label, hint) in [
            ("traefik.frontend.Rule", "traefik.frontend.rule?"),
            ("traefik.frontend.passhostheader", "traefik.frontend.passHostHeader?"),
            ("traefik.frontend.headers.framedeny", "traefik.frontend.headers.frameDeny?"),
            ("traefik.frontent.rule", "traefik.frontend.rule?"),
            ("Traefik.Enable", "traefik.enable?"),
            ("traefik.web.frontend.entrypoints", "traefik.web.frontend.entryPoints?"),
            ("traefik.frontend.errors.oops.statsu", "traefik.frontend.errors.oops.status?"),
            ("traefik.backend.maxconn.extractorFunc", "traefik.backend.maxconn.extractorfunc?"),
            ("traefik.backend.circuitbreaker", "use traefik.backend.circuitbreaker.expression"),
            ("traefik.http.routers.x.rule", "Traefik 2"),
            ("traefik.http.services.x.loadbalancer.server.port", "Traefik 2"),
            ("traefik.completely.different", "remove it"),
            // Comparing two names of this length letter by letter takes 10^10 operations.
            (&format!("traefik.frontend.errors.{}.statsu", "x".repeat(100_000)), "remove it"),
        ] {
            let text = unknown(label).map(|warning| warning.text).unwrap_or_default();
            assert!(text.contains(hint) && text.contains(label), "{label}: {text:?}");
        }
    }
}
