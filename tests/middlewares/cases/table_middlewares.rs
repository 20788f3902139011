//! Rows about white lists, redirects, security headers, client certificates, error pages and compression.

use rcgen::SanType;
use ringway::middleware::client_cert::{CertInfos, ClientCert, NameInfos};
use ringway::middleware::error_pages::{ErrorPage, ErrorPages, StatusRanges};
use ringway::middleware::gzip::CompressionPlan;
use ringway::middleware::redirect::Redirect;
use ringway::middleware::security_headers::{SecureOptions, SecurityHeaders};
use ringway::middleware::white_list::WhiteList;
use ringway::middleware::{ChainProgress, ChainScope, Middleware};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::Value;

use super::{CaseResult, flag, same, string, texts};
use crate::support::*;

const PLACE: ChainScope = ChainScope::Frontend("f");

pub fn compress(already: bool) -> CaseResult {
    let mut run = ChainRun::new(vec![Middleware::Compress]);
    run.send("GET / HTTP/1.1\nHost: h\nAccept-Encoding: gzip");
    let encoding = if already { "\nContent-Encoding: gzip" } else { "" };
    run.respond(&format!("HTTP/1.1 201 Created\nContent-Length: 100000{encoding}"));
    same(run.state.body, if already { CompressionPlan::Plain } else { CompressionPlan::Gzip })
}

pub fn white_list_builds(case: &Value, error: &str) -> CaseResult {
    let mut ranges = texts(&case["whiteList"]);
    ranges.extend(texts(&case["whiteList"]["sourceRange"]));
    ranges.extend(texts(&case["whitelistSourceRange"]));
    // Without a list there is no middleware: `config` decides that.
    if ranges.is_empty() {
        return Ok(());
    }
    let built = WhiteList::new(&ranges, flag(&case["useXForwardedFor"]), PLACE);
    same(built.is_err(), !string(&case[error]).is_empty())
}

pub fn white_list(case: &Value) -> CaseResult {
    let step = WhiteList::new(&texts(&case["whiteList"]), flag(&case["useXForwardedFor"]), PLACE).unwrap();
    let mut run = ChainRun::new(vec![Middleware::WhiteList(step)]);
    if let Ok(peer) = string(&case["remoteAddr"]).parse::<std::net::SocketAddr>() {
        run.peer = peer.ip();
    }
    let mut lines = "GET / HTTP/1.1\nHost: h".to_owned();
    texts(&case["xForwardedFor"]).iter().for_each(|value| lines += &format!("\nX-Forwarded-For: {value}"));
    same(status(run.send(&lines)), case["expected"].as_u64().unwrap() as u16)
}

pub fn ssl_host(case: &Value) -> CaseResult {
    let options = &case["secureMiddleware"]["opt"];
    let step = SecurityHeaders::new(SecureOptions {
        ssl_redirect: flag(&options["sSLRedirect"]),
        ssl_force_host: flag(&options["sSLForceHost"]),
        ssl_host: string(&options["sSLHost"]).to_owned(),
        ..Default::default()
    });
    let mut run = ChainRun::new(vec![Middleware::Secure(step.unwrap().unwrap())]);
    let (scheme, host) = string(&case["host"]).split_once("://").unwrap();
    run.secure = scheme == "https";
    same(status(run.get(host, "/")), case["expected"].as_u64().unwrap() as u16)
}

pub fn client_cert(case: &Value) -> CaseResult {
    let options = &case["tlsClientCertHeaders"];
    let mut pems = texts(&case["certContents"]);
    // The table of the helper holds bytes, the others text.
    if let Some(bytes) = case["toSanitize"].as_array() {
        let bytes: Vec<u8> = bytes.iter().filter_map(|byte| byte.as_u64().map(|byte| byte as u8)).collect();
        pems.push(text(&bytes));
    }
    pems.extend(case["toSanitize"].as_str().map(str::to_owned));
    let ders: Vec<_> = pems.iter().map(|pem| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).collect();
    let chain: Vec<&[u8]> = ders.iter().map(|der| der.as_ref()).collect();
    let infos = options.get("infos").map(cert_infos);
    let pem = flag(&options["pem"]) || options.is_null();
    let expected = string(if options.is_null() { &case["expected"] } else { &case["expectedHeader"] });
    let (cert, said) = ClientCert { pem, infos }.values(&chain);
    same(cert.or(said).unwrap_or_default().as_str(), expected)
}

fn cert_infos(value: &Value) -> CertInfos {
    CertInfos {
        not_after: flag(&value["notAfter"]),
        not_before: flag(&value["notBefore"]),
        sans: flag(&value["sans"]),
        subject: value.get("subject").map(name_infos),
        issuer: value.get("issuer").map(name_infos),
    }
}

fn name_infos(value: &Value) -> NameInfos {
    NameInfos {
        domain_component: flag(&value["domainComponent"]),
        country: flag(&value["country"]),
        province: flag(&value["province"]),
        locality: flag(&value["locality"]),
        organization: flag(&value["organization"]),
        serial_number: flag(&value["serialNumber"]),
        common_name: flag(&value["commonName"]),
    }
}

