//! Invalid input of every kind: only its frontend is rejected; log, API and dashboard name it and the reason; all others serve.

use serde_json::Value;

use crate::support::*;

/// Name, the frontend's keys, the backend's keys, the rule (`Host:NAME` if empty), and a part of the reason.
const BAD: &[(&str, &str, &str, &str, &str)] = &[
    ("rule", "", "", "Bogus:x", "unknown matcher `Bogus`"),
    ("rule-empty", "", "", "Host:", "Host"),
    ("rule-regex", "", "", "HeadersRegexp:X,(", "regular expression `(`"),
    ("rule-template", "", "", "Path:/{a", "unbalanced braces"),
    ("rule-query", "", "", "Query:ab", "Query"),
    ("cidr", "[F.whiteList]\nsourceRange=[\"10.0.0.0/33\"]", "", "", "\"10.0.0.0/33\" is no address range"),
    ("old-cidr", "whitelistSourceRange=[\"here\"]", "", "", "\"here\" is no address range"),
    ("basic-user", "[F.auth.basic]\nusers=[\"only-a-name\"]", "", "", "name:hash"),
    ("old-user", "basicAuth=[\"a:b:c\"]", "", "", "name:hash"),
    ("digest-user", "[F.auth.digest]\nusers=[\"a:b\"]", "", "", "name:realm:hash"),
    ("forward-url", "[F.auth.forward]\naddress=\"nowhere\"", "", "", "nowhere"),
    ("redirect-regex", "[F.redirect]\nregex=\"^(.*\"\nreplacement=\"x\"", "", "", "redirect.regex"),
    (
        "redirect-text",
        "[F.redirect]\nregex=\"a\"\nreplacement=\"{{ \"{{\" }} .Env {{ \"}}\" }}\"",
        "",
        "",
        "redirect.replacement",
    ),
    ("redirect-entry", "[F.redirect]\nentryPoint=\"nope\"", "", "", "\"nope\", which is no entry point"),
    ("entry", "entryPoints=[\"nope\"]", "", "", "nope"),
    ("breaker", "", "[B.circuitBreaker]\nexpression=\"Foo() > 0.5\"", "", "circuitBreaker"),
    ("breaker-type", "", "[B.circuitBreaker]\nexpression=\"NetworkErrorRatio() > 1\"", "", "decimal point"),
    ("retry-text", "", "[B.buffering]\nretryExpression=\"Nope()\"", "", "retryExpression"),
    ("extractor", "", "[B.maxConn]\namount=3\nextractorFunc=\"bogus\"", "", "\"bogus\""),
    ("no-extractor", "", "[B.maxConn]\namount=3", "", "extractorFunc"),
    (
        "rate",
        "[F.ratelimit]\nextractorFunc=\"client.ip\"\n[F.ratelimit.rateSet.a]\nperiod=\"0s\"\naverage=1\nburst=1",
        "",
        "",
        "greater than zero",
    ),
    (
        "rate-source",
        "[F.ratelimit]\nextractorFunc=\"ip\"\n[F.ratelimit.rateSet.a]\nperiod=\"1s\"\naverage=1\nburst=1",
        "",
        "",
        "\"ip\"",
    ),
    ("header-name", "[F.headers.customRequestHeaders]\n\"X Y\"=\"v\"", "", "", "X Y"),
    ("header-value", "[F.headers.customResponseHeaders]\nX-A=\"a\\nb\"", "", "", "X-A"),
    ("weight", "", "[B.servers.w]\nurl=\"http://127.0.0.1:1\"\nweight=-1", "", "weight -1"),
    ("server-url", "", "[B.servers.w]\nurl=\"ftp://127.0.0.1:1\"", "", "\"ftp://127.0.0.1:1\" is not a server URL"),
    ("server-port", "", "[B.servers.w]\nurl=\"http://127.0.0.1:abc\"", "", "127.0.0.1:abc"),
    ("pass-tls-cert", "passTLSCert=true", "", "", "passTLSClientCert"),
];

