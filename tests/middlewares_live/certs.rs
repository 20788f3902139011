//! Client certificates in headers: the values come from the TLS session, and none from the client's own fields.

use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use crate::base::{free_port, stdout_of};
use crate::support::*;

/// Writes `ca.pem`, and `leaf.pem` and `leaf.key` for these names; returns the leaf as base64 without line ends.
pub fn issued(folder: &Path, names: &[&str]) -> String {
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.distinguished_name.push(DnType::CommonName, "steps test authority");
    let ca_key = KeyPair::generate().unwrap();
    let ca_cert = ca.self_signed(&ca_key).unwrap();
    let issuer = Issuer::new(ca, ca_key);
    let mut leaf = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
    leaf.distinguished_name.push(DnType::CommonName, "alice");
    let key = KeyPair::generate().unwrap();
    let cert = leaf.signed_by(&key, &issuer).unwrap();
    std::fs::write(folder.join("ca.pem"), ca_cert.pem()).unwrap();
    std::fs::write(folder.join("leaf.pem"), cert.pem()).unwrap();
    std::fs::write(folder.join("leaf.key"), key.serialize_pem()).unwrap();
    cert.pem().lines().filter(|line| !line.starts_with("-----")).collect()
}

#[test]
fn client_certificate_is_forwarded() {
    for driver in DRIVERS {
        let work = tempfile::tempdir().unwrap();
        let base64 = issued(work.path(), &["client.test"]);
        let file = |name: &str| work.path().join(name).display().to_string();
        let origin = Arc::new(Origin::with_body("inside"));
        let pass = "entryPoints=[\"https\",\"http\"]\n[F.passTLSClientCert]\npem=true\n[F.passTLSClientCert.infos]\nsans=true\n[F.passTLSClientCert.infos.subject]\ncommonName=true\n[F.passTLSClientCert.infos.issuer]\ncommonName=true";
        let rules = Rules::default().add("localhost", &[origin.url()], pass, "");
        let port = free_port();
        let https = format!(
            "[entryPoints.https]\naddress=\"127.0.0.1:{port}\"\n[entryPoints.https.tls.clientCA]\nfiles=[{:?}]\noptional=true",
            file("ca.pem")
        );
        let proxy = Proxy::with_entry_points(driver, &https, "", rules.text());
        let url = format!("https://localhost:{port}/");
        let resolve = format!("localhost:{port}:127.0.0.1");
        let forged = "X-Forwarded-Tls-Client-Cert: forged";
        let shown: [&str; 4] = ["--cert", &file("leaf.pem"), "--key", &file("leaf.key")];
        let fixed: [&str; 6] = ["-sSk", "--resolve", &resolve, "-H", forged, &url];
        assert_eq!(stdout_of("curl", &[&shown[..], &fixed].concat()), "inside");
        let seen = origin.last();
        let sent = seen.first("X-Forwarded-Tls-Client-Cert").unwrap();
        assert_eq!(sent.replace("%2F", "/").replace("%2B", "+").replace("%3D", "="), base64);
        let infos = seen.first("X-Forwarded-Tls-Client-Cert-Infos").unwrap();
        assert_eq!(infos, "Subject%3D%22CN%3Dalice%22%2CIssuer%3D%22CN%3Dsteps+test+authority%22%2CSAN%3Dclient.test");
        assert_eq!(stdout_of("curl", &fixed), "inside");
        assert_eq!(
            origin.last().first("X-Forwarded-Tls-Client-Cert"),
            None,
            "no certificate, and no word of the client's"
        );
        assert_eq!(proxy.send("GET", "localhost", "/", &[forged], b"").status, 200);
        assert_eq!(origin.last().first("X-Forwarded-Tls-Client-Cert"), None);
    }
}

#[test]
fn https_servers_are_proxied_and_health_checked() {
    // A second proxy with a generated certificate acts as the https server.
    let origin = Origin::start(|seen| response(if seen.path() == "/health" { 200 } else { 204 }, &["X-Auth: tls"], ""));
    let inner_rules = Rules::default().add("inner", &[origin.url()], "entryPoints=[\"https\"]", "");
    let inner_rules = inner_rules.text().replace("rule=\"Host:inner\"", "rule=\"PathPrefix:/\"");
    let port = free_port();
    let https = format!("[entryPoints.https]\naddress=\"127.0.0.1:{port}\"\n[entryPoints.https.tls]");
    let inner = Proxy::with_entry_points("auto", &https, "", &inner_rules);
    let web = Origin::with_body("inside");
    let asks = |tls: &str| {
        format!("[F.auth.forward]\naddress=\"https://127.0.0.1:{port}/auth\"\nauthResponseHeaders=[\"X-Auth\"]\n{tls}")
    };
    let check = "[B.healthCheck]\npath=\"/health\"\ninterval=\"200ms\"";
    let rules = Rules::default()
        .add("trusting", &[web.url()], &asks("[F.auth.forward.tls]\ninsecureSkipVerify=true"), "")
        .add("strict", &[web.url()], &asks(""), "")
        .add("checked", &[format!("https://127.0.0.1:{port}")], "", check);
    let proxy = Proxy::start("auto", "insecureSkipVerify=true", rules.text());
    assert_eq!(proxy.get("trusting", "/").status_and_text(), (200, "inside".to_owned()));
    assert_eq!(web.last().first("X-Auth"), Some("tls"));
    // The option for backends does not apply to a forward authentication server.
    assert_eq!(proxy.get("strict", "/").status_and_text(), (500, String::new()));
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert_eq!(proxy.get("checked", "/x").status, 204);
    assert!(origin.seen().iter().any(|seen| seen.path() == "/health"));
    drop(inner);
    crate::base::wait_for("the check fails", std::time::Duration::from_secs(10), || {
        let status = proxy.get("checked", "/x").status;
        if status == 503 { Ok(()) } else { Err(status.to_string()) }
    });
}