/// A certificate with the row's names, generated here: the row has them as Go's fields.
pub fn alternative_names(cert: &Value, expected: &[String]) -> CaseResult {
    let step = ClientCert { pem: false, infos: Some(CertInfos { sans: true, ..CertInfos::default() }) };
    if cert.is_null() {
        return same(step.values::<&[u8]>(&[]), (None, None));
    }
    let mut params = rcgen::CertificateParams::new(texts(&cert["dNSNames"])).unwrap();
    let mail = texts(&cert["emailAddresses"]).into_iter().map(|name| SanType::Rfc822Name(name.try_into().unwrap()));
    let addresses = cert["iPAddresses"].as_array().into_iter().flatten().map(|bytes| {
        let bytes: Vec<u8> = bytes.as_array().unwrap().iter().map(|byte| byte.as_u64().unwrap() as u8).collect();
        let ip = std::net::Ipv6Addr::from(<[u8; 16]>::try_from(bytes).unwrap());
        SanType::IpAddress(ip.to_ipv4_mapped().unwrap().into())
    });
    let uris = cert["uRIs"].as_array().into_iter().flatten();
    let uris = uris.map(|uri| SanType::URI(string(&uri["path"]).try_into().unwrap()));
    params.subject_alt_names.extend(mail.chain(addresses).chain(uris));
    let der = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().der().to_vec();
    let said = step.values(&[&der]).1.unwrap_or_default();
    let shown = format!("SAN={}", expected.join(",")).replace('=', "%3D").replace(',', "%2C").replace('@', "%40");
    same(said.ends_with(&shown), true).map_err(|_| format!("{said} does not end with {shown}"))
}

pub fn entry_point_redirect(case: &Value) -> CaseResult {
    let entry_point = &case["entryPoint"];
    let port = string(&entry_point["address"]).trim_start_matches(':').parse().map_err(|_| "a port".to_owned())?;
    let step = Redirect::entry_point(port, entry_point.get("tLS").is_some(), flag(&case["permanent"]), PLACE);
    redirects(step, case)
}

pub fn regex_redirect(case: &Value) -> CaseResult {
    match compiled(string(&case["regex"]), string(&case["replacement"]), flag(&case["permanent"])) {
        Ok(_) if flag(&case["errorExpected"]) => Err("no error".into()),
        Ok(step) => redirects(step, case),
        Err(_) if flag(&case["errorExpected"]) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Compiles a redirect as `config` does: an empty expression is no redirect, the others are in Go's syntax.
fn compiled(regex: &str, replacement: &str, permanent: bool) -> Result<Redirect, String> {
    if regex.is_empty() {
        return Err("no expression".to_owned());
    }
    let compiled = ringway::rule::pattern::compile(regex).map_err(|e| e.to_string())?;
    Redirect::regex(compiled, replacement, permanent, PLACE).map_err(|e| e.to_string())
}

pub fn built_redirect(case: &Value) -> CaseResult {
    let redirect = &case["redirect"];
    let step = match string(&redirect["entryPoint"]) {
        "" => compiled(string(&redirect["regex"]), string(&redirect["replacement"]), false).unwrap(),
        // The table's only other entry point is `https`, on 443 with TLS.
        _ => Redirect::entry_point(443, true, false, PLACE),
    };
    redirects(step, case)
}

/// Sends the row's URL, which has no path. A request line always has one, so the path is removed as by a path modifier.
fn redirects(step: Redirect, case: &Value) -> CaseResult {
    let mut run = ChainRun::new(vec![Middleware::Redirect(step)]);
    let (scheme, host) = string(&case["url"]).split_once("://").unwrap();
    (run.secure, run.target) = (scheme == "https", Some(Vec::new()));
    let method = Some(string(&case["method"])).filter(|method| !method.is_empty()).unwrap_or("GET");
    let progress = run.send(&format!("{method} / HTTP/1.1\nHost: {host}\nX-Foo: bar"));
    let expected_status = case["expectedStatus"].as_u64().unwrap_or(302) as u16;
    if passes(&progress) {
        return same(200, expected_status);
    }
    let (status, fields, ..) = shown(progress);
    same(status, expected_status)?;
    same(value(&fields, "location").unwrap_or_default(), string(&case["expectedURL"]))
}

pub fn error_page(case: &Value) -> CaseResult {
    let page = &case["errorPage"];
    let page = ErrorPage::new(&texts(&page["status"]), string(&page["backend"]), string(&page["query"])).unwrap();
    let status = case["backendCode"].as_u64().unwrap() as u16;
    let asked = ErrorPages::new(vec![page]).page_for(status).map(|page| text(&page.target));
    let expected = match string(&case["desc"]) {
        "in the range" => Some("/test".to_owned()),
        "query replacement" | "Single code" => Some(format!("/{status}")),
        _ => None,
    };
    same(asked, expected)
}

pub fn status_ranges(case: &Value) -> CaseResult {
    let parsed = StatusRanges::parse(&texts(&case["strBlocks"]));
    same(parsed.is_err(), flag(&case["errExpected"]))?;
    let pairs = |pair: &Value| (pair[0].as_u64().unwrap() as u16, pair[1].as_u64().unwrap() as u16);
    let expected: Vec<_> = case["expected"].as_array().into_iter().flatten().map(pairs).collect();
    same(parsed.map(|ranges| ranges.pairs().to_vec()).unwrap_or_default(), expected)
}

pub fn status_contained(case: &Value) -> CaseResult {
    let ranges = StatusRanges::parse(&texts(&case["strBlocks"])).unwrap();
    same(ranges.contains(case["statusCode"].as_u64().unwrap() as u16), flag(&case["contains"]))
}

fn status(progress: ChainProgress) -> u16 {
    if passes(&progress) { 200 } else { shown(progress).0 }
}
