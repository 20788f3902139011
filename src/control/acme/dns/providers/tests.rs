//! The providers against scripted servers: method, path, headers, signature and body of each request as the service documents them.

use serde_json::json;

use super::scripted_tests::{Recorded, Service, example_record, example_zone};
use super::{NAMES, Provider, Task};
use crate::control::acme::dns::variables::Variables;
use crate::control::acme::dns::{DnsChallenge, DnsError, DnsOptions};

const FQDN: &str = "_acme-challenge.www.example.com.";

fn value() -> String {
    example_record().value()
}

/// A provider of these variables. `BASE` in a value stands for the service's URL, which also replaces the fixed URL of services without a
/// variable for it.
fn provider(name: &str, set: &[(&str, &str)], service: &Service) -> Provider {
    let environment = |name: &str| {
        let (_, value) = set.iter().find(|(known, _)| *known == name)?;
        Some(value.replace("BASE", &service.base))
    };
    let (mut provider, _) = Provider::new(name, Variables::new(&environment)).unwrap();
    match &mut provider {
        Provider::Hetzner(hetzner) => hetzner.api.base.clone_from(&service.base),
        Provider::Gandi(gandi) => gandi.api.base.clone_from(&service.base),
        Provider::DuckDns(duckdns) => duckdns.api.base.clone_from(&service.base),
        _ => {}
    }
    provider
}

/// Presents the example's record and removes it.
async fn present_and_clean_up(provider: &Provider) -> Result<(), DnsError> {
    let (record, value, resolver) = (example_record(), value(), example_zone().await);
    let task = Task { record: &record, fqdn: FQDN, value: &value, resolver: &resolver };
    provider.present(&task).await?;
    provider.settle(&task).await?;
    provider.clean_up(&task).await
}

fn lines(requests: &[Recorded]) -> Vec<&str> {
    requests.iter().map(|request| request.line.as_str()).collect()
}

