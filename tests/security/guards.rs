//! Path traversal, stripped prefixes, authentication and spoofed hosts: the protection of a route cannot be bypassed.

use std::fs;
use std::time::{Duration, Instant};

use crate::origin::{Origin, Script};
use crate::proxy::Proxy;
use crate::{DRIVERS, Verdict};

/// A protected prefix, a stripped prefix, a host of its own, and everything else. The password is `test`.
fn routes(origin: u16) -> String {
    format!(
        "[backends.main.servers.one]\nurl = \"http://127.0.0.1:{origin}\"\n\
         [frontends.admin]\nbackend = \"main\"\nbasicAuth = [\"test:$apr1$H6uskkkW$IgXLP6ewTrSuBkTrqE8wj/\"]\npriority = 100\n\
         [frontends.admin.routes.r]\nrule = \"PathPrefix:/admin\"\n\
         [frontends.api]\nbackend = \"main\"\npriority = 90\n[frontends.api.routes.r]\nrule = \"PathPrefixStrip:/api\"\n\
         [frontends.host]\nbackend = \"main\"\npriority = 80\n[frontends.host.headers.customRequestHeaders]\nX-Host-Rule = \"yes\"\n\
         [frontends.host.routes.r]\nrule = \"Host:secret.test\"\n\
         [frontends.main]\nbackend = \"main\"\npriority = 1\n[frontends.main.routes.all]\nrule = \"PathPrefix:/\"\n"
    )
}

