//! Reads frontend options: `traefik.frontend.X` and `traefik.SEGMENT.frontend.X` (docs/reference/labels.md#frontend-labels).

use std::collections::BTreeMap;

use super::values::{InvalidLabel, Labels, split_list};
use crate::config::duration::GoDuration;
use crate::config::dynamic::{
    Auth, ClientCertInfos, ClientTls, DistinguishedNameInfos, ErrorPage, ForwardAuth, Frontend, PassTlsClientCert,
    Rate, RateLimit, Redirect, UserAuth, WhiteList,
};

/// Reads all frontend options; backend and route stay empty.
pub fn options(labels: &Labels) -> Result<Frontend, InvalidLabel> {
    Ok(Frontend {
        entry_points: labels.list("traefik.frontend.entryPoints")?,
        priority: labels.number("traefik.frontend.priority", 0),
        pass_host_header: labels.flag("traefik.frontend.passHostHeader", true),
        pass_tls_cert: labels.flag("traefik.frontend.passTLSCert", false),
        pass_tls_client_cert: pass_tls_client_cert(labels),
        white_list: white_list(labels)?,
        headers: super::headers::headers(labels)?.map(Box::new),
        errors: backend_prefixed(error_pages(labels)?),
        rate_limit: rate_limit(labels)?,
        redirect: redirect(labels)?,
        auth: auth(labels)?.map(Box::new),
        access_log: super::access_log::access_log(labels)?.map(Box::new),
        passthrough: labels.flag("traefik.frontend.passthrough", false),
        alpn: labels.list("traefik.frontend.alpn")?,
        ..Frontend::default()
    })
}

/// Reads `traefik.frontend.auth.*`. If labels of several methods are set, basic wins over digest and digest over forward.
pub fn auth(labels: &Labels) -> Result<Option<Auth>, InvalidLabel> {
    let mut auth = Auth { header_field: labels.text("traefik.frontend.auth.headerField")?, ..Auth::default() };
    if labels.any("traefik.frontend.auth.basic") {
        auth.basic = Some(basic(labels)?);
    } else if labels.any("traefik.frontend.auth.digest") {
        auth.digest = Some(digest(labels)?);
    } else if labels.any("traefik.frontend.auth.forward") {
        auth.forward = Some(forward(labels)?);
    } else {
        return Ok(None);
    }
    Ok(Some(auth))
}

fn basic(labels: &Labels) -> Result<UserAuth, InvalidLabel> {
    // The deprecated label wins over the new one, as in Traefik.
    let users = match labels.raw("traefik.frontend.auth.basic") {
        Some(_) => labels.list("traefik.frontend.auth.basic")?,
        None => labels.list("traefik.frontend.auth.basic.users")?,
    };
    Ok(UserAuth {
        users,
        users_file: labels.text("traefik.frontend.auth.basic.usersFile")?,
        remove_header: labels.flag("traefik.frontend.auth.basic.removeHeader", false),
    })
}

fn digest(labels: &Labels) -> Result<UserAuth, InvalidLabel> {
    Ok(UserAuth {
        users: labels.list("traefik.frontend.auth.digest.users")?,
        users_file: labels.text("traefik.frontend.auth.digest.usersFile")?,
        remove_header: labels.flag("traefik.frontend.auth.digest.removeHeader", false),
    })
}

fn forward(labels: &Labels) -> Result<ForwardAuth, InvalidLabel> {
    Ok(ForwardAuth {
        address: labels.text("traefik.frontend.auth.forward.address")?,
        tls: if labels.any("traefik.frontend.auth.forward.tls.") { Some(forward_tls(labels)?) } else { None },
        trust_forward_header: labels.flag("traefik.frontend.auth.forward.trustForwardHeader", false),
        auth_response_headers: labels.list("traefik.frontend.auth.forward.authResponseHeaders")?,
    })
}

fn forward_tls(labels: &Labels) -> Result<ClientTls, InvalidLabel> {
    Ok(ClientTls {
        ca: labels.text("traefik.frontend.auth.forward.tls.ca")?,
        ca_optional: labels.flag("traefik.frontend.auth.forward.tls.caOptional", false),
        cert: labels.text("traefik.frontend.auth.forward.tls.cert")?,
        key: labels.text("traefik.frontend.auth.forward.tls.key")?,
        insecure_skip_verify: labels.flag("traefik.frontend.auth.forward.tls.insecureSkipVerify", false),
    })
}

