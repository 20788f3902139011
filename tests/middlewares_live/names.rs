//! Names for which case, a trailing dot or a default port make no difference, and names of methods.

use crate::support::*;

#[test]
fn host_with_a_trailing_dot_reaches_the_frontend_of_the_name() {
    for driver in DRIVERS {
        let (origin, pattern) = (Origin::with_body("exact"), Origin::with_body("pattern"));
        let rules = Rules::default().add("name", &[origin.url()], "passHostHeader=true", "").add(
            "other",
            &[pattern.url()],
            "passHostHeader=true",
            "",
        );
        let rules = rules.text().replace("Host:other", "HostRegexp:{sub:[a-z]+}.test");
        let proxy = Proxy::start(driver, "", &rules);
        for (host, body) in [
            ("name", "exact"),
            ("name.", "exact"),
            ("NAME.:80", "exact"),
            ("a.test.", "pattern"),
            ("a.test.:81", "pattern"),
        ] {
            assert_eq!(proxy.get(host, "/").status_and_text(), (200, body.to_owned()), "{driver}: {host}");
            let seen = if body == "exact" { origin.last() } else { pattern.last() };
            assert_eq!((seen.first("Host"), seen.first("X-Forwarded-Host")), (Some(host), Some(host)), "as sent");
        }
        assert_eq!(proxy.get("name..", "/").status, 404, "{driver}: an empty label");
    }
}

#[test]
fn authentication_scheme_is_accepted_in_any_case() {
    for driver in DRIVERS {
        let origin = Origin::with_body("inside");
        let auth = "[F.auth.basic]\nusers=[\"bob:{SHA}9SMYoF5RilWWASry7TjeaKwmpGg=\"]";
        let proxy = Proxy::start(driver, "", Rules::default().add("web", &[origin.url()], auth, "").text());
        for (scheme, status) in [("Basic", 200), ("basic", 200), ("BASIC", 200), ("Bearer", 401)] {
            let field = format!("Authorization: {scheme} Ym9iOmJ1aWxkZXI=");
            assert_eq!(proxy.send("GET", "web", "/", &[&field], b"").status, status, "{driver}: {scheme}");
        }
    }
}

#[test]
fn registered_methods_have_their_own_label_in_metrics() {
    for driver in DRIVERS {
        let origin = Origin::with_body("dav");
        let fixed = "[metrics.prometheus]\nentryPoint=\"http\"";
        let proxy = Proxy::start(driver, fixed, Rules::default().add("dav", &[origin.url()], "", "").text());
        for method in ["PROPFIND", "REPORT", "MKCOL", "GET", "X-MINE", "propfind"] {
            assert_eq!(proxy.send(method, "dav", "/", &[], b"").status, 200, "{method}");
        }
        let page = proxy.get("dav", "/metrics").text();
        let counted = |method: &str| {
            let labels = format!("traefik_backend_requests_total{{backend=\"dav\",code=\"200\",method=\"{method}\"");
            page.lines().find(|line| line.starts_with(&labels)).and_then(|line| line.rsplit_once(' ')).map(|(_, n)| n)
        };
        for (method, count) in [
            ("PROPFIND", Some("1")),
            ("REPORT", Some("1")),
            ("MKCOL", Some("1")),
            ("GET", Some("1")),
            ("EXTENSION_METHOD", Some("2")),
            ("X-MINE", None),
        ] {
            assert_eq!(counted(method), count, "{driver}: {method}: {page}");
        }
        assert!(
            page.contains("traefik_backend_open_connections{backend=\"dav\",method=\"PROPFIND\""),
            "{driver}: {page}"
        );
    }
}
