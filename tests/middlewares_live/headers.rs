//! Header and security options: effects on requests and responses, and the responses that they leave alone
//! (docs/reference/middlewares.md#headers).

use std::io::Write;

use crate::support::*;

fn site() -> Origin {
    Origin::start(|_| {
        response(200, &["X-Frame-Options: ALLOWALL", "X-Powered-By: x", "Location: http://ssl.host/a"], "ok")
    })
}

const CUSTOM: &str = "[F.headers.customRequestHeaders]\nX-New=\"v\"\nX-Gone=\"\"\nX-Forwarded-For=\"1.2.3.4\"\nHost=\"other\"\n\
    [F.headers.customResponseHeaders]\nX-Powered-By=\"\"\nX-Added=\"r\"";

#[test]
fn custom_headers_are_set_replaced_and_removed() {
    for driver in DRIVERS {
        let origin = site();
        let closed = format!("{CUSTOM}\n[F.auth.basic]\nusers=[]");
        let rules = Rules::default()
            .add("custom", &[origin.url()], CUSTOM, "")
            .add("closed", &[origin.url()], &closed, "")
            .add("dead", &[dead_url()], CUSTOM, "");
        let proxy = Proxy::start(driver, "[retry]\nattempts=1", rules.text());
        let answer = proxy.send("GET", "custom", "/", &["X-New: mine", "X-Gone: mine"], b"");
        assert_eq!((answer.first("X-Powered-By"), answer.first("X-Added")), (None, Some("r")));
        let seen = origin.last();
        assert_eq!((seen.values("X-New"), seen.first("X-Gone")), (vec!["v"], None));
        assert_eq!(seen.first("X-Forwarded-For"), Some("1.2.3.4, 127.0.0.1"), "counts as the client's");
        assert_ne!(seen.first("Host"), Some("other"), "Host is the proxy's");
        let mut stream = proxy.connect();
        let request = "POST / HTTP/1.1\r\nHost: custom\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nb\r\n0\r\n\
            X-New: mine\r\nX_New: mine\r\nX-Gone: mine\r\nX-Sum: 1\r\n\r\n";
        stream.write_all(request.as_bytes()).expect("the proxy takes the request");
        read_answer(stream, false);
        assert_eq!(origin.last().trailers, ["X-Sum: 1"], "{driver}");
        let refused = proxy.get("closed", "/");
        assert_eq!((refused.status, refused.first("X-Added")), (401, None), "a local answer has none");
        let failed = proxy.get("dead", "/");
        assert_eq!((failed.status, failed.first("X-Added")), (502, Some("r")), "a gateway's answer has them");
    }
}

#[test]
fn security_headers_replace_the_servers() {
    for driver in DRIVERS {
        let origin = site();
        let all = "[F.headers]\nframeDeny=true\ncontentTypeNosniff=true\nbrowserXSSFilter=true\nreferrerPolicy=\"same-origin\"\n\
            contentSecurityPolicy=\"script-src $NONCE\"\nSTSSeconds=10\nSTSIncludeSubdomains=true\nSTSPreload=true\npublicKey=\"pin\"";
        let others = "[F.headers]\nSTSSeconds=5\nforceSTSHeader=true\ncustomFrameOptionsValue=\"SAMEORIGIN\"\nframeDeny=true\ncustomBrowserXSSValue=\"0\"";
        let rules = Rules::default()
            .add("all", &[origin.url()], all, "")
            .add("others", &[origin.url()], others, "")
            .add("dead", &[dead_url()], all, "");
        let proxy = Proxy::start(driver, "[retry]\nattempts=1", rules.text());
        let answer = proxy.get("all", "/");
        for (name, value) in [
            ("X-Frame-Options", Some("DENY")),
            ("X-Content-Type-Options", Some("nosniff")),
            ("X-XSS-Protection", Some("1; mode=block")),
            ("Referrer-Policy", Some("same-origin")),
            ("Strict-Transport-Security", None),
            ("Public-Key-Pins", None),
        ] {
            assert_eq!(answer.first(name), value, "{name}");
        }
        let nonce = |answer: &Answer| answer.first("Content-Security-Policy").expect("a policy").to_owned();
        assert!(nonce(&answer).starts_with("script-src 'nonce-"));
        assert_ne!(nonce(&answer), nonce(&proxy.get("all", "/")), "a nonce is used once");
        let answer = proxy.get("others", "/");
        assert_eq!(answer.first("Strict-Transport-Security"), Some("max-age=5"));
        assert_eq!(
            (answer.first("X-Frame-Options"), answer.first("X-XSS-Protection")),
            (Some("SAMEORIGIN"), Some("0"))
        );
        assert_eq!(proxy.get("dead", "/").first("X-Frame-Options"), None, "no server answered");
    }
}

#[test]
fn hosts_and_schemes_come_from_the_configured_headers() {
    for driver in DRIVERS {
        let origin = site();
        let hosts = "[F.headers]\nallowedHosts=[\"judged\",\"other\"]\nhostsProxyHeaders=[\"X-Real-Host\"]\nSSLRedirect=true\nSSLHost=\"ssl.host\"\n\
            STSSeconds=7\n[F.headers.SSLProxyHeaders]\nX-Forwarded-Proto=\"https\"";
        let developing = "[F.headers]\nallowedHosts=[\"nobody\"]\nSSLRedirect=true\nSTSSeconds=5\nforceSTSHeader=true\nisDevelopment=true";
        let rules = Rules::default().add("judged", &[origin.url()], hosts, "").add(
            "developing",
            &[origin.url()],
            developing,
            "",
        );
        let proxy = Proxy::start(driver, "", rules.text());
        let bad = proxy.send("GET", "judged", "/", &["X-Real-Host: evil"], b"");
        assert_eq!(bad.status_and_text(), (500, "Bad Host\n".to_owned()));
        assert_eq!(bad.first("X-Content-Type-Options"), Some("nosniff"));
        assert_eq!(proxy.send("GET", "judged", "/", &["X-Real-Host: OTHER"], b"").status, 301);
        let secure = proxy.send("GET", "judged", "/", &["X-Forwarded-Proto: https"], b"");
        assert_eq!((secure.status, secure.first("Strict-Transport-Security")), (200, Some("max-age=7")));
        assert_eq!(secure.first("Location"), Some("https://ssl.host/a"), "the server's own redirect stays on TLS");
        assert_eq!(origin.count(), 1);
        let free = proxy.get("developing", "/");
        assert_eq!((free.status, free.first("Strict-Transport-Security")), (200, None));
    }
}
