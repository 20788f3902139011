//! Digest and forward authentication of frontends and entry points, and their order among the other middlewares.

use crate::base::wait_for_port;
use crate::support::*;

/// MD5("test:traefik:test")
const DIGEST_USER: &str = "test:traefik:a2688e031edb4be6a3797f3882655c05";

#[test]
fn digest_admits_curl_and_sets_the_user() {
    for driver in DRIVERS {
        let origin = Origin::with_body("inside");
        let auth =
            format!("[F.auth]\nheaderField=\"X-User\"\n[F.auth.digest]\nusers=[{DIGEST_USER:?}]\nremoveHeader=true");
        let rules = Rules::default().add("digest", &[origin.url()], &auth, "");
        let proxy = Proxy::start(driver, "", rules.text());
        let refused = proxy.get("digest", "/");
        assert_eq!(refused.status_and_text(), (401, "401 Unauthorized\n".to_owned()));
        assert_eq!(refused.first("Content-Type"), Some("text/plain"));
        let challenge = refused.first("Www-Authenticate").expect("a challenge").to_owned();
        assert!(
            challenge.starts_with("Digest realm=\"traefik\", nonce=\"")
                && challenge.ends_with("algorithm=\"MD5\", qop=\"auth\"")
        );
        assert_eq!(proxy.curl(&["--digest", "-u", "test:test"], "digest", "/a?b=c"), "inside");
        let seen = origin.last();
        assert_eq!((seen.first("X-User"), seen.first("Authorization")), (Some("test"), None));
        let wrong =
            proxy.curl(&["--digest", "-u", "test:wrong", "-o", "/dev/null", "-w", "%{http_code}"], "digest", "/");
        assert_eq!(wrong, "401");
        assert_eq!(origin.count(), 1);
    }
}

fn auth_server() -> Origin {
    Origin::start(|seen| match seen.path() {
        "/yes" => response(204, &["X-Auth: me", "X-Auth: too", "X-Not: asked for"], ""),
        "/no" => response(
            401,
            &["X-Auth: me", "Set-Cookie: a=b", "Keep-Alive: x", "Connection: X-Hop", "X-Hop: 1", "Date: yesterday"],
            "denied",
        ),
        "/red" => response(302, &["Location: /login"], "go"),
        "/huge" => response(401, &[], &"x".repeat((1 << 20) + 1)),
        _ => response(500, &[], ""),
    })
}

fn asking(address: &str) -> String {
    format!("[F.auth.forward]\naddress={address:?}\nauthResponseHeaders=[\"X-Auth\",\"X-Other\"]")
}

