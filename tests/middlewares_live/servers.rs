//! https servers: whose certificates are trusted, and the client's response when they are not (docs/reference/backends.md#tls-to-servers).

use std::path::Path;

use crate::base::free_port;
use crate::certs::issued;
use crate::support::*;

/// A second proxy that acts as the https server, with a certificate for these names from a new authority in `folder`. `more` are
/// further keys of its TLS table.
fn server(origin: &Origin, folder: &Path, names: &[&str], more: &str) -> (Proxy, u16) {
    issued(folder, names);
    let port = free_port();
    let files = format!("certFile={:?}\nkeyFile={:?}", folder.join("leaf.pem"), folder.join("leaf.key"));
    let entry = format!(
        "[entryPoints.https]\naddress=\"127.0.0.1:{port}\"\n[entryPoints.https.tls.defaultCertificate]\n{files}\n{more}"
    );
    let rules = Rules::default().add("inner", &[origin.url()], "entryPoints=[\"https\"]", "");
    let rules = rules.text().replace("rule=\"Host:inner\"", "rule=\"PathPrefix:/\"");
    (Proxy::with_entry_points("auto", &entry, "", &rules), port)
}

#[test]
fn server_certificate_needs_a_trusted_authority() {
    let origin = Origin::with_body("behind tls");
    let (good, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (_both, both_port) = server(&origin, good.path(), &["localhost", "127.0.0.1"], "");
    let named_folder = tempfile::tempdir().unwrap();
    let (_named, named_port) = server(&origin, named_folder.path(), &["localhost"], "");
    issued(other.path(), &["localhost"]);
    let roots = |folder: &Path| format!("rootCAs=[{:?}]", folder.join("ca.pem"));
    let inline = format!("rootCAs=['''{}''']", std::fs::read_to_string(good.path().join("ca.pem")).unwrap());
    let refused = (500, "Internal Server Error".to_owned());
    let served = (200, "behind tls".to_owned());
    let rules = Rules::default()
        .add("by-name", &[format!("https://localhost:{both_port}")], "", "")
        .add("by-address", &[format!("https://127.0.0.1:{both_port}")], "", "")
        .add("name-only", &[format!("https://127.0.0.1:{named_port}")], "", "");
    for driver in DRIVERS {
        for (fixed, expected) in [
            (roots(good.path()), &served),
            (inline.clone(), &served),
            (roots(other.path()), &refused),
            (String::new(), &refused),
            ("insecureSkipVerify=true".to_owned(), &served),
        ] {
            let proxy = Proxy::start(driver, &fixed, rules.text());
            crate::base::wait_for("localhost has an address", std::time::Duration::from_secs(10), || {
                match proxy.get("by-name", "/x").status_and_text() {
                    said if said == *expected => Ok(()),
                    said => Err(format!("{fixed}: {said:?}")),
                }
            });
            assert_eq!(proxy.get("by-address", "/x").status_and_text(), *expected, "{fixed}");
            if expected == &refused {
                let log = proxy.process.log();
                assert!(
                    log.contains(
                        "level=error msg=\"no TLS connection to the server: the certificate of CN=alice is refused"
                    ),
                    "{log}"
                );
            }
        }
        let proxy = Proxy::start(driver, &roots(named_folder.path()), rules.text());
        assert_eq!(
            proxy.get("name-only", "/").status_and_text(),
            refused,
            "an address needs its own place in the certificate"
        );
    }
}

#[test]
fn forward_auth_tls_follows_its_own_table() {
    let asked = Origin::with_body("yes");
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    issued(other.path(), &["localhost"]);
    let file = |folder: &Path, name: &str| folder.join(name).display().to_string();
    let client_ca = format!("[entryPoints.https.tls.clientCA]\nfiles=[{:?}]", file(folder.path(), "ca.pem"));
    let (_server, port) = server(&asked, folder.path(), &["127.0.0.1"], &client_ca);
    let origin = Origin::with_body("inside");
    let asks = |tls: String| {
        format!("[F.auth.forward]\naddress=\"https://127.0.0.1:{port}/auth\"\n[F.auth.forward.tls]\n{tls}")
    };
    let (ca, cert, key) = ("ca.pem", "leaf.pem", "leaf.key");
    let shows = |folder: &Path| format!("cert={:?}\nkey={:?}", file(folder, cert), file(folder, key));
    let believes = |folder: &Path| format!("ca={:?}", file(folder, ca));
    let url = [origin.url()];
    let rules = Rules::default()
        .add("both", &url, &asks(format!("{}\n{}", believes(folder.path()), shows(folder.path()))), "")
        .add("skips", &url, &asks(format!("insecureSkipVerify=true\n{}", shows(folder.path()))), "")
        .add("no-cert", &url, &asks(believes(folder.path())), "")
        .add("other-cert", &url, &asks(format!("{}\n{}", believes(folder.path()), shows(other.path()))), "")
        .add("other-ca", &url, &asks(format!("{}\n{}", believes(other.path()), shows(folder.path()))), "");
    for driver in DRIVERS {
        let proxy = Proxy::start(driver, "", rules.text());
        for host in ["both", "skips"] {
            assert_eq!(proxy.get(host, "/").status_and_text(), (200, "inside".to_owned()), "{host}");
        }
        for host in ["no-cert", "other-cert", "other-ca"] {
            assert_eq!(proxy.get(host, "/").status_and_text(), (500, String::new()), "{host}");
        }
    }
    assert_eq!((origin.count(), asked.count()), (4, 4));
}