/// Reads the list of allowed addresses; the deprecated label is read if the new one has no entries.
pub fn white_list(labels: &Labels) -> Result<Option<WhiteList>, InvalidLabel> {
    let source_range = labels.list("traefik.frontend.whiteList.sourceRange")?;
    if !source_range.is_empty() {
        let use_x_forwarded_for = labels.flag("traefik.frontend.whiteList.useXForwardedFor", false);
        return Ok(Some(WhiteList { source_range, use_x_forwarded_for }));
    }
    let source_range = labels.list("traefik.frontend.whitelistSourceRange")?;
    Ok((!source_range.is_empty()).then_some(WhiteList { source_range, use_x_forwarded_for: false }))
}

/// Reads a redirect: to an entry point, or by regex and replacement together.
pub fn redirect(labels: &Labels) -> Result<Option<Redirect>, InvalidLabel> {
    let entry_point = labels.text("traefik.frontend.redirect.entryPoint")?;
    let permanent = labels.flag("traefik.frontend.redirect.permanent", false);
    if !entry_point.is_empty() {
        return Ok(Some(Redirect { entry_point, permanent, ..Redirect::default() }));
    }
    let regex = labels.text("traefik.frontend.redirect.regex")?;
    let replacement = labels.text("traefik.frontend.redirect.replacement")?;
    for (label, written, missing) in [("regex", &regex, &replacement), ("replacement", &replacement, &regex)] {
        if !written.is_empty() && missing.is_empty() {
            let advice = "set regex and replacement together: nothing is redirected";
            labels.warn(&format!("traefik.frontend.redirect.{label}"), written, advice);
        }
    }
    let complete = !regex.is_empty() && !replacement.is_empty();
    Ok(complete.then_some(Redirect { regex, replacement, permanent, ..Redirect::default() }))
}

/// Reads `errors.NAME.FIELD`, with the backends as the labels name them.
pub fn error_pages(labels: &Labels) -> Result<BTreeMap<String, ErrorPage>, InvalidLabel> {
    let mut pages: BTreeMap<String, ErrorPage> = BTreeMap::new();
    for (label, name, field, value) in named(labels, "traefik.frontend.errors.") {
        let page = pages.entry(labels.resolve(label, name)?).or_default();
        match field {
            "status" => {
                let pieces = split_list(value).into_iter();
                page.status = pieces.map(|piece| labels.resolve(label, piece)).collect::<Result<_, _>>()?;
            }
            "backend" => page.backend = labels.resolve(label, value)?,
            "query" => page.query = labels.resolve(label, value)?,
            _ => labels.warn(label, value, "there is no such field; use status, backend or query"),
        }
    }
    Ok(pages)
}

/// Adds the prefix `backend-` to the error pages' backends: labels name them without it.
fn backend_prefixed(mut pages: BTreeMap<String, ErrorPage>) -> BTreeMap<String, ErrorPage> {
    for page in pages.values_mut() {
        page.backend.insert_str(0, "backend-");
    }
    pages
}

/// Reads `traefik.frontend.rateLimit.*`; `None` without an extractor function.
pub fn rate_limit(labels: &Labels) -> Result<Option<RateLimit>, InvalidLabel> {
    let extractor_func = labels.text("traefik.frontend.rateLimit.extractorFunc")?;
    if extractor_func.is_empty() {
        return Ok(None);
    }
    Ok(Some(RateLimit { rate_set: rate_set(labels)?, extractor_func }))
}

/// Reads `rateLimit.rateSet.NAME.FIELD`.
pub fn rate_set(labels: &Labels) -> Result<BTreeMap<String, Rate>, InvalidLabel> {
    let mut rates: BTreeMap<String, Rate> = BTreeMap::new();
    for (label, name, field, value) in named(labels, "traefik.frontend.rateLimit.rateSet.") {
        let rate = rates.entry(labels.resolve(label, name)?).or_default();
        match field {
            "period" => match GoDuration::parse(value) {
                Ok(period) => rate.period = period,
                Err(invalid) => labels.warn(label, value, &invalid.to_string()),
            },
            "average" => rate.average = labels.number(label, 0),
            "burst" => rate.burst = labels.number(label, 0),
            _ => labels.warn(label, value, "there is no such field; use period, average or burst"),
        }
    }
    Ok(rates)
}

