//! The REST provider: who may write, the response, and the resulting configuration.

use std::time::Duration;

use crate::base::wait_for;
use crate::support::*;

const REST: &str = "[rest]\nentryPoint=\"http\"\n[api]\nentryPoint=\"http\"";

fn put(proxy: &Proxy, provider: &str, body: &str) -> Answer {
    proxy.send(
        "PUT",
        "any",
        &format!("/api/providers/{provider}"),
        &["Content-Type: application/json"],
        body.as_bytes(),
    )
}

#[test]
fn rest_document_is_echoed_applied_and_replaced_whole() {
    for driver in DRIVERS {
        let (one, two) = (Origin::with_body("one"), Origin::with_body("two"));
        let proxy = Proxy::start(driver, REST, Rules::default().add("file", &[one.url()], "", "").text());
        let document = |host: &str, url: &str| {
            format!(
                r#"{{"backends":{{"b":{{"servers":{{"s":{{"url":"{url}","weight":1}}}}}}}},"frontends":{{"f":{{"entryPoints":["http"],"backend":"b","routes":{{"r":{{"rule":"Host:{host}"}}}},"priority":0,"basicAuth":null,"ratelimit":{{"rateset":{{"a":{{"period":100000000000,"average":1,"burst":2}}}},"extractorFunc":"client.ip"}}}}}}}}"#
            )
        };
        let sent = document("rest", &two.url());
        let answer = put(&proxy, "rest", &sent);
        assert_eq!((answer.status, answer.text()), (200, sent), "the object as it was understood, before defaults");
        assert_eq!(answer.first("Content-Type"), Some("application/json; charset=UTF-8"));
        wait_for("the document is in force", Duration::from_secs(10), || match proxy.get("rest", "/x").status {
            200 => Ok(()),
            other => Err(other.to_string()),
        });
        assert_eq!(proxy.get("rest", "/x").text(), "two");
        assert_eq!(proxy.get("rest", "/x").status, 429, "nanoseconds: the period is 100 s");
        assert_eq!(
            two.last().first("Host"),
            Some(two.address.to_string().as_str()),
            "passHostHeader is off unless said"
        );
        for name in ["rest", "web"] {
            assert!(
                proxy.get("any", &format!("/api/providers/{name}")).text().contains("\"method\":\"wrr\""),
                "with defaults"
            );
        }
        assert_eq!(put(&proxy, "web", &document("other", &one.url())).status, 200);
        wait_for("the new document replaces the old one", Duration::from_secs(10), || {
            match proxy.get("rest", "/x").status {
                404 => Ok(()),
                other => Err(other.to_string()),
            }
        });
        let bad = put(&proxy, "rest", r#"{"frontends":{"f":{"backend":"b","priority":"high"}}}"#);
        assert_eq!(bad.status, 400);
        assert!(bad.text().contains("priority") || bad.text().contains("high"), "what is wrong: {}", bad.text());
        // Only the route differs, so the limit and its empty bucket are the same; the invalid document changed nothing.
        assert_eq!((proxy.get("other", "/x").status, proxy.get("file", "/x").status), (429, 200));
    }
}

#[test]
fn invalid_rest_document_changes_nothing() {
    let origin = Origin::with_body("file");
    let rules = Rules::default().add("file", &[origin.url()], "", "");
    let proxy = Proxy::start("auto", REST, rules.text());
    for body in ["nonsense", "[]", r#"{"backends":7}"#, r#"{"backends":{"b":{"servers":[]}}}"#] {
        let answer = put(&proxy, "rest", body);
        assert_eq!(answer.status, 400, "{body}: {}", answer.text());
        assert!(answer.text().ends_with('\n') && answer.text().len() > 10, "{}", answer.text());
    }
    let wrong = put(&proxy, "docker", "{}");
    assert_eq!(wrong.status_and_text(), (400, "Only 'rest' provider can be updated through the REST API".to_owned()));
    assert_eq!(put(&proxy, "rest/more", "{}").status, 404);
    assert_eq!(proxy.send("POST", "any", "/api/providers/rest", &[], b"{}").status, 404);
    assert_eq!(proxy.get("file", "/x").text(), "file");
    let without = Proxy::start("auto", "", rules.text());
    assert_eq!(put(&without, "rest", "{}").status, 404);
}

#[test]
fn rest_api_is_behind_the_entry_points_auth() {
    let origin = Origin::with_body("file");
    let rules = Rules::default().add("file", &[origin.url()], "", "");
    let guard = "[entryPoints.http.whiteList]\nsourceRange=[\"10.0.0.0/8\"]";
    let proxy = Proxy::with_entry_points("auto", guard, REST, rules.text());
    assert_eq!(put(&proxy, "rest", "{}").status_and_text(), (403, "Forbidden".to_owned()));
}
