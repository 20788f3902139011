//! The protection of a frontend stays closed where its options are invalid or a client lies: no request is admitted by mistake.

use crate::support::*;

const STRANGER: &str = "[entryPoints.http.forwardedHeaders]\ntrustedIPs=[\"192.0.2.1\"]";

#[test]
fn auth_without_a_method_denies_all_requests() {
    for driver in DRIVERS {
        let origin = Origin::with_body("inside");
        let rules = Rules::default().add("misspelt", &[origin.url()], "[F.auth.basci]\nusers=[\"a:b\"]", "").add(
            "field",
            &[origin.url()],
            "[F.auth]\nheaderField=\"X-User\"",
            "",
        );
        let proxy = Proxy::start(driver, "[api]\nentryPoint=\"http\"", rules.text());
        for name in ["misspelt", "field"] {
            assert_eq!(proxy.get(name, "/x").status, 401, "{driver}: {name}");
            assert!(proxy.get("x", "/api/rejected").text().contains("auth names none of basic, digest and forward"));
        }
        assert_eq!(origin.count(), 0);
    }
}

#[test]
fn old_white_list_applies_beside_an_empty_new_one() {
    for driver in DRIVERS {
        let origin = Origin::with_body("inside");
        let list = "[F.whiteList]\nuseXForwardedFor=true";
        let both = format!("whitelistSourceRange=[\"10.0.0.0/8\"]\n{list}");
        let rules = Rules::default().add("both", &[origin.url()], &both, "").add("none", &[origin.url()], list, "");
        let proxy = Proxy::start(driver, "", rules.text());
        assert_eq!(proxy.get("both", "/").status, 403, "{driver}");
        assert_eq!(proxy.get("none", "/").status, 200, "{driver}: as in Traefik");
        assert!(proxy.process.log().contains("whiteList has no sourceRange"), "{}", proxy.process.log());
    }
}

#[test]
fn untrusted_fields_decide_neither_route_nor_rate_limit() {
    for driver in DRIVERS {
        let origin = Origin::with_body("inside");
        let rate = "[F.ratelimit]\nextractorFunc=\"request.header.X-Real-Ip\"\n\
                    [F.ratelimit.rateSet.a]\nperiod=\"10m\"\naverage=1\nburst=1";
        let users = "[\"a:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\", \"b:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\"]";
        let named = rate.replace("X-Real-Ip", "X-Forwarded-User");
        let named = format!("{named}\n[F.auth]\nheaderField=\"X-Forwarded-User\"\n[F.auth.basic]\nusers={users}");
        let rules = Rules::default().add("claims", &[origin.url()], "", "").add("rate", &[origin.url()], rate, "");
        let rules = rules.add("named", &[origin.url()], &named, "");
        let rule = "Host:claims;HeadersRegexp:X-Real-Ip,^10";
        let rules = rules.text().replace("rule=\"Host:claims\"", &format!("rule={rule:?}"));
        let asked = |proxy: &Proxy, host: &str, ip: &str| {
            proxy.send("GET", host, "/", &[&format!("X-Real-Ip: {ip}")], b"").status
        };
        let trusting = Proxy::start(driver, "", &rules);
        assert_eq!(asked(&trusting, "claims", "10.0.0.1"), 200, "{driver}");
        assert_eq!(
            (asked(&trusting, "rate", "10.0.0.1"), asked(&trusting, "rate", "10.0.0.2")),
            (200, 200),
            "{driver}"
        );
        let strict = Proxy::with_entry_points(driver, STRANGER, "", &rules);
        assert_eq!(asked(&strict, "claims", "10.0.0.1"), 404, "{driver}");
        assert_eq!((asked(&strict, "rate", "10.0.0.1"), asked(&strict, "rate", "10.0.0.2")), (200, 429), "{driver}");
        // Fields set by the proxy itself are trusted: each user has a bucket.
        for (user, answer) in [("a:secret", "inside"), ("b:secret", "inside"), ("a:secret", "max rate reached")] {
            let said = strict.curl(&["-u", user, "-H", "X-Forwarded-User: c"], "named", "/");
            assert!(said.starts_with(answer), "{driver}: {user}: {said}");
        }
    }
}

#[test]
fn error_page_query_cannot_leave_the_request_target() {
    for driver in DRIVERS {
        let (origin, pages) = (Origin::start(|_| response(404, &[], "")), Origin::with_body("sorry"));
        let errors = "[F.errors.a]\nstatus=[\"404\"]\nbackend=\"pages\"\n\
                      query=\"/a b HTTP/1.1\\r\\nHost: x\\r\\n\\r\\nGET /smuggled?\"";
        let rules = Rules::default().add("pages", &[pages.url()], "", "").add("site", &[origin.url()], errors, "");
        let proxy = Proxy::start(driver, "", rules.text());
        assert_eq!(proxy.get("site", "/").status_and_text(), (404, "sorry".to_owned()), "{driver}");
        let seen = pages.seen();
        assert_eq!(seen.len(), 1, "{driver}: {seen:?}");
        let target = "/a%20b%20HTTP/1.1%0D%0AHost:%20x%0D%0A%0D%0AGET%20/smuggled?";
        assert_eq!(seen[0].target, target, "{driver}");
    }
}