fn rules(origin: &Origin) -> String {
    let mut text = String::new();
    for (name, frontend, backend, rule, _) in BAD {
        let rules = Rules::default().add(name, &[origin.url()], frontend, backend);
        let rule = if rule.is_empty() { format!("Host:{name}") } else { format!("Host:{name};{rule}") };
        text += &rules.text().replace(&format!("rule=\"Host:{name}\""), &format!("rule={rule:?}"));
    }
    text + Rules::default().add("good", &[origin.url()], "", "").text()
}

#[test]
fn bad_input_rejects_its_frontend_and_is_reported() {
    let origin = Origin::with_body("serves");
    for driver in DRIVERS {
        let proxy = Proxy::start(driver, "[api]\nentryPoint=\"http\"", &rules(&origin));
        assert_eq!(proxy.get("good", "/x").text(), "serves");
        let listed: Vec<Value> = serde_json::from_str(&proxy.get("x", "/api/rejected").text()).expect("a list");
        // The dashboard shows this list: its page gets the same data.
        let page = proxy.get("x", "/dashboard/").text();
        assert!(page.contains("<html"), "{page}");
        let log = proxy.process.log();
        for (name, .., reason) in BAD {
            assert_eq!(proxy.get(name, "/x").status_and_text(), (404, "404 page not found\n".to_owned()), "{name}");
            let frontend = format!("frontend {name}");
            let row = listed.iter().find(|row| row["name"] == frontend.as_str());
            let row = row.unwrap_or_else(|| panic!("{name} is not among {listed:#?}"));
            // A template that never matches is ignored: the frontend stays, but gets no request.
            let severity = if *name == "rule-template" { "partial" } else { "rejected" };
            assert_eq!((&row["provider"], &row["severity"]), (&"file".into(), &severity.into()), "{name}");
            let reported = row["reason"].as_str().unwrap_or_default();
            assert!(reported.contains(reason), "{name}: {reported:?} lacks {reason:?}");
            assert_eq!(reported.ends_with("; frontend rejected"), severity == "rejected", "{name}: {reported:?}");
            let line = log.lines().find(|line| line.contains(&format!("{frontend}: ")));
            let line = line.unwrap_or_else(|| panic!("{name} is not in the log"));
            assert!(line.contains("level=error") && line.contains("provider=file"), "{line}");
        }
        assert_eq!(listed.len(), BAD.len(), "{listed:#?}");
    }
}

/// A frontend with an invalid part serves without that part; every entry of a frontend that is not served is `rejected`.
#[test]
fn severity_distinguishes_rejected_from_partly_rejected() {
    let origin = Origin::with_body("serves");
    let unknown = "entryPoints=[\"http\",\"nope\"]";
    let page = "[F.errors.e]\nstatus=[\"500\"]\nbackend=\"nowhere\"";
    let check = "[B.healthCheck]\npath=\"/h\"\ninterval=\"soon\"";
    let rules = Rules::default()
        .add("entry", &[origin.url()], unknown, "")
        .add("page", &[origin.url()], page, "")
        .add("check", &[origin.url()], "", check)
        .add("gone", &[origin.url()], &format!("{unknown}\npassTLSCert=true"), "");
    let proxy = Proxy::start("auto", "[api]\nentryPoint=\"http\"", rules.text());
    let listed: Vec<Value> = serde_json::from_str(&proxy.get("x", "/api/rejected").text()).expect("a list");
    let rows: Vec<_> = listed
        .iter()
        .map(|row| ["name", "severity", "reason"].map(|member| row[member].as_str().unwrap_or_default()))
        .collect();
    for (name, severity, start, status) in [
        ("entry", "partial", "unknown entry point nope ignored: use one of ", 200),
        ("page", "partial", "error page errors.e ignored: there is no backend \"nowhere\"", 200),
        ("check", "partial", "health check interval \"soon\" of backend check ignored: ", 200),
        ("gone", "rejected", "unknown entry point nope ignored: use one of ", 404),
        ("gone", "rejected", "passTLSCert is not supported", 404),
    ] {
        let is_listed =
            |row: &[&str; 3]| row[..2] == [&*format!("frontend {name}"), severity] && row[2].starts_with(start);
        assert!(rows.iter().any(is_listed), "{name}: {rows:#?}");
        assert_eq!(proxy.get(name, "/x").status, status, "{name}");
    }
    assert_eq!(rows.len(), 5, "{rows:#?}");
    assert!(proxy.get("x", "/dashboard/attention.js").text().contains("not applied"));
    assert!(proxy.get("x", "/dashboard/routes.js").text().contains("item.severity"));
}