#[test]
fn forward_auth_server_decides() {
    for driver in DRIVERS {
        let (origin, server) = (Origin::with_body("inside"), auth_server());
        let url = [origin.url()];
        let at = |path: &str| asking(&format!("{}{path}", server.url()));
        let rules = Rules::default()
            .add("yes", &url, &at("/yes"), "")
            .add("no", &url, &at("/no"), "")
            .add("red", &url, &at("/red"), "")
            .add("huge", &url, &at("/huge"), "")
            .add("dead", &url, &asking(&dead_url()), "");
        let proxy = Proxy::start(driver, "", rules.text());
        let mut fields = vec!["X-Auth: forged", "X-Other: forged", "X-Mine: 1", "Keep-Alive: 5"];
        fields.extend(["X-Forwarded-For: 9.9.9.9", "If-None-Match: *", "If-Modified-Since: x", "Range: bytes=9-"]);
        let answer = proxy.send("POST", "yes", "/p?q=1", &fields, b"body");
        assert_eq!(answer.status_and_text(), (200, "inside".to_owned()));
        let (asked, seen) = (server.last(), origin.last());
        assert_eq!((asked.method.as_str(), asked.target.as_str(), asked.body.len()), ("GET", "/yes", 0));
        assert_eq!(asked.first("Host"), Some(server.address.to_string().as_str()));
        assert_eq!(asked.values("X-Forwarded-For"), ["127.0.0.1"], "trustForwardHeader is off");
        for (name, value) in [("Method", "POST"), ("Proto", "http"), ("Host", "yes"), ("Uri", "/p?q=1")] {
            assert_eq!(asked.first(&format!("X-Forwarded-{name}")), Some(value));
        }
        assert_eq!((asked.first("X-Mine"), asked.first("Keep-Alive")), (Some("1"), None));
        assert_eq!(asked.first("Content-Length"), None);
        for name in ["If-None-Match", "If-Modified-Since", "Range"] {
            assert_eq!((asked.first(name), seen.first(name).is_some()), (None, true), "{name} concerns the site only");
        }
        assert_eq!(
            (seen.values("X-Auth"), seen.values("X-Other"), seen.values("X-Not")),
            (vec!["me", "too"], vec![], vec![])
        );
        assert_eq!(seen.body, b"body");
        let refused = proxy.get("no", "/");
        assert_eq!(refused.status_and_text(), (401, "denied".to_owned()));
        assert_eq!(
            (refused.first("Set-Cookie"), refused.first("X-Hop"), refused.first("Keep-Alive")),
            (Some("a=b"), None, None)
        );
        let dates = refused.fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case("date"));
        assert_eq!(dates.count(), 1, "{driver}: {:?}", refused.fields);
        let moved = proxy.get("red", "/");
        assert_eq!((moved.status, moved.first("Location")), (302, Some("/login")), "never the server's own address");
        assert_eq!(proxy.get("huge", "/").status_and_text(), (500, String::new()));
        assert_eq!(proxy.get("dead", "/").status_and_text(), (500, String::new()));
        assert_eq!(origin.count(), 1);
    }
}

#[test]
fn underscore_aliases_of_proxy_fields_are_dropped() {
    for driver in DRIVERS {
        let (server, pages) = (auth_server(), Origin::with_body("page"));
        let origin = Origin::start(|_| response(404, &[], "none"));
        let url = [origin.url()];
        let custom = "[F.headers.customRequestHeaders]\nX-Set-Here=\"ours\"\nX-Gone-Here=\"\"";
        let errors = "[F.errors.a]\nstatus=[\"404\"]\nbackend=\"pages\"\nquery=\"/page\"";
        let forward = asking(&format!("{}/yes", server.url()));
        // bob:builder
        let basic = "[F.auth]\nheaderField=\"X-WebAuth-User\"\n[F.auth.basic]\nusers=[\"bob:{SHA}9SMYoF5RilWWASry7TjeaKwmpGg=\"]";
        let rules = Rules::default()
            .add("pages", &[pages.url()], "", "")
            .add("asking", &url, &format!("{custom}\n{forward}\n{errors}"), "")
            .add("basic", &url, basic, "");
        let proxy = Proxy::start(driver, "", rules.text());
        let custom = ["X_Set_Here: forged", "x-gone_here: forged"];
        let answered = ["X_Auth: forged", "X_Other: forged"];
        let fields = [&custom[..], &answered, &["X_Kept_Here: 1"]].concat();
        assert_eq!(
            proxy.send("GET", "asking", "/", &fields, b"").status_and_text(),
            (404, "page".to_owned()),
            "{driver}"
        );
        let (asked, seen, page) = (server.last(), origin.last(), pages.last());
        for (who, got, forged) in [
            ("the one who decides", &asked, &custom[..]),
            ("the server", &seen, &[custom, answered].concat()),
            ("the page's server", &page, &[custom, answered].concat()),
        ] {
            for name in forged.iter().map(|field| field.split(':').next().unwrap()) {
                assert_eq!(got.values(name), [""; 0], "{driver}: {who} reads {name}");
            }
            assert_eq!(
                (got.values("X-Set-Here"), got.values("X_Kept_Here")),
                (vec!["ours"], vec!["1"]),
                "{driver}: {who}"
            );
        }
        assert_eq!(seen.values("X-Auth"), ["me", "too"], "{driver}");
        let fields = ["Authorization: Basic Ym9iOmJ1aWxkZXI=", "X_WebAuth_User: root"];
        assert_eq!(proxy.send("GET", "basic", "/", &fields, b"").status, 404, "{driver}");
        let seen = origin.last();
        assert_eq!((seen.values("X-WebAuth-User"), seen.values("X_WebAuth_User")), (vec!["bob"], vec![]), "{driver}");
    }
}