fn proxy(driver: &str) -> Proxy {
    let proxy = Proxy::start(driver);
    fs::write(proxy.routes_file(), routes(proxy.origin.port)).expect("the routes");
    let end = Instant::now() + Duration::from_secs(10);
    while proxy.get("/admin").status != 401 {
        assert!(Instant::now() < end, "the routes did not change: {}", proxy.process.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    proxy.origin.set_script(Script::default());
    proxy
}

#[test]
fn path_traversal_to_protected_prefix_is_refused() {
    let paths = [
        "/admin",
        "/admin/",
        "/admin/x",
        "//admin",
        "/./admin",
        "/x/../admin",
        "/x/%2e%2e/admin",
        "/x/.%2E/admin/y",
        "/%61dmin",
        "/%61%64%6d%69%6e/x",
        "/x//../admin",
        "/x/../../admin",
        "/a%64min?q",
        "/admin/../admin",
        "///admin//x",
        "/admin%2fx",
        "/x%2f..%2fadmin",
        "/x/..%2fadmin",
        "/x%5c..%5cadmin",
        "/x/..%5c/admin",
        "/x/%2e%2e%2fadmin",
        "http://other.test/admin",
        "http://other.test//admin",
        "HTTP://other.test/x/../admin",
    ];
    for driver in DRIVERS {
        let proxy = proxy(driver);
        let mut verdict = Verdict::default();
        for path in paths {
            let answer = proxy.get(path);
            verdict.check(
                &format!("path traversal {path} ({driver})"),
                [400, 401].contains(&answer.status),
                format!("{answer:?}"),
            );
        }
        verdict.check(
            "letter case",
            proxy.get("/Admin").status == 200,
            "a path in another letter case is another path",
        );
        let seen = proxy.origin.seen();
        verdict.check(
            "path traversal",
            seen.iter().all(|s| s.line().contains("/Admin")),
            format!("the origin saw {seen:?}"),
        );
        verdict.end();
    }
}

#[test]
fn stripped_path_never_leaves_its_prefix() {
    // The path, and what is left after the strip, or 400 (`None`) where that would lead out of the prefix.
    let cases = [
        ("/api", Some("/")),
        ("/api/", Some("/")),
        ("/api/x", Some("/x")),
        ("/api//x", Some("/x")),
        ("/api/a%2Fb", Some("/a%2Fb")),
        ("/api/a%2Fb|c", Some("/a%2Fb%7Cc")),
        ("/api%2Fa%2Fb", Some("/a%2Fb")),
        ("/api/%2Fa", Some("/a")),
        ("/api/%41?q=/../", Some("/A?q=/../")),
        ("/api/x/../y", Some("/y")),
        ("/api../admin", None),
        ("/api/..%2fadmin", None),
        ("/api%2f..%2fadmin", None),
        ("/api/%2e%2e%2fadmin", None),
    ];
    for driver in DRIVERS {
        let proxy = proxy(driver);
        let mut verdict = Verdict::default();
        for (path, wanted) in cases {
            let case = format!("stripped path {path} ({driver})");
            proxy.origin.set_script(Script::default());
            let answer = proxy.get(path);
            let seen = proxy.origin.seen();
            let line = seen.first().map(|s| s.line().to_owned()).unwrap_or_default();
            let target = line.split(' ').nth(1).unwrap_or_default().to_owned();
            match wanted {
                Some(wanted) => verdict.check(&case, target == wanted, format!("forwarded as {target:?}, {answer:?}")),
                None => {
                    verdict.check(&case, answer.status == 400, format!("answered {answer:?}"));
                    verdict.check(&case, target.is_empty(), format!("forwarded as {target:?}"));
                }
            }
        }
        verdict.end();
    }
}

#[test]
fn basic_auth_is_checked_on_every_request() {
    let ok = "dGVzdDp0ZXN0";
    let wrong = [
        "",
        "Authorization: Basic\r\n",
        "Authorization: Basic !!!!\r\n",
        "Authorization: Basic dGVzdA==\r\n",
        "Authorization: Basic dGVzdDp3cm9uZw==\r\n",
        "Authorization: Bearer dGVzdDp0ZXN0\r\n",
        "Authorization: Basic dGVzdDp0ZXN0eA==\r\n",
        "Authorization: Basic OnRlc3Q=\r\n",
        "Proxy-Authorization: Basic dGVzdDp0ZXN0\r\n",
    ];
    for driver in DRIVERS {
        let proxy = proxy(driver);
        let mut verdict = Verdict::default();
        for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "PROPFIND", "get"] {
            for field in wrong {
                let mut client = proxy.client();
                client.send(format!("{method} /admin HTTP/1.1\r\nHost: a\r\n{field}\r\n"));
                let answer = client.answer_to(method == "HEAD");
                verdict.check(
                    &format!("basic auth {method} {field:?} ({driver})"),
                    answer.status == 401,
                    format!("{answer:?}"),
                );
            }
        }
        verdict.check("basic auth", proxy.origin.bytes() == 0, format!("the origin saw {:?}", proxy.origin.seen()));
        // A right password allows one request, not the connection; an upgrade needs one as well.
        let mut client = proxy.client();
        client.send(format!("GET /admin HTTP/1.1\r\nHost: a\r\nAuthorization: Basic {ok}\r\n\r\nGET /admin/two HTTP/1.1\r\nHost: a\r\n\r\n"));
        let both = (client.answer().status, client.answer().status);
        verdict.check(&format!("pipelined ({driver})"), both == (200, 401), format!("{both:?}"));
        let mut client = proxy.client();
        client.send("GET /admin HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
        let answer = client.answer();
        verdict.check(&format!("upgrade ({driver})"), answer.status == 401, format!("{answer:?}"));
        verdict.check("basic auth", proxy.origin.seen().len() == 1, format!("{:?}", proxy.origin.seen()));
        verdict.end();
    }
}

#[test]
fn spoofed_host_reaches_only_configured_backends() {
    // The Host field, and whether the host's own frontend takes the request; `None` if either backend may.
    let hosts = [
        ("secret.test", Some(true)),
        ("SECRET.test", Some(true)),
        ("secret.test:8080", Some(true)),
        ("secret.test.", None),
        ("other.test", Some(false)),
        ("xsecret.test", Some(false)),
        ("secret.test.evil", Some(false)),
    ];
    for driver in DRIVERS {
        let proxy = proxy(driver);
        let mut verdict = Verdict::default();
        for (host, wanted) in hosts {
            let case = format!("host {host} ({driver})");
            let seen = ask(&proxy, &format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
            let is_own = seen.map(|s| s == "yes");
            // A trailing dot names the same host; in either reading the request goes to a configured backend.
            verdict.check(&case, wanted.is_none() || is_own == wanted, format!("{is_own:?}"));
        }
        for field in ["X-Forwarded-Host", "X-Host", "X-Original-Host", "Forwarded", "X-Original-Url", "X-Rewrite-Url"] {
            let value = if field.ends_with("Url") { "/admin" } else { "secret.test" };
            let seen = ask(&proxy, &format!("GET / HTTP/1.1\r\nHost: other.test\r\n{field}: {value}\r\n\r\n"));
            verdict.check(&format!("host {field} ({driver})"), seen.as_deref() == Some("no"), format!("{seen:?}"));
        }
        // A client that names an address reaches the configured backend, never that address.
        let stranger = Origin::start();
        for target in
            [format!("http://127.0.0.1:{}/", stranger.port), format!("http://127.0.0.1:{}/../", stranger.port)]
        {
            ask(&proxy, &format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        }
        verdict.check("host", stranger.bytes() == 0, "a connection to an address of the client's choice");
        verdict.end();
    }
}

/// Whether the host's own frontend took the request: `yes` or `no`; `None` if the request never arrived.
fn ask(proxy: &Proxy, request: &str) -> Option<String> {
    proxy.origin.set_script(Script::default());
    let mut client = proxy.client();
    client.send(request);
    client.answer();
    let seen = proxy.origin.seen();
    seen.first().map(|s| if s.fields("x-host-rule").is_empty() { "no" } else { "yes" }.to_owned())
}