/// The other frontend would serve the same requests to every client.
#[test]
fn auth_with_unreadable_files_denies_all_requests() {
    let origin = Origin::with_body("serves");
    let listed = "[F.auth.basic]\nusers=[\"test:$apr1$H6uskkkW$IgXLP6ewTrSuBkTrqE8wj/\"]\nusersFile=\"/nowhere/users\"";
    let digest = "[F.auth.digest]\nusersFile=\"/nowhere/users\"";
    let asked = "[F.auth.forward]\naddress=\"https://127.0.0.1:1/\"\n[F.auth.forward.tls]\nca=\"/nowhere/ca.pem\"";
    let rules = [("listed", listed), ("digest", digest), ("asked", asked)]
        .into_iter()
        .fold(Rules::default(), |rules, (name, auth)| rules.add(name, &[origin.url()], auth, ""));
    for driver in DRIVERS {
        let proxy = Proxy::start(driver, "[api]\nentryPoint=\"http\"", rules.text());
        for name in ["listed", "digest", "asked"] {
            assert_eq!(proxy.get(name, "/x").status, 401, "{name}");
        }
        let known = proxy.curl(&["-u", "test:test"], "listed", "/x");
        assert_eq!(known, "serves", "users of the list are let in");
        let reported: Vec<Value> = serde_json::from_str(&proxy.get("x", "/api/rejected").text()).expect("a list");
        for (name, effect) in [
            ("listed", "; no user of its usersFile can log in until this is fixed"),
            ("digest", "; no user of its usersFile can log in until this is fixed"),
            ("asked", "; all its requests are denied until this is fixed"),
        ] {
            let row = reported.iter().find(|row| row["name"] == format!("frontend {name}").as_str());
            let row = row.unwrap_or_else(|| panic!("{name} is not among {reported:#?}"));
            let reason = row["reason"].as_str().unwrap_or_default();
            assert!(reason.contains("/nowhere/") && reason.ends_with(effect), "{name}: {reason}");
            assert_eq!(row["severity"], "partial", "{name}: the frontend is served");
        }
        assert_eq!(reported.len(), 3, "{reported:#?}");
    }
}

#[test]
fn wrong_type_rejects_the_file_and_keeps_the_last_good_one() {
    let origin = Origin::with_body("serves");
    let good = Rules::default().add("good", &[origin.url()], "", "");
    let proxy = Proxy::start("auto", "[api]\nentryPoint=\"http\"", good.text());
    let period =
        "[F.ratelimit]\nextractorFunc=\"client.ip\"\n[F.ratelimit.rateSet.a]\nperiod=\"soon\"\naverage=1\nburst=1";
    let bad = Rules::default().add("bad", &[origin.url()], period, "");
    proxy.write_rules(bad.text());
    crate::base::wait_for("the duration is refused", std::time::Duration::from_secs(10), || {
        let log = proxy.process.log();
        if log.contains("keeping the previous routes") && log.contains("soon") { Ok(()) } else { Err(log) }
    });
    assert_eq!((proxy.get("good", "/x").status, proxy.get("bad", "/x").status), (200, 404));
}
