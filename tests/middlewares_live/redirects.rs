//! Redirects: to an entry point, by regular expression, to TLS, for a trailing slash; their status by method, and their targets.

use crate::support::*;

const TO_HTTPS: &str = "[F.redirect]\nentryPoint=\"https\"";

#[test]
fn frontend_redirects_to_an_entry_point_with_its_port() {
    for driver in DRIVERS {
        let origin = Origin::with_body("inside");
        let url = [origin.url()];
        let permanent = format!("{TO_HTTPS}\npermanent=true");
        let rules = Rules::default().add("found", &url, TO_HTTPS, "").add("moved", &url, &permanent, "").add(
            "here",
            &url,
            "[F.redirect]\nentryPoint=\"http\"",
            "",
        );
        let port = crate::base::free_port();
        let https = format!("[entryPoints.https]\naddress=\"127.0.0.1:{port}\"\n[entryPoints.https.tls]");
        let proxy = Proxy::with_entry_points(driver, &https, "", rules.text());
        for (host, method, status, text) in [
            ("found", "GET", 302, "Found"),
            ("found", "HEAD", 307, ""),
            ("found", "POST", 307, "Temporary Redirect"),
            ("moved", "GET", 301, "Moved Permanently"),
            ("moved", "PUT", 308, "Permanent Redirect"),
        ] {
            let answer = proxy.send(method, &format!("{host}:81"), "/a%2fb?c=d", &[], b"");
            assert_eq!(answer.status_and_text(), (status, text.to_owned()), "{method} {host}");
            assert_eq!(answer.first("Location"), Some(format!("https://{host}:{port}/a%2fb?c=d").as_str()));
        }
        assert_eq!(proxy.get("here", "/").text(), "inside", "a redirect to where the request is is none");
        assert_eq!(origin.count(), 1);
    }
}

#[test]
fn regex_redirect_rewrites_matching_urls() {
    for driver in DRIVERS {
        let origin = Origin::with_body("inside");
        let url = [origin.url()];
        let by = |regex: &str, replacement: &str| format!("[F.redirect]\nregex={regex:?}\nreplacement={replacement:?}");
        let rules = Rules::default()
            .add("old", &url, &by("^http://old/(.*)$", "http://new/${1}?from=old"), "")
            .add("same", &url, &by("^http://same/(.*)$", "http://same/$1"), "")
            .add("strip", &url, &by("^http://strip/(.*)$", "http://new/$1"), "")
            .add("add", &url, &by("^http://add/(.*)$", "http://new/$1"), "");
        let text = rules.text().replace("Host:strip", "Host:strip;PathPrefixStrip:/api");
        let proxy = Proxy::start(driver, "", &text.replace("Host:add", "Host:add;AddPrefix:/pre"));
        let location = |host: &str, target: &str| {
            let answer = proxy.get(host, target);
            (answer.status, answer.first("Location").unwrap_or_default().to_owned())
        };
        assert_eq!(location("old", "/x/y"), (302, "http://new/x/y?from=old".to_owned()));
        assert_eq!(location("old:80", "/x").0, 200, "a URL without a match is forwarded");
        assert_eq!(location("same", "/x").0, 200, "an unchanged URL is forwarded");
        assert_eq!(location("strip", "/api/x"), (302, "http://new/api/x".to_owned()), "the client's own path");
        assert_eq!(location("add", "/x"), (302, "http://new/x".to_owned()), "without the added prefix");
        assert_eq!(origin.last().target, "/x");
    }
}

#[test]
fn entry_point_redirect_spares_internal_pages() {
    for driver in DRIVERS {
        let origin = Origin::with_body("inside");
        let rules = Rules::default().add("web", &[origin.url()], "", "");
        let port = crate::base::free_port();
        let entries = format!(
            "[entryPoints.http.redirect]\nentryPoint=\"https\"\n[entryPoints.https]\naddress=\"127.0.0.1:{port}\"\n[entryPoints.https.tls]"
        );
        let proxy = Proxy::with_entry_points(driver, &entries, "[ping]\nentryPoint=\"http\"", rules.text());
        let answer = proxy.get("nobody", "/x");
        assert_eq!((answer.status, answer.first("Location")), (302, Some(format!("https://nobody:{port}/x").as_str())));
        assert_eq!(proxy.get("web", "/ping").status_and_text(), (200, "OK".to_owned()));
        assert_eq!(origin.count(), 0);
    }
}

#[test]
fn ssl_and_slash_redirects_have_a_body() {
    for driver in DRIVERS {
        let origin = Origin::with_body("inside");
        let url = [origin.url()];
        let rules = Rules::default()
            .add("ssl", &url, "[F.headers]\nSSLRedirect=true\nSSLHost=\"ssl.host\"", "")
            .add("temporary", &url, "[F.headers]\nSSLRedirect=true\nSSLTemporaryRedirect=true", "")
            .add("forced", &url, "[F.headers]\nSSLForceHost=true\nSSLHost=\"forced.host\"", "")
            .add("slash", &url, "", "");
        let proxy = Proxy::start(driver, "", &rules.text().replace("Host:slash", "Host:slash;Path:/foo"));
        for (host, target, status, location) in [
            ("ssl", "/a?b=c", 301, "https://ssl.host/a?b=c"),
            ("temporary", "/a", 307, "https://temporary/a"),
            ("forced", "/a", 301, "https://forced.host/a"),
            ("slash", "/foo/?q=1", 301, "/foo?q=1"),
        ] {
            let answer = proxy.get(host, target);
            assert_eq!((answer.status, answer.first("Location")), (status, Some(location)), "{host}");
            assert_eq!(answer.first("Content-Type"), Some("text/html; charset=utf-8"));
            let text = if status == 301 { "Moved Permanently" } else { "Temporary Redirect" };
            assert_eq!(answer.text(), format!("<a href=\"{location}\">{text}</a>.\n\n"), "{host}");
        }
        let through = proxy.send("GET", "slash", "/foo", &[], b"");
        assert_eq!((through.status, origin.count()), (200, 1));
    }
}
