//! Clients with certificates of many kinds at an entry point with `clientCA`.

use crate::base::ringway::DRIVERS;
use crate::openssl::{Certificates, EC, RSA};
use crate::proxy::{count_lines, start, status_with};

#[test]
fn client_certificates_of_version_1_and_self_signed_ones_are_accepted() {
    let made = Certificates::new();
    made.self_signed("ca", RSA).issued("ca", "v1", RSA, "", "").issued("ca", "v3", EC, "keyUsage=digitalSignature", "");
    made.self_signed("alone", EC).self_signed_v1("alone-v1", EC);
    // One that is configured for itself and may not issue others.
    made.self_signed("leaf", &format!("{EC} -addext basicConstraints=critical,CA:FALSE"));
    made.issued("leaf", "of-leaf", EC, "keyUsage=digitalSignature", "");
    made.self_signed("stranger", EC).issued("ca", "late", EC, "", "-days -1").issued(
        "ca",
        "server",
        EC,
        "extendedKeyUsage=serverAuth",
        "",
    );
    let page = made.server("ca", "");
    for driver in DRIVERS {
        let files = ["ca", "alone", "alone-v1", "leaf"].map(|name| made.file(&format!("{name}.pem")));
        let client = format!("[entryPoints.https.tls.clientCA]\nfiles = {files:?}\noptional = false");
        let pass = "passTLSClientCert";
        let pass = format!("[F.{pass}]\npem = true\n[F.{pass}.infos.subject]\ncommonName = true");
        let proxy = start(driver, "insecureSkipVerify = true", &client, &[("a.test", page.url(), pass)]);
        let status = |name: &str| {
            let [certificate, key] = ["pem", "key"].map(|suffix| made.file(&format!("{name}.{suffix}")));
            status_with(&proxy, "a.test", Some((&certificate, &key)))
        };
        for name in ["v3", "v1", "alone", "alone-v1", "leaf"] {
            assert_eq!(status(name), "200", "{name} ({driver}): {}", proxy.log());
        }
        let refused = [
            ("stranger", "unknown ca", "it is self-signed and not in clientCA.files"),
            ("late", "certificate expired", "it expired on"),
            ("server", "bad certificate", "does not allow clientAuth"),
            ("of-leaf", "bad certificate", "has issued another certificate and may not"),
        ];
        for (name, alert, reason) in refused {
            for _ in 0..2 {
                let answer = status(name);
                assert!(answer.contains(alert), "{name} ({driver}): {answer}");
            }
            let is_line = |line: &str| {
                line.contains("127.0.0.1:") && line.contains(&format!("CN={name} is refused")) && line.contains(reason)
            };
            assert_eq!(count_lines(&proxy, name, is_line), 1, "{name} ({driver}): {}", proxy.log());
        }
        assert!(status_with(&proxy, "a.test", None).contains("certificate required"), "{driver}");
    }
}