#[test]
fn entry_point_auth_covers_pages_and_frontends() {
    let (origin, server) = (Origin::with_body("inside"), auth_server());
    let rules = Rules::default().add("web", &[origin.url()], "", "");
    let entry = |path: &str| format!("[entryPoints.http.auth.forward]\naddress=\"{}{path}\"", server.url());
    let proxy = Proxy::with_entry_points(
        "auto",
        &entry("/no"),
        "[api]\nentryPoint=\"http\"\n[ping]\nentryPoint=\"http\"",
        rules.text(),
    );
    assert_eq!(proxy.get("web", "/").status_and_text(), (401, "denied".to_owned()));
    assert_eq!(proxy.get("web", "/api").status, 401);
    assert_eq!(proxy.get("web", "/ping").status_and_text(), (200, "OK".to_owned()));
    let proxy = Proxy::with_entry_points("auto", &entry("/yes"), "[api]\nentryPoint=\"http\"", rules.text());
    assert_eq!(proxy.get("web", "/x").status, 200);
    assert_eq!(proxy.get("web", "/api").status, 200);
    let digest = format!("[entryPoints.http.auth.digest]\nusers=[{DIGEST_USER:?}]");
    let proxy = Proxy::with_entry_points("auto", &digest, "[api]\nentryPoint=\"http\"", rules.text());
    assert_eq!(proxy.get("web", "/").status, 401);
    assert_eq!(proxy.curl(&["--digest", "-u", "test:test"], "web", "/x"), "inside");
    assert!(proxy.curl(&["--digest", "-u", "test:test"], "web", "/api").contains("\"file\""));
}

#[test]
fn middlewares_run_in_their_order() {
    let (origin, server) = (Origin::with_body("inside"), auth_server());
    wait_for_port(&server.address.to_string(), std::time::Duration::from_secs(5));
    let url = [origin.url()];
    let yes = asking(&format!("{}/yes", server.url()));
    let no = asking(&format!("{}/no", server.url()));
    let closed = "[F.whiteList]\nsourceRange=[\"10.0.0.0/8\"]";
    let rate =
        "[F.ratelimit]\nextractorFunc=\"client.ip\"\n[F.ratelimit.rateSet.a]\nperiod=\"100s\"\naverage=1\nburst=1";
    let to_new = "[F.redirect]\nregex=\"^http://([^/]+)/r$\"\nreplacement=\"http://new/\"";
    let headers = "[F.headers.customRequestHeaders]\nX-Set=\"by us\"\n[F.headers.customResponseHeaders]\nX-Resp=\"r\"";
    let rules = Rules::default()
        .add("closed", &url, &format!("{closed}\n{to_new}\n{no}"), "")
        .add("redirected", &url, &format!("{to_new}\n{no}"), "")
        .add("limited", &url, &format!("{rate}\n{no}"), "")
        .add("headed", &url, &format!("{headers}\n{yes}"), "");
    let proxy = Proxy::start("auto", "", rules.text());
    assert_eq!(proxy.get("closed", "/r").status_and_text(), (403, "Forbidden".to_owned()), "white list, then redirect");
    assert_eq!(proxy.get("redirected", "/r").status, 302, "redirect, then auth");
    assert_eq!(server.count(), 0);
    assert_eq!(proxy.get("redirected", "/").status, 401);
    assert_eq!(
        (proxy.get("limited", "/").status, proxy.get("limited", "/").status),
        (401, 401),
        "no token for the refused"
    );
    let headed = proxy.get("headed", "/");
    assert_eq!((headed.status, headed.first("X-Resp")), (200, Some("r")));
    assert_eq!(server.last().first("X-Set"), Some("by us"), "custom request headers come before auth");
    assert_eq!(proxy.get("redirected", "/r").first("X-Resp"), None);
}