/// The labels `PREFIX NAME.FIELD`, each as full label, name, field and value. Labels whose name or field is empty or has a dot or a space
/// are not among them.
fn named<'a>(labels: &Labels<'a>, prefix: &str) -> impl Iterator<Item = (&'a str, &'a str, &'a str, &'a str)> {
    let length = prefix.len();
    labels.starting(prefix).filter_map(move |(label, value)| {
        let (name, field) = label[length..].split_once('.')?;
        let plain = |text: &str| !text.is_empty() && !text.contains(['.', ' ']);
        (plain(name) && plain(field)).then_some((label, name, field, value))
    })
}

/// Reads `traefik.frontend.passTLSClientCert.*`; `None` if none of these labels is set.
pub fn pass_tls_client_cert(labels: &Labels) -> Option<PassTlsClientCert> {
    const INFOS: &str = "traefik.frontend.passTLSClientCert.infos";
    if !labels.any("traefik.frontend.passTLSClientCert") {
        return None;
    }
    let infos = labels.any(INFOS).then(|| ClientCertInfos {
        not_after: labels.flag(&format!("{INFOS}.notAfter"), false),
        not_before: labels.flag(&format!("{INFOS}.notBefore"), false),
        sans: labels.flag(&format!("{INFOS}.sans"), false),
        subject: distinguished_name(labels, &format!("{INFOS}.subject.")),
        issuer: distinguished_name(labels, &format!("{INFOS}.issuer.")),
    });
    Some(PassTlsClientCert { pem: labels.flag("traefik.frontend.passTLSClientCert.pem", false), infos })
}

fn distinguished_name(labels: &Labels, prefix: &str) -> Option<DistinguishedNameInfos> {
    let flag = |name: &str| labels.flag(&format!("{prefix}{name}"), false);
    labels.any(prefix).then(|| DistinguishedNameInfos {
        country: flag("country"),
        province: flag("province"),
        locality: flag("locality"),
        organization: flag("organization"),
        common_name: flag("commonName"),
        serial_number: flag("serialNumber"),
        domain_component: flag("domainComponent"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T>(pairs: &[(&str, &str)], f: impl Fn(&Labels) -> T) -> T {
        let map: BTreeMap<String, String> = pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        f(&Labels::whole(&map))
    }

    #[test]
    fn pass_host_header_defaults_to_true() {
        let plain = read(&[], options).unwrap();
        assert_eq!(plain, Frontend { pass_host_header: true, ..Frontend::default() });
    }

    #[test]
    fn basic_wins_over_digest_and_old_label_over_users() {
        let labels = [
            ("traefik.frontend.auth.basic", "old:hash"),
            ("traefik.frontend.auth.basic.users", "new:hash"),
            ("traefik.frontend.auth.digest.users", "d:r:h"),
        ];
        let auth = read(&labels, auth).unwrap().unwrap();
        assert_eq!(auth.basic.unwrap().users, ["old:hash"]);
        assert_eq!(auth.digest, None);
    }

    #[test]
    fn error_page_backend_gets_prefix_and_keeps_its_dots() {
        let labels =
            [("traefik.frontend.errors.a.backend", "x.y"), ("traefik.frontend.errors.a.status", "404, 500-599")];
        let page = read(&labels, options).unwrap().errors.remove("a").unwrap();
        assert_eq!((page.backend.as_str(), page.status.len()), ("backend-x.y", 2));
    }

    #[test]
    fn rate_period_without_unit_is_seconds_and_bad_one_is_zero() {
        let base = "traefik.frontend.rateLimit.rateSet";
        let good = (&*format!("{base}.a.period"), "10");
        let bad = (&*format!("{base}.b.period"), "ten");
        let rates = read(&[good, bad], rate_set).unwrap();
        assert_eq!(rates["a"].period, GoDuration::from_secs(10));
        assert_eq!(rates["b"].period, GoDuration(0));
        assert_eq!(read(&[good], rate_limit).unwrap(), None, "no extractor, no limit");
    }
}