#[tokio::test]
async fn cloudflare_creates_and_deletes_the_record_by_token() {
    let service = Service::start(&[
        (200, r#"{"success":true,"result":[{"id":"z1","name":"example.com"}]}"#),
        (200, r#"{"success":true,"result":{"id":"r1"}}"#),
        (200, r#"{"success":true,"result":[{"id":"z1","name":"example.com"}]}"#),
        (200, r#"{"success":true,"result":{"id":"r1"}}"#),
    ]);
    let set = [("CF_DNS_API_TOKEN", "edit"), ("CF_ZONE_API_TOKEN", "read"), ("CLOUDFLARE_BASE_URL", "BASE/client/v4")];
    present_and_clean_up(&provider("cloudflare", &set, &service)).await.unwrap();
    let requests = service.requests();
    let zone = "GET /client/v4/zones?name=example.com&per_page=50";
    assert_eq!(
        lines(&requests),
        [zone, "POST /client/v4/zones/z1/dns_records", zone, "DELETE /client/v4/zones/z1/dns_records/r1"]
    );
    let tokens: Vec<&str> = requests.iter().map(|request| request.header("Authorization")).collect();
    assert_eq!(tokens, ["Bearer read", "Bearer edit", "Bearer read", "Bearer edit"]);
    assert_eq!(requests[1].header("Content-Type"), "application/json");
    let content = format!("\"{}\"", value());
    let expected = json!({"type": "TXT", "name": "_acme-challenge.www.example.com", "content": content, "ttl": 120});
    assert_eq!(requests[1].json(), expected);
    assert_eq!(requests[3].body, "");
}

#[tokio::test]
async fn cloudflare_takes_the_record_of_an_earlier_try_and_signs_by_key() {
    let own = format!(r#"{{"result":[{{"id":"other","content":"x"}},{{"id":"r7","content":"\"{}\""}}]}}"#, value());
    let service = Service::start(&[
        (200, r#"{"result":[{"id":"z1"}]}"#),
        (400, r#"{"success":false,"errors":[{"code":81058,"message":"An identical record already exists."}]}"#),
        (200, &own),
        (200, r#"{"result":[{"id":"z1"}]}"#),
        (200, r#"{"result":{"id":"r7"}}"#),
    ]);
    let set = [("CLOUDFLARE_EMAIL", "me@example.com"), ("CF_API_KEY", "key"), ("CLOUDFLARE_BASE_URL", "BASE")];
    present_and_clean_up(&provider("cloudflare", &set, &service)).await.unwrap();
    let requests = service.requests();
    assert_eq!(
        requests[2].line,
        "GET /zones/z1/dns_records?type=TXT&name=_acme-challenge.www.example.com&per_page=100"
    );
    assert_eq!(requests[4].line, "DELETE /zones/z1/dns_records/r7");
    assert!(requests.iter().all(|request| {
        (request.header("X-Auth-Email"), request.header("X-Auth-Key")) == ("me@example.com", "key")
            && request.header("Authorization").is_empty()
    }));
}

#[tokio::test]
async fn refusal_names_the_request_and_the_reason_without_the_token() {
    let service = Service::start(&[
        (200, r#"{"result":[{"id":"z1"}]}"#),
        (403, r#"{"success":false,"errors":[{"code":10000,"message":"Authentication error of t0ken"}]}"#),
        (403, r#"{"success":false,"errors":[{"code":10000,"message":"Authentication error"}]}"#),
    ]);
    let set = [("CF_DNS_API_TOKEN", "t0ken"), ("CLOUDFLARE_BASE_URL", "BASE")];
    let message = present_and_clean_up(&provider("cloudflare", &set, &service)).await.unwrap_err().0;
    assert_eq!(message, "cloudflare: POST /zones/z1/dns_records answers 403: 10000: Authentication error of ***");
    service.requests();
}

#[tokio::test]
async fn digitalocean_creates_and_deletes_the_record() {
    let service = Service::start(&[(201, r#"{"domain_record":{"id":28448433,"type":"TXT"}}"#), (204, "")]);
    let set = [("DO_AUTH_TOKEN", "token"), ("DO_API_URL", "BASE"), ("DO_TTL", "60")];
    present_and_clean_up(&provider("digitalocean", &set, &service)).await.unwrap();
    let requests = service.requests();
    assert_eq!(
        lines(&requests),
        ["POST /v2/domains/example.com/records", "DELETE /v2/domains/example.com/records/28448433"]
    );
    assert_eq!(requests[0].json(), json!({"type": "TXT", "name": FQDN, "data": value(), "ttl": 60}));
    assert!(requests.iter().all(|request| request.header("Authorization") == "Bearer token"));
}

#[tokio::test]
async fn hetzner_adds_and_removes_one_value_and_waits_for_the_action() {
    let service = Service::start(&[
        (201, r#"{"action":{"id":7,"status":"running","error":null}}"#),
        (200, r#"{"action":{"id":7,"status":"success","error":null}}"#),
        (201, r#"{"action":{"id":8,"status":"success","error":null}}"#),
    ]);
    let set = [("HETZNER_API_TOKEN", "token"), ("HETZNER_POLLING_INTERVAL", "0")];
    present_and_clean_up(&provider("hetzner", &set, &service)).await.unwrap();
    let requests = service.requests();
    let set = "POST /zones/example.com/rrsets/_acme-challenge.www/TXT/actions";
    assert_eq!(lines(&requests), [&format!("{set}/add_records"), "GET /actions/7", &format!("{set}/remove_records")]);
    let records = json!([{"value": format!("\"{}\"", value())}]);
    assert_eq!(requests[0].json(), json!({"ttl": 120, "records": records}));
    assert_eq!(requests[2].json(), json!({"records": records}));
    assert!(requests.iter().all(|request| request.header("Authorization") == "Bearer token"));
}

#[tokio::test]
async fn hetzner_takes_the_value_of_an_earlier_try_and_names_a_failed_action() {
    let own = format!(r#"{{"rrset":{{"records":[{{"value":"\"{}\""}}]}}}}"#, value());
    let service = Service::start(&[
        (422, r#"{"error":{"code":"uniqueness_error","message":"record exists"}}"#),
        (200, &own),
        (201, r#"{"action":{"id":8,"status":"error","error":{"code":"action_failed","message":"Action failed"}}}"#),
    ]);
    let message =
        present_and_clean_up(&provider("hetzner", &[("HETZNER_API_TOKEN", "t")], &service)).await.unwrap_err();
    assert_eq!(message.0, "hetzner: the change failed: Action failed");
    assert_eq!(service.requests()[1].line, "GET /zones/example.com/rrsets/_acme-challenge.www/TXT");
}

#[tokio::test]
async fn gandi_keeps_the_other_values_of_the_name() {
    let with_own = format!(r#"{{"rrset_ttl":300,"rrset_values":["\"other\"","\"{}\""]}}"#, value());
    let only_own = format!(r#"{{"rrset_values":["\"{}\""]}}"#, value());
    let service = Service::start(&[
        (200, r#"{"rrset_ttl":300,"rrset_values":["\"other\""]}"#),
        (201, r#"{"message":"DNS Record Created"}"#),
        (200, &with_own),
        (201, "{}"),
        (404, r#"{"message":"not found"}"#),
        (201, "{}"),
        (200, &only_own),
        (204, ""),
    ]);
    let gandi = provider("gandiv5", &[("GANDIV5_PERSONAL_ACCESS_TOKEN", "pat"), ("GANDIV5_API_KEY", "old")], &service);
    present_and_clean_up(&gandi).await.unwrap();
    present_and_clean_up(&gandi).await.unwrap();
    let requests = service.requests();
    let path = "/domains/example.com/records/_acme-challenge.www/TXT";
    let methods = ["GET", "PUT", "GET", "PUT", "GET", "PUT", "GET", "DELETE"].map(|method| format!("{method} {path}"));
    assert_eq!(lines(&requests), methods);
    assert_eq!(requests[1].json(), json!({"rrset_ttl": 300, "rrset_values": ["\"other\"", value()]}));
    assert_eq!(requests[3].json(), json!({"rrset_ttl": 300, "rrset_values": ["\"other\""]}));
    assert_eq!(requests[5].json(), json!({"rrset_ttl": 300, "rrset_values": [value()]}));
    assert!(requests.iter().all(|request| request.header("Authorization") == "Bearer pat"));
}

#[tokio::test]
async fn duckdns_sets_and_clears_the_text_of_the_domain() {
    let service = Service::start(&[(200, "OK"), (200, "OK"), (200, "KO")]);
    let duckdns = provider("duckdns", &[("DUCKDNS_TOKEN", "a/b")], &service);
    let (record, resolver) = (example_record(), example_zone().await);
    let task =
        Task { record: &record, fqdn: "_acme-challenge.www.me.duckdns.org.", value: "text", resolver: &resolver };
    duckdns.present(&task).await.unwrap();
    duckdns.clean_up(&task).await.unwrap();
    let message = duckdns.clean_up(&task).await.unwrap_err().0;
    assert!(message.contains("me.duckdns.org") && message.contains("\"KO\"") && !message.contains("a/b"), "{message}");
    let requests = service.requests();
    assert_eq!(requests[0].line, "GET /update?clear=false&domains=me.duckdns.org&token=a%2Fb&txt=text");
    assert_eq!(requests[1].line, "GET /update?clear=true&domains=me.duckdns.org&token=a%2Fb&txt=");
    assert!(duckdns.is_sequential());
    assert_eq!(duckdns.holder("_acme-challenge.www.me.duckdns.org."), "me.duckdns.org");
}

#[tokio::test]
async fn ovh_signs_each_request_with_the_services_time() {
    let service =
        Service::start(&[(200, "1366560945"), (200, r#"{"id":42}"#), (200, "null"), (200, "null"), (200, "null")]);
    let set = [
        ("OVH_ENDPOINT", "BASE/1.0"),
        ("OVH_APPLICATION_KEY", "ak"),
        ("OVH_APPLICATION_SECRET", "as"),
        ("OVH_CONSUMER_KEY", "ck"),
    ];
    present_and_clean_up(&provider("ovh", &set, &service)).await.unwrap();
    let requests = service.requests();
    let (zone, refresh) = ("/1.0/domain/zone/example.com", "POST /1.0/domain/zone/example.com/refresh");
    assert_eq!(
        lines(&requests),
        ["GET /1.0/auth/time", &format!("POST {zone}/record"), refresh, &format!("DELETE {zone}/record/42"), refresh]
    );
    let expected = json!({"fieldType": "TXT", "subDomain": "_acme-challenge.www", "target": value(), "ttl": 120});
    assert_eq!(requests[1].json(), expected);
    for request in &requests[1..] {
        let (method, path) = request.line.split_once(' ').unwrap();
        let time = request.header("X-Ovh-Timestamp");
        assert!((1_366_560_945..1_366_561_000).contains(&time.parse::<u64>().unwrap()), "{time}");
        let signed = format!("as+ck+{method}+{}{path}+{}+{time}", service.base, request.body);
        let digest: String =
            <sha1::Sha1 as sha1::Digest>::digest(signed).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(request.header("X-Ovh-Signature"), format!("$1${digest}"));
        assert_eq!((request.header("X-Ovh-Application"), request.header("X-Ovh-Consumer")), ("ak", "ck"));
    }
}

#[tokio::test]
async fn ovh_gets_a_token_for_an_oauth2_client() {
    let token = (200, r#"{"access_token":"bearer","expires_in":3599}"#);
    let service = Service::start(&[
        token,
        (200, r#"{"id":1}"#),
        token,
        (200, "null"),
        token,
        (200, "null"),
        token,
        (200, "null"),
    ]);
    let set = [("OVH_ENDPOINT", "BASE"), ("OVH_CLIENT_ID", "id"), ("OVH_CLIENT_SECRET", "s&t")];
    present_and_clean_up(&provider("ovh", &set, &service)).await.unwrap();
    let requests = service.requests();
    assert_eq!(requests[0].line, "POST /auth/oauth2/token");
    assert_eq!(requests[0].header("Content-Type"), "application/x-www-form-urlencoded");
    assert_eq!(requests[0].body, "grant_type=client_credentials&client_id=id&client_secret=s%26t&scope=all");
    assert_eq!(requests[1].header("Authorization"), "Bearer bearer");
}

#[tokio::test]
async fn httpreq_posts_the_record_or_the_token() {
    let service = Service::start(&[(200, ""); 4]);
    let set = [("HTTPREQ_ENDPOINT", "BASE/dns/"), ("HTTPREQ_USERNAME", "user"), ("HTTPREQ_PASSWORD", "pass")];
    present_and_clean_up(&provider("httpreq", &set, &service)).await.unwrap();
    let set = [("HTTPREQ_ENDPOINT", "BASE"), ("HTTPREQ_MODE", "RAW")];
    present_and_clean_up(&provider("httpreq", &set, &service)).await.unwrap();
    let requests = service.requests();
    assert_eq!(lines(&requests), ["POST /dns/present", "POST /dns/cleanup", "POST /present", "POST /cleanup"]);
    for request in &requests {
        assert_eq!(
            (request.header("Accept"), request.header("Content-Type")),
            ("application/json", "application/json")
        );
    }
    assert_eq!(requests[0].json(), json!({"fqdn": FQDN, "value": value()}));
    assert_eq!(requests[0].header("Authorization"), "Basic dXNlcjpwYXNz");
    let raw = json!({"domain": "www.example.com", "token": "the-token", "keyAuth": "the-token.thumbprint"});
    assert_eq!((requests[2].json(), requests[3].json()), (raw.clone(), raw));
    assert_eq!(requests[2].header("Authorization"), "");
}

#[tokio::test]
async fn request_that_the_service_puts_off_is_sent_again() {
    let service = Service::start(&[(429, "later"), (200, ""), (503, "busy"), (200, "")]);
    present_and_clean_up(&provider("httpreq", &[("HTTPREQ_ENDPOINT", "BASE")], &service)).await.unwrap();
    assert_eq!(lines(&service.requests()), ["POST /present", "POST /present", "POST /cleanup", "POST /cleanup"]);
}

#[test]
fn unknown_provider_error_shows_exec_and_httpreq() {
    let options = |provider: &str| DnsOptions { provider: provider.to_owned(), ..DnsOptions::default() };
    for name in ["godaddy", ""] {
        let message = DnsChallenge::new(options(name), &|_| None).err().unwrap().0;
        for part in NAMES.iter().chain(&["EXEC_PATH=", "HTTPREQ_ENDPOINT=", name]) {
            assert!(message.contains(part), "{message} lacks {part}");
        }
    }
}

#[test]
fn missing_variables_of_each_provider_are_named() {
    for (name, missing) in [
        ("cloudflare", "CF_DNS_API_TOKEN or CLOUDFLARE_DNS_API_TOKEN"),
        ("digitalocean", "DO_AUTH_TOKEN"),
        ("duckdns", "DUCKDNS_TOKEN"),
        ("exec", "EXEC_PATH"),
        ("gandiv5", "GANDIV5_PERSONAL_ACCESS_TOKEN"),
        ("hetzner", "HETZNER_API_TOKEN"),
        ("httpreq", "HTTPREQ_ENDPOINT"),
        ("ovh", "OVH_APPLICATION_KEY, OVH_APPLICATION_SECRET, OVH_CONSUMER_KEY"),
        ("rfc2136", "RFC2136_NAMESERVER"),
    ] {
        let message = Provider::new(name, Variables::new(&|_| None)).err().unwrap().0;
        assert!(message.contains(missing) && message.contains(name), "{message} lacks {missing}");
    }
    // A role may have the key, so that nothing is missing at the start; half a key is.
    assert!(Provider::new("route53", Variables::new(&|_| None)).is_ok());
    let half = |name: &str| (name == "AWS_ACCESS_KEY_ID").then(|| "id".to_owned());
    let message = Provider::new("route53", Variables::new(&half)).err().unwrap().0;
    assert!(message.contains("AWS_SECRET_ACCESS_KEY") && !message.contains("AWS_ACCESS_KEY_ID"), "{message}");
}

#[test]
fn names_whose_records_exclude_each_other_are_in_different_rounds() {
    let challenge = |provider: &str| {
        let options = DnsOptions { provider: provider.to_owned(), ..DnsOptions::default() };
        let set = [("DUCKDNS_TOKEN", "token"), ("EXEC_PATH", "program"), ("DO_AUTH_TOKEN", "token")];
        let found = |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        DnsChallenge::new(options, &found).unwrap()
    };
    let names = ["*.me.duckdns.org", "me.duckdns.org", "www.me.duckdns.org", "you.duckdns.org"].map(str::to_owned);
    assert_eq!(challenge("duckdns").rounds(names.iter()), [0, 1, 2, 0]);
    assert_eq!(challenge("exec").rounds(names.iter()), [0, 1, 0, 0]);
    assert_eq!(challenge("digitalocean").rounds(names.iter()), [0; 4]);
    // Each round takes the time for the check, and the pause of programs.
    assert_eq!(challenge("exec").wait_max(&names).as_secs(), 2 * (60 + 60));
    assert_eq!(challenge("digitalocean").wait_max(&names).as_secs(), 60);
}
